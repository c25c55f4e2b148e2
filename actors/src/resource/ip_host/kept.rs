//! What an address shares with others of the node, and must not take along: the addresses beside it, the default route.

use std::path::PathBuf;

use serde_json::Value;

use super::super::driver::{Failure, Scene};
use super::super::exec::{Output, Program};
use super::{Address, Ip, parse_addresses};
use crate::durable;

/// Where the default routes are noted that were there before ours.
fn note(scene: &Scene<'_>) -> PathBuf {
    scene.folder().join("default_route")
}

/// The words of a default route, as the tool prints them and takes them; without what it only prints.
fn routes(text: &str) -> Vec<Vec<String>> {
    let words = |line: &str| -> Vec<String> {
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        // How long one that a router told of still holds is printed, and not taken.
        if let Some(at) = words.iter().position(|word| word == "expires") {
            words.drain(at..(at + 2).min(words.len()));
        }
        words.retain(|word| !matches!(word.as_str(), "linkdown" | "dead"));
        words
    };
    text.lines()
        .map(words)
        .filter(|words| words.first().is_some_and(|word| word == "default"))
        .collect()
}

/// The metric that the kernel gives an IPv6 route for which none is named.
const METRIC_OF_IPV6: &str = "1024";

/// Whether a route has the metric of one for which none is named: the one that `ip route replace` replaces.
fn is_replaced(route: &[String]) -> bool {
    let metric = route.windows(2).find(|pair| pair[0] == "metric").map(|pair| pair[1].as_str());
    let is_ipv6 = route.windows(2).any(|pair| pair[0] == "via" && pair[1].contains(':'))
        || route.iter().any(|word| word == "pref");
    metric.is_none() || (is_ipv6 && metric == Some(METRIC_OF_IPV6))
}

impl Ip {
    fn family(gateway: &str) -> &'static str {
        if gateway.contains(':') { "-6" } else { "-4" }
    }

    fn default_routes(scene: &Scene<'_>, gateway: &str) -> Result<Vec<Vec<String>>, Failure> {
        let program = Program::new(["ip", Self::family(gateway), "route", "show", "default"]);
        let ended = scene.query(&program)?;
        if !ended.is_success() {
            let (command, line) = (program.to_string(), ended.last_line().to_owned());
            return Err(Failure::Exit { command, code: ended.code, line });
        }
        Ok(routes(&ended.out))
    }

    fn is_own_route(&self, route: &[String], gateway: &str) -> bool {
        let follows = |key: &str, value: &str| {
            route.windows(2).any(|pair| pair[0] == key && pair[1] == value)
        };
        follows("via", gateway) && follows("dev", &self.dev)
    }

    /// Makes keyword `gateway` the default route, and notes the one that it takes the place of.
    pub(super) fn take_default_route(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let Some(gateway) = &self.gateway else { return Ok(()) };
        let routes = Self::default_routes(scene, gateway)?;
        let replaced = routes.iter().find(|route| is_replaced(route));
        if !replaced.is_some_and(|route| self.is_own_route(route, gateway)) {
            // What a start before this one noted is still what was there first, if that start was not undone.
            let text = replaced.map(|route| route.join(" ")).unwrap_or_default();
            durable::write(&note(scene), text.as_bytes(), 0o600)
                .map_err(Failure::io("default route"))?;
        }
        let family = Self::family(gateway);
        let words = ["ip", family, "route", "replace", "default", "via", gateway, "dev", &self.dev];
        scene.execute(&Program::new(words).output(Output::Logged)).map(drop)
    }

    /// Gives the default route back, unless somebody has set another one since.
    pub(super) fn give_default_route_back(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let Some(gateway) = &self.gateway else { return Ok(()) };
        let Some(before) = crate::regular::words(&note(scene)) else { return Ok(()) };
        let routes = Self::default_routes(scene, gateway)?;
        let own =
            routes.iter().find(|route| is_replaced(route) && self.is_own_route(route, gateway));
        let is_free = !routes.iter().any(|route| is_replaced(route));
        let before: Vec<&str> = before.split_whitespace().collect();
        if own.is_some() || is_free {
            let family = Self::family(gateway);
            let words = match (&before[..], own) {
                ([], None) => vec![],
                ([], Some(_)) => {
                    vec!["ip", family, "route", "del", "default", "via", gateway, "dev", &self.dev]
                }
                (before, _) => [&["ip", family, "route", "replace"], before].concat(),
            };
            if !words.is_empty() {
                scene.execute(&Program::new(words).output(Output::Logged))?;
            }
        }
        durable::remove(&note(scene)).map_err(Failure::io("default route"))
    }

    /// After a start of the node the default route is that of its configuration.
    pub(super) fn forget_default_route(scene: &Scene<'_>) -> Result<(), Failure> {
        durable::remove(&note(scene)).map_err(Failure::io("default route"))
    }

    /// Removes the address, and no other: where it is the first of its network, the kernel removes the others with it,
    /// unless it is told to promote one of them.
    pub(super) fn delete_address(
        &self,
        scene: &Scene<'_>,
        address: &Address,
    ) -> Result<(), Failure> {
        let before = self.addresses(scene)?;
        let depends = |other: &&Address| other.is_secondary && is_same_network(address, other);
        let has_others = !address.is_secondary && before.iter().any(|other| depends(&other));
        let own = format!("{}/{}", address.addr, address.prefix);
        if !has_others {
            return scene.tool(["ip", "addr", "del", &own, "dev", &self.dev]).map(drop);
        }
        let promote =
            PathBuf::from(format!("/proc/sys/net/ipv4/conf/{}/promote_secondaries", self.dev));
        let was = std::fs::read_to_string(&promote).unwrap_or_default();
        let is_set = was.trim() != "0" || std::fs::write(&promote, "1").is_ok();
        let done = scene.tool(["ip", "addr", "del", &own, "dev", &self.dev]);
        if is_set && was.trim() == "0" {
            _ = std::fs::write(&promote, "0");
        }
        done?;
        // Where that may not be set, they are given back at once.
        let after = self.addresses(scene)?;
        for lost in before.iter().filter(|one| one.addr != address.addr) {
            if after.iter().any(|one| one.addr == lost.addr) {
                continue;
            }
            let name = format!("{}/{}", lost.addr, lost.prefix);
            let mut words = vec!["ip", "addr", "add", &name, "dev", &self.dev];
            words.extend(lost.label.iter().flat_map(|label| ["label", label.as_str()]));
            scene.execute(&Program::new(words).output(Output::Logged))?;
        }
        Ok(())
    }

    /// The addresses of its link.
    pub(super) fn addresses(&self, scene: &Scene<'_>) -> Result<Vec<Address>, Failure> {
        let program = Program::new(["ip", "-j", "addr", "show", "dev", &self.dev]);
        let ended = scene.query(&program)?;
        parse_addresses(&ended.out).ok_or_else(|| Failure::Exit {
            command: program.to_string(),
            code: ended.code,
            line: ended.last_line().to_owned(),
        })
    }
}

/// Whether two addresses are of one network, as the kernel takes it: of one length, and the same in that length.
fn is_same_network(one: &Address, other: &Address) -> bool {
    let (std::net::IpAddr::V4(left), std::net::IpAddr::V4(right)) = (one.addr, other.addr) else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32 - u32::from(one.prefix.min(32))).unwrap_or(0);
    one.prefix == other.prefix && left.to_bits() & mask == right.to_bits() & mask
}

/// The label of an address that is not the name of its link.
pub(super) fn label(info: &Value, link: &Value) -> Option<String> {
    let label = info.get("label")?.as_str()?;
    (link.get("ifname").and_then(Value::as_str) != Some(label)).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_route_of_the_usual_metric_is_the_one_that_is_replaced() {
        let text = "default via fe80::1 dev eth0 proto ra metric 1024 expires 1700sec hoplimit 64 pref medium\n\
                    default via 2001:db8::1 dev eth1 metric 100 pref medium\n2001:db8::/64 dev eth1\n";
        let found = routes(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].join(" "),
            "default via fe80::1 dev eth0 proto ra metric 1024 hoplimit 64 pref medium"
        );
        assert_eq!((is_replaced(&found[0]), is_replaced(&found[1])), (true, false));
        let found = routes(
            "default via 192.0.2.1 dev eth0\ndefault via 192.0.2.1 dev eth1 metric 1024 linkdown\n",
        );
        assert_eq!((is_replaced(&found[0]), is_replaced(&found[1])), (true, false));
    }

    #[test]
    fn a_network_is_the_same_bits_in_the_same_length() {
        let address = |text: &str, prefix| Address {
            addr: text.parse().unwrap(),
            prefix,
            is_secondary: true,
            label: None,
        };
        let one = address("192.0.2.1", 24);
        assert!(is_same_network(&one, &address("192.0.2.200", 24)));
        assert!(!is_same_network(&one, &address("192.0.2.200", 25)));
        assert!(!is_same_network(&one, &address("192.0.3.1", 24)));
        assert!(!is_same_network(&one, &address("2001:db8::1", 24)));
        assert!(is_same_network(&address("1.0.0.0", 0), &address("2.0.0.0", 0)));
    }
}
