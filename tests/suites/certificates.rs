//! Promise: a cluster has an authority and certificates that OpenSSL and deployed agents take, and that end without anybody
//! only when they are told of.

use std::process::Command;

use certs::{Certificate, Index, Issuer, Order, Purpose, RevocationList, Subject, Trust};
use harness::{Cluster, ClusterConf, Http, Node, Port, Site, skip, wait_for, wait_until};
use model::Timestamp;

const DAY: f64 = 86_400.0;
const AUTHORITY: &str = "system/sec/ca-demo";
const LISTENER: &str = "system/sec/cert-demo";

/// A node that runs alone, whose cluster has certificates.
fn with_tls() -> Node {
    let node = Node::started("n1");
    node.om_ok(&["cluster", "tls"]);
    node
}

fn key(node: &Node, path: &str, key: &str) -> String {
    node.om_ok(&[path, "decode", "--key", key])
}

/// Runs OpenSSL in the folder of a node: whether it succeeded, and what it said. None where it is not installed.
fn openssl(node: &Node, line: &str) -> Option<(bool, String)> {
    let ran = Command::new("openssl").args(line.split(' ')).current_dir(node.root()).output();
    let Ok(ran) = ran else {
        skip("openssl is not installed");
        return None;
    };
    let text = [ran.stdout, ran.stderr].concat();
    Some((ran.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

fn now() -> Timestamp {
    machine::clock::now()
}

fn chain(text: &str) -> Vec<Certificate> {
    certs::certificates(text).expect("certificates")
}

#[test]
fn a_new_node_has_an_authority_and_a_certificate() {
    let mut node = Node::new("n1");
    std::fs::remove_file(node.path("etc/cluster.conf")).unwrap();
    let heartbeat = Port::reserve();
    let conf = node.read("etc/node.conf");
    let number = heartbeat.number();
    node.write("etc/node.conf", &format!("{conf}[hb#1]\ntype = unicast\nport = {number}\n"));
    node.start();
    let paths = ["system/sec/ca-default", "system/sec/cert-default"];
    assert_eq!(node.om_ok(&["ls"]), format!("cluster\n{}\n{}\n", paths[0], paths[1]));
    assert!(!node.om_ok(&["mon"]).contains("system/sec"));
    let authority = chain(&key(&node, paths[0], "certificate_chain"));
    let shown = chain(&key(&node, paths[1], "certificate_chain"));
    assert_eq!((authority.len(), shown.len(), &shown[1]), (1, 2, &authority[0]));
    assert_eq!(shown[0].host_names(), ["default", "n1"]);
    let mode = |path: &str| {
        use std::os::unix::fs::MetadataExt as _;
        node.path(path).metadata().unwrap().mode() & 0o777
    };
    assert_eq!(mode("etc/namespaces/system/sec/ca-default.conf"), 0o600);
    assert!(!node.read("etc/namespaces/system/sec/ca-default.conf").contains("PRIVATE"));
    // Once: who deletes them does not want them.
    node.om_ok(&[paths[1], "delete", "--wait"]);
    node.om_ok(&["daemon", "stop"]);
    node.start();
    assert_eq!(node.om_ok(&["ls"]), format!("cluster\n{}\n", paths[0]));
    assert_eq!(node.om_ok(&["cluster", "tls"]), format!("create {}\n", paths[1]));
}

#[test]
fn a_configured_node_has_none_until_it_is_asked() {
    let node = Node::started("n1");
    assert_eq!(node.om_ok(&["ls"]), "cluster\n");
    let made = format!("create {AUTHORITY}\ncreate {LISTENER}\n");
    assert_eq!(node.om_ok(&["cluster", "tls"]), made);
    let again = node.om(&["cluster", "tls"]);
    assert_eq!((again.code, &*again.out), (Some(0), ""), "{again:?}");
    assert!(again.err.contains("nothing to do"), "{again:?}");
}

/// The keys of an object as they are stored: name and form, in order.
fn stored(node: &Node, path: &str) -> Vec<(String, String)> {
    let text = node.read(&format!("etc/namespaces/{path}.conf"));
    let data = text.split_once("[data]\n").expect("keys").1;
    let read = data.lines().filter_map(|line| line.split_once(" = "));
    let form = |value: &str| value.split(':').next().unwrap_or_default().to_owned();
    read.map(|(key, value)| (key.to_owned(), form(value))).collect()
}

#[test]
fn keys_are_stored_as_deployed_agents_store_them() {
    let mut node = Node::new("n1");
    node.write_cluster("envelope = any");
    node.start();
    node.om_ok(&["cluster", "tls"]);
    node.om_ok(&["system/usr/alice", "create"]);
    node.om_ok(&["system/usr/alice", "revoke"]);
    let names = |path: &str| -> Vec<String> {
        let stored = stored(&node, path);
        assert!(stored.iter().all(|(_, form)| form == "crypt"), "{stored:?}");
        stored.into_iter().map(|(key, _)| key).collect()
    };
    let made = [
        "private_key",
        "certificate",
        "certificate_signing_request",
        "certificate_chain",
        "fullpem",
    ];
    assert_eq!(names("system/usr/alice"), made);
    assert_eq!(names(LISTENER), made);
    assert_eq!(names(AUTHORITY), [&made[..], &["crlnumber", "crlindex", "crl"]].concat());
}

#[test]
fn users_have_certificates_that_openssl_takes() {
    let node = with_tls();
    node.om_ok(&["system/usr/alice", "create", "--kw", "grant=guest:*"]);
    let created = node.om(&["test/usr/bob", "create", "--kw", "grant=root"]);
    assert!(created.err.contains("granted guest:test"), "{created:?}");
    assert_eq!(node.om_ok(&["test/usr/bob", "get", "--kw", "grant"]), "guest:test\n");
    assert_eq!(node.om_ok(&["test/usr/bob", "get", "--kw", "validity"]), "1d\n");
    let alice = node.om_ok(&["system/usr/alice", "fullpem"]);
    let bob = chain(&node.om_ok(&["test/usr/bob", "fullpem"])).remove(0);
    assert_eq!(bob.common_name().as_deref(), Some("bob.test.usr.demo"));
    let user = certs::user_of("bob.test.usr.demo", "demo").unwrap();
    assert_eq!(user.as_str(), "test/usr/bob");
    let mut trust = Trust::new();
    trust.add_authorities(&key(&node, AUTHORITY, "certificate_chain")).unwrap();
    let certificate = chain(&alice).remove(0);
    assert_eq!(trust.check_client(certificate.der(), &[], now()), Ok(()));

    node.write("ca.pem", &key(&node, AUTHORITY, "certificate_chain"));
    node.write("alice.pem", &alice);
    node.write("cert.pem", &key(&node, LISTENER, "certificate_chain"));
    let Some(told) = openssl(&node, "verify -CAfile ca.pem -purpose sslclient alice.pem") else {
        return;
    };
    assert!(told.0, "{told:?}");
    let line = "verify -x509_strict -CAfile ca.pem -purpose sslserver -verify_hostname n1 cert.pem";
    let told = openssl(&node, line).unwrap();
    assert!(told.0, "{told:?}");
    let told = openssl(&node, "verify -CAfile ca.pem -purpose sslserver alice.pem").unwrap();
    assert!(!told.0, "a user is no server: {told:?}");
    let (_, text) = openssl(&node, "x509 -in alice.pem -noout -text").unwrap();
    for part in ["Version: 3", "CN = alice", "prime256v1", "TLS Web Client Authentication"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (_, text) = openssl(&node, "req -in /dev/null -noout").unwrap();
    assert!(!text.is_empty());
    node.write("alice.csr", &key(&node, "system/usr/alice", "certificate_signing_request"));
    let told = openssl(&node, "req -in alice.csr -verify -noout").unwrap();
    assert!(told.0, "{told:?}");
}

#[test]
fn a_user_as_pkcs12_opens_with_its_password_only() {
    let node = with_tls();
    node.om_ok(&["system/usr/alice", "create"]);
    let file = std::fs::File::create(node.path("alice.p12")).unwrap();
    let words = ["system/usr/alice", "pkcs12", "--password", "pass word"];
    assert!(node.spawn_into(&words, file).wait().unwrap().success());
    let file = std::fs::File::create(node.path("open.p12")).unwrap();
    let words = ["system/usr/alice", "pkcs12", "--password", ""];
    assert!(node.spawn_into(&words, file).wait().unwrap().success());
    let asked = node.om(&["system/usr/alice", "pkcs12"]);
    assert_eq!(asked.code, Some(2), "{asked:?}");
    node.write("password", "pass word\n");
    let line = "pkcs12 -in alice.p12 -passin file:password -nodes";
    let Some((is_opened, text)) = openssl(&node, line) else { return };
    assert!(is_opened, "{text}");
    let key = certs::PrivateKey::from_pem(&text).unwrap();
    assert_eq!(chain(&text).len(), 2);
    assert!(key.fits(&chain(&text)[0]));
    let told = openssl(&node, "pkcs12 -in alice.p12 -passin pass:other -nodes").unwrap();
    assert!(!told.0, "{told:?}");
    let told = openssl(&node, "pkcs12 -in open.p12 -passin pass: -nodes").unwrap();
    assert!(told.0, "{told:?}");
}

#[test]
fn a_revoked_user_is_refused_by_its_list() {
    let node = with_tls();
    for name in ["alice", "carol"] {
        node.om_ok(&[&format!("system/usr/{name}"), "create"]);
    }
    node.om_ok(&["system/usr/alice", "revoke"]);
    assert_eq!(key(&node, AUTHORITY, "crlnumber"), "02\n");
    let again = node.om(&["system/usr/alice", "revoke"]);
    assert!(again.code == Some(0) && again.err.contains("revoked before"), "{again:?}");
    assert_eq!(key(&node, AUTHORITY, "crlnumber"), "02\n");
    let index = Index::parse(&key(&node, AUTHORITY, "crlindex"));
    let rows: Vec<String> = index.revoked().map(|row| row.subject).collect();
    assert_eq!(rows, ["/CN=alice"]);
    let mut trust = Trust::new();
    trust.add_authorities(&key(&node, AUTHORITY, "certificate_chain")).unwrap();
    let list = key(&node, AUTHORITY, "crl");
    assert_eq!(trust.add_revocations(list.as_bytes()), Ok(vec![]));
    for (name, is_let_in) in [("alice", false), ("carol", true)] {
        let certificate =
            chain(&key(&node, &format!("system/usr/{name}"), "certificate")).remove(0);
        let checked = trust.check_client(certificate.der(), &[], now());
        assert_eq!(checked.is_ok(), is_let_in, "{name}: {checked:?}");
    }
    // A new certificate of the same user is not revoked.
    node.om_ok(&["system/usr/alice", "gen", "cert"]);
    let certificate = chain(&key(&node, "system/usr/alice", "certificate")).remove(0);
    assert_eq!(trust.check_client(certificate.der(), &[], now()), Ok(()));

    node.write("ca.pem", &key(&node, AUTHORITY, "certificate_chain"));
    node.write("list.pem", &list);
    let Some(told) = openssl(&node, "crl -in list.pem -CAfile ca.pem -noout -text") else { return };
    assert!(told.0 && told.1.contains("verify OK"), "{told:?}");
    let serial = rows.len();
    assert_eq!(told.1.matches("Serial Number:").count(), serial, "{told:?}");
}

#[test]
fn what_openssl_signs_as_deployed_agents_do_is_taken() {
    let node = Node::started("n1");
    let run =
        |line: &str| openssl(&node, line).map(|(is_done, text)| assert!(is_done, "{line}: {text}"));
    // As deployed agents do: an authority that signs itself, and a user of X.509 version 1.
    let done = run(
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /O=example/CN=authority",
    );
    if done.is_none() {
        return;
    }
    run("req -newkey rsa:2048 -nodes -keyout eve.key -out eve.csr -subj /CN=eve");
    run(
        "x509 -req -in eve.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -sha256 -out eve.pem",
    );
    let mut trust = Trust::new();
    trust.add_authorities(&node.read("ca.pem")).unwrap();
    let eve = chain(&node.read("eve.pem")).remove(0);
    assert_eq!(trust.check_client(eve.der(), &[], now()), Ok(()));
    // Its authority signs on here, its user is revoked here.
    node.om_ok(&[AUTHORITY, "create"]);
    for (name, file) in [("private_key", "ca.key"), ("certificate_chain", "ca.pem")] {
        let file = node.path(file).display().to_string();
        node.om_ok(&[AUTHORITY, "add", "--key", name, "--from", &file]);
    }
    node.om_ok(&["system/usr/alice", "create"]);
    let alice = chain(&key(&node, "system/usr/alice", "certificate_chain"));
    assert_eq!(trust.check_client(alice[0].der(), &[], now()), Ok(()));
    node.write("alice.pem", &key(&node, "system/usr/alice", "certificate_chain"));
    run("verify -CAfile ca.pem alice.pem");
    let ca = format!("ca={AUTHORITY}");
    node.om_ok(&["system/usr/eve", "create", "--kw", &ca]);
    let file = node.path("eve.pem").display().to_string();
    node.om_ok(&["system/usr/eve", "change", "--key", "certificate", "--from", &file]);
    node.om_ok(&["system/usr/eve", "revoke"]);
    node.write("list.pem", &key(&node, AUTHORITY, "crl"));
    run("crl -in list.pem -CAfile ca.pem -noout");
    node.write("both.pem", &format!("{}{}", node.read("ca.pem"), node.read("list.pem")));
    let told = openssl(&node, "verify -crl_check -CAfile both.pem eve.pem").unwrap();
    assert!(!told.0 && told.1.contains("revoked"), "{told:?}");
    let told = openssl(&node, "verify -crl_check -CAfile both.pem alice.pem").unwrap();
    assert!(told.0, "{told:?}");
}

#[test]
fn what_cannot_be_made_is_told_with_its_keyword() {
    let node = with_tls();
    let refused = |words: &[&str], told: &str| {
        let refused = node.om(words);
        assert_eq!(refused.code, Some(1), "{words:?} {refused:?}");
        assert!(refused.err.contains(told), "{words:?} {refused:?}");
    };
    refused(
        &["test/sec/a1", "create", "--kw", "cn=a", "--kw", "ca=system/sec/none"],
        "none does not exist",
    );
    refused(&["test/sec/a1", "create", "--kw", "cn=a", "--kw", "c=FRA"], "c is \"FRA\"");
    refused(&["test/sec/a1", "create", "--kw", "cn=a", "--kw", "validity=10y"], "validity");
    assert!(!node.om_ok(&["ls"]).contains("a1"));
    node.om_ok(&["test/sec/a1", "create"]);
    refused(&["test/sec/a1", "gen", "cert"], "keyword cn is not set");
    refused(&["test/sec/a1", "revoke"], "has no certificate");
    let none = node.om(&["web", "gen", "cert"]);
    assert_eq!(none.code, Some(2), "{none:?}");
    for (name, cn, told) in [
        ("mallory", "cn=alice", "is let in as system/usr/alice"),
        ("trudy", "cn=../trudy", "is that of no user"),
    ] {
        let made = node.om(&[&format!("system/usr/{name}"), "create", "--kw", cn]);
        assert!(made.code == Some(0) && made.err.contains(told), "{made:?}");
    }
    let made = node.om(&[AUTHORITY, "gen", "cert"]);
    assert!(made.err.contains("not trusted any more"), "{made:?}");
    node.om_ok(&["test/sec/a1", "set", "--kw", "cn=a1", "--kw", "bits=2k"]);
    let made = node.om(&["test/sec/a1", "gen", "cert"]);
    assert!(made.code == Some(0) && made.err.contains("P-256"), "{made:?}");
}

/// Puts a certificate into an object that was made so many days ago, for a year.
fn age(node: &Node, path: &str, issuer: &Issuer, cn: &str, days: f64) {
    let order = Order {
        subject: Subject { cn: Some(cn.to_owned()), ..Subject::default() },
        alt_names: vec![],
        purpose: Purpose::Client,
        validity: 365.0 * DAY,
        now: now().plus(-days * DAY),
    };
    for (key, text) in order.make(Some(issuer)).expect("a certificate").keys() {
        let done = node.om_stdin(&[path, "change", "--key", key, "--from", "-"], &text);
        assert_eq!(done.code, Some(0), "{done:?}");
    }
}

fn issuer(node: &Node, path: &str) -> Issuer {
    let (chain, private) = (key(node, path, "certificate_chain"), key(node, path, "private_key"));
    Issuer::new(&chain, &private).expect("an authority")
}

fn alerts(node: &Node) -> String {
    let alerts = node.status()["certificate"]["alerts"].clone();
    alerts
        .as_array()
        .map_or(String::new(), |alerts| alerts.iter().map(ToString::to_string).collect())
}

#[test]
fn a_list_behind_an_address_refuses_whom_it_names() {
    let (mut node, port) = Node::for_users("n1", "");
    node.start();
    node.om_ok(&["cluster", "tls"]);
    node.add_user("alice", "guest");
    let fullpem = node.om_ok(&["system/usr/alice", "fullpem"]);
    let alice = Http::tls(port.number(), Some(&fullpem));
    let greeted = || {
        let reply = alice.keep().and_then(|mut kept| kept.get("/whoami", &[]));
        reply.is_some_and(|reply| reply.json()["name"] == "alice")
    };
    wait_for("alice is let in", greeted);
    let site = Site::start();
    let follow =
        |address: &str| node.om_ok(&["node", "set", "--kw", &format!("listener.crl={address}")]);
    follow(&site.url("/none.crl"));
    wait_for("it is told that nothing is there", || node.om_ok(&["mon"]).contains("/none.crl"));
    assert!(greeted(), "nobody is refused for that");
    // Signed by the authority, and in no key of it.
    let mut index = Index::default();
    assert!(index.revoke(&chain(&fullpem)[0], now()));
    let list = issuer(&node, AUTHORITY).list(&index, 7, now()).expect("a list");
    site.put("/ca.crl", list);
    follow(&site.url("/ca.crl"));
    wait_for("alice is refused", || !greeted());
    assert!(!node.om_ok(&["mon"]).contains(".crl"));
    // Whatever the site answers.
    site.put("/ca.crl", "<html>come back later</html>");
    node.om_ok(&["daemon", "stop"]);
    node.start();
    let anybody = Http::tls(port.number(), None);
    wait_for("it listens", || {
        anybody.keep().is_some_and(|mut kept| kept.get("/whoami", &[]).is_some())
    });
    wait_for("alice is refused again", || !greeted());
    wait_for("it is told that it is not there any more", || {
        node.read("log/node.log").contains("listener.crl cannot be fetched")
    });
    assert!(!greeted(), "the list of before is in force");
}

#[test]
fn one_node_makes_anew_what_is_about_to_end() {
    let cluster = Cluster::start_with(2, &ClusterConf::default().patient());
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    n1.om_ok(&["cluster", "tls"]);
    n1.om_ok(&["system/usr/alice", "create"]);
    n1.om_ok(&["system/usr/gone", "create"]);
    n1.om_ok(&["system/usr/gone", "revoke"]);
    let issuer = issuer(n1, AUTHORITY);
    let list =
        issuer.list(&Index::parse(&key(n1, AUTHORITY, "crlindex")), 7, now().plus(-24.0 * DAY));
    let done = n1.om_stdin(&[AUTHORITY, "change", "--key", "crl", "--from", "-"], &list.unwrap());
    assert_eq!(done.code, Some(0), "{done:?}");
    age(n1, "system/usr/alice", &issuer, "alice", 300.0);
    let left = |node: &Node, path: &str| -> Option<f64> {
        let text = node.om(&[path, "decode", "--key", "certificate"]).out;
        Some(certs::certificates(&text).ok()?[0].end().since(now()) / DAY)
    };
    for node in [n1, n2] {
        wait_for("alice has a new certificate", || {
            left(node, "system/usr/alice").is_some_and(|days| days > 300.0)
        });
        wait_for("the list is new", || {
            let text = node.om(&[AUTHORITY, "decode", "--key", "crl"]).out;
            RevocationList::parse(text.as_bytes()).is_ok_and(|it| !it[0].is_to_renew(now()))
        });
    }
    // What is told of an object is in its own log.
    let made = |node: &Node| {
        ["usr/alice", "sec/ca-demo"].map(|name| {
            let file = node.path(&format!("log/namespaces/system/{name}.log"));
            let log = std::fs::read_to_string(file).unwrap_or_default();
            log.matches("made anew before its end").count()
        })
    };
    assert_eq!((made(n1), made(n2)), ([1, 1], [0, 0]));
    // A node that comes is among the names of the listener: here, both were there before.
    assert_eq!(chain(&key(n2, LISTENER, "certificate"))[0].host_names(), ["demo", "n1", "n2"]);
}

#[test]
fn what_nobody_can_make_anew_is_told_of() {
    let node = with_tls();
    let issuer = issuer(&node, AUTHORITY);
    node.om_ok(&["test/sec/web", "create"]);
    age(&node, "test/sec/web", &issuer, "web", 361.0);
    wait_for("an alert tells it", || alerts(&node).contains("test/sec/web ends in 4 days"));
    let doctor = node.om(&["doctor"]);
    assert!(
        doctor.out.contains("test/sec/web key certificate_chain: the certificate ends in"),
        "{doctor:?}"
    );
    assert!(node.om_ok(&["mon"]).contains("test/sec/web ends in 4 days"));
    // With its authority it is made anew, and the alert goes.
    let ca = format!("ca={AUTHORITY}");
    node.om_ok(&["test/sec/web", "set", "--kw", "cn=web", "--kw", &ca]);
    wait_for("the alert is gone", || alerts(&node).is_empty());
    wait_for("it is made anew", || {
        let end = chain(&key(&node, "test/sec/web", "certificate"))[0].end();
        end.since(now()) > 300.0 * DAY
    });
}

#[test]
fn a_joiner_takes_the_authority_of_the_cluster() {
    let heartbeat = Port::reserve();
    let mut n2 = Node::new("n2");
    let own = n2.read("etc/cluster.conf").replace(n2.secret(), "another-secret-another-secret-00");
    n2.write("etc/cluster.conf", &own);
    let conf = ClusterConf {
        heartbeat: format!("addr@n2 = 127.0.0.1\nport@n2 = {}", heartbeat.number()),
        ..ClusterConf::default()
    };
    let mut cluster = Cluster::configured(1, &conf);
    let listener = format!("[listener]\naddr@n2 = 127.0.0.1\nport@n2 = {}\n", n2.port());
    let text = cluster.nodes[0].read("etc/cluster.conf").replace("[listener]\n", &listener);
    cluster.nodes[0].write("etc/cluster.conf", &text);
    cluster.nodes[0].start();
    n2.start();
    let n1 = &cluster.nodes[0];
    n1.om_ok(&["cluster", "tls"]);
    let authority = key(n1, AUTHORITY, "certificate");
    // Of the same name, and newer.
    n2.om_ok(&["cluster", "tls"]);
    let address = format!("127.0.0.11:{}", cluster.port(0));
    let secret = format!("{}\n", n1.secret());
    let joined = n2.om_stdin(&["daemon", "join", "--node", &address, "--secret", "-"], &secret);
    assert_eq!(joined.code, Some(0), "{joined:?}");
    assert!(joined.err.contains("ca-demo.conf.rej"), "{joined:?}");
    assert!(n2.path("etc/namespaces/system/sec/ca-demo.conf.rej").exists());
    for node in [n1, &n2] {
        wait_until("it has the authority of the cluster", || {
            let found = node.om(&[AUTHORITY, "decode", "--key", "certificate"]).out;
            (found == authority).then_some(())
        });
        wait_for("the listener is called as both nodes", || {
            let found = node.om(&[LISTENER, "decode", "--key", "certificate"]).out;
            certs::certificates(&found).is_ok_and(|it| it[0].host_names() == ["demo", "n1", "n2"])
        });
    }
    assert_eq!(key(n1, AUTHORITY, "certificate"), authority);
}
