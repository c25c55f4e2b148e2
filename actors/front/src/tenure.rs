//! How long a stream, or a wait, goes on: while what its user proved at the start still holds.
//!
//! A request is judged when it comes. A stream that it began may last for days, and is judged again once the configuration, or
//! who is trusted, is another one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use certs::Trust;
use dataset::config::LoadedConfig;
use machine::clock;
use model::{ObjectPath, Timestamp};
use rustls::pki_types::CertificateDer;

use crate::shared::Shared;

/// How often what goes on is judged, whatever happens meanwhile.
pub(crate) const JUDGED: Duration = Duration::from_secs(1);

/// What a user proved, and what may undo it.
#[derive(Debug, Default)]
pub(crate) enum Basis {
    /// It asks at the socket of this node, or is nobody: nothing undoes it.
    #[default]
    Lasting,
    /// It knows the secret of this generation.
    Secret(u32),
    /// It has an object, whose configuration had this checksum. The chain of its certificate is empty where it gave a password.
    Object { path: ObjectPath, csum: String, chain: Arc<[CertificateDer<'static>]> },
    /// It brought a token of this provider.
    Token { provider: String, end: Timestamp },
}

impl Basis {
    /// Whether the object of the user, where it has one, is configured as it was.
    pub(crate) fn is_same(&self, config: &LoadedConfig) -> bool {
        match self {
            Self::Object { path, csum, .. } => {
                config.objects.get(path).is_some_and(|own| *own.csum == **csum)
            }
            Self::Lasting | Self::Secret(_) | Self::Token { .. } => true,
        }
    }

    /// Whether it holds in this configuration, with who is trusted.
    fn holds(&self, config: &LoadedConfig, trust: Option<&Arc<Trust>>, now: Timestamp) -> bool {
        let settings = &config.node.listener;
        match self {
            Self::Lasting => true,
            Self::Secret(generation) => {
                settings.allow_secret && config.node.secret_generation == *generation
            }
            Self::Object { chain, .. } => {
                let is_good = || {
                    let Some((own, sent)) = chain.split_first() else { return true };
                    trust.is_some_and(|trust| trust.check_client(own, sent, now).is_ok())
                };
                self.is_same(config) && is_good()
            }
            Self::Token { provider, .. } => settings.openid_well_known.as_ref() == Some(provider),
        }
    }

    /// When it ends by itself.
    fn end(&self) -> Option<Timestamp> {
        match self {
            Self::Lasting | Self::Secret(_) => None,
            Self::Object { chain, .. } => {
                let own = chain.first()?.clone();
                Some(certs::Certificate::from_der(own)?.end())
            }
            Self::Token { end, .. } => Some(*end),
        }
    }
}

/// What a stream or a wait is held to.
#[derive(Debug)]
pub(crate) struct Tenure {
    shared: Arc<Shared>,
    basis: Arc<Basis>,
    end: Option<Timestamp>,
    /// What it was judged by last. The allocations live as long as these: no other one has their address.
    config: Weak<LoadedConfig>,
    trust: Weak<Trust>,
}

impl Tenure {
    /// That of a stream which begins now; none where nothing ends it.
    pub(crate) fn new(shared: &Arc<Shared>, basis: Arc<Basis>) -> Option<Self> {
        if matches!(*basis, Basis::Lasting) {
            return None;
        }
        let end = basis.end();
        let (shared, config, trust) = (shared.clone(), Weak::new(), Weak::new());
        Some(Self { shared, basis, end, config, trust })
    }

    /// Whether the stream may go on. Cheap while nothing changed.
    pub(crate) fn holds(&mut self) -> bool {
        let now = clock::now();
        if self.end.is_some_and(|end| end.0 <= now.0) {
            return false;
        }
        let config = self.shared.mail.config.load_full();
        let trust = self.shared.trust.load_full();
        let trusted = trust.as_ref().map_or_else(Weak::new, Arc::downgrade);
        let is_known =
            Weak::as_ptr(&self.config) == Arc::as_ptr(&config) && self.trust.ptr_eq(&trusted);
        if is_known {
            return true;
        }
        (self.config, self.trust) = (Arc::downgrade(&config), trusted);
        self.basis.holds(&config, trust.as_ref(), now)
    }
}

/// Returns once it holds no longer; never where nothing ends it.
pub(crate) async fn ended(tenure: &mut Option<Tenure>) {
    let Some(tenure) = tenure else { return std::future::pending().await };
    while tenure.holds() {
        tokio::time::sleep(JUDGED).await;
    }
}
