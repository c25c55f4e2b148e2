//! What others can make a daemon take: the peak over the idle daemon, and the longest silence of its control socket.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{Node, Peer};
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

/// Follows events until nothing comes for a while.
fn follow(node: &Node, options: &Value) {
    let request = json!({"action": "events", "method": "GET", "options": options});
    let mut stream = UnixStream::connect(node.path("var/lsnr/lsnr.sock")).expect("it listens");
    _ = stream.set_read_timeout(Some(Duration::from_secs(3)));
    _ = stream.write_all(format!("{request}\0").as_bytes());
    _ = std::io::copy(&mut stream, &mut std::io::sink());
}

/// The longest time that a thread with actors was on a processor without once waiting for something to do.
fn longest_stretch(pid: u32, is_over: &AtomicBool) -> Duration {
    let mut begun: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let mut longest = 0;
    while !is_over.load(Ordering::Relaxed) {
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let id = task.file_name().to_string_lossy().into_owned();
            if id != pid.to_string() && !read("comm").starts_with("actix-rt") {
                continue;
            }
            let ran = read("schedstat").split(' ').next().and_then(|word| word.parse().ok());
            let waits = read("status");
            let waits = waits.lines().find(|line| line.starts_with("voluntary_ctxt"));
            let (Some(ran), Some(waits)) = (ran, waits) else { continue };
            match begun.get(&id) {
                Some((before, since)) if before == waits => longest = longest.max(ran - since),
                _ => _ = begun.insert(id, (waits.to_owned(), ran)),
            }
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Duration::from_nanos(longest)
}

/// Measures each row on a daemon of its own.
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
        ("bounds: four connections of a member, 64 MiB unopened each", 64.0),
        ("bounds: a request of 250 MiB inflated", 64.0),
        ("bounds: twelve requests of 60,000 values", 64.0),
        ("bounds: a heartbeat of 250 MiB inflated", 64.0),
        ("bounds: 200 messages of 1 MiB left at the relay", 64.0),
        ("bounds: twelve selectors of 900 patterns", 64.0),
        ("bounds: 10,000 services of a peer, and all of them changed, with subscribers", 192.0),
    ];
    let data = [large("up", 1), large("down", 2)];
    let mut rows = vec![];
    for (at, (name, most)) in names.into_iter().enumerate() {
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let mut cluster = cluster();
        cluster.nodes[0].start();
        let (node, beats) = (&cluster.nodes[0], cluster.heartbeat_port(0));
        let peer = |last: usize| Peer::sealed(node).from(u8::try_from(last).expect("a byte"));
        let beating = Peer::sealed(node).named("n2").to(beats);
        let parallel = |count: usize, work: &(dyn Fn(usize) + Sync)| {
            std::thread::scope(|scope| {
                for number in 0..count {
                    scope.spawn(move || work(number));
                }
            });
        };
        let attack = || match at {
            0 => parallel(4, &|n| pour(peer(200 + n).connect(), &endless)),
            1 => parallel(4, &|_| pour(Peer::sealed(node).connect(), &endless)),
            2 => pour(peer(210).connect(), &peer(210).seal(&text)),
            3 => parallel(12, &|n| pour(peer(210 + n).connect(), &peer(210 + n).seal(&many))),
            4 => pour(beating.connect(), &beating.seal(&beat)),
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
            _ => std::thread::scope(|scope| {
                for options in [json!({"full": true}), json!({"full": true, "selector": "svc1*"})] {
                    scope.spawn(move || follow(node, &options));
                }
                std::thread::sleep(Duration::from_millis(300));
                for message in &data {
                    pour(beating.connect(), &beating.seal(message));
                }
            }),
        };
        node.forget_peak();
        let before = node.resident_kib();
        let pid = node.pid();
        let is_over = &AtomicBool::new(false);
        let (slowest, stretch) = std::thread::scope(|scope| {
            let attacking = scope.spawn(attack);
            let watching = scope.spawn(move || longest_stretch(pid, is_over));
            let mut slowest = Duration::ZERO;
            while !attacking.is_finished() {
                let begin = Instant::now();
                _ = node.try_request(&ping);
                slowest = slowest.max(begin.elapsed());
            }
            attacking.join().expect("it is carried out");
            is_over.store(true, Ordering::Relaxed);
            (slowest, watching.join().expect("the kernel tells"))
        });
        let peak = node.peak_kib().saturating_sub(before) as f64 / 1024.0;
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
        let stretch = stretch.as_secs_f64() * 1e3;
        rows.push(row(format!("{name}: longest run of an actor thread"), stretch, "ms", 100.0));
        rows.iter().rev().take(3).rev().for_each(Row::print);
    }
    rows
}
