//! Names, statuses and cluster data, as JSON spells them.
//!
//! The vocabulary of every other room: no rule, no clock, no file. What a peer or an operator may write freely is
//! kept in an `Other` variant, so that reading never loses a word and deciding always names what it knows.

#[macro_use]
mod words;

mod action;
mod alert;
mod check;
mod checksum;
mod cluster;
mod event;
mod expect;
mod explain;
mod heartbeat;
mod history;
mod kind;
mod last_failure;
mod lenient;
mod name;
mod nearest;
mod node_data;
mod object;
mod resource_id;
mod roll;
mod schedule;
mod secret;
mod status;
pub mod thread;
mod time;
mod whatif;

pub use action::{ActionOptions, InstanceAction, SyncAction};
pub use alert::{Alert, Severity};
pub use check::{Check, Verdict};
pub use checksum::ConfigCsum;
pub use cluster::{
    Aggregate, ConfigEntry, Deletion, DriverFacts, EncapData, GuestReports, InstanceMonitor,
    InstanceStatus, ObjectServices, ProvisionedState, ResourceStatus, Restart, SubsetStatus,
};
pub use event::{EventFacts, HeartbeatSign, Stale, Tally};
pub use expect::{GlobalExpect, LocalExpect, MonitorStatus, NodeMonitorStatus};
pub use explain::{
    Blocker, Candidate, Explanation, Forecast, PendingTarget, Reason, Step, TargetScope, Timer,
    Weight,
};
pub use heartbeat::{Content, HeartbeatError, HeartbeatMessage, Op, OpKey, Texts};
pub use history::{Happening, Record, read_journal};
pub use kind::Kind;
pub use last_failure::LastFailure;
pub use lenient::{Document, Dropped};
pub use name::{NameError, NodeName, ObjectPath, resolve_path, validate_object_name};
pub use nearest::nearest;
pub use node_data::{ArbitratorState, Claim, NodeData, NodeMonitorData, NodeStats, SecretState};
pub use object::{
    FlexBounds, ObjectSettings, Orchestrate, PlacementPolicy, ResourceSettings, Topology,
};
pub use resource_id::ResourceId;
pub use roll::{Roll, RollJob, RollNode, RollStage};
pub use schedule::Schedule;
pub use secret::{SecretLength, SecretUse};
pub use status::{Frozen, Provisioned, Status};
pub use time::Timestamp;
pub use whatif::{Fate, Outlook, QuorumLeft, Refusal, WhatIf};
