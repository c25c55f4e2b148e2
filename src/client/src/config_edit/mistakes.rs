//! What an edit may not bring: mistakes that were not there before, and members that it takes out.

use std::collections::BTreeSet;
use std::sync::Arc;

use conf::{Complaint, Context, NodeSettings, Severity};
use files::{context, in_force, load, read};
use model::{NodeName, ObjectPath};
use serde_json::Map;

use crate::config_edit::document::Document;
use crate::known;
use crate::om::{Failure, Om, note};

pub(crate) fn settings(om: &Om) -> Result<NodeSettings, Failure> {
    Ok(load::load_node(&om.paths, om.nodename.clone())?)
}

/// An evaluation context of this node, or of the one to impersonate.
pub(crate) fn context(
    om: &Om,
    settings: &NodeSettings,
    impersonate: Option<&str>,
) -> Result<Context, Failure> {
    let context = context::context(&om.paths, settings);
    match impersonate {
        None => Ok(context),
        Some(node) => {
            let node = NodeName::new(node).map_err(|error| Failure::usage(error.to_string()))?;
            Ok(context.impersonating(&node))
        }
    }
}

/// What forbids the change though the document after it is good. A file that is not in force may be mended: what is in force
/// counts.
pub(crate) fn step_faults(om: &Om, document: &Document, context: &Context) -> Vec<Complaint> {
    let Some(after) = document.node_settings(context) else { return vec![] };
    in_force::load_node_in_force(&om.paths, &om.nodename).step_faults(&after)
}

/// Refuses what takes other members out of the cluster, or the last heartbeat from between them: they would find themselves
/// alone, with their services running.
pub(crate) fn refuse_ejection(
    om: &Om,
    document: &Document,
    context: &Context,
) -> Result<(), Failure> {
    let Some(after) = document.node_settings(context) else { return Ok(()) };
    let in_force = in_force::load_node_in_force(&om.paths, &om.nodename);
    let ejected = in_force.ejected(&after);
    if after.nodes.len() > 1 && after.heartbeats.is_empty() && !in_force.heartbeats.is_empty() {
        return Err(Failure::new(
            "nothing is written: it would leave no heartbeat between the nodes, which would not know of each other any more: \
             add another one first; --force does it all the same",
        ));
    }
    if ejected.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = ejected.iter().map(|node| node.as_str()).collect();
    Err(Failure::new(format!(
        "nothing is written: it would take {} out of the cluster: `om node drain --wait` and `om daemon leave` there do \
         that in order; `set --force` takes out one that is gone",
        names.join(", ")
    )))
}

/// Refuses what was not wrong before: errors, and without `force` mistakes that deployed agents put up with. Tells the rest.
pub(crate) fn refuse_new_mistakes(
    words: &str,
    before: &[Complaint],
    after: &[Complaint],
    force: bool,
) -> Result<(), Failure> {
    let fresh = after.iter().filter(|complaint| !complaint.is_among(before));
    let (refused, others): (Vec<_>, Vec<_>) =
        fresh.partition(|complaint| complaint.is_refused_even(force));
    others.iter().for_each(|complaint| note(&format!("warning: {complaint}")));
    if refused.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = refused.iter().map(ToString::to_string).collect();
    let has_errors = refused.iter().any(|complaint| complaint.severity == Severity::Error);
    lines.push(match has_errors {
        true => format!("nothing is written: the configuration of {words} would be invalid"),
        false => format!("nothing is written: correct it, or have {words} as it is with --force"),
    });
    Err(Failure { lines, code: 1 })
}

/// A context to judge a text in, before it is written: with the objects of the cluster, and those about to be created, where the
/// text may name some.
pub(crate) fn judging<'p>(
    om: &Om,
    context: Context,
    created: impl IntoIterator<Item = &'p ObjectPath>,
    text: &str,
) -> Context {
    let names_objects =
        ["parents", "children", "slaves", "affinity"].iter().any(|keyword| text.contains(keyword));
    if !names_objects {
        return context;
    }
    let mut objects: BTreeSet<ObjectPath> = read::list_objects(&om.paths).into_keys().collect();
    objects.extend(created.into_iter().cloned());
    // Those of other nodes are known to the daemon.
    let status = om.link(None).and_then(|link| known::status(&link, Some("**"), None));
    let status = status.unwrap_or_default();
    let services = status.pointer("/monitor/services").and_then(serde_json::Value::as_object);
    let names = services.into_iter().flat_map(Map::keys);
    objects.extend(names.filter_map(|name| ObjectPath::parse(name).ok()));
    Context { objects: Some(Arc::new(objects)), ..context }
}
