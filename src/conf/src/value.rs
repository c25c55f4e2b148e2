//! Values of keywords once evaluated.

use std::collections::BTreeSet;
use std::fmt;

/// Value of a keyword, as its converter made it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Unset, or not convertible where the converter says so.
    #[default]
    Null,
    /// Converters `boolean`, `tristate`, and comparisons.
    Bool(bool),
    /// Converters `integer`, `size` (bytes), `speed_kps` (KB/s), `duration` (whole seconds).
    Integer(i64),
    /// Divisions, and durations with a fraction (seconds).
    Float(f64),
    /// No converter, or a percentage given as size.
    Text(String),
    /// Converters `list`, `shlex`, `nodes_selector`.
    List(Vec<String>),
    /// Converter `set`.
    Set(BTreeSet<String>),
    /// Converter `json`.
    Json(serde_json::Value),
}

impl Value {
    /// The value as JSON, sets as sorted lists.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Integer(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
            Self::List(value) => value.as_slice().into(),
            Self::Set(value) => value.iter().cloned().collect::<Vec<_>>().into(),
            Self::Json(value) => value.clone(),
        }
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// The text of a text, none for anything else.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The number, when it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "compared and shown, not counted with")]
            Self::Integer(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The words of a list or set, else the blank separated words of its text.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Null => vec![],
            Self::List(words) => words.clone(),
            Self::Set(words) => words.iter().cloned().collect(),
            other => other.to_string().split_whitespace().map(str::to_owned).collect(),
        }
    }
}

impl fmt::Display for Value {
    /// As `om <path> eval` prints it: words of lists separated by blanks, `None` when unset, `True` and `False`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => f.write_str(value),
            Self::List(words) => f.write_str(&words.join(" ")),
            Self::Set(words) => {
                f.write_str(&words.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
            }
            Self::Json(value) => write!(f, "{value}"),
        }
    }
}
