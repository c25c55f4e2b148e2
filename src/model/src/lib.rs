//! Names, statuses and cluster data, as JSON spells them.
//!
//! The vocabulary of every other room: no rule, no clock, no file. What a peer or an operator may write freely is
//! kept in an `Other` variant, so that reading never loses a word and deciding always names what it knows.

#[macro_use]
mod words;

mod checksum;
mod cluster;
mod expect;
mod explain;
mod heartbeat;
mod lenient;
mod name;
mod nearest;
mod object;
mod secret;
mod status;
mod time;

pub use checksum::ConfigCsum;
pub use cluster::{
    Aggregate, ConfigEntry, Deletion, EncapData, InstanceMonitor, InstanceStatus, NodeData,
    NodeMonitorData, NodeStats, ObjectServices, ProvisionedState, ResourceStatus, Restart,
    SecretState, SubsetStatus,
};
pub use expect::{GlobalExpect, LocalExpect, MonitorStatus, NodeMonitorStatus};
pub use explain::{
    Blocker, Candidate, Explanation, Forecast, PendingTarget, Reason, Step, TargetScope, Timer,
    Weight,
};
pub use heartbeat::{Content, HeartbeatError, HeartbeatMessage, Op, OpKey};
pub use lenient::Dropped;
pub use name::{
    Kind, NameError, NodeName, ObjectPath, ResourceId, resolve_path, validate_object_name,
};
pub use nearest::nearest;
pub use object::{
    FlexBounds, ObjectSettings, Orchestrate, PlacementPolicy, ResourceSettings, Topology,
};
pub use secret::{SecretLength, SecretUse};
pub use status::{Frozen, Provisioned, Status};
pub use time::Timestamp;
