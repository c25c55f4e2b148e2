//! What ends, and what is to be done about it.

use model::Timestamp;

use crate::Certificate;

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;

/// Least seconds before its end at which a certificate is made anew.
pub const RENEW_AT_LEAST: f64 = HOUR;

/// Seconds before the end of an authority at which it is told.
pub const WARN_AUTHORITY: f64 = 30.0 * DAY;

/// Seconds before the end of any other certificate at which it is told.
pub const WARN_LEAF: f64 = 7.0 * DAY;

/// What is known of who signs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It signs others: nobody makes it anew by himself, all who trust it would have to be told.
    Authority,
    /// Its authority and the key of it are here: it is made anew.
    Renewable,
    /// Nobody here can make it anew.
    Foreign,
}

/// What is to be done about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expiry {
    /// Nothing yet.
    Good,
    /// Make it anew.
    Renew,
    /// Tell that it is about to end.
    Ending,
    /// Tell that it has ended.
    Ended,
}

/// Judges a certificate. One that can be made anew is so once a third of its validity is left, and at least one hour before
/// its end; an authority is told of 30 days before its end, a certificate whose authority has no key here 7 days.
///
/// A certificate of less than these days would be told of all its life: it is told of once a third is left.
#[must_use]
pub fn expiry(certificate: &Certificate, standing: Standing, now: Timestamp) -> Expiry {
    of_times(certificate.begin(), certificate.end(), standing, now)
}

fn of_times(begin: Timestamp, end: Timestamp, standing: Standing, now: Timestamp) -> Expiry {
    let left = end.since(now);
    let third = end.since(begin) / 3.0;
    match standing {
        Standing::Renewable if left <= third.max(RENEW_AT_LEAST) => Expiry::Renew,
        Standing::Renewable => Expiry::Good,
        Standing::Authority | Standing::Foreign if left <= 0.0 => Expiry::Ended,
        Standing::Authority if left <= WARN_AUTHORITY.min(third) => Expiry::Ending,
        Standing::Foreign if left <= WARN_LEAF.min(third) => Expiry::Ending,
        Standing::Authority | Standing::Foreign => Expiry::Good,
    }
}

/// Seconds before its end at which a certificate is told of. One that can be made anew is late then.
#[must_use]
pub fn told_before(certificate: &Certificate, standing: Standing) -> f64 {
    let third = certificate.end().since(certificate.begin()) / 3.0;
    match standing {
        Standing::Authority => WARN_AUTHORITY.min(third),
        Standing::Foreign => WARN_LEAF.min(third),
        Standing::Renewable => WARN_LEAF.min(third / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(validity: f64, left: f64, standing: Standing) -> Expiry {
        of_times(Timestamp(0.0), Timestamp(validity), standing, Timestamp(validity - left))
    }

    #[test]
    fn a_third_of_the_validity_is_left_when_it_is_renewed() {
        for (validity, left, expected) in [
            (30.0 * DAY, 10.0 * DAY + 1.0, Expiry::Good),
            (30.0 * DAY, 10.0 * DAY, Expiry::Renew),
            (30.0 * DAY, -1.0, Expiry::Renew),
            (2.0 * HOUR, HOUR + 1.0, Expiry::Good),
            (2.0 * HOUR, HOUR, Expiry::Renew),
        ] {
            assert_eq!(judged(validity, left, Standing::Renewable), expected, "{validity} {left}");
        }
    }

    #[test]
    fn an_authority_is_told_of_30_days_a_leaf_7_days_before() {
        let year = 365.0 * DAY;
        for (standing, days) in [(Standing::Authority, 30.0), (Standing::Foreign, 7.0)] {
            assert_eq!(judged(year, days * DAY + 1.0, standing), Expiry::Good);
            assert_eq!(judged(year, days * DAY, standing), Expiry::Ending);
            assert_eq!(judged(year, 1.0, standing), Expiry::Ending);
            assert_eq!(judged(year, 0.0, standing), Expiry::Ended);
        }
        assert_eq!(judged(6.0 * DAY, 3.0 * DAY, Standing::Foreign), Expiry::Good);
        assert_eq!(judged(6.0 * DAY, 2.0 * DAY, Standing::Foreign), Expiry::Ending);
    }
}
