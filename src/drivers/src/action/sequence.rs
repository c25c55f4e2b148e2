//! One verb over the resources of an instance: order, requirements, triggers, subsets in parallel, optional errors.
//!
//! Part of the `impl` of [`Act`], in a file of its own for its length.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use model::Status;

use crate::action::Act;
use crate::action::verb::Verb;
use crate::driver::{Resource, Scene};
use crate::evaluation::{evaluate_one, standby_state};
use crate::failure::Failure;
use crate::order::{Direction, Set};
use crate::triggers::{Moment, Triggers};
use crate::{order, requires};

/// States of resources by id.
pub(crate) type States = BTreeMap<String, Status>;

/// What is done to each resource.
struct Step<'a> {
    run: &'a (dyn Fn(&Scene<'_>) -> Result<(), Failure> + Sync),
    /// The resource after which nobody looks at the states found here, and where the step brings it.
    last: Option<(usize, Status)>,
}

/// What came of one resource.
pub(crate) struct Outcome {
    rid: String,
    result: Result<(), Failure>,
    before: Status,
    after: Status,
}

/// What came of a sequence.
#[derive(Default)]
pub(crate) struct Done {
    /// Resources that it changed from not up to up.
    pub activated: Vec<String>,
    /// What stopped it.
    pub failure: Option<Failure>,
}

impl Done {
    /// The end of the sequence as a result.
    pub(crate) fn result(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), Err)
    }
}

fn is_up(status: &Status) -> bool {
    matches!(status, Status::Up | Status::StdbyUp)
}

impl Act<'_> {
    /// Whether this instance does what is done once per object.
    pub(super) fn is_leader(&self) -> bool {
        self.options.leader || self.instance.settings.peers.len() < 2
    }

    /// States of all resources now.
    pub(super) fn states(&self) -> States {
        let found = crate::refresh::refresh(self.host, &self.instance, None, None, None);
        self.has_acted.store(false, Ordering::Relaxed);
        let resources = found.status.resources.unwrap_or_default();
        resources.into_iter().map(|(rid, resource)| (rid, resource.status.clone())).collect()
    }

    pub(super) fn triggers(&self, verb: Verb) -> Triggers<'_> {
        Triggers {
            host: self.host,
            instance: &self.instance,
            verb,
            is_leader: self.is_leader(),
            is_dry_run: self.options.dry_run,
            has_acted: &self.has_acted,
        }
    }

    /// Runs `run` between the triggers of the object.
    pub(super) fn with_triggers(
        &self,
        verb: Verb,
        run: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let triggers = self.triggers(verb);
        triggers.of_object(Moment::Pre)?;
        triggers.of_object(Moment::BlockingPre)?;
        run()?;
        triggers.of_object(Moment::Post)?;
        triggers.of_object(Moment::BlockingPost)
    }

    /// The selected resources that the verb may touch, in order.
    pub(super) fn selected(
        &self,
        direction: Direction,
        is_meant: impl Fn(&Resource) -> bool,
    ) -> Vec<Set> {
        let sets = order::sets(&self.instance, direction, |resource| {
            !resource.is_untouchable() && self.selection.has(resource) && is_meant(resource)
        });
        let last = match direction {
            Direction::Start => self.options.upto.as_deref(),
            Direction::Stop => self.options.downto.as_deref(),
        };
        match last {
            Some(last) => order::cut(&self.instance, sets, last),
            None => sets,
        }
    }

    /// Tells which of the selected resources are left alone, and why: else a command that does nothing looks as if it
    /// had done everything.
    pub(super) fn tell_skipped(&self, verb: Verb, with_standby: bool) {
        let journal = &self.instance.journal;
        let path = &self.instance.path;
        if self.instance.settings.disabled {
            let word = verb.word();
            journal.info(format_args!("disabled, {word} does nothing: `om {path} enable` first"));
            return;
        }
        for resource in self.instance.resources.iter().filter(|one| self.selection.has(one)) {
            let journal = journal.resource(resource.rid.as_str());
            if resource.is_disabled {
                journal.info(format_args!("skipped: disabled"));
            } else if resource.tags.contains("noaction") {
                journal.info(format_args!("skipped: has the tag noaction"));
            } else if resource.is_standby && !with_standby {
                journal.info(format_args!("skipped: standby, --force stops it too"));
            }
        }
    }

    /// Runs a step on each resource of the sets, in order, until one that is not optional fails.
    pub(super) fn sequence(
        &self,
        verb: Verb,
        sets: &[Set],
        states: &mut States,
        step: impl Fn(&Scene<'_>) -> Result<(), Failure> + Sync,
    ) -> Done {
        self.sequence_until(verb, sets, states, None, step)
    }

    /// The same, where the whole instance is evaluated next: the last resource, done, is taken to be where the step brings
    /// it.
    pub(super) fn last_sequence(
        &self,
        verb: Verb,
        sets: &[Set],
        states: &mut States,
        brings: Status,
        step: impl Fn(&Scene<'_>) -> Result<(), Failure> + Sync,
    ) -> Done {
        let last = sets.last().and_then(|set| set.members.last()).copied();
        self.sequence_until(verb, sets, states, last.map(|last| (last, brings)), step)
    }

    fn sequence_until(
        &self,
        verb: Verb,
        sets: &[Set],
        states: &mut States,
        last: Option<(usize, Status)>,
        step: impl Fn(&Scene<'_>) -> Result<(), Failure> + Sync,
    ) -> Done {
        let step = Step { run: &step, last };
        let mut done = Done::default();
        for set in sets {
            let outcomes = if set.is_parallel && set.members.len() > 1 && !self.options.dry_run {
                self.instance.journal.debug(format_args!(
                    "{} {} in parallel",
                    verb.word(),
                    set.name
                ));
                self.parallel(verb, set, states, &step)
            } else {
                self.serial(verb, set, states, &step)
            };
            for outcome in outcomes {
                self.account(outcome, states, &mut done);
            }
            // What comes next, a rollback or another look, is not ended by the same word.
            if self.host.interrupt.take() {
                let what = format!("{} {}", verb.word(), set.name);
                done.failure.get_or_insert(Failure::Interrupted { command: what });
            }
            if done.failure.is_some() {
                break;
            }
        }
        done
    }

    fn account(&self, outcome: Outcome, states: &mut States, done: &mut Done) {
        let Outcome { rid, result, before, after } = outcome;
        // One that came up halfway is to be rolled back as well.
        if (is_up(&after) || after == Status::Warn) && !is_up(&before) && before != Status::Warn {
            done.activated.push(rid.clone());
        }
        states.insert(rid.clone(), after);
        let Err(failure) = result else { return };
        let journal = self.instance.journal.resource(&rid);
        let is_optional = self.instance.resource(&rid).is_some_and(|resource| resource.is_optional);
        if is_optional {
            journal.warn(format_args!("{failure} (optional resource, ignored)"));
            return;
        }
        journal.error(format_args!("{failure}"));
        done.failure.get_or_insert_with(|| Failure::Resource { rid, cause: Box::new(failure) });
    }

    fn serial(&self, verb: Verb, set: &Set, states: &States, step: &Step<'_>) -> Vec<Outcome> {
        let mut states = states.clone();
        let mut outcomes = vec![];
        for index in &set.members {
            let resource = &self.instance.resources[*index];
            let outcome = self.one(verb, *index, &states, step);
            states.insert(outcome.rid.clone(), outcome.after.clone());
            let is_fatal = (outcome.result.is_err() && !resource.is_optional)
                || self.host.interrupt.is_raised();
            outcomes.push(outcome);
            if is_fatal {
                break;
            }
        }
        outcomes
    }

    fn parallel(&self, verb: Verb, set: &Set, states: &States, step: &Step<'_>) -> Vec<Outcome> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = set
                .members
                .iter()
                .map(|index| {
                    let resource = &self.instance.resources[*index];
                    (resource, scope.spawn(move || self.one(verb, *index, states, step)))
                })
                .collect();
            threads
                .into_iter()
                .map(|(resource, thread)| {
                    thread.join().unwrap_or_else(|_| Outcome {
                        rid: resource.rid.to_string(),
                        result: Err(Failure::refused("the driver failed on an error of its own")),
                        before: Status::Undef,
                        after: Status::Undef,
                    })
                })
                .collect()
        })
    }

    /// What a driver sees.
    pub(super) fn scene<'s>(
        &'s self,
        resource: &'s Resource,
        journal: &'s crate::journal::Journal,
        states: &'s States,
    ) -> Scene<'s> {
        Scene {
            host: self.host,
            instance: &self.instance,
            resource,
            journal,
            states,
            state: None,
            known_pids: None,
            is_forced: self.options.force,
            is_leader: self.is_leader(),
            is_scheduled: self.options.cron,
            is_confirmed: self.options.confirm,
            runs: Some(self),
        }
    }

    fn one(&self, verb: Verb, index: usize, states: &States, step: &Step<'_>) -> Outcome {
        let resource = &self.instance.resources[index];
        let rid = resource.rid.to_string();
        let journal = self.instance.journal.resource(&rid);
        let scene = self.scene(resource, &journal, states);
        let before = states.get(&rid).cloned().unwrap_or(Status::Undef);
        if self.options.dry_run {
            let is_nothing = resource.rid.group() == "task" && verb.is_about_state();
            if !is_nothing {
                let label = resource.driver.label();
                journal.info(format_args!("dry run: would {} {label}", verb.word()));
            }
            return Outcome { rid, result: Ok(()), after: before.clone(), before };
        }
        if let Err(failure) =
            requires::check(&self.instance, resource, verb.requires_word(), states)
        {
            // The scheduler asks again, and again.
            let result = if self.options.cron { Ok(()) } else { Err(failure) };
            return Outcome { rid, result, after: before.clone(), before };
        }
        if let Some(lock) = self.lock.load().as_ref() {
            lock.progress(&rid);
        }
        let triggers = self.triggers(verb);
        let run = || {
            triggers.of_resource(resource, Moment::Pre)?;
            triggers.of_resource(resource, Moment::BlockingPre)?;
            let is_fresh = !self.has_acted.swap(true, Ordering::Relaxed);
            (step.run)(&Scene { state: states.get(&rid).filter(|_| is_fresh), ..scene })?;
            triggers.of_resource(resource, Moment::Post)?;
            triggers.of_resource(resource, Moment::BlockingPost)
        };
        let result = run();
        let after = match &step.last {
            Some((last, brings)) if *last == index && result.is_ok() => brings.clone(),
            // Nothing is asked any more: what it left behind is not known.
            _ if self.host.interrupt.is_raised() => Status::Warn,
            // What comes next looks at it; a failed start that left something behind is rolled back too.
            _ => evaluate_one(&scene).status,
        };
        let after = standby_state(resource, after);
        Outcome { rid, result, before, after }
    }
}
