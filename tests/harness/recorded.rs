//! Conversations that were recorded with deployed nodes, and how an answer of ours differs from theirs.

use serde_json::{Value, json};

use crate::HttpReply;

/// A request, and what a deployed node answered.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// As it was recorded, the nodes renamed.
    pub value: Value,
}

impl Recorded {
    /// All conversations of a recording. The recorded nodes are called n81 and n82, ours n1 and n2.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn all(text: &str) -> Vec<Self> {
        let mut recording: Value =
            serde_json::from_str(&text.replace("n8", "n")).expect("a recording");
        let Value::Array(all) = recording["conversations"].take() else { panic!("conversations") };
        all.into_iter().map(|value| Self { value }).collect()
    }

    /// Its text of this name; an empty one where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.value[name].as_str().unwrap_or_default()
    }

    /// The status. None: a deployed node closed the connection without an answer.
    #[must_use]
    pub fn status(&self) -> Option<u64> {
        self.value["status"].as_u64()
    }

    /// The headers of the request.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        let headers = self.value["headers"].as_object().into_iter().flatten();
        headers
            .flat_map(|(name, value)| match value {
                Value::Array(values) => values.iter().map(|value| (name, value)).collect(),
                value => vec![(name, value)],
            })
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// The body of the request. What is no JSON is recorded as a text.
    #[must_use]
    pub fn body(&self) -> Option<Vec<u8>> {
        Some(match self.value.get("body")? {
            Value::String(text) => text.clone().into_bytes(),
            body => body.to_string().into_bytes(),
        })
    }

    /// How our answer differs: another status, another shape, other words in `error` and `info`.
    ///
    /// # Panics
    ///
    /// When a refusal of ours, where deployed nodes close the connection, is none.
    #[must_use]
    pub fn differs(&self, answer: &HttpReply) -> Option<String> {
        let Some(status) = self.status() else {
            let id = self.text("id");
            assert!(matches!(answer.status, 400 | 401 | 501), "{id}: {}", answer.status);
            assert_eq!(answer.json()["status"], answer.status, "{id}");
            return None;
        };
        if u64::from(answer.status) != status {
            let reply = String::from_utf8_lossy(&answer.body);
            return Some(format!("status {}, recorded {status}: {reply}", answer.status));
        }
        if answer.headers["content-type"] != *self.text("content_type") {
            return Some(format!("content-type {:?}", answer.headers["content-type"]));
        }
        let mut expected = self.value["reply"].clone();
        let reply = answer.json();
        if self.text("path") == "/whoami" {
            let same = in_order(expected.clone()) == in_order(reply.clone());
            return (!same).then(|| format!("{reply}, recorded {expected}"));
        }
        let reply = summed_up(&expected, reply);
        for part in ["monitor.services", "monitor.nodes.*.services.status"] {
            if let Some(objects) = expected.get(part)
                && in_order(objects.clone()) != in_order(reply[part].clone())
            {
                return Some(format!("{part}: {}", reply[part]));
            }
        }
        if let Some(map) = expected.as_object_mut() {
            map.remove("(rest)");
        }
        difference("", &expected, &reply)
    }
}

/// The same with its lists sorted.
fn in_order(value: Value) -> Value {
    match value {
        Value::Array(mut values) => {
            values.sort_by_key(ToString::to_string);
            Value::Array(values)
        }
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (key, in_order(value))).collect())
        }
        value => value,
    }
}

/// What is summed up in the recording, taken out of a `daemon_status` or `daemon_stats`.
fn summed_up(expected: &Value, got: Value) -> Value {
    let names = |value: &Value| -> Vec<String> {
        value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    if expected.get("monitor.services").is_some() {
        let nodes = got["monitor"]["nodes"].as_object().into_iter().flatten();
        let of_nodes: serde_json::Map<String, Value> = nodes
            .map(|(node, of)| (node.clone(), json!(names(&of["services"]["status"]))))
            .collect();
        return json!({"monitor.services": names(&got["monitor"]["services"]),
            "monitor.nodes.*.services.status": of_nodes, "top": names(&got)});
    }
    if expected.get("others").is_some() {
        return json!({"status": got["status"], "services": names(&got["data"]["services"]),
            "others": names(&got["data"])});
    }
    got
}

/// The first difference in shape, and in what is said.
fn difference(at: &str, expected: &Value, got: &Value) -> Option<String> {
    let is_said = ["error", "info"].iter().any(|key| at.ends_with(key));
    match (expected, got) {
        // Nobody expects anything of an instance that nobody touched.
        (_, Value::Null) if at.contains("local_expect") => None,
        (Value::Object(expected), Value::Object(got)) => {
            expected.iter().find_map(|(key, value)| match got.get(key) {
                None if key == "local_expect_updated" => None,
                None => Some(format!("{at}: no {key:?}")),
                Some(got) => difference(&format!("{at}.{key}"), value, got),
            })
        }
        (expected, got) if is_said => {
            let differs = in_order(expected.clone()) != in_order(got.clone());
            differs.then(|| format!("{at}: {got}, recorded {expected}"))
        }
        (Value::Array(expected), Value::Array(got)) => {
            let expected = expected.first()?;
            // What has a name is compared with what has the same one.
            let name = |value: &Value| {
                let names = [&value["keyword"], &value["routes"][0]["path"]];
                names.into_iter().find_map(Value::as_str).map(str::to_owned)
            };
            let same = got.iter().find(|it| name(it) == name(expected));
            difference(at, expected, same.or(got.first())?)
        }
        (Value::Number(_), Value::Number(_)) | (Value::Null, _) => None,
        (expected, got) if std::mem::discriminant(expected) != std::mem::discriminant(got) => {
            Some(format!("{at}: {got}, recorded {expected}"))
        }
        _ => None,
    }
}
