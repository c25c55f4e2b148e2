//! The relay, as the nodes of other clusters use it for their heartbeats.

use std::sync::Arc;

use link::lane::owner;
use mail::relay::{Fetch, List, Store, shown};
use mail::requests::{Outcome, Refused};
use serde_json::json;
use wire::{RelayRx, RelayTx};

use crate::context::{Context as Request, blocking};

/// POST `relay_tx`.
pub(super) async fn store(request: &Request, options: &RelayTx) -> Result<Outcome, Refused> {
    let no_address = || Refused::new(400, "option addr is empty");
    let ipaddr = options.addr.first().cloned().ok_or_else(no_address)?;
    let store = Store {
        cluster_id: options.cluster_id.clone(),
        cluster_name: options.cluster_name.clone(),
        nodename: request.caller.nodename.to_string(),
        ipaddr,
        msg: options.msg.as_deref().map(Arc::from),
        from: request.caller.addr.map(owner),
    };
    request.ask(&request.mail.relay, store).await??;
    Ok(wire::reply::done().into())
}

/// GET `relay_rx`.
pub(super) async fn fetch(request: &Request, options: &RelayRx) -> Result<Outcome, Refused> {
    let slot = options.slot.clone().unwrap_or_default();
    let fetch = Fetch { cluster_id: options.cluster_id.clone(), slot };
    let fetched = request.ask(&request.mail.relay, fetch).await?;
    let (msg, updated) = fetched.ok_or_else(|| Refused::new(1, "no data"))?;
    Ok(json!({"status": 0, "data": msg.as_deref(), "updated": updated}).into())
}

/// GET `relay_status`: the slots, without status.
pub(super) async fn status(request: &Request) -> Result<Outcome, Refused> {
    let clusters = request.ask(&request.mail.relay, List).await?;
    // As many as there may be: put together outside of the keeper's thread, and of this one.
    Ok(blocking(move || shown(&clusters)).await?.into())
}
