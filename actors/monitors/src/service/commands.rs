//! What somebody else runs on the instance: a command of an operator, or a run of an earlier life.
//!
//! Part of the `impl` of [`ServiceMonitor`], in a file of its own for its length.

use std::collections::BTreeSet;
use std::time::Duration;

use actix::prelude::*;
use model::{InstanceAction, MonitorStatus, Status};
use monitor::{Change, is_transition};

use machine::last_failure;
use mail::runner::{AwaitAction, Evaluate};

use crate::service::ServiceMonitor;

/// Between two looks at whether the command that told it acts is there. Two without one: it is gone. It takes the action
/// lock right after it told.
const COMMAND_PAUSE: Duration = Duration::from_secs(2);

impl ServiceMonitor {
    /// Watches for the end of a command that is not ours, while the monitor is what it told.
    pub(super) fn watch_command(&mut self, ctx: &mut Context<Self>) {
        let is_theirs =
            !self.is_adopting && self.runs.is_empty() && is_transition(&self.core.monitor().status);
        if is_theirs && self.watching.is_none() {
            self.look_at_command(false, ctx);
        } else if !is_theirs && let Some(watching) = self.watching.take() {
            ctx.cancel_future(watching);
        }
    }

    /// Looks later whether a command acts. `was_absent`: none did at the last look.
    fn look_at_command(&mut self, was_absent: bool, ctx: &mut Context<Self>) {
        let status = self.core.monitor().status.clone();
        self.watching = Some(ctx.run_later(COMMAND_PAUSE, move |this, ctx| {
            let path = this.core.path().clone();
            let awaited = this.shared.tell.await_action.send(AwaitAction(path));
            this.watching = Some(ctx.spawn(awaited.into_actor(this).map(
                move |awaited, this, ctx| {
                    this.watching = None;
                    if this.core.monitor().status != status || !this.runs.is_empty() {
                        this.watch_command(ctx);
                        return;
                    }
                    let is_absent = matches!(awaited, Ok(None));
                    if !(is_absent && was_absent) {
                        this.look_at_command(is_absent, ctx);
                        return;
                    }
                    log::warn!(path:% = this.core.path(), status:% = status; "the command that acted is gone");
                    let change = this.conclude_told(&status);
                    this.apply(&change, ctx);
                },
            )));
        }));
    }

    /// Forgets why the last action failed; ends when that is published. None: there is nothing to forget.
    pub(super) fn forget_failure(&self) -> Option<RecipientRequest<Evaluate>> {
        let path = self.core.path();
        match last_failure::forget(&self.shared.paths, path) {
            Ok(true) => {
                // No resource is asked: nothing of them changed.
                let rids = Some(BTreeSet::new());
                Some(self.shared.tell.evaluate.send(Evaluate { path: path.clone(), rids }))
            }
            Ok(false) => None,
            Err(error) => {
                log::warn!(path:% = path, error:% = error; "last failure not forgotten");
                None
            }
        }
    }

    /// Takes over the end of what the monitor told, and what nobody runs any more.
    pub(super) fn conclude_told(&self, status: &MonitorStatus) -> Change {
        let action = InstanceAction::told_by(status).map_or("", InstanceAction::words);
        self.conclude(action, None)
    }

    /// Takes over the end of an action that somebody else started, as its command line would have told it.
    pub(super) fn conclude(&self, words: &str, exit_code: Option<i32>) -> Change {
        use InstanceAction as A;
        let snapshot = self.shared.snapshot.load();
        let instance = snapshot.local_instance(self.core.path());
        let avail = instance.and_then(|status| status.avail.clone());
        let is_up = matches!(avail, Some(Status::Up | Status::StdbyUp | Status::NotApplicable));
        let is_frozen = instance.and_then(|status| status.frozen).is_some_and(|at| at.0 > 0.0);
        let action = A::from_words(words);
        let is_done = match (exit_code, action) {
            (Some(exit_code), _) => exit_code == 0,
            (None, Some(A::Start | A::Restart | A::Provision)) => is_up,
            (None, Some(A::Stop | A::Shutdown | A::Unprovision)) => {
                avail != Some(Status::Up) && avail != Some(Status::Warn)
            }
            (None, Some(A::Freeze)) => is_frozen,
            (None, Some(A::Thaw)) => !is_frozen,
            // It is still there.
            (None, Some(A::Delete | A::Purge)) => false,
            (None, _) => true,
        };
        let status = match action.and_then(A::progress) {
            _ if is_done => MonitorStatus::Idle,
            Some((_, failed)) => failed,
            None => MonitorStatus::from(format!("{words} failed").as_str()),
        };
        let local_expect = action.and_then(A::local_expect);
        let local_expect = local_expect.filter(|expect| is_done || expect.is_none());
        Change { status: Some(status), local_expect, ..Change::default() }
    }
}
