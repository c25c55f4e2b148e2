//! The paths into cluster data that conditions and filters are written with: `monitor.services.'svc1'.avail`.
//!
//! A subset of JSONPath: members, quoted members, `*`, `[n]`, `[*]`, `['member']`, and `..member` at any depth.

use serde_json::Value;

/// Most steps of a path: more is a mistake, and would only cost time.
const MAX_STEPS: usize = 64;

/// Most values that a path may lead over: repeated steps to any depth meet the same ones again and again.
const MAX_VISITS: usize = 4_000_000;

/// Longest path.
const MAX_LENGTH: usize = 16 << 10;

/// One step from a value to values inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The member of that name; of an array, the element of that number.
    Member(String),
    /// The element of that number, from the end if negative.
    Index(i64),
    /// All members or elements.
    Any,
    /// The members of that name at any depth.
    Deep(String),
}

/// A path, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

impl JsonPath {
    /// Reads a path, with or without the leading `$.` or `.`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let error = |what: &str| Err(format!("invalid path {:?}: {what}", shorten(text)));
        if text.len() > MAX_LENGTH {
            return error("it is too long");
        }
        let mut rest = text.trim();
        rest = rest.strip_prefix('$').unwrap_or(rest);
        let mut steps = vec![];
        while !rest.is_empty() {
            if steps.len() == MAX_STEPS {
                return error("too many steps");
            }
            if let Some(after) = rest.strip_prefix('[') {
                let Some((inside, after)) = split_bracket(after) else {
                    return error("a bracket is not closed");
                };
                steps.push(match inside {
                    Inside::Quoted(name) => Step::Member(name),
                    Inside::Plain("*") => Step::Any,
                    Inside::Plain(number) => match number.parse() {
                        Ok(number) => Step::Index(number),
                        Err(_) => return error("brackets hold a number, * or a quoted name"),
                    },
                });
                rest = after;
                continue;
            }
            let is_deep = rest.starts_with("..");
            rest = rest.trim_start_matches('.');
            if rest.starts_with('[') {
                continue;
            }
            let (name, is_quoted, after) = match split_quoted(rest) {
                Some((name, after)) => (name, true, after),
                None if rest.starts_with(['\'', '"']) => return error("a quote is not closed"),
                None => {
                    let end = rest.find(['.', '[']).unwrap_or(rest.len());
                    (rest[..end].to_owned(), false, &rest[end..])
                }
            };
            // What is no name is most likely an expression of some other language, which would select nothing for ever.
            if !is_quoted && let Some(sign) = name.chars().find(|c| is_sign(*c)) {
                return error(&format!("{sign:?} is in no name: quote names that have it"));
            }
            rest = after;
            steps.push(match (name.as_str(), is_quoted, is_deep) {
                ("", false, _) => return error("a name is missing"),
                (_, _, true) => Step::Deep(name),
                ("*", false, false) => Step::Any,
                _ => Step::Member(name),
            });
        }
        if steps.is_empty() { error("it is empty") } else { Ok(Self { steps }) }
    }

    /// All values at the path.
    ///
    /// # Errors
    ///
    /// The path leads over more values than a path may.
    pub fn find<'a>(&self, data: &'a Value) -> Result<Vec<&'a Value>, String> {
        let mut found = vec![data];
        let mut left = MAX_VISITS;
        for step in &self.steps {
            let mut next = vec![];
            for value in found {
                step.follow(value, &mut next, &mut left)
                    .ok_or("the path leads over too many values: name what is meant")?;
            }
            found = next;
        }
        Ok(found)
    }

    /// Whether the path can reach one value only.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Member(_) | Step::Index(_)))
    }

    /// The name behind a member `services`, `services.status` or `services.config`: the only object the path can reach.
    #[must_use]
    pub fn object(&self) -> Option<&str> {
        let is = |step: &Step, word: &str| matches!(step, Step::Member(name) if name == word);
        let at = self.steps.iter().position(|step| is(step, "services"))?;
        let mut rest = &self.steps[at + 1..];
        if at != 1 {
            rest = rest.get(1..)?;
        }
        match rest.first()? {
            Step::Member(name) => Some(name),
            _ => None,
        }
    }
}

impl Step {
    /// None when no visits are left.
    fn follow<'a>(
        &self,
        value: &'a Value,
        found: &mut Vec<&'a Value>,
        left: &mut usize,
    ) -> Option<()> {
        let cost = match (self, value) {
            (Self::Any | Self::Deep(_), Value::Object(map)) => map.len() + 1,
            (Self::Any | Self::Deep(_), Value::Array(list)) => list.len() + 1,
            _ => 1,
        };
        *left = left.checked_sub(cost)?;
        match (self, value) {
            (Self::Member(name), Value::Object(map)) => found.extend(map.get(name)),
            (Self::Member(name), Value::Array(list)) => {
                found.extend(name.parse().ok().and_then(|index: usize| list.get(index)));
            }
            (Self::Index(index), Value::Array(list)) => {
                let len = i64::try_from(list.len()).unwrap_or(i64::MAX);
                let index = if *index < 0 { index + len } else { *index };
                found.extend(usize::try_from(index).ok().and_then(|index| list.get(index)));
            }
            (Self::Any, Value::Object(map)) => found.extend(map.values()),
            (Self::Any, Value::Array(list)) => found.extend(list),
            (Self::Deep(name), Value::Object(map)) => {
                found.extend(map.get(name));
                return map.values().try_for_each(|value| self.follow(value, found, left));
            }
            (Self::Deep(_), Value::Array(list)) => {
                return list.iter().try_for_each(|value| self.follow(value, found, left));
            }
            _ => {}
        }
        Some(())
    }
}

enum Inside<'a> {
    Quoted(String),
    Plain(&'a str),
}

/// Whether a character has to be quoted in a name.
fn is_sign(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "()[]{}<>=!~|&;,?$@^%\\\"'`".contains(c)
}

fn split_bracket(text: &str) -> Option<(Inside<'_>, &str)> {
    if let Some((name, after)) = split_quoted(text) {
        return Some((Inside::Quoted(name), after.strip_prefix(']')?));
    }
    let (inside, after) = text.split_once(']')?;
    Some((Inside::Plain(inside.trim()), after))
}

fn split_quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (name, after) = text[1..].split_once(quote)?;
    Some((name.to_owned(), after))
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn find(path: &str, data: &Value) -> Vec<Value> {
        JsonPath::parse(path).unwrap().find(data).unwrap().into_iter().cloned().collect()
    }

    #[test]
    fn a_path_reaches_members_elements_and_all_of_them() {
        let data = json!({"a": {"b.c": [1, 2, 3], "d": {"e": 4}}, "f": {"e": 5}});
        assert_eq!(find("a.'b.c'[0]", &data), [json!(1)]);
        assert_eq!(find("$.a['b.c'][-1]", &data), [json!(3)]);
        assert_eq!(find(".a.\"b.c\"[*]", &data), [json!(1), json!(2), json!(3)]);
        assert_eq!(find("a.'b.c'.1", &data), [json!(2)]);
        assert_eq!(find("*.e", &data), [json!(5)]);
        assert_eq!(find("$..e", &data), [json!(4), json!(5)]);
        assert_eq!(find("a.x.y", &data), Vec::<Value>::new());
        assert_eq!(find("a[0]", &data), Vec::<Value>::new());
    }

    #[test]
    fn a_path_that_meets_the_same_values_again_and_again_is_refused() {
        let deep = (0..60).fold(json!({}), |inner, _| json!({"a": inner}));
        let find = |steps: usize| {
            JsonPath::parse(&"..a".repeat(steps)).unwrap().find(&deep).map(|found| found.len())
        };
        assert_eq!(find(2), Ok(60 * 59 / 2));
        assert!(find(60).unwrap_err().contains("too many"));
    }

    #[test]
    fn a_broken_path_is_an_error() {
        for text in ["", "$", "a.'b", "a[", "a[x]", "a.[0]b..", &"a.".repeat(100), "a['b'"] {
            assert!(JsonPath::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_object_of_a_path_is_the_name_behind_services() {
        let object = |text: &str| JsonPath::parse(text).unwrap().object().map(str::to_owned);
        assert_eq!(object("monitor.services.'svc1'.avail"), Some("svc1".into()));
        assert_eq!(
            object("monitor.nodes.n1.services.status.'ns1/svc/a'.monitor.status"),
            Some("ns1/svc/a".into())
        );
        assert_eq!(object("monitor.services.*.avail"), None);
        assert_eq!(object("monitor.frozen"), None);
    }
}
