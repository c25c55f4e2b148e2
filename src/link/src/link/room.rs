//! How large a reply may be.

use serde_json::Value;
use wire::{Action, Request};

use crate::link::error::AskError;
use crate::link::server::Server;

/// How large a reply may be that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes of its text.
    pub(super) text: usize,
    /// Bytes of what is read out of it.
    pub(super) weight: usize,
}

impl Room {
    /// The status of a cluster of eight nodes with 10,000 services each, and what as many nodes answer together.
    pub(super) const LARGE: Self = Self { text: 80 << 20, weight: 512 << 20 };
    /// Anything else: the whole log of an object is the largest.
    pub(super) const ORDINARY: Self = Self { text: 26 << 20, weight: 128 << 20 };

    pub(super) fn of(request: &Request) -> Self {
        let is_large = match &request.action {
            Action::DaemonStatus(_) | Action::ObjectCreate(_) => true,
            // Of all data at first, not of changes alone.
            Action::Events(options) => options.full,
            _ => request.node.is_some(),
        };
        if is_large { Self::LARGE } else { Self::ORDINARY }
    }

    /// Reads a reply.
    pub(super) fn read(self, text: &[u8], server: &Server) -> Result<Value, AskError> {
        wire::parse_within(text, self.weight).map_err(|error| match error.is_too_heavy() {
            true => AskError::TooLarge(server.clone(), self.weight),
            false => AskError::Json(server.clone()),
        })
    }
}
