//! What rustls asks for: the certificate of a server, and the judge of its clients.
//!
//! rustls reads certificates with webpki, which takes none of version 1; deployed agents sign such. So nothing here lets
//! webpki read one.

use std::fmt;
use std::sync::Arc;

use model::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    SignatureScheme,
};

use crate::certificate::{algorithm_of, parsed};
use crate::{PemError, PrivateKey, Refusal, Trust, certificates};

/// Why a server cannot show a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerError {
    /// The chain cannot be read.
    Chain(PemError),
    /// The private key cannot be read.
    Key(PemError),
    /// The private key is that of another certificate.
    Mismatch,
    /// A certificate of the chain is not that of the issuer of the one before.
    Order {
        /// Its place, from 1.
        number: usize,
    },
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(error) | Self::Key(error) => error.fmt(f),
            Self::Mismatch => f.write_str("the private key is not that of the certificate"),
            Self::Order { number } => {
                write!(f, "certificate {number} of the chain is not the issuer of the one before")
            }
        }
    }
}

impl std::error::Error for ServerError {}

/// What a server shows: its chain (key `certificate_chain`) and its private key (key `private_key`), both in PEM form. For
/// `ResolvesServerCert`: `rustls::sign::SingleCertAndKey::from` it, or a resolver of one's own.
///
/// # Errors
///
/// [`ServerError`]: they cannot be read, or do not fit together. A certificate that has ended is none: see
/// [`crate::Certificate::end`].
pub fn certified_key(chain: &str, key: &str) -> Result<CertifiedKey, ServerError> {
    let chain = certificates(chain).map_err(ServerError::Chain)?;
    let key = PrivateKey::from_pem(key).map_err(ServerError::Key)?;
    if !chain.first().is_some_and(|own| key.fits(own)) {
        return Err(ServerError::Mismatch);
    }
    for (at, pair) in chain.windows(2).enumerate() {
        if pair[0].parsed().issuer().as_raw() != pair[1].parsed().subject().as_raw() {
            return Err(ServerError::Order { number: at + 2 });
        }
    }
    let chain = chain.into_iter().map(|it| it.der().clone()).collect();
    Ok(CertifiedKey::new(chain, key.signing_key()))
}

/// The judge of clients that show a certificate; without one they are let in, and are nobody yet. Made anew when the trust
/// changes.
#[derive(Debug)]
pub struct ClientVerifier {
    trust: Arc<Trust>,
    names: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    /// The judge by this trust.
    #[must_use]
    pub fn new(trust: Arc<Trust>) -> Self {
        let name = |it: &crate::Certificate| {
            DistinguishedName::from(it.parsed().subject().as_raw().to_vec())
        };
        let names = trust.authorities().iter().map(name).collect();
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        Self { trust, names, algorithms }
    }

    /// Whether the client has signed the handshake with the key of its certificate.
    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        is_tls13: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        let unadvertised = PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme;
        if is_tls13 && !is_in_tls13(signed.scheme) {
            return Err(unadvertised.into());
        }
        let of_scheme = self.algorithms.mapping.iter().find(|(it, _)| *it == signed.scheme);
        let (_, algorithms) = of_scheme.ok_or(unadvertised)?;
        let bad = |error: CertificateError| Error::InvalidCertificate(error);
        let read = parsed(certificate).ok_or_else(|| bad(CertificateError::BadEncoding))?;
        let key = read.public_key();
        let kind = algorithm_of(key.raw).ok_or_else(|| bad(CertificateError::BadEncoding))?;
        // TLS 1.3 ties a scheme to a curve: that of the first. In TLS 1.2 any fits.
        let most = if is_tls13 { 1 } else { algorithms.len() };
        let mut fitting = algorithms
            .iter()
            .take(most)
            .filter(|it| kind.ends_with(it.public_key_alg_id().as_ref()));
        let bits = &key.subject_public_key.data;
        if fitting.any(|it| it.verify_signature(bits, message, signed.signature()).is_ok()) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(bad(CertificateError::BadSignature))
        }
    }
}

/// What TLS 1.3 signs handshakes with (RFC 8446, 4.2.3): neither PKCS#1 nor SHA-1.
fn is_in_tls13(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ECDSA_NISTP521_SHA512
            | SignatureScheme::ED25519
            | SignatureScheme::RSA_PSS_SHA256
            | SignatureScheme::RSA_PSS_SHA384
            | SignatureScheme::RSA_PSS_SHA512
    )
}

fn error_of(refusal: Refusal) -> Error {
    let error = match refusal {
        Refusal::Unreadable => CertificateError::BadEncoding,
        Refusal::Early { .. } => CertificateError::NotValidYet,
        Refusal::Ended { .. } => CertificateError::Expired,
        Refusal::Stranger { .. } => CertificateError::UnknownIssuer,
        Refusal::Signature { .. } => CertificateError::BadSignature,
        Refusal::Purpose { .. } => CertificateError::InvalidPurpose,
        Refusal::Rule { .. } => CertificateError::UnhandledCriticalExtension,
        Refusal::Revoked { .. } => CertificateError::Revoked,
        Refusal::NotAuthority { .. } => CertificateError::Other(OtherError(Arc::new(refusal))),
    };
    Error::InvalidCertificate(error)
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        #[expect(clippy::cast_precision_loss, reason = "seconds of this era")]
        let now = Timestamp(now.as_secs() as f64);
        self.trust.check_client(end_entity, intermediates, now).map_err(error_of)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, cert, dss, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, cert, dss, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
