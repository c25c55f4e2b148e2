//! What the config watcher hears, and what it tells.

use crate::hearer::hearer;
use std::sync::Arc;

use actix::prelude::*;
use conf::NodeSettings;
use model::ObjectPath;

/// Looks at all files now, as after SIGHUP. Answers when what changed is in force.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// Looks at the files of these objects now. Answers when what changed is in force; of none, once the reading that goes on, if
/// one does, is in force.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Look(pub Vec<ObjectPath>);

/// Nodes published other labels, which are in their file now: what selects nodes by them is evaluated again.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct LabelsChanged;

/// node.conf or cluster.conf changed, and what it says is in force: rebind what names another address or port, apply the
/// log level and the thresholds. Told to the root.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct NodeConfigChanged {
    /// What was in force before.
    pub old: Arc<NodeSettings>,
    /// What is in force now.
    pub new: Arc<NodeSettings>,
}

hearer! {
    /// The config watcher.
    ToConfigWatcher {
        reload: Reload,
        look: Look,
        labels_changed: LabelsChanged,
    }
}
