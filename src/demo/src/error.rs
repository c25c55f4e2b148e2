//! Why the demo did not show what it should.

use std::io;
use std::time::Duration;

/// Longest wait for one step; all of them together take a few seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Why the demo did not show what it should.
#[derive(Debug)]
pub(crate) enum DemoError {
    /// Something of the machine failed while doing what is named.
    Machine(&'static str, io::Error),
    /// What is named did not happen in time.
    Late(&'static str),
    /// A command of ours failed.
    Command(String),
    /// Nobody wants to see the rest.
    Ended(&'static str),
}

impl std::fmt::Display for DemoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Machine(what, error) => write!(f, "{what}: {error}"),
            Self::Late(what) => write!(f, "did not happen within {} s: {what}", PATIENCE.as_secs()),
            Self::Command(what) => f.write_str(what),
            Self::Ended(why) => f.write_str(why),
        }
    }
}
