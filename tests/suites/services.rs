//! Promise: a service configuration dropped into the folder is loaded, started, watched, repaired and stopped.

use harness::{Events, Node, wait_for};
use serde_json::{Value, json};

/// A configuration with one application that sleeps, for a time no other test uses.
fn sleeper(seconds: u32) -> String {
    format!(
        "[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\ntype = simple\nstart = /bin/sleep {seconds}\nrestart = 2\n"
    )
}

fn sleeping(node: &Node, seconds: u32) -> Vec<u32> {
    node.processes(|line| line == format!("/bin/sleep {seconds}"))
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)
        .expect("the process is there");
}

#[test]
fn a_dropped_configuration_is_loaded_started_repaired_and_stopped() {
    let node = Node::started("n1");
    node.write("etc/web.conf", &sleeper(71001));
    let instance = node.wait_instance("web", "up and to be kept so", |instance| {
        instance["avail"] == "up" && instance["monitor"]["local_expect"] == "started"
    });
    assert_eq!(instance["monitor"]["placement"], "leader", "{instance:#}");
    let [first] = sleeping(&node, 71001)[..] else { panic!("one process") };
    kill(first);
    wait_for(
        "another process runs",
        || matches!(sleeping(&node, 71001)[..], [pid] if pid != first),
    );
    node.wait_avail("web", "up");
    node.om_ok(&["web", "stop", "--wait", "--time", "20s"]);
    let stopped = node.wait_avail("web", "down");
    assert!(stopped["frozen"].as_f64().expect("a time") > 0.0, "a stop freezes: {stopped:#}");
    assert_eq!(sleeping(&node, 71001), [] as [u32; 0]);
    node.om_ok(&["web", "start", "--wait", "--time", "20s"]);
    node.wait_avail("web", "up");
    assert_eq!(node.status()["monitor"]["services"]["web"]["avail"], "up");
}

#[test]
fn a_configuration_rewritten_without_its_id_keeps_it_and_its_processes() {
    let mut node = Node::started("n1");
    node.write("etc/web.conf", &sleeper(71008));
    node.wait_avail("web", "up");
    let [first] = sleeping(&node, 71008)[..] else { panic!("one process") };
    let id = |node: &Node| {
        let text = node.read("etc/web.conf");
        text.lines().find_map(|line| line.strip_prefix("id = ")).map(str::to_owned)
    };
    let known = id(&node).expect("the daemon gave one");
    let rewritten = |round: u32| sleeper(71008) + &format!("[env]\nround = {round}\n");
    let is_kept = |node: &Node, round: u32| {
        let is_in_force = || {
            let shown = node.request(
                &json!({"action": "object_config", "method": "GET", "options": {"path": "web"}}),
            );
            let text = shown["data"].as_str().unwrap_or_default().to_owned();
            text.contains(&format!("round = {round}")) && text.contains(&known)
        };
        wait_for("the new content is in force, with the id", is_in_force);
        assert_eq!(id(node).as_ref(), Some(&known));
        node.om_ok(&["web", "status", "--refresh"]);
        assert_eq!(node.wait_avail("web", "up")["avail"], "up");
        assert_eq!(sleeping(node, 71008), [first], "the same process, and no other");
    };
    node.write("etc/web.conf", &rewritten(1));
    is_kept(&node, 1);
    // A command may be the first to read it.
    node.write("etc/web.conf", &rewritten(2));
    node.om_ok(&["web", "status", "--local"]);
    is_kept(&node, 2);
    node.kill();
    node.write("etc/web.conf", &rewritten(3));
    node.start();
    is_kept(&node, 3);
    node.om_ok(&["web", "stop", "--wait", "--time", "20s"]);
    assert_eq!(sleeping(&node, 71008), [] as [u32; 0]);
}

#[test]
fn a_killed_process_is_noticed_at_once() {
    let node = Node::started("n1");
    node.write("etc/web.conf", &sleeper(71002));
    node.wait_instance("web", "to be kept up", |instance| {
        instance["monitor"]["local_expect"] == "started"
    });
    let mut events = Events::subscribe(&node, &json!({"full": true}));
    events.wait("the subscription begins", |document| document["kind"] == "full");
    let begin = std::time::Instant::now();
    kill(sleeping(&node, 71002)[0]);
    events.wait("the restart", |document| document["data"]["id"] == "resource_restart");
    assert!(begin.elapsed().as_secs() < 5, "noticed after {:?}", begin.elapsed());
}

#[test]
fn restarts_are_counted_and_used_up_until_a_clear() {
    let node = Node::started("n1");
    let dir = node.path("tmp").display().to_string();
    node.write("tmp/up", "");
    node.script("tmp/start", &format!("echo start >> {dir}/starts\ntest -e {dir}/up"));
    node.script("tmp/stop", "exit 0");
    node.script("tmp/check", &format!("test -e {dir}/up"));
    node.write(
        "etc/web.conf",
        "[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\nstart = {env.dir}/start\nstop = {env.dir}/stop\n\
         check = {env.dir}/check\nrestart = 2\n",
    );
    node.om_ok(&["web", "set", "--kw", &format!("env.dir={dir}")]);
    node.wait_instance("web", "to be kept up", |instance| {
        instance["avail"] == "up" && instance["monitor"]["local_expect"] == "started"
    });
    std::fs::remove_file(node.path("tmp/up")).expect("a file");
    node.om(&["web", "status", "--refresh"]);
    let retries = |instance: &Value| instance["monitor"]["restart"]["app#1"]["retries"].as_u64();
    node.wait_instance("web", "out of restarts", |instance| retries(instance) == Some(3));
    assert_eq!(node.read("tmp/starts").lines().count(), 2, "as many as the keyword allows");
    node.om_ok(&["web", "clear"]);
    node.wait_instance("web", "tried again", |instance| {
        retries(instance) == Some(3) && node.read("tmp/starts").lines().count() == 4
    });
}

/// Writes a service whose start waits for the file `tmp/go`, and which is up once it is there.
fn patient(node: &Node, name: &str) {
    let dir = node.path("tmp").display().to_string();
    node.script(
        "tmp/start",
        &format!("echo start >> {dir}/starts\nwhile ! test -e {dir}/go; do sleep 0.02; done"),
    );
    node.script("tmp/check", &format!("test -e {dir}/go"));
    node.write(
        &format!("etc/{name}.conf"),
        &format!("[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\nstart = {dir}/start\ncheck = {dir}/check\n"),
    );
}

/// Waits until the command that starts this service runs its script, and returns its pid.
fn starting(node: &Node, name: &str) -> u32 {
    wait_for("the script runs", || node.path("tmp/starts").exists());
    node.wait_instance(name, "starting", |instance| instance["monitor"]["status"] == "starting");
    // A moment after its start a command is there twice: forked, and not yet another program.
    harness::wait_until("one command runs", || {
        match node.processes(|line| line.ends_with(&format!(" {name} start --local")))[..] {
            [pid] => Some(pid),
            _ => None,
        }
    })
}

fn is_start_failed(instance: &Value) -> bool {
    instance["monitor"]["status"] == "start failed"
}

#[test]
fn a_start_whose_command_is_killed_has_failed() {
    let node = Node::started("n1");
    patient(&node, "killed1");
    kill(starting(&node, "killed1"));
    node.wait_instance("killed1", "start failed", is_start_failed);
    node.write("tmp/go", "");
    node.om_ok(&["killed1", "clear"]);
    node.wait_avail("killed1", "up");
}

#[test]
fn a_start_of_an_operator_that_is_killed_has_failed() {
    let node = Node::started("n1");
    patient(&node, "killed2");
    let pid = starting(&node, "killed2");
    kill(pid);
    node.wait_instance("killed2", "start failed", is_start_failed);
    std::fs::remove_file(node.path("tmp/starts")).expect("a file");
    let mut command = node.spawn(&["killed2", "start", "--local"]);
    starting(&node, "killed2");
    command.kill().expect("it runs");
    command.wait().expect("a child of ours");
    node.wait_instance("killed2", "start failed", is_start_failed);
}

#[test]
fn a_runner_that_panics_during_an_action_learns_its_end() {
    let mut node = Node::new("n1").with_env("OSVC_TEST_PANIC", "1");
    node.start();
    let panic = json!({"action": "test_panic", "options": {"actor": "runner"}});
    patient(&node, "panic1");
    let pid = starting(&node, "panic1");
    assert_eq!(node.request(&panic)["status"], 0);
    wait_for("the runner is back", || node.status()["runner"]["restarts"] == 1);
    kill(pid);
    node.wait_instance("panic1", "start failed", is_start_failed);
    std::fs::remove_file(node.path("tmp/starts")).expect("a file");
    node.om_ok(&["panic1", "clear"]);
    starting(&node, "panic1");
    assert_eq!(node.request(&panic)["status"], 0);
    node.write("tmp/go", "");
    let instance = node.wait_avail("panic1", "up");
    assert_eq!(instance["monitor"]["local_expect"], "started", "{instance:#}");
}

#[test]
fn an_action_outlives_the_daemon_and_its_end_is_learnt_by_the_next() {
    let mut node = Node::started("n1");
    patient(&node, "orphan1");
    starting(&node, "orphan1");
    node.kill();
    node.start();
    node.write("tmp/go", "");
    node.wait_instance("orphan1", "kept up", |instance| {
        instance["avail"] == "up"
            && instance["monitor"]["status"] == "idle"
            && instance["monitor"]["local_expect"] == "started"
    });
    assert_eq!(node.read("tmp/starts"), "start\n", "it was not started twice");

    std::fs::remove_file(node.path("tmp/go")).expect("a file");
    std::fs::remove_file(node.path("tmp/starts")).expect("a file");
    patient(&node, "orphan2");
    let pid = starting(&node, "orphan2");
    node.kill();
    kill(pid);
    node.start();
    // Whatever it had done is seen; it is started again, as it should run.
    std::fs::remove_file(node.path("tmp/starts")).expect("a file");
    starting(&node, "orphan2");
}

#[test]
fn a_task_runs_when_it_is_due_and_when_asked_and_its_failure_is_seen() {
    let node = Node::started("n1");
    let dir = node.path("tmp").display().to_string();
    node.script("tmp/run", &format!("echo run >> {dir}/runs\n! test -e {dir}/broken"));
    node.script("tmp/sorry", &format!("echo sorry >> {dir}/sorry"));
    node.write(
        "etc/job.conf",
        &format!(
            "[DEFAULT]\nnodes = n1\n[task#1]\ntype = host\ncommand = {dir}/run\non_error = {dir}/sorry\n\
             check = last_run\nschedule = @1s\n"
        ),
    );
    wait_for("it runs as scheduled", || node.path("tmp/runs").exists());
    let task = |instance: &Value| instance["resources"]["task#1"]["status"].clone();
    node.wait_instance("job", "run well", |instance| task(instance) == "up");
    let stamps = || {
        walk(&node.path("var/svc/job")).into_iter().filter(|file| file.contains("last_")).count()
    };
    wait_for("the run is noted", || stamps() > 0);

    node.write("tmp/broken", "");
    node.om(&["job", "run", "--rid", "task#1", "--local"]);
    node.wait_instance("job", "seen to have failed", |instance| task(instance) == "down");
    assert!(node.path("tmp/sorry").exists(), "on_error runs");
    std::fs::remove_file(node.path("tmp/broken")).expect("a file");
    node.wait_instance("job", "run well again", |instance| task(instance) == "up");
}

/// Paths of all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            path => vec![path.display().to_string()],
        })
        .collect()
}

#[test]
fn a_shutdown_ends_what_runs_and_stops_children_before_parents() {
    let mut node = Node::started("n1");
    let dir = node.path("tmp").display().to_string();
    for (name, more) in [("base", "children = top\n"), ("top", "parents = base\n")] {
        node.script(&format!("tmp/{name}.start"), &format!("touch {dir}/{name}.up"));
        node.script(
            &format!("tmp/{name}.stop"),
            &format!("rm {dir}/{name}.up && echo {name} >> {dir}/stopped"),
        );
        node.script(&format!("tmp/{name}.check"), &format!("test -e {dir}/{name}.up"));
        node.write(
            &format!("etc/{name}.conf"),
            &format!(
                "[DEFAULT]\nnodes = n1\norchestrate = ha\n{more}[app#1]\nstart = {dir}/{name}.start\n\
                 stop = {dir}/{name}.stop\ncheck = {dir}/{name}.check\n"
            ),
        );
    }
    node.wait_avail("base", "up");
    node.wait_avail("top", "up");
    let ended = node.om(&["daemon", "shutdown", "--time", "20s"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(node.wait_end(), Some(0));
    assert_eq!(node.read("tmp/stopped"), "top\nbase\n");
}

#[test]
fn a_shutdown_whose_time_is_over_ends_although_an_action_runs() {
    let mut node = Node::started("n1");
    patient(&node, "slow1");
    starting(&node, "slow1");
    let begin = std::time::Instant::now();
    let ended = node.om(&["daemon", "shutdown", "--time", "2s"]);
    assert!(begin.elapsed().as_secs() < 12, "after {:?}: {ended:?}", begin.elapsed());
    assert_eq!(node.wait_end(), Some(0));
}

#[test]
fn an_application_has_a_session_and_the_limits_of_who_started_the_daemon() {
    let node = Node::started("n1");
    let dir = node.path("tmp").display().to_string();
    node.script(
        "tmp/start",
        &format!(
            "ulimit -Sn > {dir}/limit; cut -d' ' -f6 /proc/$$/stat > {dir}/session; env > {dir}/env; touch {dir}/up"
        ),
    );
    node.script("tmp/check", &format!("test -e {dir}/up"));
    node.write(
        "etc/web.conf",
        &format!("[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\nstart = {dir}/start\ncheck = {dir}/check\n"),
    );
    node.wait_avail("web", "up");
    let ours = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let ours = ours.map_or("unlimited".to_owned(), |limit| limit.to_string());
    assert_eq!(node.read("tmp/limit").trim(), ours);
    let session = node.read("tmp/session");
    let daemon = std::fs::read_to_string(format!("/proc/{}/stat", node.pid())).expect("it runs");
    let daemons = daemon.rsplit_once(')').expect("a name").1.split_whitespace().nth(3);
    assert_ne!(Some(session.trim()), daemons);
    assert!(!node.read("tmp/env").contains("OSVC_DAEMON_CHILD"));
}

#[test]
fn a_failed_start_is_kept_until_a_clear() {
    let node = Node::started("n1");
    let dir = node.path("tmp").display().to_string();
    node.script("tmp/start", &format!("test -e {dir}/fixed && touch {dir}/up"));
    node.script("tmp/check", &format!("test -e {dir}/up"));
    node.write(
        "etc/web.conf",
        &format!("[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\nstart = {dir}/start\ncheck = {dir}/check\n"),
    );
    node.wait_instance("web", "start failed", |instance| {
        instance["monitor"]["status"] == "start failed"
    });
    node.write("tmp/fixed", "");
    node.om_ok(&["web", "clear"]);
    node.wait_avail("web", "up");
}

#[test]
fn freeze_thaw_provision_and_purge_reach_their_targets() {
    let node = Node::started("n1");
    node.om_ok(&[
        "svc1",
        "create",
        "--kw",
        "fs#1.type=flag",
        "--kw",
        "nodes=n1",
        "--kw",
        "orchestrate=ha",
    ]);
    node.wait_instance("svc1", "down and frozen", |instance| {
        instance["avail"] == "down" && instance["frozen"].as_f64() > Some(0.0)
    });
    node.om_ok(&["svc1", "provision", "--wait", "--time", "20s"]);
    node.wait_avail("svc1", "up");
    node.om_ok(&["svc1", "freeze", "--wait", "--time", "20s"]);
    assert!(node.path("var/svc/svc1/frozen").exists());
    node.om_ok(&["svc1", "thaw", "--wait", "--time", "20s"]);
    assert!(!node.path("var/svc/svc1/frozen").exists());
    node.om_ok(&["svc1", "restart", "--wait", "--time", "20s"]);
    node.wait_avail("svc1", "up");
    node.om_ok(&["svc1", "unprovision", "--wait", "--time", "20s"]);
    assert_eq!(node.wait_avail("svc1", "down")["provisioned"], false);
    node.om_ok(&["svc1", "purge", "--wait", "--time", "20s"]);
    wait_for("it is gone from the cluster data", || {
        node.status()["monitor"]["services"].get("svc1").is_none()
    });
    assert!(!node.path("etc/svc1.conf").exists());
}

#[test]
fn a_service_that_is_not_orchestrated_is_left_alone_until_asked() {
    let node = Node::started("n1");
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.wait_avail("svc1", "down");
    let before = node.om(&["svc1", "start", "--wait", "--time", "300ms"]);
    assert_eq!(before.code, Some(1), "what is not provisioned is not started: {before:?}");
    node.om_ok(&["svc1", "set", "provisioned"]);
    assert_eq!(node.instance("svc1")["avail"], "down", "a target that was refused is none");
    node.om_ok(&["svc1", "start", "--wait"]);
    assert!(node.om_ok(&["svc1", "print", "status"]).contains("fs#1"));
    let printed = node.om_ok(&["svc1", "print", "status", "--format", "json"]);
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(printed["avail"], "up", "{printed:#}");
    assert_eq!(printed["resources"]["fs#1"]["status"], "up");
    assert_eq!(node.om(&["svc1", "status"]).code, Some(0));
}

#[test]
fn objects_of_every_kind_are_listed_and_deleted_ones_vanish() {
    let node = Node::started("n1");
    for file in
        ["etc/svc1.conf", "etc/cfg/c1.conf", "etc/namespaces/test/svc/web.conf", "etc/vol/v1.conf"]
    {
        node.write(file, "[DEFAULT]\nnodes = n1\n");
    }
    let listed = || {
        let status = node.status();
        let services = status["monitor"]["services"].as_object().cloned().unwrap_or_default();
        services.into_iter().map(|(path, _)| path).collect::<Vec<_>>()
    };
    wait_for("all are listed", || {
        listed() == ["cfg/c1", "cluster", "svc1", "test/svc/web", "vol/v1"]
    });
    std::fs::remove_file(node.path("etc/svc1.conf")).expect("a file");
    wait_for("the deleted one is gone", || {
        listed() == ["cfg/c1", "cluster", "test/svc/web", "vol/v1"]
    });
    let printed = node.om_ok(&["**", "ls"]);
    assert!(printed.lines().any(|line| line == "test/svc/web"), "{printed}");
    assert!(!printed.lines().any(|line| line == "svc1"), "{printed}");
}

#[test]
fn what_runs_on_without_its_configuration_is_told_and_a_stop_ends_what_removed_sections_started() {
    let node = Node::started("n1");
    let app = |number: u32, seconds: &str| {
        format!("[app#{number}]\ntype = simple\nstart = /bin/sleep {seconds}\n")
    };
    let head = "[DEFAULT]\nid = 00000000-0000-4000-8000-00000000000a\nnodes = n1\n";
    node.write("etc/web.conf", &(head.to_owned() + &app(1, "3001.5") + &app(2, "3002.5")));
    node.wait_avail("web", "down");
    node.om_ok(&["web", "start", "--local"]);
    let running = |seconds: &str| {
        let line = format!("/bin/sleep {seconds}");
        node.processes(|command| command == line).len()
    };
    assert_eq!((running("3001.5"), running("3002.5")), (1, 1));
    let told = || node.om(&["mon"]).out;
    // Another command for what runs: it is the same process, until it is started anew.
    let in_force = || {
        let nodes = node.status()["monitor"]["nodes"].clone();
        nodes["n1"]["services"]["config"]["web"]["csum"].clone()
    };
    let before = in_force();
    node.write("etc/web.conf", &(head.to_owned() + &app(1, "3003.5") + &app(2, "3002.5")));
    wait_for("the edit is in force", || in_force() != before);
    node.om_ok(&["web", "start", "--local"]);
    assert_eq!((running("3001.5"), running("3003.5")), (1, 0));
    node.write("etc/web.conf", &(head.to_owned() + &app(1, "3003.5")));
    wait_for("what app#2 started is told", || told().contains("what removed sections started"));
    node.om_ok(&["web", "stop", "--local"]);
    assert_eq!((running("3001.5"), running("3002.5")), (0, 0));
    wait_for("no more", || !told().contains("what removed sections started"));
    node.om_ok(&["web", "start", "--local"]);
    let refused = node.om(&["web", "delete", "--local"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("web runs here (app#1)"), "{refused:?}");
    std::fs::remove_file(node.path("etc/web.conf")).expect("its file");
    wait_for("it is told", || told().contains("web has no configuration here"));
    node.write("etc/web.conf", &(head.to_owned() + &app(1, "3003.5")));
    node.wait_avail("web", "up");
    node.om_ok(&["web", "delete", "--force", "--wait", "--time", "20s"]);
    assert_eq!(running("3003.5"), 0);
    assert!(!node.path("etc/web.conf").exists());
}

#[test]
fn a_renamed_section_is_warn_until_a_stop() {
    let node = Node::started("n1");
    let app = |number: u32| {
        format!(
            "[DEFAULT]\nid = 00000000-0000-4000-8000-00000000000b\nnodes = n1\norchestrate = ha\n[app#{number}]\ntype = simple\nstart = /bin/sleep 3004.5\n"
        )
    };
    node.write("etc/web.conf", &app(1));
    node.wait_avail("web", "up");
    node.write("etc/web.conf", &app(2));
    // Nothing is started beside what runs.
    let web = node.wait_instance("web", "what app#1 started is told", |web| {
        web["resources"]["app#1"]["label"] == "removed section"
    });
    assert_eq!(web["avail"], "warn", "{web}");
    assert_eq!(node.processes(|line| line == "/bin/sleep 3004.5").len(), 1);
    node.om_ok(&["web", "stop", "--wait", "--time", "20s"]);
    assert_eq!(node.processes(|line| line == "/bin/sleep 3004.5"), Vec::<u32>::new());
    node.wait_avail("web", "down");
}
