//! What the core asked to run, one after the other.
//!
//! Part of the `impl` of [`ServiceMonitor`], in a file of its own for its length.

use std::sync::Arc;

use actix::prelude::*;
use model::{GlobalExpect, InstanceStatus, Status};
use monitor::{Action, RunId};

use mail::config_watcher::Look;
use mail::propagation::Delete;
use mail::runner::{AwaitAction, Evaluate, RunAction};

use crate::service::{Done, ServiceMonitor};

/// Exit code of what could not be run.
const NOT_RUN: i32 = 1;

impl ServiceMonitor {
    pub(super) fn run(&mut self, id: RunId, action: Action, ctx: &mut Context<Self>) {
        self.runs.push_back((id, action));
        if self.runs.len() == 1 {
            self.run_next(ctx);
        }
    }

    pub(super) fn run_next(&mut self, ctx: &mut Context<Self>) {
        let Some((id, action)) = self.runs.front().cloned() else { return };
        let (path, address) = (self.core.path().clone(), ctx.address());
        if action == Action::Refresh {
            let evaluated = self.shared.tell.evaluate.send(Evaluate { path, rids: None });
            actix_rt::spawn(async move {
                let exit_code = if evaluated.await.unwrap_or(false) { 0 } else { NOT_RUN };
                address.do_send(Done { id, exit_code });
            });
            return;
        }
        if let Action::Stonith { node } = &action {
            // No command of `om` does that.
            log::warn!(path:% = path, node:% = node; "not fenced: this agent runs no command of stonith#");
            address.do_send(Done { id, exit_code: 0 });
            return;
        }
        let look = (action == Action::Delete).then(|| self.shared.tell.look.clone());
        let target = &self.core.monitor().global_expect;
        let purged = matches!(target, Some(GlobalExpect::Purged));
        let deleted = (action == Action::Delete).then(|| {
            let order = Delete { path: path.clone(), purged, is_carried_out: false };
            self.shared.tell.delete.send(order)
        });
        let action = RunAction { path: path.clone(), action, priority: self.priority() };
        let run = self.shared.tell.run.clone();
        let await_action = self.shared.tell.await_action.clone();
        actix_rt::spawn(async move {
            // Before its files go: else a node that is away would bring them back.
            if let Some(deleted) = deleted
                && let Ok(Err(reason)) = deleted.await
            {
                log::error!(path:% = path, reason = reason.as_str(); "not deleted");
                address.do_send(Done { id, exit_code: NOT_RUN });
                return;
            }
            let exit_code = match run.send(action).await {
                Ok(exit_code) => exit_code.unwrap_or(NOT_RUN),
                // A runner that fell has not lost the child.
                Err(_) => match await_action.send(AwaitAction(path.clone())).await {
                    Ok(Some(awaited)) => awaited.exit_code.unwrap_or(0),
                    Ok(None) | Err(_) => NOT_RUN,
                },
            };
            // What follows a deletion is decided without the configuration.
            if let Some(look) = look {
                _ = look.send(Look(vec![path])).await;
            }
            address.do_send(Done { id, exit_code });
        });
    }

    /// Whether something of the instance runs, or may: others start what is not seen here any more.
    pub(super) fn may_run(&self) -> bool {
        let snapshot = self.shared.snapshot.load();
        let is_up = |status: &Arc<InstanceStatus>| {
            !status.is_known()
                || matches!(status.avail, Some(Status::Up | Status::Warn | Status::StdbyUp))
        };
        let path = self.core.path();
        // A deletion here has stopped it, and peers wait for the end of one.
        if monitor::is_leaving(self.core.monitor()) {
            return false;
        }
        self.is_adopting
            || self.core.monitor().status.is_transitioning()
            || (self.shared.config.load().objects.contains_key(path)
                && snapshot.local_instance(path).is_some_and(is_up))
    }
}
