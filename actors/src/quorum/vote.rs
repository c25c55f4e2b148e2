//! The vote of an arbitrator: any agent that answers, asked in the dialect that it speaks (cluster.md §h).

use std::time::{Duration, Instant};

use conf::ArbitratorSettings;
use model::NodeName;
use serde_json::{Value, json};
use wire::{ClusterSecret, Dialect, Limits, Prepared};

use crate::peer::{PeerError, Stranger, ask_stranger};
use crate::peer_address::PeerAddress;

/// Asks for a vote: the dialect of the answer, or none without one within the arbitrator's timeout. `known` is the
/// dialect that it spoke last: when it does not answer that, it may have been replaced by another kind of agent.
pub(super) async fn ask(
    nodename: NodeName,
    arbitrator: ArbitratorSettings,
    known: Option<Dialect>,
) -> Option<Dialect> {
    let address = match PeerAddress::parse(&arbitrator.host) {
        Ok(address) => address,
        Err(reason) => {
            log::warn!(section = arbitrator.name.as_str(), reason; "arbitrator not asked");
            return None;
        }
    };
    let stranger = Stranger {
        address,
        nodename,
        secret: ClusterSecret::new(arbitrator.secret.expose()),
        limits: Limits::default(),
    };
    let request = json!({"action": "daemon_blacklist_status", "method": "GET", "options": {}});
    let request = Prepared::new(&request);
    let deadline = Instant::now() + arbitrator.timeout;
    let order = match known {
        Some(Dialect::Classic) => [Dialect::Classic, Dialect::Sealed],
        Some(Dialect::Sealed) | None => [Dialect::Sealed, Dialect::Classic],
    };
    for dialect in order {
        let left: Duration = deadline.saturating_duration_since(Instant::now());
        match ask_stranger(&stranger, dialect, &request, left).await {
            Ok(reply) => {
                return (reply.get("status").and_then(Value::as_i64) == Some(0)).then_some(dialect);
            }
            // What an agent does to a dialect that it does not speak.
            Err(PeerError::Closed | PeerError::Reply(_)) => {}
            Err(error) => {
                log::debug!(section = arbitrator.name.as_str(), error:% = error; "no vote");
                return None;
            }
        }
    }
    None
}
