//! Converters: the text of a keyword to its typed value (src/conf/README.md, Values).

use std::collections::BTreeSet;

pub(crate) mod doubt;
pub(crate) mod expected;
pub(crate) mod quantity;
pub(crate) mod words;

use crate::convert::expected::Expected;
use crate::convert::quantity::{SizeOptions, integer, parse_duration, parse_size};
use crate::convert::words::{expand_options, split_words};
use crate::value::Value;

/// What a keyword holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Converter {
    /// The text as it is; what an expression yields keeps its type.
    Text,
    /// Lower-cased text.
    Lower,
    /// A number, truncated toward zero; null for anything else.
    Integer,
    /// Yes or no.
    Boolean,
    /// Yes, no or unset.
    Tristate,
    /// Blank separated words.
    List,
    /// Blank separated words, lower-cased.
    ListLower,
    /// Comma separated words.
    ListComma,
    /// Blank separated words, sorted, once each.
    Set,
    /// Comma separated words, sorted, once each.
    SetComma,
    /// Words as a shell splits them.
    Words,
    /// The same, `-abc` taken apart.
    Options,
    /// Bytes, or a percentage.
    Size,
    /// KB per second.
    Speed,
    /// Seconds.
    Duration,
    /// Seconds, a bare number being minutes.
    DurationMinutes,
    /// Whole days.
    DurationDays,
    /// Names of nodes, by selector.
    Nodes,
    /// A date with a time.
    DateTime,
    /// JSON, null for what is none.
    Json,
}

impl Converter {
    /// What deployed agents call it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Lower => "lower",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Tristate => "tristate",
            Self::List => "list",
            Self::ListLower => "list_lower",
            Self::ListComma => "list_comma",
            Self::Set => "set",
            Self::SetComma => "set_comma",
            Self::Words => "shlex",
            Self::Options => "expanded_shlex",
            Self::Size => "size",
            Self::Speed => "speed_kps",
            Self::Duration => "duration",
            Self::DurationMinutes => "duration_minute",
            Self::DurationDays => "duration_day",
            Self::Nodes => "nodes_selector",
            Self::DateTime => "datetime",
            Self::Json => "json",
        }
    }

    /// What it takes, in a word or two.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Text | Self::Lower => "text",
            Self::Integer => "integer",
            Self::Boolean | Self::Tristate => "boolean",
            Self::List | Self::ListLower | Self::Set => "list",
            Self::ListComma | Self::SetComma => "list with commas",
            Self::Words | Self::Options => "shell words",
            Self::Size => "size",
            Self::Speed => "speed",
            Self::Duration | Self::DurationMinutes | Self::DurationDays => "duration",
            Self::Nodes => "node selector",
            Self::DateTime => "date",
            Self::Json => "JSON",
        }
    }

    /// The converter of that name: the one in the tables of deployed agents (src/conf/README.md, Values).
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "string" => Self::Text,
            "lower" => Self::Lower,
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            "tristate" => Self::Tristate,
            "list" => Self::List,
            "list_lower" => Self::ListLower,
            "list_comma" => Self::ListComma,
            "set" => Self::Set,
            "set_comma" => Self::SetComma,
            "shlex" => Self::Words,
            "expanded_shlex" => Self::Options,
            "size" => Self::Size,
            "speed_kps" => Self::Speed,
            "duration" => Self::Duration,
            "duration_minute" => Self::DurationMinutes,
            "duration_to_day" => Self::DurationDays,
            "nodes_selector" => Self::Nodes,
            "datetime" => Self::DateTime,
            "json" => Self::Json,
            _ => return None,
        })
    }

    /// Converts a value: a text, or what an expression yielded. Node selectors are left as words: their expansion
    /// needs the cluster.
    ///
    /// # Errors
    ///
    /// What was expected instead.
    pub fn convert(self, value: Value) -> Result<Value, Expected> {
        let is_list = matches!(value, Value::List(_) | Value::Set(_));
        match self {
            Self::Text => Ok(value),
            Self::Json => Ok(match value {
                Value::Text(text) => serde_json::from_str(&text).map_or(Value::Null, Value::Json),
                other => other,
            }),
            Self::Lower => Ok(match value {
                Value::Null => Value::Null,
                other => Value::Text(other.to_string().to_lowercase()),
            }),
            Self::Integer => Ok(integer(&value)),
            Self::Tristate if value.is_null() => Ok(Value::Null),
            Self::Boolean | Self::Tristate => boolean(&value),
            Self::List => Ok(Value::List(value.words())),
            Self::ListLower => {
                Ok(Value::List(value.words().iter().map(|word| word.to_lowercase()).collect()))
            }
            Self::Set => Ok(Value::Set(value.words().into_iter().collect())),
            Self::ListComma => Ok(Value::List(commas(&value))),
            Self::SetComma => Ok(Value::Set(BTreeSet::from_iter(commas(&value)))),
            Self::Words | Self::Options | Self::Nodes | Self::DateTime if value.is_null() => {
                Ok(Value::Null)
            }
            Self::Words | Self::Options if is_list => Ok(Value::List(value.words())),
            Self::Words => split_words(&value.to_string()).map(Value::List),
            Self::Options => {
                split_words(&value.to_string()).map(|words| Value::List(expand_options(words)))
            }
            Self::Nodes => Ok(Value::List(value.words())),
            Self::DateTime => quantity::datetime(&value.to_string()).map(Value::Text),
            Self::Size | Self::Speed
                if matches!(value, Value::Null | Value::Integer(_)) && self == Self::Size =>
            {
                Ok(value)
            }
            Self::Size => parse_size(&value.to_string(), SizeOptions::default()),
            Self::Speed if value.is_null() => Ok(Value::Null),
            Self::Speed => {
                let text = value.to_string();
                let text = text.trim();
                let text = text.strip_suffix("/s").unwrap_or(text);
                parse_size(
                    text,
                    SizeOptions { default_unit: Some("k"), to: Some("k"), round: None },
                )
            }
            Self::Duration | Self::DurationMinutes | Self::DurationDays if value.is_null() => {
                Ok(Value::Null)
            }
            Self::Duration => duration(&value, 1.0),
            Self::DurationMinutes => duration(&value, 60.0),
            Self::DurationDays => Ok(match duration(&value, 1.0)?.as_number() {
                Some(seconds) => quantity::seconds((seconds / 86_400.0).trunc()),
                None => Value::Null,
            }),
        }
    }
}

fn duration(value: &Value, bare_unit: f64) -> Result<Value, Expected> {
    parse_duration(&value.to_string(), bare_unit).map(quantity::seconds)
}

fn boolean(value: &Value) -> Result<Value, Expected> {
    let text = match value {
        Value::Null => String::new(),
        Value::List(words) if words.is_empty() => String::new(),
        other => other.to_string().trim().to_lowercase(),
    };
    match text.as_str() {
        "yes" | "y" | "true" | "t" | "1" => Ok(Value::Bool(true)),
        "no" | "n" | "false" | "f" | "0" | "0.0" | "" | "none" | "[]" | "{}" => {
            Ok(Value::Bool(false))
        }
        _ => Err("a boolean: true or false"),
    }
}

fn commas(value: &Value) -> Vec<String> {
    match value {
        Value::Null => vec![],
        Value::List(_) | Value::Set(_) => value.words(),
        other => {
            let text = other.to_string();
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        }
    }
}
