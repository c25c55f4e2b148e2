//! The cluster data being changed.

pub mod dirty;
mod peers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::exchange::Exchange;
use crate::journal::Ops;
use model::thread::Block;
use model::{
    Aggregate, Alert, Claim, ConfigEntry, EventFacts, InstanceMonitor, InstanceStatus,
    MonitorStatus, NodeData, NodeMonitorData, NodeName, ObjectPath, Status, Timestamp,
};
use monitor::{ObjectView, Standing};
use serde_json::{Map, Value, json};

use crate::changes::NodeFacts;
use crate::config::LoadedConfig;
use crate::peer::DroppedLog;
use crate::shared_map::SharedMap;
use crate::snapshot::{NodeEntry, Snapshot, value};
use crate::state::dirty::Dirty;
use crate::view::View;

/// Compatibility level of the deployed agents. With another one, no node of the cluster would start anything by itself.
const COMPAT: u32 = 10;
/// API level of the deployed agents.
const API: u32 = 7;

/// States per driver group that are looked through for one to share. Most instances have resources of a few groups, up
/// or down.
const GROUPS_SHARED: usize = 16;

/// The state of the writer.
#[derive(Debug)]
pub struct State {
    /// The next snapshot.
    pub now: Snapshot,
    /// What differs from the last one.
    pub dirty: Dirty,
    /// Objects that have an object as slave, and the node that says so: their state includes its own.
    masters: BTreeMap<ObjectPath, BTreeSet<(ObjectPath, NodeName)>>,
    /// Local objects with an action running.
    acting: BTreeSet<ObjectPath>,
    /// States per driver group that were published lately, to be shared: the last one used comes last.
    groups: Vec<Arc<BTreeMap<String, Status>>>,
    /// Generations, here and at the peers. Those of the local node start at the clock in milliseconds, so that they are
    /// higher than any of an earlier life: publications are 3 ms apart.
    pub exchange: Exchange,
    /// The peers are to be told at once, although nothing changed here.
    is_send_due: bool,
    dropped: DroppedLog,
    /// Objects of peers that were read by the actor itself, since it started.
    pub read_here: usize,
}

impl State {
    /// Goes on from a snapshot, at this time.
    pub fn new(now: Snapshot, at: Timestamp) -> Self {
        let generation = (at.0 * 1_000.0) as u64;
        let mut state = Self {
            dirty: Dirty::default(),
            masters: BTreeMap::new(),
            acting: BTreeSet::new(),
            groups: vec![],
            exchange: Exchange::new(now.nodename.clone(), generation),
            is_send_due: false,
            dropped: DroppedLog::default(),
            read_here: 0,
            now,
        };
        for (name, node) in state.now.nodes.clone() {
            for (path, status) in node.status.iter() {
                state.index(&name, path, None, Some(status));
            }
        }
        state.local();
        state
    }

    /// The local node, to be changed.
    fn local(&mut self) -> &mut NodeEntry {
        let entry = self.now.nodes.entry(self.now.nodename.clone()).or_insert_with(|| {
            self.dirty.is_node = true;
            Arc::new(NodeEntry {
                data: NodeData {
                    compat: Some(COMPAT),
                    api: Some(API),
                    agent: Some(String::new()),
                    release: Some(env!("CARGO_PKG_VERSION").to_owned()),
                    monitor: Some(NodeMonitorData::default()),
                    targets: json!([]),
                    frozen: Some(Timestamp::NEVER),
                    envelope: Some("sealed".to_owned()),
                    ..NodeData::default()
                },
                ..NodeEntry::default()
            })
        });
        Arc::make_mut(entry)
    }

    /// Keeps the indexes in step with an instance on a node.
    fn index(
        &mut self,
        node: &NodeName,
        path: &ObjectPath,
        old: Option<&InstanceStatus>,
        new: Option<&InstanceStatus>,
    ) {
        let slaves = |status: Option<&InstanceStatus>| -> Vec<ObjectPath> {
            status.into_iter().flat_map(|status| status.all_slaves(path)).collect()
        };
        for slave in slaves(old) {
            if let Some(masters) = self.masters.get_mut(&slave) {
                masters.remove(&(path.clone(), node.clone()));
                if masters.is_empty() {
                    self.masters.remove(&slave);
                }
            }
        }
        for slave in slaves(new) {
            self.masters.entry(slave).or_default().insert((path.clone(), node.clone()));
        }
        if *node != self.now.nodename {
            return;
        }
        let is_acting = new.and_then(|status| status.monitor.as_ref()).is_some_and(|monitor| {
            monitor.status.is_transitioning() && monitor.status != MonitorStatus::Scaling
        });
        if is_acting {
            self.acting.insert(path.clone());
        } else {
            self.acting.remove(path);
        }
    }

    fn put(&mut self, path: ObjectPath, status: InstanceStatus) {
        // Deployed agents crash on an instance without monitor.
        debug_assert!(status.monitor.is_some(), "{path} without monitor");
        let status = Arc::new(status);
        let old = self.local().status.insert(path.clone(), status.clone());
        let local = self.now.nodename.clone();
        self.index(&local, &path, old.as_deref(), Some(&status));
        self.dirty.instances.insert(path);
    }

    /// The same states per driver group, as an instance published them before if one did.
    fn shared(&mut self, groups: Arc<BTreeMap<String, Status>>) -> Arc<BTreeMap<String, Status>> {
        let groups = match self.groups.iter().position(|known| *known == groups) {
            Some(at) => self.groups.remove(at),
            None => groups,
        };
        self.groups.push(groups.clone());
        if self.groups.len() > GROUPS_SHARED {
            self.groups.remove(0);
        }
        groups
    }

    /// The local instance was evaluated; its monitor stays.
    pub fn set_instance(&mut self, path: ObjectPath, mut status: InstanceStatus) {
        let old = self.now.local_instance(&path);
        // It was evaluated while its monitor went: it is for other nodes now.
        let is_for_others = |config: &Arc<ConfigEntry>| {
            !config.scope.is_empty() && !config.scope.contains(&self.now.nodename)
        };
        let config = self.now.nodes.get(&self.now.nodename).and_then(|it| it.config.get(&path));
        if old.is_none() && config.is_some_and(is_for_others) {
            return;
        }
        // A deployed peer crashes on an instance without monitor.
        status.monitor = Some(old.and_then(|old| old.monitor.clone()).unwrap_or_default());
        status.preserved = false;
        if old.is_none_or(|old| **old != status) {
            status.status_group = status.status_group.map(|groups| self.shared(groups));
            self.put(path, status);
        }
    }

    /// The monitor of the local instance changed.
    pub fn set_monitor(&mut self, path: ObjectPath, monitor: InstanceMonitor) {
        let old = self.now.local_instance(&path);
        if old.and_then(|old| old.monitor.as_ref()) == Some(&monitor) {
            return;
        }
        let mut status = old.map(|old| (**old).clone()).unwrap_or_else(|| InstanceStatus {
            resources: Some(BTreeMap::new()),
            ..InstanceStatus::default()
        });
        status.monitor = Some(monitor);
        self.put(path, status);
    }

    /// Only the monitor of the local instance stays.
    pub fn disown_instance(&mut self, path: ObjectPath) {
        let monitor = self.now.local_instance(&path).and_then(|old| old.monitor.clone());
        let status = InstanceStatus {
            resources: Some(BTreeMap::new()),
            monitor: Some(monitor.unwrap_or_default()),
            ..InstanceStatus::default()
        };
        self.put(path, status);
    }

    /// The local instance is no more.
    pub fn remove_instance(&mut self, path: &ObjectPath) {
        if let Some(old) = self.local().status.remove(path) {
            let local = self.now.nodename.clone();
            self.index(&local, path, Some(&old), None);
            self.dirty.instances.insert(path.clone());
        }
    }

    /// Configurations were read, changed or deleted.
    pub fn set_configs(&mut self, entries: Vec<(ObjectPath, Option<ConfigEntry>)>) {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        let (mut set, mut changed) = (vec![], vec![]);
        let config = &mut self.local().config;
        for (path, entry) in entries {
            // What is no number would be null for the peers, and deployed agents crash on it.
            let is_changed = match entry.filter(|entry| entry.updated.0.is_finite()) {
                Some(entry) if config.get(&path).is_some_and(|old| **old == entry) => false,
                Some(entry) => {
                    set.push((path.clone(), Arc::new(entry)));
                    true
                }
                None => config.remove(&path).is_some(),
            };
            if is_changed {
                changed.push(path);
            }
        }
        config.insert_all(set);
        self.dirty.configs.extend(changed);
    }

    /// The local node changed.
    pub fn set_node(&mut self, change: NodeFacts) {
        let before = self.local().data.clone();
        let data = &mut self.local().data;
        if let Some(monitor) = change.monitor {
            data.monitor = Some(monitor);
        }
        if let Some(frozen) = change.frozen {
            data.frozen = Some(frozen);
            data.frozen_by = change.frozen_by;
        }
        if let Some(stats) = change.stats {
            data.stats = stats;
        }
        let mut is_quorum_changed = false;
        if let Some(arbitrators) = change.arbitrators {
            let votes = arbitrators.values().filter(|state| state.status == "up").count();
            data.arbitrators = arbitrators;
            is_quorum_changed |= std::mem::replace(&mut self.now.arbitrator_votes, votes) != votes;
        }
        if let Some(departed) = change.departed {
            is_quorum_changed |= self.now.departed != departed;
            self.now.departed = departed;
        }
        let data = &mut self.local().data;
        if let Some(secret) = change.secret {
            data.secret = Some(secret);
        }
        if let Some(deleted) = change.deleted {
            data.deleted = deleted;
        }
        if let Some(settings) = change.settings {
            data.labels = settings.labels;
            data.env = Some(settings.env);
            data.config = [("csum".to_owned(), settings.config_csum)].into();
            data.min_avail_mem = settings.min_avail_mem;
            data.min_avail_swap = settings.min_avail_swap;
            self.set_cluster(settings.cluster);
        }
        let data = &self.now.nodes[&self.now.nodename].data;
        if *data != before {
            self.dirty.is_node = true;
        }
        if data.monitor != before.monitor
            || data.frozen != before.frozen
            || data.labels != before.labels
            || is_quorum_changed
        {
            self.dirty.is_node_decisive = true;
        }
    }

    fn set_cluster(&mut self, cluster: crate::snapshot::ClusterInfo) {
        if self.now.cluster == cluster {
            return;
        }
        let local = self.now.nodename.clone();
        let gone: Vec<NodeName> = self.now.nodes.keys().cloned().collect();
        for name in gone.iter().filter(|name| **name != local && !cluster.nodes.contains(name)) {
            self.forget_peer(name);
        }
        // A member that was forgotten stays so until it is heard.
        for name in &cluster.nodes {
            if *name != local && !self.now.cluster.nodes.contains(name) {
                self.now.nodes.entry(name.clone()).or_default();
            }
        }
        self.now.cluster = cluster;
        self.dirty.is_cluster = true;
    }

    /// How the local node stands with the members.
    pub fn set_standing(&mut self, standing: Standing) {
        if std::mem::replace(&mut self.now.standing, standing) != standing {
            self.dirty.is_node_decisive = true;
        }
    }

    /// The block of a thread changed.
    pub fn set_thread(&mut self, id: String, block: Option<Block>) {
        let old = self.now.threads.get(&id).map(|block| &**block);
        if old == block.as_ref() {
            return;
        }
        self.set_alerts(&id, block.as_ref().map(|block| block.alerts.clone()).unwrap_or_default());
        match block {
            Some(block) => self.now.threads.insert(id.clone(), Arc::new(block)),
            None => self.now.threads.remove(&id),
        };
        self.dirty.threads.insert(id);
    }

    /// What operators are told of a thread changed: those of the other nodes are told too.
    fn set_alerts(&mut self, id: &str, alerts: Vec<Alert>) {
        let told = self.now.nodes.get(&self.now.nodename).and_then(|node| node.data.alerts.get(id));
        if told.map_or(&[][..], Vec::as_slice) == alerts {
            return;
        }
        let data = &mut self.local().data;
        match alerts.is_empty() {
            true => _ = data.alerts.remove(id),
            false => _ = data.alerts.insert(id.to_owned(), alerts),
        }
        self.dirty.is_node = true;
    }

    /// Claims a lock under this id; none while another holder has it.
    pub fn claim_lock(
        &mut self,
        name: &str,
        requester: &NodeName,
        id: String,
        now: Timestamp,
    ) -> Option<String> {
        if self.local().data.locks.contains_key(name) {
            return None;
        }
        let claim = Claim { id: id.clone(), requested: now, requester: requester.clone() };
        self.local().data.locks.insert(name.to_owned(), claim);
        self.dirty.is_node = true;
        Some(id)
    }

    /// Releases a lock that has this id.
    pub fn release_lock(&mut self, name: &str, id: &str) {
        let locks = &mut self.local().data.locks;
        if locks.get(name).is_some_and(|claim| claim.id == id) {
            locks.remove(name);
            self.dirty.is_node = true;
        }
    }

    /// Computes what follows from the changes and numbers them. `old` is the snapshot that was published. Returns what
    /// changed.
    pub fn settle(&mut self, old: &Snapshot, config: &LoadedConfig, now: Timestamp) -> Dirty {
        self.compute_aggregates(config);
        self.now.transitions = self.acting.len();
        let view = View::new(&self.now, config, false);
        let (compat, frozen) = (monitor::is_compatible(&view), monitor::cluster_frozen(&view));
        (self.now.compat, self.now.frozen) = (compat, frozen);
        if self.dirty.is_local() || self.exchange.is_raise_due() {
            let ops = if self.exchange.is_alone() {
                Ops::new()
            } else {
                self.dirty.local_ops(old, &self.now)
            };
            let snapshot = &self.now;
            self.exchange.record(ops, now, || snapshot.local_bytes());
            self.local().data.updated = now;
        }
        let gens = self.exchange.gens();
        if self.local().data.r#gen != gens {
            self.local().data.r#gen = gens;
        }
        self.now.generation += 1;
        std::mem::take(&mut self.dirty)
    }

    fn compute_aggregates(&mut self, config: &LoadedConfig) {
        let mut paths: BTreeSet<ObjectPath> = self.dirty.objects().cloned().collect();
        if self.dirty.concerns_all() {
            // Candidates, hence placement, may depend on the node.
            paths.extend(self.now.services.keys().cloned());
        }
        // A scaler counts instances, which may change while the state of their object does not.
        let masters = paths.iter().filter_map(|path| self.masters.get(path)).flatten();
        let masters: Vec<ObjectPath> = masters.map(|(master, _)| master.clone()).collect();
        paths.extend(masters);
        // Slaves before their masters, as far as chains go: each round takes those whose slaves changed.
        for _round in 0..8 {
            let changed = self.compute_aggregates_of(&paths, config);
            paths = changed
                .iter()
                .filter_map(|path| self.masters.get(path))
                .flatten()
                .map(|(master, _)| master.clone())
                .collect();
            self.dirty.aggregates.extend(changed);
            if paths.is_empty() {
                break;
            }
        }
    }

    /// Computes the states of these objects; returns those that changed.
    fn compute_aggregates_of(
        &mut self,
        paths: &BTreeSet<ObjectPath>,
        config: &LoadedConfig,
    ) -> BTreeSet<ObjectPath> {
        let view = View::new(&self.now, config, false);
        let (mut changed, mut set, mut gone) = (BTreeSet::new(), vec![], vec![]);
        for path in paths {
            let old = self.now.services.get(path);
            if !self.now.nodes.values().any(|node| node.config.contains_key(path)) {
                if old.is_some() {
                    gone.push(path.clone());
                    changed.insert(path.clone());
                }
                continue;
            }
            let state = if path.kind().has_instances() {
                ObjectView::new(&view, path).aggregate()
            } else {
                Aggregate::default()
            };
            if old.is_none_or(|old| **old != state) {
                set.push((path.clone(), Arc::new(state)));
                changed.insert(path.clone());
            }
        }
        if gone.len() == self.now.services.len() {
            self.now.services = SharedMap::default();
        }
        for path in gone {
            self.now.services.remove(&path);
        }
        self.now.services.insert_all(set);
        changed
    }

    /// The document of an event (actors/README.md, Events).
    pub fn event(
        &self,
        id: &str,
        path: Option<&ObjectPath>,
        facts: &EventFacts,
        now: Timestamp,
    ) -> String {
        let mut data = Map::new();
        data.insert("id".to_owned(), id.into());
        let local = self.now.local();
        data.insert(
            "monitor".to_owned(),
            value(&local.and_then(|local| local.data.monitor.clone())),
        );
        if let Some(path) = path {
            data.insert("path".to_owned(), path.as_str().into());
            if let Some(state) = self.now.aggregate(path) {
                data.insert("service".to_owned(), value(state));
            }
            if let Some(instance) = self.now.local_instance(path) {
                let rid = facts.rid.as_deref();
                let resources = instance.resources.as_ref();
                if let Some(resource) = rid.and_then(|rid| resources?.get(rid)) {
                    data.insert("resource".to_owned(), value(resource));
                }
                let instance = InstanceStatus { resources: None, ..(**instance).clone() };
                data.insert("instance".to_owned(), value(&instance));
            }
        }
        if let Value::Object(facts) = value(facts) {
            data.extend(facts);
        }
        json!({"kind": "event", "nodename": self.now.nodename, "ts": now, "data": data}).to_string()
    }
}
