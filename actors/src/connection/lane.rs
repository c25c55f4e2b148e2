//! The lane of strangers: how fast they are served, all together.
//!
//! However many there are, and however much they send, what is left of the processors is for members. Whoever proved
//! itself, and addresses that are known, do not use it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use monitor::Rate;
use tokio::sync::Semaphore;

/// Between two reads of strangers, once more than [`BURST`] came at once: at most 16 KiB each, 500 in a second.
const SPACING: Duration = Duration::from_millis(2);

/// Reads at once after a rest.
const BURST: u32 = 64;

/// Where strangers wait for their turn, one after the other.
#[derive(Debug)]
pub struct Lane {
    /// Who waits does so in the order in which it came; one that gives up takes no turn.
    queue: Semaphore,
    rate: Mutex<Rate>,
    epoch: Instant,
}

impl Default for Lane {
    fn default() -> Self {
        let rate = Mutex::new(Rate::new(SPACING, BURST));
        Self { queue: Semaphore::new(1), rate, epoch: Instant::now() }
    }
}

impl Lane {
    /// Returns when a stranger may be read.
    pub(crate) async fn turn(&self) {
        // Never closed.
        let _first = self.queue.acquire().await;
        let wait = {
            let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            rate.take(self.epoch.elapsed())
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn strangers_are_served_one_after_the_other_and_who_gives_up_takes_no_turn() {
        let lane = Lane::default();
        let begin = Instant::now();
        for _ in 0..BURST {
            lane.turn().await;
        }
        // Nobody waits for those that went away while they waited.
        for _ in 0..1_000 {
            let gone = tokio::time::timeout(Duration::ZERO, lane.turn());
            _ = gone.await;
        }
        const MORE: u32 = 20;
        for _ in 0..MORE {
            lane.turn().await;
        }
        assert!(begin.elapsed() >= SPACING * (MORE - 1), "{:?}", begin.elapsed());
        let next = lane.rate.lock().unwrap().take(lane.epoch.elapsed());
        assert!(next <= 2 * SPACING, "{next:?}");
    }
}
