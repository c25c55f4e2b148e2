//! A load of requests: connections that ask as fast as they are answered.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ring::rand::SystemRandom;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use wire::{Dialect, Form, Prepared, Sender};

/// How requests travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    /// TCP, a connection for each request.
    Classic,
    /// TCP, kept connections.
    Sealed,
    /// The unix socket, a connection for each request.
    Unix,
}

/// Where a server listens.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: PathBuf,
}

/// What a run measured.
pub(crate) struct Measured {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Latencies, sorted.
    latencies: Vec<Duration>,
}

impl Measured {
    /// What all requests of a run took.
    pub(crate) fn new(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        Self { rate: latencies.len() as f64 / elapsed.as_secs_f64(), latencies }
    }

    /// How many requests there were.
    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// Latency that `percent` of the requests do not exceed, in microseconds.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index below the length"
        )]
        let index = (last as f64 * percent / 100.0).round() as usize;
        self.latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// Everything a connection needs to ask.
struct Asker {
    transport: Transport,
    server: Server,
    sender: Sender,
    request: Prepared,
    random: SystemRandom,
    until: Instant,
}

/// Asks on `connections` connections for `time`.
pub(crate) fn run(
    transport: Transport,
    server: &Server,
    sender: &Sender,
    request: &Value,
    connections: usize,
    time: Duration,
) -> Measured {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let begin = Instant::now();
    let asker = Rc::new(Asker {
        transport,
        server: server.clone(),
        sender: sender.clone(),
        request: Prepared::new(request),
        random: SystemRandom::new(),
        until: begin + time,
    });
    let latencies = local.block_on(&runtime, async {
        let tasks: Vec<_> = (0..connections)
            .map(|_| {
                let asker = Rc::clone(&asker);
                tokio::task::spawn_local(async move { asker.ask_all().await })
            })
            .collect();
        let mut latencies = vec![];
        for task in tasks {
            latencies.extend(task.await.expect("no connection fails"));
        }
        latencies
    });
    Measured::new(latencies, begin.elapsed())
}

impl Asker {
    async fn ask_all(&self) -> Vec<Duration> {
        let mut latencies = vec![];
        let mut buffer = Vec::with_capacity(64 << 10);
        match self.transport {
            Transport::Sealed => {
                let mut stream =
                    TcpStream::connect(self.server.tcp).await.expect("the server accepts");
                stream.set_nodelay(true).expect("a socket option");
                while Instant::now() < self.until {
                    let begin = Instant::now();
                    let frame = self.frame(Dialect::Sealed);
                    exchange(&mut stream, &frame, &mut buffer).await;
                    latencies.push(begin.elapsed());
                }
            }
            Transport::Classic => {
                // Classic messages are not stamped: one frame serves for all.
                let frame = self.frame(Dialect::Classic);
                while Instant::now() < self.until {
                    let begin = Instant::now();
                    let mut stream =
                        TcpStream::connect(self.server.tcp).await.expect("the server accepts");
                    exchange(&mut stream, &frame, &mut buffer).await;
                    latencies.push(begin.elapsed());
                }
            }
            Transport::Unix => {
                let frame = [&self.request.json(), &b"\0"[..]].concat();
                while Instant::now() < self.until {
                    let begin = Instant::now();
                    let mut stream =
                        UnixStream::connect(&self.server.unix).await.expect("the server accepts");
                    exchange(&mut stream, &frame, &mut buffer).await;
                    latencies.push(begin.elapsed());
                }
            }
        }
        latencies
    }

    fn frame(&self, dialect: Dialect) -> Vec<u8> {
        let now = ::machine::clock::stamp();
        let form = Form::request(dialect, &self.sender.nodename, now, &self.random);
        self.sender.seal(&form, &self.request, &self.random).expect("a usable secret")
    }
}

/// Sends a frame and reads one reply, up to its NUL.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    frame: &[u8],
    buffer: &mut Vec<u8>,
) {
    stream.write_all(frame).await.expect("the server reads");
    buffer.clear();
    while buffer.last() != Some(&0) {
        let read = stream.read_buf(buffer).await.expect("the server answers");
        assert!(read > 0, "the server closed without an answer, after {} bytes", buffer.len());
    }
}
