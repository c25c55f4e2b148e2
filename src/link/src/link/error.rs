//! Why a daemon gave no reply.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::link::server::Server;

/// Why there is no reply. `Display` says what to do next.
#[derive(Debug)]
pub enum AskError {
    /// Nobody listens on the control socket.
    NotRunning(PathBuf),
    /// The control socket is not for this user.
    Denied(PathBuf),
    /// No connection.
    Connect(Server, io::Error),
    /// The connection broke.
    Broken(Server, io::Error),
    /// No reply in time.
    Timeout(Server, Duration),
    /// Closed without a reply.
    Closed(Server),
    /// A reply that is not for us, or not from a member.
    Reply(Server, wire::Refusal),
    /// A reply that is not JSON.
    Json(Server),
    /// A reply that is larger than any of its kind is.
    TooLarge(Server, usize),
    /// This node has no secret, or one that keys nothing.
    Secret(String),
    /// The configuration that holds the secret cannot be read.
    Config(Box<conf::Complaint>),
    /// Who asks did not prove who it is.
    Unknown(Server),
    /// A certificate that is not trusted, or not taken.
    Untrusted(Server, String),
    /// A stream is refused.
    Refused(Server, String),
    /// `--server` names no daemon.
    Server(String, &'static str),
}

impl std::fmt::Display for AskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotRunning(_) => {
                f.write_str("the daemon is not running: start it with `om daemon start`")
            }
            Self::Denied(path) => write!(
                f,
                "{}: permission denied: run om as the user of the daemon, usually root",
                path.display()
            ),
            Self::Connect(server, error) => write!(
                f,
                "cannot connect to {server}: {error}: check that the daemon runs there, and that its listener port is open"
            ),
            Self::Broken(server, error) => write!(f, "the connection to {server} broke: {error}"),
            Self::Timeout(server, after) => {
                write!(f, "timeout: no reply from {server} within {} s", after.as_secs_f64())
            }
            Self::Closed(server @ Server::Socket(_)) => write!(
                f,
                "{server} closed the connection without a reply: `om node logs` may tell why"
            ),
            Self::Closed(server) => write!(
                f,
                "{server} closed the connection without a reply: its cluster.secret or cluster.envelope may differ \
                 from ours, or it has blacklisted this node (`om daemon blacklist status` there)"
            ),
            Self::Reply(server, wire::Refusal::Misdirected { to, nodename }) => write!(
                f,
                "{server} is the daemon of node {nodename}, not of {to}: check where the name and listener.addr of \
                 {to} lead"
            ),
            Self::Reply(server, refusal) => write!(
                f,
                "the reply of {server} does not open ({refusal}): its cluster.secret or cluster.name differs from ours"
            ),
            Self::Json(server) => write!(f, "the reply of {server} is not JSON"),
            Self::TooLarge(server, most) => write!(
                f,
                "the reply of {server} is larger than such replies are (more than {} MiB): it is not read; ask for less at \
                 once, or look at what that node sends",
                most >> 20
            ),
            Self::Secret(reason) => {
                write!(f, "{reason}: set it with `om cluster set --kw cluster.secret=..`")
            }
            Self::Config(complaint) => complaint.fmt(f),
            Self::Unknown(server) => write!(
                f,
                "{server} does not know who asks: name a user with its password or a token, or show its certificate \
                 (`om ctx --help`)"
            ),
            Self::Untrusted(server, reason) => write!(
                f,
                "{server}: {reason}: name the authority of the cluster by `cacert` of the context, or by OSVC_CACERT; \
                 `om system/sec/ca-CLUSTER decode --key certificate_chain` there prints it"
            ),
            Self::Refused(server, reason) => write!(f, "{server}: {reason}"),
            Self::Server(server, reason) => write!(f, "--server {server}: {reason}"),
        }
    }
}

impl std::error::Error for AskError {}
