//! `task.host`.

use model::InstanceAction::{Run, Stop};
use model::{ActionOptions, Status};

use crate::resource::node::{Node, wait_until};

#[test]
fn a_task_runs_when_asked_and_its_last_run_is_its_state() {
    let node = Node::new(
        "[task#1]\ncommand = /bin/sh -c 'echo run >>{dir}/out; exit `cat {dir}/code`'\ncheck = last_run\n\
         on_error = /bin/touch {dir}/failed\n",
    );
    assert_eq!(node.state("task#1"), Status::NotApplicable);
    std::fs::write(node.file("code"), "0").unwrap();
    assert_eq!(node.act_on(Run, "task#1"), 0);
    assert_eq!(node.state("task#1"), Status::Up);
    assert!(!node.file("failed").exists());
    std::fs::write(node.file("code"), "4").unwrap();
    assert_eq!(node.act_on(Run, "task#1"), 1);
    assert_eq!(node.state("task#1"), Status::Down);
    assert!(node.file("failed").exists());
    assert_eq!(node.lines("out"), ["run", "run"]);
    assert_eq!(std::fs::read_to_string(node.var("task#1").join("last_run_retcode")).unwrap(), "1");
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("task#1"), Status::NotApplicable);
}

#[test]
fn a_task_that_runs_is_not_run_again_beyond_its_limit() {
    let node = Node::new(
        "[task#1]\ncommand = /bin/sh -c 'touch {dir}/on; while test ! -f {dir}/off; do sleep 0.02; done'\n",
    );
    std::thread::scope(|scope| {
        let first = scope.spawn(|| node.act(Run));
        wait_until("the task runs", || node.file("on").exists());
        assert_eq!(node.status().running, ["task#1"]);
        assert_eq!(node.act(Run), 1);
        std::fs::write(node.file("off"), "").unwrap();
        assert_eq!(first.join().unwrap(), 0);
    });
    assert!(node.status().running.is_empty());
}

#[test]
fn a_task_that_asks_is_run_only_when_confirmed() {
    let node = Node::new("[task#1]\ncommand = /bin/touch {dir}/out\nconfirmation = true\n");
    assert_eq!(node.act(Run), 1);
    assert!(!node.file("out").exists());
    let options = ActionOptions { confirm: true, ..Default::default() };
    assert_eq!(node.act_with(Run, &options), 0);
    assert!(node.file("out").exists());
}

#[test]
fn a_late_task_fails() {
    let node = Node::new("[task#1]\ncommand = /bin/sleep 1000.03125\ntimeout = 1\n");
    assert_eq!(node.act(Run), 1);
}

#[test]
fn a_run_whose_process_id_another_process_has_now_is_over() {
    let node = Node::new("[task#1]\ncommand = /bin/touch {dir}/out\n");
    let run = node.var("task#1").join("run");
    std::fs::create_dir_all(&run).unwrap();
    // Started with the machine, which the test was not.
    std::fs::write(run.join(std::process::id().to_string()), "1").unwrap();
    assert!(node.status().running.is_empty());
    assert_eq!(node.act(Run), 0);
    assert!(node.file("out").exists());
}
