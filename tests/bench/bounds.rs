//! What others can make a daemon take: the peak over the idle daemon, and the longest silence of its control socket.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{Cluster, ClusterConf, Node, Peer, Responder};
use serde_json::{Value, json};
use wire::Prepared;

use crate::{Bound, Options, Row, cluster};

/// Two bytes of text for each map that it becomes.
fn values(count: usize) -> Value {
    Value::Array(vec![json!({}); count])
}

/// Sends bytes to an address, and waits until it is closed.
fn pour(mut stream: std::net::TcpStream, bytes: &[u8]) {
    _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    _ = stream.write_all(bytes);
    _ = stream.shutdown(Shutdown::Write);
    _ = stream.read_to_end(&mut vec![]);
}

/// All data of a peer with 10,000 services, in this state.
fn large(avail: &str, generation: u64) -> Prepared {
    let mut data = crate::exchange::services(10_000);
    data.insert("gen".into(), json!({"n2": (1_u64 << 50) + generation}));
    data.insert("updated".into(), json!(3e9 + generation as f64));
    let text = Value::Object(data)
        .to_string()
        .replace(r#""avail":"up""#, &format!(r#""avail":"{avail}""#));
    Prepared::from_json(text.into_bytes())
}

/// Follows events until nothing comes for a while, or for long enough: the node counts what asks it meanwhile.
fn follow(node: &Node, options: &Value) {
    let request = json!({"action": "events", "method": "GET", "options": options});
    let mut stream = UnixStream::connect(node.path("var/lsnr/lsnr.sock")).expect("it listens");
    _ = stream.set_read_timeout(Some(Duration::from_secs(3)));
    _ = stream.write_all(format!("{request}\0").as_bytes());
    let begin = Instant::now();
    let mut read = vec![0; 1 << 20];
    while begin.elapsed() < Duration::from_secs(15) && matches!(stream.read(&mut read), Ok(1..)) {}
}

/// The longest time that a thread with actors was on a processor without once waiting for something to do, and which.
fn longest_stretch(pid: u32, is_over: &AtomicBool) -> (Duration, String) {
    let mut begun: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let mut longest = (0, String::new());
    while !is_over.load(Ordering::Relaxed) {
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let id = task.file_name().to_string_lossy().into_owned();
            let name = read("comm").trim().to_owned();
            if id != pid.to_string() && !name.starts_with("actix-rt") {
                continue;
            }
            let ran = read("schedstat").split(' ').next().and_then(|word| word.parse().ok());
            let waits = read("status");
            let waits = waits.lines().find(|line| line.starts_with("voluntary_ctxt"));
            let (Some(ran), Some(waits)) = (ran, waits) else { continue };
            match begun.get(&id) {
                Some((before, since)) if before == waits => {
                    longest = longest.max((ran - since, name));
                }
                _ => _ = begun.insert(id, (waits.to_owned(), ran)),
            }
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    (Duration::from_nanos(longest.0), longest.1)
}

/// Connections of members that are asked over while something happens: each thread that answers them has some.
const MEMBERS: usize = 8;

/// The longest time that one of these waited for an answer, be it closed and come again meanwhile.
fn longest_silence(members: &mut [Peer], request: &Value, is_over: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        for member in &mut *members {
            let begin = Instant::now();
            while member.ask(request).is_none() && !is_over.load(Ordering::Relaxed) {}
            longest = longest.max(begin.elapsed());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    longest
}

/// The nice value of what attacks.
const ATTACKERS_NICE: i32 = 10;

/// Rows that need nothing but a cluster.
const PLAIN: usize = 8;

/// What a row is aimed at.
struct Target<'a> {
    cluster: &'a Cluster,
    others: &'a [Responder],
}

impl Target<'_> {
    fn node(&self) -> &Node {
        &self.cluster.nodes[0]
    }

    /// Somebody at an address that belongs to nobody.
    fn stranger(&self, number: usize) -> Peer {
        let [high, low] = u16::try_from(number).expect("a small crowd").to_be_bytes();
        let peer = Peer::sealed(self.node()).from_address(Ipv4Addr::new(127, 9, high, low));
        peer.at(self.cluster.address(0)).to(self.cluster.port(0))
    }

    /// A member that asks from an address of its own.
    fn member(&self, number: usize) -> Peer {
        self.stranger(200 + number)
    }
}

/// A row that needs more.
struct More {
    name: &'static str,
    most: f64,
    prepare: fn(&[Responder]) -> Cluster,
    attack: fn(&Target<'_>),
}

/// A cluster of one node, with these sections beside.
fn with_sections(sections: String) -> Cluster {
    crate::cluster_of(1, &ClusterConf { sections, ..ClusterConf::default() })
}

/// A text of 14 MiB that does not get shorter.
fn noise() -> String {
    let mut seed = 1_u64;
    let words = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", seed ^ (seed >> 29))
    });
    words.take(900_000).collect()
}

fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for number in 0..count {
            let work = &work;
            scope.spawn(move || work(number));
        }
    });
}

/// Strangers that send without an end, and come again when they are closed.
fn endless(target: &Target<'_>, port: u16) {
    in_parallel(8, |thread| {
        let begin = Instant::now();
        let mut number = 0;
        while begin.elapsed() < Duration::from_secs(6) {
            let peer = target.stranger(thread * 32 + number % 32).to(port);
            number += 1;
            _ = peer.connect().write_all(&[b'x'; 60 << 10]);
        }
    });
}

/// Answers of arbitrators and relays with these data.
fn answers(target: &Target<'_>, data: &Value) {
    for (other, name) in target.others.iter().zip(["arb", "relay"]) {
        let answer = Prepared::new(&json!({"status": 0, "data": data, "x": data}));
        other.answer_all(target.node(), name, answer);
    }
    std::thread::sleep(Duration::from_secs(8));
}

/// A node with an arbitrator and a relay.
fn with_answering(others: &[Responder]) -> Cluster {
    let [arbitrator, relay] = [others[0].address(), others[1].address()];
    let secret = "81ec81d6e68c11f1ae3f02fc00000001";
    with_sections(format!(
        "[arbitrator#1]\nname = {arbitrator}\nsecret = {secret}\ntimeout = 5\n\
         [hb#2]\ntype = relay\nrelay = {relay}\nsecret = {secret}\ninterval = 1\ntimeout = 5\n"
    ))
}

/// A node with a peer that answers.
fn with_peer(others: &[Responder]) -> Cluster {
    let address = others[0].address();
    let (ip, port) = (address.ip(), address.port());
    let cluster = with_sections(String::new());
    let text = cluster.nodes[0].read("etc/cluster.conf");
    let text = text
        .replace("nodes = n1", "nodes = n1 n2")
        .replace("[listener]\n", &format!("[listener]\naddr@n2 = {ip}\nport@n2 = {port}\n"));
    cluster.nodes[0].write("etc/cluster.conf", &text);
    cluster
}

/// Twelve at once have a peer asked, which answers this.
fn ask_peer(target: &Target<'_>, answer: &Value) {
    target.others[0].answer(target.node(), "n2", Prepared::new(answer));
    let request = json!({"action": "node_backlogs", "method": "GET", "node": "n2",
        "options": {"backlog": -1}});
    in_parallel(12, |number| _ = target.member(number).ask(&request));
}

/// As many messages as the relay keeps for one cluster, then all that it keeps, twelve times at once.
fn list_relay(target: &Target<'_>) {
    let relayed = |number: usize| target.stranger(number).of_cluster("join");
    in_parallel(4, |thread| {
        for cluster in 0..200 {
            let request = json!({"action": "relay_tx", "method": "POST", "options": {"msg": "x",
                "cluster_id": format!("c{thread}-{cluster}"), "cluster_name": "c".repeat(4_000)}});
            _ = relayed(thread).ask(&request);
        }
    });
    let list = json!({"action": "relay_status", "method": "GET"});
    in_parallel(12, |number| _ = target.member(number).ask(&list));
}

#[expect(clippy::too_many_lines, reason = "a list of what is measured")]
fn more() -> Vec<More> {
    let plain = |_: &[Responder]| with_sections(String::new());
    vec![
        More {
            name: "bounds: strangers without an end at heartbeats",
            most: 8.0,
            prepare: plain,
            attack: |target| endless(target, target.cluster.heartbeat_port(0)),
        },
        More {
            name: "bounds: strangers without an end at the relay",
            most: 8.0,
            prepare: plain,
            attack: |target| endless(target, target.cluster.port(0)),
        },
        More {
            name: "bounds: 1,024 silent connections from 16 addresses",
            most: 16.0,
            prepare: plain,
            attack: |target| {
                let silent: Vec<_> =
                    (0..1_024).map(|number| target.stranger(number % 16).connect()).collect();
                for mut stream in silent {
                    _ = stream.read(&mut [0; 1]);
                }
            },
        },
        More {
            name: "bounds: twelve replies of a peer, 14 MiB each",
            most: 64.0,
            prepare: with_peer,
            attack: |target| ask_peer(target, &json!([noise()])),
        },
        More {
            name: "bounds: twelve replies of a peer, 500,000 values each",
            most: 64.0,
            prepare: with_peer,
            attack: |target| ask_peer(target, &values(500_000)),
        },
        More {
            name: "bounds: a heartbeat of 500,000 values",
            most: 64.0,
            prepare: |_| crate::cluster(),
            attack: |target| {
                let beat = json!({"gen": {"n2": 1}, "updated": 1.0, "x": values(500_000)});
                let peer = Peer::sealed(target.node()).named("n2").at(target.cluster.address(0));
                let peer = peer.to(target.cluster.heartbeat_port(0));
                pour(peer.connect(), &peer.beat(&Prepared::new(&beat)));
            },
        },
        More {
            name: "bounds: relay_status of 800 messages, twelve at once",
            most: 64.0,
            prepare: plain,
            attack: list_relay,
        },
        More {
            name: "bounds: votes and relay answers of 14 MiB",
            most: 64.0,
            prepare: with_answering,
            attack: |target| answers(target, &json!(noise())),
        },
        More {
            name: "bounds: votes and relay answers of 500,000 values",
            most: 64.0,
            prepare: with_answering,
            attack: |target| answers(target, &values(500_000)),
        },
        More {
            name: "bounds: 2,000 empty packets",
            most: 8.0,
            prepare: plain,
            attack: |target| {
                in_parallel(8, |thread| {
                    for _ in 0..250 {
                        pour(target.stranger(thread).connect(), b"\0");
                    }
                });
            },
        },
        More {
            name: "bounds: 400 members with 320 descriptors",
            most: 32.0,
            prepare: |_| {
                let mut cluster = with_sections(String::new());
                let program = crate::program().display().to_string();
                let few = format!("ulimit -n 320; exec '{program}' \"$@\"");
                cluster.nodes[0].script("tmp/few", &few);
                let script = cluster.nodes[0].path("tmp/few");
                cluster.nodes = cluster
                    .nodes
                    .into_iter()
                    .map(|node| node.with_program(script.clone()))
                    .collect();
                cluster
            },
            attack: |target| {
                let ping = json!({"action": "daemon_blacklist_status", "method": "GET"});
                let held: Vec<Peer> = (0..400)
                    .map(|number| {
                        let mut peer = target.stranger(number / 50);
                        _ = peer.ask(&ping);
                        peer
                    })
                    .collect();
                drop(held);
            },
        },
        More {
            name: "bounds: state files that are pipes or have 1 GiB",
            most: 16.0,
            prepare: |_| {
                let cluster = with_sections(String::new());
                let text = "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n";
                cluster.nodes[0].write("etc/svc1.conf", text);
                cluster
            },
            attack: |target| {
                let node = target.node();
                for (number, state) in
                    ["status.json", "frozen", "fs#1/status.history", "fs#1/provisioned"]
                        .into_iter()
                        .enumerate()
                {
                    let file = node.path(&format!("var/svc/svc1/{state}"));
                    _ = std::fs::remove_file(&file);
                    _ = std::fs::create_dir_all(file.parent().expect("a folder"));
                    if number % 2 == 0 {
                        let huge = std::fs::File::create(&file).expect("a file");
                        huge.set_len(1 << 30).expect("a hole");
                    } else {
                        _ = std::process::Command::new("mkfifo").arg(&file).status();
                    }
                }
                for _ in 0..3 {
                    _ = node.om(&["svc1", "status", "--refresh"]);
                }
            },
        },
    ]
}

/// Measures each row on a daemon of its own.
#[expect(clippy::too_many_lines, reason = "a list of what is measured")]
pub(crate) fn measure(options: &Options) -> Vec<Row> {
    let ping = json!({"action": "daemon_blacklist_status", "method": "GET"});
    let endless = vec![b' '; 64 << 20];
    let text = Prepared::new(&json!({"action": "whoami", "options": {"x": "a".repeat(250 << 20)}}));
    let many = Prepared::new(&json!({"action": "whoami", "options": {"x": values(60_000)}}));
    let beat =
        Prepared::new(&json!({"gen": {"n2": 1}, "updated": 1.0, "x": "a".repeat(250 << 20)}));
    let slot = "x".repeat(1 << 20);
    let selector = format!("*{}*b", "a".repeat(30));
    let selector = vec![selector.as_str(); 900].join(",");
    let selecting = json!({"action": "daemon_status", "options": {"selector": selector}});
    let names = [
        ("bounds: four strangers, 64 MiB unopened each", 8.0),
        // Thrice the longest message and 48 MiB.
        ("bounds: four connections of a member, 64 MiB unopened each", 256.0),
        ("bounds: a request of 250 MiB inflated", 64.0),
        ("bounds: twelve requests of 60,000 values", 64.0),
        ("bounds: a heartbeat of 250 MiB inflated", 64.0),
        // What is kept, and what requests take that are worked on.
        ("bounds: 200 messages of 1 MiB left at the relay", 120.0),
        ("bounds: twelve selectors of 900 patterns", 64.0),
        ("bounds: 10,000 services of a peer, and all of them changed, with subscribers", 192.0),
    ];
    let extra = more();
    let names = names.into_iter().chain(extra.iter().map(|more| (more.name, more.most)));
    let data = [large("up", 1), large("down", 2)];
    let mut rows = vec![];
    for (at, (name, most)) in names.enumerate() {
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let others: Vec<Responder> =
            [2, 3].map(|last| Responder::new(Ipv4Addr::new(127, 0, 7, last))).into();
        let mut cluster = match extra.get(at.wrapping_sub(PLAIN)) {
            Some(more) => (more.prepare)(&others),
            None => cluster(),
        };
        cluster.nodes[0].start();
        let (node, beats) = (&cluster.nodes[0], cluster.heartbeat_port(0));
        let peer = |last: usize| {
            let peer = Peer::sealed(node).from(u8::try_from(last).expect("a byte"));
            peer.at(cluster.address(0))
        };
        // From the address of a member, which may send what is large.
        let member = |to: u16| {
            let member = Peer::sealed(node).named("n2").at(cluster.address(0)).to(to);
            match cluster.nodes.len() {
                1 => member,
                _ => member.from_address(cluster.address(1)),
            }
        };
        let beating = member(beats);
        let parallel = |count: usize, work: &(dyn Fn(usize) + Sync)| {
            std::thread::scope(|scope| {
                for number in 0..count {
                    scope.spawn(move || work(number));
                }
            });
        };
        let attack = || match at {
            0 => parallel(4, &|n| pour(peer(200 + n).connect(), &endless)),
            1 => parallel(4, &|_| pour(member(cluster.port(0)).connect(), &endless)),
            2 => pour(peer(210).connect(), &peer(210).seal(&text)),
            3 => parallel(12, &|n| pour(peer(210 + n).connect(), &peer(210 + n).seal(&many))),
            4 => pour(beating.connect(), &beating.beat(&beat)),
            5 => parallel(4, &|n| {
                for slot_number in 0..50 {
                    let request = json!({"action": "relay_tx", "method": "POST", "options": {"msg": slot,
                        "cluster_id": format!("c{n}-{slot_number}"), "cluster_name": "other"}});
                    let peer = peer(220 + n).of_cluster("join");
                    pour(peer.connect(), &peer.frame(&request));
                }
            }),
            6 => parallel(12, &|n| {
                _ = peer(210 + n).ask(&selecting);
            }),
            PLAIN.. => (extra[at - PLAIN].attack)(&Target { cluster: &cluster, others: &others }),
            _ => std::thread::scope(|scope| {
                for options in [json!({"full": true}), json!({"full": true, "selector": "svc1*"})] {
                    scope.spawn(move || follow(node, &options));
                }
                std::thread::sleep(Duration::from_millis(300));
                for message in &data {
                    pour(beating.connect(), &beating.beat(message));
                }
            }),
        };
        node.forget_peak();
        let before = node.resident_kib();
        let pid = node.pid();
        let is_over = &AtomicBool::new(false);
        let mut members: Vec<Peer> = (0..MEMBERS).map(|number| peer(230 + number)).collect();
        members.iter_mut().for_each(|member| _ = member.ask(&ping));
        let (slowest, heard, stretch) = std::thread::scope(|scope| {
            let attacking = scope.spawn(move || {
                // Those who attack have processors of their own; here they get what the daemon leaves.
                _ = rustix::process::setpriority_process(None, ATTACKERS_NICE);
                attack();
            });
            let watching = scope.spawn(move || longest_stretch(pid, is_over));
            let hearing = scope.spawn(|| longest_silence(&mut members, &ping, is_over));
            let mut slowest = Duration::ZERO;
            while !attacking.is_finished() {
                let begin = Instant::now();
                while node.try_request(&ping).is_none() && !attacking.is_finished() {}
                slowest = slowest.max(begin.elapsed());
            }
            attacking.join().expect("it is carried out");
            is_over.store(true, Ordering::Relaxed);
            let heard = hearing.join().expect("they are answered");
            (slowest, heard, watching.join().expect("the kernel tells"))
        });
        let peak = node.peak_kib().saturating_sub(before) as f64 / 1024.0;
        let (stretch, thread) = stretch;
        let row = |name: String, value, unit, most| Row {
            name,
            value,
            unit,
            target: Some((most, Bound::AtMost)),
            note: String::new(),
        };
        rows.push(row(name.to_owned(), peak, "MiB", most));
        let silence = slowest.as_secs_f64() * 1e3;
        rows.push(row(format!("{name}: longest silence"), silence, "ms", 100.0));
        let heard = heard.as_secs_f64() * 1e3;
        rows.push(row(format!("{name}: longest silence for a member"), heard, "ms", 100.0));
        let stretch = stretch.as_secs_f64() * 1e3;
        let run = format!("{name}: longest run of an actor thread");
        rows.push(Row { note: thread, ..row(run, stretch, "ms", 100.0) });
        rows.iter().rev().take(4).rev().for_each(Row::print);
    }
    rows
}
