//! Cluster locks (wire.md §5.15).

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use wire::{Lock, Unlock};

use super::{Context, NotNow, Outcome};
use crate::cluster_data::{ClaimLock, ReleaseLock};

/// How often a held lock is asked for again (cluster.md §f).
const RETRY: Duration = Duration::from_millis(500);
/// Longest wait that may be asked for.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Takes a lock in the name of the local node: its id, or none when it was not free in time.
pub(super) async fn take(
    context: &Context,
    name: &str,
    wait: Duration,
) -> Result<Option<String>, NotNow> {
    let deadline = Instant::now() + wait.min(MAX_WAIT);
    loop {
        let claim = ClaimLock { name: name.into(), requester: context.routes.nodename.clone() };
        if let Some(id) = context.ask(&context.routes.cluster_data, claim).await? {
            return Ok(Some(id));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        tokio::time::sleep(RETRY.min(left)).await;
    }
}

/// Releases a lock; a wrong id does nothing.
pub(super) async fn release(context: &Context, name: &str, id: &str) -> Result<(), NotNow> {
    let release = ReleaseLock { name: name.into(), id: id.into() };
    context.ask(&context.routes.cluster_data, release).await
}

/// POST `lock`. A node can only hold a lock where its own data say so, hence in its own name at itself: a claim for
/// another node would be dropped again (wire.md §5.15), and is refused at once.
pub(super) async fn lock(context: &Context, options: &Lock) -> Outcome {
    if context.caller.nodename != context.routes.nodename {
        return json!({"status": 1}).into();
    }
    match take(context, &options.name, options.timeout).await {
        Ok(Some(id)) => json!({"status": 0, "data": {"id": id}}).into(),
        Ok(None) => json!({"status": 1}).into(),
        Err(not_now) => not_now.into(),
    }
}

/// POST `unlock`. Done either way.
pub(super) async fn unlock(context: &Context, options: &Unlock) -> Outcome {
    match release(context, &options.name, &options.lock_id).await {
        Ok(()) => json!({"status": 0}).into(),
        Err(not_now) => not_now.into(),
    }
}

/// GET `cluster/locks`.
pub(super) fn list(context: &Context) -> Outcome {
    let snapshot = context.snapshot();
    let mut locks: Map<String, Value> = Map::new();
    for node in snapshot.nodes().values() {
        for (name, lock) in &node.data.locks {
            locks.entry(name.clone()).or_insert_with(|| lock.clone());
        }
    }
    json!({"status": 0, "data": locks}).into()
}
