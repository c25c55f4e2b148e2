//! Words for the rows of holds whose text depends on what they hold.

use std::fmt::Display;

use model::{NodeMonitorStatus, NodeName, Status};

use crate::standing::Standing;

pub(super) fn names(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    names.join(", ")
}

pub(super) fn list(items: &[impl Display]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Nodes, and what each of them is.
pub(super) fn each(nodes: &[(NodeName, impl Display)], is: &str, and: &str) -> String {
    let texts: Vec<String> = nodes.iter().map(|(node, what)| format!("{node}{is}{what}")).collect();
    texts.join(and)
}

/// `is` or `are`.
pub(super) fn be(nodes: &[NodeName]) -> &'static str {
    if nodes.len() == 1 { "is" } else { "are" }
}

/// One peer of these.
pub(super) fn one_of(nodes: &[NodeName]) -> String {
    match nodes {
        [] => "a peer".to_owned(),
        [node] => node.to_string(),
        nodes => format!("one of {}", names(nodes)),
    }
}

pub(super) fn avail(avail: Option<&Status>) -> &str {
    avail.map_or("unknown", Status::as_str)
}

pub(super) fn refused(standing: Standing) -> &'static str {
    match standing {
        Standing::LeftOut => {
            "the members say that the node is none of theirs: there, `om daemon rejoin` or `om daemon leave`"
        }
        Standing::Member | Standing::Doubted => {
            "a member says that the node is none of theirs: it waits until they agree"
        }
    }
}

pub(super) fn node(status: Option<&NodeMonitorStatus>) -> String {
    match status {
        None => "the node has not published its monitor yet".to_owned(),
        Some(status) => format!("the node is in {status}: it decides nothing"),
    }
}

pub(super) fn kept(status: Option<&Status>) -> String {
    match status {
        Some(Status::Up) => "kept started there".to_owned(),
        status => {
            let avail = avail(status);
            format!("was started there and is {avail} now: it stays, in the care of its restarts")
        }
    }
}

pub(super) fn not_natural(leader: Option<&NodeName>) -> String {
    match leader {
        None => "orchestrate is \"start\", and the placement policy prefers no node".to_owned(),
        Some(node) => format!("orchestrate is \"start\": only {node} starts it unasked"),
    }
}

pub(super) fn preferred(leader: Option<&NodeName>) -> String {
    match leader {
        None => "the placement policy prefers no node".to_owned(),
        Some(node) => format!("{node} is preferred"),
    }
}

/// What became of the restarts that keyword `restart` allows.
pub(super) fn restarts(allowed: u32) -> String {
    match allowed {
        0 => "and has no restarts".to_owned(),
        allowed => format!("its {allowed} restarts are used up"),
    }
}

/// What an action ended as that is taken again.
pub(super) fn again(times: u32) -> String {
    match times {
        0 => "is taken again".to_owned(),
        1 => "ended and changed nothing: again".to_owned(),
        times => format!("ended and changed nothing, {times} times: again"),
    }
}
