//! Objects that are up on several nodes and may be on one: told on each node where they are.
//!
//! Nothing is stopped for that. After a split without quorum, or a start by force, both copies may have been used, and only
//! people know whose data count.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Alert, NodeName, ObjectPath, Status};

use dataset::config::LoadedConfig;
use dataset::snapshot::Snapshot;
use dataset::view::View;

/// Between two looks. What is seen by two of them lasts.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// More objects are counted.
const MOST_NAMED: usize = 10;

type Found = BTreeMap<ObjectPath, Vec<NodeName>>;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Doubles {
    /// By the last look.
    seen: Found,
    /// What the alerts tell; none before the first look.
    told: Option<Found>,
    /// The next look is under way.
    is_due: bool,
}

/// What a look yields.
pub(super) struct Looked {
    /// Something is seen for the first time: another look tells whether it lasts.
    pub(super) is_to_repeat: bool,
    /// What the thread shows; none when it is as before.
    pub(super) alerts: Option<Vec<Alert>>,
}

impl Doubles {
    /// A look is wanted, [`PAUSE`] from now. False: it is due already.
    pub(super) fn ask(&mut self) -> bool {
        !std::mem::replace(&mut self.is_due, true)
    }

    /// Looks at what runs where.
    pub(super) fn look(&mut self, snapshot: &Snapshot, config: &LoadedConfig) -> Looked {
        self.is_due = false;
        let found: Found = {
            let view = View::new(snapshot, config, false);
            let objects = snapshot.services().iter();
            let suspects = objects.filter(|(_, all)| all.avail == Some(Status::Warn));
            let doubled = |path: &ObjectPath| Some((path.clone(), monitor::doubled(&view, path)?));
            suspects.filter_map(|(path, _)| doubled(path)).collect()
        };
        let before = std::mem::replace(&mut self.seen, found.clone());
        let lasting: Found =
            found.into_iter().filter(|(path, nodes)| before.get(path) == Some(nodes)).collect();
        let is_to_repeat = lasting.len() < self.seen.len();
        if self.told.as_ref() == Some(&lasting) {
            return Looked { is_to_repeat, alerts: None };
        }
        for (path, nodes) in &lasting {
            if self.told.as_ref().and_then(|told| told.get(path)) != Some(nodes) {
                log::error!("{}", text(path, nodes));
            }
        }
        let shown = alerts(&lasting);
        self.told = Some(lasting);
        Looked { is_to_repeat, alerts: Some(shown) }
    }
}

fn text(path: &ObjectPath, nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    monitor::told_doubled(path, &names.join(" and "))
}

fn alerts(found: &Found) -> Vec<Alert> {
    let named = found.iter().take(MOST_NAMED).map(|(path, nodes)| text(path, nodes));
    let more = found.len().saturating_sub(MOST_NAMED);
    let rest = (more > 0).then(|| format!("{more} more objects are up on several nodes at once"));
    named.chain(rest).map(Alert::error).collect()
}
