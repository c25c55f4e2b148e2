//! The root supervisor: starts, watches, restarts and stops every other actor.
//!
//! Hears: what happens to its children, what they report of themselves, requests to stop and start, signals, changes of
//! the configuration. Tells: the cluster data (thread blocks), the service manager. Restart: its table of children is
//! kept; when it does not come back, the watchdog of systemd restarts the whole.

mod children;
mod heartbeats;
mod logging;
mod service_manager;
pub mod signals;
pub mod start;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use conf::NodeSettings;
use heartbeat::ties::Ties;
use keepers::log::LogKeeper;
use link::freshness::Freshness;
use link::gate::Gate;
use link::member_addresses::MemberAddresses;
use link::{freshness, member_addresses};
use mail::cluster_data::{AwaitAcked, Flush, SetThread};
use mail::config_watcher::NodeConfigChanged;
use mail::listener::Reconfigure;
use mail::mail::Mail;
use mail::membership::Retired;
use mail::node_monitor::{Announce, ShutdownInstances};
use mail::root::{
    Reload, ShutdownDaemon, StartThread, StopDaemon, StopSession, StopThread, TestPanic,
    ThreadError, ThreadReport,
};
use mail::{config_watcher, front, listener, quorum};
use model::thread::{self, State};
use monitor::Backoff;
use supervision::{ChildEvent, ChildId};
use tokio::sync::oneshot;

use crate::children::Children;
use crate::heartbeats::Heartbeats;
use crate::logging::{level_of, secrets_of};
use crate::service_manager::ServiceManager;

/// Longest wait of a reply to [`StopThread`] and [`StartThread`].
const THREAD_PATIENCE: Duration = Duration::from_secs(5);

/// How often the names of the nodes are looked up: addresses change, and a name service may come later than we do.
const RESOLVE_PAUSE: Duration = Duration::from_secs(60);

/// Longest wait for the announcement of a stop.
const ANNOUNCE_PATIENCE: Duration = Duration::from_millis(500);

/// Longest wait for the peers to know of the announcement. Deployed agents always wait that long.
const ACK_PATIENCE: Duration = Duration::from_secs(5);

/// What subscribers get to read the announcement, and the requester to read its reply.
const STOP_PAUSE: Duration = Duration::from_millis(100);

/// Longest wait for the children to stop: the daemon then ends without them.
const CHILDREN_PATIENCE: Duration = Duration::from_millis(500);

/// Everything is started: from now on the service manager is told.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct Ready;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Beat;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct StopChildren;

/// Whoever waits for a child to reach a state.
struct Waiter {
    ids: Vec<ChildId>,
    state: State,
    done: oneshot::Sender<()>,
}

/// The root supervisor.
pub struct Root {
    mail: Mail,
    freshness: Arc<Freshness>,
    logs: Addr<LogKeeper>,
    children: Children,
    heartbeats: Heartbeats,
    waiters: Vec<Waiter>,
    manager: ServiceManager,
    addresses: MemberAddresses,
    is_resolving: bool,
    is_stopping: bool,
    is_over: bool,
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root").field("is_stopping", &self.is_stopping).finish_non_exhaustive()
    }
}

impl Root {
    /// The supervisor of a daemon whose children are about to be started. Those that it starts itself, the heartbeats, run
    /// on `beats`.
    #[must_use]
    pub fn new(mail: Mail, logs: Addr<LogKeeper>, beats: ArbiterHandle) -> Self {
        let freshness = mail.freshness.clone();
        let ties = Ties::new(&mail);
        let heartbeats = Heartbeats::new(ties, mail.membership.clone(), beats);
        Self {
            mail,
            heartbeats,
            freshness,
            logs,
            children: Children::default(),
            waiters: vec![],
            manager: ServiceManager::new(),
            addresses: MemberAddresses::default(),
            is_resolving: false,
            is_stopping: false,
            is_over: false,
        }
    }

    /// Publishes the block of a child.
    fn publish(&self, id: &str) {
        let block = self.children.block(id);
        self.mail.cluster_data.do_send(SetThread { id: id.to_owned(), block });
    }

    /// Looks later whether a child that runs after falls stayed healthy.
    fn watch_recovery(&self, only: Option<&str>, ctx: &mut Context<Self>) {
        for (id, restarts) in self.children.recovering() {
            if only.is_none_or(|only| *id == *only) {
                ctx.run_later(Backoff::default().healthy, move |this, _| {
                    if this.children.on_healthy(&id, restarts) {
                        this.publish(&id);
                    }
                });
            }
        }
    }

    /// Tells those who waited for what is reached now, once it can be read in `daemon_status`.
    fn release(&mut self, ctx: &mut Context<Self>) {
        let children = &self.children;
        let reached = self
            .waiters
            .extract_if(.., |waiter| waiter.ids.iter().all(|id| children.is_in(id, waiter.state)));
        let reached: Vec<Waiter> = reached.collect();
        if reached.is_empty() {
            return;
        }
        let published = self.mail.cluster_data.send(Flush).timeout(THREAD_PATIENCE);
        ctx.spawn(published.into_actor(self).map(move |_, _, _| {
            for waiter in reached {
                _ = waiter.done.send(());
            }
        }));
    }

    /// Waits until these children are in `state`.
    fn wait(
        &mut self,
        ids: Vec<ChildId>,
        state: State,
        ctx: &mut Context<Self>,
    ) -> ResponseFuture<Result<(), ThreadError>> {
        if ids.is_empty() {
            return Box::pin(std::future::ready(Err(ThreadError::Unknown)));
        }
        let (done, reached) = oneshot::channel();
        self.waiters.push(Waiter { ids, state, done });
        self.release(ctx);
        Box::pin(async move {
            match tokio::time::timeout(THREAD_PATIENCE, reached).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(ThreadError::Late),
            }
        })
    }

    /// Announces the end, then begins it. Answers when the announcement is published. None: `shutting` said it all.
    fn stop(
        &mut self,
        announce: Option<Announce>,
        ctx: &mut Context<Self>,
    ) -> ResponseActFuture<Self, ()> {
        if std::mem::replace(&mut self.is_stopping, true) {
            return Box::pin(actix::fut::ready(()));
        }
        log::info!("daemon stopping");
        self.manager.on_stopping();
        let announced = announce.map(|it| self.mail.node_monitor.send(it));
        let announced = async move {
            match announced {
                Some(announced) => announced.timeout(ANNOUNCE_PATIENCE).await,
                None => Ok(()),
            }
        };
        // Whatever became of the announcement, the daemon ends.
        ctx.notify_later(StopChildren, ANNOUNCE_PATIENCE + ACK_PATIENCE + STOP_PAUSE);
        Box::pin(announced.into_actor(self).map(|announced, this, ctx| {
            if announced.is_err() {
                log::warn!("the stop could not be announced");
            }
            // A peer that does not know of it when the heartbeats end takes over what goes on running here.
            let known = this.mail.cluster_data.send(AwaitAcked).timeout(ACK_PATIENCE);
            ctx.spawn(known.into_actor(this).map(|known, _, ctx| {
                if known.is_err() {
                    log::warn!("a peer has not acknowledged the announcement of the stop");
                }
                ctx.notify_later(StopChildren, STOP_PAUSE);
            }));
        }))
    }

    fn apply(&self, new: &NodeSettings) {
        logs::set_level(level_of(new.loglevel));
        logs::set_secrets(secrets_of(new));
        self.freshness.set_window(new.listener.replay_window);
        self.mail.gate.store(Arc::new(Gate::new(new)));
    }

    /// Starts, reconfigures and ends heartbeats as the configuration asks for. Not while the daemon stops.
    fn heartbeats(&mut self, node: &NodeSettings, ctx: &mut Context<Self>) {
        if !self.is_stopping {
            self.heartbeats.reconcile(node, &ctx.address().recipient());
        }
    }

    /// Learns which addresses are whose, off the arbiter: names may take long to resolve.
    fn resolve(&mut self, ctx: &mut Context<Self>) {
        let hosts = member_addresses::hosts(&self.mail.config.load().node);
        self.mail.blacklist.view.set_members(self.addresses.of(&hosts));
        if std::mem::replace(&mut self.is_resolving, true) {
            return;
        }
        let found = machine::blocking::run(move || member_addresses::look_up(&hosts));
        ctx.spawn(found.into_actor(self).map(|found, this, _| {
            this.is_resolving = false;
            this.addresses.learn(found.unwrap_or_default());
            let hosts = member_addresses::hosts(&this.mail.config.load().node);
            this.mail.blacklist.view.set_members(this.addresses.of(&hosts));
        }));
    }
}

impl Actor for Root {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(period) = self.manager.watchdog_period() {
            ctx.notify_later(Beat, period);
        }
        self.watch_recovery(None, ctx);
        ctx.run_interval(freshness::SAVE_PERIOD, |this, _| {
            let freshness = this.freshness.clone();
            machine::blocking::run(move || freshness.save_if_due());
        });
        // Before anything listens.
        self.resolve(ctx);
        ctx.run_interval(RESOLVE_PAUSE, |this, ctx| this.resolve(ctx));
        let node = self.mail.config.load().node.clone();
        self.heartbeats(&node, ctx);
    }
}

impl Supervised for Root {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // The table of children is fed by events that do not come twice: it is kept. Those who waited give up by time.
        self.waiters.clear();
        self.is_resolving = false;
    }
}

impl Handler<ChildEvent> for Root {
    type Result = ();

    fn handle(&mut self, event: ChildEvent, ctx: &mut Context<Self>) {
        if let ChildEvent::Fell { id, reason, tries, retry_in } = &event {
            let retry_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
            log::error!(child = &**id, reason = reason.as_str(), tries, retry_ms; "an actor fell");
        }
        if let ChildEvent::Ended { id } = &event
            && self.heartbeats.on_ended(id)
        {
            self.children.remove(id);
            self.publish(id);
            // It may be wanted again meanwhile.
            let node = self.mail.config.load().node.clone();
            self.heartbeats(&node, ctx);
            return;
        }
        let Some(id) = self.children.on_event(event) else { return };
        self.watch_recovery(Some(&id), ctx);
        self.publish(&id);
        self.release(ctx);
        if self.is_stopping && self.children.is_all_stopped() {
            ctx.notify(StopChildren);
        }
    }
}

impl Handler<ThreadReport> for Root {
    type Result = ();

    fn handle(&mut self, report: ThreadReport, _: &mut Context<Self>) {
        let id = report.id.clone();
        self.children.on_report(report);
        self.publish(&id);
    }
}

impl Handler<StopThread> for Root {
    type Result = ResponseFuture<Result<(), ThreadError>>;

    fn handle(&mut self, StopThread { id }: StopThread, ctx: &mut Context<Self>) -> Self::Result {
        let ids = self.children.named(&id);
        if !ids.is_empty() && !thread::is_thread(&id) {
            return Box::pin(std::future::ready(Err(ThreadError::Vital)));
        }
        for id in &ids {
            self.children.stop(id);
            self.publish(id);
        }
        self.wait(ids, State::Stopped, ctx)
    }
}

impl Handler<StartThread> for Root {
    type Result = ResponseFuture<Result<(), ThreadError>>;

    fn handle(&mut self, StartThread { id }: StartThread, ctx: &mut Context<Self>) -> Self::Result {
        let ids = self.children.named(&id);
        for id in &ids {
            self.children.start(id);
        }
        self.wait(ids, State::Running, ctx)
    }
}

impl Handler<StopDaemon> for Root {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(
        &mut self,
        StopDaemon { upgrade }: StopDaemon,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        self.stop(Some(Announce { upgrade }), ctx)
    }
}

impl Handler<StopSession> for Root {
    type Result = ();

    fn handle(&mut self, StopSession { id }: StopSession, _: &mut Context<Self>) {
        self.mail.listener.do_send(listener::StopSession { id });
    }
}

impl Handler<ShutdownDaemon> for Root {
    type Result = ResponseActFuture<Self, Result<(), String>>;

    fn handle(
        &mut self,
        ShutdownDaemon { time }: ShutdownDaemon,
        _: &mut Context<Self>,
    ) -> Self::Result {
        log::info!("daemon shutting down");
        self.manager.on_status("stopping the instances");
        let stopped = self.mail.node_monitor.send(ShutdownInstances { time });
        Box::pin(stopped.into_actor(self).then(|left, this, ctx| {
            // What is not down must not be taken over: it goes on running here, as after a stop.
            let mut announce = Some(Announce { upgrade: false });
            let result = match left {
                Ok(left) if left.is_empty() => {
                    announce = None;
                    Ok(())
                }
                Ok(left) => {
                    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
                    Err(format!("not down: {}", left.join(", ")))
                }
                Err(error) => Err(format!("the instances could not be stopped: {error}")),
            };
            if let Err(text) = &result {
                log::error!("{text}");
            }
            this.stop(announce, ctx).map(|(), _, _| result)
        }))
    }
}

impl Handler<Reload> for Root {
    type Result = ();

    fn handle(&mut self, _: Reload, ctx: &mut Context<Self>) {
        log::info!("reloading");
        self.manager.on_reloading();
        self.logs.do_send(mail::log::Reopen);
        let reloaded =
            self.mail.config_watcher.send(config_watcher::Reload).timeout(THREAD_PATIENCE);
        ctx.spawn(reloaded.into_actor(self).map(|reloaded, this, _| {
            if reloaded.is_err() {
                log::warn!("the configuration was not read again in time");
            }
            this.manager.on_ready();
        }));
    }
}

impl Handler<TestPanic> for Root {
    type Result = bool;

    fn handle(&mut self, TestPanic { id }: TestPanic, _: &mut Context<Self>) -> bool {
        self.children.panic(&id)
    }
}

impl Handler<NodeConfigChanged> for Root {
    type Result = ();

    fn handle(&mut self, change: NodeConfigChanged, ctx: &mut Context<Self>) {
        let NodeConfigChanged { old, new } = change;
        self.apply(&new);
        self.heartbeats(&new, ctx);
        self.resolve(ctx);
        self.children.on_configured();
        self.mail.listener.do_send(Reconfigure);
        self.mail.http_socket.do_send(front::Reconfigure);
        self.mail.tls_listener.do_send(front::Reconfigure);
        self.mail.quorum.do_send(quorum::Reconfigure);
        // After the gate: who is told that it is no member any more is refused if it asks.
        self.mail.secrets.do_send(NodeConfigChanged { old: old.clone(), new: new.clone() });
        self.mail.standing.do_send(NodeConfigChanged { old, new });
    }
}

impl Handler<Retired> for Root {
    type Result = ();

    fn handle(&mut self, Retired { hb }: Retired, ctx: &mut Context<Self>) {
        log::info!("{hb} is needed no more");
        self.heartbeats.on_retired(&hb);
        let node = self.mail.config.load().node.clone();
        self.heartbeats(&node, ctx);
    }
}

impl Handler<Ready> for Root {
    type Result = ();

    fn handle(&mut self, _: Ready, _: &mut Context<Self>) {
        self.manager.on_ready();
        log::info!(pid = std::process::id(); "daemon started");
    }
}

impl Handler<Beat> for Root {
    type Result = ();

    fn handle(&mut self, _: Beat, ctx: &mut Context<Self>) {
        let Some(period) = self.manager.watchdog_period() else { return };
        // A child that was stopped on purpose, or waits for its restart, is no reason to restart the whole.
        if [thread::CLUSTER_DATA, thread::MONITOR].iter().all(|id| self.children.answers(id)) {
            self.manager.on_alive();
        }
        ctx.notify_later(Beat, period);
    }
}

impl Handler<StopChildren> for Root {
    type Result = ();

    fn handle(&mut self, _: StopChildren, ctx: &mut Context<Self>) {
        if self.children.is_all_stopped() {
            if !std::mem::replace(&mut self.is_over, true) {
                self.freshness.close();
                log::info!("daemon stopped");
                System::current().stop();
            }
        } else if self.children.stop_all() {
            // Not for ever: a child that does not stop is left behind.
            ctx.run_later(CHILDREN_PATIENCE, |this, _| {
                log::warn!(children = this.children.left().join(" "); "these did not stop in time");
                this.freshness.close();
                System::current().stop();
            });
        }
    }
}
