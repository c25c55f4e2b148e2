use arc_swap::ArcSwap;
use dataset::shared_map::SharedMap;
use mail::service_monitor::Registry;
use model::{InstanceStatus, LocalExpect, NodeMonitorData, NodeMonitorStatus, NodeName, Timestamp};
use tokio::sync::mpsc;

use super::*;

use mail::config_watcher::Look;
use mail::propagation::Delete;
use mail::runner::{Evaluate, RunAction};
use model::Status;

use crate::service::shared::Neighbours;
use cluster_data::ClusterData;
use dataset::changes::{NodeFacts, NodePublic};
use dataset::config::{ConfigCell, LoadedConfig};
use dataset::snapshot::{ClusterInfo, Snapshot, SnapshotCell};
use files::load::Load as _;
use machine::paths::Paths;
use mail::cluster_data::{SetConfigEntries, SetInstance, SetNode};

/// A runner whose actions do what they are asked, or fail.
struct FakeRunner {
    ran: mpsc::UnboundedSender<Vec<String>>,
    data: Addr<ClusterData>,
    exit_code: i32,
}

impl Actor for FakeRunner {
    type Context = Context<Self>;
}

fn status(avail: Status) -> Box<InstanceStatus> {
    Box::new(InstanceStatus {
        updated: Timestamp(machine::clock::now().0 + 1.0),
        topology: Some("failover".to_owned()),
        orchestrate: Some("ha".to_owned()),
        avail: Some(avail.clone()),
        overall: Some(avail),
        frozen: Some(Timestamp::NEVER),
        provisioned: Some(model::Provisioned::Yes),
        resources: Some(
            [(
                "app#1".to_owned(),
                serde_json::from_value(serde_json::json!({"status": "down"})).unwrap(),
            )]
            .into(),
        ),
        ..InstanceStatus::default()
    })
}

impl Handler<RunAction> for FakeRunner {
    type Result = Option<i32>;

    fn handle(&mut self, run: RunAction, _: &mut Context<Self>) -> Option<i32> {
        _ = self.ran.send(run.action.argv());
        if run.action == Action::Start && self.exit_code == 0 {
            self.data.do_send(SetInstance { path: run.path, status: status(Status::Up) });
        }
        Some(self.exit_code)
    }
}

macro_rules! ignores {
    ($($message:ty => $result:ty, $answer:expr;)+) => {
        $(impl Handler<$message> for FakeRunner {
            type Result = $result;

            fn handle(&mut self, _: $message, _: &mut Context<Self>) -> $result {
                $answer
            }
        })+
    };
}

ignores! {
    Evaluate => bool, true;
    Forget => (), ();
    WaitSlot => (), ();
    SlotFreed => (), ();
    Gone => (), ();
    Look => (), ();
}

impl Handler<Surrender> for FakeRunner {
    type Result = ();

    fn handle(&mut self, _: Surrender, _: &mut Context<Self>) {}
}

impl Handler<Delete> for FakeRunner {
    type Result = Result<(), String>;

    fn handle(&mut self, _: Delete, _: &mut Context<Self>) -> Self::Result {
        Ok(())
    }
}

impl Handler<FindAction> for FakeRunner {
    type Result = MessageResult<FindAction>;

    fn handle(&mut self, _: FindAction, _: &mut Context<Self>) -> Self::Result {
        MessageResult(None)
    }
}

impl Handler<EndAction> for FakeRunner {
    type Result = ();

    fn handle(&mut self, _: EndAction, _: &mut Context<Self>) {}
}

impl Handler<AwaitAction> for FakeRunner {
    type Result = MessageResult<AwaitAction>;

    fn handle(&mut self, _: AwaitAction, _: &mut Context<Self>) -> Self::Result {
        MessageResult(None)
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    snapshot: SnapshotCell,
    data: Addr<ClusterData>,
    ran: mpsc::UnboundedReceiver<Vec<String>>,
    shared: Arc<Shared>,
    monitor: Addr<ServiceMonitor>,
}

fn path() -> ObjectPath {
    ObjectPath::parse("svc1").unwrap()
}

/// The monitor of an instance that is down, on an idle node.
async fn bench(exit_code: i32) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let paths = Arc::new(Paths::under(folder.path()));
    paths.create().unwrap();
    let node = NodeName::new("n1").unwrap();
    let text = "[DEFAULT]\nid = 1\nnodes = n1\norchestrate = ha\n[app#1]\nstart = /bin/true\n";
    std::fs::write(paths.etc.join("svc1.conf"), text).unwrap();
    let loaded = LoadedConfig::load(&paths, &node);
    let entry = loaded.objects.get(&path()).unwrap().entry();
    let config: ConfigCell = Arc::new(ArcSwap::from_pointee(loaded));
    let snapshot: SnapshotCell = Arc::new(ArcSwap::from_pointee(Snapshot::empty(node.clone())));
    let data = ClusterData::new(snapshot.clone(), config.clone()).start();
    let cluster = ClusterInfo { nodes: vec![node], ..ClusterInfo::default() };
    let monitor = NodeMonitorData { status: NodeMonitorStatus::Idle, ..NodeMonitorData::default() };
    data.do_send(SetNode(NodeFacts {
        monitor: Some(monitor),
        settings: Some(NodePublic { cluster, ..NodePublic::default() }),
        ..NodeFacts::default()
    }));
    data.do_send(SetConfigEntries(vec![(path(), Some(entry))]));
    data.do_send(SetInstance { path: path(), status: status(Status::Down) });
    data.send(Flush).await.unwrap();
    let (sender, ran) = mpsc::unbounded_channel();
    let runner = FakeRunner { ran: sender, data: data.clone(), exit_code }.start();
    let tell = Neighbours {
        monitor: data.clone().recipient(),
        disown: data.clone().recipient(),
        remove: data.clone().recipient(),
        concern: data.clone().recipient(),
        emit: data.clone().recipient(),
        flush: data.clone().recipient(),
        run: runner.clone().recipient(),
        await_action: runner.clone().recipient(),
        end_action: runner.clone().recipient(),
        evaluate: runner.clone().recipient(),
        forget: runner.clone().recipient(),
        wait_slot: runner.clone().recipient(),
        slot_freed: runner.clone().recipient(),
        gone: runner.clone().recipient(),
        look: runner.clone().recipient(),
        surrender: runner.clone().recipient(),
        find_action: runner.clone().recipient(),
        delete: runner.recipient(),
    };
    let registry: Registry = Arc::new(ArcSwap::from_pointee(SharedMap::default()));
    let shared = Shared::new(paths, snapshot.clone(), config, registry, tell);
    shared.set_grace(false);
    let monitor = ServiceMonitor::new(shared.clone(), path()).start();
    Bench { _folder: folder, snapshot, data, ran, shared, monitor }
}

impl Bench {
    async fn ran(&mut self) -> Vec<String> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.ran.recv());
        next.await.expect("run in time").expect("the runner is there")
    }

    /// Waits until the published monitor is as wanted.
    async fn until(&self, wanted: impl Fn(&model::InstanceMonitor) -> bool) {
        for _ in 0..2_000 {
            self.data.send(Flush).await.unwrap();
            let snapshot = self.snapshot.load();
            let monitor =
                snapshot.local_instance(&path()).and_then(|status| status.monitor.clone());
            if monitor.as_ref().is_some_and(&wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never: {:?}", self.snapshot.load().local_instance(&path()));
    }
}

#[actix::test]
async fn an_instance_that_should_run_is_started_and_kept_so() {
    let mut bench = bench(0).await;
    assert_eq!(bench.ran().await, ["start", "--local"]);
    bench
        .until(|monitor| {
            monitor.status == MonitorStatus::Idle
                && monitor.local_expect == Some(LocalExpect::Started)
        })
        .await;
    assert_eq!(bench.shared.acting(), 0);
}

#[actix::test]
async fn a_failed_start_is_not_retried_before_it_is_cleared() {
    let mut bench = bench(1).await;
    bench.ran().await;
    bench.until(|monitor| monitor.status == MonitorStatus::StartFailed).await;
    bench.monitor.send(ViewChanged).await.unwrap();
    assert!(bench.ran.try_recv().is_err());
    bench.monitor.send(Clear).await.unwrap().unwrap();
    assert_eq!(bench.ran().await, ["start", "--local"]);
}

#[actix::test]
async fn a_lost_owner_that_is_to_be_fenced_runs_no_command_and_holds_up_no_start() {
    let mut bench = bench(1).await;
    bench.ran().await;
    bench.until(|monitor| monitor.status == MonitorStatus::StartFailed).await;
    let change = Change { stonith: Some(Some("n2".to_owned())), ..Change::default() };
    bench.monitor.send(SetMonitor(change)).await.unwrap();
    bench.monitor.send(Clear).await.unwrap().unwrap();
    assert_eq!(bench.ran().await, ["start", "--local"]);
    bench.until(|monitor| monitor.stonith.is_none()).await;
}

#[actix::test]
async fn what_a_request_sets_is_published_before_its_answer() {
    let mut bench = bench(0).await;
    bench.ran().await;
    bench.until(|monitor| monitor.local_expect.is_some()).await;
    let change = Change { status: Some(MonitorStatus::Stopping), ..Change::default() };
    bench.monitor.send(SetMonitor(change)).await.unwrap();
    let snapshot = bench.snapshot.load_full();
    let monitor = snapshot.local_instance(&path()).unwrap().monitor.clone().unwrap();
    assert_eq!(monitor.status, MonitorStatus::Stopping);
    assert_eq!(bench.shared.acting(), 1);
    assert_eq!(bench.monitor.send(Clear).await.unwrap(), Err(MonitorStatus::Stopping));
}
