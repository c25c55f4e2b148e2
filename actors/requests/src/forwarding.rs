//! An action on another node is for the object as it is configured here: it waits until that node has the configuration.

use std::time::Duration;

use model::{ConfigEntry, ObjectPath};
use tokio::time::Instant;
use wire::{Action, Request};

use dataset::snapshot::Snapshot;
use mail::cluster_data::{Flush, WatchGeneration};
use mail::config_watcher::Look;
use mail::requests::{NotNow, Refused};

use crate::context::Context;

/// How long a node may take to have a configuration: deployed agents look every few seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// The configuration that an action is about, as it is in force here.
pub(super) struct Forwarded {
    path: ObjectPath,
    entry: ConfigEntry,
}

impl Forwarded {
    /// That of a request; none for what is about no object that is configured here.
    pub(super) async fn of(context: &Context, request: &Request) -> Option<Self> {
        let Action::ObjectAction(options) = &request.action else { return None };
        let is_new = matches!(options.action.as_deref(), Some("create" | "deploy"));
        let path = ObjectPath::parse(&options.path).ok().filter(|_| !is_new)?;
        // What was written a moment ago is in force, and published.
        _ = context.ask(&context.mail.config_watcher, Look(vec![path.clone()])).await;
        _ = context.ask(&context.mail.cluster_data, Flush).await;
        let snapshot = context.snapshot();
        let entry = snapshot.config(snapshot.nodename(), &path)?;
        Some(Self { entry: (**entry).clone(), path })
    }

    /// Waits until a node has it. The reply in its name when it does not.
    pub(super) async fn await_at(&self, context: &Context, node: &str) -> Result<(), Refused> {
        let deadline = Instant::now() + PATIENCE;
        let mut published = context.ask(&context.mail.cluster_data, WatchGeneration).await?;
        loop {
            if is_there(&context.snapshot(), node, &self.path, &self.entry) {
                return Ok(());
            }
            match tokio::time::timeout_at(deadline, published.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(NotNow.into()),
                Err(_) => {
                    let (path, here) = (&self.path, &context.mail.nodename);
                    return Err(Refused::new(
                        1,
                        format!(
                            "{path} on {node}: not done, the configuration of {here} has not come there within {} s: \
                             `om mon --node {node}` tells why",
                            PATIENCE.as_secs()
                        ),
                    ));
                }
            }
        }
    }
}

/// Whether a node has a configuration, or a newer one, or is to have none; or cannot be asked anyway.
fn is_there(snapshot: &Snapshot, node: &str, path: &ObjectPath, own: &ConfigEntry) -> bool {
    let Some((name, entry)) = snapshot.nodes().iter().find(|(name, _)| name.as_str() == node)
    else {
        return true;
    };
    let is_meant = own.scope.is_empty() || own.scope.contains(name);
    if entry.data.monitor.is_none() || !is_meant {
        return true;
    }
    let copy = entry.config.get(path);
    copy.is_some_and(|copy| copy.csum == own.csum || copy.updated.0 > own.updated.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{NodeMonitorData, NodeName, Timestamp};

    use super::*;
    use dataset::snapshot::NodeEntry;

    #[test]
    fn an_action_waits_for_the_node_that_is_to_have_the_configuration_and_has_an_older_one() {
        let path = ObjectPath::parse("web").unwrap();
        let [n1, n2] = ["n1", "n2"].map(|name| NodeName::new(name).unwrap());
        let entry = |updated: f64, csum: &str, scope: &[&NodeName]| ConfigEntry {
            updated: Timestamp(updated),
            csum: csum.to_owned(),
            scope: scope.iter().map(|node| (*node).clone()).collect(),
        };
        let own = entry(10.0, "a", &[&n1, &n2]);
        let with = |copy: Option<ConfigEntry>, is_heard: bool| {
            let mut peer = NodeEntry::default();
            peer.data.monitor = is_heard.then(NodeMonitorData::default);
            if let Some(copy) = copy {
                peer.config.insert(path.clone(), Arc::new(copy));
            }
            Snapshot::of_nodes(&n1, &[n1.clone(), n2.clone()], [(n2.clone(), peer)].into())
        };
        let is_there =
            |own: &ConfigEntry, snapshot: &Snapshot| is_there(snapshot, "n2", &path, own);
        assert!(!is_there(&own, &with(None, true)));
        assert!(!is_there(&own, &with(Some(entry(9.0, "b", &[])), true)));
        assert!(is_there(&own, &with(Some(entry(10.0, "a", &[])), true)));
        assert!(is_there(&own, &with(Some(entry(11.0, "b", &[])), true)));
        assert!(is_there(&own, &with(None, false)));
        assert!(is_there(&entry(10.0, "a", &[&n1]), &with(None, true)));
    }
}
