//! What an operator asks for: one value per command line.

use model::{GlobalExpect, Kind};

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
    /// `om mon`, `om <selector> monitor`: the cluster, once or as it changes.
    Monitor(MonitorCommand),
    /// `om demo`: the main job on an embedded default.
    Demo(DemoCommand),
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
    /// `join --node N --secret S`: makes this node a member of N's cluster.
    Join {
        /// A member of the cluster to join.
        node: String,
        /// The secret of that cluster.
        secret: String,
        /// `--timeout`, seconds. Default 120.
        time: Option<f64>,
    },
    /// `leave`: makes this node a cluster of its own.
    Leave,
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
    /// `print devs`: device files that resources use.
    PrintDevs,
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
    /// `logs`.
    Logs(LogOptions),
    /// `keys`: names of the keys of a cfg, sec or usr.
    Keys,
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

/// An action on the instances of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceAction {
    /// `abort`: drops the current target.
    Abort,
    /// `boot`: what a host start needs before the first evaluation.
    Boot,
    /// `clear`: forgets a failed action.
    Clear,
    /// `delete`: removes the object, or sections with `--rid`.
    Delete,
    /// `disable`.
    Disable,
    /// `enable`.
    Enable,
    /// `freeze`: blocks orchestration.
    Freeze,
    /// `giveback`: back to the best placement.
    Giveback,
    /// `provision`.
    Provision,
    /// `purge`: unprovision, then delete.
    Purge,
    /// `restart`.
    Restart,
    /// `run`: tasks, now.
    Run,
    /// `set provisioned`.
    SetProvisioned,
    /// `set unprovisioned`.
    SetUnprovisioned,
    /// `shutdown`: stop, standby resources too.
    Shutdown,
    /// `start`.
    Start,
    /// `startstandby`: standby resources only.
    Startstandby,
    /// `stop`.
    Stop,
    /// `switch`, `move`: to the node of `--to`, else to the best peer.
    Switch,
    /// `sync ..`.
    Sync(SyncAction),
    /// `takeover`: to this node.
    Takeover,
    /// `thaw`.
    Thaw,
    /// `toc`: the monitor action.
    Toc,
    /// `unprovision`.
    Unprovision,
}

/// `sync ..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncAction {
    /// `sync all`: to nodes and drpnodes.
    All,
    /// `sync nodes`.
    Nodes,
    /// `sync drp`.
    Drp,
    /// `sync update`.
    Update,
    /// `sync full`.
    Full,
}

impl InstanceAction {
    /// The word or words that name it on a command line.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Boot => "boot",
            Self::Clear => "clear",
            Self::Delete => "delete",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Freeze => "freeze",
            Self::Giveback => "giveback",
            Self::Provision => "provision",
            Self::Purge => "purge",
            Self::Restart => "restart",
            Self::Run => "run",
            Self::SetProvisioned => "set provisioned",
            Self::SetUnprovisioned => "set unprovisioned",
            Self::Shutdown => "shutdown",
            Self::Start => "start",
            Self::Startstandby => "startstandby",
            Self::Stop => "stop",
            Self::Switch => "switch",
            Self::Sync(SyncAction::All) => "sync all",
            Self::Sync(SyncAction::Nodes) => "sync nodes",
            Self::Sync(SyncAction::Drp) => "sync drp",
            Self::Sync(SyncAction::Update) => "sync update",
            Self::Sync(SyncAction::Full) => "sync full",
            Self::Takeover => "takeover",
            Self::Thaw => "thaw",
            Self::Toc => "toc",
            Self::Unprovision => "unprovision",
        }
    }

    /// The target that a bare command sets for the whole object, none for actions that run where they are typed
    /// (orchestration.md §12). `local` is this node's name, for `takeover`.
    #[must_use]
    pub fn target(self, options: &ActionOptions, local: &str) -> Option<GlobalExpect> {
        let target = match self {
            Self::Abort => GlobalExpect::Aborted,
            Self::Delete if options.unprovision => GlobalExpect::Purged,
            Self::Delete => GlobalExpect::Deleted,
            Self::Freeze => GlobalExpect::Frozen,
            Self::Giveback => GlobalExpect::Placed,
            Self::Provision => GlobalExpect::Provisioned,
            Self::Purge => GlobalExpect::Purged,
            Self::Restart => GlobalExpect::Restarted(None),
            Self::Shutdown => GlobalExpect::Shutdown,
            Self::Start => GlobalExpect::Started,
            Self::Stop => GlobalExpect::Stopped,
            Self::Switch => {
                GlobalExpect::PlacedAt(options.to.as_deref().unwrap_or("<peer>").into())
            }
            Self::Takeover => GlobalExpect::PlacedAt(local.into()),
            Self::Thaw => GlobalExpect::Thawed,
            Self::Unprovision => GlobalExpect::Unprovisioned,
            Self::Boot
            | Self::Clear
            | Self::Disable
            | Self::Enable
            | Self::Run
            | Self::SetProvisioned
            | Self::SetUnprovisioned
            | Self::Startstandby
            | Self::Sync(_)
            | Self::Toc => return None,
        };
        Some(target)
    }
}

/// On which resources an action works, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ActionOptions {
    /// `--rid`: resource ids, groups, `group.driver`, comma separated.
    pub rid: Option<String>,
    /// `--tags`: `a,b` or, `a+b` and.
    pub tags: Option<String>,
    /// `--subsets`, comma separated.
    pub subsets: Option<String>,
    /// `--upto`: the last resource or group to start.
    pub upto: Option<String>,
    /// `--downto`: the last resource or group to stop.
    pub downto: Option<String>,
    /// `--to`: destination node of a switch.
    pub to: Option<String>,
    /// `--force`.
    pub force: bool,
    /// `--dry-run`: tell what would be done.
    pub dry_run: bool,
    /// `--leader`: this instance provisions what is shared.
    pub leader: bool,
    /// `--disable-rollback`.
    pub disable_rollback: bool,
    /// `--parallel`: several objects at a time.
    pub parallel: bool,
    /// `--waitlock`, seconds: how long to wait for the action lock. None: keyword `lock_timeout`.
    pub waitlock: Option<f64>,
    /// `--nolock`: take no action lock.
    pub nolock: bool,
    /// `--cron`: run by the scheduler.
    pub cron: bool,
    /// `--confirm`: runs tasks that ask for a confirmation.
    pub confirm: bool,
    /// `--master`: resources of this object, not of its slaves.
    pub master: bool,
    /// `--slaves`: resources of all slaves.
    pub slaves: bool,
    /// `--slave`: resources of these slaves, comma separated.
    pub slave: Option<String>,
    /// `--unprovision`: of a delete.
    pub unprovision: bool,
    /// `--purge-collector`: of a delete.
    pub purge_collector: bool,
    /// `--reason`: noted in the log.
    pub reason: Option<String>,
    /// `--env`: `NAME=value` for the environment of what is run.
    pub env: Vec<(String, String)>,
}

impl ActionOptions {
    /// Whether only some resources are meant.
    #[must_use]
    pub fn has_filter(&self) -> bool {
        self.rid.is_some()
            || self.tags.is_some()
            || self.subsets.is_some()
            || self.upto.is_some()
            || self.downto.is_some()
    }

    /// Whether a command with these options acts here instead of setting a target.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.has_filter()
            || self.master
            || self.slaves
            || self.slave.is_some()
            || self.dry_run
            || self.cron
    }
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

/// Work on a configuration file.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigAction {
    /// `get --kw K`: the raw value, or the evaluated one with `--eval`.
    Get {
        /// Keywords, `[section.]keyword[@scope]`.
        keywords: Vec<String>,
        /// `--eval`.
        eval: bool,
        /// `--impersonate`: as that node would see it.
        impersonate: Option<String>,
    },
    /// `set --kw K=V`.
    Set {
        /// Expressions `[section.]keyword[@scope][[index]]<op>value`, `--param/--value` and kin included.
        edits: Vec<Edit>,
        /// `--eval`: the operators start from the evaluated value.
        eval: bool,
    },
    /// `unset --kw K`.
    Unset {
        /// Keywords to remove.
        keywords: Vec<String>,
    },
    /// `print config`.
    Print {
        /// `--eval`.
        eval: bool,
        /// `--impersonate`.
        impersonate: Option<String>,
    },
    /// `edit config`.
    Edit {
        /// `--recover`: go on with the copy an earlier edit left.
        recover: bool,
        /// `--discard`: start over.
        discard: bool,
    },
    /// `validate config`: the exit code counts errors and warnings.
    Validate,
}

/// One expression of `set`, as text for the configuration language: `section.keyword[@scope][[index]]<op>value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit(pub String);

/// `create`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CreateOptions {
    /// `--config`, `--template`.
    pub source: ConfigSource,
    /// `--kw`: set in the new file.
    pub keywords: Vec<Edit>,
    /// `--env`: keywords of the section `env`.
    pub env: Vec<(String, String)>,
    /// `--resource`: sections, each a JSON object with `rtype` and `type`.
    pub resources: Vec<String>,
    /// `--provision`: then provision and start.
    pub provision: bool,
    /// `--leader`: as of provision.
    pub leader: bool,
    /// `--disable-rollback`: as of provision.
    pub disable_rollback: bool,
    /// `--restore`: keep the id of the source.
    pub restore: bool,
    /// `--force`: replace an existing object, accept an invalid configuration.
    pub force: bool,
}

/// Where a new configuration comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ConfigSource {
    /// Nothing but `--kw`.
    #[default]
    None,
    /// `--config -`: JSON or ini on standard input.
    Stdin,
    /// `--config <file|uri|selector>`.
    Config(String),
    /// `--template <name|id|file>`.
    Template(String),
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
