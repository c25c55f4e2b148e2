//! From bytes to a request that may be asked, or to why not (wire.md §3, design.md).

use model::NodeName;
use serde_json::Value;
use wire::{Form, JOIN, Refusal, Request};

use super::{Freshness, Gate};
use crate::clock;
use crate::requests::{Caller, Transport};

/// What a message turned out to be.
pub(super) enum Examined {
    /// It counts against its sender, and is not answered.
    Invalid(Refusal),
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
    },
}

/// Examines a frame from the network.
pub(super) fn examine(bytes: &[u8], gate: &Gate, freshness: &Freshness) -> Examined {
    let Some(keyring) = &gate.keyring else { return Examined::Invalid(Refusal::NotOpened) };
    let opened = match keyring.open(bytes) {
        Ok(opened) => opened,
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
    let request = match Request::parse(opened.body()) {
        Ok(request) => request,
        Err(error) => return refusal_of(form, &error),
    };
    if let Err(refusal) = keyring.check_action(&opened, &request.action) {
        return refused(&refusal);
    }
    let transport = match form {
        Form::Sealed(_) => Transport::Sealed,
        Form::Classic | Form::Plain => Transport::Classic,
    };
    let clustername_is_join = opened.clustername() == JOIN;
    let caller = Caller { nodename, addr: None, transport, clustername_is_join };
    Examined::Request { form, caller, request: Box::new(request) }
}

/// Examines a message of the control socket: whoever may connect is the node's administrator.
pub(super) fn examine_plain(bytes: &[u8], nodename: &NodeName) -> Examined {
    let form = Form::Plain;
    match Request::parse(bytes) {
        Ok(request) => Examined::Request {
            form,
            caller: Caller {
                nodename: nodename.clone(),
                addr: None,
                transport: Transport::Unix,
                clustername_is_join: false,
            },
            request: Box::new(request),
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
