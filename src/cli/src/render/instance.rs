//! One object and its local instance as a tree: `om <path> print status`.

use std::collections::{BTreeMap, BTreeSet};

use model::{Aggregate, InstanceStatus, ResourceStatus, Timestamp};

use super::table::{Align, table};
use super::text::{Cell, Text, Tone};

/// What the tree shows.
#[derive(Debug, Clone)]
pub struct InstanceView<'a> {
    /// The object.
    pub path: &'a str,
    /// The node whose instance is shown with its resources.
    pub local: &'a str,
    /// The object over its instances; absent without a daemon.
    pub aggregate: Option<&'a Aggregate>,
    /// Instances by node.
    pub instances: &'a BTreeMap<String, InstanceStatus>,
    /// Nodes that are frozen.
    pub frozen_nodes: &'a BTreeSet<String>,
    /// Leave disabled resources out.
    pub hide_disabled: bool,
    /// When it is shown.
    pub now: Timestamp,
}

/// Widest text beside a state, before it is continued on the next line.
const NOTE_WIDTH: usize = 28;

/// Renders the tree. Flags of a resource: `R`unning, `M`onitored, `D`isabled, `O`ptional, `E`ncapsulated, not
/// `P`rovisioned, `S`tandby, remaining restarts (`+` above 9).
#[must_use]
pub fn instance(view: &InstanceView<'_>) -> Text {
    let mut rows: Vec<Vec<Cell>> = vec![];
    let (avail, notes) = match view.aggregate {
        Some(aggregate) => {
            (aggregate.avail.as_ref().map_or("", |avail| avail.as_str()), object_notes(aggregate))
        }
        None => ("", vec![]),
    };
    push(&mut rows, "", "", Cell::new(Tone::Strong, view.path), Cell::default(), avail, notes);

    let mut branches: Vec<(&str, Vec<&str>)> = vec![("instances", vec![])];
    // The local instance last: it is the longest.
    let (local, peers): (Vec<&String>, Vec<&String>) =
        view.instances.keys().partition(|node| *node == view.local);
    branches[0].1.extend(peers.into_iter().chain(local).map(String::as_str));
    if let Some(instance) = view.instances.get(view.local) {
        for (name, paths) in [
            ("parents", &instance.parents),
            ("children", &instance.children),
            ("slaves", &instance.slaves),
            ("scaler slaves", &instance.scaler_slaves),
        ] {
            if !paths.is_empty() {
                branches.push((name, paths.iter().map(String::as_str).collect()));
            }
        }
    }
    branches.retain(|(_, leaves)| !leaves.is_empty());
    let count = branches.len();
    for (index, (name, leaves)) in branches.into_iter().enumerate() {
        let (fork, below) = fork(index + 1 == count);
        push(&mut rows, "", fork, Cell::plain(name), Cell::default(), "", vec![]);
        let leaf_count = leaves.len();
        for (index, leaf) in leaves.into_iter().enumerate() {
            let (fork, deeper) = self::fork(index + 1 == leaf_count);
            match view.instances.get(leaf).filter(|_| name == "instances") {
                Some(status) => {
                    let mut notes = instance_notes(status, view.frozen_nodes.contains(leaf));
                    // In a line of its own, as what a resource says.
                    let failure = status.last_failure.as_ref();
                    notes.extend(failure.map(|it| Cell::new(Tone::Bad, &it.told(view.now))));
                    let avail = status.avail.as_ref().map_or("", |avail| avail.as_str());
                    push(
                        &mut rows,
                        below,
                        fork,
                        Cell::new(Tone::Strong, leaf),
                        Cell::default(),
                        avail,
                        notes,
                    );
                    if leaf == view.local {
                        resources(
                            &mut rows,
                            &format!("{below}{deeper}"),
                            status,
                            view.hide_disabled,
                        );
                    }
                }
                None => {
                    push(&mut rows, below, fork, Cell::plain(leaf), Cell::default(), "", vec![])
                }
            }
        }
    }
    table(rows, &[Align::Left; 4], 1)
}

/// The lines before a branch, and below it.
fn fork(is_last: bool) -> (&'static str, &'static str) {
    if is_last { ("`- ", "   ") } else { ("|- ", "|  ") }
}

/// Adds a line, and one more per piece of the notes that does not fit.
fn push(
    rows: &mut Vec<Vec<Cell>>,
    indent: &str,
    fork: &str,
    name: Cell,
    flags: Cell,
    status: &str,
    notes: Vec<Cell>,
) {
    let mut notes = notes.into_iter();
    rows.push(vec![
        Cell::plain(indent).and(Tone::Plain, fork).join(name),
        flags,
        Cell::new(Tone::of(status), status),
        notes.next().unwrap_or_default(),
    ]);
    // A branch that goes on is drawn beside the continued lines.
    let rest = match fork {
        "|- " => format!("{indent}|"),
        _ => indent.to_owned(),
    };
    for note in notes {
        rows.push(vec![Cell::plain(rest.trim_end()), Cell::default(), Cell::default(), note]);
    }
}

/// Words separated by commas, in lines of a bearable width.
fn lines(words: Vec<(Tone, String)>) -> Vec<Cell> {
    let mut lines: Vec<Cell> = vec![];
    let count = words.len();
    for (index, (tone, word)) in words.into_iter().enumerate() {
        let mut cell = Cell::new(tone, &word);
        if index + 1 < count {
            cell = cell.and(Tone::Plain, ",");
        }
        match lines.last_mut() {
            Some(line) if line.width() + 1 + cell.width() <= NOTE_WIDTH => {
                *line = std::mem::take(line).and(Tone::Plain, " ").join(cell);
            }
            _ => lines.push(cell),
        }
    }
    lines
}

fn object_notes(aggregate: &Aggregate) -> Vec<Cell> {
    let mut words: Vec<(Tone, String)> = vec![];
    if aggregate.overall.as_ref().is_some_and(|overall| overall.as_str() == "warn") {
        words.push((Tone::Warn, "warn".into()));
    }
    if aggregate.placement.as_deref() == Some("non-optimal") {
        words.push((Tone::Warn, "non-optimal placement".into()));
    }
    if let Some(frozen @ (model::Frozen::Frozen | model::Frozen::Mixed)) = &aggregate.frozen {
        let word = if frozen.as_str() == "mixed" { "frozen on some nodes" } else { "frozen" };
        words.push((Tone::Note, word.into()));
    }
    match aggregate.provisioned {
        Some(model::Provisioned::No) => words.push((Tone::Warn, "not provisioned".into())),
        Some(model::Provisioned::Mixed) => {
            words.push((Tone::Warn, "provisioned on some nodes".into()));
        }
        _ => {}
    }
    lines(words)
}

fn instance_notes(status: &InstanceStatus, is_node_frozen: bool) -> Vec<Cell> {
    let mut words: Vec<(Tone, String)> = vec![];
    if status.overall.as_ref().is_some_and(|overall| overall.as_str() == "warn") {
        words.push((Tone::Warn, "warn".into()));
    }
    if is_node_frozen {
        words.push((Tone::Note, "node frozen".into()));
    }
    if status.frozen.is_some_and(|since| since.0 > 0.0) {
        words.push((Tone::Note, "frozen".into()));
    }
    if status.constraints == Some(false) {
        words.push((Tone::Warn, "constraints violation".into()));
    }
    match status.provisioned {
        Some(model::Provisioned::No) => words.push((Tone::Warn, "not provisioned".into())),
        Some(model::Provisioned::Mixed) => words.push((Tone::Warn, "mixed provisioned".into())),
        _ => {}
    }
    if let Some(monitor) = &status.monitor {
        let status = monitor.status.to_string();
        let tone = if status.ends_with("failed") { Tone::Bad } else { Tone::Note };
        words.push((tone, status));
        if let Some(target) = &monitor.local_expect {
            words.push((Tone::Note, target.to_string()));
        }
        if let Some(target) = &monitor.global_expect {
            words.push((Tone::Note, format!(">{target}")));
        }
    }
    lines(words)
}

/// Driver groups in the order of a start.
const GROUPS: [&str; 11] =
    ["ip", "volume", "disk", "fs", "share", "container", "app", "sync", "task", "expose", "route"];

/// Rank of the group, group, set: the set without name first, as its resources start first.
type SetKey<'a> = (usize, String, Option<&'a str>);

fn resources(
    rows: &mut Vec<Vec<Cell>>,
    indent: &str,
    status: &InstanceStatus,
    hide_disabled: bool,
) {
    let Some(all) = &status.resources else { return };
    let rank = |rid: &str| {
        let group = rid.split('#').next().unwrap_or(rid);
        GROUPS.iter().position(|each| *each == group).unwrap_or(GROUPS.len())
    };
    let mut sets: BTreeMap<SetKey<'_>, Vec<(&str, &ResourceStatus)>> = BTreeMap::new();
    for (rid, resource) in all.iter().filter(|(_, resource)| !(hide_disabled && resource.disable)) {
        let group = rid.split('#').next().unwrap_or(rid).to_owned();
        let key = (rank(rid), group, resource.subset.as_deref());
        sets.entry(key).or_default().push((rid, resource));
    }
    let count: usize =
        sets.iter().map(|((.., set), members)| if set.is_some() { 1 } else { members.len() }).sum();
    let mut index = 0;
    for ((_, group, set), members) in sets {
        let Some(set) = set else {
            for (rid, resource) in members {
                index += 1;
                self::resource(rows, indent, fork(index == count).0, rid, resource, status);
            }
            continue;
        };
        index += 1;
        let (fork, below) = fork(index == count);
        let name = format!("{group}:{set}");
        let is_parallel = status
            .subsets
            .as_ref()
            .and_then(|subsets| subsets.get(&name))
            .is_some_and(|subset| subset.parallel);
        let notes = if is_parallel { vec![Cell::plain("//")] } else { vec![] };
        push(rows, indent, fork, Cell::plain(&name), Cell::default(), "", notes);
        let deeper = format!("{indent}{below}");
        let last = members.len();
        for (index, (rid, resource)) in members.into_iter().enumerate() {
            let fork = self::fork(index + 1 == last).0;
            self::resource(rows, &deeper, fork, rid, resource, status);
        }
    }
}

fn resource(
    rows: &mut Vec<Vec<Cell>>,
    indent: &str,
    fork: &str,
    rid: &str,
    resource: &ResourceStatus,
    status: &InstanceStatus,
) {
    let mut notes = vec![Cell::plain(&resource.label)];
    for line in resource.log.iter().flat_map(|line| line.lines()) {
        let tone = match line.split(':').next() {
            Some("error" | "err") => Tone::Bad,
            Some("warn" | "warning") => Tone::Warn,
            _ => Tone::Plain,
        };
        notes.push(Cell::new(tone, line));
    }
    let avail = resource.status.as_str();
    push(
        rows,
        indent,
        fork,
        Cell::plain(rid),
        Cell::plain(&flags(rid, resource, status)),
        avail,
        notes,
    );
}

fn flags(rid: &str, resource: &ResourceStatus, status: &InstanceStatus) -> String {
    let sign = |is_set: bool, sign: char| if is_set { sign } else { '.' };
    let retries = status
        .monitor
        .as_ref()
        .and_then(|monitor| monitor.restart.get(rid))
        .map_or(0, |restart| restart.retries);
    let restarts = match resource.restart {
        0 => '.',
        limit => match limit.saturating_sub(retries) {
            left @ 0..=9 => char::from_digit(left, 10).expect("one digit"),
            _ => '+',
        },
    };
    [
        sign(status.running.iter().any(|running| running == rid), 'R'),
        sign(resource.monitor, 'M'),
        sign(resource.disable, 'D'),
        sign(resource.optional, 'O'),
        sign(resource.encap, 'E'),
        match &resource.provisioned {
            None => '/',
            Some(provisioned) => sign(!provisioned.state, 'P'),
        },
        sign(resource.standby, 'S'),
        restarts,
    ]
    .iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(value: serde_json::Value) -> InstanceStatus {
        serde_json::from_value(value).expect("an instance status")
    }

    #[test]
    fn the_tree_shows_the_local_instance_with_its_resources() {
        let local = status(json!({
            "updated": 1.0, "avail": "up", "overall": "warn", "frozen": 12.5, "provisioned": true, "constraints": false,
            "monitor": {"status": "start failed", "placement": "leader", "local_expect": "started", "global_expect": "stopped",
                "restart": {"app#1": {"retries": 1, "updated": 1.0}}},
            "running": ["task#1"],
            "resources": {
                "app#1": {"status": "down", "type": "app.simple", "label": "simple: sleep", "restart": 3, "monitor": true,
                    "log": ["info: hello", "error: bad\nline"]},
                "app#2": {"status": "n/a", "type": "app.simple", "label": "simple: nap", "disable": true, "optional": true, "subset": "x"},
                "fs#1": {"status": "up", "type": "fs.flag", "label": "fs.flag", "provisioned": {"state": true}},
                "fs#2": {"status": "stdby up", "type": "fs.flag", "label": "fs.flag", "standby": true, "provisioned": {"state": false}},
                "task#1": {"status": "n/a", "type": "task.host", "label": "backup", "restart": 12},
            },
            "subsets": {"app:x": {"parallel": true}},
            "parents": ["db"],
        }));
        let peer = status(json!({"updated": 1.0, "avail": "down", "monitor": {"status": "idle"}}));
        let instances = BTreeMap::from([("n1".to_owned(), local), ("n2".to_owned(), peer)]);
        let aggregate: Aggregate = serde_json::from_value(
            json!({"avail": "up", "overall": "warn", "placement": "non-optimal", "frozen": "mixed", "provisioned": true}),
        )
        .expect("an aggregate");
        let frozen_nodes = BTreeSet::from(["n2".to_owned()]);
        let view = InstanceView {
            path: "svc1",
            local: "n1",
            aggregate: Some(&aggregate),
            instances: &instances,
            frozen_nodes: &frozen_nodes,
            hide_disabled: false,
            now: Timestamp(9.0),
        };
        assert_eq!(
            instance(&view).plain(),
            "\
svc1                       up       warn, non-optimal placement,
                                    frozen on some nodes
|- instances
|  |- n2                   down     node frozen, idle
|  `- n1                   up       warn, frozen,
|                                   constraints violation,
|                                   start failed, started,
|                                   >stopped
|     |- fs#1     ........ up       fs.flag
|     |- fs#2     .....PS. stdby up fs.flag
|     |- app#1    .M.../.2 down     simple: sleep
|     |                             info: hello
|     |                             error: bad
|     |                             line
|     |- app:x                      //
|     |  `- app#2 ..DO./.. n/a      simple: nap
|     `- task#1   R..../.+ n/a      backup
`- parents
   `- db
"
        );
        let hidden = instance(&InstanceView { hide_disabled: true, ..view }).plain();
        assert!(!hidden.contains("app#2") && !hidden.contains("app:x"), "{hidden}");
    }
}
