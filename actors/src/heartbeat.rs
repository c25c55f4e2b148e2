//! Heartbeats: what nodes tell each other, over any number of drivers (actors/README.md, The life of a heartbeat).
//!
//! Each section `hb#n` has two workers, `hb#n.tx` and `hb#n.rx`, both a [`Worker`], on a thread that runs nothing else:
//! what blocks (opening large messages, disks) is done elsewhere. A driver is an `async fn` that carries bytes: a
//! transmitter gets the newest `Beat`, a receiver hands frames to the `Inbox`; both tell their worker what happened
//! (`Note`), and return only when they cannot go on.
//!
//! Hears: the cluster data (what is to be sent), peers, changes of its section. Tells: the cluster data (what was heard,
//! events), the membership (who beats), the root (its block), the blacklist keeper (what did not open).
//! A section that is replaced by one on another medium, or removed, goes on under the name `hb#n.previous` until all peers
//! have the configuration and are heard by what came instead (`monitor::Retiring`).
//! Restart: always; what is known of the peers is kept, connections are made again.

mod beat;
mod board;
mod disk;
mod inbox;
mod multicast;
mod note;
mod relay;
#[cfg(test)]
mod testing;
mod unicast;
mod worker;

use std::sync::Arc;

use actix::prelude::*;
use conf::{HeartbeatSettings, NodeSettings};
use model::NodeName;
use wire::Kind;

use crate::blacklist_keeper::{BlacklistView, Invalid, Valid};
use crate::cluster_data::{Emit, HeartbeatHeard, SnapshotCell, WatchOutgoing};
use crate::connection::{ClassicMemory, GateCell, Shared, Unopened};
use crate::freshness::Freshness;
use crate::membership;
use crate::peer::AskPeer;
use crate::root::ThreadReport;
use crate::routes::Routes;
use crate::secret_keeper::{NotUnderstood, SecretUseCell};
use crate::supervision::ChildId;

pub use worker::Worker;

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
            Self::Tx => "tx",
            Self::Rx => "rx",
        }
    }
}

/// The settings of a section took these values: the worker goes on with them, keeping what it knows of its peers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Reconfigure(pub Arc<Section>);

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
    pub fn id(&self, direction: Direction) -> ChildId {
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
    fn kind(&self) -> Kind {
        if self.settings.kind == "relay" { Kind::Slot } else { Kind::Heartbeat }
    }

    /// A keyword of its driver.
    fn keyword(&self, name: &str) -> Option<&str> {
        self.settings.keywords.get(name).map(String::as_str)
    }

    /// Keyword `port`, 10000 by default.
    fn port(&self) -> u16 {
        self.keyword("port").and_then(|port| port.parse().ok()).unwrap_or(10_000)
    }
}

/// Whom the workers know.
#[derive(Clone)]
pub struct Ties {
    /// Names and keys.
    pub gate: GateCell,
    /// The sealed messages heard lately.
    pub freshness: Arc<Freshness>,
    /// What is remembered of the classic dialect.
    pub classic: Arc<ClassicMemory>,
    /// The memory of messages that are on their way, shared with the listener.
    pub unopened: Arc<Unopened>,
    /// What came in datagrams and is no message yet.
    fragments: Arc<multicast::Fragments>,
    /// Who is known, and whose messages wait their turn.
    pub blacklist: Arc<BlacklistView>,
    /// Counts what did not open.
    pub invalid: Recipient<Invalid>,
    /// Forgives who sends what opens.
    pub valid: Recipient<Valid>,
    /// Which dialect peers say they speak.
    pub snapshot: SnapshotCell,
    /// Says what is to be sent.
    pub watch: Recipient<WatchOutgoing>,
    /// Takes what was heard.
    pub heard: Recipient<HeartbeatHeard>,
    /// Tells events.
    pub emit: Recipient<Emit>,
    /// Decides who is lost.
    pub membership: Recipient<membership::Beat>,
    /// Asks a peer whose messages come late, or from a clock that is off, for a proof that it is there.
    pub ask: Recipient<AskPeer>,
    /// What the secret before the one in force opens.
    pub secret_use: SecretUseCell,
    /// Told of members whose messages do not open.
    pub not_understood: Recipient<NotUnderstood>,
    /// Shows the blocks.
    pub root: Recipient<ThreadReport>,
}

impl std::fmt::Debug for Ties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ties(..)")
    }
}

impl Ties {
    /// The actors of a daemon.
    #[must_use]
    pub fn new(routes: &Routes, shared: &Shared) -> Self {
        Self {
            gate: routes.gate.clone(),
            freshness: shared.freshness.clone(),
            classic: routes.classic.clone(),
            unopened: shared.unopened.clone(),
            fragments: Arc::default(),
            blacklist: routes.blacklist.view.clone(),
            invalid: routes.blacklist.keeper.clone().recipient(),
            valid: routes.blacklist.keeper.clone().recipient(),
            snapshot: routes.snapshot.clone(),
            watch: routes.cluster_data.clone().recipient(),
            heard: routes.cluster_data.clone().recipient(),
            emit: routes.cluster_data.clone().recipient(),
            membership: routes.membership.clone().recipient(),
            ask: routes.peers.clone().recipient(),
            secret_use: routes.secret_use.clone(),
            not_understood: routes.secrets.clone().recipient(),
            root: routes.root.clone().recipient(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::node;
    use super::*;

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
