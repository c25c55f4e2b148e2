//! What happened to an object or a node: one line of its journal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::NodeName;
use crate::time::Timestamp;

/// Longest text of a record, in characters: a line that a reader takes in.
const LONGEST: usize = 300;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// The state of the object over all its instances, as the node that writes it sees them.
    Object,
    /// The availability of the instance.
    Avail,
    /// The overall state of the instance.
    Overall,
    /// The instance, or the node, is frozen or thawed.
    Frozen,
    /// Whether the instance is provisioned.
    Provisioned,
    /// What the monitor of the instance, or of the node, does.
    Monitor,
    /// The target of the object, or of all nodes.
    Target,
    /// The target of the instance, or of the node.
    LocalTarget,
    /// Somebody asked for something.
    Asked,
    /// An action begins.
    Begun,
    /// An action ended.
    Ended,
    /// A resource is restarted.
    Restart,
    /// An action failed, and why.
    Failure,
    /// A rule of the monitor decided.
    Decided,
    /// The configuration changed.
    Config,
    /// A peer that has an instance is lost.
    PeerLost,
    /// That peer is back.
    PeerBack,
    /// A split was judged: this segment goes on, or not.
    Split,
    /// The daemon started.
    DaemonStarted,
    /// The daemon ends.
    DaemonStopped,
    /// Of a later version of this program.
    #[serde(other)]
    Unknown,
}

impl Happening {
    /// Its word, as the journal has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Avail => "avail",
            Self::Overall => "overall",
            Self::Frozen => "frozen",
            Self::Provisioned => "provisioned",
            Self::Monitor => "monitor",
            Self::Target => "target",
            Self::LocalTarget => "local_target",
            Self::Asked => "asked",
            Self::Begun => "begun",
            Self::Ended => "ended",
            Self::Restart => "restart",
            Self::Failure => "failure",
            Self::Decided => "decided",
            Self::Config => "config",
            Self::PeerLost => "peer_lost",
            Self::PeerBack => "peer_back",
            Self::Split => "split",
            Self::DaemonStarted => "daemon_started",
            Self::DaemonStopped => "daemon_stopped",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One line of a journal. What a record has no word for is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When, by the clock of the node that writes it.
    pub t: Timestamp,
    /// What it is about.
    pub what: Happening,
    /// What it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is now; of an action, its word; of its end, `done` or `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The action that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// The node that it is about, where that is another one; of an object, where it is up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<NodeName>,
    /// Who asked: `root@n1`, a node, or `daemon`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why: the rule that decided, or the cause of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// For how long, in seconds: an action ran, or what was before lasted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<f64>,
}

impl Record {
    /// A record of that moment.
    #[must_use]
    pub fn new(t: Timestamp, what: Happening) -> Self {
        Self {
            t,
            what,
            from: None,
            to: None,
            action: None,
            rid: None,
            on: vec![],
            by: None,
            why: None,
            took: None,
        }
    }

    /// The same, with what it was and what it is.
    #[must_use]
    pub fn change(self, from: Option<String>, to: Option<String>) -> Self {
        Self { from, to, ..self }
    }

    /// The same, with why.
    #[must_use]
    pub fn because(self, why: &str) -> Self {
        Self { why: (!why.is_empty()).then(|| shorten(why)), ..self }
    }

    /// Its line in a journal, newline included.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

/// One line, of bounded length.
fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}..", &line[..end]),
        None => line,
    }
}

/// The records of a journal. What is no record is left out: a line that a crash cut, or one of a later version.
#[must_use]
pub fn read_journal(text: &str) -> Vec<Record> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_leaves_out_what_it_lacks() {
        let record = Record::new(Timestamp(1.5), Happening::Avail)
            .change(Some("down".into()), Some("up".into()));
        assert_eq!(
            record.to_line(),
            "{\"t\":1.5,\"what\":\"avail\",\"from\":\"down\",\"to\":\"up\"}\n"
        );
        assert_eq!(read_journal(&record.to_line()), [record]);
    }

    #[test]
    fn a_torn_line_costs_itself_only() {
        let line = Record::new(Timestamp(1.0), Happening::PeerLost).to_line();
        let text = format!("{}{line}{{\"t\":2.0,\"wh\n{line}", &line[..9]);
        assert_eq!(
            read_journal(&text).len(),
            1,
            "the line behind a torn one without newline is its part"
        );
        let text = format!("{}\n{line}{{\"t\":2.0,\"what\":\"of_later\"}}\n", &line[..9]);
        let read: Vec<_> = read_journal(&text).into_iter().map(|record| record.what).collect();
        assert_eq!(read, [Happening::PeerLost, Happening::Unknown]);
    }

    #[test]
    fn each_word_is_the_one_that_is_written() {
        for what in [Happening::LocalTarget, Happening::DaemonStarted, Happening::Ended] {
            assert_eq!(serde_json::to_value(what).unwrap(), what.as_str());
        }
    }

    #[test]
    fn why_is_one_line_of_bounded_length() {
        let record = Record::new(Timestamp(1.0), Happening::Failure).because("a\n  b");
        assert_eq!(record.why.as_deref(), Some("a b"));
        let record = record.because(&"x".repeat(1_000));
        assert_eq!(record.why.map(|why| why.len()), Some(LONGEST + 2));
    }
}
