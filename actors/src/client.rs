//! The command line at work: what `om` does once its arguments are read.
//!
//! One file per group of commands; this one has what they share. Results go to stdout, everything else to stderr.
//! Exit codes: 0 done, 1 refused or failed, 2 wrong usage; where the code is an answer, 69 and 64 instead of 1 and 2.

mod complete;
mod config_edit;
mod create;
mod daemon;
mod dequeue;
mod events;
mod explain;
mod instance;
mod interrupted;
mod join;
mod keys;
mod link;
mod logs;
mod mon;
mod node;
mod object;
mod others;
mod rotate;
mod select;
mod stock;
mod streams;
mod target;
mod tips;
mod xmlrpc;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use model::NodeName;
use om::render::{flat_json, json, printable};
use om::{ColorChoice, Command, Format, Output, Target};
use serde_json::{Map, Value};
use wire::NodeSpec;
use wire::reply::Lines;

pub(crate) use self::join::SECRET_VARIABLE;
pub use self::link::{AskError, Link, Server};
use crate::paths::Paths;
use crate::requests::jsonpath::JsonPath;

/// How long the daemon may take for what it knows by heart. Deployed clients wait as long.
const ANSWER: Duration = Duration::from_secs(5);

/// Environment variable with the namespace of relative names.
const NAMESPACE_VARIABLE: &str = "OSVC_NAMESPACE";

/// Carries a command out and returns the exit code.
#[must_use]
pub fn run(command: Command) -> ExitCode {
    let paths = Paths::from_env();
    let nodename = match crate::clock::local_nodename() {
        Ok(nodename) => nodename,
        Err(error) => {
            complain(&format!(
                "the name of this host is none for a node: {error}: set OSVC_NODENAME"
            ));
            return ExitCode::FAILURE;
        }
    };
    if let Some(filter) = command.filter()
        && let Err(error) = JsonPath::parse(filter)
    {
        complain(&format!("--filter: {error}"));
        return ExitCode::from(if answers(&command) { om::NOT_ASKED } else { 2 });
    }
    if command.filter().is_some() && !command.writes_data() {
        complain("--filter: this command writes nothing that a path selects from");
        return ExitCode::from(if answers(&command) { om::NOT_ASKED } else { 2 });
    }
    let answers = answers(&command);
    if let Err(failure) = tips::check_nodes(&command, &paths, &nodename) {
        failure.lines.iter().for_each(|line| complain(line));
        return ExitCode::from(if answers { om::NOT_ANSWERED } else { failure.code });
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
        Command::Complete(words) => {
            complete::run(&paths, &words);
            Ok(0)
        }
        Command::Demo(_) => Err(Failure::new("the demo is started by main")),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(mut failure) => {
            if answers {
                failure.code = if failure.code == 2 { om::NOT_ASKED } else { om::NOT_ANSWERED };
            }
            failure.lines.iter().for_each(|line| complain(line));
            if crate::resource::is_from_daemon() {
                // Nobody reads that. Without a log yet, this is nothing.
                failure.lines.iter().for_each(|line| log::error!("{line}"));
            }
            let denied = std::io::ErrorKind::PermissionDenied.to_string();
            let is_denied = |line: &String| line.to_lowercase().contains(&denied.to_lowercase());
            if failure.lines.iter().any(is_denied) {
                note("this user may not: run it as root, or as the owner of the agent's folders");
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Whether the exit code is an answer, so that a failure must have another one.
fn answers(command: &Command) -> bool {
    use om::{ConfigAction, NodeAction, NodeCommand, ObjectAction};
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

/// What all commands of a run share.
#[derive(Debug, Clone)]
struct Om {
    paths: Paths,
    nodename: NodeName,
    output: Output,
}

/// Exit code of a command that did its work; not 0 where the code is the answer.
type Done = Result<u8, Failure>;

/// Why a command failed: lines for stderr, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    lines: Vec<String>,
    code: u8,
}

impl Failure {
    fn new(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: 1 }
    }

    /// Wrong usage that only the work could tell.
    fn usage(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: 2 }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<Box<conf::Complaint>> for Failure {
    fn from(complaint: Box<conf::Complaint>) -> Self {
        Self::new(complaint.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl Om {
    fn new(paths: Paths, nodename: NodeName, output: Output) -> Self {
        match output.color {
            ColorChoice::Auto => {}
            ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
            ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
        }
        Self { paths, nodename, output }
    }

    fn link(&self, server: Option<&str>) -> Result<Link, Failure> {
        Ok(Link::new(&self.paths, &self.nodename, server)?)
    }

    /// Prints a value in the wanted format, or as `human` writes it; with `--filter`, what that selects of it.
    fn show(&self, value: &Value, human: impl FnOnce(&Value) -> String) {
        if let Some(filter) = &self.output.filter {
            // Read once before the command began.
            let Ok(filter) = JsonPath::parse(filter) else { return };
            return self.show_filtered(value, &filter);
        }
        match self.output.format {
            Some(Format::Json) => print(&json(value)),
            Some(Format::FlatJson) => print(&flat_json(value)),
            Some(Format::Compact) | None => print(&human(value)),
        }
    }

    /// What a path selects, as deployed agents print it: a text as it is, one value as itself, several as a list.
    fn show_filtered(&self, value: &Value, filter: &JsonPath) {
        let mut found: Vec<Value> = match filter.find(value) {
            Ok(found) => found.into_iter().cloned().collect(),
            Err(error) => return note(&format!("--filter: {error}")),
        };
        let value = match found.len() {
            // Whoever reads the output has to know that there is none.
            0 => {
                complain("--filter selects nothing");
                std::process::exit(1);
            }
            1 if filter.is_single() => found.remove(0),
            _ => found.into(),
        };
        match (&value, self.output.format) {
            (Value::String(text), _) => {
                print(
                    &text.lines().map(|line| format!("{}\n", printable(line))).collect::<String>(),
                );
            }
            (Value::Object(_) | Value::Array(_), Some(Format::FlatJson)) => {
                print(&flat_json(&value))
            }
            _ => print(&json(&value)),
        }
    }

    /// Whether a program reads the output.
    fn is_machine_readable(&self) -> bool {
        self.output.filter.is_some()
            || matches!(self.output.format, Some(Format::Json | Format::FlatJson))
    }

    /// Prints the lines of a reply. The exit code is 1 when its status is not 0.
    fn report(&self, reply: &Value) -> Done {
        if let Some(nobody) = nobody(reply) {
            return Err(nobody);
        }
        let lines = Lines::of(reply);
        if self.is_machine_readable() {
            self.show(reply, json);
        } else {
            lines.infos.iter().for_each(|line| note(line));
        }
        if lines.status == 0 {
            lines.errors.iter().for_each(|line| complain(line));
            return Ok(0);
        }
        let lines = match lines.errors {
            errors if errors.is_empty() => vec![format!("refused with status {}", lines.status)],
            errors => errors,
        };
        Err(Failure { lines, code: 1 })
    }
}

/// The failure of a request that went to no node. The daemon's answer is a success, as in deployed agents; but whoever
/// named nodes wanted something done there.
fn nobody(reply: &Value) -> Option<Failure> {
    let fail = |line: &str| Failure { lines: vec![line.to_owned()], code: 1 };
    if reply.get("nodes").and_then(Value::as_object).is_some_and(Map::is_empty) {
        return Some(fail("none of the selected nodes has an instance"));
    }
    (reply.get("info").and_then(Value::as_str) == Some("empty node selection"))
        .then(|| fail("no node is selected: `om node ls` lists them"))
}

/// The nodes of a request.
fn node_spec(target: &Target, default: Option<NodeSpec>) -> Option<NodeSpec> {
    match target {
        Target::Default => default,
        Target::Local => None,
        Target::Nodes(selector) => Some(NodeSpec::Selector(selector.clone())),
    }
}

/// Asks for a node, or for this one.
fn addressed(request: wire::Request, node: Option<NodeSpec>) -> wire::Request {
    match node {
        Some(node) => request.on(node),
        None => request,
    }
}

/// Writes to stdout. A reader that went away ends the command quietly, as it does for every filter.
fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes a line about the command to stderr.
fn note(line: &str) {
    say(&format!("{}\n", printable(line)));
}

/// Writes a line about what went wrong to stderr.
fn complain(line: &str) {
    say(&format!("error: {}\n", printable(line)));
}

/// Writes to stderr. That nobody reads it changes nothing of what is done.
pub(crate) fn say(text: &str) {
    _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Tells of a word alone what it may be: an object that is here, or one that is near it.
pub(crate) fn say_object(words: &[String]) {
    let [word] = words else { return };
    let paths = Paths::from_env();
    let known: Vec<String> =
        crate::config::list_objects(&paths).into_keys().map(|path| path.to_string()).collect();
    let Some(near) = model::nearest(word, known.iter().map(String::as_str)) else { return };
    note(&format!("{near} is an object: `om {near} print status` shows it"));
}

/// Seconds as a duration; what is none is 0.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
