//! Actions on instances: as a target that the monitors reach, here in this process, or on other nodes.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{GlobalExpect, InstanceStatus, Kind, ObjectPath};
use om::{ActionOptions, InstanceAction, Target, Wait};
use serde_json::{Map, Value};
use wire::reply::{Lines, status_of};
use wire::{NodeSpec, Request};

use super::object::{Known, known_in};
use super::select::{Selection, is_here, scope_of};
use super::{
    ANSWER, Done, Failure, Link, Om, addressed, complain, explain, mon, node_spec, note, object,
    seconds,
};
use crate::config::LoadedObject;
use crate::logs::{LogContext, LogOptions};
use crate::resource::Host;
use crate::{clock, config, logs, resource};

/// Environment variable with the session that a command belongs to.
const SESSION_VARIABLE: &str = "OSVC_SESSION_UUID";

/// How often a wait looks at the data when no event comes.
const LOOK: Duration = Duration::from_secs(1);

/// The pause after a look, in durations of that look: a wait takes a fifth of a processor at most.
const PAUSE_LOOKS: u32 = 4;

pub(super) fn run(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    action: InstanceAction,
    options: &ActionOptions,
    wait: &Wait,
    target: &Target,
) -> Done {
    if let Target::Nodes(_) = target {
        let name = action.words().replace(' ', "_");
        return object::remote(om, link, paths, &name, &to_map(options), target);
    }
    if action == InstanceAction::Clear {
        return clear(om, link, paths, target);
    }
    let expect = action.target(options, om.nodename.as_str());
    match expect {
        Some(expect) if *target == Target::Default && !options.is_local() => {
            // Objects without instances have no monitor that would reach a target.
            let (monitored, plain): (Vec<_>, Vec<_>) =
                paths.iter().cloned().partition(|path| path.kind().has_instances());
            let code = if plain.is_empty() { 0 } else { run_here(om, &plain, action, options)? };
            if monitored.is_empty() {
                return Ok(code);
            }
            if options.dry_run {
                return explain::dry_run(om, link, &monitored, &expect);
            }
            Ok(code.saturating_add(set_target(om, link, &monitored, &expect, wait)?))
        }
        _ => run_here(om, paths, action, options),
    }
}

/// Options as a request carries them, defaults left out.
fn to_map(options: &ActionOptions) -> Map<String, Value> {
    let mut map = Map::new();
    let texts = [
        ("rid", &options.rid),
        ("tags", &options.tags),
        ("subsets", &options.subsets),
        ("upto", &options.upto),
        ("downto", &options.downto),
        ("to", &options.to),
        ("slave", &options.slave),
        ("reason", &options.reason),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            map.insert(name.to_owned(), value.as_str().into());
        }
    }
    let flags = [
        ("force", options.force),
        ("dry_run", options.dry_run),
        ("leader", options.leader),
        ("disable_rollback", options.disable_rollback),
        ("parallel", options.parallel),
        ("nolock", options.nolock),
        ("cron", options.cron),
        ("confirm", options.confirm),
        ("master", options.master),
        ("slaves", options.slaves),
        ("unprovision", options.unprovision),
        ("purge_collector", options.purge_collector),
    ];
    for (name, is_set) in flags {
        if is_set {
            map.insert(name.to_owned(), true.into());
        }
    }
    if let Some(waitlock) = options.waitlock {
        map.insert("waitlock".to_owned(), format!("{waitlock}s").into());
    }
    if !options.env.is_empty() {
        let env: Vec<String> =
            options.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        map.insert("env".to_owned(), env.into());
    }
    map
}

/// Options as words of a command line. The environment is handed over as such.
fn to_args(options: &ActionOptions) -> Vec<String> {
    to_map(options)
        .into_iter()
        .filter(|(name, _)| !matches!(name.as_str(), "env" | "parallel"))
        .map(|(name, value)| match value {
            Value::String(text) => format!("--{}={text}", name.replace('_', "-")),
            _ => format!("--{}", name.replace('_', "-")),
        })
        .collect()
}

fn clear(om: &Om, link: &Link, paths: &[ObjectPath], target: &Target) -> Done {
    let mut code = 0;
    for path in paths {
        let names: Vec<String> = scope_of(om, path).iter().map(ToString::to_string).collect();
        let scope = (!names.is_empty()).then_some(NodeSpec::Names(names));
        let request = Request::new(wire::ObjectClear { path: path.to_string() });
        let reply = link.ask(&addressed(request, node_spec(target, scope)), Some(ANSWER))?;
        code |= om.report(&reply)?;
    }
    Ok(code)
}

// Targets

pub(super) fn set_target(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    expect: &GlobalExpect,
    wait: &Wait,
) -> Done {
    let mut failures = vec![];
    let mut pending = vec![];
    let asked = clock::now().0;
    // Before the request, or a quick change would be missed.
    let changes = wait.wait.then(|| mon::Changes::follow(link));
    for path in paths {
        let request = Request::new(wire::SetObjectMonitor {
            path: path.to_string(),
            local_expect: None,
            global_expect: Some(expect.to_string()),
            status: None,
            reset_retries: false,
            stonith: None,
        });
        let reply = link.ask(&request, Some(Duration::from_secs(10)))?;
        let lines = Lines::of(&reply);
        lines.infos.iter().for_each(|line| note(line));
        if status_of(&reply) != 0 {
            let refusal = format!("{path}: refused with status {}", lines.status);
            failures.extend(if lines.errors.is_empty() { vec![refusal] } else { lines.errors });
            continue;
        }
        lines.errors.iter().for_each(|line| complain(line));
        // The router replaced `<peer>` by the node it chose.
        let chosen = reply.pointer("/data/global_expect").and_then(Value::as_str);
        if !lines.infos.iter().any(|line| line.contains(" already ")) {
            pending.push((path, chosen.map_or_else(|| expect.clone(), GlobalExpect::from)));
        }
    }
    if !failures.is_empty() {
        return Err(Failure { lines: failures, code: 1 });
    }
    if let Some(changes) = changes {
        let pending: Vec<(ObjectPath, GlobalExpect)> =
            pending.into_iter().map(|(path, expect)| (path.clone(), expect)).collect();
        return wait_for(link, &changes, pending, asked, wait.time.map(seconds));
    }
    if wait.watch {
        let names: Vec<&str> = paths.iter().map(ObjectPath::as_str).collect();
        return mon::watch(om, link, &names.join(","), None);
    }
    Ok(0)
}

/// Waits until all targets are reached. `timeout` and exit code 1 when they are not in time, an error when an action
/// on the way failed.
fn wait_for(
    link: &Link,
    changes: &mon::Changes,
    mut pending: Vec<(ObjectPath, GlobalExpect)>,
    asked: f64,
    within: Option<Duration>,
) -> Done {
    let start = Instant::now();
    loop {
        let mut failures = vec![];
        let mut left = vec![];
        let look = Instant::now();
        let selector = match pending.as_slice() {
            [(path, _)] => Some(path.as_str()),
            _ => None,
        };
        let mut data = mon::status(link, selector, None)?;
        for (path, expect) in pending {
            let known = known_in(&mut data, &path);
            if is_reached(&known, &expect) {
                continue;
            }
            match failure(&known, asked) {
                Some(reason) => failures.push(format!("{path}: {reason}: see `om {path} logs`")),
                None => left.push((path, expect)),
            }
        }
        if !failures.is_empty() {
            return Err(Failure { lines: failures, code: 1 });
        }
        if left.is_empty() {
            return Ok(0);
        }
        drop(data);
        pending = left;
        // Of many objects one changes all the time: not to look is what leaves the daemon its time.
        std::thread::sleep((look.elapsed() * PAUSE_LOOKS).min(LOOK));
        let rest = within.map(|within| within.saturating_sub(start.elapsed()));
        if rest.is_some_and(|rest| rest.is_zero()) {
            note("timeout");
            return Ok(1);
        }
        if !changes.wait(Some(rest.map_or(LOOK, |rest| rest.min(LOOK)))) {
            std::thread::sleep(LOOK / 10);
        }
    }
}

/// Whether an object is where a target wants it (orchestration.md §12).
fn is_reached(known: &Known, expect: &GlobalExpect) -> bool {
    if matches!(expect, GlobalExpect::Deleted | GlobalExpect::Purged) {
        return known.aggregate.is_none() && known.instances.is_empty();
    }
    let Some(aggregate) = &known.aggregate else { return false };
    let avail = aggregate.avail.as_ref().map_or("n/a", |avail| avail.as_str());
    let frozen = aggregate.frozen.as_ref().map_or("", |frozen| frozen.as_str());
    let is_released = known.instances.values().all(|instance| {
        instance.monitor.as_ref().is_none_or(|monitor| {
            monitor.global_expect.is_none() && !monitor.status.is_transitioning()
        })
    });
    let is_started = matches!(avail, "up" | "n/a");
    match expect {
        // Beyond the states of the field, the monitors are to be done: or the next command would be refused.
        _ if !is_released => false,
        GlobalExpect::Frozen => frozen == "frozen",
        GlobalExpect::Thawed => frozen == "thawed",
        GlobalExpect::Provisioned => aggregate.provisioned == Some(model::Provisioned::Yes),
        GlobalExpect::Unprovisioned => aggregate.provisioned == Some(model::Provisioned::No),
        GlobalExpect::Started => is_started,
        GlobalExpect::Stopped => {
            matches!(avail, "down" | "stdby up" | "stdby down" | "n/a")
        }
        GlobalExpect::Shutdown => matches!(avail, "down" | "n/a"),
        GlobalExpect::Placed => is_started && aggregate.placement.as_deref() == Some("optimal"),
        GlobalExpect::PlacedAt(nodes) => nodes.split(',').all(|node| {
            let avail = known.instances.get(node).and_then(|instance| instance.avail.as_ref());
            avail.is_some_and(|avail| avail.as_str() == "up")
        }),
        GlobalExpect::Restarted(_) => is_started,
        GlobalExpect::Aborted | GlobalExpect::Scaled | GlobalExpect::Other(_) => true,
        GlobalExpect::Deleted | GlobalExpect::Purged => false,
    }
}

/// A monitor that failed since the target was set, and nothing left to do about it.
fn failure(known: &Known, asked: f64) -> Option<String> {
    let monitors =
        || known.instances.iter().filter_map(|(node, i)| Some((node, i.monitor.as_ref()?)));
    if monitors().any(|(_, monitor)| monitor.status.is_transitioning()) {
        return None;
    }
    monitors()
        .find(|(_, monitor)| {
            monitor.status.is_failed()
                && monitor.status_updated.is_some_and(|updated| updated.0 >= asked)
        })
        .map(|(node, monitor)| format!("{} on {node}", monitor.status))
}

/// Waits for the end of a deployment.
pub(super) fn wait_provisioned(
    om: &Om,
    link: &Link,
    selection: &Selection,
    wait: &Wait,
) -> Result<(), Failure> {
    let Some(paths) = selection.literals().filter(|_| wait.wait || wait.watch) else {
        return Ok(());
    };
    if wait.watch && !wait.wait {
        let names: Vec<&str> = paths.iter().map(ObjectPath::as_str).collect();
        return mon::watch(om, link, &names.join(","), None).map(|_| ());
    }
    let changes = mon::Changes::follow(link);
    let pending = paths.into_iter().map(|path| (path, GlobalExpect::Started)).collect();
    match wait_for(link, &changes, pending, clock::now().0, wait.time.map(seconds))? {
        0 => Ok(()),
        code => Err(Failure { lines: vec![], code }),
    }
}

// Here

/// Runs an action on the local instances. The exit code counts the objects that failed.
pub(super) fn run_here(
    om: &Om,
    paths: &[ObjectPath],
    action: InstanceAction,
    options: &ActionOptions,
) -> Done {
    if matches!(
        action,
        InstanceAction::Switch | InstanceAction::Takeover | InstanceAction::Giveback
    ) {
        return Err(Failure::usage(format!(
            "{} moves an object between nodes: it takes neither --local nor resources",
            action.words()
        )));
    }
    if let Some(code) = resource::in_new_session(action, options) {
        return Ok(code);
    }
    match paths {
        // The environment of a process is set when it starts.
        [path] if options.env.is_empty() => one_here(om, path, action, options),
        _ => in_children(om, paths, action, options),
    }
}

/// One child process per object, at most `node.max_parallel` at a time with `--parallel`, else one.
fn in_children(
    om: &Om,
    paths: &[ObjectPath],
    action: InstanceAction,
    options: &ActionOptions,
) -> Done {
    let program = std::env::current_exe()?;
    let most = match options.parallel {
        true => config::load_node(&om.paths, om.nodename.clone())?
            .max_parallel
            .unwrap_or_else(|| (config::processors() / 2).max(2)),
        false => 1,
    };
    let mut failed = 0_u8;
    let mut running: Vec<std::process::Child> = vec![];
    let mut reap = |running: &mut Vec<std::process::Child>| -> Result<(), Failure> {
        if running.is_empty() {
            return Ok(());
        }
        let status = running.remove(0).wait()?;
        if !status.success() {
            failed = failed.saturating_add(1);
        }
        Ok(())
    };
    for path in paths {
        if running.len() >= most.max(1) {
            reap(&mut running)?;
        }
        let child = Command::new(&program)
            .args([path.kind().as_str(), "-s", path.as_str()])
            .args(action.words().split(' '))
            .arg("--local")
            .args(to_args(options))
            .envs(options.env.iter().map(|(name, value)| (name.to_uppercase(), value)))
            .spawn()?;
        running.push(child);
    }
    while !running.is_empty() {
        reap(&mut running)?;
    }
    Ok(failed)
}

fn one_here(om: &Om, path: &ObjectPath, action: InstanceAction, options: &ActionOptions) -> Done {
    // There is no target to drop in one instance.
    if action == InstanceAction::Abort {
        return Ok(0);
    }
    if path.kind() == Kind::Ccfg {
        return Err(Failure::usage(format!(
            "the cluster configuration is no service: {} means nothing to it",
            action.words()
        )));
    }
    let (host, object) = local(om, path)?;
    logs::install(LogOptions {
        paths: Arc::new(om.paths.clone()),
        nodename: om.nodename.clone(),
        context: LogContext {
            sid: Some(session_id()),
            path: Some(path.clone()),
            is_scheduled: Some(options.cron),
        },
        level: match om.output.debug {
            true => log::LevelFilter::Debug,
            false => log::LevelFilter::Info,
        },
        is_verbose: true,
        is_filed: !options.dry_run,
    });
    Ok(resource::action(&host, &object, action, options))
}

/// The session that the log lines of this command carry: the one of who runs it, or a new one.
fn session_id() -> String {
    std::env::var(SESSION_VARIABLE)
        .ok()
        .filter(|id| !id.is_empty())
        .unwrap_or_else(config::random_uuid)
}

/// What local actions look at.
fn local(om: &Om, path: &ObjectPath) -> Result<(Host, LoadedObject), Failure> {
    if !is_here(om, path) {
        return Err(Failure::new(format!(
            "object {path} has no configuration on this node: without --local the daemon finds its nodes"
        )));
    }
    let settings = config::load_node(&om.paths, om.nodename.clone())?;
    let object = config::load_object(&om.paths, &settings, path)?;
    Ok((resource::command_host(Arc::new(om.paths.clone()), Arc::new(settings)), object))
}

/// State of the local instance: as last written, or evaluated in this process.
pub(super) fn status(om: &Om, path: &ObjectPath, refresh: bool) -> Result<InstanceStatus, Failure> {
    let (host, object) = local(om, path)?;
    Ok(resource::status(&host, &object, refresh))
}

/// Hands the daemon a status that was evaluated here.
pub(super) fn tell_status(om: &Om, path: &ObjectPath, status: &InstanceStatus) {
    let Ok(data) = serde_json::to_value(status) else { return };
    let request =
        Request::new(wire::SetObjectStatus { path: path.to_string(), data, session: None });
    if let Ok(link) = om.link(None) {
        _ = link.ask(&request, Some(ANSWER));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(avail: &str, monitor: Value) -> Known {
        let instance: InstanceStatus =
            serde_json::from_value(json!({"updated": 1.0, "avail": avail, "monitor": monitor}))
                .unwrap();
        Known {
            aggregate: serde_json::from_value(json!({
                "avail": avail, "frozen": "thawed", "placement": "optimal", "provisioned": true
            }))
            .ok(),
            instances: [("n1".to_owned(), instance)].into_iter().collect(),
            ..Known::default()
        }
    }

    #[test]
    fn a_wait_ends_when_the_object_is_where_it_was_wanted() {
        let idle = || json!({"status": "idle"});
        assert!(is_reached(&seen("up", idle()), &GlobalExpect::Started));
        assert!(!is_reached(&seen("down", idle()), &GlobalExpect::Started));
        assert!(is_reached(&seen("down", idle()), &GlobalExpect::Stopped));
        let stopping = json!({"status": "stopping", "global_expect": "stopped"});
        assert!(!is_reached(&seen("down", stopping), &GlobalExpect::Stopped));
        let restarting = json!({"status": "idle", "global_expect": "restarted@12.5"});
        assert!(!is_reached(&seen("up", restarting), &GlobalExpect::Restarted(None)));
        assert!(is_reached(&seen("up", idle()), &GlobalExpect::PlacedAt("n1".into())));
        assert!(!is_reached(&seen("up", idle()), &GlobalExpect::PlacedAt("n2".into())));
        assert!(!is_reached(&seen("up", idle()), &GlobalExpect::Deleted));
        assert!(is_reached(&Known::default(), &GlobalExpect::Purged));
    }

    #[test]
    fn a_wait_ends_when_an_action_of_this_target_failed() {
        let failed = json!({"status": "start failed", "status_updated": 20.0});
        assert_eq!(
            failure(&seen("down", failed.clone()), 10.0).as_deref(),
            Some("start failed on n1")
        );
        // An older failure is what the target may be about to mend.
        assert_eq!(failure(&seen("down", failed), 30.0), None);
    }

    #[test]
    fn options_travel_as_words_and_as_a_request() {
        let options = ActionOptions {
            rid: Some("app#1,fs".into()),
            force: true,
            dry_run: true,
            waitlock: Some(1.5),
            env: vec![("a".into(), "b".into())],
            ..ActionOptions::default()
        };
        assert_eq!(
            to_args(&options),
            ["--dry-run", "--force", "--rid=app#1,fs", "--waitlock=1.5s"]
        );
        assert_eq!(
            Value::Object(to_map(&options)),
            json!({"rid": "app#1,fs", "force": true, "dry_run": true, "waitlock": "1.5s", "env": ["a=b"]})
        );
    }
}
