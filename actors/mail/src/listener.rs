//! What the listener hears.

use std::net::IpAddr;
use std::sync::Arc;

use actix::prelude::*;
use link::session::Session;

use crate::hearer::hearer;

/// The settings changed: binds again if address or port did.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reconfigure;

/// Sessions came or went: they are in the log of sessions.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SessionsChanged;

/// Ends a client session. False: there is none with this id.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct StopSession {
    /// Id of the session.
    pub id: String,
}

/// Somebody connected to another port: its session, as one of those that the limits count. None: there is no room.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<Arc<Session>>")]
pub struct Admit {
    /// Where it comes from.
    pub address: IpAddr,
}

hearer! {
    /// The listener.
    ToListener {
        reconfigure: Reconfigure,
        sessions_changed: SessionsChanged,
        stop_session: StopSession,
        admit: Admit,
    }
}
