//! What an evaluation says besides the state.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use model::DriverFacts;

/// What an evaluation says besides the state.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Report {
    /// Lines `level: text`.
    pub log: Vec<String>,
    /// Facts.
    pub info: DriverFacts,
    /// Processes whose end matters.
    pub pids: BTreeSet<u32>,
    /// Files whose appearance, change or end matters.
    pub files: BTreeSet<PathBuf>,
    /// A task runs.
    pub is_running: bool,
    /// Replaces the label, when the evaluation knows better.
    pub label: Option<String>,
}

impl Report {
    /// Tells a fact that degrades nothing.
    pub(crate) fn info(&mut self, text: impl fmt::Display) {
        self.log.push(format!("info: {text}"));
    }

    /// Tells what degrades the overall state.
    pub(crate) fn warn(&mut self, text: impl fmt::Display) {
        self.log.push(format!("warn: {text}"));
    }

    /// Tells what an operator has to repair.
    pub(crate) fn error(&mut self, text: impl fmt::Display) {
        self.log.push(format!("error: {text}"));
    }
}
