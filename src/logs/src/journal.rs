//! The journal's own protocol (systemd.io, "Native Journal Protocol"): a datagram for each line, with fields to search for.
//!
//! Crate systemd-journal-logger has the socket's path as a constant, so that no test can stand in for the journal, its
//! priorities are one lower than ours, and its send waits for a journal that hangs.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where the journal listens.
pub(crate) const SOCKET: &str = "/run/systemd/journal/socket";

/// Set by a daemon that tells the journal, for the actions that it runs: nobody reads their stderr.
pub const VARIABLE: &str = "OSVC_JOURNAL";

/// What the lines are called, as those that reach the journal through stderr: the name of the program.
const IDENTIFIER: &str = "om";

/// The way to the journal.
#[derive(Debug)]
pub(crate) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

/// A line with what it is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) priority: u8,
    pub(crate) message: &'a str,
    pub(crate) node: &'a str,
    /// Path of the object.
    pub(crate) object: Option<&'a str>,
    pub(crate) rid: Option<&'a str>,
}

impl Journal {
    /// A way to the journal that listens at `path`, now or later.
    ///
    /// # Errors
    ///
    /// This process has no more descriptors.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Sends a line.
    ///
    /// # Errors
    ///
    /// The journal does not listen, has no room now, or the line is too long for one datagram.
    pub(crate) fn send(&self, line: Line<'_>) -> io::Result<()> {
        self.socket.send_to(&datagram(line), &self.path).map(drop)
    }
}

fn datagram(line: Line<'_>) -> Vec<u8> {
    let mut bytes = vec![];
    put(&mut bytes, "PRIORITY", &line.priority.to_string());
    put(&mut bytes, "SYSLOG_IDENTIFIER", IDENTIFIER);
    put(&mut bytes, "NODE", line.node);
    for (name, value) in [("OBJ_PATH", line.object), ("RID", line.rid)] {
        if let Some(value) = value {
            put(&mut bytes, name, value);
        }
    }
    put(&mut bytes, "MESSAGE", line.message);
    bytes
}

/// A field with its length before its value: a newline in the value begins no other field.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    /// A stand-in for the journal.
    pub(crate) struct Stand {
        folder: tempfile::TempDir,
        socket: UnixDatagram,
    }

    impl Stand {
        pub(crate) fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let socket = UnixDatagram::bind(folder.path().join("socket")).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            Self { folder, socket }
        }

        pub(crate) fn journal(&self) -> Journal {
            Journal::at(&self.folder.path().join("socket")).unwrap()
        }

        /// The fields of the next line, as the journal reads them.
        pub(crate) fn next(&self) -> BTreeMap<String, String> {
            let mut bytes = vec![0; 1 << 16];
            let length = self.socket.recv(&mut bytes).unwrap();
            let mut rest = &bytes[..length];
            let mut fields = BTreeMap::new();
            while !rest.is_empty() {
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
                let name = String::from_utf8(rest[..end].to_vec()).unwrap();
                let (length, value) = rest[end + 1..].split_at(8);
                let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
                let text = String::from_utf8(value[..length].to_vec()).unwrap();
                assert_eq!(fields.insert(name, text), None, "a field twice");
                assert_eq!(value[length], b'\n');
                rest = &value[length + 1..];
            }
            fields
        }
    }

    const LINE: Line<'static> =
        Line { priority: 6, message: "started", node: "n1", object: None, rid: None };

    #[test]
    fn a_line_has_only_the_fields_that_it_is_about() {
        let stand = Stand::new();
        stand.journal().send(LINE).unwrap();
        let expected = [
            ("MESSAGE", "started"),
            ("NODE", "n1"),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "om"),
        ];
        assert_eq!(stand.next(), expected.map(|(name, value)| (name.into(), value.into())).into());
    }

    #[test]
    fn a_value_of_several_lines_forges_no_field() {
        let stand = Stand::new();
        let line = Line { message: "one\nOBJ_PATH=web\nRID\n", object: Some("a\nRID=x"), ..LINE };
        stand.journal().send(line).unwrap();
        let fields = stand.next();
        assert_eq!(fields["MESSAGE"], line.message);
        assert_eq!(fields["OBJ_PATH"], "a\nRID=x");
        assert_eq!(fields.get("RID"), None);
    }

    #[test]
    fn a_journal_that_does_not_take_a_line_is_told_and_not_waited_for() {
        let stand = Stand::new();
        let journal = stand.journal();
        journal.send(LINE).unwrap();
        let refused = (0..100_000).find_map(|_| journal.send(LINE).err()).unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        let long = "x".repeat(16 << 20);
        assert!(journal.send(Line { message: &long, ..LINE }).is_err());
        drop(stand);
        assert!(journal.send(LINE).is_err());
    }
}
