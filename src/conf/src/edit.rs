//! Edits as the command line asks for them (config.md §10).

use std::fmt;

use crate::IniError;

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// `set --kw [section.]keyword[@scope][[index]]<op>value`, `op` one of `=`, `+=`, `|=`, `-=`.
    Set(String),
    /// `set --param <p> --value <v>`.
    SetValue {
        /// `[section.]keyword[@scope]`.
        param: String,
        /// The value, as it is.
        value: String,
    },
    /// `set --param <p> --add <words> [--index <n>]`.
    Add {
        /// `[section.]keyword[@scope]`.
        param: String,
        /// Words inserted.
        value: String,
        /// Where; at the end when none.
        index: Option<i64>,
    },
    /// `set --param <p> --remove <words>`.
    Remove {
        /// `[section.]keyword[@scope]`.
        param: String,
        /// Words whose first occurrence goes.
        value: String,
    },
    /// `unset --kw [section.]keyword[@scope]`.
    Unset(String),
    /// `delete --rid <section>`, and `unset --section`.
    DeleteSection(String),
    /// `disable`: the object, or sections.
    Disable(Vec<String>),
    /// `enable`: the object, or sections.
    Enable(Vec<String>),
}

/// Why an edit was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// No operator in `set --kw`.
    NoOperator(Box<str>),
    /// The index is not an integer.
    Index(Box<str>),
    /// No keyword.
    NoKeyword(Box<str>),
    /// The section does not exist.
    NoSection(Box<str>),
    /// It can not be written.
    Ini(IniError),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOperator(text) => write!(
                f,
                "malformed {text:?}, expected [<section>.]<keyword>[@<scope>][[<index>]]<op><value>, <op> one of = += |= -="
            ),
            Self::Index(text) => write!(f, "the index of {text:?} is not an integer"),
            Self::NoKeyword(text) => write!(f, "{text:?} names no keyword"),
            Self::NoSection(text) => write!(f, "section {text:?} does not exist"),
            Self::Ini(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EditError {}

impl From<IniError> for EditError {
    fn from(error: IniError) -> Self {
        Self::Ini(error)
    }
}
