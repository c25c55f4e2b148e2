//! Quorum: whether the segment of a split cluster that this node is in goes on
//! (src/monitor/README.md, Quorum).

use std::time::Duration;

use model::{NodeMonitorStatus, NodeName};

use crate::world::World;

/// Longest time between the verdict and the end: events reach subscribers within 0.3 s. Deployed agents take 2 s, in which
/// the other segment may have started what still runs here.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Time between the verdict and the end of the node: the other segment starts what runs here after its ready period.
#[must_use]
pub fn last_words(ready_period: Duration) -> Duration {
    LAST_WORDS.min(ready_period / 2)
}

/// Whether a peer votes for what the local node starts. It has to know of the local node: one that does not hear it goes
/// on without it. One that announced its restart may be on the other side of a split; deployed agents count it when they
/// judge, on both sides. The local node votes for itself.
#[must_use]
pub fn has_vote(world: &dyn World, peer: &NodeName) -> bool {
    let monitor = world.node(peer).and_then(|data| data.monitor.as_ref());
    monitor.is_some_and(|monitor| {
        !matches!(monitor.status, NodeMonitorStatus::Maintenance | NodeMonitorStatus::Upgrade)
    }) && world.sight(peer).is_in_step()
}

/// What a node knows when a peer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Keyword `cluster.quorum`.
    pub has_quorum: bool,
    /// The local node is frozen: whoever froze it wants no automatism.
    pub is_frozen: bool,
    /// The lost peer had said that it is shutting down.
    pub was_shutting: bool,
    /// [`has_nothing_to_lose`](crate::node::has_nothing_to_lose).
    pub has_nothing_to_lose: bool,
}

impl Loss {
    /// Whether the loss is a split to be judged. A peer that was `shutting` said that it goes; and a node that only just
    /// started, as all do after a power cut, and hears somebody now and then, has had no part in anything.
    #[must_use]
    pub fn is_to_judge(&self) -> bool {
        self.has_quorum && !self.is_frozen && !self.was_shutting && !self.has_nothing_to_lose
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::Ballot;

    fn ballot(votes: (usize, usize), of: (usize, usize)) -> Ballot {
        Ballot { nodes: of.0, arbitrators: of.1, node_votes: votes.0, arbitrator_votes: votes.1 }
    }

    #[test]
    fn only_more_than_half_survives() {
        // The second and third were seen on deployed agents: 3 nodes, 1 arbitrator, one node cut.
        for (votes, of, survives) in [
            ((1, 0), (2, 0), false),
            ((2, 1), (3, 1), true),
            ((2, 0), (3, 1), false),
            ((1, 1), (2, 1), true),
            ((2, 0), (3, 0), true),
            ((1, 0), (3, 0), false),
            ((2, 0), (4, 0), false),
        ] {
            assert_eq!(ballot(votes, of).survives(), survives, "{votes:?} of {of:?}");
        }
    }

    #[test]
    fn arbitrators_are_waited_for_where_they_can_tip_the_balance() {
        assert!(!ballot((1, 0), (2, 1)).is_hopeless());
        assert!(ballot((1, 0), (3, 1)).is_hopeless());
        assert!(ballot((1, 0), (3, 0)).is_hopeless());
        assert!(!ballot((2, 0), (3, 0)).is_hopeless());
    }

    #[test]
    fn who_loses_is_gone_before_the_others_start() {
        assert_eq!(last_words(Duration::from_secs(5)), Duration::from_millis(500));
        assert_eq!(last_words(Duration::from_millis(200)), Duration::from_millis(100));
    }

    #[test]
    fn a_split_is_judged_with_quorum_on_a_thawed_node_and_when_nobody_said_goodbye() {
        let loss = Loss {
            has_quorum: true,
            is_frozen: false,
            was_shutting: false,
            has_nothing_to_lose: false,
        };
        assert!(loss.is_to_judge());
        assert!(!Loss { has_nothing_to_lose: true, ..loss }.is_to_judge());
        assert!(!Loss { was_shutting: true, ..loss }.is_to_judge());
        assert!(!Loss { is_frozen: true, ..loss }.is_to_judge());
        assert!(!Loss { has_quorum: false, ..loss }.is_to_judge());
    }
}
