//! The table: a row for each path under `/api`.

/// The shape of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// What the request answers, without `status` and `data` around it.
    Data,
    /// The text of `data`.
    Text,
    /// The text of `data`, of any type.
    Octets,
    /// 202 with the target that was set.
    Target,
    /// 202 with the session of what was begun.
    Session,
    /// 204.
    Done,
    /// Nodes, objects, instances or resources, out of the cluster data.
    List(&'static str),
    /// One instance, out of the cluster data.
    Instance,
    /// A stream of items.
    Stream,
    /// Entries of the logs of all nodes, in order of time.
    Merged,
    /// As the request answers it; 401 for nobody.
    Whoami,
}

/// A path, and the request that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Method of HTTP.
    pub method: &'static str,
    /// With its variables: `{nodename}`; the last one may have slashes: `{action...}`.
    pub path: &'static str,
    /// Method and name of the request.
    pub request: (&'static str, &'static str),
    /// Words of the query that are options by another name.
    pub query: &'static [(&'static str, &'static str)],
    /// Options that are always so.
    pub fixed: &'static [(&'static str, &'static str)],
    /// The option that the body is, as a text; else it is an object of options.
    pub body: Option<&'static str>,
    /// What is answered.
    pub shape: Shape,
}

macro_rules! entries {
    ($($method:literal $path:expr, $of:literal $name:literal $([$($word:literal => $option:literal),+])?
        $({$($key:literal: $value:literal),+})? $(<$body:literal>)? => $shape:expr;)+) => {
        &[$(Entry {
            method: $method,
            path: $path,
            request: ($of, $name),
            query: &[$($(($word, $option)),+)?],
            fixed: &[$($(($key, $value)),+)?],
            body: entries!(@body $($body)?),
            shape: $shape,
        },)+]
    };
    (@body) => { None };
    (@body $body:literal) => { Some($body) };
}

macro_rules! n {
    ($rest:literal) => {
        concat!("/api/node/name/{nodename}", $rest)
    };
}

macro_rules! o {
    ($rest:literal) => {
        concat!("/api/object/path/{namespace}/{kind}/{name}", $rest)
    };
}

macro_rules! i {
    ($rest:literal) => {
        concat!("/api/node/name/{nodename}/instance/path/{namespace}/{kind}/{name}", $rest)
    };
}

use Shape::{Data, Done, Instance, List, Merged, Octets, Session, Stream, Target, Text, Whoami};

/// Every path.
pub const ENTRIES: &[Entry] = entries! {
    "DELETE" n!("/daemon/blacklist"), "POST" "blacklist_clear" => Done;
    "GET" n!("/daemon/blacklist"), "GET" "daemon_blacklist_status" => Data;
    "GET" "/api/cluster/status", "GET" "daemon_status" => Data;
    "GET" "/api/node", "GET" "daemon_status" => List("Node");
    "GET" "/api/object", "GET" "daemon_status" ["path" => "selector"] => List("Object");
    "GET" "/api/instance", "GET" "daemon_status" ["path" => "selector"] => List("Instance");
    "GET" "/api/resource", "GET" "daemon_status" ["path" => "selector"] => List("Resource");
    "GET" i!(""), "GET" "daemon_status" => Instance;
    "POST" n!("/daemon/action/stop"), "POST" "daemon_stop" => Done;
    "POST" n!("/daemon/thread/name/{thr_id}/action/stop"), "POST" "daemon_stop" => Done;
    "DELETE" n!("/daemon/session/name/{session_id}"), "POST" "daemon_stop" => Done;
    "POST" n!("/daemon/thread/name/{thr_id}/action/start"), "POST" "daemon_start" => Done;
    "POST" n!("/daemon/action/shutdown"), "POST" "daemon_shutdown" ["duration" => "time"] => Done;
    "GET" o!("/config"), "GET" "object_config" {"format": "\"json\""} => Data;
    "GET" o!("/config/file"), "GET" "object_config" {"format": "\"ini\""} => Text;
    "PUT" o!("/config/file"), "POST" "object_config" <"data"> => Done;
    "POST" o!("/config/file"), "POST" "object_config" {"only": "\"new\""} <"data"> => Done;
    "GET" i!("/config/file"), "GET" "object_config" {"format": "\"ini\""} => Text;
    "GET" "/api/cluster/config", "GET" "object_config" {"format": "\"json\"", "path": "\"cluster\""} => Data;
    "GET" "/api/cluster/config/file", "GET" "object_config" {"format": "\"ini\"", "path": "\"cluster\""} => Text;
    "POST" i!("/clear"), "POST" "object_clear" => Done;
    "POST" "/api/cluster/action/freeze", "POST" "node_monitor" {"global_expect": "\"frozen\""} => Target;
    "POST" "/api/cluster/action/unfreeze", "POST" "node_monitor" {"global_expect": "\"thawed\""} => Target;
    "POST" o!("/action/start"), "POST" "object_monitor" {"global_expect": "\"started\""} => Target;
    "POST" o!("/action/stop"), "POST" "object_monitor" {"global_expect": "\"stopped\""} => Target;
    "POST" o!("/action/restart"), "POST" "object_monitor" {"global_expect": "\"restarted\""} => Target;
    "POST" o!("/action/freeze"), "POST" "object_monitor" {"global_expect": "\"frozen\""} => Target;
    "POST" o!("/action/unfreeze"), "POST" "object_monitor" {"global_expect": "\"thawed\""} => Target;
    "POST" o!("/action/provision"), "POST" "object_monitor" {"global_expect": "\"provisioned\""} => Target;
    "POST" o!("/action/unprovision"), "POST" "object_monitor" {"global_expect": "\"unprovisioned\""} => Target;
    "POST" o!("/action/delete"), "POST" "object_monitor" {"global_expect": "\"deleted\""} => Target;
    "POST" o!("/action/purge"), "POST" "object_monitor" {"global_expect": "\"purged\""} => Target;
    "POST" o!("/action/abort"), "POST" "object_monitor" {"global_expect": "\"aborted\""} => Target;
    "POST" o!("/action/giveback"), "POST" "object_monitor" {"global_expect": "\"placed\""} => Target;
    "POST" o!("/action/switch"), "POST" "object_monitor" => Target;
    "POST" "/api/instance/path/{namespace}/{kind}/{name}/progress", "POST" "object_monitor" => Done;
    "GET" i!("/monitor"), "GET" "object_monitor" => Data;
    "POST" i!("/action/{action}"), "POST" "object_action" {"sync": "false"} => Session;
    "PATCH" o!("/config"), "POST" "object_action" => Done;
    "POST" o!("/enable"), "POST" "object_action" {"action": "\"enable\""} => Done;
    "POST" o!("/disable"), "POST" "object_action" {"action": "\"disable\""} => Done;
    "POST" n!("/action/drain"), "POST" "node_drain" => Done;
    "POST" n!("/action/{action...}"), "POST" "node_action" {"sync": "false"} => Session;
    "PATCH" n!("/config"), "POST" "node_action" => Done;
    "GET" i!("/log"), "GET" "object_backlogs" => Data;
    "GET" o!("/log"), "GET" "object_backlogs" => Merged;
    "GET" i!("/log/follow"), "GET" "object_logs" => Stream;
    "GET" o!("/history"), "GET" "object_history" => Data;
    "GET" n!("/history"), "GET" "node_history" => Data;
    "GET" n!("/log"), "GET" "node_backlogs" => Data;
    "GET" n!("/log/follow"), "GET" "node_logs" => Stream;
    "GET" n!("/daemon/event"), "GET" "events" => Stream;
    "POST" "/api/cluster/lock/name/{lock}", "POST" "lock" => Data;
    "DELETE" "/api/cluster/lock/name/{lock}", "POST" "unlock" => Done;
    "GET" "/api/cluster/lock", "GET" "cluster/locks" => Data;
    "GET" "/api/node/info", "GET" "nodes_info" => Data;
    "GET" n!("/daemon/stats"), "GET" "daemon_stats" => Data;
    "GET" n!("/ping"), "GET" "nodes_info" => Done;
    "GET" n!("/metrics"), "GET" "node_metrics" {"openmetrics": "false", "grants": "null"} => Text;
    "POST" "/api/relay/message", "POST" "relay_tx" => Done;
    "GET" "/api/relay/message", "GET" "relay_rx" ["nodename" => "slot"] => Data;
    "GET" "/api/relay/status", "GET" "daemon_relay_status" => Data;
    "GET" "/api/auth/info", "GET" "authinfo" => Data;
    "GET" "/api/auth/whoami", "GET" "whoami" => Whoami;
    "GET" n!("/system/property"), "GET" "node" => Data;
    "GET" n!("/config"), "GET" "node_config" {"format": "\"json\""} => Data;
    "GET" n!("/config/file"), "GET" "node_config" {"format": "\"ini\""} => Text;
    "GET" n!("/checks"), "GET" "node_checks" ["checker" => "checkers"] => Data;
    "POST" "/api/object", "POST" "object_create" => Data;
    "GET" o!(""), "GET" "object_status" => Data;
    "GET" "/api/cluster/whatif", "GET" "cluster_whatif" => Data;
    "GET" o!("/explain"), "GET" "object_explain" => Data;
    "POST" "/api/instance/path/{namespace}/{kind}/{name}/status", "POST" "object_status" => Done;
    "GET" "/api/object/path", "GET" "object_selector" ["path" => "selector"] => Data;
    "GET" o!("/data/keys"), "GET" "object_keys" => Data;
    "GET" o!("/data/key"), "GET" "key" ["name" => "key"] => Octets;
    "PUT" o!("/data/key"), "POST" "key" ["name" => "key"] {"only": "\"existing\""} <"data"> => Done;
    "POST" o!("/data/key"), "POST" "key" ["name" => "key"] {"only": "\"new\""} <"data"> => Done;
    "DELETE" o!("/data/key"), "DELETE" "key" ["name" => "key"] => Done;
    "GET" o!("/confirmation"), "GET" "object_confirmations" => Data;
    "POST" i!("/console"), "GET" "object_enter" ["greet_timeout" => "timeout"] => Data;
    "GET" "/api/cluster/wait", "GET" "wait" => Data;
    "GET" n!("/daemon/sync"), "GET" "sync" => Data;
    "GET" n!("/schedule"), "GET" "schedules" => Data;
    "GET" o!("/schedule"), "GET" "schedules" => Data;
    "GET" i!("/schedule"), "GET" "schedules" => Data;
    "GET" "/api/pool", "GET" "pools" => Data;
    "GET" "/api/network", "GET" "networks" => Data;
    "GET" "/api/keywords/{kind}", "GET" "keywords" => Data;
    "GET" o!("/config/keywords"), "GET" "keywords" => Data;
    "GET" "/api/cluster/config/keywords", "GET" "keywords" {"kind": "\"ccfg\""} => Data;
    "GET" n!("/config/keywords"), "GET" "keywords" {"kind": "\"node\""} => Data;
    "GET" "/api/catalog", "GET" "catalogs" => Data;
    "GET" "/api/catalog/name/{catalog}/template", "GET" "templates" => Data;
    "GET" "/api/catalog/name/{catalog}/template/name/{template}", "GET" "template" => Data;
    "GET" n!("/ssh/key"), "GET" "ssh_key" => Data;
    "GET" n!("/daemon/mutex"), "GET" "daemon_mutex" => Data;
    "GET" n!("/drbd/config"), "GET" "drivers/resource/disk/drbd/config" ["name" => "res"] => Data;
    "POST" n!("/drbd/config"), "POST" "drivers/resource/disk/drbd/config" ["name" => "res"] <"data"> => Done;
    "GET" n!("/drbd/allocation"), "GET" "drivers/resource/disk/drbd/allocations" => Data;
};

/// What of a log is asked for in a query: word, type, text.
pub(super) const LOG_WORDS: &[(&str, &str, &str)] = &[
    (
        "lines",
        "integer",
        "how many of the entries that are there, the last ones: of each node, where several are asked",
    ),
    ("since", "number", "entries from this time on, in seconds since 1970"),
    ("until", "number", "entries up to this time, in seconds since 1970"),
    ("level", "string", "entries of this level and worse ones"),
    ("grep", "string", "entries in which this regular expression is found"),
];

/// Whether a request reads a log.
pub(super) fn is_log(request: (&str, &str)) -> bool {
    matches!(request, ("GET", "object_backlogs" | "object_logs" | "node_backlogs" | "node_logs"))
}

/// Requests without a path under `/api`: those of the agent to itself and to others, and what is asked in another way.
pub const WITHOUT: &[(&str, &str)] = &[
    ("POST", "join"),
    ("POST", "leave"),
    ("POST", "rotate_secret"),
    ("POST", "wake_monitor"),
    ("POST", "ask_full"),
    ("POST", "run_done"),
    ("POST", "collector_xmlrpc"),
    // `/api/openapi.json`.
    ("GET", "api"),
];
