//! What is done with a message of a peer.

use model::{Content, HeartbeatMessage, NodeMonitorStatus};

use super::*;

/// The data of a peer, as they are kept.
pub trait PeerData {
    /// All data are replaced, but for what [`preserve`] keeps.
    fn replace(&mut self, data: Map<String, Value>);

    /// The node monitor is replaced, and which dialect the peer speaks is not known any more: it started anew, maybe as
    /// another agent. The rest stays.
    fn set_monitor(&mut self, monitor: Map<String, Value>);

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
        let is_past = message.updated.0 > 0.0
            && (message.updated < before.sent || message.updated < before.changed);
        let (count, newest) = before.past;
        before.past = match is_past {
            true if message.updated >= newest => (count + 1, message.updated),
            true => (1, message.updated),
            false => (0, Timestamp::NEVER),
        };
        if before.past.0 >= STEPPED {
            (before.sent, before.changed) = (Timestamp::NEVER, Timestamp::NEVER);
        }
        if let Some(known) = self.peers.get_mut(from) {
            *known = before;
        }
        let mut peer = before;
        let is_recent = now.since(before.taken) < STALE_SECS;
        let is_of_the_past =
            |than: Timestamp| message.updated.0 > 0.0 && message.updated < than && is_recent;
        let ack = self.read_ack(message.r#gen.get(&self.local).copied());
        let told = message.r#gen.get(from).copied().unwrap_or(0);
        let is_known_to = |node: &&NodeName| **node != self.local && **node != *from;
        let known_to: BTreeSet<NodeName> =
            message.r#gen.keys().filter(is_known_to).cloned().collect();
        let mut life = life_of(&message.content);
        let mut received = Received::default();
        let mut is_about_to_tell = false;
        match message.content {
            Content::Ping { .. } | Content::Patch { .. } if is_of_the_past(before.sent) => {
                received.is_stale = true;
                return received;
            }
            Content::Ping { monitor, .. } => {
                peer = Peer { merged: 0, acked: ack, sent: message.updated, ..Peer::default() };
                is_about_to_tell = is_preserving(&monitor);
                data.set_monitor(monitor);
                received.is_data_changed = true;
            }
            Content::Full { data: full } => {
                let is_newer = message.updated > before.changed && known.is_some();
                let is_wanted = told > before.merged && !is_of_the_past(before.changed);
                if told == 0 || told > MOST_GENERATION || !(is_wanted || is_newer) {
                    // Deployed agents repeat a full with acknowledgements of its time: only a higher one is news.
                    let Some(known) = self.peers.get_mut(from) else { return received };
                    received.is_exchange_changed = ack > known.acked;
                    known.acked = known.acked.max(ack);
                    self.trim();
                    return received;
                }
                data.replace(full);
                received.is_data_changed = true;
                peer.merged = told;
                peer.acked = ack;
                peer.changed = message.updated;
                // What was sent before this change is of the past.
                if message.updated > peer.sent {
                    peer.sent = message.updated;
                }
            }
            Content::Patch { deltas } => {
                if message.updated < before.sent {
                    // The clock of the sender was set back: what changed before was not later.
                    peer.changed = Timestamp::NEVER;
                }
                peer.sent = message.updated;
                peer.acked = ack;
                let repeated = deltas.range(..=peer.merged).count();
                received.is_send_due = repeated >= MOST_REPEATED && peer.merged > 0;
                if peer.merged > 0 {
                    for (number, ops) in deltas.into_iter().filter(|(n, _)| *n > before.merged) {
                        let end = if number == peer.merged + 1 {
                            data.apply(&ops)
                        } else {
                            Err(ApplyError::NotFound)
                        };
                        if let Err(error) = end {
                            received.error = Some(error);
                            peer.merged = 0;
                            break;
                        }
                        received.is_data_changed = true;
                        peer.merged = number;
                        peer.changed = last_updated(&ops).unwrap_or(peer.changed);
                    }
                    // The peer takes the local node to have more than it has, or started anew below.
                    if told != 0 && told != peer.merged {
                        peer.merged = 0;
                    }
                    if peer.merged > 0 {
                        life = Life::Same;
                    }
                }
            }
        }
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
        unseen.on_message(now.steady, seen, known.map(|known| known.seen()), lost.is_some(), life);
        if self.known_to.get(from) != Some(&known_to) {
            self.known_to.insert(from.clone(), known_to);
        }
        self.peers.insert(from.clone(), peer);
        self.trim();
        let is_full_due = peer.acked == 0 && (before.acked != 0 || known.is_none());
        if peer.merged != before.merged || is_full_due {
            self.raise_if_full();
        }
        // A deployed agent looks at what is asked of it only beside a generation that it does not have.
        self.is_raise_due |= peer.merged == 0 && (before.merged != 0 || known.is_none());
        received
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

/// What a message that carries the node monitor tells of the life of its sender.
fn life_of(content: &Content) -> Life {
    let monitor = match content {
        Content::Ping { monitor, .. } => Some(monitor),
        Content::Full { data } => data.get("monitor").and_then(Value::as_object),
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
pub fn may_preserve(full: &Map<String, Value>) -> bool {
    full.get("monitor").and_then(Value::as_object).is_some_and(is_preserving)
}

/// Whether a node in this state has not had the time to tell all its instances.
fn is_preserving(monitor: &Map<String, Value>) -> bool {
    let status = monitor.get("status").and_then(Value::as_str);
    matches!(status, Some("init" | "maintenance" | "upgrade"))
}

/// Puts into a full what its sender has not had the time to tell: in `init`, `maintenance` and `upgrade`, an instance
/// that is missing, but has a configuration, is kept as it was, marked `preserved`. `old` gives the instance as it was.
pub fn preserve(
    full: &mut Map<String, Value>,
    mut old: impl FnMut(&str) -> Option<Map<String, Value>>,
) {
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
impl PeerData for Map<String, Value> {
    fn replace(&mut self, mut data: Map<String, Value>) {
        preserve(&mut data, |path| {
            self.get("services")?.get("status")?.get(path)?.as_object().cloned()
        });
        *self = data;
    }

    fn set_monitor(&mut self, monitor: Map<String, Value>) {
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
