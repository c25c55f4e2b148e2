//! Freshness of sealed messages: none passes twice, and none that was held back, whatever anybody's clock says.
//!
//! Per sender, the receiver knows the boot of its machine and how the clock that counts from there (`b`) maps to its own.
//! No step of a wall clock moves either: a message is as old as that mapping says. Wall times decide in two cases only:
//! for the first message of a boot, and for a machine that was paused, whose `b` stood still meanwhile.

mod epoch;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use crate::freshness::epoch::Beat;
use crate::freshness::epoch::{Epoch, MOST_FORGOTTEN, UNDONE_US, decayed, seconds};
use crate::sealed::{BootId, Moment};
use crate::{Refusal, Stamp};

/// Most ids kept, over all senders.
pub const MOST_IDS: usize = 1_000_000;
/// Most members of which something is kept, those that left included.
const MOST_MEMBERS: usize = 4_096;
/// Most boots of machines that are no members.
const MOST_STRANGERS: usize = 4_096;
/// Most boots of a member that are over and known to be.
const MOST_RETIRED: usize = 8;
/// Age of a saved state from which the next message waits for another one.
const SAVE_AFTER_US: i64 = 60_000_000;
/// The same, and the time that saving takes.
const LONGEST_UNSAVED_US: i64 = 65_000_000;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// A member of the cluster, or one that was.
    Member(&'a str),
    /// A node that is none: it joins, or uses this one as a relay or an arbitrator. Nodes of different clusters may have
    /// the same name.
    Stranger(&'a str),
}

/// A message that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The snapshot of [`Freshness::snapshot`] that has to be on the disk before the message is carried out: after a
    /// restart it must not pass again.
    pub saved_by: Option<u64>,
    /// Our wall clock minus that of the sender.
    pub skew_ms: i64,
}

/// What is known of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    epoch: Epoch,
    /// Boots that are over, the newest last.
    retired: Vec<BootId>,
}

impl Member {
    /// Begins another boot.
    fn begin(&mut self, epoch: Epoch) -> usize {
        let before = std::mem::replace(&mut self.epoch, epoch);
        self.retired.retain(|boot| *boot != self.epoch.boot);
        self.retired.push(before.boot);
        if self.retired.len() > MOST_RETIRED {
            self.retired.remove(0);
        }
        before.seen.len()
    }
}

/// The senders of sealed messages, and what came of them lately.
///
/// A message costs well under a microsecond, however many are remembered.
#[derive(Debug)]
pub struct Freshness {
    window_us: i64,
    most: usize,
    members: BTreeMap<Box<str>, Member>,
    strangers: BTreeMap<Box<str>, BTreeMap<BootId, Epoch>>,
    strangers_len: usize,
    ids: usize,
    /// Who holds most ids, as of the last look.
    largest: Option<(Box<str>, Option<BootId>)>,
    /// Snapshots taken, and when the last one was, on our `b`.
    snapshots: u64,
    snapshot_us: i64,
    is_closed: bool,
    /// First messages of a boot that were made before are refused: what was accepted then is not known.
    since_ms: i64,
}

impl Freshness {
    /// Knows nobody. `window_ms` is keyword `listener.replay_window`, 30 s by default.
    #[must_use]
    pub fn new(window_ms: i64) -> Self {
        Self {
            window_us: window_ms.max(0).saturating_mul(1_000),
            most: MOST_IDS,
            members: BTreeMap::new(),
            strangers: BTreeMap::new(),
            strangers_len: 0,
            ids: 0,
            largest: None,
            snapshots: 0,
            snapshot_us: i64::MIN,
            is_closed: false,
            since_ms: i64::MIN,
        }
    }

    /// Knows nobody, although something was accepted before: what was made until now, by the wall time of its sender, is
    /// refused.
    #[must_use]
    pub fn forgetful(window_ms: i64, now: &Moment) -> Self {
        Self { since_ms: now.t_ms, ..Self::new(window_ms) }
    }

    /// Changes the window; ids seen are kept.
    pub fn set_window(&mut self, window_ms: i64) {
        self.window_us = window_ms.max(0).saturating_mul(1_000);
    }

    /// Messages remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids == 0
    }

    /// Takes a message once. A heartbeat comes with its `beat`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Stale`], [`Refusal::Late`], [`Refusal::Retired`], [`Refusal::Replayed`], [`Refusal::Crowded`]; none is
    /// counted.
    pub fn take(
        &mut self,
        now: &Moment,
        source: Source<'_>,
        stamp: &Stamp,
        beat: Option<Beat<'_>>,
    ) -> Result<Accepted, Refusal> {
        if self.is_closed {
            return Err(Refusal::Crowded);
        }
        let window_us = self.window_us;
        let skew_ms = now.t_ms.saturating_sub(stamp.at.t_ms);
        let epoch = match source {
            Source::Member(name) => self.member_epoch(now, name, stamp)?,
            Source::Stranger(name) => self.stranger_epoch(now, name, stamp)?,
        };
        epoch.check(now, stamp, beat, window_us)?;
        let more = epoch.take(now, stamp, beat, window_us);
        let exceeds = epoch.exceeds_saved(now.b_us);
        self.ids = self.ids.saturating_add_signed(more);
        if self.ids > self.most {
            self.make_room();
        }
        let is_old = now.b_us.saturating_sub(self.snapshot_us) > SAVE_AFTER_US;
        let saved_by = (exceeds || is_old).then_some(self.snapshots + 1);
        Ok(Accepted { saved_by, skew_ms })
    }

    /// The boot of a member that a message is of: the one that is known, or one that begins.
    fn member_epoch(
        &mut self,
        now: &Moment,
        name: &str,
        stamp: &Stamp,
    ) -> Result<&mut Epoch, Refusal> {
        let window_us = self.window_us;
        let agrees = self.agrees(now, stamp);
        if !self.members.contains_key(name) {
            agrees?;
            self.ids -= self.evict_member();
            let member = Member { epoch: self.first(stamp), retired: vec![] };
            self.members.insert(name.into(), member);
        } else if self.members[name].epoch.boot != stamp.at.boot {
            let Member { epoch, retired } = &self.members[name];
            if retired.contains(&stamp.at.boot) {
                return Err(Refusal::Retired);
            }
            agrees?;
            // A boot that nobody knew here may be over, and its last message be on its way: only what was made later than
            // that of a boot which is still heard begins another one.
            let is_heard = now.b_us.saturating_sub(epoch.heard_us) <= window_us;
            let last_ms = epoch.relation_ms.saturating_add(epoch.newest_us / 1_000);
            if is_heard && stamp.at.t_ms <= last_ms {
                return Err(Refusal::Retired);
            }
            let first = self.first(stamp);
            if let Some(member) = self.members.get_mut(name) {
                self.ids -= member.begin(first);
            }
        }
        Ok(&mut self.members.get_mut(name).expect("it is there or was put there").epoch)
    }

    /// The boot of a node that is no member.
    fn stranger_epoch(
        &mut self,
        now: &Moment,
        name: &str,
        stamp: &Stamp,
    ) -> Result<&mut Epoch, Refusal> {
        let boot = stamp.at.boot;
        let is_known = self.strangers.get(name).is_some_and(|boots| boots.contains_key(&boot));
        if !is_known {
            self.agrees(now, stamp)?;
            if self.strangers_len >= MOST_STRANGERS {
                self.evict_stranger(now)?;
            }
            let first = self.first(stamp);
            self.strangers.entry(name.into()).or_default().insert(boot, first);
            self.strangers_len += 1;
        }
        let boots = self.strangers.get_mut(name);
        Ok(boots.and_then(|boots| boots.get_mut(&boot)).expect("it is there or was put there"))
    }

    /// A boot as its first message begins it: others may have been overtaken by that one.
    fn first(&self, stamp: &Stamp) -> Epoch {
        Epoch::new(stamp, stamp.at.b_us.saturating_sub(self.window_us).max(0) - 1)
    }

    /// Whether the wall clocks agree, as they have to for a first message.
    fn agrees(&self, now: &Moment, stamp: &Stamp) -> Result<(), Refusal> {
        let skew_ms = now.t_ms.saturating_sub(stamp.at.t_ms);
        let is_far = skew_ms.unsigned_abs() > (self.window_us / 1_000).unsigned_abs();
        if is_far || stamp.at.t_ms <= self.since_ms {
            return Err(Refusal::Stale { seconds: seconds(skew_ms) });
        }
        Ok(())
    }

    /// Makes room for a member: of those thousands that were one once, who was silent for longest goes. The number of its
    /// ids.
    fn evict_member(&mut self) -> usize {
        if self.members.len() < MOST_MEMBERS {
            return 0;
        }
        let silent = self.members.iter().min_by_key(|(_, member)| member.epoch.heard_us);
        let Some(name) = silent.map(|(name, _)| name.clone()) else { return 0 };
        self.members.remove(&name).map_or(0, |member| member.epoch.seen.len())
    }

    /// Makes room for a stranger: who was silent for longest goes, but not before its messages would be refused by their
    /// wall times.
    fn evict_stranger(&mut self, now: &Moment) -> Result<(), Refusal> {
        let all = self
            .strangers
            .iter()
            .flat_map(|(name, boots)| boots.values().map(move |epoch| (name, epoch)));
        let Some((name, epoch)) = all.min_by_key(|(_, epoch)| epoch.heard_us) else {
            return Err(Refusal::Crowded);
        };
        let idle_us = now.b_us.saturating_sub(epoch.heard_us);
        if idle_us <= self.window_us.saturating_mul(2) {
            return Err(Refusal::Crowded);
        }
        let (name, boot, ids) = (name.clone(), epoch.boot, epoch.seen.len());
        if let Some(boots) = self.strangers.get_mut(&name) {
            boots.remove(&boot);
            if boots.is_empty() {
                self.strangers.remove(&name);
            }
        }
        self.strangers_len -= 1;
        self.ids -= ids;
        Ok(())
    }

    fn epoch_mut(&mut self, name: &str, boot: Option<BootId>) -> Option<&mut Epoch> {
        match boot {
            None => self.members.get_mut(name).map(|member| &mut member.epoch),
            Some(boot) => self.strangers.get_mut(name)?.get_mut(&boot),
        }
    }

    /// Forgets ids of the sender that holds most: a flood raises the floor of who sends it, and of nobody else.
    fn make_room(&mut self) {
        let epochs = self.members.len() + self.strangers_len;
        for _ in 0..MOST_FORGOTTEN {
            let largest = self.largest.clone();
            let held = largest
                .as_ref()
                .and_then(|(name, boot)| self.epoch_mut(name, *boot))
                .map_or(0, |epoch| epoch.seen.len());
            // One with less than its share is not the flood.
            if held == 0 || held.saturating_mul(epochs) < self.ids {
                self.largest = self.find_largest();
            }
            let Some((name, boot)) = self.largest.clone() else { return };
            let Some(epoch) = self.epoch_mut(&name, boot) else { return };
            if epoch.forget_oldest() {
                self.ids -= 1;
            }
            if self.ids <= self.most {
                return;
            }
        }
    }

    fn find_largest(&self) -> Option<(Box<str>, Option<BootId>)> {
        let members = self.members.iter().map(|(name, member)| (name, None, &member.epoch));
        let strangers = self.strangers.iter().flat_map(|(name, boots)| {
            boots.iter().map(move |(boot, epoch)| (name, Some(*boot), epoch))
        });
        let largest = members.chain(strangers).max_by_key(|(_, _, epoch)| epoch.seen.len());
        largest.map(|(name, boot, _)| (name.clone(), boot))
    }

    /// A member answered what was asked at `asked_us`, on our `b`, and nobody else can have: its stamp is of now. Whatever
    /// was thought of its boot and of its clocks before is corrected.
    pub fn prove(&mut self, now: &Moment, name: &str, stamp: &Stamp, asked_us: i64) {
        let at = stamp.at;
        if !self.members.contains_key(name) {
            self.ids -= self.evict_member();
            let member = Member { epoch: Epoch::new(stamp, at.b_us), retired: vec![] };
            self.members.insert(name.into(), member);
        }
        let Some(member) = self.members.get_mut(name) else { return };
        if member.epoch.boot != at.boot {
            self.ids -= member.begin(Epoch::new(stamp, at.b_us));
        }
        let epoch = &mut member.epoch;
        // A machine that was set back to a snapshot of itself has the same boot, and a clock that goes on from there: not
        // even when it was asked was it as late as it was before.
        let latest_us = at.b_us.saturating_sub(asked_us).saturating_add(UNDONE_US);
        let is_back = epoch.offset.is_none_or(|offset| decayed(offset, now.b_us) > latest_us);
        if is_back && at.b_us <= epoch.floor_us && at.b_us < epoch.newest_us {
            let before = epoch.seen.len();
            *epoch = epoch.set_back(stamp);
            self.ids -= before - epoch.seen.len();
        }
        // Its wall clock may be set right afterwards.
        if epoch.undone_us.is_some() {
            epoch.relation_ms = at.t_ms.saturating_sub(at.b_us / 1_000);
        }
        let (least_us, most_us) =
            (at.b_us.saturating_sub(now.b_us), at.b_us.saturating_sub(asked_us));
        let offset_us = match epoch.offset {
            None => least_us,
            Some(offset) => decayed(offset, now.b_us).clamp(least_us, most_us.max(least_us)),
        };
        epoch.offset = Some((offset_us, now.b_us));
        epoch.heard_us = now.b_us;
        // A restart sets the floor as high as it may have to be. All that was accepted before is older than this.
        if epoch.floor_us > epoch.newest_us {
            epoch.floor_us = epoch.floor_us.min(at.b_us.max(epoch.newest_us));
        }
        if at.b_us > epoch.newest_us {
            epoch.newest_us = at.b_us;
            epoch.relation_ms = at.t_ms.saturating_sub(at.b_us / 1_000);
        }
    }
}
