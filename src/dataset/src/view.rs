//! The cluster data as a decision sees it.

use model::{
    Aggregate, ConfigEntry, InstanceStatus, NodeData, NodeName, ObjectPath, ObjectSettings,
};
use monitor::{Ballot, Conditions, Sight, World, has_vote};

use crate::config::LoadedConfig;
use crate::snapshot::Snapshot;

/// A snapshot and a configuration, with the facts of the local node.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What the nodes publish.
    pub snapshot: &'a Snapshot,
    /// What is configured here.
    pub config: &'a LoadedConfig,
    /// Facts of the local node.
    pub conditions: Conditions,
}

impl<'a> View<'a> {
    /// A view with the facts that settings and snapshot tell. `is_grace`: the rejoin grace period runs.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, config: &'a LoadedConfig, is_grace: bool) -> Self {
        let longest = config.node.heartbeats.iter().map(|heartbeat| heartbeat.timeout).max();
        let conditions = Conditions {
            ready_period_secs: config.node.ready_period.as_secs_f64(),
            heartbeat_timeout_secs: longest.unwrap_or_default().as_secs_f64(),
            max_parallel: config.max_parallel(),
            transitions: snapshot.transitions(),
            grace: is_grace,
            blind: snapshot.is_blind(),
            standing: snapshot.standing(),
            ballot: None,
        };
        let mut view = Self { snapshot, config, conditions };
        view.conditions.ballot = config.node.quorum.then(|| view.ballot());
        view
    }

    /// Who votes for this side.
    fn ballot(&self) -> Ballot {
        let (nodes, departed) = (&self.config.node.nodes, &self.snapshot.departed);
        let local = self.snapshot.nodename();
        let peers = nodes.iter().filter(|node| *node != local && !departed.contains(*node));
        Ballot {
            nodes: nodes.iter().filter(|node| !departed.contains(*node)).count(),
            arbitrators: self.config.node.arbitrators.len(),
            node_votes: 1 + peers.filter(|node| has_vote(self, node)).count(),
            arbitrator_votes: self.snapshot.arbitrator_votes,
        }
    }
}

impl World for View<'_> {
    fn local_node(&self) -> &NodeName {
        self.snapshot.nodename()
    }

    fn cluster_nodes(&self) -> &[NodeName] {
        &self.snapshot.cluster().nodes
    }

    fn node(&self, node: &NodeName) -> Option<&NodeData> {
        self.snapshot.node(node).map(|entry| &entry.data)
    }

    fn instance(&self, node: &NodeName, path: &ObjectPath) -> Option<&InstanceStatus> {
        self.snapshot.instance(node, path).map(|status| &**status)
    }

    fn config(&self, node: &NodeName, path: &ObjectPath) -> Option<&ConfigEntry> {
        self.snapshot.config(node, path).map(|entry| &**entry)
    }

    fn aggregate(&self, path: &ObjectPath) -> Option<&Aggregate> {
        self.snapshot.aggregate(path).map(|aggregate| &**aggregate)
    }

    fn settings(&self, path: &ObjectPath) -> Option<&ObjectSettings> {
        self.config.objects.get(path).map(|object| &*object.settings)
    }

    fn local_objects(&self) -> Vec<&ObjectPath> {
        let local = self.snapshot.nodename();
        let objects = self.config.objects.iter();
        // What is for other nodes now and runs on here is stopped with the node, too.
        let is_left = |path: &ObjectPath| {
            path.kind().has_instances() && self.snapshot.local_instance(path).is_some()
        };
        let here = objects.filter(|(path, object)| object.has_instance(local) || is_left(path));
        here.map(|(path, _)| path).collect()
    }

    fn conditions(&self) -> Conditions {
        self.conditions
    }

    fn sight(&self, node: &NodeName) -> Sight {
        self.snapshot.node(node).map_or_else(Sight::default, |entry| {
            let has = |node| entry.data.r#gen.get(node).is_some_and(|number| *number > 0);
            Sight {
                is_seen: has(self.snapshot.nodename()),
                is_known: has(node),
                unseen: entry.unseen,
            }
        })
    }
}
