//! Promise: what fails on one node is tried on another, once, and an operator gets out of every failure.

use harness::{ClusterConf, Scene, id_of, wait_for, wait_until};

fn fails_at_first(name: &'static str) -> Scene {
    Scene::start_with(&ClusterConf::default(), &[(name, "")], |scene| {
        scene.touch(name, "fail-start.n1");
    })
}

#[test]
fn a_service_that_does_not_start_is_started_on_the_next_node() {
    let scene = fails_at_first("web");
    scene.wait_up(2, "web", &[1]);
    // The failure is forgotten once it is up: it could start here again.
    scene.wait_up(0, "web", &[1]);
    assert_eq!(scene.journal("web"), ["start n1", "start n2"]);
    scene.wait_doing(2, "web", 0, "idle");
    scene.remove("web", "fail-start.n1");
    scene.cluster.nodes[2].om_ok(&["web", "giveback", "--wait", "--time", "20s"]);
    scene.wait_up(2, "web", &[0]);
    assert_eq!(scene.journal("web"), ["start n1", "start n2", "stop n2", "start n1"]);
}

#[test]
fn a_service_that_starts_nowhere_is_tried_once_on_each_node_until_it_is_cleared() {
    let scene = Scene::start_with(&ClusterConf::default(), &[("web", "")], |scene| {
        for node in ["n1", "n2", "n3"] {
            scene.touch("web", &format!("fail-start.{node}"));
        }
    });
    for at in 0..3 {
        scene.wait_doing(1, "web", at, "start failed");
    }
    assert_eq!(scene.journal("web"), ["start n1", "start n2", "start n3"]);
    let [n1, ..] = &scene.cluster.nodes[..] else { panic!("three nodes") };
    // Each node tells all others why, wherever they are asked.
    for at in 0..3 {
        let failure = scene.seen(0, "web", at)["last_failure"].clone();
        assert_eq!((&failure["action"], &failure["rid"]), (&"start".into(), &"app#1".into()));
        assert_eq!((&failure["exit_code"], &failure["tries"]), (&1.into(), &1.into()), "{failure}");
        assert!(failure["reason"].as_str().is_some_and(|it| it.contains("exit code 1")));
    }
    let cause = "app#1: start of forking: ";
    for words in [&["mon"][..], &["web", "print", "status"], &["web", "explain"]] {
        let shown = n1.om_ok(words);
        assert!(shown.contains(cause), "{words:?}: {shown}");
    }
    let explained = n1.om_ok(&["web", "explain"]);
    assert!(explained.contains("once that is mended, `om web clear`\n"), "{explained}");
    let log = n1.read("log/node.log");
    let told = log.lines().find(|line| line.contains("action failed")).unwrap_or_default();
    assert!(told.contains("WARNING") && told.contains("object=web"), "{log}");
    assert!(told.contains(cause) && told.contains("exit code 1"), "{log}");
    let log = n1.read("log/web.log");
    let told = log.lines().find(|line| line.contains("instance_failed: web is down: app#1: "));
    assert!(told.is_some(), "{log}");
    // A failure of a second time is counted, also by the next daemon.
    n1.om_ok(&["web", "clear", "--node", "*"]);
    for at in 0..3 {
        let failure = &scene.seen(0, "web", at)["last_failure"];
        assert!(failure.is_null() || failure["tries"] == 1, "{failure}");
    }
    for at in 0..3 {
        scene.wait_doing(1, "web", at, "start failed");
    }
    scene.remove("web", "fail-start.n3");
    n1.om_ok(&["web", "clear", "--node", "*"]);
    scene.wait_up(0, "web", &[2]);
    assert!(scene.seen(0, "web", 2)["last_failure"].is_null(), "it has started");
}

#[test]
fn why_an_action_failed_outlives_the_daemon_and_ends_with_a_success() {
    let keywords = "nodes = n1\norchestrate = no";
    let mut scene = Scene::start_with(&ClusterConf::default(), &[("web", keywords)], |scene| {
        scene.touch("web", "fail-start.n1");
    });
    wait_for("it is known", || scene.seen(0, "web", 0)["avail"] == "down");
    for tries in 1..4 {
        let failed = scene.cluster.nodes[0].om(&["web", "start", "--local"]);
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert_eq!(scene.seen(0, "web", 0)["last_failure"]["tries"], tries);
    }
    scene.cluster.nodes[0].kill();
    let shown = scene.cluster.nodes[0].om(&["web", "print", "status"]);
    assert!(shown.out.contains(", 3 tries)"), "{shown:?}");
    scene.cluster.nodes[0].start();
    scene.cluster.nodes[0].wait_instance("web", "known", |it| it["last_failure"]["tries"] == 3);
    scene.remove("web", "fail-start.n1");
    scene.cluster.nodes[0].om_ok(&["web", "start", "--local"]);
    assert!(scene.seen(0, "web", 0)["last_failure"].is_null());
    // What failed before the machine booted says nothing of the one that runs now.
    scene.touch("web", "fail-start.n1");
    scene.cluster.nodes[0].om_ok(&["web", "stop", "--local"]);
    assert_eq!(scene.cluster.nodes[0].om(&["web", "start", "--local"]).code, Some(1));
    assert_eq!(scene.seen(0, "web", 0)["last_failure"]["tries"], 1);
    scene.cluster.nodes[0].om_ok(&["web", "boot", "--local"]);
    assert!(scene.seen(0, "web", 0)["last_failure"].is_null());
}

#[test]
fn a_provision_whose_start_fails_is_not_done() {
    let scene = Scene::start_with(&ClusterConf::default(), &[], |scene| {
        scene.add("web", "orchestrate = no\n[app#1]\n");
        for node in ["n1", "n2", "n3"] {
            scene.touch("web", &format!("fail-start.{node}"));
        }
    });
    let n1 = &scene.cluster.nodes[0];
    wait_for("it is known", || (0..3).all(|at| scene.seen(0, "web", at)["avail"] == "down"));
    let done = n1.om(&["web", "provision", "--wait", "--time", "20s"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("start failed on n1: app#1: "), "{done:?}");
}

#[test]
fn what_falls_and_does_not_come_back_here_is_started_elsewhere() {
    let keywords =
        "monitor_action = switch\n[app#1]\nrestart = 1\nrestart_reset = 0\nmonitor = true\n";
    let scene = Scene::start(&[("web", keywords)]);
    scene.cluster.nodes[0].wait_instance("web", "kept up", |instance| {
        instance["avail"] == "up"
            && instance["monitor"]["status"] == "idle"
            && instance["monitor"]["local_expect"] == "started"
    });
    // It falls, and is repaired.
    scene.remove("web", "up.n1");
    scene.cluster.nodes[0].om(&["web", "status", "--refresh"]);
    wait_for("it is repaired", || scene.file("web", "up.n1").exists());
    scene.wait_up(0, "web", &[0]);
    // It falls, and cannot be repaired.
    scene.touch("web", "fail-start.n1");
    scene.remove("web", "up.n1");
    scene.cluster.nodes[0].om(&["web", "status", "--refresh"]);
    scene.wait_up(2, "web", &[1]);
    let done = scene.journal("web");
    let starts = |node: &str| done.iter().filter(|line| **line == format!("start {node}")).count();
    assert_eq!((starts("n1"), starts("n2"), starts("n3")), (3, 1, 0), "{done:?}");
    assert!(scene.cluster.nodes[0].read("log/web.log").contains("monitor action switch"));
}

#[test]
fn what_does_not_stop_is_started_nowhere_else() {
    let scene = Scene::start_with(&ClusterConf::default(), &[("other", "")], |scene| {
        let script = scene.file("other", "stubborn");
        std::fs::write(&script, "trap '' TERM\nwhile :; do sleep 1; done\n").expect("a script");
        let text = format!(
            "[DEFAULT]\nid = {}\nnodes = n1 n2 n3\norchestrate = ha\n[sync#i0]\ndisable = true\n\
             [app#1]\ntype = simple\nstart = /bin/sh {}\n",
            id_of("web"),
            script.display()
        );
        scene.configure("web", &text);
    });
    scene.wait_up(1, "web", &[0]);
    let switch =
        scene.cluster.nodes[1].om(&["web", "switch", "--to", "n2", "--wait", "--time", "8s"]);
    assert_eq!(switch.code, Some(1), "{switch:?}");
    scene.wait_doing(1, "web", 0, "stop failed");
    for viewer in 0..3 {
        assert_eq!(scene.seen(viewer, "web", 0)["avail"], "up");
        assert_eq!(scene.seen(viewer, "web", 1)["avail"], "down");
    }
    scene.cluster.nodes[2].om(&["web", "abort", "--wait", "--time", "20s"]);
    scene.cluster.nodes[0].om_ok(&["web", "clear"]);
    scene.wait_up(2, "web", &[0]);
}

#[test]
fn a_start_that_hangs_is_ended_by_an_abort_from_anywhere_and_hangs_on_no_other_node() {
    let scene = Scene::start_with(&ClusterConf::default(), &[("web", "")], |scene| {
        for node in ["n1", "n2", "n3"] {
            scene.touch("web", &format!("hold.{node}"));
        }
    });
    let [n1, n2, n3] = &scene.cluster.nodes[..] else { panic!("three nodes") };
    scene.wait_doing(2, "web", 0, "starting");
    // What is aborted before runs nothing, and has nothing to end.
    wait_for("its command runs", || {
        !n1.processes(|line| line.starts_with("/bin/sh ") && line.ends_with(" n1 start")).is_empty()
    });
    let refused = n2.om(&["web", "restart"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("om web abort"), "{refused:?}");
    let aborted = n3.om(&["web", "abort"]);
    let told = "web on n1: starting is ended, then web is frozen";
    assert!(aborted.err.contains(told), "{aborted:?}");
    for node in [n1, n2, n3] {
        node.wait_instance("web", "frozen", |instance| instance["frozen"] != 0.0);
    }
    let wanted = "is ended, the action was asked to end";
    wait_for("it is in the log", || n1.read("log/web.log").contains(wanted));
    assert!(!n2.read("log/web.log").contains("do start"), "another node started it");
    // Nothing holds it any more.
    for node in ["n1", "n2", "n3"] {
        scene.remove("web", &format!("hold.{node}"));
    }
    scene.reach(0, &["web", "start"]);
    scene.wait_up(1, "web", &[0]);
}

#[test]
fn a_provision_that_fails_on_all_nodes_and_one_of_what_was_only_just_created_are_not_done() {
    let scene = Scene::start(&[]);
    let node = &scene.cluster.nodes[0];
    let wait = ["--wait", "--time", "20s"];
    for round in 0..3 {
        let name = format!("bad{round}");
        let kw = ["--kw", "nodes=n1 n2 n3", "--kw", "fs#1.type=ext4", "--kw", "fs#1.dev=/dev/null"];
        let more = ["--kw", "fs#1.mnt={var}/mnt", "--kw", "sync#i0.disable=true"];
        node.om_ok(&[&[name.as_str(), "create"], &kw[..], &more[..]].concat());
        let done = node.om(&[&[name.as_str(), "provision"], &wait[..]].concat());
        assert_eq!(done.code, Some(1), "{done:?}");
        let seen = [0, 1, 2].map(|at| scene.seen(0, &name, at).to_string());
        assert!(done.err.contains("provision failed"), "{done:?}: {seen:#?}");
    }
    for round in 0..6 {
        let name = format!("good{round}");
        let kw =
            ["--kw", "nodes=n1 n2 n3", "--kw", "fs#1.type=flag", "--kw", "sync#i0.disable=true"];
        node.om_ok(&[&[name.as_str(), "create"], &kw[..]].concat());
        node.om_ok(&[&[name.as_str(), "provision"], &wait[..]].concat());
        assert_eq!(scene.aggregate(0, &name, "provisioned"), true, "{name}");
        assert_eq!(scene.aggregate(0, &name, "avail"), "up", "{name}");
    }
    for (round, action) in ["stop", "thaw", "delete", "purge", "start"].into_iter().enumerate() {
        let name = format!("new{round}");
        let kw =
            ["--kw", "nodes=n1 n2 n3", "--kw", "fs#1.type=flag", "--kw", "sync#i0.disable=true"];
        node.om_ok(&[&[name.as_str(), "create"], &kw[..]].concat());
        if action == "start" {
            let done = node.om(&[&[name.as_str(), "start"], &wait[..]].concat());
            // Not provisioned: refused, or done, and never neither.
            assert!(done.code == Some(1) || scene.aggregate(0, &name, "avail") == "up", "{done:?}");
            continue;
        }
        node.om_ok(&[&[name.as_str(), action], &wait[..]].concat());
        match action {
            "stop" => assert_eq!(frozen_of(&scene, &name), "frozen"),
            "thaw" => assert_eq!(frozen_of(&scene, &name), "thawed"),
            _ => {
                for node in &scene.cluster.nodes {
                    assert!(!node.path(&format!("etc/{name}.conf")).exists(), "{action}");
                }
            }
        }
    }
}

fn frozen_of(scene: &Scene, name: &str) -> String {
    scene.aggregate(0, name, "frozen").as_str().unwrap_or_default().to_owned()
}

#[test]
fn why_a_sync_or_a_task_failed_is_told_until_it_succeeds() {
    let keywords = "nodes = n1 n2\n[app#1]\n\n[task#1]\ntype = host\ncommand = /bin/false\n\
                    [sync#1]\ntype = rsync\nsrc = /no/such/folder\ndst = /no/such/folder\n\
                    target = nodes\nschedule = @0\n";
    let scene = Scene::start(&[("web", keywords)]);
    scene.wait_up(0, "web", &[0]);
    let node = &scene.cluster.nodes[0];
    for (words, rid, action) in [
        (&["web", "run", "--rid", "task#1", "--node", "n1"][..], "task#1", "run"),
        (&["web", "sync", "nodes", "--rid", "sync#1", "--node", "n1"], "sync#1", "sync nodes"),
    ] {
        let failed = scene.cluster.nodes[1].om(words);
        assert_eq!(failed.code, Some(1), "{failed:?}");
        let failure = wait_until("the failure is kept", || {
            let kept = scene.seen(1, "web", 0)["last_failure"].clone();
            (kept["action"] == action).then_some(kept)
        });
        assert_eq!(failure["rid"], rid, "{failure}");
        for words in [&["mon"][..], &["web", "print", "status"]] {
            let shown = node.om_ok(words);
            assert!(shown.contains(&format!("{rid}: ")), "{words:?}: {shown}");
        }
        scene.reach(0, &["web", "clear"]);
    }
    // It says nothing of a start, and ends with what it is about.
    node.om(&["web", "run", "--rid", "task#1", "--local"]);
    node.om_ok(&["web", "set", "--kw", "task#1.command=/bin/true"]);
    node.om_ok(&["web", "freeze", "--local"]);
    assert_eq!(node.instance("web")["last_failure"]["rid"], "task#1");
    node.om_ok(&["web", "run", "--rid", "task#1", "--local"]);
    wait_for("it is forgotten", || node.instance("web")["last_failure"].is_null());
    // Who runs it by its schedule tells it, too.
    let often = ["web", "set", "--kw", "task#1.command=/bin/false", "--kw", "task#1.schedule=@1s"];
    node.om_ok(&often);
    wait_for("the log tells why", || {
        let log = node.read("log/node.log");
        log.lines()
            .any(|line| line.contains("action failed") && line.contains("task#1: /bin/false: "))
    });
}
