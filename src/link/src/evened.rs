//! The time at which a refusal shows: the same whatever its reason.
//!
//! Nothing authenticates the classic dialect. How long it takes to find that a message is none tells how far it could be
//! read, and whoever has recorded messages could ask about their blocks, one by one.

use std::time::{Duration, Instant};

/// Refusals show at multiples of this, from the arrival of the message on: more than it takes to read the longest.
const MARK: Duration = Duration::from_secs(1);

/// What is left until the next mark.
fn rest(elapsed: Duration) -> Duration {
    let since = elapsed.as_nanos() % MARK.as_nanos();
    MARK - Duration::from_nanos(u64::try_from(since).unwrap_or(0))
}

/// Waits until a message that arrived then may be seen to be refused.
pub async fn refuse(arrived: Instant) {
    tokio::time::sleep(rest(arrived.elapsed())).await;
}

/// The same for who waits on a thread of its own.
pub fn refuse_here(arrived: Instant) {
    std::thread::sleep(rest(arrived.elapsed()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_a_little_more_or_less_shows_at_the_same_time() {
        let shown = |micros| {
            let elapsed = Duration::from_micros(micros);
            (elapsed + rest(elapsed)).as_millis()
        };
        assert_eq!([0, 50, 67, 13_000, 999_999].map(shown), [1_000; 5]);
        assert_eq!([1_000_000, 1_300_000].map(shown), [2_000; 2]);
    }
}
