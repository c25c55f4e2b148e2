//! The command line at work: what `om` does once its arguments are read.
//!
//! One file per group of commands; `om` has what they share. Results go to stdout, everything else to stderr.
//! Exit codes: 0 done, 1 refused or failed, 2 wrong usage; where the code is an answer, 69 and 64 instead of 1 and 2.

mod api;
mod certificates;
mod complete;
mod config_edit;
mod contexts;
mod create;
mod ctx;
mod daemon;
mod dequeue;
mod doc;
mod doctor;
mod events;
mod explain;
mod failure;
mod history;
mod instance;
mod interrupted;
mod join;
mod keys;
mod known;
mod logs;
mod mon;
mod node;
mod nodes;
mod object;
pub mod om;
mod operations;
mod others;
mod remote;
mod rotate;
mod schedule;
mod screen;
mod select;
mod shutdown;
mod stock;
mod story;
mod streams;
mod support;
mod systemd;
mod target;
mod terminal;
mod tips;
mod top;
mod xmlrpc;

use std::process::ExitCode;

use cli::Command;
use wire::jsonpath::JsonPath;

use machine::paths::Paths;

use crate::om::{Failure, Om, complain, note, print};

/// Carries a command out and returns the exit code.
#[must_use]
pub fn run(mut command: Command) -> ExitCode {
    let paths = Paths::from_env();
    let nodename = match machine::clock::local_nodename() {
        Ok(nodename) => nodename,
        Err(error) => {
            complain(&format!(
                "the name of this host is none for a node: {error}: set OSVC_NODENAME"
            ));
            return ExitCode::FAILURE;
        }
    };
    let answers = answers(&command);
    if let Err(reason) = check_filter(&command) {
        complain(&format!("--filter: {reason}"));
        return ExitCode::from(if answers { cli::NOT_ASKED } else { 2 });
    }
    if let Err(failure) = name_server(&mut command) {
        failure.lines.iter().for_each(|line| complain(line));
        return ExitCode::from(if answers { cli::NOT_ASKED } else { failure.code });
    }
    if let Err(failure) = tips::check_nodes(&command, &paths, &nodename) {
        failure.lines.iter().for_each(|line| complain(line));
        return ExitCode::from(if answers { cli::NOT_ANSWERED } else { failure.code });
    }
    let done = match command {
        Command::Help(text) => {
            print(&text);
            Ok(0)
        }
        Command::Daemon(command) => {
            let om = Om::new(paths, nodename, command.output);
            daemon::run(&om, command.action, &command.target, command.server.as_deref())
        }
        Command::Node(command) => {
            let om = Om::new(paths, nodename, command.output);
            node::run(&om, command.action, &command.target, command.server.as_deref())
        }
        Command::Pool(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            stock::pool(&om, &command)
        }
        Command::Net(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            stock::net(&om, &command)
        }
        Command::Object(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            object::run(&om, *command)
        }
        Command::Monitor(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            mon::run(&om, &command)
        }
        Command::RotateSecret(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            rotate::run(&om, &command)
        }
        Command::WhatIf(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            operations::whatif::run(&om, &command)
        }
        Command::Roll(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            operations::roll::run(&om, &command)
        }
        Command::Doc(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            doc::run(&om, &command)
        }
        Command::Api(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            api::run(&om, &command)
        }
        Command::Context(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            ctx::run(&om, &command.action)
        }
        Command::Complete(words) => {
            complete::run(&paths, &words);
            Ok(0)
        }
        Command::Top(mut command) => {
            let om = Om::new(paths, nodename, std::mem::take(&mut command.output));
            top::run(&om, &command)
        }
        Command::Demo(_) => Err(Failure::new("the demo is started by main")),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(mut failure) => {
            if answers {
                failure.code = if failure.code == 2 { cli::NOT_ASKED } else { cli::NOT_ANSWERED };
            }
            tell(&failure);
            ExitCode::from(failure.code)
        }
    }
}

/// Where no server is named, that of the context in use. What the daemon runs, and what is done here, needs none.
fn name_server(command: &mut Command) -> Result<(), Failure> {
    if drivers::origin::is_from_daemon() {
        return Ok(());
    }
    match command.server_mut() {
        Some(server @ None) => {
            *server = contexts::server()?;
            Ok(())
        }
        Some(Some(_)) | None => Ok(()),
    }
}

/// What is wrong with `--filter`.
fn check_filter(command: &Command) -> Result<(), String> {
    let Some(filter) = command.filter() else { return Ok(()) };
    JsonPath::parse(filter).map_err(|error| error.to_string())?;
    if !command.writes_data() {
        return Err("this command writes nothing that a path selects from".to_owned());
    }
    Ok(())
}

/// Tells why a command failed, and whose rights it lacked.
fn tell(failure: &Failure) {
    failure.lines.iter().for_each(|line| complain(line));
    if drivers::origin::is_from_daemon() {
        // Nobody reads that. Without a log yet, this is nothing.
        failure.lines.iter().for_each(|line| log::error!("{line}"));
    }
    let denied = std::io::ErrorKind::PermissionDenied.to_string();
    let is_denied = |line: &String| line.to_lowercase().contains(&denied.to_lowercase());
    if failure.lines.iter().any(is_denied) {
        note("this user may not: run it as root, or as the owner of the agent's folders");
    }
}

/// Whether the exit code is an answer, so that a failure must have another one.
fn answers(command: &Command) -> bool {
    use cli::{ConfigAction, NodeAction, NodeCommand, ObjectAction};
    match command {
        Command::Object(command) => matches!(
            command.action,
            ObjectAction::Status { .. }
                | ObjectAction::Frozen
                | ObjectAction::Config(ConfigAction::Validate)
        ),
        Command::Node(NodeCommand { action, .. }) => {
            matches!(action, NodeAction::Frozen | NodeAction::Config(ConfigAction::Validate))
        }
        _ => false,
    }
}

/// Tells of a word alone what it may be: an object that is here, or one that is near it.
pub fn say_object(words: &[String]) {
    let [word] = words else { return };
    let paths = Paths::from_env();
    let known: Vec<String> =
        files::read::list_objects(&paths).into_keys().map(|path| path.to_string()).collect();
    let Some(near) = model::nearest(word, known.iter().map(String::as_str)) else { return };
    note(&format!("{near} is an object: `om {near} print status` shows it"));
}
