//! From bytes to a request that may be asked, or to why not (wire.md §3, design.md).

use model::NodeName;
use serde_json::Value;
use wire::{Form, JOIN, Refusal, Request};

use super::{Freshness, Gate};
use crate::clock;
use crate::heavy::{Purse, Room};
use crate::requests::{Caller, Transport};

/// What a message turned out to be.
pub(super) enum Examined {
    /// It counts against its sender, and is not answered.
    Invalid(Refusal),
    /// It has no place in the room it was opened into, and is to be opened into a larger one.
    TooLarge,
    /// It opened, but there is nothing to answer.
    Silent,
    /// It opened, and is refused with this reply.
    Refused {
        /// How it came.
        form: Form,
        /// The reply.
        reply: Value,
    },
    /// It may be asked.
    Request {
        /// How it came.
        form: Form,
        /// Who asks, but for the address.
        caller: Caller,
        /// What.
        request: Box<Request>,
        /// What it weighs, in bytes of memory.
        weight: usize,
    },
}

/// Most bytes of memory of a request that neither sets a key, creates objects, leaves a message nor posts a status.
const MOST_ORDINARY: usize = 1 << 20;

/// Longest text of a request by which a node of another cluster joins, or leaves a message at the relay.
const LONGEST_JOIN: usize = 6 << 20;

/// Examines a frame from the network, in this much memory.
pub(super) fn examine(bytes: &[u8], gate: &Gate, freshness: &Freshness, room: Room) -> Examined {
    let Some(keyring) = &gate.keyring else { return Examined::Invalid(Refusal::NotOpened) };
    let is_largest = room == Room::LARGE;
    let opened = match keyring.open_within(bytes, &room.limits(&keyring.limits)) {
        Ok(opened) if !is_largest && !wire::is_within(opened.body(), room.weight) => {
            return Examined::TooLarge;
        }
        Ok(opened) => opened,
        // Longer than a frame may be, it stays so.
        Err(Refusal::TooLong) if !is_largest && bytes.len() <= keyring.limits.max_frame => {
            return Examined::TooLarge;
        }
        Err(refusal) => return Examined::Invalid(refusal),
    };
    let form = *opened.form();
    let refused = |refusal: &Refusal| match refusal.to_reply() {
        Some(reply) => Examined::Refused { form, reply },
        None => Examined::Invalid(refusal.clone()),
    };
    if let Some(stamp) = opened.stamp()
        && let Err(refusal) = freshness.take(clock::now_ms(), stamp)
    {
        return refused(&refusal);
    }
    if let Err(refusal) = keyring.check_sender(&opened, |node| gate.members.contains(node)) {
        return refused(&refusal);
    }
    let Ok(nodename) = NodeName::new(opened.nodename()) else {
        return refused(&Refusal::NotMember {
            nodename: opened.nodename().chars().take(80).collect::<String>().into(),
            clustername: opened.clustername().into(),
        });
    };
    let is_joining = opened.clustername() == JOIN;
    if is_joining && opened.body().len() > LONGEST_JOIN {
        return refusal_of(form, &wire::RequestError::TooHeavy);
    }
    let (request, weight) = match parse(opened.body(), room.weight) {
        Ok(parsed) => parsed,
        Err(error) => return refusal_of(form, &error),
    };
    if let Err(refusal) = keyring.check_action(&opened, &request.action) {
        return refused(&refusal);
    }
    let transport = match form {
        Form::Sealed(_) => Transport::Sealed,
        Form::Classic | Form::Plain => Transport::Classic,
    };
    let caller = Caller {
        nodename,
        addr: None,
        transport,
        clustername_is_join: is_joining,
        purse: Purse::default(),
    };
    Examined::Request { form, caller, request: Box::new(request), weight }
}

/// Reads a request, and tells what it weighs.
fn parse(body: &[u8], budget: usize) -> Result<(Request, usize), wire::RequestError> {
    let request = Request::parse_within(body, budget)?;
    let weight = wire::weigh(body);
    if weight > MOST_ORDINARY && !request.action.may_be_large() {
        return Err(wire::RequestError::TooHeavy);
    }
    Ok((request, weight))
}

/// Examines a message of the control socket: whoever may connect is the node's administrator.
pub(super) fn examine_plain(bytes: &[u8], nodename: &NodeName) -> Examined {
    let form = Form::Plain;
    match parse(bytes, Room::LARGE.weight) {
        Ok((request, weight)) => Examined::Request {
            form,
            caller: Caller {
                nodename: nodename.clone(),
                addr: None,
                transport: Transport::Unix,
                clustername_is_join: false,
                purse: Purse::default(),
            },
            request: Box::new(request),
            weight,
        },
        Err(error) => refusal_of(form, &error),
    }
}

fn refusal_of(form: Form, error: &wire::RequestError) -> Examined {
    match error.to_reply() {
        Value::Null => Examined::Silent,
        reply => Examined::Refused { form, reply },
    }
}
