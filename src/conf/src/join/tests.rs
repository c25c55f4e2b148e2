use serde_json::json;

use super::*;

const SECRET: &str = "81ec81d6e68c11f1ae3f02fc00000001";

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn ini(text: &str) -> Ini {
    Ini::parse(text).unwrap()
}

fn recorded() -> Value {
    json!({"status": 0, "data": {
        "node": {"data": {"node": {}, "cluster": {}}},
        "cluster": {"data": {
            "DEFAULT": {"id": "154a5a0d-dc2d-4ea0-a03e-bfe936cc04ee"},
            "cluster": {
                "secret": SECRET, "name": "demo", "nodes": "n21 n22 n23 n24",
                "id": "9a41a7cc-e68f-11f1-bd9a-fadc5ed23424",
            },
            "hb#1": {"type": "unicast"},
            "metadata": {"name": "cluster", "kind": "ccfg", "namespace": null},
        }, "mtime": 1_795_364_641.747_718_3},
    }})
}

fn reply() -> JoinReply {
    JoinReply::from_value(&recorded(), &node("n24")).unwrap()
}

fn of_node_conf(data: Value) -> JoinReply {
    let reply = json!({"data": {
        "node": {"data": data}, "cluster": {"data": {"cluster": {"nodes": "n1 n2"}}},
    }});
    JoinReply::from_value(&reply, &node("n2")).unwrap()
}

fn joined(text: &str, reply: &JoinReply, is_classic: bool) -> String {
    let mut conf = ini(text);
    let is_changed = join_node_conf(&mut conf, reply, is_classic).unwrap();
    assert_eq!(is_changed, conf.text() != text);
    conf.text().to_owned()
}

#[test]
fn a_recorded_reply_becomes_the_cluster_conf_of_the_joiner() {
    let reply = reply();
    assert_eq!(reply.members(), ["n21", "n22", "n23", "n24"]);
    assert_eq!(reply.mtime, Some(1_795_364_641.747_718_3));
    assert_eq!(reply.cluster_name(), "demo");
    assert!(reply.is_shared() && !reply.names_envelope());
    let conf = reply.cluster_conf("unused").unwrap().unwrap();
    let expected = recorded().pointer("/data/cluster/data").unwrap().clone();
    let Value::Object(mut expected) = expected else { unreachable!() };
    expected.remove("metadata");
    assert_eq!(conf.to_json(), expected);
    assert_eq!(conf.sections().collect::<Vec<_>>(), ["DEFAULT", "cluster", "hb#1"]);
}

#[test]
fn a_reply_without_a_cluster_or_without_the_joiner_is_none() {
    let read = |value: &Value| JoinReply::from_value(value, &node("n9"));
    assert_eq!(read(&json!({"status": 0})), Err(JoinError::NoCluster));
    assert_eq!(
        read(&json!({"status": 0, "data": {"cluster": {"data": []}}})),
        Err(JoinError::NoCluster)
    );
    assert_eq!(read(&recorded()), Err(JoinError::NotMember { joiner: node("n9") }));
}

#[test]
fn the_secret_that_proved_right_is_kept_where_the_reply_names_none() {
    let reply = json!({"data": {"cluster": {"data": {"cluster": {"nodes": "n1 n2"}}}}});
    let reply = JoinReply::from_value(&reply, &node("n2")).unwrap();
    let conf = reply.cluster_conf(SECRET).unwrap().unwrap();
    assert_eq!(conf.get("cluster", "secret"), Some(SECRET));
}

#[test]
fn the_cluster_that_a_joiner_had_is_gone_from_its_node_conf_and_the_rest_stays() {
    let text = "# mine\n[node]\nenv = DEV\nuuid = x # kept\n\n[cluster]\nname = old\nnodes = n24\nsecret = s\n\
                drpnodes = d1\ndns = 10.0.0.1\n\n[hb#1]\ntype = disk\n\n[hb#2]\ntype = unicast\n\n\
                [pool#a]\ntype = shm\n\n[listener]\nport = 1300\n";
    assert_eq!(
        joined(text, &reply(), false),
        "# mine\n[node]\nuuid = x # kept\n\n[cluster]\nname = old\n\n[listener]\nport = 1300\n"
    );
}

#[test]
fn what_the_node_conf_of_the_joined_node_says_of_the_cluster_is_taken_over() {
    let reply = of_node_conf(json!({
        "node": {"env": "PRD"},
        "cluster": {"name": "demo", "id": "i1", "quorum": true, "nodes": "n1 n2", "dns": "10.0.0.1"},
        "hb#1": {"type": "unicast", "comment": "# not writable"},
        "arbitrator#1": {"name": "arb", "secret": "s"},
        "listener": {"port": "1"},
    }));
    let text = joined("[node]\nenv = DEV\n", &reply, false);
    let conf = ini(&text);
    assert_eq!(
        Value::Object(conf.to_json()),
        json!({
            "node": {"env": "PRD"},
            "cluster": {"name": "demo", "id": "i1", "quorum": "true"},
            "hb#1": {"type": "unicast"},
            "arbitrator#1": {"name": "arb", "secret": "s"},
        })
    );
    // Joining again changes nothing.
    assert_eq!(joined(&text, &reply, false), text);
}

#[test]
fn a_section_that_is_the_same_keeps_its_lines() {
    let reply = of_node_conf(json!({"hb#1": {"type": "unicast"}}));
    let text = "[hb#1]\n# why unicast\ntype = unicast\n";
    assert_eq!(joined(text, &reply, false), text);
}

#[test]
fn a_joiner_of_deployed_agents_speaks_classic_and_one_of_ours_what_the_cluster_says() {
    let text = joined("", &reply(), true);
    assert_eq!(ini(&text).get("cluster", "envelope"), Some("classic"));
    // The next cluster is not asked to speak it.
    assert_eq!(ini(&joined(&text, &reply(), false)).get("cluster", "envelope"), None);
    let mut ours = reply();
    let cluster = ours.cluster.as_mut().unwrap().get_mut("cluster").unwrap();
    cluster["envelope"] = "any".into();
    assert_eq!(ini(&joined("", &ours, true)).get("cluster", "envelope"), None);
    assert_eq!(ours.cluster_conf("").unwrap().unwrap().get("cluster", "envelope"), Some("any"));
}

#[test]
fn a_cluster_described_in_node_conf_alone_keeps_its_members_there() {
    let reply =
        json!({"data": {"node": {"data": {"cluster": {"name": "demo", "nodes": "n1 n2"}}}}});
    let reply = JoinReply::from_value(&reply, &node("n2")).unwrap();
    assert!(!reply.is_shared());
    assert_eq!(reply.cluster_conf(SECRET), Ok(None));
    let conf = ini(&joined("[cluster]\nnodes = n2\n", &reply, false));
    assert_eq!(conf.get("cluster", "nodes"), Some("n1 n2"));
    assert_eq!(conf.get("cluster", "name"), Some("demo"));
}

#[test]
fn a_leaver_is_a_cluster_of_its_own_and_keeps_what_is_not_about_the_cluster() {
    let text = "# shared\n[DEFAULT]\nid = object\n\n[cluster]\nname = demo\nnodes = n1 n2\nid = i\nsecret = s\n\
                envelope = any\n\n[hb#1]\ntype = unicast\n\n[arbitrator#1]\nname = a\nsecret = s\n\n[pool#a]\ntype = shm\n";
    let mut conf = ini(text);
    assert!(leave_cluster_conf(&mut conf, &node("n2"), "new-id", SECRET).unwrap());
    assert!(conf.text().starts_with("# shared\n[DEFAULT]\nid = object\n"));
    assert_eq!(
        Value::Object(ini(conf.text()).to_json()),
        json!({
            "DEFAULT": {"id": "object", "comment": "shared"},
            "cluster": {"id": "new-id", "name": "default", "nodes": "n2", "secret": SECRET},
            "pool#a": {"type": "shm"},
        })
    );
    let mut conf = ini("[node]\nenv = PRD\n\n[cluster]\nname = demo\n\n[hb#2]\ntype = disk\n");
    assert!(leave_node_conf(&mut conf));
    assert_eq!(conf.text(), "[node]\nenv = PRD\n\n");
    assert!(!leave_node_conf(&mut conf));
}
