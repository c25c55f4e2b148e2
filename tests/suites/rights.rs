//! Promise: who loses a right loses what it was shown by it, streams and waits too, whether they have something to tell or not.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Http, Node, Port, Provider, basic, wait_for};
use serde_json::json;

/// How long a stream may go on after its user lost what it needs: a look each second, and that of the certificates.
const AT_MOST: Duration = Duration::from_secs(6);

const LOGS: &str = "/object_logs?path=test/svc/web";

/// A node that listens for TLS, with these users.
fn node(users: &[(&str, &str)]) -> (Node, Port) {
    let (mut node, port) = Node::for_users("n1", "");
    let object = "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n";
    node.write("etc/namespaces/test/svc/web.conf", object);
    node.start();
    node.om_ok(&["cluster", "tls"]);
    for (name, grant) in users {
        node.add_user(name, grant);
    }
    wait_for("it listens", || Http::tls(port.number(), None).keep().is_some());
    wait_for("it is evaluated", || node.instance("test/svc/web")["avail"].is_string());
    (node, port)
}

/// Follows a stream that `then` takes the right from. It ends soon.
fn assert_ends(http: &Http, target: &str, headers: &[(&str, &str)], then: impl FnOnce()) {
    let mut lost = None;
    let told = http.until_end(target, headers, || {
        then();
        lost = Some(Instant::now());
    });
    let took = lost.expect("it was lost").elapsed();
    assert!(took < AT_MOST, "{target} went on for {took:?}: {told}");
}

#[test]
fn streams_end_with_the_grants_of_their_user() {
    let (node, port) = node(&[("changed", "guest:test"), ("gone", "guest:test")]);
    let http = Http::tls(port.number(), None);
    for (target, accept) in [(LOGS, "text/event-stream"), ("/events", "application/x-ndjson")] {
        let header = basic("changed", "pw-changed");
        let headers = [("authorization", header.as_str()), ("accept", accept)];
        assert_ends(&http, target, &headers, || {
            let other = if target == LOGS { "guest:test guest:x" } else { "guest:test" };
            node.om_ok(&["system/usr/changed", "set", "--kw", &format!("grant={other}")]);
        });
    }
    let header = basic("gone", "pw-gone");
    assert_ends(&http, LOGS, &[("authorization", &header)], || {
        node.om_ok(&["system/usr/gone", "delete"]);
        wait_for("its file is gone", || !node.path("etc/namespaces/system/usr/gone.conf").exists());
    });
    // Who lost nothing is followed on.
    let header = basic("changed", "pw-changed");
    let headers = [("authorization", header.as_str()), ("accept", "text/event-stream")];
    let begun = Instant::now();
    let touch = || {
        node.add_user("other", "root");
        while begun.elapsed() < AT_MOST {
            node.om_ok(&["test/svc/web", "freeze", "--wait", "--time", "20s"]);
            node.om_ok(&["test/svc/web", "thaw", "--wait", "--time", "20s"]);
        }
        node.om_ok(&["test/svc/web", "print", "status"]);
    };
    assert!(http.stream("/events?full=true", &headers, touch, "\"thawed\"").contains("\"kind\""));
}

#[test]
fn waits_end_with_the_grants_of_their_user() {
    let (node, port) = node(&[("carl", "guest:test")]);
    let http = Http::tls(port.number(), None);
    let header = basic("carl", "pw-carl");
    let wait = |duration: u32, condition: &str| {
        let target = format!("/api/cluster/wait?duration={duration}&condition={condition}");
        http.ask("GET", &target, &[("authorization", &header)], None)
    };
    let never = "cluster.name%3Dnever";
    assert_eq!(wait(1, never).status, 200, "it may ask");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(30, never));
        wait_for("it waits", || {
            let alive = &node.status()["listener"]["stats"]["sessions"]["alive"];
            alive.as_object().is_some_and(|it| it.values().any(|it| it["progress"] == "wait"))
        });
        node.om_ok(&["system/usr/carl", "set", "--kw", "grant=guest:test guest:x"]);
        let begun = Instant::now();
        let reply = waiting.join().expect("a reply");
        assert_eq!(reply.status, 401, "{}", reply.json());
        assert!(begun.elapsed() < AT_MOST, "it went on for {:?}", begun.elapsed());
    });
}

#[test]
fn streams_end_with_the_certificate_of_their_user() {
    let (node, port) = node(&[("alice", "guest:test")]);
    let fullpem = node.om_ok(&["system/usr/alice", "fullpem"]);
    let http = Http::tls(port.number(), Some(&fullpem));
    assert_ends(&http, LOGS, &[("accept", "text/event-stream")], || {
        node.om_ok(&["system/usr/alice", "revoke"]);
    });
}

#[test]
fn streams_end_with_the_token_of_their_user() {
    let (node, port) = node(&[]);
    let provider = Provider::start();
    let issuer = provider.issuer();
    node.om_ok(&["node", "set", "--kw", &format!("listener.openid_issuer={issuer}")]);
    let http = Http::tls(port.number(), None);
    let token = |lasts: u64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        // It is taken for a minute after its end.
        let claims = json!({"iss": issuer, "aud": "demo", "exp": now + lasts - 60, "preferred_username": "carol",
            "grant": "guest:test"});
        format!("Bearer {}", provider.token(&json!({"alg": "EdDSA", "kid": "k1"}), &claims))
    };
    wait_for("the provider is heard", || {
        let reply = http.ask("GET", "/whoami", &[("authorization", &token(60))], None);
        reply.json()["name"] == "carol"
    });
    let begun = Instant::now();
    let header = token(4);
    assert_ends(&http, LOGS, &[("authorization", &header), ("accept", "text/event-stream")], || ());
    assert!(begun.elapsed() > Duration::from_secs(2), "it ended before its token");
}
