//! Who sent invalid messages, and who is not listened to any more (wire.md §3, design.md).

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Consecutive invalid messages that blacklist a sender (manual page "Agent Daemon Listener").
pub const THRESHOLD: u32 = 5;

/// Most senders remembered (design.md).
pub const MOST_SENDERS: usize = 65_536;

/// Consecutive invalid messages by sender. Never expires; in memory only.
#[derive(Debug, Clone)]
pub struct Blacklist {
    entries: BTreeMap<IpAddr, Entry>,
    /// Senders by age, those under the threshold and the others: who is forgotten first.
    suspects: BTreeMap<u64, IpAddr>,
    listed: BTreeMap<u64, IpAddr>,
    most: usize,
    clock: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    count: u32,
    age: u64,
}

/// What an invalid message changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Invalid messages in a row, at most [`THRESHOLD`].
    pub count: u32,
    /// This message blacklisted its sender.
    pub is_new: bool,
    /// The sender forgotten to make room.
    pub forgotten: Option<IpAddr>,
}

impl Default for Blacklist {
    fn default() -> Self {
        Self::with_room(MOST_SENDERS)
    }
}

impl Blacklist {
    /// An empty list that remembers `most` senders.
    #[must_use]
    pub fn with_room(most: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            suspects: BTreeMap::new(),
            listed: BTreeMap::new(),
            most: most.max(1),
            clock: 0,
        }
    }

    /// Counts an invalid message. The count stays at the threshold.
    pub fn on_invalid(&mut self, sender: IpAddr) -> Counted {
        let sender = sender.to_canonical();
        if let Some(entry) = self.entries.get_mut(&sender) {
            let is_new = entry.count + 1 == THRESHOLD;
            entry.count = (entry.count + 1).min(THRESHOLD);
            let Entry { count, age } = *entry;
            if is_new {
                self.suspects.remove(&age);
                self.listed.insert(age, sender);
            }
            return Counted { count, is_new, forgotten: None };
        }
        let forgotten = if self.entries.len() >= self.most { self.forget() } else { None };
        self.clock += 1;
        self.entries.insert(sender, Entry { count: 1, age: self.clock });
        self.suspects.insert(self.clock, sender);
        Counted { count: 1, is_new: false, forgotten }
    }

    /// A message of this sender opened: what it sent before is forgotten, unless it is blacklisted already (the
    /// message was then read before). Whether there was something to forget.
    pub fn on_valid(&mut self, sender: IpAddr) -> bool {
        let sender = sender.to_canonical();
        match self.entries.get(&sender) {
            Some(entry) if entry.count < THRESHOLD => {
                self.suspects.remove(&entry.age);
                self.entries.remove(&sender);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Invalid messages in a row of a sender.
    #[must_use]
    pub fn count(&self, sender: IpAddr) -> u32 {
        self.entries.get(&sender.to_canonical()).map_or(0, |entry| entry.count)
    }

    /// Whether messages of this sender are dropped before they are opened.
    #[must_use]
    pub fn is_blacklisted(&self, sender: IpAddr) -> bool {
        self.count(sender) >= THRESHOLD
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        *self = Self { clock: self.clock, ..Self::with_room(self.most) };
    }

    /// Senders and their counts.
    pub fn entries(&self) -> impl Iterator<Item = (IpAddr, u32)> + '_ {
        self.entries.iter().map(|(sender, entry)| (*sender, entry.count))
    }

    /// The oldest sender under the threshold goes first, then the oldest blacklisted one.
    fn forget(&mut self) -> Option<IpAddr> {
        let (_, sender) = self.suspects.pop_first().or_else(|| self.listed.pop_first())?;
        self.entries.remove(&sender);
        Some(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn the_fifth_consecutive_invalid_message_blacklists_and_the_count_stays_there() {
        let mut list = Blacklist::default();
        for count in 1..THRESHOLD {
            let counted = list.on_invalid(sender(1));
            assert_eq!(counted, Counted { count, is_new: false, forgotten: None });
            assert!(!list.is_blacklisted(sender(1)));
        }
        let fifth = list.on_invalid(sender(1));
        assert_eq!(fifth, Counted { count: THRESHOLD, is_new: true, forgotten: None });
        assert!(list.is_blacklisted(sender(1)) && !list.is_blacklisted(sender(2)));
        let sixth = list.on_invalid(sender(1));
        assert_eq!(sixth, Counted { count: THRESHOLD, is_new: false, forgotten: None });
    }

    #[test]
    fn a_valid_message_forgets_but_does_not_pardon() {
        let mut list = Blacklist::default();
        for _ in 1..THRESHOLD {
            list.on_invalid(sender(1));
        }
        assert!(list.on_valid(sender(1)));
        assert_eq!(list.count(sender(1)), 0);
        for _ in 0..THRESHOLD {
            list.on_invalid(sender(1));
        }
        assert!(!list.on_valid(sender(1)));
        assert!(list.is_blacklisted(sender(1)));
        list.clear();
        assert_eq!(list.entries().count(), 0);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mut list = Blacklist::default();
        list.on_invalid("::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(list.entries().collect::<Vec<_>>(), [(sender(1), 1)]);
    }

    #[test]
    fn a_full_list_forgets_suspects_before_the_blacklisted() {
        let mut list = Blacklist::with_room(3);
        for _ in 0..THRESHOLD {
            list.on_invalid(sender(1));
        }
        list.on_invalid(sender(2));
        list.on_invalid(sender(3));
        assert_eq!(list.on_invalid(sender(4)).forgotten, Some(sender(2)));
        assert_eq!(list.on_invalid(sender(5)).forgotten, Some(sender(3)));
        assert!(list.is_blacklisted(sender(1)));
        for number in 4..=5 {
            for _ in 0..THRESHOLD {
                list.on_invalid(sender(number));
            }
        }
        assert_eq!(list.on_invalid(sender(6)).forgotten, Some(sender(1)));
        assert_eq!(list.entries().count(), 3);
    }
}
