//! One request and what comes back, on a stream of either sort.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use wire::{Framing, Incoming, Limits};

use crate::link::error::AskError;
use crate::link::server::Server;

/// What TCP and unix streams share.
pub(super) trait Stream: Read + Write {
    fn limit(&self, timeout: Option<Duration>) -> io::Result<()>;
}

impl Stream for UnixStream {
    fn limit(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)?;
        self.set_write_timeout(timeout)
    }
}

impl Stream for TcpStream {
    fn limit(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)?;
        self.set_write_timeout(timeout)
    }
}

/// What is done with a frame: whether to go on.
pub(super) type OnFrame<'a> = dyn FnMut(&[u8]) -> Result<ControlFlow<()>, AskError> + 'a;

/// What is done with a document: whether to go on.
pub(super) type OnItem<'a> = dyn FnMut(Value) -> ControlFlow<()> + 'a;

/// A request under way.
pub(super) struct Conversation<'a> {
    pub server: &'a Server,
    pub deadline: Option<(Instant, Duration)>,
    pub limits: Limits,
    /// A document came.
    pub started: bool,
}

impl Conversation<'_> {
    /// Sends, then hands over each frame that comes, until told that it is enough or the stream ends.
    pub(super) fn run(
        &mut self,
        stream: &mut dyn Stream,
        request: &[u8],
        on_frame: &mut OnFrame<'_>,
    ) -> Result<(), AskError> {
        self.limit(stream)?;
        stream.write_all(request).map_err(|error| self.broken(error))?;
        let mut framing = Framing::of_replies(&self.limits);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            self.limit(stream)?;
            let count = match stream.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A daemon that closes with unread bytes in its queue resets the connection.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                Err(error) => return Err(self.broken(error)),
            };
            let is_end = count == 0;
            // Blanks before a document are nothing, however many.
            let read = match framing.pending() {
                0 => buffer[..count].trim_ascii_start(),
                _ => &buffer[..count],
            };
            let too_large = |_| AskError::TooLarge(self.server.clone(), self.limits.max_frame);
            framing.push(read).map_err(too_large)?;
            let last = |framing: &mut Framing| if is_end { framing.finish() } else { None };
            while let Some(incoming) = framing.next_frame().or_else(|| last(&mut framing)) {
                // A lone NUL keeps a quiet stream alive.
                let Incoming::Frame(frame) = incoming else {
                    if is_end { break } else { continue }
                };
                if frame.is_empty() {
                    continue;
                }
                let next = on_frame(&frame)?;
                self.started = true;
                if next.is_break() {
                    return Ok(());
                }
            }
            if is_end {
                return if self.started {
                    Ok(())
                } else {
                    Err(AskError::Closed(self.server.clone()))
                };
            }
        }
    }

    fn limit(&self, stream: &dyn Stream) -> Result<(), AskError> {
        let left = match self.deadline {
            None => None,
            Some((deadline, within)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(AskError::Timeout(self.server.clone(), within));
                }
                Some(left)
            }
        };
        stream.limit(left).map_err(|error| self.broken(error))
    }

    fn broken(&self, error: io::Error) -> AskError {
        match (error.kind(), self.deadline) {
            (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, Some((_, within))) => {
                AskError::Timeout(self.server.clone(), within)
            }
            (io::ErrorKind::BrokenPipe, _) => AskError::Closed(self.server.clone()),
            _ => AskError::Broken(self.server.clone(), error),
        }
    }
}
