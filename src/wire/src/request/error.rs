//! Why the router refuses a message.

use std::fmt;

use serde_json::{Value, json};

use crate::json::JsonError;
use crate::request::options::Format;

/// Why the router refuses a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// `null`: closed without reply.
    Null,
    /// Not JSON, or not an object.
    Format,
    /// Reading it takes more memory than a request may.
    TooHeavy,
    /// No `action`.
    NoAction,
    /// `action` is not a text; the word is the type's.
    ActionType(&'static str),
    /// `options` is not an object; the word is the type's.
    OptionsType(&'static str),
    /// `node` is neither text nor an array of texts.
    Node,
    /// No handler of that name and method.
    Unsupported {
        /// The method, as received.
        method: Option<Box<str>>,
        /// The name, without leading slashes, cut to 200 characters.
        name: Box<str>,
    },
    /// A required option is absent.
    Required {
        /// The option.
        name: &'static str,
    },
    /// An option does not convert.
    Conversion {
        /// The option.
        name: &'static str,
        /// Its format.
        format: Format,
        /// Why.
        reason: String,
    },
}

impl RequestError {
    /// The `status` of the reply.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Format | Self::NoAction => 1,
            Self::ActionType(_) | Self::OptionsType(_) => 500,
            Self::Node | Self::Required { .. } | Self::Conversion { .. } => 400,
            Self::TooHeavy => 413,
            Self::Unsupported { .. } => 501,
        }
    }

    /// The reply; `null`, that is none, for a null message.
    #[must_use]
    pub fn to_reply(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            // Deployed agents fail there, and say so with a stack that clients may look for.
            Self::ActionType(_) | Self::OptionsType(_) => {
                json!({"status": self.status(), "error": self.to_string(), "traceback": ""})
            }
            _ => json!({"status": self.status(), "error": self.to_string()}),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null request"),
            Self::Format => f.write_str("invalid data format"),
            Self::TooHeavy => f.write_str("the request holds more values than a request may"),
            Self::NoAction => f.write_str("action not specified"),
            Self::ActionType(kind) => write!(f, "'{kind}' object has no attribute 'lstrip'"),
            Self::OptionsType(kind) => write!(f, "'{kind}' object has no attribute 'items'"),
            Self::Node => f.write_str("node is neither a text nor an array of texts"),
            Self::Unsupported { method, name } => {
                write!(f, "handler {} {name} is not supported", method.as_deref().unwrap_or("None"))
            }
            Self::Required { name } => write!(f, "required option {name} is not set"),
            Self::Conversion { name, format, reason } => {
                let format = format.as_str();
                write!(f, "option {name} format conversion to {format} error: {reason}")
            }
        }
    }
}

impl std::error::Error for RequestError {}

impl From<JsonError> for RequestError {
    fn from(error: JsonError) -> Self {
        if error.is_too_heavy() { Self::TooHeavy } else { Self::Format }
    }
}
