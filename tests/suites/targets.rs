//! Promise: what an operator asks of a service is done on the right nodes, in the right order, and told when it is done.

use harness::{ClusterConf, Scene, wait_for};
use rustix::process::Signal;

const FAILOVER: (&str, &str) = ("web", "");
const FLEX: (&str, &str) = ("flex", "topology = flex\nflex_min = 1\nflex_target = 2");

fn frozen(scene: &Scene, viewer: usize, name: &str) -> Vec<bool> {
    let is_frozen = |at| scene.seen(viewer, name, at)["frozen"].as_f64() > Some(0.0);
    (0..3).map(is_frozen).collect()
}

#[test]
fn a_failover_service_goes_where_it_is_told_to() {
    let scene = Scene::start(&[FAILOVER]);
    scene.wait_up(1, "web", &[0]);
    scene.reach(0, &["web", "switch", "--to", "n3"]);
    scene.wait_up(0, "web", &[2]);
    scene.reach(1, &["web", "takeover"]);
    scene.wait_up(0, "web", &[1]);
    assert_eq!(scene.aggregate(0, "web", "placement"), "non-optimal");
    scene.reach(2, &["web", "giveback"]);
    scene.wait_up(0, "web", &[0]);
    assert_eq!(scene.aggregate(2, "web", "placement"), "optimal");
    scene.reach(2, &["web", "restart"]);
    scene.wait_up(2, "web", &[0]);
    let moves = [
        "start n1", "stop n1", "start n3", "stop n3", "start n2", "stop n2", "start n1", "stop n1",
        "start n1",
    ];
    assert_eq!(scene.journal("web"), moves);
    // Already there, or nowhere.
    scene.reach(1, &["web", "switch", "--to", "n1"]);
    scene.reach(1, &["web", "start"]);
    let nowhere = scene.cluster.nodes[1].om(&["web", "switch", "--to", "n9"]);
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert_eq!(scene.journal("web"), moves);
}

#[test]
fn a_stop_freezes_and_a_start_thaws_and_a_frozen_service_stays_where_it_is() {
    let mut scene = Scene::start(&[FAILOVER, FLEX]);
    scene.wait_up(1, "web", &[0]);
    scene.wait_up(1, "flex", &[0, 1]);
    for name in ["web", "flex"] {
        scene.reach(2, &[name, "stop"]);
        scene.wait_up(0, name, &[]);
        assert_eq!(frozen(&scene, 1, name), [true; 3]);
        scene.reach(1, &[name, "start"]);
        scene.wait_up(2, name, if name == "web" { &[0] } else { &[0, 1] });
        assert_eq!(frozen(&scene, 0, name), [false; 3]);
    }
    scene.reach(1, &["*", "freeze"]);
    assert_eq!(frozen(&scene, 2, "web"), [true; 3]);
    assert_eq!(scene.aggregate(0, "flex", "frozen"), "frozen");
    scene.kill(0);
    wait_for("n1 is forgotten", || scene.seen(1, "web", 0).is_null());
    scene.wait_up(1, "web", &[]);
    scene.wait_up(1, "flex", &[1]);
    scene.reach(2, &["*", "thaw"]);
    scene.wait_up(1, "web", &[1]);
    scene.wait_up(1, "flex", &[1, 2]);
    assert_eq!(scene.journal("web"), ["start n1", "stop n1", "start n1", "start n2"]);
}

#[test]
fn a_flex_service_keeps_its_number_and_moves_without_falling_below() {
    let scene = Scene::start(&[FLEX]);
    scene.wait_up(2, "flex", &[0, 1]);
    scene.reach(0, &["flex", "switch", "--to", "n3"]);
    let moves = scene.journal("flex");
    assert_eq!(moves[2], "start n3 beside up.n1 up.n2", "{moves:?}");
    // The others were stopped, and one of them is wanted again.
    wait_for("one is started again", || scene.journal("flex").len() >= 6);
    scene.wait_up_anywhere(1, "flex", 2);
    scene.reach(1, &["flex", "giveback"]);
    scene.wait_up(0, "flex", &[0, 1]);
}

#[test]
fn a_target_is_reached_when_a_node_that_stood_still_has_it_too() {
    // Nobody gives up the one that stands still meanwhile.
    let conf = ClusterConf { heartbeat: "timeout = 20".into(), ..ClusterConf::default() };
    let scene = Scene::start_with(&conf, &[], |_| {});
    for node in &scene.cluster.nodes {
        wait_for("all nodes are idle", || {
            let status = node.status();
            let of = |name: &str| status["monitor"]["nodes"][name]["monitor"]["status"] == "idle";
            ["n1", "n2", "n3"].into_iter().all(of)
        });
    }
    scene.cluster.nodes[1].signal(Signal::STOP);
    scene.cluster.nodes[0].om_ok(&[
        "web",
        "create",
        "--kw",
        "nodes=n1 n2 n3",
        "--kw",
        "fs#1.type=flag",
    ]);
    let mut thaw = scene.cluster.nodes[0].spawn(&["web", "thaw", "--wait", "--time", "20s"]);
    wait_for("n3 is thawed", || scene.seen(0, "web", 2)["frozen"] == 0.0);
    assert!(thaw.try_wait().expect("a child of ours").is_none(), "n2 is not thawed");
    scene.cluster.nodes[1].signal(Signal::CONT);
    assert!(thaw.wait().expect("a child of ours").success());
    assert_eq!(scene.cluster.nodes[1].instance("web")["frozen"], 0.0);
}

#[test]
fn a_wait_that_is_too_long_says_so_and_the_target_stays() {
    let scene = Scene::start(&[FAILOVER]);
    scene.wait_up(1, "web", &[0]);
    scene.touch("web", "hold.n2");
    let late =
        scene.cluster.nodes[2].om(&["web", "switch", "--to", "n2", "--wait", "--time", "500ms"]);
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!((late.out + &late.err).contains("timeout"));
    // One target at a time: as soon as it is known that it acts.
    scene.wait_doing(0, "web", 1, "starting");
    let refused = scene.cluster.nodes[0].om(&["web", "giveback"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("web on n2: starting for "), "{refused:?}");
    scene.remove("web", "hold.n2");
    scene.wait_up(2, "web", &[1]);
    assert_eq!(scene.journal("web"), ["start n1", "stop n1", "start n2"]);
}

#[test]
fn parents_are_started_first_and_children_stopped_first() {
    let scene = Scene::start(&[("db", ""), ("web", "parents = db")]);
    scene.wait_up(2, "web", &[0]);
    let before = |scene: &Scene, first: &str, then: &str, what: &str| {
        let time = |name: &str| {
            let log = scene.cluster.nodes[0].read(&format!("log/{name}.log"));
            let line = log.lines().rev().find(|line| line.contains(what)).unwrap_or_default();
            line.chars().take(23).collect::<String>()
        };
        let (one, other) = (time(first), time(then));
        assert!(!one.is_empty() && one < other, "{what}: {first} at {one}, {then} at {other}");
    };
    before(&scene, "db", "web", "action ended action=start");
    scene.cluster.nodes[1].om_ok(&["web,db", "stop", "--wait", "--time", "20s"]);
    scene.wait_up(1, "db", &[]);
    scene.cluster.nodes[1].om_ok(&["web,db", "start", "--wait", "--time", "20s"]);
    scene.wait_up(2, "web", &[0]);
    before(&scene, "db", "web", "action ended action=start");
}

#[test]
fn a_parent_is_stopped_once_its_children_are() {
    let scene = Scene::start(&[("db", "children = web"), ("web", "")]);
    scene.wait_up(2, "web", &[0]);
    scene.wait_up(2, "db", &[0]);
    scene.cluster.nodes[1].om_ok(&["db", "stop"]);
    scene.cluster.nodes[0].wait_instance("db", "waiting for web", |instance| {
        instance["monitor"]["status"] == "wait children"
    });
    assert_eq!(scene.journal("db"), ["start n1"]);
    scene.reach(2, &["web", "stop"]);
    scene.wait_up(1, "db", &[]);
    assert_eq!(scene.journal("db"), ["start n1", "stop n1"]);
}

#[test]
fn a_purged_service_is_stopped_and_gone_everywhere() {
    let scene = Scene::start(&[FAILOVER, FLEX]);
    scene.wait_up(1, "web", &[0]);
    scene.wait_up(1, "flex", &[0, 1]);
    scene.reach(2, &["web", "purge"]);
    for node in &scene.cluster.nodes {
        wait_for("its configuration is gone", || !node.path("etc/web.conf").exists());
    }
    let refused = scene.cluster.nodes[0].om(&["flex", "delete"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("flex runs on n1, n2"), "{refused:?}");
    scene.reach(0, &["flex", "delete", "--force"]);
    for (at, node) in scene.cluster.nodes.iter().enumerate() {
        wait_for("it is known nowhere", || {
            let services = &node.status()["monitor"]["services"];
            services["web"].is_null() && services["flex"].is_null()
        });
        assert!(!node.path("etc/flex.conf").exists(), "n{}", at + 1);
    }
    assert_eq!(scene.journal("web"), ["start n1", "stop n1"]);
    let stopped = |node: &str| scene.journal("flex").contains(&format!("stop {node}"));
    assert!(stopped("n1") && stopped("n2"), "{:?}", scene.journal("flex"));
}

#[test]
fn what_is_provisioned_is_so_on_all_nodes_and_up_on_one() {
    let scene = Scene::start(&[]);
    let node = &scene.cluster.nodes[0];
    node.om_ok(&[
        "dir",
        "create",
        "--kw",
        "nodes=n1 n2 n3",
        "--kw",
        "orchestrate=ha",
        "--kw",
        "fs#1.type=flag",
        "--kw",
        "sync#i0.disable=true",
    ]);
    wait_for("all have an instance", || {
        (0..3).all(|at| scene.seen(0, "dir", at)["avail"] == "down")
    });
    scene.reach(1, &["dir", "provision"]);
    for viewer in 0..3 {
        scene.wait_up(viewer, "dir", &[0]);
    }
    assert_eq!(scene.aggregate(2, "dir", "provisioned"), true);
    assert_eq!(frozen(&scene, 2, "dir"), [false; 3]);
    scene.reach(2, &["dir", "unprovision"]);
    scene.wait_up(1, "dir", &[]);
    assert_eq!(scene.aggregate(2, "dir", "provisioned"), false);
}

#[test]
fn a_wait_ends_with_the_target_and_tells_what_is_done_meanwhile() {
    let scene = Scene::start(&[("web", ""), ("db", ""), ("kid", "parents = db")]);
    scene.wait_up(1, "kid", &[0]);
    let [n1, n2, _] = &scene.cluster.nodes[..] else { panic!("three nodes") };
    let waited = |words: &[&str]| n2.om(&[words, &["--wait", "--time", "20s"]].concat());
    let told = |output: &harness::Output, code: i32, line: &str| {
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(output.err.lines().any(|each| each == line), "{line:?}: {output:?}");
        assert_eq!(output.out, "", "what a program may read stays empty");
    };
    told(&waited(&["kid,db", "stop"]), 0, "db is down");
    // Nothing runs that could be restarted.
    told(&waited(&["db", "restart"]), 1, "error: target dropped, db is down");
    // A start that waits for its parent, until somebody else drops it.
    let aborted = std::thread::scope(|scope| {
        let start = scope.spawn(|| waited(&["kid", "start"]));
        n1.wait_instance("kid", "waiting for db", |instance| {
            instance["monitor"]["status"] == "wait parents"
        });
        n1.om_ok(&["kid", "abort"]);
        start.join().expect("om ends")
    });
    told(&aborted, 1, "error: target dropped, kid is down");
    // A target that is there already is waited for; one that is refused does not keep the others from it.
    scene.remove("web", "journal");
    told(&waited(&["web", "stop"]), 0, "web is down");
    scene.touch("web", "hold.n1");
    n1.om_ok(&["web", "start"]);
    n1.wait_instance("web", "starting", |instance| instance["monitor"]["status"] == "starting");
    let (joined, refused, follows) = std::thread::scope(|scope| {
        let joined = scope.spawn(|| waited(&["web", "start"]));
        let refused = n2.om(&["web", "restart"]);
        // The same order waits where somebody waits for it.
        let follows = scope.spawn(|| waited(&["web,db", "restart"]));
        scene.remove("web", "hold.n1");
        (joined.join().expect("om ends"), refused, follows.join().expect("om ends"))
    });
    told(&joined, 0, "web is up on n1");
    told(&joined, 0, "n1: starting, n2: idle, n3: idle");
    told(&refused, 1, "error: web instance on node n1 in starting state");
    told(&follows, 1, "web is up on n1");
    told(&follows, 1, "error: target dropped, db is down");
}

#[test]
fn a_stop_is_taken_while_its_service_is_ready_or_starts() {
    let scene = Scene::start(&[FAILOVER]);
    scene.wait_up(1, "web", &[0]);
    scene.touch("web", "hold.n2");
    let [n1, _, n3] = &scene.cluster.nodes[..] else { panic!("three nodes") };
    n1.om_ok(&["web", "switch", "--to", "n2"]);
    scene.wait_doing(0, "web", 1, "starting");
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| n1.om(&["web", "stop", "--wait", "--time", "20s"]));
        wait_for("n2 has heard of it", || {
            scene.seen(1, "web", 1)["monitor"]["global_expect"] == "stopped"
        });
        scene.remove("web", "hold.n2");
        let stop = stop.join().expect("om ends");
        assert_eq!(stop.code, Some(0), "{stop:?}");
        assert!(stop.err.contains("web on n2: starting ends first"), "{stop:?}");
    });
    scene.wait_up(0, "web", &[]);
    assert_eq!(frozen(&scene, 1, "web"), [true; 3]);
    // From where it is announced only.
    n3.om_ok(&["web", "start"]);
    wait_for("it is ready or starts", || {
        let status = scene.seen(2, "web", 0)["monitor"]["status"].clone();
        ["ready", "starting"].iter().any(|word| status == *word)
    });
    let stop = n3.om(&["web", "stop", "--wait", "--time", "20s"]);
    assert_eq!(stop.code, Some(0), "{stop:?}");
    scene.wait_up(0, "web", &[]);
    assert_eq!(frozen(&scene, 0, "web"), [true; 3]);
}

#[test]
fn a_wait_ends_when_nothing_is_to_come_and_tells_why() {
    let scene = Scene::start(&[("web", "orchestrate = no")]);
    let n1 = &scene.cluster.nodes[0];
    wait_for("it is known", || (0..3).all(|at| scene.seen(0, "web", at)["avail"] == "down"));
    for node in &scene.cluster.nodes {
        node.om_ok(&["node", "freeze", "--local"]);
    }
    wait_for("all nodes are frozen", || {
        let status = n1.status();
        ["n1", "n2", "n3"]
            .iter()
            .all(|name| status["monitor"]["nodes"][*name]["frozen"].as_f64() > Some(0.0))
    });
    let begun = std::time::Instant::now();
    let start = n1.om(&["web", "start", "--wait"]);
    assert_eq!(start.code, Some(1), "{start:?}");
    assert!(start.err.contains("error: web is down and is to be started: "), "{start:?}");
    assert!(start.err.contains("the node is frozen"), "{start:?}");
    assert!(begun.elapsed().as_secs() < 60, "{start:?}");
}

#[test]
fn an_order_to_a_master_is_waited_for_on_its_slaves() {
    let scene = Scene::start(&[("s1", ""), ("s2", "")]);
    scene.wait_up(1, "s1", &[0]);
    scene.wait_up(1, "s2", &[0]);
    let text = "[DEFAULT]\nid = 00000000-0000-4000-8000-0000000000aa\nnodes = n1 n2 n3\n\
                orchestrate = ha\nslaves = s1 s2\n[sync#i0]\ndisable = true\n";
    scene.configure("mast", text);
    wait_for("all have it", || {
        (0..3).all(|at| scene.seen(1, "mast", at)["slaves"] == serde_json::json!(["s1", "s2"]))
    });
    scene.reach(1, &["mast", "switch", "--to", "n3"]);
    for name in ["s1", "s2"] {
        assert_eq!(scene.seen(1, name, 2)["avail"], "up", "{name}: {:?}", scene.journal(name));
    }
    scene.reach(1, &["mast", "stop"]);
    for name in ["s1", "s2"] {
        assert_eq!(scene.journal(name).last().map(String::as_str), Some("stop n3"));
    }
}

#[test]
fn a_scaler_keeps_as_many_slices_as_it_is_told_to() {
    let scene = Scene::start(&[]);
    let folder = scene.file("", "");
    let up = folder.join("{name}.{nodename}");
    let up = up.display();
    scene.configure(
        "sc",
        &format!(
            "[DEFAULT]\nid = 3c9b2c4e-0000-4000-8000-0000000000aa\nnodes = n1 n2 n3\norchestrate = ha\nscale = 2\n\n\
             [app#1]\ntype = forking\nstart = /usr/bin/touch {up}\nstop = /bin/rm -f {up}\n\
             check = /usr/bin/test -e {up}\n\n[sync#i0]\ndisable = true\n"
        ),
    );
    let slices = |viewer: usize| -> Vec<String> {
        let services = scene.cluster.nodes[viewer].status()["monitor"]["services"].clone();
        let names = services.as_object().into_iter().flatten();
        names.map(|(name, _)| name.clone()).filter(|name| name.ends_with(".sc")).collect()
    };
    let wait = |what: &str, names: &[&str], avail: &str, own: &str| {
        wait_for(what, || {
            (0..3).all(|at| {
                slices(at) == names
                    && names.iter().all(|name| scene.aggregate(at, name, "avail") == avail)
                    && scene.aggregate(at, "sc", "avail") == own
            })
        });
    };
    wait("two slices run", &["0.sc", "1.sc"], "up", "up");
    // Its resources are theirs.
    assert_eq!(scene.seen(1, "sc", 0)["resources"], serde_json::json!({}));
    assert_eq!(scene.seen(1, "sc", 0)["scaler_slaves"], serde_json::json!(["0.sc", "1.sc"]));
    // What is asked of it is asked of them; refused while one of them still acts.
    let ask = |at: usize, action: &str| {
        wait_for(action, || scene.cluster.nodes[at].om(&["sc", action]).code == Some(0));
    };
    ask(2, "stop");
    wait("both are stopped", &["0.sc", "1.sc"], "down", "n/a");
    ask(1, "start");
    wait("both are started", &["0.sc", "1.sc"], "up", "up");
    scene.cluster.nodes[1].om_ok(&["sc", "scale", "--to", "3"]);
    wait("there is one more", &["0.sc", "1.sc", "2.sc"], "up", "up");
    scene.cluster.nodes[0].om_ok(&["sc", "set", "--kw", "scale=1"]);
    wait("two are purged", &["0.sc"], "up", "up");
    let left: Vec<_> = std::fs::read_dir(&folder)
        .expect("its folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains(".sc."))
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
    ask(2, "purge");
    wait_for("nothing is left", || {
        let is_gone =
            |at: usize| slices(at).is_empty() && scene.aggregate(at, "sc", "avail").is_null();
        (0..3).all(is_gone)
    });
}

#[test]
fn a_switch_right_after_the_creation_waits_for_the_instance() {
    let scene = Scene::start(&[]);
    let [n1, n2, _] = &scene.cluster.nodes[..] else { panic!("three nodes") };
    // It is late to take the configuration.
    n2.signal(Signal::STOP);
    let made = ["--kw", "nodes=n1 n2 n3", "--kw", "fs#1.type=flag", "--kw", "sync#i0.disable=true"];
    n1.om_ok(&[&["new", "create"][..], &made].concat());
    n1.wait_avail("new", "down");
    let asked = n1.spawn(&["new", "switch", "--to", "n2"]);
    n2.signal(Signal::CONT);
    let said = asked.wait_with_output().expect("its output");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    scene.reach(0, &["new", "thaw"]);
    n2.wait_avail("new", "up");
}
