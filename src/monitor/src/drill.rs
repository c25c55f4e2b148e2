//! A failover on purpose: whether it is safe, and for how long nothing answered (src/monitor/README.md, Maintenance).

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    Aggregate, Explanation, Forecast, Frozen, GlobalExpect, NodeData, NodeMonitorStatus, NodeName,
    Status, TargetScope, Topology,
};

/// Why a drill is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Whatever is said.
    pub firm: Vec<String>,
    /// Unless it is forced.
    pub soft: Vec<String>,
}

/// What a drill would be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// Where the object is.
    pub from: NodeName,
    /// Where it goes.
    pub to: NodeName,
}

/// Whether the object of an explanation may be moved on purpose, and from where; `to` as asked for, else the best peer.
///
/// # Errors
///
/// Why not.
pub fn plan(
    explained: &Explanation,
    nodes: &BTreeMap<NodeName, NodeData>,
    to: Option<&NodeName>,
) -> Result<(Drill, Vec<String>), Refusals> {
    let path = &explained.path;
    let mut refusals = Refusals::default();
    if explained.topology != Topology::Failover.as_str() {
        let topology = &explained.topology;
        refusals.firm.push(format!("{path} is {topology}: a drill moves a failover service"));
        return Err(refusals);
    }
    let up = explained.candidates.iter().filter(|it| it.avail == Some(Status::Up));
    let up: Vec<&NodeName> = up.map(|candidate| &candidate.node).collect();
    let Aggregate { avail, overall, frozen, placement, .. } = &explained.aggregate;
    let [from] = up[..] else {
        let avail = avail.as_ref().map_or("unknown", Status::as_str);
        refusals.firm.push(format!("{path} is {avail}, not up on one node: {}", explained.summary));
        return Err(refusals);
    };
    if *avail != Some(Status::Up) {
        refusals.firm.push(explained.summary.clone());
    }
    if let Some(overall) = overall.as_ref().filter(|overall| **overall != Status::Up) {
        refusals.soft.push(format!("{path} is {overall} overall: `om {path} print status`"));
    }
    if frozen.as_ref().is_some_and(|frozen| *frozen != Frozen::Thawed) {
        refusals.firm.push(format!("{path} is frozen: `om {path} thaw`"));
    }
    if placement.as_deref() == Some("non-optimal") {
        refusals.soft.push(format!(
            "{path} is on {from}, and not where its placement wants it: `om {path} giveback`"
        ));
    }
    firm_of_targets(explained, &mut refusals.firm);
    firm_of_nodes(explained, nodes, &mut refusals.firm);
    let able = explained.candidates.iter().filter(|it| it.discarded.is_none() && it.node != *from);
    let able: Vec<&NodeName> = able.map(|candidate| &candidate.node).collect();
    let chosen = match to {
        Some(to) if to == from => {
            refusals.firm.push(format!("{path} is on {to} already"));
            None
        }
        Some(to) if able.contains(&to) => Some(to),
        Some(to) => {
            refusals.firm.push(format!("{to} may not take {path}: {}", why_not(explained, to)));
            None
        }
        None => able.first().copied(),
    };
    if to.is_none() && chosen.is_none() {
        let others = explained.candidates.iter().filter(|it| it.node != *from);
        let others = others.map(|it| format!("{}: {}", it.node, why_not(explained, &it.node)));
        let others: Vec<String> = others.collect();
        let why = if others.is_empty() { "it has no other".to_owned() } else { others.join("; ") };
        refusals.firm.push(format!("no other node may take {path}: {why}"));
    }
    match chosen {
        Some(to) if refusals.firm.is_empty() => {
            Ok((Drill { from: from.clone(), to: to.clone() }, refusals.soft))
        }
        _ => Err(refusals),
    }
}

fn why_not(explained: &Explanation, node: &NodeName) -> String {
    let candidate = explained.candidates.iter().find(|candidate| candidate.node == *node);
    match candidate.map(|candidate| &candidate.discarded) {
        None => "it is none of its nodes".to_owned(),
        Some(Some(reason)) => reason.text.clone(),
        Some(None) => "it is no peer".to_owned(),
    }
}

/// Something is under way.
fn firm_of_targets(explained: &Explanation, firm: &mut Vec<String>) {
    let path = &explained.path;
    for target in &explained.targets {
        if target.scope != TargetScope::Instance || target.target != "started" {
            let (target, origin) = (&target.target, &target.origin);
            firm.push(format!("{path} is to be {target}, as asked on {origin}: wait for its end"));
        }
    }
    for candidate in &explained.candidates {
        let Some(monitor) = &candidate.monitor else { continue };
        if monitor.status.is_transitioning() || monitor.status.is_failed() {
            firm.push(format!("{path} on {} is {}", candidate.node, monitor.status));
        }
    }
}

/// A node that has the object is not there as usual.
fn firm_of_nodes(
    explained: &Explanation,
    nodes: &BTreeMap<NodeName, NodeData>,
    firm: &mut Vec<String>,
) {
    for candidate in &explained.candidates {
        let node = &candidate.node;
        let monitor = nodes.get(node).and_then(|data| data.monitor.as_ref());
        match monitor.map(|monitor| &monitor.status) {
            None => firm.push(format!("{node} is not heard")),
            Some(NodeMonitorStatus::Idle) => {}
            Some(status) => firm.push(format!("{node} is in {status}")),
        }
    }
}

/// What is foretold of the move: it ends there, and no other object is touched.
#[must_use]
pub fn of_forecast(drill: &Drill, forecast: &Forecast) -> Refusals {
    let path = &forecast.path;
    let mut refusals = Refusals { firm: forecast.error.clone(), soft: vec![] };
    if refusals.firm.is_empty() && forecast.instances.get(&drill.to) != Some(&Status::Up) {
        refusals.firm.push(format!("it would not get there: {}", forecast.outcome));
    }
    for step in forecast.steps.iter().filter(|step| step.is_action && step.object != *path) {
        let (object, node, what) = (&step.object, &step.node, &step.what);
        let text = format!("{object} on {node} would see a {what} too");
        if !refusals.soft.contains(&text) {
            refusals.soft.push(text);
        }
    }
    refusals
}

/// The target of a move.
#[must_use]
pub fn target(node: &NodeName) -> GlobalExpect {
    GlobalExpect::PlacedAt(node.to_string().into())
}

/// One try of a probe, by a clock that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// When it began.
    pub begun: Duration,
    /// When it ended.
    pub ended: Duration,
    /// Whether it was answered.
    pub is_answered: bool,
}

/// A time without answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// When the first try began that failed.
    pub begun: Duration,
    /// When the first one ended that was answered again; none until then.
    pub ended: Option<Duration>,
}

impl Silence {
    /// How long it lasted, at `now` if it is not over.
    #[must_use]
    pub fn lasted(&self, now: Duration) -> Duration {
        self.ended.unwrap_or(now).saturating_sub(self.begun)
    }
}

/// The times without answer. Tries may overlap: they are looked at in the order in which they began.
#[must_use]
pub fn silences(samples: &[Sample]) -> Vec<Silence> {
    let mut samples = samples.to_vec();
    samples.sort();
    let mut found: Vec<Silence> = vec![];
    for sample in samples {
        let open = found.last_mut().filter(|silence| silence.ended.is_none());
        match (sample.is_answered, open) {
            (true, Some(open)) => open.ended = Some(sample.ended),
            (false, None) => found.push(Silence { begun: sample.begun, ended: None }),
            (true, None) | (false, Some(_)) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
