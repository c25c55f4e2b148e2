//! From bytes to a request that may be asked, or to why not (src/wire/README.md, Refusals).

use machine::clock;
use std::net::IpAddr;

use model::NodeName;
use serde_json::Value;
use wire::{Accepted, Action, CipherId, JOIN, Keyring, Opened, Refusal, ReplyTo, Request};

use link::classic::{ClassicMemory, is_of_this_machine};
use link::freshness::Freshness;
use link::gate::Gate;
use link::heavy::{Purse, Room};
use link::secret_use::SecretUse;
use mail::requests::{Caller, Transport};

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
    /// It opened, and is refused.
    Refused(Refused),
    /// It may be asked.
    Request(Asked),
}

/// A message that opened, and is answered with its refusal.
pub(super) struct Refused {
    /// Where answers go.
    pub(super) reply_to: ReplyTo,
    /// The reply.
    pub(super) reply: Value,
    /// Whether its sender holds the secret. One that was sent before may be sent again by anybody.
    pub(super) is_proof: bool,
    /// What a sealed one has to wait for before it proves anything.
    pub(super) accepted: Option<Accepted>,
    /// Who calls itself so with the secret of this cluster, and is none of its nodes.
    pub(super) stranger: Option<NodeName>,
}

/// A request that may be asked.
pub(super) struct Asked {
    /// Where answers go.
    pub(super) reply_to: ReplyTo,
    /// Who asks, but for the address.
    pub(super) caller: Caller,
    /// What.
    pub(super) request: Box<Request>,
    /// What it weighs, in bytes of memory.
    pub(super) weight: usize,
    /// What a sealed one has to wait for before it is carried out.
    pub(super) accepted: Option<Accepted>,
    /// To be written down before it is carried out.
    pub(super) keep: Option<CipherId>,
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
    let Some(keyring) = &gate.keyring else { return invalid(bytes, Refusal::NotOpened) };
    let opened = match open(bytes, keyring, room) {
        Ok(opened) => opened,
        Err(Closed::TooLarge) => return Examined::TooLarge,
        Err(Closed::Invalid(reason)) => return invalid(bytes, reason),
        // Nothing of ours can answer it.
        Err(Closed::Silent) => return Examined::Silent,
    };
    let is_handed_only = Some(opened.generation()) == uses.handed_only;
    if is_handed_only && !is_owed(uses, &opened, gate) {
        return Examined::Silent;
    }
    let reply_to = opened.reply_to();
    // What was recorded opens for ever: only what is fresh proves who sends it, and nothing tells that of a classic message.
    let refused = |refusal: &Refusal, accepted: Option<Accepted>| match refusal.to_reply() {
        Some(reply) => {
            let is_proof = accepted.is_some();
            let stranger = stranger_of(refusal, &opened, keyring);
            let reply_to = reply_to.clone();
            Examined::Refused(Refused { reply_to, reply, is_proof, accepted, stranger })
        }
        None => invalid(bytes, refusal.clone()),
    };
    if let Err(refusal) = check_parties(&opened, keyring, gate, address) {
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
        user: Caller::root(),
        nodename,
        addr: None,
        transport,
        clustername_is_join: is_joining,
        purse: Purse::default(),
    };
    let request = Box::new(request);
    Examined::Request(Asked { reply_to, caller, request, weight, accepted, keep })
}

/// What counts against the sender of these bytes.
fn invalid(bytes: &[u8], reason: Refusal) -> Examined {
    let is_decrypted = matches!(reason, Refusal::NotOpened | Refusal::TooLong);
    Examined::Invalid { is_guess: is_decrypted && !wire::is_sealed_frame(bytes), reason }
}

/// Why a frame did not open to a request.
enum Closed {
    TooLarge,
    Invalid(Refusal),
    Silent,
}

/// Opens a frame in this much memory.
fn open(bytes: &[u8], keyring: &Keyring, room: Room) -> Result<Opened, Closed> {
    let is_largest = room == Room::LARGE;
    match keyring.open_within(bytes, &room.limits(&keyring.limits)) {
        Ok(opened) if !is_largest && !wire::is_within(opened.body(), room.weight) => {
            Err(Closed::TooLarge)
        }
        Ok(opened) if !opened.is_request() => Err(Closed::Invalid(Refusal::NotOpened)),
        Ok(opened) => Ok(opened),
        // Longer than a frame may be, it stays so. A sealed one that was inflated is of a holder of the secret, and no
        // mistake: in the end it is not carried out, and counts against nobody.
        Err(Refusal::TooLong)
            if bytes.len() <= keyring.limits.max_frame
                && (!is_largest || wire::is_sealed_frame(bytes)) =>
        {
            Err(Closed::TooLarge)
        }
        Err(refusal) if refusal.is_counted() => Err(Closed::Invalid(refusal)),
        Err(_) => Err(Closed::Silent),
    }
}

/// Whether a message is for this node, of a member, and not one of this node that somebody sent back to it.
fn check_parties(
    opened: &Opened,
    keyring: &Keyring,
    gate: &Gate,
    address: Option<IpAddr>,
) -> Result<(), Refusal> {
    keyring.check_recipient(opened)?;
    // A sealed request names its recipient; a classic one of this node to another one could be sent back to it.
    let is_own = opened.cipher_id().is_some() && opened.nodename() == &*keyring.own.nodename;
    if is_own && address.is_some_and(|address| !is_of_this_machine(address)) {
        return Err(Refusal::Own);
    }
    // Before its freshness: only members are remembered as such.
    keyring.check_sender(opened, |node| gate.members.contains(node))
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

/// Whether the sender of what the secret before opened is a member that was not heard to have the one in force.
fn is_owed(uses: &SecretUse, opened: &Opened, gate: &Gate) -> bool {
    let name = opened.nodename();
    opened.clustername() != JOIN
        && gate.members.contains(name)
        && !uses.confirmed.iter().any(|member| member.as_str() == name)
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
        Ok((request, weight)) => Examined::Request(Asked {
            reply_to,
            caller: Caller {
                user: Caller::root(),
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
        }),
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
        reply => Examined::Refused(Refused { reply_to, reply, is_proof, accepted, stranger: None }),
    }
}

/// How old, or how far ahead, what a stranger says may be to be told of: what was recorded opens for ever.
const STRANGER_AGE_MS: u64 = 30_000;

/// Who holds the secret of this cluster now, and is refused as none of its nodes: a host that was renamed, or one that does
/// not know that it was taken out.
fn stranger_of(refusal: &Refusal, opened: &Opened, keyring: &Keyring) -> Option<NodeName> {
    let is_stranger = matches!(refusal, Refusal::NotMember { .. })
        && opened.clustername() == &*keyring.own.clustername;
    let stamp = opened.stamp().filter(|_| is_stranger)?;
    let is_of_now = stamp.at.t_ms.abs_diff(clock::stamp().t_ms) <= STRANGER_AGE_MS;
    NodeName::new(opened.nodename()).ok().filter(|_| is_of_now)
}
