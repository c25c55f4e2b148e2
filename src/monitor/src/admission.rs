//! How many connections may be open, all together and from one address.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Keyword `listener.max_connections`.
    pub total: usize,
    /// Keyword `listener.max_connections_per_address`.
    pub per_address: usize,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// Too many connections.
    Total,
    /// Too many from this address.
    Address,
}

/// The connections that are open.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

impl Admission {
    /// Lets a connection in, and counts it until [`Self::leave`].
    ///
    /// # Errors
    ///
    /// [`Crowded`] when a limit is reached; nothing is counted then.
    pub fn enter(&mut self, address: IpAddr, limits: &ConnectionLimits) -> Result<(), Crowded> {
        let address = address.to_canonical();
        let from_there = self.by_address.get(&address).copied().unwrap_or(0);
        if self.total >= limits.total {
            return Err(Crowded::Total);
        }
        if from_there >= limits.per_address {
            return Err(Crowded::Address);
        }
        self.total += 1;
        self.by_address.insert(address, from_there + 1);
        Ok(())
    }

    /// A connection that was let in has ended.
    pub fn leave(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        if let Some(count) = self.by_address.get_mut(&address) {
            self.total -= 1;
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    /// Open connections.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_who_leaves_makes_room() {
        let limits = ConnectionLimits { total: 3, per_address: 2 };
        let [a, b] = ["10.0.0.1", "fd00::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let mut open = Admission::default();
        assert_eq!(open.enter(a, &limits), Ok(()));
        assert_eq!(open.enter("::ffff:10.0.0.1".parse().unwrap(), &limits), Ok(()));
        assert_eq!(open.enter(a, &limits), Err(Crowded::Address));
        assert_eq!(open.enter(b, &limits), Ok(()));
        assert_eq!(open.enter(b, &limits), Err(Crowded::Total));
        open.leave(a);
        assert_eq!(open.enter(b, &limits), Ok(()));
        assert_eq!(open.total(), 3);
        open.leave("10.9.9.9".parse().unwrap());
        assert_eq!(open.total(), 3);
    }
}
