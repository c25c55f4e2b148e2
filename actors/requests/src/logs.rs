//! The logs of objects and of the node: what is there (`backlogs`), and what comes (`logs`).

use std::io;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use link::heavy;
use link::heavy::Held;
use logs::backlog::{each_entry, next_line, read_backlog, read_since};
use logs::filter::LogFilter;
use mail::requests::{NotNow, Outcome, Refused};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use wire::{NodeBacklogs, NodeLogs, ObjectBacklogs, ObjectLogs, Prepared, Request};

use crate::context::Context;

/// The end of a log up to which its entries take little memory.
const SHORT_BACKLOG: i64 = 64 << 10;
/// Text in one document of the 1.9 form, as those agents cut it.
const LINES_DOCUMENT_BYTES: usize = 1 << 20;
/// How often a followed file is looked at. A watch per follower would exhaust the user's inotify instances (128 by
/// default); looking costs one `stat`, and only while somebody follows.
const POLL: Duration = Duration::from_millis(200);
/// Pause after which a lone NUL is sent, to notice a client that went away.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Most text read at once of a followed file.
const MAX_FOLLOW_BYTES: u64 = 1 << 20;

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
    backlogs(object_log(context, &options.path).await?, options.backlog.0, filter).await
}

/// GET `node_backlogs`.
pub(super) async fn node_backlogs(
    context: &Context,
    options: &NodeBacklogs,
) -> Result<Outcome, Refused> {
    backlogs(context.mail.paths.node_log(), options.backlog.0, filter(&options.only)?).await
}

/// GET `object_logs`.
pub(super) async fn object_logs(
    context: &Context,
    options: &ObjectLogs,
    request: &Request,
) -> Result<Outcome, Refused> {
    let filter = filter(&options.only)?;
    stream(object_log(context, &options.path).await?, options.backlog.0, filter, request).await
}

/// GET `node_logs`.
pub(super) async fn node_logs(
    context: &Context,
    options: &NodeLogs,
    request: &Request,
) -> Result<Outcome, Refused> {
    let filter = filter(&options.only)?;
    stream(context.mail.paths.node_log(), options.backlog.0, filter, request).await
}

/// The entries that a request wants.
fn filter(only: &Map<String, Value>) -> Result<LogFilter, Refused> {
    LogFilter::of_request(only).map_err(|error| Refused::new(400, format!("option only: {error}")))
}

/// Answers with the end of a log: one array of entries.
async fn backlogs(file: PathBuf, backlog: i64, filter: LogFilter) -> Result<Outcome, Refused> {
    let shown = file.display().to_string();
    let held = hold(backlog).await?;
    let read = tokio::task::spawn_blocking(move || {
        // Until it is done, whether somebody waits for it or not.
        let _held = held;
        let text = read_since(&file, backlog, filter.since)?;
        // Nothing but its text is kept for a slow reader.
        io::Result::Ok(Prepared::from_json(json(&text, Form::Entries, &filter).into_bytes()))
    });
    let entries = read.await.map_err(|_| unread())?.map_err(|error| file_error(&error, &shown))?;
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
    file: PathBuf,
    backlog: i64,
    filter: LogFilter,
    request: &Request,
) -> Result<Outcome, Refused> {
    let is_old = request.method.is_none() && matches!(&*request.name, "service_logs" | "node_logs");
    if is_old {
        lines(file, backlog).await
    } else {
        Ok(follow(file, Form::Entries, backlog, filter))
    }
}

/// 1.9 `service_logs`, `node_logs`: the end of the log as arrays of lines, then the end; with a backlog of 0, what comes.
async fn lines(file: PathBuf, backlog: i64) -> Result<Outcome, Refused> {
    if backlog == 0 {
        return Ok(follow(file, Form::Lines, 0, LogFilter::default()));
    }
    let (sender, receiver) = mpsc::channel(2);
    let shown = file.display().to_string();
    let read = tokio::task::spawn_blocking(move || read_backlog(&file, backlog)).await;
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

/// Streams what is written to a log from now on.
fn follow(file: PathBuf, form: Form, backlog: i64, filter: LogFilter) -> Outcome {
    let filter = Arc::new(filter);
    let (sender, receiver) = mpsc::channel(16);
    actix_rt::spawn(async move {
        let Ok(held) = hold(backlog).await else { return };
        let wanted = filter.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let read = if backlog == 0 { None } else { read_backlog(&file, backlog).ok() };
            let (follower, text) = match read {
                None => (Follower::at_end(&file), String::new()),
                // What is written in between comes next.
                Some((text, end)) => Follower::behind(&file, text, end),
            };
            (follower, (!text.is_empty()).then(|| document(&text, form, &wanted)), held)
        });
        let Ok((mut follower, first, held)) = opened.await else { return };
        drop(held);
        if let Some(first) = first
            && sender.send(first.into()).await.is_err()
        {
            return;
        }
        let mut last_sent = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = sender.closed() => return,
            }
            let wanted = filter.clone();
            let polled = tokio::task::spawn_blocking(move || {
                let item = follower.poll().map(|text| document(&text, form, &wanted));
                // Nothing of it is wanted.
                let item = item.filter(|item| wanted.is_open() || **item != *"[]");
                (follower, item)
            });
            let Ok((polled, item)) = polled.await else { return };
            follower = polled;
            let item = match item {
                Some(item) => item,
                None if last_sent.elapsed() >= KEEP_ALIVE => Arc::from(""),
                None => continue,
            };
            last_sent = Instant::now();
            if sender.send(item.into()).await.is_err() {
                return;
            }
        }
    });
    Outcome::Stream(receiver)
}

fn document(text: &str, form: Form, filter: &LogFilter) -> Arc<str> {
    json(text, form, filter).into()
}

/// A text as JSON.
fn json(text: &str, form: Form, filter: &LogFilter) -> String {
    let mut document = String::with_capacity(text.len() + text.len() / 4 + 2);
    // One by one: as values, all of them would take twenty times their text.
    let mut add = |item: Value| {
        document.push(if document.is_empty() { '[' } else { ',' });
        document.push_str(&item.to_string());
    };
    match form {
        Form::Entries => each_entry(text, &mut |entry| {
            if filter.passes(&entry) {
                add(entry);
            }
        }),
        Form::Lines => text.split_inclusive('\n').map(Value::from).for_each(add),
    }
    if document.is_empty() {
        document.push('[');
    }
    document.push(']');
    document
}

/// A log that can be read; a pipe would wait for who writes.
fn open(file: &Path) -> Option<std::fs::File> {
    machine::regular::open(file).ok().map(|(file, _)| file)
}

/// Reads what is appended to a file, through rotations.
#[derive(Debug)]
struct Follower {
    file: PathBuf,
    /// The open file, none while there is none.
    open: Option<std::fs::File>,
    at: u64,
    /// A line that has not ended yet.
    partial: Vec<u8>,
}

impl Follower {
    fn at_end(file: &Path) -> Self {
        let open = open(file);
        let at = open.as_ref().and_then(|open| open.metadata().ok()).map_or(0, |meta| meta.len());
        Self { file: file.to_owned(), open, at, partial: vec![] }
    }

    /// Behind a text that was read up to `end`: the follower, and the whole lines of the text.
    fn behind(file: &Path, mut text: String, end: u64) -> (Self, String) {
        let partial =
            text.split_off(memchr::memrchr(b'\n', text.as_bytes()).map_or(0, |at| at + 1));
        let open = open(file);
        (Self { file: file.to_owned(), open, at: end, partial: partial.into_bytes() }, text)
    }

    /// Whole lines that came since the last time.
    fn poll(&mut self) -> Option<String> {
        let mut bytes = std::mem::take(&mut self.partial);
        self.read_into(&mut bytes);
        let current = std::fs::metadata(&self.file).ok();
        let is_same = |open: &std::fs::File| {
            let opened = open.metadata().ok();
            opened.zip(current.as_ref()).is_some_and(|(opened, current)| {
                (opened.dev(), opened.ino()) == (current.dev(), current.ino())
                    && current.len() >= self.at
            })
        };
        if current.is_some() && !self.open.as_ref().is_some_and(is_same) {
            self.open = open(&self.file);
            self.at = 0;
            self.read_into(&mut bytes);
        }
        let end = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        self.partial = bytes.split_off(end);
        if self.partial.len() as u64 > MAX_FOLLOW_BYTES {
            self.partial.clear();
        }
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn read_into(&mut self, bytes: &mut Vec<u8>) {
        let Some(open) = &mut self.open else { return };
        let before = bytes.len();
        if open.seek(SeekFrom::Start(self.at)).is_ok() {
            _ = open.take(MAX_FOLLOW_BYTES).read_to_end(bytes);
        }
        self.at += (bytes.len() - before) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_follower_goes_on_where_the_backlog_ended() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.log");
        std::fs::write(&file, "one\ntw").unwrap();
        let (text, end) = read_backlog(&file, -1).unwrap();
        let mut out = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
        out.write_all(b"o\nthree\n").unwrap();
        let (mut follower, text) = Follower::behind(&file, text, end);
        assert_eq!(text, "one\n");
        assert_eq!(follower.poll().as_deref(), Some("two\nthree\n"));
    }

    #[test]
    fn a_follower_sees_whole_lines_through_a_rotation() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.log");
        std::fs::write(&file, "old\n").unwrap();
        let mut follower = Follower::at_end(&file);
        assert_eq!(follower.poll(), None);
        let mut out = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
        out.write_all(b"one\ntw").unwrap();
        assert_eq!(follower.poll().as_deref(), Some("one\n"));
        out.write_all(b"o\n").unwrap();
        std::fs::rename(&file, folder.path().join("x.log.1")).unwrap();
        std::fs::write(&file, "three\n").unwrap();
        assert_eq!(follower.poll().as_deref(), Some("two\nthree\n"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(follower.poll(), None);
        std::fs::write(&file, "four\n").unwrap();
        assert_eq!(follower.poll().as_deref(), Some("four\n"));
    }
}
