//! Real nodes for the suites: each has a root folder, a free port and a daemon of its own.

mod browser;
mod cluster;
mod events;
pub mod frames;
mod front;
mod memory;
mod node;
mod output;
mod peer;
mod plain;
mod ports;
mod provider;
mod recorded;
mod responder;
mod scene;
mod site;
mod terminal;
mod tls;
mod users;

pub use browser::Browser;
pub use cluster::{Cluster, ClusterConf};
pub use events::Events;
pub use front::{Http, HttpReply, Io, Kept, Pushed, read_until};
pub use node::Node;
pub use output::Output;
pub use peer::{GIVES_UP, Peer};
pub use ports::Port;
pub use provider::Provider;
pub use recorded::Recorded;
pub use responder::Responder;
pub use scene::{Scene, id_of};
pub use site::Site;
pub use terminal::Terminal;
pub use tls::{TlsStream, tls_stream};
pub use users::basic;

use std::time::{Duration, Instant};

/// Longest wait for a condition: generous, because the machine may be busy; a condition met ends it at once.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives a value, and returns it.
///
/// # Panics
///
/// After [`PATIENCE`], naming `what` never happened.
pub fn wait_until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, condition)
}

/// The same, for what may take longer.
///
/// # Panics
///
/// After `patience`, naming `what` never happened.
pub fn wait_within<T>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds.
///
/// # Panics
///
/// As [`wait_until`].
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    wait_until(what, || condition().then_some(()));
}

/// How many processes want each processor of this machine, over the last minute.
pub(crate) fn load_per_processor() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse::<f64>().ok()).unwrap_or(0.0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    load / f64::from(u32::try_from(processors).unwrap_or(1))
}

/// A time that is enough on a quiet machine, as long as the load of this one makes it.
#[must_use]
pub fn at_this_load(time: Duration) -> Duration {
    time.mul_f64(load_per_processor().max(1.0))
}

/// Lifts the limit of descriptors of this program to what it may have: an ordinary user has 1,024 at first.
///
/// # Panics
///
/// When the system refuses its own maximum.
pub fn lift_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("our own limit");
}

/// Whether the suite runs as root: what needs it is skipped otherwise, and says so.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that the test that asks is skipped, and why: past what collects the output of tests that pass.
pub fn skip(why: &str) {
    use std::io::Write as _;
    let test = std::thread::current();
    let name = test.name().unwrap_or("a test");
    _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
}

/// Processes whose command line, words separated by blanks, satisfies `condition`.
#[must_use]
pub fn processes(condition: impl Fn(&str) -> bool) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let matches = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        condition(words.join(" ").trim_end())
    };
    pids.filter(matches).collect()
}
