//! Which nodes an object may run on, and in which order of preference (src/monitor/README.md, Placement).

use std::cmp::Reverse;

use md5::{Digest, Md5};
use model::{
    MonitorStatus, NodeMonitorStatus, NodeName, ObjectPath, PlacementPolicy, Provisioned, Status,
    Topology,
};

use crate::{ObjectView, is_overloaded};

/// Which reasons exclude a peer from the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filters {
    /// The node leaves or arrives: `maintenance`, `upgrade`, `init`, `shutting`.
    pub preserved: bool,
    /// The node or the instance is frozen.
    pub frozen: bool,
    /// The instance is `n/a`.
    pub na: bool,
    /// The last start failed there.
    pub start_failed: bool,
    /// The instance is not provisioned.
    pub unprovisioned: bool,
    /// The keyword `constraints` excludes the node.
    pub constraints: bool,
    /// The node lacks memory or swap.
    pub overloaded: bool,
    /// A hard affinity or anti affinity is not met there.
    pub affinities: bool,
}

impl Filters {
    /// Everything excludes.
    pub const ALL: Self = Self {
        preserved: true,
        frozen: true,
        na: true,
        start_failed: true,
        unprovisioned: true,
        constraints: true,
        overloaded: true,
        affinities: true,
    };

    /// Only a node that leaves or arrives is excluded: what the natural leader is chosen from.
    pub const NATURAL: Self = Self {
        preserved: true,
        frozen: false,
        na: false,
        start_failed: false,
        unprovisioned: false,
        constraints: false,
        overloaded: false,
        affinities: false,
    };
}

/// Peers of the object that may run it, in the order of its `peers`. None for an object not configured here.
#[must_use]
pub fn candidates<'w>(object: &ObjectView<'w>, filters: Filters) -> Vec<&'w NodeName> {
    let Some(settings) = object.settings else { return vec![] };
    settings.peers.iter().filter(|node| is_candidate(object, node, filters)).collect()
}

fn is_candidate(object: &ObjectView<'_>, node: &NodeName, filters: Filters) -> bool {
    discarded(object, node, filters).is_none()
}

/// Why a node is no candidate.
#[derive(Debug, Clone, PartialEq)]
pub enum Discard {
    /// Nothing is known of the node, or it has not said whether it is frozen.
    NotHeard,
    /// It has no instance, or one without state.
    NoInstance,
    /// The node leaves or arrives.
    Node(NodeMonitorStatus),
    /// The node is frozen.
    NodeFrozen,
    /// The instance is frozen.
    Frozen,
    /// The instance is `n/a`.
    NotApplicable,
    /// The last start failed there.
    StartFailed(MonitorStatus),
    /// The instance is not provisioned.
    Unprovisioned,
    /// The keyword `constraints` excludes the node.
    Constraints,
    /// The node lacks memory or swap.
    Overloaded,
    /// This object is to be up on the node, and is not.
    Affinity(String),
    /// This object is up on the node, and is not to be.
    AntiAffinity(String),
    /// The node does not publish the value that the policy compares.
    NoValue,
}

impl Discard {
    /// Its name in JSON.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::NotHeard => "not_heard",
            Self::NoInstance => "no_instance",
            Self::Node(_) => "node_status",
            Self::NodeFrozen => "node_frozen",
            Self::Frozen => "frozen",
            Self::NotApplicable => "na",
            Self::StartFailed(_) => "start_failed",
            Self::Unprovisioned => "unprovisioned",
            Self::Constraints => "constraints",
            Self::Overloaded => "overloaded",
            Self::Affinity(_) => "hard_affinity",
            Self::AntiAffinity(_) => "hard_anti_affinity",
            Self::NoValue => "no_value",
        }
    }
}

impl std::fmt::Display for Discard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotHeard => f.write_str("the node is not heard"),
            Self::NoInstance => f.write_str("no evaluated instance"),
            Self::Node(status) => write!(f, "the node is in {status}"),
            Self::NodeFrozen => f.write_str("the node is frozen"),
            Self::Frozen => f.write_str("the instance is frozen"),
            Self::NotApplicable => f.write_str("the instance is n/a"),
            Self::StartFailed(status) => status.fmt(f),
            Self::Unprovisioned => f.write_str("not provisioned"),
            Self::Constraints => f.write_str("constraints not met"),
            Self::Overloaded => f.write_str("the node is overloaded"),
            Self::Affinity(path) => write!(f, "hard_affinity: {path} is not up there"),
            Self::AntiAffinity(path) => write!(f, "hard_anti_affinity: {path} is up there"),
            Self::NoValue => f.write_str("the node publishes no value to compare"),
        }
    }
}

/// Why a node may not run the object; none for a candidate. The first reason counts.
#[must_use]
pub fn discarded(object: &ObjectView<'_>, node: &NodeName, filters: Filters) -> Option<Discard> {
    let Some(data) = object.world.node(node) else { return Some(Discard::NotHeard) };
    let (Some(monitor), Some(frozen)) = (&data.monitor, data.frozen) else {
        return Some(Discard::NotHeard);
    };
    let seen = object.on(node);
    let Some((seen, avail)) = seen.and_then(|seen| Some((seen, seen.status.avail.as_ref()?)))
    else {
        return Some(Discard::NoInstance);
    };
    if filters.preserved && monitor.status.is_preserved() {
        return Some(Discard::Node(monitor.status.clone()));
    }
    if filters.frozen && frozen.0 != 0.0 {
        return Some(Discard::NodeFrozen);
    }
    if filters.frozen && seen.status.frozen.is_some_and(|time| time.0 != 0.0) {
        return Some(Discard::Frozen);
    }
    if filters.na && *avail == Status::NotApplicable {
        return Some(Discard::NotApplicable);
    }
    let status = &seen.monitor.status;
    let start_failed = [MonitorStatus::StartFailed, MonitorStatus::PlaceFailed];
    if filters.start_failed && start_failed.contains(status) {
        return Some(Discard::StartFailed(status.clone()));
    }
    if filters.unprovisioned && seen.status.provisioned == Some(Provisioned::No) {
        return Some(Discard::Unprovisioned);
    }
    if filters.constraints && seen.status.constraints == Some(false) {
        return Some(Discard::Constraints);
    }
    if filters.overloaded && is_overloaded(data) {
        return Some(Discard::Overloaded);
    }
    if filters.affinities { unmet_affinity(object, node) } else { None }
}

fn unmet_affinity(object: &ObjectView<'_>, node: &NodeName) -> Option<Discard> {
    let settings = object.settings?;
    let avail = |path: &String| {
        let path = ObjectPath::parse(path).ok()?;
        object.world.instance(node, &path).map(|status| status.avail.clone())
    };
    // A node without an instance of the other object is no obstacle.
    let is_up = |path: &&String| avail(path).is_none_or(|avail| avail == Some(Status::Up));
    let is_not_up = |path: &&String| avail(path).is_none_or(|avail| avail != Some(Status::Up));
    let affinity = settings.hard_affinity.iter().find(|path| !is_up(path));
    let anti_affinity = settings.hard_anti_affinity.iter().find(|path| !is_not_up(path));
    affinity
        .map(|path| Discard::Affinity(path.clone()))
        .or_else(|| anti_affinity.map(|path| Discard::AntiAffinity(path.clone())))
}

/// Candidates in order of preference. Nodes without the value that the policy compares are dropped.
#[must_use]
pub fn ranks<'w>(object: &ObjectView<'w>, candidates: &[&'w NodeName]) -> Vec<&'w NodeName> {
    let Some(settings) = object.settings else { return vec![] };
    let is_drp = settings.drpnodes.iter().any(|node| node == object.world.local_node());
    let listed = if is_drp { &settings.drpnodes } else { &settings.nodes };
    let mut ranks: Vec<&NodeName> =
        listed.iter().filter(|node| candidates.contains(node)).collect();
    // Ties keep the listed order, so that all nodes of this project agree.
    match &settings.placement {
        PlacementPolicy::None | PlacementPolicy::Other(_) => return vec![],
        PlacementPolicy::NodesOrder => {}
        PlacementPolicy::Shift => {
            if !ranks.is_empty() {
                let shift = slice_number(object.path) % ranks.len();
                ranks.rotate_left(shift);
            }
        }
        PlacementPolicy::Spread => {
            ranks.sort_by_cached_key(|node| {
                let mut digest = Md5::new();
                digest.update(object.path.as_str());
                digest.update(node.as_str());
                <[u8; 16]>::from(digest.finalize())
            });
        }
        PlacementPolicy::Score => {
            let score = |node: &NodeName| object.world.node(node).and_then(|data| data.stats.score);
            ranks.retain(|node| score(node).is_some());
            ranks.sort_by_key(|node| Reverse(score(node)));
        }
        PlacementPolicy::LoadAvg => {
            let load =
                |node: &NodeName| object.world.node(node).and_then(|data| data.stats.load_15m);
            ranks.retain(|node| load(node).is_some());
            ranks.sort_by(|a, b| {
                load(a).unwrap_or_default().total_cmp(&load(b).unwrap_or_default())
            });
        }
    }
    if ranks.len() > 1 {
        for path in settings.soft_affinity.iter().rev() {
            ranks.sort_by_key(|node| !counts_as_up_on(object, path, node));
        }
        for path in settings.soft_anti_affinity.iter().rev() {
            ranks.sort_by_key(|node| counts_as_up_on(object, path, node));
        }
    }
    ranks
}

/// Number of a slice, 1 for `1.svc1`; 0 for an object that is no slice.
fn slice_number(path: &ObjectPath) -> usize {
    path.slice_of().map_or(0, |(number, _)| number)
}

fn counts_as_up_on(object: &ObjectView<'_>, path: &str, node: &NodeName) -> bool {
    let Ok(path) = ObjectPath::parse(path) else { return false };
    object.world.instance(node, &path).is_some_and(|status| {
        let doing = status.monitor.as_ref().map(|monitor| &monitor.status);
        counts_as_up(status.avail.as_ref(), doing)
    })
}

/// Whether an instance is up, or about to be.
#[must_use]
pub fn counts_as_up(avail: Option<&Status>, doing: Option<&MonitorStatus>) -> bool {
    avail == Some(&Status::Up)
        || doing.is_some_and(|status| {
            matches!(
                status,
                MonitorStatus::Restarting
                    | MonitorStatus::Starting
                    | MonitorStatus::WaitChildren
                    | MonitorStatus::Provisioning
                    | MonitorStatus::Placing
            )
        })
}

/// Whether a node is to run the object, among these candidates.
#[must_use]
pub fn is_leader<'w>(
    object: &ObjectView<'w>,
    node: &NodeName,
    candidates: &[&'w NodeName],
) -> bool {
    if !candidates.contains(&node) {
        return false;
    }
    if candidates.len() == 1 {
        return true;
    }
    let ranks = ranks(object, candidates);
    let Some(rank) = ranks.iter().position(|ranked| *ranked == node) else { return false };
    let Some(settings) = object.settings else { return false };
    rank < leaders_wanted(settings)
}

/// Nodes that are to run the object, among these candidates.
#[must_use]
pub fn leaders<'w>(object: &ObjectView<'w>, candidates: &[&'w NodeName]) -> Vec<&'w NodeName> {
    let mut leaders = ranks(object, candidates);
    leaders.truncate(object.settings.map_or(0, leaders_wanted));
    leaders
}

fn leaders_wanted(settings: &model::ObjectSettings) -> usize {
    match settings.topology {
        Topology::Flex => usize::try_from(settings.flex.target).unwrap_or(0),
        Topology::Failover | Topology::Span | Topology::Other(_) => 1,
    }
}

/// Whether the local node is the one that the policy prefers, whatever the state of the instances.
#[must_use]
pub fn is_natural_leader(object: &ObjectView<'_>) -> bool {
    is_leader(object, object.world.local_node(), &candidates(object, Filters::NATURAL))
}
