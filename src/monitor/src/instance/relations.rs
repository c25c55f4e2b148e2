//! Parents, children and slaves (src/monitor/README.md, Relations).

use model::{MonitorStatus, NodeName, ObjectPath, Provisioned, Status};

use crate::hold::Related;
use crate::instance::cx::Cx;
use crate::instance::rules;
use crate::world::{ObjectView, World};

/// An object that a keyword names: `path`, or `path@node` for its instance there.
#[derive(Debug)]
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

    fn is_available(&self, world: &dyn World) -> bool {
        match &self.node {
            Some(node) => world
                .instance(node, &self.path)
                .is_some_and(|status| is_available(status.avail.as_ref())),
            None => world
                .aggregate(&self.path)
                .is_none_or(|aggregate| is_available(aggregate.avail.as_ref())),
        }
    }

    fn is_moving(&self, world: &dyn World) -> bool {
        ObjectView::new(world, &self.path).known().any(|seen| is_moving(&seen.monitor.status))
    }

    fn show(&self, world: &dyn World) -> Related {
        let avail = match &self.node {
            Some(node) => world.instance(node, &self.path).and_then(|status| status.avail.clone()),
            None => world.aggregate(&self.path).and_then(|aggregate| aggregate.avail.clone()),
        };
        let name = match &self.node {
            Some(node) => format!("{}@{node}", self.path),
            None => self.path.to_string(),
        };
        let doing = ObjectView::new(world, &self.path)
            .known()
            .filter(|seen| is_moving(&seen.monitor.status))
            .map(|seen| (seen.node.clone(), seen.monitor.status.clone()))
            .collect();
        Related { name, avail, doing }
    }
}

fn is_moving(status: &MonitorStatus) -> bool {
    status.is_transitioning() || status.is_waiting()
}

impl Cx<'_> {
    /// What a keyword names. An object that names itself would wait for itself, for ever.
    fn relations(&self, texts: &[String]) -> impl Iterator<Item = Relation> {
        let own = self.view.path;
        texts.iter().filter_map(|text| Relation::parse(text)).filter(move |it| it.path != *own)
    }

    /// Whether what the object needs is there. An object that the cluster does not know is no obstacle.
    pub(super) fn are_parents_available(&self) -> bool {
        let world = self.view.world;
        self.relations(&self.settings.parents).all(|parent| parent.is_available(world))
    }

    /// The parents that are not.
    pub(super) fn missing_parents(&self) -> Vec<Related> {
        let world = self.view.world;
        self.relations(&self.settings.parents)
            .filter(|parent| !parent.is_available(world))
            .map(|parent| parent.show(world))
            .collect()
    }

    /// Whether an action runs on a parent, or a parent waits.
    pub(super) fn is_parent_moving(&self) -> bool {
        self.relations(&self.settings.parents).any(|parent| parent.is_moving(self.view.world))
    }

    /// The parents of which that is true.
    pub(super) fn moving_parents(&self) -> Vec<Related> {
        let world = self.view.world;
        self.relations(&self.settings.parents)
            .filter(|parent| parent.is_moving(world))
            .map(|parent| parent.show(world))
            .collect()
    }

    /// Whether the parents are there to stay, as far as one can tell.
    pub(super) fn are_parents_settled(&self) -> bool {
        self.are_parents_available() && !self.is_parent_moving()
    }

    fn children(&self) -> impl Iterator<Item = Relation> {
        self.relations(&self.settings.children).chain(self.relations(&self.settings.slaves))
    }

    /// Whether what needs the object is down everywhere.
    pub(super) fn are_children_down(&self) -> bool {
        self.children().all(|child| self.is_child_down(&child))
    }

    /// What is not.
    pub(super) fn children_not_down(&self) -> Vec<Related> {
        let children = self.children().filter(|child| !self.is_child_down(child));
        children.map(|child| child.show(self.view.world)).collect()
    }

    /// Whether what needs the object is down and unprovisioned everywhere.
    pub(super) fn are_children_unprovisioned(&self) -> bool {
        self.children().all(|child| self.is_child_unprovisioned(&child))
    }

    /// What is not.
    pub(super) fn children_not_unprovisioned(&self) -> Vec<Related> {
        let children = self.children().filter(|child| !self.is_child_unprovisioned(child));
        children.map(|child| child.show(self.view.world)).collect()
    }

    fn is_child_unprovisioned(&self, child: &Relation) -> bool {
        let provisioned = match &child.node {
            Some(node) => {
                self.view.world.instance(node, &child.path).and_then(|status| status.provisioned)
            }
            None => {
                self.view.world.aggregate(&child.path).and_then(|aggregate| aggregate.provisioned)
            }
        };
        let is_left = || {
            let world = self.view.world;
            let view = ObjectView::new(world, &child.path);
            view.known()
                .filter(|seen| child.node.as_ref().is_none_or(|node| seen.node == node))
                .any(|seen| rules::is_to_unprovision(seen, view.settings))
        };
        let is_unprovisioned =
            matches!(provisioned, None | Some(Provisioned::No | Provisioned::NotApplicable));
        self.is_child_down(child) && (is_unprovisioned || !is_left())
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
        self.children().all(|child| self.is_child_down_here(&child))
    }

    /// What is not.
    pub(super) fn children_not_down_here(&self) -> Vec<Related> {
        let children = self.children().filter(|child| !self.is_child_down_here(child));
        children.map(|child| child.show(self.view.world)).collect()
    }

    fn is_child_down_here(&self, child: &Relation) -> bool {
        let world = self.view.world;
        world
            .instance(world.local_node(), &child.path)
            .is_none_or(|status| rules::is_stopped(status.avail.as_ref()))
    }
}

fn is_available(avail: Option<&Status>) -> bool {
    rules::is_started(avail) || avail == Some(&Status::Unknown)
}
