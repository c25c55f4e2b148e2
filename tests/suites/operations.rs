//! Promise: what is done to nodes and services before, during and after maintenance is foretold, told and measured.

use std::fs;

use harness::{Cluster, ClusterConf, Node, Output, Scene, wait_for};
use serde_json::{Value, json};

/// The lines of a text, blanks merged.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn has(output: &Output, line: &str) -> bool {
    lines(&format!("{}{}", output.out, output.err)).iter().any(|found| found.starts_with(line))
}

/// Waits until all nodes are known to be idle: what joins is in no plan.
fn ready(scene: &Scene) {
    for node in &scene.cluster.nodes {
        wait_for("the node is idle everywhere", || {
            scene.cluster.nodes.iter().all(|other| {
                let name = other.name();
                node.status()["monitor"]["nodes"][name]["monitor"]["status"] == "idle"
            })
        });
    }
}

#[test]
fn an_outage_is_foretold_and_then_so() {
    let mut scene = Scene::start(&[
        ("web", "nodes = n1 n2 n3"),
        ("alone", "nodes = n2"),
        ("far", "nodes = n2 n3"),
        ("manual", "nodes = n1 n2\norchestrate = no"),
    ]);
    scene.wait_up(0, "web", &[0]);
    scene.wait_up(0, "alone", &[1]);
    scene.wait_up(0, "far", &[1]);
    ready(&scene);
    // n1 has no instance of two of them: the others tell.
    let died = scene.cluster.nodes[0].om(&["cluster", "whatif", "--down", "n2"]);
    assert_eq!(died.code, Some(1), "{died:?}");
    assert!(has(&died, "alone n2 -> - alone is down: it has no other node"), "{died:?}");
    assert!(has(&died, "far n2 -> n3 starts after"), "{died:?}");
    assert!(!died.out.contains("web"), "{died:?}");
    let drained = ["node", "drain", "--node", "n1,n2", "--dry-run", "--format", "json"];
    let drained = scene.cluster.nodes[2].om(&drained);
    let told: Value = serde_json::from_str(&drained.out).expect("JSON");
    let to = |name: &str| {
        let objects = told["objects"].as_array().into_iter().flatten();
        objects.filter(|it| it["path"] == name).map(|it| it["to"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (to("web"), to("far"), to("alone")),
        (vec![json!(["n3"])], vec![json!(["n3"])], vec![json!([])])
    );
    // Nothing was done.
    assert_eq!(scene.journal("web"), ["start n1"]);
    for (words, said) in [
        (&["cluster", "whatif", "--down", "n9"][..], "n9 is no node of the cluster"),
        (&["cluster", "whatif"], "whatif needs the nodes that die"),
        (&["cluster", "whatif", "--down", "x*"], "no node is selected"),
    ] {
        let refused = scene.cluster.nodes[0].om(words);
        assert!(refused.code != Some(0) && refused.err.contains(said), "{refused:?}");
    }
    scene.kill(1);
    scene.wait_up(0, "web", &[0]);
    scene.wait_up(2, "far", &[2]);
    assert_eq!(scene.journal("alone"), ["start n2"]);
}

#[test]
fn a_drain_tells_each_move_and_the_end() {
    let scene = Scene::start(&[("web", "nodes = n1 n2 n3"), ("alone", "nodes = n1")]);
    scene.wait_up(1, "web", &[0]);
    scene.wait_up(1, "alone", &[0]);
    ready(&scene);
    // From another node, and it is told where it went.
    let words = ["node", "drain", "--node", "n1", "--wait", "--time", "30s"];
    let drain = scene.cluster.nodes[1].om(&words);
    assert_eq!(drain.code, Some(0), "{drain:?}");
    assert!(has(&drain, "web: n1 -> n2 ("), "{drain:?}");
    assert!(has(&drain, "alone: n1 -> stopped: alone is down: it has no other node"), "{drain:?}");
    assert!(has(&drain, "n1 is drained: 1 moved, 1 stopped"), "{drain:?}");
    assert_eq!(scene.journal("web"), ["start n1", "stop n1", "start n2"]);
    // What cannot start where it was foretold is told with the reason.
    scene.touch("web", "fail-start.n3");
    let words = ["node", "drain", "--node", "n2", "--wait", "--time", "30s"];
    let drain = scene.cluster.nodes[2].om(&words);
    assert_eq!(drain.code, Some(1), "{drain:?}");
    assert!(drain.err.contains("web") && drain.err.contains("start failed"), "{drain:?}");
    assert!(has(&drain, "n2 is drained: 0 moved, 0 stopped"), "{drain:?}");
}

#[test]
fn a_drill_measures_both_ways_and_puts_back() {
    let scene = Scene::start(&[("web", "nodes = n1 n2")]);
    scene.wait_up(0, "web", &[0]);
    ready(&scene);
    let up = scene.file("web", "up.n?").display().to_string();
    let probe = format!("ls {up} | grep -q .");
    let words = ["web", "drill", "--run", &probe, "--format", "json", "--time", "30s"];
    let drill = scene.cluster.nodes[1].om(&words);
    assert_eq!(drill.code, Some(0), "{drill:?}");
    let told: Value = serde_json::from_str(&drill.out).expect("JSON");
    assert_eq!(told["is_back"], true);
    assert_eq!((&told["ways"][0]["from"], &told["ways"][0]["to"]), (&json!("n1"), &json!("n2")));
    assert_eq!((&told["ways"][1]["from"], &told["ways"][1]["to"]), (&json!("n2"), &json!("n1")));
    assert_eq!(scene.journal("web"), ["start n1", "stop n1", "start n2", "stop n2", "start n1"]);
    // What does not start there is put back, and told.
    scene.touch("web", "fail-start.n2");
    let failed = scene.cluster.nodes[0].om(&["web", "drill", "--run", &probe, "--time", "30s"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.err.contains("web did not get to n2 as it should"), "{failed:?}");
    assert!(has(&failed, "web is back on n1"), "{failed:?}");
    scene.remove("web", "fail-start.n2");
    scene.reach(0, &["web", "clear"]);
    scene.wait_up(0, "web", &[0]);
    // Nothing to try is told, and the status measures.
    let stay =
        scene.cluster.nodes[0].om(&["web", "drill", "--stay", "--to", "n2", "--time", "30s"]);
    assert_eq!(stay.code, Some(0), "{stay:?}");
    assert!(has(&stay, "web tells no port to try"), "{stay:?}");
    assert!(has(&stay, "web: n1 -> n2: down for"), "{stay:?}");
    assert!(has(&stay, "web is up on n2"), "{stay:?}");
}

#[test]
fn a_drill_tries_the_port_that_an_address_exposes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let keywords = format!(
        "nodes = n1 n2\n[app#1]\n\n[ip#1]\nname = 127.0.0.1\ndev = lo\nexpose = 53/udp {port}/tcp\n\
         disable = true\n"
    );
    let scene = Scene::start(&[("web", &keywords)]);
    scene.wait_up(0, "web", &[0]);
    ready(&scene);
    let words = ["web", "drill", "--dry-run", "--format", "json"];
    let dry = scene.cluster.nodes[0].om(&words);
    let told: Value = serde_json::from_str(&dry.out).unwrap_or_default();
    assert_eq!(told["probe"], format!("tcp://127.0.0.1:{port}"), "{dry:?}");
    drop(listener);
    let dry = scene.cluster.nodes[0].om(&words);
    assert!(has(&dry, "web says to expose tcp://127.0.0.1:"), "{dry:?}");
    assert!(dry.out.contains("its status"), "{dry:?}");
}

#[test]
fn a_drill_is_refused_where_it_is_not_safe() {
    let mut scene = Scene::start(&[
        ("web", "nodes = n1 n2"),
        ("alone", "nodes = n1"),
        ("many", "topology = flex"),
    ]);
    scene.wait_up(0, "web", &[0]);
    scene.wait_up(0, "alone", &[0]);
    ready(&scene);
    let refused = |words: &[&str], why: &str| {
        let words = [&["--time", "30s"], words].concat();
        let said = scene.cluster.nodes[0].om(&[&words[2..], &words[..2]].concat());
        assert!(said.code != Some(0) && said.err.contains(why), "{said:?}");
    };
    refused(&["alone", "drill"], "no other node may take alone: it has no other");
    refused(&["many", "drill"], "many is flex");
    refused(&["web", "drill", "--to", "n1"], "web is on n1 already");
    refused(&["web", "drill", "--to", "n3"], "n3 may not take web: it is none of its nodes");
    refused(&["web", "drill", "--run", "false"], "`false` does not answer");
    refused(&["web", "drill", "--probe", "web:80"], "expected tcp://HOST:PORT");
    refused(&["web", "drill", "--run", "true", "--probe", "tcp://a:1"], "exclude each other");
    let dry = scene.cluster.nodes[0].om(&["web", "drill", "--dry-run", "--run", "true"]);
    assert!(has(&dry, "web would move from n1 to n2 and back, measured by `true`"), "{dry:?}");
    scene.reach(0, &["web", "freeze"]);
    let frozen = scene.cluster.nodes[0].om(&["web", "drill"]);
    assert!(frozen.err.contains("web is frozen: `om web thaw`"), "{frozen:?}");
    scene.reach(0, &["web", "thaw"]);
    scene.kill(1);
    wait_for("n2 is missed", || {
        let said = scene.cluster.nodes[0].om(&["web", "drill", "--dry-run"]);
        said.code == Some(1) && said.err.contains("n2 is not heard")
    });
    assert_eq!(scene.journal("web"), ["start n1"]);
}

/// Gives the machine of a node a boot of its own, and a `systemctl` that gives it another one.
fn rebootable(node: &mut Node) {
    node.write("proc/sys/kernel/random/boot_id", "first\n");
    node.write("bin/about", "its programs");
    let root = node.root().display().to_string();
    let body = format!(
        "echo \"$@\" >> {root}/rebooted\nrm -f {root}/run/reboot-required\n\
         echo again-$$ > {root}/proc/sys/kernel/random/boot_id"
    );
    node.script("bin/systemctl", &body);
    let path = std::env::var("PATH").unwrap_or_default();
    node.set_env("PATH", Some(&format!("{root}/bin:{path}")));
}

#[test]
fn a_roll_does_node_after_node_and_resumes_where_it_stopped() {
    let scene = Scene::start(&[("web", "nodes = n1 n2 n3")]);
    scene.wait_up(0, "web", &[0]);
    ready(&scene);
    let node = &scene.cluster.nodes[0];
    let done = scene.file("web", "rolled").display().to_string();
    let fail = scene.file("web", "fail-roll").display().to_string();
    // Nobody is asked, nothing is begun.
    let asked = node.om(&["cluster", "roll", "--run", "true"]);
    assert!(asked.code == Some(2) && asked.err.contains("--yes"), "{asked:?}");
    let plan = node.om(&["cluster", "roll", "--run", "true", "--dry-run"]);
    assert_eq!(plan.code, Some(0), "{plan:?}");
    assert!(has(&plan, "n1: if n1 was drained"), "{plan:?}");
    assert!(has(&plan, "web n1 -> n2"), "{plan:?}");
    let command = format!("echo rolled >> {done} && test ! -e {fail}");
    fs::write(&fail, "").expect("a file");
    let first = node.om(&["cluster", "roll", "--run", &command, "--yes", "--time", "60s"]);
    assert_eq!(first.code, Some(1), "{first:?}");
    assert!(first.err.contains("n2: the command failed with exit code 1"), "{first:?}");
    assert!(first.err.contains("n3 to be done, n1 to be done"), "{first:?}");
    let again = node.om(&["cluster", "roll", "--run", "true", "--yes"]);
    assert!(again.err.contains("the last roll is not over"), "{again:?}");
    fs::remove_file(&fail).expect("removed");
    let rest = node.om(&["cluster", "roll", "--resume", "--yes", "--time", "60s"]);
    assert_eq!(rest.code, Some(0), "{rest:?}");
    assert!(rest.err.contains("the roll is over: n2 done, n3 done, n1 done"), "{rest:?}");
    // Twice where it failed first; the node where it was typed is the last one, and web left it once.
    assert_eq!(fs::read_to_string(&done).expect("its file").lines().count(), 4);
    let order: Vec<usize> = ["n2: drains", "n3: drains", "n1: drains"]
        .iter()
        .filter_map(|line| format!("{}{}", first.err, rest.err).find(line))
        .collect();
    assert!(order.len() == 3 && order.is_sorted(), "{first:?} {rest:?}");
    let frozen = node.status()["monitor"]["nodes"].clone();
    for name in ["n1", "n2", "n3"] {
        assert_eq!(frozen[name]["frozen"].as_f64(), Some(0.0), "{frozen}");
    }
    let over = node.om(&["cluster", "roll", "--resume", "--yes"]);
    assert!(over.err.contains("no roll was left unfinished here"), "{over:?}");
}

#[test]
fn the_command_of_a_roll_may_restart_the_daemon() {
    let mut scene = Scene::start(&[("web", "nodes = n1 n2 n3")]);
    scene.wait_up(0, "web", &[0]);
    ready(&scene);
    let (pid, file) = (scene.cluster.nodes[1].pid(), scene.file("web", "went-on"));
    let command = format!("kill {pid} && sleep 1 && echo it went on > {}", file.display());
    let words = ["cluster", "roll", "--run", &command, "--nodes", "n2", "--yes", "--time", "60s"];
    let mut roll = scene.cluster.nodes[0].spawn(&words);
    assert!(scene.cluster.nodes[1].wait_end().is_some(), "the daemon was ended");
    scene.cluster.nodes[1].start();
    assert!(roll.wait().is_ok_and(|status| status.success()), "the roll went on");
    assert_eq!(fs::read_to_string(&file).expect("its file"), "it went on\n");
    let frozen = scene.cluster.nodes[0].status()["monitor"]["nodes"]["n2"]["frozen"].as_f64();
    assert_eq!(frozen, Some(0.0));
}

#[test]
fn a_roll_reboots_what_wants_it_and_leaves_a_colleague_alone() {
    let conf = ClusterConf::default().patient();
    let mut cluster = Cluster::configured(3, &conf);
    cluster.nodes.iter_mut().for_each(rebootable);
    let services = [("web", "nodes = n1 n2"), ("alone", "nodes = n3")];
    let scene = Scene::of(cluster, &services, |_| {});
    scene.wait_up(0, "web", &[0]);
    scene.wait_up(0, "alone", &[2]);
    ready(&scene);
    let [n1, n2, n3] = &scene.cluster.nodes[..] else { panic!("three nodes") };
    let boots = |node: &Node| fs::read_to_string(node.path("rebooted")).unwrap_or_default();
    n1.write("run/reboot-required", "");
    n2.write("run/reboot-required", "");
    let roll = n1.om(&["cluster", "roll", "--reboot", "--yes", "--time", "60s"]);
    assert_eq!(roll.code, Some(0), "{roll:?}");
    assert!(has(&roll, "n3: skipped: it wants no reboot"), "{roll:?}");
    assert!(has(&roll, "n2: is back from its reboot"), "{roll:?}");
    assert!(has(&roll, "this machine goes down"), "{roll:?}");
    wait_for("n1 was rebooted", || boots(n1) == "reboot\n");
    // Its machine is back: the rest of it.
    let rest = n1.om(&["cluster", "roll", "--resume", "--yes", "--time", "60s"]);
    assert_eq!(rest.code, Some(0), "{rest:?}");
    assert!(has(&rest, "the roll is over: n2 done, n3 skipped"), "{rest:?}");
    assert_eq!(
        (boots(n1), boots(n2), boots(n3)),
        ("reboot\n".into(), "reboot\n".into(), String::new())
    );
    // What a colleague froze is left alone, and what has no place meanwhile is not stopped unasked.
    n2.om_ok(&["node", "freeze", "--local"]);
    wait_for("n2 is frozen", || {
        n1.status()["monitor"]["nodes"]["n2"]["frozen"].as_f64().is_some_and(|since| since > 0.0)
    });
    n3.write("run/reboot-required", "");
    let words = ["cluster", "roll", "--reboot", "--nodes", "n2,n3", "--yes", "--time", "60s"];
    let roll = n1.om(&words);
    assert_eq!(roll.code, Some(1), "{roll:?}");
    assert!(has(&roll, "n2: skipped: it is frozen"), "{roll:?}");
    assert!(roll.err.contains("alone is down: it has no other node"), "{roll:?}");
    assert_eq!(scene.journal("alone"), ["start n3"]);
    let roll = n1.om(&["cluster", "roll", "--resume", "--force", "--yes", "--time", "60s"]);
    assert_eq!(roll.code, Some(0), "{roll:?}");
    assert_eq!(scene.journal("alone"), ["start n3", "stop n3", "start n3"]);
    assert_eq!((boots(n2), boots(n3)), ("reboot\n".into(), "reboot\n".into()));
    let nodes = n1.status()["monitor"]["nodes"].clone();
    assert!(nodes["n2"]["frozen"].as_f64().is_some_and(|since| since > 0.0), "{nodes}");
}

#[test]
fn one_roll_at_a_time_and_a_dead_one_holds_nobody() {
    let scene = Scene::start(&[]);
    ready(&scene);
    let [n1, n2, _] = &scene.cluster.nodes[..] else { panic!("three nodes") };
    let (begun, go) = (n1.path("begun"), n1.path("go"));
    let command =
        format!("touch {} && until test -e {}; do sleep 0.1; done", begun.display(), go.display());
    let words = ["cluster", "roll", "--run", &command, "--nodes", "n3", "--yes", "--time", "60s"];
    let mut first = n1.spawn(&words);
    wait_for("the command runs", || begun.exists());
    let other = ["cluster", "roll", "--run", "true", "--nodes", "n2", "--yes", "--time", "60s"];
    for node in [n1, n2] {
        let refused = node.om(&other);
        assert_eq!((refused.code, refused.err.lines().count()), (Some(1), 1), "{refused:?}");
        assert!(refused.err.contains("a roll is under way: "), "{refused:?}");
        assert!(refused.err.contains(" rolls from n1, to run a command"), "{refused:?}");
    }
    first.kill().expect("killed");
    first.wait().expect("its end");
    let rolled = n2.om(&other);
    assert!(rolled.err.contains("the roll is over: n2 done"), "{rolled:?}");
    fs::write(&go, "").expect("a file");
    let rest = n1.om(&["cluster", "roll", "--resume", "--yes", "--time", "60s"]);
    assert!(rest.err.contains("the roll is over: n3 done"), "{rest:?}");
    // Of two that begin at once one goes on.
    fs::remove_file(&go).expect("removed");
    let mut both = [n1.spawn(&words), n2.spawn(&words)];
    let mut ended = |at: usize| both[at].try_wait().expect("a child").map(|it| it.success());
    let refused = harness::wait_until("one is refused", || {
        (0..2).find_map(|at| ended(at).map(|is_done| (at, is_done)))
    });
    assert!(!refused.1, "it waits for its command");
    assert_eq!(ended(1 - refused.0), None, "the other one rolls");
    fs::write(&go, "").expect("a file");
    let is_done = harness::wait_until("the other one ends", || ended(1 - refused.0));
    assert!(is_done);
}

#[test]
fn a_command_is_run_once_and_where_it_is_for() {
    let scene = Scene::start(&[]);
    ready(&scene);
    let node = &scene.cluster.nodes[0];
    let file = node.path("ran").display().to_string();
    let run = format!("echo hello && echo x >> {file} && exit 3");
    let words = ["node", "exec", "--node", "n2", "--id", "n2.1", "--run", &run];
    let ran = node.om(&words);
    assert!(ran.out.contains("hello") && ran.out.contains("exit code 3"), "{ran:?}");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let again = node.om(&words);
    assert!(again.err.contains("this command was run already"), "{again:?}");
    let told = node.om(&["node", "exec", "--node", "n2", "--id", "n2.1"]);
    assert!(told.out.contains("hello") && told.out.contains("exit code 3"), "{told:?}");
    // Played again at another node, it is nothing.
    let request = json!({"action": "node_action", "method": "POST", "node": "n3", "options": {
        "action": "exec", "sync": true, "options": {"id": "n2.1", "run": run}}});
    let played = node.request(&request).to_string();
    assert!(played.contains("command n2.1 is not for n3"), "{played}");
    assert_eq!(fs::read_to_string(&file).expect("its file"), "x\n");
    for id in ["n2.1/../x", "n2", "../n2.1", ""] {
        let refused = node.om(&["node", "exec", "--node", "n2", "--id", id, "--run", "true"]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
}
