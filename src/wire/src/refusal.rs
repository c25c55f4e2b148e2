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
    /// It opens, but is no sealed message: no boot, no times, no id, no body.
    Message,
    /// A sealed frame that is for something else: a heartbeat is no request, a slot of a relay no heartbeat.
    Kind,
    /// Sealed with a generation of the secret that this node does not have.
    Generation {
        /// The one that the frame names.
        theirs: u32,
        /// Whether our secret opened it all the same: its sender holds the secret, under another number.
        is_proven: bool,
    },
    /// For another node, or for one that the sender knows no name of: not carried out.
    Misdirected {
        /// For whom; empty for who does not know.
        to: Box<str>,
        /// This node.
        nodename: Box<str>,
    },
    /// A reply of another node, to another node, or to another request.
    NotTheReply,
    /// The first message of a boot of its sender, and their wall clocks do not agree.
    Stale {
        /// Our clock minus the sender's, in seconds.
        seconds: i64,
    },
    /// Made too long ago, by the clock of its sender that nobody sets.
    Late {
        /// How long ago, in seconds.
        seconds: i64,
    },
    /// Made before the last boot of its sender.
    Retired,
    /// Seen before.
    Replayed,
    /// Of one sender too many that is no member, or come when the daemon stops.
    Crowded,
    /// It names this node as its sender, and comes from another machine.
    Own,
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
    /// Whether it counts for the blacklist: whatever a peer that holds the secret would never send.
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
            | Self::Kind
            | Self::NotTheReply
            | Self::Message => true,
            Self::Generation { is_proven, .. } => !is_proven,
            Self::Misdirected { .. }
            | Self::Stale { .. }
            | Self::Late { .. }
            | Self::Retired
            | Self::Replayed
            | Self::Crowded
            | Self::Own
            | Self::NotMember { .. }
            | Self::DrpNode { .. } => false,
        }
    }

    /// A word for each of those that count, `other` for the rest.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Field(_) => "field",
            Self::ClusterName => "cluster_name",
            Self::Dialect => "dialect",
            Self::NotOpened => "key",
            Self::TooLong => "length",
            Self::Kind | Self::NotTheReply => "kind",
            Self::Message => "message",
            Self::Generation { .. } => "generation",
            Self::Misdirected { .. }
            | Self::Stale { .. }
            | Self::Late { .. }
            | Self::Retired
            | Self::Replayed
            | Self::Crowded
            | Self::Own
            | Self::NotMember { .. }
            | Self::DrpNode { .. } => "other",
        }
    }

    /// The reply, sealed as any; none when the connection is closed without one.
    #[must_use]
    pub fn to_reply(&self) -> Option<Value> {
        let status = if matches!(self, Self::Misdirected { .. }) { MISDIRECTED } else { 401 };
        (!self.is_counted()).then(|| json!({"status": status, "error": self.to_string()}))
    }
}

/// The status of the reply to a request for another node, or for one without a name. HTTP has it for the same.
const MISDIRECTED: u16 = 421;

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
            Self::Message => f.write_str("sealed message without boot, times, id or body"),
            Self::Stale { seconds } => {
                write!(f, "stale message: clocks differ by {} s", seconds.unsigned_abs())
            }
            Self::Kind => f.write_str("sealed message of another kind"),
            Self::Generation { theirs, .. } => {
                write!(f, "sealed with generation {theirs} of the secret, which this node has not")
            }
            Self::Misdirected { to, nodename } if to.is_empty() => {
                write!(f, "this is node {nodename}: a request names the node that it is for")
            }
            Self::Misdirected { to, nodename } => {
                write!(f, "this is node {nodename}, the request is for node {to}")
            }
            Self::NotTheReply => f.write_str("not the reply of this node to this request"),
            Self::Late { seconds } => write!(f, "late message: made {seconds} s ago"),
            Self::Retired => f.write_str("late message: made before the last boot of its sender"),
            Self::Replayed => f.write_str("replayed message"),
            Self::Own => f.write_str("a request of this node, from another machine"),
            Self::Crowded => {
                f.write_str("not now: too many nodes that are no members, or the daemon stops")
            }
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
