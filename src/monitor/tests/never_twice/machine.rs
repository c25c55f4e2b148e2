//! One machine of the history: what runs on it, its daemon, what that daemon heard, and its vote when it loses a peer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Aggregate, ConfigCsum, ConfigEntry, InstanceMonitor, InstanceStatus, MonitorStatus, NodeData,
    NodeMonitorStatus, NodeName, NodeStats, ObjectPath, ObjectServices, ObjectSettings,
    ResourceStatus, Status, Timestamp,
};
use monitor::{
    Ballot, Beating, Conditions, InstanceCore, Life, Loss, Moment, NodeCore, NodeTiming,
    ObjectView, Peers, Sight, Sign, Unseen, World, has_vote, is_transition,
};

/// Keyword `node.maintenance_grace_period`.
const GRACE: Duration = Duration::from_secs(60);
/// Keyword `node.rejoin_grace_period`.
pub(crate) const REJOIN_SECS: f64 = 90.0;

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

/// What a message says of its sender's knowledge: whose data it has, and of which version; 0 asks for them.
pub(crate) type Gens = BTreeMap<NodeName, u64>;

#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) node: NodeCore,
    pub(crate) instance: InstanceCore,
    /// Published data, its own included.
    view: BTreeMap<NodeName, Arc<NodeData>>,
    /// What it has of its peers, and from which life of theirs.
    versions: Gens,
    lives: BTreeMap<NodeName, u32>,
    /// Their newest messages, by life and number.
    newest: BTreeMap<NodeName, (u32, u64)>,
    /// What its peers have, as they said last.
    told: BTreeMap<NodeName, Arc<Gens>>,
    unseen: BTreeMap<NodeName, Unseen>,
    beating: Beating,
    peers: Peers,
    /// Peers that were lost and not heard since: they have no vote.
    lost: BTreeMap<NodeName, u64>,
    /// What they had acknowledged when they were lost last.
    stale_acks: Gens,
    /// The first version of its own data.
    pub(crate) first_version: u64,
    /// Its own data as they were sent last, and their version.
    pub(crate) published: Option<(Arc<NodeData>, u64)>,
    /// The version of its own data when they are sent next.
    pub(crate) next_version: u64,
    /// Arbitrators that answered after the last loss.
    arbitrator_votes: usize,
    aggregate: Aggregate,
    /// An action of the daemon before it runs: nothing is decided before its end.
    pub(crate) is_adopting: bool,
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: NodeName,
    /// The application runs.
    pub(crate) is_up: bool,
    /// A start runs: the application may run already.
    pub(crate) is_starting: bool,
    /// Actions that run, and what the last one makes of the monitor.
    pub(crate) actions: usize,
    pub(crate) acts: MonitorStatus,
    pub(crate) frozen: Timestamp,
    pub(crate) node_frozen: Timestamp,
    /// None while it is stopped.
    pub(crate) daemon: Option<Daemon>,
    /// Counts crashes and daemons: what was under way ends with them.
    pub(crate) boot: u32,
    pub(crate) incarnation: u32,
    /// By how much its clock is wrong.
    pub(crate) offset: f64,
    /// What its load is.
    pub(crate) load: f64,
    /// The configuration that it has, and whether it tells which one it evaluated.
    pub(crate) config: Arc<ConfigEntry>,
    has_csum: bool,
    pub(crate) paused_until: f64,
    /// What it is sent meanwhile is lost.
    pub(crate) is_deaf: bool,
    /// Its daemon was killed, or ended while the node was cut off: nobody watches over what runs.
    pub(crate) is_headless: bool,
    /// Its daemon has announced that it is soon back.
    pub(crate) is_restarting: bool,
    /// When its daemon started last.
    back_at: f64,
    /// It was out of sight of others while it was active. If its node is frozen, that has no consequences.
    pub(crate) was_out: bool,
    /// It started in a cut that healed before anybody noticed, and another one was started by others meanwhile.
    pub(crate) was_asked_apart: bool,
    /// It lost a split, and is about to end.
    pub(crate) is_condemned: bool,
    /// When it started the object last.
    pub(crate) started_at: f64,
}

/// What the machine makes of the peers it lost.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody is lost.
    Nothing,
    /// It goes on.
    Lost,
    /// The arbitrators have to answer first. So many nodes vote for it, whoever is heard again meanwhile.
    Ask(usize),
    /// It has no majority.
    Dies,
}

/// What a message made of a machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// There is something to decide.
    pub(crate) is_news: bool,
    /// The sender is to be answered at once.
    pub(crate) is_send_due: bool,
}

impl Machine {
    pub(crate) fn new(name: NodeName) -> Self {
        let has_csum = name.as_str().bytes().last().is_some_and(|digit| digit % 2 == 1);
        Self {
            name,
            is_up: false,
            is_starting: false,
            actions: 0,
            acts: MonitorStatus::Idle,
            frozen: Timestamp::NEVER,
            node_frozen: Timestamp::NEVER,
            daemon: None,
            boot: 0,
            incarnation: 0,
            offset: 0.0,
            load: 1.0,
            config: Arc::new(crate::config(0, Timestamp(1.0))),
            has_csum,
            paused_until: 0.0,
            is_deaf: false,
            is_headless: false,
            is_restarting: false,
            back_at: 0.0,
            was_out: false,
            was_asked_apart: false,
            is_condemned: false,
            started_at: 0.0,
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.is_up || self.is_starting
    }

    /// Whether its daemon is being restarted, or was so lately that not everybody knows of its end.
    pub(crate) fn is_away(&self, now: f64, lately: f64) -> bool {
        if now - self.back_at < lately {
            return true;
        }
        let status = self.daemon.as_ref().map(|daemon| &daemon.node.monitor().status);
        self.is_restarting || status.is_some_and(NodeMonitorStatus::is_leaving)
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

    /// Another configuration is installed.
    pub(crate) fn configure(&mut self, path: &ObjectPath, config: ConfigEntry) {
        self.config = Arc::new(config);
        let config = self.config.clone();
        self.own(|own| {
            let services = own.services.as_mut().expect("made with services");
            services.config.insert(path.clone(), config);
        });
    }

    pub(crate) fn start_daemon(&mut self, now: f64, shared: &Shared) {
        self.incarnation += 1;
        (self.is_headless, self.is_restarting, self.back_at) = (false, false, now);
        let services = ObjectServices {
            status: BTreeMap::new(),
            config: BTreeMap::from([(shared.path.clone(), self.config.clone())]),
        };
        let own = NodeData {
            compat: Some(10),
            release: Some("0".to_owned()),
            stats: NodeStats { load_15m: Some(self.load), ..NodeStats::default() },
            frozen: Some(self.node_frozen),
            services: Some(services),
            ..NodeData::default()
        };
        let timing = NodeTiming { rejoin_grace_period_secs: REJOIN_SECS };
        let others = shared.cluster.iter().filter(|node| **node != self.name).cloned();
        self.daemon = Some(Daemon {
            node: NodeCore::new(self.moment(now), timing),
            instance: InstanceCore::new(shared.path.clone(), None),
            view: BTreeMap::from([(self.name.clone(), Arc::new(own))]),
            versions: BTreeMap::new(),
            lives: BTreeMap::new(),
            newest: BTreeMap::new(),
            told: BTreeMap::new(),
            unseen: BTreeMap::new(),
            beating: Beating::new(
                Duration::from_secs_f64(shared.periods.timeout),
                Duration::from_secs_f64(shared.periods.interval),
                others,
            ),
            peers: Peers::default(),
            lost: BTreeMap::new(),
            stale_acks: Gens::new(),
            first_version: 0,
            published: None,
            next_version: 0,
            arbitrator_votes: 0,
            aggregate: Aggregate::default(),
            is_adopting: self.actions > 0,
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
            // As of deployed agents, on every other machine.
            config_csum: ConfigCsum::parse(&self.config.csum).filter(|_| self.has_csum),
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

    /// Takes a message of a peer over, as the exchange would.
    pub(crate) fn receive(
        &mut self,
        now: f64,
        from: (&NodeName, (u32, u64)),
        version: u64,
        gens: &Arc<Gens>,
        data: &Arc<NodeData>,
        shared: &Shared,
    ) -> Heard {
        let clock = self.moment(now).steady;
        let at = self.clock(now);
        let local = self.name.clone();
        let (from, sent) = from;
        let life = sent.0;
        let Some(daemon) = &mut self.daemon else {
            return Heard { is_news: false, is_send_due: false };
        };
        // One that was overtaken is no news.
        let newest = daemon.newest.entry(from.clone()).or_default();
        if *newest > sent {
            return Heard { is_news: false, is_send_due: false };
        }
        *newest = sent;
        if daemon.beating.on_beat(clock, at, from) == Some(true) {
            daemon.peers.on_sign(clock, "hb#1", from, Sign::Beating);
        }
        let stale = daemon.stale_acks.entry(from.clone()).or_default();
        let lost = daemon.lost.remove(from);
        *stale = lost.unwrap_or(*stale);
        let stale = *stale;
        // One that stood still acknowledges what it had before it was lost.
        let seen = |ack: u64| if ack > stale { ack } else { 0 };
        let ack = |gens: &Gens| gens.get(&local).copied().unwrap_or(0);
        let before = daemon.told.get(from).map(|gens| ack(gens));
        let is_same_life = daemon.lives.get(from) == Some(&life);
        let status = data.monitor.as_ref().map(|monitor| &monitor.status);
        let is_same_life = is_same_life || crate::is_broken("reborn");
        let what = if is_same_life { Life::Same } else { Life::of(status) };
        let unseen = daemon.unseen.entry(from.clone()).or_default();
        // Heard for the first time, with data of this life: it had none before.
        let is_new_to_it = before.is_none() && lost.is_none() && ack(gens) >= daemon.first_version;
        let now_seen = if is_new_to_it { 0 } else { seen(ack(gens)) };
        unseen.on_message(clock, now_seen, before.map(seen), lost.is_some(), what);
        let old = daemon.told.insert(from.clone(), gens.clone());
        let mut is_news =
            old.is_none_or(|old| !old.keys().eq(gens.keys()) || ack(&old) != ack(gens));
        let mut is_send_due = ack(gens) == 0;
        if daemon.lives.insert(from.clone(), life) != Some(life)
            || !daemon.versions.contains_key(from)
        {
            // A stranger, or a new life: its data are asked for, and nothing is decided without any. It pings: those of its
            // life before are kept, under its monitor.
            daemon.versions.insert(from.clone(), 0);
            if let Some(known) = daemon.view.get_mut(from) {
                Arc::make_mut(known).monitor.clone_from(&data.monitor);
            }
            return Heard { is_news: true, is_send_due: true };
        }
        if daemon.versions.get(from).is_some_and(|known| *known < version) {
            daemon.versions.insert(from.clone(), version);
            let mut data = data.clone();
            let is_partial =
                data.monitor.as_ref().is_some_and(|monitor| monitor.status.is_preserved());
            let before = daemon.view.get(from).and_then(|data| data.services.as_ref());
            if let Some(before) = before.filter(|_| is_partial)
                && data.services.as_ref().is_some_and(|services| services.status.is_empty())
            {
                let status = before.status.clone();
                let services = Arc::make_mut(&mut data).services.as_mut().expect("just seen");
                services.status = status;
            }
            // It starts once it knows that this is known here.
            let is_ready = |data: &NodeData| is_announcing(data, &shared.path);
            let was_ready = daemon.view.get(from).is_some_and(|before| is_ready(before));
            is_send_due |= is_ready(&data) && !was_ready;
            daemon.view.insert(from.clone(), data);
            is_news = true;
        }
        Heard { is_news, is_send_due }
    }

    /// After how long it looks for stale peers next.
    pub(crate) fn next_look(&self, now: f64) -> Option<f64> {
        let at = self.daemon.as_ref()?.beating.next_look()?;
        Some(at.as_secs_f64() - self.moment(now).steady.as_secs_f64())
    }

    /// Looks for stale peers, forgets them, and judges whether it goes on.
    pub(crate) fn look(&mut self, now: f64, shared: &Shared) -> Verdict {
        let clock = self.moment(now).steady;
        let Some(daemon) = &mut self.daemon else { return Verdict::Nothing };
        for stale in daemon.beating.on_look(clock) {
            daemon.peers.on_sign(clock, "hb#1", &stale, Sign::Stale);
        }
        let view = &daemon.view;
        let status = |peer: &NodeName| Some(view.get(peer)?.monitor.as_ref()?.status.clone());
        let is_leaving = status(&self.name).is_some_and(|status| status.is_leaving());
        if is_leaving {
            return Verdict::Nothing;
        }
        let decision = daemon.peers.decide(clock, GRACE, status);
        if decision.forget.is_empty() {
            return Verdict::Nothing;
        }
        for forget in decision.forget {
            daemon.view.remove(&forget.peer);
            daemon.versions.remove(&forget.peer);
            let told = daemon.told.remove(&forget.peer);
            let acked = told.and_then(|gens| gens.get(&self.name).copied());
            daemon.lives.remove(&forget.peer);
            daemon.lost.insert(forget.peer, acked.unwrap_or(0));
        }
        daemon.arbitrator_votes = 0;
        let node_votes = daemon.view.len();
        self.judge(shared, node_votes, false)
    }

    fn judge(&mut self, shared: &Shared, node_votes: usize, has_asked: bool) -> Verdict {
        let is_frozen = self.node_frozen.0 != 0.0;
        let Some(daemon) = &self.daemon else { return Verdict::Nothing };
        let own = daemon.view[&self.name].services.as_ref();
        let own = own.and_then(|services| services.status.get(&shared.path));
        let is_up = own.is_some_and(|own| matches!(own.avail, Some(Status::Up | Status::Warn)));
        let is_starting = Life::of(Some(&daemon.node.monitor().status)) == Life::New;
        let loss = Loss {
            has_quorum: true,
            is_frozen,
            was_shutting: false,
            has_nothing_to_lose: is_starting && !is_up,
        };
        let ballot = Ballot {
            nodes: shared.cluster.len(),
            arbitrators: shared.arbitrators,
            node_votes,
            arbitrator_votes: daemon.arbitrator_votes,
        };
        if crate::is_broken("quorum") || !loss.is_to_judge() || ballot.survives() {
            Verdict::Lost
        } else if has_asked || ballot.is_hopeless() {
            Verdict::Dies
        } else {
            Verdict::Ask(node_votes)
        }
    }

    /// The arbitrators answered, or did not. `judged`: the votes of nodes, if a loss waits for that.
    pub(crate) fn on_votes(
        &mut self,
        shared: &Shared,
        votes: usize,
        judged: Option<usize>,
    ) -> Verdict {
        let Some(daemon) = &mut self.daemon else { return Verdict::Nothing };
        daemon.arbitrator_votes = votes;
        judged.map_or(Verdict::Nothing, |node_votes| self.judge(shared, node_votes, true))
    }

    /// What it has of its peers.
    pub(crate) fn gens(&self) -> Gens {
        self.daemon.as_ref().map(|daemon| daemon.versions.clone()).unwrap_or_default()
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

/// Whether an instance is ready.
fn is_announcing(data: &NodeData, path: &ObjectPath) -> bool {
    let status = data.services.as_ref().and_then(|services| services.status.get(path));
    let monitor = status.and_then(|status| status.monitor.as_ref());
    monitor.is_some_and(|monitor| monitor.status == MonitorStatus::Ready)
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
        let ballot = Ballot {
            nodes: self.shared.cluster.len(),
            arbitrators: self.shared.arbitrators,
            node_votes: 1 + daemon.view.keys().filter(|node| has_vote(self, node)).count(),
            arbitrator_votes: daemon.arbitrator_votes,
        };
        Conditions {
            ready_period_secs: self.shared.periods.ready,
            heartbeat_timeout_secs: self.shared.periods.timeout,
            transitions: usize::from(is_transition(&daemon.instance.monitor().status)),
            grace: daemon.node.in_grace(),
            blind: daemon.versions.keys().any(|peer| !daemon.view.contains_key(peer)),
            ballot: (!crate::is_broken("hold")).then_some(ballot),
            ..Conditions::default()
        }
    }

    fn hears(&self, node: &NodeName, other: &NodeName) -> bool {
        let told = self.daemon.and_then(|daemon| daemon.told.get(node));
        told.is_some_and(|gens| gens.contains_key(other)) && !crate::is_broken("hearsay")
    }

    fn generation(&self) -> u64 {
        let Some(daemon) = self.daemon else { return 0 };
        let is_own =
            |sent: &&(Arc<NodeData>, u64)| Arc::ptr_eq(&sent.0, &daemon.view[&self.machine.name]);
        daemon.published.as_ref().filter(is_own).map_or(daemon.next_version, |sent| sent.1)
    }

    fn acked(&self, node: &NodeName) -> u64 {
        if crate::is_broken("unaware") {
            return u64::MAX;
        }
        let told = self.daemon.and_then(|daemon| daemon.told.get(node));
        told.and_then(|gens| gens.get(&self.machine.name)).copied().unwrap_or(0)
    }

    fn sight(&self, node: &NodeName) -> Sight {
        let has = |gens: &Gens, of| gens.get(of).is_some_and(|version| *version > 0);
        let Some(daemon) = self.daemon.filter(|_| *node != self.machine.name) else {
            return Sight::default();
        };
        let unseen = daemon.unseen.get(node).copied().unwrap_or_default();
        let is_broken = crate::is_broken("deposed");
        Sight {
            is_seen: is_broken
                || daemon.told.get(node).is_some_and(|gens| has(gens, &self.machine.name)),
            is_known: has(&daemon.versions, node),
            unseen: if is_broken { Unseen::default() } else { unseen },
        }
    }
}
