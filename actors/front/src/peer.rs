//! Who is at the other end of a connection.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use certs::{Certificate, Refusal, Trust};
use dataset::config::LoadedConfig;
use mail::requests::{Caller, Transport};
use mail::sessions::SessionGuard;
use metrics::counts;
use model::Timestamp;
use rustls::pki_types::CertificateDer;
use web::user::User;

use crate::proved::Proved;
use crate::shared::Shared;

/// The client of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: SessionGuard,
    pub(crate) transport: counts::Transport,
    /// What TLS told; none over the socket of this node.
    pub(crate) secured: Option<Secured>,
}

impl Peer {
    /// Its address; none over the socket of this node.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.session.address()
    }

    /// As the requests know it.
    pub(crate) fn caller(&self, user: Arc<User>) -> Caller {
        Caller {
            nodename: self.shared.mail.nodename.clone(),
            addr: self.address(),
            transport: Transport::Http,
            clustername_is_join: false,
            user,
            purse: link::heavy::Purse::default(),
        }
    }
}

/// A connection over TLS.
#[derive(Debug)]
pub(crate) struct Secured {
    /// What the client showed, its own first.
    chain: Arc<[CertificateDer<'static>]>,
    /// What its certificate says.
    shown: Option<Shown>,
    /// The trust by which it was good.
    good: RefCell<Option<Arc<Trust>>>,
    /// Who it was in the last request.
    known: RefCell<Option<Known>>,
}

/// What the certificate of a client says, read once.
#[derive(Debug)]
struct Shown {
    common_name: Option<String>,
    end: Timestamp,
}

/// A user, and the name of the cluster by which its certificate names it.
#[derive(Debug)]
struct Known {
    cluster: String,
    proved: Proved,
}

impl Secured {
    /// The chain was looked at in the handshake, by `trust`.
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, trust: Option<Arc<Trust>>) -> Self {
        let own = chain.first().and_then(|own| Certificate::from_der(own.clone()));
        let shown = own.map(|own| Shown { common_name: own.common_name(), end: own.end() });
        let (good, known) = (RefCell::new(trust), RefCell::default());
        Self { chain: chain.into(), shown, good, known }
    }

    /// The certificate of the client.
    pub(crate) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }

    /// All that it showed.
    pub(crate) fn chain(&self) -> Arc<[CertificateDer<'static>]> {
        self.chain.clone()
    }

    /// Whether it is still good.
    pub(crate) fn check(&self, trust: &Arc<Trust>, now: Timestamp) -> Result<(), Refusal> {
        let Some((own, sent)) = self.chain.split_first() else { return Err(Refusal::Unreadable) };
        let is_known = self.good.borrow().as_ref().is_some_and(|good| Arc::ptr_eq(good, trust));
        let is_valid = || self.shown.as_ref().is_some_and(|own| own.end.0 > now.0);
        if is_known && is_valid() {
            return Ok(());
        }
        *self.good.borrow_mut() = None;
        trust.check_client(own, sent, now)?;
        *self.good.borrow_mut() = Some(trust.clone());
        Ok(())
    }

    /// The name that the certificate of the client has.
    pub(crate) fn common_name(&self) -> Option<&str> {
        self.shown.as_ref()?.common_name.as_deref()
    }

    /// Who it was in the last request, if the cluster had this name and the object of the user is configured as it was.
    pub(crate) fn known(&self, config: &LoadedConfig) -> Option<Proved> {
        let known = self.known.borrow();
        let known = known.as_ref().filter(|known| known.cluster == config.node.cluster_name)?;
        known.proved.basis.is_same(config).then(|| known.proved.clone())
    }

    /// Keeps who it is in the cluster of this name, for the next request.
    pub(crate) fn know(&self, cluster: &str, proved: Proved) {
        *self.known.borrow_mut() = Some(Known { cluster: cluster.to_owned(), proved });
    }
}
