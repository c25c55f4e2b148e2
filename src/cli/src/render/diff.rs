//! What an edit of a configuration changes, without its secrets.

use conf::redact::redact;
use similar::{ChangeTag, TextDiff};

use super::text::{Cell, Text, Tone};

/// Lines around a change that are shown with it.
const AROUND: usize = 3;

/// The lines that change from one text to the other, with what stands around them, as `diff -u` shows them. Secrets are masked
/// on both sides: a secret that changes is two lines that look alike.
#[must_use]
pub fn diff(old: &str, new: &str) -> Text {
    let (old_lines, new_lines) = (redact(old).lines, redact(new).lines);
    let compared = TextDiff::from_lines(old, new);
    let mut text = Text::default();
    for group in compared.grouped_ops(AROUND) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (before, after) = (
            first.old_range().start..last.old_range().end,
            first.new_range().start..last.new_range().end,
        );
        let head = format!(
            "@@ -{},{} +{},{} @@",
            before.start + 1,
            before.len(),
            after.start + 1,
            after.len()
        );
        text.push(Cell::new(Tone::Note, &head));
        for change in group.iter().flat_map(|op| compared.iter_changes(op)) {
            let (tone, sign, lines, at) = match change.tag() {
                ChangeTag::Delete => (Tone::Bad, "-", &old_lines, change.old_index()),
                ChangeTag::Insert => (Tone::Good, "+", &new_lines, change.new_index()),
                ChangeTag::Equal => (Tone::Plain, " ", &old_lines, change.old_index()),
            };
            let line = at.and_then(|at| lines.get(at)).map_or("", String::as_str);
            text.push(Cell::new(tone, sign).and(tone, line));
        }
    }
    text
}

/// What changes, in one line: `app#1.restart = 2, -app#2.start, 3 more`.
#[must_use]
pub fn summary(old: &str, new: &str) -> String {
    let (old, new) = (keywords(old), keywords(new));
    let mut parts: Vec<String> = vec![];
    for (name, value, raw) in &new {
        match old.iter().find(|(other, ..)| other == name) {
            Some((.., before)) if before == raw => {}
            _ => parts.push(format!("{name} = {value}")),
        }
    }
    let gone = old.iter().filter(|(name, ..)| !new.iter().any(|(other, ..)| other == name));
    parts.extend(gone.map(|(name, ..)| format!("-{name}")));
    const MOST: usize = 3;
    let more = parts.len().saturating_sub(MOST);
    parts.truncate(MOST);
    match (parts.is_empty(), more) {
        (true, _) => "comments or order".to_owned(),
        (false, 0) => parts.join(", "),
        (false, more) => format!("{}, {more} more", parts.join(", ")),
    }
}

/// Keywords with their sections, their masked values and all of their text.
fn keywords(text: &str) -> Vec<(String, String, String)> {
    let mut found: Vec<(String, String, String)> = vec![];
    let mut section = String::new();
    for (line, masked) in text.lines().zip(redact(text).lines) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if let Some(last) = found.last_mut() {
                last.2.push_str(line);
            }
        } else if let Some(name) = trimmed.strip_prefix('[').and_then(|it| it.split(']').next()) {
            section = name.to_owned();
        } else if let Some((name, value)) = masked.split_once(['=', ':']) {
            let value: String = value.trim().chars().take(40).collect();
            found.push((format!("{section}.{}", name.trim()), value, line.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "[DEFAULT]\nid = 1\n[app#1]\nrestart = 1\nstart = a\n";

    #[test]
    fn what_changes_is_shown_with_what_stands_around() {
        let new = OLD.replace("restart = 1", "restart = 2");
        assert_eq!(
            diff(OLD, &new).plain(),
            "@@ -1,5 +1,5 @@\n [DEFAULT]\n id = 1\n [app#1]\n-restart = 1\n+restart = 2\n start = a\n"
        );
        assert_eq!(diff(OLD, OLD).plain(), "");
    }

    #[test]
    fn a_secret_that_changes_is_not_shown() {
        let text = |secret: &str| format!("[cluster]\nname = demo\nsecret = {secret}\n");
        let shown = diff(&text("old-one"), &text("new-one")).plain();
        assert!(shown.contains("-secret = xxxx\n+secret = xxxx\n"), "{shown}");
        assert!(!shown.contains("old-one") && !shown.contains("new-one"), "{shown}");
        assert_eq!(summary(&text("old-one"), &text("new-one")), "cluster.secret = xxxx");
    }

    #[test]
    fn a_summary_names_what_is_set_and_what_is_gone() {
        let new = "[DEFAULT]\nid = 1\n[app#1]\nrestart = 2\n[app#2]\na = 1\nb = 2\nc = 3\n";
        assert_eq!(summary(OLD, new), "app#1.restart = 2, app#2.a = 1, app#2.b = 2, 2 more");
        assert_eq!(summary(OLD, "[DEFAULT]\nid = 1\n[app#1]\nrestart = 1\n"), "-app#1.start");
        assert_eq!(summary(OLD, &format!("# new\n{OLD}")), "comments or order");
    }
}
