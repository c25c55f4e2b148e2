//! Why the front closes a connection, as an error that can be counted.

use std::fmt;
use std::io;

use metrics::tallies::Refused;

/// The reason, inside of an [`io::Error`].
#[derive(Debug)]
struct Reason {
    refused: Refused,
    text: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Reason {}

/// A connection that is closed for this.
pub(crate) fn refused(refused: Refused, text: &str) -> io::Error {
    io::Error::other(Reason { refused, text: text.to_owned() })
}

/// One that took too long.
pub(crate) fn late() -> io::Error {
    refused(Refused::Timeout, "it took too long")
}

/// What an error is counted as, if it is a refusal.
pub(crate) fn reason(error: &io::Error) -> Option<Refused> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Reason>()).map(|reason| reason.refused)
}
