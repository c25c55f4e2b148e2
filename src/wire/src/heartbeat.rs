//! Heartbeats on the wire: who may be heard, and how the drivers carry frames (src/wire/README.md, Heartbeats).

pub mod disk;
pub mod multicast;

use serde_json::Value;

use crate::frame::{Frame, Limits};
use crate::keyring::Keyring;
use crate::opened::Opened;
use crate::refusal::Refusal;
use crate::sealed::Kind;

/// Why a heartbeat is not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unheard {
    /// Of another cluster, of the node itself, or of a node that does not take part: ignored without a word, before
    /// anything is opened. Several clusters may share a group, a device or a port.
    Foreign,
    /// It names a participant, and is none of its messages.
    Refused(Refusal),
}

impl From<Refusal> for Unheard {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Keyring {
    /// Opens a heartbeat of a participant, come as `kind` says: by a relay ([`Kind::Slot`]) or by another driver
    /// ([`Kind::Heartbeat`]). `is_peer` says who takes part. The caller checks the freshness of a sealed one.
    ///
    /// # Errors
    ///
    /// [`Unheard::Foreign`]; [`Unheard::Refused`] with [`Refusal::Json`], [`Refusal::Field`], [`Refusal::TooLong`],
    /// [`Refusal::Dialect`], [`Refusal::Kind`], [`Refusal::Generation`], [`Refusal::NotOpened`] or [`Refusal::Message`].
    pub fn open_heartbeat(
        &self,
        bytes: &[u8],
        kind: Kind,
        is_peer: impl FnOnce(&str) -> bool,
    ) -> Result<Opened, Unheard> {
        self.open_heartbeat_within(bytes, kind, is_peer, &self.limits)
    }

    /// The same, within other limits.
    ///
    /// # Errors
    ///
    /// As [`Self::open_heartbeat`]; [`Refusal::TooLong`] also for what has room within larger limits.
    pub fn open_heartbeat_within(
        &self,
        bytes: &[u8],
        kind: Kind,
        is_peer: impl FnOnce(&str) -> bool,
        limits: &Limits,
    ) -> Result<Opened, Unheard> {
        let frame = Frame::parse(bytes, limits)?;
        let is_ours = frame.clustername() == &*self.own.clustername;
        if !is_ours || frame.sender() == &*self.own.nodename || !is_peer(frame.sender()) {
            return Err(Unheard::Foreign);
        }
        if !self.envelope.accepts(frame.dialect()) {
            return Err(Refusal::Dialect.into());
        }
        if frame.kind().is_some_and(|found| found != kind) {
            return Err(Refusal::Kind.into());
        }
        Ok(self.open_frame(frame, limits)?)
    }
}

/// Whether a message is one that deployed agents write. Nothing authenticates the classic dialect: whoever recorded a message
/// can write its first letters anew, so that a ping would become a full of nothing.
#[must_use]
pub fn is_well_formed(message: &Value) -> bool {
    let Value::Object(fields) = message else { return false };
    let has_all = fields.get("gen").is_some_and(Value::is_object)
        && fields.get("updated").is_some_and(Value::is_number);
    let has_only = |known: &[&str]| fields.keys().all(|key| known.contains(&key.as_str()));
    let has_objects =
        |names: &[&str]| names.iter().all(|name| fields.get(*name).is_some_and(Value::is_object));
    has_all
        && match fields.get("kind").map(Value::as_str) {
            Some(Some("ping")) => {
                has_only(&["kind", "compat", "gen", "monitor", "updated"])
                    && has_objects(&["monitor"])
            }
            Some(Some("patch")) => {
                has_only(&["kind", "deltas", "gen", "updated"]) && has_objects(&["deltas"])
            }
            Some(_) => false,
            None => has_objects(&["monitor", "services"]),
        }
}
