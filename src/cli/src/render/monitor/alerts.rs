//! What operators are told, on whichever node.

use std::collections::{BTreeMap, BTreeSet};

use model::thread::MONITOR;
use serde_json::{Map, Value};

use crate::render::text::{Cell, Text, Tone};

/// Most lines of one alert.
const LINES: usize = 3;

/// Alerts by thread, severity and text, with the nodes that tell them.
type Told<'a> = BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a str>>;

/// Each alert once, in lines of that width: the end of a message tells what to do.
pub(super) fn lines(data: &Value, nodes: &[String], width: usize) -> Text {
    let mut lines = Text::default();
    for ((thread, severity, message), tellers) in told(data, nodes) {
        if lines.is_empty() {
            lines.push(Cell::default());
            lines.push(Cell::new(Tone::Strong, "Alerts"));
        }
        let who = match tellers.as_slice() {
            [] => thread.to_owned(),
            tellers => format!("{} {thread}", tellers.join(",")),
        };
        let begin = Cell::plain(&format!(" {who}: ")).and(Tone::of(severity), severity);
        lines.extend(begin.and(Tone::Plain, ":").wrapped(message, width, LINES));
    }
    lines
}

/// What the nodes tell, and what only the blocks of the node asked do: those of a deployed agent.
fn told<'a>(data: &'a Value, nodes: &'a [String]) -> Told<'a> {
    let mut told = Told::new();
    for node in nodes {
        let threads = data.pointer("/monitor/nodes").and_then(|all| all.get(node)?.get("alerts"));
        for (thread, alerts) in entries(threads) {
            for (severity, message) in list(Some(alerts)) {
                let tellers = told.entry((thread, severity, message)).or_default();
                // Alone, it needs no name.
                if nodes.len() > 1 && !tellers.contains(&node.as_str()) {
                    tellers.push(node);
                }
            }
        }
    }
    for (thread, block) in entries(Some(data)).filter(|(_, block)| block.get("state").is_some()) {
        for (severity, message) in list(block.get("alerts")) {
            told.entry((thread, severity, message)).or_default();
        }
    }
    // Commands of deployed agents look at the monitor alone: it repeats what others tell.
    let others: BTreeSet<(&str, &str)> = told
        .keys()
        .filter(|(thread, ..)| *thread != MONITOR)
        .map(|(_, severity, message)| (*severity, *message))
        .collect();
    told.retain(|(thread, severity, message), _| {
        *thread != MONITOR || !others.contains(&(*severity, *message))
    });
    told
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let map = value.and_then(Value::as_object);
    map.into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_str(), value))
}

/// Severity and text of each.
fn list(alerts: Option<&Value>) -> impl Iterator<Item = (&str, &str)> {
    let alerts = alerts.and_then(Value::as_array).into_iter().flatten();
    alerts.map(|alert| {
        let text = |name| alert.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let message = text("message").or(alert.as_str()).unwrap_or_default();
        (text("severity").unwrap_or("warning"), message)
    })
}
