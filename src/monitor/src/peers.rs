//! When a peer that is not heard any more is forgotten (src/monitor/README.md, Beating and loss).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{NodeMonitorStatus, NodeName};

/// A peer to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    /// The peer.
    pub peer: NodeName,
    /// It said that it is shutting down: its loss is no split.
    pub was_shutting: bool,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// Peers to forget.
    pub forget: Vec<Forget>,
    /// When to look again at the latest: a grace ends.
    pub look_after: Option<Duration>,
}

/// What an rx says of a peer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sign {
    /// It is heard.
    Beating,
    /// It was not heard in time.
    Stale,
    /// The rx was stopped: that says nothing of the peer. Deployed agents judge nobody by it either (seen: 30 s after the
    /// only rx was stopped, all peers and their instances were still there).
    Stopped,
    /// The configuration took the peer from this rx, or the rx away. Whoever is heard nowhere else has this long to be
    /// heard by what came instead.
    Ended {
        /// The timeout of the heartbeat.
        grace: Duration,
    },
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Peer {
    /// Heartbeats whose rx has it beating.
    heard_on: BTreeSet<Box<str>>,
    /// Heard since the start, or since it was forgotten: there is something to forget.
    is_known: bool,
    /// Since when it is silent: no rx has it beating, and one that should had it stale.
    silent_since: Option<Duration>,
}

/// The peers as the rx workers hear them.
///
/// Times are durations since any fixed moment: a clock that is set changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Peers {
    peers: BTreeMap<NodeName, Peer>,
}

impl Peers {
    /// The flag of a peer on one rx changed. A peer that one rx hears is not lost, whatever the others do.
    pub fn on_sign(&mut self, now: Duration, hb: &str, peer: &NodeName, sign: Sign) {
        if sign != Sign::Beating && !self.peers.contains_key(peer) {
            return;
        }
        let peer = self.peers.entry(peer.clone()).or_default();
        if sign == Sign::Beating {
            peer.heard_on.insert(hb.into());
            peer.is_known = true;
            peer.silent_since = None;
        } else if peer.heard_on.remove(hb) && peer.heard_on.is_empty() {
            peer.silent_since = match sign {
                Sign::Beating | Sign::Stopped => None,
                Sign::Stale => Some(now),
                Sign::Ended { grace } => Some(now + grace),
            };
        }
    }

    /// Nodes that left the cluster are nobody's peers any more: their data is dropped by whoever took them out.
    pub fn retain(&mut self, is_member: impl Fn(&NodeName) -> bool) {
        self.peers.retain(|peer, _| is_member(peer));
    }

    /// Whether some rx has the peer beating.
    #[must_use]
    pub fn is_heard(&self, peer: &NodeName) -> bool {
        self.peers.get(peer).is_some_and(|peer| !peer.heard_on.is_empty())
    }

    /// Whether all that is known of these nodes comes by a heartbeat that is not one of `others`.
    #[must_use]
    pub fn is_all_heard_beside(
        &self,
        nodes: &BTreeSet<NodeName>,
        others: &BTreeSet<Box<str>>,
    ) -> bool {
        let is_heard = |peer: &Peer| peer.heard_on.iter().any(|hb| !others.contains(hb));
        let known = self.peers.iter().filter(|(name, peer)| peer.is_known && nodes.contains(*name));
        known.into_iter().all(|(_, peer)| is_heard(peer))
    }

    /// Decides whom to forget. `grace` is `node.maintenance_grace_period`; `last_words` tells the status of the node monitor
    /// of a peer, as it was heard last.
    ///
    /// The grace counts from the silence. Deployed agents count from when the peer announced its maintenance, by its
    /// clock, some 20 s before: where the clocks differ by as much as the grace, they take over what still runs there.
    pub fn decide(
        &mut self,
        now: Duration,
        grace: Duration,
        last_words: impl Fn(&NodeName) -> Option<NodeMonitorStatus>,
    ) -> Decision {
        let mut decision = Decision::default();
        for (name, peer) in &mut self.peers {
            let Some(silent_since) = peer.silent_since.filter(|_| peer.is_known) else { continue };
            let status = last_words(name);
            let kept = match &status {
                Some(NodeMonitorStatus::Maintenance | NodeMonitorStatus::Upgrade) => {
                    (silent_since + grace).saturating_sub(now)
                }
                _ => Duration::ZERO,
            };
            // In the future only after a change of the configuration, see `Sign::Ended`.
            let left = kept.max(silent_since.saturating_sub(now));
            if !left.is_zero() {
                let sooner = decision.look_after.map_or(left, |other: Duration| other.min(left));
                decision.look_after = Some(sooner);
                continue;
            }
            *peer = Peer::default();
            let was_shutting = status == Some(NodeMonitorStatus::Shutting);
            decision.forget.push(Forget { peer: name.clone(), was_shutting });
        }
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    fn words(status: &str) -> impl Fn(&NodeName) -> Option<NodeMonitorStatus> {
        let status: NodeMonitorStatus = status.into();
        move |_| Some(status.clone())
    }

    fn forget(peer: &str, was_shutting: bool) -> Decision {
        let forget = vec![Forget { peer: node(peer), was_shutting }];
        Decision { forget, look_after: None }
    }

    fn wait(seconds: u64) -> Decision {
        Decision { forget: vec![], look_after: Some(Duration::from_secs(seconds)) }
    }

    fn silent(since: u64) -> Peers {
        let mut peers = Peers::default();
        peers.on_sign(at(0), "hb#1", &node("n2"), Sign::Beating);
        peers.on_sign(at(since), "hb#1", &node("n2"), Sign::Stale);
        peers
    }

    #[test]
    fn a_peer_is_forgotten_once_when_the_last_rx_loses_it() {
        let mut peers = Peers::default();
        peers.on_sign(at(0), "hb#1", &node("n2"), Sign::Beating);
        peers.on_sign(at(0), "hb#2", &node("n2"), Sign::Beating);
        peers.on_sign(at(20), "hb#1", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(20), GRACE, words("idle")), Decision::default());
        assert!(peers.is_heard(&node("n2")));
        peers.on_sign(at(21), "hb#2", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(21), GRACE, words("idle")), forget("n2", false));
        assert_eq!(peers.decide(at(22), GRACE, words("idle")), Decision::default());
        peers.on_sign(at(30), "hb#2", &node("n2"), Sign::Beating);
        peers.on_sign(at(50), "hb#2", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(50), GRACE, words("idle")), forget("n2", false));
    }

    #[test]
    fn who_was_never_heard_is_not_forgotten() {
        let mut peers = Peers::default();
        peers.on_sign(at(0), "hb#1", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(1), GRACE, words("idle")), Decision::default());
    }

    #[test]
    fn a_peer_that_shuts_down_is_forgotten_without_a_split() {
        assert_eq!(silent(9).decide(at(9), GRACE, words("shutting")), forget("n2", true));
        assert_eq!(silent(9).decide(at(9), GRACE, |_| None), forget("n2", false));
    }

    #[test]
    fn maintenance_and_upgrade_keep_a_peer_for_the_grace() {
        for status in ["maintenance", "upgrade"] {
            let mut peers = silent(20);
            assert_eq!(peers.decide(at(20), GRACE, words(status)), wait(60));
            assert_eq!(peers.decide(at(79), GRACE, words(status)), wait(1));
            assert_eq!(peers.decide(at(80), GRACE, words(status)), forget("n2", false));
        }
        let mut back = silent(20);
        back.on_sign(at(30), "hb#1", &node("n2"), Sign::Beating);
        assert_eq!(back.decide(at(90), GRACE, words("maintenance")), Decision::default());
    }

    #[test]
    fn a_receiver_that_is_stopped_says_nothing_of_its_peers() {
        let mut peers = Peers::default();
        peers.on_sign(at(0), "hb#1", &node("n2"), Sign::Beating);
        peers.on_sign(at(9), "hb#1", &node("n2"), Sign::Stopped);
        assert_eq!(peers.decide(at(900), GRACE, words("idle")), Decision::default());
        assert!(!peers.is_heard(&node("n2")));
        peers.on_sign(at(901), "hb#1", &node("n2"), Sign::Beating);
        peers.on_sign(at(950), "hb#1", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(950), GRACE, words("idle")), forget("n2", false));
    }

    #[test]
    fn who_was_heard_by_what_is_taken_away_has_a_while_to_be_heard_by_what_comes() {
        let mut ended = Peers::default();
        ended.on_sign(at(0), "hb#1", &node("n2"), Sign::Beating);
        ended.on_sign(at(9), "hb#1", &node("n2"), Sign::Ended { grace: Duration::from_secs(15) });
        assert_eq!(ended.decide(at(9), GRACE, words("idle")), wait(15));
        assert_eq!(ended.clone().decide(at(24), GRACE, words("idle")), forget("n2", false));
        assert_eq!(ended.clone().decide(at(24), GRACE, words("upgrade")), wait(60));
        ended.on_sign(at(10), "hb#2", &node("n2"), Sign::Beating);
        assert_eq!(ended.decide(at(90), GRACE, words("idle")), Decision::default());
        // Two heartbeats: only the last that is taken away matters.
        ended.on_sign(at(91), "hb#3", &node("n2"), Sign::Beating);
        ended.on_sign(at(92), "hb#2", &node("n2"), Sign::Ended { grace: Duration::from_secs(15) });
        assert_eq!(ended.decide(at(200), GRACE, words("idle")), Decision::default());
    }

    #[test]
    fn a_heartbeat_is_needed_while_a_known_peer_is_heard_by_no_other() {
        let old = BTreeSet::from(["hb#1.previous".into()]);
        let nodes = BTreeSet::from([node("n1"), node("n2"), node("n3")]);
        let mut peers = Peers::default();
        assert!(peers.is_all_heard_beside(&nodes, &old), "nobody is known");
        peers.on_sign(at(0), "hb#1.previous", &node("n2"), Sign::Beating);
        peers.on_sign(at(0), "hb#1.previous", &node("n4"), Sign::Beating);
        assert!(!peers.is_all_heard_beside(&nodes, &old));
        peers.on_sign(at(1), "hb#1", &node("n2"), Sign::Beating);
        assert!(peers.is_all_heard_beside(&nodes, &old), "n4 takes no part");
        peers.on_sign(
            at(2),
            "hb#1.previous",
            &node("n2"),
            Sign::Ended { grace: Duration::from_secs(1) },
        );
        peers.on_sign(at(2), "hb#1", &node("n2"), Sign::Stopped);
        assert!(!peers.is_all_heard_beside(&nodes, &old), "known, and not heard");
        peers.on_sign(at(2), "hb#1", &node("n2"), Sign::Beating);
        peers.on_sign(at(3), "hb#1", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(3), GRACE, words("idle")), forget("n2", false));
        assert!(peers.is_all_heard_beside(&nodes, &old), "forgotten");
    }

    #[test]
    fn nodes_that_left_are_nobody() {
        let mut peers = silent(20);
        peers.retain(|peer| *peer != node("n2"));
        assert_eq!(peers, Peers::default());
    }
}
