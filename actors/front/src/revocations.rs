//! Revocations that are behind an address (`listener.crl`): fetched once a day, in the background. The last good list is kept in
//! a file: who was revoked stays so after a restart, whether the address answers or not.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use link::fetch::{HttpError, Uri, get_short};
use machine::paths::Paths;
use machine::{durable, regular};

/// How long a list is used before it is fetched again.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest list, behind an address or in a file.
pub(crate) const MOST: u64 = 16 << 20;

/// Longest address, in the file that has its list.
const LONGEST_ADDRESS: u64 = 8 << 10;

/// Mode of the file: what it says is public.
const MODE: u32 = 0o644;

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

    /// What is behind an address, as far as it is known. Begins to fetch what is due, and tells `news` when there is some.
    pub(crate) fn of(
        &self,
        address: &str,
        is_secure: bool,
        paths: &Arc<Paths>,
        news: impl Fn() + Send + 'static,
    ) -> Option<Fetched> {
        let mut state = self.lock();
        if state.from != address {
            let number = state.number;
            *state = State { from: address.to_owned(), number, ..State::default() };
        }
        let is_due = state.due.is_none_or(|due| due <= Instant::now());
        if is_due && !std::mem::replace(&mut state.is_fetching, true) {
            let (this, address, paths) = (self.clone(), address.to_owned(), paths.clone());
            let is_first = state.fetched.is_none();
            machine::blocking::run(move || {
                let file = paths.node_revocations();
                if let Some(list) = is_first.then(|| kept(&file, &address)).flatten() {
                    this.put(&address, Ok(list));
                    news();
                }
                let list = fetch(&address, is_secure);
                if let Ok(list) = &list {
                    keep(&file, &address, list);
                }
                this.take(&address, list);
                news();
            });
        }
        state.fetched.clone()
    }

    /// Takes what was fetched.
    fn take(&self, address: &str, list: Result<Vec<u8>, String>) {
        if let Err(error) = &list {
            log::warn!("listener.crl cannot be fetched: {error}");
        }
        let due = Instant::now() + if list.is_ok() { KEPT } else { RETRY };
        self.put(address, list);
        let mut state = self.lock();
        if state.from == address {
            state.is_fetching = false;
            state.due = Some(due);
        }
    }

    /// Puts a list in force. What fails leaves the last good one.
    fn put(&self, address: &str, list: Result<Vec<u8>, String>) {
        let mut state = self.lock();
        let has_good = state.fetched.as_ref().is_some_and(|fetched| fetched.list.is_ok());
        if state.from != address || list.is_err() && has_good {
            return;
        }
        let list = list.map(Arc::new);
        if state.fetched.as_ref().is_none_or(|fetched| fetched.list != list) {
            state.number += 1;
            state.fetched = Some(Fetched { list, number: state.number });
        }
    }
}

/// The list that was fetched last from this address, by this daemon or the one before.
fn kept(file: &Path, address: &str) -> Option<Vec<u8>> {
    let bytes = regular::read(file, MOST + LONGEST_ADDRESS).ok()?;
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    (bytes[..end] == *address.as_bytes()).then(|| bytes[end + 1..].to_vec())
}

fn keep(file: &Path, address: &str, list: &[u8]) {
    let text = [address.as_bytes(), b"\n", list].concat();
    if let Err(error) = durable::write(file, &text, MODE) {
        log::warn!(error:% = error; "the list of listener.crl could not be kept");
    }
}

/// A list is signed, so that nobody on the way can write one; but somebody could keep an old one there.
fn fetch(address: &str, is_secure: bool) -> Result<Vec<u8>, String> {
    let get = || -> Result<Vec<u8>, HttpError> {
        let uri = Uri::parse(address)?;
        let uri = if is_secure { uri } else { uri.unguarded() };
        get_short(&uri, MOST, PATIENCE)
    };
    let list = get().map_err(|error| error.to_string())?;
    // A page that says something else, an error for one, replaces no good list.
    certs::RevocationList::parse(&list).map_err(|error| error.to_string())?;
    Ok(list)
}
