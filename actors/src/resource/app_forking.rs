//! `app.forking`: programs that start, check and stop something that stays.

use conf::SectionReader;
use model::Status;

use super::app::{self, App, Made, Verb};
use super::driver::{Driver, Failure, Phase, Report, Scene};
use super::instance::Setup;

struct Forking {
    app: App,
    sort_key: Option<String>,
}

/// Reads the section.
pub(crate) fn read(section: &SectionReader<'_>, setup: &Setup<'_>) -> Made {
    let app = App::read(section, setup)?;
    Ok(Box::new(Forking { app, sort_key: App::start_order(section) }))
}

impl Driver for Forking {
    fn label(&self) -> String {
        format!("forking: {}", self.app.name())
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        if self.app.is_not_evaluated(scene, report) {
            return Ok(Status::NotApplicable);
        }
        if !self.app.has_check() {
            if self.app.has_start() {
                report.info(
                    "no check: whether it runs is not known, and nothing starts it by itself",
                );
            }
            return Ok(Status::NotApplicable);
        }
        let status = match self.app.check(scene, report) {
            Ok(status) => status,
            Err(error) => {
                report.warn(error);
                Status::Warn
            }
        };
        if status == Status::Up {
            self.app.facts(scene, report);
        }
        Ok(status)
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if !self.app.has_start() {
            return Ok(());
        }
        if self.is(scene, &Status::Up) {
            scene.journal.info(format_args!("{} is already started", self.label()));
            return Ok(());
        }
        let lock = App::lock(scene)?;
        let ended = self.app.run(Verb::Start, scene)?;
        if let Some(ended) = ended.filter(|ended| ended.code != 0) {
            return Err(Failure::Exit {
                command: format!("start of {}", self.label()),
                code: ended.code,
                line: ended.last_line().to_owned(),
            });
        }
        let patience = self.app.start_patience().filter(|_| self.app.has_check());
        if let Some(patience) = patience {
            app::poll_until_up(scene, patience, || self.app.check(scene, &mut Report::default()))?;
        }
        drop(lock);
        Ok(())
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if self.is(scene, &Status::Down) {
            scene.journal.info(format_args!("{} is already stopped", self.label()));
            return Ok(());
        }
        self.app.run_stop(scene)
    }

    fn may_hang(&self) -> bool {
        self.app.has_check()
    }

    fn phase(&self) -> Phase {
        app::PHASE
    }

    fn sort_key(&self) -> Option<String> {
        self.sort_key.clone()
    }
}

impl Forking {
    fn is(&self, scene: &Scene<'_>, wanted: &Status) -> bool {
        if let Some(is_up) = scene.is_known_up() {
            return is_up == (*wanted == Status::Up);
        }
        self.app.has_check()
            && self.app.check(scene, &mut Report::default()).is_ok_and(|status| status == *wanted)
    }
}
