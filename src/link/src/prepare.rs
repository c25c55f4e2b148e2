//! Messages that are made ready to be sent.

use std::sync::Arc;

use serde_json::Value;
use wire::Prepared;

use crate::heavy;

/// Messages from this weight on are made ready outside of the arbiter.
const LARGE: usize = 256 << 10;

/// Makes a message ready: outside of the arbiter when it is large. None when that was given up.
pub async fn prepared(message: Value) -> Option<Arc<Prepared>> {
    if wire::is_lighter(&message, LARGE) {
        return Some(Arc::new(Prepared::new(&message)));
    }
    heavy::apart(move || Arc::new(Prepared::new(&message))).await
}

/// Makes a text ready, as [`prepared`] does.
pub async fn prepared_text(text: Arc<str>) -> Option<Arc<Prepared>> {
    let is_large = text.len() >= LARGE;
    let make = move || Arc::new(Prepared::from_json(text.as_bytes().to_vec()));
    if !is_large {
        return Some(make());
    }
    heavy::apart(make).await
}
