mod peers;

use arc_swap::ArcSwap;
use mail::cluster_data::ObjectFilter;
use model::ConfigEntry;
use model::InstanceMonitor;
use model::InstanceStatus;
use serde_json::Value;
use tokio::sync::mpsc;

use model::Timestamp;
use model::thread::{self, Block};
use model::{EventFacts, MonitorStatus, NodeMonitorData, Status};
use serde_json::json;

use mail::cluster_data::{ClaimLock, ReleaseLock};

use super::*;

use dataset::config::LoadedConfig;
use dataset::snapshot::ClusterInfo;
use files::load::Load as _;
use machine::paths::Paths;

struct Bench {
    _folder: tempfile::TempDir,
    cell: SnapshotCell,
    data: Addr<ClusterData>,
    entries: Vec<(ObjectPath, Option<ConfigEntry>)>,
}

/// Cluster data of a node `n1` with two services.
async fn bench() -> Bench {
    bench_of("n1", &["n1"]).await
}

/// Cluster data of a node with two services.
async fn bench_of(name: &str, nodes: &[&str]) -> Bench {
    let bench = bench_without_configurations(name, nodes).await;
    bench.data.send(SetConfigEntries(bench.entries.clone())).await.unwrap();
    bench
}

async fn bench_without_configurations(name: &str, nodes: &[&str]) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::under(folder.path());
    paths.create().unwrap();
    let node = NodeName::new(name).unwrap();
    let text = format!("[DEFAULT]\nid = 1\nnodes = {name}\n[app#1]\nstart = /bin/true\n");
    for name in ["svc1", "svc2"] {
        std::fs::write(paths.etc.join(format!("{name}.conf")), &text).unwrap();
    }
    let config = LoadedConfig::load(&paths, &node);
    let cell: SnapshotCell = Arc::new(ArcSwap::from_pointee(Snapshot::empty(node.clone())));
    let entries: Vec<_> =
        config.objects.iter().map(|(path, object)| (path.clone(), Some(object.entry()))).collect();
    let data = ClusterData::new(cell.clone(), Arc::new(ArcSwap::from_pointee(config))).start();
    let nodes = nodes.iter().map(|name| NodeName::new(name).unwrap()).collect();
    let cluster = ClusterInfo { id: "i".into(), name: "c".into(), nodes };
    let settings = Some(NodePublic { cluster, env: "TST".into(), ..NodePublic::default() });
    let monitor = Some(NodeMonitorData::default());
    data.send(SetNode(NodeFacts { monitor, settings, ..NodeFacts::default() })).await.unwrap();
    Bench { _folder: folder, cell, data, entries }
}

fn path(name: &str) -> ObjectPath {
    ObjectPath::parse(name).unwrap()
}

fn status(avail: Status, updated: f64) -> Box<InstanceStatus> {
    Box::new(InstanceStatus {
        updated: Timestamp(updated),
        topology: Some("failover".to_owned()),
        avail: Some(avail.clone()),
        overall: Some(avail),
        frozen: Some(Timestamp::NEVER),
        ..InstanceStatus::default()
    })
}

impl Bench {
    fn set(&self, name: &str, avail: Status, updated: f64) {
        let status = status(avail, updated);
        // Handled with what is sent next, before any alarm.
        self.data.do_send(SetInstance { path: path(name), status });
    }

    async fn flush(&self) -> Arc<Snapshot> {
        self.data.send(Flush).await.unwrap();
        self.cell.load_full()
    }
}

#[actix::test]
async fn changes_made_together_are_one_generation_and_aggregates_follow() {
    let bench = bench().await;
    let before = bench.flush().await.generation();
    bench.set("svc1", Status::Up, 1.0);
    bench.set("svc2", Status::Down, 1.0);
    let snapshot = bench.flush().await;
    assert_eq!(snapshot.generation(), before + 1);
    assert_eq!(snapshot.aggregate(&path("svc1")).unwrap().avail, Some(Status::Up));
    assert_eq!(snapshot.aggregate(&path("svc2")).unwrap().avail, Some(Status::Down));
    assert_eq!(bench.flush().await.generation(), before + 1, "nothing changed");
}

#[actix::test]
async fn a_change_is_published_by_itself_after_a_few_milliseconds() {
    let bench = bench().await;
    let mut watch = bench.data.send(WatchGeneration).await.unwrap();
    bench.flush().await;
    watch.mark_unchanged();
    bench.set("svc1", Status::Up, 1.0);
    let changed = tokio::time::timeout(Duration::from_secs(10), watch.changed());
    changed.await.expect("published in time").unwrap();
    assert!(bench.cell.load().local_instance(&path("svc1")).is_some());
}

#[actix::test]
async fn an_evaluation_keeps_the_monitor_and_every_instance_has_one() {
    let bench = bench().await;
    bench.set("svc1", Status::Up, 1.0);
    let snapshot = bench.flush().await;
    let monitor = snapshot.local_instance(&path("svc1")).unwrap().monitor.clone();
    assert_eq!(monitor, Some(InstanceMonitor::default()));
    let starting =
        InstanceMonitor { status: MonitorStatus::Starting, ..InstanceMonitor::default() };
    let set = SetInstanceMonitor { path: path("svc1"), monitor: Box::new(starting.clone()) };
    bench.data.send(set).await.unwrap();
    bench.set("svc1", Status::Down, 2.0);
    let snapshot = bench.flush().await;
    let instance = snapshot.local_instance(&path("svc1")).unwrap();
    assert_eq!(
        (instance.monitor.clone(), instance.avail.clone()),
        (Some(starting), Some(Status::Down))
    );
    assert_eq!(snapshot.transitions(), 1);
    bench.data.send(RemoveInstance(path("svc1"))).await.unwrap();
    assert_eq!(bench.flush().await.transitions(), 0);
}

#[actix::test]
async fn the_status_has_the_shape_that_clients_know() {
    let bench = bench().await;
    bench.set("svc1", Status::Up, 1.0);
    let block = Block::new(thread::State::Running, Timestamp(1.0), 7);
    let thread = SetThread { id: "monitor".to_owned(), block: Some(block.clone()) };
    bench.data.send(thread).await.unwrap();
    let thread = SetThread { id: "listener".to_owned(), block: Some(block) };
    bench.data.send(thread).await.unwrap();
    let snapshot = bench.flush().await;
    let status = snapshot.status(None);
    assert_eq!(status["cluster"], json!({"id": "i", "name": "c", "nodes": ["n1"]}));
    assert_eq!(status["listener"]["state"], "running");
    let monitor = &status["monitor"];
    assert_eq!((&monitor["state"], &monitor["compat"]), (&json!("running"), &json!(true)));
    assert_eq!((&monitor["transitions"], &monitor["frozen"]), (&json!(0), &json!("thawed")));
    assert_eq!(monitor["services"]["svc1"]["avail"], "up");
    let node = &monitor["nodes"]["n1"];
    for key in [
        "compat",
        "api",
        "agent",
        "monitor",
        "labels",
        "targets",
        "services",
        "gen",
        "config",
        "stats",
        "frozen",
        "env",
        "locks",
        "speaker",
        "min_avail_mem",
        "min_avail_swap",
        "updated",
    ] {
        assert!(node.get(key).is_some(), "{key}");
    }
    assert_eq!(node["services"]["status"]["svc1"]["monitor"]["status"], "idle");
    assert!(node["services"]["config"]["svc2"]["csum"].is_string());
    let only = |path: &ObjectPath| path.as_str() == "svc2";
    let status = snapshot.status(Some(&only));
    assert_eq!(status["monitor"]["nodes"]["n1"]["services"]["status"], json!({}));
    let services = status["monitor"]["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["svc2"]);
    let prepared = snapshot.prepared();
    let whole: Value = serde_json::from_slice(&prepared.json()).unwrap();
    assert_eq!(whole, snapshot.status(None));
    assert!(Arc::ptr_eq(prepared, snapshot.prepared()));
}

/// Applies a patch as a subscriber does.
fn apply(data: &mut Value, ops: &[Value]) {
    for op in ops {
        let (path, last) = {
            let mut path: Vec<&str> =
                op[0].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
            let last = path.pop().unwrap();
            (path, last)
        };
        let parent = path.iter().fold(&mut *data, |data, key| &mut data[*key]);
        match op.get(1) {
            Some(value) => parent[last] = value.clone(),
            None => _ = parent.as_object_mut().unwrap().remove(last),
        }
    }
}

/// The documents of a stream that has told up to generation `from`, up to generation `to`.
async fn documents(
    stream: &mut mpsc::Receiver<mail::stream::Item>,
    mut from: u64,
    to: u64,
) -> Vec<Value> {
    let mut documents = vec![];
    while from < to {
        let next = tokio::time::timeout(Duration::from_secs(10), stream.recv());
        let text = next.await.expect("told in time").expect("the stream goes on");
        let document: Value = serde_json::from_str(&text).unwrap();
        from = document["id"].as_u64().unwrap_or(from);
        documents.push(document);
    }
    documents
}

#[actix::test]
async fn a_subscriber_that_applies_all_patches_has_the_status() {
    let bench = bench().await;
    let mut stream = bench
        .data
        .send(Subscribe { filter: None, full: true, gaps: false, since: None })
        .await
        .unwrap();
    bench.set("svc1", Status::Up, 1.0);
    bench.flush().await;
    bench.set("svc2", Status::Up, 1.0);
    bench.set("svc1", Status::Warn, 2.0);
    let thread = SetThread {
        id: "hb#1.rx".to_owned(),
        block: Some(Block::new(thread::State::Running, Timestamp(1.0), 7)),
    };
    bench.data.send(thread).await.unwrap();
    bench.flush().await;
    bench.data.send(RemoveInstance(path("svc2"))).await.unwrap();
    bench.data.send(SetConfigEntries(vec![(path("svc2"), None)])).await.unwrap();
    let event =
        Emit { id: "instance_stop", path: Some(path("svc1")), facts: EventFacts::default() };
    bench.data.send(event).await.unwrap();
    let snapshot = bench.flush().await;
    let mut data = Value::Null;
    let (mut ids, mut events) = (Vec::new(), 0);
    for document in documents(&mut stream, 0, snapshot.generation()).await {
        match document["kind"].as_str().unwrap() {
            "full" => data = document["data"].clone(),
            "patch" => {
                ids.push(document["id"].as_u64().unwrap());
                apply(&mut data, document["data"].as_array().unwrap());
            }
            _ => {
                assert_eq!(document["data"]["id"], "instance_stop");
                assert_eq!(document["data"]["service"]["avail"], "warn");
                events += 1;
            }
        }
    }
    assert!(ids.len() >= 3);
    assert_eq!(events, 1);
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
    assert_eq!(data, snapshot.status(None));
}

#[actix::test]
async fn a_subscriber_gets_what_it_selected_and_one_that_does_not_read_is_no_burden() {
    let bench = bench().await;
    let filter: ObjectFilter = Arc::new(|path: &ObjectPath| path.as_str() == "svc2");
    let subscribe = Subscribe { filter: Some(filter), full: false, gaps: false, since: None };
    let mut stream = bench.data.send(subscribe).await.unwrap();
    for round in 0..400 {
        bench.set("svc1", Status::Up, f64::from(round));
        bench.flush().await;
    }
    let first: Value = serde_json::from_str(&stream.recv().await.unwrap()).unwrap();
    let ops = first["data"].to_string();
    assert!(!ops.contains("svc1"), "{ops}");
    // Whoever comes later is told after all that was told before.
    let mut last = bench
        .data
        .send(Subscribe { filter: None, full: true, gaps: false, since: None })
        .await
        .unwrap();
    last.recv().await.expect("its full");
    let mut count = 1;
    while stream.try_recv().is_ok() {
        count += 1;
    }
    assert!(count <= 2 * 256, "{count}");
}

struct Ear(mpsc::UnboundedSender<&'static str>, &'static str);

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<ViewChanged> for Ear {
    type Result = ();

    fn handle(&mut self, _: ViewChanged, _: &mut Context<Self>) {
        _ = self.0.send(self.1);
    }
}

#[actix::test]
async fn a_change_is_told_to_the_monitors_it_concerns_and_to_no_other() {
    let bench = bench().await;
    bench.flush().await;
    let (sender, mut heard) = mpsc::unbounded_channel();
    let concern = |name: &'static str, related: &[&str]| Concern {
        path: path(name),
        related: related.iter().map(|name| path(name)).collect(),
        priority: 100,
        monitor: Some(Ear(sender.clone(), name).start().recipient()),
    };
    for concern in [concern("svc1", &[]), concern("svc2", &["svc1"]), concern("svc3", &[])] {
        bench.data.send(concern).await.unwrap();
    }
    bench.set("svc1", Status::Up, 1.0);
    bench.flush().await;
    let mut told = vec![heard.recv().await.unwrap(), heard.recv().await.unwrap()];
    told.sort_unstable();
    assert_eq!(told, ["svc1", "svc2"]);
    // Load and memory wake nobody, a frozen node wakes all.
    let stats = model::NodeStats { mem_total: 1, ..model::NodeStats::default() };
    bench
        .data
        .send(SetNode(NodeFacts { stats: Some(stats), ..NodeFacts::default() }))
        .await
        .unwrap();
    bench.flush().await;
    tokio::task::yield_now().await;
    assert!(heard.try_recv().is_err());
    let frozen = Some(Timestamp(1.0));
    bench.data.send(SetNode(NodeFacts { frozen, ..NodeFacts::default() })).await.unwrap();
    bench.flush().await;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(heard.recv().await.unwrap());
    }
    told.sort_unstable();
    assert_eq!(told, ["svc1", "svc2", "svc3"]);
}

#[actix::test]
async fn a_monitor_that_stands_still_is_told_once_whatever_changes_and_again_when_it_goes_on() {
    let bench = bench().await;
    bench.flush().await;
    // Nobody reads this mailbox.
    let (mailbox, _held) = actix::dev::channel::channel::<Ear>(2);
    let sleeper: Addr<Ear> = Addr::new(mailbox.clone());
    let (sender, mut heard) = mpsc::unbounded_channel();
    let concern = |name: &str, monitor| Concern {
        path: path(name),
        related: vec![],
        priority: 100,
        monitor: Some(monitor),
    };
    bench.data.send(concern("svc1", sleeper.recipient())).await.unwrap();
    for number in 1..200 {
        bench.set("svc1", Status::Up, f64::from(number));
        bench.flush().await;
    }
    // It has no more room than before: nothing went around its limit.
    let is_full = |room: &Addr<Ear>| room.try_send(ViewChanged).is_err();
    let room: Addr<Ear> = Addr::new(mailbox);
    let free = (0..100).take_while(|_| !is_full(&room)).count();
    assert!(free < 3, "a mailbox that nobody reads had room for {free} more");
    // Another one in its place has what was not told.
    bench.data.send(concern("svc1", Ear(sender, "svc1").start().recipient())).await.unwrap();
    assert_eq!(heard.recv().await, Some("svc1"));
}

#[actix::test]
async fn a_lock_has_one_holder() {
    let bench = bench().await;
    let node = NodeName::new("n1").unwrap();
    let claim = || ClaimLock { name: "join".to_owned(), requester: node.clone() };
    let id = bench.data.send(claim()).await.unwrap().expect("free");
    assert_eq!(bench.data.send(claim()).await.unwrap(), None);
    let release = |id: &str| ReleaseLock { name: "join".to_owned(), id: id.to_owned() };
    bench.data.send(release("other")).await.unwrap();
    assert_eq!(bench.data.send(claim()).await.unwrap(), None);
    bench.data.send(release(&id)).await.unwrap();
    assert!(bench.data.send(claim()).await.unwrap().is_some());
}
