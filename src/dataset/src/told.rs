//! What a peer told of itself and its objects, as JSON texts.

use model::Document;
use model::ObjectPath;
use serde_json::value::RawValue;

use crate::shared_map::SharedMap;

/// JSON text of an object.
pub type Text = Box<RawValue>;

/// The data of a peer as it told them, unknown keys included: what its next changes apply to, and what others are shown.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Everything but `services`.
    pub head: Document,
    /// Whether `services` was ever told.
    pub has_services: bool,
    /// `services.status`.
    pub status: SharedMap<Text>,
    /// `services.config`.
    pub config: SharedMap<Text>,
    /// What `status` and `config` take.
    pub(crate) size: Size,
}

impl Told {
    /// Bytes of the texts of all objects.
    pub fn bytes(&self) -> usize {
        self.size.bytes
    }

    /// Bytes of the text of an object, by the words of an operation.
    pub fn text_bytes(&self, section: &str, name: &str) -> usize {
        let Ok(path) = ObjectPath::parse(name) else { return 0 };
        let text = match section {
            "status" => self.status.get(&path),
            "config" => self.config.get(&path),
            _ => None,
        };
        text.map_or(0, |text| text.get().len())
    }
}

/// What texts take.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    /// Bytes of the texts.
    pub(crate) bytes: usize,
    /// Bytes of memory of what is read out of them.
    pub(crate) weight: usize,
}

impl Size {
    pub(crate) fn of<'t>(texts: impl IntoIterator<Item = &'t Text>) -> Self {
        let mut size = Self::default();
        for text in texts {
            size.bytes += text.get().len();
            size.weight += wire::weigh(text.get().as_bytes());
        }
        size
    }

    pub(crate) fn replace(&mut self, old: Self, new: Self) {
        self.bytes = self.bytes.saturating_sub(old.bytes) + new.bytes;
        self.weight = self.weight.saturating_sub(old.weight) + new.weight;
    }
}
