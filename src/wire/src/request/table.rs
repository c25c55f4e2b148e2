//! The requests: one entry per handler, with its names, its options and what it is for.
//!
//! Long, because it is one table, a row for each request: cut in two, each half would be looked for in the other.

use crate::request::options::Options;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::request::error::RequestError;
use crate::request::options::{Format, OptionValue, Size, Unconverted};

/// One option of a request.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// Name in the request.
    pub name: &'static str,
    /// How it is converted.
    pub format: Format,
    /// Whether a request without it is refused.
    pub required: bool,
    /// What null or absence means.
    pub default: Option<fn() -> Value>,
    /// What it is for.
    pub desc: &'static str,
}

/// Who may ask, in the field's words; raw clients are root.
pub type Role = &'static str;

/// One handler.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Its method.
    pub method: &'static str,
    /// Its names: first the current one, then those of older agents.
    pub names: &'static [&'static str],
    /// Its options.
    pub options: &'static [OptionSpec],
    /// Least role that may ask.
    pub role: Role,
    /// Whether it answers with a stream.
    pub is_stream: bool,
    /// Whether `node` sends it to other nodes.
    pub is_multiplexed: bool,
    /// What it is for.
    pub desc: &'static str,
    /// Status and reason where it is refused whoever asks; `{catalog}` stands for the option of that name.
    pub refusal: Option<(u16, &'static str)>,
    pub(super) read: fn(&mut Options) -> Result<Action, RequestError>,
}

/// Takes an option out of the request's and converts it.
fn take<T: OptionValue>(options: &mut Options, spec: &OptionSpec) -> Result<T, RequestError> {
    let found = match spec.format {
        Format::ObjectPath => {
            ["path", "svcpath", "svcname"].into_iter().find_map(|name| options.remove(name))
        }
        _ => options.remove(spec.name),
    };
    if found.is_none() && spec.required {
        return Err(RequestError::Required { name: spec.name });
    }
    let value = match (found, spec.default) {
        (None | Some(Value::Null), Some(default)) => default(),
        (None, None) => Value::Null,
        (Some(value), _) => value,
    };
    T::convert(spec.format, value).map_err(|error| match error {
        Unconverted::Null => RequestError::Required { name: spec.name },
        Unconverted::Reason(reason) => {
            RequestError::Conversion { name: spec.name, format: spec.format, reason }
        }
    })
}

macro_rules! default {
    () => {
        None
    };
    ($default:tt) => {
        Some(|| json!($default))
    };
}

macro_rules! requests {
    ($(
        #[doc = $desc:literal]
        $variant:ident $method:literal [$($name:literal),+] $role:literal $(($($flag:ident),+))?
        $(refused $status:literal $reason:literal)? {
            $(#[doc = $help:literal] $option:ident: $type:ty, $format:ident $($required:ident)? $(= $default:tt)?;)*
        }
    )+) => {
        $(
            #[doc = $desc]
            #[derive(Debug, Clone, PartialEq)]
            pub struct $variant {
                $(#[doc = $help] pub $option: $type,)*
            }

            impl $variant {
                const OPTIONS: &'static [OptionSpec] = &[$(OptionSpec {
                    name: stringify!($option),
                    format: Format::$format,
                    required: requests!(@required $($required)?),
                    default: default!($($default)?),
                    desc: $help.trim_ascii(),
                },)*];

                #[allow(unused_mut, unused_variables, unused_assignments, reason = "some requests have no option")]
                fn read(options: &mut Options) -> Result<Action, RequestError> {
                    let mut specs = Self::OPTIONS.iter();
                    Ok(Action::$variant(Self {
                        $($option: take(options, specs.next().expect("as many specs as fields"))?,)*
                    }))
                }

                /// The options as a request carries them; those without value are left out.
                #[allow(unused_mut, reason = "some requests have no option")]
                #[must_use]
                pub fn to_options(&self) -> Options {
                    let mut options = Map::new();
                    $(match OptionValue::to_value(&self.$option) {
                        Value::Null if !requests!(@required $($required)?) => {}
                        value => _ = options.insert(stringify!($option).to_owned(), value),
                    })*
                    options
                }
            }

            impl From<$variant> for Action {
                fn from(options: $variant) -> Self {
                    Self::$variant(options)
                }
            }
        )+

        /// What a request asks, with its options converted and checked.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Action {
            $(#[doc = $desc] $variant($variant),)+
        }

        /// Every handler, in the order of their entries; the position of a variant in [`Action`] is its own here.
        pub const ROUTES: &[Route] = &[$(Route {
            method: $method,
            names: &[$($name),+],
            options: $variant::OPTIONS,
            role: $role,
            is_stream: requests!(@has stream $($($flag)+)?),
            is_multiplexed: !requests!(@has local $($($flag)+)?),
            desc: $desc.trim_ascii(),
            refusal: requests!(@refused $($status $reason)?),
            read: $variant::read,
        },)+];

        #[derive(Clone, Copy)]
        enum Position { $($variant,)+ }

        impl Action {
            /// The handler of this action.
            #[must_use]
            pub fn route(&self) -> &'static Route {
                &ROUTES[self.position()]
            }

            /// The place of its handler in [`ROUTES`].
            #[must_use]
            pub fn position(&self) -> usize {
                match self { $(Self::$variant(_) => Position::$variant as usize,)+ }
            }

            /// The options as a request carries them; those without value are left out.
            #[must_use]
            pub fn to_options(&self) -> Options {
                match self { $(Self::$variant(options) => options.to_options(),)+ }
            }
        }
    };
    (@refused) => { None };
    (@refused $status:literal $reason:literal) => { Some(($status, $reason)) };
    (@required) => { false };
    (@required required) => { true };
    (@has stream) => { false };
    (@has stream stream $($rest:ident)*) => { true };
    (@has stream local $($rest:ident)*) => { requests!(@has stream $($rest)*) };
    (@has local) => { false };
    (@has local local $($rest:ident)*) => { true };
    (@has local stream $($rest:ident)*) => { requests!(@has local $($rest)*) };
}

requests! {
    /// Forgets every sender of the blacklist.
    BlacklistClear "POST" ["blacklist_clear", "daemon_blacklist_clear"] "blacklistadmin" {}
    /// Shows the blacklist: invalid messages per sender.
    BlacklistStatus "GET" ["daemon_blacklist_status", "blacklist_status"] "guest" {}
    /// Shows the cluster data.
    DaemonStatus "GET" ["daemon_status"] "guest" (local) {
        /// Objects to show; all when null, none when empty.
        selector: Option<String>, String;
        /// Namespace to show.
        namespace: Option<String>, String;
        /// Adds children, slaves and parents of the selected.
        relatives: bool, Boolean = false;
    }
    /// Stops the daemon, one of its threads, or a client session.
    DaemonStop "POST" ["daemon_stop"] "root" {
        /// Thread to stop; `tx` for all that end so.
        thr_id: Option<String>, String;
        /// Client session to stop.
        session_id: Option<String>, String;
        /// Replies when the thread ended.
        wait: bool, Boolean = false;
        /// Announces `upgrade` instead of `maintenance`.
        upgrade: bool, Boolean = false;
    }
    /// Starts a thread of the daemon.
    DaemonStart "POST" ["daemon_start"] "root" {
        /// Thread to start.
        thr_id: Option<String>, String required;
    }
    /// Stops the local instances, then the daemon.
    DaemonShutdown "POST" ["daemon_shutdown"] "root" {
        /// Longest time for the instances to stop.
        time: Option<Duration>, Duration;
    }
    /// Reads the configuration of an object.
    ObjectConfig "GET" ["object_config", "get_service_config"] "admin" {
        /// Object to read.
        path: String, ObjectPath required;
        /// `json`; anything else is ini.
        format: String, String = "ini";
        /// Converted values instead of texts, with `json`.
        evaluate: bool, Boolean = false;
        /// Node whose scoped values to show, with `evaluate`.
        impersonate: Option<String>, String;
    }
    /// Sets the monitor status of the local instance to idle and forgets its restarts.
    ObjectClear "POST" ["object_clear", "clear"] "operator" {
        /// Object to clear.
        path: String, ObjectPath required;
    }
    /// Sets states and targets of the node monitor.
    NodeMonitor "POST" ["node_monitor", "set_node_monitor"] "root" {
        /// Target of this node.
        local_expect: Option<String>, String;
        /// Target of the cluster.
        global_expect: Option<String>, String;
        /// State of this node.
        status: Option<String>, String;
    }
    /// Sets states and targets of an instance monitor.
    SetObjectMonitor "POST" ["object_monitor", "set_service_monitor"] "operator" {
        /// Object to change.
        path: String, ObjectPath required;
        /// Target of the local instance.
        local_expect: Option<String>, String;
        /// Target of the object.
        global_expect: Option<String>, String;
        /// State of the local instance.
        status: Option<String>, String;
        /// Forgets the restarts of its resources.
        reset_retries: bool, Boolean = false;
        /// Node to fence.
        stonith: Option<String>, String;
    }
    /// Reads the monitor of the local instance.
    GetObjectMonitor "GET" ["object_monitor", "get_service_monitor"] "guest" {
        /// Object to read.
        path: String, ObjectPath required;
    }
    /// Makes the sender a node of the cluster.
    Join "POST" ["join"] "root" {
        /// Longest wait for the members to agree: who asks waits no longer, and is then not to be taken in. Ours.
        timeout: Duration, Duration = 120;
    }
    /// Removes the sender from the cluster.
    Leave "POST" ["leave"] "root" {}
    /// Begins a rotation of the secret of the cluster, or tells how far it is.
    RotateSecret "POST" ["rotate_secret"] "root" {
        /// Uses the next secret although members are away that do not have it.
        force: bool, Boolean = false;
    }
    /// Runs an action on the local instance of an object.
    ObjectAction "POST" ["object_action", "service_action"] "operator" {
        /// Object to act on.
        path: String, ObjectPath required;
        /// Replies with the output when the action ended.
        sync: bool, Boolean = true;
        /// Words of a command line, as older agents sent them.
        cmd: Vec<String>, List;
        /// The same, by the name of the manual.
        command: Vec<String>, List;
        /// Action to run.
        action: Option<String>, String;
        /// Options of the action.
        options: Options, Dict = {};
    }
    /// Runs an action on the node.
    NodeAction "POST" ["node_action"] "root" {
        /// Replies with the output when the action ended.
        sync: bool, Boolean = true;
        /// Takes the command group from the first part of the action.
        action_mode: bool, Boolean = true;
        /// Action to run.
        action: Option<String>, String;
        /// Options of the action.
        options: Options, Dict = {};
    }
    /// Reads the end of the log of an object.
    ObjectBacklogs "GET" ["object_backlogs", "service_backlogs"] "guest" {
        /// Object whose log to read.
        path: String, ObjectPath required;
        /// How much of its end; all when negative, nothing when 0.
        backlog: Size, Size = "10k";
        /// Which entries, by `since`, `until` (seconds since 1970), `level` and `grep`, and how many `lines` of what is there. Ours.
        only: Options, Dict = {};
    }
    /// Follows the log of an object.
    ObjectLogs "GET" ["object_logs", "service_logs"] "guest" (stream) {
        /// Object whose log to follow.
        path: String, ObjectPath required;
        /// How much of what is there to send first.
        backlog: Size, Size = 0;
        /// Which entries, by `since`, `until` (seconds since 1970), `level` and `grep`, and how many `lines` of what is there. Ours.
        only: Options, Dict = {};
        /// Goes on behind the item of this id, or tells what is lost. Ours.
        last_event_id: Option<String>, String;
        /// Whether items tell where they end: `{"at", "entries"}`. Ours.
        ids: bool, Boolean = false;
    }
    /// Reads the end of the log of the node.
    NodeBacklogs "GET" ["node_backlogs"] "root" {
        /// How much of its end; all when negative, nothing when 0.
        backlog: Size, Size = "10k";
        /// Which entries, by `since`, `until` (seconds since 1970), `level` and `grep`, and how many `lines` of what is there. Ours.
        only: Options, Dict = {};
    }
    /// Follows the log of the node.
    NodeLogs "GET" ["node_logs"] "root" (stream) {
        /// How much of what is there to send first.
        backlog: Size, Size = 0;
        /// Which entries, by `since`, `until` (seconds since 1970), `level` and `grep`, and how many `lines` of what is there. Ours.
        only: Options, Dict = {};
        /// Goes on behind the item of this id, or tells what is lost. Ours.
        last_event_id: Option<String>, String;
        /// Whether items tell where they end: `{"at", "entries"}`. Ours.
        ids: bool, Boolean = false;
    }
    /// Streams the changes of the cluster data, and events.
    Events "GET" ["events"] "guest" (stream, local) {
        /// Objects whose events to send.
        selector: Option<String>, String;
        /// Sends the whole data first.
        full: bool, Boolean = false;
        /// Goes on behind the item of this id, or tells what is lost. Not of deployed agents.
        last_event_id: Option<String>, String;
    }
    /// Takes a cluster lock.
    Lock "POST" ["lock"] "root" {
        /// Name of the lock.
        name: String, String required;
        /// Longest wait.
        timeout: Duration, Duration = 10;
    }
    /// Releases a cluster lock.
    Unlock "POST" ["unlock"] "root" {
        /// Name of the lock.
        name: String, String required;
        /// What the lock request returned.
        lock_id: String, String required;
        /// Longest wait for the peers.
        timeout: Duration, Duration = 5;
    }
    /// Shows the cluster locks.
    ClusterLocks "GET" ["cluster/locks"] "root" {}
    /// Makes the monitors decide again now.
    WakeMonitor "POST" ["wake_monitor"] "operator" {
        /// Object whose monitor to wake; all when null.
        path: Option<String>, ObjectPath;
        /// Why, for the log.
        reason: Option<String>, String;
        /// Without waiting for the next loop.
        immediate: bool, Boolean = false;
    }
    /// Shows labels and targets of the nodes.
    NodesInfo "GET" ["nodes_info"] "guest" {}
    /// Makes this node send its whole data to a peer.
    AskFull "POST" ["ask_full"] "root" {
        /// The peer that lacks it.
        peer: Option<String>, String required;
    }
    /// Tells that a task ended.
    RunDone "POST" ["run_done"] "root" {
        /// The task's action.
        action: String, String required;
        /// Its object.
        path: String, ObjectPath required;
        /// Its resources.
        rids: Vec<String>, List;
    }
    /// Shows processor time and memory of the daemon and the objects.
    DaemonStats "GET" ["daemon_stats"] "guest" {
        /// Objects to show.
        selector: Option<String>, String = "**";
        /// Namespace to show.
        namespace: Option<String>, String;
    }
    /// Stores a message for other nodes.
    RelayTx "POST" ["relay_tx"] "heartbeat" {
        /// Cluster of the sender.
        cluster_id: String, String = "";
        /// Its name.
        cluster_name: String, String = "";
        /// The message.
        msg: Option<String>, String;
        /// Addresses of the sender.
        addr: Vec<String>, List = [""];
    }
    /// Reads a message that another node stored.
    RelayRx "GET" ["relay_rx"] "heartbeat" {
        /// Cluster of the node.
        cluster_id: String, String = "";
        /// The node.
        slot: Option<String>, String required;
    }
    /// Shows what the relay holds.
    RelayStatus "GET" ["daemon_relay_status", "relay_status"] "heartbeat" {}
    /// Shows every request.
    GetApi "GET" ["api", "get_api"] "guest" {}
    /// Shows how to prove who one is.
    Authinfo "GET" ["authinfo"] "" (local) {}
    /// Shows who the sender is taken for.
    Whoami "GET" ["whoami"] "" {}
    /// Shows the series of this node for a monitoring system. Not a request of deployed agents.
    NodeMetrics "GET" ["node_metrics"] "guest" {
        /// Written as OpenMetrics; else in the older text format.
        openmetrics: bool, Boolean = false;
        /// With what the control groups of objects use.
        cgroup: bool, Boolean = false;
        /// What the reader may look at, where somebody asks in its name; everything when null.
        grants: Option<String>, String;
    }
    /// Shows the assets of the node.
    GetNode "GET" ["node", "get_node"] "guest" {}
    /// Writes the configuration of an object, whole. Not a request of deployed agents.
    SetObjectConfig "POST" ["object_config"] "admin" {
        /// The object; one that there is not is created.
        path: String, ObjectPath required;
        /// The text of the file.
        data: String, String required;
        /// Checksum of what it is to replace: refused where something else is there.
        etag: Option<String>, String;
        /// `new` or `existing`: refused where it is not so.
        only: Option<String>, String;
        /// Writes mistakes too that deployed agents put up with.
        force: bool, Boolean = false;
    }
    /// Reads the configuration of the node.
    NodeConfig "GET" ["node_config", "get_node_config"] "root" {
        /// `json`; anything else is ini.
        format: String, String = "ini";
    }
    /// Runs the node checks.
    NodeChecks "GET" ["node_checks"] "root" {
        /// Which ones; all when empty.
        checkers: Vec<String>, List;
    }
    /// Freezes the node and shuts its instances down.
    NodeDrain "POST" ["node_drain"] "root" {
        /// Replies when the instances are down.
        wait: bool, Boolean = false;
        /// Longest wait.
        time: Option<Duration>, Duration;
    }
    /// Creates objects.
    ObjectCreate "POST" ["object_create", "create"] "admin" {
        /// The object to create, with `template`.
        path: Option<String>, ObjectPath;
        /// Template to create it from.
        template: Option<String>, String;
        /// Namespace of the created objects.
        namespace: Option<String>, String;
        /// Configurations by object path.
        data: Map<String, Value>, Dict = {};
        /// Provisions them too.
        provision: bool, Boolean = false;
        /// Keeps ids and namespaces of `data`.
        restore: bool, Boolean = false;
        /// Replies when that is done.
        sync: bool, Boolean = true;
    }
    /// Reads the status of an object and its instances.
    ObjectStatus "GET" ["object_status"] "guest" {
        /// Object to read.
        path: String, ObjectPath required;
    }
    /// Explains why an object is where it is, or what a target would do. Not a request of deployed agents.
    ObjectExplain "GET" ["object_explain"] "guest" {
        /// Object to explain.
        path: String, ObjectPath required;
        /// Target whose effect to tell instead; it is not set.
        global_expect: Option<String>, String;
    }
    /// Reads what happened to an object on this node. Not a request of deployed agents.
    ObjectHistory "GET" ["object_history"] "guest" {
        /// Object to read.
        path: String, ObjectPath required;
        /// How far back; all when null.
        since: Option<Duration>, Duration;
    }
    /// Reads what happened to the node. Not a request of deployed agents.
    NodeHistory "GET" ["node_history"] "guest" {
        /// How far back; all when null.
        since: Option<Duration>, Duration;
    }
    /// Tells what would become of the objects if nodes were emptied, or died. Not a request of deployed agents.
    ClusterWhatIf "GET" ["cluster_whatif"] "guest" {
        /// Nodes that are emptied.
        drain: Vec<String>, List;
        /// Nodes that die.
        down: Vec<String>, List;
    }
    /// Stores the status of the local instance.
    SetObjectStatus "POST" ["object_status"] "root" {
        /// Object of the instance.
        path: String, ObjectPath required;
        /// The status.
        data: Value, Any required;
        /// Session of the action of the daemon that ends with it. Not of deployed agents.
        session: Option<String>, String;
    }
    /// Lists the selected objects.
    ObjectSelector "GET" ["object_selector"] "guest" {
        /// Which ones; none when null.
        selector: Option<String>, String;
        /// Of which namespace.
        namespace: Option<String>, String;
        /// Of which kind.
        kind: Option<String>, String;
    }
    /// Lists the keys of a data object.
    ObjectKeys "GET" ["object_keys"] "guest" {
        /// Object to read.
        path: String, ObjectPath required;
    }
    /// Reads a key of a data object.
    GetKey "GET" ["key", "get_key", "get_secret_key"] "admin" {
        /// Object to read.
        path: String, ObjectPath required;
        /// Key to read.
        key: String, String required;
    }
    /// Sets a key of a data object.
    SetKey "POST" ["key", "set_key"] "admin" {
        /// Object to change.
        path: String, ObjectPath required;
        /// Key to set.
        key: String, String required;
        /// Its value.
        data: String, String required;
        /// `new` or `existing`: refused where it is not so. Ours.
        only: Option<String>, String;
    }
    /// Removes a key of a data object.
    DeleteKey "DELETE" ["key"] "admin" {
        /// Object to change.
        path: String, ObjectPath required;
        /// Key to remove.
        key: String, String required;
    }
    /// Lists the resources whose actions ask for a confirmation.
    ObjectConfirmations "GET" ["object_confirmations"] "operator" {
        /// Object to read.
        path: String, ObjectPath required;
    }
    /// Opens a terminal in a resource.
    ObjectEnter "GET" ["object_enter"] "admin" {
        /// Object of the resource.
        path: String, ObjectPath required;
        /// The resource.
        rid: String, String required;
        /// How long the terminal waits for its user.
        timeout: Duration, Duration = 5;
    }
    /// Waits for a condition on the cluster data.
    Wait "GET" ["wait"] "guest" {
        /// `[!]<path>[<operator><value>]`.
        condition: String, String required;
        /// Longest wait, at most 30 s.
        duration: Duration, Duration = 30;
    }
    /// Waits until every peer has the current data of this node.
    Sync "GET" ["sync"] "guest" {
        /// Longest wait.
        timeout: Duration, Duration = "60s";
    }
    /// Shows the schedules of objects.
    Schedules "GET" ["schedules"] "guest" {
        /// Objects to show.
        selector: Option<String>, String;
        /// Namespace to show.
        namespace: Option<String>, String;
    }
    /// Shows the storage pools.
    Pools "GET" ["pools", "get_pools"] "guest" {
        /// Pool to show; all when null.
        name: Option<String>, String;
    }
    /// Shows the networks.
    Networks "GET" ["networks", "get_networks"] "guest" {}
    /// Shows the configuration keywords of a kind.
    Keywords "GET" ["keywords", "get_keywords"] "guest" {
        /// Kind of object, or `node`.
        kind: String, String required;
        /// Section whose keywords to show; all when absent.
        section: Option<String>, String;
        /// Name of the keyword to show; all when absent.
        option: Option<String>, String;
    }
    /// Shows the catalogs of templates.
    Catalogs "GET" ["catalogs", "get_catalogs"] "guest" {}
    /// Shows the templates of a catalog.
    // They come from a collector, which this daemon does not ask.
    Templates "GET" ["templates", "get_templates"] "guest" refused 404 "catalog {catalog} not found" {
        /// The catalog.
        catalog: String, String required;
    }
    /// Reads a template.
    Template "GET" ["template", "get_template"] "guest" refused 404 "catalog {catalog} not found" {
        /// The catalog.
        catalog: String, String required;
        /// The template.
        template: String, String required;
    }
    /// Reads the public ssh key of a user.
    SshKey "GET" ["ssh_key"] "root" {
        /// The user.
        user: String, String = "root";
        /// Type of the key.
        key_type: String, String = "rsa";
    }
    /// Queues a call of the collector.
    CollectorXmlrpc "POST" ["collector_xmlrpc"] "root" {
        /// Arguments.
        args: Value, Any = [];
        /// Named arguments.
        kwargs: Value, Any = {};
    }
    /// Shows the daemon's own locks.
    DaemonMutex "GET" ["daemon_mutex"] "root" {}
    /// Reads the configuration of a drbd resource.
    // Of a driver that this agent does not have, as the next two.
    DrbdConfig "GET" ["drivers/resource/disk/drbd/config"] "root"
    refused 501 "driver disk.drbd is not supported" {
        /// The resource.
        res: String, String required;
    }
    /// Writes the configuration of a drbd resource.
    SetDrbdConfig "POST" ["drivers/resource/disk/drbd/config"] "root"
    refused 501 "driver disk.drbd is not supported" {
        /// The resource.
        res: String, String required;
        /// The configuration.
        data: String, String required;
    }
    /// Lists the ports and minors that drbd resources use.
    DrbdAllocations "GET" ["drivers/resource/disk/drbd/allocations"] "root"
    refused 501 "driver disk.drbd is not supported" {}
}
