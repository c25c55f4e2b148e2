//! What changed, as peers and subscribers apply it: a list of `[path, value]` (set) and `[path]` (delete).

use serde_json::{Map, Value};

/// Operations of a patch, in the order they are applied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ops(Vec<Value>);

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
    pub fn as_slice(&self) -> &[Value] {
        &self.0
    }

    /// Appends the operations of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Adds what turns `old` into `new` at `path`: one set at the deepest place that both have with objects above it,
    /// one delete per removed key. Lists and values of changed type are sent whole (cluster.md, ops).
    pub fn diff(&mut self, path: &mut Vec<String>, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, None) => {}
            (Some(_), None) => self.0.push(Value::Array(vec![path_value(path)])),
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                self.diff_objects(path, old, new);
            }
            (Some(old), Some(new)) if old == new => {}
            (_, Some(new)) => self.0.push(Value::Array(vec![path_value(path), new.clone()])),
        }
    }

    fn diff_objects(
        &mut self,
        path: &mut Vec<String>,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) {
        let removed = old.keys().filter(|key| !new.contains_key(*key));
        for key in removed.chain(new.keys()) {
            path.push(key.clone());
            self.diff(path, old.get(key), new.get(key));
            path.pop();
        }
    }
}

fn path_value(path: &[String]) -> Value {
    Value::Array(path.iter().map(|key| Value::String(key.clone())).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn diff(old: Value, new: Value) -> Value {
        let mut ops = Ops::new();
        ops.diff(&mut vec!["a".to_owned()], Some(&old), Some(&new));
        Value::Array(ops.0)
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
    }

    #[test]
    fn what_appears_is_set_and_what_disappears_is_deleted() {
        let mut ops = Ops::new();
        ops.diff(&mut vec!["new".to_owned()], None, Some(&json!({"k": 1})));
        ops.diff(&mut vec!["old".to_owned()], Some(&json!({"k": 1})), None);
        assert_eq!(ops.as_slice(), [json!([["new"], {"k": 1}]), json!([["old"]])]);
    }
}
