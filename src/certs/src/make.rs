//! New certificates and lists of revocations.

use std::fmt;
use std::net::IpAddr;

use model::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevokedCertParams, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use rustls::SignatureScheme;
use time::OffsetDateTime;
use x509_parser::extensions::ParsedExtension;
use zeroize::Zeroizing;

use crate::time::seconds;
use crate::{Certificate, Index, PemError, PrivateKey, certificates};

/// Days from one list of revocations to the next.
pub const LIST_DAYS: u32 = 30;

const DAY: f64 = 86_400.0;

/// Seconds that a certificate is valid before it is made: clocks of nodes differ.
const EARLIER: f64 = 300.0;

/// Object identifier of an address of mail in a name (PKCS#9).
const EMAIL: &[u64] = &[1, 2, 840, 113_549, 1, 9, 1];

/// Why a certificate or a list was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MakeError {
    /// A part of the name that no certificate can hold.
    Name {
        /// The keyword: `cn`, `c`, `email`, `alt_names`.
        keyword: &'static str,
        /// What it says.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The certificate of the authority cannot be read.
    Authority(PemError),
    /// The private key of the authority cannot be read.
    AuthorityKey(PemError),
    /// The private key is not that of the certificate of the authority.
    AuthorityMismatch,
    /// The certificate is that of no authority.
    NotAuthority,
    /// The authority has ended.
    AuthorityEnded,
    /// The name of the authority cannot be written as it stands in its certificate.
    AuthorityName,
    /// What the maker said.
    Other(String),
}

impl fmt::Display for MakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { keyword, value, expected } => {
                write!(f, "{keyword} is {value:?}, expected {expected}")
            }
            Self::Authority(error) => write!(f, "the certificate of the authority: {error}"),
            Self::AuthorityKey(error) => write!(f, "the private key of the authority: {error}"),
            Self::AuthorityMismatch => {
                f.write_str("the private key of the authority is not that of its certificate")
            }
            Self::NotAuthority => f.write_str("its certificate is not that of an authority"),
            Self::AuthorityEnded => f.write_str("the certificate of the authority has ended"),
            Self::AuthorityName => f.write_str(
                "the name of the authority has the same part twice, or one that is no text: such names cannot be signed for",
            ),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for MakeError {}

impl From<rcgen::Error> for MakeError {
    fn from(error: rcgen::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// Whom a certificate is of: the keywords of these names. What is none is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Country, two letters.
    pub c: Option<String>,
    /// State or province.
    pub st: Option<String>,
    /// Locality.
    pub l: Option<String>,
    /// Organization.
    pub o: Option<String>,
    /// Organizational unit.
    pub ou: Option<String>,
    /// Common name.
    pub cn: Option<String>,
    /// Address of mail.
    pub email: Option<String>,
}

impl Subject {
    /// The name, its parts in the order of deployed agents.
    fn name(&self) -> Result<DistinguishedName, MakeError> {
        let mut name = DistinguishedName::new();
        let wrong = |keyword, value: &str, expected| MakeError::Name {
            keyword,
            value: value.to_owned(),
            expected,
        };
        if let Some(c) = &self.c {
            const EXPECTED: &str = "two letters";
            let is_country = c.len() == 2 && c.bytes().all(|byte| byte.is_ascii_alphabetic());
            let text = c.as_str().try_into().map_err(|_| wrong("c", c, EXPECTED))?;
            if !is_country {
                return Err(wrong("c", c, EXPECTED));
            }
            name.push(DnType::CountryName, DnValue::PrintableString(text));
        }
        // Most signs of each: RFC 5280, A.1.
        for (keyword, kind, value, most, expected) in [
            ("st", DnType::StateOrProvinceName, &self.st, 128, "1 to 128 signs"),
            ("l", DnType::LocalityName, &self.l, 128, "1 to 128 signs"),
            ("o", DnType::OrganizationName, &self.o, 64, "1 to 64 signs"),
            ("ou", DnType::OrganizationalUnitName, &self.ou, 64, "1 to 64 signs"),
            ("cn", DnType::CommonName, &self.cn, 64, "1 to 64 signs"),
        ] {
            let Some(value) = value else { continue };
            let signs = value.chars().count();
            if signs == 0 || signs > most || value.chars().any(char::is_control) {
                return Err(wrong(keyword, value, expected));
            }
            name.push(kind, value.as_str());
        }
        if let Some(email) = &self.email {
            let expected = "an address of mail in ASCII";
            let text = email.as_str().try_into().map_err(|_| wrong("email", email, expected))?;
            if email.is_empty() || email.chars().any(char::is_control) {
                return Err(wrong("email", email, expected));
            }
            name.push(DnType::CustomDnType(EMAIL.to_vec()), DnValue::Ia5String(text));
        }
        Ok(name)
    }
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Whoever signs itself, and can sign others.
    Authority,
    /// A server, which is a client of others too.
    Server,
    /// A user.
    Client,
}

/// A certificate that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Whom it is of.
    pub subject: Subject,
    /// More names: keyword `alt_names`. `IP:` and `DNS:` say what one is, else an address is one, and the rest a host name.
    pub alt_names: Vec<String>,
    /// What it is for.
    pub purpose: Purpose,
    /// Seconds of validity, from `now`.
    pub validity: f64,
    /// When it is made.
    pub now: Timestamp,
}

/// What was made, in PEM form: the keys of a sec or usr.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    /// PKCS#8.
    pub private_key: Zeroizing<String>,
    /// The certificate.
    pub certificate: String,
    /// What the authority was asked.
    pub certificate_signing_request: String,
    /// The certificate, then those of its authority.
    pub certificate_chain: String,
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Made({:?})", self.certificate)
    }
}

impl Made {
    /// The private key, then the chain.
    #[must_use]
    pub fn fullpem(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}{}", *self.private_key, self.certificate_chain))
    }

    /// The keys and their values, in the order that deployed agents write them.
    #[must_use]
    pub fn keys(&self) -> [(&'static str, Zeroizing<String>); 5] {
        let open = |text: &str| Zeroizing::new(text.to_owned());
        [
            ("private_key", self.private_key.clone()),
            ("certificate", open(&self.certificate)),
            ("certificate_signing_request", open(&self.certificate_signing_request)),
            ("certificate_chain", open(&self.certificate_chain)),
            ("fullpem", self.fullpem()),
        ]
    }
}

/// An authority that signs: its certificate and its private key.
#[derive(Debug, Clone)]
pub struct Issuer {
    chain: String,
    certificate: Certificate,
    key: AuthorityKey,
}

/// The private key of an authority, and what its certificate says of it.
#[derive(Debug, Clone)]
struct AuthorityKey {
    key: PrivateKey,
    public: Vec<u8>,
    scheme: SignatureScheme,
    algorithm: &'static SignatureAlgorithm,
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for AuthorityKey {
    fn sign(&self, msg: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.key.signing_key().choose_scheme(&[self.scheme]);
        let signer = signer.ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        signer.sign(msg).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// How keys sign certificates, the first that fits.
const METHODS: [(SignatureScheme, &SignatureAlgorithm); 4] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, &rcgen::PKCS_ECDSA_P256_SHA256),
    (SignatureScheme::ECDSA_NISTP384_SHA384, &rcgen::PKCS_ECDSA_P384_SHA384),
    (SignatureScheme::ED25519, &rcgen::PKCS_ED25519),
    (SignatureScheme::RSA_PKCS1_SHA256, &rcgen::PKCS_RSA_SHA256),
];

impl Issuer {
    /// Takes an authority by its chain and its private key.
    ///
    /// # Errors
    ///
    /// [`MakeError`]: what is no authority, or has another key.
    pub fn new(chain: &str, key: &str) -> Result<Self, MakeError> {
        let certificate = certificates(chain).map_err(MakeError::Authority)?.swap_remove(0);
        let key = PrivateKey::from_pem(key).map_err(MakeError::AuthorityKey)?;
        if !key.fits(&certificate) {
            return Err(MakeError::AuthorityMismatch);
        }
        if !certificate.is_authority() {
            return Err(MakeError::NotAuthority);
        }
        let signing = key.signing_key();
        let method = METHODS.into_iter().find(|(it, _)| signing.choose_scheme(&[*it]).is_some());
        let (scheme, algorithm) = method.ok_or(MakeError::AuthorityKey(PemError::Key))?;
        let public = certificate.parsed().public_key().subject_public_key.data.to_vec();
        let key = AuthorityKey { key, public, scheme, algorithm };
        Ok(Self { chain: chain.to_owned(), certificate, key })
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn rcgen(&self) -> Result<rcgen::Issuer<'_, &AuthorityKey>, MakeError> {
        // A part that is there twice would be written once, one that is empty would stop the program.
        let certificate = self.certificate.parsed();
        let mut kinds: Vec<String> = vec![];
        for part in certificate.subject().iter() {
            let first = part.iter().next().ok_or(MakeError::AuthorityName)?;
            kinds.push(first.attr_type().to_id_string());
        }
        let count = kinds.len();
        kinds.sort();
        kinds.dedup();
        if kinds.len() != count {
            return Err(MakeError::AuthorityName);
        }
        rcgen::Issuer::from_ca_cert_der(self.certificate.der(), &self.key)
            .map_err(|_| MakeError::AuthorityName)
    }

    /// How lists name its key: as its certificate does, else OpenSSL does not take them for its own.
    fn key_identifier(&self) -> KeyIdMethod {
        let certificate = self.certificate.parsed();
        let named = certificate.extensions().iter().find_map(|it| match it.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        named.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified)
    }

    /// A list of what it has revoked, in PEM form, from `now` for [`LIST_DAYS`].
    ///
    /// # Errors
    ///
    /// [`MakeError`]: an authority that may sign no list.
    pub fn list(&self, index: &Index, number: u64, now: Timestamp) -> Result<String, MakeError> {
        let revoked = index.revoked().map(|row| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&row.serial_bytes()),
            revocation_time: date(row.revoked),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date(now),
            next_update: date(now.plus(f64::from(LIST_DAYS) * DAY)),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: self.key_identifier(),
        };
        Ok(list.signed_by(&self.rcgen()?)?.pem()?)
    }
}

/// The number of a list, and the text of the key `crlnumber` behind it: hexadecimal, two digits for each byte.
#[must_use]
pub fn next_number(text: &str) -> (u64, String) {
    let number = u64::from_str_radix(text.trim(), 16).unwrap_or(1).max(1);
    let next = format!("{:02X}", number.saturating_add(1));
    let zero = if next.len().is_multiple_of(2) { "" } else { "0" };
    (number, format!("{zero}{next}\n"))
}

/// A time of a certificate.
fn date(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds(time)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

impl Order {
    /// Makes the key, P-256, and the certificate: signed by `issuer`, or by itself.
    ///
    /// # Errors
    ///
    /// [`MakeError`]: a name that no certificate holds, an authority that cannot sign.
    pub fn make(&self, issuer: Option<&Issuer>) -> Result<Made, MakeError> {
        let key = KeyPair::generate()?;
        let mut params = self.params()?;
        let certificate_signing_request = params.serialize_request(&key)?.pem()?;
        params.use_authority_key_identifier_extension = issuer.is_some();
        let certificate = match issuer {
            Some(issuer) => {
                if issuer.certificate.end().since(self.now) <= 0.0 {
                    return Err(MakeError::AuthorityEnded);
                }
                let made = params.signed_by(&key, &issuer.rcgen()?)?;
                let signed = crate::certificate::parsed(made.der());
                let authority = issuer.certificate.parsed();
                if signed.is_none_or(|it| it.issuer().as_raw() != authority.subject().as_raw()) {
                    return Err(MakeError::AuthorityName);
                }
                made
            }
            None => params.self_signed(&key)?,
        };
        let above = issuer.map_or("", |issuer| issuer.chain.trim_start());
        Ok(Made {
            private_key: Zeroizing::new(key.serialize_pem()),
            certificate: certificate.pem(),
            certificate_signing_request,
            certificate_chain: format!("{}{above}", certificate.pem()),
        })
    }

    fn params(&self) -> Result<CertificateParams, MakeError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = self.subject.name()?;
        params.not_before = date(self.now.plus(-EARLIER));
        params.not_after = date(self.now.plus(self.validity));
        params.subject_alt_names =
            self.alt_names.iter().map(|name| alt_name(name)).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        match self.purpose {
            Purpose::Authority => {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages.extend([KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
            }
            Purpose::Server => {
                params.extended_key_usages =
                    vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            }
            Purpose::Client => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
        }
        Ok(params)
    }
}

/// An element of `alt_names`.
fn alt_name(text: &str) -> Result<SanType, MakeError> {
    const EXPECTED: &str = "a host name, DNS:<host name>, an address or IP:<address>";
    let wrong =
        || MakeError::Name { keyword: "alt_names", value: text.to_owned(), expected: EXPECTED };
    if let Some(address) = text.strip_prefix("IP:") {
        return address.parse().map(SanType::IpAddress).map_err(|_| wrong());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let host = text.strip_prefix("DNS:").unwrap_or(text);
    let is_host = !host.is_empty()
        && host.len() <= 253
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._*".contains(c));
    if !is_host {
        return Err(wrong());
    }
    Ok(SanType::DnsName(host.try_into().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests;
