//! The config watcher: follows node.conf, cluster.conf and the object files.
//!
//! Hears: inotify, a slow sweep (nothing arrives from network file systems, or after an overflow), requests to look again.
//! Tells: the cluster data, the node monitor, the scheduler and the root, each only what concerns it.
//! Restart: everything is read again; only what differs from the configuration in force is told.

mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use conf::{Complaint, NODE_FILES, NodeSettings};
use model::{NodeName, ObjectPath};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use crate::cluster_data::{
    ClusterInfo, NodePublic, SetConfigEntries, SetNode, Snapshot, SnapshotCell,
};
use crate::config::{self, ConfigCell, FileStamp, LoadedConfig};
use crate::node_monitor::{ObjectsChanged, Wake, stats};
use crate::paths::Paths;
use crate::root::ThreadReport;
use crate::routes::Routes;
use crate::scheduler::SchedulesChanged;
use crate::watching;

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
    objects: BTreeSet<ObjectPath>,
    waiters: Vec<oneshot::Sender<()>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        !self.is_node
            && !self.is_labels
            && !self.is_all
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
        let Pending { is_node, is_labels, is_all, objects, waiters } = pending;
        let (paths, config) = (self.paths.clone(), (**self.cell.load()).clone());
        // The first look and requested ones trust no stamp.
        let stamps = (is_all && waiters.is_empty()).then(|| std::mem::take(&mut self.stamps));
        let deployed = deployed(&self.neighbours.snapshot.load());
        let work = tokio::task::spawn_blocking(move || {
            let looks = Looks { is_node, is_labels, is_all };
            read_files(&paths, config, looks, objects, stamps, &deployed)
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
            this.read_later(MERGE, ctx);
        }));
    }

    /// Puts in force what was read.
    fn apply(&mut self, read: Read) {
        let Read { config, is_node_changed, changed, stamps, totals } = read;
        if let Some(stamps) = stamps {
            self.stamps = stamps;
        }
        let old = self.cell.load_full();
        let is_first = !old.is_loaded;
        let config = Arc::new(config);
        self.cell.store(config.clone());
        if old.complaints != config.complaints || old.kept != config.kept || is_first {
            self.report(&old, &config);
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

    /// Logs and shows what is wrong.
    fn report(&self, old: &LoadedConfig, new: &LoadedConfig) {
        // What was wrong at the start was not told yet.
        let known = |file: &String| old.complaints.get(file).filter(|_| old.is_loaded);
        for (file, complaint) in complaints_of(new) {
            let is_told = old.kept.contains(file) == new.kept.contains(file)
                && known(file).is_some_and(|known| known.contains(complaint));
            if !is_told {
                log::log!(level_of(complaint), "{}", told(new, file, complaint));
            }
        }
        for file in old.complaints.keys().filter(|file| !new.complaints.contains_key(*file)) {
            let is_gone = ObjectPath::from_config_file(file)
                .is_some_and(|path| !new.objects.contains_key(&path));
            match is_gone {
                true => log::info!(file = file.as_str(); "configuration is gone"),
                false => log::info!(file = file.as_str(); "configuration is valid again"),
            }
        }
        self.show(new);
    }

    /// Shows what is wrong.
    fn show(&self, new: &LoadedConfig) {
        let count = complaints_of(new).count();
        let alert = |(file, complaint): (&String, &Complaint)| {
            let severity = match complaint.severity {
                conf::Severity::Error => "error",
                conf::Severity::Mistake | conf::Severity::Warning | conf::Severity::Notice => {
                    "warning"
                }
            };
            json!({"severity": severity, "message": told(new, file, complaint)})
        };
        // The worst first: what is only odd does not hide what keeps a file from being in force.
        let mut worst: Vec<(&String, &Complaint)> = complaints_of(new).collect();
        worst.sort_by_key(|(_, complaint)| std::cmp::Reverse(complaint.severity));
        let mut alerts: Vec<Value> = worst.into_iter().take(MAX_ALERTS).map(alert).collect();
        if count > MAX_ALERTS {
            let message = format!("{} more configuration mistakes", count - MAX_ALERTS);
            alerts.push(json!({"severity": "warning", "message": message}));
        }
        let blind = self.blind.iter();
        alerts.extend(blind.map(|reason| watching::alert("configuration files", reason)));
        for id in ["config", "monitor"] {
            let fields: Map<String, Value> =
                [("alerts".to_owned(), json!(alerts))].into_iter().collect();
            self.neighbours.root.1.do_send(ThreadReport { id: id.into(), fields });
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

fn complaints_of(config: &LoadedConfig) -> impl Iterator<Item = (&String, &Complaint)> {
    let by_file = config.complaints.iter();
    by_file.flat_map(|(file, complaints)| complaints.iter().map(move |each| (file, each)))
}

fn level_of(complaint: &Complaint) -> log::Level {
    match complaint.severity {
        conf::Severity::Error => log::Level::Error,
        conf::Severity::Mistake | conf::Severity::Warning | conf::Severity::Notice => {
            log::Level::Warn
        }
    }
}

/// A complaint with what applies instead.
fn told(config: &LoadedConfig, file: &str, complaint: &Complaint) -> String {
    let is_node = NODE_FILES.contains(&file);
    match (complaint.severity, config.kept.contains(file)) {
        (conf::Severity::Error, true) => {
            format!("{complaint}: the last good configuration stays in force")
        }
        (conf::Severity::Error, false) if is_node && !complaint.keyword.is_empty() => {
            format!("{complaint}: its default applies")
        }
        _ => complaint.to_string(),
    }
}

/// What is looked at, beside some objects.
#[derive(Debug, Clone, Copy)]
struct Looks {
    is_node: bool,
    is_labels: bool,
    is_all: bool,
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
    Looks { is_node, is_labels, is_all }: Looks,
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
