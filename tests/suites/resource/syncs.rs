//! `sync.rsync`: what is copied, where to, and what the other node is told.

use model::Status;

use crate::resource::node::Node;

/// A service of two nodes, up here, with stand-ins for rsync and ssh.
fn node(keywords: &str) -> Node {
    let node = Node::new(&format!(
        "[DEFAULT]\nnodes = n1 n2\n[fs#1]\ntype = flag\n\
         [sync#1]\ntype = rsync\nsrc = {{dir}}/data/a*\ndst = /copy\ntarget = nodes\n{keywords}\n"
    ));
    for name in ["data/a1", "data/a2", "data/b"] {
        std::fs::create_dir_all(node.file(name)).unwrap();
    }
    node.tool("rsync", "exit 0");
    node.tool("ssh", "exit 0");
    assert_eq!(node.om(&["svc1", "start", "--local"]).0, 0);
    node
}

fn sync(node: &Node) -> (i32, String) {
    node.om(&["svc1", "sync", "all", "--rid", "sync#1", "--local"])
}

#[test]
fn patterns_of_sources_are_replaced_by_what_they_match() {
    let node = node("");
    let (code, said) = sync(&node);
    assert_eq!(code, 0, "{said}");
    let first = &node.calls(&["rsync"])[0];
    let file = |name: &str| node.file(name).display().to_string();
    let expected = format!("{} {} root@n2:/copy", file("data/a1"), file("data/a2"));
    assert!(first.ends_with(&expected), "{first}");
}

#[test]
fn what_matches_nothing_and_what_has_no_place_is_not_copied() {
    for (keywords, expected) in [
        ("src = {dir}/none*", "matches no file"),
        ("dst = {env.nothing}", "is no absolute path"),
        ("dst = copy", "is no absolute path"),
        ("snap = true", "makes no snapshots"),
    ] {
        let node = node("");
        let text = std::fs::read_to_string(node.host.paths.config_file(&node.path)).unwrap();
        let key = keywords.split(' ').next().unwrap();
        let kept = text.lines().filter(|line| !line.starts_with(&format!("{key} ")));
        let text = kept.collect::<Vec<_>>().join("\n");
        node.configure(&node.path, &format!("{text}\n{keywords}\n"));
        let (code, said) = sync(&node);
        assert_eq!(code, 1, "{keywords}: {said}");
        assert!(said.contains(expected), "{keywords}: {said}");
        assert_eq!(node.calls(&["rsync", "ssh"]), [] as [&str; 0], "{keywords}");
    }
}

#[test]
fn nothing_is_copied_where_the_file_system_is_not_mounted() {
    for (ssh, expected) in [
        ("exit 1", "dstfs /the copy is not mounted there"),
        ("exit 32", "dstfs /the copy is not mounted there"),
        ("echo no route >&2; exit 255", "is not known to be mounted there: no route"),
        ("exit 127", "is not known to be mounted there"),
    ] {
        let node = node("dstfs = /the copy");
        node.tool("ssh", ssh);
        let (code, said) = sync(&node);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(node.calls(&["rsync"]), [] as [&str; 0], "{ssh}");
        let asked = node.calls(&["ssh"]);
        assert!(asked[0].ends_with("root@n2 mountpoint -q '/the copy'"), "{asked:?}");
    }
    let node = node("dstfs = /the copy");
    assert_eq!(sync(&node).0, 0);
    let names: Vec<String> = node.lines("calls");
    assert!(names[0].starts_with("ssh ") && names[1].starts_with("rsync "), "{names:?}");
}

#[test]
fn the_node_that_was_copied_to_is_told_when() {
    let node = node("");
    assert_eq!(node.state("sync#1"), Status::Down);
    assert_eq!(sync(&node).0, 0);
    assert_eq!(node.state("sync#1"), Status::Up);
    let stamps = ["n1", "n2"].map(|name| node.var("sync#1").join(format!("last_sync_{name}")));
    let told = node.calls(&["rsync"])[1].clone();
    let expected = format!("{} {} root@n2:/", stamps[0].display(), stamps[1].display());
    assert!(told.contains("--relative") && told.ends_with(&expected), "{told}");
    // As deployed agents write it: `2026-11-28 19:05:06.123456`.
    let text = std::fs::read_to_string(&stamps[1]).unwrap();
    assert_eq!((text.len(), &text[10..11], &text[19..20]), (27, " ", "."), "{text}");
    // There, the stamp is read: the passive node has nothing to say.
    std::fs::rename(&stamps[1], &stamps[0]).unwrap();
    assert_eq!(node.om(&["svc1", "stop", "--local"]).0, 0);
    assert_eq!(node.state("sync#1"), Status::NotApplicable);
    assert_eq!(node.log("sync#1"), [] as [&str; 0]);
    // And one that was never told says so.
    std::fs::remove_file(&stamps[0]).unwrap();
    assert_eq!(node.state("sync#1"), Status::Warn);
}

#[test]
fn a_copy_that_fails_is_no_copy() {
    let node = node("");
    node.tool("rsync", "exit 23");
    assert_eq!(sync(&node).0, 1);
    assert_eq!(node.state("sync#1"), Status::Down);
}

#[test]
fn a_sync_that_nobody_wrote_colours_nothing() {
    let config = "[DEFAULT]\nnodes = n1 n2\n[fs#1]\ntype = flag\n";
    let node = Node::new(config);
    let states = |node: &Node| {
        let status = node.status();
        let sync = status.resources.unwrap()["sync#i0"].clone();
        (status.overall.unwrap(), sync.status.clone(), sync.log.clone())
    };
    let passive = vec!["info: passive node needs update".to_owned()];
    assert_eq!(states(&node), (Status::Down, Status::NotApplicable, passive));
    assert_eq!(node.om(&["svc1", "start", "--local"]).0, 0);
    let active = vec!["info: n2 need update".to_owned()];
    assert_eq!(states(&node), (Status::Up, Status::NotApplicable, active));
    // One that is written is asked for.
    node.configure(&node.path, &format!("{config}[sync#i0]\nschedule = @60\n"));
    assert_eq!(states(&node).1, Status::Down);
}

#[test]
fn nothing_is_copied_from_below_a_mount_point_that_nothing_is_mounted_on() {
    for optional in ["", "optional = true\n"] {
        for src in ["{dir}/data", "{dir}/data/", "{dir}/data/a*", "{dir}/link"] {
            let node = node("");
            std::os::unix::fs::symlink(node.file("data/a1"), node.file("link")).unwrap();
            let text = format!(
                "[DEFAULT]\nnodes = n1 n2\n[fs#1]\ntype = flag\n\
                 [fs#2]\ntype = ext4\ndev = /dev/no.such\nmnt = {{dir}}/data\n{optional}\
                 [sync#1]\ntype = rsync\nsrc = {src}\ndst = /copy\ntarget = nodes\noptions = --delete\n"
            );
            node.configure(&node.path, &text);
            let words = ["svc1", "sync", "all", "--rid", "sync#1", "--local", "--force"];
            let (code, said) = node.om(&words);
            assert_eq!(code, 1, "{src}: {said}");
            assert!(said.contains("the mount point of fs#2, which is down"), "{src}: {said}");
            assert_eq!(node.calls(&["rsync", "ssh"]), [] as [&str; 0], "{src}");
        }
    }
}
