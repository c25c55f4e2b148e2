//! The keeper with peers that answer as told, of a cluster that is configured by hand.

use std::collections::BTreeMap;
use std::sync::Mutex;

use arc_swap::ArcSwap;
use model::Severity;
use tokio::sync::mpsc;

use super::*;

use dataset::config::LoadedConfig;
use dataset::snapshot::Snapshot;
use files::load::Load as _;
use machine::paths::Paths;

const SOON: Duration = Duration::from_secs(10);
const SECRET: &str = "81ec81d6e68c11f1ae3f02fc00000001";

/// What each peer answers; nothing for none.
type Replies = Arc<Mutex<BTreeMap<String, Value>>>;

struct StandIn {
    replies: Replies,
    told: mpsc::UnboundedSender<String>,
}

impl Actor for StandIn {
    type Context = Context<Self>;
}

impl Handler<AskPeer> for StandIn {
    type Result = Result<Value, PeerError>;

    fn handle(&mut self, ask: AskPeer, _: &mut Context<Self>) -> Self::Result {
        let request: Value = wire::parse_json(&ask.request.json()).unwrap();
        if request["action"] != "daemon_blacklist_status" {
            let at = ask.address.map(|address| format!(" at {}:{}", address.host, address.port));
            let line = format!("{} {}{}", ask.peer, request["action"], at.unwrap_or_default());
            self.told.send(line).unwrap();
        }
        let reply = self.replies.lock().unwrap().get(ask.peer.as_str()).cloned();
        reply.ok_or(PeerError::Closed)
    }
}

impl Handler<SetStanding> for StandIn {
    type Result = ();

    fn handle(&mut self, SetStanding(standing): SetStanding, _: &mut Context<Self>) {
        self.told.send(format!("{standing:?}")).unwrap();
    }
}

impl Handler<ThreadReport> for StandIn {
    type Result = ();

    fn handle(&mut self, report: ThreadReport, _: &mut Context<Self>) {
        let severity = match report.alerts.first().map(|alert| alert.severity) {
            None => "no",
            Some(Severity::Warning) => "warning",
            Some(Severity::Error) => "error",
        };
        self.told.send(format!("{severity} alert")).unwrap();
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    config: ConfigCell,
    replies: Replies,
    told: mpsc::UnboundedReceiver<String>,
    keeper: Addr<StandingKeeper>,
}

fn load(folder: &tempfile::TempDir, id: u32, nodes: &str) -> LoadedConfig {
    let paths = Paths::under(folder.path());
    paths.create().unwrap();
    let text = format!(
        "[cluster]\nname = c\nid = {id}\nsecret = {SECRET}\nnodes = {nodes}\n[listener]\nport@n3 = 1333\naddr@n3 = 10.0.0.3\n"
    );
    std::fs::write(paths.cluster_conf(), text).unwrap();
    LoadedConfig::load(&paths, &NodeName::new("n1").unwrap())
}

impl Fixture {
    /// Node n1 of these nodes.
    fn new(nodes: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config: ConfigCell = Arc::new(ArcSwap::from_pointee(load(&folder, 1, nodes)));
        let (sender, told) = mpsc::unbounded_channel();
        let replies = Replies::default();
        let stand_in = StandIn { replies: replies.clone(), told: sender }.start();
        let tell = Neighbours {
            ask: stand_in.clone().recipient(),
            standing: stand_in.clone().recipient(),
            report: stand_in.recipient(),
        };
        let empty = Snapshot::empty(NodeName::new("n1").unwrap());
        let snapshot: SnapshotCell = Arc::new(ArcSwap::from_pointee(empty));
        let keeper = StandingKeeper::with(config.clone(), snapshot, tell).start();
        Self { folder, config, replies, told, keeper }
    }

    fn answers(&self, peer: &str, reply: Value) {
        self.replies.lock().unwrap().insert(peer.to_owned(), reply);
    }

    fn configure(&self, id: u32, nodes: &str) {
        let old = self.config.load().node.clone();
        self.config.store(Arc::new(load(&self.folder, id, nodes)));
        let new = self.config.load().node.clone();
        self.keeper.do_send(NodeConfigChanged { old, new });
    }

    async fn next(&mut self) -> String {
        tokio::time::timeout(SOON, self.told.recv()).await.expect("it is told").unwrap()
    }

    /// Whatever is told next is of what comes after.
    async fn is_quiet(&mut self) -> bool {
        self.keeper.send(Inquire).await.unwrap();
        self.told.is_empty()
    }
}

fn refused() -> Value {
    json!({"status": 401, "error": "node n1 is not a cluster c node"})
}

#[actix::test]
async fn who_is_refused_by_all_that_answer_is_left_out_until_it_is_taken_back() {
    let mut it = Fixture::new("n1 n2 n3");
    it.answers("n2", json!({"status": 0, "data": {}}));
    it.answers("n3", json!({"status": 401, "error": "stale message: clocks differ by 90 s"}));
    assert!(it.is_quiet().await, "one answers, the other has no time for it");
    it.answers("n3", refused());
    it.keeper.do_send(Inquire);
    assert_eq!([it.next().await, it.next().await], ["warning alert", "Doubted"]);
    // Its alarm asks again.
    it.answers("n2", refused());
    assert_eq!([it.next().await, it.next().await], ["error alert", "LeftOut"]);
    // Taken back, by whoever says so first; then by all.
    it.answers("n2", json!({"status": 0, "data": {}}));
    it.answers("n3", json!({"status": 0, "data": {}}));
    it.keeper.do_send(Inquire);
    let mut told = vec![];
    while told.last().is_none_or(|last| last != "Member") {
        told.push(it.next().await);
    }
    assert!(told.contains(&"no alert".to_owned()), "{told:?}");
}

#[actix::test]
async fn who_is_taken_out_is_told_where_it_listened_and_who_leaves_is_not() {
    let mut it = Fixture::new("n1 n2 n3 n4");
    it.answers("n3", json!({"status": 0}));
    it.keeper.do_send(Leaves(NodeName::new("n4").unwrap()));
    it.configure(1, "n1 n2");
    assert_eq!(it.next().await, r#"n3 "node_action" at 10.0.0.3:1333"#);
    // Another cluster: it is this node that went, and the others are none of its business.
    it.configure(2, "n1");
    it.configure(2, "n1 n3");
    it.configure(2, "n1");
    assert_eq!(it.next().await, r#"n3 "node_action" at 10.0.0.3:1333"#, "and not n2");
}

#[actix::test]
async fn who_is_a_member_again_before_it_could_be_told_is_not_frozen() {
    let mut it = Fixture::new("n1 n2 n3");
    // Both have another secret by now: they cannot be told.
    it.configure(1, "n1 n2");
    assert_eq!(it.next().await, r#"n3 "node_action" at 10.0.0.3:1333"#);
    it.configure(1, "n1 n2 n3");
    it.configure(1, "n1 n3");
    // The second time that n2 is told comes a second after the first, and that of n3 would have come before it.
    let told = [it.next().await, it.next().await];
    assert!(told.iter().all(|line| line.starts_with("n2 ")), "{told:?}");
}
