//! Lists of nodes, objects, instances and resources, taken out of the cluster data.

use serde_json::{Map, Value, json};

use crate::query;

/// Items of a page, unless asked otherwise.
const USUAL: usize = 1_000;

/// Most items of a page.
const MOST: usize = 10_000;

/// What of a list is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    limit: Option<String>,
    after: Option<String>,
    node: Option<String>,
    resource: Option<String>,
}

impl Page {
    /// Reads it from a query.
    #[must_use]
    pub fn of(query: Option<&str>) -> Self {
        let mut page = Self::default();
        for (key, value) in query.and_then(|text| query::pairs(text).ok()).unwrap_or_default() {
            match key.as_str() {
                "limit" => page.limit = Some(value),
                "after" => page.after = Some(value),
                "node" => page.node = Some(value),
                "resource" => page.resource = Some(value),
                _ => {}
            }
        }
        page
    }
}

/// An item: object, node and resource are what it is sorted by.
type Item = ((String, String, String), Value);

fn map(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn item(kind: &str, meta: Value, data: &Value) -> Value {
    json!({"kind": format!("{kind}Item"), "meta": meta, "data": data})
}

fn nodes(status: &Value) -> Vec<Item> {
    let of = |(node, data): (&String, &Value)| {
        let mut data = data.clone();
        if let Value::Object(data) = &mut data {
            data.remove("services");
        }
        ((String::new(), node.clone(), String::new()), item("Node", json!({"node": node}), &data))
    };
    map(&status["monitor"]["nodes"]).map(of).collect()
}

fn objects(status: &Value) -> Vec<Item> {
    let of = |(path, data): (&String, &Value)| {
        (
            (path.clone(), String::new(), String::new()),
            item("Object", json!({"object": path}), data),
        )
    };
    map(&status["monitor"]["services"]).map(of).collect()
}

fn instances(status: &Value) -> Vec<Item> {
    let mut items = vec![];
    for (node, data) in map(&status["monitor"]["nodes"]) {
        let configs = &data["services"]["config"];
        for (path, state) in map(&data["services"]["status"]) {
            let meta = json!({"object": path, "node": node});
            let data = json!({"status": state, "config": configs[path]});
            items
                .push(((path.clone(), node.clone(), String::new()), item("Instance", meta, &data)));
        }
    }
    items
}

fn resources(status: &Value) -> Vec<Item> {
    let mut items = vec![];
    for (node, data) in map(&status["monitor"]["nodes"]) {
        for (path, state) in map(&data["services"]["status"]) {
            for (rid, resource) in map(&state["resources"]) {
                let meta = json!({"object": path, "node": node, "rid": rid});
                items.push((
                    (path.clone(), node.clone(), rid.clone()),
                    item("Resource", meta, resource),
                ));
            }
        }
    }
    items
}

/// A page of a list.
pub(super) fn list(kind: &str, status: &Value, page: &Page) -> Result<Value, String> {
    let limit = match &page.limit {
        None => USUAL,
        Some(text) => match text.parse() {
            Ok(limit @ 1..=MOST) => limit,
            _ => return Err(format!("limit {text:?} is not a number from 1 to {MOST}")),
        },
    };
    let mut items = match kind {
        "Node" => nodes(status),
        "Object" => objects(status),
        "Instance" => instances(status),
        _ => resources(status),
    };
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let is_asked = |(object, node, rid): &(String, String, String)| {
        let of_node = page.node.as_ref().is_none_or(|wanted| wanted == node || node.is_empty());
        let of_resource =
            page.resource.as_ref().is_none_or(|wanted| wanted == rid || rid.is_empty());
        of_node && of_resource && !(object.is_empty() && node.is_empty())
    };
    items.retain(|(key, _)| is_asked(key));
    if let Some(after) = &page.after {
        let mut parts = after.splitn(3, ',').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let after = if kind == "Node" {
            (String::new(), next(), String::new())
        } else {
            (next(), next(), next())
        };
        items.retain(|(key, _)| *key > after);
    }
    let is_more = items.len() > limit;
    items.truncate(limit);
    let mut list = Map::new();
    list.insert("kind".to_owned(), format!("{kind}List").into());
    if let Some(((object, node, rid), _)) = items.last().filter(|_| is_more) {
        let parts: Vec<&str> = [object, node, rid]
            .into_iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        list.insert("next".to_owned(), parts.join(",").into());
    }
    list.insert("items".to_owned(), items.into_iter().map(|(_, item)| item).collect());
    Ok(list.into())
}

/// One instance: of a node, or of the first that has one.
pub(super) fn instance(status: &Value, node: Option<&str>, object: &str) -> Option<Value> {
    let mut all = instances(status);
    all.sort_by(|one, other| one.0.cmp(&other.0));
    let is_meant = |(path, own, _): &(String, String, String)| {
        path == object && node.is_none_or(|node| node == own)
    };
    all.into_iter().find(|(key, _)| is_meant(key)).map(|(_, item)| item)
}
