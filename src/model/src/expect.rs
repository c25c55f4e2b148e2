//! What monitors do now, and what they are asked to reach.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;

words! {
    /// What the monitor of an instance does now.
    MonitorStatus {
        /// Nothing.
        Idle = "idle",
        /// Announced a start, which peers may contest.
        Ready = "ready",
        /// `start` runs.
        Starting = "starting",
        /// `stop` runs.
        Stopping = "stopping",
        /// `restart`, or a restart of resources, runs.
        Restarting = "restarting",
        /// `freeze` runs.
        Freezing = "freezing",
        /// `thaw` runs.
        Thawing = "thawing",
        /// `provision` runs.
        Provisioning = "provisioning",
        /// `unprovision` runs.
        Unprovisioning = "unprovisioning",
        /// `delete` runs.
        Deleting = "deleting",
        /// `purge` runs.
        Purging = "purging",
        /// The monitor action runs.
        Tocing = "tocing",
        /// `shutdown` runs, as the monitor starts it.
        Shutdown = "shutdown",
        /// `shutdown` runs, as the command line announces it.
        Shutting = "shutting",
        /// `abort` runs.
        Aborting = "aborting",
        /// A switch or move runs.
        Placing = "placing",
        /// Slices of a scaler are being made or removed.
        Scaling = "scaling",
        /// Waits for the parents to be up.
        WaitParents = "wait parents",
        /// Waits for the children to be down.
        WaitChildren = "wait children",
        /// Waits for the leader to provision.
        WaitLeader = "wait leader",
        /// Waits for the others to unprovision.
        WaitNonLeader = "wait non-leader",
        /// Waits for the better ranked to restart.
        WaitPriors = "wait priors",
        /// Waits for the configuration to reach all nodes.
        WaitSync = "wait sync",
        /// The last start failed.
        StartFailed = "start failed",
        /// The last start of a placement failed.
        PlaceFailed = "place failed",
        /// The last stop failed.
        StopFailed = "stop failed",
        /// The last restart failed.
        RestartFailed = "restart failed",
        /// The last shutdown failed.
        ShutdownFailed = "shutdown failed",
        /// The last freeze failed.
        FreezeFailed = "freeze failed",
        /// The last thaw failed.
        ThawFailed = "thaw failed",
        /// The last provision failed.
        ProvisionFailed = "provision failed",
        /// The last unprovision failed.
        UnprovisionFailed = "unprovision failed",
        /// The last purge failed.
        PurgeFailed = "purge failed",
        /// The last delete failed.
        DeleteFailed = "delete failed",
        /// The last monitor action failed.
        TocFailed = "toc failed",
    }
}

impl MonitorStatus {
    /// Whether an action runs: the word ends with `ing`, which peers test too.
    #[must_use]
    pub fn is_transitioning(&self) -> bool {
        self.as_str().ends_with("ing")
    }

    /// Whether something is waited for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.as_str().starts_with("wait")
    }

    /// Whether the last action failed.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.as_str().contains("failed")
    }
}

#[expect(clippy::derivable_impls, reason = "the macro that makes the enum marks no default")]
impl Default for MonitorStatus {
    fn default() -> Self {
        Self::Idle
    }
}

words! {
    /// What the monitor of a node does now.
    NodeMonitorStatus {
        /// Evaluates its instances for the first time.
        Init = "init",
        /// Waits for the peers, within the grace period.
        Rejoin = "rejoin",
        /// Nothing.
        Idle = "idle",
        /// The daemon is being stopped, instances stay.
        Maintenance = "maintenance",
        /// The same, for an upgrade.
        Upgrade = "upgrade",
        /// The instances are being shut down, the node stays.
        Draining = "draining",
        /// The instances are being shut down, then the daemon.
        Shutting = "shutting",
        /// The node is being frozen.
        Freezing = "freezing",
        /// The node is being thawed.
        Thawing = "thawing",
    }
}

impl NodeMonitorStatus {
    /// Whether the daemon of the node is about to end: it takes no decision any more.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        matches!(self, Self::Maintenance | Self::Upgrade | Self::Shutting)
    }

    /// Whether the node is no placement candidate, and its data is preserved while it is away.
    #[must_use]
    pub fn is_preserved(&self) -> bool {
        matches!(self, Self::Maintenance | Self::Upgrade | Self::Init | Self::Shutting)
    }
}

#[expect(clippy::derivable_impls, reason = "the macro that makes the enum marks no default")]
impl Default for NodeMonitorStatus {
    fn default() -> Self {
        Self::Init
    }
}

words! {
    /// Target of one instance, or of a node.
    LocalExpect {
        /// Supervise, and keep started.
        Started = "started",
        /// Bring down.
        Shutdown = "shutdown",
    }
}

/// Target of a whole object.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub enum GlobalExpect {
    /// Running where it should.
    Started,
    /// Stopped and frozen everywhere.
    Stopped,
    /// Shut down, standby resources included, and frozen everywhere.
    Shutdown,
    /// Frozen everywhere.
    Frozen,
    /// Thawed everywhere.
    Thawed,
    /// Provisioned everywhere.
    Provisioned,
    /// Unprovisioned everywhere.
    Unprovisioned,
    /// Configuration deleted everywhere.
    Deleted,
    /// Unprovisioned, then deleted.
    Purged,
    /// Other targets dropped.
    Aborted,
    /// On its best placement.
    Placed,
    /// On these nodes: `placed@n1,n2`.
    PlacedAt(Box<str>),
    /// Restarted since then: `restarted@<time>`; without a time until it is stored.
    Restarted(Option<Timestamp>),
    /// As many slices as configured.
    Scaled,
    /// A word this version has no rule for, kept as written.
    Other(Box<str>),
}

impl GlobalExpect {
    /// Whether it is about the object, and not about what its resources do: an instance without resources takes it, and
    /// a disabled one.
    #[must_use]
    pub fn is_beside_resources(&self) -> bool {
        matches!(self, Self::Frozen | Self::Thawed | Self::Aborted | Self::Deleted | Self::Purged)
    }

    /// The word without its argument: `placed@` for `placed@n1`, `restarted` for `restarted@<time>`.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Shutdown => "shutdown",
            Self::Frozen => "frozen",
            Self::Thawed => "thawed",
            Self::Provisioned => "provisioned",
            Self::Unprovisioned => "unprovisioned",
            Self::Deleted => "deleted",
            Self::Purged => "purged",
            Self::Aborted => "aborted",
            Self::Placed => "placed",
            Self::PlacedAt(_) => "placed@",
            Self::Restarted(_) => "restarted",
            Self::Scaled => "scaled",
            Self::Other(text) => text,
        }
    }
}

impl From<&str> for GlobalExpect {
    fn from(text: &str) -> Self {
        match text {
            "started" => Self::Started,
            "stopped" => Self::Stopped,
            "shutdown" => Self::Shutdown,
            "frozen" => Self::Frozen,
            "thawed" => Self::Thawed,
            "provisioned" => Self::Provisioned,
            "unprovisioned" => Self::Unprovisioned,
            "deleted" => Self::Deleted,
            "purged" => Self::Purged,
            "aborted" => Self::Aborted,
            "placed" => Self::Placed,
            "restarted" => Self::Restarted(None),
            "scaled" => Self::Scaled,
            other => {
                if let Some(nodes) = other.strip_prefix("placed@") {
                    return Self::PlacedAt(nodes.into());
                }
                if let Some(Ok(time)) = other.strip_prefix("restarted@").map(str::parse::<f64>)
                    && time.is_finite()
                {
                    return Self::Restarted(Some(Timestamp(time)));
                }
                Self::Other(other.into())
            }
        }
    }
}

impl std::fmt::Display for GlobalExpect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PlacedAt(nodes) => write!(f, "placed@{nodes}"),
            Self::Restarted(Some(time)) => write!(f, "restarted@{:?}", time.0),
            other => f.pad(other.word()),
        }
    }
}

impl Serialize for GlobalExpect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GlobalExpect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::from(text.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_reads_back_as_written() {
        for text in [
            "started",
            "stopped",
            "shutdown",
            "frozen",
            "thawed",
            "provisioned",
            "unprovisioned",
            "deleted",
            "purged",
            "aborted",
            "placed",
            "placed@n1,n2",
            "restarted",
            "restarted@1700000000.5",
            "scaled",
            "anything",
            "restarted@soon",
        ] {
            assert_eq!(GlobalExpect::from(text).to_string(), text);
        }
    }

    #[test]
    fn an_acting_waiting_or_failed_status_is_told_by_its_word() {
        assert!(MonitorStatus::Starting.is_transitioning());
        assert!(MonitorStatus::from("whatever-ing").is_transitioning());
        assert!(!MonitorStatus::Shutdown.is_transitioning());
        assert!(MonitorStatus::WaitParents.is_waiting());
        assert!(MonitorStatus::StartFailed.is_failed());
    }
}
