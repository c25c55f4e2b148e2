//! Promise: what happened to a service and to a node is kept, with who asked and why, survives crashes and takeovers, and adds up
//! to the time for which the service was down.

use harness::{Node, Scene, wait_for, wait_until};
use serde_json::Value;

const SERVICE: &str = "[DEFAULT]\nid = 1\norchestrate = ha\n[app#1]\ntype = simple\nstart = /usr/bin/sleep 1000\nrestart = 1\n";

fn history(node: &Node, path: &str) -> Value {
    serde_json::from_str(&node.om_ok(&[path, "history", "--format", "json"])).expect("JSON")
}

/// The records that are about `what`.
fn about<'a>(history: &'a Value, what: &str) -> Vec<&'a Value> {
    let records = history["records"].as_array().expect("records").iter();
    records.filter(|record| record["what"] == what).collect()
}

fn has(history: &Value, what: &str, key: &str, value: &str) -> bool {
    about(history, what).iter().any(|record| record[key] == value)
}

#[test]
fn who_asked_what_followed_and_how_long_it_was_down() {
    let node = Node::started("n1");
    node.write("etc/web.conf", SERVICE);
    node.wait_avail("web", "up");
    node.om_ok(&["web", "stop", "--wait"]);
    node.om_ok(&["web", "start", "--wait"]);
    let told = wait_until("both actions are told", || {
        let told = history(&node, "web");
        let ended = about(&told, "ended").iter().filter(|it| it["action"] == "start").count();
        (ended == 2).then_some(told)
    });
    let asked = about(&told, "asked");
    let words: Vec<&str> = asked.iter().filter_map(|record| record["to"].as_str()).collect();
    assert_eq!(words, ["stopped", "started"]);
    assert!(
        asked.iter().all(|it| it["by"].as_str().is_some_and(|by| by.ends_with("@n1"))),
        "{told}"
    );
    assert!(
        has(&told, "decided", "to", "instance_stop") && has(&told, "avail", "to", "up"),
        "{told}"
    );
    let stop = about(&told, "ended").into_iter().find(|it| it["action"] == "stop").expect("a stop");
    assert!(stop["to"] == "done" && stop["took"].as_f64().is_some_and(|took| took > 0.0), "{stop}");
    assert_eq!((&told["down"]["times"], &told["down"]["asked_times"]), (&1.into(), &1.into()));
    assert!(told["down"]["secs"].as_f64().is_some_and(|secs| secs > 0.0 && secs < 60.0), "{told}");
    let shown = node.om_ok(&["web", "history"]);
    let last = shown.lines().last().unwrap_or_default();
    assert!(last.starts_with("web: down once, ") && last.contains(" as asked, "), "{shown}");
    assert!(
        !shown.contains("overall")
            && node.om_ok(&["web", "history", "--verbose"]).contains("overall")
    );
    let none = node.om(&["web", "history", "--since", "0s"]);
    assert!(none.code == Some(0) && none.err.contains("nothing has happened"), "{none:?}");
}

#[test]
fn a_failure_is_told_with_its_cause() {
    let node = Node::started("n1");
    let conf =
        SERVICE.replace("/usr/bin/sleep 1000", "/nowhere/at/all").replace("restart = 1\n", "");
    node.write("etc/web.conf", &conf);
    let told = wait_until("the failure is told", || {
        // Until it is known there is nothing to ask about.
        let shown = node.om(&["web", "history", "--format", "json"]);
        let told = serde_json::from_str::<Value>(&shown.out).ok().filter(|_| shown.code == Some(0));
        told.filter(|told| !about(told, "failure").is_empty())
    });
    let failure = about(&told, "failure")[0];
    assert_eq!((&failure["action"], &failure["rid"]), (&"start".into(), &"app#1".into()));
    assert!(
        failure["why"].as_str().is_some_and(|why| why.contains("/nowhere/at/all")),
        "{failure}"
    );
    // Who acted tells it a moment later.
    wait_for("the end is told", || has(&history(&node, "web"), "ended", "to", "failed"));
}

#[test]
fn a_history_outlives_a_crash_and_goes_with_its_object() {
    let mut node = Node::started("n1");
    node.write("etc/web.conf", SERVICE);
    node.wait_avail("web", "up");
    let is_told = |node: &Node| has(&history(node, "web"), "avail", "to", "up");
    wait_for("the start is told", || is_told(&node));
    node.kill();
    // As a crash of the machine may leave it.
    let file = node.path("var/svc/web/history");
    let text = std::fs::read_to_string(&file).expect("a journal");
    std::fs::write(&file, format!("{text}{{\"t\":1.0,\"wh")).expect("written");
    let offline = node.om(&["web", "history"]);
    assert!(
        offline.code == Some(0) && offline.err.contains("daemon is not running"),
        "{offline:?}"
    );
    assert!(offline.out.contains("down -> up"), "{offline:?}");
    node.start();
    node.om_ok(&["web", "restart", "--wait"]);
    wait_for("it goes on behind the torn line", || {
        has(&history(&node, "web"), "asked", "by", &asker(&node))
    });
    assert!(is_told(&node), "what was before is still there");
    let of_node = node.om_ok(&["node", "history"]);
    assert!(of_node.contains("daemon started  the one before ended without a word"), "{of_node}");
    node.om_ok(&["web", "delete", "--force", "--wait"]);
    assert!(!file.exists(), "it went with the state of the object");
    node.om_ok(&["daemon", "stop"]);
    node.wait_end();
    assert!(node.om_ok(&["node", "history"]).contains("daemon stopped"));
}

/// Who asks by a command on this node.
fn asker(node: &Node) -> String {
    let told = history(node, "web");
    let by = about(&told, "asked").last().map(|record| record["by"].clone());
    by.and_then(|by| by.as_str().map(str::to_owned)).unwrap_or_else(|| "nobody".to_owned())
}

#[test]
fn a_takeover_is_told_by_all_nodes_as_one_outage() {
    let mut scene = Scene::start(&[("web", "")]);
    scene.wait_up(1, "web", &[0]);
    scene.wait_up(2, "web", &[0]);
    scene.kill(0);
    scene.wait_up(1, "web", &[1]);
    scene.wait_up(2, "web", &[1]);
    let told = |scene: &Scene| {
        let out = scene.cluster.nodes[2].om(&["web", "history", "--format", "json"]).out;
        serde_json::from_str::<Value>(&out).expect("JSON")
    };
    let after = wait_until("the outage is over for all", || {
        Some(told(&scene)).filter(|told| told["outages"][0]["until"].is_number())
    });
    assert_eq!(after["outages"].as_array().map(Vec::len), Some(1), "{after}");
    assert_eq!(after["outages"][0]["asked"], false);
    let lost = about(&after, "peer_lost");
    assert!(lost.iter().any(|it| it["on"][0] == "n1" && it["node"] == "n2"), "{after}");
    let unreached = scene.cluster.nodes[2].om(&["web", "history"]);
    assert!(unreached.code == Some(1) && unreached.err.contains("n1"), "{unreached:?}");
    scene.cluster.nodes[0].start();
    scene.cluster.wait_beating();
    let back = wait_until("n1 tells its part", || {
        Some(told(&scene)).filter(|told| {
            about(told, "daemon_started")
                .iter()
                .any(|it| it["node"] == "n1" && it["why"].is_string())
        })
    });
    assert_eq!(back["outages"].as_array().map(Vec::len), Some(1), "{back}");
}
