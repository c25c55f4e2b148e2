//! The data of peers, and what goes to them.

use dataset::ahead::{is_heavy, work_out};
use dataset::exchange::Exchange;
use dataset::exchange::check::faults;
use dataset::outgoing::Outgoing;
use dataset::snapshot::ClusterInfo;
use mail::cluster_data::{AskFull, AwaitAcked, ForgetPeer, HeartbeatHeard, WatchOutgoing};
use model::{Content, HeartbeatMessage, InstanceMonitor, OpKey, Timestamp};
use monitor::Moment;
use serde_json::{Map, Value};

use super::*;

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
            dataset::exchange::Sending::Full => {
                let updated = Timestamp(self.data["updated"].as_f64().unwrap());
                HeartbeatMessage {
                    r#gen,
                    updated,
                    content: Content::Full { data: self.data.clone() },
                }
            }
            dataset::exchange::Sending::Ping => HeartbeatMessage {
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
        let mut ops = dataset::journal::Ops::new();
        match value {
            Some(value) => ops.set(path, value),
            None => ops.delete(path),
        }
        for op in ops.as_slice() {
            dataset::journal::apply(&mut self.data, op).unwrap();
        }
        self.exchange.record(ops, Timestamp(self.clock), || usize::MAX);
        self.data.insert("updated".to_owned(), self.clock.into());
    }

    async fn speak(&mut self, bench: &Bench) {
        let message = self.message();
        let heard = HeartbeatHeard::new(self.name.clone(), message);
        bench.data.send(heard).await.unwrap();
        bench.flush().await;
    }

    fn hear(&mut self, outgoing: &Outgoing) -> &'static str {
        self.clock += 1.0;
        let prepared = outgoing.message(machine::clock::now()).expect("something to say");
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
    let mut stream = bench
        .data
        .send(Subscribe { filter: None, full: true, gaps: false, since: None })
        .await
        .unwrap();
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
    for document in documents(&mut stream, 0, snapshot.generation()).await {
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
    bench.data.send(SetNode(NodeFacts { frozen, ..NodeFacts::default() })).await.unwrap();
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
        bench.data.send(HeartbeatHeard::new(node(name), message)).await.unwrap();
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
    bench.data.send(HeartbeatHeard::new(node("n21"), message)).await.unwrap();
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

/// Numbers drawn from a seed, each below a bound.
fn draw() -> impl FnMut(usize) -> usize {
    let mut seed = 7_u64;
    move |bound| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % bound
    }
}

/// A message of `n21`: its data whole, now and then, else operations that are drawn, good and bad.
fn odd_message(
    generation: u64,
    full: &Map<String, Value>,
    mut below: impl FnMut(usize) -> usize,
) -> HeartbeatMessage {
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
    HeartbeatMessage { r#gen: [(node("n21"), generation)].into(), updated, content }
}

/// The writer's state of `n22`, heard by nobody.
fn state() -> State {
    let mut state = State::new(Snapshot::empty(node("n22")), machine::clock::now());
    let nodes = ["n21", "n22", "n23"].map(node).into();
    let cluster = ClusterInfo { id: "i".into(), name: "c".into(), nodes };
    let settings = Some(NodePublic { cluster, ..NodePublic::default() });
    state.set_node(NodeFacts { settings, ..NodeFacts::default() });
    state
}

#[test]
fn what_was_worked_out_elsewhere_is_what_the_writer_would_have_made_of_it_and_it_reads_nothing() {
    let mut below = draw();
    let full = object(&recorded()["monitor"]["nodes"]["n21"]);
    let (mut here, mut there) = (state(), state());
    let (mut taken, mut texts, peer) = (0, 0, node("n21"));
    for generation in 1..400_u64 {
        let json = odd_message(generation, &full, &mut below).to_json();
        let message = HeartbeatMessage::from_value(json.clone()).unwrap();
        let moment = Moment { wall: message.updated, steady: Duration::from_secs(generation) };
        let one = here.hear(&peer, message.clone(), None, moment);
        // Every other full comes with its objects as texts.
        let as_texts = HeartbeatMessage::from_texts(&json.to_string());
        let as_texts = as_texts.filter(|_| generation % 40 == 1);
        texts += usize::from(as_texts.is_some());
        let mut message = as_texts.unwrap_or_else(|| message.clone());
        let reading = work_out(&there.now, &peer, &mut message);
        taken += usize::from(reading.is_some());
        let two = there.hear(&peer, message, reading, moment);
        assert_eq!(one, two, "generation {generation}");
        assert_eq!(here.now.status(None), there.now.status(None), "generation {generation}");
        assert_eq!(here.dirty, there.dirty, "generation {generation}");
        assert_eq!(
            here.now.instance(&peer, &path("svc1")),
            there.now.instance(&peer, &path("svc1"))
        );
        if below(30) == 0 {
            here.forget_peer(&peer);
            there.forget_peer(&peer);
        }
    }
    assert!(taken > 20 && texts > 5 && here.read_here > 20, "{taken} {texts} {}", here.read_here);
    assert_eq!(there.read_here, 0);
}

#[test]
fn what_was_worked_out_from_data_that_changed_meanwhile_is_taken_where_it_holds_and_else_not() {
    let peer = node("n21");
    let full = object(&recorded()["monitor"]["nodes"]["n21"]);
    let message = |generation: u64, content| HeartbeatMessage {
        r#gen: [(node("n21"), generation)].into(),
        updated: Timestamp(1_795_364_300.0 + generation as f64),
        content,
    };
    let at = |second| Moment { wall: Timestamp(0.0), steady: Duration::from_secs(second) };
    let change = |generation, key: &str| {
        let op = model::Op { path: vec![key.into()], value: Some(json!({"a": "b"})) };
        message(generation, Content::Patch { deltas: [(generation, vec![op])].into() })
    };
    let mut state = state();
    state.hear(&peer, message(1, Content::Full { data: full.clone() }), None, at(1));
    let before = state.now.clone();
    state.hear(&peer, change(2, "labels"), None, at(2));
    // The next one was worked out before.
    let mut late = change(2, "stats");
    let reading = work_out(&before, &peer, &mut late);
    assert!(reading.is_some());
    let received = state.hear(&peer, late, reading, at(3));
    assert!(received.is_stale && !received.is_data_changed);
    let status = state.now.status(None);
    assert_eq!(status["monitor"]["nodes"]["n21"]["labels"], json!({"a": "b"}));
    // A full says all: only what differs is told to those concerned.
    let mut changed = full.clone();
    changed["services"]["status"]["svc1"]["avail"] = json!("down");
    let mut whole = message(3, Content::Full { data: changed });
    let reading = work_out(&before, &peer, &mut whole);
    state.dirty = dataset::state::dirty::Dirty::default();
    let received = state.hear(&peer, whole, reading, at(4));
    assert!(received.is_data_changed);
    let objects: BTreeSet<_> = state.dirty.objects().cloned().collect();
    assert!(objects.contains(&path("svc1")), "{objects:?}");
    assert_eq!(state.now.instance(&peer, &path("svc1")).unwrap().avail, Some(Status::Down));
    // One that keeps what was there before has to know what that is.
    let mut starting = full.clone();
    starting["monitor"]["status"] = json!("init");
    starting["services"]["status"] = json!({});
    let mut whole = message(4, Content::Full { data: starting });
    let reading = work_out(&before, &peer, &mut whole);
    assert!(state.hear(&peer, whole, reading, at(5)).is_stale);
    assert_eq!(state.now.instance(&peer, &path("svc1")).unwrap().avail, Some(Status::Down));
}

#[test]
fn a_small_message_that_makes_much_be_read_is_worked_out_elsewhere() {
    let peer = node("n21");
    let mut full = object(&recorded()["monitor"]["nodes"]["n21"]);
    full["services"]["status"]["svc1"]["resources"]["app#1"] =
        json!({"log": ["x".repeat(300 << 10)]});
    let content = Content::Full { data: full };
    let r#gen = [(peer.clone(), 1)].into();
    let message = HeartbeatMessage { r#gen, updated: Timestamp(1_795_364_301.0), content };
    let mut state = state();
    state.hear(&peer, message, None, machine::clock::moment());
    let is_heavy = |paths: &[&[&str]]| {
        let op = |path: &&[&str]| model::Op {
            path: path.iter().map(|key| OpKey::from(*key)).collect(),
            value: Some(json!(1)),
        };
        let content = Content::Patch { deltas: [(2, paths.iter().map(op).collect())].into() };
        let message = HeartbeatMessage { r#gen: [].into(), updated: Timestamp(0.0), content };
        is_heavy(&state.now, &peer, &message)
    };
    assert!(is_heavy(&[&["services", "status", "svc1", "avail"]]));
    assert!(is_heavy(&[&["labels"], &["services", "status"]]));
    assert!(is_heavy(&[&["services"]]));
    assert!(is_heavy(&[&[]]));
    assert!(!is_heavy(&[&["labels"], &["services", "status", "svc2", "avail"]]));
    assert!(!is_heavy(&[&["services", "config", "svc1", "csum"]]));
    assert!(!is_heavy(&[]));
}

/// A recorded peer's data, changed by operations drawn from a seed, good and bad: whatever it says, what subscribers
/// follow is what is shown, and nothing panics.
#[actix::test]
async fn no_change_of_a_peer_breaks_what_is_shown() {
    let mut below = draw();
    let bench = alone().await;
    let mut stream = bench
        .data
        .send(Subscribe { filter: None, full: true, gaps: false, since: None })
        .await
        .unwrap();
    let first: Value = serde_json::from_str(&stream.recv().await.unwrap()).unwrap();
    let mut data = first["data"].clone();
    let mut told = bench.cell.load().generation();
    let full = object(&recorded()["monitor"]["nodes"]["n21"]);
    for generation in 1..400_u64 {
        let message = odd_message(generation, &full, &mut below);
        bench.data.send(HeartbeatHeard::new(node("n21"), message)).await.unwrap();
        if below(30) == 0 {
            bench.data.send(ForgetPeer(node("n21"))).await.unwrap();
        }
        let snapshot = bench.flush().await;
        for document in documents(&mut stream, told, snapshot.generation()).await {
            apply(&mut data, document["data"].as_array().unwrap());
        }
        told = snapshot.generation();
        assert_eq!(data, snapshot.status(None), "generation {generation}");
    }
}
