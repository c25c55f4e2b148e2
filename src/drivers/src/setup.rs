//! What a driver is read with, besides its section.

use conf::{ObjectConf, SectionReader};
use model::{ObjectPath, ObjectSettings, ResourceId};

use crate::host::Host;

/// What a driver is read with, besides its section.
pub(crate) struct Setup<'a> {
    /// The object.
    pub path: &'a ObjectPath,
    /// The resource.
    pub rid: ResourceId,
    /// Its configuration.
    pub conf: &'a ObjectConf,
    /// The object's settings.
    pub settings: &'a ObjectSettings,
    /// Identity of the object.
    pub id: &'a str,
    /// Keyword `disable` of the object.
    pub is_disabled: bool,
    /// The node.
    pub host: &'a Host,
}

impl Setup<'_> {
    /// The obsolete form of standby.
    pub(crate) fn is_always_on(&self, section: &SectionReader<'_>) -> bool {
        let here = &self.host.nodename;
        let words = section.words("always_on").unwrap_or_default();
        words.iter().any(|word| match word.to_ascii_lowercase().as_str() {
            "nodes" => self.settings.nodes.contains(here),
            "drpnodes" => self.settings.drpnodes.contains(here),
            name => here.as_str().eq_ignore_ascii_case(name),
        })
    }
}
