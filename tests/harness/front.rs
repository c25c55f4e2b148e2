//! A client of what a node answers over HTTP: HTTP/2 as a library speaks it, HTTP/1.1 by hand.

use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Uri};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Node, PATIENCE};

/// What was answered.
#[derive(Debug)]
pub struct HttpReply {
    /// Status of HTTP.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The content.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// The content, read as JSON.
    ///
    /// # Panics
    ///
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&self.body));
        })
    }
}

/// A response that was pushed.
#[derive(Debug)]
pub struct Pushed {
    /// Of the promise: absolute.
    pub uri: Uri,
    /// The response.
    pub reply: HttpReply,
}

/// Where a node speaks HTTP.
#[derive(Debug, Clone)]
pub struct Http {
    at: At,
}

#[derive(Debug, Clone)]
enum At {
    Socket(PathBuf),
    Tls { port: u16, fullpem: Option<String> },
}

/// What carries bytes in both ways.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection of HTTP/2 that is kept.
pub struct Kept {
    runtime: tokio::runtime::Runtime,
    sender: SendRequest<Bytes>,
}

impl Kept {
    /// `GET`. None: the connection is over.
    #[must_use]
    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> Option<HttpReply> {
        self.ask("GET", target, headers, None)
    }

    /// Asks. None: the connection is over.
    #[must_use]
    pub fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Option<HttpReply> {
        let uri = format!("https://localhost{target}");
        self.runtime.block_on(async {
            let mut sender = self.sender.clone().ready().await.ok()?;
            let response = send(&mut sender, method, &uri, headers, body).await?;
            let (head, mut body) = response.await.ok()?.into_parts();
            let body = read(&mut body).await;
            Some(HttpReply { status: head.status.as_u16(), headers: head.headers, body })
        })
    }
}

/// Sends a request. None: the connection is over.
async fn send(
    sender: &mut SendRequest<Bytes>,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Option<h2::client::ResponseFuture> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    let (response, mut out) = sender.send_request(request, body.is_none()).ok()?;
    if let Some(mut rest) = body.map(Bytes::copy_from_slice) {
        while !rest.is_empty() {
            out.reserve_capacity(rest.len());
            let Some(Ok(room)) = poll_fn(|cx| out.poll_capacity(cx)).await else { break };
            let piece = rest.split_to(room.min(rest.len()));
            // A server that refuses what comes may have reset the stream.
            if out.send_data(piece, rest.is_empty()).is_err() {
                break;
            }
        }
        if body.is_some_and(<[u8]>::is_empty) {
            out.send_data(Bytes::new(), true).ok()?;
        }
    }
    Some(response)
}

/// Runs what waits.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("an answer in time") })
}

async fn read(body: &mut RecvStream) -> Vec<u8> {
    let mut bytes = vec![];
    while let Some(piece) = body.data().await {
        let piece = piece.expect("a piece of the body");
        body.flow_control().release_capacity(piece.len()).expect("room");
        bytes.extend_from_slice(&piece);
    }
    bytes
}

impl Http {
    /// That of a node.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        Self { at: At::Socket(node.path("var/lsnr/h2.sock")) }
    }

    /// Over a socket at this path.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { at: At::Socket(path) }
    }

    /// Over TLS, at this port of the loopback; `fullpem` is the key and the certificate of the client.
    #[must_use]
    pub fn tls(port: u16, fullpem: Option<&str>) -> Self {
        Self { at: At::Tls { port, fullpem: fullpem.map(str::to_owned) } }
    }

    /// A connection that is kept. None where the node refuses it.
    ///
    /// # Panics
    ///
    /// Without a runtime.
    #[must_use]
    pub fn keep(&self) -> Option<Kept> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let sender = runtime.block_on(async { self.open(false).await.ok() })?;
        Some(Kept { runtime, sender })
    }

    /// A connection, for what no library would send.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn connect(&self) -> UnixStream {
        let At::Socket(path) = &self.at else { panic!("over the socket alone") };
        let stream = UnixStream::connect(path).expect("the HTTP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Asks over HTTP/2, on a connection of its own.
    #[must_use]
    pub fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> HttpReply {
        wait(async {
            let (response, _) = self.begin(method, target, headers, body, false).await;
            let (head, mut body) = response.await.expect("a response").into_parts();
            HttpReply {
                status: head.status.as_u16(),
                headers: head.headers,
                body: read(&mut body).await,
            }
        })
    }

    /// `GET`, without anything else.
    #[must_use]
    pub fn get(&self, target: &str) -> HttpReply {
        self.ask("GET", target, &[], None)
    }

    /// Subscribes as deployed clients do, calls `then` once the first answer is there, and reads `count` pushed responses.
    #[must_use]
    pub fn pushes(
        &self,
        target: &str,
        body: &[u8],
        then: impl FnOnce(),
        count: usize,
    ) -> (HttpReply, Vec<Pushed>) {
        wait(async {
            let (mut response, _) = self.begin("GET", target, &[], Some(body), true).await;
            let mut promises = response.push_promises();
            let (head, mut body) = response.await.expect("a response").into_parts();
            let first = body.data().await.expect("a body").expect("a piece of it");
            let reply = HttpReply {
                status: head.status.as_u16(),
                headers: head.headers,
                body: first.to_vec(),
            };
            assert!(!body.is_end_stream(), "the stream stays open");
            then();
            let mut pushed = vec![];
            while pushed.len() < count {
                let promise =
                    promises.push_promise().await.expect("a promise").expect("a good one");
                let (request, response) = promise.into_parts();
                let (head, mut body) = response.await.expect("a pushed response").into_parts();
                let body = read(&mut body).await;
                let reply = HttpReply { status: head.status.as_u16(), headers: head.headers, body };
                pushed.push(Pushed { uri: request.uri().clone(), reply });
            }
            (reply, pushed)
        })
    }

    /// Reads a stream as it comes, once it began and `then` was called, until it has `end`.
    #[must_use]
    pub fn stream(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        then: impl FnOnce(),
        end: &str,
    ) -> String {
        wait(async {
            let (response, _sender) = self.begin("GET", target, headers, None, false).await;
            let mut body = response.await.expect("a response").into_body();
            let mut text = String::new();
            let mut then = Some(then);
            while !text.contains(end) {
                let piece = body.data().await.expect("the stream goes on").expect("a piece");
                body.flow_control().release_capacity(piece.len()).expect("room");
                text.push_str(&String::from_utf8_lossy(&piece));
                if let Some(then) = then.take() {
                    // Others run meanwhile: the connection is a task of this runtime.
                    then();
                }
            }
            text
        })
    }

    /// Reads a stream until the node ends it; `then` is called once it began.
    #[must_use]
    pub fn until_end(&self, target: &str, headers: &[(&str, &str)], then: impl FnOnce()) -> String {
        wait(async {
            let (response, _sender) = self.begin("GET", target, headers, None, false).await;
            let (head, mut body) = response.await.expect("a response").into_parts();
            assert_eq!(head.status, 200, "{target}");
            then();
            let mut text = vec![];
            // It ends, or its connection does.
            while let Some(Ok(piece)) = body.data().await {
                body.flow_control().release_capacity(piece.len()).expect("room");
                text.extend_from_slice(&piece);
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    }

    /// A connection of this protocol, as ALPN names it. Fails where the node refuses it.
    ///
    /// # Errors
    ///
    /// Those of the connection, and of TLS.
    ///
    /// # Panics
    ///
    /// When the certificate of the client is none.
    pub async fn connect_for(&self, protocol: &str) -> std::io::Result<Box<dyn Io>> {
        Ok(match &self.at {
            At::Socket(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
            At::Tls { port, fullpem } => {
                let stream = tokio::net::TcpStream::connect(("127.0.0.1", *port)).await?;
                stream.set_nodelay(true)?;
                let config = crate::tls::client_config(fullpem.as_deref(), protocol);
                let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
                let name = "localhost".try_into().expect("a name");
                Box::new(connector.connect(name, stream).await?)
            }
        })
    }

    async fn open(&self, takes_pushes: bool) -> Result<SendRequest<Bytes>, String> {
        let wrong = |error: &dyn std::fmt::Display| error.to_string();
        let stream = self.connect_for("h2").await.map_err(|error| wrong(&error))?;
        let mut builder = h2::client::Builder::new();
        builder.enable_push(takes_pushes);
        let opened = builder.handshake::<_, Bytes>(stream).await;
        let (sender, connection) = opened.map_err(|error| wrong(&error))?;
        tokio::spawn(connection);
        sender.ready().await.map_err(|error| wrong(&error))
    }

    async fn begin(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        takes_pushes: bool,
    ) -> (h2::client::ResponseFuture, SendRequest<Bytes>) {
        let mut sender = self.open(takes_pushes).await.expect("a connection");
        let uri = format!("http://localhost{target}");
        let response = send(&mut sender, method, &uri, headers, body).await;
        (response.expect("the request is sent"), sender)
    }

    /// Sends these bytes and reads until the node closes the connection, or `end` is there.
    #[must_use]
    pub fn exchange(&self, bytes: &[u8], end: &str) -> String {
        let mut stream = self.connect();
        // Whoever is refused early may find the connection closed.
        _ = stream.write_all(bytes);
        read_until(&mut stream, end)
    }
}

/// Reads until `end` is there, or the connection is closed; at most as long as a suite waits.
#[must_use]
pub fn read_until(stream: &mut UnixStream, end: &str) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(25))).expect("a timeout");
    let (mut text, mut piece) = (vec![], [0; 4_096]);
    loop {
        if !end.is_empty() && String::from_utf8_lossy(&text).contains(end) {
            break;
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(length) => text.extend_from_slice(&piece[..length]),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}
