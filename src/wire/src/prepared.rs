//! A body made ready once and sent to many.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use crate::canonical::rewrite;
use crate::classic::BLOCK;
use crate::dialect::Dialect;
use crate::json::to_ascii_json;
use crate::sealed::{
    ALG, ALL, ANY_GENERATION, COMPRESS_FROM, FIRST_GENERATION, FLAG_PLAIN, FLAG_ZLIB, Header, JOIN,
    Kind, MessageId, Moment, SALT, Stamp, VERSION,
};
use crate::secret::{ClusterSecret, KeyError, Random};
use crate::zlib::{
    EMPTY_LAST, HEADER, adler32, adler32_combine, append_stored, deflate_piece, inflate,
};
use crate::{base64url, classic, sealed};

/// Bodies above this length are kept compressed only: a plain copy is inflated for the few who ask.
const KEEP_PLAIN: usize = 4 << 20;

/// Up to this length what is put together is one text.
const JOIN_PLAIN: usize = 1 << 20;

/// The body of a message: serialized once, compressed at most once, sealed for each who gets it.
///
/// In the classic dialect its text goes as deployed agents write it, to the letter, however it was given.
#[derive(Debug)]
pub struct Prepared {
    plain: Option<Box<[u8]>>,
    deflated: OnceLock<Deflated>,
    /// Of the text to the letter, when the text is not.
    classic: OnceLock<Deflated>,
    /// The text is written to the letter, or is none.
    is_classic: bool,
    length: usize,
    /// What it is put together from; none for a body that is whole.
    parts: Vec<Arc<Prepared>>,
}

#[derive(Debug)]
struct Deflated {
    /// See [`deflate_piece`].
    piece: Vec<u8>,
    /// Checksum of the plain text.
    adler: u32,
    /// Bytes of the plain text.
    length: usize,
}

impl Deflated {
    fn new(plain: &[u8]) -> Self {
        Self { piece: deflate_piece(plain), adler: adler32(plain), length: plain.len() }
    }

    /// Of texts one after the other.
    fn joined<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let room = parts.clone().map(|part| part.piece.len()).sum();
        let mut whole = Self { piece: Vec::with_capacity(room), adler: 1, length: 0 };
        for part in parts {
            whole.piece.extend_from_slice(&part.piece);
            whole.adler = adler32_combine(whole.adler, part.adler, part.length);
            whole.length += part.length;
        }
        whole
    }
}

impl Prepared {
    /// Serializes a value.
    #[must_use]
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Self {
        Self::from_text(to_ascii_json(value), true)
    }

    /// Takes JSON text that is already written, in any layout.
    #[must_use]
    pub fn from_json(json: Vec<u8>) -> Self {
        Self::from_text(json, false)
    }

    fn from_text(json: Vec<u8>, is_classic: bool) -> Self {
        let length = json.len();
        let (plain, deflated) = if length <= KEEP_PLAIN {
            (Some(json.into()), OnceLock::new())
        } else {
            (None, OnceLock::from(Deflated::new(&json)))
        };
        Self { plain, deflated, classic: OnceLock::new(), is_classic, length, parts: vec![] }
    }

    /// Puts bodies together, one after the other. What is long stays in its parts: nothing is copied, inflated or compressed
    /// again.
    #[must_use]
    pub fn joined(parts: Vec<Arc<Self>>) -> Self {
        let length = parts.iter().map(|part| part.length).sum();
        let is_classic = parts.iter().all(|part| part.is_classic);
        if length <= JOIN_PLAIN && parts.iter().all(|part| part.plain.is_some()) {
            let text: Vec<u8> =
                parts.iter().flat_map(|part| part.plain.iter()).flatten().copied().collect();
            return Self::from_text(text, is_classic);
        }
        let (deflated, classic) = Default::default();
        Self { plain: None, deflated, classic, is_classic, length, parts }
    }

    /// What it was put together from, in order; none for a body that is whole.
    #[must_use]
    pub fn parts(&self) -> &[Arc<Self>] {
        &self.parts
    }

    /// The text, if it is kept as it is.
    #[must_use]
    pub fn plain(&self) -> Option<&[u8]> {
        self.plain.as_deref()
    }

    /// Takes bytes that need not be JSON: keys of data objects are kept in classic envelopes so.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self {
            plain: Some(bytes.into()),
            deflated: OnceLock::new(),
            classic: OnceLock::new(),
            is_classic: true,
            length: bytes.len(),
            parts: vec![],
        }
    }

    /// Bytes of the text.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no text at all; a null body has four bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes that the next seal works on: of the text, or of its compressed form once that is made.
    #[must_use]
    pub fn seal_bytes(&self) -> usize {
        self.deflated.get().map_or(self.length, |deflated| deflated.piece.len())
    }

    /// Bytes kept in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let plain = self.plain.as_ref().map_or(0, |plain| plain.len());
        let deflated = [self.deflated.get(), self.classic.get()];
        let parts: usize = self.parts.iter().map(|part| part.size_bytes()).sum();
        let deflated = deflated.into_iter().flatten().map(|deflated| deflated.piece.len());
        plain + parts + deflated.sum::<usize>()
    }

    /// The JSON text.
    #[must_use]
    pub fn json(&self) -> Cow<'_, [u8]> {
        match &self.plain {
            Some(plain) => Cow::Borrowed(plain),
            None if !self.parts.is_empty() => {
                let mut text = Vec::with_capacity(self.length);
                self.parts.iter().for_each(|part| text.extend_from_slice(&part.json()));
                Cow::Owned(text)
            }
            None => {
                let stream = zlib(self.deflated());
                Cow::Owned(inflate(&stream, self.length).expect("it was compressed here"))
            }
        }
    }

    /// Compresses now what the first one to be sealed for would wait for.
    pub fn compress(&self) {
        self.deflated();
    }

    fn deflated(&self) -> &Deflated {
        self.deflated.get_or_init(|| match &self.plain {
            Some(plain) => Deflated::new(plain),
            None => Deflated::joined(self.parts.iter().map(|part| part.deflated())),
        })
    }

    /// What goes in a sealed frame, one after the other: that of parts is copied there only.
    fn pieces(&self) -> Vec<&Deflated> {
        match self.parts.is_empty() {
            true => vec![self.deflated()],
            false => self.parts.iter().flat_map(|part| part.pieces()).collect(),
        }
    }

    /// What goes in a classic frame.
    fn classic(&self) -> &Deflated {
        if self.is_classic {
            return self.deflated();
        }
        // Parts begin and end between two words, so that each is written as it is in the whole.
        self.classic.get_or_init(|| match self.parts.is_empty() {
            true => Deflated::new(&rewrite(&self.json())),
            false => Deflated::joined(self.parts.iter().map(|part| part.classic())),
        })
    }

    /// The plaintext of a sealed frame, with room for the tag.
    fn message(&self, stamp: &Stamp) -> Vec<u8> {
        let preamble = sealed::preamble(stamp);
        let preamble = preamble.as_bytes();
        if self.length + preamble.len() >= COMPRESS_FROM {
            let pieces = self.pieces();
            let bytes: usize = pieces.iter().map(|deflated| deflated.piece.len()).sum();
            if bytes < self.length {
                let mut adler = adler32(preamble);
                let mut message = Vec::with_capacity(bytes + preamble.len() + 48);
                message.push(FLAG_ZLIB);
                message.extend_from_slice(&HEADER);
                append_stored(&mut message, preamble, false);
                for deflated in pieces {
                    adler = adler32_combine(adler, deflated.adler, deflated.length);
                    message.extend_from_slice(&deflated.piece);
                }
                let adler = adler32_combine(adler, adler32(b"}"), 1);
                append_stored(&mut message, b"}", true);
                message.extend_from_slice(&adler.to_be_bytes());
                return message;
            }
        }
        let mut message = Vec::with_capacity(self.length + preamble.len() + 18);
        message.push(FLAG_PLAIN);
        message.extend_from_slice(preamble);
        message.extend_from_slice(&self.json());
        message.push(b'}');
        message
    }
}

/// A whole zlib stream, with room for the padding of a cipher.
fn zlib(Deflated { piece, adler, .. }: &Deflated) -> Vec<u8> {
    let mut stream = Vec::with_capacity(piece.len() + 11 + BLOCK);
    stream.extend_from_slice(&HEADER);
    stream.extend_from_slice(piece);
    stream.extend_from_slice(&EMPTY_LAST);
    stream.extend_from_slice(&adler.to_be_bytes());
    stream
}

/// How a message is put on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// As it is: unix sockets.
    Plain,
    /// In the deployed agents' envelope.
    Classic,
    /// In this project's envelope.
    Sealed(Seal),
}

/// What the header and the message of a sealed frame say beside who sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// What it is for.
    pub kind: Kind,
    /// For whom: a node, [`UNNAMED`](crate::sealed::UNNAMED) or [`ALL`].
    pub to: Box<str>,
    /// In a reply or a streamed item: the request.
    pub re: Option<MessageId>,
    /// When it was made, and which it is.
    pub stamp: Stamp,
}

impl Form {
    /// The form of a request to the node `to`; [`UNNAMED`](crate::sealed::UNNAMED) asks a node for its name.
    #[must_use]
    pub fn request(dialect: Dialect, to: &str, now: Moment, random: &dyn Random) -> Self {
        Self::new(dialect, Kind::Request, to, now, random)
    }

    /// The form of a heartbeat: [`Kind::Heartbeat`], or [`Kind::Slot`] for one that is left at a relay.
    #[must_use]
    pub fn heartbeat(dialect: Dialect, kind: Kind, now: Moment, random: &dyn Random) -> Self {
        Self::new(dialect, kind, ALL, now, random)
    }

    fn new(dialect: Dialect, kind: Kind, to: &str, now: Moment, random: &dyn Random) -> Self {
        match dialect {
            Dialect::Classic => Self::Classic,
            Dialect::Sealed => {
                let stamp = Stamp::new(now, random);
                Self::Sealed(Seal { kind, to: to.into(), re: None, stamp })
            }
        }
    }
}

/// Where the answers to a request go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyTo {
    /// Back on a unix socket.
    Plain,
    /// Back in the deployed agents' envelope.
    Classic,
    /// Back in this project's.
    Sealed {
        /// Who asked.
        to: Box<str>,
        /// The generation of the secret that opened the request.
        generation: u32,
        /// The request.
        re: MessageId,
    },
}

impl ReplyTo {
    /// The form of an answer, or of the next item of a stream.
    #[must_use]
    pub fn form(&self, now: Moment, random: &dyn Random) -> Form {
        match self {
            Self::Plain => Form::Plain,
            Self::Classic => Form::Classic,
            Self::Sealed { to, re, .. } => Form::Sealed(Seal {
                kind: Kind::Reply,
                to: to.clone(),
                re: Some(*re),
                stamp: Stamp::new(now, random),
            }),
        }
    }

    /// Whether the connection may carry the next request.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed { .. })
    }
}

/// Who sends: what a frame says in the clear, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Lower-case cluster name, or `join`.
    pub clustername: Box<str>,
    /// Lower-case node name.
    pub nodename: Box<str>,
    /// The key.
    pub secret: ClusterSecret,
    /// The generation of that key, counted from [`FIRST_GENERATION`]; [`ANY_GENERATION`] for who does not know.
    pub generation: u32,
}

impl Sender {
    /// A sender with the first secret of its cluster; one of the name `join` does not know which it has.
    #[must_use]
    pub fn new(clustername: &str, nodename: &str, secret: ClusterSecret) -> Self {
        let generation = if clustername == JOIN { ANY_GENERATION } else { FIRST_GENERATION };
        Self { clustername: clustername.into(), nodename: nodename.into(), secret, generation }
    }

    /// A whole frame with its final NUL (which datagrams, slots and relays go without).
    ///
    /// Costs the cipher, base64 and copies; the first seal of a body also compresses it.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the secret cannot key the dialect.
    pub fn seal(
        &self,
        form: &Form,
        body: &Prepared,
        random: &dyn Random,
    ) -> Result<Vec<u8>, KeyError> {
        self.seal_with(&self.secret, self.generation, form, body, random)
    }

    /// The same, with another generation of the secret.
    pub(crate) fn seal_with(
        &self,
        secret: &ClusterSecret,
        generation: u32,
        form: &Form,
        body: &Prepared,
        random: &dyn Random,
    ) -> Result<Vec<u8>, KeyError> {
        match form {
            Form::Plain => Ok([&body.json(), &b"\0"[..]].concat()),
            Form::Classic => {
                let mut iv = [0; BLOCK];
                random.fill(&mut iv);
                self.seal_classic(&iv, body)
            }
            Form::Sealed(Seal { kind, to, re, stamp }) => {
                let header = Header {
                    clustername: &self.clustername,
                    nodename: &self.nodename,
                    to,
                    kind: *kind,
                    generation,
                    re: *re,
                };
                seal_sealed(secret, &header, body.message(stamp), random)
            }
        }
    }

    /// A frame around bytes that are kept, not sent: they are never too old.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the secret cannot key the dialect.
    pub fn seal_stored(&self, bytes: &[u8], random: &dyn Random) -> Result<Vec<u8>, KeyError> {
        let header = Header {
            clustername: JOIN,
            nodename: &self.nodename,
            to: ALL,
            kind: Kind::Stored,
            generation: self.generation,
            re: None,
        };
        let mut plaintext = Vec::with_capacity(bytes.len() + 17);
        plaintext.push(FLAG_PLAIN);
        plaintext.extend_from_slice(bytes);
        let mut frame = seal_sealed(&self.secret, &header, plaintext, random)?;
        // Not sent: no end of a message.
        frame.pop();
        Ok(frame)
    }

    pub(crate) fn seal_classic(
        &self,
        iv: &[u8; BLOCK],
        body: &Prepared,
    ) -> Result<Vec<u8>, KeyError> {
        let data = classic::seal(&self.secret, iv, zlib(body.classic()))?;
        let mut frame = open_frame(&self.clustername, &self.nodename, data.len());
        frame.extend_from_slice(br#", "iv": ""#);
        base64url::append_padded(&mut frame, iv);
        frame.extend_from_slice(br#"", "data": ""#);
        base64url::append_padded(&mut frame, &data);
        frame.extend_from_slice(b"\"}\0");
        Ok(frame)
    }
}

fn seal_sealed(
    secret: &ClusterSecret,
    header: &Header<'_>,
    mut data: Vec<u8>,
    random: &dyn Random,
) -> Result<Vec<u8>, KeyError> {
    secret.check(Dialect::Sealed)?;
    let mut salt = [0; SALT];
    random.fill(&mut salt);
    sealed::seal(secret, &salt, header, &mut data);
    let mut frame = open_frame(header.clustername, header.nodename, data.len());
    frame.extend_from_slice(br#", "to": "#);
    frame.extend_from_slice(&to_ascii_json(header.to));
    let (kind, generation) = (header.kind.as_str(), header.generation);
    frame.extend_from_slice(format!(r#", "kind": "{kind}", "gen": {generation}"#).as_bytes());
    if let Some(re) = header.re {
        frame.extend_from_slice(format!(r#", "re": "{re}""#).as_bytes());
    }
    frame.extend_from_slice(format!(r#", "alg": "{ALG}", "v": {VERSION}, "salt": ""#).as_bytes());
    base64url::append_bare(&mut frame, &salt);
    frame.extend_from_slice(br#"", "data": ""#);
    base64url::append_bare(&mut frame, &data);
    frame.extend_from_slice(b"\"}\0");
    Ok(frame)
}

/// The start of a frame, with room for its data.
fn open_frame(clustername: &str, nodename: &str, bytes: usize) -> Vec<u8> {
    let names = clustername.len() + nodename.len();
    let mut frame = Vec::with_capacity(bytes.div_ceil(3) * 4 + 2 * names + 320);
    frame.extend_from_slice(br#"{"clustername": "#);
    frame.extend_from_slice(&to_ascii_json(clustername));
    frame.extend_from_slice(br#", "nodename": "#);
    frame.extend_from_slice(&to_ascii_json(nodename));
    frame
}
