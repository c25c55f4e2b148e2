//! The vote of an arbitrator: any agent that answers, asked in the dialects that the configuration allows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use conf::ArbitratorSettings;
use model::NodeName;
use serde::Deserialize;
use serde_json::json;
use wire::{ClusterSecret, Dialect, Limits, Prepared};

use crate::dialects;
use crate::heavy::Room;
use crate::peer::{Names, PeerError, Stranger, ask_stranger};
use crate::peer_address::PeerAddress;

/// What counts of an answer: who may ask is answered.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Option<i64>,
}

/// Asks for a vote: the dialect of the answer, or none without one within the arbitrator's timeout. `known` is the
/// dialect that it spoke last: when it does not answer that, it may have been replaced by another kind of agent. It is
/// asked in both only where `cluster.envelope`, or its own keyword `envelope`, allows both.
pub(super) async fn ask(
    nodename: NodeName,
    arbitrator: ArbitratorSettings,
    known: Option<Dialect>,
    names: Names,
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
        names,
    };
    let request = json!({"action": "daemon_blacklist_status", "method": "GET", "options": {}});
    let request = Arc::new(Prepared::new(&request));
    let deadline = Instant::now() + arbitrator.timeout;
    for &dialect in dialects::to_try(arbitrator.envelope, known) {
        let left: Duration = deadline.saturating_duration_since(Instant::now());
        match ask_stranger::<Answer>(&stranger, dialect, &request, left, Room::VOTE).await {
            Ok((answer, _)) => return (answer.status == Some(0)).then_some(dialect),
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

#[cfg(test)]
mod tests {
    use conf::{Envelope, Secret};

    use super::*;
    use crate::peer::testing::Deaf;

    #[tokio::test]
    async fn what_an_arbitrator_refuses_sealed_it_gets_in_classic_only_where_that_is_allowed() {
        for (envelope, heard) in [
            (Envelope::Sealed, vec![Dialect::Sealed]),
            (Envelope::Any, vec![Dialect::Sealed, Dialect::Classic]),
        ] {
            let mut deaf = Deaf::new().await;
            let arbitrator = ArbitratorSettings {
                name: "arbitrator#1".into(),
                host: deaf.address.clone(),
                envelope,
                secret: Secret::new("0123456789abcdef"),
                timeout: Duration::from_secs(10),
            };
            assert_eq!(
                ask(NodeName::new("n1").unwrap(), arbitrator, None, Names::default()).await,
                None
            );
            assert_eq!(deaf.heard(), heard);
        }
    }
}
