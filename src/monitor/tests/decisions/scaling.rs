//! The slices of a flex scaler.

use model::{GlobalExpect, Timestamp};
use monitor::{Change, Effect, InstanceCore};
use serde_json::{Map, Value, json};

use crate::world::{TestWorld, node, path};

/// Three nodes with a scaler `sc`, seen from `n1`, and slices by name with their flex target.
fn world(scale: u32, slices: &[(&str, u32)]) -> TestWorld {
    let names = ["n1", "n2", "n3"];
    let text = |flex: &str| {
        format!(
            "[DEFAULT]\nid = i\nnodes = n1 n2 n3\ntopology = flex\n{flex}\n[app#1]\ntype = forking\n"
        )
    };
    let instance = |slaves: &[&str]| {
        json!({
            "updated": 1_699_999_990.0, "topology": "flex", "avail": if slaves.is_empty() { "up" } else { "n/a" },
            "overall": "n/a", "frozen": 0, "provisioned": true, "resources": {}, "scaler_slaves": slaves,
            "monitor": { "status": "idle" },
        })
    };
    let own: Vec<&str> = slices.iter().map(|(name, _)| *name).collect();
    let (mut status, mut config) = (Map::new(), Map::new());
    for name in own.iter().copied().chain(["sc"]) {
        let scaled: &[&str] = if name == "sc" { &own } else { &[] };
        let mut data = instance(scaled);
        if name == "sc" {
            data["avail"] = json!("n/a");
            data["scale"] = json!(scale);
        }
        status.insert(name.to_owned(), data);
        config.insert(name.to_owned(), json!({ "updated": 1.0, "csum": "c", "scope": names }));
    }
    let data = json!({
        "frozen": 0, "compat": 10, "monitor": { "status": "idle" },
        "services": { "config": config, "status": status },
    });
    let nodes: Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), data.clone())).collect();
    let mut world = TestWorld::new("n1", &json!(names), &Value::Object(nodes));
    world.configure("sc", &text(&format!("scale = {scale}")));
    for (name, target) in slices {
        world.configure(name, &text(&format!("flex_target = {target}\nscaler_slave = true")));
    }
    world.aggregate_all();
    world
}

/// What a scaler does with its slices in a pass.
fn acts(core: &mut InstanceCore, now: f64, world: &TestWorld) -> Vec<Effect> {
    let mut effects = core.pass(Timestamp(now), world);
    effects.retain(|effect| {
        matches!(
            effect,
            Effect::CreateSlice { .. } | Effect::ResizeSlice { .. } | Effect::SetOther { .. }
        )
    });
    effects
}

fn core() -> InstanceCore {
    InstanceCore::new(path("sc"), None)
}

#[test]
fn slices_are_as_wide_as_there_are_nodes_and_made_once() {
    let mut core = core();
    let create =
        |name: &str, target| Effect::CreateSlice { path: path(name), flex_target: Some(target) };
    let missing = world(5, &[]);
    assert_eq!(acts(&mut core, 100.0, &missing), [create("0.sc", 3), create("1.sc", 2)]);
    // They are not there yet.
    assert_eq!(acts(&mut core, 101.0, &missing), []);
    // They do not come.
    assert_eq!(acts(&mut core, 111.0, &missing), [create("0.sc", 3), create("1.sc", 2)]);
    // One that is made is provisioned, even if it tells that it is; the other one is waited for.
    let asked = Change::target(GlobalExpect::Provisioned);
    let expected = [Effect::SetOther { path: path("0.sc"), change: asked }];
    assert_eq!(acts(&mut core, 112.0, &world(5, &[("0.sc", 3)])), expected);
}

#[test]
fn what_is_too_much_goes_from_the_last_slice() {
    let slices = [("0.sc", 3), ("1.sc", 3), ("2.sc", 2)];
    assert_eq!(acts(&mut core(), 100.0, &world(8, &slices)), []);
    let mut core = core();
    let fewer = world(4, &slices);
    let purged = Change::target(GlobalExpect::Purged);
    let expected = [
        Effect::SetOther { path: path("2.sc"), change: purged },
        Effect::ResizeSlice { path: path("1.sc"), flex_target: 1 },
    ];
    assert_eq!(acts(&mut core, 100.0, &fewer), expected);
    assert_eq!(acts(&mut core, 101.0, &fewer), []);
}

#[test]
fn nobody_makes_slices_before_all_nodes_have_told_of_the_scaler() {
    let mut world = world(2, &[]);
    // Each of the nodes would take itself for the leader.
    let n2 = world.nodes.get_mut(&node("n2")).unwrap();
    n2.services.as_mut().unwrap().status.remove(&path("sc"));
    assert_eq!(acts(&mut core(), 100.0, &world), []);
}
