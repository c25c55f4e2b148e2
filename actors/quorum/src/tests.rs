use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use model::{NodeMonitorData, NodeMonitorStatus, Timestamp};
use tokio::sync::mpsc;

use super::*;

use cluster_data::ClusterData;
use dataset::changes::NodePublic;
use dataset::config::LoadedConfig;
use dataset::snapshot::{ClusterInfo, Snapshot};
use files::load::Load as _;
use machine::paths::Paths;

/// What the quorum asked of its neighbours.
#[derive(Debug, PartialEq)]
enum Told {
    Event(String, Value),
    Arbitrators(Value),
    Drained,
    Sysrq(char),
}

struct Neighbour(mpsc::UnboundedSender<Told>);

impl Actor for Neighbour {
    type Context = Context<Self>;
}

impl Handler<SetNode> for Neighbour {
    type Result = ();

    fn handle(&mut self, change: SetNode, _: &mut Context<Self>) {
        _ = self.0.send(Told::Arbitrators(json!(change.0.arbitrators)));
    }
}

impl Handler<Emit> for Neighbour {
    type Result = ();

    fn handle(&mut self, event: Emit, _: &mut Context<Self>) {
        _ = self.0.send(Told::Event(event.id.to_owned(), json!(event.facts)));
    }
}

impl Handler<Flush> for Neighbour {
    type Result = u64;

    fn handle(&mut self, _: Flush, _: &mut Context<Self>) -> u64 {
        0
    }
}

impl Handler<Drain> for Neighbour {
    type Result = MessageResult<Drain>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        _ = self.0.send(Told::Drained);
        MessageResult(vec![])
    }
}

/// A quorum of three nodes and an arbitrator, on n1.
struct Case {
    quorum: Addr<Quorum>,
    told: mpsc::UnboundedReceiver<Told>,
    asked: Arc<AtomicUsize>,
    /// What is left for after the boot.
    said: mpsc::UnboundedReceiver<String>,
}

struct Setup {
    nodes: &'static str,
    keywords: &'static str,
    is_frozen: bool,
    status: NodeMonitorStatus,
    arbitrator_answers: bool,
    sysrq_works: bool,
}

const USUAL: Setup = Setup {
    nodes: "n1 n2 n3",
    keywords: "",
    is_frozen: false,
    status: NodeMonitorStatus::Idle,
    arbitrator_answers: false,
    sysrq_works: true,
};

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn lost(peer: &str) -> PeerLost {
    PeerLost { peer: node(peer), was_shutting: false }
}

impl Case {
    async fn new(setup: &Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let text = format!(
            "[cluster]\nnodes = {}\nsecret = 0123456789abcdef0123456789abcdef\n\
             quorum = true\n[arbitrator#1]\nname = a1\nsecret = fedcba9876543210\n",
            setup.nodes
        );
        std::fs::write(paths.cluster_conf(), text).unwrap();
        std::fs::write(paths.node_conf(), setup.keywords).unwrap();
        let mut loaded = LoadedConfig::empty(&paths, node("n1"));
        loaded.reload_node(&paths, &std::collections::BTreeSet::new());
        assert_eq!(loaded.node.complaints, []);
        let cluster = ClusterInfo { nodes: loaded.node.nodes.clone(), ..ClusterInfo::default() };
        let public = NodePublic { cluster, ..NodePublic::default() };
        let snapshot: Snapshot = ClusterData::first(node("n1"), public, &loaded);
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let config = Arc::new(ArcSwap::from_pointee(loaded));
        let data = ClusterData::new(snapshot.clone(), config.clone()).start();
        let frozen = setup.is_frozen.then_some(Timestamp(1.0));
        let status = setup.status.clone();
        let monitor = Some(NodeMonitorData { status, ..NodeMonitorData::default() });
        data.send(SetNode(NodeFacts { frozen, monitor, ..NodeFacts::default() })).await.unwrap();
        data.send(Flush).await.unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        let sysrq_tell = tell.clone();
        let neighbour = Neighbour(tell).start();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let (say, said) = mpsc::unbounded_channel();
        let (answers, works) = (setup.arbitrator_answers, setup.sysrq_works);
        let tell = Neighbours {
            node: neighbour.clone().recipient(),
            emit: neighbour.clone().recipient(),
            flush: neighbour.clone().recipient(),
            drain: neighbour.recipient(),
            ask: Arc::new(move |arbitrator, _| {
                assert_eq!(arbitrator.host, "a1");
                counter.fetch_add(1, Ordering::Relaxed);
                Box::pin(std::future::ready(answers.then_some(Dialect::Sealed)))
            }),
            say: Arc::new(move |why| _ = say.send(why.to_owned())),
            sysrq: Arc::new(move |letter| {
                _ = sysrq_tell.send(Told::Sysrq(letter));
                if works { Ok(()) } else { Err(std::io::ErrorKind::PermissionDenied.into()) }
            }),
        };
        Self { quorum: Quorum::with(config, snapshot, tell).start(), told, asked, said }
    }

    async fn next(&mut self) -> Told {
        tokio::time::timeout(Duration::from_secs(10), self.told.recv()).await.unwrap().unwrap()
    }

    /// What is told once the arbitrator was asked for the first time.
    async fn skip_first_answer(&mut self, status: &str) {
        let id = format!("arbitrator_{status}");
        assert_eq!(self.next().await, Told::Event(id, json!({"arbitrator": "arbitrator#1"})));
        let block = json!({"arbitrator#1": {"name": "a1", "status": status}});
        assert_eq!(self.next().await, Told::Arbitrators(block));
    }
}

#[actix::test]
async fn a_node_alone_with_neither_peer_nor_arbitrator_crashes_itself() {
    let mut case = Case::new(&USUAL).await;
    case.skip_first_answer("down").await;
    // n3 was never heard: it has no vote, and the arbitrator cannot tip the balance, so that it is not waited for.
    case.quorum.do_send(lost("n2"));
    let ballot = json!({
        "reason": "split", "node_votes": 1, "arbitrator_votes": 0, "voting": 4, "pro_voters": 1,
    });
    assert_eq!(case.next().await, Told::Event("crash".to_owned(), ballot));
    assert_eq!(case.next().await, Told::Sysrq('c'));
    let said = "split action crash, the node is taken down: split, arbitrator_votes=0, node_votes=1, pro_voters=1, voting=4";
    assert_eq!(case.said.recv().await.as_deref(), Some(said));
}

#[actix::test]
async fn an_arbitrator_saves_the_segment_that_it_answers() {
    let mut case = Case::new(&Setup { nodes: "n1 n2", arbitrator_answers: true, ..USUAL }).await;
    case.skip_first_answer("up").await;
    case.quorum.do_send(lost("n2"));
    // Asked again for the verdict, and nothing follows.
    assert!(matches!(case.next().await, Told::Arbitrators(_)));
    assert_eq!(case.asked.load(Ordering::Relaxed), 2);
    case.quorum.send(Reconfigure).await.unwrap();
    assert!(matches!(case.next().await, Told::Arbitrators(_)));
}

#[actix::test]
async fn the_split_action_can_be_a_reboot_or_a_stop_of_the_instances() {
    let mut case = Case::new(&Setup { keywords: "[node]\nsplit_action = reboot\n", ..USUAL }).await;
    case.quorum.do_send(lost("n2"));
    while case.next().await != Told::Sysrq('b') {}

    let mut case = Case::new(&Setup { keywords: "[node]\nsplit_action = stop\n", ..USUAL }).await;
    case.quorum.do_send(lost("n2"));
    loop {
        match case.next().await {
            Told::Drained => break,
            Told::Sysrq(letter) => panic!("sysrq {letter}"),
            Told::Event(..) | Told::Arbitrators(_) => {}
        }
    }
}

#[actix::test]
async fn a_node_that_cannot_be_taken_down_stops_its_instances() {
    let mut case = Case::new(&Setup { sysrq_works: false, ..USUAL }).await;
    case.quorum.do_send(lost("n2"));
    while case.next().await != Told::Sysrq('c') {}
    assert_eq!(case.next().await, Told::Drained);
}

#[actix::test]
async fn nothing_is_judged_on_a_frozen_node_or_when_the_peer_said_goodbye() {
    let goodbye = PeerLost { was_shutting: true, ..lost("n2") };
    // Nor in the start of a node on which nothing runs.
    let starting = &Setup { status: NodeMonitorStatus::Rejoin, ..USUAL };
    let frozen = &Setup { is_frozen: true, ..USUAL };
    for (setup, loss) in [(frozen, lost("n2")), (starting, lost("n2")), (&USUAL, goodbye)] {
        let mut case = Case::new(setup).await;
        case.skip_first_answer("down").await;
        tokio::task::yield_now().await;
        case.quorum.send(loss.clone()).await.unwrap();
        case.quorum.send(Reconfigure).await.unwrap();
        // Asked again, because what was answered before the loss counts no more, and for the new configuration. Who said
        // goodbye is told too.
        let told = if loss.was_shutting { 3 } else { 2 };
        for _ in 0..told {
            assert!(matches!(case.next().await, Told::Arbitrators(_)));
        }
        assert_eq!(case.asked.load(Ordering::Relaxed), 3);
    }
}

#[actix::test]
async fn a_split_that_a_monitor_notices_late_is_lost_once() {
    let mut case = Case::new(&USUAL).await;
    case.skip_first_answer("down").await;
    case.quorum.do_send(Surrender);
    case.quorum.do_send(Surrender);
    let why = json!({"reason": "deposed"});
    assert_eq!(case.next().await, Told::Event("crash".to_owned(), why));
    assert_eq!(case.next().await, Told::Sysrq('c'));
    // It is still there, and stops what it runs; nothing was lost a second time.
    assert_eq!(case.next().await, Told::Drained);
    case.quorum.send(Reconfigure).await.unwrap();
    assert!(matches!(case.next().await, Told::Arbitrators(_)));
}
