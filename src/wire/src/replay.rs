//! Freshness of sealed messages (sealed.md).

use std::collections::{BTreeMap, BTreeSet};

use crate::sealed::MessageId;
use crate::{Refusal, Stamp};

/// Most ids kept (sealed.md).
pub const MOST_IDS: usize = 1_000_000;

/// Sets that the ids are spread over, by their first byte: each is small enough that a look into it is short.
const SHARDS: usize = 256;
/// Most messages forgotten for one that comes: nobody waits for all that a burst left behind.
const MOST_FORGOTTEN: usize = 32;

/// The messages seen lately: no sealed message passes twice.
///
/// A message costs well under a microsecond, however many are remembered.
#[derive(Debug)]
pub struct ReplayWindow {
    window_ms: i64,
    most: usize,
    /// Messages up to this time are refused: the ids of some are forgotten.
    floor_ms: i64,
    /// By their first byte, which is random.
    seen: [BTreeSet<MessageId>; SHARDS],
    /// By their time, none of the lists empty.
    by_time: BTreeMap<i64, Vec<MessageId>>,
    len: usize,
}

impl ReplayWindow {
    /// A window of `window_ms` (keyword `listener.replay_window`, 30 s by default).
    ///
    /// `since_ms` is when this node began to remember: earlier messages are refused, because they may have been
    /// taken before a restart.
    #[must_use]
    pub fn new(window_ms: i64, since_ms: i64) -> Self {
        Self::with_capacity(window_ms, since_ms, MOST_IDS)
    }

    fn with_capacity(window_ms: i64, since_ms: i64, most: usize) -> Self {
        let window_ms = window_ms.max(0);
        Self {
            window_ms,
            most,
            floor_ms: since_ms.saturating_sub(1),
            seen: std::array::from_fn(|_| BTreeSet::new()),
            by_time: BTreeMap::new(),
            len: 0,
        }
    }

    /// Changes the window; ids seen are kept.
    pub fn set_window(&mut self, window_ms: i64) {
        self.window_ms = window_ms.max(0);
    }

    /// Messages remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes a message once.
    ///
    /// # Errors
    ///
    /// [`Refusal::Stale`] or [`Refusal::Replayed`], neither counted.
    pub fn take(&mut self, now_ms: i64, stamp: &Stamp) -> Result<(), Refusal> {
        let differ_ms = now_ms.saturating_sub(stamp.t_ms);
        // Whole seconds, away from zero: "differ by 0 s" would explain nothing.
        let seconds = differ_ms.signum().saturating_mul(
            i64::try_from(differ_ms.unsigned_abs().div_ceil(1_000)).unwrap_or(i64::MAX),
        );
        let is_far = differ_ms.unsigned_abs() > self.window_ms.unsigned_abs();
        if is_far {
            return Err(Refusal::Stale { seconds });
        }
        let shard = usize::from(stamp.id.0[0]);
        if self.seen[shard].contains(&stamp.id) {
            return Err(Refusal::Replayed);
        }
        if stamp.t_ms <= self.floor_ms {
            return Err(Refusal::Stale { seconds });
        }
        // The clock refuses those by itself; the floor does when the clock is set back.
        for _ in 0..MOST_FORGOTTEN {
            if !self.forget_oldest(now_ms.saturating_sub(self.window_ms)) {
                break;
            }
        }
        self.seen[shard].insert(stamp.id);
        self.by_time.entry(stamp.t_ms).or_default().push(stamp.id);
        self.len += 1;
        if self.len > self.most {
            self.forget_oldest(i64::MAX);
        }
        Ok(())
    }

    /// Forgets the oldest message, if it was sent before `before_ms`.
    fn forget_oldest(&mut self, before_ms: i64) -> bool {
        let Some(mut oldest) = self.by_time.first_entry() else { return false };
        let t_ms = *oldest.key();
        if t_ms >= before_ms {
            return false;
        }
        if let Some(id) = oldest.get_mut().pop() {
            self.seen[usize::from(id.0[0])].remove(&id);
            self.len -= 1;
        }
        if oldest.get().is_empty() {
            oldest.remove();
        }
        self.floor_ms = self.floor_ms.max(t_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(t_ms: i64, id: u8) -> Stamp {
        Stamp { t_ms, id: MessageId([id; 16]), re: None }
    }

    const NOW: i64 = 1_795_362_841_123;

    #[test]
    fn a_message_passes_once() {
        let mut window = ReplayWindow::new(30_000, NOW - 60_000);
        assert_eq!(window.take(NOW, &stamp(NOW, 1)), Ok(()));
        assert_eq!(window.take(NOW, &stamp(NOW, 1)), Err(Refusal::Replayed));
        assert_eq!(window.take(NOW, &stamp(NOW - 5, 1)), Err(Refusal::Replayed));
        assert_eq!(window.take(NOW, &stamp(NOW, 2)), Ok(()));
    }

    #[test]
    fn a_clock_that_runs_off_by_more_than_the_window_is_refused_in_both_directions() {
        let mut window = ReplayWindow::new(30_000, NOW - 60_000);
        assert_eq!(window.take(NOW, &stamp(NOW - 30_000, 1)), Ok(()));
        assert_eq!(window.take(NOW, &stamp(NOW + 30_000, 2)), Ok(()));
        let error = window.take(NOW, &stamp(NOW - 30_001, 3)).unwrap_err();
        assert_eq!(error.to_string(), "stale message: clocks differ by 31 s");
        assert!(!error.is_counted());
        assert_eq!(window.take(NOW, &stamp(NOW + 40_000, 3)), Err(Refusal::Stale { seconds: -40 }));
        assert!(window.take(NOW, &stamp(i64::MIN, 3)).is_err());
        assert!(window.take(NOW, &stamp(i64::MAX, 3)).is_err());
    }

    #[test]
    fn an_id_evicted_early_cannot_be_replayed() {
        let mut window = ReplayWindow::with_capacity(30_000, NOW - 60_000, 3);
        for id in 1..=4 {
            assert_eq!(window.take(NOW, &stamp(NOW + i64::from(id), id)), Ok(()));
        }
        assert_eq!(window.len(), 3);
        // 1 is forgotten, so its time and all before are refused.
        assert_eq!(window.take(NOW, &stamp(NOW + 1, 1)), Err(Refusal::Stale { seconds: -1 }));
        assert!(window.take(NOW, &stamp(NOW, 9)).is_err());
        assert_eq!(window.take(NOW, &stamp(NOW + 4, 4)), Err(Refusal::Replayed));
        assert_eq!(window.take(NOW, &stamp(NOW + 5, 5)), Ok(()));
    }

    #[test]
    fn a_clock_set_back_does_not_reopen_the_past() {
        let mut window = ReplayWindow::new(30_000, NOW - 60_000);
        assert_eq!(window.take(NOW, &stamp(NOW, 1)), Ok(()));
        assert_eq!(window.take(NOW + 31_000, &stamp(NOW + 31_000, 2)), Ok(()));
        assert_eq!(window.len(), 1);
        assert!(window.take(NOW, &stamp(NOW, 1)).is_err());
    }

    #[test]
    fn what_a_burst_left_behind_is_forgotten_bit_by_bit() {
        let mut window = ReplayWindow::new(30_000, NOW - 60_000);
        for id in 0..=255 {
            assert_eq!(window.take(NOW, &stamp(NOW + i64::from(id % 3), id)), Ok(()));
        }
        let later = NOW + 31_000;
        let fresh = |id: u8| Stamp {
            t_ms: later,
            id: MessageId([id, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            re: None,
        };
        assert_eq!(window.take(later, &fresh(0)), Ok(()));
        assert_eq!(window.len(), 256 - MOST_FORGOTTEN + 1);
        for id in 1..10 {
            assert_eq!(window.take(later, &fresh(id)), Ok(()));
        }
        assert_eq!(window.len(), 10);
        assert_eq!(window.by_time.len(), 1);
        assert_eq!(window.take(later, &fresh(3)), Err(Refusal::Replayed));
    }

    #[test]
    fn what_was_sent_before_the_daemon_started_is_refused() {
        let mut window = ReplayWindow::new(30_000, NOW);
        assert!(window.take(NOW + 5, &stamp(NOW - 1, 1)).is_err());
        assert_eq!(window.take(NOW + 5, &stamp(NOW, 1)), Ok(()));
    }
}
