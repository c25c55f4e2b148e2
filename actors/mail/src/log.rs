//! What the log keeper hears.

use std::path::PathBuf;

use actix::prelude::*;

/// An entry for a file.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Entry {
    /// The file.
    pub file: PathBuf,
    /// The entry, newline included.
    pub entry: String,
}

/// Opens the files again by name (SIGHUP). Answered when all entries before are written.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reopen;
