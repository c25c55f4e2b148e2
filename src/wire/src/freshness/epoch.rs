//! One boot of a sender: which of its messages are new, and how old each is.

use std::collections::{BTreeMap, BTreeSet};

use crate::sealed::{BootId, MessageId, Moment};
use crate::{Refusal, Stamp};

/// Most sections whose newest heartbeat is kept.
const MOST_SECTIONS: usize = 64;
/// Most messages forgotten for one that comes: nobody waits for all that a burst left behind.
pub(super) const MOST_FORGOTTEN: usize = 32;

/// How fast the clocks of two machines may drift apart: nobody sets or slews them.
const DRIFT_PPM: i64 = 500;
/// How far beyond the mapping that was saved last a sender may be without another save.
pub(super) const MARGIN_US: i64 = 20_000;
/// How far from the time that it proved the messages of a machine may be that was set back, for as long as there are others
/// of the same time.
pub(super) const UNDONE_US: i64 = 1_000_000;
const UNDONE_MS: u64 = 1_000;

pub(super) fn drift_of(elapsed_us: i64) -> i64 {
    elapsed_us.max(0) / 1_000 * DRIFT_PPM / 1_000
}

/// Seconds, away from zero: "0 s" would explain nothing.
pub(super) fn seconds(milliseconds: i64) -> i64 {
    let whole = i64::try_from(milliseconds.unsigned_abs().div_ceil(1_000)).unwrap_or(i64::MAX);
    milliseconds.signum().saturating_mul(whole)
}

fn late(age_us: i64) -> Refusal {
    Refusal::Late { seconds: seconds(age_us.max(1) / 1_000).max(1) }
}

/// What is heard of more strictly than the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat<'a> {
    /// The section that heard it: each later beat has to be newer.
    pub section: &'a str,
    /// Keyword `timeout` of the section: an older beat is none.
    pub timeout_us: i64,
}

/// One boot of a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) boot: BootId,
    /// Messages up to this `b` are refused.
    pub(super) floor_us: i64,
    /// The newest `b`.
    pub(super) newest_us: i64,
    /// Its wall clock minus its `b`, with that one.
    pub(super) relation_ms: i64,
    /// Its `b` minus ours, as of the fastest message, and when that was on our `b`. None since a boot of ours.
    pub(super) offset: Option<(i64, i64)>,
    /// The same when it was saved.
    pub(super) saved_offset: Option<(i64, i64)>,
    /// When it was heard, on our `b`.
    pub(super) heard_us: i64,
    /// Messages above the floor.
    pub(super) seen: BTreeSet<(i64, MessageId)>,
    /// Per section, the newest beat.
    pub(super) beats: BTreeMap<Box<str>, i64>,
    /// The machine went back to a snapshot of itself: up to this `b` there are messages that it sent before it did.
    pub(super) undone_us: Option<i64>,
}

/// Decays with time, so that drift never ages anybody.
pub(super) fn decayed((offset_us, at_us): (i64, i64), now_us: i64) -> i64 {
    offset_us.saturating_sub(drift_of(now_us.saturating_sub(at_us)))
}

impl Epoch {
    pub(super) fn new(stamp: &Stamp, floor_us: i64) -> Self {
        let at = stamp.at;
        Self {
            boot: at.boot,
            floor_us,
            newest_us: floor_us,
            relation_ms: at.t_ms.saturating_sub(at.b_us / 1_000),
            offset: None,
            saved_offset: None,
            heard_us: i64::MIN,
            seen: BTreeSet::new(),
            beats: BTreeMap::new(),
            undone_us: None,
        }
    }

    /// The same boot at an earlier time, to which the machine was set back: what it sends now is as old as this stamp says.
    pub(super) fn set_back(&self, stamp: &Stamp) -> Self {
        let last_us = self.newest_us.max(self.undone_us.unwrap_or(i64::MIN));
        let seen = self.seen.range((stamp.at.b_us, MessageId([0; 16]))..).copied().collect();
        Self { seen, undone_us: Some(last_us), ..Self::new(stamp, stamp.at.b_us) }
    }

    /// Whether a message may be of the time that was undone: it comes before its time, or by another wall clock.
    fn is_undone(&self, stamp: &Stamp, age_us: Option<i64>) -> bool {
        let at = stamp.at;
        if self.undone_us.is_none_or(|last_us| at.b_us > last_us) {
            return false;
        }
        let relation_ms = at.t_ms.saturating_sub(at.b_us / 1_000);
        let moved_ms = relation_ms.saturating_sub(self.relation_ms).unsigned_abs();
        moved_ms > UNDONE_MS || age_us.is_none_or(|age_us| age_us < -UNDONE_US)
    }

    /// How old a message is by the mapping. Negative: it is faster than any before.
    fn age_us(&self, now: &Moment, stamp: &Stamp) -> Option<i64> {
        let offset = decayed(self.offset?, now.b_us);
        Some(now.b_us.saturating_add(offset).saturating_sub(stamp.at.b_us))
    }

    pub(super) fn check(
        &self,
        now: &Moment,
        stamp: &Stamp,
        beat: Option<Beat<'_>>,
        window_us: i64,
    ) -> Result<(), Refusal> {
        let at = stamp.at;
        let age_us = self.age_us(now, stamp);
        if at.b_us <= self.floor_us {
            return Err(late(age_us.unwrap_or(self.floor_us.saturating_sub(at.b_us))));
        }
        if self.seen.contains(&(at.b_us, stamp.id)) {
            return Err(Refusal::Replayed);
        }
        if self.is_undone(stamp, age_us) {
            return Err(late(age_us.unwrap_or_default()));
        }
        let limit_us = beat.map_or(window_us, |beat| window_us.min(beat.timeout_us));
        let skew_ms = now.t_ms.saturating_sub(at.t_ms);
        let agrees = |limit_us: i64| skew_ms.unsigned_abs() <= (limit_us / 1_000).unsigned_abs();
        match age_us {
            None if agrees(window_us) => {}
            None => return Err(Refusal::Stale { seconds: seconds(skew_ms) }),
            Some(age_us) if age_us <= limit_us => {}
            Some(age_us) => {
                // A machine that was paused lags behind the mapping. Once its wall clock is right again, that one has
                // moved against `b`; that of a message which was only held back has not.
                let relation_ms = at.t_ms.saturating_sub(at.b_us / 1_000);
                let moved_ms = relation_ms.saturating_sub(self.relation_ms).unsigned_abs();
                let was_paused = moved_ms >= (age_us / 2_000).unsigned_abs();
                if !was_paused || !agrees(limit_us) {
                    return Err(late(age_us));
                }
            }
        }
        if let Some(beat) = beat
            && let Some(newest_us) = self.beats.get(beat.section)
            && at.b_us <= *newest_us
        {
            return Err(late(age_us.unwrap_or_default()));
        }
        Ok(())
    }

    /// Takes a message that was checked: how many more ids are kept.
    pub(super) fn take(
        &mut self,
        now: &Moment,
        stamp: &Stamp,
        beat: Option<Beat<'_>>,
        window_us: i64,
    ) -> isize {
        let at = stamp.at;
        let limit_us = beat.map_or(window_us, |beat| window_us.min(beat.timeout_us));
        // Faster than any before, or slower because it was paused.
        if self.age_us(now, stamp).is_none_or(|age_us| age_us < 0 || age_us > limit_us) {
            self.offset = Some((at.b_us.saturating_sub(now.b_us), now.b_us));
        }
        if at.b_us > self.newest_us {
            self.newest_us = at.b_us;
            self.relation_ms = at.t_ms.saturating_sub(at.b_us / 1_000);
            self.floor_us = self.floor_us.max(at.b_us.saturating_sub(window_us));
        }
        self.heard_us = now.b_us;
        if let Some(beat) = beat {
            match self.beats.get_mut(beat.section) {
                Some(newest_us) => *newest_us = at.b_us,
                None => {
                    if self.beats.len() >= MOST_SECTIONS {
                        self.beats.pop_first();
                    }
                    self.beats.insert(beat.section.into(), at.b_us);
                }
            }
        }
        let mut more = isize::from(self.seen.insert((at.b_us, stamp.id)));
        for _ in 0..MOST_FORGOTTEN {
            match self.seen.first() {
                Some((b_us, _)) if *b_us <= self.floor_us => {
                    self.seen.pop_first();
                    more -= 1;
                }
                Some(_) | None => break,
            }
        }
        more
    }

    /// Forgets the oldest message, and refuses all up to it.
    pub(super) fn forget_oldest(&mut self) -> bool {
        let Some((b_us, _)) = self.seen.pop_first() else { return false };
        self.floor_us = self.floor_us.max(b_us);
        true
    }

    /// Whether a restart would let pass again what is accepted now: the floor that it would compute from what is saved is
    /// lower.
    pub(super) fn exceeds_saved(&self, now_us: i64) -> bool {
        let Some((saved_us, at_us)) = self.saved_offset else { return true };
        let Some((offset_us, _)) = self.offset else { return false };
        offset_us > saved_us + MARGIN_US + drift_of(now_us.saturating_sub(at_us))
    }
}
