//! PEM texts: chains of certificates.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::Certificate;

/// Most certificates of one text: all that a system trusts are some 150.
const MOST: usize = 1_000;

/// Why a text is no certificate, key or list of revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PemError {
    /// It holds none.
    Missing {
        /// `certificate`, `private key`, `revocation list`.
        what: &'static str,
    },
    /// One that is cut, or damaged.
    Damaged {
        /// `certificate`, `private key`, `revocation list`.
        what: &'static str,
        /// Its place in the text, from 1.
        number: usize,
    },
    /// A key of a kind that nothing here signs with.
    Key,
    /// More than anybody needs.
    Many {
        /// `certificate`, `revocation list`.
        what: &'static str,
        /// Most that are read.
        most: usize,
    },
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what } => write!(f, "the text holds no {what} in PEM form"),
            Self::Damaged { what, number } => {
                write!(f, "{what} {number} of the text is cut or damaged")
            }
            Self::Key => f.write_str(
                "the private key is neither RSA of 2048 to 4096 bits, P-256, P-384 nor Ed25519, in clear",
            ),
            Self::Many { what, most } => write!(f, "the text holds more than {most} of {what}"),
        }
    }
}

impl std::error::Error for PemError {}

/// The certificates of a text, in their order: at least one. What stands between them is passed over, keys too.
///
/// # Errors
///
/// [`PemError`]: none, or one that cannot be read.
pub fn certificates(text: &str) -> Result<Vec<Certificate>, PemError> {
    const WHAT: &str = "certificate";
    let mut found = vec![];
    for (at, der) in CertificateDer::pem_slice_iter(text.as_bytes()).enumerate() {
        let damaged = PemError::Damaged { what: WHAT, number: at + 1 };
        let der = der.map_err(|_| damaged.clone())?;
        found.push(Certificate::from_der(der).ok_or(damaged)?);
        if found.len() > MOST {
            return Err(PemError::Many { what: WHAT, most: MOST });
        }
    }
    if found.is_empty() { Err(PemError::Missing { what: WHAT }) } else { Ok(found) }
}
