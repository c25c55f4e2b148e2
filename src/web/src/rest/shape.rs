//! The answer of a request, in the shape of its path.

use serde_json::{Map, Value, json};

use crate::rest::lists::{self, Page};
use crate::rest::table::Shape;
use crate::status::reason;

/// What an answer carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Nothing.
    None,
    /// JSON.
    Json(Value),
    /// What went wrong, as JSON.
    Problem(Value),
    /// A text.
    Text(String),
    /// A text of any type.
    Octets(String),
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Shaped {
    /// Of HTTP.
    pub status: u16,
    /// What it carries.
    pub content: Content,
}

/// What went wrong, as RFC 9457 writes it.
#[must_use]
pub fn problem(status: u16, detail: &str) -> Shaped {
    let problem =
        json!({"type": "about:blank", "title": reason(status), "status": status, "detail": detail});
    Shaped { status, content: Content::Problem(problem) }
}

/// The problem that a reply tells, if it does.
fn problem_of(reply: &Value, node: Option<&str>) -> Option<Shaped> {
    let status = wire::reply::status_of(reply);
    let error = reply.get("error").filter(|error| !error.is_null());
    if status == 0 || error.is_none() && reply.get("data").is_some() {
        return None;
    }
    let texts: Vec<String> = match error {
        Some(Value::Array(errors)) => errors
            .iter()
            .map(|error| error.as_str().map_or_else(|| error.to_string(), str::to_owned))
            .collect(),
        Some(Value::String(error)) => vec![error.clone()],
        Some(other) => vec![other.to_string()],
        None => vec![],
    };
    // Deployed agents tell an unknown object by its name alone.
    let name = |text: &String| Some(text.strip_prefix('\'')?.strip_suffix('\'')?.to_owned());
    if let Some(name) = texts.first().filter(|_| texts.len() == 1).and_then(name) {
        return Some(problem(404, &format!("{name} not found")));
    }
    // Who could not be asked tells whether to try again.
    let is_unreachable = reply.get("retryable").is_some();
    let status = match status {
        _ if is_unreachable => 502,
        1 | 2 => 409,
        3 => 404,
        status => {
            u16::try_from(status).ok().filter(|status| (400..600).contains(status)).unwrap_or(500)
        }
    };
    let mut shaped = problem(status, &texts.join("\n"));
    if let Content::Problem(problem) = &mut shaped.content {
        if texts.len() > 1 {
            problem["errors"] = json!(texts);
        }
        if let Some(node) = node.filter(|_| is_unreachable) {
            problem["node"] = node.into();
        }
    }
    Some(shaped)
}

/// The problem that a command tells which was run to its end, if it failed.
fn command_failure(reply: &Value) -> Option<Shaped> {
    let data = reply.get("data")?;
    let code = data.get("ret")?.as_i64().filter(|code| *code != 0)?;
    let said = |name: &str| data.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty());
    let told = said("err").or(said("out"));
    let detail = told.map_or_else(|| format!("the command ended with {code}"), str::to_owned);
    Some(problem(400, &detail))
}

/// Without what is around it.
fn data_of(mut reply: Value) -> Value {
    let is_wrapped =
        reply.get("status").is_some_and(Value::is_number) && reply.get("data").is_some();
    if is_wrapped { reply["data"].take() } else { reply }
}

fn only(keys: &[&str], from: &Value) -> Value {
    let mut kept = Map::new();
    for key in keys {
        if let Some(value) = from.get(*key) {
            kept.insert((*key).to_owned(), value.clone());
        }
    }
    kept.into()
}

/// The entries of all nodes, in order of time. What a node answered that is none is passed over: others may have answered.
fn merged(reply: &Value) -> Value {
    let parts = reply["nodes"].as_object().into_iter().flatten();
    let of = |part: &Value| part.get("data").unwrap_or(part).as_array().cloned();
    let mut all: Vec<Value> = parts.filter_map(|(_, part)| of(part)).flatten().collect();
    let time = |entry: &Value| entry["t"].as_f64().unwrap_or_default();
    all.sort_by(|a, b| time(a).total_cmp(&time(b)));
    all.into()
}

/// The answer of a request, in its shape. `node` is the one that the path names, other than the one that is asked; `object` the
/// one that it names; `page` what a list is asked for.
pub(super) fn shaped(
    shape: Shape,
    node: Option<&str>,
    object: &str,
    reply: Value,
    page: &Page,
) -> Shaped {
    let mut reply = reply;
    if shape == Shape::Merged {
        return Shaped { status: 200, content: Content::Json(merged(&reply)) };
    }
    // A path names one node at most: its part is the answer.
    if node.is_some() && reply.get("nodes").is_some() {
        let parts = reply["nodes"].take();
        let part = parts.as_object().and_then(|parts| parts.values().next()).cloned();
        reply = match part {
            Some(part) => part,
            None => return problem(404, "no such node"),
        };
    }
    if let Some(problem) = problem_of(&reply, node) {
        return problem;
    }
    let json = |status, value| Shaped { status, content: Content::Json(value) };
    let text = |reply: Value| match data_of(reply) {
        Value::String(text) => text,
        other => other.to_string(),
    };
    match shape {
        Shape::Data | Shape::Stream | Shape::Merged => json(200, data_of(reply)),
        Shape::Text => Shaped { status: 200, content: Content::Text(text(reply)) },
        Shape::Octets => Shaped { status: 200, content: Content::Octets(text(reply)) },
        Shape::Done => {
            command_failure(&reply).unwrap_or(Shaped { status: 204, content: Content::None })
        }
        Shape::Target => {
            let mut told = only(&["info"], &reply);
            told["global_expect"] = reply["data"]["global_expect"].clone();
            json(202, told)
        }
        Shape::Session => json(202, only(&["session_id"], &reply["data"])),
        Shape::Whoami if reply["auth"].is_null() => problem(401, "Not Authorized"),
        Shape::Whoami => json(200, reply),
        Shape::List(kind) => match lists::list(kind, &reply, page) {
            Ok(list) => json(200, list),
            Err(error) => problem(400, &error),
        },
        Shape::Instance => match lists::instance(&reply, node, object) {
            Some(item) => json(200, item),
            None => problem(404, "no such instance"),
        },
    }
}
