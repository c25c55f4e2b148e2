//! What a thread shows of itself in `daemon_status`: its state, which the root knows, and what it reports.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::alert::Alert;
use crate::name::{NodeName, ObjectPath};
use crate::time::Timestamp;

/// State of a thread, with the field's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It runs.
    Running,
    /// It is asked to stop.
    Stopping,
    /// It stopped, on purpose.
    Stopped,
    /// It fell, or was not started yet.
    Restarting,
    /// It ended, and is not started again.
    Terminated,
}

/// The block of a thread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// Its state.
    pub state: State,
    /// When it was started first.
    pub created: Timestamp,
    /// When the configuration that it goes by came into force; none for the process itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured: Option<Timestamp>,
    /// Id of the thread that it runs on, under the name of deployed agents.
    pub ident: i32,
    /// The same; none for the process itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<i32>,
    /// How often it was restarted; none for the process itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u64>,
    /// Why it fell last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it is started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// What an operator is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// What it reports.
    #[serde(flatten)]
    pub report: Report,
}

impl Block {
    /// Of a thread of which nothing else is known.
    #[must_use]
    pub fn new(state: State, created: Timestamp, ident: i32) -> Self {
        Self {
            state,
            created,
            configured: None,
            ident,
            tid: None,
            restarts: None,
            reason: None,
            next_try: None,
            alerts: vec![],
            report: Report::Nothing {},
        }
    }
}

/// What a thread reports of itself. What is large is boxed: the monitors of objects are thousands, and report nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Nothing.
    Nothing {},
    /// The process itself.
    Daemon {
        /// Its id.
        pid: u32,
    },
    /// What sends or receives heartbeats.
    Heartbeat(Box<Heartbeat>),
    /// What answers connections.
    Listener(Box<Listener>),
    /// The blacklist.
    Blacklist {
        /// Counters.
        stats: BlacklistStats,
    },
    /// The keeper of the secrets.
    Secret(Secret),
    /// What runs what is scheduled.
    Scheduler(Scheduler),
}

impl Default for Report {
    fn default() -> Self {
        Self::Nothing {}
    }
}

/// What sends or receives heartbeats shows of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Heartbeat {
    /// What it goes by.
    pub config: HeartbeatConfig,
    /// Counters.
    pub stats: HeartbeatStats,
    /// The nodes it sends to or hears, the local one included.
    pub peers: BTreeMap<NodeName, HeartbeatPeer>,
}

/// What a heartbeat goes by: each kind shows what it has.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HeartbeatConfig {
    /// Address or multicast group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addr: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Network interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intf: Option<String>,
    /// Address that it sends from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_addr: Option<String>,
    /// Device of a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<String>,
    /// The relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// After how long a silent peer is lost.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub timeout: Option<Duration>,
    /// Pause between two beats.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub interval: Option<Duration>,
}

/// Whole seconds as the field writes them, without a point.
fn seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration.unwrap_or_default() {
        whole if whole.subsec_nanos() == 0 => serializer.serialize_u64(whole.as_secs()),
        duration => serializer.serialize_f64(duration.as_secs_f64()),
    }
}

/// What a heartbeat counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeartbeatStats {
    /// Since when.
    pub since: Timestamp,
    /// Messages.
    pub beats: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What went wrong.
    pub errors: u64,
}

/// A node as a heartbeat reaches or hears it; empty for one that it has no word of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct HeartbeatPeer {
    /// When it was reached or heard last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Whether that was in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beating: Option<bool>,
    /// Its slot on a disk, -1 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<i64>,
}

/// What the listener shows of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listener {
    /// Where it listens; none while it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ListenerConfig>,
    /// Counters.
    pub stats: ListenerStats,
}

/// Where connections are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListenerConfig {
    /// The address, as it is configured.
    pub addr: String,
    /// The port.
    pub port: u16,
}

/// What the listener counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListenerStats {
    /// Of its sessions.
    pub sessions: Sessions,
}

/// The sessions of the listener.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sessions {
    /// Of all clients.
    #[serde(flatten)]
    pub total: Traffic,
    /// Those that are open, by id; of many only the first.
    pub alive: BTreeMap<String, Session>,
    /// How many are open.
    pub alive_count: usize,
    /// By address.
    pub clients: BTreeMap<String, Traffic>,
    /// Connections of blacklisted senders.
    pub dropped: u64,
    /// Connections that were too many.
    pub refused: u64,
    /// Connections that were closed for others.
    pub evicted: u64,
}

/// What clients sent and got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Connections.
    pub accepted: u64,
    /// Messages that opened.
    pub auth_validated: u64,
    /// Bytes sent.
    pub tx: u64,
    /// Bytes received.
    pub rx: u64,
}

/// An open session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Session {
    /// When it was opened.
    pub created: Timestamp,
    /// Address of the client; `local` over the control socket.
    pub addr: String,
    /// Whether what it carries is sealed.
    pub encrypted: bool,
    /// What it is at.
    pub progress: &'static str,
    /// Id of its thread, under the name of deployed agents.
    pub ident: i32,
    /// The same.
    pub tid: i32,
}

/// What the blacklist counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BlacklistStats {
    /// Senders that are on it.
    pub blacklisted: usize,
}

/// What the keeper of the secrets shows: how far a rotation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// Generation of the secret in force.
    pub generation: u32,
    /// `none`, `offered` or `used`.
    pub rotation: &'static str,
    /// The members that are waited for.
    pub waits_for: String,
    /// Whether it may go on without them.
    pub may_force: bool,
}

/// What the scheduler shows of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Scheduler {
    /// How many tasks run.
    pub running: usize,
    /// What waits for its turn.
    pub delayed: Vec<Delayed>,
}

/// Work that waits for its turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delayed {
    /// What is to be done.
    pub action: &'static str,
    /// The object.
    pub path: ObjectPath,
    /// The resource.
    pub rid: Option<String>,
    /// Since when it waits.
    pub queued: Timestamp,
    /// The same, under the name of deployed agents.
    pub expire: Timestamp,
    /// Checksum of the configuration.
    pub csum: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_block_has_the_keys_of_its_report_beside_its_own_and_leaves_out_what_is_not_known() {
        let mut block = Block::new(State::Running, Timestamp(1.5), 7);
        let bare = json!({"state": "running", "created": 1.5, "ident": 7});
        assert_eq!(serde_json::to_value(&block).unwrap(), bare);
        let node = |name: &str| NodeName::new(name).unwrap();
        block.report = Report::Heartbeat(Box::new(Heartbeat {
            config: HeartbeatConfig {
                port: Some(10_000),
                timeout: Some(Duration::from_secs(15)),
                interval: Some(Duration::from_millis(250)),
                ..HeartbeatConfig::default()
            },
            stats: HeartbeatStats { since: Timestamp(1.0), beats: 1, bytes: 2, errors: 3 },
            peers: BTreeMap::from([
                (node("n1"), HeartbeatPeer::default()),
                (node("n2"), HeartbeatPeer { beating: Some(true), ..HeartbeatPeer::default() }),
            ]),
        }));
        assert_eq!(
            serde_json::to_value(&block).unwrap(),
            json!({
                "state": "running", "created": 1.5, "ident": 7,
                "config": {"port": 10_000, "timeout": 15, "interval": 0.25},
                "stats": {"since": 1.0, "beats": 1, "bytes": 2, "errors": 3},
                "peers": {"n1": {}, "n2": {"beating": true}},
            })
        );
    }
}
