//! Objects that were deleted, as long as some node may bring them back: kept for the next life of the daemon, and told to
//! the peers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use conf::NodeSettings;
use model::{Deletion, GlobalExpect, NodeMonitorStatus, NodeName, ObjectPath, Timestamp};
use monitor::Holder;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::cluster_data::{NodeEntry, Snapshot};
use crate::durable::{self, FileLock};
use crate::paths::Paths;

/// Longest file that is read.
const MOST_BYTES: u64 = 16 << 20;
/// Most deletions that are remembered: each is told to all peers, and goes once all members have followed it. Beyond, the
/// earliest go.
const MOST: usize = 2_000;
/// How long another writer of the file may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A deletion, and how far this node is with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    #[serde(flatten)]
    pub(super) deletion: Deletion,
    /// The object was gone here after it: what is there now is another one.
    #[serde(default)]
    pub(super) is_followed: bool,
}

/// All that is remembered.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Deletions(BTreeMap<ObjectPath, Known>);

fn file(paths: &Paths) -> PathBuf {
    paths.node_var().join("deleted.json")
}

impl Deletions {
    /// What an earlier life remembered; nothing when there is nothing that can be read. Blocks.
    pub(super) fn read(paths: &Paths) -> Self {
        let text = crate::regular::read(&file(paths), MOST_BYTES).unwrap_or_default();
        let read: BTreeMap<String, Known> = serde_json::from_slice(&text).unwrap_or_default();
        let known = read.into_iter();
        Self(known.filter_map(|(path, it)| Some((ObjectPath::parse(&path).ok()?, it))).collect())
    }

    /// Writes it, durably. Blocks.
    pub(super) fn write(&self, paths: &Paths) -> io::Result<()> {
        let text = serde_json::to_vec(&self.0).map_err(io::Error::from)?;
        durable::write(&file(paths), &text, 0o600)
    }

    pub(super) fn get(&self, path: &ObjectPath) -> Option<&Known> {
        self.0.get(path)
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &ObjectPath> {
        self.0.keys()
    }

    /// What peers are told.
    pub(super) fn published(&self) -> BTreeMap<ObjectPath, Deletion> {
        self.0.iter().map(|(path, known)| (path.clone(), known.deletion.clone())).collect()
    }

    /// Remembers a deletion if it goes before the one that is known. Whether it does.
    pub(super) fn add(&mut self, path: &ObjectPath, deletion: Deletion) -> bool {
        if !monitor::is_later(&deletion, self.0.get(path).map(|known| &known.deletion)) {
            return false;
        }
        self.0.insert(path.clone(), Known { deletion, is_followed: false });
        while self.0.len() > MOST {
            let earliest = |known: &Known| known.deletion.at;
            let first = self.0.iter().min_by(|a, b| earliest(a.1).0.total_cmp(&earliest(b.1).0));
            let Some(first) = first.map(|(path, _)| path.clone()) else { break };
            log::warn!(path:% = first; "a deletion is forgotten, of too many that members have not followed: who is away may bring the object back");
            self.0.remove(&first);
        }
        true
    }

    /// Notes that the object was gone here. Whether that is news.
    pub(super) fn follow(&mut self, path: &ObjectPath) -> bool {
        self.0.get_mut(path).is_some_and(|known| !std::mem::replace(&mut known.is_followed, true))
    }

    /// Notes that something came, of which it is to be seen whether it was deleted. Whether that is to be asked.
    pub(super) fn unfollow(&mut self, path: &ObjectPath) -> bool {
        self.0.get_mut(path).map(|known| known.is_followed = false).is_some()
    }

    pub(super) fn remove(&mut self, path: &ObjectPath) {
        self.0.remove(path);
    }

    /// Takes over what members remember, and forgets what every member has followed, or made anew. The objects that this
    /// is news of.
    pub(super) fn look(
        &mut self,
        snapshot: &Snapshot,
        settings: &NodeSettings,
    ) -> BTreeSet<ObjectPath> {
        let mut news = BTreeSet::new();
        let is_needed = |path: &ObjectPath, deletion: &Deletion| {
            monitor::is_pending(deletion, holders(snapshot, settings, path))
        };
        let members = settings.nodes.iter().chain(&settings.drpnodes);
        let peers = members.filter(|node| *node != snapshot.nodename());
        for peer in peers.filter_map(|node| snapshot.node(node)) {
            for (path, deletion) in &peer.data.deleted {
                let known = self.0.get(path).map(|known| &known.deletion);
                if path.kind() != model::Kind::Ccfg
                    && monitor::is_later(deletion, known)
                    && is_needed(path, deletion)
                    && self.add(path, deletion.clone())
                {
                    news.insert(path.clone());
                }
            }
        }
        let is_anew = |path: &ObjectPath, known: &Known| {
            let own = snapshot.config(snapshot.nodename(), path);
            own.is_some_and(|own| !monitor::is_deleted(&known.deletion, own))
        };
        // What is not followed here may have a file that is not published yet.
        let over = self.0.iter().filter(|(path, known)| {
            (known.is_followed || is_anew(path, known)) && !is_needed(path, &known.deletion)
        });
        for path in over.map(|(path, _)| path.clone()).collect::<Vec<_>>() {
            self.0.remove(&path);
            news.insert(path);
        }
        news
    }
}

/// What the members may have of an object.
fn holders<'a>(
    snapshot: &'a Snapshot,
    settings: &'a NodeSettings,
    path: &'a ObjectPath,
) -> impl Iterator<Item = Holder<'a>> {
    let members = settings.nodes.iter().chain(&settings.drpnodes);
    members.map(move |node| Holder {
        is_settled: is_settled(snapshot, node),
        entry: snapshot.config(node, path).map(|entry| &**entry),
    })
}

/// Whether a member tells all that it has.
fn is_settled(snapshot: &Snapshot, node: &NodeName) -> bool {
    use NodeMonitorStatus::{Init, Maintenance, Rejoin, Upgrade};
    if node == snapshot.nodename() {
        return true;
    }
    snapshot.node(node).is_some_and(|entry| {
        let status = entry.data.monitor.as_ref().map(|monitor| &monitor.status);
        entry.has_services()
            && !matches!(status, None | Some(Init | Rejoin | Maintenance | Upgrade))
    })
}

/// Members that are to follow a deletion, and cannot be told now.
pub(crate) fn unreached(
    snapshot: &Snapshot,
    settings: &NodeSettings,
    path: &ObjectPath,
) -> Vec<NodeName> {
    let scopes = snapshot.nodes().values().filter_map(|node| node.config.get(path));
    let scope: BTreeSet<&NodeName> = scopes.flat_map(|entry| &entry.scope).collect();
    let members = settings.nodes.iter().chain(&settings.drpnodes);
    let is_meant = |node: &&NodeName| scope.is_empty() || scope.contains(node);
    let is_heard = |node: &NodeName| {
        node == snapshot.nodename()
            || snapshot.node(node).is_some_and(|entry| entry.data.monitor.is_some())
    };
    members.filter(is_meant).filter(|node| !is_heard(node)).cloned().collect()
}

/// Whether a node runs a deployed agent, which follows orders to instances, and no deletions.
pub(super) fn is_deployed(entry: &NodeEntry) -> bool {
    entry.has_services() && entry.data.release.is_none()
}

/// A deletion of all copies that are known, and of those written until now.
pub(super) fn deletion(
    snapshot: &Snapshot,
    path: &ObjectPath,
    id: Option<String>,
    purged: bool,
) -> Deletion {
    let copies = snapshot.nodes().values().filter_map(|node| node.config.get(path));
    let at = clock::moment().newer_than(copies.map(|entry| Some(entry.updated)));
    Deletion { id, at, purged }
}

/// The time at which a deployed agent asks for the deletion of an object without instances, and whether it purges.
pub(super) fn asked_by_deployed(
    snapshot: &Snapshot,
    path: &ObjectPath,
) -> Option<(Timestamp, bool)> {
    let nodes = snapshot.nodes().iter().filter(|(name, _)| *name != snapshot.nodename());
    let asked = nodes.filter(|(_, node)| is_deployed(node)).filter_map(|(_, node)| {
        let monitor = node.status.get(path)?.monitor.as_ref()?;
        let purged = match &monitor.global_expect {
            Some(GlobalExpect::Deleted) => false,
            Some(GlobalExpect::Purged) => true,
            _ => return None,
        };
        Some((monitor.global_expect_updated?, purged))
    });
    asked.max_by(|a, b| a.0.0.total_cmp(&b.0.0))
}

/// Notes a deletion while no daemon runs: the next one goes on with it. Blocks.
pub(crate) fn note_without_daemon(
    paths: &Paths,
    path: &ObjectPath,
    id: Option<String>,
    updated: Option<Timestamp>,
) -> io::Result<()> {
    let _lock = FileLock::take(&file(paths).with_extension("lock"), PATIENCE)?;
    let mut known = Deletions::read(paths);
    let at = clock::moment().newer_than([updated]);
    known.add(path, Deletion { id, at, purged: false });
    known.write(paths)
}
