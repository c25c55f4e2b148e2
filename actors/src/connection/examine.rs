//! From bytes to a request that may be asked, or to why not (src/wire/README.md, Refusals).

use std::net::IpAddr;

use model::NodeName;
use serde_json::Value;
use wire::{Accepted, Action, CipherId, JOIN, Opened, Refusal, ReplyTo, Request};

use super::classic::is_of_this_machine;
use super::{ClassicMemory, Gate};
use crate::freshness::Freshness;
use crate::heavy::{Purse, Room};
use crate::requests::{Caller, Transport};
use crate::secret_keeper::SecretUse;

/// What a message turned out to be.
pub(super) enum Examined {
    /// It counts against its sender, and is not answered. When that shows does not tell how far a classic one was read.
    Invalid {
        /// Why.
        reason: Refusal,
        /// It was decrypted, and nothing says who made it.
        is_guess: bool,
    },
    /// It has no place in the room it was opened into, and is to be opened into a larger one.
    TooLarge,
    /// It opened, but there is nothing to answer.
    Silent,
    /// It opened, and is refused with this reply.
    Refused {
        /// Where answers go.
        reply_to: ReplyTo,
        /// The reply.
        reply: Value,
        /// Whether its sender holds the secret. One that was sent before may be sent again by anybody.
        is_proof: bool,
        /// What a sealed one has to wait for before it proves anything.
        accepted: Option<Accepted>,
    },
    /// It may be asked.
    Request {
        /// Where answers go.
        reply_to: ReplyTo,
        /// Who asks, but for the address.
        caller: Caller,
        /// What.
        request: Box<Request>,
        /// What it weighs, in bytes of memory.
        weight: usize,
        /// What a sealed one has to wait for before it is carried out.
        accepted: Option<Accepted>,
        /// To be written down before it is carried out.
        keep: Option<CipherId>,
    },
}

/// Most bytes of memory of a request that neither sets a key, creates objects, leaves a message nor posts a status.
const MOST_ORDINARY: usize = 1 << 20;

/// Longest text of a request by which a node of another cluster joins, or leaves a message at the relay.
const LONGEST_JOIN: usize = 6 << 20;

/// Examines a frame from the network, in this much memory.
pub(super) fn examine(
    bytes: &[u8],
    gate: &Gate,
    uses: &SecretUse,
    freshness: &Freshness,
    classic: &ClassicMemory,
    address: Option<IpAddr>,
    room: Room,
) -> Examined {
    let invalid = |reason: Refusal| {
        let is_decrypted = matches!(reason, Refusal::NotOpened | Refusal::TooLong);
        Examined::Invalid { is_guess: is_decrypted && !wire::is_sealed_frame(bytes), reason }
    };
    let Some(keyring) = &gate.keyring else { return invalid(Refusal::NotOpened) };
    let is_largest = room == Room::LARGE;
    let opened = match keyring.open_within(bytes, &room.limits(&keyring.limits)) {
        Ok(opened) if !is_largest && !wire::is_within(opened.body(), room.weight) => {
            return Examined::TooLarge;
        }
        Ok(opened) if !opened.is_request() => return invalid(Refusal::NotOpened),
        Ok(opened) => opened,
        // Longer than a frame may be, it stays so. A sealed one that was inflated is of a holder of the secret, and no
        // mistake: in the end it is not carried out, and counts against nobody.
        Err(Refusal::TooLong)
            if bytes.len() <= keyring.limits.max_frame
                && (!is_largest || wire::is_sealed_frame(bytes)) =>
        {
            return Examined::TooLarge;
        }
        Err(refusal) if refusal.is_counted() => return invalid(refusal),
        // Nothing of ours can answer it.
        Err(_) => return Examined::Silent,
    };
    let is_handed_only = Some(opened.generation()) == uses.handed_only;
    if is_handed_only && !uses.is_owed(&opened, gate) {
        return Examined::Silent;
    }
    let reply_to = opened.reply_to();
    // What was recorded opens for ever: only what is fresh proves who sends it, and nothing tells that of a classic message.
    let refused = |refusal: &Refusal, accepted: Option<Accepted>| match refusal.to_reply() {
        Some(reply) => {
            let is_proof = accepted.is_some();
            Examined::Refused { reply_to: reply_to.clone(), reply, is_proof, accepted }
        }
        None => invalid(refusal.clone()),
    };
    if let Err(refusal) = keyring.check_recipient(&opened) {
        return refused(&refusal, None);
    }
    // A sealed request names its recipient; a classic one of this node to another one could be sent back to it.
    let is_own = opened.cipher_id().is_some() && opened.nodename() == &*keyring.own.nodename;
    if is_own && address.is_some_and(|address| !is_of_this_machine(address)) {
        return refused(&Refusal::Own, None);
    }
    // Before its freshness: only members are remembered as such.
    if let Err(refusal) = keyring.check_sender(&opened, |node| gate.members.contains(node)) {
        return refused(&refusal, None);
    }
    let accepted = match opened.stamp().map(|stamp| freshness.take(&opened, stamp, None)) {
        None => None,
        Some(Ok(accepted)) => Some(accepted),
        Some(Err(refusal)) => return refused(&refusal, None),
    };
    let Ok(nodename) = NodeName::new(opened.nodename()) else {
        let refusal = Refusal::NotMember {
            nodename: opened.nodename().chars().take(80).collect::<String>().into(),
            clustername: opened.clustername().into(),
        };
        return refused(&refusal, accepted);
    };
    let is_joining = opened.clustername() == JOIN;
    if is_joining && opened.body().len() > LONGEST_JOIN {
        return refusal_of(reply_to, &wire::RequestError::TooHeavy, accepted);
    }
    let (request, weight) = match parse(opened.body(), room.weight) {
        Ok(parsed) => parsed,
        Err(error) => return refusal_of(reply_to, &error, accepted),
    };
    if is_handed_only && !is_hand_over(&request) {
        return Examined::Silent;
    }
    if let Err(refusal) = keyring.check_action(&opened, &request.action) {
        return refused(&refusal, accepted);
    }
    let transport = if reply_to.is_sealed() { Transport::Sealed } else { Transport::Classic };
    let mut keep = None;
    if let Some(id) = opened.cipher_id() {
        let is_changing = is_changing(&request.action);
        if let Err(refusal) = classic.take(id, is_changing) {
            return refused(&refusal, None);
        }
        keep = is_changing.then_some(id);
    }
    let caller = Caller {
        nodename,
        addr: None,
        transport,
        clustername_is_join: is_joining,
        purse: Purse::default(),
    };
    Examined::Request { reply_to, caller, request: Box::new(request), weight, accepted, keep }
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

/// Whether a request would do something when it came again. What is left at a relay is told old from new by its readers, and
/// comes with each heartbeat: it would push out what matters.
fn is_changing(action: &Action) -> bool {
    action.route().method != "GET" && !matches!(action, Action::RelayTx(_))
}

impl SecretUse {
    /// Whether the sender of what the secret before opened is a member that was not heard to have the one in force.
    fn is_owed(&self, opened: &Opened, gate: &Gate) -> bool {
        let name = opened.nodename();
        opened.clustername() != JOIN
            && gate.members.contains(name)
            && !self.confirmed.iter().any(|member| member.as_str() == name)
    }
}

/// The one request that hands the secret in force to a member that has the one before.
fn is_hand_over(request: &Request) -> bool {
    match &request.action {
        Action::ObjectConfig(options) => options.path == "cluster" && !request.is_fanned_out(),
        _ => false,
    }
}

/// Examines a message of the control socket: whoever may connect is the node's administrator.
pub(super) fn examine_plain(bytes: &[u8], nodename: &NodeName) -> Examined {
    let reply_to = ReplyTo::Plain;
    match parse(bytes, Room::LARGE.weight) {
        Ok((request, weight)) => Examined::Request {
            reply_to,
            caller: Caller {
                nodename: nodename.clone(),
                addr: None,
                transport: Transport::Unix,
                clustername_is_join: false,
                purse: Purse::default(),
            },
            request: Box::new(request),
            weight,
            accepted: None,
            keep: None,
        },
        Err(error) => refusal_of(reply_to, &error, None),
    }
}

fn refusal_of(
    reply_to: ReplyTo,
    error: &wire::RequestError,
    accepted: Option<Accepted>,
) -> Examined {
    let is_proof = accepted.is_some() || reply_to == ReplyTo::Plain;
    match error.to_reply() {
        Value::Null => Examined::Silent,
        reply => Examined::Refused { reply_to, reply, is_proof, accepted },
    }
}
