//! What all service monitors have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix::Recipient;

use dataset::config::ConfigCell;
use dataset::snapshot::SnapshotCell;
use machine::paths::Paths;
use mail::cluster_data::{
    Concern, DisownInstance, Emit, Flush, RemoveInstance, SetInstanceMonitor,
};
use mail::config_watcher::Look;
use mail::mail::Mail;
use mail::node_monitor::{Gone, SlotFreed, WaitSlot};
use mail::propagation::Delete;
use mail::quorum::Surrender;
use mail::runner::{AwaitAction, EndAction, Evaluate, FindAction, Forget, RunAction};
use mail::service_monitor::Registry;

/// Whom service monitors tell, by what they tell.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as their messages, which say what they are")]
pub struct Neighbours {
    pub monitor: Recipient<SetInstanceMonitor>,
    pub disown: Recipient<DisownInstance>,
    pub remove: Recipient<RemoveInstance>,
    pub concern: Recipient<Concern>,
    pub emit: Recipient<Emit>,
    pub flush: Recipient<Flush>,
    pub run: Recipient<RunAction>,
    pub await_action: Recipient<AwaitAction>,
    /// Ends the action that runs on an instance.
    pub end_action: Recipient<EndAction>,
    pub evaluate: Recipient<Evaluate>,
    pub forget: Recipient<Forget>,
    pub wait_slot: Recipient<WaitSlot>,
    pub slot_freed: Recipient<SlotFreed>,
    pub gone: Recipient<Gone>,
    pub look: Recipient<Look>,
    pub surrender: Recipient<Surrender>,
    pub find_action: Recipient<FindAction>,
    pub delete: Recipient<Delete>,
}

impl Neighbours {
    /// The neighbours in a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        let (data, runner, node) = (&mail.cluster_data, &mail.runner, &mail.node_monitor);
        Self {
            monitor: data.clone().recipient(),
            disown: data.clone().recipient(),
            remove: data.clone().recipient(),
            concern: data.clone().recipient(),
            emit: data.clone().recipient(),
            flush: data.clone().recipient(),
            run: runner.clone().recipient(),
            await_action: runner.clone().recipient(),
            end_action: runner.clone().recipient(),
            evaluate: runner.clone().recipient(),
            forget: runner.clone().recipient(),
            wait_slot: node.clone().recipient(),
            slot_freed: node.clone().recipient(),
            gone: node.clone().recipient(),
            look: mail.config_watcher.clone().recipient(),
            surrender: mail.quorum.clone().recipient(),
            find_action: runner.clone().recipient(),
            delete: mail.propagation.clone().recipient(),
        }
    }
}

/// What all service monitors look at and tell.
#[derive(Debug)]
pub struct Shared {
    /// Folders.
    pub paths: Arc<Paths>,
    /// The newest cluster data.
    pub snapshot: SnapshotCell,
    /// The configuration in force.
    pub config: ConfigCell,
    /// The other monitors.
    pub registry: Registry,
    /// Whom to tell.
    pub tell: Neighbours,
    /// Instances with an action running. The snapshot is some milliseconds behind: two monitors would take one turn.
    acting: AtomicUsize,
    /// The rejoin grace period runs.
    grace: AtomicBool,
}

impl Shared {
    /// What the monitors of a daemon share.
    #[must_use]
    pub fn new(
        paths: Arc<Paths>,
        snapshot: SnapshotCell,
        config: ConfigCell,
        registry: Registry,
        tell: Neighbours,
    ) -> Arc<Self> {
        let (acting, grace) = (AtomicUsize::new(0), AtomicBool::new(true));
        Arc::new(Self { paths, snapshot, config, registry, tell, acting, grace })
    }

    /// Instances with an action running.
    #[must_use]
    pub fn acting(&self) -> usize {
        self.acting.load(Ordering::Relaxed)
    }

    /// Whether the rejoin grace period runs.
    #[must_use]
    pub fn is_grace(&self) -> bool {
        self.grace.load(Ordering::Relaxed)
    }

    /// Told by the node monitor.
    pub fn set_grace(&self, grace: bool) {
        self.grace.store(grace, Ordering::Relaxed);
    }
}

/// One instance with an action running; counted until dropped, whatever ends its monitor.
#[derive(Debug)]
pub(super) struct Acting(Arc<Shared>);

impl Acting {
    /// Counts one more.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.acting.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        self.0.acting.fetch_sub(1, Ordering::Relaxed);
    }
}
