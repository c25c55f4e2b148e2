//! Changes of JSON as operations: what we tell, and how what others tell is applied
//! (src/dataset/README.md, Exchange).

use model::Document;
use std::fmt;

use model::{Op, OpKey};
use serde_json::Value;

/// Deepest JSON that operations may make: that of a message that is read at once.
const MOST_DEPTH: usize = 128;

/// Operations, in the order they are applied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ops(Vec<Op>);

impl Ops {
    /// No change.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The operations.
    #[must_use]
    pub fn as_slice(&self) -> &[Op] {
        &self.0
    }

    /// Appends the operations of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Sets a value.
    pub fn set(&mut self, path: Vec<OpKey>, value: Value) {
        self.0.push(Op { path, value: Some(value) });
    }

    /// Deletes what a path leads to.
    pub fn delete(&mut self, path: Vec<OpKey>) {
        self.0.push(Op { path, value: None });
    }

    /// Adds what turns `old` into `new` at `path`: one set at the deepest place that both have with objects above it,
    /// one delete per removed key. Lists and values of changed type are sent whole, because a deployed agent fails on,
    /// or misreads, what tells such a change in parts.
    pub fn diff(&mut self, path: &mut Vec<OpKey>, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, None) => {}
            (Some(_), None) => self.delete(path.clone()),
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                self.diff_objects(path, old, new);
            }
            (Some(old), Some(new)) if old == new => {}
            (_, Some(new)) => self.set(path.clone(), new.clone()),
        }
    }

    fn diff_objects(&mut self, path: &mut Vec<OpKey>, old: &Document, new: &Document) {
        let removed = old.keys().filter(|key| !new.contains_key(*key));
        for key in removed.chain(new.keys()) {
            path.push(OpKey::Name(key.clone()));
            self.diff(path, old.get(key), new.get(key));
            path.pop();
        }
    }
}

impl From<Ops> for Vec<Op> {
    fn from(ops: Ops) -> Self {
        ops.0
    }
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyError {
    /// Nothing is where its path leads, or something that has no such key.
    NotFound,
    /// It would nest deeper than a message may.
    TooDeep,
    /// The whole cannot be deleted, and is an object.
    Root,
    /// The whole would get larger than it may.
    TooLarge,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "operation on what is not there",
            Self::TooDeep => "operation nests too deep",
            Self::Root => "operation on the whole that leaves no object",
            Self::TooLarge => "operation makes the data too large",
        })
    }
}

impl std::error::Error for ApplyError {}

/// Applies an operation to an object. A failed one changes nothing.
///
/// Deleting a key that is not there succeeds, because null and absent are alike.
///
/// # Errors
///
/// [`ApplyError`], when sender and receiver do not agree on what was there before.
pub fn apply(root: &mut Document, op: &Op) -> Result<(), ApplyError> {
    apply_at(root, &op.path, op.value.as_ref())
}

/// Applies an operation with the rest of its path.
///
/// # Errors
///
/// As [`apply`].
pub fn apply_at(
    root: &mut Document,
    path: &[OpKey],
    value: Option<&Value>,
) -> Result<(), ApplyError> {
    if value.is_some_and(|value| !is_within(value, MOST_DEPTH.saturating_sub(path.len()))) {
        return Err(ApplyError::TooDeep);
    }
    let Some((last, above)) = path.split_last() else {
        let Some(Value::Object(new)) = value else { return Err(ApplyError::Root) };
        root.clone_from(new);
        return Ok(());
    };
    let Some((first, above)) = above.split_first() else {
        let OpKey::Name(name) = last else { return Err(ApplyError::NotFound) };
        set_key(root, name, value);
        return Ok(());
    };
    let OpKey::Name(first) = first else { return Err(ApplyError::NotFound) };
    let mut parent = root.get_mut(first).ok_or(ApplyError::NotFound)?;
    for key in above {
        parent = match (key, parent) {
            (OpKey::Name(name), Value::Object(object)) => object.get_mut(name),
            (OpKey::Index(index), Value::Array(list)) => list.get_mut(*index),
            _ => None,
        }
        .ok_or(ApplyError::NotFound)?;
    }
    match (last, parent) {
        (OpKey::Name(name), Value::Object(object)) => set_key(object, name, value),
        (OpKey::Index(index), Value::Array(list)) if *index < list.len() => match value {
            Some(value) => list[*index].clone_from(value),
            None => _ = list.remove(*index),
        },
        (OpKey::Index(index), Value::Array(list)) if *index == list.len() => {
            list.push(value.ok_or(ApplyError::NotFound)?.clone());
        }
        _ => return Err(ApplyError::NotFound),
    }
    Ok(())
}

fn set_key(object: &mut Document, name: &str, value: Option<&Value>) {
    match value {
        Some(value) => _ = object.insert(name.to_owned(), value.clone()),
        None => _ = object.remove(name),
    }
}

/// Whether a value nests at most so deep.
fn is_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(object) => {
            depth > 0 && object.values().all(|value| is_within(value, depth - 1))
        }
        Value::Array(list) => depth > 0 && list.iter().all(|value| is_within(value, depth - 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn diff(old: Value, new: Value) -> Value {
        let mut ops = Ops::new();
        ops.diff(&mut vec!["a".into()], Some(&old), Some(&new));
        serde_json::to_value(ops.as_slice()).unwrap()
    }

    fn applied(mut root: Value, op: Value) -> Result<Value, ApplyError> {
        let op: Op = serde_json::from_value(op).unwrap();
        let before = root.clone();
        let result = apply(root.as_object_mut().unwrap(), &op);
        assert!(result.is_ok() || root == before, "a failed operation changes nothing");
        result.map(|()| root)
    }

    #[test]
    fn only_what_differs_is_sent_at_the_deepest_common_place() {
        let old = json!({"x": 1, "y": {"z": 1, "gone": true}, "list": [1, 2]});
        let new = json!({"x": 1, "y": {"z": 2, "new": {"k": []}}, "list": [1]});
        assert_eq!(
            diff(old, new),
            json!([
                [["a", "list"], [1]],
                [["a", "y", "gone"]],
                [["a", "y", "new"], {"k": []}],
                [["a", "y", "z"], 2]
            ])
        );
    }

    #[test]
    fn a_changed_type_is_sent_whole() {
        assert_eq!(diff(json!({"k": 1}), json!([1])), json!([[["a"], [1]]]));
        assert_eq!(diff(json!(null), json!({"k": 1})), json!([[["a"], {"k": 1}]]));
        assert_eq!(diff(json!({"k": 1}), json!({"k": 1})), json!([]));
        assert_eq!(diff(json!({"k": 1}), json!({"k": 1.0})), json!([[["a", "k"], 1.0]]));
    }

    #[test]
    fn what_appears_is_set_and_what_disappears_is_deleted() {
        let mut ops = Ops::new();
        ops.diff(&mut vec!["new".into()], None, Some(&json!({"k": 1})));
        ops.diff(&mut vec!["old".into()], Some(&json!({"k": 1})), None);
        let ops = serde_json::to_value(ops.as_slice()).unwrap();
        assert_eq!(ops, json!([[["new"], {"k": 1}], [["old"]]]));
    }

    #[test]
    fn an_operation_sets_appends_replaces_or_deletes() {
        let root = || json!({"a": {"l": [1, {"k": 2}]}});
        for (op, expected) in [
            (json!([["b"], 1]), json!({"a": {"l": [1, {"k": 2}]}, "b": 1})),
            (json!([["a", "l", 0], null]), json!({"a": {"l": [null, {"k": 2}]}})),
            (json!([["a", "l", 1, "k"], 3]), json!({"a": {"l": [1, {"k": 3}]}})),
            (json!([["a", "l", 2], 3]), json!({"a": {"l": [1, {"k": 2}, 3]}})),
            (json!([["a", "l", 0]]), json!({"a": {"l": [{"k": 2}]}})),
            (json!([["a", "l"]]), json!({"a": {}})),
            (json!([["a", "none"]]), root()),
            (json!([[], {"new": 1}]), json!({"new": 1})),
        ] {
            assert_eq!(applied(root(), op.clone()), Ok(expected), "{op}");
        }
    }

    #[test]
    fn an_operation_on_what_is_not_there_fails() {
        for op in [
            json!([["b", "c"], 1]),
            json!([["a", "l", 3], 1]),
            json!([["a", "l", 2]]),
            json!([["a", "l", "x"], 1]),
            json!([["a", 0], 1]),
            json!([[0], 1]),
            json!([["a", "l", 0, "x"], 1]),
        ] {
            assert_eq!(applied(json!({"a": {"l": [1, 2]}}), op.clone()), Err(ApplyError::NotFound));
        }
        assert_eq!(applied(json!({}), json!([[], 1])), Err(ApplyError::Root));
        assert_eq!(applied(json!({}), json!([[]])), Err(ApplyError::Root));
    }

    #[test]
    fn nothing_nests_deeper_than_a_message() {
        let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        let mut root = Document::new();
        let set = |path: Vec<OpKey>, value| Op { path, value: Some(value) };
        assert_eq!(apply(&mut root, &set(vec!["a".into()], nested(127))), Ok(()));
        let deeper = set(vec!["a".into()], nested(128));
        assert_eq!(apply(&mut root, &deeper), Err(ApplyError::TooDeep));
        let mut path = vec![OpKey::from("a")];
        path.extend(std::iter::repeat_n(OpKey::Index(0), 126));
        assert_eq!(apply(&mut root, &set(path.clone(), json!([1]))), Ok(()));
        path.push(OpKey::Index(0));
        assert_eq!(apply(&mut root, &set(path, json!([1]))), Err(ApplyError::TooDeep));
    }
}
