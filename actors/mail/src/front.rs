//! What the front hears.

use crate::hearer::hearer;
use actix::prelude::*;

/// The settings changed: opens and closes its sockets as they say.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reconfigure;

hearer! {
    /// A socket of the front: the HTTP socket, or the TLS listener.
    ToFrontSocket {
        reconfigure: Reconfigure,
    }
}
