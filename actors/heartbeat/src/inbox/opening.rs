//! From a frame to a message, of a member of the cluster that takes part in the heartbeat.

use model::{Content, HeartbeatError, HeartbeatMessage, NodeName};
use wire::heartbeat::Unheard;
use wire::{Frame, Opened, Refusal};

use dataset::peer::MOST_HEAD;
use link::gate::Gate;
use link::heavy::Room;
use mail::secrets::NotUnderstood;

use crate::inbox::unsaved::Message;
use crate::ties::Ties;
use dataset::heartbeats::section::Section;

/// Bytes of a full from which on its objects are read one by one.
const MANY_OBJECTS: usize = 256 << 10;

/// Why a frame is not heard.
pub(super) enum Unopened {
    Unheard(Unheard),
    /// It has no place in the room it was opened into.
    TooLarge,
    /// The same, in the largest room, of one that holds the secret.
    Proven,
}

impl From<Unheard> for Unopened {
    fn from(unheard: Unheard) -> Self {
        Self::Unheard(unheard)
    }
}

/// Opens and reads a frame, in this much memory: from a member of the cluster that takes part in this heartbeat.
pub(super) fn open(
    bytes: &[u8],
    gate: &Gate,
    section: &Section,
    ties: &Ties,
    room: Room,
) -> Result<(Opened, NodeName, Message), Unopened> {
    let Some(keyring) = &gate.keyring else { return Err(Unheard::Foreign.into()) };
    let is_peer = |sender: &str| {
        gate.members.contains(sender) && section.peers().any(|peer| peer.as_str() == sender)
    };
    let limits = room.limits(&keyring.limits);
    let opened = keyring.open_heartbeat_within(bytes, section.kind(), is_peer, &limits);
    let opened = opened.and_then(|opened| refuse_handed_only(opened, ties));
    if let Err(Unheard::Refused(Refusal::NotOpened | Refusal::Generation { .. })) = &opened
        && let Ok(frame) = Frame::parse(bytes, &keyring.limits)
        && let Ok(member) = NodeName::new(frame.sender())
    {
        // It may have another secret, which its configuration hands over. One that is told already is asked already.
        _ = ties.not_understood.try_send(NotUnderstood(member));
    }
    let opened = match opened {
        Err(Unheard::Refused(Refusal::TooLong)) if bytes.len() <= keyring.limits.max_frame => {
            return Err(Unopened::TooLarge);
        }
        opened => opened?,
    };
    let peer = NodeName::new(opened.nodename()).map_err(|_| Unheard::Foreign)?;
    if opened.generation() > keyring.own.generation {
        // It uses the next secret already. It may have restarted, and tell nothing else while it does not hear this node.
        _ = ties.not_understood.try_send(NotUnderstood(peer.clone()));
    }
    if let Some(message) = read_texts(&opened, room) {
        return Ok((opened.without_body(), peer, check_head(message)));
    }
    let message = match opened.read_within(room.weight) {
        Ok(value) if !is_sealed(&opened) && !wire::heartbeat::is_well_formed(&value) => {
            return Err(Unopened::from(Unheard::Refused(Refusal::NotOpened)));
        }
        Ok(value) => HeartbeatMessage::from_value(value).and_then(check_head),
        Err(error) if error.is_too_heavy() => return Err(Unopened::TooLarge),
        Err(_) => Err(HeartbeatError::NotAnObject),
    };
    Ok((opened.without_body(), peer, message))
}

/// Reads a full whose objects are worth not to be read all at once. None: it is to be read as a value. What is authenticated by
/// nothing else is: its form is checked.
fn read_texts(opened: &Opened, room: Room) -> Option<HeartbeatMessage> {
    let is_large = opened.body().len() >= MANY_OBJECTS && is_sealed(opened);
    let text = is_large.then(|| std::str::from_utf8(opened.body()).ok())??;
    wire::is_within(text.as_bytes(), room.weight).then(|| HeartbeatMessage::from_texts(text))?
}

/// The secret before the one in force opens no beats once all who are heard have followed.
fn refuse_handed_only(opened: Opened, ties: &Ties) -> Result<Opened, Unheard> {
    let theirs = opened.generation();
    match ties.secret_use.load().handed_only {
        Some(generation) if generation == theirs => {
            Err(Unheard::Refused(Refusal::Generation { theirs, is_proven: true }))
        }
        Some(_) | None => Ok(opened),
    }
}

/// What a peer says beside its services is kept as it is, and small.
fn check_head(message: HeartbeatMessage) -> Message {
    let weight = match &message.content {
        Content::Full { data } => {
            let beside = data.iter().filter(|(key, _)| *key != "services");
            beside.map(|(key, value)| key.len() + wire::weigh_value(value)).sum()
        }
        Content::Texts { data, .. } => {
            data.iter().map(|(key, value)| key.len() + wire::weigh_value(value)).sum()
        }
        Content::Ping { monitor, .. } => monitor.values().map(wire::weigh_value).sum(),
        Content::Patch { .. } => 0,
    };
    if weight > MOST_HEAD {
        let expected = "small beside its services";
        return Err(HeartbeatError::Field { name: "data", expected });
    }
    Ok(message)
}

fn is_sealed(opened: &Opened) -> bool {
    opened.stamp().is_some()
}
