//! What `om doctor` finds: one line for each thing that it looked at.

use serde::{Deserialize, Serialize};

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// It works, and will not for ever, or not in all cases.
    Warn,
    /// Something does not work.
    Fail,
}

impl Verdict {
    /// The word that an operator reads.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at, in one word: `heartbeat`, `names` ..
    pub id: String,
    /// How it is.
    pub verdict: Verdict,
    /// What is so.
    pub what: String,
    /// What mends it; empty where nothing is to be mended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Check {
    /// What is as it should be.
    #[must_use]
    pub fn pass(id: &str, what: impl Into<String>) -> Self {
        Self { id: id.to_owned(), verdict: Verdict::Pass, what: what.into(), remedy: String::new() }
    }

    /// What works, and will not for ever, or not in all cases.
    #[must_use]
    pub fn warn(id: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { id: id.to_owned(), verdict: Verdict::Warn, what: what.into(), remedy: remedy.into() }
    }

    /// What does not work.
    #[must_use]
    pub fn fail(id: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(id, what, remedy) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_finding_reads_back_and_has_a_remedy_where_one_is_needed() {
        let found = [Check::pass("disk", "roomy"), Check::fail("secret", "none", "set one")];
        let written = json!([
            {"id": "disk", "verdict": "pass", "what": "roomy"},
            {"id": "secret", "verdict": "fail", "what": "none", "remedy": "set one"},
        ]);
        assert_eq!(json!(found), written);
        let read: Vec<Check> = serde_json::from_value(written).unwrap();
        assert_eq!(read, found);
    }
}
