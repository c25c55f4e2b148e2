//! What `om doctor` looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Check, NodeName, SecretUse};

/// The daemon of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Daemon {
    /// It answers.
    Answers,
    /// It runs and does not answer.
    Silent {
        /// Its process.
        pid: u32,
    },
    /// None runs.
    Stopped,
    /// It cannot be told.
    Unseen {
        /// Why.
        reason: String,
    },
}

/// A name that the configuration calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub name: String,
    /// The keyword that gives an address instead.
    pub keyword: String,
    /// Why it means no address; none where it means one.
    pub error: Option<String>,
}

/// What a member answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Whom.
    pub node: NodeName,
    /// By how many seconds its clock is ahead of ours at least, where it tells, or why it does not answer.
    pub answer: Result<Option<f64>, String>,
}

/// The port of the listener, here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The port.
    pub port: u16,
    /// Who listens there, as far as that can be told.
    pub held: Held,
}

/// Who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Nobody.
    Free,
    /// The daemon, or somebody who cannot be seen.
    Ours,
    /// Another process.
    Other {
        /// Who, for a reader.
        who: String,
    },
}

/// A program that a resource of this node calls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tool {
    /// The program.
    pub tool: String,
    /// The resource does nothing without it, and somebody asked for the resource.
    pub is_required: bool,
    /// The resource, `web fs#1`.
    pub resource: String,
}

/// A mistake of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What shows all of them: `om web validate config`.
    pub command: String,
    /// What is wrong.
    pub text: String,
    /// The file is not in force, or a keyword of it is not.
    pub is_error: bool,
}

/// The file system of a folder of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The folder.
    pub folder: String,
    /// Its size.
    pub size_bytes: u64,
    /// What may still be written.
    pub free_bytes: u64,
    /// Files that may still be made; none where the file system does not count them.
    pub free_files: Option<u64>,
}

/// A certificate among the keys of the node.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// The object.
    pub path: String,
    /// The key.
    pub key: String,
    /// Until it ends; negative once it has.
    pub seconds_left: f64,
    /// How long before its end it is told.
    pub told_seconds: f64,
    /// What mends it.
    pub remedy: String,
}

/// All that is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The node.
    pub nodename: NodeName,
    /// The daemon.
    pub daemon: Daemon,
    /// Keyword `cluster.nodes`.
    pub members: Vec<NodeName>,
    /// Keyword `cluster.quorum`.
    pub has_quorum: bool,
    /// The arbitrators, and whether the daemon reaches them; none where it does not tell.
    pub arbitrators: BTreeMap<String, Option<bool>>,
    /// The participants of each heartbeat.
    pub heartbeats: BTreeMap<String, BTreeSet<NodeName>>,
    /// Whom each heartbeat hears, as the daemon tells.
    pub hearing: BTreeMap<String, BTreeMap<NodeName, bool>>,
    /// Names that are called.
    pub names: Vec<Name>,
    /// Where the other members look for this node, where that is no address of this machine: the name, and the address.
    pub elsewhere: Option<(String, std::net::IpAddr)>,
    /// The other members that were asked.
    pub peers: Vec<Peer>,
    /// Keyword `listener.replay_window`.
    pub replay_window: Duration,
    /// The own port.
    pub port: Port,
    /// Bytes of `cluster.secret`; none when it is not set.
    pub secret_bytes: Option<usize>,
    /// What the secret is to key.
    pub secret_use: SecretUse,
    /// Tools that are missing.
    pub missing_tools: Vec<Tool>,
    /// Mistakes of the configuration files.
    pub mistakes: Vec<Mistake>,
    /// File systems of the agent.
    pub disks: Vec<Disk>,
    /// Why the kernel watches no files; none where it does.
    pub unwatched: Option<String>,
    /// Certificates.
    pub certificates: Vec<Certificate>,
}

/// What is wrong, or that nothing is.
pub(super) fn or_pass(id: &str, wrong: Vec<Check>, pass: impl Into<String>) -> Vec<Check> {
    if wrong.is_empty() { vec![Check::pass(id, pass)] } else { wrong }
}

/// The members beside the node itself.
pub(super) fn others(facts: &Facts) -> Vec<&NodeName> {
    facts.members.iter().filter(|member| **member != facts.nodename).collect()
}
