//! What the TLS listener shows and whom it trusts, read from the objects of the cluster. Nothing of it is written anywhere.

use std::path::Path;
use std::sync::Arc;

use certs::tls::{ClientVerifier, certified_key};
use certs::{RevocationList, Trust};
use dataset::config::LoadedConfig;
use dataset::keys::{self, Keys};
use metrics::series::Expiry;
use model::{ObjectPath, Timestamp};
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use zeroize::Zeroizing;

use crate::handshakes::Accepting;
use crate::revocations::{Fetched, MOST, is_address};

/// What it is made of: when this changes, it is read again.
#[derive(Debug, PartialEq)]
pub(crate) struct Sources {
    certificate: Option<(ObjectPath, String)>,
    authorities: Vec<(ObjectPath, Option<String>)>,
    /// Generations of the secret: what is sealed with one opens with it alone.
    secret: u32,
    revocations: Option<(String, Option<std::time::SystemTime>)>,
    /// What is behind the address that this is instead of a file.
    fetched: Option<Fetched>,
}

impl Sources {
    /// Those of a configuration, with what is behind the address of revocations if that is one.
    pub(crate) fn of(config: &LoadedConfig, fetched: Option<Fetched>) -> Self {
        let csum =
            |path: &ObjectPath| config.objects.get(path).map(|object| object.csum.to_string());
        let file = config.node.listener.crl.clone().filter(|crl| !is_address(crl));
        let revocations = file.map(|file| {
            let changed = std::fs::metadata(&file).and_then(|found| found.modified()).ok();
            (file, changed)
        });
        Self {
            certificate: config
                .node
                .cert
                .as_ref()
                .and_then(|path| Some((path.clone(), csum(path)?))),
            authorities: config.node.ca.iter().map(|path| (path.clone(), csum(path))).collect(),
            secret: config.node.secret_generation,
            revocations,
            fetched,
        }
    }
}

/// A certificate with its key, and who is trusted.
pub(crate) struct Material {
    config: Arc<ServerConfig>,
    pub(crate) trust: Arc<Trust>,
    /// What is wrong with parts of it that it does without.
    pub(crate) complaints: Vec<String>,
    /// When its certificates and lists end.
    pub(crate) expiries: Vec<Expiry>,
}

impl Material {
    /// Reads it. None: there is no certificate.
    pub(crate) fn read(config: &LoadedConfig, sources: &Sources) -> Result<Option<Self>, String> {
        let Some((path, _)) = &sources.certificate else { return Ok(None) };
        let read = |path: &ObjectPath, key: &str| read_key(config, path, key);
        let (Some(chain), Some(key)) =
            (read(path, "certificate_chain")?, read(path, "private_key")?)
        else {
            return Ok(None);
        };
        let certified = certified_key(&chain, &key)
            .map_err(|error| format!("{path}: keys certificate_chain and private_key: {error}"))?;
        let (trust, complaints, mut expiries) = trust_of(config, sources);
        let trust = Arc::new(trust);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(Arc::new(ClientVerifier::new(trust.clone())))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // No resumption: a ticket would outlive a revocation.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        let listener = certs::certificates(&chain).unwrap_or_default();
        expiries.extend(listener.first().map(|own| expiry(path, "listener", own.end())));
        Ok(Some(Self { config: Arc::new(server), trust, complaints, expiries }))
    }

    /// What a connection is accepted with.
    pub(crate) fn accepted(&self) -> Accepting {
        Accepting { config: self.config.clone(), trust: self.trust.clone() }
    }
}

/// The authorities, and what they have revoked.
fn trust_of(config: &LoadedConfig, sources: &Sources) -> (Trust, Vec<String>, Vec<Expiry>) {
    let (mut trust, mut complaints, mut expiries) = (Trust::new(), vec![], vec![]);
    let mut lists: Vec<(String, Vec<u8>)> = vec![];
    for (path, found) in &sources.authorities {
        if found.is_none() {
            continue;
        }
        match read_key(config, path, "certificate_chain") {
            Ok(Some(chain)) => {
                let own = certs::certificates(&chain).unwrap_or_default();
                expiries.extend(own.first().map(|own| expiry(path, "ca", own.end())));
                if let Err(error) = trust.add_authorities(&chain) {
                    complaints.push(format!("{path}: key certificate_chain: {error}"));
                }
            }
            Ok(None) => complaints.push(format!("{path}: it has no key certificate_chain")),
            Err(error) => complaints.push(error),
        }
        if let Ok(Some(list)) = read_key(config, path, "crl") {
            let own = RevocationList::parse(list.as_bytes()).unwrap_or_default();
            let end = own.iter().filter_map(|list| list.end).min_by(|a, b| a.0.total_cmp(&b.0));
            expiries.extend(end.map(|end| expiry(path, "crl", end)));
            lists.push((format!("{path}: key crl"), list.as_bytes().to_vec()));
        }
    }
    if let Some((file, _)) = &sources.revocations {
        match read_file(Path::new(file)) {
            Ok(list) => lists.push((format!("listener.crl, {file}"), list)),
            Err(error) => complaints.push(format!("listener.crl, {file}: {error}")),
        }
    }
    if let Some(fetched) = &sources.fetched {
        let of =
            format!("listener.crl, {}", config.node.listener.crl.as_deref().unwrap_or_default());
        match &fetched.list {
            Ok(list) => lists.push((of, list.to_vec())),
            Err(error) => complaints.push(format!("{of}: {error}")),
        }
    }
    for (of, list) in lists {
        match trust.add_revocations(&list) {
            Ok(unsigned) if unsigned.is_empty() => {}
            Ok(unsigned) => {
                let names = unsigned.join(", ");
                complaints.push(format!("{of}: signed by none of the authorities: {names}"));
            }
            Err(error) => complaints.push(format!("{of}: {error}")),
        }
    }
    (trust, complaints, expiries)
}

fn expiry(object: &ObjectPath, kind: &'static str, end: Timestamp) -> Expiry {
    Expiry { object: object.clone(), kind, end }
}

fn read_file(file: &Path) -> std::io::Result<Vec<u8>> {
    let found = std::fs::metadata(file)?;
    if !found.is_file() || found.len() > MOST {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    std::fs::read(file)
}

/// A key of an object, none where it has none.
fn read_key(
    config: &LoadedConfig,
    path: &ObjectPath,
    key: &str,
) -> Result<Option<Zeroizing<String>>, String> {
    let Some(object) = config.objects.get(path) else { return Ok(None) };
    let conf = object.conf();
    let own = Keys::of(&config.node);
    let bytes = match keys::decode(conf.ini(), path, key, own.as_ref()) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(keys::KeyError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(format!("{path}: key {key}: {error}")),
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
        Err(_) => Err(format!("{path}: key {key} is no text")),
    }
}
