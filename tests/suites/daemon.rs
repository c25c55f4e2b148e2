//! Promise: the daemon starts, stops, restarts and refuses as an operator and systemd expect.

use harness::{Events, Node, wait_for};
use rustix::process::Signal;
use serde_json::json;

/// A service that sleeps for a number of seconds no other test uses.
fn sleeper(seconds: u32) -> String {
    format!(
        "[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\ntype = simple\nstart = /bin/sleep {seconds}\n"
    )
}

fn sleeping(node: &Node, seconds: u32) -> usize {
    node.processes(|line| line == format!("/bin/sleep {seconds}")).len()
}

#[test]
fn a_stop_announces_maintenance_and_leaves_the_instances_running() {
    let mut node = Node::started("n1");
    node.write("etc/web.conf", &sleeper(61234));
    node.wait_avail("web", "up");
    let mut events = Events::subscribe(&node, &json!({"full": true}));
    events.wait("the subscription begins", |document| document["kind"] == "full");
    assert_eq!(
        node.request(&json!({"action": "daemon_stop", "method": "POST"})),
        json!({"status": 0})
    );
    let begin = std::time::Instant::now();
    events.wait("the announcement", |document| document.to_string().contains("maintenance"));
    assert_eq!(node.wait_end(), Some(0));
    assert!(begin.elapsed().as_secs() < 5, "it takes {:?} to end", begin.elapsed());
    assert_eq!(sleeping(&node, 61234), 1, "the instance is left running");
    node.start();
    node.wait_avail("web", "up");
    assert_eq!(sleeping(&node, 61234), 1, "and found again, not started twice");
}

#[test]
fn sigterm_ends_it_within_a_second_and_leaves_the_instances_running() {
    let mut node = Node::started("n1");
    node.write("etc/web.conf", &sleeper(61236));
    let mut times = vec![];
    // A machine that is busy may hold one of them up.
    while times.len() < 5 {
        node.wait_avail("web", "up");
        let begin = std::time::Instant::now();
        node.signal(Signal::TERM);
        assert_eq!(node.wait_end(), Some(0));
        times.push(begin.elapsed());
        assert_eq!(sleeping(&node, 61236), 1, "the instance is left running");
        if begin.elapsed().as_millis() < 1_000 {
            return;
        }
        node.start();
    }
    panic!("it never ends within a second: {times:?}");
}

#[test]
fn whoever_is_answered_finds_every_thread_there() {
    let mut node = Node::new("n1");
    for _ in 0..5 {
        node.start();
        let status = node.status();
        for id in ["listener", "monitor", "scheduler", "config", "blacklist", "runner", "logs"] {
            assert_eq!(status[id]["state"], "running", "{id}: {status:#}");
        }
        assert!(std::net::TcpStream::connect(("127.0.0.1", node.port())).is_ok());
        node.kill();
    }
}

#[test]
fn sigterm_and_sigint_stop_it_and_sighup_does_not() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut node = Node::started("n1");
        node.signal(Signal::HUP);
        assert_eq!(node.request(&json!({"action": "daemon_blacklist_status"}))["status"], 0);
        node.signal(signal);
        assert_eq!(node.wait_end(), Some(0), "{signal:?}");
    }
}

#[test]
fn a_second_daemon_names_the_first() {
    let node = Node::started("n1");
    let second = node.om(&["daemon", "start", "--foreground"]);
    let unit = include_str!("../../config/opensvc-agent.service");
    let code = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
    assert_eq!(second.code, code.and_then(|code| code.parse().ok()), "systemd does not try again");
    assert!(second.err.contains(&node.pid().to_string()), "{second:?}");
}

#[test]
fn what_a_killed_daemon_left_is_no_obstacle() {
    let mut node = Node::started("n1");
    node.kill();
    assert!(node.path("var/osvcd.pid").exists() && node.path("var/lsnr/lsnr.sock").exists());
    node.start();
    node.kill();
    // A pid file that names a process which is not a daemon, and one that is no pid file at all.
    for text in ["1\n", "nonsense"] {
        node.write("var/osvcd.pid", text);
        node.start();
        node.kill();
    }
}

#[test]
fn every_command_says_that_the_daemon_is_not_running() {
    let node = Node::new("n1");
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    for words in [
        &["daemon", "status"][..],
        &["mon"],
        &["daemon", "blacklist", "status"],
        &["svc1", "start"],
    ] {
        let output = node.om(words);
        assert_eq!(output.code, Some(1), "{words:?}: {output:?}");
        assert!(output.err.contains("daemon"), "{words:?}: {output:?}");
    }
    assert_eq!(node.om(&["daemon", "running"]).code, Some(1));
}

#[test]
fn it_starts_in_the_background_restarts_and_stops_from_the_prompt() {
    let node = Node::new("n1");
    node.om_ok(&["daemon", "start"]);
    node.om_ok(&["daemon", "running"]);
    let first = node.read("var/osvcd.pid");
    node.om_ok(&["daemon", "restart"]);
    assert_ne!(first, node.read("var/osvcd.pid"));
    // The first answer may come a moment before the root has published its own block.
    wait_for("the daemon tells its state", || {
        let status = node.om_ok(&["daemon", "status", "--format", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        status["daemon"]["state"] == "running"
    });
    node.om_ok(&["daemon", "stop"]);
    assert_eq!(node.om(&["daemon", "running"]).code, Some(1));
}

#[test]
fn a_shutdown_stops_the_instances_first() {
    let mut node = Node::started("n1");
    node.write("etc/web.conf", &sleeper(61235));
    node.wait_avail("web", "up");
    node.om_ok(&["daemon", "shutdown", "--time", "20s"]);
    assert_eq!(node.wait_end(), Some(0));
    assert_eq!(sleeping(&node, 61235), 0);
}

#[test]
fn a_shutdown_without_a_daemon_stops_the_instances_in_order() {
    let mut node = Node::new("n1");
    let stops = |name: &str, keywords: &str| {
        let mark = node.path(&format!("tmp/{name}.up")).display().to_string();
        let order = node.path("tmp/order").display().to_string();
        let script = node.path(&format!("tmp/{name}")).display().to_string();
        let body = format!(
            "case $1 in start) touch {mark};; status) test -e {mark};; stop) rm {mark}; echo {name} >> {order};; esac"
        );
        node.script(&format!("tmp/{name}"), &body);
        let text = format!(
            "[DEFAULT]\nnodes = n1\norchestrate = ha\n{keywords}[app#1]\ntype = forking\nscript = {script}\n\
             start = true\ncheck = true\nstop = true\n"
        );
        node.write(&format!("etc/{name}.conf"), &text);
    };
    stops("adb", "");
    stops("web", "parents = adb\n");
    stops("zoo", "children = adb\n");
    node.start();
    for name in ["adb", "web", "zoo"] {
        node.wait_avail(name, "up");
    }
    // An object of other nodes is no matter of this one.
    node.write(
        "etc/far.conf",
        "[DEFAULT]\nnodes = n9\n[app#1]\ntype = simple\nstart = /bin/true\n",
    );
    node.kill();
    let done = node.om(&["daemon", "shutdown", "--time", "20s"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("not running") && !done.err.contains("far"), "{done:?}");
    assert_eq!(node.read("tmp/order"), "web\nadb\nzoo\n");
    // Nothing is frozen: after a boot, the daemon starts them.
    node.start();
    for name in ["adb", "web", "zoo"] {
        node.wait_avail(name, "up");
    }
}

#[test]
fn a_shutdown_without_a_daemon_ends_in_time_and_says_what_it_left() {
    let mut node = Node::new("n1");
    node.script("tmp/slow", "exec sleep 61239");
    let stop = node.path("tmp/slow").display().to_string();
    let hangs = sleeper(61_238) + &format!("stop = {stop}\n");
    node.write("etc/hangs.conf", &hangs.replace("nodes =", "children = later\nnodes ="));
    node.write("etc/later.conf", &hangs.replace("nodes =", "priority = 1\nnodes ="));
    node.start();
    node.wait_avail("hangs", "up");
    node.wait_avail("later", "up");
    node.kill();
    let done = node.om(&["daemon", "shutdown", "--time", "1s"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("later is not stopped: its time is over"), "{done:?}");
    assert!(done.err.contains("hangs is not stopped: no time was left"), "{done:?}");
}

#[test]
fn a_stopped_thread_stays_stopped_until_it_is_started() {
    let node = Node::started("n1");
    node.om_ok(&["daemon", "stop", "--thread-id", "scheduler"]);
    assert_eq!(node.status()["scheduler"]["state"], "stopped");
    node.write("etc/node.conf", &(node.read("etc/node.conf") + "\n[labels]\nrack = r1\n"));
    wait_for("the change is in force", || {
        node.status()["monitor"]["nodes"]["n1"]["labels"]["rack"] == "r1"
    });
    assert_eq!(
        node.status()["scheduler"]["state"],
        "stopped",
        "also through a change of the configuration"
    );
    node.om_ok(&["daemon", "start", "--thread-id", "scheduler"]);
    assert_eq!(node.status()["scheduler"]["state"], "running");
    let unknown = node.om(&["daemon", "stop", "--thread-id", "nothing"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}

#[test]
fn stopping_the_listener_leaves_the_control_socket() {
    let node = Node::started("n1");
    let is_open = || std::net::TcpStream::connect(("127.0.0.1", node.port())).is_ok();
    assert!(is_open());
    node.om_ok(&["daemon", "stop", "--thread-id", "listener"]);
    assert!(!is_open());
    node.om_ok(&["daemon", "start", "--thread-id", "listener"]);
    assert!(is_open());
}

#[test]
fn the_service_manager_hears_of_every_change() {
    let mut node = Node::new("n1");
    let path = node.path("tmp/notify.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket of the test");
    socket.set_read_timeout(Some(harness::PATIENCE)).expect("a time limit");
    node.start_notifying(&path);
    let mut buffer = [0; 4096];
    let mut wait_notified = |word: &str| loop {
        let length =
            socket.recv(&mut buffer).unwrap_or_else(|error| panic!("never told {word}: {error}"));
        if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line.starts_with(word)) {
            break;
        }
    };
    wait_notified("READY=1");
    wait_notified("WATCHDOG=1");
    node.signal(Signal::HUP);
    wait_notified("RELOADING=1");
    wait_notified("READY=1");
    node.signal(Signal::TERM);
    wait_notified("STOPPING=1");
    assert_eq!(node.wait_end(), Some(0));
}

#[test]
fn what_the_daemon_cannot_do_without_is_not_stopped_alone() {
    let node = Node::started("n1");
    for id in ["control_socket", "cluster_data", "runner", "root"] {
        let refused = node.om(&["daemon", "stop", "--thread-id", id]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("is not stopped or started alone"), "{refused:?}");
        assert!(!refused.err.contains("membership,"), "only what works is offered: {refused:?}");
    }
    let stop = json!({"action": "daemon_stop", "options": {"thr_id": "control_socket"}});
    let error = "control_socket is not stopped alone: stop the daemon";
    assert_eq!(node.request(&stop), json!({"status": 1, "error": error}));
    assert_eq!(node.status()["control_socket"]["state"], "running");
}

#[test]
fn a_daemon_that_does_not_answer_is_told_and_ended_by_a_signal() {
    let node = Node::new("n1");
    node.write("var/lsnr/lsnr.sock/file", "");
    let start = node.om(&["daemon", "start"]);
    assert_eq!(start.code, Some(1), "{start:?}");
    assert!(start.err.contains("lsnr.sock is no socket: move it away"), "{start:?}");
    let again = node.om(&["daemon", "start"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("runs and does not answer"), "{again:?}");
    let stop = node.om(&["daemon", "stop"]);
    assert_eq!(stop.code, Some(0), "{stop:?}");
    assert!(stop.err.contains("does not answer: SIGTERM sent"), "{stop:?}");
    let stopped = node.om(&["daemon", "stop"]);
    assert!(stopped.err.contains("the daemon is not running"), "{stopped:?}");
}

#[test]
fn a_start_right_after_a_kill_starts() {
    let node = Node::new("n1");
    node.om_ok(&["daemon", "start"]);
    for _ in 0..5 {
        let pid = node.read("var/osvcd.pid").trim().parse().ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw).expect("the pid of the daemon");
        rustix::process::kill_process(pid, Signal::KILL).expect("it runs");
        let start = node.om(&["daemon", "start"]);
        assert_eq!((start.code, start.err.as_str()), (Some(0), ""), "{start:?}");
        node.om_ok(&["daemon", "running"]);
    }
    node.om_ok(&["daemon", "stop"]);
}

/// Who starts it, and systemd, find its objects there, however long it takes to read their files.
#[test]
fn a_start_ends_once_all_objects_are_known() {
    const MANY: usize = 3_000;
    let mut node = Node::new("n1");
    for number in 0..MANY {
        node.write(&format!("etc/svc{number}.conf"), "[DEFAULT]\nnodes = n1\n");
    }
    node.om_ok(&["daemon", "start"]);
    assert_eq!(node.om_ok(&["ls"]).lines().count(), MANY + 1);
    node.om_ok(&["daemon", "stop"]);
    node.start();
    assert_eq!(node.om_ok(&["ls"]).lines().count(), MANY + 1);
}

#[test]
fn a_start_waits_for_as_long_as_files_are_read() {
    let node = Node::new("n1");
    std::fs::create_dir_all(node.path("var/lock")).unwrap();
    // None has an id: each waits 3 s for the lock of its file, and is read without one then.
    let held = ["svc1", "svc2", "svc3"].map(|name| {
        node.write(&format!("etc/{name}.conf"), "[DEFAULT]\nnodes = n1\n");
        let lock = node.path(&format!("var/lock/edit_{name}"));
        machine::durable::FileLock::try_take(&lock).unwrap().unwrap()
    });
    let begin = std::time::Instant::now();
    node.om_ok(&["daemon", "start"]);
    assert!(begin.elapsed().as_secs() > 6, "it began after {:?}", begin.elapsed());
    assert_eq!(node.om_ok(&["ls"]).lines().count(), held.len() + 1);
}
