//! Revocations that are behind an address (`listener.crl`): fetched once a day, in the background.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use link::fetch::{HttpError, Uri, get_short};

/// How long a list is used before it is fetched again.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A list, and how often it was fetched: what is made of it is made anew when that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) list: Result<Arc<Vec<u8>>, String>,
    pub(crate) number: u64,
}

#[derive(Debug, Default)]
struct State {
    from: String,
    fetched: Option<Fetched>,
    due: Option<Instant>,
    is_fetching: bool,
    number: u64,
}

/// The list of this node.
#[derive(Debug, Default, Clone)]
pub(crate) struct Revocations(Arc<Mutex<State>>);

/// Whether this is an address, and no file.
pub(crate) fn is_address(crl: &str) -> bool {
    crl.starts_with("http://") || crl.starts_with("https://")
}

impl Revocations {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is behind an address, as far as it is known. Begins to fetch what is due, and tells `done` when it is there.
    pub(crate) fn of(
        &self,
        address: &str,
        is_secure: bool,
        most: u64,
        done: impl FnOnce() + Send + 'static,
    ) -> Option<Fetched> {
        let mut state = self.lock();
        if state.from != address {
            let number = state.number;
            *state = State { from: address.to_owned(), number, ..State::default() };
        }
        let is_due = state.due.is_none_or(|due| due <= Instant::now());
        if is_due && !std::mem::replace(&mut state.is_fetching, true) {
            let (this, address) = (self.clone(), address.to_owned());
            tokio::task::spawn_blocking(move || {
                let list = fetch(&address, is_secure, most);
                this.take(&address, list);
                done();
            });
        }
        state.fetched.clone()
    }

    /// Keeps what was fetched. What fails leaves the last good list: who was revoked stays so.
    fn take(&self, address: &str, list: Result<Vec<u8>, String>) {
        let mut state = self.lock();
        if state.from != address {
            return;
        }
        state.is_fetching = false;
        state.due = Some(Instant::now() + if list.is_ok() { KEPT } else { RETRY });
        if let Err(error) = &list {
            log::warn!("listener.crl cannot be fetched: {error}");
        }
        let has_good = state.fetched.as_ref().is_some_and(|fetched| fetched.list.is_ok());
        if list.is_err() && has_good {
            return;
        }
        let list = list.map(Arc::new);
        if state.fetched.as_ref().is_none_or(|fetched| fetched.list != list) {
            state.number += 1;
            state.fetched = Some(Fetched { list, number: state.number });
        }
    }
}

/// A list is signed, so that nobody on the way can write one; but somebody could keep an old one there.
fn fetch(address: &str, is_secure: bool, most: u64) -> Result<Vec<u8>, String> {
    let get = || -> Result<Vec<u8>, HttpError> {
        let uri = Uri::parse(address)?;
        let uri = if is_secure { uri } else { uri.unguarded() };
        get_short(&uri, most, PATIENCE)
    };
    get().map_err(|error| error.to_string())
}
