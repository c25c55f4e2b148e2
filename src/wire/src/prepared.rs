//! A body made ready once and sent to many.

use std::borrow::Cow;
use std::sync::OnceLock;

use serde::Serialize;

use crate::canonical::rewrite;
use crate::classic::{self, BLOCK};
use crate::sealed::{self, COMPRESS_FROM, FLAG_PLAIN, FLAG_ZLIB, MessageId, SALT, Stamp};
use crate::zlib::{
    EMPTY_LAST, HEADER, adler32, adler32_combine, append_stored, deflate_piece, inflate,
};
use crate::{ClusterSecret, Dialect, KeyError, Random, base64url, to_ascii_json};

/// Bodies above this length are kept compressed only: a plain copy is inflated for the few who ask.
const KEEP_PLAIN: usize = 4 << 20;

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
}

#[derive(Debug)]
struct Deflated {
    /// See [`deflate_piece`].
    piece: Vec<u8>,
    /// Checksum of the plain text.
    adler: u32,
}

impl Deflated {
    fn new(plain: &[u8]) -> Self {
        Self { piece: deflate_piece(plain), adler: adler32(plain) }
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
        Self { plain, deflated, classic: OnceLock::new(), is_classic, length }
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
        plain + deflated.into_iter().flatten().map(|deflated| deflated.piece.len()).sum::<usize>()
    }

    /// The JSON text.
    #[must_use]
    pub fn json(&self) -> Cow<'_, [u8]> {
        match &self.plain {
            Some(plain) => Cow::Borrowed(plain),
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
        self.deflated
            .get_or_init(|| Deflated::new(self.plain.as_deref().expect("one of the two is there")))
    }

    /// What goes in a classic frame.
    fn classic(&self) -> &Deflated {
        if self.is_classic {
            return self.deflated();
        }
        self.classic.get_or_init(|| Deflated::new(&rewrite(&self.json())))
    }

    /// The plaintext of a sealed frame, with room for the tag.
    fn message(&self, stamp: &Stamp) -> Vec<u8> {
        let preamble = sealed::preamble(stamp);
        let preamble = preamble.as_bytes();
        if self.length + preamble.len() >= COMPRESS_FROM {
            let Deflated { piece, adler } = self.deflated();
            if piece.len() < self.length {
                let adler = adler32_combine(adler32(preamble), *adler, self.length);
                let adler = adler32_combine(adler, adler32(b"}"), 1);
                let mut message = Vec::with_capacity(piece.len() + preamble.len() + 48);
                message.push(FLAG_ZLIB);
                message.extend_from_slice(&HEADER);
                append_stored(&mut message, preamble, false);
                message.extend_from_slice(piece);
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
fn zlib(Deflated { piece, adler }: &Deflated) -> Vec<u8> {
    let mut stream = Vec::with_capacity(piece.len() + 11 + BLOCK);
    stream.extend_from_slice(&HEADER);
    stream.extend_from_slice(piece);
    stream.extend_from_slice(&EMPTY_LAST);
    stream.extend_from_slice(&adler.to_be_bytes());
    stream
}

/// How a message is put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is: unix sockets.
    Plain,
    /// In the deployed agents' envelope.
    Classic,
    /// In this project's envelope.
    Sealed(Stamp),
}

impl Form {
    /// The form of a new message.
    #[must_use]
    pub fn request(dialect: Dialect, t_ms: i64, random: &dyn Random) -> Self {
        match dialect {
            Dialect::Classic => Self::Classic,
            Dialect::Sealed => {
                Self::Sealed(Stamp { t_ms, id: MessageId::random(random), re: None })
            }
        }
    }

    /// The form of a reply, or of the next item of a stream, to a message in this form.
    #[must_use]
    pub fn reply(&self, t_ms: i64, random: &dyn Random) -> Self {
        match self {
            Self::Plain => Self::Plain,
            Self::Classic => Self::Classic,
            Self::Sealed(request) => {
                Self::Sealed(Stamp { t_ms, id: MessageId::random(random), re: Some(request.id) })
            }
        }
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
}

impl Sender {
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
        match form {
            Form::Plain => Ok([&body.json(), &b"\0"[..]].concat()),
            Form::Classic => {
                let mut iv = [0; BLOCK];
                random.fill(&mut iv);
                self.seal_classic(&iv, body)
            }
            Form::Sealed(stamp) => {
                let mut salt = [0; SALT];
                random.fill(&mut salt);
                self.seal_sealed(&salt, stamp, body)
            }
        }
    }

    pub(crate) fn seal_classic(
        &self,
        iv: &[u8; BLOCK],
        body: &Prepared,
    ) -> Result<Vec<u8>, KeyError> {
        let data = classic::seal(&self.secret, iv, zlib(body.classic()))?;
        let mut frame = self.open_frame(data.len());
        frame.extend_from_slice(br#", "iv": ""#);
        base64url::append_padded(&mut frame, iv);
        frame.extend_from_slice(br#"", "data": ""#);
        base64url::append_padded(&mut frame, &data);
        frame.extend_from_slice(b"\"}\0");
        Ok(frame)
    }

    pub(crate) fn seal_sealed(
        &self,
        salt: &[u8; SALT],
        stamp: &Stamp,
        body: &Prepared,
    ) -> Result<Vec<u8>, KeyError> {
        self.secret.check(Dialect::Sealed)?;
        let mut data = body.message(stamp);
        sealed::seal(&self.secret, salt, (&self.clustername, &self.nodename), &mut data);
        let mut frame = self.open_frame(data.len());
        frame.extend_from_slice(br#", "alg": "A256GCM", "salt": ""#);
        base64url::append_bare(&mut frame, salt);
        frame.extend_from_slice(br#"", "data": ""#);
        base64url::append_bare(&mut frame, &data);
        frame.extend_from_slice(b"\"}\0");
        Ok(frame)
    }

    /// The start of a frame, with room for its data.
    fn open_frame(&self, bytes: usize) -> Vec<u8> {
        let names = self.clustername.len() + self.nodename.len();
        let mut frame = Vec::with_capacity(bytes.div_ceil(3) * 4 + 2 * names + 160);
        frame.extend_from_slice(br#"{"clustername": "#);
        frame.extend_from_slice(&to_ascii_json(&self.clustername));
        frame.extend_from_slice(br#", "nodename": "#);
        frame.extend_from_slice(&to_ascii_json(&self.nodename));
        frame
    }
}
