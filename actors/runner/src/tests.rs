use std::sync::Mutex;

use model::NodeName;
use tokio::sync::mpsc;

use std::time::Duration;

use model::{Status, Timestamp};

use arc_swap::ArcSwap;

use super::*;

use dataset::snapshot::Snapshot;
use mail::runner::{
    ActionFound, AwaitAction, Awaited, CommandOutcome, DequeueActions, Evaluate, Forget, Post,
    RunAction, RunCommand,
};

/// Hears what is published.
struct Ear(mpsc::UnboundedSender<SetInstance>);

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<SetInstance> for Ear {
    type Result = ();

    fn handle(&mut self, msg: SetInstance, _: &mut Context<Self>) {
        _ = self.0.send(msg);
    }
}

impl Handler<mail::root::ThreadReport> for Ear {
    type Result = ();

    fn handle(&mut self, _: mail::root::ThreadReport, _: &mut Context<Self>) {}
}

impl Handler<Flush> for Ear {
    type Result = u64;

    fn handle(&mut self, _: Flush, _: &mut Context<Self>) -> u64 {
        1
    }
}

struct Bench {
    folder: tempfile::TempDir,
    paths: Arc<Paths>,
    published: mpsc::UnboundedReceiver<SetInstance>,
    runner: Addr<Runner>,
}

/// A runner whose commands are those of a script (`$3` is the object) and whose evaluations are those of a function.
fn bench(
    script: &str,
    evaluate: impl Fn(&Job) -> Result<Evaluation, String> + Send + Sync + 'static,
) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let paths = Arc::new(Paths::under(folder.path()));
    paths.create().unwrap();
    let node = NodeName::new("n1").unwrap();
    std::fs::write(paths.node_conf(), "[node]\nmax_parallel = 2\n").unwrap();
    for name in ["svc1", "svc2", "svc3", "svc4"] {
        let text = "[DEFAULT]\nid = 1\nnodes = n1\n[app#1]\nstart = true\n";
        std::fs::write(paths.etc.join(format!("{name}.conf")), text).unwrap();
    }
    let mut loaded = LoadedConfig::load(&paths, &node);
    // The instance is here, whatever keywords say.
    for object in loaded.objects.clone().values() {
        let settings =
            model::ObjectSettings { peers: vec![node.clone()], ..(*object.settings).clone() };
        let mut object = LoadedObject::clone(object);
        object.settings = Arc::new(settings);
        loaded.objects.insert(object.path.clone(), Arc::new(object));
    }
    let om = folder.path().join("om");
    let script = format!("#!/bin/sh\ncd {}\n{script}\n", folder.path().display());
    // By another process: a file that is open for writing here, or in a child of a test beside this one that has not yet
    // become its program, cannot be run.
    let written = std::process::Command::new("/bin/sh")
        .args(["-c", "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\""])
        .args([om.as_os_str(), script.as_ref()])
        .status();
    assert!(written.unwrap().success());
    let (sender, published) = mpsc::unbounded_channel();
    let ear = Ear(sender).start();
    let tools = Tools {
        paths: paths.clone(),
        config: Arc::new(ArcSwap::from_pointee(loaded)),
        snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::empty(node))),
        om,
        evaluator: Arc::new(evaluate),
        counts: Arc::default(),
    };
    let cluster_data = (ear.clone().recipient(), ear.clone().recipient());
    let runner = Runner::with(tools, Neighbours { cluster_data, root: ear.recipient() }).start();
    Bench { folder, paths, published, runner }
}

impl Bench {
    async fn published(&mut self) -> SetInstance {
        let next = tokio::time::timeout(Duration::from_secs(10), self.published.recv());
        next.await.expect("published in time").expect("ears are open")
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }
}

fn path(name: &str) -> ObjectPath {
    ObjectPath::parse(name).unwrap()
}

fn status(avail: Status) -> InstanceStatus {
    InstanceStatus { updated: Timestamp(1.0), avail: Some(avail), ..InstanceStatus::default() }
}

fn up(_: &Job) -> Result<Evaluation, String> {
    Ok(Evaluation { status: status(Status::Up), watch: Watch::default() })
}

fn run(name: &str, action: monitor::Action) -> RunAction {
    RunAction { path: path(name), action, priority: 100 }
}

#[actix::test]
async fn an_action_is_answered_when_its_result_is_published() {
    let mut bench = bench("echo $* $OSVC_ACTION_ORIGIN > done; exit 3", up);
    let code = bench.runner.send(run("svc1", monitor::Action::Start)).await.unwrap();
    assert_eq!(code, Some(3));
    assert_eq!(bench.text("done"), "svc -s svc1 start --local daemon\n");
    let published = bench.published.try_recv().expect("published before the answer");
    assert_eq!((published.path, *published.status), (path("svc1"), status(Status::Up)));
}

#[actix::test]
async fn an_action_that_handed_over_what_it_found_is_answered_without_another_look() {
    let script = "echo $OSVC_SESSION_UUID > session.new; mv session.new session; \
                  while ! test -e go; do sleep 0.01; done";
    let bench = bench(script, up);
    let end = actix_rt::spawn(bench.runner.send(run("svc1", monitor::Action::Start)));
    let begun = std::time::Instant::now();
    while bench.text("session").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the action runs");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let session = bench.text("session").trim().to_owned();
    // Of another action: nothing is known of this one.
    bench.runner.send(ActionFound { session: "other".to_owned() }).await.unwrap();
    bench.runner.send(ActionFound { session }).await.unwrap();
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    assert_eq!(end.await.unwrap().unwrap(), Some(0));
    let mut published = bench.published;
    assert!(published.try_recv().is_err(), "nothing was evaluated");
}

#[actix::test]
async fn a_program_that_is_not_there_has_no_exit_code() {
    let bench = bench("exit 0", up);
    std::fs::remove_file(bench.folder.path().join("om")).unwrap();
    let code = bench.runner.send(run("svc1", monitor::Action::Start)).await.unwrap();
    assert_eq!(code, None);
}

#[actix::test]
async fn no_more_actions_run_than_allowed_and_the_most_urgent_come_first() {
    let script = "echo $3 >> started; mkfifo fifo.$3; read go < fifo.$3; exit 0";
    let bench = bench(script, up);
    let order = [("svc1", 100), ("svc2", 100), ("svc3", 100), ("svc4", 5)];
    let ends: Vec<_> = order
        .map(|(name, priority)| {
            let action = monitor::Action::Start;
            actix_rt::spawn(bench.runner.send(RunAction { path: path(name), action, priority }))
        })
        .into_iter()
        .collect();
    let lines = |bench: &Bench| bench.text("started").lines().count();
    let wait_for = async |count: usize| {
        for _ in 0..1_000 {
            if lines(&bench) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} actions never started");
    };
    wait_for(2).await;
    let go = async |name: &str| {
        let fifo = bench.folder.path().join(format!("fifo.{name}"));
        while !fifo.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        machine::blocking::run(move || std::fs::write(fifo, "go\n")).await.unwrap().unwrap();
    };
    go("svc1").await;
    wait_for(3).await;
    assert_eq!(bench.text("started").lines().nth(2), Some("svc4"));
    for name in ["svc2", "svc4", "svc3"] {
        go(name).await;
    }
    for end in ends {
        assert_eq!(end.await.unwrap().unwrap(), Some(0));
    }
}

#[actix::test]
async fn evaluations_of_one_instance_never_overlap() {
    let running = Arc::new(Mutex::new((0, 0)));
    let counted = running.clone();
    let bench = bench("exit 0", move |job| {
        assert_eq!(job.object.path, path("svc1"));
        let now = {
            let mut counts = counted.lock().unwrap();
            counts.0 += 1;
            counts.1 += 1;
            counts.0
        };
        std::thread::sleep(Duration::from_millis(20));
        counted.lock().unwrap().0 -= 1;
        if now > 1 { Err("overlap".to_owned()) } else { up(job) }
    });
    let asked = (0..10).map(|_| bench.runner.send(Evaluate { path: path("svc1"), rids: None }));
    for answer in futures_util::future::join_all(asked).await {
        assert!(answer.unwrap());
    }
    assert!(running.lock().unwrap().1 <= 2, "those who ask while one runs share the next");
}

#[actix::test]
async fn an_instance_that_cannot_be_evaluated_is_told_so_even_if_the_driver_panics() {
    let bench = bench("exit 0", |job| match job.object.path.as_str() {
        "svc1" => Err("no".to_owned()),
        "svc2" => panic!("broken driver"),
        _ => up(job),
    });
    for (name, is_found) in [("svc1", false), ("svc2", false), ("svc3", true), ("gone", false)] {
        let answer = bench.runner.send(Evaluate { path: path(name), rids: None }).await.unwrap();
        assert_eq!(answer, is_found, "{name}");
    }
}

#[actix::test]
async fn the_end_of_a_watched_process_is_noticed_at_once() {
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let pid = child.id();
    let mut bench = bench("exit 0", move |job| {
        let alive = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "));
        let mut watch = Watch::default();
        if alive {
            watch.pids.insert("app#1".to_owned(), [pid].into());
        } else {
            assert_eq!(job.rids, Some(["app#1".to_owned()].into()));
        }
        let avail = if alive { Status::Up } else { Status::Down };
        Ok(Evaluation { status: status(avail), watch })
    });
    bench.runner.send(Evaluate { path: path("svc1"), rids: None }).await.unwrap();
    assert_eq!(*bench.published().await.status, status(Status::Up));
    let killed = std::time::Instant::now();
    child.kill().unwrap();
    let published = bench.published().await;
    assert_eq!(*published.status, status(Status::Down));
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    child.wait().unwrap();
}

#[actix::test]
async fn a_watched_file_is_followed_even_before_its_folder_is_there() {
    let place = Arc::new(Mutex::new(std::path::PathBuf::new()));
    let file = place.clone();
    let mut bench = bench("exit 0", move |_| {
        let file = file.lock().unwrap().clone();
        let mut watch = Watch::default();
        watch.files.insert("fs#1".to_owned(), [file.clone()].into());
        let avail = if file.exists() { Status::Up } else { Status::Down };
        Ok(Evaluation { status: status(avail), watch })
    });
    let flag = bench.folder.path().join("a/b/flag");
    place.lock().unwrap().clone_from(&flag);
    bench.runner.send(Evaluate { path: path("svc1"), rids: None }).await.unwrap();
    assert_eq!(*bench.published().await.status, status(Status::Down));
    std::fs::create_dir_all(flag.parent().unwrap()).unwrap();
    std::fs::write(&flag, "").unwrap();
    while *bench.published().await.status != status(Status::Up) {}
    std::fs::remove_file(&flag).unwrap();
    while *bench.published().await.status != status(Status::Down) {}
    // What is no longer there is no longer watched.
    bench.runner.send(Forget(path("svc1"))).await.unwrap();
    std::fs::write(&flag, "").unwrap();
    bench.runner.send(Evaluate { path: path("svc2"), rids: None }).await.unwrap();
    assert_eq!(bench.published().await.path, path("svc2"));
}

#[actix::test]
async fn an_action_of_somebody_else_is_awaited_by_its_lock() {
    let bench = bench("exit 0", up);
    assert_eq!(bench.runner.send(AwaitAction(path("svc1"))).await.unwrap(), None);
    let lock = bench.paths.var_dir(&path("svc1")).join("lock.generic");
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    // A lock that nobody holds any more is that of an action that was killed.
    std::fs::write(&lock, r#"{"pid": 1, "intent": "start"}"#).unwrap();
    assert_eq!(bench.runner.send(AwaitAction(path("svc1"))).await.unwrap(), None);
    let script = format!(
        r#"exec 9<>'{0}'; flock 9; printf '{{"pid": %d, "intent": "stop"}}' $$ > '{0}'; echo ready; read go"#,
        lock.display()
    );
    let mut holder = std::process::Command::new("sh")
        .args(["-c", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(holder.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    let mut awaited = Box::pin(bench.runner.send(AwaitAction(path("svc1"))));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut awaited).await;
    assert!(early.is_err(), "{early:?}");
    drop(holder.stdin.take());
    let expected = Awaited { action: "stop".to_owned(), exit_code: None };
    assert_eq!(awaited.await.unwrap(), Some(expected));
    holder.wait().unwrap();
}

#[actix::test]
async fn an_evaluation_that_a_command_overtook_is_made_again() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let (begun, mut begins) = mpsc::unbounded_channel();
    let mut bench = bench("exit 0", move |job| {
        _ = begun.send(job.previous.as_ref().and_then(|previous| previous.avail.clone()));
        _ = held.lock().unwrap().recv();
        up(job)
    });
    let asked = bench.runner.send(Evaluate { path: path("svc1"), rids: None });
    let asked = actix_rt::spawn(asked);
    assert_eq!(begins.recv().await, Some(None));
    // A command posts what it found while the evaluation looks.
    let posted = Box::new(status(Status::Warn));
    bench.runner.send(Post { path: path("svc1"), status: posted }).await.unwrap();
    assert_eq!(*bench.published().await.status, status(Status::Warn));
    release.send(()).unwrap();
    begins.recv().await.unwrap();
    assert!(bench.published.try_recv().is_err(), "what is older is not published");
    release.send(()).unwrap();
    assert_eq!(asked.await.unwrap(), Ok(true), "who asked is answered by the second one");
    assert_eq!(*bench.published().await.status, status(Status::Up));
}

#[actix::test]
async fn dequeuing_is_coalesced_and_waits_between_runs() {
    let bench = bench("date +%s%N >> runs", up);
    for _ in 0..20 {
        bench.runner.send(DequeueActions).await.unwrap();
    }
    let times = || -> Vec<u128> {
        let path = bench.folder.path().join("runs");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    for _ in 0..6_000 {
        if times().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let times = times();
    assert_eq!(times.len(), 2, "all of them make one more run");
    assert!(times[1] - times[0] > 9_000_000_000, "{times:?}");
}

#[actix::test]
async fn a_command_of_a_request_is_captured_or_started() {
    let mut bench = bench("echo out $*; echo err >&2; exit 2", up);
    let words = vec!["svc1".to_owned(), "start".to_owned()];
    let command = RunCommand { words, sync: true, path: Some(path("svc1")), time: None };
    let outcome = bench.runner.send(command.clone()).await.unwrap().unwrap();
    let ended = CommandOutcome::Ended {
        out: "out svc1 start\n".to_owned(),
        err: "err\n".to_owned(),
        ret: 2,
    };
    assert_eq!(outcome, ended);
    assert_eq!(bench.published().await.path, path("svc1"));
    let command = RunCommand { sync: false, ..command };
    match bench.runner.send(command).await.unwrap().unwrap() {
        CommandOutcome::Started { pid, session_id } => {
            assert!(pid > 1);
            assert_eq!(session_id.len(), 36);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.published().await.path, path("svc1"));
}
