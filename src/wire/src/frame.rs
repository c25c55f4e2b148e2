//! Frames: what a sender says in the clear, and opening the rest.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::classic::Content;
use crate::json::{JsonError, parse_json};
use crate::refusal::Refusal;
use crate::sealed::{self, ALG, SALT, Stamp};
use crate::weigh::parse_within;
use crate::zlib::InflateError;
use crate::{ClusterSecret, Form, base64url, classic};

/// The envelope of an encrypted message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// What deployed agents speak: AES-CBC over zlib, `iv`.
    Classic,
    /// What this project speaks: AES-256-GCM, `alg` and `salt`.
    Sealed,
}

impl Dialect {
    /// The word of `cluster.envelope` and of the node data.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Sealed => "sealed",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much memory a message may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Keyword `listener.max_frame`: bytes on the wire. Default 64 MiB.
    pub max_frame: usize,
    /// Keyword `listener.max_message`: bytes inflated. Default 256 MiB.
    pub max_message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_frame: 64 << 20, max_message: 256 << 20 }
    }
}

/// Longest name in a frame: host names have at most 253 bytes, cluster names are written by operators.
const LONGEST_NAME: usize = 1_024;

/// An envelope that has not been opened: its message cannot be read yet.
#[derive(Debug)]
pub struct Frame<'a> {
    clustername: Cow<'a, str>,
    nodename: Cow<'a, str>,
    dialect: Dialect,
    /// `iv` or `salt`.
    salt: Cow<'a, str>,
    data: Cow<'a, str>,
}

impl<'a> Frame<'a> {
    /// Reads an envelope, with or without its final NULs. Unknown fields and the order do not matter; a known field that is
    /// there twice, and text that is not UTF-8, are no envelope.
    ///
    /// # Errors
    ///
    /// [`Refusal::Json`], [`Refusal::Field`] or [`Refusal::TooLong`]: all counted.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        if end > limits.max_frame {
            return Err(Refusal::TooLong);
        }
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| Refusal::Json)?;
        Self::from_text(text)
    }

    fn from_text(text: &'a str) -> Result<Self, Refusal> {
        let fields: Fields<'a> = serde_json::from_str(text).map_err(|_| Refusal::Json)?;
        let name = |field: Field<'a>, name| match field.text(name)? {
            text if text.len() > LONGEST_NAME => Err(Refusal::Field(name)),
            text => Ok(text),
        };
        let (dialect, salt) = match fields.alg {
            Field::Absent => (Dialect::Classic, fields.iv.text("iv")?),
            Field::Text(alg) if alg == ALG => (Dialect::Sealed, fields.salt.text("salt")?),
            Field::Text(_) | Field::Other => return Err(Refusal::Field("alg")),
        };
        Ok(Self {
            clustername: name(fields.clustername, "clustername")?,
            nodename: name(fields.nodename, "nodename")?,
            dialect,
            salt,
            data: fields.data.text("data")?,
        })
    }

    /// The node that the frame names, as written.
    #[must_use]
    pub fn sender(&self) -> &str {
        &self.nodename
    }

    /// The cluster that the frame names, as written.
    #[must_use]
    pub fn clustername(&self) -> &str {
        &self.clustername
    }

    /// Its envelope.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Opens the frame. Consumes it: nothing inside can be read before.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotOpened`], [`Refusal::TooLong`] or [`Refusal::Message`]: all counted.
    pub fn open(self, secret: &ClusterSecret, limits: &Limits) -> Result<Opened, Refusal> {
        self.open_as(Content::Json, secret, limits)
    }

    /// Opens a frame that was stored, not sent: its message may be any bytes.
    ///
    /// # Errors
    ///
    /// As [`Frame::open`].
    pub fn open_stored(self, secret: &ClusterSecret, limits: &Limits) -> Result<Opened, Refusal> {
        self.open_as(Content::Bytes, secret, limits)
    }

    fn open_as(
        self,
        content: Content,
        secret: &ClusterSecret,
        limits: &Limits,
    ) -> Result<Opened, Refusal> {
        let limit = limits.max_message;
        let refused = |error| match error {
            InflateError::Corrupt => Refusal::NotOpened,
            InflateError::TooLong => Refusal::TooLong,
        };
        let names = (&*self.clustername, &*self.nodename);
        let (form, message, body) = match self.dialect {
            Dialect::Classic => {
                let iv = base64url::decode_padded(&self.salt);
                let data = base64url::decode_padded(&self.data);
                let (Some(iv), Some(data)) = (&iv, data) else {
                    spend_as_if_opening(self.data.len(), Dialect::Classic, secret);
                    return Err(Refusal::Field(if iv.is_none() { "iv" } else { "data" }));
                };
                let message = classic::open(secret, iv, data, content, limit).map_err(refused)?;
                let body = 0..message.len();
                (Form::Classic, message, body)
            }
            Dialect::Sealed => {
                let salt = base64url::decode_bare(&self.salt).unwrap_or_default();
                // What is no base64 does not open either, after the same work.
                let data = base64url::decode_bare(&self.data)
                    .unwrap_or_else(|| vec![0; self.data.len() / 4 * 3]);
                let message = sealed::open(secret, &salt, names, data, limit).map_err(refused)?;
                let (stamp, body) = sealed::unwrap(&message).ok_or(Refusal::Message)?;
                (Form::Sealed(stamp), message, body)
            }
        };
        Ok(Opened {
            clustername: self.clustername.into(),
            nodename: self.nodename.into(),
            form,
            message,
            body,
        })
    }
}

/// Does what failing to open a frame of that length costs, so that the time until a refusal does not tell its reason.
pub(crate) fn spend_as_if_opening(length: usize, dialect: Dialect, secret: &ClusterSecret) {
    let text = "A".repeat(length / 4 * 4);
    let data = base64url::decode(&text).unwrap_or_default();
    let outcome = match dialect {
        Dialect::Classic => {
            let end = data.len() / classic::BLOCK * classic::BLOCK;
            let data = [&data[..end], &[0; classic::BLOCK]].concat();
            classic::open(secret, &[0; classic::BLOCK], data, Content::Json, 0)
        }
        Dialect::Sealed => sealed::open(secret, &[0; SALT], ("", ""), data, 0),
    };
    std::hint::black_box(outcome).ok();
}

/// An opened message: proof that its sender holds the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    clustername: Box<str>,
    nodename: Box<str>,
    form: Form,
    message: Vec<u8>,
    body: Range<usize>,
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

    /// How it came, from which [`Form::reply`] makes the form of replies.
    #[must_use]
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// Time and ids of a sealed message.
    #[must_use]
    pub fn stamp(&self) -> Option<&Stamp> {
        match &self.form {
            Form::Sealed(stamp) => Some(stamp),
            Form::Plain | Form::Classic => None,
        }
    }

    /// The body's bytes: JSON text, unless a classic sender sent something else.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.message[self.body.clone()]
    }

    /// The body, read.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when it is not a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        parse_json(self.body())
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

/// What stands in a field.
#[derive(Default)]
enum Field<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Other,
}

impl<'a> Field<'a> {
    fn text(self, name: &'static str) -> Result<Cow<'a, str>, Refusal> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Absent | Self::Other => Err(Refusal::Field(name)),
        }
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldVisitor;

        impl<'de> Visitor<'de> for FieldVisitor {
            type Value = Field<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
                Ok(Field::Text(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
                Ok(Field::Text(text.to_owned().into()))
            }

            fn visit_unit<E>(self) -> Result<Field<'de>, E> {
                Ok(Field::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Field<'de>, E> {
                Ok(Field::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Field<'de>, E> {
                Ok(Field::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Field<'de>, E> {
                Ok(Field::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Field<'de>, E> {
                Ok(Field::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Field<'de>, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Field<'de>, A::Error> {
                while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }
        }

        deserializer.deserialize_any(FieldVisitor)
    }
}

/// The fields of both dialects, none of them twice.
#[derive(Default)]
struct Fields<'a> {
    clustername: Field<'a>,
    nodename: Field<'a>,
    alg: Field<'a>,
    salt: Field<'a>,
    iv: Field<'a>,
    data: Field<'a>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an envelope")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some(Field::Text(key)) = map.next_key::<Field<'de>>()? {
                    let field = match &*key {
                        "clustername" => &mut fields.clustername,
                        "nodename" => &mut fields.nodename,
                        "alg" => &mut fields.alg,
                        "salt" => &mut fields.salt,
                        "iv" => &mut fields.iv,
                        "data" => &mut fields.data,
                        _ => {
                            _ = map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if !matches!(field, Field::Absent) {
                        return Err(A::Error::custom("a field is there twice"));
                    }
                    *field = map.next_value()?;
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}
