//! What nodes tell each other: ping, patch and full (src/model/README.md, Messages of heartbeats).

use crate::lenient::Document;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::{NodeName, Timestamp};

/// One step into JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpKey {
    /// Key of an object.
    Name(String),
    /// Zero-based index of a list.
    Index(usize),
}

impl From<&str> for OpKey {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl fmt::Display for OpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Index(index) => index.fmt(f),
        }
    }
}

impl Serialize for OpKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => serializer.serialize_str(name),
            Self::Index(index) => serializer.serialize_u64(*index as u64),
        }
    }
}

impl<'de> Deserialize<'de> for OpKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;
        impl Visitor<'_> for Key {
            type Value = OpKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key or an index")
            }

            fn visit_str<E>(self, name: &str) -> Result<OpKey, E> {
                Ok(OpKey::Name(name.to_owned()))
            }

            fn visit_string<E>(self, name: String) -> Result<OpKey, E> {
                Ok(OpKey::Name(name))
            }

            fn visit_u64<E: serde::de::Error>(self, index: u64) -> Result<OpKey, E> {
                usize::try_from(index).map(OpKey::Index).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Key)
    }
}

/// One operation on JSON: `[path, value]` sets, `[path]` deletes.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Where, from the root. Empty: the whole.
    pub path: Vec<OpKey>,
    /// What is set there, null included; none deletes.
    pub value: Option<Value>,
}

impl Serialize for Op {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut op = serializer.serialize_tuple(1 + usize::from(self.value.is_some()))?;
        op.serialize_element(&self.path)?;
        if let Some(value) = &self.value {
            op.serialize_element(value)?;
        }
        op.end()
    }
}

impl<'de> Deserialize<'de> for Op {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Op;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[path, value] or [path]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Op, A::Error> {
                let path = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let value = seq.next_element()?;
                if seq.next_element::<Value>()?.is_some() {
                    return Err(A::Error::invalid_length(3, &self));
                }
                Ok(Op { path, value })
            }
        }
        deserializer.deserialize_seq(Pair)
    }
}

/// One heartbeat message.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatMessage {
    /// For the sender the generation of its data, for each other node the generation that the sender has of its data:
    /// 0 asks for a full, absent was never heard.
    pub r#gen: BTreeMap<NodeName, u64>,
    /// Ping and patch: when it was sent. Full: when the data changed last. By the clock of the sender; 0 when it does
    /// not say.
    pub updated: Timestamp,
    /// The rest.
    pub content: Content,
}

/// What a message carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Kind `ping`: the sender is alone, as far as it knows.
    Ping {
        /// Compatibility level, 10; none when absent.
        compat: Option<u32>,
        /// The node monitor, may be empty.
        monitor: Document,
    },
    /// Kind `patch`: the changes that not every peer has acknowledged. None is a keep-alive.
    Patch {
        /// By the generation that they make.
        deltas: BTreeMap<u64, Vec<Op>>,
    },
    /// Without kind: the whole node data, `gen` and `updated` included.
    Full {
        /// The node data.
        data: Document,
    },
    /// The same, and its objects are text still: as values, ten thousand of them take a hundred MiB.
    Texts {
        /// The node data without `services`.
        data: Document,
        /// The objects.
        services: Texts,
    },
}

/// The objects of a full, each as text.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// `services.status`.
    pub status: BTreeMap<String, Box<RawValue>>,
    /// `services.config`.
    pub config: BTreeMap<String, Box<RawValue>>,
}

impl PartialEq for Texts {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |these: &BTreeMap<String, Box<RawValue>>, those: &BTreeMap<_, _>| {
            let texts = |of: &BTreeMap<String, Box<RawValue>>| {
                of.iter()
                    .map(|(key, text)| (key.clone(), text.get().to_owned()))
                    .collect::<Vec<_>>()
            };
            texts(these) == texts(those)
        };
        is_same(&self.status, &other.status) && is_same(&self.config, &other.config)
    }
}

/// Why something is no heartbeat message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeartbeatError {
    /// Not an object.
    NotAnObject,
    /// A kind nobody knows.
    Kind {
        /// What it says, shortened.
        kind: String,
    },
    /// A field of another type.
    Field {
        /// Its name.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A delta that is no list of operations under a generation.
    Delta {
        /// Its key, shortened.
        key: String,
    },
}

impl fmt::Display for HeartbeatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("heartbeat message is not an object"),
            Self::Kind { kind } => write!(f, "unknown kind {kind} of heartbeat message"),
            Self::Field { name, expected } => {
                write!(f, "{name} of heartbeat message is not {expected}")
            }
            Self::Delta { key } => {
                write!(f, "delta {key} of heartbeat message is not a list of operations")
            }
        }
    }
}

impl std::error::Error for HeartbeatError {}

impl HeartbeatMessage {
    /// Whether it brings changes, and not everything or nothing.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(&self.content, Content::Patch { deltas } if !deltas.is_empty())
    }

    /// Reads a message. What deployed agents leave out or set to null is absent; an entry of `gen` that is no
    /// generation of a node is left out.
    ///
    /// # Errors
    ///
    /// [`HeartbeatError`] when it has not the shape of a message.
    pub fn from_value(value: Value) -> Result<Self, HeartbeatError> {
        let Value::Object(mut message) = value else { return Err(HeartbeatError::NotAnObject) };
        let updated = match message.get("updated") {
            None | Some(Value::Null) => Timestamp::NEVER,
            Some(updated) => updated
                .as_f64()
                .map(Timestamp)
                .ok_or(HeartbeatError::Field { name: "updated", expected: "a time in seconds" })?,
        };
        let r#gen = match message.get("gen") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Object(entries)) => entries
                .iter()
                .filter_map(|(node, number)| Some((NodeName::new(node).ok()?, number.as_u64()?)))
                .collect(),
            Some(_) => {
                return Err(HeartbeatError::Field {
                    name: "gen",
                    expected: "an object of generations by node",
                });
            }
        };
        let kind = match message.get("kind") {
            None | Some(Value::Null) => None,
            Some(Value::String(kind)) => Some(kind.as_str()),
            Some(other) => {
                return Err(HeartbeatError::Kind { kind: shortened(&other.to_string()) });
            }
        };
        let content = match kind {
            None => Content::Full { data: message },
            Some("ping") => Content::Ping {
                compat: message
                    .get("compat")
                    .and_then(Value::as_u64)
                    .and_then(|n| n.try_into().ok()),
                monitor: take_object(&mut message, "monitor")?,
            },
            Some("patch") => Content::Patch {
                deltas: take_object(&mut message, "deltas")?
                    .into_iter()
                    .map(|(key, ops)| read_delta(&key, ops))
                    .collect::<Result<_, _>>()?,
            },
            Some(other) => return Err(HeartbeatError::Kind { kind: shortened(other) }),
        };
        Ok(Self { r#gen, updated, content })
    }

    /// Reads a full without reading its objects. None: it is no full with objects of both sections, and is to be read as a
    /// value.
    #[must_use]
    pub fn from_texts(text: &str) -> Option<Self> {
        type Parts<'t> = BTreeMap<String, &'t RawValue>;
        let mut fields: Parts<'_> = serde_json::from_str(text).ok()?;
        if fields.contains_key("kind") {
            return None;
        }
        let mut sections: Parts<'_> =
            serde_json::from_str(fields.remove("services")?.get()).ok()?;
        let mut section = |name| serde_json::from_str(sections.remove(name)?.get()).ok();
        let services = Texts { status: section("status")?, config: section("config")? };
        let read = |(key, text): (String, &RawValue)| {
            Some((key, serde_json::from_str::<Value>(text.get()).ok()?))
        };
        let data: Document = fields.into_iter().map(read).collect::<Option<_>>()?;
        let Self { r#gen, updated, content } = Self::from_value(Value::Object(data)).ok()?;
        match content {
            Content::Full { data } => {
                Some(Self { r#gen, updated, content: Content::Texts { data, services } })
            }
            Content::Ping { .. } | Content::Patch { .. } | Content::Texts { .. } => None,
        }
    }

    /// The message as it travels.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut message = Map::new();
        match &self.content {
            Content::Ping { compat, monitor } => {
                message.insert("kind".to_owned(), "ping".into());
                if let Some(compat) = compat {
                    message.insert("compat".to_owned(), (*compat).into());
                }
                message.insert("monitor".to_owned(), Value::Object(monitor.clone()));
            }
            Content::Patch { deltas } => {
                message.insert("kind".to_owned(), "patch".into());
                let deltas = deltas.iter().map(|(number, ops)| {
                    let ops = ops.iter().map(|op| serde_json::to_value(op).expect("plain JSON"));
                    (number.to_string(), ops.collect())
                });
                message.insert("deltas".to_owned(), Value::Object(deltas.collect()));
            }
            Content::Full { data } => message.clone_from(data),
            Content::Texts { data, services } => {
                message.clone_from(data);
                message.insert("services".to_owned(), services.to_value());
            }
        }
        let gens = self.r#gen.iter().map(|(node, number)| (node.to_string(), (*number).into()));
        message.insert("gen".to_owned(), Value::Object(gens.collect()));
        message.insert("updated".to_owned(), self.updated.0.into());
        Value::Object(message)
    }
}

impl Texts {
    /// The objects as a full carries them; without those that cannot be read.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let values = |texts: &BTreeMap<String, Box<RawValue>>| {
            let values = texts.iter().filter_map(|(key, text)| {
                Some((key.clone(), serde_json::from_str(text.get()).ok()?))
            });
            Value::Object(values.collect())
        };
        let sections = [("status", &self.status), ("config", &self.config)];
        Value::Object(
            sections.into_iter().map(|(key, texts)| (key.to_owned(), values(texts))).collect(),
        )
    }
}

fn take_object(message: &mut Document, name: &'static str) -> Result<Document, HeartbeatError> {
    match message.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(HeartbeatError::Field { name, expected: "an object" }),
    }
}

fn read_delta(key: &str, ops: Value) -> Result<(u64, Vec<Op>), HeartbeatError> {
    let delta = || HeartbeatError::Delta { key: shortened(key) };
    let number = key.parse().map_err(|_| delta())?;
    Ok((number, serde_json::from_value(ops).map_err(|_| delta())?))
}

/// What a log line can bear of a foreign text.
fn shortened(text: &str) -> String {
    text.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<HeartbeatMessage, HeartbeatError> {
        HeartbeatMessage::from_value(value)
    }

    #[test]
    fn a_full_read_as_texts_says_what_it_says_as_a_value() {
        let text = json!({"gen": {"n1": 3, "n2": 0}, "updated": 5.0, "compat": 10,
            "services": {"status": {"svc1": {"avail": "up"}, "\u{e9}": 1}, "config": {"svc1": {}}}});
        let as_value = HeartbeatMessage::from_value(text.clone()).unwrap();
        let as_texts = HeartbeatMessage::from_texts(&text.to_string()).unwrap();
        assert!(matches!(as_texts.content, Content::Texts { .. }));
        assert_eq!(as_texts.to_json(), as_value.to_json());
        assert_eq!((&as_texts.r#gen, as_texts.updated), (&as_value.r#gen, as_value.updated));
        for other in [
            json!({"kind": "ping", "services": {"status": {}, "config": {}}}),
            json!({"gen": {}, "services": {"status": {}}}),
            json!({"gen": {}, "services": null}),
            json!({"gen": [], "services": {"status": {}, "config": {}}}),
            json!([1]),
        ] {
            assert_eq!(HeartbeatMessage::from_texts(&other.to_string()), None, "{other}");
        }
    }

    #[test]
    fn each_kind_reads_back_as_it_was_written() {
        for message in [
            json!({"kind": "ping", "compat": 10, "gen": {"n21": 1}, "monitor": {}, "updated": 1.5}),
            json!({"kind": "patch", "gen": {"n21": 6, "n22": 0}, "updated": 2.5, "deltas": {
                "5": [[["stats", "load"], 0.5], [["l", 2], null], [["gone"]], [["updated"], 2.0]],
                "6": []
            }}),
            json!({"compat": 10, "services": {"status": {}}, "gen": {"n21": 6}, "updated": 2.0}),
        ] {
            assert_eq!(read(message.clone()).unwrap().to_json(), message);
        }
    }

    #[test]
    fn null_is_absent_and_what_is_no_generation_is_left_out() {
        let message = read(json!({"kind": "patch", "deltas": null, "updated": null, "gen": {
            "n1": 3, "n2": -1, "n3": "x", "n4": null, "": 1
        }}));
        let expected = HeartbeatMessage {
            r#gen: [(NodeName::new("n1").unwrap(), 3)].into(),
            updated: Timestamp::NEVER,
            content: Content::Patch { deltas: BTreeMap::new() },
        };
        assert_eq!(message, Ok(expected));
        let ping = read(json!({"kind": "ping", "compat": "ten", "monitor": null, "gen": null}));
        let content = Content::Ping { compat: None, monitor: Map::new() };
        assert_eq!(ping.map(|ping| ping.content), Ok(content));
    }

    #[test]
    fn a_deletion_is_told_from_a_null() {
        let ops: Vec<Op> = serde_json::from_value(json!([[["a"]], [["a"], null]])).unwrap();
        assert_eq!(
            ops,
            [
                Op { path: vec!["a".into()], value: None },
                Op { path: vec!["a".into()], value: Some(Value::Null) }
            ]
        );
    }

    #[test]
    fn what_has_another_shape_is_refused_with_its_reason() {
        let field = |name, expected| Err(HeartbeatError::Field { name, expected });
        assert_eq!(read(json!([])), Err(HeartbeatError::NotAnObject));
        assert_eq!(read(json!({"updated": "x"})), field("updated", "a time in seconds"));
        assert_eq!(read(json!({"gen": 3})), field("gen", "an object of generations by node"));
        assert_eq!(read(json!({"kind": "ping", "monitor": 1})), field("monitor", "an object"));
        assert_eq!(read(json!({"kind": "patch", "deltas": []})), field("deltas", "an object"));
        let kind = |kind: &str| Err(HeartbeatError::Kind { kind: kind.to_owned() });
        assert_eq!(read(json!({"kind": "x".repeat(100)})), kind(&"x".repeat(32)));
        assert_eq!(read(json!({"kind": 7})), kind("7"));
    }

    #[test]
    fn a_delta_is_a_list_of_operations_under_a_generation() {
        for (key, ops) in [
            ("-1", json!([])),
            ("x", json!([])),
            ("1", json!({})),
            ("1", json!([[]])),
            ("1", json!([["a"]])),
            ("1", json!([[["a"], 1, 2]])),
            ("1", json!([[[-1], 1]])),
            ("1", json!([[[1.5], 1]])),
            ("1", json!([[[null], 1]])),
        ] {
            let error = read(json!({"kind": "patch", "deltas": {key: ops}})).unwrap_err();
            assert_eq!(error, HeartbeatError::Delta { key: key.to_owned() });
        }
    }
}
