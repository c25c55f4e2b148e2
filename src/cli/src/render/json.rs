//! `--format json` and `--format flat_json`.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::text::printable;

/// Sorted JSON, indented by 4, ASCII only: as the deployed agent prints it, and safe for a terminal.
#[must_use]
pub fn json(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer =
        Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    value.serialize(&mut serializer).expect("a value always serializes to memory");
    let text = String::from_utf8(bytes).expect("JSON is UTF-8");
    let mut ascii = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            ascii.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii.push('\n');
    ascii
}

/// One line per value that is neither an object nor an array: `.<key>.<key>[<index>] = <value>`. Values are spelled
/// as the deployed agent does: `True`, `False`, `None`, texts without quotes; a key with dots is quoted.
#[must_use]
pub fn flat_json(value: &Value) -> String {
    let mut text = String::new();
    flatten(value, &mut String::new(), &mut text);
    text
}

fn flatten(value: &Value, path: &mut String, text: &mut String) {
    let length = path.len();
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                path.push('.');
                if key.contains('.') {
                    path.push_str(&format!("'{}'", printable(key)));
                } else {
                    path.push_str(&printable(key));
                }
                flatten(value, path, text);
                path.truncate(length);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                flatten(value, path, text);
                path.truncate(length);
            }
        }
        leaf => {
            let spelled = match leaf {
                Value::Null => "None".to_owned(),
                Value::Bool(true) => "True".to_owned(),
                Value::Bool(false) => "False".to_owned(),
                Value::String(text) => printable(text).into_owned(),
                other => other.to_string(),
            };
            text.push_str(path);
            text.push_str(" = ");
            text.push_str(&spelled);
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as value;

    #[test]
    fn json_is_sorted_and_indented_by_four() {
        assert_eq!(
            json(&value!({"status": 0, "data": {"10.0.0.1": 5, "é": "\u{1b}"}})),
            "{\n    \"data\": {\n        \"10.0.0.1\": 5,\n        \"\\u00e9\": \"\\u001b\"\n    },\n    \"status\": 0\n}\n"
        );
    }

    #[test]
    fn flat_json_has_one_line_per_leaf() {
        let data = value!({"a": {"b c": [1, "x", null, true, {"q": 1.5}], "d.e": "t", "fs#1": {}, "l": []}});
        assert_eq!(
            flat_json(&data),
            ".a.b c[0] = 1\n.a.b c[1] = x\n.a.b c[2] = None\n.a.b c[3] = True\n.a.b c[4].q = 1.5\n.a.'d.e' = t\n"
        );
    }
}
