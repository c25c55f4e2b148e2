//! Names of resources.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Name of a resource in its object: `<group>#<index>`, the configuration section that defines it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(Box<str>);

impl ResourceId {
    /// Reads a resource id; none when the text has no `#` with something on both sides, or could leave a folder.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let (group, index) = text.split_once('#')?;
        let is_plain = !text.contains(|c: char| c == '/' || c.is_control());
        (!group.is_empty() && !index.is_empty() && is_plain).then(|| Self(text.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The driver group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.0.split_once('#').map_or("", |(group, _)| group)
    }

    /// What stands after the `#`.
    #[must_use]
    pub fn index(&self) -> &str {
        self.0.split_once('#').map_or("", |(_, index)| index)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl std::borrow::Borrow<str> for ResourceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}
