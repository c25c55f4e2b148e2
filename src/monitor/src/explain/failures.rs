//! Why an action failed, and what gets an object out of it, in the words of an explanation.

use model::{Candidate, Explanation, MonitorStatus, NodeName, TargetScope, Timestamp};

/// The candidates on some nodes whose last action failed, and that are not past it.
fn failed<'e>(
    explanation: &'e Explanation,
    nodes: &'e [NodeName],
) -> impl Iterator<Item = &'e Candidate> {
    explanation.candidates.iter().filter(|candidate| nodes.contains(&candidate.node))
}

/// Why the actions on these nodes failed: `ip#1: interface eth7 does not exist (16:03, 3 tries) on n1`; none where nobody
/// knows.
pub(super) fn causes(
    explanation: &Explanation,
    nodes: &[NodeName],
    now: Timestamp,
) -> Option<String> {
    let is_alone = explanation.candidates.len() < 2;
    let texts: Vec<String> = failed(explanation, nodes)
        .filter_map(|candidate| Some((candidate, candidate.last_failure.as_ref()?)))
        .map(|(candidate, failure)| match is_alone {
            true => failure.told(now),
            false => format!("{} on {}", failure.told(now), candidate.node),
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// What gets the object out of failures on these nodes. A clear alone is no way out where nothing follows it by itself, and
/// none where the cause is still there.
pub(super) fn way_out(explanation: &Explanation, nodes: &[NodeName], follows: bool) -> String {
    let path = &explanation.path;
    let has_cause = |candidate: &Candidate| {
        // What was killed, or asked to end, may go well the next time.
        candidate.last_failure.as_ref().is_some_and(|failure| failure.signal.is_none())
    };
    let first =
        if failed(explanation, nodes).any(has_cause) { "once that is mended, " } else { "" };
    let statuses = failed(explanation, nodes).filter_map(|it| Some(&it.monitor.as_ref()?.status));
    // What is asked for still goes on by itself.
    let is_asked = explanation.targets.iter().any(|target| target.scope == TargetScope::Object);
    let next = statuses.filter_map(|status| next(status, follows)).find(|_| !is_asked);
    match next {
        Some(next) => format!("{first}`om {path} clear`, then `om {path} {next}`"),
        None => format!("{first}`om {path} clear`"),
    }
}

/// The command that is to follow a clear; none where the monitors go on by themselves. `follows`: they start it.
fn next(status: &MonitorStatus, follows: bool) -> Option<&'static str> {
    match status {
        MonitorStatus::StartFailed | MonitorStatus::PlaceFailed | MonitorStatus::RestartFailed => {
            (!follows).then_some("start")
        }
        MonitorStatus::StopFailed => Some("stop"),
        MonitorStatus::ProvisionFailed => Some("provision"),
        MonitorStatus::UnprovisionFailed => Some("unprovision"),
        MonitorStatus::DeleteFailed => Some("delete"),
        MonitorStatus::PurgeFailed => Some("purge"),
        _ => None,
    }
}
