//! One definition of a schedule.

use std::fmt;

use jiff::civil::Date;

/// One definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) ranges: Vec<Range>,
    pub(super) days: Vec<Day>,
    /// Bit n: ISO week n.
    pub(super) weeks: u64,
    /// Bit n: month n.
    pub(super) months: u16,
}

/// A range of the time of day, in seconds, both ends included; it goes over midnight when it ends before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(super) begin: u32,
    pub(super) end: u32,
    pub(crate) interval: u32,
    pub(crate) is_drawn: bool,
}

/// Days of the week that also are one day of the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Day {
    /// Bit n: day n of the week, monday is 1.
    pub(super) weekdays: u8,
    /// From the first when positive, from the last when negative.
    pub(super) of_month: Option<i8>,
}

pub(crate) const DAY_SECONDS: u32 = 86_400;

/// The form of a schedule, for who wrote another.
pub(crate) const FORM: &str =
    "times, then days, weeks and months, as @10, 02:00-04:00 or 09:00-18:00@30 mon-fri";

/// Why a schedule is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError {
    /// The part that is wrong.
    pub part: String,
    /// What is wrong with it, and what is right.
    pub reason: Box<str>,
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ScheduleError {}

impl Rule {
    pub(crate) fn has_day(&self, date: Date) -> bool {
        let month = 1_u16 << date.month();
        let week = 1_u64 << date.iso_week_date().week();
        let weekday = 1_u8 << date.weekday().to_monday_one_offset();
        self.months & month != 0
            && self.weeks & week != 0
            && self.days.iter().any(|day| {
                day.weekdays & weekday != 0
                    && day.of_month.is_none_or(|of_month| {
                        let from_end = date.day() - date.days_in_month() - 1;
                        of_month == date.day() || of_month == from_end
                    })
            })
    }
}

impl Range {
    /// The parts of one day it covers, in order.
    pub(crate) fn parts(self) -> impl Iterator<Item = (u32, u32)> {
        let is_whole = self.begin <= self.end;
        let parts = if is_whole {
            [Some((self.begin, self.end)), None]
        } else {
            [Some((0, self.end)), Some((self.begin, DAY_SECONDS - 1))]
        };
        parts.into_iter().flatten()
    }
}
