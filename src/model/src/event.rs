//! What an event tells beside the state of its object.

use serde::Serialize;

use crate::name::NodeName;
use crate::time::Timestamp;

/// The facts of an event: each has those that are of its kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EventFacts {
    /// Why: `target`, `no_rx`, ..
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// The peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<NodeName>,
    /// The node whose heartbeat begins or ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodename: Option<NodeName>,
    /// The heartbeat that hears it, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hb: Option<HeartbeatSign>,
    /// The node that a configuration is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<NodeName>,
    /// The address of a sender that is blacklisted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The section of an arbitrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arbitrator: Option<String>,
    /// Which restart it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#try: Option<u32>,
    /// Restarts allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<u32>,
    /// What it is about, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The votes of a lost split.
    #[serde(flatten)]
    pub votes: Option<Tally>,
}

/// A heartbeat whose peer began to beat, or went stale.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeartbeatSign {
    /// Its section.
    pub name: String,
    /// Its thread.
    pub id: String,
    /// How it waited for a peer that is stale.
    #[serde(flatten)]
    pub stale: Option<Stale>,
}

/// How long a heartbeat waited for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stale {
    /// After how many seconds it gives up.
    pub timeout: f64,
    /// Seconds between two beats.
    pub interval: f64,
    /// The last beat.
    pub last: Timestamp,
}

/// How a split was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Tally of nodes.
    pub node_votes: usize,
    /// Tally of arbitrators.
    pub arbitrator_votes: usize,
    /// How many may vote.
    pub voting: usize,
    /// All votes for this segment.
    pub pro_voters: usize,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_tells_what_is_of_its_kind_and_nothing_else() {
        let mut facts = EventFacts { reason: Some("split"), ..EventFacts::default() };
        assert_eq!(serde_json::to_value(&facts).unwrap(), json!({"reason": "split"}));
        facts.r#try = Some(2);
        facts.votes = Some(Tally { node_votes: 1, arbitrator_votes: 0, voting: 4, pro_voters: 1 });
        assert_eq!(
            serde_json::to_value(&facts).unwrap(),
            json!({
                "reason": "split", "try": 2,
                "node_votes": 1, "arbitrator_votes": 0, "voting": 4, "pro_voters": 1,
            })
        );
    }
}
