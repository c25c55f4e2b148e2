//! What the keeper of histories hears.

use crate::hearer::hearer;
use std::collections::BTreeSet;
use std::sync::Arc;

use actix::prelude::*;
use dataset::snapshot::Snapshot;
use model::{ObjectPath, Record, Timestamp};

use crate::cluster_data::Emit;

/// The cluster data changed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Changed {
    /// What they were; several publications may lie between.
    pub old: Arc<Snapshot>,
    /// What they are.
    pub new: Arc<Snapshot>,
    /// The objects that changed.
    pub objects: BTreeSet<ObjectPath>,
    /// When.
    pub now: Timestamp,
}

/// Something that the cluster data do not show: who asked for what.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Note {
    /// The object; none: the node.
    pub path: Option<ObjectPath>,
    /// What happened.
    pub record: Record,
}

hearer! {
    /// The keeper of histories.
    ToHistory {
        changed: Changed,
        emit: Emit,
        note: Note,
    }
}
