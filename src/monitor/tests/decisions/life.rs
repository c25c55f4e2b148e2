//! The life of a node, and the texts of the answers to requests.

use model::{GlobalExpect, LocalExpect, MonitorStatus, NodeMonitorStatus, Status, Timestamp};
use monitor::{
    Ballot, Change, Freezes, InstanceCore, NodeChange, NodeCore, NodeEffect, NodeRequest,
    NodeTiming, ObjectRequest, Standing, set_node_monitor, set_service_monitor,
};
use serde_json::json;

use crate::world::{TestWorld, path};

const CONFIG: &str = "[DEFAULT]\nnodes = n1\norchestrate = ha\n[fs#1]\ntype = flag\n";

fn lone_node(updated: f64) -> TestWorld {
    let instance = json!({
        "updated": updated, "topology": "failover", "avail": "up", "overall": "up", "frozen": 0,
        "resources": {"fs#1": {"status": "up"}}, "monitor": {"status": "idle"},
    });
    let instances = json!({ "n1": instance });
    let mut world = TestWorld::with_instances("n1", &json!(["n1"]), "svc1", &instances);
    world.configure("svc1", CONFIG);
    world.aggregate_all();
    world
}

#[test]
fn a_lone_node_is_idle_once_its_instances_are_evaluated() {
    let mut core = NodeCore::new(Timestamp(1000.0), NodeTiming::default());
    core.pass(Timestamp(1000.0), &lone_node(0.0));
    assert_eq!(core.monitor().status, NodeMonitorStatus::Init);
    // By a clock that was set back meanwhile.
    core.pass(Timestamp(1001.0), &lone_node(500.0));
    assert_eq!((core.monitor().status.clone(), core.in_grace()), (NodeMonitorStatus::Idle, false));
}

#[test]
fn a_short_grace_does_not_end_over_a_peer_that_still_evaluates() {
    let after = |secs: f64, peer: &str| {
        let mut world = lone_node(1000.5);
        world.cluster = ["n1", "n2"].map(crate::world::node).to_vec();
        let peer = json!({"monitor": {"status": peer}});
        world
            .nodes
            .insert(crate::world::node("n2"), serde_json::from_value(peer).expect("node data"));
        let timing = NodeTiming { rejoin_grace_period_secs: 5.0 };
        let mut core = NodeCore::new(Timestamp(1000.0), timing);
        let effects = core.pass(Timestamp(1000.0 + secs), &world);
        (core.in_grace(), effects.contains(&NodeEffect::FreezeItself("rejoin")))
    };
    assert_eq!(after(4.0, "init"), (true, false));
    assert_eq!(after(89.0, "init"), (true, false));
    assert_eq!(after(91.0, "init"), (false, true), "not for ever");
    assert_eq!(after(6.0, "idle"), (false, false), "all are there");
    assert_eq!(after(6.0, "maintenance"), (false, true));
}

/// The local node of a cluster of so many, with quorum if there is a ballot, and peers with their status.
fn member(nodes: usize, arbitrators: Option<usize>, peers: &[(&str, &str)]) -> TestWorld {
    let mut world = lone_node(1000.5);
    world.cluster =
        ["n1", "n2", "n3"][..nodes].iter().map(|name| crate::world::node(name)).collect();
    for (name, status) in peers {
        let peer = json!({"monitor": {"status": status}});
        world
            .nodes
            .insert(crate::world::node(name), serde_json::from_value(peer).expect("node data"));
    }
    world.conditions.ballot = arbitrators.map(|arbitrators| Ballot {
        nodes,
        arbitrators,
        node_votes: 1 + peers.len(),
        arbitrator_votes: arbitrators,
    });
    world
}

#[test]
fn with_quorum_the_grace_ends_thawed_once_a_majority_is_there() {
    let timing = NodeTiming { rejoin_grace_period_secs: 90.0 };
    let frozen = NodeEffect::FreezeItself("rejoin");
    // When it ends, and whether the node freezes itself, with what is there from the second second on.
    let end = |world: TestWorld| {
        let mut core = NodeCore::new(Timestamp(1000.0), timing);
        let alone =
            member(world.cluster.len(), world.conditions.ballot.map(|it| it.arbitrators), &[]);
        core.pass(Timestamp(1001.0), &alone);
        let passes = (2..=95).find_map(|secs| {
            let effects = core.pass(Timestamp(1000.0 + f64::from(secs)), &world);
            (!core.in_grace()).then(|| (secs, effects.contains(&frozen)))
        });
        passes.expect("it ends")
    };
    assert_eq!(end(member(3, Some(0), &[("n2", "idle"), ("n3", "rejoin")])), (2, false), "all");
    assert_eq!(end(member(3, Some(0), &[("n2", "idle")])), (7, false), "the third is waited for");
    assert_eq!(end(member(3, Some(0), &[("n2", "idle"), ("n3", "init")])), (90, true), "unknown");
    assert_eq!(end(member(3, None, &[("n2", "idle")])), (90, true), "without quorum");
    assert_eq!(end(member(3, Some(0), &[])), (90, true));
    // An arbitrator votes for whoever asks: for the other side too.
    assert_eq!(end(member(2, Some(1), &[])), (90, true));
    assert_eq!(end(member(3, Some(1), &[("n2", "idle")])), (7, false));
}

#[test]
fn what_a_node_froze_by_itself_it_thaws_by_itself() {
    let frozen = |mut world: TestWorld, by: &str| {
        let local = world.nodes.get_mut(&crate::world::node("n1")).expect("the local node");
        local.frozen = Some(Timestamp(1091.0));
        local.frozen_by = Some(by.to_owned()).filter(|by| !by.is_empty());
        world
    };
    let after = |by: &str, world: TestWorld, target: Option<GlobalExpect>| {
        let mut core = NodeCore::new(Timestamp(1000.0), NodeTiming::default());
        core.pass(Timestamp(1001.0), &member(3, Some(0), &[]));
        core.pass(Timestamp(1091.0), &member(3, Some(0), &[]));
        assert!(!core.in_grace());
        // It shows what it asked for.
        core.pass(Timestamp(1092.0), &frozen(member(3, Some(0), &[]), "rejoin"));
        if let Some(target) = target {
            let change = NodeChange { global_expect: Some(Some(target)), ..NodeChange::default() };
            core.apply(Timestamp(1093.0), &change, &frozen(world.clone(), by));
        }
        let effects = core.pass(Timestamp(1093.0), &frozen(world, by));
        [NodeEffect::Thaw, NodeEffect::Freeze].map(|effect| effects.contains(&effect))
    };
    let all = || member(3, Some(0), &[("n2", "idle"), ("n3", "idle")]);
    for by in ["rejoin", "split"] {
        assert_eq!(after(by, all(), None), [true, false], "{by}");
        assert_eq!(after(by, member(3, Some(0), &[("n2", "idle")]), None), [true, false], "{by}");
        assert_eq!(after(by, member(3, None, &[("n2", "idle")]), None), [false, false], "{by}");
    }
    assert_eq!(after("", all(), None), [false, false], "an operator's is not its own");
    assert_eq!(
        after("rejoin", all(), Some(GlobalExpect::Frozen)),
        [false, true],
        "it becomes that"
    );
}

#[test]
fn a_node_that_shuts_down_is_released_when_its_instances_have_followed() {
    let mut world = lone_node(1000.5);
    let mut core = NodeCore::new(Timestamp(1000.0), NodeTiming::default());
    core.pass(Timestamp(1001.0), &world);
    core.shut_down(Timestamp(1002.0));
    let svc1 = path("svc1");
    let asked = NodeEffect::SetInstance {
        path: svc1.clone(),
        change: Change::local(LocalExpect::Shutdown),
    };
    let effects = core.pass(Timestamp(1002.0), &world);
    assert!(effects.contains(&asked) && !effects.contains(&NodeEffect::Released), "{effects:?}");
    // Published data from before the request prove nothing.
    let waits = [NodeEffect::WakeAfter(1.0)];
    assert_eq!(core.pass(Timestamp(1002.1), &world), waits);
    let mut monitor = world.local_instance(&svc1).unwrap().monitor.clone().unwrap();
    monitor.local_expect = Some(LocalExpect::Shutdown);
    monitor.local_expect_updated = Some(Timestamp(1002.2));
    world.publish(&svc1, monitor.clone());
    assert_eq!(core.pass(Timestamp(1002.2), &world), []);
    monitor.local_expect = None;
    monitor.local_expect_updated = Some(Timestamp(1003.0));
    world.publish(&svc1, monitor);
    assert_eq!(core.pass(Timestamp(1003.0), &world), [NodeEffect::Released]);
    assert_eq!(core.pass(Timestamp(1004.0), &world), []);
}

#[test]
fn answers_have_the_texts_of_deployed_agents() {
    let world = lone_node(1000.5);
    let object = |path: &str, target: &str| {
        let request = ObjectRequest {
            path: path.into(),
            global_expect: (!target.is_empty()).then(|| target.into()),
            ..ObjectRequest::default()
        };
        set_service_monitor(&world, &request).0.to_json()
    };
    let node = |target: &str| {
        let request = NodeRequest { global_expect: Some(target.into()), ..NodeRequest::default() };
        set_node_monitor(&world, &request).0.to_json()
    };
    assert_eq!(
        object("svc1", ""),
        json!({"data": {}, "status": 0, "info": ["svc1 defer target state set to None"]})
    );
    assert_eq!(
        object("svc1", "started"),
        json!({"data": {}, "status": 0, "info": ["svc1 is already started"]})
    );
    assert_eq!(
        object("nope", "started"),
        json!({"data": {}, "status": 1, "error": ["object nope does not exist"]})
    );
    assert_eq!(
        object("cfg/c1", "started"),
        json!({"data": {}, "status": 1, "error": [
            "reject set global_expect=started request on cfg/c1: not supported on cfg objects"
        ]})
    );
    assert_eq!(
        node("thawed"),
        json!({"data": {}, "status": 0, "info": ["cluster is already thawed"]})
    );
    assert_eq!(
        node("frozen"),
        json!({"data": {"global_expect": "frozen"}, "status": 0,
            "info": ["cluster target state set to frozen"]})
    );
    assert_eq!(
        node("unset"),
        json!({"data": {}, "status": 1, "error": ["invalid global_expect value: unset"]})
    );
}

#[test]
fn what_is_about_to_change_is_not_there_already() {
    let after = |avail: Status, target: &str, pending: &str| {
        let mut world = lone_node(1000.5);
        let svc1 = path("svc1");
        let monitor = json!({"status": "idle", "global_expect": pending});
        world.local_instance(&svc1).unwrap().avail = Some(avail);
        world.publish(&svc1, serde_json::from_value(monitor).unwrap());
        world.aggregate_all();
        let request = ObjectRequest {
            path: "svc1".into(),
            global_expect: Some(target.into()),
            ..ObjectRequest::default()
        };
        set_service_monitor(&world, &request).0.to_json()["info"][0].clone()
    };
    let (stopped, started) = ("svc1 is already stopped", "svc1 is already started");
    assert_eq!(after(Status::Down, "stopped", "frozen"), stopped);
    let set = "svc1 defer target state set to stopped";
    assert_eq!(after(Status::Down, "stopped", "placed@n2"), set);
    assert_eq!(after(Status::Up, "started", "placed@n2"), started, "no switch is called off");
    let set = "svc1 defer target state set to started";
    assert_eq!(after(Status::Up, "started", "stopped"), set);
}

#[test]
fn a_node_that_the_members_took_out_is_frozen_once_and_starts_nothing() {
    const T: f64 = 1_700_000_000.0;
    let svc1 = path("svc1");
    let mut world = lone_node(T + 0.5);
    world.cluster = ["n1", "n2"].map(crate::world::node).to_vec();
    world.configure("svc1", "[DEFAULT]\nnodes = *\norchestrate = ha\n[fs#1]\ntype = flag\n");
    world.local_instance(&svc1).unwrap().avail = Some(Status::Down);
    world.aggregate_all();
    // It seems to be down everywhere: n2, which runs it, is not heard.
    let starts = |standing| {
        let mut world = world.clone();
        world.conditions.standing = standing;
        let mut core = InstanceCore::new(svc1.clone(), None);
        core.pass(Timestamp(T + 1.0), &world);
        core.monitor().status == MonitorStatus::Ready
    };
    assert_eq!(
        [Standing::Member, Standing::Doubted, Standing::LeftOut].map(starts),
        [true, false, false]
    );
    let mut core = NodeCore::new(Timestamp(T + 0.0), NodeTiming::default());
    core.pass(Timestamp(T + 1.0), &world);
    let freezes = |effects: Vec<NodeEffect>| effects.contains(&NodeEffect::Freeze);
    world.conditions.standing = Standing::Doubted;
    assert!(!freezes(core.pass(Timestamp(T + 2.0), &world)), "they may agree in a moment");
    world.conditions.standing = Standing::LeftOut;
    assert!(freezes(core.pass(Timestamp(T + 3.0), &world)));
    assert!(!freezes(core.pass(Timestamp(T + 4.0), &world)), "whoever thaws it then is right");
    world.conditions.standing = Standing::Member;
    assert!(!freezes(core.pass(Timestamp(T + 5.0), &world)));
    world.conditions.standing = Standing::LeftOut;
    world.nodes.get_mut(&crate::world::node("n1")).unwrap().frozen = Some(Timestamp(T + 3.0));
    assert!(!freezes(core.pass(Timestamp(T + 6.0), &world)), "it is frozen already");
}

#[test]
fn what_starts_by_itself_may_be_thawed_and_what_was_ordered_is_not_replaced() {
    let answer = |status: &str, pending: Option<&str>, target: &str| {
        let monitor = json!({"status": status, "global_expect": pending});
        let instance = json!({
            "updated": 1000.5, "topology": "failover", "avail": "down", "overall": "down", "frozen": 0,
            "resources": {"fs#1": {"status": "down"}}, "monitor": monitor,
        });
        let mut world =
            TestWorld::with_instances("n1", &json!(["n1"]), "svc1", &json!({ "n1": instance }));
        world.configure("svc1", CONFIG);
        world.aggregate_all();
        let request = ObjectRequest {
            path: "svc1".into(),
            global_expect: Some(target.into()),
            ..ObjectRequest::default()
        };
        set_service_monitor(&world, &request).0.error.join(", ")
    };
    assert_eq!(answer("starting", None, "thawed"), "");
    let refused = "svc1 instance on node n1 in starting state";
    assert_eq!(answer("starting", Some("started"), "thawed"), refused);
    assert_eq!(answer("starting", None, "restarted"), refused);
}

#[test]
fn what_a_start_or_stop_cannot_do_is_told() {
    let answer = |config: &str, resources: serde_json::Value| {
        let instance = json!({
            "updated": 1000.5, "topology": "failover", "avail": "n/a", "overall": "n/a", "frozen": 0,
            "resources": resources, "monitor": {"status": "idle"},
        });
        let mut world =
            TestWorld::with_instances("n1", &json!(["n1"]), "svc1", &json!({ "n1": instance }));
        world.configure("svc1", config);
        world.aggregate_all();
        let request = ObjectRequest {
            path: "svc1".into(),
            global_expect: Some("stopped".into()),
            ..ObjectRequest::default()
        };
        set_service_monitor(&world, &request).0.info
    };
    let disabled = CONFIG.replace("[fs#1]", "disable = true\n[fs#1]");
    let fs = json!({ "fs#1": { "status": "n/a" } });
    assert_eq!(answer(&disabled, fs.clone()), ["svc1 is disabled: `om svc1 enable`"]);
    assert_eq!(answer(CONFIG, fs), ["svc1 is n/a: none of its resources can be up or down"]);
    assert_eq!(answer("[DEFAULT]\nnodes = n1\n", json!({})), ["svc1 has no resource of its own"]);
}

#[test]
fn a_peer_that_froze_while_this_node_was_away_is_followed_by_whatever_clock() {
    let follows_of = |known: Option<f64>, frozen: f64, by: Option<&str>| {
        let mut world = lone_node(1000.5);
        world.cluster = ["n1", "n2"].map(crate::world::node).to_vec();
        let n2 = crate::world::node("n2");
        let mut peer = json!({"monitor": {"status": "idle"}, "frozen": frozen});
        if let Some(by) = by {
            peer["frozen_by"] = by.into();
        }
        world.nodes.insert(n2.clone(), serde_json::from_value(peer).expect("node data"));
        let mut freezes = Freezes::default();
        freezes.note_node(&n2, known.map(Timestamp));
        let mut core =
            NodeCore::new(Timestamp(1000.0), NodeTiming::default()).known_freezes(freezes);
        (0..3).any(|secs| {
            let effects = core.pass(Timestamp(1000.0 + f64::from(secs)), &world);
            effects.contains(&NodeEffect::Freeze)
        })
    };
    let follows = |known: Option<f64>, frozen: f64| follows_of(known, frozen, None);
    assert!(!follows(None, 0.0));
    assert!(!follows(Some(900.0), 900.0), "it was frozen before");
    assert!(
        !follows(Some(4600.0), 4600.0),
        "it was frozen before, by a clock that is an hour ahead"
    );
    assert!(follows(None, 990.0));
    assert!(follows(None, 1.0), "by a clock that is years behind");
    assert!(
        follows(Some(900.0), 890.0),
        "it was thawed and frozen anew after its clock was set back"
    );
    assert!(!follows_of(None, 990.0, Some("split")), "no operator froze it");
}

#[test]
fn a_drain_after_a_lost_split_freezes_in_a_way_of_its_own() {
    let world = lone_node(1000.5);
    let freezes = |drain: fn(&mut NodeCore)| {
        let mut core = NodeCore::new(Timestamp(1000.0), NodeTiming::default());
        core.pass(Timestamp(1001.0), &world);
        drain(&mut core);
        let effects = core.pass(Timestamp(1002.0), &world);
        [NodeEffect::Freeze, NodeEffect::FreezeItself("split")]
            .map(|effect| effects.contains(&effect))
    };
    assert_eq!(freezes(|core| core.drain(Timestamp(1002.0))), [true, false]);
    assert_eq!(freezes(|core| core.drain_after_split(Timestamp(1002.0))), [false, true]);
}
