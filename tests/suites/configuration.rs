//! Promise: configuration files are followed; a change applies only what it changes, a mistake changes nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use harness::{Node, Peer, Port, wait_for};
use serde_json::{Value, json};

fn node_conf(port: u16) -> String {
    format!("[listener]\naddr = 127.0.0.1\nport = {port}\n")
}

fn alerts(node: &Node, thread: &str) -> usize {
    node.status()[thread]["alerts"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_changed_port_is_bound_and_established_connections_live_on() {
    let node = Node::started("n1");
    let mut kept = Peer::sealed(&node);
    let request = json!({"action": "daemon_blacklist_status"});
    assert_eq!(kept.ask(&request).expect("a reply")["status"], 0);
    let reserved = Port::reserve();
    let port = reserved.number();
    node.write("etc/node.conf", &node_conf(port));
    wait_for("the new port is open", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    wait_for("the old port is closed", || TcpStream::connect(("127.0.0.1", node.port())).is_err());
    assert_eq!(kept.ask(&request).expect("a reply")["status"], 0);
    wait_for("the new port is published", || node.status()["listener"]["config"]["port"] == port);
}

#[test]
fn a_bad_address_keeps_the_old_one_and_raises_an_alert() {
    let node = Node::started("n1");
    node.write("etc/node.conf", &format!("[listener]\naddr = 192.0.2.1\nport = {}\n", node.port()));
    wait_for("an alert", || alerts(&node, "listener") > 0);
    assert!(TcpStream::connect(("127.0.0.1", node.port())).is_ok());
    node.write("etc/node.conf", &node_conf(node.port()));
    wait_for("the alert is gone", || alerts(&node, "listener") == 0);
}

#[test]
fn a_file_that_is_no_configuration_changes_nothing_and_is_named() {
    let node = Node::started("n1");
    let good =
        "[DEFAULT]\nid = 11111111-2222-3333-4444-555555555555\nnodes = n1\n[fs#1]\ntype = flag\n";
    node.write("etc/svc1.conf", good);
    node.wait_avail("svc1", "down");
    let csum =
        || node.status()["monitor"]["nodes"]["n1"]["services"]["config"]["svc1"]["csum"].clone();
    let before = csum();
    for text in [
        "no section\n",
        "[DEFAULT]\nnodes = n1\nthis line has no delimiter\n",
        "\0\u{1}\u{2}binary",
    ] {
        node.write("etc/svc1.conf", text);
        wait_for("the mistake is reported", || {
            node.status()["config"].to_string().contains("svc1.conf")
        });
        assert!(!node.instance("svc1").is_null(), "the last good configuration stays in force");
        assert_eq!(csum(), before);
        let validated = node.om(&["svc1", "validate", "config"]);
        assert_ne!(validated.code, Some(0), "{text:?}: {validated:?}");
        node.write("etc/svc1.conf", good);
        wait_for("the report is gone", || {
            !node.status()["config"].to_string().contains("svc1.conf")
        });
    }
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\napp = x\n[fs#1]\ntype = flag\n");
    wait_for("the good one is in force", || node.instance("svc1")["app"] == "x");
}

#[test]
fn concurrent_writers_lose_nothing() {
    let node = Node::started("n1");
    node.write("etc/svc1.conf", "# kept\n[DEFAULT]\nnodes = n1\nunknown_keyword = kept\n");
    std::fs::set_permissions(node.path("etc/svc1.conf"), std::fs::Permissions::from_mode(0o640))
        .expect("a file");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let node = &node;
            scope.spawn(move || {
                node.om_ok(&["svc1", "set", "--kw", &format!("env.k{writer}=v{writer}")])
            });
        }
    });
    let text = node.read("etc/svc1.conf");
    for writer in 0..8 {
        assert!(text.contains(&format!("k{writer} = v{writer}\n")), "{text}");
    }
    assert_eq!(node.om_ok(&["svc1", "get", "--kw", "env.k3"]), "v3\n");
    assert!(text.starts_with("# kept\n") && text.contains("unknown_keyword = kept\n"), "{text}");
    let mode = std::fs::metadata(node.path("etc/svc1.conf")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "the mode is kept");
}

#[test]
fn the_first_start_makes_a_cluster_of_one_node() {
    let mut node = Node::new("n1");
    std::fs::remove_file(node.path("etc/cluster.conf")).expect("a file");
    node.start();
    let mode =
        std::fs::metadata(node.path("etc/cluster.conf")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let status: Value = node.status();
    assert_eq!(status["cluster"]["name"], "default");
    assert_eq!(status["cluster"]["nodes"], json!(["n1"]));
    let text = node.read("etc/cluster.conf");
    assert!(text.contains("[hb#1]\ntype = unicast\n"), "who joins is heard: {text}");
    node.kill();
    node.start();
    assert_eq!(node.read("etc/cluster.conf"), text, "it is written once");
}

#[test]
fn an_occupied_port_is_reported_and_taken_when_it_is_free() {
    let reserved = Port::reserve();
    let port = reserved.number();
    let blocker = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port");
    let mut node = Node::new("n1");
    node.write("etc/node.conf", &node_conf(port));
    node.start();
    wait_for("an alert", || alerts(&node, "listener") > 0);
    drop(blocker);
    wait_for("the port is taken", || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
        // Ours closes on nonsense; a port that nobody serves refuses.
        _ = stream.write_all(b"nonsense\0");
        stream.read(&mut [0; 16]).is_ok()
    });
}

/// All that `daemon_status` tells of mistakes in files.
fn told(node: &Node) -> String {
    node.status()["config"]["alerts"].to_string()
}

fn pipe(node: &Node, relative: &str) {
    let file = node.path(relative);
    rustix::fs::mkfifoat(rustix::fs::CWD, file, rustix::fs::Mode::RWXU).expect("a pipe");
}

#[test]
fn a_node_stays_in_its_cluster_when_its_file_is_gone_or_emptied() {
    let mut node = Node::started("n1");
    let cluster = |node: &Node| node.status()["cluster"].clone();
    let before = cluster(&node);
    let text = node.read("etc/cluster.conf");
    std::fs::remove_file(node.path("etc/cluster.conf")).expect("a file");
    wait_for("it is told", || told(&node).contains("cluster.conf: does not exist"));
    assert_eq!(cluster(&node), before);
    assert_eq!(
        Peer::sealed(&node).ask(&json!({"action": "daemon_status"})).expect("a reply")["cluster"],
        before
    );
    assert!(
        node.node_log()
            .contains("cluster.conf: does not exist: the last good configuration stays in force")
    );
    // The next daemon makes no other cluster.
    node.kill();
    node.start();
    assert_eq!(cluster(&node), before);
    assert!(!node.path("etc/cluster.conf").exists());
    let refused = node.om(&["cluster", "set", "--kw", "cluster.quorum=true"]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.err.contains("cp "), "{refused:?}");
    node.write("etc/cluster.conf", "");
    wait_for("it is told", || told(&node).contains("cluster.conf: is empty"));
    assert_eq!(cluster(&node), before);
    node.write("etc/cluster.conf", &text);
    wait_for("nothing is wrong", || !told(&node).contains(".conf"));
    assert_eq!(cluster(&node), before);
}

#[test]
fn a_pipe_in_the_folder_is_told_and_holds_nobody_up() {
    let mut node = Node::new("n1");
    pipe(&node, "etc/boot.conf");
    node.start();
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.wait_avail("svc1", "down");
    pipe(&node, "etc/later.conf");
    for name in ["boot.conf", "later.conf"] {
        wait_for("it is told", || told(&node).contains(&format!("{name}: not a regular file")));
    }
    let validated = node.om(&["boot", "validate", "config"]);
    assert!(
        validated.code != Some(0) && validated.err.contains("not a regular file"),
        "{validated:?}"
    );
    node.write("etc/svc2.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.wait_avail("svc2", "down");
    node.om_ok(&["daemon", "stop"]);
    assert_eq!(node.wait_end(), Some(0));
}

#[test]
fn a_mistyped_value_of_the_node_changes_nothing_and_is_named() {
    let node = Node::started("n1");
    let text = node.read("etc/cluster.conf");
    for (wrong, keyword) in [
        ("[listener]\nmax_connections_per_address = abc\n", "listener.max_connections_per_address"),
        ("[node]\nready_period = abc\n", "node.ready_period"),
        ("[hb#9]\ntype = bogus\n", "hb#9.type"),
        ("[arbitrator#1]\nname = a\nsecret = short\n", "arbitrator#1.secret"),
    ] {
        node.write("etc/cluster.conf", &format!("{text}{wrong}"));
        wait_for("it is told", || told(&node).contains(keyword));
        assert!(told(&node).contains("cluster.conf line "), "{}", told(&node));
        wait_for("it is in the log", || node.node_log().contains(keyword));
        let validated = node.om(&["cluster", "validate", "config"]);
        assert!(validated.code != Some(0) && validated.err.contains(keyword), "{validated:?}");
        assert!(!validated.err.contains("short"), "{validated:?}");
        node.write("etc/cluster.conf", &text);
        wait_for("nothing is wrong", || !told(&node).contains(".conf"));
    }
    let good = node_conf(node.port());
    for port in ["abc", "99999"] {
        node.write("etc/node.conf", &good.replace(&node.port().to_string(), port));
        wait_for("it is told", || told(&node).contains("node.conf line 3: listener.port"));
        assert_eq!(node.status()["listener"]["config"]["port"], node.port());
        let request = json!({"action": "daemon_blacklist_status"});
        assert_eq!(Peer::sealed(&node).ask(&request).expect("a reply")["status"], 0);
        node.write("etc/node.conf", &good);
        wait_for("nothing is wrong", || !told(&node).contains(".conf"));
    }
}

#[test]
fn a_service_is_repaired_whatever_became_of_the_files() {
    let node = Node::started("n1");
    let good = "[DEFAULT]\nid = 11111111-2222-3333-4444-555555555555\nnodes = n1\norchestrate = ha\n[app#1]\ntype = simple\nstart = /bin/sleep 86397\nrestart = 9\n";
    node.write("etc/web.conf", good);
    node.wait_avail("web", "up");
    let running = || node.processes(|command| command == "/bin/sleep 86397");
    let kill = || {
        let [pid] = running()[..] else { panic!("{:?}", running()) };
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours");
        let old = pid.as_raw_nonzero().get().cast_unsigned();
        wait_for("it is repaired", || running().iter().any(|pid| *pid != old));
        node.wait_avail("web", "up");
    };
    let cluster = node.read("etc/cluster.conf");
    for (text, reason) in [
        ("garbage\n".to_owned(), "web.conf line 1"),
        (String::new(), "web.conf: is empty"),
        (good.replace("simple", "smple"), "web.conf line 6: app#1.type: unknown driver app.smple"),
        (good.replace("= n1", "= nn1"), "web.conf line 3: DEFAULT.nodes"),
    ] {
        node.write("etc/web.conf", &text);
        wait_for("it is told", || told(&node).contains(reason));
        assert!(told(&node).contains("the last good configuration stays in force"));
        kill();
    }
    // Who acts by hand, beside the daemon, is told.
    node.write("etc/web.conf", &good.replace("simple", "smple"));
    wait_for("it is told", || told(&node).contains("app.smple"));
    let stopped = node.om(&["web", "stop", "--local"]);
    assert!(stopped.code == Some(1) && stopped.err.contains("web.conf line 6"), "{stopped:?}");
    node.write("etc/web.conf", good);
    node.write("etc/cluster.conf", "garbage\n");
    wait_for("it is told", || {
        told(&node).contains("cluster.conf line 1") && !told(&node).contains("web")
    });
    kill();
    node.om_ok(&["web", "stop", "--wait"]);
    node.wait_avail("web", "down");
    node.write("etc/cluster.conf", &cluster);
    wait_for("nothing is wrong", || !told(&node).contains(".conf"));
}

#[test]
fn why_an_action_of_the_daemon_could_not_begin_is_in_the_log_of_its_object() {
    let node = Node::started("n1");
    let text = "[DEFAULT]\nnodes = n1\n[app#1]\ntype = simple\nstart = /bin/sleep 86396\n";
    node.write("etc/web.conf", text);
    node.wait_avail("web", "down");
    node.write("etc/web.conf", "garbage\n");
    let copy = node.path("var/last_good/web.conf");
    wait_for("the last good one is noted", || copy.exists());
    // Lost, too: now nothing can be done.
    std::fs::remove_file(&copy).expect("a file");
    let told = node.om(&["web", "start", "--wait", "--time", "20s"]);
    assert!(told.code == Some(1) && told.err.contains("web.conf line 1"), "{told:?}");
    // Others ask the daemon, which knows it still.
    let options = json!({"path": "web", "global_expect": "started"});
    let start = json!({"action": "object_monitor", "method": "POST", "options": options});
    assert_eq!(node.request(&start)["status"], 0);
    let log = node.path("log/web.log");
    wait_for("the reason is in the log of the object", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("web.conf line 1"))
    });
}

#[test]
fn a_heartbeat_is_removed_by_a_command_and_the_cluster_is_not() {
    let node = Node::started("n1");
    let text = node.read("etc/cluster.conf");
    node.om_ok(&["cluster", "set", "--kw", "hb#2.type=disk", "--kw", "hb#2.dev=/nosuch"]);
    node.om_ok(&["cluster", "delete", "--rid", "hb#2"]);
    assert!(!node.read("etc/cluster.conf").contains("hb#2"));
    for words in [&["cluster", "delete"][..], &["cluster", "delete", "--rid", "cluster"]] {
        assert_ne!(node.om(words).code, Some(0), "{words:?}");
    }
    assert_eq!(node.read("etc/cluster.conf").trim_end(), text.trim_end());
}
