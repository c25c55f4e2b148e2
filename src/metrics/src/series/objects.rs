//! The objects and the instances of this node.

use std::collections::BTreeMap;

use dataset::snapshot::Snapshot;
use model::{Aggregate, Frozen, InstanceStatus, MonitorStatus, ObjectPath, Status};

use crate::exposition::{Exposition, Kind, number};
use crate::series::facts::{Shown, Usage, flag};

/// The namespace of objects without one.
const ROOT: &str = "root";

/// A word that is not ours.
const OTHER: &str = "other";

fn namespace(path: &ObjectPath) -> &str {
    path.namespace().unwrap_or(ROOT)
}

/// The words that a peer of a later release may have written do not become labels.
fn status_word(status: &MonitorStatus) -> &str {
    match status {
        MonitorStatus::Other(_) => OTHER,
        known => known.as_str(),
    }
}

fn avail_word(status: Option<&Status>) -> &str {
    match status {
        None => "n/a",
        Some(Status::Other(_)) => OTHER,
        Some(known) => known.as_str(),
    }
}

pub(super) fn write(out: &mut Exposition, snapshot: &Snapshot, shown: Shown<'_>) {
    let objects: Vec<(&ObjectPath, &Aggregate)> = snapshot
        .services()
        .iter()
        .map(|(path, aggregate)| (path, &**aggregate))
        .filter(|(path, _)| (shown.object)(path))
        .collect();
    let mut instances: Vec<(&ObjectPath, &InstanceStatus)> = vec![];
    for (path, instance) in snapshot.local().iter().flat_map(|local| local.status.iter()) {
        if (shown.object)(path) {
            instances.push((path, instance));
        }
    }
    let mut avails: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for (path, aggregate) in &objects {
        let avail = avail_word(aggregate.avail.as_ref());
        *avails.entry((namespace(path), path.kind().as_str(), avail)).or_default() += 1;
    }
    let mut family = out.family("opensvc_objects", Kind::Gauge, "How many objects there are.");
    for ((namespace, kind, avail), count) in avails {
        let labels = [("namespace", namespace), ("kind", kind), ("avail", avail)];
        family.sample(&labels, number(count));
    }
    let mut statuses: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for (path, instance) in &instances {
        let status = instance.monitor.as_ref().map_or(OTHER, |it| status_word(&it.status));
        *statuses.entry((namespace(path), path.kind().as_str(), status)).or_default() += 1;
    }
    let mut family = out.family(
        "opensvc_instances",
        Kind::Gauge,
        "How many instances this node has, by what their monitors are at.",
    );
    for ((namespace, kind, status), count) in statuses {
        let labels = [("namespace", namespace), ("kind", kind), ("status", status)];
        family.sample(&labels, number(count));
    }
    // The others run nothing: that they are not up would alarm.
    let mut running = objects;
    running.retain(|(path, _)| path.kind().has_instances());
    instances.retain(|(path, _)| path.kind().has_instances());
    each(out, &running, &instances, shown.most_objects);
}

/// What each object is: only so many have series of their own.
fn each(
    out: &mut Exposition,
    objects: &[(&ObjectPath, &Aggregate)],
    instances: &[(&ObjectPath, &InstanceStatus)],
    most: usize,
) {
    type Flag = fn(&Aggregate) -> bool;
    let flags: [(&'static str, &'static str, Flag); 4] = [
        ("opensvc_object_up", "Whether an object is available.", |it| it.avail == Some(Status::Up)),
        ("opensvc_object_warn", "Whether something of an object is degraded.", |it| {
            it.overall == Some(Status::Warn)
        }),
        ("opensvc_object_frozen", "Whether all instances of an object are frozen.", |it| {
            it.frozen == Some(Frozen::Frozen)
        }),
        ("opensvc_object_optimal", "Whether an object is where it is placed best.", |it| {
            it.placement.as_deref() == Some("optimal")
        }),
    ];
    let left_out = objects.len().saturating_sub(most);
    let objects = &objects[..objects.len().min(most)];
    for (name, help, is_so) in flags {
        let mut family = out.family(name, Kind::Gauge, help);
        for (path, aggregate) in objects {
            family.sample(&labels(path), flag(is_so(aggregate)));
        }
    }
    let mut family = out.family(
        "opensvc_instance_failed",
        Kind::Gauge,
        "Whether the instance of this node failed to do what it was to do.",
    );
    let last = objects.last().map(|(path, _)| *path);
    for (path, instance) in instances.iter().filter(|(path, _)| Some(*path) <= last) {
        let monitor = instance.monitor.as_ref();
        let is_failed = monitor.is_some_and(|it| it.status.as_str().contains("failed"));
        family.sample(&labels(path), flag(is_failed));
    }
    out.family(
        "opensvc_metrics_objects_left_out",
        Kind::Gauge,
        "Objects without series of their own: listener.metrics_objects says how many have some.",
    )
    .sample(&[], number(left_out as u64));
}

/// What objects use: of those that are shown.
pub(super) fn usages(out: &mut Exposition, usages: &[Usage]) {
    let mut family = out.family(
        "opensvc_object_cpu_seconds",
        Kind::Counter,
        "Processor time of an object on this node, in seconds.",
    );
    for usage in usages {
        family.sample(&labels(&usage.object), usage.cpu_seconds);
    }
    let mut family = out.family(
        "opensvc_object_memory_bytes",
        Kind::Gauge,
        "Memory of an object on this node, in bytes.",
    );
    for usage in usages {
        family.sample(&labels(&usage.object), number(usage.memory_bytes));
    }
}

fn labels(path: &ObjectPath) -> [(&str, &str); 3] {
    [("namespace", namespace(path)), ("kind", path.kind().as_str()), ("name", path.name())]
}
