//! The daemon process: one per root folder, in the foreground or detached.
//!
//! Starting order: lock, log, configuration of the node, actors, ready. Objects are loaded once it answers.

mod background;
mod instance;
mod signals;

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_rt::Arbiter;
use arc_swap::ArcSwap;
use model::NodeName;
use monitor::Backoff;
use tokio::sync::Semaphore;

use crate::blacklist_keeper::{BlacklistKeeper, BlacklistRoute, BlacklistView};
use crate::cluster_data::{ClusterData, Flush, SetThread};
use crate::config::{self, LoadedConfig};
use crate::config_watcher::{self, ConfigWatcher};
use crate::connection::{ClassicMemory, Gate, Lane, SessionLog, Shared, Unopened};
use crate::control_socket::ControlSocket;
use crate::freshness::Freshness;
use crate::listener::Listener;
use crate::logs::{self, LogContext, LogKeeper, LogOptions};
use crate::membership::Membership;
use crate::node_monitor::{NodeMonitor, boot, stats};
use crate::paths::Paths;
use crate::peer::Peers;
use crate::propagation::Propagation;
use crate::quorum::Quorum;
use crate::requests::relay::RelayKeeper;
use crate::root::{Ready, Root, StartThread, level_of, secrets_of};
use crate::routes::Routes;
use crate::runner::Runner;
use crate::scheduler::Scheduler;
use crate::secret_keeper::{self, SecretKeeper, SecretUse};
use crate::standing_keeper::{self, StandingKeeper};
use crate::supervision::{self, Child};
use crate::workers::Workers;
use crate::{clock, limits, sweep};

pub use background::start_background;
pub use instance::running_pid;

/// Set for the tests of supervision: serves the request `test_panic` on the control socket. Beside it, `OSVC_TEST_CRASH`
/// kills the process at a point that it names, `OSVC_TEST_CLOCK` steps its clock ([`clock::VARIABLE`]), and
/// `OSVC_TEST_DIALECT_SILENCE` shortens the hour after which nobody needs the classic dialect.
const PANIC_VARIABLE: &str = "OSVC_TEST_PANIC";

/// Messages that may wait for an actor before its senders do.
const QUEUE: usize = 1_024;

/// Who has to run before a request is answered.
const STARTED_FIRST: [&str; 13] = [
    "logs",
    "cluster_data",
    "blacklist",
    "relay",
    "peers",
    "runner",
    "monitor",
    "quorum",
    "scheduler",
    "config",
    "propagation",
    "secret",
    "listener",
];

/// Longest wait for them.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// How long the control socket may take before whoever starts us is told.
const SOCKET_PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for blocking work, reading files for one, when everything else has stopped.
const BLOCKED_PATIENCE: Duration = Duration::from_millis(500);

/// Most worker threads for connections.
const MOST_WORKERS: usize = 8;

/// Why the daemon does not start.
#[derive(Debug)]
pub enum DaemonError {
    /// Another one runs on the same root folder.
    Running {
        /// Its process id, when it could be read.
        pid: Option<u32>,
    },
    /// A deployed agent runs in the same folders.
    Deployed {
        /// Its process id, when it could be read.
        pid: Option<u32>,
    },
    /// The host name is not a node name.
    Nodename(model::NameError),
    /// The system refused something.
    Io(io::Error),
    /// What the process in the background said before it ended.
    Said(String),
}

impl fmt::Display for DaemonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { pid: Some(pid) } => {
                write!(f, "the daemon is already running, pid {pid}")
            }
            Self::Running { pid: None } => f.write_str("the daemon is already running"),
            Self::Deployed { pid } => {
                f.write_str("a deployed agent's daemon is running")?;
                if let Some(pid) = pid {
                    write!(f, ", pid {pid}")?;
                }
                f.write_str(": stop it first, with its own `om daemon stop`")
            }
            Self::Nodename(error) => {
                write!(f, "{error}: set {} to name this node", clock::NODENAME_VARIABLE)
            }
            Self::Io(error) => write!(f, "{error}"),
            Self::Said(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for DaemonError {}

impl From<io::Error> for DaemonError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs the daemon in this process until it is stopped.
#[must_use]
pub fn run_foreground() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("om daemon start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), DaemonError> {
    let is_background = background::is_background();
    if is_background {
        background::detach();
    }
    let paths = Arc::new(Paths::from_env());
    paths.create()?;
    let nodename = clock::local_nodename().map_err(DaemonError::Nodename)?;
    let instance = instance::Instance::take(&paths)?;
    let is_limited = limits::raise_descriptors().and_then(|()| limits::forbid_core());
    logs::install(LogOptions {
        paths: paths.clone(),
        nodename: nodename.clone(),
        context: LogContext::default(),
        level: log::LevelFilter::Info,
        is_verbose: !is_background,
        is_filed: true,
    });
    std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
    if let Err(error) = is_limited {
        log::warn!(error:% = error; "the limits of open files and core files could not be set");
    }
    let is_written = config::ensure_cluster_conf(&paths, &nodename);
    if let Err(error) = is_written {
        log::error!(error:% = error; "cluster.conf could not be written");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let runtime = Arc::new(runtime);
    let system = System::with_tokio_rt(|| runtime.clone());
    let snapshot = system.block_on(async { start(paths.clone(), nodename).await })?.snapshot;
    let done = system.run();
    end(runtime);
    logs::set_keeper(None);
    if let Err(error) = boot::note_shutdown(&paths, &snapshot.load()) {
        log::warn!(error:% = error; "the time of this stop could not be noted");
    }
    drop(instance);
    Ok(done?)
}

/// Ends a runtime. Dropped, it would wait for blocking work for ever: a file system that does not answer.
fn end(runtime: Arc<tokio::runtime::Runtime>) {
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_timeout(BLOCKED_PATIENCE);
    }
}

/// The nice value of the thread of heartbeats, which does little: on a machine that is busy with something else, peers would
/// take this node for lost, and this node its peers.
const BEATS_NICE: i32 = -15;

/// Starts every actor; the root says when the control socket can be connected to.
async fn start(paths: Arc<Paths>, nodename: NodeName) -> Result<Routes, DaemonError> {
    let mut loaded = LoadedConfig::empty(&paths, nodename.clone());
    loaded.reload_node(&paths, &std::collections::BTreeSet::new());
    let node = loaded.node.clone();
    logs::set_level(level_of(node.loglevel));
    logs::set_secrets(secrets_of(&node));

    let here = Arbiter::current();
    let swept = paths.clone();
    actix_rt::spawn(async move {
        for round in 0_u64.. {
            let paths = swept.clone();
            _ = tokio::task::spawn_blocking(move || sweep::sweep(&paths, round == 0)).await;
            tokio::time::sleep(sweep::PERIOD).await;
        }
    });
    let (network, writer) = (Arbiter::try_new()?, Arbiter::try_new()?);
    // Nothing else runs there: whatever blocks, the beats go on.
    let beats = Arbiter::try_new()?.handle();
    beats.spawn_fn(|| {
        // Of the calling thread, and of no child process. Without the right to, it is as it was.
        if let Err(error) = rustix::process::setpriority_process(None, BEATS_NICE) {
            log::debug!(error:% = error; "the beats have no priority");
        }
    });
    let workers = Workers::start(config::processors().clamp(1, MOST_WORKERS))?;
    // The operator is answered whatever the network keeps the others busy with.
    let own_worker = Workers::start(1)?;

    let (root, root_seat) = supervision::seat::<Root>(QUEUE);
    let (cluster_data, cluster_data_seat) = supervision::seat::<ClusterData>(QUEUE);
    let (node_monitor, node_monitor_seat) = supervision::seat::<NodeMonitor>(QUEUE);
    let (runner, runner_seat) = supervision::seat::<Runner>(QUEUE);
    let (scheduler, scheduler_seat) = supervision::seat::<Scheduler>(QUEUE);
    let (config_watcher, config_watcher_seat) = supervision::seat::<ConfigWatcher>(QUEUE);
    let (listener, listener_seat) = supervision::seat::<Listener>(QUEUE);
    let (keeper, keeper_seat) = supervision::seat::<BlacklistKeeper>(QUEUE);
    let (propagation, propagation_seat) = supervision::seat::<Propagation>(QUEUE);
    let (quorum, quorum_seat) = supervision::seat::<Quorum>(QUEUE);
    let (peers, peers_seat) = supervision::seat::<Peers>(QUEUE);
    let (membership, membership_seat) = supervision::seat::<Membership>(QUEUE);
    let (standing, standing_seat) = supervision::seat::<StandingKeeper>(QUEUE);
    let (secrets, secrets_seat) = supervision::seat::<SecretKeeper>(QUEUE);
    let (relay, relay_seat) = supervision::seat::<RelayKeeper>(QUEUE);
    let (log_keeper, log_seat) = supervision::seat::<LogKeeper>(logs::QUEUE);
    let view = Arc::new(BlacklistView::default());
    // Whoever asks before anything was evaluated reads the cluster, and that the node is being initialized.
    let settings = config_watcher::public(&loaded, stats::measure().1);
    let first = ClusterData::first(nodename.clone(), settings, &loaded);
    let routes = Routes {
        om: program(),
        snapshot: Arc::new(ArcSwap::from_pointee(first)),
        config: Arc::new(ArcSwap::from_pointee(loaded)),
        monitors: Arc::default(),
        gate: Arc::new(ArcSwap::from_pointee(Gate::new(&node))),
        blacklist: BlacklistRoute { view: view.clone(), keeper },
        classic: Arc::new(ClassicMemory::load(&paths.node_classic())),
        paths,
        nodename,
        cluster_data,
        node_monitor,
        runner,
        scheduler,
        config_watcher,
        listener,
        peers,
        propagation,
        quorum,
        membership,
        standing,
        secret_use: Arc::new(ArcSwap::from_pointee(SecretUse::first(&node))),
        secrets,
        relay,
        root,
    };
    let freshness = Freshness::load(&routes.paths.freshness(), node.listener.replay_window);
    let freshness = Arc::new(freshness);
    let shared = Arc::new(Shared {
        routes: Arc::new(routes.clone()),
        gate: routes.gate.clone(),
        freshness: freshness.clone(),
        sessions: SessionLog::default(),
        unopened: Arc::new(Unopened::default()),
        lane: Lane::default(),
        opening: Semaphore::new(config::processors()),
        sealing: Semaphore::new(config::processors()),
        is_panic_allowed: std::env::var_os(PANIC_VARIABLE).is_some_and(|value| value == "1"),
    });

    let child = |id: &str| Child::new(id, routes.root.clone().recipient());
    let keeping = log_keeper.clone();
    let started = (routes.clone(), shared.clone(), log_keeper.clone(), beats);
    supervision::start_here(
        root_seat,
        // The root feeds everybody else: it comes back at once.
        Child {
            backoff: Backoff { longest: Duration::from_secs(1), ..Backoff::default() },
            ..child("root")
        },
        move || {
            let (routes, shared, logs, beats) = started.clone();
            Root::new(routes, &shared, logs, beats)
        },
    );
    let paths = routes.paths.clone();
    supervision::start(log_seat, child("logs"), &writer.handle(), move || {
        LogKeeper::new(paths.clone())
    });
    logs::set_keeper(Some(keeping));
    let (cell, config) = (routes.snapshot.clone(), routes.config.clone());
    supervision::start(cluster_data_seat, child("cluster_data"), &here, move || {
        ClusterData::new(cell.clone(), config.clone())
    });
    let told = routes.clone();
    supervision::start(keeper_seat, child("blacklist"), &here, move || {
        BlacklistKeeper::new(view.clone(), told.cluster_data.clone(), told.root.clone())
    });
    supervision::start(relay_seat, child("relay"), &here, RelayKeeper::default);
    let told = routes.clone();
    supervision::start(peers_seat, child("peers"), &network.handle(), move || {
        Peers::new(&told, freshness.clone())
    });
    let told = routes.clone();
    supervision::start(runner_seat, child("runner"), &here, move || Runner::new(&told));
    let told = routes.clone();
    supervision::start(node_monitor_seat, child("monitor"), &here, move || NodeMonitor::new(&told));
    let told = routes.clone();
    supervision::start(quorum_seat, child("quorum"), &here, move || Quorum::new(&told));
    let told = routes.clone();
    supervision::start(scheduler_seat, child("scheduler"), &here, move || Scheduler::new(&told));
    let told = routes.clone();
    supervision::start(config_watcher_seat, child("config"), &here, move || {
        ConfigWatcher::new(&told)
    });
    let told = routes.clone();
    supervision::start(propagation_seat, child("propagation"), &here, move || {
        Propagation::new(&told)
    });
    let told = routes.clone();
    supervision::start(standing_seat, child(standing_keeper::ID), &here, move || {
        StandingKeeper::new(&told)
    });
    let told = routes.clone();
    supervision::start(secrets_seat, child(secret_keeper::ID), &here, move || {
        SecretKeeper::new(&told)
    });
    // After the heartbeats, so that it stops before them: a stop is no loss of peers.
    let told = routes.clone();
    supervision::start(membership_seat, child("membership"), &here, move || Membership::new(&told));
    let (told, threads) = (shared.clone(), workers.clone());
    supervision::start(listener_seat, child("listener"), &network.handle(), move || {
        Listener::new(told.clone(), threads.clone())
    });
    routes.cluster_data.do_send(SetThread {
        id: "daemon".into(),
        block: Some(serde_json::json!({
            "state": "running",
            "ident": rustix::thread::gettid().as_raw_nonzero().get(),
            "pid": std::process::id(),
            "created": clock::now(),
        })),
    });
    signals::listen(&routes)?;
    let ready = routes.clone();
    let network = network.handle();
    actix_rt::spawn(async move {
        // Whoever is answered finds everybody there: the control socket comes last. An actor that cannot start is no reason
        // not to answer, on the contrary.
        let started = STARTED_FIRST.map(|id| ready.root.send(StartThread { id: id.to_owned() }));
        let all = futures_util::future::join_all(started);
        _ = tokio::time::timeout(START_PATIENCE, all).await;
        let (own, seat) = supervision::seat::<ControlSocket>(QUEUE);
        let child = Child::new("control_socket", ready.root.clone().recipient());
        supervision::start(seat, child, &network, move || {
            ControlSocket::new(shared.clone(), own_worker.clone(), own.clone())
        });
        wait_for_socket(&ready.paths).await;
        ready.root.do_send(Ready);
        // Whoever waits for the start sees a whole status: what the actors said of themselves is published first. A
        // cluster data that is restarting is no reason not to be ready.
        _ = ready.cluster_data.send(Flush).timeout(Duration::from_secs(1)).await;
        background::on_ready();
    });
    Ok(routes)
}

/// Waits until the control socket is there: from then on requests are answered.
async fn wait_for_socket(paths: &Paths) {
    let path = paths.lsnr_socket();
    // A few looks of a thousandth of a second at most; a socket that cannot be made is retried by its actor. A request,
    // because an empty packet would have the action queue fetched.
    let ask = || {
        let mut stream = crate::control_socket::connect(&path)?;
        io::Write::write_all(&mut stream, b"{\"action\": \"daemon_blacklist_status\"}\0")
    };
    let begin = Instant::now();
    let mut is_late = false;
    while let Err(error) = ask() {
        if !is_late && begin.elapsed() > SOCKET_PATIENCE {
            is_late = true;
            let is_obstacle =
                std::fs::symlink_metadata(&path).is_ok_and(|found| !found.file_type().is_socket());
            let reason = match is_obstacle {
                true => format!("{} is no socket: move it away", path.display()),
                false => format!("{}: {error}: see {}", path.display(), paths.node_log().display()),
            };
            // Its actor goes on trying; nobody is to wait for it at a prompt.
            log::error!("no control socket: {reason}");
            background::on_late(&reason);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What children run: this program. When its file was replaced by an upgrade, the new one is run.
fn program() -> PathBuf {
    if cfg!(test) {
        // The program is the test itself: run with the words of a command, it would start more daemons.
        return "/bin/true".into();
    }
    let program = std::env::current_exe().unwrap_or_else(|_| "om".into());
    match program.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(text) => text.into(),
        None => program,
    }
}

#[cfg(test)]
mod tests;
