//! Handshakes, and how many at once: each costs a processor, and whoever begins one has proved nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use certs::Trust;
use rustls::ServerConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All together.
const MOST: usize = 256;

/// From one address.
const MOST_PER_ADDRESS: usize = 8;

/// What a connection is accepted with.
#[derive(Debug, Clone)]
pub(crate) struct Accepting {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) trust: Arc<Trust>,
}

/// Who waits for a handshake.
#[derive(Debug)]
pub(crate) struct Handshakes {
    all: Arc<Semaphore>,
    addresses: BTreeMap<IpAddr, Weak<Semaphore>>,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MOST)), addresses: BTreeMap::new() }
    }
}

/// A place in the row.
#[derive(Debug)]
pub(crate) struct Turn {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

/// A handshake that may go on.
#[derive(Debug)]
pub(crate) struct Allowed(
    #[expect(dead_code, reason = "held until it is dropped")] [OwnedSemaphorePermit; 2],
);

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
        Turn { all: self.all.clone(), own }
    }
}

impl Turn {
    /// Waits until it is its turn.
    pub(crate) async fn begin(self) -> Option<Allowed> {
        let own = self.own.acquire_owned().await.ok()?;
        let all = self.all.acquire_owned().await.ok()?;
        Some(Allowed([own, all]))
    }
}
