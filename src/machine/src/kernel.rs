//! What the kernel tells as text. Names in it, of programs, mounts and files, are bytes that others chose.

use std::io;
use std::path::Path;

/// The text of a file of `/proc` or `/sys`. What is not UTF-8 in it is shown as U+FFFD, so that one name hides no other
/// line.
///
/// # Errors
///
/// What the system says.
pub fn text(file: impl AsRef<Path>) -> io::Result<String> {
    let text = String::from_utf8(std::fs::read(file)?);
    Ok(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_utf_8_hides_no_other_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("status");
        std::fs::write(&file, b"Name:\t\xff\nUid:\t0\n").unwrap();
        assert_eq!(text(&file).unwrap(), "Name:\t\u{fffd}\nUid:\t0\n");
        assert!(text(folder.path().join("none")).is_err());
    }
}
