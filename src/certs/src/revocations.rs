//! Lists of revocations (CRL).

use std::collections::BTreeSet;

use model::Timestamp;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::PemError;
use crate::certificate::{serial_bytes, shown};
use crate::time::timestamp;

const WHAT: &str = "revocation list";

/// Most lists of one text.
const MOST: usize = 100;

/// Seconds before the end of a list at which whoever has the key of the authority makes it anew.
pub const RENEW_LIST: f64 = 7.0 * 86_400.0;

/// What one authority has revoked.
#[derive(Debug, Clone, PartialEq)]
pub struct RevocationList {
    der: Vec<u8>,
    /// Name of the authority, in DER.
    pub(crate) issuer: Vec<u8>,
    serials: BTreeSet<Vec<u8>>,
    /// Name of the authority, for a reader.
    pub authority: String,
    /// When it was made.
    pub made: Timestamp,
    /// When the next one is due. Past it, this one still revokes.
    pub end: Option<Timestamp>,
}

impl RevocationList {
    /// The lists of a text in PEM form, or of the bytes of one in DER: at least one.
    ///
    /// # Errors
    ///
    /// [`PemError`]: none, or one that cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<Vec<Self>, PemError> {
        if let Some(list) = Self::from_der(bytes) {
            return Ok(vec![list]);
        }
        let mut found = vec![];
        for (at, der) in CertificateRevocationListDer::pem_slice_iter(bytes).enumerate() {
            let damaged = PemError::Damaged { what: WHAT, number: at + 1 };
            let der = der.map_err(|_| damaged.clone())?;
            found.push(Self::from_der(&der).ok_or(damaged)?);
            if found.len() > MOST {
                return Err(PemError::Many { what: WHAT, most: MOST });
            }
        }
        if found.is_empty() { Err(PemError::Missing { what: WHAT }) } else { Ok(found) }
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        let (rest, list) = CertificateRevocationList::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let revoked = list.iter_revoked_certificates();
        Some(Self {
            der: der.to_vec(),
            issuer: list.issuer().as_raw().to_vec(),
            serials: revoked.map(|it| serial_bytes(it.raw_serial()).to_vec()).collect(),
            authority: shown(list.issuer()),
            made: timestamp(list.last_update()),
            end: list.next_update().map(timestamp),
        })
    }

    /// Whether a certificate of the authority is revoked, by its serial number.
    pub(crate) fn revokes(&self, certificate: &X509Certificate<'_>) -> bool {
        self.serials.contains(serial_bytes(certificate.raw_serial()))
    }

    /// Whether an authority has signed it.
    pub(crate) fn is_signed_by(&self, authority: &X509Certificate<'_>) -> bool {
        let Ok((_, list)) = CertificateRevocationList::from_der(&self.der) else { return false };
        list.issuer().as_raw() == authority.subject().as_raw()
            && list.verify_signature(authority.public_key()).is_ok()
    }

    /// How many certificates it revokes.
    #[must_use]
    pub fn revoked(&self) -> usize {
        self.serials.len()
    }

    /// Whether the next one is due.
    #[must_use]
    pub fn is_past(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| end.since(now) <= 0.0)
    }

    /// Whether whoever has the key of the authority makes it anew.
    #[must_use]
    pub fn is_to_renew(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| end.since(now) <= RENEW_LIST)
    }
}
