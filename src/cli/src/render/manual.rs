//! What keywords are for: `om doc`.

use conf::{Answer, Entry, Group};
use serde_json::{Value, json};

use super::table::{Align, table};
use super::text::{Cell, Text, Tone};

/// Columns of a line that is broken.
const WIDTH: usize = 110;

/// What is known of a word, for a reader.
#[must_use]
pub fn manual(answer: &Answer) -> Text {
    let mut text = Text::default();
    match answer {
        Answer::Groups(groups) => {
            let row = |group: &Group| {
                vec![
                    Cell::new(Tone::Strong, group.name),
                    Cell::plain(group.text),
                    Cell::new(Tone::Note, &group.drivers.join(" ")),
                ]
            };
            text.extend(table(groups.iter().map(row).collect(), &[Align::Left], 2));
            text.push(Cell::default());
            text.push(Cell::new(
                Tone::Note,
                "`om doc app` lists the keywords of app, `om doc app.restart` shows one",
            ));
        }
        Answer::Group(group, entries) => {
            head(&mut text, group);
            for (at, entry) in entries.iter().enumerate() {
                if entry.common && (at == 0 || !entries[at - 1].common) {
                    text.push(Cell::new(Tone::Note, "what every resource has:"));
                }
                text.extend(line(entry));
            }
        }
        Answer::Keywords(entries) => {
            for (at, each) in entries.iter().enumerate() {
                if at > 0 {
                    text.push(Cell::default());
                }
                text.extend(keyword(each));
            }
        }
    }
    text
}

/// The same as data.
#[must_use]
pub fn manual_json(answer: &Answer) -> Value {
    match answer {
        Answer::Groups(groups) => json!(groups),
        Answer::Group(group, entries) => {
            let mut value = json!(group);
            value["keywords"] = json!(entries);
            value
        }
        Answer::Keywords(entries) => json!(entries),
    }
}

fn head(text: &mut Text, group: &Group) {
    text.push(Cell::new(Tone::Strong, group.name).and(Tone::Plain, &format!(": {}", group.text)));
    if let Some(note) = group.note {
        text.push(Cell::new(Tone::Warn, &format!("not read: {note}")));
    }
    if !group.drivers.is_empty() {
        text.push(Cell::plain("drivers: ").and(Tone::Plain, &group.drivers.join(", ")));
    }
    if !group.left_alone.is_empty() {
        let start = Cell::new(Tone::Note, "shown and left alone:");
        text.extend(start.wrapped(&group.left_alone.join(", "), WIDTH, 2));
    }
    if group.is_free {
        text.push(Cell::plain("any keyword may stand here"));
    }
}

/// A keyword of a list: name, type and default, then its text.
fn line(entry: &Entry) -> Text {
    let mut holds = entry.holds.to_owned();
    match (entry.required, entry.default) {
        (true, _) => holds += ", required",
        (false, Some(default)) => holds += &format!(", {default}"),
        (false, None) => {}
    }
    let name = Cell::plain("  ").and(Tone::Strong, entry.keyword).padded(30);
    let start = name.and(Tone::Note, &holds).padded(52);
    let drivers = match entry.drivers.as_slice() {
        [] => String::new(),
        drivers => format!(" ({})", drivers.join(", ")),
    };
    let mark = if entry.note.as_deref().is_some_and(is_undone) { " (not done)" } else { "" };
    start.wrapped(&format!("{}{drivers}{mark}", entry.text), WIDTH, 53)
}

fn is_undone(note: &str) -> bool {
    note.starts_with("not read") || note.starts_with("refused")
}

/// All that is known of a keyword.
fn keyword(entry: &Entry) -> Text {
    let mut text = Text::default();
    text.push(Cell::new(Tone::Strong, &format!("{}.{}", entry.section, entry.keyword)));
    text.extend(Cell::plain(" ").wrapped(entry.text, WIDTH, 2));
    let mut rows = vec![];
    let mut row = |name: &str, tone: Tone, value: &str| {
        rows.push(vec![Cell::plain("  ").and(Tone::Note, name), Cell::new(tone, value)]);
    };
    for (name, value) in facts(entry) {
        let tone = if name == "note" { Tone::Warn } else { Tone::Plain };
        row(name, tone, &value);
    }
    text.extend(table(rows, &[Align::Left], 2));
    text
}

/// What is told of a keyword beside its text, by name.
pub(super) fn facts(entry: &Entry) -> Vec<(&'static str, String)> {
    let scopes = || format!("yes: {0}@n1, {0}@nodes", entry.keyword);
    let listed = |words: &[&str]| (!words.is_empty()).then(|| words.join(", "));
    let all = [
        ("type", Some(entry.holds.to_owned())),
        ("default", entry.default.map(str::to_owned)),
        ("required", entry.required.then(|| "yes".to_owned())),
        ("values", listed(&entry.values)),
        ("scopable", Some(if entry.scopable { scopes() } else { "no".to_owned() })),
        ("drivers", listed(&entry.drivers)),
        ("inherits", entry.inherits.clone()),
        ("note", entry.note.clone()),
        ("example", entry.example.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
}
