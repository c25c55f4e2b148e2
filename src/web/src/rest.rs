//! The paths under `/api`: which request each is, and the shape of its answer. Nothing is decided here: options, roles and work
//! are those of the request.

mod counters;
mod lists;
mod openapi;
mod shape;
mod table;

use serde_json::{Map, Value, json};
use wire::{NodeSpec, Request, Route};

use crate::deployed::Bad;
use crate::query;
use crate::rest::table::{LOG_WORDS, is_log};

pub use lists::Page;
pub use openapi::document;
pub use shape::{Content, Shaped, problem};
pub use table::{ENTRIES, Entry, Shape, WITHOUT};

/// An entry that was asked for, with what its path says.
#[derive(Debug, Clone)]
pub struct Found {
    /// The entry.
    pub entry: &'static Entry,
    /// The node that is named; none for the one that was asked.
    pub node: Option<String>,
    variables: Vec<(&'static str, String)>,
    /// The entry whose target is only to be explained.
    dry_of: Option<&'static Entry>,
    /// Whether what counts, and so changes always, is left out.
    is_steady: bool,
}

/// What explains a target.
static DRY: Entry = Entry {
    method: "POST",
    path: "",
    request: ("GET", "object_explain"),
    query: &[],
    fixed: &[],
    body: None,
    shape: Shape::Data,
};

/// What follows the log of an object.
static FOLLOW_OBJECT: Entry =
    Entry { request: ("GET", "object_logs"), shape: Shape::Stream, ..FOLLOW };

/// What follows that of a node.
static FOLLOW_NODE: Entry = Entry { request: ("GET", "node_logs"), shape: Shape::Stream, ..FOLLOW };

const FOLLOW: Entry = Entry {
    method: "GET",
    path: "",
    request: ("GET", "node_logs"),
    query: &[],
    fixed: &[],
    body: None,
    shape: Shape::Stream,
};

/// Why a path is no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFound {
    /// There is none.
    Path,
    /// Not with this method, but with these.
    Method(Vec<&'static str>),
}

/// The entry of a method and a path without query.
///
/// # Errors
///
/// [`NotFound`].
pub fn find(method: &str, path: &str) -> Result<Found, NotFound> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let mut others = vec![];
    for entry in ENTRIES {
        let Some(variables) = matched(entry.path, &parts) else { continue };
        if entry.method == method {
            let of = |name: &str| variables.iter().find(|(own, _)| *own == name);
            let node = of("nodename").map(|(_, node)| node.clone());
            let node = node.filter(|node| !matches!(node.as_str(), "localhost" | "_"));
            return Ok(Found { entry, node, variables, dry_of: None, is_steady: false });
        }
        others.push(entry.method);
    }
    others.sort_unstable();
    others.dedup();
    Err(if others.is_empty() { NotFound::Path } else { NotFound::Method(others) })
}

/// The variables of a pattern in a path, decoded; the last one may have slashes.
fn matched(pattern: &'static str, parts: &[&str]) -> Option<Vec<(&'static str, String)>> {
    let wanted: Vec<&'static str> = pattern.trim_matches('/').split('/').collect();
    let is_open = wanted.last().is_some_and(|last| last.ends_with("...}"));
    if wanted.len() != parts.len() && !(is_open && parts.len() > wanted.len()) {
        return None;
    }
    let mut variables = vec![];
    for (at, want) in wanted.iter().enumerate() {
        let found = if is_open && at + 1 == wanted.len() {
            parts[at..].join("/")
        } else {
            parts[at].to_owned()
        };
        match want.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => {
                let value = query::decode(&found, false).ok().filter(|value| !value.is_empty())?;
                variables.push((name.trim_end_matches("..."), value));
            }
            None if *want == found => {}
            None => return None,
        }
    }
    Some(variables)
}

impl Entry {
    /// The row of its request.
    ///
    /// # Panics
    ///
    /// Where the table names a request that there is not: a test walks it.
    #[must_use]
    pub fn route(&self) -> &'static Route {
        let (method, name) = self.request;
        let found =
            wire::routes_named(name).find(|route| route.method == method && route.names[0] == name);
        found.expect("the table names requests that there are")
    }
}

impl Found {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    /// Turns a target that is only to be explained (`dry_run=true`) into the question what it would do.
    pub fn dry(&mut self, query: Option<&str>) {
        let is_target =
            self.entry.request == ("POST", "object_monitor") && self.entry.shape == Shape::Target;
        let pairs = query.and_then(|text| query::pairs(text).ok()).unwrap_or_default();
        let is_asked = pairs.iter().any(|(key, value)| key == "dry_run" && value == "true");
        if is_target && is_asked {
            self.dry_of = Some(self.entry);
            self.entry = &DRY;
        }
    }

    /// Reads what of a query says how it is answered: `dry_run=true` for a target, `follow=true` for a log, and
    /// `counters=false` for the cluster data.
    pub fn refine(&mut self, query: Option<&str>) {
        self.dry(query);
        let pairs = query.and_then(|text| query::pairs(text).ok()).unwrap_or_default();
        let says =
            |word: &str, what: &str| pairs.iter().any(|(key, value)| key == word && value == what);
        if says("follow", "true") {
            match self.entry.request {
                ("GET", "object_backlogs") => self.follow_of(&FOLLOW_OBJECT),
                ("GET", "node_backlogs") => self.follow_of(&FOLLOW_NODE),
                _ => {}
            }
        }
        self.is_steady =
            self.entry.request == ("GET", "daemon_status") && says("counters", "false");
    }

    /// A log of all nodes is that of all nodes as a stream too.
    fn follow_of(&mut self, entry: &'static Entry) {
        if self.entry.shape == Shape::Merged {
            self.node = Some("*".to_owned());
        }
        self.entry = entry;
    }

    /// The object that the path names.
    fn object(&self) -> Option<String> {
        let (namespace, kind) = (self.variable("namespace")?, self.variable("kind")?);
        let name = self.variable("name")?;
        Some(match (namespace, kind) {
            ("root", "svc") => name.to_owned(),
            ("root", "ccfg") if name == "cluster" => name.to_owned(),
            ("root", kind) => format!("{kind}/{name}"),
            (namespace, kind) => format!("{namespace}/{kind}/{name}"),
        })
    }

    /// The request that it is, with a query and a body.
    ///
    /// # Errors
    ///
    /// [`Bad`].
    pub fn request(&self, query: Option<&str>, body: &[u8], budget: usize) -> Result<Request, Bad> {
        let mut asked = Map::new();
        let laid = query.map_or(Ok(()), |text| query::overlay(&mut asked, text));
        laid.map_err(|error| Bad::new(&error.to_string()))?;
        let mut options = self.body_options(body, budget)?;
        let route = self.entry.route();
        for (word, value) in &asked {
            let renamed = self.entry.query.iter().find(|(own, _)| own == word).map(|(_, to)| *to);
            let option = renamed.unwrap_or(word);
            if route.options.iter().any(|known| known.name == option) {
                options.insert(option.to_owned(), value.clone());
            }
        }
        for (name, value) in &self.variables {
            let is_option = route.options.iter().any(|known| known.name == *name);
            if is_option && !matches!(*name, "namespace" | "kind" | "name") {
                options.insert((*name).to_owned(), value.as_str().into());
            }
        }
        if let Some(object) = self.object() {
            options.insert("path".to_owned(), object.into());
        }
        let entry = self.dry_of.unwrap_or(self.entry);
        for (option, value) in entry.fixed {
            options.insert(
                (*option).to_owned(),
                serde_json::from_str(value).unwrap_or_else(|_| (*value).into()),
            );
        }
        self.special(&asked, &mut options)?;
        let all = || NodeSpec::Selector("*".to_owned());
        let node = match &self.node {
            _ if self.entry.shape == Shape::Merged => Some(all()),
            Some(node) if node == "*" => Some(all()),
            Some(node) => Some(NodeSpec::Names(vec![node.clone()])),
            None => None,
        };
        Ok(Request { node, ..Request::of_route(route, options)? })
    }

    /// The answer of its request, in its shape. `page` is what a list is asked for.
    #[must_use]
    pub fn shaped(&self, reply: Value, page: &Page) -> Shaped {
        let object = self.object().unwrap_or_default();
        let reply = if self.is_steady { counters::without(reply) } else { reply };
        shape::shaped(self.entry.shape, self.node.as_deref(), &object, reply, page)
    }

    /// The options that the body holds: as it is where the entry takes text, an object otherwise.
    fn body_options(&self, body: &[u8], budget: usize) -> Result<Map<String, Value>, Bad> {
        if let Some(option) = self.entry.body {
            let text = std::str::from_utf8(body).map_err(|_| Bad::new("the body is not UTF-8"))?;
            return Ok([(option.to_owned(), text.into())].into_iter().collect());
        }
        if body.is_empty() {
            return Ok(Map::new());
        }
        match wire::parse_within(body, budget) {
            Ok(Value::Object(options)) => Ok(options),
            Ok(_) => Err(Bad::new("the body is not a JSON object")),
            Err(error) if error.is_too_heavy() => Err(Bad::of(413, &error.to_string())),
            Err(_) => Err(Bad::new("the body is not JSON")),
        }
    }

    /// What no row says: actions whose options are the query, names that are spelled in another way.
    fn special(
        &self,
        asked: &Map<String, Value>,
        options: &mut Map<String, Value>,
    ) -> Result<(), Bad> {
        match self.entry.request {
            ("POST", "object_action") if self.entry.method == "PATCH" => {
                let (action, edit) = patch(asked, true)?;
                options.insert("action".to_owned(), action.into());
                options.insert("options".to_owned(), edit);
            }
            ("POST", "node_action") if self.entry.method == "PATCH" => {
                let (action, edit) = patch(asked, false)?;
                options.insert("action".to_owned(), action.into());
                options.insert("options".to_owned(), edit);
            }
            ("POST", "object_action") => {
                options.insert("options".to_owned(), asked.clone().into());
            }
            ("POST", "node_action") => {
                let action = self.variable("action").unwrap_or_default();
                let action =
                    if action == "unfreeze" { "thaw".to_owned() } else { action.replace('/', "") };
                options.insert("action".to_owned(), action.into());
                options.insert("options".to_owned(), asked.clone().into());
            }
            _ if self.dry_of.unwrap_or(self.entry).path.ends_with("/action/switch") => {
                let to = match options
                    .remove("destination")
                    .or_else(|| asked.get("destination").cloned())
                {
                    Some(Value::Array(nodes)) => {
                        nodes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
                    }
                    Some(Value::String(nodes)) => nodes,
                    _ => String::new(),
                };
                let target =
                    if to.is_empty() { "placed".to_owned() } else { format!("placed@{to}") };
                options.insert("global_expect".to_owned(), target.into());
            }
            request if is_log(request) => {
                let only = only(asked)?;
                // All that is there, unless it is said how much.
                if only.contains_key("lines") {
                    options.entry("backlog").or_insert((-1).into());
                }
                if !only.is_empty() {
                    options.insert("only".to_owned(), only.into());
                }
            }
            ("GET", "keywords") => {
                if let Some(kind) = self.variable("kind") {
                    options.insert("kind".to_owned(), kind.into());
                }
            }
            ("GET", "schedules") => {
                if let Some(object) = self.object() {
                    options.insert("selector".to_owned(), object.into());
                }
            }
            ("POST", "lock" | "unlock") => {
                if let Some(name) = self.variable("lock") {
                    options.insert("name".to_owned(), name.into());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The action that changes a configuration as a query wants it, and its options. What is set and what is unset is one write;
/// sections are deleted apart, where there are any, because what they run is stopped first.
fn patch(asked: &Map<String, Value>, has_sections: bool) -> Result<(&'static str, Value), Bad> {
    let texts = |word: &str| {
        asked.get(word).map(|value| match value {
            Value::Array(_) => value.clone(),
            value => json!([value]),
        })
    };
    match (texts("set"), texts("unset"), texts("delete").filter(|_| has_sections)) {
        (None, None, Some(sections)) => Ok(("delete", json!({"rid": sections}))),
        (Some(set), None, None) => Ok(("set", json!({"kw": set}))),
        (None, Some(unset), None) => Ok(("unset", json!({"kw": unset}))),
        (Some(set), Some(unset), None) => Ok(("set", json!({"kw": set, "unset": unset}))),
        (None, None, None) if has_sections => Err(Bad::new("set, unset or delete is to be given")),
        (None, None, None) => Err(Bad::new("set or unset is to be given")),
        (_, _, Some(_)) => Err(Bad::new(
            "delete is to be given alone: what the sections run is stopped before they go",
        )),
    }
}

/// Which entries of a log a query wants, as its requests have it.
fn only(asked: &Map<String, Value>) -> Result<Map<String, Value>, Bad> {
    let mut only = Map::new();
    for (word, kind, _) in LOG_WORDS {
        let Some(value) = asked.get(*word) else { continue };
        let number = || serde_json::from_str(value.as_str()?).ok();
        let read = match *kind {
            "integer" => number().filter(Value::is_u64),
            "number" => number().filter(Value::is_number),
            _ => Some(value.clone()).filter(Value::is_string),
        };
        let read = read.ok_or_else(|| Bad::new(&format!("{word}: expected one {kind}")))?;
        only.insert((*word).to_owned(), read);
    }
    Ok(only)
}

#[cfg(test)]
mod tests;
