//! What is decided about one object is begun, and its end taken.
//!
//! Part of the `impl` of [`Propagation`], in a file of its own for its length.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use dataset::choice::{Choice, Deleted, choose};
use dataset::config::LoadedConfig;
use dataset::snapshot::Snapshot;
use files::last_good;
use mail::standing::Inquire;
use model::{ConfigEntry, Kind, NodeName, ObjectPath, Status};
use monitor::Verdict;

use crate::task::{End, Plan, Task};
use crate::{HOLD, Propagation};

/// Pause after a first failure, doubled for each next one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Propagation {
    /// Decides about an object, and begins what follows.
    pub(crate) fn begin(
        &mut self,
        path: ObjectPath,
        failures: u32,
        snapshot: &Snapshot,
        config: &LoadedConfig,
        ctx: &mut Context<Self>,
    ) {
        let own = snapshot.config(snapshot.nodename(), &path);
        let deleted = self.deletions.get(&path);
        let deleted = deleted
            .map(|known| Deleted { deletion: &known.deletion, is_followed: known.is_followed });
        let verdict = match choose(snapshot, &config.node, &path, deleted) {
            Choice::Wait => {
                self.want(path, HOLD, failures);
                return;
            }
            Choice::Bury => {
                let local = snapshot.nodename().clone();
                self.carry_out(path, failures, (local, Plan::Bury), snapshot, config, ctx);
                return;
            }
            Choice::Elected(verdict) => verdict,
        };
        let (peer, plan) = match verdict {
            Verdict::Keep => {
                self.held.remove(&path);
                return;
            }
            Verdict::Hold(peer) => {
                let is_news =
                    self.hold(&path, peer, snapshot, "its configuration there is not followed now");
                // A newer cluster without this node: nobody takes itself out on one peer's word, it asks them. Where there
                // is no room for the question, it is asked at the next look.
                if is_news
                    && path.kind() == Kind::Ccfg
                    && matches!(self.tell.inquire.try_send(Inquire), Err(SendError::Full(_)))
                {
                    self.held.remove(&path);
                }
                self.want(path, HOLD, failures);
                return;
            }
            Verdict::Fetch(peer) | Verdict::Leave(peer)
                if self.is_edit_of(&path, own, snapshot.config(peer, &path)) =>
            {
                (peer.clone(), Plan::Date)
            }
            Verdict::Fetch(peer) => (peer.clone(), Plan::Install),
            Verdict::Leave(peer) => (peer.clone(), Plan::Leave),
            Verdict::Vacate(peer) => (peer.clone(), Plan::Vacate),
        };
        self.carry_out(path, failures, (peer, plan), snapshot, config, ctx);
    }

    /// Begins what was decided about an object.
    fn carry_out(
        &mut self,
        path: ObjectPath,
        failures: u32,
        (peer, plan): (NodeName, Plan),
        snapshot: &Snapshot,
        config: &LoadedConfig,
        ctx: &mut Context<Self>,
    ) {
        let task = self.task(&path, peer, plan, snapshot, config);
        self.queue.begin(&path);
        ctx.spawn(task.carry_out().into_actor(self).map(move |end, this, ctx| {
            this.queue.end(&path);
            this.conclude(path, failures, end, ctx);
            this.pump(ctx);
        }));
    }

    pub(crate) fn task(
        &self,
        path: &ObjectPath,
        peer: NodeName,
        plan: Plan,
        snapshot: &Snapshot,
        config: &LoadedConfig,
    ) -> Task {
        let own = snapshot.config(snapshot.nodename(), path);
        // What was not evaluated yet may be up.
        let is_up = snapshot.local_instance(path).is_some_and(|instance| {
            !instance.is_known()
                || matches!(instance.avail, Some(Status::Up | Status::Warn | Status::StdbyUp))
        });
        Task {
            path: path.clone(),
            plan,
            is_up,
            own: own.map(|entry| (**entry).clone()),
            copy: snapshot.config(&peer, path).map(|entry| (**entry).clone()),
            is_written_here: own.is_some_and(|own| self.is_written_here(path, own)),
            nodename: snapshot.nodename().clone(),
            paths: self.paths.clone(),
            snapshot: self.snapshot.clone(),
            context: config.context.clone(),
            tell: self.tell.clone(),
            deletion: self.deletions.get(path).cloned(),
            monitor: self.monitors.load().get(path).map(|monitor| (**monitor).clone()),
            peer,
        }
    }

    /// Whether the local file was made here from this copy of another node, which it had before: then it follows the copy,
    /// whatever their dates say. They may come from a clock that was wrong, or from a file that is dated far ahead.
    fn is_edit_of(
        &self,
        path: &ObjectPath,
        own: Option<&Arc<ConfigEntry>>,
        copy: Option<&Arc<ConfigEntry>>,
    ) -> bool {
        own.zip(copy).is_some_and(|(own, copy)| {
            own.csum != copy.csum && self.agreed.get(path) == Some(&copy.csum)
        }) && !last_good::is_kept(&self.paths, path)
    }

    /// Whether the local file may have been written here, as nobody else is known to have had it: a newer one then goes
    /// over an edit. When it was written says nothing: a clock may have been wrong.
    fn is_written_here(&self, path: &ObjectPath, own: &ConfigEntry) -> bool {
        self.agreed.get(path) != Some(&own.csum)
    }

    /// Says once that something is held back. Whether it was not said before.
    fn hold(&mut self, path: &ObjectPath, peer: &NodeName, snapshot: &Snapshot, why: &str) -> bool {
        let csum = snapshot.config(peer, path).map(|entry| entry.csum.clone()).unwrap_or_default();
        let said = (peer.clone(), csum);
        if self.held.get(path) != Some(&said) {
            log::info!(path:% = path, node:% = peer; "{why}");
            self.held.insert(path.clone(), said);
            return true;
        }
        false
    }

    pub(crate) fn conclude(
        &mut self,
        path: ObjectPath,
        failures: u32,
        end: (NodeName, End),
        ctx: &mut Context<Self>,
    ) {
        // Looked at anew meanwhile: that one counts.
        let is_wanted = self.queue.is_wanted(&path);
        match end {
            (_, End::Done) => {
                self.held.remove(&path);
            }
            (_, End::Installed(csum)) => {
                self.held.remove(&path);
                // It may be edited before it is published as the own one.
                self.agreed.insert(path.clone(), csum);
                // Fetched before it was deleted, and installed after that.
                if self.deletions.unfollow(&path) {
                    self.want(path, Duration::ZERO, 0);
                }
            }
            (_, End::Buried) => {
                self.held.remove(&path);
                if self.deletions.follow(&path) {
                    self.note_deletions(ctx);
                }
            }
            (_, End::Ordered) => {
                if !is_wanted {
                    self.want(path, HOLD, failures);
                }
            }
            (peer, End::Gone) => {
                log::debug!(path:% = path, node:% = peer; "no configuration there any more");
                if !is_wanted {
                    self.want(path, HOLD, failures.saturating_add(1));
                }
            }
            (peer, End::Failed(reason)) => {
                let pause = pause_after(failures);
                let said = (peer.clone(), reason.clone());
                if self.held.get(&path) != Some(&said) {
                    log::warn!(path:% = path, node:% = peer, reason = reason; "configuration not taken over");
                    self.held.insert(path.clone(), said);
                }
                if !is_wanted {
                    self.want(path, pause, failures.saturating_add(1));
                }
            }
        }
    }
}

/// The pause after the next failure.
pub(crate) fn pause_after(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(LONGEST_PAUSE)
}
