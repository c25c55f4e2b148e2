//! Values of a status that may have any shape.

use serde_json::Value;

/// A text below a name; empty where there is none.
pub(super) fn text<'a>(value: Option<&'a Value>, name: &str) -> &'a str {
    value.and_then(|value| value.get(name)).and_then(Value::as_str).unwrap_or_default()
}

/// A number below a name.
pub(super) fn number(value: Option<&Value>, name: &str) -> Option<f64> {
    value.and_then(|value| value.get(name)).and_then(Value::as_f64)
}
