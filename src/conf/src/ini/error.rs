//! Why a text is no configuration, or a change can not be written in one.

use std::fmt;

/// Why a text is no configuration, or a change can not be written in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniError {
    /// Line, from 1. The line that would be written, for a change.
    pub line: usize,
    /// What is wrong.
    pub reason: IniReason,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IniReason {
    /// Not UTF-8, or a NUL: no text file.
    Binary,
    /// A keyword before the first `[section]`.
    NoSection(Box<str>),
    /// Neither comment, section, nor keyword with `=` or `:`.
    NoDelimiter(Box<str>),
    /// A delimiter with no keyword before it.
    NoKeyword,
    /// A section, keyword or value that would read back otherwise.
    Unwritable(Box<str>),
}

impl fmt::Display for IniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        match &self.reason {
            IniReason::Binary => f.write_str("not a text: invalid UTF-8 or a NUL byte"),
            IniReason::NoSection(text) => write!(f, "{text:?} stands before the first [section]"),
            IniReason::NoDelimiter(text) => {
                write!(f, "{text:?} is neither a comment, a [section], nor `keyword = value`")
            }
            IniReason::NoKeyword => f.write_str("no keyword stands before `=` or `:`"),
            IniReason::Unwritable(text) => {
                write!(f, "{text} can not be written: it would be read back otherwise")
            }
        }
    }
}

impl std::error::Error for IniError {}
