//! What a restart keeps of freshness: what was accepted before is not accepted again.
//!
//! Part of the `impl` of [`Freshness`], in a file of its own for its length.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Freshness, LONGEST_UNSAVED_US, MOST_MEMBERS, MOST_RETIRED, MOST_STRANGERS, Member};
use crate::freshness::epoch::{Epoch, MARGIN_US, decayed, drift_of};
use crate::sealed::{BootId, Moment};

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    /// The boot of this machine.
    boot: String,
    /// When it was saved, on the clock of that boot.
    b: i64,
    /// Nothing was accepted afterwards.
    is_final: bool,
    members: BTreeMap<Box<str>, SavedMember>,
    strangers: Vec<SavedStranger>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedEpoch {
    boot: String,
    floor: i64,
    newest: i64,
    relation: i64,
    /// As of when it was saved.
    offset: Option<i64>,
    heard: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undone: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedMember {
    epoch: SavedEpoch,
    retired: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedStranger {
    name: Box<str>,
    epoch: SavedEpoch,
}

/// What the restarted node knows of the one before.
struct Before {
    saved_us: i64,
    /// The latest time that it can have accepted anything, on its clock.
    last_us: i64,
    is_final: bool,
    /// Whether its clock is still the one of this machine.
    is_same_boot: bool,
    now_us: i64,
}

impl SavedEpoch {
    fn of(epoch: &Epoch, now_us: i64) -> Self {
        Self {
            boot: epoch.boot.to_string(),
            floor: epoch.floor_us,
            newest: epoch.newest_us,
            relation: epoch.relation_ms,
            offset: epoch.offset.map(|offset| decayed(offset, now_us)),
            heard: epoch.heard_us,
            undone: epoch.undone_us,
        }
    }

    fn restore(&self, before: &Before) -> Option<Epoch> {
        // All that was saved by then is older, and so is all that came before the next save.
        let mut floor_us = self.floor.max(self.newest);
        if let (Some(offset), false) = (self.offset, before.is_final) {
            let elapsed_us = before.last_us.saturating_sub(before.saved_us);
            let bound_us = offset
                .saturating_add(before.last_us)
                .saturating_add(drift_of(elapsed_us))
                .saturating_add(MARGIN_US);
            floor_us = floor_us.max(bound_us);
        }
        let offset = self.offset.filter(|_| before.is_same_boot);
        let offset = offset.map(|offset| (offset, before.saved_us));
        Some(Epoch {
            boot: BootId::parse(&self.boot)?,
            floor_us,
            newest_us: self.newest,
            relation_ms: self.relation,
            offset,
            saved_offset: None,
            heard_us: if before.is_same_boot { self.heard.min(before.now_us) } else { i64::MIN },
            seen: BTreeSet::new(),
            beats: BTreeMap::new(),
            undone_us: self.undone,
        })
    }
}

impl Freshness {
    /// What has to be kept, and the number of this snapshot: once it is on the disk, what waits for that number is free.
    pub fn snapshot(&mut self, now: &Moment) -> (u64, Vec<u8>) {
        self.snapshots += 1;
        self.snapshot_us = now.b_us;
        let all = self.members.values_mut().map(|member| &mut member.epoch);
        for epoch in all.chain(self.strangers.values_mut().flat_map(BTreeMap::values_mut)) {
            epoch.saved_offset = epoch.offset.map(|offset| (decayed(offset, now.b_us), now.b_us));
        }
        let members = self.members.iter().map(|(name, Member { epoch, retired })| {
            let retired = retired.iter().map(ToString::to_string).collect();
            (name.clone(), SavedMember { epoch: SavedEpoch::of(epoch, now.b_us), retired })
        });
        let strangers = self.strangers.iter().flat_map(|(name, boots)| {
            boots.values().map(|epoch| SavedStranger {
                name: name.clone(),
                epoch: SavedEpoch::of(epoch, now.b_us),
            })
        });
        let saved = Saved {
            boot: now.boot.to_string(),
            b: now.b_us,
            is_final: self.is_closed,
            members: members.collect(),
            strangers: strangers.collect(),
        };
        (self.snapshots, serde_json::to_vec(&saved).unwrap_or_default())
    }

    /// How many snapshots were taken.
    #[must_use]
    pub fn snapshots(&self) -> u64 {
        self.snapshots
    }

    /// Whether something came since the last snapshot.
    #[must_use]
    pub fn is_unsaved(&self) -> bool {
        let members = self.members.values().map(|member| &member.epoch);
        let strangers = self.strangers.values().flat_map(BTreeMap::values);
        members.chain(strangers).any(|epoch| epoch.heard_us >= self.snapshot_us)
    }

    /// Takes nothing any more: the next snapshot is the last word.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Goes on from a snapshot of before a restart. None for what is none.
    #[must_use]
    pub fn restore(window_ms: i64, now: &Moment, bytes: &[u8]) -> Option<Self> {
        let saved: Saved = serde_json::from_slice(bytes).ok()?;
        let is_same_boot = BootId::parse(&saved.boot)? == now.boot && saved.b <= now.b_us;
        // After a boot nobody knows how long ago that was: a wall clock may have been set meanwhile.
        let elapsed_us =
            if is_same_boot { now.b_us.saturating_sub(saved.b) } else { LONGEST_UNSAVED_US };
        let before = Before {
            saved_us: saved.b,
            last_us: saved.b.saturating_add(elapsed_us.min(LONGEST_UNSAVED_US)),
            is_final: saved.is_final,
            is_same_boot,
            now_us: now.b_us,
        };
        let mut freshness = Self::new(window_ms);
        for (name, member) in saved.members.into_iter().take(MOST_MEMBERS) {
            let retired = member.retired.iter().rev().take(MOST_RETIRED).rev();
            let retired = retired.map(|boot| BootId::parse(boot)).collect::<Option<_>>()?;
            let epoch = member.epoch.restore(&before)?;
            freshness.members.insert(name, Member { epoch, retired });
        }
        for stranger in saved.strangers.into_iter().take(MOST_STRANGERS) {
            let epoch = stranger.epoch.restore(&before)?;
            let boots = freshness.strangers.entry(stranger.name).or_default();
            if boots.insert(epoch.boot, epoch).is_none() {
                freshness.strangers_len += 1;
            }
        }
        Some(freshness)
    }
}
