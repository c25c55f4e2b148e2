//! From the bytes of a driver to a message that is heard.

mod namesake;
mod opening;
mod questions;
mod unsaved;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Alert, Content, HeartbeatMessage, NodeName};
use monitor::timeline::{Judged, Told};
use ring::rand::SystemRandom;
use wire::heartbeat::Unheard;
use wire::{Accepted, Beat, CipherId, Limits, Opened, Raw, Refusal, Stamp};

use dataset::ahead::{is_heavy, work_out};
use link::blacklist::BlacklistView;
use link::classic::HeartbeatOf;
use link::heavy::{Held, Room};
use link::{heavy, unopened};
use machine::clock;
use mail::blacklist::{Invalid, Valid};
use mail::cluster_data::HeartbeatHeard;
use metrics::tallies::Direction;

use crate::fragments::Fragments;
use crate::inbox::namesake::Alike;
use crate::inbox::opening::{Unopened, open};
use crate::inbox::unsaved::{Message, Unsaved, Waiting};
use crate::note::Notes;
use crate::ties::Ties;
use dataset::heartbeats::section::Section;

/// Messages from this size on are opened outside of the thread of heartbeats.
const LARGE: usize = 16 << 10;

/// Longest wait for the blacklist keeper.
const KEEPER_PATIENCE: Duration = Duration::from_secs(1);

/// Longest wait until a large message is merged.
const MERGE_PATIENCE: Duration = Duration::from_secs(10);

/// Where a frame came from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// The other end of a connection: mistakes count against it.
    Connection(IpAddr),
    /// What a datagram names, which can be anybody's: blacklisting it would silence a member.
    Datagram(IpAddr),
    /// A place where peers leave messages.
    Slot,
}

impl Origin {
    /// The address of whoever sent the frame, which nobody can pretend.
    fn proved(self) -> Option<IpAddr> {
        match self {
            Self::Connection(address) => Some(address),
            Self::Datagram(_) | Self::Slot => None,
        }
    }

    /// The address that a message came from: that of its sender, unless somebody sent it again.
    fn named(self) -> Option<IpAddr> {
        match self {
            Self::Connection(address) | Self::Datagram(address) => Some(address),
            Self::Slot => None,
        }
    }
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was heard.
    Heard { peer: NodeName, is_sealed: bool },
    /// It opened, but comes late, again, or out of order: no beat.
    Old,
    /// Nothing for this heartbeat.
    Foreign,
    /// Nothing that a peer would send: counted.
    Invalid,
}

/// Whether the sender of a classic message is there.
enum Presence {
    /// It tells that it is.
    Now,
    /// It is to be asked.
    Asked,
    /// The message is no sign of it.
    Past,
}

/// Takes frames. Clones share what they know.
#[derive(Clone)]
pub(super) struct Inbox {
    section: Arc<Section>,
    ties: Arc<Ties>,
    notes: Notes,
    /// When peers were asked for a proof.
    asked: Rc<RefCell<BTreeMap<NodeName, Instant>>>,
    /// Whether one name is that of two machines.
    namesakes: Rc<RefCell<Alike>>,
    /// Messages that a restart would not refuse yet.
    unsaved: Rc<RefCell<Unsaved>>,
    random: Rc<SystemRandom>,
}

impl Inbox {
    pub(super) fn new(section: Arc<Section>, ties: Arc<Ties>, notes: Notes) -> Self {
        let random = Rc::new(SystemRandom::new());
        let (asked, namesakes, unsaved) = Default::default();
        Self { section, ties, notes, asked, namesakes, unsaved, random }
    }

    pub(super) fn section(&self) -> &Arc<Section> {
        &self.section
    }

    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Limits of frames in force.
    pub(super) fn limits(&self) -> Limits {
        self.ties.gate.load().limits()
    }

    /// Whether messages are taken that nothing authenticates.
    pub(super) fn takes_classic(&self) -> bool {
        self.ties.gate.load().takes_classic()
    }

    /// Who is known, and whose messages wait their turn. Heartbeats that name a participant never ask who is refused.
    pub(super) fn blacklist(&self) -> &BlacklistView {
        &self.ties.blacklist
    }

    /// What came in datagrams, over all sections.
    pub(super) fn fragments(&self) -> &Fragments {
        &self.ties.fragments
    }

    /// The memory of messages that are on their way.
    pub(super) fn unopened(&self) -> &Arc<unopened::Unopened> {
        &self.ties.unopened
    }

    /// Takes a frame.
    pub(super) async fn take(&self, bytes: impl Into<Raw>, origin: Origin) -> Taken {
        let address = origin.proved();
        let bytes: Raw = bytes.into();
        let length = bytes.len();
        let gate = self.ties.gate.load_full();
        let section = self.section.clone();
        let ties = self.ties.clone();
        // A small frame may inflate to a thousand times its size.
        let small =
            (length < LARGE).then(|| open(&bytes, &gate, &section, &ties, Room::SMALL)).transpose();
        let mut turn = None;
        let opened = match small {
            Ok(Some(opened)) => Ok(opened),
            Ok(None) | Err(Unopened::TooLarge) => {
                // One at a time, until it is merged.
                turn = heavy::heartbeat_turn().await;
                if turn.is_none() {
                    self.notes.failed(None, "too many large messages");
                    return Taken::Old;
                }
                let work = move || match open(&bytes, &gate, &section, &ties, Room::HEARTBEAT) {
                    // Inflated, so it is of a holder of the secret: no mistake that counts.
                    Err(Unopened::TooLarge) if wire::is_sealed_frame(&bytes) => {
                        Err(Unopened::Proven)
                    }
                    opened => opened,
                };
                match heavy::apart(work).await {
                    Some(opened) => opened,
                    None => return Taken::Foreign,
                }
            }
            Err(unopened) => Err(unopened),
        };
        let (opened, peer, message) = match opened {
            Ok(opened) => opened,
            Err(Unopened::Proven) => {
                self.notes.failed(None, "a message is too large to be read");
                return Taken::Old;
            }
            Err(Unopened::Unheard(Unheard::Foreign)) => return Taken::Foreign,
            Err(unopened) => {
                let refusal = match unopened {
                    Unopened::Unheard(Unheard::Refused(refusal)) => refusal,
                    _ => Refusal::TooLong,
                };
                self.notes.failed(None, &refusal);
                self.count(refusal, address).await;
                return Taken::Invalid;
            }
        };
        let accepted = match self.check_fresh(&opened) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                // What is sent again tells nothing of its sender; of two machines, one is refused for the boot of the other.
                if refusal == Refusal::Retired {
                    self.look_for_namesake(&peer, address, opened.stamp());
                }
                self.on_old(&peer, &refusal);
                return Taken::Old;
            }
        };
        if matches!(&message, Ok(message) if message.is_change()) {
            self.ties.counts.tallies.on_patch(Direction::Received, length);
        }
        let Some(accepted) = accepted else {
            return self.hear_classic(peer, &opened, message, length, turn, origin).await;
        };
        self.look_for_namesake(&peer, origin.named(), opened.stamp());
        self.forgive(address);
        self.on_skew(&peer, accepted.skew_ms);
        let boot = opened.stamp().map(|stamp| stamp.at.boot);
        let mut waiting = Waiting { boot, accepted, message, turn, length, is_noted: false };
        if accepted.saved_by.is_some() {
            // Who beats goes on, however slow the disk is: what is queued behind would be late, and the peer given up.
            waiting.is_noted = self.unsaved.borrow().knows(&peer, boot);
            if waiting.is_noted {
                self.notes.beat(&peer, length);
            }
            self.hear_once_saved(&peer, waiting);
        } else {
            self.hear(&peer, waiting).await;
        }
        Taken::Heard { peer, is_sealed: true }
    }

    /// Hears a sealed message that a restart would refuse.
    async fn hear(&self, peer: &NodeName, waiting: Waiting) {
        let Waiting { boot, message, turn, length, is_noted, .. } = waiting;
        self.unsaved.borrow_mut().learn(peer, boot);
        match message {
            Ok(message) => self.hand_over(peer, message, turn, (!is_noted).then_some(length)).await,
            // Whoever says something strange is alive.
            Err(error) => {
                self.notes.failed(None, format_args!("{peer}: {error}"));
                if !is_noted {
                    self.notes.beat(peer, length);
                }
            }
        }
    }

    /// Hears a message once a restart would refuse it, and those that came meanwhile after it.
    fn hear_once_saved(&self, peer: &NodeName, waiting: Waiting) {
        if !self.unsaved.borrow_mut().wait(peer, waiting) {
            return;
        }
        let (this, peer) = (self.clone(), peer.clone());
        tokio::task::spawn_local(async move {
            loop {
                let next = this.unsaved.borrow_mut().next(&peer);
                let Some(waiting) = next else { return };
                this.ties.freshness.settle(waiting.accepted).await;
                this.hear(&peer, waiting).await;
            }
        });
    }

    /// Hears a classic message, of which nothing says when it was sent unless it can be read.
    async fn hear_classic(
        &self,
        peer: NodeName,
        opened: &Opened,
        message: Message,
        length: usize,
        turn: Option<Held>,
        origin: Origin,
    ) -> Taken {
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                self.notes.failed(None, format_args!("{peer}: {error}"));
                return Taken::Old;
            }
        };
        if let Some(id) = opened.cipher_id() {
            let presence = self.presence(&peer, id, &message);
            let is_now = matches!(presence, Presence::Now);
            let seen = if is_now { origin.named() } else { origin.proved() };
            self.look_for_namesake(&peer, seen, None);
            match presence {
                // What was recorded is no excuse for what was sent before.
                Presence::Now => self.forgive(origin.proved()),
                Presence::Past => return Taken::Old,
                Presence::Asked => {
                    self.ask_for_sign(peer, message, length);
                    return Taken::Old;
                }
            }
        }
        self.hand_over(&peer, message, turn, Some(length)).await;
        Taken::Heard { peer, is_sealed: false }
    }

    /// Notes the beat, if it is to be, and hands over what it says: first, unless that may take a while.
    async fn hand_over(
        &self,
        peer: &NodeName,
        message: HeartbeatMessage,
        turn: Option<Held>,
        beat: Option<usize>,
    ) {
        let is_slow = turn.is_some() || is_heavy(&self.ties.snapshot.load(), peer, &message);
        let note = || {
            if let Some(length) = beat {
                self.notes.beat(peer, length);
            }
        };
        if is_slow {
            note();
        }
        if !self.tell(peer, message, turn, is_slow).await {
            // It is sent again until it is acknowledged.
            self.notes.failed(None, "the cluster data is busy");
        }
        if !is_slow {
            note();
        }
    }

    /// Hands a message to the cluster data, which only takes over what a large one makes of the data of its sender. False:
    /// it was not taken.
    async fn tell(
        &self,
        peer: &NodeName,
        mut message: HeartbeatMessage,
        turn: Option<Held>,
        is_slow: bool,
    ) -> bool {
        let from = peer.clone();
        let mut turn = turn;
        if turn.is_none() && is_slow {
            turn = heavy::heartbeat_turn().await;
            if turn.is_none() {
                return false;
            }
        }
        if turn.is_none() {
            return self.ties.heard.try_send(HeartbeatHeard::new(from, message)).is_ok();
        }
        let snapshot = self.ties.snapshot.clone();
        let work = move || {
            let reading = work_out(&snapshot.load(), &from, &mut message);
            HeartbeatHeard { from, message, reading, turn }
        };
        let Some(heard) = heavy::apart(work).await else { return false };
        let told = self.ties.heard.send(heard);
        matches!(tokio::time::timeout(MERGE_PATIENCE, told).await, Ok(Ok(())))
    }

    /// Tells that two machines call themselves alike: each undoes what the other one says.
    fn look_for_namesake(&self, peer: &NodeName, address: Option<IpAddr>, stamp: Option<&Stamp>) {
        let window = self.ties.gate.load().listener.replay_window.as_millis();
        // What was recorded in an earlier boot opens for ever.
        let is_of_now =
            |stamp: &&Stamp| u128::from(stamp.at.t_ms.abs_diff(clock::stamp().t_ms)) <= window;
        let address = address.map(|address| address.to_canonical());
        let boot = stamp.filter(is_of_now).map(|stamp| stamp.at.boot);
        let (now, timeout) = (clock::steady(), self.section.settings.timeout);
        let news = self.namesakes.borrow_mut().hear(now, peer, address, boot, timeout);
        if let Some(alert) = news {
            self.notes.alert(&format!("namesake {peer}"), alert);
        }
    }

    /// None for a classic one, which does not tell.
    fn check_fresh(&self, opened: &Opened) -> Result<Option<Accepted>, Refusal> {
        let Some(stamp) = opened.stamp() else { return Ok(None) };
        let settings = &self.section.settings;
        let timeout_us = i64::try_from(settings.timeout.as_micros()).unwrap_or(i64::MAX);
        let beat = Beat { section: &settings.name, timeout_us };
        self.ties.freshness.take(opened, stamp, Some(beat)).map(Some)
    }

    /// Tells that the wall clock of a peer is off, which does not keep it from being heard.
    fn on_skew(&self, peer: &NodeName, skew_ms: i64) {
        let window = self.ties.gate.load().listener.replay_window;
        let alert = (u128::from(skew_ms.unsigned_abs()) > window.as_millis()).then(|| {
            // In steps of 10 s: what wavers is no news.
            let seconds = (skew_ms.unsigned_abs() + 5_000) / 10_000 * 10;
            let text =
                format!("{peer}: its clock differs from ours by {seconds} s: set them right");
            Alert::warning(text)
        });
        self.notes.alert(&format!("clock {peer}"), alert);
    }

    /// Whether a classic message is of now, as far as it tells.
    fn presence(&self, peer: &NodeName, id: CipherId, message: &HeartbeatMessage) -> Presence {
        let generation = |node: &NodeName| message.r#gen.get(node).copied().unwrap_or(0);
        let snapshot = self.ties.snapshot.load();
        let told = Told {
            id,
            is_full: matches!(message.content, Content::Full { .. } | Content::Texts { .. }),
            updated: message.updated,
            generation: generation(peer),
            acked: generation(snapshot.nodename()),
        };
        let local = snapshot.local().and_then(|it| it.data.r#gen.get(snapshot.nodename()).copied());
        let settings = &self.section.settings;
        // No listener on the network writes the slot of a disk.
        let is_guarded = settings.kind == "disk";
        let section = HeartbeatOf { name: &settings.name, timeout: settings.timeout, is_guarded };
        match self.ties.classic.judge(&section, peer, &told, local.unwrap_or(0)) {
            Judged::Beat => {
                self.ties.classic.on_heard();
                Presence::Now
            }
            Judged::Again => Presence::Past,
            Judged::Repeated if is_guarded => {
                self.ties.classic.on_heard();
                Presence::Now
            }
            Judged::Repeated | Judged::Unsigned => Presence::Asked,
            Judged::Old => {
                self.notes.failed(None, format_args!("a message of {peer} comes late"));
                Presence::Past
            }
            Judged::Unproven => {
                let text = format!(
                    "{peer}: a message of another time: its clock was set, or an old message is sent again"
                );
                self.notes.failed(None, &text);
                let alert = Some(Alert::warning(text));
                self.notes.alert(&format!("clock {peer}"), alert);
                if is_guarded { Presence::Past } else { Presence::Asked }
            }
        }
    }

    async fn count(&self, reason: Refusal, address: Option<IpAddr>) {
        if let Some(sender) = address
            && reason.is_counted()
        {
            let counted = self.ties.invalid.send(Invalid { sender, reason });
            _ = tokio::time::timeout(KEEPER_PATIENCE, counted).await;
        }
    }

    /// Never waits: the next message forgives as well.
    fn forgive(&self, address: Option<IpAddr>) {
        if let Some(sender) = address
            && self.ties.blacklist.count(sender) > 0
        {
            _ = self.ties.valid.try_send(Valid(sender));
        }
    }
}
