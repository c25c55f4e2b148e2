//! What is wrong with a command line, told as clap tells it.

/// A command line that cannot be understood: a text for stderr, with terminal styles; the exit code is 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Usage {}

pub(crate) fn usage(text: &str) -> Usage {
    Usage(format!("error: {text}\n\nFor more information, try '--help'."))
}
