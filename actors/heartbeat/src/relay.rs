//! Frames left at a relay, any agent outside of the cluster, for the peers to fetch.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use model::thread::HeartbeatConfig;
use model::{Alert, NodeName};
use serde::Deserialize;
use serde_json::json;
use wire::{ClusterSecret, Dialect, Limits, Prepared};

use conf::peer_address::PeerAddress;

use link::dialects;
use link::heavy::Room;
use link::peer::error::PeerError;
use link::peer::share::Share;
use link::peer::{Names, Stranger, ask_stranger};

use crate::inbox::{Inbox, Origin, Taken};
use crate::note::{Note, Notes};
use crate::outbox::Outbox;
use dataset::heartbeats::section::Section;

/// Beats from this size on are made ready outside of the arbiter.
const LARGE: usize = 16 << 10;

/// What counts of what a relay answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Option<i64>,
    #[serde(default)]
    error: Option<String>,
    /// The message of a node.
    #[serde(default)]
    data: Option<String>,
    /// When it was left, by the clock of the relay.
    #[serde(default)]
    updated: Option<f64>,
}

/// The relay of a section, and what is known of it.
struct Relay {
    section: Arc<Section>,
    stranger: Stranger,
    notes: Notes,
    /// The dialect to speak. Where the configuration allows both, the other one is tried when it does not answer, once
    /// per beat, because what it does not understand counts against us.
    dialect: Cell<Dialect>,
    /// Whether it answered in that dialect.
    is_known: Cell<bool>,
}

impl Relay {
    fn of(section: &Arc<Section>, notes: &Notes) -> Result<Self, String> {
        let host = section.keyword("relay").unwrap_or_default();
        let address =
            PeerAddress::parse(host).map_err(|reason| format!("relay {host}: {reason}"))?;
        let Some(secret) = &section.settings.secret else {
            return Err("the secret of the relay is not set".to_owned());
        };
        let stranger = Stranger {
            address,
            nodename: section.nodename.clone(),
            secret: ClusterSecret::new(secret.expose()),
            limits: Limits::default(),
            names: Names::default(),
        };
        Ok(Self {
            section: section.clone(),
            stranger,
            notes: notes.clone(),
            dialect: Cell::new(dialects::to_try(section.settings.envelope, None)[0]),
            is_known: Cell::new(false),
        })
    }

    /// Asks the relay. None: it did not do what was asked, which is told. A large answer holds its turn with its share.
    async fn ask(&self, request: Prepared) -> Option<(Answer, Option<Share>)> {
        let dialect = self.dialect.get();
        let patience = self.section.settings.timeout;
        let request = Arc::new(request);
        let asked =
            ask_stranger::<Answer>(&self.stranger, dialect, &request, patience, Room::SLOT).await;
        let reason = match asked {
            Ok((answer, share))
                if answer.status == Some(0) || answer.error.as_deref() == Some("no data") =>
            {
                self.is_known.set(true);
                self.notes.alert("relay", None);
                return (answer.status == Some(0)).then_some((answer, share));
            }
            Ok((Answer { status, error, .. }, _)) => {
                let text: String = error.unwrap_or_default().chars().take(200).collect();
                match status {
                    Some(status) => format!("answers status {status}: {text}"),
                    None => format!("answers without a status: {text}"),
                }
            }
            Err(error) => {
                // What an agent does to a dialect that it does not speak.
                if matches!(error, PeerError::Closed | PeerError::Reply(_)) {
                    self.is_known.set(false);
                    let allowed = dialects::to_try(self.section.settings.envelope, Some(dialect));
                    match allowed.get(1) {
                        Some(other) => self.dialect.set(*other),
                        None => {
                            let name = &self.section.settings.name;
                            return self.failed(&format!(
                                "{error}: {name}.secret is not the secret of its cluster, which may have been rotated there, or \
                                 it is a deployed agent and is asked in sealed only: set {name}.envelope to classic then"
                            ));
                        }
                    }
                    let name = &self.section.settings.name;
                    let error = format!(
                        "{error}: {name}.secret is not the secret of its cluster, which may have been rotated there"
                    );
                    return self.failed(&error);
                }
                error.to_string()
            }
        };
        self.failed(&reason)
    }

    fn failed<T>(&self, reason: &str) -> Option<T> {
        self.notes.failed(None, reason);
        let text = format!("relay {}: {reason}", self.stranger.address);
        self.notes.alert("relay", Some(Alert::error(text)));
        None
    }
}

/// Leaves each beat at the relay.
pub(super) async fn transmit(mut outbox: Outbox) -> String {
    let relay = match Relay::of(&outbox.section, &outbox.notes) {
        Ok(relay) => relay,
        Err(reason) => return reason,
    };
    outbox.notes.tell(Note::Config(Box::default()));
    loop {
        if outbox.beats.changed().await.is_err() {
            return "nothing is sent any more".to_owned();
        }
        let Some(beat) = outbox.beats.borrow_and_update().clone() else { continue };
        let Some(bytes) = beat.common_frame().map(<[u8]>::len) else { continue };
        let section = outbox.section.clone();
        let prepare = move || {
            let frame = std::str::from_utf8(beat.common_frame()?).ok()?;
            Some(Prepared::new(&json!({
                "action": "relay_tx",
                "method": "POST",
                "options": {
                    "cluster_name": section.cluster_name,
                    "cluster_id": section.cluster_id,
                    "msg": frame,
                },
            })))
        };
        let request = if bytes < LARGE {
            prepare()
        } else {
            machine::blocking::run(prepare).await.ok().flatten()
        };
        let Some(request) = request else { continue };
        if relay.ask(request).await.is_some() {
            outbox.notes.tell(Note::BeatToAll { bytes });
        }
    }
}

/// Fetches what the peers left, once per interval.
pub(super) async fn receive(inbox: Inbox) -> String {
    let section = inbox.section().clone();
    let relay = match Relay::of(&section, inbox.notes()) {
        Ok(relay) => relay,
        Err(reason) => return reason,
    };
    let relay_shown = Some(section.keyword("relay").unwrap_or_default().to_owned());
    let config = HeartbeatConfig { relay: relay_shown, ..HeartbeatConfig::default() };
    inbox.notes().tell(Note::Config(Box::new(config)));
    let peers: Vec<NodeName> = section.peers().cloned().collect();
    let mut seen: BTreeMap<NodeName, f64> = BTreeMap::new();
    loop {
        let begun = tokio::time::Instant::now();
        let mut take = async |(peer, reply): (&NodeName, Option<Left>)| {
            let Some(Left { frame, updated, share }) = reply else { return };
            // The clock of the relay only tells new from old.
            if seen.insert(peer.clone(), updated) == Some(updated) {
                return;
            }
            if inbox.take(frame.into_bytes(), Origin::Slot).await == Taken::Invalid {
                log::debug!(peer:% = peer; "the message at the relay does not open");
            }
            drop(share);
        };
        // The first one alone, until the dialect of the relay is known.
        let first = usize::from(!relay.is_known.get()).min(peers.len());
        let (alone, together) = peers.split_at(first);
        for peer in alone {
            take((peer, fetch(&relay, peer).await)).await;
        }
        if relay.is_known.get() {
            let relay = &relay;
            let asked = together.iter().map(|peer| async move { (peer, fetch(relay, peer).await) });
            let mut asked: FuturesUnordered<_> = asked.collect();
            // Each is taken before the next large one is read.
            while let Some(reply) = asked.next().await {
                take(reply).await;
            }
        }
        tokio::time::sleep_until(begun + section.settings.interval).await;
    }
}

/// What a peer left.
struct Left {
    frame: String,
    /// When, by the clock of the relay.
    updated: f64,
    /// What it holds until it is taken.
    share: Option<Share>,
}

/// The message that a peer left.
async fn fetch(relay: &Relay, peer: &NodeName) -> Option<Left> {
    let request = json!({
        "action": "relay_rx",
        "method": "GET",
        "options": {"slot": peer, "cluster_id": relay.section.cluster_id},
    });
    let (answer, share) = relay.ask(Prepared::new(&request)).await?;
    Some(Left { frame: answer.data?, updated: answer.updated?, share })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use link::testing::Deaf;

    #[actix::test]
    async fn what_a_relay_refuses_sealed_it_gets_in_classic_only_where_that_is_allowed() {
        for (keyword, heard) in [
            ("", vec![Dialect::Sealed; 2]),
            ("envelope = any", vec![Dialect::Sealed, Dialect::Classic]),
        ] {
            let mut deaf = Deaf::new().await;
            let keywords = format!(
                "type = relay\nrelay = {}\nsecret = 0123456789abcdef\n{keyword}\n",
                deaf.address
            );
            let mut bench = Bench::new(&keywords, "");
            let relay = Relay::of(&bench.section, &bench.notes).unwrap();
            for _ in 0..2 {
                assert!(relay.ask(Prepared::new(&json!({"action": "relay_rx"}))).await.is_none());
            }
            assert_eq!(deaf.heard(), heard);
            let told = std::iter::from_fn(|| bench.noted.try_recv().ok());
            let hint = told.into_iter().any(|note| format!("{note:?}").contains("hb#1.envelope"));
            assert_eq!(hint, keyword.is_empty());
        }
    }
}
