//! `om <selector>`: objects, their state, their configuration and their log.

use std::os::unix::ffi::OsStrExt;

use cli::render::{Align, Cell, InstanceView, Tone, instance, json as pretty, printable, table};
use cli::{ConfigAction, ObjectAction, ObjectCommand, Target};
use files::{context, load};
use link::link::Link;
use link::link::error::AskError;
use model::{ObjectPath, Status};
use serde_json::{Map, Value, json};
use wire::{NodeSpec, Request};

use crate::config_edit::document::Owner;
use crate::config_edit::{Elsewhere, there};
use crate::known::{Known, known};
use crate::om::{ANSWER, Done, Failure, Om, node_spec, print};
use crate::operations::drill;
use crate::remote::remote;
use crate::schedule::print_schedule;
use crate::select::{Scope, Selection, in_states, is_here, namespace, refuse_unread};
use crate::{certificates, config_edit, create, explain, history, instance, keys, logs, target};

pub(super) fn run(om: &Om, command: ObjectCommand) -> Done {
    let link = om.link(command.server.as_deref())?;
    let selection = Selection {
        selector: command.selector,
        kind: command.kind,
        namespace: namespace(command.namespace),
    };
    let target = command.target;
    let scope = if target == Target::Local { Scope::Local } else { Scope::Cluster };
    let states = command.status.as_deref();
    // What the daemon runs tells the log of the object.
    let is_read =
        !matches!(command.action, ObjectAction::Config(_) | ObjectAction::PrintConfigMtime)
            && !drivers::origin::is_from_daemon();
    let select = || selected(om, &link, &selection, (scope, states), is_read);
    match command.action {
        ObjectAction::Ls => {
            let paths = selection.expand(om, &link, scope)?;
            list(om, &in_states(om, paths, states))
        }
        ObjectAction::Create(options) => create::run(om, &link, &selection, &options, &target),
        ObjectAction::Deploy(mut options, wait) => {
            options.provision = true;
            let code = create::run(om, &link, &selection, &options, &target)?;
            target::wait_provisioned(om, &link, &selection, &wait)?;
            Ok(code)
        }
        ObjectAction::Instance { action, options, wait } => {
            let selected =
                instance::Selected { paths: select()?, is_one_named: selection.names_one() };
            instance::run(om, &link, &selected, action, &options, &wait, &target)
        }
        ObjectAction::Status { refresh } => status(om, &link, &select()?, refresh, &target),
        ObjectAction::PrintStatus { refresh, hide_disabled } => {
            print_status(om, &link, &select()?, refresh, hide_disabled, &target)
        }
        ObjectAction::PrintConfigMtime => on_nodes(om, &link, &select, Asked::Mtime, &target),
        ObjectAction::PrintPid { rid } => {
            on_nodes(om, &link, &select, Asked::Pid(rid.as_deref()), &target)
        }
        ObjectAction::PrintDevs { rid } => {
            on_nodes(om, &link, &select, Asked::Devs(rid.as_deref()), &target)
        }
        ObjectAction::PrintSchedule => {
            let paths: Vec<String> = select()?.iter().map(ToString::to_string).collect();
            print_schedule(om, &link, Some(paths.join(",")), &target)
        }
        ObjectAction::Frozen => on_nodes(om, &link, &select, Asked::Frozen, &target),
        ObjectAction::Config(action) => {
            on_nodes(om, &link, &select, Asked::Config(&action), &target)
        }
        ObjectAction::Scale { action, force } => {
            scale(om, &link, &select()?, (&action, force), &target)
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
        ObjectAction::History(options) => {
            let mut paths = select()?;
            if !selection.names_one() {
                paths.retain(|path| path.kind().has_instances());
            }
            history::objects(om, &link, &paths, &options, &target)
        }
        ObjectAction::Drill(options) => drill::run(om, &link, &select()?, &options, &target),
        ObjectAction::ClusterTls => {
            let is_elsewhere = command.server.is_some() || matches!(target, Target::Nodes(_));
            certificates::cluster(om, &link, is_elsewhere.then_some(&target))
        }
        ObjectAction::Certificate(action) => {
            let is_elsewhere = command.server.is_some() || matches!(target, Target::Nodes(_));
            certificates::run(om, &link, &select()?, &action, is_elsewhere.then_some(&target))
        }
        ObjectAction::Keys { pattern } => keys::list(om, &link, &select()?, pattern.as_deref()),
        ObjectAction::Key(action) => {
            let place = |path| match command.server {
                // What the other daemon has, not what lies here.
                Some(_) => keys::Place::Daemon(path),
                None => keys::Place::of(om, path),
            };
            let places: Vec<_> = select()?.into_iter().map(place).collect();
            keys::run(om, &link, &places, &action)
        }
    }
}

/// Makes scalers of objects, or changes to how many slices they scale.
fn scale(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    (action, force): (&ConfigAction, bool),
    target: &Target,
) -> Done {
    if link.is_remote() {
        if !force {
            return Err(Failure::new(
                "over https:// it is not read whether that is a scaler: --force scales it all the same",
            ));
        }
        return on_nodes(om, link, &|| Ok(paths.to_vec()), Asked::Config(action), target);
    }
    if !force {
        config_edit::refuse_to_make_scalers(om, paths)?;
    }
    config_edit::objects(om, paths, action)
}

/// The objects that are meant, one at least. `is_read`: what is wrong with the file of one that is named is a reason to
/// refuse it.
fn selected(
    om: &Om,
    link: &Link,
    selection: &Selection,
    (scope, states): (Scope, Option<&str>),
    is_read: bool,
) -> Result<Vec<ObjectPath>, Failure> {
    let paths = selection.expand_some(om, link, scope)?;
    if selection.literals().is_some() && is_read {
        refuse_unread(om, &paths)?;
    }
    let paths = in_states(om, paths, states);
    match states.filter(|_| paths.is_empty()) {
        Some(states) => Err(Failure::new(format!("no selected object is {states} here"))),
        None => Ok(paths),
    }
}

fn list(om: &Om, paths: &[ObjectPath]) -> Done {
    om.show(&json!(paths), |_| {
        paths.iter().map(|path| format!("{}\n", printable(path.as_str()))).collect()
    });
    Ok(0)
}

/// What files and instances of the local node tell, or those of others by request.
enum Asked<'a> {
    Mtime,
    Pid(Option<&'a str>),
    Devs(Option<&'a str>),
    Frozen,
    Config(&'a ConfigAction),
}

/// Asks the nodes that are named, or answers from what is here.
fn on_nodes(
    om: &Om,
    link: &Link,
    select: &dyn Fn() -> Result<Vec<ObjectPath>, Failure>,
    asked: Asked<'_>,
    target: &Target,
) -> Done {
    // What lies here is that of no node of theirs: one that has the object tells.
    let any = Target::Nodes("ANY".to_owned());
    let target = if link.is_remote() && *target == Target::Default { &any } else { target };
    if !matches!(target, Target::Nodes(_)) {
        let paths = &select()?;
        return match asked {
            Asked::Mtime => print_mtime(om, paths),
            Asked::Pid(rid) => print_pid(om, paths, rid),
            Asked::Devs(rid) => print_devs(om, paths, rid),
            Asked::Frozen => {
                Ok(u8::from(paths.iter().any(|path| om.paths.instance_frozen(path).exists())))
            }
            Asked::Config(action) => config_edit::objects(om, paths, action),
        };
    }
    let of = |rid: Option<&str>| {
        rid.map(|rid| ("rid".to_owned(), Value::from(rid))).into_iter().collect()
    };
    let (name, options) = match asked {
        Asked::Mtime => ("print_config_mtime".to_owned(), Map::new()),
        Asked::Pid(rid) => ("print_pid".to_owned(), of(rid)),
        Asked::Devs(rid) => ("print_devs".to_owned(), of(rid)),
        Asked::Frozen => ("frozen".to_owned(), Map::new()),
        Asked::Config(action) => match Elsewhere::of(action) {
            Elsewhere::Action(name, options) => (name, options),
            Elsewhere::Editing(how) => {
                for path in select()? {
                    there::edit(om, link, &Owner::Object(path), target, how)?;
                }
                return Ok(0);
            }
        },
    };
    remote(om, link, &select()?, &name, &options, target)
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
        let status = instance::status(om, path, true)?;
        instance::tell_status(om, path, &status);
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
            let status = instance::status(om, path, refresh)?;
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
        let node = shown_of(link, &known, node);
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

/// The node whose instance is shown: `meant`; from a machine outside of the cluster, which has none, one that is up, else the
/// first.
fn shown_of<'a>(link: &Link, known: &'a Known, meant: &'a str) -> &'a str {
    if !link.is_remote() || known.instances.contains_key(meant) {
        return meant;
    }
    let up = known.instances.iter().find(|(_, status)| status.avail == Some(Status::Up));
    up.or_else(|| known.instances.iter().next()).map_or(meant, |(node, _)| node)
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
        let local = shown_of(link, &known, &local).to_owned();
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
            now: machine::clock::now(),
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
        for (rid, pid, command) in instance::processes(om, path, rids)? {
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
    let settings = load::load_node(&om.paths, om.nodename.clone())?;
    let context = context::context(&om.paths, &settings);
    let rids: Option<Vec<String>> =
        rids.map(|rids| rids.split(',').map(|word| word.trim().to_owned()).collect());
    let mut found: Vec<[String; 4]> = vec![];
    let mut is_any = false;
    for path in paths {
        let object = load::load_object(&om.paths, &settings, path)?;
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
            std::fs::read(block.path().join("loop/backing_file")).is_ok_and(|backing| {
                backing.strip_suffix(b"\n") == Some(file.as_os_str().as_bytes())
            })
        })
        .map(|block| format!("/dev/{}", block.file_name().display()))
        .collect();
    loops.sort();
    loops
}
