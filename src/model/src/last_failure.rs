//! Why the last action on an instance failed: a key of ours in its status, which deployed agents ignore.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::time::Timestamp;

/// Longest reason, in characters: a line that a reader takes in.
const LONGEST: usize = 300;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// The last failure of an instance, until an action succeeds or `clear`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LastFailure {
    /// The action: `start`.
    pub action: String,
    /// The resource that failed; none where it was no resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Why, as a fragment of one line.
    pub reason: String,
    /// Exit code of the program that failed, or of the action where nothing else is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When.
    pub at: Timestamp,
    /// Seconds that the clock of the node was ahead of UTC then: its hour is that of its logs.
    #[serde(default)]
    pub utc_offset: i32,
    /// How often the action failed in a row, this time included.
    #[serde(default)]
    pub tries: u32,
}

impl LastFailure {
    /// A failure of that moment; whoever keeps it counts the tries.
    #[must_use]
    pub fn new(action: &str, reason: &str) -> Self {
        let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = match line.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}..", &line[..end]),
            None => line,
        };
        Self { action: action.to_owned(), reason, ..Self::default() }
    }

    /// What and why, without when: `ip#1: interface eth7 does not exist`.
    #[must_use]
    pub fn cause(&self) -> String {
        match &self.rid {
            Some(rid) => format!("{rid}: {}", self.reason),
            None => format!("{}: {}", self.action, self.reason),
        }
    }

    /// What, why, when and how often, for a reader at `now`: `ip#1: interface eth7 does not exist (16:03, 3 tries)`.
    #[must_use]
    pub fn told(&self, now: Timestamp) -> String {
        format!("{} ({})", self.cause(), self.when(now))
    }

    fn when(&self, now: Timestamp) -> String {
        let here = |time: Timestamp| time.0 + f64::from(self.utc_offset);
        let at = here(self.at);
        let minutes = (at.rem_euclid(DAY) / 60.0).floor();
        let days = (here(now) / DAY).floor() - (at / DAY).floor();
        let mut text = format!("{:02}:{:02}", (minutes / 60.0).floor(), minutes % 60.0);
        if days >= 1.0 {
            let ago = if days < 2.0 { "a day ago".to_owned() } else { format!("{days} days ago") };
            text = format!("{ago} at {text}");
        }
        if self.tries > 1 {
            text += &format!(", {} tries", self.tries);
        }
        text
    }
}

impl fmt::Display for LastFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(self.at))
    }
}

/// Reads one, or none from what is none: a peer may write anything, and its instance counts all the same.
pub(crate) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<LastFailure>>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok().map(Box::new))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::InstanceStatus;

    fn failure() -> LastFailure {
        LastFailure {
            rid: Some("ip#1".to_owned()),
            // 1970-01-03, 15:03 in Greenwich.
            at: Timestamp(2.0 * DAY + 54_180.0),
            utc_offset: 3_600,
            tries: 3,
            ..LastFailure::new("start", "interface eth7\ndoes not exist")
        }
    }

    #[test]
    fn a_failure_tells_what_why_when_and_how_often() {
        let failure = failure();
        assert_eq!(failure.to_string(), "ip#1: interface eth7 does not exist (16:03, 3 tries)");
        let once = LastFailure { rid: None, tries: 1, ..failure.clone() };
        assert_eq!(once.to_string(), "start: interface eth7 does not exist (16:03)");
        let told = |days| failure.told(failure.at.plus(days * DAY));
        assert!(told(1.0).ends_with("(a day ago at 16:03, 3 tries)"), "{}", told(1.0));
        assert!(told(9.0).ends_with("(9 days ago at 16:03, 3 tries)"), "{}", told(9.0));
        let long = LastFailure::new("start", &"é".repeat(1_000));
        assert_eq!(long.reason.chars().count(), LONGEST + 2);
    }

    #[test]
    fn what_is_no_failure_costs_a_peer_no_instance() {
        let told = json!({"avail": "down", "last_failure": failure()});
        let status: InstanceStatus = serde_json::from_value(told).unwrap();
        assert_eq!(status.last_failure.as_deref(), Some(&failure()));
        for none in [json!(null), json!("no"), json!({"action": 7}), json!([])] {
            let told = json!({"avail": "down", "last_failure": none});
            let status: InstanceStatus = serde_json::from_value(told).unwrap();
            assert_eq!((status.last_failure, status.avail.is_some()), (None, true));
        }
    }
}
