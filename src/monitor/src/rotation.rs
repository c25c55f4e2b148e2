//! The rotation of the secret that all nodes of a cluster share: when the next one is used, and when the one before goes.
//!
//! The next secret is handed out in the configuration, and used once every member says that it has it. Until every member
//! uses it, the one before stays: a node that was away understands nothing else, and gets the new configuration for it.
//! It opens everything only while nodes that are heard have not followed yet, and that hand-over only from then on.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{NodeName, SecretState};

/// How long the secret before goes on opening everything once all nodes that are heard use the next one, and how long it
/// stays once nothing needs it any more: requests are under way, and commands have read the file before it changed.
pub const LINGER: Duration = Duration::from_secs(5);

/// How far the rotation is on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStage {
    /// One secret.
    Steady,
    /// The next one is handed out.
    Offered,
    /// The next one is in force, and the one before is still there.
    Used,
}

/// What is to be written into the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// The next secret is used from now on.
    Use,
    /// The secret before is removed.
    Drop,
}

/// What a decision looks at.
#[derive(Debug, Clone, Copy)]
pub struct RotationView<'a> {
    /// The local node.
    pub local: &'a NodeName,
    /// Keyword `cluster.nodes`, in its order.
    pub members: &'a [NodeName],
    /// How far it is here.
    pub stage: RotationStage,
    /// What the local node has.
    pub own: &'a SecretState,
    /// What the members have that are heard now; none for one that does not say, a deployed agent.
    pub heard: &'a BTreeMap<NodeName, Option<SecretState>>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// What this node writes now, if anything.
    pub step: Option<RotationStep>,
    /// Members that the next step waits for: their word is missing.
    pub waits_for: Vec<NodeName>,
    /// Whether the next secret may be used by order of an operator, although some are away.
    pub may_force: bool,
    /// Whether the secret before opens everything, and not the hand-over only.
    pub is_previous_open: bool,
    /// Whether all members use the secret in force: values stored with an older one are sealed anew.
    pub is_used_by_all: bool,
    /// How soon to look again, though nothing changes.
    pub look_after: Option<Duration>,
}

/// The rotation as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// The secret in force, and its generation: what is remembered is about that.
    of: Option<(u32, Option<String>)>,
    /// Members that were heard to use the secret in force, and whether they have values stored with an older one.
    confirmed: BTreeMap<NodeName, bool>,
    /// Whether the secret before opens everything.
    is_open: bool,
    /// Since when all members that are heard use the secret in force.
    followed_since: Option<Duration>,
    /// Since when nothing needs the secret before.
    unneeded_since: Option<Duration>,
}

impl Rotation {
    /// Looks at what everybody has. `now` is the time since the daemon started.
    pub fn look(&mut self, now: Duration, view: &RotationView<'_>) -> Outlook {
        self.remember(view);
        let others = || view.members.iter().filter(|member| *member != view.local);
        let waits_for: Vec<NodeName> = match view.stage {
            RotationStage::Steady => vec![],
            RotationStage::Offered => {
                others().filter(|member| !has_next(view, member)).cloned().collect()
            }
            RotationStage::Used => others()
                .filter(|member| self.confirmed.get(*member) != Some(&false))
                .cloned()
                .collect(),
        };
        let is_used_by_all = others().all(|member| self.confirmed.contains_key(member));
        let has_followed = view.heard.keys().all(|member| self.confirmed.contains_key(member));
        let lingering = |since: &mut Option<Duration>, holds: bool| -> Option<Duration> {
            if !holds {
                *since = None;
                return None;
            }
            let since = *since.get_or_insert(now);
            Some((since + LINGER).saturating_sub(now))
        };
        let mut look_after = None;
        let mut is_unneeded = false;
        if view.stage == RotationStage::Used {
            match lingering(&mut self.followed_since, has_followed) {
                Some(Duration::ZERO) => self.is_open = false,
                Some(left) if self.is_open => look_after = Some(left),
                Some(_) | None => {}
            }
            let holds = waits_for.is_empty() && !view.own.has_older;
            match lingering(&mut self.unneeded_since, holds) {
                Some(Duration::ZERO) => is_unneeded = true,
                Some(left) => look_after = Some(look_after.map_or(left, |other| other.min(left))),
                None => {}
            }
        } else {
            (self.followed_since, self.unneeded_since) = (None, None);
        }
        let step = match view.stage {
            RotationStage::Offered if waits_for.is_empty() => Some(RotationStep::Use),
            RotationStage::Used if is_unneeded => Some(RotationStep::Drop),
            RotationStage::Steady | RotationStage::Offered | RotationStage::Used => None,
        };
        Outlook {
            step: step.filter(|_| is_responsible(view)),
            may_force: view.stage == RotationStage::Offered && may_force(view),
            is_previous_open: view.stage == RotationStage::Used && self.is_open,
            waits_for,
            is_used_by_all,
            look_after,
        }
    }

    /// Whether a member is still to be handed the secret in force: it was not heard to have it.
    #[must_use]
    pub fn is_owed(&self, member: &NodeName) -> bool {
        !self.confirmed.contains_key(member)
    }

    fn remember(&mut self, view: &RotationView<'_>) {
        let of = (view.own.generation, view.own.current.clone());
        let is_same = self.of.as_ref().is_some_and(|(generation, current)| {
            // What there was before it is gone: the same secret, which needs no digest any more.
            *generation == of.0 && (*current == of.1 || view.stage != RotationStage::Used)
        });
        if !is_same {
            self.confirmed.clear();
            (self.followed_since, self.unneeded_since) = (None, None);
            // A daemon that starts into it is told by the others what they have, and they by it.
            self.is_open = self.of.is_some();
        }
        self.of = Some(of);
        self.confirmed.retain(|member, _| view.members.contains(member));
        for (member, state) in view.heard {
            match state.as_ref().filter(|state| uses_current(view, state)) {
                Some(state) => _ = self.confirmed.insert(member.clone(), state.has_older),
                None => _ = self.confirmed.remove(member),
            }
        }
    }
}

/// Whether a member says that it has the next secret, or uses it already.
fn has_next(view: &RotationView<'_>, member: &NodeName) -> bool {
    let Some(Some(state)) = view.heard.get(member) else { return false };
    let own = view.own;
    own.next.is_some()
        && match state.generation {
            generation if generation == own.generation => state.next == own.next,
            generation if Some(generation) == own.generation.checked_add(1) => {
                state.current == own.next
            }
            _ => false,
        }
}

/// Whether this is the state of a node with the secret in force here.
fn uses_current(view: &RotationView<'_>, state: &SecretState) -> bool {
    let is_told_apart = state.current.is_some() && view.own.current.is_some();
    state.generation == view.own.generation && (!is_told_apart || state.current == view.own.current)
}

/// Of the nodes that are here, the first one of the configuration writes.
fn is_responsible(view: &RotationView<'_>) -> bool {
    let is_here = |member: &&NodeName| *member == view.local || view.heard.contains_key(*member);
    view.members.iter().find(is_here) == Some(view.local)
}

/// Whether those that are here may go on without the others: all of them have the next secret, and they are the most of the
/// members, or half of them with the first one. Others who went on with another secret meanwhile would be as many.
fn may_force(view: &RotationView<'_>) -> bool {
    let here: Vec<&NodeName> = view
        .members
        .iter()
        .filter(|member| *member == view.local || view.heard.contains_key(*member))
        .collect();
    let all_have = here.iter().all(|member| *member == view.local || has_next(view, member));
    let is_most = here.len() * 2 > view.members.len();
    let is_half =
        here.len() * 2 == view.members.len() && here.first() == view.members.first().as_ref();
    all_have && (is_most || is_half)
}

#[cfg(test)]
mod tests;
