//! Which dialects a node outside of the cluster is asked in, and in which order.
//!
//! A connection that is refused proves nothing: whoever stands between two nodes can refuse what is sealed, to have the
//! same request in the weaker dialect. So the weaker one is spoken only where the configuration says that it may be.

use conf::Envelope;
use wire::Dialect;

/// The dialects to try, in order; `known` is the one that was answered last.
pub fn to_try(envelope: Envelope, known: Option<Dialect>) -> &'static [Dialect] {
    match (envelope, known) {
        (Envelope::Sealed, _) => &[Dialect::Sealed],
        (Envelope::Any, Some(Dialect::Classic)) => &[Dialect::Classic, Dialect::Sealed],
        (Envelope::Any, Some(Dialect::Sealed) | None) => &[Dialect::Sealed, Dialect::Classic],
        // The way up is no loss.
        (Envelope::Classic, Some(Dialect::Sealed)) => &[Dialect::Sealed, Dialect::Classic],
        (Envelope::Classic, Some(Dialect::Classic) | None) => &[Dialect::Classic, Dialect::Sealed],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weaker_dialect_is_tried_only_where_the_configuration_allows_it() {
        for known in [None, Some(Dialect::Sealed), Some(Dialect::Classic)] {
            assert_eq!(to_try(Envelope::Sealed, known), [Dialect::Sealed]);
            for envelope in [Envelope::Any, Envelope::Classic] {
                let tried = to_try(envelope, known);
                assert_eq!(tried.len(), 2);
                assert!(known.is_none_or(|known| tried[0] == known));
            }
        }
        assert_eq!(to_try(Envelope::Any, None)[0], Dialect::Sealed);
        assert_eq!(to_try(Envelope::Classic, None)[0], Dialect::Classic);
    }
}
