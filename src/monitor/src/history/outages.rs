//! For how long an object was not up, from the journals of all nodes.
//!
//! Each node has a view: what it wrote last of the object as a whole. It holds until its next word, until its daemon ends, or
//! until another node tells that it lost it. The object is up while a view says so, and down while there are views and none does:
//! what one node hears some milliseconds later than another makes no outage.

use std::collections::BTreeMap;

use model::{Happening, NodeName, Record, Timestamp};

/// A record, and the node that wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The node.
    pub node: NodeName,
    /// What it wrote.
    pub record: Record,
}

/// A time during which the object was not up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outage {
    /// From when on.
    pub from: Timestamp,
    /// Until when; none while it lasts.
    pub until: Option<Timestamp>,
    /// It was asked for: a target ended what was up, or moved it.
    pub is_asked: bool,
}

impl Outage {
    /// Its length at `now`.
    #[must_use]
    pub fn secs(&self, now: Timestamp) -> f64 {
        self.until.unwrap_or(now).since(self.from).max(0.0)
    }
}

/// How long before an outage its target may be set: what it stops runs until then.
const ASKED_BEFORE: f64 = 3_600.0;

/// The outages in records of one object, by time. What was before the first record is not known, and no outage.
#[must_use]
pub fn outages(told: &[Told]) -> Vec<Outage> {
    let mut views: BTreeMap<&NodeName, bool> = BTreeMap::new();
    let mut found: Vec<Outage> = vec![];
    let mut was_up = false;
    let mut asked: Option<Timestamp> = None;
    for Told { node, record } in told {
        match record.what {
            Happening::Object => {
                views.insert(node, record.to.as_deref() == Some("up"));
            }
            Happening::PeerLost => record.on.iter().for_each(|lost| _ = views.remove(lost)),
            Happening::DaemonStopped | Happening::DaemonStarted => _ = views.remove(node),
            Happening::Target | Happening::Asked => {
                let ends = record.to.as_deref().is_some_and(ends_what_is_up);
                asked = if ends { Some(record.t) } else { asked };
                continue;
            }
            _ => continue,
        }
        let is_up = views.values().any(|is_up| *is_up);
        if is_up {
            was_up = true;
            asked = None;
            if let Some(last) = found.last_mut() {
                last.until.get_or_insert(record.t);
            }
        } else if was_up && !views.is_empty() {
            was_up = false;
            let is_asked = asked.is_some_and(|at| record.t.since(at) < ASKED_BEFORE);
            found.push(Outage { from: record.t, until: None, is_asked });
        }
    }
    found
}

/// Whether a target stops what is up, or moves it.
fn ends_what_is_up(target: &str) -> bool {
    let word = target.split('@').next().unwrap_or_default();
    matches!(
        word,
        "stopped" | "shutdown" | "unprovisioned" | "deleted" | "purged" | "placed" | "restarted"
    )
}
