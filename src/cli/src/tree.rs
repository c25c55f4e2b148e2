//! The groups and actions of the command line: which words, which options, what for.
//!
//! Long, because it is one table: each row is an action.

/// One action of a group.
pub(crate) struct Action {
    /// Its words, one blank between.
    pub(crate) words: &'static str,
    /// Older or shorter spellings.
    pub(crate) aliases: &'static [&'static str],
    /// For `--help`.
    pub(crate) about: &'static str,
    /// Names of its options beside the group's.
    pub(crate) options: &'static [&'static [&'static str]],
    /// An operand that may follow the words, by its name.
    pub(crate) operand: Option<&'static str>,
}

/// A first word, and the actions that follow it.
pub(crate) struct Group {
    /// The word.
    pub(crate) name: &'static str,
    /// For `--help`.
    pub(crate) about: &'static str,
    /// Names of the options that all its actions have.
    pub(crate) options: &'static [&'static str],
    /// Its actions.
    pub(crate) actions: &'static [&'static [Action]],
}

const fn action(
    words: &'static str,
    about: &'static str,
    options: &'static [&'static [&'static str]],
) -> Action {
    Action { words, aliases: &[], about, options, operand: None }
}

const fn alias(action: Action, aliases: &'static [&'static str]) -> Action {
    Action { aliases, ..action }
}

const fn operand(action: Action, operand: &'static str) -> Action {
    Action { operand: Some(operand), ..action }
}

const NODE: &[&str] =
    &["color", "format", "filter", "debug", "local", "node", "server", "cacert", "daemon"];
const OBJECT: &[&str] = &[
    "color",
    "format",
    "filter",
    "debug",
    "local",
    "node",
    "server",
    "cacert",
    "service",
    "namespace",
    "status",
    "parallel",
    "waitlock",
    "env",
    "daemon",
];
const WAIT: &[&str] = &["wait", "time", "watch", "interval", "stats"];
/// Of what ends when it is done.
const DONE: &[&str] = &["wait", "time"];
const RESOURCES: &[&str] = &["rid", "tags", "subsets", "master", "slaves", "slave"];
const RUN: &[&str] = &["force", "dry-run", "nolock", "cron", "reason"];
const SET: &[&str] =
    &["kw", "unset", "param", "value", "add", "remove", "index", "eval", "force", "nolock"];
const GET: &[&str] = &["kw", "param", "eval", "impersonate"];
const VALUE: &[&str] = &["key", "value", "from"];
const LOGS: &[&str] =
    &["follow", "backlog", "since", "until", "level", "grep", "verbose", "no-pager"];
const CREATE: &[&str] = &[
    "config",
    "template",
    "kw",
    "resource",
    "provision",
    "leader",
    "disable-rollback",
    "restore",
    "force",
    "nolock",
];

const CONFIG_ACTIONS: &[Action] = &[
    operand(action("get", "Print the value of keywords", &[GET]), "KEYWORD"),
    operand(action("eval", "Print the evaluated value of keywords", &[GET]), "KEYWORD"),
    operand(action("set", "Set keywords", &[SET]), "EXPRESSION"),
    operand(action("unset", "Unset keywords", &[&["kw", "param", "force", "nolock"]]), "KEYWORD"),
    alias(
        action("print config", "Print the configuration", &[&["eval", "impersonate"]]),
        &["config print"],
    ),
    alias(
        action(
            "edit config",
            "Edit the configuration in $EDITOR, show what changes, validate, install",
            &[&["recover", "discard", "force"]],
        ),
        &["config edit"],
    ),
    alias(
        action(
            "validate config",
            "Check the configuration: the exit code counts what is wrong",
            &[],
        ),
        &["config validate"],
    ),
    action("config history", "List the last versions of the configuration that this node has", &[]),
    operand(
        action("config show", "Show a version, or what it changed, without secrets", &[&["diff"]]),
        "NUMBER",
    ),
    operand(
        action(
            "config revert",
            "Install an older version as a new edit: the last one, or that of the number",
            &[&["force"]],
        ),
        "NUMBER",
    ),
    operand(
        action("doc", "Tell what keywords are for: app, app.restart, or all sections", &[]),
        "NAME",
    ),
];

const INSTANCE_ACTIONS: &[Action] = &[
    action("start", "Start", &[WAIT, RESOURCES, RUN, &["upto", "disable-rollback"]]),
    action("stop", "Stop", &[WAIT, RESOURCES, RUN, &["downto"]]),
    action(
        "restart",
        "Stop, then start where it runs",
        &[WAIT, RESOURCES, RUN, &["upto", "downto", "disable-rollback"]],
    ),
    action(
        "startstandby",
        "Start the standby resources",
        &[DONE, RESOURCES, RUN, &["upto", "disable-rollback"]],
    ),
    action("shutdown", "Stop, standby resources too", &[WAIT, RESOURCES, RUN, &["downto"]]),
    alias(
        action(
            "switch",
            "Move to another node: --to, or the best peer",
            &[WAIT, RUN, &["to", "disable-rollback"]],
        ),
        &["move"],
    ),
    action("takeover", "Move to this node", &[WAIT, RUN, &["disable-rollback"]]),
    action("giveback", "Move to the best placement", &[WAIT, RUN, &["disable-rollback"]]),
    action("freeze", "Block orchestration", &[WAIT, RUN]),
    action("thaw", "Allow orchestration again", &[WAIT, RUN]),
    action(
        "provision",
        "Allocate what the resources need, and start",
        &[WAIT, RESOURCES, RUN, &["leader", "disable-rollback", "upto"]],
    ),
    action(
        "unprovision",
        "Stop, and free what the resources hold: data is lost",
        &[WAIT, RESOURCES, RUN, &["leader", "downto"]],
    ),
    action(
        "purge",
        "Unprovision, then delete: data is lost",
        &[WAIT, RESOURCES, RUN, &["leader", "purge-collector"]],
    ),
    action(
        "delete",
        "Delete the object on all its nodes, or sections of it with --rid. What runs is stopped with --force, else refused",
        &[WAIT, RESOURCES, RUN, &["unprovision", "purge-collector", "leader"]],
    ),
    action("scale", "Set how many slices a scaler has: --to NUMBER", &[&["to", "force", "nolock"]]),
    action("abort", "Drop the current target", &[WAIT, RUN]),
    action("clear", "Forget failed actions and used up restarts", &[WAIT, RUN]),
    action("set provisioned", "Declare resources provisioned", &[DONE, RESOURCES, RUN]),
    action("set unprovisioned", "Declare resources unprovisioned", &[DONE, RESOURCES, RUN]),
    action("enable", "Enable the object, or resources with --rid", &[DONE, RESOURCES, RUN]),
    action("disable", "Disable the object, or resources with --rid", &[DONE, RESOURCES, RUN]),
    action("run", "Run tasks now", &[DONE, RESOURCES, RUN, &["confirm"]]),
    action("toc", "Run the monitor action", &[DONE, RUN]),
    action("boot", "Clean up after a host start", &[DONE, RUN]),
    action("sync all", "Replicate to nodes and drpnodes", &[DONE, RESOURCES, RUN]),
    alias(action("sync nodes", "Replicate to nodes", &[DONE, RESOURCES, RUN]), &["syncnodes"]),
    alias(action("sync drp", "Replicate to drpnodes", &[DONE, RESOURCES, RUN]), &["syncdrp"]),
    action("sync update", "Replicate what changed", &[DONE, RESOURCES, RUN]),
    action("sync full", "Replicate everything", &[DONE, RESOURCES, RUN]),
];

const OBJECT_ACTIONS: &[Action] = &[
    action(
        "status",
        "The exit code tells the state: 0 up, 1 down, 2 warn, 3 n/a ..",
        &[&["refresh", "cron"]],
    ),
    action(
        "print status",
        "Show the instance and its resources",
        &[&["refresh", "hide-disabled", "show-disabled"]],
    ),
    action("print config mtime", "Print when the configuration changed", &[]),
    action("print devs", "Print the devices of the resources", &[RESOURCES]),
    alias(
        action("print pid", "Print the processes of the resources here", &[&["rid"]]),
        &["pg pids"],
    ),
    action("print schedule", "Print what the scheduler runs, and when", &[&["verbose"]]),
    action("frozen", "The exit code tells: 1 frozen, 0 thawed", &[]),
    action(
        "drill",
        "Move it to another node and back, and measure for how long it did not answer",
        &[&["probe", "run", "to", "stay", "force", "dry-run", "time"]],
    ),
    action("explain", "Tell why it is where it is, and what is waited for", &[]),
    action(
        "history",
        "Tell what happened, on all nodes or those of --node, and for how long it was down",
        &[&["since", "verbose"]],
    ),
    action("ls", "List the objects", &[]),
    action("monitor", "Show the cluster", &[&["watch", "interval", "stats", "sections"]]),
    action("logs", "Print the log", &[LOGS]),
    operand(action("create", "Create", &[CREATE]), "PATH"),
    operand(action("deploy", "Create, provision and start", &[CREATE, WAIT]), "PATH"),
    action("keys", "List the keys of a cfg, sec or usr", &[&["match"]]),
];

const KEY_ACTIONS: &[Action] = &[
    action("add", "Add a key: --key NAME --value VALUE, or --from FILE", &[VALUE]),
    action("change", "Replace the value of a key, or add it", &[VALUE]),
    action("decode", "Print the value of a key, as it is", &[&["key"]]),
    action("remove", "Remove a key", &[&["key"]]),
];

const CERTIFICATE_ACTIONS: &[Action] = &[
    action("gen cert", "Make its private key and certificate, as its keywords say", &[]),
    action("fullpem", "Print private key and certificates, made first if there are none", &[]),
    action("pkcs12", "Print them as PKCS#12, for browsers and keystores", &[&["password"]]),
    action("revoke", "Have its authority revoke the certificate, and list it as revoked", &[]),
];

const DAEMON_ACTIONS: &[Action] = &[
    action("start", "Start the daemon, or a thread of it", &[&["foreground", "thread-id"]]),
    action(
        "stop",
        "Stop the daemon and leave the instances running, or stop a thread",
        &[&["thread-id", "session-id"]],
    ),
    action("restart", "Stop, then start", &[]),
    action("shutdown", "Stop the instances, then the daemon", &[&["time"]]),
    action("status", "Show threads, nodes and services", &[]),
    action("running", "The exit code tells: 0 running, 1 not", &[]),
    action("stats", "Show what the daemon and the objects use", &[&["service"]]),
    action("blacklist status", "Show the senders whose messages do not open", &[]),
    action("blacklist clear", "Forget them", &[]),
    action("relay status", "Show the heartbeat relay", &[]),
    action(
        "join",
        "Make this node a member of the cluster of --node",
        &[&["secret", "secret-file", "envelope", "timeout"]],
    ),
    action("rejoin", "Join the own cluster again", &[&["envelope", "timeout"]]),
    action("leave", "Make this node a cluster of its own", &[&["force"]]),
    action("lock show", "Show the cluster locks", &[]),
    action("lock release", "Release a cluster lock", &[&["name", "id", "timeout"]]),
];

/// Of the command that has two names.
pub(crate) const DOCTOR: &str =
    "Check this node, or those of --node: what is wrong, and what mends it";

/// Of the full-screen monitor.
pub(crate) const TOP: &str = "Watch the cluster on a full screen, look into objects, act on them";

/// Of the command that has two names.
pub(crate) const SUPPORT: &str =
    "Write an archive for who helps: configurations without secrets, states, logs, histories";

const NODE_ACTIONS: &[Action] = &[
    operand(action("ping", "Whether the daemon of a node answers", &[]), "NODE"),
    action("freeze", "Block orchestration: here with --local, else on all nodes", &[WAIT]),
    action("thaw", "Allow orchestration again", &[WAIT]),
    action("frozen", "The exit code tells: 1 frozen, 0 thawed", &[]),
    action(
        "drain",
        "Freeze, and stop the instances; --dry-run tells what would become of them",
        &[WAIT, &["dry-run"]],
    ),
    action(
        "exec",
        "Run a command and keep its result, as `om cluster roll --run` does",
        &[&["id", "run"]],
    ),
    action("logs", "Print the node log", &[LOGS]),
    action("events", "Follow what happens on all nodes, or on those of --node, as JSON", &[]),
    action("dequeue actions", "Run the actions queued on the collector", &[&["cron"]]),
    action("ls", "List the nodes", &[]),
    action("print status", "Show the nodes", &[]),
    action("print schedule", "Print what the scheduler runs, and when", &[&["verbose"]]),
    action("print boot", "Print the boot of the machine, and whether it wants a reboot", &[]),
    action("print capabilities", "Print what this agent and this machine can do", &[]),
    action("doctor", DOCTOR, &[]),
    action("support", SUPPORT, &[&["output"]]),
    action(
        "history",
        "Tell what happened to this node, or to those of --node",
        &[&["since", "verbose"]],
    ),
    action("scan capabilities", "Look for them anew, and print them", &[]),
    action(
        "wait",
        "Wait for a condition on the cluster data: --filter '$.monitor.nodes.n1.frozen=0'",
        &[&["time", "verbose"]],
    ),
];

const POOL_ACTIONS: &[Action] = &[
    action("ls", "List the pools", &[]),
    action("status", "Show type, capabilities, room and volumes", &[&["name", "verbose"]]),
];

const NET_ACTIONS: &[Action] = &[
    action("ls", "List the networks", &[]),
    action("show", "Show the configuration of the networks", &[&["name"]]),
    action("status", "Show type, range and use of the networks", &[&["name", "verbose"]]),
];

const CLUSTER_ACTIONS: &[Action] = &[
    action("freeze", "Block orchestration on all nodes", &[WAIT]),
    action("thaw", "Allow orchestration again", &[WAIT]),
    action(
        "print status",
        "Show threads, nodes and services",
        &[&["refresh", "hide-disabled", "show-disabled"]],
    ),
    action("ls", "Print the object of its configuration", &[]),
    action("print config mtime", "Print when the configuration changed", &[]),
    action("logs", "Print the log", &[LOGS]),
    action("delete", "Delete sections of the configuration: --rid hb#2", &[&["rid", "force"]]),
    action(
        "whatif",
        "Tell what would become of the services if the nodes of --down died",
        &[&["down"]],
    ),
    action(
        "roll",
        "Node by node: drain, --reboot or --run a command, wait until healthy, thaw",
        &[&[
            "reboot", "run", "nodes", "all", "resume", "discard", "dry-run", "yes", "force", "time",
        ]],
    ),
    action(
        "rotate secret",
        "Give the cluster another secret, which all nodes have before it is used",
        &[&["wait", "time", "force"]],
    ),
    action("tls", "Make the authority and the certificate of the TLS listener, if missing", &[]),
];

/// All groups.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        name: "daemon",
        about: "The daemon and its threads",
        options: NODE,
        actions: &[DAEMON_ACTIONS],
    },
    Group {
        name: "node",
        about: "This node: state, configuration, log",
        options: NODE,
        actions: &[NODE_ACTIONS, CONFIG_ACTIONS],
    },
    Group {
        name: "cluster",
        about: "The cluster configuration",
        options: OBJECT,
        actions: &[CLUSTER_ACTIONS, CONFIG_ACTIONS],
    },
    Group {
        name: "pool",
        about: "Pools, of which volumes are made",
        options: NODE,
        actions: &[POOL_ACTIONS],
    },
    Group { name: "net", about: "Networks of the nodes", options: NODE, actions: &[NET_ACTIONS] },
    Group {
        name: "svc",
        about: "Services, selected with -s",
        options: OBJECT,
        actions: &[OBJECT_ACTIONS, INSTANCE_ACTIONS, CONFIG_ACTIONS],
    },
    Group {
        name: "vol",
        about: "Volumes, selected with -s",
        options: OBJECT,
        actions: &[OBJECT_ACTIONS, INSTANCE_ACTIONS, CONFIG_ACTIONS],
    },
    Group {
        name: "cfg",
        about: "Configuration keys, selected with -s",
        options: OBJECT,
        actions: &[KEY_ACTIONS, OBJECT_ACTIONS, INSTANCE_ACTIONS, CONFIG_ACTIONS],
    },
    Group {
        name: "sec",
        about: "Secret keys, selected with -s",
        options: OBJECT,
        actions: &[
            KEY_ACTIONS,
            CERTIFICATE_ACTIONS,
            OBJECT_ACTIONS,
            INSTANCE_ACTIONS,
            CONFIG_ACTIONS,
        ],
    },
    Group {
        name: "usr",
        about: "Users, selected with -s",
        options: OBJECT,
        actions: &[
            KEY_ACTIONS,
            CERTIFICATE_ACTIONS,
            OBJECT_ACTIONS,
            INSTANCE_ACTIONS,
            CONFIG_ACTIONS,
        ],
    },
    Group {
        name: "nscfg",
        about: "Namespace configurations, selected with -s",
        options: OBJECT,
        actions: &[OBJECT_ACTIONS, INSTANCE_ACTIONS, CONFIG_ACTIONS],
    },
];

pub(crate) const MON_OPTIONS: &[&str] = &[
    "service",
    "namespace",
    "node",
    "watch",
    "interval",
    "stats",
    "sections",
    "server",
    "cacert",
    "color",
    "format",
    "filter",
    "debug",
];
pub(crate) const TOP_OPTIONS: &[&str] = &["server", "cacert", "color", "debug"];
pub(crate) const LS_OPTIONS: &[&str] = OBJECT;
pub(crate) const DOC_OPTIONS: &[&str] = &["color", "format", "filter", "debug"];
pub(crate) const API_OPTIONS: &[&str] = &["server", "cacert", "color", "format", "filter", "debug"];
pub(crate) const DEMO_OPTIONS: &[&str] = &["keep", "interactive", "serve", "color", "debug"];

/// The first words of the command line that name a group.
pub fn group_names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|group| group.name)
}

impl Group {
    /// The group of that first word.
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        GROUPS.iter().find(|group| group.name == name)
    }

    /// Names of all options of an action.
    pub(crate) fn names(&self, action: &Action) -> Vec<&'static str> {
        let own = || action.options.iter().flat_map(|names| names.iter()).copied();
        own()
            .chain(self.options.iter().copied().filter(|name| own().all(|own| own != *name)))
            .collect()
    }

    /// Whether an action means something for its objects: what holds data runs nowhere.
    pub(crate) fn shows(&self, action: &Action) -> bool {
        let is_data = matches!(self.name, "cfg" | "sec" | "usr" | "nscfg");
        let of_data = ["create", "delete", "ls", "logs", "keys", "print config mtime", "monitor"];
        let runs = [OBJECT_ACTIONS, INSTANCE_ACTIONS].iter().flat_map(|actions| actions.iter());
        let mut runs = runs.filter(|action| !of_data.contains(&action.words));
        !is_data || runs.all(|other| other.words != action.words)
    }

    /// All its actions.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Action> {
        self.actions.iter().flat_map(|actions| actions.iter())
    }

    /// Whether an action has that option.
    pub(crate) fn takes(&self, action: &Action, name: &str) -> bool {
        self.options
            .iter()
            .chain(action.options.iter().copied().flatten())
            .any(|each| *each == name)
    }

    /// The longest action that `words` begin with, and how many words that takes.
    pub(crate) fn find(&self, words: &[&str]) -> Option<(&'static Action, usize)> {
        (1..=words.len().min(3)).rev().find_map(|count| {
            let joined = words[..count].join(" ");
            self.all()
                .find(|action| action.words == joined || action.aliases.contains(&joined.as_str()))
                .map(|action| (action, count))
        })
    }
}
