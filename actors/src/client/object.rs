//! `om <selector>`: objects, their state, their configuration and their log.

use std::collections::{BTreeMap, BTreeSet};

use model::{InstanceStatus, ObjectPath, Status};
use om::render::{Align, Cell, InstanceView, Tone, instance, json as pretty, printable, table};
use om::{ObjectAction, ObjectCommand, Seen, Target};
use serde_json::{Map, Value, json};
use wire::reply::status_of;
use wire::{NodeSpec, Request};

use super::select::{Scope, Selection, in_states, is_here, namespace, refuse_unread};
use super::{
    ANSWER, AskError, Done, Failure, Link, Om, addressed, complain, config_edit, create, explain,
    instance as act, interrupted, keys, logs, mon, node_spec, print, target,
};
use crate::config;

pub(super) fn run(om: &Om, command: ObjectCommand) -> Done {
    let link = om.link(command.server.as_deref())?;
    let selection = Selection {
        selector: command.selector,
        kind: command.kind,
        namespace: namespace(command.namespace),
    };
    let target = command.target;
    let scope = if target == Target::Local { Scope::Local } else { Scope::Cluster };
    let is_about_file =
        matches!(command.action, ObjectAction::Config(_) | ObjectAction::PrintConfigMtime);
    let select = || -> Result<Vec<ObjectPath>, Failure> {
        let paths = selection.expand_some(om, &link, scope)?;
        // What the daemon runs tells the log of the object.
        if selection.literals().is_some() && !is_about_file && !crate::resource::is_from_daemon() {
            refuse_unread(om, &paths)?;
        }
        let paths = in_states(om, paths, command.status.as_deref());
        match command.status.as_deref().filter(|_| paths.is_empty()) {
            Some(states) => Err(Failure::new(format!("no selected object is {states} here"))),
            None => Ok(paths),
        }
    };
    match command.action {
        ObjectAction::Ls => {
            let paths = selection.expand(om, &link, scope)?;
            let paths = in_states(om, paths, command.status.as_deref());
            om.show(&json!(paths), |_| {
                paths.iter().map(|path| format!("{}\n", printable(path.as_str()))).collect()
            });
            Ok(0)
        }
        ObjectAction::Create(options) => create::run(om, &link, &selection, &options, &target),
        ObjectAction::Deploy(mut options, wait) => {
            options.provision = true;
            let code = create::run(om, &link, &selection, &options, &target)?;
            target::wait_provisioned(om, &link, &selection, &wait)?;
            Ok(code)
        }
        ObjectAction::Instance { action, options, wait } => {
            let selected = act::Selected { paths: select()?, is_one_named: selection.names_one() };
            act::run(om, &link, &selected, action, &options, &wait, &target)
        }
        ObjectAction::Status { refresh } => status(om, &link, &select()?, refresh, &target),
        ObjectAction::PrintStatus { refresh, hide_disabled } => {
            print_status(om, &link, &select()?, refresh, hide_disabled, &target)
        }
        ObjectAction::PrintConfigMtime => match &target {
            Target::Nodes(_) => {
                remote(om, &link, &select()?, "print_config_mtime", &Map::new(), &target)
            }
            Target::Default | Target::Local => print_mtime(om, &select()?),
        },
        ObjectAction::PrintPid { rid } => match &target {
            Target::Nodes(_) => {
                let options = rid.map(|rid| ("rid".to_owned(), rid.into())).into_iter().collect();
                remote(om, &link, &select()?, "print_pid", &options, &target)
            }
            Target::Default | Target::Local => print_pid(om, &select()?, rid.as_deref()),
        },
        ObjectAction::PrintDevs { rid } => match &target {
            Target::Nodes(_) => {
                let options = rid.map(|rid| ("rid".to_owned(), rid.into())).into_iter().collect();
                remote(om, &link, &select()?, "print_devs", &options, &target)
            }
            Target::Default | Target::Local => print_devs(om, &select()?, rid.as_deref()),
        },
        ObjectAction::PrintSchedule => {
            let paths: Vec<String> = select()?.iter().map(ToString::to_string).collect();
            print_schedule(om, &link, Some(paths.join(",")), &target)
        }
        ObjectAction::Frozen if matches!(target, Target::Nodes(_)) => {
            remote(om, &link, &select()?, "frozen", &Map::new(), &target)
        }
        ObjectAction::Frozen => {
            let paths = select()?;
            Ok(u8::from(paths.iter().any(|path| om.paths.instance_frozen(path).exists())))
        }
        ObjectAction::Config(action) => match &target {
            Target::Nodes(_) => {
                let (name, options) = config_edit::as_request(&action)?;
                remote(om, &link, &select()?, &name, &options, &target)
            }
            Target::Default | Target::Local => config_edit::objects(om, &select()?, &action),
        },
        ObjectAction::Scale { action, force } => {
            let paths = select()?;
            if !force {
                config_edit::refuse_to_make_scalers(om, &paths)?;
            }
            config_edit::objects(om, &paths, &action)
        }
        ObjectAction::Logs(options) => {
            let node = node_spec(&target, Some(NodeSpec::Selector("*".to_owned())));
            logs::objects(om, &link, &select()?, &options, node)
        }
        ObjectAction::Explain => {
            let mut paths = select()?;
            if !selection.names_one() {
                paths.retain(|path| path.kind().has_instances());
            }
            explain::run(om, &link, &paths)
        }
        ObjectAction::Keys { pattern } => keys::list(om, &link, &select()?, pattern.as_deref()),
        ObjectAction::Key(action) => {
            let paths = if command.server.is_some() {
                // What the other daemon has, not what lies here.
                select()?.into_iter().map(keys::Place::Daemon).collect()
            } else {
                select()?.into_iter().map(|path| keys::Place::of(om, path)).collect::<Vec<_>>()
            };
            keys::run(om, &link, &paths, &action)
        }
    }
}

/// Runs an action on other nodes, by their daemons.
pub(super) fn remote(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    action: &str,
    options: &Map<String, Value>,
    target: &Target,
) -> Done {
    let only_looks =
        ["get", "eval", "print", "validate"].iter().any(|word| action.starts_with(word));
    if let (false, Some(path)) = (only_looks, paths.first()) {
        interrupted::ends_with(format!(
            "the action goes on there: `om {path} print status` and `om {path} logs --follow` tell how far it is"
        ));
    }
    let mut code = 0_u8;
    for path in paths {
        let mut options = options.clone();
        // What is written there is chosen there.
        if let Some(filter) = &om.output.filter {
            options.insert("filter".to_owned(), filter.as_str().into());
        }
        let request = Request::new(wire::ObjectAction {
            path: path.to_string(),
            sync: true,
            cmd: vec![],
            command: vec![],
            action: Some(action.to_owned()),
            options,
        });
        // As long as the action takes.
        let reply = link.ask(&addressed(request, node_spec(target, None)), None)?;
        let done = if action == "validate_config" {
            show_counts(om, &reply)
        } else {
            show_outputs(om, &reply)
        };
        // What one of many cannot do is no reason not to ask the others.
        let done = match done {
            Err(failure) if paths.len() > 1 => {
                failure.lines.iter().for_each(|line| complain(&format!("{path}: {line}")));
                failure.code
            }
            done => done?,
        };
        code = if action == "validate_config" { code.saturating_add(done) } else { code.max(done) };
    }
    Ok(code)
}

/// Prints what commands on other nodes printed. The exit code is 1 when one of them failed: 2 is wrong usage.
pub(super) fn show_outputs(om: &Om, reply: &Value) -> Done {
    show_counts(om, reply).map(|sum| sum.min(1))
}

/// The same, for what is counted by its exit code: that sums theirs.
fn show_counts(om: &Om, reply: &Value) -> Done {
    let empty = Map::new();
    let nodes = reply.get("nodes").and_then(Value::as_object);
    if let Some(nobody) = super::nobody(reply) {
        return Err(nobody);
    }
    let several = nodes.is_some_and(|nodes| nodes.len() > 1);
    let parts: Vec<(&str, &Value)> = match nodes {
        Some(nodes) => nodes.iter().map(|(node, reply)| (node.as_str(), reply)).collect(),
        None => vec![("", reply)],
    };
    let mut sum = 0_i64;
    for (node, part) in parts {
        let prefix = if several { format!("{}: ", printable(node)) } else { String::new() };
        let data = part.get("data").and_then(Value::as_object).unwrap_or(&empty);
        let Some(ret) = data.get("ret").and_then(Value::as_i64) else {
            // An answer of its own: the JSON that the command printed, or a refusal.
            match status_of(part) {
                0 if part.get("status").is_none() => print(&pretty(part)),
                0 => {}
                status => sum += status.signum(),
            }
            let lines = wire::reply::Lines::of(part);
            // Alone, a node that cannot be reached is to be named nevertheless.
            let prefix = if node.is_empty() { "" } else { &format!("{}: ", printable(node)) };
            lines.errors.iter().for_each(|line| complain(&format!("{prefix}{line}")));
            continue;
        };
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        for line in text("out").lines() {
            print(&format!("{prefix}{}\n", printable(line)));
        }
        for line in text("err").lines() {
            super::say(&format!("{prefix}{}\n", printable(line)));
        }
        sum += ret + status_of(part);
    }
    if nodes.is_none() && sum == 0 {
        return om.report(&json!({"status": status_of(reply)}));
    }
    Ok(u8::try_from(sum.clamp(0, 255)).unwrap_or(u8::MAX))
}

/// An object as the daemon knows it.
#[derive(Default)]
pub(super) struct Known {
    pub(super) aggregate: Option<model::Aggregate>,
    pub(super) instances: BTreeMap<String, InstanceStatus>,
    /// Instances as the daemon wrote them: with what this version does not know.
    pub(super) raw: BTreeMap<String, Value>,
    /// The aggregate, as the daemon wrote it.
    pub(super) raw_aggregate: Option<Value>,
    /// Whether the nodes of the cluster have the same compatibility level.
    pub(super) compat: Option<bool>,
    pub(super) frozen_nodes: BTreeSet<String>,
}

impl Known {
    /// Puts an instance that was evaluated here over what the daemon knew of it: the monitor stays the daemon's.
    fn overlay(&mut self, node: &str, status: InstanceStatus) {
        let before = self.instances.remove(node).unwrap_or_default();
        let status = InstanceStatus { monitor: before.monitor.clone(), ..status };
        let json = |status| serde_json::to_value(status).unwrap_or_default();
        let raw = self.raw.entry(node.to_owned()).or_insert_with(|| json!({}));
        if let (Some(raw), Value::Object(before), Value::Object(fresh)) =
            (raw.as_object_mut(), json(&before), json(&status))
        {
            // What this version does not know stays as it was.
            raw.retain(|key, _| !before.contains_key(key));
            raw.extend(fresh);
        }
        self.instances.insert(node.to_owned(), status);
    }

    /// What a wait looks at.
    pub(super) fn seen(&self) -> Seen<'_> {
        Seen { aggregate: self.aggregate.as_ref(), instances: &self.instances }
    }
}

/// What the daemon knows of an object. Data that does not read is left out.
pub(super) fn known(link: &Link, path: &ObjectPath) -> Result<Known, Failure> {
    let mut data = mon::status(link, Some(path.as_str()), None)?;
    Ok(take_known(&mut data, path))
}

/// The same for several objects, by one request.
pub(super) fn known_all(
    link: &Link,
    paths: &[ObjectPath],
) -> Result<BTreeMap<ObjectPath, Known>, Failure> {
    if paths.is_empty() {
        return Ok(BTreeMap::new());
    }
    // Of many objects, the whole answer is cheaper: the daemon has it ready.
    let selector = match paths {
        [path] => Some(path.as_str()),
        _ => None,
    };
    let mut data = mon::status(link, selector, None)?;
    Ok(paths.iter().map(|path| (path.clone(), take_known(&mut data, path))).collect())
}

pub(super) fn take_known(data: &mut Value, path: &ObjectPath) -> Known {
    let mut known = Known::default();
    let Some(monitor) = data.get_mut("monitor") else { return known };
    known.compat = monitor.get("compat").and_then(Value::as_bool);
    if let Some(aggregate) = monitor.get_mut("services").and_then(|all| all.get_mut(path.as_str()))
    {
        let aggregate = aggregate.take();
        known.aggregate = serde_json::from_value(aggregate.clone()).ok();
        known.raw_aggregate = Some(aggregate);
    }
    let Some(nodes) = monitor.get_mut("nodes").and_then(Value::as_object_mut) else {
        return known;
    };
    for (node, data) in nodes {
        if data.get("frozen").and_then(Value::as_f64).is_some_and(|since| since > 0.0) {
            known.frozen_nodes.insert(node.clone());
        }
        let status =
            data.pointer_mut("/services/status").and_then(|all| all.get_mut(path.as_str()));
        if let Some(raw) = status.map(Value::take) {
            if let Ok(status) = serde_json::from_value(raw.clone()) {
                known.instances.insert(node.clone(), status);
            }
            known.raw.insert(node.clone(), raw);
        }
    }
    known
}

/// As [`known`], or the local instance alone, evaluated here, when the daemon does not run. With `refresh` the local
/// instance is evaluated first, and the daemon told.
fn known_or_evaluated(
    om: &Om,
    link: &Link,
    path: &ObjectPath,
    refresh: bool,
) -> Result<Known, Failure> {
    let mut fresh = None;
    if refresh && is_here(om, path) && path.kind().has_instances() {
        let status = act::status(om, path, true)?;
        act::tell_status(om, path, &status);
        fresh = Some(status);
    }
    match known(link, path) {
        Ok(mut known) => {
            if let Some(status) = fresh {
                known.overlay(om.nodename.as_str(), status);
            }
            Ok(known)
        }
        Err(failure) => {
            let is_down = matches!(
                link.ask(&Request::new(wire::BlacklistStatus {}), Some(ANSWER)),
                Err(AskError::NotRunning(_))
            );
            if !is_down || !is_here(om, path) {
                return Err(failure);
            }
            let status = act::status(om, path, refresh)?;
            let mut known = Known::default();
            let raw =
                serde_json::to_value(&status).map_err(|error| Failure::new(error.to_string()))?;
            known.raw.insert(om.nodename.to_string(), raw);
            known.instances.insert(om.nodename.to_string(), status);
            Ok(known)
        }
    }
}

/// `status`: the exit code of the overall state, the worst one of several objects.
fn status(om: &Om, link: &Link, paths: &[ObjectPath], refresh: bool, target: &Target) -> Done {
    let mut code = 0;
    let node = match target {
        Target::Nodes(node) => node.as_str(),
        Target::Default | Target::Local => om.nodename.as_str(),
    };
    for path in paths {
        let known = known_or_evaluated(om, link, path, refresh)?;
        let overall = known
            .instances
            .get(node)
            .and_then(|instance| instance.overall.clone())
            .unwrap_or(Status::Undef);
        match paths.len() {
            1 => print(&format!("{overall}\n")),
            _ => print(&format!("{path}: {overall}\n")),
        }
        code = code.max(overall.exit_code());
    }
    Ok(code)
}

fn print_status(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    refresh: bool,
    hide_disabled: bool,
    target: &Target,
) -> Done {
    let local = match target {
        Target::Nodes(node) => node.clone(),
        Target::Default | Target::Local => om.nodename.to_string(),
    };
    let mut printed = Map::new();
    for path in paths {
        let known = known_or_evaluated(om, link, path, refresh)?;
        if om.is_machine_readable() {
            let mut data = known.raw.get(&local).cloned().unwrap_or_else(|| json!({}));
            if let (Some(data), Some(mut aggregate)) = (data.as_object_mut(), known.raw_aggregate) {
                if let (Some(aggregate), Some(compat)) = (aggregate.as_object_mut(), known.compat) {
                    aggregate.insert("compat".to_owned(), compat.into());
                }
                data.insert("cluster".to_owned(), aggregate);
            }
            printed.insert(path.to_string(), data);
            continue;
        }
        let view = InstanceView {
            path: path.as_str(),
            local: &local,
            aggregate: known.aggregate.as_ref(),
            instances: &known.instances,
            frozen_nodes: &known.frozen_nodes,
            hide_disabled,
        };
        print(&format!("{}\n", instance(&view)));
    }
    if om.is_machine_readable() {
        let value = match printed.len() {
            1 => printed.into_values().next().unwrap_or_default(),
            _ => printed.into(),
        };
        om.show(&value, pretty);
    }
    Ok(0)
}

fn print_mtime(om: &Om, paths: &[ObjectPath]) -> Done {
    use std::os::unix::fs::MetadataExt as _;
    for path in paths {
        let file = om.paths.config_file(path);
        let metadata = std::fs::metadata(&file)
            .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
        let mtime = metadata.mtime() as f64 + metadata.mtime_nsec() as f64 / 1e9;
        match paths.len() {
            1 => print(&format!("{mtime:.6}\n")),
            _ => print(&format!("{path}: {mtime:.6}\n")),
        }
    }
    Ok(0)
}

/// The processes of the resources here: resource, process, command line.
fn print_pid(om: &Om, paths: &[ObjectPath], rids: Option<&str>) -> Done {
    let mut found = vec![];
    for path in paths.iter().filter(|path| path.kind().has_instances()) {
        if !is_here(om, path) {
            return Err(Failure::new(format!(
                "object {path} has no configuration on this node: --node says where"
            )));
        }
        for (rid, pid, command) in act::processes(om, path, rids)? {
            found.push([path.to_string(), rid, pid.to_string(), command]);
        }
    }
    let value: Vec<Value> = found
        .iter()
        .map(|[path, rid, pid, command]| {
            let pid: u32 = pid.parse().unwrap_or_default();
            json!({"path": path, "rid": rid, "pid": pid, "command": command})
        })
        .collect();
    om.show(&Value::Array(value), |_| {
        let head =
            ["Object", "Resource", "Pid", "Command"].map(|word| Cell::new(Tone::Strong, word));
        let mut rows = vec![head.to_vec()];
        let plain = |text: &String| Cell::plain(&printable(text));
        rows.extend(found.iter().map(|row| row.iter().map(plain).collect()));
        table(rows, &[Align::Left; 4], 2).to_string()
    });
    Ok(0)
}

/// What the resources stand on, and what they offer to others: devices, files, mount points.
fn print_devs(om: &Om, paths: &[ObjectPath], rids: Option<&str>) -> Done {
    // Of which keyword, in the words of the field: what is under a resource, and what it shows.
    const ROLES: [(&str, &str); 4] =
        [("file", "sub"), ("dev", "sub"), ("mnt", "exposed"), ("path", "exposed")];
    let settings = config::load_node(&om.paths, om.nodename.clone())?;
    let context = config::context(&om.paths, &settings);
    let rids: Option<Vec<String>> =
        rids.map(|rids| rids.split(',').map(|word| word.trim().to_owned()).collect());
    let mut found: Vec<[String; 4]> = vec![];
    let mut is_any = false;
    for path in paths {
        let object = config::load_object(&om.paths, &settings, path)?;
        let conf = object.conf();
        let wanted = rids.as_ref().map(|rids| conf.matching_resources(&context, rids));
        is_any |= wanted.as_ref().is_some_and(|wanted| !wanted.is_empty());
        for section in conf.resources(&context) {
            let (rid, group) = (section.name().to_owned(), section.group());
            if !matches!(group, "disk" | "fs" | "volume")
                || wanted.as_ref().is_some_and(|wanted| !wanted.contains(&rid))
            {
                continue;
            }
            for (keyword, role) in ROLES {
                let Ok(Some(value)) = section.text(keyword) else { continue };
                let real = std::fs::canonicalize(&value)
                    .map_or_else(|_| value.clone(), |real| real.display().to_string());
                found.push([path.to_string(), rid.clone(), role.to_owned(), value.clone()]);
                if real != value {
                    found.push([path.to_string(), rid.clone(), role.to_owned(), real]);
                }
                if keyword == "file" {
                    let loops = loops_of(&value);
                    let exposed = |dev| [path.to_string(), rid.clone(), "exposed".to_owned(), dev];
                    found.extend(loops.into_iter().map(exposed));
                }
            }
        }
    }
    if let (Some(rids), false) = (&rids, is_any) {
        return Err(Failure::new(format!("no resource matches --rid {}", rids.join(","))));
    }
    let value: Vec<Value> = found
        .iter()
        .map(|[path, rid, role, dev]| json!({"path": path, "rid": rid, "role": role, "dev": dev}))
        .collect();
    om.show(&Value::Array(value), |_| {
        let head =
            ["Object", "Resource", "Role", "Device"].map(|word| Cell::new(Tone::Strong, word));
        let mut rows = vec![head.to_vec()];
        rows.extend(found.iter().map(|row| row.iter().map(|text| Cell::plain(text)).collect()));
        table(rows, &[Align::Left; 4], 2).to_string()
    });
    Ok(0)
}

/// The loop devices that a file is attached to.
fn loops_of(file: &str) -> Vec<String> {
    let Ok(file) = std::fs::canonicalize(file) else { return vec![] };
    let blocks = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut loops: Vec<String> = blocks
        .filter(|block| {
            std::fs::read_to_string(block.path().join("loop/backing_file"))
                .is_ok_and(|backing| std::path::Path::new(backing.trim_end()) == file)
        })
        .map(|block| format!("/dev/{}", block.file_name().display()))
        .collect();
    loops.sort();
    loops
}

/// The schedules of objects; of the node itself when `selector` is `node`.
pub(super) fn print_schedule(
    om: &Om,
    link: &Link,
    selector: Option<String>,
    target: &Target,
) -> Done {
    let is_node = selector.as_deref() == Some("node");
    let request =
        Request::new(wire::Schedules { selector: selector.filter(|_| !is_node), namespace: None });
    let reply = link.ask(&addressed(request, node_spec(target, None)), Some(ANSWER))?;
    if status_of(&reply) != 0 {
        return om.report(&reply);
    }
    let rows =
        |reply: &Value| reply.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut entries: Vec<Value> = match reply.get("nodes").and_then(Value::as_object) {
        Some(nodes) => nodes.values().flat_map(rows).collect(),
        None => rows(&reply),
    };
    let has_path = |entry: &Value| {
        entry.get("path").and_then(Value::as_str).is_some_and(|path| !path.is_empty())
    };
    if is_node {
        entries.retain(|entry| !has_path(entry));
    }
    om.show(&Value::Array(entries.clone()), |_| schedule_table(&entries));
    Ok(0)
}

/// Schedules as a table: the object and its node, where there are several, once.
fn schedule_table(entries: &[Value]) -> String {
    let text = |entry: &Value, key: &str| match entry.get(key) {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        _ => "-".to_owned(),
    };
    let time = |entry: &Value, key: &str| match entry.get(key).and_then(Value::as_f64) {
        // To the second: nobody plans finer.
        Some(time) if time > 0.0 => {
            logs::local_time(time).split(',').next().unwrap_or_default().to_owned()
        }
        _ => "-".to_owned(),
    };
    let nodes: BTreeSet<String> = entries.iter().map(|entry| text(entry, "node")).collect();
    let head = ["Object", "Node", "Action", "Last Run", "Next Run", "Keyword", "Schedule"];
    let mut rows: Vec<Vec<String>> = vec![];
    let mut before = String::new();
    for entry in entries {
        let path = text(entry, "path");
        let shown = if path == before { String::new() } else { path.clone() };
        before = path;
        rows.push(vec![
            shown,
            text(entry, "node"),
            text(entry, "action"),
            time(entry, "last_run"),
            time(entry, "next_run"),
            text(entry, "config_parameter"),
            text(entry, "schedule_definition"),
        ]);
    }
    let is_shown = |column: usize| column != 1 || nodes.len() > 1;
    let cells = |row: &[String], cell: &dyn Fn(&str) -> Cell| -> Vec<Cell> {
        let shown = row.iter().enumerate().filter(|(column, _)| is_shown(*column));
        shown.map(|(_, text)| cell(text)).collect()
    };
    let head = head.map(str::to_owned);
    let mut all = vec![cells(&head, &|text| Cell::new(Tone::Strong, text))];
    all.extend(rows.iter().map(|row| cells(row, &Cell::plain)));
    table(all, &[], 2).to_string()
}
