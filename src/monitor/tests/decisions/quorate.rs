//! With quorum on, a failover object is not started beside itself: what deployed agents do not decide.

use model::{GlobalExpect, LocalExpect, MonitorStatus, NodeName, Timestamp};
use monitor::{Action, Ballot, Change, Effect, InstanceCore};
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
