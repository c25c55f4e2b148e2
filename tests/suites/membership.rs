//! Promise: a node becomes a member, rejoins and leaves, and a join that fails changes nothing.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::Duration;

use harness::{Cluster, ClusterConf, Node, Output, Peer, is_root, skip, wait_for, wait_within};
use serde_json::{Value, json};

/// A member of a cluster of its own, whose cluster.conf names the addresses of all the nodes that may join.
fn member(name: &str, others: &[&Node], extra: &str) -> Node {
    let node = Node::new(name);
    let all = others.iter().copied().chain([&node]);
    let addresses: String = all
        .map(|node| format!("addr@{0} = 127.0.0.1\nport@{0} = {1}\n", node.name(), node.port()))
        .collect();
    node.write("etc/cluster.conf", &cluster_conf(&node, &addresses, extra));
    node
}

fn cluster_conf(node: &Node, addresses: &str, extra: &str) -> String {
    format!(
        "# the cluster of {0}\n[DEFAULT]\nid = 154a5a0d-dc2d-4ea0-a03e-bfe936cc04ee\n\n[cluster]\nname = demo\n\
         id = 9a41a7cc-e68f-11f1-bd9a-fadc5ed23424\nsecret = {1}\nnodes = {0}\n{extra}\n[listener]\n{addresses}",
        node.name(),
        node.secret()
    )
}

/// A node that is alone in a cluster with another secret.
fn stranger(name: &str) -> Node {
    let node = Node::new(name);
    let text =
        node.read("etc/cluster.conf").replace(node.secret(), "another-secret-another-secret-00");
    node.write("etc/cluster.conf", &text);
    node
}

fn address(node: &Node) -> String {
    format!("127.0.0.1:{}", node.port())
}

fn join(node: &Node, to: &Node, options: &[&str]) -> Output {
    let address = address(to);
    let words = [&["daemon", "join", "--node", &address, "--secret", "-"], options].concat();
    node.om_stdin(&words, &format!("{}\n", to.secret()))
}

fn assert_joined(output: &Output, node: &Node) {
    assert_eq!(output.code, Some(0), "{output:?}\n{}", node.node_log());
}

fn members(node: &Node) -> Value {
    node.status()["cluster"]["nodes"].clone()
}

/// The configuration and what freezes the node.
fn state(node: &Node) -> (String, String, bool) {
    let frozen = node.path("var/node/frozen").exists();
    (node.read("etc/cluster.conf"), node.read("etc/node.conf"), frozen)
}

fn modified(node: &Node) -> (i64, i64) {
    let metadata = std::fs::metadata(node.path("etc/cluster.conf")).expect("the file");
    (metadata.mtime(), metadata.mtime_nsec())
}

#[test]
fn a_joiner_takes_the_cluster_over_and_both_know_both() {
    let (mut n2, mut n3) = (stranger("n2"), stranger("n3"));
    let mut n1 = member("n1", &[&n2, &n3], "");
    n1.start();
    n2.start();
    assert_joined(&join(&n2, &n1, &[]), &n1);
    for node in [&n1, &n2] {
        wait_for("both are members", || members(node) == json!(["n1", "n2"]));
    }
    let text = n1.read("etc/cluster.conf");
    assert!(
        text.starts_with("# the cluster of n1\n") && text.contains("nodes = n1 n2\n"),
        "{text}"
    );
    assert!(text.contains("\n[hb#1]\ntype = unicast\n"), "they hear each other: {text}");
    assert_eq!(n2.read("etc/cluster.conf"), text);
    let (ours, theirs) = (modified(&n1), modified(&n2));
    // As nodes publish it: a float of seconds.
    let float = |(seconds, nanos): (i64, i64)| seconds as f64 + nanos as f64 / 1e9;
    assert_eq!(float(ours), float(theirs));
    assert!(!n2.path("var/node/frozen").exists(), "thawed again");
    // They answer each other, by the addresses that cluster.conf names.
    let ping = n2.om(&["node", "ping", "--node", "n1"]);
    assert_eq!((ping.code, ping.out.as_str()), (Some(0), "n1 is alive\n"), "{ping:?}");
    assert_eq!(n2.om_ok(&["node", "ls", "--node", "*"]), "n1\nn2\n");
    let all = n1.request(&json!({"action": "daemon_blacklist_status", "node": "n*"}));
    assert_eq!(all["nodes"]["n2"]["status"], 0, "{all}");
    assert_eq!(all["status"], 0, "{all}");
    // Joining again changes nothing, on either side.
    let before = (state(&n1), modified(&n1), state(&n2), modified(&n2));
    assert_joined(&n2.om(&["daemon", "rejoin"]), &n1);
    assert_joined(&join(&n2, &n1, &["--envelope", "sealed"]), &n1);
    assert_eq!((state(&n1), modified(&n1), state(&n2), modified(&n2)), before);
    // A node that never was heard holds no lock: a third one is not taken in, and is told so in time.
    n2.kill();
    n3.start();
    let before = state(&n3);
    let refused = join(&n3, &n1, &["--timeout", "2s"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("join") && refused.err.contains("n2"), "{refused:?}");
    assert_eq!(state(&n3), before);
}

#[test]
fn a_member_that_is_paused_keeps_others_from_joining_and_is_named() {
    // Long enough for a paused member not to be forgotten meanwhile.
    let conf = ClusterConf { heartbeat: "timeout = 60".into(), ..ClusterConf::default() };
    let cluster = Cluster::start_with(3, &conf);
    let [n1, n2, n3] = &cluster.nodes[..] else { panic!("three nodes") };
    let mut n4 = stranger("n4");
    n4.start();
    let all = [n1, n2, &n4];
    n3.signal(rustix::process::Signal::STOP);
    let before = all.map(|node| (state(node), modified(node)));
    let address = format!("127.0.0.11:{}", n1.port());
    let secret = "81ec81d6e68c11f1ae3f02fc00000001\n";
    let words = ["daemon", "join", "--node", &address, "--secret", "-", "--timeout", "2s"];
    let refused = n4.om_stdin(&words, secret);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let is_named = refused.err.contains("n3 did not confirm") && !refused.err.contains("n2");
    assert!(is_named, "{refused:?}");
    n3.signal(rustix::process::Signal::CONT);
    // The claim is gone everywhere: who asks now is taken in. So nobody was in between.
    let lock = json!({"action": "lock", "options": {"name": "join", "timeout": "20s"}});
    assert_eq!(n2.request(&lock)["status"], 0);
    assert_eq!(all.map(|node| (state(node), modified(node))), before);
    for node in [n1, n2] {
        assert_eq!(members(node), json!(["n1", "n2", "n3"]));
    }
}

#[test]
fn a_wrong_secret_changes_nothing_and_says_so() {
    let mut n2 = stranger("n2");
    let mut n1 = member("n1", &[&n2], "");
    n1.start();
    n2.start();
    let before = (state(&n1), state(&n2));
    let address = address(&n1);
    let words = ["daemon", "join", "--node", &address, "--secret-file", "-"];
    let refused = n2.om_stdin(&words, "wrong-secret-wrong-secret-wrong-secret\n");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("secret"), "{refused:?}");
    assert!(!refused.err.contains("wrong-secret"), "{refused:?}");
    assert_eq!((state(&n1), state(&n2)), before);
    // No secret at all is a mistake of the command line.
    let usage = n2.om(&["daemon", "join", "--node", &address]);
    assert_eq!(usage.code, Some(2), "{usage:?}");
    assert!(usage.err.contains("OSVC_CLUSTER_SECRET"), "{usage:?}");
}

#[test]
fn a_joiner_that_cannot_write_stays_as_it_was_and_is_no_member() {
    if !is_root() {
        skip("mounting a small disk needs root");
        return;
    }
    let n2 = stranger("n2");
    let mut n1 = member("n1", &[&n2], "");
    // A configuration that does not fit there.
    let filler = format!("# {}\n", "x".repeat(300 << 10));
    n1.write("etc/cluster.conf", &(n1.read("etc/cluster.conf") + &filler));
    n1.start();
    let (cluster, node) = (n2.read("etc/cluster.conf"), n2.read("etc/node.conf"));
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"])
        .arg(n2.path("etc"))
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        skip("this machine does not let us mount a small disk");
        return;
    }
    n2.write("etc/cluster.conf", &cluster);
    n2.write("etc/node.conf", &node);
    let before = state(&n2);
    let failed = join(&n2, &n1, &[]);
    let after = state(&n2);
    let unmounted = Command::new("umount").arg("-l").arg(n2.path("etc")).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.err.contains("cluster.conf"), "the error names the file: {failed:?}");
    assert_eq!(after, before);
    wait_for("the joined node takes it back", || members(&n1) == json!(["n1"]));
}

/// As on a full disk, without root.
#[test]
fn who_cannot_write_what_a_join_needs_changes_nothing_on_either_side() {
    let filler = format!("# {}\n", "x".repeat(300 << 10));
    for is_joiner in [true, false] {
        let limited = |node: Node, is_limited| match is_limited {
            true => node.with_files_up_to(256),
            false => node,
        };
        let mut n2 = limited(stranger("n2"), is_joiner);
        let mut n1 = limited(member("n1", &[&n2], ""), !is_joiner);
        n1.write("etc/cluster.conf", &(n1.read("etc/cluster.conf") + &filler));
        n1.start();
        n2.start();
        let before = (state(&n1), state(&n2));
        let failed = join(&n2, &n1, &[]);
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert!(
            failed.err.contains("cluster.conf") && failed.err.contains("File too large"),
            "{failed:?}"
        );
        assert_eq!(state(&n2), before.1);
        if is_joiner {
            wait_for("n2 is taken back", || members(&n1) == json!(["n1"]));
            assert!(n1.read("etc/cluster.conf").contains("nodes = n1\n"));
        } else {
            assert_eq!(state(&n1), before.0);
        }
        for folder in [n1.path("etc"), n2.path("etc")] {
            let files = std::fs::read_dir(&folder).expect("the folder").flatten();
            let names: Vec<_> = files.map(|file| file.file_name()).collect();
            assert!(
                names.iter().all(|name| !name.as_encoded_bytes().starts_with(b".")),
                "{names:?}"
            );
        }
    }
}

#[test]
fn a_cluster_that_speaks_both_dialects_is_joined_in_either() {
    for dialect in ["classic", "sealed"] {
        let mut n2 = stranger("n2");
        let mut n1 = member("n1", &[&n2], "envelope = any\n");
        n1.start();
        n2.start();
        assert_joined(&join(&n2, &n1, &["--envelope", dialect]), &n1);
        assert_eq!(n2.om_ok(&["cluster", "get", "--kw", "cluster.envelope"]), "any\n");
        assert!(!n2.read("etc/node.conf").contains("envelope"));
        wait_for("it knows the cluster", || members(&n2) == json!(["n1", "n2"]));
        assert_eq!(n2.om_ok(&["node", "ping", "--node", "n1"]), "n1 is alive\n", "{dialect}");
    }
    // One that speaks sealed only is not joined in classic.
    let mut n2 = stranger("n2");
    let mut n1 = member("n1", &[&n2], "");
    n1.start();
    n2.start();
    let before = state(&n2);
    let refused = join(&n2, &n1, &["--envelope", "classic"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("cluster.envelope"), "{refused:?}");
    assert_eq!(state(&n2), before);
}

#[test]
fn a_node_that_left_is_a_cluster_of_its_own_and_is_refused_by_the_others() {
    let mut n2 = stranger("n2");
    let mut n1 = member("n1", &[&n2], "");
    n1.start();
    n2.start();
    assert_joined(&join(&n2, &n1, &[]), &n1);
    wait_for("both are members", || members(&n2) == json!(["n1", "n2"]));
    let request = json!({"action": "daemon_status", "options": {}});
    let ask_as_n2 = || Peer::sealed(&n1).named("n2").ask(&request).expect("an answer");
    assert!(ask_as_n2()["cluster"].is_object());
    n2.om_ok(&["daemon", "leave"]);
    wait_for("n1 forgets n2", || members(&n1) == json!(["n1"]));
    wait_for("n2 forgets n1", || members(&n2) == json!(["n2"]));
    assert!(n1.status()["monitor"]["nodes"]["n2"].is_null());
    assert!(n2.path("var/node/frozen").exists(), "what runs here may be started there");
    let text = n2.read("etc/cluster.conf");
    assert!(!text.contains(n1.secret()) && text.contains("id = 154a5a0d"), "{text}");
    assert_eq!(ask_as_n2()["status"], 401);
    // And back again.
    assert_joined(&join(&n2, &n1, &[]), &n1);
    wait_for("both are members", || members(&n2) == json!(["n1", "n2"]));
    assert!(n2.path("var/node/frozen").exists(), "it was frozen before");
}

#[test]
fn a_lock_is_not_granted_while_a_member_does_not_show_it_and_is_not_left_behind() {
    let mut n1 = member("n1", &[], "");
    n1.start();
    let lock = json!({"action": "lock", "options": {"name": "a", "timeout": "1s"}});
    let taken = n1.request(&lock);
    let id = taken["data"]["id"].as_str().unwrap_or_else(|| panic!("{taken}")).to_owned();
    assert_eq!(n1.request(&lock), json!({"status": 1}), "held");
    let unlock = |id: &str| {
        n1.request(&json!({"action": "unlock", "options": {"name": "a", "lock_id": id}}))
    };
    assert_eq!(unlock("another"), json!({"status": 0}));
    assert_eq!(n1.request(&lock), json!({"status": 1}), "still held");
    assert_eq!(unlock(&id), json!({"status": 0}));
    assert_eq!(n1.request(&lock)["status"], 0, "free");
    n1.kill();
    let text = n1.read("etc/cluster.conf").replace("nodes = n1", "nodes = n1 n2");
    n1.write("etc/cluster.conf", &text);
    n1.start();
    assert_eq!(n1.request(&lock), json!({"status": 1}), "n2 was never heard");
    let locks = json!({"action": "cluster/locks", "method": "GET"});
    // It is released once the answer is on its way.
    wait_for("the claim is gone", || n1.request(&locks) == json!({"status": 0, "data": {}}));
}

#[test]
fn a_node_leaves_only_where_that_is_typed_and_not_while_it_runs_what_others_would_start() {
    let mut n2 = stranger("n2");
    let mut n1 = member("n1", &[&n2], "");
    n1.start();
    n2.start();
    assert_joined(&join(&n2, &n1, &[]), &n1);
    wait_for("both are members", || members(&n1) == json!(["n1", "n2"]));
    let elsewhere = n1.om(&["daemon", "leave", "--node", "n2"]);
    assert_eq!(elsewhere.code, Some(1), "{elsewhere:?}");
    assert!(elsewhere.err.contains("log in to the node"), "{elsewhere:?}");
    let conf = "[DEFAULT]\nnodes = n1 n2\norchestrate = no\n[app#1]\ntype = simple\nstart = /bin/sleep 91107\n";
    n2.write("etc/web.conf", conf);
    wait_for("n2 has it", || n2.instance("web")["avail"] == "down");
    n2.om_ok(&["web", "start", "--local"]);
    n2.wait_avail("web", "up");
    wait_for("n2 says so", || {
        n2.status()["monitor"]["nodes"]["n2"]["services"]["status"]["web"]["avail"] == "up"
    });
    let running = n2.om(&["daemon", "leave"]);
    assert_eq!(running.code, Some(1), "{running:?}");
    assert!(running.err.contains("web") && running.err.contains("om node drain"), "{running:?}");
    // Its processes run on without a daemon; and those of an application of which nothing tells whether it is up.
    n2.om_ok(&["daemon", "stop"]);
    _ = n2.wait_end();
    let stopped = n2.om(&["daemon", "leave"]);
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    assert!(stopped.err.contains("second time: web: "), "{stopped:?}");
    assert_eq!(members(&n1), json!(["n1", "n2"]));
    n2.start();
    let unchecked = "[DEFAULT]\nnodes = n1 n2\norchestrate = no\n[app#1]\ntype = forking\nstart = /bin/sh -c '/bin/sleep 91108 >/dev/null 2>&1 & exit 0'\nstop = /bin/true\n";
    n2.write("etc/shop.conf", unchecked);
    wait_for("n2 has it", || n2.instance("shop")["avail"] == "n/a");
    n2.om_ok(&["shop", "start", "--local"]);
    let unknown = n2.om(&["daemon", "leave"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("shop (processes "), "{unknown:?}");
    for pid in n2.processes(|line| line == "/bin/sleep 91108") {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    }
    let set =
        |more: &[&str]| n1.om(&[&["cluster", "set", "--kw", "cluster.nodes=n1"], more].concat());
    let ejecting = set(&[]);
    assert_eq!(ejecting.code, Some(1), "{ejecting:?}");
    assert!(ejecting.err.contains("take n2 out"), "{ejecting:?}");
    assert_eq!((members(&n1), members(&n2)), (json!(["n1", "n2"]), json!(["n1", "n2"])));
    n2.om_ok(&["web", "stop", "--local"]);
    n2.om_ok(&["daemon", "leave"]);
    wait_for("n1 forgets n2", || members(&n1) == json!(["n1"]));
    assert_joined(&join(&n2, &n1, &[]), &n1);
    wait_for("both are members", || members(&n1) == json!(["n1", "n2"]));
    assert_eq!(set(&["--force"]).code, Some(0));
    wait_for("n1 is alone", || members(&n1) == json!(["n1"]));
}

#[test]
fn a_host_that_was_renamed_is_told_of_at_its_peers_until_it_has_its_name_back() {
    let mut cluster = Cluster::start(3);
    cluster.nodes[2].kill();
    let text = cluster.nodes[2].read("etc/cluster.conf");
    let addresses = text.lines().map(|line| match line.contains("@n3 = ") {
        true => format!("{line}\n{}\n", line.replace("@n3", "@paris")),
        false => format!("{line}\n"),
    });
    cluster.nodes[2].write("etc/cluster.conf", &addresses.collect::<String>());
    cluster.nodes[2].set_env("OSVC_NODENAME", Some("paris"));
    cluster.nodes[2].start();
    let told = |node: &Node| node.status()["standing"]["alerts"].to_string().contains("paris, at ");
    for node in &cluster.nodes[..2] {
        wait_for("its peers tell of it", || told(node));
    }
    cluster.nodes[2].kill();
    cluster.nodes[2].set_env("OSVC_NODENAME", Some("n3"));
    cluster.nodes[2].start();
    wait_within(Duration::from_secs(60), "the alert goes", || {
        (!told(&cluster.nodes[0])).then_some(())
    });
}
