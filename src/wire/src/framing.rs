//! Where one message ends and the next begins: at a NUL, which no JSON text has inside (src/wire/README.md, Framing).
//! Deployed agents end a message at a NUL only when it is the last byte of a read, and wait for more otherwise. Here
//! what follows is the next message, which only a sealed connection goes on to read.

use std::fmt;

use crate::Limits;
use crate::raw::Raw;

/// What a connection brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A message, without NULs at its end.
    Frame(Raw),
    /// An empty packet or the word `dequeue_actions`: the collector wants its queue fetched.
    DequeueActions,
}

/// A message longer than `listener.max_frame`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// The limit.
    pub max_frame: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message is longer than {} bytes", self.max_frame)
    }
}

impl std::error::Error for TooLong {}

/// The words of the collector in pull mode.
const DEQUEUE_ACTIONS: &[u8] = b"dequeue_actions";

/// Cuts the bytes of a connection into messages.
///
/// Hand each read to [`Self::push`], then call [`Self::next_frame`] until it returns none; at end of stream, call
/// [`Self::finish`].
#[derive(Debug)]
pub struct Framing {
    max_frame: usize,
    buffer: Raw,
    /// Bytes of the buffer known to hold no NUL that ends a message.
    scanned: usize,
    /// A message came before: an empty one is then nothing.
    is_started: bool,
}

impl Framing {
    /// For a new connection.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { max_frame: limits.max_frame, buffer: Raw::default(), scanned: 0, is_started: false }
    }

    /// For the replies to a request: an empty one keeps a quiet stream alive and is nothing.
    #[must_use]
    pub fn of_replies(limits: &Limits) -> Self {
        Self { is_started: true, ..Self::new(limits) }
    }

    /// Adds what one read returned.
    ///
    /// # Errors
    ///
    /// [`TooLong`] before more memory is taken; the connection is then to be closed.
    pub fn push(&mut self, read: &[u8]) -> Result<(), TooLong> {
        let length = self.buffer.len() + read.len();
        // NULs may end a frame of full length.
        if length > self.max_frame.saturating_add(8) && !read.contains(&0) {
            return Err(TooLong { max_frame: self.max_frame });
        }
        self.buffer.extend(read, self.max_frame.saturating_add(8));
        Ok(())
    }

    /// Changes the longest message that is taken: who sent one that opened may send more.
    pub fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
    }

    /// Memory that the unfinished message takes once `more` bytes of it have come. To be asked before they are pushed.
    #[must_use]
    pub fn held_bytes_with(&self, more: usize) -> usize {
        self.buffer.held_with(more, self.max_frame.saturating_add(8))
    }

    /// Bytes received that no message was made of yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Memory that the unfinished message takes, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.held()
    }

    /// The next whole message.
    pub fn next_frame(&mut self) -> Option<Incoming> {
        loop {
            let Some(nul) = memchr::memchr(0, &self.buffer[self.scanned..]) else {
                self.scanned = self.buffer.len();
                return None;
            };
            let nul = self.scanned + nul;
            let rest = self.buffer[nul..].iter().position(|b| *b != 0).map(|at| nul + at);
            let tail = rest.map_or_else(Raw::default, |rest| self.buffer.split_off(rest));
            let mut frame = std::mem::replace(&mut self.buffer, tail);
            frame.truncate(nul);
            self.scanned = 0;
            if let Some(incoming) = self.incoming(frame) {
                return Some(incoming);
            }
        }
    }

    /// What is left at end of stream, which is as good as a NUL.
    pub fn finish(&mut self) -> Option<Incoming> {
        if let Some(incoming) = self.next_frame() {
            return Some(incoming);
        }
        let mut frame = std::mem::take(&mut self.buffer);
        self.scanned = 0;
        let end = frame.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        frame.truncate(end);
        self.incoming(frame)
    }

    fn incoming(&mut self, frame: Raw) -> Option<Incoming> {
        let is_first = !std::mem::replace(&mut self.is_started, true);
        match &frame[..] {
            b"" => is_first.then_some(Incoming::DequeueActions),
            DEQUEUE_ACTIONS => Some(Incoming::DequeueActions),
            _ => Some(Incoming::Frame(frame)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEALED: &[u8] =
        br#"{"clustername": "demo", "nodename": "n1", "to": "n2", "kind": "request", "gen": 1, "alg": "A256GCM", "v": 2,
            "salt": "", "data": ""}"#;

    fn framing() -> Framing {
        Framing::new(&Limits { max_frame: 1_000, ..Limits::default() })
    }

    fn frame(bytes: &[u8]) -> Option<Incoming> {
        Some(Incoming::Frame(bytes.to_vec().into()))
    }

    #[test]
    fn what_follows_a_nul_is_another_message() {
        let mut it = framing();
        for read in [&b"{\"a\""[..], b": 1}"] {
            it.push(read).unwrap();
            assert_eq!(it.next_frame(), None);
        }
        it.push(b"\0x").unwrap();
        assert_eq!(it.next_frame(), frame(b"{\"a\": 1}"));
        assert_eq!(it.next_frame(), None);
        it.push(b"y\0").unwrap();
        assert_eq!(it.next_frame(), frame(b"xy"));
        assert_eq!(it.pending(), 0);
    }

    #[test]
    fn end_of_stream_is_as_good_as_a_nul() {
        let mut it = framing();
        it.push(b"{}").unwrap();
        assert_eq!(it.next_frame(), None);
        assert_eq!(it.finish(), frame(b"{}"));
        assert_eq!(it.finish(), None);
    }

    #[test]
    fn every_nul_ends_a_sealed_frame() {
        let mut it = framing();
        it.push(&[SEALED, b"\0", SEALED, b"\0", &SEALED[..10]].concat()).unwrap();
        assert_eq!(it.next_frame(), frame(SEALED));
        assert_eq!(it.next_frame(), frame(SEALED));
        assert_eq!(it.next_frame(), None);
        it.push(&[&SEALED[10..], b"\0\0\0"].concat()).unwrap();
        assert_eq!(it.next_frame(), frame(SEALED));
        assert_eq!(it.next_frame(), None);
        it.push(b"\0").unwrap();
        assert_eq!(it.next_frame(), None, "a NUL between frames is nothing");
        assert_eq!(it.finish(), None);
    }

    #[test]
    fn documents_that_come_in_one_read_are_each_a_reply() {
        let mut it = Framing::of_replies(&Limits { max_frame: 1_000, ..Limits::default() });
        it.push(b"\0{}\0{\"a\": 1}\0\0{\"b\"").unwrap();
        assert_eq!(it.next_frame(), frame(b"{}"));
        assert_eq!(it.next_frame(), frame(b"{\"a\": 1}"));
        assert_eq!(it.next_frame(), None);
        it.push(b": 2}\0").unwrap();
        assert_eq!(it.next_frame(), frame(b"{\"b\": 2}"));
        assert_eq!(it.finish(), None);
    }

    #[test]
    fn a_frame_cut_anywhere_comes_out_whole() {
        let bytes = [SEALED, b"\0", SEALED, b"\0"].concat();
        for cut in 1..bytes.len() {
            let mut it = framing();
            let mut frames = Vec::new();
            for read in [&bytes[..cut], &bytes[cut..]] {
                it.push(read).unwrap();
                while let Some(incoming) = it.next_frame() {
                    frames.push(incoming);
                }
            }
            assert_eq!(frames, [frame(SEALED).unwrap(), frame(SEALED).unwrap()], "{cut}");
        }
    }

    #[test]
    fn empty_packets_and_the_collectors_word_run_dequeue_actions() {
        for bytes in [&b""[..], b"\0", b"\0\0", b"dequeue_actions", b"dequeue_actions\0"] {
            let mut it = framing();
            it.push(bytes).unwrap();
            let incoming = it.next_frame().or_else(|| it.finish());
            assert_eq!(incoming, Some(Incoming::DequeueActions), "{bytes:?}");
            assert_eq!(it.finish(), None);
        }
        let mut it = framing();
        it.push(b"dequeue_actions").unwrap();
        assert_eq!(it.next_frame(), None, "more may follow");
    }

    #[test]
    fn a_message_in_many_reads_is_looked_at_once() {
        let mut it = framing();
        for at in 0..900 {
            it.push(b"x").unwrap();
            assert_eq!(it.next_frame(), None);
            assert_eq!(it.scanned, at + 1);
        }
        it.push(b"\0").unwrap();
        assert_eq!(it.next_frame(), frame(&[b'x'; 900]));
        assert_eq!((it.scanned, it.pending()), (0, 0));
    }

    #[test]
    fn memory_is_told_before_it_is_taken_and_ends_at_the_longest_message() {
        let mut it = framing();
        let mut most = 0;
        for _ in 0..20 {
            let told = it.held_bytes_with(50);
            it.push(&[b'x'; 50]).unwrap();
            assert_eq!(it.held_bytes(), told);
            most = most.max(told);
        }
        assert_eq!(most, 1_008);
        assert!(it.push(&[b'x'; 50]).is_err());
        it.set_max_frame(2_000);
        it.push(&[b'x'; 50]).unwrap();
    }

    #[test]
    fn a_long_message_is_refused_before_it_is_kept() {
        let mut it = framing();
        it.push(&[b'x'; 1_000]).unwrap();
        assert_eq!(it.push(&[b'x'; 1_000]), Err(TooLong { max_frame: 1_000 }));
        assert_eq!(it.pending(), 1_000);
    }
}
