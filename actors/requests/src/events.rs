//! The stream of changes and events: documents of kind `patch`, `event` and `full`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use conf::Objects as _;
use model::ObjectPath;
use tokio::sync::watch;
use wire::Events;

use mail::cluster_data::{ObjectFilter, Subscribe, WatchGeneration};
use mail::requests::{Outcome, Refused, Transport};
use mail::stream::Since;

use crate::context::{Context, selecting};
use crate::selection::Scope;

/// Shortest pause between two expansions of the selector of a subscription.
const PAUSE: Duration = Duration::from_millis(200);

/// What looking at objects that came since the last expansion may cost, in steps of about a nanosecond.
const STEPS: u64 = 20_000_000;

/// Of the time, one part in so many may go into expanding the selector of a subscription.
const SHARE: u32 = 10;

/// What a selector meant, and of which state.
struct Selected {
    /// Configuration and number of objects it was expanded over; the generation too when it looks at live data.
    state: (usize, usize, u64),
    /// The objects it was expanded over, and those selected.
    all: BTreeSet<ObjectPath>,
    paths: BTreeSet<ObjectPath>,
}

/// A subscription with a selector. Its objects are found outside of the cluster data, which only looks them up.
struct Subscription {
    context: Context,
    selector: String,
    is_live: bool,
    selected: ArcSwapOption<Selected>,
    /// What looking at single objects may cost until the next expansion, in steps: it is done by the cluster data.
    steps: AtomicU64,
}

impl Subscription {
    fn new(context: &Context, selector: String) -> Self {
        let context = context.lasting();
        let is_live = selector.contains("$.")
            || selector.split([',', '+']).any(|part| part.trim_start_matches('!').starts_with('.'));
        let (selected, steps) = (ArcSwapOption::empty(), AtomicU64::new(STEPS));
        Self { context, selector, is_live, selected, steps }
    }

    fn state(&self) -> (usize, usize, u64) {
        let snapshot = self.context.snapshot();
        let config = Arc::as_ptr(&self.context.config()) as usize;
        let generation = if self.is_live { snapshot.generation() } else { 0 };
        (config, snapshot.services().len(), generation)
    }

    /// Finds the objects, if anything changed since. Blocks.
    fn expand(&self) -> Result<(), Refused> {
        let state = self.state();
        if self.selected.load().as_ref().is_some_and(|selected| selected.state == state) {
            return Ok(());
        }
        let scope = Scope::new(&self.context);
        let paths = scope.select(Some(&self.selector), None, None)?;
        let all = scope.paths().into_iter().collect();
        let selected = Selected { state, all, paths: paths.into_iter().collect() };
        self.selected.store(Some(Arc::new(selected)));
        self.steps.store(STEPS, Ordering::Relaxed);
        Ok(())
    }

    /// Whether an object is selected. Of one that came since, only that one is looked at.
    fn selects(&self, path: &ObjectPath) -> bool {
        match &*self.selected.load() {
            Some(selected) if selected.all.contains(path) => selected.paths.contains(path),
            _ => {
                let mut steps = self.steps.load(Ordering::Relaxed);
                let is_selected =
                    Scope::new(&self.context).selects(&mut steps, &self.selector, path);
                self.steps.store(steps, Ordering::Relaxed);
                // Too much at once: the next expansion tells.
                is_selected.unwrap_or(false)
            }
        }
    }
}

/// Follows the objects that come and go while the subscription lasts.
async fn follow(subscription: Weak<Subscription>, mut generation: watch::Receiver<u64>) {
    while generation.changed().await.is_ok() {
        let Some(held) = subscription.upgrade() else { return };
        let begun = Instant::now();
        let expanded = selecting(move || held.expand()).await;
        if let Ok(Err(refused)) = expanded {
            log::warn!(reason = refused.error; "a subscription stays with the objects that it had");
        }
        tokio::time::sleep(PAUSE.max(begun.elapsed() * SHARE)).await;
    }
}

/// GET `events`.
pub(super) async fn events(context: &Context, options: &Events) -> Result<Outcome, Refused> {
    let selector = options.selector.clone().filter(|selector| selector != "**");
    let mut filter: Option<ObjectFilter> = None;
    if let Some(selector) = selector {
        let subscription = Arc::new(Subscription::new(context, selector));
        let first = subscription.clone();
        // A selector that cannot be read is told at once, not by an empty stream.
        selecting(move || first.expand()).await??;
        let generation = context.ask(&context.mail.cluster_data, WatchGeneration).await?;
        actix_rt::spawn(follow(Arc::downgrade(&subscription), generation));
        filter = Some(Arc::new(move |path: &ObjectPath| subscription.selects(path)));
    }
    if !context.shows_all() {
        let (user, selected) = (context.caller.user.clone(), filter);
        filter = Some(Arc::new(move |path: &ObjectPath| {
            web::filter::shows(&user.grants, path)
                && selected.as_ref().is_none_or(|selects| selects(path))
        }));
    }
    let since = options.last_event_id.as_deref().filter(|id| !id.is_empty()).map(Since::read);
    let gaps = context.caller.transport == Transport::Http || since.is_some();
    let subscribe = Subscribe { filter, full: options.full, gaps, since };
    Ok(Outcome::Stream(context.ask(&context.mail.cluster_data, subscribe).await?))
}
