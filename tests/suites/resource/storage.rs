//! `fs.*`, `disk.loop`, `ip.host`, containers, volumes: what needs root or a tool says that it was skipped.

use model::InstanceAction::{Provision, Restart, Start, Stop, Unprovision};
use model::{Provisioned, Status};

use crate::resource::node::{Node, has_tool, is_root};

#[test]
fn a_flag_is_up_while_its_file_exists() {
    let node = Node::new("[fs#1]\ntype = flag\n");
    let before = node.evaluate();
    assert_eq!(before.status.avail, Some(Status::Down));
    assert_eq!(before.status.provisioned, Some(Provisioned::No));
    assert_eq!(node.act(Start), 0);
    let after = node.evaluate();
    assert_eq!(after.status.avail, Some(Status::Up));
    assert_eq!(after.status.provisioned, Some(Provisioned::Yes));
    let file = after.watch.files["fs#1"].first().unwrap().clone();
    assert!(file.exists());
    std::fs::remove_file(file).unwrap();
    assert_eq!(node.state("fs#1"), Status::Down);
    assert_eq!(node.act(Stop), 0);
}

#[test]
fn a_directory_is_made_with_its_mode_and_stays() {
    let node = Node::new("[fs#1]\ntype = directory\npath = {dir}/data/a\nperm = 750\n");
    assert_eq!(node.state("fs#1"), Status::Down);
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.state("fs#1"), Status::NotApplicable);
    use std::os::unix::fs::PermissionsExt;
    let folder = node.file("data/a");
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o750);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(node.state("fs#1"), Status::Warn);
    assert_eq!(node.act(Stop), 0);
    assert!(folder.is_dir());
}

/// A folder that others may write, with links of theirs to what is none of their business.
fn theirs(node: &Node, links: &[(&str, &str)]) {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let mode = |name: &str, mode| {
        std::fs::set_permissions(node.file(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    std::fs::create_dir_all(node.file("theirs")).unwrap();
    mode("theirs", 0o777);
    std::fs::create_dir(node.file("target")).unwrap();
    mode("target", 0o700);
    std::fs::write(node.file("target/secret"), "kept").unwrap();
    mode("target/secret", 0o600);
    for (link, to) in links {
        symlink(node.file(to), node.file(link)).unwrap();
    }
}

fn mode(node: &Node, name: &str) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(node.file(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_directory_is_neither_made_nor_changed_through_a_link_of_others() {
    let node = Node::new(
        "[fs#1]\ntype = directory\npath = {dir}/theirs/a\nperm = 777\n\
         [fs#2]\ntype = directory\npath = {dir}/theirs/a/b\nperm = 777\n\
         [fs#3]\ntype = directory\npath = {dir}/theirs/c\nperm = 750\n",
    );
    theirs(&node, &[("theirs/a", "target")]);
    assert_eq!(node.act_on(Start, "fs#1"), 1);
    assert_eq!(node.act_on(Start, "fs#2"), 1);
    assert_eq!(mode(&node, "target"), 0o700);
    assert_eq!(std::fs::read_dir(node.file("target")).unwrap().count(), 1);
    // What is no link is made there as ever.
    assert_eq!(node.act_on(Start, "fs#3"), 0);
    assert_eq!(mode(&node, "theirs/c"), 0o750);
}

#[test]
fn a_flag_is_neither_raised_nor_believed_where_others_may_write() {
    let node = Node::new("[fs#1]\ntype = flag\n");
    let flags = node.host.paths.tmp.join("flags");
    theirs(&node, &[]);
    std::os::unix::fs::symlink(node.file("theirs"), &flags).unwrap();
    std::os::unix::fs::symlink(node.file("target"), node.file("theirs/svc")).unwrap();
    assert_eq!(node.act(Start), 1);
    assert_eq!(std::fs::read_dir(node.file("target")).unwrap().count(), 1);
    std::fs::remove_file(node.file("theirs/svc")).unwrap();
    std::fs::create_dir_all(node.file("theirs/svc/svc1")).unwrap();
    std::fs::write(node.file("theirs/svc/svc1/fs#1.flag"), "").unwrap();
    assert_ne!(node.state("fs#1"), Status::Up);
}

#[test]
fn an_image_is_not_made_through_a_link_and_no_launcher_opens_what_it_links_to() {
    let node = Node::new(
        "[disk#1]\ntype = loop\nfile = {dir}/theirs/link/disk.img\nsize = 1m\n\
         [app#1]\ntype = forking\nstart = {dir}/theirs/run\n",
    );
    theirs(&node, &[("theirs/link", "target"), ("theirs/run", "target/secret")]);
    assert_eq!(node.act_on(Provision, "disk#1"), 1);
    assert_eq!(std::fs::read_dir(node.file("target")).unwrap().count(), 1);
    assert_eq!(node.act_on(Start, "app#1"), 1);
    assert_eq!(mode(&node, "target/secret"), 0o600);
}

#[test]
fn a_bind_mount_comes_and_goes() {
    if !is_root() || !has_tool("mount") {
        println!("skipped: needs root and mount");
        return;
    }
    let node = Node::new("[fs#1]\ntype = bind\ndev = {dir}/from\nmnt = {dir}/to\n");
    std::fs::create_dir(node.file("from")).unwrap();
    std::fs::write(node.file("from/x"), "x").unwrap();
    assert_eq!(node.state("fs#1"), Status::Down);
    if node.act(Start) != 0 {
        println!("skipped: this machine does not let root mount");
        return;
    }
    assert_eq!(node.state("fs#1"), Status::Up);
    assert!(node.file("to/x").exists());
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("fs#1"), Status::Down);
    assert!(!node.file("to/x").exists());
}

#[test]
fn an_image_is_provisioned_formatted_mounted_and_removed() {
    let tools = ["mount", "losetup", "mkfs.ext4", "blkid"];
    if !is_root() || !tools.iter().all(|tool| has_tool(tool)) {
        println!("skipped: needs root, losetup, blkid and mkfs.ext4");
        return;
    }
    if !std::path::Path::new("/dev/loop-control").exists() {
        println!("skipped: no loop devices");
        return;
    }
    let node = Node::new(
        "[disk#1]\ntype = loop\nfile = {dir}/disk.img\nsize = 20m\n\
         [fs#1]\ntype = ext4\ndev = {dir}/disk.img\nmnt = {dir}/mnt\n",
    );
    assert_eq!(node.status().provisioned, Some(Provisioned::No));
    assert_eq!(node.act(Provision), 0);
    let status = node.status();
    assert_eq!(status.avail, Some(Status::Up), "{:?}", status.resources);
    assert_eq!(status.provisioned, Some(Provisioned::Yes));
    std::fs::write(node.file("mnt/x"), "x").unwrap();
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.status().avail, Some(Status::Down));
    assert_eq!(node.act(Unprovision), 0);
    assert!(!node.file("disk.img").exists());
    assert_eq!(node.status().provisioned, Some(Provisioned::No));
}

#[test]
fn an_address_is_added_and_removed() {
    if !is_root() || !has_tool("ip") {
        println!("skipped: needs root and ip");
        return;
    }
    // Of the range for documentation: nobody's.
    let node =
        Node::new("[ip#1]\nipname = 192.0.2.77\nipdev = lo\nnetmask = 32\ncheck_carrier = false\n");
    assert_eq!(node.state("ip#1"), Status::Down);
    if node.act(Start) != 0 {
        println!("skipped: this machine does not let root add addresses");
        return;
    }
    let status = node.status().resources.unwrap();
    assert_eq!(status["ip#1"].status, Status::Up);
    assert_eq!(status["ip#1"].label, "192.0.2.77/32 lo");
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("ip#1"), Status::Down);
}

#[test]
fn an_address_on_no_interface_is_down_and_an_unknown_name_a_warning() {
    if !has_tool("ip") {
        println!("skipped: needs ip");
        return;
    }
    let node = Node::new(
        "[ip#1]\nipname = 192.0.2.78\nipdev = nosuch0\n[ip#2]\nipname = no-such-name.invalid\nipdev = lo\n",
    );
    assert_eq!(node.state("ip#1"), Status::Down);
    assert_eq!(node.state("ip#2"), Status::Warn);
    assert_eq!(node.act(Start), 1);
}

#[test]
fn an_unknown_driver_says_so_and_counts_nothing() {
    let node = Node::new("[fs#1]\ntype = flag\n[disk#1]\ntype = nosuch\n");
    let status = node.status();
    let resources = status.resources.unwrap();
    assert_eq!(resources["disk#1"].status, Status::Undef);
    assert_eq!(resources["disk#1"].log, ["error: this agent has no driver disk.nosuch"]);
    assert_eq!(status.avail, Some(Status::Down));
    assert_eq!(status.overall, Some(Status::Warn));
    assert_eq!(node.act(Start), 1);
    // What was never started holds nothing up.
    assert_eq!(node.act_on(Start, "fs#1"), 0);
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("fs#1"), Status::Down);
    assert_eq!(node.act_on(Start, "fs#1"), 0);
    assert_eq!(node.act(Unprovision), 0);
    assert_eq!(node.state("fs#1"), Status::Down);
}

#[test]
fn a_volume_that_does_not_exist_is_down() {
    let node = Node::new("[volume#1]\nname = vol1\n");
    assert_eq!(node.state("volume#1"), Status::Down);
    assert_eq!(node.log("volume#1"), ["info: volume vol1 does not exist"]);
    assert_eq!(node.act(Start), 1);
    assert_eq!(node.act(Stop), 0);
}

#[test]
fn a_volume_is_made_of_a_pool_and_holds_what_the_service_needs() {
    let node = Node::new(
        "[volume#1]\nname = vol1\nsize = 1m\ndirectories = a/b\nconfigs = c1/app.conf:etc/ c1/dir:etc\n\
         secrets = s1/key:/key\nperm = 640\ndirperm = 750\n[app#1]\ntype = simple\nstart = /bin/sleep 1000.125\n",
    );
    let object = |path: &str| model::ObjectPath::parse(path).unwrap();
    node.configure(&object("cfg/c1"), "[data]\napp.conf = literal:one\ndir/x = literal:two\n");
    node.configure(&object("sec/s1"), "[data]\nkey = literal:three\n");
    assert_eq!(node.state("volume#1"), Status::Down);
    assert_eq!(node.act(Provision), 0);
    let conf = std::fs::read_to_string(node.host.paths.config_file(&object("vol/vol1"))).unwrap();
    assert!(conf.contains("\npool = default\n") && conf.contains("\nchildren = svc1\n"), "{conf}");
    let cluster = &node.host.node.cluster_name;
    let root = node.host.paths.var.join(format!("pool/directory/vol1.root.vol.{cluster}"));
    let read = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
        (std::fs::read_to_string(root.join(name)).unwrap(), mode)
    };
    assert_eq!(read("etc/app.conf"), ("one".to_owned(), 0o640));
    assert_eq!(read("etc/x"), ("two".to_owned(), 0o640));
    assert_eq!(read("key"), ("three".to_owned(), 0o640));
    assert!(root.join("a/b").is_dir());
    let states = |node: &Node| {
        let resources = node.status().resources.unwrap();
        ["volume#1", "app#1"].map(|rid| resources[rid].status.clone())
    };
    assert_eq!(states(&node), [Status::Up, Status::Up]);
    assert_eq!(node.status().provisioned, Some(model::Provisioned::Yes));
    // The volume goes down with its last user, and its data stays.
    assert_eq!(node.act(Stop), 0);
    assert_eq!(states(&node), [Status::Down, Status::NotApplicable]);
    assert_eq!(node.log("volume#1"), ["info: vol/vol1 avail down"]);
    assert_eq!(node.act(Unprovision), 0);
    let conf = std::fs::read_to_string(node.host.paths.config_file(&object("vol/vol1"))).unwrap();
    assert!(!conf.contains("svc1"), "{conf}");
    assert_eq!(read("key").0, "three");
}

#[test]
fn a_volume_whose_data_stays_on_its_node_says_so() {
    let node = Node::new("[DEFAULT]\nnodes = n1 n2\n[volume#1]\nname = vol1\nsize = 1m\n");
    let words = ["svc1", "provision", "--local", "--leader", "--disable-rollback"];
    let (code, said) = node.om(&words);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("volume vol1 is empty here: pool default is not shared"), "{said}");
    let told = "info: its data is of this node only: pool default is not shared".to_owned();
    assert!(node.log("volume#1").contains(&told), "{:?}", node.log("volume#1"));
    assert_eq!(node.state("volume#1"), Status::Up);
}

#[test]
fn a_volume_that_no_pool_can_hold_is_not_made() {
    for keywords in ["", "size = 1m\npool = nosuch", "size = 1000000g", "size = 1m\ntype = zpool"] {
        let node = Node::new(&format!("[volume#1]\nname = vol1\n{keywords}\n"));
        assert_eq!(node.act(Provision), 1, "{keywords}");
        let path = model::ObjectPath::parse("vol/vol1").unwrap();
        assert!(!node.host.paths.config_file(&path).exists());
    }
}

#[test]
fn what_leads_into_a_volume_is_provisioned_with_it() {
    let node = Node::new(
        "[volume#data]\nname = {name}-data\nsize = 1m\n\
         [fs#1]\ntype = directory\npath = {volume#data.mount_point}/in/side\n\
         [fs#2]\ntype = directory\npath = {volume#data.mnt}/b\n\
         [app#1]\ntype = simple\nstart = /bin/sh -c 'cd {volume#data.mount_point} && exec sleep 1004.75'\n",
    );
    assert_eq!(node.act(Provision), 0);
    assert_eq!(node.state("app#1"), Status::Up);
    assert_eq!(node.state("fs#1"), Status::NotApplicable);
    assert_eq!(node.state("fs#2"), Status::NotApplicable);
    assert_eq!(node.act(Stop), 0);
}

#[test]
fn a_volume_on_a_device_is_formatted_and_mounted() {
    let tools = ["mount", "losetup", "mkfs.ext4", "blkid"];
    let has_loop = std::path::Path::new("/dev/loop-control").exists();
    if !is_root() || !has_loop || !tools.iter().all(|tool| has_tool(tool)) {
        println!("skipped: needs root, loop devices, losetup, blkid and mkfs.ext4");
        return;
    }
    // Its mount point is in /srv, whatever the folder of the node.
    let name = format!("test{}", std::process::id());
    let mut node = Node::new(&format!(
        "[volume#1]\nname = {name}\nsize = 16m\npool = disks\nconfigs = c1/key:/key\n"
    ));
    let c1 = model::ObjectPath::parse("cfg/c1").unwrap();
    node.configure(&c1, "[data]\nkey = literal:value\n");
    std::fs::write(node.host.paths.node_conf(), "[pool#disks]\ntype = loop\nfs_type = ext4\n")
        .unwrap();
    node.reload();
    assert_eq!(node.act(Provision), 0);
    assert_eq!(node.state("volume#1"), Status::Up);
    let mount_point = format!("/srv/{name}.root.vol.{}", node.host.node.cluster_name);
    let read = || std::fs::read_to_string(format!("{mount_point}/key"));
    assert_eq!(read().unwrap(), "value");
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("volume#1"), Status::Down);
    assert!(read().is_err());
    // The device may be another one now.
    assert_eq!([node.act(Start), node.act(Restart)], [0, 0]);
    assert_eq!(read().unwrap(), "value");
    assert_eq!(node.act(Stop), 0);
    std::fs::remove_dir(mount_point).unwrap();
}

#[test]
fn an_object_of_one_node_has_no_internal_sync() {
    let alone = Node::new("[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    assert!(!alone.status().resources.unwrap().contains_key("sync#i0"));
    let pair = Node::new("[DEFAULT]\nnodes = n1 n2\n[fs#1]\ntype = flag\n");
    let resources = pair.status().resources.unwrap();
    assert_eq!(resources["sync#i0"].label, "rsync svc config to nodes");
    assert!(resources["sync#i0"].optional);
}
