//! What an action of this process tells the journal of its object: that it began, and how it ended.

use drivers::origin;
use logs::history::Histories;
use machine::{clock, process};
use model::{ActionOptions, Happening, InstanceAction, ObjectPath, Record, Timestamp};

use crate::om::Om;

/// What the journal of the object is told of an action.
pub(crate) struct Story {
    /// None: nothing is done, nothing is told.
    begun: Option<Timestamp>,
    by: String,
}

impl Story {
    pub(crate) fn begin(
        om: &Om,
        path: &ObjectPath,
        action: InstanceAction,
        options: &ActionOptions,
    ) -> Self {
        let by = match origin::is_from_daemon() {
            true => "daemon".to_owned(),
            false => format!("{}@{}", process::operator(), om.nodename),
        };
        let is_told = !options.dry_run && path.kind().has_instances();
        let begun = is_told.then(clock::now);
        if let Some(begun) = begun {
            let record = Record {
                by: Some(by.clone()),
                rid: options.rid.clone(),
                ..Record::new(begun, Happening::Begun).change(None, Some(action.words().to_owned()))
            };
            tell(om, path, record.because(options.reason.as_deref().unwrap_or_default()));
        }
        Self { begun, by }
    }

    pub(crate) fn end(self, om: &Om, path: &ObjectPath, action: InstanceAction, code: u8) {
        let Some(begun) = self.begun else { return };
        let now = clock::now();
        let result = if code == 0 { "done" } else { "failed" };
        let record = Record {
            action: Some(action.words().to_owned()),
            took: Some(now.since(begun).max(0.0)),
            by: Some(self.by),
            ..Record::new(now, Happening::Ended).change(None, Some(result.to_owned()))
        };
        tell(om, path, record);
    }
}

/// Keeps a record of the object. What is not kept costs a line of its history, and no action.
fn tell(om: &Om, path: &ObjectPath, record: Record) {
    let kept = Histories::new(&om.paths).append(&om.paths, Some(path), &[record]);
    if let Err(error) = kept {
        log::debug!(path:% = path, error:% = error; "history not written");
    }
}
