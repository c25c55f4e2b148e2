//! How states add up (src/monitor/README.md, States).

use model::Status;

/// A state on its way: two mixes with standby resources are told apart until the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mix {
    NotApplicable,
    Up,
    Down,
    Warn,
    StdbyUp,
    StdbyDown,
    /// Standby up together with up.
    StdbyUpWithUp,
    /// Standby up together with down.
    StdbyUpWithDown,
}

impl Mix {
    /// What a state counts as, none for those that count nothing.
    fn of(status: &Status) -> Option<Self> {
        match status {
            Status::Up => Some(Self::Up),
            Status::Down => Some(Self::Down),
            Status::Warn => Some(Self::Warn),
            Status::NotApplicable => Some(Self::NotApplicable),
            Status::StdbyUp => Some(Self::StdbyUp),
            Status::StdbyDown => Some(Self::StdbyDown),
            Status::Undef | Status::Unknown | Status::Other(_) => None,
        }
    }

    fn and(self, other: Self) -> Self {
        use Mix::{
            Down, NotApplicable, StdbyDown, StdbyUp, StdbyUpWithDown, StdbyUpWithUp, Up, Warn,
        };
        match (self, other) {
            (same, also) if same == also => same,
            (NotApplicable, any) | (any, NotApplicable) => any,
            (Up, StdbyUp) | (StdbyUp, Up) => StdbyUpWithUp,
            (StdbyUpWithUp, Up | StdbyUp) | (Up | StdbyUp, StdbyUpWithUp) => StdbyUpWithUp,
            (Down, StdbyUp) | (StdbyUp, Down) => StdbyUpWithDown,
            (StdbyUpWithDown, Down | StdbyUp) | (Down | StdbyUp, StdbyUpWithDown) => {
                StdbyUpWithDown
            }
            (Down, StdbyDown) | (StdbyDown, Down) => StdbyDown,
            _ => Warn,
        }
    }
}

/// Adds states up, in any order; none gives `n/a`.
#[must_use]
pub fn fold<'s>(states: impl IntoIterator<Item = &'s Status>) -> Status {
    match states.into_iter().filter_map(Mix::of).fold(Mix::NotApplicable, Mix::and) {
        Mix::NotApplicable => Status::NotApplicable,
        Mix::Up | Mix::StdbyUpWithUp => Status::Up,
        Mix::Down => Status::Down,
        Mix::Warn => Status::Warn,
        Mix::StdbyUp | Mix::StdbyUpWithDown => Status::StdbyUp,
        Mix::StdbyDown => Status::StdbyDown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_up_to_four_states_changes_nothing() {
        let all = [
            Status::Up,
            Status::Down,
            Status::Warn,
            Status::NotApplicable,
            Status::Undef,
            Status::StdbyUp,
            Status::StdbyDown,
        ];
        for a in &all {
            for b in &all {
                for c in &all {
                    for d in &all {
                        let expected = fold([a, b, c, d]);
                        for order in [[b, a, c, d], [a, c, b, d], [a, b, d, c], [d, c, b, a]] {
                            assert_eq!(fold(order), expected, "{a} {b} {c} {d}");
                        }
                    }
                }
            }
        }
    }
}
