//! What every part of the daemon may reach: folders, names, published views and the recipients of the actors.
//!
//! Recipients are those of supervised actors: they outlive every restart, so a clone of [`Mail`] is good for ever.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use model::NodeName;

use crate::blacklist::BlacklistRoute;
use crate::cluster_data::{Flush, ToClusterData};
use crate::config_watcher::{Look, ToConfigWatcher};
use crate::front::ToFrontSocket;
use crate::history::ToHistory;
use crate::listener::ToListener;
use crate::membership::ToMembership;
use crate::node_monitor::ToNodeMonitor;
use crate::peers::ToPeers;
use crate::propagation::ToPropagation;
use crate::quorum::ToQuorum;
use crate::relay::ToRelay;
use crate::root::ToRoot;
use crate::runner::ToRunner;
use crate::scheduler::ToScheduler;
use crate::secrets::ToSecrets;
use crate::service_monitor;
use crate::standing::ToStanding;
use dataset::config::ConfigCell;
use dataset::snapshot::SnapshotCell;
use link::classic::ClassicMemory;
use link::freshness::Freshness;
use link::gate::GateCell;
use link::secret_use::SecretUseCell;
use link::unopened::Unopened;
use machine::paths::Paths;
use metrics::counts::Counts;
use metrics::series::Expiry;

/// Recipients and views, cheap to clone, sent to every thread.
#[derive(Clone)]
pub struct Mail {
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
    /// Whether it was read once, and what it says of the objects is in the snapshot.
    pub is_read: Arc<AtomicBool>,
    /// The service monitors by object.
    pub monitors: service_monitor::Registry,
    /// The cluster data.
    pub cluster_data: ToClusterData,
    /// The node monitor.
    pub node_monitor: ToNodeMonitor,
    /// The runner of commands and evaluations.
    pub runner: ToRunner,
    /// The scheduler.
    pub scheduler: ToScheduler,
    /// The watcher of configuration files.
    pub config_watcher: ToConfigWatcher,
    /// The listener, which knows the client sessions.
    pub listener: ToListener,
    /// The HTTP socket.
    pub http_socket: ToFrontSocket,
    /// The TLS listener.
    pub tls_listener: ToFrontSocket,
    /// Who may connect, and the keys.
    pub gate: GateCell,
    /// The sealed messages heard lately.
    pub freshness: Arc<Freshness>,
    /// The memory of messages that are on their way, of the listener and of heartbeats.
    pub unopened: Arc<Unopened>,
    /// What is remembered of the classic dialect.
    pub classic: Arc<ClassicMemory>,
    /// What happens, counted for who asks for metrics.
    pub counts: Arc<Counts>,
    /// When the certificates in force end.
    pub expiries: Arc<ArcSwap<Vec<Expiry>>>,
    /// Who sent invalid messages.
    pub blacklist: BlacklistRoute,
    /// Asks the other nodes.
    pub peers: ToPeers,
    /// Takes newer configurations over, and sees to deletions.
    pub propagation: ToPropagation,
    /// Judges splits.
    pub quorum: ToQuorum,
    /// Who is lost, and what follows.
    pub membership: ToMembership,
    /// Whether the members have this node as one of theirs.
    pub standing: ToStanding,
    /// What the secret before the one in force opens.
    pub secret_use: SecretUseCell,
    /// Carries a rotation of the secret out.
    pub secrets: ToSecrets,
    /// The slots of the relay.
    pub relay: ToRelay,
    /// Keeps what happened.
    pub history: ToHistory,
    /// The root supervisor: starts and stops threads and the daemon, collects their blocks.
    pub root: ToRoot,
}

/// Longest wait for the next file in the first reading of the configuration. A file system that does not answer holds nobody
/// up for longer.
const FIRST_READING: Duration = Duration::from_secs(5);

impl Mail {
    /// Waits until the configuration was read once and is published: who asks right after a start is not told that there is
    /// nothing.
    pub async fn first_reading(&self) {
        if self.is_read.load(Ordering::Acquire) {
            return;
        }
        let read = async {
            self.config_watcher.send(Look(vec![])).await?;
            self.cluster_data.send(Flush).await
        };
        let mut read = std::pin::pin!(read);
        let looks = || self.config.load().looks.load(Ordering::Relaxed);
        loop {
            let before = looks();
            match tokio::time::timeout(FIRST_READING, &mut read).await {
                Ok(Ok(_)) => return self.is_read.store(true, Ordering::Release),
                Ok(Err(_)) => return,
                Err(_) if looks() == before => return,
                Err(_) => {}
            }
        }
    }
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("nodename", &self.nodename).finish_non_exhaustive()
    }
}
