//! The keys of the cluster that a configuration gives to a node.

use conf::NodeSettings;
use wire::{ClusterSecret, Keyring, Limits, Sender};

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
