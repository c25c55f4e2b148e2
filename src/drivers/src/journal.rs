//! Log lines of an object and its resources.

use std::fmt;

use model::ObjectPath;

/// Writes log lines in the name of an object, or of one of its resources.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    path: ObjectPath,
    rid: Option<String>,
}

impl Journal {
    /// In the name of the object.
    pub(crate) fn new(path: &ObjectPath) -> Self {
        Self { path: path.clone(), rid: None }
    }

    /// In the name of a resource.
    pub(crate) fn resource(&self, rid: &str) -> Self {
        Self { path: self.path.clone(), rid: Some(rid.to_owned()) }
    }

    fn write(&self, level: log::Level, text: fmt::Arguments<'_>) {
        match &self.rid {
            Some(rid) => log::log!(level, path:% = self.path, rid:% = rid; "{text}"),
            None => log::log!(level, path:% = self.path; "{text}"),
        }
    }

    /// Why what follows happens: for the log only.
    pub(crate) fn begin(&self, text: fmt::Arguments<'_>) {
        log::info!(target: logs::BEGIN, path:% = self.path; "{text}");
    }

    /// A status changed, or something was done.
    pub(crate) fn info(&self, text: fmt::Arguments<'_>) {
        self.write(log::Level::Info, text);
    }

    /// Unexpected, and handled.
    pub(crate) fn warn(&self, text: fmt::Arguments<'_>) {
        self.write(log::Level::Warn, text);
    }

    /// An operator has to act.
    pub(crate) fn error(&self, text: fmt::Arguments<'_>) {
        self.write(log::Level::Error, text);
    }

    /// Why.
    pub(crate) fn debug(&self, text: fmt::Arguments<'_>) {
        self.write(log::Level::Debug, text);
    }

    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        Self::new(&ObjectPath::parse("svc1").expect("a path"))
    }
}
