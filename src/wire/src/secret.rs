//! The cluster secret, and what it can key.

use std::fmt;

use model::{SecretLength, SecretUse};
use zeroize::Zeroizing;

use crate::dialect::Dialect;

/// `cluster.secret`: wiped when dropped, never printed.
#[derive(Clone, Eq)]
pub struct ClusterSecret(Zeroizing<Box<str>>);

/// A secret of a length that a dialect cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyError {
    /// The dialect.
    pub dialect: Dialect,
    /// UTF-8 bytes of the secret.
    pub bytes: usize,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cluster secret {}",
            SecretLength { for_use: use_of(self.dialect), bytes: self.bytes }
        )
    }
}

impl std::error::Error for KeyError {}

fn use_of(dialect: Dialect) -> SecretUse {
    match dialect {
        Dialect::Classic => SecretUse::Classic,
        Dialect::Sealed => SecretUse::Sealed,
    }
}

impl ClusterSecret {
    /// Takes the text of the keyword. Any length: [`Self::check`] tells what it is good for.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, to write it into a configuration or to hand it to a joiner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the secret can key a dialect.
    ///
    /// # Errors
    ///
    /// [`KeyError`], to show when the secret is set.
    pub fn check(&self, dialect: Dialect) -> Result<(), KeyError> {
        let bytes = self.0.len();
        use_of(dialect).check(bytes).map_err(|_| KeyError { dialect, bytes })
    }

    /// The key of the classic dialect: the first 32 bytes, even inside a character, as deployed agents cut it.
    pub(crate) fn classic_key(&self) -> Result<&[u8], KeyError> {
        self.check(Dialect::Classic)?;
        let bytes = self.0.as_bytes();
        Ok(&bytes[..bytes.len().min(32)])
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl PartialEq for ClusterSecret {
    /// In a time that does not tell how much of them is the same. No digest is made: its state would stay on the stack.
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (self.bytes(), other.bytes());
        let differing =
            one.iter().zip(other).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
        one.len() == other.len() && differing == 0
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(..)")
    }
}

/// Where salts, initialization vectors and ids come from.
pub trait Random {
    /// Fills the buffer with bytes nobody can guess.
    fn fill(&self, buffer: &mut [u8]);
}

impl Random for ring::rand::SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        ring::rand::SecureRandom::fill(self, buffer)
            .expect("the kernel's generator does not fail once it has been seeded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", ClusterSecret::new("81ec81d6")), "(..)");
    }

    #[test]
    fn each_dialect_has_its_key_lengths() {
        let fits = |dialect| -> Vec<usize> {
            let is_fit =
                |bytes: &usize| ClusterSecret::new(&"a".repeat(*bytes)).check(dialect).is_ok();
            (0..=34).filter(is_fit).collect()
        };
        assert_eq!(fits(Dialect::Classic), [16, 24, 32, 33, 34]);
        assert_eq!(fits(Dialect::Sealed), (16..=34).collect::<Vec<_>>());
        let error = ClusterSecret::new("short").check(Dialect::Classic).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cluster secret has 5 bytes, expected 16, 24, or at least 32"
        );
    }
}
