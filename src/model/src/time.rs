//! Points in time as the cluster data spells them.

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z, a float on the wire. 0 means never.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub f64);

impl Timestamp {
    /// Never.
    pub const NEVER: Self = Self(0.0);

    /// Seconds from `earlier` to `self`, negative when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> f64 {
        self.0 - earlier.0
    }

    /// This time, `seconds` later.
    #[must_use]
    pub fn plus(self, seconds: f64) -> Self {
        Self(self.0 + seconds)
    }
}
