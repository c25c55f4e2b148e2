//! What evaluations on this node look at.

use std::sync::Arc;

use conf::{Context, Folders, NodeSettings};
use machine::paths::Paths;

use crate::read::published_labels;

/// What evaluations on this node look at.
#[must_use]
pub fn context(paths: &Paths, node: &NodeSettings) -> Context {
    let mut labels = published_labels(paths);
    labels.insert(node.nodename.clone(), node.labels.clone());
    Context {
        labels: Arc::new(labels),
        folders: Arc::new(Folders {
            etc: paths.etc.display().to_string(),
            var: paths.var.display().to_string(),
        }),
        environment: Arc::new(
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        ),
        is_live: false,
        ..Context::new(node.conf.clone())
    }
}
