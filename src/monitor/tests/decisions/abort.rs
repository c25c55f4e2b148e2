//! An abort ends what runs, on whichever node, and the object is held.

use model::{GlobalExpect, MonitorStatus, Timestamp};
use monitor::{Change, Effect, InstanceCore, ObjectRequest, set_service_monitor};
use serde_json::json;

use crate::world::{TestWorld, path};

const T: f64 = 1_700_000_000.0;

/// n1 and n2; the instance of one of them starts, for long.
fn starting(local: &str, on: &str, orchestrate: &str) -> (TestWorld, InstanceCore) {
    let instance = |node: &str| {
        let status = if node == on { "starting" } else { "idle" };
        json!({
            "updated": T, "topology": "failover", "avail": "down", "overall": "down", "frozen": 0,
            "resources": {"app#1": {"status": "down"}}, "monitor": {"status": status},
        })
    };
    let instances = json!({"n1": instance("n1"), "n2": instance("n2")});
    let mut world = TestWorld::with_instances(local, &json!(["n1", "n2"]), "svc1", &instances);
    world.configure(
        "svc1",
        &format!(
            "[DEFAULT]\nid = i\nnodes = n1 n2\norchestrate = {orchestrate}\n[app#1]\ntype = forking\nstart = x\n"
        ),
    );
    world.aggregate_all();
    let monitor = world.local_instance(&path("svc1")).expect("an instance").monitor.clone();
    (world, InstanceCore::new(path("svc1"), monitor))
}

fn ends(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| **effect == Effect::EndAction).count()
}

#[test]
fn an_abort_ends_what_runs_here_once_and_again_when_it_is_asked_again() {
    let (mut world, mut core) = starting("n1", "n1", "ha");
    let abort = Change::target(GlobalExpect::Aborted);
    core.apply(Timestamp(T + 1.0), &abort, &world);
    assert_eq!(ends(&core.pass(Timestamp(T + 1.0), &world)), 1);
    world.publish(&path("svc1"), core.monitor().clone());
    assert_eq!(ends(&core.pass(Timestamp(T + 2.0), &world)), 0);
    assert_eq!(core.monitor().global_expect, Some(GlobalExpect::Aborted), "it still runs");
    core.apply(Timestamp(T + 3.0), &abort, &world);
    assert_eq!(ends(&core.pass(Timestamp(T + 3.0), &world)), 1);
}

#[test]
fn an_abort_reaches_the_node_that_starts_by_itself() {
    let (mut world, mut core) = starting("n1", "n1", "ha");
    let target = ["services", "status", "svc1", "monitor"];
    let keys: Vec<_> = std::iter::once("n2").chain(target).collect();
    world.patch(&json!([[
        keys,
        {"status": "idle", "global_expect": "aborted", "global_expect_updated": T + 1.0}
    ]]));
    assert_eq!(ends(&core.pass(Timestamp(T + 2.0), &world)), 1);
    assert_eq!(core.monitor().global_expect, Some(GlobalExpect::Aborted));
    // The node that was asked waits for it.
    let (mut world, mut core) = starting("n2", "n1", "ha");
    core.apply(Timestamp(T + 1.0), &Change::target(GlobalExpect::Aborted), &world);
    assert_eq!(ends(&core.pass(Timestamp(T + 1.0), &world)), 0);
    world.publish(&path("svc1"), core.monitor().clone());
    core.pass(Timestamp(T + 2.0), &world);
    assert_eq!(core.monitor().global_expect, Some(GlobalExpect::Aborted));
}

#[test]
fn a_start_that_was_ended_leaves_the_object_frozen_where_it_would_be_started_elsewhere() {
    let after = |orchestrate: &str| {
        let (world, mut core) = starting("n1", "n1", orchestrate);
        core.apply(Timestamp(T + 1.0), &Change::target(GlobalExpect::Aborted), &world);
        core.pass(Timestamp(T + 1.0), &world);
        let failed = Change { status: Some(MonitorStatus::StartFailed), ..Change::default() };
        core.apply(Timestamp(T + 2.0), &failed, &world);
        core.monitor().global_expect.clone()
    };
    assert_eq!(after("ha"), Some(GlobalExpect::Frozen));
    assert_eq!(after("no"), Some(GlobalExpect::Aborted));
}

#[test]
fn what_follows_an_abort_is_taken_over_by_who_gave_it() {
    let (mut world, mut core) = starting("n2", "n1", "ha");
    core.apply(Timestamp(T + 1.0), &Change::target(GlobalExpect::Aborted), &world);
    core.pass(Timestamp(T + 1.0), &world);
    world.publish(&path("svc1"), core.monitor().clone());
    let target = ["services", "status", "svc1", "monitor"];
    let keys: Vec<_> = std::iter::once("n1").chain(target).collect();
    world.patch(&json!([[
        keys,
        {"status": "start failed", "global_expect": "frozen", "global_expect_updated": T + 2.0}
    ]]));
    let mut done = vec![];
    for second in 3..6 {
        done.extend(core.pass(Timestamp(T + f64::from(second)), &world));
        world.publish(&path("svc1"), core.monitor().clone());
    }
    assert_eq!(core.monitor().global_expect, Some(GlobalExpect::Frozen));
    let runs: Vec<String> = done
        .iter()
        .filter_map(|effect| match effect {
            Effect::Run { action, .. } => Some(action.argv().join(" ")),
            _ => None,
        })
        .collect();
    assert_eq!(runs, ["freeze --local"], "and nothing is started");
}

#[test]
fn the_answer_to_an_abort_says_what_it_ends() {
    let (world, _) = starting("n1", "n2", "ha");
    let request = ObjectRequest {
        path: "svc1".into(),
        global_expect: Some("aborted".into()),
        ..ObjectRequest::default()
    };
    let reply = set_service_monitor(&world, &request).0;
    assert_eq!(
        reply.info,
        [
            "svc1 defer target state set to aborted",
            "svc1 on n2: starting is ended, then svc1 is frozen: `om svc1 thaw` lets it go on"
        ]
    );
}
