//! What the configuration says about who may connect.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use conf::{ListenerSettings, NodeSettings};
use wire::{Keyring, Limits};

use dataset::keyring::keyring;

/// Where the newest gate is found.
pub type GateCell = Arc<ArcSwap<Gate>>;

/// What is needed to open messages and to judge their senders. Made anew when the configuration changes.
#[derive(Debug)]
pub struct Gate {
    /// Names, dialects and keys; none while no usable secret is configured: nothing opens then.
    pub keyring: Option<Keyring>,
    /// Nodes of the cluster.
    pub members: BTreeSet<String>,
    /// Limits and timeouts.
    pub listener: ListenerSettings,
}

impl Gate {
    /// The gate of a configuration.
    #[must_use]
    pub fn new(node: &NodeSettings) -> Self {
        let listener = node.listener.clone();
        let keyring = keyring(node);
        let members = node.nodes.iter().map(ToString::to_string).collect();
        Self { keyring, members, listener }
    }

    /// Limits of frames.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.keyring.as_ref().map_or_else(Limits::default, |keyring| keyring.limits)
    }

    /// Whether messages are taken that nothing authenticates.
    #[must_use]
    pub fn takes_classic(&self) -> bool {
        let keyring = self.keyring.as_ref();
        keyring.is_some_and(|keyring| keyring.envelope != wire::Envelope::Sealed)
    }

    /// How long a connection may say nothing before its first byte, and between sealed frames: a node that also speaks
    /// classic closes silent connections after 5 s, as the deployed agents do.
    #[must_use]
    pub fn first_patience(&self) -> Duration {
        match &self.keyring {
            Some(keyring) if keyring.envelope == wire::Envelope::Sealed => {
                self.listener.idle_timeout
            }
            _ => crate::gate::STALL.min(self.listener.idle_timeout),
        }
    }
}

/// Silence that closes a connection in the middle of a message, as in deployed agents, and a reply that the peer
/// does not read.
pub const STALL: Duration = Duration::from_secs(5);
