//! What the scheduler hears.

use crate::hearer::hearer;
use actix::prelude::*;
use model::{ObjectPath, Schedule};

/// An action of an object ended (request `run_done`): its schedule goes on.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RunDone {
    /// The object.
    pub path: ObjectPath,
    /// The action: `run`, `sync_all`.
    pub action: String,
    /// Resources it was about.
    pub rids: Vec<String>,
}

/// Configurations of these objects changed: read their schedules again. None: those of all.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SchedulesChanged(pub Option<Vec<ObjectPath>>);

/// Asks for all schedules, as request `schedules` shows them.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<Schedule>")]
pub struct ListSchedules;

hearer! {
    /// The scheduler.
    ToScheduler {
        run_done: RunDone,
        list_schedules: ListSchedules,
        schedules_changed: SchedulesChanged,
    }
}
