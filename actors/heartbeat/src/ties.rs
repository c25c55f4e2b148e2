//! Whom the workers of heartbeats know.

use std::sync::Arc;

use actix::prelude::*;
use dataset::snapshot::SnapshotCell;
use link::blacklist::BlacklistView;
use link::classic::ClassicMemory;
use link::freshness::Freshness;
use link::gate::GateCell;
use link::secret_use::SecretUseCell;
use link::unopened::Unopened;
use mail::blacklist::{Invalid, Valid};
use mail::cluster_data::{Emit, HeartbeatHeard, WatchOutgoing};
use mail::mail::Mail;
use mail::membership;
use mail::peers::AskPeer;
use mail::root::ThreadReport;
use mail::secrets::NotUnderstood;
use metrics::counts::Counts;

use crate::fragments::Fragments;

/// Whom the workers know.
#[derive(Clone)]
pub struct Ties {
    /// Names and keys.
    pub gate: GateCell,
    /// The sealed messages heard lately.
    pub freshness: Arc<Freshness>,
    /// What is remembered of the classic dialect.
    pub classic: Arc<ClassicMemory>,
    /// The memory of messages that are on their way, shared with the listener.
    pub unopened: Arc<Unopened>,
    /// What came in datagrams and is no message yet.
    pub(crate) fragments: Arc<Fragments>,
    /// Who is known, and whose messages wait their turn.
    pub blacklist: Arc<BlacklistView>,
    /// Counts what did not open.
    pub invalid: Recipient<Invalid>,
    /// Forgives who sends what opens.
    pub valid: Recipient<Valid>,
    /// Which dialect peers say they speak.
    pub snapshot: SnapshotCell,
    /// Says what is to be sent.
    pub watch: Recipient<WatchOutgoing>,
    /// Takes what was heard.
    pub heard: Recipient<HeartbeatHeard>,
    /// Tells events.
    pub emit: Recipient<Emit>,
    /// Decides who is lost.
    pub membership: Recipient<membership::Beat>,
    /// Asks a peer whose messages come late, or from a clock that is off, for a proof that it is there.
    pub ask: Recipient<AskPeer>,
    /// What the secret before the one in force opens.
    pub secret_use: SecretUseCell,
    /// Told of members whose messages do not open.
    pub not_understood: Recipient<NotUnderstood>,
    /// Counts what is sent and heard.
    pub counts: Arc<Counts>,
    /// Shows the blocks.
    pub root: Recipient<ThreadReport>,
}

impl std::fmt::Debug for Ties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ties(..)")
    }
}

impl Ties {
    /// The actors of a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        Self {
            gate: mail.gate.clone(),
            freshness: mail.freshness.clone(),
            classic: mail.classic.clone(),
            unopened: mail.unopened.clone(),
            fragments: Arc::default(),
            blacklist: mail.blacklist.view.clone(),
            invalid: mail.blacklist.keeper.clone().recipient(),
            valid: mail.blacklist.keeper.clone().recipient(),
            snapshot: mail.snapshot.clone(),
            watch: mail.cluster_data.clone().recipient(),
            heard: mail.cluster_data.clone().recipient(),
            emit: mail.cluster_data.clone().recipient(),
            membership: mail.membership.clone().recipient(),
            ask: mail.peers.clone().recipient(),
            secret_use: mail.secret_use.clone(),
            not_understood: mail.secrets.clone().recipient(),
            counts: mail.counts.clone(),
            root: mail.root.clone().recipient(),
        }
    }
}
