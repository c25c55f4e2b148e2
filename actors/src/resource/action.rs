//! Instance actions: what `om <path> <action> --local` does.

mod configuration;
mod copies;
mod left;
mod lifecycle;
mod sequence;
mod toc;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use model::{InstanceStatus, NodeName, ObjectPath, Orchestrate, ResourceId, Status};
use om::{ActionOptions, InstanceAction, SyncAction};

use super::driver::Failure;
use super::host::Host;
use super::instance::{Instance, Resource};
use super::journal::Journal;
use super::locks::{self, InstanceLock};
use super::order::Direction;
use super::select::Selection;
use super::{announce, status_file};
use crate::config::LoadedObject;
use crate::durable;

/// How long what was stopped may take to be down: a stop command may return before what it asked to end has ended.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How long an action that was asked to end may take to hear it: longer than any program is given to end.
const GIVE_UP: Duration = Duration::from_secs(90);

/// Between two looks at it.
const STOP_PAUSE: Duration = Duration::from_millis(200);

/// Set by the runner for what the monitor asked for.
pub(crate) const ORIGIN_VARIABLE: &str = "OSVC_ACTION_ORIGIN";

/// Whether the daemon runs this process, and not an operator.
#[must_use]
pub fn is_from_daemon() -> bool {
    std::env::var(ORIGIN_VARIABLE).is_ok_and(|origin| origin == "daemon")
}

/// Set for a command that an action of ours runs on another object: the process id of that action. What it needs was judged
/// where it began. Of use to its own child only: one that is exported or copied names another process.
pub(crate) const PART_VARIABLE: &str = "OSVC_PART_OF";

/// Whether this process is a part of an action on another object, such as the start of a volume for its service.
fn is_part() -> bool {
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().to_string());
    parent.is_some() && std::env::var(PART_VARIABLE).ok() == parent
}

/// Set by the runner: the session of the action.
const SESSION_VARIABLE: &str = "OSVC_SESSION_UUID";

/// What is done to resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `start`.
    Start,
    /// `startstandby`.
    Startstandby,
    /// `stop`.
    Stop,
    /// `shutdown`.
    Shutdown,
    /// `provision`.
    Provision,
    /// `unprovision`.
    Unprovision,
    /// `run`.
    Run,
    /// `sync ..`.
    Sync(SyncAction),
}

impl Verb {
    /// The word, as in `OPENSVC_ACTION`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Startstandby => "startstandby",
            Self::Stop => "stop",
            Self::Shutdown => "shutdown",
            Self::Provision => "provision",
            Self::Unprovision => "unprovision",
            Self::Run => "run",
            Self::Sync(SyncAction::All) => "sync_all",
            Self::Sync(SyncAction::Nodes) => "sync_nodes",
            Self::Sync(SyncAction::Drp) => "sync_drp",
            Self::Sync(SyncAction::Update) => "sync_update",
            Self::Sync(SyncAction::Full) => "sync_full",
        }
    }

    /// What its triggers are named after, none if it has none.
    pub(crate) fn trigger_word(self) -> Option<&'static str> {
        match self {
            Self::Shutdown => Some("stop"),
            Self::Sync(SyncAction::All) => None,
            other => Some(other.word()),
        }
    }

    /// Whether it is about what runs and what is held, which tasks have no part in.
    fn is_about_state(self) -> bool {
        match self {
            Self::Start
            | Self::Startstandby
            | Self::Stop
            | Self::Shutdown
            | Self::Provision
            | Self::Unprovision => true,
            Self::Run | Self::Sync(_) => false,
        }
    }

    /// What its requirements are named after.
    pub(crate) fn requires_word(self) -> &'static str {
        match self {
            Self::Shutdown => "stop",
            Self::Startstandby => "start",
            other => other.word(),
        }
    }
}

/// Asks what the instances of an object are by now: its peers, where they answer, else what the local daemon knows of them.
pub type Others<'a> =
    dyn Fn(&ObjectPath, &[NodeName]) -> BTreeMap<NodeName, InstanceStatus> + Sync + 'a;

/// One action on one instance.
pub(crate) struct Act<'a> {
    host: &'a Host,
    others: &'a Others<'a>,
    object: &'a LoadedObject,
    instance: Arc<Instance>,
    options: &'a ActionOptions,
    selection: Selection,
    /// Asked by the monitor: the daemon knows, and is not told.
    is_from_daemon: bool,
    /// A part of an action on another object: where that may run was judged already.
    is_part: bool,
    /// The action lock, once taken.
    lock: ArcSwapOption<InstanceLock>,
    /// Something was done since the states of the resources were found.
    has_acted: AtomicBool,
}

/// Runs an action on the local instance of an object, to its end. The exit code: 0 done or nothing to do, 1 refused or
/// failed. What went wrong is in the log.
///
/// Targets of the monitor (`switch`, `giveback`, `takeover`, `abort`, `clear`) are no local actions: refused. So is what
/// would start a second copy of what `others` have, unless it is forced, or the daemon or a service wants it.
///
/// SIGTERM, SIGINT and SIGHUP end the running step, and with it the action, once [`end_by_signals`] was called.
#[must_use]
pub fn action(
    host: &Host,
    object: &LoadedObject,
    action: InstanceAction,
    options: &ActionOptions,
    others: &Others<'_>,
) -> u8 {
    let is_from_daemon = is_from_daemon();
    // What an operator's shell was given is no matter of the service either.
    crate::limits::leave_oom_score();
    let act = Act {
        host,
        others,
        object,
        instance: Arc::new(Instance::read(host, object)),
        options,
        selection: Selection::read(options),
        is_from_daemon,
        is_part: is_part(),
        lock: ArcSwapOption::empty(),
        has_acted: AtomicBool::new(false),
    };
    let origin = if is_from_daemon { "daemon" } else { "user" };
    let words = action.words();
    let rids = options.rid.as_ref().map(|rid| format!(" --rid {rid}")).unwrap_or_default();
    act.instance.journal.begin(format_args!("do {words} --local{rids} ({origin} origin)"));
    match act.run(action) {
        Ok(()) => 0,
        Err(failure) => {
            act.instance.journal.error(format_args!("{words}: {failure}"));
            1
        }
    }
}

/// Has signals end what an action on this node does, in order: what runs is ended, what was started is stopped again.
pub fn end_by_signals(host: &Host) {
    host.interrupt.listen_to_signals();
}

/// Runs this command line in a session of its own and tells its exit code, when that is what the action needs: a stop
/// that an operator's terminal interrupts would leave half of the instance up. None when it is not needed.
#[must_use]
pub fn in_new_session(action: InstanceAction, options: &ActionOptions) -> Option<u8> {
    let is_long = matches!(
        action,
        InstanceAction::Stop | InstanceAction::Shutdown | InstanceAction::Unprovision
    );
    let has_terminal = || std::fs::File::open("/dev/tty").is_ok();
    if !is_long || options.dry_run || !has_terminal() {
        return None;
    }
    let agent = std::path::Path::new("/proc/self/exe");
    let mut words = vec![agent.as_os_str().to_owned()];
    words.extend(std::env::args_os().skip(1));
    let status =
        super::exec_context::ExecContext::session().command(agent, &words).status().ok()?;
    Some(u8::from(!status.success()))
}

/// What the daemon is told while an action runs.
fn progress(action: InstanceAction) -> Option<(&'static str, &'static str)> {
    Some(match action {
        InstanceAction::Start => ("starting", "start failed"),
        InstanceAction::Startstandby => ("starting", "start failed"),
        InstanceAction::Stop => ("stopping", "stop failed"),
        InstanceAction::Restart => ("restarting", "restart failed"),
        InstanceAction::Shutdown => ("shutting", "shutdown failed"),
        InstanceAction::Provision => ("provisioning", "provision failed"),
        InstanceAction::Unprovision => ("unprovisioning", "unprovision failed"),
        InstanceAction::Delete => ("deleting", "delete failed"),
        InstanceAction::Purge => ("purging", "purge failed"),
        InstanceAction::Toc => ("tocing", "toc failed"),
        InstanceAction::Freeze => ("freezing", "freeze failed"),
        InstanceAction::Thaw => ("thawing", "thaw failed"),
        InstanceAction::Abort
        | InstanceAction::Boot
        | InstanceAction::Clear
        | InstanceAction::Disable
        | InstanceAction::Enable
        | InstanceAction::Giveback
        | InstanceAction::Run
        | InstanceAction::SetProvisioned
        | InstanceAction::SetUnprovisioned
        | InstanceAction::Switch
        | InstanceAction::Sync(_)
        | InstanceAction::Takeover => return None,
    })
}

/// The local target that an action leaves behind.
fn local_expect(action: InstanceAction, is_whole: bool) -> Option<&'static str> {
    match action {
        InstanceAction::Start | InstanceAction::Restart if is_whole => Some("started"),
        InstanceAction::Stop
        | InstanceAction::Shutdown
        | InstanceAction::Unprovision
        | InstanceAction::Delete
        | InstanceAction::Purge
        | InstanceAction::Toc
            if is_whole =>
        {
            Some("unset")
        }
        _ => None,
    }
}

impl Act<'_> {
    /// The same action, its keywords read again: volumes that it has made are where others of them lead to.
    fn read_again(&self) -> Self {
        Self {
            host: self.host,
            others: self.others,
            object: self.object,
            instance: Arc::new(Instance::read(self.host, self.object)),
            options: self.options,
            selection: Selection::read(self.options),
            is_from_daemon: self.is_from_daemon,
            is_part: self.is_part,
            lock: ArcSwapOption::new(self.lock.load_full()),
            has_acted: AtomicBool::new(true),
        }
    }

    fn run(&self, action: InstanceAction) -> Result<(), Failure> {
        let has_resources = self.instance.path.kind().has_instances();
        match action {
            InstanceAction::Abort
            | InstanceAction::Clear
            | InstanceAction::Giveback
            | InstanceAction::Switch
            | InstanceAction::Takeover => {
                return Err(Failure::refused("is a request to the daemon, not a local action"));
            }
            InstanceAction::Delete | InstanceAction::Purge => {}
            // Other kinds have nothing to start, stop or freeze.
            _ if !has_resources => return Ok(()),
            _ => {}
        }
        self.check_selection(action)?;
        self.check_copies(action)?;
        let is_told = !self.is_from_daemon && !self.options.dry_run && has_resources;
        // Sections of a configuration are no instance that is deleted.
        let is_edit = action == InstanceAction::Delete && !self.is_whole();
        let told = if is_told && !is_edit { progress(action) } else { None };
        // Told once the lock is held: what another action does and ends with is not for us to say.
        let is_begun = Cell::new(false);
        let done = self.with_lock(action, || {
            if let Some((doing, _)) = told {
                let unset =
                    local_expect(action, self.is_whole()).filter(|expect| *expect == "unset");
                announce::monitor(&self.host.paths, &self.instance.path, doing, unset, None);
                // Who does the same elsewhere has told it too by now, or will see this: one of two at least gives way.
                if let Err(refusal) = self.check_copies(action) {
                    announce::monitor(&self.host.paths, &self.instance.path, "idle", None, None);
                    return Err(refusal);
                }
            }
            is_begun.set(true);
            self.host.interrupt.arm();
            self.give_up_in_time(action, told.map(|(_, failed)| failed));
            self.dispatch(action)
        });
        if !is_begun.get() {
            return done;
        }
        // How it is now is to be found out, whoever asked it to end: what is done is done.
        self.host.interrupt.take();
        let is_gone = matches!(action, InstanceAction::Delete | InstanceAction::Purge)
            && self.is_whole()
            && done.is_ok();
        let done = if is_gone || self.options.dry_run || !has_resources {
            done
        } else {
            self.conclude(action, done)
        };
        if let Some((_, failed)) = told.filter(|_| !is_gone) {
            let expect = local_expect(action, self.is_whole()).filter(|_| done.is_ok());
            let status = if done.is_ok() { "idle" } else { failed };
            announce::monitor(&self.host.paths, &self.instance.path, status, expect, None);
        }
        done
    }

    /// Where a step waits in the kernel and does not hear that it is asked to end, the action is given up and its state told.
    fn give_up_in_time(&self, action: InstanceAction, failed: Option<&'static str>) {
        let (paths, path) = (self.host.paths.clone(), self.instance.path.clone());
        self.host.interrupt.watch_over(GIVE_UP, move || {
            let words = action.words();
            Journal::new(&path).error(format_args!(
                "{words}: given up: a step waits in the kernel, and does not end within {GIVE_UP:?}"
            ));
            if let Some(failed) = failed {
                announce::monitor(&paths, &path, failed, None, None);
            }
            std::process::exit(1);
        });
    }

    /// Evaluates after an action, publishes, and tells whether the instance is where the action should have brought it.
    fn conclude(&self, action: InstanceAction, done: Result<(), Failure>) -> Result<(), Failure> {
        // A configuration that the action changed is read again by the daemon.
        let has_volumes = self.instance.resources.iter().any(|it| it.rid.group() == "volume");
        let instance = match action {
            // What leads into a volume that was just made leads there only now.
            InstanceAction::Provision if has_volumes => self.read_again().instance,
            _ => self.instance.clone(),
        };
        let refresh = || super::refresh(self.host, &instance, None, None, None).status;
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
        // The daemon that runs this action decides on it, and need not find it once more.
        let session = if self.is_from_daemon { std::env::var(SESSION_VARIABLE).ok() } else { None };
        announce::status(&self.host.paths, &self.instance.path, &found, session.as_deref());
        done?;
        if !running.is_empty() {
            let running = running.join(", ");
            return Err(Failure::refused(format!("everything stopped, and still: {running}")));
        }
        let avail = found.avail.unwrap_or(Status::NotApplicable);
        let is_up = matches!(avail, Status::Up | Status::StdbyUp | Status::NotApplicable);
        if action == InstanceAction::Start && is_whole && !is_up {
            return Err(Failure::refused(format!(
                "everything started, and the instance is {avail}"
            )));
        }
        Ok(())
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

    /// Whether no resource filter limits the action.
    fn is_whole(&self) -> bool {
        self.selection.is_all() && self.options.upto.is_none() && self.options.downto.is_none()
    }

    fn check_selection(&self, action: InstanceAction) -> Result<(), Failure> {
        // What cuts nothing off would let all of it through.
        for (option, last) in [("--upto", &self.options.upto), ("--downto", &self.options.downto)] {
            let Some(last) = last else { continue };
            let is_last = |rid: &ResourceId| rid.as_str() == last || rid.group() == last;
            if !self.instance.resources.iter().any(|resource| is_last(&resource.rid)) {
                return Err(Failure::refused(format!("no resource matches {option} {last}")));
            }
        }
        let names_sections = matches!(
            action,
            InstanceAction::Delete | InstanceAction::Enable | InstanceAction::Disable
        );
        if self.selection.is_all() || names_sections {
            return Ok(());
        }
        if self.instance.resources.iter().any(|resource| self.selection.has(resource)) {
            return Ok(());
        }
        Err(Failure::refused("no resource matches --rid, --tags and --subsets"))
    }

    fn dispatch(&self, action: InstanceAction) -> Result<(), Failure> {
        match action {
            InstanceAction::Start => self.start(Verb::Start),
            InstanceAction::Startstandby => self.start(Verb::Startstandby),
            InstanceAction::Stop => {
                self.freeze_before_stop()?;
                self.stop(Verb::Stop, self.options.force)
            }
            InstanceAction::Shutdown => {
                self.freeze_before_stop()?;
                self.stop(Verb::Shutdown, true)
            }
            InstanceAction::Restart => {
                self.stop(Verb::Stop, self.options.force)?;
                self.start(Verb::Start)
            }
            InstanceAction::Provision => self.provision(),
            InstanceAction::Unprovision => {
                self.freeze_before_stop()?;
                self.unprovision()
            }
            InstanceAction::SetProvisioned => self.set_provisioned(true),
            InstanceAction::SetUnprovisioned => self.set_provisioned(false),
            InstanceAction::Freeze => self.freeze(),
            InstanceAction::Thaw => self.thaw(),
            InstanceAction::Enable => self.enable(true),
            InstanceAction::Disable => self.enable(false),
            InstanceAction::Run => self.run_tasks(),
            InstanceAction::Boot => self.boot(),
            InstanceAction::Toc => self.toc(),
            InstanceAction::Sync(which) => self.sync(which),
            InstanceAction::Delete => {
                if self.is_whole() && self.instance.path.kind().has_instances() {
                    self.freeze_before_stop()?;
                    if self.options.unprovision {
                        self.unprovision()?;
                        self.end_left(left::Left::All)?;
                    } else if !self.options.dry_run {
                        self.stop_before_deletion()?;
                    }
                }
                self.delete()
            }
            InstanceAction::Purge => {
                if self.instance.path.kind().has_instances() {
                    self.freeze_before_stop()?;
                    self.unprovision()?;
                    self.end_left(left::Left::All)?;
                }
                self.delete()
            }
            InstanceAction::Abort
            | InstanceAction::Clear
            | InstanceAction::Giveback
            | InstanceAction::Switch
            | InstanceAction::Takeover => Ok(()),
        }
    }

    /// Runs under the action lock, if the action takes one.
    fn with_lock(
        &self,
        action: InstanceAction,
        run: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let name = match action {
            InstanceAction::Freeze
            | InstanceAction::Thaw
            | InstanceAction::Run
            | InstanceAction::SetProvisioned
            | InstanceAction::SetUnprovisioned => return run(),
            InstanceAction::Toc if self.is_toc_of_node() => return run(),
            InstanceAction::Sync(_) => "lock.generic.sync",
            _ => "lock.generic",
        };
        if self.options.nolock || self.options.dry_run {
            return run();
        }
        let file = self.instance.var_dir.join(name);
        let patience = locks::patience(&self.instance, self.options.waitlock);
        let lock = InstanceLock::take(&file, action.words(), patience)?;
        if !self.host.paths.config_file(&self.instance.path).exists() {
            // Whoever had the lock deleted the object: nothing of it is to come back.
            _ = std::fs::remove_file(&file);
            _ = std::fs::remove_dir(&self.instance.var_dir);
            return match action {
                InstanceAction::Delete | InstanceAction::Purge => Ok(()),
                _ => Err(Failure::refused("the object was deleted meanwhile")),
            };
        }
        self.lock.store(Some(Arc::new(lock)));
        // Whoever looks next must not see what was.
        status_file::purge(&self.instance);
        let done = run();
        self.lock.store(None);
        done
    }

    /// What an orchestrated service needs before an operator takes it down: else it is brought up again.
    fn freeze_before_stop(&self) -> Result<(), Failure> {
        let is_orchestrated = self.instance.settings.orchestrate != Orchestrate::No;
        if self.is_from_daemon || !self.is_whole() || !is_orchestrated || self.options.dry_run {
            return Ok(());
        }
        self.freeze()
    }

    fn freeze(&self) -> Result<(), Failure> {
        let file = self.instance.var_dir.join("frozen");
        if self.options.dry_run {
            let already = if file.exists() { "it is frozen already" } else { "would freeze" };
            self.instance.journal.info(format_args!("dry run: {already}"));
            return Ok(());
        }
        if file.exists() {
            return Ok(());
        }
        self.instance.journal.info(format_args!("freeze"));
        durable::touch(&file).map_err(Failure::io("freeze"))
    }

    fn thaw(&self) -> Result<(), Failure> {
        let file = self.instance.var_dir.join("frozen");
        if self.options.dry_run {
            let already = if file.exists() { "would thaw" } else { "it is not frozen" };
            self.instance.journal.info(format_args!("dry run: {already}"));
            return Ok(());
        }
        if !file.exists() {
            return Ok(());
        }
        self.instance.journal.info(format_args!("thaw"));
        durable::remove(&file).map_err(Failure::io("thaw"))
    }
}
