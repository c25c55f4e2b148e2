//! What would become of all objects if nodes were emptied, or died.
//!
//! The monitors of the nodes that are left decide, on the copies that forecasts are made of.
//! Part of the `impl` of [`Play`], in a file of its own for its length.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Fate, NodeMonitorStatus, NodeName, ObjectPath, Outlook, QuorumLeft, Reason, Refusal, Status,
    Step, Timestamp, WhatIf,
};

use crate::effect::Change;
use crate::explain::present::{as_it_is, outcome};
use crate::forecast::Play;
use crate::forecast::stage::{Relations, Stage};
use crate::node::to_shut_down;
use crate::world::{World, live_nodes};

/// What happens to nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outage {
    /// They are emptied, as `om node drain` does: they stay in the cluster, frozen.
    pub drained: BTreeSet<NodeName>,
    /// They die.
    pub down: BTreeSet<NodeName>,
}

/// What would become of the objects that are configured here.
#[must_use]
pub fn what_if(world: &dyn World, now: Timestamp, outage: &Outage) -> WhatIf {
    let (quorum, taken_out) = quorum(world, outage);
    let gone: BTreeSet<NodeName> = outage.down.iter().chain(&taken_out).cloned().collect();
    let relations = Relations::of(world);
    let mut objects: BTreeMap<ObjectPath, Option<Outlook>> = BTreeMap::new();
    for path in world.local_objects() {
        if objects.contains_key(path) {
            continue;
        }
        let mut stage = Stage::new(world, &relations, path);
        stage.forget_others();
        let before = running_on(&stage);
        let mut play = Play::on(stage, now, path);
        play.take_away(&outage.drained, &gone);
        let mut is_settled = play.run();
        if !outage.drained.is_empty() {
            play.end_drains(&outage.drained);
            is_settled &= play.run();
        }
        let after = running_on(&play.stage);
        for path in play.stage.cast.clone() {
            let (from, to) = (before.get(&path), after.get(&path));
            let (from, to) = (from.cloned().unwrap_or_default(), to.cloned().unwrap_or_default());
            let mut outlook = play.outlook(&path, from, to, is_settled);
            if let Some(outlook) = &mut outlook {
                judge_places(outlook, outage, &taken_out);
            }
            objects.entry(path).or_insert(outlook);
        }
    }
    let mut found = WhatIf {
        node: world.local_node().clone(),
        drained: outage.drained.iter().cloned().collect(),
        down: outage.down.iter().cloned().collect(),
        missed_after: world.conditions().heartbeat_timeout_secs,
        quorum,
        taken_out,
        objects: objects.into_values().flatten().collect(),
    };
    found.sort();
    found
}

/// Who votes for the nodes that are left, and which of them take themselves out if that is no majority. A frozen node is
/// not judged.
fn quorum(world: &dyn World, outage: &Outage) -> (Option<QuorumLeft>, Vec<NodeName>) {
    let Some(mut ballot) = world.conditions().ballot.filter(|_| !outage.down.is_empty()) else {
        return (None, vec![]);
    };
    let lost = live_nodes(world).filter(|(node, _)| outage.down.contains(*node)).count();
    ballot.node_votes = ballot.node_votes.saturating_sub(lost);
    let survives = ballot.survives();
    let is_judged = |node: &NodeName, frozen: Option<Timestamp>| {
        !survives
            && lost > 0
            && !outage.down.contains(node)
            && !outage.drained.contains(node)
            && frozen.is_none_or(|time| time.0 == 0.0)
    };
    let left = live_nodes(world).filter(|(node, data)| is_judged(node, data.frozen));
    let taken_out = left.map(|(node, _)| node.clone()).collect();
    (Some(QuorumLeft { votes: ballot.votes(), voting: ballot.voting(), survives }), taken_out)
}

/// Where each object that acts runs.
fn running_on(stage: &Stage) -> BTreeMap<ObjectPath, Vec<NodeName>> {
    let nodes = stage.live_nodes();
    let runs = |node: &&NodeName, path: &ObjectPath| {
        let avail = stage.published(node, path).and_then(|instance| instance.avail.as_ref());
        matches!(avail, Some(Status::Up | Status::Warn))
    };
    let on = |path: &ObjectPath| nodes.iter().filter(|node| runs(node, path)).cloned().collect();
    stage.cast.iter().map(|path| (path.clone(), on(path))).collect()
}

/// Leaves out the nodes that nobody counts on, and says in one sentence why there is no place.
fn judge_places(outlook: &mut Outlook, outage: &Outage, taken_out: &[NodeName]) {
    let counts = |node: &NodeName| !outage.drained.contains(node) && !outage.down.contains(node);
    let has_others = outlook.refusals.iter().any(|it| !outlook.from.contains(&it.node));
    outlook.refusals.retain(|refusal| counts(&refusal.node));
    for refusal in &mut outlook.refusals {
        if taken_out.contains(&refusal.node) {
            let text = "without a majority it takes itself out".to_owned();
            refusal.reason = Reason { id: "no_quorum".to_owned(), text };
        }
    }
    // That another one was to take it tells nothing where that one does not.
    let is_telling = |refusal: &&Refusal| refusal.reason.id != "not_leader";
    let told = |refusal: &Refusal| format!("{}: {}", refusal.node, refusal.reason.text);
    let reasons: Vec<String> = outlook.refusals.iter().filter(is_telling).map(told).collect();
    let path = &outlook.path;
    let reason = match (reasons.is_empty(), has_others) {
        (true, true) => "none of its other nodes is left".to_owned(),
        (true, false) => "it has no other node".to_owned(),
        (false, _) => reasons.join("; "),
    };
    match outlook.fate {
        Fate::Down => outlook.outcome = format!("{path} is down: {reason}"),
        Fate::Degraded => {
            let avail = outlook.avail.as_ref().map_or("unknown", Status::as_str);
            outlook.outcome = format!("{path} is {avail} on {}: {reason}", names(&outlook.to));
        }
        Fate::Moves | Fate::Shrinks | Fate::Starts => {}
    }
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

impl Play {
    /// Nodes die, others are asked to empty themselves.
    fn take_away(&mut self, drained: &BTreeSet<NodeName>, gone: &BTreeSet<NodeName>) {
        let live = self.stage.live_nodes();
        self.stage.withdraw_votes(live.iter().filter(|node| gone.contains(*node)).count());
        for node in gone {
            self.stage.lose(node);
            self.players.retain(|(player, _), _| player != node);
        }
        for node in drained {
            self.stage.begin_drain(node, self.now);
            for path in to_shut_down(&self.stage.seen_from(node)) {
                self.apply(node, &path, &Change::local(model::LocalExpect::Shutdown));
            }
        }
    }

    /// The instances are down: the nodes are idle again, and stay frozen.
    fn end_drains(&mut self, drained: &BTreeSet<NodeName>) {
        for node in drained {
            self.stage.set_node_status(node, NodeMonitorStatus::Idle);
        }
    }

    /// What became of an object; none where it runs as before.
    fn outlook(
        &self,
        path: &ObjectPath,
        from: Vec<NodeName>,
        to: Vec<NodeName>,
        is_settled: bool,
    ) -> Option<Outlook> {
        let judge = self.judge(path);
        let eyes = self.stage.seen_from(&judge);
        let blockers = self.blockers_of(path);
        let avail = self.stage.aggregate(path).avail;
        let is_up = avail == Some(Status::Up);
        let own = |step: &&Step| step.object == *path;
        let steps: Vec<Step> = self.steps.iter().filter(own).cloned().collect();
        let fate = match (&from[..], &to[..]) {
            ([], []) => return None,
            ([], _) => Fate::Starts,
            (_, []) => Fate::Down,
            (from, to) if from == to => return None,
            _ if !is_up => Fate::Degraded,
            (from, to) if to.iter().all(|node| from.contains(node)) => Fate::Shrinks,
            _ => Fate::Moves,
        };
        let candidates = as_it_is(&eyes, &judge, path).candidates;
        let refusals = candidates.into_iter().filter_map(|candidate| {
            let reason = candidate.discarded.or_else(|| {
                let told = blockers.iter().find(|it| it.nodes.contains(&candidate.node))?;
                let Reason { id, text } = told.reason.clone();
                Some(Reason { id, text })
            });
            let is_down = !to.contains(&candidate.node);
            Some(Refusal { node: candidate.node, reason: reason.filter(|_| is_down)? })
        });
        Some(Outlook {
            path: path.clone(),
            fate,
            after: steps.iter().rfind(|step| step.is_action).map_or(0.0, |step| step.after),
            outcome: outcome(&eyes, path, &blockers, self.now),
            refusals: if fate <= Fate::Degraded { refusals.collect() } else { vec![] },
            from,
            to,
            avail,
            is_settled,
            steps,
        })
    }

    /// A node that is left and has the object; else the one that foretells.
    fn judge(&self, path: &ObjectPath) -> NodeName {
        let live = self.stage.live_nodes();
        let has_it = |node: &NodeName| {
            let settings = self.stage.settings(node, path);
            settings.is_some_and(|settings| settings.peers.contains(node))
        };
        let local = Some(self.stage.local()).filter(|node| live.contains(node) && has_it(node));
        let other = || live.iter().find(|node| has_it(node));
        local.or_else(other).unwrap_or(self.stage.local()).clone()
    }
}
