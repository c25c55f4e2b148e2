//! A scaler keeps as many slices as its keyword `scale` asks for (src/monitor/README.md, Relations).
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use std::collections::BTreeSet;

use model::{Frozen, GlobalExpect, MonitorStatus, ObjectPath, Provisioned, Topology};

use crate::effect::{Change, Effect};
use crate::hold::Hold;
use crate::instance::cx::Cx;
use crate::instance::slices::{ASK_AGAIN_SECS, Asked};
use crate::instance::{InstanceCore, cx};
use crate::placement::{Filters, candidates, ranks};
use crate::world::{ObjectView, live_nodes};

/// Slices made in one pass.
const CREATED_AT_ONCE: usize = 3;

/// A slice that has no configuration by then could not be made.
const MADE_SECS: f64 = 10.0;

impl InstanceCore {
    pub(super) fn scale(&mut self, cx: &Cx<'_>) {
        let world = cx.view.world;
        let Some(scale) = cx.settings.scale.and_then(|scale| usize::try_from(scale).ok()) else {
            return;
        };
        // One that has not told of its instance yet may be the leader: two would make the same slices, and run them twice.
        let silent = cx.silent();
        let is_same_config = cx::is_same_config_everywhere(cx);
        self.hold_if(!is_same_config, || Hold::ConfigDiffers);
        if !silent.is_empty() || !is_same_config {
            self.hold_if(!silent.is_empty(), || Hold::NotEverywhere(silent));
            return;
        }
        let leader = ranks(
            &cx.view,
            &candidates(&cx.view, Filters { affinities: true, ..Filters::NATURAL }),
        );
        if leader.first() != Some(&world.local_node()) || cx.before.status != MonitorStatus::Idle {
            self.hold(|| Hold::NotLeader(leader.first().copied().cloned()));
            return;
        }
        let slices = self.slices(cx);
        let mut are_settled = true;
        for (_, path) in &slices {
            are_settled &= self.settle_slice(cx, path);
        }
        if !are_settled {
            self.wake_after(ASK_AGAIN_SECS);
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
            self.remove_slices(cx, &slices, slots - scale, width);
        }
    }

    /// Slices by their number: those configured on a node that lives, and those that are being made.
    fn slices(&mut self, cx: &Cx<'_>) -> Vec<(usize, ObjectPath)> {
        let world = cx.view.world;
        let is_configured = |path: &ObjectPath| {
            live_nodes(world).any(|(node, _)| world.config(node, path).is_some())
        };
        let asked = &self.slices.asked;
        self.slices.made.retain(|path| {
            let made = asked.get(&(path.clone(), Asked::Created));
            is_configured(path) || made.is_some_and(|at| cx.now.since(*at) < MADE_SECS)
        });
        let published = cx.view.instances.iter().flat_map(|seen| &seen.status.scaler_slaves);
        let published = published.filter_map(|text| ObjectPath::parse(text).ok());
        let mut paths: BTreeSet<ObjectPath> =
            published.chain(world.local_objects().into_iter().cloned()).collect();
        paths.retain(is_configured);
        paths.extend(self.slices.made.iter().cloned());
        let mut slices: Vec<(usize, ObjectPath)> = paths
            .into_iter()
            .filter_map(|path| {
                let (number, scaler) = path.slice_of()?;
                (scaler == self.path).then_some((number, path))
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
        let is_made = self.slices.made.contains(path);
        // One that is just made is known once its instances are evaluated.
        let is_known = !is_made || view.known().count() >= published.len();
        if !is_everywhere || is_asked || !is_known {
            self.hold(|| Hold::Slice(path.clone()));
            return false;
        }
        // Not every slice tells that it is not provisioned: one of apps only has nothing to provision.
        if !is_made && aggregate.provisioned != Some(Provisioned::No) {
            return true;
        }
        self.hold(|| Hold::Slice(path.clone()));
        let (asked, target) = if aggregate.frozen == Some(Frozen::Thawed) {
            self.slices.made.remove(path);
            (Asked::Provisioned, GlobalExpect::Provisioned)
        } else {
            (Asked::Thawed, GlobalExpect::Thawed)
        };
        if self.slices.ask(cx.now, path, asked) {
            let change = Change::target(target);
            self.effects.push(Effect::SetOther { path: path.clone(), change });
        }
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
        self.tell("scale_up", "");
        for number in free.take(CREATED_AT_ONCE) {
            if missing == 0 {
                break;
            }
            let width = if is_flex { peers.min(missing) } else { 1 };
            missing -= width;
            let path = self.path.slice(number);
            let flex_target = is_flex.then_some(width as i64);
            self.slices.ask(cx.now, &path, Asked::Created);
            self.slices.made.insert(path.clone());
            self.effects.push(Effect::CreateSlice { path, flex_target });
        }
        self.wake_after(MADE_SECS);
    }

    fn remove_slices(
        &mut self,
        cx: &Cx<'_>,
        slices: &[(usize, ObjectPath)],
        excess: usize,
        width: impl Fn(&ObjectPath) -> usize,
    ) {
        let mut excess = excess;
        let mut effects = vec![];
        for (_, path) in slices.iter().rev() {
            let slots = width(path);
            if excess == 0 {
                break;
            }
            if slots <= excess {
                excess -= slots;
                if self.slices.ask(cx.now, path, Asked::Purged) {
                    let change = Change::target(GlobalExpect::Purged);
                    effects.push(Effect::SetOther { path: path.clone(), change });
                }
            } else {
                let flex_target = (slots - excess) as i64;
                if self.slices.ask(cx.now, path, Asked::Resized(flex_target)) {
                    effects.push(Effect::ResizeSlice { path: path.clone(), flex_target });
                }
                break;
            }
        }
        if !effects.is_empty() {
            self.tell("scale_down", "");
            self.effects.append(&mut effects);
        }
        self.wake_after(ASK_AGAIN_SECS);
    }
}
