//! What others can make a daemon take: the peak over the idle daemon, and the longest silence of its control socket.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use harness::Peer;
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
    ];
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
            _ => parallel(12, &|n| {
                _ = peer(210 + n).ask(&selecting);
            }),
        };
        node.forget_peak();
        let before = node.resident_kib();
        let slowest = std::thread::scope(|scope| {
            let attacking = scope.spawn(attack);
            let mut slowest = Duration::ZERO;
            while !attacking.is_finished() {
                let begin = Instant::now();
                _ = node.try_request(&ping);
                slowest = slowest.max(begin.elapsed());
            }
            attacking.join().expect("it is carried out");
            slowest
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
        rows.iter().rev().take(2).rev().for_each(Row::print);
    }
    rows
}
