//! `app.forking`: programs that start, check and stop something that stays.
//!
//! What they started bears marks: what a stop command leaves of it is ended, whether there is a check or not.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::time::Duration;

use conf::SectionReader;
use model::Status;

use crate::app::{App, Made, Verb};
use crate::driver::{Driver, Phase, Scene};
use crate::ending::Manner;
use crate::failure::Failure;
use crate::launched::Launched;
use crate::processes::{Process, ProcessTable, pids, roots};
use crate::report::Report;
use crate::setup::Setup;
use crate::{app, ending};

/// How long what the stop command asked to end may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

struct Forking {
    app: App,
    id: String,
    sort_key: Option<String>,
}

/// Reads the section.
pub(crate) fn read(section: &SectionReader<'_>, setup: &Setup<'_>) -> Made {
    let app = App::read(section, setup)?;
    Ok(Box::new(Forking { app, id: setup.id.to_owned(), sort_key: App::start_order(section) }))
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
        let owner = self.app.owner(&self.id, scene);
        if let Err(error) = Launched::of(&scene.folder()).note(&owner) {
            scene.journal.warn(format_args!("what it starts is known by its marks only: {error}"));
        }
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
        let has_run = if self.is(scene, &Status::Down) {
            scene.journal.info(format_args!("{} is already stopped", self.label()));
            false
        } else {
            self.app.run_stop(scene)?
        };
        self.end_rest(scene, if has_run { GRACE } else { Duration::ZERO })
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
    /// Ends what bears the marks of this app and has not ended by itself in time. Those first that no other one of them
    /// started: most programs end what they started.
    fn end_rest(&self, scene: &Scene<'_>, grace: Duration) -> Result<(), Failure> {
        let all = || ProcessTable::all(&self.app.owner(&self.id, scene));
        let parents = OnceCell::new();
        let first = |left: &[Process]| -> Vec<Process> {
            let parents: &BTreeSet<(u32, u64)> =
                parents.get_or_init(|| roots(left).iter().map(|it| (it.pid, it.start)).collect());
            let is_parent = |it: &&Process| parents.contains(&(it.pid, it.start));
            left.iter().filter(is_parent).cloned().collect()
        };
        let tell = |process: &Process| {
            scene.journal.info(format_args!("kill {}, which no stop command ended", process.pid));
        };
        ending::end(all, Manner { grace, first: &first }, tell)
            .map_err(|left| Failure::refused(ending::told(&pids(&left))))?;
        Launched::of(&scene.folder()).forget_all();
        Ok(())
    }

    fn is(&self, scene: &Scene<'_>, wanted: &Status) -> bool {
        if let Some(is_up) = scene.is_known_up() {
            return is_up == (*wanted == Status::Up);
        }
        self.app.has_check()
            && self.app.check(scene, &mut Report::default()).is_ok_and(|status| status == *wanted)
    }
}
