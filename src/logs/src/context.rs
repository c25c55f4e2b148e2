//! Words that belong to each entry of a process.

use model::ObjectPath;

/// Words that belong to each entry of a process.
#[derive(Debug, Clone, Default)]
pub struct LogContext {
    /// Session id: each run of a command has one, and its children share it.
    pub sid: Option<String>,
    /// The object that the process acts on.
    pub path: Option<ObjectPath>,
    /// Run by the scheduler.
    pub is_scheduled: Option<bool>,
}
