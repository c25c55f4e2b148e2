//! Replies: how they are put together, and what a client reads out of them (src/wire/README.md, Replies).

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// `{"status": 0}`.
#[must_use]
pub fn done() -> Value {
    json!({"status": 0})
}

/// `{"status": 0, "data": ..}`.
#[must_use]
pub fn data(data: impl Into<Value>) -> Value {
    json!({"status": 0, "data": data.into()})
}

/// `{"status": 0, "info": ..}`: a text or an array of texts.
#[must_use]
pub fn info(info: impl Into<Value>) -> Value {
    json!({"status": 0, "info": info.into()})
}

/// `{"status": <status>, "error": ..}`: a text or an array of texts. Status 1 for refused or failed, or one of
/// HTTP's.
#[must_use]
pub fn error(status: u16, error: impl Into<Value>) -> Value {
    json!({"status": status, "error": error.into()})
}

/// The `status` of a reply; 0 for one without. Some errors of deployed agents carry it as a text.
#[must_use]
pub fn status_of(reply: &Value) -> i64 {
    match reply.get("status") {
        Some(Value::Number(number)) => {
            number.as_i64().unwrap_or_else(|| i64::from(number.as_f64() != Some(0.0)))
        }
        Some(Value::String(text)) => text.trim().parse().unwrap_or(1),
        _ => 0,
    }
}

/// One node's part of a fanned out request.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReply {
    /// The node.
    pub nodename: String,
    /// Whether it is the node that fans out.
    pub is_local: bool,
    /// What it answered; null for nothing.
    pub reply: Value,
}

/// The reply of a fanned out request: each node's, and a sum that is not 0 when one failed.
#[must_use]
pub fn fanned_out(replies: impl IntoIterator<Item = NodeReply>) -> Value {
    let mut sum = 0_i64;
    let mut nodes = serde_json::Map::new();
    for NodeReply { nodename, is_local, reply } in replies {
        let status = status_of(&reply);
        sum = sum.saturating_add(if is_local { i64::from(status != 0) } else { status });
        nodes.insert(nodename, reply);
    }
    json!({"nodes": nodes, "status": sum})
}

/// The part of a node that could not be reached.
#[must_use]
pub fn unreachable(text: &str, errno: Option<i32>, retryable: bool) -> Value {
    match errno {
        Some(errno) => {
            json!({"status": 1, "error": text, "errno": errno, "retryable": retryable})
        }
        None => json!({"status": 1, "error": text, "retryable": retryable}),
    }
}

/// What an operator reads of a reply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// Sum of the statuses; 0 when all is well.
    pub status: i64,
    /// Lines of `error`.
    pub errors: Vec<String>,
    /// Lines of `info`.
    pub infos: Vec<String>,
}

impl Lines {
    /// Collects the lines of a reply, those of other nodes with `<node>: ` before them.
    #[must_use]
    pub fn of(reply: &Value) -> Self {
        let mut lines = Self { status: status_of(reply), ..Self::default() };
        lines.add("", reply);
        if let Some(Value::Object(nodes)) = reply.get("nodes") {
            // Nodes are shown in the order of their names.
            for (nodename, reply) in nodes.iter().collect::<BTreeMap<_, _>>() {
                lines.add(&format!("{nodename}: "), reply);
            }
        }
        lines
    }

    fn add(&mut self, prefix: &str, reply: &Value) {
        let texts = |name| match reply.get(name) {
            None | Some(Value::Null) => vec![],
            Some(Value::Array(items)) => items.iter().map(text_of).collect(),
            Some(value) => vec![text_of(value)],
        };
        let prefixed = |texts: Vec<String>| {
            let texts = texts.into_iter().filter(|text| !text.is_empty());
            texts.map(|text| format!("{prefix}{}", once(&text)))
        };
        self.errors.extend(prefixed(texts("error")));
        // What a deployed client makes up when it gets no answer.
        self.errors.extend(prefixed(texts("err")));
        self.infos.extend(prefixed(texts("info")));
    }
}

/// A text that says the same again and again, once: deployed agents join the errors of their 50 tries without a blank.
fn once(text: &str) -> &str {
    const NO_THREAD: &str = "thread does not exist";
    let mut rest = text;
    while let Some(next) = rest.strip_prefix(NO_THREAD) {
        rest = next;
    }
    if rest.is_empty() && !text.is_empty() { NO_THREAD } else { text }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(nodename: &str, is_local: bool, reply: Value) -> NodeReply {
        NodeReply { nodename: nodename.into(), is_local, reply }
    }

    #[test]
    fn a_local_failure_counts_one_and_a_remote_one_its_status() {
        let reply = fanned_out([
            part("n1", true, json!({"status": 400, "error": "no"})),
            part("n2", false, json!({"status": 501, "error": "no"})),
            part("n3", false, json!([1, 2])),
            part("n4", false, Value::Null),
            part("n5", false, json!({"status": "1"})),
        ]);
        assert_eq!(reply["status"], 503);
        assert_eq!(reply["nodes"]["n3"], json!([1, 2]));
        assert_eq!(fanned_out([]), json!({"nodes": {}, "status": 0}));
    }

    #[test]
    fn lines_come_from_texts_and_arrays_of_the_reply_and_of_each_node() {
        let lines = Lines::of(&json!({
            "status": 2,
            "nodes": {
                "n2": {"error": ["a", "b"], "status": 1},
                "n1": {"info": "fine", "error": null},
                "n3": {"info": [""], "status": 1, "err": "timeout"},
                "n4": [1],
            },
        }));
        assert_eq!(lines.status, 2);
        assert_eq!(lines.errors, ["n2: a", "n2: b", "n3: timeout"]);
        assert_eq!(lines.infos, ["n1: fine"]);
    }

    #[test]
    fn what_is_said_fifty_times_is_read_once() {
        let errors = |text: String| Lines::of(&json!({"status": 1, "error": text})).errors;
        assert_eq!(errors("thread does not exist".repeat(50)), ["thread does not exist"]);
        assert_eq!(errors("thread does not exist, x".into()), ["thread does not exist, x"]);
    }
}
