//! Which peers beat, for one direction of one heartbeat (cluster.md §b).

use std::collections::BTreeMap;
use std::time::Duration;

use model::{NodeName, Timestamp};

/// A look that comes later than this part of the timeout says that this process stood still (paused, swapped out): the
/// silence is its own then. Stale peers are promised to be noticed within the same tenth.
const LATE: u32 = 10;

/// Part of the timeout that peers get after the process stood still: what they sent meanwhile waits in the sockets.
const EXCUSE: u32 = 4;

/// What is known of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pulse {
    /// Time of the last beat, as `daemon_status` shows it; never, before the first.
    pub last: Timestamp,
    /// Whether it was heard in time.
    pub is_beating: bool,
    /// When it becomes stale, unless it is heard before.
    deadline: Duration,
    is_excused: bool,
}

/// The peers of one direction (tx or rx) of one heartbeat.
///
/// Times are durations since any fixed moment: a clock that is set changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Beating {
    timeout: Duration,
    peers: BTreeMap<NodeName, Pulse>,
}

impl Beating {
    /// Peers that were never heard. `timeout`: silence that makes one stale, keyword `hb#n.timeout`.
    pub fn new(timeout: Duration, peers: impl IntoIterator<Item = NodeName>) -> Self {
        let peers = peers.into_iter().map(|peer| (peer, Pulse::default())).collect();
        Self { timeout, peers }
    }

    /// Takes new settings over. Peers that stay keep what is known of them, a shorter timeout counts from their last
    /// beat. Returns those that went while they were beating.
    pub fn reconfigure(
        &mut self,
        timeout: Duration,
        peers: impl IntoIterator<Item = NodeName>,
    ) -> Vec<NodeName> {
        let mut old = std::mem::replace(self, Self::new(timeout, peers));
        for (peer, pulse) in &mut self.peers {
            if let Some(known) = old.peers.remove(peer) {
                *pulse = known;
                pulse.deadline = known.deadline.saturating_sub(old.timeout) + timeout;
            }
        }
        old.peers.into_iter().filter(|(_, pulse)| pulse.is_beating).map(|(peer, _)| peer).collect()
    }

    /// A peer was heard, at `at` by the clock. True: it was not beating before. None: it does not take part.
    pub fn on_beat(&mut self, now: Duration, at: Timestamp, peer: &NodeName) -> Option<bool> {
        let pulse = self.peers.get_mut(peer)?;
        let was_beating = pulse.is_beating;
        let deadline = now + self.timeout;
        *pulse = Pulse { last: at, is_beating: true, deadline, is_excused: false };
        Some(!was_beating)
    }

    /// Looks for peers that were not heard in time, and returns those that just became stale.
    pub fn on_look(&mut self, now: Duration) -> Vec<NodeName> {
        let late = self.timeout / LATE;
        let stood_still = self.next_look().is_some_and(|planned| now > planned + late);
        let mut stale = vec![];
        for (peer, pulse) in &mut self.peers {
            if !pulse.is_beating || now < pulse.deadline {
                continue;
            }
            // Once per silence: a process that is always late still notices.
            if stood_still && !std::mem::replace(&mut pulse.is_excused, true) {
                pulse.deadline = now + self.timeout / EXCUSE;
                continue;
            }
            pulse.is_beating = false;
            stale.push(peer.clone());
        }
        stale
    }

    /// When to look next; none while nobody beats.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        let beating = self.peers.values().filter(|pulse| pulse.is_beating);
        beating.map(|pulse| pulse.deadline).min()
    }

    /// The worker stops: nobody beats any more. Returns those that did.
    pub fn on_stop(&mut self) -> Vec<NodeName> {
        let mut stopped = vec![];
        for (peer, pulse) in &mut self.peers {
            if std::mem::take(&mut pulse.is_beating) {
                stopped.push(peer.clone());
            }
        }
        stopped
    }

    /// The peers.
    #[must_use]
    pub fn peers(&self) -> &BTreeMap<NodeName, Pulse> {
        &self.peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn beating() -> Beating {
        Beating::new(TIMEOUT, [node("n2"), node("n3")])
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp(1_000.0 + seconds)
    }

    #[test]
    fn a_peer_beats_from_its_first_message_until_it_is_silent_for_the_timeout() {
        let mut it = beating();
        assert_eq!((it.next_look(), it.on_look(s(100.0))), (None, vec![]), "never heard");
        assert_eq!(it.on_beat(s(100.0), at(0.0), &node("n2")), Some(true));
        assert_eq!(it.on_beat(s(101.0), at(1.0), &node("n2")), Some(false));
        assert_eq!(it.on_beat(s(101.0), at(1.0), &node("n9")), None);
        assert_eq!(it.next_look(), Some(s(111.0)));
        assert_eq!(it.on_look(s(110.999)), []);
        assert!(it.peers()[&node("n2")].is_beating);
        assert_eq!(it.on_look(s(111.0)), [node("n2")]);
        assert_eq!((it.on_look(s(120.0)), it.next_look()), (vec![], None), "told once");
        let pulse = it.peers()[&node("n2")];
        assert_eq!((pulse.last, pulse.is_beating), (at(1.0), false));
        assert_eq!(it.on_beat(s(130.0), at(30.0), &node("n2")), Some(true));
    }

    #[test]
    fn a_process_that_stood_still_listens_a_moment_before_it_judges() {
        let mut it = beating();
        _ = it.on_beat(s(0.0), at(0.0), &node("n2"));
        _ = it.on_beat(s(0.0), at(0.0), &node("n3"));
        assert_eq!(it.on_look(s(60.0)), [], "50 s late");
        assert_eq!(it.next_look(), Some(s(62.5)));
        assert_eq!(it.on_beat(s(60.1), at(60.1), &node("n3")), Some(false));
        assert_eq!(it.on_look(s(62.5)), [node("n2")]);
        assert_eq!(it.on_look(s(70.1)), [node("n3")]);
        // Late by a tenth is not late; and nobody is excused twice for one silence.
        _ = it.on_beat(s(100.0), at(100.0), &node("n2"));
        assert_eq!(it.clone().on_look(s(111.0)), [node("n2")]);
        assert_eq!(it.on_look(s(111.001)), []);
        assert_eq!(it.on_look(s(200.0)), [node("n2")]);
    }

    #[test]
    fn new_settings_keep_what_is_known_and_drop_who_left() {
        let mut it = beating();
        _ = it.on_beat(s(1.0), at(1.0), &node("n2"));
        _ = it.on_beat(s(2.0), at(2.0), &node("n3"));
        assert_eq!(it.reconfigure(s(3.0), [node("n2"), node("n4")]), [node("n3")]);
        assert_eq!(it.next_look(), Some(s(4.0)));
        assert_eq!(it.peers().keys().cloned().collect::<Vec<_>>(), [node("n2"), node("n4")]);
        assert_eq!(it.reconfigure(s(30.0), [node("n2")]), []);
        assert_eq!(it.next_look(), Some(s(31.0)));
        assert_eq!(it.on_stop(), [node("n2")]);
        assert_eq!((it.on_stop(), it.next_look()), (vec![], None));
    }
}
