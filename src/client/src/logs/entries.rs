//! The entries of logs, of several nodes in the order of their times.

use std::time::{Duration, Instant};

use cli::LogTime;
use cli::render::{log_entry, log_line};
use jiff::civil::{Date, DateTime, Time};
use logs::filter::LogFilter;
use serde_json::Value;
use wire::Request;

use crate::om::{Om, print};

/// How long what one node logged waits for what others logged before: somewhat more than nodes look at their files.
pub(crate) const HOLD: Duration = Duration::from_millis(500);

/// A time of the cluster data as this machine's zone tells it: `YYYY-MM-DD HH:MM:SS,mmm`, as
/// the log files have it.
pub(crate) fn local_time(t: f64) -> String {
    let time = jiff::Timestamp::from_microsecond((t * 1e6).round() as i64).unwrap_or_default();
    time.to_zoned_datetime(jiff::tz::TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S,%3f")
        .to_string()
}

/// A time that an operator names, in seconds since 1970.
///
/// # Errors
///
/// It is none.
pub(crate) fn instant(time: &LogTime) -> Result<f64, String> {
    let now = machine::clock::zoned();
    let text = match time {
        LogTime::Ago(secs) => return Ok(machine::clock::now().plus(-secs).0),
        LogTime::At(text) => text.trim(),
    };
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond() as f64 / 1e3);
    }
    // A time alone comes last: of a text with a date, it would take the time and drop the date.
    let at = match text.parse::<DateTime>() {
        Ok(at) => at,
        Err(_) => now.date().to_datetime(text.parse::<Time>().map_err(|_| {
            let short: String = text.chars().take(40).collect();
            format!("{short:?} is no time: expected 10min, 2h, 17:30 or 2026-11-29 17:30")
        })?),
    };
    let zoned = at.to_zoned_datetime(now.time_zone().clone()).map_err(|error| error.to_string())?;
    Ok(zoned.timestamp().as_millisecond() as f64 / 1e3)
}

/// How entries are shown to a reader.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// For a terminal; else as the files have them.
    pub(crate) is_short: bool,
    /// Of several objects.
    pub(crate) with_object: bool,
}

impl View {
    /// The time of an entry. On a terminal, the day is told of what is not of today.
    fn time(self, t: f64, today: Date) -> String {
        if !self.is_short {
            return local_time(t);
        }
        let time = jiff::Timestamp::from_microsecond((t * 1e6).round() as i64).unwrap_or_default();
        let time = time.to_zoned_datetime(jiff::tz::TimeZone::system());
        let form = if time.date() == today { "%H:%M:%S.%3f" } else { "%Y-%m-%d %H:%M:%S" };
        time.strftime(form).to_string()
    }
}

pub(crate) struct Source {
    /// What is wanted of it, where its node does not leave the rest out.
    pub(crate) filter: LogFilter,
    pub(crate) past: Request,
    /// The stream, with as much of the end as may be written before the past is read.
    pub(crate) open: Request,
    /// The stream from where it broke off, of a daemon that knows the place.
    pub(crate) follow: Request,
    /// The same from a while ago, to take a broken stream up again.
    pub(crate) resume: Request,
}

/// Takes the entries out of a reply: an array, or one per node.
pub(crate) fn collect(reply: Value, entries: &mut Vec<Value>, failures: &mut Vec<String>) {
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

pub(crate) fn time_of(entry: &Value) -> f64 {
    entry.get("t").and_then(Value::as_f64).unwrap_or(0.0)
}

/// By time; entries of one instant stay in the order in which their node wrote them.
pub(crate) fn sort(entries: &mut [Value]) {
    entries.sort_by(|a, b| time_of(a).total_cmp(&time_of(b)));
}

pub(crate) fn write(om: &Om, view: View, entries: &[Value]) {
    if om.is_machine_readable() {
        // No entry is nothing that a filter could select from.
        if !entries.is_empty() {
            om.show(&Value::Array(entries.to_vec()), cli::render::json);
        }
        return;
    }
    let mut text = String::new();
    let today = machine::clock::zoned().date();
    for entry in entries {
        let time = view.time(time_of(entry), today);
        let lines = match view.is_short {
            true => log_line(entry, &time, view.with_object),
            false => log_entry(entry, &time),
        };
        if let Some(lines) = lines {
            text.push_str(&lines.to_string());
        }
    }
    print(&text);
}

/// Entries of several nodes that wait to be put in order.
#[derive(Debug, Default)]
pub(crate) struct Held {
    entries: Vec<Value>,
    /// When those that wait are printed, from when the first of them came.
    pub(crate) until: Option<Instant>,
}

impl Held {
    pub(crate) fn add(&mut self, entries: Vec<Value>, until: Instant) {
        if !entries.is_empty() {
            self.entries.extend(entries);
            self.until.get_or_insert(until);
        }
    }

    /// All of them, by time.
    pub(crate) fn take(&mut self) -> Vec<Value> {
        self.until = None;
        let mut entries = std::mem::take(&mut self.entries);
        sort(&mut entries);
        entries
    }
}
