//! Which objects a command is about.

use model::{Kind, NodeName, ObjectPath};
use serde_json::Value;
use wire::Request;

use dataset::config::LoadedConfig;
use files::last_good::is_kept;
use files::load::{Load as _, check_object_file};
use files::read;
use link::link::Link;
use link::link::error::AskError;

use crate::contexts;
use crate::om::{ANSWER, Failure, NAMESPACE_VARIABLE, Om};
use crate::tips;

/// The namespace of relative names: the option, else `OSVC_NAMESPACE`.
pub(super) fn namespace(option: Option<String>) -> Option<String> {
    option
        .or_else(|| std::env::var(NAMESPACE_VARIABLE).ok())
        .or_else(|| contexts::namespace().filter(|_| !drivers::origin::is_from_daemon()))
        .filter(|namespace| !namespace.is_empty())
}

/// Where a selection looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Objects with a configuration here.
    Local,
    /// Objects of the cluster.
    Cluster,
}

/// A selector, with what makes its relative names absolute.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// None: all of the kind.
    pub(super) selector: Option<String>,
    /// Kind of plain names.
    pub(super) kind: Kind,
    /// Namespace of relative names.
    pub(super) namespace: Option<String>,
}

impl Selection {
    /// The paths that a selector names without any sign of an expression; none if it is one.
    pub(super) fn literals(&self) -> Option<Vec<ObjectPath>> {
        let selector = self.selector.as_deref()?;
        if selector.contains(['*', '?', '[', '=', '<', '>', '~', ':', '+', '!', '$', '"', '\'']) {
            return None;
        }
        selector
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| self.absolute(part))
            .collect()
    }

    /// Whether it names one object, by its path.
    pub(super) fn names_one(&self) -> bool {
        self.literals().is_some_and(|paths| paths.len() == 1)
    }

    /// What selects all of the kind.
    fn all(&self) -> &'static str {
        // `**` are objects of all kinds, where no kind is asked for.
        if self.kind == Kind::Svc { "*" } else { "**" }
    }

    /// A name of this selection's kind and namespace, as a path.
    pub(super) fn absolute(&self, name: &str) -> Option<ObjectPath> {
        let text = match (name.matches('/').count(), name.ends_with('/'), &self.namespace) {
            (0, _, _) if self.kind == Kind::Nscfg => format!("{name}/"),
            (0, _, Some(namespace)) => match ObjectPath::parse(name) {
                // `cluster` is in no namespace.
                Ok(path) if path.kind() == Kind::Ccfg => name.to_owned(),
                _ => format!("{namespace}/{}/{name}", self.kind),
            },
            (0, _, None) if self.kind == Kind::Svc => name.to_owned(),
            (0, _, None) => format!("{}/{name}", self.kind),
            (1, false, Some(namespace)) => format!("{namespace}/{name}"),
            _ => name.to_owned(),
        };
        ObjectPath::parse(&text).ok()
    }

    /// The selected objects.
    pub(super) fn expand(
        &self,
        om: &Om,
        link: &Link,
        scope: Scope,
    ) -> Result<Vec<ObjectPath>, Failure> {
        if let Some(paths) = self.literals() {
            let (here, missing): (Vec<_>, Vec<_>) =
                paths.into_iter().partition(|path| om.paths.config_file(path).exists());
            if missing.is_empty() {
                return Ok(unique(here));
            }
            let known = match scope {
                Scope::Local => vec![],
                Scope::Cluster => {
                    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
                    self.ask(link, &names.join(",")).or_else(|failed| match failed {
                        // Without a daemon, what is not here is nowhere.
                        Asked::Link(AskError::NotRunning(_)) => Ok(vec![]),
                        failed => Err(Failure::from(failed)),
                    })?
                }
            };
            let nowhere: Vec<&ObjectPath> =
                missing.iter().filter(|path| !known.contains(path)).collect();
            if !nowhere.is_empty() {
                let there: Vec<ObjectPath> = match scope {
                    Scope::Cluster => self.all_known(om, link),
                    Scope::Local => read::list_objects(&om.paths).into_keys().collect(),
                };
                let tell = |path: &&ObjectPath| tips::no_such_object(path, &there);
                return Err(Failure { lines: nowhere.iter().map(tell).collect(), code: 1 });
            }
            return Ok(unique(here.into_iter().chain(known).collect()));
        }
        let selector = self.selector.as_deref().unwrap_or(self.all());
        if scope == Scope::Cluster {
            match self.ask(link, selector) {
                Ok(paths) => return Ok(paths),
                Err(Asked::Link(AskError::NotRunning(_))) => {}
                Err(failed) => return Err(failed.into()),
            }
        }
        self.expand_here(om, selector)
    }

    /// As [`Self::expand`]; that nothing is selected is an error.
    pub(super) fn expand_some(
        &self,
        om: &Om,
        link: &Link,
        scope: Scope,
    ) -> Result<Vec<ObjectPath>, Failure> {
        let paths = self.expand(om, link, scope)?;
        if paths.is_empty() {
            let selector = self.selector.as_deref().unwrap_or(self.all());
            return Err(nothing_selected(selector));
        }
        Ok(paths)
    }

    /// All objects: of the cluster, or those of this node when no daemon tells.
    fn all_known(&self, om: &Om, link: &Link) -> Vec<ObjectPath> {
        let all = Self { selector: None, kind: Kind::Svc, namespace: None };
        all.ask(link, "**").unwrap_or_else(|_| read::list_objects(&om.paths).into_keys().collect())
    }

    fn kind_filter(&self) -> Option<Kind> {
        // `om svc` is where all selectors start; they may reach other kinds by naming them.
        (self.kind != Kind::Svc).then_some(self.kind)
    }

    fn ask(&self, link: &Link, selector: &str) -> Result<Vec<ObjectPath>, Asked> {
        let request = Request::new(wire::ObjectSelector {
            selector: Some(selector.to_owned()),
            namespace: self.namespace.clone(),
            kind: self.kind_filter().map(|kind| kind.to_string()),
        });
        let reply = link.ask(&request, Some(ANSWER)).map_err(Asked::Link)?;
        let Value::Array(paths) = reply else {
            return Err(Asked::Refused(wire::reply::Lines::of(&reply).errors));
        };
        Ok(paths
            .iter()
            .filter_map(Value::as_str)
            .filter_map(|path| ObjectPath::parse(path).ok())
            .collect())
    }

    fn expand_here(&self, om: &Om, selector: &str) -> Result<Vec<ObjectPath>, Failure> {
        let objects = LocalObjects(LoadedConfig::load(&om.paths, &om.nodename));
        let namespace = self.namespace.as_deref();
        conf::ObjectSelector { namespace, kind: self.kind_filter() }
            .expand(selector, &objects)
            .map_err(|error| Failure::new(error.to_string()))
    }
}

/// Refuses objects whose configuration here reads as nothing: the daemon does not know them, and would say that they do not
/// exist.
pub(super) fn refuse_unread(om: &Om, paths: &[ObjectPath]) -> Result<(), Failure> {
    let unread = paths.iter().filter(|path| path.kind() != Kind::Ccfg && !is_kept(&om.paths, path));
    let lines: Vec<String> = unread
        .filter_map(|path| check_object_file(&om.paths, path).err())
        .map(|complaint| complaint.to_string())
        .collect();
    if lines.is_empty() { Ok(()) } else { Err(Failure { lines, code: 1 }) }
}

/// A selector that selects nothing: its command fails.
pub(super) fn nothing_selected(selector: &str) -> Failure {
    Failure::new(format!("no match: no object is selected by {selector:?}: `om ls` lists them"))
}

enum Asked {
    Link(AskError),
    Refused(Vec<String>),
}

impl From<Asked> for Failure {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Link(error) => error.into(),
            Asked::Refused(lines) => Self { lines, code: 1 },
        }
    }
}

pub(super) fn unique(paths: Vec<ObjectPath>) -> Vec<ObjectPath> {
    let mut seen = std::collections::BTreeSet::new();
    paths.into_iter().filter(|path| seen.insert(path.clone())).collect()
}

/// The configurations of this node, as selectors look at them.
struct LocalObjects(LoadedConfig);

impl conf::Objects for LocalObjects {
    fn paths(&self) -> Vec<ObjectPath> {
        self.0.objects.keys().cloned().collect()
    }

    fn keyword(&self, path: &ObjectPath, section: &str, keyword: &str) -> Option<conf::Value> {
        let evaluated =
            self.0.objects.get(path)?.conf().eval(&self.0.context, section, keyword).ok()?;
        Some(evaluated.value).filter(|value| !value.is_null())
    }

    fn sections(&self, path: &ObjectPath) -> Vec<String> {
        match self.0.objects.get(path) {
            Some(object) => object.conf().ini().sections().map(str::to_owned).collect(),
            None => vec![],
        }
    }

    fn status(&self, _path: &ObjectPath) -> Option<Value> {
        // Live data is the daemon's; conditions on it select nothing without one.
        None
    }
}

/// Keeps the objects whose local instance was last seen in one of these states.
pub(super) fn in_states(om: &Om, paths: Vec<ObjectPath>, states: Option<&str>) -> Vec<ObjectPath> {
    let Some(states) = states else { return paths };
    let states: Vec<&str> = states.split(',').map(str::trim).collect();
    paths
        .into_iter()
        .filter(|path| {
            let file = om.paths.instance_status(path);
            let status: Option<Value> =
                machine::regular::states(&file).and_then(|bytes| wire::parse_json(&bytes).ok());
            let avail = status.as_ref().and_then(|status| status.get("avail")?.as_str());
            avail.is_some_and(|avail| states.contains(&avail))
        })
        .collect()
}

/// Whether this node holds an instance, as far as its configuration says.
pub(super) fn is_here(om: &Om, path: &ObjectPath) -> bool {
    om.paths.config_file(path).exists()
}

/// The nodes of an object.
pub(super) fn scope_of(om: &Om, path: &ObjectPath) -> Vec<NodeName> {
    let scope = || {
        let settings = files::load::load_node(&om.paths, om.nodename.clone()).ok()?;
        files::load::load_object(&om.paths, &settings, path).ok().map(|object| object.scope)
    };
    scope().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(kind: Kind, namespace: Option<&str>, selector: &str) -> Selection {
        Selection {
            selector: Some(selector.to_owned()),
            kind,
            namespace: namespace.map(str::to_owned),
        }
    }

    fn literals(kind: Kind, namespace: Option<&str>, selector: &str) -> Option<Vec<String>> {
        let paths = selection(kind, namespace, selector).literals()?;
        Some(paths.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn plain_names_take_the_kind_and_the_namespace_of_the_command() {
        let some =
            |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert_eq!(literals(Kind::Svc, None, "web,db"), some(&["web", "db"]));
        assert_eq!(literals(Kind::Svc, Some("prod"), "web"), some(&["prod/svc/web"]));
        assert_eq!(literals(Kind::Vol, None, "v1"), some(&["vol/v1"]));
        assert_eq!(literals(Kind::Vol, Some("prod"), "v1"), some(&["prod/vol/v1"]));
        assert_eq!(literals(Kind::Svc, Some("prod"), "cfg/c"), some(&["prod/cfg/c"]));
        assert_eq!(literals(Kind::Svc, Some("prod"), "test/svc/web"), some(&["test/svc/web"]));
        assert_eq!(literals(Kind::Ccfg, Some("prod"), "cluster"), some(&["cluster"]));
        assert_eq!(literals(Kind::Svc, None, "web*"), None);
        assert_eq!(literals(Kind::Svc, None, "app#1.type=simple"), None);
    }
}
