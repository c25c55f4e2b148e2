//! Reading configuration files into typed settings: for the daemon, and for `om` commands in their own process.
//!
//! Nothing here watches: see the config watcher. What cannot be read is a [`Complaint`], and whoever
//! had a good configuration before keeps it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use conf::{Complaint, Context, NodeSettings};
use model::{NodeName, ObjectPath};

use dataset::config::{LoadedConfig, LoadedObject, complaint, csum, parse_object};
use machine::paths::Paths;
use machine::process::processors;
use machine::random::random_uuid;
use machine::regular::modified;

use crate::context::context;
use crate::edit::give_id;
use crate::known_id;
use crate::read::{list_objects, read_text, stamp_of};
use crate::{evaluate, judging};

/// Reading the configurations of a node, and reading them again.
pub trait Load: Sized {
    /// The configuration of a node that has no file.
    fn empty(paths: &Paths, nodename: NodeName) -> Self;

    /// Reads everything: the node, then all objects, on all processors. Blocks.
    fn load(paths: &Paths, nodename: &NodeName) -> Self;

    /// Reads node.conf and cluster.conf again. True when something changed; a file that cannot be read, or has mistakes
    /// that the one in force has not, changes nothing but its complaints, nor does what the agents of the peers `deployed`
    /// cannot follow.
    fn reload_node(&mut self, paths: &Paths, deployed: &BTreeSet<NodeName>) -> bool;

    /// Looks at the labels of all nodes again; true when they changed, and [`LoadedConfig::reevaluate`] is due.
    fn reload_labels(&mut self, paths: &Paths) -> bool;

    /// Reads these objects again, on all processors. Returns those that changed, appeared or disappeared. An object whose
    /// file cannot be read, or has errors that the one in force has not, stays as it is.
    fn reload_objects(&mut self, paths: &Paths, objects: &[ObjectPath]) -> Vec<ObjectPath>;

    /// Evaluates all objects again, after a change of the node's configuration. Returns those that changed.
    fn reevaluate(&mut self) -> Vec<ObjectPath>;
}

impl Load for LoadedConfig {
    fn empty(paths: &Paths, nodename: NodeName) -> Self {
        let node = NodeSettings::parse(nodename, "", "").expect("an empty text is read");
        let context = context(paths, &node);
        Self::of(node, context, processors())
    }

    fn load(paths: &Paths, nodename: &NodeName) -> Self {
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

    fn reload_node(&mut self, paths: &Paths, deployed: &BTreeSet<NodeName>) -> bool {
        let files = [paths.cluster_conf(), paths.node_conf()];
        judging::follow_node(self, paths, files.map(|file| read_text(paths, &file)), deployed)
    }

    fn reload_labels(&mut self, paths: &Paths) -> bool {
        let context = context(paths, &self.node);
        let is_changed = context.labels != self.context.labels;
        if is_changed {
            self.context = Arc::new(context);
        }
        is_changed
    }

    fn reload_objects(&mut self, paths: &Paths, objects: &[ObjectPath]) -> Vec<ObjectPath> {
        let known = |path: &ObjectPath| {
            let loaded = self.objects.get(path)?.conf();
            loaded.id().map(str::to_owned)
        };
        let read = in_parallel(objects, |path| {
            let id = || known(path).or_else(|| known_id::noted(paths, path));
            let read = read_as(paths, &self.context, path, &id);
            self.looks.fetch_add(1, Ordering::Relaxed);
            read
        });
        let mut changed = Vec::new();
        for (path, read) in objects.iter().zip(read) {
            self.looks.fetch_add(1, Ordering::Relaxed);
            match judging::judge(self, paths, path, read) {
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

    fn reevaluate(&mut self) -> Vec<ObjectPath> {
        let objects: Vec<Arc<LoadedObject>> = self.objects.values().cloned().collect();
        let context = &self.context;
        let evaluated = in_parallel(&objects, |object| {
            let conf = object.conf();
            let (settings, complaints) = evaluate::evaluate(&conf, context);
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
            if evaluate::adds_errors(&object.complaints, &complaints) {
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

pub(crate) fn load_node_files(
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

/// Reads the configuration of an object, in a process that is no daemon; none without a file.
pub(crate) fn read_object(
    paths: &Paths,
    context: &Context,
    path: &ObjectPath,
) -> Result<Option<LoadedObject>, Box<Complaint>> {
    let id = || known_id::of_daemon(paths, path).or_else(|| known_id::noted(paths, path));
    read_as(paths, context, path, &id)
}

/// Reads the configuration of an object, and tells its file the id that it is known by, if that has none.
fn read_as(
    paths: &Paths,
    context: &Context,
    path: &ObjectPath,
    known: &dyn Fn() -> Option<String>,
) -> Result<Option<LoadedObject>, Box<Complaint>> {
    let file = paths.config_file(path);
    let Some((mut text, mut metadata)) = read_text(paths, &file)? else { return Ok(None) };
    // As an editor leaves it that truncates and then writes: no object yet, and none that gets an id.
    if text.trim().is_empty() {
        return Err(complaint(path.config_file(), "is empty".to_owned()));
    }
    let mut conf = parse_object(path, &text)?;
    if conf.id().is_none() {
        let id = known();
        if let Some(id) = &id {
            log::info!(path:% = path, id:% = id; "the configuration lost its id, and keeps it");
        }
        match give_id(paths, path, &id.unwrap_or_else(random_uuid)) {
            Ok(()) => {
                let Some(again) = read_text(paths, &file)? else { return Ok(None) };
                (text, metadata) = again;
                conf = parse_object(path, &text)?;
            }
            Err(error) => log::debug!(path:% = path, error:% = error; "no id given"),
        }
    }
    let (settings, complaints) = evaluate::evaluate(&conf, context);
    let scope = conf.scope(context);
    Ok(Some(LoadedObject {
        path: path.clone(),
        csum: csum(text.as_bytes()),
        text: text.into(),
        stamp: Some(stamp_of(&metadata)),
        reply: OnceLock::new(),
        settings: Arc::new(settings),
        updated: modified(&metadata),
        scope,
        complaints,
    }))
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
