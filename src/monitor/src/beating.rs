//! Which peers beat, for one direction of one heartbeat (src/monitor/README.md, Beating and loss).

use std::collections::BTreeMap;
use std::time::Duration;

use model::{NodeName, Timestamp};

/// Part of the timeout after which the worker looks again, whoever is due: that is how it notices that it stood still.
const LOOKS: u32 = 5;

/// A look that comes later than planned by this part of the timeout says that this process stood still (paused, swapped
/// out): the silence is its own then. Stale peers are promised to be noticed within the same tenth.
const LATE: u32 = 10;

/// Intervals that peers get after the process stood still. What they sent meanwhile waits in the sockets where it was the
/// process alone; where it was the machine, it is lost, the connections too, and the beat that is due just then with them.
const EXCUSE_INTERVALS: u32 = 2;

/// Part of the timeout that they get at least.
const LEAST_EXCUSE: u32 = 4;

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
    interval: Duration,
    /// A longer timeout that counted before, and until when it counts: the peers beat as seldom as before until the change
    /// has come to them, by these very beats.
    former: Option<(Duration, Duration)>,
    peers: BTreeMap<NodeName, Pulse>,
    /// When the worker should have run again at the latest.
    planned: Option<Duration>,
}

impl Beating {
    /// Peers that were never heard. `timeout`: silence that makes one stale, keyword `hb#n.timeout`; `interval`: how long
    /// they may be silent between two beats, keyword `hb#n.interval`.
    pub fn new(
        timeout: Duration,
        interval: Duration,
        peers: impl IntoIterator<Item = NodeName>,
    ) -> Self {
        let peers = peers.into_iter().map(|peer| (peer, Pulse::default())).collect();
        Self { timeout, interval, former: None, peers, planned: None }
    }

    /// Takes new settings over. Peers that stay keep what is known of them; a shorter timeout counts once the longer one
    /// has passed. Returns those that went while they were beating.
    pub fn reconfigure(
        &mut self,
        now: Duration,
        timeout: Duration,
        interval: Duration,
        peers: impl IntoIterator<Item = NodeName>,
    ) -> Vec<NodeName> {
        let mut old = std::mem::replace(self, Self::new(timeout, interval, peers));
        self.planned = old.planned;
        let known = old.former.filter(|(former, until)| now < *until && *former > timeout);
        let new = (timeout < old.timeout).then(|| (old.timeout, now + old.timeout));
        // Some peers may have missed both changes.
        self.former = match (known, new) {
            (Some(known), Some(new)) => Some((known.0.max(new.0), known.1.max(new.1))),
            (known, new) => known.or(new),
        };
        for (peer, pulse) in &mut self.peers {
            if let Some(known) = old.peers.remove(peer) {
                *pulse = known;
                pulse.deadline += timeout.saturating_sub(old.timeout);
            }
        }
        old.peers.into_iter().filter(|(_, pulse)| pulse.is_beating).map(|(peer, _)| peer).collect()
    }

    /// A peer was heard, at `at` by the clock. True: it was not beating before. None: it does not take part.
    pub fn on_beat(&mut self, now: Duration, at: Timestamp, peer: &NodeName) -> Option<bool> {
        self.on_run(now);
        let deadline = self.deadline(now);
        let pulse = self.peers.get_mut(peer)?;
        let was_beating = pulse.is_beating;
        *pulse = Pulse { last: at, is_beating: true, deadline, is_excused: false };
        Some(!was_beating)
    }

    /// When a peer that is heard now becomes stale.
    fn deadline(&self, now: Duration) -> Duration {
        let usual = now + self.timeout;
        self.former.map_or(usual, |(former, until)| usual.max(until.min(now + former)))
    }

    /// Looks for peers that were not heard in time, and returns those that just became stale.
    pub fn on_look(&mut self, now: Duration) -> Vec<NodeName> {
        self.on_run(now);
        let mut stale = vec![];
        for (peer, pulse) in &mut self.peers {
            if pulse.is_beating && now >= pulse.deadline {
                pulse.is_beating = false;
                stale.push(peer.clone());
            }
        }
        stale
    }

    /// The worker runs. If it stood still, those who would be stale by that are given a moment: once per silence, so that
    /// a process that is always late still notices.
    fn on_run(&mut self, now: Duration) {
        let late = self.timeout / LATE;
        let planned = self.planned.replace(now + self.timeout / LOOKS);
        if planned.is_none_or(|planned| now <= planned + late) {
            return;
        }
        let excuse = (self.interval * EXCUSE_INTERVALS).max(self.timeout / LEAST_EXCUSE);
        let until = now + excuse.min(self.timeout);
        for pulse in self.peers.values_mut().filter(|pulse| pulse.is_beating) {
            if pulse.deadline < until && !std::mem::replace(&mut pulse.is_excused, true) {
                pulse.deadline = until;
            }
        }
    }

    /// When to look next; none while nobody beats.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        let beating = self.peers.values().filter(|pulse| pulse.is_beating);
        let first = beating.map(|pulse| pulse.deadline).min()?;
        Some(self.planned.map_or(first, |planned| first.min(planned)))
    }

    /// The worker stops: nobody beats any more. Returns those that did.
    pub fn on_stop(&mut self) -> Vec<NodeName> {
        self.planned = None;
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

    /// The excuse is a fourth of the timeout then.
    const INTERVAL: Duration = Duration::from_secs(1);

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn beating() -> Beating {
        Beating::new(TIMEOUT, INTERVAL, [node("n2"), node("n3")])
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp(1_000.0 + seconds)
    }

    #[test]
    fn a_peer_beats_from_its_first_message_until_it_is_silent_for_the_timeout() {
        let mut it = beating();
        assert_eq!((it.on_look(s(100.0)), it.next_look()), (vec![], None), "never heard");
        assert_eq!(it.on_beat(s(100.0), at(0.0), &node("n2")), Some(true));
        assert_eq!(it.on_beat(s(101.0), at(1.0), &node("n2")), Some(false));
        assert_eq!(it.on_beat(s(101.0), at(1.0), &node("n9")), None);
        assert_eq!(it.next_look(), Some(s(103.0)), "to notice whether it stands still");
        for look in [103.0, 105.0, 107.0, 109.0] {
            assert_eq!(it.on_look(s(look)), []);
        }
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
        assert_eq!(it.on_look(s(10.1)), [], "planned at 2 s");
        assert_eq!(it.next_look(), Some(s(12.1)));
        assert_eq!(it.on_look(s(12.1)), []);
        assert_eq!(it.next_look(), Some(s(12.6)));
        assert_eq!(it.on_beat(s(12.2), at(12.2), &node("n3")), Some(false));
        assert_eq!(it.on_look(s(12.6)), [node("n2")]);
        // Nobody is excused twice for one silence, and late by a tenth is not late.
        assert_eq!(it.on_look(s(21.0)), [], "excused");
        assert_eq!(it.on_look(s(30.0)), [node("n3")]);
        let mut it = beating();
        _ = it.on_beat(s(0.0), at(0.0), &node("n2"));
        for look in [3.0, 6.0, 9.0] {
            assert_eq!(it.on_look(s(look)), []);
        }
        assert_eq!(it.clone().on_look(s(12.0)), [node("n2")]);
        assert_eq!(it.on_look(s(12.001)), []);
    }

    #[test]
    fn a_machine_that_stood_still_gives_its_peers_the_time_to_connect_and_to_beat() {
        // The default times: its peers beat 1.1 s after it stopped for 9 s, and 5 s and 10 s later.
        let (timeout, interval) = (s(15.0), s(5.0));
        let mut it = Beating::new(timeout, interval, [node("n2")]);
        _ = it.on_beat(s(100.0), at(0.0), &node("n2"));
        for look in [103.0, 104.0] {
            assert_eq!(it.on_look(s(look)), []);
        }
        // From 103.9 to 112.9: the beats of 105 and 110 are lost.
        for look in [112.9, 115.0, 115.1, 117.9] {
            assert_eq!(it.on_look(s(look)), [], "at {look}");
        }
        assert_eq!(it.on_beat(s(118.0), at(18.0), &node("n2")), Some(false));
        // One that is gone is noticed all the same, and not later than the timeout after.
        let mut it = Beating::new(s(3.0), s(5.0), [node("n2")]);
        _ = it.on_beat(s(0.0), at(0.0), &node("n2"));
        assert_eq!(it.on_look(s(60.0)), []);
        let mut now = s(60.0);
        while let Some(next) = it.next_look() {
            now = next;
            _ = it.on_look(now);
        }
        assert_eq!(now, s(63.0));
    }

    #[test]
    fn a_message_that_is_read_first_excuses_the_others_too() {
        let mut it = beating();
        _ = it.on_beat(s(0.0), at(0.0), &node("n2"));
        _ = it.on_beat(s(0.0), at(0.0), &node("n3"));
        assert_eq!(it.on_beat(s(60.0), at(60.0), &node("n2")), Some(false));
        assert_eq!(it.on_look(s(60.0)), []);
        assert_eq!(it.on_look(s(62.5)), [node("n3")]);
    }

    #[test]
    fn new_settings_keep_what_is_known_and_drop_who_left() {
        let mut it = beating();
        _ = it.on_beat(s(1.0), at(1.0), &node("n2"));
        _ = it.on_beat(s(2.0), at(2.0), &node("n3"));
        assert_eq!(
            it.reconfigure(s(2.0), s(3.0), INTERVAL, [node("n2"), node("n4")]),
            [node("n3")]
        );
        assert_eq!(it.peers().keys().cloned().collect::<Vec<_>>(), [node("n2"), node("n4")]);
        assert_eq!(it.reconfigure(s(2.0), s(30.0), INTERVAL, [node("n2")]), []);
        assert_eq!(it.on_look(s(30.9)), [], "excused");
        assert_eq!(it.on_stop(), [node("n2")]);
        assert_eq!((it.on_stop(), it.next_look()), (vec![], None));
    }

    #[test]
    fn a_shorter_timeout_does_not_make_peers_stale_that_beat_as_seldom_as_before() {
        // From the default times to those of the profile `fast`: the beats of 100 and 102 were in time.
        let mut it = Beating::new(s(15.0), s(5.0), [node("n2"), node("n3")]);
        _ = it.on_beat(s(100.0), at(0.0), &node("n2"));
        _ = it.on_beat(s(102.0), at(2.0), &node("n3"));
        _ = it.reconfigure(s(104.0), s(1.0), s(0.25), [node("n2"), node("n3")]);
        // The change came late to n3, and never to n2.
        for (peer, beat) in [("n2", 105.0), ("n3", 107.0), ("n2", 110.0), ("n2", 115.0)] {
            assert_eq!(it.on_beat(s(beat), at(beat - 100.0), &node(peer)), Some(false), "{beat}");
        }
        let look = |it: &mut Beating, until: f64| {
            let mut stale = vec![];
            while let Some(next) = it.next_look().filter(|next| *next <= s(until)) {
                stale.extend(it.on_look(next).into_iter().map(|peer| (peer, next)));
            }
            stale
        };
        assert_eq!(look(&mut it, 118.9), []);
        assert_eq!(it.on_beat(s(118.9), at(18.9), &node("n3")), Some(false));
        assert_eq!(look(&mut it, 119.8), [(node("n2"), s(119.0))], "the longer one has passed");
        assert_eq!(look(&mut it, 130.0), [(node("n3"), s(119.9))]);
        // A change soon before the end of the first one has its own time.
        let mut it = Beating::new(s(60.0), s(5.0), [node("n2")]);
        _ = it.reconfigure(s(100.0), s(15.0), s(5.0), [node("n2")]);
        _ = it.reconfigure(s(159.0), s(1.0), s(0.25), [node("n2")]);
        _ = it.on_beat(s(159.5), at(0.0), &node("n2"));
        assert_eq!(look(&mut it, 300.0), [(node("n2"), s(174.0))]);
        // Who was silent before the change is noticed as early as without it, and one change is not excused by the next.
        let mut it = Beating::new(s(15.0), s(5.0), [node("n2")]);
        _ = it.on_beat(s(100.0), at(0.0), &node("n2"));
        _ = it.reconfigure(s(104.0), s(1.0), s(0.25), [node("n2")]);
        _ = it.reconfigure(s(106.0), s(0.9), s(0.25), [node("n2")]);
        assert_eq!(look(&mut it, 200.0), [(node("n2"), s(115.0))]);
    }
}
