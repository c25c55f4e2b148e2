use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use wire::Dialect;

use super::*;

use crate::beat::Beat;
use crate::note::Note;
use crate::testing::{
    Bench, PATIENCE, READ_BEFORE, SECRET, Told, deployed_full, frame, node, ping, ping_of,
};

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

fn is_beat(note: &Note) -> bool {
    matches!(note, Note::Beat { .. })
}

struct Sending {
    bench: Bench,
    beats: watch::Sender<Option<Arc<Beat>>>,
    _task: tokio::task::JoinHandle<String>,
}

impl Sending {
    /// n1 sends to n2 and n3, which listen there.
    fn to(n2: &TcpListener, n3: &TcpListener) -> Self {
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let keywords = format!(
            "type = unicast\naddr = 127.0.0.1\nport@n2 = {}\nport@n3 = {}\ntimeout = 60",
            port(n2),
            port(n3)
        );
        let bench = Bench::new(&keywords, "");
        let (beats, receiver) = watch::channel(None);
        let (section, notes) = (bench.section.clone(), bench.notes.clone());
        let outbox = Outbox { section, beats: receiver, notes };
        let _task = actix_rt::spawn(transmit(outbox));
        Self { bench, beats, _task }
    }

    fn send(&self, frame: &[u8], sealed: &[&NodeName]) {
        self.beats.send_replace(Some(Arc::new(Beat::of(frame, sealed))));
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

#[actix::test]
async fn to_a_deployed_agent_each_message_has_its_connection_which_is_closed() {
    let (n2, n3) = (listener().await, listener().await);
    let mut sending = Sending::to(&n2, &n3);
    for frame in [&b"one\0"[..], b"two\0"] {
        sending.send(frame, &[]);
        let (mut stream, _) = within("a connection", n2.accept()).await.unwrap();
        let mut bytes = vec![];
        within("its end", stream.read_to_end(&mut bytes)).await.unwrap();
        assert_eq!(bytes, frame);
        let noted = sending.bench.note(|note| *note == Note::Beat { peer: node("n2"), bytes: 4 });
        noted.await;
    }
}

#[actix::test]
async fn to_a_node_of_ours_the_connection_is_kept_and_made_again_when_it_broke() {
    let (n2, n3) = (listener().await, listener().await);
    let sending = Sending::to(&n2, &n3);
    let two = node("n2");
    sending.send(b"one\0", &[&two]);
    let (mut stream, _) = within("a connection", n2.accept()).await.unwrap();
    let mut bytes = [0; 4];
    within("the first", stream.read_exact(&mut bytes)).await.unwrap();
    sending.send(b"two\0", &[&two]);
    within("the second", stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"two\0");
    drop(stream);
    // Its end may be on its way when the next message leaves: the one after finds it.
    let accepted = async {
        loop {
            sending.send(b"new\0", &[&two]);
            let pause = Duration::from_millis(20);
            if let Ok(accepted) = tokio::time::timeout(pause, n2.accept()).await {
                return accepted.unwrap().0;
            }
        }
    };
    let mut stream = within("a new connection", accepted).await;
    within("a message", stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"new\0");
}

#[actix::test]
async fn a_peer_that_does_not_read_delays_nobody_and_gets_the_newest_message() {
    let (n2, n3) = (listener().await, listener().await);
    let mut sending = Sending::to(&n2, &n3);
    let (two, three) = (node("n2"), node("n3"));
    // More than the system takes for a connection that nobody reads.
    let large = vec![b'x'; 32 << 20];
    sending.send(&large, &[&two, &three]);
    let (_stuck, _) = within("the stuck one", n2.accept()).await.unwrap();
    let (mut stream, _) = within("the other", n3.accept()).await.unwrap();
    let mut bytes = vec![0; large.len()];
    within("all of it", stream.read_exact(&mut bytes)).await.unwrap();
    let peer = |note: &Note| matches!(note, Note::Beat { peer, .. } if *peer == node("n3"));
    sending.bench.note(peer).await;
    for round in 0..3_u8 {
        sending.send(&[round, 0], &[&two, &three]);
        let mut bytes = [0; 2];
        within("a beat", stream.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(bytes, [round, 0]);
    }
}

#[actix::test]
async fn who_cannot_be_reached_is_told_and_tried_again() {
    let (n2, n3) = (listener().await, listener().await);
    let mut sending = Sending::to(&n2, &n3);
    let address = n2.local_addr().unwrap();
    drop(n2);
    sending.send(b"one\0", &[]);
    let failed =
        |note: &Note| matches!(note, Note::Failed { peer: Some(peer), .. } if *peer == node("n2"));
    sending.bench.note(failed).await;
    let again = TcpListener::bind(address).await.unwrap();
    sending.send(b"two\0", &[]);
    within("a connection", again.accept()).await.unwrap();
}

struct Receiving {
    bench: Bench,
    port: u16,
    _task: tokio::task::JoinHandle<String>,
}

impl Receiving {
    async fn new(cluster: &str) -> Self {
        let mut bench = Bench::new("type = unicast\naddr = 127.0.0.1\nport = 0", cluster);
        let _task = actix_rt::spawn(receive(bench.inbox()));
        let Note::Config(config) = bench.note(|note| matches!(note, Note::Config(_))).await else {
            unreachable!("asked for");
        };
        let port = config.port.unwrap();
        Self { bench, port, _task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Sends bytes on a connection of their own, and waits until it is closed.
    async fn send(&self, bytes: &[u8]) {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        _ = within("the end of the connection", stream.read(&mut [0])).await;
    }
}

#[actix::test]
async fn both_dialects_are_heard_and_only_sealed_connections_are_kept() {
    let mut it = Receiving::new("envelope = any").await;
    it.send(&ping("n2", SECRET, Dialect::Classic)).await;
    assert_eq!(it.bench.told().await, Told::Heard(node("n2"), ping_of("n2")));
    let mut stream = it.connect().await;
    for _ in 0..3 {
        stream.write_all(&ping("n3", SECRET, Dialect::Sealed)).await.unwrap();
        assert_eq!(it.bench.told().await, Told::Heard(node("n3"), ping_of("n3")));
        it.bench.note(is_beat).await;
    }
    let two = [ping("n3", SECRET, Dialect::Sealed), ping("n3", SECRET, Dialect::Sealed)].concat();
    stream.write_all(&two).await.unwrap();
    for _ in 0..2 {
        assert_eq!(it.bench.told().await, Told::Heard(node("n3"), ping_of("n3")));
    }
}

#[actix::test]
async fn strangers_are_ignored_and_what_does_not_open_is_counted() {
    let mut it = Receiving::new("").await;
    it.send(&ping("n9", SECRET, Dialect::Sealed)).await;
    it.send(&ping("n1", SECRET, Dialect::Sealed)).await;
    it.send(b"\0").await;
    it.send(&ping("n2", "another secret of enough bytes", Dialect::Sealed)).await;
    assert_eq!(it.bench.told().await, Told::Invalid, "nothing before it was told");
    it.send(&ping("n2", SECRET, Dialect::Classic)).await;
    assert_eq!(it.bench.told().await, Told::Invalid, "a sealed cluster takes no classic beat");
    it.send(b"{\"half\": \0").await;
    assert_eq!(it.bench.told().await, Told::Invalid);
    let mut stream = it.connect().await;
    stream.write_all(&ping("n2", SECRET, Dialect::Sealed)).await.unwrap();
    assert_eq!(it.bench.told().await, Told::Heard(node("n2"), ping_of("n2")));
}

#[actix::test]
async fn a_message_that_comes_again_has_no_effect() {
    let mut it = Receiving::new("").await;
    let mut stream = it.connect().await;
    let first = ping("n2", SECRET, Dialect::Sealed);
    stream.write_all(&[&first[..], &first[..]].concat()).await.unwrap();
    stream.write_all(&ping("n3", SECRET, Dialect::Sealed)).await.unwrap();
    // What is first of two peers is saved in no order.
    let mut heard = vec![];
    for _ in 0..2 {
        match it.bench.told().await {
            Told::Heard(peer, _) => heard.push(peer),
            told => panic!("{told:?}"),
        }
    }
    heard.sort();
    assert_eq!(heard, [node("n2"), node("n3")]);
    stream.write_all(&ping("n2", SECRET, Dialect::Sealed)).await.unwrap();
    assert_eq!(it.bench.told().await, Told::Heard(node("n2"), ping_of("n2")));
    let mut beats = vec![];
    while beats.len() < 3 {
        if let Note::Beat { peer, .. } = it.bench.note(is_beat).await {
            beats.push(peer);
        }
    }
    beats.sort();
    assert_eq!(beats, [node("n2"), node("n2"), node("n3")]);
}

#[actix::test]
async fn a_deployed_agent_that_repeats_a_full_beats_if_it_is_there() {
    let mut it = Receiving::new("envelope = any").await;
    let (alive, dead) = (deployed_full("n3"), deployed_full("n2"));
    for (frame, peer) in [(&alive, "n3"), (&dead, "n2")] {
        it.send(frame).await;
        assert!(matches!(it.bench.told().await, Told::Heard(from, _) if from == node(peer)));
        it.bench.note(is_beat).await;
    }
    // Bytes that somebody may have recorded: the peer is asked, and nothing of them is taken in.
    it.send(&dead).await;
    assert_eq!(it.bench.told().await, Told::Asked(node("n2")));
    it.send(&alive).await;
    assert_eq!(it.bench.told().await, Told::Asked(node("n3")));
    let told = it.bench.note(|note| is_beat(note) || matches!(note, Note::Failed { .. })).await;
    assert!(
        matches!(&told, Note::Failed { reason, .. } if reason.contains("is not there")),
        "{told:?}"
    );
    let beat = Note::Beat { peer: node("n3"), bytes: alive.len() - 1 };
    assert_eq!(it.bench.note(is_beat).await, beat);
}

#[actix::test]
async fn a_stranger_sends_little_until_it_proved_itself() {
    let mut it = Receiving::new("").await;
    let noise = |length: usize| -> String {
        let mut state = 7_u64;
        let word = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:016x}", state ^ (state >> 31))
        };
        std::iter::repeat_with(word).take(length / 16).collect()
    };
    let large = serde_json::json!({
        "kind": "ping", "compat": 10, "gen": {"n2": 7}, "monitor": {"x": noise(400_000)}, "updated": 1.5
    });
    let frame = || frame("n2", SECRET, Dialect::Sealed, &large);
    assert!(frame().len() > STRANGER_FRAME);
    // Twice on new connections: nothing is heard of them.
    for _ in 0..2 {
        let mut stream = it.connect().await;
        _ = stream.write_all(&frame()).await;
        _ = within("its end", stream.read(&mut [0])).await;
    }
    let mut stream = it.connect().await;
    let both = [ping("n2", SECRET, Dialect::Sealed), frame()].concat();
    stream.write_all(&both).await.unwrap();
    assert_eq!(it.bench.told().await, Told::Heard(node("n2"), ping_of("n2")));
    assert!(matches!(it.bench.told().await, Told::Heard(from, _) if from == node("n2")));
    // The address is known now.
    let mut stream = it.connect().await;
    stream.write_all(&frame()).await.unwrap();
    assert!(matches!(it.bench.told().await, Told::Heard(from, _) if from == node("n2")));
}

#[actix::test]
async fn what_a_large_message_makes_of_the_data_of_a_peer_is_worked_out_before_the_cluster_data_gets_it()
 {
    let mut it = Receiving::new("").await;
    let services = |count: usize| {
        let status = |number| (format!("svc{number}"), serde_json::json!({"avail": "up"}));
        let status: serde_json::Map<_, _> = (0..count).map(status).collect();
        let message = serde_json::json!({
            "compat": 10, "gen": {"n2": 7}, "monitor": {}, "updated": 1.5,
            "services": {"status": status, "config": {}}
        });
        frame("n2", SECRET, Dialect::Sealed, &message)
    };
    let mut stream = it.connect().await;
    for count in [10, 5_000] {
        stream.write_all(&services(count)).await.unwrap();
        let Told::Heard(_, message) = it.bench.told().await else { panic!("heard") };
        assert_eq!(message[READ_BEFORE].is_null(), count == 10, "{count} services");
    }
}

#[actix::test]
async fn who_is_refused_elsewhere_is_heard_here() {
    let mut it = Receiving::new("").await;
    let view = it.bench.ties.blacklist.clone();
    let address = IpAddr::from([127, 0, 0, 1]);
    view.test_set(address, monitor::THRESHOLD);
    assert_eq!(view.verdict(address), Verdict::Refused);
    let mut stream = it.connect().await;
    stream.write_all(&ping("n2", SECRET, Dialect::Sealed)).await.unwrap();
    assert_eq!(it.bench.told().await, Told::Valid);
    assert_eq!(it.bench.told().await, Told::Heard(node("n2"), ping_of("n2")));
    assert_eq!(view.verdict(address), Verdict::Slowed, "and is known from now on");
}

#[actix::test]
async fn connections_that_say_nothing_do_not_keep_members_out() {
    let mut it = Receiving::new("").await;
    let mut member = it.connect().await;
    member.write_all(&ping("n2", SECRET, Dialect::Sealed)).await.unwrap();
    assert_eq!(it.bench.told().await, Told::Heard(node("n2"), ping_of("n2")));
    let mut silent = vec![];
    for _ in 0..200 {
        silent.push(it.connect().await);
    }
    _ = within("the oldest is closed", silent[0].read(&mut [0])).await;
    let mut other = it.connect().await;
    other.write_all(&ping("n3", SECRET, Dialect::Sealed)).await.unwrap();
    assert_eq!(it.bench.told().await, Told::Heard(node("n3"), ping_of("n3")));
    member.write_all(&ping("n2", SECRET, Dialect::Sealed)).await.unwrap();
    assert_eq!(it.bench.told().await, Told::Heard(node("n2"), ping_of("n2")));
}

#[actix::test]
async fn a_port_that_is_taken_is_told() {
    let taken = listener().await;
    let port = taken.local_addr().unwrap().port();
    let bench = Bench::new(&format!("type = unicast\naddr = 127.0.0.1\nport = {port}"), "");
    let reason = within("an answer", receive(bench.inbox())).await;
    let start = format!("cannot listen on 127.0.0.1, port {port}: the address is in use");
    assert!(reason.starts_with(&start), "{reason}");
}

#[test]
fn a_peer_has_a_few_connections_at_most() {
    let connections = Rc::new(Connections::default());
    assert_eq!(connections.len(), 0);
    assert_eq!((connections.next_id(), connections.next_id()), (0, 1));
}

#[actix::test]
async fn who_beats_goes_on_while_the_disk_hangs_and_who_comes_new_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("freshness.json");
    let freshness = Arc::new(link::freshness::Freshness::load(&file, Duration::from_secs(30)));
    let mut bench = Bench::new("type = unicast\ntimeout = 60", "");
    Arc::get_mut(&mut bench.ties).expect("nobody else has it").freshness = freshness.clone();
    let inbox = bench.inbox();
    let take = async |frame: Vec<u8>| {
        let frame = frame.strip_suffix(b"\0").unwrap().to_vec();
        within("taken", inbox.take(frame, Origin::Slot)).await
    };
    let heard = |peer: &str| Taken::Heard { peer: node(peer), is_sealed: true };
    let beat_of = |peer: &'static str| move |note: &Note| matches!(note, Note::Beat { peer: it, .. } if *it == node(peer));
    let slow = ping("n2", SECRET, Dialect::Sealed);
    let slower = ping("n3", SECRET, Dialect::Sealed);
    // Those that follow are faster, so that they have to be saved.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(take(slow).await, heard("n2"));
    assert_eq!(bench.told().await, Told::Heard(node("n2"), ping_of("n2")));
    bench.note(beat_of("n2")).await;
    let hanging = freshness.hold();
    for _ in 0..3 {
        assert_eq!(take(ping("n2", SECRET, Dialect::Sealed)).await, heard("n2"));
        bench.note(beat_of("n2")).await;
    }
    assert_eq!(take(slower).await, heard("n3"));
    while let Ok(note) = bench.noted.try_recv() {
        assert!(!beat_of("n3")(&note), "a restart would hear it again");
    }
    assert!(!matches!(bench.told.try_recv(), Ok(Told::Heard(..))), "nothing is saved");
    drop(hanging);
    bench.note(beat_of("n3")).await;
    let mut told = vec![];
    while told.len() < 4 {
        if let Told::Heard(peer, _) = bench.told().await {
            told.push(peer.to_string());
        }
    }
    told.sort();
    assert_eq!(told, ["n2", "n2", "n2", "n3"]);
}
