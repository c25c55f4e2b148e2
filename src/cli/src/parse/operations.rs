//! What is asked for around maintenance.

use crate::command::{
    Command, DrillOptions, NodeAction, Probe, RollCommand, RollWork, WhatIfCommand,
};
use crate::parse::reader::Reader;
use crate::usage::{Usage, usage};

/// `--run`: an option behind it is a forgotten command.
fn command(reader: &Reader<'_>) -> Result<Option<String>, Usage> {
    let run = reader.text("run").filter(|text| !text.trim().is_empty());
    match run.as_deref().filter(|text| text.starts_with('-')) {
        Some(text) => Err(usage(&format!("--run {text}: expected a command"))),
        None => Ok(run),
    }
}

pub(crate) fn what_if(reader: &Reader<'_>) -> Result<Command, Usage> {
    let down = reader.text("down").filter(|text| !text.trim().is_empty());
    let down = down.ok_or_else(|| {
        usage("whatif needs the nodes that die: om cluster whatif --down n2; `om node drain --dry-run` tells of a drain")
    })?;
    if reader.flag("local") || reader.text("node").is_some() {
        return Err(usage("whatif is about the nodes of --down: leave --local and --node out"));
    }
    let (server, output) = (reader.text("server"), reader.output()?);
    Ok(Command::WhatIf(WhatIfCommand { down, server, output }))
}

pub(crate) fn roll(reader: &Reader<'_>) -> Result<Command, Usage> {
    let run = command(reader)?;
    let (resume, discard) = (reader.flag("resume"), reader.flag("discard"));
    let work = match (reader.flag("reboot"), run) {
        (true, Some(_)) => return Err(usage("--reboot and --run exclude each other")),
        (true, None) => Some(RollWork::Reboot),
        (false, Some(command)) => Some(RollWork::Run(command)),
        (false, None) => None,
    };
    let nodes = match (reader.text("nodes"), reader.text("node")) {
        (Some(_), Some(_)) => return Err(usage("--nodes and --node say the same: one of them")),
        (nodes, node) => nodes.or(node),
    };
    for name in ["local", "server", "service"] {
        if reader.flag(name) || reader.text(name).is_some() {
            return Err(usage(&format!(
                "roll goes from here over nodes: --nodes says which, not --{name}"
            )));
        }
    }
    match (&work, resume, discard) {
        (None, false, false) => {
            return Err(usage("roll needs --reboot or --run CMD, or --resume of the last one"));
        }
        (_, true, true) => return Err(usage("--resume and --discard exclude each other")),
        (Some(_), true, _) => {
            return Err(usage(
                "--resume goes on with what the last roll does: leave --reboot and --run out",
            ));
        }
        _ if resume && nodes.is_some() => {
            return Err(usage(
                "--resume goes on with the nodes of the last roll: leave --nodes out",
            ));
        }
        _ => {}
    }
    if reader.flag("all") && work != Some(RollWork::Reboot) {
        return Err(usage("--all goes with --reboot: a command is run on all nodes"));
    }
    Ok(Command::Roll(RollCommand {
        work,
        nodes,
        all: reader.flag("all"),
        resume,
        discard,
        dry_run: reader.flag("dry-run"),
        yes: reader.flag("yes"),
        force: reader.flag("force"),
        time: reader.seconds("time")?,
        output: reader.output()?,
    }))
}

pub(crate) fn drill(reader: &Reader<'_>) -> Result<DrillOptions, Usage> {
    let run = command(reader)?;
    let probe = match (reader.text("probe"), run) {
        (Some(_), Some(_)) => return Err(usage("--probe and --run exclude each other")),
        (Some(text), None) => Some(Probe::parse(&text).map_err(|error| usage(&error))?),
        (None, Some(command)) => Some(Probe::Run(command)),
        (None, None) => None,
    };
    Ok(DrillOptions {
        probe,
        to: reader.text("to").filter(|text| !text.is_empty()),
        stay: reader.flag("stay"),
        force: reader.flag("force"),
        dry_run: reader.flag("dry-run"),
        time: reader.seconds("time")?,
    })
}

pub(crate) fn exec(reader: &Reader<'_>) -> Result<NodeAction, Usage> {
    let id = reader.text("id").unwrap_or_default();
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    // It becomes the name of a file.
    if id.len() > 300 || !id.contains('.') || !id.split('.').all(is_part) {
        return Err(usage(
            "exec needs --id NODE.WORD: the node it is for, and what tells commands apart",
        ));
    }
    Ok(NodeAction::Exec { id, run: command(reader)? })
}

#[cfg(test)]
mod tests {
    use crate::parse::parse;

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let refused = |line: &str| parse(line.split(' ')).unwrap_err().to_string();
        for (line, why) in [
            ("cluster roll", "needs --reboot or --run"),
            ("cluster roll --run --yes", "--run --yes: expected a command"),
            ("cluster roll --reboot --run x", "exclude each other"),
            ("cluster roll --resume --reboot", "leave --reboot and --run out"),
            ("cluster roll --resume --nodes n1", "leave --nodes out"),
            ("cluster roll --resume --discard", "exclude each other"),
            ("cluster roll --run x --all", "--all goes with --reboot"),
            ("cluster roll --run x --local", "not --local"),
            ("cluster roll --run x --node n1 --nodes n2", "one of them"),
            ("cluster whatif", "needs the nodes that die"),
            ("cluster whatif --down n1 --node n2", "leave --local and --node out"),
            ("web drill --probe web", "expected tcp://HOST:PORT"),
            ("web drill --run x --probe tcp://a:1", "exclude each other"),
            ("node exec --run x", "needs --id NODE.WORD"),
            ("node exec --id n1.. --run x", "needs --id NODE.WORD"),
        ] {
            let told = refused(line);
            assert!(told.contains(why), "{line}: {told}");
        }
        assert!(parse("cluster roll --run x --node n1".split(' ')).is_ok());
    }
}
