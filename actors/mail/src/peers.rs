//! What is asked of peers.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use conf::peer_address::PeerAddress;
use link::heavy::Purse;
use link::peer::CONNECT_PATIENCE;
use link::peer::error::PeerError;
use model::NodeName;
use serde_json::Value;
use tokio::sync::mpsc::Sender;
use wire::Prepared;
use wire::reply::Part;

use crate::hearer::hearer;

/// Asks a member of the cluster. Answered after `patience` at the latest.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Value, PeerError>")]
pub struct AskPeer {
    /// Whom.
    pub peer: NodeName,
    /// What: made ready once, for all who are asked the same.
    pub request: Arc<Prepared>,
    /// Asking twice is as good as once: may go over a kept connection, which may end while it is asked.
    pub is_repeatable: bool,
    /// Longest wait for the reply.
    pub patience: Duration,
    /// Where it listens; none for where the configuration says. For one that the configuration does not know any more.
    pub address: Option<PeerAddress>,
    /// What holds the memory of the reply, for as long as who asks keeps it.
    pub purse: Purse,
    /// The generation of the secret to ask with; none for the one in force.
    pub generation: Option<u32>,
}

impl AskPeer {
    /// A request, as JSON.
    #[must_use]
    pub fn new(peer: NodeName, request: &Value, patience: Duration) -> Self {
        let is_repeatable = request.get("method").and_then(Value::as_str) == Some("GET");
        Self {
            peer,
            request: Arc::new(Prepared::new(request)),
            is_repeatable,
            patience,
            address: None,
            purse: Purse::default(),
            generation: None,
        }
    }
}

/// Asks the same for a reply that is passed on as it is: nothing is made of its text, which may then be longer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Part, PeerError>")]
pub struct AskText(pub AskPeer);

/// Follows a stream of a member, over a connection of its own. Answered when it ends: with no error when nobody takes its items
/// any more. Its `patience` is that of connecting.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), PeerError>")]
pub struct FollowPeer {
    /// Whom, and what.
    pub ask: AskPeer,
    /// Takes the items.
    pub items: Sender<Part>,
}

/// Asks through the actor. Whatever became of it, the answer is a result.
///
/// # Errors
///
/// [`PeerError`].
pub async fn ask(peers: &ToPeers, ask: AskText) -> Result<Part, PeerError> {
    // The actor keeps the deadline; this one is for the case that it falls meanwhile.
    let patience = ask.0.patience.saturating_add(CONNECT_PATIENCE);
    match peers.send(ask).timeout(patience).await {
        Ok(answer) => answer,
        Err(MailboxError::Timeout) => Err(PeerError::Late(patience)),
        Err(MailboxError::Closed) => Err(PeerError::Busy),
    }
}

hearer! {
    /// Who asks peers.
    ToPeers {
        ask_peer: AskPeer,
        ask_text: AskText,
        follow: FollowPeer,
    }
}
