//! The sealed cipher: a key per frame, AES-256-GCM bound to the frame's header (sealed.md).

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::zlib::{InflateError, inflate};
use crate::{ClusterSecret, Random};

/// The only `alg`.
pub(crate) const ALG: &str = "A256GCM";
/// Bytes of a salt.
pub(crate) const SALT: usize = 32;
/// First plaintext byte: the message as it is.
pub(crate) const FLAG_PLAIN: u8 = 0;
/// First plaintext byte: the zlib stream of the message.
pub(crate) const FLAG_ZLIB: u8 = 1;
/// Bytes from which a sender compresses, when it helps.
pub(crate) const COMPRESS_FROM: usize = 1_024;

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

    /// Reads 32 hex digits.
    fn from_hex(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(text, 16).ok())??;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// What makes a sealed message fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The sender's clock, milliseconds since 1970-01-01T00:00:00Z.
    pub t_ms: i64,
    /// The message.
    pub id: MessageId,
    /// In a reply or a streamed item: the request.
    pub re: Option<MessageId>,
}

/// Lengths of key and nonce together, for the key derivation.
struct KeyAndNonce;

impl KeyType for KeyAndNonce {
    fn len(&self) -> usize {
        44
    }
}

/// The cipher of one frame.
fn derive(secret: &ClusterSecret, salt: &[u8]) -> (LessSafeKey, Nonce) {
    let mut bytes = Zeroizing::new([0; 44]);
    Salt::new(HKDF_SHA256, salt)
        .extract(secret.bytes())
        .expand(&[b"osvc sealed 1"], KeyAndNonce)
        .and_then(|okm| okm.fill(&mut *bytes))
        .expect("44 bytes are fewer than 255 hashes");
    let (key, nonce) = bytes.split_at(32);
    let key = UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes");
    (LessSafeKey::new(key), Nonce::try_assume_unique_for_key(nonce).expect("12 bytes"))
}

fn header(clustername: &str, nodename: &str) -> Aad<Vec<u8>> {
    Aad::from([ALG, "\0", clustername, "\0", nodename].concat().into_bytes())
}

/// Encrypts in place and appends the tag.
pub(crate) fn seal(
    secret: &ClusterSecret,
    salt: &[u8; SALT],
    (clustername, nodename): (&str, &str),
    plaintext: &mut Vec<u8>,
) {
    let (key, nonce) = derive(secret, salt);
    key.seal_in_place_append_tag(nonce, header(clustername, nodename), plaintext)
        .expect("a frame is shorter than 64 GiB");
}

/// Decrypts and inflates.
pub(crate) fn open(
    secret: &ClusterSecret,
    salt: &[u8],
    (clustername, nodename): (&str, &str),
    mut data: Vec<u8>,
    limit: usize,
) -> Result<Vec<u8>, InflateError> {
    let (key, nonce) = derive(secret, salt);
    let is_shaped = salt.len() == SALT && secret.bytes().len() >= 16;
    let plaintext = key
        .open_in_place(nonce, header(clustername, nodename), &mut data)
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
        t: i64,
        id: &'a str,
        re: Option<&'a str>,
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let text = std::str::from_utf8(message).ok()?;
    let Message { t, id, re, body } = serde_json::from_str(text).ok()?;
    let re = match re {
        Some(re) => Some(MessageId::from_hex(re)?),
        None => None,
    };
    let stamp = Stamp { t_ms: t, id: MessageId::from_hex(id)?, re };
    // The body borrows from the text.
    let start = body.get().as_ptr() as usize - text.as_ptr() as usize;
    Some((stamp, start..start + body.get().len()))
}

/// What stands before the body of a message; a `}` follows it.
pub(crate) fn preamble(stamp: &Stamp) -> String {
    let Stamp { t_ms, id, re } = stamp;
    match re {
        Some(re) => format!(r#"{{"t":{t_ms},"id":"{id}","re":"{re}","body":"#),
        None => format!(r#"{{"t":{t_ms},"id":"{id}","body":"#),
    }
}
