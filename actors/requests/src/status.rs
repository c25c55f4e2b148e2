//! The cluster data, whole or in parts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mail::cluster_data::AskFull;
use mail::requests::{NotNow, Outcome, Refused};
use model::{Kind, NodeName, ObjectPath};
use serde_json::{Value, json};
use web::filter;
use wire::{
    AskFull as AskFullOptions, DaemonStatus, GetObjectMonitor, ObjectSelector, ObjectStatus,
};

use crate::context::{Context, blocking, selecting, shorten};
use crate::selection::{Scope, select};

/// From so many instances on the whole status is made outside of the arbiter.
const MANY: usize = 200;

fn prepared(text: String) -> Outcome {
    Outcome::Prepared(Arc::new(wire::Prepared::from_json(text.into_bytes())))
}

/// GET `daemon_status`.
pub(super) async fn daemon_status(
    context: &Context,
    options: &DaemonStatus,
) -> Result<Outcome, Refused> {
    let is_whole = matches!(options.selector.as_deref(), None | Some("**"));
    if is_whole && options.namespace.is_none() && context.shows_all() {
        let snapshot = context.snapshot();
        if snapshot.is_prepared() || snapshot.instance_count() < MANY {
            return Ok(Outcome::Prepared(snapshot.prepared().clone()));
        }
        return Ok(Outcome::Prepared(blocking(move || snapshot.prepared().clone()).await?));
    }
    let (scope, snapshot, options) = (Scope::new(context), context.snapshot(), options.clone());
    let user = context.caller.user.clone();
    selecting(move || {
        let selected =
            scope.select(options.selector.as_deref(), options.namespace.as_deref(), None)?;
        let selected: BTreeSet<ObjectPath> = if options.relatives {
            scope.with_relatives(selected)
        } else {
            selected.into_iter().collect()
        };
        if user.grants.is_root() {
            return Ok(prepared(snapshot.status_text(Some(&|path| selected.contains(path)))));
        }
        let keep = |path: &ObjectPath| selected.contains(path) && filter::shows(&user.grants, path);
        let mut data = snapshot.status(Some(&keep));
        filter::status(&mut data);
        Ok(Outcome::Prepared(Arc::new(wire::Prepared::new(&data))))
    })
    .await?
}

/// GET `object_status`: the aggregate of an object, and its instances. Unknown objects have none.
pub(super) fn object_status(context: &Context, options: &ObjectStatus) -> Outcome {
    match ObjectPath::parse(&options.path) {
        Ok(path) => context.snapshot().object_status(&path).into(),
        Err(_) => json!({"nodes": {}}).into(),
    }
}

/// GET `object_monitor`, `get_service_monitor`: the monitor of the local instance.
pub(super) async fn object_monitor(
    context: &Context,
    options: &GetObjectMonitor,
) -> Result<Outcome, Refused> {
    let path = context.known_object(&options.path).await?;
    let monitor = context
        .snapshot()
        .local_instance(&path)
        .and_then(|instance| instance.monitor.clone())
        .unwrap_or_default();
    Ok(json!({"status": 0, "data": monitor}).into())
}

/// GET `object_selector`: the paths selected; none without a selector.
pub(super) async fn object_selector(
    context: &Context,
    options: &ObjectSelector,
) -> Result<Outcome, Refused> {
    let Some(selector) = &options.selector else { return Ok(json!([]).into()) };
    let read = |word: &str| {
        let unknown = || Refused::new(400, format!("unknown kind: {}", shorten(word)));
        Kind::from_word(word).ok_or_else(unknown)
    };
    let kind = options.kind.as_deref().map(read).transpose()?;
    let paths = select(context, Some(selector), options.namespace.as_deref(), kind).await?;
    Ok(json!(paths).into())
}

/// GET `nodes_info`: labels and storage ports of the cluster nodes.
pub(super) fn nodes_info(context: &Context) -> Outcome {
    let snapshot = context.snapshot();
    let info = |node| match snapshot.nodes().get(node) {
        Some(entry) => {
            let targets = &entry.data.targets;
            let targets = if targets.is_null() { json!([]) } else { targets.clone() };
            json!({"labels": entry.data.labels, "targets": targets})
        }
        None => json!({}),
    };
    let nodes = snapshot.cluster().nodes.iter();
    let data: BTreeMap<&NodeName, Value> = nodes.map(|node| (node, info(node))).collect();
    wire::reply::data(json!(data)).into()
}

/// POST `ask_full`: the local node wants all data of a peer.
pub(super) fn ask_full(context: &Context, options: &AskFullOptions) -> Result<Outcome, Refused> {
    let wrong = |error: String| Refused::new(400, error);
    let missing = || wrong("The 'peer' option must be set".to_owned());
    let peer = options.peer.as_ref().ok_or_else(missing)?;
    if context.mail.nodename.as_str().eq_ignore_ascii_case(peer) {
        return Err(wrong("Can't ask a full from ourself".to_owned()));
    }
    let stranger =
        || wrong(format!("Can't ask a full from {}: not in cluster.nodes", shorten(peer)));
    let snapshot = context.snapshot();
    let mut members = snapshot.cluster().nodes.iter();
    let node = members.find(|node| node.as_str().eq_ignore_ascii_case(peer));
    let node = node.ok_or_else(stranger)?;
    context.mail.cluster_data.try_send(AskFull(node.clone())).map_err(|_| NotNow)?;
    Ok(wire::reply::info(format!("remote {peer} asked for a full")).into())
}
