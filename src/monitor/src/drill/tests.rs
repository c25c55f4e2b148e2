use model::ObjectPath;
use serde_json::{Value, json};

use super::*;

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// A service that is up on n1, and may move to n2.
fn explained(change: &Value) -> (Explanation, BTreeMap<NodeName, NodeData>) {
    let mut value = json!({
        "path": "web", "node": "n1", "summary": "web is up on n1",
        "aggregate": {"avail": "up", "overall": "up", "frozen": "thawed", "placement": "optimal"},
        "topology": "failover", "orchestrate": "ha", "policy": "nodes order",
        "candidates": [
            {"node": "n1", "is_leader": true, "avail": "up"},
            {"node": "n2", "is_leader": false, "avail": "down"},
        ],
        "targets": [], "blockers": [], "timers": [], "next": [],
    });
    let mut nodes = json!({
        "n1": {"frozen": 0, "monitor": {"status": "idle"}},
        "n2": {"frozen": 0, "monitor": {"status": "idle"}},
    });
    for (pointer, change) in change.as_object().into_iter().flatten() {
        let (root, rest) = match pointer.strip_prefix("nodes") {
            Some(rest) => (&mut nodes, rest),
            None => (&mut value, pointer.as_str()),
        };
        *root.pointer_mut(rest).expect("it is there") = change.clone();
    }
    let read = "what was written";
    (serde_json::from_value(value).expect(read), serde_json::from_value(nodes).expect(read))
}

fn told(change: &Value, to: Option<&str>) -> Vec<String> {
    let (explained, nodes) = explained(change);
    match plan(&explained, &nodes, to.map(name).as_ref()) {
        Ok((drill, soft)) => {
            let moved = format!("{} -> {}", drill.from, drill.to);
            std::iter::once(moved).chain(soft).collect()
        }
        Err(refusals) => refusals.firm,
    }
}

#[test]
fn a_healthy_service_moves_to_its_best_peer() {
    assert_eq!(told(&json!({}), None), ["n1 -> n2"]);
    assert_eq!(told(&json!({}), Some("n2")), ["n1 -> n2"]);
}

#[test]
fn what_is_not_safe_is_refused_with_the_reason() {
    let reason = json!({"id": "frozen", "text": "the instance is frozen"});
    let idle =
        json!({"status": "idle", "placement": "", "local_expect": null, "global_expect": null});
    let mut failed = idle.clone();
    failed["status"] = json!("start failed");
    let targets =
        json!([{"scope": "object", "target": "stopped", "origin": "n2", "nodes": ["n2"]}]);
    let lost = json!({"node": "n2", "is_leader": false, "avail": "down", "discarded": reason});
    let ill = json!({"node": "n2", "is_leader": false, "avail": "down", "monitor": failed});
    for (change, to, expected) in [
        (json!({}), Some("n1"), "web is on n1 already"),
        (json!({}), Some("n3"), "n3 may not take web: it is none of its nodes"),
        (
            json!({"/candidates/1": lost}),
            None,
            "no other node may take web: n2: the instance is frozen",
        ),
        (json!({"/candidates/1": lost}), Some("n2"), "n2 may not take web: the instance is frozen"),
        (json!({"/candidates/1": ill}), None, "web on n2 is start failed"),
        (json!({"/topology": "flex"}), None, "web is flex: a drill moves a failover service"),
        (json!({"/aggregate/frozen": "mixed"}), None, "web is frozen: `om web thaw`"),
        (
            json!({"/targets": targets}),
            None,
            "web is to be stopped, as asked on n2: wait for its end",
        ),
        (json!({"nodes/n2": {}}), None, "n2 is not heard"),
        (json!({"nodes/n2/monitor/status": "maintenance"}), None, "n2 is in maintenance"),
    ] {
        assert_eq!(told(&change, to), [expected], "{change}");
    }
    let down = told(&json!({"/candidates/0/avail": "down", "/aggregate/avail": "down"}), None);
    assert!(down[0].starts_with("web is down, not up on one node"), "{down:?}");
}

#[test]
fn what_is_not_as_it_should_be_is_refused_unless_forced() {
    let change = json!({"/aggregate/overall": "warn", "/aggregate/placement": "non-optimal"});
    let told = told(&change, None);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].contains("warn overall") && told[2].contains("giveback"), "{told:?}");
}

#[test]
fn a_move_that_touches_others_or_does_not_arrive_is_told() {
    let drill = Drill { from: name("n1"), to: name("n2") };
    let forecast = |object: &str, up: &str| Forecast {
        path: ObjectPath::parse("web").unwrap(),
        node: name("n1"),
        target: Some(target(&drill.to)),
        info: vec![],
        error: vec![],
        steps: vec![model::Step {
            after: 0.0,
            node: name("n3"),
            object: ObjectPath::parse(object).unwrap(),
            what: "stop".to_owned(),
            is_action: true,
            reason: String::new(),
            repeats: false,
        }],
        is_settled: true,
        outcome: "web is up on n1".to_owned(),
        aggregate: Aggregate::default(),
        instances: BTreeMap::from([(name(up), Status::Up)]),
        blockers: vec![],
    };
    assert_eq!(of_forecast(&drill, &forecast("web", "n2")), Refusals::default());
    let touched = of_forecast(&drill, &forecast("api", "n2"));
    assert_eq!(touched.soft, ["api on n3 would see a stop too"]);
    let lost = of_forecast(&drill, &forecast("web", "n1"));
    assert_eq!(lost.firm, ["it would not get there: web is up on n1"]);
}

#[test]
fn silence_is_from_the_first_try_that_failed_to_the_first_answer() {
    let ms = Duration::from_millis;
    let sample =
        |begun, ended, is_answered| Sample { begun: ms(begun), ended: ms(ended), is_answered };
    let samples = [
        sample(0, 1, true),
        // A try that hangs ends after one that began later.
        sample(20, 520, false),
        sample(40, 41, false),
        sample(60, 65, true),
        sample(80, 81, true),
        sample(100, 101, false),
    ];
    let found = silences(&samples);
    assert_eq!(
        found,
        [Silence { begun: ms(20), ended: Some(ms(65)) }, Silence { begun: ms(100), ended: None }]
    );
    assert_eq!(found.iter().map(|it| it.lasted(ms(150))).collect::<Vec<_>>(), [ms(45), ms(50)]);
}
