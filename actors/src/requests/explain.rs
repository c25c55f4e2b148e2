//! Why an object is where it is, and what would happen to it: a request of ours (README).

use std::sync::Arc;

use model::{NodeMonitorStatus, NodeName, ObjectPath};
use monitor::{Facts, ObjectRequest};
use serde_json::Value;
use wire::{ObjectExplain, Prepared, Request};

use super::{Context, Outcome, blocking, multiplex, refusal, shorten};
use crate::clock::now;
use crate::cluster_data::{Snapshot, View};
use crate::config::LoadedConfig;
use crate::node_monitor;

/// GET `object_explain`: from what this node knows; a node without the configuration of the object asks one that has it.
pub(super) async fn explain(
    context: &Context,
    options: &ObjectExplain,
    is_forwarded: bool,
) -> Outcome {
    let path = match context.known_object(&options.path) {
        Ok(path) => path,
        Err(refusal) => return refusal.into(),
    };
    let (snapshot, config) = (context.snapshot(), context.config());
    if !config.objects.contains_key(&path) {
        return match holder(&snapshot, &path).filter(|_| !is_forwarded) {
            Some(node) => forward(context, &node, options).await,
            None => {
                refusal(404, format!("{} is not configured here", shorten(&options.path))).into()
            }
        };
    }
    let target = options.global_expect.clone();
    // Some milliseconds at worst, for objects that many others name: not on the arbiter of the connection.
    let explained = blocking(move || explain_here(&snapshot, &config, &path, target)).await;
    match explained {
        Ok(data) => wire::reply::data(data).into(),
        Err(not_now) => not_now.into(),
    }
}

/// A node that has the configuration of an object.
fn holder(snapshot: &Snapshot, path: &ObjectPath) -> Option<NodeName> {
    let has = |node: &&NodeName| snapshot.config(node, path).is_some();
    snapshot.nodes().keys().find(has).cloned()
}

async fn forward(context: &Context, node: &NodeName, options: &ObjectExplain) -> Outcome {
    let request = Request::new(options.clone()).to_peer_value();
    let request = Arc::new(Prepared::new(&request));
    let part =
        multiplex::ask_peer(context, node.as_str(), &request, true, multiplex::PATIENCE).await;
    Outcome::Prepared(part.body().clone())
}

fn explain_here(
    snapshot: &Snapshot,
    config: &LoadedConfig,
    path: &ObjectPath,
    target: Option<String>,
) -> Value {
    let local = snapshot.local().and_then(|entry| entry.data.monitor.as_ref());
    let is_joining = local.is_some_and(|monitor| {
        matches!(monitor.status, NodeMonitorStatus::Init | NodeMonitorStatus::Rejoin)
    });
    let view = View::new(snapshot, config, is_joining);
    if let Some(target) = target {
        let request = ObjectRequest {
            path: path.to_string(),
            global_expect: Some(target),
            ..ObjectRequest::default()
        };
        let forecast = monitor::forecast(&view, now(), path, Some(&request));
        return serde_json::to_value(forecast).expect("keys are texts and numbers finite");
    }
    let timing = node_monitor::timing(config);
    let facts = Facts {
        grace_left_secs: started(snapshot)
            .filter(|_| is_joining)
            // A clock that was set back tells nothing of it: as if it had just started.
            .map(|started| timing.grace_left_secs(now().since(started).max(0.0), &view)),
        maintenance_grace_secs: config.node.maintenance_grace_period.as_secs_f64(),
    };
    let explanation = monitor::explain(&view, now(), path, &facts);
    serde_json::to_value(explanation).expect("keys are texts and numbers finite")
}

/// When the node monitor started, from which its grace period counts.
fn started(snapshot: &Snapshot) -> Option<model::Timestamp> {
    let created = snapshot.threads().get("monitor")?.get("created")?.as_f64()?;
    Some(model::Timestamp(created))
}
