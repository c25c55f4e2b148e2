//! How an action ended: the instance is evaluated, and compared to where the action should have brought it.
//!
//! Part of the `impl` of [`Act`], in a file of its own for its length.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use machine::last_failure;
use model::{InstanceAction, InstanceStatus, LastFailure, Status};

use crate::action::Act;
use crate::announce;
use crate::driver::Resource;
use crate::failure::Failure;
use crate::order::Direction;
use crate::status_file;

/// How long what was stopped may take to be down: a stop command may return before what it asked to end has ended.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at it.
const STOP_PAUSE: Duration = Duration::from_millis(200);

/// Set by the runner: the session of the action.
const SESSION_VARIABLE: &str = "OSVC_SESSION_UUID";

impl Act<'_> {
    /// Evaluates after an action, publishes, and tells whether the instance is where the action should have brought it.
    pub(super) fn conclude(
        &self,
        action: InstanceAction,
        done: Result<(), Failure>,
    ) -> Result<(), Failure> {
        // A configuration that the action changed is read again by the daemon.
        let has_volumes = self.instance.resources.iter().any(|it| it.rid.group() == "volume");
        let instance = match action {
            // What leads into a volume that was just made leads there only now.
            InstanceAction::Provision if has_volumes => self.read_again().instance,
            _ => self.instance.clone(),
        };
        let refresh = || crate::refresh::refresh(self.host, &instance, None, None, None).status;
        let mut found = refresh();
        let is_whole = self.is_whole() && done.is_ok();
        let with_standby = match action {
            _ if done.is_err() => None,
            InstanceAction::Stop => Some(self.options.force),
            InstanceAction::Shutdown | InstanceAction::Unprovision => Some(true),
            _ => None,
        };
        let mut running = vec![];
        if let Some(with_standby) = with_standby {
            let start = Instant::now();
            running = self.still_running(&found, with_standby);
            while !running.is_empty() && start.elapsed() < STOP_PATIENCE {
                std::thread::sleep(STOP_PAUSE);
                found = refresh();
                running = self.still_running(&found, with_standby);
            }
        }
        let done = done.and_then(|()| judge(action, &found, is_whole, &running));
        let before = found.last_failure.take();
        found.last_failure = self.keep_failure(action, &done).map(Box::new);
        if found.last_failure != before {
            found.csum = Some(monitor::digest(&found));
            status_file::write_told(&self.host.paths, &self.instance, &found);
        }
        // The daemon that runs this action decides on it, and need not find it once more.
        let session = if self.is_from_daemon { std::env::var(SESSION_VARIABLE).ok() } else { None };
        announce::status(&self.host.paths, &self.instance.path, &found, session.as_deref());
        done
    }

    /// Keeps why the action failed, or forgets why one before did. What is kept then.
    pub(super) fn keep_failure(
        &self,
        action: InstanceAction,
        done: &Result<(), Failure>,
    ) -> Option<LastFailure> {
        let (paths, path) = (&self.host.paths, &self.instance.path);
        let before = last_failure::read(paths, path);
        let is_told = action.keeps_failure() || done.is_ok() && action.mends();
        if !is_told || self.options.dry_run {
            return before;
        }
        let kept = match done {
            // A freeze that succeeds says nothing of a start that failed.
            Ok(()) if !before.as_ref().is_some_and(|before| self.ends(action, before)) => {
                return before;
            }
            Ok(()) => last_failure::forget(paths, path).map(|_| None),
            Err(_) if before.as_ref().is_some_and(|it| !action.covers_failure_of(&it.action)) => {
                return before;
            }
            Err(failure) => {
                last_failure::note(paths, path, failure.last_failure(action.words())).map(Some)
            }
        };
        kept.unwrap_or_else(|error| {
            self.instance.journal.warn(format_args!("last failure: {error}"));
            last_failure::read(paths, path)
        })
    }

    /// Whether the success of an action ends what is kept of a failure. A task says nothing of another one.
    fn ends(&self, action: InstanceAction, failure: &LastFailure) -> bool {
        let of_others = |rid: &String| {
            let mut resources = self.instance.resources.iter();
            let failed = resources.find(|resource| resource.rid.as_str() == rid);
            failed.is_some_and(|resource| !self.selection.has(resource))
        };
        let is_of_others = action.is_beside() && failure.rid.as_ref().is_some_and(of_others);
        action.ends_failure_of(&failure.action) && !is_of_others
    }

    /// What a stop should have taken down, and has not: deployed agents call that a success, and
    /// stop again at once, for ever. Optional resources do not count, nor what no action touches.
    fn still_running(&self, found: &InstanceStatus, with_standby: bool) -> Vec<String> {
        let is_meant = |resource: &&Resource| {
            !resource.is_optional
                && !resource.is_untouchable()
                && (with_standby || !resource.is_standby)
        };
        let is_running = |resource: &Resource, state: &Status| match state {
            Status::Up | Status::StdbyUp => true,
            // A folder of wrong mode, a name that does not resolve: nothing that a stop ends.
            Status::Warn => !matches!(resource.kind.as_str(), "fs.directory" | "ip"),
            _ => false,
        };
        let selected: BTreeSet<usize> = self
            .selected(Direction::Stop, |resource| is_meant(&resource))
            .into_iter()
            .flat_map(|set| set.members)
            .collect();
        let mut running = vec![];
        let meant = self.instance.resources.iter().enumerate();
        for (_, resource) in meant.filter(|(index, _)| selected.contains(index)) {
            let rid = resource.rid.as_str();
            let published = found.resources.as_ref().and_then(|resources| resources.get(rid));
            if let Some(state) = published.map(|published| &published.status)
                && is_running(resource, state)
            {
                running.push(format!("{rid} is {state}"));
            }
        }
        running
    }
}

/// Whether the instance is where the action should have brought it; `running` is what a stop left.
fn judge(
    action: InstanceAction,
    found: &InstanceStatus,
    is_whole: bool,
    running: &[String],
) -> Result<(), Failure> {
    if !running.is_empty() {
        let running = running.join(", ");
        return Err(Failure::refused(format!("everything stopped, and still: {running}")));
    }
    let avail = found.avail.as_ref().unwrap_or(&Status::NotApplicable);
    let is_up = matches!(avail, Status::Up | Status::StdbyUp | Status::NotApplicable);
    if action == InstanceAction::Start && is_whole && !is_up {
        return Err(Failure::refused(format!("everything started, and the instance is {avail}")));
    }
    Ok(())
}
