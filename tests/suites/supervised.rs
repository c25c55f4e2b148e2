//! Promise: a resource that falls is restarted as often and as late as its keywords say, standby resources are kept up on
//! every node, and what cannot be repaired is left as `monitor_action` says.

use harness::{ClusterConf, Scene, id_of, wait_for};

/// A second resource, up on a node while its file `name.NODE` is there.
fn second(scene: &Scene, name: &str, keywords: &str) -> String {
    let file = format!("{}.{{nodename}}", scene.file("web", name).display());
    format!(
        "[app#1]\n[app#2]\ntype = forking\nstart = /bin/touch {file}\nstop = /bin/rm -f {file}\n\
         check = /usr/bin/test -e {file}\n{keywords}\n"
    )
}

fn refresh(scene: &Scene, at: usize) {
    scene.cluster.nodes[at].om(&["web", "status", "--refresh"]);
}

/// When lines of the log of `web` that say something were written, in milliseconds of the day.
fn times(scene: &Scene, at: usize, what: &str) -> Vec<u64> {
    let log = scene.cluster.nodes[at].read("log/web.log");
    let time = |line: &str| {
        let clock: Vec<u64> = line
            .get(11..23)?
            .split([':', ',', '.'])
            .map(|part| part.parse().ok())
            .collect::<Option<_>>()?;
        let [hours, minutes, seconds, millis] = clock[..] else { return None };
        Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + millis)
    };
    log.lines().filter(|line| line.contains(what)).filter_map(time).collect()
}

#[test]
fn restarts_wait_for_each_other() {
    let scene = Scene::start(&[("web", "nodes = n1\n[app#1]\nrestart = 2\nrestart_delay = 3s\n")]);
    scene.wait_up(2, "web", &[0]);
    wait_for("it is kept up", || scene.seen(0, "web", 0)["monitor"]["local_expect"] == "started");
    scene.touch("web", "fail-start.n1");
    scene.remove("web", "up.n1");
    refresh(&scene, 0);
    wait_for("two restarts", || scene.journal("web").len() == 3);
    wait_for("they are used up", || {
        scene.seen(0, "web", 0)["monitor"]["restart"]["app#1"]["retries"] == 3
    });
    assert_eq!(scene.journal("web"), ["start n1"; 3]);
    let [.., first, second] = times(&scene, 0, "do start --local --rid")[..] else {
        panic!("{}", scene.cluster.nodes[0].read("log/web.log"))
    };
    let day = 24 * 3_600 * 1_000;
    let between = (second + day - first) % day;
    // The lines are written by what is started, on a busy machine a while after it was.
    assert!((1_500..20_000).contains(&between), "{between} ms between the restarts");
}

#[test]
fn what_does_not_stay_up_uses_its_restarts_up_and_is_given_away() {
    let text = |restart: &str| {
        format!(
            "[DEFAULT]\nid = {}\nnodes = n1 n2\norchestrate = ha\nmonitor_action = switch\n\
             [app#1]\ntype = simple\nstart = /bin/sleep 91010\nstart@n1 = /bin/sleep 3\n\
             monitor = true\n{restart}",
            id_of("web")
        )
    };
    let scene = Scene::start_with(&ClusterConf::default(), &[], |scene| {
        scene.configure("web", &text("restart = 2\n"));
    });
    scene.wait_up(2, "web", &[1]);
    let restarts = times(&scene, 0, "do start --local --rid");
    assert_eq!(restarts.len(), 2, "{}", scene.cluster.nodes[0].read("log/web.log"));
}

#[test]
fn standby_resources_are_up_everywhere_whatever_becomes_of_the_service() {
    let mut scene = Scene::start_with(&ClusterConf::default(), &[], |scene| {
        scene.add("web", &second(scene, "spare", "standby = true"));
    });
    scene.wait_up(2, "web", &[0]);
    let is_spare = |scene: &Scene, at: usize| {
        scene.file("web", &format!("spare.n{}", at + 1)).exists()
            && scene.seen(0, "web", at)["resources"]["app#2"]["status"] == "stdby up"
    };
    for at in 0..3 {
        wait_for("it is up as a standby", || is_spare(&scene, at));
    }
    scene.remove("web", "spare.n2");
    refresh(&scene, 1);
    wait_for("it is repaired", || is_spare(&scene, 1));
    scene.kill(0);
    scene.wait_up(2, "web", &[1]);
    assert_eq!(scene.journal("web"), ["start n1", "start n2"]);
    scene.reach(2, &["web", "stop"]);
    for at in [1, 2] {
        assert!(scene.file("web", &format!("spare.n{}", at + 1)).exists());
    }
}

#[test]
fn without_a_monitor_action_what_fell_stays_as_it_is_and_nothing_moves() {
    let scene = Scene::start_with(&ClusterConf::default(), &[], |scene| {
        scene.add("web", &second(scene, "beside", "monitor = true"));
    });
    scene.wait_up(2, "web", &[0]);
    wait_for("it is kept up", || scene.seen(0, "web", 0)["monitor"]["local_expect"] == "started");
    scene.remove("web", "beside.n1");
    refresh(&scene, 0);
    wait_for("it is told", || {
        scene.cluster.nodes[0].read("log/web.log").contains("monitor_action is not set")
    });
    wait_for("it is degraded, and nothing acts", || {
        let web = scene.seen(2, "web", 0);
        web["avail"] == "warn" && web["monitor"]["status"] == "idle"
    });
    assert!(!scene.file("web", "beside.n1").exists());
    assert_eq!(scene.journal("web"), ["start n1"]);
}
