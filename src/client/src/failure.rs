//! Why a command failed.

use link::link::error::AskError;

/// Why a command failed: lines for stderr, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) lines: Vec<String>,
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: 1 }
    }

    /// Wrong usage that only the work could tell.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: 2 }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<Box<conf::Complaint>> for Failure {
    fn from(complaint: Box<conf::Complaint>) -> Self {
        Self::new(complaint.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}
