//! Clocks that are wrong, and files that are dated ahead.

use std::time::Duration;

use model::{GlobalExpect, MonitorStatus, Timestamp};
use monitor::{Action, Change, Effect, Hold, InstanceCore, Moment};
use serde_json::{Value, json};

use crate::world::{TestWorld, path};

const T: f64 = 1_700_000_000.0;
const CSUM: &str = "d41d8cd98f00b204e9800998ecf8427e";
const OTHER: &str = "0123456789abcdef0123456789abcdef";

/// A lone instance that is down, evaluated from `csum`, beside a configuration of `CSUM` that is dated `updated`.
fn dated(csum: &Value, updated: f64) -> TestWorld {
    let instance = json!({
        "updated": T, "topology": "failover", "avail": "down", "overall": "down", "frozen": 0,
        "config_csum": csum, "resources": {"app#1": {"status": "down"}}, "monitor": {"status": "idle"},
    });
    let instances = json!({ "n1": instance });
    let mut world = TestWorld::with_instances("n1", &json!(["n1"]), "svc1", &instances);
    let entry = json!({"updated": updated, "csum": CSUM, "scope": []});
    world.patch(&json!([[["n1", "services", "config", "svc1"], entry]]));
    world.configure(
        "svc1",
        "[DEFAULT]\nid = i\nnodes = n1\norchestrate = ha\n[app#1]\ntype = simple\nstart = x\n",
    );
    world.aggregate_all();
    world
}

fn first_action(world: &TestWorld) -> Option<Action> {
    let mut core = InstanceCore::new(path("svc1"), None);
    core.pass(Timestamp(T + 1.0), world).into_iter().find_map(|effect| match effect {
        Effect::Run { action, .. } => Some(action),
        _ => None,
    })
}

#[test]
fn a_status_is_of_a_configuration_by_its_checksum_and_no_date_holds_an_object_up() {
    for updated in [T - 10.0, T + 0.5, T + 5e8] {
        let same = dated(&json!(CSUM), updated);
        assert_eq!(first_action(&same), Some(Action::Start), "{updated}");
        let other = dated(&json!(OTHER), updated);
        assert_eq!(first_action(&other), Some(Action::Refresh), "{updated}");
    }
}

#[test]
fn a_status_without_checksum_is_older_only_where_an_evaluation_makes_it_newer() {
    for csum in [json!(null), json!(7), json!("none")] {
        let of = |updated| first_action(&dated(&csum, updated));
        assert_eq!(of(T - 10.0), Some(Action::Start));
        assert_eq!(of(T + 0.5), Some(Action::Refresh));
        assert_eq!(of(T + 5e8), Some(Action::Start), "it would be evaluated for ever");
    }
}

/// A moment so long after the start, by a clock that is so far off.
fn at(secs: f64, offset: f64) -> Moment {
    Moment { wall: Timestamp(T + secs + offset), steady: Duration::from_secs_f64(1_000.0 + secs) }
}

#[test]
fn an_announced_start_is_carried_out_after_its_period_whatever_is_done_to_the_clock() {
    for offset in [-3e7, -3_600.0, -10.0, 10.0, 3_600.0, 3e7] {
        let mut world = dated(&json!(CSUM), T);
        world.cluster = ["n1", "n2"].map(crate::world::node).to_vec();
        world.configure(
            "svc1",
            "[DEFAULT]\nid = i\nnodes = n1 n2\norchestrate = ha\n[app#1]\ntype = simple\nstart = x\n",
        );
        let mut core = InstanceCore::new(path("svc1"), None);
        core.pass(at(0.0, 0.0), &world);
        assert_eq!(core.monitor().status, MonitorStatus::Ready);
        world.publish(&path("svc1"), core.monitor().clone());
        core.pass(at(4.0, offset), &world);
        assert_eq!(core.monitor().status, MonitorStatus::Ready, "{offset}");
        core.pass(at(5.1, offset), &world);
        assert_eq!(core.monitor().status, MonitorStatus::Starting, "{offset}");
    }
}

#[test]
fn a_restart_is_asked_for_after_what_runs_was_started_and_done_after_it_was_asked_for() {
    let started = T + 5_000.0;
    let mut world = dated(&json!(CSUM), T);
    world.patch(&json!([
        [["n1", "services", "status", "svc1", "avail"], "up"],
        [["n1", "services", "status", "svc1", "monitor", "local_expect"], "started"],
        [["n1", "services", "status", "svc1", "monitor", "local_expect_updated"], started],
    ]));
    world.aggregate_all();
    let monitor = world.local_instance(&path("svc1")).unwrap().monitor.clone();
    let mut core = InstanceCore::new(path("svc1"), monitor);
    core.apply(Timestamp(T + 1.0), &Change::target(GlobalExpect::Restarted(None)), &world);
    core.pass(Timestamp(T + 1.0), &world);
    world.publish(&path("svc1"), core.monitor().clone());
    let effects = core.pass(Timestamp(T + 1.1), &world);
    let run = effects.iter().find_map(|effect| match effect {
        Effect::Run { id, action: Action::Restart } => Some(*id),
        _ => None,
    });
    let asked = core.monitor().global_expect.clone();
    core.on_action_done(Timestamp(T + 2.0), run.expect("a restart"), 0, &world);
    let Some(GlobalExpect::Restarted(Some(asked))) = asked else { panic!("{asked:?}") };
    assert!(core.monitor().local_expect_updated.unwrap() > asked && asked.0 > started);
}

#[test]
fn what_is_waited_for_is_told_without_a_clock() {
    let mut core = InstanceCore::new(path("svc1"), None).explaining();
    core.pass(Timestamp(T + 1.0), &dated(&json!(OTHER), T + 5e8));
    assert_eq!(core.holds(), [Hold::Outdated]);
}
