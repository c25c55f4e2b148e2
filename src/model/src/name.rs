//! Names of nodes, objects and resources.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kind::Kind;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// A node name has 1 to 63 characters of letters, digits, `-`, `_` and `.`.
    Node(Box<str>),
    /// An address: names are what nodes call themselves, addresses are where they are found.
    Address(Box<str>),
    /// Not an object path: too many slashes, a selector sign, a reserved word, or a kind that does not exist.
    Path(Box<str>),
    /// Refused at creation, with the reason.
    Creation {
        /// The path as given.
        path: Box<str>,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(
                f,
                "node name {name:?} has {} bytes, expected 1 to 63 letters, digits, dashes, underscores or dots",
                name.len()
            ),
            Self::Address(name) => write!(
                f,
                "node name {name:?} is an address, expected the host name of the node: listener.addr@NODE of \
                 cluster.conf says where a node is found"
            ),
            Self::Path(path) => {
                write!(f, "invalid object path {path:?}, expected [[<namespace>/]<kind>/]<name>")
            }
            Self::Creation { path, reason } => write!(f, "invalid object path {path:?}: {reason}"),
        }
    }
}

impl std::error::Error for NameError {}

/// Whether a resolver would take it for an address: `10.0.0.1`, `10.1`, `0x7f.1`, `fe80::1%eth0`, `[::1]`. A number alone
/// may be the name of a host.
fn is_address(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let is_number = |part: &str| match part.strip_prefix("0x").or(part.strip_prefix("0X")) {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()),
    };
    let v6 = inner.split('%').next().unwrap_or_default();
    v6.parse::<std::net::Ipv6Addr>().is_ok()
        || inner.contains('.') && inner.trim_end_matches('.').split('.').all(is_number)
}

/// Name of a node: its host name, lower case, 1 to 63 bytes (253 with a domain).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(std::sync::Arc<str>);

impl NodeName {
    /// Reads a node name, lower-casing it.
    ///
    /// # Errors
    ///
    /// [`NameError::Node`] for an empty or overlong name, or one with other signs than host names have;
    /// [`NameError::Address`] for an address, however it is written.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if is_address(text) {
            return Err(NameError::Address(text.chars().take(80).collect::<String>().into()));
        }
        let fits =
            (1..=253).contains(&text.len()) && text.split('.').all(|label| label.len() <= 63);
        let is_plain =
            text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if fits && is_plain && !text.starts_with(['.', '-']) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(NameError::Node(text.chars().take(80).collect::<String>().into()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl std::borrow::Borrow<str> for NodeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl Serialize for NodeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// Name of an object: `<namespace>/<kind>/<name>`, shortened to `<name>` for services and `<kind>/<name>` for
/// others in the root namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectPath {
    /// The canonical text; first, so that paths sort as their texts.
    text: std::sync::Arc<str>,
    kind: Kind,
}

impl ObjectPath {
    /// Reads a path in any of its forms (src/model/README.md, Paths of objects).
    ///
    /// # Errors
    ///
    /// [`NameError::Path`] for more than two slashes, a `,` or `+`, an empty part, an unknown kind, `node` or
    /// `auth`, or a part that could leave its folder (`.`, `..`, a control character).
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let error = || NameError::Path(text.chars().take(120).collect::<String>().into());
        let is_safe = |part: &str| {
            !part.is_empty()
                && part.len() <= 200
                && part != "."
                && part != ".."
                && !part.contains(char::is_control)
        };
        if text.len() > 512 || text.contains([',', '+', '\0', '\n', '\r']) {
            return Err(error());
        }
        let is_namespace = text.ends_with('/');
        let trimmed = text.trim_matches('/');
        if trimmed.is_empty() {
            return if is_namespace {
                Ok(Self::new(None, Kind::Nscfg, "namespace"))
            } else {
                Err(error())
            };
        }
        let parts: Vec<&str> = trimmed.split('/').collect();
        if !parts.iter().all(|part| is_safe(part)) {
            return Err(error());
        }
        let (namespace, kind, name) = match parts[..] {
            // `/svc1/` is a service all the same.
            [name] if is_namespace && !text.starts_with('/') => {
                return Ok(Self::new(Some(name), Kind::Nscfg, "namespace"));
            }
            ["node" | "auth"] => return Err(error()),
            [name] => (None, Kind::Svc, name),
            [kind, name] => (None, Kind::from_word(kind).ok_or_else(error)?, name),
            [namespace, kind, name] => {
                (Some(namespace), Kind::from_word(kind).ok_or_else(error)?, name)
            }
            _ => return Err(error()),
        };
        Ok(Self::new(namespace.filter(|namespace| *namespace != "root"), kind, name))
    }

    /// A slice of this scaler: `1.svc1` for `svc1`.
    #[must_use]
    pub fn slice(&self, number: usize) -> Self {
        Self::new(self.namespace(), self.kind(), &format!("{number}.{}", self.name()))
    }

    /// The number and the scaler, when the name is that of a slice.
    #[must_use]
    pub fn slice_of(&self) -> Option<(usize, Self)> {
        let (number, name) = self.name().split_once('.')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|_| is_number && !name.is_empty())?;
        Some((number, Self::new(self.namespace(), self.kind(), name)))
    }

    fn new(namespace: Option<&str>, kind: Kind, name: &str) -> Self {
        let kind = match (namespace, name) {
            (None, "cluster") => Kind::Ccfg,
            (None, "namespace") => Kind::Nscfg,
            _ => kind,
        };
        let text = match (namespace, kind) {
            (None, Kind::Ccfg) => "cluster".to_owned(),
            (None, Kind::Nscfg) => "/".to_owned(),
            (Some(namespace), Kind::Nscfg) => format!("{namespace}/"),
            (None, Kind::Svc) => name.to_owned(),
            (None, kind) => format!("{kind}/{name}"),
            (Some(namespace), kind) => format!("{namespace}/{kind}/{name}"),
        };
        Self { text: text.into(), kind }
    }

    /// The object `cluster`.
    #[must_use]
    pub fn cluster() -> Self {
        Self::new(None, Kind::Ccfg, "cluster")
    }

    /// The canonical path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The words of a command line that name the object, whatever it is called: `om top start` may mean the command `top`.
    #[must_use]
    pub fn command_words(&self) -> Vec<String> {
        match self.kind {
            Kind::Ccfg => vec!["cluster".to_owned()],
            kind => vec![kind.as_str().to_owned(), "-s".to_owned(), self.to_string()],
        }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The namespace, none for root.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        match self.kind {
            Kind::Nscfg => {
                Some(self.text.trim_end_matches('/')).filter(|namespace| !namespace.is_empty())
            }
            _ => {
                let mut parts = self.text.splitn(3, '/');
                let first = parts.next()?;
                parts.next().and(parts.next()).map(|_| first)
            }
        }
    }

    /// The name without namespace and kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.kind {
            Kind::Nscfg => "namespace",
            _ => self.text.rsplit('/').next().unwrap_or(&self.text),
        }
    }

    /// The configuration file, below `<etc>`.
    #[must_use]
    pub fn config_file(&self) -> String {
        let name = self.name();
        match (self.namespace(), self.kind) {
            (None, Kind::Svc | Kind::Ccfg | Kind::Nscfg) => format!("{name}.conf"),
            (None, kind) => format!("{kind}/{name}.conf"),
            (Some(namespace), Kind::Nscfg) => format!("namespaces/{namespace}/namespace.conf"),
            (Some(namespace), kind) => format!("namespaces/{namespace}/{kind}/{name}.conf"),
        }
    }

    /// The private folder, below `<var>`.
    #[must_use]
    pub fn var_dir(&self) -> String {
        let (kind, name) = (self.kind, self.name());
        match self.namespace() {
            None => format!("{kind}/{name}"),
            Some(namespace) => format!("namespaces/{namespace}/{kind}/{name}"),
        }
    }

    /// The log file, below `<log>`.
    #[must_use]
    pub fn log_file(&self) -> String {
        let (kind, name) = (self.kind, self.name());
        match (self.namespace(), kind) {
            (None, Kind::Svc | Kind::Ccfg) => format!("{name}.log"),
            (None, kind) => format!("{kind}/{name}.log"),
            (Some(namespace), kind) => format!("namespaces/{namespace}/{kind}/{name}.log"),
        }
    }

    /// The path that a configuration file, relative to `<etc>`, belongs to; none for other files.
    #[must_use]
    pub fn from_config_file(file: &str) -> Option<Self> {
        let stem = file.strip_suffix(".conf")?;
        let parts: Vec<&str> = stem.split('/').collect();
        let text = match parts[..] {
            [name] if !name.starts_with('.') => name.to_owned(),
            [kind @ ("vol" | "cfg" | "sec" | "usr"), name] => format!("{kind}/{name}"),
            ["namespaces", namespace, "namespace"] => format!("{namespace}/"),
            ["namespaces", namespace, kind, name] => format!("{namespace}/{kind}/{name}"),
            _ => return None,
        };
        // A name whose file lies elsewhere (as `namespaces/root/..`) is not that object's file.
        Self::parse(&text).ok().filter(|path| path.config_file() == file)
    }

    /// Fully qualified name: `<name>.<namespace|root>.<kind>.<clustername>`.
    #[must_use]
    pub fn fullname(&self, clustername: &str) -> String {
        format!(
            "{}.{}.{}.{clustername}",
            self.name(),
            self.namespace().unwrap_or("root"),
            self.kind
        )
    }

    /// `<namespace|root>/<kind>/<name>`, what selectors match.
    #[must_use]
    pub fn long(&self) -> String {
        format!("{}/{}/{}", self.namespace().unwrap_or("root"), self.kind, self.name())
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl std::borrow::Borrow<str> for ObjectPath {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl std::str::FromStr for ObjectPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl Serialize for ObjectPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ObjectPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Makes a relative path absolute in `namespace`: one with another namespace stays. A trailing `@node` travels along.
#[must_use]
pub fn resolve_path(path: &str, namespace: Option<&str>) -> String {
    let (path, node) = match path.split_once('@') {
        Some((path, node)) => (path, format!("@{node}")),
        None => (path, String::new()),
    };
    match (ObjectPath::parse(path), namespace) {
        (Ok(parsed), Some(namespace))
            if parsed.namespace().is_none() && parsed.kind() != Kind::Ccfg =>
        {
            format!("{namespace}/{}/{}{node}", parsed.kind(), parsed.name())
        }
        (Ok(parsed), _) => format!("{parsed}{node}"),
        (Err(_), _) => format!("{path}{node}"),
    }
}

/// Checks a path that is about to be created: its name is held to more than that of a file that is there.
///
/// # Errors
///
/// [`NameError::Path`] or [`NameError::Creation`] with the first rule broken.
pub fn validate_object_name(text: &str) -> Result<ObjectPath, NameError> {
    let path = ObjectPath::parse(text)?;
    let error = |reason| Err(NameError::Creation { path: text.into(), reason });
    let is_word = |text: &str, extra: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    let has_ends = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    if let Some(namespace) = path.namespace() {
        if !is_word(namespace, "-") || !has_ends(namespace) {
            return error(
                "a namespace has letters, digits and dashes, starts with a letter and ends with one or a digit",
            );
        }
        if Kind::from_word(namespace).is_some() {
            return error("a namespace may not be the name of a kind");
        }
    }
    let name = path.name();
    let base = match name.split_once('.') {
        Some((index, rest)) if !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()) => {
            rest
        }
        _ => name,
    };
    if base.len() < 2 {
        return error("a name has two characters or more");
    }
    if !is_word(base, "-.") || !has_ends(base) {
        return error(
            "a name has letters, digits, dashes and dots, starts with a letter and ends with one or a digit",
        );
    }
    if base.contains("..") || base.as_bytes()[1] == b'.' {
        return error("a name has no two dots in a row and no dot as second character");
    }
    if Kind::from_word(base).is_some() {
        return error("a name may not be the name of a kind");
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
