//! States of resources, instances and objects.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;

words! {
    /// State of a resource, an instance (`avail`, `overall`, `optional`) or an object.
    Status {
        /// Works as configured.
        Up = "up",
        /// Does not run.
        Down = "down",
        /// Degraded, or not to be trusted.
        Warn = "warn",
        /// Not applicable: disabled, or nothing to evaluate.
        NotApplicable = "n/a",
        /// The driver failed to evaluate.
        Undef = "undef",
        /// Up, and kept up on every node.
        StdbyUp = "stdby up",
        /// Down, and should be up on every node.
        StdbyDown = "stdby down",
        /// No instance data.
        Unknown = "unknown",
    }
}

impl Status {
    /// Exit code of `om <path> status`.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Up => 0,
            Self::Down => 1,
            Self::Warn => 2,
            Self::NotApplicable => 3,
            Self::Undef | Self::Unknown | Self::Other(_) => 5,
            Self::StdbyUp => 6,
            Self::StdbyDown => 7,
        }
    }
}

words! {
    /// Frozen state of a cluster or an object over its instances.
    Frozen {
        /// All are frozen.
        Frozen = "frozen",
        /// None is.
        Thawed = "thawed",
        /// Some are.
        Mixed = "mixed",
        /// Nothing to freeze.
        NotApplicable = "n/a",
    }
}

/// Provisioned state over several resources or instances: JSON `true`, `false`, `"mixed"` or `"n/a"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provisioned {
    /// All are.
    Yes,
    /// None is.
    No,
    /// Some are.
    Mixed,
    /// Nothing to provision.
    NotApplicable,
}

impl Serialize for Provisioned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Yes => serializer.serialize_bool(true),
            Self::No => serializer.serialize_bool(false),
            Self::Mixed => serializer.serialize_str("mixed"),
            Self::NotApplicable => serializer.serialize_str("n/a"),
        }
    }
}

impl<'de> Deserialize<'de> for Provisioned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Provisioned;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false, \"mixed\" or \"n/a\"")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Provisioned, E> {
                Ok(if value { Provisioned::Yes } else { Provisioned::No })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Provisioned, E> {
                match text {
                    "mixed" => Ok(Provisioned::Mixed),
                    "n/a" => Ok(Provisioned::NotApplicable),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Serializes a frozen time: integer 0 when thawed, a float otherwise. A deployed agent that rejoins does not
/// follow an integer time.
pub(crate) fn serialize_frozen<S: Serializer>(
    frozen: &Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if frozen.0 == 0.0 { serializer.serialize_u8(0) } else { serializer.serialize_f64(frozen.0) }
}
