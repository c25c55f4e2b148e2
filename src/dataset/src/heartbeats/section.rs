//! A section `hb#n` of the configuration: what the workers of a heartbeat take from it.

use std::sync::Arc;

use conf::{HeartbeatSettings, NodeSettings};
use model::{NodeName, thread};
use wire::Kind;

/// The id of a worker, which is that of its thread: `hb#1.tx`.
pub type WorkerId = Arc<str>;

/// Which half of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Sends.
    Tx,
    /// Receives.
    Rx,
}

impl Direction {
    /// How thread ids end.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tx => thread::TX,
            Self::Rx => thread::RX,
        }
    }
}

/// All that a worker takes from the configuration. One that is equal is no reason to touch it.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The section.
    pub settings: HeartbeatSettings,
    /// The local node.
    pub nodename: NodeName,
    /// Keyword `cluster.name`, which slots of a relay show.
    pub cluster_name: String,
    /// Keyword `cluster.id`, the key of the slots of a relay.
    pub cluster_id: String,
    /// The configuration has it no more, and it goes on until it is needed no more.
    pub is_retiring: bool,
}

impl Section {
    /// The sections that the local node takes part in.
    #[must_use]
    pub fn all(node: &NodeSettings) -> Vec<Self> {
        let takes_part = |heartbeat: &&HeartbeatSettings| heartbeat.nodes.contains(&node.nodename);
        let section = |settings: &HeartbeatSettings| Self {
            settings: settings.clone(),
            nodename: node.nodename.clone(),
            cluster_name: node.cluster_name.clone(),
            cluster_id: node.cluster_id.clone(),
            is_retiring: false,
        };
        node.heartbeats.iter().filter(takes_part).map(section).collect()
    }

    /// Thread id of one of its workers.
    #[must_use]
    pub fn id(&self, direction: Direction) -> WorkerId {
        format!("{}.{}", self.settings.name, direction.as_str()).into()
    }

    /// The other participants.
    pub fn peers(&self) -> impl Iterator<Item = &NodeName> {
        self.settings.nodes.iter().filter(|node| **node != self.nodename)
    }

    /// Whether `other` serves, in one direction, all of these members that this one serves, by the same medium.
    #[must_use]
    pub fn is_served_by(&self, other: &Self, direction: Direction, members: &[NodeName]) -> bool {
        let (ours, theirs) = (&self.settings, &other.settings);
        ours.kind == theirs.kind
            && match (ours.kind.as_str(), direction) {
                ("unicast", Direction::Tx) => self
                    .peers()
                    .filter(|peer| members.contains(peer))
                    .all(|peer| theirs.peers.get(peer) == ours.peers.get(peer)),
                ("relay", _) => {
                    ours.keywords == theirs.keywords
                        && ours.secret == theirs.secret
                        && self.cluster_id == other.cluster_id
                }
                _ => ours.keywords == theirs.keywords,
            }
    }

    /// Whether one direction of both cannot be at once: they would listen on the same port.
    #[must_use]
    pub fn excludes(&self, other: &Self, direction: Direction) -> bool {
        let is_unicast = |section: &Self| section.settings.kind == "unicast";
        direction == Direction::Rx
            && is_unicast(self)
            && is_unicast(other)
            && self.port() == other.port()
    }

    /// The same as one that retires under this name, with those participants that are still members. None: there is no
    /// peer left that could need it.
    #[must_use]
    pub fn retired(&self, name: &str, members: &[NodeName]) -> Option<Self> {
        let mut retired = Self { is_retiring: true, ..self.clone() };
        name.clone_into(&mut retired.settings.name);
        retired.settings.nodes.retain(|node| members.contains(node));
        retired.peers().next()?;
        Some(retired)
    }

    /// What its sealed frames are: one left at a relay is taken from a relay only.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.settings.kind == "relay" { Kind::Slot } else { Kind::Heartbeat }
    }

    /// A keyword of its driver.
    #[must_use]
    pub fn keyword(&self, name: &str) -> Option<&str> {
        self.settings.keywords.get(name).map(String::as_str)
    }

    /// Keyword `port`, 10000 by default.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.keyword("port").and_then(|port| port.parse().ok()).unwrap_or(10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn section(keywords: &str) -> Section {
        let text = format!("[cluster]\nname = demo\nnodes = n1 n2 n3\n[hb#1]\n{keywords}\n");
        Section::all(&NodeSettings::parse(node("n1"), &text, "").unwrap()).remove(0)
    }

    #[test]
    fn what_leaves_a_medium_is_told_from_what_stays_on_it() {
        let all = ["n1", "n2", "n3"].map(node);
        let before = section("type = unicast");
        let serves =
            |keywords: &str, direction| before.is_served_by(&section(keywords), direction, &all);
        for (keywords, tx, rx) in [
            ("type = unicast\ntimeout = 30\ninterval = 1", true, true),
            ("type = unicast\nport@n2 = 10001", false, true),
            ("type = unicast\nport@n1 = 10001", true, false),
            ("type = unicast\nport = 10001", false, false),
            ("type = unicast\nnodes = n1 n2", false, true),
            ("type = multicast", false, false),
            ("type = disk\ndev = /dev/a", false, false),
        ] {
            let served = (serves(keywords, Direction::Tx), serves(keywords, Direction::Rx));
            assert_eq!(served, (tx, rx), "{keywords}");
        }
        let two = section("type = unicast\nnodes = n1 n2");
        assert!(before.is_served_by(&two, Direction::Tx, &all[..2]), "n3 left");
        let disk = section("type = disk\ndev = /dev/a");
        let other = section("type = disk\ndev = /dev/b");
        assert!(!disk.is_served_by(&other, Direction::Rx, &all));
        assert!(disk.is_served_by(&disk.clone(), Direction::Tx, &all));
    }

    #[test]
    fn two_receivers_cannot_have_one_port() {
        let any = section("type = unicast");
        let one = section("type = unicast\naddr = 127.0.0.1");
        assert!(any.excludes(&one, Direction::Rx) && !any.excludes(&one, Direction::Tx));
        assert!(!any.excludes(&section("type = unicast\nport = 10001"), Direction::Rx));
        assert!(!any.excludes(&section("type = multicast"), Direction::Rx), "UDP");
    }

    #[test]
    fn what_retires_serves_the_members_that_are_left() {
        let before = section("type = unicast");
        let retired = before.retired("hb#1.previous", &["n1", "n3"].map(node)).unwrap();
        assert_eq!(&*retired.id(Direction::Rx), "hb#1.previous.rx");
        assert_eq!(retired.peers().collect::<Vec<_>>(), [&node("n3")]);
        assert!(retired.is_retiring && !before.is_retiring);
        assert_eq!(before.retired("hb#1.previous", &[node("n1")]), None);
    }
}
