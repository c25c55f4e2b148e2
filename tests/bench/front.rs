//! The front door: requests over kept connections of HTTP/2 as ratios to a bare server, who follows, metrics, and memory.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{Http, Node, Port, wait_for};
use http::Request;

use crate::bare::Bare;
use crate::idle::{cpu_seconds_by, resident_mib, wait_evaluated};
use crate::load::Measured;
use crate::requests::idle_configuration;
use crate::{Bound, Options, ROLE, Row, followers};

/// Runs of each server.
const TURNS: usize = 9;

/// What is asked.
const TARGETS: [&str; 2] = ["/whoami", "/daemon_status"];

/// A node that listens for TLS, with so many services, and one user who may everything.
pub(crate) struct Door {
    pub(crate) node: Node,
    port: Port,
    /// Key and certificate of the user.
    user: String,
}

impl Door {
    pub(crate) fn open(services: usize) -> Self {
        let (node, port) = node(services, "");
        node.om_ok(&["cluster", "tls"]);
        node.add_user("alice", "root");
        let user = node.om_ok(&["system/usr/alice", "fullpem"]);
        let door = Self { node, port, user };
        wait_for("the user is known", || {
            let Some(mut kept) = door.http(true).keep() else { return false };
            let reply = kept.get("/daemon_status", &[]);
            reply.is_some_and(|reply| reply.status == 200)
        });
        door
    }

    /// Where it answers, over its socket or over TLS.
    pub(crate) fn http(&self, is_tls: bool) -> Http {
        match is_tls {
            true => Http::tls(self.port.number(), Some(&self.user)),
            false => Http::of(&self.node),
        }
    }
}

/// A running node of services that nobody starts; `more` keywords of its listener.
fn node(services: usize, more: &str) -> (Node, Port) {
    let (node, port) = Node::for_users("n1", more);
    let mut node = node.with_env(ROLE, "om").with_program(crate::program());
    for index in 0..services {
        node.write(&format!("etc/svc{index}.conf"), &idle_configuration(index, "default"));
    }
    node.start();
    wait_evaluated(&node, services);
    (node, port)
}

/// How a connection is named in rows.
pub(crate) fn transport(is_tls: bool) -> &'static str {
    if is_tls { "TLS" } else { "h2.sock" }
}

/// Measures all of it.
pub(crate) fn measure(options: &Options) -> Vec<Row> {
    println!("Front\n");
    harness::lift_descriptors();
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only));
    let mut rows = vec![];
    if is_wanted("requests") {
        rows.extend(requests(options));
    }
    if is_wanted("memory") {
        rows.extend(memory(options));
    }
    if is_wanted("metrics") || is_wanted("followers") {
        let door = Door::open(1_000);
        if is_wanted("metrics") {
            rows.push(metrics(&door, options));
        }
        if is_wanted("followers") {
            for is_tls in [false, true] {
                rows.extend(followers::measure(&door, is_tls, options));
            }
        }
    }
    println!();
    rows
}

/// Asks on `connections` kept connections for `time`.
fn run(http: &Http, target: &str, connections: usize, time: Duration) -> Measured {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut senders = vec![];
        for _ in 0..connections {
            let io = http.connect_for("h2").await.expect("the server accepts");
            let (sender, connection) = h2::client::handshake(io).await.expect("it speaks HTTP/2");
            tokio::task::spawn_local(connection);
            senders.push(sender.ready().await.expect("it goes on"));
        }
        let uri: Rc<str> = format!("https://localhost{target}").into();
        let begin = Instant::now();
        let tasks: Vec<_> = senders
            .into_iter()
            .map(|sender| tokio::task::spawn_local(ask_all(sender, uri.clone(), begin + time)))
            .collect();
        let mut latencies = vec![];
        for task in tasks {
            latencies.extend(task.await.expect("no connection fails"));
        }
        Measured::new(latencies, begin.elapsed())
    })
}

async fn ask_all(
    mut sender: h2::client::SendRequest<Bytes>,
    uri: Rc<str>,
    until: Instant,
) -> Vec<Duration> {
    let mut latencies = vec![];
    while Instant::now() < until {
        let begin = Instant::now();
        let request = Request::get(&*uri).body(()).expect("a request");
        sender = sender.ready().await.expect("it goes on");
        let (response, _) = sender.send_request(request, true).expect("it is sent");
        let response = response.await.expect("an answer");
        assert_eq!(response.status(), 200, "{uri}");
        let mut body = response.into_body();
        while let Some(piece) = body.data().await {
            let length = piece.expect("a piece").len();
            body.flow_control().release_capacity(length).expect("room");
        }
        latencies.push(begin.elapsed());
    }
    latencies
}

/// Requests as ratios to the bare server.
fn requests(options: &Options) -> Vec<Row> {
    let time = Duration::from_millis(if options.quick { 300 } else { 600 });
    let door = Door::open(1);
    let fullpem = door.node.om_ok(&["system/sec/cert-demo", "fullpem"]);
    let mut rows = vec![];
    for target in TARGETS {
        for is_tls in [false, true] {
            let ours = door.http(is_tls);
            let bare = Bare::start(&door.node, &ours.get(target), &fullpem);
            let theirs = bare.http(is_tls);
            for connections in [1, 8] {
                let run = |http: &Http| run(http, target, connections, time);
                // In turns, the median of the ratios: what disturbs one run disturbs no verdict.
                let pids = [bare.pid(), door.node.pid()];
                let before = pids.map(|pid| cpu_seconds_by(pid).0);
                let mut turns: Vec<(Measured, Measured)> =
                    (0..TURNS).map(|_| (run(&theirs), run(&ours))).collect();
                let after = pids.map(|pid| cpu_seconds_by(pid).0);
                // What the load of the machine does not change.
                let cpu = |of: usize, count: usize| (after[of] - before[of]) / count as f64 * 1e6;
                let cpus = [
                    cpu(0, turns.iter().map(|(theirs, _)| theirs.count()).sum()),
                    cpu(1, turns.iter().map(|(_, mine)| mine.count()).sum()),
                ];
                let ratio = |(theirs, mine): &(Measured, Measured)| mine.rate / theirs.rate;
                turns.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
                let (theirs, mine) = turns.swap_remove(TURNS / 2);
                let latency = |percent| {
                    format!("{:.0}/{:.0}", mine.percentile(percent), theirs.percentile(percent))
                };
                let row = Row {
                    name: format!("GET {target}, {}, {connections} conn.", transport(is_tls)),
                    value: mine.rate / theirs.rate,
                    unit: "ratio",
                    target: Some((0.8, Bound::AtLeast)),
                    note: format!(
                        "{:.0}/s of {:.0}/s, p50 {} p99 {}, cpu {:.0}/{:.0} us",
                        mine.rate,
                        theirs.rate,
                        latency(50.0),
                        latency(99.0),
                        cpus[1],
                        cpus[0]
                    ),
                };
                row.print();
                rows.push(row);
            }
        }
    }
    rows
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The time of an answer of `/metrics`: each is made anew, what was made within a second is not taken.
fn metrics(door: &Door, options: &Options) -> Row {
    let mut kept = door.http(false).keep().expect("it answers");
    let (mut times, mut length) = (vec![], 0);
    for _ in 0..if options.quick { 5 } else { 21 } {
        std::thread::sleep(Duration::from_millis(1_050));
        let begin = Instant::now();
        let reply = kept.get("/metrics", &[]).expect("an answer");
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        assert_eq!(reply.status, 200);
        length = reply.body.len();
    }
    let worst = times.iter().copied().fold(0.0, f64::max);
    let row = Row {
        name: "/metrics, 1,000 services".into(),
        value: median(times),
        unit: "ms",
        target: Some((5.0, Bound::AtMost)),
        note: format!("median; worst {worst:.1}; {} kB", length / 1_000),
    };
    row.print();
    row
}

/// A node at rest, after a restart, once it answered wherever it listens: its memory.
fn at_rest(more: &str, with_certificate: bool) -> f64 {
    let (mut node, port) = node(10, more);
    if with_certificate {
        node.om_ok(&["cluster", "tls"]);
        wait_for("it listens", || Http::tls(port.number(), None).keep().is_some());
    }
    // What was made by the way is no memory of a node at rest.
    node.kill();
    node.start();
    wait_evaluated(&node, 10);
    if more.is_empty() {
        wait_for("the socket is there", || node.path("var/lsnr/h2.sock").exists());
        assert_eq!(Http::of(&node).get("/whoami").status, 200);
    }
    if with_certificate {
        let tls = Http::tls(port.number(), None);
        wait_for("it listens", || tls.keep().is_some());
        assert_eq!(tls.get("/whoami").status, 200);
    }
    std::thread::sleep(Duration::from_secs(3));
    resident_mib(&node)
}

/// What the front costs at rest: without its socket, with it, and with a certificate and TLS beside.
fn memory(options: &Options) -> Vec<Row> {
    let rounds = if options.quick { 3 } else { 7 };
    let mut found = [vec![], vec![], vec![]];
    for _ in 0..rounds {
        std::thread::scope(|scope| {
            let cases = [("h2 = false\n", false), ("", false), ("", true)];
            let runs = cases.map(|(more, is_tls)| scope.spawn(move || at_rest(more, is_tls)));
            for (run, found) in runs.into_iter().zip(&mut found) {
                found.push(run.join().expect("a node"));
            }
        });
    }
    let [closed, socket, tls] = found.map(median);
    let row = |name: &str, value: f64, most: f64, note: String| Row {
        name: name.into(),
        value,
        unit: "MiB",
        target: Some((most, Bound::AtMost)),
        note,
    };
    let rows = vec![
        row(
            "front at rest, h2.sock alone",
            socket - closed,
            1.0,
            format!("{socket:.1} of {closed:.1} with listener.h2 = false, 10 services"),
        ),
        row(
            "front at rest, h2.sock, certificate and TLS",
            tls - closed,
            3.0,
            format!("{tls:.1} of {closed:.1}: two sec objects as well"),
        ),
    ];
    rows.iter().for_each(Row::print);
    rows
}
