//! Replies: how they are put together, and what a client reads out of them (src/wire/README.md, Replies).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::json::{JsonError, read_and_keep, to_ascii_json};
use crate::prepared::Prepared;
use crate::weigh::{Measure, measure};

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

/// A reply that is passed on as it is: its text, and its status.
#[derive(Debug, Clone)]
pub struct Part {
    status: i64,
    body: Arc<Prepared>,
}

impl Part {
    /// A reply of this node.
    #[must_use]
    pub fn of(reply: &Value) -> Self {
        Self { status: status_of(reply), body: Arc::new(Prepared::new(reply)) }
    }

    /// A reply of this node that is made ready already.
    #[must_use]
    pub fn new(status: i64, body: Arc<Prepared>) -> Self {
        Self { status, body }
    }

    /// A reply of this node as it is sent. What is long is data, which all is well with.
    #[must_use]
    pub fn prepared(body: Arc<Prepared>) -> Self {
        let head =
            body.plain().filter(|text| text.len() <= LONGEST_ERROR && text.starts_with(b"{"));
        let head = head.and_then(|text| serde_json::from_slice::<Head>(text).ok());
        Self { status: head.map_or(0, |head| head.status()), body }
    }

    /// What another node replied, if reading it takes no more than `budget` bytes of memory. Nothing is made of it here but
    /// its status.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for what is not JSON, or too heavy.
    pub fn from_text(text: Vec<u8>, budget: usize) -> Result<Self, JsonError> {
        let Measure { weight, levels } = measure(&text);
        if weight > budget || levels > MOST_LEVELS {
            return Err(JsonError::too_heavy(budget));
        }
        let (status, text) = if text.trim_ascii_start().starts_with(b"{") {
            let (head, text) = read_and_keep::<Head>(text)?;
            (head.status(), text)
        } else {
            (0, read_and_keep::<IgnoredAny>(text)?.1)
        };
        Ok(Self { status, body: Arc::new(Prepared::from_json(text)) })
    }

    /// The `status` of the reply.
    #[must_use]
    pub fn status(&self) -> i64 {
        self.status
    }

    /// The text.
    #[must_use]
    pub fn body(&self) -> &Arc<Prepared> {
        &self.body
    }
}

/// What is read of a reply that is an object.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    status: Option<Box<RawValue>>,
}

/// Levels that a text may have which is put into another one: a few less than are read.
const MOST_LEVELS: usize = 120;

/// Texts up to this length may say that something failed.
const LONGEST_ERROR: usize = 64 << 10;

/// Nothing that is longer is a status.
const LONGEST_STATUS: usize = 64;

impl Head {
    /// As [`status_of`] tells it.
    fn status(&self) -> i64 {
        let text = self.status.as_ref().map_or("0", |status| status.get());
        let text = if text.len() <= LONGEST_STATUS { text } else { "0" };
        match serde_json::from_str::<Value>(text) {
            Ok(status) => status_of(&json!({ "status": status })),
            Err(_) => 0,
        }
    }
}

/// One node's part of a fanned out request.
#[derive(Debug, Clone)]
pub struct NodeReply {
    /// The node.
    pub nodename: String,
    /// Whether it is the node that fans out.
    pub is_local: bool,
    /// What it answered; null for nothing.
    pub reply: Part,
}

/// The reply of a fanned out request: each node's, and a sum that is not 0 when one failed.
#[must_use]
pub fn fanned_out(replies: impl IntoIterator<Item = NodeReply>) -> Prepared {
    let mut sum = 0_i64;
    let mut nodes: BTreeMap<String, Part> = BTreeMap::new();
    for NodeReply { nodename, is_local, reply } in replies {
        let status = reply.status;
        sum = sum.saturating_add(if is_local { i64::from(status != 0) } else { status });
        nodes.insert(nodename, reply);
    }
    let word = |text: Vec<u8>| Arc::new(Prepared::from_json(text));
    let mut parts = vec![];
    for (number, (nodename, reply)) in nodes.into_iter().enumerate() {
        let before: &[u8] = if number == 0 { b"{\"nodes\": {" } else { b", " };
        parts.push(word([before, &to_ascii_json(&nodename), b": "].concat()));
        parts.push(reply.body);
    }
    let before = if parts.is_empty() { "{\"nodes\": {" } else { "" };
    parts.push(word(format!("{before}}}, \"status\": {sum}}}").into_bytes()));
    Prepared::joined(parts)
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
        NodeReply { nodename: nodename.into(), is_local, reply: Part::of(&reply) }
    }

    fn read(reply: &Prepared) -> Value {
        serde_json::from_slice(&reply.json()).unwrap()
    }

    #[test]
    fn what_another_node_says_is_passed_on_as_it_is() {
        let part = |text: &str| Part::from_text(text.as_bytes().to_vec(), 1 << 20);
        for (text, status) in [
            (r#" {"status": 3, "data": [1, {"status": 9}]}"#, 3),
            (r#"{"status": "1"}"#, 1),
            (r#"{"status": 0.5}"#, 1),
            (r#"{"status": {}}"#, 0),
            (r#"[{"status": 4}]"#, 0),
            ("null", 0),
            (r#"{"data": NaN}"#, 0),
        ] {
            let part = part(text).unwrap();
            assert_eq!(part.status(), status, "{text}");
            let joined =
                fanned_out([NodeReply { nodename: "n1".into(), is_local: false, reply: part }]);
            let expected: Value = crate::json::parse_json(text.as_bytes()).unwrap();
            assert_eq!(read(&joined), json!({"nodes": {"n1": expected}, "status": status}));
        }
        let failed = Arc::new(Prepared::new(&json!({"status": 3, "error": "no"})));
        assert_eq!(Part::prepared(failed).status(), 3);
        assert_eq!(Part::prepared(Arc::new(Prepared::new(&json!([1])))).status(), 0);
        let deep = "[".repeat(125) + &"]".repeat(125);
        for text in ["", "{", "{} {}", "{\"a\": 1}}, {", &deep] {
            assert!(part(text).is_err(), "{text}");
        }
        let many = format!("[{}0]", "{\"\":0},".repeat(10_000));
        assert!(part(&many).unwrap_err().is_too_heavy());
    }

    #[test]
    fn what_is_long_is_joined_without_being_read_in_each_dialect() {
        let text = |length: usize| format!("{{\"é\":[\"{}\",1.50]}}", "x".repeat(length));
        for lengths in [[10, 10, 10], [2 << 20, 10, 5 << 20], [5 << 20, 5 << 20, 3 << 20]] {
            let names = ["n1", "n2", "n3"];
            let parts: Vec<NodeReply> = names
                .iter()
                .zip(lengths)
                .map(|(nodename, length)| NodeReply {
                    nodename: (*nodename).to_owned(),
                    is_local: false,
                    reply: Part::from_text(text(length).into_bytes(), 64 << 20).unwrap(),
                })
                .collect();
            let of = |length| serde_json::from_str::<Value>(&text(length)).unwrap();
            let expected = json!({"nodes": {"n1": of(lengths[0]), "n2": of(lengths[1]), "n3": of(lengths[2])}, "status": 0});
            let joined = fanned_out(parts);
            assert_eq!(read(&joined), expected);
            assert_eq!(joined.len(), joined.json().len());
            let secret = crate::secret::ClusterSecret::new("0123456789abcdef0123456789abcdef");
            let sender = crate::prepared::Sender::new("c1", "n1", secret.clone());
            let limits = crate::frame::Limits::default();
            for dialect in [crate::dialect::Dialect::Sealed, crate::dialect::Dialect::Classic] {
                let now = crate::sealed::Moment {
                    boot: crate::sealed::BootId([1; 16]),
                    b_us: 1,
                    t_ms: 1,
                };
                let form = crate::prepared::Form::request(dialect, "n2", now, &Same);
                let frame = sender.seal(&form, &joined, &Same).unwrap();
                let opened = crate::frame::Frame::parse(&frame, &limits).unwrap();
                let opened = opened.open(&secret, &limits).unwrap();
                assert_eq!(opened.read::<Value>().unwrap(), expected, "{dialect}");
                assert_eq!(
                    opened.into_body().len(),
                    match dialect {
                        crate::dialect::Dialect::Sealed => joined.len(),
                        crate::dialect::Dialect::Classic =>
                            crate::json::to_ascii_json(&expected).len(),
                    }
                );
            }
        }
    }

    /// What is random does not matter here.
    struct Same;

    impl crate::secret::Random for Same {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
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
        let reply = read(&reply);
        assert_eq!(reply["status"], 503);
        assert_eq!(reply["nodes"]["n3"], json!([1, 2]));
        assert_eq!(read(&fanned_out([])), json!({"nodes": {}, "status": 0}));
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
