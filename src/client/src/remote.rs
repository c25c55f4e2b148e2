//! Actions that the daemon carries out, here or on other nodes, and what it answers.

use cli::Target;
use cli::render::{json as pretty, printable};
use link::link::Link;
use model::ObjectPath;
use serde_json::{Map, Value, json};
use wire::reply::status_of;
use wire::{Options, Request};

use crate::interrupted;
use crate::om::{Done, Om, addressed, complain, node_spec, print};

/// Runs an action on other nodes, by their daemons.
pub(crate) fn remote(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    action: &str,
    options: &Options,
    target: &Target,
) -> Done {
    let only_looks =
        ["get", "eval", "print", "validate"].iter().any(|word| action.starts_with(word));
    if let (false, Some(path)) = (only_looks, paths.first()) {
        interrupted::ends_with(format!(
            "the action goes on there: `om {path} print status` and `om {path} logs --follow` tell how far it is"
        ));
    }
    let mut code = 0_u8;
    for path in paths {
        let mut options = options.clone();
        // What is written there is chosen there.
        if let Some(filter) = &om.output.filter {
            options.insert("filter".to_owned(), filter.as_str().into());
        }
        let request = Request::new(wire::ObjectAction {
            path: path.to_string(),
            sync: true,
            cmd: vec![],
            command: vec![],
            action: Some(action.to_owned()),
            options,
        });
        // As long as the action takes.
        let reply = link.ask(&addressed(request, node_spec(target, None)), None)?;
        let done = if action == "validate_config" {
            show_counts(om, &reply)
        } else {
            show_outputs(om, &reply)
        };
        // What one of many cannot do is no reason not to ask the others.
        let done = match done {
            Err(failure) if paths.len() > 1 => {
                failure.lines.iter().for_each(|line| complain(&format!("{path}: {line}")));
                failure.code
            }
            done => done?,
        };
        code = if action == "validate_config" { code.saturating_add(done) } else { code.max(done) };
    }
    Ok(code)
}

/// Prints what commands on other nodes printed. The exit code is 1 when one of them failed: 2 is wrong usage.
pub(crate) fn show_outputs(om: &Om, reply: &Value) -> Done {
    show_counts(om, reply).map(|sum| sum.min(1))
}

/// The same, for what is counted by its exit code: that sums theirs.
fn show_counts(om: &Om, reply: &Value) -> Done {
    let empty = Map::new();
    let nodes = reply.get("nodes").and_then(Value::as_object);
    if let Some(nobody) = crate::om::nobody(reply) {
        return Err(nobody);
    }
    let several = nodes.is_some_and(|nodes| nodes.len() > 1);
    let parts: Vec<(&str, &Value)> = match nodes {
        Some(nodes) => nodes.iter().map(|(node, reply)| (node.as_str(), reply)).collect(),
        None => vec![("", reply)],
    };
    let mut sum = 0_i64;
    for (node, part) in parts {
        let prefix = if several { format!("{}: ", printable(node)) } else { String::new() };
        let data = part.get("data").and_then(Value::as_object).unwrap_or(&empty);
        let Some(ret) = data.get("ret").and_then(Value::as_i64) else {
            // An answer of its own: the JSON that the command printed, or a refusal.
            match status_of(part) {
                0 if part.get("status").is_none() => print(&pretty(part)),
                0 => {}
                status => sum += status.signum(),
            }
            let lines = wire::reply::Lines::of(part);
            // Alone, a node that cannot be reached is to be named nevertheless.
            let prefix = if node.is_empty() { "" } else { &format!("{}: ", printable(node)) };
            lines.errors.iter().for_each(|line| complain(&format!("{prefix}{line}")));
            continue;
        };
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        for line in text("out").lines() {
            print(&format!("{prefix}{}\n", printable(line)));
        }
        for line in text("err").lines() {
            crate::om::say(&format!("{prefix}{}\n", printable(line)));
        }
        sum += ret + status_of(part);
    }
    if nodes.is_none() && sum == 0 {
        return om.report(&json!({"status": status_of(reply)}));
    }
    Ok(u8::try_from(sum.clamp(0, 255)).unwrap_or(u8::MAX))
}
