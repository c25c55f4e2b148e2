//! Requests for other nodes: fanned out to all at once, each with its deadline (src/wire/README.md, Replies).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use conf::NodeSelector;
use futures_util::future::join_all;
use model::{NodeName, ObjectPath};
use serde_json::Value;
use wire::reply::{NodeReply, Part, status_of};
use wire::{Action, NodeSpec, Prepared, Request};

use dataset::config::LoadedObject;
use dataset::shared_map::SharedMap;
use dataset::snapshot::{NodeEntry, Snapshot};
use mail::peers::{AskPeer, AskText};
use mail::requests::{Caller, Outcome, Refused, Transport};

use crate::context::{Context, prepared, selecting};
use crate::forwarding::Forwarded;
use crate::streams;

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
async fn selected(context: &Context, selector: &str) -> Result<Vec<String>, Refused> {
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
    selecting(expand).await?.map_err(|error| Refused::new(400, error.to_string()))
}

/// The nodes that a request goes to; none when its selector means no node.
async fn nodes(
    context: &Context,
    spec: &NodeSpec,
    path: Option<&str>,
) -> Result<Option<Vec<String>>, Refused> {
    let (snapshot, config) = (context.snapshot(), context.config());
    let local = context.mail.nodename.to_string();
    let path = path.map(ObjectPath::parse);
    let has = |node: &str| match (&path, NodeName::new(node)) {
        (None, _) => true,
        (Some(Ok(path)), Ok(node)) => has_object(&snapshot, &config.objects, &node, path),
        (Some(_), _) => false,
    };
    let too_many = || Refused::new(400, format!("more than {MOST_NODES} nodes"));
    let selected = match spec {
        NodeSpec::Any if path.is_none() => return Ok(Some(vec![local])),
        NodeSpec::Any if has(&local) => return Ok(Some(vec![local])),
        NodeSpec::Any => {
            let known = snapshot.nodes().keys().map(ToString::to_string);
            let node = known.into_iter().find(|node| has(node));
            let unknown = || Refused::new(1, "unknown service");
            return node.map(|node| Some(vec![node])).ok_or_else(unknown);
        }
        NodeSpec::Names(names) if names.len() > MOST_NODES => return Err(too_many()),
        // Names of nodes have no case.
        NodeSpec::Names(names) => names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        NodeSpec::Selector(selector) => selected(context, selector).await?,
    };
    if selected.len() > MOST_NODES {
        return Err(too_many());
    }
    if selected.is_empty() {
        return Ok(None);
    }
    Ok(Some(selected.into_iter().filter(|node| has(node)).collect()))
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
        mail: context.mail.clone(),
        caller: Caller {
            nodename: context.mail.nodename.clone(),
            addr: None,
            transport: Transport::Unix,
            clustername_is_join: false,
            user: context.caller.user.clone(),
            purse: context.caller.purse.clone(),
        },
        answer: context.answer,
    };
    match (here.answer)(&here, request).await {
        Outcome::Json(reply) => {
            let status = status_of(&reply);
            match prepared(reply).await {
                Ok(body) => Part::new(status, body),
                Err(not_now) => Part::of(&Refused::from(not_now).to_reply()),
            }
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
    let answer = mail::peers::ask(&context.mail.peers, AskText(ask)).await;
    answer.unwrap_or_else(|error| Part::of(&error.to_reply()))
}

/// Sends a request to the nodes it is for, and joins their replies.
pub(super) async fn fan_out(context: &Context, request: &Request) -> Result<Outcome, Refused> {
    let Some(spec) = &request.node else { return Ok((context.answer)(context, request).await) };
    let options = request.action.to_options();
    let path = options.get("path").and_then(Value::as_str);
    let Some(nodes) = nodes(context, spec, path).await? else {
        return Ok(wire::reply::info("empty node selection").into());
    };
    if request.action.route().is_stream {
        return streams::follow(context, request, nodes).await;
    }
    let is_repeatable = request.action.route().method == "GET";
    let message = prepared(request.to_peer_value()).await?;
    let patience = patience(request);
    let forwarded = Forwarded::of(context, request).await;
    let asked = nodes.into_iter().map(|nodename| {
        let (message, forwarded) = (&message, &forwarded);
        async move {
            let is_local = nodename == context.mail.nodename.as_str();
            let awaited = match forwarded {
                Some(forwarded) if !is_local => forwarded.await_at(context, &nodename).await,
                _ => Ok(()),
            };
            let reply = match awaited {
                _ if is_local => ask_here(context, request).await,
                Ok(()) => ask_peer(context, &nodename, message, is_repeatable, patience).await,
                Err(refused) => Part::of(&refused.to_reply()),
            };
            NodeReply { nodename, is_local, reply }
        }
    });
    Ok(Outcome::Prepared(Arc::new(wire::reply::fanned_out(join_all(asked).await))))
}
