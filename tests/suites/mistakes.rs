//! Promise: what does not exist is told, whatever the command: an object, a node, a key, a resource, a subset, a pool. The
//! exit code is not 0, and where the code is an answer it is none of the answers. An operator who stops waiting, or reads no
//! further, learns what goes on.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::Stdio;

use harness::{Cluster, Node, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// Lines with a mistake in them, the exit code, and what is told.
const MISTAKES: &[(&str, i32, &str)] = &[
    // No such object.
    ("nope start", 1, "object nope does not exist"),
    ("nope ls", 1, "object nope does not exist"),
    ("nope explain", 1, "object nope does not exist"),
    ("nope status", 69, "object nope does not exist"),
    ("nope frozen", 69, "object nope does not exist"),
    ("nope validate config", 69, "object nope does not exist"),
    ("nope* start", 1, "no object is selected"),
    ("nope* logs", 1, "no object is selected"),
    ("nope=1 print status", 1, "no object is selected"),
    ("mon nope", 1, "no object is selected"),
    ("daemon stats --selector nope", 1, "no object is selected"),
    ("web start --status up", 1, "no selected object is up here"),
    ("web create --config nope", 1, "neither a file nor an object"),
    // No such resource, subset, tag or section.
    ("web start --rid nope", 1, "no resource matches"),
    ("web start --rid nope --node n1", 1, "no resource matches"),
    ("web restart --subsets nope", 1, "no resource matches"),
    ("web stop --tags nope", 1, "no resource matches"),
    ("web start --upto nope", 1, "no resource matches --upto nope"),
    ("web stop --downto container", 1, "no resource matches --downto container"),
    ("web run --rid nope", 1, "no resource matches"),
    ("web provision --rid nope", 1, "no resource matches"),
    ("web set provisioned --rid nope", 1, "no resource matches"),
    ("web freeze --rid nope", 2, "takes no --rid"),
    ("web enable --rid nope", 1, "no such section: nope"),
    ("web disable --subsets nope", 1, "no resource matches"),
    ("web delete --tags nope --local", 1, "no resource matches"),
    ("web delete --rid fs#9", 1, "no such section: fs#9"),
    ("cluster delete --rid hb#9", 1, "no such section: hb#9"),
    ("web print devs --rid nope", 1, "no resource matches --rid nope"),
    ("web print pid --rid nope", 1, "web has no resource nope"),
    // No such node.
    ("node ls --node nope", 1, "nope is no node of the cluster: its nodes are n1"),
    ("mon --node nope", 1, "nope is no node of the cluster"),
    ("web start --node nope", 1, "nope is no node of the cluster"),
    ("web print status --node nope", 1, "nope is no node of the cluster"),
    ("web print schedule --node nope", 1, "nope is no node of the cluster"),
    ("web print devs --node nope", 1, "nope is no node of the cluster"),
    ("web logs --node nope", 1, "nope is no node of the cluster"),
    ("web get --kw nodes --node nope", 1, "nope is no node of the cluster"),
    ("web status --node nope", 69, "nope is no node of the cluster"),
    ("web frozen --node nope", 69, "nope is no node of the cluster"),
    ("web switch --to nope", 1, "nope is no node of the cluster"),
    ("node freeze --node nope", 1, "nope is no node of the cluster"),
    ("node drain --node nope", 1, "nope is no node of the cluster"),
    ("node logs --node nope", 1, "nope is no node of the cluster"),
    ("node events --node nope", 1, "nope is no node of the cluster"),
    ("node print status --node nope", 1, "nope is no node of the cluster"),
    ("node frozen --node nope", 69, "nope is no node of the cluster"),
    ("node get --kw node.env --node nope", 1, "nope is no node of the cluster"),
    ("node ping nope.invalid", 1, "cannot connect to nope.invalid"),
    ("daemon status --node nope", 1, "nope is no node of the cluster"),
    ("daemon running --node nope", 1, "nope is no node of the cluster"),
    ("daemon stats --node nope", 1, "nope is no node of the cluster"),
    ("daemon blacklist status --node nope", 1, "nope is no node of the cluster"),
    ("daemon lock show --node nope", 1, "nope is no node of the cluster"),
    ("daemon stop --node nope", 1, "nope is no node of the cluster"),
    ("pool ls --node nope", 1, "nope is no node of the cluster"),
    // No such key, keyword, lock, thread, pool, network, path.
    ("test/cfg/c1 remove --key nope", 1, "test/cfg/c1 has no key nope"),
    ("test/cfg/c1 decode --key nope", 1, "test/cfg/c1 has no key nope"),
    ("web keys", 1, "web has no keys"),
    ("web eval --kw nope", 1, "web: nope is not set, and has no default"),
    ("web get --kw nope --eval", 1, "web: nope is not set, and has no default"),
    ("web unset --kw nope", 1, "web: nope is not set: nothing is unset"),
    ("node unset --kw node.env", 1, "node: node.env is not set: nothing is unset"),
    ("node set --kw env=TST", 2, "nobody reads env without a section: did you mean node.env?"),
    ("node set --kw DEFAULT.env@n1=TST", 2, "did you mean node.env@n1?"),
    ("node set --kw foo=1", 2, "expected section.keyword, as node.env"),
    ("cluster set --kw foo=1", 2, "nobody reads foo without a section: expected section.keyword"),
    ("cluster set --kw profile=fast", 2, "cluster.profile is meant"),
    ("node eval --kw node.nope", 1, "unknown keyword"),
    (
        "node eval --kw node.split_acton",
        1,
        "did you mean split_action? (crash|reboot|stop, default crash: ",
    ),
    ("web eval --kw orchestrat", 1, "did you mean orchestrate? (ha|start|no, default no: "),
    (
        "web eval --kw fs#1.restrat",
        1,
        "fs#1.restrat: did you mean restart? (integer, default 0: how often",
    ),
    ("web unset --kw fs#1.restrat", 1, "did you mean restart? (integer, default 0: how often"),
    ("doc app.restrat", 1, "app.restrat: did you mean restart? (integer, default 0: how often"),
    ("doc ap.restart", 1, "ap.restart: did you mean app.restart?"),
    ("svc doc kitchen", 1, "kitchen: no section and no keyword"),
    ("sec doc fs", 1, "fs: no section and no keyword"),
    ("doc app fs", 2, "unexpected"),
    ("svc doc app --format man", 2, "--format man is for all keywords"),
    ("web print status --filter nosuch", 1, "--filter selects nothing"),
    ("mon --filter nosuch", 1, "--filter selects nothing"),
    ("node ls --filter a.b", 1, "--filter selects nothing"),
    ("daemon lock release --name nope --id 1", 1, "there is no lock nope"),
    ("daemon stop --thread-id nope", 1, "thread nope does not exist"),
    ("pool status --name nope", 1, "there is no pool nope: it is one of default, shm"),
    ("net status --name nope", 1, "there is no network nope: it is one of default, lo"),
    ("web scale --to 2", 1, "web is no scaler"),
    (
        "web set --kw task#1.schedule=0\u{a0}2\u{a0}*\u{a0}*\u{a0}*",
        1,
        "a line of a crontab, expected a schedule: 02:00",
    ),
    // What the daemon cannot read it does not know: the mistake is told.
    ("nosec print status", 1, "nosec.conf line 3:"),
    ("nosec start", 1, "nosec.conf line 3:"),
    ("nosec start --local", 1, "nosec.conf line 3:"),
    ("nosec explain", 1, "nosec.conf line 3:"),
    ("nosec logs", 1, "nosec.conf line 3:"),
    ("nosec delete", 1, "nosec.conf line 3:"),
    ("nosec status", 69, "nosec.conf line 3:"),
    ("nosec validate config", 1, "nosec.conf line 3:"),
    // An option that would do nothing.
    ("web abort --local", 2, "neither --local, nor --node, nor resources: om web abort"),
    ("web abort --node n1", 2, "neither --local, nor --node, nor resources: om web abort"),
    ("web abort --rid fs#1", 2, "`om web abort` takes no --rid"),
    ("web print config mtime --filter nosuch", 2, "--filter: this command writes nothing"),
    ("web start --filter nosuch", 2, "--filter: this command writes nothing"),
    ("web start --local --filter nosuch", 2, "--filter: this command writes nothing"),
    ("node freeze --filter nosuch", 2, "--filter: this command writes nothing"),
    ("daemon stop --filter nosuch", 2, "--filter: this command writes nothing"),
    ("web print config --node n1 --filter nosuch", 1, "--filter selects nothing"),
    ("web print devs --node n1 --filter nosuch", 1, "--filter selects nothing"),
    ("node print capabilities --node n1 --filter nosuch", 1, "--filter selects nothing"),
    ("pool status --node n1 --filter nosuch", 1, "--filter selects nothing"),
    ("w2 create --node n1 --force", 2, "create takes no --force with --node"),
    ("w2 create --node n1 --provision --leader", 2, "create takes no --leader with --node"),
    ("w2 create --kw a=1 --kw a=2", 2, "a is set twice: one of the values would be lost"),
    ("web set --kw env.a=1 --kw env.a=2", 2, "env.a is set twice"),
    (
        "w2 create --resource {\"rid\":\"fs#1\",\"type\":\"flag\"} --resource {\"rid\":\"fs#1\",\"type\":\"tmpfs\"}",
        2,
        "fs#1 is given twice",
    ),
    ("node ls --node nope --server n1", 1, "nope is no node of the cluster: its nodes are n1"),
    // What failed is no wrong usage, however many failed.
    ("bad* start --local", 1, ""),
    ("bad* start --node n1", 1, ""),
    ("svc web start", 2, "om web start"),
    ("wbe", 2, "web is an object: `om web print status` shows it"),
    // Wrong usage is no state of an instance.
    ("web status --nope", 64, "unexpected argument"),
    ("svc -s web status --nope", 64, "unexpected argument"),
    ("web status --filter ]", 64, "--filter"),
    ("web frozen --nope", 64, "unexpected argument"),
    ("web print status --nope", 2, "unexpected argument"),
    ("daemon status --nope", 2, "unexpected argument"),
];

#[test]
fn what_does_not_exist_is_told_whatever_the_command() {
    let node = Node::started("n1");
    node.write("etc/nosec.conf", "[DEFAULT]\nnodes = n1\n[fs#1\ntype = flag\n");
    node.om_ok(&["web", "create", "--kw", "fs#1.type=flag"]);
    node.om_ok(&["test/cfg/c1", "create"]);
    for name in ["bad1", "bad2", "bad3"] {
        let text = "[DEFAULT]\nnodes = n1\n[app#1]\ntype = forking\nstart = /bin/false\ncheck = /bin/false\n";
        node.write(&format!("etc/{name}.conf"), text);
        wait_for("the daemon knows it", || node.instance(name)["avail"] == "down");
    }
    wait_for("the daemon knows web", || node.instance("web")["avail"] == "down");
    let mut wrong = vec![];
    for (line, code, told) in MISTAKES {
        // A blank inside of a word is written as one that does not break.
        let words: Vec<String> = line.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
        let output = node.om(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let is_right = output.code == Some(*code) && output.err.contains(told);
        if !is_right || output.err.contains("panicked") {
            wrong.push(format!("om {line}: not {code} and {told:?}: {output:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // None of them did anything.
    let config = node.om_ok(&["web", "print", "config"]);
    assert!(config.contains("type = flag") && !config.contains("disable"), "{config}");
    assert_eq!(node.instance("web")["avail"], "down");
}

#[test]
fn what_people_type_after_years_with_deployed_agents_works() {
    let node = Node::started("n1");
    let start = "--kw=app#1.start=/bin/sleep 81207";
    node.om_ok(&["web", "create", "--kw", "app#1.type=simple", start, "--kw", "orchestrate=no"]);
    node.om_ok(&["web", "start", "--local"]);
    node.wait_avail("web", "up");
    let shown = node.om_ok(&["web", "print", "pid"]);
    assert!(shown.contains("app#1") && shown.contains("/bin/sleep 81207"), "{shown}");
    assert_eq!(node.om_ok(&["web", "pg", "pids", "--node", "n1"]).trim(), shown.trim());
    assert!(node.om_ok(&["web", "print", "status", "-r"]).contains("app#1"));
    node.om_ok(&["web", "set", "provisioned", "--wait", "--time", "10s"]);
    assert_eq!(node.om_ok(&["pool", "ls"]), "default\nshm\n");
    assert_eq!(node.om_ok(&["pool", "ls", "--node", "n1"]), "default\nshm\n");
    let status = node.om_ok(&["pool", "status", "--name", "shm"]);
    assert!(status.contains("`- shm  shm   rox,rwx,roo,rwo,blk  /dev/shm  0 "), "{status}");
    let status = node.om_ok(&["pool", "status", "--format", "json"]);
    assert!(status.contains("\"head\": \"/dev/shm\""), "{status}");
    assert_eq!(node.om_ok(&["net", "ls"]), "default\nlo\n");
    let status = node.om_ok(&["net", "status", "--name", "lo"]);
    assert!(status.contains("`- lo  loopback  127.0.0.1/32  1     0     1     0.00%"), "{status}");
    for words in [["node", "print", "capabilities"], ["node", "scan", "capabilities"]] {
        let shown = node.om_ok(&words);
        assert!(shown.contains("drivers.resource.app.simple\n"), "{shown}");
    }
    node.om_ok(&["web", "stop", "--local"]);
}

#[test]
fn a_daemon_whose_port_is_taken_is_not_started() {
    let node = Node::new("n1");
    let listener = TcpListener::bind(("127.0.0.1", node.port())).expect("the port of the node");
    let output = node.om(&["daemon", "start"]);
    let own_name = std::fs::read_to_string("/proc/self/comm").expect("this test");
    let told =
        format!("the daemon is not started: pid {} ({}", std::process::id(), own_name.trim());
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains(&told), "{told:?} is not in {output:?}");
    assert!(output.err.contains(&format!("listens on its port {}", node.port())), "{output:?}");
    assert_eq!(node.om(&["daemon", "running"]).code, Some(1));
    drop(listener);
    node.om_ok(&["daemon", "start"]);
    node.om_ok(&["daemon", "stop"]);
}

#[test]
fn who_stops_waiting_is_told_that_it_goes_on() {
    let node = Node::started("n1");
    let held = node.path("held");
    node.write("held", "");
    node.write("start.sh", &format!("while test -e {}; do sleep 0.05; done\n", held.display()));
    let start = format!("--kw=app#1.start=/bin/sh {}", node.path("start.sh").display());
    let kind = ["--kw", "app#1.type=forking", "--kw", "app#1.check=/bin/false"];
    node.om_ok(&[&["web", "create", &start][..], &kind].concat());
    node.om_ok(&["web", "thaw", "--local"]);
    wait_for("it is down", || node.instance("web")["avail"] == "down");
    let mut waiting = node.spawn_with(&["web", "start", "--wait"], Stdio::null(), Stdio::piped());
    wait_for("it starts", || node.instance("web")["monitor"]["status"] == "starting");
    let mut lines = BufReader::new(waiting.stderr.take().expect("piped")).lines();
    // The wait tells what it sees: by then it listens to interruptions.
    let told = lines.by_ref().map_while(Result::ok).find(|line| line.contains("starting"));
    assert!(told.is_some(), "it does not tell that it starts");
    let pid = Pid::from_raw(i32::try_from(waiting.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::INT).expect("it is interrupted");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(waiting.wait().expect("it ends").code(), Some(130), "{rest:?}");
    let told = "interrupted: what was asked goes on: `om mon web --watch` follows it, `om web abort` gives it up";
    assert!(rest.iter().any(|line| line == told), "{rest:?}");
    assert_eq!(node.instance("web")["monitor"]["status"], "starting");
    std::fs::remove_file(held).expect("it was there");
}

#[test]
fn who_reads_no_further_ends_a_command_quietly() {
    let node = Node::started("n1");
    for at in 0..40 {
        node.om_ok(&[&format!("test/svc/s{at}"), "create", "--local"]);
    }
    for words in [
        "ls",
        "mon",
        "daemon status --format json",
        "node events",
        "cluster print config",
        "** print status",
        "pool status",
        "node print capabilities",
        "--help",
        "svc start --help",
        "completion bash",
        "wrong",
    ] {
        let line = format!("{} {words} 2>&1 | head -c 1", node.program().display());
        let script = format!("{line}; echo \"${{PIPESTATUS[0]}}\"");
        let mut shell = std::process::Command::new("/bin/bash");
        shell.args(["-c", &script]);
        shell.env("OSVC_ROOT_PATH", node.root()).env("OSVC_NODENAME", node.name());
        let shell = shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        if words.starts_with("node events") {
            // It ends when it has something more to say.
            wait_for("it ends", || {
                node.om_ok(&["node", "freeze", "--local"]);
                node.om_ok(&["node", "thaw", "--local"]);
                child.try_wait().is_ok_and(|status| status.is_some())
            });
        }
        let (mut out, mut err) = (String::new(), String::new());
        child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
        child.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
        _ = child.wait();
        assert!(!out.contains("panicked") && !err.contains("panicked"), "{words}: {out} {err}");
        let code: i32 = out.get(1..).unwrap_or_default().trim().parse().unwrap_or(-1);
        assert!((0..=2).contains(&code), "{words}: {out:?} {err:?}");
    }
}

/// Without a daemon: what is done all the same, and what says how to start one.
const DONE: &[&str] = &[
    "ls",
    "daemon shutdown",
    "node ls",
    "node frozen",
    "node freeze --local",
    "node thaw --local",
    "node set --kw node.env=TST",
    "node get --kw node.env",
    "node unset --kw node.env",
    "node validate config",
    "node print config",
    "node print capabilities",
    "node logs",
    "pool status",
    "net status",
    "net show",
    "daemon stop",
    "cluster print config",
    "cluster print config mtime",
    "web ls",
    "web print status",
    "web print config",
    "web print devs",
    "web print pid",
    "web start --local",
    "web stop --local",
    "web freeze --local",
    "web thaw --local",
    "web set provisioned",
    "web disable",
    "web enable",
    "web logs",
    "web eval --kw nodes",
    "test/cfg/c1 create",
    "test/cfg/c1 add --key kk --value v",
    "test/cfg/c1 keys",
    "test/cfg/c1 remove --key kk",
    "web delete --local",
];

/// What needs one.
const ASKED: &[&str] = &[
    "mon",
    "node print status",
    "node print schedule",
    "node freeze",
    "node drain",
    "node events",
    "node logs --follow",
    "node ping",
    "node wait --filter a=1",
    "daemon status",
    "daemon running",
    "daemon stats",
    "daemon blacklist status",
    "daemon lock show",
    "daemon relay status",
    "daemon stop --thread-id listener",
    "cluster freeze",
    "cluster print status",
    "cluster rotate secret",
    "web start",
    "web start --node n1",
    "web stop",
    "web freeze",
    "web clear",
    "web abort",
    "web explain",
    "web start --dry-run",
    "web start --wait",
    "web switch --to n1",
    "web provision",
    "web delete",
    "web print schedule",
    "web logs -f",
    "web monitor",
    "web get --kw nodes --node n1",
];

#[test]
fn without_a_daemon_a_command_does_its_work_or_says_how_to_start_one() {
    let node = Node::new("n1");
    node.om_ok(&["web", "create", "--kw", "fs#1.type=flag"]);
    let mut wrong = vec![];
    let mut try_all = |lines: &[&str], code: i32, told: &str| {
        for line in lines {
            let output = node.om(&line.split(' ').collect::<Vec<_>>());
            if output.code != Some(code) || !output.err.contains(told) {
                wrong.push(format!("om {line}: not {code} and {told:?}: {output:?}"));
            }
        }
    };
    try_all(ASKED, 1, "the daemon is not running: start it with `om daemon start`");
    try_all(DONE, 0, "");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_named_is_purged_and_nothing_else() {
    let node = Node::started("n1");
    let app =
        |number: u32| format!("[app#{number}]\ntype = simple\nstart = /bin/sleep 3005.{number}\n");
    let head =
        "[DEFAULT]\nid = 00000000-0000-4000-8000-00000000000c\nnodes = n1\norchestrate = ha\n";
    node.write("etc/web.conf", &(head.to_owned() + &app(1) + &app(2)));
    node.wait_avail("web", "up");
    let running =
        |number: u32| node.processes(|line| line == format!("/bin/sleep 3005.{number}")).len();
    node.om_ok(&["web", "purge", "--rid", "app#1", "--local"]);
    assert_eq!((running(1), running(2)), (0, 1));
    assert!(!node.read("etc/web.conf").contains("app#1"));
    // An instance is frozen as a whole.
    let refused = node.om(&["web", "freeze", "--rid", "app#2"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(!node.path("var/svc/web/frozen").exists());
    // What is disabled is left alone from then on: that is told.
    let disabled = node.om(&["web", "disable", "--rid", "app#2"]);
    assert!(disabled.err.contains("app#2 runs on n1, and goes on"), "{disabled:?}");
}

#[test]
fn the_last_heartbeat_between_nodes_is_kept() {
    let cluster = Cluster::start(2);
    let n1 = &cluster.nodes[0];
    let before = n1.read("etc/cluster.conf");
    let refused = n1.om(&["cluster", "delete", "--rid", "hb#1"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("no heartbeat between the nodes"), "{refused:?}");
    assert_eq!(n1.read("etc/cluster.conf"), before);
}
