//! OpenAPI 3.1, made from the tables each time it is asked for.

use serde_json::{Map, Value, json};
use wire::{Format, ROUTES, Route};

use crate::rest::table::{ENTRIES, Entry, LOG_WORDS, Shape, is_log};

/// The document, of this version of the program.
#[must_use]
pub fn document(version: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for entry in ENTRIES {
        let path = entry.path.replace("...}", "}");
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        operations[entry.method.to_ascii_lowercase()] = operation(entry);
    }
    for route in
        ROUTES.iter().filter(|route| !matches!(route.names[0], "join" | "leave" | "node_metrics"))
    {
        let operations = paths.entry(format!("/{}", route.names[0])).or_insert_with(|| json!({}));
        operations[route.method.to_ascii_lowercase()] = deployed(route);
    }
    paths.insert("/metrics".to_owned(), json!({"get": {
        "operationId": "metrics", "summary": "Shows the series of this node for a monitoring system.",
        "parameters": [{"name": "cgroup", "in": "query", "schema": {"type": "boolean"}}],
        "responses": {"200": metrics(), "default": {"description": "refused", "content": {"application/json": {}}}},
    }}));
    paths.insert("/api/openapi.json".to_owned(), json!({"get": {
        "operationId": "openapi", "summary": "Shows this document.", "security": [{}],
        "responses": {"200": {"description": "OpenAPI", "content": {"application/json": {"schema": {"type": "object"}}}}},
    }}));
    json!({
        "openapi": "3.1.0",
        "info": {"title": "om", "version": version, "description": "A node of a cluster."},
        "paths": paths,
        "security": [{"basic": []}, {"bearer": []}, {"certificate": []}],
        "components": {
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "certificate": {"type": "mutualTLS"},
            },
            "schemas": {"Problem": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "errors": {"type": "array", "items": {"type": "string"}},
                    "node": {"type": "string"},
                },
            }},
        },
    })
}

/// What is answered to who asks for series.
fn metrics() -> Value {
    json!({"description": "series", "content": {"text/plain": {}, "application/openmetrics-text": {}}})
}

/// A name that no other operation has: the method, and the words of the path.
fn id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method.to_ascii_lowercase())
        .chain(words.map(str::to_owned))
        .collect::<Vec<_>>()
        .join("_")
}

fn schema(format: Format) -> Value {
    match format {
        Format::String | Format::ObjectPath | Format::Duration | Format::Size => {
            json!({"type": "string"})
        }
        Format::Boolean => json!({"type": "boolean"}),
        Format::List => json!({"type": "array", "items": {"type": "string"}}),
        Format::Dict => json!({"type": "object"}),
        Format::Any => json!({}),
    }
}

fn variables(path: &str) -> Vec<&str> {
    path.split('/')
        .filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.trim_end_matches("...")))
        .collect()
}

fn operation(entry: &Entry) -> Value {
    let route = entry.route();
    let named = variables(entry.path);
    let mut parameters: Vec<Value> = named
        .iter()
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    for option in route.options {
        let is_told = named.contains(&option.name)
            || option.name == "path" && named.contains(&"namespace")
            || entry.fixed.iter().any(|(fixed, _)| *fixed == option.name)
            || entry.body == Some(option.name)
            || matches!(option.format, Format::Dict | Format::Any);
        if is_told {
            continue;
        }
        let word = entry
            .query
            .iter()
            .find(|(_, to)| *to == option.name)
            .map_or(option.name, |(word, _)| word);
        parameters.push(json!({"name": word, "in": "query", "description": option.desc, "schema": schema(option.format)}));
    }
    let mut say = |name: &str, kind: &str, text: &str| {
        let mut schema = json!({"type": kind});
        if kind == "array" {
            schema["items"] = json!({"type": "string"});
        }
        parameters
            .push(json!({"name": name, "in": "query", "description": text, "schema": schema}));
    };
    if is_log(entry.request) {
        if entry.request.1.ends_with("_backlogs") {
            say("follow", "boolean", "goes on with what comes, as a stream");
        }
        LOG_WORDS.iter().for_each(|(name, kind, text)| say(name, kind, text));
    }
    match entry.request {
        ("GET", "daemon_status") if entry.shape != Shape::Instance => {
            say("counters", "boolean", "false: without what counts, and so changes always");
        }
        ("POST", "object_monitor") if entry.shape == Shape::Target => {
            say("dry_run", "boolean", "only tells what it would do");
        }
        ("POST", "object_action" | "node_action") if entry.method == "PATCH" => {
            say("set", "array", "keywords to set, each as section.keyword=value");
            say("unset", "array", "keywords to unset, each as section.keyword, in the same write");
            if entry.request.1 == "object_action" {
                say("delete", "array", "sections to delete, without set and unset");
            }
        }
        _ => {}
    }
    if let Shape::List(_) = entry.shape {
        for (name, text) in [
            ("limit", "most items"),
            ("after", "where the page before ended"),
            ("node", "of this node"),
        ] {
            parameters.push(json!({"name": name, "in": "query", "description": text, "schema": {"type": "string"}}));
        }
    }
    let mut operation = json!({
        "operationId": id(entry.method, entry.path),
        "summary": route.desc,
        "parameters": parameters,
        "responses": responses(entry),
        "x-role": route.role,
    });
    if route.role.is_empty() && entry.shape != Shape::Whoami {
        operation["security"] = json!([{}]);
    }
    if entry.body.is_some() {
        operation["requestBody"] = json!({"content": {"application/octet-stream": {}}});
    }
    operation
}

fn responses(entry: &Entry) -> Value {
    let (status, content) = match entry.shape {
        Shape::Data | Shape::Instance | Shape::List(_) | Shape::Merged | Shape::Whoami => {
            ("200", Some("application/json"))
        }
        Shape::Text => ("200", Some("text/plain")),
        Shape::Octets => ("200", Some("application/octet-stream")),
        Shape::Stream => ("200", Some("text/event-stream")),
        Shape::Target | Shape::Session => ("202", Some("application/json")),
        Shape::Done => ("204", None),
    };
    let mut answer = json!({"description": "done"});
    if entry.request == ("GET", "node_metrics") {
        answer = metrics();
    } else if entry.request.1.ends_with("_backlogs") {
        answer["content"]["text/event-stream"] = json!({});
        answer["content"]["application/x-ndjson"] = json!({});
    }
    if let Some(content) = content {
        answer["content"][content] = json!({});
    }
    let problem = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
    json!({
        status: answer,
        "default": {"description": "refused", "content": {"application/problem+json": problem}},
    })
}

/// A path of deployed agents: its options are its body, or its query.
fn deployed(route: &Route) -> Value {
    let mut properties = Map::new();
    let mut required = vec![];
    for option in route.options {
        let mut property = schema(option.format);
        property["description"] = option.desc.into();
        properties.insert(option.name.to_owned(), property);
        if option.required {
            required.push(option.name);
        }
    }
    let mut body = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        body["required"] = json!(required);
    }
    let mut operation = json!({
        "operationId": id(route.method, &format!("2.1/{}", route.names[0])),
        "summary": route.desc,
        "tags": ["2.1"],
        "parameters": [{"name": "o-node", "in": "header", "schema": {"type": "string"}}],
        "responses": {"default": {"description": "the answer, or {status, error}", "content": {"application/json": {}}}},
        "x-role": route.role,
    });
    if route.role.is_empty() {
        operation["security"] = json!([{}]);
    }
    if !route.options.is_empty() {
        operation["requestBody"] = json!({"content": {"application/json": {"schema": body}}});
    }
    operation
}
