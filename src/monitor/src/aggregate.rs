//! State of an object over its instances, and of the cluster over its nodes (src/monitor/README.md, States).

use std::collections::BTreeSet;

use model::{Aggregate, Frozen, NodeName, ObjectPath, Provisioned, Status, Timestamp, Topology};

use crate::{ObjectView, World, live_nodes};

impl ObjectView<'_> {
    /// State of the object over these instances, computed now.
    #[must_use]
    pub fn aggregate(&self) -> Aggregate {
        aggregate(self)
    }
}

/// State of an object. Empty when no node has a configuration of it, or for a `span` object.
#[must_use]
pub fn aggregate(object: &ObjectView<'_>) -> Aggregate {
    let world = object.world;
    let is_configured =
        live_nodes(world).any(|(node, _)| world.config(node, object.path).is_some());
    if !is_configured && object.settings.is_none() {
        return Aggregate::default();
    }
    let topology = object.instances.iter().find_map(|seen| seen.status.topology.as_deref());
    if topology.map(Topology::from) == Some(Topology::Span) {
        return Aggregate::default();
    }
    let first = object.instances.first().map(|seen| seen.status);
    Aggregate {
        avail: Some(avail(object)),
        frozen: Some(frozen(
            object
                .known()
                .filter(|seen| seen.status.avail.is_some())
                .map(|seen| seen.status.frozen.unwrap_or_default()),
        )),
        overall: Some(overall(object)),
        placement: Some(placement(object).to_owned()),
        provisioned: Some(provisioned(object)),
        scale: first.and_then(|status| status.scale),
        scaler_slave: first.is_some_and(|status| status.scaler_slave),
    }
}

/// State of the cluster over the frozen times of its nodes.
#[must_use]
pub fn cluster_frozen(world: &dyn World) -> Frozen {
    frozen(world.cluster_nodes().iter().filter_map(|node| world.node(node)?.frozen))
}

fn frozen(times: impl Iterator<Item = Timestamp>) -> Frozen {
    let (mut some, mut all) = (false, true);
    let mut none = true;
    for time in times {
        none = false;
        some |= time.0 != 0.0;
        all &= time.0 != 0.0;
    }
    match (none, some, all) {
        (true, ..) => Frozen::NotApplicable,
        (_, _, true) => Frozen::Frozen,
        (_, true, false) => Frozen::Mixed,
        (_, false, false) => Frozen::Thawed,
    }
}

fn avail(object: &ObjectView<'_>) -> Status {
    let Some(first) = object.instances.first().map(|seen| seen.status) else {
        return Status::Unknown;
    };
    let Some(topology) = object.known().find_map(|seen| seen.status.topology.as_deref()) else {
        return Status::Unknown;
    };
    if let Some(scale) = first.scale {
        return scaler_avail(object.world, first.all_slaves(object.path), scale);
    }
    let states: Vec<&Status> =
        object.known().filter_map(|seen| seen.status.avail.as_ref()).collect();
    let own = match Topology::from(topology) {
        Topology::Flex => flex_avail(object, &states),
        Topology::Failover | Topology::Span | Topology::Other(_) => failover_avail(&states),
    };
    let slaves: Vec<ObjectPath> = first.all_slaves(object.path).collect();
    if slaves.is_empty() { own } else { avail_with_slaves(object.world, own, &slaves) }
}

fn failover_avail(states: &[&Status]) -> Status {
    let up = states.iter().filter(|state| ***state == Status::Up).count();
    if up == 1 {
        Status::Up
    } else if states.iter().all(|state| **state == Status::NotApplicable) {
        Status::NotApplicable
    } else if up > 1 || states.contains(&&Status::Warn) {
        Status::Warn
    } else {
        Status::Down
    }
}

fn flex_avail(object: &ObjectView<'_>, states: &[&Status]) -> Status {
    let up = states.iter().filter(|state| ***state == Status::Up).count() as i64;
    let last = object.known().last().map(|seen| seen.status);
    let max = last.and_then(|status| status.flex_max).unwrap_or(i64::MAX);
    let min = last.and_then(|status| status.flex_min).unwrap_or(0);
    let is_slice = object.known().any(|seen| seen.status.scaler_slave);
    if states.iter().all(|state| **state == Status::NotApplicable) {
        Status::NotApplicable
    } else if up == 0 {
        if states.contains(&&Status::Warn) { Status::Warn } else { Status::Down }
    } else if up > max || (up < min && !is_slice) {
        Status::Warn
    } else {
        Status::Up
    }
}

fn avail_with_slaves(world: &dyn World, own: Status, slaves: &[ObjectPath]) -> Status {
    let mut states: BTreeSet<Status> =
        slaves.iter().filter_map(|path| world.aggregate(path)?.avail.clone()).collect();
    states.insert(own);
    states
        .retain(|state| !matches!(state, Status::NotApplicable | Status::Undef | Status::Unknown));
    let mut states = states.into_iter();
    match (states.next(), states.next()) {
        (None, _) => Status::NotApplicable,
        (Some(only), None) => only,
        (Some(_), Some(_)) => Status::Warn,
    }
}

fn scaler_avail(world: &dyn World, slices: impl Iterator<Item = ObjectPath>, scale: i64) -> Status {
    let is_up = |node: &NodeName, path: &ObjectPath| {
        world.instance(node, path).is_some_and(|status| status.avail == Some(Status::Up))
    };
    let up: usize =
        slices.map(|path| live_nodes(world).filter(|(node, _)| is_up(node, &path)).count()).sum();
    match up as i64 {
        0 => Status::NotApplicable,
        up if up < scale => Status::Warn,
        _ => Status::Up,
    }
}

fn overall(object: &ObjectView<'_>) -> Status {
    let states: BTreeSet<&Status> = object
        .known()
        .filter(|seen| seen.status.avail.is_some())
        .filter_map(|seen| seen.status.overall.as_ref())
        .collect();
    let states: Vec<&Status> = states.into_iter().collect();
    // Sorted as the enum declares them: up, down, warn, n/a, undef, standby up, standby down.
    let result = match states.as_slice() {
        [] => Status::NotApplicable,
        states if states.contains(&&Status::Warn) || states.contains(&&Status::StdbyDown) => {
            Status::Warn
        }
        [only] => (*only).clone(),
        [Status::Up, Status::Down]
        | [Status::Up, Status::StdbyUp]
        | [Status::Up, Status::Down, Status::StdbyUp]
        | [Status::Up, Status::Down, Status::NotApplicable, Status::StdbyUp] => Status::Up,
        [Status::Down, Status::StdbyUp]
        | [Status::Down, Status::NotApplicable, Status::StdbyUp] => Status::Down,
        _ => Status::Undef,
    };
    if matches!(result, Status::StdbyUp | Status::StdbyDown) { Status::Down } else { result }
}

fn placement(object: &ObjectView<'_>) -> &'static str {
    let published = object.known().next().map(|seen| seen.status);
    let (has_policy, flex_min) = match (object.settings, published) {
        (Some(settings), _) => (
            settings.placement != model::PlacementPolicy::None,
            (settings.topology == Topology::Flex).then_some(settings.flex.min),
        ),
        (None, Some(status)) => (status.placement.as_deref() != Some("none"), status.flex_min),
        (None, None) => return "n/a",
    };
    if !has_policy || flex_min == Some(0) {
        return "n/a";
    }
    let thawed: Vec<_> =
        object.known().filter(|seen| seen.status.frozen.is_none_or(|time| time.0 == 0.0)).collect();
    if thawed.len() < 2 {
        return "optimal";
    }
    let is_active = |status: &Option<Status>| matches!(status, Some(Status::Up | Status::Warn));
    if !thawed.iter().any(|seen| is_active(&seen.status.avail)) {
        "n/a"
    } else if thawed.iter().all(|seen| is_active(&seen.status.avail) == seen.monitor.is_leader()) {
        "optimal"
    } else {
        "non-optimal"
    }
}

fn provisioned(object: &ObjectView<'_>) -> Provisioned {
    if object.known().next().is_none() {
        return Provisioned::No;
    }
    let states: Vec<Provisioned> =
        object.known().filter_map(|seen| seen.status.provisioned).collect();
    if states.is_empty() {
        Provisioned::NotApplicable
    } else if states.iter().all(|state| *state == Provisioned::Yes) {
        Provisioned::Yes
    } else if states.iter().all(|state| *state == Provisioned::No) {
        Provisioned::No
    } else {
        Provisioned::Mixed
    }
}
