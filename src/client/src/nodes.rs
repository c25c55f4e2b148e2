//! The nodes of the cluster, as the daemon knows them.

use cli::Target;
use link::link::Link;
use link::link::error::AskError;
use serde_json::Value;
use wire::{NodeSpec, Request};

use crate::known;
use crate::om::{ANSWER, Failure, Om};

/// Names of the cluster nodes, as configured.
pub(crate) fn members(om: &Om) -> Result<Vec<String>, Failure> {
    let settings = files::load::load_node(&om.paths, om.nodename.clone())?;
    Ok(settings.nodes.iter().map(ToString::to_string).collect())
}

/// The same, as the daemon of another node knows them.
pub(crate) fn members_of(link: &Link) -> Result<Vec<String>, Failure> {
    let data = known::status(link, None, None)?;
    let nodes = data.pointer("/cluster/nodes").and_then(Value::as_array);
    Ok(nodes.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// The nodes of a selector, as the daemon expands it: it answers for each.
pub(crate) fn expand(link: &Link, selector: &str) -> Vec<String> {
    let is_name = !selector.contains([' ', '*', '?', '=', ',', '+', ':', '!', '[']);
    if is_name {
        return vec![selector.to_owned()];
    }
    let request =
        Request::new(wire::BlacklistStatus {}).on(NodeSpec::Selector(selector.to_owned()));
    match link.ask(&request, Some(ANSWER)) {
        Ok(reply) => reply
            .get("nodes")
            .and_then(Value::as_object)
            .map(|nodes| nodes.keys().cloned().collect())
            .unwrap_or_default(),
        // Words of their own, when nobody can tell more: a pattern is no name.
        Err(_) => {
            let words = selector.split([' ', ',']).filter(|name| !name.is_empty());
            let is_name = |word: &&str| !word.contains(['*', '?', '=', '+', ':', '!', '[']);
            words.filter(is_name).map(str::to_owned).collect()
        }
    }
}

/// The nodes that a command looks at: those of its selector, its server, or this one.
pub(crate) fn meant(
    om: &Om,
    target: &Target,
    server: Option<&str>,
) -> Result<Vec<String>, Failure> {
    match (target, server) {
        (Target::Nodes(selector), _) => {
            let names = selected(om, &om.link(server)?, server, selector)?;
            match names.is_empty() {
                true => Err(Failure::new("no node is selected: `om node ls` lists them")),
                false => Ok(names),
            }
        }
        (Target::Default | Target::Local, Some(server)) => Ok(vec![server.to_owned()]),
        (Target::Default | Target::Local, None) => Ok(vec![om.nodename.to_string()]),
    }
}

/// The members that a selector means: by the daemon, or as configured where none runs here.
pub(crate) fn selected(
    om: &Om,
    link: &Link,
    server: Option<&str>,
    selector: &str,
) -> Result<Vec<String>, Failure> {
    let request =
        Request::new(wire::BlacklistStatus {}).on(NodeSpec::Selector(selector.to_owned()));
    let is_down = matches!(link.ask(&request, Some(ANSWER)), Err(AskError::NotRunning(_)));
    if server.is_none() && is_down {
        let settings = files::load::load_node(&om.paths, om.nodename.clone())?;
        let context = files::context::context(&om.paths, &settings);
        let names = context.node_selector().expand(selector);
        return Ok(names.iter().map(ToString::to_string).collect());
    }
    let known = if server.is_some() { members_of(link)? } else { members(om)? };
    let is_known = |name: &String| known.iter().any(|known| known.eq_ignore_ascii_case(name));
    let (names, strange): (Vec<_>, Vec<_>) = expand(link, selector).into_iter().partition(is_known);
    match strange.first() {
        Some(name) => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            Err(Failure::new(crate::tips::no_such_node(name, &known)))
        }
        None => Ok(names),
    }
}
