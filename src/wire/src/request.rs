//! Requests: what the router makes of a message, and how clients write one (src/wire/README.md, Requests).

mod error;
mod options;
mod table;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

pub use crate::request::options::Format;
pub use crate::request::options::Options;
pub use crate::request::options::Size;
pub use crate::request::table::*;

pub use crate::request::error::RequestError;
use crate::weigh::{parse_within, weigh_value};

/// The nodes that a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeSpec {
    /// `ANY`: one node that has an instance.
    Any,
    /// A node selector.
    Selector(String),
    /// An array: these nodes, members or not.
    Names(Vec<String>),
}

impl NodeSpec {
    /// What a text of a request names: `ANY`, or a selector. None where it says nothing.
    #[must_use]
    pub fn of_text(text: String) -> Option<Self> {
        match text.trim() {
            "" => None,
            "ANY" => Some(Self::Any),
            _ => Some(Self::Selector(text)),
        }
    }

    /// As a request carries it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Any => "ANY".into(),
            Self::Selector(text) => text.clone().into(),
            Self::Names(names) => names.clone().into(),
        }
    }
}

/// A request that the router accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What it asks.
    pub action: Action,
    /// The action's name as received, without leading slashes.
    pub name: Box<str>,
    /// The method as received.
    pub method: Option<Box<str>>,
    /// The nodes it is for; none for the node that received it.
    pub node: Option<NodeSpec>,
    /// Whether a peer already fanned it out: `node` is then of no effect.
    pub multiplexed: bool,
}

/// The type of a value, in the words of the deployed agents' errors.
fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

fn cut(text: &str) -> Box<str> {
    text.chars().take(200).collect::<String>().into()
}

/// Most memory that reading a request may take, in bytes. The largest that is of use sets a key of 8 MiB, which is one
/// text, or creates objects from 16 MiB of configuration.
pub const MOST_WEIGHT: usize = 40 << 20;

impl Action {
    /// Status and reason of a request that is refused whoever asks, as its row says.
    #[must_use]
    pub fn refusal(&self) -> Option<(u16, String)> {
        let (status, reason) = self.route().refusal?;
        let catalog = match self {
            Self::Templates(options) => &options.catalog,
            Self::Template(options) => &options.catalog,
            _ => "",
        };
        Some((status, reason.replace("{catalog}", &cut(catalog))))
    }

    /// Whether it may carry more than names, selectors and words: a key, configurations, the status of an instance, a
    /// message for the relay.
    #[must_use]
    pub fn may_be_large(&self) -> bool {
        matches!(
            self,
            Self::SetKey(_)
                | Self::SetObjectConfig(_)
                | Self::ObjectCreate(_)
                | Self::SetObjectStatus(_)
                | Self::RelayTx(_)
                | Self::ObjectAction(_)
                | Self::NodeAction(_)
        )
    }
}

/// The handlers of a name, be it their current one or that of older agents, in the order of [`ROUTES`].
pub fn routes_named(name: &str) -> impl Iterator<Item = &'static Route> {
    static BY_NAME: LazyLock<Vec<(&str, &Route)>> = LazyLock::new(|| {
        let named = |route: &'static Route| route.names.iter().map(move |name| (*name, route));
        let mut routes: Vec<_> = ROUTES.iter().flat_map(named).collect();
        routes.sort_by_key(|(name, _)| *name);
        routes
    });
    let first = BY_NAME.partition_point(|(own, _)| *own < name);
    let found = BY_NAME[first..].iter().take_while(move |(own, _)| *own == name);
    found.map(|(_, route)| *route)
}

/// The handler of a name and method; without method, the first one of that name.
fn find_route(method: Option<&str>, name: &str) -> Option<&'static Route> {
    routes_named(name).find(|route| method.is_none_or(|method| method == route.method))
}

impl Request {
    /// The request of a handler under its current name, for the receiving node itself.
    ///
    /// # Errors
    ///
    /// [`RequestError`] with the reply that the sender gets.
    pub fn of_route(route: &'static Route, mut options: Options) -> Result<Self, RequestError> {
        Ok(Self {
            action: (route.read)(&mut options)?,
            name: route.names[0].into(),
            method: Some(route.method.into()),
            node: None,
            multiplexed: false,
        })
    }

    /// A request for the receiving node itself, under its current name.
    #[must_use]
    pub fn new(action: impl Into<Action>) -> Self {
        let action = action.into();
        let route = action.route();
        Self {
            name: route.names[0].into(),
            method: Some(route.method.into()),
            action,
            node: None,
            multiplexed: false,
        }
    }

    /// The same, for other nodes.
    #[must_use]
    pub fn on(mut self, node: NodeSpec) -> Self {
        self.node = Some(node);
        self
    }

    /// Reads the body of a message.
    ///
    /// # Errors
    ///
    /// [`RequestError`] with the reply that the sender gets.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        Self::parse_within(body, MOST_WEIGHT)
    }

    /// Reads the body of a message, if that takes no more than `budget` bytes of memory.
    ///
    /// # Errors
    ///
    /// [`RequestError`] with the reply that the sender gets.
    pub fn parse_within(body: &[u8], budget: usize) -> Result<Self, RequestError> {
        Self::from_value(parse_within(body, budget)?)
    }

    /// Reads a parsed message. The steps, and their order, are the router's.
    ///
    /// # Errors
    ///
    /// [`RequestError`] with the reply that the sender gets.
    pub fn from_value(message: Value) -> Result<Self, RequestError> {
        let mut message = match message {
            Value::Null => return Err(RequestError::Null),
            Value::Object(message) => message,
            _ => return Err(RequestError::Format),
        };
        let name = match message.remove("action") {
            None => return Err(RequestError::NoAction),
            Some(Value::String(name)) => name,
            Some(other) => return Err(RequestError::ActionType(type_word(&other))),
        };
        let name = name.trim_start_matches('/');
        let method: Option<Box<str>> = match message.remove("method") {
            None | Some(Value::Null) => None,
            Some(Value::String(method)) => Some(cut(&method)),
            Some(other) => Some(cut(&other.to_string())),
        };
        let Some(route) = find_route(method.as_deref(), name) else {
            return Err(RequestError::Unsupported { method, name: cut(name) });
        };
        let mut options = match message.remove("options") {
            None => Map::new(),
            Some(Value::Object(options)) => options,
            Some(other) => return Err(RequestError::OptionsType(type_word(&other))),
        };
        let action = (route.read)(&mut options)?;
        let node = match message.remove("node") {
            None | Some(Value::Null | Value::Bool(false)) => None,
            Some(Value::String(text)) => NodeSpec::of_text(text),
            Some(Value::Array(names)) if names.is_empty() => None,
            Some(Value::Array(names)) => Some(NodeSpec::Names(
                names
                    .into_iter()
                    .map(|name| match name {
                        Value::String(name) => Ok(name),
                        _ => Err(RequestError::Node),
                    })
                    .collect::<Result<_, _>>()?,
            )),
            Some(_) => return Err(RequestError::Node),
        };
        let multiplexed = message.remove("multiplexed") == Some(Value::Bool(true));
        Ok(Self { action, name: name.into(), method, node, multiplexed })
    }

    /// The message of a client or of the daemon itself: current name, with its method.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let route = self.action.route();
        let mut message = json!({
            "action": route.names[0],
            "method": route.method,
            "options": self.action.to_options(),
        });
        if let Some(node) = &self.node {
            message["node"] = node.to_value();
        }
        if self.multiplexed {
            message["multiplexed"] = true.into();
        }
        message
    }

    /// Bytes of memory that the request takes, about: what was sent with it and is no part of it does not count.
    #[must_use]
    pub fn weight(&self) -> usize {
        let node = match &self.node {
            None | Some(NodeSpec::Any) => 0,
            Some(NodeSpec::Selector(text)) => text.len(),
            Some(NodeSpec::Names(names)) => names.iter().map(|name| 32 + name.len()).sum(),
        };
        node + weigh_value(&Value::Object(self.action.to_options()))
    }

    /// The message that a node sends to the peers that this one is for: names of older agents become current
    /// ones, which every deployed peer serves.
    #[must_use]
    pub fn to_peer_value(&self) -> Value {
        let mut peer = self.clone();
        (peer.node, peer.multiplexed) = (None, true);
        peer.to_value()
    }

    /// Whether the receiving node has to fan the request out.
    #[must_use]
    pub fn is_fanned_out(&self) -> bool {
        self.node.is_some() && !self.multiplexed && self.action.route().is_multiplexed
    }
}

/// The reply of `GET api`: every handler.
#[must_use]
pub fn routes_table() -> Value {
    let describe = |route: &Route| {
        let routes: Vec<Value> = route
            .names
            .iter()
            .flat_map(|name| {
                [Some(route.method), None].map(|method| json!({"method": method, "path": name}))
            })
            .collect();
        let prototype: Vec<Value> = route
            .options
            .iter()
            .map(|option| {
                let mut entry = json!({
                    "name": option.name,
                    "format": option.format.as_str(),
                    "required": option.required,
                    "desc": option.desc,
                });
                if let Some(default) = option.default {
                    entry["default"] = default();
                }
                entry
            })
            .collect();
        let has_path = route.options.iter().any(|option| option.name == "path");
        // As deployed agents write it: a role in the namespace of the object, or in any.
        let access = match route.role {
            "" => json!({}),
            role @ ("guest" | "operator" | "admin") => {
                json!({"roles": [role], "namespaces": if has_path { "FROM:path" } else { "ANY" }})
            }
            role => json!({"roles": [role]}),
        };
        json!({
            "routes": routes,
            "prototype": prototype,
            "access": access,
            "desc": route.desc,
            "stream": route.is_stream,
            "multiplex": if route.is_multiplexed { "on-demand" } else { "never" },
        })
    };
    ROUTES.iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_why_its_request_is_refused_whoever_asks() {
        let refusal = |action: Action| action.refusal();
        let long = "c".repeat(300);
        let expected = format!("catalog {} not found", &long[..200]);
        assert_eq!(refusal(Templates { catalog: long }.into()), Some((404, expected)));
        let template = Template { catalog: "a".into(), template: "b".into() };
        assert_eq!(refusal(template.into()), Some((404, "catalog a not found".into())));
        assert_eq!(
            refusal(DrbdAllocations {}.into()),
            Some((501, "driver disk.drbd is not supported".into()))
        );
        assert_eq!(refusal(Catalogs {}.into()), None);
    }
}
