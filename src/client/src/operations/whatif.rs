//! `om cluster whatif`, `om node drain --dry-run`: what would become of the services.

use std::collections::BTreeSet;

use cli::WhatIfCommand;
use link::link::Link;
use model::WhatIf;
use serde_json::{Value, json};
use wire::Request;
use wire::reply::{Lines, status_of};

use crate::known;
use crate::nodes::selected;
use crate::om::{ANSWER, Done, Failure, Om};

/// How long a daemon may take: it plays the whole cluster through.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Tells what would become of the services if nodes died. The exit code is 1 where one would be without a place.
pub(crate) fn run(om: &Om, command: &WhatIfCommand) -> Done {
    let server = command.server.as_deref();
    let link = om.link(server)?;
    let down = selected(om, &link, server, &command.down)?;
    if down.is_empty() {
        return Err(Failure::new("no node is selected: `om node ls` lists them"));
    }
    show(om, &ask(&link, &[], &down)?)
}

/// The same for nodes that are drained.
pub(crate) fn drained(om: &Om, link: &Link, nodes: &[String]) -> Done {
    show(om, &ask(link, nodes, &[])?)
}

fn show(om: &Om, foretold: &WhatIf) -> Done {
    om.show(&json!(foretold), |_| cli::render::what_if(foretold).to_string());
    Ok(u8::from(foretold.without_place().next().is_some()))
}

/// Asks a daemon, and for the objects that it has no instance of, nodes that have.
pub(super) fn ask(link: &Link, drain: &[String], down: &[String]) -> Result<WhatIf, Failure> {
    let mut foretold = ask_one(link, drain, down)?;
    let data = known::status(link, None, None)?;
    for node in holders(&data, foretold.node.as_str()) {
        let other = ask_one(&link.to_node(&node), drain, down);
        match other {
            Ok(other) => foretold.merge(other),
            // A deployed agent, or one that is about to go.
            Err(failure) => {
                let why = failure.lines.first().map_or("no answer", String::as_str);
                crate::om::note(&format!(
                    "what becomes of the services that {} has no instance of is not known: {node}: {why}",
                    foretold.node
                ));
            }
        }
    }
    Ok(foretold)
}

/// Nodes that have, together, instances of the objects that one has none of.
fn holders(data: &Value, asked: &str) -> Vec<String> {
    let instances = |node: &Value| -> BTreeSet<String> {
        let instances = node.pointer("/services/status").and_then(Value::as_object);
        let paths = instances.into_iter().flatten().map(|(path, _)| path.clone());
        let has_instances = |path: &String| {
            model::ObjectPath::parse(path).is_ok_and(|path| path.kind().has_instances())
        };
        paths.filter(has_instances).collect()
    };
    let nodes = data["monitor"]["nodes"].as_object();
    let all: Vec<(&String, BTreeSet<String>)> =
        nodes.into_iter().flatten().map(|(name, node)| (name, instances(node))).collect();
    let own = all.iter().find(|(name, _)| *name == asked).map(|(_, own)| own.clone());
    let own = own.unwrap_or_default();
    let mut open: BTreeSet<String> = all.iter().flat_map(|(_, paths)| paths.clone()).collect();
    open.retain(|path| !own.contains(path));
    let mut holders = vec![];
    for (name, paths) in all {
        if open.iter().any(|path| paths.contains(path)) {
            open.retain(|path| !paths.contains(path));
            holders.push(name.clone());
        }
    }
    holders
}

fn ask_one(link: &Link, drain: &[String], down: &[String]) -> Result<WhatIf, Failure> {
    let request = Request::new(wire::ClusterWhatIf { drain: drain.to_vec(), down: down.to_vec() });
    let reply = link.ask(&request, Some(PATIENCE.max(ANSWER)))?;
    if status_of(&reply) != 0 {
        return Err(Failure { lines: Lines::of(&reply).errors, code: 1 });
    }
    serde_json::from_value(reply["data"].clone())
        .map_err(|error| Failure::new(format!("answer not understood: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_asked_for_what_the_first_one_has_not() {
        let node = |paths: &[&str]| {
            let paths = paths.iter().map(|path| ((*path).to_owned(), json!({})));
            json!({"services": {"status": paths.collect::<serde_json::Map<_, _>>()}})
        };
        let data = json!({"monitor": {"nodes": {
            "n1": node(&["web", "cfg/c1"]), "n2": node(&["web", "db", "cfg/c2"]),
            "n3": node(&["db"]), "n4": node(&["db", "api"]),
        }}});
        assert_eq!(holders(&data, "n1"), ["n2", "n4"]);
        assert_eq!(holders(&data, "n4"), ["n1"]);
        assert_eq!(holders(&json!({}), "n1"), [""; 0]);
    }
}
