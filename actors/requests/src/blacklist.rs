//! The blacklist, shown and cleared (src/wire/README.md, Refusals).

use std::collections::BTreeMap;

use serde_json::json;

use mail::blacklist::Clear;
use mail::requests::{Outcome, Refused};

use crate::context::Context;

/// POST `blacklist_clear`: forgets all senders.
pub(super) async fn clear(context: &Context) -> Result<Outcome, Refused> {
    context.ask(&context.mail.blacklist.keeper, Clear).await?;
    Ok(wire::reply::done().into())
}

/// GET `daemon_blacklist_status`: invalid messages by sender. An address of a cluster node is shown by its name.
pub(super) fn status(context: &Context) -> Outcome {
    let entries = context.mail.blacklist.view.entries().into_iter();
    let data: BTreeMap<String, _> = entries.collect();
    wire::reply::data(json!(data)).into()
}
