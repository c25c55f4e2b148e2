//! The configurations as the daemon has them in force, for its children and for commands.

use std::time::{Duration, Instant};

use conf::{Complaint, NODE_FILES, NodeSettings, Severity};
use dataset::config::{LoadedObject, complaint};
use machine::paths::Paths;
use model::{NodeName, ObjectPath};

use crate::context::context;
use crate::judging::{first_base, from_text};
use crate::last_good::{copy_of, read_copy};
use crate::load::read_object;
use crate::read::read_text;

/// Set by the runner for what it runs: the checksum of the object's configuration in force.
pub const CSUM_VARIABLE: &str = "OSVC_CONFIG_CSUM";

/// How long a child waits for the daemon to look at a file that is not good: it gathers changes for a tenth of that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Reads node.conf and cluster.conf as the daemon has them in force, for whoever speaks to others in the name of this node: a
/// secret that is not in force is understood by nobody.
///
/// # Errors
///
/// As [`crate::load::load_node`].
pub fn load_node_as_it_speaks(
    paths: &Paths,
    nodename: NodeName,
) -> Result<NodeSettings, Box<Complaint>> {
    let files = NODE_FILES.map(|file| {
        let copy = copy_of(paths, file);
        if copy.exists() { copy } else { paths.etc.join(file) }
    });
    crate::load::load_node_files(paths, nodename, &files).map(|(node, _)| node)
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
/// As [`crate::load::load_object`].
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
