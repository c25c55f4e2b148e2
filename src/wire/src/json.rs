//! JSON as deployed agents read and write it.

use std::{fmt, io};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::ser::Formatter;

use crate::canonical::{float_text, push_unit};

/// Text that is not JSON, or not of the expected shape, or nested deeper than 128 levels, or too heavy.
#[derive(Debug)]
pub struct JsonError(Reason);

#[derive(Debug)]
enum Reason {
    Text(serde_json::Error),
    TooHeavy { budget: usize },
}

impl JsonError {
    /// Reading it takes more memory than `budget`.
    pub(crate) fn too_heavy(budget: usize) -> Self {
        Self(Reason::TooHeavy { budget })
    }

    /// Whether reading it takes more memory than it may.
    #[must_use]
    pub fn is_too_heavy(&self) -> bool {
        matches!(self.0, Reason::TooHeavy { .. })
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Text(error) => write!(f, "invalid JSON: {error}"),
            Reason::TooHeavy { budget } => {
                write!(f, "reading this JSON takes more than {budget} bytes of memory")
            }
        }
    }
}

impl std::error::Error for JsonError {}

/// Reads JSON as deployed agents write it: numbers that are none (`NaN`, `Infinity`) as null, halves of surrogate pairs as
/// U+FFFD.
///
/// # Errors
///
/// [`JsonError`]; also for bytes that are not UTF-8, and for text nested deeper than 128 levels, which therefore never exhausts the stack.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    let wrong = |error| JsonError(Reason::Text(error));
    let text =
        std::str::from_utf8(bytes).map_err(|error| wrong(serde::de::Error::custom(error)))?;
    serde_json::from_str(text).or_else(|error| match mend(text) {
        Some(mended) => serde_json::from_str(&mended).map_err(wrong),
        None => Err(wrong(error)),
    })
}

/// Reads a text as [`parse_json`] does and keeps it, mended: as it may be put into another one.
pub(crate) fn read_and_keep<T: DeserializeOwned>(
    bytes: Vec<u8>,
) -> Result<(T, Vec<u8>), JsonError> {
    let wrong = |error| JsonError(Reason::Text(error));
    let text =
        std::str::from_utf8(&bytes).map_err(|error| wrong(serde::de::Error::custom(error)))?;
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok((value, bytes)),
        Err(error) => error,
    };
    let Some(mended) = mend(text) else { return Err(wrong(error)) };
    let value = serde_json::from_str(&mended).map_err(wrong)?;
    Ok((value, mended.into_bytes()))
}

/// The text with what only Python takes for JSON replaced; none when there is nothing of the kind.
fn mend(text: &str) -> Option<String> {
    let surrogate = |at: usize| {
        let escape = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok().filter(|unit| (0xd800..0xe000).contains(unit))
    };
    let mut mended = String::new();
    let (mut at, mut done, mut is_text) = (0, 0, false);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let (length, instead) = match bytes[at] {
            b'"' => {
                is_text = !is_text;
                (1, None)
            }
            b'\\' if is_text => match (surrogate(at), surrogate(at + 6)) {
                (None, _) => (2, None),
                (Some(..0xdc00), Some(0xdc00..)) => (12, None),
                (Some(_), _) => (6, Some("\\ufffd")),
            },
            _ if is_text => (1, None),
            b'N' if text[at..].starts_with("NaN") => (3, Some("null")),
            b'I' if text[at..].starts_with("Infinity") => (8, Some("null")),
            b'-' if text[at..].starts_with("-Infinity") => (9, Some("null")),
            _ => (1, None),
        };
        if let Some(instead) = instead {
            mended.push_str(&text[done..at]);
            mended.push_str(instead);
            done = at + length;
        }
        at += length;
    }
    (done > 0).then(|| mended + &text[done..])
}

/// Writes JSON as deployed agents do: `", "` and `": "` between, everything outside ASCII escaped, exponents with
/// a sign and two digits.
#[must_use]
pub fn to_ascii_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Ascii);
    value
        .serialize(&mut serializer)
        .expect("cluster data has text keys, and memory takes every byte");
    text
}

/// The text form of the classic dialect.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // The delete character is escaped too.
        if fragment.bytes().all(|b| b.is_ascii() && b != 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut escaped = Vec::with_capacity(2 * fragment.len());
        for unit in fragment.encode_utf16() {
            push_unit(&mut escaped, unit);
        }
        writer.write_all(&escaped)
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(&float_text(value))
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_only_python_takes_for_json_is_read_too() {
        let read = |text: &str| parse_json::<Value>(text.as_bytes()).ok();
        assert_eq!(
            read(
                r#"{"a": NaN, "b": [-Infinity, Infinity, 1], "c": "NaN \\udc80 \ud83d\ude00 \ud800\u0041"}"#
            ),
            Some(json!({"a": null, "b": [null, null, 1], "c": "NaN \\udc80 😀 \u{fffd}A"}))
        );
        assert_eq!(read(r#""\udc80""#), Some(json!("\u{fffd}")));
        for broken in ["", "NaN NaN", "\"\\ud8", "\"é\\", "[Infinity", "\"\\ud8é0\""] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }

    #[test]
    fn text_is_written_in_ascii() {
        let value =
            json!({"é": ["日😀\u{7f}\n\"", 1e-7, 1e22, 0.1, 12345678901234567890_u64, true, null]});
        assert_eq!(
            String::from_utf8(to_ascii_json(&value)).unwrap(),
            r#"{"\u00e9": ["\u65e5\ud83d\ude00\u007f\n\"", 1e-07, 1e+22, 0.1, 12345678901234567890, true, null]}"#
        );
    }
}
