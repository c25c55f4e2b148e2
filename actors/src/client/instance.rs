//! Actions on instances: as a target that the monitors reach, here in this process, or on other nodes.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use conf::Edit;
use model::{GlobalExpect, InstanceStatus, Kind, MonitorStatus, ObjectPath};
use om::{ActionOptions, InstanceAction, Target, Wait};
use serde_json::{Map, Value};
use wire::reply::{Lines, status_of};
use wire::{NodeSpec, Request};

use super::config_edit::Owner;
use super::object::{Known, known};
use super::select::{Selection, is_here, scope_of};
use super::{
    ANSWER, Done, Failure, Link, Om, addressed, complain, config_edit, mon, node_spec, note,
    object, seconds,
};
use crate::{clock, config, durable};

/// Environment variable by which the daemon says that it runs the command.
const ORIGIN_VARIABLE: &str = "OSVC_ACTION_ORIGIN";

/// How often a wait looks at the data when no event comes.
const LOOK: Duration = Duration::from_secs(1);

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
        for (path, expect) in pending {
            let known = known(link, &path)?;
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
        pending = left;
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
        GlobalExpect::Frozen => frozen == "frozen",
        GlobalExpect::Thawed => frozen == "thawed",
        GlobalExpect::Provisioned => aggregate.provisioned == Some(model::Provisioned::Yes),
        GlobalExpect::Unprovisioned => aggregate.provisioned == Some(model::Provisioned::No),
        GlobalExpect::Started => is_started,
        GlobalExpect::Stopped => {
            matches!(avail, "down" | "stdby up" | "stdby down" | "n/a") && is_released
        }
        GlobalExpect::Shutdown => matches!(avail, "down" | "n/a") && is_released,
        GlobalExpect::Placed => is_started && aggregate.placement.as_deref() == Some("optimal"),
        GlobalExpect::PlacedAt(nodes) => nodes.split(',').all(|node| {
            let avail = known.instances.get(node).and_then(|instance| instance.avail.as_ref());
            avail.is_some_and(|avail| avail.as_str() == "up")
        }),
        GlobalExpect::Restarted(_) => is_started && is_released,
        GlobalExpect::Aborted | GlobalExpect::Scaled | GlobalExpect::Other(_) => is_released,
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
    if !is_here(om, path) {
        return Err(Failure::new(format!(
            "object {path} has no configuration on this node: without --local the daemon finds its nodes"
        )));
    }
    let is_plain = !path.kind().has_instances();
    match action {
        InstanceAction::Enable | InstanceAction::Disable => {
            return toggle(om, path, action, options);
        }
        InstanceAction::Delete if is_plain && !options.unprovision => {
            return delete(om, path, options);
        }
        InstanceAction::Purge if is_plain => return delete(om, path, options),
        // Inapplicable to a kind: done (orchestration.md §12).
        _ if is_plain => return Ok(0),
        // There is no target to drop in one instance.
        InstanceAction::Abort => return Ok(0),
        _ => {}
    }
    let is_daemon = std::env::var_os(ORIGIN_VARIABLE).is_some_and(|origin| origin == "daemon");
    let reporter = Reporter { om, path, is_silent: is_daemon || options.dry_run };
    reporter.begin(action);
    let code = match action {
        InstanceAction::Delete => {
            let first = if options.unprovision && options.rid.is_none() {
                drive(om, path, InstanceAction::Unprovision, options)?
            } else {
                0
            };
            if first == 0 { delete(om, path, options)? } else { first }
        }
        InstanceAction::Purge => match drive(om, path, InstanceAction::Unprovision, options)? {
            0 => delete(om, path, options)?,
            code => code,
        },
        other => drive(om, path, other, options)?,
    };
    reporter.end(action, options, code);
    Ok(code)
}

fn drive(_om: &Om, path: &ObjectPath, action: InstanceAction, _options: &ActionOptions) -> Done {
    Err(Failure::new(format!("{path}: {} is not built into this version", action.words())))
}

/// Evaluates the local instance in this process.
pub(super) fn evaluate(_om: &Om, path: &ObjectPath) -> Result<InstanceStatus, Failure> {
    Err(Failure::new(format!("{path}: evaluation is not built into this version")))
}

/// Hands the daemon a status that was evaluated here.
pub(super) fn tell_status(om: &Om, path: &ObjectPath, status: &InstanceStatus) {
    let Ok(data) = serde_json::to_value(status) else { return };
    let request = Request::new(wire::SetObjectStatus { path: path.to_string(), data });
    if let Ok(link) = om.link(None) {
        _ = link.ask(&request, Some(ANSWER));
    }
}

/// Tells the daemon what a command does to an instance, so that its monitor keeps its hands off (wire.md §7).
struct Reporter<'a> {
    om: &'a Om,
    path: &'a ObjectPath,
    is_silent: bool,
}

impl Reporter<'_> {
    fn begin(&self, action: InstanceAction) {
        if let Some(status) = progress(action) {
            self.set(status.as_str(), None);
        }
    }

    fn end(&self, action: InstanceAction, options: &ActionOptions, code: u8) {
        if progress(action).is_some() {
            let is_whole = !options.has_filter();
            let local_expect = match action {
                InstanceAction::Start | InstanceAction::Restart if code == 0 && is_whole => {
                    Some("started")
                }
                InstanceAction::Stop
                | InstanceAction::Shutdown
                | InstanceAction::Unprovision
                | InstanceAction::Delete
                | InstanceAction::Purge
                | InstanceAction::Toc => Some("unset"),
                _ => None,
            };
            let status = match code {
                0 => "idle".to_owned(),
                _ => format!("{} failed", action.words()),
            };
            self.set(&status, local_expect);
        }
        let is_gone = !is_here(self.om, self.path);
        if !self.is_silent && !is_gone {
            match evaluate(self.om, self.path) {
                Ok(status) => tell_status(self.om, self.path, &status),
                Err(_) => super::node::wake(self.om, action.words()),
            }
        }
    }

    fn set(&self, status: &str, local_expect: Option<&str>) {
        if self.is_silent {
            return;
        }
        let request = Request::new(wire::SetObjectMonitor {
            path: self.path.to_string(),
            local_expect: local_expect.map(str::to_owned),
            global_expect: None,
            status: Some(status.to_owned()),
            reset_retries: false,
            stonith: None,
        });
        // Without a daemon there is nobody to tell.
        if let Ok(link) = self.om.link(None) {
            _ = link.ask(&request, Some(ANSWER));
        }
    }
}

/// What the monitor shows while an action runs; none for actions that change no resource.
fn progress(action: InstanceAction) -> Option<MonitorStatus> {
    let word = match action {
        InstanceAction::Delete => "deleting",
        InstanceAction::Freeze => "freezing",
        InstanceAction::Thaw => "thawing",
        InstanceAction::Provision => "provisioning",
        InstanceAction::Unprovision | InstanceAction::Purge => "unprovisioning",
        InstanceAction::Restart => "restarting",
        InstanceAction::Shutdown => "shutting",
        InstanceAction::Start | InstanceAction::Startstandby => "starting",
        InstanceAction::Stop => "stopping",
        InstanceAction::Toc => "tocing",
        InstanceAction::Abort
        | InstanceAction::Boot
        | InstanceAction::Clear
        | InstanceAction::Disable
        | InstanceAction::Enable
        | InstanceAction::Giveback
        | InstanceAction::Run
        | InstanceAction::SetProvisioned
        | InstanceAction::SetUnprovisioned
        | InstanceAction::Switch
        | InstanceAction::Sync(_)
        | InstanceAction::Takeover => return None,
    };
    Some(MonitorStatus::from(word))
}

/// Sections that `--rid` names: ids as they are, groups as all their sections.
fn sections(om: &Om, path: &ObjectPath, rid: &str) -> Result<Vec<String>, Failure> {
    let settings = config::load_node(&om.paths, om.nodename.clone())?;
    let object = config::load_object(&om.paths, &settings, path)?;
    let mut found = vec![];
    for word in rid.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let prefix = format!("{word}#");
        let before = found.len();
        found.extend(
            object
                .conf
                .ini()
                .sections()
                .filter(|section| *section == word || section.starts_with(&prefix))
                .map(str::to_owned),
        );
        if found.len() == before {
            return Err(Failure::new(format!("object {path} has no resource {word}")));
        }
    }
    Ok(found)
}

fn toggle(om: &Om, path: &ObjectPath, action: InstanceAction, options: &ActionOptions) -> Done {
    let sections = match &options.rid {
        Some(rid) => sections(om, path, rid)?,
        None => vec![],
    };
    let edit = match action {
        InstanceAction::Disable => Edit::Disable(sections),
        _ => Edit::Enable(sections),
    };
    config_edit::change(om, &Owner::Object(path.clone()), &[edit], false)?;
    Ok(0)
}

/// Deletes sections, or the object with all that is kept of it.
fn delete(om: &Om, path: &ObjectPath, options: &ActionOptions) -> Done {
    if path.kind() == Kind::Ccfg {
        return Err(Failure::new(
            "the cluster configuration is not deleted: `om daemon leave` leaves the cluster",
        ));
    }
    if let Some(rid) = &options.rid {
        let edits: Vec<Edit> =
            sections(om, path, rid)?.into_iter().map(Edit::DeleteSection).collect();
        if options.dry_run {
            return Ok(0);
        }
        config_edit::change(om, &Owner::Object(path.clone()), &edits, false)?;
        return Ok(0);
    }
    if options.dry_run {
        note(&format!("would delete {}", om.paths.config_file(path).display()));
        return Ok(0);
    }
    let lock = config::edit_lock(&om.paths, path);
    let held = durable::FileLock::take(&lock, Duration::from_secs(10))?;
    // The configuration first: what is left after a crash belongs to nobody.
    durable::remove(&om.paths.config_file(path))?;
    for folder in [om.paths.launchers(path), om.paths.var_dir(path)] {
        remove_folder(&folder)?;
    }
    let log = om.paths.log_file(path);
    durable::remove(&log)?;
    let mut rotated = log.into_os_string();
    rotated.push(".1");
    durable::remove(Path::new(&rotated))?;
    drop(held);
    Ok(0)
}

fn remove_folder(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("{}: {error}", folder.display())))
        }
        _ => Ok(()),
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
