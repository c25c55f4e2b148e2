//! How much memory messages may take that nobody has opened yet, over all connections.
//!
//! Strangers and members have pools of their own: whatever strangers send, no member pays for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::origin;

/// Longest message of a stranger. One from an address that is known, or on a proven connection, may be as long as
/// `listener.max_frame` says.
pub const STRANGER_FRAME: usize = 64 << 10;

/// Most bytes that strangers' messages take from one address, or from one /64 of IPv6.
pub const STRANGER_ORIGIN: usize = 256 << 10;

/// Most bytes that strangers' messages take, all connections together. What strangers send in datagrams has 2 MiB
/// beside it; connections, and an allocator that keeps places of each length on each thread, have the rest: 8 MiB in all.
pub const STRANGERS: usize = 1 << 20;

/// What opening costs: the text, what it decodes to, and what that decrypts to.
pub const OPENING_COST: usize = 3;

/// Beyond what one message of full length takes, members together take this much.
pub const MEMBERS_BEYOND: usize = 48 << 20;

/// What an address may take whatever others send faster: a member that sends one request is no presser.
const GUARANTEED: usize = 32 << 20;

/// Whose memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Connections that proved nothing, from addresses that are not known.
    Strangers,
    /// All others.
    Members,
}

/// A connection that holds part of a message.
#[derive(Debug, Clone, Copy)]
struct Holder {
    origin: Option<IpAddr>,
    bytes: usize,
    since: Duration,
    /// It is whole, and being opened: nobody can take its memory away.
    is_opening: bool,
    /// It was told to end, and has not yet.
    is_ending: bool,
}

/// Who holds what of one pool.
#[derive(Debug, Clone, Default)]
struct Share {
    /// Bytes of those that go on, and of those that were told to end.
    total: usize,
    ending: usize,
    holders: BTreeMap<u64, Holder>,
    by_origin: BTreeMap<Option<IpAddr>, usize>,
    /// How often addresses had to make room since there was room for all.
    pressers: BTreeMap<Option<IpAddr>, u32>,
}

/// Most addresses of which that is remembered.
const MOST_PRESSERS: usize = 4_096;

/// The messages that have begun to arrive. Who sent them is not proved yet, so together they have a bound.
#[derive(Debug, Clone, Default)]
pub struct Unopened {
    strangers: Share,
    members: Share,
}

impl Unopened {
    /// Connection `id` of `address` (none: the control socket) now holds `bytes`, what opening them costs included.
    /// Returns the connections to close, which may be this one; each is counted until it is released, and while many
    /// strangers have yet to end, the one that asks is among them. `max_frame` is the longest message of a member.
    ///
    /// Of strangers, who takes most pays with the largest message. Of members, an address that takes far more than one
    /// request needs pays, then one that had to make room before, and of those whoever sends slowest: a request that arrives as fast as it
    /// can is not pushed out by many that are begun again and again.
    pub fn hold(
        &mut self,
        now: Duration,
        (id, address, pool): (u64, Option<IpAddr>, Pool),
        bytes: usize,
        max_frame: usize,
    ) -> Vec<u64> {
        let mut victims = vec![];
        let is_ending =
            |share: &Share| share.holders.get(&id).is_some_and(|holder| holder.is_ending);
        if is_ending(&self.strangers) || is_ending(&self.members) {
            return vec![id];
        }
        match pool {
            Pool::Strangers => {
                self.members.release(id);
                let origin = address.map(origin);
                self.strangers.hold(now, id, origin, bytes);
                while self.strangers.sum(origin) > STRANGER_ORIGIN
                    && let Some(victim) = self.strangers.largest_of(origin)
                {
                    victims.push(self.strangers.end(victim));
                }
                while self.strangers.total > STRANGERS
                    && let Some(victim) = self.strangers.largest()
                {
                    victims.push(self.strangers.end(victim));
                }
                victims.extend(self.strangers.refuse(id, STRANGERS));
            }
            Pool::Members => {
                self.strangers.release(id);
                let origin = address.map(|address| address.to_canonical());
                self.members.hold(now, id, origin, bytes);
                let limit = member_limit(max_frame);
                while self.members.total > limit
                    && let Some(victim) = self.members.greedy().or(self.members.slowest(now))
                {
                    victims.push(self.members.end(victim));
                }
            }
        }
        victims
    }

    /// The message of connection `id` is whole and is being opened: it goes on whatever comes.
    pub fn on_opening(&mut self, id: u64) {
        for share in [&mut self.strangers, &mut self.members] {
            if let Some(holder) = share.holders.get_mut(&id) {
                holder.is_opening = true;
            }
        }
    }

    /// Connection `id` holds nothing any more.
    pub fn release(&mut self, id: u64) {
        self.strangers.release(id);
        self.members.release(id);
    }

    /// Bytes held by strangers and by members, those that have yet to end included.
    #[must_use]
    pub fn totals(&self) -> (usize, usize) {
        let all = |share: &Share| share.total + share.ending;
        (all(&self.strangers), all(&self.members))
    }
}

/// Most bytes that the messages of members take, what opening them costs included: one of full length, and
/// [`MEMBERS_BEYOND`].
#[must_use]
pub fn member_limit(max_frame: usize) -> usize {
    max_frame.saturating_mul(OPENING_COST).saturating_add(MEMBERS_BEYOND)
}

impl Share {
    fn hold(&mut self, now: Duration, id: u64, origin: Option<IpAddr>, bytes: usize) {
        let since = self.holders.get(&id).map_or(now, |holder| holder.since);
        self.release(id);
        self.total += bytes;
        *self.by_origin.entry(origin).or_default() += bytes;
        let holder = Holder { origin, bytes, since, is_opening: false, is_ending: false };
        self.holders.insert(id, holder);
    }

    /// Tells one to end: its memory is free once it is released.
    fn end(&mut self, id: u64) -> u64 {
        if let Some(holder) = self.holders.get(&id).copied()
            && !holder.is_ending
        {
            self.release(id);
            if self.pressers.len() >= MOST_PRESSERS {
                self.pressers.clear();
            }
            *self.pressers.entry(holder.origin).or_default() += 1;
            self.ending += holder.bytes;
            self.holders.insert(id, Holder { is_ending: true, ..holder });
        }
        id
    }

    /// Tells who asks to end, while others that were told so still hold half as much as is allowed.
    fn refuse(&mut self, id: u64, limit: usize) -> Option<u64> {
        let goes_on = self.holders.get(&id).is_some_and(|holder| !holder.is_ending);
        (goes_on && self.total + self.ending > limit + limit / 2).then(|| self.end(id))
    }

    fn release(&mut self, id: u64) {
        let Some(Holder { origin, bytes, is_ending, .. }) = self.holders.remove(&id) else {
            return;
        };
        if is_ending {
            self.ending -= bytes;
            return;
        }
        self.total -= bytes;
        if self.total == 0 {
            self.pressers.clear();
        }
        if let Some(sum) = self.by_origin.get_mut(&origin) {
            *sum -= bytes;
            if *sum == 0 {
                self.by_origin.remove(&origin);
            }
        }
    }

    fn sum(&self, origin: Option<IpAddr>) -> usize {
        self.by_origin.get(&origin).copied().unwrap_or(0)
    }

    /// Those whose memory can be taken away.
    fn arriving(&self) -> impl Iterator<Item = (&u64, &Holder)> {
        self.holders.iter().filter(|(_, holder)| !holder.is_opening && !holder.is_ending)
    }

    /// The largest message of an address, the newest of equals.
    fn largest_of(&self, origin: Option<IpAddr>) -> Option<u64> {
        let theirs = self.arriving().filter(|(_, holder)| holder.origin == origin);
        theirs.max_by_key(|(id, holder)| (holder.bytes, **id)).map(|(id, _)| *id)
    }

    /// The largest message of the address that holds most of what can be taken away.
    fn largest(&self) -> Option<u64> {
        let rank = |(id, holder): &(&u64, &Holder)| (self.sum(holder.origin), holder.bytes, **id);
        self.arriving().max_by_key(rank).map(|(id, _)| *id)
    }

    /// The largest message of the address that holds most, where that is more than it is guaranteed.
    fn greedy(&self) -> Option<u64> {
        self.largest().filter(|id| self.sum(self.holders[id].origin) > GUARANTEED)
    }

    /// The message that arrives slowest, of the address that had to make room most often.
    fn slowest(&self, now: Duration) -> Option<u64> {
        let rate = |(id, holder): &(&u64, &Holder)| {
            let nanos = now.saturating_sub(holder.since).as_nanos().max(1);
            let times = self.pressers.get(&holder.origin).copied().unwrap_or(0);
            (Reverse(times), holder.bytes as u128 * 1_000_000_000 / nanos, **id)
        };
        self.arriving().min_by_key(rate).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: [u64; 0] = [];
    const FRAME: usize = 64 << 20;
    const MIB: usize = 1 << 20;

    fn address(last: u8) -> Option<IpAddr> {
        Some([10, 0, 0, last].into())
    }

    fn stranger(unopened: &mut Unopened, id: u64, last: u8, bytes: usize) -> Vec<u64> {
        unopened.hold(Duration::ZERO, (id, address(last), Pool::Strangers), bytes, FRAME)
    }

    fn member(unopened: &mut Unopened, ms: u64, id: u64, last: u8, bytes: usize) -> Vec<u64> {
        let now = Duration::from_millis(ms);
        unopened.hold(now, (id, address(last), Pool::Members), bytes, FRAME)
    }

    #[test]
    fn one_address_of_strangers_takes_a_little_and_its_largest_message_pays() {
        let mut unopened = Unopened::default();
        assert_eq!(stranger(&mut unopened, 1, 1, 100), NOBODY);
        for id in 2..6 {
            assert_eq!(stranger(&mut unopened, id, 2, STRANGER_FRAME), NOBODY);
        }
        assert_eq!(stranger(&mut unopened, 6, 2, 1_000), [5], "the newest of equals");
        assert_eq!(unopened.totals(), (4 * STRANGER_FRAME + 1_100, 0), "it has yet to end");
        unopened.release(5);
        assert_eq!(unopened.totals(), (3 * STRANGER_FRAME + 1_100, 0));
        let v6 = |last: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]));
        let mut next = |id: u64, last| {
            let who = (id, v6(last), Pool::Strangers);
            unopened.hold(Duration::ZERO, who, STRANGER_FRAME, FRAME)
        };
        for id in 10..14 {
            assert_eq!(next(id, u16::try_from(id).unwrap()), NOBODY);
        }
        assert_eq!(next(14, 99), [14], "a /64 is one address");
    }

    #[test]
    fn all_strangers_together_have_a_bound_and_small_messages_are_spared() {
        let mut unopened = Unopened::default();
        assert_eq!(stranger(&mut unopened, 1, 250, 2_000), NOBODY);
        let mut closed = 0;
        for id in 2..400_u64 {
            let last = u8::try_from(id / 4).unwrap();
            let victims = stranger(&mut unopened, id, last, STRANGER_FRAME);
            closed += victims.len();
            victims.into_iter().for_each(|victim| unopened.release(victim));
            assert!(unopened.totals().0 <= STRANGERS);
        }
        assert!(closed > 250, "{closed}");
        assert!(unopened.strangers.holders.contains_key(&1));
    }

    #[test]
    fn no_member_pays_for_strangers() {
        let mut unopened = Unopened::default();
        assert_eq!(member(&mut unopened, 0, 1, 1, 200 * MIB), NOBODY);
        for id in 2..1_000_u64 {
            let last = u8::try_from(id % 200).unwrap();
            let victims = stranger(&mut unopened, id, last, STRANGER_FRAME);
            assert!(!victims.contains(&1));
            // Who is refused has not taken what it asked for.
            let held = unopened.strangers.total + unopened.strangers.ending;
            assert!(held <= STRANGERS * 3 / 2 + STRANGER_FRAME || victims.contains(&id));
            if victims.contains(&id) {
                unopened.release(id);
            }
        }
        assert_eq!(unopened.totals().1, 200 * MIB);
    }

    #[test]
    fn a_request_that_keeps_coming_is_not_pushed_out_by_many_that_stand_still() {
        let mut unopened = Unopened::default();
        let mut closed = vec![];
        let mut press = |unopened: &mut Unopened, ms, id, last, bytes| {
            let victims = member(unopened, ms, id, last, bytes);
            victims.iter().for_each(|victim| unopened.release(*victim));
            closed.extend(victims);
        };
        for id in 0..64 {
            press(&mut unopened, 0, id, u8::try_from(id).unwrap(), 12 * MIB);
        }
        for (step, mib) in (1..=18).enumerate() {
            let ms = 1_000 + u64::try_from(step).unwrap();
            press(&mut unopened, ms, 100, 100, mib * MIB);
            let ms = ms * 1_000;
            // And those that were closed come again.
            let id = 200 + u64::try_from(step).unwrap();
            press(&mut unopened, ms, id, 101 + u8::try_from(step).unwrap(), MIB);
        }
        assert!(!closed.contains(&100), "{closed:?}");
        assert!(unopened.totals().1 <= member_limit(FRAME));
    }

    #[test]
    fn who_had_to_make_room_makes_room_again_before_one_that_comes_for_the_first_time() {
        let mut unopened = Unopened::default();
        let mut closed = vec![];
        // All as fast as each other, and begun again as soon as they are closed.
        for id in 0..1_000 {
            let last = u8::try_from(id % 64).unwrap();
            let victims = member(&mut unopened, id, id, last, 12 * MIB);
            victims.iter().for_each(|victim| unopened.release(*victim));
        }
        for (step, mib) in (1..=20).enumerate() {
            let step = u64::try_from(step).unwrap();
            // The slowest of all: it takes 20 s.
            let mut all = member(&mut unopened, 2_000 + step * 1_000, 9_999, 99, mib * MIB);
            let id = 2_000 + step;
            let last = u8::try_from(step).unwrap();
            all.extend(member(&mut unopened, 2_000 + step * 1_000, id, last, 12 * MIB));
            all.iter().for_each(|victim| unopened.release(*victim));
            closed.extend(all);
        }
        assert!(!closed.is_empty() && !closed.contains(&9_999), "{closed:?}");
    }

    #[test]
    fn an_address_that_takes_far_more_than_a_request_pays_first() {
        let mut unopened = Unopened::default();
        assert_eq!(member(&mut unopened, 0, 1, 1, 18 * MIB), NOBODY);
        for id in 2..9 {
            assert_eq!(member(&mut unopened, 5_000, id, 2, 30 * MIB), NOBODY);
        }
        assert_eq!(member(&mut unopened, 5_000, 9, 2, 30 * MIB), [9]);
    }

    #[test]
    fn what_is_being_opened_is_left_alone_and_what_is_opened_makes_room() {
        let mut unopened = Unopened::default();
        assert_eq!(member(&mut unopened, 0, 1, 1, 190 * MIB), NOBODY);
        unopened.on_opening(1);
        assert_eq!(member(&mut unopened, 1, 2, 2, 100 * MIB), [2], "also who asks");
        unopened.release(1);
        unopened.release(1);
        unopened.release(2);
        assert_eq!(member(&mut unopened, 1, 2, 2, 100 * MIB), NOBODY);
        unopened.release(2);
        assert_eq!(unopened.totals(), (0, 0));
        assert!(unopened.members.by_origin.is_empty());
    }
}
