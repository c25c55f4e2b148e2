//! When recurring work is due: the field's schedule language.
//!
//! A schedule is one definition or a JSON list of them: `[!]<timeranges> [<days> [<weeks> [<months>]]]`. Work is
//! allowed when one definition allows it and none that starts with `!` covers the time. See the page "Scheduler" of
//! the agent's manual; what it leaves open was seen on deployed agents.
//!
//! - timeranges, comma separated: `*`, `@10`, `09:00-18:00`, `~00:00-06:00`, `23:00-01:00@15m`, `09:00`. The number
//!   after `@` is the shortest time between two runs, in minutes unless it has a unit; by default the length of the
//!   range. `~` draws the time of the run within the range.
//! - days, comma separated: `mon`, `monday`, `1` (monday) to `7`, `fri-mon`, `*`, each with an optional day of month
//!   after a colon: `:1`, `:last`, `:-2` (last but one), `mon:first` (a monday that is the first of a month).
//! - weeks: ISO week numbers, `1-10,53`. Months: `jan`, `january`, `1`, `nov-feb`, `%2` (even ones), `%3+1`.

use std::time::Duration;

use jiff::Span;
use jiff::civil::{Date, DateTime};

use crate::schedule::rule::{DAY_SECONDS, FORM, Rule, ScheduleError};

mod crontab;
mod parse;
pub(crate) mod rule;

/// When something runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    allowed: Vec<Rule>,
    excluded: Vec<Rule>,
}

/// When work is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The time.
    pub time: DateTime,
    /// It is due so long after its last run, and not at an hour of the day: nothing that is done to the clocks of the
    /// country changes how long that is.
    pub is_interval: bool,
}

/// Days looked ahead: the calendar repeats its weekdays after 28 years.
const HORIZON_DAYS: u32 = 28 * 366;

impl Schedule {
    /// Reads a schedule. The empty text, and `@0`, never run.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] with the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let parsed = parse::parse(text).map_err(|error| {
            let short: String = text.chars().take(60).collect();
            let reason = match crontab::advice(text) {
                Some(advice) => format!("{short:?} is {advice}"),
                None => format!("{:?}: {}: expected {FORM}", error.part, error.reason),
            };
            ScheduleError { reason: reason.into(), ..error }
        })?;
        Ok(Self { allowed: parsed.allowed, excluded: parsed.excluded })
    }

    /// Whether it never runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty()
    }

    /// Whether it may run at `now`, its last run having started at `last`. Where the time is drawn, the whole range
    /// is allowed.
    #[must_use]
    pub fn is_allowed(&self, now: DateTime, last: Option<DateTime>) -> bool {
        self.earliest_on(now.date(), now, last, None).map(|due| due.time)
            == Some(now.with().subsec_nanosecond(0).build().unwrap_or(now))
    }

    /// The next time at or after `now` at which it is due, its last run having started at `last`; none when it never
    /// is in the next 28 years. `seed` draws the time within a `~` range, anew each day: use one per node, object
    /// and resource, so that they spread.
    #[must_use]
    pub fn next(&self, now: DateTime, last: Option<DateTime>, seed: u64) -> Option<DateTime> {
        self.next_due(now, last, seed).map(|due| due.time)
    }

    /// The same, with what makes it due.
    #[must_use]
    pub fn next_due(&self, now: DateTime, last: Option<DateTime>, seed: u64) -> Option<Due> {
        let mut date = now.date();
        for _ in 0..if self.is_empty() { 0 } else { HORIZON_DAYS } {
            if let Some(due) = self.earliest_on(date, now, last, Some(seed)) {
                return Some(due);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// Shortest time between two runs over all definitions; none when it never runs.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        let ranges = self.allowed.iter().flat_map(|rule| &rule.ranges);
        ranges.map(|range| Duration::from_secs(range.interval.into())).min()
    }

    /// The earliest time of a day, not before `now`.
    fn earliest_on(
        &self,
        date: Date,
        now: DateTime,
        last: Option<DateTime>,
        seed: Option<u64>,
    ) -> Option<Due> {
        let midnight = date.at(0, 0, 0, 0);
        let since_midnight = |time: DateTime| -> i64 {
            let span = time.since((jiff::Unit::Second, midnight)).unwrap_or_default();
            span.get_seconds()
        };
        let now_second = since_midnight(now);
        let mut earliest: Option<(u32, bool)> = None;
        for rule in self.allowed.iter().filter(|rule| rule.has_day(date)) {
            for range in &rule.ranges {
                let after_last =
                    last.map_or(i64::MIN, |last| since_midnight(last) + i64::from(range.interval));
                // A last run in the future is a clock that was set back: it does not block for ever.
                let after_last =
                    if last.is_some_and(|last| last > now) { i64::MIN } else { after_last };
                for (begin, end) in range.parts() {
                    let drawn = match seed {
                        Some(seed) if range.is_drawn => {
                            begin + draw(seed, date, begin, end - begin)
                        }
                        _ => begin,
                    };
                    let from = i64::from(drawn).max(now_second).max(after_last);
                    let Some(from) = u32::try_from(from).ok().filter(|from| *from <= end) else {
                        continue;
                    };
                    let found = self.not_excluded(date, from).filter(|found| *found <= end);
                    let found = found.map(|found| (found, i64::from(found) == after_last));
                    earliest = [earliest, found].into_iter().flatten().min();
                }
            }
        }
        let (second, is_interval) = earliest?;
        let time = midnight.checked_add(Span::new().try_seconds(second).ok()?).ok()?;
        Some(Due { time, is_interval })
    }

    /// The first second of a day, from `from` on, that no definition excludes.
    fn not_excluded(&self, date: Date, from: u32) -> Option<u32> {
        let rules = self.excluded.iter().filter(|rule| rule.has_day(date));
        let mut parts: Vec<(u32, u32)> =
            rules.flat_map(|rule| &rule.ranges).flat_map(|range| range.parts()).collect();
        parts.sort_unstable();
        let mut free = from;
        for (begin, end) in parts {
            if begin <= free && free <= end {
                free = end + 1;
            }
        }
        (free < DAY_SECONDS).then_some(free)
    }
}

/// A number from 0 to `length`, drawn for one range of one day (SplitMix64).
fn draw(seed: u64, date: Date, begin: u32, length: u32) -> u32 {
    let number = Date::constant(1970, 1, 1).until(date).map_or(0, |span| span.get_days());
    let mut z = seed
        ^ u64::from(number.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (u64::from(begin) << 40);
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    u32::try_from(z % (u64::from(length) + 1)).unwrap_or(length)
}

#[cfg(test)]
mod tests;
