//! The dialects that nodes speak with each other.

use std::fmt;

/// The envelope of an encrypted message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// What deployed agents speak: AES-CBC over zlib, `iv`.
    Classic,
    /// What this project speaks: AES-256-GCM, `alg` and `salt`.
    Sealed,
}

impl Dialect {
    /// The word of `cluster.envelope` and of the node data.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Sealed => "sealed",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
