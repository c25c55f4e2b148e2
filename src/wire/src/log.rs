//! Log lines, as files hold them and as requests carry them (src/wire/README.md, Log lines).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

/// A local time, as log lines show it. Which instant it is depends on a time zone, which this room does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime {
    /// Year, 4 digits.
    pub year: u16,
    /// Month, from 1.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
    /// Millisecond.
    pub millisecond: u16,
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// When, seconds since 1970-01-01T00:00:00Z.
    pub t: f64,
    /// Level: `DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`.
    pub level: Box<str>,
    /// Lines of the message, at least one.
    pub message: Vec<Box<str>>,
    /// Words of the context in the order of the line: `sid`, `n`, `c`, `o`, `rs`, `r`, `sc`.
    pub context: Vec<(Box<str>, Box<str>)>,
}

/// The order of context words in a line.
pub const CONTEXT: [&str; 7] = ["sid", "n", "c", "o", "rs", "r", "sc"];

/// Writes an entry as its lines, the last one ended. `context` comes in any order; words that [`CONTEXT`] does not
/// have follow the others.
///
/// A message can neither forge an entry nor split a word: a further line that looks like one is indented, blanks in
/// words become `_`.
#[must_use]
pub fn format_entry(
    time: LocalTime,
    level: &str,
    context: &[(&str, &str)],
    message: &str,
) -> String {
    let LocalTime { year, month, day, hour, minute, second, millisecond } = time;
    let mut text = format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{millisecond:03} {level} "
    );
    let known = CONTEXT.iter().filter_map(|key| context.iter().find(|(name, _)| name == key));
    let others = context.iter().filter(|(name, _)| !CONTEXT.contains(name));
    for (key, value) in known.chain(others) {
        _ = write!(text, "{}:{} ", word(key), word(value));
    }
    text.push('|');
    for (at, line) in message.split('\n').enumerate() {
        let line = line.trim_end_matches('\r');
        if at == 0 || parse_head(line).is_some() {
            text.push(' ');
        }
        text.extend(line.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }));
        text.push('\n');
    }
    text
}

fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }).collect()
}

/// Splits the first line of an entry into time, the words before the ` | `, and the text after it.
fn parse_head(line: &str) -> Option<(LocalTime, &str, &str)> {
    let bytes = line.as_bytes();
    let number = |from: usize, to: usize| -> Option<u16> {
        let digits = bytes.get(from..to)?;
        digits
            .iter()
            .try_fold(0_u16, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u16::from(b - b'0')))
    };
    let small = |from, to| number(from, to).and_then(|value| u8::try_from(value).ok());
    let is_at = |at: usize, sign: u8| bytes.get(at) == Some(&sign);
    let signs = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':'), (19, b','), (23, b' ')];
    if !signs.iter().all(|(at, sign)| is_at(*at, *sign)) {
        return None;
    }
    let time = LocalTime {
        year: number(0, 4)?,
        month: small(5, 7)?,
        day: small(8, 10)?,
        hour: small(11, 13)?,
        minute: small(14, 16)?,
        second: small(17, 19)?,
        millisecond: number(20, 23)?,
    };
    // A line that was written without message ends with the bar.
    let rest = line.get(24..)?;
    match rest.split_once(" | ") {
        Some((head, message)) => Some((time, head, message)),
        None => rest.strip_suffix(" |").map(|head| (time, head, "")),
    }
}

/// Reads the entries of a text. Lines before the first one belong to none; an entry that does not parse is left out.
///
/// `to_epoch` knows the time zone: the instant of a local time, none for one that does not exist.
#[must_use]
pub fn parse_log(text: &str, to_epoch: impl Fn(LocalTime) -> Option<f64>) -> Vec<LogEntry> {
    let mut entries: Vec<LogEntry> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        let Some((time, head, message)) = parse_head(line) else {
            if let (true, Some(entry)) = (is_inside, entries.last_mut()) {
                entry.message.push(line.into());
            }
            continue;
        };
        let mut words = head.split_whitespace();
        let level = words.next();
        let context = words
            .map(|word| word.split_once(':').map(|(key, value)| (key.into(), value.into())))
            .collect::<Option<Vec<_>>>();
        let entry = level.zip(context).zip(to_epoch(time)).map(|((level, context), t)| LogEntry {
            t,
            level: level.into(),
            message: vec![message.into()],
            context,
        });
        is_inside = entry.is_some();
        entries.extend(entry);
    }
    entries
}

impl LogEntry {
    /// The JSON of requests: `{"t": .., "l": .., "m": [..], "x": {..}}`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let context: BTreeMap<&str, &str> =
            self.context.iter().map(|(key, value)| (&**key, &**value)).collect();
        json!({"t": self.t, "l": self.level, "m": self.message, "x": context})
    }

    /// Reads that JSON; none for anything else.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let texts = |value: &Value| value.as_str().map(Into::into);
        Some(Self {
            t: value.get("t")?.as_f64()?,
            level: texts(value.get("l")?)?,
            message: value.get("m")?.as_array()?.iter().map(texts).collect::<Option<_>>()?,
            context: match value.get("x") {
                Some(Value::Object(words)) => words
                    .iter()
                    .map(|(key, value)| Some((key.as_str().into(), texts(value)?)))
                    .collect::<Option<_>>()?,
                _ => vec![],
            },
        })
    }
}

/// Where to start reading for a backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Offset of the first byte to read.
    pub start: u64,
    /// Whether the first line is to be dropped: it may be cut.
    pub drops_first_line: bool,
}

/// The part of a file of `length` bytes that a backlog asks for: all when negative, nothing when 0, else the end.
#[must_use]
pub fn backlog_of(length: u64, backlog: crate::Size) -> Backlog {
    match u64::try_from(backlog.0) {
        Err(_) => Backlog { start: 0, drops_first_line: false },
        Ok(0) => Backlog { start: length, drops_first_line: false },
        Ok(bytes) if length > bytes => Backlog { start: length - bytes, drops_first_line: true },
        Ok(_) => Backlog { start: 0, drops_first_line: false },
    }
}

impl Backlog {
    /// Cuts what was read from [`Self::start`]: without the first line if it may be cut, and without what follows
    /// the last line end, which is still being written.
    #[must_use]
    pub fn cut<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = match bytes.iter().position(|b| *b == b'\n') {
            Some(end) if self.drops_first_line => end + 1,
            None if self.drops_first_line => bytes.len(),
            _ => 0,
        };
        let (whole, _) = whole_lines(&bytes[start..]);
        whole
    }
}

/// Splits into whole lines and the start of one that is still being written.
#[must_use]
pub fn whole_lines(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |last| last + 1);
    bytes.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    const TIME: LocalTime = LocalTime {
        year: 2026,
        month: 11,
        day: 22,
        hour: 16,
        minute: 33,
        second: 11,
        millisecond: 175,
    };

    fn to_epoch(time: LocalTime) -> Option<f64> {
        (time.month <= 12).then(|| f64::from(time.second) + f64::from(time.millisecond) / 1000.0)
    }

    #[test]
    fn an_entry_is_written_as_the_field_writes_it_and_reads_back() {
        let context = [("o", "svc1"), ("sc", "n"), ("n", "n11"), ("r", "app#1"), ("sid", "767d")];
        let text = format_entry(TIME, "INFO", &context, "first\nsecond");
        assert_eq!(
            text,
            "2026-11-22 16:33:11,175 INFO sid:767d n:n11 o:svc1 r:app#1 sc:n | first\nsecond\n"
        );
        let entries = parse_log(&text, to_epoch);
        assert_eq!(
            entries.iter().map(LogEntry::to_value).collect::<Vec<_>>(),
            [json!({
                "t": 11.175, "l": "INFO", "m": ["first", "second"],
                "x": {"sid": "767d", "n": "n11", "o": "svc1", "r": "app#1", "sc": "n"},
            })]
        );
        let value = entries[0].to_value();
        assert_eq!(LogEntry::from_value(&value).unwrap().to_value(), value);
    }

    #[test]
    fn an_entry_without_context_or_message_reads_back() {
        for message in ["", "x", " | ", "a | b"] {
            let text = format_entry(TIME, "ERROR", &[], message);
            let entries = parse_log(&text, to_epoch);
            assert_eq!(entries.len(), 1, "{text:?}");
            assert_eq!(entries[0].message, [message.into()]);
        }
    }

    #[test]
    fn a_message_cannot_forge_an_entry() {
        let forged = format_entry(TIME, "ERROR", &[("n", "n1")], "forged");
        let text =
            format_entry(TIME, "INFO", &[("n", "a b\nc")], &format!("real\n{forged}\u{1b}[0m"));
        let entries = parse_log(&text, to_epoch);
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].context, [("n".into(), "a_b_c".into())]);
        assert_eq!(&*entries[0].message[2], "?[0m");
    }

    #[test]
    fn lines_of_no_entry_and_entries_that_do_not_parse_are_left_out() {
        let text = "lost\n2026-11-22 16:33:11,175 INFO colonless | x\nlost too\n\
                    2026-13-22 16:33:11,175 INFO n:n1 | x\n2026-11-22 16:33:11,175 INFO n:n1 | kept\n";
        let entries = parse_log(text, to_epoch);
        assert_eq!(
            entries.iter().map(|e| e.message.clone()).collect::<Vec<_>>(),
            [["kept".into()]]
        );
    }

    #[test]
    fn a_backlog_is_the_end_of_the_file_without_the_line_that_was_cut() {
        let bytes = b"one\ntwo\nthree\nfo";
        let cut = |backlog| {
            let tail = backlog_of(bytes.len() as u64, Size(backlog));
            let start = usize::try_from(tail.start).unwrap();
            std::str::from_utf8(tail.cut(&bytes[start..])).unwrap()
        };
        assert_eq!(cut(-1), "one\ntwo\nthree\n");
        assert_eq!(cut(i64::MAX), "one\ntwo\nthree\n");
        assert_eq!(cut(0), "");
        assert_eq!(cut(1), "");
        // Even when the cut falls on a line boundary.
        assert_eq!(cut(12), "three\n");
        assert_eq!(cut(11), "three\n");
        assert_eq!(cut(8), "");
        assert_eq!(cut(16), "one\ntwo\nthree\n");
        assert_eq!(cut(15), "two\nthree\n");
    }
}
