//! `app.simple` and `app.forking`.

use std::time::{Duration, Instant};

use model::InstanceAction::{Start, Startstandby, Stop};
use model::Status;

use crate::resource::node::{Node, is_root, wait_until};

fn pids(node: &Node) -> Vec<u32> {
    node.evaluate().watch.pids.values().flatten().copied().collect()
}

fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_simple_app_is_up_while_its_process_lives() {
    let node = Node::new("[app#1]\ntype = simple\nstart = /bin/sleep 1000.25\n");
    assert_eq!(node.state("app#1"), Status::Down);
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.state("app#1"), Status::Up);
    let first = pids(&node);
    assert_eq!(first.len(), 1);
    // A second start finds it.
    assert_eq!(node.act(Start), 0);
    assert_eq!(pids(&node), first);
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("app#1"), Status::Down);
    assert!(!is_alive(first[0]));
}

#[test]
fn a_simple_app_that_ends_at_once_with_an_error_is_a_failed_start() {
    let node = Node::new("[app#1]\ntype = simple\nstart = /bin/sh -c 'exit 3'\n");
    assert_eq!(node.act(Start), 1);
    assert_eq!(node.state("app#1"), Status::Down);
}

#[test]
fn a_simple_app_whose_process_is_killed_is_down_although_it_was_known() {
    let node = Node::new("[app#1]\ntype = simple\nstart = /bin/sleep 1000.5\n");
    assert_eq!(node.act(Start), 0);
    let found = node.evaluate();
    let pid = found.watch.pids["app#1"].first().copied().unwrap();
    let raw = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    wait_until("it is dead", || !is_alive(pid));
    let object = files::load::load_object(&node.host.paths, &node.host.node, &node.path).unwrap();
    let again =
        drivers::evaluate(&node.host, &object, Some(&found.status), Some(&found.watch), None);
    assert_eq!(again.status.avail, Some(Status::Down));
    assert!(again.watch.pids.is_empty());
}

#[test]
fn a_tree_is_killed_with_all_its_children() {
    let node = Node::new("[app#1]\ntype = simple\nkill = tree\nstart = {dir}/tree.sh\n");
    node.script("tree.sh", "#!/bin/sh\nsleep 1000.75 &\necho $! >$0.child\nwait\n");
    assert_eq!(node.act(Start), 0);
    wait_until("the child runs", || !node.lines("tree.sh.child").is_empty());
    let child: u32 = node.lines("tree.sh.child")[0].parse().unwrap();
    assert!(is_alive(child));
    assert_eq!(node.act(Stop), 0);
    assert!(!is_alive(child));
}

#[test]
fn a_tree_whose_stop_failed_is_not_down_and_is_not_started_beside_itself() {
    let node = Node::new("[app#1]\ntype = simple\nkill = tree\nstart = {dir}/tree.sh\n");
    // The main process ends when told, what it started does not.
    node.script(
        "tree.sh",
        "#!/bin/sh\n(trap '' TERM; exec sleep 1000.875) &\necho $! >$0.child\nwait\n",
    );
    assert_eq!(node.act(Start), 0);
    wait_until("the child runs", || !node.lines("tree.sh.child").is_empty());
    let child: u32 = node.lines("tree.sh.child")[0].parse().unwrap();
    wait_until("the child ignores the signal", || {
        let line = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap();
        line.contains("1000.875")
    });
    assert_eq!(node.act(Stop), 1);
    assert_eq!(node.state("app#1"), Status::Warn);
    assert_eq!(
        node.log("app#1"),
        [format!("warn: its main process is gone, still running: {child}")]
    );
    assert_eq!(node.act(Start), 1);
    assert_eq!(pids(&node), [child]);
    let raw = rustix::process::Pid::from_raw(child.try_into().unwrap()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    wait_until("it is down", || node.state("app#1") == Status::Down);
}

#[test]
fn a_program_that_calls_itself_otherwise_is_up_once_and_stopped() {
    let node = Node::new("[app#1]\ntype = simple\nstart = {dir}/wrap.sh\n");
    node.script("wrap.sh", "#!/bin/bash\nexec -a 'redis-server *:6379' sleep 1000.21\n");
    assert_eq!(node.act(Start), 0);
    let started = || pids(&node);
    wait_until("it has its name", || {
        started().iter().any(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.starts_with("redis-server *:6379"))
        })
    });
    let first = started();
    assert_eq!(node.state("app#1"), Status::Up);
    assert_eq!(node.log("app#1"), [] as [&str; 0]);
    assert_eq!(node.act(Start), 0);
    assert_eq!(started(), first);
    assert_eq!(node.act(Stop), 0);
    assert!(!is_alive(first[0]));
    assert_eq!(node.state("app#1"), Status::Down);
}

#[test]
fn what_a_wrapper_started_is_stopped_too_and_not_run_twice() {
    for child in ["sleep 1000.31", "env -i sleep 1000.32"] {
        let node = Node::new("[app#1]\ntype = simple\nstart = {dir}/wrap.sh\n");
        let script = format!("#!/bin/sh\n{child} &\necho $! >>$0.child\nwait\n");
        node.script("wrap.sh", &script);
        let child = |at: usize| {
            wait_until("the child runs", || node.lines("wrap.sh.child").len() > at);
            node.lines("wrap.sh.child")[at].parse::<u32>().unwrap()
        };
        assert_eq!(node.act(Start), 0);
        let first = child(0);
        assert_eq!(node.act(Stop), 0);
        assert!(!is_alive(first));
        assert_eq!(node.state("app#1"), Status::Down);
        // One whose wrapper was killed goes on, is seen, and ended before another one is started.
        assert_eq!(node.act(Start), 0);
        let second = child(1);
        let wrapper = pids(&node)[0];
        let raw = rustix::process::Pid::from_raw(wrapper.try_into().unwrap()).unwrap();
        rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
        wait_until("the wrapper is dead", || !is_alive(wrapper));
        assert_eq!(node.state("app#1"), Status::Warn);
        let told = format!("warn: its main process is gone, still running: {second}");
        assert_eq!(node.log("app#1"), [told]);
        assert_eq!(node.act(Start), 0);
        let third = child(2);
        assert!(!is_alive(second) && is_alive(third));
        assert_eq!(node.state("app#1"), Status::Up);
        assert_eq!(node.act(Stop), 0);
        assert!(!is_alive(third));
    }
}

#[test]
fn a_stop_that_leaves_something_running_says_what() {
    let node = Node::new("[app#1]\ntype = simple\nstart = {dir}/wrap.sh\n");
    node.script(
        "wrap.sh",
        "#!/bin/sh\n(trap '' TERM; exec sleep 1000.41) &\necho $! >$0.child\nwait\n",
    );
    assert_eq!(node.act(Start), 0);
    wait_until("the child runs", || !node.lines("wrap.sh.child").is_empty());
    let child: u32 = node.lines("wrap.sh.child")[0].parse().unwrap();
    wait_until("the child ignores the signal", || {
        let line = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap();
        line.contains("1000.41")
    });
    assert_eq!(node.act(Stop), 1);
    assert_eq!(
        node.log("app#1"),
        [format!("warn: its main process is gone, still running: {child}")]
    );
    let raw = rustix::process::Pid::from_raw(child.try_into().unwrap()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn signs_of_patterns_in_a_command_are_text() {
    let node = Node::new("[app#1]\ntype = simple\nstart = '{dir}/a[1]*(.sh' 'x+*(' {dir}/.*\n");
    node.script("a[1]*(.sh", "#!/bin/sh\nwhile :; do sleep 0.05; done\n");
    // What such a pattern would find, and the text does not.
    let script = "while :; do sleep 0.05; done";
    let mut other =
        std::process::Command::new("/bin/sh").args(["-c", script, "a1", "xx("]).spawn().unwrap();
    assert_eq!(node.state("app#1"), Status::Down);
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.state("app#1"), Status::Up);
    let first = pids(&node);
    assert_eq!(node.act(Start), 0);
    assert_eq!(pids(&node), first);
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("app#1"), Status::Down);
    assert!(is_alive(other.id()));
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_process_of_a_stranger_is_neither_taken_for_the_app_nor_stopped_with_it() {
    use std::os::unix::process::CommandExt as _;
    if !is_root() {
        println!("skipped: only root may be another user");
        return;
    }
    let id = "0b0e-stranger";
    for (kill, user) in [("parent", ""), ("tree", ""), ("tree", "user = daemon\n")] {
        let node = Node::new(&format!(
            "[DEFAULT]\nid = {id}\n[app#1]\ntype = simple\nkill = {kill}\n{user}cwd = /\n\
             start = /bin/sleep 1000.51\n"
        ));
        let forge = |uid: u32| {
            let mut command = std::process::Command::new("/bin/sleep");
            command.arg("1000.51").uid(uid).env("OPENSVC_SVC_ID", id);
            command.env("OPENSVC_RID", "app#1").spawn().unwrap()
        };
        let mut forged = forge(65_534);
        let is_forged = || {
            std::fs::read(format!("/proc/{}/cmdline", forged.id()))
                .is_ok_and(|line| line.starts_with(b"/bin/sleep"))
        };
        wait_until("it runs", is_forged);
        assert_eq!(node.state("app#1"), Status::Down, "{kill} {user}");
        assert_eq!(node.act(Start), 0);
        assert_eq!(node.state("app#1"), Status::Up);
        let found = pids(&node);
        assert!(found.len() == 1 && found[0] != forged.id(), "{found:?}");
        assert_eq!(node.act(Stop), 0, "{kill} {user}");
        assert!(!is_alive(found[0]) && is_alive(forged.id()), "{kill} {user}");
        forged.kill().unwrap();
        forged.wait().unwrap();
        // One that a deployed agent launched before, as root or as the user of the app, is found by its marks.
        for uid in if user.is_empty() { vec![0] } else { vec![0, 1] } {
            let mut own = forge(uid);
            wait_until("it is up", || node.state("app#1") == Status::Up);
            assert_eq!(pids(&node), [own.id()]);
            let pid = own.id();
            let waiter = std::thread::spawn(move || own.wait().unwrap());
            assert_eq!(node.act(Stop), 0);
            waiter.join().unwrap();
            assert!(!is_alive(pid));
        }
    }
}

#[test]
fn an_app_knows_its_object_its_limits_and_its_own_variables() {
    let node = Node::with_path(
        "ns1/svc/web",
        "[DEFAULT]\nid = 0b0e-test\n[app#1]\ntype = forking\nstart = {dir}/env.sh\numask = 027\n\
         cwd = {dir}/tmp\nlimit_nofile = 64\nlimit_core = 0\nenvironment = color=\"dark blue\"\n",
    );
    let script = node.file("env.sh");
    std::fs::write(
        &script,
        "#!/bin/sh\nd=$(dirname $0)\n{ umask; pwd; ulimit -n; ulimit -c; echo $OPENSVC_RID $OPENSVC_SVC_ID \
         $OPENSVC_NAMESPACE $OPENSVC_SVCPATH \"$COLOR\" [$OSVC_EXEC_CONTEXT]; ps -o sid= -p $$ 2>/dev/null \
         || true; } >$d/out\n",
    )
    .unwrap();
    // It is no executable yet: the agent makes it one.
    assert_eq!(node.act(Start), 0);
    let lines = node.lines("out");
    let tmp = node.file("tmp").canonicalize().unwrap().display().to_string();
    assert_eq!(lines[0], "0027");
    assert_eq!(lines[1], tmp);
    assert_eq!(lines[2], "64");
    assert_eq!(lines[3], "0");
    assert_eq!(lines[4], "app#1 0b0e-test ns1 ns1/svc/web dark blue []");
}

#[test]
fn an_app_runs_as_its_user() {
    if !is_root() {
        println!("skipped: only root may change users");
        return;
    }
    let node = Node::new(
        "[app#1]\ntype = forking\nuser = nobody\ncwd = /\ncheck = /bin/sh -c 'test `id -un` = nobody'\n",
    );
    assert_eq!(node.state("app#1"), Status::Up);
}

#[test]
fn a_forking_app_is_started_checked_and_stopped_by_its_launcher() {
    let node = Node::new(
        "[app#1]\ntype = forking\nscript = web\nstart = 10\nstop = 10\ncheck = 10\ninfo = 10\n\
         retcodes = 0:up 1:down 3:warn\n",
    );
    let launchers = node.host.paths.launchers(&node.path);
    std::fs::create_dir_all(&launchers).unwrap();
    std::fs::write(
        launchers.join("web"),
        "#!/bin/sh\nf=$0.state\ncase $1 in\nstart) echo 0 >$f;; stop) rm -f $f;; status) test -f $f || exit 1; \
         exit $(cat $f);; info) echo 'port: 80'; echo 'bad';; esac\n",
    )
    .unwrap();
    assert_eq!(node.act(Start), 0);
    let status = node.status();
    let resource = &status.resources.unwrap()["app#1"];
    assert_eq!(resource.status, Status::Up);
    assert_eq!(resource.label, "forking: web");
    assert_eq!(resource.info["port"], "80");
    std::fs::write(launchers.join("web.state"), "3").unwrap();
    assert_eq!(node.state("app#1"), Status::Warn);
    std::fs::write(launchers.join("web.state"), "9").unwrap();
    assert_eq!(node.state("app#1"), Status::Warn);
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("app#1"), Status::Down);
}

#[test]
fn a_late_start_is_ended_with_all_it_started() {
    let node = Node::new("[app#1]\ntype = forking\nstart_timeout = 1\nstart = {dir}/late.sh\n");
    node.script("late.sh", "#!/bin/sh\nsleep 1000.125 &\necho $! >$0.child\nwait\n");
    let started = Instant::now();
    assert_eq!(node.act(Start), 1);
    assert!(started.elapsed() < Duration::from_secs(15));
    let child: u32 = node.lines("late.sh.child")[0].parse().unwrap();
    wait_until("the child is gone", || !is_alive(child));
}

#[test]
fn an_app_without_its_base_is_not_evaluated() {
    let node = Node::new("[fs#1]\ntype = flag\n[app#1]\ntype = forking\ncheck = /bin/true\n");
    assert_eq!(node.state("app#1"), Status::NotApplicable);
    assert_eq!(node.log("app#1"), ["info: not evaluated (instance not up)"]);
    assert_eq!(node.act_on(Start, "fs#1"), 0);
    assert_eq!(node.state("app#1"), Status::Up);
}

#[test]
fn standby_resources_that_are_up_carry_an_app() {
    let node = Node::new(
        "[fs#1]\ntype = flag\nstandby = true\n[app#1]\ntype = forking\ncheck = /bin/true\n",
    );
    assert_eq!(node.state("app#1"), Status::NotApplicable);
    assert_eq!(node.act(Startstandby), 0);
    assert_eq!(node.state("app#1"), Status::Up);
    assert_eq!(node.status().avail, Some(Status::Up));
    // Beside one that is down they do not.
    let node = Node::new(
        "[fs#1]\ntype = flag\nstandby = true\n[fs#2]\ntype = flag\n\
         [app#1]\ntype = forking\ncheck = /bin/true\n",
    );
    assert_eq!(node.act(Startstandby), 0);
    assert_eq!(node.state("app#1"), Status::NotApplicable);
    assert_eq!(node.status().avail, Some(Status::StdbyUp));
}

#[test]
fn an_app_that_runs_without_its_base_is_seen() {
    let node =
        Node::new("[fs#1]\ntype = flag\n[app#1]\ntype = simple\nstart = /bin/sleep 1000.375\n");
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.act_on(Stop, "fs#1"), 0);
    assert_eq!(node.state("app#1"), Status::Up);
    assert_eq!(node.status().avail, Some(Status::Warn));
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("app#1"), Status::NotApplicable);
    assert_eq!(node.status().avail, Some(Status::Down));
}

#[test]
fn a_stop_that_stops_nothing_is_an_error() {
    let node = Node::new(
        "[app#1]\ntype = forking\nstart = /bin/touch {dir}/up\nstop = /bin/true\n\
         check = /usr/bin/test -f {dir}/up\n\
         [app#2]\ntype = forking\noptional = true\ncheck = /bin/true\n",
    );
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.act(Stop), 1);
    assert_eq!(node.act_on(Stop, "app#1"), 1, "alone too");
    std::fs::remove_file(node.file("up")).unwrap();
    assert_eq!(node.act(Stop), 0);
}

#[test]
fn an_app_may_end_after_its_stop_command() {
    let node = Node::new(
        "[app#1]\ntype = forking\nstart = /bin/touch {dir}/up\nstop = {dir}/stop.sh\n\
         check = /usr/bin/test -f {dir}/up\n",
    );
    node.script("stop.sh", "#!/bin/sh\n(sleep 0.5; rm $(dirname $0)/up) &\n");
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("app#1"), Status::Down);
}

#[test]
fn a_command_line_is_no_shell_script_unless_it_says_so() {
    let node = Node::new(
        "[app#1]\ntype = forking\nstart = /bin/echo a;/bin/touch {dir}/b `/bin/touch {dir}/c`\n\
         [app#2]\ntype = forking\nstart = /bin/touch {dir}/d && /bin/touch {dir}/e\n",
    );
    assert_eq!(node.act(Start), 0);
    let is = |name: &str| node.file(name).exists();
    assert!(!is("b") && !is("c"));
    assert!(is("d") && is("e"));
}

#[test]
fn a_hung_check_is_a_warning_within_the_deadline() {
    let mut node = Node::new(
        "[app#1]\ntype = forking\ncheck = /bin/sleep 1000.0625\n[app#2]\ntype = forking\ncheck = /bin/true\n",
    );
    node.host.deadline = Duration::from_millis(300);
    let started = Instant::now();
    let resources = node.status().resources.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(resources["app#1"].status, Status::Warn);
    assert_eq!(resources["app#2"].status, Status::Up);
}

#[test]
fn secrets_reach_an_app_by_its_environment() {
    let node = Node::new(
        "[app#1]\ntype = forking\nconfigs_environment = cfg1/key.a\nsecrets_environment = PASS=sec1/pw\n\
         start = /bin/sh -c 'echo $KEY_A:$PASS >{dir}/out'\n",
    );
    let path = |text| model::ObjectPath::parse(text).unwrap();
    node.configure(&path("cfg/cfg1"), "[data]\nkey.a = literal:hello\n");
    node.configure(&path("sec/sec1"), "[data]\npw = literal:s3cret\n");
    assert_eq!(node.act(Start), 0);
    assert_eq!(node.lines("out"), ["hello:s3cret"]);
}
