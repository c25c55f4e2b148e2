//! What goes to the peers: made ready here once, sent by the tx actors.

use std::sync::Arc;

use model::Timestamp;
use serde_json::json;

use super::Snapshot;

/// What a tx actor sends: at once when the watch changes, then again after each `interval`.
///
/// A new one comes with each change of the local node data, when a peer asks for a full, and when a peer's data have
/// arrived and it waits for the acknowledgement.
#[derive(Debug)]
pub struct Outgoing {
    generation: u64,
    content: OutgoingContent,
}

#[derive(Debug)]
enum OutgoingContent {
    /// Node data not filled: silence.
    Nothing,
    /// The snapshot to take the monitor from.
    Ping { snapshot: Arc<Snapshot> },
}

impl Outgoing {
    /// Nothing yet.
    pub(super) fn nothing() -> Self {
        Self { generation: 0, content: OutgoingContent::Nothing }
    }

    /// The local node with its monitor, to peers that it knows nothing of.
    pub(super) fn ping(generation: u64, snapshot: Arc<Snapshot>) -> Self {
        Self { generation, content: OutgoingContent::Ping { snapshot } }
    }

    /// Generation of the local node data that it brings the peers to.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The message, sent at `now`; none when nothing may be sent. A full is serialized and compressed once, for
    /// whoever asks first.
    #[must_use]
    pub fn message(&self, now: Timestamp) -> Option<Arc<wire::Prepared>> {
        match &self.content {
            OutgoingContent::Nothing => None,
            OutgoingContent::Ping { snapshot } => {
                let local = snapshot.local()?;
                Some(Arc::new(wire::Prepared::new(&json!({
                    "kind": "ping",
                    "compat": local.data.compat,
                    "gen": {snapshot.nodename().as_str(): self.generation},
                    "monitor": local.data.monitor,
                    "updated": now,
                }))))
            }
        }
    }
}
