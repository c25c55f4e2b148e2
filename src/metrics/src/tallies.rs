//! What is seldom and counted all the same: takeovers, changes from node to node, gaps, and who is sent away.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which way changes of the cluster data go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this node.
    Sent,
    /// From a peer.
    Received,
}

const DIRECTIONS: [&str; 2] = ["tx", "rx"];

/// Why a connection to the front was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its handshake failed: version, certificate, or no TLS behind the first record.
    Tls,
    /// It does not begin as the protocol does.
    Preface,
    /// It sends what costs and brings nothing.
    Flood,
    /// It was too slow to begin, to ask, or to read.
    Timeout,
    /// It made room for others while it had proved nothing.
    Slow,
}

const REFUSED: [&str; 5] = ["tls", "preface", "flood", "timeout", "slow"];

/// Why somebody who follows a stream missed something; the last one is for a reason that is not known here.
const GAPS: [&str; 5] = ["boot", "evicted", "unknown", "slow", "other"];

/// What is wrong with a message, by [`wire::Refusal::word`].
const INVALID: [&str; 10] = [
    "json",
    "field",
    "cluster_name",
    "dialect",
    "key",
    "length",
    "message",
    "kind",
    "generation",
    "other",
];

/// Counters of words of a closed list. The last one is for the rest.
#[derive(Debug)]
struct Tally<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const N: usize> Tally<N> {
    fn add(&self, at: usize, count: u64) {
        if let Some(cell) = self.0.get(at) {
            cell.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn add_word(&self, words: &[&str; N], word: &str) {
        let known = words.iter().position(|known| *known == word);
        self.add(known.unwrap_or(N - 1), 1);
    }

    fn read<'a>(
        &'a self,
        words: [&'static str; N],
    ) -> impl Iterator<Item = (&'static str, u64)> + 'a {
        words.into_iter().zip(self.0.iter().map(|cell| cell.load(Ordering::Relaxed)))
    }
}

/// The counters.
#[derive(Debug, Default)]
pub struct Tallies {
    takeovers: Tally<1>,
    patches: Tally<2>,
    patch_bytes: Tally<2>,
    gaps: Tally<5>,
    refused: Tally<5>,
    invalid: Tally<10>,
}

impl Tallies {
    /// An instance is started here, because the node is lost on which it was up.
    pub fn on_takeover(&self) {
        self.takeovers.add(0, 1);
    }

    /// A message with changes of the cluster data, of so many bytes.
    pub fn on_patch(&self, direction: Direction, bytes: usize) {
        self.patches.add(direction as usize, 1);
        self.patch_bytes.add(direction as usize, u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Somebody is told that it missed something.
    pub fn on_gap(&self, reason: &str) {
        self.gaps.add_word(&GAPS, reason);
    }

    /// A connection to the front is closed for this.
    pub fn on_refused(&self, reason: Refused) {
        self.refused.add(reason as usize, 1);
    }

    /// A message that counts against its sender.
    pub fn on_invalid(&self, word: &str) {
        self.invalid.add_word(&INVALID, word);
    }

    /// The takeovers that there were.
    pub fn takeovers(&self) -> u64 {
        self.takeovers.read([""]).map(|(_, count)| count).sum()
    }

    /// The messages with changes, by direction: how many, and their bytes.
    pub fn patches(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        let bytes = self.patch_bytes.read(DIRECTIONS).map(|(_, bytes)| bytes);
        self.patches.read(DIRECTIONS).zip(bytes).map(|((way, count), bytes)| (way, count, bytes))
    }

    /// The gaps, by reason.
    pub fn gaps(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.gaps.read(GAPS)
    }

    /// The connections to the front that were refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.refused.read(REFUSED)
    }

    /// The invalid messages, by what is wrong.
    pub fn invalid(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.invalid.read(INVALID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_its_counter_and_the_rest_has_one() {
        let tallies = Tallies::default();
        tallies.on_invalid("key");
        tallies.on_invalid("key");
        tallies.on_invalid("a word that is not in the list");
        tallies.on_gap("slow");
        tallies.on_refused(Refused::Flood);
        tallies.on_patch(Direction::Received, 700);
        let some = |all: Vec<(&'static str, u64)>| -> Vec<_> {
            all.into_iter().filter(|(_, count)| *count > 0).collect()
        };
        assert_eq!(some(tallies.invalid().collect()), [("key", 2), ("other", 1)]);
        assert_eq!(some(tallies.gaps().collect()), [("slow", 1)]);
        assert_eq!(some(tallies.refused().collect()), [("flood", 1)]);
        assert_eq!(tallies.patches().collect::<Vec<_>>(), [("tx", 0, 0), ("rx", 1, 700)]);
        assert_eq!(tallies.takeovers(), 0);
    }
}
