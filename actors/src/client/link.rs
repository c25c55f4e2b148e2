//! The link to a daemon: one request, its reply or its stream.
//!
//! Plain blocking sockets: a command asks one thing at a time, and a runtime would take longer to start than the
//! question to be answered.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::NodeName;
use ring::rand::SystemRandom;
use serde_json::Value;
use wire::{ClusterSecret, Dialect, Form, Framing, Incoming, Limits, Prepared, Request, Sender};

use crate::config;
use crate::paths::Paths;

/// Port of the listener where the configuration names none.
const DEFAULT_PORT: u16 = 1214;

/// Longest wait for a TCP connection: a node that is down does not answer at all.
const CONNECT: Duration = Duration::from_millis(1_500);

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
    },
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

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
    /// This node has no secret, or one that keys nothing.
    Secret(String),
    /// The configuration that holds the secret cannot be read.
    Config(Box<conf::Complaint>),
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
            Self::Reply(server, refusal) => write!(
                f,
                "the reply of {server} does not open ({refusal}): its cluster.secret or cluster.name differs from ours"
            ),
            Self::Json(server) => write!(f, "the reply of {server} is not JSON"),
            Self::Secret(reason) => {
                write!(f, "{reason}: set it with `om cluster set --kw cluster.secret=..`")
            }
            Self::Config(complaint) => complaint.fmt(f),
            Self::Server(server, reason) => write!(f, "--server {server}: {reason}"),
        }
    }
}

impl std::error::Error for AskError {}

/// Who asks over TCP.
struct Identity {
    sender: Sender,
    /// Dialects to try, in order.
    dialects: Vec<Dialect>,
    limits: Limits,
}

/// Asks daemons in the name of this node.
#[derive(Debug, Clone)]
pub struct Link {
    paths: Paths,
    nodename: NodeName,
    /// The daemon asked when none is named.
    pub server: Server,
    /// A secret that is not this cluster's, with the cluster name `join`.
    join: Option<ClusterSecret>,
}

impl Link {
    /// A link to the local daemon, or to that of `--server`.
    ///
    /// # Errors
    ///
    /// [`AskError::Server`] for a server that cannot be asked.
    pub fn new(paths: &Paths, nodename: &NodeName, server: Option<&str>) -> Result<Self, AskError> {
        let local = Server::Socket(paths.lsnr_socket());
        let mut link =
            Self { paths: paths.clone(), nodename: nodename.clone(), server: local, join: None };
        if let Some(server) = server.filter(|server| *server != nodename.as_str()) {
            link.server = link.parse_server(server)?;
        }
        Ok(link)
    }

    /// The same link, to the daemon of a node, over TCP.
    #[must_use]
    pub fn to_node(&self, node: &str) -> Self {
        Self {
            server: Server::Tcp { host: node.to_owned(), port: self.port_of(node) },
            ..self.clone()
        }
    }

    /// Whether `node` is the node that this link reaches already.
    #[must_use]
    pub fn is_local(&self, node: &str) -> bool {
        matches!(self.server, Server::Socket(_)) && node == self.nodename.as_str()
    }

    /// The same link, as a stranger who knows the secret of the other cluster.
    #[must_use]
    pub fn as_joiner(self, secret: &str) -> Self {
        Self { join: Some(ClusterSecret::new(secret)), ..self }
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
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match rest.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                _ => (rest, None),
            },
        };
        if host.is_empty() || host.contains(['/', ' ', '@']) {
            return Err(refuse("expected raw://host[:port], a node name or a socket path"));
        }
        let port = match port {
            Some(port) => {
                port.parse().map_err(|_| refuse("the port is not a number up to 65535"))?
            }
            None if is_uri => DEFAULT_PORT,
            None => self.port_of(host),
        };
        Ok(Server::Tcp { host: host.to_owned(), port })
    }

    /// The port of a node's listener, as our configuration scopes it.
    fn port_of(&self, node: &str) -> u16 {
        let port = || {
            let node = NodeName::new(node).ok()?;
            let settings = config::load_node(&self.paths, self.nodename.clone()).ok()?;
            let context = config::context(&self.paths, &settings).impersonating(&node);
            let port = settings.conf.eval_keyword(&context, "listener.port").ok()?.as_number()?;
            // Whole numbers in range only: anything else is a mistake of the file.
            (port.fract() == 0.0 && (1.0..=65_535.0).contains(&port)).then_some(port as u16)
        };
        port().unwrap_or(DEFAULT_PORT)
    }

    fn identity(&self) -> Result<Identity, AskError> {
        let settings =
            config::load_node(&self.paths, self.nodename.clone()).map_err(AskError::Config)?;
        let limits = Limits {
            max_frame: usize::try_from(settings.listener.max_frame_bytes).unwrap_or(usize::MAX),
            max_message: usize::try_from(settings.listener.max_message_bytes).unwrap_or(usize::MAX),
        };
        let dialects = match settings.envelope {
            conf::Envelope::Sealed => vec![Dialect::Sealed],
            conf::Envelope::Classic => vec![Dialect::Classic],
            conf::Envelope::Any => vec![Dialect::Sealed, Dialect::Classic],
        };
        let sender = match &self.join {
            // The other cluster's dialect is not known yet.
            Some(secret) => {
                return Ok(Identity {
                    sender: Sender {
                        clustername: wire::JOIN.into(),
                        nodename: self.nodename.as_str().into(),
                        secret: secret.clone(),
                    },
                    dialects: vec![Dialect::Sealed, Dialect::Classic],
                    limits,
                });
            }
            None => Sender {
                clustername: settings.cluster_name.as_str().into(),
                nodename: self.nodename.as_str().into(),
                secret: settings
                    .secret
                    .as_ref()
                    .map(|secret| ClusterSecret::new(secret.expose()))
                    .ok_or_else(|| AskError::Secret("keyword cluster.secret is not set".into()))?,
            },
        };
        Ok(Identity { sender, dialects, limits })
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
        on_item: &mut dyn FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), AskError> {
        let deadline = within.map(|within| (Instant::now() + within, within));
        match &self.server {
            Server::Socket(path) => {
                let mut stream = connect_socket(path)?;
                let body = [&wire::to_ascii_json(&request.to_value())[..], b"\0"].concat();
                let limits =
                    Limits { max_frame: Limits::default().max_message, ..Limits::default() };
                let mut conversation =
                    Conversation { server: &self.server, deadline, limits, started: false };
                conversation.run(&mut stream, &body, &mut |frame| {
                    let value =
                        wire::parse_json(frame).map_err(|_| AskError::Json(self.server.clone()))?;
                    Ok(on_item(value))
                })
            }
            Server::Tcp { host, port } => {
                let identity = self.identity()?;
                let mut outcome = Err(AskError::Closed(self.server.clone()));
                for dialect in identity.dialects {
                    let mut stream = connect_tcp(host, *port, &self.server, within)?;
                    let random = SystemRandom::new();
                    let form = Form::request(dialect, crate::clock::now_ms(), &random);
                    let body = Prepared::new(&request.to_value());
                    let sealed = identity
                        .sender
                        .seal(&form, &body, &random)
                        .map_err(|error| AskError::Secret(error.to_string()))?;
                    let mut conversation = Conversation {
                        server: &self.server,
                        deadline,
                        limits: identity.limits,
                        started: false,
                    };
                    outcome = conversation.run(&mut stream, &sealed, &mut |frame| {
                        let opened = identity
                            .sender
                            .open_reply(frame, &form, &identity.limits)
                            .map_err(|refusal| AskError::Reply(self.server.clone(), refusal))?;
                        let value =
                            opened.read().map_err(|_| AskError::Json(self.server.clone()))?;
                        Ok(on_item(value))
                    });
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

/// What TCP and unix streams share.
trait Stream: Read + Write {
    fn limit(&self, timeout: Option<Duration>) -> io::Result<()>;
}

impl Stream for UnixStream {
    fn limit(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)?;
        self.set_write_timeout(timeout)
    }
}

impl Stream for TcpStream {
    fn limit(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)?;
        self.set_write_timeout(timeout)
    }
}

/// What is done with a frame: whether to go on.
type OnFrame<'a> = dyn FnMut(&[u8]) -> Result<ControlFlow<()>, AskError> + 'a;

struct Conversation<'a> {
    server: &'a Server,
    deadline: Option<(Instant, Duration)>,
    limits: Limits,
    /// A document came.
    started: bool,
}

impl Conversation<'_> {
    fn run(
        &mut self,
        stream: &mut dyn Stream,
        request: &[u8],
        on_frame: &mut OnFrame<'_>,
    ) -> Result<(), AskError> {
        self.limit(stream)?;
        stream.write_all(request).map_err(|error| self.broken(error))?;
        let mut framing = Framing::of_replies(&self.limits);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            self.limit(stream)?;
            let count = match stream.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A daemon that closes with unread bytes in its queue resets the connection.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                Err(error) => return Err(self.broken(error)),
            };
            let is_end = count == 0;
            framing
                .push(&buffer[..count])
                .map_err(|error| self.broken(io::Error::other(error.to_string())))?;
            let last = |framing: &mut Framing| if is_end { framing.finish() } else { None };
            while let Some(incoming) = framing.next_frame().or_else(|| last(&mut framing)) {
                // A lone NUL keeps a quiet stream alive.
                let Incoming::Frame(frame) = incoming else {
                    if is_end { break } else { continue }
                };
                if frame.is_empty() {
                    continue;
                }
                let next = on_frame(&frame)?;
                self.started = true;
                if next.is_break() {
                    return Ok(());
                }
            }
            if is_end {
                return if self.started {
                    Ok(())
                } else {
                    Err(AskError::Closed(self.server.clone()))
                };
            }
        }
    }

    fn limit(&self, stream: &dyn Stream) -> Result<(), AskError> {
        let left = match self.deadline {
            None => None,
            Some((deadline, within)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(AskError::Timeout(self.server.clone(), within));
                }
                Some(left)
            }
        };
        stream.limit(left).map_err(|error| self.broken(error))
    }

    fn broken(&self, error: io::Error) -> AskError {
        match (error.kind(), self.deadline) {
            (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, Some((_, within))) => {
                AskError::Timeout(self.server.clone(), within)
            }
            (io::ErrorKind::BrokenPipe, _) => AskError::Closed(self.server.clone()),
            _ => AskError::Broken(self.server.clone(), error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use serde_json::json;
    use wire::{Keyring, Refusal};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn paths(folder: &tempfile::TempDir, envelope: &str, secret: &str) -> Paths {
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let text = format!(
            "[cluster]\nname = c1\nsecret = {secret}\nenvelope = {envelope}\nnodes = n1 n2\n"
        );
        std::fs::write(paths.cluster_conf(), text).unwrap();
        paths
    }

    fn link(paths: &Paths, server: Option<&str>) -> Link {
        Link::new(paths, &NodeName::new("n1").unwrap(), server).unwrap()
    }

    fn status() -> Request {
        Request::new(wire::BlacklistStatus {})
    }

    const SOON: Option<Duration> = Some(Duration::from_secs(5));

    /// A daemon that opens what its envelope accepts, answers once per connection, and closes.
    fn daemon(envelope: wire::Envelope) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = Sender {
            clustername: "c1".into(),
            nodename: "n2".into(),
            secret: ClusterSecret::new(SECRET),
        };
        let keyring = Keyring {
            own: own.clone(),
            envelope,
            drpnodes: Default::default(),
            limits: Limits::default(),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = vec![];
                let mut buffer = [0; 4096];
                while !bytes.ends_with(&[0]) {
                    let count = stream.read(&mut buffer).unwrap();
                    bytes.extend_from_slice(&buffer[..count]);
                }
                bytes.pop();
                if let Ok(opened) = keyring.open(&bytes) {
                    let random = SystemRandom::new();
                    let form = opened.form().reply(crate::clock::now_ms(), &random);
                    let asked: Value = opened.read().unwrap();
                    let body = Prepared::new(
                        &json!({"status": 0, "data": asked["action"], "by": opened.nodename()}),
                    );
                    stream.write_all(&own.seal(&form, &body, &random).unwrap()).unwrap();
                }
            }
        });
        format!("raw://{address}")
    }

    #[test]
    fn a_reply_of_the_control_socket_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(&folder, "sealed", SECRET);
        let listener = UnixListener::bind(paths.lsnr_socket()).unwrap();
        let big = "x".repeat(1 << 20);
        let reply = json!({"status": 0, "data": big});
        let expected = reply.clone();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; 4096];
            let count = stream.read(&mut asked).unwrap();
            assert!(asked[..count].ends_with(&[0]));
            stream.write_all(&serde_json::to_vec(&reply).unwrap()).unwrap();
            stream.write_all(b"\0").unwrap();
        });
        assert_eq!(link(&paths, None).ask(&status(), SOON).unwrap(), expected);
    }

    #[test]
    fn each_failure_tells_what_to_do_next() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(&folder, "sealed", SECRET);
        let error = link(&paths, None).ask(&status(), SOON).unwrap_err();
        assert!(error.to_string().contains("om daemon start"), "{error}");
        let listener = UnixListener::bind(paths.lsnr_socket()).unwrap();
        let error = link(&paths, None).ask(&status(), Some(Duration::from_millis(50))).unwrap_err();
        assert!(matches!(error, AskError::Timeout(..)), "{error}");
        // Accepted, and closed at once.
        let closer = std::thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                drop(stream.unwrap());
            }
        });
        let error = link(&paths, None).ask(&status(), SOON).unwrap_err();
        assert!(matches!(error, AskError::Closed(_) | AskError::Broken(..)), "{error}");
        closer.join().unwrap();
    }

    #[test]
    fn nodes_are_asked_in_the_dialect_of_the_cluster() {
        for (ours, theirs) in [
            ("sealed", wire::Envelope::Sealed),
            ("classic", wire::Envelope::Classic),
            ("any", wire::Envelope::Sealed),
            ("any", wire::Envelope::Classic),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let paths = paths(&folder, ours, SECRET);
            let reply = link(&paths, Some(&daemon(theirs))).ask(&status(), SOON);
            let expected = json!({"status": 0, "data": "daemon_blacklist_status", "by": "n1"});
            assert_eq!(reply.unwrap(), expected, "{ours} asks {theirs:?}");
        }
    }

    #[test]
    fn a_joiner_asks_with_the_secret_of_the_other_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(&folder, "sealed", "another-secret-another-secret-00");
        let server = daemon(wire::Envelope::Sealed);
        let stranger = link(&paths, Some(&server));
        let error = stranger.ask(&status(), SOON).unwrap_err();
        assert!(matches!(error, AskError::Closed(_)), "{error}");
        let reply = stranger.as_joiner(SECRET).ask(&status(), SOON).unwrap();
        assert_eq!(reply["by"], "n1");
    }

    #[test]
    fn a_reply_to_another_request_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(&folder, "sealed", SECRET);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("raw://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let sender = Sender {
                clustername: "c1".into(),
                nodename: "n2".into(),
                secret: ClusterSecret::new(SECRET),
            };
            let random = SystemRandom::new();
            let form = Form::request(Dialect::Sealed, crate::clock::now_ms(), &random);
            let bytes = sender.seal(&form, &Prepared::new(&json!({"status": 0})), &random).unwrap();
            _ = stream.read(&mut [0; 4096]);
            stream.write_all(&bytes).unwrap();
        });
        let error = link(&paths, Some(&server)).ask(&status(), SOON).unwrap_err();
        assert!(matches!(error, AskError::Reply(_, Refusal::Message)), "{error:?}");
    }

    #[test]
    fn servers_are_read_as_operators_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(&folder, "sealed", SECRET);
        std::fs::write(paths.node_conf(), "[listener]\nport@n2 = 1999\n").unwrap();
        let server = |text: &str| {
            Link::new(&paths, &NodeName::new("n1").unwrap(), Some(text))
                .map(|link| link.server.to_string())
                .ok()
        };
        assert_eq!(server("n1"), Some(paths.lsnr_socket().display().to_string()));
        assert_eq!(server("raw://10.0.0.1"), Some("10.0.0.1:1214".into()));
        assert_eq!(server("raw://10.0.0.1:99"), Some("10.0.0.1:99".into()));
        assert_eq!(server("raw://[::1]:99"), Some("[::1]:99".into()));
        assert_eq!(server("/run/x.sock"), Some("/run/x.sock".into()));
        assert_eq!(server("n2"), Some("n2:1999".into()));
        for text in ["https://n1", "raw://", "raw://n1:x", "a b"] {
            assert_eq!(server(text), None, "{text}");
        }
    }
}
