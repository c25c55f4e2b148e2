//! Promise: `om support` gathers what helps in one archive, with a daemon or without one, and no secret leaves the node with it.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use harness::{Cluster, Node, wait_for};

/// What must not be found anywhere, each as the files below have it.
const SECRETS: [&str; 8] = [
    "word-in-env-1",
    "word-in-command-2",
    "word-in-header-3",
    "word-in-address-4",
    "word-in-key-5",
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
    "word-in-comment-6",
    "crypt:",
];

const SERVICE: &str = "[DEFAULT]\nid = 7\nnodes = *\n# admin_password = word-in-comment-6\n[env]\ndb_password = word-in-env-1\n\
    pem =\n  -----BEGIN PRIVATE KEY-----\n  MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n  -----END PRIVATE KEY-----\n\
    [app#1]\ntype = simple\n\
    start = /usr/bin/env TOKEN=word-in-command-2 X-H='Authorization: Bearer word-in-header-3' U=http://u:word-in-address-4@h/ /usr/bin/sleep 1000\n";

/// The archive, unpacked to one text.
fn unpacked(node: &Node, file: &str) -> String {
    let file = std::fs::File::open(node.path(file)).expect("the archive");
    assert_eq!(file.metadata().expect("its mode").permissions().mode() & 0o777, 0o600);
    let mut bytes = vec![];
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("it is whole");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn assert_no_secret(node: &Node, text: &str) {
    for secret in SECRETS.into_iter().chain([node.secret()]) {
        let at = text.find(secret);
        let around =
            at.map(|at| text[at.saturating_sub(120)..].chars().take(240).collect::<String>());
        assert_eq!(around, None, "{secret} is in the archive");
    }
}

fn fill(node: &Node) {
    node.write("etc/web.conf", SERVICE);
    node.om_ok(&["test/sec/s1", "create"]);
    node.om_ok(&["test/sec/s1", "add", "--key", "k", "--value", "word-in-key-5"]);
    node.om_ok(&["test/cfg/c1", "create"]);
    node.om_ok(&["test/cfg/c1", "add", "--key", "k", "--value", "word-in-key-5"]);
}

#[test]
fn an_archive_has_what_helps_and_no_secret() {
    let mut node = Node::started("n1");
    fill(&node);
    node.wait_avail("web", "down");
    node.om_ok(&["web", "start", "--local"]);
    let file = node.path("tmp/case.tar.gz").display().to_string();
    let told = node.om(&["support", "--output", &file]);
    assert_eq!((told.code, told.out.trim()), (Some(0), file.as_str()), "{told:?}");
    assert!(told.err.contains("secrets, keys and passwords were removed"), "{told:?}");
    let text = unpacked(&node, "tmp/case.tar.gz");
    assert_no_secret(&node, &text);
    for part in [
        "/n1/config/web.conf",
        "/n1/config/cluster.conf",
        "/n1/config/namespaces/test/sec/s1.conf",
        "/n1/status.json",
        "/n1/logs/node.log",
        "/n1/logs/web.log",
        "/n1/history/svc/web.jsonl",
        "/n1/doctor.json",
        "/n1/version.txt",
        "/n1/mounts.txt",
        "/n1/processes.txt",
        "/n1/kernel.txt",
    ] {
        assert!(text.contains(part), "{part} is missing");
    }
    assert!(
        text.contains("db_password = xxxx") && text.contains("/usr/bin/sleep 1000"),
        "the rest stays"
    );
    let again = node.om(&["support", "--output", &file]);
    assert!(
        again.code == Some(1) && again.err.contains("exists"),
        "nothing is overwritten: {again:?}"
    );
    node.kill();
    let file = node.path("tmp/dead.tar.gz").display().to_string();
    let told = node.om(&["support", "--output", &file]);
    assert!(
        told.code == Some(0) && told.err.contains("missing: what the daemon tells"),
        "{told:?}"
    );
    let text = unpacked(&node, "tmp/dead.tar.gz");
    assert_no_secret(&node, &text);
    assert!(text.contains("/n1/missing.txt") && text.contains("/n1/logs/web.log"));
}

#[test]
fn the_parts_of_all_nodes_are_in_one_archive() {
    let mut cluster = Cluster::start(2);
    fill(&cluster.nodes[0]);
    wait_for("n2 has it", || cluster.nodes[1].path("etc/web.conf").exists());
    let node = &cluster.nodes[0];
    let file = node.path("tmp/both.tar.gz").display().to_string();
    node.om_ok(&["support", "--node", "*", "--output", &file]);
    let text = unpacked(node, "tmp/both.tar.gz");
    assert_no_secret(node, &text);
    assert!(text.contains("/n1/config/web.conf") && text.contains("/n2/config/web.conf"));
    cluster.nodes[1].kill();
    let node = &cluster.nodes[0];
    let file = node.path("tmp/one.tar.gz").display().to_string();
    let told = node.om(&["support", "--node", "*", "--output", &file]);
    assert!(told.code == Some(1) && told.err.contains("missing: n2: "), "{told:?}");
}
