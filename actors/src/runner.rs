//! The runner: child processes of instance actions, and evaluations of instances.
//!
//! Hears: monitors, the scheduler, requests. Tells: whoever asked, the cluster data.
//! Restart: running children go on and are adopted again; those who waited for their end read a closed mailbox.

mod adopted;
mod child;
mod queue;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use inotify::Inotify;
use model::{InstanceStatus, ObjectPath, Status, Timestamp};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::cluster_data::{Flush, SetInstance, SnapshotCell};
use crate::config::{self, ConfigCell, LoadedConfig, LoadedObject};
use crate::paths::Paths;
use crate::resource::{self, Evaluation, Host, Watch};
use crate::routes::Routes;

use adopted::Adopted;
use queue::{Queue, Request};
use watched::{Folders, Place, Watched};

/// Runs an action for a monitor, within `node.max_parallel`, then evaluates the instance. Answers when the result is
/// published, with the exit code; none when it could not be run.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<i32>")]
pub struct RunAction {
    /// The object.
    pub path: ObjectPath,
    /// The action.
    pub action: monitor::Action,
    /// Keyword `priority` of the object: the lowest is run first.
    pub priority: i64,
}

/// Waits for the action that runs on an object, whoever started it: a monitor before it fell, an earlier life of this
/// daemon, an operator. Then evaluates the instance. Answers when the result is published; at once when none runs.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<Awaited>")]
pub struct AwaitAction(pub ObjectPath);

/// The end of an action that somebody else started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The action: `start`.
    pub action: String,
    /// Its exit code, if we are its parent.
    pub exit_code: Option<i32>,
}

/// Ends the actions that monitors started and that still run: the node is being shut down.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopActions;

/// Runs a command line of the agent for a request, at once: `om <words>`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<CommandOutcome, std::io::ErrorKind>")]
pub struct RunCommand {
    /// Words after `om`: `svc1 start --local`, `node freeze`.
    pub words: Vec<String>,
    /// Wait for the end and capture the output.
    pub sync: bool,
    /// The object concerned, evaluated again at the end.
    pub path: Option<ObjectPath>,
    /// Longest run when `sync`, none for no limit.
    pub time: Option<Duration>,
}

/// What became of a [`RunCommand`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandOutcome {
    /// It ended.
    Ended {
        /// Standard output, bounded.
        out: String,
        /// Standard error, bounded.
        err: String,
        /// Exit code, 128 and the signal when one ended it.
        ret: i32,
    },
    /// It runs.
    Started {
        /// Its process id.
        pid: u32,
        /// Its session id, also in its log lines.
        session_id: String,
    },
}

/// Evaluates the local instance of an object and publishes it. Evaluations of one object never overlap: what is asked
/// while one runs makes one more. Answers when the result is published: false if it could not be evaluated.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Evaluate {
    /// The object.
    pub path: ObjectPath,
    /// Resources to ask; none for all. Others keep what they had.
    pub rids: Option<BTreeSet<String>>,
}

/// Evaluates an instance that nothing is known to have changed: as [`Evaluate`], looking first at the processes that are
/// known.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Recheck {
    /// The object.
    pub path: ObjectPath,
    /// Resources to ask; none for all. Others keep what they had.
    pub rids: Option<BTreeSet<String>>,
}

/// Runs `om <path> <words>` for the scheduler, then evaluates the instance. Answers with the exit code at its end.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<i32>")]
pub struct RunScheduled {
    /// The object.
    pub path: ObjectPath,
    /// Action and options: `run`, `--rid`, `task#1`.
    pub words: Vec<String>,
}

/// Evaluates these instances when there is time; nobody waits.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct EvaluateLater(pub Vec<ObjectPath>);

/// The instance is no more: nothing of it is watched.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Forget(pub ObjectPath);

/// Runs `om node dequeue actions`. One run at a time; whatever asks while it runs makes one more run.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct DequeueActions;

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

/// An evaluation ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Evaluated {
    path: ObjectPath,
    rids: Option<BTreeSet<String>>,
    found: Evaluation,
    /// When it was begun: what was posted since is newer.
    begun: Timestamp,
    is_found: bool,
    waiters: Vec<oneshot::Sender<bool>>,
}

/// A watched process ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct ProcessEnded {
    path: ObjectPath,
    rid: String,
}

/// A child of ours ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct ActionEnded {
    id: u64,
    exit_code: Option<i32>,
}

/// The run that dequeues actions ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Dequeued;

/// Shortest time between two evaluations of an instance that nobody asked for: an evaluation that changes what it watches
/// does not run for ever.
const PAUSE: Duration = Duration::from_millis(50);

/// Whom the runner tells.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Publishes evaluations.
    pub cluster_data: (Recipient<SetInstance>, Recipient<Flush>),
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
}

/// An action of a monitor.
#[derive(Debug)]
struct Action {
    path: ObjectPath,
    words: Vec<String>,
    /// The word of the action: `start`.
    name: String,
    is_about_node: bool,
    /// Its process group, once it runs.
    group: Option<rustix::process::Pid>,
    done: Vec<oneshot::Sender<Option<i32>>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Dequeuing {
    #[default]
    Idle,
    Running,
    /// Asked for meanwhile.
    Again,
}

/// The actor.
pub struct Runner {
    tools: Tools,
    neighbours: Neighbours,
    queue: Queue,
    /// What the last evaluations asked to watch, where that is something.
    watches: BTreeMap<ObjectPath, Watch>,
    watched: Watched,
    folders: Option<Folders>,
    /// When instances were evaluated last because something they watch changed, and whether they are about to be.
    paused: BTreeMap<ObjectPath, BTreeSet<String>>,
    actions: BTreeMap<u64, Action>,
    /// Actions that wait for their turn, by priority, then in the order asked.
    waiting: BTreeSet<(i64, u64)>,
    next_action: u64,
    dequeuing: Dequeuing,
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
    pub fn new(routes: &Routes) -> Self {
        let tools = Tools {
            paths: routes.paths.clone(),
            config: routes.config.clone(),
            snapshot: routes.snapshot.clone(),
            om: routes.om.clone(),
            evaluator: evaluator(routes),
        };
        let cluster_data = &routes.cluster_data;
        let neighbours = Neighbours {
            cluster_data: (cluster_data.clone().recipient(), cluster_data.clone().recipient()),
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
            watches: BTreeMap::new(),
            watched: Watched::default(),
            folders: None,
            paused: BTreeMap::new(),
            actions: BTreeMap::new(),
            waiting: BTreeSet::new(),
            next_action: 0,
            dequeuing: Dequeuing::Idle,
        }
    }

    /// Evaluations at a time: they mostly wait for programs and files.
    fn limit() -> usize {
        (config::processors() * 2).clamp(4, 32)
    }

    fn ask(&mut self, path: ObjectPath, request: Request, ctx: &mut Context<Self>) {
        self.queue.push(path, request);
        self.evaluate_next(ctx);
    }

    /// Starts evaluations, as many as allowed.
    fn evaluate_next(&mut self, ctx: &mut Context<Self>) {
        while let Some((path, Request { rids, is_fresh, waiters })) =
            self.queue.start(Self::limit())
        {
            let config = self.tools.config.load_full();
            let object = config
                .objects
                .get(&path)
                .filter(|object| object.has_instance(&config.node.nodename));
            let Some(object) = object.cloned() else {
                self.queue.end(&path);
                for waiter in waiters {
                    _ = waiter.send(false);
                }
                continue;
            };
            let snapshot = self.tools.snapshot.load();
            let previous =
                snapshot.local_instance(&path).filter(|status| status.is_known()).cloned();
            let known = self.watches.get(&path).filter(|_| !is_fresh).cloned();
            let job = Job { object, config, previous, known, rids: rids.clone() };
            let evaluator = self.tools.evaluator.clone();
            let broken = undefined(&job);
            let begun = crate::clock::now();
            let work = tokio::task::spawn_blocking(move || evaluator(&job));
            let runner = ctx.address();
            actix_rt::spawn(async move {
                let found = match work.await {
                    Ok(found) => found,
                    Err(error) => Err(error.to_string()),
                };
                let is_found = found.is_ok();
                let found = found.unwrap_or_else(|reason| {
                    log::error!(path:% = path, reason = reason.as_str(); "instance not evaluated");
                    broken
                });
                runner.do_send(Evaluated { path, rids, found, begun, is_found, waiters });
            });
        }
    }

    /// Evaluates resources of an instance because something they watch changed.
    fn react(&mut self, (path, rid): Place, ctx: &mut Context<Self>) {
        log::debug!(path:% = path, rid = rid.as_str(); "what is watched changed");
        if let Some(waiting) = self.paused.get_mut(&path) {
            waiting.insert(rid);
            return;
        }
        self.paused.insert(path.clone(), BTreeSet::new());
        let request = Request { rids: Some([rid].into()), ..Request::default() };
        self.ask(path.clone(), request, ctx);
        ctx.run_later(PAUSE, move |this, ctx| {
            for rid in this.paused.remove(&path).into_iter().flatten() {
                this.react((path.clone(), rid), ctx);
            }
        });
    }

    /// Starts actions, as many as allowed.
    fn act_next(&mut self, ctx: &mut Context<Self>) {
        let limit = self.tools.config.load().max_parallel();
        while self.actions.len() - self.waiting.len() < limit
            && let Some((_, id)) = self.waiting.pop_first()
        {
            let Some(action) = self.actions.get_mut(&id) else { continue };
            let session = config::random_uuid();
            let child = child::start(&self.tools.om, &action.words, &session, Some("daemon"));
            let runner = ctx.address();
            match child {
                Ok(mut child) => {
                    action.group = child::group(&child);
                    log::info!(path:% = action.path, action = action.name.as_str(), sid = session.as_str(); "action started");
                    actix_rt::spawn(async move {
                        let exit_code = child.wait().await.ok().map(child::exit_code);
                        runner.do_send(ActionEnded { id, exit_code });
                    });
                }
                Err(error) => {
                    log::error!(path:% = action.path, error:% = error; "action not started");
                    runner.do_send(ActionEnded { id, exit_code: None });
                }
            }
        }
    }

    /// Evaluates an instance with those who wait for it; ends when the result is published.
    fn evaluated(&mut self, path: ObjectPath, ctx: &mut Context<Self>) -> oneshot::Receiver<bool> {
        let (done, end) = oneshot::channel();
        self.ask(path, Request { is_fresh: true, waiters: vec![done], ..Request::default() }, ctx);
        end
    }

    fn dequeue(&mut self, ctx: &mut Context<Self>) {
        self.dequeuing = Dequeuing::Running;
        let words = ["node", "dequeue", "actions"].map(str::to_owned);
        let child = child::start(&self.tools.om, &words, &config::random_uuid(), None);
        let runner = ctx.address();
        match child {
            Ok(mut child) => {
                log::info!("dequeue actions");
                actix_rt::spawn(async move {
                    _ = child.wait().await;
                    runner.do_send(Dequeued);
                });
            }
            Err(error) => {
                log::error!(error:% = error; "actions not dequeued");
                self.dequeuing = Dequeuing::Idle;
            }
        }
    }

    fn watch_files(&mut self, ctx: &mut Context<Self>) {
        let opened = Inotify::init().and_then(|inotify| {
            let folders = Folders::new(&inotify);
            Ok((folders, inotify.into_event_stream(vec![0; 16 << 10])?))
        });
        match opened {
            Ok((folders, events)) => {
                self.folders = Some(folders);
                ctx.add_stream(events.map(FileEvent));
            }
            Err(error) => log::error!(error:% = error; "files of instances are not watched"),
        }
    }
}

/// The evaluator of a daemon: the resource drivers.
fn evaluator(routes: &Routes) -> Evaluator {
    let config = routes.config.load();
    let context = (*config.context).clone();
    let first = Host::new(routes.paths.clone(), config.node.clone(), context);
    let host = ArcSwap::from_pointee(first);
    Arc::new(move |job| {
        let mut now = host.load_full();
        if !Arc::ptr_eq(&now.node, &job.config.node) {
            let (node, context) = (job.config.node.clone(), (*job.config.context).clone());
            now = Arc::new(now.with_settings(node, context));
            host.store(now.clone());
        }
        let (previous, known) = (job.previous.as_deref(), job.known.as_ref());
        Ok(resource::evaluate(&now, &job.object, previous, known, job.rids.as_ref()))
    })
}

impl Actor for Runner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("runner started");
        self.watch_files(ctx);
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
        self.folders = None;
        self.paused.clear();
    }
}

impl Handler<RunAction> for Runner {
    type Result = ResponseFuture<Option<i32>>;

    fn handle(&mut self, run: RunAction, ctx: &mut Context<Self>) -> Self::Result {
        let RunAction { path, action, priority } = run;
        let is_about_node = action.is_about_node();
        let mut words = action.argv();
        let name = words.first().cloned().unwrap_or_default();
        if !is_about_node {
            words.insert(0, path.to_string());
        }
        let (done, end) = oneshot::channel();
        self.next_action += 1;
        let id = self.next_action;
        self.actions
            .insert(id, Action { path, words, name, is_about_node, group: None, done: vec![done] });
        self.waiting.insert((priority, id));
        self.act_next(ctx);
        Box::pin(async move { end.await.unwrap_or(None) })
    }
}

impl Handler<ActionEnded> for Runner {
    type Result = ();

    fn handle(&mut self, ActionEnded { id, exit_code }: ActionEnded, ctx: &mut Context<Self>) {
        let Some(action) = self.actions.remove(&id) else { return };
        let (path, name) = (&action.path, action.name.as_str());
        log::info!(path:% = path, action = name, exit_code:? = exit_code; "action ended");
        // Of what is deleted nothing is left to evaluate.
        let has_instance = !action.is_about_node && name != "delete";
        let evaluated = has_instance.then(|| self.evaluated(action.path.clone(), ctx));
        actix_rt::spawn(async move {
            // What the action did is to be seen by who asked for it.
            if let Some(evaluated) = evaluated {
                _ = evaluated.await;
            }
            for done in action.done {
                _ = done.send(exit_code);
            }
        });
        self.act_next(ctx);
    }
}

impl Handler<AwaitAction> for Runner {
    type Result = ResponseFuture<Option<Awaited>>;

    fn handle(&mut self, AwaitAction(path): AwaitAction, ctx: &mut Context<Self>) -> Self::Result {
        if let Some(action) = self.actions.values_mut().find(|action| action.path == path) {
            let (done, end) = oneshot::channel();
            action.done.push(done);
            let action = action.name.clone();
            return Box::pin(async move {
                Some(Awaited { action, exit_code: end.await.unwrap_or(None) })
            });
        }
        let adopted = match Adopted::find(&self.tools.paths, &path) {
            Ok(Some(adopted)) => adopted,
            Ok(None) => return Box::pin(std::future::ready(None)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let runner = ctx.address();
                return Box::pin(async move {
                    tokio::time::sleep(PAUSE).await;
                    runner.send(AwaitAction(path)).await.ok().flatten()
                });
            }
            Err(error) => {
                log::warn!(path:% = path, error:% = error; "no way to see whether an action runs");
                return Box::pin(std::future::ready(None));
            }
        };
        log::info!(path:% = path, action = adopted.intent.as_str(); "action adopted");
        let runner = ctx.address();
        Box::pin(async move {
            adopted.ended().await;
            _ = runner.send(Evaluate { path, rids: None }).await;
            Some(Awaited { action: adopted.intent, exit_code: None })
        })
    }
}

impl Handler<StopActions> for Runner {
    type Result = ();

    fn handle(&mut self, _: StopActions, ctx: &mut Context<Self>) {
        for (_, id) in std::mem::take(&mut self.waiting) {
            ctx.notify(ActionEnded { id, exit_code: None });
        }
        for action in self.actions.values().filter(|action| action.group.is_some()) {
            log::info!(path:% = action.path, action = action.name.as_str(); "action interrupted");
            child::signal(action.group, rustix::process::Signal::TERM);
        }
    }
}

impl Handler<RunCommand> for Runner {
    type Result = ResponseFuture<Result<CommandOutcome, std::io::ErrorKind>>;

    fn handle(&mut self, run: RunCommand, ctx: &mut Context<Self>) -> Self::Result {
        let RunCommand { words, sync, path, time } = run;
        let (om, session_id, runner) =
            (self.tools.om.clone(), config::random_uuid(), ctx.address());
        let is_about_instance = path.filter(|path| path.kind().has_instances());
        let after = move || {
            if let Some(path) = is_about_instance {
                runner.do_send(EvaluateLater(vec![path]));
            }
        };
        if sync {
            return Box::pin(async move {
                let outcome = child::run(&om, &words, &session_id, time).await;
                after();
                outcome.map_err(|error| error.kind())
            });
        }
        let started = child::start(&om, &words, &session_id, None).map(|mut child| {
            let pid = child.id().unwrap_or(0);
            actix_rt::spawn(async move {
                _ = child.wait().await;
                after();
            });
            CommandOutcome::Started { pid, session_id }
        });
        Box::pin(std::future::ready(started.map_err(|error| error.kind())))
    }
}

impl Handler<Evaluate> for Runner {
    type Result = ResponseFuture<bool>;

    fn handle(
        &mut self,
        Evaluate { path, rids }: Evaluate,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        let (done, end) = oneshot::channel();
        let is_fresh = rids.is_none();
        self.ask(path, Request { rids, is_fresh, waiters: vec![done] }, ctx);
        Box::pin(async move { end.await.unwrap_or(false) })
    }
}

impl Handler<Recheck> for Runner {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, Recheck { path, rids }: Recheck, ctx: &mut Context<Self>) -> Self::Result {
        let (done, end) = oneshot::channel();
        self.ask(path, Request { rids, waiters: vec![done], ..Request::default() }, ctx);
        Box::pin(async move { end.await.unwrap_or(false) })
    }
}

impl Handler<RunScheduled> for Runner {
    type Result = ResponseFuture<Option<i32>>;

    fn handle(&mut self, run: RunScheduled, ctx: &mut Context<Self>) -> Self::Result {
        let RunScheduled { path, mut words } = run;
        words.insert(0, path.to_string());
        let child = child::start(&self.tools.om, &words, &config::random_uuid(), Some("daemon"));
        let runner = ctx.address();
        let (done, end) = oneshot::channel();
        match child {
            Ok(mut child) => {
                actix_rt::spawn(async move {
                    let exit_code = child.wait().await.ok().map(child::exit_code);
                    runner.do_send(EvaluateLater(vec![path]));
                    _ = done.send(exit_code);
                });
            }
            Err(error) => log::error!(path:% = path, error:% = error; "scheduled work not started"),
        }
        Box::pin(async move { end.await.unwrap_or(None) })
    }
}

impl Handler<EvaluateLater> for Runner {
    type Result = ();

    fn handle(&mut self, EvaluateLater(paths): EvaluateLater, ctx: &mut Context<Self>) {
        for path in paths {
            self.queue.push(path, Request { is_fresh: true, ..Request::default() });
        }
        self.evaluate_next(ctx);
    }
}

impl Handler<Evaluated> for Runner {
    type Result = ();

    fn handle(&mut self, evaluated: Evaluated, ctx: &mut Context<Self>) {
        let Evaluated { path, rids, found, begun, is_found, waiters } = evaluated;
        self.queue.end(&path);
        let snapshot = self.tools.snapshot.load();
        if snapshot.local_instance(&path).is_some_and(|posted| posted.updated > begun) {
            // A command posted what it found meanwhile: ours is older, and what it kept of before is older still.
            log::debug!(path:% = path; "evaluation overtaken");
            self.queue.push(path, Request { is_fresh: true, waiters, ..Request::default() });
            self.evaluate_next(ctx);
            return;
        }
        let Evaluation { status, watch } = found;
        // Deleted meanwhile: nobody wants to hear of it.
        if self.tools.config.load().objects.contains_key(&path) {
            self.neighbours
                .cluster_data
                .0
                .do_send(SetInstance { path: path.clone(), status: Box::new(status) });
            let runner = ctx.address();
            let follow = |rid: &str, pid| follow(runner.clone(), path.clone(), rid.to_owned(), pid);
            if watch == Watch::default() {
                self.watches.remove(&path);
            } else {
                self.watches.insert(path.clone(), watch.clone());
            }
            self.watched.set(&path, watch, rids.as_ref(), self.folders.as_mut(), follow);
        }
        if !waiters.is_empty() {
            let flush = self.neighbours.cluster_data.1.clone();
            actix_rt::spawn(async move {
                _ = flush.send(Flush).await;
                for waiter in waiters {
                    _ = waiter.send(is_found);
                }
            });
        }
        self.evaluate_next(ctx);
    }
}

/// What is published of an instance that could not be evaluated: its state is undefined, and that is a state.
fn undefined(job: &Job) -> Evaluation {
    let status = InstanceStatus {
        updated: crate::clock::now(),
        kind: Some(job.object.path.kind()),
        topology: Some(job.object.settings.topology.to_string()),
        frozen: Some(Timestamp::NEVER),
        avail: Some(Status::Undef),
        overall: Some(Status::Undef),
        optional: Some(Status::NotApplicable),
        resources: Some(BTreeMap::new()),
        ..job.previous.as_deref().cloned().unwrap_or_default()
    };
    let watch = job.known.clone().unwrap_or_default();
    Evaluation { status, watch }
}

/// Follows a process to its end.
fn follow(runner: Addr<Runner>, path: ObjectPath, rid: String, pid: u32) -> AbortHandle {
    actix_rt::spawn(async move {
        match adopted::watch_process(i32::try_from(pid).unwrap_or(0)) {
            Ok(Some(process)) => adopted::ended(&process).await,
            Ok(None) => {}
            Err(error) => {
                log::warn!(path:% = path, pid = pid, error:% = error; "process not followed");
                return;
            }
        }
        runner.do_send(ProcessEnded { path, rid });
    })
    .abort_handle()
}

impl Handler<ProcessEnded> for Runner {
    type Result = ();

    fn handle(&mut self, ProcessEnded { path, rid }: ProcessEnded, ctx: &mut Context<Self>) {
        self.react((path, rid), ctx);
    }
}

/// What inotify tells of the files of instances.
struct FileEvent(std::io::Result<inotify::Event<std::ffi::OsString>>);

impl StreamHandler<FileEvent> for Runner {
    fn handle(&mut self, FileEvent(event): FileEvent, ctx: &mut Context<Self>) {
        let Some(folders) = &mut self.folders else { return };
        let concerned = match &event {
            Ok(event) => folders.concerned(event),
            Err(_) => None,
        };
        match concerned {
            Some(places) => places.into_iter().for_each(|place| self.react(place, ctx)),
            None => {
                log::warn!("events of watched files were lost: all are looked at");
                let paths = self.watched.with_files().cloned().collect();
                ctx.notify(EvaluateLater(paths));
            }
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {
        log::error!("files of instances are no longer watched");
        self.folders = None;
    }
}

impl Handler<Forget> for Runner {
    type Result = ();

    fn handle(&mut self, Forget(path): Forget, _: &mut Context<Self>) {
        self.watches.remove(&path);
        self.watched.forget(&path, self.folders.as_mut());
    }
}

impl Handler<DequeueActions> for Runner {
    type Result = ();

    fn handle(&mut self, _: DequeueActions, ctx: &mut Context<Self>) {
        match self.dequeuing {
            Dequeuing::Idle => self.dequeue(ctx),
            Dequeuing::Running | Dequeuing::Again => self.dequeuing = Dequeuing::Again,
        }
    }
}

impl Handler<Dequeued> for Runner {
    type Result = ();

    fn handle(&mut self, _: Dequeued, ctx: &mut Context<Self>) {
        let is_asked = self.dequeuing == Dequeuing::Again;
        self.dequeuing = Dequeuing::Idle;
        if is_asked {
            self.dequeue(ctx);
        }
    }
}

#[cfg(test)]
mod tests;
