//! Whom clients may be signed by, and whether one is.

use std::fmt;

use model::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA,
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_SUBJECT_ALT_NAME,
};

use crate::certificate::{parsed, shown};
use crate::time::timestamp;
use crate::{Certificate, PemError, RevocationList, certificates};

/// Most certificates above that of the client, the trusted one included.
pub const LONGEST_CHAIN: usize = 3;

/// Most certificates that a client may send beside its own.
const MOST_SENT: usize = 8;

/// Most signatures that are checked for one client: what it sends may fit together in many ways.
const MOST_SIGNATURES: usize = 16;

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What it sent is no certificate, or more of them than anybody needs.
    Unreadable,
    /// The validity of one begins later.
    Early {
        /// Subject of the certificate.
        subject: String,
    },
    /// The validity of one has ended.
    Ended {
        /// Subject of the certificate.
        subject: String,
    },
    /// Nobody who is trusted, within three steps, has signed it.
    Stranger {
        /// Who is said to have.
        issuer: String,
    },
    /// The issuer is known, the signature is not his.
    Signature {
        /// Subject of the certificate.
        subject: String,
    },
    /// The issuer may not sign others.
    NotAuthority {
        /// Subject of the issuer.
        subject: String,
    },
    /// It is not for clients.
    Purpose {
        /// Subject of the certificate.
        subject: String,
    },
    /// It asks for a rule that is not known here.
    Rule {
        /// Subject of the certificate.
        subject: String,
        /// The extension.
        oid: String,
    },
    /// Its authority has revoked it.
    Revoked {
        /// Subject of the certificate.
        subject: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the certificates cannot be read, or are too many"),
            Self::Early { subject } => write!(f, "the certificate {subject} is not valid yet"),
            Self::Ended { subject } => write!(f, "the certificate {subject} has ended"),
            Self::Stranger { issuer } => write!(f, "the issuer {issuer} is not trusted"),
            Self::Signature { subject } => {
                write!(f, "the certificate {subject} is not signed by its issuer")
            }
            Self::NotAuthority { subject } => write!(f, "the issuer {subject} is no authority"),
            Self::Purpose { subject } => write!(f, "the certificate {subject} is not for clients"),
            Self::Rule { subject, oid } => {
                write!(f, "the certificate {subject} has an unknown critical extension {oid}")
            }
            Self::Revoked { subject } => write!(f, "the certificate {subject} is revoked"),
        }
    }
}

impl std::error::Error for Refusal {}

/// The authorities that are trusted, and what they have revoked. An authority without a list has no revocations, one whose
/// list is past its end still has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trust {
    authorities: Vec<Certificate>,
    lists: Vec<RevocationList>,
}

impl Trust {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities of a chain in PEM form: key `certificate_chain`.
    ///
    /// # Errors
    ///
    /// [`PemError`]: none, or one that cannot be read; nothing is trusted then.
    pub fn add_authorities(&mut self, chain: &str) -> Result<(), PemError> {
        for certificate in certificates(chain)? {
            if !self.authorities.contains(&certificate) {
                self.authorities.push(certificate);
            }
        }
        Ok(())
    }

    /// Takes lists of revocations, PEM or DER: key `crl`, or a file. Each counts for the authority that signed it: add the
    /// authorities first. Tells the names of the authorities whose lists were left out, because none of the trusted has
    /// signed them.
    ///
    /// # Errors
    ///
    /// [`PemError`]: none, or one that cannot be read; none of them counts then.
    pub fn add_revocations(&mut self, bytes: &[u8]) -> Result<Vec<String>, PemError> {
        let mut unsigned = vec![];
        for list in RevocationList::parse(bytes)? {
            if self.authorities.iter().any(|it| list.is_signed_by(&it.parsed())) {
                self.lists.push(list);
            } else {
                unsigned.push(list.authority);
            }
        }
        Ok(unsigned)
    }

    /// The authorities.
    #[must_use]
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// The lists that count.
    #[must_use]
    pub fn lists(&self) -> &[RevocationList] {
        &self.lists
    }

    /// Whether a client is let in by its certificate, as it and those that were sent with it came in the handshake.
    ///
    /// The chain leads in at most three steps to a trusted authority. All are valid `now`, none is revoked, each issuer is an
    /// authority that may sign certificates and has signed by a method that still holds (no MD5, no SHA-1). The certificate of
    /// the client may be of version 1, without extensions; those it has let it be a client.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn check_client(
        &self,
        client: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if sent.len() > MOST_SENT {
            return Err(Refusal::Unreadable);
        }
        let leaf = parsed(client).ok_or(Refusal::Unreadable)?;
        check_any(&leaf, now)?;
        check_leaf(&leaf)?;
        let read: Option<Vec<X509Certificate<'_>>> = sent.iter().map(|der| parsed(der)).collect();
        let trusted: Vec<X509Certificate<'_>> =
            self.authorities.iter().map(Certificate::parsed).collect();
        let sent = read.ok_or(Refusal::Unreadable)?;
        let mut search = Search { trust: self, trusted: &trusted, sent: &sent, now, checked: 0 };
        search.climb(&leaf, LONGEST_CHAIN)
    }
}

/// A way up from a client.
struct Search<'a> {
    trust: &'a Trust,
    trusted: &'a [X509Certificate<'a>],
    sent: &'a [X509Certificate<'a>],
    now: Timestamp,
    checked: usize,
}

impl Search<'_> {
    /// From a certificate to a trusted one, in at most `steps`.
    fn climb(&mut self, certificate: &X509Certificate<'_>, steps: usize) -> Result<(), Refusal> {
        let mut refusal = Refusal::Stranger { issuer: shown(certificate.issuer()) };
        if steps == 0 {
            return Err(refusal);
        }
        let below = LONGEST_CHAIN - steps;
        let (trusted, sent) = (self.trusted, self.sent);
        let all = trusted.iter().map(|it| (it, true)).chain(sent.iter().map(|it| (it, false)));
        for (issuer, is_trusted) in all {
            if issuer.subject().as_raw() != certificate.issuer().as_raw() {
                continue;
            }
            let step = self.step(certificate, issuer, below);
            let climbed = match step {
                Ok(()) if is_trusted => Ok(()),
                Ok(()) => self.climb(issuer, steps - 1),
                Err(error) => Err(error),
            };
            match climbed {
                Ok(()) => return Ok(()),
                // A revocation is final: another way up would lead around it.
                Err(error @ Refusal::Revoked { .. }) => return Err(error),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// Whether an issuer may have signed a certificate, and has.
    fn step(
        &mut self,
        certificate: &X509Certificate<'_>,
        issuer: &X509Certificate<'_>,
        below: usize,
    ) -> Result<(), Refusal> {
        check_any(issuer, self.now)?;
        check_issuer(issuer, below)?;
        self.checked += 1;
        let is_signed = self.checked <= MOST_SIGNATURES
            && has_strong_signature(certificate)
            && certificate.verify_signature(Some(issuer.public_key())).is_ok();
        if !is_signed {
            return Err(Refusal::Signature { subject: shown(certificate.subject()) });
        }
        let of_issuer = |list: &&RevocationList| {
            list.issuer == issuer.subject().as_raw() && list.is_signed_by(issuer)
        };
        let mut lists = self.trust.lists.iter().filter(of_issuer);
        if lists.any(|list| list.revokes(certificate)) {
            return Err(Refusal::Revoked { subject: shown(certificate.subject()) });
        }
        Ok(())
    }
}

/// Whether the method of the signature still holds, and is the one that is signed.
fn has_strong_signature(certificate: &X509Certificate<'_>) -> bool {
    let method = &certificate.signature_algorithm;
    let broken = [OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA];
    *method == certificate.tbs_certificate.signature && !broken.contains(&method.algorithm)
}

/// What holds for each certificate of a chain: its validity, and no rule that is unknown here.
fn check_any(certificate: &X509Certificate<'_>, now: Timestamp) -> Result<(), Refusal> {
    let subject = || shown(certificate.subject());
    let validity = certificate.validity();
    if now.since(timestamp(validity.not_before)) < 0.0 {
        return Err(Refusal::Early { subject: subject() });
    }
    if timestamp(validity.not_after).since(now) < 0.0 {
        return Err(Refusal::Ended { subject: subject() });
    }
    let known = [
        OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_SUBJECT_ALT_NAME,
    ];
    match certificate.extensions().iter().find(|it| it.critical && !known.contains(&it.oid)) {
        Some(rule) => Err(Refusal::Rule { subject: subject(), oid: rule.oid.to_id_string() }),
        None => Ok(()),
    }
}

/// Whether the certificate of a client lets it be one. What it does not say, it allows.
fn check_leaf(leaf: &X509Certificate<'_>) -> Result<(), Refusal> {
    let wrong = || Refusal::Purpose { subject: shown(leaf.subject()) };
    let usage = leaf.key_usage().map_err(|_| wrong())?;
    let signs = usage.is_none_or(|it| it.value.digital_signature() || it.value.key_agreement());
    if signs && is_for_clients(leaf) { Ok(()) } else { Err(wrong()) }
}

fn is_for_clients(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.client_auth || usage.value.any,
        Err(_) => false,
    }
}

/// Whether a certificate may sign others, with that many between it and the client.
fn check_issuer(issuer: &X509Certificate<'_>, below: usize) -> Result<(), Refusal> {
    let wrong = || Refusal::NotAuthority { subject: shown(issuer.subject()) };
    let constraints = issuer.basic_constraints().map_err(|_| wrong())?.ok_or_else(wrong)?;
    let is_long =
        constraints.value.path_len_constraint.is_some_and(|most| below as u64 > u64::from(most));
    let usage = issuer.key_usage().map_err(|_| wrong())?;
    let signs = usage.is_none_or(|it| it.value.key_cert_sign());
    if !constraints.value.ca || is_long || !signs {
        return Err(wrong());
    }
    if is_for_clients(issuer) {
        Ok(())
    } else {
        Err(Refusal::Purpose { subject: shown(issuer.subject()) })
    }
}

#[cfg(test)]
mod tests;
