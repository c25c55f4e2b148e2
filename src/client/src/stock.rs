//! `om pool`, `om net`: what the node has for the services.
//!
//! Both are read from the configuration and from the machine, and need no daemon. Volumes and addresses are those that the
//! daemon knows of, if one runs.

use std::collections::BTreeMap;

use cli::render::{self, Align, Cell, Text, Tone, json as pretty, printable, table};
use cli::{NetAction, PoolAction, StockCommand, Target};
use model::{InstanceStatus, ObjectPath};
use serde_json::{Map, Value, json};
use wire::Request;

use files::networks::Network;
use files::pool::{PoolState, Room, VolumeState};
use files::{load, networks, pool};
use link::link::Link;

use crate::known;
use crate::om::{Done, Failure, Om, addressed, node_spec, print};
use crate::remote::show_outputs;

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
    let settings = load::load_node(&om.paths, om.nodename.clone())?;
    let mut pools: BTreeMap<String, PoolState> =
        pool::pools(&settings.conf, &om.paths).iter().map(pool::describe).collect();
    named(&mut pools, name, "pool")?;
    if command.action == PoolAction::Ls {
        return names(om, &pools);
    }
    for (name, data) in &mut pools {
        data.volumes = volumes(&link, name);
    }
    om.show(&json!(pools), |_| pools_table(&pools, verbose).to_string());
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
    let settings = load::load_node(&om.paths, om.nodename.clone())?;
    let mut networks = networks::networks_of(&settings.conf);
    named(&mut networks, name, "network")?;
    match command.action {
        NetAction::Ls => names(om, &networks),
        NetAction::Show { .. } => {
            let shown: BTreeMap<_, _> = networks
                .into_iter()
                .map(|(name, Network { kind, network, .. })| {
                    (name, json!({"config": {"type": kind, "network": network}}))
                })
                .collect();
            om.show(&json!(shown), cli::render::flat_json);
            Ok(0)
        }
        NetAction::Status { .. } => {
            om.show(&json!(networks), |_| networks_table(&networks).to_string());
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
fn named<T>(all: &mut BTreeMap<String, T>, name: Option<&str>, what: &str) -> Result<(), Failure> {
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

fn names<T>(om: &Om, all: &BTreeMap<String, T>) -> Done {
    let names: Vec<&String> = all.keys().collect();
    om.show(&json!(names), |_| names.iter().map(|name| format!("{}\n", printable(name))).collect());
    Ok(0)
}

/// The volumes of a pool, as far as a daemon knows them.
fn volumes(link: &Link, pool: &str) -> Vec<VolumeState> {
    let Ok(data) = known::status(link, Some(VOLUMES), None) else { return vec![] };
    let services = data.pointer("/monitor/services").and_then(Value::as_object);
    let is_known = |path: &str| services.is_some_and(|all| all.contains_key(path));
    let mut found = BTreeMap::new();
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
            let (path, size, orphan) = (path.clone(), status.size, is_orphan);
            found.insert(path.clone(), VolumeState { path, size, children, orphan });
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

fn pools_table(pools: &BTreeMap<String, PoolState>, verbose: bool) -> Text {
    let mut rows = vec![head(&["name", "type", "caps", "head", "vols", "size", "used", "free"])];
    for (at, (name, data)) in pools.iter().enumerate() {
        let mut row = vec![
            format!("{}{name}", branch(at, pools.len())),
            data.kind.clone(),
            data.capabilities.join(","),
            data.head.display().to_string(),
            data.volumes.len().to_string(),
        ];
        row.extend(match data.room {
            Some(Room { free, used, size: all }) => [all, used, free].map(size),
            None => ["-"; 3].map(str::to_owned),
        });
        rows.push(row.iter().map(|text| Cell::plain(text)).collect());
        let volumes = &data.volumes;
        let stem = if at + 1 == pools.len() { "   " } else { "|  " };
        for (nth, volume) in volumes.iter().enumerate().filter(|_| verbose) {
            let bytes = volume.size.and_then(|bytes| u64::try_from(bytes).ok());
            let bytes = bytes.map(|bytes| size(bytes / 1024));
            let orphan = if volume.orphan { ", orphan" } else { "" };
            let row = [
                format!("{stem}{}{}", branch(nth, volumes.len()), volume.path),
                "volume".to_owned(),
                format!("of {}{orphan}", volume.children.join(",")),
                String::new(),
                String::new(),
                bytes.unwrap_or_else(|| "-".to_owned()),
            ];
            rows.push(row.iter().map(|text| Cell::plain(text)).collect());
        }
    }
    table(rows, &[Align::Left; 8], 2)
}

fn networks_table(networks: &BTreeMap<String, Network>) -> Text {
    let mut rows = vec![head(&["name", "type", "network", "size", "used", "free", "pct"])];
    for (at, (name, data)) in networks.iter().enumerate() {
        let mut row = vec![format!("{}{name}", branch(at, networks.len()))];
        row.extend([data.kind.clone(), data.network.clone()]);
        row.extend([data.size, data.used, data.free].map(|count| count.to_string()));
        row.push(format!("{:.2}%", data.pct));
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
    for tool in ["docker", "podman"].into_iter().filter(|tool| drivers::container::is_usable(tool))
    {
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
        let pool = |kind: &str, capabilities: &[&str], head: &str| PoolState {
            kind: kind.to_owned(),
            name: String::new(),
            capabilities: capabilities.iter().map(|word| (*word).to_owned()).collect(),
            head: head.into(),
            volumes: vec![],
            room: None,
        };
        let room = Some(Room { size: 263_192_576, used: 17_300_000, free: 0 });
        let volume = VolumeState {
            path: "test/vol/v".to_owned(),
            size: Some(1 << 20),
            children: vec!["test/svc/web".to_owned()],
            orphan: false,
        };
        let pools = BTreeMap::from([
            ("data".to_owned(), PoolState { room, ..pool("directory", &["rox", "blk"], "/srv") }),
            ("far".to_owned(), PoolState { volumes: vec![volume], ..pool("ceph", &[], "") }),
        ]);
        let shown = pools_table(&pools, true).plain();
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
        let network = Network {
            kind: "loopback".to_owned(),
            network: "127.0.0.1/32".to_owned(),
            size: 1,
            ips: [],
            used: 0,
            free: 1,
            pct: 0.0,
        };
        let networks = BTreeMap::from([("lo".to_owned(), network)]);
        let shown = networks_table(&networks).plain();
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
