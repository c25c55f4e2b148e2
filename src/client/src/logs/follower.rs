//! Following logs over the network, through the restarts of those who serve them.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::Instant;

use serde_json::Value;
use wire::reply::{Lines, status_of};
use wire::{NodeSpec, Request};

use link::link::Link;
use link::link::error::AskError;
use logs::filter::LogFilter;
use machine::clock;

use crate::logs::entries::{HOLD, Held, Source, View, collect, time_of, write};
use crate::om::{Failure, Om, complain, note};
use crate::streams::{Retry, links};

/// Entries by which the place is found where a stream broke off.
const TAIL: usize = 16;

/// Entries of the past that a stream may bring too.
const PAST: usize = 512;

/// The last entries of a log that were shown.
#[derive(Debug, Clone, Default, PartialEq)]
struct Tail(VecDeque<Value>);

impl Tail {
    fn note(&mut self, entries: &[Value]) {
        self.0.extend(entries.iter().skip(entries.len().saturating_sub(TAIL)).cloned());
        while self.0.len() > TAIL {
            self.0.pop_front();
        }
    }

    /// What follows the tail in the end of a log, as far back as it was read. `since`: what counts when nothing was
    /// shown yet.
    fn news(&self, mut entries: Vec<Value>, since: f64) -> Vec<Value> {
        if self.0.is_empty() {
            entries.retain(|entry| time_of(entry) >= since);
            return entries;
        }
        match self.place(&entries) {
            Some(at) => entries.split_off(at + 1),
            // Rotated away, or more was logged than is looked through: all of it came later.
            None => entries,
        }
    }

    /// Where the tail ends in the end of a log.
    fn place(&self, entries: &[Value]) -> Option<usize> {
        // By their content: the clock of the node may have been set meanwhile. Lines may repeat: the place is where most of
        // the tail fits, the first one of several.
        let fit = |at: usize, shown: usize| {
            let tail = self.0.iter().rev().skip(shown);
            entries[..=at].iter().rev().zip(tail).take_while(|(a, b)| a == b).count()
        };
        // The last line that was shown may have been lost in a crash.
        self.0.iter().rev().enumerate().find_map(|(shown, last)| {
            (0..entries.len())
                .filter(|at| entries[*at] == *last)
                .max_by_key(|at| (fit(*at, shown), std::cmp::Reverse(*at)))
        })
    }
}

/// What a stream that begins brings behind the past. The past may have been read before the stream began, or after.
fn unread(past: &[Value], mut entries: Vec<Value>) -> Vec<Value> {
    let mut tail = Tail::default();
    tail.note(past);
    match tail.place(&entries) {
        Some(at) => entries.split_off(at + 1),
        // All of it was there when the past was read.
        None if entries.last().is_some_and(|last| past.contains(last)) => vec![],
        None => entries,
    }
}

/// What a stream has to say.
enum News {
    /// It is the stream of this number.
    Entries(usize, Vec<Value>),
    /// It is lost, or back.
    Note(String),
    /// It never was there, and is the only one.
    Failed(AskError),
}

/// One source on one node.
struct Stream {
    /// Number of its source.
    source: usize,
    /// Its node; empty for the one that is asked.
    node: String,
    /// Tells its thread what was shown of the past.
    past: mpsc::Sender<Vec<Value>>,
    /// Entries of the past that the stream may bring too.
    shown: Vec<Value>,
}

/// Threads that each follow one source on one node.
pub(super) struct Follower {
    incoming: mpsc::Receiver<News>,
    streams: Vec<Stream>,
}

impl Follower {
    pub(super) fn start(link: &Link, sources: &[Source], node: &Option<NodeSpec>) -> Self {
        // Whoever sends what is large waits until it is shown.
        let (sender, incoming) = mpsc::sync_channel(1);
        let links = links(link, node);
        let is_only = sources.len() * links.len() == 1;
        let mut streams = vec![];
        for (at, source) in sources.iter().enumerate() {
            for (name, link) in &links {
                let (past, shown) = mpsc::channel();
                let number = streams.len();
                streams.push(Stream { source: at, node: name.clone(), past, shown: vec![] });
                let thread = Thread {
                    number,
                    retry: Retry::new(name, &link.server, "its log"),
                    link: link.clone(),
                    open: source.open.clone(),
                    follow: source.follow.clone(),
                    resume: source.resume.clone(),
                    last: None,
                    filter: source.filter.clone(),
                    is_only,
                    sender: sender.clone(),
                    shown,
                };
                std::thread::spawn(move || thread.run());
            }
        }
        Self { incoming, streams }
    }

    /// The past of a source was read: streams go on from there.
    pub(super) fn on_past(&mut self, source: usize, reply: &Value) {
        let nodes = reply.get("nodes").and_then(Value::as_object);
        for stream in self.streams.iter_mut().filter(|stream| stream.source == source) {
            let part = match nodes {
                Some(nodes) => nodes.get(&stream.node),
                None => Some(reply),
            };
            let entries = part.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let end = entries[entries.len().saturating_sub(PAST)..].to_vec();
            stream.shown.clone_from(&end);
            _ = stream.past.send(end);
        }
    }

    /// Drops what the past has shown already.
    fn unshown(&mut self, number: usize, mut entries: Vec<Value>) -> Vec<Value> {
        let shown = &mut self.streams[number].shown;
        entries.retain(|entry| match shown.iter().position(|known| known == entry) {
            Some(at) => {
                shown.remove(at);
                false
            }
            None => true,
        });
        entries
    }

    /// Prints what comes until all streams have ended. With several of them, what comes waits a moment for what was
    /// logged before it elsewhere.
    pub(super) fn run(mut self, om: &Om, view: View) -> Result<(), Failure> {
        let mut has_failed = false;
        let mut held = Held::default();
        loop {
            let received = match held.until {
                None => self.incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(until) => {
                    self.incoming.recv_timeout(until.saturating_duration_since(Instant::now()))
                }
            };
            match received {
                Ok(News::Entries(number, entries)) => {
                    let entries = self.unshown(number, entries);
                    if self.streams.len() == 1 {
                        write(om, view, &entries);
                    } else {
                        held.add(entries, Instant::now() + HOLD);
                    }
                }
                Ok(News::Note(line)) => note(&line),
                Ok(News::Failed(error)) => {
                    complain(&error.to_string());
                    has_failed = true;
                }
                Err(RecvTimeoutError::Timeout) => write(om, view, &held.take()),
                Err(RecvTimeoutError::Disconnected) => {
                    write(om, view, &held.take());
                    break;
                }
            }
        }
        if has_failed { Err(Failure { lines: vec![], code: 1 }) } else { Ok(()) }
    }
}

/// Follows one stream for as long as somebody listens.
struct Thread {
    number: usize,
    retry: Retry,
    link: Link,
    open: Request,
    follow: Request,
    resume: Request,
    /// Where it is, of a daemon that tells that.
    last: Option<String>,
    filter: LogFilter,
    is_only: bool,
    sender: SyncSender<News>,
    shown: mpsc::Receiver<Vec<Value>>,
}

/// How a stream ended.
enum End {
    /// Nobody listens any more.
    Unwanted,
    /// The node answered that it does not serve it.
    Refused(String),
    /// The connection, or the daemon.
    Lost(Option<AskError>),
}

impl Thread {
    fn run(mut self) {
        let since = clock::now().0;
        let mut tail = Tail::default();
        loop {
            let mut retry = self.retry.clone();
            let is_new = retry.is_new();
            // Nothing is told twice then.
            let is_exact = self.last.is_some();
            let mut last = self.last.take();
            let (mut is_first, mut is_there) = (true, false);
            let end = self.stream(&mut last, &mut |entries| {
                is_there = true;
                let mut entries = entries;
                if is_first && is_new {
                    let past = self.shown.recv().unwrap_or_default();
                    entries = unread(&past, entries);
                    tail.note(&past);
                } else if is_first {
                    // What the past has shown counts as shown by the stream, which may not have brought anything.
                    if tail.0.is_empty() {
                        self.shown.try_iter().for_each(|past| tail.note(&past));
                    }
                    if !is_exact {
                        entries = tail.news(entries, since);
                    }
                    if let Some(back) = retry.on_item()
                        && self.sender.send(News::Note(back)).is_err()
                    {
                        return false;
                    }
                }
                is_first = false;
                tail.note(&entries);
                entries.is_empty() || self.sender.send(News::Entries(self.number, entries)).is_ok()
            });
            self.retry = retry;
            self.last = last;
            let reason = match end {
                End::Unwanted => return,
                // An object that is not there, for one; after a restart it may not be there yet.
                End::Refused(_) if is_new => return,
                End::Refused(reason) => Some(reason),
                End::Lost(Some(error))
                    if is_new
                        && !is_there
                        && self.is_only
                        && !matches!(error, AskError::Broken(..)) =>
                {
                    _ = self.sender.send(News::Failed(error));
                    return;
                }
                End::Lost(error) => error.map(|error| error.to_string()),
            };
            if let Some(lost) = self.retry.on_end(reason.as_deref())
                && self.sender.send(News::Note(lost)).is_err()
            {
                return;
            }
            self.retry.pause();
        }
    }

    /// One connection: `on_entries` tells whether to go on.
    fn stream(
        &self,
        last: &mut Option<String>,
        on_entries: &mut dyn FnMut(Vec<Value>) -> bool,
    ) -> End {
        let (mut is_wanted, mut refusal) = (true, None);
        let request = match last {
            Some(_) => &self.follow,
            None if self.retry.is_new() => &self.open,
            None => &self.resume,
        };
        let ended = self.link.follow_from(request, last, &mut |item| {
            if item["kind"] == "gap" {
                let text = format!("{}: entries of its log are lost", self.link.server);
                is_wanted = self.sender.send(News::Note(text)).is_ok();
                return if is_wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
            }
            if status_of(&item) != 0 {
                refusal = Some(Lines::of(&item).errors.join(", "));
                return ControlFlow::Break(());
            }
            let mut entries = vec![];
            collect(item, &mut entries, &mut vec![]);
            entries.retain(|entry| self.filter.passes(entry));
            is_wanted = on_entries(entries);
            if is_wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match (is_wanted, refusal, ended) {
            (false, ..) => End::Unwanted,
            (true, Some(refusal), _) => End::Refused(refusal),
            (true, None, ended) => End::Lost(ended.err()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries(texts: &str) -> Vec<Value> {
        texts.bytes().map(|sign| json!({"t": f64::from(sign), "m": [char::from(sign)]})).collect()
    }

    fn news(shown: &str, log: &str) -> String {
        let mut tail = Tail::default();
        tail.note(&entries(shown));
        let news = tail.news(entries(log), f64::from(b'c'));
        news.iter().filter_map(|entry| entry["m"][0].as_str()).collect()
    }

    #[test]
    fn a_stream_that_begins_brings_what_the_past_has_not_shown() {
        let unread = |past: &str, log: &str| -> String {
            let news = unread(&entries(past), entries(log));
            news.iter().filter_map(|entry| entry["m"][0].as_str()).collect()
        };
        assert_eq!(unread("abc", "abcde"), "de", "the past was read first");
        assert_eq!(unread("abcde", "abc"), "", "the stream began first");
        let burst = "abcdefghijklmnopqrstuvwxyz";
        assert_eq!(unread(burst, "abc"), "", "much was logged in between");
        assert_eq!(unread("", "abc"), "abc", "nothing was there");
        assert_eq!(unread("abc", "de"), "de", "it brought nothing at first");
    }

    #[test]
    fn a_broken_stream_goes_on_behind_what_was_shown() {
        assert_eq!(news("abc", "abcde"), "de");
        assert_eq!(news("abc", "cde"), "de", "the log is read from the middle");
        assert_eq!(news("abc", "abc"), "");
        assert_eq!(news("aab", "aabaab"), "aab", "lines may repeat");
        assert_eq!(news("bab", "babxbab"), "xbab");
        assert_eq!(news("abc", "de"), "de", "rotated away");
        assert_eq!(news("abd", "bcef"), "cef", "a line was lost");
        assert_eq!(news("xyz", "abc"), "abc", "rotated away, and the clock was set back");
        assert_eq!(news("xyz", "yzab"), "ab", "the clock was set back");
        assert_eq!(news("", "abcd"), "cd", "nothing was shown: what is new counts");
        assert_eq!(news("abcdefghijklmnopqrstuvwxyz", "yz{"), "{");
    }
}
