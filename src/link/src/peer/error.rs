//! Why a peer gave no reply.

use std::time::Duration;
use std::{fmt, io};

use serde_json::Value;
use wire::Refusal;

/// Why a peer gave no reply.
#[derive(Debug)]
pub enum PeerError {
    /// No connection, or a broken one.
    Io(io::Error),
    /// Closed without a reply: what a node does to whom it does not trust.
    Closed,
    /// A reply that does not open, or is to another request.
    Reply(Refusal),
    /// A reply above `listener.max_frame`.
    TooLong,
    /// A reply that is not JSON.
    Json,
    /// No usable `cluster.secret`.
    Secret(String),
    /// No reply within this time.
    Late(Duration),
    /// Too many requests under way, or the actor restarts.
    Busy,
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => match error.raw_os_error() {
                // As clients know it: `[Errno 111] Connection refused`.
                Some(number) => {
                    let text = error.to_string();
                    write!(
                        f,
                        "[Errno {number}] {}",
                        text.split(" (os error").next().unwrap_or_default()
                    )
                }
                None => error.fmt(f),
            },
            Self::Closed => f.write_str("closed the connection without a reply"),
            Self::Reply(Refusal::Misdirected { to, nodename }) => {
                write!(f, "node {nodename} answers where node {to} is expected")
            }
            Self::Reply(refusal) => write!(f, "the reply does not open: {refusal}"),
            Self::TooLong => f.write_str("the reply is too long"),
            Self::Json => f.write_str("the reply is not JSON"),
            Self::Secret(reason) => f.write_str(reason),
            Self::Late(_) => f.write_str("timeout daemon request"),
            Self::Busy => f.write_str("not now: too many requests to peers"),
        }
    }
}

impl std::error::Error for PeerError {}

impl From<io::Error> for PeerError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl PeerError {
    /// The reply that stands for this failure where many nodes were asked, as deployed agents write it.
    #[must_use]
    pub fn to_reply(&self) -> Value {
        let (errno, retryable) = match self {
            Self::Io(error) => {
                let retryable =
                    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                (error.raw_os_error(), retryable)
            }
            Self::Late(_) | Self::Busy => (None, true),
            Self::Closed | Self::Reply(_) | Self::TooLong | Self::Json | Self::Secret(_) => {
                (None, false)
            }
        };
        wire::reply::unreachable(&self.to_string(), errno, retryable)
    }
}
