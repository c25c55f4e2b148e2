//! What was launched for a resource, in a file that only root can write: process ids, and when each was started.
//!
//! A process id alone is that of another process one day; with the start it is that of one process of this boot. What is
//! launched leads a session, which all that it starts stays in, unless that leads one itself.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use files::known_id;
use files::known_id::ID;
use machine::durable;
use machine::process::Stat;

use crate::owner::{Leader, Owner};

/// Name of the file, in the private folder of the resource.
pub(super) const FILE: &str = known_id::LAUNCHED;

/// Before the id of a user.
const USER: &str = "user ";

/// Most launches remembered: those of before are long gone, or many would run at once.
const MOST: usize = 64;

/// The file of a resource.
#[derive(Debug)]
pub(crate) struct Launched {
    file: PathBuf,
}

impl Launched {
    /// That of the resource with this private folder.
    pub(crate) fn of(folder: &Path) -> Self {
        Self { file: folder.join(FILE) }
    }

    /// What was launched since the boot.
    pub(crate) fn read(&self) -> Vec<Leader> {
        let leader = |line: &String| {
            let (pid, start) = line.split_once(' ')?;
            Some(Leader { pid: pid.parse().ok()?, start: start.parse().ok()? })
        };
        self.lines().iter().filter_map(leader).collect()
    }

    /// The users that what was launched since the boot runs as.
    pub(crate) fn users(&self) -> BTreeSet<u32> {
        let user = |line: &String| line.strip_prefix(USER)?.parse().ok();
        self.lines().iter().filter_map(user).collect()
    }

    /// The ids that the object had when something was launched since the boot.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        let id = |line: &String| line.strip_prefix(ID).map(str::to_owned);
        self.lines().iter().filter_map(id).collect()
    }

    /// What is in the file, if that is of this boot.
    fn lines(&self) -> Vec<String> {
        let Ok(text) = machine::regular::read(&self.file, known_id::MOST_BYTES) else {
            return vec![];
        };
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines();
        if lines.next() != Some(boot_id().as_str()) {
            return vec![];
        }
        lines.map(str::to_owned).collect()
    }

    /// Remembers a process that was just started for an owner.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn add(&self, pid: u32, owner: &Owner) -> io::Result<()> {
        // Ended already: nothing to find.
        let Some(stat) = Stat::read(pid) else { return Ok(()) };
        let mut all = self.read();
        // One that has the id of one that is gone is that one no more.
        all.retain(|leader| leader.pid != pid);
        all.push(Leader { pid, start: stat.start });
        let first = all.len().saturating_sub(MOST);
        self.write(&all[first..], owner)
    }

    /// Remembers that a launcher is about to start something for an owner. Its own process id is no help: it ends
    /// at once, and who bears that id later is a stranger.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn note(&self, owner: &Owner) -> io::Result<()> {
        self.write(&self.read(), owner)
    }

    fn write(&self, leaders: &[Leader], owner: &Owner) -> io::Result<()> {
        let mut text = boot_id() + "\n";
        for user in &self.users() | &owner.users {
            text += &format!("{USER}{user}\n");
        }
        for id in &self.ids() | &BTreeSet::from([owner.id.clone()]) {
            text += &format!("{ID}{id}\n");
        }
        for Leader { pid, start } in leaders {
            text += &format!("{pid} {start}\n");
        }
        durable::write_cache(&self.file, text.as_bytes(), 0o600)
    }

    /// Forgets all, once nothing is left of it and nothing is being launched.
    pub(crate) fn forget_all(&self) {
        _ = std::fs::remove_file(&self.file);
    }

    /// Forgets what was launched, once nothing of it is left: its sessions may be those of others from then on. `known` is
    /// what was read before that was found: a launch that came meanwhile stays.
    pub(crate) fn forget(&self, known: &[Leader]) {
        if !known.is_empty() && self.read() == known {
            _ = std::fs::remove_file(&self.file);
        }
    }
}

/// Names this boot of the machine.
pub(super) fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_is_remembered_until_it_is_forgotten_or_the_machine_boots() {
        let folder = tempfile::tempdir().unwrap();
        let launched = Launched::of(folder.path());
        assert_eq!(launched.read(), []);
        let own = std::process::id();
        let owner = |id: &str, user: u32| Owner {
            id: id.into(),
            users: BTreeSet::from([user]),
            ..Owner::default()
        };
        launched.add(own, &owner("one", 1)).unwrap();
        launched.add(own, &owner("one", 65_534)).unwrap();
        launched.add(u32::MAX, &Owner::default()).unwrap();
        launched.note(&owner("two", 2)).unwrap();
        assert_eq!(launched.users(), BTreeSet::from([1, 2, 65_534]));
        assert_eq!(launched.ids(), BTreeSet::from(["one".to_owned(), "two".to_owned()]));
        let start = Stat::read(own).unwrap().start;
        let known = launched.read();
        assert_eq!(known, [Leader { pid: own, start }]);
        launched.forget(&[]);
        launched.forget(&[Leader { pid: 1, start: 1 }]);
        assert_eq!(launched.read(), known);
        launched.forget(&known);
        assert_eq!(launched.read(), []);
        std::fs::write(folder.path().join(FILE), format!("another-boot\n{own} {start}\n")).unwrap();
        assert_eq!(launched.read(), []);
    }
}
