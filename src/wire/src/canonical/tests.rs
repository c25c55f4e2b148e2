use serde_json::{Map, Number, Value, json};

use super::*;
use crate::to_ascii_json;

#[test]
fn what_python_writes_is_canonical() {
    for text in [
        "null",
        "true",
        "false",
        "NaN",
        "Infinity",
        "-Infinity",
        "0",
        "-1",
        "10",
        "{}",
        "[]",
        r#""""#,
        r#"{"": ""}"#,
        "[[], {}, [{}]]",
        r#"{"a": 1, "b": [1, 2.5], "c": {"a": null}}"#,
        r#""\u0000\u001f\u007f\u00e9\ud83d\ude00\udc80\ud800 \b\f\n\r\t\"\\/'""#,
        "123456789012345678901234567890",
        "1e-07",
        "1e+22",
        "0.1",
        "1.0",
        "-0.0",
        "0.0",
        "1e-05",
        "0.0001",
        "1000000000000000.0",
        "1e+16",
        "1.234e-05",
        "5e-324",
        "2100773142259118.2",
        "1795362841.0039062",
        "1795362841.0117188",
        "5.960464477539063e-08",
        "1.0251998901367188e-05",
        "1.7976931348623157e+308",
        "1795362841.123",
        "1e+100",
        "123456.7",
    ] {
        assert!(is_canonical(text.as_bytes()), "{text}");
        assert_eq!(rewrite(text.as_bytes()), text.as_bytes());
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn nothing_else_is() {
    for text in [
        "",
        " ",
        " 1",
        "1 ",
        "1\n",
        "nul",
        "nulll",
        "True",
        "nan",
        "-NaN",
        "+1",
        "01",
        "-0",
        "-01",
        "00",
        "1.",
        ".5",
        "1.50",
        "1e7",
        "1E+22",
        "1e+07",
        "1e22",
        "1e-7",
        "1e+2",
        "100e+20",
        "0.00001",
        "1e999",
        "-1e999",
        "1.0e+22",
        "0.10000000000000001",
        "2100773142259118.3",
        "1795362841.0039063",
        "1795362841.0117187",
        "--1",
        "1-1",
        "1.0.0",
        "-",
        "[",
        "]",
        "{",
        "}",
        "[1,2]",
        "[1 , 2]",
        "[1,  2]",
        "[1, ]",
        "[, 1]",
        "[1, 2",
        "[1}",
        "{\"a\":1}",
        "{\"a\" : 1}",
        "{\"a\":  1}",
        "{\"a\": 1,\"b\": 2}",
        "{\"a\": 1, }",
        "{\"a\"}",
        "{\"a\": }",
        "{1: 2}",
        "{a: 1}",
        "{\"a\": 1]",
        "[ ]",
        "{ }",
        "\"",
        "\"a",
        "\"\n\"",
        "\"\t\"",
        "\"\u{7f}\"",
        "\"é\"",
        "\"\\/\"",
        "\"\\u00E9\"",
        "\"\\u0041\"",
        "\"\\u000a\"",
        "\"\\u0022\"",
        "\"\\u005c\"",
        "\"\\u00e\"",
        "\"\\x41\"",
        "\"\\u00g9\"",
        "\"a\"\"b\"",
        "1 2",
        "[] []",
        "'a'",
        "{\"a\": 1, \"a\": 1}",
        "{\"b\": {}, \"a\": 1, \"b\": 2}",
        "[{\"\": 1, \"\": 2}]",
        "// 1",
        "\0",
        "1\0",
        "\u{feff}1",
    ] {
        assert!(!is_canonical(text.as_bytes()), "{text:?}");
    }
    assert!(!is_canonical(b"\"\xff\""));
    assert!(!is_canonical(b"\"\x80\""));
    // One key in two objects is no key twice.
    assert!(is_canonical(br#"{"a": {"a": {"a": 1}}, "b": {"a": 2}}"#));
}

#[test]
fn nesting_ends_at_its_limit() {
    for (open, close) in [("[", "]"), ("{\"a\": ", "}")] {
        let nested =
            |depth: usize| [&open.repeat(depth), "1", &close.repeat(depth)].concat().into_bytes();
        assert!(is_canonical(&nested(DEPTH)));
        assert!(!is_canonical(&nested(DEPTH + 1)));
        assert!(!is_canonical(&nested(1_000_000)));
    }
}

/// Steele, Lea, Flood: SplitMix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn text(&mut self) -> String {
        let sign = |draw: &mut Self| match draw.next() % 4 {
            0 => char::from_u32((draw.next() % 0x80) as u32),
            1 => char::from_u32((draw.next() % 0x1_0000) as u32),
            2 => char::from_u32((draw.next() % 0x11_0000) as u32),
            _ => Some('a'),
        };
        (0..self.next() % 6).filter_map(|_| sign(self)).collect()
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.next() % if depth == 0 { 6 } else { 9 } {
            0 => Value::Null,
            1 => self.next().is_multiple_of(2).into(),
            2 => (self.next() as i64 >> (self.next() % 64)).into(),
            3 => self.next().into(),
            4 => {
                // Of any size, and of the sizes that times and percentages have.
                let any = f64::from_bits(self.next());
                let usual =
                    (self.next() % 1_000_000_007) as f64 / 10_f64.powi((self.next() % 12) as i32);
                let value = if self.next().is_multiple_of(2) { any } else { usual };
                Number::from_f64(value).map_or(Value::Null, Value::Number)
            }
            5 => self.text().into(),
            6 | 7 => {
                let mut map = Map::new();
                for _ in 0..self.next() % 5 {
                    map.insert(self.text(), self.value(depth - 1));
                }
                map.into()
            }
            _ => (0..self.next() % 5).map(|_| self.value(depth - 1)).collect(),
        }
    }
}

#[test]
fn what_is_written_here_is_canonical_and_any_layout_is_rewritten_to_it() {
    for seed in 0..5_000 {
        let value = Draw(seed).value(4);
        let written = to_ascii_json(&value);
        let shown = String::from_utf8_lossy(&written).into_owned();
        assert!(is_canonical(&written), "seed {seed}: {shown}");
        assert_eq!(rewrite(&serde_json::to_vec(&value).unwrap()), written, "seed {seed}");
        assert_eq!(rewrite(&serde_json::to_vec_pretty(&value).unwrap()), written, "seed {seed}");
        assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), value, "seed {seed}");
    }
    assert_eq!(
        rewrite(br#"["\u00E9\/\u0041", 1E5, -0, 1.50]"#),
        br#"["\u00e9/A", 100000.0, 0, 1.5]"#
    );
}

#[test]
fn no_other_text_of_a_value_is_canonical() {
    // A canonical text reads as a value, and is what is written of it: order of keys aside, there is one.
    let mut canonical = 0;
    for seed in 0..20_000 {
        let mut draw = Draw(seed ^ 0xabcd);
        let mut text = to_ascii_json(&draw.value(2));
        for _ in 0..=draw.next() % 2 {
            let at = (draw.next() as usize) % text.len();
            const SIGNS: &[u8] = b" ,:[]{}\"\\u0123459eE+-.tfna\n\x7f\xc3\xa9";
            let sign = SIGNS[(draw.next() as usize) % SIGNS.len()];
            match draw.next() % 3 {
                0 => text[at] = sign,
                1 => text.insert(at, sign),
                _ if text.len() > 1 => _ = text.remove(at),
                _ => {}
            }
        }
        if !is_canonical(&text) {
            continue;
        }
        canonical += 1;
        let shown = String::from_utf8_lossy(&text).into_owned();
        let sorted = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.sort_unstable();
            bytes
        };
        match serde_json::from_slice::<Value>(&text) {
            Ok(value) => {
                let is_exact = !shown.contains("\\ud");
                // Larger integers than there are here become floats.
                let has_long =
                    shown.split(|sign: char| !sign.is_ascii_digit()).any(|n| n.len() > 18);
                if is_exact && !has_long {
                    assert_eq!(
                        sorted(&to_ascii_json(&value)),
                        sorted(&text),
                        "seed {seed}: {shown}"
                    );
                }
            }
            Err(error) => {
                let is_pythons =
                    ["NaN", "Infinity", "\\ud"].iter().any(|word| shown.contains(word));
                let is_long = shown.len() > 300;
                assert!(is_pythons || is_long, "seed {seed}: {shown}: {error}");
            }
        }
    }
    assert!(canonical > 500, "{canonical}");
}

#[test]
fn the_order_of_keys_is_free() {
    assert!(is_canonical(br#"{"b": 1, "a": 2}"#));
    let many: Map<String, Value> = (0..10_000).map(|n| (n.to_string(), json!(n))).collect();
    let mut text = to_ascii_json(&many);
    assert!(is_canonical(&text));
    text.truncate(text.len() - 1);
    text.extend_from_slice(b", \"5000\": 0}");
    assert!(!is_canonical(&text));
}
