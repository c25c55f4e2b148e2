//! A thousand services over three nodes, one of which dies: when all that it ran is started elsewhere, and at what cost.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::{Cluster, id_of};
use serde_json::json;

use crate::failover::{load, until};
use crate::idle::cpu_seconds_of;
use crate::{Bound, Options, Row};

/// Orders of preference, in turn: what a node runs goes to both others when it dies.
const ORDERS: [&str; 6] = ["n1 n2 n3", "n2 n3 n1", "n3 n1 n2", "n1 n3 n2", "n2 n1 n3", "n3 n2 n1"];

/// Decision rounds over which their cost is averaged.
const ROUNDS: u32 = 10;

/// Services that cost no process of their own: a flag in a folder of the node.
fn start(services: usize, max_parallel: Option<usize>) -> Cluster {
    let mut cluster = crate::cluster();
    let now = std::time::SystemTime::now();
    let most = max_parallel.map_or(String::new(), |most| format!("max_parallel = {most}\n"));
    for node in &cluster.nodes {
        node.write("etc/node.conf", &format!("[node]\n{most}"));
        for index in 0..services {
            let name = format!("etc/svc{index}.conf");
            let text = format!(
                "[DEFAULT]\nid = {}\nnodes = {}\norchestrate = ha\n\n[fs#1]\ntype = flag\n\
                 provision = false\nunprovision = false\n\n[sync#i0]\ndisable = true\n",
                id_of(&name),
                ORDERS[index % ORDERS.len()]
            );
            node.write(&name, &text);
            let file = std::fs::File::options().write(true).open(node.path(&name));
            file.and_then(|file| file.set_modified(now)).expect("the same time everywhere");
        }
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster
}

/// Services started on a node: a look at a folder, which costs the daemon nothing.
fn started(cluster: &Cluster, at: usize) -> usize {
    let folder: PathBuf = cluster.nodes[at].path("tmp/flags/svc");
    let services = std::fs::read_dir(folder).into_iter().flatten().flatten();
    services.filter(|service| service.path().join("fs#1.flag").exists()).count()
}

/// Waits until all that is to be is up and idle, as each of these nodes knows.
fn settle(cluster: &Cluster, on: &[usize], services: usize, avail: &str) {
    for at in on {
        until("all is quiet", || {
            // Seldom: a look costs the daemon more than a decision.
            std::thread::sleep(Duration::from_millis(100));
            let status = cluster.nodes[*at].status();
            let all = status["monitor"]["services"].as_object();
            let reached = all.map_or(0, |all| {
                all.iter()
                    .filter(|(path, one)| path.starts_with("svc") && one["avail"] == avail)
                    .count()
            });
            let nodes = status["monitor"]["nodes"].as_object();
            let is_idle = nodes.is_some_and(|nodes| {
                nodes.values().all(|node| {
                    let instances = node["services"]["status"].as_object();
                    instances.is_none_or(|instances| {
                        instances.values().all(|one| {
                            one["monitor"]["status"].as_str().unwrap_or("idle") == "idle"
                                && one["monitor"]["global_expect"].is_null()
                        })
                    })
                })
            });
            reached == services && is_idle
        });
    }
}

/// Processor time of nodes so far: of their daemons, and of what these ran.
fn cpu(cluster: &Cluster, on: &[usize]) -> (f64, f64) {
    on.iter()
        .map(|at| cpu_seconds_of(&cluster.nodes[*at]))
        .fold((0.0, 0.0), |sum, (own, run)| (sum.0 + own, sum.1 + run))
}

fn row(name: String, seconds: f64, target: Option<f64>, note: String) -> Row {
    let target = target.map(|target| (target, Bound::AtMost));
    Row { name, value: seconds, unit: "s", target, note }
}

/// One life of such a cluster.
fn live(services: usize, max_parallel: Option<usize>) -> Vec<Row> {
    let allowed = max_parallel.map_or("default".to_owned(), |most| most.to_string());
    let name = |what: &str| format!("{services} services, max_parallel {allowed}: {what}");
    let mut rows = vec![];
    let begin = Instant::now();
    let mut cluster = start(services, max_parallel);
    until("all are started", || {
        std::thread::sleep(Duration::from_millis(20));
        (0..3).map(|at| started(&cluster, at)).sum::<usize>() == services
    });
    rows.push(row(
        name("all started at first"),
        begin.elapsed().as_secs_f64(),
        None,
        String::new(),
    ));
    settle(&cluster, &[0, 1, 2], services, "up");

    // One decision round: every monitor looks at everything.
    let before = cpu(&cluster, &[0]).0;
    let wake = json!({"action": "wake_monitor", "options": {"immediate": true}});
    for _ in 0..ROUNDS {
        let reply = cluster.nodes[0].request(&wake);
        assert_eq!(reply["status"], 0, "{reply}");
        // Answered after what was asked before it.
        _ = cluster.nodes[0].request(&json!({"action": "daemon_blacklist_status"}));
        std::thread::sleep(Duration::from_millis(100));
    }
    let round = (cpu(&cluster, &[0]).0 - before) / f64::from(ROUNDS) * 1e3;
    rows.push(Row {
        name: name("a decision round"),
        value: round,
        unit: "ms cpu",
        target: Some((50.0, Bound::AtMost)),
        note: format!("{ROUNDS} rounds"),
    });

    let lost = started(&cluster, 0);
    let (already, before) = (started(&cluster, 1) + started(&cluster, 2), cpu(&cluster, &[1, 2]));
    let begin = Instant::now();
    cluster.nodes[0].kill();
    let now = || started(&cluster, 1) + started(&cluster, 2);
    let first = until("one is started", || now() > already);
    until("all are started elsewhere", || {
        std::thread::sleep(Duration::from_millis(10));
        now() == services
    });
    let time = begin.elapsed().as_secs_f64();
    settle(&cluster, &[1, 2], services, "up");
    let after = cpu(&cluster, &[1, 2]);
    rows.push(row(
        name(&format!("a node dies, its {lost} started elsewhere")),
        time,
        Some(3.0),
        format!(
            "first after {:.2} s; cpu {:.1} s of daemons, {:.1} s of actions, load {}",
            first.as_secs_f64(),
            after.0 - before.0,
            after.1 - before.1,
            load()
        ),
    ));

    let before = after;
    let begin = Instant::now();
    cluster.nodes[1].om_ok(&["svc*", "stop", "--wait", "--time", "120s"]);
    let time = begin.elapsed().as_secs_f64();
    let after = cpu(&cluster, &[1, 2]);
    assert_eq!(now(), 0, "all are stopped");
    rows.push(row(
        name("om 'svc*' stop --wait"),
        time,
        None,
        format!(
            "cpu {:.1} s of daemons, {:.1} s of actions",
            after.0 - before.0,
            after.1 - before.1
        ),
    ));
    rows.iter().for_each(Row::print);
    rows
}

/// A thousand services with the default of `node.max_parallel`, and with no limit to speak of.
pub(crate) fn measure(options: &Options) -> Vec<Row> {
    println!("Scale\n");
    let services = if options.quick { 200 } else { 1_000 };
    let mut rows = live(services, None);
    rows.extend(live(services, Some(1_000)));
    println!();
    rows
}
