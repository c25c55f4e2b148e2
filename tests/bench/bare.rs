//! The bare server of HTTP/2: the library, TLS where it is asked for, and nothing else.
//!
//! It answers each request with the same status, headers and bytes. No table of requests, no users, no limits, no counts.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use harness::{Http, HttpReply, Node};
use http::Response;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_rustls::TlsAcceptor;

use crate::ROLE;

/// Threads that serve: as many as our daemon has on the reference machine.
const WORKERS: usize = 2;

/// A running bare server; ends when dropped.
pub(crate) struct Bare {
    child: Child,
    unix: PathBuf,
    port: u16,
}

impl Bare {
    /// Starts one that answers as the node did, with its certificate.
    pub(crate) fn start(node: &Node, reply: &HttpReply, fullpem: &str) -> Self {
        let headers: Vec<Value> = reply
            .headers
            .iter()
            .map(|(name, value)| json!([name.as_str(), value.to_str().expect("a text")]))
            .collect();
        let told = json!({"headers": headers, "status": reply.status, "fullpem": fullpem});
        let (file, body) = (node.path("tmp/bare.json"), node.path("tmp/bare.body"));
        std::fs::write(&file, told.to_string()).expect("a file");
        std::fs::write(&body, &reply.body).expect("a file for the body");
        let unix = node.path("tmp/bare.sock");
        _ = std::fs::remove_file(&unix);
        let mut command = Command::new(std::env::current_exe().expect("the bench"));
        command.env(ROLE, "bare").env("BENCH_ANSWER", &file).env("BENCH_BODY", &body);
        command.env("BENCH_UNIX", &unix).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the bare server runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        std::io::BufReader::new(stdout).read_line(&mut line).expect("it tells its port");
        Self { child, unix, port: line.trim().parse().expect("a port") }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it answers, over its socket or over TLS.
    pub(crate) fn http(&self, is_tls: bool) -> Http {
        if is_tls { Http::tls(self.port, None) } else { Http::at(self.unix.clone()) }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

enum Stream {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// What each request is answered.
struct Answer {
    head: Response<()>,
    body: Bytes,
}

impl Answer {
    fn read(told: &Value, body: Vec<u8>) -> Self {
        let status = told["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        let mut head = Response::builder().status(status.expect("a status"));
        for pair in told["headers"].as_array().expect("headers") {
            let [name, value] = [&pair[0], &pair[1]].map(|word| word.as_str().expect("a text"));
            head = head.header(name, value);
        }
        Self { head: head.body(()).expect("a head"), body: body.into() }
    }
}

/// TLS with that key and certificate.
fn acceptor(fullpem: &str) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_slice_iter(fullpem.as_bytes());
    let chain = chain.map(|it| it.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_slice(fullpem.as_bytes()).expect("a key");
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Runs the server until it is killed.
pub(crate) fn serve() -> ExitCode {
    let variable = |name| std::env::var(name).expect("set by the bench");
    let told = std::fs::read(variable("BENCH_ANSWER")).expect("the answer");
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    let body = std::fs::read(variable("BENCH_BODY")).expect("the body");
    let tcp = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let unix = std::os::unix::net::UnixListener::bind(variable("BENCH_UNIX")).expect("a socket");
    println!("{}", tcp.local_addr().expect("bound").port());
    std::io::stdout().flush().expect("the bench reads");
    let mut workers = vec![];
    for _ in 0..WORKERS {
        let (sender, receiver) = mpsc::unbounded_channel();
        workers.push(sender);
        let (told, body) = (told.clone(), body.clone());
        std::thread::spawn(move || work(receiver, &told, body));
    }
    let unix_workers = workers.clone();
    std::thread::spawn(move || {
        for (stream, worker) in unix.incoming().zip(unix_workers.iter().cycle()) {
            _ = worker.send(Stream::Unix(stream.expect("a connection")));
        }
    });
    for (stream, worker) in tcp.incoming().zip(workers.iter().cycle()) {
        _ = worker.send(Stream::Tcp(stream.expect("a connection")));
    }
    ExitCode::SUCCESS
}

fn work(mut streams: UnboundedReceiver<Stream>, told: &Value, body: Vec<u8>) {
    let answer = Rc::new(Answer::read(told, body));
    let acceptor = acceptor(told["fullpem"].as_str().expect("a certificate"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        while let Some(stream) = streams.recv().await {
            let (answer, acceptor) = (Rc::clone(&answer), acceptor.clone());
            tokio::task::spawn_local(async move {
                // A client that went away is no concern of the next one.
                _ = serve_one(stream, &answer, &acceptor).await;
            });
        }
    });
}

async fn serve_one(stream: Stream, answer: &Answer, acceptor: &TlsAcceptor) -> std::io::Result<()> {
    let served = match stream {
        Stream::Tcp(stream) => {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let stream = tokio::net::TcpStream::from_std(stream)?;
            answer_all(acceptor.accept(stream).await?, answer).await
        }
        Stream::Unix(stream) => {
            stream.set_nonblocking(true)?;
            answer_all(tokio::net::UnixStream::from_std(stream)?, answer).await
        }
    };
    served.map_err(std::io::Error::other)
}

async fn answer_all<IO: AsyncRead + AsyncWrite + Unpin>(
    io: IO,
    answer: &Answer,
) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(io).await?;
    while let Some(request) = connection.accept().await {
        let (_, mut respond) = request?;
        let mut out = respond.send_response(answer.head.clone(), false)?;
        out.send_data(answer.body.clone(), true)?;
    }
    Ok(())
}
