//! The config watcher: follows node.conf, cluster.conf and the object files.
//!
//! Hears: inotify, a slow sweep, requests to look again. Tells: whoever is concerned by what changed.
//! Restart: everything is read again.

use actix::prelude::*;

/// Looks at all files now, as after SIGHUP. Answers when what changed is in force.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// The actor.
#[derive(Debug, Default)]
pub struct ConfigWatcher {}

impl Actor for ConfigWatcher {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        log::info!("config watcher started");
    }
}
