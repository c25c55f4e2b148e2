//! What it costs that every node has the data of every node: the real writers of the data of many nodes, in one process,
//! under a network that loses nothing.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::cluster_data::ClusterData;
use ::dataset::changes::{NodeFacts, NodePublic};
use ::dataset::config::LoadedConfig;
use ::dataset::snapshot::{ClusterInfo, Snapshot, SnapshotCell};
use ::machine::paths::Paths;
use ::mail::cluster_data::{
    Flush, HeartbeatHeard, SetConfigEntries, SetInstance, SetNode, WatchOutgoing,
};
use actix::{Actor, Addr, System};
use arc_swap::ArcSwap;
use model::{
    ConfigEntry, Content, HeartbeatMessage, InstanceStatus, NodeMonitorData, NodeName, ObjectPath,
    Op, Status, Timestamp,
};
use ring::rand::SystemRandom;
use serde_json::{Map, Value, json};
use wire::{ClusterSecret, Dialect, Form, Kind, Prepared, Sender};

use crate::{Bound, Options, Row};
use files::load::Load as _;

/// Keyword `hb#n.interval`, its default.
const INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of a keep-alive of a deployed agent in a cluster of three, as recorded (heartbeats.json, `patch_empty`).
const DEPLOYED_KEEP_ALIVE: f64 = 217.0;
/// Bytes of a deployed agent's patch of one change, as recorded (heartbeats.json, `patch_stats`).
const DEPLOYED_PATCH: f64 = 281.0;
/// Changes that a deployed agent sends in a second: it gathers them for half of one.
const DEPLOYED_RATE: f64 = 2.0;

struct BenchNode {
    name: NodeName,
    cell: SnapshotCell,
    data: Addr<ClusterData>,
    /// Bytes sent to all peers.
    bytes: Rc<Cell<u64>>,
}

fn path(name: &str) -> ObjectPath {
    ObjectPath::parse(name).expect("a path")
}

fn instance(updated: f64) -> InstanceStatus {
    InstanceStatus {
        updated: Timestamp(updated),
        topology: Some("failover".to_owned()),
        avail: Some(Status::Up),
        overall: Some(Status::Up),
        frozen: Some(Timestamp::NEVER),
        ..InstanceStatus::default()
    }
}

/// Node data with services of a few resources, as a peer sends them.
pub(crate) fn services(count: usize) -> Map<String, Value> {
    let (mut status, mut config) = (Map::new(), Map::new());
    for number in 0..count {
        let resource = |name: &str| {
            json!({"status": "up", "type": "fs.flag", "label": name, "log": ["info: all is well"],
                "provisioned": {"state": true, "mtime": 1_795_364_109.319_881}})
        };
        let groups = ["ip", "app", "fs", "disk", "sync", "task", "volume", "share", "container"];
        let groups: Map<String, Value> =
            groups.iter().map(|group| ((*group).to_owned(), json!("up"))).collect();
        status.insert(
            format!("svc{number}"),
            json!({"updated": 1_795_364_122.5, "kind": "svc", "app": "default", "env": "TST",
                "placement": "nodes order", "topology": "failover", "frozen": 0, "subsets": {},
                "avail": "up", "overall": "up", "optional": "n/a", "orchestrate": "ha",
                "provisioned": true, "csum": "d0798cd6b91f3b2d9d61ee1979e4e7ec",
                "status_group": groups,
                "resources": {"fs#1": resource("one"), "fs#2": resource("two"), "app#1": resource("app")},
                "monitor": {"status": "idle", "status_updated": 1_795_364_122.5, "placement": "leader",
                    "local_expect": "started", "local_expect_updated": 1_795_364_122.5}}),
        );
        config.insert(
            format!("svc{number}"),
            json!({"updated": 1_795_364_107.7, "csum": "9a5805f8bac95e0aa3416af92d1f7971",
                "scope": ["n0", "n1"]}),
        );
    }
    let head = json!({"compat": 10, "monitor": {"status": "idle"}, "frozen": 0, "updated": 1.0,
        "services": {"status": status, "config": config}});
    match head {
        Value::Object(head) => head,
        _ => Map::new(),
    }
}

async fn start(count: usize, folder: &std::path::Path) -> Vec<BenchNode> {
    let names: Vec<NodeName> =
        (0..count).map(|number| NodeName::new(&format!("n{number}")).expect("a name")).collect();
    let paths = Paths::under(folder);
    paths.create().expect("folders");
    let mut nodes = Vec::new();
    for name in &names {
        let config = LoadedConfig::empty(&paths, name.clone());
        let cell: SnapshotCell = Arc::new(ArcSwap::from_pointee(Snapshot::empty(name.clone())));
        let data = ClusterData::new(cell.clone(), Arc::new(ArcSwap::from_pointee(config))).start();
        let cluster = ClusterInfo { id: "i".into(), name: "c".into(), nodes: names.clone() };
        let settings = Some(NodePublic { cluster, env: "TST".into(), ..NodePublic::default() });
        let monitor = Some(NodeMonitorData::default());
        data.do_send(SetNode(NodeFacts { monitor, settings, ..NodeFacts::default() }));
        let entry =
            ConfigEntry { updated: Timestamp(1.0), csum: "x".into(), scope: vec![name.clone()] };
        data.do_send(SetConfigEntries(vec![(path("svc1"), Some(entry))]));
        let status = Box::new(instance(1.0));
        data.do_send(SetInstance { path: path("svc1"), status });
        data.send(Flush).await.expect("it runs");
        nodes.push(BenchNode { name: name.clone(), cell, data, bytes: Rc::default() });
    }
    for node in &nodes {
        let peers = nodes.iter().filter(|peer| peer.name != node.name);
        let peers: Vec<Addr<ClusterData>> = peers.map(|peer| peer.data.clone()).collect();
        actix::spawn(transmit(node.name.clone(), node.data.clone(), peers, node.bytes.clone()));
    }
    nodes
}

/// Sends as a tx does: at once when the watch says so, else after the interval.
async fn transmit(
    from: NodeName,
    data: Addr<ClusterData>,
    peers: Vec<Addr<ClusterData>>,
    bytes: Rc<Cell<u64>>,
) {
    let secret = ClusterSecret::new("0123456789abcdef0123456789abcdef");
    let sender = Sender::new("demo", from.as_str(), secret);
    let random = SystemRandom::new();
    let mut watch = data.send(WatchOutgoing).await.expect("it runs");
    loop {
        let outgoing = watch.borrow_and_update().clone();
        if let Some(body) = outgoing.message(::machine::clock::now()) {
            let form = Form::heartbeat(
                Dialect::Sealed,
                Kind::Heartbeat,
                ::machine::clock::stamp(),
                &random,
            );
            let frame = sender.seal(&form, &body, &random).expect("a usable secret");
            bytes.set(bytes.get() + (frame.len() * peers.len()) as u64);
            let message = parse(&body);
            for peer in &peers {
                peer.do_send(HeartbeatHeard::new(from.clone(), message.clone()));
            }
        }
        let changed = tokio::time::timeout(INTERVAL, watch.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            return;
        }
    }
}

fn parse(body: &Prepared) -> HeartbeatMessage {
    let value = serde_json::from_slice(&body.json()).expect("it was written here");
    HeartbeatMessage::from_value(value).expect("it is a message")
}

/// When the instance was evaluated that a node knows of another.
fn known(at: &BenchNode, of: &NodeName) -> Option<f64> {
    at.cell.load().instance(of, &path("svc1")).map(|status| status.updated.0)
}

async fn wait_all(nodes: &[BenchNode], of: &NodeName, updated: f64) {
    while nodes.iter().any(|node| known(node, of) != Some(updated)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn sent(nodes: &[BenchNode]) -> Vec<f64> {
    nodes.iter().map(|node| node.bytes.get() as f64).collect()
}

/// Bytes per second that the first node, and the others on average, send during a time.
fn rates(before: &[f64], after: &[f64], time: Duration) -> (f64, f64) {
    let each: Vec<f64> = before
        .iter()
        .zip(after)
        .map(|(before, after)| (after - before) / time.as_secs_f64())
        .collect();
    let others = each[1..].iter().sum::<f64>() / (each.len() - 1) as f64;
    (each[0], others)
}

/// In how many milliseconds a change on the first node was known to all, sorted.
async fn delays(nodes: &[BenchNode], first: &NodeName) -> Vec<f64> {
    let mut delays = Vec::new();
    for round in 0..11 {
        let updated = 100.0 + f64::from(round);
        let begin = Instant::now();
        nodes[0]
            .data
            .do_send(SetInstance { path: path("svc1"), status: Box::new(instance(updated)) });
        wait_all(nodes, first, updated).await;
        delays.push(begin.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    delays.sort_by(f64::total_cmp);
    delays
}

async fn measure_cluster(count: usize, time: Duration) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = start(count, folder.path()).await;
    for node in &nodes {
        wait_all(&nodes, &node.name, 1.0).await;
    }
    // Acknowledgements of the start are through after an interval.
    tokio::time::sleep(INTERVAL + Duration::from_secs(1)).await;
    let first = nodes[0].name.clone();
    let delays = delays(&nodes, &first).await;
    let row = |name: String, value: f64, unit, target, note: String| Row {
        name,
        value,
        unit,
        target,
        note,
    };
    let mut rows = vec![row(
        format!("a change on 1 of {count} nodes is known to all"),
        delays[delays.len() / 2],
        "ms",
        Some((INTERVAL.as_secs_f64() * 1e3 + 100.0, Bound::AtMost)),
        format!("median; worst {:.1}", delays[delays.len() - 1]),
    )];
    tokio::time::sleep(INTERVAL + Duration::from_secs(1)).await;
    let before = sent(&nodes);
    tokio::time::sleep(time).await;
    let (one, others) = rates(&before, &sent(&nodes), time);
    let peers = (count - 1) as f64;
    rows.push(row(
        format!("sent by each of {count} nodes, idle"),
        (one + others * peers) / count as f64,
        "B/s",
        None,
        format!(
            "deployed, as recorded: {:.0}",
            DEPLOYED_KEEP_ALIVE * peers / INTERVAL.as_secs_f64()
        ),
    ));
    let before = sent(&nodes);
    let begin = Instant::now();
    for round in 0.. {
        let updated = 1_000.0 + f64::from(round);
        nodes[0]
            .data
            .do_send(SetInstance { path: path("svc1"), status: Box::new(instance(updated)) });
        tokio::time::sleep_until((begin + Duration::from_millis(100) * (round + 1)).into()).await;
        if begin.elapsed() >= time {
            wait_all(&nodes, &first, updated).await;
            break;
        }
    }
    let (one, others) = rates(&before, &sent(&nodes), begin.elapsed());
    let deployed = DEPLOYED_PATCH * DEPLOYED_RATE * peers;
    rows.push(row(
        format!("sent by 1 of {count} nodes with 10 changes per second"),
        one,
        "B/s",
        None,
        format!(
            "deployed, {DEPLOYED_RATE} patches per second of one change: {deployed:.0} and more"
        ),
    ));
    rows.push(row(
        format!("sent by each of the {} others", count - 1),
        others,
        "B/s",
        None,
        String::new(),
    ));
    rows
}

/// How long a full and a patch of a large peer take.
async fn measure_merge() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = start(2, folder.path()).await;
    let (data, peer) = (&nodes[0].data, NodeName::new("n1").expect("a name"));
    let hear = async |generation: u64, content: Content| {
        let updated = Timestamp(3e9 + generation as f64);
        // Above all that the real one counts.
        let r#gen = [(peer.clone(), (1 << 50) + generation)].into();
        let message = HeartbeatMessage { r#gen, updated, content };
        let begin = Instant::now();
        data.send(HeartbeatHeard::new(peer.clone(), message)).await.expect("it runs");
        data.send(Flush).await.expect("it runs");
        begin.elapsed().as_secs_f64() * 1e3
    };
    let mut full = Vec::new();
    for round in 0..5 {
        full.push(hear(round * 2, Content::Full { data: services(1_000) }).await);
        hear(round * 2 + 1, Content::Full { data: services(0) }).await;
    }
    hear(20, Content::Full { data: services(1_000) }).await;
    let mut patch = Vec::new();
    for round in 0..21_u64 {
        let generation = 21 + round;
        let text = |text: &str| text.into();
        let at = ["services", "status", "svc500", "monitor", "status_updated"];
        let op = Op { path: at.map(text).into(), value: Some((generation as f64).into()) };
        let deltas = [((1 << 50) + generation, vec![op])].into();
        patch.push(hear(generation, Content::Patch { deltas }).await);
    }
    full.sort_by(f64::total_cmp);
    patch.sort_by(f64::total_cmp);
    [
        ("a full of 1,000 services is merged", full, 20.0),
        ("a patch of one change is merged", patch, 1.0),
    ]
    .into_iter()
    .map(|(name, times, target)| Row {
        name: name.into(),
        value: times[times.len() / 2],
        unit: "ms",
        target: Some((target, Bound::AtMost)),
        note: "median, aggregates and publication included".into(),
    })
    .collect()
}

/// The exchange of node data.
pub(crate) fn measure(options: &Options) -> Vec<Row> {
    println!("Exchange\n");
    let time = Duration::from_secs(if options.quick { 10 } else { 30 });
    let mut rows = Vec::new();
    let system = System::new();
    let mut add = |new: Vec<Row>| {
        new.iter().for_each(Row::print);
        rows.extend(new);
    };
    for count in [2, 4, 32] {
        add(system.block_on(measure_cluster(count, time)));
    }
    println!();
    rows
}

/// What a node hears from a peer with many services.
pub(crate) fn measure_merges(_: &Options) -> Vec<Row> {
    println!("Merge\n");
    let rows = System::new().block_on(measure_merge());
    rows.iter().for_each(Row::print);
    println!();
    rows
}
