//! The authority and the certificate of the cluster.
//!
//! Part of the `impl` of [`Store`], in a file of its own for its length.

use conf::{NodeSettings, ObjectConf};
use machine::paths::Paths;
use machine::{clock, durable, random};
use model::{NodeName, ObjectPath, Timestamp};

use crate::certificates::store::{CHAIN, Store};
use crate::edit::{Locked, MODE, Target, Writer};

/// How long the authority of a cluster is valid.
const AUTHORITY_VALIDITY: &str = "3650d";

impl Store<'_> {
    /// Makes a sec object with these keywords and its certificate, unless it is there. Whether it was made.
    fn create(
        &self,
        path: &ObjectPath,
        keywords: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<bool, String> {
        let failed = |error: std::io::Error| format!("{path}: {error}");
        {
            let locked = Locked::take(self.paths, &Target::Object(path.clone()), Writer::Command)
                .map_err(failed)?;
            if locked.file().exists() {
                return Ok(false);
            }
            let mut conf =
                ObjectConf::parse(path.clone(), "").map_err(|error| error.to_string())?;
            conf.ensure_id(&random::random_uuid());
            for (keyword, value) in keywords {
                conf.ini_mut()
                    .set("DEFAULT", keyword, value)
                    .map_err(|error| format!("{path}: {error}"))?;
            }
            // What cannot be signed is not left behind: the object comes with its certificate.
            let (made, _) = self.make(&conf, now)?;
            for (key, text) in made.keys() {
                self.store(&mut conf, key, &text)?;
            }
            durable::write(locked.file(), conf.text().as_bytes(), MODE).map_err(failed)?;
        }
        Ok(true)
    }
}

/// Makes what the TLS listener of the cluster needs and does not have: the authority `cluster.ca`, and the certificate
/// `cluster.cert` that it signs. Tells the objects that were made. Blocks.
///
/// # Errors
///
/// What is there and cannot be used, or cannot be written.
pub fn ensure_cluster(store: Store<'_>, now: Timestamp) -> Result<Vec<ObjectPath>, String> {
    let node = store.node;
    let first = node.ca.first().ok_or("cluster.ca names no path of a sec object")?;
    let cert = node.cert.as_ref().ok_or("cluster.cert is no path of a sec object")?;
    let mut made = vec![];
    let cn = first.name().to_owned();
    if store.create(first, &[("cn", &cn), ("validity", AUTHORITY_VALIDITY)], now)? {
        made.push(first.clone());
    } else {
        add_certificate(store, first, now, &mut made)?;
    }
    if store.has(cert) {
        add_certificate(store, cert, now, &mut made)?;
        return Ok(made);
    }
    let authority = store.first_issuer().ok_or_else(|| {
        format!(
            "{first} has no private key that fits its certificate: {cert} is to be signed elsewhere, and added with \
             `om {cert} add --key private_key --from FILE` and `--key certificate_chain`"
        )
    })?;
    let keywords = [("cn", node.cluster_name.as_str()), ("ca", authority.as_str())];
    if store.create(cert, &keywords, now)? {
        made.push(cert.clone());
    }
    Ok(made)
}

/// Gives an object its certificate that is there without.
fn add_certificate(
    store: Store<'_>,
    path: &ObjectPath,
    now: Timestamp,
    made: &mut Vec<ObjectPath>,
) -> Result<(), String> {
    if store.key(&store.read(path)?, CHAIN)?.is_none() {
        store.generate(path, now)?;
        made.push(path.clone());
    }
    Ok(())
}

/// The authority that signs users, made first where the cluster has none at all. Blocks.
///
/// # Errors
///
/// As [`ensure_cluster`].
pub fn add_authority_of_users(
    store: Store<'_>,
    now: Timestamp,
) -> Result<(ObjectPath, Vec<ObjectPath>), String> {
    if let Some(path) = store.first_issuer() {
        return Ok((path, vec![]));
    }
    if let Some(path) = store.node.ca.iter().find(|path| store.has(path)) {
        // Why it cannot sign is what is to be mended.
        let reason = store.issuer(path).err().unwrap_or_default();
        return Err(format!("no authority of cluster.ca can sign: {reason}"));
    }
    let made = ensure_cluster(store, now)?;
    let path = store.first_issuer().ok_or("the authority of the cluster cannot sign")?;
    Ok((path, made))
}

/// Makes the certificates of a cluster that was made just now, of this node alone. Blocks.
///
/// # Errors
///
/// As [`ensure_cluster`].
pub fn ensure_at_first_start(
    paths: &Paths,
    nodename: &NodeName,
) -> Result<Vec<ObjectPath>, String> {
    let node: NodeSettings =
        crate::load::load_node(paths, nodename.clone()).map_err(|error| error.to_string())?;
    if node.nodes != [nodename.clone()] || !node.drpnodes.is_empty() {
        return Ok(vec![]);
    }
    ensure_cluster(Store { paths, node: &node }, clock::now())
}
