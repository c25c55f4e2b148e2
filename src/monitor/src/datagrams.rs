//! How many datagrams are looked at, by what is known of their source.
//!
//! The source of a datagram can be anybody's. Only one whose beat opened, at its very port, is taken for a member's: whoever
//! else sends from that address, a process there, a container or somebody who writes its address, has a budget of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::{Acquaintances, Rate, origin};

/// What is known of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Nothing.
    Stranger,
    /// It has the address of a member, or one from which a beat came lately.
    Named,
    /// A beat came from this address and port lately.
    Proven,
}

/// How long a source is proven after a beat: a member sends several meanwhile.
pub const PROVEN_FOR: Duration = Duration::from_secs(60);

/// Datagrams of a proven source: several messages of the longest at once, and then 5,000 in a second.
const PROVEN: Rate = Rate::new(Duration::from_micros(200), 8_192);
/// The same of all others that have one address of a member: two messages of the longest, and then 1,000 in a second.
const NAMED: Rate = Rate::new(Duration::from_millis(1), 2_048);
/// The same of one address of a stranger, or a /64 of IPv6: two messages of the longest, and then 500 in a second.
const STRANGER: Rate = Rate::new(Duration::from_millis(2), 2_048);
/// The same of all strangers together, 2,000 in a second.
const STRANGERS: Rate = Rate::new(Duration::from_micros(500), 4_096);

/// Most sources of each sort that are remembered.
const MOST: usize = 1_024;

/// The budgets of all who send datagrams, over all that hear them.
#[derive(Debug, Clone)]
pub struct Datagrams {
    proven: BTreeMap<SocketAddr, (Duration, Rate)>,
    heard: Acquaintances,
    named: BTreeMap<IpAddr, Rate>,
    strangers: BTreeMap<IpAddr, Rate>,
    all_strangers: Rate,
}

impl Default for Datagrams {
    fn default() -> Self {
        Self {
            proven: BTreeMap::new(),
            heard: Acquaintances::default(),
            named: BTreeMap::new(),
            strangers: BTreeMap::new(),
            all_strangers: STRANGERS,
        }
    }
}

/// The budget of an address. None while too many others have one.
fn rate_of(
    rates: &mut BTreeMap<IpAddr, Rate>,
    now: Duration,
    address: IpAddr,
    full: Rate,
) -> Option<&mut Rate> {
    if rates.len() >= MOST && !rates.contains_key(&address) {
        rates.retain(|_, rate| !rate.is_rested(now));
        if rates.len() >= MOST {
            return None;
        }
    }
    Some(rates.entry(address).or_insert(full))
}

impl Datagrams {
    /// A datagram came. None: it is not looked at. `is_named`: its source has the address of a member, or seems to.
    pub fn take(&mut self, now: Duration, source: SocketAddr, is_named: bool) -> Option<Trust> {
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        if let Some((last, rate)) = self.proven.get_mut(&source) {
            if now < *last + PROVEN_FOR {
                return rate.take_now(now).then_some(Trust::Proven);
            }
            self.proven.remove(&source);
        }
        let address = source.ip();
        if is_named || self.heard.is_known(now, address) {
            let rate = rate_of(&mut self.named, now, address, NAMED)?;
            return rate.take_now(now).then_some(Trust::Named);
        }
        let rate = rate_of(&mut self.strangers, now, origin(address), STRANGER)?;
        // Its own turn first: who has none takes none of the others.
        let is_taken = rate.take_now(now) && self.all_strangers.take_now(now);
        is_taken.then_some(Trust::Stranger)
    }

    /// A beat of this source opened, which nobody can have recorded.
    pub fn on_beat(&mut self, now: Duration, source: SocketAddr) {
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        self.heard.on_opened(now, source.ip());
        if let Some((last, _)) = self.proven.get_mut(&source) {
            *last = now;
            return;
        }
        self.proven.retain(|_, (last, _)| now < *last + PROVEN_FOR);
        if self.proven.len() >= MOST
            && let Some(oldest) = self.proven.iter().min_by_key(|(_, (last, _))| *last)
        {
            let oldest = *oldest.0;
            self.proven.remove(&oldest);
        }
        self.proven.insert(source, (now, PROVEN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn source(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], port))
    }

    /// Sends so many in each millisecond of two seconds from a source; who sends one in each tenth of a second meanwhile
    /// is heard so often.
    fn heard_beside(
        it: &mut Datagrams,
        member: (SocketAddr, bool),
        each: usize,
        flood: impl Fn(usize) -> (SocketAddr, bool),
    ) -> usize {
        let mut heard = 0;
        for millisecond in 0..2_000 {
            let now = START + Duration::from_millis(millisecond);
            for number in 0..each {
                let (source, is_named) = flood(number);
                _ = it.take(now, source, is_named);
            }
            if millisecond % 100 == 99 && it.take(now, member.0, member.1).is_some() {
                it.on_beat(now, member.0);
                heard += 1;
            }
        }
        heard
    }

    #[test]
    fn a_flood_of_one_stranger_costs_no_other_source_a_datagram() {
        for is_named in [false, true] {
            let mut it = Datagrams::default();
            let member = (source(2, 7_000), is_named);
            assert_eq!(heard_beside(&mut it, member, 20, |_| (source(9, 1), false)), 20);
        }
    }

    #[test]
    fn a_flood_from_the_address_of_a_member_costs_it_nothing_once_it_was_heard() {
        let member = (source(2, 7_000), true);
        let heard = |each, flood: &dyn Fn(usize) -> (SocketAddr, bool)| {
            let mut it = Datagrams::default();
            it.on_beat(START, member.0);
            heard_beside(&mut it, member, each, flood)
        };
        assert_eq!(heard(20, &|_| (source(2, 1), true)), 20);
        // Also from all addresses at once.
        let all =
            |number: usize| (source(u8::try_from(number).unwrap(), 1), number.is_multiple_of(2));
        assert_eq!(heard(200, &all), 20);
    }

    #[test]
    fn what_is_looked_at_has_a_bound() {
        let taken = |flood: &dyn Fn(u16) -> (SocketAddr, bool)| {
            let mut it = Datagrams::default();
            let mut taken = 0;
            for millisecond in 0..2_000 {
                let now = START + Duration::from_millis(millisecond);
                let all = (0..20).filter(|number| {
                    let (source, is_named) = flood(*number);
                    it.take(now, source, is_named).is_some()
                });
                taken += all.count();
            }
            taken
        };
        let one = taken(&|number| (source(1, number), false));
        assert!((2_048..=2_048 + 1_010).contains(&one), "{one}");
        let named = taken(&|number| (source(1, number), true));
        assert!((2_048..=2_048 + 2_010).contains(&named), "{named}");
        let many = taken(&|number| (source(u8::try_from(number).unwrap(), 1), false));
        assert!((4_096..=4_096 + 4_010).contains(&many), "{many}");
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_who_rested_makes_room() {
        let mut it = Datagrams::default();
        let address = |number: u32| SocketAddr::from((number.to_be_bytes(), 1));
        for number in 0..3_000 {
            _ = it.take(START, address(number), number.is_multiple_of(2));
            it.on_beat(START, address(1 << 30 | number));
        }
        assert!(it.named.len() <= MOST && it.strangers.len() <= MOST && it.proven.len() <= MOST);
        let later = START + Duration::from_secs(60);
        assert_eq!(it.take(later, address(9_000), false), Some(Trust::Stranger));
        assert_eq!(it.take(later, address(9_001), true), Some(Trust::Named));
        // A source is proven for a minute, and its address known for an hour.
        assert_eq!(it.take(later, address(1 << 30 | 2_999), false), Some(Trust::Named));
    }
}
