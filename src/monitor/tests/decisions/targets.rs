//! Targets: when they are reached, and which are refused, where deployed agents judge by the instances that are known.

use model::{GlobalExpect, LocalExpect, Timestamp};
use monitor::{Change, Effect, InstanceCore, ObjectRequest, set_service_monitor};
use serde_json::{Map, Value, json};

use crate::world::{TestWorld, node, path};

const T: f64 = 1_700_000_000.0;

/// Instances of n1, n2 and n3; n3 beats, and has told of its instance or not.
fn world(changes: &Value, has_told: bool) -> TestWorld {
    let mut instance = json!({
        "updated": T - 10.0, "topology": "failover", "avail": "down", "overall": "down", "frozen": 0,
        "provisioned": true, "resources": {"app#1": {"status": "down"}}, "monitor": {"status": "idle"},
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        instance[key] = value.clone();
    }
    let mut instances = Map::new();
    for name in ["n1", "n2", "n3"] {
        instances.insert(name.to_owned(), instance.clone());
    }
    // Up once.
    for name in ["n2", "n3"] {
        if instances[name]["avail"] == "up" {
            instances[name]["avail"] = "down".into();
        }
    }
    let cluster = json!(["n1", "n2", "n3"]);
    let mut world = TestWorld::with_instances("n1", &cluster, "svc1", &Value::Object(instances));
    world.configure("svc1", "[DEFAULT]\nid = i\nnodes = n1 n2 n3\norchestrate = ha\n[app#1]\ntype = simple\nstart = x\n");
    if !has_told {
        let n3 = world.nodes.get_mut(&node("n3")).expect("n3 beats");
        let services = n3.services.as_mut().expect("its services");
        services.status.clear();
        services.config.clear();
    }
    world.aggregate_all();
    world
}

/// The target of n1 after it is asked, and whether anything was run.
fn target_after(core: &mut InstanceCore, world: &mut TestWorld, secs: f64) -> Option<GlobalExpect> {
    let effects = core.pass(Timestamp(T + secs), world);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Run { .. })), "{effects:?}");
    world.publish(&path("svc1"), core.monitor().clone());
    world.aggregate_all();
    core.monitor().global_expect.clone()
}

/// An instance that was not evaluated yet has no resources either.
#[test]
fn an_order_for_what_was_only_just_created_is_kept_and_one_for_what_has_nothing_to_start_is_not() {
    for target in [GlobalExpect::Provisioned, GlobalExpect::Started, GlobalExpect::Stopped] {
        for (updated, kept) in [(0.0, Some(target.clone())), (T - 10.0, None)] {
            let world = world(&json!({"updated": updated, "resources": {}}), true);
            let mut core = InstanceCore::new(path("svc1"), None);
            let change = Change { global_expect: Some(Some(target.clone())), ..Change::default() };
            core.apply(Timestamp(T), &change, &world);
            assert_eq!(core.monitor().global_expect, kept, "{target}, evaluated at {updated}");
        }
    }
}

#[test]
fn a_state_is_reached_when_every_node_that_beats_has_told_of_it() {
    for (target, changes) in [
        (GlobalExpect::Thawed, json!({})),
        (GlobalExpect::Frozen, json!({"frozen": T - 5.0})),
        (GlobalExpect::Stopped, json!({"frozen": T - 5.0})),
        (GlobalExpect::Shutdown, json!({"frozen": T - 5.0})),
        (GlobalExpect::Started, json!({"avail": "up"})),
        (GlobalExpect::Unprovisioned, json!({"provisioned": false})),
    ] {
        let mut core = InstanceCore::new(path("svc1"), None);
        let mut silent = world(&changes, false);
        core.apply(Timestamp(T), &Change::target(target.clone()), &silent);
        let kept = target_after(&mut core, &mut silent, 0.0);
        assert_eq!(kept.as_ref(), Some(&target), "{target} beside a node that is silent");
        let mut told = world(&changes, true);
        told.publish(&path("svc1"), core.monitor().clone());
        assert_eq!(target_after(&mut core, &mut told, 1.0), None, "{target}");
    }
}

#[test]
fn what_is_provisioned_is_started_once_every_node_that_beats_has_told_of_it() {
    let mut core = InstanceCore::new(path("svc1"), None);
    let mut silent = world(&json!({}), false);
    core.apply(Timestamp(T), &Change::target(GlobalExpect::Provisioned), &silent);
    let kept = target_after(&mut core, &mut silent, 0.0);
    assert_eq!(kept, Some(GlobalExpect::Provisioned));
    let mut told = world(&json!({}), true);
    told.publish(&path("svc1"), core.monitor().clone());
    core.pass(Timestamp(T + 1.0), &told);
    assert_eq!(core.monitor().global_expect, Some(GlobalExpect::Started));
}

#[test]
fn a_node_that_is_lost_is_not_waited_for() {
    let mut core = InstanceCore::new(path("svc1"), None);
    let mut world = world(&json!({}), false);
    world.nodes.remove(&node("n3"));
    core.apply(Timestamp(T), &Change::target(GlobalExpect::Thawed), &world);
    assert_eq!(target_after(&mut core, &mut world, 0.0), None);
}

#[test]
fn what_was_down_before_it_was_stopped_is_claimed_no_more() {
    // Its second resource had used its restarts up: the first one would be restarted alone once it is thawed.
    let mut core = InstanceCore::new(path("svc1"), None);
    let mut world = world(&json!({"frozen": T - 5.0}), true);
    core.apply(Timestamp(T), &Change::local(LocalExpect::Started), &world);
    core.apply(Timestamp(T), &Change::target(GlobalExpect::Stopped), &world);
    assert_eq!(target_after(&mut core, &mut world, 0.0), None);
    assert_eq!(core.monitor().local_expect, None);
}

#[test]
fn a_start_of_what_is_not_provisioned_is_refused_with_the_command_that_ends_it() {
    let ask = |world: &TestWorld| {
        let request = ObjectRequest {
            path: "svc1".into(),
            global_expect: Some("started".into()),
            ..ObjectRequest::default()
        };
        let (reply, changes) = set_service_monitor(world, &request);
        (reply.error, changes.len())
    };
    let refusal = "svc1 is not provisioned: `om svc1 provision` provisions and starts it";
    assert_eq!(ask(&world(&json!({"provisioned": false}), true)), (vec![refusal.to_owned()], 0));
    assert_eq!(ask(&world(&json!({}), true)), (vec![], 1));
    assert_eq!(ask(&world(&json!({"provisioned": "mixed"}), true)), (vec![], 1));
}

#[test]
fn what_nobody_has_evaluated_is_there_and_can_be_deleted() {
    let ask = |target: &str, is_late: bool| {
        let request = ObjectRequest {
            path: "svc1".into(),
            global_expect: Some(target.into()),
            is_late,
            ..ObjectRequest::default()
        };
        let (reply, changes) =
            set_service_monitor(&world(&json!({"updated": 0.0}), true), &request);
        (reply.error, changes.len())
    };
    let refusal =
        "svc1 was not evaluated yet: something of it answers late on n1: `om svc1 print status`";
    assert_eq!(ask("started", true), (vec![refusal.to_owned()], 0));
    assert_eq!(ask("deleted", false), (vec![refusal.to_owned()], 0), "it is waited for first");
    for target in ["deleted", "purged", "thawed"] {
        assert_eq!(ask(target, true), (vec![], 1), "{target}");
    }
}
