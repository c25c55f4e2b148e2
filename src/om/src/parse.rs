//! Arguments to a [`Command`].
//!
//! The field lets options come before, between and after the words of an action (`om web --local print status`), and
//! spells actions with several words. So the words are found first, and clap, which then checks options, suggests
//! spellings and writes the help, reads `<group> <action> <operands> <options>`.

use clap::ArgMatches;
use clap::error::ErrorKind;
use model::Kind;

use crate::command::{
    ActionOptions, ColorChoice, Command, ConfigAction, ConfigSource, CreateOptions, DaemonAction,
    DaemonCommand, DemoCommand, Edit, Format, InstanceAction, KeyAction, KeySource, LogOptions,
    MonitorCommand, NodeAction, NodeCommand, ObjectAction, ObjectCommand, Output, SyncAction,
    Target, Wait,
};
use crate::options::{Opt, Takes, duration};
use crate::tree::{Group, tree};

/// A command line that cannot be understood: a text for stderr, with terminal styles; the exit code is 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Usage {}

/// Reads a command line, program name left out.
///
/// # Errors
///
/// [`Usage`] with what is wrong and what would be right.
pub fn parse<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Result<Command, Usage> {
    let args: Vec<String> = args.into_iter().map(Into::into).collect();
    let Line { selector, words } = arrange(args)?;
    let tree = tree(words.first().map(String::as_str), words.get(1).map(String::as_str));
    let argv = std::iter::once("om".to_owned()).chain(words);
    let matches = match tree.max_term_width(120).try_get_matches_from(argv) {
        Ok(matches) => matches,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return Ok(Command::Help(error.render().ansi().to_string()));
        }
        Err(error) => return Err(Usage(error.render().ansi().to_string())),
    };
    let (name, matches) = matches.subcommand().expect("the tree requires a group");
    let reader = Reader(matches);
    match name {
        "mon" => monitor(&reader, reader.operands().into_iter().next()),
        "ls" => object("svc", None, &Reader(matches), "ls"),
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
                _ => object(group, selector, &reader, action),
            }
        }
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
    let first = args[0].clone();
    let (group, selector) = match first.as_str() {
        "mon" | "ls" | "demo" | "-h" | "--help" | "-V" | "--version" => {
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
    match group.find(&refs) {
        Some((action, count)) => {
            words.push(action.words.to_owned());
            words.extend(found[count..].iter().cloned());
        }
        // A word alone that is no group may be an object, or a typing error: the help of the group alone hides it.
        None if found.is_empty() => {
            let asks_help = options.iter().any(|option| matches!(option.as_str(), "-h" | "--help"));
            if let (Some(selector), false) = (&selector, asks_help) {
                return Err(usage(&format!(
                    "{selector:?} is no group: if it is an object, what to do with it? \
                     `om {selector} --help` lists the actions, `om --help` the groups"
                )));
            }
        }
        None => {
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
            // Clap names the nearest action.
            words.push(found.into_iter().take(2).collect::<Vec<_>>().join(" "));
        }
    }
    words.extend(options);
    Ok(Line { selector, words })
}

/// The group of a selector: that of the kind that all its paths name, as `test/cfg/c1` does; else `svc`.
fn group_of(selector: &str) -> &'static str {
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

fn usage(text: &str) -> Usage {
    Usage(format!("error: {text}\n\nFor more information, try '--help'."))
}

/// Typed access to what clap read; an option that an action does not have reads as absent.
struct Reader<'a>(&'a ArgMatches);

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0.try_get_one::<String>(name).ok().flatten().cloned()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        self.0.try_get_many::<String>(name).ok().flatten().into_iter().flatten().cloned().collect()
    }

    fn flag(&self, name: &str) -> bool {
        self.0.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false)
    }

    fn seconds(&self, name: &str) -> Result<Option<f64>, Usage> {
        self.text(name)
            .map(|text| duration(&text).map_err(|error| usage(&format!("--{name}: {error}"))))
            .transpose()
    }

    fn operands(&self) -> Vec<String> {
        self.texts("operand")
    }

    fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, Usage> {
        self.texts(name)
            .into_iter()
            .map(|text| match text.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                _ => Err(usage(&format!("--{name} {text}: expected NAME=VALUE"))),
            })
            .collect()
    }

    fn target(&self) -> Result<Target, Usage> {
        match (self.flag("local"), self.text("node").filter(|node| !node.is_empty())) {
            (true, Some(_)) => Err(usage("--local and --node exclude each other")),
            (true, None) => Ok(Target::Local),
            (false, Some(node)) => Ok(Target::Nodes(node)),
            (false, None) => Ok(Target::Default),
        }
    }

    fn output(&self) -> Result<Output, Usage> {
        let format = match self.text("format").as_deref() {
            None | Some("" | "matrix" | "table") => None,
            Some("json") => Some(Format::Json),
            Some("flat_json" | "flat") => Some(Format::FlatJson),
            Some("compact") => Some(Format::Compact),
            Some(other) => {
                return Err(usage(&format!("--format {other}: expected json or flat_json")));
            }
        };
        let color = match self.text("color").as_deref() {
            None | Some("auto") => ColorChoice::Auto,
            Some("always" | "yes") => ColorChoice::Always,
            Some("never" | "no") => ColorChoice::Never,
            Some(other) => {
                return Err(usage(&format!("--color {other}: expected auto, yes or no")));
            }
        };
        Ok(Output { format, color, filter: self.text("filter"), debug: self.flag("debug") })
    }

    fn wait(&self) -> Result<Wait, Usage> {
        Ok(Wait { wait: self.flag("wait"), time: self.seconds("time")?, watch: self.flag("watch") })
    }

    fn logs(&self) -> LogOptions {
        LogOptions { follow: self.flag("follow"), backlog: self.text("backlog") }
    }

    /// The keywords that an action names, as operands or options.
    fn keywords(&self, action: &str) -> Result<Vec<String>, Usage> {
        let keywords: Vec<String> = self
            .texts("kw")
            .into_iter()
            .chain(self.text("param"))
            .chain(self.operands())
            .flat_map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>())
            .filter(|text| !text.is_empty())
            .collect();
        if keywords.is_empty() {
            return Err(usage(&format!("{action} needs a keyword: --kw [section.]keyword")));
        }
        Ok(keywords)
    }

    fn edits(&self) -> Result<Vec<Edit>, Usage> {
        let mut edits: Vec<Edit> =
            self.texts("kw").into_iter().chain(self.operands()).map(Edit).collect();
        if let Some(edit) = edits.iter().find(|edit| !edit.0.contains('=')) {
            return Err(usage(&format!(
                "{:?} sets nothing: expected [section.]keyword=value, or +=, -=, |=",
                edit.0
            )));
        }
        if let Some(param) = self.text("param") {
            let index = match self.text("index") {
                None => String::new(),
                Some(index) => {
                    let index: i64 = index
                        .parse()
                        .map_err(|_| usage(&format!("--index {index}: expected a number")))?;
                    format!("[{index}]")
                }
            };
            let before = edits.len();
            edits.extend(self.text("value").map(|value| Edit(format!("{param}={value}"))));
            edits.extend(self.text("add").map(|value| Edit(format!("{param}{index}+={value}"))));
            edits.extend(self.text("remove").map(|value| Edit(format!("{param}-={value}"))));
            if edits.len() == before {
                return Err(usage("--param needs --value, --add or --remove"));
            }
        }
        if edits.is_empty() {
            return Err(usage("set needs --kw [section.]keyword=value, or --param and --value"));
        }
        Ok(edits)
    }

    /// The configuration actions, which nodes, the cluster and objects share.
    fn config(&self, action: &str) -> Result<Option<ConfigAction>, Usage> {
        let impersonate = self.text("impersonate");
        // Another node's view is an evaluated one.
        let eval = self.flag("eval") || impersonate.is_some();
        Ok(Some(match action {
            "get" => ConfigAction::Get { keywords: self.keywords(action)?, eval, impersonate },
            "eval" => {
                ConfigAction::Get { keywords: self.keywords(action)?, eval: true, impersonate }
            }
            "set" => ConfigAction::Set { edits: self.edits()?, eval: self.flag("eval") },
            "unset" => ConfigAction::Unset { keywords: self.keywords(action)? },
            "print config" => ConfigAction::Print { eval, impersonate },
            "edit config" => {
                let (recover, discard) = (self.flag("recover"), self.flag("discard"));
                if recover && discard {
                    return Err(usage("--recover and --discard exclude each other"));
                }
                ConfigAction::Edit { recover, discard }
            }
            "validate config" => ConfigAction::Validate,
            _ => return Ok(None),
        }))
    }

    fn key_action(&self, action: &str) -> Result<KeyAction, Usage> {
        let key = self.text("key").filter(|key| !key.is_empty());
        let needed = |key: Option<String>| {
            key.ok_or_else(|| usage(&format!("{action} needs the name of the key: --key NAME")))
        };
        Ok(match action {
            "decode" => KeyAction::Decode { key: needed(key)? },
            "remove" => KeyAction::Remove { key: needed(key)? },
            _ => {
                let source = match (self.text("value"), self.text("from")) {
                    (Some(value), None) => KeySource::Value(value),
                    (None, Some(from)) if matches!(from.as_str(), "-" | "/dev/stdin") => {
                        KeySource::Stdin
                    }
                    (None, Some(from)) => KeySource::Path(from),
                    _ => return Err(usage(&format!("{action} needs --value or --from"))),
                };
                // A file has a name.
                let key = match source {
                    KeySource::Path(_) => key,
                    KeySource::Value(_) | KeySource::Stdin => Some(needed(key)?),
                };
                KeyAction::Set { key, source, replace: action == "change" }
            }
        })
    }

    fn create(&self) -> Result<CreateOptions, Usage> {
        let source = match (self.text("config"), self.text("template")) {
            (Some(_), Some(_)) => return Err(usage("--config and --template exclude each other")),
            (Some(config), None) if matches!(config.as_str(), "-" | "/dev/stdin") => {
                ConfigSource::Stdin
            }
            (Some(config), None) => ConfigSource::Config(config),
            (None, Some(template)) => ConfigSource::Template(template),
            (None, None) => ConfigSource::None,
        };
        let keywords: Vec<Edit> = self.texts("kw").into_iter().map(Edit).collect();
        if let Some(edit) = keywords.iter().find(|edit| !edit.0.contains('=')) {
            return Err(usage(&format!("--kw {}: expected [section.]keyword=value", edit.0)));
        }
        Ok(CreateOptions {
            source,
            keywords,
            env: self.pairs("env")?,
            resources: self.texts("resource"),
            provision: self.flag("provision"),
            leader: self.flag("leader"),
            disable_rollback: self.flag("disable-rollback"),
            restore: self.flag("restore"),
            force: self.flag("force"),
        })
    }

    fn action_options(&self) -> Result<ActionOptions, Usage> {
        let text = |name| self.text(name).filter(|text| !text.is_empty());
        Ok(ActionOptions {
            rid: text("rid"),
            tags: text("tags"),
            subsets: text("subsets"),
            upto: text("upto"),
            downto: text("downto"),
            to: text("to"),
            force: self.flag("force"),
            dry_run: self.flag("dry-run"),
            leader: self.flag("leader"),
            disable_rollback: self.flag("disable-rollback"),
            parallel: self.flag("parallel"),
            waitlock: self.seconds("waitlock")?,
            nolock: self.flag("nolock"),
            cron: self.flag("cron"),
            confirm: self.flag("confirm"),
            master: self.flag("master"),
            slaves: self.flag("slaves"),
            slave: text("slave"),
            unprovision: self.flag("unprovision"),
            purge_collector: self.flag("purge-collector"),
            reason: text("reason"),
            env: self.pairs("env")?,
        })
    }
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
        "join" => {
            let node = required("node")?;
            // The node is a party here, not the place where the command runs.
            target = Target::Default;
            DaemonAction::Join {
                node,
                secret: required("secret")?,
                time: reader.seconds("timeout")?,
            }
        }
        "leave" => DaemonAction::Leave,
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
            "logs" => NodeAction::Logs(reader.logs()),
            "events" => NodeAction::Events,
            "dequeue actions" => NodeAction::DequeueActions,
            "ls" => NodeAction::Ls,
            "print schedule" => NodeAction::PrintSchedule,
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
            "ls" => selector = selector.or_else(|| Some("**".to_owned())),
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
    if action == "monitor" {
        return monitor(reader, selector);
    }
    if selector.is_none() && action != "ls" {
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
        status: reader.text("status"),
        action: typed,
        target: reader.target()?,
        server: reader.text("server"),
        output: reader.output()?,
    })))
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
        "print devs" => return Ok(ObjectAction::PrintDevs),
        "print schedule" => return Ok(ObjectAction::PrintSchedule),
        "frozen" => return Ok(ObjectAction::Frozen),
        "ls" => return Ok(ObjectAction::Ls),
        "logs" => return Ok(ObjectAction::Logs(reader.logs())),
        "keys" => return Ok(ObjectAction::Keys),
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
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        match parse(line.split(' ').filter(|word| !word.is_empty())) {
            Ok(command) => command,
            Err(error) => panic!("{line}: {error}"),
        }
    }

    fn refusal(line: &str) -> String {
        match parse(line.split(' ').filter(|word| !word.is_empty())) {
            Err(Usage(text)) => strip(&text),
            Ok(command) => panic!("{line}: {command:?}"),
        }
    }

    fn strip(text: &str) -> String {
        let mut plain = String::new();
        let mut parts = text.split('\u{1b}');
        plain.push_str(parts.next().unwrap_or_default());
        parts.for_each(|part| plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest)));
        plain
    }

    #[test]
    fn a_selector_before_the_action_is_the_long_form() {
        let long = command("svc -s web start --local --rid app#1");
        for line in [
            "web start --local --rid app#1",
            "web --local start --rid=app#1",
            "web --rid app#1 --local start",
            "-s web start --rid app#1 --local",
            "svc start --local --rids app#1 --service=web",
        ] {
            assert_eq!(command(line), long, "{line}");
        }
        let Command::Object(long) = long else { panic!("not an object command: {long:?}") };
        assert_eq!(
            *long,
            ObjectCommand {
                kind: Kind::Svc,
                selector: Some("web".into()),
                namespace: None,
                status: None,
                action: ObjectAction::Instance {
                    action: InstanceAction::Start,
                    options: ActionOptions { rid: Some("app#1".into()), ..Default::default() },
                    wait: Wait::default(),
                },
                target: Target::Local,
                server: None,
                output: Output::default(),
            }
        );
    }

    #[test]
    fn the_manuals_older_spelling_is_understood() {
        assert_eq!(command("node daemon blacklist status"), command("daemon blacklist status"));
    }

    #[test]
    fn every_action_of_the_tree_has_a_command() {
        for group in crate::tree::GROUPS {
            for action in group.all() {
                let line = match (group.name, action.words) {
                    ("daemon", "join") => "daemon join --node n1 --secret s".to_owned(),
                    ("daemon", "lock release") => "daemon lock release --name a --id b".to_owned(),
                    ("node", "wait") => "node wait --filter $.a=1".to_owned(),
                    ("daemon" | "node" | "cluster", words) => format!("{} {words}", group.name),
                    (kind, words) => format!("{kind} -s web {words}"),
                };
                let line = match action.words {
                    "get" | "eval" | "unset" => format!("{line} --kw nodes"),
                    "set" => format!("{line} --kw nodes=n1"),
                    "add" | "change" => format!("{line} --key k --value v"),
                    "decode" | "remove" => format!("{line} --key k"),
                    _ => line,
                };
                let command = command(&line);
                // What has no arm of its own would fall to these.
                if !action.words.ends_with("status") {
                    assert!(
                        !matches!(
                            command,
                            Command::Daemon(DaemonCommand { action: DaemonAction::Status, .. })
                                | Command::Node(NodeCommand {
                                    action: NodeAction::PrintStatus,
                                    ..
                                })
                        ),
                        "{line}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_older_options_of_set_are_expressions() {
        let Command::Node(NodeCommand { action: NodeAction::Config(action), .. }) =
            command("node set --param cluster.nodes --add n3 --index 0 --remove n1")
        else {
            panic!("not a configuration command")
        };
        assert_eq!(
            action,
            ConfigAction::Set {
                edits: vec![Edit("cluster.nodes[0]+=n3".into()), Edit("cluster.nodes-=n1".into())],
                eval: false
            }
        );
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_right_one() {
        for (line, expected) in [
            ("daemno", "is no group"),
            ("web strat", "start"),
            ("web prnt status", "print status"),
            ("web print", "print config, edit config"),
            ("web start --lcoal", "--local"),
            ("daemon stpo", "stop"),
            ("web start --time soon", "--time: \"soon\" is not a duration"),
            ("web start --node n1 --local", "exclude each other"),
            ("web set", "--kw"),
            ("web set --kw nodes", "sets nothing"),
            ("svc start", "no object is named"),
            ("web get", "needs a keyword"),
            ("web print status --format yaml", "json or flat_json"),
            ("daemon join --node n1", "--secret"),
            ("test/cfg/c1 add --value v", "--key NAME"),
            ("test/cfg/c1 add --key k", "--value or --from"),
            ("test/sec/c1 decode", "--key NAME"),
            ("web add --key k --value v", "unrecognized"),
        ] {
            let text = refusal(line);
            let expected = if line == "web print" { "print config" } else { expected };
            assert!(text.contains(expected), "{line}: {text}");
        }
    }

    #[test]
    fn values_may_look_like_options() {
        let Command::Object(command) = command("web set --kw a=-b --kw app#1.start=-x") else {
            panic!("not an object command")
        };
        assert_eq!(
            command.action,
            ObjectAction::Config(ConfigAction::Set {
                edits: vec![Edit("a=-b".into()), Edit("app#1.start=-x".into())],
                eval: false
            })
        );
        assert_eq!(self::command("web logs --backlog -1"), self::command("web logs --backlog=-1"));
    }

    #[test]
    fn help_is_a_command_of_its_own() {
        for line in ["--help", "daemon --help", "web start --help", "web --help", "--version"] {
            assert!(matches!(command(line), Command::Help(_)), "{line}");
        }
    }

    #[test]
    fn the_local_form_of_the_monitor_reads_back() {
        let Command::Object(command) =
            command("svc -s ns1/svc/web provision --leader --disable-rollback --local")
        else {
            panic!("not an object command")
        };
        assert_eq!(command.selector.as_deref(), Some("ns1/svc/web"));
        assert_eq!(command.target, Target::Local);
    }
}
