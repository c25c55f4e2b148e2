//! Promise: tasks run when they are due, and no more of them than allowed; what is looked at regularly is looked at as
//! often as asked, and what changes by itself is seen without asking.

use std::process::Child;

use harness::{Node, wait_for, wait_until};
use serde_json::{Value, json};

fn lines(node: &Node, file: &str) -> usize {
    std::fs::read_to_string(node.path(file)).unwrap_or_default().lines().count()
}

/// The scheduled work of an object, as request `schedules` shows it.
fn schedule(node: &Node, path: &str, parameter: &str) -> Value {
    let reply = node.request(&json!({"action": "schedules", "method": "GET"}));
    let all = reply["data"].as_array().cloned().unwrap_or_default();
    let is_meant = |work: &&Value| work["path"] == path && work["config_parameter"] == parameter;
    all.iter().find(is_meant).cloned().unwrap_or_default()
}

#[test]
fn no_more_runs_of_a_task_than_max_parallel_are_in_progress() {
    let node = Node::started("n1");
    let dir = node.path("tmp").display().to_string();
    let wait = format!("echo run >> {dir}/runs; while ! test -e {dir}/go; do sleep 0.02; done");
    node.script("tmp/wait", &wait);
    node.write(
        "etc/job.conf",
        &format!(
            "[DEFAULT]\nnodes = n1\n[task#1]\ntype = host\ncommand = {dir}/wait\nmax_parallel = 2\n"
        ),
    );
    node.wait_instance("job", "known", |instance| instance["resources"]["task#1"].is_object());
    let words = ["job", "run", "--rid", "task#1", "--local"];
    let mut running: Vec<Child> = (0..2).map(|_| node.spawn(&words)).collect();
    wait_for("two run", || lines(&node, "tmp/runs") == 2);
    let third = node.om(&words);
    assert_eq!(third.code, Some(1), "{third:?}");
    assert!(third.err.contains("max_parallel is 2"), "{third:?}");
    node.write("tmp/go", "");
    for run in &mut running {
        assert_eq!(run.wait().expect("a child of ours").code(), Some(0));
    }
    node.om_ok(&words);
    assert_eq!(lines(&node, "tmp/runs"), 3, "what was refused did not run");
}

#[test]
fn monitored_resources_are_looked_at_as_often_as_monitor_schedule_says_and_the_others_are_not() {
    let node = Node::started("n1");
    let dir = node.path("tmp").display().to_string();
    for name in ["often", "rarely"] {
        node.script(&format!("tmp/{name}"), &format!("echo look >> {dir}/{name}.looks"));
    }
    node.write(
        "etc/web.conf",
        &format!(
            "[DEFAULT]\nnodes = n1\nstatus_schedule = @0\nmonitor_schedule = @1s\n\
             [app#1]\nstart = /bin/true\ncheck = {dir}/often\nmonitor = true\n\
             [app#2]\nstart = /bin/true\ncheck = {dir}/rarely\n"
        ),
    );
    node.wait_avail("web", "up");
    node.om_ok(&["web", "set", "provisioned"]);
    // The looks that the command caused are over once the schedule alone makes some.
    let mut rarely = 0;
    wait_for("three looks in a row by the schedule alone", || {
        let (often, before) = (lines(&node, "tmp/often.looks"), lines(&node, "tmp/rarely.looks"));
        wait_for("another look", || lines(&node, "tmp/often.looks") >= often + 3);
        rarely = lines(&node, "tmp/rarely.looks");
        rarely == before
    });
    assert!(rarely >= 1, "both were evaluated at first");
}

#[test]
fn a_run_that_somebody_else_made_moves_the_next_one() {
    let node = Node::started("n1");
    for name in ["job1", "job2"] {
        let text =
            "[DEFAULT]\nnodes = n1\n[task#1]\ntype = host\ncommand = /bin/true\nschedule = @30m\n";
        node.write(&format!("etc/{name}.conf"), text);
    }
    let task = |path: &str| schedule(&node, path, "task#1.schedule");
    let ran = |path: &str| {
        wait_until("it ran for the first time, and waits for the next", || {
            let task = task(path);
            (task["last_run"].as_f64() > Some(0.0) && task["next_run"].is_f64()).then_some(task)
        })
    };
    let (before, other) = (ran("job1"), ran("job2"));
    let done = |options: Value| {
        node.request(&json!({"action": "run_done", "method": "POST", "options": options}))
    };
    let options = json!({"path": "job1", "action": "run", "rids": ["task#1"]});
    assert_eq!(done(options), json!({"status": 0}));
    let after = task("job1");
    assert!(after["last_run"].as_f64() > before["last_run"].as_f64(), "{before} {after}");
    let (last, next) = (after["last_run"].as_f64(), after["next_run"].as_f64());
    let pause = next.zip(last).map(|(next, last)| next - last);
    assert!(pause.is_some_and(|pause| (1_790.0..1_810.0).contains(&pause)), "{after}");
    for options in [
        json!({"path": "job2", "action": "sync_all", "rids": ["task#1"]}),
        json!({"path": "job2", "action": "run", "rids": ["task#9"]}),
        json!({"path": "nope", "action": "run", "rids": []}),
    ] {
        assert_eq!(done(options), json!({"status": 0}));
    }
    assert_eq!(task("job2"), other, "another work, resource or object is not meant");
    let missing = done(json!({"path": "job1"}));
    assert_ne!(missing["status"], 0, "{missing}");
}

#[test]
fn a_file_that_changes_by_itself_changes_the_status() {
    let node = Node::started("n1");
    node.write(
        "etc/job.conf",
        "[DEFAULT]\nnodes = n1\nstatus_schedule = @0\n[task#1]\ntype = host\ncommand = /bin/true\ncheck = last_run\n",
    );
    let wait_status = |status: &str| {
        node.wait_instance("job", status, |job| job["resources"]["task#1"]["status"] == status)
    };
    wait_status("n/a");
    let file = "var/svc/job/task#1/last_run_retcode";
    for (text, status) in [("1", "down"), ("0", "up"), ("3", "down")] {
        node.write(file, text);
        wait_status(status);
    }
    std::fs::remove_file(node.path(file)).expect("a file");
    wait_status("n/a");
}
