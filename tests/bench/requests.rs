//! Requests per second and latencies, as ratios to the reference server.

use std::time::Duration;

use harness::Node;
use serde_json::{Value, json};
use wire::{ClusterSecret, Sender};

use crate::idle::wait_evaluated;
use crate::load::{self, Measured, Server, Transport};
use crate::reference::Reference;
use crate::{Bound, Options, ROLE, Row};

/// Runs of each server.
const TURNS: usize = 5;

/// Requests measured: name, number of services on the node, the request.
fn cases(quick: bool) -> Vec<(&'static str, usize, Value)> {
    let status = || json!({"action": "daemon_status", "method": "GET"});
    let mut cases = vec![
        (
            "daemon_blacklist_status",
            1,
            json!({"action": "daemon_blacklist_status", "method": "GET"}),
        ),
        ("daemon_status, 1 service", 1, status()),
        (
            "object_config",
            1,
            json!({"action": "object_config", "method": "GET", "options": {"path": "svc0"}}),
        ),
        ("daemon_status, 1000 services", 1_000, status()),
    ];
    if !quick {
        cases.insert(3, ("daemon_status, 100 services", 100, status()));
    }
    cases
}

/// Measures every case on every transport.
pub(crate) fn measure(options: &Options) -> Vec<Row> {
    let time = Duration::from_millis(if options.quick { 300 } else { 600 });
    let connections: &[usize] = if options.quick { &[1, 8] } else { &[1, 8, 64] };
    println!(
        "Requests, ours against the reference server (rate ratio; latencies in microseconds, ours / reference)\n"
    );
    let mut rows = vec![];
    let mut node = None;
    for (name, services, request) in cases(options.quick) {
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        if node.as_ref().is_none_or(|(count, _)| *count != services) {
            drop(node.take());
            node = Some((services, node_with(services)));
        }
        let Some((_, node)) = &node else { continue };
        let ours = Server {
            tcp: ([127, 0, 0, 1], node.port()).into(),
            unix: node.path("var/lsnr/lsnr.sock"),
        };
        let body = serde_json::to_vec(&node.request(&request)).expect("a reply");
        let reference = Reference::start(node.root(), &body, node.secret());
        let sender = Sender::new("demo", "n1", ClusterSecret::new(node.secret()));
        // What opens makes the address known: strangers are read in turn.
        load::run(Transport::Sealed, &ours, &sender, &request, 1, time / 10);
        for transport in [Transport::Classic, Transport::Sealed, Transport::Unix] {
            for &connections in connections {
                let run = |server: &Server| {
                    load::run(transport, server, &sender, &request, connections, time)
                };
                // In turns, the median of the ratios: what disturbs one run disturbs no verdict.
                let mut turns: Vec<(Measured, Measured)> =
                    (0..TURNS).map(|_| (run(&reference.server), run(&ours))).collect();
                let ratio = |(theirs, mine): &(Measured, Measured)| mine.rate / theirs.rate;
                turns.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
                let (theirs, mine) = turns.swap_remove(TURNS / 2);
                let target = match transport {
                    _ if name.starts_with("daemon_status, 1000") => {
                        Some((1.0 / 1.3, Bound::AtLeast))
                    }
                    Transport::Classic => Some((0.8, Bound::AtLeast)),
                    Transport::Sealed => Some((0.7, Bound::AtLeast)),
                    Transport::Unix => None,
                };
                let latency = |percent| {
                    format!("{:.0}/{:.0}", mine.percentile(percent), theirs.percentile(percent))
                };
                let row = Row {
                    name: format!("{name}, {transport:?}, {connections} conn."),
                    value: mine.rate / theirs.rate,
                    unit: "ratio",
                    target,
                    note: format!(
                        "{:.0}/s of {:.0}/s, p50 {} p99 {} p99.9 {}",
                        mine.rate,
                        theirs.rate,
                        latency(50.0),
                        latency(99.0),
                        latency(99.9)
                    ),
                };
                row.print();
                rows.push(row);
            }
        }
    }
    println!();
    rows
}

/// A running node with that many services, all evaluated.
pub(crate) fn node_with(services: usize) -> Node {
    let mut node = Node::new("n1").with_env(ROLE, "om").with_program(crate::program());
    node.write_cluster("envelope = any");
    for index in 0..services {
        node.write(&format!("etc/svc{index}.conf"), &idle_configuration(index, "default"));
    }
    node.start();
    wait_evaluated(&node, services);
    node
}

/// Configuration of a service that nobody starts.
pub(crate) fn idle_configuration(index: usize, app: &str) -> String {
    format!(
        "[DEFAULT]\nid = 11111111-2222-3333-4444-{index:012}\nnodes = n1\napp = {app}\norchestrate = no\n\n\
         [fs#1]\ntype = flag\n"
    )
}
