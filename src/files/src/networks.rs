//! Networks: those that every node has, and those of sections `network#<name>`.

use std::collections::BTreeMap;

use serde::Serialize;

/// A network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Network {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its addresses, `<address>/<bits>`.
    pub network: String,
    /// How many addresses it has.
    pub size: u64,
    /// Those that are in use: none is known to be.
    pub ips: [String; 0],
    /// How many are in use.
    pub used: u64,
    /// How many are not.
    pub free: u64,
    /// Percent in use.
    pub pct: f64,
}

/// The networks that a configuration has.
pub fn networks_of(node: &conf::NodeConf) -> BTreeMap<String, Network> {
    let mut networks = BTreeMap::new();
    networks.insert("lo".into(), network("loopback", "127.0.0.1/32"));
    networks.insert("default".into(), network("bridge", "10.22.0.0/16"));
    let sections = node.node.sections().chain(node.cluster.ini().sections());
    for name in sections.filter_map(|section| section.strip_prefix("network#")) {
        let get = |keyword: &str| node.get(&format!("network#{name}.{keyword}"));
        let kind = get("type").unwrap_or_else(|| "bridge".into());
        networks.insert(name.to_owned(), network(&kind, &get("network").unwrap_or_default()));
    }
    networks
}

/// A network; no address of it is known to be in use.
fn network(kind: &str, range: &str) -> Network {
    let size = || {
        let (address, bits) = range.split_once('/')?;
        let bits: u32 = bits.parse().ok()?;
        let all: u32 = if address.contains(':') { 128 } else { 32 };
        Some(1_u64.checked_shl(all.checked_sub(bits)?).unwrap_or(u64::MAX))
    };
    let size = size().unwrap_or(0);
    Network {
        kind: kind.to_owned(),
        network: range.to_owned(),
        size,
        ips: [],
        used: 0,
        free: size,
        pct: 0.0,
    }
}
