//! The link to a daemon: one request, its reply or its stream.
//!
//! Plain blocking sockets: a command asks one thing at a time, and a runtime would take longer to start than the
//! question to be answered.

mod conversation;
mod error;

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::NodeName;
use ring::rand::SystemRandom;
use serde_json::Value;
use wire::{
    ANY_GENERATION, Action, ClusterSecret, Dialect, Form, Limits, Prepared, Refusal, Request,
    Sender, UNNAMED,
};

use crate::config;
use crate::evened;
use crate::paths::Paths;
use crate::peer_address::{DEFAULT_PORT, PeerAddress};

use conversation::Conversation;
pub use error::AskError;

/// Longest wait for a TCP connection: a node that is down does not answer at all.
const CONNECT: Duration = Duration::from_millis(1_500);

/// How large a reply may be that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    /// Bytes of its text.
    text: usize,
    /// Bytes of what is read out of it.
    weight: usize,
}

impl Room {
    /// The status of a cluster of eight nodes with 10,000 services each, and what as many nodes answer together.
    const LARGE: Self = Self { text: 80 << 20, weight: 512 << 20 };
    /// Anything else: the whole log of an object is the largest.
    const ORDINARY: Self = Self { text: 26 << 20, weight: 128 << 20 };

    fn of(request: &Request) -> Self {
        let is_large = match &request.action {
            Action::DaemonStatus(_) | Action::ObjectCreate(_) => true,
            // Of all data at first, not of changes alone.
            Action::Events(options) => options.full,
            _ => request.node.is_some(),
        };
        if is_large { Self::LARGE } else { Self::ORDINARY }
    }

    /// Reads a reply.
    fn read(self, text: &[u8], server: &Server) -> Result<Value, AskError> {
        wire::parse_within(text, self.weight).map_err(|error| match error.is_too_heavy() {
            true => AskError::TooLarge(server.clone(), self.weight),
            false => AskError::Json(server.clone()),
        })
    }
}

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
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
        }
    }
}

/// Who asks over TCP.
struct Identity {
    sender: Sender,
    /// Dialects to try, in order.
    dialects: Vec<Dialect>,
    limits: Limits,
    room: Room,
}

/// Asks daemons in the name of this node.
#[derive(Debug, Clone)]
pub struct Link {
    paths: Paths,
    nodename: NodeName,
    /// The daemon asked when none is named.
    pub server: Server,
    /// Asks under another cluster name, with another secret, than the configuration has.
    guest: Option<Guest>,
    /// Asks in this dialect, whatever the configuration says.
    dialect: Option<Dialect>,
}

/// The name and the secret of a cluster that this node is not, or not yet, configured for.
#[derive(Debug, Clone)]
struct Guest {
    clustername: Box<str>,
    secret: ClusterSecret,
}

impl Link {
    /// A link to the local daemon, or to that of `--server`.
    ///
    /// # Errors
    ///
    /// [`AskError::Server`] for a server that cannot be asked.
    pub fn new(paths: &Paths, nodename: &NodeName, server: Option<&str>) -> Result<Self, AskError> {
        let local = Server::Socket(paths.lsnr_socket());
        let mut link = Self {
            paths: paths.clone(),
            nodename: nodename.clone(),
            server: local,
            guest: None,
            dialect: None,
        };
        if let Some(server) =
            server.filter(|server| !server.eq_ignore_ascii_case(nodename.as_str()))
        {
            link.server = link.parse_server(server)?;
        }
        Ok(link)
    }

    /// The same link, to the daemon of a node, over TCP.
    #[must_use]
    pub fn to_node(&self, node: &str) -> Self {
        Self { server: self.server_of(node), ..self.clone() }
    }

    /// Whether `node` is the node that this link reaches already.
    #[must_use]
    pub fn is_local(&self, node: &str) -> bool {
        matches!(self.server, Server::Socket(_))
            && node.eq_ignore_ascii_case(self.nodename.as_str())
    }

    /// The same link, to another address: `host[:port]`, or a member by its name.
    ///
    /// # Errors
    ///
    /// [`AskError::Server`] for what is none.
    pub fn to_address(&self, text: &str) -> Result<Self, AskError> {
        let refuse = |reason| AskError::Server(text.to_owned(), reason);
        let server = match PeerAddress::split(text).map_err(refuse)? {
            (host, Some(port)) => Server::Tcp { host, port, node: None },
            (host, None) => self.server_of(&host),
        };
        Ok(Self { server, ..self.clone() })
    }

    /// The same link, as a stranger who knows the secret of the other cluster.
    #[must_use]
    pub fn as_joiner(self, secret: &str) -> Self {
        self.as_guest(wire::JOIN, secret)
    }

    /// The same link, as a member of another cluster than the configured one.
    #[must_use]
    pub fn as_guest(self, clustername: &str, secret: &str) -> Self {
        let secret = ClusterSecret::new(secret);
        Self { guest: Some(Guest { clustername: clustername.into(), secret }), ..self }
    }

    /// The same link, in this dialect only.
    #[must_use]
    pub fn in_dialect(self, dialect: Dialect) -> Self {
        Self { dialect: Some(dialect), ..self }
    }

    fn parse_server(&self, text: &str) -> Result<Server, AskError> {
        let refuse = |reason| AskError::Server(text.to_owned(), reason);
        if text.starts_with('/') {
            return Ok(Server::Socket(PathBuf::from(text)));
        }
        let (rest, is_uri) = match text.split_once("://") {
            Some(("raw", rest)) => (rest.trim_end_matches('/'), true),
            Some(_) => {
                return Err(refuse(
                    "only raw://host[:port], a node name and a socket path are served",
                ));
            }
            None => (text, false),
        };
        let (host, port) = PeerAddress::split(rest).map_err(refuse)?;
        match port {
            Some(port) => Ok(Server::Tcp { host, port, node: None }),
            None if is_uri => Ok(Server::Tcp { host, port: DEFAULT_PORT, node: None }),
            None => Ok(self.server_of(&host)),
        }
    }

    /// The listener of a node, as our configuration has it.
    fn server_of(&self, node: &str) -> Server {
        let address = || {
            let node = NodeName::new(node).ok()?;
            let settings =
                config::load_node_as_it_speaks(&self.paths, self.nodename.clone()).ok()?;
            let address = PeerAddress::of(&settings.conf, &node);
            // Another name is that of a host: its node tells how it is called itself.
            Some((address, settings.nodes.contains(&node).then_some(node)))
        };
        let (address, node) = address()
            .unwrap_or_else(|| (PeerAddress { host: node.to_owned(), port: DEFAULT_PORT }, None));
        Server::Tcp { host: address.host, port: address.port, node }
    }

    fn identity(&self) -> Result<Identity, AskError> {
        let settings = config::load_node_as_it_speaks(&self.paths, self.nodename.clone())
            .map_err(AskError::Config)?;
        let limits = Limits {
            max_frame: usize::try_from(settings.listener.max_frame_bytes).unwrap_or(usize::MAX),
            max_message: usize::try_from(settings.listener.max_message_bytes).unwrap_or(usize::MAX),
        };
        let dialects = match (self.dialect, &self.guest, settings.envelope) {
            (Some(dialect), ..) => vec![dialect],
            // Whoever refuses what is sealed must not get it in the weaker dialect: who wants that, says so.
            (None, Some(_), _) => vec![Dialect::Sealed],
            (None, None, conf::Envelope::Sealed) => vec![Dialect::Sealed],
            (None, None, conf::Envelope::Classic) => vec![Dialect::Classic],
            // The operator says that members speak either.
            (None, None, conf::Envelope::Any) => vec![Dialect::Sealed, Dialect::Classic],
        };
        let (clustername, secret) = match &self.guest {
            Some(guest) => (guest.clustername.clone(), guest.secret.clone()),
            None => {
                let secret = settings.secret.as_ref();
                let secret = secret
                    .ok_or_else(|| AskError::Secret("keyword cluster.secret is not set".into()))?;
                (settings.cluster_name.as_str().into(), ClusterSecret::new(secret.expose()))
            }
        };
        let mut sender = Sender::new(&clustername, self.nodename.as_str(), secret);
        sender.generation = match &self.guest {
            // Which of its secrets the other cluster gave away is not known here.
            Some(_) => ANY_GENERATION,
            None => settings.secret_generation,
        };
        Ok(Identity { sender, dialects, limits, room: Room::ORDINARY })
    }

    /// Asks, and returns the reply. Null for an empty one. `within`: none waits for ever.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub fn ask(&self, request: &Request, within: Option<Duration>) -> Result<Value, AskError> {
        let mut reply = None;
        self.exchange(request, within, &mut |value| {
            reply = Some(value);
            ControlFlow::Break(())
        })?;
        reply.ok_or_else(|| AskError::Closed(self.server.clone()))
    }

    /// Asks for a stream, and hands each document to `on_item` until it breaks off or the daemon ends it.
    ///
    /// # Errors
    ///
    /// [`AskError`], also when the connection breaks in the middle.
    pub fn follow(
        &self,
        request: &Request,
        on_item: &mut dyn FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), AskError> {
        self.exchange(request, None, on_item)
    }

    fn exchange(
        &self,
        request: &Request,
        within: Option<Duration>,
        on_item: &mut OnItem<'_>,
    ) -> Result<(), AskError> {
        let deadline = within.map(|within| (Instant::now() + within, within));
        match &self.server {
            Server::Socket(path) => {
                let mut stream = connect_socket(path)?;
                let body = [&wire::to_ascii_json(&request.to_value())[..], b"\0"].concat();
                let room = Room::of(request);
                let limits = Limits { max_frame: room.text, max_message: room.text };
                let mut conversation =
                    Conversation { server: &self.server, deadline, limits, started: false };
                conversation.run(&mut stream, &body, &mut |frame| {
                    Ok(on_item(room.read(frame, &self.server)?))
                })
            }
            Server::Tcp { host, port, node } => {
                let mut identity = self.identity()?;
                identity.room = Room::of(request);
                let (text, limits) = (identity.room.text, &mut identity.limits);
                limits.max_message = limits.max_message.min(text);
                limits.max_frame = limits.max_frame.min(text / 3 * 4 + (16 << 10));
                let body = Prepared::new(&request.to_value());
                let mut outcome = Err(AskError::Closed(self.server.clone()));
                for dialect in &identity.dialects {
                    let mut stream = connect_tcp(host, *port, &self.server, within)?;
                    let mut conversation = Conversation {
                        server: &self.server,
                        deadline,
                        limits: identity.limits,
                        started: false,
                    };
                    let named = node.as_ref().map_or(UNNAMED, |node| node.as_str());
                    let mut to: Box<str> = named.into();
                    // A node that does not know our address takes what is large once something small opened.
                    let is_large = *dialect == Dialect::Sealed
                        && body.seal_bytes() >= monitor::STRANGER_FRAME / 2;
                    let introduction = Prepared::new(&crate::peer::introduction());
                    let mut bodies: Vec<&Prepared> = vec![&body];
                    bodies.extend(is_large.then_some(&introduction));
                    while let Some(body) = bodies.pop() {
                        let is_last = bodies.is_empty();
                        let mut ignore = |_: Value| ControlFlow::Break(());
                        let on_item: &mut OnItem<'_> =
                            if is_last { &mut *on_item } else { &mut ignore };
                        let mut talk = |to: &str| {
                            identity.talk(
                                *dialect,
                                to,
                                body,
                                &mut conversation,
                                &mut stream,
                                on_item,
                            )
                        };
                        outcome = talk(&to);
                        // Whoever it is tells its name, and is asked by that.
                        if node.is_none()
                            && let Err(AskError::Reply(_, Refusal::Misdirected { nodename, .. })) =
                                &outcome
                        {
                            to = nodename.clone();
                            outcome = talk(&to);
                        }
                        if outcome.is_err() {
                            break;
                        }
                        if !is_last {
                            conversation.started = false;
                        }
                    }
                    // A peer that speaks only the other dialect closes, or answers in it.
                    let may_retry = !conversation.started
                        && matches!(outcome, Err(AskError::Closed(_) | AskError::Reply(..)));
                    if !may_retry {
                        break;
                    }
                }
                outcome
            }
        }
    }
}

/// What is done with a document: whether to go on.
type OnItem<'a> = dyn FnMut(Value) -> ControlFlow<()> + 'a;

impl Identity {
    /// Asks the node `to`, and hands over what it answers.
    fn talk(
        &self,
        dialect: Dialect,
        to: &str,
        body: &Prepared,
        conversation: &mut Conversation<'_>,
        stream: &mut TcpStream,
        on_item: &mut OnItem<'_>,
    ) -> Result<(), AskError> {
        let random = SystemRandom::new();
        let form = Form::request(dialect, to, crate::clock::stamp(), &random);
        let sealed = self
            .sender
            .seal(&form, body, &random)
            .map_err(|error| AskError::Secret(error.to_string()))?;
        let server = conversation.server;
        conversation.run(stream, &sealed, &mut |frame| {
            let arrived = Instant::now();
            let read = || {
                let opened = self.sender.open_reply(frame, &form, &self.limits);
                let opened = opened.map_err(|refusal| match refusal {
                    Refusal::TooLong => AskError::TooLarge(server.clone(), self.limits.max_message),
                    refusal => AskError::Reply(server.clone(), refusal),
                })?;
                self.room.read(opened.body(), server)
            };
            let value = read();
            // When the connection is closed tells nothing of how far a classic reply could be read.
            if value.is_err() && dialect == Dialect::Classic {
                evened::refuse_here(arrived);
            }
            Ok(on_item(value?))
        })
    }
}

fn connect_socket(path: &Path) -> Result<UnixStream, AskError> {
    // Also reaches a socket whose path is longer than an address.
    crate::control_socket::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NotRunning(path.to_owned())
        }
        io::ErrorKind::PermissionDenied => AskError::Denied(path.to_owned()),
        _ => AskError::Connect(Server::Socket(path.to_owned()), error),
    })
}

fn connect_tcp(
    host: &str,
    port: u16,
    server: &Server,
    within: Option<Duration>,
) -> Result<TcpStream, AskError> {
    let failed = |error| AskError::Connect(server.clone(), error);
    let addresses = (host, port).to_socket_addrs().map_err(failed)?;
    let patience = within.map_or(CONNECT, |within| within.min(CONNECT));
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, patience.max(Duration::from_millis(1))) {
            Ok(stream) => {
                // A request is one write; waiting for more to send would only delay it.
                _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

#[cfg(test)]
mod tests;
