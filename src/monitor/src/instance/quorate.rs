//! Never twice, with quorum on: who may start a failover object, and who lost it without noticing.
//!
//! A node that loses its peers is judged ([`crate::ballot::Ballot`]). That leaves who does not lose them: a node that stood still,
//! or whose cut healed, while the others forgot it; a link that fails alone, in one direction or both; a daemon that
//! starts over running instances. Deployed agents start and keep all of these.
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use model::{MonitorStatus, NodeName, ObjectSettings, Status};

use crate::effect::{Action, Effect};
use crate::hold::Hold;
use crate::instance::InstanceCore;
use crate::instance::cx::Cx;
use crate::instance::rules::is_exclusive;
use crate::moment::Moment;
use crate::world::{Conditions, Life, ObjectView, Seen, Sight, World, live_nodes};

/// Whether the object runs on a node, or is about to, as far as is known.
fn is_active(seen: &Seen<'_>) -> bool {
    matches!(seen.status.avail, Some(Status::Up | Status::Warn))
        || matches!(seen.monitor.status, MonitorStatus::Starting | MonitorStatus::Restarting)
}

/// A frozen node is not judged, and what it has started says nothing of a majority.
fn is_node_frozen(world: &dyn World, node: &NodeName) -> bool {
    world.node(node).and_then(|data| data.frozen).is_some_and(|time| time.0 != 0.0)
}

/// Whether what is known to run on a peer is of the life of its daemon before: it started anew, and starts nothing by itself
/// until it has heard the others, or waited for them.
fn is_of_before(world: &dyn World, peer: &NodeName, sight: Sight) -> bool {
    let monitor = world.node(peer).and_then(|data| data.monitor.as_ref());
    let is_waiting = Life::of(monitor.map(|monitor| &monitor.status)) == Life::New;
    (sight.unseen.has_started && (is_waiting || !sight.is_known))
        || (sight.unseen.is_undecided() && !sight.is_known)
}

impl InstanceCore {
    /// Settles a split that this node has not been judged for. True when there was one: nothing else is decided then.
    ///
    /// A peer that had lost sight of this node, while this node had not lost it, has taken its decisions without knowing
    /// what runs here, and started the object only with a majority: it is this node that lost. What is doubled by other
    /// means, an operator for one, stays so.
    pub(super) fn is_split_settled(
        &mut self,
        now: Moment,
        world: &dyn World,
        settings: &ObjectSettings,
        conditions: Conditions,
    ) -> bool {
        self.follow_members(world);
        if conditions.ballot.is_none() || !is_exclusive(settings) {
            return false;
        }
        let before = self.monitor.clone();
        let path = self.path.clone();
        let view = ObjectView::with_monitor(world, &path, Some(&before));
        if view.local().is_none_or(|local| !local.status.is_known()) {
            // What runs here is not known yet: what the peers say is kept for then.
            return false;
        }
        let is_active_here = view.local().is_some_and(is_active);
        if !is_active_here {
            self.deposed_by.clear();
            self.had_no_quorum = false;
        }
        self.had_no_quorum |= is_active_here && conditions.has_no_quorum();
        self.note_peers(&view, settings, is_active_here);
        if self.deposed_by.is_empty() {
            return false;
        }
        // It decides from what this node tells by now, and what it decided before is known here.
        self.deposed_by.retain(|node, _| {
            !world.sight(node).is_in_step() || view.on(node).is_some_and(is_active)
        });
        // That of the instance does not matter, as it does not to the judgement of a node.
        let is_frozen = is_node_frozen(world, world.local_node());
        let owners: Vec<NodeName> = view
            .peers()
            .filter(|seen| is_active(seen) && !is_node_frozen(world, seen.node))
            .map(|seen| seen.node.clone())
            .collect();
        if self.deposed_by.is_empty() || owners.is_empty() || is_frozen {
            return false;
        }
        self.hold(|| Hold::Deposed(owners));
        self.yield_to_majority(now, world, &before.status);
        true
    }

    /// Notes which peers have decided without knowing what runs here, and which know of it by now.
    fn note_peers(
        &mut self,
        view: &ObjectView<'_>,
        settings: &ObjectSettings,
        is_active_here: bool,
    ) {
        let world = view.world;
        for node in settings.peers.iter().filter(|node| *node != world.local_node()) {
            // None while it is lost.
            let Some(seen) = view.on(node) else { continue };
            let sight = world.sight(node);
            let before = self.unseen.insert(node.clone(), sight.unseen).unwrap_or_default();
            // Lost here too, this node was judged, and goes on; unless it was spared.
            let is_judged = !self.had_no_quorum;
            let is_excused =
                (sight.unseen.is_anew && is_judged) || is_of_before(world, node, sight);
            let is_out = sight.unseen.times != before.times
                || (sight.unseen.times_anew != before.times_anew && !is_judged)
                || (!sight.is_seen && is_active(seen) && !is_excused);
            if is_active_here && is_out && !self.joiners.contains(node) {
                self.deposed_by.entry(node.clone()).or_insert(!self.met.contains(node));
            }
            if sight.is_in_step() && !self.met.contains(node) {
                self.met.insert(node.clone());
                self.joiners.remove(node);
            }
        }
        let mut peers = settings.peers.iter().filter(|node| *node != world.local_node());
        self.has_joined &= !peers.all(|node| self.met.contains(node));
    }

    /// Stops what runs here, or has this node lose its split where a stop is not enough.
    fn yield_to_majority(&mut self, now: Moment, world: &dyn World, status: &MonitorStatus) {
        let is_first = self.deposed_by.values().all(|is_first| *is_first);
        // What was found running is stopped; what is being started here, beside a peer that does not see it, cannot be.
        let is_start =
            |run: &crate::instance::Run| matches!(run.action, Action::Start | Action::Restart);
        let is_own = self.runs.values().any(is_start);
        // A node that has just joined was never in a majority that it could have lost: what it started before is stopped.
        let is_beyond_a_stop = is_own || *status == MonitorStatus::StopFailed;
        if !is_first || (is_beyond_a_stop && !self.has_joined) {
            self.tell("instance_deposed", "split");
            self.effects.push(Effect::LoseSplit);
            self.deposed_by.clear();
        } else if !is_beyond_a_stop && !status.is_transitioning() {
            // This daemon has just started: it knows that the others went on without it, not who was first.
            self.tell("instance_stop", "split");
            self.set_local_expect(now, None);
            self.run(now, Action::Stop { force: false }, MonitorStatus::Stopping, world);
        }
    }
}

impl InstanceCore {
    /// Follows who belongs to the cluster. A node that is taken in, or takes others in, has lost nothing to them.
    fn follow_members(&mut self, world: &dyn World) {
        let members = world.cluster_nodes();
        if self.members == members {
            return;
        }
        let before = std::mem::replace(&mut self.members, members.to_vec());
        let is_member = |node: &NodeName| members.contains(node);
        self.met.retain(is_member);
        self.joiners.retain(is_member);
        self.unseen.retain(|node, _| is_member(node));
        self.deposed_by.retain(|node, _| is_member(node));
        match before.len() {
            0 => {}
            // Alone before, it is this node that joined.
            1 => self.has_joined = true,
            _ => self.joiners.extend(members.iter().filter(|node| !before.contains(node)).cloned()),
        }
    }
}

impl Cx<'_> {
    /// Whether the object may run on the other side of a split, which has the majority.
    pub(super) fn has_no_quorum(&self) -> bool {
        self.conditions.has_no_quorum() && is_exclusive(self.settings)
    }

    /// What [`has_no_quorum`](Self::has_no_quorum) means, for who wants to know.
    pub(super) fn no_quorum(&self) -> Hold {
        let (votes, voting) =
            self.conditions.ballot.map_or((0, 0), |ballot| (ballot.votes(), ballot.voting()));
        Hold::NoQuorum { votes, voting }
    }

    /// Peers of the object that are not heard here, but by a node that is: a link is broken, not they. Both ends of it may
    /// have a majority.
    pub(super) fn peers_heard_elsewhere(&self) -> Vec<NodeName> {
        if self.conditions.ballot.is_none() || !is_exclusive(self.settings) {
            return vec![];
        }
        let world = self.view.world;
        let is_known =
            |node: &NodeName| world.node(node).is_some_and(|data| data.monitor.is_some());
        let is_heard = |lost: &NodeName| {
            live_nodes(world).any(|(node, data)| {
                // Of who is about to go, the last words may be old.
                let is_there =
                    data.monitor.as_ref().is_some_and(|monitor| !monitor.status.is_leaving());
                node != world.local_node() && is_there && world.hears(node, lost)
            })
        };
        let lost = self.settings.peers.iter().filter(|node| !is_known(node) && is_heard(node));
        lost.cloned().collect()
    }

    /// Whether some peer of the object is not heard, with quorum on: it may be running it, and not have noticed yet.
    pub(super) fn is_peer_lost(&self) -> bool {
        let world = self.view.world;
        let is_known =
            |node: &NodeName| world.node(node).is_some_and(|data| data.monitor.is_some());
        self.conditions.ballot.is_some()
            && is_exclusive(self.settings)
            && !self.settings.peers.iter().all(is_known)
    }
}
