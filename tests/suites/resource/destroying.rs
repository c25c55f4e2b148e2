//! What destroys asks the system first: formats, images and containers.

use std::os::unix::fs::{FileExt, symlink};
use std::process::Command;

use model::InstanceAction::{Provision, SetUnprovisioned, Start, Stop, Unprovision};
use model::Provisioned;

use crate::resource::node::{Node, has_tool, is_root};

/// A file system on an image of 8 MiB, and a stand-in that notes what would be formatted.
fn node(kind: &str) -> Node {
    let node =
        Node::new(&format!("[fs#1]\ntype = {kind}\ndev = {{dir}}/image\nmnt = {{dir}}/mnt\n"));
    std::fs::File::create(node.file("image")).unwrap().set_len(8 << 20).unwrap();
    for tool in ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "mkfs.tmpfs", "mkfs.nfs", "mkfs.cifs"] {
        node.tool(tool, "exit 0");
    }
    node
}

fn formats(node: &Node) -> Vec<String> {
    node.lines("calls").into_iter().filter(|line| line.starts_with("mkfs")).collect()
}

#[test]
fn what_is_not_known_to_be_empty_is_not_formatted() {
    for (blkid, wipefs, expected) in [
        ("echo DEVNAME=x; echo TYPE=xfs", "", "holds xfs, and not ext4"),
        ("echo DEVNAME=x; echo TYPE=linux_raid_member", "", "holds linux_raid_member"),
        ("echo DEVNAME=x; echo TYPE=LVM2_member", "", "holds LVM2_member"),
        ("echo DEVNAME=x; echo PTTYPE=gpt", "", "has a partition table (gpt)"),
        ("echo TYPE=ext4; echo PTTYPE=dos", "", "holds ext4 and a partition table (dos)"),
        ("echo DEVNAME=x", "", "is not known"),
        // The place of a partition, told of what is none.
        ("echo DEVNAME=x; echo PART_ENTRY_SCHEME=dos", "", "is not known"),
        ("exit 0", "", "is not known"),
        ("echo TYPE=ext4; exit 2", "", "is not known"),
        ("exit 1", "", "exit code 1"),
        ("echo usage >&2; exit 4", "", "exit code 4: usage"),
        (
            "exit 8",
            r#"echo '{"signatures":[{"type":"ext4"},{"type":"iso9660"}]}'"#,
            "more than one signature: ext4, iso9660",
        ),
        ("exit 8", "exit 1", "more than one signature: of unknown types"),
        ("kill -9 $$", "", "exit code 137"),
        ("exit 127", "", "exit code 127"),
    ] {
        let node = node("ext4");
        node.tool("blkid", blkid);
        node.tool("wipefs", wipefs);
        let (code, said) = node.om(&["svc1", "provision", "--local"]);
        assert_eq!(code, 1, "{blkid}: {said}");
        assert!(said.contains(expected) && said.contains("/image"), "{blkid}: {said}");
        assert_eq!(formats(&node), [] as [&str; 0], "{blkid}");
    }
}

#[test]
fn without_blkid_nothing_is_formatted() {
    let node = node("ext4");
    // The stand-ins alone are found.
    let (code, said) =
        node.om_on(&node.file("bin").display().to_string(), &["svc1", "provision", "--local"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("what is on") && said.contains("is not known"), "{said}");
    assert_eq!(formats(&node), [] as [&str; 0]);
}

#[test]
fn what_is_empty_is_formatted_once_and_what_is_formatted_is_left_alone() {
    let node = node("xfs");
    node.tool("blkid", "exit 2");
    node.om(&["svc1", "provision", "--local"]);
    assert_eq!(formats(&node), [format!("mkfs.xfs {}", node.file("image").display())]);
    node.tool("blkid", "echo TYPE=xfs");
    node.om(&["svc1", "set", "unprovisioned", "--local"]);
    let (_, said) = node.om(&["svc1", "provision", "--local"]);
    assert!(said.contains("is already formatted"), "{said}");
    assert_eq!(formats(&node).len(), 1);
}

#[test]
fn what_cannot_be_read_or_is_no_device_is_not_formatted() {
    for make in [
        |node: &Node| _ = std::fs::File::create(node.file("image")).unwrap(),
        |node: &Node| {
            std::fs::remove_file(node.file("image")).unwrap();
            std::fs::create_dir(node.file("image")).unwrap();
        },
        |node: &Node| {
            std::fs::remove_file(node.file("image")).unwrap();
            symlink("/dev/null", node.file("image")).unwrap();
        },
    ] {
        let node = node("ext4");
        make(&node);
        node.tool("blkid", "exit 2");
        let (code, said) = node.om(&["svc1", "provision", "--local"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("/image"), "{said}");
        assert_eq!(formats(&node), [] as [&str; 0], "{said}");
    }
}

#[test]
fn what_has_no_device_is_not_formatted() {
    for (kind, dev) in [
        ("tmpfs", "shmfs"),
        ("bind", "{dir}/image"),
        ("none", "{dir}/image"),
        ("nfs", "localhost:/export"),
        ("nfs4", "localhost:/export"),
        ("cifs", "//localhost/share"),
        ("shm", "shm"),
        ("9p", "share"),
        ("overlay", "overlay"),
        ("fuse.sshfs", "a:/b"),
    ] {
        let node = node(kind);
        let config = format!("[fs#1]\ntype = {kind}\ndev = {dev}\nmnt = {{dir}}/mnt\n");
        node.configure(&node.path, &config);
        for tool in ["mount", "blkid", "umount"] {
            node.tool(tool, "exit 1");
        }
        node.tool(&format!("mkfs.{kind}"), "exit 0");
        node.om(&["svc1", "provision", "--local"]);
        assert_eq!(formats(&node), [] as [&str; 0], "{kind}");
        assert_eq!(node.calls(&["blkid"]), [] as [&str; 0], "{kind}");
    }
}

#[test]
fn signatures_are_found_by_the_tools_of_the_system() {
    if !["blkid", "mkfs.ext4", "wipefs"].iter().all(|tool| has_tool(tool)) {
        println!("skipped: needs blkid, wipefs and mkfs.ext4");
        return;
    }
    let make = |name: &str, write: &dyn Fn(&std::fs::File)| {
        let node = node("ext4");
        if name != "table" {
            let words = ["-q", "-F", "-b", "4096"];
            let done = Command::new("mkfs.ext4").args(words).arg(node.file("image")).status();
            assert!(done.unwrap().success());
        }
        let file = std::fs::File::options().write(true).open(node.file("image")).unwrap();
        write(&file);
        let (code, said) = node.om(&["svc1", "provision", "--local"]);
        assert_eq!((code, formats(&node).len()), (1, 0), "{name}: {said}");
        said
    };
    // A second signature, of an ISO.
    let said = make("second", &|file| file.write_all_at(b"\x01CD001\x01", 32_768).unwrap());
    assert!(said.contains("more than one signature: ext4, iso9660"), "{said}");
    // A disk that has a partition table, and one partition in it.
    let said = make("table", &|file| {
        let entry = [0, 0, 2, 0, 0x83, 0, 2, 0, 0, 8, 0, 0, 0, 16, 0, 0];
        file.write_all_at(&entry, 446).unwrap();
        file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    });
    assert!(said.contains("has a partition table (dos)"), "{said}");
}

fn has_loops() -> bool {
    let has_tools = ["losetup", "blkid", "mkfs.ext4"].iter().all(|tool| has_tool(tool));
    let can = is_root() && has_tools && std::path::Path::new("/dev/loop-control").exists();
    if !can {
        println!("skipped: needs root, loop devices, losetup, blkid and mkfs.ext4");
    }
    can
}

/// A loop device of an image, until it is dropped.
struct Attached(String);

impl Attached {
    fn new(file: &std::path::Path, more: &[&str]) -> Self {
        let done =
            Command::new("losetup").args(["-f", "--show"]).args(more).arg(file).output().unwrap();
        Self(String::from_utf8(done.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
fn an_empty_device_that_is_in_use_is_not_formatted() {
    if !has_loops() {
        return;
    }
    let node = node("ext4");
    let shown = Attached::new(&node.file("image"), &[]);
    let mnt = node.file("other");
    std::fs::create_dir(&mnt).unwrap();
    let done = Command::new("mkfs.ext4").args(["-q", "-F", &shown.0]).status().unwrap();
    assert!(done.success());
    let done = Command::new("mount").arg(&shown.0).arg(&mnt).status().unwrap();
    assert!(done.success());
    // As if what is on it were not known.
    node.tool("blkid", "exit 2");
    let (code, said) = node.om(&["svc1", "provision", "--local"]);
    let of_device = format!("[fs#1]\ntype = ext4\ndev = {}\nmnt = {{dir}}/mnt\n", shown.0);
    node.configure(&node.path, &of_device);
    let (other_code, other_said) = node.om(&["svc1", "provision", "--local"]);
    Command::new("umount").arg(&mnt).status().unwrap();
    assert_eq!((code, other_code), (1, 1), "{said}{other_said}");
    let expected = format!("mounted at {}", mnt.display());
    assert!(said.contains(&expected) && other_said.contains(&expected), "{said}{other_said}");
    assert_eq!(formats(&node), [] as [&str; 0]);
}

#[test]
fn an_empty_partition_is_empty() {
    if !has_loops() {
        return;
    }
    let node = node("ext4");
    let file = std::fs::File::options().write(true).open(node.file("image")).unwrap();
    let entry = [0, 0, 2, 0, 0x83, 0, 2, 0, 0, 8, 0, 0, 0, 16, 0, 0];
    file.write_all_at(&entry, 446).unwrap();
    file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    let shown = Attached::new(&node.file("image"), &["-P"]);
    let partition = format!("{}p1", shown.0);
    if !std::path::Path::new(&partition).exists() {
        println!("skipped: this kernel shows no partitions of loop devices");
        return;
    }
    let config = format!("[fs#1]\ntype = ext4\ndev = {partition}\nmnt = {{dir}}/mnt\n");
    node.configure(&node.path, &config);
    let (_, said) = node.om(&["svc1", "provision", "--local"]);
    assert_eq!(formats(&node), [format!("mkfs.ext4 -F {partition}")], "{said}");
}

const LOOP: &str = "[disk#1]\ntype = loop\nfile = {dir}/data/image\nsize = 1m\n";

#[test]
fn an_image_that_was_there_before_is_not_removed() {
    if !has_loops() {
        return;
    }
    let node = Node::new(LOOP);
    std::fs::create_dir(node.file("data")).unwrap();
    std::fs::write(node.file("data/image"), vec![7; 1 << 20]).unwrap();
    assert_eq!([node.act(Provision), node.act(Unprovision)], [0, 0]);
    assert_eq!(std::fs::read(node.file("data/image")).unwrap(), vec![7; 1 << 20]);
    assert_eq!(node.status().provisioned, Some(Provisioned::No));
}

#[test]
fn the_image_that_was_made_is_removed_and_no_other_in_its_place() {
    if !has_loops() {
        return;
    }
    let node = Node::new(LOOP);
    let file = node.file("data/image");
    assert_eq!([node.act(Provision), node.act(Stop)], [0, 0]);
    // Somebody restores another one from a backup.
    std::fs::rename(&file, node.file("data/old")).unwrap();
    std::fs::write(&file, vec![7; 1 << 20]).unwrap();
    assert_eq!(node.act(Unprovision), 0);
    assert_eq!(std::fs::read(&file).unwrap().len(), 1 << 20);
    // And one that was made again is removed, whatever the flag says.
    std::fs::remove_file(&file).unwrap();
    assert_eq!([node.act(Provision), node.act(SetUnprovisioned)], [0, 0]);
    assert_eq!(node.act(Unprovision), 0);
    assert!(!file.exists());
}

#[test]
fn an_image_that_is_used_is_not_removed() {
    if !has_loops() {
        return;
    }
    let node = Node::new(LOOP);
    let file = node.file("data/image");
    assert_eq!([node.act(Provision), node.act(Stop)], [0, 0]);
    let input = std::fs::File::open(&file).unwrap();
    let mut user = Command::new("sleep").arg("1000.5").stdin(input).spawn().unwrap();
    let (code, said) = node.om(&["svc1", "unprovision", "--local"]);
    user.kill().unwrap();
    user.wait().unwrap();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("is open in process {}", user.id())), "{said}");
    assert!(file.exists());
    // Mounted by somebody: it is neither detached nor removed.
    assert_eq!(node.act(Start), 0);
    let shown = node.status().resources.unwrap()["disk#1"].info["dev"].as_str().unwrap().to_owned();
    let mnt = node.file("other");
    std::fs::create_dir(&mnt).unwrap();
    Command::new("mkfs.ext4").args(["-q", "-F", &shown]).status().unwrap();
    assert!(Command::new("mount").arg(&shown).arg(&mnt).status().unwrap().success());
    let codes = [node.act(Stop), node.act(Unprovision)];
    Command::new("umount").arg(&mnt).status().unwrap();
    assert_eq!(codes, [1, 1]);
    assert!(file.exists());
    assert_eq!([node.act(Stop), node.act(Unprovision)], [0, 0]);
    assert!(!file.exists());
}

#[test]
fn what_is_no_image_is_neither_taken_for_one_nor_removed() {
    let node = Node::new(LOOP);
    std::fs::create_dir_all(node.file("data/image")).unwrap();
    assert_eq!([node.act(Provision), node.act(Unprovision)], [1, 0]);
    assert!(node.file("data/image").is_dir());
}

#[test]
fn what_is_not_provisioned_here_is_not_unprovisioned_either() {
    if !has_loops() {
        return;
    }
    let node = Node::new(LOOP);
    assert_eq!([node.act(Provision), node.act(Stop)], [0, 0]);
    node.configure(&node.path, &format!("{LOOP}provision = false\n"));
    assert_eq!(node.act(Unprovision), 0);
    assert!(node.file("data/image").exists());
}
