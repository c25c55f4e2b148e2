//! What of an instance runs on whatever its configuration says now, and how an action ends it.

use model::Status;

use super::super::container;
use super::super::driver::Failure;
use super::super::instance::Resource;
use super::super::leftovers::{self, Search};
use super::{Act, Verb};

/// Which of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// That of resources which are not configured any more.
    Removed,
    /// That, and what a stop of the whole instance is to have ended, of whatever type its resources are now. A task that
    /// runs is none of it, nor what stays by itself.
    Stopped {
        /// Standby resources were stopped too.
        with_standby: bool,
    },
    /// All of it, but what the tag `noaction` keeps from us, and what is in a guest.
    All,
}

impl Left {
    fn is_of(self, resource: &Resource) -> bool {
        match self {
            Self::Removed => false,
            Self::Stopped { with_standby } => {
                !resource.is_untouchable()
                    && !resource.is_optional
                    && (with_standby || !resource.is_standby)
                    && resource.rid.group() != "task"
            }
            Self::All => !resource.is_encap && !resource.tags.contains("noaction"),
        }
    }
}

impl Act<'_> {
    fn is_left(&self, which: Left, rid: &str) -> bool {
        self.instance.resource(rid).is_none_or(|resource| which.is_of(resource))
    }

    /// Looks for what is left: processes, and containers. What an operator is told of it, none for nothing.
    fn look_for_left<T>(
        &self,
        which: Left,
        then: impl FnOnce(&Search<'_>, &[container::left::Left]) -> T,
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
            container::left::of_object(&instance.path, docker.as_deref(), journal, &is_meant)
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
            let containers = container::left::end(containers, journal);
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

    /// Before a deletion: nothing of the instance runs on, whatever its configuration says now. An operator is asked to stop
    /// it first, or for `--force`.
    pub(super) fn stop_before_deletion(&self) -> Result<(), Failure> {
        self.end_left(Left::Removed)?;
        let found = super::super::refresh(self.host, &self.instance, None, None, None).status;
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
}
