//! Classic messages that were seen: none passes twice.
//!
//! They carry no time and no number. But no two of them have a block of ciphertext in common, so the last block, which holds
//! the checksum, names the message: also one whose beginning was changed.

use std::collections::{BTreeSet, VecDeque};

use crate::Refusal;

/// What names a classic message: its last block of ciphertext.
pub type CipherId = [u8; 16];

/// Messages that change something, of which a node remembers so many, also after a restart.
pub const MOST_CHANGING: usize = 200_000;
/// Other messages that a node remembers while it runs.
pub const MOST_OTHERS: usize = 65_536;

/// The newest of a kind.
#[derive(Debug)]
struct Newest {
    most: usize,
    order: VecDeque<CipherId>,
    ids: BTreeSet<CipherId>,
}

impl Newest {
    fn new(most: usize) -> Self {
        Self { most, order: VecDeque::new(), ids: BTreeSet::new() }
    }

    fn insert(&mut self, id: CipherId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// The memory of a node.
#[derive(Debug)]
pub struct SeenMessages {
    changing: Newest,
    others: Newest,
}

impl Default for SeenMessages {
    fn default() -> Self {
        Self::with_capacity(MOST_CHANGING, MOST_OTHERS)
    }
}

impl SeenMessages {
    fn with_capacity(changing: usize, others: usize) -> Self {
        Self { changing: Newest::new(changing), others: Newest::new(others) }
    }

    /// Remembers a message that changed something before a restart.
    pub fn restore(&mut self, id: CipherId) {
        self.changing.insert(id);
    }

    /// Takes a message once; `is_changing`: it asks for a change.
    ///
    /// # Errors
    ///
    /// [`Refusal::Replayed`], not counted.
    pub fn take(&mut self, id: CipherId, is_changing: bool) -> Result<(), Refusal> {
        if self.changing.ids.contains(&id) || self.others.ids.contains(&id) {
            return Err(Refusal::Replayed);
        }
        let memory = if is_changing { &mut self.changing } else { &mut self.others };
        memory.insert(id);
        Ok(())
    }

    /// The messages that changed something, oldest first.
    pub fn changing(&self) -> impl ExactSizeIterator<Item = &CipherId> {
        self.changing.order.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_passes_once_and_what_reads_does_not_push_out_what_changes() {
        let mut seen = SeenMessages::with_capacity(2, 3);
        assert_eq!(seen.take([1; 16], true), Ok(()));
        for id in 10..20 {
            assert_eq!(seen.take([id; 16], false), Ok(()));
            assert_eq!(seen.take([id; 16], true), Err(Refusal::Replayed));
            assert_eq!(seen.take([1; 16], false), Err(Refusal::Replayed));
        }
        assert_eq!(seen.others.order.len(), 3);
        assert_eq!(seen.others.ids.len(), 3);
        seen.restore([2; 16]);
        seen.restore([2; 16]);
        seen.restore([3; 16]);
        assert_eq!(seen.changing().copied().collect::<Vec<_>>(), [[2; 16], [3; 16]]);
        assert_eq!(seen.take([3; 16], true), Err(Refusal::Replayed));
    }
}
