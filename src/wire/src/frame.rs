//! Frames: what a sender says in the clear, and opening the rest.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::classic::Content;
use crate::dialect::Dialect;
use crate::opened::Opened;
use crate::prepared::{Form, Seal};
use crate::refusal::Refusal;
use crate::sealed::{ALG, ALL, FIRST_GENERATION, Header, Kind, MessageId, SALT, VERSION};
use crate::secret::ClusterSecret;
use crate::seen::CipherId;
use crate::zlib::InflateError;
use crate::{base64url, classic, sealed};

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
    cipher: Cipher<'a>,
    data: Cow<'a, str>,
}

/// What a frame says of its dialect.
#[derive(Debug)]
enum Cipher<'a> {
    Classic { iv: Cow<'a, str> },
    Sealed(Clear<'a>),
}

/// The header of a sealed frame, but for the names of its sender and its cluster.
#[derive(Debug)]
struct Clear<'a> {
    to: Cow<'a, str>,
    kind: Kind,
    generation: u32,
    re: Option<MessageId>,
    salt: Cow<'a, str>,
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
        let clustername = name(fields.clustername, "clustername")?;
        let nodename = name(fields.nodename, "nodename")?;
        let cipher = match fields.alg {
            Field::Absent => Cipher::Classic { iv: fields.iv.text("iv")? },
            Field::Text(alg) if alg == ALG => {
                let to = name(fields.to, "to")?;
                let names = [("clustername", &clustername), ("nodename", &nodename), ("to", &to)];
                for (field, text) in names {
                    if text.contains(char::is_control) {
                        return Err(Refusal::Field(field));
                    }
                }
                let kind = fields.kind.text("kind")?;
                let kind = Kind::from_word(&kind).ok_or(Refusal::Field("kind"))?;
                if kind.has_recipient() == (to == ALL) {
                    return Err(Refusal::Field("to"));
                }
                let re = match (fields.re, kind) {
                    (Field::Text(re), Kind::Reply) => {
                        Some(MessageId::from_hex(&re).ok_or(Refusal::Field("re"))?)
                    }
                    (_, Kind::Reply) => return Err(Refusal::Field("re")),
                    (Field::Absent, _) => None,
                    (_, _) => return Err(Refusal::Field("re")),
                };
                if fields.version.number("v")? != VERSION {
                    return Err(Refusal::Field("v"));
                }
                let generation = u32::try_from(fields.generation.number("gen")?);
                let generation = generation.map_err(|_| Refusal::Field("gen"))?;
                Cipher::Sealed(Clear { to, kind, generation, re, salt: fields.salt.text("salt")? })
            }
            Field::Text(_) | Field::Number(_) | Field::Other => return Err(Refusal::Field("alg")),
        };
        Ok(Self { clustername, nodename, cipher, data: fields.data.text("data")? })
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
        match self.cipher {
            Cipher::Classic { .. } => Dialect::Classic,
            Cipher::Sealed(_) => Dialect::Sealed,
        }
    }

    /// What a sealed frame is for; none for a classic one, which does not say.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match &self.cipher {
            Cipher::Classic { .. } => None,
            Cipher::Sealed(clear) => Some(clear.kind),
        }
    }

    /// The generation of the secret that a sealed frame names.
    #[must_use]
    pub fn generation(&self) -> Option<u32> {
        match &self.cipher {
            Cipher::Classic { .. } => None,
            Cipher::Sealed(clear) => Some(clear.generation),
        }
    }

    /// Opens the frame, whoever it is for. Consumes it: nothing inside can be read before.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotOpened`], [`Refusal::TooLong`] or [`Refusal::Message`]: all counted.
    pub fn open(self, secret: &ClusterSecret, limits: &Limits) -> Result<Opened, Refusal> {
        let generation = self.generation().unwrap_or(FIRST_GENERATION);
        self.open_with(Content::Json, &[(generation, secret)], limits)
    }

    /// Opens a classic frame that was stored, not sent: its message may be any bytes.
    ///
    /// # Errors
    ///
    /// As [`Frame::open`].
    pub fn open_stored(self, secret: &ClusterSecret, limits: &Limits) -> Result<Opened, Refusal> {
        let generation = self.generation().unwrap_or(FIRST_GENERATION);
        self.open_with(Content::Bytes, &[(generation, secret)], limits)
    }

    /// Opens the frame by the first of these secrets that does, each with its generation.
    pub(crate) fn open_with(
        self,
        content: Content,
        secrets: &[(u32, &ClusterSecret)],
        limits: &Limits,
    ) -> Result<Opened, Refusal> {
        let limit = limits.max_message;
        let refused = |error| match error {
            InflateError::Corrupt => Refusal::NotOpened,
            InflateError::TooLong => Refusal::TooLong,
        };
        let mut cipher_id = None;
        let Some(((generation, secret), others)) = secrets.split_first() else {
            return Err(Refusal::NotOpened);
        };
        let (mut generation, mut secret) = (*generation, *secret);
        let (form, message, body) = match &self.cipher {
            Cipher::Classic { iv } => {
                let iv = base64url::decode_padded(iv);
                let data = base64url::decode_padded(&self.data);
                let (Some(iv), Some(data)) = (&iv, data) else {
                    spend_as_if_opening(self.data.len(), Dialect::Classic, secret);
                    return Err(Refusal::Field(if iv.is_none() { "iv" } else { "data" }));
                };
                let name = data.last_chunk().copied();
                let message = classic::open(secret, iv, data, content, limit).map_err(refused)?;
                cipher_id = name;
                let body = 0..message.len();
                (Form::Classic, message, body)
            }
            Cipher::Sealed(clear) => {
                let header = Header {
                    clustername: &self.clustername,
                    nodename: &self.nodename,
                    to: &clear.to,
                    kind: clear.kind,
                    generation: clear.generation,
                    re: clear.re,
                };
                let salt = base64url::decode_bare(&clear.salt).unwrap_or_default();
                // What is no base64 does not open either, after the same work.
                let data = || {
                    base64url::decode_bare(&self.data)
                        .unwrap_or_else(|| vec![0; self.data.len() / 4 * 3])
                };
                let mut opened = sealed::open(secret, &salt, &header, data(), limit);
                for (other, key) in others {
                    if matches!(opened, Err(InflateError::Corrupt)) {
                        (generation, secret) = (*other, key);
                        opened = sealed::open(secret, &salt, &header, data(), limit);
                    }
                }
                let message = opened.map_err(refused)?;
                let (stamp, body) = sealed::unwrap(&message).ok_or(Refusal::Message)?;
                let (kind, to, re) = (clear.kind, (&*clear.to).into(), clear.re);
                (Form::Sealed(Seal { kind, to, re, stamp }), message, body)
            }
        };
        Ok(Opened {
            clustername: self.clustername.into(),
            nodename: self.nodename.into(),
            form,
            generation,
            cipher_id,
            message,
            body,
        })
    }

    /// Opens what is kept: its bytes. None for a frame of another kind, and for one that does not open.
    pub(crate) fn open_kept(
        &self,
        secret: &ClusterSecret,
        limits: &Limits,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let Cipher::Sealed(clear @ Clear { kind: Kind::Stored, .. }) = &self.cipher else {
            return None;
        };
        let header = Header {
            clustername: &self.clustername,
            nodename: &self.nodename,
            to: &clear.to,
            kind: clear.kind,
            generation: clear.generation,
            re: clear.re,
        };
        let salt = base64url::decode_bare(&clear.salt)?;
        let data = base64url::decode_bare(&self.data)?;
        let bytes = sealed::open(secret, &salt, &header, data, limits.max_message).ok()?;
        Some(Zeroizing::new(bytes))
    }
}

/// Whether bytes are a frame in this project's envelope: what of it is inflated was authenticated before.
#[must_use]
pub fn is_sealed_frame(bytes: &[u8]) -> bool {
    let limits = Limits { max_frame: bytes.len(), max_message: 0 };
    Frame::parse(bytes, &limits).is_ok_and(|frame| frame.dialect() == Dialect::Sealed)
}

/// What names a frame of the classic dialect; none for any other bytes.
#[must_use]
pub fn cipher_id(bytes: &[u8]) -> Option<CipherId> {
    let limits = Limits { max_frame: bytes.len(), max_message: 0 };
    let frame = Frame::parse(bytes, &limits).ok()?;
    match frame.cipher {
        Cipher::Classic { .. } => base64url::decode_padded(&frame.data)?.last_chunk().copied(),
        Cipher::Sealed(_) => None,
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
        Dialect::Sealed => {
            let header = Header {
                clustername: "",
                nodename: "",
                to: "",
                kind: Kind::Request,
                generation: FIRST_GENERATION,
                re: None,
            };
            sealed::open(secret, &[0; SALT], &header, data, 0)
        }
    };
    std::hint::black_box(outcome).ok();
}

/// What stands in a field.
#[derive(Default)]
enum Field<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Number(u64),
    Other,
}

impl<'a> Field<'a> {
    fn text(self, name: &'static str) -> Result<Cow<'a, str>, Refusal> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Absent | Self::Number(_) | Self::Other => Err(Refusal::Field(name)),
        }
    }

    fn number(self, name: &'static str) -> Result<u64, Refusal> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Absent | Self::Text(_) | Self::Other => Err(Refusal::Field(name)),
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

            fn visit_u64<E>(self, number: u64) -> Result<Field<'de>, E> {
                Ok(Field::Number(number))
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
    to: Field<'a>,
    kind: Field<'a>,
    generation: Field<'a>,
    re: Field<'a>,
    alg: Field<'a>,
    version: Field<'a>,
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
                        "to" => &mut fields.to,
                        "kind" => &mut fields.kind,
                        "gen" => &mut fields.generation,
                        "re" => &mut fields.re,
                        "v" => &mut fields.version,
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
