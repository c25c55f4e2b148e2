//! Now, by two clocks; and what is said at a time by a clock that may be set.
//!
//! The wall clock of a node may be set at any moment, ahead or back, by a second or by years. So what lasts is measured by
//! the other one, and the wall clock only says when something was, to people and to peers.

use std::time::Duration;

use model::Timestamp;

/// What a word is newer by than the one it replaces, in seconds: peers keep six digits.
const NEWER_SECS: f64 = 0.001;

/// Now.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moment {
    /// By the wall clock.
    pub wall: Timestamp,
    /// Time since any fixed moment, the sleep of the machine included: no change of the wall clock touches it.
    pub steady: Duration,
}

impl Moment {
    /// Seconds since an earlier moment.
    #[must_use]
    pub fn since(self, earlier: Duration) -> f64 {
        self.steady.saturating_sub(earlier).as_secs_f64()
    }

    /// When something was that is so long ago by the wall clock. Times ahead of it say that it was set: nothing is known
    /// then, and the moment is now.
    #[must_use]
    pub fn steady_at(self, wall: Timestamp) -> Duration {
        let ago = Duration::try_from_secs_f64(self.wall.since(wall)).unwrap_or_default();
        self.steady.saturating_sub(ago)
    }

    /// The time of a word of the local node that is to go before these earlier ones: now, or just after the newest of
    /// them. Who goes by times follows the last word then, whatever the clocks of those who spoke.
    #[must_use]
    pub fn newer_than(self, words: impl IntoIterator<Item = Option<Timestamp>>) -> Timestamp {
        let times = words.into_iter().flatten().map(|word| word.0).filter(|time| time.is_finite());
        let after = times.map(|time| time + NEWER_SECS).fold(self.wall.0, f64::max);
        Timestamp(after)
    }
}

/// A clock that is never set.
impl From<Timestamp> for Moment {
    fn from(wall: Timestamp) -> Self {
        Self { wall, steady: Duration::try_from_secs_f64(wall.0).unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_newer_than_those_it_replaces_whatever_the_clock_says() {
        let now = Moment::from(Timestamp(1_000.0));
        assert_eq!(now.newer_than([]), Timestamp(1_000.0));
        assert_eq!(now.newer_than([None, Some(Timestamp(900.0))]), Timestamp(1_000.0));
        let ahead = now.newer_than([Some(Timestamp(5_000.0)), Some(Timestamp(900.0))]);
        assert!(ahead > Timestamp(5_000.0) && ahead < Timestamp(5_000.1));
        assert_eq!(now.newer_than([Some(Timestamp(f64::INFINITY))]), Timestamp(1_000.0));
    }

    #[test]
    fn what_was_is_measured_by_the_clock_that_is_not_set() {
        let now = Moment { wall: Timestamp(1_000.0), steady: Duration::from_secs(50) };
        assert_eq!(now.steady_at(Timestamp(990.0)), Duration::from_secs(40));
        assert_eq!(now.steady_at(Timestamp(9_000.0)), Duration::from_secs(50));
        assert_eq!(now.steady_at(Timestamp(0.0)), Duration::ZERO);
        let later = Moment { wall: Timestamp(0.0), steady: Duration::from_secs(60) };
        assert!((later.since(now.steady) - 10.0).abs() < 1e-9);
    }
}
