//! The TLS listener: whoever speaks HTTP over TLS, from anywhere.
//!
//! It listens once there is a certificate, and follows its changes, and those of who is trusted, without closing a
//! connection. Hears: the network, changes of the configuration. Tells: the listener (who wants to be admitted), root
//! (alerts). Restart: binds again; connections live on.

mod material;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use conf::ListenerSettings;
use link::accept::{self, Accepted, BindError, Bound};
use mail::front::Reconfigure;
use mail::listener::Admit;
use mail::root::ThreadReport;
use mail::sessions::SessionGuard;
use model::{Alert, thread};
use supervision::workers::Workers;

use crate::connection::serve_tls;
use crate::handshakes::Handshakes;
use crate::revocations::{Fetched, Revocations, is_address};
use crate::shared::Shared;
use crate::tls::material::{Material, Sources};

/// Pause between two looks at the certificates, and at an address that is in use.
const LOOK: Duration = Duration::from_secs(1);

/// Pause between two looks while the daemon starts.
const LOADING: Duration = Duration::from_millis(20);

/// How long the listener may take to admit.
const ADMIT_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Look;

/// The actor.
pub struct TlsListener {
    shared: Arc<Shared>,
    workers: Workers,
    handshakes: Handshakes,
    revocations: Revocations,
    /// What the material in force was made of.
    sources: Option<Sources>,
    material: Option<Arc<Material>>,
    bound: Option<(Bound, SpawnHandle)>,
    is_resolving: bool,
    is_reading: bool,
    alerts: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsListener").field("alerts", &self.alerts).finish_non_exhaustive()
    }
}

impl TlsListener {
    /// A listener whose connections run on `workers`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, workers: Workers) -> Self {
        Self {
            shared,
            workers,
            handshakes: Handshakes::default(),
            revocations: Revocations::default(),
            sources: None,
            material: None,
            bound: None,
            is_resolving: false,
            is_reading: false,
            alerts: vec![],
        }
    }

    fn settings(&self) -> ListenerSettings {
        self.shared.mail.gate.load().listener.clone()
    }

    /// Reads certificates that changed, outside of the arbiter, and listens where the settings say.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let config = self.shared.mail.config.load_full();
        let (providers, settings) = (self.shared.providers.clone(), config.node.listener.clone());
        if settings.openid_well_known.is_some() {
            actix_rt::spawn(async move { providers.refresh(&settings, false).await });
        }
        let sources = Sources::of(&config, self.fetched(&config.node.listener, ctx));
        if self.is_reading {
            return;
        }
        if self.sources.as_ref() == Some(&sources) {
            self.bind(ctx);
            return;
        }
        self.is_reading = true;
        let read = machine::blocking::run(move || (Material::read(&config, &sources), sources));
        ctx.spawn(read.into_actor(self).map(|read, this, ctx| {
            this.is_reading = false;
            if let Ok((read, sources)) = read {
                this.sources = Some(sources);
                this.take(read);
            }
            this.bind(ctx);
        }));
    }

    /// What is behind the address of revocations, if that is one. It is looked again once that is fetched.
    fn fetched(&self, settings: &ListenerSettings, ctx: &Context<Self>) -> Option<Fetched> {
        let address = settings.crl.as_deref().filter(|crl| is_address(crl))?;
        let own = ctx.address();
        let news = move || own.do_send(Look);
        self.revocations.of(address, settings.secure_fetch, &self.shared.mail.paths, news)
    }

    /// Looks as soon as the objects are read, of which one has the certificate.
    fn look_once_loaded(&mut self, ctx: &mut Context<Self>) {
        match self.shared.mail.config.load().is_loaded {
            true => self.look(ctx),
            false => _ = ctx.run_later(LOADING, Self::look_once_loaded),
        }
    }

    /// Puts what was read in force; what cannot be used leaves the last good one.
    fn take(&mut self, read: Result<Option<Material>, String>) {
        match read {
            Ok(Some(material)) => {
                let told =
                    (!material.complaints.is_empty()).then(|| material.complaints.join("; "));
                self.alert("material", told);
                self.shared.trust.store(Some(material.trust.clone()));
                self.shared.mail.expiries.store(Arc::new(material.expiries.clone()));
                self.material = Some(Arc::new(material));
                log::info!("the certificate of the TLS listener is in force");
            }
            Ok(None) => {
                self.alert("material", None);
                self.material = None;
            }
            Err(error) => {
                if self.alert("material", Some(error.clone())) {
                    log::warn!("{error}");
                }
            }
        }
    }

    fn bind(&mut self, ctx: &mut Context<Self>) {
        let settings = self.settings();
        let wanted = (settings.tls_addr.clone(), settings.tls_port);
        if self.material.is_none() || wanted.1 == 0 {
            self.unbind(ctx);
            self.alert("bind", None);
        } else if self.bound.as_ref().is_some_and(|(bound, _)| bound.wanted == wanted) {
            self.alert("bind", None);
        } else if let Some(addresses) = accept::addresses(&wanted.0) {
            self.bind_to(&wanted, &addresses, ctx);
        } else if !std::mem::replace(&mut self.is_resolving, true) {
            // Off the arbiter: names may take long to resolve.
            let name = wanted.0.clone();
            let resolved = machine::blocking::run(move || accept::resolve(&name));
            ctx.spawn(resolved.into_actor(self).map(move |resolved, this, ctx| {
                this.is_resolving = false;
                match resolved.unwrap_or_else(|error| Err(BindError::Refused(error.to_string()))) {
                    Ok(addresses) => this.bind_to(&wanted, &addresses, ctx),
                    Err(error) => this.on_not_bound(&wanted, &error),
                }
            }));
        }
    }

    fn unbind(&mut self, ctx: &mut Context<Self>) {
        if let Some((bound, accepting)) = self.bound.take() {
            ctx.cancel_future(accepting);
            log::info!(addr:% = bound.local; "the TLS listener is closed");
        }
    }

    /// On failure the old address stays in force, and it is tried again.
    fn bind_to(&mut self, wanted: &(String, u16), addresses: &[IpAddr], ctx: &mut Context<Self>) {
        // Any address and one address of the same port do not go together.
        if self.bound.as_ref().is_some_and(|(bound, _)| bound.wanted.1 == wanted.1) {
            self.unbind(ctx);
        }
        match Bound::new(wanted, addresses, 0) {
            Ok((bound, connections)) => {
                let local = bound.local;
                let accepting = ctx.add_stream(connections);
                if let Some((_, accepting)) = self.bound.replace((bound, accepting)) {
                    ctx.cancel_future(accepting);
                }
                log::info!(addr:% = local; "listening for TLS");
                self.alert("bind", None);
            }
            Err(error) => self.on_not_bound(wanted, &error),
        }
    }

    fn on_not_bound(&mut self, (addr, port): &(String, u16), error: &BindError) {
        let addr = if addr.is_empty() { "any address" } else { addr };
        let text = format!("cannot listen for TLS on {addr}, port {port}: {error}");
        if self.alert("bind", Some(text.clone())) {
            log::error!("{text}");
        }
    }

    /// Raises or ends an alert; true when that changes something.
    fn alert(&mut self, about: &'static str, text: Option<String>) -> bool {
        let old = self.alerts.iter().position(|(of, _)| *of == about);
        if old.map(|at| &self.alerts[at].1) == text.as_ref() {
            return false;
        }
        old.map(|at| self.alerts.remove(at));
        self.alerts.extend(text.map(|text| (about, text)));
        let alerts = self.alerts.iter().map(|(_, text)| Alert::error(text)).collect();
        self.shared.mail.root.do_send(ThreadReport::alerts(thread::TLS, alerts));
        true
    }

    fn admit(&mut self, accepted: Accepted, ctx: &mut Context<Self>) {
        let Some(material) = self.material.clone() else { return };
        let Accepted { stream, address } = accepted;
        let address = address.ip().to_canonical();
        let admitted = self.shared.mail.listener.send(Admit { address }).timeout(ADMIT_PATIENCE);
        ctx.spawn(admitted.into_actor(self).map(move |admitted, this, _| {
            let Ok(Some(session)) = admitted else { return };
            let shared = this.shared.clone();
            let guard = SessionGuard::new(session, shared.sessions.clone());
            let turn = this.handshakes.turn(address);
            this.workers.run(Box::new(move || {
                actix_rt::spawn(serve_tls(stream, shared, guard, material.accepted(), turn));
            }));
        }));
    }
}

impl Actor for TlsListener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look_once_loaded(ctx);
        ctx.run_interval(LOOK, |this, ctx| this.look(ctx));
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        // The socket is the accepting stream's, which goes with the context.
        self.bound = None;
        log::info!("TLS listener stopped");
    }
}

impl Supervised for TlsListener {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::new(self.shared.clone(), self.workers.clone());
    }
}

impl StreamHandler<std::io::Result<Accepted>> for TlsListener {
    fn handle(&mut self, accepted: std::io::Result<Accepted>, ctx: &mut Context<Self>) {
        match accepted {
            Ok(accepted) => {
                self.alert("accept", None);
                self.admit(accepted, ctx);
            }
            Err(error) => {
                let text = format!("the TLS listener cannot accept connections: {error}");
                if self.alert("accept", Some(text.clone())) {
                    log::error!("{text}");
                }
            }
        }
    }
}

impl Handler<Reconfigure> for TlsListener {
    type Result = ();

    fn handle(&mut self, _: Reconfigure, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl Handler<Look> for TlsListener {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}
