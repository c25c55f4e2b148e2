//! Promise: heartbeats hold what their drivers promise at the edges: a tenth of a second, hundreds of fragments, a device.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{Cluster, ClusterConf, Events, Node, Peer, Port, is_root, skip, wait_for};
use serde_json::{Value, json};
use wire::Prepared;

/// How often the loss of a peer is measured.
const ROUNDS: usize = 10;

/// The nice value of a task, by its `stat`.
fn nice(stat: &str) -> i32 {
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    fields.split_whitespace().nth(16).and_then(|text| text.parse().ok()).expect("a nice value")
}

#[test]
fn the_thread_of_heartbeats_goes_before_others_and_no_service_inherits_that() {
    if !is_root() {
        return skip("a priority needs root");
    }
    let node = Node::started("n1");
    let read = |file: String| std::fs::read_to_string(file).expect("a task");
    let main = nice(&read(format!("/proc/{}/stat", node.pid())));
    wait_for("one thread goes before the others", || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", node.pid())).expect("its threads");
        let stats = tasks.flatten().map(|task| task.path().join("stat"));
        stats.filter_map(|file| std::fs::read_to_string(file).ok()).any(|stat| nice(&stat) == -15)
    });
    node.write(
        "etc/web.conf",
        "[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\ntype = simple\nstart = /bin/sleep 91301\n",
    );
    node.wait_avail("web", "up");
    let pids = node.processes(|line| line == "/bin/sleep 91301");
    assert_eq!(
        pids.iter().map(|pid| nice(&read(format!("/proc/{pid}/stat")))).collect::<Vec<_>>(),
        [main]
    );
}

#[test]
fn a_peer_is_noticed_stale_within_a_timeout_of_a_tenth_of_a_second() {
    let heartbeat = "interval = 25ms\ntimeout = 100ms".to_owned();
    let cluster = Cluster::start_with(2, &ClusterConf { heartbeat, ..ClusterConf::default() });
    let mut events = Events::subscribe(&cluster.nodes[0], &json!({"full": true}));
    events.wait("the subscription", |document| document["kind"] == "full");
    let is_event = |document: &Value, id: &str| {
        let data = &document["data"];
        document["kind"] == "event" && data["id"] == id && data["hb"]["id"] == "hb#1.rx"
    };
    let mut silences = vec![];
    for _ in 0..ROUNDS {
        cluster.wait_beating();
        cluster.nodes[1].om_ok(&["daemon", "stop", "--thread-id", "hb#1.tx"]);
        let stale = events.wait("n2 is stale", |document| is_event(document, "hb_stale"));
        let hb = &stale["data"]["hb"];
        assert_eq!((&hb["timeout"], &hb["interval"]), (&json!(0.1), &json!(0.025)));
        let number = |value: &Value| value.as_f64().expect("a time");
        silences.push(number(&stale["ts"]) - number(&hb["last"]));
        cluster.nodes[1].om_ok(&["daemon", "start", "--thread-id", "hb#1.tx"]);
    }
    silences.sort_by(f64::total_cmp);
    let (median, worst) = (silences[ROUNDS / 2], silences[ROUNDS - 1]);
    println!(
        "measured: stale {:.1} ms after the last beat, worst of {ROUNDS}: {:.1} ms (timeout 100 ms, promised 110 ms)",
        median * 1e3,
        worst * 1e3
    );
    // Too early would be a mistake. Late is what a busy machine may be: far from the 15 s of the default, all the same.
    assert!(silences[0] >= 0.099 && worst < 7.5, "{silences:?}");
}

/// The full of a node with hundreds of instances is cut in hundreds of fragments.
#[test]
fn a_cluster_that_has_only_multicast_shares_a_dataset_of_hundreds_of_kilobytes() {
    let mut cluster = Cluster::configured(2, &ClusterConf::default());
    let text = cluster.nodes[0].read("etc/cluster.conf");
    let (before, _) = text.split_once("[hb#1]").expect("the heartbeat");
    let port = Port::reserve();
    let text = format!("{before}[hb#1]\ntype = multicast\nintf = lo\nport = {}\n", port.number());
    let paths: Vec<String> = (0..300).map(|number| format!("service{number:03}")).collect();
    for node in &cluster.nodes {
        node.write("etc/cluster.conf", &text);
    }
    for path in &paths {
        let text = "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n";
        cluster.nodes[0].write(&format!("etc/{path}.conf"), text);
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.wait_beating();
    let knows_all = |cluster: &Cluster| {
        let status = cluster.nodes[1].status();
        let instances = &status["monitor"]["nodes"]["n1"]["services"]["status"];
        paths.iter().all(|path| instances[path]["avail"].is_string())
    };
    wait_for("n2 knows all instances of n1", || knows_all(&cluster));
    let data = cluster.nodes[1].status()["monitor"]["nodes"]["n1"].to_string();
    assert!(data.len() > 100 << 10, "{} bytes only", data.len());
    // Of a node that is new, only a full tells it.
    cluster.nodes[1].kill();
    cluster.wait_flag(0, "hb#1.rx", 1, false);
    cluster.nodes[1].start();
    cluster.wait_beating();
    wait_for("n2 knows all instances of n1 again", || knows_all(&cluster));
    println!("measured: {} kB of data of a node over multicast", data.len() >> 10);
}

/// A block device, given back when dropped.
struct Device(String);

impl Device {
    fn make(file: &std::path::Path) -> Option<Self> {
        if !is_root() {
            skip("a loop device needs root");
            return None;
        }
        let made = Command::new("losetup").args(["--find", "--show"]).arg(file).output();
        let made = match made {
            Ok(made) if made.status.success() => made,
            Ok(made) => {
                let why = String::from_utf8_lossy(&made.stderr).trim().to_owned();
                skip(&format!("this machine does not let us make a loop device: {why}"));
                return None;
            }
            Err(error) => {
                skip(&format!("this machine has no losetup: {error}"));
                return None;
            }
        };
        Some(Self(String::from_utf8_lossy(&made.stdout).trim().to_owned()))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

#[test]
fn a_block_device_alone_carries_a_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("device");
    std::fs::File::create(&file).and_then(|file| file.set_len(8 << 20)).expect("a file");
    let Some(device) = Device::make(&file) else { return };
    let mut cluster = Cluster::configured(3, &ClusterConf::default());
    let text = cluster.nodes[0].read("etc/cluster.conf");
    let (before, _) = text.split_once("[hb#1]").expect("the heartbeat");
    // Behind a link, as /dev/disk names are.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&device.0, &link).expect("a link");
    let text = format!("{before}[hb#1]\ntype = disk\ndev = {}\n", link.display());
    for node in &cluster.nodes {
        node.write("etc/cluster.conf", &text);
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.wait_beating();
    let tx = cluster.worker(0, "hb#1.tx");
    assert_eq!((&tx["config"]["dev"], &tx["alerts"]), (&json!(device.0), &Value::Null));
    let mut slots: Vec<i64> = ["n1", "n2", "n3"]
        .iter()
        .filter_map(|name| cluster.worker(1, "hb#1.rx")["peers"][name]["slot"].as_i64())
        .collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2]);
    let is_told = |cluster: &Cluster| {
        (0..3).all(|at| {
            let nodes = cluster.nodes[at].status()["monitor"]["nodes"].clone();
            ["n1", "n2", "n3"].iter().all(|name| nodes[name]["frozen"].as_f64() > Some(0.0))
        })
    };
    cluster.nodes[0].om_ok(&["node", "freeze"]);
    wait_for("a freeze reaches all by the device", || is_told(&cluster));
    let killed = std::time::Instant::now();
    cluster.nodes[2].kill();
    cluster.wait_flag(0, "hb#1.rx", 2, false);
    assert!(killed.elapsed() < Duration::from_secs(20));
    cluster.nodes[2].start();
    cluster.wait_beating();
}

#[test]
fn a_clone_of_a_machine_is_told_on_all_nodes() {
    let cluster = Cluster::start(3);
    // It has the name and the secret of n2, so its frames open. n1 sees it at another address, n3 behind the same one.
    let clone = |at: usize| {
        let port = cluster.heartbeat_port(at);
        Peer::sealed(&cluster.nodes[at])
            .named("n2")
            .of_boot([7; 16])
            .at(cluster.address(at))
            .to(port)
    };
    let clones = [clone(0).from(99), clone(2)];
    let ping =
        json!({"kind": "ping", "compat": 10, "gen": {"n2": 1}, "monitor": {}, "updated": 1.5});
    let ping = Prepared::new(&ping);
    let told = |viewer: usize, teller: &str, places: &str| {
        let alert = format!(
            "n2: two machines call themselves so, {places}: stop the daemon of the one that is a copy"
        );
        let status = cluster.nodes[viewer].status();
        status["monitor"]["nodes"][teller]["alerts"]["hb#1.rx"].to_string().contains(&alert)
    };
    wait_for("n1 and n3 tell it, and all know", || {
        clones.iter().for_each(|clone| _ = clone.exchange(&clone.beat(&ping)));
        [0, 2].into_iter().all(|viewer| {
            told(viewer, "n1", "127.0.0.1 and 127.0.0.99")
                && told(viewer, "n3", "both behind 127.0.0.1")
        })
    });
}

#[test]
fn a_change_of_the_times_of_a_running_cluster_loses_nobody() {
    // The default times: a beat each 5 s.
    let times = ClusterConf { cluster: String::new(), ..ClusterConf::default() };
    let cluster = Cluster::start_with(2, &times);
    let rx = |at: usize| cluster.nodes[at].status()["hb#1.rx"].clone();
    let last = |at: usize, peer: &str| rx(at)["peers"][peer]["last"].as_f64();
    let silence = |at: usize, peer: &str| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        last(at, peer).map_or(0.0, |last| now - last)
    };
    let change = |words: &[&str], timeout: f64| {
        cluster.nodes[0].om_ok(words);
        wait_for("both nodes have the times", || {
            (0..2).all(|at| rx(at)["config"]["timeout"].as_f64() == Some(timeout))
        });
        let before = [last(0, "n2"), last(1, "n1")];
        wait_for("both go on beating", || last(0, "n2") > before[0] && last(1, "n1") > before[1]);
    };
    wait_for("n2 was silent for longer than the shorter timeout", || silence(0, "n2") > 2.0);
    change(&["cluster", "set", "--kw", "cluster.profile=fast"], 1.0);
    change(&["cluster", "unset", "--kw", "cluster.profile"], 15.0);
    for node in &cluster.nodes {
        let log = std::fs::read_to_string(node.path("log/node.log")).expect("a log");
        assert!(!log.contains("no split to judge"), "a peer was lost\n{log}");
    }
}
