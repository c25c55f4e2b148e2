//! What the keeper of the secrets hears.

use crate::hearer::hearer;
use actix::prelude::*;
use model::NodeName;
use serde_json::Value;

/// A message of a member did not open: it may have another secret, or this node an old one.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct NotUnderstood(pub NodeName);

/// Begins a rotation of the secret; with `force`, goes on with it without the members that are away. The answer is a reply,
/// or a text that says why not.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Value, String>")]
pub struct Rotate {
    /// Without those who are away.
    pub force: bool,
}

hearer! {
    /// The keeper of the secrets.
    ToSecrets {
        not_understood: NotUnderstood,
        rotate: Rotate,
        node_config_changed: crate::config_watcher::NodeConfigChanged,
    }
}
