//! What is sent: made when it is due, sealed once for all who speak a dialect.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::tallies::Direction;
use model::{Alert, NodeName};
use monitor::STRANGER_FRAME;
use ring::rand::SystemRandom;
use serde_json::json;
use tokio::sync::watch;
use wire::{Dialect, Envelope, Form, Kind, Prepared};

use dataset::outgoing::Outgoing;
use link::gate::Gate;
use machine::clock;
use mail::cluster_data::WatchOutgoing;

use crate::note::Notes;
use crate::ties::Ties;
use dataset::heartbeats::section::Section;

/// Shortest pause between two beats: what changes meanwhile goes with the next one.
const GAP: Duration = Duration::from_millis(10);

/// Bytes from which a message is made outside of the thread of heartbeats.
const LARGE: usize = 64 << 10;

/// Pause before the cluster data is asked again when it restarts.
const WATCH_PAUSE: Duration = Duration::from_millis(50);

/// A message in the dialects that are needed, each frame with its final NUL.
#[derive(Debug, Default)]
pub(super) struct Beat {
    sealed: Option<Arc<[u8]>>,
    classic: Option<Arc<[u8]>>,
    /// Goes before a large frame on a new connection: who does not know our address takes large messages only once a small
    /// one opened.
    introduction: Option<Arc<[u8]>>,
    /// Peers that get sealed frames.
    is_sealed: BTreeSet<NodeName>,
    /// Whether all peers do.
    is_all_sealed: bool,
}

impl Beat {
    /// The frame for a peer, and whether it is sealed.
    pub(super) fn frame(&self, peer: &NodeName) -> Option<(bool, &Arc<[u8]>)> {
        let is_sealed = self.is_sealed.contains(peer);
        let frame = if is_sealed { &self.sealed } else { &self.classic };
        frame.as_ref().map(|frame| (is_sealed, frame))
    }

    /// What goes before the sealed frame on a new connection, if anything.
    pub(super) fn introduction(&self) -> Option<&Arc<[u8]>> {
        self.introduction.as_ref()
    }

    /// The frame that all peers can open, without its NUL: sealed only if all of them are known to speak it.
    pub(super) fn common_frame(&self) -> Option<&[u8]> {
        let frame = if self.is_all_sealed { &self.sealed } else { &self.classic };
        frame.as_ref().and_then(|frame| frame.strip_suffix(b"\0"))
    }

    /// Seals a message for these peers.
    fn seal(body: &Prepared, gate: &Gate, to: &Recipients) -> Result<Self, String> {
        let Some(keyring) = &gate.keyring else {
            return Err("the cluster has no usable secret".to_owned());
        };
        let random = SystemRandom::new();
        let seal = |dialect, body: &Prepared| {
            let form = Form::heartbeat(dialect, to.kind, clock::stamp(), &random);
            let frame = keyring.own.seal(&form, body, &random);
            frame.map(Arc::from).map_err(|error| error.to_string())
        };
        let mut beat = Self {
            is_sealed: to.sealed.clone(),
            is_all_sealed: to.is_all_sealed,
            ..Self::default()
        };
        if to.needs(Dialect::Sealed) {
            if body.seal_bytes() >= STRANGER_FRAME / 2 && !to.is_common {
                // Of no known kind: it says that its sender is there, and nothing else.
                let introduction = json!({"kind": "introduction", "updated": clock::now()});
                beat.introduction = Some(seal(Dialect::Sealed, &Prepared::new(&introduction))?);
            }
            beat.sealed = Some(seal(Dialect::Sealed, body)?);
        }
        if to.needs(Dialect::Classic) {
            beat.classic = Some(seal(Dialect::Classic, body)?);
        }
        Ok(beat)
    }

    /// A beat of these bytes, for tests of drivers.
    #[cfg(test)]
    pub(super) fn of(frame: &[u8], sealed: &[&NodeName]) -> Self {
        Self {
            sealed: Some(frame.into()),
            classic: Some(frame.into()),
            introduction: None,
            is_sealed: sealed.iter().map(|peer| (*peer).clone()).collect(),
            is_all_sealed: false,
        }
    }
}

/// Which peers get which dialect.
struct Recipients {
    sealed: BTreeSet<NodeName>,
    is_all_sealed: bool,
    /// A driver that has one medium for all sends one frame.
    is_common: bool,
    /// What the sealed frames are.
    kind: Kind,
}

impl Recipients {
    fn new(section: &Section, ties: &Ties, gate: &Gate) -> Self {
        let envelope = gate.keyring.as_ref().map_or(Envelope::Sealed, |keyring| keyring.envelope);
        let snapshot = ties.snapshot.load();
        let speaks = |peer: &&NodeName| {
            let published = snapshot.node(peer).and_then(|entry| entry.data.envelope.as_deref());
            envelope.speaks(published == Some("sealed")) == Dialect::Sealed
        };
        let sealed: BTreeSet<NodeName> = section.peers().filter(speaks).cloned().collect();
        let is_all_sealed =
            envelope == Envelope::Sealed || section.peers().all(|peer| sealed.contains(peer));
        let is_common = section.settings.kind != "unicast";
        Self { sealed, is_all_sealed, is_common, kind: section.kind() }
    }

    fn needs(&self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::Sealed if self.is_common => self.is_all_sealed,
            Dialect::Sealed => !self.sealed.is_empty(),
            Dialect::Classic => !self.is_all_sealed,
        }
    }
}

/// An interval that is kept although the configuration has a longer one by now: the peers have not all heard of that yet,
/// and would miss beats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Haste {
    interval: Duration,
    until: Instant,
}

impl Haste {
    /// After a change of the interval that the peers know of within a time. `known`: what was kept before.
    pub(super) fn after(
        known: Option<Self>,
        before: Duration,
        interval: Duration,
        within: Duration,
    ) -> Option<Self> {
        let now = Instant::now();
        let known = known.filter(|known| now < known.until && known.interval < interval);
        let new = (before < interval).then(|| Self { interval: before, until: now + within });
        match (known, new) {
            (Some(known), Some(new)) => {
                Some(Self { interval: known.interval.min(new.interval), ..new })
            }
            (known, new) => known.or(new),
        }
    }
}

/// How long a beat is the newest one, unless there is news.
fn interval(section: &Section, haste: Option<Haste>) -> Duration {
    let interval = section.settings.interval;
    let haste = haste.filter(|haste| Instant::now() < haste.until);
    haste.map_or(interval, |haste| haste.interval.min(interval))
}

/// The newest beat; none before the first.
pub(super) type Beats = watch::Receiver<Option<Arc<Beat>>>;

/// Makes a beat at once when there is news, and after each interval. Never returns.
pub(super) async fn pulse(
    section: Arc<Section>,
    ties: Arc<Ties>,
    beats: watch::Sender<Option<Arc<Beat>>>,
    notes: Notes,
    haste: Option<Haste>,
) {
    let mut last_bytes = 0;
    loop {
        let Ok(mut outgoing) = ties.watch.send(WatchOutgoing).await else {
            tokio::time::sleep(WATCH_PAUSE).await;
            continue;
        };
        loop {
            let newest = outgoing.borrow_and_update().clone();
            let is_patch = newest.is_change();
            match make(newest, &section, &ties, last_bytes >= LARGE).await {
                Ok(Some((bytes, beat))) => {
                    last_bytes = bytes;
                    if is_patch {
                        ties.counts.tallies.on_patch(Direction::Sent, bytes);
                    }
                    notes.alert("seal", None);
                    beats.send_replace(Some(Arc::new(beat)));
                }
                Ok(None) => {}
                Err(reason) => notes.alert("seal", Some(Alert::error(reason))),
            }
            let interval = interval(&section, haste);
            let gap = GAP.min(interval);
            tokio::time::sleep(gap).await;
            let rest = interval - gap;
            if let Ok(Err(_)) = tokio::time::timeout(rest, outgoing.changed()).await {
                // The cluster data is made anew: what it sends then, it says then.
                break;
            }
        }
    }
}

/// The beat that is due, and the length of its message; none while nothing may be sent.
async fn make(
    outgoing: Arc<Outgoing>,
    section: &Section,
    ties: &Ties,
    is_large: bool,
) -> Result<Option<(usize, Beat)>, String> {
    let gate = ties.gate.load_full();
    let to = Recipients::new(section, ties, &gate);
    let work = move || {
        let Some(body) = outgoing.message(clock::now()) else { return Ok(None) };
        Ok(Some((body.len(), Beat::seal(&body, &gate, &to)?)))
    };
    if is_large {
        let made = machine::blocking::run(work).await;
        made.unwrap_or_else(|_| Err("the message could not be made".to_owned()))
    } else {
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_interval_is_kept_until_the_peers_know_the_longer_one() {
        let (short, long, within) =
            (Duration::from_millis(250), Duration::from_secs(5), Duration::from_secs(15));
        let kept = Haste::after(None, short, long, within);
        assert_eq!(kept.map(|kept| kept.interval), Some(short));
        assert!(kept.is_some_and(|kept| kept.until > Instant::now() + within / 2));
        // A change of something else goes on with it; one back to the short one has no need of it.
        assert_eq!(Haste::after(kept, long, long, within), kept);
        assert_eq!(Haste::after(kept, long, short, within), None);
        assert_eq!(Haste::after(None, long, short, within), None);
        let over = Haste::after(None, short, long, Duration::ZERO);
        assert_eq!(Haste::after(over, long, long, within), None);
    }
}
