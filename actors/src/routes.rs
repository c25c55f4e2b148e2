//! What every part of the daemon may reach: folders, names, published views and the addresses of the actors.
//!
//! Addresses are those of supervised actors: they outlive every restart, so a clone of [`Routes`] is good for ever.

use std::net::IpAddr;
use std::sync::Arc;

use actix::Addr;
use model::NodeName;
use serde_json::Value;

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

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP, classic dialect: one request per connection.
    Classic,
    /// TCP, sealed dialect.
    Sealed,
    /// The control socket: plain JSON, from the node's administrator.
    Unix,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The node that the envelope names; the local node over the control socket.
    pub nodename: NodeName,
    /// Its address, IPv4-mapped ones as IPv4; none over the control socket.
    pub addr: Option<IpAddr>,
    /// How it came in.
    pub transport: Transport,
    /// The envelope names the cluster `join`: only what design.md lists for it may be asked.
    pub clustername_is_join: bool,
}

/// What a request is answered with.
#[derive(Debug)]
pub enum Outcome {
    /// One document.
    Json(Value),
    /// A document after another, until either side ends. The queue is bounded: who reads too slowly is dropped.
    Stream(tokio::sync::mpsc::Receiver<Arc<Value>>),
    /// No reply: the connection is closed.
    Nothing,
}
