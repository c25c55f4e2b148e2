//! Waiting for the end of what was asked: whether an object is where it was wanted, and what there is to say meanwhile.
//!
//! Pure: whoever waits shows what the daemon knows, as often as it changes, and is told what to make of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::{
    Aggregate, GlobalExpect, InstanceMonitor, InstanceStatus, ObjectPath, Provisioned, Timestamp,
    resolve_path,
};
use wire::reply::Lines;

/// How long nothing may change after a failure while other nodes still hold the target: one of them may be about to try.
const SETTLING: Duration = Duration::from_secs(3);

/// An object as the daemon knows it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The object over its instances; none when it is not known.
    pub aggregate: Option<&'a Aggregate>,
    /// Instances by node.
    pub instances: &'a BTreeMap<String, InstanceStatus>,
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
        match failed {
            Some((node, monitor)) if !is_held || quiet >= SETTLING => Verdict::Failed(format!(
                "{}: {} on {node}: see `om {} logs`",
                self.path, monitor.status, self.path
            )),
            None if self.is_ordered && !is_held => {
                Verdict::Failed(format!("target dropped, {}", self.state(seen)))
            }
            _ => Verdict::Pending,
        }
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

/// Whether an object is where a target wants it (src/om/README.md, Waiting).
fn is_reached(seen: Seen<'_>, target: &GlobalExpect) -> bool {
    if matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged) {
        // Configured nowhere: instances that are at rest go in a moment.
        let is_at_rest = |monitor: &InstanceMonitor| {
            monitor.global_expect.is_none() && !monitor.status.is_transitioning()
        };
        return seen.aggregate.is_none() && seen.monitors().all(|(_, monitor)| is_at_rest(monitor));
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
        GlobalExpect::Provisioned => is_provisioned(Provisioned::Yes),
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
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Data that a test shows.
    struct Data {
        aggregate: Option<Aggregate>,
        instances: BTreeMap<String, InstanceStatus>,
    }

    impl Data {
        fn none() -> Self {
            Self { aggregate: None, instances: BTreeMap::new() }
        }

        fn seen(&self) -> Seen<'_> {
            Seen { aggregate: self.aggregate.as_ref(), instances: &self.instances }
        }
    }

    /// Instances of n1, n2 ..: avail and monitor.
    fn data(avail: &str, instances: &[(&str, Value)]) -> Data {
        let aggregate = json!({"avail": avail, "frozen": "thawed", "placement": "optimal", "provisioned": true});
        let instance = |(at, (avail, monitor)): (usize, &(&str, Value))| {
            let status = json!({"updated": 1.0, "avail": avail, "monitor": monitor});
            (format!("n{}", at + 1), serde_json::from_value(status).unwrap())
        };
        Data {
            aggregate: serde_json::from_value(aggregate).ok(),
            instances: instances.iter().enumerate().map(instance).collect(),
        }
    }

    fn one(avail: &str, monitor: Value) -> Data {
        data(avail, &[(avail, monitor)])
    }

    fn idle() -> Value {
        json!({"status": "idle"})
    }

    fn w1() -> ObjectPath {
        ObjectPath::parse("w1").unwrap()
    }

    fn lines(infos: &[&str], errors: &[&str]) -> Lines {
        let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let status = i64::try_from(errors.len()).unwrap();
        Lines { status, infos: own(infos), errors: own(errors) }
    }

    /// A wait whose order `started` was accepted over `before`.
    fn ordered(before: &Data) -> Waiting {
        let lines = lines(&["w1 defer target state set to started"], &[]);
        let chosen = Some("started");
        Waiting::for_answer(&w1(), &GlobalExpect::Started, chosen, &lines, Some(before.seen()))
            .unwrap()
    }

    fn dropped(state: &str) -> Verdict {
        Verdict::Failed(format!("target dropped, w1 is {state}"))
    }

    #[test]
    fn a_wait_ends_when_the_object_is_where_it_was_wanted() {
        let reached = |data: &Data, target| is_reached(data.seen(), &target);
        assert!(reached(&one("up", idle()), GlobalExpect::Started));
        assert!(!reached(&one("down", idle()), GlobalExpect::Started));
        assert!(reached(&one("down", idle()), GlobalExpect::Stopped));
        let stopping = json!({"status": "stopping", "global_expect": "stopped"});
        assert!(!reached(&one("down", stopping), GlobalExpect::Stopped));
        let restarting = json!({"status": "idle", "global_expect": "restarted@12.5"});
        assert!(!reached(&one("up", restarting), GlobalExpect::Restarted(None)));
        assert!(reached(&one("up", idle()), GlobalExpect::PlacedAt("n1".into())));
        assert!(!reached(&one("up", idle()), GlobalExpect::PlacedAt("n2".into())));
        assert!(reached(&one("n/a", idle()), GlobalExpect::PlacedAt("n2".into())));
        assert!(!reached(&one("up", idle()), GlobalExpect::Deleted));
        assert!(reached(&Data::none(), GlobalExpect::Purged));
    }

    #[test]
    fn what_has_no_instances_is_deleted_once_it_is_configured_nowhere() {
        let key = ObjectPath::parse("test/sec/key").unwrap();
        let there = Data { aggregate: Some(Aggregate::default()), instances: BTreeMap::new() };
        let told = lines(&["test/sec/key defer target state set to deleted"], &[]);
        let before = Some(there.seen());
        let target = GlobalExpect::Deleted;
        let mut wait = Waiting::for_answer(&key, &target, Some("deleted"), &told, before).unwrap();
        assert_eq!(wait.look(there.seen(), Duration::ZERO), Verdict::Pending);
        assert_eq!(wait.look(Data::none().seen(), Duration::ZERO), Verdict::Reached);
    }

    #[test]
    fn what_was_only_just_created_is_waited_for() {
        let new = json!({"updated": 0.0, "resources": {}, "monitor": idle()});
        let new = BTreeMap::from([("n1".to_owned(), serde_json::from_value(new).unwrap())]);
        let before = Data { aggregate: Some(Aggregate::default()), instances: new };
        let mut wait = ordered(&before);
        assert_eq!(wait.look(before.seen(), Duration::ZERO), Verdict::Pending);
        let set = json!({"status": "idle", "global_expect": "started", "global_expect_updated": 2});
        assert_eq!(wait.look(one("down", set).seen(), Duration::ZERO), Verdict::Pending);
        let done = json!({"status": "idle", "global_expect_updated": 3});
        assert_eq!(wait.look(one("up", done).seen(), Duration::ZERO), Verdict::Reached);
    }

    #[test]
    fn a_target_that_is_gone_ends_the_wait_once_it_was_in_the_data() {
        let before = one("down", idle());
        let mut wait = ordered(&before);
        // The order is accepted, and the data are from before it.
        assert_eq!(wait.look(before.seen(), Duration::ZERO), Verdict::Pending);
        let set = one(
            "down",
            json!({"status": "wait parents", "global_expect": "started", "global_expect_updated": 5.0}),
        );
        assert_eq!(wait.look(set.seen(), Duration::ZERO), Verdict::Pending);
        let aborted = one("down", json!({"status": "idle", "global_expect_updated": 9.0}));
        assert_eq!(wait.look(aborted.seen(), Duration::ZERO), dropped("down"));
        // Set and dropped between two looks: only its time has changed.
        let mut wait = ordered(&before);
        assert_eq!(wait.look(aborted.seen(), Duration::ZERO), dropped("down"));
        // What was dropped, or reached, before the order is not its own.
        for avail in ["down", "up"] {
            let aborted = one(avail, json!({"status": "idle", "global_expect_updated": 9.0}));
            let mut wait = ordered(&aborted);
            assert_eq!(wait.look(aborted.seen(), Duration::ZERO), Verdict::Pending);
        }
    }

    #[test]
    fn what_is_not_evaluated_yet_is_neither_done_nor_given_up() {
        let set = json!({"status": "idle", "global_expect_updated": 9.0});
        let mut wait = ordered(&Data::none());
        let mut new = one("n/a", set.clone());
        new.instances.get_mut("n1").unwrap().updated = Timestamp(0.0);
        assert_eq!(wait.look(new.seen(), Duration::ZERO), Verdict::Pending);
        assert_eq!(wait.look(one("up", set).seen(), Duration::ZERO), Verdict::Reached);
    }

    #[test]
    fn a_target_that_an_abort_replaces_is_waited_for_until_that_is_done() {
        let mut wait = ordered(&one("down", idle()));
        let aborting = one(
            "down",
            json!({"status": "idle", "global_expect": "aborted", "global_expect_updated": 7.0}),
        );
        assert_eq!(wait.look(aborting.seen(), Duration::ZERO), Verdict::Pending);
        let done = one("down", json!({"status": "idle", "global_expect_updated": 8.0}));
        assert_eq!(wait.look(done.seen(), Duration::ZERO), dropped("down"));
    }

    #[test]
    fn what_failed_to_provision_is_not_provisioned_though_nothing_else_says_so() {
        let lines = lines(&["w1 defer target state set to provisioned"], &[]);
        let (before, target) = (one("n/a", idle()), GlobalExpect::Provisioned);
        let wait =
            Waiting::for_answer(&w1(), &target, Some("provisioned"), &lines, Some(before.seen()));
        let failed = json!({"status": "provision failed", "status_updated": 20.0, "global_expect_updated": 9.0});
        let failed = one("n/a", failed);
        assert!(is_reached(failed.seen(), &target), "as far as its state goes");
        let told = Verdict::Failed("w1: provision failed on n1: see `om w1 logs`".to_owned());
        assert_eq!(wait.clone().unwrap().look(failed.seen(), Duration::ZERO), told);
        let done = one("n/a", json!({"status": "idle", "global_expect_updated": 9.0}));
        assert_eq!(wait.unwrap().look(done.seen(), Duration::ZERO), Verdict::Reached);
    }

    #[test]
    fn a_wait_ends_when_an_action_of_this_target_failed() {
        let failed = one("down", json!({"status": "start failed", "status_updated": 20.0}));
        let told = Verdict::Failed("w1: start failed on n1: see `om w1 logs`".to_owned());
        let mut wait = ordered(&one("down", json!({"status": "idle", "status_updated": 10.0})));
        assert_eq!(wait.look(failed.seen(), Duration::ZERO), told);
        // An older failure is what the target may be about to mend.
        let mut wait = ordered(&failed);
        assert_eq!(wait.look(failed.seen(), Duration::ZERO), Verdict::Pending);
    }

    #[test]
    fn a_failure_is_final_when_nobody_else_tries() {
        let failed = json!({"status": "start failed", "status_updated": 20.0});
        let other =
            json!({"status": "idle", "global_expect": "started", "global_expect_updated": 5.0});
        let seen = data("down", &[("down", failed.clone()), ("down", other)]);
        let mut wait = ordered(&data("down", &[("down", idle()), ("down", idle())]));
        assert_eq!(wait.look(seen.seen(), Duration::ZERO), Verdict::Pending);
        assert!(matches!(wait.look(seen.seen(), SETTLING), Verdict::Failed(_)));
        let up = data("up", &[("down", failed), ("up", idle())]);
        assert_eq!(wait.look(up.seen(), Duration::ZERO), Verdict::Reached);
        assert_eq!(wait.state(up.seen()), "w1 is up on n2, start failed on n1");
    }

    #[test]
    fn an_answer_tells_what_there_is_to_wait_for() {
        let before = one("down", idle());
        let answer = |infos: &[&str], errors: &[&str], chosen: Option<&str>| {
            let (path, seen) = (w1(), Some(before.seen()));
            let lines = lines(infos, errors);
            Waiting::for_answer(&path, &GlobalExpect::Started, chosen, &lines, seen)
        };
        assert_eq!(answer(&["w1 is already started"], &[], None), None);
        assert_eq!(answer(&[], &["w1 instance on node n1 in stopping state"], None), None);
        // Somebody else's order is as good, and waited for.
        let joined = answer(&["w1 is already targeting started"], &[], None).unwrap();
        assert!(joined.is_ordered);
        let placed = answer(&["w1 defer target state set to placed@n3"], &[], Some("placed@n3"));
        assert_eq!(placed.unwrap().goal(), "placed@n3");
        // A slave of a reply that refused another one.
        let partly = answer(&["w1 defer target state set to started"], &["w2 .."], Some("started"));
        assert!(partly.is_some());
        // Nothing was set, nothing was said: undefined instances are left alone.
        let mut silent = answer(&[], &[], None).unwrap();
        let undef = one("undef", idle());
        assert_eq!(silent.look(undef.seen(), Duration::ZERO), dropped("undef"));
        assert_eq!(silent.look(one("n/a", idle()).seen(), Duration::ZERO), Verdict::Reached);
    }

    #[test]
    fn a_master_without_resources_leaves_the_wait_to_its_slaves() {
        let mut before = one("n/a", idle());
        before.instances.get_mut("n1").unwrap().resources = Some(BTreeMap::new());
        let answer = |target: &GlobalExpect| {
            let lines = lines(&[&format!("w1 defer target state set to {target}")], &[]);
            Waiting::for_answer(&w1(), target, None, &lines, Some(before.seen()))
        };
        assert_eq!(answer(&GlobalExpect::PlacedAt("n2".into())), None);
        assert!(answer(&GlobalExpect::Thawed).is_some());
    }

    #[test]
    fn what_is_cleared_is_not_failed_any_more() {
        let failed = one("down", json!({"status": "start failed", "status_updated": 20.0}));
        let mut wait = Waiting::for_clear(&w1(), failed.seen());
        assert_eq!(wait.look(failed.seen(), Duration::ZERO), Verdict::Pending);
        let cleared = one("down", json!({"status": "idle", "status_updated": 21.0}));
        assert_eq!(wait.look(cleared.seen(), Duration::ZERO), Verdict::Reached);
        let again = one("down", json!({"status": "start failed", "status_updated": 22.0}));
        assert_eq!(wait.look(again.seen(), Duration::ZERO), Verdict::Reached);
    }

    #[test]
    fn progress_and_end_are_told_in_a_line() {
        let stopping = json!({"status": "stopping"});
        let busy = data("up", &[("up", stopping), ("down", idle())]);
        assert_eq!(Waiting::progress(busy.seen()), "n1: stopping, n2: idle");
        let state = |target, data: &Data| Waiting::for_new(&w1(), target).state(data.seen());
        assert_eq!(state(GlobalExpect::Started, &busy), "w1 is up on n1");
        assert_eq!(state(GlobalExpect::Thawed, &busy), "w1 is up on n1, thawed");
        assert_eq!(state(GlobalExpect::Provisioned, &busy), "w1 is up on n1, provisioned");
        assert_eq!(state(GlobalExpect::Stopped, &one("down", idle())), "w1 is down");
        assert_eq!(state(GlobalExpect::Purged, &Data::none()), "w1 is deleted");
    }

    #[test]
    fn slaves_are_named_relative_to_their_master() {
        let mut data = one("n/a", idle());
        let status = data.instances.get_mut("n1").unwrap();
        status.slaves = vec!["s1".into()];
        status.scaler_slaves = vec!["0.s2".into()];
        let path = ObjectPath::parse("test/svc/mast").unwrap();
        let slaves: Vec<String> =
            data.seen().slaves(&path).iter().map(ToString::to_string).collect();
        assert_eq!(slaves, ["test/svc/s1", "test/svc/0.s2"]);
    }
}
