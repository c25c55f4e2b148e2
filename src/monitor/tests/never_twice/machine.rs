//! One machine of the history: what runs on it, its daemon, what that daemon heard, and its vote when it loses a peer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Aggregate, ConfigEntry, InstanceMonitor, InstanceStatus, NodeData, NodeName, ObjectPath,
    ObjectServices, ObjectSettings, ResourceStatus, Status, Timestamp,
};
use monitor::{
    Ballot, Beating, Conditions, InstanceCore, LastWords, Loss, NodeCore, NodeTiming, ObjectView,
    Peers, Sign, World, is_transition,
};

/// Periods, by default or with `cluster.profile = fast`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Periods {
    /// Between two beats.
    pub(crate) interval: f64,
    /// Silence that makes a peer stale.
    pub(crate) timeout: f64,
    /// Keyword `node.ready_period`.
    pub(crate) ready: f64,
    /// Longest way of a message.
    pub(crate) delay: f64,
}

/// What all machines are configured with.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cluster: Vec<NodeName>,
    pub(crate) arbitrators: usize,
    pub(crate) path: ObjectPath,
    pub(crate) settings: ObjectSettings,
    pub(crate) periods: Periods,
}

#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) node: NodeCore,
    pub(crate) instance: InstanceCore,
    /// Published data, its own included.
    view: BTreeMap<NodeName, Arc<NodeData>>,
    versions: BTreeMap<NodeName, u64>,
    beating: Beating,
    peers: Peers,
    /// Peers that were lost and not heard since: they have no vote.
    lost: BTreeSet<NodeName>,
    aggregate: Aggregate,
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: NodeName,
    /// The application runs.
    pub(crate) is_up: bool,
    /// A start runs: the application may run already.
    pub(crate) is_starting: bool,
    /// Actions that run.
    pub(crate) actions: usize,
    pub(crate) frozen: Timestamp,
    pub(crate) node_frozen: Timestamp,
    /// None while it is stopped.
    pub(crate) daemon: Option<Daemon>,
    /// Counts crashes and daemons: what was under way ends with them.
    pub(crate) boot: u32,
    pub(crate) incarnation: u32,
    /// By how much its clock is wrong.
    pub(crate) offset: f64,
    pub(crate) paused_until: f64,
    /// It slept for so long that the others took over: beyond what quorum can tell.
    pub(crate) is_overslept: bool,
}

/// Whom the machine has lost, and what it makes of it.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Nobody.
    Nothing,
    /// Somebody, and it goes on.
    Lost,
    /// It has no majority.
    Dies,
}

impl Machine {
    pub(crate) fn new(name: NodeName) -> Self {
        Self {
            name,
            is_up: false,
            is_starting: false,
            actions: 0,
            frozen: Timestamp::NEVER,
            node_frozen: Timestamp::NEVER,
            daemon: None,
            boot: 0,
            incarnation: 0,
            offset: 0.0,
            paused_until: 0.0,
            is_overslept: false,
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.is_up || self.is_starting
    }

    /// What its clock says.
    pub(crate) fn clock(&self, now: f64) -> Timestamp {
        Timestamp(now + self.offset)
    }

    pub(crate) fn start_daemon(&mut self, now: f64, shared: &Shared) {
        self.incarnation += 1;
        let clock = self.clock(now);
        let config = ConfigEntry { updated: Timestamp(1.0), csum: "c".into(), scope: vec![] };
        let services = ObjectServices {
            status: BTreeMap::new(),
            config: BTreeMap::from([(shared.path.clone(), Arc::new(config))]),
        };
        let own = NodeData {
            compat: Some(10),
            frozen: Some(self.node_frozen),
            services: Some(services),
            ..NodeData::default()
        };
        let timing = NodeTiming { rejoin_grace_period_secs: 90.0 };
        let others = shared.cluster.iter().filter(|node| **node != self.name).cloned();
        self.daemon = Some(Daemon {
            node: NodeCore::new(clock, timing),
            instance: InstanceCore::new(shared.path.clone(), None),
            view: BTreeMap::from([(self.name.clone(), Arc::new(own))]),
            versions: BTreeMap::new(),
            beating: Beating::new(Duration::from_secs_f64(shared.periods.timeout), others),
            peers: Peers::default(),
            lost: BTreeSet::new(),
            aggregate: Aggregate::default(),
        });
    }

    /// Changes the own data.
    pub(crate) fn own(&mut self, change: impl FnOnce(&mut NodeData)) {
        let Some(daemon) = &mut self.daemon else { return };
        let own = daemon.view.get_mut(&self.name).expect("a daemon has its own data");
        change(Arc::make_mut(own));
    }

    pub(crate) fn data(&self) -> Option<Arc<NodeData>> {
        self.daemon.as_ref().map(|daemon| daemon.view[&self.name].clone())
    }

    /// Evaluates the instance, and publishes its status.
    pub(crate) fn evaluate(&mut self, now: f64, shared: &Shared) {
        let Some(daemon) = &self.daemon else { return };
        let state = if self.is_up { Status::Up } else { Status::Down };
        let resource = ResourceStatus {
            status: state.clone(),
            driver: "app.simple".into(),
            label: String::new(),
            provisioned: None,
            disable: false,
            standby: false,
            encap: false,
            optional: false,
            monitor: false,
            restart: 0,
            log: vec![],
            info: BTreeMap::new(),
            tags: vec![],
            subset: None,
        };
        let resources = BTreeMap::from([("app#1".into(), resource.into())]);
        let status = InstanceStatus {
            updated: self.clock(now),
            topology: Some("failover".into()),
            frozen: Some(self.frozen),
            avail: Some(state.clone()),
            overall: Some(state),
            resources: Some(resources),
            monitor: Some(daemon.instance.monitor().clone()),
            ..InstanceStatus::default()
        };
        self.own(|own| {
            let services = own.services.as_mut().expect("made with services");
            services.status.insert(shared.path.clone(), Arc::new(status));
        });
    }

    pub(crate) fn publish(&mut self, path: &ObjectPath, monitor: InstanceMonitor) {
        self.own(|own| {
            let services = own.services.as_mut().expect("made with services");
            if let Some(status) = services.status.get_mut(path) {
                Arc::make_mut(status).monitor = Some(monitor);
            }
        });
    }

    /// Takes the data of a peer over (cluster.md §c). Whether anything is new.
    pub(crate) fn receive(
        &mut self,
        now: f64,
        from: &NodeName,
        version: u64,
        data: &Arc<NodeData>,
    ) -> bool {
        let clock = self.clock(now);
        let Some(daemon) = &mut self.daemon else { return false };
        if daemon.beating.on_beat(Duration::from_secs_f64(now), clock, from) == Some(true) {
            daemon.peers.on_sign(clock, "hb#1", from, Sign::Beating);
        }
        daemon.lost.remove(from);
        if daemon.versions.get(from).is_some_and(|known| *known >= version) {
            return false;
        }
        daemon.versions.insert(from.clone(), version);
        let mut data = data.clone();
        let is_partial = data.monitor.as_ref().is_some_and(|monitor| monitor.status.is_preserved());
        let before = daemon.view.get(from).and_then(|data| data.services.as_ref());
        if let Some(before) = before.filter(|_| is_partial)
            && data.services.as_ref().is_some_and(|services| services.status.is_empty())
        {
            let status = before.status.clone();
            let services = Arc::make_mut(&mut data).services.as_mut().expect("just seen");
            services.status = status;
        }
        daemon.view.insert(from.clone(), data);
        true
    }

    /// When it looks for stale peers next.
    pub(crate) fn next_look(&self) -> Option<f64> {
        Some(self.daemon.as_ref()?.beating.next_look()?.as_secs_f64())
    }

    /// Looks for stale peers, forgets them, and votes.
    pub(crate) fn look(&mut self, now: f64, shared: &Shared, has_arbitrators: bool) -> Verdict {
        let clock = self.clock(now);
        let is_frozen = self.node_frozen.0 != 0.0;
        let Some(daemon) = &mut self.daemon else { return Verdict::Nothing };
        for stale in daemon.beating.on_look(Duration::from_secs_f64(now)) {
            daemon.peers.on_sign(clock, "hb#1", &stale, Sign::Stale);
        }
        let view = &daemon.view;
        let decision = daemon.peers.decide(clock, 60.0, |peer| {
            let monitor = view.get(peer).and_then(|data| data.monitor.as_ref());
            LastWords {
                status: monitor.map(|monitor| monitor.status.clone()),
                status_updated: monitor.and_then(|m| m.status_updated).unwrap_or_default(),
            }
        });
        let mut verdict = Verdict::Nothing;
        for forget in decision.forget {
            daemon.view.remove(&forget.peer);
            daemon.versions.remove(&forget.peer);
            daemon.lost.insert(forget.peer);
            let was_shutting = forget.was_shutting;
            let loss = Loss { has_quorum: true, is_frozen, was_shutting };
            let ballot = Ballot {
                nodes: shared.cluster.len(),
                arbitrators: shared.arbitrators,
                node_votes: shared.cluster.len() - daemon.lost.len(),
                arbitrator_votes: if has_arbitrators { shared.arbitrators } else { 0 },
            };
            let dies = loss.is_to_judge() && !ballot.survives() && !crate::is_broken("quorum");
            verdict = if dies || verdict == Verdict::Dies { Verdict::Dies } else { Verdict::Lost };
        }
        verdict
    }

    /// Whether it has the data of a peer.
    pub(crate) fn knows(&self, peer: &NodeName) -> bool {
        self.daemon.as_ref().is_none_or(|daemon| daemon.versions.contains_key(peer))
    }

    /// The peers without a vote.
    pub(crate) fn lost(&self) -> String {
        format!("{:?}", self.daemon.as_ref().map(|daemon| &daemon.lost))
    }

    pub(crate) fn aggregate(&mut self, shared: &Shared) {
        let aggregate = ObjectView::new(&self.eyes(shared), &shared.path).aggregate();
        if let Some(daemon) = &mut self.daemon {
            daemon.aggregate = aggregate;
        }
    }

    pub(crate) fn eyes<'m>(&'m self, shared: &'m Shared) -> Eyes<'m> {
        Eyes { machine: self, daemon: self.daemon.as_ref(), shared }
    }
}

/// What the daemon of a machine sees.
#[derive(Debug)]
pub(crate) struct Eyes<'m> {
    machine: &'m Machine,
    daemon: Option<&'m Daemon>,
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
        self.daemon?.view.get(node).map(|data| &**data)
    }

    fn instance(&self, node: &NodeName, path: &ObjectPath) -> Option<&InstanceStatus> {
        self.node(node)?.services.as_ref()?.status.get(path).map(|status| &**status)
    }

    fn config(&self, node: &NodeName, path: &ObjectPath) -> Option<&ConfigEntry> {
        self.node(node)?.services.as_ref()?.config.get(path).map(|config| &**config)
    }

    fn aggregate(&self, path: &ObjectPath) -> Option<&Aggregate> {
        self.daemon.filter(|_| *path == self.shared.path).map(|daemon| &daemon.aggregate)
    }

    fn settings(&self, path: &ObjectPath) -> Option<&ObjectSettings> {
        (*path == self.shared.path).then_some(&self.shared.settings)
    }

    fn local_objects(&self) -> Vec<&ObjectPath> {
        vec![&self.shared.path]
    }

    fn conditions(&self) -> Conditions {
        let Some(daemon) = self.daemon else { return Conditions::default() };
        Conditions {
            ready_period_secs: self.shared.periods.ready,
            transitions: usize::from(is_transition(&daemon.instance.monitor().status)),
            grace: daemon.node.in_grace(),
            ..Conditions::default()
        }
    }
}
