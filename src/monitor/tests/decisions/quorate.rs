//! With quorum on, a failover object is not started beside itself: what deployed agents do not decide.

use std::time::Duration;

use model::{GlobalExpect, LocalExpect, MonitorStatus, NodeName, Timestamp};
use monitor::{Action, Ballot, Change, Effect, InstanceCore, Life, Unseen};
use serde_json::{Value, json};

use crate::world::{TestWorld, node, path};

const T: f64 = 1_700_000_000.0;

/// n1 of three nodes; `peers` gives the state of the instance on each peer that is heard, and whom that peer hears.
fn world(local_avail: &str, peers: &[(&str, &str, &[&str])]) -> TestWorld {
    let instance = |avail: &str| {
        json!({
            "updated": T - 10.0, "topology": "failover", "avail": avail, "overall": avail, "frozen": 0,
            "provisioned": true, "resources": {"app#1": {"status": avail}}, "monitor": {"status": "idle"},
        })
    };
    let mut instances = serde_json::Map::new();
    instances.insert("n1".into(), instance(local_avail));
    for (name, avail, _) in peers {
        instances.insert((*name).into(), instance(avail));
    }
    let cluster = json!(["n1", "n2", "n3"]);
    let mut world = TestWorld::with_instances("n1", &cluster, "svc1", &Value::Object(instances));
    world.configure("svc1", "[DEFAULT]\nid = i\nnodes = n1 n2 n3\norchestrate = ha\n[app#1]\ntype = simple\nstart = x\n");
    for (name, _, hears) in peers {
        let gens = hears.iter().chain([name]).map(|heard| (node(heard), 1));
        world.nodes.get_mut(&node(name)).expect("a peer of the world").r#gen = gens.collect();
    }
    vote(&mut world, 1 + peers.len());
    world.aggregate_all();
    world
}

fn vote(world: &mut TestWorld, node_votes: usize) {
    let ballot = Ballot { nodes: 3, arbitrators: 0, node_votes, arbitrator_votes: 0 };
    world.conditions.ballot = Some(ballot);
}

/// What a core runs at `secs`; its monitor is published.
fn pass(core: &mut InstanceCore, world: &mut TestWorld, secs: f64) -> Vec<Effect> {
    let effects = core.pass(Timestamp(T + secs), world);
    world.publish(&path("svc1"), core.monitor().clone());
    world.aggregate_all();
    let is_deed = |effect: &Effect| matches!(effect, Effect::Run { .. } | Effect::LoseSplit);
    effects.into_iter().filter(is_deed).collect()
}

fn core() -> InstanceCore {
    InstanceCore::new(path("svc1"), None)
}

fn runs(effects: &[Effect], action: &Action) -> bool {
    matches!(effects, [Effect::Run { action: run, .. }] if run == action)
}

/// What n1 runs, passing at once and when an announced start is due.
fn after_the_ready_period(world: &mut TestWorld) -> Vec<Effect> {
    let mut core = core();
    pass(&mut core, world, 0.0);
    pass(&mut core, world, 0.0);
    pass(&mut core, world, 5.1)
}

#[test]
fn a_part_without_majority_starts_nothing() {
    let mut two = world("down", &[("n2", "down", &["n1"])]);
    assert!(runs(&after_the_ready_period(&mut two), &Action::Start));
    let mut alone = world("down", &[]);
    assert_eq!(after_the_ready_period(&mut alone), []);
    let mut without_quorum = world("down", &[]);
    without_quorum.conditions.ballot = None;
    assert!(runs(&after_the_ready_period(&mut without_quorum), &Action::Start));
}

#[test]
fn a_start_that_was_announced_is_taken_back_when_the_majority_is_lost() {
    let mut world = world("down", &[("n2", "down", &["n1"])]);
    let mut core = core();
    pass(&mut core, &mut world, 0.0);
    pass(&mut core, &mut world, 0.0);
    assert_eq!(core.monitor().status, MonitorStatus::Ready);
    vote(&mut world, 1);
    assert_eq!(pass(&mut core, &mut world, 5.1), []);
    assert_eq!(core.monitor().status, MonitorStatus::Idle);
}

#[test]
fn who_does_not_hear_a_peer_believes_the_one_who_does() {
    let mut heard = world("down", &[("n2", "down", &["n1", "n3"])]);
    assert_eq!(after_the_ready_period(&mut heard), []);
    let mut lost = world("down", &[("n2", "down", &["n1"])]);
    assert!(runs(&after_the_ready_period(&mut lost), &Action::Start));
}

#[test]
fn what_a_peer_started_without_seeing_this_node_is_given_up() {
    // It has seen this node before.
    let mut world = world("up", &[("n2", "down", &["n1"]), ("n3", "down", &["n1", "n2"])]);
    let mut met = core();
    assert_eq!(pass(&mut met, &mut world, 0.0), []);
    let n2: NodeName = node("n2");
    world.nodes.get_mut(&n2).expect("n2 is there").r#gen.remove(&node("n1"));
    assert_eq!(pass(&mut met, &mut world, 1.0), [], "nothing is started there");
    let mut doubled = self::world("up", &[("n2", "up", &[]), ("n3", "down", &["n1", "n2"])]);
    assert_eq!(pass(&mut met, &mut doubled, 2.0), [Effect::LoseSplit]);
    // It never has: this daemon has just started.
    assert!(runs(&pass(&mut core(), &mut doubled, 2.0), &Action::Stop { force: false }));
    // A frozen node is not judged.
    doubled.nodes.get_mut(&node("n1")).expect("n1 is there").frozen = Some(Timestamp(T));
    assert_eq!(pass(&mut core(), &mut doubled, 2.0), []);
}

#[test]
fn what_an_operator_doubled_stays_so() {
    let mut world = world("up", &[("n2", "up", &["n1", "n3"]), ("n3", "down", &["n1", "n2"])]);
    assert_eq!(pass(&mut core(), &mut world, 0.0), []);
}

/// What n2, which runs the object too, is known to have had of n1: `times` that it had none, and whether it started anew.
fn unseen(ack: u64, life: Life) -> Unseen {
    let mut unseen = Unseen::default();
    unseen.on_message(Duration::ZERO, 5, None, false, Life::Same);
    unseen.on_message(Duration::ZERO, ack, Some(5), false, life);
    unseen
}

#[test]
fn a_peer_that_started_anew_has_deposed_nobody_and_one_that_forgot_this_node_has() {
    let deeds = |life: Life, status: &str| {
        let mut world = world("up", &[("n2", "up", &["n1"]), ("n3", "down", &["n1", "n2"])]);
        world.unseen.insert(node("n2"), unseen(5, Life::Same));
        let mut core = core();
        assert_eq!(pass(&mut core, &mut world, 0.0), [], "doubled by an operator");
        // It pings: what it ran before is still known.
        let n2 = world.nodes.get_mut(&node("n2")).expect("n2 is there");
        n2.r#gen = [(node("n2"), 0)].into();
        n2.monitor.as_mut().expect("its monitor").status = status.into();
        world.unseen.insert(node("n2"), unseen(0, life));
        pass(&mut core, &mut world, 1.0)
    };
    assert_eq!(deeds(Life::New, "init"), []);
    assert_eq!(deeds(Life::New, "rejoin"), []);
    assert_eq!(deeds(Life::Same, "idle"), [Effect::LoseSplit]);
    assert_eq!(deeds(Life::Unknown, "idle"), [], "it has still to tell");
}

#[test]
fn whether_a_peer_forgot_or_started_anew_is_told_by_its_next_full() {
    let mut unseen = unseen(0, Life::Unknown);
    assert_eq!((unseen.times, unseen.has_started), (0, false));
    let forgot = |life: Life| {
        let mut later = unseen;
        later.on_message(Duration::ZERO, 7, Some(0), false, life);
        later.times
    };
    assert_eq!((forgot(Life::Same), forgot(Life::New)), (1, 0));
    let mut late = unseen;
    late.on_message(Duration::from_secs(4), 0, Some(0), false, Life::Unknown);
    assert_eq!(late.times, 0);
    late.on_message(Duration::from_secs(5), 0, Some(0), false, Life::Unknown);
    assert_eq!(late.times, 1, "it does not hear this node, and never tells");
    unseen.on_message(Duration::ZERO, 0, Some(0), false, Life::New);
    assert!(unseen.has_started);
    unseen.on_message(Duration::ZERO, 7, Some(0), false, Life::Same);
    assert_eq!((unseen.times, unseen.has_started), (0, false));
}

#[test]
fn who_has_just_joined_stops_what_it_started_alone() {
    let mut alone = world("up", &[]);
    alone.cluster = vec![node("n1")];
    alone.conditions.ballot = None;
    let mut core = core();
    // It has met n2 in the cluster that it left.
    let mut before = world("down", &[("n2", "down", &["n1"]), ("n3", "down", &["n1", "n2"])]);
    assert!(pass(&mut core, &mut before, 0.0).is_empty());
    pass(&mut core, &mut alone, 1.0);
    let mut joined = world("up", &[("n2", "up", &[]), ("n3", "down", &["n2"])]);
    vote(&mut joined, 1);
    assert!(runs(&pass(&mut core, &mut joined, 2.0), &Action::Stop { force: false }));
}

#[test]
fn who_has_just_joined_stops_what_it_is_starting_once_that_has_started() {
    let mut alone = world("down", &[]);
    alone.cluster = vec![node("n1")];
    alone.conditions.ballot = None;
    let mut core = core();
    pass(&mut core, &mut alone, 0.0);
    pass(&mut core, &mut alone, 0.1);
    let [Effect::Run { id, .. }] = &pass(&mut core, &mut alone, 5.2)[..] else {
        panic!("it starts")
    };
    let mut joined = world("down", &[("n2", "up", &[]), ("n3", "down", &["n2"])]);
    joined.publish(&path("svc1"), core.monitor().clone());
    vote(&mut joined, 1);
    assert_eq!(pass(&mut core, &mut joined, 6.0), [], "it goes on");
    let mut joined = world("up", &[("n2", "up", &["n1"]), ("n3", "down", &["n1", "n2"])]);
    core.on_action_done(Timestamp(T + 7.0), *id, 0, &joined);
    assert!(runs(&pass(&mut core, &mut joined, 7.0), &Action::Stop { force: false }));
}

#[test]
fn a_peer_that_has_just_joined_deposes_nobody() {
    let two = || {
        let mut world = world("up", &[("n3", "down", &["n1"])]);
        world.cluster = vec![node("n1"), node("n3")];
        vote(&mut world, 2);
        world
    };
    let mut core = core();
    assert_eq!(pass(&mut core, &mut two(), 0.0), []);
    let mut three = world("up", &[("n2", "up", &[]), ("n3", "down", &["n1", "n2"])]);
    assert_eq!(pass(&mut core, &mut three, 1.0), []);
    let mut seen = world("up", &[("n2", "up", &["n1"]), ("n3", "down", &["n1", "n2"])]);
    assert_eq!(pass(&mut core, &mut seen, 2.0), []);
}

#[test]
fn what_a_peer_said_before_this_node_was_evaluated_is_not_lost() {
    let doubled = |updated: f64| {
        let mut world = world("up", &[("n2", "up", &["n1"]), ("n3", "down", &["n1", "n2"])]);
        world.local_instance(&path("svc1")).expect("an instance").updated = Timestamp(updated);
        let mut unseen = Unseen::default();
        unseen.on_message(Duration::ZERO, 0, None, false, Life::Same);
        world.unseen.insert(node("n2"), unseen);
        world
    };
    let mut core = core();
    assert_eq!(pass(&mut core, &mut doubled(0.0), 0.0), [], "nothing is known of this node");
    let mut unknown = doubled(0.0);
    let services = unknown.nodes.get_mut(&node("n1")).and_then(|data| data.services.as_mut());
    services.expect("its services").status.clear();
    assert_eq!(pass(&mut core, &mut unknown, 0.5), [], "nor that it has an instance");
    assert!(runs(&pass(&mut core, &mut doubled(T), 1.0), &Action::Stop { force: false }));
}

/// Changes the monitor that a peer publishes.
fn set_peer(world: &mut TestWorld, name: &str, monitor: Value) {
    let services = world.nodes.get_mut(&node(name)).and_then(|data| data.services.as_mut());
    let instance = services.and_then(|all| all.status.get_mut(&path("svc1"))).expect("an instance");
    let monitor = serde_json::from_value(monitor).expect("a monitor");
    std::sync::Arc::make_mut(instance).monitor = Some(monitor);
}

#[test]
fn a_destination_waits_for_who_may_restart_what_it_lost() {
    let target = GlobalExpect::PlacedAt("n1".into());
    let asked = Change::target(target);
    let started = || {
        let mut world = world("down", &[("n2", "down", &["n1"]), ("n3", "down", &["n1"])]);
        set_peer(&mut world, "n2", json!({"status": "idle", "local_expect": "started"}));
        let mut core = core();
        core.apply(Timestamp(T), &asked, &world);
        assert_eq!(pass(&mut core, &mut world, 0.1), [], "n2 may be restarting it");
        (world, core)
    };
    let (mut world, mut core) = started();
    let aware = json!({"status": "idle", "local_expect": "started", "global_expect": "placed@n1"});
    set_peer(&mut world, "n2", aware);
    assert!(runs(&pass(&mut core, &mut world, 0.2), &Action::Start));
    // One that never takes the target over holds nobody for long.
    let (mut world, mut core) = started();
    assert!(runs(&pass(&mut core, &mut world, 2.1), &Action::Start));
}

#[test]
fn what_another_node_has_is_not_claimed_any_more() {
    let claimed = |ballot: bool, avail: &str| {
        let mut world = world("down", &[("n2", avail, &["n1"]), ("n3", "down", &["n1"])]);
        if !ballot {
            world.conditions.ballot = None;
        }
        let mut core = core();
        core.apply(Timestamp(T), &Change::local(LocalExpect::Started), &world);
        pass(&mut core, &mut world, 0.0);
        core.monitor().local_expect.clone()
    };
    assert_eq!(claimed(true, "up"), None);
    assert_eq!(claimed(true, "down"), Some(LocalExpect::Started));
    assert_eq!(claimed(false, "up"), Some(LocalExpect::Started), "as deployed agents do");
}
