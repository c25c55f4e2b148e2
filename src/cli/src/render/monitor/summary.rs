//! How many there are, in one line.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::render::text::{Cell, Tone};

/// States in the order in which they are told.
const ORDER: [&str; 5] = ["up", "warn", "down", "stdby up", "stdby down"];

/// `3 nodes, 12 services: 11 up, 1 down`.
pub(super) fn line(data: &Value, nodes: &[String]) -> Cell {
    let services = data.pointer("/monitor/services").and_then(Value::as_object);
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for service in services.into_iter().flat_map(Map::values) {
        let avail = service.get("avail").and_then(Value::as_str).filter(|avail| !avail.is_empty());
        *states.entry(avail.unwrap_or("n/a")).or_default() += 1;
    }
    let count = states.values().sum();
    let mut paths = services.into_iter().flat_map(Map::keys);
    let is_service =
        |path: &String| path != "cluster" && (!path.contains('/') || path.contains("/svc/"));
    let what = if paths.all(is_service) { "service" } else { "object" };
    let line = Cell::plain(&format!("{}, {}", counted(nodes.len(), "node"), counted(count, what)));
    let others = states.keys().filter(|state| !ORDER.contains(state));
    let known = ORDER.iter().filter(|state| states.contains_key(*state));
    let told = known.chain(others).enumerate();
    told.fold(line, |line, (at, state)| {
        let begin = if at == 0 { ": " } else { ", " };
        line.and(Tone::Plain, begin).and(Tone::of(state), &format!("{} {state}", states[state]))
    })
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
