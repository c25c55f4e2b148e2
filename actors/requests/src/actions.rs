//! Actions that run as commands of the agent: `om <path> <action>`, `om node <action>`.

use mail::requests::{NotNow, Outcome, Refused};
use mail::runner::{CommandOutcome, RunCommand};
use serde_json::{Value, json};
use wire::{NodeAction, ObjectAction, Options};

use crate::context::{Context, shorten};

/// Options that the receiving node decides itself.
const OBJECT_REMOVED: &[&str] =
    &["node", "daemon", "service", "local", "id", "server", "namespace"];
/// The same for node actions, but for those that name another node on purpose.
const NODE_REMOVED: &[&str] = &["node", "server", "daemon", "local"];
/// Node actions that keep their `node` option.
const NODE_KEEPING: &[&str] = &["daemon_join", "daemon_rejoin"];
/// First parts of a node action that name another command, and that command.
const NODE_GROUPS: &[(&str, &str)] =
    &[("daemon_", "daemon"), ("net_", "net"), ("network_", "net"), ("pool_", "pool")];
/// Most words of one command.
const MAX_WORDS: usize = 1024;

/// The long flags of options: what the command line does not know is left out, as deployed agents do.
fn flags((group, action): (&str, &str), options: &Options, removed: &[&str]) -> Vec<String> {
    let mut flags = vec![];
    for (name, value) in options {
        let name = if name == "jsonpath_filter" { "filter" } else { name };
        // By its own name: requests spell an option in several ways.
        let found = cli::long_option(group, action, name);
        let Some((long, takes)) = found.filter(|(long, _)| !removed.contains(long)) else {
            continue;
        };
        match (takes, value) {
            (_, Value::Null | Value::Object(_)) => {}
            (cli::Takes::Nothing, value) => {
                if *value == Value::Bool(true) {
                    flags.push(format!("--{long}"));
                }
            }
            // False is how the deployed clients spell "not given".
            (_, Value::Bool(false)) => {}
            (cli::Takes::Values(_), Value::Array(values)) => {
                flags.extend(values.iter().filter_map(text).map(|text| format!("--{long}={text}")));
            }
            (_, Value::Array(values)) => {
                let words: Vec<String> = values.iter().filter_map(text).collect();
                if !words.is_empty() {
                    flags.push(format!("--{long}={}", words.join(",")));
                }
            }
            (_, value) => {
                if let Some(text) = text(value).filter(|text| !is_default(long, text)) {
                    flags.push(format!("--{long}={text}"));
                }
            }
        }
    }
    flags
}

/// Whether a value is what the deployed clients send for an option that was not given: they send all they know.
fn is_default(long: &str, text: &str) -> bool {
    text.is_empty() || matches!((long, text), ("color", "auto") | ("waitlock", "-1"))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// An action's words: `print_status` is `print status`.
fn action_words(action: &str) -> Vec<String> {
    action
        .split(|c: char| c == '_' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The words of a command as older agents sent them: what would send it elsewhere is dropped.
fn command_words(words: &[String]) -> Vec<String> {
    let mut kept = vec![];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--node" => _ = words.next(),
            "--daemon" | "--local" => {}
            other if other.starts_with("--node=") => {}
            _ => kept.push(word.clone()),
        }
    }
    kept
}

/// What is run, and how it is told.
struct Planned {
    /// After `om`.
    words: Vec<String>,
    /// `svc1 action get --kw=id --local`.
    told: String,
}

fn plan(target: &str, action: &str, first: Vec<String>, flags: Vec<String>) -> Planned {
    let mut words = first;
    words.extend(flags.iter().cloned());
    words.push("--local".into());
    let flags = flags.iter().map(|flag| format!(" {flag}")).collect::<String>();
    Planned { words, told: format!("{target} action {action}{flags} --local") }
}

/// The words for the log: what a keyword or an option that may hold a secret is set to is left out, also what is about to
/// become one, which nobody knows as such yet.
fn shown(words: &[String]) -> Vec<String> {
    const SIGNS: [&str; 4] = ["secret", "passw", "uuid", "value"];
    let is_secret = |name: &str| {
        let name = name.trim_start_matches('-').to_ascii_lowercase();
        // The name of the keyword, without section and scope.
        let name = name.split('@').next().unwrap_or_default();
        let name = name.rsplit(['.', '#']).next().unwrap_or_default();
        SIGNS.iter().any(|sign| name.contains(sign))
    };
    let mut shown = Vec::with_capacity(words.len());
    let mut is_hidden = false;
    for word in words {
        let rest = word.split_once('=').map(|(option, rest)| match option {
            // `--kw=cluster.secret=..`
            "--kw" | "--set" => (rest.split('=').next().unwrap_or_default(), word),
            option => (option, word),
        });
        let hides = match rest {
            _ if is_hidden => Some("(..)".to_owned()),
            Some((name, word)) if is_secret(name) => {
                let end = word.find(name).unwrap_or_default() + name.len();
                Some(format!("{}=(..)", &word[..end]))
            }
            _ => None,
        };
        is_hidden = rest.is_none() && word.starts_with("--") && is_secret(word);
        shown.push(hides.unwrap_or_else(|| word.clone()));
    }
    shown
}

async fn run(
    context: &Context,
    planned: &Planned,
    sync: bool,
    path: Option<model::ObjectPath>,
) -> Result<CommandOutcome, Refused> {
    if planned.words.len() > MAX_WORDS {
        return Err(Refused::new(400, "too many words"));
    }
    log::info!(command:? = shown(&planned.words), requester:% = context.caller.nodename; "action requested");
    let command = RunCommand { words: planned.words.clone(), sync, path, time: None };
    // As long as the action runs: its own timeouts end it, and the connection that waits may go.
    let outcome = context.mail.runner.send(command).await.map_err(|_| NotNow)?;
    outcome.map_err(|error| not_run(&error))
}

/// A command that could not even begin.
pub(super) fn not_run(error: &impl std::fmt::Display) -> Refused {
    Refused::new(500, format!("the command could not be run: {error}"))
}

fn reply(outcome: CommandOutcome, planned: &Planned, is_json_kept: bool) -> Outcome {
    match outcome {
        CommandOutcome::Ended { out, err, ret } => {
            if is_json_kept && let Ok(value) = wire::parse_json::<Value>(out.as_bytes()) {
                return value.into();
            }
            json!({"status": 0, "data": {"out": out, "err": err, "ret": ret}}).into()
        }
        CommandOutcome::Started { pid, session_id } => json!({
            "status": 0,
            "data": {"pid": pid, "session_id": session_id},
            "info": format!("started {}", planned.told),
        })
        .into(),
    }
}

/// POST `object_action`, `service_action`.
pub(super) async fn object_action(
    context: &Context,
    options: &ObjectAction,
) -> Result<Outcome, Refused> {
    let action = options.action.as_deref().filter(|action| !action.is_empty());
    let is_new = matches!(action, Some("create" | "deploy"));
    let path = match context.known_object(&options.path).await {
        Ok(path) => path,
        Err(refused) if !is_new => return Err(refused),
        Err(_) => model::validate_object_name(&options.path)
            .map_err(|error| Refused::new(400, error.to_string()))?,
    };
    let command = [&options.command, &options.cmd].into_iter().find(|words| !words.is_empty());
    let first = action.or_else(|| command.and_then(|words| Some(words.first()?.as_str())));
    // `om cluster freeze` is a command to nodes; of the object that many were selected with, it is nothing to do.
    if path.kind() == model::Kind::Ccfg && matches!(first, Some("freeze" | "thaw")) {
        return Ok(json!({"status": 0, "data": {"out": "", "err": "", "ret": 0}}).into());
    }
    // The group of the command line.
    let group = match path.kind() {
        model::Kind::Ccfg => "cluster",
        kind => kind.as_str(),
    };
    let planned = match (action, command) {
        (Some(action), _) => {
            let first = path.command_words().into_iter().chain(action_words(action)).collect();
            plan(
                path.as_str(),
                &shorten(action),
                first,
                flags((group, action), &options.options, OBJECT_REMOVED),
            )
        }
        (None, Some(words)) => {
            let kept = command_words(words);
            let told = kept.join(" ");
            let first = path.command_words().into_iter().chain(kept).collect();
            plan(path.as_str(), &told, first, vec![])
        }
        (None, None) => return Err(Refused::new(400, "action not set")),
    };
    Ok(reply(run(context, &planned, options.sync, Some(path)).await?, &planned, true))
}

/// POST `node_action`.
pub(super) async fn node_action(
    context: &Context,
    options: &NodeAction,
) -> Result<Outcome, Refused> {
    let Some(action) = options.action.as_deref().filter(|action| !action.is_empty()) else {
        return Ok(json!({"status": 1}).into());
    };
    let group = NODE_GROUPS.iter().find_map(|(prefix, group)| {
        Some((*group, action.strip_prefix(prefix).filter(|rest| !rest.is_empty())?))
    });
    let (group, words) = match group.filter(|_| options.action_mode) {
        Some((group, rest)) => (group, action_words(rest)),
        None => ("node", action_words(action)),
    };
    let removed: &[&str] = if NODE_KEEPING.contains(&action) { &["local"] } else { NODE_REMOVED };
    let flags = flags((group, &words.join(" ")), &options.options, removed);
    let first = std::iter::once(group.to_owned()).chain(words).collect();
    let planned = plan("node", &shorten(action), first, flags);
    Ok(reply(run(context, &planned, options.sync, None).await?, &planned, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_logged() {
        let shown = |words: &[&str]| {
            shown(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).join(" ")
        };
        for (words, expected) in [
            (
                &["cluster", "set", "--kw", "cluster.secret=abc=d", "--local"][..],
                "cluster set --kw cluster.secret=(..) --local",
            ),
            (&["set", "--kw=hb#1.secret=abc"], "set --kw=hb#1.secret=(..)"),
            (&["set", "--kw", "cluster.secret@n1=abc"], "set --kw cluster.secret@n1=(..)"),
            (&["set", "--kw", "node.uuid+=abc"], "set --kw node.uuid+=(..)"),
            (
                &["sec/x", "add", "--key", "k", "--value", "abc", "--local"],
                "sec/x add --key k --value (..) --local",
            ),
            (&["sec/x", "add", "--value=abc"], "sec/x add --value=(..)"),
            (&["join", "--secret", "abc", "--node", "n1"], "join --secret (..) --node n1"),
            (
                &["svc1", "set", "--kw", "app#1.start=/bin/secret --value=1"],
                "svc1 set --kw app#1.start=/bin/secret --value=1",
            ),
            (&["svc1", "start", "--rid", "app#1"], "svc1 start --rid app#1"),
        ] {
            assert_eq!(shown(words), expected);
        }
    }

    fn flags_of(action: &str, options: Value) -> Vec<String> {
        let Value::Object(options) = options else { panic!("not an object") };
        flags(("svc", action), &options, OBJECT_REMOVED)
    }

    #[test]
    fn options_become_long_flags_and_unknown_ones_are_left_out() {
        assert_eq!(
            flags_of(
                "set",
                json!({
                    "kw": ["fs#1.type", "id"], "eval": true, "local": false, "node": "n2", "daemon": true, "dry_run": true,
                    "force": false, "rid": "app#1", "nosuch_option": "x", "color": "auto", "time": null,
                    "jsonpath_filter": "$.a", "waitlock": "-1", "debug": "yes"
                })
            ),
            ["--eval", "--filter=$.a", "--kw=fs#1.type", "--kw=id"]
        );
    }

    #[test]
    fn metacharacters_stay_inside_their_word() {
        assert_eq!(flags_of("set", json!({"kw": ["a=$(id); b"]})), ["--kw=a=$(id); b"]);
        assert_eq!(action_words("print_config_mtime; id"), ["print", "config", "mtime;", "id"]);
    }

    #[test]
    fn a_word_array_never_leaves_the_node() {
        let words = ["start", "--node", "n2", "--rid", "app#1", "--daemon", "--node=n3", "--local"];
        assert_eq!(command_words(&words.map(str::to_owned)), ["start", "--rid", "app#1"]);
    }
}
