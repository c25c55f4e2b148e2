//! What the members need to hear, reach and trust each other.

use std::collections::{BTreeMap, BTreeSet};

use model::{Check, NodeName};

use crate::doctor::facts::{Facts, Name, Peer, or_pass, others};

/// A secret that is shorter makes keys, and is guessed sooner than what `om` makes by itself.
const GOOD_SECRET_BYTES: usize = 32;

/// A clock that is off by more is told: the newest of two configurations counts, by the clocks that wrote them.
const SKEW_SECONDS: f64 = 1.0;

pub(super) fn secret(facts: &Facts) -> Vec<Check> {
    const ID: &str = "secret";
    let Some(bytes) = facts.secret_bytes else {
        let remedy = "om daemon restart makes one; a member takes that of its cluster: om daemon rejoin --node MEMBER";
        return vec![Check::fail(ID, "cluster.secret is not set", remedy)];
    };
    let remedy = "om cluster rotate secret --wait";
    match facts.secret_use.check(bytes) {
        Err(error) => vec![Check::fail(
            ID,
            format!("cluster.secret {error}"),
            "om cluster set --kw cluster.secret=SECRET, the same on all nodes",
        )],
        Ok(()) if bytes < GOOD_SECRET_BYTES => {
            let what = format!("cluster.secret has {bytes} bytes, fewer than {GOOD_SECRET_BYTES}");
            vec![Check::warn(ID, what, remedy)]
        }
        Ok(()) => vec![Check::pass(ID, "cluster.secret is long enough")],
    }
}

/// Members that no heartbeat reaches, and heartbeats that do not hear who takes part in them.
pub(super) fn heartbeat(facts: &Facts) -> Vec<Check> {
    const ID: &str = "heartbeat";
    const ADD: &str = "om cluster set --kw hb#1.type=unicast, on each node";
    let others = others(facts);
    if others.is_empty() {
        return vec![Check::pass(ID, "alone in its cluster: nobody is to be heard")];
    }
    if facts.heartbeats.is_empty() {
        let what = "the cluster has no heartbeat: its nodes do not know of each other";
        return vec![Check::fail(ID, what, ADD)];
    }
    let mut wrong = vec![];
    let is_part = |nodes: &BTreeSet<NodeName>, peer: &NodeName| {
        nodes.contains(peer) && nodes.contains(&facts.nodename)
    };
    for peer in &others {
        if !facts.heartbeats.values().any(|nodes| is_part(nodes, peer)) {
            let what = format!("no heartbeat is between this node and {peer}");
            wrong.push(Check::fail(ID, what, "add both to the keyword nodes of a heartbeat"));
        }
    }
    for peer in others {
        let hears = |(hb, peers): (_, &BTreeMap<NodeName, bool>)| -> Option<(_, bool)> {
            Some((hb, *peers.get(peer)?))
        };
        let told: Vec<(&String, bool)> = facts.hearing.iter().filter_map(hears).collect();
        let deaf: Vec<&str> =
            told.iter().filter(|(_, hears)| !hears).map(|(hb, _)| hb.as_str()).collect();
        if deaf.is_empty() {
            continue;
        }
        let what = format!("{} does not hear {peer}", deaf.join(", "));
        let remedy = format!(
            "om node ping {peer}; then see that what {} goes over is open between both nodes",
            deaf.join(", ")
        );
        wrong.push(match deaf.len() == told.len() {
            true => Check::fail(ID, what, remedy),
            false => Check::warn(ID, what, remedy),
        });
    }
    or_pass(ID, wrong, "each member is reached by a heartbeat")
}

pub(super) fn names(facts: &Facts) -> Vec<Check> {
    const ID: &str = "names";
    let fail = |name: &Name| {
        let error = name.error.as_ref()?;
        let remedy = format!("add {} to /etc/hosts or the DNS, or set {}", name.name, name.keyword);
        Some(Check::fail(ID, format!("{} does not resolve: {error}", name.name), remedy))
    };
    let mut wrong: Vec<Check> = facts.names.iter().filter_map(fail).collect();
    if let Some((name, address)) = &facts.elsewhere {
        // A clone hears nobody: all beat to the machine that it was made from.
        let what = format!(
            "to the other members {name} is {address}, which is no address of this machine: they do not reach it"
        );
        let remedy = format!(
            "if this is a copy of another machine: om daemon stop, another host name, then om daemon leave --force; else set listener.addr@{}",
            facts.nodename
        );
        wrong.push(Check::warn(ID, what, remedy));
    }
    or_pass(ID, wrong, "all names of the configuration resolve")
}

/// Members whose port answers nobody.
pub(super) fn peers(facts: &Facts) -> Vec<Check> {
    const ID: &str = "peers";
    let fail = |peer: &Peer| {
        let error = peer.answer.as_ref().err()?;
        let remedy = format!(
            "on {}: om doctor; between the nodes: see that the firewall lets the port through",
            peer.node
        );
        Some(Check::fail(ID, format!("{} does not answer: {error}", peer.node), remedy))
    };
    if facts.peers.is_empty() {
        return vec![];
    }
    let wrong = facts.peers.iter().filter_map(fail).collect();
    or_pass(ID, wrong, "the daemons of the other members answer")
}

pub(super) fn clock(facts: &Facts) -> Vec<Check> {
    const ID: &str = "clock";
    const REMEDY: &str =
        "have chrony or systemd-timesyncd set the clocks of both nodes: timedatectl set-ntp true";
    let window = facts.replay_window.as_secs_f64();
    let mut wrong = vec![];
    let mut is_known = false;
    for peer in &facts.peers {
        let Ok(Some(ahead)) = &peer.answer else { continue };
        is_known = true;
        let side = if *ahead > 0.0 { "ahead of" } else { "behind" };
        let what =
            format!("the clock of {} is {:.1} s {side} that of this node", peer.node, ahead.abs());
        if ahead.abs() > window {
            wrong.push(Check::fail(ID, what, REMEDY));
        } else if ahead.abs() > SKEW_SECONDS {
            wrong.push(Check::warn(ID, what, REMEDY));
        }
    }
    if !is_known {
        return vec![];
    }
    or_pass(ID, wrong, format!("the clocks of the members are within {SKEW_SECONDS} s"))
}

/// Whether a split of the cluster ends well.
pub(super) fn quorum(facts: &Facts) -> Vec<Check> {
    const ID: &str = "quorum";
    const ADD: &str = "add an arbitrator: om cluster set --kw arbitrator#1.name=HOST --kw arbitrator#1.secret=SECRET";
    let (count, arbitrators) = (facts.members.len(), facts.arbitrators.len());
    if count < 2 {
        return vec![Check::pass(ID, "alone in its cluster: it cannot be split")];
    }
    if !facts.has_quorum {
        let what = "quorum is off: when the network is cut, both parts run the services";
        let set = "om cluster set --kw cluster.quorum=true";
        let remedy = match (count, arbitrators) {
            (2, 0) => format!("{ADD}, then {set}"),
            _ => set.to_owned(),
        };
        return vec![Check::warn(ID, what, remedy)];
    }
    match (count + arbitrators) % 2 == 1 {
        true => vec![Check::pass(ID, "one part of a split cluster has the majority")],
        false if count == 2 && arbitrators == 0 => vec![Check::fail(
            ID,
            "two nodes without an arbitrator: when one dies, the other has no majority and takes itself out",
            ADD,
        )],
        false => vec![Check::warn(
            ID,
            format!(
                "{count} nodes and {arbitrators} arbitrators: of a cluster that is split in halves, none has the majority"
            ),
            ADD,
        )],
    }
}

pub(super) fn arbitrator(facts: &Facts) -> Vec<Check> {
    const ID: &str = "arbitrator";
    let told: Vec<(&String, bool)> = facts
        .arbitrators
        .iter()
        .filter_map(|(name, is_reached)| Some((name, (*is_reached)?)))
        .collect();
    if told.is_empty() {
        return vec![];
    }
    let wrong = told.iter().filter(|(_, is_reached)| !is_reached).map(|(name, _)| {
        let remedy = format!(
            "see that the host of {name} runs an agent that lets this cluster ask it, and that {name}.secret is its secret"
        );
        Check::warn(ID, format!("{name} does not answer, and has no vote"), remedy)
    });
    or_pass(ID, wrong.collect(), "the arbitrators answer")
}
