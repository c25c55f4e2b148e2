//! What all commands of a run share: whom they ask, how they end, and what they write.

use std::io::Write as _;
use std::time::Duration;

use cli::render::{flat_json, json, printable};
use cli::{ColorChoice, Format, Output, Target};
use link::link::Link;
use machine::paths::Paths;
use model::NodeName;
use serde_json::{Map, Value};
use wire::NodeSpec;
use wire::jsonpath::JsonPath;
use wire::reply::Lines;

use crate::contexts;
pub(crate) use crate::failure::Failure;

/// How long the daemon may take for what it knows by heart. Deployed clients wait as long.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// Environment variable with the namespace of relative names.
pub(crate) const NAMESPACE_VARIABLE: &str = "OSVC_NAMESPACE";

/// What all commands of a run share.
#[derive(Debug, Clone)]
pub(crate) struct Om {
    pub(crate) paths: Paths,
    pub(crate) nodename: NodeName,
    pub(crate) output: Output,
}

/// Exit code of a command that did its work; not 0 where the code is the answer.
pub(crate) type Done = Result<u8, Failure>;

impl Om {
    pub(crate) fn new(paths: Paths, nodename: NodeName, output: Output) -> Self {
        match output.color {
            ColorChoice::Auto => {}
            ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
            ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
        }
        Self { paths, nodename, output }
    }

    pub(crate) fn link(&self, server: Option<&str>) -> Result<Link, Failure> {
        if let Some(server) = server.filter(|server| server.starts_with(contexts::SCHEME)) {
            return Ok(Link::over(
                &self.paths,
                &self.nodename,
                contexts::remote(server, self.output.cacert.as_deref())?,
            ));
        }
        Ok(Link::new(&self.paths, &self.nodename, server)?)
    }

    /// Prints a value in the wanted format, or as `human` writes it; with `--filter`, what that selects of it.
    pub(crate) fn show(&self, value: &Value, human: impl FnOnce(&Value) -> String) {
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
    pub(crate) fn is_machine_readable(&self) -> bool {
        self.output.filter.is_some()
            || matches!(self.output.format, Some(Format::Json | Format::FlatJson))
    }

    /// Prints the lines of a reply. The exit code is 1 when its status is not 0.
    pub(crate) fn report(&self, reply: &Value) -> Done {
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
pub(crate) fn nobody(reply: &Value) -> Option<Failure> {
    let fail = |line: &str| Failure { lines: vec![line.to_owned()], code: 1 };
    if reply.get("nodes").and_then(Value::as_object).is_some_and(Map::is_empty) {
        return Some(fail("none of the selected nodes has an instance"));
    }
    (reply.get("info").and_then(Value::as_str) == Some("empty node selection"))
        .then(|| fail("no node is selected: `om node ls` lists them"))
}

/// The nodes of a request.
pub(crate) fn node_spec(target: &Target, default: Option<NodeSpec>) -> Option<NodeSpec> {
    match target {
        Target::Default => default,
        Target::Local => None,
        Target::Nodes(selector) => Some(NodeSpec::Selector(selector.clone())),
    }
}

/// Asks for a node, or for this one.
pub(crate) fn addressed(request: wire::Request, node: Option<NodeSpec>) -> wire::Request {
    match node {
        Some(node) => request.on(node),
        None => request,
    }
}

/// Writes to stdout. A reader that went away ends the command quietly, as it does for every filter.
pub(crate) fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes a line about the command to stderr.
pub(crate) fn note(line: &str) {
    say(&format!("{}\n", printable(line)));
}

/// Writes a line about what went wrong to stderr.
pub(crate) fn complain(line: &str) {
    say(&format!("error: {}\n", printable(line)));
}

/// Writes to stderr. That nobody reads it changes nothing of what is done.
pub fn say(text: &str) {
    _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Seconds as a duration; what is none is 0.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
