//! An action that ends and changes nothing is not taken again at once.
//!
//! Deployed agents look each 0.5 s, and so repeat it twice a second, for ever. Decisions here follow events: without a
//! pace, the end of an action would be the event that starts it again.

use std::time::Duration;

use model::{GlobalExpect, ObjectPath, Provisioned, Status};

use crate::{Action, Moment, World};

/// The pace of deployed agents, and the first delay.
const FIRST_SECS: f64 = 0.5;

/// The delay doubles with each run that changes nothing, up to this.
const LONGEST_SECS: f64 = 30.0;

/// An end that long ago is no reason to wait, nor to count on.
const FORGOTTEN_SECS: f64 = 2.0 * LONGEST_SECS;

/// What an action may change of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Looks {
    avail: Option<Status>,
    is_frozen: bool,
    provisioned: Option<Provisioned>,
    resources: Vec<(String, Status, Option<bool>)>,
    /// What an evaluation alone changes, and other actions do not: the configuration that the status is not of.
    outdated_by: Option<String>,
}

impl Looks {
    /// As the local instance is now.
    pub(super) fn of(
        now: Moment,
        action: &Action,
        path: &ObjectPath,
        world: &dyn World,
    ) -> Option<Self> {
        let local = world.local_node();
        let status = world.instance(local, path)?;
        if *action == Action::Refresh {
            let config = world.config(local, path).filter(|it| status.is_outdated(it, now.wall));
            return Some(Self {
                avail: None,
                is_frozen: false,
                provisioned: None,
                resources: vec![],
                outdated_by: config.map(|config| config.csum.clone()),
            });
        }
        let resources = status.resources.iter().flatten();
        Some(Self {
            avail: status.avail.clone(),
            is_frozen: status.frozen.is_some_and(|time| time.0 != 0.0),
            provisioned: status.provisioned,
            resources: resources
                .map(|(rid, resource)| {
                    let provisioned = resource.provisioned.map(|provisioned| provisioned.state);
                    (rid.clone(), resource.status.clone(), provisioned)
                })
                .collect(),
            outdated_by: None,
        })
    }
}

/// The last end of an action under a target.
#[derive(Debug, Clone, PartialEq)]
struct Ended {
    action: Action,
    target: Option<GlobalExpect>,
    at: Duration,
    /// Runs in a row that changed nothing.
    in_vain: u32,
    is_told: bool,
}

impl Ended {
    fn delay_secs(&self) -> f64 {
        // Beyond, the longest is reached.
        let doubled = self.in_vain.saturating_sub(1).min(16);
        (FIRST_SECS * f64::from(1_u32 << doubled)).min(LONGEST_SECS)
    }
}

/// How an action waits that was taken before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wait {
    /// Seconds left.
    pub left: f64,
    /// Runs in a row that changed nothing.
    pub in_vain: u32,
    /// Not told before.
    pub is_new: bool,
}

/// The last ends of actions.
#[derive(Debug, Clone, Default)]
pub(super) struct Pacing(Vec<Ended>);

impl Pacing {
    /// Whether an action is paced. The restarts of resources have their own counters, and fencing is about another node.
    pub(super) fn concerns(action: &Action) -> bool {
        !matches!(action, Action::StartResources { .. } | Action::Stonith { .. } | Action::Other(_))
    }

    /// Somebody acts: what was in vain may not be so now.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// An action ended.
    pub(super) fn ended(
        &mut self,
        now: Moment,
        action: &Action,
        target: Option<&GlobalExpect>,
        has_changed: bool,
    ) {
        let is_it = |known: &Ended| known.action == *action && known.target.as_ref() == target;
        let before = self.0.iter().find(|known| is_it(known)).map_or(0, |known| known.in_vain);
        self.0.retain(|known| !is_it(known) && now.since(known.at) < FORGOTTEN_SECS);
        let in_vain = if has_changed { 0 } else { before.saturating_add(1) };
        if has_changed && *action == Action::Refresh {
            return;
        }
        let (action, target) = (action.clone(), target.cloned());
        self.0.push(Ended { action, target, at: now.steady, in_vain, is_told: false });
    }

    /// How long an action has to wait, if it has to.
    pub(super) fn wait(
        &mut self,
        now: Moment,
        action: &Action,
        target: Option<&GlobalExpect>,
    ) -> Option<Wait> {
        let known = self
            .0
            .iter_mut()
            .find(|known| known.action == *action && known.target.as_ref() == target)?;
        let left = known.delay_secs() - now.since(known.at);
        if left <= 0.0 {
            return None;
        }
        let is_new = known.in_vain > 0 && !std::mem::replace(&mut known.is_told, true);
        Some(Wait { left, in_vain: known.in_vain, is_new })
    }
}
