//! What objects have that ends, and what is due.

use std::collections::{BTreeMap, BTreeSet};

use certs::{Expiry, Index, RevocationList, Standing, expiry};
use conf::NodeSettings;
use files::certificates;
use files::certificates::{INDEX, LIST, Store, missing_names};
use machine::clock;
use machine::paths::Paths;
use model::{Alert, ObjectPath, Timestamp};

const DAY: f64 = 86_400.0;

/// What an object has that ends.
#[derive(Debug)]
pub(super) struct Seen {
    /// Its certificate, and who can make it anew; none where its authority has revoked it.
    certificate: Option<(certs::Certificate, Standing)>,
    /// Who signs it.
    pub(super) authority: Option<ObjectPath>,
    /// Whether a node of the cluster is not among the names of the listener's.
    lacks_names: bool,
    /// The list of what it has revoked, and whether it can be made anew here.
    list: Option<(RevocationList, bool)>,
}

/// What is to be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The certificate.
    Certificate,
    /// The list of revocations.
    List,
}

impl Due {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::List => "revocation list",
        }
    }
}

/// Looks at objects: none for one that has nothing that ends. Blocks.
pub(super) fn scan(
    paths: &Paths,
    node: &NodeSettings,
    changed: &BTreeSet<ObjectPath>,
) -> BTreeMap<ObjectPath, Option<Seen>> {
    let store = Store { paths, node };
    changed.iter().map(|path| (path.clone(), look(store, node, path))).collect()
}

fn look(store: Store<'_>, node: &NodeSettings, path: &ObjectPath) -> Option<Seen> {
    let conf = store.read(path).ok()?;
    // What does not open is told by the keeper of the secrets.
    let certificate = store.certificate(&conf).ok()??;
    let standing = store.standing(&conf, &certificate);
    let authority = store.authority(&conf).ok().flatten();
    let is_revoked = standing == Standing::Renewable
        && authority.as_ref().is_some_and(|authority| {
            let index = store.read(authority).ok().and_then(|it| store.key(&it, INDEX).ok()?);
            index.is_some_and(|text| Index::parse(&text).is_revoked(&certificate))
        });
    let list = store.key(&conf, LIST).ok().flatten().and_then(|text| {
        let list = RevocationList::parse(text.as_bytes()).ok()?.into_iter().next()?;
        Some((list, store.issuer(path).is_ok()))
    });
    let is_listener = standing == Standing::Renewable && node.cert.as_ref() == Some(path);
    Some(Seen {
        lacks_names: is_listener && !missing_names(node, &conf, &certificate).is_empty(),
        certificate: (!is_revoked).then_some((certificate, standing)),
        authority,
        list,
    })
}

/// What is to be made anew of an object.
pub(super) fn due(seen: &Seen, now: Timestamp) -> Option<Due> {
    if let Some((certificate, standing)) = &seen.certificate
        && (seen.lacks_names || expiry(certificate, *standing, now) == Expiry::Renew)
    {
        return Some(Due::Certificate);
    }
    let list = seen.list.as_ref().filter(|(list, can_sign)| *can_sign && list.is_to_renew(now));
    list.map(|_| Due::List)
}

/// Makes it anew. Blocks.
pub(super) fn renew(
    paths: &Paths,
    node: &NodeSettings,
    path: &ObjectPath,
    due: Due,
) -> Result<(), String> {
    let store = Store { paths, node };
    match due {
        Due::Certificate => store.generate(path, clock::now()).map(|_| ()),
        Due::List => certificates::list_again(store, path, clock::now()),
    }
}

/// What is to be told of an object. Whole days: what is told does not change with each look.
pub(super) fn told(
    path: &ObjectPath,
    seen: &Seen,
    failed: Option<&str>,
    now: Timestamp,
) -> Vec<Alert> {
    let mut alerts = vec![];
    if let Some(reason) = failed {
        alerts.push(Alert::warning(format!("{path}: not made anew before its end: {reason}")));
    }
    if let Some((certificate, standing)) = &seen.certificate {
        let days = certificate.end().since(now) / DAY;
        let what = match standing {
            Standing::Authority => "authority",
            Standing::Renewable | Standing::Foreign => "certificate",
        };
        match expiry(certificate, *standing, now) {
            Expiry::Good | Expiry::Renew => {}
            Expiry::Ending => alerts.push(Alert::warning(format!(
                "the {what} {path} ends in {days:.0} days: `om doctor` tells what mends it"
            ))),
            Expiry::Ended => alerts.push(Alert::error(format!(
                "the {what} {path} has ended: `om doctor` tells what mends it"
            ))),
        }
    }
    if let Some((list, false)) = &seen.list
        && list.is_past(now)
    {
        alerts.push(Alert::warning(format!(
            "the revocation list of {path} has ended, and still revokes here: whoever has its private key makes another one"
        )));
    }
    alerts
}
