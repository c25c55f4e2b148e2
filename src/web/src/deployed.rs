//! The paths of deployed agents: `/daemon_status`, `/object/<path>/logs`, with the options of the request in its body.

use model::ObjectPath;
use serde_json::{Map, Value};
use wire::{NodeSpec, Request, RequestError, Route};

use crate::query;

/// Names of older agents that deployed agents serve over HTTP beside the current ones.
const OLDER: [(&str, &str); 4] = [
    ("GET", "blacklist_status"),
    ("POST", "service_action"),
    ("GET", "relay_status"),
    ("POST", "create"),
];

/// Requests whose sender is who the envelope names: over HTTP there is none; and what has a path and rules of its own.
const NOT_SERVED: [&str; 3] = ["join", "leave", "node_metrics"];

/// Longest name that an error repeats.
const LONGEST_NAME: usize = 200;

/// No request has this method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    method: String,
    name: String,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "handler {} {} is not supported", self.method, self.name)
    }
}

impl std::error::Error for Unsupported {}

/// The request that a method and a path name.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its row.
    pub route: &'static Route,
    /// The name that was asked for.
    pub name: String,
    node: Option<String>,
    path: Option<String>,
}

/// What else a request has than method and path.
#[derive(Debug, Clone, Default)]
pub struct Rest<'a> {
    /// After the question mark.
    pub query: Option<&'a str>,
    /// The values of `o-node`.
    pub nodes: &'a [&'a str],
    /// Whether `o-multiplexed` is there: another node fans out.
    pub is_multiplexed: bool,
}

impl Target {
    /// The request of a method and a path without query.
    ///
    /// # Errors
    ///
    /// [`Unsupported`] where there is none.
    pub fn find(method: &str, path: &str) -> Result<Self, Unsupported> {
        let name = path.trim_matches('/');
        let unsupported = || Unsupported {
            method: method.chars().take(LONGEST_NAME).collect(),
            name: name.chars().take(LONGEST_NAME).collect(),
        };
        let is_served = |name: &str| !NOT_SERVED.contains(&name);
        let find = |name: &str| {
            wire::routes_named(name).find(|route| {
                let is_named = route.names[0] == name || OLDER.contains(&(method, name));
                route.method == method && is_named
            })
        };
        if let Some(route) = find(name).filter(|_| is_served(name)) {
            return Ok(Self { route, name: name.to_owned(), node: None, path: None });
        }
        let (name, node, path) = long_form(name).ok_or_else(unsupported)?;
        let route = find(name).ok_or_else(unsupported)?;
        Ok(Self { route, name: name.to_owned(), node, path })
    }

    /// The whole request.
    ///
    /// # Errors
    ///
    /// [`RequestError`] for a body or options that cannot be read; a text where the query cannot.
    pub fn request(&self, rest: &Rest<'_>, body: &[u8], budget: usize) -> Result<Request, Bad> {
        let mut options = match body {
            [] => Map::new(),
            body => match wire::parse_within(body, budget) {
                Ok(Value::Object(options)) => options,
                Ok(_) => return Err(Bad::new("the body is not a JSON object")),
                Err(error) if error.is_too_heavy() => return Err(Bad::of(413, &error.to_string())),
                Err(_) => return Err(Bad::new("the body is not JSON")),
            },
        };
        let laid = rest.query.map_or(Ok(()), |text| query::overlay(&mut options, text));
        laid.map_err(|error| Bad::new(&error.to_string()))?;
        if let Some(path) = &self.path {
            options.insert("path".to_owned(), path.as_str().into());
        }
        let nodes: Vec<&str> = rest.nodes.iter().copied().filter(|node| !node.is_empty()).collect();
        let node = self.node.clone().or_else(|| (!nodes.is_empty()).then(|| nodes.join(",")));
        let node = node.filter(|_| !rest.is_multiplexed).and_then(NodeSpec::of_text);
        let request = Request::of_route(self.route, options)?;
        let name = self.name.as_str().into();
        Ok(Request { name, node, multiplexed: rest.is_multiplexed, ..request })
    }
}

/// The name, the node and the object of `node/<node>/logs`, `object/<path>/logs`, `instance/<node>/<path>/logs`.
fn long_form(name: &str) -> Option<(&'static str, Option<String>, Option<String>)> {
    let decoded = |part: &str| query::decode(part, false).ok().filter(|part| !part.is_empty());
    let (head, last) = name.rsplit_once('/')?;
    let (kind, rest) = head.split_once('/')?;
    let object = |path: &str| {
        let path = decoded(path)?;
        ObjectPath::parse(&path).ok().map(|_| path)
    };
    let logs = |of_node: bool| match (last, of_node) {
        ("logs", true) => Some("node_logs"),
        ("backlogs", true) => Some("node_backlogs"),
        ("logs", false) => Some("object_logs"),
        ("backlogs", false) => Some("object_backlogs"),
        _ => None,
    };
    match kind {
        "node" if !rest.contains('/') => Some((logs(true)?, Some(decoded(rest)?), None)),
        "object" => Some((logs(false)?, None, Some(object(rest)?))),
        "instance" => {
            let (node, path) = rest.split_once('/')?;
            Some((logs(false)?, Some(decoded(node)?), Some(object(path)?)))
        }
        _ => None,
    }
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Bad {
    /// Of HTTP.
    pub status: u16,
    /// What is answered: `{"status": .., "error": ..}`.
    pub reply: Value,
}

impl Bad {
    /// A 400 for this reason.
    #[must_use]
    pub fn new(error: &str) -> Self {
        Self::of(400, error)
    }

    /// A status and its reason.
    #[must_use]
    pub fn of(status: u16, error: &str) -> Self {
        Self { status, reply: wire::reply::error(status, error) }
    }
}

impl From<RequestError> for Bad {
    fn from(error: RequestError) -> Self {
        let reply = error.to_reply();
        match error.status() {
            status @ 400.. => Self { status, reply },
            _ => Self::new(&error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Action;

    fn read(method: &str, path: &str, rest: &Rest<'_>, body: &str) -> Result<Request, Bad> {
        let target =
            Target::find(method, path).map_err(|error| Bad::of(501, &error.to_string()))?;
        target.request(rest, body.as_bytes(), 1 << 20)
    }

    fn error(method: &str, path: &str, body: &str) -> (u16, String) {
        let bad = read(method, path, &Rest::default(), body).unwrap_err();
        (bad.status, bad.reply["error"].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_body_a_query_and_nodes_make_a_request() {
        let rest =
            Rest { query: Some("path=svc1"), nodes: &["n1", "", "n2"], is_multiplexed: false };
        let request = read("GET", "//object_config/", &rest, "{\"path\": \"x\"}").unwrap();
        assert_eq!(request.node, Some(NodeSpec::Selector("n1,n2".into())));
        let Action::ObjectConfig(options) = &request.action else { panic!("{request:?}") };
        assert_eq!(options.path, "svc1");
        let rest = Rest { is_multiplexed: true, ..rest };
        let request = read("GET", "/object_config", &rest, "").unwrap();
        assert!(request.multiplexed && request.node.is_none());
    }

    #[test]
    fn long_forms_name_node_and_object() {
        let none = Rest::default();
        let of = |path: &str| read("GET", path, &none, "").unwrap();
        let request = of("/instance/n82/test/svc/web/backlogs");
        assert_eq!(request.node, Some(NodeSpec::Selector("n82".into())));
        let Action::ObjectBacklogs(options) = &request.action else { panic!("{request:?}") };
        assert_eq!(options.path, "test/svc/web");
        assert!(matches!(of("/node/n1/logs").action, Action::NodeLogs(_)));
        assert!(matches!(of("/object/svc1/logs").action, Action::ObjectLogs(_)));
        assert_eq!(of("/object/svc1/logs").node, None);
    }

    #[test]
    fn what_is_no_request_is_told_by_name() {
        let unsupported = |text: &str| (501, format!("handler {text} is not supported"));
        assert_eq!(error("GET", "/nothing", ""), unsupported("GET nothing"));
        assert_eq!(
            error("POST", "/set_service_monitor", ""),
            unsupported("POST set_service_monitor")
        );
        assert_eq!(error("POST", "/daemon_status", ""), unsupported("POST daemon_status"));
        assert_eq!(error("POST", "/join", ""), unsupported("POST join"));
        assert_eq!(error("GET", "/object/svc1", ""), unsupported("GET object/svc1"));
        for path in ["/object/../../etc/logs", "/object//logs", "/node//x/logs", "/a/b/c/d/e/logs"]
        {
            assert_eq!(error("GET", path, "").0, 501, "{path}");
        }
        assert_eq!(
            error("GET", &"/x".repeat(100_000), "").1.len(),
            "handler GET  is not supported".len() + 200
        );
    }

    #[test]
    fn what_cannot_be_read_is_answered() {
        assert_eq!(error("GET", "/whoami", "[]"), (400, "the body is not a JSON object".into()));
        assert_eq!(error("GET", "/whoami", "{\"a\""), (400, "the body is not JSON".into()));
        assert_eq!(error("GET", "/whoami", &"[".repeat(1_000)).0, 400);
        assert_eq!(
            error("GET", "/object_config", "{}"),
            (400, "required option path is not set".into())
        );
        assert_eq!(error("GET", "/daemon_status", "{\"selector\": [1]}").0, 400);
    }
}
