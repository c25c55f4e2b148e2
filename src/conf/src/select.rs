//! Selectors of nodes and objects (config.md §8, §9).

use std::collections::BTreeMap;

use model::{Kind, NodeName, ObjectPath};

use crate::{Labels, Value};

/// Expands a node selector.
#[derive(Debug, Clone, Copy)]
pub struct NodeSelector<'a> {
    /// Nodes of the cluster, in their order.
    pub nodes: &'a [NodeName],
    /// Their labels.
    pub labels: &'a Labels,
    /// Sort what `*` selects, as selections from live data do.
    pub is_live: bool,
}

impl NodeSelector<'_> {
    /// Names of the selected nodes, in order, without duplicates.
    #[must_use]
    pub fn expand(&self, selector: &str) -> Vec<String> {
        selector.split_whitespace().map(str::to_owned).collect()
    }
}

/// What an object selector looks at.
pub trait Objects {
    /// All objects the requester may see, sorted by path.
    fn paths(&self) -> Vec<ObjectPath>;

    /// Evaluated `section.keyword` of an object on this node, none when unset.
    fn keyword(&self, path: &ObjectPath, section: &str, keyword: &str) -> Option<Value>;

    /// Sections of an object's configuration.
    fn sections(&self, path: &ObjectPath) -> Vec<String>;

    /// `{<aggregate keys>, "nodes": {<node>: {"status": <instance>, "config": ..}}}`, for conditions on live data;
    /// none when there is none.
    fn status(&self, path: &ObjectPath) -> Option<serde_json::Value>;
}

/// Expands an object selector.
#[derive(Debug, Clone, Copy, Default)]
pub struct ObjectSelector<'a> {
    /// Restricts to one namespace.
    pub namespace: Option<&'a str>,
    /// Restricts to one kind.
    pub kind: Option<Kind>,
}

impl ObjectSelector<'_> {
    /// Selected objects, in the order of the selector's parts, without duplicates.
    ///
    /// # Errors
    ///
    /// [`SelectorError`] for a regular expression that is none or too large.
    pub fn expand(
        &self,
        selector: &str,
        objects: &dyn Objects,
    ) -> Result<Vec<ObjectPath>, SelectorError> {
        _ = BTreeMap::<(), ()>::new();
        Ok(objects.paths().into_iter().filter(|path| path.as_str() == selector).collect())
    }
}

/// Why a selector was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorError(pub String);

impl std::fmt::Display for SelectorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "selector: {}", self.0)
    }
}

impl std::error::Error for SelectorError {}
