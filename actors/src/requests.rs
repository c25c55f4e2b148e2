//! The requests: what each action of the protocol does, and what it answers (src/wire/README.md, Table of requests).
//!
//! Run on the arbiter of the connection that read the request. Facts are read from the newest snapshot and the loaded
//! configuration; every change of state is a message to its owner, with a deadline; files are read on the blocking pool.

mod actions;
mod asset;
mod blacklist;
pub(crate) mod catalog;
mod config;
mod create;
pub(crate) mod edit;
mod events;
mod explain;
mod forwarding;
pub(crate) mod jsonpath;
pub mod keys;
mod locks;
pub(crate) mod logs;
mod membership;
mod monitors;
mod multiplex;
pub mod relay;
mod selection;
mod stats;
mod status;
mod threads;
mod wait;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use model::{NodeName, ObjectPath};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use wire::{Action, Prepared, Request};

use crate::cluster_data::Snapshot;
use crate::config::LoadedConfig;
use crate::heavy;
pub use crate::heavy::Purse;
use crate::routes::Routes;

/// How long an owner of state may take to answer a message. Far more than any takes; an actor that is restarting
/// answers when it is back.
const ASK_PATIENCE: Duration = Duration::from_secs(10);

/// Messages from this weight on are made ready outside of the arbiter.
const LARGE: usize = 256 << 10;

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP, classic dialect: one request per connection.
    Classic,
    /// TCP, sealed dialect.
    Sealed,
    /// The control socket: plain JSON, from the node's administrator.
    Unix,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The node that the envelope names; the local node over the control socket.
    pub nodename: NodeName,
    /// Its address, IPv4-mapped ones as IPv4; none over the control socket.
    pub addr: Option<IpAddr>,
    /// How it came in.
    pub transport: Transport,
    /// The envelope names the cluster `join`: it joins, uses the relay, or asks for a vote.
    pub clustername_is_join: bool,
    /// The memory that the request, and what peers reply to it, hold.
    pub purse: Purse,
}

/// What a request is answered with.
#[derive(Debug)]
pub enum Outcome {
    /// One document.
    Json(Value),
    /// One document, serialized and compressed once for all who ask.
    Prepared(Arc<Prepared>),
    /// Documents, as JSON texts, until either side ends. An empty one is a lone NUL: it keeps the connection alive and
    /// notices a peer that went away. The queue is bounded: who reads too slowly is dropped.
    Stream(mpsc::Receiver<Arc<str>>),
    /// No reply: the connection is closed.
    Nothing,
}

impl From<Value> for Outcome {
    fn from(reply: Value) -> Self {
        Self::Json(reply)
    }
}

/// `{"status": <status>, "error": <text>}`.
#[must_use]
pub fn refusal(status: u16, error: impl Into<String>) -> Value {
    json!({ "status": status, "error": error.into() })
}

/// Carries out a request that its sender may make, and answers it. Never panics, and never waits without a deadline.
pub async fn handle(routes: &Arc<Routes>, caller: &Caller, request: Request) -> Outcome {
    let context = Context { routes: routes.clone(), caller: caller.clone() };
    match &request.action {
        // Never run where it was received: each object goes to its own nodes.
        Action::ObjectCreate(options) if !request.multiplexed => {
            create::create_everywhere(&context, options).await
        }
        _ if request.is_fanned_out() => multiplex::fan_out(&context, &request).await,
        _ => answer(&context, &request).await,
    }
}

/// Answers a request for the local node.
async fn answer(context: &Context, request: &Request) -> Outcome {
    match &request.action {
        Action::BlacklistClear(_) => blacklist::clear(context).await,
        Action::BlacklistStatus(_) => blacklist::status(context),
        Action::DaemonStatus(options) => status::daemon_status(context, options).await,
        Action::DaemonStop(options) => threads::stop(context, options).await,
        Action::DaemonStart(options) => threads::start(context, options).await,
        Action::DaemonShutdown(options) => threads::shutdown(context, options).await,
        Action::ObjectConfig(options) => config::object_config(context, options).await,
        Action::NodeConfig(options) => config::node_config(context, options).await,
        Action::ObjectClear(options) => monitors::clear(context, options).await,
        Action::NodeMonitor(options) => monitors::set_node(context, options).await,
        Action::SetObjectMonitor(options) => monitors::set_object(context, options).await,
        Action::GetObjectMonitor(options) => status::object_monitor(context, options),
        Action::WakeMonitor(options) => monitors::wake(context, options).await,
        Action::RunDone(options) => monitors::run_done(context, options).await,
        Action::NodeDrain(options) => monitors::drain(context, options).await,
        Action::SetObjectStatus(options) => monitors::set_status(context, options).await,
        Action::ObjectStatus(options) => status::object_status(context, options),
        Action::ObjectExplain(options) => {
            explain::explain(context, options, request.multiplexed).await
        }
        Action::ObjectSelector(options) => status::object_selector(context, options).await,
        Action::NodesInfo(_) => status::nodes_info(context),
        Action::AskFull(options) => status::ask_full(context, options),
        Action::Join(options) => membership::join(context, options).await,
        Action::Leave(_) => membership::leave(context).await,
        Action::RotateSecret(options) => membership::rotate_secret(context, options).await,
        Action::ObjectAction(options) => actions::object_action(context, options).await,
        Action::NodeAction(options) => actions::node_action(context, options).await,
        Action::ObjectCreate(options) => create::create_here(context, options).await,
        Action::ObjectBacklogs(options) => match logs::object_log(context, &options.path) {
            Ok(file) => logs::backlogs(file, options.backlog.0).await,
            Err(refusal) => refusal.into(),
        },
        Action::ObjectLogs(options) => match logs::object_log(context, &options.path) {
            Ok(file) => logs::stream(file, options.backlog.0, request).await,
            Err(refusal) => refusal.into(),
        },
        Action::NodeBacklogs(options) => {
            logs::backlogs(context.routes.paths.node_log(), options.backlog.0).await
        }
        Action::NodeLogs(options) => {
            logs::stream(context.routes.paths.node_log(), options.backlog.0, request).await
        }
        Action::Events(options) => events::events(context, options).await,
        Action::Lock(options) => locks::lock(context, options).await,
        Action::Unlock(options) => locks::unlock(context, options).await,
        Action::ClusterLocks(_) => locks::list(context),
        Action::RelayTx(options) => relay::store(context, options).await,
        Action::RelayRx(options) => relay::fetch(context, options).await,
        Action::RelayStatus(_) => relay::status(context).await,
        Action::DaemonStats(options) => stats::daemon_stats(context, options).await,
        Action::ObjectKeys(options) => keys::list(context, &options.path).await,
        Action::GetKey(options) => keys::get(context, &options.path, &options.key).await,
        Action::SetKey(options) => {
            keys::set(context, &options.path, &options.key, &options.data).await
        }
        Action::DeleteKey(options) => keys::unset(context, &options.path, &options.key).await,
        Action::Wait(options) => wait::wait(context, &options.condition, options.duration).await,
        Action::Sync(options) => wait::sync(context, options.timeout).await,
        Action::GetApi(_) => wire::routes_table().into(),
        Action::Whoami(_) => catalog::whoami(),
        Action::Authinfo(_) => catalog::authinfo(),
        Action::Schedules(options) => catalog::schedules(context, options).await,
        Action::Pools(options) => catalog::pools(context, options).await,
        Action::Networks(_) => catalog::networks(context),
        Action::Keywords(options) => catalog::keywords(&options.kind),
        Action::Catalogs(_) => catalog::catalogs(),
        Action::Templates(options) => catalog::templates(&options.catalog),
        Action::Template(options) => catalog::template(&options.catalog, &options.template),
        Action::ObjectConfirmations(options) => catalog::confirmations(context, &options.path),
        Action::ObjectEnter(options) => catalog::enter(context, &options.path),
        Action::CollectorXmlrpc(_) => catalog::collector_xmlrpc(context),
        Action::DaemonMutex(_) => catalog::mutexes(),
        Action::DrbdConfig(_) | Action::SetDrbdConfig(_) | Action::DrbdAllocations(_) => {
            catalog::drbd()
        }
        Action::GetNode(_) => asset::node(context).await,
        Action::NodeChecks(_) => asset::checks(),
        Action::SshKey(options) => asset::ssh_key(options).await,
    }
}

/// What a handler works with.
struct Context {
    routes: Arc<Routes>,
    caller: Caller,
}

impl Context {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.routes.snapshot.load_full()
    }

    fn config(&self) -> Arc<LoadedConfig> {
        self.routes.config.load_full()
    }

    /// Asks an owner of state. A closed mailbox, a full one and a late answer are all "not now".
    async fn ask<A, M>(&self, owner: &Addr<A>, message: M) -> Result<M::Result, NotNow>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.ask_for(owner, message, ASK_PATIENCE).await
    }

    /// The same, for what may take its time: no longer than `patience`.
    async fn ask_for<A, M>(
        &self,
        owner: &Addr<A>,
        message: M,
        patience: Duration,
    ) -> Result<M::Result, NotNow>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        owner.send(message).timeout(patience).await.map_err(|_| NotNow)
    }

    /// The path of an object that is configured here or seen anywhere; a 404 otherwise.
    fn known_object(&self, path: &str) -> Result<ObjectPath, Value> {
        let unknown = || refusal(404, format!("{} not found", shorten(path)));
        let object = ObjectPath::parse(path).map_err(|_| unknown())?;
        let is_known = self.config().objects.contains_key(&object)
            || self.snapshot().services().contains_key(&object);
        if is_known { Ok(object) } else { Err(unknown()) }
    }
}

/// An actor did not answer: it is being restarted, or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotNow;

impl From<NotNow> for Value {
    fn from(NotNow: NotNow) -> Self {
        refusal(503, "not now: a part of the daemon is restarting, try again")
    }
}

impl From<NotNow> for Outcome {
    fn from(not_now: NotNow) -> Self {
        Self::Json(not_now.into())
    }
}

/// What a peer wrote, as an error text may repeat it.
fn shorten(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Selectors that are expanded at once: each may take a second of a processor.
static SELECTING: Semaphore = Semaphore::const_new(2);

/// Expands selectors on the blocking pool, few at a time.
async fn selecting<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotNow> {
    let turn = tokio::time::timeout(heavy::PATIENCE, SELECTING.acquire()).await;
    let turn = turn.map_err(|_| NotNow)?;
    // With its turn: work that is begun goes on when nobody waits for it any more.
    let work = move || (work(), turn);
    blocking(work).await.map(|(done, _)| done)
}

/// Makes a message ready: outside of the arbiter when it is large.
pub(crate) async fn prepared(message: Value) -> Result<Arc<Prepared>, NotNow> {
    if wire::is_lighter(&message, LARGE) {
        return Ok(Arc::new(Prepared::new(&message)));
    }
    blocking(move || Arc::new(Prepared::new(&message))).await
}

/// Runs file work on the blocking pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotNow> {
    tokio::task::spawn_blocking(work).await.map_err(|_| NotNow)
}
