//! Deletions: those that are ordered here, those that members remember, and those that deployed agents ask for.
//!
//! Part of the `impl` of [`Propagation`], in a file of its own for its length.

use std::collections::BTreeSet;
use std::time::Duration;

use actix::prelude::*;
use model::{Deletion, GlobalExpect, InstanceMonitor, InstanceStatus, NodeName, ObjectPath};

use crate::Propagation;
use crate::task::{End, Plan};
use dataset::changes::NodeFacts;
use dataset::config::LoadedConfig;
use dataset::shared_map::SharedMap;
use dataset::snapshot::Snapshot;
use files::deletions;
use files::deletions::{Known, is_deployed};
use mail::cluster_data::{RemoveInstance, SetInstanceMonitor, SetNode};
use mail::propagation::Delete;

impl Propagation {
    /// Follows the deletions that members remember or ask for. The objects that this is news of.
    pub(super) fn follow_deletions(
        &mut self,
        snapshot: &Snapshot,
        config: &LoadedConfig,
        ctx: &mut Context<Self>,
    ) -> BTreeSet<ObjectPath> {
        let mut news = self.deletions.look(snapshot, &config.node);
        for path in self.asked_by_deployed(snapshot) {
            let own = snapshot.config(snapshot.nodename(), &path);
            let Some((at, purged)) = deletions::asked_by_deployed(snapshot, &path) else {
                continue;
            };
            // Asked of an object that was there before, or taken up already.
            let is_past = own.is_some_and(|own| own.updated.0 > at.0)
                || self.deletions.get(&path).is_some_and(|known| known.deletion.at.0 >= at.0);
            if is_past || (own.is_none() && self.deletions.get(&path).is_none()) {
                continue;
            }
            log::info!(path:% = path; "a deployed agent deletes it");
            let deletion = Deletion {
                at,
                ..deletions::deletion(snapshot, &path, id_of(config, &path), purged)
            };
            if self.deletions.add(&path, deletion) {
                news.insert(path);
            }
        }
        if !news.is_empty() {
            self.note_deletions(ctx);
        }
        self.order_deployed(snapshot);
        if let Some(alarm) = self.deletions_alarm.take() {
            ctx.cancel_future(alarm);
        }
        let next = self.deletions.next_look(&config.node);
        self.deletions_alarm = next.map(|delay| {
            ctx.run_later(delay + Duration::from_millis(1), |this, ctx| {
                this.deletions_alarm = None;
                this.look(ctx);
            })
        });
        news
    }

    /// Objects without instances that deployed agents changed something about.
    fn asked_by_deployed(&mut self, snapshot: &Snapshot) -> BTreeSet<ObjectPath> {
        let nothing = SharedMap::<InstanceStatus>::default();
        let mut changed = BTreeSet::new();
        let is_peer = |name: &NodeName| name != snapshot.nodename();
        for (name, node) in snapshot.nodes().iter().filter(|(name, _)| is_peer(name)) {
            if !is_deployed(node) {
                self.deployed.remove(name);
                continue;
            }
            let before = self.deployed.get(name).unwrap_or(&nothing);
            if !node.status.is_same(before) {
                let paths = node.status.changed_since(before).into_iter();
                changed.extend(paths.filter(is_plain));
                self.deployed.insert(name.clone(), node.status.clone());
            }
        }
        changed
    }

    /// Asks deployed agents in their own way to delete what they still have: by the target of an instance.
    fn order_deployed(&mut self, snapshot: &Snapshot) {
        let local = snapshot.nodename();
        let is_left = |path: &ObjectPath, deletion: &Deletion| {
            snapshot.nodes().iter().any(|(name, node)| {
                let copy = node.config.get(path);
                name != local
                    && is_deployed(node)
                    && copy.is_some_and(|copy| monitor::is_deleted(deletion, copy))
            })
        };
        let left: BTreeSet<ObjectPath> = self
            .deletions
            .paths()
            .filter(|path| snapshot.config(local, path).is_none())
            .filter(|path| {
                self.deletions.get(path).is_some_and(|known| is_left(path, &known.deletion))
            })
            .cloned()
            .collect();
        for path in left.difference(&self.ordered) {
            let Some(Known { deletion, .. }) = self.deletions.get(path) else { continue };
            let target = if deletion.purged { GlobalExpect::Purged } else { GlobalExpect::Deleted };
            let monitor = InstanceMonitor {
                global_expect: Some(target),
                global_expect_updated: Some(deletion.at),
                ..InstanceMonitor::default()
            };
            let monitor = Box::new(monitor);
            self.tell.order.do_send(SetInstanceMonitor { path: path.clone(), monitor });
        }
        for path in self.ordered.difference(&left) {
            // An instance has a monitor of its own.
            if !self.monitors.load().contains_key(path) {
                self.tell.unorder.do_send(RemoveInstance(path.clone()));
            }
        }
        self.ordered = left;
    }

    /// Writes what is remembered, then tells the peers. Nothing else is done meanwhile.
    pub(super) fn note_deletions(&mut self, ctx: &mut Context<Self>) {
        let (paths, known) = (self.paths.clone(), self.deletions.clone());
        let work = machine::blocking::run(move || known.write(&paths));
        ctx.wait(work.into_actor(self).map(|written, this, _| {
            this.unwritten = match written {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = &this.unwritten {
                log::error!(reason = reason.as_str(); "deletions are not noted: a restart forgets them");
            }
            this.publish_deletions();
        }));
    }

    pub(super) fn publish_deletions(&self) {
        let deleted = Some(self.deletions.published());
        self.tell.publish.do_send(SetNode(NodeFacts { deleted, ..NodeFacts::default() }));
    }
}

/// Whether an object has no instances, hence no monitor that would reach a target.
fn is_plain(path: &ObjectPath) -> bool {
    !path.kind().has_instances() && path.kind() != model::Kind::Ccfg
}

/// Keyword `id` of an object that is configured here.
fn id_of(config: &LoadedConfig, path: &ObjectPath) -> Option<String> {
    let conf = config.objects.get(path)?.conf();
    conf.ini().get("DEFAULT", "id").map(str::to_owned)
}

impl Handler<Delete> for Propagation {
    type Result = ResponseActFuture<Self, Result<(), String>>;

    fn handle(&mut self, order: Delete, ctx: &mut Context<Self>) -> Self::Result {
        let Delete { path, purged, is_carried_out } = order;
        let (snapshot, config) = (self.snapshot.load_full(), self.config.load_full());
        let own = snapshot.config(snapshot.nodename(), &path);
        let is_known = self.deletions.get(&path).is_some_and(|known| {
            own.is_none_or(|own| monitor::is_deleted(&known.deletion, own))
                && (known.deletion.purged || !purged)
        });
        if !is_known {
            let id = id_of(&config, &path);
            self.deletions.add(&path, deletions::deletion(&snapshot, &path, id, purged));
            self.note_deletions(ctx);
        }
        let noted = actix::fut::ready(()).into_actor(self);
        let object = path.clone();
        let noted = noted.map(move |(), this: &mut Self, _: &mut Context<Self>| {
            let Some(reason) = this.unwritten.clone().filter(|_| !is_known) else { return Ok(()) };
            this.deletions.remove(&object);
            this.publish_deletions();
            Err(format!("the deletion could not be noted: {reason}"))
        });
        if !is_carried_out {
            return Box::pin(noted);
        }
        self.queue.begin(&path);
        let done = noted.then(move |noted, this: &mut Self, _| {
            let task = noted.map(|()| {
                let (snapshot, config) = (this.snapshot.load_full(), this.config.load_full());
                let local = snapshot.nodename().clone();
                this.task(&path, local, Plan::Bury, &snapshot, &config)
            });
            let carried_out = async move {
                match task {
                    Ok(task) => Ok(task.carry_out().await),
                    Err(reason) => Err(reason),
                }
            };
            carried_out.into_actor(this).map(move |end, this: &mut Self, ctx| {
                this.queue.end(&path);
                let result = match &end {
                    Ok((_, End::Failed(reason))) => Err(reason.clone()),
                    Ok(_) => Ok(()),
                    Err(reason) => Err(reason.clone()),
                };
                if let Ok(end) = end {
                    this.conclude(path.clone(), 0, end, ctx);
                }
                this.pump(ctx);
                result
            })
        });
        Box::pin(done)
    }
}
