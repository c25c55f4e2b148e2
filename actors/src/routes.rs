//! What every part of the daemon may reach: folders, names, published views and the addresses of the actors.
//!
//! Addresses are those of supervised actors: they outlive every restart, so a clone of [`Routes`] is good for ever.

use std::path::PathBuf;
use std::sync::Arc;

use actix::Addr;
use model::NodeName;

use crate::blacklist_keeper::BlacklistRoute;
use crate::cluster_data::{ClusterData, SnapshotCell};
use crate::config::ConfigCell;
use crate::config_watcher::ConfigWatcher;
use crate::connection::{ClassicMemory, GateCell};
use crate::listener::Listener;
use crate::membership::Membership;
use crate::node_monitor::NodeMonitor;
use crate::paths::Paths;
use crate::peer::Peers;
use crate::propagation::Propagation;
use crate::quorum::Quorum;
use crate::requests::relay::RelayKeeper;
use crate::root::Root;
use crate::runner::Runner;
use crate::scheduler::Scheduler;
use crate::secret_keeper::{SecretKeeper, SecretUseCell};
use crate::service_monitor;
use crate::standing_keeper::StandingKeeper;

/// Addresses and views, cheap to clone, sent to every thread.
#[derive(Clone)]
pub struct Routes {
    /// Folders and files.
    pub paths: Arc<Paths>,
    /// Name of this node.
    pub nodename: NodeName,
    /// The program that children run: `om`, this very file unless a test replaces it.
    pub om: PathBuf,
    /// The newest cluster data.
    pub snapshot: SnapshotCell,
    /// The configuration in force.
    pub config: ConfigCell,
    /// The service monitors by object.
    pub monitors: service_monitor::Registry,
    /// The cluster data.
    pub cluster_data: Addr<ClusterData>,
    /// The node monitor.
    pub node_monitor: Addr<NodeMonitor>,
    /// The runner of commands and evaluations.
    pub runner: Addr<Runner>,
    /// The scheduler.
    pub scheduler: Addr<Scheduler>,
    /// The watcher of configuration files.
    pub config_watcher: Addr<ConfigWatcher>,
    /// The listener, which knows the client sessions.
    pub listener: Addr<Listener>,
    /// Who may connect, and the keys.
    pub gate: GateCell,
    /// What is remembered of the classic dialect.
    pub classic: Arc<ClassicMemory>,
    /// Who sent invalid messages.
    pub blacklist: BlacklistRoute,
    /// Asks the other nodes.
    pub peers: Addr<Peers>,
    /// Takes newer configurations over, and sees to deletions.
    pub propagation: Addr<Propagation>,
    /// Judges splits.
    pub quorum: Addr<Quorum>,
    /// Who is lost, and what follows.
    pub membership: Addr<Membership>,
    /// Whether the members have this node as one of theirs.
    pub standing: Addr<StandingKeeper>,
    /// What the secret before the one in force opens.
    pub secret_use: SecretUseCell,
    /// Carries a rotation of the secret out.
    pub secrets: Addr<SecretKeeper>,
    /// The slots of the relay.
    pub relay: Addr<RelayKeeper>,
    /// The root supervisor: starts and stops threads and the daemon, collects their blocks.
    pub root: Addr<Root>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("nodename", &self.nodename).finish_non_exhaustive()
    }
}
