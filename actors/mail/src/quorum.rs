//! What the quorum hears.

use crate::hearer::hearer;
use actix::prelude::*;
use model::NodeName;

/// A peer is lost: its data are dropped, or about to be.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct PeerLost {
    /// The peer.
    pub peer: NodeName,
    /// It had said that it is shutting down.
    pub was_shutting: bool,
}

/// A peer is heard again, or for the first time.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct PeerHeard(pub NodeName);

/// Something runs here and on the other side of a split, which has the majority, and this node was not judged for it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Surrender;

/// The configuration changed: the arbitrators may be others.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reconfigure;

hearer! {
    /// The quorum.
    ToQuorum {
        peer_lost: PeerLost,
        peer_heard: PeerHeard,
        surrender: Surrender,
        reconfigure: Reconfigure,
    }
}
