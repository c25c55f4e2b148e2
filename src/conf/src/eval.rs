//! Evaluation of one keyword for one node (src/conf/README.md, Evaluation).

use crate::ini::Sections;
use std::cell::Cell;

use model::Kind;

use crate::context::Context;
use crate::convert::Converter;
use crate::doc::Doc;
use crate::eval::error::{EvalError, EvalReason};
use crate::keywords;
use crate::keywords::keyword;
use crate::keywords::keyword::{Default, Inheritance, Keyword, Lookup};
use crate::value::Value;

pub(crate) mod error;
pub(crate) mod references;
mod spelling;

/// A value, and whether it was set or is the default.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The value.
    pub value: Value,
    /// Whether a keyword was found, as opposed to the default.
    pub is_set: bool,
}

/// Nested evaluations one value may need.
const MAX_DEPTH: usize = 32;

/// Bytes that may be read and made while evaluating one value, references of references included.
const MAX_WORK: usize = 4 << 20;

/// Bytes that may be read and made while evaluating a whole document.
pub(crate) const MAX_DOCUMENT_WORK: usize = 64 << 20;

/// Longest value.
const MAX_LENGTH: usize = 256 << 10;

/// The evaluation of one value.
pub(crate) struct Evaluation<'a> {
    doc: Doc<'a>,
    ctx: &'a Context,
    /// What is being evaluated, outermost first: a reference to any of it is a cycle.
    open: Vec<(String, String)>,
    /// Bytes that may still be read and made.
    budget: usize,
    /// What was converted last: the value asked for, when its evaluation is over.
    unconverted: String,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(doc: Doc<'a>, ctx: &'a Context) -> Self {
        Self { doc, ctx, open: vec![], budget: MAX_WORK, unconverted: String::new() }
    }

    /// Evaluates a keyword with what is left of a document's budget.
    pub(crate) fn eval_within(
        doc: Doc<'a>,
        ctx: &'a Context,
        budget: &Cell<usize>,
        section: &str,
        keyword: &str,
    ) -> Result<Evaluated, EvalError> {
        Self::eval_both_within(doc, ctx, budget, section, keyword).map(|(found, _)| found)
    }

    /// As [`Self::eval_within`], with the text before its conversion.
    pub(crate) fn eval_both_within(
        doc: Doc<'a>,
        ctx: &'a Context,
        budget: &Cell<usize>,
        section: &str,
        keyword: &str,
    ) -> Result<(Evaluated, String), EvalError> {
        let granted = budget.get().min(MAX_WORK);
        let mut evaluation = Self { budget: granted, ..Self::new(doc, ctx) };
        let found = evaluation.eval(section, keyword, false);
        budget.set(budget.get() - (granted - evaluation.budget));
        found.map(|found| (found, evaluation.unconverted))
    }

    /// Evaluates a keyword; with `force_scope`, scopes count even where the tables say otherwise.
    pub(crate) fn eval(
        &mut self,
        section: &str,
        keyword: &str,
        force_scope: bool,
    ) -> Result<Evaluated, EvalError> {
        if let Some(reads) = &self.ctx.reads {
            reads(section, keyword);
        }
        self.try_eval(section, keyword, force_scope).map_err(|reason| EvalError {
            section: section.to_owned(),
            keyword: keyword.to_owned(),
            line: self.doc.place(section, keyword).1,
            reason,
        })
    }

    fn try_eval(
        &mut self,
        section: &str,
        written: &str,
        force_scope: bool,
    ) -> Result<Evaluated, EvalReason> {
        let doc = self.doc;
        let driver = doc.driver(section);
        let tables = doc.tables();
        let (keyword, scope) =
            written.split_once('@').map_or((written, None), |(name, scope)| (name, Some(scope)));
        let definition = match tables.find(section, driver, keyword) {
            Lookup::Known(definition) => Some(*definition),
            Lookup::Free => None,
            Lookup::Unknown if section == "DEFAULT" => None,
            Lookup::Unknown => {
                return Err(EvalReason::unknown(keyword, &tables.all(section, driver)));
            }
        };
        if keyword == "type" && keywords::is_resource_group(keyword::group_of(section).0) {
            return match (doc.get(section, "type"), driver) {
                (Some(text), _) => Ok(Evaluated { value: Value::Text(text.into()), is_set: true }),
                (None, Some(driver)) => {
                    Ok(Evaluated { value: Value::Text(driver.into()), is_set: false })
                }
                (None, None) if keywords::needs_type(section) => Err(EvalReason::Required),
                (None, None) => Ok(Evaluated { value: Value::Null, is_set: false }),
            };
        }
        let raw = match scope {
            Some(_) => doc.get(section, written),
            None => self.find(section, keyword, definition.as_ref(), force_scope),
        };
        let converter = definition.map_or(Converter::Text, |definition| definition.converter);
        if let Some(raw) = raw {
            let value = self.expand(raw, section, Some((section, keyword)))?;
            let value = self.convert(converter, value)?;
            return Ok(Evaluated { value, is_set: true });
        }
        let internal = if section == "sync#i0" { internal_sync(keyword) } else { None };
        let value = match (definition.map(|definition| definition.default), internal) {
            (_, Some(text)) => Value::Text(text.into()),
            _ if definition.is_some_and(|definition| definition.is_required) => {
                return Err(EvalReason::Required);
            }
            (Some(Default::Text(text)), _) => {
                self.expand(text, section, Some((section, keyword)))?
            }
            (Some(Default::No), _) => Value::Bool(false),
            (Some(Default::LocalNode), _) => {
                let nodes = vec![self.ctx.node.nodename.to_string()];
                return Ok(Evaluated { value: Value::List(nodes), is_set: false });
            }
            (Some(Default::Unset) | None, _) => {
                let value = converter.convert(Value::Null).unwrap_or_default();
                return Ok(Evaluated { value, is_set: false });
            }
        };
        Ok(Evaluated { value: self.convert(converter, value)?, is_set: false })
    }

    fn convert(&mut self, converter: Converter, value: Value) -> Result<Value, EvalReason> {
        let shown = value.to_string();
        self.unconverted.clone_from(&shown);
        if converter == Converter::Nodes {
            let selector = self.ctx.node_selector();
            return Ok(Value::List(match value {
                Value::Null => selector.expand("*"),
                _ => selector.expand(&shown),
            }));
        }
        converter.convert(value).map_err(|expected| EvalReason::Value {
            value: shown.into(),
            expected: expected.into(),
        })
    }

    /// The raw text of a keyword, in its section or where it is inherited from.
    fn find(
        &mut self,
        section: &str,
        keyword: &str,
        definition: Option<&Keyword>,
        force_scope: bool,
    ) -> Option<&'a str> {
        let (inheritance, is_scopable, head_name) = match definition {
            Some(definition) => (
                definition.inheritance,
                definition.is_scopable || force_scope,
                definition.default_keyword.unwrap_or(keyword),
            ),
            None => (Inheritance::Leaf, true, keyword),
        };
        let driver = self.doc.driver(section);
        let in_section = |this: &mut Self, section: &str, name: &str| {
            this.scoped(section, name, is_scopable).or_else(|| {
                // As deployed agents read it, under its older names.
                keywords::older_names(section, driver, name)
                    .find_map(|old| this.scoped(section, old, is_scopable))
            })
        };
        let in_head = |this: &mut Self| {
            in_section(this, "DEFAULT", head_name).or_else(|| {
                let old = keywords::deprecated(head_name)?;
                in_section(this, "DEFAULT", old)
            })
        };
        match inheritance {
            _ if section == "DEFAULT" => in_section(self, section, keyword).or_else(|| {
                let old = keywords::deprecated(keyword)?;
                in_section(self, section, old)
            }),
            Inheritance::Leaf => in_section(self, section, keyword),
            Inheritance::Head => in_head(self),
            Inheritance::LeafThenHead if matches!(self.doc, Doc::Node(_)) => {
                in_section(self, section, keyword)
            }
            Inheritance::LeafThenHead => {
                in_section(self, section, keyword).or_else(|| in_head(self))
            }
        }
    }

    /// The first option of a section among the scopes of a keyword that hold for the node, then without scope.
    fn scoped(&mut self, section: &str, keyword: &str, is_scopable: bool) -> Option<&'a str> {
        let doc = self.doc;
        if is_scopable {
            if let Some(raw) = doc.of_node(section, keyword, self.ctx.evaluated_node()) {
                return Some(raw);
            }
            let groups: &[&str] = match doc {
                Doc::Object(_) => {
                    &["nodes", "drpnodes", "encapnodes", "flex_primary", "drp_flex_primary"]
                }
                Doc::Node(_) => &["nodes", "drpnodes"],
            };
            for group in groups {
                if *group == keyword {
                    continue;
                }
                if let Some(raw) = doc.get(section, &format!("{keyword}@{group}"))
                    && self.is_in_group(group)
                {
                    return Some(raw);
                }
            }
        }
        doc.get(section, keyword)
    }

    /// Whether the node belongs to a scope group; false for a group that is defined by itself.
    fn is_in_group(&mut self, group: &str) -> bool {
        let node = self.ctx.evaluated_node().clone();
        self.group(group).iter().any(|member| member.eq_ignore_ascii_case(node.as_str()))
    }

    fn group(&mut self, group: &str) -> Vec<String> {
        let section = match self.doc {
            Doc::Object(conf) if conf.path().kind() != Kind::Ccfg => "DEFAULT",
            Doc::Object(_) | Doc::Node(_) => {
                let conf = &self.ctx.node;
                let conf = if let Doc::Node(node) = self.doc { node } else { conf };
                let nodes = match group {
                    "nodes" => conf.cluster_nodes(),
                    "drpnodes" => conf.cluster_drpnodes(),
                    // The others are groups of an object.
                    _ => &[],
                };
                return nodes.iter().map(|node| node.as_str().to_owned()).collect();
            }
        };
        let mut members = self.nested_words(section, group);
        match group {
            "drpnodes" => {
                let first = self.nested_words(section, "drpnode");
                members.extend(first);
            }
            "flex_primary" if members.is_empty() => {
                members = self.group("nodes").into_iter().take(1).collect();
            }
            "drp_flex_primary" if members.is_empty() => {
                members = self.group("drpnodes").into_iter().take(1).collect();
            }
            _ => {}
        }
        members
    }

    /// Words of a keyword needed by the one evaluated; none in a cycle or when it fails.
    fn nested_words(&mut self, section: &str, keyword: &str) -> Vec<String> {
        let place = (section.to_owned(), keyword.to_owned());
        if self.open.contains(&place) || self.open.len() >= MAX_DEPTH {
            return vec![];
        }
        self.open.push(place);
        let words = self.try_eval(section, keyword, false).map(|found| found.value.words());
        self.open.pop();
        words.unwrap_or_default()
    }

    /// Replaces references, then the expression.
    fn expand(
        &mut self,
        text: &str,
        section: &str,
        place: Option<(&str, &str)>,
    ) -> Result<Value, EvalReason> {
        let is_plain = !text.contains('{') && !text.contains("$(");
        if is_plain {
            return Ok(Value::Text(text.to_owned()));
        }
        if let Some((section, keyword)) = place {
            self.open.push((section.to_owned(), keyword.to_owned()));
        }
        let replaced = self.replace_references(text, section);
        if place.is_some() {
            self.open.pop();
        }
        let Some(text) = replaced? else { return Ok(Value::Null) };
        let bounds = text
            .find("$(")
            .and_then(|start| text[start..].rfind(')').map(|end| (start, start + end)));
        let Some((start, end)) = bounds else { return Ok(Value::Text(text)) };
        let value = crate::expr::evaluate(&text[start + 2..end])
            .map_err(|reason| EvalReason::Expression(reason.into()))?;
        if start == 0 && end + 1 == text.len() {
            return Ok(value);
        }
        Ok(Value::Text(format!("{}{value}{}", &text[..start], &text[end + 1..])))
    }
}

/// Defaults of the internal synchronization of an object's own configuration, which needs no section.
fn internal_sync(keyword: &str) -> Option<&'static str> {
    match keyword {
        "schedule" => Some("@60m"),
        "sync_max_delay" => Some("61m"),
        "target" => Some("nodes drpnodes"),
        "src" | "dst" => Some(""),
        _ => None,
    }
}

/// All sections with evaluated keywords, scopes resolved, comments gathered.
pub(crate) fn to_json(doc: Doc<'_>, ctx: &Context) -> Sections {
    let ini = doc.ini();
    let mut all = serde_json::Map::new();
    for name in ini.sections() {
        let mut section = serde_json::Map::new();
        for (written, raw) in ini.keywords(name) {
            let keyword = written.split_once('@').map_or(written, |(keyword, _)| keyword);
            if section.contains_key(keyword) {
                continue;
            }
            match Evaluation::new(doc, ctx).eval(name, keyword, true) {
                // Scopes of other nodes only: nothing is set here.
                Ok(found) if !found.is_set => {}
                Ok(found) => _ = section.insert(keyword.to_owned(), found.value.to_json()),
                Err(_) => {
                    let raw = ini.get(name, keyword).unwrap_or(raw);
                    section.insert(keyword.to_owned(), raw.into());
                }
            }
        }
        if let Some(comment) = ini.comment(name) {
            section.insert("comment".into(), comment.into());
        }
        all.insert(name.to_owned(), section.into());
    }
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{NodeName, ObjectPath};

    use super::*;
    use crate::node::NodeConf;
    use crate::object::ObjectConf;

    #[test]
    fn names_of_nodes_have_no_case_in_scopes_and_in_lists_of_nodes() {
        let text = "[DEFAULT]\nnodes = N1 n2\nflex_primary = N2\n[app#1]\n\
                    start@N1 = one\nstart@nodes = both\nstop@N9 = other\nstop@flex_primary = first\n";
        let conf = ObjectConf::parse(ObjectPath::parse("web").unwrap(), text).unwrap();
        let cluster = "[cluster]\nnodes = N1 N2\nname@N1 = Here\n[listener]\nport@N2 = 1300\n";
        for (local, start, stop, port) in
            [("n1", "one", None, None), ("N2", "both", Some("first"), Some("1300"))]
        {
            let node = NodeConf::parse(NodeName::new(local).unwrap(), cluster, "").unwrap();
            let ctx = Context::new(Arc::new(node));
            let get = |keyword: &str| {
                let found = conf.eval_keyword(&ctx, keyword).ok()?;
                Some(found.to_string()).filter(|text| !text.is_empty())
            };
            assert_eq!(get("app#1.start").as_deref(), Some(start), "{local}");
            assert_eq!(
                get("app#1.stop").filter(|text| text != "False").as_deref(),
                stop,
                "{local}"
            );
            let nodes: Vec<String> = conf.scope(&ctx).iter().map(ToString::to_string).collect();
            assert_eq!(nodes, ["n1", "n2"]);
            let found = ctx.node.eval_keyword(&ctx, "listener.port").unwrap().to_string();
            assert_eq!(found == "1300", port.is_some(), "{local}: {found}");
            let name = if local == "n1" { "here" } else { "default" };
            assert_eq!(ctx.node.cluster_name(), name);
        }
    }
}
