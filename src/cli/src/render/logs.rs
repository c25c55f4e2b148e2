//! Log entries, and the lines of a reply.

use serde_json::Value;

use super::text::{Cell, Text, Tone, printable};

/// A log entry as `om <path> logs` prints it: `<time> <LEVEL> <key>:<value> .. | <message>`. `time` is the entry's
/// time as the reader's zone tells it. None for an entry that is none.
#[must_use]
pub fn log_entry(entry: &Value, time: &str) -> Option<Text> {
    let level = entry.get("l")?.as_str()?;
    let tone = match level {
        "ERROR" | "CRITICAL" => Tone::Bad,
        "WARNING" => Tone::Warn,
        "DEBUG" => Tone::Note,
        _ => Tone::Plain,
    };
    let mut head = Cell::plain(time).and(Tone::Plain, " ").join(Cell::new(tone, level).padded(7));
    // The order of the files, then whatever else there is.
    const ORDER: [&str; 7] = ["sid", "n", "c", "o", "rs", "r", "sc"];
    if let Some(context) = entry.get("x").and_then(Value::as_object) {
        let known = ORDER.iter().filter_map(|key| Some((*key, context.get(*key)?)));
        let others = context.iter().map(|(key, value)| (key.as_str(), value));
        for (key, value) in known.chain(others.filter(|(key, _)| !ORDER.contains(key))) {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            head = head
                .and(Tone::Plain, " ")
                .and(Tone::Note, &format!("{key}:"))
                .and(Tone::Plain, &value);
        }
    }
    head = head.and(Tone::Plain, " | ");
    let lines: Vec<&str> = match entry.get("m")? {
        Value::String(text) => text.lines().collect(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let mut text = Text::default();
    let mut lines = lines.into_iter();
    text.push(head.and(tone, lines.next().unwrap_or_default()));
    lines.for_each(|line| text.push(Cell::new(tone, line)));
    Some(text)
}

/// A log entry for who reads a terminal: time, node, object where several are shown, resource, text. None for an entry that is
/// none.
#[must_use]
pub fn log_line(entry: &Value, time: &str, with_object: bool) -> Option<Text> {
    let level = entry.get("l")?.as_str()?;
    let (tone, before) = match level {
        "ERROR" | "CRITICAL" => (Tone::Bad, "error: "),
        "WARNING" => (Tone::Warn, "warning: "),
        "DEBUG" => (Tone::Note, ""),
        _ => (Tone::Plain, ""),
    };
    let word = |key: &str| entry.pointer(&format!("/x/{key}")).and_then(Value::as_str);
    let mut head = Cell::new(Tone::Note, time);
    let object = word("o").filter(|_| with_object);
    for (tone, word) in [(Tone::Strong, word("n")), (Tone::Plain, object), (Tone::Good, word("r"))]
    {
        if let Some(word) = word {
            head = head.and(Tone::Plain, " ").and(tone, word);
        }
    }
    head = head.and(Tone::Plain, "  ").and(tone, before);
    let lines: Vec<&str> = match entry.get("m")? {
        Value::String(text) => text.lines().collect(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let mut text = Text::default();
    let mut lines = lines.into_iter();
    text.push(head.and(tone, lines.next().unwrap_or_default()));
    lines.for_each(|line| text.push(Cell::plain("    ").and(tone, line)));
    Some(text)
}

/// Lines under `name` (`info` or `error`) of a reply, or of each node's reply in `nodes`, then with the node's name
/// before.
#[must_use]
pub fn reply_lines(reply: &Value, name: &str) -> Vec<String> {
    let of = |reply: &Value| -> Vec<String> {
        match reply.get(name) {
            Some(Value::String(text)) => {
                text.lines().map(|line| printable(line).into_owned()).collect()
            }
            Some(Value::Array(lines)) => lines
                .iter()
                .map(|line| line.as_str().map_or_else(|| line.to_string(), str::to_owned))
                .map(|line| printable(&line).into_owned())
                .collect(),
            None | Some(Value::Null) => vec![],
            Some(other) => vec![other.to_string()],
        }
    };
    match reply.get("nodes").and_then(Value::as_object) {
        Some(nodes) => nodes
            .iter()
            .flat_map(|(node, reply)| {
                of(reply).into_iter().map(move |line| format!("{}: {line}", printable(node)))
            })
            .chain(of(reply))
            .collect(),
        None => of(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_reads_as_the_deployed_agent_prints_it() {
        let entry = json!({"t": 1.5, "l": "INFO", "m": ["do start", "more"], "x": {"r": "app#1", "n": "n11", "o": "svc1"}});
        assert_eq!(
            log_entry(&entry, "2026-11-22 16:33:11,175000").map(|text| text.plain()),
            Some(
                "2026-11-22 16:33:11,175000 INFO    n:n11 o:svc1 r:app#1 | do start\nmore\n".into()
            )
        );
        assert_eq!(log_entry(&json!({"l": 3}), "t"), None);
    }

    #[test]
    fn a_terminal_shows_time_node_resource_and_text() {
        let entry = json!({"t": 1.5, "l": "WARNING", "m": ["slow", "more"], "x": {"sid": "1", "n": "n1", "o": "web", "r": "app#1"}});
        let line =
            |with_object| log_line(&entry, "16:33:11.175", with_object).map(|text| text.plain());
        assert_eq!(line(false), Some("16:33:11.175 n1 app#1  warning: slow\n    more\n".into()));
        assert_eq!(line(true), Some("16:33:11.175 n1 web app#1  warning: slow\n    more\n".into()));
        assert_eq!(log_line(&json!({"l": 3}), "t", false), None);
    }

    #[test]
    fn lines_of_a_fan_out_name_their_node() {
        let reply =
            json!({"nodes": {"n1": {"error": "bad"}, "n2": {"error": ["a", "b"]}}, "status": 1});
        assert_eq!(reply_lines(&reply, "error"), ["n1: bad", "n2: a", "n2: b"]);
        assert_eq!(reply_lines(&json!({"info": "fine\u{1b}"}), "info"), ["fine\\u{1b}"]);
    }
}
