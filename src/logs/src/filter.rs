//! Which entries of a log are wanted: by time, level and text (`om logs --since --until --level --grep`).

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};

/// Most bytes of a pattern, and of what it is compiled to: requests carry it.
const LONGEST_PATTERN: usize = 1_000;
const LARGEST_PATTERN: usize = 1 << 20;

/// Levels, the least important first, as entries spell them.
const LEVELS: [&str; 5] = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

/// What an entry has to be.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Seconds since 1970 from which on.
    pub since: Option<f64>,
    /// Seconds since 1970 up to which.
    pub until: Option<f64>,
    /// Place among the levels of the least important one.
    level: Option<usize>,
    grep: Option<Regex>,
    /// How many of those that are there already, the last ones; all when absent.
    pub lines: Option<usize>,
}

impl LogFilter {
    /// The filter of these words. A pattern without capital letters finds capital ones too.
    ///
    /// # Errors
    ///
    /// The level is none, or the pattern is no regular expression, or too large.
    pub fn new(
        since: Option<f64>,
        until: Option<f64>,
        level: Option<&str>,
        grep: Option<&str>,
    ) -> Result<Self, String> {
        let level = level.map(level_of).transpose()?;
        let grep = grep.map(pattern).transpose()?;
        Ok(Self { since, until, level, grep, lines: None })
    }

    /// The filter that a request carries; what it has no word for is wanted.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn of_request(only: &Map<String, Value>) -> Result<Self, String> {
        let time = |name: &str| only.get(name).and_then(Value::as_f64);
        let text = |name: &str| only.get(name).and_then(Value::as_str);
        let lines = only.get("lines").and_then(Value::as_u64);
        let lines = lines.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX));
        let filter = Self::new(time("since"), time("until"), text("level"), text("grep"))?;
        Ok(Self { lines, ..filter })
    }

    /// As a request carries it.
    #[must_use]
    pub fn to_request(&self) -> Map<String, Value> {
        let mut only = Map::new();
        let mut add = |name: &str, value: Option<Value>| {
            only.extend(value.map(|value| (name.to_owned(), value)));
        };
        add("since", self.since.map(|at| json!(at)));
        add("until", self.until.map(|at| json!(at)));
        add("level", self.level.map(|at| json!(LEVELS[at])));
        // Its case is decided anew by the same letters.
        add("grep", self.grep.as_ref().map(|grep| json!(grep.as_str())));
        add("lines", self.lines.map(|lines| json!(lines)));
        only
    }

    /// Whether it lets everything through that comes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.since.is_none() && self.until.is_none() && self.level.is_none() && self.grep.is_none()
    }

    /// Whether an entry, as requests carry it, is wanted.
    #[must_use]
    pub fn passes(&self, entry: &Value) -> bool {
        let t = entry.get("t").and_then(Value::as_f64).unwrap_or(0.0);
        if self.since.is_some_and(|since| t < since) || self.until.is_some_and(|until| t > until) {
            return false;
        }
        let level = || {
            let word = entry.get("l").and_then(Value::as_str).unwrap_or_default();
            LEVELS.iter().position(|level| *level == word)
        };
        // A level of another agent is nothing to leave out.
        if self.level.is_some_and(|least| level().is_some_and(|level| level < least)) {
            return false;
        }
        self.grep.as_ref().is_none_or(|grep| has(entry, grep))
    }
}

/// Whether a line of the message matches, or a word beside it: the resource, the session.
fn has(entry: &Value, grep: &Regex) -> bool {
    let is_match = |value: &Value| value.as_str().is_some_and(|text| grep.is_match(text));
    let in_message = match entry.get("m") {
        Some(Value::Array(lines)) => lines.iter().any(is_match),
        Some(line) => is_match(line),
        None => false,
    };
    let words = || entry.get("x").and_then(Value::as_object);
    in_message || words().is_some_and(|words| words.values().any(is_match))
}

fn level_of(word: &str) -> Result<usize, String> {
    let name = match word.to_ascii_lowercase().as_str() {
        "warn" => "WARNING".to_owned(),
        "err" => "ERROR".to_owned(),
        "crit" => "CRITICAL".to_owned(),
        other => other.to_ascii_uppercase(),
    };
    LEVELS.iter().position(|level| *level == name).ok_or_else(|| {
        let short: String = word.chars().take(40).collect();
        format!("{short:?} is no level: expected debug, info, warning, error or critical")
    })
}

fn pattern(text: &str) -> Result<Regex, String> {
    if text.len() > LONGEST_PATTERN {
        return Err(format!("the pattern has {} bytes, at most {LONGEST_PATTERN}", text.len()));
    }
    let is_any_case = !text.chars().any(char::is_uppercase);
    let mut builder = RegexBuilder::new(text);
    builder
        .case_insensitive(is_any_case)
        .size_limit(LARGEST_PATTERN)
        .dfa_size_limit(LARGEST_PATTERN);
    builder.build().map_err(|error| {
        let said = error.to_string();
        format!("no regular expression: {}", said.lines().last().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(t: f64, level: &str, message: &str) -> Value {
        json!({"t": t, "l": level, "m": [message, "second line"], "x": {"r": "app#1"}})
    }

    fn passes(filter: &LogFilter, entry: &Value) -> bool {
        // As the node that has the log reads it.
        let sent = LogFilter::of_request(&filter.to_request()).unwrap();
        assert_eq!(sent.passes(entry), filter.passes(entry));
        filter.passes(entry)
    }

    #[test]
    fn times_bound_on_both_sides() {
        let filter = LogFilter::new(Some(10.0), Some(20.0), None, None).unwrap();
        let kept: Vec<bool> =
            [9.9, 10.0, 20.0, 20.1].map(|t| passes(&filter, &entry(t, "INFO", "x"))).to_vec();
        assert_eq!(kept, [false, true, true, false]);
        assert!(LogFilter::default().is_open() && !filter.is_open());
    }

    #[test]
    fn a_level_keeps_itself_and_what_matters_more() {
        let filter = LogFilter::new(None, None, Some("warn"), None).unwrap();
        let levels = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "NOTICE"];
        let kept: Vec<bool> = levels.map(|level| passes(&filter, &entry(1.0, level, "x"))).to_vec();
        assert_eq!(kept, [false, false, true, true, true, true]);
        let error = LogFilter::new(None, None, Some("loud"), None).unwrap_err();
        assert!(error.contains("\"loud\" is no level"), "{error}");
    }

    #[test]
    fn a_pattern_is_looked_for_in_all_lines_and_words() {
        let has = |grep, message| {
            passes(
                &LogFilter::new(None, None, None, Some(grep)).unwrap(),
                &entry(1.0, "INFO", message),
            )
        };
        assert!(has("do (start|stop)", "do start --local") && !has("do stop", "do start"));
        assert!(has("second", "x") && has("app#1", "x"));
        assert!(has("do start", "Do Start"), "small letters find capital ones");
        assert!(!has("Do start", "do start"));
    }

    #[test]
    fn a_pattern_that_is_none_or_too_large_is_refused() {
        for grep in ["(", "(a{1000}){1000}", &"x".repeat(2_000)] {
            assert!(LogFilter::new(None, None, None, Some(grep)).is_err(), "{:.20}", grep);
        }
    }
}
