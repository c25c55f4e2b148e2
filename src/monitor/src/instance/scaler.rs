//! A scaler keeps as many slices as its keyword `scale` asks for (orchestration.md §15).

use model::{
    Frozen, GlobalExpect, MonitorStatus, NodeName, ObjectPath, ObjectSettings, Provisioned,
    Topology,
};

use super::{Cx, InstanceCore};
use crate::{Change, Effect, Filters, Hold, ObjectView, candidates, live_nodes, ranks};

/// Slices made in one pass.
const CREATED_AT_ONCE: usize = 3;

/// Names of the slices that a scaler is to have, without its namespace: as many as its keyword `scale` needs, each as wide
/// as the cluster when it is flex. None for an object that is no scaler.
#[must_use]
pub fn slice_names(path: &ObjectPath, settings: &ObjectSettings) -> Vec<String> {
    let Some(scale) = settings.scale.and_then(|scale| usize::try_from(scale).ok()) else {
        return vec![];
    };
    let is_flex = settings.topology == Topology::Flex;
    let width = if is_flex { settings.peers.len().max(1) } else { 1 };
    (0..scale.div_ceil(width)).map(|number| format!("{number}.{}", path.name())).collect()
}

impl InstanceCore {
    pub(super) fn scale(&mut self, cx: &Cx<'_>) {
        let world = cx.view.world;
        let Some(scale) = cx.settings.scale.and_then(|scale| usize::try_from(scale).ok()) else {
            return;
        };
        let leader = ranks(
            &cx.view,
            &candidates(&cx.view, Filters { affinities: true, ..Filters::NATURAL }),
        );
        if leader.first() != Some(&world.local_node()) || cx.before.status != MonitorStatus::Idle {
            self.hold(|| Hold::NotLeader(leader.first().copied().cloned()));
            return;
        }
        let slices = self.slices(cx);
        if !slices.iter().all(|(_, path)| self.settle_slice(cx, path)) {
            return;
        }
        let live = live_nodes(world).filter(|(n, _)| cx.settings.peers.contains(n)).count();
        let is_flex = cx.settings.topology == Topology::Flex;
        let width = |path: &ObjectPath| {
            let wanted = world.settings(path).map_or(1, |settings| settings.flex.target);
            if is_flex { live.min(usize::try_from(wanted).unwrap_or(0)) } else { 1 }
        };
        let slots: usize = slices.iter().map(|(_, path)| width(path)).sum();
        if slots < scale {
            self.add_slices(cx, &slices, scale - slots, is_flex);
        } else if slots > scale {
            self.remove_slices(&slices, slots - scale, width);
        }
    }

    /// Slices that are there, by their number.
    fn slices(&self, cx: &Cx<'_>) -> Vec<(usize, ObjectPath)> {
        let objects = cx.view.world.local_objects().into_iter();
        let mut slices: Vec<(usize, ObjectPath)> = objects
            .filter(|path| {
                path.kind() == self.path.kind() && path.namespace() == self.path.namespace()
            })
            .filter_map(|path| {
                let (number, name) = path.name().split_once('.')?;
                let number = number.parse().ok()?;
                (name == self.path.name()).then(|| (number, path.clone()))
            })
            .collect();
        slices.sort();
        slices
    }

    /// Asks a new slice to be thawed, then provisioned, once all nodes have its configuration. True when it is.
    fn settle_slice(&mut self, cx: &Cx<'_>, path: &ObjectPath) -> bool {
        let world = cx.view.world;
        let view = ObjectView::new(world, path);
        let aggregate = view.aggregate();
        let is_asked = view.instances.iter().any(|seen| seen.monitor.global_expect.is_some());
        let published = live_nodes(world)
            .filter(|(node, _)| cx.settings.peers.contains(node))
            .map(|(node, _)| world.config(node, path).map(|config| &config.csum))
            .collect::<Vec<_>>();
        let is_everywhere = published.windows(2).all(|pair| pair[0] == pair[1])
            && published.iter().all(Option::is_some);
        // An instance that is not known yet may arrive frozen.
        let is_known = |node: &NodeName| view.on(node).is_some_and(|seen| seen.status.is_known());
        let are_known = live_nodes(world)
            .filter(|(node, _)| cx.settings.peers.contains(node))
            .all(|(node, _)| is_known(node));
        if !is_everywhere || !are_known || is_asked {
            self.hold(|| Hold::Slice(path.clone()));
            return false;
        }
        let target = if aggregate.provisioned != Some(Provisioned::No) {
            return true;
        } else if aggregate.frozen != Some(Frozen::Thawed) {
            GlobalExpect::Thawed
        } else {
            GlobalExpect::Provisioned
        };
        self.effects.push(Effect::SetOther { path: path.clone(), change: Change::target(target) });
        false
    }

    fn add_slices(
        &mut self,
        cx: &Cx<'_>,
        slices: &[(usize, ObjectPath)],
        missing: usize,
        is_flex: bool,
    ) {
        let peers = cx.settings.peers.len().max(1);
        let mut missing = missing;
        let free = (0..).filter(|number| !slices.iter().any(|(taken, _)| taken == number));
        let name = self.path.name().to_owned();
        self.tell("scale_up", "");
        for number in free.take(CREATED_AT_ONCE) {
            if missing == 0 {
                return;
            }
            let width = if is_flex { peers.min(missing) } else { 1 };
            missing -= width;
            let text = match self.path.namespace() {
                Some(namespace) => {
                    format!("{namespace}/{}/{number}.{name}", self.path.kind().as_str())
                }
                None => format!("{number}.{name}"),
            };
            if let Ok(path) = ObjectPath::parse(&text) {
                let flex_target = is_flex.then_some(width as i64);
                self.effects.push(Effect::CreateSlice { path, flex_target });
            }
        }
    }

    fn remove_slices(
        &mut self,
        slices: &[(usize, ObjectPath)],
        excess: usize,
        width: impl Fn(&ObjectPath) -> usize,
    ) {
        let mut excess = excess;
        self.tell("scale_down", "");
        for (_, path) in slices.iter().rev() {
            let slots = width(path);
            if excess == 0 {
                return;
            }
            if slots <= excess {
                excess -= slots;
                let change = Change::target(GlobalExpect::Purged);
                self.effects.push(Effect::SetOther { path: path.clone(), change });
            } else {
                let flex_target = (slots - excess) as i64;
                self.effects.push(Effect::ResizeSlice { path: path.clone(), flex_target });
                return;
            }
        }
    }
}
