//! Nodes that are asked over HTTPS, and in whose name.

use std::fmt;
use std::sync::Arc;

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

/// Port of the TLS listener.
pub const DEFAULT_PORT: u16 = 1215;

/// What proves who asks. Nothing of it is shown.
pub struct Remote {
    /// `host:port` of nodes of one cluster, in the order in which they are tried.
    pub(super) addresses: Vec<String>,
    pub(super) tls: TlsConfig,
    /// The header `authorization`.
    pub(super) authorization: Option<Zeroizing<String>>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.addresses).finish()
    }
}

impl PartialEq for Remote {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Remote {}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.addresses.join(", "))
    }
}

/// Whose certificates are good.
#[derive(Debug, Clone, Copy)]
pub enum Trusted<'a> {
    /// Those of the authorities of this machine.
    Machine,
    /// Those of the authorities in this text, in PEM form.
    Authorities(&'a [u8]),
    /// Anybody's: who is on the way can read everything.
    Anybody,
}

impl Remote {
    /// Nodes at these addresses. `fullpem`: key and certificate of the user.
    ///
    /// # Errors
    ///
    /// What is wrong with the certificates.
    pub fn new(
        addresses: Vec<String>,
        trusted: Trusted<'_>,
        fullpem: Option<&[u8]>,
        authorization: Option<Zeroizing<String>>,
    ) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
        let builder = match trusted {
            Trusted::Anybody => builder.disable_verification(true),
            Trusted::Authorities(pem) => builder.root_certs(RootCerts::from(certificates(pem)?)),
            Trusted::Machine => {
                let found = rustls_native_certs::load_native_certs().certs;
                let found = found.iter().map(|der| Certificate::from_der(der).to_owned());
                builder.root_certs(RootCerts::from(found.collect::<Vec<_>>()))
            }
        };
        let own = match fullpem {
            None => None,
            Some(pem) => {
                let key = PrivateKey::from_pem(pem).map_err(|error| error.to_string())?;
                Some(ClientCert::new_with_certs(&certificates(pem)?, key))
            }
        };
        Ok(Self { addresses, tls: builder.client_cert(own).build(), authorization })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let mut found = vec![];
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| error.to_string())? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err("no certificate in PEM form".to_owned()) } else { Ok(found) }
}
