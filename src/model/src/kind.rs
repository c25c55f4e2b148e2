//! Kinds of objects.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The cluster configuration: one object, `cluster`.
    Ccfg,
    /// Configuration keys.
    Cfg,
    /// A namespace configuration.
    Nscfg,
    /// Secret keys.
    Sec,
    /// A service.
    Svc,
    /// A user of the API.
    Usr,
    /// A volume, with resources as a service has.
    Vol,
}

impl Kind {
    /// All kinds, in the order of their words.
    pub const ALL: [Self; 7] =
        [Self::Ccfg, Self::Cfg, Self::Nscfg, Self::Sec, Self::Svc, Self::Usr, Self::Vol];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ccfg => "ccfg",
            Self::Cfg => "cfg",
            Self::Nscfg => "nscfg",
            Self::Sec => "sec",
            Self::Svc => "svc",
            Self::Usr => "usr",
            Self::Vol => "vol",
        }
    }

    /// The kind a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether objects of this kind have resources and are orchestrated.
    #[must_use]
    pub fn has_instances(self) -> bool {
        matches!(self, Self::Svc | Self::Vol)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_word(&text)
            .ok_or_else(|| serde::de::Error::custom(format_args!("unknown kind {text:?}")))
    }
}
