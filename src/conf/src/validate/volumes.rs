//! Volumes whose data stay on the node where they were written, in services that move.
//!
//! Part of the `impl` of [`Validator`], in a file of its own for its subject.

use crate::complaint::Severity;
use crate::eval::Evaluation;
use crate::keywords::keyword;
use crate::validate::{Validator, is_resource};
use crate::value::Value;

/// Whether what the volumes of a pool of this type hold stays on the node where it was written.
#[must_use]
pub fn is_pool_of_each_node(kind: &str) -> bool {
    matches!(kind, "directory" | "loop" | "shm")
}

impl Validator<'_> {
    /// Tells of a volume that is another one on each node that the service may move to.
    pub(super) fn left_behind(&mut self, section: &str) {
        if keyword::group_of(section).0 != "volume" || !is_resource(self.doc, section) {
            return;
        }
        let value = |section: &str, keyword: &str| {
            Evaluation::eval_within(self.doc, self.ctx, &self.budget, section, keyword)
                .map_or(Value::Null, |found| found.value)
        };
        let is_moved = value("DEFAULT", "nodes").words().len() > 1
            && value("DEFAULT", "topology").as_text() != Some("flex");
        let is_copy = |section: &str| section.starts_with("sync#") && section != "sync#i0";
        // Of a pool that is not shared, none that is to be shared is made.
        let is_shared = value(section, "shared") == Value::Bool(true);
        if !is_moved || is_shared || self.doc.ini().sections().any(is_copy) {
            return;
        }
        let (name, wanted) = (value(section, "pool"), value(section, "type"));
        let Some(pool) = self.pool_of_each_node(name.as_text(), wanted.as_text()) else { return };
        let keyword = if name.is_null() { "" } else { "pool" };
        let reason = format!(
            "{pool} is not shared: what the service writes there on one node is not there on the others. Copy it with a \
             sync#, or use a pool that all nodes reach"
        );
        // Deployed agents say nothing of it, and their count of warnings is what scripts look at.
        self.complain(Severity::Notice, section, keyword, &reason);
    }

    /// What the volume is made of; none when it may be what all nodes reach.
    fn pool_of_each_node(&self, name: Option<&str>, wanted: Option<&str>) -> Option<String> {
        let node = &self.ctx.node;
        let kind_of = |pool: &str| {
            let default = if pool == "shm" { "shm" } else { "directory" };
            node.get(&format!("pool#{pool}.type")).unwrap_or_else(|| default.to_owned())
        };
        match (name, wanted) {
            (Some(name), _) => is_pool_of_each_node(&kind_of(name)).then(|| format!("pool {name}")),
            (None, Some(kind)) => {
                is_pool_of_each_node(kind).then(|| format!("a pool of type {kind}"))
            }
            (None, None) => {
                let mut names = node.node.sections().chain(node.cluster.ini().sections());
                let is_one_reached_by_all = |section: &str| {
                    let pool = section.strip_prefix("pool#");
                    pool.is_some_and(|pool| !is_pool_of_each_node(&kind_of(pool)))
                };
                (!names.any(is_one_reached_by_all)).then(|| "every pool here".to_owned())
            }
        }
    }
}
