//! What nodes publish of themselves that selectors of nodes look at: kept in a file, for commands and for the time before
//! the others are heard (src/dataset/README.md, What a node publishes).

use std::collections::BTreeMap;

use actix::Recipient;
use model::NodeName;
use serde_json::{Map, Value, json};

use dataset::snapshot::{NodeEntry, Snapshot};
use machine::durable;
use machine::paths::Paths;
use mail::config_watcher::LabelsChanged;

/// What was written last, by node.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<NodeName, Info>);

/// Labels and storage targets of a node.
type Info = (BTreeMap<String, String>, Value);

impl Known {
    /// Writes the labels of all nodes that were heard, if they changed, and tells who evaluates with them. Members that
    /// are not heard keep what was known of them.
    pub(super) fn follow(
        &mut self,
        snapshot: &Snapshot,
        paths: &Paths,
        told: &Recipient<LabelsChanged>,
    ) {
        let heard = || snapshot.nodes().iter().filter(|(_, node)| node.data.monitor.is_some());
        let is_known = |name: &NodeName, node: &NodeEntry| {
            let known = self.0.get(name);
            known.is_some_and(|(labels, targets)| {
                *labels == node.data.labels && *targets == node.data.targets
            })
        };
        // A member that is lost has its labels still: what they select does not move because it is silent.
        let is_node = |name: &NodeName| {
            snapshot.nodes().contains_key(name) || snapshot.cluster().nodes.contains(name)
        };
        if heard().all(|(name, node)| is_known(name, node)) && self.0.keys().all(is_node) {
            return;
        }
        let file = paths.nodes_info();
        // As it is written there, maybe by another version: who is not heard keeps that.
        let before: Map<String, Value> =
            machine::regular::read(&file, machine::regular::MAX_FILE_BYTES)
                .ok()
                .and_then(|bytes| wire::parse_json(&bytes).ok())
                .unwrap_or_default();
        let mut all = before.clone();
        all.retain(|name, _| NodeName::new(name).is_ok_and(|name| is_node(&name)));
        self.0.retain(|name, _| is_node(name));
        for (name, node) in heard() {
            let (labels, targets) = (&node.data.labels, &node.data.targets);
            all.insert(name.to_string(), json!({"labels": labels, "targets": targets}));
            self.0.insert(name.clone(), (labels.clone(), targets.clone()));
        }
        if all != before {
            let text = Value::from(all).to_string();
            if let Err(error) = durable::write_cache(&file, text.as_bytes(), 0o644) {
                log::warn!(error:% = error; "labels of the nodes not kept");
            }
            told.do_send(LabelsChanged);
        }
    }
}
