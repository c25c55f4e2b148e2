//! When a child that fell comes back.

use std::time::Duration;

/// When a child that fell comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Delay before the first restart, doubled for each next one.
    pub first: Duration,
    /// Longest delay. The root never gives up: it raises an alert and goes on trying.
    pub longest: Duration,
    /// Health for this long forgets the restarts before it.
    pub healthy: Duration,
}

impl Default for Backoff {
    /// 100 ms, 30 s, one minute.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(30),
            healthy: Duration::from_secs(60),
        }
    }
}

/// Restarts of one child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restarts {
    in_a_row: u32,
    total: u64,
}

impl Restarts {
    /// Counts a fall after `lived`, and says how long to wait before the next start.
    pub fn on_fall(&mut self, backoff: &Backoff, lived: Duration) -> Duration {
        if lived >= backoff.healthy {
            self.in_a_row = 0;
        }
        let doubled = 1_u32.checked_shl(self.in_a_row).unwrap_or(u32::MAX);
        let delay = backoff.first.saturating_mul(doubled).min(backoff.longest);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.total = self.total.saturating_add(1);
        delay
    }

    /// Falls since the last long health.
    #[must_use]
    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Falls since the daemon started.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_the_longest_and_never_gives_up() {
        let mut restarts = Restarts::default();
        let backoff = Backoff::default();
        let delays: Vec<u128> = (0..12)
            .map(|_| restarts.on_fall(&backoff, Duration::from_secs(1)).as_millis())
            .collect();
        assert_eq!(
            delays,
            [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000]
        );
        for _ in 0..100 {
            assert_eq!(restarts.on_fall(&backoff, Duration::ZERO), backoff.longest);
        }
        assert_eq!(restarts.total(), 112);
    }

    #[test]
    fn a_minute_of_health_forgets_and_less_does_not() {
        let backoff = Backoff::default();
        let mut restarts = Restarts::default();
        restarts.on_fall(&backoff, Duration::ZERO);
        let almost = backoff.healthy - Duration::from_nanos(1);
        assert_eq!(restarts.on_fall(&backoff, almost), Duration::from_millis(200));
        assert_eq!(restarts.on_fall(&backoff, backoff.healthy), Duration::from_millis(100));
        assert_eq!(restarts.in_a_row(), 1);
    }
}
