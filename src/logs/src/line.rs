//! The line format of the field's log files (src/wire/README.md, Log lines).

use std::fmt::Write as _;

use log::Level;
use log::kv::{Error, Key, Value, VisitSource};
use model::NodeName;

use crate::context::LogContext;

/// What a record says, taken apart: context words, and the message with the other pairs at its end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    pub path: Option<String>,
    pub rid: Option<String>,
    pub subset: Option<String>,
    pub sid: Option<String>,
    pub scheduled: Option<String>,
    pub message: String,
}

impl Words {
    /// Takes a record apart. Pairs named `path`, `rid`, `subset`, `sid` and `sc` are context.
    pub(crate) fn of(record: &log::Record<'_>, context: &LogContext) -> Self {
        let mut words = Self {
            path: context.path.as_ref().map(ToString::to_string),
            sid: context.sid.clone(),
            scheduled: context.is_scheduled.map(|is| if is { "y" } else { "n" }.to_owned()),
            message: record.args().to_string(),
            ..Self::default()
        };
        // Our visitor never fails.
        _ = record.key_values().visit(&mut words);
        words
    }
}

impl<'kvs> VisitSource<'kvs> for Words {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        match key.as_str() {
            "path" => self.path = Some(value.to_string()),
            "rid" => self.rid = Some(value.to_string()),
            "subset" => self.subset = Some(value.to_string()),
            "sid" => self.sid = Some(value.to_string()),
            "sc" => self.scheduled = Some(value.to_string()),
            key => {
                let value = value.to_string();
                // What has no value has nothing to tell.
                if !value.is_empty() {
                    _ = write!(self.message, " {key}={}", Escaped(&value));
                }
            }
        }
        Ok(())
    }
}

/// A value on one line: control characters are shown, never obeyed.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// The word of a level, as the deployed agents write it.
pub(crate) fn level_word(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARNING",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    }
}

/// What the one who typed a command reads, newline included: `web app#1: message`, the level before it where it matters.
pub(crate) fn prompt(level: Level, words: &Words) -> String {
    let (style, word) = match level {
        Level::Error => ("\u{1b}[31m", "error: "),
        Level::Warn => ("\u{1b}[33m", "warning: "),
        Level::Info => ("", ""),
        Level::Debug | Level::Trace => ("\u{1b}[2m", "debug: "),
    };
    let end = if style.is_empty() { "" } else { "\u{1b}[0m" };
    let whose = [&words.path, &words.rid];
    let whose: Vec<&str> = whose.into_iter().flatten().map(String::as_str).collect();
    let whose = if whose.is_empty() { String::new() } else { format!("{}: ", whose.join(" ")) };
    let mut text = String::new();
    for line in words.message.lines() {
        let line = format!("{whose}{line}");
        text.push_str(&format!("{style}{word}{end}{}\n", Escaped(&line)));
    }
    text
}

/// One entry, newline included. `time` is `YYYY-MM-DD HH:MM:SS,mmm`, local.
///
/// Lines of a message after the first are indented: none can look like the start of an entry.
pub(crate) fn format(
    time: &str,
    level: Level,
    nodename: &NodeName,
    component: &str,
    words: &Words,
) -> String {
    let mut line = format!("{time} {}", level_word(level));
    let mut word = |key: &str, value: &str| {
        if !value.is_empty() {
            let safe = |c: char| if c.is_control() || c.is_whitespace() { '_' } else { c };
            line.push(' ');
            line.push_str(key);
            line.push(':');
            line.extend(value.chars().map(safe));
        }
    };
    let text = |word: &Option<String>| word.clone().unwrap_or_default();
    word("sid", &text(&words.sid));
    word("n", nodename.as_str());
    word("c", component);
    word("o", &text(&words.path));
    word("rs", &text(&words.subset));
    word("r", &text(&words.rid));
    word("sc", &text(&words.scheduled));
    line.push_str(" | ");
    for (number, part) in words.message.split('\n').enumerate() {
        if number > 0 {
            line.push_str("\n  ");
        }
        _ = write!(line, "{}", Escaped(part.trim_end_matches('\r')));
    }
    line.push('\n');
    line
}

/// Replaces each secret in `line` by `xxxx`.
pub(crate) fn redact(mut line: String, secrets: &[String]) -> String {
    for secret in secrets {
        if line.contains(secret.as_str()) {
            line = line.replace(secret.as_str(), "xxxx");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-22 16:33:11,175";

    fn node() -> NodeName {
        NodeName::new("n11").unwrap()
    }

    #[test]
    fn whoever_typed_a_command_reads_what_happens_to_what() {
        let words = |rid: Option<&str>, message: &str| Words {
            path: Some("web".into()),
            rid: rid.map(str::to_owned),
            sid: Some("s1".into()),
            message: message.into(),
            ..Words::default()
        };
        assert_eq!(prompt(Level::Info, &words(Some("app#1"), "started")), "web app#1: started\n");
        assert_eq!(
            prompt(Level::Error, &words(None, "one\ntwo\u{1b}[2J")),
            "\u{1b}[31merror: \u{1b}[0mweb: one\n\u{1b}[31merror: \u{1b}[0mweb: two\\u{1b}[2J\n"
        );
    }

    #[test]
    fn a_pair_without_a_value_is_left_out() {
        let pairs = [("reason", ""), ("rid", "app#1"), ("tries", "2")];
        let args = format_args!("resource_restart");
        let record = log::Record::builder().args(args).key_values(&pairs).build();
        let words = Words::of(&record, &LogContext::default());
        assert_eq!(words.message, "resource_restart tries=2");
    }

    #[test]
    fn an_entry_has_its_context_in_order() {
        let words = Words {
            path: Some("svc1".into()),
            rid: Some("app#1".into()),
            subset: Some("app:a".into()),
            sid: Some("767d14f1".into()),
            scheduled: Some("n".into()),
            message: "started".into(),
        };
        assert_eq!(
            format(TIME, Level::Info, &node(), "", &words),
            "2026-11-22 16:33:11,175 INFO sid:767d14f1 n:n11 o:svc1 rs:app:a r:app#1 sc:n | started\n"
        );
    }

    #[test]
    fn a_newline_cannot_forge_an_entry() {
        let words = Words {
            path: Some("svc1\n2026-11-22 16:33:11,175 INFO n:x | forged".into()),
            message: "a\r\n2026-11-22 16:33:11,175 INFO n:x | forged\u{1b}[31m".into(),
            ..Words::default()
        };
        let text = format(TIME, Level::Warn, &node(), "listener", &words);
        assert_eq!(text.lines().filter(|line| line.starts_with("2026")).count(), 1, "{text}");
        assert!(
            text.ends_with("\n  2026-11-22 16:33:11,175 INFO n:x | forged\\u{1b}[31m\n"),
            "{text}"
        );
    }

    #[test]
    fn pairs_that_are_no_context_end_the_message() {
        let name = "a\nb";
        let record = log::Record::builder()
            .args(format_args!("message"))
            .key_values(&[("path", "svc1"), ("delay_ms", "40"), ("name", name)])
            .build()
            .key_values()
            .count();
        assert_eq!(record, 3);
        let pairs: &[(&str, &str)] = &[("path", "svc1"), ("delay_ms", "40"), ("name", name)];
        let mut words = Words { message: "start accepted".into(), ..Words::default() };
        log::kv::Source::visit(&pairs, &mut words).unwrap();
        assert_eq!(words.path.as_deref(), Some("svc1"));
        assert_eq!(words.message, "start accepted delay_ms=40 name=a\\nb");
    }

    #[test]
    fn known_secrets_are_not_written() {
        let line = redact("key s3cr3t-s3cr3t and s3cr3t-s3cr3t".into(), &["s3cr3t-s3cr3t".into()]);
        assert_eq!(line, "key xxxx and xxxx");
    }
}
