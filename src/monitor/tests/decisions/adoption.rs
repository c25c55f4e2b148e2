//! Targets that peers have, taken over: what deployed agents do not decide.

use model::{GlobalExpect, Timestamp};
use monitor::{Change, InstanceCore};
use serde_json::json;

use crate::world::{TestWorld, path};

const T: f64 = 1_700_000_000.0;

/// n1, which was asked to start at `T`, beside peers with other targets, their clocks an hour ahead.
fn beside(targets: [&str; 2]) -> (TestWorld, InstanceCore) {
    let instance = |monitor| {
        json!({
            "updated": T, "topology": "failover", "avail": "down", "overall": "down", "frozen": 0,
            "resources": {"app#1": {"status": "down"}}, "monitor": monitor,
        })
    };
    let peer = |target: &str, ahead: f64| {
        instance(
            json!({"status": "idle", "global_expect": target, "global_expect_updated": T + ahead}),
        )
    };
    let instances = json!({
        "n1": instance(json!({"status": "idle"})),
        "n2": peer(targets[0], 3_600.0),
        "n3": peer(targets[1], 3_500.0),
    });
    let mut world = TestWorld::with_instances("n1", &json!(["n1", "n2", "n3"]), "svc1", &instances);
    world.configure(
        "svc1",
        "[DEFAULT]\nid = i\nnodes = n2 n3 n1\norchestrate = no\n[app#1]\ntype = simple\nstart = x\n",
    );
    world.aggregate_all();
    let mut core = InstanceCore::new(path("svc1"), None);
    // Asked before the others were heard of.
    let alone = TestWorld::with_instances("n1", &json!(["n1"]), "svc1", &json!({}));
    core.apply(Timestamp(T), &Change::target(GlobalExpect::Started), &alone);
    world.publish(&path("svc1"), core.monitor().clone());
    (world, core)
}

#[test]
fn two_peers_whose_clocks_are_ahead_do_not_make_a_target_go_back_and_forth() {
    let (world, mut core) = beside(["placed", "started"]);
    core.pass(Timestamp(T + 1.0), &world);
    assert_eq!(core.monitor().global_expect, Some(GlobalExpect::Placed), "the newest of the three");
    assert_eq!(core.monitor().global_expect_updated, Some(Timestamp(T + 3_600.0)), "as there");
    let before = core.monitor().clone();
    core.pass(Timestamp(T + 2.0), &world);
    assert_eq!(*core.monitor(), before, "nothing new to tell");
}

#[test]
fn a_new_word_goes_before_those_that_are_known_whatever_the_clock_of_who_gave_them() {
    let (world, mut core) = beside(["placed", "started"]);
    core.pass(Timestamp(T + 1.0), &world);
    core.apply(Timestamp(T + 2.0), &Change::target(GlobalExpect::Stopped), &world);
    let updated = core.monitor().global_expect_updated.unwrap();
    assert!(updated > Timestamp(T + 3_600.0) && updated < Timestamp(T + 3_601.0), "{updated:?}");
    core.pass(Timestamp(T + 3.0), &world);
    assert_eq!(core.monitor().global_expect, Some(GlobalExpect::Stopped), "theirs are older");
}

#[test]
fn of_two_targets_of_the_same_time_all_nodes_take_the_same() {
    let (mut world, mut core) = beside(["placed", "started"]);
    for name in ["n2", "n3"] {
        let target = ["services", "status", "svc1", "monitor", "global_expect_updated"];
        let keys: Vec<_> = std::iter::once(name).chain(target).collect();
        world.patch(&json!([[keys, T]]));
    }
    core.pass(Timestamp(T + 1.0), &world);
    let taken = core.monitor().clone();
    assert_eq!(taken.global_expect, Some(GlobalExpect::Started));
    core.pass(Timestamp(T + 2.0), &world);
    assert_eq!(*core.monitor(), taken);
}

#[test]
fn an_abort_is_taken_over_whoever_else_is_ahead() {
    let (world, mut core) = beside(["aborted", "started"]);
    core.pass(Timestamp(T + 1.0), &world);
    assert_eq!(core.monitor().global_expect, Some(GlobalExpect::Aborted));
}

#[test]
fn an_order_to_delete_what_had_the_path_before_is_none_to_what_has_it_now() {
    let written = 1_699_999_000.0;
    let taken = |asked: f64, updated: Option<f64>| {
        let mut peer = json!({
            "resources": {},
            "monitor": {"status": "idle", "global_expect": "deleted", "global_expect_updated": asked},
        });
        if let Some(updated) = updated {
            peer["updated"] = updated.into();
            peer["avail"] = "down".into();
        }
        let own = json!({
            "updated": T, "avail": "down", "overall": "down", "frozen": 0, "topology": "failover",
            "resources": {"app#1": {"status": "down"}}, "monitor": {"status": "idle"},
        });
        let instances = json!({"n1": own, "n2": peer});
        let cluster = json!(["n1", "n2"]);
        let mut world = TestWorld::with_instances("n1", &cluster, "svc1", &instances);
        let text = "[DEFAULT]\nid = i\nnodes = n1 n2\n[app#1]\ntype = simple\nstart = x\n";
        world.configure("svc1", text);
        world.aggregate_all();
        let mut core = InstanceCore::new(path("svc1"), None);
        core.pass(Timestamp(T + 1.0), &world);
        core.monitor().global_expect.clone()
    };
    assert_eq!(taken(written - 1.0, None), None);
    assert_eq!(taken(written + 1.0, None), Some(GlobalExpect::Deleted));
    // One with an instance has the same object.
    assert_eq!(taken(written - 1.0, Some(T)), Some(GlobalExpect::Deleted));
}
