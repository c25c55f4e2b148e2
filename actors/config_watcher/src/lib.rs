//! The config watcher: follows node.conf, cluster.conf and the object files.
//!
//! Hears: inotify, a slow sweep (nothing arrives from network file systems, or after an overflow), requests to look again.
//! Tells: the cluster data, the node monitor, the scheduler and the root, each only what concerns it.
//! Restart: everything is read again; only what differs from the configuration in force is told.

mod alerts;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use dataset::changes::{NodeFacts, NodePublic};
use dataset::config::{ConfigCell, FileStamp, LoadedConfig, LoadedObject};
use dataset::shared_map::SharedMap;
use dataset::snapshot::{ClusterInfo, Snapshot, SnapshotCell};
use files::followed;
use files::load::Load as _;
use files::rejected::Rejected;
use files::{read, rejected};
use machine::paths::Paths;
use machine::{stats, watching};
use mail::cluster_data::{SetConfigEntries, SetNode};
use mail::config_watcher::{LabelsChanged, Look, NodeConfigChanged, Reload};
use mail::mail::Mail;
use mail::node_monitor::{ObjectsChanged, Wake};
use mail::root::ThreadReport;
use mail::scheduler::SchedulesChanged;
use model::{NodeName, ObjectPath};
use tokio::sync::oneshot;

use crate::alerts::{Alerts, Left, faults};
use crate::watches::{Seen, Watches};

/// How long changes are gathered before files are read: editors and copies touch a file several times.
const MERGE: Duration = Duration::from_millis(100);
/// Pause between two looks at all files.
const SWEEP: Duration = Duration::from_secs(60);
/// Looks for what is left of the objects that changed, and with true of all that have no configuration. Blocks.
pub type LookForLeft = fn(&Paths, &SharedMap<LoadedObject>, BTreeSet<ObjectPath>, bool) -> Left;

/// Whom the watcher tells.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Looks for what runs on of objects and sections that are gone.
    pub look: LookForLeft,
    /// Says which peers run a deployed agent.
    pub snapshot: SnapshotCell,
    /// Publishes what the configuration makes public.
    pub cluster_data: (Recipient<SetConfigEntries>, Recipient<SetNode>),
    /// Starts and ends service monitors.
    pub node_monitor: (Recipient<ObjectsChanged>, Recipient<Wake>),
    /// Follows the schedules.
    pub scheduler: Recipient<SchedulesChanged>,
    /// Applies what concerns the daemon itself, and shows alerts.
    pub root: (Recipient<NodeConfigChanged>, Recipient<ThreadReport>),
}

/// What is to be read.
#[derive(Debug, Default)]
struct Pending {
    is_node: bool,
    is_labels: bool,
    is_all: bool,
    is_rejected: bool,
    is_left: bool,
    objects: BTreeSet<ObjectPath>,
    waiters: Vec<oneshot::Sender<()>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        !self.is_node
            && !self.is_labels
            && !self.is_all
            && !self.is_rejected
            && !self.is_left
            && self.objects.is_empty()
            && self.waiters.is_empty()
    }
}

/// What reading yielded.
struct Read {
    config: LoadedConfig,
    is_node_changed: bool,
    changed: Vec<ObjectPath>,
    /// Of all object files, if all were looked at.
    stamps: Option<BTreeMap<ObjectPath, FileStamp>>,
    /// Files that lost against newer ones, if they were looked for.
    rejected: Option<Rejected>,
    /// What runs on of objects and sections that are gone, of those that were looked at.
    left: Left,
    totals: stats::Totals,
}

/// The actor.
#[derive(Debug)]
pub struct ConfigWatcher {
    paths: Arc<Paths>,
    cell: ConfigCell,
    neighbours: Neighbours,
    watches: Option<Watches>,
    /// What the root shows of it.
    alerts: Alerts,
    sweep: Option<SpawnHandle>,
    /// What the object files looked like when they were read.
    stamps: BTreeMap<ObjectPath, FileStamp>,
    is_looking_again: bool,
    pending: Pending,
    alarm: Option<SpawnHandle>,
    is_reading: bool,
    /// Who waits for the reading that goes on.
    waiters: Vec<oneshot::Sender<()>>,
}

impl ConfigWatcher {
    /// The watcher of a daemon.
    #[must_use]
    pub fn new(mail: &Mail, look: LookForLeft) -> Self {
        let neighbours = Neighbours {
            look,
            snapshot: mail.snapshot.clone(),
            cluster_data: (
                mail.cluster_data.clone().recipient(),
                mail.cluster_data.clone().recipient(),
            ),
            node_monitor: (
                mail.node_monitor.clone().recipient(),
                mail.node_monitor.clone().recipient(),
            ),
            scheduler: mail.scheduler.clone().recipient(),
            root: (mail.root.clone().recipient(), mail.root.clone().recipient()),
        };
        Self::with(mail.paths.clone(), mail.config.clone(), neighbours)
    }

    /// A watcher with these neighbours.
    #[must_use]
    pub fn with(paths: Arc<Paths>, cell: ConfigCell, neighbours: Neighbours) -> Self {
        Self {
            paths,
            cell,
            alerts: Alerts::new(neighbours.root.1.clone()),
            neighbours,
            watches: None,
            sweep: None,
            stamps: BTreeMap::new(),
            is_looking_again: false,
            pending: Pending::default(),
            alarm: None,
            is_reading: false,
            waiters: vec![],
        }
    }

    /// Reads what is pending, `delay` from now; with what comes meanwhile.
    fn read_later(&mut self, delay: Duration, ctx: &mut Context<Self>) {
        if self.alarm.is_none() && !self.is_reading && !self.pending.is_empty() {
            self.alarm = Some(ctx.run_later(delay, |this, ctx| {
                this.alarm = None;
                this.read(ctx);
            }));
        }
    }

    /// Reads what is pending, on another thread.
    fn read(&mut self, ctx: &mut Context<Self>) {
        if self.is_reading || self.pending.is_empty() {
            return;
        }
        self.is_reading = true;
        let pending = std::mem::take(&mut self.pending);
        if pending.is_all {
            // Before looking: what appears from now on is told.
            self.watch(ctx);
        }
        let Pending { is_node, is_labels, is_all, is_rejected, objects, waiters, .. } = pending;
        let (paths, config) = (self.paths.clone(), (**self.cell.load()).clone());
        let look = self.neighbours.look;
        let left: Vec<ObjectPath> = self.alerts.left.keys().cloned().collect();
        // The first look and requested ones trust no stamp.
        let stamps = (is_all && waiters.is_empty()).then(|| std::mem::take(&mut self.stamps));
        let deployed = deployed(&self.neighbours.snapshot.load());
        self.waiters = waiters;
        let work = machine::blocking::run(move || {
            let looks = Looks { is_node, is_labels, is_all, is_rejected };
            let old = config.clone();
            let mut read = read_files(&paths, config, looks, objects, stamps, &deployed);
            followed::keep_followed(&paths, &old, &read.config, &read.changed);
            let changed = read.changed.iter().cloned().chain(left).collect();
            read.left = look(&paths, &read.config.objects, changed, is_all);
            read
        });
        ctx.spawn(work.into_actor(self).map(move |read, this, ctx| {
            this.is_reading = false;
            match read {
                Ok(read) => this.apply(read),
                Err(error) => {
                    log::error!(error:% = error; "reading the configuration failed");
                    this.stamps.clear();
                }
            }
            for waiter in this.waiters.drain(..) {
                _ = waiter.send(());
            }
            this.look_again_later(ctx);
            this.read_later(MERGE, ctx);
        }));
    }

    /// Looks again soon at what runs on and should not: nobody tells when it ends.
    fn look_again_later(&mut self, ctx: &mut Context<Self>) {
        if self.alerts.left.is_empty() || std::mem::replace(&mut self.is_looking_again, true) {
            return;
        }
        ctx.run_later(watching::SWEEP, |this, ctx| {
            this.is_looking_again = false;
            this.pending.is_left = true;
            this.read_later(MERGE, ctx);
        });
    }

    /// Puts in force what was read.
    fn apply(&mut self, read: Read) {
        let Read { config, is_node_changed, changed, stamps, rejected, left, totals } = read;
        let is_rejected_news =
            rejected.is_some_and(|rejected| self.alerts.follow_rejected(rejected));
        let is_news = self.alerts.follow_left(left) || is_rejected_news;
        if let Some(stamps) = stamps {
            self.stamps = stamps;
        }
        let old = self.cell.load_full();
        let is_first = !old.is_loaded;
        let config = Arc::new(config);
        self.cell.store(config.clone());
        let has_faults = faults(&old.node) != faults(&config.node);
        if old.complaints != config.complaints || old.kept != config.kept || is_first || has_faults
        {
            self.alerts.report(&old, &config);
        } else if is_news {
            self.alerts.show(&config);
        }
        if is_node_changed || is_first {
            self.neighbours.cluster_data.1.do_send(SetNode(NodeFacts {
                settings: Some(public(&config, totals)),
                ..NodeFacts::default()
            }));
        }
        if is_node_changed {
            log::info!(csum = config.node_csum.as_str(); "node configuration changed");
            let (old, new) = (old.node.clone(), config.node.clone());
            self.neighbours.root.0.do_send(NodeConfigChanged { old, new });
        }
        if !changed.is_empty() {
            let entries = changed
                .iter()
                .map(|path| (path.clone(), config.objects.get(path).map(|object| object.entry())))
                .collect();
            self.neighbours.cluster_data.0.do_send(SetConfigEntries(entries));
        }
        if !changed.is_empty() || is_first || is_node_changed {
            self.neighbours.scheduler.do_send(SchedulesChanged(
                (!is_node_changed && !is_first).then(|| changed.clone()),
            ));
            self.neighbours.node_monitor.0.do_send(ObjectsChanged(changed));
        }
    }

    fn sweep_later(&mut self, ctx: &mut Context<Self>) {
        let pause = if self.alerts.blind.is_some() { watching::SWEEP } else { SWEEP };
        let next = ctx.run_later(pause, |this, ctx| {
            this.pending.is_all = true;
            this.pending.is_node = true;
            this.read(ctx);
            this.sweep_later(ctx);
        });
        if let Some(last) = self.sweep.replace(next) {
            ctx.cancel_future(last);
        }
    }

    /// Watches all folders, as far as the system lets us, and tells when that changes.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        let watched = match &mut self.watches {
            Some(_) => Ok(()),
            None => Watches::new().map(|(watches, events)| {
                self.watches = Some(watches);
                ctx.add_stream(events);
            }),
        };
        let folders = || {
            let mut folders = read::object_folders(&self.paths);
            folders.extend([self.paths.etc.clone(), self.paths.node_var()]);
            folders
        };
        let watched = watched.and_then(|()| match &mut self.watches {
            Some(watches) => watches.add(&folders()),
            None => Ok(()),
        });
        let blind = watched.err().map(|error| watching::reason(&error));
        if blind == self.alerts.blind {
            return;
        }
        match &blind {
            Some(reason) => {
                log::error!(reason = reason.as_str(); "configuration files are not watched: they are looked at every 2 s");
            }
            None => log::info!("configuration files are watched again"),
        }
        self.alerts.blind = blind;
        self.alerts.show(&self.cell.load_full());
        self.sweep_later(ctx);
    }
}

/// What is looked at, beside some objects.
#[derive(Debug, Clone, Copy)]
struct Looks {
    is_node: bool,
    is_labels: bool,
    is_all: bool,
    is_rejected: bool,
}

/// The peers that are heard and are no nodes of ours.
fn deployed(snapshot: &Snapshot) -> BTreeSet<NodeName> {
    let is_deployed = |name: &NodeName| {
        snapshot.node(name).is_some_and(|entry| {
            name != snapshot.nodename()
                && entry.data.monitor.is_some()
                && entry.data.release.is_none()
        })
    };
    snapshot.nodes().keys().filter(|name| is_deployed(name)).cloned().collect()
}

/// Reads files: those of the node, and all object files or some.
fn read_files(
    paths: &Paths,
    mut config: LoadedConfig,
    Looks { is_node, is_labels, is_all, is_rejected }: Looks,
    mut objects: BTreeSet<ObjectPath>,
    old_stamps: Option<BTreeMap<ObjectPath, FileStamp>>,
    deployed: &BTreeSet<NodeName>,
) -> Read {
    // The file of the cluster is judged with that of the node.
    let is_node = is_node || is_all || objects.contains(&ObjectPath::cluster());
    let is_node_changed = is_node && config.reload_node(paths, deployed);
    if is_node {
        objects.insert(ObjectPath::cluster());
    }
    let mut changed = BTreeSet::new();
    let is_relabeled = is_labels && config.reload_labels(paths);
    if is_node_changed || is_relabeled {
        changed.extend(config.reevaluate());
        objects.extend(config.kept_objects());
    }
    let stamps = is_all.then(|| read::list_objects(paths));
    if let Some(stamps) = &stamps {
        let old_stamps = old_stamps.unwrap_or_default();
        objects.extend(
            stamps
                .iter()
                .filter(|(path, stamp)| old_stamps.get(*path) != Some(*stamp))
                .map(|(path, _)| path.clone()),
        );
        objects.extend(config.objects.keys().filter(|path| !stamps.contains_key(*path)).cloned());
    }
    let objects: Vec<ObjectPath> = objects.into_iter().collect();
    changed.extend(config.reload_objects(paths, &objects));
    config.is_loaded |= is_all;
    Read {
        config,
        is_node_changed,
        changed: changed.into_iter().collect(),
        stamps,
        rejected: (is_all || is_rejected).then(|| rejected::find(paths)),
        left: Left::new(),
        totals: stats::measure().1,
    }
}

/// What the configuration makes public of the node.
pub fn public(config: &LoadedConfig, totals: stats::Totals) -> NodePublic {
    let node = &config.node;
    NodePublic {
        labels: node.labels.clone(),
        env: node.env.clone(),
        config_csum: config.node_csum.clone(),
        min_avail_mem: node.min_avail_mem.percent_of(totals.memory_bytes, 50),
        min_avail_swap: node.min_avail_swap.percent_of(totals.swap_bytes, 100),
        cluster: ClusterInfo {
            id: node.cluster_id.clone(),
            name: node.cluster_name.clone(),
            nodes: node.nodes.clone(),
        },
    }
}

impl Actor for ConfigWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.pending.is_all = true;
        self.pending.is_node = true;
        self.read(ctx);
        self.sweep_later(ctx);
        log::info!("config watcher started");
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("config watcher stopped");
    }
}

impl Supervised for ConfigWatcher {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::with(self.paths.clone(), self.cell.clone(), self.neighbours.clone());
    }
}

impl StreamHandler<watches::Event> for ConfigWatcher {
    fn handle(&mut self, event: watches::Event, ctx: &mut Context<Self>) {
        let Some(watches) = &self.watches else { return };
        match watches.seen(event) {
            Seen::Nothing => return,
            Seen::Lost | Seen::Folder => {
                self.pending.is_all = true;
                self.pending.is_node = true;
            }
            Seen::File(file) if file == self.paths.node_frozen() => {
                self.neighbours.node_monitor.1.do_send(Wake(None));
                return;
            }
            Seen::File(file) => {
                if file == self.paths.node_conf() || file == self.paths.cluster_conf() {
                    self.pending.is_node = true;
                }
                self.pending.is_rejected |= rejected::is_one(&file);
                self.pending.objects.extend(read::object_of(&self.paths, &file));
            }
        }
        self.read_later(MERGE, ctx);
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        log::error!("the watch of configuration files ended: it is begun anew");
        self.watches = None;
        self.pending.is_all = true;
        self.pending.is_node = true;
        self.read_later(MERGE, ctx);
    }
}

impl Handler<Reload> for ConfigWatcher {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Reload, ctx: &mut Context<Self>) -> Self::Result {
        let (done, end) = oneshot::channel();
        self.pending.is_all = true;
        self.pending.is_node = true;
        self.pending.waiters.push(done);
        self.read(ctx);
        // A reading that fails drops the sender: nothing more to wait for.
        Box::pin(async move { end.await.unwrap_or(()) })
    }
}

impl Handler<LabelsChanged> for ConfigWatcher {
    type Result = ();

    fn handle(&mut self, _: LabelsChanged, ctx: &mut Context<Self>) {
        self.pending.is_labels = true;
        self.read_later(MERGE, ctx);
    }
}

impl Handler<Look> for ConfigWatcher {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Look(paths): Look, ctx: &mut Context<Self>) -> Self::Result {
        let (done, end) = oneshot::channel();
        if self.is_reading && paths.is_empty() {
            self.waiters.push(done);
        } else {
            self.pending.objects.extend(paths);
            self.pending.waiters.push(done);
            self.read(ctx);
        }
        Box::pin(async move { end.await.unwrap_or(()) })
    }
}

#[cfg(test)]
mod tests;
