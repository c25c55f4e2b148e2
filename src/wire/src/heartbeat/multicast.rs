//! Frames in datagrams: cut into fragments, and put together again.
//!
//! Nothing is sent again: a lost fragment loses the message, and the next beat carries what matters.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::{parse_json, to_ascii_json};

/// Characters of a frame in one fragment.
pub const CHUNK: usize = 1_000;

/// Most fragments of a message: deployed agents drop what has more.
pub const MOST_FRAGMENTS: usize = 1_000;

/// Most unfinished messages of a source. Beyond, the one with the fewest fragments goes: a message under way has more of
/// them than what is thrown in between.
pub const MOST_MESSAGES: usize = 100;

/// Most sources whose fragments are kept; a cluster has some tens of nodes, and some sections.
const MOST_SOURCES: usize = 512;

/// Whose fragments are kept, each sort in memory of its own: whoever can send to the group could fill it otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nobody knows them.
    Stranger,
    /// They have the address of a member, which anybody can write.
    Named,
    /// A beat of theirs opened lately.
    Proven,
}

impl Standing {
    /// Most bytes kept of all of this sort. Strangers, and who only seems to be a member, are strangers alike: both have a
    /// part of the 8 MiB for those.
    const fn most_bytes(self) -> usize {
        match self {
            Self::Stranger | Self::Named => 2 << 20,
            Self::Proven => 16 << 20,
        }
    }

    const ALL: [Self; 3] = [Self::Stranger, Self::Named, Self::Proven];
}

/// How long a message may take to arrive.
const LONGEST: Duration = Duration::from_secs(10);

/// Different texts kept of one fragment. The source of a datagram can be anybody's, so which of them a member wrote is
/// known only once the message opens.
const MOST_VARIANTS: usize = 4;

/// Frames made of one message at most, each with other variants: opening them takes time.
const MOST_TRIES: usize = 16;

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

/// A message that is not known to be whole. Its key holds its number of fragments: one that names another number is
/// another message.
#[derive(Debug)]
struct Message {
    /// Age: the lower the older.
    number: u64,
    begun: Duration,
    /// The texts of each fragment, in the order in which they came.
    chunks: BTreeMap<usize, Vec<String>>,
    bytes: usize,
    tries: usize,
}

/// Which message of a source: its id and its number of fragments.
type Key = (String, usize);

#[derive(Debug)]
struct Source {
    standing: Standing,
    messages: BTreeMap<Key, Message>,
}

impl Source {
    fn bytes(&self) -> usize {
        self.messages.values().map(|message| message.bytes).sum()
    }

    fn newest(&self) -> u64 {
        self.messages.values().map(|message| message.number).max().unwrap_or(0)
    }

    /// Drops the message with the fewest fragments, the oldest of equals; the bytes it held.
    fn drop_one(&mut self) -> usize {
        let rank = |(_, message): &(&Key, &Message)| (message.chunks.len(), message.number);
        let least = self.messages.iter().min_by_key(rank).map(|(key, _)| key.clone());
        least.and_then(|key| self.messages.remove(&key)).map_or(0, |message| message.bytes)
    }
}

/// Frames that a datagram completed: one of them may open. Say so to [`Reassembly::on_opened`].
#[derive(Debug, PartialEq, Eq)]
pub struct Completed {
    /// What the fragments may say together; more than one where somebody sent other fragments under the same id.
    pub frames: Vec<Vec<u8>>,
    /// Age of the message.
    number: u64,
}

/// The fragments of messages that are not whole yet, by source.
///
/// Anybody can send under the address of a member. So nothing that arrives makes anything else be forgotten but for lack
/// of room, and only a message that opened says that older ones of its source will not be completed.
#[derive(Debug)]
pub struct Reassembly<S> {
    sources: BTreeMap<S, Source>,
    /// Bytes kept, by standing.
    bytes: [usize; Standing::ALL.len()],
    number: u64,
}

impl<S> Default for Reassembly<S> {
    fn default() -> Self {
        Self { sources: BTreeMap::new(), bytes: [0; Standing::ALL.len()], number: 0 }
    }
}

impl<S: Ord + Clone> Reassembly<S> {
    /// Takes a datagram that came at `now`; the frames that it completes. What is no fragment is ignored.
    pub fn take(
        &mut self,
        now: Duration,
        source: &S,
        standing: Standing,
        datagram: &[u8],
    ) -> Option<Completed> {
        let end = datagram.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        let Fragment { id, i, n, c } = parse_json(&datagram[..end]).ok()?;
        if !(1..=MOST_FRAGMENTS).contains(&n) || !(1..=n).contains(&i) || id.len() > LONGEST_ID {
            return None;
        }
        self.number += 1;
        if n == 1 {
            return Some(Completed { frames: vec![c.into_bytes()], number: self.number });
        }
        self.make_room(now, source, standing);
        let Self { sources, bytes, number } = self;
        let source = sources
            .entry(source.clone())
            .or_insert_with(|| Source { standing, messages: BTreeMap::new() });
        let held = &mut bytes[source.standing as usize];
        let key = (id, n);
        if !source.messages.contains_key(&key) && source.messages.len() >= MOST_MESSAGES {
            *held -= source.drop_one();
        }
        let message = source.messages.entry(key).or_insert_with(|| Message {
            number: *number,
            begun: now,
            chunks: BTreeMap::new(),
            bytes: 0,
            tries: 0,
        });
        let variants = message.chunks.entry(i).or_default();
        if variants.contains(&c) || variants.len() >= MOST_VARIANTS {
            return None;
        }
        let added = c.len() + OVERHEAD;
        message.bytes += added;
        *held += added;
        variants.push(c);
        let is_whole = message.chunks.len() == n;
        let frames = if is_whole { message.frames(i) } else { vec![] };
        let number = message.number;
        while let Some(full) =
            Standing::ALL.into_iter().find(|it| self.bytes[*it as usize] > it.most_bytes())
        {
            self.drop_one(full);
        }
        (!frames.is_empty()).then_some(Completed { frames, number })
    }

    /// One of these frames of a source opened: this message is done, and what is left of older ones never will be.
    pub fn on_opened(&mut self, source: &S, completed: &Completed) {
        let Some(entry) = self.sources.get_mut(source) else { return };
        let before = entry.bytes();
        entry.messages.retain(|_, message| message.number > completed.number);
        self.bytes[entry.standing as usize] -= before - entry.bytes();
        if entry.messages.is_empty() {
            self.sources.remove(source);
        }
    }

    /// Forgets what is too old, and of too many sources the one that was quiet longest. What is known of a source by now
    /// is so from now on.
    fn make_room(&mut self, now: Duration, source: &S, standing: Standing) {
        if let Some(entry) = self.sources.get_mut(source) {
            let before = entry.bytes();
            self.bytes[entry.standing as usize] -= before;
            entry.messages.retain(|_, message| now < message.begun + LONGEST);
            entry.standing = standing;
            self.bytes[standing as usize] += entry.bytes();
        } else if self.sources.len() >= MOST_SOURCES {
            let rank = |(_, entry): &(&S, &Source)| (entry.standing, entry.newest());
            if let Some((quietest, _)) = self.sources.iter().min_by_key(rank) {
                let quietest = quietest.clone();
                self.forget(&quietest);
            }
        }
    }

    fn forget(&mut self, source: &S) {
        if let Some(entry) = self.sources.remove(source) {
            self.bytes[entry.standing as usize] -= entry.bytes();
        }
    }

    /// Drops a message of the source that holds most, of those that hold too much together.
    fn drop_one(&mut self, standing: Standing) {
        let theirs = self.sources.iter_mut().filter(|(_, entry)| entry.standing == standing);
        let Some((source, entry)) = theirs.max_by_key(|(_, entry)| entry.bytes()) else { return };
        self.bytes[standing as usize] -= entry.drop_one();
        if entry.messages.is_empty() {
            let source = source.clone();
            self.sources.remove(&source);
        }
    }

    /// Bytes kept of unfinished messages.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.bytes.iter().sum()
    }
}

impl Message {
    /// The frames that contain the newest text of fragment `i`: with the first text of all others, with the last one, and
    /// with each text that differs from both ways by itself.
    fn frames(&mut self, i: usize) -> Vec<Vec<u8>> {
        let newest = |at: usize| at == i;
        let last = |variants: &Vec<String>| variants.len() - 1;
        let mut choices = vec![];
        let doubtful: Vec<usize> = self
            .chunks
            .iter()
            .filter(|(at, variants)| !newest(**at) && variants.len() > 1)
            .map(|(at, _)| *at)
            .collect();
        choices.push(BTreeMap::new());
        if !doubtful.is_empty() {
            choices.push(doubtful.iter().map(|at| (*at, last(&self.chunks[at]))).collect());
        }
        for at in &doubtful {
            for variant in 1..self.chunks[at].len() {
                choices.push(BTreeMap::from([(*at, variant)]));
            }
        }
        choices.dedup();
        choices.truncate(MOST_TRIES.saturating_sub(self.tries));
        self.tries += choices.len();
        let frame = |choice: &BTreeMap<usize, usize>| {
            let chosen = |(at, variants): (&usize, &Vec<String>)| {
                let last = last(variants);
                let variant = if newest(*at) { last } else { choice.get(at).copied().unwrap_or(0) };
                variants[variant.min(last)].clone()
            };
            self.chunks.iter().map(chosen).collect::<String>().into_bytes()
        };
        choices.iter().map(frame).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(id: &str, i: usize, n: usize, c: &str) -> Vec<u8> {
        format!("{{\"id\": \"{id}\", \"i\": {i}, \"n\": {n}, \"c\": \"{c}\"}}\0").into_bytes()
    }

    const NOW: Duration = Duration::from_secs(100);

    /// Takes a datagram of a member, and opens what it completes: the frames of this test open as they are.
    fn take(it: &mut Reassembly<u16>, source: u16, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut completed = it.take(NOW, &source, Standing::Proven, datagram)?;
        it.on_opened(&source, &completed);
        assert_eq!(completed.frames.len(), 1);
        completed.frames.pop()
    }

    /// The frames that a datagram completes; those that do not open.
    fn tried(it: &mut Reassembly<u16>, datagram: &[u8]) -> Vec<String> {
        let completed = it.take(NOW, &1, Standing::Named, datagram);
        let frames = completed.map(|completed| completed.frames).unwrap_or_default();
        frames.into_iter().map(|frame| String::from_utf8(frame).unwrap()).collect()
    }

    #[test]
    fn what_is_split_comes_out_whole_in_any_order() {
        let frame: Vec<u8> = (0..2_500).map(|i| b"{\"abc\\"[i % 6]).collect();
        let mut datagrams = split(&frame, "one").unwrap();
        assert_eq!(datagrams.len(), 3);
        datagrams.reverse();
        let mut it = Reassembly::default();
        let whole: Vec<_> = datagrams.iter().map(|datagram| take(&mut it, 1, datagram)).collect();
        assert_eq!(whole, [None, None, Some(frame)]);
        assert_eq!((it.held_bytes(), it.sources.len()), (0, 0));
    }

    #[test]
    fn a_frame_has_at_most_a_thousand_fragments() {
        assert_eq!(split(&vec![b'x'; CHUNK * MOST_FRAGMENTS], "a").unwrap().len(), MOST_FRAGMENTS);
        assert_eq!(split(&vec![b'x'; CHUNK * MOST_FRAGMENTS + 1], "a"), None);
        assert_eq!(split("é".as_bytes(), "a"), None);
        let mut it = Reassembly::default();
        assert_eq!(take(&mut it, 1, &fragment("a", 1, 1_001, "x")), None);
        assert_eq!(it.held_bytes(), 0);
    }

    #[test]
    fn sources_and_messages_are_kept_apart_and_doubled_fragments_are_nothing() {
        let mut it = Reassembly::default();
        assert_eq!(take(&mut it, 1, &fragment("b", 2, 2, "b2")), None);
        assert_eq!(take(&mut it, 1, &fragment("a", 1, 2, "a1")), None);
        assert_eq!(take(&mut it, 2, &fragment("a", 2, 2, "x2")), None);
        assert_eq!(take(&mut it, 1, &fragment("a", 1, 2, "a1")), None);
        assert_eq!(take(&mut it, 1, &fragment("a", 2, 3, "other count")), None);
        assert_eq!(take(&mut it, 1, &fragment("a", 2, 2, "a2")), Some(b"a1a2".to_vec()));
        // Message b began before: it is forgotten with the rest.
        assert_eq!(take(&mut it, 1, &fragment("b", 1, 2, "b1")), None);
        assert_eq!(take(&mut it, 2, &fragment("a", 1, 2, "x1")), Some(b"x1x2".to_vec()));
    }

    #[test]
    fn nothing_spoofed_makes_a_partial_message_be_forgotten() {
        // Another message in one fragment, one that contradicts, a whole one that does not open, many that are begun.
        let spoofed: Vec<Vec<Vec<u8>>> = vec![
            vec![fragment("z", 1, 1, "junk")],
            vec![fragment("a", 1, 1, "junk")],
            vec![fragment("a", 3, 3, "junk"), fragment("a", 2, 4, "junk")],
            vec![fragment("z", 1, 2, "ju"), fragment("z", 2, 2, "nk")],
            (0..300).map(|id| fragment(&format!("z{id}"), 1, 2, "x")).collect(),
        ];
        for datagrams in spoofed {
            let mut it = Reassembly::default();
            assert_eq!(tried(&mut it, &fragment("a", 1, 3, "a1")), [""; 0]);
            assert_eq!(tried(&mut it, &fragment("a", 2, 3, "a2")), [""; 0]);
            for datagram in &datagrams {
                assert!(!tried(&mut it, datagram).contains(&"a1a2a3".to_owned()));
            }
            assert!(tried(&mut it, &fragment("a", 3, 3, "a3")).contains(&"a1a2a3".to_owned()));
        }
    }

    #[test]
    fn a_spoofed_fragment_stands_beside_the_one_of_the_member() {
        for spoofed in [vec![1], vec![2], vec![3], vec![1, 3], vec![1, 2, 3]] {
            for is_first in [true, false] {
                let mut it = Reassembly::default();
                let mut all = vec![];
                for i in 1..=3 {
                    let honest = fragment("a", i, 3, &format!("a{i}"));
                    let false_one = fragment("a", i, 3, "!!");
                    let mut both = vec![honest];
                    if spoofed.contains(&i) {
                        both.insert(usize::from(!is_first), false_one);
                    }
                    for datagram in both {
                        all.extend(tried(&mut it, &datagram));
                    }
                }
                assert!(all.contains(&"a1a2a3".to_owned()), "{spoofed:?} {is_first}: {all:?}");
            }
        }
    }

    #[test]
    fn what_one_message_makes_be_opened_has_a_bound() {
        let mut it = Reassembly::default();
        let mut all = vec![];
        for i in 1..=50 {
            for variant in 0..10 {
                all.extend(tried(&mut it, &fragment("a", i, 50, &format!("{variant}"))));
            }
        }
        assert!(all.len() <= MOST_TRIES, "{}", all.len());
        assert_eq!(it.sources[&1].messages.len(), 1);
    }

    #[test]
    fn a_source_that_loses_a_fragment_of_each_message_is_heard_once_it_loses_none() {
        let mut it = Reassembly::default();
        for id in 0..3 * MOST_MESSAGES {
            assert_eq!(take(&mut it, 1, &fragment(&id.to_string(), 1, 3, "x")), None);
            assert_eq!(take(&mut it, 1, &fragment(&id.to_string(), 3, 3, "x")), None);
        }
        assert_eq!(it.sources[&1].messages.len(), MOST_MESSAGES);
        assert_eq!(take(&mut it, 1, &fragment("whole", 1, 2, "a")), None);
        assert_eq!(take(&mut it, 1, &fragment("whole", 2, 2, "b")), Some(b"ab".to_vec()));
        assert_eq!(it.held_bytes(), 0);
    }

    #[test]
    fn what_does_not_arrive_in_time_is_forgotten() {
        let mut it = Reassembly::default();
        assert_eq!(it.take(NOW, &1, Standing::Named, &fragment("a", 1, 2, "a1")), None);
        assert_eq!(it.take(NOW + LONGEST, &1, Standing::Named, &fragment("b", 1, 2, "b1")), None);
        assert_eq!(it.sources[&1].messages.len(), 1);
        assert_eq!(it.take(NOW + LONGEST, &1, Standing::Named, &fragment("a", 2, 2, "a2")), None);
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
            assert_eq!(take(&mut it, 1, datagram), None, "{datagram:?}");
        }
        assert_eq!(take(&mut it, 1, &fragment(&"i".repeat(65), 1, 2, "x")), None);
        assert_eq!(it.held_bytes(), 0);
    }

    #[test]
    fn a_flood_takes_bounded_memory_and_spares_the_source_that_holds_little() {
        for standing in Standing::ALL {
            let mut it = Reassembly::default();
            assert_eq!(it.take(NOW, &1, standing, &fragment("honest", 1, 2, "one ")), None);
            let text = "x".repeat(60_000);
            for i in 0..2_000 {
                let datagram = fragment(&format!("m{}", i / 900), i % 900 + 1, 1_000, &text);
                assert_eq!(it.take(NOW, &2, standing, &datagram), None);
                assert!(it.bytes[standing as usize] <= standing.most_bytes());
            }
            let whole = it.take(NOW, &1, standing, &fragment("honest", 2, 2, "two")).unwrap();
            assert_eq!(whole.frames, [b"one two"]);
            for i in 0..150 {
                _ = it.take(NOW, &3, standing, &fragment(&format!("id{i}"), 1, 2, "x"));
            }
            assert_eq!(it.sources[&3].messages.len(), MOST_MESSAGES);
            for source in 10..1_000 {
                _ = it.take(NOW, &source, Standing::Stranger, &fragment("a", 1, 2, "x"));
            }
            assert!(it.sources.len() <= MOST_SOURCES);
            if standing != Standing::Stranger {
                assert!(it.sources.contains_key(&3), "who is known stays");
            }
        }
    }
}
