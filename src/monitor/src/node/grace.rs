//! The rejoin grace period: when it ends, and what follows (src/monitor/README.md, Node monitor).
//!
//! Part of the `impl` of [`NodeCore`], in a file of its own for its length.

use model::{GlobalExpect, NodeData, NodeMonitorStatus, NodeName, Orchestrate};

use crate::effect::NodeEffect;
use crate::instance::ALARM_MARGIN_SECS;
use crate::moment::Moment;
use crate::node::{NodeCore, runs_what_is_at_stake};
use crate::standing::Standing;
use crate::world::{World, live_nodes};

/// How long the other members are waited for once a majority is there: machines that boot together are seconds apart.
const MAJORITY_SECS: f64 = 5.0;

/// Who of the members is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// All of them.
    All,
    /// More than half of them, with quorum: the others run nothing, whatever they see.
    Majority,
    /// Fewer, or without quorum not all: the others may run everything.
    Few,
}

impl NodeCore {
    pub(super) fn check_grace(&mut self, now: Moment, world: &dyn World) {
        let left = self.timing.grace_left_secs(now.since(self.started.steady), world);
        let company = self.company(world);
        let majority_since = match company {
            Company::Majority => *self.majority_since.get_or_insert(now.steady),
            Company::All | Company::Few => {
                self.majority_since = None;
                now.steady
            }
        };
        let others_left = MAJORITY_SECS - now.since(majority_since);
        if company == Company::All || company == Company::Majority && others_left.min(left) <= 0.0 {
            self.end_grace(now, world, false);
        } else if company == Company::Majority {
            let left = others_left.min(left);
            self.effects.push(NodeEffect::WakeAfter(left + ALARM_MARGIN_SECS));
        } else if left <= 0.0 {
            self.end_grace(now, world, true);
        } else {
            self.effects.push(NodeEffect::WakeAfter(left + ALARM_MARGIN_SECS));
        }
    }

    /// Who of the members is there, with what it runs known.
    fn company(&self, world: &dyn World) -> Company {
        let status = |node: &NodeName| {
            if node == world.local_node() {
                Some(&self.monitor.status)
            } else {
                world.node(node).and_then(|data| data.monitor.as_ref()).map(|m| &m.status)
            }
        };
        let has_joined = |node: &&NodeName| {
            matches!(status(node), Some(NodeMonitorStatus::Idle | NodeMonitorStatus::Rejoin))
        };
        let members = world.cluster_nodes();
        let joined = members.iter().filter(has_joined).count();
        // A peer that pings has a status, and no data yet; one that evaluates may run something.
        let is_one_unknown = world.conditions().blind
            || live_nodes(world).any(|(node, _)| status(node) == Some(&NodeMonitorStatus::Init));
        if members.len() <= 1 || joined == members.len() && !world.conditions().blind {
            Company::All
        } else if !is_one_unknown
            && world.conditions().ballot.is_some_and(|ballot| ballot.is_majority(joined))
        {
            Company::Majority
        } else {
            Company::Few
        }
    }

    /// What the node froze by its own decision ends when the reason does: enough of the members are there.
    pub(super) fn thaw_itself(&mut self, world: &dyn World) {
        let is_free = !self.grace
            && self.monitor.status == NodeMonitorStatus::Idle
            && self.monitor.global_expect != Some(GlobalExpect::Frozen)
            && world.conditions().standing == Standing::Member;
        if is_free
            && self.has_frozen_itself(world)
            && self.is_frozen(world)
            && self.company(world) != Company::Few
        {
            self.thaw("rejoined");
        }
    }

    fn end_grace(&mut self, now: Moment, world: &dyn World, has_expired: bool) {
        self.grace = false;
        if self.monitor.status == NodeMonitorStatus::Rejoin {
            self.set_status(now, NodeMonitorStatus::Idle);
        }
        if self.is_upgrade {
            if !has_expired && self.is_frozen(world) {
                self.thaw("upgrade");
            }
            return;
        }
        if has_expired && !self.is_frozen(world) {
            if runs_without_quorum(world) {
                // The peers were silent from the start: there was no loss to judge. They have taken over by now. Deployed
                // agents freeze, and what runs goes on.
                self.effects.push(NodeEffect::LoseSplit);
            } else {
                self.freeze_itself("rejoin_expire", NodeData::FROZEN_BY_REJOIN);
            }
        }
        self.merge_frozen(world);
    }

    /// Follows what the peers froze while this node was away.
    fn merge_frozen(&mut self, world: &dyn World) {
        let peers = || live_nodes(world).filter(|(node, _)| *node != world.local_node());
        // Who froze itself wants nothing of the others: they would all stand still.
        let is_wanted = |data: &NodeData| !data.has_frozen_itself();
        let is_news = |node, data: &NodeData| {
            is_wanted(data) && self.known_freezes.is_news_of_node(node, data.frozen)
        };
        let frozen_peer = peers().find(|(node, data)| is_news(node, data)).map(|(node, _)| node);
        if let Some(peer) = frozen_peer
            && self.monitor.global_expect != Some(GlobalExpect::Thawed)
            && !self.is_frozen(world)
        {
            self.freeze("merge_frozen", Some(peer));
        }
        for path in world.local_objects() {
            let Some(settings) = world.settings(path) else { continue };
            if settings.orchestrate == Orchestrate::No || settings.peers.len() < 2 {
                continue;
            }
            let Some(local) = world.instance(world.local_node(), path) else { continue };
            let is_frozen = local.frozen.is_some_and(|time| time.0 != 0.0);
            let is_to_thaw = local
                .monitor
                .as_ref()
                .is_some_and(|monitor| monitor.global_expect == Some(GlobalExpect::Thawed));
            let is_frozen_elsewhere = peers()
                .filter_map(|(node, _)| Some((node, world.instance(node, path)?.frozen)))
                .any(|(node, time)| self.known_freezes.is_news_of_instance(node, path, time));
            if is_frozen_elsewhere && !is_frozen && !is_to_thaw {
                self.effects.push(NodeEffect::FreezeInstance(path.clone()));
            }
        }
    }
}

/// Whether something runs here that the other side of a split may have started, and has the majority for.
fn runs_without_quorum(world: &dyn World) -> bool {
    world.conditions().has_no_quorum() && runs_what_is_at_stake(world)
}
