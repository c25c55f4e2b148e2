//! What recurs.

use serde::Serialize;

use crate::name::{NodeName, ObjectPath};
use crate::time::Timestamp;

/// What recurs of an object on a node, as request `schedules` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// The node.
    pub node: NodeName,
    /// The object.
    pub path: ObjectPath,
    /// What is done: `status`, `run`, ..
    pub action: &'static str,
    /// Where its definition is: `DEFAULT.status_schedule`.
    pub config_parameter: String,
    /// When it was done last; 0 for never.
    pub last_run: Timestamp,
    /// Its definition.
    pub schedule_definition: String,
    /// When it is done next, in seconds since 1970; none while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<f64>,
}
