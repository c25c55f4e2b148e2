//! An explanation in one sentence.

use model::{
    Blocker, Candidate, Explanation, Frozen, GlobalExpect, LocalExpect, MonitorStatus, NodeName,
    PendingTarget, Reason, Status, Step, TargetScope, Timestamp, Weight,
};

use crate::elsewhere::told_doubled;
use crate::explain::failures;

/// What a reader in a hurry has to know at `now`. `unwatched` is a resource that nobody can tell the state of for want of a
/// check.
pub(super) fn sentence(
    explanation: &Explanation,
    unwatched: Option<&str>,
    now: Timestamp,
) -> String {
    let path = &explanation.path;
    if explanation.candidates.is_empty() {
        return format!("{path} is not configured here");
    }
    let avail = explanation.aggregate.avail.as_ref().unwrap_or(&Status::NotApplicable);
    let up = on(explanation, |candidate| candidate.avail == Some(Status::Up));
    let state = match (avail, up.as_slice()) {
        (Status::Warn, [_, _, ..]) if explanation.topology != "flex" => {
            return told_doubled(path, &join(&up));
        }
        (avail, []) => format!("{path} is {avail}"),
        (avail, up) => format!("{path} is {avail} on {}", join(up)),
    };
    let acting = explanation.candidates.iter().find_map(|candidate| {
        let status = &candidate.monitor.as_ref()?.status;
        let acts = status.is_transitioning() || *status == MonitorStatus::Shutdown;
        acts.then(|| format!("{} is {status}", candidate.node))
    });
    let target = explanation
        .targets
        .iter()
        .find(|target| target.scope != TargetScope::Node && !is_usual(target))
        .map(asked);
    let state = match target {
        Some(target) => format!("{state} and is {target}"),
        None => state,
    };
    if let Some(acting) = acting {
        return format!("{state}: {acting}");
    }
    let own = |step: &&Step| step.object == *path;
    let blocker = blocker(explanation);
    if let Some(step) = explanation.next.iter().filter(own).find(|step| step.is_action) {
        return format!("{state}: {}", next_after(explanation, blocker, step));
    }
    let is_asked = explanation.targets.iter().any(|target| !is_usual(target));
    let failed = explanation.blockers.iter().find(|blocker| {
        blocker.reason.id == "failed" && blocker.nodes.iter().any(|node| up.contains(&node))
    });
    if let Some(failed) = failed {
        return format!("{state}: {}", told(explanation, failed, now));
    }
    if avail == &Status::Up && !is_asked {
        return format!("{state}{}", placed(explanation, &up));
    }
    // Where no node is a candidate, what discards each says more than what each of them holds.
    let is_startable = avail != &Status::NotApplicable && wants_start(explanation);
    let nobody = nobody(explanation, now).filter(|_| is_startable);
    match (nobody, blocker) {
        (Some(text), _) => format!("{state}: {text}"),
        (None, Some(blocker)) => format!("{state}: {}", told(explanation, blocker, now)),
        (None, None) => match unwatched.filter(|_| avail == &Status::NotApplicable) {
            Some(rid) => format!("{state}: whether {rid} runs is not known: give it a check"),
            None => format!("{state}, and nothing is waited for"),
        },
    }
}

/// What holds, where, and what ends it: of a failure why it failed, where that is known.
fn told(explanation: &Explanation, blocker: &Blocker, now: Timestamp) -> String {
    let id = blocker.reason.id.as_str();
    let hint = hint(explanation, id, &blocker.nodes);
    match failures::causes(explanation, &blocker.nodes, now).filter(|_| is_failure(id)) {
        Some(causes) => format!("{causes}{hint}"),
        None => format!("{}{}{hint}", blocker.reason.text, on_nodes(explanation, blocker)),
    }
}

/// Whether an action failed there.
fn is_failure(id: &str) -> bool {
    matches!(id, "failed" | "start_failed" | "peer_start_failed" | "restarts_used_up")
}

/// What happens next, and what has to end before.
fn next_after(explanation: &Explanation, blocker: Option<&Blocker>, step: &Step) -> String {
    let next = next(step);
    let ends_by_itself = |blocker: &&Blocker| {
        matches!(blocker.reason.id.as_str(), "ready" | "restart_delay" | "kept_started")
    };
    match blocker.filter(|blocker| !ends_by_itself(blocker)) {
        Some(blocker) => format!(
            "{}{}, then {next}",
            blocker.reason.text,
            on_nodes(explanation, blocker),
            next = next.replace(" now", "")
        ),
        None => next,
    }
}

/// What happens next.
fn next(step: &Step) -> String {
    let when = match step.after > 0.0 {
        true => format!("in {} s", step.after),
        false => "now".to_owned(),
    };
    let text = match (step.what.as_str(), step.reason.as_str()) {
        ("start", "") => format!("it starts on {} {when}", step.node),
        ("start", reason) => format!("it starts on {} {when}, {reason}", step.node),
        (what, "") => format!("`{what}` on {} {when}", step.node),
        (what, reason) => format!("`{what}` on {} {when}, {reason}", step.node),
    };
    if step.repeats { format!("{text}, again and again: it changes nothing") } else { text }
}

/// What ends it on these nodes, if that is known.
fn hint(explanation: &Explanation, id: &str, nodes: &[NodeName]) -> String {
    let path = &explanation.path;
    match id {
        id if is_failure(id) => {
            let is_frozen = explanation.aggregate.frozen == Some(Frozen::Frozen);
            let follows = wants_start(explanation) && !is_frozen;
            format!(": {}", failures::way_out(explanation, nodes, follows))
        }
        // What was stopped is frozen: a start thaws it, and a thaw alone starts what is orchestrated only.
        "frozen" if !is_up(explanation) => format!(": `om {path} start`"),
        "frozen" => format!(": `om {path} thaw`"),
        "unprovisioned" => format!(": `om {path} provision`"),
        "node_frozen" => ": `om node thaw --local` there".to_owned(),
        "orchestrate_no" => format!(": `om {path} start`"),
        _ => String::new(),
    }
}

fn is_up(explanation: &Explanation) -> bool {
    explanation.aggregate.avail == Some(Status::Up)
}

/// Whether the object is to start, by itself or because somebody asked.
fn wants_start(explanation: &Explanation) -> bool {
    let mut asked = explanation.targets.iter().filter(|target| target.scope == TargetScope::Object);
    match asked.next() {
        None => explanation.orchestrate != "no",
        Some(target) => matches!(target.target.as_str(), "started" | "placed"),
    }
}

fn join(nodes: &[&NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| node.as_str()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.join(""),
    }
}

fn on(explanation: &Explanation, is_so: impl Fn(&Candidate) -> bool) -> Vec<&NodeName> {
    let candidates = explanation.candidates.iter().filter(|candidate| is_so(candidate));
    candidates.map(|candidate| &candidate.node).collect()
}

/// Where an object that is up is, compared to where it is wanted.
fn placed(explanation: &Explanation, up: &[&NodeName]) -> String {
    let leaders = on(explanation, |candidate| candidate.is_leader);
    let others = explanation.candidates.iter().filter(|candidate| !up.contains(&&candidate.node));
    let mut others = others.peekable();
    let has_others = others.peek().is_some();
    let no_other_can = others.all(|candidate| candidate.discarded.is_some());
    let orchestrated = explanation.orchestrate == "ha";
    let is_misplaced = !up.iter().all(|node| leaders.contains(node));
    if is_misplaced && !leaders.is_empty() {
        let path = &explanation.path;
        return format!(
            ", where nothing moves it unasked, though its placement prefers {}: `om {path} giveback`",
            join(&leaders)
        );
    }
    match (has_others && no_other_can && orchestrated, leaders.is_empty()) {
        (true, _) => ", and no other node could take it over".to_owned(),
        (false, false) => ", where its placement wants it".to_owned(),
        (false, true) => String::new(),
    }
}

/// What holds most: of what holds where it matters, the weightiest.
fn blocker(explanation: &Explanation) -> Option<&Blocker> {
    let weighty = || explanation.blockers.iter().filter(|b| b.weight != Weight::Normal);
    let bound = weighty().find(|blocker| blocker.reason.id == "orchestrate_start");
    let matters = |candidate: &Candidate| match bound {
        // Only the node that is not among these starts it.
        Some(bound) => !bound.nodes.contains(&candidate.node),
        None => candidate.is_leader,
    };
    let nodes = on(explanation, matters);
    weighty()
        .find(|blocker| blocker.nodes.iter().any(|node| nodes.contains(&node)))
        .or_else(|| weighty().next())
}

fn on_nodes(explanation: &Explanation, blocker: &Blocker) -> String {
    let is_everywhere =
        explanation.candidates.iter().all(|candidate| blocker.nodes.contains(&candidate.node));
    if is_everywhere && explanation.candidates.len() > 1 {
        return String::new();
    }
    let nodes: Vec<&NodeName> = blocker.nodes.iter().collect();
    format!(" ({})", join(&nodes))
}

/// No node is a candidate: why.
fn nobody(explanation: &Explanation, now: Timestamp) -> Option<String> {
    let reasons: Option<Vec<(&Candidate, &Reason)>> = explanation
        .candidates
        .iter()
        .map(|candidate| Some((candidate, candidate.discarded.as_ref()?)))
        .collect();
    let reasons = reasons?;
    let (candidate, first) = reasons.first()?;
    let is_same = reasons.iter().all(|(_, reason)| reason.id == first.id);
    let nodes: Vec<NodeName> = reasons.iter().map(|(it, _)| it.node.clone()).collect();
    let hint = if is_same { hint(explanation, &first.id, &nodes) } else { String::new() };
    let failure = |candidate: &Candidate, reason: &Reason| {
        candidate.last_failure.clone().filter(|_| is_failure(&reason.id))
    };
    let text = |candidate: &Candidate, reason: &Reason| match failure(candidate, reason) {
        Some(failure) => format!("{}: {}", reason.text, failure.told(now)),
        None => reason.text.clone(),
    };
    let cause = |candidate: &Candidate, reason: &Reason| {
        failure(candidate, reason).map(|failure| failure.cause())
    };
    let first_cause = cause(candidate, first);
    let is_common =
        |(it, reason): &(&Candidate, &Reason)| reason == first && cause(it, reason) == first_cause;
    if reasons.len() > 1 && reasons.iter().all(is_common) {
        let text = text(candidate, first);
        return Some(format!("no node may run it, everywhere {text}{hint}"));
    }
    let texts: Vec<String> =
        reasons.iter().map(|(it, reason)| format!("{}: {}", it.node, text(it, reason))).collect();
    let hint = if reasons.len() == 1 || is_failure(&first.id) { hint } else { String::new() };
    Some(format!("no node may run it ({}){hint}", texts.join("; ")))
}

/// Whether a target asks for nothing but what is always wanted.
fn is_usual(target: &PendingTarget) -> bool {
    target.scope == TargetScope::Instance && target.target == LocalExpect::Started.as_str()
}

/// What an operator asked for, in the passive: `to be started`.
pub(crate) fn asked(target: &PendingTarget) -> String {
    match GlobalExpect::from(target.target.as_str()) {
        GlobalExpect::Placed => "to be where its placement wants it".to_owned(),
        GlobalExpect::PlacedAt(nodes) => format!("to be on {}", nodes.replace(',', ", ")),
        GlobalExpect::Shutdown => "to be shut down".to_owned(),
        GlobalExpect::Other(text) => format!("to be {text}"),
        target => format!("to be {}", target.word()),
    }
}
