//! Machines that go by one name: a clone of a machine beats as the machine that it was made from, with its secret.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::NodeName;

/// So many changes of what a node beats from are no move: two machines take turns.
const TURNS: usize = 4;

/// Shortest time in which these come.
const SHORTEST: Duration = Duration::from_secs(10);

/// Where a node beats from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source<S> {
    now: S,
    before: Option<S>,
    /// When it changed.
    changes: VecDeque<Duration>,
}

/// What peers beat from, on one heartbeat: their addresses, or the boots of their machines, which two machines behind one
/// address have, too.
#[derive(Debug, Clone)]
pub struct Namesakes<S>(BTreeMap<NodeName, Source<S>>);

impl<S> Default for Namesakes<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S: Copy + Ord> Namesakes<S> {
    /// A peer was heard from there. The two that it beats from by turns, if it does so within a few `timeout`s: each is that
    /// of another machine then.
    pub fn hear(
        &mut self,
        now: Duration,
        peer: &NodeName,
        from: S,
        timeout: Duration,
    ) -> Option<(S, S)> {
        let new = || Source { now: from, before: None, changes: VecDeque::new() };
        let source = self.0.entry(peer.clone()).or_insert_with(new);
        if source.now != from {
            source.before = Some(std::mem::replace(&mut source.now, from));
            source.changes.push_back(now);
        }
        let within = (timeout * 4).max(SHORTEST);
        while source.changes.front().is_some_and(|at| now.saturating_sub(*at) > within)
            || source.changes.len() > TURNS
        {
            source.changes.pop_front();
        }
        let before = source.before.filter(|_| source.changes.len() >= TURNS)?;
        Some((before.min(from), before.max(from)))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn who_beats_from_two_addresses_by_turns_is_two_and_who_moves_is_one() {
        let mut names = Namesakes::default();
        let peer = NodeName::new("n2").unwrap();
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let mut hear = |second: u64, address| {
            let now = Duration::from_secs(second);
            names.hear(now, &peer, address, Duration::from_secs(15))
        };
        // It moves, and back a day later.
        assert_eq!([hear(0, a), hear(5, b), hear(10, b), hear(90_000, a)], [None; 4]);
        let turns =
            [b, a, b, a].into_iter().zip(90_001_u64..).map(|(address, at)| hear(at, address));
        assert_eq!(turns.collect::<Vec<_>>(), [None, None, Some((a, b)), Some((a, b))]);
        assert_eq!(hear(90_010, a), Some((a, b)));
        // One of them is gone.
        assert_eq!(hear(90_090, a), None);
    }
}
