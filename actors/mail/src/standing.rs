//! What the standing keeper hears.

use crate::hearer::hearer;
use std::net::IpAddr;

use actix::prelude::*;
use model::NodeName;

/// Something hints that the members may not have this node as one of theirs any more: ask them now.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Inquire;

/// A node says itself that it leaves: it needs not be told.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Leaves(pub NodeName);

/// A host asked something with the secret of the cluster, under a name that is none of its nodes.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Stranger {
    /// How it calls itself.
    pub name: NodeName,
    /// Where it asks from.
    pub address: IpAddr,
}

hearer! {
    /// The standing keeper.
    ToStanding {
        inquire: Inquire,
        leaves: Leaves,
        stranger: Stranger,
        node_config_changed: crate::config_watcher::NodeConfigChanged,
    }
}
