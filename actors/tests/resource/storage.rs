//! `fs.*`, `disk.loop`, `ip.host`, containers, volumes: what needs root or a tool says that it was skipped.

use model::{Provisioned, Status};
use om::InstanceAction::{Provision, Start, Stop, Unprovision};

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
fn a_container_runs_and_stops() {
    for tool in ["docker", "podman"] {
        if !actors::resource::is_usable(tool) {
            println!("skipped: {tool} is not usable");
            continue;
        }
        let image = std::process::Command::new(tool).args(["image", "inspect", "busybox"]).output();
        if !image.is_ok_and(|image| image.status.success()) {
            println!("skipped: {tool} has no image busybox");
            continue;
        }
        let node = Node::new(&format!(
            "[container#1]\ntype = {tool}\nimage = busybox\nrm = true\ncommand = sleep 1000\n\
             name = osvc-test-{}-{tool}\n",
            std::process::id()
        ));
        assert_eq!(node.act(Start), 0);
        assert_eq!(node.state("container#1"), Status::Up);
        assert_eq!(node.act(Stop), 0);
        assert_eq!(node.state("container#1"), Status::Down);
    }
}

#[test]
fn a_container_is_driven_through_the_command_line_of_its_tool() {
    // A stand-in for the tool that keeps its containers as files.
    let node = Node::new(
        "[DEFAULT]\nid = abc\ndocker_exe = {dir}/docker\n[container#1]\ntype = docker\nimage = img:1\n\
         rm = true\nenvironment = SECRET=hidden\ncommand = serve --port 80\n",
    );
    node.script(
        "docker",
        r#"#!/bin/sh
d=$(dirname $0)
echo "$@" >>$d/calls
case "$1 $2" in
"container inspect")
  test -f $d/running || { echo "Error: No such container: $3" >&2; exit 1; }
  echo '[{"State":{"Running":true,"Status":"running","Pid":1},"Config":{"Image":"img:2","Labels":{"com.opensvc.id":"abc.container#1"}}}]' ;;
"container run") echo "$SECRET" >$d/secret; touch $d/running ;;
"container stop") rm $d/running ;;
"image inspect") exit 1 ;;
esac
"#,
    );
    assert_eq!(node.log("container#1"), ["info: can not find container id"]);
    assert_eq!(node.state("container#1"), Status::Down);
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.state("container#1"), Status::Up);
    assert_eq!(node.log("container#1"), ["warn: container image is img:2, expected img:1"]);
    assert_eq!(node.lines("secret"), ["hidden"]);
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("container#1"), Status::Down);
    let calls = node.lines("calls");
    assert!(calls.contains(&"image pull img:1".to_owned()), "{calls:?}");
    let run = "container run --name svc1.container.1 --label com.opensvc.id=abc.container#1 --detach \
               --env SECRET img:1 serve --port 80";
    assert!(calls.contains(&run.to_owned()), "{calls:?}");
    assert!(!calls.iter().any(|call| call.contains("hidden")));
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
fn an_object_of_one_node_has_no_internal_sync() {
    let alone = Node::new("[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    assert!(!alone.status().resources.unwrap().contains_key("sync#i0"));
    let pair = Node::new("[DEFAULT]\nnodes = n1 n2\n[fs#1]\ntype = flag\n");
    let resources = pair.status().resources.unwrap();
    assert_eq!(resources["sync#i0"].label, "rsync svc config to nodes");
    assert!(resources["sync#i0"].optional);
}
