//! The configuration of the node, evaluated: who its members are, values, mistakes and edits.
//!
//! Part of the `impl` of [`NodeConf`], above the type: evaluation reads the type, and these functions evaluate.

use std::sync::Arc;

use model::{NodeName, ObjectPath};

use crate::complaint::{Complaint, Severity};
use crate::context::Context;
use crate::doc::Doc;
use crate::dotted::split_keyword;
use crate::edit::{Edit, EditError};
use crate::eval::error::EvalError;
use crate::eval::{Evaluated, Evaluation};
use crate::ini::Ini;
use crate::ini::error::IniError;
use crate::node::NodeConf;
use crate::object::ObjectConf;
use crate::value::Value;
use crate::{edit, eval, validate};

impl NodeConf {
    /// Reads both files; the text of one that does not exist is empty.
    ///
    /// # Errors
    ///
    /// A [`Complaint`] that names the file which is unreadable, and its line.
    pub fn parse(nodename: NodeName, cluster: &str, node: &str) -> Result<Self, Box<Complaint>> {
        let complaint = |file: &str, error: IniError| {
            Box::new(Complaint {
                severity: Severity::Error,
                file: file.into(),
                line: error.line,
                section: String::new(),
                keyword: String::new(),
                reason: IniError { line: 0, ..error }.to_string(),
            })
        };
        let cluster = ObjectConf::parse(ObjectPath::cluster(), cluster)
            .map_err(|error| complaint("cluster.conf", error))?;
        let node = Ini::parse(node).map_err(|error| complaint("node.conf", error))?;
        Ok(Self::new(nodename, Arc::new(cluster), node))
    }

    /// The configuration that both documents make.
    #[must_use]
    pub fn new(nodename: NodeName, cluster: Arc<ObjectConf>, node: Ini) -> Self {
        let plain =
            Self { nodes: [nodename.clone()].into(), drpnodes: [].into(), nodename, cluster, node };
        let plain = plain.with_members(|conf, keyword| {
            conf.get(&format!("cluster.{keyword}")).unwrap_or_default()
        });
        let is_plain = ["nodes", "drpnodes"].iter().all(|keyword| {
            plain.get(&format!("cluster.{keyword}")).is_none_or(|text| !text.contains('{'))
        });
        if is_plain {
            return plain;
        }
        // Members that are references: what they stand for does not depend on who the members are.
        let ctx = Context::new(Arc::new(plain.clone()));
        plain.with_members(|conf, keyword| {
            let found = Evaluation::new(Doc::Node(conf), &ctx).eval("cluster", keyword, true);
            found.map(|found| found.value.to_string()).unwrap_or_default()
        })
    }

    /// `cluster.name`, lower case, `default` when unset; the name of the drp site on its nodes.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        let scope = if self.drpnodes.contains(&self.nodename) { "drpnodes" } else { "nodes" };
        let own = Doc::Node(self).of_node("cluster", "name", &self.nodename).map(str::to_owned);
        let scoped = own.or_else(|| self.get(&format!("cluster.name@{scope}")));
        let name = scoped.or_else(|| self.get("cluster.name")).unwrap_or_default().to_lowercase();
        if name.is_empty() { "default".into() } else { name }
    }

    /// Evaluates `section.keyword`, as `om node get --eval` does.
    ///
    /// # Errors
    ///
    /// As [`NodeConf::eval`].
    pub fn eval_keyword(&self, ctx: &Context, keyword: &str) -> Result<Value, EvalError> {
        let (section, keyword) = split_keyword(keyword);
        Evaluation::new(Doc::Node(self), ctx)
            .eval(section, keyword, true)
            .map(|evaluated| evaluated.value)
    }

    /// Evaluates a keyword of a section.
    ///
    /// # Errors
    ///
    /// [`EvalError`] for what is required and not set, unknown, or not as its converter needs it.
    pub fn eval(
        &self,
        ctx: &Context,
        section: &str,
        keyword: &str,
    ) -> Result<Evaluated, EvalError> {
        Evaluation::new(Doc::Node(self), ctx).eval(section, keyword, false)
    }

    /// Mistakes of node.conf: what `om node validate config` reports.
    #[must_use]
    pub fn validate(&self, ctx: &Context) -> Vec<Complaint> {
        validate::validate(Doc::Node(self), ctx)
    }

    /// Applies edits to node.conf, all or none; whether anything changed.
    ///
    /// # Errors
    ///
    /// [`EditError`] for an edit that is malformed or can not be written; nothing is changed then.
    pub fn edit(&mut self, ctx: &Context, edits: &[Edit]) -> Result<bool, EditError> {
        let mut node = self.node.clone();
        let is_changed = node.apply(&edit::changes(Doc::Node(self), ctx, edits)?)?;
        *self = Self::new(self.nodename.clone(), self.cluster.clone(), node);
        Ok(is_changed)
    }

    /// The same with evaluated values.
    #[must_use]
    pub fn to_json_evaluated(&self, ctx: &Context) -> serde_json::Value {
        eval::to_json(Doc::Node(self), ctx).into()
    }
}
