//! Peers that listen on a port of the loopback.

use link::heavy::Purse;
use mail::peers::ask;
use ring::rand::SystemRandom;
use std::sync::atomic::{AtomicUsize, Ordering};
use wire::ClusterSecret;
use wire::Dialect;
use wire::Framing;
use wire::Incoming;
use wire::Limits;
use wire::Prepared;
use wire::Sender;

use arc_swap::ArcSwap;
use conf::NodeSettings;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use wire::{Envelope, Keyring};

use super::*;
use tokio::io::AsyncWriteExt as _;

use dataset::config::LoadedConfig;
use dataset::snapshot::Snapshot;
use files::load::Load as _;
use link::gate::Gate;
use link::heavy;
use link::heavy::Room;
use link::peer::{Names, Stranger, ask_stranger};
use machine::clock;
use machine::paths::Paths;

const SECRET: &str = "81ec81d6e68c11f1ae3f02fc00000001";
const PATIENCE: Duration = Duration::from_secs(5);

/// What a peer does with a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Answers every frame, as our nodes do in the sealed dialect.
    Stays,
    /// Answers the first frame and closes.
    Closes,
    /// Reads, and never answers.
    Silent,
    /// Answers what is short on the wire and needs gigabytes when it is read.
    Bombs,
    /// Answers what inflates to far more than anybody answers.
    Inflates,
    /// Answers the whole log of an object.
    Logs,
}

struct Peer {
    port: u16,
    connections: Arc<AtomicUsize>,
}

fn own(nodename: &str) -> Sender {
    Sender::new("c1", nodename, ClusterSecret::new(SECRET))
}

async fn peer(envelope: Envelope, manner: Manner) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    actix_rt::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            actix_rt::spawn(serve(stream, envelope, manner));
        }
    });
    Peer { port, connections }
}

async fn serve(mut stream: TcpStream, envelope: Envelope, manner: Manner) {
    let limits = Limits::default();
    let keyring = Keyring {
        own: own("n2"),
        accepted: Default::default(),
        envelope,
        drpnodes: BTreeMap::new(),
        limits,
    };
    let mut framing = Framing::new(&limits);
    let mut buffer = [0; 4096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        framing.push(&buffer[..read]).unwrap();
        while let Some(Incoming::Frame(bytes)) = framing.next_frame() {
            let Ok(opened) = keyring.open(&bytes) else { return };
            if manner == Manner::Silent {
                continue;
            }
            let random = SystemRandom::new();
            let asked: Value = opened.read().unwrap();
            let reply = match (manner, keyring.check_recipient(&opened)) {
                (_, Err(refusal)) => Prepared::new(&refusal.to_reply().unwrap()),
                (Manner::Bombs, _) => Prepared::from_json(bomb()),
                (Manner::Inflates, _) => {
                    Prepared::from_json(format!("\"{}\"", "a".repeat(64 << 20)).into())
                }
                (Manner::Logs, _) => Prepared::from_json(log()),
                _ => Prepared::new(&json!({"status": 0, "data": asked, "by": opened.nodename()})),
            };
            let now = clock::stamp();
            let frame = keyring.seal_reply(&opened.reply_to(), &reply, now, &random).unwrap();
            stream.write_all(&frame).await.unwrap();
            if manner == Manner::Closes {
                return;
            }
        }
    }
}

/// Tests that fill the memory of large replies, which all of this process share, do so one after the other.
static MEMORY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The entries of a long log.
fn log() -> Vec<u8> {
    let entry = r#"{"t":1795364107.123,"l":"info","m":{"n":"n1","o":"svc1"},"x":"x"},"#;
    format!("[{}0]", entry.repeat(70_000)).into_bytes()
}

fn bomb() -> Vec<u8> {
    format!("{{\"status\": 0, \"data\": [{}0]}}", "{\"\":0},".repeat(1 << 20)).into_bytes()
}

fn peers(envelope: &str, port: u16) -> Addr<Peers> {
    let cluster = format!(
        "[cluster]\nname = c1\nsecret = {SECRET}\nnodes = n1 n2\nenvelope = {envelope}\n\
         [listener]\naddr@n2 = 127.0.0.1\nport@n2 = {port}\n"
    );
    let nodename = NodeName::new("n1").unwrap();
    let node = NodeSettings::parse(nodename.clone(), &cluster, "").unwrap();
    let gate = Gate::new(&node);
    let mut config = LoadedConfig::empty(&Paths::under("/nowhere".as_ref()), nodename.clone());
    config.node = Arc::new(node);
    let peers = Peers::with(
        Arc::new(ArcSwap::from_pointee(config)),
        Arc::new(ArcSwap::from_pointee(gate)),
        Arc::new(ArcSwap::from_pointee(Snapshot::empty(nodename))),
        Arc::new(Freshness::new(Duration::from_secs(30))),
    );
    peers.start()
}

fn question(method: &str) -> Value {
    json!({"action": "daemon_blacklist_status", "method": method})
}

async fn ask_n2(peers: &Addr<Peers>, method: &str, patience: Duration) -> Result<Value, PeerError> {
    let ask = AskPeer::new(NodeName::new("n2").unwrap(), &question(method), patience);
    peers.send(ask).await.unwrap()
}

fn answered(method: &str) -> Value {
    json!({"status": 0, "data": question(method), "by": "n1"})
}

#[actix::test]
async fn a_sealed_connection_is_kept_for_what_may_be_asked_twice() {
    let peer = peer(Envelope::Sealed, Manner::Stays).await;
    let peers = peers("sealed", peer.port);
    for _ in 0..3 {
        assert_eq!(ask_n2(&peers, "GET", PATIENCE).await.unwrap(), answered("GET"));
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
    assert_eq!(ask_n2(&peers, "POST", PATIENCE).await.unwrap(), answered("POST"));
    assert_eq!(peer.connections.load(Ordering::SeqCst), 2);
}

#[actix::test]
async fn a_classic_peer_gets_a_connection_per_request() {
    let peer = peer(Envelope::Classic, Manner::Closes).await;
    let peers = peers("classic", peer.port);
    for _ in 0..2 {
        assert_eq!(ask_n2(&peers, "GET", PATIENCE).await.unwrap(), answered("GET"));
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 2);
}

#[actix::test]
async fn a_kept_connection_that_the_peer_ended_is_replaced() {
    let peer = peer(Envelope::Sealed, Manner::Closes).await;
    let peers = peers("sealed", peer.port);
    for _ in 0..3 {
        assert_eq!(ask_n2(&peers, "GET", PATIENCE).await.unwrap(), answered("GET"));
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 3);
}

#[actix::test]
async fn a_peer_that_says_nothing_is_left_in_time_and_delays_nobody() {
    let peer = peer(Envelope::Sealed, Manner::Silent).await;
    let peers = peers("sealed", peer.port);
    let start = Instant::now();
    let patience = Duration::from_millis(100);
    let asked = (0..50).map(|_| ask_n2(&peers, "GET", patience));
    for answer in futures_util::future::join_all(asked).await {
        assert!(matches!(answer, Err(PeerError::Late(_))), "{answer:?}");
    }
    assert!(start.elapsed() < patience * 20, "{:?}", start.elapsed());
}

#[actix::test]
async fn failures_are_replies_with_what_clients_know() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let refused = ask_n2(&peers("sealed", port), "GET", PATIENCE).await.unwrap_err();
    assert_eq!(
        refused.to_reply(),
        json!({"status": 1, "error": "[Errno 111] Connection refused", "errno": 111, "retryable": false})
    );
    // Another dialect does not open: the connection is closed.
    let peer = peer(Envelope::Sealed, Manner::Stays).await;
    let closed = ask_n2(&peers("classic", peer.port), "GET", PATIENCE).await.unwrap_err();
    assert!(matches!(closed, PeerError::Closed), "{closed:?}");
    let late = PeerError::Late(PATIENCE).to_reply();
    assert_eq!(late, json!({"status": 1, "error": "timeout daemon request", "retryable": true}));
}

#[actix::test]
async fn a_stranger_is_asked_as_who_joins() {
    let peer = peer(Envelope::Any, Manner::Stays).await;
    let stranger = Stranger {
        address: PeerAddress { host: "127.0.0.1".into(), port: peer.port },
        nodename: NodeName::new("n1").unwrap(),
        secret: ClusterSecret::new(SECRET),
        limits: Limits::default(),
        names: Names::default(),
    };
    let request = Arc::new(Prepared::new(&question("GET")));
    for dialect in [Dialect::Sealed, Dialect::Classic] {
        let asked = ask_stranger(&stranger, dialect, &request, PATIENCE, Room::VOTE);
        let (reply, _): (Value, _) = asked.await.unwrap();
        assert_eq!(reply, answered("GET"), "{dialect}");
    }
    // Its name was asked for over the same connection, and is remembered.
    assert_eq!(peer.connections.load(Ordering::SeqCst), 2);
    for known in ["n2", "another", ""] {
        stranger.names.set(&stranger.address, known);
        let asked = ask_stranger(&stranger, Dialect::Sealed, &request, PATIENCE, Room::VOTE);
        let (reply, _): (Value, _) = asked.await.unwrap();
        assert_eq!(reply, answered("GET"));
    }
    assert_eq!(stranger.names.get(&stranger.address), "n2".into());
    let wrong = Stranger { secret: ClusterSecret::new(&"x".repeat(32)), ..stranger };
    let asked = ask_stranger(&wrong, Dialect::Sealed, &request, PATIENCE, Room::VOTE);
    let closed = asked.await.map(|_: (Value, _)| ()).unwrap_err();
    assert!(matches!(closed, PeerError::Closed), "{closed:?}");
}

#[actix::test]
async fn what_a_peer_replies_is_read_within_a_budget_and_the_next_one_is_read_again() {
    let _memory = MEMORY.lock().await;
    for manner in [Manner::Bombs, Manner::Inflates] {
        for envelope in ["sealed", "any"] {
            let peer = peer(Envelope::Any, manner).await;
            let peers = peers(envelope, peer.port);
            for _ in 0..2 {
                let refused = ask_n2(&peers, "GET", Duration::from_secs(60)).await.unwrap_err();
                assert!(matches!(refused, PeerError::TooLong), "{refused:?}");
            }
        }
    }
}

#[actix::test]
async fn whole_logs_of_several_peers_fit_into_one_reply_and_what_waits_keeps_nobody_waiting() {
    let _memory = MEMORY.lock().await;
    let peer = peer(Envelope::Sealed, Manner::Logs).await;
    let purse = Purse::default();
    // Each is a peer of its own to whoever asks.
    let all: Vec<mail::peers::ToPeers> =
        (0..3).map(|_| (&peers("sealed", peer.port)).into()).collect();
    let asked = all.iter().map(|peers| {
        let request = question("GET");
        let asked = AskPeer::new(NodeName::new("n2").unwrap(), &request, Duration::from_secs(60));
        ask(peers, AskText(AskPeer { purse: purse.clone(), ..asked }))
    });
    let begin = Instant::now();
    let parts = futures_util::future::join_all(asked).await;
    for part in &parts {
        let part = part.as_ref().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((part.status(), part.body().len()), (0, log().len()));
        assert!(part.body().size_bytes() < 1 << 20, "it is kept as it is sent on");
    }
    let held = begin.elapsed();
    let everything = heavy::hold(heavy::MOST).await;
    assert!(everything.is_some(), "the purse keeps nobody waiting, {held:?}");
    // As values they would take more than a request may.
    let ask = AskPeer::new(NodeName::new("n2").unwrap(), &question("GET"), PATIENCE);
    drop((everything, purse));
    let refused = all[0].send(ask).await.unwrap().unwrap_err();
    assert!(matches!(refused, PeerError::TooLong), "{refused:?}");
}

#[actix::test]
async fn one_large_reply_of_a_peer_is_read_at_a_time() {
    let _memory = MEMORY.lock().await;
    let turns = Lane::Peer(Arc::new(Semaphore::new(1)));
    let first = turns.enter(None).await.unwrap();
    let next = || tokio::time::timeout(Duration::from_millis(50), turns.enter(None));
    assert!(next().await.is_err(), "the first one is still read");
    // What makes it larger waits for nobody of its own peer.
    let first = turns.enter(Some(first)).await.unwrap();
    assert!(next().await.is_err() && first.room == Room::LARGE);
    let held = tokio::time::timeout(Duration::from_millis(50), heavy::hold(1 << 20)).await;
    assert!(held.is_err(), "all that is worked on is in its hand, from its first byte to the last");
    drop(first);
    assert!(next().await.is_ok());
    assert!(matches!(Lane::Free.enter(None).await, Err(PeerError::TooLong)));
}

#[actix::test]
async fn a_vote_and_a_slot_are_small_whatever_is_answered() {
    let _memory = MEMORY.lock().await;
    for manner in [Manner::Bombs, Manner::Inflates] {
        let peer = peer(Envelope::Any, manner).await;
        let stranger = Stranger {
            address: PeerAddress { host: "127.0.0.1".into(), port: peer.port },
            nodename: NodeName::new("n1").unwrap(),
            secret: ClusterSecret::new(SECRET),
            limits: Limits::default(),
            names: Names::default(),
        };
        let request = Arc::new(Prepared::new(&question("GET")));
        for (dialect, room) in [(Dialect::Sealed, Room::VOTE), (Dialect::Classic, Room::SLOT)] {
            let patience = Duration::from_secs(60);
            let asked = ask_stranger(&stranger, dialect, &request, patience, room).await;
            let refused = asked.map(|_: (Value, _)| ()).unwrap_err();
            assert!(matches!(refused, PeerError::TooLong), "{refused:?}");
        }
    }
}
