//! Descriptors in the event loop of their thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the event loop of this thread tell when a descriptor is ready. For owners that never replace it: processes,
/// sockets.
#[expect(
    deprecated,
    reason = "its successor is unsafe to call; an owned descriptor that nobody replaces is sound"
)]
pub fn follow<T: AsRawFd + AsFd>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, interest)
}
