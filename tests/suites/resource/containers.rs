//! Containers: a stand-in for the tool, and the tool itself where it is usable.

use model::InstanceAction::{Provision, Start, Stop, Unprovision};
use model::Status;

use crate::resource::node::Node;

/// A tool that keeps its only container as files, and fails as it is told by other files: `no-daemon`, `no-image`, `dies`,
/// `deaf` (a stop fails, a kill does not).
const TOOL: &str = r#"#!/bin/sh
d=$(dirname $0)
echo "$@" >>$d/calls
if [ "$1" = --config ]; then cat $2/config.json >$d/credentials; shift 2; fi
if [ -e $d/no-daemon ]; then
  echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?" >&2
  exit 1
fi
case "$1 $2" in
"ps --quiet") test "$(cat $d/state 2>/dev/null)" = running && echo c1 ;;
"container inspect")
  test -f $d/state || { echo "Error response from daemon: No such container: $3" >&2; exit 1; }
  running=false; test "$(cat $d/state)" = running && running=true
  echo '[{"State":{"Running":'$running',"Status":"'$(cat $d/state)'","ExitCode":3},"Config":{"Image":"img:2","Labels":{"com.opensvc.id":"abc.container#1"}},"Id":"c1","Name":"/one"}]' ;;
"container run"|"container start")
  echo "$TOKEN" >$d/token
  echo running >$d/state
  test -e $d/dies && echo exited >$d/state
  case "$*" in "container start"*|*--detach*) ;; *) echo exited >$d/state ;; esac
  test -e $d/slow && exec sleep 30 ;;
"container stop") test -e $d/deaf && { echo "cannot stop container: tried to kill container, but did not receive an exit event" >&2; exit 1; }
  echo exited >$d/state ;;
"container kill") echo exited >$d/state ;;
"container rm") rm -f $d/state ;;
"image inspect") exit 1 ;;
"image pull") test -e $d/no-image && { echo "Error response from daemon: pull access denied for img, repository does not exist" >&2; exit 1; } ;;
esac
exit 0
"#;

/// A service with a container of that tool, and these keywords.
fn node(keywords: &str) -> Node {
    let node = Node::new(&format!(
        "[DEFAULT]\nid = abc\ndocker_exe = {{dir}}/docker\n\
         [container#1]\ntype = docker\nimage = img:1\n{keywords}\n"
    ));
    node.script("docker", TOOL);
    node
}

/// What was asked of the tool, but for questions.
fn changes(node: &Node) -> Vec<String> {
    let calls = node.lines("calls");
    let is_question = |call: &String| call.contains(" inspect ") || call.starts_with("ps ");
    calls.into_iter().filter(|call| !is_question(call)).collect()
}

const LABELS: &str = "--label=com.opensvc.id=abc.container#1 --label=com.opensvc.path=svc1 \
    --label=com.opensvc.namespace=root --label=com.opensvc.name=svc1 --label=com.opensvc.kind=svc \
    --label=com.opensvc.rid=container#1";

fn tell(node: &Node, file: &str) {
    std::fs::write(node.file(file), "").unwrap();
}

#[test]
fn podman_makes_control_groups_by_itself_where_systemd_runs_too() {
    let node = Node::new("[DEFAULT]\nid = abc\n[container#1]\ntype = podman\nimage = img:1\n");
    let shift = "if [ \"$1 $2\" = '--cgroup-manager cgroupfs' ]; then shift 2; fi\nif [ \"$1\" = --config ]";
    std::fs::create_dir(node.file("bin")).unwrap();
    node.script("bin/podman", &TOOL.replace("if [ \"$1\" = --config ]", shift));
    for action in ["start", "stop"] {
        let (code, said) = node.om(&["svc1", action, "--local"]);
        assert_eq!(code, 0, "{said}");
    }
    let calls = node.lines("bin/calls");
    assert!(calls.iter().all(|call| call.starts_with("--cgroup-manager cgroupfs ")), "{calls:?}");
}

#[test]
fn a_container_is_driven_through_the_command_line_of_its_tool() {
    let node = node("rm = true\nenvironment = token=hidden path=/bin\ncommand = serve --port 80");
    assert_eq!(node.log("container#1"), ["info: can not find container id"]);
    assert_eq!(node.state("container#1"), Status::Down);
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.state("container#1"), Status::Up);
    assert_eq!(node.log("container#1"), ["warn: container image is img:2, expected img:1"]);
    assert_eq!(node.lines("token"), ["hidden"]);
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("container#1"), Status::Down);
    assert_eq!(
        changes(&node),
        [
            "image pull img:1".to_owned(),
            format!(
                "container run --detach --name=svc1.container.1 {LABELS} --net=none --env PATH=/bin --env TOKEN img:1 \
                 serve --port 80"
            ),
            "container stop -t 120 svc1.container.1".to_owned(),
            "container rm --force svc1.container.1".to_owned(),
        ]
    );
}

#[test]
fn a_secret_reaches_the_container_and_no_process_list() {
    let node =
        node("configs_environment = c1/*\nsecrets_environment = TOKEN=s1/key\nregistry_creds = s1");
    let object = |path: &str| model::ObjectPath::parse(path).unwrap();
    node.configure(&object("cfg/c1"), "[data]\nmode = literal:fast\n");
    let data = "[data]\nkey = literal:hidden\nconfig.json = literal:{\"auths\": {}}\n";
    node.configure(&object("sec/s1"), data);
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.lines("token"), ["hidden"]);
    assert_eq!(node.lines("credentials"), ["{\"auths\": {}}"]);
    let folder = node.var("container#1").join("registry_creds");
    let folder = folder.display();
    assert_eq!(
        changes(&node),
        [
            format!("--config {folder} image pull img:1"),
            format!(
                "--config {folder} container run --detach --name=svc1.container.1 {LABELS} --net=none \
                 --env MODE --env TOKEN img:1"
            ),
        ]
    );
    let mode = |file: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(format!("{folder}/{file}")).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("config.json"), 0o600);
}

#[test]
fn a_container_that_stays_is_started_again_and_removed_when_unprovisioned() {
    let node = node("image_pull_policy = always");
    assert_eq!([node.act(Start), node.act(Stop), node.act(Start)], [0, 0, 0]);
    assert_eq!(node.act(Unprovision), 0);
    let run = format!("container run --detach --name=svc1.container.1 {LABELS} --net=none img:1");
    let expected = [
        "image pull img:1",
        &run,
        "container stop -t 120 svc1.container.1",
        "image pull img:1",
        "container start svc1.container.1",
        "container stop -t 120 svc1.container.1",
        "container rm --force svc1.container.1",
    ];
    assert_eq!(changes(&node), expected);
}

#[test]
fn a_container_of_the_same_name_that_somebody_else_made_is_not_removed() {
    for labels in [r#""Labels":{"com.opensvc.id":"other.container#1"}"#, r#""Labels":{}"#] {
        let node = node("rm = false");
        let tool = TOOL.replace(r#""Labels":{"com.opensvc.id":"abc.container#1"}"#, labels);
        node.script("docker", &tool);
        std::fs::write(node.file("state"), "exited").unwrap();
        assert_eq!(node.act(Unprovision), 1, "{labels}");
        assert_eq!(changes(&node), [] as [&str; 0], "{labels}");
        assert!(node.file("state").exists());
    }
}

#[test]
fn a_container_of_another_service_is_neither_taken_for_ours_nor_stopped() {
    let node = node("");
    let label = r#""Labels":{"com.opensvc.id":"abc.container#1"}"#;
    let theirs = r#""Labels":{"com.opensvc.id":"x.container#2","com.opensvc.path":"prod/svc/web","com.opensvc.rid":"container#2"}"#;
    node.script("docker", &TOOL.replace(label, theirs));
    std::fs::write(node.file("state"), "running").unwrap();
    assert_eq!(node.state("container#1"), Status::Down);
    let log = node.log("container#1");
    assert!(log[0].contains("is of prod/svc/web container#2"), "{log:?}");
    assert_eq!(node.act(Start), 1);
    assert_eq!(node.act(Stop), 0);
    assert_eq!(changes(&node), [] as [&str; 0]);
    // That of an earlier life of this service is its own.
    let earlier = r#""Labels":{"com.opensvc.id":"x.container#1","com.opensvc.path":"svc1","com.opensvc.rid":"container#1"}"#;
    node.script("docker", &TOOL.replace(label, earlier));
    assert_eq!(node.state("container#1"), Status::Up);
}

#[test]
fn a_container_in_the_foreground_does_its_work_and_is_gone_before_the_next() {
    let node = node("detach = false\nnetns = host\nhostname = ignored\nrun_args = -d --rm");
    assert_eq!([node.act(Start), node.act(Start)], [0, 0]);
    assert_eq!(node.state("container#1"), Status::NotApplicable);
    let run = format!("container run --rm --name=svc1.container.1 {LABELS} --net=host img:1");
    let expected = [
        "image pull img:1",
        &run,
        "container rm --force svc1.container.1",
        "image pull img:1",
        &run,
    ];
    assert_eq!(changes(&node), expected);
}

#[test]
fn an_image_that_cannot_be_pulled_is_a_failed_start() {
    let node = node("");
    tell(&node, "no-image");
    assert_eq!(node.act(Start), 1);
    assert_eq!(changes(&node), ["image pull img:1"]);
    assert_eq!(node.state("container#1"), Status::Down);
}

#[test]
fn without_its_daemon_a_container_is_down_and_does_not_start() {
    let node = node("");
    tell(&node, "no-daemon");
    assert_eq!(node.log("container#1"), ["info: docker daemon is not running"]);
    assert_eq!(node.state("container#1"), Status::Down);
    assert_eq!(node.act(Start), 1);
    assert_eq!(node.act(Stop), 0);
    assert_eq!(changes(&node), Vec::<String>::new());
}

#[test]
fn without_its_tool_a_container_is_down_and_says_so() {
    let node = node("");
    std::fs::remove_file(node.file("docker")).unwrap();
    let name = node.file("docker").display().to_string();
    assert_eq!(node.log("container#1"), [format!("warn: {name} is not installed")]);
    assert_eq!(node.state("container#1"), Status::Down);
    assert_eq!([node.act(Start), node.act(Stop)], [1, 0]);
}

#[test]
fn a_container_that_ends_at_once_is_a_failed_start() {
    let node = node("");
    tell(&node, "dies");
    assert_eq!(node.act(Start), 1);
    assert_eq!(node.log("container#1"), ["info: container is exited"]);
}

#[test]
fn a_start_that_takes_too_long_leaves_no_container_behind() {
    let node = node("start_timeout = 200ms");
    tell(&node, "slow");
    assert_eq!(node.act(Start), 1);
    assert_eq!(changes(&node).last().unwrap(), "container rm --force svc1.container.1");
    assert_eq!(node.log("container#1"), ["info: can not find container id"]);
}

#[test]
fn a_container_that_a_stop_does_not_end_is_killed() {
    let node = node("stop_timeout = 7");
    assert_eq!(node.act(Start), 0);
    tell(&node, "deaf");
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("container#1"), Status::Down);
    let calls = changes(&node);
    assert_eq!(
        calls[calls.len() - 2..],
        ["container stop -t 7 svc1.container.1", "container kill svc1.container.1"]
    );
}

#[test]
fn what_is_to_be_mounted_has_to_be_there() {
    for (mounts, code) in [
        ("{dir}:/data", 0),
        ("{dir}/none:/data", 1),
        ("vol1:/data", 1),
        ("{dir}:/data /tmp:/data", 1),
    ] {
        let node = node(&format!("volume_mounts = {mounts}"));
        assert_eq!(node.act(Start), code, "{mounts}");
    }
}

#[test]
fn a_namespace_is_shared_with_a_container_of_the_service() {
    let node =
        node("netns = container#0\n[container#0]\ntype = docker\nimage = pause\nname = pause0");
    assert_eq!(node.act_on(Start, "container#1"), 0);
    let calls = node.lines("calls");
    assert!(calls.iter().any(|call| call.contains("--net=container:pause0")), "{calls:?}");
    let alone = self::node("netns = container#9");
    assert_eq!(alone.act(Start), 1);
}

#[test]
fn a_provisioned_container_is_started() {
    let node = node("");
    assert_eq!(node.act(Provision), 0);
    assert_eq!(node.state("container#1"), Status::Up);
}

#[test]
fn a_container_runs_and_stops() {
    for tool in ["docker", "podman"] {
        if !drivers::container::is_usable(tool) {
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

/// The same, where the tool tells all labels that a start gives.
fn labelled() -> Node {
    let node = node("");
    let label = r#""Labels":{"com.opensvc.id":"abc.container#1"}"#;
    let all = r#""Labels":{"com.opensvc.id":"abc.container#1","com.opensvc.path":"svc1","com.opensvc.rid":"container#1"}"#;
    node.script("docker", &TOOL.replace(label, all));
    node
}

#[test]
fn a_container_of_a_section_that_is_gone_is_stopped_with_the_rest() {
    let node = labelled();
    assert_eq!(node.act(Start), 0);
    // Its section was removed; another one has its file of what was evaluated.
    node.configure(
        &node.path,
        "[DEFAULT]\nid = abc\ndocker_exe = {dir}/docker\n[fs#1]\ntype = flag\n",
    );
    assert_eq!(node.act(Stop), 0);
    assert_eq!(changes(&node).last().unwrap(), "container stop -t 120 c1");
    assert_eq!(node.lines("state"), ["exited"]);
}

#[test]
fn a_container_that_is_disabled_while_it_runs_outlives_no_deletion() {
    let node = labelled();
    assert_eq!(node.act(Start), 0);
    let text = "[DEFAULT]\nid = abc\ndocker_exe = {dir}/docker\n\
                [container#1]\ntype = docker\nimage = img:1\ndisable = true\n";
    node.configure(&node.path, text);
    let file = node.host.paths.config_file(&node.path);
    assert_eq!(node.act(model::InstanceAction::Delete), 1);
    assert_eq!((node.lines("state"), file.exists()), (vec!["running".to_owned()], true));
    let forced = model::ActionOptions { force: true, ..Default::default() };
    assert_eq!(node.act_with(model::InstanceAction::Delete, &forced), 0);
    assert_eq!((node.lines("state"), file.exists()), (vec!["exited".to_owned()], false));
}
