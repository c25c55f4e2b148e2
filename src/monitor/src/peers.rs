//! When a peer that is not heard any more is forgotten (cluster.md §e, loss of a peer).

use std::collections::{BTreeMap, BTreeSet};

use model::{NodeMonitorStatus, NodeName, Timestamp};

/// What a peer last said of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LastWords {
    /// Status of its node monitor; none when nothing was heard of it.
    pub status: Option<NodeMonitorStatus>,
    /// When it entered that status, by its clock.
    pub status_updated: Timestamp,
}

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
    /// When to look again at the latest, in seconds: a grace ends.
    pub look_after: Option<f64>,
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
        /// Seconds; the timeout of the heartbeat.
        grace_seconds: f64,
    },
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Peer {
    /// Heartbeats whose rx has it beating.
    heard_on: BTreeSet<Box<str>>,
    /// Heard since the start, or since it was forgotten: there is something to forget.
    is_known: bool,
    /// Since when it is silent: no rx has it beating, and one that should had it stale.
    silent_since: Option<Timestamp>,
}

/// The peers as the rx workers hear them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Peers {
    peers: BTreeMap<NodeName, Peer>,
}

impl Peers {
    /// The flag of a peer on one rx changed. A peer that one rx hears is not lost, whatever the others do.
    pub fn on_sign(&mut self, now: Timestamp, hb: &str, peer: &NodeName, sign: Sign) {
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
                Sign::Ended { grace_seconds } => Some(now.plus(grace_seconds)),
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

    /// Decides whom to forget. `grace_seconds` is `node.maintenance_grace_period`.
    ///
    /// The grace counts from when the peer announced its maintenance, as in deployed agents, but at most from when it
    /// was heard last: a peer whose clock runs ahead is not kept for longer.
    pub fn decide(
        &mut self,
        now: Timestamp,
        grace_seconds: f64,
        last_words: impl Fn(&NodeName) -> LastWords,
    ) -> Decision {
        let mut decision = Decision::default();
        for (name, peer) in &mut self.peers {
            let Some(silent_since) = peer.silent_since.filter(|_| peer.is_known) else { continue };
            let words = last_words(name);
            let kept = match &words.status {
                Some(NodeMonitorStatus::Maintenance | NodeMonitorStatus::Upgrade) => {
                    let from_words = grace_seconds - now.since(words.status_updated);
                    from_words.min(grace_seconds - now.since(silent_since))
                }
                _ => 0.0,
            };
            // In the future only after a change of the configuration, see `Sign::Ended`.
            let left = kept.max(silent_since.since(now));
            if left > 0.0 {
                let sooner = decision.look_after.map_or(left, |other: f64| other.min(left));
                decision.look_after = Some(sooner);
                continue;
            }
            *peer = Peer::default();
            let was_shutting = words.status == Some(NodeMonitorStatus::Shutting);
            decision.forget.push(Forget { peer: name.clone(), was_shutting });
        }
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: f64 = 60.0;
    const T: f64 = 1_795_363_986.0;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp(T + seconds)
    }

    fn words(status: &str, seconds: f64) -> impl Fn(&NodeName) -> LastWords {
        let status: NodeMonitorStatus = status.into();
        move |_| LastWords { status: Some(status.clone()), status_updated: at(seconds) }
    }

    fn forget(peer: &str, was_shutting: bool) -> Decision {
        let forget = vec![Forget { peer: node(peer), was_shutting }];
        Decision { forget, look_after: None }
    }

    fn wait(seconds: f64) -> Decision {
        Decision { forget: vec![], look_after: Some(seconds) }
    }

    fn silent(since: f64) -> Peers {
        let mut peers = Peers::default();
        peers.on_sign(at(0.0), "hb#1", &node("n2"), Sign::Beating);
        peers.on_sign(at(since), "hb#1", &node("n2"), Sign::Stale);
        peers
    }

    #[test]
    fn a_peer_is_forgotten_once_when_the_last_rx_loses_it() {
        let mut peers = Peers::default();
        peers.on_sign(at(0.0), "hb#1", &node("n2"), Sign::Beating);
        peers.on_sign(at(0.0), "hb#2", &node("n2"), Sign::Beating);
        peers.on_sign(at(20.0), "hb#1", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(20.0), GRACE, words("idle", 0.0)), Decision::default());
        assert!(peers.is_heard(&node("n2")));
        peers.on_sign(at(21.0), "hb#2", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(21.0), GRACE, words("idle", 0.0)), forget("n2", false));
        assert_eq!(peers.decide(at(22.0), GRACE, words("idle", 0.0)), Decision::default());
        peers.on_sign(at(30.0), "hb#2", &node("n2"), Sign::Beating);
        peers.on_sign(at(50.0), "hb#2", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(50.0), GRACE, words("idle", 0.0)), forget("n2", false));
    }

    #[test]
    fn who_was_never_heard_is_not_forgotten() {
        let mut peers = Peers::default();
        peers.on_sign(at(0.0), "hb#1", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(1.0), GRACE, words("idle", 0.0)), Decision::default());
    }

    #[test]
    fn a_peer_that_shuts_down_is_forgotten_without_a_split() {
        assert_eq!(silent(9.0).decide(at(9.0), GRACE, words("shutting", 0.0)), forget("n2", true));
        let nothing = |_: &NodeName| LastWords::default();
        assert_eq!(silent(9.0).decide(at(9.0), GRACE, nothing), forget("n2", false));
    }

    #[test]
    fn maintenance_and_upgrade_keep_a_peer_for_the_grace() {
        for status in ["maintenance", "upgrade"] {
            let mut peers = silent(20.0);
            assert_eq!(peers.decide(at(20.0), GRACE, words(status, 5.0)), wait(45.0));
            assert_eq!(peers.decide(at(64.0), GRACE, words(status, 5.0)), wait(1.0));
            assert_eq!(peers.decide(at(65.0), GRACE, words(status, 5.0)), forget("n2", false));
        }
        let mut back = silent(20.0);
        back.on_sign(at(30.0), "hb#1", &node("n2"), Sign::Beating);
        assert_eq!(back.decide(at(90.0), GRACE, words("maintenance", 5.0)), Decision::default());
    }

    #[test]
    fn a_clock_that_runs_ahead_does_not_lengthen_the_grace() {
        let mut peers = silent(20.0);
        assert_eq!(peers.decide(at(20.0), GRACE, words("maintenance", 3_600.0)), wait(60.0));
        let ahead = words("maintenance", 3_600.0);
        assert_eq!(peers.decide(at(80.0), GRACE, ahead), forget("n2", false));
    }

    #[test]
    fn a_receiver_that_is_stopped_says_nothing_of_its_peers() {
        let mut peers = Peers::default();
        peers.on_sign(at(0.0), "hb#1", &node("n2"), Sign::Beating);
        peers.on_sign(at(9.0), "hb#1", &node("n2"), Sign::Stopped);
        assert_eq!(peers.decide(at(900.0), GRACE, words("idle", 0.0)), Decision::default());
        assert!(!peers.is_heard(&node("n2")));
        peers.on_sign(at(901.0), "hb#1", &node("n2"), Sign::Beating);
        peers.on_sign(at(950.0), "hb#1", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(950.0), GRACE, words("idle", 0.0)), forget("n2", false));
    }

    #[test]
    fn who_was_heard_by_what_is_taken_away_has_a_while_to_be_heard_by_what_comes() {
        let mut ended = Peers::default();
        ended.on_sign(at(0.0), "hb#1", &node("n2"), Sign::Beating);
        ended.on_sign(at(9.0), "hb#1", &node("n2"), Sign::Ended { grace_seconds: 15.0 });
        assert_eq!(ended.decide(at(9.0), GRACE, words("idle", 0.0)), wait(15.0));
        assert_eq!(ended.clone().decide(at(24.0), GRACE, words("idle", 0.0)), forget("n2", false));
        assert_eq!(ended.clone().decide(at(24.0), GRACE, words("upgrade", 0.0)), wait(36.0));
        ended.on_sign(at(10.0), "hb#2", &node("n2"), Sign::Beating);
        assert_eq!(ended.decide(at(90.0), GRACE, words("idle", 0.0)), Decision::default());
        // Two heartbeats: only the last that is taken away matters.
        ended.on_sign(at(91.0), "hb#3", &node("n2"), Sign::Beating);
        ended.on_sign(at(92.0), "hb#2", &node("n2"), Sign::Ended { grace_seconds: 15.0 });
        assert_eq!(ended.decide(at(200.0), GRACE, words("idle", 0.0)), Decision::default());
    }

    #[test]
    fn a_heartbeat_is_needed_while_a_known_peer_is_heard_by_no_other() {
        let old = BTreeSet::from(["hb#1.previous".into()]);
        let nodes = BTreeSet::from([node("n1"), node("n2"), node("n3")]);
        let mut peers = Peers::default();
        assert!(peers.is_all_heard_beside(&nodes, &old), "nobody is known");
        peers.on_sign(at(0.0), "hb#1.previous", &node("n2"), Sign::Beating);
        peers.on_sign(at(0.0), "hb#1.previous", &node("n4"), Sign::Beating);
        assert!(!peers.is_all_heard_beside(&nodes, &old));
        peers.on_sign(at(1.0), "hb#1", &node("n2"), Sign::Beating);
        assert!(peers.is_all_heard_beside(&nodes, &old), "n4 takes no part");
        peers.on_sign(at(2.0), "hb#1.previous", &node("n2"), Sign::Ended { grace_seconds: 1.0 });
        peers.on_sign(at(2.0), "hb#1", &node("n2"), Sign::Stopped);
        assert!(!peers.is_all_heard_beside(&nodes, &old), "known, and not heard");
        peers.on_sign(at(2.0), "hb#1", &node("n2"), Sign::Beating);
        peers.on_sign(at(3.0), "hb#1", &node("n2"), Sign::Stale);
        assert_eq!(peers.decide(at(3.0), GRACE, words("idle", 0.0)), forget("n2", false));
        assert!(peers.is_all_heard_beside(&nodes, &old), "forgotten");
    }

    #[test]
    fn nodes_that_left_are_nobody() {
        let mut peers = silent(20.0);
        peers.retain(|peer| *peer != node("n2"));
        assert_eq!(peers, Peers::default());
    }
}
