//! The configuration of the node: node.conf over cluster.conf.

use std::sync::Arc;

use model::{NodeName, ObjectPath};

use crate::eval::{self, Doc, Evaluation};
use crate::{
    Complaint, Context, Edit, EditError, EvalError, Evaluated, Ini, IniError, ObjectConf, Severity,
    Value, edit, validate,
};

mod follow;
mod keys;
mod load;
mod settings;
mod step;

pub use follow::{Followed, Found, NODE_FILES};
pub use settings::{
    ArbitratorSettings, Envelope, HeartbeatSettings, ListenerSettings, LogLevel, NodeSettings,
    Secret, SplitAction, Threshold,
};

/// node.conf and cluster.conf, read as one: node.conf wins, keyword by keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConf {
    /// The local node.
    pub nodename: NodeName,
    /// cluster.conf: the object `cluster`.
    pub cluster: Arc<ObjectConf>,
    /// node.conf.
    pub node: Ini,
    nodes: Arc<[NodeName]>,
    drpnodes: Arc<[NodeName]>,
}

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

    /// The same configuration with the members that `text` tells of.
    fn with_members(self, text: impl Fn(&Self, &str) -> String) -> Self {
        let read = |keyword| {
            let words: Vec<String> =
                text(&self, keyword).split_whitespace().map(str::to_owned).collect();
            crate::eval::node_names(&words)
        };
        let (mut nodes, drpnodes) = (read("nodes"), read("drpnodes"));
        if nodes.is_empty() {
            nodes.push(self.nodename.clone());
        }
        Self { nodes: nodes.into(), drpnodes: drpnodes.into(), ..self }
    }

    /// `cluster.nodes` in their order, the local node when unset.
    #[must_use]
    pub fn cluster_nodes(&self) -> &[NodeName] {
        &self.nodes
    }

    /// `cluster.drpnodes` in their order.
    #[must_use]
    pub fn cluster_drpnodes(&self) -> &[NodeName] {
        &self.drpnodes
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

    /// Raw value of `section.keyword[@scope]`, in node.conf, else in cluster.conf.
    #[must_use]
    pub fn get(&self, keyword: &str) -> Option<String> {
        let (section, keyword) = crate::split_keyword(keyword);
        self.node
            .get(section, keyword)
            .or_else(|| self.cluster.ini().get(section, keyword))
            .map(str::to_owned)
    }

    /// Evaluates `section.keyword`, as `om node get --eval` does.
    ///
    /// # Errors
    ///
    /// As [`NodeConf::eval`].
    pub fn eval_keyword(&self, ctx: &Context, keyword: &str) -> Result<Value, EvalError> {
        let (section, keyword) = crate::split_keyword(keyword);
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

    /// `om node print config --format json`: raw sections of node.conf.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.node.to_json().into()
    }

    /// The same with evaluated values.
    #[must_use]
    pub fn to_json_evaluated(&self, ctx: &Context) -> serde_json::Value {
        eval::to_json(Doc::Node(self), ctx).into()
    }
}
