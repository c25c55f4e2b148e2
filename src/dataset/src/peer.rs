//! The data of a peer: as it told them, and as decisions read them.

use model::Document;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::exchange::received::{PeerData, may_preserve};
use crate::journal::{ApplyError, apply_at};
use model::{ConfigEntry, InstanceStatus, NodeData, NodeName, ObjectPath, Op, OpKey};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use crate::reading::Reading;
use crate::services::{Objects, Services, Unread, objects_of};
use crate::shared_map::SharedMap;
use crate::snapshot::NodeEntry;
use crate::told::{Size, Text};
use crate::touched::{Touched, is_decisive};

/// Largest data of a peer, in bytes of JSON: changes that make it larger fail. No full has more.
const MOST_BYTES: usize = 32 << 20;

/// Largest weight of the objects of a peer, in bytes of memory of what is read out of them: twice what 10,000 services
/// need.
const MOST_WEIGHT: usize = 128 << 20;

/// Largest weight of what a peer says beside its objects, which is kept as values.
pub const MOST_HEAD: usize = 4 << 20;

/// Dropped keys that are logged; beyond, nobody reads them.
const MOST_LOGGED: usize = 1_000;

/// Dropped keys of peers, each logged once.
#[derive(Debug, Default)]
pub struct DroppedLog(BTreeSet<(NodeName, String)>);

impl DroppedLog {
    pub(crate) fn report(&mut self, peer: &NodeName, dropped: BTreeSet<String>) {
        for key in dropped {
            if self.0.len() < MOST_LOGGED && self.0.insert((peer.clone(), key.clone())) {
                log::warn!(peer:% = peer, key:% = key; "peer publishes what does not parse: ignored");
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Status,
    Config,
}

impl Section {
    fn from_key(key: &OpKey) -> Option<Self> {
        match key {
            OpKey::Name(name) if name == "status" => Some(Self::Status),
            OpKey::Name(name) if name == "config" => Some(Self::Config),
            _ => None,
        }
    }
}

/// A peer being changed by a message.
#[derive(Debug, Default)]
pub struct PeerStore {
    pub(crate) entry: NodeEntry,
    pub(crate) touched: Touched,
    /// Keys that do not parse.
    pub dropped: BTreeSet<String>,
    /// What the message makes of the data, worked out before.
    pub reading: Option<Box<Reading>>,
    /// Objects that were read here.
    pub count: usize,
}

impl PeerStore {
    /// Data that are to be changed.
    pub fn new(entry: NodeEntry) -> Self {
        Self { entry, ..Self::default() }
    }

    /// Replaces all that the peer told: by what it says beside its objects, and those.
    pub(crate) fn replace_by(&mut self, head: Document, mut services: Option<Services>) {
        if may_preserve(&head)
            && let Some(services) = &mut services
        {
            self.preserve(services);
        }
        self.put_services(services);
        self.entry.told.get_or_insert_default().head = head;
        self.read_head();
    }

    /// Puts into a full what its sender has not had the time to tell, as [`exchange`](crate::exchange) does with plain JSON.
    fn preserve(&self, services: &mut Services) {
        let is_untold = |path: &&ObjectPath| !services.status.contains_key(*path);
        let untold: Vec<ObjectPath> = services.config.keys().filter(is_untold).cloned().collect();
        for path in untold {
            if let Some(mut instance) = self.get(Section::Status, &path) {
                instance.insert("preserved".to_owned(), true.into());
                services.status.insert(path, Unread::Values(instance));
            }
        }
    }

    /// Takes over what was worked out before.
    pub fn adopt(&mut self, reading: Reading) {
        let NodeEntry { data, status, config, told, is_heard: _, unseen: _ } = reading.entry;
        self.entry.data = data;
        self.entry.status = status;
        self.entry.config = config;
        self.entry.told = told;
        self.touched.extend(reading.touched);
        self.dropped.extend(reading.dropped);
    }

    fn drop_keys(&mut self, keys: Vec<String>) {
        let room = MOST_LOGGED.saturating_sub(self.dropped.len());
        self.dropped.extend(keys.into_iter().take(room));
    }

    /// Sets what the peer told of an object, if it differs.
    fn put(&mut self, section: Section, path: &ObjectPath, object: Option<&Document>) {
        let told = self.entry.told.get_or_insert_default();
        let texts = match section {
            Section::Status => &mut told.status,
            Section::Config => &mut told.config,
        };
        let text = object.map(text);
        let old = texts.get(path);
        if old.map(|old| old.get()) == text.as_ref().map(|text| text.get()) {
            return;
        }
        told.size.replace(Size::of(old.map(|old| &**old)), Size::of(&text));
        match text {
            Some(text) => texts.insert(path.clone(), Arc::new(text)),
            None => texts.remove(path),
        };
        self.read(section, path, object);
    }

    /// Reads what the peer told of an object.
    fn read(&mut self, section: Section, path: &ObjectPath, object: Option<&Document>) {
        self.count += 1;
        match section {
            Section::Status => {
                self.touched.status.insert(path.clone());
                match object.map(InstanceStatus::lenient) {
                    Some((status, dropped)) => {
                        self.drop_keys(dropped);
                        self.entry.status.insert(path.clone(), Arc::new(status));
                    }
                    None => _ = self.entry.status.remove(path),
                }
            }
            Section::Config => {
                self.touched.config.insert(path.clone());
                match object.and_then(ConfigEntry::lenient) {
                    Some(entry) => _ = self.entry.config.insert(path.clone(), Arc::new(entry)),
                    None => _ = self.entry.config.remove(path),
                }
            }
        }
    }

    /// What the peer told of an object.
    fn get(&self, section: Section, path: &ObjectPath) -> Option<Document> {
        let told = self.entry.told.as_ref()?;
        let text = match section {
            Section::Status => told.status.get(path)?,
            Section::Config => told.config.get(path)?,
        };
        serde_json::from_str(text.get()).ok()
    }

    /// Sets all objects of a section. What is told as before is kept and not read again.
    fn put_all(&mut self, section: Section, new: Objects) {
        let told = self.entry.told.get_or_insert_default();
        let old = match section {
            Section::Status => &told.status,
            Section::Config => &told.config,
        };
        if new.is_empty() {
            return self.clear(section);
        }
        if old.is_empty() {
            return self.read_all(section, new);
        }
        let gone: Vec<ObjectPath> =
            old.keys().filter(|path| !new.contains_key(*path)).cloned().collect();
        for path in gone {
            self.put(section, &path, None);
        }
        for (path, object) in new {
            self.put(section, &path, object.values().as_ref());
        }
    }

    /// Forgets all objects of a section.
    fn clear(&mut self, section: Section) {
        let told = self.entry.told.get_or_insert_default();
        let (texts, touched) = match section {
            Section::Status => (&mut told.status, &mut self.touched.status),
            Section::Config => (&mut told.config, &mut self.touched.config),
        };
        let size = Size::of(texts.values().map(|text| &**text));
        told.size.replace(size, Size::default());
        touched.extend(std::mem::take(texts).keys().cloned());
        match section {
            Section::Status => self.entry.status = SharedMap::default(),
            Section::Config => self.entry.config = SharedMap::default(),
        }
    }

    /// Takes all objects of a section that was empty. One by one, each would copy its neighbours.
    fn read_all(&mut self, section: Section, new: Objects) {
        self.count += new.len();
        let new = new.into_iter().filter_map(|(path, told)| Some((path, told.values()?)));
        let mut texts: Vec<(ObjectPath, Arc<Text>)> = vec![];
        match section {
            Section::Status => {
                let mut all = vec![];
                for (path, object) in new {
                    texts.push((path.clone(), Arc::new(text(&object))));
                    let (status, dropped) = InstanceStatus::lenient(&object);
                    self.drop_keys(dropped);
                    all.push((path, Arc::new(status)));
                }
                self.touched.status.extend(all.iter().map(|(path, _)| path.clone()));
                self.entry.status = SharedMap::from_sorted(all);
            }
            Section::Config => {
                let mut all = vec![];
                for (path, object) in new {
                    texts.push((path.clone(), Arc::new(text(&object))));
                    let entry = ConfigEntry::lenient(&object);
                    all.extend(entry.map(|entry| (path, Arc::new(entry))));
                }
                self.touched.config.extend(texts.iter().map(|(path, _)| path.clone()));
                self.entry.config = SharedMap::from_sorted(all);
            }
        }
        let size = Size::of(texts.iter().map(|(_, text)| &**text));
        let told = self.entry.told.get_or_insert_default();
        told.size.replace(Size::default(), size);
        match section {
            Section::Status => told.status = SharedMap::from_sorted(texts),
            Section::Config => told.config = SharedMap::from_sorted(texts),
        }
    }

    fn put_services(&mut self, services: Option<Services>) {
        let has_services = services.is_some();
        let Services { status, config } = services.unwrap_or_default();
        self.put_all(Section::Status, status);
        self.put_all(Section::Config, config);
        let told = self.entry.told.get_or_insert_default();
        if told.has_services != has_services {
            told.has_services = has_services;
            self.touched.is_decisive = true;
            self.touched.is_head = true;
        }
    }

    /// Reads everything but the objects.
    fn read_head(&mut self) {
        let head = self.entry.told.as_ref().map(|told| &told.head);
        let (data, dropped) = head.map(NodeData::lenient).unwrap_or_default();
        self.drop_keys(dropped);
        let old = std::mem::replace(&mut self.entry.data, data);
        self.touched.is_head = true;
        self.touched.is_decisive |= is_decisive(&old, &self.entry.data);
    }

    /// Sets the generations that are kept of a peer: what it has of the local node, and what is merged of it.
    /// Beside them, which nodes it knows: decisions look at that.
    pub fn set_gens(&mut self, mut gens: BTreeMap<NodeName, u64>, known_to: Vec<NodeName>) {
        let Some(told) = &mut self.entry.told else { return };
        let value = gens.iter().map(|(node, number)| (node.to_string(), (*number).into()));
        told.head.insert("gen".to_owned(), Value::Object(value.collect()));
        for node in known_to {
            gens.entry(node).or_insert(0);
        }
        self.entry.data.r#gen = gens;
        self.touched.is_head = true;
    }

    fn apply_all(&mut self, ops: &[Op]) -> Result<(), ApplyError> {
        /// Objects being changed: read once, written once.
        type Open = BTreeMap<(Section, ObjectPath), Option<Document>>;
        let mut open = Open::new();
        let close = |store: &mut Self, open: &mut Open| {
            for ((section, path), object) in std::mem::take(open) {
                store.put(section, &path, object.as_ref());
            }
        };
        let mut is_head = false;
        for op in ops {
            let value = op.value.as_ref();
            let (first, rest) = match op.path.split_first() {
                Some((OpKey::Name(first), rest)) => (first.as_str(), rest),
                Some((OpKey::Index(_), _)) => return Err(ApplyError::NotFound),
                None => {
                    open.clear();
                    let Some(Value::Object(data)) = value else { return Err(ApplyError::Root) };
                    self.replace(data.clone());
                    continue;
                }
            };
            if first != "services" {
                let told = self.entry.told.get_or_insert_default();
                apply_at(&mut told.head, &op.path, value)?;
                is_head = true;
                continue;
            }
            match rest {
                [] => {
                    open.clear();
                    self.put_services(Services::of_value(value.cloned()));
                }
                _ if !self.entry.has_services() => return Err(ApplyError::NotFound),
                [key] => {
                    close(self, &mut open);
                    let Some(section) = Section::from_key(key) else { continue };
                    self.put_all(section, objects_of(value.cloned()));
                }
                [key, OpKey::Name(name), deep @ ..] => {
                    let (Some(section), Ok(path)) =
                        (Section::from_key(key), ObjectPath::parse(name))
                    else {
                        continue;
                    };
                    if deep.is_empty() {
                        let mut object = Map::new();
                        apply_at(&mut object, &[OpKey::from("o")], value)?;
                        let object = match object.remove("o") {
                            Some(Value::Object(object)) => Some(object),
                            _ => None,
                        };
                        open.insert((section, path), object);
                        continue;
                    }
                    let object = open
                        .entry((section, path))
                        .or_insert_with_key(|(section, path)| self.get(*section, path));
                    apply_at(object.as_mut().ok_or(ApplyError::NotFound)?, deep, value)?;
                }
                _ => return Err(ApplyError::NotFound),
            }
        }
        close(self, &mut open);
        if is_head {
            self.read_head();
        }
        let Some(told) = &self.entry.told else { return Ok(()) };
        let head: usize = match is_head {
            true => told.head.values().map(wire::weigh_value).sum(),
            false => 0,
        };
        let is_within =
            head <= MOST_HEAD && told.size.bytes <= MOST_BYTES && told.size.weight <= MOST_WEIGHT;
        if is_within { Ok(()) } else { Err(ApplyError::TooLarge) }
    }
}

fn text(object: &Document) -> Text {
    to_raw_value(object).expect("JSON is written as it was")
}

impl PeerData for PeerStore {
    fn replace(&mut self, mut data: Document) {
        if let Some(reading) = self.reading.take() {
            return self.adopt(*reading);
        }
        let services = data.remove("services");
        self.replace_by(data, Services::of_value(services));
    }

    fn set_monitor(&mut self, monitor: Document) {
        let told = self.entry.told.get_or_insert_default();
        told.head.remove("envelope");
        told.head.insert("monitor".to_owned(), Value::Object(monitor));
        self.read_head();
    }

    fn lose_objects(&mut self) {
        if self.entry.has_services() {
            self.put_services(None);
        }
    }

    fn apply(&mut self, ops: &[Op]) -> Result<(), ApplyError> {
        if let Some(mut reading) = self.reading.take() {
            let end = reading.ends.pop_front();
            if reading.ends.is_empty() {
                self.adopt(*reading);
            } else {
                self.reading = Some(reading);
            }
            return end.unwrap_or(Err(ApplyError::NotFound));
        }
        let before = (self.entry.clone(), self.touched.clone());
        let end = self.apply_all(ops);
        if end.is_err() {
            (self.entry, self.touched) = before;
        }
        end
    }
}
