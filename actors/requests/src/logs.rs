//! The logs of objects and of the node: what is there (`backlogs`), and what comes (`logs`).

use std::collections::VecDeque;
use std::fmt::{Display, Write as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use link::heavy;
use link::heavy::Held;
use logs::backlog::{each_entry, next_line, read_backlog, read_since};
use logs::filter::LogFilter;
use mail::requests::{NotNow, Outcome, Refused};
use mail::stream::{Item, Since};
use model::NodeName;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use wire::{NodeBacklogs, NodeLogs, ObjectBacklogs, ObjectLogs, Prepared, Request};

use crate::context::Context;
use crate::follower::{Follower, Place};

/// The end of a log up to which its entries take little memory.
const SHORT_BACKLOG: i64 = 64 << 10;
/// Text in one document of the 1.9 form, as those agents cut it.
const LINES_DOCUMENT_BYTES: usize = 1 << 20;
/// How often a followed file is looked at. A watch per follower would exhaust the user's inotify instances (128 by
/// default); looking costs one `stat`, and only while somebody follows.
const POLL: Duration = Duration::from_millis(200);
/// Pause after which a lone NUL is sent, to notice a client that went away.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// 2.1: an array of `{"t", "l", "m", "x"}`.
    Entries,
    /// 1.9: an array of lines, newlines kept.
    Lines,
}

/// The log of an object, or why it has none.
async fn object_log(context: &Context, path: &str) -> Result<PathBuf, Refused> {
    let object = context.known_object(path).await?;
    Ok(context.mail.paths.log_file(&object))
}

/// GET `object_backlogs`.
pub(super) async fn object_backlogs(
    context: &Context,
    options: &ObjectBacklogs,
) -> Result<Outcome, Refused> {
    let filter = filter(&options.only)?;
    let file = object_log(context, &options.path).await?;
    // Where the files of this node are is for its administrator.
    let shown = match context.shows_all() {
        true => file.display().to_string(),
        false => format!("the log of {}", options.path),
    };
    backlogs(file, shown, options.backlog.0, filter).await
}

/// GET `node_backlogs`.
pub(super) async fn node_backlogs(
    context: &Context,
    options: &NodeBacklogs,
) -> Result<Outcome, Refused> {
    let (file, filter) = (context.mail.paths.node_log(), filter(&options.only)?);
    let shown = file.display().to_string();
    backlogs(file, shown, options.backlog.0, filter).await
}

/// GET `object_logs`.
pub(super) async fn object_logs(
    context: &Context,
    options: &ObjectLogs,
    request: &Request,
) -> Result<Outcome, Refused> {
    let following = Following {
        backlog: options.backlog.0,
        filter: filter(&options.only)?,
        since: options.last_event_id.clone().filter(|id| !id.is_empty()),
        ids: options.ids,
    };
    stream(context, object_log(context, &options.path).await?, following, request).await
}

/// GET `node_logs`.
pub(super) async fn node_logs(
    context: &Context,
    options: &NodeLogs,
    request: &Request,
) -> Result<Outcome, Refused> {
    let following = Following {
        backlog: options.backlog.0,
        filter: filter(&options.only)?,
        since: options.last_event_id.clone().filter(|id| !id.is_empty()),
        ids: options.ids,
    };
    stream(context, context.mail.paths.node_log(), following, request).await
}

/// The entries that a request wants.
fn filter(only: &Map<String, Value>) -> Result<LogFilter, Refused> {
    LogFilter::of_request(only).map_err(|error| Refused::new(400, format!("option only: {error}")))
}

/// Answers with the end of a log, called `shown`: one array of entries.
async fn backlogs(
    file: PathBuf,
    shown: String,
    backlog: i64,
    filter: LogFilter,
) -> Result<Outcome, Refused> {
    let held = hold(backlog).await?;
    let read = heavy::apart(move || {
        // Until it is done, whether somebody waits for it or not.
        let _held = held;
        let text = read_since(&file, backlog, filter.since)?;
        // Nothing but its text is kept for a slow reader.
        io::Result::Ok(Prepared::from_json(last(&text, Form::Entries, &filter).into_bytes()))
    });
    let entries = read.await.ok_or_else(unread)?.map_err(|error| file_error(&error, &shown))?;
    Ok(Outcome::Prepared(Arc::new(entries)))
}

/// Reading ended before its end.
fn unread() -> Refused {
    Refused::new(500, "the log could not be read")
}

/// Holds what the entries of a log take while they are made: up to ten times as much as its text.
async fn hold(backlog: i64) -> Result<Option<Held>, NotNow> {
    if (0..=SHORT_BACKLOG).contains(&backlog) {
        return Ok(None);
    }
    heavy::hold(heavy::MOST).await.map(Some).ok_or(NotNow)
}

/// The text of the deployed agents where it is known.
fn file_error(error: &io::Error, file: &str) -> Refused {
    let text = match error.kind() {
        io::ErrorKind::NotFound => format!("[Errno 2] No such file or directory: '{file}'"),
        _ => format!("{file}: {error}"),
    };
    Refused::new(500, text)
}

/// Follows a log. Without method and by the names that 1.9 had, in its form; else what comes, as
/// entries, preceded by the end of what is there if asked for.
async fn stream(
    context: &Context,
    file: PathBuf,
    following: Following,
    request: &Request,
) -> Result<Outcome, Refused> {
    let is_old = request.method.is_none() && matches!(&*request.name, "service_logs" | "node_logs");
    if is_old {
        lines(context, file, following.backlog).await
    } else {
        Ok(follow(context, file, Form::Entries, following))
    }
}

/// 1.9 `service_logs`, `node_logs`: the end of the log as arrays of lines, then the end; with a backlog of 0, what comes.
async fn lines(context: &Context, file: PathBuf, backlog: i64) -> Result<Outcome, Refused> {
    if backlog == 0 {
        return Ok(follow(context, file, Form::Lines, Following::default()));
    }
    let (sender, receiver) = mpsc::channel(2);
    let shown = file.display().to_string();
    let read = machine::blocking::run(move || read_backlog(&file, backlog)).await;
    let (text, _) = read.map_err(|_| unread())?.map_err(|error| file_error(&error, &shown))?;
    actix_rt::spawn(async move {
        let mut rest = text.as_str();
        loop {
            let mut end = rest.len().min(LINES_DOCUMENT_BYTES);
            if end < rest.len() {
                let cut = memchr::memrchr(b'\n', &rest.as_bytes()[..end]);
                end = cut.map_or_else(|| next_line(rest), |at| at + 1);
            }
            if sender
                .send(document(&rest[..end], Form::Lines, &LogFilter::default()).into())
                .await
                .is_err()
            {
                return;
            }
            rest = &rest[end..];
            if rest.is_empty() {
                return;
            }
        }
    });
    Ok(Outcome::Stream(receiver))
}

/// How a log is followed.
#[derive(Debug, Default)]
struct Following {
    /// How much of its end comes first.
    backlog: i64,
    filter: LogFilter,
    /// Goes on behind the item of this id instead.
    since: Option<String>,
    /// Whether items tell where they end.
    ids: bool,
}

impl Following {
    /// Opens the log: with what comes first, and whether what was to be gone on with is lost.
    fn open(&self, file: &Path, form: Form) -> (Follower, Option<Arc<str>>, bool) {
        if let Some(since) = &self.since {
            let place = Since::place(since).and_then(|place| place.parse::<Place>().ok());
            let resumed = place.and_then(|place| Follower::resumed(file, place));
            let is_lost = resumed.is_none();
            return (resumed.unwrap_or_else(|| Follower::at_end(file)), None, is_lost);
        }
        let read = if self.backlog == 0 { None } else { read_backlog(file, self.backlog).ok() };
        let (follower, text) = match read {
            None => (Follower::at_end(file), String::new()),
            // What is written in between comes next.
            Some((text, end)) => Follower::behind(file, text, end),
        };
        (follower, (!text.is_empty()).then(|| last(&text, form, &self.filter).into()), false)
    }

    /// An item that ends where the follower is.
    fn item(&self, follower: &Follower, text: Arc<str>) -> Item {
        match follower.place().map(|place| place.to_string()) {
            Some(place) if self.ids => {
                let entries = if text.is_empty() { "[]" } else { &*text };
                Item::placed(format!("{{\"at\":\"{place}\",\"entries\":{entries}}}").into(), &place)
            }
            Some(place) => Item::placed(text, &place),
            None => text.into(),
        }
    }
}

/// Streams what is written to a log from now on.
fn follow(context: &Context, file: PathBuf, form: Form, following: Following) -> Outcome {
    let (counts, nodename) = (context.mail.counts.clone(), context.mail.nodename.clone());
    let following = Arc::new(following);
    let (sender, receiver) = mpsc::channel(16);
    actix_rt::spawn(async move {
        let Ok(held) = hold(following.backlog).await else { return };
        let how = following.clone();
        let opened = machine::blocking::run(move || (how.open(&file, form), held));
        let Ok(((mut follower, first, is_lost), held)) = opened.await else { return };
        drop(held);
        if is_lost {
            counts.tallies.on_gap("evicted");
            let gap = gap(&nodename, following.since.as_deref().unwrap_or_default());
            if sender.send(gap.into()).await.is_err() {
                return;
            }
        }
        // Where it begins, if there is nothing to say: who loses the connection before the first entry comes back there.
        let first = following.item(&follower, first.unwrap_or_default());
        if form == Form::Entries || !first.is_empty() {
            _ = sender.send(first).await;
        }
        let mut last_sent = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = sender.closed() => return,
            }
            let how = following.clone();
            let polled = machine::blocking::run(move || {
                let text = follower.poll().map(|text| document(&text, form, &how.filter));
                // Nothing of it is wanted.
                let text = text.filter(|text| how.filter.is_open() || **text != *"[]");
                let item = text.map(|text| how.item(&follower, text));
                (follower, item)
            });
            let Ok((polled, item)) = polled.await else { return };
            follower = polled;
            let item = match item {
                Some(item) => item,
                None if last_sent.elapsed() >= KEEP_ALIVE => "".into(),
                None => continue,
            };
            last_sent = Instant::now();
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    Outcome::Stream(receiver)
}

/// Tells who comes back that entries are lost.
pub(super) fn gap(nodename: &NodeName, from: &str) -> String {
    let data = json!({"reason": "evicted", "from": from, "to": null});
    json!({"kind": "gap", "nodename": nodename, "ts": machine::clock::now(), "data": data})
        .to_string()
}

fn document(text: &str, form: Form, filter: &LogFilter) -> Arc<str> {
    json(text, form, filter).into()
}

/// A text as JSON.
fn json(text: &str, form: Form, filter: &LogFilter) -> String {
    let mut array = Array::with_room_for(text);
    each(text, form, filter, &mut |item| array.add(&item));
    array.finished()
}

/// The same of what is there already, of which no more may be wanted than the last ones.
fn last(text: &str, form: Form, filter: &LogFilter) -> String {
    let Some(lines) = filter.lines else { return json(text, form, filter) };
    let mut kept = VecDeque::new();
    each(text, form, filter, &mut |item| {
        kept.push_back(item.to_string());
        if kept.len() > lines {
            kept.pop_front();
        }
    });
    let mut array = Array::default();
    kept.iter().for_each(|item| array.add(item));
    array.finished()
}

/// Each item of a text that is wanted.
fn each(text: &str, form: Form, filter: &LogFilter, add: &mut dyn FnMut(Value)) {
    match form {
        Form::Entries => each_entry(text, &mut |entry| {
            if filter.passes(&entry) {
                add(entry);
            }
        }),
        Form::Lines => text.split_inclusive('\n').map(Value::from).for_each(add),
    }
}

/// An array that is written item by item: as values, all of them would take twenty times their text.
#[derive(Debug, Default)]
struct Array(String);

impl Array {
    fn with_room_for(text: &str) -> Self {
        Self(String::with_capacity(text.len() + text.len() / 4 + 2))
    }

    fn add(&mut self, item: &impl Display) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        _ = write!(self.0, "{item}");
    }

    fn finished(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('[');
        }
        self.0.push(']');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_there_the_last_are_shown_and_of_what_comes_all() {
        let line = |number| format!("2026-11-30 13:00:0{number},000 INFO n:n1 | m{number}\n");
        let text: String = (0..5).map(line).collect();
        let filter = |lines| {
            let mut filter = LogFilter::default();
            filter.lines = lines;
            filter
        };
        let shown = |text: String| -> Vec<String> {
            let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
            let words =
                |entry: &Value| entry["m"].to_string().trim_matches(['[', ']', '"']).to_owned();
            entries.iter().map(words).collect()
        };
        assert_eq!(shown(last(&text, Form::Entries, &filter(Some(2)))), ["m3", "m4"]);
        assert_eq!(shown(last(&text, Form::Entries, &filter(Some(0)))), Vec::<String>::new());
        assert_eq!(shown(last(&text, Form::Entries, &filter(None))).len(), 5);
        assert_eq!(shown(json(&text, Form::Entries, &filter(Some(2)))).len(), 5);
        assert_eq!(last("a\nb\n", Form::Lines, &filter(Some(1))), "[\"b\\n\"]");
    }

    #[test]
    fn a_backlog_starts_behind_the_first_line_of_its_cut() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.log");
        std::fs::write(&file, "one\ntwo\nthree\n").unwrap();
        let read = |backlog| read_backlog(&file, backlog).unwrap().0;
        assert_eq!(read(100), "one\ntwo\nthree\n");
        assert_eq!(read(-1), "one\ntwo\nthree\n");
        assert_eq!(read(14), "one\ntwo\nthree\n");
        assert_eq!(read(12), "two\nthree\n");
        assert_eq!(read(10), "three\n", "the cut falls on the start of a line");
        assert_eq!(read(0), "");
        assert!(read_backlog(&folder.path().join("none"), 1).is_err());
    }
}
