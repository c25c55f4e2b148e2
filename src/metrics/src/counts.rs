//! What happens, counted where it happens: cells of a fixed place that are added to without a lock, a map or a wait.
//!
//! Each thread that counts requests has cells of its own; a reader adds them up.

use std::array;
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wire::Action;

use crate::tallies::Tallies;

/// Threads with cells of their own; more share them.
const SHARDS: usize = 8;

/// Statuses that are told apart; another one counts as the first of its hundred.
const CODES: [u16; 16] =
    [200, 202, 204, 304, 400, 401, 403, 404, 409, 412, 413, 429, 500, 501, 502, 503];

/// Bounds of the time of a request, in seconds.
pub const REQUEST_BOUNDS: [f64; 7] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0];

/// Bounds of the time of an action, in seconds.
pub const ACTION_BOUNDS: [f64; 7] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

/// Actions that are told apart; the rest is `other`.
const ACTIONS: [&str; 16] = [
    "boot",
    "delete",
    "freeze",
    "provision",
    "restart",
    "run",
    "shutdown",
    "start",
    "startstandby",
    "status",
    "stop",
    "stonith",
    "thaw",
    "toc",
    "unprovision",
    "other",
];

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The control socket.
    ControlSocket,
    /// TCP, in a dialect that is not known yet: of connections.
    Tcp,
    /// TCP, classic dialect.
    Classic,
    /// TCP, sealed dialect.
    Sealed,
    /// HTTP/2 on the socket of the node.
    Http2Socket,
    /// HTTP/1.1 on the socket of the node.
    Http1Socket,
    /// HTTP/2 over TLS.
    Http2Tls,
    /// HTTP/1.1 over TLS.
    Http1Tls,
}

/// Of all transports the label, in the order of the enum.
const TRANSPORTS: [&str; 8] =
    ["lsnr_unix", "tcp", "tcp_classic", "tcp_sealed", "h2_unix", "h1_unix", "h2_tls", "h1_tls"];

/// Who asks, by how it proves that, and nobody.
pub const METHODS: [&str; 6] = ["uxsock", "secret", "jwt", "basic", "x509", "none"];

/// What became of that.
const RESULTS: [&str; 3] = ["ok", "refused", "limited"];

/// What a client brings to prove who it is was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It proves it, or asks what everybody may.
    Accepted,
    /// It proves nothing.
    Refused,
    /// It failed too often, or it cannot be judged now.
    Limited,
}

/// What is streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// Events.
    Events,
    /// Entries of logs.
    Logs,
}

const STREAMS: [&str; 2] = ["events", "logs"];

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// This entry of the table of requests.
    Route(usize),
    /// A page.
    Page,
    /// The metrics.
    Metrics,
    /// Something that there is not.
    Unknown,
}

/// Those beside the table of requests.
const OTHERS: [&str; 3] = ["page", "metrics", "unknown"];

impl Handler {
    /// That of an action, and whether it is done at once: what waits on purpose has no time.
    #[must_use]
    pub fn of(action: &Action) -> (Self, bool) {
        let waits = matches!(action, Action::Wait(_) | Action::Sync(_)) || action.route().is_stream;
        (Self::Route(action.position()), !waits)
    }

    /// That of an entry of the table of requests.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let of_name = |route: &wire::Route| route.names.first() == Some(&name);
        wire::ROUTES.iter().position(of_name).map_or(Self::Unknown, Self::Route)
    }

    fn index(self) -> usize {
        let routes = wire::ROUTES.len();
        match self {
            Self::Route(position) => position.min(routes - 1),
            Self::Page => routes,
            Self::Metrics => routes + 1,
            Self::Unknown => routes + 2,
        }
    }

    fn name(index: usize) -> &'static str {
        match wire::ROUTES.get(index) {
            Some(route) => route.names.first().copied().unwrap_or_default(),
            None => OTHERS[index - wire::ROUTES.len()],
        }
    }
}

type Cells<const N: usize> = [AtomicU64; N];

fn cells<const N: usize>() -> Cells<N> {
    array::from_fn(|_| AtomicU64::new(0))
}

fn add(cell: &AtomicU64, count: u64) {
    cell.fetch_add(count, Ordering::Relaxed);
}

fn read(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

/// How often something took how long.
#[derive(Debug)]
struct Times {
    buckets: Cells<8>,
    micros: AtomicU64,
}

impl Times {
    fn new() -> Self {
        Self { buckets: cells(), micros: AtomicU64::new(0) }
    }

    fn add(&self, bounds: &[f64; 7], took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len());
        add(&self.buckets[bucket], 1);
        add(&self.micros, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

/// How often something took how long, as it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Histogram {
    /// How many, by bucket; the last one has no bound.
    pub buckets: [u64; 8],
    /// Seconds, all together.
    pub sum: f64,
}

impl Histogram {
    fn read_from(&mut self, times: &Times) {
        for (bucket, cell) in self.buckets.iter_mut().zip(&times.buckets) {
            *bucket += read(cell);
        }
        self.sum += Duration::from_micros(read(&times.micros)).as_secs_f64();
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|count| *count == 0)
    }
}

/// The requests of one handler: by transport, then by status.
type Row = [Cells<16>; 8];

/// The cells of a thread. Aligned, so that no two threads write to the same line of a cache.
#[derive(Debug)]
#[repr(align(64))]
struct Shard {
    /// Made once a handler is asked the first time: most never are.
    rows: Box<[OnceLock<Box<Row>>]>,
    times: [Times; 8],
}

impl Shard {
    fn new() -> Self {
        let handlers = wire::ROUTES.len() + OTHERS.len();
        Self {
            rows: (0..handlers).map(|_| OnceLock::new()).collect(),
            times: array::from_fn(|_| Times::new()),
        }
    }
}

thread_local! {
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The shard of this thread.
fn own() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    OWN.with(|own| match own.get() {
        Some(number) => number,
        None => {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            own.set(Some(number));
            number
        }
    })
}

/// The counters of a daemon.
#[derive(Debug)]
pub struct Counts {
    shards: [OnceLock<Box<Shard>>; SHARDS],
    connections: Cells<8>,
    connections_ended: Cells<8>,
    proofs: [Cells<3>; 6],
    streams: [AtomicI64; 2],
    actions: [Cells<2>; 16],
    action_times: [Times; 16],
    resource_restarts: AtomicU64,
    /// What is seldom.
    pub tallies: Tallies,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            shards: array::from_fn(|_| OnceLock::new()),
            connections: cells(),
            connections_ended: cells(),
            proofs: array::from_fn(|_| cells()),
            streams: array::from_fn(|_| AtomicI64::new(0)),
            actions: array::from_fn(|_| cells()),
            action_times: array::from_fn(|_| Times::new()),
            resource_restarts: AtomicU64::new(0),
            tallies: Tallies::default(),
        }
    }
}

/// The cell of a status.
fn code(status: u16) -> usize {
    let known = CODES.iter().position(|code| *code == status);
    known.or_else(|| CODES.iter().position(|code| code / 100 == status / 100)).unwrap_or(12)
}

impl Counts {
    /// A request was answered with this status of HTTP. `took`: none for one that waits on purpose.
    pub fn on_request(
        &self,
        transport: Transport,
        handler: Handler,
        status: u16,
        took: Option<Duration>,
    ) {
        let shard = self.shards[own()].get_or_init(|| Box::new(Shard::new()));
        let row = shard.rows[handler.index()].get_or_init(|| Box::new(array::from_fn(|_| cells())));
        add(&row[transport as usize][code(status)], 1);
        if let Some(took) = took {
            shard.times[transport as usize].add(&REQUEST_BOUNDS, took);
        }
    }

    /// A client proved who it is by a method of [`METHODS`], or did not.
    pub fn on_proof(&self, method: &str, proof: Proof) {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        add(&self.proofs[method][proof as usize], 1);
    }

    /// A connection: it counts as open until the guard is dropped.
    pub fn connection(&self, transport: Transport) -> Connection<'_> {
        add(&self.connections[transport as usize], 1);
        Connection { counts: self, transport }
    }

    /// What answers an action is sent, if it is a stream: it counts as one until the guard is dropped.
    #[must_use]
    pub fn stream(self: &Arc<Self>, action: &Action) -> Option<Streaming> {
        let stream = match action {
            Action::Events(_) => Stream::Events,
            other if other.route().is_stream => Stream::Logs,
            _ => return None,
        };
        self.streams[stream as usize].fetch_add(1, Ordering::Relaxed);
        Some(Streaming { counts: self.clone(), stream })
    }

    /// An action that the daemon ran ended.
    pub fn on_action(&self, action: &str, is_done: bool, took: Duration) {
        let known = ACTIONS.iter().position(|known| *known == action);
        let action = known.unwrap_or(ACTIONS.len() - 1);
        add(&self.actions[action][usize::from(!is_done)], 1);
        self.action_times[action].add(&ACTION_BOUNDS, took);
    }

    /// A resource is started again, because it fell.
    pub fn on_resource_restart(&self) {
        add(&self.resource_restarts, 1);
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter_map(|shard| shard.get().map(|shard| &**shard))
    }

    /// The requests that there were, with transport, handler and status.
    pub fn requests(&self) -> Vec<(&'static str, &'static str, u16, u64)> {
        let mut found = vec![];
        for handler in 0..wire::ROUTES.len() + OTHERS.len() {
            let rows: Vec<&Row> =
                self.shards().filter_map(|shard| Some(&**shard.rows[handler].get()?)).collect();
            if rows.is_empty() {
                continue;
            }
            for (transport, label) in TRANSPORTS.into_iter().enumerate() {
                for (at, code) in CODES.into_iter().enumerate() {
                    let count = rows.iter().map(|row| read(&row[transport][at])).sum();
                    if count > 0 {
                        found.push((label, Handler::name(handler), code, count));
                    }
                }
            }
        }
        found
    }

    /// How long requests took, by transport.
    pub fn request_times(&self) -> impl Iterator<Item = (&'static str, Histogram)> {
        TRANSPORTS.into_iter().enumerate().filter_map(|(transport, label)| {
            let mut times = Histogram::default();
            self.shards().for_each(|shard| times.read_from(&shard.times[transport]));
            (!times.is_empty()).then_some((label, times))
        })
    }

    /// The connections that there were and that there are, by transport.
    pub fn connections(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        TRANSPORTS.into_iter().enumerate().filter_map(|(transport, label)| {
            // The ends first: what begins meanwhile counts as open.
            let ended = read(&self.connections_ended[transport]);
            let all = read(&self.connections[transport]);
            (all > 0).then(|| (label, all, all.saturating_sub(ended)))
        })
    }

    /// Who proved who it is, with method and result.
    pub fn proofs(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        METHODS.into_iter().zip(&self.proofs).flat_map(|(method, results)| {
            let counts = RESULTS.into_iter().zip(results);
            counts.map(move |(result, cell)| (method, result, read(cell)))
        })
    }

    /// The streams that there are.
    pub fn streams(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |cell: &AtomicI64| u64::try_from(cell.load(Ordering::Relaxed)).unwrap_or(0);
        STREAMS.into_iter().zip(&self.streams).map(move |(stream, cell)| (stream, count(cell)))
    }

    /// The actions that there were: those that were done, those that failed, and how long they took.
    pub fn actions(&self) -> impl Iterator<Item = (&'static str, [u64; 2], Histogram)> {
        ACTIONS.into_iter().enumerate().filter_map(|(at, action)| {
            let mut times = Histogram::default();
            times.read_from(&self.action_times[at]);
            let [done, failed] = &self.actions[at];
            (!times.is_empty()).then(|| (action, [read(done), read(failed)], times))
        })
    }

    /// The restarts of resources that there were.
    pub fn resource_restarts(&self) -> u64 {
        read(&self.resource_restarts)
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct Connection<'a> {
    counts: &'a Counts,
    transport: Transport,
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        add(&self.counts.connections_ended[self.transport as usize], 1);
    }
}

/// A stream that is followed.
#[derive(Debug)]
pub struct Streaming {
    counts: Arc<Counts>,
    stream: Stream,
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.counts.streams[self.stream as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_threads_count_is_added_up() {
        let counts = Counts::default();
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let took = Some(Duration::from_millis(4));
                        counts.on_request(Transport::Sealed, Handler::Route(0), 200, took);
                    }
                    counts.on_request(Transport::Sealed, Handler::Unknown, 418, None);
                });
            }
        });
        let route = wire::ROUTES[0].names[0];
        let expected = [("tcp_sealed", route, 200, 1_200), ("tcp_sealed", "unknown", 400, 12)];
        assert_eq!(counts.requests(), expected);
        let times: Vec<_> = counts.request_times().collect();
        assert_eq!((times.len(), times[0].0, times[0].1.buckets[1]), (1, "tcp_sealed", 1_200));
        assert!((times[0].1.sum - 4.8).abs() < 1e-9);
    }

    #[test]
    fn connections_are_open_until_they_end() {
        let counts = Counts::default();
        let open = counts.connection(Transport::Http2Tls);
        drop(counts.connection(Transport::Http2Tls));
        assert_eq!(counts.connections().collect::<Vec<_>>(), [("h2_tls", 2, 1)]);
        drop(open);
        assert_eq!(counts.connections().collect::<Vec<_>>(), [("h2_tls", 2, 0)]);
    }

    #[test]
    fn an_action_counts_by_its_end_and_its_time() {
        let counts = Counts::default();
        counts.on_action("start", true, Duration::from_secs(2));
        counts.on_action("start", false, Duration::from_secs(400));
        counts.on_action("frobnicate", true, Duration::ZERO);
        let found: Vec<_> = counts.actions().collect();
        assert_eq!((found[0].0, found[0].1), ("start", [1, 1]));
        assert_eq!(found[0].2.buckets, [0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!((found[1].0, found[1].1), ("other", [1, 0]));
    }
}
