//! Which daemon is asked.

use std::path::PathBuf;
use std::sync::Arc;

use model::NodeName;

use crate::link::remote::Remote;

/// Which daemon is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// The local one, or another one on this machine, through its control socket.
    Socket(PathBuf),
    /// A node, through its listener.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port of the listener.
        port: u16,
        /// The node that is expected there; none for whichever it is.
        node: Option<NodeName>,
    },
    /// A node, over HTTPS.
    Https {
        /// Where, and in whose name.
        remote: Arc<Remote>,
        /// The node that it is to ask; none for itself.
        node: Option<String>,
    },
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Https { remote, .. } => remote.fmt(f),
        }
    }
}
