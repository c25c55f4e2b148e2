//! The cluster at a glance: `om mon`, `om daemon status`.
//!
//! The shape and the signs are the deployed agent's (`om mon --help` there): operators read them at a glance, and so
//! do their scripts.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::table::{Align, table};
use super::text::{Cell, Text, Tone, size};

/// What to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    /// Threads of the daemon, with the heartbeats per peer.
    pub threads: bool,
    /// Arbitrators, as each node reaches them.
    pub arbitrators: bool,
    /// Loads and states of nodes.
    pub nodes: bool,
    /// Objects.
    pub services: bool,
}

impl Sections {
    /// All of them.
    pub const ALL: Self = Self { threads: true, arbitrators: true, nodes: true, services: true };

    /// Those of that name (`om mon --sections`); all when none is named.
    #[must_use]
    pub fn named(names: &[String]) -> Self {
        let has = |name: &str| names.is_empty() || names.iter().any(|each| each == name);
        Self {
            threads: has("threads"),
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
) -> Text {
    let mut view = View { data, nodes: columns(data, nodes), is_narrow: false };
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

struct View<'a> {
    data: &'a Value,
    nodes: Vec<String>,
    /// Whether there is too little room for all columns.
    is_narrow: bool,
}

fn text<'a>(value: Option<&'a Value>, name: &str) -> &'a str {
    value.and_then(|value| value.get(name)).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: Option<&Value>, name: &str) -> Option<f64> {
    value.and_then(|value| value.get(name)).and_then(Value::as_f64)
}

impl<'a> View<'a> {
    fn laid_out(
        &self,
        sections: &Sections,
        title: &str,
        width: usize,
        services_first: bool,
    ) -> Text {
        let mut blocks: Vec<Vec<Vec<Cell>>> = vec![];
        let mut begin = |title: &str, rows: Vec<Vec<Cell>>| {
            let mut header = vec![Cell::new(Tone::Strong, title)];
            header.resize(5, Cell::default());
            header.extend(self.nodes.iter().map(|node| Cell::new(Tone::Strong, node)));
            blocks.push(std::iter::once(header).chain(rows).collect());
        };
        if sections.threads {
            begin("Threads", self.threads());
        }
        if sections.arbitrators && !self.arbitrators().is_empty() {
            begin("Arbitrators", self.arbitrator_rows());
        }
        if sections.nodes {
            begin("Nodes", self.node_rows());
        }
        if sections.services {
            begin(title, self.services());
        }
        if services_first {
            blocks.reverse();
        }
        let mut rows: Vec<Vec<Cell>> = vec![];
        for block in blocks {
            if !rows.is_empty() {
                rows.push(vec![]);
            }
            rows.extend(block);
        }
        // The sign column is part of the gap.
        let aligns = [Align::Left, Align::Left, Align::Left, Align::Right, Align::Left];
        let mut text = table(rows, &aligns, 1);
        if sections.threads {
            text.extend(self.alerts(width));
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

    fn threads(&self) -> Vec<Vec<Cell>> {
        let mut rows = vec![];
        // The daemon first, then its threads by name.
        let daemon = self.blocks().filter(|(id, _)| *id == "daemon");
        let threads = self.blocks().filter(|(id, _)| *id != "daemon");
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
            if id.starts_with("hb#") {
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
        let is_nothing = |peer: &Map<String, Value>| peer.keys().all(|key| key == "slot");
        match peer.get("beating").and_then(Value::as_bool) {
            None if id.ends_with(".rx") || peer.as_object().is_none_or(is_nothing) => None,
            beating => Some(beating.unwrap_or(true)),
        }
    }

    /// Alerts in lines of that width: the end of a message tells what to do.
    fn alerts(&self, width: usize) -> Text {
        let mut lines = Text::default();
        for (id, block) in self.blocks() {
            for alert in block.get("alerts").and_then(Value::as_array).into_iter().flatten() {
                let severity = match text(Some(alert), "severity") {
                    "" => "warning",
                    severity => severity,
                };
                if lines.is_empty() {
                    lines.push(Cell::default());
                    lines.push(Cell::new(Tone::Strong, "Alerts"));
                }
                let message = match text(Some(alert), "message") {
                    "" => alert.as_str().unwrap_or_default(),
                    message => message,
                };
                let begin = Cell::plain(&format!(" {id}: ")).and(Tone::of(severity), severity);
                lines.extend(begin.and(Tone::Plain, ":").wrapped(message, width, 3));
            }
        }
        lines
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

    fn services(&self) -> Vec<Vec<Cell>> {
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
            row.extend(self.per_node(|node| {
                self.instance(node, path).map_or_else(Cell::default, instance_signs)
            }));
            rows.push(row);
        }
        rows
    }

    fn instance(&self, node: &str, path: &str) -> Option<&'a Value> {
        self.node(node)?.get("services")?.get("status")?.get(path)
    }
}

fn is_up(avail: &str) -> bool {
    matches!(avail, "up" | "warn")
}

fn with_target(cell: Cell, target: &str) -> Cell {
    if target.is_empty() {
        return cell;
    }
    let gap = if cell.is_empty() { ">" } else { " >" };
    cell.and(Tone::Note, gap).and(Tone::Note, target)
}

/// The signs of an instance: state, `!` warnings, `^` leader, `*` frozen, `P` not provisioned, then what it does.
fn instance_signs(instance: &Value) -> Cell {
    let instance = Some(instance);
    let (tone, sign) = match text(instance, "avail") {
        "up" => (Tone::Good, "O"),
        "stdby up" => (Tone::Good, "S"),
        "down" => (Tone::Bad, "X"),
        "stdby down" => (Tone::Bad, "s"),
        "warn" => (Tone::Warn, "!"),
        "undef" | "unknown" => (Tone::Warn, "?"),
        _ => (Tone::Note, "/"),
    };
    let mut cell = Cell::new(tone, sign);
    let monitor = instance.and_then(|instance| instance.get("monitor"));
    if text(instance, "overall") == "warn" {
        cell = cell.and(Tone::Warn, "!");
    }
    if text(monitor, "placement") == "leader" {
        cell = cell.and(Tone::Note, "^");
    }
    if number(instance, "frozen").is_some_and(|since| since > 0.0) {
        cell = cell.and(Tone::Note, "*");
    }
    if let Some(Value::Bool(false)) = instance.and_then(|instance| instance.get("provisioned")) {
        cell = cell.and(Tone::Warn, "P");
    }
    let status = text(monitor, "status");
    if !matches!(status, "" | "idle") {
        let tone = if status.ends_with("failed") { Tone::Bad } else { Tone::Note };
        cell = cell.and(Tone::Plain, " ").and(tone, status);
    }
    with_target(cell, text(monitor, "global_expect"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cluster() -> Value {
        let node = |frozen: f64, avail: &str, monitor: Value| {
            json!({
                "agent": "2.1", "frozen": frozen, "min_avail_mem": 2, "min_avail_swap": 0,
                "monitor": {"status": "idle"},
                "stats": {"load_15m": 0.9, "mem_avail": 96, "mem_total": 24105, "score": 70, "swap_total": 0, "swap_avail": 0},
                "services": {"status": {"svc1": {
                    "avail": avail, "overall": "warn", "topology": "failover", "orchestrate": "ha", "frozen": frozen,
                    "provisioned": true, "monitor": monitor,
                }}},
            })
        };
        json!({
            "cluster": {"nodes": ["n1", "n2", "n3"]},
            "daemon": {"state": "running"},
            "listener": {"state": "running", "config": {"addr": "", "port": 1214}},
            "scheduler": {"state": "restarting", "alerts": [{"severity": "warning", "message": "it fell\u{1b}"}]},
            "hb#1.rx": {"state": "running", "config": {"addr": "::", "port": 10000},
                "peers": {"n1": {}, "n2": {"beating": true, "last": 1.0}, "n3": {"beating": false, "last": 1.0}}},
            "hb#2.rx": {"state": "running", "config": {"relay": "relay1", "timeout": 15}, "peers": {"n1": {}}},
            "hb#3.rx": {"state": "running", "config": {"dev": "/dev/hb", "timeout": 15}, "peers": {"n1": {}}},
            "hb#3.tx": {"state": "running", "peers": {"n1": {"slot": 0}, "n2": {"slot": 1, "beating": true}}},
            "monitor": {
                "state": "running",
                "nodes": {
                    "n1": node(0.0, "up", json!({"status": "idle", "placement": "leader"})),
                    "n2": node(12.5, "down", json!({"status": "starting", "global_expect": "started"})),
                },
                "services": {"svc1": {"avail": "up", "overall": "warn", "placement": "non-optimal"}},
            },
        })
    }

    #[test]
    fn the_cluster_reads_at_a_glance() {
        let text = monitor(&cluster(), None, &Sections::ALL, "*/svc/*", Room::ENDLESS);
        assert_eq!(
            text.plain(),
            "\
Threads                                n1          n2                    n3
 daemon    running                   |
 hb#1.rx   running        [::]:10000 | /           O                     X
 hb#2.rx   running            relay1 | /           /                     /
 hb#3.rx   running           /dev/hb | /           /                     /
 hb#3.tx   running                   | /           O                     /
 listener  running             :1214 |
 monitor   running                   |
 scheduler restarting!               |

Nodes                                  n1          n2                    n3
 score                               | 70          70
  load 15m                           | 0.9         0.9
  mem                                | 4/98%:23.5g 4/98%:23.5g
  swap                               | -           -
 state                               |             *                     unknown

*/svc/*                                n1          n2                    n3
 svc1      up!^        ha        1/1 | O!^         X!* starting >started

Alerts
 scheduler: warning: it fell\\u{1b}
"
        );
    }

    #[test]
    fn versions_are_compared_between_nodes_of_one_kind() {
        let row = |versions: [(&str, &str); 3]| {
            let mut data = cluster();
            for (node, (agent, release)) in ["n1", "n2", "n3"].into_iter().zip(versions) {
                data["monitor"]["nodes"][node]["agent"] = json!(agent);
                data["monitor"]["nodes"][node]["release"] = json!(release);
            }
            let text =
                monitor(&data, None, &Sections::named(&["nodes".to_owned()]), "**", Room::ENDLESS);
            let row = text.plain().lines().find(|line| line.contains("version")).map(str::to_owned);
            row.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(row([("2.1", ""), ("2.1", ""), ("", "0.1.0")]), None);
        let mixed = row([("2.1", ""), ("2.2", ""), ("", "0.1.0")]);
        assert_eq!(mixed.as_deref(), Some("version warn | 2.1 2.2 0.1.0"));
        let ours = row([("2.1", ""), ("", "0.2.0"), ("", "0.1.0")]);
        assert_eq!(ours.as_deref(), Some("version warn | 2.1 0.2.0 0.1.0"));
    }

    #[test]
    fn a_member_that_told_nothing_of_itself_is_unknown() {
        let mut data = cluster();
        data["monitor"]["nodes"]["n3"] = json!({"monitor": {}, "services": {}});
        let text =
            monitor(&data, None, &Sections::named(&["nodes".to_owned()]), "**", Room::ENDLESS)
                .plain();
        let state = text.lines().find(|line| line.starts_with(" state")).unwrap();
        assert_eq!(state.split_whitespace().collect::<Vec<_>>(), ["state", "|", "*", "unknown"]);
    }

    #[test]
    fn sections_and_columns_can_be_chosen() {
        let text = monitor(
            &cluster(),
            Some(&["n2".to_owned()]),
            &Sections::named(&["services".to_owned()]),
            "svc1",
            Room::ENDLESS,
        );
        assert_eq!(
            text.plain(),
            "svc1                n2\n svc1 up!^ ha 0/1 | X!* starting >started\n"
        );
    }

    #[test]
    fn anything_a_peer_may_say_is_shown_without_a_fall() {
        for data in [
            json!(null),
            json!([]),
            json!({"monitor": {"nodes": [], "services": {"a": null}}, "cluster": {"nodes": "n1"}}),
            json!({"hb#1.rx": {"state": "running", "peers": [], "config": "x", "alerts": ["a", 1]}}),
            json!({"monitor": {"nodes": {"n1": {"services": {"status": {"a": 1}}, "monitor": [], "stats": []}}, "services": {"a": {}}}}),
        ] {
            _ = monitor(&data, None, &Sections::ALL, "**", Room::ENDLESS).to_string();
        }
    }

    #[test]
    fn a_small_screen_shows_the_services_first_and_all_of_the_nodes() {
        let mut data = cluster();
        data["scheduler"]["alerts"][0]["message"] = json!(
            "the clock of n2 is 31 s ahead: set it, or what n2 says is not heard; until then its services are not moved"
        );
        for node in ["n1", "n2"] {
            let node = &mut data["monitor"]["nodes"][node];
            node["min_avail_swap"] = json!(10);
            node["stats"]["swap_total"] = json!(20_480);
            node["stats"]["swap_avail"] = json!(98);
        }
        data["monitor"]["nodes"]["n3"] = data["monitor"]["nodes"]["n1"].clone();
        data["monitor"]["nodes"]["n4"] = data["monitor"]["nodes"]["n1"].clone();
        data["cluster"]["nodes"] = json!(["n1", "n2", "n3", "n4"]);
        for service in ["svc2", "svc3", "svc4", "svc5"] {
            data["monitor"]["services"][service] = data["monitor"]["services"]["svc1"].clone();
        }
        let room = Room { width: 80, height: 24 };
        let wide = monitor(&data, None, &Sections::ALL, "*/svc/*", Room::ENDLESS);
        assert!(wide.width() > 80, "{}", wide.plain());
        let text = monitor(&data, None, &Sections::ALL, "*/svc/*", room);
        assert!(text.width() <= 80, "{}", text.plain());
        let plain = text.plain();
        let lines: Vec<&str> = plain.lines().collect();
        assert!(lines[0].starts_with("*/svc/*") && lines[1].starts_with(" svc1"), "{plain}");
        assert!(
            lines.iter().any(|line| line.starts_with("  mem  ") && line.contains(" 4% ")),
            "{plain}"
        );
        assert!(plain.contains("\n   "), "an alert goes on in the next line: {plain}");
        assert!(plain.trim_end().ends_with("not moved"), "{plain}");
        // With room for all, the order is that of deployed agents.
        let room = Room { width: 80, height: 60 };
        let text = monitor(&data, None, &Sections::ALL, "*/svc/*", room).plain();
        assert!(text.starts_with("Threads"), "{text}");
    }
}
