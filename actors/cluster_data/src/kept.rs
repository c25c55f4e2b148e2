//! What subscribers were told, kept for those who come back.

use std::collections::VecDeque;
use std::sync::Arc;

use dataset::journal::Ops;
use model::{ObjectPath, Timestamp};

/// A document that is not cut to what one wants yet.
pub(super) enum Document {
    Event { path: Option<ObjectPath>, text: Arc<str> },
    Patch { id: u64, ts: Timestamp, parts: Vec<Part> },
}

/// Operations as text, separated by commas, and the object that they concern.
type Part = (Option<ObjectPath>, Box<str>);

/// The text of a [`Part`].
pub(super) fn text_of(ops: &Ops) -> Box<str> {
    let text = serde_json::to_string(ops.as_slice()).unwrap_or_default();
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or_default().into()
}

impl Document {
    pub(super) fn event(path: Option<ObjectPath>, text: String) -> Self {
        Self::Event { path, text: text.into() }
    }

    pub(super) fn patch(id: u64, ts: Timestamp, parts: Vec<Part>) -> Self {
        Self::Patch { id, ts, parts }
    }

    /// All of it.
    pub(super) fn whole(&self) -> Arc<str> {
        self.text(&|_| true).unwrap_or_default()
    }

    /// What is wanted of it; none for an event that is not. A patch of which nothing is left is one: its id counts.
    pub(super) fn text(&self, wants: &dyn Fn(Option<&ObjectPath>) -> bool) -> Option<Arc<str>> {
        match self {
            Self::Event { path, text } => wants(path.as_ref()).then(|| text.clone()),
            Self::Patch { id, ts, parts } => {
                let wanted: Vec<&str> = parts
                    .iter()
                    .filter(|(path, _)| wants(path.as_ref()))
                    .map(|(_, ops)| &**ops)
                    .collect();
                let (head, ts) = (r#"{"data":["#, serde_json::json!(ts.0));
                let tail = format!(r#"],"id":{id},"kind":"patch","ts":{ts}}}"#);
                // Megabytes, where a peer with many objects comes: not copied from buffer to buffer while it grows.
                let ops: usize = wanted.iter().map(|ops| ops.len() + 1).sum();
                let mut text = String::with_capacity(head.len() + ops + tail.len());
                text.push_str(head);
                for (at, ops) in wanted.into_iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    text.push_str(ops);
                }
                text.push_str(&tail);
                Some(text.into())
            }
        }
    }

    /// What it takes, about.
    fn bytes(&self) -> usize {
        match self {
            Self::Event { text, .. } => text.len(),
            Self::Patch { parts, .. } => {
                // A part has a path of its own, and each of them a place of the allocator.
                parts.iter().map(|(_, ops)| ops.len() + size_of::<Part>() + 64).sum()
            }
        }
    }
}

/// The last documents, as many as have room.
#[derive(Default)]
pub(super) struct Kept {
    documents: VecDeque<(u64, Document, usize)>,
    bytes: usize,
    room: usize,
}

impl Kept {
    pub(super) fn set_room(&mut self, room: usize) {
        self.room = room;
        self.make_room();
    }

    pub(super) fn clear(&mut self) {
        self.documents.clear();
        self.bytes = 0;
    }

    /// Keeps one.
    pub(super) fn push(&mut self, number: u64, document: Document) {
        if self.documents.back().is_some_and(|(last, ..)| *last + 1 != number) {
            // Something between was never made: what is before it leads nowhere.
            self.clear();
        }
        let bytes = document.bytes();
        self.bytes += bytes;
        self.documents.push_back((number, document, bytes));
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.bytes > self.room
            && let Some((.., bytes)) = self.documents.pop_front()
        {
            self.bytes -= bytes;
        }
    }

    /// All that came behind the item `known`, up to `last`; none where some of that is gone.
    pub(super) fn since(&self, known: u64, last: u64) -> Option<Vec<(u64, &Document)>> {
        if known == last {
            return Some(vec![]);
        }
        let behind = |number: u64| number > known && number <= last;
        let found: Vec<(u64, &Document)> = self
            .documents
            .iter()
            .filter(|(number, ..)| behind(*number))
            .map(|(number, document, _)| (*number, document))
            .collect();
        let is_whole = known < last && found.len() as u64 == last - known;
        is_whole.then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(room: usize, numbers: impl IntoIterator<Item = u64>) -> Kept {
        let mut kept = Kept::default();
        kept.set_room(room);
        for number in numbers {
            kept.push(number, Document::event(None, "0123456789".to_owned()));
        }
        kept
    }

    #[test]
    fn what_came_since_is_told_whole_or_not_at_all() {
        let all = kept(1_000, 1..=10);
        let numbers = |kept: &Kept, known, last| {
            kept.since(known, last)
                .map(|found| found.into_iter().map(|(number, _)| number).collect::<Vec<_>>())
        };
        assert_eq!(numbers(&all, 7, 10), Some(vec![8, 9, 10]));
        assert_eq!(numbers(&all, 7, 9), Some(vec![8, 9]));
        assert_eq!(numbers(&all, 10, 10), Some(vec![]));
        assert_eq!(numbers(&all, 11, 10), None, "it was never told");
        let few = kept(20, 1..=10);
        assert_eq!(numbers(&few, 8, 10), Some(vec![9, 10]));
        assert_eq!(numbers(&few, 7, 10), None, "it is gone");
        let broken = kept(1_000, [1, 2, 3, 5, 6]);
        assert_eq!(numbers(&broken, 4, 6), Some(vec![5, 6]));
        assert_eq!(numbers(&broken, 2, 6), None);
    }
}
