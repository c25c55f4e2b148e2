//! Frames in datagrams: cut into fragments, and put together again.
//!
//! Nothing is sent again: a lost fragment loses the message, and the next beat carries what matters.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{parse_json, to_ascii_json};

/// Characters of a frame in one fragment.
pub const CHUNK: usize = 1_000;

/// Most fragments of a message: deployed agents drop what has more.
pub const MOST_FRAGMENTS: usize = 1_000;

/// Most unfinished messages of a source; beyond, the oldest goes. Deployed agents drop what comes instead: after so many
/// messages with a lost fragment they are deaf to all that has more than one.
pub const MOST_MESSAGES: usize = 100;

/// Most sources whose fragments are kept; a cluster has some tens of nodes.
const MOST_SOURCES: usize = 256;

/// Most bytes kept over all sources: whoever can send to the group could fill the memory otherwise.
const MOST_BYTES: usize = 16 << 20;

/// Longest id that is kept: a uuid has 36 characters.
const LONGEST_ID: usize = 64;

/// What a fragment costs beside its text.
const OVERHEAD: usize = 64;

/// Cuts a frame, without its final NUL, into datagrams. `id` tells its fragments from those of other messages.
///
/// None when it is longer than [`MOST_FRAGMENTS`] fragments, or no ASCII text: no receiver would take it.
#[must_use]
pub fn split(frame: &[u8], id: &str) -> Option<Vec<Vec<u8>>> {
    let text = std::str::from_utf8(frame).ok().filter(|text| text.is_ascii())?;
    let n = text.len().div_ceil(CHUNK).max(1);
    if n > MOST_FRAGMENTS {
        return None;
    }
    let id = to_ascii_json(id);
    let datagram = |i: usize| {
        let chunk = &text[i * CHUNK..text.len().min((i + 1) * CHUNK)];
        let mut datagram = Vec::with_capacity(CHUNK + 128);
        datagram.extend_from_slice(b"{\"id\": ");
        datagram.extend_from_slice(&id);
        datagram.extend_from_slice(format!(", \"i\": {}, \"n\": {n}, \"c\": ", i + 1).as_bytes());
        datagram.extend_from_slice(&to_ascii_json(chunk));
        datagram.extend_from_slice(b"}\0");
        datagram
    };
    Some((0..n).map(datagram).collect())
}

/// A fragment as it travels.
#[derive(Deserialize)]
struct Fragment {
    id: String,
    i: usize,
    n: usize,
    c: String,
}

#[derive(Debug)]
struct Message {
    /// Age: the lower the older.
    number: u64,
    n: usize,
    chunks: BTreeMap<usize, String>,
    bytes: usize,
}

/// The fragments of messages that are not whole yet, by source.
#[derive(Debug)]
pub struct Reassembly<S> {
    sources: BTreeMap<S, BTreeMap<String, Message>>,
    bytes: usize,
    number: u64,
}

impl<S> Default for Reassembly<S> {
    fn default() -> Self {
        Self { sources: BTreeMap::new(), bytes: 0, number: 0 }
    }
}

impl<S: Ord + Clone> Reassembly<S> {
    /// Takes a datagram; the frame that it completes. What is no fragment, or contradicts earlier ones, is ignored.
    pub fn take(&mut self, source: &S, datagram: &[u8]) -> Option<Vec<u8>> {
        let end = datagram.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        let Fragment { id, i, n, c } = parse_json(&datagram[..end]).ok()?;
        if !(1..=MOST_FRAGMENTS).contains(&n) || !(1..=n).contains(&i) || id.len() > LONGEST_ID {
            return None;
        }
        if n == 1 {
            self.forget(source);
            return Some(c.into_bytes());
        }
        if !self.sources.contains_key(source) && self.sources.len() >= MOST_SOURCES {
            let number_of = |(_, messages): &(&S, &BTreeMap<String, Message>)| newest(messages);
            if let Some(quietest) = self.sources.iter().min_by_key(number_of) {
                let quietest = quietest.0.clone();
                self.forget(&quietest);
            }
        }
        let messages = self.sources.entry(source.clone()).or_default();
        if !messages.contains_key(&id) && messages.len() >= MOST_MESSAGES {
            self.bytes -= drop_oldest(messages);
        }
        self.number += 1;
        let number = self.number;
        let message = messages.entry(id).or_insert_with(|| Message {
            number,
            n,
            chunks: BTreeMap::new(),
            bytes: 0,
        });
        if message.n != n || message.chunks.contains_key(&i) {
            return None;
        }
        let bytes = c.len() + OVERHEAD;
        message.bytes += bytes;
        message.chunks.insert(i, c);
        self.bytes += bytes;
        if message.chunks.len() == n {
            let chunks = std::mem::take(&mut message.chunks);
            self.forget(source);
            return Some(chunks.into_values().collect::<String>().into_bytes());
        }
        while self.bytes > MOST_BYTES {
            self.drop_one();
        }
        None
    }

    /// Forgets what a source began: once one message is whole, what is left of earlier ones never will be.
    fn forget(&mut self, source: &S) {
        if let Some(messages) = self.sources.remove(source) {
            self.bytes -= sum(&messages);
        }
    }

    /// Drops the oldest message of the source that holds most.
    fn drop_one(&mut self) {
        let most = self.sources.iter_mut().max_by_key(|(_, messages)| sum(messages));
        let Some((source, messages)) = most else { return };
        self.bytes -= drop_oldest(messages);
        if messages.is_empty() {
            let source = source.clone();
            self.sources.remove(&source);
        }
    }

    /// Bytes kept of unfinished messages.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }
}

/// Drops the oldest message; the bytes it held.
fn drop_oldest(messages: &mut BTreeMap<String, Message>) -> usize {
    let oldest = messages.iter().min_by_key(|(_, message)| message.number);
    let oldest = oldest.map(|(id, _)| id.clone());
    oldest.and_then(|id| messages.remove(&id)).map_or(0, |message| message.bytes)
}

fn sum(messages: &BTreeMap<String, Message>) -> usize {
    messages.values().map(|message| message.bytes).sum()
}

fn newest(messages: &BTreeMap<String, Message>) -> u64 {
    messages.values().map(|message| message.number).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(id: &str, i: usize, n: usize, c: &str) -> Vec<u8> {
        format!("{{\"id\": \"{id}\", \"i\": {i}, \"n\": {n}, \"c\": \"{c}\"}}\0").into_bytes()
    }

    #[test]
    fn what_is_split_comes_out_whole_in_any_order() {
        let frame: Vec<u8> = (0..2_500).map(|i| b"{\"abc\\"[i % 6]).collect();
        let mut datagrams = split(&frame, "one").unwrap();
        assert_eq!(datagrams.len(), 3);
        datagrams.reverse();
        let mut it = Reassembly::default();
        let whole: Vec<_> = datagrams.iter().map(|datagram| it.take(&1, datagram)).collect();
        assert_eq!(whole, [None, None, Some(frame)]);
        assert_eq!((it.held_bytes(), it.sources.len()), (0, 0));
    }

    #[test]
    fn a_frame_has_at_most_a_thousand_fragments() {
        assert_eq!(split(&vec![b'x'; CHUNK * MOST_FRAGMENTS], "a").unwrap().len(), MOST_FRAGMENTS);
        assert_eq!(split(&vec![b'x'; CHUNK * MOST_FRAGMENTS + 1], "a"), None);
        assert_eq!(split("é".as_bytes(), "a"), None);
        let mut it = Reassembly::default();
        assert_eq!(it.take(&1, &fragment("a", 1, 1_001, "x")), None);
        assert_eq!(it.held_bytes(), 0);
    }

    #[test]
    fn sources_and_messages_are_kept_apart_and_doubled_fragments_are_nothing() {
        let mut it = Reassembly::default();
        assert_eq!(it.take(&1, &fragment("a", 1, 2, "a1")), None);
        assert_eq!(it.take(&2, &fragment("a", 2, 2, "x2")), None);
        assert_eq!(it.take(&1, &fragment("b", 2, 2, "b2")), None);
        assert_eq!(it.take(&1, &fragment("a", 1, 2, "a1")), None);
        assert_eq!(it.take(&1, &fragment("a", 2, 3, "other count")), None);
        assert_eq!(it.take(&1, &fragment("a", 2, 2, "a2")), Some(b"a1a2".to_vec()));
        // Message b began before: it is forgotten with the rest.
        assert_eq!(it.take(&1, &fragment("b", 1, 2, "b1")), None);
        assert_eq!(it.take(&2, &fragment("a", 1, 2, "x1")), Some(b"x1x2".to_vec()));
    }

    #[test]
    fn a_source_that_loses_a_fragment_of_each_message_is_heard_once_it_loses_none() {
        let mut it = Reassembly::default();
        for id in 0..3 * MOST_MESSAGES {
            assert_eq!(it.take(&1, &fragment(&id.to_string(), 1, 2, "x")), None);
        }
        assert_eq!(it.sources[&1].len(), MOST_MESSAGES);
        assert_eq!(it.take(&1, &fragment("whole", 1, 2, "a")), None);
        assert_eq!(it.take(&1, &fragment("whole", 2, 2, "b")), Some(b"ab".to_vec()));
        assert_eq!(it.held_bytes(), 0);
    }

    #[test]
    fn what_is_no_fragment_is_ignored() {
        let mut it = Reassembly::default();
        for datagram in [
            &b""[..],
            b"\0",
            b"no json",
            br#"{"clustername": "demo", "nodename": "n1", "iv": "", "data": ""}"#,
            br#"{"id": "a", "i": 0, "n": 1, "c": "x"}"#,
            br#"{"id": "a", "i": 2, "n": 1, "c": "x"}"#,
            br#"{"id": "a", "i": -1, "n": 1, "c": "x"}"#,
            br#"{"id": "a", "i": 1, "n": 2, "c": 3}"#,
            br#"{"id": 7, "i": 1, "n": 2, "c": "x"}"#,
        ] {
            assert_eq!(it.take(&1, datagram), None, "{datagram:?}");
        }
        assert_eq!(it.take(&1, &fragment(&"i".repeat(65), 1, 2, "x")), None);
        assert_eq!(it.held_bytes(), 0);
    }

    #[test]
    fn a_flood_takes_bounded_memory_and_spares_the_source_that_holds_little() {
        let mut it = Reassembly::default();
        assert_eq!(it.take(&1, &fragment("honest", 1, 2, "one ")), None);
        let text = "x".repeat(60_000);
        for i in 0..2_000 {
            assert_eq!(
                it.take(&2, &fragment(&format!("m{}", i / 900), i % 900 + 1, 1_000, &text)),
                None
            );
            assert!(it.held_bytes() <= MOST_BYTES);
        }
        assert_eq!(it.take(&1, &fragment("honest", 2, 2, "two")), Some(b"one two".to_vec()));
        for i in 0..150 {
            _ = it.take(&3, &fragment(&format!("id{i}"), 1, 2, "x"));
        }
        assert_eq!(it.sources[&3].len(), MOST_MESSAGES);
        for source in 10..1_000 {
            _ = it.take(&source, &fragment("a", 1, 2, "x"));
        }
        assert!(it.sources.len() <= MOST_SOURCES);
    }
}
