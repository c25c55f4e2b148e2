//! What was up on a node that is lost: who starts it now takes over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dataset::snapshot::Snapshot;
use model::{NodeName, ObjectPath, Status};

/// A start so long after the loss is another matter.
const PATIENCE: Duration = Duration::from_secs(600);

/// The objects, and since when.
#[derive(Debug, Default)]
pub(super) struct Orphans(BTreeMap<ObjectPath, Instant>);

impl Orphans {
    /// A peer is lost, with what it ran.
    pub(super) fn on_lost(&mut self, peer: &NodeName, snapshot: &Snapshot, now: Instant) {
        self.0.retain(|_, since| now.duration_since(*since) < PATIENCE);
        let Some(entry) = snapshot.node(peer) else { return };
        let up = entry.status.iter().filter(|(_, status)| status.avail == Some(Status::Up));
        self.0.extend(up.map(|(path, _)| (path.clone(), now)));
    }

    /// An instance is started here. Whether that is a takeover.
    pub(super) fn on_start(
        &mut self,
        path: &ObjectPath,
        reason: Option<&str>,
        now: Instant,
    ) -> bool {
        let since = self.0.remove(path);
        reason != Some("target") && since.is_some_and(|since| now.duration_since(since) < PATIENCE)
    }
}
