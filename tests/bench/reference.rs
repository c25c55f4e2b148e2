//! The reference server: the transport and the cryptography, and nothing else.
//!
//! It opens every frame, and answers with the same prepared body, sealed anew. No blacklist, no replay window, no routing,
//! no statistics, no limits in time or number.

use std::io::{BufRead, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::rc::Rc;

use ring::rand::SystemRandom;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use wire::{ClusterSecret, Dialect, Frame, Limits, Prepared, Sender};

use crate::ROLE;
use crate::load::Server;

/// Threads that serve: as many as our daemon has on the reference machine.
const WORKERS: usize = 2;

/// A running reference server; ends when dropped.
pub(crate) struct Reference {
    child: Child,
    pub(crate) server: Server,
}

impl Reference {
    /// Starts one that answers with the content of `body`.
    pub(crate) fn start(folder: &Path, body: &[u8], secret: &str) -> Self {
        let (body_file, unix) = (folder.join("reference.body"), folder.join("reference.sock"));
        std::fs::write(&body_file, body).expect("a file for the body");
        _ = std::fs::remove_file(&unix);
        let mut command = Command::new(std::env::current_exe().expect("the bench"));
        command.env(ROLE, "reference").env("BENCH_BODY", &body_file).env("BENCH_UNIX", &unix);
        command.env("BENCH_SECRET", secret).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the reference server runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        std::io::BufReader::new(stdout).read_line(&mut line).expect("it tells its address");
        let tcp: SocketAddr = line.trim().parse().expect("an address");
        Self { child, server: Server { tcp, unix } }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

enum Stream {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// Runs the server until it is killed.
pub(crate) fn serve() -> ExitCode {
    let variable = |name| std::env::var(name).expect("set by the bench");
    let body = std::fs::read(variable("BENCH_BODY")).expect("the body");
    let tcp = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let unix = UnixListener::bind(PathBuf::from(variable("BENCH_UNIX"))).expect("a socket");
    println!("{}", tcp.local_addr().expect("bound"));
    std::io::stdout().flush().expect("the bench reads");
    let mut workers = vec![];
    for _ in 0..WORKERS {
        let (sender, receiver) = mpsc::unbounded_channel();
        workers.push(sender);
        let (body, secret) = (body.clone(), variable("BENCH_SECRET"));
        std::thread::spawn(move || work(receiver, body, &secret));
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

struct Worker {
    sender: Sender,
    body: Prepared,
    limits: Limits,
    random: SystemRandom,
}

fn work(mut streams: UnboundedReceiver<Stream>, body: Vec<u8>, secret: &str) {
    let sender = Sender::new("demo", "n1", ClusterSecret::new(secret));
    let worker = Rc::new(Worker {
        sender,
        body: Prepared::from_json(body),
        limits: Limits::default(),
        random: SystemRandom::new(),
    });
    worker.body.compress();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        while let Some(stream) = streams.recv().await {
            let worker = Rc::clone(&worker);
            tokio::task::spawn_local(async move {
                // A client that went away is no concern of the next one.
                _ = match stream {
                    Stream::Tcp(stream) => worker.serve_tcp(stream).await,
                    Stream::Unix(stream) => worker.serve_unix(stream).await,
                };
            });
        }
    });
}

impl Worker {
    async fn serve_tcp(&self, stream: std::net::TcpStream) -> std::io::Result<()> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mut stream = tokio::net::TcpStream::from_std(stream)?;
        let mut buffer = vec![];
        while read_frame(&mut stream, &mut buffer).await? {
            let frame = Frame::parse(&buffer, &self.limits).map_err(std::io::Error::other)?;
            let dialect = frame.dialect();
            let opened =
                frame.open(&self.sender.secret, &self.limits).map_err(std::io::Error::other)?;
            let form = opened.reply_to().form(::machine::clock::stamp(), &self.random);
            let reply =
                self.sender.seal(&form, &self.body, &self.random).map_err(std::io::Error::other)?;
            stream.write_all(&reply).await?;
            if dialect == Dialect::Classic {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn serve_unix(&self, stream: std::os::unix::net::UnixStream) -> std::io::Result<()> {
        stream.set_nonblocking(true)?;
        let mut stream = tokio::net::UnixStream::from_std(stream)?;
        let mut buffer = vec![];
        if read_frame(&mut stream, &mut buffer).await? {
            stream.write_all(&self.body.json()).await?;
            stream.write_all(b"\0").await?;
        }
        Ok(())
    }
}

/// Reads one frame; false at the end of the stream.
async fn read_frame<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> std::io::Result<bool> {
    buffer.clear();
    while buffer.last() != Some(&0) {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
