//! The cluster data, whole or in parts.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Kind, ObjectPath};
use serde_json::{Map, Value, json};
use wire::{
    AskFull as AskFullOptions, DaemonStatus, GetObjectMonitor, ObjectSelector, ObjectStatus,
};

use super::selection::{Scope, select};
use super::{Context, NotNow, Outcome, refusal};
use crate::cluster_data::AskFull;

fn prepared(text: String) -> Outcome {
    Outcome::Prepared(Arc::new(wire::Prepared::from_json(text.into_bytes())))
}

/// GET `daemon_status`.
pub(super) async fn daemon_status(context: &Context, options: &DaemonStatus) -> Outcome {
    let is_whole = matches!(options.selector.as_deref(), None | Some("**"));
    if is_whole && options.namespace.is_none() {
        return Outcome::Prepared(context.snapshot().prepared().clone());
    }
    let (scope, snapshot, options) = (Scope::new(context), context.snapshot(), options.clone());
    let text = super::selecting(move || {
        let selected =
            scope.select(options.selector.as_deref(), options.namespace.as_deref(), None)?;
        let selected: BTreeSet<ObjectPath> = if options.relatives {
            scope.with_relatives(selected)
        } else {
            selected.into_iter().collect()
        };
        Ok::<Outcome, Value>(prepared(snapshot.status_text(Some(&|path| selected.contains(path)))))
    });
    match text.await {
        Ok(Ok(status)) => status,
        Ok(Err(refusal)) => refusal.into(),
        Err(not_now) => not_now.into(),
    }
}

/// GET `object_status`: the aggregate of an object, and its instances. Unknown objects have none.
pub(super) fn object_status(context: &Context, options: &ObjectStatus) -> Outcome {
    match ObjectPath::parse(&options.path) {
        Ok(path) => context.snapshot().object_status(&path).into(),
        Err(_) => json!({"nodes": {}}).into(),
    }
}

/// GET `object_monitor`, `get_service_monitor`: the monitor of the local instance.
pub(super) fn object_monitor(context: &Context, options: &GetObjectMonitor) -> Outcome {
    let path = match context.known_object(&options.path) {
        Ok(path) => path,
        Err(refusal) => return refusal.into(),
    };
    let monitor = context
        .snapshot()
        .local_instance(&path)
        .and_then(|instance| instance.monitor.clone())
        .unwrap_or_default();
    json!({"status": 0, "data": monitor}).into()
}

/// GET `object_selector`: the paths selected; none without a selector.
pub(super) async fn object_selector(context: &Context, options: &ObjectSelector) -> Outcome {
    let Some(selector) = &options.selector else { return json!([]).into() };
    let kind = match options.kind.as_deref().map(|word| (word, Kind::from_word(word))) {
        None => None,
        Some((_, Some(kind))) => Some(kind),
        Some((word, None)) => {
            return refusal(400, format!("unknown kind: {}", super::shorten(word))).into();
        }
    };
    match select(context, Some(selector), options.namespace.as_deref(), kind).await {
        Ok(paths) => json!(paths).into(),
        Err(refusal) => refusal.into(),
    }
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
    let data: Map<String, Value> =
        snapshot.cluster().nodes.iter().map(|node| (node.to_string(), info(node))).collect();
    json!({"status": 0, "data": data}).into()
}

/// POST `ask_full`: the local node wants all data of a peer.
pub(super) fn ask_full(context: &Context, options: &AskFullOptions) -> Outcome {
    let Some(peer) = &options.peer else {
        return refusal(400, "The 'peer' option must be set").into();
    };
    if context.routes.nodename.as_str().eq_ignore_ascii_case(peer) {
        return refusal(400, "Can't ask a full from ourself").into();
    }
    let snapshot = context.snapshot();
    let Some(node) =
        snapshot.cluster().nodes.iter().find(|node| node.as_str().eq_ignore_ascii_case(peer))
    else {
        let peer = super::shorten(peer);
        let error = format!("Can't ask a full from {peer}: not in cluster.nodes");
        return refusal(400, error).into();
    };
    if context.routes.cluster_data.try_send(AskFull(node.clone())).is_err() {
        return NotNow.into();
    }
    json!({"status": 0, "info": format!("remote {peer} asked for a full")}).into()
}
