//! Edits as the command line asks for them (src/conf/README.md, Edits).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::Kind;

use crate::context::Context;
use crate::convert::Converter;
use crate::doc::Doc;
use crate::eval::Evaluation;
use crate::ini::Change;
use crate::ini::error::IniError;
use crate::keywords;
use crate::value::Value;

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// `set --kw [section.]keyword[@scope][[index]]<op>value`, `op` one of `=`, `+=`, `|=`, `-=`.
    Set(String),
    /// `set --param <p> --value <v>`.
    SetValue {
        /// `[section.]keyword[@scope]`.
        param: String,
        /// The value, as it is.
        value: String,
    },
    /// `set --param <p> --add <words> [--index <n>]`.
    Add {
        /// `[section.]keyword[@scope]`.
        param: String,
        /// Words inserted.
        value: String,
        /// Where; at the end when none.
        index: Option<i64>,
    },
    /// `set --param <p> --remove <words>`.
    Remove {
        /// `[section.]keyword[@scope]`.
        param: String,
        /// Words whose first occurrence goes.
        value: String,
    },
    /// `unset --kw [section.]keyword[@scope]`.
    Unset(String),
    /// `delete --rid <section>`, and `unset --section`.
    DeleteSection(String),
    /// `disable`: the object, or sections.
    Disable(Vec<String>),
    /// `enable`: the object, or sections.
    Enable(Vec<String>),
}

/// Why an edit was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// No operator in `set --kw`.
    NoOperator(Box<str>),
    /// The index is not an integer.
    Index(Box<str>),
    /// `=` replaces the whole value: it takes no index.
    IndexUse(Box<str>),
    /// No keyword.
    NoKeyword(Box<str>),
    /// Nothing reads the keyword of cluster.conf there: its section is to be named.
    Elsewhere(Box<str>),
    /// Nothing reads the keyword in DEFAULT of node.conf or cluster.conf: where it is read, if anywhere.
    Unread(Box<str>, Option<String>),
    /// It can not be written.
    Ini(IniError),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOperator(text) => write!(
                f,
                "malformed {text:?}, expected [<section>.]<keyword>[@<scope>][[<index>]]<op><value>, <op> one of = += |= -="
            ),
            Self::Index(text) => write!(f, "the index of {text:?} is not an integer"),
            Self::IndexUse(text) => write!(f, "{text:?}: an index needs += or |="),
            Self::NoKeyword(text) => write!(f, "{text:?} names no keyword"),
            Self::Elsewhere(keyword) => {
                write!(f, "the cluster does not read DEFAULT.{keyword}: cluster.{keyword} is meant")
            }
            Self::Unread(keyword, Some(meant)) => {
                write!(f, "nobody reads {keyword} without a section: did you mean {meant}?")
            }
            Self::Unread(keyword, None) => write!(
                f,
                "nobody reads {keyword} without a section: expected section.keyword, as node.env"
            ),
            Self::Ini(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EditError {}

impl From<IniError> for EditError {
    fn from(error: IniError) -> Self {
        Self::Ini(error)
    }
}

/// What to do with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Replace,
    Insert,
    InsertAbsent,
    Remove,
}

/// One keyword, what to do with it, with what.
struct Operation<'a> {
    target: &'a str,
    operator: Operator,
    value: &'a str,
    index: Option<i64>,
}

/// The changes that edits make, in order; later edits see earlier ones.
pub(crate) fn changes(
    doc: Doc<'_>,
    ctx: &Context,
    edits: &[Edit],
) -> Result<Vec<Change>, EditError> {
    let mut editor = Editor { doc, ctx, changes: vec![], values: BTreeMap::new() };
    for edit in edits {
        editor.edit(edit)?;
    }
    editor.drop_emptied(edits);
    Ok(editor.changes)
}

struct Editor<'a> {
    doc: Doc<'a>,
    ctx: &'a Context,
    changes: Vec<Change>,
    /// Values as the edits so far leave them; none when unset.
    values: BTreeMap<(String, String), Option<String>>,
}

impl Editor<'_> {
    fn edit(&mut self, edit: &Edit) -> Result<(), EditError> {
        match edit {
            Edit::Set(text) => self.operate(&parse(text)?),
            Edit::SetValue { param, value } => self.operate(&Operation {
                target: param,
                operator: Operator::Replace,
                value,
                index: None,
            }),
            Edit::Add { param, value, index } => self.operate(&Operation {
                target: param,
                operator: Operator::Insert,
                value,
                index: *index,
            }),
            Edit::Remove { param, value } => self.operate(&Operation {
                target: param,
                operator: Operator::Remove,
                value,
                index: None,
            }),
            Edit::Unset(target) => {
                let (sections, keyword) = self.targets(target)?;
                for section in sections {
                    self.unset(&section, keyword);
                }
                Ok(())
            }
            Edit::DeleteSection(section) => {
                self.values.retain(|(other, _), _| other != section);
                for (keyword, _) in self.doc.ini().keywords(section) {
                    self.values.insert((section.clone(), keyword.to_owned()), None);
                }
                self.changes.push(Change::RemoveSection(section.clone()));
                Ok(())
            }
            Edit::Disable(names) => {
                self.flag(names, true);
                Ok(())
            }
            Edit::Enable(names) => {
                self.flag(names, false);
                Ok(())
            }
        }
    }

    /// Sections that `[section.]keyword` means, and the keyword: a driver group means all its sections.
    fn targets<'t>(&self, target: &'t str) -> Result<(Vec<String>, &'t str), EditError> {
        let (section, keyword) = crate::dotted::split_keyword(target);
        if section.is_empty() || keyword.is_empty() || keyword.starts_with('@') {
            return Err(EditError::NoKeyword(target.into()));
        }
        Ok((self.expand(section), keyword))
    }

    fn expand(&self, section: &str) -> Vec<String> {
        let is_object = matches!(self.doc, Doc::Object(conf) if conf.path().kind().has_instances());
        if !is_object || !keywords::is_resource_group(section) {
            return vec![section.to_owned()];
        }
        let is_member =
            |name: &&str| name.split_once('#').is_some_and(|(group, _)| group == section);
        self.doc.ini().sections().filter(is_member).map(str::to_owned).collect()
    }

    fn operate(&mut self, operation: &Operation<'_>) -> Result<(), EditError> {
        let (sections, keyword) = self.targets(operation.target)?;
        for section in sections {
            if section == "DEFAULT"
                && matches!(self.doc, Doc::Object(conf) if conf.path().kind() == Kind::Ccfg)
                && keywords::meant_in_cluster(keyword)
            {
                return Err(EditError::Elsewhere(keyword.into()));
            }
            if section == "DEFAULT"
                && self.is_of_node()
                && let Some(meant) = keywords::unread_in_node_default(keyword)
            {
                return Err(EditError::Unread(keyword.into(), meant));
            }
            let value = match operation.operator {
                Operator::Replace => operation.value.to_owned(),
                _ => {
                    let before = self.words(&section, keyword);
                    let mut words = before.clone();
                    merge(&mut words, operation);
                    if words == before {
                        continue;
                    }
                    words.join(" ")
                }
            };
            self.set(&section, keyword, value);
        }
        Ok(())
    }

    /// Whether it is node.conf or cluster.conf: nothing of theirs is inherited from DEFAULT.
    fn is_of_node(&self) -> bool {
        match self.doc {
            Doc::Object(conf) => conf.path().kind() == Kind::Ccfg,
            Doc::Node(_) => true,
        }
    }

    /// Words of the current raw value, else of the default.
    fn words(&self, section: &str, keyword: &str) -> Vec<String> {
        let key = (section.to_owned(), keyword.to_owned());
        let raw = match self.values.get(&key) {
            Some(edited) => edited.clone(),
            None => self.doc.ini().get(section, keyword).map(str::to_owned),
        };
        match raw {
            Some(raw) => raw.split_whitespace().map(str::to_owned).collect(),
            None => {
                let name = keyword.split_once('@').map_or(keyword, |(name, _)| name);
                let found = Evaluation::new(self.doc, self.ctx).eval(section, name, false);
                match found {
                    Ok(found) if !found.is_set => found.value.words(),
                    _ => vec![],
                }
            }
        }
    }

    fn set(&mut self, section: &str, keyword: &str, value: String) {
        self.values.insert((section.into(), keyword.into()), Some(value.clone()));
        self.changes.push(Change::Set { section: section.into(), keyword: keyword.into(), value });
    }

    fn unset(&mut self, section: &str, keyword: &str) {
        self.values.insert((section.into(), keyword.into()), None);
        self.changes.push(Change::Unset { section: section.into(), keyword: keyword.into() });
    }

    /// Removes the sections that `unset` left without a keyword, where they mean nothing without one: else a heartbeat
    /// could not be removed keyword by keyword.
    fn drop_emptied(&mut self, edits: &[Edit]) {
        let is_needed = |section: &str| match self.doc {
            Doc::Object(conf) if conf.path().kind() != Kind::Ccfg => {
                section.contains('#') && keywords::needs_type(section)
            }
            _ => section != "DEFAULT",
        };
        let unset = edits.iter().filter_map(|edit| match edit {
            Edit::Unset(target) => self.targets(target).ok().map(|(sections, _)| sections),
            _ => None,
        });
        let sections: BTreeSet<String> = unset.flatten().filter(|name| is_needed(name)).collect();
        for section in sections {
            let ini = self.doc.ini();
            let is_left = |keyword: &str| {
                let edited = self.values.get(&(section.clone(), keyword.to_owned()));
                edited.is_none_or(|value| value.is_some())
            };
            let is_set = |(at, value): (&(String, String), &Option<String>)| {
                at.0 == section && value.is_some()
            };
            let is_emptied = ini.has_section(&section)
                && !ini.keywords(&section).any(|(keyword, _)| is_left(keyword))
                && !self.values.iter().any(is_set);
            if is_emptied {
                self.changes.push(Change::RemoveSection(section));
            }
        }
    }

    /// Sets or removes `disable`, and drops scoped values that say the opposite.
    fn flag(&mut self, names: &[String], is_disabled: bool) {
        let mut sections: Vec<String> = names.iter().flat_map(|name| self.expand(name)).collect();
        if names.is_empty() {
            sections.push("DEFAULT".into());
        }
        for section in sections {
            let scoped: Vec<String> = self
                .doc
                .ini()
                .keywords(&section)
                .filter(|(keyword, value)| {
                    let value = Converter::Boolean.convert(Value::Text((*value).to_owned()));
                    keyword.starts_with("disable@") && value != Ok(Value::Bool(is_disabled))
                })
                .map(|(keyword, _)| keyword.to_owned())
                .collect();
            for keyword in scoped {
                self.unset(&section, &keyword);
            }
            if is_disabled {
                self.set(&section, "disable", "true".into());
            } else {
                self.unset(&section, "disable");
            }
        }
    }
}

/// Applies a list operator to words.
fn merge(words: &mut Vec<String>, operation: &Operation<'_>) {
    let length = i64::try_from(words.len()).unwrap_or(i64::MAX);
    // As lists of the field do: negative counts from the end, beyond means at the end.
    let at = match operation.index {
        None => length,
        Some(index) if index < 0 => index.saturating_add(length).max(0),
        Some(index) => index.min(length),
    };
    let at = usize::try_from(at).unwrap_or(words.len());
    let given = operation.value.split_whitespace().map(str::to_owned);
    match operation.operator {
        Operator::Remove => {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for word in given {
                *counts.entry(word).or_default() += 1;
            }
            words.retain(|word| match counts.get_mut(word) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                _ => true,
            });
        }
        Operator::InsertAbsent => {
            let mut known: BTreeSet<String> = words.iter().cloned().collect();
            let absent: Vec<String> = given.filter(|word| known.insert(word.clone())).collect();
            words.splice(at..at, absent);
        }
        Operator::Insert | Operator::Replace => _ = words.splice(at..at, given),
    }
}

/// Reads `[section.]keyword[@scope][[index]]<op>value`.
fn parse(text: &str) -> Result<Operation<'_>, EditError> {
    let short = || text.chars().take(80).collect::<String>().into();
    let (left, value) = text.split_once('=').ok_or_else(|| EditError::NoOperator(short()))?;
    let (operator, left) = match left.as_bytes().last() {
        Some(b'+') => (Operator::Insert, &left[..left.len() - 1]),
        Some(b'|') => (Operator::InsertAbsent, &left[..left.len() - 1]),
        Some(b'-') => (Operator::Remove, &left[..left.len() - 1]),
        _ => (Operator::Replace, left),
    };
    let left = left.trim();
    let (target, index) = match left.strip_suffix(']').and_then(|left| left.rsplit_once('[')) {
        Some((target, index)) => {
            let index = index.trim().parse().map_err(|_| EditError::Index(short()))?;
            (target, Some(index))
        }
        None => (left, None),
    };
    if operator == Operator::Replace && index.is_some() {
        return Err(EditError::IndexUse(short()));
    }
    Ok(Operation { target, operator, value: value.trim(), index })
}

#[cfg(test)]
mod tests;
