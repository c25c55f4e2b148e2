//! Where the tasks of an object run by their schedule.

use model::{Status, Topology};

use crate::{ObjectView, Seen};

/// Where the scheduled tasks of an object belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskPlace {
    /// On the local node.
    Here,
    /// On another one, which runs them.
    Elsewhere,
    /// Nowhere now: the object is down, or not evaluated yet.
    Nowhere,
}

/// Where the tasks of an object run by their schedule: where it is up. One that nothing can be up of, as it has tasks
/// alone, runs them on the first of its nodes that is heard, and on each of them where it may be up on several.
#[must_use]
pub fn task_place(object: &ObjectView<'_>) -> TaskPlace {
    let is_up = |seen: &Seen<'_>| matches!(seen.status.avail, Some(Status::Up | Status::Warn));
    let is_elsewhere = object.peers().any(is_up);
    let elsewhere = if is_elsewhere { TaskPlace::Elsewhere } else { TaskPlace::Nowhere };
    let Some(local) = object.local().filter(|local| local.status.is_known()) else {
        return elsewhere;
    };
    match &local.status.avail {
        Some(Status::Up | Status::Warn) => TaskPlace::Here,
        None | Some(Status::NotApplicable) => {
            let settings = object.settings;
            let is_one = settings.is_none_or(|settings| settings.topology == Topology::Failover);
            if !is_one {
                return TaskPlace::Here;
            }
            let is_heard = |node: &&model::NodeName| object.known().any(|seen| seen.node == *node);
            let first = settings.and_then(|settings| settings.nodes.iter().find(is_heard));
            match first.is_none_or(|first| first == local.node) {
                _ if is_elsewhere => TaskPlace::Elsewhere,
                true => TaskPlace::Here,
                false => TaskPlace::Elsewhere,
            }
        }
        Some(_) => elsewhere,
    }
}
