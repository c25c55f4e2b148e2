//! What JSON text takes in memory once it is read, told before anything is made of it.
//!
//! Two bytes on the wire may become 640 in memory: a map has room for eleven entries, and a deflate stream is a
//! thousand times shorter than what comes out of it. So the text is weighed in one pass that allocates nothing, and
//! what is too heavy for its kind is refused before it is read.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::json::{JsonError, parse_json};

/// A map: one leaf of a `BTreeMap` of texts and values, with room for [`MAP_ROOM`] entries. An empty one has none, but
/// what is read out of it, a resource without a word, has its place too.
const MAP: usize = 640;
const MAP_ROOM: u32 = 11;
/// One more entry: leaves that split are half full.
const MAP_ENTRY: usize = 112;
/// A list that is not empty, with room for [`LIST_ROOM`] values.
const LIST: usize = 128;
const LIST_ROOM: u32 = 4;
/// One more value: a list that grows has the old and the new place for a moment.
const LIST_ENTRY: usize = 96;
/// What a text takes beside its bytes.
const TEXT: usize = 16;

/// Most bytes of memory that one byte of text becomes: `{}` has two for a map.
const MOST_PER_BYTE: usize = (MAP + TEXT) / 2;

/// Levels of which entries are counted: deeper text is not read.
const MOST_DEPTH: usize = 128;

/// Bytes of memory that reading the text takes at most, about: its values and its texts. For text that is not JSON
/// the number means nothing.
#[must_use]
pub fn weigh(text: &[u8]) -> usize {
    measure(text).weight
}

/// What a text weighs, and how deep it is nested.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    pub(crate) weight: usize,
    pub(crate) levels: usize,
}

pub(crate) fn measure(text: &[u8]) -> Measure {
    // What is open, by level: its entries so far, and whether it is a map.
    let mut open = [(0_u32, false); MOST_DEPTH];
    let (mut depth, mut levels, mut weight, mut at) = (0_usize, 0, 0_usize, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let end = end_of_text(text, at);
                weight += TEXT + (end - at);
                at = end + 1;
            }
            b',' => match open.get_mut(depth.wrapping_sub(1)) {
                Some((entries, is_map)) => {
                    *entries += 1;
                    weight += match is_map {
                        true if *entries >= MAP_ROOM => MAP_ENTRY,
                        false if *entries >= LIST_ROOM => LIST_ENTRY,
                        _ => 0,
                    };
                }
                None => weight += MAP_ENTRY,
            },
            b'{' | b'[' => {
                let is_map = *byte == b'{';
                if let Some(level) = open.get_mut(depth) {
                    *level = (0, is_map);
                }
                depth += 1;
                levels = levels.max(depth);
                if is_map {
                    weight += MAP;
                } else if !is_closed(text, at) {
                    weight += LIST;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Measure { weight, levels }
}

/// Bytes of memory that a value takes, about.
#[must_use]
pub fn weigh_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => TEXT + text.capacity(),
        Value::Array(list) => {
            list.capacity() * size_of::<Value>() + list.iter().map(weigh_value).sum::<usize>()
        }
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| TEXT + key.len() + weigh_value(value));
            MAP + map.len().saturating_sub(MAP_ROOM as usize) * MAP_ENTRY + entries.sum::<usize>()
        }
    }
}

/// Whether a value takes no more than `budget` bytes of memory, about. No more of it is looked at than that takes.
#[must_use]
pub fn is_lighter(value: &Value, budget: usize) -> bool {
    fn spend(value: &Value, left: &mut usize) -> bool {
        let own = match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => TEXT,
            Value::String(text) => TEXT + text.len(),
            Value::Array(_) => LIST,
            Value::Object(_) => MAP,
        };
        let Some(rest) = left.checked_sub(own) else { return false };
        *left = rest;
        match value {
            Value::Array(list) => list.iter().all(|item| spend(item, left)),
            Value::Object(map) => map.values().all(|item| spend(item, left)),
            _ => true,
        }
    }
    let mut left = budget;
    spend(value, &mut left)
}

/// Where the quote stands that ends a text, or where everything ends.
fn end_of_text(text: &[u8], mut at: usize) -> usize {
    loop {
        let Some(found) =
            text.get(at..).and_then(|rest| rest.iter().position(|b| matches!(b, b'"' | b'\\')))
        else {
            return text.len();
        };
        at += found;
        if text[at] == b'"' {
            return at;
        }
        at += 2;
    }
}

/// Whether a list that begins here is empty.
fn is_closed(text: &[u8], at: usize) -> bool {
    text[at..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b']')
}

/// Whether reading the text takes no more than `budget` bytes of memory. Short texts are not looked at.
#[must_use]
pub fn is_within(text: &[u8], budget: usize) -> bool {
    text.len().saturating_mul(MOST_PER_BYTE) <= budget || weigh(text) <= budget
}

/// Reads JSON as [`parse_json`] does, if that takes no more than `budget` bytes of memory.
///
/// # Errors
///
/// [`JsonError`]; [`JsonError::is_too_heavy`] tells what is beyond the budget.
pub fn parse_within<T: DeserializeOwned>(text: &[u8], budget: usize) -> Result<T, JsonError> {
    if is_within(text, budget) { parse_json(text) } else { Err(JsonError::too_heavy(budget)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_short_on_the_wire_and_large_in_memory_is_weighed_as_large() {
        let many = |unit: &str, count: usize| format!("[{}]", vec![unit; count].join(","));
        let nested = |count: usize| "{\"\":".repeat(count) + "0" + &"}".repeat(count);
        assert!(weigh(many("0", 1_000).as_bytes()) >= 1_000 * 95);
        assert!(weigh(many("{\"\":0}", 1_000).as_bytes()) >= 1_000 * (640 + 32));
        assert!(weigh(many("[0]", 1_000).as_bytes()) >= 1_000 * 128);
        assert!(weigh(nested(100).as_bytes()) >= 100 * 640);
        assert!(weigh(format!("\"{}\"", "x".repeat(1_000)).as_bytes()) >= 1_000);
        // What holds nothing costs its place only.
        assert!(weigh(many("[ ]", 1_000).as_bytes()) < 1_000 * 100);
        assert!(weigh(many("0", 100_000).as_bytes()) < 100_000 * 100);
    }

    #[test]
    fn no_text_is_heavier_than_its_length_allows() {
        for unit in [
            "{},",
            "{\"\":0},",
            "[0],",
            "{\"\":[0]},",
            "\"\",",
            "{\"\":{\"\":{\"\":0}}},",
            ",",
            "[[[[[[",
        ] {
            let text = unit.repeat(1_000);
            assert!(weigh(text.as_bytes()) <= text.len() * MOST_PER_BYTE, "{unit}");
        }
    }

    #[test]
    fn signs_inside_of_texts_weigh_nothing_of_their_own() {
        assert_eq!(weigh(br#""[[{{,,\",\\""#), TEXT + 11);
        assert_eq!(weigh(br#""not closed \"#), TEXT + 12);
        assert_eq!(weigh(b""), 0);
    }

    #[test]
    fn what_is_light_is_found_out_without_looking_at_what_is_heavy() {
        let many = |count: usize| Value::Array(vec![json!({"a": "b"}); count]);
        assert!(is_lighter(&many(10), 10 << 10) && !is_lighter(&many(10_000), 10 << 10));
        assert!(!is_lighter(&json!(["x".repeat(1 << 20)]), 1 << 20));
        assert!(is_lighter(&Value::Null, 100));
    }

    #[test]
    fn beyond_the_budget_nothing_is_read() {
        let value = json!({"a": [1, 2, 3], "b": "text"});
        let text = value.to_string();
        let weight = weigh(text.as_bytes());
        assert_eq!(parse_within::<Value>(text.as_bytes(), weight).unwrap(), value);
        assert!(weigh_value(&value) <= weight);
        let error = parse_within::<Value>(text.as_bytes(), weight - 1).unwrap_err();
        assert!(error.is_too_heavy());
        assert!(!parse_within::<Value>(b"{", 1 << 20).unwrap_err().is_too_heavy());
        let bomb = format!("[{}]", vec!["{\"\":0}"; 100_000].join(","));
        assert!(parse_within::<Value>(bomb.as_bytes(), 64 << 20).unwrap_err().is_too_heavy());
    }
}
