//! What an operator asks for: one value per command line.

mod action;
mod config;

use model::Kind;

pub use action::{ActionOptions, InstanceAction, SyncAction};
pub use config::{ConfigAction, ConfigSource, CreateOptions, Edit};

/// A whole command line, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `--help` or `--version`: a text to print, with terminal styles, exit code 0.
    Help(String),
    /// `om daemon ..`: the daemon process and its threads.
    Daemon(DaemonCommand),
    /// `om node ..`: the node, its configuration and its log.
    Node(NodeCommand),
    /// `om <selector> ..`, `om svc -s <selector> ..`, `om cluster ..`: objects.
    Object(Box<ObjectCommand>),
    /// `om cluster rotate secret`.
    RotateSecret(RotateCommand),
    /// `om pool ..`: where volumes are made.
    Pool(StockCommand<PoolAction>),
    /// `om net ..`: networks of the nodes.
    Net(StockCommand<NetAction>),
    /// `om mon`, `om <selector> monitor`: the cluster, once or as it changes.
    Monitor(MonitorCommand),
    /// `om demo`: the main job on an embedded default.
    Demo(DemoCommand),
    /// `om __complete -- WORDS`, asked by the shells: what may complete the last word.
    Complete(Vec<String>),
}

impl Command {
    /// `--filter`, where the command writes what a JSON path can select from.
    #[must_use]
    pub fn filter(&self) -> Option<&str> {
        let output = match self {
            Self::Daemon(command) => &command.output,
            Self::Node(command) => &command.output,
            Self::Pool(command) => &command.output,
            Self::Net(command) => &command.output,
            Self::Object(command) => &command.output,
            Self::Monitor(command) => &command.output,
            Self::RotateSecret(command) => &command.output,
            Self::Help(_) | Self::Demo(_) | Self::Complete(_) => return None,
        };
        output.filter.as_deref()
    }

    /// Whether the command writes data that `--filter` can select from: where not, it is refused.
    #[must_use]
    pub fn writes_data(&self) -> bool {
        let writes = |action: &ConfigAction| {
            matches!(action, ConfigAction::Get { .. } | ConfigAction::Print { .. })
        };
        match self {
            Self::Daemon(command) => matches!(
                command.action,
                DaemonAction::Status
                    | DaemonAction::Stats { .. }
                    | DaemonAction::BlacklistStatus
                    | DaemonAction::RelayStatus
                    | DaemonAction::LockShow
            ),
            Self::Node(command) => match &command.action {
                NodeAction::Config(action) => writes(action),
                NodeAction::Logs(_)
                | NodeAction::Events
                | NodeAction::Ls
                | NodeAction::PrintStatus
                | NodeAction::PrintSchedule
                | NodeAction::PrintCapabilities
                // Its filter is its condition.
                | NodeAction::Wait { .. } => true,
                NodeAction::Ping
                | NodeAction::Freeze(_)
                | NodeAction::Thaw(_)
                | NodeAction::Frozen
                | NodeAction::Drain(_)
                | NodeAction::DequeueActions => false,
            },
            Self::Object(command) => match &command.action {
                ObjectAction::Config(action) => writes(action),
                ObjectAction::Instance { options, .. } => options.dry_run,
                ObjectAction::PrintStatus { .. }
                | ObjectAction::PrintPid { .. }
                | ObjectAction::PrintDevs { .. }
                | ObjectAction::PrintSchedule
                | ObjectAction::Ls
                | ObjectAction::Logs(_)
                | ObjectAction::Explain
                | ObjectAction::Keys { .. } => true,
                ObjectAction::Status { .. }
                | ObjectAction::PrintConfigMtime
                | ObjectAction::Frozen
                | ObjectAction::Create(_)
                | ObjectAction::Deploy(..)
                | ObjectAction::Scale { .. }
                | ObjectAction::Key(_) => false,
            },
            Self::Pool(_) | Self::Net(_) | Self::Monitor(_) => true,
            Self::RotateSecret(_) | Self::Help(_) | Self::Demo(_) | Self::Complete(_) => false,
        }
    }
}

/// `om cluster rotate secret`: gives the cluster another secret.
#[derive(Debug, Clone, PartialEq)]
pub struct RotateCommand {
    /// `--force`: without the members that are away.
    pub force: bool,
    /// `--wait`: until it is over.
    pub wait: bool,
    /// `--time`, seconds: give up waiting after.
    pub time: Option<f64>,
    /// `--server`.
    pub server: Option<String>,
    /// How the result is written.
    pub output: Output,
}

/// How results are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// `--format`: none for the text a human reads.
    pub format: Option<Format>,
    /// `--color`, default auto.
    pub color: ColorChoice,
    /// `--filter`: a JSON path; only what it selects is written.
    pub filter: Option<String>,
    /// `--debug`: logs at the debug level.
    pub debug: bool,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Sorted JSON, indented by 4.
    Json,
    /// One line per leaf: `<path> = <JSON value>`.
    FlatJson,
    /// Tables cut down to one column per node (`om mon --format compact`).
    Compact,
}

/// `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command is carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// Neither `--local` nor `--node`: the command's own default.
    #[default]
    Default,
    /// `--local`: here, in this process where that makes sense.
    Local,
    /// `--node <selector>`: on those nodes.
    Nodes(String),
}

/// `om daemon ..`.
#[derive(Debug, Clone, PartialEq)]
pub struct DaemonCommand {
    /// What to do.
    pub action: DaemonAction,
    /// Which nodes' daemons.
    pub target: Target,
    /// `--server`: a node, `raw://host[:port]`, or the path of a socket.
    pub server: Option<String>,
    /// How results are written.
    pub output: Output,
}

/// Where `join` reads the secret. What is given on the command line can be seen by every user of the machine while the
/// command runs.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `--secret S`: it is on the command line.
    Text(String),
    /// `--secret-file FILE`.
    File(String),
    /// `--secret -` or `--secret-file -`: the first line of the standard input.
    Stdin,
    /// Neither: the variable `OSVC_CLUSTER_SECRET`.
    Environment,
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Stdin => f.write_str("Stdin"),
            Self::Environment => f.write_str("Environment"),
        }
    }
}

/// `--envelope`: the dialect of a request to join (src/wire/README.md, Dialects).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvelopeChoice {
    /// That of deployed agents.
    Classic,
    /// That of this project.
    Sealed,
}

/// What `om daemon` does.
#[derive(Debug, Clone, PartialEq)]
pub enum DaemonAction {
    /// `start [--foreground] [--thread-id ID]`.
    Start {
        /// Stay in this process instead of starting one in the background.
        foreground: bool,
        /// Start this thread of the running daemon.
        thread_id: Option<String>,
    },
    /// `stop [--thread-id ID] [--session-id ID]`.
    Stop {
        /// Stop only this thread.
        thread_id: Option<String>,
        /// End only this session.
        session_id: Option<String>,
    },
    /// `restart`.
    Restart,
    /// `shutdown [--time D]`: stops the instances, then the daemon.
    Shutdown {
        /// `--time`, seconds: give up after. None: wait as long as it takes.
        time: Option<f64>,
    },
    /// `status`.
    Status,
    /// `running`: exit code 0 or 1.
    Running,
    /// `stats`.
    Stats {
        /// `--selector`: objects to report.
        selector: Option<String>,
    },
    /// `blacklist status`.
    BlacklistStatus,
    /// `blacklist clear`.
    BlacklistClear,
    /// `relay status`.
    RelayStatus,
    /// `join --node N [--secret S | --secret-file F]`: makes this node a member of N's cluster.
    Join {
        /// A member of the cluster to join: `HOST[:PORT]`.
        node: String,
        /// Where the secret of that cluster is read.
        secret: SecretSource,
        /// `--envelope`: the dialect to ask in.
        envelope: Option<EnvelopeChoice>,
        /// `--timeout`, seconds. Default 150: the other side waits 120 for the cluster lock.
        time: Option<f64>,
    },
    /// `rejoin [--node N]`: joins the own cluster again, with the secret that is known.
    Rejoin {
        /// The member to ask: `HOST[:PORT]`; none: the first that answers.
        node: Option<String>,
        /// As of `join`.
        envelope: Option<EnvelopeChoice>,
        /// As of `join`.
        time: Option<f64>,
    },
    /// `leave`: makes this node a cluster of its own.
    Leave {
        /// `--force`: also while it runs what other members may start.
        force: bool,
    },
    /// `lock show`.
    LockShow,
    /// `lock release --name N --id ID`.
    LockRelease {
        /// Name of the lock.
        name: String,
        /// Its id, as `lock show` prints it.
        id: String,
        /// `--timeout`, seconds. Default 5.
        time: Option<f64>,
    },
}

/// `om pool ..`, `om net ..`: what a node has for the services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockCommand<A> {
    /// What to do.
    pub action: A,
    /// Which nodes.
    pub target: Target,
    /// `--server`, as of the daemon commands.
    pub server: Option<String>,
    /// How results are written.
    pub output: Output,
}

/// What `om pool` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolAction {
    /// `ls`: the names.
    Ls,
    /// `status`: type, capabilities, room and volumes.
    Status {
        /// `--name`.
        name: Option<String>,
        /// `--verbose`: the volumes too.
        verbose: bool,
    },
}

/// What `om net` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetAction {
    /// `ls`: the names.
    Ls,
    /// `show`: keywords.
    Show {
        /// `--name`.
        name: Option<String>,
    },
    /// `status`: type, range and use.
    Status {
        /// `--name`.
        name: Option<String>,
    },
}

/// `om node ..`.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeCommand {
    /// What to do.
    pub action: NodeAction,
    /// Which nodes.
    pub target: Target,
    /// `--server`, as of the daemon commands.
    pub server: Option<String>,
    /// How results are written.
    pub output: Output,
}

/// What `om node` does.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeAction {
    /// `ping --node N`, `ping N`: whether the daemon there answers.
    Ping,
    /// `get`, `set`, `edit config` ..: node.conf.
    Config(ConfigAction),
    /// `freeze`: this node, or all with neither `--local` nor `--node`.
    Freeze(Wait),
    /// `thaw`.
    Thaw(Wait),
    /// `frozen`: exit code 1 if frozen.
    Frozen,
    /// `drain`: freezes, then stops the instances.
    Drain(Wait),
    /// `logs`.
    Logs(LogOptions),
    /// `events`: follows what happens.
    Events,
    /// `dequeue actions`: runs the actions queued on the collector.
    DequeueActions,
    /// `ls`: names of the cluster nodes.
    Ls,
    /// `print status`: one line per node.
    PrintStatus,
    /// `print schedule`.
    PrintSchedule,
    /// `print capabilities`, `scan capabilities`: what this agent and this machine can.
    PrintCapabilities,
    /// `wait --filter <condition>`.
    Wait {
        /// A JSON path of the cluster data, with an operator and a value.
        condition: String,
        /// `--time`, seconds. None: for ever.
        time: Option<f64>,
    },
}

/// `om <selector> ..`.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectCommand {
    /// Kind that the command names (`om vol ..`): where a plain name in the selector lies. `Svc` by default.
    pub kind: Kind,
    /// `om <selector>`, `-s <selector>`. None where all objects of the kind are meant.
    pub selector: Option<String>,
    /// `--namespace`: where relative names lie. None: `OSVC_NAMESPACE`, else root.
    pub namespace: Option<String>,
    /// `--status`: only objects whose local instance is in one of these states, comma separated.
    pub status: Option<String>,
    /// What to do.
    pub action: ObjectAction,
    /// Where.
    pub target: Target,
    /// `--server`, as of the daemon commands.
    pub server: Option<String>,
    /// How results are written.
    pub output: Output,
}

/// What is done with objects.
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectAction {
    /// An action on instances: as a target of the monitors, or here.
    Instance {
        /// Which.
        action: InstanceAction,
        /// On what, and how.
        options: ActionOptions,
        /// Whether to wait for the end.
        wait: Wait,
    },
    /// `status`: the exit code is the state of the instance.
    Status {
        /// `--refresh`: evaluate now.
        refresh: bool,
    },
    /// `print status`.
    PrintStatus {
        /// `--refresh`: evaluate now.
        refresh: bool,
        /// `--hide-disabled`.
        hide_disabled: bool,
    },
    /// `print config mtime`.
    PrintConfigMtime,
    /// `print pid`: processes of resources.
    PrintPid {
        /// `--rid`: as of `print devs`.
        rid: Option<String>,
    },
    /// `print devs`: device files that resources use.
    PrintDevs {
        /// `--rid`: ids, groups and `group.driver`, comma separated. None: all.
        rid: Option<String>,
    },
    /// `print schedule`.
    PrintSchedule,
    /// `frozen`: exit code 1 if frozen.
    Frozen,
    /// `get`, `set`, `edit config` ..: the configuration file.
    Config(ConfigAction),
    /// `create`.
    Create(CreateOptions),
    /// `deploy`: `create --provision`.
    Deploy(CreateOptions, Wait),
    /// `ls`: paths that the selector selects.
    Ls,
    /// `scale --to N`.
    Scale {
        /// Sets the keyword.
        action: ConfigAction,
        /// `--force`: also of what is no scaler.
        force: bool,
    },
    /// `logs`.
    Logs(LogOptions),
    /// `explain`: why it is where it is, and what is waited for.
    Explain,
    /// `keys`: names of the keys of a cfg, sec or usr.
    Keys {
        /// `--match`: only names that match this pattern.
        pattern: Option<String>,
    },
    /// `add`, `change`, `decode`, `remove`: one key of a cfg, sec or usr.
    Key(KeyAction),
}

/// An action on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyAction {
    /// `add`: refused if the key is there. `change`: replaced if it is.
    Set {
        /// `--key`: none only with `--from`.
        key: Option<String>,
        /// The value, or where it is.
        source: KeySource,
        /// Whether it is `change`.
        replace: bool,
    },
    /// `decode`: the value to standard output, as it is.
    Decode {
        /// `--key`.
        key: String,
    },
    /// `remove`.
    Remove {
        /// `--key`.
        key: String,
    },
}

/// Where the value of a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// `--value`.
    Value(String),
    /// `--from -`.
    Stdin,
    /// `--from` a file, or a folder: a key for each of its files.
    Path(String),
}

/// Whether, and how long, to wait for the end of what was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wait {
    /// `--wait`.
    pub wait: bool,
    /// `--time`, seconds: give up after.
    pub time: Option<f64>,
    /// `--watch`: show the monitor meanwhile, and go on after.
    pub watch: bool,
}

/// `logs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// `--follow`.
    pub follow: bool,
    /// `--backlog`: a size; all with a negative one, nothing with 0. Default 10k.
    pub backlog: Option<String>,
}

/// `om mon`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MonitorCommand {
    /// Objects to show. None: all.
    pub selector: Option<String>,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--node`: nodes to show. None: all.
    pub node: Option<String>,
    /// `--watch`.
    pub watch: bool,
    /// `--interval`, seconds. None: whenever something changes.
    pub interval: Option<f64>,
    /// `--sections`: of `threads`, `arbitrators`, `nodes`, `services`. Empty: all.
    pub sections: Vec<String>,
    /// `--server`, as of the daemon commands.
    pub server: Option<String>,
    /// How results are written.
    pub output: Output,
}

/// `om demo`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DemoCommand {
    /// `--keep`: leave the folder.
    pub keep: bool,
    /// `--interactive`: leave the node running and tell how to reach it.
    pub interactive: bool,
    /// `--serve PORT`, hidden: be the service of the demo.
    pub serve: Option<u16>,
}
