//! A copy of the cluster data, reduced to some objects, that can be looked at from each node.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Aggregate, ConfigEntry, InstanceMonitor, InstanceStatus, NodeData, NodeMonitorStatus, NodeName,
    ObjectPath, ObjectSettings, Timestamp,
};

use crate::{Conditions, ObjectView, World, is_transition, live_nodes};

/// Objects that act in a forecast; those that they name beyond are only looked at.
const MOST_OBJECTS: usize = 64;

type ByPath<T> = BTreeMap<ObjectPath, T>;

/// The copy.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    local: NodeName,
    cluster: Vec<NodeName>,
    nodes: BTreeMap<NodeName, NodeData>,
    instances: BTreeMap<NodeName, ByPath<InstanceStatus>>,
    configs: BTreeMap<NodeName, ByPath<ConfigEntry>>,
    /// As each node reads them.
    settings: BTreeMap<NodeName, ByPath<ObjectSettings>>,
    aggregates: ByPath<Aggregate>,
    conditions: Conditions,
    /// Actions of local objects that are not on the stage.
    others_acting: usize,
    /// The objects that act, by priority.
    pub(super) cast: Vec<ObjectPath>,
}

impl Stage {
    /// Copies what the object, and the objects that react to it, look at.
    pub(super) fn new(world: &dyn World, relations: &Relations, path: &ObjectPath) -> Self {
        let mut cast: Vec<ObjectPath> = relations.around(world, path).into_iter().collect();
        cast.sort_by_key(|path| world.settings(path).map_or(100, |settings| settings.priority));
        let mut copied: BTreeSet<ObjectPath> = cast.iter().cloned().collect();
        for path in &cast {
            copied.extend(named_by(world, path));
        }
        let mut stage = Self {
            local: world.local_node().clone(),
            cluster: world.cluster_nodes().to_vec(),
            nodes: BTreeMap::new(),
            instances: BTreeMap::new(),
            configs: BTreeMap::new(),
            settings: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            // Time passes on the stage by its clock only.
            conditions: world.conditions(),
            others_acting: 0,
            cast,
        };
        for node in world.cluster_nodes() {
            let Some(data) = relations.nodes.get(node) else { continue };
            stage.nodes.insert(node.clone(), data.clone());
            let copy =
                |path: &ObjectPath| Some((path.clone(), world.instance(node, path)?.clone()));
            stage.instances.insert(node.clone(), copied.iter().filter_map(copy).collect());
            let copy = |path: &ObjectPath| Some((path.clone(), world.config(node, path)?.clone()));
            stage.configs.insert(node.clone(), copied.iter().filter_map(copy).collect());
            let copy = |path: &ObjectPath| {
                let is_configured = world.config(node, path).is_some() || *node == stage.local;
                let settings = world.settings(path).filter(|_| is_configured)?;
                Some((path.clone(), settings_on(settings, node)))
            };
            stage.settings.insert(node.clone(), copied.iter().filter_map(copy).collect());
        }
        let acting = stage.acting(world.local_node());
        stage.others_acting = stage.conditions.transitions.saturating_sub(acting);
        for path in &copied {
            if let Some(aggregate) = world.aggregate(path) {
                stage.aggregates.insert(path.clone(), aggregate.clone());
            }
        }
        // Objects with slaves last, twice for slaves of slaves.
        for path in stage.cast.clone().iter().chain(&stage.cast.clone()) {
            stage.aggregate_again(path);
        }
        stage
    }

    pub(super) fn live_nodes(&self) -> Vec<NodeName> {
        live_nodes(&self.seen_from(&self.local)).map(|(node, _)| node.clone()).collect()
    }

    pub(super) fn local(&self) -> &NodeName {
        &self.local
    }

    pub(super) fn seen_from<'s>(&'s self, node: &'s NodeName) -> Eyes<'s> {
        Eyes { stage: self, node }
    }

    pub(super) fn published(&self, node: &NodeName, path: &ObjectPath) -> Option<&InstanceStatus> {
        self.instances.get(node)?.get(path)
    }

    pub(super) fn settings(&self, node: &NodeName, path: &ObjectPath) -> Option<&ObjectSettings> {
        self.settings.get(node)?.get(path)
    }

    /// Publishes the monitor of an instance. Whether anything changes.
    pub(super) fn publish(
        &mut self,
        node: &NodeName,
        path: &ObjectPath,
        monitor: &InstanceMonitor,
    ) -> bool {
        let instances = self.instances.entry(node.clone()).or_default();
        let instance = instances.entry(path.clone()).or_default();
        if instance.monitor.as_ref() == Some(monitor) {
            return false;
        }
        instance.monitor = Some(monitor.clone());
        self.aggregate_again(path);
        true
    }

    /// Changes an instance.
    pub(super) fn change(
        &mut self,
        node: &NodeName,
        path: &ObjectPath,
        change: impl FnOnce(&mut InstanceStatus, &ObjectSettings),
    ) {
        let settings = self.settings.get(node).and_then(|settings| settings.get(path));
        let instance = self.instances.get_mut(node).and_then(|instances| instances.get_mut(path));
        if let (Some(settings), Some(instance)) = (settings, instance) {
            change(instance, settings);
            self.aggregate_again(path);
        }
    }

    /// The configuration of an object is gone from a node.
    pub(super) fn unconfigure(&mut self, node: &NodeName, path: &ObjectPath) {
        if let Some(configs) = self.configs.get_mut(node) {
            configs.remove(path);
        }
        if let Some(settings) = self.settings.get_mut(node) {
            settings.remove(path);
        }
        self.aggregate_again(path);
    }

    /// The instance is gone, but for its monitor.
    pub(super) fn disown(&mut self, node: &NodeName, path: &ObjectPath) {
        if let Some(instance) = self.instances.get_mut(node).and_then(|i| i.get_mut(path)) {
            let monitor = instance.monitor.take();
            *instance = InstanceStatus { monitor, ..InstanceStatus::default() };
        }
        self.aggregate_again(path);
    }

    /// The instance is gone.
    pub(super) fn remove(&mut self, node: &NodeName, path: &ObjectPath) {
        if let Some(instances) = self.instances.get_mut(node) {
            instances.remove(path);
        }
        self.aggregate_again(path);
    }

    /// Actions of objects that are not on the stage hold nothing up.
    pub(super) fn forget_others(&mut self) {
        self.others_acting = 0;
    }

    /// The node empties itself: it is frozen.
    pub(super) fn begin_drain(&mut self, node: &NodeName, now: Timestamp) {
        let Some(data) = self.nodes.get_mut(node) else { return };
        // An older freeze stays.
        let frozen = data.frozen.filter(|time| time.0 != 0.0);
        data.frozen = frozen.or(Some(now));
        self.set_node_status(node, NodeMonitorStatus::Draining);
    }

    pub(super) fn set_node_status(&mut self, node: &NodeName, status: NodeMonitorStatus) {
        let monitor = self.nodes.get_mut(node).and_then(|data| data.monitor.as_mut());
        if let Some(monitor) = monitor {
            monitor.status = status;
        }
    }

    /// So many nodes vote no more.
    pub(super) fn withdraw_votes(&mut self, nodes: usize) {
        if let Some(ballot) = &mut self.conditions.ballot {
            ballot.node_votes = ballot.node_votes.saturating_sub(nodes);
        }
    }

    /// The node is gone, and the others say no more that they hear it.
    pub(super) fn lose(&mut self, node: &NodeName) {
        self.nodes.remove(node);
        self.nodes.values_mut().for_each(|data| _ = data.r#gen.remove(node));
        self.instances.remove(node);
        self.configs.remove(node);
        for path in self.cast.clone() {
            self.aggregate_again(&path);
        }
    }

    pub(super) fn aggregate(&self, path: &ObjectPath) -> Aggregate {
        self.aggregates.get(path).cloned().unwrap_or_default()
    }

    /// Computes the state of an object over its instances, and of those that count it in.
    fn aggregate_again(&mut self, path: &ObjectPath) {
        let is_above = |other: &&ObjectPath| {
            *other != path
                && self
                    .instances
                    .values()
                    .filter_map(|instances| instances.get(*other))
                    .any(|status| status.all_slaves(other).any(|slave| slave == *path))
        };
        let above: Vec<ObjectPath> = self.cast.iter().filter(is_above).cloned().collect();
        for path in std::iter::once(path).chain(&above) {
            let aggregate = ObjectView::new(&self.seen_from(&self.local), path).aggregate();
            if aggregate == Aggregate::default() {
                self.aggregates.remove(path);
            } else {
                self.aggregates.insert(path.clone(), aggregate);
            }
        }
    }

    /// Objects with an action running on a node.
    fn acting(&self, node: &NodeName) -> usize {
        let instances = self.instances.get(node).into_iter().flat_map(BTreeMap::values);
        instances
            .filter_map(|instance| instance.monitor.as_ref())
            .filter(|monitor| is_transition(&monitor.status))
            .count()
    }
}

/// The settings as another node reads them, as far as known here: its peers are its own.
fn settings_on(settings: &ObjectSettings, node: &NodeName) -> ObjectSettings {
    let peers = if settings.nodes.contains(node) {
        settings.nodes.clone()
    } else if settings.drpnodes.contains(node) {
        settings.drpnodes.clone()
    } else {
        vec![]
    };
    ObjectSettings { peers, ..settings.clone() }
}

/// Objects that an object looks at.
fn named_by(world: &dyn World, path: &ObjectPath) -> Vec<ObjectPath> {
    let mut texts: Vec<&String> = vec![];
    let mut slaves: Vec<ObjectPath> = vec![];
    if let Some(settings) = world.settings(path) {
        texts.extend(settings.parents.iter().chain(&settings.children).chain(&settings.slaves));
        texts.extend(settings.hard_affinity.iter().chain(&settings.hard_anti_affinity));
        texts.extend(settings.soft_affinity.iter().chain(&settings.soft_anti_affinity));
    }
    for (node, _) in live_nodes(world) {
        if let Some(instance) = world.instance(node, path) {
            slaves.extend(instance.all_slaves(path));
        }
    }
    let names = texts.into_iter().map(|text| text.split('@').next().unwrap_or(text));
    names.filter_map(|text| ObjectPath::parse(text).ok()).chain(slaves).collect()
}

/// What is the same on each stage: which objects name which, and what the nodes are beside their services.
#[derive(Debug)]
pub(super) struct Relations {
    naming: ByPath<Vec<ObjectPath>>,
    nodes: BTreeMap<NodeName, NodeData>,
}

impl Relations {
    pub(super) fn of(world: &dyn World) -> Self {
        let mut naming: ByPath<Vec<ObjectPath>> = BTreeMap::new();
        for other in world.local_objects() {
            for named in named_by(world, other) {
                naming.entry(named).or_default().push(other.clone());
            }
        }
        let stripped = |node: &NodeName| {
            let data = world.node(node)?;
            Some((node.clone(), NodeData { services: None, ..data.clone() }))
        };
        Self { naming, nodes: world.cluster_nodes().iter().filter_map(stripped).collect() }
    }

    /// The object, those that it names and those that name it, and so on.
    fn around(&self, world: &dyn World, path: &ObjectPath) -> BTreeSet<ObjectPath> {
        let mut cast = BTreeSet::from([path.clone()]);
        let mut next = vec![path.clone()];
        while let Some(path) = next.pop() {
            let named = named_by(world, &path);
            let naming = self.naming.get(&path).into_iter().flatten().cloned();
            for other in named.into_iter().chain(naming) {
                if cast.len() < MOST_OBJECTS && cast.insert(other.clone()) {
                    next.push(other);
                }
            }
        }
        cast
    }
}

/// What the daemon of a node sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eyes<'s> {
    stage: &'s Stage,
    node: &'s NodeName,
}

impl World for Eyes<'_> {
    fn local_node(&self) -> &NodeName {
        self.node
    }

    fn cluster_nodes(&self) -> &[NodeName] {
        &self.stage.cluster
    }

    fn node(&self, node: &NodeName) -> Option<&NodeData> {
        self.stage.nodes.get(node)
    }

    fn instance(&self, node: &NodeName, path: &ObjectPath) -> Option<&InstanceStatus> {
        self.stage.published(node, path)
    }

    fn config(&self, node: &NodeName, path: &ObjectPath) -> Option<&ConfigEntry> {
        self.stage.configs.get(node)?.get(path)
    }

    fn aggregate(&self, path: &ObjectPath) -> Option<&Aggregate> {
        self.stage.aggregates.get(path)
    }

    fn settings(&self, path: &ObjectPath) -> Option<&ObjectSettings> {
        self.stage.settings(self.node, path)
    }

    fn local_objects(&self) -> Vec<&ObjectPath> {
        self.stage.settings.get(self.node).into_iter().flat_map(BTreeMap::keys).collect()
    }

    /// Each node sees at once what another one does.
    fn acked(&self, _: &NodeName) -> u64 {
        u64::MAX
    }

    /// Those of the local node are known; the others are taken to have the same settings.
    fn conditions(&self) -> Conditions {
        let acting = self.stage.acting(self.node);
        if *self.node == self.stage.local {
            let transitions = acting + self.stage.others_acting;
            return Conditions { transitions, ..self.stage.conditions };
        }
        let monitor = self.node(self.node).and_then(|data| data.monitor.as_ref());
        let is_joining = monitor.is_some_and(|monitor| {
            matches!(monitor.status, NodeMonitorStatus::Init | NodeMonitorStatus::Rejoin)
        });
        Conditions { transitions: acting, grace: is_joining, blind: false, ..self.stage.conditions }
    }
}
