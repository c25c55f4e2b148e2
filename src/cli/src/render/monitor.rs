//! The cluster at a glance: `om mon`, `om daemon status`.
//!
//! The shape and the signs are the deployed agent's (`om mon --help` there): operators read them at a glance, and so
//! do their scripts.

use std::collections::BTreeSet;

use model::{LastFailure, Timestamp, thread};
use serde_json::{Map, Value};

use super::table::{Align, table};
use super::text::{Cell, Text, Tone, size};
use read::{number, text};
use signs::{instance_signs, is_up, with_target};

mod alerts;
mod read;
mod signs;
mod summary;

/// What to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    /// Threads of the daemon, with the heartbeats per peer.
    pub threads: bool,
    /// Also threads that deployed agents have not, and that run.
    pub all_threads: bool,
    /// Arbitrators, as each node reaches them.
    pub arbitrators: bool,
    /// Loads and states of nodes.
    pub nodes: bool,
    /// Objects.
    pub services: bool,
}

impl Sections {
    /// All of them.
    pub const ALL: Self =
        Self { threads: true, all_threads: false, arbitrators: true, nodes: true, services: true };

    /// Those of that name (`om mon --sections`); all when none is named.
    #[must_use]
    pub fn named(names: &[String]) -> Self {
        let has = |name: &str| names.is_empty() || names.iter().any(|each| each == name);
        Self {
            threads: has("threads"),
            all_threads: names.iter().any(|name| name == "threads"),
            arbitrators: has("arbitrators"),
            nodes: has("nodes"),
            services: has("services"),
        }
    }
}

/// Room on a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Columns.
    pub width: usize,
    /// Lines.
    pub height: usize,
}

impl Room {
    /// That of a file or a pipe.
    pub const ENDLESS: Self = Self { width: usize::MAX, height: usize::MAX };
}

/// Renders a `daemon_status` reply. `nodes` limits the columns; none: all nodes. `title` heads the objects: the
/// selector they were selected with.
///
/// The order is that of deployed agents. Where there is no room for all of it, the services come first; where it is too wide,
/// the memory of a node is told in short.
#[must_use]
pub fn monitor(
    data: &Value,
    nodes: Option<&[String]>,
    sections: &Sections,
    title: &str,
    room: Room,
    now: Timestamp,
) -> Text {
    let mut view = View { data, nodes: columns(data, nodes), is_narrow: false, now };
    let mut text = view.laid_out(sections, title, room.width, false);
    if text.width() > room.width {
        view.is_narrow = true;
        text = view.laid_out(sections, title, room.width, false);
    }
    if text.height() > room.height && sections.services {
        text = view.laid_out(sections, title, room.width, true);
    }
    text
}

/// The nodes to show: members, and whoever published data.
fn columns(data: &Value, wanted: Option<&[String]>) -> Vec<String> {
    let members = data.pointer("/cluster/nodes").and_then(Value::as_array);
    let heard = data.pointer("/monitor/nodes").and_then(Value::as_object);
    let mut names: BTreeSet<&str> = BTreeSet::new();
    names.extend(members.into_iter().flatten().filter_map(Value::as_str));
    names.extend(heard.into_iter().flat_map(Map::keys).map(String::as_str));
    names
        .into_iter()
        .filter(|name| wanted.is_none_or(|wanted| wanted.iter().any(|each| each == name)))
        .map(str::to_owned)
        .collect()
}

/// A row of the table, and lines that are not cut into its columns.
struct Row {
    cells: Vec<Cell>,
    below: Vec<Cell>,
}

impl Row {
    fn of(cells: Vec<Cell>) -> Self {
        Self { cells, below: vec![] }
    }
}

struct View<'a> {
    data: &'a Value,
    nodes: Vec<String>,
    /// Whether there is too little room for all columns.
    is_narrow: bool,
    now: Timestamp,
}

impl<'a> View<'a> {
    fn laid_out(
        &self,
        sections: &Sections,
        title: &str,
        width: usize,
        services_first: bool,
    ) -> Text {
        let mut blocks: Vec<Vec<Row>> = vec![];
        let mut begin = |title: &str, rows: Vec<Row>| {
            let mut header = vec![Cell::new(Tone::Strong, title)];
            header.resize(5, Cell::default());
            header.extend(self.nodes.iter().map(|node| Cell::new(Tone::Strong, node)));
            blocks.push(std::iter::once(Row::of(header)).chain(rows).collect());
        };
        let alone = |rows: Vec<Vec<Cell>>| rows.into_iter().map(Row::of).collect();
        if sections.threads {
            begin("Threads", alone(self.threads(sections.all_threads)));
        }
        if sections.arbitrators && !self.arbitrators().is_empty() {
            begin("Arbitrators", alone(self.arbitrator_rows()));
        }
        if sections.nodes {
            begin("Nodes", alone(self.node_rows()));
        }
        if sections.services {
            begin(title, self.services());
        }
        if services_first {
            blocks.reverse();
        }
        let mut rows: Vec<Vec<Cell>> = vec![];
        let mut below: Vec<(usize, Vec<Cell>)> = vec![];
        for block in blocks {
            if !rows.is_empty() {
                rows.push(vec![]);
            }
            for row in block {
                rows.push(row.cells);
                below.push((rows.len(), row.below));
            }
        }
        // The sign column is part of the gap.
        let aligns = [Align::Left, Align::Left, Align::Left, Align::Right, Align::Left];
        let mut text = table(rows, &aligns, 1);
        for (at, lines) in below.into_iter().rev() {
            text.insert(at, lines.into_iter().map(|line| line.cropped(width)));
        }
        if sections.nodes && sections.services {
            text.push(Cell::default());
            text.push(summary::line(self.data, &self.nodes));
        }
        if sections.threads {
            text.extend(alerts::lines(self.data, &self.nodes, width));
        }
        text
    }

    fn node(&self, name: &str) -> Option<&'a Value> {
        self.data.get("monitor")?.get("nodes")?.get(name)
    }

    fn row(&self, name: Cell, state: Cell, mode: &str, info: &str) -> Vec<Cell> {
        vec![
            Cell::plain(" ").join(name),
            state,
            Cell::plain(mode),
            Cell::plain(info),
            Cell::new(Tone::Note, "|"),
        ]
    }

    fn per_node(&self, cell: impl Fn(&str) -> Cell) -> impl Iterator<Item = Cell> {
        self.nodes.iter().map(move |node| cell(node))
    }

    fn blocks(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.data
            .as_object()
            .into_iter()
            .flatten()
            .map(|(id, block)| (id.as_str(), block))
            .filter(|(_, block)| block.get("state").is_some_and(Value::is_string))
    }

    /// The threads that deployed agents have too, and each that does not run; or all.
    fn threads(&self, all: bool) -> Vec<Vec<Cell>> {
        let mut rows = vec![];
        // The daemon first, then its threads by name.
        let daemon = self.blocks().filter(|(id, _)| *id == thread::DAEMON);
        let threads = self.blocks().filter(|(id, block)| {
            let is_told =
                all || thread::is_of_the_field(id) || text(Some(block), "state") != "running";
            *id != thread::DAEMON && is_told
        });
        for (id, block) in daemon.chain(threads) {
            let state = text(Some(block), "state");
            let mut cell = Cell::new(Tone::of(state), state);
            if block
                .get("alerts")
                .and_then(Value::as_array)
                .is_some_and(|alerts| !alerts.is_empty())
            {
                cell = cell.and(Tone::Warn, "!");
            }
            let config = block.get("config");
            let address = match number(config, "port") {
                // The heartbeats without a port meet at a relay or on a device.
                None => match text(config, "relay") {
                    "" => text(config, "dev").to_owned(),
                    relay => relay.to_owned(),
                },
                Some(port) => match text(config, "addr") {
                    addr if addr.contains(':') => format!("[{addr}]:{port}"),
                    addr => format!("{addr}:{port}"),
                },
            };
            let mut row = self.row(Cell::plain(id), cell, "", &address);
            if thread::is_heartbeat(id) {
                row.extend(self.per_node(|node| match self.beating(id, block, node) {
                    Some(true) => Cell::new(Tone::Good, "O"),
                    Some(false) => Cell::new(Tone::Bad, "X"),
                    None => Cell::new(Tone::Note, "/"),
                }));
            }
            rows.push(row);
        }
        rows
    }

    /// Whether the heartbeat thread hears, or reaches, a node; none for a node it does not care for.
    fn beating(&self, id: &str, block: &Value, node: &str) -> Option<bool> {
        let peer = block.get("peers")?.get(node)?;
        // The transmitter names only whom it reached; the receiver also the local node, with nothing in it, or with the
        // slot of the device that is its own.
        let is_nothing = |peer: &Map<_, _>| peer.keys().all(|key| key == "slot");
        match peer.get("beating").and_then(Value::as_bool) {
            None if thread::goes(thread::RX, id) || peer.as_object().is_none_or(is_nothing) => None,
            beating => Some(beating.unwrap_or(true)),
        }
    }

    fn arbitrators(&self) -> BTreeSet<&'a str> {
        self.nodes
            .iter()
            .filter_map(|node| self.node(node)?.get("arbitrators")?.as_object())
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect()
    }

    fn arbitrator_rows(&self) -> Vec<Vec<Cell>> {
        let mut rows = vec![];
        for name in self.arbitrators() {
            let state = |node: &str| {
                text(self.node(node).and_then(|data| data.get("arbitrators")?.get(name)), "status")
            };
            let mut row = self.row(Cell::plain(name), Cell::default(), "", "");
            row.extend(self.per_node(|node| match state(node) {
                "" => Cell::new(Tone::Note, "/"),
                "up" => Cell::new(Tone::Good, "O"),
                _ => Cell::new(Tone::Bad, "X"),
            }));
            rows.push(row);
        }
        rows
    }

    fn node_rows(&self) -> Vec<Vec<Cell>> {
        let mut rows = vec![];
        let mut add = |name: &str, state: Cell, cell: &dyn Fn(&str) -> Cell| {
            let mut row = self.row(Cell::plain(name), state, "", "");
            row.extend(self.per_node(cell));
            rows.push(row);
        };
        let stats = |node: &str| self.node(node).and_then(|data| data.get("stats"));
        add("score", Cell::default(), &|node| {
            let score = number(stats(node), "score").map(|score| score.to_string());
            let is_overloaded = ["mem", "swap"].iter().any(|kind| self.is_short_of(kind, node));
            Cell::plain(score.as_deref().unwrap_or_default())
                .and(Tone::Warn, if is_overloaded { "!" } else { "" })
        });
        add(" load 15m", Cell::default(), &|node| {
            let load = number(stats(node), "load_15m").map(|load| format!("{load:.1}"));
            Cell::plain(load.as_deref().unwrap_or_default())
        });
        add(" mem", Cell::default(), &|node| self.memory("mem", node));
        add(" swap", Cell::default(), &|node| self.memory("swap", node));
        // Deployed agents number their versions as `agent`, nodes of this project as `release`: only the same are compared.
        let differs = |key: &str| {
            let versions = self.nodes.iter().map(|node| text(self.node(node), key));
            versions.filter(|version| !version.is_empty()).collect::<BTreeSet<_>>().len() > 1
        };
        if differs("agent") || differs("release") {
            add("version", Cell::new(Tone::Warn, "warn"), &|node| {
                let agent = text(self.node(node), "agent");
                Cell::plain(if agent.is_empty() { text(self.node(node), "release") } else { agent })
            });
        }
        add("state", Cell::default(), &|node| self.node_state(node));
        rows
    }

    fn is_short_of(&self, kind: &str, node: &str) -> bool {
        let data = self.node(node);
        let stats = data.and_then(|data| data.get("stats"));
        let least = number(data, &format!("min_avail_{kind}")).unwrap_or(0.0);
        number(stats, &format!("{kind}_total")).is_some_and(|total| total > 0.0)
            && number(stats, &format!("{kind}_avail")).is_some_and(|avail| avail < least)
    }

    /// Used percent, its limit, and the total.
    fn memory(&self, kind: &str, node: &str) -> Cell {
        let data = self.node(node);
        let stats = data.and_then(|data| data.get("stats"));
        let Some(total) = number(stats, &format!("{kind}_total")) else { return Cell::default() };
        if total <= 0.0 {
            return Cell::plain("-");
        }
        let used = 100.0 - number(stats, &format!("{kind}_avail")).unwrap_or(0.0);
        let limit = match number(data, &format!("min_avail_{kind}")) {
            Some(least) if least > 0.0 => format!("/{}", 100.0 - least),
            _ => String::new(),
        };
        let tone = if self.is_short_of(kind, node) { Tone::Warn } else { Tone::Plain };
        if self.is_narrow {
            return Cell::new(tone, &format!("{used}%"));
        }
        Cell::new(tone, &format!("{used}{limit}%:{}", size(total, 1)))
    }

    fn node_state(&self, node: &str) -> Cell {
        let data = self.node(node);
        let Some(monitor) = data.and_then(|data| data.get("monitor")) else {
            return Cell::new(Tone::Warn, "unknown");
        };
        let mut cell = Cell::default();
        let status = text(Some(monitor), "status");
        // Heard, and it told nothing of itself yet.
        if status.is_empty() {
            return Cell::new(Tone::Warn, "unknown");
        }
        if status != "idle" {
            cell = cell.and(Tone::of(status), status);
        }
        if number(data, "frozen").is_some_and(|since| since > 0.0) {
            cell = cell.and(Tone::Note, "*");
        }
        for target in ["local_expect", "global_expect"] {
            cell = with_target(cell, text(Some(monitor), target));
        }
        cell
    }

    fn services(&self) -> Vec<Row> {
        let mut rows = vec![];
        let aggregates = self.data.pointer("/monitor/services").and_then(Value::as_object);
        for (path, aggregate) in aggregates.into_iter().flatten() {
            let aggregate = Some(aggregate);
            let instances: Vec<&Value> =
                self.nodes.iter().filter_map(|node| self.instance(node, path)).collect();
            let avail = match text(aggregate, "avail") {
                "" => "n/a",
                avail => avail,
            };
            let mut state = Cell::new(Tone::of(avail), avail);
            if text(aggregate, "overall") == "warn" {
                state = state.and(Tone::Warn, "!");
            }
            if text(aggregate, "placement") == "non-optimal" {
                state = state.and(Tone::Warn, "^");
            }
            // Which instances are frozen, their columns tell.
            let first =
                |name: &str| instances.iter().map(|i| text(Some(i), name)).find(|t| !t.is_empty());
            let info = match first("topology") {
                None => String::new(),
                Some(topology) => {
                    let up = instances.iter().filter(|i| is_up(text(Some(i), "avail"))).count();
                    let target = instances.iter().find_map(|i| number(Some(i), "flex_target"));
                    let target = target.filter(|_| topology == "flex").unwrap_or(1.0);
                    format!("{up}/{target}")
                }
            };
            let mode = first("orchestrate").unwrap_or_default();
            let mut row = self.row(Cell::plain(path), state, mode, &info);
            row.extend(self.per_node(|node| match self.instance(node, path) {
                Some(instance) => instance_signs(instance),
                None if self.is_configured(node, path) => Cell::new(Tone::Warn, "?"),
                None => Cell::default(),
            }));
            rows.push(Row { cells: row, below: self.failures(path) });
        }
        rows
    }

    /// Why actions on the instances of an object failed, a line for each.
    fn failures(&self, path: &str) -> Vec<Cell> {
        let failure = |node: &String| {
            let failure = self.instance(node, path)?.get("last_failure")?;
            let failure: LastFailure = serde_json::from_value(failure.clone()).ok()?;
            let told = failure.told(self.now);
            Some(Cell::plain("   ").and(Tone::Bad, &format!("{node}: {told}")))
        };
        self.nodes.iter().filter_map(failure).collect()
    }

    /// Whether a node has the object, evaluated or not. The cluster itself has nothing that is evaluated.
    fn is_configured(&self, node: &str, path: &str) -> bool {
        if path == "cluster" || path.contains("/nscfg/") {
            return false;
        }
        let config = || self.node(node)?.get("services")?.get("config")?.get(path);
        config().is_some()
    }

    fn instance(&self, node: &str, path: &str) -> Option<&'a Value> {
        self.node(node)?.get("services")?.get("status")?.get(path)
    }
}

#[cfg(test)]
mod tests;
