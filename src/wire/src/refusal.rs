//! Why a message goes no further, and what that means for its sender.

use std::fmt;

use serde_json::{Value, json};

use crate::reply::{Lines, status_of};

/// Why a message is refused before the router sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not a JSON object.
    Json,
    /// A field is missing or is not a text.
    Field(&'static str),
    /// The cluster name is neither ours, nor `join`, nor that of a drp node.
    ClusterName,
    /// A classic frame at a node that only takes sealed ones.
    Dialect,
    /// The key does not open it.
    NotOpened,
    /// Longer than the limits, on the wire or inflated.
    TooLong,
    /// It opens, but is no sealed message: no time, no id, no body.
    Message,
    /// Sealed at a time too far from ours, or too long ago to tell a replay.
    Stale {
        /// Our clock minus the sender's, in seconds.
        seconds: i64,
    },
    /// Seen before.
    Replayed,
    /// The sender is not a node of the cluster it names.
    NotMember {
        /// The sender.
        nodename: Box<str>,
        /// The cluster name of its frame.
        clustername: Box<str>,
    },
    /// The sender belongs to the cluster we would recover.
    DrpNode {
        /// The sender.
        nodename: Box<str>,
    },
}

impl Refusal {
    /// Whether it counts for the blacklist: whatever a peer that holds the secret would never send (design.md).
    /// It is then closed without reply.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        match self {
            Self::Json
            | Self::Field(_)
            | Self::ClusterName
            | Self::Dialect
            | Self::NotOpened
            | Self::TooLong
            | Self::Message => true,
            Self::Stale { .. } | Self::Replayed | Self::NotMember { .. } | Self::DrpNode { .. } => {
                false
            }
        }
    }

    /// The reply, sealed as any; none when the connection is closed without one.
    #[must_use]
    pub fn to_reply(&self) -> Option<Value> {
        (!self.is_counted()).then(|| json!({"status": 401, "error": self.to_string()}))
    }
}

/// Whether a reply tells that its requester, `nodename`, is no node of the cluster: in the words of deployed agents, which
/// are ours.
#[must_use]
pub fn is_not_member(reply: &Value, nodename: &str) -> bool {
    let says = |line: &String| {
        line.strip_prefix("node ")
            .and_then(|rest| rest.strip_prefix(nodename))
            .is_some_and(|rest| rest.starts_with(" is not a cluster"))
    };
    status_of(reply) == 401 && Lines::of(reply).errors.iter().any(says)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json => f.write_str("not a JSON object"),
            Self::Field(name) => write!(f, "field {name} is missing or mistyped"),
            Self::ClusterName => f.write_str("cluster name is not accepted"),
            Self::Dialect => f.write_str("classic envelope at a node that takes sealed ones only"),
            Self::NotOpened => f.write_str("message does not open"),
            Self::TooLong => f.write_str("message is longer than the limits"),
            Self::Message => f.write_str("sealed message without time, id or body"),
            Self::Stale { seconds } => {
                write!(f, "stale message: clocks differ by {} s", seconds.unsigned_abs())
            }
            Self::Replayed => f.write_str("replayed message"),
            Self::NotMember { nodename, clustername } => {
                write!(f, "node {nodename} is not a cluster {clustername} node")
            }
            Self::DrpNode { nodename } => {
                write!(f, "drp node {nodename} is not allowed to request")
            }
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_to_be_no_member_knows_it_and_other_refusals_are_no_such_word() {
        let refused = |refusal: Refusal| refusal.to_reply().expect("it is answered");
        let reply =
            refused(Refusal::NotMember { nodename: "n4".into(), clustername: "demo".into() });
        assert!(is_not_member(&reply, "n4"));
        assert!(!is_not_member(&reply, "n"));
        assert!(!is_not_member(&refused(Refusal::Stale { seconds: 60 }), "n4"));
        assert!(!is_not_member(&refused(Refusal::DrpNode { nodename: "n4".into() }), "n4"));
        assert!(!is_not_member(&json!({"status": 0, "data": {}}), "n4"));
    }
}
