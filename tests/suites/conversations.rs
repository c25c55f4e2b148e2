//! What deployed agents answer is what this one answers: each recorded request that one node can answer is sent to a
//! daemon, and its reply compared, key by key and value by value.
//!
//! The recording is of the node n11 of a cluster of two, n11 and n12. Most of it is compared on a node that is alone, with
//! n12 taken out of what is expected; what needs the peer, on two. What is left out, or compared by its shape only, is
//! listed below with its reason.

use std::collections::BTreeMap;

use harness::{Node, Peer, Port, wait_for};
use serde_json::{Value, json};

const RECORDED: &str = include_str!("data/conversations.json");

/// Needs the peer, or counts it: compared on two nodes.
const TWO_NODES: &str = "needs a second node";
/// Needs a node of another cluster.
const DRP: &str = "needs keyword cluster.drpnodes";
/// Deployed agents fail or refuse, and `om` serves it; or `om` refuses what they serve (src/wire/README.md).
const DECIDED: &str = "decided otherwise";
/// Of a configuration we print the file as it is.
const BLANK: &str = "deployed agents drop the blank lines";
/// Names are sorted here.
const ORDER: &str = "the recording has them in the order of their creation";
/// Logs and times of runs are those of the node.
const STATE: &str = "tells what that node did before";
/// The suite `listener` has it.
const SENDER: &str = "needs a sender in error";
/// Streams have tests of their own.
const STREAM: &str = "a stream";
/// The suite `requests` has it.
const APART: &str = "changes the cluster";
/// The suite `daemon` has it.
const ENDS: &str = "ends the daemon, as another recorded request does";

/// Recorded requests that are not sent, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "service_action sync json output",
        "the recorded instance had restarted a resource: ours has no counter to show",
    ),
    (
        "object_monitor multiplexed 2.1",
        "the answer depends on what the monitor does at that moment",
    ),
    ("over tcp, unknown node name", DECIDED),
    ("object_monitor busy instance", DECIDED),
    ("backlogs 2.1 route", STATE),
    ("backlogs multiplexed", STATE),
    ("multiplex name", TWO_NODES),
    ("multiplex two names", TWO_NODES),
    ("multiplex plus", TWO_NODES),
    ("multiplex glob", TWO_NODES),
    ("multiplex list", TWO_NODES),
    ("multiplex list unknown node", TWO_NODES),
    ("multiplex two names, one unknown", TWO_NODES),
    ("multiplex handler error local", TWO_NODES),
    ("multiplex peer daemon down", TWO_NODES),
    ("multiplex object action, peer daemon down", TWO_NODES),
    ("drp node, its cluster name and secret", DRP),
    ("drp node, local name and its secret", DRP),
    ("drp node, local name and local secret", DRP),
    ("drp node, join", DRP),
    ("cluster node naming the drp cluster", DRP),
    ("stranger naming the drp cluster", DRP),
    ("stranger, drp cluster and secret", DRP),
    ("blacklist_clear 1.9 name", DECIDED),
    ("blacklist_clear 1.9 name with method", DECIDED),
    ("blacklist_clear 2.1 name without method", DECIDED),
    ("blacklist_clear asked by the blacklisted sender", SENDER),
    ("blacklist_status one blacklisted sender", SENDER),
    ("blacklist_status asked by the blacklisted sender", SENDER),
    ("blacklist_status one error", SENDER),
    ("stop tx", TWO_NODES),
    ("stop hb#1.tx wait", TWO_NODES),
    ("start hb#1.tx", TWO_NODES),
    ("start hb#1.tx again", TWO_NODES),
    ("shutdown", ENDS),
    ("service_config one peer", TWO_NODES),
    // Deployed peers refuse the old name; ours serve it.
    ("service_config all nodes, 1.9 name", DECIDED),
    ("service_config node list", TWO_NODES),
    // Deployed peers refuse the old name; ours serve it.
    ("clear legacy multiplexed", DECIDED),
    ("object_monitor placed@<peer>", TWO_NODES),
    ("get_service_monitor", DECIDED),
    ("object_monitor GET", DECIDED),
    ("object_status", TWO_NODES),
    ("object_status unknown", STATE),
    ("join", APART),
    ("join again", APART),
    ("join with the cluster name", APART),
    ("leave from a stranger", APART),
    ("leave", APART),
    ("leave again", APART),
    // Their slots were stored by nodes that are no members.
    ("relay_rx message never set", DECIDED),
    ("daemon_relay_status all", DECIDED),
    // A target had been set on it, which deployed agents remember of unknown objects.
    ("object_action unknown object multiplexed", STATE),
    ("service_action seed example", DECIDED),
    ("service_action options filtered", BLANK),
    ("service_action cmd list of one", DECIDED),
    ("service_action cmd list", DECIDED),
    ("service_action cmd string", DECIDED),
    ("service_action append option given a string", DECIDED),
    ("service_action 2017 form", DECIDED),
    ("object_action one peer", TWO_NODES),
    ("backlogs 200 bytes", STATE),
    ("backlogs 200 bytes as text", STATE),
    ("backlogs 200B", STATE),
    // Deployed peers refuse the old name; ours serve it.
    ("backlogs 1.9 name without method multiplexed", DECIDED),
    ("service_logs raw", STREAM),
    ("service_logs raw backlog", STREAM),
    ("object_logs raw", STREAM),
    ("object_logs raw multiplexed", STREAM),
    ("node_logs raw", STREAM),
    ("events unix", STREAM),
    ("events tcp", STREAM),
    ("events selector no match", STREAM),
    ("events full unix", STREAM),
    ("events full tcp", STREAM),
    ("events node ignored", STREAM),
    ("events blacklist_add", STREAM),
    ("lock from a node out of the cluster", DECIDED),
    ("lock for another node", TWO_NODES),
    ("lock multiplexed to a peer", TWO_NODES),
    ("ask_full", TWO_NODES),
    ("daemon_relay_status", DECIDED),
    ("daemon_stats", TWO_NODES),
    ("daemon_stats multiplexed", TWO_NODES),
    ("misc object_selector {\"selector\": \"*\"}", ORDER),
    ("misc schedules {\"selector\": \"svc1\"}", STATE),
];

/// Recorded requests whose replies have values of that host, or of what was done before: keys and types count.
const SHAPE_ONLY: &[&str] = &[
    "service_action sync json output",
    "service_action unknown",
    "node_action unknown action",
    "service_action json scalar output",
    "object_action options null",
    "node_action sync",
    "node_action multiplexed",
    "node_action pool_ prefix",
    "backlogs",
    "node_backlogs",
    "cluster locks",
    "misc get_node_config",
    "misc node_config",
    "misc get_pools",
    "misc ssh_key",
    "misc create",
    "service_config cluster",
    "daemon_stats",
    "object_status",
];

/// Of a node that is no member, what the name service of that machine said.
const STRANGER: &str = "n99";

/// Keys that are there by what happened before: in the recording a resource had been restarted, and targets were set.
const PASSING: &[&str] =
    &["restart", "log", "global_expect", "global_expect_updated", "local_expect_updated"];

/// Keys whose values are times, ids and counters.
const VOLATILE: &[&str] = &[
    "mtime",
    "updated",
    "t",
    "ts",
    "timestamp",
    "pid",
    "session_id",
    "id",
    "requested",
    "elapsed",
    "gen",
];

fn reason_to_leave_out(name: &str) -> Option<&'static str> {
    LEFT_OUT.iter().find(|(left_out, _)| *left_out == name).map(|(_, reason)| *reason)
}

/// Takes the second node out of what was recorded.
fn without_peer(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, _)| *key != "n12")
                .map(|(key, value)| (key.clone(), without_peer(value)))
                .collect(),
        ),
        Value::Array(list) => {
            list.iter().filter(|item| **item != "n12").map(without_peer).collect()
        }
        Value::String(text) => text.replace("n11 n12", "n11").into(),
        other => other.clone(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The first difference, with where it is.
fn difference(at: &str, expected: &Value, got: &Value, is_shape_only: bool) -> Option<String> {
    let key = at.rsplit('.').next().unwrap_or_default();
    let is_volatile = is_shape_only || VOLATILE.contains(&key);
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let missing = expected.keys().find(|key| !got.contains_key(*key));
            if let Some(missing) = missing {
                return Some(format!("{at}: no {missing:?}"));
            }
            // More keys than recorded are more facts; in what is compared by value, they are a difference.
            let further = got.keys().find(|key| !expected.contains_key(*key));
            if let Some(further) = further.filter(|_| !is_shape_only) {
                return Some(format!("{at}: {further:?} was not recorded"));
            }
            expected.iter().find_map(|(key, value)| {
                difference(&format!("{at}.{key}"), value, &got[key], is_shape_only)
            })
        }
        (Value::Array(expected), Value::Array(got)) if is_volatile => {
            let (expected, got) = (expected.first()?, got.first()?);
            difference(&format!("{at}[]"), expected, got, is_shape_only)
        }
        (Value::Array(expected), Value::Array(got)) => {
            if expected.len() != got.len() {
                return Some(format!("{at}: {} items, recorded {}", got.len(), expected.len()));
            }
            let mut pairs = expected.iter().zip(got).enumerate();
            pairs.find_map(|(i, (expected, got))| {
                difference(&format!("{at}[{i}]"), expected, got, is_shape_only)
            })
        }
        (expected, got) if kind(expected) != kind(got) => {
            Some(format!("{at}: {got} is {}, recorded {}", kind(got), kind(expected)))
        }
        (expected, got) if !is_volatile && expected != got => {
            let is_same_number = expected.as_f64().is_some() && expected.as_f64() == got.as_f64();
            (!is_same_number).then(|| format!("{at}: {got}, recorded {expected}"))
        }
        _ => None,
    }
}

/// The names of the objects in a `daemon_status`, as the recording sums it up.
fn objects(status: &Value) -> Value {
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
    };
    let services = &status["monitor"]["nodes"]["n11"]["services"];
    // Deployed agents have a status of an object without instances once a command has told of it, ours at once.
    let mut of_node = keys(&services["status"]);
    of_node.retain(|path| !path.starts_with("cfg/"));
    json!({
        "monitor.services": keys(&status["monitor"]["services"]),
        "nodes": {"n11": {
            "status": of_node,
            "config": keys(&services["config"]),
        }},
    })
}

/// A node as the recorded one: its objects, its service up.
fn recorded_node() -> Node {
    let mut node = Node::new("n11");
    node.write_cluster("envelope = any");
    write_objects(&node, "n11");
    node.start();
    bring_up(&node);
    node
}

/// Both nodes, which hear each other, as they were recorded.
fn recorded_nodes() -> [Node; 2] {
    let ports = [Port::reserve(), Port::reserve()];
    let mut nodes = ["n11", "n12"].map(Node::new);
    let mut conf =
        "[DEFAULT]\nid = 154a5a0d-dc2d-4ea0-a03e-bfe936cc04ee\n\n[cluster]\nname = demo\n"
            .to_owned();
    conf += &format!("secret = {}\nnodes = n11 n12\nenvelope = any\n", nodes[0].secret());
    // Fast, but beside load nobody is lost for it: what was recorded is of two that hear each other.
    conf += "profile = fast\n\n[hb#1]\ntype = unicast\ntimeout = 20\n";
    for (node, port) in nodes.iter().zip(&ports) {
        let name = node.name();
        conf += &format!("addr@{name} = 127.0.0.1\nport@{name} = {}\n", port.number());
    }
    conf += "\n[listener]\n";
    for node in &nodes {
        let name = node.name();
        conf += &format!("addr@{name} = 127.0.0.1\nport@{name} = {}\n", node.port());
    }
    for node in &mut nodes {
        node.write("etc/cluster.conf", &conf);
        node.write("etc/node.conf", "");
    }
    nodes.iter_mut().for_each(Node::start);
    let [n11, n12] = &nodes;
    let is_idle = |node: &Node| {
        let nodes = node.status()["monitor"]["nodes"].clone();
        ["n11", "n12"].iter().all(|name| nodes[name]["monitor"]["status"] == "idle")
    };
    wait_for("they hear each other", || is_idle(n11) && is_idle(n12));
    write_objects(n11, "n11 n12");
    wait_for("n12 has the service", || n12.path("etc/svc1.conf").exists());
    n12.wait_instance("svc1", "evaluated", |instance| instance["avail"].is_string());
    n12.om_ok(&["svc1", "provision", "--local"]);
    bring_up(n11);
    // Provisioned on one node it is frozen there.
    n11.om_ok(&["svc1", "thaw", "--wait", "--time", "20s"]);
    wait_for("all is known", || {
        let svc1 = n11.request(&json!({"action": "object_status", "options": {"path": "svc1"}}));
        svc1["placement"] == "optimal" && svc1["frozen"] == "thawed" && svc1["provisioned"] == true
    });
    let both = json!({"action": "nodes_info", "method": "GET", "node": "*"});
    wait_for("each knows the labels of both", || {
        let known = n11.request(&both)["nodes"].clone();
        let at = |at: &str, of: &str| known[at]["data"][of]["labels"].is_object();
        ["n11", "n12"].iter().all(|node| at(node, "n11") && at(node, "n12"))
    });
    nodes
}

fn bring_up(node: &Node) {
    node.om_ok(&["svc1", "provision", "--local"]);
    node.om_ok(&["svc1", "start", "--local"]);
    node.wait_avail("svc1", "up");
}

fn write_objects(node: &Node, nodes: &str) {
    let id = |n: u8| format!("[DEFAULT]\nid = 3e0a3a5a-1a9a-4d6e-9c36-7f8d3f8f000{n}\n");
    let (svc1, cfg1, web) = (id(1), id(2), id(3));
    node.write(
        "etc/svc1.conf",
        &format!(
            "{svc1}nodes = {nodes}\norchestrate = ha\n\n[fs#1]\ntype = flag\n\n[app#1]\ntype = forking\n\
             start = /bin/true\nstop = /bin/true\ncheck = /bin/true\n"
        ),
    );
    node.write("etc/cfg/cfg1.conf", &format!("{cfg1}[data]\nk1 = literal:hello\n"));
    node.write(
        "etc/namespaces/ns1/svc/web.conf",
        &format!("{web}nodes = {nodes}\norchestrate = no\n[fs#1]\ntype = flag\n"),
    );
}

fn set_monitor(node: &Node, options: Value) {
    let mut options = options;
    options["path"] = "svc1".into();
    let request = json!({"action": "object_monitor", "method": "POST", "options": options});
    // A monitor that is about to act refuses for a moment.
    wait_for("the request is accepted", || node.request(&request)["status"] == 0);
}

/// Brings about what the recording had when it sent a request.
/// Waits until nobody moves the service any more, as the node sees it.
fn wait_at_rest(node: &Node) {
    wait_for("the service is at rest on both", || {
        let nodes = node.status()["monitor"]["nodes"].clone();
        ["n11", "n12"].iter().all(|name| {
            let monitor = &nodes[name]["services"]["status"]["svc1"]["monitor"];
            monitor["status"] == "idle" && monitor["global_expect"].is_null()
        })
    });
}

fn prepare(node: &Node, name: &str) {
    match name {
        "object_monitor placed@<peer>" => wait_at_rest(node),
        "clear busy instance" => set_monitor(node, json!({"status": "restarting"})),
        "clear start failed" => {
            set_monitor(node, json!({"status": "idle"}));
            set_monitor(node, json!({"status": "start failed"}));
        }
        "object_monitor seed example" => {
            node.wait_avail("svc1", "up");
        }
        "object_monitor already stopped" => {
            node.wait_avail("svc1", "down");
        }
        "object_monitor over tcp" => {
            let thaw = json!({"action": "node_monitor", "method": "POST", "options": {"global_expect": "thawed"}});
            _ = node.request(&thaw);
            node.wait_instance("svc1", "idle", |instance| instance["monitor"]["status"] == "idle");
            if node.instance("svc1")["avail"] != "up" {
                set_monitor(node, json!({"global_expect": "started"}));
            }
            node.wait_avail("svc1", "up");
        }
        "node_monitor global_expect frozen already" => {
            wait_for("the node is frozen", || node.status()["monitor"]["frozen"] == "frozen");
        }
        "service_action sync json output" => set_monitor(node, json!({"global_expect": "thawed"})),
        // What was asked just before is done: a monitor that acts refuses.
        "object_monitor namespaced again" => {
            node.wait_instance("ns1/svc/web", "frozen", |instance| {
                instance["frozen"] != 0.0 && instance["monitor"]["status"] == "idle"
            });
        }
        "object_monitor multiplexed 2.1" => {
            node.wait_instance("svc1", "idle", |instance| {
                instance["monitor"]["status"] == "idle"
                    && instance["monitor"]["global_expect"].is_null()
            });
        }
        "cluster locks empty" => {
            let locks = node.request(&json!({"action": "cluster/locks", "method": "GET"}));
            for (name, lock) in locks["data"].as_object().expect("locks") {
                let unlock = json!({"name": name, "lock_id": lock["id"]});
                _ = node.request(&json!({"action": "unlock", "options": unlock}));
            }
        }
        _ => {}
    }
}

/// What `unlock` needs of the replies before it.
fn with_real_ids(node: &Node, name: &str, request: &Value) -> Value {
    let mut request = request.clone();
    if matches!(name, "unlock" | "unlock bar") {
        let locks = node.request(&json!({"action": "cluster/locks", "method": "GET"}));
        let lock = request["options"]["name"].as_str().expect("a name").to_owned();
        let mut id = locks["data"][&lock]["id"].clone();
        if id.is_null() {
            let taken = node.request(&json!({"action": "lock", "options": {"name": lock}}));
            id = taken["data"]["id"].clone();
        }
        request["options"]["lock_id"] = id;
    }
    request
}

/// Without what depends on the moment, and on the machine.
fn settled(value: &Value) -> Value {
    let Value::Object(map) = value else { return value.clone() };
    let kept = map.iter().filter(|(key, _)| !PASSING.contains(&key.as_str()));
    let settled = kept.map(|(key, value)| match (key.as_str(), value.get("status")) {
        (STRANGER, Some(status)) => (key.clone(), json!({"status": status})),
        _ => (key.clone(), settled(value)),
    });
    Value::Object(settled.collect())
}

/// What is expected: `is_alone` is the node without its peer.
fn compare(node: &Node, case: &Value, is_alone: bool) -> Option<String> {
    let expected_of = |value: &Value| if is_alone { without_peer(value) } else { settled(value) };
    let name = case["name"].as_str().expect("a name");
    prepare(node, name);
    let request = with_real_ids(node, name, &case["request"]);
    let got = if case["transport"] == "tcp raw" {
        let envelope = &case["envelope"];
        let mut peer = Peer::classic(node);
        if envelope["clustername"] == "join" {
            peer = peer.of_cluster("join").named(envelope["nodename"].as_str().expect("a name"));
        } else if !is_alone {
            peer = peer.named(envelope["nodename"].as_str().expect("a name"));
        }
        peer.ask(&request)
    } else {
        node.try_request(&request)
    };
    let root = node.root().display().to_string();
    let got = got.map(|got| {
        let text = got.to_string();
        let text = text.replace(&format!("{root}/etc"), "/etc/opensvc");
        let text = text.replace(&format!("{root}/var"), "/var/lib/opensvc");
        let text = text.replace(&format!("{root}/log"), "/var/log/opensvc");
        serde_json::from_str::<Value>(&text).expect("still JSON")
    });
    let is_shape_only = SHAPE_ONLY.iter().any(|start| name.starts_with(start));
    if let Some(expected) = case.get("response_objects") {
        let expected = expected_of(expected);
        return difference("objects", &expected, &objects(&got?), false);
    }
    let expected = expected_of(&case["response"]);
    let got = if is_alone { got } else { got.as_ref().map(settled) };
    let Some(got) = got else {
        return (!expected.is_null()).then(|| format!("no reply, recorded {expected}"));
    };
    if expected.get("traceback").is_some() {
        // Deployed agents crashed on it: a clear error is enough.
        let is_error = got["error"].as_str().is_some_and(|text| !text.is_empty());
        return (!is_error || got["status"] == 0).then(|| format!("no error: {got}"));
    }
    difference("reply", &expected, &got, is_shape_only)
}

#[test]
fn recorded_requests_get_the_recorded_replies() {
    let recorded: Value = serde_json::from_str(RECORDED).expect("the recording");
    let groups = recorded["conversations"].as_object().expect("groups");
    let mut node = recorded_node();
    let mut differences = vec![];
    let (mut compared, mut left_out) = (0, BTreeMap::<&str, usize>::new());
    // What is fetched is stored before, and stopping comes last.
    let rank = |group: &str| match group {
        "relay_rx" => 1,
        "daemon_stop" => 2,
        _ => 0,
    };
    let mut order: Vec<_> = groups.iter().collect();
    order.sort_by_key(|(group, _)| rank(group));
    for (group, cases) in order {
        for case in cases.as_array().expect("cases") {
            let name = case["name"].as_str().expect("a name");
            if let Some(reason) = reason_to_leave_out(name) {
                *left_out.entry(reason).or_default() += 1;
                continue;
            }
            compared += 1;
            if let Some(difference) = compare(&node, case, true) {
                differences.push(format!("{group} / {name}: {difference}"));
            }
        }
    }
    println!("{compared} compared, left out: {left_out:?}");
    assert!(differences.is_empty(), "{}\n{}", differences.join("\n"), node.node_log());
    assert_eq!(node.wait_end(), Some(0), "the last recorded request stops the daemon");
}

#[test]
fn recorded_requests_to_a_cluster_of_two_get_the_recorded_replies() {
    let recorded: Value = serde_json::from_str(RECORDED).expect("the recording");
    let groups = recorded["conversations"].as_object().expect("groups");
    let [n11, n12] = recorded_nodes();
    let of_two = |name: &str| reason_to_leave_out(name) == Some(TWO_NODES);
    let cases: Vec<&Value> = groups.values().filter_map(Value::as_array).flatten().collect();
    let cases = cases.into_iter().filter(|case| of_two(case["name"].as_str().expect("a name")));
    // What moves the service comes after what looks at it, what starts a thread after what stops it, and the end of the
    // peer comes last.
    let rank = |case: &Value| {
        let name = case["name"].as_str().unwrap_or_default();
        (name.contains("peer daemon down"), name.contains("placed@"), name.starts_with("start hb"))
    };
    let mut cases: Vec<&Value> = cases.collect();
    cases.sort_by_key(|case| rank(case));
    let mut differences = vec![];
    let mut is_down = false;
    for case in &cases {
        if rank(case).0 && !is_down {
            // What was moved before has arrived.
            wait_at_rest(&n11);
            n12.om_ok(&["daemon", "stop"]);
            is_down = true;
        }
        if let Some(difference) = compare(&n11, case, false) {
            differences.push(format!("{}: {difference}", case["name"]));
        }
    }
    println!("{} compared", cases.len());
    assert!(cases.len() >= 20, "{} compared", cases.len());
    assert!(differences.is_empty(), "{}\n{}", differences.join("\n"), n11.node_log());
}
