//! Private keys.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use zeroize::Zeroizing;

use crate::certificate::algorithm_of;
use crate::{Certificate, PemError};

/// How a private key was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Pkcs8,
    Pkcs1,
    Sec1,
}

/// A private key that signs: wiped when dropped, never printed.
#[derive(Clone)]
pub struct PrivateKey {
    der: Zeroizing<Vec<u8>>,
    form: Form,
    key: Arc<dyn SigningKey>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(..)")
    }
}

impl PrivateKey {
    /// The first private key of a PEM text: PKCS#8, PKCS#1 or SEC1, in clear. RSA of 2048 to 4096 bits, P-256, P-384, Ed25519.
    ///
    /// # Errors
    ///
    /// [`PemError`]: none, or one that nothing here can sign with.
    pub fn from_pem(text: &str) -> Result<Self, PemError> {
        const WHAT: &str = "private key";
        let read = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => PemError::Missing { what: WHAT },
            _ => PemError::Damaged { what: WHAT, number: 1 },
        })?;
        let key = any_supported_type(&read).map_err(|_| PemError::Key)?;
        let form = match &read {
            PrivateKeyDer::Pkcs8(_) => Form::Pkcs8,
            PrivateKeyDer::Pkcs1(_) => Form::Pkcs1,
            PrivateKeyDer::Sec1(_) => Form::Sec1,
            _ => return Err(PemError::Key),
        };
        // What was read wipes itself.
        let der = Zeroizing::new(read.secret_der().to_vec());
        Ok(Self { der, form, key })
    }

    /// Whether it is that of the public key in a certificate.
    #[must_use]
    pub fn fits(&self, certificate: &Certificate) -> bool {
        let own = self.key.public_key();
        own.is_some_and(|own| own.as_ref() == certificate.parsed().public_key().raw)
    }

    /// The key as PKCS#8 in DER, whatever it was written as.
    pub(crate) fn pkcs8(&self, certificate: &Certificate) -> Zeroizing<Vec<u8>> {
        match self.form {
            Form::Pkcs8 => self.der.clone(),
            // RFC 5958: the key as it was, behind the kind that its certificate names.
            Form::Pkcs1 | Form::Sec1 => {
                let certificate = certificate.parsed();
                let kind = algorithm_of(certificate.public_key().raw).unwrap_or_default();
                Zeroizing::new(yasna::construct_der(|writer| {
                    writer.write_sequence(|writer| {
                        writer.next().write_u8(0);
                        writer.next().write_der(kind);
                        writer.next().write_bytes(&self.der);
                    });
                }))
            }
        }
    }

    /// What rustls signs handshakes with.
    #[must_use]
    pub fn signing_key(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.key)
    }
}
