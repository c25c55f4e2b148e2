//! The classic cipher: AES-CBC over zlib, without authentication (src/wire/README.md, Classic envelope).
//!
//! Whoever has recorded messages can put their blocks together anew. So a message is only what deployed agents write, to
//! the letter: padding, stream and text.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};

use crate::canonical::is_canonical;
use crate::zlib::{
    HEADER, HEADER_DEPLOYED, InflateError, Inflated, inflate_nothing, inflate_start,
};
use crate::{ClusterSecret, KeyError};

/// Bytes of an initialization vector and of a block.
pub(crate) const BLOCK: usize = 16;

const CHECKED: &str = "lengths are checked";

/// What a plaintext has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// JSON to the letter.
    Json,
    /// Any bytes: deployed agents store secrets that are no text so.
    Bytes,
}

/// What was done for one message. Of those that do not open it depends on their length alone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) decrypted: usize,
    pub(crate) inflated: usize,
}

/// Decrypts, inflates and verifies: the whole padding, a stream that ends where the padding begins, and text as it is
/// written by those who speak the dialect.
pub(crate) fn open(
    secret: &ClusterSecret,
    iv: &[u8],
    data: Vec<u8>,
    content: Content,
    limit: usize,
) -> Result<Vec<u8>, InflateError> {
    measured(secret, iv, data, content, limit).0
}

/// As [`open`], with the work that it was.
///
/// The padding is looked at last, whatever it is: the stream says itself where it ends, and all bytes are given to it. Those
/// that a broken stream leaves are made up for, so that a refusal takes the same work wherever its reason lies.
fn measured(
    secret: &ClusterSecret,
    iv: &[u8],
    mut data: Vec<u8>,
    content: Content,
    limit: usize,
) -> (Result<Vec<u8>, InflateError>, Work) {
    let mut work = Work::default();
    let Ok(key) = secret.classic_key() else { return (Err(InflateError::Corrupt), work) };
    let is_shaped = iv.len() == BLOCK && !data.is_empty() && data.len().is_multiple_of(BLOCK);
    let iv = if iv.len() == BLOCK { iv } else { &[0; BLOCK] };
    let length = data.len() - data.len() % BLOCK;
    data.truncate(length);
    match key.len() {
        16 => decrypt::<Aes128>(key, iv, &mut data),
        24 => decrypt::<Aes192>(key, iv, &mut data),
        _ => decrypt::<Aes256>(key, iv, &mut data),
    }
    work.decrypted = length;
    let Inflated { read, out, error } = inflate_start(&data, limit);
    let is_padded = is_padding(&data, read);
    let is_headed = data.starts_with(&HEADER) || data.starts_with(&HEADER_DEPLOYED);
    // Of a stream that breaks, what came out is looked at all the same.
    let is_text = is_canonical(&out) | (content == Content::Bytes);
    let outcome = match error {
        Some(error) => Err(error),
        None if is_shaped & is_padded & is_headed & is_text => Ok(out),
        None => Err(InflateError::Corrupt),
    };
    work.inflated = read;
    if outcome.is_err() {
        work.inflated += inflate_nothing(length - read);
    }
    (outcome, work)
}

/// Whether all bytes from `at` on are the padding of PKCS#7: 1 to 16 bytes, each of which is their number. All of the last
/// block are looked at, whatever they are.
fn is_padding(data: &[u8], at: usize) -> bool {
    let length = data.len() - at;
    let block = &data[data.len().saturating_sub(BLOCK)..];
    let start = block.len().saturating_sub(length);
    let mut wrong = 0;
    for (index, byte) in block.iter().enumerate() {
        let mask = u8::from(index >= start).wrapping_neg();
        wrong |= mask & (byte ^ u8::try_from(length).unwrap_or(0));
    }
    (wrong == 0) & (1..=BLOCK).contains(&length)
}

/// Pads and encrypts a zlib stream in place.
pub(crate) fn seal(
    secret: &ClusterSecret,
    iv: &[u8; BLOCK],
    mut stream: Vec<u8>,
) -> Result<Vec<u8>, KeyError> {
    let key = secret.classic_key()?;
    let length = stream.len();
    stream.resize(length + BLOCK - length % BLOCK, 0);
    match key.len() {
        16 => encrypt::<Aes128>(key, iv, &mut stream, length),
        24 => encrypt::<Aes192>(key, iv, &mut stream, length),
        _ => encrypt::<Aes256>(key, iv, &mut stream, length),
    }
    Ok(stream)
}

fn decrypt<C>(key: &[u8], iv: &[u8], data: &mut [u8])
where
    cbc::Decryptor<C>: KeyIvInit + BlockModeDecrypt,
    C: cbc::cipher::BlockCipherDecrypt,
{
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).expect(CHECKED);
    cipher.decrypt_padded::<NoPadding>(data).expect(CHECKED);
}

fn encrypt<C>(key: &[u8], iv: &[u8], data: &mut [u8], length: usize)
where
    cbc::Encryptor<C>: KeyIvInit + BlockModeEncrypt,
    C: cbc::cipher::BlockCipherEncrypt,
{
    let cipher = cbc::Encryptor::<C>::new_from_slices(key, iv).expect(CHECKED);
    cipher.encrypt_padded::<Pkcs7>(data, length).expect(CHECKED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zlib::{EMPTY_LAST, adler32, append_stored};

    fn secret() -> ClusterSecret {
        ClusterSecret::new("81ec81d6e68c11f1ae3f02fc00000001")
    }

    fn stream(text: &[u8]) -> Vec<u8> {
        let mut stream = HEADER.to_vec();
        append_stored(&mut stream, text, false);
        stream.extend_from_slice(&EMPTY_LAST);
        stream.extend_from_slice(&adler32(text).to_be_bytes());
        stream
    }

    /// The ciphertext of these bytes as they are.
    fn encrypted(mut bytes: Vec<u8>) -> Vec<u8> {
        assert!(bytes.len().is_multiple_of(BLOCK));
        let key = secret();
        let cipher =
            cbc::Encryptor::<Aes256>::new_from_slices(key.classic_key().unwrap(), &[7; 16]);
        let length = bytes.len();
        cipher.unwrap().encrypt_padded::<NoPadding>(&mut bytes, length).unwrap();
        bytes
    }

    /// A stream, padded to its block with these bytes at the end.
    fn padded(stream: &[u8], pad: impl Fn(u8) -> Vec<u8>) -> Vec<u8> {
        let length = BLOCK - stream.len() % BLOCK;
        encrypted([stream, &pad(u8::try_from(length).unwrap())].concat())
    }

    fn pkcs7(length: u8) -> Vec<u8> {
        vec![length; usize::from(length)]
    }

    fn opens(data: Vec<u8>) -> (bool, Work) {
        let (outcome, work) = measured(&secret(), &[7; 16], data, Content::Json, 1 << 20);
        (outcome.is_ok(), work)
    }

    #[test]
    fn the_whole_padding_counts_and_nothing_follows_the_stream() {
        // Of every length modulo a block: all paddings.
        for extra in 0..16 {
            let text = format!(r#"{{"action": "{}"}}"#, "a".repeat(extra));
            let stream = stream(text.as_bytes());
            assert!(opens(padded(&stream, pkcs7)).0, "{extra}");
            let pad = BLOCK - stream.len() % BLOCK;
            for at in 0..pad {
                for wrong in [0, 1, 0x10, 0xff] {
                    let data = padded(&stream, |length| {
                        let mut bytes = pkcs7(length);
                        bytes[at] ^= wrong;
                        bytes
                    });
                    assert_eq!(opens(data).0, wrong == 0, "{extra} {at} {wrong}");
                }
            }
            // A padding that is whole, but after something else; and a block too many.
            for rest in [&b"x"[..], b"\0", b"\x02\x02"] {
                let data = padded(&[&stream[..], rest].concat(), pkcs7);
                assert!(!opens(data).0, "{extra} {rest:?}");
            }
            let data = padded(&stream, |length| [pkcs7(length), vec![16; 16]].concat());
            assert!(!opens(data).0, "{extra}");
        }
    }

    #[test]
    fn what_does_not_open_is_the_same_work_whatever_is_wrong() {
        let length = 4_096;
        // Streams whose bytes, padding included, are that many.
        let filled = |text: &dyn Fn(usize) -> String, change: &dyn Fn(&mut Vec<u8>)| {
            let mut fill = length - 64;
            loop {
                let mut stream = stream(text(fill).as_bytes());
                fill += 1;
                if stream.len() == length - 5 {
                    change(&mut stream);
                    return stream;
                }
            }
        };
        let json = |fill: usize| format!(r#"{{"action": "{}"}}"#, "a".repeat(fill));
        let same = |_: &mut Vec<u8>| {};
        let good = filled(&json, &same);
        let cases = [
            ("padding", padded(&good, |_| vec![5, 5, 5, 4, 5])),
            ("padding length", padded(&good, |_| vec![0; 5])),
            ("padding too long", padded(&good, |_| vec![17; 5])),
            ("header", padded(&filled(&json, &|stream| stream[0] = 0), pkcs7)),
            (
                "level",
                padded(&filled(&json, &|stream| stream[..2].copy_from_slice(&[0x78, 0xda])), pkcs7),
            ),
            ("first block", padded(&filled(&json, &|stream| stream[2] = 0xff), pkcs7)),
            ("checksum", padded(&filled(&json, &|stream| *stream.last_mut().unwrap() ^= 1), pkcs7)),
            (
                "layout",
                padded(
                    &filled(&|fill| format!(r#"{{"action":"{}"}}"#, "a".repeat(fill)), &same),
                    pkcs7,
                ),
            ),
            ("no JSON", padded(&filled(&|fill| "a".repeat(fill), &same), pkcs7)),
            ("key", {
                let mut data = padded(&good, pkcs7);
                data[0] ^= 1;
                data
            }),
        ];
        for (what, data) in cases {
            let expected = Work { decrypted: length, inflated: length };
            assert_eq!(opens(data), (false, expected), "{what}");
        }
        assert!(opens(padded(&good, pkcs7)).0);
    }
}
