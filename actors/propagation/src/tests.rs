//! The actor with stand-ins for everybody it asks and tells, and snapshots written by hand.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;

use arc_swap::ArcSwap;
use model::Timestamp;
use model::{InstanceMonitor, InstanceStatus, MonitorStatus, NodeMonitorData, NodeMonitorStatus};
use serde_json::{Value, json};
use tokio::sync::watch;

use mail::cluster_data::{Emit, RemoveInstance, SetInstanceMonitor, SetNode, WatchGeneration};
use mail::config_watcher::{LabelsChanged, Look, Reload};
use mail::peers::AskPeer;
use mail::runner::{RunAction, RunCommand};

use super::*;

use crate::retries::pause_after;
use dataset::config::LoadedConfig;
use mail::standing::Inquire;
use model::Status;

use crate::install::{Freeze, Installed};
use dataset::config;
use dataset::snapshot::NodeEntry;
use files::fetched::Fetched;
use files::load::Load as _;
use link::peer::error::PeerError;
use mail::runner::CommandOutcome;

mod deletions;

const MTIME: f64 = 1_795_364_641.747_718_3;
const SOON: Duration = Duration::from_secs(10);

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn path(name: &str) -> ObjectPath {
    ObjectPath::parse(name).unwrap()
}

/// What the stand-ins answer and were told.
#[derive(Default)]
struct Script {
    /// Files of the peers, by node and path; an error where there is none.
    files: BTreeMap<(String, String), Value>,
    asked: Vec<String>,
    events: Vec<String>,
    commands: Vec<String>,
    looks: Vec<String>,
    inquiries: usize,
    deleted: BTreeMap<ObjectPath, model::Deletion>,
    orders: Vec<String>,
}

type Shared = Arc<Mutex<Script>>;

struct StandIn {
    paths: Arc<Paths>,
    script: Shared,
    published: watch::Receiver<u64>,
}

impl Actor for StandIn {
    type Context = Context<Self>;
}

impl Handler<AskPeer> for StandIn {
    type Result = Result<Value, PeerError>;

    fn handle(&mut self, ask: AskPeer, _: &mut Context<Self>) -> Self::Result {
        let request: Value = wire::parse_json(&ask.request.json()).unwrap();
        assert_eq!((request["action"].as_str(), ask.is_repeatable), (Some("object_config"), true));
        let path = request["options"]["path"].as_str().unwrap().to_owned();
        let mut script = self.script.lock().unwrap();
        script.asked.push(format!("{} {path}", ask.peer));
        let file = script.files.get(&(ask.peer.to_string(), path)).cloned();
        file.ok_or(PeerError::Closed)
    }
}

impl Handler<WatchGeneration> for StandIn {
    type Result = MessageResult<WatchGeneration>;

    fn handle(&mut self, _: WatchGeneration, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.published.clone())
    }
}

impl Handler<Emit> for StandIn {
    type Result = ();

    fn handle(&mut self, event: Emit, _: &mut Context<Self>) {
        let path = event.path.map(|path| path.to_string()).unwrap_or_default();
        let data = json!(event.facts);
        self.script.lock().unwrap().events.push(format!("{} {path} {data}", event.id));
    }
}

impl Handler<Look> for StandIn {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Look(paths): Look, _: &mut Context<Self>) -> Self::Result {
        let paths = paths.iter().map(ToString::to_string);
        self.script.lock().unwrap().looks.extend(paths);
        Box::pin(std::future::ready(()))
    }
}

impl Handler<Reload> for StandIn {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Reload, _: &mut Context<Self>) -> Self::Result {
        self.script.lock().unwrap().looks.push("all".to_owned());
        Box::pin(std::future::ready(()))
    }
}

impl Handler<LabelsChanged> for StandIn {
    type Result = ();

    fn handle(&mut self, _: LabelsChanged, _: &mut Context<Self>) {
        self.script.lock().unwrap().looks.push("labels".to_owned());
    }
}

impl Handler<RunCommand> for StandIn {
    type Result = Result<CommandOutcome, std::io::ErrorKind>;

    fn handle(&mut self, command: RunCommand, _: &mut Context<Self>) -> Self::Result {
        self.script.lock().unwrap().commands.push(command.words.join(" "));
        Ok(CommandOutcome::Ended { out: String::new(), err: String::new(), ret: 0 })
    }
}

impl Handler<RunAction> for StandIn {
    type Result = Option<i32>;

    fn handle(&mut self, run: RunAction, _: &mut Context<Self>) -> Self::Result {
        let words = run.action.argv().join(" ");
        std::fs::remove_file(self.paths.config_file(&run.path)).unwrap();
        self.script.lock().unwrap().commands.push(format!("{} {words}", run.path));
        Some(0)
    }
}

impl Handler<SetNode> for StandIn {
    type Result = ();

    fn handle(&mut self, set: SetNode, _: &mut Context<Self>) {
        self.script.lock().unwrap().deleted = set.0.deleted.unwrap();
    }
}

impl Handler<SetInstanceMonitor> for StandIn {
    type Result = ();

    fn handle(&mut self, set: SetInstanceMonitor, _: &mut Context<Self>) {
        let target = set.monitor.global_expect.unwrap();
        self.script.lock().unwrap().orders.push(format!("{} {target}", set.path));
    }
}

impl Handler<RemoveInstance> for StandIn {
    type Result = ();

    fn handle(&mut self, RemoveInstance(path): RemoveInstance, _: &mut Context<Self>) {
        self.script.lock().unwrap().orders.push(format!("{path} no more"));
    }
}

impl Handler<Inquire> for StandIn {
    type Result = ();

    fn handle(&mut self, _: Inquire, _: &mut Context<Self>) {
        self.script.lock().unwrap().inquiries += 1;
    }
}

/// How many objects are being dealt with?
#[derive(Message)]
#[rtype(usize)]
struct Running;

impl Handler<Running> for Propagation {
    type Result = usize;

    fn handle(&mut self, _: Running, _: &mut Context<Self>) -> usize {
        self.queue.running()
    }
}

/// Node n1 of a cluster of three.
struct Fixture {
    actor: Option<Addr<Propagation>>,
    folder: tempfile::TempDir,
    paths: Arc<Paths>,
    script: Shared,
    snapshot: SnapshotCell,
    config: ConfigCell,
    publish: watch::Sender<u64>,
    nodes: BTreeMap<NodeName, NodeEntry>,
}

fn idle() -> NodeEntry {
    let mut entry = NodeEntry::default();
    let status = NodeMonitorStatus::Idle;
    entry.data.monitor = Some(NodeMonitorData { status, ..NodeMonitorData::default() });
    entry.data.release = Some("0.1.0".to_owned());
    entry.telling()
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Arc::new(Paths::under(folder.path()));
        paths.create().unwrap();
        let secret = "81ec81d6e68c11f1ae3f02fc00000001";
        let text = format!(
            "[DEFAULT]\nid = 1\n[cluster]\nname = c\nid = 2\nsecret = {secret}\nnodes = n1 n2 n3\n"
        );
        std::fs::write(paths.cluster_conf(), text).unwrap();
        let nodes = ["n1", "n2", "n3"].map(|name| (node(name), idle())).into_iter().collect();
        let config = LoadedConfig::load(&paths, &node("n1"));
        Self {
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::empty(node("n1")))),
            config: Arc::new(ArcSwap::from_pointee(config)),
            publish: watch::Sender::new(0),
            script: Shared::default(),
            folder,
            paths,
            nodes,
            actor: None,
        }
    }

    fn start(&mut self) {
        let (script, paths) = (self.script.clone(), self.paths.clone());
        let stand_in = StandIn { paths, script, published: self.publish.subscribe() }.start();
        let tell = Neighbours {
            ask: stand_in.clone().recipient(),
            watch: stand_in.clone().recipient(),
            emit: stand_in.clone().recipient(),
            look: stand_in.clone().recipient(),
            reload: stand_in.clone().recipient(),
            labels: stand_in.clone().recipient(),
            run: stand_in.clone().recipient(),
            act: stand_in.clone().recipient(),
            inquire: stand_in.clone().recipient(),
            publish: stand_in.clone().recipient(),
            order: stand_in.clone().recipient(),
            unorder: stand_in.recipient(),
        };
        let (paths, snapshot) = (self.paths.clone(), self.snapshot.clone());
        let (config, monitors) = (self.config.clone(), service_monitor::Registry::default());
        self.actor = Some(Propagation::with(paths, snapshot, config, monitors, tell).start());
    }

    /// Publishes what the nodes have, with what lies here in the name of n1.
    fn publish(&mut self) {
        let config = LoadedConfig::load(&self.paths, &node("n1"));
        let own = self.nodes.get_mut(&node("n1")).unwrap();
        let gone = own.config.keys().filter(|path| !config.objects.contains_key(path));
        for path in gone.cloned().collect::<Vec<_>>() {
            own.config.remove(&path);
        }
        for (path, object) in config.objects.iter() {
            let entry = object.entry();
            if own.config.get(path).is_none_or(|before| **before != entry) {
                own.config.insert(path.clone(), Arc::new(entry));
            }
        }
        let members = config.node.nodes.clone();
        self.config.store(Arc::new(config));
        let nodes = self.nodes.clone();
        self.snapshot.store(Arc::new(Snapshot::of_nodes(&node("n1"), &members, nodes)));
        self.publish.send_modify(|generation| *generation += 1);
    }

    /// A peer has this file, and publishes it with this scope. Its instance is frozen, unless it told something else.
    fn peer_has(&mut self, peer: &str, name: &str, text: &str, mtime: f64, scope: &str) {
        let entry = ConfigEntry {
            updated: Timestamp(mtime),
            csum: config::csum(text.as_bytes()),
            scope: scope.split_whitespace().map(node).collect(),
        };
        self.nodes.get_mut(&node(peer)).unwrap().config.insert(path(name), Arc::new(entry));
        let object = path(name);
        let told = &self.nodes[&node(peer)].status;
        if object.kind() == model::Kind::Svc && !told.contains_key(&object) {
            self.peer_tells(peer, name, mtime);
        }
        let reply = json!({"status": 0, "data": text, "mtime": mtime});
        self.script.lock().unwrap().files.insert((peer.to_owned(), name.to_owned()), reply);
    }

    /// A peer tells of its instance, frozen since then, 0 if it is not.
    fn peer_tells(&mut self, peer: &str, name: &str, frozen: f64) {
        let frozen = Some(Timestamp(frozen));
        let instance = InstanceStatus { frozen, ..InstanceStatus::default() };
        let entry = self.nodes.get_mut(&node(peer)).unwrap();
        entry.status.insert(path(name), Arc::new(instance));
    }

    fn peer_tells_nothing(&mut self, peer: &str, name: &str) {
        self.nodes.get_mut(&node(peer)).unwrap().status.remove(&path(name));
    }

    fn write(&self, name: &str, text: &str, mtime: f64) {
        let modified = std::time::UNIX_EPOCH + Duration::from_secs_f64(mtime);
        let file = self.paths.config_file(&path(name));
        machine::durable::write_at(&file, text.as_bytes(), 0o600, modified).unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join(name)).ok()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Script) -> bool) {
        let start = Instant::now();
        while !is_so(&self.script.lock().unwrap()) {
            assert!(start.elapsed() < SOON, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Makes sure that whatever was published is dealt with: something published later, which always is, came through, and
    /// nothing of what began before it is still under way.
    async fn settle(&mut self) {
        let count = self.script.lock().unwrap().events.len();
        let name = format!("marker{count}");
        self.peer_has(
            "n3",
            &name,
            &format!("[DEFAULT]\nid = {count}\nnodes = n1 n3\n"),
            5.0,
            "n1 n3",
        );
        self.publish();
        let wanted = format!("service_config_installed {name} ");
        self.until("the marker is installed", |script| {
            script.events.iter().any(|event| event.starts_with(&wanted))
        })
        .await;
        let actor = self.actor.as_ref().expect("it was started");
        let start = Instant::now();
        while actor.send(Running).await.unwrap() > 0 {
            assert!(start.elapsed() < SOON, "not in time: all that began has ended");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn svc(extra: &str) -> String {
    format!("# kept\n[DEFAULT]\nid = 3\nnodes = n1 n2\n{extra}")
}

#[actix::test]
async fn a_new_configuration_is_installed_byte_for_byte_with_its_time_and_as_frozen_as_there() {
    let mut it = Fixture::new();
    it.start();
    it.peer_has("n2", "web", &svc("\n"), MTIME, "n1 n2");
    it.peer_has("n2", "ns1/sec/key", "[DEFAULT]\nid = 4\n\n\n[data]\nk = v\n", MTIME, "n1 n2 n3");
    it.peer_has("n2", "other", "[DEFAULT]\nid = 5\nnodes = n2 n3\n", MTIME, "n2 n3");
    it.publish();
    it.until("both are installed", |script| {
        script.events.iter().filter(|event| event.contains("installed")).count() == 2
    })
    .await;
    assert_eq!(it.read("etc/web.conf"), Some(svc("\n")));
    let metadata = std::fs::metadata(it.paths.config_file(&path("web"))).unwrap();
    assert_eq!(machine::regular::modified(&metadata), Timestamp(MTIME));
    assert_eq!(metadata.mode() & 0o777, 0o600);
    assert_eq!(
        it.read("etc/namespaces/ns1/sec/key.conf").unwrap(),
        "[DEFAULT]\nid = 4\n\n\n[data]\nk = v\n"
    );
    assert!(it.paths.instance_frozen(&path("web")).exists());
    assert!(!it.paths.instance_frozen(&path("ns1/sec/key")).exists());
    it.settle().await;
    let script = it.script.lock().unwrap();
    let mut events = script.events.clone();
    events.retain(|event| !event.contains("marker"));
    events.sort();
    assert_eq!(
        events,
        [
            r#"instance_freeze web {"reason":"install"}"#,
            r#"service_config_installed ns1/sec/key {"from":"n2"}"#,
            r#"service_config_installed web {"from":"n2"}"#,
        ]
    );
    assert!(!script.asked.iter().any(|asked| asked.contains("other")), "{:?}", script.asked);
    assert!(script.looks.iter().any(|look| look == "web"));
}

#[actix::test]
async fn a_service_that_runs_free_elsewhere_is_free_here_once_its_node_has_told_so() {
    let mut it = Fixture::new();
    it.start();
    it.peer_has("n2", "web", &svc(""), MTIME, "n1 n2");
    it.peer_tells_nothing("n2", "web");
    // Where the file is not from: what it says does not count.
    it.peer_tells("n3", "web", MTIME);
    // Another node has the file and no instance: nobody tells, or somebody it is for.
    it.peer_has("n3", "silent", "[DEFAULT]\nid = 7\nnodes = n1 n2\n", MTIME, "n1 n2");
    it.peer_tells_nothing("n3", "silent");
    it.peer_has("n3", "told", "[DEFAULT]\nid = 8\nnodes = n1 n2\n", MTIME, "n1 n2");
    it.peer_tells_nothing("n3", "told");
    it.peer_tells("n2", "told", 0.0);
    it.publish();
    it.until("two are installed", |script| {
        script.events.iter().filter(|event| event.contains("installed")).count() == 2
    })
    .await;
    assert_eq!(it.read("etc/web.conf"), None, "n2 has not told of it");
    assert!(it.paths.instance_frozen(&path("silent")).exists());
    assert!(!it.paths.instance_frozen(&path("told")).exists());
    it.peer_tells("n2", "web", 0.0);
    it.publish();
    it.until("the last is installed", |script| {
        script.events.iter().filter(|event| event.contains("installed")).count() == 3
    })
    .await;
    assert_eq!(it.read("etc/web.conf"), Some(svc("")));
    assert!(!it.paths.instance_frozen(&path("web")).exists());
    let frozen = it.script.lock().unwrap().events.iter().filter(|e| e.contains("freeze")).count();
    assert_eq!(frozen, 1, "silent");
}

#[actix::test]
async fn of_two_edits_the_newer_one_counts_and_the_other_is_kept_beside() {
    let mut it = Fixture::new();
    it.write("web", &svc("comment = ours\n"), MTIME - 1.0);
    it.start();
    it.peer_has("n2", "web", &svc("comment = theirs\n"), MTIME, "n1 n2");
    it.settle().await;
    assert_eq!(it.read("etc/web.conf"), Some(svc("comment = theirs\n")));
    assert_eq!(it.read("etc/web.conf.rej"), Some(svc("comment = ours\n")));
    // An object that was here is not frozen.
    assert!(!it.paths.instance_frozen(&path("web")).exists());
}

/// The clock was behind when it was written, and what the daemon noted of the files is lost.
#[actix::test]
async fn an_edit_that_is_older_than_the_last_life_of_the_daemon_is_kept_beside_too() {
    let mut it = Fixture::new();
    it.write("web", &svc("comment = ours\n"), MTIME - 1.0);
    std::fs::write(it.paths.last_shutdown(), "").unwrap();
    it.start();
    it.peer_has("n2", "web", &svc("comment = theirs\n"), MTIME, "n1 n2");
    it.settle().await;
    assert_eq!(it.read("etc/web.conf"), Some(svc("comment = theirs\n")));
    assert_eq!(it.read("etc/web.conf.rej"), Some(svc("comment = ours\n")));
}

#[actix::test]
async fn what_another_node_had_too_is_replaced_without_a_trace() {
    let mut it = Fixture::new();
    it.write("web", &svc(""), MTIME - 1.0);
    it.peer_has("n2", "web", &svc(""), MTIME - 1.0, "n1 n2");
    it.start();
    it.settle().await;
    assert_eq!(it.script.lock().unwrap().events.iter().filter(|e| e.contains("web")).count(), 0);
    it.peer_has("n2", "web", &svc("comment = new\n"), MTIME, "n1 n2");
    it.settle().await;
    assert_eq!(it.read("etc/web.conf"), Some(svc("comment = new\n")));
    assert_eq!(it.read("etc/web.conf.rej"), None);
}

#[actix::test]
async fn an_id_that_a_first_start_gave_is_not_missed() {
    let mut it = Fixture::new();
    let first = |id: &str| svc("comment = the same\n").replacen("id = 3", &format!("id = {id}"), 1);
    assert_ne!(first("a"), first("b"));
    it.write("web", &first("a"), MTIME - 1.0);
    it.start();
    it.peer_has("n2", "web", &first("b"), MTIME, "n1 n2");
    it.settle().await;
    assert_eq!(it.read("etc/web.conf"), Some(first("b")));
    assert_eq!(it.read("etc/web.conf.rej"), None);
}

#[actix::test]
async fn an_older_copy_is_not_asked_for() {
    let mut it = Fixture::new();
    it.write("web", &svc("comment = ours\n"), MTIME);
    it.start();
    it.peer_has("n2", "web", &svc("comment = theirs\n"), MTIME - 0.5, "n1 n2");
    it.settle().await;
    assert_eq!(it.read("etc/web.conf"), Some(svc("comment = ours\n")));
    assert!(!it.script.lock().unwrap().asked.iter().any(|asked| asked.contains("web")));
}

#[actix::test]
async fn an_object_that_moved_away_is_deleted_when_its_text_says_so_and_its_instance_is_down() {
    let mut it = Fixture::new();
    it.write("web", &svc(""), MTIME - 1.0);
    it.write("up", &svc(""), MTIME - 1.0);
    it.write("argued", &svc(""), MTIME - 1.0);
    it.start();
    let moved = "[DEFAULT]\nid = 3\nnodes = n2 n3\n";
    it.peer_has("n2", "web", moved, MTIME, "n2 n3");
    it.peer_has("n2", "up", moved, MTIME, "n2 n3");
    let status = InstanceStatus { avail: Some(Status::Up), ..InstanceStatus::default() };
    it.nodes.get_mut(&node("n1")).unwrap().status.insert(path("up"), Arc::new(status));
    // The other node says that it is not for us; we read in it that it is.
    it.peer_has("n2", "argued", &svc("comment = new\n"), MTIME, "n2");
    it.settle().await;
    it.until("all three were asked for", |script| script.asked.len() >= 4).await;
    it.settle().await;
    assert_eq!(it.script.lock().unwrap().commands, ["web delete --force --local"]);
    assert_eq!(it.read("etc/up.conf"), Some(svc("")));
    assert_eq!(it.read("etc/argued.conf"), Some(svc("comment = new\n")));
}

#[actix::test]
async fn nothing_is_followed_while_it_is_deleted_or_while_its_node_starts() {
    let mut it = Fixture::new();
    it.write("web", &svc(""), MTIME - 1.0);
    it.start();
    let monitor = InstanceMonitor { status: MonitorStatus::Deleting, ..InstanceMonitor::default() };
    let status = InstanceStatus { monitor: Some(monitor), ..InstanceStatus::default() };
    it.nodes.get_mut(&node("n2")).unwrap().status.insert(path("gone"), Arc::new(status));
    it.peer_has("n2", "gone", &svc(""), MTIME, "n1 n2");
    it.peer_has("n2", "web", "[DEFAULT]\nid = 3\nnodes = n2\n", MTIME, "n2");
    let starting =
        NodeMonitorData { status: NodeMonitorStatus::Init, ..NodeMonitorData::default() };
    it.nodes.get_mut(&node("n2")).unwrap().data.monitor = Some(starting);
    it.settle().await;
    let script = it.script.lock().unwrap();
    assert_eq!(script.asked, ["n3 marker0"]);
    assert_eq!(script.commands, Vec::<String>::new());
}

#[actix::test]
async fn a_cluster_conf_without_this_node_or_without_a_secret_is_not_taken() {
    let mut it = Fixture::new();
    let own = it.read("etc/cluster.conf").unwrap();
    it.start();
    let future =
        machine::regular::modified(&std::fs::metadata(it.paths.cluster_conf()).unwrap()).0 + 10.0;
    it.peer_has("n2", "cluster", &own.replace("n1 n2", "n2"), future, "n2 n3");
    it.peer_has("n3", "cluster", &own.replace("secret = ", "sec = "), future + 1.0, "n1 n2 n3");
    it.settle().await;
    it.until("n3 was asked", |script| script.asked.contains(&"n3 cluster".to_owned())).await;
    assert_eq!(it.read("etc/cluster.conf"), Some(own.clone()));
    // Another secret, and another name, that no rotation leads to.
    for (at, text) in [
        own.replace("secret = ", "secret = another-"),
        format!("{own}name = other\n"),
        format!("{own}secret_generation = 2\n"),
    ]
    .into_iter()
    .enumerate()
    {
        it.script.lock().unwrap().asked.clear();
        it.peer_has("n3", "cluster", &text, future + 1.5 + at as f64 / 10.0, "n1 n2 n3");
        it.publish();
        it.until("n3 was asked", |script| script.asked.contains(&"n3 cluster".to_owned())).await;
        it.settle().await;
        assert_eq!(it.read("etc/cluster.conf"), Some(own.clone()), "{text}");
    }
    let text = own.replace("n1 n2 n3", "n1 n2 n3 n4");
    it.peer_has("n3", "cluster", &text, future + 2.0, "n1 n2 n3 n4");
    it.publish();
    it.until("it is installed", |script| {
        script.events.contains(&r#"service_config_installed cluster {"from":"n3"}"#.to_owned())
    })
    .await;
    assert_eq!(it.read("etc/cluster.conf"), Some(text));
    assert!(it.script.lock().unwrap().looks.contains(&"all".to_owned()));
}

#[actix::test]
async fn a_file_that_cannot_be_fetched_now_is_fetched_later() {
    let mut it = Fixture::new();
    it.start();
    it.peer_has("n2", "web", &svc(""), MTIME, "n1 n2");
    let key = ("n2".to_owned(), "web".to_owned());
    let reply = it.script.lock().unwrap().files.remove(&key).unwrap();
    it.publish();
    it.until("it was asked for", |script| script.asked.len() == 1).await;
    it.script.lock().unwrap().files.insert(key, reply);
    it.until("it is installed", |script| script.events.len() == 2).await;
    assert_eq!(it.script.lock().unwrap().asked, ["n2 web", "n2 web"]);
}

#[actix::test]
async fn labels_of_all_nodes_are_kept_for_those_who_select_by_them() {
    let mut it = Fixture::new();
    it.start();
    let labels = [("dc".to_owned(), "a".to_owned())];
    it.nodes.get_mut(&node("n2")).unwrap().data.labels = labels.into_iter().collect();
    it.publish();
    it.until("it is told", |script| script.looks.contains(&"labels".to_owned())).await;
    let context = LoadedConfig::load(&it.paths, &node("n1")).context;
    assert_eq!(context.labels[&node("n2")]["dc"], "a");
    assert_eq!(context.labels[&node("n3")].len(), 0);
    // It is lost, and another one has labels: what selects it by its labels goes on to.
    it.nodes.remove(&node("n2"));
    let labels = [("dc".to_owned(), "b".to_owned())];
    it.nodes.get_mut(&node("n3")).unwrap().data.labels = labels.into_iter().collect();
    it.publish();
    let told = |script: &Script| script.looks.iter().filter(|look| *look == "labels").count();
    it.until("it is told again", |script| told(script) == 2).await;
    let context = LoadedConfig::load(&it.paths, &node("n1")).context;
    assert_eq!(
        (&*context.labels[&node("n2")]["dc"], &*context.labels[&node("n3")]["dc"]),
        ("a", "b")
    );
}

#[test]
fn a_file_that_was_written_meanwhile_is_not_replaced() {
    let it = Fixture::new();
    let fetched = Fetched { text: svc("comment = theirs\n"), mtime: MTIME };
    let voted = ConfigEntry {
        updated: Timestamp(MTIME - 1.0),
        csum: config::csum(svc("").as_bytes()),
        scope: vec![],
    };
    let install = |own: Option<&ConfigEntry>| {
        install::install(&it.paths, &path("web"), own, &fetched, false, Freeze::IfNew).unwrap()
    };
    assert_eq!(install(Some(&voted)), Installed::Changed);
    it.write("web", &svc("comment = quick\n"), MTIME - 1.0);
    assert_eq!(install(Some(&voted)), Installed::Changed);
    assert_eq!(install(None), Installed::Changed);
    it.write("web", &svc(""), MTIME - 0.5);
    assert_eq!(install(Some(&voted)), Installed::Changed);
    assert_eq!(it.read("etc/web.conf"), Some(svc("")));
    it.write("web", &svc(""), MTIME - 1.0);
    assert_eq!(install(Some(&voted)), Installed::Done { is_frozen: false, loser: None });
    assert_eq!(install(Some(&voted)), Installed::Same);
}

#[actix::test]
async fn an_edit_of_what_others_have_is_dated_after_it_and_one_of_something_else_is_not() {
    let mut it = Fixture::new();
    it.write("web", &svc(""), MTIME);
    it.start();
    // Dated ahead: an edit by a clock that is right is older.
    let ahead = MTIME + 1e8;
    it.peer_has("n2", "web", &svc("comment = ahead\n"), ahead, "n1 n2");
    it.publish();
    it.until("it is installed", |script| !script.events.is_empty()).await;
    it.settle().await;
    it.write("web", &svc("comment = edited\n"), MTIME + 10.0);
    it.settle().await;
    let modified =
        || machine::regular::modified(&std::fs::metadata(it.paths.etc.join("web.conf")).unwrap());
    assert_eq!(it.read("etc/web.conf"), Some(svc("comment = edited\n")));
    assert!(modified().0 > ahead && modified().0 < ahead + 1.0, "{:?}", modified());
    // Both changed: the one of n2 is none that this one was made from.
    let later = ahead + 10.0;
    it.peer_has("n2", "web", &svc("comment = theirs\n"), later, "n1 n2");
    it.write("web", &svc("comment = apart\n"), later - 5.0);
    it.settle().await;
    assert_eq!(it.read("etc/web.conf"), Some(svc("comment = theirs\n")));
    assert_eq!(it.read("etc/web.conf.rej"), Some(svc("comment = apart\n")));
}

#[test]
fn pauses_grow_to_a_bound() {
    let pauses: Vec<u128> = [0, 1, 2, 7, 40].map(|n| pause_after(n).as_millis()).into();
    assert_eq!(pauses, [500, 1_000, 2_000, 60_000, 60_000]);
}

#[actix::test]
async fn a_newer_cluster_without_this_node_is_a_question_to_its_members_asked_once() {
    let mut it = Fixture::new();
    it.start();
    it.settle().await;
    assert_eq!(it.script.lock().unwrap().inquiries, 0);
    let later =
        machine::regular::modified(&std::fs::metadata(it.paths.cluster_conf()).unwrap()).0 + 1.0;
    it.peer_has("n2", "cluster", "[cluster]\nnodes = n2 n3\n", later, "n2 n3");
    it.settle().await;
    it.settle().await;
    let script = it.script.lock().unwrap();
    assert_eq!(script.inquiries, 1);
    assert!(!script.asked.iter().any(|asked| asked.ends_with(" cluster")), "{:?}", script.asked);
    assert!(script.commands.is_empty(), "{:?}", script.commands);
}

#[actix::test]
async fn a_file_that_labels_took_away_from_this_node_is_deleted_where_others_have_it_or_lose_it() {
    let mut it = Fixture::new();
    let text = "[DEFAULT]\nid = 3\nnodes = dc=a\n";
    for name in ["shared", "last", "argued", "up", "purged"] {
        it.write(name, text, MTIME);
    }
    for (peer, dc) in [("n1", "b"), ("n2", "a")] {
        let labels = [("dc".to_owned(), dc.to_owned())];
        it.nodes.get_mut(&node(peer)).unwrap().data.labels = labels.into_iter().collect();
    }
    let info = json!({"n1": {"labels": {"dc": "b"}}, "n2": {"labels": {"dc": "a"}}, "n3": {"labels": {"dc": "c"}}});
    std::fs::write(it.paths.nodes_info(), info.to_string()).unwrap();
    it.peer_has("n2", "shared", text, MTIME, "n2");
    it.peer_has("n2", "argued", text, MTIME, "n1 n2");
    it.peer_has("n2", "up", text, MTIME, "n2");
    let up = InstanceStatus { avail: Some(Status::Up), ..InstanceStatus::default() };
    it.nodes.get_mut(&node("n1")).unwrap().status.insert(path("up"), Arc::new(up));
    // Its last copy elsewhere may be gone already: an instance still says so.
    let monitor = InstanceMonitor { status: MonitorStatus::Purging, ..InstanceMonitor::default() };
    let purging = InstanceStatus { monitor: Some(monitor), ..InstanceStatus::default() };
    it.nodes.get_mut(&node("n2")).unwrap().status.insert(path("purged"), Arc::new(purging));
    it.start();
    it.settle().await;
    let mut commands = it.script.lock().unwrap().commands.clone();
    commands.sort();
    assert_eq!(commands, ["purged delete --force --local", "shared delete --force --local"]);
}
