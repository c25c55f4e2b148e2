//! A message that opened.

use std::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::json::{JsonError, parse_json};
use crate::prepared::{Form, ReplyTo, Seal};
use crate::sealed::Stamp;
use crate::seen::CipherId;
use crate::weigh::parse_within;

/// An opened message: proof that its sender holds the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub(crate) clustername: Box<str>,
    pub(crate) nodename: Box<str>,
    pub(crate) form: Form,
    pub(crate) generation: u32,
    pub(crate) cipher_id: Option<CipherId>,
    pub(crate) message: Vec<u8>,
    pub(crate) body: Range<usize>,
}

impl Opened {
    /// The cluster that the frame named.
    #[must_use]
    pub fn clustername(&self) -> &str {
        &self.clustername
    }

    /// The node that the frame named.
    #[must_use]
    pub fn nodename(&self) -> &str {
        &self.nodename
    }

    /// How it came.
    #[must_use]
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// What the header of a sealed message says, and its stamp.
    #[must_use]
    pub fn seal(&self) -> Option<&Seal> {
        match &self.form {
            Form::Sealed(seal) => Some(seal),
            Form::Plain | Form::Classic => None,
        }
    }

    /// When a sealed message was made, and which it is.
    #[must_use]
    pub fn stamp(&self) -> Option<&Stamp> {
        self.seal().map(|seal| &seal.stamp)
    }

    /// The generation of the secret that opened it.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Where answers go.
    #[must_use]
    pub fn reply_to(&self) -> ReplyTo {
        match &self.form {
            Form::Plain => ReplyTo::Plain,
            Form::Classic => ReplyTo::Classic,
            Form::Sealed(seal) => ReplyTo::Sealed {
                to: self.nodename.clone(),
                generation: self.generation,
                re: seal.stamp.id,
            },
        }
    }

    /// What names a classic message; none of a sealed one.
    #[must_use]
    pub fn cipher_id(&self) -> Option<CipherId> {
        self.cipher_id
    }

    /// The body's bytes: JSON text, unless a classic sender sent something else.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.message[self.body.clone()]
    }

    /// The body's bytes, without what came around them.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        let Self { mut message, body, .. } = self;
        message.truncate(body.end);
        drop(message.drain(..body.start));
        message
    }

    /// Whether it may be a request: in the classic dialect an object with an action, as all are that deployed agents send.
    /// A few letters can be forged, so what asks for nothing proves nothing.
    #[must_use]
    pub fn is_request(&self) -> bool {
        #[derive(Deserialize)]
        struct Asked {
            #[serde(rename = "action")]
            _action: String,
        }
        self.stamp().is_some() || self.body().starts_with(b"{") && self.read::<Asked>().is_ok()
    }

    /// The body, read.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when it is not a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        parse_json(self.body())
    }

    /// The same without its body, once that was read.
    #[must_use]
    pub fn without_body(self) -> Self {
        Self { message: vec![], body: 0..0, ..self }
    }

    /// The body, read, if that takes no more than `budget` bytes of memory.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when it is not a `T`, or too heavy.
    pub fn read_within<T: DeserializeOwned>(&self, budget: usize) -> Result<T, JsonError> {
        parse_within(self.body(), budget)
    }
}
