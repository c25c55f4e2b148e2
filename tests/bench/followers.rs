//! Who follows: a thousand subscribers to server-sent events of a node with a thousand services, ten changes a second.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::{Http, Io, Kept};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::front::{Door, transport};
use crate::idle::{cpu_seconds_of, resident_mib};
use crate::{Bound, Options, Row};

/// Subscribers, each on a connection of its own.
const SUBSCRIBERS: usize = 1_000;

/// A change each.
const PACE: Duration = Duration::from_millis(100);

/// Begins the mark of a change; four digits follow.
const MARK: &[u8] = b"change-";

/// Longest wait for the last who is told.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of one change.
struct Change {
    begin: Instant,
    told: usize,
    last: Instant,
}

/// All changes so far.
type Changes = Arc<Mutex<Vec<Change>>>;

/// Notes that a subscriber was told of those in these bytes; returns how many bytes at the end are to be looked at again.
fn note(changes: &Changes, bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(MARK.len()).position(|word| word == MARK) {
        let begin = at + found;
        let Some(digits) = bytes.get(begin + MARK.len()..begin + MARK.len() + 4) else {
            return bytes.len() - begin;
        };
        let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<usize>().ok());
        let mut changes = changes.lock().expect("no thread failed");
        if let Some(change) = number.and_then(|number| changes.get_mut(number)) {
            change.told += 1;
            change.last = Instant::now();
        }
        at = begin + MARK.len() + 4;
    }
    (bytes.len() - at).min(MARK.len() - 1)
}

/// Reads events until the connection ends.
async fn follow(mut io: Box<dyn Io>, changes: Changes) {
    let mut bytes = Vec::with_capacity(4 << 10);
    while let Ok(1..) = io.read_buf(&mut bytes).await {
        let rest = note(&changes, &bytes);
        bytes.drain(..bytes.len() - rest);
    }
}

/// A subscription that began.
async fn subscribe(http: &Http) -> Box<dyn Io> {
    let mut io = http.connect_for("http/1.1").await.expect("it accepts");
    let request = "GET /events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    io.write_all(request.as_bytes()).await.expect("it reads");
    let mut head = vec![];
    while !head.windows(4).any(|word| word == b"\r\n\r\n") {
        let read = io.read_buf(&mut head).await.expect("an answer");
        assert!(read > 0, "it ended: {}", String::from_utf8_lossy(&head));
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    io
}

/// Makes one change: an instance says something else of its resource.
fn change(kept: &mut Kept, path: &str, status: &mut Value, label: &str) {
    status["resources"]["fs#1"]["label"] = label.into();
    let body = json!({"path": path, "data": status}).to_string();
    let reply = kept.ask("POST", "/object_status", &[], Some(body.as_bytes()));
    assert_eq!(reply.expect("an answer").status, 200);
}

/// Makes changes at that pace, each of another service.
fn change_all(door: &Door, changes: &Changes, count: usize) {
    let mut kept = door.http(false).keep().expect("it answers");
    let all = door.node.status()["monitor"]["nodes"]["n1"]["services"]["status"].clone();
    let begin = Instant::now();
    for number in 0..count {
        let due = PACE * u32::try_from(number).expect("few");
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        let path = format!("svc{}", number % 1_000);
        let mut status = all[&path].clone();
        let now = Instant::now();
        let started = Change { begin: now, told: 0, last: now };
        changes.lock().expect("no thread failed").push(started);
        change(&mut kept, &path, &mut status, &format!("change-{number:04}"));
    }
}

/// Subscribes, and hands over what is measured while `work` runs.
fn while_followed(http: &Http, changes: &Changes, work: impl FnOnce()) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut open = vec![];
    runtime.block_on(async {
        for _ in 0..SUBSCRIBERS {
            open.push(subscribe(http).await);
        }
    });
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        let changes = changes.clone();
        scope.spawn(move || {
            runtime.block_on(async {
                for io in open {
                    tokio::spawn(follow(io, changes.clone()));
                }
                _ = ended.await;
            });
        });
        work();
        _ = end.send(());
    });
}

/// Milliseconds until the last subscriber was told of each change, sorted; without an end where one was not told.
fn delays(changes: &Changes) -> Vec<f64> {
    let changes = changes.lock().expect("no thread failed");
    let delay = |change: &Change| match change.told >= SUBSCRIBERS {
        true => (change.last - change.begin).as_secs_f64() * 1e3,
        false => f64::INFINITY,
    };
    let mut delays: Vec<f64> = changes.iter().map(delay).collect();
    delays.sort_by(f64::total_cmp);
    delays
}

/// Measures them over one transport.
pub(crate) fn measure(door: &Door, is_tls: bool, options: &Options) -> Vec<Row> {
    let count = if options.quick { 50 } else { 200 };
    let changes = Changes::default();
    let before = resident_mib(&door.node);
    let (mut percent, mut memory) = (0.0, 0.0);
    while_followed(&door.http(is_tls), &changes, || {
        std::thread::sleep(Duration::from_secs(2));
        let (begin, cpu) = (Instant::now(), cpu_seconds_of(&door.node).0);
        change_all(door, &changes, count);
        let until = Instant::now() + PATIENCE;
        while delays(&changes).contains(&f64::INFINITY) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let cpu = cpu_seconds_of(&door.node).0 - cpu;
        percent = cpu / begin.elapsed().as_secs_f64() * 100.0;
        memory = (resident_mib(&door.node) - before) * 1024.0 / SUBSCRIBERS as f64;
    });
    let delays = delays(&changes);
    let percentile = |percent: usize| delays[(delays.len() - 1) * percent / 100];
    let name = |what: &str| format!("1,000 subscribers, {}: {what}", transport(is_tls));
    let row = |what: &str, value, unit, target: Option<f64>, note| Row {
        name: name(what),
        value,
        unit,
        target: target.map(|most| (most, Bound::AtMost)),
        note,
    };
    let rows = vec![
        row(
            "the last is told",
            percentile(100),
            "ms",
            Some(100.0),
            format!(
                "worst of {count} changes; median {:.1}, p99 {:.1}",
                percentile(50),
                percentile(99)
            ),
        ),
        row("processor", percent, "% core", Some(30.0), "10 changes a second".into()),
        row("memory of each", memory, "KiB", None, String::new()),
    ];
    rows.iter().for_each(Row::print);
    rows
}
