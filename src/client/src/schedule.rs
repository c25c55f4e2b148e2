//! `print schedule`: of a node and of objects.

use std::collections::BTreeSet;

use cli::Target;
use cli::render::{Cell, Tone, table};
use link::link::Link;
use serde_json::Value;
use wire::Request;
use wire::reply::status_of;

use crate::logs::entries;
use crate::om::{ANSWER, Done, Om, addressed, node_spec};

/// The schedules of objects; of the node itself when `selector` is `node`.
pub(crate) fn print_schedule(
    om: &Om,
    link: &Link,
    selector: Option<String>,
    target: &Target,
) -> Done {
    let is_node = selector.as_deref() == Some("node");
    let request =
        Request::new(wire::Schedules { selector: selector.filter(|_| !is_node), namespace: None });
    let reply = link.ask(&addressed(request, node_spec(target, None)), Some(ANSWER))?;
    if status_of(&reply) != 0 {
        return om.report(&reply);
    }
    let rows =
        |reply: &Value| reply.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut entries: Vec<Value> = match reply.get("nodes").and_then(Value::as_object) {
        Some(nodes) => nodes.values().flat_map(rows).collect(),
        None => rows(&reply),
    };
    let has_path = |entry: &Value| {
        entry.get("path").and_then(Value::as_str).is_some_and(|path| !path.is_empty())
    };
    if is_node {
        entries.retain(|entry| !has_path(entry));
    }
    om.show(&Value::Array(entries.clone()), |_| schedule_table(&entries));
    Ok(0)
}

/// Schedules as a table: the object and its node, where there are several, once.
fn schedule_table(entries: &[Value]) -> String {
    let text = |entry: &Value, key: &str| match entry.get(key) {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        _ => "-".to_owned(),
    };
    let time = |entry: &Value, key: &str| match entry.get(key).and_then(Value::as_f64) {
        // To the second: nobody plans finer.
        Some(time) if time > 0.0 => {
            entries::local_time(time).split(',').next().unwrap_or_default().to_owned()
        }
        _ => "-".to_owned(),
    };
    let nodes: BTreeSet<String> = entries.iter().map(|entry| text(entry, "node")).collect();
    let head = ["Object", "Node", "Action", "Last Run", "Next Run", "Keyword", "Schedule"];
    let mut rows: Vec<Vec<String>> = vec![];
    let mut before = String::new();
    for entry in entries {
        let path = text(entry, "path");
        let shown = if path == before { String::new() } else { path.clone() };
        before = path;
        rows.push(vec![
            shown,
            text(entry, "node"),
            text(entry, "action"),
            time(entry, "last_run"),
            time(entry, "next_run"),
            text(entry, "config_parameter"),
            text(entry, "schedule_definition"),
        ]);
    }
    let is_shown = |column: usize| column != 1 || nodes.len() > 1;
    let cells = |row: &[String], cell: &dyn Fn(&str) -> Cell| -> Vec<Cell> {
        let shown = row.iter().enumerate().filter(|(column, _)| is_shown(*column));
        shown.map(|(_, text)| cell(text)).collect()
    };
    let head = head.map(str::to_owned);
    let mut all = vec![cells(&head, &|text| Cell::new(Tone::Strong, text))];
    all.extend(rows.iter().map(|row| cells(row, &Cell::plain)));
    table(all, &[], 2).to_string()
}
