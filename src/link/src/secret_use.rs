//! Which secrets of the cluster open what.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use conf::NodeSettings;
use model::NodeName;

/// What the secret before the one in force opens: read by whoever opens messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretUse {
    /// The generation that opens the hand-over only; one that is not named here opens everything.
    pub handed_only: Option<u32>,
    /// Members that have the secret in force: they are not handed it again.
    pub confirmed: BTreeSet<NodeName>,
}

/// Where the newest one is found.
pub type SecretUseCell = Arc<ArcSwap<SecretUse>>;

impl SecretUse {
    /// That of a daemon that starts with these settings: who is heard later is told what is in force, and follows.
    #[must_use]
    pub fn first(node: &NodeSettings) -> Self {
        let handed_only = node.secret_previous.as_ref().and(node.secret_generation.checked_sub(1));
        Self { handed_only, confirmed: BTreeSet::new() }
    }
}
