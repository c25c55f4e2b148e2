//! What is there now, without what is to come of it.

use model::{
    Blocker, Candidate, Explanation, NodeName, ObjectPath, PendingTarget, PlacementPolicy, Reason,
    TargetScope, Timestamp,
};
use serde_json::{Value, json};

use crate::explain::summary;
use crate::placement::{Discard, Filters, candidates, discarded, is_leader, ranks};
use crate::world::{ObjectView, Seen, World, live_nodes};

/// Where an object is, and what is waited for, in one sentence.
pub(crate) fn outcome(
    world: &dyn World,
    path: &ObjectPath,
    blockers: &[Blocker],
    now: Timestamp,
) -> String {
    let mut explanation = as_it_is(world, world.local_node(), path);
    explanation.blockers = blockers.to_vec();
    summary::sentence(&explanation, unwatched(world, path), now)
}

/// A resource whose check would tell whether the object is up.
pub(crate) fn unwatched<'w>(world: &'w dyn World, path: &'w ObjectPath) -> Option<&'w str> {
    crate::requests::unwatched(&ObjectView::new(world, path))
}

/// What is there now, without what is to come of it.
pub(crate) fn as_it_is(eyes: &dyn World, local: &NodeName, path: &ObjectPath) -> Explanation {
    let view = ObjectView::new(eyes, path);
    let settings = view.settings;
    let word = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Explanation {
        path: path.clone(),
        node: local.clone(),
        summary: String::new(),
        aggregate: view.aggregate(),
        topology: word(settings.map(|settings| settings.topology.as_str())),
        orchestrate: word(settings.map(|settings| settings.orchestrate.as_str())),
        policy: word(settings.map(|settings| settings.placement.as_str())),
        candidates: explain_candidates(&view),
        targets: targets(&view),
        blockers: vec![],
        timers: vec![],
        next: vec![],
    }
}

fn explain_candidates(view: &ObjectView<'_>) -> Vec<Candidate> {
    let Some(settings) = view.settings else { return vec![] };
    let able = candidates(view, Filters::ALL);
    let ranks = ranks(view, &able);
    let is_outside = |node: &&NodeName| !settings.peers.contains(node);
    // What is down where it should not be any more hurts nobody.
    let is_active = |seen: &&Seen<'_>| {
        matches!(seen.status.avail, Some(model::Status::Up | model::Status::Warn))
    };
    let outside = view.known().filter(is_active).map(|seen| seen.node).filter(is_outside);
    let outside: Vec<&NodeName> = outside
        .filter(|node| !settings.nodes.contains(node) && !settings.drpnodes.contains(node))
        .collect();
    let mut found: Vec<Candidate> = settings
        .peers
        .iter()
        .chain(outside.iter().copied())
        .map(|node| {
            let rank = ranks.iter().position(|ranked| *ranked == node);
            let is_unranked = able.len() > 1 && rank.is_none() && !ranks.is_empty();
            let reason = discarded(view, node, Filters::ALL)
                .or_else(|| is_unranked.then_some(Discard::NoValue))
                .map(|discard| Reason { id: discard.id().to_owned(), text: discard.to_string() });
            let stranger = || Reason {
                id: "out_of_scope".to_owned(),
                text: "none of the nodes of its configuration".to_owned(),
            };
            let reason = if outside.contains(&node) { Some(stranger()) } else { reason };
            let seen = view.on(node);
            Candidate {
                node: node.clone(),
                rank: rank.map(|rank| rank + 1),
                is_leader: is_leader(view, node, &able),
                value: value(view, node),
                discarded: reason,
                avail: seen.and_then(|seen| seen.status.avail.clone()),
                monitor: seen.map(|seen| seen.monitor.clone()),
                last_failure: seen.and_then(|seen| seen.status.last_failure.as_deref().cloned()),
            }
        })
        .collect();
    found.sort_by_key(|candidate| {
        (candidate.discarded.is_some(), candidate.rank.unwrap_or(usize::MAX))
    });
    found
}

/// What the policy compares.
pub(crate) fn value(view: &ObjectView<'_>, node: &NodeName) -> Value {
    let Some(settings) = view.settings else { return Value::Null };
    let stats = view.world.node(node).map(|data| data.stats).unwrap_or_default();
    let place = settings.peers.iter().position(|peer| peer == node).map(|place| place + 1);
    match &settings.placement {
        PlacementPolicy::NodesOrder | PlacementPolicy::Shift => json!(place),
        PlacementPolicy::Score => json!(stats.score),
        PlacementPolicy::LoadAvg => json!(stats.load_15m),
        PlacementPolicy::Spread => {
            let digest = crate::digest::md5_hex(format!("{}{node}", view.path).as_bytes());
            json!(digest.get(..8))
        }
        PlacementPolicy::None | PlacementPolicy::Other(_) => Value::Null,
    }
}

pub(crate) fn targets(view: &ObjectView<'_>) -> Vec<PendingTarget> {
    let mut found: Vec<PendingTarget> = vec![];
    let mut add = |scope, target: String, node: &NodeName, since: Option<Timestamp>| {
        let known = found.iter_mut().find(|known| known.scope == scope && known.target == target);
        let Some(known) = known else {
            let (origin, nodes) = (node.clone(), vec![node.clone()]);
            found.push(PendingTarget { scope, target, origin, since, nodes });
            return;
        };
        known.nodes.push(node.clone());
        // Adopted later than it was set.
        if since.is_some_and(|since| known.since.is_none_or(|known| since < known)) {
            known.origin = node.clone();
            known.since = since;
        }
    };
    for seen in &view.instances {
        if let Some(target) = &seen.monitor.global_expect {
            let since = seen.monitor.global_expect_updated;
            add(TargetScope::Object, target.to_string(), seen.node, since);
        }
    }
    for seen in &view.instances {
        if let Some(target) = &seen.monitor.local_expect {
            let since = seen.monitor.local_expect_updated;
            add(TargetScope::Instance, target.to_string(), seen.node, since);
        }
    }
    let is_ours = |node: &NodeName| view.on(node).is_some();
    for (node, data) in live_nodes(view.world).filter(|(node, _)| is_ours(node)) {
        let Some(monitor) = &data.monitor else { continue };
        if let Some(target) = &monitor.global_expect {
            let since = monitor.global_expect_updated_origin.or(monitor.global_expect_updated);
            add(TargetScope::Node, target.to_string(), node, since);
        }
    }
    found
}
