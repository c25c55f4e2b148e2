//! The blacklist keeper: counts invalid messages, and publishes whom not to listen to.
//!
//! Hears: connections (a message did not open, or did), operators. Tells: subscribers of events, operators (alerts).
//! Readers never ask: they look into the [`BlacklistView`]. Restart: the list is in the view, with the ends of its entries
//! and how often senders were on it; which floods were told is forgotten, and told again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use model::thread::BlacklistStats;
use model::{Alert, EventFacts, thread};
use monitor::{Episode, THRESHOLD};

use link::blacklist::BlacklistView;
use mail::blacklist::{Clear, Invalid, Valid};
use mail::cluster_data::Emit;
use mail::root::ThreadReport;
use metrics::counts::Counts;

/// Pause between two looks at what is over, while there is something.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Events `blacklist_add` told at once, and after how long one more is: a crowd of senders is one piece of news.
const EVENTS: u32 = 20;
const EVENT_PAUSE: Duration = Duration::from_secs(1);

/// Most known addresses that alerts name.
const MOST_ALERTS: usize = 64;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Look;

/// The actor.
#[derive(Debug)]
pub struct BlacklistKeeper {
    view: Arc<BlacklistView>,
    emit: Recipient<Emit>,
    report: Recipient<ThreadReport>,
    counts: Arc<Counts>,
    /// Strangers are refused: told when that begins, at ten times as many each, and when it is over.
    crowd: Episode,
    told_at: usize,
    /// Known addresses that send what does not open.
    floods: BTreeMap<IpAddr, Episode>,
    /// Events that may be told, and since when.
    events: (u32, Duration),
    is_look_due: bool,
    reported: Option<Duration>,
}

impl BlacklistKeeper {
    /// A keeper that goes on with what the view has.
    #[must_use]
    pub fn new(
        view: Arc<BlacklistView>,
        emit: Recipient<Emit>,
        report: Recipient<ThreadReport>,
        counts: Arc<Counts>,
    ) -> Self {
        let now = view.now();
        Self {
            view,
            emit,
            report,
            counts,
            crowd: Episode::default(),
            told_at: 1,
            floods: BTreeMap::new(),
            events: (EVENTS, now),
            is_look_due: false,
            reported: None,
        }
    }

    fn report(&mut self) {
        self.reported = Some(self.view.now());
        let blacklisted = self.view.list().blacklisted().saturating_sub(self.floods.len());
        let alerts = self.floods.keys().map(|sender| {
            let name = self.view.name(*sender);
            let who = name.map_or_else(
                || format!("{sender}, from where messages opened lately,"),
                |name| format!("{sender}, an address of {name},"),
            );
            Alert::warning(format!("{who} sends messages that do not open"))
        });
        let alerts = alerts.collect();
        let report = thread::Report::Blacklist { stats: BlacklistStats { blacklisted } };
        // Strangers make these: one that has no room is made up for by the next look.
        let report = ThreadReport::new(thread::BLACKLIST, Some(report), alerts);
        if self.report.try_send(report).is_err() {
            self.reported = None;
        }
    }

    /// What changed is shown with the next look, at the latest.
    fn look_soon(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.is_look_due, true) {
            ctx.notify_later(Look, LOOK_PAUSE);
        }
    }

    /// A stranger reached the threshold.
    fn on_refused(&mut self, now: Duration, sender: IpAddr, reason: &wire::Refusal) {
        let refused = self.view.list().blacklisted();
        if self.crowd.on_event(now) {
            self.told_at = refused.max(1).saturating_mul(10);
            log::warn!(reason:% = reason; "sender {sender} blacklisted");
        } else if refused >= self.told_at {
            self.told_at = self.told_at.saturating_mul(10);
            log::warn!("{refused} senders are blacklisted, {sender} last");
        }
        let (left, since) = &mut self.events;
        let more = now.saturating_sub(*since).as_secs() / EVENT_PAUSE.as_secs();
        if more > 0 {
            *left = left.saturating_add(u32::try_from(more).unwrap_or(EVENTS)).min(EVENTS);
            *since = now;
        }
        if *left > 0 {
            *left -= 1;
            let facts = EventFacts { sender: Some(sender.to_string()), ..EventFacts::default() };
            // Whoever does not keep up loses events.
            _ = self.emit.try_send(Emit { id: "blacklist_add", path: None, facts });
        }
    }

    /// A known address reached the threshold, or goes on.
    fn on_flood(&mut self, now: Duration, sender: IpAddr, reason: &wire::Refusal) -> bool {
        if !self.floods.contains_key(&sender) && self.floods.len() >= MOST_ALERTS {
            return false;
        }
        let begins = self.floods.entry(sender).or_default().on_event(now);
        if begins {
            let name = self.view.name(sender);
            let name = name.as_ref().map_or("none", |name| name.as_str());
            log::warn!(node = name, reason:% = reason; "known address {sender} sends messages that do not open");
        }
        begins
    }
}

impl Actor for BlacklistKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("blacklist keeper started");
        self.report();
        self.look_soon(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("blacklist keeper stopped");
    }
}

impl Supervised for BlacklistKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        let (emit, report) = (self.emit.clone(), self.report.clone());
        *self = Self::new(self.view.clone(), emit, report, self.counts.clone());
    }
}

impl Handler<Invalid> for BlacklistKeeper {
    type Result = ();

    fn handle(&mut self, Invalid { sender, reason }: Invalid, ctx: &mut Context<Self>) {
        self.counts.tallies.on_invalid(reason.word());
        let (now, sender) = (self.view.now(), sender.to_canonical());
        let is_known = self.view.is_known(sender);
        let counted = self.view.list().on_invalid(now, sender, is_known);
        if let Some(forgotten) = counted.forgotten {
            self.view.set(forgotten, None);
        }
        self.view.set(sender, Some(counted.count));
        log::debug!(sender:% = sender, count = counted.count, reason:% = reason; "invalid message");
        let is_news = if counted.count < THRESHOLD {
            false
        } else if is_known {
            self.on_flood(now, sender, &reason)
        } else {
            if counted.is_new {
                self.on_refused(now, sender, &reason);
            }
            counted.is_new
        };
        // A report is a new generation of the cluster data: of a crowd, once per look.
        if is_news && self.reported.is_none_or(|reported| now >= reported + LOOK_PAUSE) {
            self.report();
        } else if is_news {
            self.reported = None;
        }
        if counted.count >= THRESHOLD {
            self.look_soon(ctx);
        }
    }
}

impl Handler<Valid> for BlacklistKeeper {
    type Result = ();

    fn handle(&mut self, Valid(sender): Valid, _: &mut Context<Self>) {
        let sender = sender.to_canonical();
        let is_forgotten = self.view.list().on_valid(sender);
        if is_forgotten {
            self.view.set(sender, None);
        }
    }
}

impl Handler<Clear> for BlacklistKeeper {
    type Result = ();

    fn handle(&mut self, _: Clear, _: &mut Context<Self>) {
        self.view.list().clear();
        self.view.clear();
        self.floods.clear();
        self.crowd = Episode::default();
        log::info!("blacklist cleared");
        self.report();
    }
}

impl Handler<Look> for BlacklistKeeper {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        self.is_look_due = false;
        let now = self.view.now();
        let over = self.view.list().on_time(now);
        for sender in &over {
            self.view.set(*sender, None);
        }
        let quiet: Vec<IpAddr> = self
            .floods
            .iter_mut()
            .filter_map(|(who, it)| it.on_look(now).then_some(*who))
            .collect();
        for sender in &quiet {
            self.floods.remove(sender);
            log::info!("known address {sender} sends nothing more that does not open");
        }
        let has_listed = self.view.list().next_end().is_some();
        if !has_listed && self.crowd.on_look(now) {
            log::info!("nobody is blacklisted any more");
        }
        if !over.is_empty() || !quiet.is_empty() || self.reported.is_none() {
            self.report();
        }
        if has_listed || !self.floods.is_empty() || self.crowd.is_on() {
            self.look_soon(ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use monitor::FIRST_BAN;

    use super::*;

    struct Deaf;

    impl Actor for Deaf {
        type Context = Context<Self>;
    }

    impl Handler<Emit> for Deaf {
        type Result = ();

        fn handle(&mut self, _: Emit, _: &mut Context<Self>) {}
    }

    impl Handler<ThreadReport> for Deaf {
        type Result = ();

        fn handle(&mut self, _: ThreadReport, _: &mut Context<Self>) {}
    }

    #[actix::test]
    async fn a_restart_keeps_until_when_senders_are_refused_and_how_often_they_were() {
        let view = Arc::new(BlacklistView::default());
        let keeper = || {
            let nobody = Context::<Deaf>::new().address();
            let (emit, report) = (nobody.clone().recipient(), nobody.recipient());
            BlacklistKeeper::new(view.clone(), emit, report, Arc::default())
        };
        let sender = IpAddr::from([10, 0, 0, 1]);
        let start = Duration::from_secs(1_000);
        let refuse = |now: Duration| {
            let mut list = view.list();
            (0..THRESHOLD).for_each(|_| _ = list.on_invalid(now, sender, false));
            list.next_end()
        };
        let mut it = keeper();
        assert_eq!(refuse(start), Some(start + FIRST_BAN));
        it.restarting(&mut Context::new());
        assert_eq!(view.list().next_end(), Some(start + FIRST_BAN));
        assert_eq!(view.list().on_time(start + FIRST_BAN), [sender]);
        it.restarting(&mut Context::new());
        assert_eq!(refuse(start + FIRST_BAN), Some(start + 3 * FIRST_BAN));
    }
}
