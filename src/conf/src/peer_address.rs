//! Where the listener of a node is called.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Context, Ini, NodeConf};
use model::NodeName;

/// Port of nodes whose `listener.port` is not known: deployed agents call no other.
pub const DEFAULT_PORT: u16 = 1214;

/// Host and port of a listener.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddress {
    /// Host name or address, an IPv6 one without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl PeerAddress {
    /// The listener of a member: keywords `listener.addr` and `listener.port` as cluster.conf scopes them for it, or as
    /// node.conf names it (`addr@n2`); the name of the node and 1214 where they are unset or stand for any address.
    ///
    /// What node.conf says without a scope is about the local node alone, and a node outside the cluster is called by
    /// its name.
    #[must_use]
    pub fn of(conf: &NodeConf, peer: &NodeName) -> Self {
        let is_member =
            conf.cluster_nodes().contains(peer) || conf.cluster_drpnodes().contains(peer);
        if !is_member {
            return Self { host: peer.to_string(), port: DEFAULT_PORT };
        }
        let shared = NodeConf::new(conf.nodename.clone(), conf.cluster.clone(), Ini::default());
        let context = Context::new(Arc::new(shared)).impersonating(peer);
        let said = |keyword: &str| {
            let named = conf.node.get("listener", &format!("{keyword}@{peer}"));
            let evaluated = || {
                let keyword = format!("listener.{keyword}");
                context.node.eval_keyword(&context, &keyword).ok().map(|value| value.to_string())
            };
            named.map(str::to_owned).or_else(evaluated)
        };
        let host = said("addr").map(|host| host.trim().to_owned()).filter(|host| is_specific(host));
        let port = said("port").and_then(|port| port.trim().parse().ok()).filter(|port| *port > 0);
        Self { host: host.unwrap_or_else(|| peer.to_string()), port: port.unwrap_or(DEFAULT_PORT) }
    }

    /// Reads `host`, `host:port`, `address` or `[address]:port`.
    ///
    /// # Errors
    ///
    /// What is wrong, as a fragment for whoever wrote it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (host, port) = Self::split(text)?;
        Ok(Self { host, port: port.unwrap_or(DEFAULT_PORT) })
    }

    /// As [`PeerAddress::parse`], telling whether a port was written.
    ///
    /// # Errors
    ///
    /// As [`PeerAddress::parse`].
    pub fn split(text: &str) -> Result<(String, Option<u16>), &'static str> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => {
                (host, Some(port.strip_prefix(':').ok_or("expected `:port` after `]`")?))
            }
            None => match text.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                _ => (text, None),
            },
        };
        let is_host = !host.is_empty()
            && !host.starts_with('-')
            && !host.contains(|sign: char| "/@[]".contains(sign) || sign.is_whitespace());
        if !is_host {
            return Err("expected host[:port]");
        }
        let port = match port {
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err("the port is not a number up to 65535"),
                Ok(port) => Some(port),
            },
            None => None,
        };
        Ok((host.to_owned(), port))
    }
}

/// Whether an address to listen on is one that others can call.
fn is_specific(host: &str) -> bool {
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => !address.is_unspecified(),
        Err(_) => !host.is_empty(),
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cluster: &str, node: &str, peer: &str) -> String {
        let nodename = NodeName::new("n1").unwrap();
        let conf = NodeConf::parse(nodename, cluster, node).unwrap();
        PeerAddress::of(&conf, &NodeName::new(peer).unwrap()).to_string()
    }

    #[test]
    fn a_member_is_called_where_cluster_conf_says_it_listens() {
        let cluster = "[cluster]\nnodes = n1 n2 n3 n4\n[listener]\naddr@n2 = 127.0.0.2\nport@n2 = 1999\n\
                       addr@n3 = ::\naddr@n4 = fd00::4\n";
        assert_eq!(of(cluster, "", "n2"), "127.0.0.2:1999");
        assert_eq!(of(cluster, "", "n3"), "n3:1214");
        assert_eq!(of(cluster, "", "n4"), "[fd00::4]:1214");
        assert_eq!(of("[cluster]\nnodes = n1 n2\n[listener]\nport = 1300\n", "", "n2"), "n2:1300");
    }

    #[test]
    fn what_node_conf_says_is_about_the_local_node_unless_it_names_another() {
        let cluster = "[cluster]\nnodes = n1 n2\n";
        assert_eq!(of(cluster, "[listener]\naddr = 10.0.0.1\nport = 1300\n", "n2"), "n2:1214");
        assert_eq!(of(cluster, "[listener]\nport@n2 = 1300\n", "n2"), "n2:1300");
    }

    #[test]
    fn a_port_that_is_none_and_a_stranger_get_the_default() {
        let cluster = "[cluster]\nnodes = n1 n2\n[listener]\nport = 0\naddr = 0.0.0.0\n";
        assert_eq!(of(cluster, "", "n2"), "n2:1214");
        let shared = "[cluster]\nnodes = n1 n2\n[listener]\nport = 1300\n";
        assert_eq!(of(shared, "", "n9"), "n9:1214");
    }

    #[test]
    fn hosts_and_ports_are_read_as_operators_write_them() {
        let parse = |text| PeerAddress::parse(text).map(|address| address.to_string());
        assert_eq!(parse("n2"), Ok("n2:1214".into()));
        assert_eq!(parse("10.0.0.1:99"), Ok("10.0.0.1:99".into()));
        assert_eq!(parse("::1"), Ok("[::1]:1214".into()));
        assert_eq!(parse("[::1]:99"), Ok("[::1]:99".into()));
        assert_eq!(parse("[::1]"), Ok("[::1]:1214".into()));
        for text in ["", ":1214", "n1:x", "n1:0", "n1:65536", "a b", "https://n1", "[::1]99"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
