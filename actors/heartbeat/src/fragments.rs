//! What came in datagrams and is no message yet, over all sections.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use monitor::{Datagrams, Trust};
use wire::heartbeat::multicast::{Completed, Reassembly, Standing};

/// What came in datagrams and is no message yet, over all sections.
///
/// A lock, held for a datagram: all who hear them run on one thread.
#[derive(Debug)]
pub(crate) struct Fragments {
    state: Mutex<(Datagrams, Reassembly<(String, SocketAddr)>)>,
    epoch: Instant,
}

impl Default for Fragments {
    fn default() -> Self {
        Self { state: Mutex::default(), epoch: Instant::now() }
    }
}

impl Fragments {
    fn lock(&self) -> MutexGuard<'_, (Datagrams, Reassembly<(String, SocketAddr)>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frames that a datagram completes. What is beyond the budget of its source is lost, as datagrams are: what is left
    /// of the thread is for members.
    pub(crate) fn take(
        &self,
        section: &str,
        source: SocketAddr,
        is_named: bool,
        datagram: &[u8],
    ) -> Option<Completed> {
        let now = self.epoch.elapsed();
        let (datagrams, reassembly) = &mut *self.lock();
        let standing = match datagrams.take(now, source, is_named)? {
            Trust::Stranger => Standing::Stranger,
            Trust::Named => Standing::Named,
            Trust::Proven => Standing::Proven,
        };
        reassembly.take(now, &(section.to_owned(), source), standing, datagram)
    }

    pub(crate) fn on_beat(&self, source: SocketAddr) {
        let now = self.epoch.elapsed();
        self.lock().0.on_beat(now, source);
    }

    pub(crate) fn on_opened(&self, section: &str, source: SocketAddr, completed: &Completed) {
        self.lock().1.on_opened(&(section.to_owned(), source), completed);
    }
}
