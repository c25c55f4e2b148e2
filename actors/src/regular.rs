//! Regular files, and nothing else: opening a pipe waits for its other end, opening a device may do what it does.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading, never waiting for anybody; links are followed.
///
/// # Errors
///
/// Whatever the file system answers; `not a regular file` for a folder, a pipe, a socket or a device.
pub(crate) fn open(file: &Path) -> io::Result<(File, Metadata)> {
    let check = |metadata: Metadata| match metadata.is_file() {
        true => Ok(metadata),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    };
    check(std::fs::metadata(file)?)?;
    // It may be another one by now: the flag keeps a pipe from waiting.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(file)?;
    let metadata = check(opened.metadata()?)?;
    Ok((opened, metadata))
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
///
/// As [`open`], and when there is more.
pub(crate) fn read(file: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (opened, metadata) = open(file)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(1 << 20)).unwrap_or(0));
    opened.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let text = format!("has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// The text of a configuration file.
///
/// # Errors
///
/// As [`read()`], and for what is not UTF-8.
pub(crate) fn read_text(file: &Path) -> io::Result<String> {
    String::from_utf8(read(file, crate::config::MAX_FILE_BYTES)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("folder")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink(at("pipe"), at("link")).unwrap();
        for name in ["folder", "pipe", "socket", "link"] {
            let error = read_text(&at(name)).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file", "{name}");
        }
        assert_eq!(read_text(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(at("file"), "text").unwrap();
        assert_eq!(read_text(&at("file")).unwrap(), "text");
        assert!(read(&at("file"), 3).is_err());
        assert_eq!(read(&at("file"), 4).unwrap(), b"text");
    }
}
