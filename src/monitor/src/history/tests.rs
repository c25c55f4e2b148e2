use model::{LastFailure, MonitorStatus, NodeMonitorData};

use super::*;

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn instance(avail: Status, monitor: &str) -> InstanceStatus {
    InstanceStatus {
        updated: Timestamp(1.0),
        avail: Some(avail.clone()),
        overall: Some(avail),
        frozen: Some(Timestamp(0.0)),
        resources: Some(std::collections::BTreeMap::new()),
        monitor: Some(InstanceMonitor {
            status: MonitorStatus::from(monitor),
            status_updated: Some(Timestamp(10.0)),
            ..InstanceMonitor::default()
        }),
        ..InstanceStatus::default()
    }
}

fn words(records: &[Record]) -> Vec<String> {
    let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    records.iter().map(|it| format!("{} {} {}", it.what, word(&it.from), word(&it.to))).collect()
}

#[test]
fn what_stays_is_no_transition() {
    let up = instance(Status::Up, "idle");
    let known = Known { instance: Some(&up), ..Known::default() };
    assert_eq!(transitions(Timestamp(12.0), &known, &known), []);
}

#[test]
fn a_start_is_told_with_its_length() {
    let (was, is) = (instance(Status::Down, "starting"), instance(Status::Up, "idle"));
    let (old, new) =
        (Aggregate::default(), Aggregate { avail: Some(Status::Up), ..Aggregate::default() });
    let old = Known { instance: Some(&was), object: Some(&old), ..Known::default() };
    let new =
        Known { instance: Some(&is), object: Some(&new), up_on: vec![node("n1")], csum: None };
    let records = transitions(Timestamp(12.5), &old, &new);
    assert_eq!(
        words(&records),
        ["avail down up", "overall down up", "monitor starting idle", "object - up"]
    );
    assert_eq!(records[2].took, Some(2.5));
    assert_eq!(records[3].on, [node("n1")]);
}

#[test]
fn a_failure_is_told_once_with_its_cause() {
    let was = instance(Status::Down, "idle");
    let failure = LastFailure {
        at: Timestamp(11.0),
        rid: Some("ip#1".into()),
        ..LastFailure::new("start", "no eth7")
    };
    let is = InstanceStatus { last_failure: Some(Box::new(failure)), ..was.clone() };
    let (old, new) = (
        Known { instance: Some(&was), ..Known::default() },
        Known { instance: Some(&is), ..Known::default() },
    );
    let records = transitions(Timestamp(12.0), &old, &new);
    assert_eq!(words(&records), ["failure - -"]);
    assert_eq!(
        (records[0].rid.as_deref(), records[0].why.as_deref()),
        (Some("ip#1"), Some("no eth7"))
    );
    assert_eq!(transitions(Timestamp(13.0), &new, &new), []);
}

#[test]
fn a_node_that_is_thawed_at_its_start_is_no_news() {
    let monitor = Some(NodeMonitorData::default());
    let thawed =
        NodeData { frozen: Some(Timestamp(0.0)), monitor: monitor.clone(), ..NodeData::default() };
    let frozen = NodeData { frozen: Some(Timestamp(5.0)), monitor, ..NodeData::default() };
    let now = Timestamp(6.0);
    assert_eq!(node_transitions(now, None, &thawed), []);
    assert_eq!(words(&node_transitions(now, None, &frozen)), ["frozen - frozen"]);
    assert_eq!(words(&node_transitions(now, Some(&frozen), &thawed)), ["frozen frozen thawed"]);
}

#[test]
fn events_are_rules_restarts_and_splits() {
    let facts = EventFacts {
        rid: Some("app#1".into()),
        r#try: Some(1),
        restart: Some(2),
        ..EventFacts::default()
    };
    let path = ObjectPath::parse("web").unwrap();
    let restart = of_event(Timestamp(1.0), "resource_restart", Some(&path), &facts).unwrap();
    assert_eq!((restart.what, restart.why.as_deref()), (Happening::Restart, Some("try 1 of 2")));
    let facts = EventFacts { reason: Some("from_ready"), ..EventFacts::default() };
    let start = of_event(Timestamp(1.0), "instance_start", Some(&path), &facts).unwrap();
    assert_eq!((start.what, start.why.as_deref()), (Happening::Decided, Some("from_ready")));
    let split = of_event(Timestamp(1.0), "crash", None, &facts).unwrap();
    assert_eq!((split.what, split.to.as_deref()), (Happening::Split, Some("lost: crash")));
    assert_eq!(of_event(Timestamp(1.0), "forget_peer", None, &facts), None);
}

/// Records as `node time word`, `up` and `down` of the object.
fn story(text: &str) -> Vec<Told> {
    let told = text.split(", ").map(|line| {
        let mut words = line.split(' ');
        let (name, t) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
        let (what, to, on) = match words.next().unwrap() {
            "lost" => (Happening::PeerLost, None, vec![node(words.next().unwrap())]),
            "started" => (Happening::DaemonStarted, None, vec![]),
            "asked" => (Happening::Target, words.next().map(str::to_owned), vec![]),
            state => (Happening::Object, Some(state.to_owned()), vec![]),
        };
        let record = Record { on, ..Record::new(Timestamp(t), what).change(None, to) };
        Told { node: node(name), record }
    });
    told.collect()
}

fn told(text: &str) -> Vec<(f64, Option<f64>, bool)> {
    let outages = outages(&story(text));
    outages.iter().map(|it| (it.from.0, it.until.map(|at| at.0), it.is_asked)).collect()
}

#[test]
fn an_object_is_down_while_no_view_has_it_up() {
    assert_eq!(told("n1 0 down, n1 1 up, n1 5 down, n1 7 up"), [(5.0, Some(7.0), false)]);
    assert_eq!(told("n1 0 down"), [], "what was before is not known");
    assert_eq!(told("n1 0 up, n1 2 warn"), [(2.0, None, false)]);
    // What the second node hears later neither splits an outage nor adds one.
    let late = "n1 0 up, n2 0 up, n1 5 down, n2 5.1 down, n2 7 up, n1 7.1 up";
    assert_eq!(told(late), [(5.1, Some(7.0), false)]);
}

#[test]
fn a_node_that_is_lost_has_no_view() {
    let takeover = "n1 0 up, n2 0 up, n2 5 lost n1, n2 5 down, n2 8 up, n1 30 started, n1 31 up";
    assert_eq!(told(takeover), [(5.0, Some(8.0), false)]);
    // Down everywhere: a restart of the daemon alone is no outage.
    assert_eq!(told("n1 0 up, n1 4 started, n1 5 up"), []);
}

#[test]
fn an_outage_that_was_asked_for_says_so() {
    let moved = "n1 0 up, n1 3 asked placed@n2, n1 4 down, n1 6 up, n1 9 down, n1 10 up";
    assert_eq!(told(moved), [(4.0, Some(6.0), true), (9.0, Some(10.0), false)]);
    assert_eq!(told("n1 0 up, n1 3 asked started, n1 4 down"), [(4.0, None, false)]);
}
