//! Why an object is where it is, and what would happen to it: a request of ours (README).

use std::sync::Arc;

use model::{NodeMonitorStatus, NodeName, ObjectPath, thread};
use monitor::{Facts, ObjectRequest, Outage};
use serde_json::Value;
use wire::{ClusterWhatIf, ObjectExplain, Prepared, Request};

use dataset::config::LoadedConfig;
use dataset::snapshot::Snapshot;
use dataset::view::View;
use machine::clock::now;
use mail::requests::{Outcome, Refused};

use crate::context::{Context, blocking, shorten};
use crate::multiplex;

/// GET `object_explain`: from what this node knows; a node without the configuration of the object asks one that has it.
pub(super) async fn explain(
    context: &Context,
    options: &ObjectExplain,
    is_forwarded: bool,
) -> Result<Outcome, Refused> {
    let path = context.known_object(&options.path).await?;
    let (snapshot, config) = (context.snapshot(), context.config());
    if !config.objects.contains_key(&path) {
        return match holder(&snapshot, &path).filter(|_| !is_forwarded) {
            Some(node) => Ok(forward(context, &node, options).await),
            None => {
                Err(Refused::new(404, format!("{} is not configured here", shorten(&options.path))))
            }
        };
    }
    let target = options.global_expect.clone();
    // Some milliseconds at worst, for objects that many others name: not on the arbiter of the connection.
    let explained = blocking(move || explain_here(&snapshot, &config, &path, target)).await?;
    Ok(wire::reply::data(explained).into())
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

/// GET `cluster_whatif`: of the objects that are configured here.
pub(super) async fn what_if(
    context: &Context,
    options: &ClusterWhatIf,
) -> Result<Outcome, Refused> {
    let (snapshot, config) = (context.snapshot(), context.config());
    let members = config.node.nodes.clone();
    let read = |names: &[String]| {
        let named = |name: &String| {
            let member = members.iter().find(|member| member.as_str().eq_ignore_ascii_case(name));
            let stranger = || format!("{} is no node of the cluster", shorten(name));
            member.cloned().ok_or_else(|| Refused::new(400, stranger()))
        };
        names.iter().map(named).collect::<Result<_, Refused>>()
    };
    let outage = Outage { drained: read(&options.drain)?, down: read(&options.down)? };
    let foretold = blocking(move || {
        let view = View::new(&snapshot, &config, is_joining(&snapshot));
        let foretold = monitor::what_if(&view, now(), &outage);
        serde_json::to_value(foretold).expect("keys are texts and numbers finite")
    });
    Ok(wire::reply::data(foretold.await?).into())
}

fn is_joining(snapshot: &Snapshot) -> bool {
    let local = snapshot.local().and_then(|entry| entry.data.monitor.as_ref());
    local.is_some_and(|monitor| {
        matches!(monitor.status, NodeMonitorStatus::Init | NodeMonitorStatus::Rejoin)
    })
}

fn explain_here(
    snapshot: &Snapshot,
    config: &LoadedConfig,
    path: &ObjectPath,
    target: Option<String>,
) -> Value {
    let is_joining = is_joining(snapshot);
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
    let timing = config.timing();
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
    Some(snapshot.threads().get(thread::MONITOR)?.created)
}
