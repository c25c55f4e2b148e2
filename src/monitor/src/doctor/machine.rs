//! What a node needs of its own machine.

use std::collections::BTreeMap;

use model::Check;

use crate::doctor::facts::{Daemon, Facts, Held, Mistake, or_pass};

/// Less than that, and files can soon not be written any more.
const FULL_BYTES: u64 = 64 << 20;
const FULL_FILES: u64 = 1000;
/// The part of a disk that is to stay free.
const FREE_PERCENT: u64 = 5;

const DAY_SECONDS: f64 = 86_400.0;

pub(super) fn daemon(facts: &Facts) -> Vec<Check> {
    const ID: &str = "daemon";
    vec![match &facts.daemon {
        Daemon::Answers => Check::pass(ID, "the daemon runs and answers"),
        Daemon::Stopped => Check::fail(ID, "no daemon runs", "om daemon start"),
        Daemon::Silent { pid } => {
            let what = format!("the daemon, pid {pid}, runs and does not answer");
            Check::fail(ID, what, "om daemon restart; om node logs may tell why")
        }
        Daemon::Unseen { reason } => {
            let what = format!("whether the daemon runs cannot be told: {reason}");
            Check::warn(ID, what, "run om doctor as root, or as the owner of the agent's folders")
        }
    }]
}

/// One line for each file: its first mistake, and how many follow.
pub(super) fn configuration(facts: &Facts) -> Vec<Check> {
    const ID: &str = "configuration";
    let mut by_command: BTreeMap<&str, Vec<&Mistake>> = BTreeMap::new();
    for mistake in &facts.mistakes {
        by_command.entry(&mistake.command).or_default().push(mistake);
    }
    let line = |(command, mistakes): (&str, Vec<&Mistake>)| {
        let worst = mistakes.iter().find(|mistake| mistake.is_error);
        let shown = worst.or(mistakes.first())?;
        let what = match mistakes.len() - 1 {
            0 => shown.text.clone(),
            more => format!("{}, and {more} more", shown.text),
        };
        Some(match worst {
            Some(_) => Check::fail(ID, what, command),
            None => Check::warn(ID, what, command),
        })
    };
    let wrong = by_command.into_iter().filter_map(line).collect();
    or_pass(ID, wrong, "the configuration files have no mistakes")
}

/// Whether the listener has its port.
pub(super) fn port(facts: &Facts) -> Vec<Check> {
    const ID: &str = "port";
    let port = facts.port.port;
    let is_running = match facts.daemon {
        Daemon::Answers | Daemon::Silent { .. } => true,
        Daemon::Stopped => false,
        Daemon::Unseen { .. } => return vec![],
    };
    let another = format!(
        "end it, or choose another port: om cluster set --kw listener.port@{}=PORT",
        facts.nodename
    );
    vec![match &facts.port.held {
        Held::Other { who } => {
            Check::fail(ID, format!("{who} listens on port {port} of the daemon"), another)
        }
        Held::Ours if is_running => Check::pass(ID, format!("the daemon listens on port {port}")),
        Held::Ours => Check::fail(ID, format!("another process listens on port {port}"), another),
        Held::Free if is_running => Check::fail(
            ID,
            format!("the daemon does not listen on port {port}: no other node reaches it"),
            "om mon tells why; om daemon start --thread-id listener",
        ),
        Held::Free => Check::pass(ID, format!("port {port} is free for the daemon")),
    }]
}

/// One line for each tool.
pub(super) fn tools(facts: &Facts) -> Vec<Check> {
    const ID: &str = "tools";
    let mut by_tool: BTreeMap<&str, (bool, Vec<&str>)> = BTreeMap::new();
    for tool in &facts.missing_tools {
        let (is_required, resources) = by_tool.entry(&tool.tool).or_default();
        *is_required |= tool.is_required;
        resources.push(&tool.resource);
    }
    let line = |(tool, (is_required, resources)): (&str, (bool, Vec<&str>))| {
        let shown = match resources.as_slice() {
            [one] => (*one).to_owned(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
            [] => return None,
        };
        let remedy = format!("install the package that has {tool}, or add its folder to PATH");
        Some(match is_required {
            true => Check::fail(ID, format!("{tool} is missing, which {shown} needs"), remedy),
            false => Check::warn(ID, format!("{tool} is missing, which {shown} would use"), remedy),
        })
    };
    let wrong = by_tool.into_iter().filter_map(line).collect();
    or_pass(ID, wrong, "the tools of the configured resources are there")
}

pub(super) fn disk(facts: &Facts) -> Vec<Check> {
    const ID: &str = "disk";
    let mut wrong = vec![];
    for disk in &facts.disks {
        let remedy = format!("make room on the file system of {}", disk.folder);
        let mib = disk.free_bytes >> 20;
        let is_out_of_files = disk.free_files.is_some_and(|left| left < FULL_FILES);
        // Never of a file system that is small by itself.
        let is_full = disk.free_bytes < FULL_BYTES.min(disk.size_bytes / 100 * FREE_PERCENT);
        if is_out_of_files {
            let left = disk.free_files.unwrap_or_default();
            wrong.push(Check::fail(
                ID,
                format!("{}: only {left} more files can be made", disk.folder),
                remedy,
            ));
        } else if is_full {
            wrong.push(Check::fail(ID, format!("{}: {mib} MiB are left", disk.folder), remedy));
        } else if disk.free_bytes < disk.size_bytes / 100 * FREE_PERCENT {
            let what = format!("{}: less than {FREE_PERCENT} % is left, {mib} MiB", disk.folder);
            wrong.push(Check::warn(ID, what, remedy));
        }
    }
    or_pass(ID, wrong, "the folders of the agent have room")
}

pub(super) fn watches(facts: &Facts) -> Vec<Check> {
    const ID: &str = "watches";
    let warn = |reason: &String| {
        let remedy = "sysctl fs.inotify.max_user_watches=1048576 fs.inotify.max_user_instances=1024, and in /etc/sysctl.d";
        Check::warn(ID, format!("files cannot be watched: {reason}"), remedy)
    };
    or_pass(ID, facts.unwatched.iter().map(warn).collect(), "the kernel watches files")
}

pub(super) fn certificate(facts: &Facts) -> Vec<Check> {
    const ID: &str = "certificate";
    if facts.certificates.is_empty() {
        return vec![];
    }
    let mut wrong = vec![];
    for certificate in &facts.certificates {
        let (path, key) = (&certificate.path, &certificate.key);
        let days = certificate.seconds_left / DAY_SECONDS;
        let remedy = certificate.remedy.clone();
        if days <= 0.0 {
            wrong.push(Check::fail(
                ID,
                format!("{path} key {key}: the certificate has ended"),
                remedy,
            ));
        } else if certificate.seconds_left < certificate.told_seconds {
            let what = format!("{path} key {key}: the certificate ends in {days:.1} days");
            wrong.push(Check::warn(ID, what, remedy));
        }
    }
    or_pass(ID, wrong, "no certificate is about to end")
}
