//! What every driver provides, and what it is given: the instance and its resources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use conf::{Context, ObjectConf, SectionReader};
use model::{ConfigCsum, ObjectPath, ObjectSettings, ResourceId, ResourceSettings, Status};

use crate::exec::{Ended, Output, Program};
use crate::failure::Failure;
use crate::host::Host;
use crate::journal::Journal;
use crate::report::Report;

/// What a driver may look at and use.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// The node.
    pub host: &'a Host,
    /// The instance.
    pub instance: &'a Instance,
    /// The resource.
    pub resource: &'a Resource,
    /// Where to log, in the name of the resource.
    pub journal: &'a Journal,
    /// States of resources evaluated before.
    pub states: &'a BTreeMap<String, Status>,
    /// The state of this one, where an action has just found it and done nothing since.
    pub state: Option<&'a Status>,
    /// Processes that the last evaluation found.
    pub known_pids: Option<&'a BTreeSet<u32>>,
    /// The command line says `--force`.
    pub is_forced: bool,
    /// This node does what is done once per object.
    pub is_leader: bool,
    /// The action is run by the scheduler.
    pub is_scheduled: bool,
    /// The operator confirmed.
    pub is_confirmed: bool,
    /// Whom a task asks that is about to run; nobody where nothing is run.
    pub runs: Option<&'a dyn Runs>,
}

/// Who knows where else a task runs.
pub(crate) trait Runs: Sync {
    /// Hears of a run that is about to begin here, and that its `run/<pid>` file is there.
    ///
    /// # Errors
    ///
    /// The task is for one node at a time, and runs on another one.
    fn on_run(&self, rid: &str) -> Result<(), Failure>;
}

impl Scene<'_> {
    /// Runs a tool of the system and fails when it fails. What it says is logged.
    ///
    /// # Errors
    ///
    /// [`Failure::Io`] when it cannot be run, [`Failure::Exit`] when it fails.
    pub(crate) fn tool<const N: usize>(&self, words: [&str; N]) -> Result<Ended, Failure> {
        self.execute(&Program::new(words).output(Output::Logged))
    }

    /// Runs a program, tells so, and fails when it fails.
    ///
    /// # Errors
    ///
    /// As [`Scene::tool`], and [`Failure::Late`] when it is late.
    pub(crate) fn execute(&self, program: &Program) -> Result<Ended, Failure> {
        self.journal.info(format_args!("{program}"));
        self.query(program).and_then(|ended| check(program, ended))
    }

    /// Runs a program that changes nothing, whatever it says.
    ///
    /// # Errors
    ///
    /// [`Failure::Io`] when it cannot be run.
    pub(crate) fn query(&self, program: &Program) -> Result<Ended, Failure> {
        program
            .run(&self.host.agent, &self.host.interrupt, self.journal)
            .map_err(|source| Failure::Io { what: "run".to_owned(), source })
    }

    /// Whether the resource is up, or down, where that has just been found: it is not asked again then.
    pub(crate) fn is_known_up(&self) -> Option<bool> {
        match self.state? {
            Status::Up | Status::StdbyUp => Some(true),
            Status::Down | Status::StdbyDown => Some(false),
            _ => None,
        }
    }

    /// The private folder of the resource.
    pub(crate) fn folder(&self) -> PathBuf {
        self.instance.var_dir.join(self.resource.rid.as_str())
    }
}

/// Fails when a program was made to end, or ended badly.
///
/// # Errors
///
/// As [`Scene::execute`].
pub(crate) fn check(program: &Program, ended: Ended) -> Result<Ended, Failure> {
    check_cut(program, &ended)?;
    if ended.code != 0 {
        let line = ended.last_line().to_owned();
        return Err(Failure::Exit { command: program.to_string(), code: ended.code, line });
    }
    Ok(ended)
}

/// Fails when a program was made to end.
///
/// # Errors
///
/// [`Failure::Interrupted`], [`Failure::Late`].
pub(crate) fn check_cut(program: &Program, ended: &Ended) -> Result<(), Failure> {
    if ended.is_interrupted {
        return Err(Failure::Interrupted { command: program.to_string() });
    }
    if ended.is_late {
        let timeout = program.time_limit().unwrap_or_default();
        return Err(Failure::Late { command: program.to_string(), timeout });
    }
    Ok(())
}

/// When a resource is evaluated: later ones look at the states of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// What everything stands on.
    Base,
    /// Applications.
    App,
    /// Tasks and syncs.
    Last,
}

/// A kind of resource.
pub(crate) trait Driver: Send + Sync {
    /// What it is, for a reader.
    fn label(&self) -> String;

    /// The state, before the standby flag is applied. An error makes it undef.
    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure>;

    /// Makes it up. Up already is success.
    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure>;

    /// Makes it down. Down already is success.
    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure>;

    /// Whether an evaluation may take long: it gets a thread of its own then.
    fn may_hang(&self) -> bool {
        true
    }

    /// How long an evaluation may take, when that is set.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// When it is evaluated.
    fn phase(&self) -> Phase {
        Phase::Base
    }

    /// Whether there is something to provision.
    fn has_provisioner(&self) -> bool {
        false
    }

    /// Whether it looks provisioned, when that can be told.
    fn is_provisioned(&self, _: &Scene<'_>) -> Option<bool> {
        None
    }

    /// Makes what a start needs.
    fn provision(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Removes what [`Driver::provision`] made. It is down.
    fn unprovision(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Why an instance must not start here now.
    fn abort_reason(&self, _: &Scene<'_>) -> Option<String> {
        None
    }

    /// Orders resources of one set; the id when there is nothing better.
    fn sort_key(&self) -> Option<String> {
        None
    }

    /// Where it is mounted, if it is a file system that comes and goes.
    fn mount_point(&self) -> Option<PathBuf> {
        None
    }

    /// Runs a task.
    fn run(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Err(Failure::refused("not a task"))
    }

    /// Cleans up after a start of the node.
    fn boot(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Copies to these nodes.
    fn sync(&self, _: &Scene<'_>, _: crate::driver::SyncTo) -> Result<(), Failure> {
        Ok(())
    }

    /// Programs of the system that it calls, and whether it does nothing without them.
    fn tools(&self) -> Vec<(String, bool)> {
        vec![]
    }

    /// Variables for triggers.
    fn trigger_environment(&self) -> Vec<(String, String)> {
        vec![]
    }
}

/// Where a sync copies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncTo {
    /// All its targets.
    All,
    /// The nodes that run instances.
    Nodes,
    /// The disaster recovery nodes.
    DrpNodes,
}

/// A resource and what holds for all kinds of them.
pub(crate) struct Resource {
    /// Its id.
    pub rid: ResourceId,
    /// `<group>.<driver>` as published, or the group alone.
    pub kind: String,
    /// Disabled, by its own flag or the object's.
    pub is_disabled: bool,
    /// Left out of `avail`, errors ignored.
    pub is_optional: bool,
    /// Kept up on this node whatever the instance is.
    pub is_standby: bool,
    /// Keyword `monitor`.
    pub is_monitored: bool,
    /// Keyword `restart`.
    pub restart: u32,
    /// Keyword `shared`: provisioned by the leader only.
    pub is_shared: bool,
    /// Keyword `provision`.
    pub is_provisionable: bool,
    /// Keyword `unprovision`.
    pub is_unprovisionable: bool,
    /// Keyword `encap`: handled in a guest.
    pub is_encap: bool,
    /// Keyword `subset`.
    pub subset: Option<String>,
    /// Keyword `tags`.
    pub tags: BTreeSet<String>,
    /// What it does.
    pub driver: Box<dyn Driver>,
}

impl Resource {
    /// Name of its resource set: the group, or `group:subset`.
    pub(crate) fn set(&self) -> String {
        match &self.subset {
            Some(subset) => format!("{}:{subset}", self.rid.group()),
            None => self.rid.group().to_owned(),
        }
    }

    /// Whether actions leave it alone, whatever is asked.
    pub(crate) fn is_untouchable(&self) -> bool {
        self.is_disabled || self.is_encap || self.tags.contains("noaction")
    }

    /// What the monitors know of it.
    pub(crate) fn settings(&self) -> ResourceSettings {
        ResourceSettings {
            restart: self.restart,
            restart_delay: 0.0,
            restart_reset: 0.0,
            monitor: self.is_monitored,
            standby: self.is_standby,
            disabled: self.is_disabled,
            optional: self.is_optional,
            ignore_provisioned: !(self.is_provisionable && self.is_unprovisionable),
            driver: self.kind.clone(),
        }
    }

    /// Whether its provisioned state is published and counts.
    pub(crate) fn has_provisioned_state(&self) -> bool {
        self.driver.has_provisioner()
    }
}

/// The local instance.
pub(crate) struct Instance {
    /// The object.
    pub path: ObjectPath,
    /// Its configuration.
    pub conf: ObjectConf,
    /// What its keywords are evaluated with.
    pub context: Arc<Context>,
    /// What the monitors know of it.
    pub settings: Arc<ObjectSettings>,
    /// Checksum of the file that the configuration is of.
    pub config_csum: Option<ConfigCsum>,
    /// Its identity, empty when it has none yet.
    pub id: String,
    /// Its private folder.
    pub var_dir: PathBuf,
    /// Where to log in its name.
    pub journal: Journal,
    /// In the order of the configuration.
    pub resources: Vec<Resource>,
    /// Resource sets that act in parallel.
    pub parallel: BTreeSet<String>,
}

impl Instance {
    /// A resource by its id.
    pub(crate) fn resource(&self, rid: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.rid.as_str() == rid)
    }

    /// The users that a section says its resource runs as.
    pub(crate) fn users_of(&self, rid: &str) -> BTreeSet<u32> {
        let user = self.section(rid).text("user").ok().flatten();
        let user = user.and_then(|user| crate::exec_context::find_user(&user).ok());
        user.map(|user| user.uid.as_raw()).into_iter().collect()
    }

    /// A section of the configuration.
    pub(crate) fn section<'a>(&'a self, name: &'a str) -> SectionReader<'a> {
        self.conf.section(&self.context, name)
    }
}
