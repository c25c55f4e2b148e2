//! Actions on instances: as a target that the monitors reach, here in this process, or on other nodes.

use std::process::Command;
use std::sync::Arc;

use cli::{Target, Wait};
use conf::Edit;
use dataset::config::LoadedObject;
use drivers::host::Host;
use drivers::{action, origin};
use files::{in_force, last_good, load};
use link::link::Link;
use link::link::error::AskError;
use logs::LogOptions;
use logs::context::LogContext;
use machine::{process, random};
use model::{
    ActionOptions, GlobalExpect, InstanceAction, InstanceStatus, Kind, ObjectPath, Status,
};
use serde_json::{Map, Value};
use wire::Request;

use crate::config_edit::document;
use crate::om::{ANSWER, Done, Failure, NAMESPACE_VARIABLE, Om, note};
use crate::others::Others;
use crate::select::is_here;
use crate::story::Story;
use crate::{config_edit, explain, known, remote, target};

/// Environment variable with the session that a command belongs to.
const SESSION_VARIABLE: &str = "OSVC_SESSION_UUID";

pub(super) fn run(
    om: &Om,
    link: &Link,
    selected: &Selected,
    action: InstanceAction,
    options: &ActionOptions,
    wait: &Wait,
    target: &Target,
) -> Done {
    if let [path] = &selected.paths[..]
        && path.kind() == Kind::Ccfg
        && action == InstanceAction::Delete
        && let Some(rids) = &options.rid
    {
        return delete_sections(om, path, rids, options.force);
    }
    if action == InstanceAction::Abort && (*target != Target::Default || options.is_local()) {
        let selector = selected.paths.iter().map(ObjectPath::as_str).collect::<Vec<_>>().join(",");
        return Err(Failure::usage(format!(
            "abort ends what runs, on whichever node: it takes neither --local, nor --node, nor resources: \
             om {selector} abort"
        )));
    }
    let paths = applicable(selected, action, target)?;
    let paths = &paths[..];
    if paths.is_empty() {
        return Ok(0);
    }
    if let Target::Nodes(nodes) = target {
        let words = action.words();
        if moves(action) {
            let advice = match action {
                InstanceAction::Giveback => String::new(),
                _ => format!(": the destination is told by `om <path> switch --to {nodes}`"),
            };
            return Err(Failure::usage(format!(
                "{words} moves an object between nodes: it takes no --node{advice}"
            )));
        }
        let name = words.replace(' ', "_");
        return remote::remote(om, link, paths, &name, &to_map(options), target);
    }
    if action == InstanceAction::Clear {
        return match options.dry_run {
            true => target::clear_dry_run(om, link, paths, target),
            false => target::clear(om, link, paths, target, wait),
        };
    }
    let expect = action.target(options, om.nodename.as_str());
    match expect {
        Some(expect) if *target == Target::Default && !options.is_local() => {
            // Objects without instances have no monitor that would tell what it would do, and may be deleted without a
            // daemon.
            let is_plain = |path: &ObjectPath| !path.kind().has_instances();
            let is_here =
                options.dry_run || (paths.iter().any(is_plain) && !is_daemon_running(link));
            let (plain, ordered): (Vec<_>, Vec<_>) =
                paths.iter().cloned().partition(|path| is_here && is_plain(path));
            let code = if plain.is_empty() { 0 } else { run_here(om, &plain, action, options)? };
            if ordered.is_empty() {
                return Ok(code);
            }
            if options.dry_run {
                return explain::dry_run(om, link, &ordered, &expect);
            }
            if expect == GlobalExpect::Deleted && !options.force {
                refuse_running(link, &ordered)?;
            }
            Ok(code.max(target::set(om, link, &ordered, &expect, wait)?))
        }
        _ => run_here(om, paths, action, options),
    }
}

/// Deletes sections of a configuration that has no instance.
fn delete_sections(om: &Om, path: &ObjectPath, rids: &str, force: bool) -> Done {
    let owner = document::Owner::Object(path.clone());
    for section in rids.split(',').map(str::trim) {
        if !config_edit::has_section(om, &owner, section)? {
            return Err(Failure::new(format!("{path}: no such section: {section}")));
        }
    }
    let sections = rids.split(',').map(|rid| Edit::DeleteSection(rid.trim().into()));
    let manner = config_edit::Manner { force, ..config_edit::Manner::default() };
    config_edit::change(om, &owner, &sections.collect::<Vec<_>>(), manner).map(|()| 0)
}

/// Refuses to delete what runs: a deletion stops it, and who types one may think of another object.
fn refuse_running(link: &Link, paths: &[ObjectPath]) -> Result<(), Failure> {
    let is_up = |status: &InstanceStatus| {
        matches!(status.avail, Some(Status::Up | Status::Warn | Status::StdbyUp))
    };
    let known = known::known_all(link, paths)?;
    let lines = known.iter().filter_map(|(path, known)| {
        let up = known.instances.iter().filter(|(_, status)| is_up(status));
        let up: Vec<&str> = up.map(|(node, _)| node.as_str()).collect();
        (!up.is_empty()).then(|| {
            format!(
                "{path} runs on {}: `om {path} stop` first, or `om {path} delete --force`, which stops it; nothing is deleted",
                up.join(", ")
            )
        })
    });
    match lines.collect::<Vec<_>>() {
        lines if lines.is_empty() => Ok(()),
        lines => Err(Failure { lines, code: 1 }),
    }
}

/// Whether a daemon runs here that sees to targets.
fn is_daemon_running(link: &Link) -> bool {
    let asked = link.ask(&Request::new(wire::BlacklistStatus {}), Some(ANSWER));
    !matches!(asked, Err(AskError::NotRunning(_)))
}

/// Whether it is about where an object runs, which no node decides alone.
fn moves(action: InstanceAction) -> bool {
    matches!(action, InstanceAction::Switch | InstanceAction::Takeover | InstanceAction::Giveback)
}

/// What an action is about.
pub(super) struct Selected {
    pub(super) paths: Vec<ObjectPath>,
    /// Whether one object was named, and no expression that may select many.
    pub(super) is_one_named: bool,
}

/// The objects that an action means something to: the others have nothing to do. To name one of
/// those is a mistake, unless it is another agent that asks us to run it here: there, it is nothing to do.
fn applicable(
    selected: &Selected,
    action: InstanceAction,
    target: &Target,
) -> Result<Vec<ObjectPath>, Failure> {
    let applies = |path: &&ObjectPath| action.applies_to(path.kind());
    let paths: Vec<ObjectPath> = selected.paths.iter().filter(applies).cloned().collect();
    match &selected.paths[..] {
        [path] if paths.is_empty() && selected.is_one_named => {
            let words = action.words();
            let line = match path.kind() {
                Kind::Ccfg => {
                    format!("the cluster configuration is no service: {words} means nothing to it")
                }
                kind => {
                    format!("{path} is a {kind} and has no instances: {words} means nothing to it")
                }
            };
            if *target != Target::Local {
                return Err(Failure::usage(line));
            }
            note(&line);
        }
        _ => {}
    }
    Ok(paths)
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

// Here

/// Runs an action on the local instances. The exit code is 1 when one of them failed: 2 is wrong usage.
pub(super) fn run_here(
    om: &Om,
    paths: &[ObjectPath],
    action: InstanceAction,
    options: &ActionOptions,
) -> Done {
    if moves(action) {
        return Err(Failure::usage(format!(
            "{} moves an object between nodes: it takes neither --local, nor --node, nor resources",
            action.words()
        )));
    }
    if let Some(code) = action::in_new_session(action, options) {
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
        true => load::load_node(&om.paths, om.nodename.clone())?
            .max_parallel
            .unwrap_or_else(|| (process::processors() / 2).max(2)),
        false => 1,
    };
    let mut failed = 0;
    let mut running: Vec<std::process::Child> = vec![];
    let mut reap = |running: &mut Vec<std::process::Child>| -> Result<(), Failure> {
        if running.is_empty() {
            return Ok(());
        }
        let status = running.remove(0).wait()?;
        if !status.success() {
            failed = 1;
        }
        Ok(())
    };
    for path in paths {
        if running.len() >= most.max(1) {
            reap(&mut running)?;
        }
        let child = Command::new(&program)
            .args(path.command_words())
            .args(action.words().split(' '))
            .arg("--local")
            .args(to_args(options))
            // The path is whole: a child is not to look for it in the namespace of relative names.
            .env_remove(NAMESPACE_VARIABLE)
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
    let from_daemon = origin::is_from_daemon();
    if from_daemon {
        // First: nobody reads what it prints, and why it fails is to be found.
        log_to(om, path, options);
        std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
    }
    let (host, object) = local(om, path, Some(action))?;
    if !from_daemon {
        log_to(om, path, options);
    }
    if !options.dry_run {
        action::end_by_signals(&host);
    }
    let others = Others::new(om)?;
    let told = Story::begin(om, path, action, options);
    let code = drivers::action::action(&host, &object, action, options, &|path, nodes| {
        others.ask(path, nodes)
    });
    told.end(om, path, action, code);
    Ok(code)
}

fn log_to(om: &Om, path: &ObjectPath, options: &ActionOptions) {
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
}

/// The session that the log lines of this command carry: the one of who runs it, or a new one.
fn session_id() -> String {
    std::env::var(SESSION_VARIABLE)
        .ok()
        .filter(|id| !id.is_empty())
        .unwrap_or_else(random::random_uuid)
}

/// What local actions look at.
fn local(
    om: &Om,
    path: &ObjectPath,
    action: Option<InstanceAction>,
) -> Result<(Host, LoadedObject), Failure> {
    if !is_here(om, path) {
        return Err(Failure::new(format!(
            "object {path} has no configuration on this node: without --local the daemon finds its nodes"
        )));
    }
    let (settings, object) = match origin::is_from_daemon() {
        true => {
            let settings = in_force::load_node_in_force(&om.paths, &om.nodename);
            let object = in_force::load_object_in_force(&om.paths, &settings, path)?;
            (settings, object)
        }
        false => {
            let settings = load::load_node(&om.paths, om.nodename.clone())?;
            let object = load::load_object(&om.paths, &settings, path)?;
            // These are about the file, not about what it says of resources.
            let is_about_file = matches!(
                action,
                Some(InstanceAction::Delete | InstanceAction::Enable | InstanceAction::Disable)
            );
            if !is_about_file {
                refuse_errors(om, &object)?;
            }
            (settings, object)
        }
    };
    Ok((drivers::command_host(Arc::new(om.paths.clone()), Arc::new(settings)), object))
}

/// Tells an operator what is wrong with a configuration. It is acted upon only if the daemon has nothing better: what acts
/// here and what the daemon watches would be two things.
fn refuse_errors(om: &Om, object: &LoadedObject) -> Result<(), Failure> {
    let errors = object.complaints.iter().filter(|each| each.severity == conf::Severity::Error);
    let mut lines: Vec<String> = errors.map(ToString::to_string).collect();
    if lines.is_empty() || !last_good::is_kept(&om.paths, &object.path) {
        lines.iter().for_each(|line| note(line));
        return Ok(());
    }
    lines.push(format!(
        "the daemon goes on with the last good configuration of {}: mend the file, or act without --local",
        object.path
    ));
    Err(Failure { lines, code: 1 })
}

/// State of the local instance: as last written, or evaluated in this process.
pub(super) fn status(om: &Om, path: &ObjectPath, refresh: bool) -> Result<InstanceStatus, Failure> {
    let (host, object) = local(om, path, None)?;
    Ok(drivers::status(&host, &object, refresh))
}

/// Processes of the resources of the local instance: resource, process, command line.
pub(super) fn processes(
    om: &Om,
    path: &ObjectPath,
    rids: Option<&str>,
) -> Result<Vec<(String, u32, String)>, Failure> {
    let settings = load::load_node(&om.paths, om.nodename.clone())?;
    let object = load::load_object(&om.paths, &settings, path)?;
    let host = drivers::command_host(Arc::new(om.paths.clone()), Arc::new(settings));
    drivers::running(&host, &object, rids).map_err(Failure::new)
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
