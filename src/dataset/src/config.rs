//! The configurations of this node as values, as they were last read without error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use conf::{Complaint, Context, NodeSettings, ObjectConf, Severity};
use model::{ConfigEntry, NodeName, ObjectPath, ObjectSettings, Timestamp};

use crate::shared_map::SharedMap;

/// Where the newest configuration is found.
pub type ConfigCell = Arc<ArcSwap<LoadedConfig>>;

/// All configurations of this node, as last read without error.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// node.conf over cluster.conf.
    pub node: Arc<NodeSettings>,
    /// MD5 of node.conf, in hex.
    pub node_csum: String,
    /// What evaluations of keywords look at.
    pub context: Arc<Context>,
    /// The objects, `cluster` included.
    pub objects: SharedMap<LoadedObject>,
    /// What is wrong now, by file below `<etc>`.
    pub complaints: BTreeMap<String, Vec<Complaint>>,
    /// Files below `<etc>` that are not in force, for what is wrong in them: their last good content is.
    pub kept: BTreeSet<String>,
    /// Whether node.conf and cluster.conf were read.
    pub is_node_loaded: bool,
    /// Whether the objects were read: until then, none is not an answer.
    pub is_loaded: bool,
    /// Files of objects that were looked at, of all copies: it grows while they are read.
    pub looks: Arc<AtomicU64>,
    /// Processors of the machine.
    pub processors: usize,
}

/// The configuration of one object.
#[derive(Clone)]
pub struct LoadedObject {
    /// The object.
    pub path: ObjectPath,
    /// The text of its file: the document is read from it again by whoever needs it, see [`LoadedObject::conf`].
    pub text: Arc<str>,
    /// What tells whether the file is still the one that was read; none for the copy of a last good content.
    pub stamp: Option<FileStamp>,
    /// The answer to `object_config`, made for the first one who asks.
    pub reply: OnceLock<Arc<wire::Prepared>>,
    /// What the monitors need of it.
    pub settings: Arc<ObjectSettings>,
    /// Modification time of the file.
    pub updated: Timestamp,
    /// MD5 of its bytes, in hex.
    pub csum: String,
    /// Nodes and disaster recovery nodes, sorted.
    pub scope: Vec<NodeName>,
    /// Keywords that have their default because of a mistake.
    pub complaints: Vec<Complaint>,
}

impl fmt::Debug for LoadedObject {
    /// Without its text, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedObject")
            .field("path", &self.path)
            .field("updated", &self.updated)
            .field("csum", &self.csum)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl LoadedObject {
    /// The answer to `object_config`, as long as the file, whose stamp is `found`, is the one that was read: one look at its
    /// metadata instead of reading it for each peer that asks. A change that the metadata do not show (within a tick of the
    /// kernel's clock, of the same length) is followed when the config watcher has read it.
    #[must_use]
    pub fn reply(&self, found: Option<FileStamp>) -> Option<Arc<wire::Prepared>> {
        let make = || Arc::new(wire::Prepared::new(&config_reply(&self.text, self.updated)));
        (self.stamp.is_some() && found == self.stamp).then(|| self.reply.get_or_init(make).clone())
    }

    /// Its document. Read anew each time: thousands of documents take ten times the memory of their texts, and are
    /// looked at every few minutes.
    #[must_use]
    pub fn conf(&self) -> ObjectConf {
        ObjectConf::parse(self.path.clone(), &self.text).expect("it was read when it was loaded")
    }

    /// What the node publishes of it.
    #[must_use]
    pub fn entry(&self) -> ConfigEntry {
        ConfigEntry { updated: self.updated, csum: self.csum.clone(), scope: self.scope.clone() }
    }

    /// Whether the local node has an instance of it.
    #[must_use]
    pub fn has_instance(&self, local: &NodeName) -> bool {
        self.path.kind().has_instances() && self.settings.peers.contains(local)
    }
}

impl LoadedConfig {
    /// A configuration of these settings, and of no object yet.
    #[must_use]
    pub fn of(node: NodeSettings, context: Context, processors: usize) -> Self {
        Self {
            context: Arc::new(context),
            node: Arc::new(node),
            node_csum: String::new(),
            objects: SharedMap::default(),
            complaints: BTreeMap::new(),
            kept: BTreeSet::new(),
            is_node_loaded: false,
            is_loaded: false,
            looks: Arc::default(),
            processors,
        }
    }

    /// Objects whose files are not in force: what is wrong with them may depend on the node.
    pub fn kept_objects(&self) -> impl Iterator<Item = ObjectPath> + '_ {
        self.kept.iter().filter_map(|file| ObjectPath::from_config_file(file))
    }

    /// What the monitor of the node reads of it.
    #[must_use]
    pub fn timing(&self) -> monitor::NodeTiming {
        monitor::NodeTiming {
            rejoin_grace_period_secs: self.node.rejoin_grace_period.as_secs_f64(),
        }
    }

    /// Notes what is wrong, once.
    pub fn complain(&mut self, complaint: Complaint) {
        let known = self.complaints.entry(complaint.file.clone()).or_default();
        // The node's settings and those of the object `cluster` are of one file.
        if !known.contains(&complaint) {
            known.push(complaint);
        }
    }

    /// Keyword `node.max_parallel`, by default half of the processors and at least 2.
    #[must_use]
    pub fn max_parallel(&self) -> usize {
        self.node.max_parallel.unwrap_or_else(|| (self.processors / 2).max(2))
    }
}

/// Reads the text of an object.
///
/// # Errors
///
/// A [`Complaint`] about the line that cannot be read.
pub fn parse_object(path: &ObjectPath, text: &str) -> Result<ObjectConf, Box<Complaint>> {
    ObjectConf::parse(path.clone(), text).map_err(|error| {
        let line = error.line;
        let reason = conf::IniError { line: 0, ..error }.to_string();
        Box::new(Complaint { line, ..*complaint(path.config_file(), reason) })
    })
}

/// What is wrong with a whole file.
#[must_use]
pub fn complaint(file: String, reason: String) -> Box<Complaint> {
    Box::new(Complaint {
        severity: Severity::Error,
        file,
        line: 0,
        section: String::new(),
        keyword: String::new(),
        reason,
    })
}

/// The answer to `object_config` and `node_config` in their format `ini`: the text of the file, and its time.
#[must_use]
pub fn config_reply(text: &str, updated: Timestamp) -> serde_json::Value {
    serde_json::json!({"status": 0, "data": text, "mtime": updated})
}

/// MD5 in hex: what nodes compare configurations by.
#[must_use]
pub fn csum(bytes: &[u8]) -> String {
    monitor::md5_hex(bytes)
}

/// What tells a changed file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// Number of the file.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When its content changed, seconds and nanoseconds.
    pub modified: (i64, i64),
    /// When its metadata changed.
    pub changed: (i64, i64),
}
