//! The propagation of configurations: fetches what other nodes have newer, and drops what is not for this node.
//!
//! Hears: publications of the cluster data. Tells: peers (asks for files), the config watcher, the runner (deletions),
//! subscribers of events. Restart: everything is compared again.
//! Files are taken as they are, with their bytes and their time: whatever is wrong in one is reported by the config
//! watcher, as if an operator had written it here.

mod agreed;
mod choice;
mod deletions;
mod install;
mod labels;
mod orders;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use model::{ConfigEntry, InstanceStatus, Kind, NodeName, ObjectPath, Status, Timestamp};
use monitor::Verdict;

use crate::cluster_data::{
    Emit, RemoveInstance, SetInstanceMonitor, SetNode, SharedMap, Snapshot, SnapshotCell,
    WatchGeneration,
};
use crate::config::{self, ConfigCell, LoadedConfig};
use crate::config_watcher::{self, Look, Reload};
use crate::paths::Paths;
use crate::peer::AskPeer;
use crate::publications::{self, Published};
use crate::routes::Routes;
use crate::runner::{RunAction, RunCommand};
use crate::service_monitor;
use crate::standing_keeper::Inquire;

use choice::{is_to_bury, verdict};
use deletions::{Deletions, Known};
pub(crate) use deletions::{note_without_daemon, unreached};
pub(crate) use install::Fetched;
pub use orders::{DELETE_TIME, Delete};
use task::{End, Plan, Task};

/// Most objects that are fetched, installed or deleted at a time.
const MOST: usize = 8;
/// Pause after a first failure, doubled for each next one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Pause before what is agreed is noted.
const NOTE_AFTER: Duration = Duration::from_secs(1);
/// Pause before a copy is looked at again that may not be acted upon now: its node starts, stops or deletes.
const HOLD: Duration = Duration::from_secs(1);

/// Whom the actor asks and tells, by message.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as their messages, which say what they are")]
pub struct Neighbours {
    pub ask: Recipient<AskPeer>,
    pub watch: Recipient<WatchGeneration>,
    pub emit: Recipient<Emit>,
    pub look: Recipient<Look>,
    pub reload: Recipient<Reload>,
    pub labels: Recipient<config_watcher::LabelsChanged>,
    pub run: Recipient<RunCommand>,
    pub act: Recipient<RunAction>,
    pub inquire: Recipient<Inquire>,
    pub publish: Recipient<SetNode>,
    pub order: Recipient<SetInstanceMonitor>,
    pub unorder: Recipient<RemoveInstance>,
}

/// What is to be done about an object, and how often it failed.
#[derive(Debug)]
struct Pending {
    not_before: Instant,
    failures: u32,
}

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
    /// When the daemon stopped last: what was written here before is taken for agreed, where that is not known.
    since: Timestamp,
    pending: BTreeMap<ObjectPath, Pending>,
    running: BTreeSet<ObjectPath>,
    /// What was said last about what is held back, so that it is said once.
    held: BTreeMap<ObjectPath, (NodeName, String)>,
    alarm: Option<(Instant, SpawnHandle)>,
}

impl Propagation {
    /// The propagation of a daemon.
    #[must_use]
    pub fn new(routes: &Routes) -> Self {
        let tell = Neighbours {
            ask: routes.peers.clone().recipient(),
            watch: routes.cluster_data.clone().recipient(),
            emit: routes.cluster_data.clone().recipient(),
            look: routes.config_watcher.clone().recipient(),
            reload: routes.config_watcher.clone().recipient(),
            labels: routes.config_watcher.clone().recipient(),
            run: routes.runner.clone().recipient(),
            act: routes.runner.clone().recipient(),
            inquire: routes.standing.clone().recipient(),
            publish: routes.cluster_data.clone().recipient(),
            order: routes.cluster_data.clone().recipient(),
            unorder: routes.cluster_data.clone().recipient(),
        };
        let monitors = routes.monitors.clone();
        Self::with(
            routes.paths.clone(),
            routes.snapshot.clone(),
            routes.config.clone(),
            monitors,
            tell,
        )
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
        let since = std::fs::metadata(paths.last_shutdown())
            .map_or(Timestamp::NEVER, |metadata| config::modified(&metadata));
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
            since,
            pending: BTreeMap::new(),
            running: BTreeSet::new(),
            held: BTreeMap::new(),
            alarm: None,
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
            let work = tokio::task::spawn_blocking(move || agreed::write(&paths, &agreed));
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
        let has_same = |(name, node): (&NodeName, &Arc<crate::cluster_data::NodeEntry>)| {
            name != local && node.config.get(path).is_some_and(|entry| entry.csum == own.csum)
        };
        if snapshot.nodes().iter().any(has_same) {
            self.agreed.insert(path.clone(), own.csum.clone());
        }
    }

    fn want(&mut self, path: ObjectPath, delay: Duration, failures: u32) {
        let not_before = Instant::now() + delay;
        self.pending.insert(path, Pending { not_before, failures });
    }

    /// Starts what is due, as far as allowed, and sets the alarm for the rest.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let due: Vec<ObjectPath> = self
            .pending
            .iter()
            .filter(|(path, pending)| pending.not_before <= now && !self.running.contains(*path))
            .map(|(path, _)| path.clone())
            .collect();
        let snapshot = self.snapshot.load_full();
        let config = self.config.load_full();
        for path in due {
            if self.running.len() >= MOST {
                break;
            }
            let failures = self.pending.remove(&path).map_or(0, |pending| pending.failures);
            self.begin(path, failures, &snapshot, &config, ctx);
        }
        self.set_alarm(ctx);
    }

    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        // Those that wait for one that runs are looked at when it ends.
        let next = if self.running.len() >= MOST {
            None
        } else {
            let waiting = self.pending.iter().filter(|(path, _)| !self.running.contains(*path));
            waiting.map(|(_, pending)| pending.not_before).min()
        };
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

    /// Decides about an object, and begins what follows.
    fn begin(
        &mut self,
        path: ObjectPath,
        failures: u32,
        snapshot: &Snapshot,
        config: &LoadedConfig,
        ctx: &mut Context<Self>,
    ) {
        let own = snapshot.config(snapshot.nodename(), &path);
        let is_leaving = |(_, instance): &(&NodeName, &Arc<model::InstanceStatus>)| {
            instance.monitor.as_ref().is_some_and(monitor::is_leaving)
        };
        let deleted = self.deletions.get(&path);
        let leaving = snapshot.instances(&path).find(is_leaving).map(|(node, _)| node);
        // Of what has no instances, a deployed agent tells that it is deleted; we note that, and act on the note.
        let leaving = leaving.filter(|_| path.kind().has_instances());
        let verdict = match leaving {
            // It is purged or deleted where it belongs: what is left over here would bring it back.
            Some(node)
                if node != snapshot.nodename()
                    && own.is_some_and(|own| monitor::is_for_others(own, snapshot.nodename())) =>
            {
                Verdict::Vacate(node)
            }
            Some(_) => {
                self.want(path, HOLD, failures);
                return;
            }
            None if is_to_bury(deleted, own.map(|entry| &**entry)) => {
                let local = snapshot.nodename().clone();
                self.carry_out(path, failures, (local, Plan::Bury), snapshot, config, ctx);
                return;
            }
            None => verdict(snapshot, config, &path, own.map(|entry| &**entry), deleted),
        };
        let (peer, plan) = match verdict {
            Verdict::Keep => {
                self.held.remove(&path);
                return;
            }
            Verdict::Hold(peer) => {
                let is_news =
                    self.hold(&path, peer, snapshot, "its configuration there is not followed now");
                // A newer cluster without this node: nobody takes itself out on one peer's word, it asks them. Where there
                // is no room for the question, it is asked at the next look.
                if is_news
                    && path.kind() == Kind::Ccfg
                    && matches!(self.tell.inquire.try_send(Inquire), Err(SendError::Full(_)))
                {
                    self.held.remove(&path);
                }
                self.want(path, HOLD, failures);
                return;
            }
            Verdict::Fetch(peer) | Verdict::Leave(peer)
                if self.is_edit_of(&path, own, snapshot.config(peer, &path)) =>
            {
                (peer.clone(), Plan::Date)
            }
            Verdict::Fetch(peer) => (peer.clone(), Plan::Install),
            Verdict::Leave(peer) => (peer.clone(), Plan::Leave),
            Verdict::Vacate(peer) => (peer.clone(), Plan::Vacate),
        };
        self.carry_out(path, failures, (peer, plan), snapshot, config, ctx);
    }

    /// Begins what was decided about an object.
    fn carry_out(
        &mut self,
        path: ObjectPath,
        failures: u32,
        (peer, plan): (NodeName, Plan),
        snapshot: &Snapshot,
        config: &LoadedConfig,
        ctx: &mut Context<Self>,
    ) {
        let task = self.task(&path, peer, plan, snapshot, config);
        self.running.insert(path.clone());
        ctx.spawn(task.carry_out().into_actor(self).map(move |end, this, ctx| {
            this.running.remove(&path);
            this.conclude(path, failures, end, ctx);
            this.pump(ctx);
        }));
    }

    fn task(
        &self,
        path: &ObjectPath,
        peer: NodeName,
        plan: Plan,
        snapshot: &Snapshot,
        config: &LoadedConfig,
    ) -> Task {
        let own = snapshot.config(snapshot.nodename(), path);
        let is_up = snapshot.local_instance(path).is_some_and(|instance| {
            matches!(instance.avail, Some(Status::Up | Status::Warn | Status::StdbyUp))
        });
        Task {
            path: path.clone(),
            plan,
            is_up,
            own: own.map(|entry| (**entry).clone()),
            copy: snapshot.config(&peer, path).map(|entry| (**entry).clone()),
            is_written_here: own.is_some_and(|own| self.is_written_here(path, own)),
            nodename: snapshot.nodename().clone(),
            paths: self.paths.clone(),
            context: config.context.clone(),
            tell: self.tell.clone(),
            deletion: self.deletions.get(path).cloned(),
            monitor: self.monitors.load().get(path).map(|monitor| (**monitor).clone()),
            peer,
        }
    }

    /// Whether the local file was made here from this copy of another node, which it had before: then it follows the copy,
    /// whatever their dates say. They may come from a clock that was wrong, or from a file that is dated far ahead.
    fn is_edit_of(
        &self,
        path: &ObjectPath,
        own: Option<&Arc<ConfigEntry>>,
        copy: Option<&Arc<ConfigEntry>>,
    ) -> bool {
        own.zip(copy).is_some_and(|(own, copy)| {
            own.csum != copy.csum && self.agreed.get(path) == Some(&copy.csum)
        }) && !config::is_kept(&self.paths, path)
    }

    /// Whether the local file was written here, and nobody else has it: a newer one then goes over an edit.
    fn is_written_here(&self, path: &ObjectPath, own: &ConfigEntry) -> bool {
        match self.agreed.get(path) {
            Some(agreed) => *agreed != own.csum,
            None => own.updated.0 > self.since.0,
        }
    }

    /// Says once that something is held back. Whether it was not said before.
    fn hold(&mut self, path: &ObjectPath, peer: &NodeName, snapshot: &Snapshot, why: &str) -> bool {
        let csum = snapshot.config(peer, path).map(|entry| entry.csum.clone()).unwrap_or_default();
        let said = (peer.clone(), csum);
        if self.held.get(path) != Some(&said) {
            log::info!(path:% = path, node:% = peer; "{why}");
            self.held.insert(path.clone(), said);
            return true;
        }
        false
    }

    fn conclude(
        &mut self,
        path: ObjectPath,
        failures: u32,
        end: (NodeName, End),
        ctx: &mut Context<Self>,
    ) {
        // Looked at anew meanwhile: that one counts.
        let is_wanted = self.pending.contains_key(&path);
        match end {
            (_, End::Done) => {
                self.held.remove(&path);
            }
            (_, End::Installed(csum)) => {
                self.held.remove(&path);
                // It may be edited before it is published as the own one.
                self.agreed.insert(path.clone(), csum);
                // Fetched before it was deleted, and installed after that.
                if self.deletions.unfollow(&path) {
                    self.want(path, Duration::ZERO, 0);
                }
            }
            (_, End::Buried) => {
                self.held.remove(&path);
                if self.deletions.follow(&path) {
                    self.note_deletions(ctx);
                }
            }
            (_, End::Ordered) => {
                if !is_wanted {
                    self.want(path, HOLD, failures);
                }
            }
            (peer, End::Gone) => {
                log::debug!(path:% = path, node:% = peer; "no configuration there any more");
                if !is_wanted {
                    self.want(path, HOLD, failures.saturating_add(1));
                }
            }
            (peer, End::Failed(reason)) => {
                let pause = pause_after(failures);
                let said = (peer.clone(), reason.clone());
                if self.held.get(&path) != Some(&said) {
                    log::warn!(path:% = path, node:% = peer, reason = reason; "configuration not taken over");
                    self.held.insert(path.clone(), said);
                }
                if !is_wanted {
                    self.want(path, pause, failures.saturating_add(1));
                }
            }
        }
    }
}

/// The pause after the next failure.
fn pause_after(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(LONGEST_PAUSE)
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
