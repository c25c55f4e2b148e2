//! `om pool`, `om net`: what the node has for the services.
//!
//! Both are read from the configuration and from the machine, and need no daemon. Volumes and addresses are those that the
//! daemon knows of, if one runs.

use model::{InstanceStatus, ObjectPath};
use om::render::{self, Align, Cell, Text, Tone, json as pretty, printable, table};
use om::{NetAction, PoolAction, StockCommand, Target};
use serde_json::{Map, Value, json};
use wire::Request;

use super::object::show_outputs;
use super::{Done, Failure, Link, Om, addressed, mon, node_spec, print};
use crate::config;
use crate::requests::catalog;
use crate::resource::pool;

/// The selector of all volumes.
const VOLUMES: &str = "*/vol/*";

/// `om pool ..`.
pub(super) fn pool(om: &Om, command: &StockCommand<PoolAction>) -> Done {
    let link = om.link(command.server.as_deref())?;
    let (words, name, verbose) = match &command.action {
        PoolAction::Ls => ("pool_ls", None, false),
        PoolAction::Status { name, verbose } => ("pool_status", name.as_deref(), *verbose),
    };
    if is_elsewhere(&command.target, command.server.as_deref()) {
        return elsewhere(om, &link, words, name, verbose, &command.target);
    }
    let settings = config::load_node(&om.paths, om.nodename.clone())?;
    let mut pools: Map<String, Value> =
        pool::pools(&settings.conf, &om.paths).iter().map(catalog::describe).collect();
    named(&mut pools, name, "pool")?;
    if command.action == PoolAction::Ls {
        return names(om, &pools);
    }
    for (name, data) in &mut pools {
        data["volumes"] = volumes(&link, name).into();
    }
    om.show(&pools.clone().into(), |_| pools_table(&pools, verbose).to_string());
    Ok(0)
}

/// `om net ..`.
pub(super) fn net(om: &Om, command: &StockCommand<NetAction>) -> Done {
    let link = om.link(command.server.as_deref())?;
    let (words, name) = match &command.action {
        NetAction::Ls => ("net_ls", None),
        NetAction::Show { name } => ("net_show", name.as_deref()),
        NetAction::Status { name } => ("net_status", name.as_deref()),
    };
    if is_elsewhere(&command.target, command.server.as_deref()) {
        return elsewhere(om, &link, words, name, false, &command.target);
    }
    let settings = config::load_node(&om.paths, om.nodename.clone())?;
    let mut networks = catalog::networks_of(&settings.conf);
    named(&mut networks, name, "network")?;
    match command.action {
        NetAction::Ls => names(om, &networks),
        NetAction::Show { .. } => {
            let shown: Map<String, Value> = networks
                .into_iter()
                .map(|(name, data)| {
                    let keywords = json!({"type": data["type"], "network": data["network"]});
                    (name, json!({ "config": keywords }))
                })
                .collect();
            om.show(&shown.into(), om::render::flat_json);
            Ok(0)
        }
        NetAction::Status { .. } => {
            om.show(&networks.clone().into(), |_| networks_table(&networks).to_string());
            Ok(0)
        }
    }
}

fn is_elsewhere(target: &Target, server: Option<&str>) -> bool {
    server.is_some() || matches!(target, Target::Nodes(_))
}

/// The same command, run by the daemons of other nodes.
fn elsewhere(
    om: &Om,
    link: &Link,
    words: &str,
    name: Option<&str>,
    verbose: bool,
    target: &Target,
) -> Done {
    let mut options = Map::new();
    if let Some(name) = name {
        options.insert("name".to_owned(), name.into());
    }
    if verbose {
        options.insert("verbose".to_owned(), true.into());
    }
    if let Some(filter) = &om.output.filter {
        options.insert("filter".to_owned(), filter.as_str().into());
    } else if om.is_machine_readable() {
        options.insert("format".to_owned(), "json".into());
    }
    let action =
        wire::NodeAction { sync: true, action_mode: true, action: Some(words.to_owned()), options };
    let reply = link.ask(&addressed(Request::new(action), node_spec(target, None)), None)?;
    show_outputs(om, &reply)
}

/// Keeps the one that was asked for.
fn named(all: &mut Map<String, Value>, name: Option<&str>, what: &str) -> Result<(), Failure> {
    let Some(wanted) = name else { return Ok(()) };
    if !all.contains_key(wanted) {
        let known: Vec<&str> = all.keys().map(String::as_str).collect();
        return Err(Failure::new(format!(
            "there is no {what} {}: it is one of {}",
            printable(wanted),
            known.join(", ")
        )));
    }
    all.retain(|name, _| name == wanted);
    Ok(())
}

fn names(om: &Om, all: &Map<String, Value>) -> Done {
    let names: Vec<&String> = all.keys().collect();
    om.show(&json!(names), |_| names.iter().map(|name| format!("{}\n", printable(name))).collect());
    Ok(0)
}

/// The volumes of a pool, as far as a daemon knows them.
fn volumes(link: &Link, pool: &str) -> Vec<Value> {
    let Ok(data) = mon::status(link, Some(VOLUMES), None) else { return vec![] };
    let services = data.pointer("/monitor/services").and_then(Value::as_object);
    let is_known = |path: &str| services.is_some_and(|all| all.contains_key(path));
    let mut found = std::collections::BTreeMap::new();
    let nodes = data.pointer("/monitor/nodes").and_then(Value::as_object);
    for node in nodes.into_iter().flat_map(Map::values) {
        let all = node.pointer("/services/status").and_then(Value::as_object);
        for (path, status) in all.into_iter().flatten() {
            if status["pool"] != pool || found.contains_key(path) {
                continue;
            }
            let status: InstanceStatus = serde_json::from_value(status.clone()).unwrap_or_default();
            let children: Vec<String> = status.children.iter().map(ToString::to_string).collect();
            let is_orphan = !children.iter().any(|child| {
                let namespace = ObjectPath::parse(path).ok();
                let namespace = namespace.as_ref().and_then(ObjectPath::namespace);
                is_known(&model::resolve_path(child, namespace))
            });
            found.insert(
                path.clone(),
                json!({"path": path, "size": status.size, "children": children, "orphan": is_orphan}),
            );
        }
    }
    found.into_values().collect()
}

fn head(words: &[&str]) -> Vec<Cell> {
    words.iter().map(|word| Cell::new(Tone::Strong, word)).collect()
}

/// The sign before a row: the last one is an end.
fn branch(at: usize, count: usize) -> &'static str {
    if at + 1 == count { "`- " } else { "|- " }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn pools_table(pools: &Map<String, Value>, verbose: bool) -> Text {
    let mut rows = vec![head(&["name", "type", "caps", "head", "vols", "size", "used", "free"])];
    for (at, (name, data)) in pools.iter().enumerate() {
        let list = |key: &str| data[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let caps: Vec<String> = list("capabilities").iter().map(text).collect();
        let mut row = vec![
            format!("{}{name}", branch(at, pools.len())),
            text(&data["type"]),
            caps.join(","),
            text(&data["head"]),
            list("volumes").len().to_string(),
        ];
        row.extend(
            ["size", "used", "free"].map(|key| {
                data.get(key).and_then(Value::as_u64).map_or_else(|| "-".to_owned(), size)
            }),
        );
        rows.push(row.iter().map(|text| Cell::plain(text)).collect());
        let volumes = list("volumes");
        let stem = if at + 1 == pools.len() { "   " } else { "|  " };
        for (nth, volume) in volumes.iter().enumerate().filter(|_| verbose) {
            let children = volume["children"].as_array().map(Vec::as_slice).unwrap_or_default();
            let children: Vec<String> = children.iter().map(text).collect();
            let bytes = volume["size"].as_u64().map(|bytes| size(bytes / 1024));
            let orphan = if volume["orphan"] == true { ", orphan" } else { "" };
            let row = [
                format!("{stem}{}{}", branch(nth, volumes.len()), text(&volume["path"])),
                "volume".to_owned(),
                format!("of {}{orphan}", children.join(",")),
                String::new(),
                String::new(),
                bytes.unwrap_or_else(|| "-".to_owned()),
            ];
            rows.push(row.iter().map(|text| Cell::plain(text)).collect());
        }
    }
    table(rows, &[Align::Left; 8], 2)
}

fn networks_table(networks: &Map<String, Value>) -> Text {
    let mut rows = vec![head(&["name", "type", "network", "size", "used", "free", "pct"])];
    for (at, (name, data)) in networks.iter().enumerate() {
        let mut row = vec![format!("{}{name}", branch(at, networks.len()))];
        row.extend(["type", "network", "size", "used", "free"].map(|key| text(&data[key])));
        row.push(format!("{:.2}%", data["pct"].as_f64().unwrap_or(0.0)));
        rows.push(row.iter().map(|text| Cell::plain(text)).collect());
    }
    table(rows, &[Align::Left; 7], 2)
}

/// KiB in three digits.
fn size(kib: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let number = kib as f64;
    if kib == 0 {
        return "0".to_owned();
    }
    render::size(number, 0)
}

/// `om node print capabilities`: the drivers that work here, and the tools that they and operators use.
pub(super) fn capabilities(om: &Om) -> Done {
    const DRIVERS: [&str; 10] = [
        "app.forking",
        "app.simple",
        "disk.loop",
        "fs",
        "fs.directory",
        "fs.flag",
        "ip.host",
        "sync.rsync",
        "task.host",
        "volume",
    ];
    const TOOLS: [&str; 16] = [
        "blkid",
        "docker",
        "findfs",
        "fsck",
        "fuser",
        "git",
        "ip",
        "losetup",
        "mkfs.ext4",
        "mkfs.xfs",
        "mount",
        "podman",
        "rsync",
        "ssh",
        "stat",
        "umount",
    ];
    let mut found: Vec<String> =
        DRIVERS.iter().map(|driver| format!("drivers.resource.{driver}")).collect();
    for tool in ["docker", "podman"].into_iter().filter(|tool| crate::resource::is_usable(tool)) {
        found.push(format!("drivers.resource.container.{tool}"));
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    for tool in TOOLS {
        let file = std::env::split_paths(&folders).map(|folder| folder.join(tool));
        if let Some(file) = file.into_iter().find(|file| file.is_file()) {
            found.push(format!("node.x.{tool}"));
            found.push(format!("node.x.{tool}.path={}", file.display()));
        }
    }
    found.sort();
    if om.is_machine_readable() {
        om.show(&json!(found), pretty);
    } else {
        print(&found.iter().map(|line| format!("{line}\n")).collect::<String>());
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (kib, shown) in [
            (0, "0"),
            (1, "1.00k"),
            (296_000, "289m"),
            (17_300_000, "16.5g"),
            (263_192_576, "251g"),
        ] {
            assert_eq!(size(kib), shown);
        }
    }

    #[test]
    fn pools_and_networks_are_shown_as_deployed_agents_show_them() {
        let pools = json!({
            "data": {"type": "directory", "capabilities": ["rox", "blk"], "head": "/srv", "volumes": [],
                "size": 263_192_576, "used": 17_300_000, "free": 0},
            "far": {"type": "ceph", "capabilities": [], "head": "", "volumes": [
                {"path": "test/vol/v", "size": 1 << 20, "children": ["test/svc/web"], "orphan": false}]},
        });
        let shown = pools_table(pools.as_object().unwrap(), true).plain();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines,
            [
                "name              type       caps             head  vols  size   used   free",
                "|- data           directory  rox,blk          /srv  0     251g   16.5g  0",
                "`- far            ceph                              1     -      -      -",
                "   `- test/vol/v  volume     of test/svc/web              1.00m",
            ]
        );
        let networks = json!({"lo": {"type": "loopback", "network": "127.0.0.1/32", "size": 1, "used": 0,
            "free": 1, "pct": 0.0}});
        let shown = networks_table(networks.as_object().unwrap()).plain();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines,
            [
                "name   type      network       size  used  free  pct",
                "`- lo  loopback  127.0.0.1/32  1     0     1     0.00%",
            ]
        );
    }
}
