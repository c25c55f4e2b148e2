//! The last versions of configuration files on this node: what each edit, here or elsewhere, replaced.
//!
//! Below `<var>`, in the folder of the object: `config/<number>`, each a line of JSON that says when and who, and the text. They
//! go with the object. Mode 0600, as they may hold secrets; of what holds nothing but secrets (sec, usr), none is kept: a key that
//! is removed is gone. They are not synced: a power loss may cost the last one, and no configuration.

use std::io;
use std::path::{Path, PathBuf};

use machine::paths::Paths;
use machine::{clock, durable, regular};
use model::{Kind, Timestamp};
use serde_json::{Value, json};

use crate::target::{MODE, Target};

/// How many are kept.
pub const MOST: usize = 20;

/// One version.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its number, counted up for ever.
    pub number: u64,
    /// When it came to this node.
    pub at: Timestamp,
    /// Who wrote it: `root@n1`; or what is known: `daemon`, `file`, `peer`.
    pub by: String,
    /// The whole file.
    pub text: String,
}

impl Target {
    /// The folder of its versions; none where none are kept.
    fn versions(&self, paths: &Paths) -> Option<PathBuf> {
        let folder = match self {
            Self::Node => paths.node_var(),
            Self::Object(path) if matches!(path.kind(), Kind::Sec | Kind::Usr) => return None,
            Self::Object(path) => paths.var_dir(path),
        };
        Some(folder.join("config"))
    }

    /// Whether versions of it are kept.
    #[must_use]
    pub fn has_versions(&self) -> bool {
        !matches!(self, Self::Object(path) if matches!(path.kind(), Kind::Sec | Kind::Usr))
    }
}

/// The versions of a file, oldest first.
#[must_use]
pub fn list(paths: &Paths, target: &Target) -> Vec<Version> {
    let Some(folder) = target.versions(paths) else { return vec![] };
    let numbers = numbers(&folder).into_iter();
    numbers.filter_map(|number| read(&folder, number)).collect()
}

/// Keeps what was in the file, if nothing newer is known of it, and what is to be there. Whoever changes the file holds its lock.
///
/// # Errors
///
/// Whatever the file system answers.
pub fn keep(
    paths: &Paths,
    target: &Target,
    before: Option<(&str, Timestamp)>,
    text: &str,
    by: &str,
) -> io::Result<()> {
    let Some(folder) = target.versions(paths) else { return Ok(()) };
    let mut numbers = numbers(&folder);
    let mut last = numbers.last().and_then(|number| read(&folder, *number));
    if last.as_ref().is_some_and(|last| last.text == text) {
        // Whoever wrote it has kept it.
        return Ok(());
    }
    let now = clock::now();
    // What somebody wrote without us.
    let missed = before.filter(|(before, _)| last.as_ref().is_none_or(|last| last.text != *before));
    let missed = missed.map(|(before, at)| (before, at, "file"));
    for (text, at, by) in missed.into_iter().chain([(text, now, by)]) {
        if last.as_ref().is_some_and(|last| last.text == text) {
            continue;
        }
        let number = numbers.last().map_or(1, |number| number + 1);
        let head = json!({"t": at, "by": by});
        let content = format!("{head}\n{text}");
        std::fs::create_dir_all(&folder)?;
        durable::write_cache(&folder.join(number.to_string()), content.as_bytes(), MODE)?;
        numbers.push(number);
        last = Some(Version { number, at, by: by.to_owned(), text: text.to_owned() });
    }
    for number in &numbers[..numbers.len().saturating_sub(MOST)] {
        _ = std::fs::remove_file(folder.join(number.to_string()));
    }
    Ok(())
}

/// The numbers that are there, in order.
fn numbers(folder: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

fn read(folder: &Path, number: u64) -> Option<Version> {
    let content = regular::read_text(&folder.join(number.to_string())).ok()?;
    let (head, text) = content.split_once('\n')?;
    let head: Value = serde_json::from_str(head).ok()?;
    Some(Version {
        number,
        at: Timestamp(head.get("t")?.as_f64()?),
        by: head.get("by")?.as_str()?.to_owned(),
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use model::ObjectPath;

    use super::*;

    fn target(path: &str) -> Target {
        Target::Object(ObjectPath::parse(path).unwrap())
    }

    fn told(paths: &Paths, target: &Target) -> Vec<(u64, String, String)> {
        list(paths, target).into_iter().map(|it| (it.number, it.by, it.text)).collect()
    }

    #[test]
    fn what_was_there_and_what_comes_are_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let (paths, web) = (Paths::under(folder.path()), target("web"));
        keep(&paths, &web, Some(("a\n", Timestamp(5.0))), "b\n", "root@n1").unwrap();
        keep(&paths, &web, Some(("b\n", Timestamp(6.0))), "b\n", "root@n1").unwrap();
        // The daemon sees what a command wrote, and kept.
        keep(&paths, &web, Some(("a\n", Timestamp(5.0))), "b\n", "file").unwrap();
        keep(&paths, &web, Some(("by hand\n", Timestamp(7.0))), "c\n", "peer").unwrap();
        let entry = |number, by: &str, text: &str| (number, by.to_owned(), text.to_owned());
        assert_eq!(
            told(&paths, &web),
            [
                entry(1, "file", "a\n"),
                entry(2, "root@n1", "b\n"),
                entry(3, "file", "by hand\n"),
                entry(4, "peer", "c\n"),
            ]
        );
        assert_eq!(list(&paths, &web)[0].at, Timestamp(5.0));
    }

    #[test]
    fn the_last_twenty_are_kept_readable_by_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let (paths, cluster) = (Paths::under(folder.path()), Target::cluster());
        for number in 0..30 {
            keep(&paths, &cluster, None, &format!("[cluster]\nsecret = {number}\n"), "daemon")
                .unwrap();
        }
        let numbers: Vec<u64> = list(&paths, &cluster).iter().map(|it| it.number).collect();
        assert_eq!(numbers, (11..=30).collect::<Vec<u64>>());
        let kept = cluster.versions(&paths).unwrap().join("30");
        assert_eq!(std::fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn of_secrets_no_version_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (paths, sec) = (Paths::under(folder.path()), target("test/sec/s1"));
        keep(&paths, &sec, None, "[data]\nk = crypt:x\n", "root@n1").unwrap();
        assert!(list(&paths, &sec).is_empty() && !sec.has_versions());
        assert!(!paths.var.exists());
    }
}
