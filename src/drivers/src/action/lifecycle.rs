//! Starting, stopping, provisioning: what changes the resources of an instance.
//!
//! Part of the `impl` of [`Act`], in a file of its own for its length.

use model::{ObjectPath, Status, SyncAction};

use crate::action::Act;
use crate::action::remains::Left;
use crate::action::sequence::States;
use crate::action::verb::Verb;
use crate::driver::SyncTo;
use crate::failure::Failure;
use crate::order::Direction;
use crate::status_file;

impl Act<'_> {
    /// `start`, `startstandby`.
    pub(super) fn start(&self, verb: Verb) -> Result<(), Failure> {
        self.check_env()?;
        self.tell_skipped(verb, true);
        let is_meant = |is_standby: bool| verb == Verb::Start || is_standby;
        if verb == Verb::Start && self.selection.is_all() && !self.options.dry_run {
            if !self.is_from_daemon && !self.is_part && !self.options.force {
                self.check_affinities()?;
            }
            self.check_aborts()?;
        }
        if verb == Verb::Start {
            // What a removed section started would run beside what is started now.
            self.end_left(Left::Removed)?;
        }
        let sets = self.selected(Direction::Start, |resource| is_meant(resource.is_standby));
        let mut states = self.states();
        let mut activated = vec![];
        let done = self.with_triggers(verb, || {
            let done = self.last_sequence(verb, &sets, &mut states, Status::Up, |scene| {
                scene.resource.driver.start(scene)
            });
            activated.clone_from(&done.activated);
            done.result()
        });
        if done.is_err() && self.rolls_back() {
            self.roll_back(&activated, &mut states)?;
        }
        done
    }

    /// Whether what fails is rolled back.
    fn rolls_back(&self) -> bool {
        self.instance.settings.rollback && !self.options.disable_rollback
    }

    /// Stops what an action brought up.
    fn roll_back(&self, activated: &[String], states: &mut States) -> Result<(), Failure> {
        let sets = crate::order::sets(&self.instance, Direction::Stop, |resource| {
            !resource.is_standby
                && !resource.is_untouchable()
                && activated.iter().any(|rid| rid == resource.rid.as_str())
        });
        if sets.is_empty() {
            return Ok(());
        }
        // A word that came after the last step has been heard.
        self.host.interrupt.take();
        self.instance.journal.info(format_args!("roll back: stop {}", activated.join(", ")));
        self.freeze_before_stop()?;
        self.last_sequence(Verb::Stop, &sets, states, Status::Down, |scene| {
            scene.resource.driver.stop(scene)
        })
        .result()
    }

    /// `stop`, `shutdown`.
    pub(super) fn stop(&self, verb: Verb, with_standby: bool) -> Result<(), Failure> {
        self.tell_skipped(verb, with_standby);
        self.end_removed_before_stop();
        let sets = self.selected(Direction::Stop, |resource| with_standby || !resource.is_standby);
        let mut states = self.states();
        self.with_triggers(verb, || {
            self.last_sequence(verb, &sets, &mut states, Status::Down, |scene| {
                scene.resource.driver.stop(scene)
            })
            .result()
        })?;
        if self.is_whole() {
            self.end_left(Left::Stopped { with_standby })?;
        }
        if !self.options.dry_run {
            // Those that a process is still in stay.
            self.host.cgroups.remove(&self.instance);
        }
        Ok(())
    }

    /// `boot`: forgets what a reboot ended, then brings up what is always up.
    pub(super) fn boot(&self) -> Result<(), Failure> {
        let states = States::new();
        for resource in &self.instance.resources {
            let journal = self.instance.journal.resource(resource.rid.as_str());
            let scene = self.scene(resource, &journal, &states);
            if !resource.is_untouchable()
                && let Err(failure) = resource.driver.boot(&scene)
            {
                journal.warn(format_args!("{failure}"));
            }
        }
        self.start(Verb::Startstandby)
    }

    /// `provision`: makes and starts each resource in turn.
    pub(super) fn provision(&self) -> Result<(), Failure> {
        self.check_env()?;
        self.tell_skipped(Verb::Provision, true);
        self.end_left(Left::Removed)?;
        let sets = self.selected(Direction::Start, |resource| resource.is_provisionable);
        let mut states = self.states();
        let mut activated = vec![];
        let is_leader = self.is_leader();
        let is_alone = self.instance.settings.peers.len() < 2;
        let is_stopped_after = !is_alone && !self.options.disable_rollback;
        let mut again = None;
        let done = self.with_triggers(Verb::Provision, || {
            for set in &sets {
                let act: &Self = again.as_ref().unwrap_or(self);
                let one = std::slice::from_ref(set);
                act.sequence(Verb::Provision, one, &mut states, |scene| {
                    let resource = scene.resource;
                    let folder = scene.folder();
                    // What has no provisioner has nothing to be made.
                    if !resource.has_provisioned_state() {
                        return Ok(());
                    }
                    let is_done = status_file::provisioned(&folder).is_some_and(|flag| flag.state);
                    if is_done {
                        scene.journal.info(format_args!("already provisioned"));
                        return Ok(());
                    }
                    if resource.is_shared && !is_leader {
                        // The leader made it; the time says so.
                        let time = Some(model::Timestamp(1.0));
                        return status_file::set_provisioned(&folder, true, time)
                            .map_err(Failure::io("provisioned flag"));
                    }
                    resource.driver.provision(scene)?;
                    status_file::set_provisioned(&folder, true, None)
                        .map_err(Failure::io("provisioned flag"))
                })
                .result()?;
                let started = act.sequence(Verb::Start, one, &mut states, |scene| {
                    let is_last_step =
                        matches!(scene.resource.rid.group(), "ip" | "app" | "container" | "task");
                    // Nothing is made of it for the next ones, and it may run on another node by now.
                    let is_in_vain = is_stopped_after && is_last_step;
                    let is_of_leader = scene.resource.is_shared && !is_leader;
                    if (is_of_leader || is_in_vain) && !scene.resource.is_standby {
                        return Ok(());
                    }
                    scene.resource.driver.start(scene)
                });
                activated.extend(started.activated.iter().cloned());
                started.result()?;
                if set.group == "volume" {
                    again = Some(self.read_again());
                }
            }
            Ok(())
        });
        // What is made runs where it is started then: that is no matter of failures.
        if is_stopped_after || (done.is_err() && self.rolls_back()) {
            again.as_ref().unwrap_or(self).roll_back(&activated, &mut states)?;
        }
        done
    }

    /// `unprovision`: stops and unmakes each resource in turn.
    pub(super) fn unprovision(&self) -> Result<(), Failure> {
        self.tell_skipped(Verb::Unprovision, true);
        self.end_removed_before_stop();
        let sets = self.selected(Direction::Stop, |_| true);
        let mut states = self.states();
        let is_leader = self.is_leader();
        self.with_triggers(Verb::Unprovision, || {
            for set in &sets {
                let one = std::slice::from_ref(set);
                self.sequence(Verb::Stop, one, &mut states, |scene| {
                    scene.resource.driver.stop(scene)
                })
                .result()?;
                self.sequence(Verb::Unprovision, one, &mut states, |scene| {
                    let resource = scene.resource;
                    // What is not made here is not unmade here either.
                    if !resource.is_unprovisionable || !resource.is_provisionable {
                        return Ok(());
                    }
                    if !resource.is_shared || is_leader {
                        resource.driver.unprovision(scene)?;
                    }
                    if !resource.has_provisioned_state() {
                        return Ok(());
                    }
                    status_file::set_provisioned(&scene.folder(), false, None)
                        .map_err(Failure::io("provisioned flag"))
                })
                .result()?;
            }
            Ok(())
        })?;
        if self.is_whole() && !self.options.dry_run {
            self.end_left(Left::Stopped { with_standby: true })?;
            self.host.cgroups.remove(&self.instance);
            self.forget_resources();
        }
        Ok(())
    }

    /// Removes what is remembered of the resources, except whether they are provisioned.
    fn forget_resources(&self) {
        _ = std::fs::remove_dir_all(self.instance.var_dir.join("scheduler"));
        for resource in &self.instance.resources {
            let folder = self.instance.var_dir.join(resource.rid.as_str());
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_name() == "provisioned" {
                    continue;
                }
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let removed = if is_folder {
                    std::fs::remove_dir_all(entry.path())
                } else {
                    std::fs::remove_file(entry.path())
                };
                if let Err(error) = removed {
                    self.instance.journal.warn(format_args!("{}: {error}", entry.path().display()));
                }
            }
        }
    }

    /// `set provisioned`, `set unprovisioned`.
    pub(super) fn set_provisioned(&self, state: bool) -> Result<(), Failure> {
        let word = if state { "provisioned" } else { "unprovisioned" };
        let dry = if self.options.dry_run { "dry run: would " } else { "" };
        let mut is_any = false;
        for resource in &self.instance.resources {
            if !self.selection.has(resource) || !resource.has_provisioned_state() {
                continue;
            }
            is_any = true;
            let folder = self.instance.var_dir.join(resource.rid.as_str());
            let journal = self.instance.journal.resource(resource.rid.as_str());
            journal.info(format_args!("{dry}set {word}"));
            if !self.options.dry_run {
                status_file::set_provisioned(&folder, state, None)
                    .map_err(Failure::io("provisioned flag"))?;
            }
        }
        if self.options.dry_run && !is_any {
            let journal = &self.instance.journal;
            journal.info(format_args!("dry run: no resource is to be set {word}"));
        }
        Ok(())
    }

    /// `run`: all selected tasks. One that fails does not keep the others from running.
    pub(super) fn run_tasks(&self) -> Result<(), Failure> {
        self.check_env()?;
        let sets = self.selected(Direction::Start, |resource| resource.rid.group() == "task");
        if sets.is_empty() {
            return Err(Failure::refused("no task to run"));
        }
        let mut states = self.states();
        let mut failed = vec![];
        for index in sets.iter().flat_map(|set| set.members.iter().copied()) {
            let resource = &self.instance.resources[index];
            let rid = resource.rid.to_string();
            let one = crate::order::Set {
                name: resource.set(),
                group: "task".to_owned(),
                is_parallel: false,
                members: vec![index],
            };
            // Tasks are optional by default, and yet whoever runs one wants to know.
            let cause = std::sync::OnceLock::new();
            let done = self.sequence(Verb::Run, &[one], &mut states, |scene| {
                let done = scene.resource.driver.run(scene);
                if let Err(failure) = &done {
                    _ = cause.set(failure.again());
                }
                done
            });
            failed.extend(cause.into_inner().or(done.failure).map(|cause| (rid, cause)));
        }
        Failure::of_resources(failed)
    }

    /// `sync ..`.
    pub(super) fn sync(&self, which: SyncAction) -> Result<(), Failure> {
        let to = match which {
            SyncAction::All | SyncAction::Update | SyncAction::Full => SyncTo::All,
            SyncAction::Nodes => SyncTo::Nodes,
            SyncAction::Drp => SyncTo::DrpNodes,
        };
        let states = self.states();
        let verb = Verb::Sync(which);
        let mut failed = vec![];
        self.with_triggers(verb, || {
            for resource in &self.instance.resources {
                let is_meant = resource.rid.group() == "sync" && self.selection.has(resource);
                if !is_meant || resource.is_untouchable() {
                    continue;
                }
                let rid = resource.rid.to_string();
                let journal = self.instance.journal.resource(&rid);
                if self.options.dry_run {
                    journal.info(format_args!(
                        "dry run: would {} {}",
                        verb.word(),
                        resource.driver.label()
                    ));
                    continue;
                }
                if let Err(failure) =
                    resource.driver.sync(&self.scene(resource, &journal, &states), to)
                {
                    journal.error(format_args!("{failure}"));
                    failed.push((rid, failure));
                }
            }
            Ok(())
        })?;
        Failure::of_resources(failed)
    }

    /// What is not production stays off production nodes.
    fn check_env(&self) -> Result<(), Failure> {
        let own = self.instance.section("DEFAULT").text("env").ok().flatten();
        let node = self.host.node.env.as_str();
        match own {
            Some(env) if node == "PRD" && env != "PRD" => {
                Err(Failure::refused(format!("env is {env}, and this node is PRD")))
            }
            _ => Ok(()),
        }
    }

    fn check_affinities(&self) -> Result<(), Failure> {
        let settings = &self.instance.settings;
        let is_up = |path: &String| {
            ObjectPath::parse(path)
                .ok()
                .and_then(|path| status_file::read(&self.host.paths, &path))
                .is_some_and(|status| status.avail == Some(Status::Up))
        };
        if let Some(path) = settings.hard_affinity.iter().find(|path| !is_up(path)) {
            return Err(Failure::refused(format!(
                "hard affinity: {path} is not up here (--force?)"
            )));
        }
        if let Some(path) = settings.hard_anti_affinity.iter().find(|path| is_up(path)) {
            return Err(Failure::refused(format!(
                "hard anti affinity: {path} is up here (--force?)"
            )));
        }
        Ok(())
    }

    /// Asks all drivers at once whether something speaks against a start.
    fn check_aborts(&self) -> Result<(), Failure> {
        let states = States::new();
        let reasons: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .instance
                .resources
                .iter()
                .filter(|resource| !resource.is_untouchable() && resource.driver.may_hang())
                .map(|resource| {
                    let states = &states;
                    scope.spawn(move || {
                        let journal = self.instance.journal.resource(resource.rid.as_str());
                        let scene = self.scene(resource, &journal, states);
                        let reason = resource.driver.abort_reason(&scene)?;
                        Some(format!("{}: {reason}", resource.rid))
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
        });
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Failure::refused(format!("start aborted: {}", reasons.join(", "))))
    }
}
