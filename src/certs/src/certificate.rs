//! One certificate, as far as it matters here.

use std::fmt;

use model::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::Any;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::time::timestamp;

/// A certificate that can be read: of any version, signed by anybody.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate(CertificateDer<'static>);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.subject())
    }
}

/// What DER bytes say, if they are one certificate and nothing else.
pub(crate) fn parsed(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        Ok(_) | Err(_) => None,
    }
}

/// The AlgorithmIdentifier of a SubjectPublicKeyInfo, with its header.
pub(crate) fn algorithm_of(info: &[u8]) -> Option<&[u8]> {
    let (_, info) = Any::from_der(info).ok()?;
    let (rest, _) = Any::from_der(info.data).ok()?;
    info.data.get(..info.data.len() - rest.len())
}

/// A serial number without the zeros in front that its sign asks for.
pub(crate) fn serial_bytes(raw: &[u8]) -> &[u8] {
    let zeros = raw.iter().take_while(|byte| **byte == 0).count();
    &raw[zeros.min(raw.len().saturating_sub(1))..]
}

impl Certificate {
    /// Takes the DER bytes of one; none if they are not.
    #[must_use]
    pub fn from_der(der: CertificateDer<'static>) -> Option<Self> {
        parsed(&der)?;
        Some(Self(der))
    }

    /// Its DER bytes.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0
    }

    pub(crate) fn parsed(&self) -> X509Certificate<'_> {
        parsed(&self.0).expect("read when it was taken")
    }

    /// Subject, as `CN=a, O=b`, without control characters.
    #[must_use]
    pub fn subject(&self) -> String {
        shown(self.parsed().subject())
    }

    /// The one common name; none if there is none, or more than one.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let certificate = self.parsed();
        let mut names = certificate.subject().iter_common_name();
        let name = names.next()?.as_str().ok()?.to_owned();
        names.next().is_none().then_some(name)
    }

    /// When its validity begins.
    #[must_use]
    pub fn begin(&self) -> Timestamp {
        timestamp(self.parsed().validity().not_before)
    }

    /// When its validity ends.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        timestamp(self.parsed().validity().not_after)
    }

    /// Serial number in hexadecimal digits, two for each byte, in capitals: as OpenSSL writes it.
    #[must_use]
    pub fn serial(&self) -> String {
        serial_bytes(self.parsed().raw_serial()).iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// Whether it may sign others: basicConstraints CA:TRUE.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        self.parsed().is_ca()
    }

    /// The host names and addresses that it is valid for.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        let certificate = self.parsed();
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return vec![] };
        let text = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        };
        names.value.general_names.iter().filter_map(text).collect()
    }

    /// Whether an authority has signed it, by name and signature.
    #[must_use]
    pub fn is_issued_by(&self, authority: &Self) -> bool {
        let (own, above) = (self.parsed(), authority.parsed());
        own.issuer().as_raw() == above.subject().as_raw()
            && own.verify_signature(Some(above.public_key())).is_ok()
    }

    /// Whether it names itself as its issuer.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        let certificate = self.parsed();
        certificate.issuer().as_raw() == certificate.subject().as_raw()
    }
}

/// The text of an address.
fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|it| std::net::Ipv4Addr::from(it).to_string());
    let v6 = || <[u8; 16]>::try_from(bytes).map(|it| std::net::Ipv6Addr::from(it).to_string());
    v4.or_else(|_| v6()).ok()
}

/// A name for a reader.
pub(crate) fn shown(name: &x509_parser::x509::X509Name<'_>) -> String {
    name.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
