//! The config watcher: follows node.conf, cluster.conf and the object files.
//!
//! Hears: inotify, a slow sweep (nothing arrives from network file systems, or after an overflow), requests to look again.
//! Tells: the cluster data, the node monitor, the scheduler and the root, each only what concerns it.
//! Restart: everything is read again; only what differs from the configuration in force is told.

mod alerts;
pub(crate) mod rejected;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use conf::NodeSettings;
use model::{NodeName, ObjectPath};
use tokio::sync::oneshot;

use crate::cluster_data::{
    ClusterInfo, NodePublic, SetConfigEntries, SetNode, Snapshot, SnapshotCell,
};
use crate::config::{self, ConfigCell, FileStamp, LoadedConfig};
use crate::node_monitor::{ObjectsChanged, Wake, stats};
use crate::paths::Paths;
use crate::resource::leftovers;
use crate::root::ThreadReport;
use crate::routes::Routes;
use crate::scheduler::SchedulesChanged;
use crate::watching;

use alerts::renamed;
use rejected::Rejected;
use watches::{Seen, Watches};

/// Looks at all files now, as after SIGHUP. Answers when what changed is in force.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// Looks at the files of these objects now. Answers when what changed is in force.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Look(pub Vec<ObjectPath>);

/// Nodes published other labels, which are in their file now: what selects nodes by them is evaluated again.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct LabelsChanged;

/// node.conf or cluster.conf changed, and what it says is in force: rebind what names another address or port, apply the
/// log level and the thresholds. Told to the root.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct NodeConfigChanged {
    /// What was in force before.
    pub old: Arc<NodeSettings>,
    /// What is in force now.
    pub new: Arc<NodeSettings>,
}

/// How long changes are gathered before files are read: editors and copies touch a file several times.
const MERGE: Duration = Duration::from_millis(100);
/// Pause between two looks at all files.
const SWEEP: Duration = Duration::from_secs(60);
/// Alerts shown at a time.
const MAX_ALERTS: usize = 50;

/// Whom the watcher tells.
#[derive(Debug, Clone)]
pub struct Neighbours {
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
    left: leftovers::Told,
    totals: stats::Totals,
}

/// The actor.
#[derive(Debug)]
pub struct ConfigWatcher {
    paths: Arc<Paths>,
    cell: ConfigCell,
    neighbours: Neighbours,
    watches: Option<Watches>,
    /// Why not everything is watched.
    blind: Option<String>,
    sweep: Option<SpawnHandle>,
    /// What the object files looked like when they were read.
    stamps: BTreeMap<ObjectPath, FileStamp>,
    /// Files that lost against newer ones.
    rejected: Rejected,
    /// What runs on of objects and sections that are gone.
    left: leftovers::Told,
    is_looking_again: bool,
    pending: Pending,
    alarm: Option<SpawnHandle>,
    is_reading: bool,
}

impl ConfigWatcher {
    /// The watcher of a daemon.
    #[must_use]
    pub fn new(routes: &Routes) -> Self {
        let neighbours = Neighbours {
            snapshot: routes.snapshot.clone(),
            cluster_data: (
                routes.cluster_data.clone().recipient(),
                routes.cluster_data.clone().recipient(),
            ),
            node_monitor: (
                routes.node_monitor.clone().recipient(),
                routes.node_monitor.clone().recipient(),
            ),
            scheduler: routes.scheduler.clone().recipient(),
            root: (routes.root.clone().recipient(), routes.root.clone().recipient()),
        };
        Self::with(routes.paths.clone(), routes.config.clone(), neighbours)
    }

    /// A watcher with these neighbours.
    #[must_use]
    pub fn with(paths: Arc<Paths>, cell: ConfigCell, neighbours: Neighbours) -> Self {
        Self {
            paths,
            cell,
            neighbours,
            watches: None,
            blind: None,
            sweep: None,
            stamps: BTreeMap::new(),
            rejected: Rejected::new(),
            left: leftovers::Told::new(),
            is_looking_again: false,
            pending: Pending::default(),
            alarm: None,
            is_reading: false,
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
        let left: Vec<ObjectPath> = self.left.keys().cloned().collect();
        // The first look and requested ones trust no stamp.
        let stamps = (is_all && waiters.is_empty()).then(|| std::mem::take(&mut self.stamps));
        let deployed = deployed(&self.neighbours.snapshot.load());
        let work = tokio::task::spawn_blocking(move || {
            let looks = Looks { is_node, is_labels, is_all, is_rejected };
            let mut read = read_files(&paths, config, looks, objects, stamps, &deployed);
            let changed = read.changed.iter().cloned().chain(left);
            read.left = leftovers::look(&paths, &read.config.objects, changed, is_all);
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
            for waiter in waiters {
                _ = waiter.send(());
            }
            this.look_again_later(ctx);
            this.read_later(MERGE, ctx);
        }));
    }

    /// Looks again soon at what runs on and should not: nobody tells when it ends.
    fn look_again_later(&mut self, ctx: &mut Context<Self>) {
        if self.left.is_empty() || std::mem::replace(&mut self.is_looking_again, true) {
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
        let is_rejected_news = rejected.is_some_and(|rejected| self.follow_rejected(rejected));
        let is_news = self.follow_left(left) || is_rejected_news;
        if let Some(stamps) = stamps {
            self.stamps = stamps;
        }
        let old = self.cell.load_full();
        let is_first = !old.is_loaded;
        let config = Arc::new(config);
        self.cell.store(config.clone());
        let is_renamed = renamed(&old.node) != renamed(&config.node);
        if old.complaints != config.complaints || old.kept != config.kept || is_first || is_renamed
        {
            self.report(&old, &config);
        } else if is_news {
            self.show(&config);
        }
        if is_node_changed || is_first {
            self.neighbours
                .cluster_data
                .1
                .do_send(SetNode { settings: Some(public(&config, totals)), ..SetNode::default() });
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
        let pause = if self.blind.is_some() { watching::SWEEP } else { SWEEP };
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
            let mut folders = config::object_folders(&self.paths);
            folders.extend([self.paths.etc.clone(), self.paths.node_var()]);
            folders
        };
        let watched = watched.and_then(|()| match &mut self.watches {
            Some(watches) => watches.add(&folders()),
            None => Ok(()),
        });
        let blind = watched.err().map(|error| watching::reason(&error));
        if blind == self.blind {
            return;
        }
        match &blind {
            Some(reason) => {
                log::error!(reason = reason.as_str(); "configuration files are not watched: they are looked at every 2 s");
            }
            None => log::info!("configuration files are watched again"),
        }
        self.blind = blind;
        self.show(&self.cell.load_full());
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
    let stamps = is_all.then(|| config::list_objects(paths));
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
        left: leftovers::Told::new(),
        totals: stats::measure().1,
    }
}

/// What the configuration makes public of the node.
pub(crate) fn public(config: &LoadedConfig, totals: stats::Totals) -> NodePublic {
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
                self.pending.objects.extend(config::object_of(&self.paths, &file));
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
        self.pending.objects.extend(paths);
        self.pending.waiters.push(done);
        self.read(ctx);
        Box::pin(async move { end.await.unwrap_or(()) })
    }
}

#[cfg(test)]
mod tests;
