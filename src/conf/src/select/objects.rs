//! Selectors of objects.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use model::{Kind, ObjectPath};
use regex::RegexBuilder;

use crate::select::path_query;
use crate::select::work::{
    LONGEST_EXPRESSION, MAX_WORK, SelectorError, Work, check_size, glob_counted,
};
use crate::value::Value;

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

/// Expands an object selector: `svc*+!svc2,test/**,orchestrate=ha`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ObjectSelector<'a> {
    /// Restricts to one namespace, and is the one of relative names.
    pub namespace: Option<&'a str>,
    /// Restricts to one kind.
    pub kind: Option<Kind>,
}

/// Steps of a look at a keyword, at the state of an object, of making an expression, and of each byte it is held to.
const KEYWORD: u64 = 5_000;
const STATUS: u64 = 40_000;
const EXPRESSION: u64 = 2_000_000;
const EXPRESSION_SIGN: u64 = 50_000;
const EXPRESSION_BYTE: u64 = 100;

/// The objects of one expansion, each looked up and written out once.
struct Known<'p> {
    by_path: BTreeMap<&'p str, &'p ObjectPath>,
    visible: Vec<&'p ObjectPath>,
    long: OnceCell<Vec<Vec<char>>>,
    work: &'p Work,
}

impl<'p> Known<'p> {
    /// What patterns are held to, in the order of `visible`.
    fn long(&self) -> &[Vec<char>] {
        self.long
            .get_or_init(|| self.visible.iter().map(|path| path.long().chars().collect()).collect())
    }
}

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
        self.expand_within(&mut { MAX_WORK }, selector, objects)
    }

    /// The same, for so many steps of work, of which it takes what it needs.
    ///
    /// # Errors
    ///
    /// [`SelectorError`], also when that is not enough.
    pub fn expand_within(
        &self,
        steps: &mut u64,
        selector: &str,
        objects: &dyn Objects,
    ) -> Result<Vec<ObjectPath>, SelectorError> {
        check_size(selector)?;
        let work = Work::new(*steps);
        let expanded = self.expand_with(&work, selector, objects);
        *steps = work.left();
        expanded
    }

    fn expand_with(
        &self,
        work: &Work,
        selector: &str,
        objects: &dyn Objects,
    ) -> Result<Vec<ObjectPath>, SelectorError> {
        let all = objects.paths();
        let known = Known {
            by_path: all.iter().map(|path| (path.as_str(), path)).collect(),
            visible: all.iter().filter(|path| self.is_visible(path)).collect(),
            long: OnceCell::new(),
            work,
        };
        let mut seen = BTreeSet::new();
        let mut selected = vec![];
        for part in selector.split(',') {
            let mut paths: Option<Vec<&ObjectPath>> = None;
            for atom in part.split('+') {
                let matching = self.atom(atom.trim(), &known, objects)?;
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
        known: &Known<'p>,
        objects: &dyn Objects,
    ) -> Result<Vec<&'p ObjectPath>, SelectorError> {
        let (visible, work) = (&known.visible, known.work);
        // Who is selected is compared with who was.
        work.spend(visible.len() as u64 * 100)?;
        let has_kind = |path: &&&ObjectPath| path.kind() == self.kind.unwrap_or(Kind::Svc);
        match atom {
            "" => return Ok(vec![]),
            "**" => return Ok(visible.to_vec()),
            "*" => return Ok(visible.iter().filter(has_kind).copied().collect()),
            _ => {}
        }
        if let Some(path) = known.by_path.get(atom) {
            return Ok(vec![path]);
        }
        let (positive, is_negated) = match atom.strip_prefix('!') {
            Some(positive) => (positive, true),
            None => (atom, false),
        };
        let condition = condition(positive, work)?;
        let pattern: Option<Vec<char>> = match condition {
            Some(_) => None,
            None => self.pattern(positive).map(|pattern| pattern.chars().collect()),
        };
        let mut selected = vec![];
        for (at, path) in visible.iter().enumerate() {
            let is_match = match (&condition, &pattern) {
                (Some(condition), _) => holds(condition, path, objects, work)?,
                (None, Some(pattern)) => {
                    let mut steps = 0;
                    let is_match = glob_counted(pattern, &known.long()[at], &mut steps);
                    work.spend(steps * 4)?;
                    is_match
                }
                (None, None) => false,
            };
            if is_match != is_negated {
                selected.push(*path);
            }
        }
        Ok(selected)
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
fn condition<'a>(text: &'a str, work: &Work) -> Result<Option<Condition<'a>>, SelectorError> {
    let first = OPERATORS
        .into_iter()
        .filter_map(|operator| Some((text.find(operator)?, operator)))
        .min_by_key(|(at, operator)| (*at, std::cmp::Reverse(operator.len())));
    let Some((at, operator)) = first else { return Ok(None) };
    let (key, value) = (&text[..at], &text[at + operator.len()..]);
    let regex = match operator {
        "~" | "~=" => {
            // Before it is made: a sign may stand for a class of thousands.
            if value.len() > LONGEST_EXPRESSION {
                let reason = format!("an expression of more than {LONGEST_EXPRESSION} bytes");
                return Err(SelectorError(reason));
            }
            work.spend(EXPRESSION + value.len() as u64 * EXPRESSION_SIGN)?;
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

fn holds(
    condition: &Condition<'_>,
    path: &ObjectPath,
    objects: &dyn Objects,
    work: &Work,
) -> Result<bool, SelectorError> {
    let key = condition.key;
    let compare = |value: &Value| {
        if condition.regex.is_some() {
            work.spend((value.to_string().len() as u64 + 1) * EXPRESSION_BYTE)?;
        }
        Ok::<bool, SelectorError>(compare(condition, value))
    };
    if let Some(query) = key.strip_prefix("$.").or_else(|| key.strip_prefix('.')) {
        work.spend(STATUS)?;
        let Some(status) = objects.status(path) else { return Ok(false) };
        for value in path_query::find(&status, query) {
            work.spend(100)?;
            if compare(&from_json(value))? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    work.spend(KEYWORD)?;
    let (section, keyword) = crate::dotted::split_keyword(key);
    let is_section = condition.operator == ":" && condition.value.is_empty() && !key.contains('.');
    if let Some(value) = objects.keyword(path, section, keyword) {
        return compare(&value);
    }
    let (group, keyword) = match key.split_once('.') {
        Some((group, keyword)) => (group, Some(keyword)),
        None => (key, None),
    };
    let sections = objects.sections(path);
    let mut members =
        sections.iter().filter(|section| section.split_once('#').is_some_and(|(g, _)| g == group));
    let Some(keyword) = keyword else { return Ok(is_section && members.next().is_some()) };
    for section in members {
        work.spend(KEYWORD)?;
        if let Some(value) = objects.keyword(path, section, keyword)
            && compare(&value)?
        {
            return Ok(true);
        }
    }
    Ok(false)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Many objects, whose state is asked for without a cost of its own.
    struct Many(Vec<ObjectPath>);

    impl Objects for Many {
        fn paths(&self) -> Vec<ObjectPath> {
            self.0.clone()
        }

        fn keyword(&self, _: &ObjectPath, _: &str, _: &str) -> Option<Value> {
            None
        }

        fn sections(&self, _: &ObjectPath) -> Vec<String> {
            (0..50).map(|n| format!("fs#{n}")).collect()
        }

        fn status(&self, _: &ObjectPath) -> Option<serde_json::Value> {
            Some(serde_json::json!({"avail": "up"}))
        }
    }

    fn many() -> Many {
        let path = |n| ObjectPath::parse(&format!("svc{}{n:05}", "a".repeat(40))).unwrap();
        Many((0..10_000).map(path).collect())
    }

    #[test]
    fn what_takes_too_much_work_is_refused_and_what_people_type_is_not() {
        let many = many();
        let select = |selector: &str| ObjectSelector::default().expand(selector, &many);
        for usual in
            ["svc*", "*1+!*2,*/svc/*[13]", "orchestrate=ha", "$.avail=up", "a~b+c=d,.avail=up"]
        {
            assert!(select(usual).is_ok(), "{usual}");
        }
        let repeated = |atom: &str, count: usize| vec![atom; count].join(",");
        let unmatched = format!("*{}*b", "a".repeat(38));
        for worst in [
            repeated(&unmatched, 900),
            repeated("fs.x=1", 900),
            repeated("$.avail=down", 900),
            repeated("x~a{1,99}", 900),
            repeated(&"*a".repeat(30), 900),
            format!("*{}", "[".repeat(60_000)),
            "a".repeat(65 << 10),
            format!("x~{}", r"\w".repeat(30_000)),
        ] {
            let refused = select(&worst).unwrap_err();
            assert!(refused.0.contains("more"), "{worst:.40}: {refused}");
        }
    }
}
