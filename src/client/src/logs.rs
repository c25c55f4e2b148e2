//! `om <path> logs`, `om node logs`: what was and is logged.

pub(crate) mod entries;
mod follower;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use cli::{LogOptions, LogTime};
use model::ObjectPath;
use serde_json::{Value, json};
use wire::{NodeSpec, Request};

use link::link::Link;
use link::link::error::AskError;
use logs::backlog::{each_entry, read_since};
use logs::filter::LogFilter;

use crate::logs::entries::{Source, View, collect, instant, sort, write};
use crate::logs::follower::Follower;
use crate::om::{ANSWER, Done, Failure, Om, addressed, complain, note};

/// How much of the past is shown where nothing is said.
const BACKLOG: &str = "10k";

/// How much of the end of a log a stream brings at first: what is written while the past is read is in it.
const OPEN: &str = "64k";

/// How much of a log is looked through for the place where a broken stream is taken up again.
const RESUME: &str = "1m";

/// Prints the logs of objects, those of several nodes merged by time.
pub(super) fn objects(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    options: &LogOptions,
    node: Option<NodeSpec>,
) -> Done {
    let (only, view) = (wanted(options)?, view(om, options, paths.len() > 1));
    let files: Vec<PathBuf> = paths.iter().map(|path| om.paths.log_file(path)).collect();
    if is_read_here(link, options) {
        return written(om, &files, options, &only, view);
    }
    let sources: Vec<Source> = paths
        .iter()
        .map(|path| -> Result<Source, Failure> {
            let path = path.to_string();
            let ask = |name: &str, backlog: &str| {
                let only = only.to_request();
                request(name, json!({"path": path, "backlog": backlog, "only": only}))
            };
            Ok(Source {
                filter: only.clone(),
                past: ask("object_backlogs", backlog(options))?,
                open: ask("object_logs", opening(options))?,
                follow: ask("object_logs", "0")?,
                resume: ask("object_logs", RESUME)?,
            })
        })
        .collect::<Result<_, _>>()?;
    run(om, link, &sources, options, view, node)
}

/// Prints the log of nodes.
pub(super) fn node(om: &Om, link: &Link, options: &LogOptions, node: Option<NodeSpec>) -> Done {
    let (only, view) = (wanted(options)?, view(om, options, true));
    if is_read_here(link, options) {
        return written(om, &[om.paths.node_log()], options, &only, view);
    }
    let ask = |name: &str, backlog: &str| {
        request(name, json!({"backlog": backlog, "only": only.to_request()}))
    };
    let source = Source {
        past: ask("node_backlogs", backlog(options))?,
        open: ask("node_logs", opening(options))?,
        follow: ask("node_logs", "0")?,
        resume: ask("node_logs", RESUME)?,
        filter: only,
    };
    run(om, link, &[source], options, view, node)
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
fn written(om: &Om, files: &[PathBuf], options: &LogOptions, only: &LogFilter, view: View) -> Done {
    let most = wire::Size::parse(backlog(options)).map_or(0, |size| size.0);
    let mut entries = vec![];
    for file in files {
        let Ok(text) = read_since(file, most, only.since) else { continue };
        each_entry(&text, &mut |entry| entries.extend(Some(entry).filter(|it| only.passes(it))));
    }
    sort(&mut entries);
    write(om, view, &entries);
    note(
        "the daemon is not running: this is what the files of this node have, start it with `om daemon start`",
    );
    Ok(0)
}

fn backlog(options: &LogOptions) -> &str {
    // Who looks for something looks for it in all of the log.
    let is_searched = options.since.is_some()
        || options.until.is_some()
        || options.level.is_some()
        || options.grep.is_some();
    options.backlog.as_deref().unwrap_or(if is_searched { "-1" } else { BACKLOG })
}

/// With how much of the end a stream begins: who wants nothing of the past gets nothing of it.
fn opening(options: &LogOptions) -> &'static str {
    match wire::Size::parse(backlog(options)) {
        Some(wire::Size(0)) => "0",
        _ => OPEN,
    }
}

/// What of the logs is wanted.
fn wanted(options: &LogOptions) -> Result<LogFilter, Failure> {
    let time = |name: &str, time: &Option<LogTime>| {
        let instant = time.as_ref().map(instant).transpose();
        instant.map_err(|error| Failure::usage(format!("--{name}: {error}")))
    };
    let (since, until) = (time("since", &options.since)?, time("until", &options.until)?);
    LogFilter::new(since, until, options.level.as_deref(), options.grep.as_deref())
        .map_err(|error| Failure::usage(format!("--grep: {error}")))
}

/// Who reads a terminal has no use for sessions and processes; who reads a pipe may be a program.
fn view(om: &Om, options: &LogOptions, with_object: bool) -> View {
    let is_terminal = std::io::stdout().is_terminal() && !om.is_machine_readable();
    View { is_short: is_terminal && !options.is_verbose, with_object }
}

/// A request whose options an operator wrote: the router's own check tells what is wrong with them.
fn request(action: &str, options: Value) -> Result<Request, Failure> {
    Request::from_value(json!({"action": action, "method": "GET", "options": options}))
        .map_err(|error| Failure::usage(error.to_string()))
}

fn run(
    om: &Om,
    link: &Link,
    sources: &[Source],
    options: &LogOptions,
    view: View,
    node: Option<NodeSpec>,
) -> Done {
    let mut follower = options.follow.then(|| Follower::start(link, sources, &node));
    let mut entries = vec![];
    let mut failures = vec![];
    for (at, source) in sources.iter().enumerate() {
        let reply = link.ask(&addressed(source.past.clone(), node.clone()), Some(ANSWER))?;
        if let Some(follower) = &mut follower {
            follower.on_past(at, &reply);
        }
        let begin = entries.len();
        collect(reply, &mut entries, &mut failures);
        // A deployed agent leaves nothing out.
        let news = entries.split_off(begin);
        entries.extend(news.into_iter().filter(|entry| source.filter.passes(entry)));
    }
    sort(&mut entries);
    write(om, view, &entries);
    // A file that is not there yet is no failure: agents tell it with this text.
    let count = failures.len();
    failures.retain(|line| !line.contains("[Errno 2] No such file or directory"));
    if failures.len() < count && entries.is_empty() {
        note("nothing is logged yet");
    }
    failures.iter().for_each(|line| complain(line));
    if let Some(follower) = follower {
        follower.run(om, view)?;
    }
    Ok(u8::from(entries.is_empty() && !failures.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::logs::entries::{HOLD, Held, local_time};

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
    fn times_are_read_as_a_clock_shows_them() {
        let at = |text: &str| instant(&LogTime::At(text.to_owned()));
        let day = |text: &str| text.parse::<jiff::civil::DateTime>().unwrap();
        let in_zone = |text: &str| {
            let zoned = day(text).to_zoned_datetime(jiff::tz::TimeZone::system()).unwrap();
            zoned.timestamp().as_second() as f64
        };
        for text in ["2001-02-03 17:30", "2001-02-03T17:30", "2001-02-03 17:30:00"] {
            assert_eq!(at(text).unwrap(), in_zone("2001-02-03T17:30"), "{text}");
        }
        assert_eq!(at("2001-02-03").unwrap(), in_zone("2001-02-03T00:00"));
        assert_eq!(at("2001-02-03T17:30:00Z").unwrap(), 981_221_400.0);
        assert_eq!(at("2001-02-03T18:30:00+01:00").unwrap(), 981_221_400.0);
        let today = machine::clock::zoned().date().to_datetime(jiff::civil::time(17, 30, 0, 0));
        assert_eq!(at("17:30").unwrap(), in_zone(&today.to_string()));
        assert!(at("noon").unwrap_err().contains("\"noon\" is no time"));
    }

    #[test]
    fn a_backlog_that_is_no_size_is_wrong_usage() {
        let error = request("node_backlogs", json!({"backlog": "much"})).map(|_| ());
        assert_eq!(error.map_err(|error| error.code), Err(2));
    }
}
