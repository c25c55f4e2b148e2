//! One direction of one heartbeat.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use model::{Alert, EventFacts, HeartbeatSign, NodeName, Stale, Timestamp, thread};
use monitor::{Backoff, Beating, Restarts, Sign};
use tokio::sync::watch;

use machine::clock;
use mail::cluster_data::Emit;
use mail::latest::{Latest, keep_on};
use mail::membership;
use mail::root::ThreadReport;

use crate::beat::Haste;
use crate::board::{Board, DRIVER};
use crate::inbox::Inbox;
use crate::note::{Note, Notes};
use crate::outbox::Outbox;
use crate::ties::Ties;
use crate::{beat, disk, multicast, relay, unicast};
use dataset::heartbeats::section::{Direction, Section};

/// Shortest pause between two reports of counters: each is a new generation of the cluster data.
const REPORT_PAUSE: Duration = Duration::from_secs(2);

/// Pause before a driver that cannot work is tried again. Peers are noticed stale meanwhile.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(5),
    healthy: Duration::from_secs(10),
};

/// The settings of a section took these values: the worker goes on with them, keeping what it knows of its peers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Reconfigure(pub Arc<Section>);

/// The actor.
#[derive(Debug)]
pub struct Worker {
    direction: Direction,
    section: Arc<Section>,
    ties: Arc<Ties>,
    epoch: Instant,
    beating: Beating,
    /// A shorter interval of before: it is kept until the peers have taken the longer one over.
    haste: Option<Haste>,
    board: Board,
    /// The running driver and the stream of its notes.
    driver: Vec<SpawnHandle>,
    driver_since: Instant,
    retries: Restarts,
    /// When the next look at the peers is due, and its alarm.
    alarm: Option<(Duration, SpawnHandle)>,
    reported: Option<Instant>,
    is_report_due: bool,
    /// What the membership is to know of each peer.
    signs: Latest<NodeName, membership::Beat>,
}

impl Worker {
    /// A worker that knows of nobody.
    #[must_use]
    pub fn new(direction: Direction, section: Arc<Section>, ties: Arc<Ties>) -> Self {
        let settings = &section.settings;
        let beating = Beating::new(settings.timeout, settings.interval, section.peers().cloned());
        let signs = Latest::new(ties.membership.clone());
        Self {
            direction,
            section,
            ties,
            epoch: Instant::now(),
            beating,
            haste: None,
            board: Board::new(clock::now()),
            driver: vec![],
            driver_since: Instant::now(),
            retries: Restarts::default(),
            alarm: None,
            reported: None,
            is_report_due: false,
            signs,
        }
    }

    fn id(&self) -> String {
        self.section.id(self.direction).to_string()
    }

    /// Starts the driver.
    fn begin(&mut self, ctx: &mut Context<Self>) {
        self.end_driver(ctx);
        self.board.on_driver();
        self.driver_since = Instant::now();
        let (notes, mut received) = Notes::new();
        let heard = futures_util::stream::poll_fn(move |cx| received.poll_recv(cx));
        self.driver.push(ctx.add_stream(heard));
        let work = work(self.direction, self.section.clone(), self.ties.clone(), notes, self.haste);
        self.driver.push(ctx.spawn(work.into_actor(self).map(Self::on_driver_end)));
        self.report();
    }

    fn end_driver(&mut self, ctx: &mut Context<Self>) {
        for handle in self.driver.drain(..) {
            ctx.cancel_future(handle);
        }
    }

    /// The driver cannot go on: it is told, and tried again.
    fn on_driver_end(reason: String, this: &mut Self, ctx: &mut Context<Self>) {
        this.end_driver(ctx);
        let retry_in = this.retries.on_fall(&RETRY, this.driver_since.elapsed());
        if this.board.alert(DRIVER, Some(Alert::error(reason.clone()))) {
            log::error!("{}: {reason}", this.id());
        }
        this.report();
        this.driver.push(ctx.run_later(retry_in, |this, ctx| {
            let alert = this.board.driver_alert();
            this.begin(ctx);
            // Shown until the driver works.
            this.board.keep_driver_alert(alert);
            this.report();
        }));
    }

    fn on_beat(&mut self, peer: &NodeName, ctx: &mut Context<Self>) {
        if self.board.on_success(peer) {
            log::info!(peer:% = peer; "{}: sending works again", self.id());
        }
        let now = clock::now();
        let Some(is_new) = self.beating.on_beat(self.epoch.elapsed(), now, peer) else { return };
        if is_new {
            log::info!(peer:% = peer; "{}: beating", self.id());
            self.on_sign(peer, Sign::Beating, now, ctx);
            self.report();
        }
        self.arm(ctx);
    }

    /// Tells a change of a peer's flag.
    fn on_sign(&mut self, peer: &NodeName, sign: Sign, last: Timestamp, ctx: &mut Context<Self>) {
        let is_beating = sign == Sign::Beating;
        let settings = &self.section.settings;
        let stale = (!is_beating).then_some(Stale {
            timeout: settings.timeout.as_secs_f64(),
            interval: settings.interval.as_secs_f64(),
            last,
        });
        let hb = HeartbeatSign { name: settings.name.clone(), id: self.id().to_string(), stale };
        let nodename = Some(peer.clone());
        let facts = EventFacts { nodename, hb: Some(hb), ..EventFacts::default() };
        let id = if is_beating { "hb_beating" } else { "hb_stale" };
        // Whoever does not keep up loses events.
        _ = self.ties.emit.try_send(Emit { id, path: None, facts });
        if self.direction == Direction::Rx {
            let (hb, peer) = (settings.name.clone(), peer.clone());
            if self.signs.send(peer.clone(), membership::Beat { hb, peer, sign }) {
                Self::sign_again(ctx);
            }
        }
    }

    /// Tells the membership later what it has no room for.
    fn sign_again(ctx: &mut Context<Self>) {
        keep_on(ctx, |this: &mut Self| this.signs.again());
    }

    /// Looks for peers that became stale.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let stale = self.beating.on_look(self.epoch.elapsed());
        for peer in &stale {
            let last = self.beating.peers()[peer].last;
            log::warn!(peer:% = peer, last = last.0; "{}: stale", self.id());
            self.on_sign(peer, Sign::Stale, last, ctx);
        }
        if !stale.is_empty() {
            self.report();
        }
        self.arm(ctx);
    }

    /// Sets the alarm of the next look. One that comes too early only sets the next.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let Some(next) = self.beating.next_look() else { return };
        if let Some((planned, handle)) = self.alarm {
            if planned <= next {
                return;
            }
            ctx.cancel_future(handle);
        }
        let pause = next.saturating_sub(self.epoch.elapsed());
        let handle = ctx.run_later(pause, |this, ctx| {
            this.alarm = None;
            this.look(ctx);
        });
        self.alarm = Some((next, handle));
    }

    /// Shows the block now.
    fn report(&mut self) {
        self.reported = Some(Instant::now());
        self.is_report_due = false;
        // What peers send makes these: one that has no room is made up for by the next.
        let report = self.board.report(&self.section, self.direction, &self.beating);
        let report = Some(thread::Report::Heartbeat(Box::new(report)));
        let (id, alerts) = (self.section.id(self.direction), self.board.alerts(&self.section));
        _ = self.ties.root.try_send(ThreadReport::new(id, report, alerts));
    }

    /// Shows the block soon: counters moved.
    fn report_soon(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_report_due, true) {
            return;
        }
        let since = self.reported.map_or(REPORT_PAUSE, |reported| reported.elapsed());
        ctx.run_later(REPORT_PAUSE.saturating_sub(since), |this, _| {
            if this.is_report_due {
                this.report();
            }
        });
    }
}

/// Runs the driver. Returns why it cannot go on.
async fn work(
    direction: Direction,
    section: Arc<Section>,
    ties: Arc<Ties>,
    notes: Notes,
    haste: Option<Haste>,
) -> String {
    match direction {
        Direction::Tx => {
            let (sender, beats) = watch::channel(None);
            let outbox = Outbox { section: section.clone(), beats, notes: notes.clone() };
            let pulse = beat::pulse(section, ties, sender, notes, haste);
            tokio::select! {
                () = pulse => "nothing is sent any more".to_owned(),
                reason = transmit(outbox) => reason,
            }
        }
        Direction::Rx => receive(Inbox::new(section, ties, notes)).await,
    }
}

async fn transmit(outbox: Outbox) -> String {
    match outbox.section.settings.kind.as_str() {
        "unicast" => unicast::transmit(outbox).await,
        "multicast" => multicast::transmit(outbox).await,
        "disk" => disk::transmit(outbox).await,
        "relay" => relay::transmit(outbox).await,
        kind => unknown(kind).await,
    }
}

async fn receive(inbox: Inbox) -> String {
    match inbox.section().settings.kind.as_str() {
        "unicast" => unicast::receive(inbox).await,
        "multicast" => multicast::receive(inbox).await,
        "disk" => disk::receive(inbox).await,
        "relay" => relay::receive(inbox).await,
        kind => unknown(kind).await,
    }
}

async fn unknown(kind: &str) -> String {
    format!("there is no heartbeat driver {kind}")
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("{} started", self.id());
        if self.signs.on_restart() {
            Self::sign_again(ctx);
        }
        self.begin(ctx);
        self.arm(ctx);
    }

    fn stopped(&mut self, ctx: &mut Context<Self>) {
        // A panic is no loss of peers: the worker is back before they are late.
        if !std::thread::panicking() {
            for peer in self.beating.on_stop() {
                self.on_sign(&peer, Sign::Stopped, self.beating.peers()[&peer].last, ctx);
            }
            // There is no later: what waits is one message a peer.
            self.signs.send_all();
            self.report();
        }
        log::info!("{} stopped", self.id());
    }
}

impl Supervised for Worker {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // Who beats and what was counted are facts, not states that could be wrong: they outlive the fall.
        self.driver.clear();
        self.alarm = None;
        self.is_report_due = false;
    }
}

impl StreamHandler<Note> for Worker {
    fn handle(&mut self, note: Note, ctx: &mut Context<Self>) {
        // The driver works.
        if !matches!(note, Note::Alert { .. } | Note::Failed { .. }) {
            self.board.alert(DRIVER, None);
        }
        match note {
            Note::Beat { peer, bytes } => {
                self.board.on_beat(bytes);
                self.on_beat(&peer, ctx);
            }
            Note::BeatToAll { bytes } => {
                self.board.on_beat(bytes);
                let section = self.section.clone();
                for peer in section.peers() {
                    self.on_beat(peer, ctx);
                }
            }
            Note::Failed { peer, reason } => {
                let is_new = self.board.on_failure(peer.as_ref());
                match peer {
                    Some(peer) if is_new => {
                        log::warn!(peer:% = peer, reason = reason.as_str(); "{}: failed", self.id());
                    }
                    Some(_) | None => {
                        log::debug!(reason = reason.as_str(); "{}: failed", self.id())
                    }
                }
            }
            Note::Alert { about, alert } => {
                if !self.board.alert(&about, alert.clone()) {
                    return;
                }
                match alert {
                    Some(Alert { message, .. }) => log::warn!("{}: {message}", self.id()),
                    None => log::info!("{}: {about} is well again", self.id()),
                }
                self.report();
            }
            Note::Config(config) => {
                self.board.set_config(*config);
                self.report();
            }
            Note::Slot { node, slot } => {
                if self.board.set_slot(node, slot) {
                    self.report();
                }
            }
        }
        self.report_soon(ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {
        // The stream ends with its driver, which is told by itself: the actor goes on.
    }
}

impl Handler<Reconfigure> for Worker {
    type Result = ();

    fn handle(&mut self, Reconfigure(section): Reconfigure, ctx: &mut Context<Self>) {
        log::info!("{} reconfigured", self.id());
        let old = std::mem::replace(&mut self.section, section);
        let (timeout, interval) = (self.section.settings.timeout, self.section.settings.interval);
        let peers: Vec<NodeName> = self.section.peers().cloned().collect();
        let lasts: Vec<_> = self.beating.peers().iter().map(|(n, p)| (n.clone(), p.last)).collect();
        let before = &old.settings;
        self.haste =
            Haste::after(self.haste, before.interval, interval, before.timeout.max(timeout));
        let now = self.epoch.elapsed();
        for gone in self.beating.reconfigure(now, timeout, interval, peers) {
            let last = lasts.iter().find(|(name, _)| *name == gone).map(|(_, last)| *last);
            let grace = old.settings.timeout;
            self.on_sign(&gone, Sign::Ended { grace }, last.unwrap_or_default(), ctx);
        }
        self.look(ctx);
        let is_same_work = {
            let mut settings = self.section.settings.clone();
            settings.timeout = old.settings.timeout;
            self.direction == Direction::Rx
                && Section { settings, ..(*self.section).clone() } == *old
        };
        if is_same_work && !self.driver.is_empty() && self.section.settings.kind == "unicast" {
            // A timeout alone is no reason to close connections.
            self.report();
            return;
        }
        self.end_driver(ctx);
        // The old socket goes when the context is polled next.
        self.driver.push(ctx.run_later(Duration::from_millis(1), |this, ctx| this.begin(ctx)));
    }
}
