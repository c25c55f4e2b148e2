//! What a scaler knows of its slices beyond what is published.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::ObjectPath;

use crate::moment::Moment;

/// What was asked of a slice, and did not come, is asked again after that long.
pub(crate) const ASK_AGAIN_SECS: f64 = 30.0;

/// What a slice is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    Created,
    Thawed,
    Provisioned,
    Purged,
    Resized(i64),
}

/// What a scaler knows of its slices beyond what is published. A restart loses it: slices that it found half made stay as
/// they are, unless they tell that they are not provisioned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slices {
    /// Made here, and not yet asked to be provisioned.
    pub(super) made: BTreeSet<ObjectPath>,
    pub(super) asked: BTreeMap<(ObjectPath, Asked), Duration>,
}

impl Slices {
    /// Whether it is to be asked now: nobody has, or so long ago that it was in vain.
    pub(super) fn ask(&mut self, now: Moment, path: &ObjectPath, what: Asked) -> bool {
        self.asked.retain(|_, at| now.since(*at) < ASK_AGAIN_SECS);
        let key = (path.clone(), what);
        let is_due = !self.asked.contains_key(&key);
        if is_due {
            self.asked.insert(key, now.steady);
        }
        is_due
    }
}
