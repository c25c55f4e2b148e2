//! The data of peers, and what goes to them.

use model::{Content, OpKey};
use monitor::{Exchange, faults};

use super::*;
use crate::cluster_data::{
    AskFull, AwaitAcked, ForgetPeer, HeartbeatHeard, Outgoing, WatchOutgoing,
};

/// The status of `n22`, a deployed agent, with what it knows of `n21` and `n23`.
fn recorded() -> Value {
    serde_json::from_str(include_str!("dataset_3nodes.json")).unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Cluster data of `n22` that never heard of its peers.
async fn alone() -> Bench {
    let bench = bench_of("n22", &["n21", "n22", "n23"]).await;
    bench.flush().await;
    bench
}

/// What a peer is: the other end of the exchange.
struct Peer {
    name: NodeName,
    exchange: Exchange,
    /// What it has of the node tested.
    merged: Map<String, Value>,
    /// Its own data.
    data: Map<String, Value>,
    clock: f64,
}

impl Peer {
    fn new(name: &str) -> Self {
        let mut data = object(&recorded()["monitor"]["nodes"][name]);
        data.remove("gen");
        let exchange = Exchange::new(node(name), 1_000);
        Self { name: node(name), exchange, merged: Map::new(), data, clock: 1_795_364_300.0 }
    }

    fn message(&mut self) -> HeartbeatMessage {
        self.clock += 1.0;
        let (r#gen, now) = (self.exchange.gens(), Timestamp(self.clock));
        match self.exchange.sending() {
            monitor::Sending::Full => {
                let updated = Timestamp(self.data["updated"].as_f64().unwrap());
                HeartbeatMessage {
                    r#gen,
                    updated,
                    content: Content::Full { data: self.data.clone() },
                }
            }
            monitor::Sending::Ping => HeartbeatMessage {
                r#gen,
                updated: now,
                content: Content::Ping { compat: Some(10), monitor: object(&self.data["monitor"]) },
            },
            patch => {
                let text = patch.patch_text(&r#gen, now).unwrap();
                HeartbeatMessage::from_value(serde_json::from_str(&text).unwrap()).unwrap()
            }
        }
    }

    fn change(&mut self, path: &[&str], value: Option<Value>) {
        self.clock += 1.0;
        let path: Vec<OpKey> = path.iter().map(|key| OpKey::from(*key)).collect();
        let mut ops = monitor::Ops::new();
        match value {
            Some(value) => ops.set(path, value),
            None => ops.delete(path),
        }
        for op in ops.as_slice() {
            monitor::apply(&mut self.data, op).unwrap();
        }
        self.exchange.record(ops, Timestamp(self.clock), || usize::MAX);
        self.data.insert("updated".to_owned(), self.clock.into());
    }

    async fn speak(&mut self, bench: &Bench) {
        let message = self.message();
        let heard = HeartbeatHeard { from: self.name.clone(), message };
        bench.data.send(heard).await.unwrap();
        bench.flush().await;
    }

    fn hear(&mut self, outgoing: &Outgoing) -> &'static str {
        self.clock += 1.0;
        let prepared = outgoing.message(crate::clock::now()).expect("something to say");
        let message: Value = serde_json::from_slice(&prepared.json()).unwrap();
        let kind = match message["kind"].as_str() {
            None => {
                assert_eq!(faults(&object(&message)), Vec::<String>::new());
                "full"
            }
            Some("ping") => "ping",
            Some(_) => "patch",
        };
        let message = HeartbeatMessage::from_value(message).unwrap();
        let now = Timestamp(self.clock);
        self.exchange.receive(&node("n22"), message, now, &mut self.merged);
        kind
    }
}

fn without_gen(data: &Value) -> Value {
    let mut data = object(data);
    data.remove("gen");
    Value::Object(data)
}

#[actix::test]
async fn the_status_in_a_mixed_cluster_has_the_shape_of_a_deployed_agent() {
    let bench = alone().await;
    let status = bench.flush().await.status(None);
    assert_eq!(status["monitor"]["nodes"]["n21"], json!({}), "never heard");
    let recorded = recorded();
    for name in ["n21", "n23"] {
        let mut peer = Peer::new(name);
        peer.speak(&bench).await;
        let mut watch = bench.data.send(WatchOutgoing).await.unwrap();
        peer.hear(&watch.borrow_and_update());
        peer.speak(&bench).await;
    }
    let status = bench.flush().await.status(None);
    let ours = &status["monitor"]["nodes"];
    for name in ["n21", "n23"] {
        let theirs = &recorded["monitor"]["nodes"][name];
        assert_eq!(without_gen(&ours[name]), without_gen(theirs));
        let gens = object(&ours[name]["gen"]);
        assert_eq!(
            gens.keys().collect::<Vec<_>>(),
            ["n22"],
            "as the answering node is known there"
        );
    }
    let keys = |data: &Value| object(data).keys().cloned().collect::<BTreeSet<_>>();
    let mut local = keys(&ours["n22"]);
    local.remove("envelope");
    local.remove("release");
    assert_eq!(
        ours["n22"]["agent"], "",
        "a version of its own raises a warning on all deployed agents"
    );
    assert_eq!(local, keys(&recorded["monitor"]["nodes"]["n22"]));
    let services = &status["monitor"]["services"];
    for path in ["svc1", "svc2", "cluster"] {
        let theirs = &recorded["monitor"]["services"][path];
        assert!(services[path].is_object(), "{path} {theirs}");
    }
    assert_eq!(status["monitor"]["compat"], true);
    assert_eq!(status["monitor"]["frozen"], "thawed");
}

#[actix::test]
async fn a_subscriber_that_applies_all_patches_follows_the_peers_too() {
    let bench = alone().await;
    let mut stream = bench.data.send(Subscribe { filter: None, full: true }).await.unwrap();
    let mut peer = Peer::new("n21");
    peer.speak(&bench).await;
    let mut watch = bench.data.send(WatchOutgoing).await.unwrap();
    peer.hear(&watch.borrow_and_update());
    peer.speak(&bench).await;
    let restart = ["services", "status", "svc1", "monitor", "restart", "fs#1"];
    peer.change(&restart, Some(json!({"retries": 1})));
    peer.change(&["services", "status", "svc1", "avail"], Some(json!("warn")));
    peer.change(&["services", "status", "svc2"], None);
    peer.change(&["services", "config", "svc2"], None);
    peer.change(&["unknown"], Some(json!({"a": [1]})));
    peer.speak(&bench).await;
    peer.change(&["unknown", "a"], Some(json!(null)));
    peer.change(&["labels"], Some(json!({"rack": "r1"})));
    peer.speak(&bench).await;
    let snapshot = bench.flush().await;
    assert_eq!(snapshot.instance(&node("n21"), &path("svc1")).unwrap().avail, Some(Status::Warn));
    assert_eq!(snapshot.aggregate(&path("svc1")).unwrap().avail, Some(Status::Warn));
    let shown = &snapshot.status(None)["monitor"]["nodes"]["n21"];
    assert_eq!(without_gen(shown), Value::Object(peer.data.clone()));
    bench.data.send(ForgetPeer(node("n21"))).await.unwrap();
    let snapshot = bench.flush().await;
    let mut data = Value::Null;
    while let Ok(document) = stream.try_recv() {
        let document: Value = serde_json::from_str(&document).unwrap();
        match document["kind"].as_str().unwrap() {
            "full" => data = document["data"].clone(),
            _ => apply(&mut data, document["data"].as_array().unwrap()),
        }
    }
    assert_eq!(data, snapshot.status(None));
    assert_eq!(data["monitor"]["nodes"].get("n21"), None, "forgotten");
    assert_eq!(data["monitor"]["nodes"]["n23"], json!({}), "never heard");
}

#[actix::test]
async fn a_peer_gets_a_ping_then_a_full_then_what_changed() {
    let bench = alone().await;
    let mut watch = bench.data.send(WatchOutgoing).await.unwrap();
    let mut peer = Peer::new("n21");
    assert_eq!(peer.hear(&watch.borrow_and_update()), "ping");
    peer.speak(&bench).await;
    assert!(watch.has_changed().unwrap(), "a full is asked for: at once");
    assert_eq!(peer.hear(&watch.borrow_and_update()), "full");
    let shown = |snapshot: &Snapshot| {
        let mut local = object(&snapshot.status(None)["monitor"]["nodes"]["n22"]);
        local.remove("gen");
        Value::Object(local)
    };
    let merged = |peer: &Peer| without_gen(&Value::Object(peer.merged.clone()));
    assert_eq!(merged(&peer), shown(&*bench.flush().await));
    peer.speak(&bench).await;
    bench.set("svc1", Status::Up, 1.0);
    bench.set("svc2", Status::Down, 1.0);
    let frozen = Some(Timestamp(1_795_364_000.0));
    bench.data.send(SetNode { frozen, ..SetNode::default() }).await.unwrap();
    bench.flush().await;
    bench.data.send(RemoveInstance(path("svc2"))).await.unwrap();
    bench.data.send(SetConfigEntries(vec![(path("svc2"), None)])).await.unwrap();
    let mut monitor = InstanceMonitor { status: MonitorStatus::Starting, ..Default::default() };
    monitor
        .restart
        .insert("fs#1".to_owned(), model::Restart { retries: 1, updated: Timestamp(1.0) });
    let monitor = SetInstanceMonitor { path: path("svc1"), monitor: Box::new(monitor) };
    bench.data.send(monitor).await.unwrap();
    let snapshot = bench.flush().await;
    assert!(watch.has_changed().unwrap());
    assert_eq!(peer.hear(&watch.borrow_and_update()), "patch");
    assert_eq!(merged(&peer), shown(&snapshot));
    assert!(peer.merged["frozen"].is_f64(), "an integer is not followed");
    assert_eq!(faults(&peer.merged), Vec::<String>::new());
    // Acknowledged: nothing is left to send, and nothing hurries.
    peer.speak(&bench).await;
    assert!(!watch.has_changed().unwrap());
    let text = watch.borrow().message(Timestamp(1.0)).unwrap().json().into_owned();
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap()["deltas"], json!({}));
}

#[actix::test]
async fn who_stops_waits_for_the_peers_that_decide_and_for_no_other() {
    let bench = alone().await;
    bench.data.send(AwaitAcked).await.expect("nobody is there to wait for");
    let mut watch = bench.data.send(WatchOutgoing).await.unwrap();
    let (mut one, mut other) = (Peer::new("n21"), Peer::new("n23"));
    for peer in [&mut one, &mut other] {
        peer.speak(&bench).await;
        peer.hear(&watch.borrow_and_update());
        peer.speak(&bench).await;
    }
    bench.set("svc1", Status::Up, 1.0);
    let mut acked = std::pin::pin!(bench.data.send(AwaitAcked));
    let is_over = tokio::time::timeout(Duration::ZERO, &mut acked).await;
    assert!(is_over.is_err(), "nobody has the change");
    one.hear(&watch.borrow_and_update());
    one.speak(&bench).await;
    let is_over = tokio::time::timeout(Duration::ZERO, &mut acked).await;
    assert!(is_over.is_err(), "one does not have the change");
    // It announces its own stop instead, and hears at once that this is known.
    watch.mark_unchanged();
    other.change(&["monitor", "status"], Some("maintenance".into()));
    other.speak(&bench).await;
    acked.await.expect("who decides has the change");
    assert!(watch.has_changed().unwrap());
}

#[actix::test]
async fn nothing_but_pings_leaves_before_the_configurations_are_known() {
    let bench = bench_without_configurations("n22", &["n21", "n22", "n23"]).await;
    let watch = bench.data.send(WatchOutgoing).await.unwrap();
    bench.flush().await;
    let mut peer = Peer::new("n21");
    assert_eq!(peer.hear(&watch.borrow()), "ping");
    peer.speak(&bench).await;
    assert!(watch.borrow().message(Timestamp(1.0)).is_none(), "peers would delete instances");
}

#[actix::test]
async fn a_peer_that_beats_without_data_blinds_until_it_tells_or_is_forgotten() {
    let bench = alone().await;
    assert!(!bench.flush().await.is_blind());
    let mut peer = Peer::new("n21");
    peer.speak(&bench).await;
    let snapshot = bench.flush().await;
    assert!(snapshot.is_blind(), "it pings");
    let shown = &snapshot.status(None)["monitor"]["nodes"]["n21"];
    assert_eq!(shown["monitor"]["status"], "idle");
    assert_eq!(shown.get("services"), None);
    let watch = bench.data.send(WatchOutgoing).await.unwrap();
    peer.hear(&watch.borrow());
    peer.speak(&bench).await;
    assert!(!bench.flush().await.is_blind());
    let mut other = Peer::new("n23");
    other.speak(&bench).await;
    assert!(bench.flush().await.is_blind());
    bench.data.send(ForgetPeer(node("n23"))).await.unwrap();
    assert!(!bench.flush().await.is_blind());
}

#[actix::test]
async fn a_lock_of_a_peer_is_copied_and_goes_with_it() {
    let bench = alone().await;
    let mut peer = Peer::new("n21");
    peer.speak(&bench).await;
    let watch = bench.data.send(WatchOutgoing).await.unwrap();
    peer.hear(&watch.borrow());
    peer.speak(&bench).await;
    let lock = json!({"id": "x", "requester": "n21", "requested": 1.0});
    let locks = |snapshot: &Snapshot| json!(snapshot.local().unwrap().data.locks);
    peer.change(&["locks", "join"], Some(lock.clone()));
    peer.speak(&bench).await;
    assert_eq!(locks(&*bench.flush().await), json!({"join": lock}));
    peer.hear(&watch.borrow());
    assert_eq!(peer.merged["locks"], json!({"join": lock}), "the requester sees it everywhere");
    peer.change(&["locks", "join"], None);
    peer.speak(&bench).await;
    assert_eq!(locks(&*bench.flush().await), json!({}));
    peer.change(&["locks", "join"], Some(lock));
    peer.speak(&bench).await;
    bench.data.send(ForgetPeer(node("n21"))).await.unwrap();
    assert_eq!(locks(&*bench.flush().await), json!({}), "nobody else would release it");
}

#[actix::test]
async fn a_full_can_be_asked_for_and_strangers_are_not_heard() {
    let bench = alone().await;
    let mut peer = Peer::new("n21");
    peer.speak(&bench).await;
    let mut watch = bench.data.send(WatchOutgoing).await.unwrap();
    peer.hear(&watch.borrow_and_update());
    peer.speak(&bench).await;
    let gens = |snapshot: &Snapshot| snapshot.local().unwrap().data.r#gen.clone();
    assert_ne!(gens(&*bench.flush().await)[&node("n21")], 0);
    watch.mark_unchanged();
    bench.data.send(AskFull(node("n21"))).await.unwrap();
    assert_eq!(gens(&*bench.flush().await)[&node("n21")], 0);
    assert!(watch.has_changed().unwrap());
    for name in ["n22", "stranger"] {
        let message = peer.message();
        bench.data.send(HeartbeatHeard { from: node(name), message }).await.unwrap();
    }
    let snapshot = bench.flush().await;
    let names: Vec<_> = snapshot.nodes().keys().map(NodeName::as_str).collect();
    assert_eq!(names, ["n21", "n22", "n23"]);
}

#[actix::test]
async fn only_what_a_peer_changed_is_read_again() {
    let bench = alone().await;
    let mut peer = Peer::new("n21");
    peer.speak(&bench).await;
    let watch = bench.data.send(WatchOutgoing).await.unwrap();
    peer.hear(&watch.borrow());
    peer.speak(&bench).await;
    let before = bench.flush().await;
    peer.change(&["services", "status", "svc1", "avail"], Some(json!("down")));
    peer.speak(&bench).await;
    let after = bench.flush().await;
    let instance =
        |snapshot: &Snapshot, name| snapshot.instance(&node("n21"), &path(name)).unwrap().clone();
    assert!(Arc::ptr_eq(&instance(&before, "svc2"), &instance(&after, "svc2")));
    assert!(!Arc::ptr_eq(&instance(&before, "svc1"), &instance(&after, "svc1")));
    // A full that says the same changes nothing.
    let mut again = Peer::new("n21");
    again.exchange = Exchange::new(node("n21"), 9_000_000);
    again.data = peer.data.clone();
    again.clock = peer.clock;
    again.change(&["services", "status", "svc2", "avail"], Some(json!("down")));
    let message = HeartbeatMessage {
        r#gen: again.exchange.gens(),
        updated: Timestamp(again.clock),
        content: Content::Full { data: again.data.clone() },
    };
    bench.data.send(HeartbeatHeard { from: node("n21"), message }).await.unwrap();
    let last = bench.flush().await;
    assert!(Arc::ptr_eq(&instance(&after, "svc1"), &instance(&last, "svc1")));
    assert!(!Arc::ptr_eq(&instance(&after, "svc2"), &instance(&last, "svc2")));
}

#[actix::test]
async fn what_does_not_parse_is_shown_and_changed_but_decides_nothing() {
    let bench = alone().await;
    let mut peer = Peer::new("n21");
    peer.data["services"]["status"]["svc1"]["frozen"] = json!({"odd": 1});
    peer.data["services"]["status"]["no,path"] = json!({"avail": "up"});
    peer.data["services"]["status"]["svc2"] = json!(3);
    peer.data["stats"] = json!("odd");
    peer.speak(&bench).await;
    let watch = bench.data.send(WatchOutgoing).await.unwrap();
    peer.hear(&watch.borrow());
    peer.speak(&bench).await;
    peer.change(&["services", "status", "svc1", "frozen", "odd"], Some(json!(2)));
    peer.change(&["services", "status", "no,path", "avail"], Some(json!("down")));
    peer.speak(&bench).await;
    let snapshot = bench.flush().await;
    let svc1 = snapshot.instance(&node("n21"), &path("svc1")).unwrap();
    assert_eq!((svc1.frozen, &svc1.avail), (None, &Some(Status::Up)));
    let shown = &snapshot.status(None)["monitor"]["nodes"]["n21"];
    assert_eq!(shown["services"]["status"]["svc1"]["frozen"], json!({"odd": 2}));
    assert_eq!(shown["services"]["status"].get("svc2"), None);
    assert_eq!(shown["stats"], "odd");
}

/// A recorded peer's data, changed by operations drawn from a seed, good and bad: whatever it says, what subscribers
/// follow is what is shown, and nothing panics.
#[actix::test]
async fn no_change_of_a_peer_breaks_what_is_shown() {
    let mut seed = 7_u64;
    let mut below = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % bound
    };
    let bench = alone().await;
    let mut stream = bench.data.send(Subscribe { filter: None, full: true }).await.unwrap();
    let first: Value = serde_json::from_str(&stream.try_recv().unwrap()).unwrap();
    let mut data = first["data"].clone();
    let full = object(&recorded()["monitor"]["nodes"]["n21"]);
    let keys =
        ["services", "status", "config", "svc1", "svc2", "monitor", "frozen", "x,y", "locks"];
    let values = [
        json!(null),
        json!({}),
        json!([]),
        json!(-1),
        json!("up"),
        json!({"status": {"svc1": {"avail": "up", "slaves": ["svc2"]}, "/": 3}, "config": []}),
        json!({"avail": ["x"], "monitor": {"status": "starting"}, "resources": {"fs#1": 1}}),
        json!({"id": "x", "requester": "n21", "requested": 1.0}),
    ];
    for generation in 1..400_u64 {
        let content = if generation % 20 == 1 {
            Content::Full { data: full.clone() }
        } else {
            let op = |_| model::Op {
                path: (0..below(5)).map(|_| OpKey::from(keys[below(keys.len())])).collect(),
                value: (below(5) > 0).then(|| values[below(values.len())].clone()),
            };
            Content::Patch { deltas: [(generation, (0..2).map(op).collect())].into() }
        };
        let updated = Timestamp(1_795_364_300.0 + generation as f64);
        let r#gen = [(node("n21"), generation)].into();
        let message = HeartbeatMessage { r#gen, updated, content };
        bench.data.send(HeartbeatHeard { from: node("n21"), message }).await.unwrap();
        if below(30) == 0 {
            bench.data.send(ForgetPeer(node("n21"))).await.unwrap();
        }
        let snapshot = bench.flush().await;
        while let Ok(document) = stream.try_recv() {
            let document: Value = serde_json::from_str(&document).unwrap();
            apply(&mut data, document["data"].as_array().unwrap());
        }
        assert_eq!(data, snapshot.status(None), "generation {generation}");
    }
}
