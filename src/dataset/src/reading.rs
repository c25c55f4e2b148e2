//! The data of a peer after a message: made outside of the actor (see `ahead`), which only takes them over.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::journal::ApplyError;

use crate::snapshot::NodeEntry;
use crate::touched::{Touched, is_decisive};

/// The data of a peer after a message.
#[derive(Debug)]
pub struct Reading {
    /// What they were made from; none of a peer that was not known.
    pub(crate) base: Option<Arc<NodeEntry>>,
    /// The generation of that.
    pub(crate) merged: u64,
    /// How each change of the message ended. None of a full.
    pub ends: VecDeque<Result<(), ApplyError>>,
    /// Whether it keeps instances of before.
    pub(crate) is_preserving: bool,
    pub(crate) entry: NodeEntry,
    pub(crate) touched: Touched,
    pub(crate) dropped: BTreeSet<String>,
}

impl Reading {
    /// What the peer tells beside its objects.
    #[cfg(any(test, feature = "testing"))]
    pub fn head(&self) -> model::Document {
        self.entry.told.as_ref().map(|told| told.head.clone()).unwrap_or_default()
    }

    /// Whether it can be taken over where the data of the peer are these, of this generation. A message that cannot is
    /// sent again, as it is not acknowledged.
    pub fn fits(&self, now: Option<&Arc<NodeEntry>>, merged: Option<u64>) -> bool {
        let is_full = self.ends.is_empty();
        self.is_of(now) && (is_full || merged.unwrap_or(0) == self.merged)
            || is_full && !self.is_preserving
    }

    fn is_of(&self, now: Option<&Arc<NodeEntry>>) -> bool {
        match (&self.base, now) {
            (Some(base), Some(now)) => Arc::ptr_eq(base, now),
            (base, now) => base.is_none() && now.is_none(),
        }
    }

    /// Tells what differs from these data, which are not those that it was made from.
    pub fn compare(&mut self, now: Option<&Arc<NodeEntry>>) {
        if self.is_of(now) {
            return;
        }
        let none = NodeEntry::default();
        let now = now.map_or(&none, |now| &**now);
        let (new, old) = (self.entry.told.as_ref(), now.told.as_ref());
        let mut touched = Touched { is_head: true, is_decisive: true, ..Touched::default() };
        if let (Some(new), Some(old)) = (new, old) {
            touched.status = new.status.changed_since(&old.status);
            touched.config = new.config.changed_since(&old.config);
            touched.is_decisive =
                is_decisive(&now.data, &self.entry.data) || new.has_services != old.has_services;
        } else {
            let told = || new.into_iter().chain(old);
            touched.status = told().flat_map(|told| told.status.keys()).cloned().collect();
            touched.config = told().flat_map(|told| told.config.keys()).cloned().collect();
        }
        self.touched = touched;
    }
}
