//! What the instances of an object are on its other nodes, asked before an operator starts it on this one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use model::{InstanceStatus, NodeName, ObjectPath};

use link::link::Link;

use crate::known::{known, take_known};
use crate::om::{Failure, Om, note};

/// How long a node may take to tell: one that is down does not answer at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// The other nodes, each asked itself: what the local daemon has heard of them may be older than what they do.
pub(super) struct Others {
    link: Link,
    /// Those that gave no answer the first time: not asked again.
    silent: OnceLock<BTreeSet<NodeName>>,
    nodename: NodeName,
}

impl Others {
    pub(super) fn new(om: &Om) -> Result<Self, Failure> {
        let nodename = om.nodename.clone();
        Ok(Self { link: om.link(None)?, silent: OnceLock::new(), nodename })
    }

    /// The instances by node: as each node tells, else as the local daemon knows them.
    pub(super) fn ask(
        &self,
        path: &ObjectPath,
        nodes: &[NodeName],
    ) -> BTreeMap<NodeName, InstanceStatus> {
        let all = known(&self.link, path).map(|known| known.instances).unwrap_or_default();
        let mut found: BTreeMap<NodeName, InstanceStatus> = all
            .into_iter()
            .filter_map(|(node, status)| Some((NodeName::new(&node).ok()?, status)))
            .collect();
        let is_silent = |node: &NodeName| self.silent.get().is_some_and(|all| all.contains(node));
        let asked = nodes.iter().filter(|node| **node != self.nodename && !is_silent(node));
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                asked.map(|node| (node, scope.spawn(|| self.instance_of(path, node)))).collect();
            threads.into_iter().map(|(node, thread)| (node, thread.join())).collect()
        });
        let mut silent = BTreeSet::new();
        for (node, answer) in answers {
            match answer {
                Ok(Some(Some(status))) => _ = found.insert(node.clone(), status),
                // It has none.
                Ok(Some(None)) => _ = found.remove(node),
                Ok(None) | Err(_) => {
                    if !found.contains_key(node) {
                        note(&format!(
                            "{node} does not answer: whether {path} runs there is not known"
                        ));
                    }
                    silent.insert(node.clone());
                }
            }
        }
        _ = self.silent.set(silent);
        found
    }

    /// The instance of a node, if any, by its own account; none when it gives none.
    fn instance_of(&self, path: &ObjectPath, node: &NodeName) -> Option<Option<InstanceStatus>> {
        let request = wire::Request::new(wire::DaemonStatus {
            selector: Some(path.to_string()),
            namespace: None,
            relatives: false,
        });
        let mut data = self.link.to_node(node.as_str()).ask(&request, Some(PATIENCE)).ok()?;
        Some(take_known(&mut data, path).instances.remove(node.as_str()))
    }
}
