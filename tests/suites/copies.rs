//! Promise: what may run on one node at a time is not started a second time by hand: where it runs is told, and `--force`
//! does it all the same.

use std::process::Stdio;

use harness::{Output, Scene, wait_for};

/// What ran beside what, as the service itself saw it.
fn doubled(scene: &Scene, name: &str) -> Vec<String> {
    scene.journal(name).into_iter().filter(|line| line.contains("beside")).collect()
}

fn refused(output: &Output, words: &[&str], told: &[&str]) {
    assert_eq!(output.code, Some(1), "{words:?}: {output:?}");
    for part in told {
        assert!(output.err.contains(part), "{words:?}: {part:?} is not in {output:?}");
    }
}

#[test]
fn a_second_copy_is_not_started_by_hand() {
    const TASK: &str =
        "[task#1]\ntype = host\ncommand = /bin/true\n[fs#1]\ntype = flag\nstandby = true\n";
    let scene = Scene::start(&[("web", &format!("[app#1]\n\n{TASK}"))]);
    scene.reach(0, &["web", "thaw"]);
    scene.reach(0, &["web", "switch", "--to", "n1"]);
    scene.wait_up(1, "web", &[0]);
    let n2 = &scene.cluster.nodes[1];
    let runs = "web is up on n1, and is for one node at a time: ";
    let moves = "`om web switch --to n2` moves it, --force does it here all the same";
    for words in [
        &["web", "start", "--rid", "app#1"][..],
        &["web", "start", "--local"],
        &["web", "start", "--node", "n2"],
        &["web", "start", "--upto", "app#1"],
        &["web", "start", "--tags", "none", "--rid", "app"],
        &["web", "restart", "--rid", "app#1"],
        &["web", "restart", "--local"],
        &["web", "provision", "--local"],
        &["web", "start", "--local", "--dry-run"],
    ] {
        if words.contains(&"--tags") {
            refused(&n2.om(words), words, &["no resource matches"]);
        } else {
            refused(&n2.om(words), words, &[runs, moves]);
        }
    }
    // From another node, by a request.
    let words = ["web", "restart", "--rid", "app", "--node", "n2"];
    refused(&scene.cluster.nodes[2].om(&words), &words, &[runs, moves]);
    let words = ["web", "run", "--rid", "task#1"];
    refused(&n2.om(&words), &words, &[runs, "`om web run --node n1` runs it there"]);
    // Nothing of the monitor was touched.
    assert_eq!(scene.doing(1, "web", 1), "idle");
    // What each node has, and what runs here already.
    n2.om_ok(&["web", "startstandby", "--local"]);
    n2.om_ok(&["web", "start", "--rid", "fs#1"]);
    scene.cluster.nodes[0].om_ok(&["web", "restart", "--rid", "app#1"]);
    assert_eq!(doubled(&scene, "web"), Vec::<String>::new());
    n2.om_ok(&["web", "start", "--rid", "app#1", "--force"]);
    assert_eq!(doubled(&scene, "web"), ["start n2 beside up.n1"]);
}

#[test]
fn of_two_who_start_it_on_two_nodes_at_once_one_gives_way() {
    let scene = Scene::start(&[("web", "orchestrate = no")]);
    let all = [0, 1, 2];
    for round in 0..6 {
        let starts: Vec<_> = all
            .iter()
            .map(|at| {
                let words = ["web", "start", "--local", "--nolock"];
                scene.cluster.nodes[*at].spawn_into(&words, Stdio::null())
            })
            .collect();
        let codes: Vec<_> =
            starts.into_iter().map(|mut start| start.wait().expect("it ends").code()).collect();
        let up = all.iter().filter(|at| scene.file("web", &format!("up.n{}", *at + 1)).exists());
        let done = codes.iter().filter(|code| **code == Some(0)).count();
        assert!(up.clone().count() <= 1 && done <= 1, "round {round}: {codes:?}");
        assert_eq!(doubled(&scene, "web"), Vec::<String>::new(), "round {round}");
        for at in up {
            scene.cluster.nodes[*at].om_ok(&["web", "stop", "--local"]);
        }
        wait_for("all is down", || {
            all.iter().all(|at| {
                let seen = scene.seen(0, "web", *at);
                seen["avail"] == "down" && seen["monitor"]["status"] == "idle"
            })
        });
    }
}

#[test]
fn what_the_nodes_provision_one_after_the_other_runs_on_one() {
    let scene = Scene::start(&[("web", "[app#1]\n\n[fs#1]\ntype = flag\n")]);
    for node in &scene.cluster.nodes {
        node.om_ok(&["web", "set", "unprovisioned", "--local"]);
    }
    scene.reach(0, &["web", "provision"]);
    scene.wait_up_anywhere(0, "web", 1);
    assert_eq!(doubled(&scene, "web"), Vec::<String>::new());
}

#[test]
fn of_two_who_run_its_task_on_two_nodes_at_once_one_gives_way() {
    let keywords = |folder: &str| {
        format!(
            "orchestrate = no\n[app#1]\n\n[task#1]\ntype = host\ncommand = /bin/sh {folder}/work {{nodename}}\n"
        )
    };
    let scene = Scene::start(&[]);
    let folder = scene.file("web", "").display().to_string();
    scene.add("web", &keywords(&folder));
    let work = "cd $(dirname $0); ls run.* 2>/dev/null >> beside; touch run.$1 began.$1\n\
                while ! test -e go; do sleep 0.02; done; rm run.$1\n";
    std::fs::write(scene.file("web", "work"), work).expect("a script");
    wait_for("all have it", || (0..3).all(|at| scene.seen(0, "web", at)["avail"] == "down"));
    let words = ["web", "run", "--rid", "task#1"];
    // One that runs keeps the others from it.
    let mut first = scene.cluster.nodes[1].spawn_into(&words, Stdio::null());
    wait_for("it runs on n2", || scene.file("web", "began.n2").exists());
    let told = "task#1 runs on n2, and web is for one node at a time: --force runs it here";
    refused(&scene.cluster.nodes[2].om(&words), &words, &[told]);
    scene.touch("web", "go");
    assert!(first.wait().expect("it ends").success());
    scene.cluster.nodes[2].om_ok(&words);
    scene.remove("web", "go");
    // Of two that begin together one at least gives way.
    let both = [1, 2].map(|at| scene.cluster.nodes[at].spawn_into(&words, Stdio::null()));
    let mut left: Vec<_> = both.into_iter().map(Some).collect();
    wait_for("one gave way", || {
        left.iter_mut()
            .any(|run| run.as_mut().expect("there").try_wait().expect("a child").is_some())
    });
    scene.touch("web", "go");
    let codes: Vec<_> = left
        .iter_mut()
        .map(|run| run.as_mut().expect("there").wait().expect("it ends").code())
        .collect();
    assert!(codes.contains(&Some(1)), "{codes:?}");
    let beside = std::fs::read_to_string(scene.file("web", "beside")).unwrap_or_default();
    assert_eq!(beside, "", "two ran at once");
}

#[test]
fn a_section_whose_resource_runs_is_not_deleted_before_it_is_stopped() {
    let scene = Scene::start(&[("web", "[app#1]\n\n[fs#1]\ntype = flag\nstandby = true\n")]);
    scene.reach(0, &["web", "switch", "--to", "n1"]);
    scene.wait_up(1, "web", &[0]);
    let [n1, n2, _] = &scene.cluster.nodes[..] else { panic!("three nodes") };
    let words = ["web", "delete", "--rid", "app#1"];
    let stop = "app#1 on n1: `om web stop --rid app#1 --node n1` ends it";
    for node in [n1, n2] {
        refused(&node.om(&words), &words, &["nothing is deleted", stop]);
        assert!(node.read("etc/web.conf").contains("[app#1]"));
    }
    n1.om_ok(&["web", "freeze", "--wait"]);
    n2.om_ok(&["web", "stop", "--rid", "app#1", "--node", "n1"]);
    wait_for("it is down", || scene.seen(1, "web", 0)["resources"]["app#1"]["status"] == "down");
    n2.om_ok(&words);
    assert_eq!(scene.journal("web"), ["start n1", "stop n1"]);
    wait_for("the section is gone", || !n1.read("etc/web.conf").contains("[app#1]"));
    // Here, --force stops it first.
    n1.om_ok(&["web", "delete", "--rid", "fs#1", "--force"]);
    wait_for("its resource is gone", || {
        scene.seen(1, "web", 0)["resources"] == serde_json::json!({})
    });
}

#[test]
fn what_is_for_other_nodes_now_runs_once_and_can_be_moved() {
    let scene = Scene::start(&[("web", ""), ("shop", "")]);
    for name in ["web", "shop"] {
        scene.reach(0, &[name, "switch", "--to", "n1"]);
        scene.wait_up(1, name, &[0]);
    }
    let n1 = &scene.cluster.nodes[0];
    for name in ["web", "shop"] {
        n1.om_ok(&[name, "set", "--kw", "nodes=n2 n3"]);
        wait_for("n2 has the new configuration", || {
            !scene.cluster.nodes[1].read(&format!("etc/{name}.conf")).contains("n1")
        });
        wait_for("it is told", || {
            n1.om(&[name, "explain"]).out.contains("it is for other nodes now")
        });
        scene.wait_up(1, name, &[0]);
    }
    scene.reach(0, &["web", "switch", "--to", "n2"]);
    scene.wait_up(2, "web", &[1]);
    scene.reach(0, &["shop", "stop"]);
    for name in ["web", "shop"] {
        let file = n1.path(&format!("etc/{name}.conf"));
        wait_for("its file goes from n1", || !file.exists());
        wait_for("nor is there an instance", || scene.seen(1, name, 0).is_null());
        assert_eq!(doubled(&scene, name), Vec::<String>::new());
    }
    scene.reach(1, &["shop", "start"]);
    scene.wait_up(2, "shop", &[1]);
    assert_eq!(scene.journal("shop"), ["start n1", "stop n1", "start n2"]);
    // A node that is emptied stops it.
    scene.cluster.nodes[1].om_ok(&["shop", "set", "--kw", "nodes=n1 n3"]);
    scene.reach(1, &["node", "drain", "--node", "n2"]);
    scene.wait_up_anywhere(0, "shop", 1);
    assert!(!scene.file("shop", "up.n2").exists());
    assert_eq!(doubled(&scene, "shop"), Vec::<String>::new());
    scene.reach(0, &["shop", "switch", "--to", "n3"]);
    scene.wait_up(0, "shop", &[2]);
    // Taken off a node where it runs, in one command.
    let n3 = &scene.cluster.nodes[2];
    n3.om_ok(&["shop", "delete", "--local", "--force"]);
    scene.wait_up(1, "shop", &[0]);
    assert!(!n3.path("etc/shop.conf").exists());
    assert_eq!(doubled(&scene, "shop"), Vec::<String>::new());
}
