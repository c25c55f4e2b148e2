//! Reading schedules.

use crate::schedule::rule::{DAY_SECONDS, Day, Range, Rule, ScheduleError};

const ALL_WEEKS: u64 = (1 << 54) - 2;
const ALL_MONTHS: u16 = (1 << 13) - 2;
const ALL_WEEKDAYS: u8 = 0xfe;

/// Longest interval: some 20 years.
const MAX_INTERVAL: f64 = 630_720_000.0;

pub(super) const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const ORDINALS: [(&str, i8); 11] = [
    ("first", 1),
    ("1st", 1),
    ("second", 2),
    ("2nd", 2),
    ("third", 3),
    ("3rd", 3),
    ("fourth", 4),
    ("4th", 4),
    ("fifth", 5),
    ("5th", 5),
    ("last", -1),
];

fn fail<T>(part: &str, reason: &'static str) -> Result<T, ScheduleError> {
    Err(ScheduleError { part: part.chars().take(60).collect(), reason: reason.into() })
}

/// The definitions of a schedule: those that allow, and those that exclude.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) allowed: Vec<Rule>,
    pub(super) excluded: Vec<Rule>,
}

pub(super) fn parse(text: &str) -> Result<Parsed, ScheduleError> {
    let text = text.trim();
    let definitions: Vec<String> = if text.starts_with('[') {
        match serde_json::from_str(text) {
            Ok(definitions) => definitions,
            Err(_) => return fail(text, "not a JSON list of texts"),
        }
    } else {
        vec![text.to_owned()]
    };
    let mut parsed = Parsed::default();
    for definition in &definitions {
        let definition = definition.trim();
        let (rest, is_excluded) = match definition.strip_prefix('!') {
            Some(rest) => (rest, true),
            None => (definition, false),
        };
        let Some(rule) = rule(rest)? else { continue };
        if is_excluded {
            parsed.excluded.push(rule);
        } else {
            parsed.allowed.push(rule);
        }
    }
    Ok(parsed)
}

fn rule(text: &str) -> Result<Option<Rule>, ScheduleError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let Some(times) = words.first() else { return Ok(None) };
    if words.len() > 4 {
        return fail(text, "more than timeranges, days, weeks and months");
    }
    let mut ranges = vec![];
    for part in times.split(',') {
        ranges.extend(range(part)?);
    }
    if ranges.is_empty() {
        return Ok(None);
    }
    let days = words.get(1).map_or(Ok(vec![EVERY_DAY]), |word| days(word))?;
    let weeks = words.get(2).map_or(Ok(ALL_WEEKS), |word| weeks(word))?;
    let months = words.get(3).map_or(Ok(ALL_MONTHS), |word| months(word))?;
    Ok(Some(Rule { ranges, days, weeks, months }))
}

const EVERY_DAY: Day = Day { weekdays: ALL_WEEKDAYS, of_month: None };

/// A timerange; none when its interval is 0: it never runs.
fn range(part: &str) -> Result<Option<Range>, ScheduleError> {
    let (is_drawn, text) = match part.strip_prefix('~') {
        Some(text) => (true, text),
        None => (false, part),
    };
    let (times, interval) = match text.split_once('@') {
        Some((times, interval)) => (times, Some(interval)),
        None => (text, None),
    };
    let (begin, end) = match (times, times.split_once('-')) {
        ("*", _) => (0, DAY_SECONDS - 1),
        ("", _) if interval.is_some() => (0, DAY_SECONDS - 1),
        (_, Some((begin, end))) => (time(part, begin)?, time(part, end)?),
        // A time alone is that minute.
        (_, None) => {
            let begin = time(part, times)?;
            (begin, (begin + 59).min(DAY_SECONDS - 1))
        }
    };
    let length = if begin <= end { end - begin } else { end + DAY_SECONDS - begin } + 1;
    let interval = match interval {
        None => length,
        Some(interval) => {
            let is_number = interval.starts_with(|c: char| c.is_ascii_digit());
            let has_end = interval.ends_with(|c: char| {
                c.is_ascii_digit() || matches!(c.to_ascii_lowercase(), 'w' | 'd' | 'h' | 'm' | 's')
            });
            match crate::convert::quantity::parse_duration(interval, 60.0) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0 and MAX_INTERVAL"
                )]
                Ok(seconds) if is_number && has_end && (0.0..=MAX_INTERVAL).contains(&seconds) => {
                    seconds.ceil() as u32
                }
                _ => {
                    return fail(
                        part,
                        "the interval after @ is a number of minutes, or has a unit",
                    );
                }
            }
        }
    };
    Ok((interval > 0).then_some(Range { begin, end, interval, is_drawn }))
}

/// Seconds since midnight of `HH:MM[:SS]`.
fn time(part: &str, text: &str) -> Result<u32, ScheduleError> {
    const REASON: &str = "a time is HH:MM, from 00:00 to 23:59";
    let mut seconds = 0;
    let fields: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&fields.len()) {
        return fail(part, REASON);
    }
    for (field, (limit, unit)) in fields.into_iter().zip([(23, 3_600), (59, 60), (59, 1)]) {
        let is_short = (1..=2).contains(&field.len()) && field.bytes().all(|b| b.is_ascii_digit());
        match field.parse::<u32>() {
            Ok(number) if is_short && number <= limit => seconds += number * unit,
            _ => return fail(part, REASON),
        }
    }
    Ok(seconds)
}

/// Number of a name, of its first three letters, or of a number, from 1.
fn number(text: &str, names: &[&str]) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let is_named = |name: &&str| *name == lower || name[..3] == lower;
    let named = names.iter().position(is_named).and_then(|at| u32::try_from(at + 1).ok());
    named.or_else(|| text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit())))
}

/// Bits of a name, a number, or a range of them that may go over the end.
fn span(part: &str, text: &str, names: &[&str], most: u32) -> Result<u64, ScheduleError> {
    let one = |text: &str| match number(text, names) {
        Some(number) if (1..=most).contains(&number) => Ok(number),
        Some(_) => fail(part, "a number out of range"),
        None => fail(part, "neither a name nor a number"),
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (one(first)?, one(last)?),
        None => (one(text)?, one(text)?),
    };
    let is_in = |number: &u32| {
        if first <= last {
            (first..=last).contains(number)
        } else {
            *number >= first || *number <= last
        }
    };
    Ok((1..=most).filter(is_in).fold(0, |bits, number| bits | 1 << number))
}

fn days(word: &str) -> Result<Vec<Day>, ScheduleError> {
    let mut days = vec![];
    for part in word.split(',') {
        let (name, of_month) = match part.split_once(':') {
            Some((name, of_month)) => (name, Some(day_of_month(part, of_month)?)),
            None => (part, None),
        };
        let weekdays = match name {
            "*" => ALL_WEEKDAYS,
            "" if of_month.is_some() => ALL_WEEKDAYS,
            _ => u8::try_from(span(part, name, &WEEKDAYS, 7)?).unwrap_or(ALL_WEEKDAYS),
        };
        days.push(Day { weekdays, of_month });
    }
    Ok(days)
}

fn day_of_month(part: &str, text: &str) -> Result<i8, ScheduleError> {
    let lower = text.to_ascii_lowercase();
    if let Some((_, day)) = ORDINALS.iter().find(|(name, _)| *name == lower) {
        return Ok(*day);
    }
    match text.parse::<i8>() {
        // 0 is no day: such a definition never holds, as on deployed agents.
        Ok(day) if (-31..=31).contains(&day) => Ok(day),
        _ => fail(part, "the day of month is 1 to 31, -1 to -31, first to fifth, or last"),
    }
}

fn weeks(word: &str) -> Result<u64, ScheduleError> {
    if word == "*" {
        return Ok(ALL_WEEKS);
    }
    let mut weeks = 0;
    for part in word.split(',') {
        weeks |= span(part, part, &[], 53)?;
    }
    Ok(weeks)
}

fn months(word: &str) -> Result<u16, ScheduleError> {
    let mut months = 0;
    for part in word.split(',') {
        let (names, filter) = match part.split_once('%') {
            Some((names, filter)) => (names, Some(filter)),
            None => (part, None),
        };
        let mut bits = match names {
            "*" => ALL_MONTHS,
            "" if filter.is_some() => ALL_MONTHS,
            _ => u16::try_from(span(part, names, &MONTHS, 12)?).unwrap_or(ALL_MONTHS),
        };
        if let Some(filter) = filter {
            let (modulus, rest) = filter.split_once('+').unwrap_or((filter, "0"));
            let (Ok(modulus @ 1..=12), Ok(rest)) = (modulus.parse::<u16>(), rest.parse::<u16>())
            else {
                return fail(part, "a filter of months is %<1 to 12>[+<rest>]");
            };
            for month in 1..=12 {
                if month % modulus != rest {
                    bits &= !(1 << month);
                }
            }
        }
        months |= bits;
    }
    Ok(months)
}
