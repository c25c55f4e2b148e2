//! The requests: what each action of the protocol does, and what it answers (wire.md §5).
//!
//! Run on the arbiter of the connection that read the request. Facts are read from the newest snapshot and the loaded
//! configuration; every change of state is a message to its owner, with a deadline; files are read on the blocking pool.

pub mod relay;

use std::net::IpAddr;
use std::sync::Arc;

use model::NodeName;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::routes::Routes;

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
    /// One document, serialized and compressed once for all who ask.
    Prepared(Arc<wire::Prepared>),
    /// Documents, as JSON texts, until either side ends. An empty one is a lone NUL: it keeps the connection alive and
    /// notices a peer that went away. The queue is bounded: who reads too slowly is dropped.
    Stream(mpsc::Receiver<Arc<str>>),
    /// No reply: the connection is closed.
    Nothing,
}

impl From<Value> for Outcome {
    fn from(reply: Value) -> Self {
        Self::Json(reply)
    }
}

/// `{"status": <status>, "error": <text>}`.
#[must_use]
pub fn refusal(status: u16, error: impl Into<String>) -> Value {
    json!({ "status": status, "error": error.into() })
}

/// Carries out a request that its sender may make, and answers it. Never panics, and never waits without a deadline.
pub async fn handle(routes: &Routes, caller: &Caller, request: wire::Request) -> Outcome {
    log::debug!(action = &*request.name, requester:% = caller.nodename, node:% = routes.nodename; "request");
    match request.action {
        wire::Action::GetApi(_) => wire::routes_table().into(),
        _ => refusal(503, "not now").into(),
    }
}
