//! What happened, for a reader: `om <path> history`.

use std::collections::BTreeMap;

use model::{Happening, NodeName, Record};

use super::table::{Align, table};
use super::text::{Cell, Text, Tone};

/// One line of a history.
#[derive(Debug, Clone)]
pub struct HistoryLine<'a> {
    /// When, as the reader's zone tells it.
    pub time: String,
    /// The node that tells it.
    pub node: &'a str,
    /// The object, where several are shown.
    pub path: Option<&'a str>,
    /// What happened.
    pub record: &'a Record,
}

/// What an object was not up for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Downtime {
    /// How often.
    pub times: usize,
    /// For how many seconds in all.
    pub secs: f64,
    /// How often of these somebody asked for it.
    pub asked_times: usize,
    /// For how many seconds of these.
    pub asked_secs: f64,
    /// For how many seconds it is down by now.
    pub down_for: Option<f64>,
}

/// The lines of a history. What only details is left out unless `is_verbose`.
#[must_use]
pub fn history(lines: &[HistoryLine<'_>], is_verbose: bool) -> Text {
    let mut seen: BTreeMap<Option<&str>, (&Option<String>, &[NodeName])> = BTreeMap::new();
    let mut shown = vec![];
    for line in lines {
        // Each node tells how it sees the object: once is enough.
        let view = (&line.record.to, &*line.record.on);
        let is_object = line.record.what == Happening::Object;
        let is_repeated = is_object && seen.insert(line.path, view) == Some(view);
        if is_verbose || !(is_repeated || is_detail(line.record)) {
            shown.push(line);
        }
    }
    let rows = shown.into_iter().map(|line| {
        let mut row = vec![Cell::new(Tone::Note, &line.time), Cell::new(Tone::Strong, line.node)];
        row.extend(line.path.map(Cell::plain));
        row.push(Cell::plain(&line.record.what.as_str().replace('_', " ")));
        row.push(told(line.record));
        row
    });
    table(rows.collect(), &[Align::Left; 5], 2)
}

/// Whether a record is for who looks closely: what a node only comes to know is no news.
fn is_detail(record: &Record) -> bool {
    match record.what {
        Happening::Overall | Happening::Begun | Happening::LocalTarget => true,
        Happening::Avail | Happening::Frozen | Happening::Provisioned => record.from.is_none(),
        _ => false,
    }
}

/// What a record says, beside when, where and of what.
fn told(record: &Record) -> Cell {
    let mut cell = Cell::default();
    let word = |cell: Cell, word: &str| {
        let cell = if cell.is_empty() { cell } else { cell.and(Tone::Plain, " ") };
        cell.and(tone(record.what, word), word)
    };
    if let Some(action) = &record.action {
        cell = word(cell, action);
    }
    if let Some(rid) = &record.rid {
        cell = word(cell, rid);
    }
    if let (Some(from), Some(_)) = (&record.from, &record.to) {
        cell = word(cell, from).and(Tone::Plain, " ->");
    }
    if let Some(to) = &record.to {
        cell = word(cell, to);
    }
    if !record.on.is_empty() {
        let nodes: Vec<&str> = record.on.iter().map(model::NodeName::as_str).collect();
        let before = if record.what == Happening::Object { "on " } else { "" };
        cell = word(cell, &format!("{before}{}", nodes.join(", ")));
    }
    if let Some(took) = record.took {
        let before = if record.what == Happening::Ended { "in" } else { "after" };
        cell = word(cell, &format!("{before} {}", span(took)));
    }
    if let Some(by) = &record.by {
        cell = word(cell, &format!("by {by}"));
    }
    match &record.why {
        Some(why) if cell.is_empty() => word(cell, why),
        Some(why) => cell.and(Tone::Plain, &format!(": {why}")),
        None => cell,
    }
}

fn tone(what: Happening, word: &str) -> Tone {
    match what {
        Happening::Failure | Happening::PeerLost => Tone::Bad,
        _ if word.starts_with("lost") || word.ends_with("failed") => Tone::Bad,
        _ if word == "frozen" => Tone::Note,
        _ => Tone::of(word),
    }
}

/// The sum of a history: `web: down 3 times, 14.2 s in all`.
#[must_use]
pub fn downtime(path: &str, sum: &Downtime) -> Text {
    let times = |count: usize| match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    };
    let mut line = Cell::new(Tone::Strong, path).and(Tone::Plain, ": ");
    if sum.times == 0 {
        line = line.and(Tone::Plain, "not down in this time");
    } else {
        let said = format!("down {}, {} in all", times(sum.times), span(sum.secs));
        line = line.and(Tone::Plain, &said);
        if sum.asked_times > 0 {
            let asked =
                format!(", of which {} as asked, {}", times(sum.asked_times), span(sum.asked_secs));
            line = line.and(Tone::Plain, &asked);
        }
    }
    if let Some(secs) = sum.down_for {
        line = line.and(Tone::Plain, "; ").and(Tone::Bad, &format!("down for {} now", span(secs)));
    }
    let mut text = Text::default();
    text.push(line);
    text
}

/// A length of time: `14.2 s`, `3m05s`, `2h10m`, `4d3h`.
#[must_use]
pub fn span(secs: f64) -> String {
    let secs = secs.max(0.0);
    if secs < 59.95 {
        return format!("{secs:.1} s");
    }
    // A length of time that overflows is one of centuries.
    let whole = secs.round() as u64;
    match whole {
        ..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{:02}m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{}d{}h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn line(record: &Record) -> String {
        let line = HistoryLine { time: "12:00".into(), node: "n1", path: None, record };
        history(&[line], false).plain().trim_end().to_owned()
    }

    #[test]
    fn each_record_is_one_line() {
        let new = |what| Record::new(Timestamp(1.0), what);
        let words = |from: &str, to: &str| (Some(from.to_owned()), Some(to.to_owned()));
        let (from, to) = words("down", "up");
        let n2 = NodeName::new("n2").unwrap();
        let object = Record { on: vec![n2.clone()], ..new(Happening::Object).change(from, to) };
        assert_eq!(line(&object), "12:00  n1  object  down -> up on n2");
        let ended = Record {
            action: Some("start".into()),
            took: Some(2.25),
            by: Some("daemon".into()),
            ..new(Happening::Ended).change(None, Some("done".into()))
        };
        assert_eq!(line(&ended), "12:00  n1  ended  start done in 2.2 s by daemon");
        let failure = Record {
            action: Some("start".into()),
            rid: Some("ip#1".into()),
            ..new(Happening::Failure).because("no eth7")
        };
        assert_eq!(line(&failure), "12:00  n1  failure  start ip#1: no eth7");
        let lost = Record { on: vec![n2], ..new(Happening::PeerLost) };
        assert_eq!(line(&lost), "12:00  n1  peer lost  n2");
        assert_eq!(line(&new(Happening::Overall)), "", "a detail");
    }

    #[test]
    fn what_several_nodes_see_is_told_once() {
        let new = |to: &str| {
            Record::new(Timestamp(1.0), Happening::Object).change(Some("x".into()), Some(to.into()))
        };
        let (up, down) = (new("up"), new("down"));
        let first =
            Record::new(Timestamp(1.0), Happening::Frozen).change(None, Some("thawed".into()));
        let records =
            [("n1", &up), ("n2", &up), ("n2", &first), ("n2", &down), ("n1", &down), ("n1", &up)];
        let lines = records.map(|(node, record)| HistoryLine {
            time: "1".into(),
            node,
            path: None,
            record,
        });
        let nodes = |is_verbose| {
            let text = history(&lines, is_verbose).plain();
            text.lines()
                .filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned))
                .collect::<Vec<_>>()
        };
        assert_eq!(nodes(false), ["n1", "n2", "n1"]);
        assert_eq!(nodes(true).len(), 6);
    }

    #[test]
    fn what_a_peer_wrote_moves_no_cursor() {
        let record = Record::new(Timestamp(1.0), Happening::Decided).because("x\u{1b}[2J");
        assert!(!line(&record).contains('\u{1b}'), "{}", line(&record));
    }

    #[test]
    fn a_sum_tells_how_often_for_how_long_and_what_was_asked() {
        let told = |sum: Downtime| downtime("web", &sum).plain();
        assert_eq!(told(Downtime::default()), "web: not down in this time\n");
        let sum = Downtime { times: 3, secs: 14.2, ..Downtime::default() };
        assert_eq!(told(sum), "web: down 3 times, 14.2 s in all\n");
        let sum = Downtime { asked_times: 1, asked_secs: 10.0, down_for: Some(61.0), ..sum };
        assert_eq!(
            told(sum),
            "web: down 3 times, 14.2 s in all, of which once as asked, 10.0 s; down for 1m01s now\n"
        );
    }

    #[test]
    fn spans_are_read_at_a_glance() {
        let spans = [0.04, 59.94, 60.0, 3_599.0, 3_600.0, 90_000.0].map(span);
        assert_eq!(spans, ["0.0 s", "59.9 s", "1m00s", "59m59s", "1h00m", "1d1h"]);
    }
}
