//! What goes to the peers: made ready here once, sent by the tx actors.

use std::sync::{Arc, OnceLock};

use crate::exchange::Sending;
use model::Timestamp;
use serde_json::json;

use crate::snapshot::{Snapshot, to_ascii};

/// What a tx actor sends: at once when the watch changes, then again after each `interval`.
///
/// The watch changes with each change of the local node data, when a peer asks for a full, and when a peer's data have
/// arrived and it waits for the acknowledgement. What it holds is replaced more often: a tx takes what is there when it
/// sends.
#[derive(Debug)]
pub struct Outgoing {
    sending: Sending,
    /// None before the first publication.
    snapshot: Option<Arc<Snapshot>>,
    full: OnceLock<Arc<wire::Prepared>>,
}

impl Outgoing {
    /// Nothing yet.
    pub fn nothing() -> Self {
        Self { sending: Sending::Ping, snapshot: None, full: OnceLock::new() }
    }

    /// What the exchange says, with the data of its generation.
    pub fn new(sending: Sending, snapshot: Arc<Snapshot>) -> Self {
        Self { sending, snapshot: Some(snapshot), full: OnceLock::new() }
    }

    /// Whether it says what `other` says.
    pub fn is_as_good_as(&self, other: &Self) -> bool {
        let gens = |it: &Self| it.snapshot.as_ref()?.local().map(|local| local.data.r#gen.clone());
        self.sending == other.sending
            && matches!(self.sending, Sending::Full)
            && gens(self) == gens(other)
    }

    /// Whether it brings changes, and not everything or nothing.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(&self.sending, Sending::Patch(deltas) if !deltas.is_empty())
    }

    /// Generation of the local node data that it brings the peers to; 0 before there are any.
    #[must_use]
    pub fn generation(&self) -> u64 {
        let generation = || {
            let snapshot = self.snapshot.as_ref()?;
            snapshot.local()?.data.r#gen.get(snapshot.nodename()).copied()
        };
        generation().unwrap_or(0)
    }

    /// The message, sent at `now`; none while nothing may be sent: peers take what is missing for deleted. A full is
    /// serialized and compressed once, for whoever asks first.
    #[must_use]
    pub fn message(&self, now: Timestamp) -> Option<Arc<wire::Prepared>> {
        let snapshot = self.snapshot.as_ref()?;
        let local = snapshot.local()?;
        let nodename = snapshot.nodename();
        let is_filled = !local.config.is_empty();
        match &self.sending {
            Sending::Ping => Some(Arc::new(wire::Prepared::new(&json!({
                "kind": "ping",
                "compat": local.data.compat,
                "gen": {nodename.as_str(): self.generation()},
                "monitor": local.data.monitor,
                "updated": now,
            })))),
            _ if !is_filled => None,
            sending @ Sending::Patch(_) => {
                let text = to_ascii(sending.patch_text(&local.data.r#gen, now)?);
                Some(Arc::new(wire::Prepared::from_json(text.into_bytes())))
            }
            Sending::Full => {
                let make = || {
                    let text = snapshot.local_text();
                    debug_assert_eq!(
                        serde_json::from_str(&text)
                            .ok()
                            .map(|data| crate::exchange::check::faults(&data)),
                        Some(vec![]),
                        "deployed agents would crash on it"
                    );
                    Arc::new(wire::Prepared::from_json(to_ascii(text).into_bytes()))
                };
                Some(self.full.get_or_init(make).clone())
            }
        }
    }
}
