use model::Kind;

use crate::keywords::Tables;
use crate::keywords::keyword::{Default, Fate, Keyword};
use crate::manual::look_up::Answer;
use crate::manual::{Book, Entry, examples, groups};

const TABLES: [Tables; 8] = [
    Tables::Object(Kind::Svc),
    Tables::Object(Kind::Vol),
    Tables::Object(Kind::Cfg),
    Tables::Object(Kind::Sec),
    Tables::Object(Kind::Usr),
    Tables::Object(Kind::Nscfg),
    Tables::Object(Kind::Ccfg),
    Tables::Node,
];

/// Every keyword of every table, with its group.
fn rows() -> Vec<(&'static str, &'static Keyword)> {
    let shelves = TABLES.into_iter().flat_map(|tables| {
        let shelf = move |group| super::Shelf { tables, group, is_listed: true };
        groups::of(tables).into_iter().map(shelf)
    });
    let rows = shelves
        .flat_map(|shelf| shelf.rows().into_iter().map(move |(_, keyword)| (shelf.group, keyword)));
    rows.collect()
}

/// What is wrong with the text of a keyword.
fn fault(text: &str) -> Option<&'static str> {
    match text {
        _ if text.trim().is_empty() => Some("empty"),
        _ if text.chars().count() > 160 => Some("longer than 160 characters"),
        _ if text.ends_with('.') => Some("ends with a dot"),
        _ if text.chars().any(char::is_control) => Some("has control characters"),
        _ if text.contains("  ") || text.trim() != text => Some("has blanks too many"),
        _ if text.contains(". ") => Some("more than one clause"),
        _ => None,
    }
}

#[test]
fn no_keyword_is_without_its_text() {
    let all = rows();
    assert!(all.len() > 600, "only {} rows were found", all.len());
    let wrong: Vec<String> = all
        .iter()
        .filter_map(|(group, keyword)| {
            fault(keyword.text).map(|fault| format!("{group}.{}: {fault}", keyword.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_bad_text_is_found() {
    assert_eq!(fault("how long it waits, in seconds"), None);
    assert_eq!(fault(" "), Some("empty"));
    assert_eq!(fault("it waits."), Some("ends with a dot"));
    assert_eq!(fault(&"a".repeat(161)), Some("longer than 160 characters"));
    assert_eq!(fault(&"a".repeat(160)), None);
}

#[test]
fn each_duration_and_size_has_its_unit() {
    use crate::convert::Converter::{Duration, DurationDays, DurationMinutes, Size, Speed};
    for (group, keyword) in rows() {
        let units: &[&str] = match keyword.converter {
            Duration => &["in seconds"],
            DurationMinutes => &["minutes"],
            DurationDays => &["in days"],
            Size if keyword.name.starts_with("limit_n") => &["how many"],
            Size => &["in bytes", "in bits"],
            Speed => &["KB per second"],
            _ => continue,
        };
        let has_unit = units.iter().any(|unit| keyword.text.contains(unit));
        assert!(has_unit, "{group}.{}: {}", keyword.name, keyword.text);
    }
}

#[test]
fn an_example_is_a_value_that_the_keyword_takes() {
    for (group, keyword) in rows() {
        let Some(value) = examples::value(group, keyword) else {
            let is_done = matches!(keyword.fate, Fate::Read | Fate::Partly(_));
            let is_set_by_hand = !(examples::is_left_to_the_daemon(group, keyword.name)
                || crate::keywords::unread_section(Tables::Node, group).is_some());
            assert!(!(is_done && is_set_by_hand), "{group}.{} has no example", keyword.name);
            continue;
        };
        let is_usual = matches!(keyword.default, Default::Text(usual) if usual == value);
        assert!(!is_usual, "{group}.{}: {value} is what it is anyway", keyword.name);
        if !keyword.candidates.is_empty() {
            assert!(keyword.candidates.contains(&value), "{group}.{}: {value}", keyword.name);
        }
        let text = crate::Value::Text(value.into());
        let converted = keyword.converter.convert(text);
        assert!(converted.is_ok_and(|value| !value.is_null()), "{group}.{}: {value}", keyword.name);
    }
}

fn found(book: Book, asked: &str) -> Vec<Entry> {
    match book.look_up(Some(asked)) {
        Ok(Answer::Keywords(entries) | Answer::Group(_, entries)) => entries,
        other => panic!("{asked}: {other:?}"),
    }
}

#[test]
fn a_keyword_is_found_by_all_its_names() {
    let restart = &found(Book::Whole, "app.restart")[0];
    assert_eq!((restart.holds, restart.default, restart.scopable), ("integer", Some("0"), true));
    assert_eq!(restart.inherits.as_deref(), Some("DEFAULT.restart"));
    assert_eq!(restart.example.as_deref(), Some("om web set --kw app#1.restart=3"));
    for asked in ["app#1.restart", "app.restart@n2", "app.simple.restart"] {
        assert_eq!(found(Book::Whole, asked), std::slice::from_ref(restart), "{asked}");
    }
    // Without a section it is what every resource has.
    assert_eq!(found(Book::Whole, "restart").len(), 1);
    assert_eq!(found(Book::Whole, "DEFAULT.restart").len(), 1);
    assert_eq!(found(Book::Whole, "DEFAULT.orchestrate")[0].values, ["ha", "start", "no"]);
    assert_eq!(found(Book::Whole, "DEFAULT.cn")[0].section, "DEFAULT");
    assert_eq!(found(Book::Whole, "fs.dev").iter().filter(|entry| entry.required).count(), 1);
    assert_eq!(found(Book::Whole, "lv#1.restart").len(), 1);
    assert_eq!(found(Book::Whole, "fs.xfs.mkfs_opt").len(), 1);
    assert_eq!(found(Book::Whole, "hb.disk.dev")[0].drivers, ["disk"]);
    assert_eq!(found(Book::Whole, "hb.interval")[0].drivers, [""; 0]);
    // A driver without a table here has what all have.
    assert!(found(Book::Whole, "disk.vg").iter().all(|entry| entry.drivers.is_empty()));
    assert_eq!(found(Book::Whole, "app.kill")[0].drivers, ["simple"]);
    assert_eq!(found(Book::Node, "node.split_action")[0].default, Some("crash"));
    let kind = &found(Book::Whole, "fs.type")[0];
    assert!(kind.required && kind.default.is_none() && !kind.scopable);
    let is_common = |asked| found(Book::Whole, asked)[0].common;
    assert!(is_common("app.restart") && is_common("app.pg_cpus") && !is_common("app.start"));
    assert_eq!(found(Book::Whole, "app.type")[0].default, Some("forking"));
}

#[test]
fn what_is_not_done_is_told_with_its_reason() {
    let note = |asked| found(Book::Whole, asked)[0].note.clone();
    assert_eq!(note("app.restart"), None);
    let reason =
        "not read: this agent takes no SCSI reservations: nothing keeps another node from writing";
    assert_eq!(note("fs.prkey").as_deref(), Some(reason));
    assert_eq!(note("hook.command").as_deref(), Some("not read: this agent runs no hooks"));
    assert!(note("sync.snap").is_some_and(|note| note.starts_with("refused: ")));
    assert!(note("node.dbopensvc").is_some_and(|note| note.starts_with("read in part: ")));
}

#[test]
fn a_wrong_name_gets_the_nearest_one() {
    let told = |book: Book, asked: &str| book.look_up(Some(asked)).unwrap_err().to_string();
    let restart = found(Book::Whole, "app.restart")[0].text;
    for (asked, answer) in [
        ("app.restrat", format!("app.restrat: did you mean restart? (integer, default 0: {restart})")),
        ("restrat", format!("restrat: did you mean restart? (integer, default 0: {restart})")),
        (
            "fs#1.restrat",
            format!("fs#1.restrat: did you mean restart? (integer, default 0: {restart})"),
        ),
        (
            "volume.restrat",
            format!("volume.restrat: did you mean restart? (integer, default 0: {restart})"),
        ),
        ("ap.restart", "ap.restart: did you mean app.restart?".to_owned()),
        ("ap.x", "ap.x: no such section: did you mean app?".to_owned()),
        ("app.smple", "app.smple: did you mean app.simple?".to_owned()),
        ("contaner", "contaner: did you mean container?".to_owned()),
        ("kitchen", "kitchen: no section and no keyword: `om doc` lists the sections".to_owned()),
        ("app.colour", "app.colour: no such keyword: `om doc app` lists those of app".to_owned()),
        (
            "container.run_image",
            "container.run_image: the name is image now: image that the container is made of, as registry/name:tag"
                .to_owned(),
        ),
    ] {
        assert_eq!(told(Book::Whole, asked), answer);
    }
    assert!(told(Book::Object(Kind::Sec), "app.restart").contains("no such section"));
    assert!(
        told(Book::Node, "node.split_acton")
            .contains("did you mean split_action? (crash|reboot|stop, default crash: ")
    );
}

#[test]
fn the_groups_are_told_with_their_drivers() {
    let groups = Book::Whole.groups();
    let of = |name| groups.iter().find(|group| group.name == name).unwrap();
    assert_eq!(of("app").drivers, ["forking", "simple"]);
    assert!(of("disk").drivers.contains(&"loop") && of("disk").left_alone.contains(&"vg"));
    assert!(of("env").is_free && !of("share").is_free);
    assert_eq!(of("hook").note, Some("this agent runs no hooks"));
    let mut names: Vec<_> = groups.iter().map(|group| group.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a group is listed twice");
}
