//! Formatting: only what the system says is empty, and nobody uses.
//!
//! Part of the `impl` of [`FileSystem`], in a file of its own for its length.

use std::path::Path;

use crate::device;
use crate::device::Content;
use crate::driver::Scene;
use crate::exec::{LONG_LIMIT, Output, Program};
use crate::failure::Failure;
use crate::fs_mount::FileSystem;

/// Kinds that are made on a device. All others are taken for made, as deployed agents do.
const FORMATTED: [&str; 12] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "nilfs2", "vfat", "exfat",
    "ntfs",
];

impl FileSystem {
    /// Whether it stands on a device or an image that is formatted.
    pub(super) fn has_device(&self) -> bool {
        FORMATTED.contains(&self.kind.as_str()) && !self.is_bind()
    }

    /// Whether the device holds this kind of file system; none when that is not known, or it holds something else.
    pub(super) fn is_formatted(&self, source: &Path, scene: &Scene<'_>) -> Option<bool> {
        match device::content(source, scene) {
            Ok(Content::Blank) => Some(false),
            Ok(Content::Of(kind)) if kind == self.kind => Some(true),
            Ok(Content::Of(_)) | Err(_) => None,
        }
    }

    /// Makes the file system on a device that is empty.
    pub(super) fn format(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let source = self
            .source(scene)
            .filter(|source| source.exists())
            .ok_or_else(|| Failure::refused(format!("{} does not exist", self.dev)))?;
        let how = device::how_to_wipe(&source);
        let found = device::content(&source, scene)
            .map_err(|error| Failure::refused(format!("{error}: {how}")))?;
        if let Content::Of(kind) = found {
            if kind == self.kind {
                scene.journal.info(format_args!("{} is already formatted", self.dev));
                return Ok(());
            }
            let (name, wanted) = (source.display(), &self.kind);
            return Err(Failure::refused(format!("{name} holds {kind}, and not {wanted}: {how}")));
        }
        if let Some(user) = device::user(&source)? {
            return Err(Failure::refused(format!("{} is {user}: not formatted", source.display())));
        }
        let mut words = vec![format!("mkfs.{}", self.kind)];
        if self.kind.starts_with("ext") {
            // Older ones ask a question when the device is an image. The others refuse what they find something on.
            words.push("-F".into());
        }
        words.extend(self.mkfs_options.iter().cloned());
        words.push(source.display().to_string());
        let program = Program::new(words).output(Output::Logged).timeout(Some(LONG_LIMIT));
        scene.execute(&program).map(drop)
    }
}
