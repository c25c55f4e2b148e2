//! What a node that empties itself asks its instances for.

use std::collections::BTreeMap;

use model::{InstanceStatus, Kind, ObjectPath};

use crate::world::World;

/// The local instances that have something to shut down: those that were evaluated and have resources. Others take no
/// target.
pub(crate) fn to_shut_down(world: &dyn World) -> Vec<ObjectPath> {
    let has_resources = |instance: &InstanceStatus| {
        instance.is_known() && !instance.resources.as_ref().is_none_or(BTreeMap::is_empty)
    };
    let is_asked = |path: &&&ObjectPath| {
        matches!(path.kind(), Kind::Svc | Kind::Vol)
            && world.instance(world.local_node(), path).is_some_and(has_resources)
    };
    world.local_objects().iter().filter(is_asked).map(|path| (*path).clone()).collect()
}
