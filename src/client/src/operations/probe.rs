//! Looks again and again whether a service works, by a clock that nobody sets.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cli::Probe;
use link::link::Link;
use model::{ObjectPath, Status};
use monitor::drill::Sample;

use crate::known::known;
use link::fetch;

/// A try begins this often.
pub(super) const STEP: Duration = Duration::from_millis(20);

/// How often the daemon is asked, where there is nothing to try.
const STATUS_STEP: Duration = Duration::from_millis(100);

/// How long a try may take: more is no answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a command may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(5);

/// Tries of the network that may wait for an answer at the same time: a silent address is not to slow the others down.
const MOST_AT_ONCE: usize = 64;

/// What is tried.
#[derive(Debug, Clone)]
pub(super) enum Gauge {
    /// A probe.
    Probe(Probe),
    /// What the daemon knows of the object.
    Status(Link, ObjectPath),
}

impl std::fmt::Display for Gauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Probe(probe) => probe.fmt(f),
            Self::Status(..) => f.write_str("its status"),
        }
    }
}

impl Gauge {
    /// Tries once. What is wrong, for a reader.
    pub(super) fn look(&self) -> Result<(), String> {
        match self {
            Self::Probe(Probe::Tcp(address)) => connect(address),
            Self::Probe(Probe::Web(uri)) => {
                let uri = fetch::Uri::parse(uri).map_err(|error| error.to_string())?;
                // Whether it answers, not who it is.
                let answer = fetch::get(&uri.unguarded(), PATIENCE);
                answer.map(|_| ()).map_err(|error| error.to_string())
            }
            Self::Probe(Probe::Run(command)) => run(command),
            Self::Status(link, path) => {
                let known = known(link, path).map_err(|failure| failure.lines.join("; "))?;
                let avail = known.aggregate.and_then(|aggregate| aggregate.avail);
                match avail {
                    Some(Status::Up) => Ok(()),
                    avail => {
                        Err(format!("it is {}", avail.as_ref().map_or("unknown", Status::as_str)))
                    }
                }
            }
        }
    }

    fn step(&self) -> Duration {
        match self {
            Self::Probe(_) => STEP,
            Self::Status(..) => STATUS_STEP,
        }
    }

    /// Tries of a command and questions to the daemon follow each other; connections overlap.
    fn most_at_once(&self) -> usize {
        match self {
            Self::Probe(Probe::Tcp(_) | Probe::Web(_)) => MOST_AT_ONCE,
            Self::Probe(Probe::Run(_)) | Self::Status(..) => 1,
        }
    }
}

fn connect(address: &str) -> Result<(), String> {
    let found = address.to_socket_addrs().map_err(|error| format!("{address}: {error}"))?;
    let mut why = format!("{address} has no address");
    for socket in found {
        match TcpStream::connect_timeout(&socket, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(why)
}

fn run(command: &str) -> Result<(), String> {
    let argv = drivers::command_words(command)?;
    let [program, rest @ ..] = &argv[..] else { return Err("the command is empty".to_owned()) };
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{program}: {status}")),
            Ok(None) if begun.elapsed() < COMMAND_PATIENCE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(None) | Err(_) => {
                _ = child.kill();
                _ = child.wait();
                return Err(format!("{program} did not end within {COMMAND_PATIENCE:?}"));
            }
        }
    }
}

/// Tries that go on until this is asked for what they found.
pub(super) struct Prober {
    start: Instant,
    is_over: Arc<AtomicBool>,
    samples: Receiver<Sample>,
    found: Vec<Sample>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    pub(super) fn begin(gauge: &Gauge) -> Self {
        let (start, is_over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let (told, samples) = mpsc::channel();
        let (gauge, ended) = (gauge.clone(), is_over.clone());
        let thread = std::thread::spawn(move || go_on(&gauge, start, &ended, &told));
        Self { start, is_over, samples, found: vec![], thread: Some(thread) }
    }

    /// By the clock of the samples.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// What was found until now.
    pub(super) fn samples(&mut self) -> &[Sample] {
        self.found.extend(self.samples.try_iter());
        &self.found
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn go_on(gauge: &Gauge, start: Instant, is_over: &AtomicBool, told: &Sender<Sample>) {
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut next = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        if waiting.load(Ordering::Relaxed) < gauge.most_at_once() {
            waiting.fetch_add(1, Ordering::Relaxed);
            let (gauge, told, waiting) = (gauge.clone(), told.clone(), waiting.clone());
            std::thread::spawn(move || {
                let begun = start.elapsed();
                let is_answered = gauge.look().is_ok();
                _ = told.send(Sample { begun, ended: start.elapsed(), is_answered });
                waiting.fetch_sub(1, Ordering::Relaxed);
            });
        }
        // Of a machine that stood still, no try is made up for.
        next = (next + gauge.step()).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_answers_while_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let gauge = Gauge::Probe(Probe::Tcp(address));
        assert_eq!(gauge.look(), Ok(()));
        drop(listener);
        assert!(gauge.look().is_err());
        assert_eq!(Gauge::Probe(Probe::Run("true".to_owned())).look(), Ok(()));
        assert!(Gauge::Probe(Probe::Run("false".to_owned())).look().is_err());
        assert!(Gauge::Probe(Probe::Run("test 1 = 2 || false".to_owned())).look().is_err());
    }
}
