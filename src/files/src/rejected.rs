//! Configurations that lost against a newer one of another node, and are kept beside it until somebody has looked at them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::NodeName;

use crate::read;
use machine::durable;
use machine::paths::Paths;

/// What is added to the name of a file that lost.
pub const EXTENSION: &str = ".rej";

/// Files that lost, by their path below `<etc>`, and the node whose version won, where that is known.
pub type Rejected = BTreeMap<String, Option<String>>;

/// Where it is noted whose version won against a file.
fn note_of(paths: &Paths, file: &Path) -> Option<PathBuf> {
    let name = file.strip_prefix(&paths.etc).ok()?.to_str()?.replace('/', "%");
    Some(paths.node_var().join("rejected").join(name))
}

/// Notes whose version won against what is kept in `file`. Blocks.
pub fn note(paths: &Paths, file: &Path, winner: &NodeName) {
    let Some(note) = note_of(paths, file) else { return };
    if let Err(error) = durable::write_cache(&note, winner.as_str().as_bytes(), 0o600) {
        log::warn!(error:% = error; "whose configuration won is not noted");
    }
}

/// Whether a file is one that lost.
pub fn is_one(file: &Path) -> bool {
    file.to_str().is_some_and(|file| file.ends_with(&format!(".conf{EXTENSION}")))
}

/// All that are there. Blocks.
pub fn find(paths: &Paths) -> Rejected {
    let entries = read::object_folders(paths).into_iter().flat_map(|folder| {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
    });
    let mut found = Rejected::new();
    for file in entries.filter(|file| is_one(file)) {
        let Some(name) = file.strip_prefix(&paths.etc).ok().and_then(Path::to_str) else {
            continue;
        };
        let winner = note_of(paths, &file).and_then(|note| machine::regular::words(&note));
        let winner = winner.and_then(|text| NodeName::new(text.trim()).ok());
        found.insert(name.to_owned(), winner.map(|winner| winner.to_string()));
    }
    // The note goes with its file.
    let notes =
        std::fs::read_dir(paths.node_var().join("rejected")).into_iter().flatten().flatten();
    for note in notes {
        let is_left = note
            .file_name()
            .to_str()
            .is_some_and(|name| found.contains_key(&name.replace('%', "/")));
        if !is_left {
            _ = std::fs::remove_file(note.path());
        }
    }
    found
}

/// What an operator is told of one.
pub fn message(file: &str, winner: Option<&str>) -> String {
    let kept = file.strip_suffix(EXTENSION).unwrap_or(file);
    let whose =
        winner.map_or("a newer version".to_owned(), |node| format!("the version of {node}"));
    format!(
        "{file}: changes made on this node that lost against {whose} of {kept}: put what is missing there into it, then \
         remove {file}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lost_is_found_with_who_won_and_the_note_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let file = |name: &str| paths.etc.join(name);
        std::fs::create_dir_all(file("namespaces/ns1/sec")).unwrap();
        for name in ["web.conf.rej", "namespaces/ns1/sec/key.conf.rej", "web.conf", "web.rej"] {
            std::fs::write(file(name), "").unwrap();
        }
        note(&paths, &file("namespaces/ns1/sec/key.conf.rej"), &NodeName::new("n2").unwrap());
        let wanted = [
            ("namespaces/ns1/sec/key.conf.rej".to_owned(), Some("n2".to_owned())),
            ("web.conf.rej".to_owned(), None),
        ];
        assert_eq!(find(&paths), wanted.into());
        std::fs::remove_file(file("namespaces/ns1/sec/key.conf.rej")).unwrap();
        assert_eq!(find(&paths), [("web.conf.rej".to_owned(), None)].into());
        let notes = std::fs::read_dir(paths.node_var().join("rejected")).unwrap();
        assert_eq!(notes.count(), 0);
        assert_eq!(
            message("web.conf.rej", Some("n2")),
            "web.conf.rej: changes made on this node that lost against the version of n2 of web.conf: put what is missing \
             there into it, then remove web.conf.rej"
        );
    }
}
