//! Quorum: whether the segment of a split cluster that this node is in goes on (cluster.md §h).

/// What a node knows when a peer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Keyword `cluster.quorum`.
    pub has_quorum: bool,
    /// The local node is frozen: whoever froze it wants no automatism.
    pub is_frozen: bool,
    /// The lost peer had said that it is shutting down.
    pub was_shutting: bool,
}

impl Loss {
    /// Whether the loss is a split to be judged. A peer that was `shutting` said that it goes.
    #[must_use]
    pub fn is_to_judge(&self) -> bool {
        self.has_quorum && !self.is_frozen && !self.was_shutting
    }
}

/// Who votes for the segment of the local node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ballot {
    /// Length of `cluster.nodes`.
    pub nodes: usize,
    /// Sections `arbitrator#` with name and secret.
    pub arbitrators: usize,
    /// Nodes in the cluster data: the local one and those never heard included, the lost one not. Peers lost together
    /// are judged one after the other: the first verdict still counts the second peer.
    pub node_votes: usize,
    /// Arbitrators that answer now.
    pub arbitrator_votes: usize,
}

impl Ballot {
    /// How many may vote: event key `voting`.
    #[must_use]
    pub fn voting(&self) -> usize {
        self.nodes + self.arbitrators
    }

    /// How many do: event key `pro_voters`.
    #[must_use]
    pub fn votes(&self) -> usize {
        self.node_votes + self.arbitrator_votes
    }

    /// More than half. Exactly half loses, as on deployed agents: both halves would go on otherwise.
    #[must_use]
    pub fn survives(&self) -> bool {
        self.votes() * 2 > self.voting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_split_is_judged_with_quorum_on_a_thawed_node_and_when_nobody_said_goodbye() {
        let loss = Loss { has_quorum: true, is_frozen: false, was_shutting: false };
        assert!(loss.is_to_judge());
        assert!(!Loss { was_shutting: true, ..loss }.is_to_judge());
        assert!(!Loss { is_frozen: true, ..loss }.is_to_judge());
        assert!(!Loss { has_quorum: false, ..loss }.is_to_judge());
    }
}
