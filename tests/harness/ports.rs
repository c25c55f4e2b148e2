//! Ports for nodes.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Where ports are taken from: below those that the system gives to outgoing connections (from 32,768 on), any of which
/// could take a free port before a daemon does, or while it restarts.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// A TCP port of the loopback that no other test uses as long as this lives: its UDP twin is held meanwhile.
#[derive(Debug)]
pub struct Port(UdpSocket);

impl Port {
    /// Takes one that is free.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn reserve() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Test programs that run at the same time start to look at different places.
        let own = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
        let own = u16::try_from(own).expect("less than the count");
        (0..COUNT)
            .find_map(|_| {
                let next = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(own) % COUNT;
                let held = UdpSocket::bind(("127.0.0.1", FIRST + next)).ok()?;
                TcpListener::bind(("127.0.0.1", FIRST + next)).ok()?;
                Some(Self(held))
            })
            .expect("a free port")
    }

    /// Its number.
    ///
    /// # Panics
    ///
    /// Never: it is bound.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.0.local_addr().expect("a bound socket").port()
    }
}
