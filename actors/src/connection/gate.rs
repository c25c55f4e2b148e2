//! What the configuration says about who may connect, and the messages seen lately.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use conf::{ListenerSettings, NodeSettings};
use wire::{ClusterSecret, Keyring, Limits, Refusal, ReplayWindow, Sender, Stamp};

/// Where the newest gate is found.
pub type GateCell = Arc<ArcSwap<Gate>>;

/// What is needed to open messages and to judge their senders. Made anew when the configuration changes.
#[derive(Debug)]
pub struct Gate {
    /// Names, dialects and keys; none while no usable secret is configured: nothing opens then.
    pub keyring: Option<Keyring>,
    /// Nodes of the cluster.
    pub members: BTreeSet<String>,
    /// Limits and timeouts.
    pub listener: ListenerSettings,
}

impl Gate {
    /// The gate of a configuration.
    #[must_use]
    pub fn new(node: &NodeSettings) -> Self {
        let listener = node.listener.clone();
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let limits = Limits {
            max_frame: bytes(listener.max_frame_bytes),
            max_message: bytes(listener.max_message_bytes),
        };
        let keyring = node.secret.as_ref().map(|secret| {
            let secret = ClusterSecret::new(secret.expose());
            let envelope = match node.envelope {
                conf::Envelope::Sealed => wire::Envelope::Sealed,
                conf::Envelope::Any => wire::Envelope::Any,
                conf::Envelope::Classic => wire::Envelope::Classic,
            };
            let clustername: Box<str> = node.cluster_name.as_str().into();
            // Their requests are refused whatever key they use (wire.md §3, step 11).
            let drpnodes = node
                .drpnodes
                .iter()
                .map(|drpnode| (drpnode.as_str().into(), (clustername.clone(), secret.clone())));
            Keyring {
                drpnodes: drpnodes.collect(),
                own: Sender {
                    clustername: clustername.clone(),
                    nodename: node.nodename.as_str().into(),
                    secret,
                },
                envelope,
                limits,
            }
        });
        let members = node.nodes.iter().map(ToString::to_string).collect();
        Self { keyring, members, listener }
    }

    /// Limits of frames.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.keyring.as_ref().map_or_else(Limits::default, |keyring| keyring.limits)
    }

    /// How long a connection may say nothing before its first byte, and between sealed frames: a node that also speaks
    /// classic closes silent connections after 5 s, as the deployed agents do.
    #[must_use]
    pub fn first_patience(&self) -> Duration {
        match &self.keyring {
            Some(keyring) if keyring.envelope == wire::Envelope::Sealed => {
                self.listener.idle_timeout
            }
            _ => super::STALL.min(self.listener.idle_timeout),
        }
    }
}

/// The sealed messages seen lately, over all connections.
///
/// The one lock on the path of a request: the check must be atomic over all worker threads, takes less than a
/// microsecond and never waits for anything. An owner asked by message would cost two thread switches per request.
#[derive(Debug)]
pub struct Freshness(Mutex<ReplayWindow>);

impl Freshness {
    /// A window that refuses what was sent before `since_ms`.
    #[must_use]
    pub fn new(window: Duration, since_ms: i64) -> Self {
        Self(Mutex::new(ReplayWindow::new(milliseconds(window), since_ms)))
    }

    /// Changes the window.
    pub fn set_window(&self, window: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set_window(milliseconds(window));
    }

    /// Takes a message once.
    ///
    /// # Errors
    ///
    /// [`Refusal::Stale`] or [`Refusal::Replayed`].
    pub fn take(&self, now_ms: i64, stamp: &Stamp) -> Result<(), Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(now_ms, stamp)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
