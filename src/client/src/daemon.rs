//! `om daemon`: the daemon process, its threads and what it knows.

use std::time::{Duration, Instant};

use cli::render::{Align, Cell, Sections, Tone, json, monitor, printable, table};
use cli::{DaemonAction, Target};
use serde_json::Value;
use wire::reply::status_of;
use wire::{NodeSpec, Request};

use model::thread;

use link::holder;
use link::link::Link;
use link::link::error::AskError;
use machine::paths::Paths;
use machine::{background, daemon_lock};

use crate::om::{ANSWER, Done, Failure, Om, addressed, complain, node_spec, note, print, seconds};
use crate::systemd::Systemd;
use crate::{join, known, screen, shutdown};

/// How long a port may still be held by who is about to end.
const PORT_PATIENCE: Duration = Duration::from_secs(1);

/// How long a daemon may take to end after it accepted to.
const STOP: Duration = Duration::from_secs(30);

/// How long it may take to accept: it tells its peers before, at most 5 s.
const STOP_ANSWER: Duration = Duration::from_secs(10);

/// How long a thread may take, 5 s, and the reply to come back.
const THREAD: Duration = Duration::from_secs(10);

pub(super) fn run(om: &Om, action: DaemonAction, target: &Target, server: Option<&str>) -> Done {
    let link = om.link(server)?;
    let ask = |request: Request, within| -> Done {
        let reply = link.ask(&addressed(request, node_spec(target, None)), within)?;
        om.report(&reply)
    };
    let read =
        |request: Request| link.ask(&addressed(request, node_spec(target, None)), Some(ANSWER));
    let is_elsewhere = server.is_some() || matches!(target, Target::Nodes(_));
    match action {
        DaemonAction::Start { thread_id: Some(id), .. } => {
            known_thread(&link, target, &id)?;
            ask(Request::new(wire::DaemonStart { thr_id: Some(id) }), Some(THREAD))
        }
        DaemonAction::Start { .. } if is_elsewhere => {
            Err(Failure::new("a daemon that does not run starts nobody: log in there to start it"))
        }
        DaemonAction::Start { .. } => start(om),
        DaemonAction::Stop { thread_id: None, session_id: None } if !is_elsewhere => {
            stop(om, &link)
        }
        DaemonAction::Stop { thread_id, session_id } => {
            let wait = thread_id.is_some();
            if let Some(id) = &thread_id {
                known_thread(&link, target, id)?;
            }
            let request = wire::DaemonStop { thr_id: thread_id, session_id, wait, upgrade: false };
            ask(Request::new(request), Some(THREAD))
        }
        DaemonAction::Restart if is_elsewhere => {
            let action = wire::NodeAction {
                sync: false,
                action_mode: true,
                action: Some("daemon_restart".into()),
                options: serde_json::Map::new(),
            };
            ask(Request::new(action), Some(ANSWER))
        }
        DaemonAction::Restart => restart(om, &link),
        DaemonAction::Shutdown { time } => {
            let within = time.map(|time| seconds(time) + ANSWER);
            crate::interrupted::ends_with(
                "the shutdown goes on: `om daemon running` tells when it is over".to_owned(),
            );
            if !is_elsewhere && daemon_lock::running_pid(&om.paths)?.is_none() {
                return shutdown::stop_instances(om, time.map(seconds));
            }
            let code = ask(Request::new(wire::DaemonShutdown { time: time.map(seconds) }), within)?;
            if !is_elsewhere {
                wait_for_end(&om.paths, "shut the instances down and")?;
            }
            Ok(code)
        }
        DaemonAction::Status => status(om, &link, target),
        DaemonAction::Running => running(om, &link, target),
        DaemonAction::Stats { selector } => ask_stats(om, &link, target, selector),
        DaemonAction::BlacklistStatus => shown(om, &read(Request::new(wire::BlacklistStatus {}))?),
        DaemonAction::BlacklistClear => ask(Request::new(wire::BlacklistClear {}), Some(ANSWER)),
        DaemonAction::RelayStatus => shown(om, &read(Request::new(wire::RelayStatus {}))?),
        DaemonAction::Join { node, secret, envelope, time } => {
            let secret = join::secret(&secret)?;
            join::join(om, &node, &secret, envelope, time.map_or(join::PATIENCE, seconds))
        }
        DaemonAction::Rejoin { node, envelope, time } => {
            join::rejoin(om, node.as_deref(), envelope, time.map_or(join::PATIENCE, seconds))
        }
        // It changes the files of its own node: from another one, that would be this node's.
        DaemonAction::Leave { .. } if is_elsewhere => Err(Failure::new(
            "`leave` is for the node it is typed on: log in to the node that is to leave",
        )),
        DaemonAction::Leave { force } => join::leaving::leave(om, force),
        DaemonAction::LockShow => locks(om, &read(Request::new(wire::ClusterLocks {}))?),
        DaemonAction::LockRelease { name, id, time } => {
            held(&link, target, &name, &id)?;
            let timeout = time.map_or(ANSWER, seconds);
            let request = Request::new(wire::Unlock { name, lock_id: id, timeout });
            ask(request, Some(timeout + ANSWER))
        }
    }
}

/// What the daemon and the objects take of the machine.
fn ask_stats(om: &Om, link: &Link, target: &Target, selector: Option<String>) -> Done {
    if let Some(selector) = &selector {
        let data = known::status(link, Some(selector), None)?;
        let found = data.pointer("/monitor/services").and_then(Value::as_object);
        if found.is_none_or(serde_json::Map::is_empty) {
            return Err(crate::select::nothing_selected(selector));
        }
    }
    let request = Request::new(wire::DaemonStats {
        selector: selector.or_else(|| Some("**".into())),
        namespace: None,
    });
    let node = node_spec(target, Some(NodeSpec::Selector("*".into())));
    let reply = link.ask(&addressed(request, node), Some(ANSWER))?;
    stats(om, &reply)
}

/// Refuses to release what nobody holds: the daemon answers the same whether it was there or not.
fn held(link: &Link, target: &Target, name: &str, id: &str) -> Result<(), Failure> {
    if matches!(target, Target::Nodes(_)) {
        return Ok(());
    }
    let reply = link.ask(&Request::new(wire::ClusterLocks {}), Some(ANSWER))?;
    let lock = reply.get("data").and_then(|locks| locks.get(name));
    match lock.map(|lock| lock.get("id").and_then(Value::as_str) == Some(id)) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new(format!(
            "lock {} has another id: `om daemon lock show` tells it",
            printable(name)
        ))),
        None => Err(Failure::new(format!(
            "there is no lock {}: `om daemon lock show` lists those that are held",
            printable(name)
        ))),
    }
}

/// Prints a reply that is its own rendering: JSON, as the manual shows it.
fn shown(om: &Om, reply: &Value) -> Done {
    if status_of(reply) != 0 {
        return om.report(reply);
    }
    om.show(reply, json);
    Ok(0)
}

fn status(om: &Om, link: &Link, target: &Target) -> Done {
    let request =
        Request::new(wire::DaemonStatus { selector: None, namespace: None, relatives: false });
    let drawn = |data: &Value| {
        screen::fitted(monitor(
            data,
            None,
            &Sections { all_threads: true, ..Sections::ALL },
            "*/*/*",
            screen::room(0, 1),
            machine::clock::now(),
        ))
    };
    // Each daemon tells of its own threads: the request is not one that another node passes on.
    let names = match target {
        Target::Nodes(selector) => crate::nodes::expand(link, selector),
        Target::Default | Target::Local => vec![String::new()],
    };
    let mut found = serde_json::Map::new();
    for name in names {
        let to = match name.is_empty() || link.is_local(&name) {
            true => link.clone(),
            false => link.to_node(&name),
        };
        let reply = to.ask(&request, Some(ANSWER))?;
        if status_of(&reply) != 0 {
            return om.report(&reply);
        }
        found.insert(name, reply);
    }
    match found.len() {
        0 => return Err(Failure::new("no node is selected: `om node ls` lists them")),
        1 => found.values().for_each(|data| om.show(data, drawn)),
        _ => om.show(&found.into(), |found| {
            let nodes = found.as_object().into_iter().flatten();
            let each = nodes.map(|(node, data)| format!("{}\n{}", printable(node), drawn(data)));
            each.collect::<Vec<_>>().join("\n")
        }),
    }
    Ok(0)
}

fn running(om: &Om, link: &Link, target: &Target) -> Done {
    let request = Request::new(wire::BlacklistStatus {});
    let reply = link.ask(&addressed(request, node_spec(target, None)), Some(ANSWER))?;
    let Some(nodes) = reply.get("nodes").and_then(Value::as_object) else {
        return Ok(u8::from(status_of(&reply) != 0));
    };
    for (node, reply) in nodes {
        let word = if status_of(reply) == 0 { "running" } else { "not running" };
        print(&format!("{}: {word}\n", cli::render::printable(node)));
    }
    _ = om;
    Ok(u8::from(nodes.values().any(|reply| status_of(reply) != 0)))
}

fn stats(om: &Om, reply: &Value) -> Done {
    if status_of(reply) != 0 {
        return om.report(reply);
    }
    let mut data = serde_json::Map::new();
    match reply.get("nodes").and_then(Value::as_object) {
        Some(nodes) => {
            data.extend(nodes.iter().map(|(node, reply)| {
                (node.clone(), reply.get("data").cloned().unwrap_or_default())
            }))
        }
        None => {
            _ = data.insert(om.nodename.to_string(), reply.get("data").cloned().unwrap_or_default())
        }
    }
    om.show(&data.into(), cli::render::flat_json);
    Ok(0)
}

fn locks(om: &Om, reply: &Value) -> Done {
    if status_of(reply) != 0 {
        return om.report(reply);
    }
    om.show(reply, |reply| {
        let head =
            ["name", "id", "requester", "requested"].map(|word| Cell::new(Tone::Strong, word));
        let mut rows = vec![head.to_vec()];
        for (name, lock) in reply.get("data").and_then(Value::as_object).into_iter().flatten() {
            let text = |key: &str| lock.get(key).and_then(Value::as_str).unwrap_or_default();
            let requested = lock.get("requested").and_then(Value::as_f64).unwrap_or(0.0);
            rows.push(
                [name, text("id"), text("requester"), &crate::logs::entries::local_time(requested)]
                    .map(Cell::plain)
                    .to_vec(),
            );
        }
        table(rows, &[Align::Left; 4], 2).to_string()
    });
    Ok(0)
}

fn start(om: &Om) -> Done {
    if let Some(pid) = answering(om)? {
        note(&format!("the daemon is already running with pid {pid}"));
        return Ok(0);
    }
    refuse_taken_port(om)?;
    if Systemd::of(&om.paths).start()? {
        return Ok(0);
    }
    match background::start_background(&om.paths) {
        Ok(_) => Ok(0),
        // Somebody else was faster.
        Err(daemon_lock::DaemonError::Running { .. }) => Ok(0),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

/// Refuses to start a daemon that nobody could reach: another process listens on its port. One that is about to end is
/// waited for.
fn refuse_taken_port(om: &Om) -> Result<(), Failure> {
    let listener = files::in_force::load_node_in_force(&om.paths, &om.nodename).listener;
    let start = Instant::now();
    while holder::is_taken(&listener.addr, listener.port) {
        if start.elapsed() > PORT_PATIENCE {
            let holders = holder::holders(listener.port);
            let holders: Vec<String> =
                holders.iter().map(|(pid, command)| format!("pid {pid} ({command})")).collect();
            let holders = match holders.is_empty() {
                true => "another process".to_owned(),
                false => holders.join(", "),
            };
            return Err(Failure::new(format!(
                "the daemon is not started: {holders} listens on its port {}: end it, or choose another one with \
                 `om cluster set --kw listener.port@{}=PORT`",
                listener.port, om.nodename
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The pid of a daemon that runs and answers; none if none runs. One that was just killed still holds its lock for a
/// moment, and one that was just started does not answer yet: both are waited for.
fn answering(om: &Om) -> Result<Option<u32>, Failure> {
    let link = om.link(None)?;
    let start = Instant::now();
    loop {
        let Some(pid) = daemon_lock::running_pid(&om.paths)? else { return Ok(None) };
        match link.ask(&Request::new(wire::BlacklistStatus {}), Some(ANSWER)) {
            Ok(_) => return Ok(Some(pid)),
            Err(error @ AskError::Denied(_)) => return Err(error.into()),
            Err(_) => {}
        }
        if start.elapsed() > ANSWER {
            return Err(Failure::new(format!(
                "the daemon, pid {pid}, runs and does not answer: `om daemon restart` ends it first, {} may tell why",
                om.paths.node_log().display()
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn stop(om: &Om, link: &Link) -> Done {
    let was_running = daemon_lock::running_pid(&om.paths)?.is_some();
    // First: a unit that waits for its next start would start one, and one that runs would start it again.
    Systemd::of(&om.paths).stop()?;
    let Some(pid) = daemon_lock::running_pid(&om.paths)? else {
        if !was_running {
            note("the daemon is not running");
        }
        return Ok(0);
    };
    let request = wire::DaemonStop { thr_id: None, session_id: None, wait: false, upgrade: false };
    match link.ask(&Request::new(request), Some(STOP_ANSWER)) {
        Ok(reply) if status_of(&reply) != 0 => {
            complain(json(&reply).trim_end());
            return Ok(1);
        }
        Ok(_) => wait_for_end(&om.paths, "accepted to stop and")?,
        // It may end while it answers.
        Err(AskError::Closed(_) | AskError::Broken(..)) => wait_for_end(&om.paths, "")?,
        Err(AskError::NotRunning(_) | AskError::Timeout(..)) => end(om, pid)?,
        Err(error) => return Err(error.into()),
    }
    Ok(0)
}

/// Ends a daemon that does not answer, as a service manager would.
fn end(om: &Om, pid: u32) -> Result<(), Failure> {
    let Some(process) = machine::pidfd::Process::open(pid)? else { return Ok(()) };
    // It may have ended before, and the pid be somebody else's.
    if daemon_lock::running_pid(&om.paths)? != Some(pid) {
        return Ok(());
    }
    note(&format!("the daemon, pid {pid}, does not answer: SIGTERM sent"));
    process
        .signal(rustix::process::Signal::TERM)
        .map_err(|error| Failure::new(format!("SIGTERM to {pid}: {error}")))?;
    wait_for_end(&om.paths, "was sent SIGTERM and")
}

/// Refuses a thread that the daemon does not have, with the names of those it has: its own answer names none
/// (`thread does not exist`). The daemons of other nodes are left to answer themselves.
fn known_thread(link: &Link, target: &Target, id: &str) -> Result<(), Failure> {
    if matches!(target, Target::Nodes(_)) {
        return Ok(());
    }
    let status = known::status(link, None, None)?;
    let threads: Vec<&str> = status
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, block)| block.get("state").is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    let (threads, parts): (Vec<&str>, Vec<&str>) =
        threads.into_iter().partition(|name| thread::is_thread(name));
    if threads.iter().any(|name| thread::means(id, name)) {
        return Ok(());
    }
    if parts.contains(&id) {
        return Err(Failure::new(format!(
            "{} is not stopped or started alone: `om daemon restart` is for the whole, threads are {}",
            printable(id),
            threads.join(", ")
        )));
    }
    Err(Failure::new(format!(
        "thread {} does not exist: it is one of {}",
        printable(id),
        threads.join(", ")
    )))
}

/// Waits until no daemon runs; `why` tells what should have ended it.
fn wait_for_end(paths: &Paths, why: &str) -> Result<(), Failure> {
    let start = Instant::now();
    while let Some(pid) = daemon_lock::running_pid(paths)? {
        if start.elapsed() > STOP {
            let why = if why.is_empty() { String::new() } else { format!("{why} ") };
            return Err(Failure::new(format!(
                "the daemon, pid {pid}, {why}still runs after {} s: `kill -9 {pid}` leaves its services running; see {}",
                STOP.as_secs(),
                paths.node_log().display()
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn restart(om: &Om, link: &Link) -> Done {
    if Systemd::of(&om.paths).restart(daemon_lock::running_pid(&om.paths)?)? {
        return Ok(0);
    }
    stop(om, link)?;
    start(om)
}
