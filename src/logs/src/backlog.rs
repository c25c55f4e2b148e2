//! What is in a log file: its end, entry by entry.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// Most bytes read of one file in one request: logs are rotated at 5 MiB, a larger file is not ours.
const MAX_BACKLOG_BYTES: u64 = (5 << 20) + (64 << 10);

/// The entries of a text; what is no entry, nor continues one, is left out. Log lines carry the local time.
pub fn each_entry(text: &str, add: &mut dyn FnMut(Value)) {
    let zone = jiff::tz::TimeZone::system();
    let to_epoch = |time: wire::log::LocalTime| {
        let date = jiff::civil::Date::new(
            i16::try_from(time.year).ok()?,
            i8::try_from(time.month).ok()?,
            i8::try_from(time.day).ok()?,
        );
        let clock = jiff::civil::Time::new(
            i8::try_from(time.hour).ok()?,
            i8::try_from(time.minute).ok()?,
            i8::try_from(time.second).ok()?,
            0,
        );
        let zoned = date.ok()?.to_datetime(clock.ok()?).to_zoned_datetime(zone.clone()).ok()?;
        let millis = zoned.timestamp().as_millisecond() + i64::from(time.millisecond);
        // Through text: what was written with three digits reads back with three.
        format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000)).parse().ok()
    };
    for entry in wire::log::parse_log(text, to_epoch) {
        add(entry.to_value());
    }
}

/// Reads the end of a log, as `backlog` says. What was asked for since a time, and all of it, may lie in the file that was
/// rotated last: that is read too.
///
/// # Errors
///
/// Whatever the file system answers.
pub fn read_since(file: &Path, backlog: i64, since: Option<f64>) -> io::Result<String> {
    let (text, _) = read_backlog(file, backlog)?;
    let Some(since) = since.filter(|_| backlog < 0) else { return Ok(text) };
    let mut begin = None;
    let first = text.split_inclusive('\n').next().unwrap_or_default();
    each_entry(first, &mut |entry| begin = entry.get("t").and_then(Value::as_f64));
    if begin.is_some_and(|begin| begin <= since) {
        return Ok(text);
    }
    let mut older = file.as_os_str().to_owned();
    older.push(".1");
    match read_backlog(Path::new(&older), backlog) {
        Ok((older, _)) => Ok(older + &text),
        Err(_) => Ok(text),
    }
}

/// Reads the end of a file, as `backlog` says, and the position behind it.
///
/// # Errors
///
/// Whatever the file system answers.
pub fn read_backlog(file: &Path, backlog: i64) -> io::Result<(String, u64)> {
    let (mut file, meta) = machine::regular::open(file)?;
    let len = meta.len();
    let wanted = u64::try_from(backlog).unwrap_or(u64::MAX);
    let take = wanted.min(len).min(MAX_BACKLOG_BYTES);
    file.seek(SeekFrom::Start(len - take))?;
    let mut bytes = Vec::with_capacity(usize::try_from(take).unwrap_or(0));
    file.take(take).read_to_end(&mut bytes)?;
    let mut text = String::from_utf8_lossy(&without_holes(bytes)).into_owned();
    // The first line is always dropped, even when the cut falls on its start: as in deployed agents.
    if take < len && take > 0 {
        text.drain(..next_line(&text));
    }
    Ok((text, len))
}

/// The bytes without the zeros that a power cut leaves where the file had grown and nothing was written yet.
fn without_holes(bytes: Vec<u8>) -> Vec<u8> {
    if memchr::memchr(0, &bytes).is_none() {
        return bytes;
    }
    let mut whole = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let is_hole = line.starts_with(&[0]) && line.iter().all(|byte| matches!(byte, 0 | b'\n'));
        if !is_hole {
            whole.extend(line.iter().filter(|byte| **byte != 0));
        }
    }
    whole
}

/// Where the next line begins.
#[must_use]
pub fn next_line(text: &str) -> usize {
    memchr::memchr(b'\n', text.as_bytes()).map_or(text.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_that_a_power_cut_left_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.log");
        let zeros = "\0".repeat(2_000);
        let text = format!("one\n{zeros}\ntwo\n\nhal{zeros}\nthree\n{zeros}");
        std::fs::write(&file, &text).unwrap();
        let (seen, end) = read_backlog(&file, -1).unwrap();
        assert_eq!(seen, "one\ntwo\n\nhal\nthree\n");
        assert_eq!(end, u64::try_from(text.len()).unwrap());
    }
}
