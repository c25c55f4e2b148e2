//! What is done with one node of a roll, stage by stage.

use std::time::{Duration, Instant};

use link::link::Link;
use model::{NodeName, Roll, RollJob, RollNode, RollStage};
use monitor::Glance;
use serde_json::{Map, Value};
use wire::reply::{Lines, status_of};
use wire::{NodeSpec, Request};

use crate::om::{ANSWER, Failure, Om, note};
use crate::operations::roll::alone;
use crate::operations::roll::state::{State, leaves_no_majority, wants_nothing, without_place};
use crate::operations::{drain, exec, glance, whatif};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(300);

/// How long a node may take to tell that it began a command.
const BEGIN: Duration = Duration::from_secs(15);

/// What reboots a machine: services are stopped in order by the units.
const REBOOT: &str = "systemctl reboot";

/// A node of a roll, at work.
pub(super) struct Walk<'a> {
    pub(super) om: &'a Om,
    pub(super) link: &'a Link,
    pub(super) state: &'a State,
    pub(super) roll: &'a mut Roll,
    pub(super) at: usize,
    /// How long each step may take.
    pub(super) time: Duration,
}

impl Walk<'_> {
    fn at(&mut self) -> &mut RollNode {
        self.roll.nodes.get_mut(self.at).expect("the walk goes over the nodes that there are")
    }

    fn name(&mut self) -> NodeName {
        self.at().node.clone()
    }

    /// Notes how far it is, before anything is done about it.
    fn enter(&mut self, stage: RollStage) -> Result<(), Failure> {
        self.at().stage = stage;
        self.at().reason = None;
        self.state.write(self.roll)
    }

    fn tell(&mut self, what: &str) {
        let name = self.name();
        note(&format!("{name}: {what}"));
    }

    /// Does the node from where it is to its end. False where it goes on after a boot of this machine.
    pub(super) fn node(&mut self) -> Result<bool, Failure> {
        loop {
            match self.at().stage {
                RollStage::Pending => self.look_ahead()?,
                RollStage::Draining => self.drain()?,
                RollStage::Working => {
                    if !self.work()? {
                        return Ok(false);
                    }
                }
                RollStage::Recovering => self.recover()?,
                RollStage::Thawing => self.thaw()?,
                RollStage::Done | RollStage::Skipped => return Ok(true),
            }
        }
    }

    /// Whether it is to be done, and whether that is safe now.
    fn look_ahead(&mut self) -> Result<(), Failure> {
        let (name, force) = (self.name(), self.roll.force);
        let found = glance::ask(self.link)?;
        if let Some(reason) = found.left_out(&name, force) {
            return self.skip(reason);
        }
        if let Some(reason) = wants_nothing(self.link, self.roll, &name)? {
            let reason = reason.trim_start_matches("skipped: ").to_owned();
            return self.skip(reason);
        }
        let all = crate::nodes::members_of(self.link)?;
        let all = all.iter().filter_map(|name| NodeName::new(name).ok());
        let missing: Vec<String> = all.filter_map(|node| found.not_ready(&node)).collect();
        if !missing.is_empty() {
            return Err(Failure::new(format!("not begun: {}", missing.join("; "))));
        }
        alone::check(self.om, self.link)?;
        if let Some(reason) = leaves_no_majority(self.link, self.roll, &name)? {
            return Err(Failure::new(format!(
                "not begun: {reason}; `om cluster roll --resume --force` does it all the same"
            )));
        }
        let lost = without_place(&whatif::ask(self.link, &[name.to_string()], &[])?);
        if !lost.is_empty() && !force {
            let lines: Vec<String> = lost.into_iter().map(|(_, outcome)| outcome).collect();
            return Err(Failure::new(format!(
                "not begun, as a service would have no place meanwhile: {}; `om cluster roll --resume --force` does it all the same",
                lines.join("; ")
            )));
        }
        let boot = exec::boot_of(self.link, &name)?.boot_id;
        let node = self.at();
        node.without_place = lost.into_iter().map(|(path, _)| path).collect();
        node.before = found.available();
        node.was_frozen = found.is_frozen(&name);
        node.boot = boot;
        self.enter(RollStage::Draining)
    }

    fn skip(&mut self, reason: String) -> Result<(), Failure> {
        self.tell(&format!("skipped: {reason}"));
        self.enter(RollStage::Skipped)?;
        self.at().reason = Some(reason);
        self.state.write(self.roll)
    }

    fn drain(&mut self) -> Result<(), Failure> {
        self.tell("drains");
        let (name, time) = (self.name(), self.time);
        let request = Request::new(wire::NodeDrain { wait: true, time: Some(time) });
        let request = request.on(NodeSpec::Names(vec![name.to_string()]));
        let om = Om { output: cli::Output::default(), ..self.om.clone() };
        let code = drain::follow(&om, self.link, &[name.to_string()], request, Some(time))?;
        if code != 0 {
            return Err(Failure::new("it is not empty, or what left it is not up elsewhere"));
        }
        self.at().command = String::new();
        self.enter(RollStage::Working)
    }

    /// Runs the command, or reboots. False where this machine goes down with it.
    fn work(&mut self) -> Result<bool, Failure> {
        match self.roll.job.clone() {
            RollJob::Run(command) => {
                self.run(&command)?;
                self.enter(RollStage::Recovering)?;
                Ok(true)
            }
            RollJob::Reboot => self.reboot(),
        }
    }

    /// Runs a command that was not begun yet, and waits for its end.
    fn run(&mut self, command: &str) -> Result<(), Failure> {
        let name = self.name();
        if self.at().command.is_empty() {
            self.tell(&format!("runs `{command}`"));
            // Noted before it is begun: a roll that is resumed asks for its result.
            self.at().command = exec::new_id(&name);
            self.enter(RollStage::Working)?;
            let id = self.at().command.clone();
            exec::begin_on(self.link, &name, &id, command)?;
        }
        let id = self.at().command.clone();
        let begin = Instant::now();
        let mut told = String::new();
        let outcome = loop {
            match exec::ask_on(self.link, &name, &id) {
                Ok(outcome) if !outcome.is_running => break outcome,
                Ok(_) => {}
                // It was not begun, or does not tell as its daemon is away: the command may be what restarts that.
                Err(why) if begin.elapsed() >= self.time.min(BEGIN) && why.is_answer => {
                    self.at().command = String::new();
                    return Err(Failure::new(format!("the command was not begun: {}", why.text)));
                }
                Err(why) => told = why.text,
            }
            if begin.elapsed() >= self.time {
                let told = if told.is_empty() { String::new() } else { format!(" ({told})") };
                return Err(Failure::new(format!(
                    "the command runs for longer than {:?}{told}",
                    self.time
                )));
            }
            std::thread::sleep(LOOK);
        };
        for line in outcome.out.lines().chain(outcome.err.lines()) {
            note(&format!("{name}: | {line}"));
        }
        // What failed is begun anew when the roll is resumed.
        match outcome.ret {
            Some(0) => Ok(()),
            Some(code) => {
                self.at().command = String::new();
                Err(Failure::new(format!("the command failed with exit code {code}")))
            }
            None => {
                self.at().command = String::new();
                Err(Failure::new("the command was ended, and nobody knows how far it came"))
            }
        }
    }

    fn reboot(&mut self) -> Result<bool, Failure> {
        let (name, before) = (self.name(), self.at().boot.clone());
        let is_new =
            |link: &Link| exec::boot_of(link, &name).is_ok_and(|boot| boot.boot_id != before);
        if !is_new(self.link) {
            self.tell("reboots");
            let id = exec::new_id(&name);
            if self.link.is_local(name.as_str()) {
                note(
                    "this machine goes down: once it is back, `om cluster roll --resume` here thaws it and ends the roll",
                );
                exec::begin_on(self.link, &name, &id, REBOOT)?;
                return Ok(false);
            }
            exec::begin_on(self.link, &name, &id, REBOOT)?;
            let begin = Instant::now();
            while !is_new(self.link) {
                if let Ok(outcome) = exec::ask_on(self.link, &name, &id)
                    && !outcome.is_running
                    && outcome.ret.is_some_and(|ret| ret != 0)
                {
                    let why = outcome.err.lines().next_back().unwrap_or_default().to_owned();
                    return Err(Failure::new(format!("`{REBOOT}` failed: {why}")));
                }
                if begin.elapsed() >= self.time {
                    return Err(Failure::new(format!("it is not back within {:?}", self.time)));
                }
                std::thread::sleep(LOOK);
            }
        }
        self.tell("is back from its reboot");
        self.enter(RollStage::Recovering)?;
        Ok(true)
    }

    /// Waits until the node is well: what has a place without it is as available as before.
    fn recover(&mut self) -> Result<(), Failure> {
        let (name, before) = (self.name(), self.at().before.clone());
        let except = self.at().without_place.clone();
        self.wait("is not well", |found| {
            found.not_ready(&name).or_else(|| found.less_available(&before, &except))
        })?;
        self.tell("is well");
        self.enter(RollStage::Thawing)
    }

    /// Thaws it, unless it was frozen before, and waits for all services.
    fn thaw(&mut self) -> Result<(), Failure> {
        let (name, before) = (self.name(), self.at().before.clone());
        if self.at().was_frozen {
            self.tell("done; it was frozen before, and stays so");
            return self.enter(RollStage::Done);
        }
        let options = Map::from_iter([("local".to_owned(), Value::Bool(true))]);
        let request = Request::new(wire::NodeAction {
            sync: true,
            action_mode: true,
            action: Some("thaw".to_owned()),
            options,
        });
        let reply =
            self.link.ask(&request.on(NodeSpec::Names(vec![name.to_string()])), Some(ANSWER))?;
        if status_of(&reply) != 0 {
            return Err(Failure { lines: Lines::of(&reply).errors, code: 1 });
        }
        self.wait("is thawed, but not all is as before", |found| {
            if found.is_frozen(&name) {
                return Some(format!("{name} is frozen still"));
            }
            found.not_ready(&name).or_else(|| found.less_available(&before, &Default::default()))
        })?;
        self.tell("done");
        self.enter(RollStage::Done)
    }

    /// Waits until nothing is wrong any more; what was, where that takes too long.
    fn wait(&self, what: &str, wrong: impl Fn(&Glance) -> Option<String>) -> Result<(), Failure> {
        let begin = Instant::now();
        loop {
            let reason = match glance::ask(self.link) {
                Ok(found) => match wrong(&found) {
                    None => return Ok(()),
                    Some(reason) => reason,
                },
                Err(failure) => failure.lines.join("; "),
            };
            if begin.elapsed() >= self.time {
                return Err(Failure::new(format!("it {what} within {:?}: {reason}", self.time)));
            }
            std::thread::sleep(LOOK);
        }
    }
}
