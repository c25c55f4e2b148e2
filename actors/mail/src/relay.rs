//! What the keeper of the relay hears.

use crate::hearer::hearer;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use actix::prelude::*;
use model::Timestamp;
use serde_json::{Value, json};

use crate::requests::Refused;

/// Most bytes kept of one cluster: its oldest slots go first.
pub const MOST_OF_CLUSTER: usize = 4 << 20;

/// Longest id or name of a cluster, name of a node or address.
pub const LONGEST_NAME: usize = 512;

/// Why a message is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    /// A name is longer than names are.
    Name,
    /// It is longer than what is kept of one cluster.
    TooLong,
    /// As many others, each with no more than this one has, leave no room.
    Full,
}

/// How the sender is told.
impl From<NotKept> for Refused {
    fn from(not_kept: NotKept) -> Self {
        match not_kept {
            NotKept::Name => Self::new(400, format!("a name of more than {LONGEST_NAME} bytes")),
            NotKept::TooLong => Self::new(
                413,
                format!("a relay keeps at most {MOST_OF_CLUSTER} bytes of a cluster"),
            ),
            NotKept::Full => Self::new(
                507,
                "the relay is full: others have no more there than this cluster would",
            ),
        }
    }
}

/// Stores the message of a node (`relay_tx`).
#[derive(Debug, Message)]
#[rtype(result = "Result<(), NotKept>")]
pub struct Store {
    /// Id of the sender's cluster.
    pub cluster_id: String,
    /// Name of the sender's cluster.
    pub cluster_name: String,
    /// The sender.
    pub nodename: String,
    /// What it says of its own address.
    pub ipaddr: String,
    /// The message, an envelope as text; none for an empty slot.
    pub msg: Option<Arc<str>>,
    /// The address that it came from.
    pub from: Option<IpAddr>,
}

/// Fetches the last message of a node (`relay_rx`): the message, and when it was stored.
#[derive(Debug, Message)]
#[rtype(result = "Option<(Option<Arc<str>>, Timestamp)>")]
pub struct Fetch {
    /// Id of the cluster.
    pub cluster_id: String,
    /// The node.
    pub slot: String,
}

/// Lists the slots (`relay_status`).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<Listed>")]
pub struct List;

/// A slot as it is shown.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Id of the cluster, and name of the node.
    pub key: String,
    /// Name of its cluster.
    pub cluster_name: Box<str>,
    /// What the node says of its address.
    pub ipaddr: Box<str>,
    /// Bytes of its message.
    pub size_bytes: usize,
    /// When it was left.
    pub updated: Timestamp,
}

/// The slots as `relay_status` shows them.
#[must_use]
pub fn shown(slots: &[Listed]) -> Value {
    let block = |slot: &Listed| {
        json!({
            "cluster_name": slot.cluster_name,
            "updated": slot.updated,
            "ipaddr": slot.ipaddr,
            "size": slot.size_bytes,
        })
    };
    json!(slots.iter().map(|slot| (&*slot.key, block(slot))).collect::<BTreeMap<_, _>>())
}

hearer! {
    /// The keeper of the relay.
    ToRelay {
        store: Store,
        fetch: Fetch,
        list: List,
    }
}
