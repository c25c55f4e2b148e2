//! Promise: each command of README.md does what it says.
//!
//! The second word of a fence says what is done with its lines: `build`, the files that they name exist; `machine`, their
//! commands are read; `node`, `cluster` and `http`, they are typed, one after the other.

use std::path::{Path, PathBuf};

use harness::{Cluster, ClusterConf, Node, Output, wait_for};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).expect("README.md")
}

/// The lines in fences of this kind, without comments behind them.
fn blocks(kind: &str) -> Vec<String> {
    let fence = format!("```sh {kind}");
    let mut is_inside = false;
    let mut lines = vec![];
    for line in readme().lines() {
        if line.starts_with("```") {
            is_inside = line == fence;
        } else if is_inside && !line.is_empty() {
            let is_order = line.starts_with("# on ");
            let typed = if is_order { line } else { line.split(" # ").next().unwrap_or(line) };
            lines.push(typed.trim().to_owned());
        }
    }
    assert!(!lines.is_empty(), "README.md has no {fence}");
    lines
}

/// Each `om ..` that stands in the text itself.
fn inline() -> Vec<String> {
    let mut is_inside = false;
    let mut commands = vec![];
    for line in readme().lines() {
        if line.starts_with("```") {
            is_inside = !is_inside;
        } else if !is_inside {
            let code = line.split('`').skip(1).step_by(2);
            commands.extend(code.filter(|code| code.starts_with("om ")).map(str::to_owned));
        }
    }
    commands
}

/// Whether `om` knows these words and options. It does nothing.
fn is_known(node: &Node, command: &str) -> Output {
    node.shell(&format!("{command} --help"))
}

#[test]
fn each_fence_says_what_is_done_with_it() {
    for fence in readme().lines().filter(|line| line.starts_with("```") && line.len() > 3) {
        let kinds =
            ["build", "machine", "node", "cluster", "http"].map(|kind| format!("```sh {kind}"));
        let is_text = ["```ini", "```text", "```json"].contains(&fence);
        assert!(is_text || kinds.iter().any(|kind| kind == fence), "{fence}: none of {kinds:?}");
    }
}

#[test]
fn each_command_of_the_text_is_known_with_its_options() {
    let node = Node::new("n1");
    let typed = ["machine", "node", "cluster", "http"].into_iter().flat_map(blocks);
    let typed = typed.filter(|line| line.starts_with("om "));
    let commands: Vec<String> = inline().into_iter().chain(typed).collect();
    assert!(commands.len() > 60, "few commands were found: {commands:?}");
    for command in commands.iter().filter(|command| !command.contains('<')) {
        let shown = is_known(&node, command.split(" > ").next().unwrap_or(command));
        assert_eq!(shown.code, Some(0), "{command}: {}", shown.err);
    }
    let unknown = is_known(&node, "om web start --nonsense");
    assert_eq!(unknown.code, Some(2), "an option that does not exist is seen: {}", unknown.out);
}

#[test]
fn each_file_that_an_installation_names_exists() {
    let lines = blocks("build");
    let named =
        lines.iter().flat_map(|line| line.split(' ')).filter(|word| word.starts_with("config/"));
    let named: Vec<&str> = named.collect();
    assert!(named.len() >= 3, "{lines:?}");
    for file in named {
        assert!(repository().join(file).is_file(), "{file}");
    }
}

/// Types a line; it has to succeed.
fn types(node: &Node, line: &str) {
    let typed = node.shell(line);
    assert_eq!(typed.code, Some(0), "{line}: {}{}\n{}", typed.out, typed.err, node.node_log());
}

/// What a machine of the tests has not: the port, and the program of a web server.
fn as_here(line: &str) -> String {
    line.replace("/usr/bin/python3 -m http.server 8080", "/bin/sleep 5040")
}

#[test]
fn what_one_node_is_told_happens() {
    let node = Node::started("n1");
    for line in blocks("node") {
        // It runs in the foreground here.
        if line != "om daemon start" {
            types(&node, &as_here(&line));
        }
    }
    assert_eq!(node.wait_avail("web", "up")["avail"], "up");
    assert_eq!(node.om_ok(&["web", "get", "--kw", "app#1.restart"]).trim(), "3");
    node.om_ok(&["web", "stop", "--wait"]);
}

#[test]
fn what_is_asked_over_http_is_answered() {
    let node = Node::started("n1");
    if node.shell("curl --version").code != Some(0) {
        return harness::skip("there is no curl");
    }
    for path in ["web", "prod/svc/web"] {
        node.om_ok(&[path, "create", "--kw", "fs#1.type=flag", "--kw", "nodes=n1"]);
    }
    wait_for("the objects are known", || node.instance("prod/svc/web")["avail"].is_string());
    let socket = node.path("var/lsnr/h2.sock").display().to_string();
    for line in blocks("http") {
        let line = line.replace("$S", &socket);
        if line.starts_with("S=") {
            continue;
        }
        // A stream ends for who has seen enough.
        let (line, enough) = match (line.contains("-sN"), line.starts_with("curl")) {
            (true, _) => (format!("{line} --max-time 2"), 28),
            (_, true) => (format!("{line} --fail"), 0),
            _ => (line, 0),
        };
        let typed = node.shell(&line);
        assert_eq!(typed.code, Some(enough), "{line}: {}{}", typed.out, typed.err);
        assert!(!typed.out.is_empty(), "{line}");
    }
}

/// Three nodes that know each other's addresses, each a cluster of its own.
fn strangers() -> Cluster {
    let mut cluster = Cluster::configured(3, &ClusterConf::default());
    for node in &mut cluster.nodes {
        let alone = format!("nodes = {}", node.name());
        let text = node.read("etc/cluster.conf").replace("nodes = n1 n2 n3", &alone);
        assert!(text.contains(&alone), "{text}");
        let own = format!("{}-own-secret-own-secret-own-secret", node.name());
        node.write("etc/cluster.conf", &text.replace(node.secret(), &own));
        node.start();
    }
    cluster
}

#[test]
fn what_three_nodes_are_told_happens() {
    let cluster = strangers();
    let first = format!("{}:{}", cluster.address(0), cluster.port(0));
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret").display().to_string();
    let mut node = &cluster.nodes[0];
    for line in blocks("cluster") {
        if let Some(name) = line.strip_prefix("# on ") {
            node = cluster.nodes.iter().find(|node| node.name() == name).expect("a node");
            continue;
        }
        let line = line
            .replace("n1:1214", &first)
            .replace("--secret-file secret", &format!("--secret-file {secret}"));
        types(node, &line.replace("> secret", &format!("> {secret}")));
    }
    cluster.wait_beating();
    assert_eq!(node.wait_avail("shop", "up")["avail"], "up");
    node.om_ok(&["shop", "stop", "--wait"]);
}
