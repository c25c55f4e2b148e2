//! What of an instance runs on whatever its configuration says now, and how an action ends it.
//!
//! Part of the `impl` of [`Act`], in a file of its own for its length.

use model::{InstanceStatus, NodeName, Status};

use crate::action::Act;
use crate::action::remains::Left;
use crate::action::verb::Verb;
use crate::container::left;
use crate::failure::Failure;
use crate::leftovers;
use crate::leftovers::Search;

impl Act<'_> {
    fn is_left(&self, which: Left, rid: &str) -> bool {
        let resource = self.instance.resource(rid);
        match which {
            Left::Named => resource.is_some_and(|resource| {
                self.selection.has(resource) && !resource.is_encap && resource.rid.group() != "sync"
            }),
            _ => resource.is_none_or(|resource| which.is_of(resource)),
        }
    }

    /// Looks for what is left: processes, and containers. What an operator is told of it, none for nothing.
    fn look_for_left<T>(
        &self,
        which: Left,
        then: impl FnOnce(&Search<'_>, &[left::Left]) -> T,
    ) -> T {
        let instance = &self.instance;
        let is_meant = |rid: &str| self.is_left(which, rid);
        let search = Search {
            paths: &self.host.paths,
            path: &instance.path,
            id: Some(&instance.id).filter(|id| !id.is_empty()).map(String::as_str),
            cgroups: &self.host.cgroups,
            scan: None,
            is_meant: &is_meant,
            users: &|rid| instance.users_of(rid),
        };
        let containers = if leftovers::may_have_containers(&instance.var_dir, is_meant) {
            let docker = instance.section("DEFAULT").text("docker_exe").ok().flatten();
            let journal = &instance.journal;
            left::of_object(&instance.path, docker.as_deref(), journal, &is_meant)
        } else {
            vec![]
        };
        then(&search, &containers)
    }

    /// Ends what is left.
    ///
    /// # Errors
    ///
    /// What does not end is named.
    pub(super) fn end_left(&self, which: Left) -> Result<(), Failure> {
        if self.options.dry_run {
            if let Some(left) = self.left(which) {
                self.instance.journal.info(format_args!("dry run: would end {left}"));
            }
            return Ok(());
        }
        let journal = &self.instance.journal;
        self.look_for_left(which, |search, containers| {
            let processes = search.end(|line| journal.info(format_args!("{line}")));
            let containers = left::end(containers, journal);
            processes.and(containers).map_err(Failure::refused)
        })
    }

    /// Names what is left, if something is.
    fn left(&self, which: Left) -> Option<String> {
        self.look_for_left(which, |search, containers| {
            let processes = leftovers::named(&search.find());
            let mut lines = vec![processes];
            lines.extend(containers.iter().map(ToString::to_string));
            lines.retain(|line| !line.is_empty());
            (!lines.is_empty()).then(|| lines.join(", "))
        })
    }

    /// Before the stop of the whole instance: what removed sections started may stand on what is stopped first, and would be
    /// killed with it. What does not end now is looked at once more after the stop.
    pub(super) fn end_removed_before_stop(&self) {
        if self.is_whole()
            && let Err(failure) = self.end_left(Left::Removed)
        {
            self.instance.journal.warn(format_args!("{failure}"));
        }
    }

    /// Before it is disabled: starts and stops leave it alone from then on, whatever runs.
    pub(super) fn tell_what_goes_on(&self) {
        let is_up = |status: &Status| matches!(status, Status::Up | Status::StdbyUp | Status::Warn);
        let is_meant = |rid: &str| {
            self.instance
                .resource(rid)
                .is_some_and(|one| self.selection.is_all() || self.selection.has(one))
        };
        let path = &self.instance.path;
        let known = (self.others)(path, &self.instance.settings.peers);
        for (node, status) in known {
            let resources = status.resources.iter().flatten();
            let up = resources.filter(|(rid, one)| is_up(&one.status) && is_meant(rid));
            let rids: Vec<String> = up.map(|(rid, _)| rid.to_string()).collect();
            if !rids.is_empty() {
                self.instance.journal.warn(format_args!(
                    "{} runs on {node}, and goes on: a stop leaves alone what is disabled. To end it: `om {path} enable`, \
                     then `om {path} stop`",
                    rids.join(", ")
                ));
            }
        }
    }

    /// Before a deletion: nothing of the instance runs on, whatever its configuration says now. An operator is asked to stop
    /// it first, or for `--force`.
    pub(super) fn stop_before_deletion(&self) -> Result<(), Failure> {
        self.end_left(Left::Removed)?;
        let found = crate::refresh::refresh(self.host, &self.instance, None, None, None).status;
        let is_up = |status: &Status| matches!(status, Status::Up | Status::StdbyUp | Status::Warn);
        let untouchable = |rid: &str| {
            self.instance.resource(rid).is_some_and(|resource| resource.is_untouchable())
        };
        let mut up: Vec<String> = found
            .resources
            .iter()
            .flatten()
            .filter(|(rid, resource)| is_up(&resource.status) && !untouchable(rid))
            .map(|(rid, _)| rid.to_string())
            .collect();
        let is_up = !up.is_empty();
        if !is_up {
            // What is disabled, cannot be asked or is not evaluated may run all the same.
            up.extend(self.left(Left::All));
        }
        if up.is_empty() {
            return Ok(());
        }
        let path = &self.instance.path;
        if !self.is_from_daemon && !self.options.force {
            return Err(Failure::refused(format!(
                "{path} runs here ({}): stop it first, or `om {path} delete --force`, which stops it",
                up.join(", ")
            )));
        }
        self.instance.journal.info(format_args!("stop before the deletion: {}", up.join(", ")));
        if is_up {
            self.stop(Verb::Stop, true)?;
        }
        self.end_left(Left::All)
    }

    /// Before sections are deleted: what they started would run on, and no command would name it any more. An operator is
    /// asked to stop it first, or for `--force`, which stops it here and not elsewhere.
    pub(super) fn stop_before_edit(&self) -> Result<(), Failure> {
        let path = &self.instance.path;
        let is_up = |status: &Status| matches!(status, Status::Up | Status::StdbyUp | Status::Warn);
        let named = |status: &InstanceStatus| -> Vec<String> {
            let resources = status.resources.iter().flatten();
            let up = resources.filter(|(_, resource)| is_up(&resource.status));
            let rids = up.map(|(rid, _)| rid.to_string());
            rids.filter(|rid| self.is_left(Left::Named, rid)).collect()
        };
        let here = crate::refresh::refresh(self.host, &self.instance, None, None, None).status;
        let mut here = named(&here);
        let is_up_here = !here.is_empty();
        if !is_up_here {
            // What is disabled, or a task that runs.
            here.extend(self.left(Left::Named));
        }
        let others = (self.others)(path, &self.instance.settings.peers);
        let others = others.iter().filter(|(node, _)| **node != self.host.nodename);
        let others = others.map(|(node, status)| (node, named(status)));
        let others: Vec<_> = others.filter(|(_, rids)| !rids.is_empty()).collect();
        let rids = self.options.rid.as_deref().unwrap_or_default();
        let of = |node: &NodeName, what: &[String]| {
            let what = what.join(", ");
            format!("{what} on {node}: `om {path} stop --rid {rids} --node {node}` ends it")
        };
        let mut lines: Vec<String> = others.iter().map(|(node, rids)| of(node, rids)).collect();
        if !here.is_empty() {
            lines.insert(0, of(&self.host.nodename, &here));
        }
        if lines.is_empty() {
            return Ok(());
        }
        let lines = lines.join("; ");
        if !self.options.force {
            return Err(Failure::refused(format!(
                "nothing is deleted, what the section stands for runs: {lines}; --force deletes it, and stops it on {}",
                self.host.nodename
            )));
        }
        if is_up_here {
            self.stop(Verb::Stop, true)?;
        }
        if !here.is_empty() {
            self.end_left(Left::Named)?;
        }
        for (node, rids) in others {
            self.instance.journal.warn(format_args!(
                "{} runs on, on {node}: the next stop or start of {path} there ends it",
                rids.join(", ")
            ));
        }
        Ok(())
    }
}
