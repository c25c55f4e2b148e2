//! What the membership hears, and what it tells.

use crate::hearer::hearer;
use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;
use model::NodeName;
use monitor::{RetiringHeartbeat, Sign};

/// A peer became beating on an rx, or stale, or the rx does not hear it any more for another reason. On changes only.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Beat {
    /// The heartbeat, `hb#1`.
    pub hb: String,
    /// The peer.
    pub peer: NodeName,
    /// What became of it.
    pub sign: Sign,
}

/// The rx of a heartbeat is about to be ended, because the configuration has another one, or none: its stop is no stop that
/// an operator asked for.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Ending {
    /// The heartbeat, `hb#1`.
    pub hb: String,
    /// Its timeout.
    pub grace: Duration,
}

/// It has ended: another one may have its name.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Ended {
    /// The heartbeat.
    pub hb: String,
}

/// These heartbeats go on although the configuration has them no more, until they are needed no more.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Retire(pub BTreeMap<Box<str>, RetiringHeartbeat>);

/// A heartbeat that retires is needed no more.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Retired {
    /// The heartbeat, `hb#1.previous`.
    pub hb: Box<str>,
}

hearer! {
    /// The membership.
    ToMembership {
        beat: Beat,
        ending: Ending,
        ended: Ended,
        retire: Retire,
    }
}
