//! The instances are to be down: who waits for that, and what is left.
//!
//! Part of the `impl` of [`NodeMonitor`], in a file of its own for its length.

use std::time::Duration;

use actix::prelude::*;
use model::{InstanceStatus, LocalExpect, MonitorStatus, ObjectPath, Status};
use tokio::sync::oneshot;

use mail::cluster_data::Flush;
use mail::node_monitor::Left;

use crate::node::NodeMonitor;

impl NodeMonitor {
    /// Waits until the instances are down, or the time is over; answers with those that are not.
    pub(super) fn released(
        &mut self,
        time: Option<Duration>,
        ctx: &mut Context<Self>,
    ) -> ResponseFuture<Vec<Left>> {
        let (done, end) = oneshot::channel();
        self.releases.push(done);
        self.pass(ctx);
        let (shared, flush) = (self.shared.clone(), self.tell.flush.clone());
        Box::pin(async move {
            match time {
                None => _ = end.await,
                Some(time) => _ = tokio::time::timeout(time, end).await,
            }
            // What was found after the last action counts.
            _ = flush.send(Flush).await;
            let snapshot = shared.snapshot.load();
            let instances = snapshot.local().into_iter().flat_map(|local| local.status.iter());
            instances.filter_map(|(path, status)| left_of(path, status)).collect()
        })
    }
}

/// What is left of an instance that was to be shut down; none if it is down.
fn left_of(path: &ObjectPath, instance: &InstanceStatus) -> Option<Left> {
    let monitor = instance.monitor.as_ref()?;
    let is_late = monitor.local_expect == Some(LocalExpect::Shutdown);
    let has_resources = instance.resources.as_ref().is_some_and(|all| !all.is_empty());
    // A shutdown that ended well, and had no effect.
    let is_active = has_resources
        && matches!(instance.avail, Some(Status::Up | Status::Warn | Status::StdbyUp));
    let is_left = is_late || monitor.status == MonitorStatus::ShutdownFailed || is_active;
    is_left.then(|| Left {
        path: path.clone(),
        status: monitor.status.clone(),
        avail: instance.avail.clone(),
        is_late,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_left_of_a_shutdown_is_told_by_name_and_state() {
        let left = |avail: &str, monitor: Value| {
            let status = json!({
                "updated": 1.0, "avail": avail, "monitor": monitor,
                "resources": {"app#1": {"type": "app.simple", "status": avail, "label": ""}},
            });
            let status: InstanceStatus = serde_json::from_value(status).unwrap();
            let path = ObjectPath::parse("h1").unwrap();
            left_of(&path, &status).map(|left| left.to_string())
        };
        assert_eq!(left("down", json!({"status": "idle"})), None);
        assert_eq!(left("n/a", json!({"status": "idle"})), None);
        let failed = left("up", json!({"status": "shutdown failed"}));
        assert_eq!(failed.as_deref(), Some("h1: shutdown failed"));
        let late = left("up", json!({"status": "shutdown", "local_expect": "shutdown"}));
        assert_eq!(late.as_deref(), Some("timeout: h1: still in state shutdown"));
        let still = left("up", json!({"status": "idle"}));
        assert_eq!(still.as_deref(), Some("h1: still up after its shutdown"));
    }
}
