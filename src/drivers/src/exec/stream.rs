//! One output of a child: read without waiting, cut into lines.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

/// Longest output kept of one stream, in bytes. What comes after is logged, and forgotten.
pub(super) const LONGEST_CAPTURE: usize = 1 << 20;

/// Longest log line, in bytes. A longer one is cut into several.
const LONGEST_LINE: usize = 16 << 10;

/// Most that is read at once, in bytes: who writes faster than we read keeps nobody from seeing that the child has ended,
/// or is late.
const LONGEST_TURN: usize = 64 << 10;

/// An output.
pub(super) struct Stream<S> {
    /// None once it has ended.
    pub source: Option<S>,
    captured: Vec<u8>,
    line: Vec<u8>,
}

impl<S: Read + AsFd + Into<OwnedFd>> Stream<S> {
    /// Reads this from now on.
    ///
    /// # Errors
    ///
    /// It cannot be read without waiting.
    pub(super) fn new(source: Option<S>) -> io::Result<Self> {
        if let Some(source) = &source {
            rustix::io::ioctl_fionbio(source, true)?;
        }
        Ok(Self { source, captured: vec![], line: vec![] })
    }

    /// Takes what is there, as much as one turn allows. The source is dropped at its end.
    pub(super) fn read(&mut self, tell: &dyn Fn(&str)) {
        self.read_most(LONGEST_TURN, tell);
    }

    /// Takes what was there when the child ended, and tells who still writes to it, if anybody may.
    pub(super) fn finish(&mut self, tell: &dyn Fn(&str)) -> Option<OwnedFd> {
        let there = self.source.as_ref().map(rustix::io::ioctl_fionread);
        let there = there.and_then(Result::ok).unwrap_or_default();
        // One more, which finds the end if nobody else writes.
        self.read_most(usize::try_from(there).unwrap_or_default() + 1, tell);
        self.flush(tell);
        self.source.take().map(Into::into)
    }

    fn read_most(&mut self, most: usize, tell: &dyn Fn(&str)) {
        let mut chunk = [0_u8; 8192];
        let mut left = most;
        while left > 0
            && let Some(source) = &mut self.source
        {
            let wanted = chunk.len().min(left);
            match source.read(&mut chunk[..wanted]) {
                Ok(0) => self.source = None,
                Ok(count) => {
                    left -= count;
                    self.take(&chunk[..count], tell);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.source = None,
            }
        }
    }

    fn take(&mut self, bytes: &[u8], tell: &dyn Fn(&str)) {
        let room = LONGEST_CAPTURE - self.captured.len();
        self.captured.extend_from_slice(&bytes[..bytes.len().min(room)]);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") || self.line.len() >= LONGEST_LINE {
                self.flush(tell);
            }
        }
    }

    fn flush(&mut self, tell: &dyn Fn(&str)) {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.trim_end();
        if !line.is_empty() {
            tell(line);
        }
        self.line.clear();
    }

    /// What it said, as far as it is kept.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.captured).into_owned()
    }
}
