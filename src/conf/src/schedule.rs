//! When recurring work is due: the field's schedule language.

use std::fmt;
use std::time::Duration;

use jiff::civil::DateTime;

/// When something runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    rules: Vec<()>,
}

/// Why a schedule is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError {
    /// The part that is wrong.
    pub part: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schedule {:?}: {}", self.part, self.reason)
    }
}

impl std::error::Error for ScheduleError {}

impl Schedule {
    /// Reads a schedule: `@10`, `04:00-06:00@121`, `~00:00-06:00 mon-fri`, or a JSON list of them. The empty text
    /// never runs.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] with the part that is wrong.
    pub fn parse(_text: &str) -> Result<Self, ScheduleError> {
        Ok(Self { rules: vec![] })
    }

    /// Whether it never runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether it may run at `now`, having run at `last` (start of the last run).
    #[must_use]
    pub fn is_allowed(&self, _now: DateTime, _last: Option<DateTime>) -> bool {
        false
    }

    /// The next time at or after `now` at which it is due, having run at `last`. `seed` draws the minute within a
    /// `~` range: use the same one for the same object and resource, so that each keeps its place and all spread.
    #[must_use]
    pub fn next(&self, _now: DateTime, _last: Option<DateTime>, _seed: u64) -> Option<DateTime> {
        None
    }

    /// Shortest time between two runs, none when it is not by interval.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        None
    }
}
