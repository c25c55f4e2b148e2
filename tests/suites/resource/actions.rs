//! Order, triggers, requirements, locks, rollback, flags and the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use machine::durable::FileLock;
use model::InstanceAction::{
    Delete, Disable, Enable, Freeze, Provision, Restart, SetProvisioned, SetUnprovisioned,
    Shutdown, Start, Startstandby, Stop, Thaw, Toc, Unprovision,
};
use model::{ActionOptions, Provisioned, Status};

use crate::resource::node::{Node, wait_until};

/// An app that notes its start and stop, and is up while its file is there.
fn noting(index: &str, more: &str) -> String {
    format!(
        "[app#{index}]\ntype = forking\n\
         start = /bin/sh -c 'echo start {index} >>{{dir}}/calls && touch {{dir}}/up{index}'\n\
         stop = /bin/sh -c 'echo stop {index} >>{{dir}}/calls && rm -f {{dir}}/up{index}'\n\
         check = /usr/bin/test -f {{dir}}/up{index}\n{more}\n"
    )
}

#[test]
fn apps_with_a_number_as_start_are_ordered_by_it_as_a_number() {
    let app = |index: &str, start: u32| {
        format!(
            "[app#{index}]\ntype = forking\nscript = {{dir}}/script{index}\nstart = {start}\nstop = {start}\ncheck = {start}\n"
        )
    };
    let node = Node::new(&[app("a", 100), app("b", 9), app("c", 10)].concat());
    for index in ["a", "b", "c"] {
        let (up, calls) = (node.file(&format!("up{index}")), node.file("calls"));
        let (up, calls) = (up.display(), calls.display());
        node.script(
            &format!("script{index}"),
            &format!(
                "#!/bin/sh\ncase $1 in status) test -e {up};; start) echo $1 {index} >>{calls}; touch {up};; \
                 stop) echo $1 {index} >>{calls}; rm {up};; esac\n"
            ),
        );
    }
    assert_eq!([node.act(Start), node.act(Stop)], [0, 0]);
    let expected = ["start b", "start c", "start a", "stop a", "stop c", "stop b"];
    assert_eq!(node.lines("calls"), expected);
}

#[test]
fn a_stop_of_one_resource_that_stays_up_has_failed() {
    let node = Node::new(
        "[app#1]\ntype = forking\nstart = /bin/true\nstop = /bin/true\ncheck = /bin/true\n\
         [app#2]\ntype = forking\nstart = /usr/bin/touch {dir}/up\nstop = /bin/rm {dir}/up\ncheck = /usr/bin/test -e {dir}/up\n",
    );
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.act_on(Stop, "app#1"), 1);
    // What was not asked to stop does not count.
    assert_eq!(node.act_on(Stop, "app#2"), 0);
}

#[test]
fn resources_start_by_id_and_stop_in_reverse() {
    let config = noting("10", "")
        + &noting("2", "")
        + &noting("b", "subset = z")
        + &noting("a", "subset = z");
    let node = Node::new(&config);
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.lines("calls"), ["start 10", "start 2", "start a", "start b"]);
    std::fs::remove_file(node.file("calls")).unwrap();
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.lines("calls"), ["stop b", "stop a", "stop 2", "stop 10"]);
}

#[test]
fn an_app_is_asked_once_before_an_action_and_once_after_it() {
    let asked = |more: &str| {
        let node = Node::new(&format!(
            "[app#1]\ntype = forking\nstart = /bin/touch {{dir}}/up\nstop = /bin/rm {{dir}}/up\n\
             check = /bin/sh -c 'echo asked >>{{dir}}/calls && test -f {{dir}}/up'\n{more}\n"
        ));
        [Start, Stop].map(|action| {
            assert_eq!(node.act(action), 0);
            let asked = node.lines("calls").len();
            std::fs::remove_file(node.file("calls")).unwrap();
            asked
        })
    };
    assert_eq!(asked(""), [2, 2]);
    // What a trigger did may have changed it.
    assert_eq!(asked("pre_start = /bin/true\n"), [3, 2]);
}

#[test]
fn a_restart_stops_and_starts() {
    let node = Node::new(&noting("1", ""));
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.act(Restart), 0);
    assert_eq!(node.lines("calls"), ["start 1", "stop 1", "start 1"]);
}

#[test]
fn an_action_stops_after_upto_and_downto() {
    let node = Node::new(&(noting("1", "") + &noting("2", "") + &noting("3", "")));
    let upto = ActionOptions { upto: Some("app#2".into()), ..Default::default() };
    assert_eq!(node.act_with(Start, &upto), 0);
    assert_eq!(node.lines("calls"), ["start 1", "start 2"]);
    std::fs::remove_file(node.file("calls")).unwrap();
    let downto = ActionOptions { downto: Some("app#2".into()), ..Default::default() };
    assert_eq!(node.act_with(Stop, &downto), 0);
    // What is down already is left alone.
    assert_eq!(node.lines("calls"), ["stop 2"]);
}

#[test]
fn a_failed_start_stops_what_it_started_and_nothing_else() {
    let failing = "[app#3]\ntype = forking\nstart = /bin/false\n";
    let node = Node::new(&(noting("1", "") + &noting("2", "") + failing));
    assert_eq!(node.act_on(Start, "app#1"), 0);
    assert_eq!(node.act(Start), 1);
    assert_eq!(node.lines("calls"), ["start 1", "start 2", "stop 2"]);
    assert_eq!(node.state("app#1"), Status::Up);
    assert_eq!(node.state("app#2"), Status::Down);
}

#[test]
fn a_rollback_can_be_declined() {
    let failing = "[app#3]\ntype = forking\nstart = /bin/false\n";
    let node = Node::new(&(noting("1", "") + failing));
    let options = ActionOptions { disable_rollback: true, ..Default::default() };
    assert_eq!(node.act_with(Start, &options), 1);
    assert_eq!(node.state("app#1"), Status::Up);
    let node =
        Node::new(&("[DEFAULT]\nrollback = false\n".to_owned() + &noting("1", "") + failing));
    assert_eq!(node.act(Start), 1);
    assert_eq!(node.state("app#1"), Status::Up);
}

#[test]
fn errors_of_optional_resources_are_ignored() {
    let node = Node::new(
        &("[app#0]\ntype = forking\noptional = true\nstart = /bin/false\n".to_owned()
            + &noting("1", "")),
    );
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.state("app#1"), Status::Up);
}

#[test]
fn disabled_resources_and_those_tagged_noaction_are_left_alone() {
    let node = Node::new(
        &(noting("1", "disable = true") + &noting("2", "tags = noaction") + &noting("3", "")),
    );
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.lines("calls"), ["start 3"]);
}

#[test]
fn a_parallel_subset_starts_all_at_once() {
    // Each waits for the other: one after the other would never end.
    let app = |own: &str, other: &str| {
        format!(
            "[app#{own}]\ntype = forking\nsubset = g\nstart_timeout = 15\nstart = /bin/sh -c 'touch {{dir}}/{own} && while \
             test ! -f {{dir}}/{other}\ndo sleep 0.01\ndone'\n"
        )
        .replace("\ndo ", "\n\tdo ")
        .replace("\ndone", "\n\tdone")
    };
    let node =
        Node::new(&format!("[subset#app:g]\nparallel = true\n{}{}", app("1", "2"), app("2", "1")));
    assert_eq!(node.act(Start), 0);
}

#[test]
fn triggers_surround_the_action_and_its_resources() {
    let note = |what: &str| format!("/bin/sh -c 'echo {what} $OPENSVC_ACTION >>{{dir}}/calls'");
    let node = Node::new(&format!(
        "[DEFAULT]\npre_start = {}\npost_start = {}\n{}pre_start = {}\nblocking_post_start = {}\n",
        note("object-pre"),
        note("object-post"),
        noting("1", "").trim_end().to_owned() + "\n",
        note("pre"),
        note("post"),
    ));
    assert_eq!(node.act(Start), 0);
    assert_eq!(
        node.lines("calls"),
        ["object-pre start", "pre start", "start 1", "post start", "object-post start"]
    );
}

#[test]
fn only_a_blocking_trigger_stops_an_action() {
    let node = Node::new(&noting("1", "pre_start = /bin/false"));
    assert_eq!(node.act(Start), 0);
    let node = Node::new(&noting("1", "blocking_pre_start = /bin/false"));
    assert_eq!(node.act(Start), 1);
    assert!(node.lines("calls").is_empty());
}

#[test]
fn a_requirement_that_is_not_met_is_an_error() {
    let node = Node::new(&(noting("1", "") + &noting("2", "start_requires = app#1(down)")));
    assert_eq!(node.act(Start), 1);
    assert_eq!(node.lines("calls"), ["start 1", "stop 1"]);
    let node = Node::new(&(noting("1", "") + &noting("2", "start_requires = app#1(up)")));
    assert_eq!(node.act(Start), 0);
}

#[test]
fn an_action_waits_for_the_lock_and_names_its_holder() {
    let node = Node::new(&noting("1", ""));
    let file = node.var("lock.generic");
    let held = FileLock::try_take(&file).unwrap().unwrap();
    let options = ActionOptions { waitlock: Some(0.05), ..Default::default() };
    assert_eq!(node.act_with(Start, &options), 1);
    assert!(node.lines("calls").is_empty());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| node.act(Start));
        drop(held);
        assert_eq!(waiting.join().unwrap(), 0);
    });
    // Released with nothing in it.
    assert_eq!(std::fs::read_to_string(file).unwrap(), "");
}

#[test]
fn an_action_that_does_not_get_the_lock_tells_nothing() {
    let node = Node::new(&noting("1", ""));
    let socket = node.host.paths.lsnr_socket();
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let lock = node.host.paths.var_dir(&node.path).join("lock.generic");
    let held = FileLock::take(&lock, Duration::from_secs(1)).unwrap();
    let options = ActionOptions { waitlock: Some(0.0), ..Default::default() };
    assert_eq!(node.act_with(Stop, &options), 1);
    // Another action runs: it is neither stopping, nor has it failed to.
    assert!(listener.accept().is_err());
    drop(held);
}

#[test]
fn the_lock_says_who_does_what() {
    let node = Node::new(
        "[app#1]\ntype = forking\nstart = /bin/sh -c 'touch {dir}/on && until test -f {dir}/off\n\tdo sleep 0.01\n\tdone'\n",
    );
    std::thread::scope(|scope| {
        let running = scope.spawn(|| node.act(Start));
        wait_until("it runs", || node.file("on").exists());
        let text = std::fs::read_to_string(node.var("lock.generic")).unwrap();
        // First, so that a failure ends.
        std::fs::write(node.file("off"), "").unwrap();
        let note: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            note,
            serde_json::json!({
                "pid": std::process::id(), "intent": "start", "progress": {"rid": "app#1"}
            })
        );
        running.join().unwrap();
    });
}

#[test]
fn a_selection_that_nothing_matches_is_an_error() {
    let node = Node::new(&noting("1", "tags = a b"));
    assert_eq!(node.act_on(Start, "app#9"), 1);
    let tags = |tags: &str| ActionOptions { tags: Some(tags.into()), ..Default::default() };
    assert_eq!(node.act_with(Start, &tags("a+c")), 1);
    assert_eq!(node.act_with(Start, &tags("a+b")), 0);
}

#[test]
fn a_dry_run_changes_nothing() {
    let node = Node::new(&noting("1", "pre_start = /bin/touch {dir}/trigger"));
    let options = ActionOptions { dry_run: true, ..Default::default() };
    assert_eq!(node.act_with(Start, &options), 0);
    assert_eq!(node.act_with(Delete, &options), 0);
    assert!(node.lines("calls").is_empty() && !node.file("trigger").exists());
    assert!(node.host.paths.config_file(&node.path).exists());
}

#[test]
fn standby_resources_stay_up_until_forced_or_shut_down() {
    let node = Node::new("[fs#1]\ntype = flag\nstandby = true\n[fs#2]\ntype = flag\n");
    assert_eq!(node.act(Startstandby), 0);
    assert_eq!(node.state("fs#1"), Status::StdbyUp);
    assert_eq!(node.state("fs#2"), Status::Down);
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.status().avail, Some(Status::Up));
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.status().avail, Some(Status::StdbyUp));
    assert_eq!(node.act(Shutdown), 0);
    assert_eq!(node.state("fs#1"), Status::StdbyDown);
}

#[test]
fn freeze_and_thaw_are_a_file() {
    let node = Node::new("[fs#1]\ntype = flag\n");
    assert_eq!(node.act(Freeze), 0);
    let frozen = node.status().frozen.unwrap();
    assert!(frozen.0 > 0.0);
    assert_eq!(node.act(Freeze), 0);
    assert_eq!(node.status().frozen, Some(frozen));
    assert_eq!(node.act(Thaw), 0);
    assert_eq!(node.status().frozen.unwrap().0, 0.0);
}

#[test]
fn an_operator_who_stops_an_orchestrated_service_freezes_it() {
    let node = Node::new("[DEFAULT]\norchestrate = ha\n[fs#1]\ntype = flag\n");
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.act_on(Stop, "fs#1"), 0);
    assert_eq!(node.status().frozen.unwrap().0, 0.0);
    assert_eq!(node.act(Stop), 0);
    assert!(node.status().frozen.unwrap().0 > 0.0);
}

#[test]
fn provisioned_flags_are_set_provisioned_and_unprovisioned() {
    let node = Node::new("[fs#1]\ntype = flag\n[fs#2]\ntype = flag\n");
    assert_eq!(node.act_on(SetProvisioned, "fs#1"), 0);
    assert_eq!(node.status().provisioned, Some(Provisioned::Mixed));
    assert_eq!(node.act(SetUnprovisioned), 0);
    assert_eq!(node.status().provisioned, Some(Provisioned::No));
    assert_eq!(node.act(Provision), 0);
    let status = node.status();
    assert_eq!((status.avail, status.provisioned), (Some(Status::Up), Some(Provisioned::Yes)));
    assert_eq!(node.act(Unprovision), 0);
    let status = node.status();
    assert_eq!((status.avail, status.provisioned), (Some(Status::Down), Some(Provisioned::No)));
}

#[test]
fn a_resource_is_disabled_and_enabled_in_its_configuration() {
    let node = Node::new("# keep me\n[fs#1]\ntype = flag\ndisable@n1 = false\n");
    assert_eq!(node.act_on(Disable, "fs#1"), 0);
    assert_eq!(node.state("fs#1"), Status::NotApplicable);
    let config = || std::fs::read_to_string(node.host.paths.config_file(&node.path)).unwrap();
    assert!(config().starts_with("# keep me\n"), "{}", config());
    assert_eq!(node.act_on(Enable, "fs"), 0);
    assert_eq!(node.state("fs#1"), Status::Down);
    assert_eq!(node.act(Disable), 0);
    assert_eq!(node.status().avail, Some(Status::NotApplicable));
    assert_eq!(node.act_on(Disable, "fs#7"), 1);
}

#[test]
fn a_delete_leaves_nothing() {
    let node = Node::new("[fs#1]\ntype = flag\n[fs#2]\ntype = flag\n");
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.act_on(Delete, "fs#2"), 1, "it is up");
    assert_eq!(node.act_on(Stop, "fs#2"), 0);
    assert_eq!(node.act_on(Delete, "fs#2"), 0);
    assert_eq!(node.status().resources.unwrap().len(), 1);
    let launchers = node.host.paths.launchers(&node.path);
    std::fs::create_dir_all(&launchers).unwrap();
    let options = ActionOptions { unprovision: true, ..Default::default() };
    let object = node.object();
    assert_eq!(node.act_with(Delete, &options), 0);
    assert!(!node.host.paths.config_file(&node.path).exists());
    assert!(!node.host.paths.var_dir(&node.path).exists());
    // Nor does an evaluation that comes too late leave anything.
    _ = drivers::evaluate(&node.host, &object, None, None, None);
    assert!(!node.host.paths.var_dir(&node.path).exists());
    assert!(!launchers.exists());
}

#[test]
fn a_lost_resource_stops_the_instance_and_never_the_machine_of_a_test() {
    let node = Node::new(
        "[DEFAULT]\nmonitor_action = freezestop\npre_monitor_action = /bin/touch {dir}/pre\n[fs#1]\ntype = flag\n",
    );
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.act(Toc), 0);
    assert!(node.file("pre").exists());
    let status = node.status();
    assert_eq!(status.avail, Some(Status::Down));
    assert!(status.frozen.unwrap().0 > 0.0);
    assert_eq!(node.act(Toc), 1, "frozen");
    let node = Node::new("[DEFAULT]\nmonitor_action = reboot\n[fs#1]\ntype = flag\n");
    // The real one refuses here: under a private root nothing reaches the kernel.
    assert_eq!(node.act(Toc), 1);
    assert!(node.host.paths.node_frozen().exists());
    for (action, letter) in [("reboot", 'b'), ("crash", 'c')] {
        let mut node =
            Node::new(&format!("[DEFAULT]\nmonitor_action = {action}\n[fs#1]\ntype = flag\n"));
        let asked = Arc::new(AtomicU32::new(0));
        let seen = asked.clone();
        node.host.replace_sysrq(Arc::new(move |letter| {
            seen.store(letter.into(), Ordering::Relaxed);
            Ok(())
        }));
        assert_eq!(node.act(Toc), 1, "the node is still alive");
        assert_eq!(char::from_u32(asked.load(Ordering::Relaxed)), Some(letter));
        assert!(node.host.paths.node_frozen().exists(), "and starts nothing any more");
        asked.store(0, Ordering::Relaxed);
        assert_eq!(node.act(Toc), 1, "frozen");
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn the_status_file_has_the_time_of_the_evaluation() {
    let node = Node::new("[fs#1]\ntype = flag\n[app#1]\ntype = simple\nstart = /bin/sleep 1\n");
    let status = node.status();
    let written = drivers::written_status(&node.host.paths, &node.path).unwrap();
    assert_eq!(written, status);
    let text = std::fs::read_to_string(node.var("status.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in [
        "updated",
        "kind",
        "app",
        "env",
        "placement",
        "topology",
        "frozen",
        "avail",
        "overall",
        "optional",
        "status_group",
        "resources",
        "subsets",
        "csum",
    ] {
        assert!(value.get(key).is_some(), "{key}");
    }
    assert!(value.get("monitor").is_none());
    assert_eq!(value["status_group"]["vhost"], "n/a");
    assert_eq!(value["resources"]["fs#1"]["provisioned"]["state"], false);
    assert!(value["resources"]["app#1"].get("provisioned").is_none());
    let last: serde_json::Value =
        serde_json::from_slice(&std::fs::read(node.var("fs#1").join("status.last")).unwrap())
            .unwrap();
    assert_eq!(last["status"], "down");
    let history = std::fs::read_to_string(node.var("fs#1").join("status.history")).unwrap();
    assert!(history.contains("down"));
}

#[test]
fn only_the_resources_asked_for_are_evaluated_again() {
    let node = Node::new("[fs#1]\ntype = flag\n[fs#2]\ntype = flag\n");
    let before = node.evaluate();
    assert_eq!(node.act(Start), 0);
    let object = files::load::load_object(&node.host.paths, &node.host.node, &node.path).unwrap();
    let rids = ["fs#1".to_owned()].into();
    let after = drivers::evaluate(
        &node.host,
        &object,
        Some(&before.status),
        Some(&before.watch),
        Some(&rids),
    );
    let resources = after.status.resources.unwrap();
    assert_eq!(resources["fs#1"].status, Status::Up);
    assert_eq!(resources["fs#2"].status, Status::Down);
    assert_eq!(after.status.avail, Some(Status::Warn));
    assert_eq!(after.watch.files.len(), 2);
}

#[test]
fn an_app_is_asked_again_when_what_it_stands_on_changed() {
    let node = Node::new("[fs#1]\ntype = flag\n[app#1]\ntype = forking\ncheck = /bin/true\n");
    let before = node.evaluate().status;
    assert_eq!(node.act_on(Start, "fs#1"), 0);
    let object = files::load::load_object(&node.host.paths, &node.host.node, &node.path).unwrap();
    let rids = ["fs#1".to_owned()].into();
    let after = drivers::evaluate(&node.host, &object, Some(&before), None, Some(&rids)).status;
    assert_eq!(after.resources.unwrap()["app#1"].status, Status::Up);
}

#[test]
fn a_hundred_evaluations_share_their_scans() {
    let node = Node::new("[app#1]\ntype = simple\nstart = /bin/sleep 1000.015625\n");
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(node.state("app#1"), Status::Down);
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn everything_else_than_services_and_volumes_has_no_resources() {
    let node = Node::with_path("cfg/c1", "[data]\na = literal:b\n");
    let status = node.status();
    assert_eq!(status.avail, None);
    assert_eq!(status.topology, None);
    assert!(status.csum.is_some());
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.act(Delete), 0);
    assert!(!node.host.paths.config_file(&node.path).exists());
}

#[test]
fn no_section_is_deleted_that_another_one_refers_to() {
    let node = Node::new(
        "[DEFAULT]\nid = delete-rid\n[fs#1]\ntype = flag\n[volume#data]\nname = data\nsize = 1m\n\
         [app#1]\ntype = simple\nstart = {volume#data.name}/run\n",
    );
    let file = node.host.paths.config_file(&node.path);
    let before = std::fs::read_to_string(&file).unwrap();
    let (code, said) = node.om(&["svc1", "delete", "--rid", "volume#data", "--local"]);
    assert_eq!((code, std::fs::read_to_string(&file).unwrap()), (1, before), "{said}");
    assert!(said.contains("nothing is deleted") && said.contains("app#1"), "{said}");
    let (code, said) = node.om(&["svc1", "delete", "--rid", "volume#data,app#1", "--local"]);
    assert_eq!(code, 0, "{said}");
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(!after.contains("volume#data") && after.contains("[fs#1]"), "{after}");
}
