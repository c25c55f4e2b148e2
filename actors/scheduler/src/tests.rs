use arc_swap::ArcSwap;
use model::{NodeMonitorData, NodeName};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;

use machine::durable;

use cluster_data::ClusterData;
use dataset::changes::{NodeFacts, NodePublic};
use dataset::config::LoadedConfig;
use dataset::snapshot::{ClusterInfo, Snapshot};
use files::load::Load as _;
use mail::cluster_data::{Flush, SetInstance, SetNode};

#[derive(Debug, PartialEq)]
enum Heard {
    Recheck(ObjectPath, Option<BTreeSet<String>>),
    Run(ObjectPath, Vec<String>),
}

/// A runner that does at once what it is asked.
struct Ear(mpsc::UnboundedSender<Heard>);

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<Recheck> for Ear {
    type Result = bool;

    fn handle(&mut self, Recheck { path, rids }: Recheck, _: &mut Context<Self>) -> bool {
        _ = self.0.send(Heard::Recheck(path, rids));
        true
    }
}

impl Handler<RunScheduled> for Ear {
    type Result = Option<i32>;

    fn handle(&mut self, run: RunScheduled, _: &mut Context<Self>) -> Option<i32> {
        _ = self.0.send(Heard::Run(run.path, run.words));
        Some(0)
    }
}

impl Handler<ThreadReport> for Ear {
    type Result = ();

    fn handle(&mut self, _: ThreadReport, _: &mut Context<Self>) {}
}

struct Bench {
    _folder: tempfile::TempDir,
    paths: Arc<Paths>,
    heard: mpsc::UnboundedReceiver<Heard>,
    data: Addr<ClusterData>,
    scheduler: Addr<Scheduler>,
}

async fn bench(text: &str, status: NodeMonitorStatus, stamp: Option<(&str, f64)>) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let paths = Arc::new(Paths::under(folder.path()));
    paths.create().unwrap();
    let node = NodeName::new("n1").unwrap();
    std::fs::write(paths.etc.join("svc1.conf"), text).unwrap();
    let path = ObjectPath::parse("svc1").unwrap();
    if let Some((name, time)) = stamp {
        let file = paths.var_dir(&path).join("scheduler").join(name);
        durable::write(&file, format!("{time:?}\n").as_bytes(), 0o644).unwrap();
    }
    let config: ConfigCell = Arc::new(ArcSwap::from_pointee(LoadedConfig::load(&paths, &node)));
    let snapshot: SnapshotCell = Arc::new(ArcSwap::from_pointee(Snapshot::empty(node.clone())));
    let data = ClusterData::new(snapshot.clone(), config.clone()).start();
    let (sender, heard) = mpsc::unbounded_channel();
    let ear = Ear(sender).start();
    let tell = Neighbours {
        recheck: ear.clone().recipient(),
        run: ear.clone().recipient(),
        root: ear.recipient(),
    };
    let cluster = ClusterInfo { nodes: vec![node], ..ClusterInfo::default() };
    let settings = Some(NodePublic { cluster, ..NodePublic::default() });
    data.send(SetNode(NodeFacts { settings, ..NodeFacts::default() })).await.unwrap();
    set_status(&data, status).await;
    set_avail(&data, model::Status::NotApplicable).await;
    let scheduler = Scheduler::with(paths.clone(), config, snapshot, tell).start();
    Bench { _folder: folder, paths, heard, data, scheduler }
}

async fn set_status(data: &Addr<ClusterData>, status: NodeMonitorStatus) {
    let monitor = NodeMonitorData { status, ..NodeMonitorData::default() };
    data.send(SetNode(NodeFacts { monitor: Some(monitor), ..NodeFacts::default() })).await.unwrap();
    data.send(Flush).await.unwrap();
}

async fn set_avail(data: &Addr<ClusterData>, avail: model::Status) {
    let status = model::InstanceStatus {
        updated: now(),
        avail: Some(avail),
        ..model::InstanceStatus::default()
    };
    let path = ObjectPath::parse("svc1").unwrap();
    data.send(SetInstance { path, status: Box::new(status) }).await.unwrap();
    data.send(Flush).await.unwrap();
}

impl Bench {
    async fn next(&mut self) -> Heard {
        let next = tokio::time::timeout(Duration::from_secs(20), self.heard.recv());
        next.await.expect("heard in time").expect("ears are open")
    }

    async fn list(&self) -> Vec<Value> {
        let list = self.scheduler.send(ListSchedules).await.unwrap();
        list.into_iter().map(|schedule| serde_json::to_value(schedule).unwrap()).collect()
    }
}

const TASK: &str = "[DEFAULT]\nid = 1\nnodes = n1\nstatus_schedule = @0\n\
                    [task#1]\ncommand = /bin/true\nschedule = @10\n";

fn run() -> Heard {
    let words = ["run", "--rid", "task#1", "--cron", "--local"].map(str::to_owned).to_vec();
    Heard::Run(ObjectPath::parse("svc1").unwrap(), words)
}

#[actix::test]
async fn a_task_that_never_ran_runs_and_its_run_is_noted() {
    let mut bench = bench(TASK, NodeMonitorStatus::Idle, None).await;
    assert_eq!(bench.next().await, run());
    let stamp = bench.paths.var.join("svc/svc1/scheduler/last_task#1");
    for _ in 0..500 {
        if stamp.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let noted: f64 = std::fs::read_to_string(stamp).unwrap().trim().parse().unwrap();
    assert!((now().0 - noted).abs() < 60.0);
    let list = bench.list().await;
    assert_eq!(list.len(), 1);
    assert_eq!(
        (&list[0]["action"], &list[0]["schedule_definition"]),
        (&json!("run"), &json!("@10"))
    );
    assert_eq!(list[0]["config_parameter"], "task#1.schedule");
    assert!(bench.heard.try_recv().is_err(), "it runs once per interval");
}

#[actix::test]
async fn a_task_that_ran_before_the_daemon_started_waits_for_its_interval() {
    let last = now().0 - 60.0;
    let mut bench = bench(TASK, NodeMonitorStatus::Idle, Some(("last_run_task#1", last))).await;
    let list = bench.list().await;
    let next = list[0]["next_run"].as_f64().unwrap();
    assert!((next - last - 600.0).abs() < 1.5, "{}", next - last);
    assert!(bench.heard.try_recv().is_err());
}

#[actix::test]
async fn a_task_that_a_deployed_agent_ran_waits_for_its_interval() {
    let last = now().0 - 60.0;
    let mut bench = bench(TASK, NodeMonitorStatus::Idle, Some(("last_task#1", last))).await;
    let next = bench.list().await[0]["next_run"].as_f64().unwrap();
    assert!((next - last - 600.0).abs() < 1.5, "{}", next - last);
    assert!(bench.heard.try_recv().is_err());
}

#[actix::test]
async fn nothing_runs_while_the_node_starts_or_ends() {
    let mut bench = bench(TASK, NodeMonitorStatus::Init, None).await;
    bench.list().await;
    tokio::task::yield_now().await;
    assert!(bench.heard.try_recv().is_err());
    set_status(&bench.data, NodeMonitorStatus::Idle).await;
    assert_eq!(bench.next().await, run());
}

#[actix::test]
async fn monitored_resources_are_looked_at_and_only_they() {
    let text = "[DEFAULT]\nid = 1\nnodes = n1\nstatus_schedule = @0\nmonitor_schedule = @1s\n\
                [app#1]\nstart = /bin/true\nmonitor = true\n[app#2]\nstart = /bin/true\n";
    let mut bench = bench(text, NodeMonitorStatus::Idle, None).await;
    let expected =
        Heard::Recheck(ObjectPath::parse("svc1").unwrap(), Some(["app#1".to_owned()].into()));
    assert_eq!(bench.next().await, expected);
    assert_eq!(bench.next().await, expected);
}

#[actix::test]
async fn a_run_of_somebody_else_starts_the_interval_anew() {
    let last = now().0 - 300.0;
    let bench = bench(TASK, NodeMonitorStatus::Idle, Some(("last_run_task#1", last))).await;
    let path = ObjectPath::parse("svc1").unwrap();
    let rids = vec!["task#1".to_owned()];
    bench.scheduler.send(RunDone { path, action: "run".to_owned(), rids }).await.unwrap();
    let next = bench.list().await[0]["next_run"].as_f64().unwrap();
    assert!((next - now().0 - 600.0).abs() < 5.0, "{}", next - now().0);
}

#[actix::test]
async fn a_task_belongs_to_where_the_object_is_up() {
    let mut bench = bench(TASK, NodeMonitorStatus::Init, None).await;
    set_avail(&bench.data, model::Status::Down).await;
    set_status(&bench.data, NodeMonitorStatus::Idle).await;
    // Due, looked at after the start of the node, and not run.
    let start = tokio::time::Instant::now();
    let next = |list: &[Value]| list[0]["next_run"].as_f64().unwrap_or_default();
    let first = next(&bench.list().await);
    while next(&bench.list().await) <= first + LATER_SECS / 2.0 {
        assert!(start.elapsed() < Duration::from_secs(20), "never looked at again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(bench.heard.try_recv().is_err());
    set_avail(&bench.data, model::Status::Up).await;
    assert_eq!(bench.next().await, run());
}
