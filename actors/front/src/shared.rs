//! What the connections of the front share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use certs::Trust;
use mail::mail::Mail;
use mail::router::Router;
use mail::sessions::SessionBook;
use metrics::counts::Streaming;
use metrics::exposition::Form;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use wire::Action;

use crate::guesses::Guesses;
use crate::provider::Providers;
use crate::rooms::Rooms;

/// Most subscriptions, all together.
const MOST_SUBSCRIPTIONS: usize = 1_024;

/// Whom a text of metrics is for: its form, whose grants, and whether with control groups.
pub(crate) type Reader = (Form, Option<String>, bool);

/// Texts of metrics, and when they were made.
pub(crate) type Scrapes = BTreeMap<Reader, (Instant, Bytes)>;

/// What connections share.
#[derive(Debug)]
pub struct Shared {
    /// The other actors.
    pub mail: Arc<Mail>,
    /// Has requests carried out.
    pub router: Router,
    /// The sessions of clients, which the listener counts.
    pub sessions: Arc<SessionBook>,
    /// Whom the TLS listener trusts; none before there is a certificate.
    pub(crate) trust: ArcSwapOption<Trust>,
    /// Who signs tokens.
    pub(crate) providers: Arc<Providers>,
    /// The metrics that were asked for last.
    pub(crate) scrapes: Mutex<Scrapes>,
    /// Who guessed wrong.
    pub(crate) guesses: Guesses,
    /// Large answers being inflated: as many at once as there are processors.
    inflating: Semaphore,
    /// Bytes of bodies.
    pub(crate) bodies: Rooms,
    subscriptions: Arc<Semaphore>,
}

impl Shared {
    /// Nobody is connected.
    #[must_use]
    pub fn new(mail: Arc<Mail>, router: Router, sessions: Arc<SessionBook>) -> Self {
        let inflating = Semaphore::new(machine::process::processors());
        let bodies = Rooms::default();
        let subscriptions = Arc::new(Semaphore::new(MOST_SUBSCRIPTIONS));
        let (trust, guesses) = (ArcSwapOption::empty(), Guesses::new());
        let providers = Arc::default();
        let scrapes = Mutex::default();
        Self {
            mail,
            router,
            sessions,
            trust,
            providers,
            scrapes,
            guesses,
            inflating,
            bodies,
            subscriptions,
        }
    }

    /// Counts why a connection is closed, if that is a refusal.
    pub(crate) fn count_refused(&self, error: &std::io::Error) {
        if let Some(reason) = crate::refusal::reason(error) {
            self.mail.counts.tallies.on_refused(reason);
        }
    }

    /// A place for a subscription.
    pub(crate) fn subscribe(&self, action: &Action) -> Option<Share> {
        let mut share = Share { _streaming: self.mail.counts.stream(action), ..Share::default() };
        share.take(&self.subscriptions).then_some(share)
    }

    /// Waits for a turn at what takes memory and a processor.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.inflating.acquire().await.ok()
    }
}

/// A part of what is bounded, given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    _permit: Option<OwnedSemaphorePermit>,
    /// Of a subscription, that it is counted.
    _streaming: Option<Streaming>,
}

impl Share {
    /// Takes a place. False: there is none.
    fn take(&mut self, of: &Arc<Semaphore>) -> bool {
        self._permit = of.clone().try_acquire_owned().ok();
        self._permit.is_some()
    }
}
