//! Deployed clients and the deployed web app find over TLS what they know: each recorded conversation is held with a cluster of
//! two, over HTTP/2 on the connections that it was recorded on, and over HTTP/1.1.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::{Cluster, ClusterConf, Http, HttpReply, Kept, Port, Provider, Recorded, wait_for};
use serde_json::{Value, json};

const RECORDED: &str = include_str!("data/http_tls.json");

/// Recorded answers that ours are not compared with, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("tls-anon-index", "this agent has a page of its own"),
    ("tls-secret-stays", "each request is judged anew"),
    ("tls-secret-stays-wrong", "each request is judged anew"),
    ("tls-secret-blacklisted", "who failed too often is told so"),
    ("tls-blacklisted-basic", "a wrong login silences no heartbeat"),
    ("auth-wrong-after-good-2", "each request is judged anew"),
    ("rbac-guest-selector-node", "a guest sees its namespace on every node"),
    ("rbac-guest-wait", "a guest waits for what it sees"),
    ("rbac-guest-root-cluster-get", "the secret is shown to root alone"),
    ("rbac-guest-root-config", "the configuration of the cluster is shown to root alone"),
    ("rbac-admin-create-othernamespace-403", "who begins a namespace is its admin at once"),
    ("rbac-admin-key-403", "who begins a namespace is its admin at once"),
    ("rbac-squatter-after", "who begins a namespace is its admin at once"),
];

/// Said in other words: objects are made while the request waits, and all that speaks against one is told.
const SHAPE_ONLY: &[&str] =
    &["rbac-admin-create-ns", "rbac-admin-create-newns", "rbac-admin-vol-403"];

/// Users, their grants and their passwords.
const USERS: &[(&str, Option<&str>, &str)] = &[
    ("admin", Some("root"), "adm:pa ss"),
    ("gtest", Some("guest:test"), "pw-gtest"),
    ("optest", Some("operator:test"), "pw-optest"),
    ("adtest", Some("admin:test squatter"), "pw-adtest"),
    (
        "multi",
        Some("admin,operator:te* guest:* blacklistadmin heartbeat bogus nobody:test"),
        "pw-multi",
    ),
    ("nogrant", None, "pw-nogrant"),
    ("groot", Some("guest:root"), "pw-groot"),
];

/// `admin`, with its password.
const ADMIN: (&str, &str) = ("authorization", "Basic YWRtaW46YWRtOnBhIHNz");

/// Two nodes that listen for TLS, with the recorded objects and users.
struct World {
    cluster: Cluster,
    ports: Vec<Port>,
    provider: Provider,
    /// Key and certificate by the subject that is recorded.
    certificates: BTreeMap<String, String>,
}

impl World {
    fn start() -> Self {
        let mut cluster = Cluster::configured(2, &ClusterConf::default());
        let ports: Vec<Port> = (0..2).map(|_| Port::reserve()).collect();
        let provider = Provider::start();
        for (node, port) in cluster.nodes.iter().zip(&ports) {
            let text = format!(
                "[listener]\ntls_addr = 127.0.0.1\ntls_port = {}\nallow_secret = true\n\
                 openid_well_known = {}/wk\n",
                port.number(),
                provider.issuer()
            );
            node.write("etc/node.conf", &text);
        }
        cluster.start_all();
        cluster.wait_beating();
        let mut it = Self { cluster, ports, provider, certificates: BTreeMap::new() };
        it.add_objects();
        it.add_users();
        for at in 0..2 {
            wait_for("it listens", || it.over(at, None).keep().is_some());
        }
        it
    }

    fn add_objects(&self) {
        let [n1, n2] = &self.cluster.nodes[..] else { panic!("two nodes") };
        let flag = "[fs#1]\ntype = flag\n";
        n1.write("etc/svc1.conf", &format!("[DEFAULT]\nnodes = n1 n2\n{flag}"));
        n1.write(
            "etc/namespaces/test/svc/web.conf",
            "[DEFAULT]\nnodes = n1 n2\ntopology = flex\n[task#1]\ntype = host\ncommand = /bin/true\nconfirmation = true\n",
        );
        for made in ["made", "made2"] {
            let text = format!("[DEFAULT]\nnodes = n2\n{flag}");
            n2.write(&format!("etc/namespaces/test/svc/{made}.conf"), &text);
        }
        n2.write("etc/namespaces/prod/svc/db.conf", &format!("[DEFAULT]\nnodes = n2\n{flag}"));
        n1.write("etc/namespaces/test/cfg/c1.conf", "[DEFAULT]\n[data]\nmotd = literal:hello\n");
        n1.write("etc/namespaces/test/cfg/c2.conf", "[DEFAULT]\n");
        n1.write("etc/namespaces/test/cfg/c3.conf", "[DEFAULT]\n");
        n1.write("etc/namespaces/test/sec/s1.conf", "[DEFAULT]\n");
        n1.om_ok(&["test/sec/s1", "add", "--key", "password", "--value", "s3cret"]);
    }

    fn add_users(&mut self) {
        let [n1, n2] = &self.cluster.nodes[..] else { panic!("two nodes") };
        n1.om_ok(&["cluster", "tls"]);
        for (name, grant, password) in USERS {
            let path = format!("system/usr/{name}");
            let grant = grant.map(|grant| format!("grant={grant}"));
            let words = grant.iter().flat_map(|grant| ["--kw", grant]);
            n1.om_ok(&[path.as_str(), "create"].into_iter().chain(words).collect::<Vec<_>>());
            n1.om_ok(&[&path, "add", "--key", "password", "--value", password]);
        }
        n1.om_ok(&["test/usr/sa1", "create"]);
        let ca = ["--kw", "cn=ghost", "--kw", "ca=system/sec/ca-demo"];
        n1.om_ok(&[["system/sec/ghost", "create"].as_slice(), &ca].concat());
        for (subject, path) in [
            ("CN=admin", "system/usr/admin"),
            ("CN=gtest", "system/usr/gtest"),
            ("CN=sa1.test.usr.demo", "test/usr/sa1"),
            ("CN=ghost", "system/sec/ghost"),
        ] {
            self.certificates.insert(subject.to_owned(), n1.om_ok(&[path, "fullpem"]));
        }
        for (path, node) in [("prod/svc/db", n1), ("test/svc/made2", n1), ("test/usr/sa1", n2)] {
            wait_for("all know it", || node.status()["monitor"]["services"][path].is_object());
        }
        for (node, path) in [(n1, "test/svc/web"), (n2, "test/svc/web"), (n2, "test/svc/made2")] {
            node.wait_instance(path, "evaluated", |instance| instance["avail"].is_string());
        }
    }

    fn over(&self, at: usize, subject: Option<&str>) -> Http {
        let fullpem = subject.map(|subject| self.certificates[subject].as_str());
        Http::tls(self.ports[at].number(), fullpem)
    }

    /// The recorded token, signed by our provider: that of the recording is gone.
    fn signed(&self, header: &str) -> String {
        let Some((head, rest)) = header.strip_prefix("Bearer ").and_then(|it| it.split_once('.'))
        else {
            return header.to_owned();
        };
        let (claims, signature) = rest.split_once('.').expect("three parts");
        let decoded = |part: &str| -> Value {
            let bytes = URL_SAFE_NO_PAD.decode(part).expect("a part of a token");
            serde_json::from_slice(&bytes).expect("JSON")
        };
        let (mut head, mut claims) = (decoded(head), decoded(claims));
        if !signature.is_empty() {
            head["alg"] = json!("EdDSA");
        }
        claims["iss"] = json!(self.provider.issuer());
        if claims["exp"].as_u64() != Some(1_700_000_000) {
            claims["exp"] = json!(99_999_999_999_u64);
        }
        format!("Bearer {}", self.provider.token(&head, &claims))
    }

    fn headers(&self, recorded: &Recorded) -> Vec<(String, String)> {
        let headers = recorded.headers().into_iter();
        headers
            .map(|(name, value)| match name.as_str() {
                "authorization" => (name, self.signed(&value)),
                _ => (name, value),
            })
            .collect()
    }

    /// What was done before that conversation.
    fn prepare(&self, id: &str) {
        let n1 = &self.cluster.nodes[0];
        match id {
            "tls-x509-revoked" => _ = n1.om_ok(&["system/usr/gtest", "revoke"]),
            "tls-blacklist-clear-403" => wait_for("it is not too often any more", || {
                self.over(0, None).ask("GET", "/daemon_status", &[ADMIN], None).status == 200
            }),
            // A target that is set is reached first, everywhere.
            "rbac-operator-monitor-thaw" | "rbac-operator-placed" => wait_for("idle", || {
                let nodes = n1.status()["monitor"]["nodes"].clone();
                ["n1", "n2"].iter().all(|node| {
                    let monitor = &nodes[node]["services"]["status"]["test/svc/web"]["monitor"];
                    monitor["status"] == "idle" && monitor["global_expect"].is_null()
                })
            }),
            _ => {}
        }
    }

    /// Holds all conversations; `ask` has one of them.
    fn hold(&self, mut ask: impl FnMut(&Self, &Recorded) -> Option<HttpReply>) {
        let mut failures = BTreeMap::new();
        // A name has two characters or more.
        for recorded in Recorded::all(&RECORDED.replace("test/vol/v", "test/vol/vv")) {
            let id = recorded.text("id").to_owned();
            if LEFT_OUT.iter().any(|(left_out, _)| *left_out == id) {
                continue;
            }
            self.prepare(&id);
            if id == "tls-x509-revoked" {
                wait_for("it is refused", || ask(self, &recorded).is_none());
                continue;
            }
            let is_guess = id.starts_with("tls-secret-wrong");
            if !is_guess && recorded.status() != Some(200) {
                // Who failed too often would be told so: a success clears.
                assert_eq!(self.over(0, None).ask("GET", "/whoami", &[ADMIN], None).status, 200);
            }
            let Some(answer) = ask(self, &recorded) else {
                failures.insert(id, "no answer".to_owned());
                continue;
            };
            if is_guess && answer.status == 429 {
                continue;
            }
            let mut found = recorded.differs(&answer);
            if SHAPE_ONLY.contains(&id.as_str()) {
                found = found.filter(|it| !it.contains("info:") && !it.contains("error:"));
            }
            failures.extend(found.map(|found| (id, found)));
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    fn at(recorded: &Recorded) -> usize {
        usize::from(recorded.text("id") == "tls-other-node")
    }
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// What a stream begins with, as an answer whose body is its first item.
fn first_item(recorded: &Recorded, text: &str) -> HttpReply {
    let item = text.split_once("\ndata: ").and_then(|(_, rest)| rest.split_once("\n\n"));
    let item: Value = serde_json::from_str(item.expect("an item").0).expect("JSON");
    let kind = if recorded.text("path").contains("full=true") { "full" } else { "patch" };
    assert_eq!(item["kind"], kind, "{item}");
    let objects = item["data"]["monitor"]["services"].as_object();
    if let Some(objects) = objects.filter(|_| kind == "full") {
        assert!(objects.contains_key("test/svc/web") && !objects.contains_key("svc1"));
    }
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", recorded.text("content_type").parse().expect("a header"));
    let reply = recorded.value["reply"].to_string();
    HttpReply { status: 200, headers, body: reply.into_bytes() }
}

#[test]
fn conversations_over_http2_are_answered_as_deployed_agents_do() {
    let world = World::start();
    let mut kept: Option<(u64, Kept)> = None;
    world.hold(|world, recorded| {
        let http = world.over(World::at(recorded), recorded.value["certificate"].as_str());
        let headers = world.headers(recorded);
        let headers = borrowed(&headers);
        if recorded.value["stream"] == true {
            let then = || {
                world.cluster.nodes[0].write("etc/namespaces/test/cfg/c2.conf", "[DEFAULT]\n#\n")
            };
            let text = http.stream(recorded.text("path"), &headers, then, "}\n\n");
            return Some(first_item(recorded, &text));
        }
        let connection = recorded.value["connection"].as_u64().expect("a number");
        let is_new = recorded.text("id") == "tls-x509-revoked";
        if is_new || kept.as_ref().is_none_or(|(of, _)| *of != connection) {
            kept = http.keep().map(|kept| (connection, kept));
        }
        let (_, kept) = kept.as_mut()?;
        let (method, path) = (recorded.text("method"), recorded.text("path"));
        kept.ask(method, path, &headers, recorded.body().as_deref())
    });
}

#[test]
fn conversations_over_http1_are_answered_as_deployed_agents_do() {
    let world = World::start();
    world.hold(|world, recorded| {
        let http = world.over(World::at(recorded), recorded.value["certificate"].as_str());
        let headers = world.headers(recorded);
        let headers = borrowed(&headers);
        let (method, path) = (recorded.text("method"), recorded.text("path"));
        if recorded.value["stream"] == true {
            let text = http.plain(method, path, &headers, None, "}\n\n")?;
            return Some(first_item(recorded, &text));
        }
        http.ask_plain(method, path, &headers, recorded.body().as_deref())
    });
}
