//! The bytes of a message as they came.
//!
//! A long one has pages of its own, which take memory once they are written, and give it back when the message goes. A
//! heap keeps what it got back for a while, and a buffer that grows there leaves its former places behind.

use std::fmt;
use std::ops::Deref;

use memmap2::MmapMut;

/// Longest message on the heap.
const LONGEST_ON_HEAP: usize = 1 << 20;

/// How many times as long as a message its pages may become, before they are taken anew: a system that counts promised
/// memory as taken does not count many times what is there.
const PROMISED: usize = 8;

/// Bytes by which the memory of a long message is told.
const STEP: usize = 256 << 10;

/// The bytes of a message.
#[derive(Default)]
pub struct Raw(Place);

enum Place {
    Heap(Vec<u8>),
    Pages { pages: MmapMut, length: usize },
}

impl Default for Place {
    fn default() -> Self {
        Self::Heap(vec![])
    }
}

impl Raw {
    /// Memory that it takes, in bytes.
    pub(crate) fn held(&self) -> usize {
        match &self.0 {
            Place::Heap(bytes) => bytes.capacity(),
            Place::Pages { length, .. } => length.next_multiple_of(STEP),
        }
    }

    /// Memory that it takes once it has `more` bytes, of `most` at the end.
    pub(crate) fn held_with(&self, more: usize, most: usize) -> usize {
        let needed = self.len() + more;
        match &self.0 {
            Place::Heap(bytes) if needed <= bytes.capacity() => bytes.capacity(),
            Place::Heap(bytes) if needed <= LONGEST_ON_HEAP => {
                // By doubling, because each growth may copy; not beyond what a message may have.
                needed.max((bytes.capacity() * 2).min(most).min(LONGEST_ON_HEAP))
            }
            _ => needed.next_multiple_of(STEP),
        }
    }

    /// Adds bytes to what has `most` at the end.
    pub(crate) fn extend(&mut self, read: &[u8], most: usize) {
        let needed = self.len() + read.len();
        let held = self.held_with(read.len(), most);
        match &mut self.0 {
            Place::Heap(bytes) if needed <= bytes.capacity().max(LONGEST_ON_HEAP) => {
                bytes.reserve_exact(held - bytes.len());
                bytes.extend_from_slice(read);
            }
            Place::Pages { pages, length } if needed <= pages.len() => {
                pages[*length..needed].copy_from_slice(read);
                *length = needed;
            }
            _ => self.0 = moved(self, read, most),
        }
    }

    /// Takes the bytes from `at` on away.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let rest = self[at..].to_vec();
        self.truncate(at);
        rest.into()
    }

    /// Keeps the first bytes.
    pub(crate) fn truncate(&mut self, end: usize) {
        match &mut self.0 {
            Place::Heap(bytes) => bytes.truncate(end),
            Place::Pages { length, .. } => *length = end.min(*length),
        }
    }
}

/// The place of these bytes together, where there is room for more. The heap has them where the system has no pages.
fn moved(first: &[u8], second: &[u8], most: usize) -> Place {
    let length = first.len() + second.len();
    match MmapMut::map_anon(length.saturating_mul(PROMISED).min(most).max(length)) {
        Ok(mut pages) => {
            pages[..first.len()].copy_from_slice(first);
            pages[first.len()..length].copy_from_slice(second);
            Place::Pages { pages, length }
        }
        Err(_) => {
            let mut bytes = Vec::with_capacity(length.saturating_mul(2).min(most).max(length));
            bytes.extend_from_slice(first);
            bytes.extend_from_slice(second);
            Place::Heap(bytes)
        }
    }
}

impl Deref for Raw {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Heap(bytes) => bytes,
            Place::Pages { pages, length } => &pages[..*length],
        }
    }
}

impl From<Vec<u8>> for Raw {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Place::Heap(bytes))
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Raw {}

/// A message may hold secrets: its length is shown.
impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_any_length_tells_its_memory_before_it_takes_it() {
        const MOST: usize = 20 << 20;
        let bytes: Vec<_> = (0..MOST).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut it = Raw::default();
        for read in bytes.chunks(16 << 10) {
            let told = it.held_with(read.len(), MOST);
            it.extend(read, MOST);
            assert_eq!(it.held(), told);
            assert!(told >= it.len() && told <= (it.len() * 2).max(it.len() + STEP), "{told}");
        }
        assert!(it[..] == bytes[..]);
        assert!(matches!(it.0, Place::Pages { .. }));
        let rest = it.split_off(MOST - 5);
        assert_eq!((&rest[..], it.len()), (&bytes[MOST - 5..], MOST - 5));
        it.truncate(3);
        assert_eq!(it[..], bytes[..3]);
    }
}
