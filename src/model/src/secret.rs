//! How long a secret has to be to make keys of it (src/model/README.md, Secrets).

use std::fmt;

/// The dialect of the encrypted request that a secret is to key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretUse {
    /// Sealed: at least 16 bytes.
    Sealed,
    /// Classic: 16, 24, or at least 32 bytes, the lengths of AES keys. They are good for sealed too.
    Classic,
}

/// A secret of a length that makes no key. It never holds the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretLength {
    /// What it was to key.
    pub for_use: SecretUse,
    /// Its UTF-8 bytes.
    pub bytes: usize,
}

impl fmt::Display for SecretLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = match self.for_use {
            SecretUse::Classic => "16, 24, or at least 32",
            SecretUse::Sealed => "at least 16",
        };
        write!(f, "has {} bytes, expected {expected}", self.bytes)
    }
}

impl std::error::Error for SecretLength {}

impl SecretUse {
    /// Whether a secret of so many UTF-8 bytes makes a key.
    ///
    /// # Errors
    ///
    /// [`SecretLength`], to show when the secret is set.
    pub fn check(self, bytes: usize) -> Result<(), SecretLength> {
        let fits = match self {
            Self::Classic => matches!(bytes, 16 | 24 | 32..),
            Self::Sealed => bytes >= 16,
        };
        if fits { Ok(()) } else { Err(SecretLength { for_use: self, bytes }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_has_its_lengths() {
        let fits = |used: SecretUse| -> Vec<usize> {
            (0..=34).filter(|bytes| used.check(*bytes).is_ok()).collect()
        };
        assert_eq!(fits(SecretUse::Classic), [16, 24, 32, 33, 34]);
        assert_eq!(fits(SecretUse::Sealed), (16..=34).collect::<Vec<_>>());
        let error = SecretUse::Classic.check(5).unwrap_err();
        assert_eq!(error.to_string(), "has 5 bytes, expected 16, 24, or at least 32");
    }
}
