//! Who votes for a segment of the cluster.

/// Who votes for the segment of the local node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ballot {
    /// Length of `cluster.nodes`.
    pub nodes: usize,
    /// Sections `arbitrator#` with name and secret.
    pub arbitrators: usize,
    /// Nodes in the cluster data: the local one included, the lost one not. Peers lost together are judged one after the
    /// other: the first verdict still counts the second peer. Those never heard do not vote; deployed agents count them,
    /// and so both sides of a split may after a restart.
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

    /// Whether so many members are a majority by themselves: more than half of them, and nobody else can be one, whatever the
    /// arbitrators answer. These vote for whoever asks.
    #[must_use]
    pub fn is_majority(&self, members: usize) -> bool {
        members * 2 > self.nodes && members * 2 >= self.voting()
    }

    /// How many do: event key `pro_voters`.
    #[must_use]
    pub fn votes(&self) -> usize {
        self.node_votes + self.arbitrator_votes
    }

    /// Whether the arbitrators cannot save this segment, whatever they answer: nobody needs to wait for them.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        !Self { arbitrator_votes: self.arbitrators, ..*self }.survives()
    }

    /// More than half. Exactly half loses, as on deployed agents: both halves would go on otherwise.
    #[must_use]
    pub fn survives(&self) -> bool {
        self.votes() * 2 > self.voting()
    }
}
