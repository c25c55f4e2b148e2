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
