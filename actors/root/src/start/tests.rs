//! A whole daemon in the test's process, asked over real sockets.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

use ring::rand::SystemRandom;
use serde_json::{Value, json};
use wire::{ClusterSecret, Dialect, Form, Prepared, Sender};

use super::*;

use mail::root::{StopSession, StopThread, ThreadReport};
use model::Alert;

const SECRET: &str = "81ec81d6e68c11f1ae3f02fc00000001";
const PATIENCE: Duration = Duration::from_secs(10);

struct Fixture {
    mail: Mail,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(cluster: &str, listener: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Arc::new(Paths::under(folder.path()));
        paths.create().unwrap();
        let text = format!("[cluster]\nname = demo\nsecret = {SECRET}\nnodes = n1\n{cluster}\n");
        std::fs::write(paths.cluster_conf(), text).unwrap();
        let text = format!("[listener]\naddr = 127.0.0.1\nport = 0\n{listener}\n");
        std::fs::write(paths.node_conf(), text).unwrap();
        let mail = start(paths, NodeName::new("n1").unwrap()).await.unwrap();
        let it = Self { mail, folder };
        it.until("the listener listens", |it| it.block("listener")["config"]["port"].is_u64())
            .await;
        it
    }

    fn block(&self, id: &str) -> Value {
        self.mail
            .snapshot
            .load()
            .threads()
            .get(id)
            .map(|block| serde_json::to_value(&**block).unwrap())
            .unwrap_or_default()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < PATIENCE, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn address(&self) -> SocketAddr {
        let port = self.block("listener")["config"]["port"].as_u64().expect("it listens");
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), u16::try_from(port).unwrap())
    }

    /// Runs what blocks outside of the arbiter.
    async fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce(SocketAddr) -> T + Send + 'static,
    ) -> T {
        let address = self.address();
        machine::blocking::run(move || work(address)).await.unwrap()
    }
}

fn sender(clustername: &str, nodename: &str, secret: &str) -> Sender {
    Sender::new(clustername, nodename, ClusterSecret::new(secret))
}

fn member() -> Sender {
    sender("demo", "n1", SECRET)
}

/// A request, sealed, and the form to open its reply with.
fn sealed(sender: &Sender, dialect: Dialect, action: &str) -> (Vec<u8>, Form) {
    let random = SystemRandom::new();
    let form = Form::request(dialect, "n1", clock::stamp(), &random);
    let body = Prepared::new(&json!({"action": action, "options": {}}));
    (sender.seal(&form, &body, &random).unwrap(), form)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One frame without its NUL; empty when the peer closes before.
fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let (mut frame, mut byte) = (vec![], [0]);
    while stream.read(&mut byte).unwrap_or(0) == 1 && byte[0] != 0 {
        frame.push(byte[0]);
    }
    frame
}

/// Whether the peer closed.
fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0)) || matches!(stream.take_error(), Ok(Some(_)))
}

/// Sends one request and reads its reply; null when the connection is closed without.
fn ask(address: SocketAddr, sender: &Sender, dialect: Dialect, action: &str) -> Value {
    let mut stream = connect(address);
    let (bytes, form) = sealed(sender, dialect, action);
    stream.write_all(&bytes).unwrap();
    let frame = read_frame(&mut stream);
    if frame.is_empty() {
        return Value::Null;
    }
    let sender = Sender { clustername: "demo".into(), ..sender.clone() };
    sender.open_reply(&frame, &form, &wire::Limits::default()).unwrap().read().unwrap()
}

#[actix::test]
async fn both_dialects_are_answered_and_only_sealed_connections_stay_open() {
    let it = Fixture::new("envelope = any", "").await;
    it.outside(|address| {
        for dialect in [Dialect::Classic, Dialect::Sealed] {
            let mut stream = connect(address);
            for round in 0..3 {
                let (bytes, form) = sealed(&member(), dialect, "daemon_blacklist_status");
                if stream.write_all(&bytes).is_err() || (dialect == Dialect::Classic && round > 0) {
                    assert!(is_closed(&mut stream), "one request per classic connection");
                    break;
                }
                let frame = read_frame(&mut stream);
                let reply = member().open_reply(&frame, &form, &wire::Limits::default()).unwrap();
                assert_eq!(reply.read::<Value>().unwrap(), json!({"status": 0, "data": {}}));
            }
        }
    })
    .await;
}

#[actix::test]
async fn the_sixth_invalid_message_in_a_row_is_not_even_opened() {
    let it = Fixture::new("envelope = any", "").await;
    let local: IpAddr = Ipv4Addr::LOCALHOST.into();
    let view = it.mail.blacklist.view.clone();
    let stranger = || sender("demo", "n1", "0123456789abcdef0123456789abcdef");
    let seen = view.clone();
    it.outside(move |address| {
        for count in 1..=4 {
            assert_eq!(ask(address, &stranger(), Dialect::Sealed, "daemon_status"), Value::Null);
            assert_eq!(seen.count(local), count, "counted before the connection is closed");
        }
        assert_eq!(
            ask(address, &member(), Dialect::Classic, "daemon_blacklist_status")["status"],
            0
        );
        assert_eq!(seen.count(local), 0, "one that opens forgets");
        for count in 1..=5 {
            assert_eq!(ask(address, &stranger(), Dialect::Classic, "daemon_status"), Value::Null);
            assert_eq!(seen.count(local), count);
        }
        let mut stream = connect(address);
        assert!(is_closed(&mut stream), "closed at once, whatever it would have said");
    })
    .await;
    assert_eq!(view.entries(), [("127.0.0.1".to_owned(), 5)].into());
    it.mail.blacklist.keeper.send(mail::blacklist::Clear).await.unwrap();
    it.outside(|address| {
        assert_eq!(
            ask(address, &member(), Dialect::Sealed, "daemon_blacklist_status")["status"],
            0
        );
    })
    .await;
}

#[actix::test]
async fn strangers_drp_nodes_and_join_get_what_is_theirs() {
    let it = Fixture::new("envelope = any\ndrpnodes = d1", "").await;
    it.outside(|address| {
        let error = |sender: &Sender, action| {
            ask(address, sender, Dialect::Sealed, action)["error"].as_str().map(ToOwned::to_owned)
        };
        let text = |text: &str| Some(text.to_owned());
        let stranger = sender("demo", "n9", SECRET);
        assert_eq!(error(&stranger, "daemon_status"), text("node n9 is not a cluster demo node"));
        let joiner = sender("join", "n9", SECRET);
        assert_eq!(error(&joiner, "daemon_status"), text("node n9 is not a cluster join node"));
        assert_eq!(ask(address, &joiner, Dialect::Sealed, "daemon_blacklist_status")["status"], 0);
        let drpnode = sender("demo", "d1", SECRET);
        assert_eq!(error(&drpnode, "daemon_status"), text("drp node d1 is not allowed to request"));
        assert_eq!(ask(address, &member(), Dialect::Sealed, "nonsense")["status"], 501);
    })
    .await;
    assert_eq!(it.mail.blacklist.view.entries(), [].into(), "none of them counts");
}

#[actix::test]
async fn a_replayed_or_late_message_is_refused_and_not_counted() {
    let it = Fixture::new("", "").await;
    it.outside(|address| {
        let (bytes, form) = sealed(&member(), Dialect::Sealed, "daemon_blacklist_status");
        let mut replies = (0..2).map(|_| {
            let mut stream = connect(address);
            stream.write_all(&bytes).unwrap();
            let frame = read_frame(&mut stream);
            let reply = member().open_reply(&frame, &form, &wire::Limits::default()).unwrap();
            reply.read::<Value>().unwrap()
        });
        assert_eq!(replies.next().unwrap()["status"], 0);
        assert_eq!(replies.next().unwrap()["error"], "replayed message");
        let random = SystemRandom::new();
        let mut past = clock::stamp();
        past.b_us -= 60_000_000;
        past.t_ms -= 60_000;
        let old = Form::request(Dialect::Sealed, "n1", past, &random);
        let body = Prepared::new(&json!({"action": "daemon_blacklist_status"}));
        let mut stream = connect(address);
        stream.write_all(&member().seal(&old, &body, &random).unwrap()).unwrap();
        let frame = read_frame(&mut stream);
        let reply = member().open_reply(&frame, &old, &wire::Limits::default()).unwrap();
        let error = reply.read::<Value>().unwrap()["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with("late message: made 6"), "{error}");
    })
    .await;
    assert_eq!(it.mail.blacklist.view.entries(), [].into());
}

#[actix::test]
async fn a_silent_crowd_from_one_address_makes_room_and_others_are_served() {
    let it = Fixture::new("", "max_connections_per_address = 20").await;
    let held = it
        .outside(|address| {
            let mut held: Vec<_> = (0..19).map(|_| connect(address)).collect();
            assert_eq!(
                ask(address, &member(), Dialect::Sealed, "daemon_blacklist_status")["status"],
                0
            );
            // What opened made the address known: half of its connections may be silent, and the oldest of them go.
            held.extend((0..5).map(|_| connect(address)));
            held.iter().for_each(|stream| stream.set_nonblocking(true).unwrap());
            let start = Instant::now();
            while held.iter_mut().map(is_closed).filter(|closed| *closed).count() < 14 {
                assert!(start.elapsed() < PATIENCE, "the crowd is let in");
            }
            // The place of the request may be counted a moment longer than it is needed.
            assert!(!held[15..].iter_mut().any(is_closed), "the newest stay");
            held
        })
        .await;
    drop(held);
    it.outside(|address| {
        let start = Instant::now();
        // The listener hears of each end in its turn.
        while ask(address, &member(), Dialect::Sealed, "daemon_blacklist_status")["status"] != 0 {
            assert!(start.elapsed() < PATIENCE, "the crowd left, and its address is still refused");
        }
    })
    .await;
}

#[actix::test]
async fn a_new_port_is_bound_a_bad_address_keeps_the_old_and_connections_live_on() {
    let it = Fixture::new("", "").await;
    let first = it.address();
    let mut kept = it.outside(connect).await;
    let change = |text: &str| std::fs::write(it.mail.paths.node_conf(), text).unwrap();
    change("[listener]\naddr = 192.0.2.1\nport = 0\n");
    it.until("the alert", |it| it.block("listener")["alerts"][0]["severity"] == "error").await;
    assert_eq!(it.address(), first, "the old one stays");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    change(&format!("[listener]\naddr = 127.0.0.1\nport = {}\n", free.port()));
    it.until("the new port", |it| it.address() == free).await;
    assert_eq!(it.block("listener")["alerts"], Value::Null);
    it.outside(move |address| {
        assert!(TcpStream::connect(first).is_err(), "the old one is closed");
        assert_eq!(
            ask(address, &member(), Dialect::Sealed, "daemon_blacklist_status")["status"],
            0
        );
        let (bytes, form) = sealed(&member(), Dialect::Sealed, "daemon_blacklist_status");
        kept.write_all(&bytes).unwrap();
        let frame = read_frame(&mut kept);
        assert!(member().open_reply(&frame, &form, &wire::Limits::default()).is_ok());
    })
    .await;
}

#[actix::test]
async fn a_sender_that_pauses_in_a_message_is_dropped_and_a_long_message_counts() {
    let it = Fixture::new("", "max_frame = 4096").await;
    it.outside(|address| {
        let mut slow = connect(address);
        slow.write_all(b"{\"clustername\":").unwrap();
        let start = Instant::now();
        assert!(is_closed(&mut slow));
        assert!((4..8).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        let mut long = connect(address);
        _ = long.write_all(&[b'x'; 16 * 1024]);
        assert_eq!(read_frame(&mut long), b"");
    })
    .await;
    it.until("the count", |it| it.mail.blacklist.view.count(Ipv4Addr::LOCALHOST.into()) == 1).await;
}

#[actix::test]
async fn a_stopped_listener_is_closed_until_started_and_a_session_is_ended_by_its_id() {
    let it = Fixture::new("", "").await;
    let address = it.address();
    let mut kept = it.outside(connect).await;
    let lists_a_session = |it: &Fixture| {
        let alive = &it.block("listener")["stats"]["sessions"]["alive"];
        alive.as_object().is_some_and(|all| !all.is_empty())
    };
    // Accepted, not just waiting in the backlog that goes with the socket.
    it.until("the session is listed", lists_a_session).await;
    let id = "listener".to_owned();
    assert_eq!(it.mail.root.send(StopThread { id: id.clone() }).await, Ok(Ok(())));
    assert_eq!(it.block("listener")["state"], "stopped");
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(it.mail.root.send(StartThread { id }).await, Ok(Ok(())));
    it.until("it listens again", |_| TcpStream::connect(address).is_ok()).await;
    it.until("the session is still listed", lists_a_session).await;
    let alive = it.block("listener")["stats"]["sessions"]["alive"].clone();
    for id in alive.as_object().unwrap().keys() {
        it.mail.root.send(StopSession { id: id.clone() }).await.unwrap();
    }
    let closed = it.outside(move |_| is_closed(&mut kept)).await;
    assert!(closed);
}

#[actix::test]
async fn every_actor_comes_back_from_a_panic_while_requests_are_answered() {
    let it = Fixture::new("", "").await;
    let ids = [
        "root",
        "logs",
        "cluster_data",
        "blacklist",
        "relay",
        "runner",
        "monitor",
        "scheduler",
        "config",
        "listener",
        "http",
        "control_socket",
    ];
    for id in ids {
        let is_done = it.mail.root.send(mail::root::TestPanic { id: id.into() }).await;
        assert_eq!(is_done, Ok(true), "{id}");
        it.until(id, |it| it.block(id)["restarts"] == 1 && it.block(id)["state"] == "running")
            .await;
        assert_eq!(it.block(id)["reason"], "panic: test panic");
    }
    it.until("the listener", |it| TcpStream::connect(it.address()).is_ok()).await;
    it.outside(|address| {
        assert_eq!(
            ask(address, &member(), Dialect::Sealed, "daemon_blacklist_status")["status"],
            0
        );
    })
    .await;
    let path = it.mail.paths.lsnr_socket();
    it.until("the control socket", |_| link::socket::connect(&path).is_ok()).await;
    assert!(it.folder.path().exists());
}

#[test]
fn work_that_never_ends_does_not_keep_the_daemon_from_ending() {
    let runtime = Arc::new(tokio::runtime::Builder::new_current_thread().build().unwrap());
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (begun, begins) = std::sync::mpsc::channel();
    runtime.spawn_blocking(move || {
        _ = begun.send(());
        _ = held.recv();
    });
    begins.recv().unwrap();
    let ended = std::thread::spawn(move || end(runtime));
    let start = std::time::Instant::now();
    ended.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30));
    drop(release);
}

#[actix::test]
async fn alerts_of_one_thread_are_those_of_all_who_tell_of_it() {
    let it = Fixture::new("", "").await;
    // Of which nobody else tells anything.
    let told = |by: &'static str, texts: &[&str]| {
        let alerts = texts.iter().map(|text| Alert::error(*text)).collect();
        it.mail.root.do_send(ThreadReport::alerts(thread::RELAY, alerts).told_by(by));
    };
    let shows = async |texts: &[&str]| {
        it.until("its alerts", |it| {
            let block = it.block(thread::RELAY);
            let shown = block["alerts"].as_array().into_iter().flatten();
            shown.map(|alert| alert["message"].as_str()).eq(texts.iter().map(|text| Some(*text)))
        })
        .await;
    };
    told(thread::RELAY, &["twice"]);
    told(thread::CONFIG, &["a mistake", "another"]);
    shows(&["a mistake", "another", "twice"]).await;
    told(thread::CONFIG, &[]);
    shows(&["twice"]).await;
    told(thread::CONFIG, &["a mistake"]);
    told(thread::RELAY, &[]);
    shows(&["a mistake"]).await;
}
