//! The blacklist, shown and cleared (src/wire/README.md, Refusals).

use serde_json::{Map, Value, json};

use super::{Context, Outcome};
use crate::blacklist_keeper::Clear;

/// POST `blacklist_clear`: forgets all senders.
pub(super) async fn clear(context: &Context) -> Outcome {
    match context.ask(&context.routes.blacklist.keeper, Clear).await {
        Ok(()) => json!({"status": 0}).into(),
        Err(not_now) => not_now.into(),
    }
}

/// GET `daemon_blacklist_status`: invalid messages by sender. An address of a cluster node is shown by its name.
pub(super) fn status(context: &Context) -> Outcome {
    let mut data = Map::new();
    for (sender, count) in context.routes.blacklist.view.entries() {
        data.insert(sender, Value::from(count));
    }
    json!({"status": 0, "data": data}).into()
}
