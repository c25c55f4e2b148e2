//! What an operator asks for: one value per command line.
//!
//! Long, because it is one vocabulary: every command is a value of it, and is found by reading on.

pub(crate) mod config;
pub(crate) mod operations;
pub(crate) mod output;

use model::{ActionOptions, InstanceAction, Kind};

pub use config::{ConfigAction, ConfigSource, CreateOptions, Edit};
pub use operations::{DrillOptions, Probe, RollCommand, RollWork, WhatIfCommand};
pub use output::{ColorChoice, Format, Output};

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
    /// `om cluster whatif`.
    WhatIf(WhatIfCommand),
    /// `om cluster roll`.
    Roll(RollCommand),
    /// `om pool ..`: where volumes are made.
    Pool(StockCommand<PoolAction>),
    /// `om net ..`: networks of the nodes.
    Net(StockCommand<NetAction>),
    /// `om mon`, `om <selector> monitor`: the cluster, once or as it changes.
    Monitor(MonitorCommand),
    /// `om top`: the cluster on a full screen.
    Top(TopCommand),
    /// `om demo`: the main job on an embedded default.
    Demo(DemoCommand),
    /// `om doc`, `om svc doc`: what keywords are for.
    Doc(DocCommand),
    /// `om api`: what the daemon answers over HTTP.
    Api(ApiCommand),
    /// `om ctx`: which cluster is asked from this machine.
    Context(ContextCommand),
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
            Self::WhatIf(command) => &command.output,
            Self::Roll(command) => &command.output,
            Self::Doc(command) => &command.output,
            Self::Top(command) => &command.output,
            Self::Api(command) => &command.output,
            Self::Context(command) => &command.output,
            Self::Help(_) | Self::Demo(_) | Self::Complete(_) => return None,
        };
        output.filter.as_deref()
    }

    /// The daemon that a command asks, where it may be another machine's: not for what is done on this one.
    pub fn server_mut(&mut self) -> Option<&mut Option<String>> {
        match self {
            Self::Daemon(command) if command.target != Target::Local => match command.action {
                DaemonAction::Status
                | DaemonAction::Stats { .. }
                | DaemonAction::BlacklistStatus
                | DaemonAction::RelayStatus
                | DaemonAction::LockShow => Some(&mut command.server),
                _ => None,
            },
            Self::Node(command) if command.target != Target::Local => Some(&mut command.server),
            Self::Pool(command) if command.target != Target::Local => Some(&mut command.server),
            Self::Net(command) if command.target != Target::Local => Some(&mut command.server),
            Self::Object(command) if command.target != Target::Local => Some(&mut command.server),
            Self::Monitor(command) => Some(&mut command.server),
            Self::Top(command) => Some(&mut command.server),
            Self::Api(command) => Some(&mut command.server),
            Self::WhatIf(command) => Some(&mut command.server),
            Self::RotateSecret(command) => Some(&mut command.server),
            _ => None,
        }
    }

    /// Whether the command writes data that `--filter` can select from: where not, it is refused.
    #[must_use]
    pub fn writes_data(&self) -> bool {
        let writes = |action: &ConfigAction| {
            matches!(
                action,
                ConfigAction::Get { .. } | ConfigAction::Print { .. } | ConfigAction::History
            )
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
                | NodeAction::Doctor
                | NodeAction::History(_)
                | NodeAction::PrintBoot
                | NodeAction::Drain { dry_run: true, .. }
                // Its filter is its condition.
                | NodeAction::Wait { .. } => true,
                NodeAction::Ping
                | NodeAction::Freeze(_)
                | NodeAction::Thaw(_)
                | NodeAction::Frozen
                | NodeAction::Support { .. }
                | NodeAction::Drain { dry_run: false, .. }
                | NodeAction::Exec { .. }
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
                | ObjectAction::History(_)
                | ObjectAction::Drill(_)
                | ObjectAction::Keys { .. } => true,
                ObjectAction::Status { .. }
                | ObjectAction::PrintConfigMtime
                | ObjectAction::Frozen
                | ObjectAction::Create(_)
                | ObjectAction::Deploy(..)
                | ObjectAction::Scale { .. }
                | ObjectAction::Key(_)
                | ObjectAction::Certificate(_)
                | ObjectAction::ClusterTls => false,
            },
            Self::Pool(_) | Self::Net(_) | Self::Monitor(_) | Self::WhatIf(_) | Self::Roll(_) => {
                true
            }
            Self::Doc(command) => !command.is_page,
            Self::RotateSecret(_)
            | Self::Top(_)
            | Self::Help(_)
            | Self::Demo(_)
            | Self::Complete(_) => false,
            Self::Api(_) => true,
            Self::Context(command) => command.action == ContextAction::Ls,
        }
    }
}

/// `om top`: the cluster on a full screen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopCommand {
    /// Objects to show. None: all.
    pub selector: Option<String>,
    /// `--server`.
    pub server: Option<String>,
    /// Colours.
    pub output: Output,
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

/// `om ctx ..`: the clusters that are asked from this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextCommand {
    /// What to do.
    pub action: ContextAction,
    /// How the answer is written.
    pub output: Output,
}

/// What `om ctx` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextAction {
    /// Lists them.
    Ls,
    /// Has commands ask this one.
    Use(String),
    /// Has commands ask the daemon of this machine again.
    Unset,
}

/// `om api [PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiCommand {
    /// The path, with its query; none: all paths.
    pub path: Option<String>,
    /// `--server`.
    pub server: Option<String>,
    /// How the answer is written.
    pub output: Output,
}

/// `om doc [NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocCommand {
    /// Which configurations are asked about.
    pub book: conf::Book,
    /// A section, a keyword, or both; none: the sections.
    pub name: Option<String>,
    /// `--format man`: the manual page `om-keywords(5)`.
    pub is_page: bool,
    /// How the answer is written.
    pub output: Output,
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
    Drain {
        /// Whether to wait for the end.
        wait: Wait,
        /// `--dry-run`: tell what would become of the services.
        dry_run: bool,
    },
    /// `exec --id ID [--run CMD]`: runs a command and keeps its result, or tells that.
    Exec {
        /// `--id`: the name of the node, a dot, and what tells commands apart.
        id: String,
        /// `--run`: none: tells the result.
        run: Option<String>,
    },
    /// `print boot`: the boot of the machine, and whether it wants another one.
    PrintBoot,
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
    /// `doctor`: what is wrong with the node, or soon will be, and what mends it.
    Doctor,
    /// `history`: what happened to the node.
    History(HistoryOptions),
    /// `support`: an archive for who helps.
    Support {
        /// `--output`: where it is written. None: a name of its own, here.
        file: Option<String>,
    },
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
    /// `history`: what happened to it, why, and for how long it was down.
    History(HistoryOptions),
    /// `drill`: fails it over, measures, puts it back.
    Drill(DrillOptions),
    /// `keys`: names of the keys of a cfg, sec or usr.
    Keys {
        /// `--match`: only names that match this pattern.
        pattern: Option<String>,
    },
    /// `add`, `change`, `decode`, `remove`: one key of a cfg, sec or usr.
    Key(KeyAction),
    /// `gen cert`, `fullpem`, `pkcs12`, `revoke` of a sec or usr.
    Certificate(CertificateAction),
    /// `om cluster tls`: what the TLS listener of the cluster needs.
    ClusterTls,
}

/// An action on the certificate of a sec or usr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateAction {
    /// `gen cert`: made anew.
    Generate,
    /// `fullpem`: private key and chain to standard output.
    Fullpem,
    /// `pkcs12`: the same as one file.
    Pkcs12 {
        /// `--password`.
        password: PasswordSource,
    },
    /// `revoke`.
    Revoke,
}

/// Where the password of a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// `--password`.
    Text(String),
    /// `--password -`.
    Stdin,
    /// Asked.
    Terminal,
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
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogOptions {
    /// `--follow`.
    pub follow: bool,
    /// `--backlog`: a size; all with a negative one, nothing with 0. Default 10k, all with what leaves entries out.
    pub backlog: Option<String>,
    /// `--since`: a length of time, or a time.
    pub since: Option<LogTime>,
    /// `--until`.
    pub until: Option<LogTime>,
    /// `--level`: the least important one.
    pub level: Option<String>,
    /// `--grep`: a regular expression.
    pub grep: Option<String>,
    /// `--verbose`: on a terminal as in the files, with session and process.
    pub is_verbose: bool,
}

/// A time that an operator names.
#[derive(Debug, Clone, PartialEq)]
pub enum LogTime {
    /// So many seconds ago.
    Ago(f64),
    /// As a clock on the wall shows it: `2026-11-29 17:30`, or `17:30` of today.
    At(String),
}

/// `history`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HistoryOptions {
    /// `--since`, seconds: how far back. None: as far as it is kept.
    pub since: Option<f64>,
    /// `--verbose`: details too.
    pub is_verbose: bool,
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
