//! Arguments to a [`Command`].
//!
//! The field lets options come before, between and after the words of an action (`om web --local print status`), and
//! spells actions with several words. So the words are found first, and clap, which then checks options, suggests
//! spellings and writes the help, reads `<group> <action> <operands> <options>`.

mod reader;
mod tips;

use clap::error::ErrorKind;
use model::Kind;

use crate::command::{
    Command, DaemonAction, DaemonCommand, DemoCommand, EnvelopeChoice, InstanceAction,
    MonitorCommand, NetAction, NodeAction, NodeCommand, ObjectAction, ObjectCommand, PoolAction,
    RotateCommand, SecretSource, StockCommand, SyncAction, Target,
};
use crate::options::{Opt, Takes};
use crate::tree::{Group, tree};
use crate::unoffered;

use reader::Reader;

/// A command line that cannot be understood: a text for stderr, with terminal styles; the exit code is 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Usage {}

/// Exit code of wrong usage.
const USAGE: u8 = 2;

/// The same where 2 is an answer: `EX_USAGE` of the system.
pub const NOT_ASKED: u8 = 64;

/// Exit code of a command that could not answer, where 1 is an answer: `EX_UNAVAILABLE` of the system.
pub const NOT_ANSWERED: u8 = 69;

/// Exit code of a command line that cannot be understood.
#[must_use]
pub fn usage_code(args: &[String]) -> u8 {
    const ANSWERS: [&[&str]; 3] = [&["status"], &["frozen"], &["validate", "config"]];
    let args: Vec<String> = args.to_vec();
    let (words, _) = split(args);
    // Behind the group or the selector, if there is one.
    let is_answer = |answer: &&[&str]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.starts_with(answer) || words.get(1..).is_some_and(|rest| rest.starts_with(answer))
    };
    let is_daemon =
        words.first().is_some_and(|word| matches!(word.as_str(), "daemon" | "pool" | "net"));
    if ANSWERS.iter().any(is_answer) && !is_daemon { NOT_ASKED } else { USAGE }
}

/// Reads a command line, program name left out.
///
/// # Errors
///
/// [`Usage`] with what is wrong and what would be right.
pub fn parse<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Result<Command, Usage> {
    let args: Vec<String> = args.into_iter().map(Into::into).collect();
    if let [first, separator, words @ ..] = &args[..]
        && first == "__complete"
        && separator == "--"
    {
        return Ok(Command::Complete(words.to_vec()));
    }
    let Line { selector, words } = arrange(args)?;
    let tree = tree(words.first().map(String::as_str), words.get(1).map(String::as_str));
    let group = words.first().cloned().unwrap_or_default();
    let service = service_of(&words);
    let as_typed =
        |text: &str| tips::as_typed(text, &group, selector.as_deref(), service.as_deref());
    let rendered = |error: &clap::Error| as_typed(&error.render().ansi().to_string());
    let argv = std::iter::once("om").chain(words.iter().map(String::as_str));
    let matches = match tree.max_term_width(120).try_get_matches_from(argv) {
        Ok(matches) => matches,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return Ok(Command::Help(rendered(&error)));
        }
        Err(error) => {
            let not_taken = not_taken(&error, &words).map(|Usage(text)| Usage(as_typed(&text)));
            return Err(not_taken.unwrap_or_else(|| Usage(rendered(&error))));
        }
    };
    let (name, matches) = matches.subcommand().expect("the tree requires a group");
    let reader = Reader(matches);
    match name {
        "mon" => monitor(&reader, reader.operands().into_iter().next()),
        // Objects of all kinds, unless some are named.
        "ls" => {
            let all = reader.operands().is_empty() && reader.text("service").is_none();
            object("svc", all.then(|| "**".to_owned()), &reader, "ls")
        }
        "completion" => {
            let shell = reader.operands().into_iter().next().unwrap_or_default();
            let script = crate::complete::script(&shell);
            let script = script.ok_or_else(|| {
                usage(&format!("no completion for {shell:?}: expected bash, zsh or fish"))
            })?;
            Ok(Command::Help(script.to_owned()))
        }
        "demo" => Ok(Command::Demo(DemoCommand {
            keep: reader.flag("keep"),
            interactive: reader.flag("interactive"),
            serve: match reader.text("serve").map(|port| (port.parse(), port)) {
                None => None,
                Some((Ok(port), _)) => Some(port),
                Some((Err(_), port)) => {
                    return Err(usage(&format!("--serve {port}: expected a port")));
                }
            },
        })),
        group => {
            let (action, matches) = matches.subcommand().expect("each group requires an action");
            let reader = Reader(matches);
            match group {
                "daemon" => daemon(&reader, action),
                "node" => node(&reader, action),
                "pool" => pool(&reader, action),
                "net" => net(&reader, action),
                _ => object(group, selector, &reader, action),
            }
        }
    }
}

/// The value of `-s`, `--service`.
fn service_of(words: &[String]) -> Option<String> {
    let at =
        words.iter().position(|word| word.starts_with("-s") || word.starts_with("--service"))?;
    let word = &words[at];
    match word.strip_prefix("--service").or_else(|| word.strip_prefix("-s")) {
        Some("") => words.get(at + 1).cloned(),
        Some(rest) => Some(rest.trim_start_matches('=').to_owned()),
        None => None,
    }
}

/// A command line in clap's order.
struct Line {
    /// The selector that stood first.
    selector: Option<String>,
    /// Group, action, operands, options.
    words: Vec<String>,
}

/// Finds group, action and operands among the options.
fn arrange(mut args: Vec<String>) -> Result<Line, Usage> {
    let Some(first) = args.first().cloned() else {
        return Ok(Line { selector: None, words: vec![] });
    };
    // The manual's older spelling: `om node daemon blacklist status`.
    if first == "node" && args.get(1).is_some_and(|word| word == "daemon") {
        args.remove(0);
    }
    if args[0] == "network" {
        args[0] = "net".to_owned();
    }
    let first = args[0].clone();
    if let Some(text) = unoffered::first_word(&first) {
        return Err(one_line(&text));
    }
    let (group, selector) = match first.as_str() {
        "mon" | "ls" | "demo" | "completion" | "-h" | "--help" | "-V" | "--version" => {
            return Ok(Line { selector: None, words: args });
        }
        word if Group::by_name(word).is_some() => {
            args.remove(0);
            (word, None)
        }
        word if word.starts_with("-s") || word.starts_with("--service") => ("svc", None),
        word if word.starts_with('-') => return Ok(Line { selector: None, words: args }),
        "" => return Err(usage("the object selector is empty")),
        word => {
            args.remove(0);
            (group_of(word), Some(word.to_owned()))
        }
    };
    let group = Group::by_name(group).expect("looked up above");
    let (found, options) = split(args);
    let mut words = vec![group.name.to_owned()];
    let refs: Vec<&str> = found.iter().map(String::as_str).collect();
    // `om create web`: an action in the place of the object.
    if let Some(word) = &selector
        && group.find(&[word]).is_some()
        && group.find(&refs).is_none()
        && !options.iter().any(|option| matches!(option.as_str(), "-h" | "--help"))
    {
        let object = found.first().map_or("<object>", String::as_str);
        return Err(usage(&format!("the object comes first: om {object} {word}")));
    }
    match group.find(&refs) {
        Some((action, count)) if action.operand.is_none() && refs.len() > count => {
            let more = &refs[count..];
            return Err(usage(&tips::surplus(group, selector.as_deref(), action, more)));
        }
        Some((action, count)) => {
            words.push(action.words.to_owned());
            words.extend(found[count..].iter().cloned());
        }
        // A word alone that is no group may be an object, or a typing error: the help of the group alone hides it.
        None if found.is_empty() => {
            let asks_help = options.iter().any(|option| matches!(option.as_str(), "-h" | "--help"));
            if let (Some(selector), false) = (&selector, asks_help) {
                return Err(usage(&tips::alone(selector)));
            }
        }
        None => {
            if let Some(text) = unoffered::action(group, &refs) {
                return Err(one_line(&text));
            }
            let begun = found.join(" ");
            let longer: Vec<&str> = group
                .all()
                .map(|action| action.words)
                .filter(|words| words.starts_with(&format!("{begun} ")))
                .collect();
            if !longer.is_empty() {
                return Err(usage(&format!(
                    "{begun:?} needs one more word: {}",
                    longer.join(", ")
                )));
            }
            return Err(usage(&tips::unknown(group, selector.as_deref(), &refs)));
        }
    }
    words.extend(options);
    Ok(Line { selector, words })
}

/// The group of a selector: that of the kind that all its paths name, as `test/cfg/c1` does; else `svc`.
pub(crate) fn group_of(selector: &str) -> &'static str {
    let kind =
        |part: &str| part.rsplit('/').nth(1).and_then(Group::by_name).map(|group| group.name);
    let mut kinds = selector.split([',', '+']).map(kind);
    let first = kinds.next().flatten();
    first.filter(|first| kinds.all(|kind| kind == Some(first))).unwrap_or("svc")
}

/// Words, and options with their values.
fn split(args: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut words, mut options) = (vec![], vec![]);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            words.extend(args);
            break;
        }
        let takes_next = if let Some(long) = arg.strip_prefix("--") {
            !long.contains('=') && Opt::by_name(long).is_some_and(|opt| opt.takes != Takes::Nothing)
        } else if arg.len() > 1 && arg.starts_with('-') {
            let valued = |c| Opt::by_short(c).is_some_and(|opt| opt.takes != Takes::Nothing);
            let shorts: Vec<char> = arg[1..].chars().collect();
            shorts.iter().position(|c| valued(*c)) == Some(shorts.len() - 1)
        } else {
            words.push(arg);
            continue;
        };
        options.push(arg);
        if takes_next && let Some(value) = args.next() {
            options.push(value);
        }
    }
    (words, options)
}

/// What needs no help beside it.
fn one_line(text: &str) -> Usage {
    Usage(format!("error: {text}"))
}

/// An option that other actions have, and this one does not.
fn not_taken(error: &clap::Error, words: &[String]) -> Option<Usage> {
    use clap::error::{ContextKind, ContextValue};
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = typed.split('=').next().unwrap_or_default();
    let is_known = match (name.strip_prefix("--"), name.strip_prefix('-')) {
        (Some(long), _) => Opt::by_name(long).is_some(),
        (None, Some(short)) => short.chars().next().and_then(Opt::by_short).is_some(),
        (None, None) => false,
    };
    let place = words.iter().take_while(|word| !word.starts_with('-')).take(2);
    let place = place.map(String::as_str).collect::<Vec<_>>().join(" ");
    is_known.then(|| {
        one_line(&format!("`om {place}` takes no {name}: `om {place} --help` lists its options"))
    })
}

fn usage(text: &str) -> Usage {
    Usage(format!("error: {text}\n\nFor more information, try '--help'."))
}

fn daemon(reader: &Reader<'_>, action: &str) -> Result<Command, Usage> {
    let required = |name: &str| {
        reader
            .text(name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| usage(&format!("daemon {action} needs --{name}")))
    };
    let mut target = reader.target()?;
    let action = match action {
        "start" => DaemonAction::Start {
            foreground: reader.flag("foreground"),
            thread_id: reader.text("thread-id"),
        },
        "stop" => {
            let (thread_id, session_id) = (reader.text("thread-id"), reader.text("session-id"));
            if thread_id.is_some() && session_id.is_some() {
                return Err(usage("--thread-id and --session-id exclude each other"));
            }
            DaemonAction::Stop { thread_id, session_id }
        }
        "restart" => DaemonAction::Restart,
        "shutdown" => DaemonAction::Shutdown { time: reader.seconds("time")? },
        "running" => DaemonAction::Running,
        "stats" => DaemonAction::Stats { selector: reader.text("service") },
        "blacklist status" => DaemonAction::BlacklistStatus,
        "blacklist clear" => DaemonAction::BlacklistClear,
        "relay status" => DaemonAction::RelayStatus,
        "join" | "rejoin" => {
            // The node is a party here, not the place where the command runs.
            target = Target::Default;
            let envelope = match reader.text("envelope").as_deref() {
                None => None,
                Some("classic") => Some(EnvelopeChoice::Classic),
                Some("sealed") => Some(EnvelopeChoice::Sealed),
                Some(_) => return Err(usage("--envelope is one of classic, sealed")),
            };
            let time = reader.seconds("timeout")?;
            if action == "rejoin" {
                DaemonAction::Rejoin { node: reader.text("node"), envelope, time }
            } else {
                let secret = match (reader.text("secret"), reader.text("secret-file")) {
                    (Some(_), Some(_)) => {
                        return Err(usage("--secret and --secret-file exclude each other"));
                    }
                    (None, None) => SecretSource::Environment,
                    (Some(text), None) if text.is_empty() => {
                        return Err(usage("daemon join needs a --secret that is not empty"));
                    }
                    (Some(dash), None) | (None, Some(dash)) if dash == "-" => SecretSource::Stdin,
                    (Some(text), None) => SecretSource::Text(text),
                    (None, Some(file)) => SecretSource::File(file),
                };
                DaemonAction::Join { node: required("node")?, secret, envelope, time }
            }
        }
        "leave" => DaemonAction::Leave { force: reader.flag("force") },
        "lock show" => DaemonAction::LockShow,
        "lock release" => DaemonAction::LockRelease {
            name: required("name")?,
            id: required("id")?,
            time: reader.seconds("timeout")?,
        },
        _ => DaemonAction::Status,
    };
    let (server, output) = (reader.text("server"), reader.output()?);
    Ok(Command::Daemon(DaemonCommand { action, target, server, output }))
}

fn node(reader: &Reader<'_>, action: &str) -> Result<Command, Usage> {
    let mut target = reader.target()?;
    let action = match reader.config(action)? {
        Some(action) => NodeAction::Config(action),
        None => match action {
            "ping" => {
                let operands = reader.operands();
                if !operands.is_empty() {
                    target = Target::Nodes(operands.join(" "));
                }
                NodeAction::Ping
            }
            "freeze" => NodeAction::Freeze(reader.wait()?),
            "thaw" => NodeAction::Thaw(reader.wait()?),
            "frozen" => NodeAction::Frozen,
            "drain" => NodeAction::Drain(reader.wait()?),
            "logs" => NodeAction::Logs(reader.logs()?),
            "events" => NodeAction::Events,
            "dequeue actions" => NodeAction::DequeueActions,
            "ls" => NodeAction::Ls,
            "print schedule" => NodeAction::PrintSchedule,
            "print capabilities" | "scan capabilities" => NodeAction::PrintCapabilities,
            "wait" => NodeAction::Wait {
                condition: reader
                    .text("filter")
                    .ok_or_else(|| usage("node wait needs --filter <condition>"))?,
                time: reader.seconds("time")?,
            },
            _ => NodeAction::PrintStatus,
        },
    };
    let (server, mut output) = (reader.text("server"), reader.output()?);
    if matches!(action, NodeAction::Wait { .. }) {
        output.filter = None;
    }
    Ok(Command::Node(NodeCommand { action, target, server, output }))
}

fn pool(reader: &Reader<'_>, action: &str) -> Result<Command, Usage> {
    let action = match action {
        "ls" => PoolAction::Ls,
        _ => PoolAction::Status { name: reader.text("name"), verbose: reader.flag("verbose") },
    };
    let (target, server, output) = (reader.target()?, reader.text("server"), reader.output()?);
    Ok(Command::Pool(StockCommand { action, target, server, output }))
}

fn net(reader: &Reader<'_>, action: &str) -> Result<Command, Usage> {
    let action = match action {
        "ls" => NetAction::Ls,
        "show" => NetAction::Show { name: reader.text("name") },
        _ => NetAction::Status { name: reader.text("name") },
    };
    let (target, server, output) = (reader.target()?, reader.text("server"), reader.output()?);
    Ok(Command::Net(StockCommand { action, target, server, output }))
}

fn monitor(reader: &Reader<'_>, selector: Option<String>) -> Result<Command, Usage> {
    let sections: Vec<String> = reader
        .text("sections")
        .into_iter()
        .flat_map(|text| text.split(',').map(|word| word.trim().to_owned()).collect::<Vec<_>>())
        .filter(|word| !word.is_empty())
        .collect();
    const SECTIONS: [&str; 4] = ["threads", "arbitrators", "nodes", "services"];
    if let Some(section) = sections.iter().find(|section| !SECTIONS.contains(&section.as_str())) {
        return Err(usage(&format!("--sections {section}: expected {}", SECTIONS.join(", "))));
    }
    Ok(Command::Monitor(MonitorCommand {
        selector: selector.or_else(|| reader.text("service")),
        namespace: reader.text("namespace"),
        node: reader.text("node"),
        // An interval is only good for watching.
        watch: reader.flag("watch") || reader.text("interval").is_some(),
        interval: reader.seconds("interval")?,
        sections,
        server: reader.text("server"),
        output: reader.output()?,
    }))
}

fn object(
    group: &str,
    first: Option<String>,
    reader: &Reader<'_>,
    action: &str,
) -> Result<Command, Usage> {
    let (is_cluster, kind) = match Kind::from_word(group) {
        Some(kind) => (false, kind),
        None => (true, Kind::Ccfg),
    };
    let mut selector = match (first, reader.text("service")) {
        (Some(_), Some(_)) => return Err(usage("two selectors: before the action, and with -s")),
        (first, option) => first.or(option),
    };
    if is_cluster {
        match action {
            "freeze" | "thaw" => return node(reader, action),
            "print status" => return daemon(reader, "status"),
            "rotate secret" => return rotate_secret(reader),
            _ => selector = Some("cluster".to_owned()),
        }
    }
    if matches!(action, "ls" | "create" | "deploy") {
        let operands = reader.operands();
        if !operands.is_empty() {
            if selector.is_some() || (action != "ls" && operands.len() > 1) {
                return Err(usage(&format!("unexpected word {:?}", operands.join(" "))));
            }
            selector = Some(operands.join(","));
        }
    }
    // Those of the kind, as the other groups do; a selector may name others.
    if (kind, action) == (Kind::Svc, "ls") && selector.is_none() {
        selector = Some("*/svc/*".to_owned());
    }
    if action == "monitor" {
        return monitor(reader, selector);
    }
    // A document may name its objects.
    let is_named_by_document = action == "create" && reader.text("config").is_some();
    if selector.is_none() && action != "ls" && !is_named_by_document {
        return Err(usage(&format!(
            "no object is named: om <selector> {action}, or om {group} -s <selector> {action}"
        )));
    }
    let typed = match reader.config(action)? {
        Some(action) => ObjectAction::Config(action),
        None => object_action(reader, action)?,
    };
    Ok(Command::Object(Box::new(ObjectCommand {
        kind,
        selector,
        namespace: reader.text("namespace"),
        status: reader.states()?,
        action: typed,
        target: reader.target()?,
        server: reader.text("server"),
        output: reader.output()?,
    })))
}

fn rotate_secret(reader: &Reader<'_>) -> Result<Command, Usage> {
    Ok(Command::RotateSecret(RotateCommand {
        force: reader.flag("force"),
        wait: reader.flag("wait"),
        time: reader.seconds("time")?,
        server: reader.text("server"),
        output: reader.output()?,
    }))
}

fn object_action(reader: &Reader<'_>, action: &str) -> Result<ObjectAction, Usage> {
    let instance = match action {
        "status" => return Ok(ObjectAction::Status { refresh: reader.flag("refresh") }),
        "print status" => {
            return Ok(ObjectAction::PrintStatus {
                refresh: reader.flag("refresh"),
                hide_disabled: reader.flag("hide-disabled"),
            });
        }
        "print config mtime" => return Ok(ObjectAction::PrintConfigMtime),
        "print pid" => return Ok(ObjectAction::PrintPid { rid: reader.text("rid") }),
        "print devs" => return Ok(ObjectAction::PrintDevs { rid: reader.text("rid") }),
        "print schedule" => return Ok(ObjectAction::PrintSchedule),
        "frozen" => return Ok(ObjectAction::Frozen),
        "ls" => return Ok(ObjectAction::Ls),
        "logs" => return Ok(ObjectAction::Logs(reader.logs()?)),
        "explain" => return Ok(ObjectAction::Explain),
        "scale" => {
            let (action, force) = (reader.scale()?, reader.flag("force"));
            return Ok(ObjectAction::Scale { action, force });
        }
        "keys" => return Ok(ObjectAction::Keys { pattern: reader.text("match") }),
        "add" | "change" | "decode" | "remove" => {
            return Ok(ObjectAction::Key(reader.key_action(action)?));
        }
        "create" => return Ok(ObjectAction::Create(reader.create()?)),
        "deploy" => return Ok(ObjectAction::Deploy(reader.create()?, reader.wait()?)),
        "abort" => InstanceAction::Abort,
        "boot" => InstanceAction::Boot,
        "clear" => InstanceAction::Clear,
        "delete" => InstanceAction::Delete,
        "disable" => InstanceAction::Disable,
        "enable" => InstanceAction::Enable,
        "freeze" => InstanceAction::Freeze,
        "giveback" => InstanceAction::Giveback,
        "provision" => InstanceAction::Provision,
        "purge" => InstanceAction::Purge,
        "restart" => InstanceAction::Restart,
        "run" => InstanceAction::Run,
        "set provisioned" => InstanceAction::SetProvisioned,
        "set unprovisioned" => InstanceAction::SetUnprovisioned,
        "shutdown" => InstanceAction::Shutdown,
        "start" => InstanceAction::Start,
        "startstandby" => InstanceAction::Startstandby,
        "stop" => InstanceAction::Stop,
        "switch" => InstanceAction::Switch,
        "sync all" => InstanceAction::Sync(SyncAction::All),
        "sync nodes" => InstanceAction::Sync(SyncAction::Nodes),
        "sync drp" => InstanceAction::Sync(SyncAction::Drp),
        "sync update" => InstanceAction::Sync(SyncAction::Update),
        "sync full" => InstanceAction::Sync(SyncAction::Full),
        "takeover" => InstanceAction::Takeover,
        "thaw" => InstanceAction::Thaw,
        "toc" => InstanceAction::Toc,
        "unprovision" => InstanceAction::Unprovision,
        other => return Err(usage(&format!("unknown action {other:?}"))),
    };
    Ok(ObjectAction::Instance {
        action: instance,
        options: reader.action_options()?,
        wait: reader.wait()?,
    })
}

#[cfg(test)]
mod tests;
