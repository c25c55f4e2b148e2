//! A log that is followed through rotations, and the places in it.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Most text read at once of a followed file.
const MAX_FOLLOW_BYTES: u64 = 1 << 20;

/// A place between two lines: of a file, however it is called by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    inode: u64,
    offset: u64,
}

impl Place {
    /// Before the first file that there will be.
    const BEFORE: Self = Self { inode: 0, offset: 0 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.inode, self.offset)
    }
}

impl FromStr for Place {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (inode, offset) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { inode: inode.parse()?, offset: offset.parse()? })
    }
}

/// A log that can be read; a pipe would wait for who writes.
fn open(file: &Path) -> Option<std::fs::File> {
    machine::regular::open(file).ok().map(|(file, _)| file)
}

/// Reads what is appended to a file, through rotations.
#[derive(Debug)]
pub(super) struct Follower {
    file: PathBuf,
    /// The open file, none while there is none.
    open: Option<std::fs::File>,
    at: u64,
    /// A line that has not ended yet.
    partial: Vec<u8>,
}

impl Follower {
    pub(super) fn at_end(file: &Path) -> Self {
        let open = open(file);
        let at = open.as_ref().and_then(|open| open.metadata().ok()).map_or(0, |meta| meta.len());
        Self { file: file.to_owned(), open, at, partial: vec![] }
    }

    /// Behind a text that was read up to `end`: the follower, and the whole lines of the text.
    pub(super) fn behind(file: &Path, mut text: String, end: u64) -> (Self, String) {
        let partial =
            text.split_off(memchr::memrchr(b'\n', text.as_bytes()).map_or(0, |at| at + 1));
        let open = open(file);
        (Self { file: file.to_owned(), open, at: end, partial: partial.into_bytes() }, text)
    }

    /// Goes on at a place. None: what was there is gone.
    pub(super) fn resumed(file: &Path, place: Place) -> Option<Self> {
        if place == Place::BEFORE {
            let (file, open) = (file.to_owned(), open(file));
            return Some(Self { file, open, at: 0, partial: vec![] });
        }
        let mut rotated = file.as_os_str().to_owned();
        rotated.push(".1");
        [file, Path::new(&rotated)].into_iter().find_map(|candidate| {
            let mut found = open(candidate)?;
            let meta = found.metadata().ok()?;
            if meta.ino() != place.inode || meta.len() < place.offset {
                return None;
            }
            // A line begins there, as one did.
            let mut before = [b'\n'];
            if place.offset > 0 {
                found.seek(SeekFrom::Start(place.offset - 1)).ok()?;
                found.read_exact(&mut before).ok()?;
            }
            (before == *b"\n").then(|| Self {
                file: file.to_owned(),
                open: Some(found),
                at: place.offset,
                partial: vec![],
            })
        })
    }

    /// Where the next line begins.
    pub(super) fn place(&self) -> Option<Place> {
        let Some(open) = &self.open else { return Some(Place::BEFORE) };
        let inode = open.metadata().ok()?.ino();
        Some(Place { inode, offset: self.at - self.partial.len() as u64 })
    }

    /// Whole lines that came since the last time.
    pub(super) fn poll(&mut self) -> Option<String> {
        let mut bytes = std::mem::take(&mut self.partial);
        // What is left there comes before what is written elsewhere.
        let is_at_end = self.read_into(&mut bytes);
        let current = std::fs::metadata(&self.file).ok();
        let is_same = |open: &std::fs::File| {
            let opened = open.metadata().ok();
            opened.zip(current.as_ref()).is_some_and(|(opened, current)| {
                (opened.dev(), opened.ino()) == (current.dev(), current.ino())
                    && current.len() >= self.at
            })
        };
        if is_at_end && current.is_some() && !self.open.as_ref().is_some_and(is_same) {
            self.open = open(&self.file);
            self.at = 0;
            self.read_into(&mut bytes);
        }
        let end = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        self.partial = bytes.split_off(end);
        if self.partial.len() as u64 > MAX_FOLLOW_BYTES {
            self.partial.clear();
        }
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether it came to the end.
    fn read_into(&mut self, bytes: &mut Vec<u8>) -> bool {
        let Some(open) = &mut self.open else { return true };
        let before = bytes.len();
        if open.seek(SeekFrom::Start(self.at)).is_ok() {
            _ = open.take(MAX_FOLLOW_BYTES).read_to_end(bytes);
        }
        let read = (bytes.len() - before) as u64;
        self.at += read;
        read < MAX_FOLLOW_BYTES
    }
}

#[cfg(test)]
mod tests {
    use logs::backlog::read_backlog;

    use super::*;

    #[test]
    fn a_follower_goes_on_where_the_backlog_ended() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.log");
        std::fs::write(&file, "one\ntw").unwrap();
        let (text, end) = read_backlog(&file, -1).unwrap();
        let mut out = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
        out.write_all(b"o\nthree\n").unwrap();
        let (mut follower, text) = Follower::behind(&file, text, end);
        assert_eq!(text, "one\n");
        assert_eq!(follower.poll().as_deref(), Some("two\nthree\n"));
    }

    #[test]
    fn a_follower_sees_whole_lines_through_a_rotation() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.log");
        std::fs::write(&file, "old\n").unwrap();
        let mut follower = Follower::at_end(&file);
        assert_eq!(follower.poll(), None);
        let mut out = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
        out.write_all(b"one\ntw").unwrap();
        assert_eq!(follower.poll().as_deref(), Some("one\n"));
        out.write_all(b"o\n").unwrap();
        std::fs::rename(&file, folder.path().join("x.log.1")).unwrap();
        std::fs::write(&file, "three\n").unwrap();
        assert_eq!(follower.poll().as_deref(), Some("two\nthree\n"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(follower.poll(), None);
        std::fs::write(&file, "four\n").unwrap();
        assert_eq!(follower.poll().as_deref(), Some("four\n"));
    }

    #[test]
    fn a_follower_comes_back_to_its_place_through_a_rotation() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.log");
        std::fs::write(&file, "one\ntw").unwrap();
        let mut follower = Follower::at_end(Path::new("/nonexistent"));
        assert_eq!(follower.place(), Some(Place::BEFORE));
        follower = Follower::behind(&file, "one\ntw".to_owned(), 6).0;
        let place: Place = follower.place().unwrap().to_string().parse().unwrap();
        let mut out = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
        out.write_all(b"o\nthree\n").unwrap();
        std::fs::rename(&file, folder.path().join("x.log.1")).unwrap();
        std::fs::write(&file, "four\n").unwrap();
        let mut back = Follower::resumed(&file, place).unwrap();
        assert_eq!(back.poll().as_deref(), Some("two\nthree\nfour\n"));
        let place = back.place().unwrap();
        assert_eq!(Follower::resumed(&file, place).unwrap().poll(), None);
        for wrong in [
            Place { offset: 3, ..place },
            Place { offset: 99, ..place },
            Place { inode: 1, offset: 0 },
        ] {
            assert!(Follower::resumed(&file, wrong).is_none(), "{wrong}");
        }
        let mut first = Follower::resumed(&file, Place::BEFORE).unwrap();
        assert_eq!(first.poll().as_deref(), Some("four\n"));
        for text in ["", "x", "1", "1.", "1.x", ".1", "-1.2", "1.2.3"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
