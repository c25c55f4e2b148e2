//! What a user may do: roles, of the cluster and on namespaces.
//!
//! A grant is written `<cluster role>` or `<role>[,<role>..]:<namespace glob>[,<namespace glob>..]`, words apart by blanks.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

/// Namespace of the objects that have none.
pub const ROOT_NAMESPACE: &str = "root";

/// What one may do with the objects of a namespace: each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks at them.
    Guest,
    /// Starts, stops and moves them.
    Operator,
    /// Changes, creates and deletes them.
    Admin,
}

impl Role {
    /// All of them, the most powerful first.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Operator, Self::Guest];

    /// As grants and errors write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// What one may do with the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterRole {
    /// Everything.
    Root,
    /// Forgets who sent invalid messages.
    BlacklistAdmin,
    /// Creates namespaces.
    Squatter,
    /// Sets priorities.
    Prioritizer,
    /// Uses the relay.
    Heartbeat,
}

impl ClusterRole {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Root, Self::BlacklistAdmin, Self::Squatter, Self::Prioritizer, Self::Heartbeat];

    /// As grants and errors write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::BlacklistAdmin => "blacklistadmin",
            Self::Squatter => "squatter",
            Self::Prioritizer => "prioritizer",
            Self::Heartbeat => "heartbeat",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// A word of a grant that grants nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// No role has this name.
    Unknown(String),
    /// A role on namespaces, without any.
    NoNamespace(String),
    /// A role of the cluster, with namespaces.
    NotOnNamespaces(String),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "{word}: no such role"),
            Self::NoNamespace(word) => write!(f, "{word}: no namespace, write {word}:<namespace>"),
            Self::NotOnNamespaces(word) => {
                write!(f, "{word}: is granted on the cluster, without namespace")
            }
        }
    }
}

impl std::error::Error for Mistake {}

/// The roles of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    raw: String,
    cluster: BTreeSet<ClusterRole>,
    /// Roles, and patterns of namespaces.
    scoped: Vec<(Role, String)>,
}

impl Grants {
    /// Whether they grant nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.cluster.is_empty() && self.scoped.is_empty()
    }

    /// Those of the administrator.
    #[must_use]
    pub fn root() -> Self {
        Self { raw: "root".to_owned(), cluster: [ClusterRole::Root].into(), scoped: vec![] }
    }

    /// Reads a keyword `grant`. What it does not understand grants nothing, and is told.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<Mistake>) {
        let mut grants = Self { raw: text.trim().to_owned(), ..Self::default() };
        let mut mistakes = vec![];
        for word in text.split_whitespace() {
            let Some((roles, namespaces)) = word.split_once(':') else {
                match (ClusterRole::from_word(word), Role::from_word(word)) {
                    (Some(role), _) => _ = grants.cluster.insert(role),
                    (None, Some(_)) => mistakes.push(Mistake::NoNamespace(word.to_owned())),
                    (None, None) => mistakes.push(Mistake::Unknown(word.to_owned())),
                }
                continue;
            };
            for role in roles.split(',') {
                let Some(found) = Role::from_word(role) else {
                    mistakes.push(match ClusterRole::from_word(role) {
                        Some(_) => Mistake::NotOnNamespaces(role.to_owned()),
                        None => Mistake::Unknown(role.to_owned()),
                    });
                    continue;
                };
                let patterns = namespaces.split(',').filter(|pattern| !pattern.is_empty());
                let before = grants.scoped.len();
                grants.scoped.extend(patterns.map(|pattern| (found, pattern.to_owned())));
                if grants.scoped.len() == before {
                    mistakes.push(Mistake::NoNamespace(role.to_owned()));
                }
            }
        }
        (grants, mistakes)
    }

    /// As it was written.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// Whether everything is granted.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.cluster.contains(&ClusterRole::Root)
    }

    /// Whether a role of the cluster is granted.
    #[must_use]
    pub fn has(&self, role: ClusterRole) -> bool {
        self.is_root() || self.cluster.contains(&role)
    }

    /// Whether a role, or one that includes it, is granted on a namespace.
    #[must_use]
    pub fn on(&self, role: Role, namespace: &str) -> bool {
        self.is_root() || self.is_granted(role, namespace)
    }

    fn is_granted(&self, role: Role, namespace: &str) -> bool {
        self.scoped
            .iter()
            .any(|(granted, pattern)| *granted >= role && conf::glob(pattern, namespace))
    }

    /// The roles on namespaces, with their patterns.
    pub(crate) fn scoped(&self) -> impl Iterator<Item = (Role, &str)> {
        self.scoped.iter().map(|(role, pattern)| (*role, pattern.as_str()))
    }

    /// Whether a role is granted on all that a pattern matches: the same pattern is, or one of everything, or, where it is a
    /// name, one that matches it.
    pub(crate) fn covers(&self, role: Role, pattern: &str) -> bool {
        let is_name = !pattern.contains(['*', '?', '[']);
        self.is_root()
            || self.scoped.iter().any(|(granted, own)| {
                *granted >= role
                    && (own == pattern || own == "*" || is_name && conf::glob(own, pattern))
            })
    }

    /// Whether a role is granted on any of the namespaces that there are.
    pub fn anywhere<'a>(&self, role: Role, namespaces: impl IntoIterator<Item = &'a str>) -> bool {
        self.is_root() || namespaces.into_iter().any(|namespace| self.is_granted(role, namespace))
    }

    /// As errors repeat them, over the namespaces that there are: `admin:a,b operator:a,b guest:a,b,c squatter`.
    #[must_use]
    pub fn shown(&self, namespaces: &BTreeSet<String>) -> String {
        let scoped = Role::ALL.into_iter().filter_map(|role| {
            let granted: Vec<&str> = self.granted(role, namespaces).collect();
            (!granted.is_empty()).then(|| format!("{}:{}", role.as_str(), granted.join(",")))
        });
        let cluster = self.cluster.iter().map(|role| role.as_str().to_owned());
        scoped.chain(cluster).collect::<Vec<_>>().join(" ")
    }

    fn granted<'a>(
        &self,
        role: Role,
        namespaces: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = &'a str> {
        namespaces
            .iter()
            .map(String::as_str)
            .filter(move |namespace| self.is_granted(role, namespace))
    }

    /// The roles by name, those on namespaces over the namespaces that there are.
    pub(crate) fn roles<'a>(&self, namespaces: &'a BTreeSet<String>) -> Roles<'a> {
        let scoped =
            Role::ALL.map(|role| (role.as_str(), Some(self.granted(role, namespaces).collect())));
        let cluster = self.cluster.iter().map(|role| (role.as_str(), None));
        let mut roles: Vec<_> = scoped.into_iter().chain(cluster).collect();
        roles.sort_unstable_by_key(|(name, _)| *name);
        Roles(roles)
    }
}

/// Roles as `whoami` shows them: those of the cluster are null, those on namespaces the lists of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles<'a>(Vec<(&'static str, Option<Vec<&'a str>>)>);

impl Roles<'_> {
    /// Those of root.
    pub(crate) fn root() -> Self {
        Self(vec![(ClusterRole::Root.as_str(), None)])
    }
}

impl Serialize for Roles<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, granted)| (name, granted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn namespaces() -> BTreeSet<String> {
        ["prod", "root", "system", "test"].map(str::to_owned).into()
    }

    #[test]
    fn a_grant_is_read_and_what_is_none_is_told() {
        let (grants, mistakes) = Grants::parse(
            "admin,operator:te* guest:* blacklistadmin heartbeat bogus nobody:test admin root:x guest:",
        );
        let words: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "bogus: no such role",
                "nobody: no such role",
                "admin: no namespace, write admin:<namespace>",
                "root: is granted on the cluster, without namespace",
                "guest: no namespace, write guest:<namespace>",
            ]
        );
        assert_eq!(
            json!(grants.roles(&namespaces())),
            json!({"admin": ["test"], "operator": ["test"], "guest": ["prod", "root", "system", "test"],
                "blacklistadmin": null, "heartbeat": null})
        );
        assert!(
            !grants.is_root()
                && grants.has(ClusterRole::Heartbeat)
                && !grants.has(ClusterRole::Squatter)
        );
        assert!(grants.on(Role::Guest, "new") && !grants.on(Role::Operator, "prod"));
    }

    #[test]
    fn a_role_includes_those_below_it_on_the_same_namespaces() {
        let (grants, _) = Grants::parse("admin:test squatter");
        assert_eq!(grants.shown(&namespaces()), "admin:test operator:test guest:test squatter");
        assert!(grants.on(Role::Guest, "test") && !grants.on(Role::Guest, "prod"));
        assert!(
            !grants.anywhere(Role::Guest, ["prod"])
                && grants.anywhere(Role::Admin, ["prod", "test"])
        );
    }

    #[test]
    fn root_passes_everything() {
        let root = Grants::root();
        assert!(
            root.on(Role::Admin, "any")
                && root.anywhere(Role::Guest, [])
                && root.has(ClusterRole::Squatter)
        );
        assert_eq!(Grants::parse("").0, Grants::default());
    }
}
