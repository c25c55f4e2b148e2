//! The configuration that stays in force while its file is not good: what is judged, what is kept, and where.
//!
//! Only of files that are not good a copy lies below `<var>/last_good`, readable by its owner only: children of the daemon
//! act on it, and so does the next daemon. What follows what is decided by [`conf::NodeSettings::follow`].

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use conf::{Complaint, Context, Found, NODE_FILES, NodeSettings, ObjectConf, Severity};
use model::{Kind, NodeName, ObjectPath, ObjectSettings, Timestamp};

use super::{LoadedConfig, LoadedObject, complaint, context, csum, read_object, read_text};
use crate::paths::Paths;
use crate::{clock, durable};

/// Set by the runner for what it runs: the checksum of the object's configuration in force.
pub const CSUM_VARIABLE: &str = "OSVC_CONFIG_CSUM";
/// Mode of a copy: it may hold secrets.
const MODE: u32 = 0o600;
/// How long a child waits for the daemon to look at a file that is not good: it gathers changes for a tenth of that.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A file that was read: its text and its metadata, none without a file.
type Read = Result<Option<(String, Metadata)>, Box<Complaint>>;

/// The copy of the last good content of a file, named as below `<etc>`.
pub(crate) fn copy_of(paths: &Paths, file: &str) -> PathBuf {
    paths.var.join("last_good").join(file)
}

/// Whether the file of an object is not what is in force, because something is wrong with it.
#[must_use]
pub fn is_kept(paths: &Paths, path: &ObjectPath) -> bool {
    copy_of(paths, &path.config_file()).exists()
}

/// The file with what is in force of an object: its own, or the copy of its last good content, with the time of that.
#[must_use]
pub fn file_in_force(paths: &Paths, path: &ObjectPath) -> PathBuf {
    let copy = copy_of(paths, &path.config_file());
    if copy.exists() { copy } else { paths.config_file(path) }
}

fn read_copy(paths: &Paths, file: &str) -> Option<(String, Timestamp)> {
    let copy = copy_of(paths, file);
    let (_, metadata) = crate::regular::open(&copy).ok()?;
    let text = crate::regular::read_text(&copy).ok()?;
    Some((text, super::modified(&metadata)))
}

/// What the monitors need of an object, and what is wrong with it: what cannot be read, what makes it no good configuration,
/// what it does not mean as it says, and what it asks for in vain.
pub(super) fn evaluate(conf: &ObjectConf, context: &Context) -> (ObjectSettings, Vec<Complaint>) {
    let (settings, found) = conf.settings(context);
    if conf.path().kind() == Kind::Ccfg {
        return (settings, found);
    }
    // In the words of who judges files before they are written.
    let mut complaints = conf.validate(context);
    complaints.retain(|each| each.is_refused() || each.is_unread());
    Complaint::merge(&mut complaints, found);
    (settings, complaints)
}

/// Whether there is an error that was not there before.
pub(super) fn adds_errors(old: &[Complaint], new: &[Complaint]) -> bool {
    new.iter().any(|each| each.severity == Severity::Error && !each.is_among(old))
}

impl LoadedConfig {
    /// Judges node.conf and cluster.conf, which were read; whether something changed.
    pub(super) fn follow_node(
        &mut self,
        paths: &Paths,
        read: [Read; 2],
        deployed: &BTreeSet<NodeName>,
    ) -> bool {
        for name in NODE_FILES {
            self.complaints.remove(name);
        }
        let text = |read: &Read| read.as_ref().ok().and_then(Option::as_ref).map(|it| it.0.clone());
        let texts = [text(&read[0]), text(&read[1])];
        let base = match self.is_node_loaded {
            true => self.node.clone(),
            false => Arc::new(first_base(paths, &self.node.nodename, &texts)),
        };
        let found = [0, 1].map(|file| match (&read[file], &texts[file]) {
            (Err(_), _) => Found::Unread,
            (Ok(_), None) => Found::Nothing,
            (Ok(_), Some(text)) => Found::Text(text),
        });
        let follow = |found| match is_other_cluster(paths, &texts) {
            true => base.follow_elsewhere(found),
            false => base.follow(found),
        };
        let mut followed = follow(found);
        if let Some(complaint) = unfollowed(&base, &followed.settings, deployed) {
            followed = follow([Found::Unread, found[1]]);
            followed.refused.push(complaint);
        }
        for complaint in read.into_iter().filter_map(Result::err) {
            self.complain(*complaint);
        }
        for complaint in followed.refused {
            self.complain(complaint);
        }
        let is_kept =
            |file: &str| NODE_FILES.iter().zip(followed.is_kept).any(|it| it == (&file, true));
        for complaint in &followed.settings.complaints {
            if !is_kept(&complaint.file) {
                self.complain(complaint.clone());
            }
        }
        let last = [base.conf.cluster.text(), base.conf.node.text()];
        for (file, last) in NODE_FILES.into_iter().zip(last) {
            match is_kept(file) && !last.trim().is_empty() {
                true => {
                    let cluster = self.objects.get(&ObjectPath::cluster());
                    let updated = cluster.filter(|_| file == NODE_FILES[0]).map(|it| it.updated);
                    self.keep(paths, file, last, updated);
                }
                false => self.let_go(paths, file),
            }
        }
        let node_csum = match &texts[1] {
            Some(text) if !is_kept(NODE_FILES[1]) => csum(text.as_bytes()),
            _ if is_kept(NODE_FILES[1]) && self.is_node_loaded => self.node_csum.clone(),
            _ => csum(followed.settings.conf.node.text().as_bytes()),
        };
        let is_changed = followed.settings.conf != self.node.conf || node_csum != self.node_csum;
        if is_changed {
            self.context = Arc::new(context(paths, &followed.settings));
            self.node = Arc::new(followed.settings);
            self.node_csum = node_csum;
        }
        self.is_node_loaded = true;
        is_changed
    }

    /// Judges the file of an object, which was read: what becomes of the object, none of what is in force stays.
    #[expect(
        clippy::option_option,
        reason = "nothing changes, or there is no such object any more"
    )]
    pub(super) fn judge(
        &mut self,
        paths: &Paths,
        path: &ObjectPath,
        read: Result<Option<LoadedObject>, Box<Complaint>>,
    ) -> Option<Option<LoadedObject>> {
        let file = path.config_file();
        let loaded = self.objects.get(path).cloned();
        let copy = || match loaded.is_none() {
            // As the daemon before this one had it.
            true => read_copy(paths, &file).and_then(|it| from_text(path, &self.context, it).ok()),
            false => None,
        };
        if *path == ObjectPath::cluster() {
            // Judged and complained about with node.conf.
            return match read {
                _ if self.kept.contains(&file) => copy().map(Some),
                Ok(read) => Some(read),
                Err(_) => None,
            };
        }
        let copy = copy();
        let last = loaded.as_deref().or(copy.as_ref());
        let is_good = match (&read, last) {
            (Ok(Some(new)), Some(last)) => !adds_errors(&last.complaints, &new.complaints),
            (Ok(_), _) => true,
            (Err(_), _) => false,
        };
        let kept = match (is_good, last) {
            (false, Some(last)) => Some((last.text.clone(), last.updated)),
            _ => None,
        };
        self.complaints.remove(&file);
        let read = match read {
            Ok(read) => read,
            Err(complaint) => {
                self.complain(*complaint);
                None
            }
        };
        for complaint in read.iter().flat_map(|object| &object.complaints) {
            self.complain(complaint.clone());
        }
        match kept {
            Some((text, updated)) => {
                self.keep(paths, &file, &text, Some(updated));
                copy.map(Some)
            }
            None if is_good => {
                self.let_go(paths, &file);
                Some(read)
            }
            None => None,
        }
    }

    /// Objects whose files are not in force: what is wrong with them may depend on the node.
    pub fn kept_objects(&self) -> impl Iterator<Item = ObjectPath> + '_ {
        self.kept.iter().filter_map(|file| ObjectPath::from_config_file(file))
    }

    fn keep(&mut self, paths: &Paths, file: &str, text: &str, updated: Option<Timestamp>) {
        self.kept.insert(file.to_owned());
        if read_copy(paths, file).is_some_and(|(copy, _)| copy == text) {
            return;
        }
        let time = updated.and_then(|time| Duration::try_from_secs_f64(time.0).ok());
        let time = time.map_or_else(clock::system, |time| SystemTime::UNIX_EPOCH + time);
        // Without it, this daemon goes on with what it has; its children and the next one can not.
        if let Err(error) = durable::write_at(&copy_of(paths, file), text.as_bytes(), MODE, time) {
            log::error!(error:% = error; "the last good configuration could not be noted");
        }
    }

    fn let_go(&mut self, paths: &Paths, file: &str) {
        self.kept.remove(file);
        if let Err(error) = durable::remove(&copy_of(paths, file))
            && error.kind() != io::ErrorKind::NotADirectory
        {
            log::warn!(error:% = error; "a copy of a configuration that is good again stays");
        }
    }
}

/// Notes the files with which the node is about to join or to leave a cluster: those that are replaced.
///
/// # Errors
///
/// The note cannot be written.
pub(crate) fn note_other_cluster<'a>(
    paths: &Paths,
    texts: impl Iterator<Item = &'a str>,
) -> io::Result<()> {
    let csums: Vec<String> = texts.map(|text| csum(text.as_bytes())).collect();
    durable::write(&paths.other_cluster(), csums.join("\n").as_bytes(), 0o600)
}

/// Whether these files are those that a join or a leave wrote.
fn is_other_cluster(paths: &Paths, texts: &[Option<String>; 2]) -> bool {
    let Ok(noted) = crate::regular::read_text(&paths.other_cluster()) else { return false };
    let found: Vec<String> = texts.iter().flatten().map(|text| csum(text.as_bytes())).collect();
    !noted.is_empty() && noted.lines().all(|csum| found.iter().any(|found| found == csum))
}

/// A heartbeat whose type changes while a deployed agent takes part in it.
///
/// Seen of deployed agents: the worker goes on as what it was, with the keywords of the new type. One that was unicast and
/// becomes multicast sends to the group by TCP and listens there: it is deaf and mute, is taken for dead, takes over what
/// runs elsewhere, and so do the others with what runs there. A section of another name is followed.
fn unfollowed(
    old: &NodeSettings,
    new: &NodeSettings,
    deployed: &BTreeSet<NodeName>,
) -> Option<Complaint> {
    new.heartbeats.iter().find_map(|after| {
        let before = old.heartbeats.iter().find(|before| before.name == after.name)?;
        if before.kind == after.kind {
            return None;
        }
        let takes_part =
            |node: &&NodeName| before.nodes.contains(*node) && after.nodes.contains(*node);
        let node = deployed.iter().find(takes_part)?;
        Some(Complaint {
            severity: Severity::Error,
            file: NODE_FILES[0].to_owned(),
            line: 0,
            section: after.name.clone(),
            keyword: "type".to_owned(),
            reason: format!(
                "the agent of {node} does not follow a change from {} to {}: leave {} as it was, add another section, and \
                 remove {} once all nodes beat on the new one",
                before.kind, after.kind, before.name, before.name
            ),
        })
    })
}

/// What the first files are judged against: what the daemon before this one had in force where it noted that, else they
/// themselves, whatever is wrong in them.
fn first_base(paths: &Paths, nodename: &NodeName, texts: &[Option<String>; 2]) -> NodeSettings {
    let parse = |cluster: &str, node: &str| NodeSettings::parse(nodename.clone(), cluster, node);
    let text = |file: usize| {
        let copy = read_copy(paths, NODE_FILES[file]).map(|(text, _)| text);
        copy.or_else(|| texts[file].clone()).unwrap_or_default()
    };
    let (cluster, node) = (text(0), text(1));
    let empty = || parse("", "").expect("an empty text is read");
    let one = || parse(&cluster, "").or_else(|_| parse("", &node));
    parse(&cluster, &node).or_else(|_| one()).unwrap_or_else(|_| empty())
}

/// An object as a text says.
fn from_text(
    path: &ObjectPath,
    context: &Context,
    (text, updated): (String, Timestamp),
) -> Result<LoadedObject, Box<Complaint>> {
    let conf = super::parse_object(path, &text)?;
    let (settings, complaints) = evaluate(&conf, context);
    Ok(LoadedObject {
        path: path.clone(),
        csum: csum(text.as_bytes()),
        scope: conf.scope(context),
        text: text.into(),
        stamp: None,
        reply: OnceLock::new(),
        settings: Arc::new(settings),
        updated,
        complaints,
    })
}

/// Reads node.conf and cluster.conf as the daemon has them in force, for whoever speaks to others in the name of this node: a
/// secret that is not in force is understood by nobody.
///
/// # Errors
///
/// As [`super::load_node`].
pub fn load_node_as_it_speaks(
    paths: &Paths,
    nodename: NodeName,
) -> Result<NodeSettings, Box<Complaint>> {
    let files = NODE_FILES.map(|file| {
        let copy = copy_of(paths, file);
        if copy.exists() { copy } else { paths.etc.join(file) }
    });
    super::load_node_files(paths, nodename, &files).map(|(node, _)| node)
}

/// Reads node.conf and cluster.conf as the daemon has them in force, for its children. A file that was no configuration
/// when the daemon started is none to them either.
#[must_use]
pub fn load_node_in_force(paths: &Paths, nodename: &NodeName) -> NodeSettings {
    let read = |file: &str| match read_copy(paths, file) {
        Some((text, _)) => Ok(Some(text)),
        None => read_text(paths, &paths.etc.join(file)).map(|read| read.map(|it| it.0)),
    };
    let good = within_patience(|_| {
        let [cluster, node] = NODE_FILES.map(|file| read(file).map(Option::unwrap_or_default));
        NodeSettings::parse(nodename.clone(), &cluster?, &node?)
    });
    good.unwrap_or_else(|_| {
        first_base(paths, nodename, &NODE_FILES.map(|file| read(file).ok().flatten()))
    })
}

/// Reads an object as the daemon has it in force, for its children. A file that is not good is waited for: the daemon is
/// about to note what it keeps.
///
/// # Errors
///
/// As [`super::load_object`].
pub fn load_object_in_force(
    paths: &Paths,
    node: &NodeSettings,
    path: &ObjectPath,
) -> Result<LoadedObject, Box<Complaint>> {
    let context = context(paths, node);
    let known = std::env::var(CSUM_VARIABLE).ok();
    within_patience(|is_last| {
        let file = path.config_file();
        if let Some(copy) = read_copy(paths, &file) {
            return from_text(path, &context, copy);
        }
        let read = read_object(paths, &context, path)?
            .ok_or_else(|| complaint(file, "no such file".to_owned()))?;
        // With mistakes it is as the daemon has it, or the daemon has not seen them yet.
        let error = read.complaints.iter().find(|each| each.severity == Severity::Error);
        match error {
            Some(error) if !is_last && known.as_ref().is_some_and(|known| *known != read.csum) => {
                Err(Box::new(error.clone()))
            }
            _ => Ok(read),
        }
    })
}

/// Tries until it succeeds, for a while. Told whether it is the last time.
fn within_patience<T>(
    attempt: impl Fn(bool) -> Result<T, Box<Complaint>>,
) -> Result<T, Box<Complaint>> {
    let start = Instant::now();
    loop {
        let is_last = start.elapsed() >= PATIENCE;
        match attempt(is_last) {
            Err(_) if !is_last => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
}
