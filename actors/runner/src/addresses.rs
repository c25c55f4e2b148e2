//! Addresses and links that change: whoever has an ip resource is evaluated again.
//!
//! Part of the `impl` of [`Runner`], in a file of its own for its subject.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use actix::prelude::*;
use dataset::snapshot::Snapshot;
use futures_util::stream;
use machine::netlink::Changes;
use model::ObjectPath;

use crate::Runner;
use crate::queue::Request;

/// How long changes are gathered: a link that goes takes its addresses with it.
const MERGE: Duration = Duration::from_millis(100);

/// Shortest time between two looks: links of containers come and go all the time.
const REST: Duration = Duration::from_secs(1);

/// Pause before the kernel is asked again where it refused.
const PAUSE: Duration = Duration::from_secs(60);

/// An address or a link changed, or the kernel tells of none any more.
struct Changed(std::io::Result<()>);

impl Runner {
    /// Has the kernel tell of changes, as far as it does.
    pub(super) fn follow_addresses(&mut self, ctx: &mut Context<Self>) {
        match Changes::follow() {
            Ok(changes) => {
                if self.addresses.refused.take().is_some() {
                    log::info!("addresses are followed again");
                }
                let told = |changes: Option<Changes>| async move {
                    let changes = changes?;
                    let next = changes.next().await;
                    let rest = next.is_ok().then_some(changes);
                    Some((Changed(next), rest))
                };
                ctx.add_stream(stream::unfold(Some(changes), told));
            }
            Err(error) => self.follow_addresses_later(&error, ctx),
        }
    }

    fn follow_addresses_later(&mut self, error: &std::io::Error, ctx: &mut Context<Self>) {
        if self.addresses.refused.is_none() {
            log::warn!(error:% = error; "changes of addresses are not told by the kernel: instances with ip resources are evaluated by their schedule");
        }
        self.addresses.refused = Some(error.to_string());
        ctx.run_later(PAUSE, Self::follow_addresses);
    }

    /// Evaluates the ip resources of this node, soon.
    fn look_at_addresses(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.addresses.is_due, true) {
            return;
        }
        let rested = self.addresses.last_look.map(|last| last + REST);
        let rest = rested.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        ctx.run_later(rest.max(MERGE), |this, ctx| {
            this.addresses.is_due = false;
            this.addresses.last_look = Some(Instant::now());
            for (path, rids) in with_addresses(&this.tools.snapshot.load()) {
                this.queue.push(path, Request { rids: Some(rids), ..Request::default() });
            }
            this.evaluate_next(ctx);
        });
    }
}

/// The local instances that have ip resources, with these.
fn with_addresses(snapshot: &Snapshot) -> Vec<(ObjectPath, BTreeSet<String>)> {
    let Some(local) = snapshot.local() else { return vec![] };
    let found = local.status.iter().filter_map(|(path, status)| {
        let resources = status.resources.iter().flatten();
        let rids = resources.map(|(rid, _)| rid).filter(|rid| rid.starts_with("ip#"));
        let rids: BTreeSet<String> = rids.cloned().collect();
        (!rids.is_empty()).then(|| (path.clone(), rids))
    });
    found.collect()
}

impl StreamHandler<Changed> for Runner {
    fn handle(&mut self, Changed(told): Changed, ctx: &mut Context<Self>) {
        // Whatever happened while nobody told of it is seen by a look.
        self.look_at_addresses(ctx);
        if let Err(error) = told {
            self.follow_addresses_later(&error, ctx);
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {
        // The other streams of this actor go on.
    }
}
