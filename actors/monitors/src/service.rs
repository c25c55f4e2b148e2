//! The service monitor: drives the local instance of one object.
//!
//! Hears: cluster data changes, requests of operators, ends of actions, its own alarms. Tells: the runner, the cluster data,
//! the node monitor (that it waits for its turn, that it is done).
//! Restart: always; its monitor data comes back from the cluster data, running actions are awaited, not interrupted.

mod commands;
mod restarts;
mod runs;
pub mod shared;
mod slice;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use model::{InstanceAction, MonitorStatus, ObjectPath};
use monitor::{Action, Change, Effect, InstanceCore, RunId, is_transition};

use crate::service::restarts::Kept;
use crate::service::shared::{Acting, Shared};
use dataset::view::View;
use machine::clock::moment;
use mail::cluster_data::{
    Concern, DisownInstance, Emit, Flush, RemoveInstance, SetInstanceMonitor,
};
use mail::latest::{Latest, keep_on, post, post_to};
use mail::node_monitor::{Gone, SlotFreed, WaitSlot};
use mail::quorum::Surrender;
use mail::runner::{AwaitAction, Awaited, EndAction, FindAction, Forget};
use mail::service_monitor::{Clear, ConfigChanged, Leave, SetMonitor, ViewChanged, YourTurn};

/// An action that the core asked for ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Done {
    id: RunId,
    exit_code: i32,
}

/// An action that somebody else started runs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Found(String);

/// An action that somebody else started ended, or there was none.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Adopted(Option<Awaited>);

/// What others are to be told, and have no room for: the last of each.
#[derive(Debug, Default)]
struct Posts {
    wait_slot: Option<WaitSlot>,
    slot_freed: Option<SlotFreed>,
    end_action: Option<EndAction>,
    surrender: Option<Surrender>,
    others: BTreeMap<ObjectPath, SetMonitor>,
    /// They are told again after a while.
    is_due: bool,
}

impl Posts {
    fn has_any(&self) -> bool {
        self.wait_slot.is_some()
            || self.slot_freed.is_some()
            || self.end_action.is_some()
            || self.surrender.is_some()
            || !self.others.is_empty()
    }
}

/// The monitor of one object.
#[derive(Debug)]
pub struct ServiceMonitor {
    shared: Arc<Shared>,
    core: InstanceCore,
    /// Actions to run, one after the other; the first one runs.
    runs: VecDeque<(RunId, Action)>,
    alarm: Option<SpawnHandle>,
    /// Counts the instance among those with an action running.
    acting: Option<Acting>,
    /// An action of somebody else may run: nothing is decided before its end.
    is_adopting: bool,
    /// An operator's command told that it acts: its end is watched for, it may not live to tell it.
    watching: Option<SpawnHandle>,
    /// What the cluster data is told: the last of each, when it has no room.
    published: Latest<(), SetInstanceMonitor>,
    concern: Latest<(), Concern>,
    /// What others are told by each pass: the last of each, where there is no room.
    unsent: Posts,
    /// The restarts of its resources, as they are kept.
    kept: Kept,
    /// The object is for other nodes now: it ends here once nothing runs.
    is_left_over: bool,
}

impl ServiceMonitor {
    /// The monitor of an object, going on from what is published of it.
    #[must_use]
    pub fn new(shared: Arc<Shared>, path: ObjectPath) -> Self {
        let snapshot = shared.snapshot.load();
        // The order to delete what had this path before is none to what has it now.
        let is_of_it = |status: &&Arc<model::InstanceStatus>| {
            let monitor = status.monitor.as_ref();
            status.is_known() || !monitor.is_some_and(monitor::is_leaving)
        };
        let local = snapshot.local_instance(&path).filter(is_of_it);
        let monitor = local.and_then(|status| status.monitor.clone());
        let kept = Kept::read(&shared.paths, &path);
        Self {
            core: InstanceCore::new(path, monitor).with_restarts(kept.restarts()),
            published: Latest::new(shared.tell.monitor.clone()),
            concern: Latest::new(shared.tell.concern.clone()),
            unsent: Posts::default(),
            kept,
            shared,
            runs: VecDeque::new(),
            alarm: None,
            acting: None,
            is_adopting: true,
            watching: None,
            is_left_over: false,
        }
    }

    /// Lets the core look at what is known now.
    fn with_view<R>(&mut self, work: impl FnOnce(&mut InstanceCore, &View<'_>) -> R) -> R {
        let (snapshot, config) = (self.shared.snapshot.load(), self.shared.config.load());
        let mut view = View::new(&snapshot, &config, self.shared.is_grace());
        view.conditions.transitions = self.shared.acting();
        work(&mut self.core, &view)
    }

    fn apply(&mut self, change: &Change, ctx: &mut Context<Self>) {
        self.with_view(|core, view| core.apply(moment(), change, view));
        self.pass(ctx);
    }

    /// Takes a decision and carries it out.
    fn pass(&mut self, ctx: &mut Context<Self>) {
        if self.is_left_over && !self.may_run() {
            // Nothing runs here, or its files are gone and what ran with them.
            self.leave(ctx);
            return;
        }
        if self.is_adopting {
            // What was asked is published; what to do about it is decided later.
            let effects = self.with_view(|core, view| core.refresh(moment(), view));
            self.carry_out(
                effects
                    .into_iter()
                    .filter(|effect| matches!(effect, Effect::Publish(_) | Effect::EndAction))
                    .collect(),
                ctx,
            );
            return;
        }
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        let effects = self.with_view(|core, view| core.pass(moment(), view));
        self.carry_out(effects, ctx);
    }

    fn carry_out(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        self.count(ctx);
        let path = self.core.path().clone();
        let mut wake_after = f64::INFINITY;
        for effect in effects {
            log::trace!(path:% = path, effect:? = effect; "effect");
            match effect {
                Effect::Publish(monitor) => {
                    self.kept.note(&monitor.restart);
                    let set = SetInstanceMonitor { path: path.clone(), monitor };
                    if self.published.send((), set) {
                        keep_on(ctx, |this: &mut Self| this.published.again());
                    }
                }
                Effect::Disown => {
                    // In the order in which it came: its monitor is what stays of it.
                    self.published.send_all();
                    self.shared.tell.disown.do_send(DisownInstance(path.clone()));
                }
                Effect::Remove => {
                    self.leave(ctx);
                    return;
                }
                Effect::Run { id, action } => self.run(id, action, ctx),
                Effect::WakeAfter(seconds) => wake_after = wake_after.min(seconds),
                Effect::WaitSlot => {
                    let priority = self.priority();
                    self.unsent.wait_slot = Some(WaitSlot { path: path.clone(), priority });
                    self.post(ctx);
                }
                Effect::EndAction => {
                    self.unsent.end_action = Some(EndAction(path.clone()));
                    self.post(ctx);
                }
                Effect::LoseSplit => {
                    self.unsent.surrender = Some(Surrender);
                    self.post(ctx);
                }
                Effect::Event(event) => self.emit(&event),
                Effect::Warn(text) => log::warn!(path:% = path; "{text}"),
                Effect::SetOther { path, change } => {
                    self.unsent.others.insert(path, SetMonitor(change));
                    self.post(ctx);
                }
                Effect::ResizeSlice { path: slice, flex_target } => {
                    slice::resize(&self.shared, slice, flex_target);
                }
                Effect::CreateSlice { path: slice, flex_target } => {
                    slice::create(&self.shared, &path, slice, flex_target);
                }
            }
        }
        self.watch_command(ctx);
        if wake_after.is_finite() {
            let delay = Duration::try_from_secs_f64(wake_after.max(0.001)).unwrap_or(Duration::MAX);
            self.alarm = Some(ctx.run_later(delay, |this, ctx| {
                this.alarm = None;
                this.pass(ctx);
            }));
        }
    }

    /// Keeps count of the instances with an action running.
    fn count(&mut self, ctx: &mut Context<Self>) {
        let is_acting = is_transition(&self.core.monitor().status);
        if is_acting && self.acting.is_none() {
            self.acting = Some(Acting::new(self.shared.clone()));
        } else if !is_acting && self.acting.take().is_some() {
            self.free_slot(ctx);
        }
    }

    /// Tells that another instance may act.
    fn free_slot(&mut self, ctx: &mut Context<Self>) {
        self.unsent.slot_freed = Some(SlotFreed);
        self.post(ctx);
    }

    /// Tells others what they are to be told, and what has no room again and again.
    fn post(&mut self, ctx: &mut Context<Self>) {
        if self.post_again() && !std::mem::replace(&mut self.unsent.is_due, true) {
            keep_on(ctx, |this: &mut Self| {
                this.unsent.is_due = this.post_again();
                this.unsent.is_due
            });
        }
    }

    /// True: something has no room.
    fn post_again(&mut self) -> bool {
        let (tell, registry) = (&self.shared.tell, self.shared.registry.load_full());
        let Posts { wait_slot, slot_freed, end_action, surrender, others, .. } = &mut self.unsent;
        post(wait_slot, |message| tell.wait_slot.try_send(message));
        post(slot_freed, |message| tell.slot_freed.try_send(message));
        post(end_action, |message| tell.end_action.try_send(message));
        post(surrender, |message| tell.surrender.try_send(message));
        post_to(others, |path, message| match registry.get(path) {
            Some(monitor) => monitor.try_send(message),
            None => Ok(()),
        });
        self.unsent.has_any()
    }

    fn priority(&self) -> i64 {
        let config = self.shared.config.load();
        config.objects.get(self.core.path()).map_or(100, |object| object.settings.priority)
    }

    fn emit(&self, event: &monitor::Event) {
        let path = self.core.path();
        match &event.text {
            Some(text) => log::warn!(path:% = path; "{}: {text}", event.id),
            None => {
                log::info!(path:% = path, reason = event.reason, rid = event.rid.as_deref().unwrap_or(""); "{}", event.id);
            }
        }
        let told = Emit { id: event.id, path: Some(path.clone()), facts: event.facts() };
        // Whoever does not keep up loses events.
        _ = self.shared.tell.emit.try_send(told);
    }

    /// The object is gone from this node.
    fn leave(&mut self, ctx: &mut Context<Self>) {
        let path = self.core.path().clone();
        self.published.take_back(&());
        self.concern.take_back(&());
        let tell = &self.shared.tell;
        tell.concern.do_send(Concern {
            path: path.clone(),
            related: vec![],
            priority: 0,
            monitor: None,
        });
        tell.remove.do_send(RemoveInstance(path.clone()));
        tell.forget.do_send(Forget(path.clone()));
        tell.gone.do_send(Gone(path));
        if self.acting.take().is_some() {
            self.shared.tell.slot_freed.do_send(SlotFreed);
        }
        supervision::end(ctx);
    }

    /// Tells the cluster data which changes concern this object.
    fn register(&mut self, ctx: &mut Context<Self>) {
        let path = self.core.path().clone();
        let config = self.shared.config.load();
        let Some(object) = config.objects.get(&path) else { return };
        let settings = &object.settings;
        let names = settings.parents.iter().chain(&settings.children).chain(&settings.slaves);
        let affinities = settings
            .hard_affinity
            .iter()
            .chain(&settings.hard_anti_affinity)
            .chain(&settings.soft_affinity)
            .chain(&settings.soft_anti_affinity);
        let mut related: Vec<ObjectPath> = names
            .chain(affinities)
            .filter_map(|name| ObjectPath::parse(name.split('@').next().unwrap_or(name)).ok())
            .collect();
        if settings.scale.is_some() {
            let is_ours = |other: &&ObjectPath| other.slice_of().is_some_and(|(_, it)| it == path);
            related.extend(config.objects.keys().filter(is_ours).cloned());
        }
        let monitor = Some(ctx.address().recipient());
        let priority = settings.priority;
        if self.concern.send((), Concern { path, related, priority, monitor }) {
            keep_on(ctx, |this: &mut Self| this.concern.again());
        }
    }

    /// Answers when what is decided is published.
    fn published(&self) -> ResponseFuture<()> {
        let flush = self.shared.tell.flush.send(Flush);
        Box::pin(async move {
            _ = flush.await;
        })
    }
}

impl Actor for ServiceMonitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::debug!(path:% = self.core.path(); "service monitor started");
        self.register(ctx);
        let (path, address) = (self.core.path().clone(), ctx.address());
        let found = self.shared.tell.find_action.send(FindAction(path.clone()));
        let await_action = self.shared.tell.await_action.clone();
        actix_rt::spawn(async move {
            if let Ok(Some(action)) = found.await {
                address.do_send(Found(action));
            }
            let awaited = await_action.send(AwaitAction(path)).await;
            address.do_send(Adopted(awaited.ok().flatten()));
        });
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::debug!(path:% = self.core.path(); "service monitor stopped");
    }
}

impl Supervised for ServiceMonitor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::new(self.shared.clone(), self.core.path().clone());
    }
}

impl Handler<ViewChanged> for ServiceMonitor {
    type Result = ();

    fn handle(&mut self, _: ViewChanged, ctx: &mut Context<Self>) {
        self.pass(ctx);
    }
}

impl Handler<ConfigChanged> for ServiceMonitor {
    type Result = ();

    fn handle(&mut self, _: ConfigChanged, ctx: &mut Context<Self>) {
        self.is_left_over = false;
        self.register(ctx);
        self.pass(ctx);
    }
}

impl Handler<YourTurn> for ServiceMonitor {
    type Result = ();

    fn handle(&mut self, _: YourTurn, ctx: &mut Context<Self>) {
        self.pass(ctx);
        if self.acting.is_none() {
            // The turn is not taken: it is the next one's.
            self.free_slot(ctx);
        }
    }
}

impl Handler<Leave> for ServiceMonitor {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.is_left_over, true) && self.may_run() {
            log::warn!(path:% = self.core.path(); "not for this node any more, and it runs here: it goes once stopped");
        }
        self.pass(ctx);
    }
}

impl Handler<SetMonitor> for ServiceMonitor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, SetMonitor(change): SetMonitor, ctx: &mut Context<Self>) -> Self::Result {
        self.apply(&change, ctx);
        self.published()
    }
}

impl Handler<Clear> for ServiceMonitor {
    type Result = ResponseFuture<Result<(), MonitorStatus>>;

    fn handle(&mut self, _: Clear, ctx: &mut Context<Self>) -> Self::Result {
        let status = self.core.monitor().status.clone();
        if status.is_transitioning() {
            return Box::pin(std::future::ready(Err(status)));
        }
        let forgotten = self.forget_failure();
        self.apply(&Change::clear(), ctx);
        let published = self.published();
        Box::pin(async move {
            if let Some(forgotten) = forgotten {
                // It is published as the evaluation ends.
                _ = forgotten.await;
            }
            published.await;
            Ok(())
        })
    }
}

impl Handler<Done> for ServiceMonitor {
    type Result = ();

    fn handle(&mut self, Done { id, exit_code }: Done, ctx: &mut Context<Self>) {
        // Of an earlier life of this actor.
        if self.runs.front().is_none_or(|(running, _)| *running != id) {
            return;
        }
        self.runs.pop_front();
        self.with_view(|core, view| core.on_action_done(moment(), id, exit_code, view));
        self.run_next(ctx);
        self.pass(ctx);
    }
}

impl Handler<Found> for ServiceMonitor {
    type Result = ();

    fn handle(&mut self, Found(action): Found, ctx: &mut Context<Self>) {
        // Peers would start beside it.
        if self.is_adopting
            && let Some(action) = InstanceAction::from_words(&action).filter(|it| it.moves_object())
            && let Some((status, _)) = action.progress()
        {
            self.apply(&Change { status: Some(status), ..Change::default() }, ctx);
        }
    }
}

impl Handler<Adopted> for ServiceMonitor {
    type Result = ();

    fn handle(&mut self, Adopted(awaited): Adopted, ctx: &mut Context<Self>) {
        self.is_adopting = false;
        match awaited {
            Some(awaited) => {
                let change = self.conclude(&awaited.action, awaited.exit_code);
                self.apply(&change, ctx);
            }
            // Nobody runs what the monitor says it does: it fell, and its action ended before it was back.
            None if is_transition(&self.core.monitor().status) => {
                let change = self.conclude_told(&self.core.monitor().status);
                self.apply(&change, ctx);
            }
            None => self.pass(ctx),
        }
    }
}

#[cfg(test)]
mod tests;
