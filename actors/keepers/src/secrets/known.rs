//! Which secrets this node has, and which ones the members say to have.

use std::collections::BTreeMap;

use conf::{NodeSettings, Secret};
use dataset::snapshot::Snapshot;
use model::{NodeName, ObjectPath, SecretState};
use monitor::{RotationStage, RotationView};

/// How far a rotation is, by the configuration.
pub(super) fn stage(node: &NodeSettings) -> RotationStage {
    match (&node.secret_next, &node.secret_previous) {
        (Some(_), _) => RotationStage::Offered,
        (None, Some(_)) => RotationStage::Used,
        (None, None) => RotationStage::Steady,
    }
}

pub(super) fn stage_word(stage: RotationStage) -> &'static str {
    match stage {
        RotationStage::Steady => "none",
        RotationStage::Offered => "offered",
        RotationStage::Used => "used",
    }
}

/// What is published of these settings.
pub(super) fn state(node: &NodeSettings, has_older: bool) -> SecretState {
    let is_used = stage(node) == RotationStage::Used;
    SecretState {
        generation: node.secret_generation,
        current: node.secret.as_ref().filter(|_| is_used).map(digest),
        next: node.secret_next.as_ref().map(digest),
        has_older: has_older && is_used,
        fixed: node.check_secret_is_shared().err().map(|error| error.to_string()),
    }
}

/// Tells two random secrets apart, and nothing else about them.
pub(super) fn digest(secret: &Secret) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = ring::hmac::sign(&key, b"osvc digest of a secret");
    tag.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn is_heard(snapshot: &Snapshot, member: &NodeName) -> bool {
    snapshot.node(member).is_some_and(|entry| entry.data.monitor.is_some())
}

/// What the members have that are heard.
pub(super) fn heard(
    snapshot: &Snapshot,
    node: &NodeSettings,
) -> BTreeMap<NodeName, Option<SecretState>> {
    let peers =
        node.nodes.iter().filter(|peer| **peer != node.nodename && is_heard(snapshot, peer));
    peers
        .map(|peer| {
            let state = snapshot.node(peer).and_then(|entry| entry.data.secret.clone());
            (peer.clone(), state)
        })
        .collect()
}

pub(super) fn view<'a>(
    node: &'a NodeSettings,
    own: &'a SecretState,
    heard: &'a BTreeMap<NodeName, Option<SecretState>>,
) -> RotationView<'a> {
    RotationView { local: &node.nodename, members: &node.nodes, stage: stage(node), own, heard }
}

/// Whether this node seals the values of an object anew: the first member that is here and has it.
pub(crate) fn is_mine(snapshot: &Snapshot, node: &NodeSettings, path: &ObjectPath) -> bool {
    let has = |member: &&NodeName| {
        **member == node.nodename
            || (is_heard(snapshot, member) && snapshot.config(member, path).is_some())
    };
    // What was deleted is not written anew: that would make it newer than its deletion.
    let is_deleted = snapshot.nodes().values().any(|entry| entry.data.deleted.contains_key(path));
    !is_deleted && node.nodes.iter().find(has) == Some(&node.nodename)
}
