//! What a request is to those who carry it, and what it is answered with.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use model::NodeName;
use serde_json::Value;
use tokio::sync::mpsc;
use web::user::{Auth, User};
use wire::Prepared;

use link::heavy::Purse;

use crate::stream::Item;

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP, classic dialect: one request per connection.
    Classic,
    /// TCP, sealed dialect.
    Sealed,
    /// The control socket: plain JSON, from the node's administrator.
    Unix,
    /// HTTP.
    Http,
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
    /// The envelope names the cluster `join`: it joins, uses the relay, or asks for a vote.
    pub clustername_is_join: bool,
    /// Who asks, and what it may: who knows the secret of the cluster is root.
    pub user: Arc<User>,
    /// The memory that the request, and what peers reply to it, hold.
    pub purse: Purse,
}

impl Caller {
    /// The user of who knows the secret of the cluster, or asks at the control socket.
    #[must_use]
    pub fn root() -> Arc<User> {
        static ROOT: LazyLock<Arc<User>> = LazyLock::new(|| Arc::new(User::root(Auth::Secret)));
        ROOT.clone()
    }
}

/// What a request is answered with.
#[derive(Debug)]
pub enum Outcome {
    /// One document.
    Json(Value),
    /// One document, serialized and compressed once for all who ask.
    Prepared(Arc<Prepared>),
    /// Documents, as JSON texts, until either side ends. An empty one is a lone NUL: it keeps the connection alive and
    /// notices a peer that went away. The queue is bounded: who reads too slowly is dropped.
    Stream(mpsc::Receiver<Item>),
    /// No reply: the connection is closed.
    Nothing,
}

impl From<Value> for Outcome {
    fn from(reply: Value) -> Self {
        Self::Json(reply)
    }
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// 1 for refused or failed, or one of HTTP's.
    pub status: u16,
    /// A text for the requester.
    pub error: String,
}

impl Refused {
    /// For a reason.
    #[must_use]
    pub fn new(status: u16, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    /// The reply: `{"status": <status>, "error": <text>}`.
    #[must_use]
    pub fn to_reply(&self) -> Value {
        wire::reply::error(self.status, self.error.as_str())
    }
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Self {
        Self::Json(refused.to_reply())
    }
}

/// An actor did not answer: it is being restarted, or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotNow;

impl From<NotNow> for Refused {
    fn from(NotNow: NotNow) -> Self {
        Self::new(503, "not now: a part of the daemon is restarting, try again")
    }
}
