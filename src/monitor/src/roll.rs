//! A walk from node to node: in which order, and when a node is well enough to go on
//! (src/monitor/README.md, Maintenance).

use std::collections::{BTreeMap, BTreeSet};

use model::{Aggregate, NodeData, NodeMonitorStatus, NodeName, ObjectPath, Status};

/// What a node knows of the cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Glance {
    /// The data of the nodes that are heard.
    pub nodes: BTreeMap<NodeName, NodeData>,
    /// The state of each object.
    pub objects: BTreeMap<ObjectPath, Aggregate>,
}

impl Glance {
    /// Whether a node is frozen.
    #[must_use]
    pub fn is_frozen(&self, node: &NodeName) -> bool {
        let frozen = self.nodes.get(node).and_then(|data| data.frozen);
        frozen.is_some_and(|time| time.0 != 0.0)
    }

    /// Why a node cannot be counted on; none for one that is heard, idle, and has evaluated its instances.
    #[must_use]
    pub fn not_ready(&self, node: &NodeName) -> Option<String> {
        let data = self.nodes.get(node);
        let Some((data, monitor)) = data.and_then(|data| Some((data, data.monitor.as_ref()?)))
        else {
            return Some(format!("{node} is not heard"));
        };
        if monitor.status != NodeMonitorStatus::Idle {
            return Some(format!("{node} is in {}", monitor.status));
        }
        let instances = data.services.as_ref()?.status.iter();
        let mut open = instances.filter(|(path, it)| path.kind().has_instances() && !it.is_known());
        let (open, _) = open.next()?;
        Some(format!("{open} on {node} is not evaluated yet"))
    }

    /// What is up or warn.
    #[must_use]
    pub fn available(&self) -> BTreeMap<ObjectPath, Status> {
        let avail = |(path, object): (&ObjectPath, &Aggregate)| {
            let avail = object.avail.clone()?;
            matches!(avail, Status::Up | Status::Warn).then(|| (path.clone(), avail))
        };
        self.objects.iter().filter_map(avail).collect()
    }

    /// The first object that is less available than it was; those of `except` are not looked at.
    #[must_use]
    pub fn less_available(
        &self,
        before: &BTreeMap<ObjectPath, Status>,
        except: &BTreeSet<ObjectPath>,
    ) -> Option<String> {
        let is_less = |(path, was): &(&ObjectPath, &Status)| {
            let avail = self.objects.get(*path).and_then(|object| object.avail.as_ref());
            match was {
                _ if except.contains(*path) => false,
                Status::Up => avail != Some(&Status::Up),
                _ => !matches!(avail, Some(Status::Up | Status::Warn)),
            }
        };
        let (path, was) = before.iter().find(is_less)?;
        let avail = self.objects.get(path).and_then(|object| object.avail.as_ref());
        Some(format!("{path} is {}, and was {was}", avail.map_or("unknown", Status::as_str)))
    }

    /// How many instances run on a node.
    fn load(&self, node: &NodeName) -> usize {
        let services = self.nodes.get(node).and_then(|data| data.services.as_ref());
        let instances = services.into_iter().flat_map(|services| services.status.values());
        instances.filter(|it| matches!(it.avail, Some(Status::Up | Status::Warn))).count()
    }

    /// The order in which nodes are done: the fewest running instances first, so that most services move once only; the
    /// node from which it is done last.
    #[must_use]
    pub fn roll_order(&self, nodes: &[NodeName], local: &NodeName) -> Vec<NodeName> {
        let mut order = nodes.to_vec();
        order.sort_by_key(|node| (node == local, self.load(node), node.clone()));
        order
    }

    /// Why a node is left out; none for one that is to be done.
    #[must_use]
    pub fn left_out(&self, node: &NodeName, is_forced: bool) -> Option<String> {
        let is_left = self.is_frozen(node) && !is_forced;
        is_left.then(|| "it is frozen: somebody works there".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn glance(nodes: Value, objects: Value) -> Glance {
        Glance {
            nodes: serde_json::from_value(nodes).unwrap(),
            objects: serde_json::from_value(objects).unwrap(),
        }
    }

    fn node(frozen: u32, status: &str, instances: Value) -> Value {
        json!({
            "frozen": frozen, "monitor": {"status": status},
            "services": {"status": instances},
        })
    }

    #[test]
    fn a_node_is_ready_once_it_is_heard_idle_and_evaluated() {
        let up = json!({"web": {"updated": 5, "avail": "up"}});
        let nodes = json!({
            "n1": node(0, "idle", up.clone()), "n2": node(0, "rejoin", up),
            "n3": node(0, "idle", json!({"web": {"avail": "n/a"}})), "n4": {},
        });
        let glance = glance(nodes, json!({}));
        let told = |text| glance.not_ready(&name(text));
        assert_eq!(told("n1"), None);
        assert_eq!(told("n2").as_deref(), Some("n2 is in rejoin"));
        assert_eq!(told("n3").as_deref(), Some("web on n3 is not evaluated yet"));
        assert_eq!(told("n4").as_deref(), Some("n4 is not heard"));
        assert_eq!(told("n5").as_deref(), Some("n5 is not heard"));
    }

    #[test]
    fn what_was_up_is_to_be_up_again() {
        let path = |text: &str| ObjectPath::parse(text).unwrap();
        let at = |web: &str, db: &str| {
            glance(json!({}), json!({"web": {"avail": web}, "db": {"avail": db}}))
        };
        let before = at("up", "warn").available();
        let less = |now: Glance, except: &[&str]| {
            now.less_available(&before, &except.iter().map(|text| path(text)).collect())
        };
        assert_eq!(less(at("up", "warn"), &[]), None);
        assert_eq!(less(at("up", "up"), &[]), None);
        assert_eq!(less(at("warn", "up"), &[]).as_deref(), Some("web is warn, and was up"));
        assert_eq!(less(at("up", "down"), &[]).as_deref(), Some("db is down, and was warn"));
        assert_eq!(less(at("up", "down"), &["db"]), None);
        assert_eq!(less(Glance::default(), &["db"]).as_deref(), Some("web is unknown, and was up"));
    }

    #[test]
    fn the_emptiest_node_is_first_and_the_own_one_last() {
        let up = |paths: &[&str]| {
            let up = json!({"updated": 5, "avail": "up"});
            Value::Object(paths.iter().map(|path| ((*path).to_owned(), up.clone())).collect())
        };
        let nodes = json!({
            "n1": node(0, "idle", json!({})), "n2": node(0, "idle", up(&["a", "b"])),
            "n3": node(7, "idle", up(&["c"])),
        });
        let glance = glance(nodes, json!({}));
        let all = ["n1", "n2", "n3"].map(name);
        assert_eq!(glance.roll_order(&all, &name("n1")), ["n3", "n2", "n1"].map(name));
        assert_eq!(glance.roll_order(&all, &name("n9")), ["n1", "n3", "n2"].map(name));
        assert_eq!(glance.left_out(&name("n1"), false), None);
        assert!(glance.left_out(&name("n3"), false).is_some());
        assert_eq!(glance.left_out(&name("n3"), true), None);
    }
}
