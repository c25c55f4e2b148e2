//! The versions of what the daemon follows, where somebody else wrote it.

use dataset::config::LoadedConfig;
use machine::paths::Paths;
use model::{ObjectPath, Timestamp};

use crate::edit::{Locked, Target, Writer};
use crate::versions::keep;

/// Keeps what the daemon follows from now on, where somebody changed a file without us. What is busy is kept by who is at it.
pub fn keep_followed(
    paths: &Paths,
    old: &LoadedConfig,
    new: &LoadedConfig,
    changed: &[ObjectPath],
) {
    if !old.is_loaded {
        return;
    }
    let keep_one = |target: &Target, was: (&str, Timestamp), is: &str| {
        let busy = || Locked::try_take(paths, target, Writer::Daemon);
        if was.0 == is || !target.has_versions() || !matches!(busy(), Ok(Some(_))) {
            return;
        }
        if let Err(error) = keep(paths, target, Some(was), is, "file") {
            log::warn!(of = target.words(), error:% = error; "the version of a configuration is not kept");
        }
    };
    for path in changed.iter().filter(|path| **path != ObjectPath::cluster()) {
        if let (Some(was), Some(is)) = (old.objects.get(path), new.objects.get(path)) {
            let (before, after) = (was.conf(), is.conf());
            let target = Target::Object(path.clone());
            keep_one(&target, (before.text(), was.updated), after.text());
        }
    }
    let (was, is) = (&old.node.conf, &new.node.conf);
    // When they were written nobody notes.
    keep_one(&Target::Node, (was.node.text(), Timestamp::NEVER), is.node.text());
    keep_one(&Target::cluster(), (was.cluster.text(), Timestamp::NEVER), is.cluster.text());
}
