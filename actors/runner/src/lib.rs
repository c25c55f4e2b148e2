//! The runner: child processes of instance actions, and evaluations of instances.
//!
//! Hears: monitors, the scheduler, requests. Tells: whoever asked, the cluster data.
//! Restart: running children go on and are adopted again; those who waited for their end read a closed mailbox.

mod actions;
mod addresses;
mod adopted;
mod child;
mod ended;
mod evaluations;
mod queue;
mod unwatched;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use model::{InstanceStatus, ObjectPath};
use monitor::Dequeuing;
use tokio::sync::oneshot;

use crate::ended::Begun;
use crate::queue::{Queue, Request};
use crate::watched::{Addresses, Folders, Watched};
use dataset::config::{ConfigCell, LoadedConfig, LoadedObject};
use dataset::snapshot::SnapshotCell;
use drivers::host::Host;
use drivers::{Evaluation, Watch};
use files::load::Load as _;
use machine::paths::Paths;
use mail::cluster_data::{Flush, SetInstance};
use mail::mail::Mail;
use mail::root::ThreadReport;
use metrics::counts::Counts;

/// What an evaluation starts from.
#[derive(Debug)]
pub struct Job {
    /// The configuration of the object.
    pub object: Arc<LoadedObject>,
    /// The configuration of the node.
    pub config: Arc<LoadedConfig>,
    /// What the last evaluation found.
    pub previous: Option<Arc<InstanceStatus>>,
    /// What it said to watch; none when that may no longer hold.
    pub known: Option<Watch>,
    /// Resources to ask; none for all.
    pub rids: Option<BTreeSet<String>>,
}

/// Evaluates an instance; blocks.
pub type Evaluator = Arc<dyn Fn(&Job) -> Result<Evaluation, String> + Send + Sync>;

/// Whom the runner tells.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Publishes evaluations.
    pub cluster_data: (Recipient<SetInstance>, Recipient<Flush>),
    /// Shows alerts.
    pub root: Recipient<ThreadReport>,
}

/// What the runner works with.
#[derive(Clone)]
pub struct Tools {
    /// Folders.
    pub paths: Arc<Paths>,
    /// The configuration in force.
    pub config: ConfigCell,
    /// What was published last.
    pub snapshot: SnapshotCell,
    /// The program of children.
    pub om: PathBuf,
    /// Evaluates instances.
    pub evaluator: Evaluator,
    /// Counts actions.
    pub counts: Arc<Counts>,
}

/// An action of a monitor.
#[derive(Debug)]
struct Action {
    path: ObjectPath,
    words: Vec<String>,
    /// The word of the action: `start`.
    name: String,
    /// What its end is told by, once it runs.
    begun: Option<Begun>,
    /// When that was.
    since: Option<Instant>,
    is_about_node: bool,
    /// Its process group, once it runs.
    group: Option<machine::pidfd::Process>,
    /// Its session, once it runs.
    session: String,
    /// What it left was handed over.
    is_found: bool,
    done: Vec<oneshot::Sender<Option<i32>>>,
}

/// The actor.
pub struct Runner {
    tools: Tools,
    neighbours: Neighbours,
    queue: Queue,
    watched: Watched,
    folders: Folders,
    addresses: Addresses,
    /// What the alert says of files that are not watched.
    alert: Option<String>,
    sweep: Option<SpawnHandle>,
    /// When instances were evaluated last because something they watch changed, and whether they are about to be.
    paused: BTreeMap<ObjectPath, BTreeSet<String>>,
    actions: BTreeMap<u64, Action>,
    /// Actions that wait for their turn, by priority, then in the order asked.
    waiting: BTreeSet<(i64, u64)>,
    next_action: u64,
    dequeuing: Dequeuing,
    epoch: Instant,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("queue", &self.queue)
            .field("actions", &self.actions)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// The runner of a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        let tools = Tools {
            paths: mail.paths.clone(),
            config: mail.config.clone(),
            snapshot: mail.snapshot.clone(),
            om: mail.om.clone(),
            evaluator: evaluator(mail),
            counts: mail.counts.clone(),
        };
        let cluster_data = &mail.cluster_data;
        let neighbours = Neighbours {
            cluster_data: (cluster_data.clone().recipient(), cluster_data.clone().recipient()),
            root: mail.root.clone().recipient(),
        };
        Self::with(tools, neighbours)
    }

    /// A runner with these neighbours.
    #[must_use]
    pub fn with(tools: Tools, neighbours: Neighbours) -> Self {
        Self {
            tools,
            neighbours,
            queue: Queue::default(),
            watched: Watched::default(),
            folders: Folders::new(),
            addresses: Addresses::default(),
            alert: None,
            sweep: None,
            paused: BTreeMap::new(),
            actions: BTreeMap::new(),
            waiting: BTreeSet::new(),
            next_action: 0,
            dequeuing: Dequeuing::default(),
            epoch: Instant::now(),
        }
    }
}

/// The evaluator of a daemon: the resource drivers.
fn evaluator(mail: &Mail) -> Evaluator {
    // Of no configuration: what is kept between evaluations holds no secret that is in force no more.
    let none = LoadedConfig::empty(&mail.paths, mail.nodename.clone());
    let host = Host::new(mail.paths.clone(), none.node, (*none.context).clone());
    Arc::new(move |job| {
        let now = host.configured(job.config.node.clone(), job.config.context.clone());
        let (previous, known) = (job.previous.as_deref(), job.known.as_ref());
        Ok(drivers::evaluate(&now, &job.object, previous, known, job.rids.as_ref()))
    })
}

impl Actor for Runner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("runner started");
        self.watch_files(ctx);
        self.follow_addresses(ctx);
        // Also those that an actor that fell watched.
        let watched: Vec<ObjectPath> = self.watched.with_files().cloned().collect();
        for path in watched {
            self.queue.push(path, Request::default());
        }
        self.evaluate_next(ctx);
        self.act_next(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("runner stopped");
    }
}

impl Supervised for Runner {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // Children, their futures and the evaluations under way are no part of the actor: they go on, and tell their end to
        // this address. What is known of them stays; alarms and watched folders start anew.
        self.folders = Folders::new();
        self.addresses.restart();
        self.sweep = None;
        self.paused.clear();
    }
}

#[cfg(test)]
mod tests;
