//! The scheduler: periodic evaluations, tasks and syncs.
//!
//! Hears: configuration changes, ends of what it ran, its own alarm. Tells: the runner, the cluster data.
//! Restart: from the configuration and the stamps of the last runs.

use actix::prelude::*;
use model::ObjectPath;
use serde_json::Value;

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
#[rtype(result = "Vec<Value>")]
pub struct ListSchedules;

/// The actor.
#[derive(Debug, Default)]
pub struct Scheduler {}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        log::info!("scheduler started");
    }
}
impl Handler<SchedulesChanged> for Scheduler {
    type Result = ();
    fn handle(&mut self, _: SchedulesChanged, _: &mut Context<Self>) {}
}

impl Scheduler {
    /// The scheduler of this node.
    #[must_use]
    pub fn new(_: &crate::routes::Routes) -> Self {
        Self::default()
    }
}

impl Supervised for Scheduler {}
