//! The part of JSONPath that selectors use: names, quoted names, indexes, `*`, and `..name`.

use serde_json::Value;

/// Values that one query may yield: what a selector compares with.
const MAX_FOUND: usize = 10_000;

#[derive(Debug, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
    All,
    /// All depths from here.
    Deep,
}

/// Values at `query`, which has no leading `$.`; none for a query that is not understood.
pub(super) fn find<'v>(root: &'v Value, query: &str) -> Vec<&'v Value> {
    let Some(steps) = steps(query) else { return vec![] };
    let mut found = vec![root];
    for step in steps {
        let mut next = vec![];
        for value in found {
            match (&step, value) {
                (Step::Name(name), Value::Object(object)) => next.extend(object.get(name)),
                (Step::Index(index), Value::Array(items)) => next.extend(items.get(*index)),
                (Step::All, Value::Object(object)) => next.extend(object.values()),
                (Step::All, Value::Array(items)) => next.extend(items.iter()),
                (Step::Deep, value) => descend(value, &mut next),
                _ => {}
            }
            if next.len() > MAX_FOUND {
                next.truncate(MAX_FOUND);
                break;
            }
        }
        found = next;
    }
    found
}

/// A value and all below it.
fn descend<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        found.push(value);
        if found.len() > MAX_FOUND {
            return;
        }
        match value {
            Value::Object(object) => open.extend(object.values()),
            Value::Array(items) => open.extend(items.iter()),
            _ => {}
        }
    }
}

fn steps(query: &str) -> Option<Vec<Step>> {
    let mut steps = vec![];
    let mut rest = query;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            steps.push(Step::Deep);
            rest = after;
            continue;
        }
        let (step, after) = if let Some(inner) = rest.strip_prefix('[') {
            let (inner, after) = match inner.chars().next()? {
                quote @ ('\'' | '"') => {
                    let end = inner[1..].find(quote)? + 2;
                    (&inner[..end], inner[end..].strip_prefix(']')?)
                }
                _ => inner.split_once(']')?,
            };
            (bracketed(inner)?, after)
        } else if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
            let (name, after) = rest[1..].split_once(quote)?;
            (Step::Name(name.to_owned()), after)
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            (if name == "*" { Step::All } else { Step::Name(name.to_owned()) }, after)
        };
        steps.push(step);
        rest = match after.strip_prefix('.') {
            Some(after) if !after.is_empty() => after,
            Some(_) => return None,
            None => after,
        };
    }
    Some(steps)
}

fn bracketed(inner: &str) -> Option<Step> {
    let unquoted = ['\'', '"']
        .into_iter()
        .find_map(|quote| inner.strip_prefix(quote).and_then(|inner| inner.strip_suffix(quote)));
    match (unquoted, inner) {
        (Some(name), _) => Some(Step::Name(name.to_owned())),
        (None, "*") => Some(Step::All),
        (None, index) => index.parse().ok().map(Step::Index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_walks_names_indexes_and_depths() {
        let json = serde_json::json!({"a": {"b#1": [1, {"c": 2}], "x.y": 3}, "d": {"c": 4}});
        let find = |query| find(&json, query).into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(find("a.'b#1'[0]"), [1]);
        assert_eq!(find("a['x.y']"), [3]);
        assert_eq!(find("a.'b#1'[*].c"), [2]);
        assert_eq!(find("d.*"), [4]);
        let mut deep = find(".c");
        deep.sort_by_key(|value| value.as_i64());
        assert_eq!(deep, [2, 4]);
        for query in ["a.b", "a[", "a['", "d.c.", "'"] {
            assert!(find(query).is_empty(), "{query}");
        }
    }
}
