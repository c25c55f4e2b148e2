//! The daemon process: one per root folder, in the foreground or detached.
//!
//! Starting order: lock, log, configuration of the node, actors, ready. Objects are loaded once it answers.

mod cast;
mod threads;

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use dataset::config::LoadedConfig;
use drivers::cgroup::Cgroups;
use files::first_start;
use files::load::Load as _;
use link::lane::Lane;
use listener::connection::shared::Shared;
use listener::control_socket::ControlSocket;
use logs::LogOptions;
use logs::context::LogContext;
use machine::daemon_lock::DaemonError;
use machine::paths::Paths;
use machine::{background, blocking, clock, daemon_lock, limits, process, sweep};
use mail::cluster_data::{Flush, SetThread};
use mail::mail::Mail;
use mail::root::StartThread;
use mail::sessions::SessionBook;
use model::{NodeName, thread};
use monitors::node::boot;
use supervision::Child;
use tokio::sync::Semaphore;

use crate::logging::{level_of, secrets_of};
use crate::start::cast::{Cast, QUEUE};
use crate::start::threads::Threads;
use crate::{Ready, Root};

/// Set for the tests of supervision: serves the request `test_panic` on the control socket. Beside it, `OSVC_TEST_CRASH`
/// kills the process at a point that it names, `OSVC_TEST_CLOCK` steps its clock ([`clock::VARIABLE`]), and
/// `OSVC_TEST_DIALECT_SILENCE` shortens the hour after which nobody needs the classic dialect.
const PANIC_VARIABLE: &str = "OSVC_TEST_PANIC";

/// Who has to run before a request is answered.
const STARTED_FIRST: [&str; 13] = [
    thread::LOGS,
    thread::CLUSTER_DATA,
    thread::BLACKLIST,
    thread::RELAY,
    thread::PEERS,
    thread::RUNNER,
    thread::MONITOR,
    thread::QUORUM,
    thread::SCHEDULER,
    thread::CONFIG,
    thread::PROPAGATION,
    thread::SECRET,
    thread::LISTENER,
];

/// Longest wait for them.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// How long the control socket may take before whoever starts us is told.
const SOCKET_PATIENCE: Duration = Duration::from_secs(5);

/// Longest wait for blocking work, reading files for one, when everything else has stopped.
const BLOCKED_PATIENCE: Duration = Duration::from_millis(500);

/// Exit code where another daemon runs. A service manager that knows it (`RestartPreventExitStatus`) does not try for ever.
const ALREADY_RUNNING: u8 = 3;

/// Runs the daemon in this process until it is stopped.
#[must_use]
pub fn run_foreground() -> ExitCode {
    if let Err(error) = leave_service() {
        anstream::eprintln!("om daemon start: {error}");
        return ExitCode::FAILURE;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("om daemon start: {error}");
            match error {
                DaemonError::Running { .. } | DaemonError::Deployed { .. } => {
                    ExitCode::from(ALREADY_RUNNING)
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Becomes a daemon that is no part of the service in whose shell it was typed: a stop of that service would end it, with all
/// that it starts. The system shows the environment that a program was started with, whatever it drops later: so it is
/// started anew, once.
fn leave_service() -> io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    let marks = machine::environment::inherited_marks();
    // In the background there are no marks any more. What leads a session was launched as the service itself.
    let is_service = process::leads_session();
    if background::is_background() || !marks.is_empty() && !is_service {
        Cgroups::mounted().leave();
    }
    if marks.is_empty() {
        return Ok(());
    }
    let mut command = std::process::Command::new(program());
    command.args(std::env::args_os().skip(1));
    for name in marks {
        command.env_remove(name);
    }
    Err(command.exec())
}

fn run() -> Result<(), DaemonError> {
    let is_background = background::is_background();
    if is_background {
        background::detach();
    }
    let paths = Arc::new(Paths::from_env());
    paths.create()?;
    let nodename = clock::local_nodename().map_err(DaemonError::Nodename)?;
    let instance = daemon_lock::DaemonLock::take(&paths)?;
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
    match first_start::ensure_cluster_conf(&paths, &nodename) {
        Ok(true) => first_start::make_certificates(&paths, &nodename),
        Ok(false) => {}
        Err(error) => log::error!(error:% = error; "cluster.conf could not be written"),
    }
    if let Err(error) = instance.show(&paths) {
        log::warn!(error:% = error; "deployed commands will not see that the daemon runs");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    blocking::use_pool(runtime.handle().clone());
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

/// Starts every actor; the root says when the control socket can be connected to.
async fn start(paths: Arc<Paths>, nodename: NodeName) -> Result<Mail, DaemonError> {
    let mut loaded = LoadedConfig::empty(&paths, nodename.clone());
    loaded.reload_node(&paths, &std::collections::BTreeSet::new());
    logs::set_level(level_of(loaded.node.loglevel));
    logs::set_secrets(secrets_of(&loaded.node));

    sweep_for_ever(paths.clone());
    let threads = Threads::start()?;
    let cast = Cast::new();
    let root = cast.root();
    let mail = cast.mail(program(), paths, nodename, loaded);
    let shared = Arc::new(Shared {
        mail: Arc::new(mail.clone()),
        router: requests::route,
        sessions: Arc::new(SessionBook::new(mail.listener.clone())),
        lane: Lane::default(),
        opening: Semaphore::new(process::processors()),
        sealing: Semaphore::new(process::processors()),
        is_panic_allowed: std::env::var_os(PANIC_VARIABLE).is_some_and(|value| value == "1"),
    });
    cast.start(&mail, &threads, &shared);
    mail.cluster_data.do_send(SetThread {
        id: thread::DAEMON.into(),
        block: Some(thread::Block {
            report: thread::Report::Daemon { pid: std::process::id() },
            ..thread::Block::new(
                thread::State::Running,
                clock::now(),
                rustix::thread::gettid().as_raw_nonzero().get(),
            )
        }),
    });
    crate::signals::listen(&mail)?;
    actix_rt::spawn(open(mail.clone(), root, shared, threads));
    Ok(mail)
}

/// Removes what nobody needs any more, now and later.
fn sweep_for_ever(paths: Arc<Paths>) {
    actix_rt::spawn(async move {
        for round in 0_u64.. {
            let paths = paths.clone();
            _ = blocking::run(move || sweep::sweep(&paths, round == 0)).await;
            tokio::time::sleep(sweep::PERIOD).await;
        }
    });
}

/// Opens the control socket once whoever is asked there runs, and tells that the daemon is ready once it answers.
async fn open(mail: Mail, root: Addr<Root>, shared: Arc<Shared>, threads: Threads) {
    // Whoever is answered finds everybody there: the control socket comes last. An actor that cannot start is no reason
    // not to answer, on the contrary.
    let started = STARTED_FIRST.map(|id| mail.root.send(StartThread { id: id.to_owned() }));
    let all = futures_util::future::join_all(started);
    _ = tokio::time::timeout(START_PATIENCE, all).await;
    let (own, seat) = supervision::seat::<ControlSocket>(QUEUE);
    let child = Child::new("control_socket", mail.root.clone().recipient());
    supervision::start(seat, child, &threads.network, move || {
        ControlSocket::new(shared.clone(), threads.own_worker.clone(), own.clone())
    });
    wait_for_socket(&mail.paths).await;
    // Whoever waits for the start sees all objects, and a whole status: what the actors said of themselves is published. A
    // cluster data that is restarting is no reason not to be ready.
    mail.first_reading().await;
    root.do_send(Ready);
    _ = mail.cluster_data.send(Flush).timeout(Duration::from_secs(1)).await;
    background::on_ready();
}

/// Waits until the control socket is there: from then on requests are answered.
async fn wait_for_socket(paths: &Paths) {
    let path = paths.lsnr_socket();
    // A few looks of a thousandth of a second at most; a socket that cannot be made is retried by its actor. A request,
    // because an empty packet would have the action queue fetched.
    let ask = || {
        let mut stream = link::socket::connect(&path)?;
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

/// What children run: this program.
fn program() -> PathBuf {
    // That of a test is the test itself: run with the words of a command, it would start more daemons.
    if cfg!(test) { "/bin/true".into() } else { process::program() }
}

#[cfg(test)]
mod tests;
