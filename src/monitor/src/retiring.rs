//! When a heartbeat that the configuration no longer has may end.
//!
//! A change of a heartbeat reaches the other nodes by the heartbeats. A node that left the old one at once would be deaf
//! and mute before they know: lost for them, and they for it, with services started twice. Deployed agents do that (seen:
//! `type` changed on one of three, its service started again elsewhere 24 s later).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::NodeName;

use crate::Peers;

/// A heartbeat that goes on although the configuration no longer has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RetiringHeartbeat {
    /// Who takes part in it.
    pub nodes: BTreeSet<NodeName>,
    /// Its timeout: how long it goes on once nobody needs it, so that the peers get to the same conclusion.
    pub overlap_seconds: f64,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    heartbeat: RetiringHeartbeat,
    unneeded_since: Option<Duration>,
}

/// The heartbeats that retire.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Retiring {
    entries: BTreeMap<Box<str>, Entry>,
}

impl Retiring {
    /// These retire, and no others.
    pub fn set(&mut self, heartbeats: BTreeMap<Box<str>, RetiringHeartbeat>) {
        let mut old = std::mem::take(&mut self.entries);
        let entry = |(name, heartbeat): (Box<str>, RetiringHeartbeat)| {
            let unneeded_since = old.remove(&name).and_then(|entry| entry.unneeded_since);
            (name, Entry { heartbeat, unneeded_since })
        };
        self.entries = heartbeats.into_iter().map(entry).collect();
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Those that may end: all known peers were heard by heartbeats that stay, and had the configuration that this node
    /// has (`has_config`), for long enough. They are told once.
    pub fn decide(
        &mut self,
        now: Duration,
        peers: &Peers,
        has_config: impl Fn(&NodeName) -> bool,
    ) -> Vec<Box<str>> {
        let names: BTreeSet<Box<str>> = self.entries.keys().cloned().collect();
        let mut over = vec![];
        for (name, entry) in &mut self.entries {
            let nodes = &entry.heartbeat.nodes;
            let is_needed = !peers.is_all_heard_beside(nodes, &names)
                || nodes.iter().any(|node| peers.is_heard(node) && !has_config(node));
            if is_needed {
                entry.unneeded_since = None;
                continue;
            }
            let since = *entry.unneeded_since.get_or_insert(now);
            if now.saturating_sub(since).as_secs_f64() >= entry.heartbeat.overlap_seconds {
                over.push(name.clone());
            }
        }
        for name in &over {
            self.entries.remove(name);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sign;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(1_000.0 + seconds)
    }

    fn retiring() -> BTreeMap<Box<str>, RetiringHeartbeat> {
        let nodes = BTreeSet::from([node("n1"), node("n2"), node("n3")]);
        let heartbeat = RetiringHeartbeat { nodes, overlap_seconds: 15.0 };
        BTreeMap::from([("hb#1.previous".into(), heartbeat)])
    }

    fn all(_: &NodeName) -> bool {
        true
    }

    #[test]
    fn a_heartbeat_retires_once_the_peers_are_heard_by_another_and_have_the_configuration() {
        let mut it = Retiring::default();
        assert!(it.is_empty());
        it.set(retiring());
        let mut peers = Peers::default();
        for peer in ["n2", "n3"] {
            peers.on_sign(
                Duration::from_secs_f64(0.0),
                "hb#1.previous",
                &node(peer),
                Sign::Beating,
            );
        }
        assert_eq!(it.decide(at(100.0), &peers, all), []);
        peers.on_sign(Duration::from_secs_f64(100.0), "hb#1", &node("n2"), Sign::Beating);
        assert_eq!(it.decide(at(200.0), &peers, all), [], "n3 is heard by nothing else");
        peers.on_sign(Duration::from_secs_f64(200.0), "hb#1", &node("n3"), Sign::Beating);
        let without_n3 = |peer: &NodeName| *peer != node("n3");
        assert_eq!(it.decide(at(300.0), &peers, without_n3), [], "n3 does not know yet");
        assert_eq!(it.decide(at(300.0), &peers, all), []);
        assert_eq!(it.decide(at(314.9), &peers, all), []);
        // A peer that is lost by the new one meanwhile: the old one is needed again.
        peers.on_sign(Duration::from_secs_f64(314.9), "hb#1", &node("n3"), Sign::Stale);
        assert_eq!(it.decide(at(315.0), &peers, all), []);
        peers.on_sign(Duration::from_secs_f64(316.0), "hb#1", &node("n3"), Sign::Beating);
        assert_eq!(it.decide(at(316.0), &peers, all), []);
        it.set(retiring());
        assert_eq!(it.decide(at(331.0), &peers, all), ["hb#1.previous".into()]);
        assert!(it.is_empty());
    }

    #[test]
    fn one_that_nobody_is_known_by_retires_after_the_pause() {
        let mut it = Retiring::default();
        it.set(retiring());
        let peers = Peers::default();
        assert_eq!(it.decide(at(0.0), &peers, |_| false), []);
        assert_eq!(it.decide(at(14.9), &peers, all), []);
        assert_eq!(it.decide(at(15.0), &peers, all), ["hb#1.previous".into()]);
    }
}
