//! Promise: a cluster is looked at and operated from a machine that is none of its nodes, in the name of a user.

use std::fs::File;
use std::net::TcpListener;
use std::process::Command;

use harness::{Node, Port, wait_for};

/// A node that listens for TLS, and a machine that only has `om`.
struct World {
    node: Node,
    laptop: Node,
    port: Port,
}

impl World {
    fn start() -> Self {
        let (mut node, port) = Node::for_users("n1", "");
        let object = "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n";
        for path in ["test/svc/web", "prod/svc/db"] {
            node.write(&format!("etc/namespaces/{path}.conf"), object);
        }
        node.start();
        node.om_ok(&["cluster", "tls"]);
        node.om_ok(&["system/sec/cert-demo", "set", "--kw", "alt_names=127.0.0.1"]);
        node.om_ok(&["system/sec/cert-demo", "gen", "cert"]);
        for (user, grant) in [("alice", "root"), ("gtest", "guest:test")] {
            node.add_user(user, grant);
        }
        let laptop = Node::new("laptop");
        let contexts = laptop.path("tmp/contexts");
        let mut it = Self { laptop, node, port };
        for file in ["etc/node.conf", "etc/cluster.conf"] {
            std::fs::remove_file(it.laptop.path(file)).expect("it was there");
        }
        it.laptop.set_env("OSVC_CONTEXTS", contexts.to_str());
        let ca = it.node.om_ok(&["system/sec/ca-demo", "decode", "--key", "certificate_chain"]);
        it.laptop.write("tmp/ca.pem", &ca);
        it.laptop.write("tmp/cert.pem", &it.node.om_ok(&["system/usr/alice", "fullpem"]));
        it.laptop.write("tmp/gtest", "pw-gtest\n");
        let folder = it.laptop.path("tmp");
        let (folder, uri) = (folder.display(), it.uri());
        // Of the first, nobody is at the first address.
        let refusing = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let refusing = refusing.expect("an address");
        let contexts = format!(
            "[demo]\nserver = https://{refusing} {uri}\ncacert = {folder}/ca.pem\ncert = {folder}/cert.pem\n\n\
             [guest]\nserver = {uri}\ncacert = {folder}/ca.pem\nuser = gtest\npassword_file = {folder}/gtest\n\
             namespace = test\n"
        );
        it.laptop.write("tmp/contexts", &contexts);
        it.laptop.set_env("OSVC_CONTEXT", Some("demo"));
        wait_for("it is reached", || it.laptop.om(&["mon"]).code == Some(0));
        it
    }

    fn uri(&self) -> String {
        format!("https://127.0.0.1:{}", self.port.number())
    }

    fn in_context(&mut self, name: Option<&str>) {
        self.laptop.set_env("OSVC_CONTEXT", name);
    }
}

#[test]
fn a_cluster_is_operated_from_a_machine_outside() {
    let world = World::start();
    let om = |words: &[&str]| world.laptop.om_ok(words);
    assert!(om(&["mon", "*/svc/*"]).contains("web"));
    om(&["test/svc/web", "provision", "--wait", "--time", "30s"]);
    assert_eq!(world.node.instance("test/svc/web")["avail"], "up");
    assert!(om(&["test/svc/web", "print", "status"]).contains("fs#1"));
    assert_eq!(world.laptop.om(&["test/svc/web", "status"]).code, Some(0));
    om(&["test/svc/web", "stop", "--wait", "--time", "30s"]);
    assert!(om(&["test/svc/web", "explain"]).contains("web"));
    om(&["test/svc/web", "freeze", "--wait", "--time", "30s"]);
    assert!(om(&["test/svc/web", "logs"]).contains("n1"));
    assert!(om(&["node", "ls"]).contains("n1"));
    assert!(om(&["ls"]).contains("prod/svc/db"));
    assert!(om(&["daemon", "status", "--filter", "cluster.name"]).contains("demo"));
    assert!(om(&["test/svc/web", "get", "--kw", "nodes", "--node", "n1"]).contains("n1"));
    assert_eq!(om(&["test/svc/web", "get", "--kw", "nodes"]).trim(), "n1");
    om(&["test/svc/web", "set", "--kw", "env.where=outside"]);
    assert!(om(&["test/svc/web", "print", "config"]).contains("outside"));
    assert!(world.node.read("etc/namespaces/test/svc/web.conf").contains("outside"));
    assert_eq!(om(&["node", "get", "--kw", "listener.addr"]).trim(), "127.0.0.1");
    assert_eq!(om(&["cluster", "get", "--kw", "cluster.name", "--node", "*"]).trim(), "demo");
    assert_eq!(world.laptop.om(&["cluster", "validate", "config"]).code, Some(0));
    assert!(om(&["node", "history"]).contains("n1  daemon started"));
    assert!(om(&["node", "doctor"]).contains("the daemon runs"));
    assert!(world.laptop.om(&["cluster", "whatif", "--down", "n1"]).out.contains("if n1 died"));
    assert_eq!(om(&["api", "/api/cluster/status", "--filter", "cluster.name"]).trim(), "demo");
    om(&["test/cfg/c1", "create"]);
    wait_for("it is there, and not here", || {
        world.laptop.om(&["test/cfg/c1", "add", "--key", "k", "--value", "v"]).code == Some(0)
    });
    assert_eq!(om(&["test/cfg/c1", "decode", "--key", "k"]).trim(), "v");
    for (words, why) in [
        (&["cluster", "roll", "--run", "true"][..], "log in there"),
        (&["node", "drain"][..], "--node says which"),
    ] {
        let refused = world.laptop.om(words);
        assert!(refused.err.contains(why), "{words:?}: {}", refused.err);
    }
    // Nothing of that is here.
    assert!(!world.laptop.path("etc/namespaces").exists());
}

#[test]
fn configurations_are_edited_from_outside() {
    let mut world = World::start();
    let home = world.laptop.path("home");
    world.laptop.set_env("XDG_STATE_HOME", home.to_str());
    let editor = world.laptop.path("editor");
    // The lines behind an editor's name are what it does to the file.
    let edits = |script: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    world.laptop.set_env("EDITOR", editor.to_str());
    let web = "etc/namespaces/test/svc/web.conf";
    let edit = |words: &[&str]| world.laptop.om(words);
    edits("printf '# why\\n[env]\\nwhere = outside\\n' >> $1");
    let done = edit(&["test/svc/web", "edit", "config"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("+where = outside"), "{done:?}");
    assert!(world.node.read(web).ends_with("# why\n[env]\nwhere = outside\n"));
    // What is no good stays with who typed it, who goes on with it.
    edits("sed -i 's/^nodes/priority = abc\\nnodes/' $1");
    let refused = edit(&["test/svc/web", "edit", "config"]);
    assert!(refused.code == Some(1) && refused.err.contains("--recover"), "{refused:?}");
    // Somebody else wrote meanwhile.
    world.node.om_ok(&["test/svc/web", "set", "--kw", "env.who=other"]);
    let late = edit(&["test/svc/web", "edit", "config", "--recover"]);
    assert!(late.code == Some(1) && late.err.contains("somebody else"), "{late:?}");
    let theirs =
        late.err.lines().find_map(|line| line.split_once("say so: `")?.1.strip_suffix('`'));
    assert!(Command::new("sh").args(["-c", theirs.expect("a hint")]).status().unwrap().success());
    edits("sed -i 's/priority.*//; s/where = outside/where = inside\\nwho = other/' $1");
    let done = edit(&["test/svc/web", "edit", "config", "--recover"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let text = world.node.read(web);
    assert!(text.contains("where = inside") && text.contains("who = other"), "{text}");
    assert!(std::fs::read_dir(home.join("opensvc/edits")).unwrap().next().is_none());
    // What is read is what is in force.
    let good = world.node.read(web);
    world.node.write(web, &format!("{good}[app#1]\ntype = simpel\n"));
    edits("sed -i 's/inside/outside/' $1");
    wait_for("the mistake is told", || world.node.om_ok(&["mon"]).contains("simpel"));
    let refused = edit(&["test/svc/web", "edit", "config"]);
    assert!(refused.code == Some(1) && refused.err.contains("mend it first"), "{refused:?}");
    world.node.write(web, &good);
    wait_for("it is good again", || !world.node.om_ok(&["mon"]).contains("simpel"));
    assert_eq!(edit(&["test/svc/web", "edit", "config", "--discard"]).code, Some(0));
    // The cluster and the node are changed keyword by keyword.
    edits("printf '[env]\\nsite = east\\n' >> $1");
    for (words, file) in [
        (["cluster", "edit", "config"], "etc/cluster.conf"),
        (["node", "edit", "config"], "etc/node.conf"),
    ] {
        let done = edit(&words);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(world.node.read(file).contains("site = east"), "{words:?}");
    }
    edits("sed -i '/site/d' $1");
    assert_eq!(edit(&["cluster", "edit", "config"]).code, Some(0));
    assert!(!world.node.read("etc/cluster.conf").contains("site"));
    let om = |words: &[&str]| world.laptop.om_ok(words);
    assert!(om(&["test/svc/web", "config", "history"]).contains("env.where"));
    assert!(om(&["test/svc/web", "config", "show", "--diff"]).contains("+where = outside"));
    om(&["test/svc/web", "config", "revert", "1"]);
    assert!(!world.node.read(web).contains("outside"));
}

#[test]
fn streams_are_followed_from_outside() {
    let world = World::start();
    let file = |name: &str| File::create(world.laptop.path(name)).expect("a file");
    let follow = |words: &[&str], name: &str| {
        world.laptop.spawn_with(words, file(name), file(&format!("{name}.err")))
    };
    let mut followed = [
        follow(&["node", "events"], "tmp/events"),
        follow(&["test/svc/web", "logs", "--follow"], "tmp/logs"),
        follow(&["mon", "--watch", "--format", "json"], "tmp/mon"),
    ];
    let mut is_frozen = false;
    wait_for("all three tell of a freeze", || {
        is_frozen = !is_frozen;
        let action = if is_frozen { "freeze" } else { "thaw" };
        world.node.om_ok(&["test/svc/web", action, "--wait", "--time", "20s"]);
        let has = |name: &str, text: &str| world.laptop.read(name).contains(text);
        has("tmp/events", "instance_freeze")
            && has("tmp/logs", "freeze")
            && has("tmp/mon", "\"frozen\"")
    });
    for child in &mut followed {
        child.kill().expect("it runs");
        child.wait().expect("its end");
    }
}

#[test]
fn who_asks_is_shown_what_it_may_and_told_what_is_wrong() {
    let mut world = World::start();
    world.in_context(Some("guest"));
    let listed = world.laptop.om_ok(&["ls"]);
    assert!(listed.contains("test/svc/web") && !listed.contains("prod"), "{listed}");
    assert!(world.laptop.om_ok(&["web", "print", "status"]).contains("fs#1"), "its namespace");
    let refused = world.laptop.om(&["web", "freeze"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("Forbidden"), "{}", refused.err);
    let fails = |world: &World, words: &[&str], text: &str| {
        let output = world.laptop.om(words);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.err.contains(text), "{}", output.err);
        assert!(!output.err.contains("pw-"), "{}", output.err);
    };
    world.laptop.write("tmp/gtest", "pw-wrong\n");
    fails(&world, &["ls"], "does not know who asks");
    world.in_context(None);
    let uri = world.uri();
    world.laptop.write("tmp/contexts", "");
    fails(&world, &["mon", "--server", &uri], "OSVC_CACERT");
    let ca = world.laptop.path("tmp/ca.pem");
    let file = ca.display().to_string();
    fails(&world, &["mon", "--server", &uri, "--cacert", &file], "does not know who asks");
    world.laptop.set_env("OSVC_CACERT", ca.to_str());
    fails(&world, &["mon", "--server", &uri], "does not know who asks");
    world.laptop.set_env("OSVC_USER", Some("alice"));
    fails(&world, &["mon", "--server", &uri], "no terminal to ask");
    world.laptop.set_env("OSVC_PASSWORD", Some("pw-alice"));
    world.laptop.om_ok(&["mon", "--server", &uri]);
    fails(&world, &["mon", "--server", "https://127.0.0.1:1"], "cannot connect");
    world.in_context(Some("nowhere"));
    fails(&world, &["mon"], "no context nowhere");
}

#[test]
fn a_context_is_chosen_and_left() {
    let mut world = World::start();
    world.in_context(None);
    let om = |words: &[&str]| world.laptop.om(words);
    assert_eq!(om(&["mon"]).code, Some(1), "no daemon is here");
    assert_eq!(om(&["ctx", "use", "demo"]).code, Some(0));
    assert!(om(&["ctx"]).out.starts_with("* demo  https://"), "{}", om(&["ctx"]).out);
    assert_eq!(om(&["mon"]).code, Some(0));
    let unknown = om(&["ctx", "use", "dema"]);
    assert!(unknown.err.contains("no context dema"), "{}", unknown.err);
    assert_eq!(om(&["ctx", "unset"]).code, Some(0));
    assert_eq!(om(&["mon"]).code, Some(1));
    assert!(world.laptop.read("tmp/contexts").contains("[guest]"), "the rest is kept");
}
