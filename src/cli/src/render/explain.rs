//! Why an object is where it is (`om <path> explain`), and what would happen to it (`--dry-run`).

use model::{
    Blocker, Candidate, Explanation, Forecast, NodeName, ObjectPath, PendingTarget, Step,
    TargetScope, Timestamp, Weight,
};

use super::table::{Align, table};
use super::text::{Cell, Text, Tone};

/// Renders an explanation: one sentence, then what it is made of, the weightiest first; empty parts are left out.
#[must_use]
pub fn explanation(explained: &Explanation, now: Timestamp) -> Text {
    let mut text = Text::default();
    text.push(Cell::new(Tone::Strong, &explained.summary));
    let policy = format!("candidates ({})", explained.policy);
    part(&mut text, &policy, explained.candidates.iter().map(candidate).collect());
    let unusual = |target: &&PendingTarget| {
        target.scope != TargetScope::Instance || target.target != "started"
    };
    let targets = explained.targets.iter().filter(unusual);
    part(&mut text, "targets", targets.map(|target| pending(target, now)).collect());
    let failures = explained.candidates.iter().filter_map(|it| failure(it, now));
    part(&mut text, "failures", failures.collect());
    part(&mut text, "blockers", blockers(&explained.blockers));
    let timers = explained.timers.iter().map(|timer| {
        let left = format!("{:.1} s left", timer.left);
        vec![Cell::plain(timer.node.as_str()), Cell::plain(&timer.id), Cell::new(Tone::Note, &left)]
    });
    part(&mut text, "timers", timers.collect());
    part(&mut text, "next", steps(&explained.next, &explained.path));
    text
}

/// Renders a forecast: the steps, then how it ends.
#[must_use]
pub fn forecast(forecast: &Forecast) -> Text {
    let mut text = Text::default();
    let head = match &forecast.target {
        Some(target) => format!("{} would be set to {target}", forecast.path),
        None => format!("{}: no target would be set", forecast.path),
    };
    text.push(Cell::new(Tone::Strong, &head));
    let lines = if forecast.target.is_none() { forecast.info.as_slice() } else { &[] };
    for line in lines.iter().filter(|line| !line.is_empty()) {
        text.push(Cell::plain("  ").and(Tone::Note, line));
    }
    text.extend(table(indented(steps(&forecast.steps, &forecast.path)), &[Align::Left], 2));
    if !forecast.is_settled {
        text.push(Cell::plain("  ").and(Tone::Warn, "and so on: it does not come to rest"));
    }
    text.push(Cell::plain("then ").and(Tone::Plain, &forecast.outcome));
    text.push(Cell::new(Tone::Note, "nothing was done; actions are taken to succeed at once"));
    text
}

fn part(text: &mut Text, name: &str, rows: Vec<Vec<Cell>>) {
    if !rows.is_empty() {
        text.push(Cell::plain(name));
        text.extend(table(indented(rows), &[Align::Left], 2));
    }
}

fn indented(rows: Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
    let indent = |row: Vec<Cell>| {
        let mut cells = row.into_iter();
        let first = Cell::plain("  ").join(cells.next().unwrap_or_default());
        std::iter::once(first).chain(cells).collect()
    };
    rows.into_iter().map(indent).collect()
}

fn candidate(candidate: &Candidate) -> Vec<Cell> {
    let rank = candidate.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
    let avail = candidate.avail.as_ref().map_or("-", |avail| avail.as_str());
    let status = candidate.monitor.as_ref().map_or("", |monitor| monitor.status.as_str());
    let value = match &candidate.value {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let note = match &candidate.discarded {
        Some(reason) => Cell::new(Tone::Warn, &reason.text),
        None if candidate.is_leader => Cell::new(Tone::Good, "to run it"),
        None => Cell::default(),
    };
    vec![
        Cell::plain(&rank),
        Cell::new(Tone::Strong, candidate.node.as_str()),
        Cell::plain(&value),
        Cell::new(Tone::of(avail), avail),
        Cell::plain(if status == "idle" { "" } else { status }),
        note,
    ]
}

/// Why the last action there failed.
fn failure(candidate: &Candidate, now: Timestamp) -> Option<Vec<Cell>> {
    let failure = candidate.last_failure.as_ref()?;
    let told = Cell::new(Tone::Bad, &failure.told(now));
    Some(vec![Cell::plain(candidate.node.as_str()), Cell::plain(&failure.action), told])
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

fn pending(target: &PendingTarget, now: Timestamp) -> Vec<Cell> {
    let scope = match target.scope {
        TargetScope::Object => "object",
        TargetScope::Instance => "instance",
        TargetScope::Node => "nodes",
    };
    let since = target
        .since
        .map_or_else(String::new, |since| format!(" {} ago", duration(now.since(since).max(0.0))));
    let set = format!("set on {}{since}", target.origin);
    let others: Vec<NodeName> =
        target.nodes.iter().filter(|node| **node != target.origin).cloned().collect();
    let taken = match others.is_empty() {
        true => String::new(),
        false => format!("taken over by {}", names(&others)),
    };
    vec![
        Cell::plain(scope),
        Cell::new(Tone::Note, &target.target),
        Cell::plain(&set),
        Cell::plain(&taken),
    ]
}

fn blockers(blockers: &[Blocker]) -> Vec<Vec<Cell>> {
    let weighty = blockers.iter().filter(|blocker| blocker.weight != Weight::Normal);
    let row = |blocker: &Blocker| {
        let tone = if blocker.weight == Weight::Stuck { Tone::Warn } else { Tone::Plain };
        vec![Cell::plain(&names(&blocker.nodes)), Cell::new(tone, &blocker.reason.text)]
    };
    weighty.map(row).collect()
}

/// The object is named where it is another one.
fn steps(steps: &[Step], path: &ObjectPath) -> Vec<Vec<Cell>> {
    let has_others = steps.iter().any(|step| step.object != *path);
    let row = |step: &Step| {
        let when = if step.after > 0.0 { format!("+{} s", step.after) } else { "now".to_owned() };
        let object = if has_others { step.object.as_str() } else { "" };
        let tone = if step.is_action { Tone::Strong } else { Tone::Plain };
        let reason = match (step.repeats, step.reason.as_str()) {
            (false, reason) => reason.to_owned(),
            (true, "") => "repeats".to_owned(),
            (true, reason) => format!("{reason}, repeats"),
        };
        vec![
            Cell::plain(&when),
            Cell::plain(step.node.as_str()),
            Cell::plain(object),
            Cell::new(tone, &step.what),
            Cell::plain(&reason),
        ]
    };
    steps.iter().map(row).collect()
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_begins_with_its_sentence_and_leaves_empty_parts_out() {
        let explained: Explanation = serde_json::from_value(json!({
            "path": "svc1", "node": "n1", "summary": "svc1 is down: waits for its parents: db is down (n1)",
            "aggregate": {}, "topology": "failover", "orchestrate": "ha", "policy": "nodes order",
            "candidates": [
                {"node": "n1", "rank": 1, "is_leader": true, "value": 1, "avail": "down",
                 "monitor": {"status": "wait parents"},
                 "last_failure": {"action": "stop", "reason": "no room", "at": 60.0, "tries": 2}},
                {"node": "n2", "is_leader": false, "value": 2, "avail": "down",
                 "discarded": {"id": "frozen", "text": "the instance is frozen"}},
            ],
            "targets": [
                {"scope": "object", "target": "started", "origin": "n1", "since": 880.0, "nodes": ["n1", "n2"]},
                {"scope": "instance", "target": "started", "origin": "n1", "nodes": ["n1"]},
            ],
            "blockers": [
                {"nodes": ["n1"], "weight": "waits", "id": "parents", "text": "waits for its parents: db is down"},
                {"nodes": ["n2"], "weight": "normal", "id": "not_leader", "text": "n1 is preferred"},
            ],
            "timers": [], "next": [],
        }))
        .unwrap();
        assert_eq!(
            explanation(&explained, Timestamp(1000.0)).plain(),
            "svc1 is down: waits for its parents: db is down (n1)\n\
             candidates (nodes order)\n\
             \x20 1  n1  1  down  wait parents  to run it\n\
             \x20 -  n2  2  down                the instance is frozen\n\
             targets\n\
             \x20 object  started  set on n1 120 s ago  taken over by n2\n\
             failures\n\
             \x20 n1  stop  stop: no room (00:01, 2 tries)\n\
             blockers\n\
             \x20 n1  waits for its parents: db is down\n"
                .replace("120 s", "2 min")
        );
    }

    #[test]
    fn a_forecast_tells_when_where_what_and_why() {
        let foretold: Forecast = serde_json::from_value(json!({
            "path": "svc1", "node": "n1", "target": "started", "is_settled": true, "aggregate": {}, "instances": {},
            "outcome": "svc1 is up on n1, where its placement wants it",
            "steps": [
                {"after": 0.0, "node": "n1", "object": "svc1", "what": "thaw", "is_action": true, "reason": "target started"},
                {"after": 5.0, "node": "n1", "object": "svc1", "what": "start", "is_action": true, "reason": "unless a peer contests it"},
            ],
        }))
        .unwrap();
        assert_eq!(
            forecast(&foretold).plain(),
            "svc1 would be set to started\n\
             \x20 now   n1  thaw   target started\n\
             \x20 +5 s  n1  start  unless a peer contests it\n\
             then svc1 is up on n1, where its placement wants it\n\
             nothing was done; actions are taken to succeed at once\n"
        );
    }
}
