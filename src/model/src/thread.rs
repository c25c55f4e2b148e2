//! Threads of the daemon, by their ids. Most ids are those of deployed agents.

mod block;

use crate::name::ObjectPath;

pub use block::{
    BlacklistStats, Block, Delayed, Heartbeat, HeartbeatConfig, HeartbeatPeer, HeartbeatStats,
    Listener, ListenerConfig, ListenerStats, Report, Scheduler, Secret, Session, Sessions, State,
    Traffic,
};

/// Sender blacklist.
pub const BLACKLIST: &str = "blacklist";
/// Cluster data.
pub const CLUSTER_DATA: &str = "cluster_data";
/// Of deployed agents: what talks to a collector.
pub const COLLECTOR: &str = "collector";
/// Watches the configuration.
pub const CONFIG: &str = "config";
/// The process itself.
pub const DAEMON: &str = "daemon";
/// Keeps what happened.
pub const HISTORY: &str = "history";
/// Answers HTTP on the socket of this node.
pub const HTTP: &str = "http";
/// Answers connections.
pub const LISTENER: &str = "listener";
/// Writes the logs.
pub const LOGS: &str = "logs";
/// Knows which peers are heard.
pub const MEMBERSHIP: &str = "membership";
/// The monitor of the node.
pub const MONITOR: &str = "monitor";
/// Asks peers.
pub const PEERS: &str = "peers";
/// Fetches newer configurations.
pub const PROPAGATION: &str = "propagation";
/// Asks arbitrators.
pub const QUORUM: &str = "quorum";
/// Keeps the slots of other clusters.
pub const RELAY: &str = "relay";
/// Starts and stops the others.
pub const ROOT: &str = "root";
/// Runs actions and evaluations.
pub const RUNNER: &str = "runner";
/// Runs what is scheduled.
pub const SCHEDULER: &str = "scheduler";
/// Makes certificates anew before they end.
pub const CERTIFICATE: &str = "certificate";
/// Keeps the secrets of the cluster.
pub const SECRET: &str = "secret";
/// Finds out whether this node is a member.
pub const STANDING: &str = "standing";

/// Answers HTTP over TLS.
pub const TLS: &str = "tls";

/// Names all that send heartbeats, in requests; ends the id of each.
pub const TX: &str = "tx";
/// Ends the id of what receives heartbeats.
pub const RX: &str = "rx";

/// Begins the ids of the monitors of objects.
const SERVICE_MONITOR: &str = "service_monitor ";

/// The id of the monitor of an object.
#[must_use]
pub fn service_monitor(path: &ObjectPath) -> String {
    format!("{SERVICE_MONITOR}{path}")
}

/// Whether a child is the monitor of an object.
#[must_use]
pub fn is_service_monitor(id: &str) -> bool {
    id.starts_with(SERVICE_MONITOR)
}

/// Whether a thread sends or receives heartbeats: `hb#1.tx`.
#[must_use]
pub fn is_heartbeat(id: &str) -> bool {
    id.starts_with("hb#")
}

/// Whether deployed agents have this thread too: what `om mon` shows of those that run.
#[must_use]
pub fn is_of_the_field(id: &str) -> bool {
    matches!(id, DAEMON | LISTENER | MONITOR | SCHEDULER | COLLECTOR | "dns") || is_heartbeat(id)
}

/// Whether a thread sends heartbeats (`tx`), or receives them (`rx`).
#[must_use]
pub fn goes(direction: &str, id: &str) -> bool {
    id.strip_suffix(direction).is_some_and(|section| section.ends_with('.'))
}

/// Whether a request for `asked` means a thread: the one, or all that send heartbeats for `tx`. Of deployed agents the
/// listener has the TLS socket too.
#[must_use]
pub fn means(asked: &str, id: &str) -> bool {
    match asked {
        TX => goes(TX, id),
        LISTENER => matches!(id, LISTENER | TLS),
        asked => asked == id,
    }
}

/// Whether a child is a thread that an operator may stop and start. Without the others the daemon would not
/// answer, or answer what is not so any more.
#[must_use]
pub fn is_thread(id: &str) -> bool {
    matches!(id, LISTENER | MONITOR | SCHEDULER | COLLECTOR | CONFIG | BLACKLIST | HTTP | TLS | TX)
        || is_heartbeat(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_means_a_thread_or_all_that_send() {
        assert!(means("listener", LISTENER) && !means("listener", MONITOR));
        assert!(means("listener", TLS) && means("tls", TLS) && !means("tls", LISTENER));
        assert!(means("hb#1.tx", "hb#1.tx") && means(TX, "hb#1.tx") && means(TX, "hb#2.tx"));
        assert!(!means(TX, "hb#1.rx") && !means(TX, TX) && !means("rx", "hb#1.rx"));
    }

    #[test]
    fn what_an_operator_stops_is_no_vital_part() {
        let stops = ["listener", "monitor", "scheduler", "config", "blacklist", "tx", "hb#1.rx"];
        assert!(stops.into_iter().all(is_thread));
        let vital = [ROOT, LOGS, CLUSTER_DATA, RUNNER, QUORUM, PROPAGATION, SECRET, MEMBERSHIP];
        assert!(!vital.into_iter().any(is_thread));
        let path = ObjectPath::parse("test/svc/web").unwrap();
        let id = service_monitor(&path);
        assert!(is_service_monitor(&id) && !is_thread(&id) && !is_service_monitor(MONITOR));
    }
}
