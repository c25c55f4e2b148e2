//! Promise: beside deployed agents, a node is heard while it is there, hears what it can open, and is not taken for what it
//! was.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use harness::{Cluster, ClusterConf, Peer, wait_for};
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use wire::{ClusterSecret, Dialect, Form, Frame, Limits, Prepared, Sender};

const SECRET: &str = "81ec81d6e68c11f1ae3f02fc00000001";

/// Answers requests as a deployed agent does, which supports none of them.
struct Listener {
    is_over: Arc<AtomicBool>,
    address: (Ipv4Addr, u16),
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    fn start(address: (Ipv4Addr, u16)) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let end = is_over.clone();
        let listener = TcpListener::bind(address).expect("the port is free");
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                _ = answer(stream);
            }
        });
        Self { is_over, address, thread: Some(thread) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        _ = self.thread.take().map(JoinHandle::join);
    }
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut bytes = vec![];
    let mut buffer = [0; 4096];
    while bytes.last() != Some(&0) {
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            length => bytes.extend(&buffer[..length]),
        }
    }
    let limits = Limits::default();
    let frame = Frame::parse(bytes.strip_suffix(b"\0")?, &limits).ok()?;
    let request: Value = frame.open(&ClusterSecret::new(SECRET), &limits).ok()?.read().ok()?;
    let action = request["action"].as_str()?;
    let reply = json!({"status": 501, "error": format!("handler GET {action} is not supported")});
    let random = SystemRandom::new();
    let form = Form::request(Dialect::Classic, "n1", machine::clock::stamp(), &random);
    let sender = Sender::new("demo", "n2", ClusterSecret::new(SECRET));
    let sealed = sender.seal(&form, &Prepared::new(&reply), &random).ok()?;
    stream.write_all(&sealed).ok()
}

fn mixed() -> ClusterConf {
    ClusterConf { cluster: "profile = fast\nenvelope = any".into(), ..ClusterConf::default() }
}

fn send(cluster: &Cluster, frame: &[u8]) {
    let address = (cluster.address(0), cluster.heartbeat_port(0));
    let mut stream = TcpStream::connect(address).expect("n1 listens");
    // As deployed agents do: nothing is read.
    stream.write_all(frame).expect("it is taken");
}

/// All data of n2, with nothing of n1.
fn full(updated: f64) -> Value {
    json!({
        "agent": "2.1", "api": 7, "compat": 10, "frozen": 0, "env": "TST", "gen": {"n2": 3},
        "labels": {}, "locks": {}, "min_avail_mem": 2, "min_avail_swap": 10,
        "monitor": {"status": "idle", "status_updated": updated},
        "services": {"config": {}, "status": {}}, "speaker": false,
        "stats": {"load_15m": 0.5, "mem_avail": 90, "mem_total": 4000, "score": 70, "swap_avail": 0, "swap_total": 0},
        "targets": [], "updated": updated
    })
}

/// Whether n1 says at all times of that long that n2 beats.
fn stays_beating(cluster: &Cluster, frame: &[u8], rounds: u32) -> bool {
    (0..rounds).all(|_| {
        send(cluster, frame);
        // The interval of the peer.
        std::thread::sleep(Duration::from_millis(250));
        cluster.is_beating(0, "hb#1.rx", 1)
    })
}

#[test]
fn an_agent_that_repeats_its_full_is_heard_while_it_is_there_and_not_after() {
    let mut cluster = Cluster::configured(2, &mixed());
    cluster.nodes[0].start();
    let listener = Listener::start((cluster.address(1), cluster.port(1)));
    let peer = Peer::classic(&cluster.nodes[1]);
    // As long as its data do not change and somebody lacks them, a deployed agent sends these very bytes.
    let frame = peer.beat(&Prepared::new(&full(machine::clock::now().0)));
    send(&cluster, &frame);
    cluster.wait_flag(0, "hb#1.rx", 1, true);
    // The timeout is 1 s.
    assert!(stays_beating(&cluster, &frame, 16));
    // It dies, and somebody goes on sending what was recorded.
    drop(listener);
    wait_for("n2 is lost", || {
        send(&cluster, &frame);
        !cluster.is_beating(0, "hb#1.rx", 1)
    });
    assert!(!stays_beating(&cluster, &frame, 2));
}

/// Sends what was recorded of a dead n2, in order, at its pace: whether n1 ever says that it beats.
fn ever_beats(cluster: &Cluster, recorded: &[Value]) -> bool {
    let peer = Peer::classic(&cluster.nodes[1]);
    recorded.iter().any(|message| {
        send(cluster, &peer.beat(&Prepared::new(message)));
        std::thread::sleep(Duration::from_millis(250));
        cluster.is_beating(0, "hb#1.rx", 1)
    })
}

#[test]
fn what_a_dead_agent_sent_while_nobody_heard_it_is_no_beat_however_long_the_recording_is() {
    let mut cluster = Cluster::configured(2, &mixed());
    cluster.nodes[0].start();
    let since = machine::clock::now().0;
    // It heard nobody, so it has nothing of n1.
    let ping = |number: u32| {
        json!({
            "kind": "ping", "compat": 10, "gen": {"n2": 3},
            "monitor": {"status": "idle", "status_updated": since - 900.0},
            "updated": since - 600.0 + 0.25 * f64::from(number)
        })
    };
    let pings: Vec<Value> = (0..12).map(ping).collect();
    assert!(!ever_beats(&cluster, &pings));
    // Its data as they were, each minute of the last half hour.
    let fulls = (0..12).map(|number| full(since - 1_800.0 + 60.0 * f64::from(number)));
    assert!(!ever_beats(&cluster, &fulls.collect::<Vec<Value>>()));
}

#[test]
fn an_agent_whose_data_are_old_or_whose_clock_is_off_is_heard_because_it_answers() {
    for ahead in [-1_200.0, 1_200.0] {
        let mut cluster = Cluster::configured(2, &mixed());
        cluster.nodes[0].start();
        let _listener = Listener::start((cluster.address(1), cluster.port(1)));
        let peer = Peer::classic(&cluster.nodes[1]);
        wait_for("n2 is heard, and what it says", || {
            let updated = machine::clock::now().0 + ahead;
            send(&cluster, &peer.beat(&Prepared::new(&full(updated))));
            std::thread::sleep(Duration::from_millis(200));
            cluster.is_beating(0, "hb#1.rx", 1)
                && cluster.nodes[0].status()["monitor"]["nodes"]["n2"]["env"] == "TST"
        });
    }
}

#[test]
fn the_data_of_an_agent_are_heard_while_others_misuse_its_address() {
    let mut cluster = Cluster::configured(2, &mixed());
    cluster.nodes[0].start();
    let _listener = Listener::start((cluster.address(1), cluster.port(1)));
    let from_n2 = |port: u16| {
        let peer = Peer::classic(&cluster.nodes[1]);
        peer.from_address(cluster.address(1)).at(cluster.address(0)).to(port)
    };
    let misuse = || assert_eq!(from_n2(cluster.port(0)).exchange(b"{}\0"), b"");
    (0..6).for_each(|_| misuse());
    let mut message = full(machine::clock::now().0);
    let mut seed = 7_u64;
    for number in 0..200 {
        let mut noise = String::new();
        for _ in 0..64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            noise += &format!("{:016x}", seed ^ (seed >> 29));
        }
        let config = json!({"updated": 1.5, "csum": noise, "scope": ["n2"]});
        message["services"]["config"][format!("svc{number}")] = config;
    }
    let heartbeat = from_n2(cluster.heartbeat_port(0));
    let frame = heartbeat.beat(&Prepared::new(&message));
    assert!(frame.len() > 100 << 10, "{}", frame.len());
    wait_for("n1 has the data of n2", || {
        misuse();
        _ = heartbeat.exchange(&frame);
        let services = &cluster.nodes[0].status()["monitor"]["nodes"]["n2"]["services"];
        services["config"].as_object().is_some_and(|it| it.len() == 200)
    });
    // A large request of it is answered too, and nothing of this counts.
    let large =
        json!({"action": "whoami", "method": "GET", "options": {"pad": message["services"]}});
    let asked = from_n2(cluster.port(0));
    let frame = asked.frame(&large);
    assert!(frame.len() > 64 << 10, "{}", frame.len());
    assert_ne!(asked.exchange(&frame), b"");
}

#[test]
fn a_node_that_is_a_deployed_agent_again_gets_what_it_can_open() {
    // Its data are kept while it is replaced.
    let grace = "[node]\nmaintenance_grace_period = 60".into();
    let mut cluster = Cluster::configured(2, &ClusterConf { sections: grace, ..mixed() });
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.wait_beating();
    wait_for("n1 knows that n2 speaks sealed", || {
        cluster.nodes[0].status()["monitor"]["nodes"]["n2"]["envelope"] == "sealed"
    });
    cluster.nodes[1].om_ok(&["daemon", "stop"]);
    cluster.nodes[1].wait_end();
    let ear = TcpListener::bind((cluster.address(1), cluster.heartbeat_port(1))).expect("free");
    let peer = Peer::classic(&cluster.nodes[1]);
    let ping = || {
        peer.beat(&Prepared::new(&json!({
            "kind": "ping", "compat": 10, "gen": {"n2": 1},
            "monitor": {"status": "rejoin", "status_updated": machine::clock::now().0},
            "updated": machine::clock::now().0
        })))
    };
    ear.set_nonblocking(true).expect("a mode");
    let mut heard = vec![];
    wait_for("n1 speaks classic to n2", || {
        send(&cluster, &ping());
        while let Ok((mut stream, _)) = ear.accept() {
            stream.set_nonblocking(false).expect("a mode");
            stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a time limit");
            let mut bytes = vec![];
            _ = stream.read_to_end(&mut bytes);
            heard.extend(bytes.split(|byte| *byte == 0).filter_map(|frame| {
                Frame::parse(frame, &Limits::default()).ok().map(|frame| frame.dialect())
            }));
        }
        heard.contains(&Dialect::Classic)
    });
}

#[test]
fn that_no_deployed_agent_is_heard_shows_in_mon_and_no_request_silences_it() {
    let mut cluster = Cluster::configured(2, &mixed()).with_env("OSVC_TEST_DIALECT_SILENCE", "2");
    cluster.nodes[0].start();
    let node = &cluster.nodes[0];
    let shows = || {
        let shown = node.om(&["mon"]);
        (shown.out + &shown.err).contains("no deployed agent was heard for an hour")
    };
    wait_for("it is shown", shows);
    let member = || Peer::classic(&cluster.nodes[1]).at(cluster.address(0)).to(cluster.port(0));
    let begin = std::time::Instant::now();
    // The node looks each 10 s.
    while begin.elapsed() < Duration::from_secs(12) {
        let ping = json!({"action": "daemon_blacklist_status", "method": "GET"});
        assert_eq!(member().ask(&ping).expect("served")["status"], 0);
        let alerts = node.status()["listener"]["alerts"].to_string();
        assert!(alerts.contains("no deployed agent was heard"), "{alerts}");
    }
    assert!(shows());
}

#[test]
fn a_deployed_joiner_takes_the_file_of_the_members_and_not_what_it_makes_of_the_reply() {
    let mut cluster = Cluster::configured(1, &mixed());
    cluster.nodes[0].start();
    let mut joiner = Peer::classic(&cluster.nodes[0]).of_cluster("join").at(cluster.address(0));
    let reply = joiner.ask(&json!({"action": "join", "method": "POST"})).expect("a reply");
    let told = reply["data"]["cluster"]["mtime"].as_f64().expect("a time");
    let file = cluster.nodes[0].path("etc/cluster.conf");
    let modified = std::fs::metadata(file).and_then(|it| it.modified()).expect("a time");
    let since = modified.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    // What it writes with this time is older than the file, which differs: it fetches that.
    assert!(told < since && since - told < 1.0, "{told} {since}");
}
