//! Handshakes, and how many at once: each costs a processor, and whoever begins one has proved nothing.
//!
//! When all turns are taken, whoever waits takes that of the oldest handshake, if that is slow: who begins many and ends none
//! keeps nobody out, from however many addresses.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use certs::Trust;
use rustls::ServerConfig;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// All together.
const MOST: usize = 256;

/// From one address.
const MOST_PER_ADDRESS: usize = 8;

/// A handshake that goes on for so long gives way to others: one takes a journey of bytes there and back.
const SLOW: Duration = Duration::from_millis(500);

/// What a connection is accepted with.
#[derive(Debug, Clone)]
pub(crate) struct Accepting {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) trust: Arc<Trust>,
}

/// The handshakes that go on, the oldest first.
#[derive(Debug)]
struct Row {
    all: Arc<Semaphore>,
    begun: Mutex<VecDeque<(Instant, Arc<Notify>)>>,
}

impl Row {
    fn begun(&self) -> MutexGuard<'_, VecDeque<(Instant, Arc<Notify>)>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the oldest one to give way, if it is slow.
    fn make_room(&self) {
        let mut begun = self.begun();
        if begun.front().is_some_and(|(since, _)| since.elapsed() >= SLOW)
            && let Some((_, give_way)) = begun.pop_front()
        {
            give_way.notify_one();
        }
    }
}

/// Who waits for a handshake.
#[derive(Debug)]
pub(crate) struct Handshakes {
    row: Arc<Row>,
    addresses: BTreeMap<IpAddr, Weak<Semaphore>>,
}

impl Default for Handshakes {
    fn default() -> Self {
        let row = Row { all: Arc::new(Semaphore::new(MOST)), begun: Mutex::default() };
        Self { row: Arc::new(row), addresses: BTreeMap::new() }
    }
}

/// A place in the row.
#[derive(Debug)]
pub(crate) struct Turn {
    row: Arc<Row>,
    own: Arc<Semaphore>,
}

/// A handshake that may go on.
#[derive(Debug)]
pub(crate) struct Allowed {
    row: Arc<Row>,
    give_way: Arc<Notify>,
    #[expect(dead_code, reason = "held until it is dropped")]
    permits: [OwnedSemaphorePermit; 2],
}

impl Handshakes {
    /// A place for a connection from this address.
    pub(crate) fn turn(&mut self, address: IpAddr) -> Turn {
        self.addresses.retain(|_, own| own.strong_count() > 0);
        let own = self.addresses.get(&address).and_then(Weak::upgrade);
        let own = own.unwrap_or_else(|| {
            let own = Arc::new(Semaphore::new(MOST_PER_ADDRESS));
            self.addresses.insert(address, Arc::downgrade(&own));
            own
        });
        Turn { row: self.row.clone(), own }
    }
}

impl Turn {
    /// Waits until it is its turn.
    pub(crate) async fn begin(self) -> Option<Allowed> {
        let own = self.own.acquire_owned().await.ok()?;
        let mut waiting = std::pin::pin!(self.row.all.clone().acquire_owned());
        let all = loop {
            match tokio::time::timeout(SLOW, &mut waiting).await {
                Ok(permit) => break permit.ok()?,
                Err(_) => self.row.make_room(),
            }
        };
        let give_way = Arc::new(Notify::new());
        self.row.begun().push_back((Instant::now(), give_way.clone()));
        Some(Allowed { row: self.row, give_way, permits: [own, all] })
    }
}

impl Allowed {
    /// Returns when it is slow, and somebody else waits.
    pub(crate) async fn gives_way(&self) {
        self.give_way.notified().await;
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        self.row.begun().retain(|(_, own)| !Arc::ptr_eq(own, &self.give_way));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn who_begins_many_handshakes_keeps_nobody_out() {
        let mut handshakes = Handshakes::default();
        let addresses = u8::try_from(MOST / MOST_PER_ADDRESS).expect("so many");
        let mut held = vec![];
        for address in 0..addresses {
            for _ in 0..MOST_PER_ADDRESS {
                let turn = handshakes.turn(IpAddr::from([10, 0, 0, address]));
                held.push(turn.begin().await.expect("there is room"));
            }
        }
        // As a connection does: it ends when it is told.
        let oldest = held.remove(0);
        actix_rt::spawn(async move {
            oldest.gives_way().await;
            drop(oldest);
        });
        let late = handshakes.turn(IpAddr::from([10, 0, 1, 1]));
        let begun = tokio::time::timeout(SLOW * 4, late.begin()).await;
        assert!(begun.is_ok_and(|allowed| allowed.is_some()), "it was kept out");
        // Who is one of nine of one address waits for these.
        let ninth = handshakes.turn(IpAddr::from([10, 0, 0, 5])).begin();
        assert!(tokio::time::timeout(SLOW * 3, ninth).await.is_err());
    }
}
