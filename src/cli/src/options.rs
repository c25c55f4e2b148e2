//! Every option of the command line, once: spelling, value and help.

use clap::{Arg, ArgAction};

/// What follows an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// One value, the last one given counts.
    Value(&'static str),
    /// One value each time it is given.
    Values(&'static str),
}

/// One option. Spelled and valued alike in every action that has it, so that options may come before the action.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opt {
    /// The long name, also the id of its value.
    pub(crate) name: &'static str,
    /// The short name.
    pub(crate) short: Option<char>,
    /// Older spellings.
    pub(crate) aliases: &'static [&'static str],
    /// What follows.
    pub(crate) takes: Takes,
    /// For `--help`.
    pub(crate) help: &'static str,
}

const fn flag(name: &'static str, help: &'static str) -> Opt {
    Opt { name, short: None, aliases: &[], takes: Takes::Nothing, help }
}

const fn value(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { name, short: None, aliases: &[], takes: Takes::Value(value), help }
}

const fn values(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { name, short: None, aliases: &[], takes: Takes::Values(value), help }
}

const fn short(opt: Opt, short: char) -> Opt {
    Opt { short: Some(short), ..opt }
}

const fn alias(opt: Opt, aliases: &'static [&'static str]) -> Opt {
    Opt { aliases, ..opt }
}

/// All options.
pub(crate) const OPTIONS: &[Opt] = &[
    // everywhere
    value("color", "WHEN", "Colour: auto (on a terminal, unless NO_COLOR is set), yes or no"),
    value("format", "FORMAT", "json, flat_json (one line per value), or a human's text without it"),
    alias(
        value("filter", "JSONPATH", "Write only what this JSON path selects"),
        &["jsonpath-filter"],
    ),
    flag("debug", "Log at the debug level"),
    flag("local", "Act on this node only, in this process where that makes sense"),
    value("node", "NODES", "Act on the nodes of this selector: names, globs, label=value"),
    value(
        "server",
        "URI",
        "The daemon to ask: https://host[:port] (om ctx --help), a node name, raw://host[:port], a socket",
    ),
    value("cacert", "FILE", "Whose certificates are good for https://: a file of authorities"),
    // objects
    short(
        alias(
            value(
                "service",
                "SELECTOR",
                "Objects: paths, globs, keyword expressions; `,` is or, `+` is and, `!` is not",
            ),
            &["selector"],
        ),
        's',
    ),
    value(
        "namespace",
        "NAMESPACE",
        "Where relative names lie [default: $OSVC_NAMESPACE, else root]",
    ),
    // resources
    alias(
        value(
            "rid",
            "RIDS",
            "Limit to these resources: ids (app#1), groups (app), drivers (app.simple), comma separated",
        ),
        &["rids"],
    ),
    value("tags", "TAGS", "Limit to resources with these tags: `a,b` is or, `a+b` is and"),
    alias(
        value("subsets", "SUBSETS", "Limit to these resource subsets, comma separated"),
        &["subset"],
    ),
    value("upto", "RID", "Start no further than this resource or group"),
    value("downto", "RID", "Stop no further than this resource or group"),
    // actions
    short(flag("force", "Skip the sanity checks; stop standby resources too"), 'f'),
    flag("dry-run", "Tell what would be done, here with --local, and do nothing"),
    flag("leader", "Provision or unprovision what the instances share, too"),
    flag("disable-rollback", "Leave what was started when the start fails"),
    short(flag("parallel", "Act on several objects at a time, at most node.max_parallel"), 'p'),
    value(
        "waitlock",
        "DURATION",
        "How long to wait for the action lock [default: keyword lock_timeout]",
    ),
    flag("nolock", "Take no action lock: for commands run by a trigger of a running action"),
    flag("cron", "Run as the scheduler does"),
    flag("confirm", "Run the tasks that ask for a confirmation"),
    flag("master", "Limit to the resources of the object itself, not of its slaves"),
    flag("slaves", "Limit to the resources of all slaves"),
    value("slave", "NAMES", "Limit to the resources of these slaves, comma separated"),
    value("to", "NODE", "The destination [default: the best ranked peer]; of scale, the number"),
    flag("unprovision", "Unprovision before deleting"),
    flag("purge-collector", "Also remove the object from the collector"),
    value("reason", "TEXT", "Why: noted in the log"),
    values(
        "env",
        "NAME=VALUE",
        "A variable for what is run; with create, a keyword of the section env",
    ),
    value(
        "status",
        "STATES",
        "Only objects whose local instance is in one of these states (up, down, warn ..)",
    ),
    short(flag("refresh", "Evaluate the state now instead of showing the last one"), 'r'),
    flag("hide-disabled", "Leave disabled resources out"),
    flag("show-disabled", "Show disabled resources (the default)"),
    // before, during, after
    value("down", "NODES", "The nodes that die: names, globs, label=value"),
    value("nodes", "NODES", "Only the nodes of this selector: names, globs, label=value"),
    flag("reboot", "Reboot each node that wants it (/run/reboot-required)"),
    value("run", "CMD", "A command: no shell reads it, unless it has |, ||, && or ;"),
    flag("all", "Also the nodes that want no reboot"),
    flag("resume", "Go on where the last roll stopped"),
    flag("yes", "Do not ask"),
    value(
        "probe",
        "URI",
        "What answers while the service works: tcp://HOST:PORT, http://.., https://..",
    ),
    flag("stay", "Leave it on the other node"),
    // waiting
    flag("wait", "Return when the target is reached"),
    alias(value("time", "DURATION", "Give up after this long: 10s, 1m30s, 500ms"), &["duration"]),
    short(flag("watch", "Show the monitor, and follow it"), 'w'),
    short(
        value(
            "interval",
            "DURATION",
            "With --watch: draw at most this often [default: at each change]",
        ),
        'i',
    ),
    flag("stats", "With --watch: show loads"),
    // configuration
    values(
        "kw",
        "KEYWORD",
        "[section.]keyword[@scope]; to set: followed by [[index]], =, +=, -= or |=, and the value",
    ),
    values("unset", "KEYWORD", "Takes this keyword out in the same write"),
    value("param", "KEYWORD", "The keyword (older form of --kw)"),
    value("value", "VALUE", "The value of the --key; with --param: replace by this value"),
    value("add", "VALUE", "With --param: add this word"),
    value("remove", "VALUE", "With --param: remove this word"),
    value("index", "N", "With --add: insert at this position"),
    flag("eval", "Evaluate: references, scopes and arithmetic resolved, defaults applied"),
    value("impersonate", "NODE", "With --eval: as this node sees it"),
    flag("diff", "Show what the version changed"),
    flag("recover", "Go on with the copy that an interrupted or invalid edit left"),
    flag("discard", "Drop what an interrupted or invalid edit, or an unfinished roll, left"),
    value(
        "config",
        "SOURCE",
        "A file, an http:// or https:// URI, an object path, or - for standard input (JSON or ini)",
    ),
    value("template", "NAME", "A template file, or its name in <etc>/templates"),
    values("resource", "JSON", "A section as JSON: {\"rtype\": \"app\", \"type\": \"simple\", ..}"),
    flag("provision", "Provision and start the new object"),
    flag("restore", "Keep the id found in the source"),
    short(flag("interactive", "Ask for what is missing; with demo, leave the node running"), 'I'),
    // keys
    value(
        "key",
        "NAME",
        "A key of the cfg, sec or usr; with --from a folder: put before the names",
    ),
    value(
        "from",
        "FILE",
        "Read the value from a file, from - (standard input), or a key from each file of a folder",
    ),
    value(
        "password",
        "PASSWORD",
        "The password of the file, - for standard input, else asked at the terminal; other users of this machine can see it on \
         the command line",
    ),
    value("match", "PATTERN", "Only keys whose name matches: *, ? and [..]"),
    value("output", "FILE", "The archive to write [default: om-support-NODE-TIME.tar.gz, here]"),
    // logs
    short(flag("follow", "Go on with what is logged next"), 'f'),
    value(
        "backlog",
        "SIZE",
        "How much of the past: 10k, 1m; negative for all, 0 for nothing [default: 10k]",
    ),
    value(
        "since",
        "WHEN",
        "Only what is no older: 30s, 10min, 2h, 7d; of logs also 17:30, 2026-11-29 17:30",
    ),
    value("until", "WHEN", "Only what is no newer, as of --since"),
    value("level", "LEVEL", "Only what is at least: debug, info, warning, error or critical"),
    value(
        "grep",
        "PATTERN",
        "Only entries that this regular expression finds; one without capital letters finds both",
    ),
    flag("no-pager", "Accepted for compatibility: output is never paged"),
    flag("daemon", "Accepted for compatibility: deployed agents mark their own commands"),
    // daemon
    flag("foreground", "Stay in this process"),
    value("thread-id", "ID", "Only this thread: listener, monitor, scheduler, hb#1.rx .."),
    value("session-id", "ID", "Only this session of the listener"),
    value(
        "secret",
        "SECRET",
        "The secret of the cluster to join, - for standard input; other users of this machine can see it on the \
         command line: better use --secret-file, or the variable OSVC_CLUSTER_SECRET",
    ),
    value(
        "secret-file",
        "FILE",
        "Read the secret from the first line of a file, - for standard input",
    ),
    value(
        "envelope",
        "DIALECT",
        "How to ask: sealed, or classic as deployed agents do [default: sealed; rejoin: that of the cluster]",
    ),
    value("name", "NAME", "Name of the lock, the pool or the network"),
    flag(
        "verbose",
        "Show more: of pools, their volumes; of histories, details; of logs, sessions and processes",
    ),
    value("id", "ID", "Id of the lock, or of the command"),
    value("timeout", "DURATION", "Give up after this long"),
    value(
        "sections",
        "NAMES",
        "What to show, comma separated: threads, arbitrators, nodes, services",
    ),
    flag("keep", "Leave the folder of the demo"),
    value("serve", "PORT", "Be the service of the demo on this port of the loopback"),
];

/// Under which heading `--help` shows an option that many actions have; the others stand first.
const HEADINGS: &[(&str, &[&str])] = &[
    ("Resources", &["rid", "tags", "subsets", "upto", "downto", "master", "slaves", "slave"]),
    ("Waiting", &["wait", "time", "watch", "interval", "stats"]),
    ("Where", &["service", "namespace", "status", "node", "local", "server", "cacert", "parallel"]),
    ("Output", &["color", "format", "filter", "debug"]),
];

impl Opt {
    /// The option of that long name, older spellings included.
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|opt| opt.name == name || opt.aliases.contains(&name))
    }

    /// The option of that short name.
    pub(crate) fn by_short(short: char) -> Option<&'static Self> {
        OPTIONS.iter().find(|opt| opt.short == Some(short))
    }

    /// Whether it is read and means nothing: not shown, not completed.
    pub(crate) fn is_for_compatibility(&self) -> bool {
        self.help.starts_with("Accepted for compatibility")
    }

    /// The option as clap wants it.
    pub(crate) fn arg(&self) -> Arg {
        let arg = Arg::new(self.name).long(self.name).help(self.help).aliases(self.aliases.iter());
        let arg = arg.hide(self.is_for_compatibility());
        let heading = HEADINGS.iter().find(|(_, names)| names.contains(&self.name));
        let arg = match heading {
            Some((heading, _)) => arg.help_heading(*heading),
            None => arg,
        };
        let arg = match self.short {
            Some(short) => arg.short(short),
            None => arg,
        };
        match self.takes {
            // A flag given twice says the same twice.
            Takes::Nothing => arg.action(ArgAction::SetTrue).overrides_with(self.name),
            Takes::Value(name) => arg
                .value_name(name)
                .action(ArgAction::Set)
                .overrides_with(self.name)
                .allow_hyphen_values(true),
            Takes::Values(name) => {
                arg.value_name(name).action(ArgAction::Append).allow_hyphen_values(true)
            }
        }
    }
}

/// Reads a duration as operators write it: `1h30m`, `10min`, `500ms`, `1.5s`, or seconds without unit.
///
/// # Errors
///
/// A text that says what was expected.
pub fn duration(text: &str) -> Result<f64, String> {
    let error =
        || format!("{text:?} is not a duration: expected seconds, or 1h30m, 10min, 500ms ..");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(error());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| error())?;
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        total += number
            * match unit {
                "ms" => 0.001,
                "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
                "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
                "h" | "hour" | "hours" => 3600.0,
                "d" | "day" | "days" => 86_400.0,
                "w" | "week" | "weeks" => 604_800.0,
                // Seconds are assumed of a bare number only: `1m30` is a typing error.
                "" if rest.len() == text.trim().len() && tail.is_empty() => 1.0,
                _ => return Err(error()),
            };
        rest = tail;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::long_option;

    #[test]
    fn durations_are_read_as_operators_write_them() {
        for (text, seconds) in
            [("5", 5.0), ("5s", 5.0), ("1h30m", 5400.0), ("500ms", 0.5), ("1.5s", 1.5), ("0", 0.0)]
        {
            assert_eq!(duration(text), Ok(seconds), "{text}");
        }
        for text in ["10min", "10m", "600s", "600sec", "10mins", "9minutes60seconds"] {
            assert_eq!(duration(text), Ok(600.0), "{text}");
        }
        for (text, hours) in
            [("1hour", 1.0), ("2hours", 2.0), ("1day", 24.0), ("1week1days", 192.0)]
        {
            assert_eq!(duration(text), Ok(hours * 3_600.0), "{text}");
        }
        for text in ["", "s", "5x", "1m30", "-5s", "1..5s", "5 s", "min", "5mi", "5hou", "5msec"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_names_of_requests_are_those_of_the_command_line() {
        assert_eq!(long_option("svc", "start", "dry_run"), Some(("dry-run", Takes::Nothing)));
        assert_eq!(long_option("svc", "start", "parm_rid"), Some(("rid", Takes::Value("RIDS"))));
        assert_eq!(long_option("svc", "set", "kw"), Some(("kw", Takes::Values("KEYWORD"))));
        assert_eq!(
            long_option("svc", "print_status", "refresh"),
            Some(("refresh", Takes::Nothing))
        );
        assert_eq!(long_option("svc", "start", "kw"), None);
        assert_eq!(long_option("svc", "nothing", "local"), None);
    }

    #[test]
    fn no_option_is_spelled_twice() {
        let mut names: Vec<&str> = OPTIONS
            .iter()
            .flat_map(|opt| std::iter::once(opt.name).chain(opt.aliases.iter().copied()))
            .collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
