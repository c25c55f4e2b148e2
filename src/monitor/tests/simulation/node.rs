//! One simulated machine: what really runs on it, its daemon, and what that daemon has heard of the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Aggregate, ConfigCsum, ConfigEntry, InstanceMonitor, InstanceStatus, Kind, NodeData,
    NodeMonitorStatus, NodeName, ObjectPath, ObjectServices, ObjectSettings, ProvisionedState,
    ResourceSettings, Status, Timestamp,
};
use monitor::{
    Conditions, InstanceCore, InstanceFacts, Moment, NodeCore, NodeTiming, ObjectView,
    ProvisionedReport, ResourceReport, World, instance_status, is_transition, resource_status,
};

/// After so long without a message, a peer is forgotten.
const STALE_SECS: f64 = 15.0;

/// A machine with nothing to tell says so this often.
const ALIVE_SECS: f64 = 4.0;

/// What every node is configured with.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cluster: Vec<NodeName>,
    pub(crate) settings: BTreeMap<ObjectPath, ObjectSettings>,
}

/// The real state of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Real {
    pub(crate) resources: BTreeMap<String, bool>,
    pub(crate) frozen: Timestamp,
    pub(crate) is_provisioned: bool,
}

impl Real {
    pub(crate) fn new(settings: &ObjectSettings) -> Self {
        Self {
            resources: settings.resources.keys().map(|rid| (rid.clone(), false)).collect(),
            frozen: Timestamp::NEVER,
            is_provisioned: true,
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.resources.values().any(|up| *up)
    }

    pub(crate) fn set_all(&mut self, up: bool) {
        self.resources.values_mut().for_each(|resource| *resource = up);
    }
}

#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) core: NodeCore,
    pub(crate) instances: BTreeMap<ObjectPath, InstanceCore>,
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: NodeName,
    pub(crate) real: BTreeMap<ObjectPath, Real>,
    pub(crate) frozen: Timestamp,
    /// None while it is stopped.
    pub(crate) daemon: Option<Daemon>,
    /// Counts crashes: what was under way ends with the machine.
    pub(crate) boot: u32,
    /// Counts daemons.
    pub(crate) incarnation: u32,
    /// Published data, its own included.
    pub(crate) view: BTreeMap<NodeName, NodeData>,
    pub(crate) versions: BTreeMap<NodeName, u64>,
    pub(crate) heard: BTreeMap<NodeName, f64>,
    pub(crate) aggregates: BTreeMap<ObjectPath, Aggregate>,
    pub(crate) publications: BTreeMap<ObjectPath, u32>,
    /// By how much its clock is wrong.
    pub(crate) offset: f64,
    /// The configurations that it has, and whether it tells which ones it evaluated.
    pub(crate) configs: BTreeMap<ObjectPath, Arc<ConfigEntry>>,
    has_csum: bool,
    /// When the own data were sent last, and what.
    sent: (f64, Option<NodeData>),
}

impl Machine {
    pub(crate) fn new(name: NodeName, shared: &Shared) -> Self {
        let real = shared.settings.iter().map(|(path, s)| (path.clone(), Real::new(s))).collect();
        let config = Arc::new(crate::config(0, Timestamp(1.0)));
        let configs = shared.settings.keys().map(|path| (path.clone(), config.clone()));
        let has_csum = name.as_str().bytes().last().is_some_and(|digit| digit % 2 == 1);
        Self {
            offset: 0.0,
            configs: configs.collect(),
            has_csum,
            name,
            real,
            frozen: Timestamp::NEVER,
            daemon: None,
            boot: 0,
            incarnation: 0,
            view: BTreeMap::new(),
            versions: BTreeMap::new(),
            heard: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            publications: BTreeMap::new(),
            sent: (0.0, None),
        }
    }

    /// What its clock says.
    pub(crate) fn clock(&self, now: f64) -> Timestamp {
        Timestamp(now + self.offset)
    }

    /// What its clocks say.
    pub(crate) fn moment(&self, now: f64) -> Moment {
        match crate::is_broken("steady") {
            true => self.clock(now).into(),
            false => Moment { wall: self.clock(now), steady: Duration::from_secs_f64(now) },
        }
    }

    /// Another configuration of an object is installed.
    pub(crate) fn configure(&mut self, path: &ObjectPath, config: ConfigEntry) {
        let config = Arc::new(config);
        self.configs.insert(path.clone(), config.clone());
        if self.daemon.is_some() {
            let services = self.own().services.as_mut().expect("made with services");
            services.config.insert(path.clone(), config);
        }
    }

    pub(crate) fn start_daemon(&mut self, now: f64, shared: &Shared) {
        self.incarnation += 1;
        let instances =
            shared.settings.keys().map(|p| (p.clone(), InstanceCore::new(p.clone(), None)));
        let timing = NodeTiming { rejoin_grace_period_secs: 30.0 };
        self.daemon = Some(Daemon {
            core: NodeCore::new(self.moment(now), timing),
            instances: instances.collect(),
        });
        self.view.clear();
        self.versions.clear();
        self.heard.clear();
        self.aggregates.clear();
        let services = ObjectServices { status: BTreeMap::new(), config: self.configs.clone() };
        let own = NodeData {
            compat: Some(10),
            frozen: Some(self.frozen),
            services: Some(services),
            ..NodeData::default()
        };
        self.view.insert(self.name.clone(), own);
    }

    pub(crate) fn own(&mut self) -> &mut NodeData {
        self.view.get_mut(&self.name).expect("a daemon always has its own data")
    }

    /// Evaluates an instance, and publishes its status.
    pub(crate) fn evaluate(&mut self, now: f64, path: &ObjectPath, shared: &Shared) {
        let settings = &shared.settings[path];
        let real = &self.real[path];
        let status_of = |rid: &str, resource: &ResourceSettings| {
            let report = ResourceReport {
                status: if real.resources[rid] { Status::Up } else { Status::Down },
                provisioned: ProvisionedReport::Flag(ProvisionedState {
                    state: real.is_provisioned,
                    mtime: None,
                }),
                ..ResourceReport::default()
            };
            Arc::new(resource_status(self.clock(now), resource, report))
        };
        let resources =
            settings.resources.iter().map(|(rid, r)| (rid.clone(), status_of(rid, r))).collect();
        let facts = InstanceFacts {
            updated: self.clock(now),
            config_csum: ConfigCsum::parse(&self.configs[path].csum).filter(|_| self.has_csum),
            kind: Kind::Svc,
            app: "default".into(),
            env: "TST".into(),
            frozen: real.frozen,
            running: vec![],
            parallel_subsets: vec![],
            scaler_slaves: vec![],
            drp: false,
            pool: None,
            size: None,
            encap: None,
            last_failure: None,
        };
        let mut status = instance_status(settings, facts, resources);
        let Some(daemon) = &self.daemon else { return };
        status.monitor = Some(daemon.instances[path].monitor().clone());
        let services = self.own().services.as_mut().expect("made with services");
        services.status.insert(path.clone(), Arc::new(status));
    }

    pub(crate) fn publish(&mut self, path: &ObjectPath, monitor: InstanceMonitor) {
        *self.publications.entry(path.clone()).or_default() += 1;
        let services = self.own().services.as_mut().expect("made with services");
        if let Some(status) = services.status.get_mut(path) {
            Arc::make_mut(status).monitor = Some(monitor);
        }
    }

    /// Takes the data of a peer over, as the exchange would. Whether anything is new.
    pub(crate) fn receive(
        &mut self,
        now: f64,
        from: &NodeName,
        version: u64,
        mut data: NodeData,
    ) -> bool {
        self.heard.insert(from.clone(), now);
        if self.versions.get(from).is_some_and(|known| *known >= version) {
            return false;
        }
        let is_partial = data.monitor.as_ref().is_some_and(|monitor| monitor.status.is_preserved());
        if is_partial
            && let Some(before) = self.view.get(from).and_then(|data| data.services.as_ref())
            && let Some(services) = &mut data.services
        {
            for (path, status) in &before.status {
                services.status.entry(path.clone()).or_insert_with(|| status.clone());
            }
        }
        self.versions.insert(from.clone(), version);
        let is_new = self.view.get(from) != Some(&data);
        self.view.insert(from.clone(), data);
        is_new
    }

    /// Whether there is something to send: a change, or a sign of life.
    pub(crate) fn has_news(&mut self, now: f64) -> bool {
        let own = self.view.get(&self.name);
        if self.sent.1.as_ref() == own && now - self.sent.0 < ALIVE_SECS {
            return false;
        }
        self.sent = (now, own.cloned());
        true
    }

    /// Drops the data of the peers that are not heard any more. Whether there were some.
    pub(crate) fn forget_stale(&mut self, now: f64) -> bool {
        let stale: Vec<NodeName> = self
            .heard
            .iter()
            .filter(|(_, heard)| now - **heard > STALE_SECS)
            .map(|(node, _)| node.clone())
            .collect();
        let mut has_forgotten = false;
        for node in stale {
            let monitor = self.view.get(&node).and_then(|data| data.monitor.as_ref());
            let is_announced = monitor.is_some_and(|monitor| {
                monitor.status == NodeMonitorStatus::Maintenance
                    && now - self.heard[&node] < STALE_SECS + 60.0
            });
            if !is_announced {
                self.view.remove(&node);
                self.heard.remove(&node);
                self.versions.remove(&node);
                has_forgotten = true;
            }
        }
        has_forgotten
    }

    pub(crate) fn aggregate(&mut self, shared: &Shared) {
        let aggregates = shared
            .settings
            .keys()
            .map(|p| (p.clone(), ObjectView::new(&self.eyes(shared), p).aggregate()))
            .collect();
        self.aggregates = aggregates;
    }

    pub(crate) fn eyes<'m>(&'m self, shared: &'m Shared) -> Eyes<'m> {
        Eyes { machine: self, shared }
    }
}

/// What the daemon of a machine sees.
#[derive(Debug)]
pub(crate) struct Eyes<'m> {
    machine: &'m Machine,
    shared: &'m Shared,
}

impl World for Eyes<'_> {
    fn local_node(&self) -> &NodeName {
        &self.machine.name
    }

    fn cluster_nodes(&self) -> &[NodeName] {
        &self.shared.cluster
    }

    fn node(&self, node: &NodeName) -> Option<&NodeData> {
        self.machine.view.get(node)
    }

    fn instance(&self, node: &NodeName, path: &ObjectPath) -> Option<&InstanceStatus> {
        self.node(node)?.services.as_ref()?.status.get(path).map(|status| &**status)
    }

    fn config(&self, node: &NodeName, path: &ObjectPath) -> Option<&ConfigEntry> {
        self.node(node)?.services.as_ref()?.config.get(path).map(|config| &**config)
    }

    fn aggregate(&self, path: &ObjectPath) -> Option<&Aggregate> {
        self.machine.aggregates.get(path)
    }

    fn settings(&self, path: &ObjectPath) -> Option<&ObjectSettings> {
        self.shared.settings.get(path)
    }

    fn local_objects(&self) -> Vec<&ObjectPath> {
        self.shared.settings.keys().collect()
    }

    fn conditions(&self) -> Conditions {
        let Some(daemon) = &self.machine.daemon else { return Conditions::default() };
        Conditions {
            max_parallel: 2,
            transitions: daemon
                .instances
                .values()
                .filter(|core| is_transition(&core.monitor().status))
                .count(),
            grace: daemon.core.in_grace(),
            ..Conditions::default()
        }
    }
}
