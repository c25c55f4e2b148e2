//! The recorded requests of deployed clients (vectors/conversations.json) and heartbeats (vectors/heartbeats.json).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{keyring, list, sender, text, without_traceback};
use serde_json::{Value, json};
use wire::{Form, Frame, Limits, Prepared, Request, RequestError};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/conversations.json")).unwrap()
}

/// Requests that deployed agents refuse or fail at and this one serves, with the reason.
const SERVED_HERE: &[(&str, &str)] = &[
    ("daemon_blacklist_clear", "every name is served, with and without method"),
    ("get_service_monitor", "it returns the attributes of the monitor"),
];

/// Recorded failures of the interpreter that become errors of the router here.
const CHECKED_HERE: &[(&str, &str)] = &[
    ("get_service_config", "'NoneType' object has no attribute 'endswith'"),
    ("set_service_monitor", "'int' object has no attribute 'split'"),
    ("service_logs", "'>' not supported between instances of 'str' and 'int'"),
    ("service_action", "sequence item 0: expected str instance, dict found"),
    ("service_action", "list indices must be integers or slices, not str"),
];

fn is_of_the_router(error: &str) -> bool {
    error == "invalid data format"
        || error == "action not specified"
        || error.starts_with("handler ") && error.ends_with(" is not supported")
        || error.starts_with("required option ")
        || error.contains(" format conversion to ")
}

#[test]
fn every_recorded_request_is_read_or_refused_as_recorded() {
    let vectors = vectors();
    let mut refused = 0;
    for (topic, conversations) in vectors["conversations"].as_object().unwrap() {
        for conversation in conversations.as_array().unwrap() {
            let name = text(conversation, "name");
            let response = &conversation["response"];
            let error = response["error"].as_str().unwrap_or_default();
            let parsed = Request::from_value(conversation["request"].clone());
            let is_served_here = SERVED_HERE.iter().any(|(served, _)| served == topic);
            let is_checked_here =
                CHECKED_HERE.iter().any(|(checked, text)| (*checked, *text) == (topic, error));
            if is_of_the_router(error) && !is_served_here {
                let error = parsed.expect_err(name);
                assert_eq!(error.to_reply(), without_traceback(response), "{topic}: {name}");
                refused += 1;
            } else if is_checked_here {
                assert_eq!(parsed.expect_err(name).status(), 400, "{topic}: {name}");
            } else {
                let request = parsed.unwrap_or_else(|error| panic!("{topic}: {name}: {error}"));
                assert_eq!(Request::from_value(request.to_value()).unwrap().action, request.action);
                let peer = Request::from_value(request.to_peer_value()).unwrap();
                assert_eq!(
                    (peer.action, peer.node, peer.multiplexed),
                    (request.action, None, true)
                );
            }
        }
    }
    assert!(refused >= 20, "{refused}");
}

#[test]
fn every_request_of_the_deployed_command_is_read() {
    for sent in list(&vectors(), "client") {
        let headers = &sent["headers"];
        let node = headers.get("o-node").cloned().unwrap_or_default();
        let request = json!({
            "action": headers[":path"], "method": headers[":method"], "options": sent["body"], "node": node,
        });
        let parsed = Request::from_value(request);
        assert!(parsed.is_ok(), "{}: {parsed:?}", text(sent, "command"));
    }
}

#[test]
fn names_of_every_generation_are_read_with_and_without_method() {
    let options = json!({
        "path": "svc1", "thr_id": "x", "name": "x", "lock_id": "x", "peer": "x", "action": "x", "slot": "x",
        "data": "x", "key": "x", "rid": "x", "condition": "x", "kind": "x", "catalog": "x", "template": "x",
        "res": "x", "actor": "x",
    });
    for route in wire::ROUTES {
        for name in route.names {
            let mut options = options.clone();
            if route.names.contains(&"create") {
                options["data"] = json!({});
            }
            let read = |method: Value| {
                Request::from_value(json!({"action": name, "method": method, "options": options}))
            };
            let request = read(route.method.into()).unwrap();
            assert_eq!(request.action.route().names, route.names);
            assert_eq!(request.action.route().method, route.method);
            assert!(read(Value::Null).is_ok(), "{name}");
            assert!(matches!(read("PATCH".into()), Err(RequestError::Unsupported { .. })));
        }
    }
    // The names that deployed agents send without method mean what they meant.
    for (name, method) in [("object_monitor", "POST"), ("object_status", "GET"), ("key", "GET")] {
        let request =
            Request::from_value(json!({"action": name, "options": {"path": "a", "key": "b"}}));
        assert_eq!(request.unwrap().action.route().method, method, "{name}");
    }
}

#[test]
fn names_of_older_agents_become_current_ones_for_peers() {
    let request = json!({"action": "clear", "node": "*", "options": {"svcname": "svc1", "x": 1}});
    let request = Request::from_value(request).unwrap();
    assert!(request.is_fanned_out());
    assert_eq!(
        request.to_peer_value(),
        json!({"action": "object_clear", "method": "POST", "options": {"path": "svc1"}, "multiplexed": true})
    );
    let status = Request::from_value(json!({"action": "daemon_status", "node": "*"})).unwrap();
    assert!(!status.is_fanned_out());
}

#[test]
fn every_recorded_heartbeat_opens_and_is_written_back_alike() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/heartbeats.json")).unwrap();
    let own = sender(text(&vectors, "clustername"), "n11", text(&vectors, "secret"));
    let open = |frame: &str, secret: &wire::ClusterSecret| {
        let frame = Frame::parse(frame.as_bytes(), &Limits::default()).unwrap();
        frame.open(secret, &Limits::default()).unwrap()
    };
    let mut kinds = std::collections::BTreeSet::new();
    for heartbeat in list(&vectors, "messages").iter().chain(list(&vectors, "multicast")) {
        let opened = open(text(heartbeat, "frame"), &own.secret);
        assert_eq!(opened.nodename(), text(heartbeat, "sender"));
        assert_eq!(opened.read::<Value>().unwrap(), heartbeat["message"]);
        // A full message has no kind.
        kinds.insert(heartbeat["message"]["kind"].as_str().unwrap_or("full").to_owned());
        // A float that changes on its way would make a configuration look newer than it is.
        let sorted = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.sort_unstable();
            bytes
        };
        let written = Prepared::new(&opened.read::<Value>().unwrap());
        assert_eq!(sorted(&written.json()), sorted(opened.body()));
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["full", "patch", "ping"]);

    let relay = sender("join", "n21", text(&vectors, "relay_secret"));
    let join = sender("join", "n24", text(&vectors, "secret"));
    let member = sender("demo", "n22", text(&vectors, "secret"));
    let exchanges = list(&vectors, "relay")
        .iter()
        .chain([&vectors["arbitrator"]])
        .map(|exchange| (exchange, &relay))
        .chain([(&vectors["join"], &join), (&vectors["leave"], &member)])
        .chain([(&vectors["config_fetch"], &member)]);
    for (exchange, own) in exchanges {
        let request = open(text(exchange, "request_frame"), &own.secret);
        assert_eq!(request.read::<Value>().unwrap(), exchange["request"]);
        assert!(Request::parse(request.body()).is_ok());
        let reply = own
            .open_reply(
                text(exchange, "reply_frame").as_bytes(),
                &Form::Classic,
                &Limits::default(),
            )
            .unwrap();
        assert_eq!(reply.read::<Value>().unwrap(), exchange["reply"]);
    }
    // The name of the cluster is the receiver's own.
    assert!(keyring().open(text(&vectors["leave"], "request_frame").as_bytes()).is_ok());
}
