//! Waiting for the end of what was asked: whether an object is where it was wanted, and what there is to say meanwhile.
//!
//! Pure: whoever waits shows what the daemon knows, as often as it changes, and is told what to make of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::{
    Aggregate, Blocker, Explanation, GlobalExpect, InstanceMonitor, InstanceStatus, ObjectPath,
    Provisioned, Timestamp, Weight, resolve_path,
};
use wire::reply::Lines;

/// Longest wait where nobody said how long: longer than a stop and a start that take all the time they have.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// How long nothing may change before it is asked whether anything is to come.
pub const STUCK_AFTER: Duration = Duration::from_secs(3);

/// Whether an order was refused because an instance moves: it may be given once that has ended.
#[must_use]
pub fn is_refused_for_now(lines: &Lines) -> bool {
    let is_moving = |line: &String| line.contains(" instance on node ") && line.ends_with(" state");
    !lines.errors.is_empty() && lines.errors.iter().all(is_moving)
}

/// How long nothing may change after a failure while other nodes still hold the target: one of them may be about to try.
const SETTLING: Duration = Duration::from_secs(3);

/// An object as the daemon knows it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The object over its instances; none when it is not known.
    pub aggregate: Option<&'a Aggregate>,
    /// Instances by node.
    pub instances: &'a BTreeMap<String, InstanceStatus>,
    /// Whether a node that is heard may still have a copy of what was deleted.
    pub is_being_deleted: bool,
}

impl<'a> Seen<'a> {
    fn monitors(self) -> impl Iterator<Item = (&'a str, &'a InstanceMonitor)> {
        let each = |(node, status): (&'a String, &'a InstanceStatus)| {
            Some((node.as_str(), status.monitor.as_ref()?))
        };
        self.instances.iter().filter_map(each)
    }

    /// The objects whose targets follow those of this one.
    #[must_use]
    pub fn slaves(self, path: &ObjectPath) -> Vec<ObjectPath> {
        // All instances are of one configuration.
        let Some(status) = self.instances.values().find(|status| status.is_known()) else {
            return vec![];
        };
        let names = status.slaves.iter().chain(&status.scaler_slaves);
        names
            .filter_map(|name| ObjectPath::parse(&resolve_path(name, path.namespace())).ok())
            .collect()
    }

    fn avail(self) -> &'a str {
        self.aggregate
            .and_then(|aggregate| aggregate.avail.as_ref())
            .map_or("n/a", |avail| avail.as_str())
    }
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq)]
enum Goal {
    /// A target of the monitors.
    Target(GlobalExpect),
    /// That failures of before are forgotten.
    Cleared,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The time of the order says nothing to who gave it.
            Self::Target(GlobalExpect::Restarted(_)) => f.write_str("restarted"),
            Self::Target(target) => write!(f, "{target}"),
            Self::Cleared => f.write_str("cleared"),
        }
    }
}

/// When the monitor of an instance changed last, before the order.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Marks {
    target: Option<Timestamp>,
    status: Option<Timestamp>,
}

/// One object that is waited for.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    path: ObjectPath,
    goal: Goal,
    before: BTreeMap<String, Marks>,
    /// Whether the order has reached the data: from then on, that nobody has the target says that it was dropped.
    is_ordered: bool,
}

/// What the data say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet.
    Pending,
    /// It is where it was wanted.
    Reached,
    /// It will not come: why.
    Failed(String),
}

impl Waiting {
    fn new(path: &ObjectPath, goal: Goal, before: Option<Seen<'_>>) -> Self {
        let marks = |monitor: &InstanceMonitor| Marks {
            target: monitor.global_expect_updated,
            status: monitor.status_updated,
        };
        let before = before.into_iter().flat_map(Seen::monitors);
        let before = before.map(|(node, monitor)| (node.to_owned(), marks(monitor))).collect();
        Self { path: path.clone(), goal, before, is_ordered: false }
    }

    /// Waits for a new object, of which nothing was known before.
    #[must_use]
    pub fn for_new(path: &ObjectPath, target: GlobalExpect) -> Self {
        Self::new(path, Goal::Target(target), None)
    }

    /// Waits until the failures of `before` are forgotten.
    #[must_use]
    pub fn for_clear(path: &ObjectPath, before: Seen<'_>) -> Self {
        Self { is_ordered: true, ..Self::new(path, Goal::Cleared, Some(before)) }
    }

    /// What there is to wait for after an order for `path` was answered; none if it was refused, or done already.
    /// `before` are the data of before the order, `chosen` the target that the reply names.
    #[must_use]
    pub fn for_answer(
        path: &ObjectPath,
        expect: &GlobalExpect,
        chosen: Option<&str>,
        lines: &Lines,
        before: Option<Seen<'_>>,
    ) -> Option<Self> {
        if before.is_some_and(|before| is_beside_the_point(before, expect)) {
            return None;
        }
        let prefix = format!("{path} ");
        let said = lines.infos.iter().filter_map(|line| line.strip_prefix(&prefix));
        for line in said {
            if let Some(target) = line.strip_prefix("defer target state set to ") {
                // The router replaced `<peer>` by the node it chose.
                let goal = Goal::Target(GlobalExpect::from(target));
                return Some(Self::new(path, goal, before));
            }
            if line.starts_with("is already targeting ") {
                let goal = Goal::Target(expect.clone());
                return Some(Self { is_ordered: true, ..Self::new(path, goal, before) });
            }
            if line.starts_with("is already ") {
                return None;
            }
        }
        if !lines.errors.is_empty() || lines.status != 0 {
            return None;
        }
        // Nothing was set: it is there, or nobody will bring it there.
        let goal = Goal::Target(chosen.map_or_else(|| expect.clone(), GlobalExpect::from));
        Some(Self { is_ordered: chosen.is_none(), ..Self::new(path, goal, before) })
    }

    /// The object.
    #[must_use]
    pub fn path(&self) -> &ObjectPath {
        &self.path
    }

    /// What is waited for, in a word.
    #[must_use]
    pub fn goal(&self) -> String {
        self.goal.to_string()
    }

    /// Looks at the newest data, in which nothing changed for `quiet`.
    pub fn look(&mut self, seen: Seen<'_>, quiet: Duration) -> Verdict {
        let target = match &self.goal {
            Goal::Cleared => return self.look_cleared(seen),
            Goal::Target(target) => target,
        };
        let marks = |node: &str| self.before.get(node).copied().unwrap_or_default();
        let is_new = |(node, monitor): (&str, &InstanceMonitor)| {
            monitor.global_expect_updated != marks(node).target
        };
        // A deletion leaves nothing that could tell.
        let is_gone = |node: &String| !seen.instances.contains_key(node);
        self.is_ordered |= seen.monitors().any(is_new) || self.before.keys().any(is_gone);
        // What has no instances has no target that could be seen: that it is gone tells.
        let is_deletion = matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged);
        self.is_ordered |= is_deletion && seen.aggregate.is_none() && seen.instances.is_empty();
        // A new instance looks as if it had nothing to provision or to start, until it is evaluated.
        if seen.instances.values().any(|status| !status.is_known()) {
            return Verdict::Pending;
        }
        // Data of before the order may look as if it was done: a service that is to be restarted is up. What failed to
        // provision may have nothing that says so.
        let is_failed_here = |(node, monitor): (&str, &InstanceMonitor)| {
            monitor.status.is_failed() && monitor.status_updated != marks(node).status
        };
        let is_of_all = matches!(target, GlobalExpect::Provisioned | GlobalExpect::Unprovisioned);
        let has_failed = is_of_all && seen.monitors().any(is_failed_here);
        if self.is_ordered && !has_failed && is_reached(seen, target) {
            return Verdict::Reached;
        }
        if seen.monitors().any(|(_, monitor)| monitor.status.is_transitioning()) {
            return Verdict::Pending;
        }
        if matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged)
            && seen.instances.is_empty()
        {
            // Its last instance went before its last configuration.
            return Verdict::Pending;
        }
        let is_held = seen.monitors().any(|(_, monitor)| monitor.global_expect.is_some());
        let failed = seen.monitors().find(|(node, monitor)| {
            // An older failure is what the target may be about to mend.
            monitor.status.is_failed() && monitor.status_updated != marks(node).status
        });
        let deletes = matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged);
        match failed {
            Some((node, monitor)) if !is_held || quiet >= SETTLING => {
                let (path, status) = (&self.path, &monitor.status);
                let failure = seen.instances.get(node).and_then(|it| it.last_failure.as_ref());
                Verdict::Failed(match failure {
                    Some(failure) => format!("{path}: {status} on {node}: {failure}"),
                    None => format!("{path}: {status} on {node}: see `om {path} logs`"),
                })
            }
            // The last instance of a deleted object may be seen for a moment after its target is gone.
            None if self.is_ordered && !is_held && (!deletes || quiet >= SETTLING) => {
                Verdict::Failed(format!("target dropped, {}", self.state(seen)))
            }
            _ => Verdict::Pending,
        }
    }

    /// Why it will not come, as the monitors explain it: what holds most holds until somebody does something, and nothing
    /// else is on its way.
    #[must_use]
    pub fn stuck(&self, seen: Seen<'_>, explained: &Explanation) -> Option<String> {
        // What acts has an end.
        if seen.monitors().any(|(_, monitor)| monitor.status.is_transitioning()) {
            return None;
        }
        // A configuration that differs is on its way, as long as the nodes hear each other.
        let waits = |blocker: &Blocker| {
            blocker.weight == Weight::Waits || blocker.reason.id == "config_differs"
        };
        let leading = explained.blockers.iter().min_by_key(|blocker| blocker.weight)?;
        let is_still = explained.next.is_empty() && explained.timers.is_empty();
        let is_stuck = leading.weight == Weight::Stuck
            && is_still
            && self.goal != Goal::Cleared
            && !explained.blockers.iter().any(waits);
        is_stuck.then(|| explained.summary.clone())
    }

    fn look_cleared(&self, seen: Seen<'_>) -> Verdict {
        let is_left = seen.monitors().any(|(node, monitor)| {
            let before = self.before.get(node).copied().unwrap_or_default();
            monitor.status.is_failed() && monitor.status_updated == before.status
        });
        if is_left { Verdict::Pending } else { Verdict::Reached }
    }

    /// What each instance does: `n1: stopping, n2: idle`.
    #[must_use]
    pub fn progress(seen: Seen<'_>) -> String {
        let each = seen.monitors().map(|(node, monitor)| format!("{node}: {}", monitor.status));
        let all: Vec<String> = each.collect();
        if all.is_empty() { "no instance".to_owned() } else { all.join(", ") }
    }

    /// Where the object is: `svc1 is up on n2`, and what else its target is about.
    #[must_use]
    pub fn state(&self, seen: Seen<'_>) -> String {
        let Some(aggregate) = seen.aggregate.filter(|_| !seen.instances.is_empty()) else {
            return format!("{} is deleted", self.path);
        };
        let avail = seen.avail();
        let mut text = format!("{} is {avail}", self.path);
        let is_active = |status: &InstanceStatus| {
            status.avail.as_ref().is_some_and(|own| own.as_str() == avail)
        };
        let active: Vec<&str> = seen
            .instances
            .iter()
            .filter(|(_, status)| matches!(avail, "up" | "warn") && is_active(status))
            .map(|(node, _)| node.as_str())
            .collect();
        if !active.is_empty() {
            text += &format!(" on {}", active.join(", "));
        }
        match &self.goal {
            Goal::Target(GlobalExpect::Frozen | GlobalExpect::Thawed) => {
                if let Some(frozen) = &aggregate.frozen {
                    text += &format!(", {frozen}");
                }
            }
            Goal::Target(GlobalExpect::Provisioned | GlobalExpect::Unprovisioned) => {
                text += match aggregate.provisioned {
                    Some(Provisioned::Yes) => ", provisioned",
                    Some(Provisioned::No) => ", not provisioned",
                    Some(Provisioned::Mixed) => ", partly provisioned",
                    Some(Provisioned::NotApplicable) | None => "",
                };
            }
            Goal::Target(_) | Goal::Cleared => {}
        }
        for (node, monitor) in seen.monitors().filter(|(_, monitor)| monitor.status.is_failed()) {
            text += &format!(", {} on {node}", monitor.status);
        }
        text
    }
}

/// Whether the instances have nothing to start, stop or move: the order is carried out by their slaves alone.
fn is_beside_the_point(seen: Seen<'_>, target: &GlobalExpect) -> bool {
    // What was only just created looks so too, until it is evaluated.
    let is_empty = |status: &InstanceStatus| {
        status.is_known() && status.resources.as_ref().is_some_and(BTreeMap::is_empty)
    };
    !target.is_beside_resources()
        && !seen.instances.is_empty()
        && seen.instances.values().all(is_empty)
}

/// Whether an object is where a target wants it (src/cli/README.md, Waiting).
fn is_reached(seen: Seen<'_>, target: &GlobalExpect) -> bool {
    if matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged) {
        // Configured nowhere: instances that are at rest go in a moment.
        let is_at_rest = |monitor: &InstanceMonitor| {
            monitor.global_expect.is_none() && !monitor.status.is_transitioning()
        };
        return seen.aggregate.is_none()
            && !seen.is_being_deleted
            && seen.monitors().all(|(_, monitor)| is_at_rest(monitor));
    }
    let Some(aggregate) = seen.aggregate else { return false };
    let avail = seen.avail();
    let frozen = aggregate.frozen.as_ref().map_or("", |frozen| frozen.as_str());
    // Beyond the states of the field, the monitors are to be done: or the next command would be refused.
    let is_released = seen
        .monitors()
        .all(|(_, monitor)| monitor.global_expect.is_none() && !monitor.status.is_transitioning());
    let is_started = matches!(avail, "up" | "n/a");
    let is_provisioned = |wanted| matches!(aggregate.provisioned, Some(found) if found == wanted || found == Provisioned::NotApplicable);
    match target {
        _ if !is_released => false,
        GlobalExpect::Frozen => frozen == "frozen",
        GlobalExpect::Thawed => frozen == "thawed",
        // A provision ends with a start.
        GlobalExpect::Provisioned => is_provisioned(Provisioned::Yes) && is_started,
        GlobalExpect::Unprovisioned => is_provisioned(Provisioned::No),
        GlobalExpect::Started => is_started,
        GlobalExpect::Stopped => matches!(avail, "down" | "stdby up" | "stdby down" | "n/a"),
        GlobalExpect::Shutdown => matches!(avail, "down" | "n/a"),
        GlobalExpect::Placed => {
            is_started && matches!(aggregate.placement.as_deref(), Some("optimal" | "n/a"))
        }
        // What has no resource of its own, as a master of slaves, is wherever it is wanted.
        GlobalExpect::PlacedAt(_) if avail == "n/a" => true,
        GlobalExpect::PlacedAt(nodes) => nodes.split(',').all(|node| {
            let avail = seen.instances.get(node).and_then(|instance| instance.avail.as_ref());
            avail.is_some_and(|avail| avail.as_str() == "up")
        }),
        GlobalExpect::Restarted(_) => is_started,
        GlobalExpect::Aborted | GlobalExpect::Scaled | GlobalExpect::Other(_) => true,
        GlobalExpect::Deleted | GlobalExpect::Purged => false,
    }
}

#[cfg(test)]
mod tests;
