//! Which addresses are the nodes' of the cluster.
//!
//! An address that is written in the configuration is known at once. A name has to be looked up, which may take long or
//! fail: what it was known to mean stays in force then. The loopback belongs to everybody on this machine, so a name never
//! means it, and no address of it is this node's; another node that is written with one does mean it.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs as _};

use conf::NodeSettings;
use model::NodeName;

use conf::peer_address::PeerAddress;

/// What names were found to mean.
#[derive(Debug, Default)]
pub struct MemberAddresses {
    found: BTreeMap<String, Vec<IpAddr>>,
}

/// The hosts of the nodes: their names, and where their listeners and unicast heartbeats are called.
#[must_use]
pub fn hosts(node: &NodeSettings) -> Vec<(NodeName, String)> {
    let mut hosts = vec![];
    for member in &node.nodes {
        hosts.push((member.clone(), member.to_string()));
        hosts.push((member.clone(), PeerAddress::of(&node.conf, member).host));
    }
    hosts.push((node.nodename.clone(), node.listener.addr.clone()));
    for heartbeat in &node.heartbeats {
        let addr = heartbeat.keywords.get("addr").filter(|_| heartbeat.kind == "unicast");
        hosts.extend(addr.map(|addr| (node.nodename.clone(), addr.clone())));
        let peers = heartbeat.peers.iter();
        hosts.extend(peers.map(|(peer, (host, _))| (peer.clone(), host.clone())));
    }
    let is_everybodys = |member: &NodeName, host: &str| {
        *member == node.nodename
            && host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    hosts.retain(|(member, host)| {
        node.nodes.contains(member) && !host.is_empty() && !is_everybodys(member, host)
    });
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Looks up the hosts that are names. Blocks.
#[must_use]
pub fn look_up(hosts: &[(NodeName, String)]) -> BTreeMap<String, Vec<IpAddr>> {
    let mut found = BTreeMap::new();
    for (_, host) in hosts {
        if host.parse::<IpAddr>().is_err() && !found.contains_key(host) {
            let addresses = (host.as_str(), 0).to_socket_addrs().into_iter().flatten();
            let addresses = addresses.map(|address| address.ip().to_canonical());
            found.insert(host.clone(), addresses.filter(|it| !it.is_loopback()).collect());
        }
    }
    found
}

impl MemberAddresses {
    /// Takes what [`look_up`] found. A name that means nothing now keeps what it meant.
    pub fn learn(&mut self, found: BTreeMap<String, Vec<IpAddr>>) {
        self.found.retain(|host, _| found.contains_key(host));
        self.found.extend(found.into_iter().filter(|(_, addresses)| !addresses.is_empty()));
    }

    /// The addresses of the nodes.
    #[must_use]
    pub fn of(&self, hosts: &[(NodeName, String)]) -> BTreeMap<IpAddr, NodeName> {
        let mut members = BTreeMap::new();
        for (member, host) in hosts {
            let written = host.parse().ok().map(|address: IpAddr| vec![address.to_canonical()]);
            let addresses = written.or_else(|| self.found.get(host).cloned()).unwrap_or_default();
            for address in addresses.into_iter().filter(|address| !address.is_unspecified()) {
                members.insert(address, member.clone());
            }
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_addresses_are_known_at_once_and_names_keep_what_they_meant() {
        let cluster = "[cluster]\nname = demo\nnodes = n1 n2 n3\n[listener]\naddr@n2 = 127.0.0.12\n\
                       addr@n1 = 127.0.0.1\n[hb#1]\ntype = unicast\naddr@n2 = 127.0.1.12\naddr@n3 = hb-n3\n";
        let node = NodeSettings::parse(NodeName::new("n1").unwrap(), cluster, "").unwrap();
        let hosts = hosts(&node);
        let mut known = MemberAddresses::default();
        let shown = |known: &MemberAddresses| {
            let of = known.of(&hosts);
            of.iter().map(|(address, node)| format!("{address} {node}")).collect::<Vec<_>>()
        };
        assert_eq!(shown(&known), ["127.0.0.12 n2", "127.0.1.12 n2"]);
        let found = |addresses: Vec<IpAddr>| [("hb-n3".to_owned(), addresses)].into();
        known.learn(found(vec![IpAddr::from([10, 0, 0, 3])]));
        known.learn(found(vec![]));
        assert_eq!(shown(&known), ["10.0.0.3 n3", "127.0.0.12 n2", "127.0.1.12 n2"]);
    }

    #[test]
    fn a_name_never_means_the_loopback() {
        let hosts = [(NodeName::new("n1").unwrap(), "localhost".to_owned())];
        assert_eq!(look_up(&hosts), [("localhost".to_owned(), vec![])].into());
    }
}
