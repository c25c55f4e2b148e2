//! The propagation of configurations: fetches what other nodes have newer, and drops what is not for this node.
//!
//! Hears: publications of the cluster data. Tells: peers (asks for files), the config watcher, the runner (deletions),
//! subscribers of events. Restart: everything is compared again.
//! Files are taken as they are, with their bytes and their time: whatever is wrong in one is reported by the config
//! watcher, as if an operator had written it here.

mod agreed;
pub mod deletions;
pub mod install;
mod labels;
pub mod neighbours;
mod queue;
mod retries;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use dataset::config::ConfigCell;
use dataset::shared_map::SharedMap;
use dataset::snapshot::{Snapshot, SnapshotCell};
use files::deletions::Deletions;
use machine::paths::Paths;
use mail::mail::Mail;
use mail::publications::Published;
use mail::{publications, service_monitor};
use model::{ConfigEntry, InstanceStatus, NodeName, ObjectPath};

use crate::neighbours::Neighbours;
use crate::queue::Queue;

/// Most objects that are fetched, installed or deleted at a time.
const MOST: usize = 8;
/// Pause before what is agreed is noted.
const NOTE_AFTER: Duration = Duration::from_secs(1);
/// Pause before a copy is looked at again that may not be acted upon now: its node starts, stops or deletes.
const HOLD: Duration = Duration::from_secs(1);

/// The actor.
#[derive(Debug)]
pub struct Propagation {
    paths: Arc<Paths>,
    snapshot: SnapshotCell,
    config: ConfigCell,
    /// Who sees to the deletion of an instance.
    monitors: service_monitor::Registry,
    tell: Neighbours,
    /// What was deleted, and may come back.
    deletions: Deletions,
    /// The instances that deployed agents had at the last look.
    deployed: BTreeMap<NodeName, SharedMap<InstanceStatus>>,
    /// Deletions that deployed agents are asked for.
    ordered: BTreeSet<ObjectPath>,
    /// Why the deletions are not written, if so.
    unwritten: Option<String>,
    /// What each node had published at the last look.
    seen: BTreeMap<NodeName, SharedMap<ConfigEntry>>,
    members: Vec<NodeName>,
    labels: labels::Known,
    /// Checksums of local files that another node has, or had, too: to lose such a file against a newer one loses
    /// nothing that was written here.
    agreed: BTreeMap<ObjectPath, String>,
    /// Those that are noted for the next life of the daemon.
    noted: BTreeMap<ObjectPath, String>,
    is_noting: bool,
    queue: Queue,
    /// What was said last about what is held back, so that it is said once.
    held: BTreeMap<ObjectPath, (NodeName, String)>,
    alarm: Option<(Instant, SpawnHandle)>,
    /// When a deletion may be forgotten.
    deletions_alarm: Option<SpawnHandle>,
}

impl Propagation {
    /// The propagation of a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        let tell = Neighbours {
            ask: mail.peers.clone().recipient(),
            watch: mail.cluster_data.clone().recipient(),
            emit: mail.cluster_data.clone().recipient(),
            look: mail.config_watcher.clone().recipient(),
            reload: mail.config_watcher.clone().recipient(),
            labels: mail.config_watcher.clone().recipient(),
            run: mail.runner.clone().recipient(),
            act: mail.runner.clone().recipient(),
            inquire: mail.standing.clone().recipient(),
            publish: mail.cluster_data.clone().recipient(),
            order: mail.cluster_data.clone().recipient(),
            unorder: mail.cluster_data.clone().recipient(),
        };
        let monitors = mail.monitors.clone();
        Self::with(mail.paths.clone(), mail.snapshot.clone(), mail.config.clone(), monitors, tell)
    }

    /// A propagation with these neighbours.
    #[must_use]
    pub fn with(
        paths: Arc<Paths>,
        snapshot: SnapshotCell,
        config: ConfigCell,
        monitors: service_monitor::Registry,
        tell: Neighbours,
    ) -> Self {
        let deletions = Deletions::read(&paths);
        let agreed = agreed::read(&paths);
        Self {
            paths,
            snapshot,
            config,
            monitors,
            tell,
            deletions,
            deployed: BTreeMap::new(),
            ordered: BTreeSet::new(),
            unwritten: None,
            seen: BTreeMap::new(),
            members: vec![],
            labels: labels::Known::default(),
            noted: agreed.clone(),
            agreed,
            is_noting: false,
            queue: Queue::new(MOST),
            held: BTreeMap::new(),
            alarm: None,
            deletions_alarm: None,
        }
    }

    /// Looks at what changed since the last time.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let config = self.config.load_full();
        // Without the objects, none would seem to be here.
        if !config.is_loaded {
            return;
        }
        let snapshot = self.snapshot.load_full();
        self.labels.follow(&snapshot, &self.paths, &self.tell.labels);
        let members = [config.node.nodes.clone(), config.node.drpnodes.clone()].concat();
        let mut changed = BTreeSet::new();
        if members != self.members {
            // Nodes that came or went make other copies count.
            for node in snapshot.nodes().values() {
                changed.extend(node.config.keys().cloned());
            }
            self.members = members;
        }
        let nothing = SharedMap::default();
        for (name, node) in snapshot.nodes() {
            let before = self.seen.get(name).unwrap_or(&nothing);
            if !node.config.is_same(before) {
                changed.extend(node.config.changed_since(before));
                self.seen.insert(name.clone(), node.config.clone());
            }
        }
        let gone: Vec<NodeName> = self
            .seen
            .keys()
            .filter(|name| !snapshot.nodes().contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            changed.extend(self.seen.remove(&name).iter().flat_map(|map| map.keys()).cloned());
        }
        changed.extend(self.follow_deletions(&snapshot, &config, ctx));
        for path in changed {
            self.note_agreed(&snapshot, &path);
            // Whatever failed before may not fail now.
            self.want(path, Duration::ZERO, 0);
        }
        self.note_soon(ctx);
        self.pump(ctx);
    }

    /// Notes for the next life of the daemon what is agreed, a moment after it changed: often it goes on changing.
    fn note_soon(&mut self, ctx: &mut Context<Self>) {
        if self.agreed == self.noted || std::mem::replace(&mut self.is_noting, true) {
            return;
        }
        ctx.run_later(NOTE_AFTER, |this, ctx| {
            this.noted.clone_from(&this.agreed);
            let (paths, agreed) = (this.paths.clone(), this.agreed.clone());
            let work = machine::blocking::run(move || agreed::write(&paths, &agreed));
            ctx.spawn(work.into_actor(this).map(|written, this, ctx| {
                this.is_noting = false;
                if let Ok(Err(error)) = written {
                    log::warn!(error:% = error; "what other nodes have of the configurations is not noted");
                }
                this.note_soon(ctx);
            }));
        });
    }

    /// Notes that another node has the same bytes.
    fn note_agreed(&mut self, snapshot: &Snapshot, path: &ObjectPath) {
        let local = snapshot.nodename();
        let Some(own) = snapshot.config(local, path) else {
            self.agreed.remove(path);
            return;
        };
        let has_same = |(name, node): (&NodeName, &Arc<dataset::snapshot::NodeEntry>)| {
            name != local && node.config.get(path).is_some_and(|entry| entry.csum == own.csum)
        };
        if snapshot.nodes().iter().any(has_same) {
            self.agreed.insert(path.clone(), own.csum.clone());
        }
    }

    fn want(&mut self, path: ObjectPath, delay: Duration, failures: u32) {
        self.queue.want(path, Instant::now() + delay, failures);
    }

    /// Starts what is due, as far as allowed, and sets the alarm for the rest.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        // What is wanted again meanwhile is later, and waits for its alarm.
        let now = Instant::now();
        let snapshot = self.snapshot.load_full();
        let config = self.config.load_full();
        while let Some((path, failures)) = self.queue.take(now) {
            self.begin(path, failures, &snapshot, &config, ctx);
        }
        self.set_alarm(ctx);
    }

    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let next = self.queue.next();
        let current = self.alarm.as_ref().map(|(at, _)| *at);
        if next == current {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        if let Some(at) = next {
            let delay = at.saturating_duration_since(Instant::now());
            let alarm = ctx.run_later(delay, |this, ctx| {
                this.alarm = None;
                this.pump(ctx);
            });
            self.alarm = Some((at, alarm));
        }
    }
}

impl Actor for Propagation {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("propagation started");
        self.publish_deletions();
        publications::follow(&self.tell.watch, self, ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("propagation stopped");
    }
}

impl Supervised for Propagation {
    fn restarting(&mut self, _: &mut Context<Self>) {
        let agreed = std::mem::take(&mut self.agreed);
        *self = Self::with(
            self.paths.clone(),
            self.snapshot.clone(),
            self.config.clone(),
            self.monitors.clone(),
            self.tell.clone(),
        );
        self.agreed = agreed;
    }
}

impl StreamHandler<Published> for Propagation {
    fn handle(&mut self, _: Published, ctx: &mut Context<Self>) {
        self.look(ctx);
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<Published> for Propagation {
    type Result = ();

    fn handle(&mut self, _: Published, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

#[cfg(test)]
mod tests;
