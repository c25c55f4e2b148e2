//! What the configuration asks of the node.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::{NodeName, ObjectPath};

use zeroize::Zeroizing;

use super::NodeConf;
use crate::Complaint;

/// A text that is never shown, and wiped when nobody has it any more.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Arc<Zeroizing<Box<str>>>);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text, for who makes a key of it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(..)")
    }
}

/// Keyword `cluster.envelope`: the dialects of the encrypted request (src/wire/README.md, Dialects).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Envelope {
    /// Accepts and sends sealed messages only.
    #[default]
    Sealed,
    /// Accepts both, sends what the peer knows.
    Any,
    /// Accepts both, sends classic.
    Classic,
}

impl Envelope {
    /// All words.
    pub(in crate::node) const WORDS: [(&'static str, Self); 3] =
        [("sealed", Self::Sealed), ("any", Self::Any), ("classic", Self::Classic)];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Any => "any",
            Self::Classic => "classic",
        }
    }
}

/// Keyword `listener.metrics`: who is told metrics over TLS. At the socket of the node they always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsAccess {
    /// Users who may look at a namespace.
    #[default]
    Users,
    /// Everybody.
    Open,
    /// Nobody.
    Off,
}

impl MetricsAccess {
    /// All words.
    pub(in crate::node) const WORDS: [(&'static str, Self); 3] =
        [("auth", Self::Users), ("open", Self::Open), ("off", Self::Off)];
}

/// Keyword `node.split_action`: what a node does that lost a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SplitAction {
    /// Crashes.
    #[default]
    Crash,
    /// Reboots.
    Reboot,
    /// Stops its instances, freezes itself and stays up: for those who try things out. Deployed agents do not have it.
    Stop,
}

impl SplitAction {
    /// The word, which also is the event id.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Reboot => "reboot",
            Self::Stop => "stop",
        }
    }
}

/// Keyword `node.loglevel`: the least important lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// And what is unexpected.
    Warn,
    /// And changes.
    #[default]
    Info,
    /// And reasons.
    Debug,
    /// And each message.
    Trace,
}

impl LogLevel {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A limit that is a size, or a part of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// Bytes.
    Bytes(u64),
    /// Percent of the total.
    Percent(u64),
}

impl Threshold {
    /// Percent of `total_bytes`, at most `cap`; 0 when there is none.
    #[must_use]
    pub fn percent_of(self, total_bytes: u64, cap: u64) -> u64 {
        match self {
            _ if total_bytes == 0 => 0,
            Self::Percent(percent) => percent.min(cap),
            Self::Bytes(bytes) => {
                let percent = u128::from(bytes) * 100 / u128::from(total_bytes);
                u64::try_from(percent).unwrap_or(cap).min(cap)
            }
        }
    }
}

/// Section `listener`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    /// `addr`, default empty: all addresses.
    pub addr: String,
    /// `port`, default 1214.
    pub port: u16,
    /// `tls_addr`, default empty.
    pub tls_addr: String,
    /// `tls_port`, default 1215.
    pub tls_port: u16,
    /// `max_frame`, default 64 MiB: bytes of one frame on the wire.
    pub max_frame_bytes: u64,
    /// `max_message`, default 256 MiB: bytes of one message inflated.
    pub max_message_bytes: u64,
    /// `replay_window`, default 30 s: how far the clock of a sealed message may be off.
    pub replay_window: Duration,
    /// `idle_timeout`, default 60 s: a sealed connection without a frame is closed.
    pub idle_timeout: Duration,
    /// `max_connections`, default 16,384, all senders together.
    pub max_connections: usize,
    /// `max_connections_per_address`, default 1,024.
    pub max_connections_per_address: usize,
    /// `h2`, default true: the HTTP socket is there.
    pub h2: bool,
    /// `event_buffer`, default 512 KiB: bytes of events that are kept for subscribers that come back.
    pub event_buffer: usize,
    /// `ui`, default true: pages are served.
    pub ui: bool,
    /// `allow_secret`, default false: a client over TLS may prove by the secret of the cluster that it is root.
    pub allow_secret: bool,
    /// `crl`: a file of revocations, beside those of the authorities; none for the default, which means those alone.
    pub crl: Option<String>,
    /// `openid_well_known`: where the OpenID provider describes itself.
    pub openid_well_known: Option<String>,
    /// `node.secure_fetch`, default true: whether its certificate is checked.
    pub secure_fetch: bool,
    /// `openid_client_id`: the audience of its tokens; none for the name of the cluster.
    pub openid_client_id: Option<String>,
    /// `max_body`, default 16 MiB: bytes of the body of an HTTP request.
    pub max_body: usize,
    /// `metrics`, default auth.
    pub metrics: MetricsAccess,
    /// `metrics_objects`, default 1,000: objects with series of their own.
    pub metrics_objects: usize,
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            addr: String::new(),
            port: 1214,
            tls_addr: String::new(),
            tls_port: 1215,
            max_frame_bytes: 64 << 20,
            max_message_bytes: 256 << 20,
            replay_window: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            max_connections: 16_384,
            max_connections_per_address: 1_024,
            h2: true,
            event_buffer: 512 << 10,
            ui: true,
            allow_secret: false,
            crl: None,
            openid_well_known: None,
            secure_fetch: true,
            openid_client_id: None,
            max_body: 16 << 20,
            metrics: MetricsAccess::Users,
            metrics_objects: 1_000,
        }
    }
}

/// A section `hb#<n>`, for the local node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// The section, `hb#1`.
    pub name: String,
    /// `type`: `unicast`, `multicast`, `disk`, `relay`.
    pub kind: String,
    /// `nodes`, default all: participants, of the cluster nodes.
    pub nodes: Vec<NodeName>,
    /// `interval`, default 5 s (fast: 0.25 s): longest pause between two sends.
    pub interval: Duration,
    /// `timeout`, default 15 s (fast: 1 s): silence that makes a peer stale.
    pub timeout: Duration,
    /// The other keywords of its driver, evaluated: `addr`, `port`, `intf`, `dev`, `relay`.
    pub keywords: BTreeMap<String, String>,
    /// Where a unicast one calls the other participants: `addr` and `port` scoped for each, the node name where `addr` is
    /// unset or stands for any address.
    pub peers: BTreeMap<NodeName, (String, u16)>,
    /// `envelope` of a relay: the dialects to ask it in; that of the cluster when unset.
    pub envelope: Envelope,
    /// `secret` of a relay.
    pub secret: Option<Secret>,
}

/// A section `arbitrator#<n>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArbitratorSettings {
    /// The section, `arbitrator#1`.
    pub name: String,
    /// `name`: `host` or `host:port`.
    pub host: String,
    /// `envelope`: the dialects to ask it in; that of the cluster when unset.
    pub envelope: Envelope,
    /// `secret`: the arbitrator's `cluster.secret`.
    pub secret: Secret,
    /// `timeout`, default 5 s: of one vote.
    pub timeout: Duration,
}

/// What the configuration asks of the node: one field per keyword.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSettings {
    /// The documents behind the settings; also what a [`crate::Context`] needs.
    pub conf: Arc<NodeConf>,
    /// The local node.
    pub nodename: NodeName,
    /// `cluster.name`, lower case, default `default`.
    pub cluster_name: String,
    /// `cluster.id`; empty when unset.
    pub cluster_id: String,
    /// `cluster.secret`; none when unset or empty.
    pub secret: Option<Secret>,
    /// `cluster.secret_generation`, default 1: which of the secrets that the cluster had `cluster.secret` is.
    pub secret_generation: u32,
    /// `cluster.secret_next`: the secret of the next generation, which a rotation hands out.
    pub secret_next: Option<Secret>,
    /// `cluster.secret_previous`: the secret of the generation before, until all members have the one after it.
    pub secret_previous: Option<Secret>,
    /// `cluster.nodes`, default the local node.
    pub nodes: Vec<NodeName>,
    /// `cluster.drpnodes`.
    pub drpnodes: Vec<NodeName>,
    /// `cluster.quorum`, default false.
    pub quorum: bool,
    /// `cluster.dns`.
    pub dns: Vec<String>,
    /// `cluster.ca`, default `system/sec/ca-<cluster.name>`: sec objects of the trusted authorities.
    pub ca: Vec<ObjectPath>,
    /// `cluster.cert`, default `system/sec/cert-<cluster.name>`: sec object with the certificate of the TLS listener.
    pub cert: Option<ObjectPath>,
    /// `cluster.vip`, `addr/mask@dev`.
    pub vip: Option<String>,
    /// `cluster.envelope`, default sealed.
    pub envelope: Envelope,
    /// `cluster.profile = fast`.
    pub is_fast: bool,
    /// Section `listener`.
    pub listener: ListenerSettings,
    /// `node.env`, default TST.
    pub env: String,
    /// `node.max_parallel`; when unset, max(2, processors / 2).
    pub max_parallel: Option<usize>,
    /// `node.min_avail_mem`, default 2 %.
    pub min_avail_mem: Threshold,
    /// `node.min_avail_swap`, default 10 %.
    pub min_avail_swap: Threshold,
    /// `node.maintenance_grace_period`, default 60 s.
    pub maintenance_grace_period: Duration,
    /// `node.rejoin_grace_period`, default 90 s (fast, with quorum: 5 s).
    pub rejoin_grace_period: Duration,
    /// `node.ready_period`, default 5 s (fast: 0.2 s).
    pub ready_period: Duration,
    /// `node.split_action`, default crash.
    pub split_action: SplitAction,
    /// `node.loglevel`, default info.
    pub loglevel: LogLevel,
    /// `node.dbopensvc`: the collector.
    pub dbopensvc: Option<String>,
    /// `node.dbinsecure`, default false: the collector is asked where others may read along: over http:// beyond this
    /// machine, and over https:// with a certificate of anybody.
    pub dbinsecure: bool,
    /// `node.uuid`: who the node is for the collector.
    pub uuid: Option<Secret>,
    /// Section `labels`.
    pub labels: BTreeMap<String, String>,
    /// Section `env`.
    pub env_section: BTreeMap<String, String>,
    /// Sections `hb#<n>` with a valid type.
    pub heartbeats: Vec<HeartbeatSettings>,
    /// Sections `arbitrator#<n>` with name and secret.
    pub arbitrators: Vec<ArbitratorSettings>,
    /// Sections `stonith#<node>`: command words.
    pub stonith: BTreeMap<NodeName, Vec<String>>,
    /// Mistakes; their keywords have their defaults.
    pub complaints: Vec<Complaint>,
}
