//! What a node offers: who one is, schedules, pools, networks, keywords, templates.

use model::Kind;
use serde_json::{Map, Value, json};
use wire::{Pools, Schedules};

use super::selection::select;
use super::{Context, Outcome, blocking, refusal, shorten};
use crate::resource::pool::{self, Pool};
use crate::scheduler::ListSchedules;

/// GET `whoami`: both transports prove the same, the secret of the cluster or the rights of root.
pub(super) fn whoami() -> Outcome {
    json!({
        "name": "root",
        "namespace": null,
        "auth": "secret",
        "raw_grant": "root",
        "grant": {"root": null},
    })
    .into()
}

/// GET `authinfo`.
pub(super) fn authinfo() -> Outcome {
    json!({"methods": ["basic"]}).into()
}

/// GET `schedules`.
pub(super) async fn schedules(context: &Context, options: &Schedules) -> Outcome {
    let all = match context.ask(&context.routes.scheduler, ListSchedules).await {
        Ok(all) => all,
        Err(not_now) => return not_now.into(),
    };
    if options.selector.is_none() && options.namespace.is_none() {
        return wire::reply::data(all).into();
    }
    let selected =
        select(context, options.selector.as_deref(), options.namespace.as_deref(), None).await;
    let selected = match selected {
        Ok(selected) => selected,
        Err(refusal) => return refusal.into(),
    };
    let selected: std::collections::BTreeSet<&str> =
        selected.iter().map(model::ObjectPath::as_str).collect();
    let is_selected = |entry: &Value| {
        let path = entry.get("path").and_then(Value::as_str);
        path.is_some_and(|path| selected.contains(path))
    };
    wire::reply::data(all.into_iter().filter(is_selected).collect::<Vec<Value>>()).into()
}

/// GET `pools`: `default` and `shm`, which every node has, and those of sections `pool#<name>`.
pub(super) async fn pools(context: &Context, options: &Pools) -> Outcome {
    let config = context.config();
    let mut pools = pool::pools(&config.node.conf, &context.routes.paths);
    if let Some(name) = &options.name {
        pools.retain(|pool| pool.name == *name);
    }
    let read = blocking(move || pools.iter().map(describe).collect::<Map<String, Value>>());
    match read.await {
        Ok(data) => Value::Object(data).into(),
        Err(not_now) => not_now.into(),
    }
}

/// A pool with the room of its file system, in KiB; a folder that is not there yet has that of its parent.
pub(crate) fn describe(pool: &Pool) -> (String, Value) {
    let mut data = json!({
        "type": pool.kind,
        "name": pool.name,
        "capabilities": pool::CAPABILITIES,
        "head": pool.head,
        "volumes": [],
    });
    if let Some(room) = pool.room() {
        let kib = |blocks: u64| blocks.saturating_mul(room.f_frsize) / 1024;
        let used = room.f_blocks.saturating_sub(room.f_bfree);
        for (key, blocks) in [("free", room.f_bavail), ("used", used), ("size", room.f_blocks)] {
            data[key] = kib(blocks).into();
        }
    }
    (pool.name.clone(), data)
}

/// GET `networks`: `lo` and `default`, which every node has, and those of sections `network#<name>`.
pub(super) fn networks(context: &Context) -> Outcome {
    Value::Object(networks_of(&context.config().node.conf)).into()
}

/// The networks that a configuration has.
pub(crate) fn networks_of(node: &conf::NodeConf) -> Map<String, Value> {
    let mut networks = Map::new();
    networks.insert("lo".into(), network("loopback", "127.0.0.1/32"));
    networks.insert("default".into(), network("bridge", "10.22.0.0/16"));
    let sections = node.node.sections().chain(node.cluster.ini().sections());
    for name in sections.filter_map(|section| section.strip_prefix("network#")) {
        let get = |keyword: &str| node.get(&format!("network#{name}.{keyword}"));
        let kind = get("type").unwrap_or_else(|| "bridge".into());
        networks.insert(name.to_owned(), network(&kind, &get("network").unwrap_or_default()));
    }
    networks
}

/// A network; no address of it is known to be in use.
fn network(kind: &str, range: &str) -> Value {
    let size = || {
        let (address, bits) = range.split_once('/')?;
        let bits: u32 = bits.parse().ok()?;
        let all: u32 = if address.contains(':') { 128 } else { 32 };
        Some(1_u64.checked_shl(all.checked_sub(bits)?).unwrap_or(u64::MAX))
    };
    let size = size().unwrap_or(0);
    json!({
        "type": kind,
        "network": range,
        "size": size,
        "ips": [],
        "used": 0,
        "free": size,
        "pct": 0.0,
    })
}

/// GET `keywords` of a kind.
pub(super) fn keywords(kind: &str) -> Outcome {
    match Kind::from_word(kind) {
        Some(kind) => conf::keyword_list(kind).into(),
        None => refusal(500, format!("unknown kind: {}", shorten(kind))).into(),
    }
}

/// GET `catalogs`: templates come from a collector, which this daemon does not ask.
pub(super) fn catalogs() -> Outcome {
    json!([]).into()
}

/// GET `templates` of a catalog.
pub(super) fn templates(catalog: &str) -> Outcome {
    refusal(404, format!("catalog {} not found", shorten(catalog))).into()
}

/// GET `template` of a catalog.
pub(super) fn template(catalog: &str, _template: &str) -> Outcome {
    templates(catalog)
}

/// GET `object_confirmations`: the tasks that run only when told so.
pub(super) fn confirmations(context: &Context, path: &str) -> Outcome {
    let path = match context.known_object(path) {
        Ok(path) => path,
        Err(refusal) => return refusal.into(),
    };
    let config = context.config();
    let rids: Vec<String> = config.objects.get(&path).map_or_else(Vec::new, |object| {
        let conf = object.conf();
        let tasks = conf.ini().sections().filter(|section| section.starts_with("task#"));
        tasks
            .filter(|rid| {
                let section = conf.section(&config.context, rid);
                section.bool("confirmation").unwrap_or(false)
            })
            .map(str::to_owned)
            .collect()
    });
    wire::reply::data(rids).into()
}

/// GET `object_enter`: a terminal in a resource needs `gotty`, which is not part of this agent.
pub(super) fn enter(context: &Context, path: &str) -> Outcome {
    match context.known_object(path) {
        Ok(path) => {
            let error = format!("no terminal in {path}: gotty is not installed");
            refusal(500, error).into()
        }
        Err(refusal) => refusal.into(),
    }
}

/// POST `collector_xmlrpc`: queued for the collector, if there is one.
pub(super) fn collector_xmlrpc(context: &Context) -> Outcome {
    if context.config().node.dbopensvc.is_some() {
        return refusal(1, "this daemon does not pass calls on to the collector").into();
    }
    // Deployed agents say the same, and drop the call when there is no collector to send it to.
    json!({"status": 0, "info": ["collector rpc queued"]}).into()
}

/// GET `daemon_mutex`: state has one owner here, there is no lock to show.
pub(super) fn mutexes() -> Outcome {
    json!({"status": 0, "data": {}}).into()
}

/// The requests of the drbd driver, which this agent does not have.
pub(super) fn drbd() -> Outcome {
    refusal(501, "driver disk.drbd is not supported").into()
}
