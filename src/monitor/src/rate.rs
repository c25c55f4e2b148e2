//! How often something is done that strangers cause.

use std::time::Duration;

/// So many in a second, one after the other; a few at once after a rest.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    spacing: Duration,
    burst: u32,
    /// When the next one is due, later by the time that the burst takes: all of it is there from the first moment on.
    next: Duration,
}

impl Rate {
    /// One after each `spacing`, and `burst` of them at once after a rest.
    #[must_use]
    pub const fn new(spacing: Duration, burst: u32) -> Self {
        Self { spacing, burst, next: Duration::ZERO }
    }

    /// Takes the next turn: how long it is waited for.
    pub fn take(&mut self, now: Duration) -> Duration {
        let turn = self.next.max(now);
        self.next = turn + self.spacing;
        turn.saturating_sub(now + self.spacing * self.burst)
    }

    /// Whether it rested long enough to be as good as new.
    #[must_use]
    pub fn is_rested(&self, now: Duration) -> bool {
        self.next <= now
    }

    /// Takes the next turn if it is now.
    pub fn take_now(&mut self, now: Duration) -> bool {
        let mut taken = *self;
        let is_now = taken.take(now).is_zero();
        if is_now {
            *self = taken;
        }
        is_now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_millis(10);

    #[test]
    fn a_few_at_once_then_one_after_the_other_and_a_rest_gives_them_back() {
        let mut rate = Rate::new(SPACING, 3);
        let start = Duration::from_secs(100);
        let waits: Vec<Duration> = (0..6).map(|_| rate.take(start)).collect();
        let expected = [0, 0, 0, 0, 10, 20].map(Duration::from_millis);
        assert_eq!(waits, expected);
        assert_eq!(rate.take(start + 3 * SPACING), Duration::ZERO);
        assert_eq!(rate.take(start + 3 * SPACING), SPACING);
        let later = start + 100 * SPACING;
        assert_eq!((0..9).filter(|_| rate.take(later).is_zero()).count(), 4);
    }

    #[test]
    fn nobody_has_to_rest_before_the_first() {
        for start in [Duration::ZERO, SPACING / 2] {
            let mut rate = Rate::new(SPACING, 100);
            assert!(rate.is_rested(start));
            assert_eq!((0..200).filter(|_| rate.take_now(start)).count(), 101);
            assert!(!rate.is_rested(start + 100 * SPACING));
            assert!(rate.is_rested(start + 101 * SPACING));
        }
    }

    #[test]
    fn what_does_not_wait_takes_no_turn_of_others() {
        let mut rate = Rate::new(SPACING, 1);
        let start = Duration::from_secs(1);
        assert_eq!((0..50).filter(|_| rate.take_now(start)).count(), 2);
        assert!(!rate.take_now(start + SPACING / 2));
        assert!(rate.take_now(start + SPACING));
    }
}
