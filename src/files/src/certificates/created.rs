//! What an object gets that is created.

use conf::ObjectConf;
use dataset::keys;
use model::{Kind, Timestamp};

use crate::certificates::cluster::add_authority_of_users;
use crate::certificates::store::{CERTIFICATE, CHAIN, Notes, Store};

/// The namespace whose users are persons, known by their names; those of others are service accounts.
const SYSTEM: &str = "system";

/// Name of the namespace of objects without.
const ROOT: &str = "root";

/// Gives a user that is created his common name, his authority and, if he is a service account, what those are granted: as
/// deployed agents do. Nothing for other kinds.
///
/// # Errors
///
/// A keyword that cannot be set.
pub fn prepare_user(
    store: Store<'_>,
    conf: &mut ObjectConf,
    now: Timestamp,
) -> Result<Notes, String> {
    let path = conf.path().clone();
    if path.kind() != Kind::Usr {
        return Ok(vec![]);
    }
    let mut notes = vec![];
    let namespace = path.namespace().unwrap_or(ROOT);
    let mut wanted = vec![];
    if namespace == SYSTEM {
        wanted.push(("cn", path.name().to_owned()));
    } else {
        let cluster = &store.node.cluster_name;
        wanted.push(("cn", format!("{}.{namespace}.usr.{cluster}", path.name())));
        wanted.push(("validity", "1d".to_owned()));
        let granted = format!("guest:{namespace}");
        if conf.get("grant").is_some_and(|grant| grant != granted) {
            notes.push(format!(
                "{path} is a service account: it is granted {granted}, whatever is given"
            ));
        }
        set(conf, "grant", &granted)?;
    }
    let is_set =
        |conf: &ObjectConf, keyword| conf.get(keyword).is_some_and(|text| !text.is_empty());
    for (keyword, value) in wanted {
        if !is_set(conf, keyword) {
            set(conf, keyword, &value)?;
        }
    }
    if !is_set(conf, "ca") {
        match add_authority_of_users(store, now) {
            Ok((authority, made)) => {
                notes.extend(made.iter().map(|path| format!("created {path} for it")));
                set(conf, "ca", authority.as_str())?;
            }
            Err(reason) => notes.push(format!("warning: {path} gets no certificate: {reason}")),
        }
    }
    Ok(notes)
}

fn set(conf: &mut ObjectConf, keyword: &str, value: &str) -> Result<(), String> {
    let path = conf.path().clone();
    let set = conf.ini_mut().set("DEFAULT", keyword, value);
    set.map(|_| ()).map_err(|error| format!("{path}: {error}"))
}

/// Gives a sec or usr that is created its certificate, where it has a common name and none yet.
///
/// # Errors
///
/// Why it cannot be made.
pub fn add_to_new(
    store: Store<'_>,
    conf: &mut ObjectConf,
    now: Timestamp,
) -> Result<Notes, String> {
    let has = |key: &str| conf.ini().get(keys::SECTION, key).is_some_and(|text| !text.is_empty());
    let is_kind = matches!(conf.path().kind(), Kind::Sec | Kind::Usr);
    if !is_kind || conf.get("cn").is_none_or(|cn| cn.is_empty()) || has(CERTIFICATE) || has(CHAIN) {
        return Ok(vec![]);
    }
    // A user who signs himself is nobody to the cluster.
    if conf.path().kind() == Kind::Usr && conf.get("ca").is_none_or(|ca| ca.is_empty()) {
        return Ok(vec![]);
    }
    let (made, notes) = store.make(conf, now)?;
    for (key, text) in made.keys() {
        store.store(conf, key, &text)?;
    }
    Ok(notes)
}
