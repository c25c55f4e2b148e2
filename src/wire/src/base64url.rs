//! base64 with the URL-safe alphabet.

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};

/// Appends the text of `bytes`, padded.
pub(crate) fn append_padded(text: &mut Vec<u8>, bytes: &[u8]) {
    append(&URL_SAFE, text, bytes, bytes.len().div_ceil(3) * 4);
}

/// Appends the text of `bytes`, without padding.
pub(crate) fn append_bare(text: &mut Vec<u8>, bytes: &[u8]) {
    append(&URL_SAFE_NO_PAD, text, bytes, (bytes.len() * 4).div_ceil(3));
}

fn append(engine: &impl Engine, text: &mut Vec<u8>, bytes: &[u8], length: usize) {
    let start = text.len();
    text.resize(start + length, 0);
    let written = engine.encode_slice(bytes, &mut text[start..]).expect("the length is computed");
    debug_assert_eq!(written, length);
}

/// The text of `bytes`, padded.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE.encode(bytes)
}

/// Reads base64 as deployed agents do: both alphabets, other characters skipped, padding required.
///
/// None when the padding is missing.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE.decode(text).ok().or_else(|| decode_tolerant(text))
}

/// Reads padded base64, to the letter.
pub(crate) fn decode_padded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE.decode(text).ok()
}

/// Reads base64 without padding, to the letter.
pub(crate) fn decode_bare(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The rules of Python's `binascii.a2b_base64`, after `-` and `_` became `+` and `/`.
fn decode_tolerant(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held, mut pads) = (0_u32, 0, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                pads += 1;
                // A whole group ends the text: what follows is not looked at.
                if held >= 2 && held + pads >= 4 {
                    return Some(bytes);
                }
                continue;
            }
            _ => continue,
        };
        pads = 0;
        bits = bits << 6 | u32::from(value);
        held += 1;
        match held {
            2 => bytes.push((bits >> 4) as u8),
            3 => bytes.push((bits >> 2 & 0xff) as u8),
            4 => {
                bytes.push((bits & 0xff) as u8);
                (bits, held) = (0, 0);
            }
            _ => {}
        }
    }
    (held == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for length in 0..70_usize {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 37 + length) as u8).collect();
            assert_eq!(decode(&encode(&bytes)), Some(bytes.clone()));
            assert_eq!(decode_tolerant(&encode(&bytes)), Some(bytes.clone()));
            let mut text = Vec::new();
            append_bare(&mut text, &bytes);
            assert_eq!(decode_bare(std::str::from_utf8(&text).unwrap()), Some(bytes));
        }
    }

    #[test]
    fn both_alphabets_and_foreign_characters_are_read_and_missing_padding_is_not() {
        assert_eq!(decode("//__+-=="), decode("__//-+=="));
        assert_eq!(decode("aGVs\n bG8!="), Some(b"hello".to_vec()));
        assert_eq!(decode("aGVsbG8"), None);
        assert_eq!(decode("a"), None);
        assert_eq!(decode("éé"), Some(vec![]));
        assert_eq!(decode("aGVsbG8=trailing"), Some(b"hello".to_vec()));
    }

    #[test]
    fn to_the_letter_bytes_have_one_text() {
        assert_eq!(decode_padded("aGVsbG8="), Some(b"hello".to_vec()));
        assert_eq!(decode_padded("__-_"), Some(vec![0xff, 0xff, 0xbf]));
        let others = [
            "aGVsbG8",
            "aGVsbG9=",
            "aGVsbG8==",
            "aGVs\nbG8=",
            "aGVsbG8= ",
            "a",
            "//+/",
            "aGVs=bG8",
            "é",
        ];
        for other in others {
            assert_eq!(decode_padded(other), None, "{other}");
        }
    }
}
