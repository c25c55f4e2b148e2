//! From where messages opened lately, and when a flood begins and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// How long an address is known after a message from it opened.
pub const LATELY: Duration = Duration::from_secs(3_600);

/// Most addresses known: whoever holds the secret could fill the memory otherwise.
const MOST: usize = 4_096;

/// What one attacker has at hand: an IPv4 address, or a network of IPv6.
#[must_use]
pub fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = u128::from(address) >> 64 << 64;
            Ipv6Addr::from(bits).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Addresses from which fresh messages opened, and when the last one did. Only what opened tells: a name in a header
/// proves nothing, and neither does what was recorded and is sent again.
#[derive(Debug, Clone, Default)]
pub struct Acquaintances {
    entries: BTreeMap<IpAddr, Duration>,
    by_age: BTreeSet<(Duration, IpAddr)>,
}

impl Acquaintances {
    /// A fresh message from this address opened.
    pub fn on_opened(&mut self, now: Duration, address: IpAddr) {
        let address = address.to_canonical();
        if let Some(last) = self.entries.insert(address, now) {
            self.by_age.remove(&(last, address));
        }
        self.by_age.insert((now, address));
        if self.entries.len() > MOST
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    /// Whether one opened from there lately.
    #[must_use]
    pub fn is_known(&self, now: Duration, address: IpAddr) -> bool {
        self.entries.get(&address.to_canonical()).is_some_and(|last| now < *last + LATELY)
    }
}

/// Messages per second that an address which sends garbage has opened, on connections that proved nothing.
const SPACING: Duration = Duration::from_millis(50);

/// Longest wait of one of them: however many are sent, an honest one among them is read.
const LONGEST_WAIT: Duration = Duration::from_millis(800);

/// Most addresses that wait.
const MOST_PACED: usize = 4_096;

/// When messages from addresses that send garbage are opened: one after the other.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    next: BTreeMap<IpAddr, Duration>,
}

impl Pace {
    /// How long the message that arrived at `now` waits.
    pub fn wait(&mut self, now: Duration, address: IpAddr) -> Duration {
        if self.next.len() >= MOST_PACED {
            self.next.retain(|_, next| *next > now);
        }
        if self.next.len() >= MOST_PACED {
            return LONGEST_WAIT;
        }
        let next = self.next.entry(origin(address)).or_insert(now);
        let turn = (*next).clamp(now, now + LONGEST_WAIT);
        *next = turn + SPACING;
        turn - now
    }
}

/// Something that happens now and then or without end: told when it begins and when it is over, not each time.
#[derive(Debug, Clone, Default)]
pub struct Episode {
    last: Option<Duration>,
}

impl Episode {
    /// Silence that ends it.
    pub const QUIET: Duration = Duration::from_secs(60);

    /// It happens. True: it begins.
    pub fn on_event(&mut self, now: Duration) -> bool {
        let begins = self.last.is_none_or(|last| now >= last + Self::QUIET);
        self.last = Some(now);
        begins
    }

    /// Looks whether it is over. True: since now.
    pub fn on_look(&mut self, now: Duration) -> bool {
        self.last.take_if(|last| now >= *last + Self::QUIET).is_some()
    }

    /// Whether it goes on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_message_makes_an_address_known_for_an_hour() {
        let mut known = Acquaintances::default();
        known.on_opened(START, address(1));
        assert!(known.is_known(START, address(1)) && !known.is_known(START, address(2)));
        assert!(known.is_known(START + LATELY - Duration::from_secs(1), address(1)));
        assert!(!known.is_known(START + LATELY, address(1)));
        known.on_opened(START + LATELY, address(1));
        assert!(known.is_known(START + LATELY, address(1)));
        assert_eq!((known.entries.len(), known.by_age.len()), (1, 1));
    }

    #[test]
    fn the_longest_unheard_address_is_forgotten_first() {
        let mut known = Acquaintances::default();
        for number in 0..u32::try_from(MOST).unwrap() + 1 {
            let now = START + Duration::from_millis(u64::from(number));
            let address = IpAddr::from(number.to_be_bytes());
            known.on_opened(now, address);
        }
        assert_eq!((known.entries.len(), known.by_age.len()), (MOST, MOST));
        let now = START + Duration::from_secs(60);
        assert!(!known.is_known(now, IpAddr::from([0; 4])));
        assert!(known.is_known(now, IpAddr::from([0, 0, 0, 1])));
    }

    #[test]
    fn garbage_waits_its_turn_and_nothing_waits_for_long() {
        let mut pace = Pace::default();
        let waits: Vec<u128> = (0..3).map(|_| pace.wait(START, address(1)).as_millis()).collect();
        assert_eq!(waits, [0, 50, 100]);
        assert_eq!(pace.wait(START, address(2)), Duration::ZERO);
        for _ in 0..1_000 {
            assert!(pace.wait(START, address(1)) <= LONGEST_WAIT);
        }
        let later = START + Duration::from_secs(2);
        assert_eq!(pace.wait(later, address(1)), Duration::ZERO);
        for number in 0..2 * u32::try_from(MOST_PACED).unwrap() {
            pace.wait(later, IpAddr::from(number.to_be_bytes()));
        }
        assert!(pace.next.len() <= MOST_PACED);
    }

    #[test]
    fn a_flood_begins_once_and_ends_once() {
        let mut flood = Episode::default();
        let at = |seconds| START + Duration::from_secs(seconds);
        assert!(flood.on_event(at(0)));
        for second in 1..500 {
            assert!(!flood.on_event(at(second)) && !flood.on_look(at(second)));
        }
        assert!(flood.is_on() && !flood.on_look(at(558)));
        assert!(flood.on_look(at(559)) && !flood.is_on() && !flood.on_look(at(700)));
        assert!(flood.on_event(at(701)));
    }

    #[test]
    fn an_address_of_ipv6_stands_for_its_network() {
        let network: IpAddr = "2001:db8:0:7::".parse().unwrap();
        assert_eq!(origin("2001:db8:0:7:1:2:3:4".parse().unwrap()), network);
        assert_eq!(origin("::ffff:10.0.0.1".parse().unwrap()), address(1));
    }
}
