//! Object settings from the configurations of the cases, as `conf` evaluates them.

use std::collections::BTreeMap;
use std::sync::Arc;

use conf::{Context, NodeConf, ObjectConf};
use model::{NodeName, ObjectPath, ObjectSettings};

/// A configuration as seen on a node: its settings, and the tags of its resources.
pub(crate) fn evaluate(
    text: &str,
    path: &ObjectPath,
    node: &NodeName,
    cluster: &[NodeName],
) -> (ObjectSettings, BTreeMap<String, Vec<String>>) {
    let names: Vec<&str> = cluster.iter().map(NodeName::as_str).collect();
    let cluster = format!("[cluster]\nname = demo\nnodes = {}\n", names.join(" "));
    let node = NodeConf::parse(node.clone(), &cluster, "").expect("a node configuration");
    let ctx = Context::new(Arc::new(node));
    let conf = ObjectConf::parse(path.clone(), text).expect("an object configuration");
    let (settings, _) = conf.settings(&ctx);
    let tags = |rid: &String| {
        let tags = conf.ini().get(rid, "tags").unwrap_or_default();
        (rid.clone(), tags.split_whitespace().map(str::to_owned).collect())
    };
    let tags = settings.resources.keys().map(tags).collect();
    (settings, tags)
}
