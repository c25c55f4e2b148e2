//! What an operator is told of a thread until it is so no more.

use serde::{Deserialize, Serialize};

/// How serious an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not go as it should.
    Warning,
    /// Something does not go.
    Error,
}

/// An alert, as the block of a thread shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// How serious it is.
    pub severity: Severity,
    /// What is so, and what to do about it.
    pub message: String,
}

impl Alert {
    /// Tells that something does not go as it should.
    #[must_use]
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into() }
    }

    /// Tells that something does not go.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn alerts_are_written_in_the_words_of_the_field() {
        let alerts = [Alert::warning("late"), Alert::error("gone")];
        let written = json!([
            {"severity": "warning", "message": "late"},
            {"severity": "error", "message": "gone"},
        ]);
        assert_eq!(json!(alerts), written);
    }
}
