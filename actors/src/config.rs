//! Reading configuration files into typed settings: for the daemon, and for `om` commands in their own process.
//!
//! Nothing here watches: see [`config_watcher`](crate::config_watcher). What cannot be read is a [`Complaint`], and whoever
//! had a good configuration before keeps it.

mod first_start;
mod last_good;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use conf::{Complaint, Context, Folders, NodeSettings, ObjectConf, Severity};
use model::{ConfigEntry, NodeName, ObjectPath, ObjectSettings, Timestamp};

use crate::cluster_data::SharedMap;
use crate::durable;
use crate::paths::Paths;

pub use first_start::ensure_cluster_conf;
pub use last_good::{
    CSUM_VARIABLE, file_in_force, is_kept, load_node_as_it_speaks, load_node_in_force,
    load_object_in_force,
};
pub(crate) use last_good::{copy_of, note_other_cluster};

/// Where the newest configuration is found.
pub type ConfigCell = Arc<ArcSwap<LoadedConfig>>;

/// Largest configuration file that is read: 16 MiB.
pub const MAX_FILE_BYTES: u64 = 16 << 20;

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
    is_node_loaded: bool,
    /// Whether the objects were read: until then, none is not an answer.
    pub is_loaded: bool,
}

/// The configuration of one object.
#[derive(Clone)]
pub struct LoadedObject {
    /// The object.
    pub path: ObjectPath,
    /// The text of its file: the document is read from it again by whoever needs it, see [`LoadedObject::conf`].
    text: Arc<str>,
    /// What tells whether the file is still the one that was read; none for the copy of a last good content.
    stamp: Option<FileStamp>,
    /// The answer to `object_config`, made for the first one who asks.
    reply: OnceLock<Arc<wire::Prepared>>,
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
    /// The answer to `object_config`, as long as `file` is the one that was read: one look at its metadata instead of
    /// reading it for each peer that asks. A change that the metadata do not show (within a tick of the kernel's clock,
    /// of the same length) is followed when the config watcher has read it.
    #[must_use]
    pub fn reply(&self, file: &Path) -> Option<Arc<wire::Prepared>> {
        let make = || Arc::new(wire::Prepared::new(&config_reply(&self.text, self.updated)));
        (self.stamp.is_some() && FileStamp::of(file) == self.stamp)
            .then(|| self.reply.get_or_init(make).clone())
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
    /// The configuration of a node that has no file.
    #[must_use]
    pub fn empty(paths: &Paths, nodename: NodeName) -> Self {
        let node = NodeSettings::parse(nodename, "", "").expect("an empty text is read");
        Self::with_node(paths, node, String::new())
    }

    fn with_node(paths: &Paths, node: NodeSettings, node_csum: String) -> Self {
        Self {
            context: Arc::new(context(paths, &node)),
            node: Arc::new(node),
            node_csum,
            objects: SharedMap::default(),
            complaints: BTreeMap::new(),
            kept: BTreeSet::new(),
            is_node_loaded: false,
            is_loaded: false,
        }
    }

    /// Reads everything: the node, then all objects, on all processors. Blocks.
    #[must_use]
    pub fn load(paths: &Paths, nodename: &NodeName) -> Self {
        let mut config = Self::empty(paths, nodename.clone());
        config.reload_node(paths, &BTreeSet::new());
        let mut objects: BTreeSet<ObjectPath> = list_objects(paths).into_keys().collect();
        // A node may be in a cluster whose file is gone.
        objects.insert(ObjectPath::cluster());
        let objects: Vec<ObjectPath> = objects.into_iter().collect();
        config.reload_objects(paths, &objects);
        config.is_loaded = true;
        config
    }

    /// Reads node.conf and cluster.conf again. True when something changed; a file that cannot be read, or has mistakes
    /// that the one in force has not, changes nothing but its complaints, nor does what the agents of the peers `deployed`
    /// cannot follow.
    pub fn reload_node(&mut self, paths: &Paths, deployed: &BTreeSet<NodeName>) -> bool {
        let files = [paths.cluster_conf(), paths.node_conf()];
        self.follow_node(paths, files.map(|file| read_text(paths, &file)), deployed)
    }

    /// Looks at the labels of all nodes again; true when they changed, and [`LoadedConfig::reevaluate`] is due.
    pub fn reload_labels(&mut self, paths: &Paths) -> bool {
        let context = context(paths, &self.node);
        let is_changed = context.labels != self.context.labels;
        if is_changed {
            self.context = Arc::new(context);
        }
        is_changed
    }

    /// Reads these objects again, on all processors. Returns those that changed, appeared or disappeared. An object whose
    /// file cannot be read, or has errors that the one in force has not, stays as it is.
    pub fn reload_objects(&mut self, paths: &Paths, objects: &[ObjectPath]) -> Vec<ObjectPath> {
        let read = in_parallel(objects, |path| read_object(paths, &self.context, path));
        let mut changed = Vec::new();
        for (path, read) in objects.iter().zip(read) {
            match self.judge(paths, path, read) {
                Some(Some(object)) => {
                    let is_same = self.objects.get(path).is_some_and(|old| {
                        old.csum == object.csum
                            && old.updated == object.updated
                            && old.scope == object.scope
                            && old.settings == object.settings
                            && old.complaints == object.complaints
                    });
                    // The same content in another file is no change, but it is what is compared with from now on.
                    self.objects.insert(path.clone(), Arc::new(object));
                    if !is_same {
                        changed.push(path.clone());
                    }
                }
                Some(None) => {
                    changed.extend(self.objects.remove(path).map(|_| path.clone()));
                }
                None => {}
            }
        }
        changed
    }

    /// Evaluates all objects again, after a change of the node's configuration. Returns those that changed.
    pub fn reevaluate(&mut self) -> Vec<ObjectPath> {
        let objects: Vec<Arc<LoadedObject>> = self.objects.values().cloned().collect();
        let context = &self.context;
        let evaluated = in_parallel(&objects, |object| {
            let conf = object.conf();
            let (settings, complaints) = last_good::evaluate(&conf, context);
            (settings, complaints, conf.scope(context))
        });
        let mut changed = Vec::new();
        for (object, (settings, complaints, scope)) in objects.into_iter().zip(evaluated) {
            let is_same = *object.settings == settings
                && object.complaints == complaints
                && object.scope == scope;
            if is_same {
                continue;
            }
            // The node says otherwise now, and its objects go on: the file is to be read again, which tells.
            if last_good::adds_errors(&object.complaints, &complaints) {
                self.kept.insert(object.path.config_file());
                continue;
            }
            self.complaints.remove(&object.path.config_file());
            for complaint in &complaints {
                self.complain(complaint.clone());
            }
            changed.push(object.path.clone());
            let settings = Arc::new(settings);
            let object = LoadedObject { settings, complaints, scope, ..(*object).clone() };
            self.objects.insert(object.path.clone(), Arc::new(object));
        }
        changed
    }

    fn complain(&mut self, complaint: Complaint) {
        let known = self.complaints.entry(complaint.file.clone()).or_default();
        // The node's settings and those of the object `cluster` are of one file.
        if !known.contains(&complaint) {
            known.push(complaint);
        }
    }

    /// Keyword `node.max_parallel`, by default half of the processors and at least 2.
    #[must_use]
    pub fn max_parallel(&self) -> usize {
        self.node.max_parallel.unwrap_or_else(|| (processors() / 2).max(2))
    }
}

/// Number of processors that this process may use, as it was when it started: asking the system reads the files of its
/// control groups, and every decision asks.
#[must_use]
pub fn processors() -> usize {
    static COUNT: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    *COUNT
}

/// A random uuid.
#[must_use]
pub fn random_uuid() -> String {
    use ring::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
    conf::uuid(bytes)
}

/// A random secret of a cluster: 32 hex digits, a length that keys both dialects.
#[must_use]
pub fn random_secret() -> String {
    random_uuid().replace('-', "")
}

/// What evaluations on this node look at.
#[must_use]
pub fn context(paths: &Paths, node: &NodeSettings) -> Context {
    let mut labels = published_labels(paths);
    labels.insert(node.nodename.clone(), node.labels.clone());
    Context {
        labels: Arc::new(labels),
        folders: Arc::new(Folders {
            etc: paths.etc.display().to_string(),
            var: paths.var.display().to_string(),
        }),
        environment: Arc::new(
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        ),
        is_live: false,
        ..Context::new(node.conf.clone())
    }
}

/// Labels of the nodes as they were published last; none without the file.
fn published_labels(paths: &Paths) -> conf::Labels {
    let read = crate::regular::read(&paths.nodes_info(), MAX_FILE_BYTES);
    let nodes = read.ok().and_then(|bytes| wire::parse_json::<serde_json::Value>(&bytes).ok());
    let nodes = nodes.as_ref().and_then(serde_json::Value::as_object).into_iter().flatten();
    nodes
        .filter_map(|(name, info)| {
            let labels = info.get("labels")?.as_object()?.iter();
            let labels = labels
                .filter_map(|(label, value)| Some((label.clone(), value.as_str()?.to_owned())));
            Some((NodeName::new(name).ok()?, labels.collect()))
        })
        .collect()
}

/// Reads node.conf over cluster.conf.
///
/// # Errors
///
/// A [`Complaint`] about the file that cannot be read: missing rights, not a text, not a configuration.
pub fn load_node(paths: &Paths, nodename: NodeName) -> Result<NodeSettings, Box<Complaint>> {
    let files = [paths.cluster_conf(), paths.node_conf()];
    load_node_files(paths, nodename, &files).map(|(node, _)| node)
}

/// What keeps node.conf and cluster.conf from being read, of both.
#[must_use]
pub fn unreadable_node_files(paths: &Paths, nodename: &NodeName) -> Vec<Complaint> {
    let parse = |file: PathBuf, cluster: bool| -> Result<(), Box<Complaint>> {
        let text = read_text(paths, &file)?.map(|read| read.0).unwrap_or_default();
        let (cluster, node) = if cluster { (text.as_str(), "") } else { ("", text.as_str()) };
        conf::NodeConf::parse(nodename.clone(), cluster, node).map(|_| ())
    };
    let read = [parse(paths.cluster_conf(), true), parse(paths.node_conf(), false)];
    read.into_iter().filter_map(Result::err).map(|complaint| *complaint).collect()
}

/// Whether the file of an object, if there is one, can be read.
///
/// # Errors
///
/// A [`Complaint`] about why not.
pub fn check_object_file(paths: &Paths, path: &ObjectPath) -> Result<(), Box<Complaint>> {
    match read_text(paths, &paths.config_file(path))? {
        Some((text, _)) => parse_object(path, &text).map(|_| ()),
        None => Ok(()),
    }
}

fn load_node_files(
    paths: &Paths,
    nodename: NodeName,
    [cluster, node]: &[PathBuf; 2],
) -> Result<(NodeSettings, String), Box<Complaint>> {
    let text = |file: &Path| {
        read_text(paths, file).map(|read| read.map_or_else(String::new, |read| read.0))
    };
    let (cluster, node) = (text(cluster)?, text(node)?);
    let settings = NodeSettings::parse(nodename, &cluster, &node)?;
    Ok((settings, csum(node.as_bytes())))
}

/// Reads the configuration of an object, giving it an id if it has none.
///
/// # Errors
///
/// A [`Complaint`] when there is no such file, or it cannot be read.
pub fn load_object(
    paths: &Paths,
    node: &NodeSettings,
    path: &ObjectPath,
) -> Result<LoadedObject, Box<Complaint>> {
    read_object(paths, &context(paths, node), path)?
        .ok_or_else(|| complaint(path.config_file(), "no such file".to_owned()))
}

/// Reads the configuration of an object; none without a file.
fn read_object(
    paths: &Paths,
    context: &Context,
    path: &ObjectPath,
) -> Result<Option<LoadedObject>, Box<Complaint>> {
    let file = paths.config_file(path);
    let Some((mut text, mut metadata)) = read_text(paths, &file)? else { return Ok(None) };
    // As an editor leaves it that truncates and then writes: no object yet, and none that gets an id.
    if text.trim().is_empty() {
        return Err(complaint(path.config_file(), "is empty".to_owned()));
    }
    let mut conf = parse_object(path, &text)?;
    if conf.id().is_none() {
        match give_id(paths, path) {
            Ok(()) => {
                let Some(again) = read_text(paths, &file)? else { return Ok(None) };
                (text, metadata) = again;
                conf = parse_object(path, &text)?;
            }
            Err(error) => log::debug!(path:% = path, error:% = error; "no id given"),
        }
    }
    let (settings, complaints) = last_good::evaluate(&conf, context);
    let scope = conf.scope(context);
    Ok(Some(LoadedObject {
        path: path.clone(),
        csum: csum(text.as_bytes()),
        text: text.into(),
        stamp: Some(FileStamp::new(&metadata)),
        reply: OnceLock::new(),
        settings: Arc::new(settings),
        updated: modified(&metadata),
        scope,
        complaints,
    }))
}

fn parse_object(path: &ObjectPath, text: &str) -> Result<ObjectConf, Box<Complaint>> {
    ObjectConf::parse(path.clone(), text).map_err(|error| {
        let line = error.line;
        let reason = conf::IniError { line: 0, ..error }.to_string();
        Box::new(Complaint { line, ..*complaint(path.config_file(), reason) })
    })
}

fn complaint(file: String, reason: String) -> Box<Complaint> {
    Box::new(Complaint {
        severity: Severity::Error,
        file,
        line: 0,
        section: String::new(),
        keyword: String::new(),
        reason,
    })
}

/// The lock that whoever rewrites the configuration of an object holds.
#[must_use]
pub fn edit_lock(paths: &Paths, path: &ObjectPath) -> PathBuf {
    paths.locks().join(format!("edit_{}", path.as_str().replace('/', "_")))
}

/// Writes `DEFAULT.id` into the file of an object that has none. Not while somebody writes it: who truncates a file and
/// writes it anew would write into one that is replaced, and that nobody sees. One without a text is such a file.
fn give_id(paths: &Paths, path: &ObjectPath) -> std::io::Result<()> {
    let _lock = durable::FileLock::take(&edit_lock(paths, path), Duration::from_secs(3))?;
    let file = paths.config_file(path);
    // Whoever held the lock before may have written another text.
    let text = crate::regular::read_text(&file)?;
    if text.trim().is_empty() {
        return Ok(());
    }
    let Ok(mut conf) = ObjectConf::parse(path.clone(), &text) else { return Ok(()) };
    if conf.ensure_id(&random_uuid()) {
        let staged = durable::stage(&file, conf.text().as_bytes(), 0o600, None)?;
        if crate::regular::read_text(&file)? == text {
            staged.commit()?;
        }
    }
    Ok(())
}

/// A whole file and its metadata from before it was read; none if it does not exist.
pub(crate) fn read_text(
    paths: &Paths,
    file: &Path,
) -> Result<Option<(String, Metadata)>, Box<Complaint>> {
    let name = || file.strip_prefix(&paths.etc).unwrap_or(file).display().to_string();
    let failed = |error: std::io::Error| complaint(name(), error.to_string());
    let (opened, metadata) = match crate::regular::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(1 << 20)).unwrap_or(0));
    opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let reason = format!("has more than {MAX_FILE_BYTES} bytes");
        return Err(complaint(name(), reason));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(Some((text, metadata))),
        Ok(text) => {
            let line = text[..text.find('\0').unwrap_or(0)].matches('\n').count() + 1;
            Err(Box::new(Complaint { line, ..*complaint(name(), "has a NUL byte".to_owned()) }))
        }
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(Box::new(Complaint { line, ..*complaint(name(), "is not UTF-8".to_owned()) }))
        }
    }
}

/// Modification time of a file, as nodes publish it.
#[must_use]
pub fn modified(metadata: &Metadata) -> Timestamp {
    Timestamp(metadata.mtime() as f64 + metadata.mtime_nsec() as f64 / 1e9)
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
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// The stamp of a file; none if it does not exist.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        std::fs::metadata(file).ok().map(|metadata| Self::new(&metadata))
    }

    fn new(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Folders below `<etc>` that hold or may hold object files, with the name that their files have before them.
#[must_use]
pub fn object_folders(paths: &Paths) -> Vec<PathBuf> {
    let mut folders = vec![paths.etc.clone()];
    folders.extend(["vol", "cfg", "sec", "usr"].map(|kind| paths.etc.join(kind)));
    let namespaces = paths.etc.join("namespaces");
    for namespace in subfolders(&namespaces) {
        folders.extend(subfolders(&namespace).filter(|folder| {
            folder
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| model::Kind::from_word(name).is_some())
        }));
        folders.push(namespace);
    }
    folders.push(namespaces);
    folders.retain(|folder| folder.is_dir());
    folders
}

fn subfolders(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

/// The object that a file configures; none for other files.
#[must_use]
pub fn object_of(paths: &Paths, file: &Path) -> Option<ObjectPath> {
    ObjectPath::from_config_file(file.strip_prefix(&paths.etc).ok()?.to_str()?)
}

/// All object files, with what tells when they change.
#[must_use]
pub fn list_objects(paths: &Paths) -> BTreeMap<ObjectPath, FileStamp> {
    let mut objects = BTreeMap::new();
    for folder in object_folders(paths) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.path();
            if let Some(path) = object_of(paths, &file)
                && let Some(stamp) = FileStamp::of(&file)
            {
                objects.insert(path, stamp);
            }
        }
    }
    objects
}

/// Applies `work` to all items on all processors; results in the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = processors().min(items.len() / 16);
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let share = items.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let workers: Vec<_> = items
            .chunks(share)
            .map(|chunk| scope.spawn(|| chunk.iter().map(&work).collect::<Vec<R>>()))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| match worker.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests;
