//! Slots on a shared device: a page of names, and a slot of a message for each node.
//!
//! Bytes only: who reads and writes them, and when, is the driver's.

use serde::{Deserialize, Serialize};

use crate::{parse_json, to_ascii_json};

/// Bytes of a page of names. Deployed agents take the machine's page size: nodes of other sizes cannot share a device.
pub const PAGE: usize = 4_096;

/// Bytes of the region of names, at the start of the device.
pub const META: usize = 4 << 20;

/// Bytes of a message slot.
pub const SLOT: usize = 1 << 20;

/// Slots that have a name page.
pub const SLOTS: usize = META / PAGE;

/// Where the name of a slot is, in bytes from the start of the device.
#[must_use]
pub fn name_offset(slot: usize) -> u64 {
    (slot * PAGE) as u64
}

/// Where the message of a slot is.
#[must_use]
pub fn message_offset(slot: usize) -> u64 {
    (META + slot * SLOT) as u64
}

/// Whose the slots are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Names by slot, up to the first free one. A name in two slots is there twice: the first counts.
    pub names: Vec<String>,
    /// The first free slot; none when all are taken, or the region ends before.
    pub free: Option<usize>,
}

impl Names {
    /// Reads the region of names, or its start.
    #[must_use]
    pub fn read(region: &[u8]) -> Self {
        let mut names = vec![];
        for (slot, page) in region.chunks_exact(PAGE).take(SLOTS).enumerate() {
            let Some(name) = name(page) else {
                return Self { names, free: Some(slot) };
            };
            names.push(name);
        }
        Self { names, free: None }
    }

    /// The slot of a node.
    #[must_use]
    pub fn slot(&self, node: &str) -> Option<usize> {
        self.names.iter().position(|name| name == node)
    }

    /// Later slots of names that have one already.
    #[must_use]
    pub fn duplicates(&self) -> Vec<(&str, usize)> {
        let mut found = vec![];
        for (slot, name) in self.names.iter().enumerate() {
            if self.slot(name) != Some(slot) {
                found.push((name.as_str(), slot));
            }
        }
        found
    }
}

/// The name in a page; none when its slot is free. Bytes that are no text are replaced.
#[must_use]
pub fn name(page: &[u8]) -> Option<String> {
    let end = memchr::memchr(0, page).unwrap_or(page.len());
    (end > 0).then(|| String::from_utf8_lossy(&page[..end.min(255)]).into_owned())
}

/// Writes a name into a page, zeros after it.
///
/// # Panics
///
/// When the name does not fit: a node name has at most 253 bytes.
pub fn write_name(page: &mut [u8], node: &str) {
    page.fill(0);
    page[..node.len()].copy_from_slice(node.as_bytes());
}

/// A message slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The frame, without its final NUL.
    pub msg: String,
    /// When it was written, by the clock of the sender, in seconds since 1970.
    pub updated: f64,
}

/// A message longer than its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoesNotFit {
    /// Bytes that it needs.
    pub bytes: usize,
}

impl std::fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the message has {} bytes, a slot holds {SLOT}", self.bytes)
    }
}

impl std::error::Error for DoesNotFit {}

impl Message {
    /// Writes the message into a slot: its text, a NUL, then what was there before. Returns the bytes that changed.
    ///
    /// # Errors
    ///
    /// [`DoesNotFit`]: nothing is written.
    pub fn write(&self, slot: &mut [u8]) -> Result<usize, DoesNotFit> {
        let text = to_ascii_json(self);
        let bytes = text.len() + 1;
        if bytes > slot.len() {
            return Err(DoesNotFit { bytes });
        }
        slot[..text.len()].copy_from_slice(&text);
        slot[text.len()] = 0;
        Ok(bytes)
    }

    /// Reads a slot; none when there is no message in it, or half a one.
    #[must_use]
    pub fn read(slot: &[u8]) -> Option<Self> {
        let end = memchr::memchr(0, slot)?;
        parse_json(&slot[..end]).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(names: &[&str]) -> Vec<u8> {
        let mut region = vec![0; PAGE * 8];
        for (page, name) in region.chunks_exact_mut(PAGE).zip(names) {
            write_name(page, name);
        }
        region
    }

    #[test]
    fn the_first_slot_of_a_name_counts_and_reading_ends_at_the_first_free_one() {
        let names = Names::read(&region(&["n2", "n1", "n2", "", "n4"]));
        assert_eq!(names.names, ["n2", "n1", "n2"]);
        assert_eq!(
            (names.slot("n2"), names.slot("n1"), names.slot("n4")),
            (Some(0), Some(1), None)
        );
        assert_eq!((names.free, names.duplicates()), (Some(3), vec![("n2", 2)]));
        let full = Names::read(&region(&["a", "b", "c", "d", "e", "f", "g", "h"]));
        assert_eq!(full.free, None);
        assert_eq!(Names::read(&[]), Names::default());
    }

    #[test]
    fn foreign_bytes_are_some_name() {
        assert_eq!(Names::read(&[0xff; PAGE]).names.len(), 1);
        assert_eq!(name(&[0xff; PAGE]).map(|name| name.chars().count()), Some(255));
    }

    #[test]
    fn a_message_reads_back_whatever_the_longer_one_before_left() {
        let mut slot = vec![b'x'; 200];
        let message = Message { msg: "{\"a\": \"b\"}".into(), updated: 1795363986.6978464 };
        assert_eq!(message.write(&mut slot), Ok(57));
        assert_eq!(Message::read(&slot), Some(message.clone()));
        assert_eq!(message.write(&mut slot[..57]), Ok(57));
        assert_eq!(message.write(&mut slot[..56]), Err(DoesNotFit { bytes: 57 }));
        assert_eq!(Message::read(&slot[..56]), None, "half a message");
        assert_eq!((Message::read(&[0; 10]), Message::read(b"[1]\0")), (None, None));
    }

    #[test]
    fn slots_lie_behind_the_names() {
        assert_eq!((name_offset(0), name_offset(SLOTS)), (0, META as u64));
        assert_eq!((message_offset(0), message_offset(2)), (4 << 20, 6 << 20));
    }
}
