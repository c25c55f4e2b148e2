use std::io::{Read as _, Write as _};

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion,
};

use super::*;

const AUTHORITY: &str = include_str!("../../tests/data/ca.pem");
const AUTHORITY_KEY: &str = include_str!("../../tests/data/ca.key");
const CLIENT: &str = include_str!("../../tests/data/client.pem");
const CLIENT_KEY: &str = include_str!("../../tests/data/client.key");

/// A client that takes any server: the server is judged elsewhere.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A handshake of a client with that certificate, or none: the certificate that the server has then.
fn handshake(
    version: &'static SupportedProtocolVersion,
    client: Option<CertifiedKey>,
) -> Result<Option<Vec<u8>>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut trust = Trust::new();
    trust.add_authorities(AUTHORITY).unwrap();
    let shown = certified_key(CLIENT, CLIENT_KEY).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])?
        .with_client_cert_verifier(Arc::new(ClientVerifier::new(Arc::new(trust))))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let client = match client {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from("node").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = vec![];
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = vec![];
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    client.writer().write_all(b"hello").unwrap();
    let mut wire = vec![];
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets()?;
    let mut read = [0; 5];
    server.reader().read_exact(&mut read).unwrap();
    assert_eq!(&read, b"hello");
    Ok(server.peer_certificates().map(|chain| chain[0].to_vec()))
}

#[test]
fn certificates_of_version_1_shake_hands_on_both_sides() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let own = certified_key(CLIENT, CLIENT_KEY).unwrap();
        let der = own.cert[0].to_vec();
        assert_eq!(handshake(version, Some(own)), Ok(Some(der)), "{version:?}");
        assert_eq!(handshake(version, None), Ok(None), "{version:?}");
    }
}

#[test]
fn a_certificate_without_its_key_is_not_let_in() {
    let chain = certificates(CLIENT).unwrap().iter().map(|it| it.der().clone()).collect();
    let other = PrivateKey::from_pem(AUTHORITY_KEY).unwrap();
    let stolen = CertifiedKey::new(chain, other.signing_key());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let error = Error::InvalidCertificate(CertificateError::BadSignature);
        assert_eq!(handshake(version, Some(stolen.clone())), Err(error), "{version:?}");
    }
}

#[test]
fn a_stranger_is_not_let_in() {
    let made = rcgen::generate_simple_self_signed(["alice".to_owned()]).unwrap();
    let stranger = certified_key(&made.cert.pem(), &made.signing_key.serialize_pem()).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let error = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(handshake(version, Some(stranger.clone())), Err(error), "{version:?}");
    }
}

#[test]
fn a_server_shows_a_chain_that_fits_its_key() {
    let chain = format!("{CLIENT}{AUTHORITY}");
    assert_eq!(certified_key(&chain, CLIENT_KEY).unwrap().cert.len(), 2);
    let refused = |chain: &str, key: &str| certified_key(chain, key).err();
    assert_eq!(refused(&chain, AUTHORITY_KEY), Some(ServerError::Mismatch));
    let order = format!("{CLIENT}{CLIENT}");
    assert_eq!(refused(&order, CLIENT_KEY), Some(ServerError::Order { number: 2 }));
    let missing = |what| PemError::Missing { what };
    assert_eq!(refused("", CLIENT_KEY), Some(ServerError::Chain(missing("certificate"))));
    assert_eq!(refused(CLIENT, CLIENT), Some(ServerError::Key(missing("private key"))));
    let cut = CLIENT.replacen("MII", "!!!", 1);
    let damaged = PemError::Damaged { what: "certificate", number: 1 };
    assert_eq!(refused(&cut, CLIENT_KEY), Some(ServerError::Chain(damaged)));
}

#[test]
fn a_key_is_never_printed() {
    let key = PrivateKey::from_pem(CLIENT_KEY).unwrap();
    assert_eq!(format!("{key:?}"), "(..)");
}
