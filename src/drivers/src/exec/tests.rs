use super::*;

const AGENT: &str = "/proc/self/exe";

fn run(program: &Program) -> Ended {
    program.run(AGENT.as_ref(), &Interrupt::default(), &Journal::for_test()).unwrap()
}

fn shell(script: &str) -> Program {
    Program::new(["/bin/sh", "-c", script])
}

#[test]
fn output_and_code_are_told() {
    let ended = run(&shell("echo one; echo two >&2; exit 3"));
    let expected = Ended {
        code: 3,
        out: "one\n".into(),
        err: "two\n".into(),
        is_late: false,
        is_interrupted: false,
    };
    assert_eq!(ended, expected);
    assert_eq!(ended.last_line(), "two");
}

#[test]
fn a_program_that_leaves_a_child_behind_is_not_waited_for() {
    let started = Instant::now();
    let ended = run(&shell("sleep 30 & echo $!"));
    assert!(started.elapsed() < Duration::from_secs(10));
    let pid = Pid::from_raw(ended.out.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

#[test]
fn a_late_program_is_asked_to_end_then_made_to() {
    let polite = run(&shell("sleep 30").timeout(Some(Duration::from_millis(50))));
    assert!(polite.is_late && !polite.is_success());
    assert_eq!(polite.code, 128 + 15);
    let deaf = shell("trap '' TERM; while :; do sleep 0.01; done");
    let started = Instant::now();
    let ended = run(&deaf.timeout(Some(Duration::from_millis(100))));
    assert_eq!(ended.code, 128 + 9);
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_program_ends_when_the_action_is_asked_to_end_and_none_is_begun_then() {
    let interrupt = Interrupt::default();
    let asked = interrupt.clone();
    let asking = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        asked.raise();
    });
    let started = Instant::now();
    let journal = Journal::for_test();
    let ended = shell("sleep 30").run(AGENT.as_ref(), &interrupt, &journal).unwrap();
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(ended.is_interrupted && !ended.is_late && !ended.is_success(), "{ended:?}");
    asking.join().unwrap();
    let next = shell("echo out").run(AGENT.as_ref(), &interrupt, &journal).unwrap();
    assert_eq!(next, Ended::not_begun());
    assert!(interrupt.take());
    let next = shell("echo out").run(AGENT.as_ref(), &interrupt, &journal).unwrap();
    assert_eq!(next.out, "out\n");
}

#[test]
fn the_helpers_of_a_tool_end_with_it() {
    let tool = shell("sleep 1000.75 & echo $!; wait");
    let ended = run(&tool.timeout(Some(Duration::from_millis(300))));
    assert!(ended.is_late);
    let stat = format!("/proc/{}/stat", ended.out.trim());
    let started = Instant::now();
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(started.elapsed() < Duration::from_secs(10), "{stat} is still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_program_that_writes_without_end_is_late_all_the_same() {
    let started = Instant::now();
    let ended = run(&shell("exec yes").timeout(Some(Duration::from_millis(100))));
    assert!(ended.is_late);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn every_program_has_a_limit_unless_it_is_lifted() {
    assert_eq!(shell("true").time_limit(), Some(LIMIT));
    assert_eq!(shell("true").timeout(None).time_limit(), None);
}

#[test]
fn a_huge_output_is_bounded_and_does_not_block() {
    let ended = run(&shell("head -c 3000000 /dev/zero | tr '\\0' x"));
    assert_eq!(ended.code, 0);
    assert_eq!(ended.out.len(), stream::LONGEST_CAPTURE);
}

#[test]
fn a_missing_program_is_named() {
    let error = Program::new(["/no/such/program"])
        .run(AGENT.as_ref(), &Interrupt::default(), &Journal::for_test())
        .unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

#[test]
fn a_started_program_is_left_to_itself_and_an_early_end_is_told() {
    let early = shell("exit 4").output(Output::Null);
    assert_eq!(early.start(AGENT.as_ref(), Duration::from_secs(10), |_| ()).unwrap(), Some(4));
    let late = shell("sleep 2").output(Output::Null);
    assert_eq!(late.start(AGENT.as_ref(), Duration::from_millis(20), |_| ()).unwrap(), None);
}

#[test]
fn words_are_never_read_by_a_shell() {
    let ended = run(&Program::new(["/bin/echo", "a;b", "$(c)", "`d`"]));
    assert_eq!(ended.out, "a;b $(c) `d`\n");
}
