//! What every part of the daemon may reach: folders, names, published views and the addresses of the actors.
//!
//! Addresses are those of supervised actors: they outlive every restart, so a clone of [`Routes`] is good for ever.

use std::sync::Arc;

use actix::Addr;
use model::NodeName;

use crate::paths::Paths;
use crate::root::Root;

/// Addresses and views, cheap to clone, sent to every thread.
#[derive(Clone)]
pub struct Routes {
    /// Folders and files.
    pub paths: Arc<Paths>,
    /// Name of this node.
    pub nodename: NodeName,
    /// The root supervisor: starts and stops threads and the daemon, collects their blocks.
    pub root: Addr<Root>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("nodename", &self.nodename).finish_non_exhaustive()
    }
}
