//! How much memory messages may take that nobody has opened yet, over all connections.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// A connection that holds part of a message.
#[derive(Debug, Clone, Copy)]
struct Holder {
    address: Option<IpAddr>,
    bytes: usize,
}

/// The messages that have begun to arrive. Who sent them is not proved yet, so together they have a bound.
#[derive(Debug, Clone, Default)]
pub struct Unopened {
    total: usize,
    holders: BTreeMap<u64, Holder>,
    by_address: BTreeMap<Option<IpAddr>, usize>,
}

impl Unopened {
    /// Connection `id` of `address` (none: the control socket) now holds `bytes`. Returns the connections to close, so
    /// that all together stay within `limit`; they are forgotten.
    ///
    /// The address that holds most pays, with its largest message, the newest of equals: many connections of one sender
    /// cannot push out the message of another.
    pub fn hold(
        &mut self,
        id: u64,
        address: Option<IpAddr>,
        bytes: usize,
        limit: usize,
    ) -> Vec<u64> {
        self.release(id);
        self.total += bytes;
        *self.by_address.entry(address).or_default() += bytes;
        self.holders.insert(id, Holder { address, bytes });
        let mut victims = vec![];
        while self.total > limit {
            let Some(victim) = self.victim() else { break };
            self.release(victim);
            victims.push(victim);
        }
        victims
    }

    /// Connection `id` holds nothing any more.
    pub fn release(&mut self, id: u64) {
        let Some(Holder { address, bytes }) = self.holders.remove(&id) else { return };
        self.total -= bytes;
        if let Some(sum) = self.by_address.get_mut(&address) {
            *sum -= bytes;
            if *sum == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    /// Bytes held by all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    fn victim(&self) -> Option<u64> {
        let (most, _) = self.by_address.iter().max_by_key(|(_, sum)| **sum)?;
        let theirs = self.holders.iter().filter(|(_, holder)| holder.address == *most);
        theirs.max_by_key(|(id, holder)| (holder.bytes, **id)).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: [u64; 0] = [];

    fn address(last: u8) -> Option<IpAddr> {
        Some([10, 0, 0, last].into())
    }

    #[test]
    fn up_to_the_limit_nobody_is_closed() {
        let mut unopened = Unopened::default();
        assert_eq!(unopened.hold(1, address(1), 60, 100), NOBODY);
        assert_eq!(unopened.hold(2, address(2), 40, 100), NOBODY);
        assert_eq!(unopened.hold(2, address(2), 41, 100), [1], "one byte too many");
        assert_eq!(unopened.total(), 41);
    }

    #[test]
    fn the_address_that_holds_most_pays_with_its_largest_message() {
        let mut unopened = Unopened::default();
        assert_eq!(unopened.hold(1, address(1), 50, 100), NOBODY);
        assert_eq!(unopened.hold(2, address(2), 20, 100), NOBODY);
        assert_eq!(unopened.hold(3, address(2), 20, 100), NOBODY);
        // Together address 2 holds more than address 1, with smaller messages; the newest of equals goes.
        assert_eq!(unopened.hold(4, address(2), 15, 100), [3]);
        assert_eq!(unopened.total(), 85);
        assert_eq!(unopened.hold(1, address(1), 70, 100), [1], "also who asks");
    }

    #[test]
    fn as_many_as_needed_are_closed() {
        let mut unopened = Unopened::default();
        for id in 0..10 {
            assert_eq!(unopened.hold(id, address(1), 10, 100), NOBODY);
        }
        assert_eq!(unopened.hold(10, address(2), 25, 100), [9, 8, 7]);
        assert_eq!(unopened.total(), 95);
    }

    #[test]
    fn what_is_opened_or_closed_makes_room() {
        let mut unopened = Unopened::default();
        assert_eq!(unopened.hold(1, address(1), 100, 100), NOBODY);
        unopened.release(1);
        unopened.release(1);
        assert_eq!(unopened.hold(2, None, 100, 100), NOBODY);
        unopened.release(2);
        assert_eq!((unopened.total(), unopened.by_address.len()), (0, 0));
    }
}
