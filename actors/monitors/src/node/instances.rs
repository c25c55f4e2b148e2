//! The instances of this node: whose service monitors run, and who of them may act next.
//!
//! Part of the `impl` of [`NodeMonitor`], in a file of its own for its length.

use std::sync::Arc;

use actix::prelude::*;
use machine::clock::now;
use mail::cluster_data::{RemoveInstance, SetInstance};
use mail::node_monitor::{Gone, SlotFreed, WaitSlot};
use mail::runner::RunAction;
use mail::service_monitor::{ConfigChanged, Leave, ToServiceMonitor, ViewChanged, YourTurn};
use model::{InstanceStatus, ObjectPath, thread};
use monitor::Action;
use supervision::Child;

use crate::node::{NodeMonitor, QUEUE, boot};
use crate::service::ServiceMonitor;

/// Objects that are seen to at once: a few milliseconds of work.
const AT_ONCE: usize = 200;

/// Sees to the next objects, once others were heard.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct FollowMore;

impl NodeMonitor {
    /// Starts and ends service monitors, and has instances evaluated: as many at once as others can wait for.
    pub(super) fn follow(
        &mut self,
        changed: impl IntoIterator<Item = ObjectPath>,
        ctx: &mut Context<Self>,
    ) {
        self.to_follow.extend(changed);
        let some: Vec<ObjectPath> =
            std::iter::from_fn(|| self.to_follow.pop_first()).take(AT_ONCE).collect();
        self.follow_some(&some, ctx);
        if !self.to_follow.is_empty() {
            ctx.notify(FollowMore);
        }
    }

    fn follow_some(&mut self, changed: &[ObjectPath], ctx: &mut Context<Self>) {
        let config = self.shared.config.load_full();
        let local = config.node.nodename.clone();
        let registry = self.shared.registry.load_full();
        let mut next = (*registry).clone();
        let mut is_changed = false;
        for path in changed {
            let object = config.objects.get(path);
            // A scaler publishes its slices, and acts on them.
            if let Some((_, scaler)) = path.slice_of()
                && config.objects.get(&scaler).is_some_and(|object| object.settings.scale.is_some())
                && registry.contains_key(&scaler)
            {
                self.unsent.changed.insert(scaler.clone(), ConfigChanged);
                self.unsent.evaluate.insert(scaler);
            }
            if !path.kind().has_instances() {
                // Deployed commands take a node that tells of no status for a node whose daemon is down.
                self.publish_other(path, object.is_some());
                continue;
            }
            let has_instance = object.is_some_and(|object| object.has_instance(&local));
            match (registry.get(path), has_instance) {
                (Some(_), true) => {
                    self.unsent.changed.insert(path.clone(), ConfigChanged);
                    self.unsent.evaluate.insert(path.clone());
                }
                (None, true) => {
                    next.insert(path.clone(), Arc::new(self.start_monitor(path)));
                    is_changed = true;
                    self.unsent.evaluate.insert(path.clone());
                }
                // Deleted: its monitor sees to its target, then ends. Moved away: it ends once nothing runs here.
                (Some(_), false) if object.is_some() => {
                    self.unsent.leaving.insert(path.clone(), Leave);
                    self.unsent.evaluate.insert(path.clone());
                }
                (Some(monitor), false) => _ = monitor.try_send(ViewChanged),
                (None, false) => {}
            }
        }
        if is_changed {
            self.shared.registry.store(Arc::new(next));
        }
        self.post(ctx);
    }

    /// Starts the monitors of what is for other nodes now and was on this one: while no daemon was there to see it, it may run.
    fn follow_left_over(&mut self, objects: &[ObjectPath], ctx: &mut Context<Self>) {
        let config = self.shared.config.load_full();
        let local = &config.node.nodename;
        let is_left = |path: &&ObjectPath| {
            let object = config.objects.get(path);
            path.kind().has_instances()
                && object.is_some_and(|object| !object.has_instance(local))
                && self.shared.paths.var_dir(path).is_dir()
        };
        let left: Vec<&ObjectPath> = objects.iter().filter(is_left).collect();
        let mut next = (**self.shared.registry.load()).clone();
        for path in left {
            if !next.contains_key(path) {
                next.insert(path.clone(), Arc::new(self.start_monitor(path)));
            }
            self.unsent.leaving.insert(path.clone(), Leave);
            self.unsent.evaluate.insert(path.clone());
        }
        self.shared.registry.store(Arc::new(next));
        self.post(ctx);
    }

    pub(super) fn objects(&self) -> Vec<ObjectPath> {
        self.shared.config.load().objects.keys().cloned().collect()
    }

    fn start_monitor(&self, path: &ObjectPath) -> ToServiceMonitor {
        let (address, seat) = supervision::seat::<ServiceMonitor>(QUEUE);
        let child = Child::new(&thread::service_monitor(path), self.tell.root.clone());
        let (shared, path) = (self.shared.clone(), path.clone());
        supervision::start_here(seat, child, move || {
            ServiceMonitor::new(shared.clone(), path.clone())
        });
        (&address).into()
    }

    /// An object without instance to start has a status nevertheless: its kind and a checksum.
    fn publish_other(&self, path: &ObjectPath, is_there: bool) {
        if !is_there {
            self.tell.remove.do_send(RemoveInstance(path.clone()));
            return;
        }
        let mut status = InstanceStatus { kind: Some(path.kind()), ..InstanceStatus::default() };
        status.csum = Some(monitor::digest(&status));
        status.updated = now();
        self.tell.instance.do_send(SetInstance { path: path.clone(), status: Box::new(status) });
    }

    /// What the start of the node is: the first evaluation of all instances, or their boot.
    pub(super) fn begin(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_beginning, true) {
            return;
        }
        let paths = self.shared.paths.clone();
        let to_clear = self.objects();
        let work = machine::blocking::run(move || boot::begin(&paths, &to_clear));
        ctx.spawn(work.into_actor(self).map(move |booted, this, ctx| {
            // With those that came meanwhile.
            let objects = this.objects();
            if let Ok(true) = booted {
                log::info!("the node was booted: so are its instances");
                for path in objects.iter().filter(|path| path.kind().has_instances()) {
                    let words = ["boot", "--local"].map(str::to_owned).to_vec();
                    let action = Action::Other(words);
                    this.tell.run.do_send(RunAction { path: path.clone(), action, priority: 0 });
                }
            }
            this.follow_left_over(&objects, ctx);
            this.follow(objects, ctx);
            this.is_loaded = true;
            this.pass_soon(ctx);
        }));
    }
}

impl Handler<WaitSlot> for NodeMonitor {
    type Result = ();

    fn handle(&mut self, WaitSlot { path, priority }: WaitSlot, ctx: &mut Context<Self>) {
        self.waiting.insert((priority, path));
        // The last action may have ended before this message came.
        if self.shared.acting() == 0 {
            ctx.notify(SlotFreed);
        }
    }
}

impl Handler<SlotFreed> for NodeMonitor {
    type Result = ();

    fn handle(&mut self, _: SlotFreed, _: &mut Context<Self>) {
        let max_parallel = self.shared.config.load().max_parallel();
        if self.shared.acting() >= max_parallel {
            return;
        }
        while let Some((_, path)) = self.waiting.pop_first() {
            if let Some(monitor) = self.shared.registry.load().get(&path) {
                monitor.do_send(YourTurn);
                return;
            }
        }
    }
}

impl Handler<FollowMore> for NodeMonitor {
    type Result = ();

    fn handle(&mut self, _: FollowMore, ctx: &mut Context<Self>) {
        self.follow([], ctx);
        if self.to_follow.is_empty() {
            self.pass_soon(ctx);
        }
    }
}

impl Handler<Gone> for NodeMonitor {
    type Result = ();

    fn handle(&mut self, Gone(path): Gone, ctx: &mut Context<Self>) {
        let mut registry = (**self.shared.registry.load()).clone();
        registry.remove(&path);
        self.shared.registry.store(Arc::new(registry));
        // It came back while its monitor was ending.
        if self.shared.config.load().objects.contains_key(&path) {
            self.follow([path], ctx);
        }
    }
}
