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
        Seen {
            aggregate: self.aggregate.as_ref(),
            instances: &self.instances,
            is_being_deleted: false,
        }
    }
}

/// Instances of n1, n2 ..: avail and monitor.
fn data(avail: &str, instances: &[(&str, Value)]) -> Data {
    let aggregate =
        json!({"avail": avail, "frozen": "thawed", "placement": "optimal", "provisioned": true});
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
    Waiting::for_answer(&w1(), &GlobalExpect::Started, chosen, &lines, Some(before.seen())).unwrap()
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
fn a_deleted_object_may_be_seen_a_moment_longer_than_its_target() {
    let before = one("down", idle());
    let mut wait = Waiting::new(&w1(), Goal::Target(GlobalExpect::Deleted), None);
    let set =
        json!({"status": "deleting", "global_expect": "deleted", "global_expect_updated": 5.0});
    assert_eq!(wait.look(one("down", set).seen(), Duration::ZERO), Verdict::Pending);
    assert_eq!(wait.look(before.seen(), Duration::ZERO), Verdict::Pending);
    assert_eq!(wait.look(before.seen(), SETTLING), dropped("down"));
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
    let failed =
        json!({"status": "provision failed", "status_updated": 20.0, "global_expect_updated": 9.0});
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
    let other = json!({"status": "idle", "global_expect": "started", "global_expect_updated": 5.0});
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
    let slaves: Vec<String> = data.seen().slaves(&path).iter().map(ToString::to_string).collect();
    assert_eq!(slaves, ["test/svc/s1", "test/svc/0.s2"]);
}

/// An explanation with these blockers, as weight and id.
fn explained(blockers: &[(&str, &str)], next: Value) -> Explanation {
    let blocker = |(weight, id): &(&str, &str)| json!({"nodes": ["n1"], "weight": weight, "id": id, "text": id});
    let blockers: Vec<Value> = blockers.iter().map(blocker).collect();
    let explained = json!({
        "path": "w1", "node": "n1", "summary": "w1 is down: the node is frozen", "aggregate": {},
        "topology": "failover", "orchestrate": "ha", "policy": "nodes order", "candidates": [],
        "targets": [], "blockers": blockers, "timers": [], "next": next,
    });
    serde_json::from_value(explained).unwrap()
}

#[test]
fn a_wait_is_stuck_where_nothing_goes_on_by_itself() {
    let still = one("down", idle());
    let waiting = ordered(&still);
    let stuck =
        |blockers: &[(&str, &str)]| waiting.stuck(still.seen(), &explained(blockers, json!([])));
    let why = Some("w1 is down: the node is frozen".to_owned());
    assert_eq!(stuck(&[("stuck", "node_frozen"), ("normal", "not_leader")]), why);
    assert_eq!(stuck(&[]), None);
    assert_eq!(stuck(&[("normal", "not_leader")]), None);
    assert_eq!(stuck(&[("stuck", "node_frozen"), ("waits", "parents")]), None);
    assert_eq!(stuck(&[("stuck", "config_differs")]), None);
    let step = json!([{"after": 0.0, "node": "n2", "object": "w1", "what": "thaw", "is_action": true, "reason": ""}]);
    let frozen = |next| explained(&[("stuck", "node_frozen")], next);
    assert_eq!(waiting.stuck(still.seen(), &frozen(step)), None);
    let clear = Waiting::for_clear(&w1(), still.seen());
    assert_eq!(clear.stuck(still.seen(), &frozen(json!([]))), None);
    let acts = one("unknown", json!({"status": "deleting"}));
    assert_eq!(waiting.stuck(acts.seen(), &frozen(json!([]))), None, "a deletion goes on");
}

#[test]
fn a_provision_is_done_when_what_was_made_is_up() {
    let reached = |data: &Data| is_reached(data.seen(), &GlobalExpect::Provisioned);
    assert!(reached(&one("up", idle())));
    assert!(!reached(&one("down", idle())));
}

#[test]
fn an_order_that_comes_while_an_instance_moves_is_refused_for_now_only() {
    let refused = |errors: &[&str]| is_refused_for_now(&lines(&[], errors));
    assert!(refused(&["w1 instance on node n1 in starting state"]));
    assert!(!refused(&[]));
    assert!(!refused(&["w1 is not provisioned: `om w1 provision` provisions and starts it"]));
    let both = ["w1 instance on node n1 in ready state", "w1 has no instance"];
    assert!(!refused(&both));
}
