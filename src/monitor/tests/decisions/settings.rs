//! Object settings from the configurations of the cases: plain values only, as the cases have them.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    FlexBounds, NodeName, ObjectPath, ObjectSettings, Orchestrate, PlacementPolicy,
    ResourceSettings, Topology, resolve_path,
};

type Sections = BTreeMap<String, BTreeMap<String, String>>;

fn sections(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name.to_owned();
            sections.entry(current.clone()).or_default();
        } else if let Some((key, value)) = line.split_once('=') {
            let section = sections.entry(current.clone()).or_default();
            section.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    sections
}

/// One section, as seen on a node.
struct Reader<'c> {
    section: Option<&'c BTreeMap<String, String>>,
    node: &'c str,
}

impl Reader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let section = self.section?;
        let scoped = section.get(&format!("{key}@{}", self.node));
        scoped.or_else(|| section.get(key)).map(String::as_str)
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |value| value == "true")
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.get(key).map(|value| value.parse().expect("a number"))
    }

    fn nodes(&self, key: &str) -> Vec<NodeName> {
        let words = self.get(key).unwrap_or_default().split_whitespace();
        words.map(|word| NodeName::new(word).expect("a node name")).collect()
    }

    fn paths(&self, key: &str, namespace: Option<&str>) -> Vec<String> {
        let words = self.get(key).unwrap_or_default().split_whitespace();
        words.map(|word| resolve_path(word, namespace)).collect()
    }
}

/// Settings of an object on a node.
pub(crate) fn settings(text: &str, path: &ObjectPath, node: &NodeName) -> ObjectSettings {
    let sections = sections(text);
    let reader = |name: &str| Reader { section: sections.get(name), node: node.as_str() };
    let default = reader("DEFAULT");
    let (nodes, drpnodes) = (default.nodes("nodes"), default.nodes("drpnodes"));
    let peers = if nodes.contains(node) {
        nodes.clone()
    } else if drpnodes.contains(node) {
        drpnodes.clone()
    } else {
        vec![]
    };
    let count = peers.len() as i64;
    let min = default.number("flex_min").unwrap_or(1).clamp(0, count);
    let max = default.number("flex_max").unwrap_or(count).clamp(min, count);
    let flex = FlexBounds { min, max, target: default.number("flex_target").unwrap_or(min) };
    let disabled = default.flag("disable", false);
    let resources = sections
        .keys()
        .filter(|name| name.contains('#'))
        .map(|rid| (rid.clone(), resource(rid, &reader(rid), disabled)))
        .collect();
    let paths = |key: &str| default.paths(key, path.namespace());
    let set = |key: &str| paths(key).into_iter().collect::<BTreeSet<String>>();
    ObjectSettings {
        nodes,
        drpnodes,
        peers,
        topology: Topology::from(default.get("topology").unwrap_or("failover")),
        orchestrate: Orchestrate::from(default.get("orchestrate").unwrap_or("no")),
        placement: PlacementPolicy::from(default.get("placement").unwrap_or("nodes order")),
        flex,
        priority: default.number("priority").unwrap_or(100),
        disabled,
        constraints: true,
        rollback: default.flag("rollback", true),
        stonith: default.flag("stonith", false),
        parents: paths("parents"),
        children: paths("children"),
        slaves: paths("slaves"),
        scale: default.number("scale"),
        scaler_slave: default.flag("scaler_slave", false),
        hard_affinity: set("hard_affinity"),
        hard_anti_affinity: set("hard_anti_affinity"),
        soft_affinity: set("soft_affinity"),
        soft_anti_affinity: set("soft_anti_affinity"),
        monitor_action: default.get("monitor_action").map(str::to_owned),
        resources,
    }
}

fn resource(rid: &str, reader: &Reader<'_>, disabled: bool) -> ResourceSettings {
    let group = rid.split('#').next().unwrap_or_default();
    let delay = reader.get("restart_delay").unwrap_or("0").trim_end_matches('s');
    ResourceSettings {
        restart: reader.number("restart").unwrap_or(0) as u32,
        restart_delay: delay.parse().expect("a duration in seconds"),
        monitor: reader.flag("monitor", false),
        standby: reader.flag("standby", false),
        disabled: disabled || reader.flag("disable", false),
        optional: reader.flag("optional", matches!(group, "sync" | "task")),
        ignore_provisioned: !reader.flag("provision", true) || !reader.flag("unprovision", true),
        driver: format!("{group}.{}", reader.get("type").unwrap_or("host")),
    }
}

/// Tags of the resources.
pub(crate) fn tags(text: &str) -> BTreeMap<String, Vec<String>> {
    let words = |section: &BTreeMap<String, String>| {
        let tags = section.get("tags").map(String::as_str).unwrap_or_default();
        tags.split_whitespace().map(str::to_owned).collect()
    };
    sections(text).iter().map(|(name, section)| (name.clone(), words(section))).collect()
}
