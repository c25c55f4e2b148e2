//! The listener: accepts connections from the network and spreads them over the worker arbiters.
//!
//! Hears: configuration changes, ends of connections, requests to end a session. Tells: the root (configuration,
//! counters, alerts). Restart: binds again; established connections live on and stay known.

pub mod connection;
pub mod control_socket;
pub(crate) mod sessions;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use conf::ListenerSettings;
use model::thread::{ListenerConfig, ListenerStats};
use model::{Alert, thread};
use monitor::{ConnectionLimits, Crowded, Episode};

use link::accept;
use link::accept::{Accepted, BindError, Bound};
use link::blacklist::Verdict;
use machine::limits;
use mail::listener::{Admit, Reconfigure, SessionsChanged, StopSession};
use mail::root::ThreadReport;

use crate::connection::serve_tcp;
use crate::connection::shared::Shared;
use crate::sessions::Sessions;
use link::session::{Session, SessionEvent};
use mail::sessions::SessionGuard;
use supervision::workers::Workers;

/// Pause between two tries to bind an address that is in use, as in deployed agents.
const BIND_RETRY: Duration = Duration::from_millis(500);

/// The same where the socket in the way is our own.
const OWN_RETRY: Duration = Duration::from_millis(10);

/// The same where it cannot be bound for another reason: its interface, or its name, may still come.
const BIND_RETRY_SLOW: Duration = Duration::from_secs(5);

/// How long sessions come and go before the listener is told again. It looks by itself before it admits or reports one.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Shortest pause between two reports of counters: each report is a new generation of the cluster data.
const REPORT_PAUSE: Duration = Duration::from_secs(2);

/// Pause between two looks at whether the classic dialect is needed.
const DIALECT_LOOKS: Duration = Duration::from_secs(10);

/// Of so many connections, one is kept for addresses that are known.
const RESERVED_PART: usize = 16;

/// Most connections from one address that is not known and proved nothing yet.
const UNPROVEN_PER_STRANGER: usize = 64;

/// Most connections that proved nothing, from all addresses that are not known: they take 4 KiB each, and some are being closed.
const UNPROVEN_STRANGERS: usize = 512;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Retry;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Report;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct LookAgain;

/// The actor.
pub struct Listener {
    shared: Arc<Shared>,
    workers: Workers,
    sessions: Sessions,
    bound: Option<(Bound, SpawnHandle)>,
    /// Port of the last socket: the same again after a fall, should the system choose (port 0).
    last_port: u16,
    alerts: Vec<(&'static str, String)>,
    /// Connections cannot be accepted, now and then.
    failing: Episode,
    /// That nobody needs the classic dialect.
    unused: Option<String>,
    reported: Option<Instant>,
    is_report_due: bool,
    is_retry_due: bool,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("alerts", &self.alerts).finish_non_exhaustive()
    }
}

impl Listener {
    /// A listener whose connections run on `workers`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, workers: Workers) -> Self {
        Self {
            shared,
            workers,
            sessions: Sessions::default(),
            bound: None,
            last_port: 0,
            alerts: vec![],
            failing: Episode::default(),
            unused: None,
            reported: None,
            is_report_due: false,
            is_retry_due: false,
        }
    }

    fn settings(&self) -> ListenerSettings {
        self.shared.mail.gate.load().listener.clone()
    }

    /// How many connections may be open: no more than there are descriptors for, so that files, children and the control
    /// socket have theirs.
    fn connection_limits(&mut self) -> ConnectionLimits {
        let gate = self.shared.mail.gate.load_full();
        let (wanted, most) = (gate.listener.max_connections, limits::most_connections());
        let total = wanted.min(most);
        let text = (wanted > most).then(|| {
            format!(
                "listener.max_connections is {wanted}, and the limit of open files leaves room for {most}: \
                 more connections are refused (LimitNOFILE of the unit)"
            )
        });
        if self.alert("descriptors", text.clone())
            && let Some(text) = text
        {
            log::warn!("{text}");
        }
        let per_address = gate.listener.max_connections_per_address;
        ConnectionLimits {
            total,
            reserved: total / RESERVED_PART,
            per_address,
            unproven_per_stranger: UNPROVEN_PER_STRANGER,
            // The other half is for those that proved themselves.
            unproven_per_member: per_address.div_ceil(2),
            unproven_strangers: UNPROVEN_STRANGERS,
        }
    }

    fn is_bound_as(&self, settings: &ListenerSettings) -> bool {
        self.bound
            .as_ref()
            .is_some_and(|(bound, _)| bound.wanted == (settings.addr.clone(), settings.port))
    }

    /// Binds what the settings say. On failure the old address stays in force, and it is tried again.
    fn bind(&mut self, ctx: &mut Context<Self>) {
        let settings = self.settings();
        if self.is_bound_as(&settings) {
            self.alert("bind", None);
            self.report_now();
        } else if let Some(addresses) = accept::addresses(&settings.addr) {
            self.bind_to(&settings, &addresses, ctx);
        } else {
            // Off the arbiter: names may take long to resolve.
            let name = settings.addr.clone();
            let resolved = machine::blocking::run(move || accept::resolve(&name));
            ctx.spawn(resolved.into_actor(self).map(move |resolved, this, ctx| {
                let is_old = this.settings() != settings || this.is_bound_as(&settings);
                match resolved.unwrap_or_else(|error| Err(BindError::Refused(error.to_string()))) {
                    _ if is_old => {}
                    Ok(addresses) => this.bind_to(&settings, &addresses, ctx),
                    Err(error) => this.on_not_bound(&settings, &error, ctx),
                }
            }));
        }
    }

    /// Binds the first of these addresses that can be bound.
    fn bind_to(
        &mut self,
        settings: &ListenerSettings,
        addresses: &[IpAddr],
        ctx: &mut Context<Self>,
    ) {
        let wanted = (settings.addr.clone(), settings.port);
        if let Some((bound, _)) = &mut self.bound
            && addresses.first() == Some(&bound.local.ip())
            && settings.port == bound.local.port()
        {
            // The same place by another name.
            bound.wanted = wanted;
            self.alert("bind", None);
            self.report_now();
            return;
        }
        let attempt = match Bound::new(&wanted, addresses, self.last_port) {
            Err(BindError::InUse) if settings.port == 0 => Bound::new(&wanted, addresses, 0),
            attempt => attempt,
        };
        let (bound, connections) = match attempt {
            Ok(bound) => bound,
            Err(BindError::InUse) if self.is_in_our_way(settings) => {
                // Any address and one address do not go together: the old socket, closed in a moment, makes room.
                if let Some((_, accepting)) = self.bound.take() {
                    ctx.cancel_future(accepting);
                }
                ctx.run_later(OWN_RETRY, |this, ctx| this.bind(ctx));
                return;
            }
            Err(error) => return self.on_not_bound(settings, &error, ctx),
        };
        self.last_port = bound.local.port();
        let local = bound.local;
        let accepting = ctx.add_stream(connections);
        if let Some((old, accepting)) = self.bound.replace((bound, accepting)) {
            ctx.cancel_future(accepting);
            log::info!(from:% = old.local, to:% = local; "listener bound again");
        } else {
            log::info!(addr:% = local; "listening");
        }
        self.alert("bind", None);
        self.report_now();
    }

    /// Whether our own socket has the port that is wanted.
    fn is_in_our_way(&self, settings: &ListenerSettings) -> bool {
        self.bound.as_ref().is_some_and(|(bound, _)| bound.local.port() == settings.port)
    }

    fn on_not_bound(
        &mut self,
        settings: &ListenerSettings,
        error: &BindError,
        ctx: &mut Context<Self>,
    ) {
        let text = format!("cannot listen on {}: {error}", Address(settings));
        if self.alert("bind", Some(text.clone())) {
            log::error!("{text}");
        }
        if !std::mem::replace(&mut self.is_retry_due, true) {
            let is_in_use = *error == BindError::InUse;
            ctx.notify_later(Retry, if is_in_use { BIND_RETRY } else { BIND_RETRY_SLOW });
        }
        self.report_now();
    }

    /// Raises or ends an alert; true when that changes something.
    fn alert(&mut self, about: &'static str, text: Option<String>) -> bool {
        let old = self.alerts.iter().position(|(of, _)| *of == about);
        let is_same = old.map(|at| &self.alerts[at].1) == text.as_ref();
        if is_same {
            return false;
        }
        old.map(|at| self.alerts.remove(at));
        self.alerts.extend(text.map(|text| (about, text)));
        true
    }

    /// Counts the sessions that came and went. False: none did.
    fn look(&mut self) -> bool {
        let events = self.shared.sessions.take();
        let is_something = !events.is_empty();
        for event in events {
            match event {
                SessionEvent::Opened(session) => self.sessions.on_opened(session),
                SessionEvent::Closed(session) => self.sessions.on_closed(&session),
            }
        }
        is_something
    }

    fn admit(&mut self, accepted: Accepted) {
        let Accepted { stream, address } = accepted;
        let Some(session) = self.session_for(address.ip()) else { return };
        let shared = self.shared.clone();
        // Should no worker take it, the guard is dropped here and the session ends.
        let guard = SessionGuard::new(session, shared.sessions.clone());
        self.workers.run(Box::new(move || {
            actix_rt::spawn(serve_tcp(stream, shared, guard));
        }));
    }

    /// A session for who connects from this address, if there is room.
    fn session_for(&mut self, address: IpAddr) -> Option<Arc<Session>> {
        // Who left makes room.
        self.look();
        let sender = address.to_canonical();
        let view = self.shared.mail.blacklist.view.clone();
        if view.verdict(sender) == Verdict::Refused {
            self.sessions.on_dropped();
            return None;
        }
        let now = view.now();
        let limits = self.connection_limits();
        match self.sessions.admit(sender, view.is_known(sender), &limits) {
            Ok((session, 0)) => Some(session),
            Ok((session, _)) => {
                if self.sessions.on_made_room(now) {
                    log::warn!(sender:% = sender; "many connections prove nothing: the oldest of them make room");
                }
                Some(session)
            }
            Err(crowded) => {
                let text = match crowded {
                    Crowded::Total => {
                        format!("{} connections are open: more are refused", limits.total)
                    }
                    Crowded::Address => {
                        let most = limits.per_address;
                        format!("{sender} has {most} connections open: more are refused")
                    }
                };
                if self.sessions.on_refused(now, crowded) {
                    log::warn!("{text}");
                }
                None
            }
        }
    }

    fn changed(&mut self, ctx: &mut Context<Self>) {
        if self.is_report_due {
            return;
        }
        let since = self.reported.map_or(REPORT_PAUSE, |reported| reported.elapsed());
        if since >= REPORT_PAUSE {
            self.report_now();
        } else {
            self.is_report_due = true;
            ctx.notify_later(Report, REPORT_PAUSE - since);
        }
    }

    /// Tells when nobody needs the classic dialect any more, and when somebody does again.
    fn look_at_dialect(&mut self) {
        let envelope =
            self.shared.mail.gate.load().keyring.as_ref().map(|keyring| keyring.envelope);
        let unused = envelope.and_then(|envelope| self.shared.mail.classic.unused(envelope));
        if unused != self.unused {
            if let Some(text) = &unused {
                log::warn!("{text}");
            }
            self.unused = unused;
            self.report_now();
        }
    }

    fn report_now(&mut self) {
        self.look();
        // Tells of too few descriptors before anybody meets that.
        self.connection_limits();
        self.reported = Some(Instant::now());
        let config = self.bound.as_ref().map(|(bound, _)| ListenerConfig {
            addr: bound.wanted.0.clone(),
            port: bound.local.port(),
        });
        let mut alerts: Vec<Alert> =
            self.alerts.iter().map(|(_, text)| Alert::error(text)).collect();
        alerts.extend(self.unused.iter().map(Alert::warning));
        let stats = ListenerStats { sessions: self.sessions.shown() };
        let report = Some(thread::Report::Listener(Box::new(thread::Listener { config, stats })));
        self.shared.mail.root.do_send(ThreadReport::new(thread::LISTENER, report, alerts));
    }
}

struct Address<'a>(&'a ListenerSettings);

impl std::fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addr = if self.0.addr.is_empty() { "any address" } else { &self.0.addr };
        write!(f, "{addr}, port {}", self.0.port)
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("listener started");
        // Told before a fall, it might wait for a look that never comes.
        self.shared.sessions.listen();
        self.bind(ctx);
        ctx.run_interval(DIALECT_LOOKS, |this, _| this.look_at_dialect());
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        // The socket is the accepting stream's, which goes with the context; so goes what is known of it.
        self.bound = None;
        log::info!("listener stopped");
    }
}

impl Supervised for Listener {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // Who is connected is a fact, not a state that could be wrong: it outlives the fall.
        let (sessions, last_port) = (std::mem::take(&mut self.sessions), self.last_port);
        *self =
            Self { sessions, last_port, ..Self::new(self.shared.clone(), self.workers.clone()) };
    }
}

impl StreamHandler<Result<Accepted, std::io::Error>> for Listener {
    fn handle(&mut self, accepted: Result<Accepted, std::io::Error>, ctx: &mut Context<Self>) {
        match accepted {
            Ok(accepted) => {
                self.alert("accept", None);
                self.admit(accepted);
                self.changed(ctx);
            }
            Err(error) => {
                let text = format!("cannot accept connections: {error}");
                // Between two failures some are accepted: it is told once, not each time.
                let now = self.shared.mail.blacklist.view.now();
                if self.failing.on_event(now) {
                    log::error!("{text}");
                }
                if self.alert("accept", Some(text)) {
                    self.report_now();
                }
            }
        }
    }
}

impl Handler<Reconfigure> for Listener {
    type Result = ();

    fn handle(&mut self, _: Reconfigure, ctx: &mut Context<Self>) {
        self.bind(ctx);
    }
}

impl Handler<SessionsChanged> for Listener {
    type Result = ();

    fn handle(&mut self, _: SessionsChanged, ctx: &mut Context<Self>) {
        self.look();
        self.changed(ctx);
        ctx.notify_later(LookAgain, LOOK_PAUSE);
    }
}

impl Handler<StopSession> for Listener {
    type Result = bool;

    fn handle(&mut self, StopSession { id }: StopSession, _: &mut Context<Self>) -> bool {
        self.look();
        self.sessions.stop(&id)
    }
}

impl Handler<Admit> for Listener {
    type Result = Option<Arc<Session>>;

    fn handle(&mut self, Admit { address }: Admit, ctx: &mut Context<Self>) -> Self::Result {
        let session = self.session_for(address);
        self.changed(ctx);
        session
    }
}

impl Handler<Retry> for Listener {
    type Result = ();

    fn handle(&mut self, _: Retry, ctx: &mut Context<Self>) {
        self.is_retry_due = false;
        self.bind(ctx);
    }
}

impl Handler<Report> for Listener {
    type Result = ();

    fn handle(&mut self, _: Report, _: &mut Context<Self>) {
        self.is_report_due = false;
        self.report_now();
    }
}

impl Handler<LookAgain> for Listener {
    type Result = ();

    fn handle(&mut self, _: LookAgain, ctx: &mut Context<Self>) {
        self.shared.sessions.listen();
        if self.look() {
            self.changed(ctx);
        }
    }
}
