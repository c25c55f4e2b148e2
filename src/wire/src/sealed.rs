#![doc = include_str!("sealed.md")]

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::secret::{ClusterSecret, Random};
use crate::zlib::{InflateError, inflate};

/// The only `alg`.
pub(crate) const ALG: &str = "A256GCM";
/// The only `v`.
pub(crate) const VERSION: u64 = 2;
/// Bytes of a salt.
pub(crate) const SALT: usize = 32;
/// First plaintext byte: the message as it is.
pub(crate) const FLAG_PLAIN: u8 = 0;
/// First plaintext byte: the zlib stream of the message.
pub(crate) const FLAG_ZLIB: u8 = 1;
/// Bytes from which a sender compresses, when it helps.
pub(crate) const COMPRESS_FROM: usize = 1_024;

/// The recipient of what is sealed once for all who may open it.
pub const ALL: &str = "*";
/// The cluster name that names no cluster.
pub const JOIN: &str = "join";

/// The recipient whose name the sender does not know: it answers with its name, and does nothing.
pub const UNNAMED: &str = "";
/// The generation of a sender that has a secret, but not its number: those who join, and who ask a relay or an arbitrator.
pub const ANY_GENERATION: u32 = 0;
/// The generation of the first secret of a cluster.
pub const FIRST_GENERATION: u32 = 1;

/// What a sealed frame is for. A frame of one kind is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Asks one node.
    Request,
    /// Answers one request.
    Reply,
    /// Goes to all participants of a heartbeat.
    Heartbeat,
    /// A heartbeat that is left at a relay.
    Slot,
    /// A secret at rest in a configuration file.
    Stored,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Request, Self::Reply, Self::Heartbeat, Self::Slot, Self::Stored];

    /// Its word in the header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Heartbeat => "heartbeat",
            Self::Slot => "slot",
            Self::Stored => "stored",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// What its keys are derived for: no key opens what another purpose sealed.
    fn purpose(self) -> &'static [u8] {
        match self {
            Self::Request | Self::Reply => b"osvc sealed 2 request",
            Self::Heartbeat => b"osvc sealed 2 heartbeat",
            Self::Slot => b"osvc sealed 2 relay",
            Self::Stored => b"osvc sealed 2 stored",
        }
    }

    /// Whether it is for one node, and not for all.
    pub(crate) fn has_recipient(self) -> bool {
        matches!(self, Self::Request | Self::Reply)
    }
}

/// 16 bytes as 32 digits.
fn write_hex(f: &mut fmt::Formatter<'_>, bytes: [u8; 16]) -> fmt::Result {
    write!(f, "{:032x}", u128::from_be_bytes(bytes))
}

/// Reads 32 hex digits, lower case: one text for one value.
fn from_hex(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let number = is_hex.then(|| u128::from_str_radix(text, 16).ok())??;
    Some(number.to_be_bytes())
}

/// Identifies a message for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 16]);

impl MessageId {
    /// A new one.
    #[must_use]
    pub fn random(random: &dyn Random) -> Self {
        let mut id = [0; 16];
        random.fill(&mut id);
        Self(id)
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// Identifies a boot of a machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// Reads 32 hex digits, with or without the hyphens of a UUID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(&text.trim().replace('-', "")).map(Self)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.0)
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BootId({self})")
    }
}

/// An instant, on the clocks of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The boot that the next clock counts from.
    pub boot: BootId,
    /// Microseconds on a clock that nobody sets.
    pub b_us: i64,
    /// Wall time, milliseconds since 1970-01-01T00:00:00Z.
    pub t_ms: i64,
}

/// What makes a sealed message fresh: when it was made, on the clocks of its sender, and which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When.
    pub at: Moment,
    /// The message.
    pub id: MessageId,
}

impl Stamp {
    /// The stamp of a message made now.
    #[must_use]
    pub fn new(now: Moment, random: &dyn Random) -> Self {
        Self { at: now, id: MessageId::random(random) }
    }
}

/// What a frame says in the clear. All of it is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) clustername: &'a str,
    pub(crate) nodename: &'a str,
    pub(crate) to: &'a str,
    pub(crate) kind: Kind,
    pub(crate) generation: u32,
    pub(crate) re: Option<MessageId>,
}

impl Header<'_> {
    /// The additional authenticated data: each field as the length of its text, four bytes, and its text.
    fn authenticated(&self) -> Aad<Vec<u8>> {
        let re = self.re.map(|re| re.to_string()).unwrap_or_default();
        let (version, generation) = (VERSION.to_string(), self.generation.to_string());
        let fields = [
            ALG,
            &version,
            self.clustername,
            self.nodename,
            self.to,
            self.kind.as_str(),
            &generation,
            &re,
        ];
        let mut bytes = Vec::with_capacity(fields.iter().map(|field| field.len() + 4).sum());
        for field in fields {
            let length = u32::try_from(field.len()).expect("names are shorter than 4 GiB");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(field.as_bytes());
        }
        Aad::from(bytes)
    }
}

/// Lengths of key and nonce together, for the key derivation.
struct KeyAndNonce;

impl KeyType for KeyAndNonce {
    fn len(&self) -> usize {
        44
    }
}

/// The cipher of one frame.
fn derive(secret: &ClusterSecret, salt: &[u8], kind: Kind) -> (LessSafeKey, Nonce) {
    let mut bytes = Zeroizing::new([0; 44]);
    Salt::new(HKDF_SHA256, salt)
        .extract(secret.bytes())
        .expand(&[kind.purpose()], KeyAndNonce)
        .and_then(|okm| okm.fill(&mut *bytes))
        .expect("44 bytes are fewer than 255 hashes");
    let (key, nonce) = bytes.split_at(32);
    let key = UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes");
    (LessSafeKey::new(key), Nonce::try_assume_unique_for_key(nonce).expect("12 bytes"))
}

/// Encrypts in place and appends the tag.
pub(crate) fn seal(
    secret: &ClusterSecret,
    salt: &[u8; SALT],
    header: &Header<'_>,
    plaintext: &mut Vec<u8>,
) {
    let (key, nonce) = derive(secret, salt, header.kind);
    key.seal_in_place_append_tag(nonce, header.authenticated(), plaintext)
        .expect("a frame is shorter than 64 GiB");
}

/// Decrypts and inflates.
pub(crate) fn open(
    secret: &ClusterSecret,
    salt: &[u8],
    header: &Header<'_>,
    mut data: Vec<u8>,
    limit: usize,
) -> Result<Vec<u8>, InflateError> {
    let (key, nonce) = derive(secret, salt, header.kind);
    let is_shaped = salt.len() == SALT && secret.bytes().len() >= 16;
    let plaintext = key
        .open_in_place(nonce, header.authenticated(), &mut data)
        .map_err(|_| InflateError::Corrupt)?;
    match plaintext.split_first() {
        _ if !is_shaped => Err(InflateError::Corrupt),
        Some((&FLAG_PLAIN, message)) if message.len() <= limit => {
            let length = message.len();
            data.truncate(length + 1);
            data.remove(0);
            Ok(data)
        }
        Some((&FLAG_PLAIN, _)) => Err(InflateError::TooLong),
        Some((&FLAG_ZLIB, stream)) => inflate(stream, limit),
        _ => Err(InflateError::Corrupt),
    }
}

/// Takes a message apart: its stamp, and where its body lies.
pub(crate) fn unwrap(message: &[u8]) -> Option<(Stamp, std::ops::Range<usize>)> {
    #[derive(Deserialize)]
    struct Message<'a> {
        boot: &'a str,
        b: i64,
        t: i64,
        id: &'a str,
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let text = std::str::from_utf8(message).ok()?;
    let Message { boot, b, t, id, body } = serde_json::from_str(text).ok()?;
    let boot = from_hex(boot).map(BootId)?;
    let at = Moment { boot, b_us: (b >= 0).then_some(b)?, t_ms: t };
    let stamp = Stamp { at, id: MessageId::from_hex(id)? };
    // The body borrows from the text.
    let start = body.get().as_ptr() as usize - text.as_ptr() as usize;
    Some((stamp, start..start + body.get().len()))
}

/// What stands before the body of a message; a `}` follows it.
pub(crate) fn preamble(stamp: &Stamp) -> String {
    let Stamp { at: Moment { boot, b_us, t_ms }, id } = stamp;
    format!(r#"{{"boot":"{boot}","b":{b_us},"t":{t_ms},"id":"{id}","body":"#)
}
