//! The objects that a peer tells in a full, each read when it is its turn: as values, all of them take several times what is
//! kept of them.

use std::collections::BTreeMap;

use model::{Document, ObjectPath, Texts};
use serde_json::Value;
use serde_json::value::RawValue;

/// An object as it came.
#[derive(Debug)]
pub(crate) enum Unread {
    /// Text that begins as an object does.
    Text(Box<RawValue>),
    /// Values.
    Values(Document),
}

impl Unread {
    /// Its values; none where the text is none of an object after all.
    pub(crate) fn values(self) -> Option<Document> {
        match self {
            Self::Text(text) => wire::parse_json(text.get().as_bytes()).ok(),
            Self::Values(values) => Some(values),
        }
    }
}

/// Objects by their paths. What is no path, or no object, decides nothing, and changes of it are skipped.
pub(crate) type Objects = BTreeMap<ObjectPath, Unread>;

/// The objects of a full.
#[derive(Debug, Default)]
pub(crate) struct Services {
    pub(crate) status: Objects,
    pub(crate) config: Objects,
}

impl Services {
    /// Of what a full has as `services`; none where that is no object.
    pub(crate) fn of_value(services: Option<Value>) -> Option<Self> {
        let Some(Value::Object(mut services)) = services else { return None };
        let mut section = |name| objects_of(services.remove(name));
        Some(Self { status: section("status"), config: section("config") })
    }

    pub(crate) fn of_texts(texts: Texts) -> Self {
        let objects = |texts: BTreeMap<String, Box<RawValue>>| {
            let read = |(path, text): (String, Box<RawValue>)| {
                let is_object = text.get().starts_with('{');
                Some((ObjectPath::parse(&path).ok().filter(|_| is_object)?, Unread::Text(text)))
            };
            texts.into_iter().filter_map(read).collect()
        };
        Self { status: objects(texts.status), config: objects(texts.config) }
    }
}

/// The objects of one section.
pub(crate) fn objects_of(section: Option<Value>) -> Objects {
    let Some(Value::Object(section)) = section else { return Objects::new() };
    let read = |(path, value): (String, Value)| match value {
        Value::Object(values) => Some((ObjectPath::parse(&path).ok()?, Unread::Values(values))),
        _ => None,
    };
    section.into_iter().filter_map(read).collect()
}
