//! The OpenID provider: its keys, fetched in the background. The only connection that the front makes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conf::ListenerSettings;
use link::fetch::{HttpError, Uri, get_short};
use web::token::{KeySet, provider};

/// How long keys are used before they are fetched again.
const KEPT: Duration = Duration::from_secs(600);

/// Pause between two tries, and between two looks for a key that is not known.
const AGAIN: Duration = Duration::from_secs(60);

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// Longest document.
const MOST: u64 = 256 << 10;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the provider says.
#[derive(Debug, PartialEq)]
pub(crate) struct Provider {
    pub(crate) issuer: String,
    pub(crate) keys: KeySet,
}

#[derive(Debug, Default)]
struct State {
    /// What was fetched, from where, when.
    found: Option<(String, Arc<Provider>, Instant)>,
    tried: Option<Instant>,
    is_failing: bool,
    is_fetching: bool,
}

/// The provider of this node.
#[derive(Debug, Default)]
pub(crate) struct Providers(Mutex<State>);

impl Providers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the provider of these settings says; none before it was heard.
    pub(crate) fn known(&self, settings: &ListenerSettings) -> Option<Arc<Provider>> {
        let state = self.lock();
        let (from, provider, _) = state.found.as_ref()?;
        (Some(from) == settings.openid_well_known.as_ref()).then(|| provider.clone())
    }

    /// Whether it is time to fetch; `is_missing`: a key is asked for that is not among them. Marked as begun.
    fn is_due(&self, url: &str, is_missing: bool) -> bool {
        let mut state = self.lock();
        let age =
            state.found.as_ref().filter(|(from, ..)| from == url).map(|(.., at)| at.elapsed());
        let pause = if state.is_failing { RETRY } else { AGAIN };
        let may_try = state.tried.is_none_or(|tried| tried.elapsed() >= pause);
        let is_due = match age {
            None => state.tried.is_none_or(|tried| tried.elapsed() >= RETRY),
            Some(age) => may_try && (is_missing || age >= KEPT),
        };
        let is_due = is_due && !state.is_fetching;
        if is_due {
            (state.is_fetching, state.tried) = (true, Some(Instant::now()));
        }
        is_due
    }

    /// Fetches what is due.
    pub(crate) async fn refresh(self: &Arc<Self>, settings: &ListenerSettings, is_missing: bool) {
        let Some(url) = settings.openid_well_known.clone() else { return };
        if !self.is_due(&url, is_missing) {
            return;
        }
        let (this, is_secure) = (self.clone(), settings.secure_fetch);
        // Begun, it ends: nobody has to wait for it.
        let fetched = machine::blocking::run(move || {
            let fetched = fetch(&url, is_secure);
            let mut state = this.lock();
            state.is_fetching = false;
            match fetched {
                Ok(provider) => {
                    state.is_failing = false;
                    state.found = Some((url, Arc::new(provider), Instant::now()));
                }
                Err(error) => {
                    if !std::mem::replace(&mut state.is_failing, true) {
                        log::warn!("the OpenID provider cannot be used: {error}");
                    }
                }
            }
        });
        _ = fetched.await;
    }
}

/// What a provider says of itself, and its keys. Over http only this machine is asked.
fn fetch(url: &str, is_secure: bool) -> Result<Provider, String> {
    let get = |url: &str| -> Result<Vec<u8>, HttpError> {
        let uri = Uri::parse(url)?;
        let is_guarded = is_secure || !url.starts_with("https://");
        let uri = if is_guarded { uri.secret() } else { uri.unguarded() };
        get_short(&uri, MOST, PATIENCE)
    };
    let text = get(url).map_err(|error| error.to_string())?;
    let (issuer, keys) = provider(&text).ok_or_else(|| format!("{url}: no issuer and jwks_uri"))?;
    let text = get(&keys).map_err(|error| error.to_string())?;
    let found = KeySet::parse(&text);
    if found.is_empty() {
        return Err(format!("{keys}: no key that signs with RS256, ES256 or EdDSA"));
    }
    Ok(Provider { issuer, keys: found })
}
