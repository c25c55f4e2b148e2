//! Why a value cannot be told.

use std::fmt;

use crate::keywords::keyword::{Keyword, nearest};

/// Why a keyword has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError {
    /// Section.
    pub section: String,
    /// Keyword.
    pub keyword: String,
    /// Line of the keyword, or of its section; 0 when neither is written.
    pub line: usize,
    /// What is wrong.
    pub reason: EvalReason,
}

/// What is wrong with a keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvalReason {
    /// It must be set, and is not.
    Required,
    /// No driver in use knows it.
    Unknown {
        /// The answer to who meant another one, where one is near.
        meant: Option<Box<str>>,
    },
    /// Its value is not what the converter takes.
    Value {
        /// The text after references and expression.
        value: Box<str>,
        /// What was expected.
        expected: Box<str>,
    },
    /// Its expression fails.
    Expression(Box<str>),
    /// References or text grow beyond bounds.
    TooLarge,
}

impl EvalReason {
    /// None of the keywords that are known.
    pub(crate) fn unknown(word: &str, known: &[&Keyword]) -> Self {
        Self::Unknown { meant: nearest(word, known).map(|near| near.meant().into()) }
    }
}

impl fmt::Display for EvalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("required, and not set"),
            Self::Unknown { meant: Some(meant) } => f.write_str(meant),
            Self::Unknown { meant: None } => f.write_str("unknown keyword"),
            Self::Value { value, expected } => {
                let short: String = value.chars().take(80).collect();
                write!(f, "{short:?} is not {expected}")
            }
            Self::Expression(reason) => write!(f, "expression: {reason}"),
            Self::TooLarge => f.write_str("too large once its references are replaced"),
        }
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}.{}: {}", self.section, self.keyword, self.reason)
    }
}

impl std::error::Error for EvalError {}
