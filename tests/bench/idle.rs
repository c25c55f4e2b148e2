//! What a node costs when nothing happens, and how fast it follows its files.

use std::time::{Duration, Instant};

use harness::{Events, Node};
use serde_json::json;

use crate::requests::idle_configuration;
use crate::{Bound, Options, ROLE, Row};

/// Delay within which the watcher merges changes of files: what a change takes beyond is ours.
const MERGE_MS: f64 = 100.0;

/// Longest wait for services to be evaluated, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A node whose services are loaded, evaluated, and left alone: they are not orchestrated.
fn idle_node(services: usize) -> (Node, Duration) {
    let mut node = Node::new("n1").with_env(ROLE, "om").with_program(crate::program());
    for index in 0..services {
        let text = idle_configuration(index, "default");
        node.write(&format!("etc/svc{index}.conf"), &text);
    }
    let begin = Instant::now();
    node.start();
    wait_evaluated(&node, services);
    (node, begin.elapsed())
}

/// Waits until all services are evaluated and the node is idle.
pub(crate) fn wait_evaluated(node: &Node, services: usize) {
    // Seldom, and for long: each look at 10,000 services takes a tenth of a second from the daemon.
    let begin = Instant::now();
    let is_evaluated = || {
        let status = node.status();
        let local = &status["monitor"]["nodes"]["n1"];
        let instances = local["services"]["status"].as_object();
        let known =
            instances.map_or(0, |all| all.values().filter(|one| one["avail"] == "down").count());
        known >= services && local["monitor"]["status"] == "idle"
    };
    while !is_evaluated() {
        assert!(begin.elapsed() < PATIENCE, "{services} services are not evaluated");
        std::thread::sleep(Duration::from_millis(5 + services as u64 / 20));
    }
}

/// Memory and processor use with nothing to do.
pub(crate) fn measure_idle(options: &Options) -> Vec<Row> {
    println!("Idle\n");
    let counts: &[usize] = if options.quick { &[10, 1_000] } else { &[0, 10, 100, 1_000, 10_000] };
    let time = Duration::from_secs(if options.quick { 10 } else { 30 });
    let mut rows = vec![];
    for &services in counts {
        let (node, _) = idle_node(services);
        // Loading leaves work behind it, timers and frees: what follows is the daemon at rest.
        std::thread::sleep(Duration::from_secs(3));
        let before = cpu_seconds(&node);
        std::thread::sleep(time);
        let percent = (cpu_seconds(&node) - before) / time.as_secs_f64() * 100.0;
        let target = match services {
            10 => Some((15.0, Bound::AtMost)),
            10_000 => Some((150.0, Bound::AtMost)),
            _ => None,
        };
        rows.push(Row {
            name: format!("resident memory, {services} services"),
            value: resident_mib(&node),
            unit: "MiB",
            target,
            note: String::new(),
        });
        rows.push(Row {
            name: format!("processor, {services} services"),
            value: percent,
            unit: "% core",
            target: (services == 1_000).then_some((0.5, Bound::AtMost)),
            note: format!("over {} s", time.as_secs()),
        });
        rows.iter().rev().take(2).rev().for_each(Row::print);
    }
    println!();
    rows
}

/// Loading many files, and following one of them.
pub(crate) fn measure_files(options: &Options) -> Vec<Row> {
    let services = if options.quick { 1_000 } else { 10_000 };
    println!("Files\n");
    let (node, loaded) = idle_node(services);
    let mut rows = vec![Row {
        name: format!("from start to {services} services evaluated"),
        value: loaded.as_secs_f64(),
        unit: "s",
        target: None,
        note: String::new(),
    }];
    let mut events = Events::subscribe(&node, &json!({}));
    let mut delays: Vec<f64> = (0..21)
        .map(|round| {
            let app = format!("changed{round}");
            let text = idle_configuration(7, &app);
            let begin = Instant::now();
            node.write("etc/svc7.conf", &text);
            events.wait("the change", |document| document.to_string().contains(&app));
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    rows.push(Row {
        name: format!("from a changed file to its effect, 1 of {services}"),
        value: delays[delays.len() / 2] - MERGE_MS,
        unit: "ms",
        target: Some((20.0, Bound::AtMost)),
        note: format!(
            "median beyond the {MERGE_MS} ms of the watcher; worst {:.1}",
            delays[delays.len() - 1] - MERGE_MS
        ),
    });
    let first = measure_start();
    rows.push(Row {
        name: "om daemon start to the first answered request".into(),
        value: first,
        unit: "ms",
        target: Some((50.0, Bound::AtMost)),
        note: "median of 11".into(),
    });
    rows.iter().for_each(Row::print);
    println!();
    rows
}

/// Milliseconds from running `om daemon start` to an answered request.
fn measure_start() -> f64 {
    let node = Node::new("n1").with_env(ROLE, "om").with_program(crate::program());
    let mut times: Vec<f64> = (0..11)
        .map(|_| {
            let begin = Instant::now();
            node.om_ok(&["daemon", "start"]);
            assert_eq!(node.request(&json!({"action": "daemon_blacklist_status"}))["status"], 0);
            let time = begin.elapsed().as_secs_f64() * 1e3;
            node.om_ok(&["daemon", "stop"]);
            time
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Memory of the daemon.
pub(crate) fn resident_mib(node: &Node) -> f64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("the daemon runs");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of the kernel");
    line.split_whitespace()
        .next()
        .and_then(|word| word.parse::<f64>().ok())
        .expect("a number of kB")
        / 1024.0
}

/// Processor time of the daemon since it started.
fn cpu_seconds(node: &Node) -> f64 {
    cpu_seconds_of(node).0
}

/// Processor time of the daemon since it started, and of its children that ended.
pub(crate) fn cpu_seconds_of(node: &Node) -> (f64, f64) {
    cpu_seconds_by(node.pid())
}

/// Processor time of a process since it started, and of its children that ended.
pub(crate) fn cpu_seconds_by(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> =
        stat.rsplit_once(") ").expect("a line of the kernel").1.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number of ticks");
    // utime and stime, then those of children, in 100ths of a second on Linux.
    ((ticks(11) + ticks(12)) / 100.0, (ticks(13) + ticks(14)) / 100.0)
}
