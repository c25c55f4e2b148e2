//! Who asks.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::grants::{Grants, Roles};

/// How a user proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// It has the rights of root on this node.
    UnixSocket,
    /// It knows the secret of the cluster.
    Secret,
    /// A token of the OpenID provider.
    Token,
    /// Name and password.
    Basic,
    /// A certificate.
    Certificate,
}

impl Auth {
    /// As `whoami` writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnixSocket => "uxsock",
            Self::Secret => "secret",
            Self::Token => "jwt",
            Self::Basic => "basic",
            Self::Certificate => "x509",
        }
    }
}

/// Who asks, and what it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name; `nobody` for who proved nothing.
    pub name: String,
    /// Namespace of its object, if it has one.
    pub namespace: Option<String>,
    /// How it proved that; none for nobody.
    pub auth: Option<Auth>,
    /// What it may.
    pub grants: Grants,
}

impl User {
    /// The administrator, who proved it so.
    #[must_use]
    pub fn root(auth: Auth) -> Self {
        Self { name: "root".to_owned(), namespace: None, auth: Some(auth), grants: Grants::root() }
    }

    /// Who proved nothing.
    #[must_use]
    pub fn nobody() -> Self {
        Self { name: "nobody".to_owned(), namespace: None, auth: None, grants: Grants::default() }
    }

    /// Whether it proved who it is.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.auth.is_some()
    }

    /// The answer of `whoami`, over the namespaces that there are.
    #[must_use]
    pub fn whoami<'a>(&'a self, namespaces: &'a BTreeSet<String>) -> Whoami<'a> {
        let grant = match self.auth {
            None => Roles::default(),
            // It is no object: nothing was granted by word.
            Some(Auth::UnixSocket | Auth::Secret) => Roles::root(),
            Some(_) if self.grants == Grants::default() => Roles::default(),
            Some(_) => self.grants.roles(namespaces),
        };
        // A user without the keyword has none.
        let is_object = matches!(self.auth, Some(Auth::Basic | Auth::Certificate));
        let raw_grant = Some(self.grants.raw()).filter(|raw| !is_object || !raw.is_empty());
        Whoami {
            auth: self.auth.map(Auth::as_str),
            grant,
            name: &self.name,
            namespace: self.namespace.as_deref(),
            raw_grant,
        }
    }
}

/// The answer of `whoami`.
#[derive(Debug, Serialize)]
pub struct Whoami<'a> {
    auth: Option<&'static str>,
    grant: Roles<'a>,
    name: &'a str,
    namespace: Option<&'a str>,
    raw_grant: Option<&'a str>,
}
