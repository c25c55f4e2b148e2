//! `om cluster roll`: node by node, drain, reboot or run a command, wait until healthy, thaw.
//!
//! One roll is under way at a time, from whichever node (`claim.rs`). How far it is stands in a file, written before each step:
//! whatever ends the command, `--resume` goes on from there.

mod alone;
mod state;
mod steps;

use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use cli::render::printable;
use cli::{LONGEST_WAIT, RollCommand, RollWork};
use link::link::Link;
use machine::durable;
use model::{NodeName, Roll, RollJob, RollNode, RollStage};
use serde_json::json;

use crate::contexts;
use crate::interrupted;
use crate::nodes::selected;
use crate::om::{Done, Failure, Om, note, print, seconds};
use crate::operations::claim::Held;
use crate::operations::roll::state::{State, leaves_no_majority, wants_nothing};
use crate::operations::roll::steps::Walk;
use crate::operations::{glance, whatif};

pub(crate) fn run(om: &Om, command: &RollCommand) -> Done {
    if contexts::server()?.is_some() {
        return Err(Failure::new(
            "a roll keeps how far it is on the node where it runs: log in there, or leave the context (`om ctx unset`)",
        ));
    }
    let state = State::of(om);
    let held = Held::take(&om.paths)?;
    if command.discard {
        let is_left = state.0.exists();
        durable::remove(&state.0)?;
        match (is_left, command.work.is_none()) {
            (true, _) => note(
                "the last roll is forgotten: what it left frozen or drained stays so, `om mon` tells",
            ),
            (false, true) => return Err(Failure::new("no roll was left unfinished here")),
            (false, false) => {}
        }
        if command.work.is_none() {
            return Ok(0);
        }
    }
    let link = om.link(None)?;
    let before = if command.discard { Ok(None) } else { state.read() };
    let mut roll = match (command.resume, before?) {
        (true, Some(roll)) => roll,
        (true, None) => return Err(Failure::new("no roll was left unfinished here")),
        (false, Some(roll)) if !command.dry_run => {
            return Err(Failure::new(format!(
                "the last roll is not over: {}. `om cluster roll --resume` goes on with it, --discard forgets it",
                told(&roll)
            )));
        }
        (false, _) => begin(om, &link, command)?,
    };
    if command.resume && command.force {
        roll.force = true;
    }
    if command.dry_run {
        return dry_run(om, &link, &roll);
    }
    alone::claim(om, &link, &held, &roll)?;
    confirm(&link, &roll, command.yes)?;
    state.write(&roll)?;
    interrupted::ends_with(
        "the roll stops here, what runs on the node goes on: `om cluster roll --resume` goes on with it"
            .to_owned(),
    );
    let time = command.time.map_or(LONGEST_WAIT, seconds);
    let walked = walk(om, &link, &state, &mut roll, time);
    if om.is_machine_readable() {
        om.show(&json!(roll), cli::render::json);
    }
    walked
}

/// The nodes in their order, none begun.
fn begin(om: &Om, link: &Link, command: &RollCommand) -> Result<Roll, Failure> {
    let selector = command.nodes.as_deref().unwrap_or("*");
    let names = selected(om, link, None, selector)?;
    let names: Vec<NodeName> = names.iter().filter_map(|name| NodeName::new(name).ok()).collect();
    if names.is_empty() {
        return Err(Failure::new("no node is selected: `om node ls` lists them"));
    }
    let job = match &command.work {
        Some(RollWork::Run(text)) => {
            // What is mistyped is told before the first node is emptied.
            drivers::command_words(text).map_err(Failure::usage)?;
            RollJob::Run(text.clone())
        }
        Some(RollWork::Reboot) | None => RollJob::Reboot,
    };
    let order = glance::ask(link)?.roll_order(&names, &om.nodename);
    Ok(Roll {
        begun: machine::clock::now(),
        job,
        all: command.all,
        force: command.force,
        nodes: order.into_iter().map(RollNode::new).collect(),
    })
}

/// How far a roll is: `n2 done, n3 failed: ..`.
fn told(roll: &Roll) -> String {
    let stage = |node: &RollNode| match node.stage {
        RollStage::Pending => "to be done",
        RollStage::Draining => "being drained",
        RollStage::Working => "at work",
        RollStage::Recovering => "waited for",
        RollStage::Thawing => "being thawed",
        RollStage::Done => "done",
        RollStage::Skipped => "skipped",
    };
    let each = roll.nodes.iter().map(|node| match &node.reason {
        None => format!("{} {}", node.node, stage(node)),
        Some(reason) if node.stage == RollStage::Skipped => {
            format!("{} skipped ({reason})", node.node)
        }
        Some(reason) => format!("{} failed ({reason})", node.node),
    });
    each.collect::<Vec<_>>().join(", ")
}

fn job(roll: &Roll) -> String {
    match &roll.job {
        RollJob::Reboot => "reboot".to_owned(),
        RollJob::Run(command) => format!("run `{command}`"),
    }
}

/// Tells the order, and what would become of the services at each node.
fn dry_run(om: &Om, link: &Link, roll: &Roll) -> Done {
    let glance = glance::ask(link)?;
    let mut plans = vec![];
    let mut text = format!("{} on each node, one after the other:\n", job(roll));
    let mut is_refused = false;
    for node in roll.nodes.iter().filter(|node| !node.is_over()) {
        let name = &node.node;
        let skipped = match glance.not_ready(name) {
            Some(reason) => Some(format!("refused: {reason}")),
            None => match glance.left_out(name, roll.force) {
                Some(reason) => Some(format!("skipped: {reason}")),
                None => match wants_nothing(link, roll, name)? {
                    Some(reason) => Some(reason),
                    None => leaves_no_majority(link, roll, name)?
                        .map(|reason| format!("refused without --force: {reason}")),
                },
            },
        };
        is_refused |= skipped.as_ref().is_some_and(|reason| reason.starts_with("refused"));
        if let Some(reason) = skipped {
            text += &format!("\n{name}: {}\n", printable(&reason));
            plans.push(json!({"node": name, "skipped": reason}));
            continue;
        }
        let foretold = whatif::ask(link, &[name.to_string()], &[])?;
        let lost = foretold.without_place().count();
        is_refused |= lost > 0 && !roll.force;
        text += &format!("\n{name}: {}", cli::render::what_if(&foretold));
        if lost > 0 && !roll.force {
            text += "refused without --force: a service would have no place\n";
        }
        plans.push(json!({"node": name, "what_if": foretold}));
    }
    text += "\nnothing was done\n";
    om.show(&json!({"job": roll.job, "nodes": plans}), |_| text);
    Ok(u8::from(is_refused))
}

/// Asks whoever sits at the terminal.
fn confirm(link: &Link, roll: &Roll, is_confirmed: bool) -> Result<(), Failure> {
    let open = roll.nodes.iter().filter(|node| !node.is_over());
    let names: Vec<&str> = open.map(|node| node.node.as_str()).collect();
    note(&format!("{}: {}", job(roll), names.join(", then ")));
    if is_confirmed {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "nobody can be asked here: --yes does it, --dry-run tells what",
        ));
    }
    if let Some(last) = names.last().filter(|name| link.is_local(name))
        && roll.job == RollJob::Reboot
    {
        note(&format!(
            "{last} is this node: it is rebooted last, and `om cluster roll --resume` here, once it is back, thaws it"
        ));
    }
    print("go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was done")),
    }
}

/// Does one node after the other, and stops at the first that fails.
fn walk(om: &Om, link: &Link, state: &State, roll: &mut Roll, time: Duration) -> Done {
    for at in 0..roll.nodes.len() {
        if roll.nodes.get(at).is_none_or(RollNode::is_over) {
            continue;
        }
        let mut walk = Walk { om, link, state, roll, at, time };
        match walk.node() {
            Ok(true) => {}
            // This machine goes down.
            Ok(false) => return Ok(0),
            Err(failure) => {
                let reason = failure.lines.join("; ");
                let name = roll.nodes.get(at).map(|node| node.node.clone());
                if let Some(node) = roll.nodes.get_mut(at) {
                    node.reason = Some(reason.clone());
                }
                state.write(roll)?;
                let name = name.map(|name| name.to_string()).unwrap_or_default();
                return Err(Failure {
                    lines: vec![
                        format!("{name}: {reason}"),
                        format!("the roll stops: {}", told(roll)),
                        "mend it, then `om cluster roll --resume` goes on; --discard gives up, and leaves all as it is".to_owned(),
                    ],
                    code: 1,
                });
            }
        }
    }
    durable::remove(&state.0)?;
    note(&format!("the roll is over: {}", told(roll)));
    Ok(0)
}
