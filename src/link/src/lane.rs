//! The lane of strangers: how fast they are served, all together.
//!
//! However many there are, and however much they send, what is left of the processors is for members. Whoever proved
//! itself, and addresses that are known, do not use it. Addresses take turns, so that one with many connections does not
//! keep another one waiting; and the first bytes of a message come before the rest of those that dribble.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use monitor::Rate;
use tokio::sync::{Semaphore, oneshot};

/// Between two reads of strangers, once more than [`BURST`] came at once: at most 16 KiB each, 500 in a second.
const SPACING: Duration = Duration::from_millis(2);

/// Reads at once after a rest.
const BURST: u32 = 64;

/// Of the turns, one in so many is for the rest of messages while others wait to begin.
const REST: u32 = 4;

/// Those who wait, by address: each address has one turn after the other.
#[derive(Debug, Default)]
struct Ring {
    waiting: BTreeMap<IpAddr, VecDeque<oneshot::Sender<()>>>,
    order: VecDeque<IpAddr>,
}

impl Ring {
    fn push(&mut self, address: IpAddr, turn: oneshot::Sender<()>) {
        let waiting = self.waiting.entry(address).or_default();
        if waiting.is_empty() {
            self.order.push_back(address);
        }
        waiting.push_back(turn);
    }

    /// Gives a turn to the next one that still waits. False: nobody does.
    fn serve(&mut self) -> bool {
        while let Some(address) = self.order.pop_front() {
            let Some(waiting) = self.waiting.get_mut(&address) else { continue };
            let mut is_served = false;
            while let Some(turn) = waiting.pop_front() {
                is_served = turn.send(()).is_ok();
                if is_served {
                    break;
                }
            }
            if waiting.is_empty() {
                self.waiting.remove(&address);
            } else {
                self.order.push_back(address);
            }
            if is_served {
                return true;
            }
        }
        false
    }
}

#[derive(Debug)]
struct State {
    first: Ring,
    rest: Ring,
    served: u32,
    rate: Rate,
}

/// Where strangers wait for their turn.
#[derive(Debug)]
pub struct Lane {
    /// One of those who wait hands out the turns.
    hand: Semaphore,
    state: Mutex<State>,
    epoch: Instant,
}

impl Default for Lane {
    fn default() -> Self {
        let (first, rest) = Default::default();
        let state = State { first, rest, served: 0, rate: Rate::new(SPACING, BURST) };
        Self { hand: Semaphore::new(1), state: Mutex::new(state), epoch: Instant::now() }
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives away the next turn. False: it is not yet due.
    fn serve(&self) -> bool {
        let mut state = self.lock();
        let is_due = state.rate.take_now(self.epoch.elapsed());
        if is_due {
            state.serve();
        }
        is_due
    }

    /// Returns when a stranger at this address may be read: `is_first` for what begins a message. To be given up at its
    /// deadline: who went away takes no turn.
    pub async fn turn(&self, address: IpAddr, is_first: bool) {
        let (turn, mut mine) = oneshot::channel();
        {
            let mut state = self.lock();
            let ring = if is_first { &mut state.first } else { &mut state.rest };
            ring.push(owner(address), turn);
        }
        loop {
            tokio::select! {
                biased;
                _ = &mut mine => return,
                _hand = self.hand.acquire() => {
                    // Taken when it is given away: who goes while it waits costs nobody a turn.
                    while !self.serve() {
                        tokio::time::sleep(SPACING).await;
                    }
                }
            }
        }
    }
}

impl State {
    fn serve(&mut self) {
        self.served = self.served.wrapping_add(1);
        let mut rings = [&mut self.first, &mut self.rest];
        if self.served.is_multiple_of(REST) {
            rings.reverse();
        }
        _ = rings.into_iter().any(Ring::serve);
    }
}

/// Who has an address: of those of version 6, a host has 64 bits full.
pub fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[actix::test]
    async fn strangers_are_served_one_after_the_other_and_who_gives_up_takes_no_turn() {
        let lane = Lane::default();
        let begin = Instant::now();
        for _ in 0..BURST {
            lane.turn(address(1), true).await;
        }
        // Nobody waits for those that went away while they waited.
        for _ in 0..1_000 {
            let gone = tokio::time::timeout(Duration::ZERO, lane.turn(address(1), true));
            _ = gone.await;
        }
        const MORE: u32 = 20;
        for _ in 0..MORE {
            lane.turn(address(1), true).await;
        }
        let took = begin.elapsed();
        assert!(took >= SPACING * (MORE - 1) && took < SPACING * 1_000, "{took:?}");
    }

    #[actix::test]
    async fn addresses_take_turns_and_who_begins_comes_before_who_dribbles() {
        let lane = Lane::default();
        for _ in 0..BURST {
            lane.turn(address(1), true).await;
        }
        const CROWD: u32 = 21 * 64;
        let begin = Instant::now();
        let crowd = (0..CROWD).map(|number| {
            let from = address(1 + u8::try_from(number % 21).unwrap());
            lane.turn(from, number % 2 == 0)
        });
        let voter = async {
            // It comes last, and needs two turns.
            tokio::task::yield_now().await;
            lane.turn(address(200), true).await;
            lane.turn(address(200), false).await;
            begin.elapsed()
        };
        let (_, waited) = tokio::join!(join_all(crowd), voter);
        let all = begin.elapsed();
        assert!(all >= SPACING * (CROWD - 1), "{all:?}");
        // A round of all addresses for each turn, and the rest has one turn of four.
        assert!(waited < all / 4, "{waited:?} of {all:?}");
    }
}
