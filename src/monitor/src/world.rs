//! What a decision may look at: the cluster data, as the local node knows it, and the settings of the objects.

use std::time::Duration;

use model::{
    Aggregate, ConfigEntry, InstanceMonitor, InstanceStatus, NodeData, NodeMonitorStatus, NodeName,
    ObjectPath, ObjectSettings,
};

use crate::ballot::Ballot;
use crate::standing::Standing;

/// Facts of the local node that every object decision needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Keyword `node.ready_period` in seconds, default 5: how long peers may contest a start.
    pub ready_period_secs: f64,
    /// The longest `timeout` of the heartbeats in seconds, default 15: a peer that is silent for as long is lost.
    pub heartbeat_timeout_secs: f64,
    /// Keyword `node.max_parallel`: objects that may have an action running at once.
    pub max_parallel: usize,
    /// Objects with an action running now ([`is_transition`](crate::instance::rules::is_transition)).
    pub transitions: usize,
    /// The rejoin grace period runs: nothing is started without being asked.
    pub grace: bool,
    /// A peer beats and has not told what it runs: nothing is decided.
    pub blind: bool,
    /// How the node stands with the members: nothing is decided by one that a member refuses.
    pub standing: Standing,
    /// Who votes for this side now, with keyword `cluster.quorum`: nodes with data, those that said that they go and were
    /// not heard since, and arbitrators that answered after the last loss.
    pub ballot: Option<Ballot>,
}

impl Conditions {
    /// Whether quorum is on, and this side has none: nothing that may run on the other side is started.
    #[must_use]
    pub fn has_no_quorum(&self) -> bool {
        self.ballot.is_some_and(|ballot| !ballot.survives())
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            ready_period_secs: 5.0,
            heartbeat_timeout_secs: 15.0,
            max_parallel: 10,
            transitions: 0,
            grace: false,
            blind: false,
            standing: Standing::Member,
            ballot: None,
        }
    }
}

/// How far a peer sees the local node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sight {
    /// It has the data of the local node.
    pub is_seen: bool,
    /// The local node has its data.
    pub is_known: bool,
    /// How often it had not.
    pub unseen: Unseen,
}

impl Sight {
    /// Whether the peer decides from what the local node tells, and the local node from what the peer tells.
    #[must_use]
    pub fn is_in_step(&self) -> bool {
        self.is_seen && self.is_known
    }
}

/// What a message of a peer tells of the life of its daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It leads on from what was known of the peer, or the peer is long past its start.
    Same,
    /// Its daemon waits for its peers, as after a start: in `init` or `rejoin`, in which nothing is started by itself.
    New,
    /// It says nothing of it.
    Unknown,
}

impl Life {
    /// What the status of its node monitor tells.
    #[must_use]
    pub fn of(status: Option<&NodeMonitorStatus>) -> Self {
        match status {
            Some(NodeMonitorStatus::Init | NodeMonitorStatus::Rejoin) => Self::New,
            Some(_) => Self::Same,
            None => Self::Unknown,
        }
    }
}

/// How often a peer had no data of the local node: it had forgotten them, or never had them. What it decided then, it
/// decided without knowing what runs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unseen {
    /// While it was heard here all the time. A peer that started anew is not counted: what it knew ended with it.
    pub times: u64,
    /// After it had been lost here too, and the local node been judged for that.
    pub times_anew: u64,
    /// It was lost here too, and does not have the data again yet.
    pub is_anew: bool,
    /// It started anew without having been lost here, and does not have the data again yet.
    pub has_started: bool,
    /// Since when it has the data no more, and did not tell whether it forgot them or started anew.
    undecided_since: Option<Duration>,
}

/// How long a peer may leave open whether it forgot the local node or started anew: longer than the whole data of one that
/// started take to come. One that hears the local node no more is never asked for them.
const UNDECIDED: Duration = Duration::from_secs(5);

impl Unseen {
    /// A message of the peer came. `ack`: the generation of the local data that it has now, 0 for none; `before`: by its
    /// last message, none if this is the first one since the start or since it was lost; `was_lost`: it was.
    pub fn on_message(
        &mut self,
        now: Duration,
        ack: u64,
        before: Option<u64>,
        was_lost: bool,
        life: Life,
    ) {
        match (ack, before) {
            (1.., _) => (self.is_anew, self.has_started) = (false, false),
            (0, None) => {
                (self.has_started, self.undecided_since, self.is_anew) = (false, None, was_lost);
                self.times_anew += u64::from(was_lost);
                self.times += u64::from(!was_lost);
            }
            (0, Some(1..)) => self.undecided_since = Some(now),
            (0, Some(0)) => {}
        }
        let Some(since) = self.undecided_since else { return };
        let is_late = now.saturating_sub(since) >= UNDECIDED;
        if life != Life::Unknown || is_late {
            self.undecided_since = None;
            self.has_started = life == Life::New && ack == 0;
            self.times += u64::from(life != Life::New);
        }
    }

    /// Whether what is known to run on the peer may be of the life of its daemon before.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.undecided_since.is_some()
    }
}

/// Read access to what the local node knows. Each call must be cheap: a pass over one object asks for its own
/// instances, and for those of the objects it names.
pub trait World {
    /// The node that decides.
    fn local_node(&self) -> &NodeName;

    /// Keyword `cluster.nodes`, in its order.
    fn cluster_nodes(&self) -> &[NodeName];

    /// Data of a node; none for one never heard or forgotten. `services` of it is not read.
    fn node(&self, node: &NodeName) -> Option<&NodeData>;

    /// Instance of an object on a node.
    fn instance(&self, node: &NodeName, path: &ObjectPath) -> Option<&InstanceStatus>;

    /// What a node publishes of the configuration of an object.
    fn config(&self, node: &NodeName, path: &ObjectPath) -> Option<&ConfigEntry>;

    /// State of an object over its instances; none for one without configuration on any node.
    fn aggregate(&self, path: &ObjectPath) -> Option<&Aggregate>;

    /// Settings of an object configured here.
    fn settings(&self, path: &ObjectPath) -> Option<&ObjectSettings>;

    /// Objects of kinds `svc` and `vol` configured here, that is those with a local instance, evaluated or not.
    fn local_objects(&self) -> Vec<&ObjectPath>;

    /// Facts of the local node.
    fn conditions(&self) -> Conditions;

    /// Whether a node says that it hears another one.
    fn hears(&self, node: &NodeName, other: &NodeName) -> bool {
        self.node(node).is_some_and(|data| data.r#gen.contains_key(other))
    }

    /// Number of the local data as they are published: those of a later state are higher.
    fn generation(&self) -> u64 {
        self.acked(self.local_node())
    }

    /// Number of the local data that a node says to have, 0 for none.
    fn acked(&self, node: &NodeName) -> u64 {
        let told = self.node(node).and_then(|data| data.r#gen.get(self.local_node()));
        told.copied().unwrap_or(0)
    }

    /// How far a node sees the local one.
    fn sight(&self, node: &NodeName) -> Sight {
        let has = |data: &NodeData, of| data.r#gen.get(of).is_some_and(|number| *number > 0);
        self.node(node).map_or_else(Sight::default, |data| Sight {
            is_seen: has(data, self.local_node()),
            is_known: has(data, node),
            ..Sight::default()
        })
    }
}

/// Nodes of the cluster that have published their monitor, in `cluster.nodes` order.
pub fn live_nodes(world: &dyn World) -> impl Iterator<Item = (&NodeName, &NodeData)> {
    world.cluster_nodes().iter().filter_map(move |name| {
        world.node(name).filter(|data| data.monitor.is_some()).map(|data| (name, data))
    })
}

/// Whether all nodes that publish a compatibility level publish the same.
#[must_use]
pub fn is_compatible(world: &dyn World) -> bool {
    let mut levels = world
        .cluster_nodes()
        .iter()
        .filter_map(|name| world.node(name).and_then(|data| data.compat));
    levels.next().is_none_or(|first| levels.all(|level| level == first))
}

/// One instance of an object, as a decision sees it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'w> {
    /// Where it is.
    pub node: &'w NodeName,
    /// Its status.
    pub status: &'w InstanceStatus,
    /// Its monitor: that of the core for the local instance, the published one elsewhere.
    pub monitor: &'w InstanceMonitor,
}

/// One object, with all its instances.
#[derive(Clone)]
pub struct ObjectView<'w> {
    /// Everything else.
    pub world: &'w dyn World,
    /// The object.
    pub path: &'w ObjectPath,
    /// Its settings, if it is configured here.
    pub settings: Option<&'w ObjectSettings>,
    /// Its instances in `cluster.nodes` order, those without evaluation included.
    pub instances: Vec<Seen<'w>>,
}

/// The monitor of an instance that publishes none.
static NO_MONITOR: InstanceMonitor = InstanceMonitor {
    status: model::MonitorStatus::Idle,
    status_updated: None,
    placement: String::new(),
    local_expect: None,
    local_expect_updated: None,
    global_expect: None,
    global_expect_updated: None,
    restart: std::collections::BTreeMap::new(),
    stonith: None,
};

impl<'w> ObjectView<'w> {
    /// The object as published.
    #[must_use]
    pub fn new(world: &'w dyn World, path: &'w ObjectPath) -> Self {
        Self::with_monitor(world, path, None)
    }

    /// The object, with the monitor of the local instance instead of the published one.
    #[must_use]
    pub fn with_monitor(
        world: &'w dyn World,
        path: &'w ObjectPath,
        local: Option<&'w InstanceMonitor>,
    ) -> Self {
        let instances = live_nodes(world)
            .filter_map(|(node, _)| {
                let status = world.instance(node, path)?;
                let published = status.monitor.as_ref().unwrap_or(&NO_MONITOR);
                let monitor =
                    if node == world.local_node() { local.unwrap_or(published) } else { published };
                Some(Seen { node, status, monitor })
            })
            .collect();
        Self { world, path, settings: world.settings(path), instances }
    }

    /// Instances that were evaluated.
    pub fn known(&self) -> impl Iterator<Item = &Seen<'w>> {
        self.instances.iter().filter(|seen| seen.status.is_known())
    }

    /// The local instance.
    #[must_use]
    pub fn local(&self) -> Option<&Seen<'w>> {
        self.on(self.world.local_node())
    }

    /// The instance on a node.
    #[must_use]
    pub fn on(&self, node: &NodeName) -> Option<&Seen<'w>> {
        self.instances.iter().find(|seen| seen.node == node)
    }

    /// Evaluated instances on the other nodes.
    pub fn peers(&self) -> impl Iterator<Item = &Seen<'w>> {
        let local = self.world.local_node();
        self.known().filter(move |seen| seen.node != local)
    }
}
