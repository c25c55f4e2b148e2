//! Who failed to prove who it is, and how long it waits: by address, so that no password is guessed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Failures that cost nothing but their delay.
const FREE: u32 = 5;

/// How long they are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// First wait, doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Addresses that are remembered: beyond, the oldest goes.
const MOST: usize = 4_096;

/// What is known of an address.
#[derive(Debug, Clone, Copy)]
struct Failed {
    first: Duration,
    last: Duration,
    count: u32,
    until: Duration,
    wait: Duration,
    told: Option<Duration>,
}

/// The addresses that failed.
#[derive(Debug, Default)]
pub struct Failures {
    addresses: BTreeMap<IpAddr, Failed>,
}

/// Of IPv6 the network: who has one address has all of its /64.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

impl Failures {
    /// How long an address still waits; none while it may try.
    #[must_use]
    pub fn wait(&self, address: IpAddr, now: Duration) -> Option<Duration> {
        let failed = self.addresses.get(&origin(address))?;
        failed.until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// It failed. True: that is to be told, which is once a minute.
    pub fn on_failure(&mut self, address: IpAddr, now: Duration) -> bool {
        let address = origin(address);
        if !self.addresses.contains_key(&address) && self.addresses.len() >= MOST {
            let oldest = self.addresses.iter().min_by_key(|(_, failed)| failed.last);
            let oldest = oldest.map(|(address, _)| *address);
            oldest.map(|oldest| self.addresses.remove(&oldest));
        }
        let new =
            Failed { first: now, last: now, count: 0, until: now, wait: FIRST_WAIT, told: None };
        let failed = self.addresses.entry(address).or_insert(new);
        if now >= failed.first + WINDOW && now >= failed.until + WINDOW {
            *failed = new;
        }
        failed.last = now;
        failed.count += 1;
        if failed.count >= FREE {
            failed.until = now + failed.wait;
            failed.wait = (failed.wait * 2).min(LONGEST_WAIT);
        }
        let is_told = failed.told.is_none_or(|told| now >= told + WINDOW);
        if is_told {
            failed.told = Some(now);
        }
        is_told
    }

    /// It proved who it is.
    pub fn on_success(&mut self, address: IpAddr) {
        self.addresses.remove(&origin(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn the_fifth_failure_waits_and_each_after_it_twice_as_long() {
        let mut failures = Failures::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..4 {
            failures.on_failure(address, AT(0));
            assert_eq!(failures.wait(address, AT(0)), None);
        }
        let mut now = AT(0);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            failures.on_failure(address, now);
            assert_eq!(failures.wait(address, now), Some(AT(seconds)));
            now += AT(seconds);
            assert_eq!(failures.wait(address, now), None);
        }
        assert_eq!(failures.wait(IpAddr::from([10, 0, 0, 2]), now), None);
        failures.on_success(address);
        failures.on_failure(address, now);
        assert_eq!(failures.wait(address, now), None);
    }

    #[test]
    fn failures_far_apart_cost_nothing() {
        let mut failures = Failures::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        for number in 0..100 {
            failures.on_failure(address, AT(number * 60));
            assert_eq!(failures.wait(address, AT(number * 60)), None, "{number}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_memory_is_bounded() {
        let mut failures = Failures::default();
        let [one, other]: [IpAddr; 2] = ["fd00::1", "fd00::ffff"].map(|text| text.parse().unwrap());
        for _ in 0..5 {
            failures.on_failure(one, AT(1));
        }
        assert!(failures.wait(other, AT(1)).is_some());
        for number in 0..10_000_u32 {
            failures.on_failure(IpAddr::from(std::net::Ipv4Addr::from(number)), AT(2));
        }
        assert_eq!(failures.addresses.len(), MOST);
        assert_eq!(failures.wait(one, AT(2)), None, "the oldest went");
    }
}
