//! The configuration of one object, evaluated: values, resources, mistakes and edits.
//!
//! Part of the `impl` of [`ObjectConf`], above the type: evaluation reads the type, and these functions evaluate.

use model::{NodeName, ObjectSettings};

use crate::complaint::Complaint;
use crate::context::Context;
use crate::doc::Doc;
use crate::dotted::split_keyword;
use crate::edit::{Edit, EditError};
use crate::eval::error::EvalError;
use crate::eval::{Evaluated, Evaluation};
use crate::keywords::keyword;
use crate::node::node_names;
use crate::object::section::SectionReader;
use crate::object::{ObjectConf, settings};
use crate::value::Value;
use crate::{edit, eval, keywords, validate};

/// The resource that copies the object's own configuration to its other nodes.
const INTERNAL_SYNC: &str = "sync#i0";

impl ObjectConf {
    /// Evaluates `[section.]keyword`, scopes honoured for every keyword. What `get --eval` and `eval` print.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`].
    pub fn eval_keyword(&self, ctx: &Context, keyword: &str) -> Result<Value, EvalError> {
        let (section, keyword) = split_keyword(keyword);
        if !self.ini.has_section(section) && section != "DEFAULT" {
            return Ok(Value::Null);
        }
        self.eval_scoped(ctx, section, keyword).map(|evaluated| evaluated.value)
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
        Evaluation::new(Doc::Object(self), ctx).eval(section, keyword, false)
    }

    /// As [`ObjectConf::eval`], scopes honoured for every keyword.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`].
    pub fn eval_scoped(
        &self,
        ctx: &Context,
        section: &str,
        keyword: &str,
    ) -> Result<Evaluated, EvalError> {
        Evaluation::new(Doc::Object(self), ctx).eval(section, keyword, true)
    }

    /// What the monitors need, with the mistakes found on the way: a keyword that can not be evaluated has its
    /// default.
    #[must_use]
    pub fn settings(&self, ctx: &Context) -> (ObjectSettings, Vec<Complaint>) {
        settings::settings(self, ctx)
    }

    /// Nodes that hold the configuration: `nodes` and `drpnodes`, sorted; all cluster nodes for the kinds without
    /// instances, unless they say otherwise.
    #[must_use]
    pub fn scope(&self, ctx: &Context) -> Vec<NodeName> {
        let words = |keyword| {
            self.eval(ctx, "DEFAULT", keyword).map(|found| found.value.words()).unwrap_or_default()
        };
        let mut scope = node_names(&words("nodes"));
        scope.extend(node_names(&words("drpnodes")));
        scope.extend(node_names(&words("drpnode")));
        scope.sort();
        scope.dedup();
        scope
    }

    /// Typed access to a section.
    #[must_use]
    pub fn section<'a>(&'a self, ctx: &'a Context, name: &'a str) -> SectionReader<'a> {
        SectionReader { conf: self, ctx, name, budget: None }
    }

    /// The resources of a svc or vol in the order of their sections, the internal `sync#i0` last where there is
    /// one: with another resource, and more than one node. Sections of no driver group are none.
    #[must_use]
    pub fn resources<'a>(&'a self, ctx: &'a Context) -> Vec<SectionReader<'a>> {
        if !self.path.kind().has_instances() {
            return vec![];
        }
        let is_resource = |name: &&str| {
            name.contains('#') && keywords::is_resource_group(keyword::group_of(name).0)
        };
        let sections =
            self.ini.sections().filter(is_resource).filter(|name| *name != INTERNAL_SYNC);
        let mut resources: Vec<_> = sections.map(|name| self.section(ctx, name)).collect();
        if !resources.is_empty() && self.scope(ctx).len() > 1 {
            resources.push(self.section(ctx, INTERNAL_SYNC));
        }
        resources
    }

    /// Ids of the resources that words of `--rid` name: ids, groups, and `group.driver`. In the order of their
    /// sections.
    #[must_use]
    pub fn matching_resources(&self, ctx: &Context, words: &[String]) -> Vec<String> {
        let matches = |resource: &SectionReader<'_>| {
            words.iter().any(|word| {
                word == resource.name()
                    || word == resource.group()
                    || word.split_once('.').is_some_and(|(group, driver)| {
                        group == resource.group() && resource.driver().as_deref() == Some(driver)
                    })
            })
        };
        let resources = self.resources(ctx).into_iter().filter(matches);
        resources.map(|resource| resource.name().to_owned()).collect()
    }

    /// All mistakes: what `validate config` reports.
    #[must_use]
    pub fn validate(&self, ctx: &Context) -> Vec<Complaint> {
        validate::validate(Doc::Object(self), ctx)
    }

    /// Applies edits in order, all or none; whether anything changed. Does not validate: see
    /// [`ObjectConf::validate`].
    ///
    /// # Errors
    ///
    /// [`EditError`] for an edit that is malformed or can not be written; nothing is changed then.
    pub fn edit(&mut self, ctx: &Context, edits: &[Edit]) -> Result<bool, EditError> {
        let changes = edit::changes(Doc::Object(self), ctx, edits)?;
        Ok(self.ini.apply(&changes)?)
    }

    /// `print config --format json --eval`: evaluated values, scopes resolved. What can not be evaluated is shown as
    /// it is written.
    #[must_use]
    pub fn to_json_evaluated(&self, ctx: &Context) -> serde_json::Value {
        let mut all = eval::to_json(Doc::Object(self), ctx);
        all.insert("metadata".into(), self.metadata());
        all.into()
    }
}
