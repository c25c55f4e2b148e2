//! A peer of a node, as the encrypted listener sees it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use ring::rand::SystemRandom;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use wire::{BootId, ClusterSecret, Dialect, Form, Frame, Limits, Prepared, Sender};

use crate::{Node, PATIENCE};

/// Who asks, from where, in which dialect. Sealed connections are kept, classic ones are closed by the node.
pub struct Peer {
    sender: Sender,
    dialect: Dialect,
    /// The node that sealed requests name.
    recipient: String,
    /// How far its wall clock is ahead, in seconds.
    ahead: i64,
    /// The boot of its machine in heartbeats; none for that of this machine.
    boot: Option<BootId>,
    /// Address to connect from: a loopback address of the test's own keeps its mistakes to itself.
    from: Ipv4Addr,
    /// Address of the node.
    host: Ipv4Addr,
    to: u16,
    kept: Option<BufReader<TcpStream>>,
}

impl Peer {
    /// The node itself, in the sealed dialect.
    #[must_use]
    pub fn sealed(node: &Node) -> Self {
        Self::new(node, Dialect::Sealed)
    }

    /// The node itself, in the classic dialect.
    #[must_use]
    pub fn classic(node: &Node) -> Self {
        Self::new(node, Dialect::Classic)
    }

    fn new(node: &Node, dialect: Dialect) -> Self {
        let sender = Sender::new("demo", node.name(), ClusterSecret::new(node.secret()));
        let recipient = node.name().to_owned();
        Self {
            sender,
            dialect,
            recipient,
            ahead: 0,
            boot: None,
            from: Ipv4Addr::LOCALHOST,
            host: Ipv4Addr::LOCALHOST,
            to: node.port(),
            kept: None,
        }
    }

    /// The same, asking for another node.
    #[must_use]
    pub fn asking(mut self, nodename: &str) -> Self {
        self.recipient = nodename.into();
        self
    }

    /// The same, with a wall clock that many seconds ahead.
    #[must_use]
    pub fn ahead(mut self, seconds: i64) -> Self {
        self.ahead = seconds;
        self
    }

    /// The same, its heartbeats from another boot: that of another machine.
    #[must_use]
    pub fn of_boot(mut self, boot: [u8; 16]) -> Self {
        self.boot = Some(BootId(boot));
        self
    }

    /// The same, where a node of a [`crate::Cluster`] listens.
    #[must_use]
    pub fn at(mut self, host: Ipv4Addr) -> Self {
        self.host = host;
        self
    }

    /// The same, naming another cluster.
    #[must_use]
    pub fn of_cluster(mut self, clustername: &str) -> Self {
        let Sender { nodename, secret, .. } = self.sender;
        self.sender = Sender::new(clustername, &nodename, secret);
        self
    }

    /// The same, naming another node.
    #[must_use]
    pub fn named(mut self, nodename: &str) -> Self {
        self.sender.nodename = nodename.into();
        self
    }

    /// The same, with another secret.
    #[must_use]
    pub fn with_secret(mut self, secret: &str) -> Self {
        self.sender.secret = ClusterSecret::new(secret);
        self
    }

    /// The same, to another port of the node.
    #[must_use]
    pub fn to(mut self, port: u16) -> Self {
        self.to = port;
        self
    }

    /// The same, from `127.0.0.<last>`.
    #[must_use]
    pub fn from(mut self, last: u8) -> Self {
        self.from = Ipv4Addr::new(127, 0, 0, last);
        self
    }

    /// The same, from this address of the loopback.
    #[must_use]
    pub fn from_address(mut self, from: Ipv4Addr) -> Self {
        self.from = from;
        self
    }

    /// A new connection to the node.
    ///
    /// # Panics
    ///
    /// When the node does not accept it.
    #[must_use]
    pub fn connect(&self) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((self.from, 0)).into()).expect("a loopback address");
        socket.connect(&SocketAddr::from((self.host, self.to)).into()).expect("the node accepts");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
        stream
    }

    /// A request as a frame, its final NUL included, stamped with the present time.
    #[must_use]
    pub fn frame(&self, request: &Value) -> Vec<u8> {
        self.frame_at(request, 0)
    }

    /// The same, made `seconds` from now on all clocks of the peer.
    ///
    /// # Panics
    ///
    /// When the secret cannot key the dialect.
    #[must_use]
    pub fn frame_at(&self, request: &Value, seconds: i64) -> Vec<u8> {
        self.seal_at(&Prepared::new(request), seconds)
    }

    /// A body made ready once, as a frame stamped with the present time: what is long is compressed once for all.
    #[must_use]
    pub fn seal(&self, body: &Prepared) -> Vec<u8> {
        self.seal_at(body, 0)
    }

    /// The same, as a heartbeat of the peer.
    ///
    /// # Panics
    ///
    /// When the secret cannot key the dialect.
    #[must_use]
    pub fn beat(&self, body: &Prepared) -> Vec<u8> {
        let random = SystemRandom::new();
        let mut now = ::machine::clock::stamp();
        now.boot = self.boot.unwrap_or(now.boot);
        let form = Form::heartbeat(self.dialect, wire::Kind::Heartbeat, now, &random);
        self.sender.seal(&form, body, &random).expect("a usable secret")
    }

    fn seal_at(&self, body: &Prepared, seconds: i64) -> Vec<u8> {
        let mut at = ::machine::clock::stamp();
        at.b_us += seconds * 1_000_000;
        at.t_ms += (seconds + self.ahead) * 1_000;
        let random = SystemRandom::new();
        let form = Form::request(self.dialect, &self.recipient, at, &random);
        self.sender.seal(&form, body, &random).expect("a usable secret")
    }

    /// Sends bytes on a new connection, then ends the sending side; everything that comes back until the node closes.
    /// A reset counts as a close.
    #[must_use]
    pub fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // The node may close before it has read everything.
        _ = stream.write_all(bytes);
        _ = stream.shutdown(Shutdown::Write);
        let mut reply = vec![];
        _ = stream.read_to_end(&mut reply);
        reply
    }

    /// Opens a reply.
    ///
    /// # Panics
    ///
    /// When it does not open, or is not JSON.
    #[must_use]
    pub fn open(&self, reply: &[u8]) -> Value {
        let limits = Limits::default();
        let frame = Frame::parse(reply, &limits).expect("a reply in an envelope");
        frame.open(&self.sender.secret, &limits).expect("our key opens it").read().expect("JSON")
    }

    /// Asks, and waits for the reply; none when the node closes without one.
    pub fn ask(&mut self, request: &Value) -> Option<Value> {
        let frame = self.frame(request);
        self.ask_frame(&frame)
    }

    /// The same, with a frame made before.
    pub fn ask_frame(&mut self, frame: &[u8]) -> Option<Value> {
        if self.kept.is_none() {
            self.kept = Some(BufReader::new(self.connect()));
        }
        let stream = self.kept.as_mut()?;
        let mut reply = vec![];
        _ = stream.get_mut().write_all(frame);
        _ = stream.read_until(0, &mut reply);
        if self.dialect == Dialect::Classic || reply.is_empty() {
            self.kept = None;
        }
        (!reply.is_empty()).then(|| self.open(&reply))
    }
}

/// Longest time the node may take to give up on a peer that does nothing, with a margin.
pub const GIVES_UP: Duration = Duration::from_secs(20);
