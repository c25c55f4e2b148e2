//! Objects that were deleted, as long as some node may bring them back: kept for the next life of the daemon, and told to
//! the peers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use conf::NodeSettings;
use model::{Deletion, GlobalExpect, NodeMonitorStatus, NodeName, ObjectPath, Timestamp};
use monitor::Holder;
use serde::{Deserialize, Serialize};

use dataset::snapshot::{NodeEntry, Snapshot};
use machine::durable::FileLock;
use machine::paths::Paths;
use machine::{clock, durable};

/// Longest file that is read.
const MOST_BYTES: u64 = 16 << 20;
/// Most deletions that are remembered: each is told to all peers, and goes once all members have followed it. Beyond, the
/// earliest go.
const MOST: usize = 2_000;
/// How long a deletion that all members have followed is told yet: each is to see that of all others.
const FOLLOWED: Duration = Duration::from_millis(500);
/// How long a file that was fetched takes at most until all peers know of it, beside a pause of its node.
const COMES_THROUGH: Duration = Duration::from_secs(2);
/// How long another writer of the file may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A deletion, and how far this node is with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// What was deleted, and when.
    #[serde(flatten)]
    pub deletion: Deletion,
    /// The object was gone here after it: what is there now is another one.
    #[serde(default)]
    pub is_followed: bool,
    /// Since when no member is known to have a copy.
    #[serde(skip)]
    pub settled: Option<Instant>,
}

/// All that is remembered.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Deletions {
    known: BTreeMap<ObjectPath, Known>,
    /// When those were that are forgotten, and that a member still tells.
    over: BTreeMap<ObjectPath, Timestamp>,
}

fn file(paths: &Paths) -> PathBuf {
    paths.node_var().join("deleted.json")
}

impl Deletions {
    /// What an earlier life remembered; nothing when there is nothing that can be read. Blocks.
    pub fn read(paths: &Paths) -> Self {
        let text = machine::regular::read(&file(paths), MOST_BYTES).unwrap_or_default();
        let read: BTreeMap<String, Known> = serde_json::from_slice(&text).unwrap_or_default();
        let known = read.into_iter();
        let known = known.filter_map(|(path, it)| Some((ObjectPath::parse(&path).ok()?, it)));
        Self { known: known.collect(), over: BTreeMap::new() }
    }

    /// Writes it, durably. Blocks.
    pub fn write(&self, paths: &Paths) -> io::Result<()> {
        let text = serde_json::to_vec(&self.known).map_err(io::Error::from)?;
        durable::write(&file(paths), &text, 0o600)
    }

    /// What is known of an object.
    pub fn get(&self, path: &ObjectPath) -> Option<&Known> {
        self.known.get(path)
    }

    /// The objects that were deleted.
    pub fn paths(&self) -> impl Iterator<Item = &ObjectPath> {
        self.known.keys()
    }

    /// What peers are told.
    pub fn published(&self) -> BTreeMap<ObjectPath, Deletion> {
        let told =
            |known: &Known| Deletion { followed: known.is_followed, ..known.deletion.clone() };
        self.known.iter().map(|(path, known)| (path.clone(), told(known))).collect()
    }

    /// Remembers a deletion if it goes before the one that is known. Whether it does.
    pub fn add(&mut self, path: &ObjectPath, deletion: Deletion) -> bool {
        if !monitor::is_later(&deletion, self.known.get(path).map(|known| &known.deletion)) {
            return false;
        }
        self.known.insert(path.clone(), Known { deletion, is_followed: false, settled: None });
        while self.known.len() > MOST {
            let earliest = |known: &Known| known.deletion.at;
            let first =
                self.known.iter().min_by(|a, b| earliest(a.1).0.total_cmp(&earliest(b.1).0));
            let Some(first) = first.map(|(path, _)| path.clone()) else { break };
            log::warn!(path:% = first; "a deletion is forgotten, of too many that members have not followed: who is away may bring the object back");
            self.known.remove(&first);
        }
        true
    }

    /// Notes that the object was gone here. Whether that is news.
    pub fn follow(&mut self, path: &ObjectPath) -> bool {
        self.known
            .get_mut(path)
            .is_some_and(|known| !std::mem::replace(&mut known.is_followed, true))
    }

    /// Notes that something came, of which it is to be seen whether it was deleted. Whether that is to be asked.
    pub fn unfollow(&mut self, path: &ObjectPath) -> bool {
        self.known.get_mut(path).map(|known| known.is_followed = false).is_some()
    }

    /// Forgets an object.
    pub fn remove(&mut self, path: &ObjectPath) {
        self.known.remove(path);
    }

    /// Takes over what members remember, and forgets what every member has followed, or made anew. The objects that this
    /// is news of.
    pub fn look(&mut self, snapshot: &Snapshot, settings: &NodeSettings) -> BTreeSet<ObjectPath> {
        let mut news = BTreeSet::new();
        let is_needed = |path: &ObjectPath, deletion: &Deletion| {
            monitor::is_pending(deletion, holders(snapshot, settings, path))
        };
        let members = settings.nodes.iter().chain(&settings.drpnodes);
        let peers = members.filter(|node| *node != snapshot.nodename());
        let heard: Vec<&NodeEntry> = peers.filter_map(|node| snapshot.node(node)).collect();
        self.over.retain(|path, at| {
            heard.iter().any(|peer| peer.data.deleted.get(path).is_some_and(|it| it.at.0 <= at.0))
        });
        for (path, deletion) in heard.iter().flat_map(|peer| &peer.data.deleted) {
            let known = self.known.get(path).map(|known| &known.deletion);
            let is_over = self.over.get(path).is_some_and(|at| deletion.at.0 <= at.0);
            // Whoever tells it waits until all have followed, those too that have no copy as far as anybody knows.
            if path.kind() != model::Kind::Ccfg
                && !is_over
                && monitor::is_later(deletion, known)
                && self.add(path, Deletion { followed: false, ..deletion.clone() })
            {
                news.insert(path.clone());
            }
        }
        let is_anew = |path: &ObjectPath, known: &Known| {
            let own = snapshot.config(snapshot.nodename(), path);
            own.is_some_and(|own| !monitor::is_deleted(&known.deletion, own))
        };
        // Deployed agents tell nothing of it: what one has only just fetched it may publish later.
        let is_followed_by_all = |path: &ObjectPath, at: Timestamp| {
            heard.iter().all(|peer| {
                let told = peer.data.deleted.get(path);
                told.is_some_and(|told| told.followed && told.at.0 >= at.0)
            })
        };
        let unpublished = unpublished(settings);
        let mut over = vec![];
        for (path, known) in &mut self.known {
            let settled = *known.settled.get_or_insert_with(Instant::now);
            if is_needed(path, &known.deletion) {
                known.settled = None;
                continue;
            }
            let pause = match is_followed_by_all(path, known.deletion.at) {
                true => FOLLOWED,
                false => unpublished,
            };
            // What is not followed here may have a file that is not published yet.
            if is_anew(path, known) || known.is_followed && settled.elapsed() >= pause {
                over.push((path.clone(), known.deletion.at));
            }
        }
        for (path, at) in over {
            self.known.remove(&path);
            self.over.insert(path.clone(), at);
            news.insert(path);
        }
        news
    }

    /// When the next one may be forgotten that no member is known to have a copy of.
    pub fn next_look(&self, settings: &NodeSettings) -> Option<Duration> {
        let settled = self.known.values().filter(|known| known.is_followed);
        let left = settled.filter_map(|known| {
            let since = known.settled?.elapsed();
            let pause = if since < FOLLOWED { FOLLOWED } else { unpublished(settings) };
            Some(pause.saturating_sub(since))
        });
        left.min()
    }
}

/// How long a member that is heard may have a copy that it has not published: one that it has only just fetched, or has
/// while it stands still.
fn unpublished(settings: &NodeSettings) -> Duration {
    let timeouts = settings.heartbeats.iter().map(|heartbeat| heartbeat.timeout);
    timeouts.max().unwrap_or_default() + COMES_THROUGH
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
pub fn unreached(snapshot: &Snapshot, settings: &NodeSettings, path: &ObjectPath) -> Vec<NodeName> {
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
pub fn is_deployed(entry: &NodeEntry) -> bool {
    entry.has_services() && entry.data.release.is_none()
}

/// A deletion of all copies that are known, and of those written until now.
pub fn deletion(
    snapshot: &Snapshot,
    path: &ObjectPath,
    id: Option<String>,
    purged: bool,
) -> Deletion {
    let copies = snapshot.nodes().values().filter_map(|node| node.config.get(path));
    let at = clock::moment().newer_than(copies.map(|entry| Some(entry.updated)));
    Deletion { id, at, purged, followed: false }
}

/// The time at which a deployed agent asks for the deletion of an object without instances, and whether it purges.
pub fn asked_by_deployed(snapshot: &Snapshot, path: &ObjectPath) -> Option<(Timestamp, bool)> {
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
pub fn note_without_daemon(
    paths: &Paths,
    path: &ObjectPath,
    id: Option<String>,
    updated: Option<Timestamp>,
) -> io::Result<()> {
    let _lock = FileLock::take(&file(paths).with_extension("lock"), PATIENCE)?;
    let mut known = Deletions::read(paths);
    let at = clock::moment().newer_than([updated]);
    known.add(path, Deletion { id, at, purged: false, followed: false });
    known.write(paths)
}

/// How long a deletion may take that is carried out before the answer.
pub const DELETE_TIME: Duration = Duration::from_secs(75);
