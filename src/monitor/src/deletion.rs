//! Deletions of objects that not every node has followed: what they are about, and how long they are remembered.
//!
//! A configuration follows from node to node. A node that was away while an object was deleted would bring it back, so what
//! was deleted is told until no member may have a copy of it any more.

use model::{ConfigEntry, Deletion, Timestamp};

/// What a member may have of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Holder<'a> {
    /// It is heard, and tells all that it has.
    pub is_settled: bool,
    /// Its copy.
    pub entry: Option<&'a ConfigEntry>,
}

/// What is to be done about the local copy of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// There is none.
    Gone,
    /// It was written after the deletion: it counts.
    Newer,
    /// It is another object, or the same one put back, which a clock dated before the deletion: it is to be dated after it.
    Anew,
    /// It is what was deleted.
    Delete,
}

/// Whether a deletion is about a copy, as far as its time tells.
#[must_use]
pub fn is_deleted(deletion: &Deletion, entry: &ConfigEntry) -> bool {
    entry.updated.0 <= deletion.at.0
}

/// Whether something may still come back that the deletion is about. Not so once the object was made anew: that copy is
/// newer than all that are about to come.
#[must_use]
pub fn is_pending<'a>(deletion: &Deletion, holders: impl IntoIterator<Item = Holder<'a>>) -> bool {
    let mut is_pending = false;
    for holder in holders {
        if holder.entry.is_some_and(|entry| !is_deleted(deletion, entry)) {
            return false;
        }
        is_pending |= !holder.is_settled || holder.entry.is_some();
    }
    is_pending
}

/// Whether a deletion goes before the one that is known.
#[must_use]
pub fn is_later(deletion: &Deletion, known: Option<&Deletion>) -> bool {
    deletion.at.0.is_finite() && known.is_none_or(|known| deletion.at.0 > known.at.0)
}

/// What becomes of the local copy: its id and its time. `is_followed`: the object was gone here after the deletion.
#[must_use]
pub fn fate(
    deletion: &Deletion,
    is_followed: bool,
    copy: Option<(Option<&str>, Timestamp)>,
) -> Fate {
    let Some((id, updated)) = copy else { return Fate::Gone };
    if updated.0 > deletion.at.0 {
        return Fate::Newer;
    }
    let is_another = id.zip(deletion.id.as_deref()).is_some_and(|(id, deleted)| id != deleted);
    if is_another || is_followed { Fate::Anew } else { Fate::Delete }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(updated: f64) -> ConfigEntry {
        ConfigEntry { updated: Timestamp(updated), csum: String::new(), scope: vec![] }
    }

    fn deletion(at: f64) -> Deletion {
        Deletion { id: Some("a".into()), at: Timestamp(at), ..Deletion::default() }
    }

    #[test]
    fn a_deletion_is_remembered_until_nobody_may_have_a_copy() {
        let (old, new) = (entry(90.0), entry(110.0));
        let settled = |entry| Holder { is_settled: true, entry };
        let away = Holder { is_settled: false, entry: None };
        let it = deletion(100.0);
        assert!(!is_pending(&it, [settled(None), settled(None)]));
        assert!(is_pending(&it, [settled(None), settled(Some(&old))]));
        assert!(is_pending(&it, [settled(None), away]));
        // Made anew: that one goes before all copies of the old one, wherever they are.
        assert!(!is_pending(&it, [settled(Some(&old)), away, settled(Some(&new))]));
    }

    #[test]
    fn the_later_deletion_counts_and_one_without_a_time_never() {
        assert!(is_later(&deletion(2.0), None));
        assert!(is_later(&deletion(2.0), Some(&deletion(1.0))));
        assert!(!is_later(&deletion(2.0), Some(&deletion(2.0))));
        assert!(!is_later(&deletion(f64::NAN), None));
        assert!(!is_later(&deletion(f64::INFINITY), None));
    }

    #[test]
    fn only_the_object_that_was_deleted_is_deleted() {
        let it = deletion(100.0);
        let copy = |id, updated| Some((id, Timestamp(updated)));
        assert_eq!(fate(&it, false, None), Fate::Gone);
        assert_eq!(fate(&it, false, copy(Some("a"), 100.0)), Fate::Delete);
        assert_eq!(fate(&it, false, copy(None, 90.0)), Fate::Delete);
        assert_eq!(fate(&it, false, copy(Some("a"), 100.1)), Fate::Newer);
        assert_eq!(fate(&it, false, copy(Some("b"), 90.0)), Fate::Anew);
        // It was gone: somebody put it back.
        assert_eq!(fate(&it, true, copy(Some("a"), 90.0)), Fate::Anew);
        let nameless = Deletion { id: None, ..it };
        assert_eq!(fate(&nameless, false, copy(Some("b"), 90.0)), Fate::Delete);
    }
}
