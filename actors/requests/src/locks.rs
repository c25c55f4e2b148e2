//! Cluster locks: a claim that every node shows.

use std::collections::BTreeMap;
use std::time::Duration;

use mail::cluster_data::{ClaimLock, ReleaseLock, ToClusterData, WatchGeneration};
use mail::requests::{NotNow, Outcome, Refused};
use model::Claim;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use wire::{Lock, Unlock};

use crate::context::{ASK_PATIENCE, Context};

/// Longest time without a look: publications tell when to look. Deployed agents look that often.
const RETRY: Duration = Duration::from_millis(500);
/// What the cluster data has for an answer, however short the wait.
const LEAST_PATIENCE: Duration = Duration::from_millis(200);
/// Longest wait that may be asked for.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// A lock that this node claimed. Released when it is dropped, whatever became of who asked for it.
pub(super) struct Held {
    cluster_data: ToClusterData,
    name: String,
    id: String,
    is_kept: bool,
}

impl Held {
    /// The id of the claim; from now on only [`release`] ends it.
    pub(super) fn keep(mut self) -> String {
        self.is_kept = true;
        std::mem::take(&mut self.id)
    }

    /// Releases the lock, and waits until no node shows it any more, or for `wait`.
    pub(super) async fn release(self, context: &Context, wait: Duration) -> Result<(), NotNow> {
        let (name, id) = (self.name.clone(), self.id.clone());
        drop(self);
        wait_for_release(context, &name, &id, wait).await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_kept {
            let (name, id) = (std::mem::take(&mut self.name), std::mem::take(&mut self.id));
            self.cluster_data.do_send(ReleaseLock { name, id });
        }
    }
}

/// Waits for the next publication, at most until `deadline`; false when that is over.
async fn wait_for_news(published: &mut watch::Receiver<u64>, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return false;
    }
    let pause = RETRY.min(left);
    if let Ok(Err(_)) = tokio::time::timeout(pause, published.changed()).await {
        // Nobody publishes any more: the daemon ends.
        tokio::time::sleep(pause).await;
    }
    true
}

/// Whether every node shows this claim, those included that were never heard (src/dataset/README.md, Locks).
fn is_held(context: &Context, name: &str, id: &str) -> bool {
    let snapshot = context.snapshot();
    dataset::locks::is_held(snapshot.nodes().values().map(|node| &node.data.locks), name, id)
}

/// Whether this node still claims: an older claim of another node goes before.
fn is_ours(context: &Context, name: &str, id: &str) -> bool {
    let snapshot = context.snapshot();
    let claim = snapshot.local().and_then(|local| local.data.locks.get(name));
    claim.is_some_and(|claim| claim.id == id)
}

/// How long the cluster data may take to answer somebody who waits until then: a moment at least.
fn patience(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.clamp(LEAST_PATIENCE, ASK_PATIENCE)
}

/// Nothing was heard from the cluster data: that is no lock in time, unless there is time left.
fn not_in_time<T>(deadline: Instant) -> Result<Option<T>, NotNow> {
    if Instant::now() >= deadline { Ok(None) } else { Err(NotNow) }
}

/// Takes a lock in the name of the local node: granted once every node shows the claim; none when that was not so in
/// time.
pub(super) async fn take(
    context: &Context,
    name: &str,
    wait: Duration,
) -> Result<Option<Held>, NotNow> {
    let deadline = Instant::now() + wait.min(MAX_WAIT);
    let cluster_data = &context.mail.cluster_data;
    let Ok(mut published) =
        context.ask_for(cluster_data, WatchGeneration, patience(deadline)).await
    else {
        return not_in_time(deadline);
    };
    loop {
        let claim = ClaimLock { name: name.into(), requester: context.mail.nodename.clone() };
        let mut claimed = Box::pin(cluster_data.send(claim));
        let answer = tokio::time::timeout(patience(deadline), &mut claimed).await;
        let Ok(answer) = answer else {
            // A claim that is made later is released at once.
            let (cluster_data, name) = (cluster_data.clone(), name.to_owned());
            actix_rt::spawn(async move {
                if let Ok(Some(id)) = claimed.await {
                    cluster_data.do_send(ReleaseLock { name, id });
                }
            });
            return not_in_time(deadline);
        };
        if let Some(id) = answer.map_err(|_| NotNow)? {
            let cluster_data = cluster_data.clone();
            let held = Held { cluster_data, name: name.into(), id, is_kept: false };
            while is_ours(context, name, &held.id) {
                if is_held(context, name, &held.id) {
                    return Ok(Some(held));
                }
                if !wait_for_news(&mut published, deadline).await {
                    return Ok(None);
                }
            }
        }
        if !wait_for_news(&mut published, deadline).await {
            return Ok(None);
        }
    }
}

/// Releases a lock, and waits until no node shows it, or for `wait`. A wrong id does nothing.
pub(super) async fn release(
    context: &Context,
    name: &str,
    id: &str,
    wait: Duration,
) -> Result<(), NotNow> {
    let release = ReleaseLock { name: name.into(), id: id.into() };
    let deadline = Instant::now() + wait.min(MAX_WAIT);
    context.ask_for(&context.mail.cluster_data, release, patience(deadline)).await?;
    let wait = deadline.saturating_duration_since(Instant::now());
    wait_for_release(context, name, id, wait).await
}

async fn wait_for_release(
    context: &Context,
    name: &str,
    id: &str,
    wait: Duration,
) -> Result<(), NotNow> {
    let deadline = Instant::now() + wait.min(MAX_WAIT);
    let mut published =
        context.ask_for(&context.mail.cluster_data, WatchGeneration, patience(deadline)).await?;
    let is_shown = || {
        let snapshot = context.snapshot();
        let mut nodes = snapshot.nodes().values();
        nodes.any(|node| {
            let claim = node.data.locks.get(name);
            claim.is_some_and(|claim| claim.id == id)
        })
    };
    while is_shown() && wait_for_news(&mut published, deadline).await {}
    Ok(())
}

/// POST `lock`. A node can only hold a lock where its own data say so, hence in its own name at itself: a claim for
/// another node would be dropped again by deployed agents, and is refused at once.
pub(super) async fn lock(context: &Context, options: &Lock) -> Result<Outcome, Refused> {
    let held = if context.caller.nodename == context.mail.nodename {
        take(context, &options.name, options.timeout).await?
    } else {
        None
    };
    Ok(match held {
        Some(held) => wire::reply::data(json!({"id": held.keep()})).into(),
        None => json!({"status": 1}).into(),
    })
}

/// POST `unlock`. Done either way.
pub(super) async fn unlock(context: &Context, options: &Unlock) -> Result<Outcome, Refused> {
    release(context, &options.name, &options.lock_id, options.timeout).await?;
    Ok(wire::reply::done().into())
}

/// GET `cluster/locks`.
pub(super) fn list(context: &Context) -> Outcome {
    let snapshot = context.snapshot();
    let mut locks: BTreeMap<&str, &Claim> = BTreeMap::new();
    for node in snapshot.nodes().values() {
        for (name, claim) in &node.data.locks {
            locks.entry(name).or_insert(claim);
        }
    }
    wire::reply::data(json!(locks)).into()
}
