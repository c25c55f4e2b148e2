//! Instance actions: what `om <path> <action> --local` does.

mod concluding;
mod configuration;
mod copies;
mod left;
mod lifecycle;
mod remains;
mod sequence;
mod toc;
pub(crate) mod verb;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use model::{
    ActionOptions, InstanceAction, InstanceStatus, LastFailure, LocalExpect, MonitorStatus,
    NodeName, ObjectPath, Orchestrate, ResourceId,
};

use dataset::config::LoadedObject;
use machine::{durable, last_failure};

use crate::action::verb::Verb;
use crate::driver::Instance;
use crate::failure::Failure;
use crate::host::Host;
use crate::journal::Journal;
use crate::locks::InstanceLock;
use crate::origin::{is_from_daemon, is_part};
use crate::select::Selection;
use crate::{announce, locks, registry, status_file};

/// How long an action that was asked to end may take to hear it: longer than any program is given to end.
const GIVE_UP: Duration = Duration::from_secs(90);

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
    machine::limits::leave_oom_score();
    let act = Act {
        host,
        others,
        object,
        instance: Arc::new(registry::read(host, object)),
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
        crate::exec_context::ExecContext::session().command(agent, &words).status().ok()?;
    Some(u8::from(!status.success()))
}

impl Act<'_> {
    /// The same action, its keywords read again: volumes that it has made are where others of them lead to.
    fn read_again(&self) -> Self {
        Self {
            host: self.host,
            others: self.others,
            object: self.object,
            instance: Arc::new(registry::read(self.host, self.object)),
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
        let told = if is_told && !is_edit { action.progress() } else { None };
        // Told once the lock is held: what another action does and ends with is not for us to say.
        let is_begun = Cell::new(false);
        let done = self.with_lock(action, || {
            if let Some((doing, _)) = &told {
                self.tell(doing, self.local_expect(action).filter(Option::is_none));
                // Who does the same elsewhere has told it too by now, or will see this: one of two at least gives way.
                if let Err(refusal) = self.check_copies(action) {
                    self.tell(&MonitorStatus::Idle, None);
                    return Err(refusal);
                }
            }
            is_begun.set(true);
            self.host.interrupt.arm();
            self.give_up_in_time(action, told.as_ref().map(|(_, failed)| failed));
            self.dispatch(action)
        });
        if !is_begun.get() {
            // An operator reads why; of what the daemon asked for it is to be known later, too.
            if self.is_from_daemon {
                self.keep_failure(action, &done);
            }
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
            match &done {
                Ok(()) => self.tell(&MonitorStatus::Idle, self.local_expect(action)),
                Err(_) => self.tell(&failed, None),
            }
        }
        done
    }

    /// Tells the monitor of the instance what the action does.
    fn tell(&self, status: &MonitorStatus, local_expect: Option<Option<LocalExpect>>) {
        announce::monitor(&self.host.paths, &self.instance.path, status, local_expect, None);
    }

    /// The local target that an action on the whole instance leaves behind.
    fn local_expect(&self, action: InstanceAction) -> Option<Option<LocalExpect>> {
        action.local_expect().filter(|_| self.is_whole())
    }

    /// Where a step waits in the kernel and does not hear that it is asked to end, the action is given up and its state told.
    fn give_up_in_time(&self, action: InstanceAction, failed: Option<&MonitorStatus>) {
        let (paths, path) = (self.host.paths.clone(), self.instance.path.clone());
        let failed = failed.cloned();
        self.host.interrupt.watch_over(GIVE_UP, move || {
            let words = action.words();
            let reason = format!(
                "given up: a step waits in the kernel, and does not end within {GIVE_UP:?}"
            );
            Journal::new(&path).error(format_args!("{words}: {reason}"));
            if failed.is_some() {
                _ = last_failure::note(&paths, &path, LastFailure::new(words, &reason));
            }
            if let Some(failed) = &failed {
                announce::monitor(&paths, &path, failed, None, None);
            }
            std::process::exit(1);
        });
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
                        self.end_left(remains::Left::All)?;
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
                    // Of named resources, no others.
                    let is_whole = self.is_whole();
                    self.end_left(if is_whole {
                        remains::Left::All
                    } else {
                        remains::Left::Named
                    })?;
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
        let (paths, path) = (&self.host.paths, &self.instance.path);
        let file = match action {
            InstanceAction::Freeze
            | InstanceAction::Thaw
            | InstanceAction::Run
            | InstanceAction::SetProvisioned
            | InstanceAction::SetUnprovisioned => return run(),
            InstanceAction::Toc if self.is_toc_of_node() => return run(),
            InstanceAction::Sync(_) => paths.sync_lock(path),
            _ => paths.action_lock(path),
        };
        if self.options.nolock || self.options.dry_run {
            return run();
        }
        let patience = locks::patience(&self.instance, self.options.waitlock);
        let lock = InstanceLock::take(&file, action.words(), patience)?;
        if !paths.config_file(path).exists() {
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
        let file = self.host.paths.instance_frozen(&self.instance.path);
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
        let file = self.host.paths.instance_frozen(&self.instance.path);
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
