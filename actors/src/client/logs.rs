//! `om <path> logs`, `om node logs`: what was and is logged.

mod follower;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::ObjectPath;
use om::LogOptions;
use om::render::log_entry;
use serde_json::{Value, json};
use wire::{NodeSpec, Request};

use follower::Follower;

use super::{ANSWER, AskError, Done, Failure, Link, Om, addressed, complain, note, print};
use crate::requests::logs::{each_entry, read_backlog};

/// How much of the past is shown where nothing is said.
const BACKLOG: &str = "10k";

/// How much of a log is looked through for the place where a broken stream is taken up again.
const RESUME: &str = "1m";

/// How long what one node logged waits for what others logged before: somewhat more than nodes look at their files.
const HOLD: Duration = Duration::from_millis(500);

/// A time of the cluster data as this machine's zone tells it: `YYYY-MM-DD HH:MM:SS,mmm`, as
/// the log files have it.
pub(super) fn local_time(t: f64) -> String {
    let time = jiff::Timestamp::from_microsecond((t * 1e6).round() as i64).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S,%3f").to_string()
}

/// Prints the logs of objects, those of several nodes merged by time.
pub(super) fn objects(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    options: &LogOptions,
    node: Option<NodeSpec>,
) -> Done {
    let files: Vec<PathBuf> = paths.iter().map(|path| om.paths.log_file(path)).collect();
    if is_read_here(link, options) {
        return written(om, &files, options);
    }
    let sources: Vec<Source> = paths
        .iter()
        .map(|path| -> Result<Source, Failure> {
            let path = path.to_string();
            let past =
                request("object_backlogs", json!({"path": path, "backlog": backlog(options)}))?;
            let follow = request("object_logs", json!({"path": path, "backlog": 0}))?;
            let resume = request("object_logs", json!({"path": path, "backlog": RESUME}))?;
            Ok(Source { past, follow, resume })
        })
        .collect::<Result<_, _>>()?;
    run(om, link, &sources, options, node)
}

/// Prints the log of nodes.
pub(super) fn node(om: &Om, link: &Link, options: &LogOptions, node: Option<NodeSpec>) -> Done {
    if is_read_here(link, options) {
        return written(om, &[om.paths.node_log()], options);
    }
    let past = request("node_backlogs", json!({"backlog": backlog(options)}))?;
    let follow = request("node_logs", json!({"backlog": 0}))?;
    let resume = request("node_logs", json!({"backlog": RESUME}))?;
    run(om, link, &[Source { past, follow, resume }], options, node)
}

/// Whether the files here are all there is to read: a daemon that does not run tells nobody why.
fn is_read_here(link: &Link, options: &LogOptions) -> bool {
    let is_down = || {
        let asked = link.ask(&Request::new(wire::BlacklistStatus {}), Some(ANSWER));
        matches!(asked, Err(AskError::NotRunning(_)))
    };
    !options.follow && is_down()
}

/// Prints what the files of this node have.
fn written(om: &Om, files: &[PathBuf], options: &LogOptions) -> Done {
    let most = wire::Size::parse(backlog(options)).map_or(0, |size| size.0);
    let mut entries = vec![];
    for file in files {
        let Ok((text, _)) = read_backlog(file, most) else { continue };
        each_entry(&text, &mut |entry| entries.push(entry));
    }
    sort(&mut entries);
    write(om, &entries);
    note(
        "the daemon is not running: this is what the files of this node have, start it with `om daemon start`",
    );
    Ok(0)
}

fn backlog(options: &LogOptions) -> &str {
    options.backlog.as_deref().unwrap_or(BACKLOG)
}

/// A request whose options an operator wrote: the router's own check tells what is wrong with them.
fn request(action: &str, options: Value) -> Result<Request, Failure> {
    Request::from_value(json!({"action": action, "method": "GET", "options": options}))
        .map_err(|error| Failure::usage(error.to_string()))
}

struct Source {
    past: Request,
    follow: Request,
    /// The same from a while ago, to take a broken stream up again.
    resume: Request,
}

fn run(
    om: &Om,
    link: &Link,
    sources: &[Source],
    options: &LogOptions,
    node: Option<NodeSpec>,
) -> Done {
    // The stream is opened before the past is read, or what is logged in between would be lost.
    let mut follower = options.follow.then(|| Follower::start(link, sources, &node));
    let mut entries = vec![];
    let mut failures = vec![];
    for (at, source) in sources.iter().enumerate() {
        let reply = link.ask(&addressed(source.past.clone(), node.clone()), Some(ANSWER))?;
        if let Some(follower) = &mut follower {
            follower.on_past(at, &reply);
        }
        collect(reply, &mut entries, &mut failures);
    }
    sort(&mut entries);
    write(om, &entries);
    // A file that is not there yet is no failure: agents tell it with this text.
    let count = failures.len();
    failures.retain(|line| !line.contains("[Errno 2] No such file or directory"));
    if failures.len() < count && entries.is_empty() {
        note("nothing is logged yet");
    }
    failures.iter().for_each(|line| complain(line));
    if let Some(follower) = follower {
        follower.run(om)?;
    }
    Ok(u8::from(entries.is_empty() && !failures.is_empty()))
}

/// Takes the entries out of a reply: an array, or one per node.
fn collect(reply: Value, entries: &mut Vec<Value>, failures: &mut Vec<String>) {
    match reply {
        Value::Array(items) => entries.extend(items),
        Value::Object(mut reply) => match reply.remove("nodes") {
            Some(Value::Object(nodes)) => {
                for (node, reply) in nodes {
                    match reply {
                        Value::Array(items) => entries.extend(items),
                        other => failures.extend(
                            wire::reply::Lines::of(&other)
                                .errors
                                .into_iter()
                                .map(|line| format!("{node}: {line}")),
                        ),
                    }
                }
            }
            _ => failures.extend(wire::reply::Lines::of(&Value::Object(reply)).errors),
        },
        _ => {}
    }
}

fn time_of(entry: &Value) -> f64 {
    entry.get("t").and_then(Value::as_f64).unwrap_or(0.0)
}

/// By time; entries of one instant stay in the order in which their node wrote them.
fn sort(entries: &mut [Value]) {
    entries.sort_by(|a, b| time_of(a).total_cmp(&time_of(b)));
}

fn write(om: &Om, entries: &[Value]) {
    if om.is_machine_readable() {
        // No entry is nothing that a filter could select from.
        if !entries.is_empty() {
            om.show(&Value::Array(entries.to_vec()), om::render::json);
        }
        return;
    }
    let mut text = String::new();
    for entry in entries {
        if let Some(lines) = log_entry(entry, &local_time(time_of(entry))) {
            text.push_str(&lines.to_string());
        }
    }
    print(&text);
}

/// Entries of several nodes that wait to be put in order.
#[derive(Debug, Default)]
struct Held {
    entries: Vec<Value>,
    /// When those that wait are printed, from when the first of them came.
    until: Option<Instant>,
}

impl Held {
    fn add(&mut self, entries: Vec<Value>, until: Instant) {
        if !entries.is_empty() {
            self.entries.extend(entries);
            self.until.get_or_insert(until);
        }
    }

    /// All of them, by time.
    fn take(&mut self) -> Vec<Value> {
        self.until = None;
        let mut entries = std::mem::take(&mut self.entries);
        sort(&mut entries);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_several_nodes_are_merged_by_time() {
        let entry = |t: f64, n: &str| json!({"t": t, "l": "INFO", "m": ["x"], "x": {"n": n}});
        let reply = json!({"nodes": {
            "n1": [entry(1.0, "n1"), entry(3.0, "n1")],
            "n2": [entry(2.0, "n2")],
            "n3": {"status": 404, "error": "svc1 not found"},
        }, "status": 404});
        let (mut entries, mut failures) = (vec![], vec![]);
        collect(reply, &mut entries, &mut failures);
        sort(&mut entries);
        let nodes: Vec<&str> = entries.iter().filter_map(|e| e.pointer("/x/n")?.as_str()).collect();
        assert_eq!(nodes, ["n1", "n2", "n1"]);
        assert_eq!(failures, ["n3: svc1 not found"]);
    }

    #[test]
    fn what_is_followed_on_several_nodes_is_put_in_order() {
        let (mut held, now) = (Held::default(), Instant::now());
        held.add(vec![], now);
        assert_eq!(held.until, None);
        held.add(vec![json!({"t": 3.0}), json!({"t": 4.0})], now);
        held.add(vec![json!({"t": 2.0})], now + HOLD);
        assert_eq!(held.until, Some(now));
        assert_eq!(held.take(), [json!({"t": 2.0}), json!({"t": 3.0}), json!({"t": 4.0})]);
        assert_eq!((held.until, held.take()), (None, vec![]));
    }

    #[test]
    fn a_time_is_written_as_in_the_files() {
        let time = local_time(1_795_822_944.321);
        assert_eq!(time.split_once(',').map(|(_, fraction)| fraction), Some("321"), "{time}");
    }

    #[test]
    fn a_backlog_that_is_no_size_is_wrong_usage() {
        let error = request("node_backlogs", json!({"backlog": "much"})).map(|_| ());
        assert_eq!(error.map_err(|error| error.code), Err(2));
    }
}
