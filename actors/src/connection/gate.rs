//! What the configuration says about who may connect.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use conf::{ListenerSettings, NodeSettings};
use wire::{ClusterSecret, Keyring, Limits, Sender};

/// Where the newest gate is found.
pub type GateCell = Arc<ArcSwap<Gate>>;

/// Names, dialects and keys of a configuration: the secret in force, and those beside it that open. None without a secret.
#[must_use]
pub fn keyring(node: &NodeSettings) -> Option<Keyring> {
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let limits = Limits {
        max_frame: bytes(node.listener.max_frame_bytes),
        max_message: bytes(node.listener.max_message_bytes),
    };
    let key = |secret: &conf::Secret| ClusterSecret::new(secret.expose());
    let secret = key(node.secret.as_ref()?);
    let envelope = match node.envelope {
        conf::Envelope::Sealed => wire::Envelope::Sealed,
        conf::Envelope::Any => wire::Envelope::Any,
        conf::Envelope::Classic => wire::Envelope::Classic,
    };
    let clustername: Box<str> = node.cluster_name.as_str().into();
    let generation = node.secret_generation;
    let beside = [
        (generation.checked_add(1), &node.secret_next),
        (generation.checked_sub(1), &node.secret_previous),
    ];
    let accepted = beside.into_iter().filter_map(|(it, secret)| Some((it?, key(secret.as_ref()?))));
    // Their requests are refused whatever key they use, as by deployed agents.
    let drpnodes = node
        .drpnodes
        .iter()
        .map(|drpnode| (drpnode.as_str().into(), (clustername.clone(), secret.clone())));
    Some(Keyring {
        drpnodes: drpnodes.collect(),
        own: Sender { generation, ..Sender::new(&clustername, node.nodename.as_str(), secret) },
        accepted: accepted.collect(),
        envelope,
        limits,
    })
}

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
            _ => super::STALL.min(self.listener.idle_timeout),
        }
    }
}
