//! A configuration file of another node.

use std::time::SystemTime;

use model::Timestamp;
use serde_json::Value;
use wire::reply::status_of;

use machine::regular;

/// A file of another node.
#[derive(Clone, PartialEq)]
pub struct Fetched {
    /// Its bytes.
    pub text: String,
    /// Its modification time, in seconds as nodes publish it.
    pub mtime: f64,
}

impl Fetched {
    /// Reads a reply to `object_config`.
    pub fn from_reply(reply: &Value) -> Result<Self, String> {
        debug_assert_eq!(status_of(reply), 0);
        let text = reply.get("data").and_then(Value::as_str).ok_or("the reply has no text")?;
        let mtime = reply.get("mtime").and_then(Value::as_f64).ok_or("the reply has no time")?;
        if text.len() as u64 > regular::MAX_FILE_BYTES {
            return Err("too large for a configuration".to_owned());
        }
        if text.contains('\0') {
            return Err("not a text: it has a NUL byte".to_owned());
        }
        let it = Self { text: text.to_owned(), mtime };
        it.modified().map(|_| it).ok_or_else(|| "the time in the reply is none".to_owned())
    }

    /// The time as the file system has it.
    pub fn modified(&self) -> Option<SystemTime> {
        regular::file_time(Timestamp(self.mtime))
    }
}
