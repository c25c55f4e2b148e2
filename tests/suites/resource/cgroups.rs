//! Process groups: `create_pg`, `pg_*`.

use std::path::{Path, PathBuf};

use drivers::cgroup::Cgroups;
use machine::cgroup::Hierarchy;
use model::InstanceAction::{Run, Start, Stop};
use model::Status;

use crate::resource::node::{Node, is_root, wait_until};

/// A service whose groups no other test uses.
fn node(test: &str, config: &str) -> Node {
    let path = format!("pg-{test}-{}", std::process::id());
    let mut node = Node::with_path(&path, config);
    node.host.replace_cgroups(Cgroups::mounted());
    node
}

/// Where this node may make groups in the hierarchy of a controller, if it may.
fn root(controller: &str) -> Option<PathBuf> {
    let root = Cgroups::mounted().root(controller)?.to_owned();
    let probe = root.join(format!("pg-probe-{controller}-{}", std::process::id()));
    let is_writable = is_root() && std::fs::create_dir(&probe).is_ok();
    _ = std::fs::remove_dir(probe);
    is_writable.then_some(root)
}

fn text(file: impl AsRef<Path>) -> String {
    std::fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

fn groups_of(pid: u32) -> String {
    text(format!("/proc/{pid}/cgroup"))
}

#[test]
fn a_started_process_is_in_the_group_of_its_resource_within_its_caps() {
    let Some(root) = root("memory") else {
        println!("skipped: needs root and a writable cgroup");
        return;
    };
    let node = node(
        "caps",
        "[DEFAULT]\npg_mem_limit = 512m\n[subset#app:g]\npg_mem_limit = 256m\n\
         [app#1]\ntype = simple\nsubset = g\nstart = /bin/sleep 1000.75\npg_mem_limit = 128m\n",
    );
    assert_eq!(node.act(Start), 0);
    let pid = *node.evaluate().watch.pids["app#1"].first().unwrap();
    let object = format!("opensvc.slice/{}.slice", node.path);
    let own = format!("{object}/app.g.slice/app.1.slice");
    let groups = groups_of(pid);
    assert!(groups.lines().any(|line| line.ends_with(&format!("/{own}"))), "{groups}");
    let limit = |group: &str| {
        let folder = root.join(group);
        let one = text(folder.join("memory.limit_in_bytes"));
        if one.is_empty() { text(folder.join("memory.max")) } else { one }
    };
    let limits = [&object, &format!("{object}/app.g.slice"), &own].map(|group| limit(group));
    assert_eq!(limits, ["536870912", "268435456", "134217728"]);
    let usage = Hierarchy::mounted().usage(&node.path);
    assert!(usage.is_some_and(|usage| usage.memory > 0), "as `daemon stats` reads it: {usage:?}");
    assert_eq!(node.act(Stop), 0);
    wait_until("the groups are gone", || {
        // The kernel keeps a group until its last process is reaped.
        _ = node.act(Stop);
        !root.join(&object).exists()
    });
}

#[test]
fn an_app_whose_group_is_frozen_is_not_asked() {
    let Some(root) = root("freezer") else {
        println!("skipped: needs root and a writable cgroup");
        return;
    };
    let node = node("frozen", "[app#1]\ntype = simple\nstart = /bin/sleep 1001.25\n");
    assert_eq!(node.act(Start), 0);
    let group = format!("opensvc.slice/{}.slice", node.path);
    let set = |frozen: bool| {
        let (one, two) =
            (root.join(&group).join("freezer.state"), root.join(&group).join("cgroup.freeze"));
        if one.exists() {
            std::fs::write(one, if frozen { "FROZEN" } else { "THAWED" }).unwrap();
        } else {
            std::fs::write(two, if frozen { "1" } else { "0" }).unwrap();
        }
    };
    set(true);
    assert_eq!(node.log("app#1"), [format!("warn: process group {group} is frozen")]);
    assert_eq!(node.state("app#1"), Status::NotApplicable);
    set(false);
    assert_eq!(node.state("app#1"), Status::Up);
    assert_eq!(node.act(Stop), 0);
}

#[test]
fn a_service_that_wants_no_group_has_none() {
    let Some(root) = root("memory") else {
        println!("skipped: needs root and a writable cgroup");
        return;
    };
    let node = node(
        "without",
        "[DEFAULT]\ncreate_pg = false\n[app#1]\ntype = simple\nstart = /bin/sleep 1001.5\n",
    );
    assert_eq!(node.act(Start), 0);
    assert!(!root.join(format!("opensvc.slice/{}.slice", node.path)).exists());
    assert_eq!(node.act(Stop), 0);
}

#[test]
fn the_second_version_of_control_groups_is_entered_through_one_file() {
    // A folder that has the files of such a hierarchy, so that what is written stays to be read.
    let mut node = Node::new(
        "[DEFAULT]\npg_cpu_quota = 50%@2\n[task#1]\ntype = host\ncommand = /bin/true\npg_mem_limit = 64m\n\
         pg_vmem_limit = 96m\npg_cpu_shares = 512\npg_blkio_weight = 500\n",
    );
    let root = node.file("cgroup");
    let object = root.join("opensvc.slice/svc1.slice");
    let own = object.join("task.slice/task.1.slice");
    std::fs::create_dir_all(&own).unwrap();
    for file in ["cgroup.procs", "memory.max", "memory.swap.max", "cpu.weight", "io.weight"] {
        std::fs::write(own.join(file), "").unwrap();
    }
    for file in ["cpu.max", "cgroup.subtree_control"] {
        std::fs::write(object.join(file), "").unwrap();
    }
    std::fs::write(object.join("cgroup.controllers"), "memory misc\n").unwrap();
    node.host.replace_cgroups(Cgroups::unified(&root));
    assert_eq!(node.act(Run), 0);
    let own = |file: &str| text(own.join(file));
    assert_eq!(
        [own("memory.max"), own("memory.swap.max"), own("cpu.weight"), own("io.weight")],
        ["67108864", "33554432", "20", "default 4950"]
    );
    assert_eq!(own("cgroup.procs"), "0");
    assert_eq!(text(object.join("cpu.max")), "100000 100000");
    assert_eq!(text(object.join("cgroup.subtree_control")), "+memory");
}

#[test]
fn nothing_is_refused_for_want_of_control_groups() {
    for cgroups in [Cgroups::unified("/proc/no-such-folder"), Cgroups::none()] {
        let mut node = Node::new(
            "[app#1]\ntype = simple\nstart = /bin/sleep 1001.75\npg_mem_limit = lots\npg_cpus = 0\n",
        );
        node.host.replace_cgroups(cgroups);
        assert_eq!(node.act(Start), 0);
        assert_eq!(node.state("app#1"), Status::Up);
        assert_eq!(node.act(Stop), 0);
    }
}
