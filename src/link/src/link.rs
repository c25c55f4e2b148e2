//! The link to a daemon: one request, its reply or its stream.
//!
//! Plain blocking sockets: a command asks one thing at a time, and a runtime would take longer to start than the
//! question to be answered.

mod conversation;
pub mod error;
mod https;
pub mod local;
pub mod remote;
mod room;
pub mod server;

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::NodeName;
use ring::rand::SystemRandom;
use serde_json::Value;
use wire::{
    ANY_GENERATION, ClusterSecret, Dialect, Form, Limits, Prepared, Refusal, Request, Sender,
    UNNAMED,
};

use conf::peer_address::{DEFAULT_PORT, PeerAddress};

use files::in_force;
use machine::paths::Paths;

use crate::evened;
use crate::link::conversation::{Conversation, OnItem};
use crate::link::error::AskError;
use crate::link::remote::Remote;
use crate::link::room::Room;
use crate::link::server::Server;
use crate::peer::CONNECT_PATIENCE;

/// Who asks over TCP.
struct Identity {
    pub sender: Sender,
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
        let server = match &self.server {
            // By way of who is asked: this machine may be no member.
            Server::Https { remote, .. } => {
                Server::Https { remote: remote.clone(), node: Some(node.to_owned()) }
            }
            _ => self.server_of(node),
        };
        Self { server, ..self.clone() }
    }

    /// A link to nodes that are asked over HTTPS.
    #[must_use]
    pub fn over(paths: &Paths, nodename: &NodeName, remote: Remote) -> Self {
        let server = Server::Https { remote: Arc::new(remote), node: None };
        let (paths, nodename) = (paths.clone(), nodename.clone());
        Self { paths, nodename, server, guest: None, dialect: None }
    }

    /// Whether it goes over HTTPS.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self.server, Server::Https { .. })
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
                    "only https://host[:port], raw://host[:port], a node name and a socket path are served",
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
                in_force::load_node_as_it_speaks(&self.paths, self.nodename.clone()).ok()?;
            let address = PeerAddress::of(&settings.conf, &node);
            // Another name is that of a host: its node tells how it is called itself.
            Some((address, settings.nodes.contains(&node).then_some(node)))
        };
        let (address, node) = address()
            .unwrap_or_else(|| (PeerAddress { host: node.to_owned(), port: DEFAULT_PORT }, None));
        Server::Tcp { host: address.host, port: address.port, node }
    }

    fn identity(&self) -> Result<Identity, AskError> {
        let settings = in_force::load_node_as_it_speaks(&self.paths, self.nodename.clone())
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
        self.exchange(request, within, &mut None, &mut |value| {
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
        self.exchange(request, None, &mut None, on_item)
    }

    /// The same, behind the item of the id `last`, which then is that of the last item that came. Daemons that are asked in
    /// another way than over HTTPS tell no ids, and begin anew.
    ///
    /// # Errors
    ///
    /// As [`Self::follow`].
    pub fn follow_from(
        &self,
        request: &Request,
        last: &mut Option<String>,
        on_item: &mut dyn FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), AskError> {
        self.exchange(request, None, last, on_item)
    }

    /// Gets a path of a daemon over HTTPS: the status, and what it answers. None: it is asked in another way.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub fn get(&self, path: &str, within: Duration) -> Option<Result<(u16, Vec<u8>), AskError>> {
        match &self.server {
            Server::Https { remote, node } => {
                Some(https::get(remote, node.as_deref(), path, within))
            }
            Server::Socket(_) | Server::Tcp { .. } => None,
        }
    }

    fn exchange(
        &self,
        request: &Request,
        within: Option<Duration>,
        last: &mut Option<String>,
        on_item: &mut OnItem<'_>,
    ) -> Result<(), AskError> {
        match &self.server {
            Server::Socket(path) => local::exchange(path, request, within, on_item),
            Server::Tcp { host, port, node } => {
                let address = (host.as_str(), *port, node.as_ref());
                self.exchange_tcp(address, request, within, on_item)
            }
            Server::Https { remote, node } => {
                https::exchange((remote, node.as_deref()), request, within, last, on_item)
            }
        }
    }

    /// Asks over TCP, in one dialect after the other.
    fn exchange_tcp(
        &self,
        (host, port, node): (&str, u16, Option<&NodeName>),
        request: &Request,
        within: Option<Duration>,
        on_item: &mut OnItem<'_>,
    ) -> Result<(), AskError> {
        let deadline = within.map(|within| (Instant::now() + within, within));
        let mut identity = self.identity()?;
        identity.room = Room::of(request);
        let (text, limits) = (identity.room.text, &mut identity.limits);
        limits.max_message = limits.max_message.min(text);
        limits.max_frame = limits.max_frame.min(text / 3 * 4 + (16 << 10));
        let body = Prepared::new(&request.to_value());
        let mut outcome = Err(AskError::Closed(self.server.clone()));
        for dialect in &identity.dialects {
            let mut stream = connect_tcp(host, port, &self.server, within)?;
            let limits = identity.limits;
            let mut conversation =
                Conversation { server: &self.server, deadline, limits, started: false };
            outcome = identity.introduce_and_ask(
                *dialect,
                node,
                &body,
                &mut conversation,
                &mut stream,
                on_item,
            );
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

impl Identity {
    /// Asks in one dialect. A node that does not know our address takes what is large once something small opened.
    fn introduce_and_ask(
        &self,
        dialect: Dialect,
        node: Option<&NodeName>,
        body: &Prepared,
        conversation: &mut Conversation<'_>,
        stream: &mut TcpStream,
        on_item: &mut OnItem<'_>,
    ) -> Result<(), AskError> {
        let mut to: Box<str> = node.map_or(UNNAMED, NodeName::as_str).into();
        let is_large =
            dialect == Dialect::Sealed && body.seal_bytes() >= monitor::STRANGER_FRAME / 2;
        if is_large {
            let introduction = Prepared::new(&crate::peer::introduction());
            let ignore = &mut |_| ControlFlow::Break(());
            let to = (&mut to, node.is_none());
            self.talk_by_name(dialect, to, &introduction, conversation, stream, ignore)?;
            conversation.started = false;
        }
        let to = (&mut to, node.is_none());
        self.talk_by_name(dialect, to, body, conversation, stream, on_item)
    }

    /// Asks the node `to`. Where that is nobody's name, whoever it is tells its own, and is asked by that.
    fn talk_by_name(
        &self,
        dialect: Dialect,
        (to, is_unnamed): (&mut Box<str>, bool),
        body: &Prepared,
        conversation: &mut Conversation<'_>,
        stream: &mut TcpStream,
        on_item: &mut OnItem<'_>,
    ) -> Result<(), AskError> {
        match self.talk(dialect, to, body, conversation, stream, on_item) {
            Err(AskError::Reply(_, Refusal::Misdirected { nodename, .. })) if is_unnamed => {
                *to = nodename;
                self.talk(dialect, to, body, conversation, stream, on_item)
            }
            outcome => outcome,
        }
    }

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
        let form = Form::request(dialect, to, machine::clock::stamp(), &random);
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

fn connect_tcp(
    host: &str,
    port: u16,
    server: &Server,
    within: Option<Duration>,
) -> Result<TcpStream, AskError> {
    let failed = |error| AskError::Connect(server.clone(), error);
    let addresses = (host, port).to_socket_addrs().map_err(failed)?;
    let patience = within.map_or(CONNECT_PATIENCE, |within| within.min(CONNECT_PATIENCE));
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
