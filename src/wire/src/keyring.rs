//! What a node accepts: names, dialects and keys (src/wire/README.md, Dialects, Names and keys, Refusals).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::classic::Content;
use crate::dialect::Dialect;
use crate::frame::{Frame, Limits, spend_as_if_opening};
use crate::opened::Opened;
use crate::prepared::{Form, Prepared, ReplyTo, Sender};
use crate::refusal::Refusal;
use crate::request::Action;
use crate::sealed::{ANY_GENERATION, JOIN, Kind, Moment};
use crate::secret::{ClusterSecret, Random};

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
    /// The node itself, with the secret in force: what it sends is sealed with that one.
    pub own: Sender,
    /// Other generations of the secret that still open, or already do. Replies to them are sealed with the same.
    pub accepted: BTreeMap<u32, ClusterSecret>,
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
        let is_request = frame.kind().is_none_or(|kind| kind == Kind::Request);
        let known = match (is_named, is_spoken) {
            (false, _) => Some(Refusal::ClusterName),
            (true, false) => Some(Refusal::Dialect),
            (true, true) => None,
        };
        // Nothing authenticates a classic frame: whatever is read of one that is refused anyway tells about it by the time
        // that takes, so none of its bytes meet the secret.
        if let (Some(refusal), Dialect::Classic) = (&known, frame.dialect()) {
            spend_as_if_opening(bytes.len(), Dialect::Classic, &self.own.secret);
            return Err(refusal.clone());
        }
        // A sealed one is opened even when the answer is known: the time must not tell.
        let opened = match self.drpnodes.get(frame.sender()) {
            Some((_, secret)) => frame.open(secret, limits),
            None => self.open_frame(frame, limits),
        };
        match (known, opened) {
            (Some(refusal), _) => Err(refusal),
            (None, _) if !is_request => Err(Refusal::Kind),
            (None, opened) => opened,
        }
    }

    /// Opens a frame with the generation of the secret that it names.
    pub(crate) fn open_frame(&self, frame: Frame<'_>, limits: &Limits) -> Result<Opened, Refusal> {
        let current = (self.own.generation, &self.own.secret);
        match frame.generation() {
            None => frame.open_with(Content::Json, &[current], limits),
            Some(ANY_GENERATION) => {
                let others = self.accepted.iter().rev();
                let others = others.map(|(generation, secret)| (*generation, secret));
                let all: Vec<_> = std::iter::once(current).chain(others).collect();
                frame.open_with(Content::Json, &all, limits)
            }
            Some(theirs) => match self.secret_of(theirs) {
                Some(secret) => frame.open_with(Content::Json, &[(theirs, secret)], limits),
                None => {
                    // The same work. One that opens holds our secret under another number: no stranger.
                    let is_proven = frame.open_with(Content::Json, &[current], limits).is_ok();
                    Err(Refusal::Generation { theirs, is_proven })
                }
            },
        }
    }

    /// The secret of a generation that is in force or accepted.
    #[must_use]
    pub fn secret_of(&self, generation: u32) -> Option<&ClusterSecret> {
        if generation == self.own.generation {
            return Some(&self.own.secret);
        }
        self.accepted.get(&generation)
    }

    /// A frame for who asked, with the secret that opened the request. None when that is in force no more, or keys nothing.
    #[must_use]
    pub fn seal_reply(
        &self,
        reply_to: &ReplyTo,
        body: &Prepared,
        now: Moment,
        random: &dyn Random,
    ) -> Option<Vec<u8>> {
        let form = reply_to.form(now, random);
        let generation = match reply_to {
            ReplyTo::Plain | ReplyTo::Classic => self.own.generation,
            ReplyTo::Sealed { generation, .. } => *generation,
        };
        let secret = self.secret_of(generation)?;
        self.own.seal_with(secret, generation, &form, body, random).ok()
    }

    /// Opens what [`Sender::seal_stored`] made, by the generation that it names, and tells which that is. None when it
    /// does not open, and for what is no such frame.
    #[must_use]
    pub fn open_stored(&self, bytes: &[u8]) -> Option<(u32, Zeroizing<Vec<u8>>)> {
        let frame = Frame::parse(bytes, &self.limits).ok()?;
        let generation = frame.generation()?;
        let stored = frame.open_kept(self.secret_of(generation)?, &self.limits)?;
        Some((generation, stored))
    }

    /// Whether a request that opened is for this node.
    ///
    /// # Errors
    ///
    /// [`Refusal::Misdirected`], not counted: its reply tells who this node is.
    pub fn check_recipient(&self, opened: &Opened) -> Result<(), Refusal> {
        match opened.seal() {
            Some(seal) if *seal.to != *self.own.nodename => Err(Refusal::Misdirected {
                to: seal.to.clone(),
                nodename: self.own.nodename.clone(),
            }),
            Some(_) | None => Ok(()),
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

    /// Whether the cluster name of an opened message opens this action: `join` opens a few only.
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
    /// Opens the reply to a request that was sent in `form`: same key, same dialect, and in the sealed dialect from the
    /// node that was asked, to this one, with the id of the request.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], for the client to show. [`Refusal::Misdirected`] tells which node answered in place of the one
    /// that was asked, or has the name that was not known.
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
        let theirs = frame.generation();
        let opened = frame.open(&self.secret, limits)?;
        if let (Form::Sealed(request), Some(reply)) = (form, opened.seal()) {
            let is_ours = reply.kind == Kind::Reply
                && *reply.to == *self.nodename
                && reply.re == Some(request.stamp.id)
                && (self.generation == ANY_GENERATION || theirs == Some(self.generation));
            if !is_ours {
                return Err(Refusal::NotTheReply);
            }
            // Who does not know a name takes it from here.
            if *opened.nodename() != *request.to {
                let (to, nodename) = (request.to.clone(), opened.nodename().into());
                return Err(Refusal::Misdirected { to, nodename });
            }
        }
        Ok(opened)
    }
}
