//! JSON text to the letter: what Python's `json.dumps` writes of a value, and nothing else.
//!
//! `", "` and `": "` between, every character outside of ` ` to `~` escaped, numbers in their shortest form, no key twice
//! in an object. The classic dialect has no authentication: the fewer texts are a message, the fewer forgeries are.

use std::fmt::{self, Write as _};

/// Deepest nesting.
const DEPTH: usize = 128;

/// Whether a text is written to the letter. One pass, no values are built: a few bytes are kept per key of the objects
/// that are open. A text that is not takes the work of one that is as long.
pub(crate) fn is_canonical(text: &[u8]) -> bool {
    // Where a key lies is kept as two halves of a word.
    if u32::try_from(text.len()).is_err() {
        return false;
    }
    let mut reader = Reader { text, at: 0 };
    let is_canonical = verified(&mut reader).is_some();
    let mut rest = text.len() - reader.at;
    while rest > 0 {
        const NOTHING: &[u8; 1_024] = &[b'z'; 1_024];
        let mut reader = Reader { text: &NOTHING[..rest.min(NOTHING.len())], at: 0 };
        std::hint::black_box(reader.string().is_some());
        rest -= reader.at.min(rest);
    }
    is_canonical
}

/// Reads a whole text; none, and where it stopped, when it is not canonical.
fn verified(reader: &mut Reader<'_>) -> Option<()> {
    let text = reader.text;
    let mut open: Vec<Container> = Vec::new();
    let mut keys: Vec<(u32, u32)> = Vec::new();
    loop {
        let container = match reader.peek()? {
            b'{' => Some(Container::Object { first_key: keys.len() }),
            b'[' => Some(Container::List),
            b'"' => reader.string()?,
            b'-' | b'0'..=b'9' => reader.number()?,
            _ => reader.word()?,
        };
        if let Some(container) = container {
            reader.at += 1;
            if reader.peek()? == container.end() {
                reader.at += 1;
            } else if open.len() == DEPTH {
                return None;
            } else {
                if let Container::Object { .. } = container {
                    keys.push(reader.key()?);
                }
                open.push(container);
                continue;
            }
        }
        // A value ended: what may follow depends on what it is in.
        loop {
            let Some(container) = open.last() else {
                return (reader.at == text.len()).then_some(());
            };
            if reader.peek()? == container.end() {
                reader.at += 1;
                if let Container::Object { first_key } = *container {
                    is_unique(text, &mut keys[first_key..]).then_some(())?;
                    keys.truncate(first_key);
                }
                open.pop();
                continue;
            }
            reader.expect(b", ")?;
            if let Container::Object { .. } = container {
                keys.push(reader.key()?);
            }
            break;
        }
    }
}

/// Whether no key is there twice. Each text has one form, so equal keys are equal bytes.
fn is_unique(text: &[u8], keys: &mut [(u32, u32)]) -> bool {
    let bytes = |(start, end): (u32, u32)| &text[start as usize..end as usize];
    keys.sort_unstable_by(|a, b| bytes(*a).cmp(bytes(*b)));
    keys.windows(2).all(|pair| bytes(pair[0]) != bytes(pair[1]))
}

#[derive(Debug, Clone, Copy)]
enum Container {
    List,
    Object { first_key: usize },
}

impl Container {
    fn end(self) -> u8 {
        match self {
            Self::List => b']',
            Self::Object { .. } => b'}',
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, bytes: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(bytes).then_some(())?;
        self.at += bytes.len();
        Some(())
    }

    /// A key and its colon; where the key lies, without quotes.
    fn key(&mut self) -> Option<(u32, u32)> {
        let start = self.at + 1;
        if self.peek()? != b'"' {
            return None;
        }
        self.string()?;
        let end = self.at - 1;
        self.expect(b": ")?;
        Some((u32::try_from(start).ok()?, u32::try_from(end).ok()?))
    }

    /// A text in quotes. No container, for [`verified`].
    #[expect(clippy::option_option, reason = "a value that is no container")]
    fn string(&mut self) -> Option<Option<Container>> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(None);
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        b'u' => {
                            let unit = unit(self.text.get(self.at + 1..self.at + 5)?)?;
                            if !is_escaped(unit) {
                                return None;
                            }
                            self.at += 5;
                        }
                        _ => return None,
                    }
                }
                b' '..=b'~' => self.at += 1,
                _ => return None,
            }
        }
    }

    #[expect(clippy::option_option, reason = "a value that is no container")]
    fn word(&mut self) -> Option<Option<Container>> {
        const WORDS: [&[u8]; 5] = [b"true", b"false", b"null", b"NaN", b"Infinity"];
        WORDS.iter().find_map(|word| self.expect(word))?;
        Some(None)
    }

    #[expect(clippy::option_option, reason = "a value that is no container")]
    fn number(&mut self) -> Option<Option<Container>> {
        let token = number_at(&self.text[self.at..]);
        if token == b"-" {
            self.expect(b"-Infinity")?;
            return Some(None);
        }
        self.at += token.len();
        let digits = token.strip_prefix(b"-").unwrap_or(token);
        let is_exact = if digits.iter().all(u8::is_ascii_digit) {
            // An integer of any length; 0 has no sign.
            digits.first()? != &b'0' || token == b"0"
        } else {
            let value: f64 = std::str::from_utf8(token).ok()?.parse().ok()?;
            value.is_finite() && *float_text(value) == *token
        };
        is_exact.then_some(None)
    }
}

/// What may belong to a number.
fn number_at(text: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    &text[..text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len())]
}

/// Four hex digits in lower case.
fn unit(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |unit, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(unit << 4 | u16::from(value))
    })
}

/// Whether a UTF-16 unit is written by its number.
fn is_escaped(unit: u16) -> bool {
    match unit {
        0x08 | 0x09 | 0x0a | 0x0c | 0x0d => false,
        0x00..0x20 | 0x7f.. => true,
        0x20..0x7f => false,
    }
}

/// The text of a number.
pub(crate) struct FloatText {
    bytes: [u8; 32],
    len: usize,
}

impl std::ops::Deref for FloatText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Write for FloatText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// A finite float as Python writes it: the shortest digits that read back, of two that are as near the even ones, an
/// exponent from 1e16 on and below 0.0001, with a sign and two digits at least.
pub(crate) fn float_text(value: f64) -> FloatText {
    const ROOM: &str = "a float has 17 digits at most";
    let mut shortest = FloatText { bytes: [0; 32], len: 0 };
    write!(shortest, "{:e}", value.abs()).expect(ROOM);
    let at = shortest.iter().position(|byte| *byte == b'e').unwrap_or(shortest.len);
    let exponent =
        std::str::from_utf8(&shortest[at..]).ok().and_then(|text| text.get(1..)?.parse().ok());
    let exponent: i32 = exponent.unwrap_or(0);
    let mut digits = [0; 20];
    let mut count = 0;
    for digit in shortest[..at].iter().filter(|byte| byte.is_ascii_digit()) {
        digits[count] = *digit;
        count += 1;
    }
    let digits = &mut digits[..count];
    round_to_even(value, exponent, digits);

    let mut text = FloatText { bytes: [0; 32], len: 0 };
    let digits = std::str::from_utf8(digits).expect("digits are ASCII");
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let written = match usize::try_from(exponent) {
        Ok(after) if after < 16 && count <= after + 1 => {
            write!(text, "{sign}{digits}{:0<1$}.0", "", after + 1 - count)
        }
        Ok(after) if after < 16 => {
            write!(text, "{sign}{}.{}", &digits[..=after], &digits[after + 1..])
        }
        Err(_) if exponent >= -4 => {
            let zeros = exponent.unsigned_abs() as usize - 1;
            write!(text, "{sign}0.{:0<zeros$}{digits}", "")
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            let is_small = if exponent < 0 { '-' } else { '+' };
            write!(text, "{sign}{first}{point}{rest}e{is_small}{:02}", exponent.unsigned_abs())
        }
    };
    written.expect(ROOM);
    text
}

/// When a float lies in the middle of two texts of as many digits, takes the one with the even digit at the end. The first
/// digit stands for 10 to the power of `exponent`.
fn round_to_even(value: f64, exponent: i32, digits: &mut [u8]) {
    let count = digits.len();
    let Some(last) = digits.last_mut().filter(|last| **last % 2 == 1) else { return };
    // The middle has one digit more, a 5: as a binary fraction it ends where a decimal one of that many places does.
    let places = i32::try_from(count).unwrap_or(i32::MAX) - exponent;
    let bits = value.to_bits();
    let (power, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    let whole = if power == 0 { fraction } else { fraction | 1 << 52 };
    if whole.trailing_zeros() as i32 + power.max(1) - 1_075 != -places {
        return;
    }
    let exact = format!("{:.40e}", value.abs());
    let exact: Vec<u8> =
        exact.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).collect();
    let is_middle = exact[count] == b'5' && exact[count + 1..].iter().all(|digit| *digit == b'0');
    if !is_middle {
        return;
    }
    let odd = *last;
    *last = if exact[count - 1] == odd { odd + 1 } else { odd - 1 };
    // Below a power of two, floats are nearer to each other: the even text may be that of another.
    let (first, rest) = digits.split_at(1);
    let even = [first, b".", rest, format!("e{exponent}").as_bytes()].concat();
    let reads_back = std::str::from_utf8(&even).ok().and_then(|text| text.parse().ok());
    if reads_back != Some(value.abs()) {
        digits[count - 1] = odd;
    }
}

/// JSON text in any layout, written to the letter. What is no JSON comes out as something that is not canonical either.
pub(crate) fn rewrite(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8 + 16);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => at += 1,
            b',' | b':' => {
                out.extend_from_slice(&[*byte, b' ']);
                at += 1;
            }
            b'"' => at = rewrite_string(text, at, &mut out),
            b'-' | b'0'..=b'9' => {
                let token = number_at(&text[at..]);
                at += token.len();
                rewrite_number(token, &mut out);
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

fn rewrite_number(token: &[u8], out: &mut Vec<u8>) {
    let is_integer = token.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
    let value = std::str::from_utf8(token).ok().and_then(|token| token.parse::<f64>().ok());
    match value.filter(|value| value.is_finite()) {
        _ if token == b"-0" => out.push(b'0'),
        Some(value) if !is_integer => out.extend_from_slice(&float_text(value)),
        _ => out.extend_from_slice(token),
    }
}

/// Copies the string that begins at `at`; returns where it ends.
fn rewrite_string(text: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let mut at = at + 1;
    out.push(b'"');
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                out.push(b'"');
                return at + 1;
            }
            b'\\' => {
                let Some(escape) = text.get(at + 1) else { break };
                at += 2;
                if *escape != b'u' {
                    match escape {
                        b'/' => out.push(b'/'),
                        escape => out.extend_from_slice(&[b'\\', *escape]),
                    }
                    continue;
                }
                let digits: Vec<u8> =
                    text[at..].iter().take(4).map(u8::to_ascii_lowercase).collect();
                at += digits.len();
                push_unit(out, unit(&digits).unwrap_or_default());
            }
            b' '..=b'~' => {
                out.push(*byte);
                at += 1;
            }
            _ => {
                let rest = &text[at..];
                let length =
                    (1..=4.min(rest.len())).find(|n| std::str::from_utf8(&rest[..*n]).is_ok());
                let length = length.unwrap_or(1);
                for sign in String::from_utf8_lossy(&rest[..length]).chars() {
                    for unit in sign.encode_utf16(&mut [0; 2]) {
                        push_unit(out, *unit);
                    }
                }
                at += length;
            }
        }
    }
    at
}

/// Writes a UTF-16 unit as Python does.
pub(crate) fn push_unit(out: &mut Vec<u8>, unit: u16) {
    match unit {
        0x08 => out.extend_from_slice(b"\\b"),
        0x09 => out.extend_from_slice(b"\\t"),
        0x0a => out.extend_from_slice(b"\\n"),
        0x0c => out.extend_from_slice(b"\\f"),
        0x0d => out.extend_from_slice(b"\\r"),
        0x22 => out.extend_from_slice(b"\\\""),
        0x5c => out.extend_from_slice(b"\\\\"),
        0x20..0x7f => out.push(u8::try_from(unit).unwrap_or(b'?')),
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let digit = |shift: u16| HEX[usize::from(unit >> shift & 0xf)];
            out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
        }
    }
}

#[cfg(test)]
mod tests;
