//! Joining and leaving the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use conf::Ini;
use files::edit::Target;
use files::read::read_file;
use machine::crash;
use mail::cluster_data::ForgetPeer;
use mail::requests::{NotNow, Outcome, Refused, Transport};
use mail::secrets::Rotate;
use mail::standing::Leaves;
use model::{NodeName, ObjectPath};
use serde_json::{Map, Value, json};

use crate::context::{Context, blocking};
use crate::edit::edit;
use crate::locks;

/// Name of the cluster lock of a join (src/dataset/README.md, Locks).
const LOCK: &str = "join";
/// Longest wait for it, as in deployed agents.
const LOCK_WAIT: Duration = Duration::from_secs(120);
/// Longest wait until all nodes dropped it.
const RELEASE_WAIT: Duration = Duration::from_secs(10);
/// By how many seconds what a joiner gets is older than the cluster.conf that it is made of.
const OLDER: f64 = 0.01;
/// Keywords of `[cluster]` in node.conf that a joiner gets.
const CLUSTER_KEYWORDS: &[&str] = &["name", "nodes", "drpnodes", "id", "quorum", "dns"];
/// Sections of node.conf that a joiner gets.
const SECTIONS: &[&str] = &["hb#", "stonith#", "pool#", "network#", "arbitrator#"];

/// The members as a file writes them; none if it does not say, or says it by references: the members in force are written
/// then.
fn written_nodes(ini: &Ini) -> Option<Vec<String>> {
    let nodes = ini.get("cluster", "nodes").filter(|nodes| !nodes.contains('{'))?;
    Some(nodes.split_whitespace().map(str::to_owned).collect())
}

/// The file whose `cluster.nodes` is in force: node.conf if it has the keyword, else cluster.conf.
fn nodes_target(context: &Context) -> Target {
    if context.config().node.conf.node.get("cluster", "nodes").is_some() {
        Target::Node
    } else {
        Target::Object(ObjectPath::cluster())
    }
}

/// POST `join`: the sender becomes a member, and gets the configuration of the cluster. One that is a member already
/// gets the same, and nothing is written. Whatever happens to the sender meanwhile, it may ask again.
pub(super) async fn join(context: &Context, options: &wire::Join) -> Result<Outcome, Refused> {
    // Nothing is written, so nobody is to be kept from writing. A joiner that fell before it wrote its files is a member
    // that nobody hears: no lock could be had until it joined again.
    if context.config().node.nodes.contains(&context.caller.nodename) {
        return joined(context).await;
    }
    let held = locks::take(context, LOCK, options.timeout.min(LOCK_WAIT)).await?;
    let held = held.ok_or_else(|| {
        let missing = unlocked(context);
        log::warn!(node:% = context.caller.nodename, missing = missing.as_str(); "join refused: the lock was not acquired");
        Refused::new(503, not_acquired(&missing))
    })?;
    crash::point("join.locked");
    let added = add(context, &context.caller.nodename).await;
    crash::point("join.added");
    // The members fetch the new cluster.conf meanwhile; one that went away is waited for no longer than this.
    if held.release(context, RELEASE_WAIT).await.is_err() {
        log::warn!(name = LOCK; "cluster lock not released");
    }
    crash::point("join.released");
    added.map_err(|error| Refused::new(1, error))?;
    joined(context).await
}

/// The text of deployed agents, and who is waited for.
fn not_acquired(missing: &str) -> String {
    if missing.is_empty() {
        return "Lock not acquired: another join holds it".to_owned();
    }
    format!(
        "Lock not acquired: {missing} did not confirm it, and may be down or paused. No node was added: join again when it is \
         back or forgotten, or take it out of cluster.nodes"
    )
}

/// The peers that do not show the lock: why it was not acquired.
fn unlocked(context: &Context) -> String {
    let snapshot = context.snapshot();
    let without = snapshot.nodes().iter().filter(|(name, node)| {
        **name != context.mail.nodename && !node.data.locks.contains_key(LOCK)
    });
    without.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
}

async fn add(context: &Context, joiner: &NodeName) -> Result<(), String> {
    let name = joiner.to_string();
    let config = context.config();
    let members = config.node.nodes.clone();
    let is_unheard = !config.node.conf.has_heartbeats();
    edit(context, nodes_target(context), move |ini| {
        // A file that does not say has the default: the members in force.
        let mut nodes =
            written_nodes(ini).unwrap_or_else(|| members.iter().map(ToString::to_string).collect());
        if nodes.contains(&name) {
            return Ok((false, ()));
        }
        nodes.push(name.clone());
        ini.set("cluster", "nodes", &nodes.join(" ")).map_err(|error| error.to_string())?;
        log::info!(node = name; "node joined");
        if is_unheard && conf::first_heartbeat(ini).map_err(|error| error.to_string())? {
            log::info!("the cluster had no heartbeat: hb#1 is added, of type unicast");
        }
        Ok((true, ()))
    })
    .await
}

/// What a joiner needs: what node.conf says of the cluster, and all of cluster.conf.
async fn joined(context: &Context) -> Result<Outcome, Refused> {
    let paths = context.mail.paths.clone();
    let read = blocking(move || {
        let node = read_file(&paths.node_conf()).map(|file| file.text).unwrap_or_default();
        (node, read_file(&files::last_good::file_in_force(&paths, &ObjectPath::cluster())))
    });
    let (node, cluster) = read.await?;
    let broken = |name, error| Refused::new(1, format!("{name}: {error}"));
    let node = node_part(&Ini::parse(&node).map_err(|error| broken("node.conf", error))?);
    let mut data = Map::new();
    data.insert("node".into(), json!({"data": node}));
    // A cluster may be described in node.conf alone.
    if let Ok(file) = cluster {
        let ini = Ini::parse(&file.text).map_err(|error| broken("cluster.conf", error))?;
        let mut sections = ini.to_json();
        let metadata = json!({"name": "cluster", "kind": "ccfg", "namespace": null});
        sections.insert("metadata".into(), metadata);
        // An object has no order, and no comments: a deployed joiner writes what it gets, with this time. By that it is
        // older than the file of the members, which it fetches from them then, byte for byte.
        let mtime = file.mtime.0 - OLDER;
        data.insert("cluster".into(), json!({"data": sections, "mtime": mtime}));
    }
    Ok(wire::reply::data(data).into())
}

fn node_part(ini: &Ini) -> Value {
    let mut data = Map::new();
    let env = ini.get("node", "env").map(|env| json!({"env": env}));
    data.insert("node".into(), env.unwrap_or_else(|| json!({})));
    let keywords = CLUSTER_KEYWORDS.iter();
    let cluster: BTreeMap<&str, &str> =
        keywords.filter_map(|keyword| Some((*keyword, ini.get("cluster", keyword)?))).collect();
    data.insert("cluster".into(), json!(cluster));
    for (name, section) in ini.to_json() {
        if SECTIONS.iter().any(|prefix| name.starts_with(prefix)) {
            data.insert(name, section);
        }
    }
    Value::Object(data)
}

/// POST `leave`: the sender is a member no more. Over the control socket it is the local node that leaves, and so it is
/// where this node fans the request out, for its own part.
pub(super) async fn leave(context: &Context) -> Outcome {
    let leaver = match context.caller.transport {
        Transport::Unix | Transport::Http => context.mail.nodename.clone(),
        Transport::Classic | Transport::Sealed => context.caller.nodename.clone(),
    };
    match remove(context, leaver).await {
        Ok(()) => wire::reply::done().into(),
        Err(error) => json!({"status": 1, "error": [error]}).into(),
    }
}

/// POST `rotate_secret`.
pub(super) async fn rotate_secret(
    context: &Context,
    options: &wire::RotateSecret,
) -> Result<Outcome, Refused> {
    let rotated = context.ask(&context.mail.secrets, Rotate { force: options.force }).await?;
    Ok(wire::reply::data(rotated.map_err(|reason| Refused::new(1, reason))?).into())
}

async fn remove(context: &Context, leaver: NodeName) -> Result<(), String> {
    let config = context.config();
    let members: Vec<String> = config.node.nodes.iter().map(ToString::to_string).collect();
    if !members.iter().any(|node| *node == leaver.as_str()) {
        return Ok(());
    }
    // It knows by itself; and what it is told from now on may come under a secret that it has no more.
    let told = context.ask(&context.mail.standing, Leaves(leaver.clone())).await;
    told.map_err(|NotNow| "a part of the daemon is restarting, try again".to_owned())?;
    // What node.conf says is in force; it is removed there, so that cluster.conf is from now on.
    let is_in_node_conf = config.node.conf.node.get("cluster", "nodes").is_some();
    let name = leaver.to_string();
    edit(context, Target::Object(ObjectPath::cluster()), move |ini| {
        let written = if is_in_node_conf { None } else { written_nodes(ini) };
        let nodes = without(written.unwrap_or(members), &name)?;
        let is_changed = ini.set("cluster", "nodes", &nodes).map_err(|error| error.to_string())?;
        Ok((is_changed, ()))
    })
    .await?;
    crash::point("leave.removed");
    edit(context, Target::Node, |ini| Ok((ini.unset("cluster", "nodes"), ()))).await?;
    // One that is no member any more is forgotten with the configuration that says so.
    _ = context.ask(&context.mail.cluster_data, ForgetPeer(leaver.clone())).await;
    crash::point("leave.done");
    log::info!(node:% = leaver; "node left");
    Ok(())
}

/// The members that stay, as a file has them.
fn without(members: Vec<String>, leaver: &str) -> Result<String, String> {
    let left: Vec<String> = members.into_iter().filter(|node| node != leaver).collect();
    if left.is_empty() {
        return Err("the last node of a cluster does not leave it".into());
    }
    Ok(left.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joiner_gets_what_node_conf_says_of_the_cluster_and_nothing_else() {
        let ini = Ini::parse(
            "[node]\nenv = PRD\nuuid = private\n[cluster]\nname = demo\nnodes = n1\nsecret = private\n\
             [hb#1]\ntype = unicast\n[listener]\nport = 1214\n[pool#a]\ntype = shm\n",
        )
        .unwrap();
        assert_eq!(
            node_part(&ini),
            json!({
                "node": {"env": "PRD"},
                "cluster": {"name": "demo", "nodes": "n1"},
                "hb#1": {"type": "unicast"},
                "pool#a": {"type": "shm"},
            })
        );
        assert_eq!(node_part(&Ini::parse("").unwrap()), json!({"node": {}, "cluster": {}}));
        assert_eq!(written_nodes(&ini), Some(vec!["n1".to_owned()]));
    }

    #[test]
    fn a_leaver_is_taken_out_of_the_members_and_the_last_one_stays() {
        let members = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(without(members("n1 n2 n3"), "n2"), Ok("n1 n3".to_owned()));
        assert_eq!(without(members("n1 n2"), "n9"), Ok("n1 n2".to_owned()));
        assert!(without(members("n1"), "n1").is_err());
    }
}
