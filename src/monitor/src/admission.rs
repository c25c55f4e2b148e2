//! Who may be connected: how many, all together and from one address, and who makes room.
//!
//! A connection is *proven* once a message of it opened. Silence costs nothing to send, so connections that proved
//! nothing make room for others, the oldest first, and a proven one never does. Of strangers, the address that holds most
//! makes room first: a crowd behind few addresses closes no connection of another one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::origin;

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// All together.
    pub total: usize,
    /// Of these, kept for known addresses.
    pub reserved: usize,
    /// From one address.
    pub per_address: usize,
    /// From one address that is not known, of those that proved nothing.
    pub unproven_per_stranger: usize,
    /// From one address that is known. Deployed agents ask with a connection for each message, many at once, and none of
    /// them is proven before it is answered.
    pub unproven_per_member: usize,
    /// From all addresses that are not known, of those that proved nothing: what strangers take is bounded, however many may
    /// be connected.
    pub unproven_strangers: usize,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// Too many connections, all proven.
    Total,
    /// Too many from this address.
    Address,
}

#[derive(Debug, Clone, Copy)]
struct Connection {
    origin: IpAddr,
    is_known: bool,
}

#[derive(Debug, Clone, Default)]
struct Crowd {
    total: usize,
    unproven: BTreeSet<u64>,
    /// Of those, the ones that came as strangers.
    strangers: BTreeSet<u64>,
}

/// The connections that are open, by number: the lower the older.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    open: BTreeMap<u64, Connection>,
    crowds: BTreeMap<IpAddr, Crowd>,
    /// Connections that proved nothing yet, from addresses that are not known, and from those that are.
    unproven_strangers: BTreeSet<u64>,
    unproven_known: BTreeSet<u64>,
    strangers: usize,
    /// The addresses that hold connections of strangers that proved nothing, by how many those are.
    by_crowd: BTreeSet<(usize, IpAddr)>,
}

impl Admission {
    /// Lets connection `id` in, and counts it until [`Self::leave`]. Returns those that are to be closed for it; they
    /// are forgotten. `claim` ends one for good, unless it was proven meanwhile: false then.
    ///
    /// `is_known`: the address is a member's, or messages from it opened lately.
    ///
    /// # Errors
    ///
    /// [`Crowded`] when a limit is reached and nobody makes room; nothing is counted then.
    pub fn enter(
        &mut self,
        id: u64,
        address: IpAddr,
        is_known: bool,
        limits: &ConnectionLimits,
        mut claim: impl FnMut(u64) -> bool,
    ) -> Result<Vec<u64>, Crowded> {
        // Nodes of one network share a /64: only strangers are counted by it.
        let origin = if is_known { address.to_canonical() } else { origin(address) };
        let unproven =
            if is_known { limits.unproven_per_member } else { limits.unproven_per_stranger };
        let mut closed = vec![];
        while let Some(crowd) = self.crowds.get(&origin)
            && (crowd.total >= limits.per_address || crowd.unproven.len() >= unproven)
        {
            let oldest = crowd.unproven.first().copied().ok_or(Crowded::Address)?;
            closed.extend(self.close(oldest, &mut claim));
        }
        while !is_known && self.unproven_strangers.len() >= limits.unproven_strangers {
            let Some(first) = self.first_to_go() else { break };
            closed.extend(self.close(first, &mut claim));
        }
        let for_strangers = limits.total.saturating_sub(limits.reserved);
        while !is_known && self.strangers >= for_strangers {
            let first = self.first_to_go().ok_or(Crowded::Total)?;
            closed.extend(self.close(first, &mut claim));
        }
        while self.open.len() >= limits.total {
            let first = self.first_to_go().or(self.unproven_known.first().copied());
            closed.extend(self.close(first.ok_or(Crowded::Total)?, &mut claim));
        }
        self.open.insert(id, Connection { origin, is_known });
        let crowd = self.crowds.entry(origin).or_default();
        crowd.total += 1;
        crowd.unproven.insert(id);
        if is_known {
            self.unproven_known.insert(id);
        } else {
            self.unproven_strangers.insert(id);
            self.strangers += 1;
            self.count_strangers(origin, |strangers| _ = strangers.insert(id));
        }
        Ok(closed)
    }

    /// Of strangers that proved nothing, the one to go first: the oldest from the address that holds most.
    fn first_to_go(&self) -> Option<u64> {
        match self.by_crowd.last() {
            Some((2.., origin)) => self.crowds.get(origin)?.strangers.first().copied(),
            _ => self.unproven_strangers.first().copied(),
        }
    }

    /// Changes which connections of an address are those of strangers that proved nothing.
    fn count_strangers(&mut self, origin: IpAddr, change: impl FnOnce(&mut BTreeSet<u64>)) {
        let Some(crowd) = self.crowds.get_mut(&origin) else { return };
        let before = crowd.strangers.len();
        change(&mut crowd.strangers);
        let after = crowd.strangers.len();
        if before != after {
            self.by_crowd.remove(&(before, origin));
            if after > 0 {
                self.by_crowd.insert((after, origin));
            }
        }
    }

    /// A message of a connection opened.
    pub fn prove(&mut self, id: u64) {
        self.unproven_strangers.remove(&id);
        self.unproven_known.remove(&id);
        let Some(Connection { origin, .. }) = self.open.get(&id).copied() else { return };
        if let Some(crowd) = self.crowds.get_mut(&origin) {
            crowd.unproven.remove(&id);
        }
        self.count_strangers(origin, |strangers| _ = strangers.remove(&id));
    }

    /// A connection has ended.
    pub fn leave(&mut self, id: u64) {
        self.prove(id);
        let Some(Connection { origin, is_known }) = self.open.remove(&id) else { return };
        if !is_known {
            self.strangers -= 1;
        }
        if let Some(crowd) = self.crowds.get_mut(&origin) {
            crowd.total -= 1;
            if crowd.total == 0 {
                self.crowds.remove(&origin);
            }
        }
    }

    /// Open connections.
    #[must_use]
    pub fn total(&self) -> usize {
        self.open.len()
    }

    fn close(&mut self, id: u64, claim: &mut impl FnMut(u64) -> bool) -> Option<u64> {
        if claim(id) {
            self.leave(id);
            return Some(id);
        }
        self.prove(id);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        total: 8,
        reserved: 2,
        per_address: 4,
        unproven_per_stranger: 3,
        unproven_per_member: 4,
        unproven_strangers: 100,
    };
    const NOBODY: Result<Vec<u64>, Crowded> = Ok(vec![]);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn enter(open: &mut Admission, id: u64, last: u8) -> Result<Vec<u64>, Crowded> {
        open.enter(id, address(last), last < 100, &LIMITS, |_| true)
    }

    #[test]
    fn of_one_address_the_oldest_that_proved_nothing_goes_and_proven_ones_are_not_counted() {
        let mut open = Admission::default();
        for id in 0..3 {
            assert_eq!(enter(&mut open, id, 100), NOBODY);
        }
        assert_eq!(enter(&mut open, 3, 100), Ok(vec![0]));
        open.prove(1);
        assert_eq!(enter(&mut open, 4, 100), NOBODY);
        let mapped = "::ffff:10.0.0.100".parse().unwrap();
        let fifth = open.enter(5, mapped, false, &LIMITS, |_| true);
        assert_eq!(fifth, Ok(vec![2]), "four were open, one of them proven");
        for id in [3, 4, 5] {
            open.prove(id);
        }
        assert_eq!(enter(&mut open, 6, 100), Err(Crowded::Address), "all are proven");
        open.leave(1);
        assert_eq!(enter(&mut open, 6, 100), NOBODY);
        assert_eq!(open.total(), 4);
    }

    #[test]
    fn a_member_may_ask_more_at_once_than_a_stranger_and_never_fills_its_address_by_silence() {
        let limits = ConnectionLimits { per_address: 6, ..LIMITS };
        let mut open = Admission::default();
        let mut enter = |id, last: u8| open.enter(id, address(last), last < 100, &limits, |_| true);
        for id in 0..4 {
            assert_eq!(enter(id, 1), NOBODY);
        }
        assert_eq!(enter(4, 1), Ok(vec![0]));
        for id in 5..50 {
            assert_eq!(enter(id, 1), Ok(vec![id - 4]), "the oldest goes, the newest is let in");
        }
    }

    #[test]
    fn a_silent_crowd_makes_room_for_strangers_and_members() {
        let mut open = Admission::default();
        for id in 0..6 {
            assert_eq!(enter(&mut open, id, 100 + u8::try_from(id).unwrap()), NOBODY);
        }
        assert_eq!(enter(&mut open, 6, 110), Ok(vec![0]), "the rest is kept for members");
        assert_eq!(enter(&mut open, 7, 1), NOBODY);
        assert_eq!(enter(&mut open, 8, 2), NOBODY);
        assert_eq!(enter(&mut open, 9, 3), Ok(vec![1]), "strangers go first");
        assert_eq!(open.total(), 8);
    }

    #[test]
    fn who_proved_itself_meanwhile_is_never_closed() {
        let mut open = Admission::default();
        for id in 0..6 {
            assert_eq!(enter(&mut open, id, 100 + u8::try_from(id).unwrap()), NOBODY);
        }
        let closed = open.enter(6, address(110), false, &LIMITS, |id| id > 2);
        assert_eq!(closed, Ok(vec![3]));
        for id in [4, 5, 6] {
            open.prove(id);
        }
        let closed = open.enter(7, address(111), false, &LIMITS, |_| unreachable!());
        assert_eq!(closed, Err(Crowded::Total));
        assert_eq!(enter(&mut open, 8, 1), NOBODY, "a member has its place");
        assert_eq!(enter(&mut open, 9, 2), NOBODY);
        assert_eq!(enter(&mut open, 10, 3), Ok(vec![8]), "of members, who is silent");
    }

    #[test]
    fn a_network_of_ipv6_is_one_stranger_and_many_members() {
        let mut open = Admission::default();
        let at = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        for id in 0..3 {
            let last = 1 + u16::try_from(id).unwrap();
            assert_eq!(open.enter(id, at(last), false, &LIMITS, |_| true), NOBODY);
            assert_eq!(open.enter(100 + id, at(last), true, &LIMITS, |_| true), NOBODY);
        }
        assert_eq!(open.enter(3, at(9), false, &LIMITS, |_| true), Ok(vec![0]));
        for id in [1, 2, 3, 100, 101, 102, 7] {
            open.leave(id);
        }
        assert_eq!((open.total(), open.crowds.len(), open.strangers), (0, 0, 0));
        assert!(open.by_crowd.is_empty() && open.unproven_strangers.is_empty());
    }

    #[test]
    fn of_strangers_the_address_that_holds_most_makes_room() {
        let limits = ConnectionLimits { total: 100, unproven_strangers: 5, ..LIMITS };
        let mut open = Admission::default();
        let mut enter = |id, last: u8| open.enter(id, address(last), last < 100, &limits, |_| true);
        // One alone, older than the crowd behind two addresses.
        assert_eq!(enter(0, 100), NOBODY);
        for id in 1..5 {
            assert_eq!(enter(id, 101 + u8::try_from(id % 2).unwrap()), NOBODY);
        }
        // Of 101, 2 and 4 are open; of 102, 1 and 3.
        assert_eq!(enter(5, 101), Ok(vec![1]));
        for id in 6..50 {
            let closed = enter(id, 101 + u8::try_from(id % 2).unwrap()).unwrap();
            assert!(closed.len() == 1 && !closed.contains(&0), "{id}: {closed:?}");
        }
        assert_eq!(enter(50, 1), NOBODY, "a member is no stranger");
        // Where each holds one, the oldest goes.
        let mut open = Admission::default();
        let mut enter = |id, last: u8| open.enter(id, address(last), false, &limits, |_| true);
        for id in 0..5 {
            assert_eq!(enter(id, 100 + u8::try_from(id).unwrap()), NOBODY);
        }
        assert_eq!(enter(5, 110), Ok(vec![0]));
        // Those that prove themselves meanwhile are many, and none of them goes.
        let closed = open.enter(6, address(111), false, &limits, |_| false);
        assert_eq!(closed, NOBODY);
    }
}
