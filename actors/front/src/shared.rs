//! What the connections of the front share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use certs::Trust;
use mail::mail::Mail;
use mail::router::Router;
use mail::sessions::SessionBook;
use metrics::counts::Streaming;
use metrics::exposition::Form;
use metrics::series::Expiry;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use wire::Action;

use crate::guesses::Guesses;
use crate::provider::Providers;

/// Most bytes of bodies that are on their way, all together.
const MOST_BODIES: usize = 64 << 20;

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
    /// When the certificates in force end.
    pub(crate) expiries: ArcSwap<Vec<Expiry>>,
    /// The metrics that were asked for last.
    pub(crate) scrapes: Mutex<Scrapes>,
    /// Who guessed wrong.
    pub(crate) guesses: Guesses,
    /// Large answers being inflated: as many at once as there are processors.
    inflating: Semaphore,
    /// Bytes of bodies.
    bodies: Arc<Semaphore>,
    subscriptions: Arc<Semaphore>,
}

impl Shared {
    /// Nobody is connected.
    #[must_use]
    pub fn new(mail: Arc<Mail>, router: Router, sessions: Arc<SessionBook>) -> Self {
        let inflating = Semaphore::new(machine::process::processors());
        let bodies = Arc::new(Semaphore::new(MOST_BODIES));
        let subscriptions = Arc::new(Semaphore::new(MOST_SUBSCRIPTIONS));
        let (trust, guesses) = (ArcSwapOption::empty(), Guesses::new());
        let providers = Arc::default();
        let (expiries, scrapes) = (ArcSwap::default(), Mutex::default());
        Self {
            mail,
            router,
            sessions,
            trust,
            providers,
            expiries,
            scrapes,
            guesses,
            inflating,
            bodies,
            subscriptions,
        }
    }

    /// Room for so many bytes of a body, in addition to what is `held`. False: there is none.
    pub(crate) fn hold_body(&self, held: &mut Share, bytes: usize) -> bool {
        held.take(&self.bodies, bytes)
    }

    /// A place for a subscription.
    pub(crate) fn subscribe(&self, action: &Action) -> Option<Share> {
        let mut share = Share { _streaming: self.mail.counts.stream(action), ..Share::default() };
        share.take(&self.subscriptions, 1).then_some(share)
    }

    /// Waits for a turn at what takes memory and a processor.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.inflating.acquire().await.ok()
    }
}

/// A part of what is bounded, given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    permit: Option<OwnedSemaphorePermit>,
    /// Of a subscription, that it is counted.
    _streaming: Option<Streaming>,
}

impl Share {
    /// Takes so much more. False: there is no more.
    fn take(&mut self, of: &Arc<Semaphore>, count: usize) -> bool {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let Ok(more) = of.clone().try_acquire_many_owned(count) else { return false };
        match &mut self.permit {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        true
    }
}
