//! The actors of a daemon: their addresses, which are handed out before they run, and their start, in this order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use arc_swap::ArcSwap;
use cluster_data::ClusterData;
use config_watcher::ConfigWatcher;
use dataset::config::LoadedConfig;
use front::socket::HttpSocket;
use front::tls::TlsListener;
use keepers::blacklist::BlacklistKeeper;
use keepers::certificates::CertificateKeeper;
use keepers::history::HistoryKeeper;
use keepers::log::LogKeeper;
use keepers::relay::RelayKeeper;
use keepers::secrets::SecretKeeper;
use link::classic::ClassicMemory;
use link::freshness::Freshness;
use link::gate::Gate;
use link::secret_use::SecretUse;
use listener::Listener;
use listener::connection::shared::Shared;
use machine::paths::Paths;
use machine::stats;
use mail::blacklist::BlacklistRoute;
use mail::log::Entry;
use mail::mail::Mail;
use membership::Membership;
use model::{NodeName, thread};
use monitor::Backoff;
use monitors::node::NodeMonitor;
use peers::Peers;
use propagation::Propagation;
use quorum::Quorum;
use runner::Runner;
use scheduler::Scheduler;
use standing::StandingKeeper;
use supervision::{Child, Seat};

use crate::Root;
use crate::start::threads::Threads;

/// Messages that may wait for an actor before its senders do.
pub(super) const QUEUE: usize = 1_024;

/// An actor that is to run.
struct Part<A: Actor> {
    address: Addr<A>,
    seat: Seat<A>,
}

impl<A: Supervised + Actor<Context = Context<A>>> Part<A> {
    fn new(capacity: usize) -> Self {
        let (address, seat) = supervision::seat(capacity);
        Self { address, seat }
    }

    /// Starts it there, as a child of the root.
    fn start<F>(self, id: &str, on: &ArbiterHandle, mail: &Mail, make: F)
    where
        F: Fn(&Mail) -> A + Send + Unpin + 'static,
    {
        let child = Child::new(id, mail.root.clone().recipient());
        let mail = mail.clone();
        supervision::start(self.seat, child, on, move || make(&mail));
    }
}

/// All of them, but for those that come with the configuration.
pub(super) struct Cast {
    root: Part<Root>,
    cluster_data: Part<ClusterData>,
    node_monitor: Part<NodeMonitor>,
    runner: Part<Runner>,
    scheduler: Part<Scheduler>,
    config_watcher: Part<ConfigWatcher>,
    listener: Part<Listener>,
    http_socket: Part<HttpSocket>,
    tls_listener: Part<TlsListener>,
    blacklist: Part<BlacklistKeeper>,
    propagation: Part<Propagation>,
    quorum: Part<Quorum>,
    peers: Part<Peers>,
    membership: Part<Membership>,
    standing: Part<StandingKeeper>,
    secrets: Part<SecretKeeper>,
    certificates: Part<CertificateKeeper>,
    relay: Part<RelayKeeper>,
    logs: Part<LogKeeper>,
    history: Part<HistoryKeeper>,
}

impl Cast {
    pub(super) fn new() -> Self {
        Self {
            root: Part::new(QUEUE),
            cluster_data: Part::new(QUEUE),
            node_monitor: Part::new(QUEUE),
            runner: Part::new(QUEUE),
            scheduler: Part::new(QUEUE),
            config_watcher: Part::new(QUEUE),
            listener: Part::new(QUEUE),
            http_socket: Part::new(QUEUE),
            tls_listener: Part::new(QUEUE),
            blacklist: Part::new(QUEUE),
            propagation: Part::new(QUEUE),
            quorum: Part::new(QUEUE),
            peers: Part::new(QUEUE),
            membership: Part::new(QUEUE),
            standing: Part::new(QUEUE),
            secrets: Part::new(QUEUE),
            certificates: Part::new(QUEUE),
            relay: Part::new(QUEUE),
            logs: Part::new(logs::QUEUE),
            history: Part::new(QUEUE),
        }
    }

    pub(super) fn root(&self) -> Addr<Root> {
        self.root.address.clone()
    }

    /// What is handed out: where each of them is reached, and what all of them look at.
    pub(super) fn mail(
        &self,
        om: PathBuf,
        paths: Arc<Paths>,
        nodename: NodeName,
        loaded: LoadedConfig,
    ) -> Mail {
        let node = loaded.node.clone();
        // Whoever asks before anything was evaluated reads the cluster, and that the node is being initialized.
        let settings = config_watcher::public(&loaded, stats::measure().1);
        let first = ClusterData::first(nodename.clone(), settings, &loaded);
        let freshness = Freshness::load(&paths.freshness(), node.listener.replay_window);
        let keeper = (&self.blacklist.address).into();
        Mail {
            om,
            snapshot: Arc::new(ArcSwap::from_pointee(first)),
            config: Arc::new(ArcSwap::from_pointee(loaded)),
            is_read: Arc::default(),
            monitors: Arc::default(),
            gate: Arc::new(ArcSwap::from_pointee(Gate::new(&node))),
            blacklist: BlacklistRoute { view: Arc::default(), keeper },
            freshness: Arc::new(freshness),
            unopened: Arc::default(),
            expiries: Arc::default(),
            counts: Arc::default(),
            classic: Arc::new(ClassicMemory::load(&paths.node_classic())),
            secret_use: Arc::new(ArcSwap::from_pointee(SecretUse::first(&node))),
            paths,
            nodename,
            cluster_data: (&self.cluster_data.address).into(),
            node_monitor: (&self.node_monitor.address).into(),
            runner: (&self.runner.address).into(),
            scheduler: (&self.scheduler.address).into(),
            config_watcher: (&self.config_watcher.address).into(),
            listener: (&self.listener.address).into(),
            http_socket: (&self.http_socket.address).into(),
            tls_listener: (&self.tls_listener.address).into(),
            peers: (&self.peers.address).into(),
            propagation: (&self.propagation.address).into(),
            quorum: (&self.quorum.address).into(),
            membership: (&self.membership.address).into(),
            standing: (&self.standing.address).into(),
            secrets: (&self.secrets.address).into(),
            relay: (&self.relay.address).into(),
            history: (&self.history.address).into(),
            root: (&self.root.address).into(),
        }
    }

    /// Starts them. They stop in reverse.
    pub(super) fn start(self, mail: &Mail, threads: &Threads, shared: &Arc<Shared>) {
        let Threads { here, network, .. } = threads;
        start_root(self.root, self.logs.address.clone(), mail, threads);
        let keeping = self.logs.address.clone();
        self.logs
            .start(thread::LOGS, &threads.writer, mail, |mail| LogKeeper::new(mail.paths.clone()));
        logs::set_keeper(Some(Box::new(move |file, entry| {
            keeping.try_send(Entry { file, entry }).is_ok()
        })));
        self.history.start(thread::HISTORY, &threads.writer, mail, |mail| {
            HistoryKeeper::new(mail.paths.clone())
        });
        self.cluster_data.start(thread::CLUSTER_DATA, here, mail, |mail| {
            let data = ClusterData::new(mail.snapshot.clone(), mail.config.clone());
            data.kept_by(mail.history.clone()).counting(mail.counts.clone())
        });
        self.blacklist.start(thread::BLACKLIST, here, mail, |mail| {
            let (data, root) = (mail.cluster_data.clone(), mail.root.clone());
            let (view, counts) = (mail.blacklist.view.clone(), mail.counts.clone());
            BlacklistKeeper::new(view, data.recipient(), root.recipient(), counts)
        });
        self.relay.start(thread::RELAY, here, mail, |_| RelayKeeper::default());
        self.peers.start(thread::PEERS, network, mail, Peers::new);
        self.runner.start(thread::RUNNER, here, mail, Runner::new);
        self.node_monitor.start(thread::MONITOR, here, mail, NodeMonitor::new);
        self.quorum.start(thread::QUORUM, here, mail, Quorum::new);
        self.scheduler.start(thread::SCHEDULER, here, mail, Scheduler::new);
        self.config_watcher.start(thread::CONFIG, here, mail, |mail| {
            ConfigWatcher::new(mail, drivers::leftovers::look)
        });
        self.propagation.start(thread::PROPAGATION, here, mail, Propagation::new);
        self.standing.start(thread::STANDING, here, mail, StandingKeeper::new);
        self.secrets.start(thread::SECRET, here, mail, SecretKeeper::new);
        self.certificates.start(thread::CERTIFICATE, here, mail, CertificateKeeper::new);
        // After the heartbeats, so that it stops before them: a stop is no loss of peers.
        self.membership.start(thread::MEMBERSHIP, here, mail, Membership::new);
        let front = Arc::new(front::shared::Shared::new(
            shared.mail.clone(),
            shared.router,
            shared.sessions.clone(),
        ));
        let (of_tls, workers) = (front.clone(), threads.workers.clone());
        self.tls_listener.start(thread::TLS, network, mail, move |_| {
            TlsListener::new(of_tls.clone(), workers.clone())
        });
        let own_worker = threads.own_worker.clone();
        self.http_socket.start(thread::HTTP, network, mail, move |_| {
            HttpSocket::new(front.clone(), own_worker.clone())
        });
        let (shared, workers) = (shared.clone(), threads.workers.clone());
        self.listener.start(thread::LISTENER, network, mail, move |_| {
            Listener::new(shared.clone(), workers.clone())
        });
    }
}

/// Starts the root on this thread.
fn start_root(root: Part<Root>, logs: Addr<LogKeeper>, mail: &Mail, threads: &Threads) {
    let child = Child {
        // The root feeds everybody else: it comes back at once.
        backoff: Backoff { longest: Duration::from_secs(1), ..Backoff::default() },
        ..Child::new(thread::ROOT, mail.root.clone().recipient())
    };
    let (mail, beats) = (mail.clone(), threads.beats.clone());
    supervision::start_here(root.seat, child, move || {
        Root::new(mail.clone(), logs.clone(), beats.clone())
    });
}
