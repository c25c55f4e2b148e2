//! Parents, children and slaves (orchestration.md §15).

use model::{NodeName, ObjectPath, Provisioned, Status};

use super::{Cx, rules};
use crate::ObjectView;

/// An object that a keyword names: `path`, or `path@node` for its instance there.
struct Relation {
    path: ObjectPath,
    node: Option<NodeName>,
}

impl Relation {
    /// None for a name that no object can have.
    fn parse(text: &str) -> Option<Self> {
        let (path, node) = match text.split_once('@') {
            Some((path, node)) => (path, Some(NodeName::new(node).ok()?)),
            None => (text, None),
        };
        Some(Self { path: ObjectPath::parse(path).ok()?, node })
    }
}

impl Cx<'_> {
    fn relations(texts: &[String]) -> impl Iterator<Item = Relation> {
        texts.iter().filter_map(|text| Relation::parse(text))
    }

    /// Whether what the object needs is there. An object that the cluster does not know is no obstacle.
    pub(super) fn are_parents_available(&self) -> bool {
        let world = self.view.world;
        Self::relations(&self.settings.parents).all(|parent| match &parent.node {
            Some(node) => world
                .instance(node, &parent.path)
                .is_some_and(|status| is_available(status.avail.as_ref())),
            None => world
                .aggregate(&parent.path)
                .is_none_or(|aggregate| is_available(aggregate.avail.as_ref())),
        })
    }

    /// Whether an action runs on a parent, or a parent waits.
    pub(super) fn is_parent_moving(&self) -> bool {
        Self::relations(&self.settings.parents).any(|parent| {
            ObjectView::new(self.view.world, &parent.path).known().any(|seen| {
                seen.monitor.status.is_transitioning() || seen.monitor.status.is_waiting()
            })
        })
    }

    /// Whether the parents are there to stay, as far as one can tell.
    pub(super) fn are_parents_settled(&self) -> bool {
        self.are_parents_available() && !self.is_parent_moving()
    }

    fn children(&self) -> impl Iterator<Item = Relation> {
        Self::relations(&self.settings.children).chain(Self::relations(&self.settings.slaves))
    }

    /// Whether what needs the object is down everywhere.
    pub(super) fn are_children_down(&self) -> bool {
        self.children().all(|child| self.is_child_down(&child))
    }

    /// Whether what needs the object is down and unprovisioned everywhere.
    pub(super) fn are_children_unprovisioned(&self) -> bool {
        self.children().all(|child| {
            let provisioned = match &child.node {
                Some(node) => self
                    .view
                    .world
                    .instance(node, &child.path)
                    .and_then(|status| status.provisioned),
                None => self
                    .view
                    .world
                    .aggregate(&child.path)
                    .and_then(|aggregate| aggregate.provisioned),
            };
            self.is_child_down(&child)
                && matches!(provisioned, None | Some(Provisioned::No | Provisioned::NotApplicable))
        })
    }

    fn is_child_down(&self, child: &Relation) -> bool {
        let world = self.view.world;
        match &child.node {
            Some(node) => world
                .instance(node, &child.path)
                .is_none_or(|status| rules::is_stopped(status.avail.as_ref())),
            None => world
                .aggregate(&child.path)
                .is_none_or(|aggregate| rules::is_stopped(aggregate.avail.as_ref())),
        }
    }

    /// Whether what needs the object is down on this node.
    pub(super) fn are_local_children_down(&self) -> bool {
        let world = self.view.world;
        self.children().all(|child| {
            world
                .instance(world.local_node(), &child.path)
                .is_none_or(|status| rules::is_stopped(status.avail.as_ref()))
        })
    }
}

fn is_available(avail: Option<&Status>) -> bool {
    rules::is_started(avail) || avail == Some(&Status::Unknown)
}
