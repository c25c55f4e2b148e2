//! What is wrong with a configuration, for the one who wrote it.

use std::fmt;

use serde::Serialize;

use crate::eval::error::EvalError;

/// How complaints begin about what nobody reads.
pub(crate) const UNREAD: &str = "not read: ";

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, and good as it is: not counted by `validate config`.
    Notice,
    /// Nothing reads it.
    Warning,
    /// Deployed agents take it, for something else than it says. `om` writes none without `--force`; a file that has one is in
    /// force, and the daemon tells.
    Mistake,
    /// The keyword can not be used as written.
    Error,
}

/// A mistake of a configuration, with where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// How bad it is.
    pub severity: Severity,
    /// `node.conf`, `cluster.conf`, or the object's file below `<etc>`.
    pub file: String,
    /// Line, from 1; 0 when it stands on none.
    pub line: usize,
    /// Section, empty when it is about the whole file.
    pub section: String,
    /// Keyword, empty when it is about a section.
    pub keyword: String,
    /// What is wrong.
    pub reason: String,
}

impl Complaint {
    /// An error of evaluation, in `file`.
    pub(crate) fn of(error: &EvalError, file: String) -> Self {
        Self {
            severity: Severity::Error,
            file,
            line: error.line,
            section: error.section.clone(),
            keyword: error.keyword.clone(),
            reason: error.reason.to_string(),
        }
    }

    /// Whether it tells of what is set and read by nobody: worth a warning wherever the file is read.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.severity == Severity::Warning && self.reason.starts_with(UNREAD)
    }

    /// Whether the same is among others, wherever it stands there.
    #[must_use]
    pub fn is_among(&self, others: &[Self]) -> bool {
        others.iter().any(|other| Self { line: self.line, ..other.clone() } == *self)
    }

    /// Adds to `known` what `more` has about other places; of two about one place, the worse stays.
    pub fn merge(known: &mut Vec<Self>, more: Vec<Self>) {
        for each in more {
            let is_same = |old: &&mut Self| {
                (&old.file, &old.section, &old.keyword)
                    == (&each.file, &each.section, &each.keyword)
            };
            match known.iter_mut().find(is_same) {
                Some(old) if old.severity < each.severity => *old = each,
                Some(_) => {}
                None => known.push(each),
            }
        }
    }

    /// Whether it is nothing to write.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.severity >= Severity::Mistake
    }

    /// The same, by who insists: what deployed agents put up with is written.
    #[must_use]
    pub fn is_refused_even(&self, force: bool) -> bool {
        if force { self.severity == Severity::Error } else { self.is_refused() }
    }

    /// Errors and warnings as deployed agents count them; they do not count a [`Severity::Mistake`].
    #[must_use]
    pub fn count(complaints: &[Self]) -> (usize, usize) {
        let count = |severity| complaints.iter().filter(|c| c.severity == severity).count();
        (count(Severity::Error), count(Severity::Warning))
    }
}

impl fmt::Display for Complaint {
    /// `svc1.conf line 4: app#1.restart: ..`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, " line {}", self.line)?;
        }
        f.write_str(": ")?;
        match (self.section.as_str(), self.keyword.as_str()) {
            ("", _) => {}
            (section, "") => write!(f, "[{section}]: ")?,
            (section, keyword) => write!(f, "{section}.{keyword}: ")?,
        }
        f.write_str(&self.reason)
    }
}
