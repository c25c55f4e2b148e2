//! `om node`: the node, its state, its configuration and its log.

use std::time::{Duration, Instant};

use cli::render::{Sections, monitor, printable};
use cli::{NodeAction, Target, Wait};
use model::NodeName;
use serde_json::{Value, json};
use wire::Request;
use wire::reply::status_of;

use link::link::Link;
use machine::durable;

use crate::config_edit::document::Owner;
use crate::config_edit::{Elsewhere, there};
use crate::nodes::{expand, members, members_of, selected};
use crate::om::{ANSWER, Done, Failure, Om, addressed, complain, node_spec, note, print, seconds};
use crate::operations::{drain, exec};
use crate::{
    config_edit, contexts, dequeue, doctor, events, history, interrupted, known, logs, remote,
    schedule, screen, stock, support,
};

/// A wait is asked for in slices, as the daemon keeps none longer than 30 s. Deployed clients ask in the same.
const SLICE: Duration = Duration::from_secs(10);

pub(super) fn run(om: &Om, action: NodeAction, target: &Target, server: Option<&str>) -> Done {
    let link = || om.link(server);
    let is_remote = || server.is_some_and(|server| server.starts_with(contexts::SCHEME));
    match action {
        NodeAction::Ping => ping(om, target, server),
        NodeAction::Config(action) => match target {
            Target::Nodes(_) => remote_config(om, &link()?, &action, target),
            Target::Default if is_remote() => remote_config(om, &link()?, &action, target),
            Target::Default | Target::Local => config_edit::node(om, &action),
        },
        NodeAction::Freeze(wait) => freeze(om, target, server, true, &wait),
        NodeAction::Thaw(wait) => freeze(om, target, server, false, &wait),
        NodeAction::Frozen => match target {
            Target::Nodes(_) => remote(om, &link()?, "frozen", target),
            Target::Default if is_remote() => remote(om, &link()?, "frozen", target),
            Target::Default | Target::Local => Ok(u8::from(om.paths.node_frozen().exists())),
        },
        NodeAction::Drain { wait, dry_run } => drain::run(om, target, server, (&wait, dry_run)),
        NodeAction::Exec { id, run } => match target {
            Target::Nodes(_) => exec::elsewhere(om, &link()?, target, &id, run.as_deref()),
            Target::Default | Target::Local => exec::run(om, &id, run.as_deref()),
        },
        NodeAction::PrintBoot => match target {
            Target::Nodes(_) => remote(om, &link()?, "print_boot", target),
            Target::Default if is_remote() => remote(om, &link()?, "print_boot", target),
            Target::Default | Target::Local => exec::print_boot(om),
        },
        NodeAction::Logs(options) => {
            let node = node_spec(target, None);
            logs::node(om, &link()?, &options, node)
        }
        NodeAction::Events => events::run(om, &link()?, target, server),
        NodeAction::DequeueActions => dequeue::run(om),
        NodeAction::Ls => list(om, &link, target, server),
        NodeAction::PrintStatus => {
            let data = known::status(&link()?, None, None)?;
            let sections = Sections { nodes: true, ..Sections::named(&["nodes".to_owned()]) };
            om.show(&data, |data| {
                screen::fitted(monitor(
                    data,
                    None,
                    &sections,
                    "",
                    screen::room(0, 1),
                    machine::clock::now(),
                ))
            });
            Ok(0)
        }
        NodeAction::PrintSchedule => {
            schedule::print_schedule(om, &link()?, Some("node".to_owned()), target)
        }
        NodeAction::PrintCapabilities => match target {
            Target::Nodes(_) => remote(om, &link()?, "print_capabilities", target),
            Target::Default if is_remote() => remote(om, &link()?, "print_capabilities", target),
            Target::Default | Target::Local => stock::capabilities(om),
        },
        NodeAction::Doctor => doctor::run(om, target, server),
        NodeAction::Support { file } => support::run(om, target, server, file.as_deref()),
        NodeAction::History(options) => history::nodes(om, &link()?, &options, target),
        NodeAction::Wait { condition, time } => wait_for(&link()?, &condition, time.map(seconds)),
    }
}

/// Lists the nodes that are meant, as the daemon knows them or as they are configured here.
fn list(
    om: &Om,
    link: &dyn Fn() -> Result<Link, Failure>,
    target: &Target,
    server: Option<&str>,
) -> Done {
    let names = match target {
        Target::Nodes(selector) => {
            let names = selected(om, &link()?, server, selector)?;
            if names.is_empty() {
                return Err(Failure::new("no node is selected: `om node ls` lists them"));
            }
            names
        }
        Target::Default | Target::Local => match server {
            Some(_) => members_of(&link()?)?,
            None => members(om)?,
        },
    };
    om.show(&json!(names), |_| names.iter().map(|name| format!("{}\n", printable(name))).collect());
    Ok(0)
}

/// Asks each node itself: a ping through another daemon would tell about that one too.
fn ping(om: &Om, target: &Target, server: Option<&str>) -> Done {
    let link = om.link(server)?;
    if let (true, Target::Default, Some(server)) = (link.is_remote(), target, server) {
        let reply = link.ask(&Request::new(wire::BlacklistStatus {}), Some(ANSWER))?;
        let is_alive = status_of(&reply) == 0;
        print(&format!("{server} is {}\n", if is_alive { "alive" } else { "not alive" }));
        return Ok(u8::from(!is_alive));
    }
    let names = match target {
        Target::Nodes(selector) => expand(&link, selector),
        Target::Default | Target::Local => vec![om.nodename.to_string()],
    };
    if names.is_empty() {
        return Err(Failure::new("no node is selected"));
    }
    let request = Request::new(wire::BlacklistStatus {});
    let mut code = 0;
    for name in names {
        let link = if link.is_local(&name) { link.clone() } else { link.to_node(&name) };
        match link.ask(&request, Some(ANSWER)) {
            Ok(reply) if status_of(&reply) == 0 => {
                print(&format!("{} is alive\n", printable(&name)))
            }
            Ok(reply) => {
                print(&format!("{} is not alive\n", printable(&name)));
                wire::reply::Lines::of(&reply).errors.iter().for_each(|line| complain(line));
                code = 1;
            }
            Err(error) => {
                print(&format!("{} is not alive\n", printable(&name)));
                complain(&error.to_string());
                code = 1;
            }
        }
    }
    Ok(code)
}

fn freeze(om: &Om, target: &Target, server: Option<&str>, is_freeze: bool, wait: &Wait) -> Done {
    let word = if is_freeze { "frozen" } else { "thawed" };
    match target {
        Target::Local => {
            let file = om.paths.node_frozen();
            if is_freeze {
                // The time of the file tells since when: an older freeze stays, unless it was the node's own decision.
                if machine::regular::words(&file).is_none_or(|reason| !reason.trim().is_empty()) {
                    durable::write(&file, b"", 0o644)?;
                }
            } else {
                durable::remove(&file)?;
            }
            wake(om, word);
            Ok(0)
        }
        Target::Nodes(selector) => {
            let (action, what) = if is_freeze { ("freeze", "freezes") } else { ("thaw", "thaws") };
            let link = om.link(server)?;
            let names = expand(&link, selector);
            if !names.is_empty() {
                note(&format!("{what} {}", names.join(", ")));
            }
            remote(om, &link, action, target)
        }
        Target::Default => {
            let link = om.link(server)?;
            let request = wire::NodeMonitor {
                local_expect: None,
                global_expect: Some(word.to_owned()),
                status: None,
            };
            let local = (!link.is_remote()).then_some(&om.nodename);
            note(&whom(&link, local, is_freeze)?);
            let code = om.report(&link.ask(&Request::new(request), Some(ANSWER))?)?;
            if wait.wait {
                interrupted::ends_with(
                    "what was asked goes on: `om mon --watch` follows it".to_owned(),
                );
                let condition = format!("monitor.frozen={word}");
                return wait_for(&link, &condition, wait.time.map(seconds));
            }
            Ok(code)
        }
    }
}

/// Which nodes a freeze or a thaw of all is about: what a colleague froze elsewhere is not thawed without a word.
fn whom(link: &Link, local: Option<&NodeName>, is_freeze: bool) -> Result<String, Failure> {
    let data = known::status(link, None, None)?;
    let nodes = data["monitor"]["nodes"].as_object().into_iter().flatten();
    let is_frozen = |node: &Value| node["frozen"].as_f64().is_some_and(|time| time != 0.0);
    let meant = nodes.filter(|(_, node)| is_frozen(node) != is_freeze);
    let (own, others): (Vec<&str>, Vec<&str>) = meant
        .map(|(name, _)| name.as_str())
        .partition(|name| local.is_some_and(|it| it.as_str() == *name));
    let (what, action) = if is_freeze { ("freezes", "freeze") } else { ("thaws", "thaw") };
    let Some(local) = local else {
        // From outside, no node is this one.
        return Ok(match others.is_empty() {
            true => format!("{action} is for all nodes of the cluster: none is left to {action}"),
            false => format!("{what} {}", others.join(", ")),
        });
    };
    Ok(match (own.is_empty(), others.is_empty()) {
        (true, true) => {
            format!("{action} is for all nodes of the cluster: none is left to {action}")
        }
        (false, true) => format!("{what} {local}"),
        (true, false) => {
            format!("{what} {}, and not {local}, which is so already", others.join(", "))
        }
        (false, false) => format!(
            "{what} {local}, and {} too: `om node {action} --local` is for {local} alone",
            others.join(", ")
        ),
    })
}

/// Runs `om node <action> --local` on other nodes.
fn remote(om: &Om, link: &Link, action: &str, target: &Target) -> Done {
    let mut options: serde_json::Map<String, Value> =
        [("local".to_owned(), Value::Bool(true))].into_iter().collect();
    if let Some(filter) = &om.output.filter {
        options.insert("filter".to_owned(), filter.as_str().into());
    }
    let action = wire::NodeAction {
        sync: true,
        action_mode: true,
        action: Some(action.to_owned()),
        options,
    };
    let request = addressed(Request::new(action), node_spec(target, None));
    remote::show_outputs(om, &link.ask(&request, Some(ANSWER))?)
}

/// Tells the daemon, if one runs, that files changed; it would see them by itself a little later.
pub(super) fn wake(om: &Om, reason: &str) {
    let request =
        wire::WakeMonitor { path: None, reason: Some(reason.to_owned()), immediate: true };
    if let Ok(link) = om.link(None) {
        _ = link.ask(&Request::new(request), Some(ANSWER));
    }
}

/// Waits until a condition on the cluster data holds; `timeout` and exit code 1 when it does not in time.
pub(super) fn wait_for(link: &Link, condition: &str, within: Option<Duration>) -> Done {
    let start = Instant::now();
    loop {
        let left = within.map(|within| within.saturating_sub(start.elapsed()));
        let slice = left.map_or(SLICE, |left| left.min(SLICE));
        let request = Request::new(wire::Wait { condition: condition.to_owned(), duration: slice });
        let reply = link.ask(&request, Some(slice + ANSWER))?;
        if reply.pointer("/data/satisfied").and_then(Value::as_bool) == Some(true) {
            return Ok(0);
        }
        if reply.pointer("/data/satisfied").is_none() {
            let lines = wire::reply::Lines::of(&reply).errors;
            return Err(Failure { lines, code: 1 });
        }
        if within.is_some_and(|within| start.elapsed() >= within) {
            note(&format!("timeout: still waiting for {condition}"));
            return Ok(1);
        }
    }
}

/// A configuration command on other nodes: their own `om node` runs it.
fn remote_config(om: &Om, link: &Link, action: &cli::ConfigAction, target: &Target) -> Done {
    let (action, mut options) = match Elsewhere::of(action) {
        Elsewhere::Action(action, options) => (action, options),
        Elsewhere::Editing(how) => {
            return there::edit(om, link, &Owner::Node, target, how).map(|()| 0);
        }
    };
    if let Some(filter) = &om.output.filter {
        options.insert("filter".to_owned(), filter.as_str().into());
    }
    let request = wire::NodeAction { sync: true, action_mode: true, action: Some(action), options };
    let reply = link.ask(&addressed(Request::new(request), node_spec(target, None)), None)?;
    remote::show_outputs(om, &reply)
}
