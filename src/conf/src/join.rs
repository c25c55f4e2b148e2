//! What joining and leaving a cluster makes of node.conf and cluster.conf (src/conf/README.md, Joining).

use crate::ini::Sections;
use std::fmt;

use model::NodeName;
use serde_json::{Map, Value};

use crate::ini::error::IniError;
use crate::ini::{Change, Ini};

/// Sections that a joiner takes over from the node.conf of the node it joins.
const TAKEN: &[&str] = &["hb#", "stonith#", "pool#", "network#", "arbitrator#"];
/// Sections that a leaver drops from both files, beside `cluster`.
const DROPPED: &[&str] = &["hb#", "arbitrator#"];

/// Why a reply to `join` is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinError {
    /// It has neither a cluster.conf, nor members in its node.conf.
    NoCluster,
    /// The members that it names are others only.
    NotMember {
        /// Who joins.
        joiner: NodeName,
    },
    /// Something in it can not be written.
    Ini(IniError),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCluster => f.write_str("the reply has no cluster configuration"),
            Self::NotMember { joiner } => {
                write!(f, "the members in the reply are without {joiner}")
            }
            Self::Ini(error) => write!(f, "the configuration in the reply: {error}"),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<IniError> for JoinError {
    fn from(error: IniError) -> Self {
        Self::Ini(error)
    }
}

/// What a node gets that joins.
#[derive(Clone, PartialEq)]
pub struct JoinReply {
    /// What the node.conf of the joined node says of the cluster, by section.
    pub node: Sections,
    /// The cluster.conf, by section; none where a cluster is described in node.conf alone.
    pub cluster: Option<Sections>,
    /// Modification time of that cluster.conf, in seconds.
    pub mtime: Option<f64>,
}

impl fmt::Debug for JoinReply {
    /// Without what it holds: the secret is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinReply({} sections)", self.cluster.as_ref().map_or(0, Map::len))
    }
}

impl JoinReply {
    /// Reads the reply to `join`.
    ///
    /// # Errors
    ///
    /// [`JoinError::NoCluster`], [`JoinError::NotMember`].
    pub fn from_value(reply: &Value, joiner: &NodeName) -> Result<Self, JoinError> {
        let sections = |at: &str| reply.pointer(at).and_then(Value::as_object).cloned();
        let mut cluster = sections("/data/cluster/data").unwrap_or_default();
        cluster.remove("metadata");
        let cluster = (!cluster.is_empty()).then_some(cluster);
        let mtime = reply.pointer("/data/cluster/mtime").and_then(Value::as_f64);
        let node = sections("/data/node/data").unwrap_or_default();
        let it = Self { node, cluster, mtime: mtime.filter(|mtime| *mtime > 0.0) };
        let members = it.members();
        if it.cluster.is_none() && members.is_empty() {
            return Err(JoinError::NoCluster);
        }
        if !members.iter().any(|member| member == joiner.as_str()) {
            return Err(JoinError::NotMember { joiner: joiner.clone() });
        }
        Ok(it)
    }

    fn text(&self, section: &str, keyword: &str) -> Option<String> {
        text(self.cluster.as_ref()?.get(section)?.get(keyword)?)
    }

    /// The members: as cluster.conf says, else as node.conf does.
    #[must_use]
    pub fn members(&self) -> Vec<String> {
        let words = |text: String| text.split_whitespace().map(str::to_owned).collect();
        let in_node = || text(self.node.get("cluster")?.get("nodes")?);
        self.text("cluster", "nodes").or_else(in_node).map(words).unwrap_or_default()
    }

    /// Whether the members are in cluster.conf. Else every one of them has to be asked, as each has a file of its own.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.text("cluster", "nodes").is_some()
    }

    /// Name of the cluster, lower case.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        let in_node = || text(self.node.get("cluster")?.get("name")?);
        let name = in_node().or_else(|| self.text("cluster", "name"));
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".into()).to_lowercase()
    }

    /// Whether the cluster says which dialects it speaks: nodes of this project do where it is not `sealed`, deployed
    /// agents never do.
    #[must_use]
    pub fn names_envelope(&self) -> bool {
        self.text("cluster", "envelope").is_some()
    }

    /// The cluster.conf, written anew from its sections: without the comments of the original, and with `secret`, which
    /// proved right, if it names none.
    ///
    /// # Errors
    ///
    /// [`JoinError::Ini`] for a value that would read back otherwise.
    pub fn cluster_conf(&self, secret: &str) -> Result<Option<Ini>, JoinError> {
        let Some(cluster) = &self.cluster else { return Ok(None) };
        let mut changes = vec![];
        // The order of deployed agents: the object, the cluster, the rest.
        let first = ["DEFAULT", "cluster"];
        let known = first.into_iter().filter(|name| cluster.contains_key(*name));
        let others = cluster.keys().map(String::as_str).filter(|name| !first.contains(name));
        for name in known.chain(others) {
            changes.extend(section_changes(name, &cluster[name]));
        }
        if self.text("cluster", "secret").is_none() {
            changes.push(set("cluster", "secret", secret));
        }
        let mut ini = Ini::default();
        ini.apply(&changes)?;
        Ok(Some(ini))
    }
}

/// Makes of the node.conf of a joiner what the reply asks; whether anything changed. Heartbeats, fencing, pools,
/// networks and arbitrators become those of the joined node's node.conf; so do `node.env`, and the name, id and quorum
/// of the cluster where it has them. Members and secret stand in cluster.conf, and here only where that has no members.
///
/// `is_classic`: the joined node is a deployed agent. It shares its cluster.conf with others that know no envelope, so
/// the dialect is kept here, where no propagation undoes it.
///
/// # Errors
///
/// [`JoinError::Ini`] for a value that would read back otherwise.
pub fn join_node_conf(
    node: &mut Ini,
    reply: &JoinReply,
    is_classic: bool,
) -> Result<bool, JoinError> {
    let mut changes = vec![];
    let is_taken = |name: &str| TAKEN.iter().any(|prefix| name.starts_with(prefix));
    for name in node.sections().filter(|name| is_taken(name)) {
        if !is_same(node, name, reply.node.get(name)) {
            changes.push(Change::RemoveSection(name.into()));
        }
    }
    for (name, section) in reply.node.iter().filter(|(name, _)| is_taken(name)) {
        if !is_same(node, name, Some(section)) {
            changes.extend(section_changes(name, section));
        }
    }
    let said = |section: &str, keyword: &str| text(reply.node.get(section)?.get(keyword)?);
    for keyword in ["name", "id", "quorum"] {
        if let Some(value) = said("cluster", keyword) {
            changes.push(set("cluster", keyword, &value));
        }
    }
    for keyword in ["nodes", "drpnodes", "dns", "secret", "envelope"] {
        changes.push(Change::Unset { section: "cluster".into(), keyword: keyword.into() });
    }
    if !reply.is_shared() {
        changes.push(set("cluster", "nodes", &reply.members().join(" ")));
    }
    if is_classic && !reply.names_envelope() {
        changes.push(set("cluster", "envelope", "classic"));
    }
    changes.push(match said("node", "env") {
        Some(env) => set("node", "env", &env),
        None => Change::Unset { section: "node".into(), keyword: "env".into() },
    });
    Ok(node.apply(&changes)?)
}

/// Makes of a node.conf that of a node in no other cluster than its own; whether anything changed.
pub fn leave_node_conf(node: &mut Ini) -> bool {
    let changes = dropped(node);
    node.apply(&changes).expect("what is removed need not be written")
}

/// Makes of a cluster.conf that of a cluster of `nodename` alone, with an id and a secret of its own. What is not about
/// the cluster stays, the id of the object too; the dialect becomes the default.
///
/// # Errors
///
/// [`IniError`] for an id or a secret that would read back otherwise.
pub fn leave_cluster_conf(
    cluster: &mut Ini,
    nodename: &NodeName,
    id: &str,
    secret: &str,
) -> Result<bool, IniError> {
    let mut changes = dropped(cluster);
    changes.extend([
        set("cluster", "id", id),
        set("cluster", "name", "default"),
        set("cluster", "nodes", nodename.as_str()),
        set("cluster", "secret", secret),
    ]);
    cluster.apply(&changes)
}

/// Whether a heartbeat is written, good or not.
#[must_use]
pub fn has_heartbeats(ini: &Ini) -> bool {
    ini.sections().any(|name| name.starts_with("hb#"))
}

/// Writes the heartbeat of a cluster that has none: each node calls each other one by its name.
///
/// # Errors
///
/// As [`Ini::set`].
pub fn first_heartbeat(ini: &mut Ini) -> Result<bool, IniError> {
    if has_heartbeats(ini) { Ok(false) } else { ini.set("hb#1", "type", "unicast") }
}

fn dropped(ini: &Ini) -> Vec<Change> {
    let is_dropped =
        |name: &&str| *name == "cluster" || DROPPED.iter().any(|prefix| name.starts_with(prefix));
    ini.sections().filter(is_dropped).map(|name| Change::RemoveSection(name.into())).collect()
}

fn set(section: &str, keyword: &str, value: &str) -> Change {
    Change::Set { section: section.into(), keyword: keyword.into(), value: value.into() }
}

/// A value as a file has it; lists are words. None for what no file has.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => Some(words.iter().filter_map(text).collect::<Vec<_>>().join(" ")),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
    }
}

/// A section as the reply has it. Gathered comments are left out: they are no keyword, and may not be writable as one.
fn keywords(section: &Value) -> impl Iterator<Item = (&str, String)> {
    let keywords = section.as_object().into_iter().flatten();
    keywords
        .filter(|(keyword, _)| *keyword != "comment")
        .filter_map(|(keyword, value)| Some((keyword.as_str(), text(value)?)))
}

fn section_changes(name: &str, section: &Value) -> Vec<Change> {
    keywords(section).map(|(keyword, value)| set(name, keyword, &value)).collect()
}

/// Whether a file has this section already: it keeps its lines and comments then.
fn is_same(ini: &Ini, name: &str, section: Option<&Value>) -> bool {
    let Some(section) = section else { return false };
    let wanted: std::collections::BTreeMap<_, _> = keywords(section).collect();
    let count = ini.keywords(name).filter(|(keyword, _)| *keyword != "comment").count();
    ini.has_section(name)
        && count == wanted.len()
        && wanted.iter().all(|(keyword, value)| ini.get(name, keyword) == Some(value))
}

#[cfg(test)]
mod tests;
