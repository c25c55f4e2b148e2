//! What a node offers: who one is, schedules, pools, networks, keywords, templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use conf::Book;
use model::{Kind, Schedule};
use serde_json::{Map, Value, json};
use wire::{Keywords, Pools, Prepared, Schedules};

use files::networks::networks_of;
use files::pool;
use files::pool::{PoolState, describe};
use mail::requests::{Outcome, Refused};
use mail::scheduler::ListSchedules;

use crate::context::{Context, blocking, shorten};
use crate::selection::select;

/// GET `whoami`: who knows the secret of the cluster, or has the rights of root, is root.
pub(super) fn whoami(context: &Context) -> Outcome {
    Outcome::Prepared(Arc::new(Prepared::new(&context.caller.user.whoami(&context.namespaces()))))
}

/// GET `authinfo`: certificates are not told of, as deployed agents do not.
pub(super) fn authinfo(context: &Context) -> Outcome {
    let config = context.config();
    let settings = &config.node.listener;
    let Some(well_known) = &settings.openid_well_known else {
        return json!({"methods": ["basic"]}).into();
    };
    let client = settings.openid_client_id.as_ref().unwrap_or(&config.node.cluster_name);
    let openid = json!({"well_known_uri": well_known, "client_id": client});
    json!({"methods": ["basic", "openid"], "openid": openid}).into()
}

/// GET `schedules`.
pub(super) async fn schedules(context: &Context, options: &Schedules) -> Result<Outcome, Refused> {
    let all = context.ask(&context.mail.scheduler, ListSchedules).await?;
    if options.selector.is_none() && options.namespace.is_none() {
        return Ok(wire::reply::data(json!(all)).into());
    }
    let selected =
        select(context, options.selector.as_deref(), options.namespace.as_deref(), None).await?;
    let selected: std::collections::BTreeSet<&str> =
        selected.iter().map(model::ObjectPath::as_str).collect();
    let is_selected = |entry: &Schedule| selected.contains(entry.path.as_str());
    let all: Vec<Schedule> = all.into_iter().filter(is_selected).collect();
    Ok(wire::reply::data(json!(all)).into())
}

/// GET `pools`: `default` and `shm`, which every node has, and those of sections `pool#<name>`.
pub(super) async fn pools(context: &Context, options: &Pools) -> Result<Outcome, Refused> {
    let config = context.config();
    let mut pools = pool::pools(&config.node.conf, &context.mail.paths);
    if let Some(name) = &options.name {
        pools.retain(|pool| pool.name == *name);
    }
    let read = blocking(move || {
        json!(pools.iter().map(describe).collect::<BTreeMap<String, PoolState>>())
    });
    Ok(read.await?.into())
}

/// GET `networks`: `lo` and `default`, which every node has, and those of sections `network#<name>`.
pub(super) fn networks(context: &Context) -> Outcome {
    json!(networks_of(&context.config().node.conf)).into()
}

/// GET `keywords` of a kind of object, or of the node.
pub(super) fn keywords(options: &Keywords) -> Result<Outcome, Refused> {
    let Keywords { kind, section, option } = options;
    let book = match Kind::from_word(kind) {
        Some(kind) => Book::Object(kind),
        None if kind == "node" => Book::Node,
        None => return Err(Refused::new(500, format!("unknown kind: {}", shorten(kind)))),
    };
    let listed = book.listed_in(section.as_deref(), option.as_deref());
    listed.map(|listed| Value::Object(listed).into()).ok_or_else(|| {
        let words = [section, option].into_iter().flatten().map(|word| shorten(word));
        let words = words.collect::<Vec<_>>().join(".");
        Refused::new(404, format!("{kind} has no keyword {words}"))
    })
}

/// GET `catalogs`: templates come from a collector, which this daemon does not ask.
pub(super) fn catalogs() -> Outcome {
    json!([]).into()
}

/// GET `object_confirmations`: the tasks that run only when told so.
pub(super) async fn confirmations(context: &Context, path: &str) -> Result<Outcome, Refused> {
    let path = context.known_object(path).await?;
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
    Ok(wire::reply::data(rids).into())
}

/// GET `object_enter`: a terminal in a resource needs `gotty`, which is not part of this agent.
pub(super) async fn enter(context: &Context, path: &str) -> Result<Outcome, Refused> {
    let path = context.known_object(path).await?;
    Err(Refused::new(500, format!("no terminal in {path}: gotty is not installed")))
}

/// POST `collector_xmlrpc`: queued for the collector, if there is one.
pub(super) fn collector_xmlrpc(context: &Context) -> Result<Outcome, Refused> {
    if context.config().node.dbopensvc.is_some() {
        return Err(Refused::new(1, "this daemon does not pass calls on to the collector"));
    }
    // Deployed agents say the same, and drop the call when there is no collector to send it to.
    Ok(wire::reply::info(vec!["collector rpc queued"]).into())
}

/// GET `daemon_mutex`: state has one owner here, there is no lock to show.
pub(super) fn mutexes() -> Outcome {
    wire::reply::data(Map::new()).into()
}
