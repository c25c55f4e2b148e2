//! Selectors of objects.

use std::collections::BTreeSet;

use model::{Kind, ObjectPath};
use regex::RegexBuilder;

use super::{glob, path_query};
use crate::Value;

/// What an object selector looks at.
pub trait Objects {
    /// All objects the requester may see, sorted by path.
    fn paths(&self) -> Vec<ObjectPath>;

    /// Value of `section.keyword` of an object on this node, as `eval` yields it; none when it is not set.
    fn keyword(&self, path: &ObjectPath, section: &str, keyword: &str) -> Option<Value>;

    /// Sections of an object's configuration.
    fn sections(&self, path: &ObjectPath) -> Vec<String>;

    /// `{<aggregate keys>, "nodes": {<node>: {"status": <instance>, "config": ..}}}`, for conditions on live data;
    /// none when there is none.
    fn status(&self, path: &ObjectPath) -> Option<serde_json::Value>;
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

/// Expands an object selector: `svc*+!svc2,test/**,orchestrate=ha`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ObjectSelector<'a> {
    /// Restricts to one namespace, and is the one of relative names.
    pub namespace: Option<&'a str>,
    /// Restricts to one kind.
    pub kind: Option<Kind>,
}

/// Conditions of one selector: each costs a look at every object.
const MAX_ATOMS: usize = 1_000;

const OPERATORS: [&str; 8] = ["<=", ">=", "~=", "<", ">", "=", "~", ":"];

struct Condition<'a> {
    key: &'a str,
    operator: &'static str,
    value: &'a str,
    regex: Option<regex::Regex>,
}

impl ObjectSelector<'_> {
    /// Selected objects, in the order of the selector's parts, without duplicates.
    ///
    /// # Errors
    ///
    /// [`SelectorError`] for a regular expression that is none or too large, and for too many conditions.
    pub fn expand(
        &self,
        selector: &str,
        objects: &dyn Objects,
    ) -> Result<Vec<ObjectPath>, SelectorError> {
        if selector.split([',', '+']).count() > MAX_ATOMS {
            return Err(SelectorError(format!("more than {MAX_ATOMS} conditions")));
        }
        let all = objects.paths();
        let visible: Vec<&ObjectPath> = all.iter().filter(|path| self.is_visible(path)).collect();
        let mut seen = BTreeSet::new();
        let mut selected = vec![];
        for part in selector.split(',') {
            let mut paths: Option<Vec<&ObjectPath>> = None;
            for atom in part.split('+') {
                let matching = self.atom(atom.trim(), &all, &visible, objects)?;
                paths = Some(match paths {
                    None => matching,
                    Some(mut paths) => {
                        let matching: BTreeSet<&ObjectPath> = matching.into_iter().collect();
                        paths.retain(|path| matching.contains(path));
                        paths
                    }
                });
            }
            selected
                .extend(paths.unwrap_or_default().into_iter().filter(|path| seen.insert(*path)));
        }
        Ok(selected.into_iter().cloned().collect())
    }

    fn is_visible(&self, path: &ObjectPath) -> bool {
        let namespace = path.namespace().unwrap_or("root");
        self.namespace.is_none_or(|wanted| wanted == namespace)
            && self.kind.is_none_or(|kind| kind == path.kind())
    }

    fn atom<'p>(
        &self,
        atom: &str,
        all: &'p [ObjectPath],
        visible: &[&'p ObjectPath],
        objects: &dyn Objects,
    ) -> Result<Vec<&'p ObjectPath>, SelectorError> {
        let has_kind = |path: &&&ObjectPath| path.kind() == self.kind.unwrap_or(Kind::Svc);
        match atom {
            "" => return Ok(vec![]),
            "**" => return Ok(visible.to_vec()),
            "*" => return Ok(visible.iter().filter(has_kind).copied().collect()),
            _ => {}
        }
        if let Some(path) = all.iter().find(|path| path.as_str() == atom) {
            return Ok(vec![path]);
        }
        let (positive, is_negated) = match atom.strip_prefix('!') {
            Some(positive) => (positive, true),
            None => (atom, false),
        };
        let condition = condition(positive)?;
        let pattern = match condition {
            Some(_) => None,
            None => Some(self.pattern(positive)),
        };
        let matches = |path: &&&ObjectPath| {
            let is_match = match (&condition, &pattern) {
                (Some(condition), _) => holds(condition, path, objects),
                (None, Some(Some(pattern))) => glob(pattern, &path.long()),
                (None, _) => false,
            };
            is_match != is_negated
        };
        Ok(visible.iter().filter(matches).copied().collect())
    }

    /// The pattern on `<namespace>/<kind>/<name>` that a name stands for.
    fn pattern(&self, text: &str) -> Option<String> {
        let namespace = self.namespace.unwrap_or("root");
        let kind = self.kind.unwrap_or(Kind::Svc);
        let parts: Vec<&str> = text.split('/').collect();
        Some(match parts[..] {
            [name] => format!("{namespace}/{kind}/{name}"),
            ["**", name] => format!("*/*/{name}"),
            [namespace, "**"] => format!("{namespace}/*/*"),
            [namespace, ""] => format!("{namespace}/nscfg/namespace"),
            [kind, name] => format!("{namespace}/{kind}/{name}"),
            [namespace, kind, ""] => format!("{namespace}/{kind}/*"),
            [namespace, kind, name] => format!("{namespace}/{kind}/{name}"),
            _ => return None,
        })
    }
}

/// Reads `key<op>value`; none for a name.
fn condition(text: &str) -> Result<Option<Condition<'_>>, SelectorError> {
    let first = OPERATORS
        .into_iter()
        .filter_map(|operator| Some((text.find(operator)?, operator)))
        .min_by_key(|(at, operator)| (*at, std::cmp::Reverse(operator.len())));
    let Some((at, operator)) = first else { return Ok(None) };
    let (key, value) = (&text[..at], &text[at + operator.len()..]);
    let regex = match operator {
        "~" | "~=" => {
            let built =
                RegexBuilder::new(value).size_limit(1 << 18).dfa_size_limit(1 << 18).build();
            match (built, operator) {
                (Ok(regex), _) => Some(regex),
                // A member of a list need not be an expression.
                (Err(_), "~=") => None,
                (Err(error), _) => {
                    let reason = error.to_string();
                    let reason = reason.lines().last().unwrap_or("not a regular expression");
                    return Err(SelectorError(format!("{value:?}: {reason}")));
                }
            }
        }
        _ => None,
    };
    Ok(Some(Condition { key, operator, value, regex }))
}

fn holds(condition: &Condition<'_>, path: &ObjectPath, objects: &dyn Objects) -> bool {
    let key = condition.key;
    if let Some(query) = key.strip_prefix("$.").or_else(|| key.strip_prefix('.')) {
        let status = objects.status(path);
        let found = status.as_ref().map(|status| path_query::find(status, query));
        return found.into_iter().flatten().any(|value| compare(condition, &from_json(value)));
    }
    let (section, keyword) = crate::split_keyword(key);
    let is_section = condition.operator == ":" && condition.value.is_empty() && !key.contains('.');
    if let Some(value) = objects.keyword(path, section, keyword) {
        return compare(condition, &value);
    }
    let (group, keyword) = match key.split_once('.') {
        Some((group, keyword)) => (group, Some(keyword)),
        None => (key, None),
    };
    let sections = objects.sections(path);
    let mut members =
        sections.iter().filter(|section| section.split_once('#').is_some_and(|(g, _)| g == group));
    match keyword {
        None => is_section && members.next().is_some(),
        Some(keyword) => members.any(|section| {
            objects.keyword(path, section, keyword).is_some_and(|value| compare(condition, &value))
        }),
    }
}

fn compare(condition: &Condition<'_>, value: &Value) -> bool {
    let wanted = condition.value;
    let matches = |text: &str| condition.regex.as_ref().is_some_and(|regex| regex.is_match(text));
    let members = || match value {
        Value::List(members) => Some(members.clone()),
        Value::Set(members) => Some(members.iter().cloned().collect()),
        Value::Json(serde_json::Value::Array(members)) => {
            Some(members.iter().map(|member| from_json(member).to_string()).collect())
        }
        _ => None,
    };
    match condition.operator {
        ":" => wanted.is_empty() && !value.is_null(),
        "=" => match value {
            Value::Text(text) => text == wanted,
            Value::Bool(value) => {
                wanted.eq_ignore_ascii_case(if *value { "true" } else { "false" })
            }
            _ => false,
        },
        "~" => match members() {
            Some(members) => members.iter().any(|member| matches(member)),
            None => !value.is_null() && matches(&value.to_string()),
        },
        "~=" => match members() {
            Some(members) => members.iter().any(|member| member == wanted),
            None => !value.is_null() && matches(&value.to_string()),
        },
        operator => {
            let number = match value {
                Value::Text(text) => text.trim().parse().ok(),
                other => other.as_number(),
            };
            let (Some(number), Ok(wanted)) = (number, wanted.trim().parse::<f64>()) else {
                return false;
            };
            match operator {
                "<" => number < wanted,
                "<=" => number <= wanted,
                ">" => number > wanted,
                _ => number >= wanted,
            }
        }
    }
}

fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Integer(number),
            (None, Some(number)) => Value::Float(number),
            (None, None) => Value::Null,
        },
        other => Value::Json(other.clone()),
    }
}
