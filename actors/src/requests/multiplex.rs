//! Requests for other nodes: fanned out to all at once, each with its deadline (src/wire/README.md, Replies).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use conf::NodeSelector;
use futures_util::future::join_all;
use model::{NodeName, ObjectPath};
use serde_json::{Value, json};
use wire::reply::{NodeReply, Part, status_of};
use wire::{Action, NodeSpec, Prepared, Request};

use super::forwarding::Forwarded;
use super::{Caller, Context, Outcome, Transport, answer, prepared, refusal};
use crate::cluster_data::{NodeEntry, SharedMap, Snapshot};
use crate::config::LoadedObject;
use crate::peer::{self, AskPeer, AskText};

/// Longest wait for a peer to answer what costs it nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// Most nodes that one request goes to.
const MOST_NODES: usize = 1_000;

/// Longest wait for a peer to run an action.
const ACTION_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Whether a node has an instance or a configuration of an object. Of a member that is lost nothing is known but what
/// the object's own configuration says; it answers by being unreachable.
fn has_object(
    snapshot: &Snapshot,
    objects: &SharedMap<LoadedObject>,
    node: &NodeName,
    path: &ObjectPath,
) -> bool {
    if snapshot.nodes().contains_key(node) {
        return snapshot.instance(node, path).is_some() || snapshot.config(node, path).is_some();
    }
    let is_in_scope = objects
        .get(path)
        .is_none_or(|object| object.scope.is_empty() || object.scope.contains(node));
    snapshot.cluster().nodes.contains(node) && is_in_scope
}

/// The nodes that a node selector means: found outside of the arbiter, few selectors at a time.
async fn selected(context: &Context, selector: &str) -> Result<Vec<String>, Value> {
    let (snapshot, config, selector) = (context.snapshot(), context.config(), selector.to_owned());
    let expand = move || {
        // A member that is lost is one nevertheless: to leave it out would say that all is well.
        let members: BTreeSet<&NodeName> =
            snapshot.nodes().keys().chain(&snapshot.cluster().nodes).collect();
        let nodes: Vec<NodeName> = members.into_iter().cloned().collect();
        let mut labels = (*config.context.labels).clone();
        let told =
            |(node, entry): (&NodeName, &Arc<NodeEntry>)| (node.clone(), entry.data.labels.clone());
        labels.extend(snapshot.nodes().iter().map(told));
        NodeSelector { nodes: &nodes, labels: &labels, is_live: true }.try_expand(&selector)
    };
    let expanded = super::selecting(expand).await.map_err(Value::from)?;
    expanded.map_err(|error| refusal(400, error.to_string()))
}

/// The nodes that a request goes to, or the reply when there is none.
async fn nodes(
    context: &Context,
    spec: &NodeSpec,
    path: Option<&str>,
) -> Result<Vec<String>, Value> {
    let (snapshot, config) = (context.snapshot(), context.config());
    let local = context.routes.nodename.to_string();
    let path = path.map(ObjectPath::parse);
    let has = |node: &str| match (&path, NodeName::new(node)) {
        (None, _) => true,
        (Some(Ok(path)), Ok(node)) => has_object(&snapshot, &config.objects, &node, path),
        (Some(_), _) => false,
    };
    let selected = match spec {
        NodeSpec::Any if path.is_none() => return Ok(vec![local]),
        NodeSpec::Any if has(&local) => return Ok(vec![local]),
        NodeSpec::Any => {
            let known = snapshot.nodes().keys().map(ToString::to_string);
            return match known.into_iter().find(|node| has(node)) {
                Some(node) => Ok(vec![node]),
                None => Err(json!({"error": "unknown service", "status": 1})),
            };
        }
        NodeSpec::Names(names) if names.len() > MOST_NODES => {
            return Err(refusal(400, format!("more than {MOST_NODES} nodes")));
        }
        // Names of nodes have no case.
        NodeSpec::Names(names) => names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        NodeSpec::Selector(selector) => selected(context, selector).await?,
    };
    if selected.len() > MOST_NODES {
        return Err(refusal(400, format!("more than {MOST_NODES} nodes")));
    }
    if selected.is_empty() {
        return Err(json!({"info": "empty node selection", "status": 0}));
    }
    Ok(selected.into_iter().filter(|node| has(node)).collect())
}

fn patience(request: &Request) -> Duration {
    match &request.action {
        Action::ObjectAction(options) if options.sync => ACTION_PATIENCE,
        Action::NodeAction(options) if options.sync => ACTION_PATIENCE,
        Action::DaemonShutdown(_) | Action::NodeDrain(_) => ACTION_PATIENCE,
        Action::Wait(options) => options.duration.min(Duration::from_secs(30)) + PATIENCE,
        Action::Sync(options) => options.timeout.min(Duration::from_secs(600)) + PATIENCE,
        Action::Lock(options) => options.timeout.min(Duration::from_secs(3600)) + PATIENCE,
        Action::Unlock(options) => options.timeout.min(Duration::from_secs(3600)) + PATIENCE,
        Action::Join(_) => Duration::from_secs(150),
        _ => PATIENCE,
    }
}

/// The part of the local node: asked under its own name.
pub(super) async fn ask_here(context: &Context, request: &Request) -> Part {
    let here = Context {
        routes: context.routes.clone(),
        caller: Caller {
            nodename: context.routes.nodename.clone(),
            addr: None,
            transport: Transport::Unix,
            clustername_is_join: false,
            purse: context.caller.purse.clone(),
        },
    };
    // A request that is fanned out is never fanned out again, so the future does not hold itself.
    match Box::pin(answer(&here, request)).await {
        Outcome::Json(reply) => {
            let status = status_of(&reply);
            prepared(reply)
                .await
                .map_or_else(|not_now| Part::of(&not_now.into()), |body| Part::new(status, body))
        }
        Outcome::Prepared(body) => Part::prepared(body),
        // Streams of several nodes do not fit in one reply.
        Outcome::Stream(_) | Outcome::Nothing => Part::of(&Value::Null),
    }
}

/// The part of a peer. Whatever becomes of it is a reply, never later than `patience`.
pub(super) async fn ask_peer(
    context: &Context,
    nodename: &str,
    request: &Arc<Prepared>,
    is_repeatable: bool,
    patience: Duration,
) -> Part {
    let peer = match NodeName::new(nodename) {
        Ok(peer) => peer,
        Err(error) => return Part::of(&wire::reply::unreachable(&error.to_string(), None, false)),
    };
    let ask = AskPeer {
        peer,
        request: request.clone(),
        is_repeatable,
        patience,
        address: None,
        purse: context.caller.purse.clone(),
        generation: None,
    };
    let answer = peer::ask(&context.routes.peers, AskText(ask)).await;
    answer.unwrap_or_else(|error| Part::of(&error.to_reply()))
}

/// Sends a request to the nodes it is for, and joins their replies.
pub(super) async fn fan_out(context: &Context, request: &Request) -> Outcome {
    if request.action.route().is_stream {
        return Outcome::Nothing;
    }
    let Some(spec) = &request.node else { return answer(context, request).await };
    let options = request.action.to_options();
    let path = options.get("path").and_then(Value::as_str);
    let nodes = match nodes(context, spec, path).await {
        Ok(nodes) => nodes,
        Err(reply) => return reply.into(),
    };
    let is_repeatable = request.action.route().method == "GET";
    let message = match prepared(request.to_peer_value()).await {
        Ok(message) => message,
        Err(not_now) => return not_now.into(),
    };
    let patience = patience(request);
    let forwarded = Forwarded::of(context, request).await;
    let asked = nodes.into_iter().map(|nodename| {
        let (message, forwarded) = (&message, &forwarded);
        async move {
            let is_local = nodename == context.routes.nodename.as_str();
            let awaited = match forwarded {
                Some(forwarded) if !is_local => forwarded.await_at(context, &nodename).await,
                _ => Ok(()),
            };
            let reply = match awaited {
                _ if is_local => ask_here(context, request).await,
                Ok(()) => ask_peer(context, &nodename, message, is_repeatable, patience).await,
                Err(reply) => Part::of(&reply),
            };
            NodeReply { nodename, is_local, reply }
        }
    });
    Outcome::Prepared(Arc::new(wire::reply::fanned_out(join_all(asked).await)))
}
