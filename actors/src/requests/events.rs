//! The stream of changes and events (wire.md §5.14).

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use model::ObjectPath;
use wire::Events;

use super::selection::Scope;
use super::{Context, Outcome};
use crate::cluster_data::{ObjectFilter, Subscribe};

/// What a selector meant, and of which state.
struct Selected {
    /// Configuration and number of objects it was expanded over; the generation too when it looks at live data.
    state: (usize, usize, u64),
    paths: BTreeSet<ObjectPath>,
}

/// A filter that follows the objects that come and go while the subscription lasts.
fn filter(context: &Context, selector: String) -> ObjectFilter {
    let context = Context { routes: context.routes.clone(), caller: context.caller.clone() };
    let cache: ArcSwapOption<Selected> = ArcSwapOption::empty();
    let is_live = selector.contains("$.")
        || selector.split([',', '+']).any(|part| part.trim_start_matches('!').starts_with('.'));
    Arc::new(move |path: &ObjectPath| {
        let snapshot = context.snapshot();
        let config = Arc::as_ptr(&context.config()) as usize;
        let generation = if is_live { snapshot.generation() } else { 0 };
        let state = (config, snapshot.services().len(), generation);
        if let Some(selected) = &*cache.load()
            && selected.state == state
        {
            return selected.paths.contains(path);
        }
        let paths = Scope::new(&context).select(Some(&selector), None, None).unwrap_or_default();
        let selected = Selected { state, paths: paths.into_iter().collect() };
        let is_selected = selected.paths.contains(path);
        cache.store(Some(Arc::new(selected)));
        is_selected
    })
}

/// GET `events`.
pub(super) async fn events(context: &Context, options: &Events) -> Outcome {
    let selector = options.selector.clone().filter(|selector| selector != "**");
    // A selector that cannot be read is told at once, not by an empty stream.
    if let Some(selector) = &selector
        && let Err(refusal) = Scope::new(context).select(Some(selector), None, None)
    {
        return refusal.into();
    }
    let filter = selector.map(|selector| filter(context, selector));
    let subscribe = Subscribe { filter, full: options.full };
    match context.ask(&context.routes.cluster_data, subscribe).await {
        Ok(receiver) => Outcome::Stream(receiver),
        Err(not_now) => not_now.into(),
    }
}
