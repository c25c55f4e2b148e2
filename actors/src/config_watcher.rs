//! The config watcher: follows node.conf, cluster.conf and the object files.
//!
//! Hears: inotify, a slow sweep, requests to look again. Tells: whoever is concerned by what changed.
//! Restart: everything is read again.

use std::sync::Arc;

use actix::prelude::*;
use conf::NodeSettings;

/// Looks at all files now, as after SIGHUP. Answers when what changed is in force.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reload;

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

/// The actor.
#[derive(Debug, Default)]
pub struct ConfigWatcher {}

impl Actor for ConfigWatcher {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        log::info!("config watcher started");
    }
}
