//! A stop unmounts what is its own, and harms nobody else.

use std::path::Path;
use std::process::{Child, Command};

use model::InstanceAction::{Start, Stop};
use model::Status;

use crate::resource::node::{Node, has_tool, is_root};

const TMPFS: &str = "[fs#1]\ntype = tmpfs\ndev = shmfs\nmnt = {dir}/mnt\nsize = 1m\n";

/// Whether this machine lets tests mount.
fn can_mount() -> bool {
    let can = is_root() && ["mount", "umount", "fuser"].iter().all(|tool| has_tool(tool));
    if !can {
        println!("skipped: needs root, mount, umount and fuser");
    }
    can
}

/// A node whose mounts end with it, whatever the test found.
struct Mounted(Node);

impl Mounted {
    fn new(config: &str) -> Self {
        let node = Self(Node::new(config));
        assert_eq!(node.0.act(Start), 0);
        node
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let folder = self.0.folder.path().display().to_string();
        let targets = table.lines().filter_map(|line| line.split(' ').nth(4));
        let mut targets: Vec<&str> = targets.filter(|target| target.starts_with(&folder)).collect();
        targets.reverse();
        for target in targets {
            _ = Command::new("umount").args(["-l", target]).status();
        }
    }
}

fn run(words: &[&str]) {
    assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{words:?}");
}

/// A process that stands in a folder until it is dropped.
struct Standing(Child);

impl Standing {
    fn in_folder(folder: &Path) -> Self {
        let child = Command::new("sleep").arg("1000.25").current_dir(folder).spawn().unwrap();
        Self(child)
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn who_uses_the_file_system_itself_is_ended() {
    if !can_mount() {
        return;
    }
    let node = Mounted::new(TMPFS);
    let mut user = Standing::in_folder(&node.0.file("mnt"));
    assert_eq!(node.0.act(Stop), 0);
    assert!(!user.lives());
    assert_eq!(node.0.state("fs#1"), Status::Down);
}

#[test]
fn who_uses_another_file_system_that_is_bound_below_is_left_alone() {
    if !can_mount() {
        return;
    }
    let node = Mounted::new(TMPFS);
    // A file system of its own: a mistake ends nobody but those of this test.
    let host = node.0.file("host");
    std::fs::create_dir(&host).unwrap();
    run(&["mount", "-t", "tmpfs", "host", host.to_str().unwrap()]);
    std::fs::create_dir_all(host.join("work")).unwrap();
    let below = node.0.file("mnt/dev");
    std::fs::create_dir(&below).unwrap();
    run(&["mount", "--bind", host.to_str().unwrap(), below.to_str().unwrap()]);
    let mut inside = Standing::in_folder(&below.join("work"));
    let mut beside = Standing::in_folder(&host);
    let (code, said) = node.0.om(&["svc1", "stop", "--local"]);
    assert!(inside.lives() && beside.lives(), "{said}");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("mnt/dev"), "{said}");
    drop(inside);
    assert_eq!(node.0.act(Stop), 0);
    assert_eq!(node.0.state("fs#1"), Status::Down);
    assert!(beside.lives() && host.join("work").exists());
}

#[test]
fn who_uses_a_file_system_of_its_own_below_is_left_alone() {
    if !can_mount() {
        return;
    }
    let node = Mounted::new(TMPFS);
    let below = node.0.file("mnt/usb");
    std::fs::create_dir(&below).unwrap();
    run(&["mount", "-t", "tmpfs", "usb", below.to_str().unwrap()]);
    let mut user = Standing::in_folder(&below);
    assert_eq!(node.0.act(Stop), 1);
    assert!(user.lives());
    drop(user);
    assert_eq!(node.0.act(Stop), 0);
}

#[test]
fn who_uses_it_where_it_is_mounted_as_well_is_left_alone() {
    if !can_mount() {
        return;
    }
    let node = Mounted::new(TMPFS);
    let (mnt, other) = (node.0.file("mnt"), node.0.file("other"));
    std::fs::create_dir(&other).unwrap();
    run(&["mount", "--bind", mnt.to_str().unwrap(), other.to_str().unwrap()]);
    let mut elsewhere = Standing::in_folder(&other);
    let mut user = Standing::in_folder(&mnt);
    let (code, said) = node.0.om(&["svc1", "stop", "--local"]);
    assert_eq!(code, 1, "{said}");
    assert!(elsewhere.lives() && user.lives());
    let expected = format!("is mounted at {} as well", other.display());
    assert!(said.contains(&expected), "{said}");
    drop(user);
    assert_eq!(node.0.act(Stop), 0);
    assert!(elsewhere.lives());
}

#[test]
fn what_is_gone_after_a_failed_unmount_is_done() {
    if !can_mount() {
        return;
    }
    let node = Mounted::new(TMPFS);
    // Somebody else was faster. On the folder below it, everybody of the machine would be ended.
    node.0.tool("umount", "/bin/umount \"$@\"; exit 32");
    node.0.tool("fuser", "exit 0");
    let (code, said) = node.0.om(&["svc1", "stop", "--local"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(node.0.calls(&["fuser"]), [] as [&str; 0]);
    assert_eq!(node.0.calls(&["umount"]).len(), 1);
}

#[test]
fn nobody_is_ended_but_at_a_mount_point() {
    if !can_mount() {
        return;
    }
    let node = Mounted::new(TMPFS);
    node.0.tool("umount", "exit 32");
    node.0.tool("fuser", "echo 999999999");
    let (code, _) = node.0.om(&["svc1", "stop", "--local"]);
    assert_eq!(code, 1);
    let calls = node.0.calls(&["fuser"]);
    assert!(calls.iter().any(|call| call.starts_with("fuser -k")), "{calls:?}");
    assert!(calls.iter().all(|call| call.split(' ').nth(1).unwrap().contains('M')), "{calls:?}");
}

#[test]
fn who_runs_the_command_is_not_ended_by_it() {
    if !can_mount() {
        return;
    }
    let node = Mounted::new(TMPFS);
    let mnt = node.0.file("mnt");
    let script =
        format!("{} svc1 stop --local; code=$?; exit $((code + 40))", node.0.host.agent.display());
    let shell = |folder: &Path| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).current_dir(folder);
        command.env("OSVC_ROOT_PATH", node.0.folder.path()).env("OSVC_NODENAME", "n1");
        command.output().unwrap()
    };
    let done = shell(&mnt);
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert_eq!(done.status.code(), Some(41), "{said}");
    assert!(said.contains("leave that folder first"), "{said}");
    assert_eq!(node.0.state("fs#1"), Status::Up);
}

#[test]
fn what_is_mounted_twice_is_unmounted_twice() {
    if !can_mount() {
        return;
    }
    let node = Mounted::new(TMPFS);
    let mnt = node.0.file("mnt");
    run(&["mount", "-t", "tmpfs", "again", mnt.to_str().unwrap()]);
    assert_eq!(node.0.act_on(Stop, "fs#1"), 0);
    assert_eq!(node.0.state("fs#1"), Status::Down);
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains(mnt.to_str().unwrap()), "{table}");
}

#[test]
fn a_bind_mount_that_is_there_twice_is_unmounted_twice() {
    if !can_mount() {
        return;
    }
    let node = Node::new("[fs#1]\ntype = bind\ndev = {dir}/from\nmnt = {dir}/mnt\n");
    std::fs::create_dir_all(node.file("from/x")).unwrap();
    assert_eq!(node.act(Start), 0);
    let node = Mounted(node);
    let (from, mnt) = (node.0.file("from"), node.0.file("mnt"));
    run(&["mount", "--bind", from.to_str().unwrap(), mnt.to_str().unwrap()]);
    assert_eq!(node.0.act_on(Stop, "fs#1"), 0);
    assert!(!mnt.join("x").exists());
}

#[test]
fn what_another_mount_hides_is_a_warning_and_no_finished_stop() {
    if !can_mount() {
        return;
    }
    let node = Node::new("[fs#1]\ntype = bind\ndev = {dir}/from\nmnt = {dir}/mnt\n");
    std::fs::create_dir(node.file("from")).unwrap();
    assert_eq!(node.act(Start), 0);
    let node = Mounted(node);
    let mnt = node.0.file("mnt");
    run(&["mount", "-t", "tmpfs", "over", mnt.to_str().unwrap()]);
    assert_eq!(node.0.state("fs#1"), Status::Warn);
    assert_eq!(node.0.log("fs#1"), ["warn: tmpfs over is mounted over it"]);
    let (code, said) = node.0.om(&["svc1", "stop", "--rid", "fs#1", "--local"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("unmount that first"), "{said}");
    run(&["umount", mnt.to_str().unwrap()]);
    assert_eq!(node.0.act(Stop), 0);
}

#[test]
fn what_is_bound_with_all_below_it_goes_without_its_source() {
    if !can_mount() {
        return;
    }
    let node =
        Node::new("[fs#1]\ntype = bind\ndev = {dir}/from\nmnt = {dir}/mnt\nmnt_opt = rbind\n");
    let from = node.file("from");
    std::fs::create_dir(&from).unwrap();
    run(&["mount", "-t", "tmpfs", "from", from.to_str().unwrap()]);
    run(&["mount", "--make-shared", from.to_str().unwrap()]);
    std::fs::create_dir(from.join("sub")).unwrap();
    run(&["mount", "-t", "tmpfs", "sub", from.join("sub").to_str().unwrap()]);
    std::fs::write(from.join("sub/x"), "").unwrap();
    assert_eq!(node.act(Start), 0);
    let node = Mounted(node);
    assert!(node.0.file("mnt/sub/x").exists());
    assert_eq!(node.0.act(Stop), 0);
    assert!(!node.0.file("mnt/sub").exists());
    assert!(from.join("sub/x").exists(), "what it was bound from is unmounted as well");
}

#[test]
fn what_was_unmounted_lazily_and_is_still_used_is_not_stopped() {
    let tools = ["losetup", "mkfs.ext4", "blkid"];
    if !can_mount() || !tools.iter().all(|tool| has_tool(tool)) {
        println!("skipped: needs losetup, blkid and mkfs.ext4");
        return;
    }
    let node = Node::new("[fs#1]\ntype = ext4\ndev = {dir}/image\nmnt = {dir}/mnt\n");
    let image = node.file("image");
    std::fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    run(&["mkfs.ext4", "-q", "-F", image.to_str().unwrap()]);
    assert_eq!(node.act(Start), 0);
    let node = Mounted(node);
    let user = Standing::in_folder(&node.0.file("mnt"));
    run(&["umount", "-l", node.0.file("mnt").to_str().unwrap()]);
    let (code, said) = node.0.om(&["svc1", "stop", "--local"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("unmounted lazily"), "{said}");
    drop(user);
    assert_eq!(node.0.act(Stop), 0);
}
