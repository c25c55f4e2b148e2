//! `om doctor`: what is wrong with a node, or soon will be, and what mends it.
//!
//! [`facts`] looks, `monitor::doctor` judges, `cli::render` shows. The findings of another node are those of its own `om node
//! doctor`, which its daemon runs.

mod facts;

use std::collections::BTreeMap;

use cli::Target;
use link::link::Link;
use model::{Check, Verdict};
use serde_json::{Map, Value, json};
use wire::Request;

use crate::nodes::meant;
use crate::om::{Done, Failure, Om};

/// How long the daemon of another node may take: its doctor asks all members, and looks names up.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Looks at these nodes. The exit code is 1 where something fails.
pub(super) fn run(om: &Om, target: &Target, server: Option<&str>) -> Done {
    let names = meant(om, target, server)?;
    let local = om.link(None)?;
    let (here, elsewhere): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| local.is_local(name));
    let mut found: BTreeMap<String, Vec<Check>> = BTreeMap::new();
    std::thread::scope(|scope| -> Result<(), Failure> {
        let mut asked = vec![];
        for name in elsewhere {
            let link = match server {
                // By way of the server, where this machine is no member.
                Some(server) if om.link(Some(server))?.is_remote() && server != name => {
                    om.link(Some(server))?.to_node(name)
                }
                Some(_) => om.link(Some(name))?,
                None => local.to_node(name),
            };
            asked.push((name, scope.spawn(move || ask(&link))));
        }
        for name in here {
            found.insert(name.clone(), monitor::doctor::checks(&facts::gather(om)));
        }
        for (name, asked) in asked {
            let checks = asked.join().unwrap_or_else(|_| Err("it could not be asked".to_owned()));
            found
                .insert(name.clone(), checks.unwrap_or_else(|reason| vec![unasked(name, &reason)]));
        }
        Ok(())
    })?;
    om.show(&json!(found), |_| cli::render::doctor(&found).to_string());
    let is_failed = found.values().flatten().any(|check| check.verdict == Verdict::Fail);
    Ok(u8::from(is_failed))
}

/// What is found here, for who gathers more.
pub(crate) fn found_here(om: &Om) -> Vec<Check> {
    monitor::doctor::checks(&facts::gather(om))
}

/// What is found of a node that tells nothing of itself.
fn unasked(name: &str, reason: &str) -> Check {
    let remedy = format!("log in to {name}, and run om doctor there");
    Check::fail("daemon", format!("{name} cannot be asked: {reason}"), remedy)
}

/// The findings of another node, as it tells them.
fn ask(link: &Link) -> Result<Vec<Check>, String> {
    let options = Map::from_iter([("format".to_owned(), Value::from("json"))]);
    let action = wire::NodeAction {
        sync: true,
        action_mode: true,
        action: Some("doctor".to_owned()),
        options,
    };
    let reply =
        link.ask(&Request::new(action), Some(PATIENCE)).map_err(|error| error.to_string())?;
    read(&reply).ok_or_else(|| {
        let lines = wire::reply::Lines::of(&reply).errors;
        let said = reply.pointer("/data/err").and_then(Value::as_str).unwrap_or_default();
        let said = said.lines().next_back().unwrap_or("its agent has no doctor");
        lines.first().cloned().unwrap_or_else(|| said.to_owned())
    })
}

/// The findings that a command of another node printed: of that node alone.
fn read(reply: &Value) -> Option<Vec<Check>> {
    let out = reply.pointer("/data/out")?.as_str()?;
    let found: BTreeMap<String, Vec<Check>> = serde_json::from_str(out).ok()?;
    found.into_values().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_node_printed_is_read_and_what_is_none_is_not() {
        let checks = vec![Check::pass("disk", "roomy"), Check::fail("daemon", "gone", "start it")];
        let out = cli::render::json(&json!({"n2": checks}));
        assert_eq!(read(&json!({"status": 1, "data": {"ret": 1, "out": out}})), Some(checks));
        for other in [
            json!({}),
            json!({"status": 403, "error": "no"}),
            json!({"data": {"out": "", "err": "error: unknown action", "ret": 2}}),
            json!({"data": {"out": "{}"}}),
        ] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
