//! What is done with a message of a peer.
//!
//! Part of the `impl` of [`Exchange`], in a file of its own for its length.

use model::Document;
use model::{Content, HeartbeatMessage, NodeMonitorStatus};

use super::*;

/// The data of a peer, as they are kept.
pub trait PeerData {
    /// All data are replaced, but for what [`preserve`] keeps.
    fn replace(&mut self, data: Document);

    /// The node monitor is replaced, and which dialect the peer speaks is not known any more: it started anew, maybe as
    /// another agent. The rest stays.
    fn set_monitor(&mut self, monitor: Document);

    /// The objects that the peer told are too old.
    fn lose_objects(&mut self);

    /// Applies the changes of one generation, all of them or none.
    ///
    /// # Errors
    ///
    /// The first failure: a full will be asked for.
    fn apply(&mut self, ops: &[Op]) -> Result<(), ApplyError>;
}

/// What a message made of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// The data of the peer changed.
    pub is_data_changed: bool,
    /// What is known of the peer's generations changed: the next message differs.
    pub is_exchange_changed: bool,
    /// The next message is to be sent at once.
    pub is_send_due: bool,
    /// The message was older than one taken before: it had no effect.
    pub is_stale: bool,
    /// Why a change was not applied.
    pub error: Option<ApplyError>,
}

impl Exchange {
    /// Takes a message of a peer in, received at `now`. The sender is a node of the cluster, not the local one.
    pub fn receive(
        &mut self,
        from: &NodeName,
        message: HeartbeatMessage,
        now: impl Into<Moment>,
        data: &mut dyn PeerData,
    ) -> Received {
        let now = now.into();
        let known = self.peers.get(from).copied();
        let mut before = known.unwrap_or_default();
        let is_past = before.note_past(message.updated);
        if let Some(known) = self.peers.get_mut(from) {
            *known = before;
        }
        let mut incoming = Incoming {
            updated: message.updated,
            ack: self.read_ack(message.r#gen.get(&self.local).copied()),
            told: message.r#gen.get(from).copied().unwrap_or(0),
            is_recent: now.since(before.taken) < STALE_SECS,
            is_known: known.is_some(),
            before,
            peer: before,
            received: Received::default(),
        };
        let is_known_to = |node: &&NodeName| **node != self.local && **node != *from;
        let known_to: BTreeSet<NodeName> =
            message.r#gen.keys().filter(is_known_to).cloned().collect();
        let mut life = life_of(&message.content);
        let mut is_about_to_tell = false;
        match message.content {
            Content::Ping { .. } | Content::Patch { .. }
                if incoming.is_of_the_past(before.sent) =>
            {
                return Received { is_stale: true, ..Received::default() };
            }
            Content::Ping { monitor, .. } => {
                is_about_to_tell = is_preserving(&monitor);
                incoming.ping(monitor, data);
            }
            Content::Full { .. } | Content::Texts { .. } if !incoming.is_full_wanted() => {
                return self.take_ack(from, incoming.ack);
            }
            Content::Full { data: full } => incoming.full(full, data),
            Content::Texts { data: mut full, services } => {
                full.insert("services".to_owned(), services.to_value());
                incoming.full(full, data);
            }
            Content::Patch { deltas } => {
                incoming.patch(&deltas, data);
                if incoming.peer.merged > 0 {
                    life = Life::Same;
                }
            }
        }
        let Incoming { mut peer, mut received, .. } = incoming;
        peer.untold = (peer.merged == 0).then(|| before.untold.unwrap_or(now.steady));
        let is_lost = |since| now.steady.saturating_sub(since) >= UNTOLD && !is_about_to_tell;
        if peer.untold.is_some_and(is_lost) {
            data.lose_objects();
            received.is_data_changed = true;
        }
        peer.taken = now.steady;
        if is_past {
            peer.past = (0, Timestamp::NEVER);
        }
        if self.known_to.get(from) != Some(&known_to) {
            self.known_to.insert(from.clone(), known_to);
        }
        self.take_over(from, peer, known, life, &mut received);
        received
    }

    /// Of a full that is not wanted. Deployed agents repeat one with acknowledgements of its time: only a higher one is news.
    fn take_ack(&mut self, from: &NodeName, ack: u64) -> Received {
        let mut received = Received::default();
        let Some(known) = self.peers.get_mut(from) else { return received };
        received.is_exchange_changed = ack > known.acked;
        known.acked = known.acked.max(ack);
        self.trim();
        received
    }

    /// Takes over what a message made of its sender, and tells what the next message is to say of it.
    fn take_over(
        &mut self,
        from: &NodeName,
        mut peer: Peer,
        known: Option<Peer>,
        life: Life,
        received: &mut Received,
    ) {
        let before = known.unwrap_or_default();
        received.is_send_due |= known.is_none()
            || (peer.acked == 0 && before.acked != 0)
            || ((peer.merged == 0) != (before.merged == 0));
        received.is_exchange_changed =
            known.is_none() || (peer.merged, peer.acked) != (before.merged, before.acked);
        let lost = self.lost.remove(from);
        peer.stale_ack = lost.unwrap_or(before.stale_ack);
        let unseen = self.unseen.entry(from.clone()).or_default();
        // Heard for the first time, and it has data of this life: it had none before. Of the life before, it never lost it.
        let is_new_to_it = known.is_none() && lost.is_none() && peer.acked >= self.first;
        let seen = if is_new_to_it { 0 } else { peer.seen() };
        let seen_before = known.map(|known| known.seen());
        unseen.on_message(peer.taken, seen, seen_before, lost.is_some(), life);
        self.peers.insert(from.clone(), peer);
        self.trim();
        let is_full_due = peer.acked == 0 && (before.acked != 0 || known.is_none());
        if peer.merged != before.merged || is_full_due {
            self.raise_if_full();
        }
        // A deployed agent looks at what is asked of it only beside a generation that it does not have.
        self.is_raise_due |= peer.merged == 0 && (before.merged != 0 || known.is_none());
    }

    /// The generation that a peer says to have. A higher one than there is comes from an earlier life under a clock that
    /// was ahead: the local node goes on far above it, because other peers may remember later numbers of that life.
    fn read_ack(&mut self, ack: Option<u64>) -> u64 {
        match ack {
            Some(ack) if ack > MOST_GENERATION => 0,
            Some(ack) if ack > self.generation => {
                self.generation = ack + LIFE;
                self.restart_journal();
                self.is_raise_due = true;
                0
            }
            Some(ack) => ack,
            None => 0,
        }
    }
}

impl Peer {
    /// Notes whether a message is older than those taken before. Some in a row prove that the clock of the sender was set
    /// back.
    fn note_past(&mut self, updated: Timestamp) -> bool {
        let is_past = updated.0 > 0.0 && (updated < self.sent || updated < self.changed);
        let (count, newest) = self.past;
        self.past = match is_past {
            true if updated >= newest => (count + 1, updated),
            true => (1, updated),
            false => (0, Timestamp::NEVER),
        };
        if self.past.0 >= STEPPED {
            (self.sent, self.changed) = (Timestamp::NEVER, Timestamp::NEVER);
        }
        is_past
    }
}

/// A message that is being taken in.
struct Incoming {
    /// When it was sent, by the clock of the sender.
    updated: Timestamp,
    /// Generation of the local data that the sender has.
    ack: u64,
    /// Generation of the sender's data that it tells.
    told: u64,
    /// Another message of the sender was taken a short time ago.
    is_recent: bool,
    /// The sender was heard before, and not forgotten.
    is_known: bool,
    /// What was known of the sender.
    before: Peer,
    /// What is known of it afterwards.
    peer: Peer,
    received: Received,
}

impl Incoming {
    fn is_of_the_past(&self, than: Timestamp) -> bool {
        self.updated.0 > 0.0 && self.updated < than && self.is_recent
    }

    fn ping(&mut self, monitor: Document, data: &mut dyn PeerData) {
        self.peer = Peer { merged: 0, acked: self.ack, sent: self.updated, ..Peer::default() };
        data.set_monitor(monitor);
        self.received.is_data_changed = true;
    }

    /// Whether a full tells what is not merged yet.
    fn is_full_wanted(&self) -> bool {
        let is_newer = self.updated > self.before.changed && self.is_known;
        let is_wanted = self.told > self.before.merged && !self.is_of_the_past(self.before.changed);
        self.told != 0 && self.told <= MOST_GENERATION && (is_wanted || is_newer)
    }

    fn full(&mut self, full: Document, data: &mut dyn PeerData) {
        data.replace(full);
        self.received.is_data_changed = true;
        self.peer.merged = self.told;
        self.peer.acked = self.ack;
        self.peer.changed = self.updated;
        // What was sent before this change is of the past.
        if self.updated > self.peer.sent {
            self.peer.sent = self.updated;
        }
    }

    fn patch(&mut self, deltas: &BTreeMap<u64, Vec<Op>>, data: &mut dyn PeerData) {
        let peer = &mut self.peer;
        if self.updated < self.before.sent {
            // The clock of the sender was set back: what changed before was not later.
            peer.changed = Timestamp::NEVER;
        }
        peer.sent = self.updated;
        peer.acked = self.ack;
        if peer.merged == 0 {
            return;
        }
        self.received.is_send_due = deltas.range(..=peer.merged).count() >= MOST_REPEATED;
        for (number, ops) in deltas.iter().filter(|(number, _)| **number > self.before.merged) {
            let end = match *number == peer.merged + 1 {
                true => data.apply(ops),
                false => Err(ApplyError::NotFound),
            };
            if let Err(error) = end {
                self.received.error = Some(error);
                peer.merged = 0;
                break;
            }
            self.received.is_data_changed = true;
            peer.merged = *number;
            peer.changed = last_updated(ops).unwrap_or(peer.changed);
        }
        // The peer takes the local node to have more than it has, or started anew below.
        if self.told != 0 && self.told != peer.merged {
            peer.merged = 0;
        }
    }
}

/// What a message that carries the node monitor tells of the life of its sender.
fn life_of(content: &Content) -> Life {
    let monitor = match content {
        Content::Ping { monitor, .. } => Some(monitor),
        Content::Full { data } | Content::Texts { data, .. } => {
            data.get("monitor").and_then(Value::as_object)
        }
        Content::Patch { .. } => None,
    };
    let status = monitor.and_then(|monitor| monitor.get("status")?.as_str());
    Life::of(status.map(NodeMonitorStatus::from).as_ref())
}

/// When the data changed, as a change of them tells last.
fn last_updated(ops: &[Op]) -> Option<Timestamp> {
    let updated = ops.iter().rev().find(|op| op.path == ["updated".into()])?;
    updated.value.as_ref()?.as_f64().map(Timestamp)
}

/// Whether [`preserve`] may put something into a full.
#[must_use]
pub fn may_preserve(full: &Document) -> bool {
    full.get("monitor").and_then(Value::as_object).is_some_and(is_preserving)
}

/// Whether a node in this state has not had the time to tell all its instances.
fn is_preserving(monitor: &Document) -> bool {
    let status = monitor.get("status").and_then(Value::as_str);
    matches!(status, Some("init" | "maintenance" | "upgrade"))
}

/// Puts into a full what its sender has not had the time to tell: in `init`, `maintenance` and `upgrade`, an instance
/// that is missing, but has a configuration, is kept as it was, marked `preserved`. `old` gives the instance as it was.
pub fn preserve(full: &mut Document, mut old: impl FnMut(&str) -> Option<Document>) {
    if !may_preserve(full) {
        return;
    }
    let Some(Value::Object(services)) = full.get_mut("services") else { return };
    let Some(Value::Object(config)) = services.get("config") else { return };
    let told = services.get("status").and_then(Value::as_object);
    let kept: Vec<(String, Value)> = config
        .keys()
        .filter(|path| !told.is_some_and(|told| told.contains_key(*path)))
        .filter_map(|path| {
            let mut instance = old(path)?;
            instance.insert("preserved".to_owned(), true.into());
            Some((path.clone(), Value::Object(instance)))
        })
        .collect();
    if kept.is_empty() {
        return;
    }
    let status = services.entry("status").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(status) = status {
        status.extend(kept);
    }
}

/// The data of a peer as plain JSON.
impl PeerData for Document {
    fn replace(&mut self, mut data: Document) {
        preserve(&mut data, |path| {
            self.get("services")?.get("status")?.get(path)?.as_object().cloned()
        });
        *self = data;
    }

    fn set_monitor(&mut self, monitor: Document) {
        self.remove("envelope");
        self.insert("monitor".to_owned(), Value::Object(monitor));
    }

    fn lose_objects(&mut self) {
        self.remove("services");
    }

    fn apply(&mut self, ops: &[Op]) -> Result<(), ApplyError> {
        let mut changed = self.clone();
        for op in ops {
            crate::journal::apply(&mut changed, op)?;
        }
        *self = changed;
        Ok(())
    }
}
