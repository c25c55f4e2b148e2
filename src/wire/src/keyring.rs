//! What a node accepts: names, dialects and keys (wire.md §2.2 and §3, sealed.md).

use std::collections::BTreeMap;

use crate::frame::spend_as_if_opening;
use crate::{Action, ClusterSecret, Dialect, Form, Frame, Limits, Opened, Refusal, Sender};

/// The cluster name that names no cluster.
pub const JOIN: &str = "join";

/// Keyword `cluster.envelope`: which dialects a node accepts and which it speaks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Envelope {
    /// Accepts and speaks sealed. The default of a cluster that this node created.
    #[default]
    Sealed,
    /// Accepts both, speaks sealed to peers known to do.
    Any,
    /// Accepts both, speaks classic.
    Classic,
}

impl Envelope {
    /// The setting a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "sealed" => Some(Self::Sealed),
            "any" => Some(Self::Any),
            "classic" => Some(Self::Classic),
            _ => None,
        }
    }

    /// Whether frames of a dialect are opened.
    #[must_use]
    pub fn accepts(self, dialect: Dialect) -> bool {
        dialect == Dialect::Sealed || self != Self::Sealed
    }

    /// The dialect to speak to a peer, which may be known to take sealed frames.
    #[must_use]
    pub fn speaks(self, peer_is_sealed: bool) -> Dialect {
        match self {
            Self::Sealed => Dialect::Sealed,
            Self::Any if peer_is_sealed => Dialect::Sealed,
            Self::Any | Self::Classic => Dialect::Classic,
        }
    }
}

/// Everything needed to open what others send to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// The node itself: the key of messages to it, and of its replies.
    pub own: Sender,
    /// Dialects it accepts.
    pub envelope: Envelope,
    /// Nodes of `cluster.drpnodes`, with the cluster name and secret scoped to each.
    pub drpnodes: BTreeMap<Box<str>, (Box<str>, ClusterSecret)>,
    /// Limits of `listener`.
    pub limits: Limits,
}

impl Keyring {
    /// Opens a frame, or refuses it after the work of opening, whatever the reason.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that is counted.
    pub fn open(&self, bytes: &[u8]) -> Result<Opened, Refusal> {
        self.open_within(bytes, &self.limits)
    }

    /// The same, within other limits.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that is counted; [`Refusal::TooLong`] also for what has room within larger limits.
    pub fn open_within(&self, bytes: &[u8], limits: &Limits) -> Result<Opened, Refusal> {
        let frame = match Frame::parse(bytes, limits) {
            Ok(frame) => frame,
            Err(refusal) => {
                let dialect = match self.envelope {
                    Envelope::Sealed | Envelope::Any => Dialect::Sealed,
                    Envelope::Classic => Dialect::Classic,
                };
                spend_as_if_opening(bytes.len(), dialect, &self.own.secret);
                return Err(refusal);
            }
        };
        let name = frame.clustername();
        let is_named = name == JOIN
            || *name == *self.own.clustername
            || self.drpnodes.values().any(|(clustername, _)| **clustername == *name);
        let is_spoken = self.envelope.accepts(frame.dialect());
        let secret = match self.drpnodes.get(frame.sender()) {
            Some((_, secret)) => secret,
            None => &self.own.secret,
        };
        // Opened even when the answer is known: the time must not tell.
        let opened = frame.open(secret, limits);
        match opened {
            _ if !is_named => Err(Refusal::ClusterName),
            _ if !is_spoken => Err(Refusal::Dialect),
            opened => opened,
        }
    }

    /// Whether the sender of an opened message may ask at all.
    ///
    /// # Errors
    ///
    /// [`Refusal::DrpNode`] or [`Refusal::NotMember`], neither counted.
    pub fn check_sender(
        &self,
        opened: &Opened,
        is_member: impl FnOnce(&str) -> bool,
    ) -> Result<(), Refusal> {
        let nodename: Box<str> = opened.nodename().into();
        if self.drpnodes.contains_key(&nodename) {
            return Err(Refusal::DrpNode { nodename });
        }
        let name = opened.clustername();
        if name == JOIN || (*name == *self.own.clustername && is_member(&nodename)) {
            return Ok(());
        }
        Err(Refusal::NotMember { nodename, clustername: name.into() })
    }

    /// Whether the cluster name of an opened message opens this action: `join` opens a few only (design.md).
    ///
    /// # Errors
    ///
    /// [`Refusal::NotMember`], not counted.
    pub fn check_action(&self, opened: &Opened, action: &Action) -> Result<(), Refusal> {
        if opened.clustername() != JOIN || is_open_to_join(action) {
            return Ok(());
        }
        Err(Refusal::NotMember { nodename: opened.nodename().into(), clustername: JOIN.into() })
    }
}

/// The actions that the cluster name `join` opens.
#[must_use]
pub fn is_open_to_join(action: &Action) -> bool {
    matches!(
        action,
        Action::Join(_)
            | Action::RelayTx(_)
            | Action::RelayRx(_)
            | Action::RelayStatus(_)
            | Action::BlacklistStatus(_)
    )
}

impl Sender {
    /// Opens the reply to a request that was sent in `form`: same key, same dialect, and in the sealed dialect the
    /// id of the request.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], for the client to show.
    pub fn open_reply(
        &self,
        bytes: &[u8],
        form: &Form,
        limits: &Limits,
    ) -> Result<Opened, Refusal> {
        let frame = Frame::parse(bytes, limits)?;
        if *self.clustername != *JOIN && frame.clustername() != &*self.clustername {
            return Err(Refusal::ClusterName);
        }
        let asked = match form {
            Form::Plain | Form::Classic => Dialect::Classic,
            Form::Sealed(_) => Dialect::Sealed,
        };
        if frame.dialect() != asked {
            return Err(Refusal::Dialect);
        }
        let opened = frame.open(&self.secret, limits)?;
        match (form, opened.stamp()) {
            (Form::Sealed(request), Some(reply)) if reply.re != Some(request.id) => {
                Err(Refusal::Message)
            }
            _ => Ok(opened),
        }
    }
}
