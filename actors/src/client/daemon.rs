//! `om daemon`: the daemon process, its threads and what it knows.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use om::render::{Align, Cell, Sections, Tone, json, monitor, printable, table};
use om::{DaemonAction, Target};
use serde_json::Value;
use wire::reply::status_of;
use wire::{NodeSpec, Request};

use super::{
    ANSWER, AskError, Done, Failure, Link, Om, addressed, complain, join, mon, node_spec, note,
    print, seconds,
};
use crate::daemon;
use crate::paths::Paths;

/// The unit that a package installs.
const UNIT: &str = "opensvc-agent.service";

/// How long a daemon may take to end after it accepted to.
const STOP: Duration = Duration::from_secs(30);

/// How long a thread may take (design.md: 5 s), and the reply to come back.
const THREAD: Duration = Duration::from_secs(10);

pub(super) fn run(om: &Om, action: DaemonAction, target: &Target, server: Option<&str>) -> Done {
    let link = om.link(server)?;
    let ask = |request: Request, within| -> Done {
        let reply = link.ask(&addressed(request, node_spec(target, None)), within)?;
        om.report(&reply)
    };
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
            let code = ask(Request::new(wire::DaemonShutdown { time: time.map(seconds) }), within)?;
            if !is_elsewhere {
                wait_for_end(&om.paths)?;
            }
            Ok(code)
        }
        DaemonAction::Status => status(om, &link),
        DaemonAction::Running => running(om, &link, target),
        DaemonAction::Stats { selector } => {
            let request = Request::new(wire::DaemonStats {
                selector: selector.or_else(|| Some("**".into())),
                namespace: None,
            });
            let node = node_spec(target, Some(NodeSpec::Selector("*".into())));
            let reply = link.ask(&addressed(request, node), Some(ANSWER))?;
            stats(om, &reply)
        }
        DaemonAction::BlacklistStatus => {
            let request = Request::new(wire::BlacklistStatus {});
            shown(om, &link.ask(&addressed(request, node_spec(target, None)), Some(ANSWER))?)
        }
        DaemonAction::BlacklistClear => ask(Request::new(wire::BlacklistClear {}), Some(ANSWER)),
        DaemonAction::RelayStatus => {
            let request = Request::new(wire::RelayStatus {});
            shown(om, &link.ask(&addressed(request, node_spec(target, None)), Some(ANSWER))?)
        }
        DaemonAction::Join { node, secret, envelope, time } => {
            let secret = join::secret(&secret)?;
            join::join(om, &node, &secret, envelope, time.map_or(join::PATIENCE, seconds))
        }
        DaemonAction::Rejoin { node, envelope, time } => {
            join::rejoin(om, node.as_deref(), envelope, time.map_or(join::PATIENCE, seconds))
        }
        DaemonAction::Leave => join::leave(om),
        DaemonAction::LockShow => locks(
            om,
            &link.ask(
                &addressed(Request::new(wire::ClusterLocks {}), node_spec(target, None)),
                Some(ANSWER),
            )?,
        ),
        DaemonAction::LockRelease { name, id, time } => {
            let timeout = time.map_or(ANSWER, seconds);
            let request = Request::new(wire::Unlock { name, lock_id: id, timeout });
            ask(request, Some(timeout + ANSWER))
        }
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

fn status(om: &Om, link: &Link) -> Done {
    let request =
        Request::new(wire::DaemonStatus { selector: None, namespace: None, relatives: false });
    let data = link.ask(&request, Some(ANSWER))?;
    if status_of(&data) != 0 {
        return om.report(&data);
    }
    om.show(&data, |data| monitor(data, None, &Sections::ALL, "*/*/*").to_string());
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
        print(&format!("{}: {word}\n", om::render::printable(node)));
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
    om.show(&data.into(), om::render::flat_json);
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
                [name, text("id"), text("requester"), &super::logs::local_time(requested)]
                    .map(Cell::plain)
                    .to_vec(),
            );
        }
        table(rows, &[Align::Left; 4], 2).to_string()
    });
    Ok(0)
}

/// Whether systemd runs the daemon of this root. A root of its own (`OSVC_ROOT_PATH`) is never systemd's.
fn is_unit(paths: &Paths, question: &str) -> bool {
    *paths == Paths::packaged()
        && std::path::Path::new("/run/systemd/system").exists()
        && Command::new("systemctl")
            .args([question, "--quiet", UNIT])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

fn systemctl(action: &str) -> Done {
    let status = Command::new("systemctl").args([action, UNIT]).status()?;
    if status.success() {
        return Ok(0);
    }
    Err(Failure::new(format!("systemctl {action} {UNIT} failed: see `systemctl status {UNIT}`")))
}

fn start(om: &Om) -> Done {
    if let Some(pid) = daemon::running_pid(&om.paths) {
        note(&format!("the daemon is already running with pid {pid}"));
        return Ok(0);
    }
    if is_unit(&om.paths, "is-enabled") {
        return systemctl("start");
    }
    match daemon::start_background(&om.paths) {
        Ok(_) => Ok(0),
        // Somebody else was faster.
        Err(daemon::DaemonError::Running { .. }) => Ok(0),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

fn stop(om: &Om, link: &Link) -> Done {
    if daemon::running_pid(&om.paths).is_none() {
        note("the daemon is not running");
        return Ok(0);
    }
    if is_unit(&om.paths, "is-active") {
        return systemctl("stop");
    }
    let request = wire::DaemonStop { thr_id: None, session_id: None, wait: false, upgrade: false };
    match link.ask(&Request::new(request), Some(STOP)) {
        Ok(reply) if status_of(&reply) != 0 => {
            complain(json(&reply).trim_end());
            return Ok(1);
        }
        // It may end while it answers.
        Ok(_) | Err(AskError::Closed(_) | AskError::NotRunning(_)) => {}
        Err(error) => return Err(error.into()),
    }
    wait_for_end(&om.paths)?;
    Ok(0)
}

/// Refuses a thread that the daemon does not have, with the names of those it has: its own answer names none
/// (wire.md §5.3). The daemons of other nodes are left to answer themselves.
fn known_thread(link: &Link, target: &Target, id: &str) -> Result<(), Failure> {
    if matches!(target, Target::Nodes(_)) {
        return Ok(());
    }
    let status = mon::status(link, None, None)?;
    let threads: Vec<&str> = status
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, block)| block.get("state").is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    if threads.contains(&id) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "thread {} does not exist: it is one of {}",
        printable(id),
        threads.join(", ")
    )))
}

fn wait_for_end(paths: &Paths) -> Result<(), Failure> {
    let start = Instant::now();
    while let Some(pid) = daemon::running_pid(paths) {
        if start.elapsed() > STOP {
            return Err(Failure::new(format!(
                "the daemon, pid {pid}, accepted to stop but still runs: see {}",
                paths.node_log().display()
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn restart(om: &Om, link: &Link) -> Done {
    if is_unit(&om.paths, "is-active") {
        return systemctl("restart");
    }
    stop(om, link)?;
    start(om)
}
