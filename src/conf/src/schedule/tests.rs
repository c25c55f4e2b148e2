use super::*;

fn at(text: &str) -> DateTime {
    text.parse().unwrap()
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Observed on deployed agents.
#[test]
fn a_time_is_allowed_as_on_deployed_agents() {
    for (text, time, is_allowed) in [
        ("", "2015-02-27T10:00", false),
        ("@0", "2015-02-27T10:00", false),
        ("*@0", "2015-02-27T10:00", false),
        ("*", "2015-02-27T10:00", true),
        ("*@61", "2015-02-27T10:00", true),
        ("09:00-09:20", "2015-02-27T10:00", false),
        ("09:00-09:20@31", "2015-02-27T09:09", true),
        ("09:00", "2015-02-27T09:09", false),
        ("09:20-09:00", "2015-02-27T09:09", false),
        ("09:20-09:00", "2015-02-27T10:00", true),
        ("~09:00-09:20", "2015-02-27T09:09", true),
        ("* fri", "2015-10-08T10:00", false),
        ("* fri", "2015-10-09T10:00", true),
        ("* :-2", "2015-01-30T10:00", true),
        ("* *:-2", "2015-01-31T10:00", false),
        ("* :last", "2015-01-31T10:00", true),
        ("* :+5", "2015-01-05T10:00", true),
        ("* :fifth", "2015-01-06T10:00", false),
        ("* :0", "2015-01-31T10:00", false),
        ("* * * %2", "2015-01-06T10:00", false),
        ("* * * jan-feb%2+1", "2015-01-06T10:00", true),
        ("18:00-18:59@60 wed", "2016-08-31T18:00", true),
        ("23:00-23:59@61 *:first", "2016-09-01T23:00", true),
        ("23:00-00:59", "2016-09-01T23:00", true),
        ("* * 10-15", "2024-02-05T09:10", false),
        ("* fri-mon", "2024-02-05T09:10", true),
        ("* mon:first", "2024-04-01T00:00", true),
        ("! * mon", "2024-02-05T09:10", false),
        (r#"["@10", "! * tue"]"#, "2024-02-05T09:10", true),
        (r#"["@10", "! * mon"]"#, "2024-02-05T09:10", false),
        (r#"["@10", "!09:00-09:20"]"#, "2024-02-05T09:10", false),
    ] {
        assert_eq!(schedule(text).is_allowed(at(time), None), is_allowed, "{text} {time}");
    }
}

#[test]
fn a_run_comes_no_sooner_than_its_interval() {
    let last = Some(at("2015-02-27T09:52"));
    assert!(!schedule("@10").is_allowed(at("2015-02-27T10:00"), last));
    assert!(schedule("@10").is_allowed(at("2015-02-27T10:02"), last));
    assert!(schedule("@10s").is_allowed(at("2015-02-27T09:52:10"), last));
    assert_eq!(schedule("10:00-18:00@10s").interval(), Some(Duration::from_secs(10)));
    assert_eq!(schedule("04:00-06:00@121").interval(), Some(Duration::from_secs(7_260)));
    assert_eq!(schedule("09:00-09:20").interval(), Some(Duration::from_secs(1_201)));
}

#[test]
fn the_next_time_is_the_first_allowed_one() {
    for (text, now, last, next) in [
        ("@10", "2024-02-05T09:10", Some("2024-02-05T09:05"), Some("2024-02-05T09:15")),
        ("@10", "2024-02-05T09:10", None, Some("2024-02-05T09:10")),
        ("@10", "2024-02-05T23:55", Some("2024-02-05T23:54"), Some("2024-02-06T00:04")),
        ("@1d", "2024-02-05T09:10", Some("2024-02-05T09:05"), Some("2024-02-06T09:05")),
        ("09:00-09:20", "2024-02-05T09:10", Some("2024-02-05T09:05"), Some("2024-02-06T09:00")),
        ("09:00-09:20 mon", "2024-02-05T09:10", Some("2024-02-05T09:05"), Some("2024-02-12T09:00")),
        ("23:00-01:00@10", "2024-02-05T09:10", None, Some("2024-02-05T23:00")),
        ("23:00-01:00@10", "2024-02-06T00:59", Some("2024-02-06T00:55"), Some("2024-02-06T23:00")),
        ("* mon:first", "2024-02-05T09:10", None, Some("2024-04-01T00:00")),
        ("* mon:last", "2024-02-05T09:10", None, Some("2024-09-30T00:00")),
        ("* :29 * feb", "2024-03-01T00:00", None, Some("2028-02-29T00:00")),
        ("* :30 * feb", "2024-03-01T00:00", None, None),
        ("09:00", "2024-02-05T09:10", None, Some("2024-02-06T09:00")),
        (r#"["@10", "! * mon"]"#, "2024-02-05T09:10", None, Some("2024-02-06T00:00")),
        (
            r#"["@10", "!09:00-12:00", "!11:00-13:00"]"#,
            "2024-02-05T09:10",
            None,
            Some("2024-02-05T13:00:01"),
        ),
        (r#"["@10", "!*"]"#, "2024-02-05T09:10", None, None),
        // The clock was set back: the run of tomorrow does not count.
        ("@10", "2024-02-05T09:10", Some("2024-02-06T09:05"), Some("2024-02-05T09:10")),
        ("", "2024-02-05T09:10", None, None),
    ] {
        let found = schedule(text).next(at(now), last.map(at), 1);
        assert_eq!(found, next.map(at), "{text} {now}");
    }
}

#[test]
fn a_drawn_time_spreads_and_keeps_its_place() {
    let schedule = schedule("~00:00-06:00");
    let now = at("2024-02-05T00:00");
    let draws: Vec<DateTime> =
        (0..200).map(|seed| schedule.next(now, None, seed).unwrap()).collect();
    let before_three = draws.iter().filter(|draw| **draw < at("2024-02-05T03:00")).count();
    assert!((60..140).contains(&before_three), "{before_three} of 200");
    for (seed, draw) in (0..200).zip(&draws) {
        assert!((at("2024-02-05T00:00")..=at("2024-02-05T06:00")).contains(draw));
        // Asked later, the answer is the same until it is due; once run, it is another day's.
        assert_eq!(schedule.next(*draw, None, seed), Some(*draw));
        let tomorrow = schedule.next(*draw, Some(*draw), seed).unwrap();
        assert_eq!(tomorrow.date(), at("2024-02-06T00:00").date(), "{seed}");
    }
}

#[test]
fn a_mistake_names_its_part() {
    for text in [
        "@foo",
        "25:00-26:00",
        "00:00-24:00",
        "* foo",
        "* 8",
        "* 0",
        "* * 54",
        "* * * 13",
        "* * * foo",
        "mon",
        "* * * * *",
        "@10 09:00-10:00",
        "* !mon",
        "* mon:",
        "* mon:32",
        "09:00-",
        "-",
        "~",
        "@",
        "@10x",
        "@-1",
        "* * * %0",
        "* * * %x",
        "[\"@10\"",
        "[1]",
        "09:00-10:00,",
        "@99999999999999999999",
        "09:0a",
        "+9:00",
        "é",
        "* é",
        "~é",
    ] {
        let error = Schedule::parse(text).expect_err(text);
        assert!(!error.to_string().is_empty());
    }
}
