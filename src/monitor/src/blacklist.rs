//! Who sent invalid messages, and who is not listened to for a while (src/wire/README.md, Refusals).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Consecutive invalid messages that blacklist a sender (manual page "Agent Daemon Listener").
pub const THRESHOLD: u32 = 5;

/// Most senders remembered: who sends from many addresses takes no more memory than that.
pub const MOST_SENDERS: usize = 65_536;

/// How long a sender is blacklisted the first time. Each time again doubles it.
pub const FIRST_BAN: Duration = Duration::from_secs(60);

/// Longest time that a sender is blacklisted, and how long it is remembered afterwards that it was.
pub const LONGEST_BAN: Duration = Duration::from_secs(86_400);

/// Consecutive invalid messages by sender. In memory only. Times are since any fixed start.
///
/// An address that is known, a member's or one from which messages opened lately, is counted like any other: whoever
/// reads the list does not drop what it sends. Its entry goes once it was quiet for [`FIRST_BAN`].
#[derive(Debug, Clone)]
pub struct Blacklist {
    entries: BTreeMap<IpAddr, Entry>,
    /// Senders by age, those under the threshold and the others: who is forgotten first.
    suspects: BTreeMap<u64, IpAddr>,
    listed: BTreeMap<u64, IpAddr>,
    /// When entries at the threshold end.
    ends: BTreeSet<(Duration, IpAddr)>,
    /// How often senders were blacklisted, and until when that is remembered.
    past: BTreeMap<IpAddr, Past>,
    past_ends: BTreeSet<(Duration, IpAddr)>,
    most: usize,
    clock: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    count: u32,
    age: u64,
    /// When it ends; none under the threshold.
    until: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Past {
    times: u32,
    until: Duration,
}

/// What an invalid message changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Invalid messages in a row, at most [`THRESHOLD`].
    pub count: u32,
    /// This message reached the threshold.
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
            ends: BTreeSet::new(),
            past: BTreeMap::new(),
            past_ends: BTreeSet::new(),
            most: most.max(1),
            clock: 0,
        }
    }

    /// Counts an invalid message. The count stays at the threshold.
    pub fn on_invalid(&mut self, now: Duration, sender: IpAddr, is_known: bool) -> Counted {
        let sender = sender.to_canonical();
        if self.entries.get(&sender).and_then(|entry| entry.until).is_some_and(|end| end <= now) {
            self.remove(sender);
        }
        if let Some(entry) = self.entries.get_mut(&sender) {
            let is_new = entry.count + 1 == THRESHOLD;
            entry.count = (entry.count + 1).min(THRESHOLD);
            let Entry { count, age, .. } = *entry;
            if is_new {
                self.suspects.remove(&age);
                self.listed.insert(age, sender);
            }
            if is_new || (is_known && count == THRESHOLD) {
                let length = if is_known { FIRST_BAN } else { self.ban(now, sender) };
                self.end_at(sender, now + length);
            }
            return Counted { count, is_new, forgotten: None };
        }
        let forgotten = if self.entries.len() >= self.most { self.forget() } else { None };
        self.clock += 1;
        self.entries.insert(sender, Entry { count: 1, age: self.clock, until: None });
        self.suspects.insert(self.clock, sender);
        Counted { count: 1, is_new: false, forgotten }
    }

    /// A message of this sender opened: what it sent before is forgotten, unless it is blacklisted already (the
    /// message was then read before). Whether there was something to forget.
    pub fn on_valid(&mut self, sender: IpAddr) -> bool {
        let sender = sender.to_canonical();
        match self.entries.get(&sender) {
            Some(entry) if entry.count < THRESHOLD => {
                self.remove(sender);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Ends what is over; the senders that are listened to again.
    pub fn on_time(&mut self, now: Duration) -> Vec<IpAddr> {
        let mut over = vec![];
        while let Some((end, sender)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            self.ends.remove(&(end, sender));
            self.remove(sender);
            over.push(sender);
        }
        while let Some(past) = self.past_ends.first().copied().filter(|(end, _)| *end <= now) {
            self.past_ends.remove(&past);
            self.past.remove(&past.1);
        }
        over
    }

    /// When [`Self::on_time`] has something to end next.
    #[must_use]
    pub fn next_end(&self) -> Option<Duration> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Invalid messages in a row of a sender.
    #[must_use]
    pub fn count(&self, sender: IpAddr) -> u32 {
        self.entries.get(&sender.to_canonical()).map_or(0, |entry| entry.count)
    }

    /// Whether a sender reached the threshold.
    #[must_use]
    pub fn is_blacklisted(&self, sender: IpAddr) -> bool {
        self.count(sender) >= THRESHOLD
    }

    /// How many senders reached the threshold.
    #[must_use]
    pub fn blacklisted(&self) -> usize {
        self.listed.len()
    }

    /// Forgets everybody, and how often they were blacklisted.
    pub fn clear(&mut self) {
        *self = Self { clock: self.clock, ..Self::with_room(self.most) };
    }

    /// Senders and their counts.
    pub fn entries(&self) -> impl Iterator<Item = (IpAddr, u32)> + '_ {
        self.entries.iter().map(|(sender, entry)| (*sender, entry.count))
    }

    /// How long a sender is blacklisted now: twice as long as the time before.
    fn ban(&mut self, now: Duration, sender: IpAddr) -> Duration {
        let before = self.past.get(&sender).filter(|past| past.until > now);
        let times = before.map_or(0, |past| past.times);
        let length = FIRST_BAN.saturating_mul(1 << times.min(16)).min(LONGEST_BAN);
        let past = Past { times: times.saturating_add(1), until: now + length + LONGEST_BAN };
        if let Some(old) = self.past.insert(sender, past) {
            self.past_ends.remove(&(old.until, sender));
        }
        self.past_ends.insert((past.until, sender));
        if self.past.len() > self.most
            && let Some((_, oldest)) = self.past_ends.pop_first()
        {
            self.past.remove(&oldest);
        }
        length
    }

    fn end_at(&mut self, sender: IpAddr, until: Duration) {
        let Some(entry) = self.entries.get_mut(&sender) else { return };
        if let Some(old) = entry.until.replace(until) {
            self.ends.remove(&(old, sender));
        }
        self.ends.insert((until, sender));
    }

    fn remove(&mut self, sender: IpAddr) {
        let Some(Entry { age, until, .. }) = self.entries.remove(&sender) else { return };
        self.suspects.remove(&age);
        self.listed.remove(&age);
        if let Some(until) = until {
            self.ends.remove(&(until, sender));
        }
    }

    /// The oldest sender under the threshold goes first, then the oldest blacklisted one.
    fn forget(&mut self) -> Option<IpAddr> {
        let (_, sender) = self.suspects.first_key_value().or(self.listed.first_key_value())?;
        let sender = *sender;
        self.remove(sender);
        Some(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn sender(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    fn blacklist(list: &mut Blacklist, now: Duration, sender: IpAddr) {
        for _ in 0..THRESHOLD {
            list.on_invalid(now, sender, false);
        }
    }

    #[test]
    fn the_fifth_consecutive_invalid_message_blacklists_and_the_count_stays_there() {
        let mut list = Blacklist::default();
        for count in 1..THRESHOLD {
            let counted = list.on_invalid(START, sender(1), false);
            assert_eq!(counted, Counted { count, is_new: false, forgotten: None });
            assert!(!list.is_blacklisted(sender(1)));
        }
        let fifth = list.on_invalid(START, sender(1), false);
        assert_eq!(fifth, Counted { count: THRESHOLD, is_new: true, forgotten: None });
        assert!(list.is_blacklisted(sender(1)) && !list.is_blacklisted(sender(2)));
        let sixth = list.on_invalid(START, sender(1), false);
        assert_eq!(sixth, Counted { count: THRESHOLD, is_new: false, forgotten: None });
    }

    #[test]
    fn a_valid_message_forgets_but_does_not_pardon() {
        let mut list = Blacklist::default();
        for _ in 1..THRESHOLD {
            list.on_invalid(START, sender(1), false);
        }
        assert!(list.on_valid(sender(1)));
        assert_eq!(list.count(sender(1)), 0);
        blacklist(&mut list, START, sender(1));
        assert!(!list.on_valid(sender(1)));
        assert!(list.is_blacklisted(sender(1)));
        list.clear();
        assert_eq!(list.entries().count(), 0);
    }

    #[test]
    fn an_entry_lasts_a_minute_at_first_and_twice_as_long_each_time_up_to_a_day() {
        let mut list = Blacklist::default();
        let (mut now, mut length) = (START, FIRST_BAN);
        for _ in 0..14 {
            blacklist(&mut list, now, sender(1));
            assert_eq!(list.next_end(), Some(now + length));
            assert!(list.on_time(now + length - Duration::from_millis(1)).is_empty());
            assert!(list.is_blacklisted(sender(1)));
            now += length;
            assert_eq!(list.on_time(now), [sender(1)]);
            assert_eq!(list.count(sender(1)), 0);
            length = (length * 2).min(LONGEST_BAN);
        }
        assert_eq!(length, LONGEST_BAN);
        // What it did is forgotten a day after the end, and at once by an operator.
        now += LONGEST_BAN;
        assert!(list.on_time(now).is_empty());
        blacklist(&mut list, now, sender(1));
        assert_eq!(list.next_end(), Some(now + FIRST_BAN));
        list.clear();
        blacklist(&mut list, now, sender(1));
        assert_eq!(list.next_end(), Some(now + FIRST_BAN));
    }

    #[test]
    fn messages_that_are_dropped_do_not_make_it_longer_and_a_late_look_does_not_either() {
        let mut list = Blacklist::default();
        blacklist(&mut list, START, sender(1));
        list.on_invalid(START + Duration::from_secs(30), sender(1), false);
        assert_eq!(list.next_end(), Some(START + FIRST_BAN));
        let counted = list.on_invalid(START + FIRST_BAN, sender(1), false);
        assert_eq!((counted.count, list.next_end()), (1, None), "nobody had looked yet");
    }

    #[test]
    fn a_known_sender_is_shown_until_it_was_quiet_for_a_minute() {
        let mut list = Blacklist::default();
        let mut now = START;
        for _ in 0..100 {
            list.on_invalid(now, sender(1), true);
            now += Duration::from_secs(10);
        }
        assert_eq!(list.count(sender(1)), THRESHOLD);
        assert!(list.on_time(now + FIRST_BAN - Duration::from_secs(11)).is_empty());
        assert_eq!(list.on_time(now + FIRST_BAN - Duration::from_secs(10)), [sender(1)]);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mut list = Blacklist::default();
        list.on_invalid(START, "::ffff:10.0.0.1".parse().unwrap(), false);
        assert_eq!(list.entries().collect::<Vec<_>>(), [(sender(1), 1)]);
    }

    #[test]
    fn a_full_list_forgets_suspects_before_the_blacklisted() {
        let mut list = Blacklist::with_room(3);
        blacklist(&mut list, START, sender(1));
        list.on_invalid(START, sender(2), false);
        list.on_invalid(START, sender(3), false);
        let mut next = |number| list.on_invalid(START, sender(number), false).forgotten;
        assert_eq!(next(4), Some(sender(2)));
        assert_eq!(next(5), Some(sender(3)));
        assert!(list.is_blacklisted(sender(1)));
        for number in 4..=5 {
            blacklist(&mut list, START, sender(number));
        }
        assert_eq!(list.on_invalid(START, sender(6), false).forgotten, Some(sender(1)));
        assert_eq!(list.entries().count(), 3);
        for number in 10..100 {
            blacklist(&mut list, START, sender(number));
        }
        assert!(list.past.len() <= 3 && list.past_ends.len() <= 3 && list.ends.len() <= 3);
    }
}
