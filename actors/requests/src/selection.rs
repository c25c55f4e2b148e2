//! Which objects a selector means, seen from this node.

use std::collections::BTreeSet;
use std::sync::Arc;

use conf::{ObjectSelector, Objects};
use model::{Kind, ObjectPath};
use serde_json::Value;

use dataset::config::LoadedConfig;
use dataset::snapshot::Snapshot;
use mail::requests::Refused;

use crate::context::{Context, selecting};

/// All that a selector is expanded over, at one moment.
pub(super) struct Scope {
    snapshot: Arc<Snapshot>,
    config: Arc<LoadedConfig>,
}

/// The objects selected, found outside of the arbiter of the connection: as [`Scope::select`].
pub(super) async fn select(
    context: &Context,
    selector: Option<&str>,
    namespace: Option<&str>,
    kind: Option<Kind>,
) -> Result<Vec<ObjectPath>, Refused> {
    let scope = Scope::new(context);
    let (selector, namespace) = (selector.map(str::to_owned), namespace.map(str::to_owned));
    let select = move || scope.select(selector.as_deref(), namespace.as_deref(), kind);
    selecting(select).await?
}

/// Reads object paths of lists that may carry a node: `svc1@n1`.
fn related(words: &[String]) -> impl Iterator<Item = ObjectPath> + '_ {
    words.iter().filter_map(|word| {
        ObjectPath::parse(word.split_once('@').map_or(word.as_str(), |(path, _)| path)).ok()
    })
}

impl Scope {
    pub(super) fn new(context: &Context) -> Self {
        let (snapshot, config) = (context.snapshot(), context.config());
        Self { snapshot, config }
    }

    /// Whether a namespace option keeps an object: `root` for those without namespace.
    fn is_in(namespace: Option<&str>, path: &ObjectPath) -> bool {
        namespace.is_none_or(|wanted| path.namespace().unwrap_or("root") == wanted)
    }

    /// The objects selected: all for no selector, none for an empty one.
    pub(super) fn select(
        &self,
        selector: Option<&str>,
        namespace: Option<&str>,
        kind: Option<Kind>,
    ) -> Result<Vec<ObjectPath>, Refused> {
        let Some(selector) = selector else {
            let mut paths = self.paths();
            paths.retain(|path| {
                Self::is_in(namespace, path) && kind.is_none_or(|kind| path.kind() == kind)
            });
            return Ok(paths);
        };
        if selector.is_empty() {
            return Ok(vec![]);
        }
        let mut paths = ObjectSelector { namespace, kind }
            .expand(selector, self)
            .map_err(|error| Refused::new(400, error.to_string()))?;
        paths.retain(|path| Self::is_in(namespace, path));
        Ok(paths)
    }

    /// Whether a selector selects this object: costs a look at this one only. `steps` is what that may cost, and what is
    /// left of it; none when it was not enough.
    pub(super) fn selects(
        &self,
        steps: &mut u64,
        selector: &str,
        path: &ObjectPath,
    ) -> Option<bool> {
        let one = One { scope: self, path };
        let selected = ObjectSelector::default().expand_within(steps, selector, &one);
        selected.ok().map(|selected| !selected.is_empty())
    }

    /// Adds children, slaves and parents.
    pub(super) fn with_relatives(&self, paths: Vec<ObjectPath>) -> BTreeSet<ObjectPath> {
        let mut found = BTreeSet::new();
        let mut todo = paths;
        while let Some(path) = todo.pop() {
            if !found.insert(path.clone()) {
                continue;
            }
            for node in self.snapshot.nodes().values() {
                let Some(status) = node.status.get(&path) else { continue };
                for words in [&status.children, &status.slaves, &status.parents] {
                    todo.extend(related(words));
                }
            }
        }
        found
    }
}

/// One object of a scope.
struct One<'a> {
    scope: &'a Scope,
    path: &'a ObjectPath,
}

impl Objects for One<'_> {
    fn paths(&self) -> Vec<ObjectPath> {
        vec![self.path.clone()]
    }

    fn keyword(&self, path: &ObjectPath, section: &str, keyword: &str) -> Option<conf::Value> {
        self.scope.keyword(path, section, keyword)
    }

    fn sections(&self, path: &ObjectPath) -> Vec<String> {
        self.scope.sections(path)
    }

    fn status(&self, path: &ObjectPath) -> Option<Value> {
        self.scope.status(path)
    }
}

impl Objects for Scope {
    fn paths(&self) -> Vec<ObjectPath> {
        let paths: BTreeSet<&ObjectPath> =
            self.snapshot.services().keys().chain(self.config.objects.keys()).collect();
        paths.into_iter().cloned().collect()
    }

    fn keyword(&self, path: &ObjectPath, section: &str, keyword: &str) -> Option<conf::Value> {
        let object = self.config.objects.get(path)?;
        let found = object.conf().eval(&self.config.context, section, keyword).ok()?;
        (!found.value.is_null()).then_some(found.value)
    }

    fn sections(&self, path: &ObjectPath) -> Vec<String> {
        let object = self.config.objects.get(path);
        object.map_or_else(Vec::new, |object| {
            object.conf().ini().sections().map(str::to_owned).collect()
        })
    }

    fn status(&self, path: &ObjectPath) -> Option<Value> {
        self.snapshot.services().contains_key(path).then(|| self.snapshot.object_status(path))
    }
}
