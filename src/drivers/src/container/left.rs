//! Containers that run on of an object, known by their labels, whatever is configured: a section was removed, names another
//! container, or has another tool.

use std::fmt;
use std::time::Duration;

use model::ObjectPath;
use serde_json::Value;

use crate::container::tool::Tool;
use crate::container::{QUERY_TIMEOUT, is_running};
use crate::exec::{Ended, Output, Program};
use crate::interrupt::Interrupt;
use crate::journal::Journal;

/// How long one may take to end: what keyword `stop_timeout` has as its default.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);

/// Our own binary, which runs no program here in a context.
const AGENT: &str = "/proc/self/exe";

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    program: String,
    id: String,
    name: String,
    /// The resource that it was made for.
    pub rid: String,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: container {}", self.rid, self.name)
    }
}

/// The tools that may have some: those that are installed.
fn programs(docker: Option<&str>) -> Vec<String> {
    let docker = docker.unwrap_or(Tool::Docker.name());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|it| it.join(name).is_file());
    [docker, Tool::Podman.name()].into_iter().filter(is_there).map(str::to_owned).collect()
}

fn run(words: &[&str], timeout: Duration, journal: &Journal) -> Result<Ended, String> {
    let tool = if words[0] == Tool::Podman.name() { Tool::Podman } else { Tool::Docker };
    let all = [&words[..1], tool.always(), &words[1..]].concat();
    let program = Program::new(all.iter().copied()).timeout(Some(timeout));
    let program = program.output(Output::Captured);
    let ended = program
        .run(AGENT.as_ref(), &Interrupt::default(), journal)
        .map_err(|error| error.to_string())?;
    if ended.is_success() {
        return Ok(ended);
    }
    Err(format!("{program}: exit code {}: {}", ended.code, ended.last_line()))
}

/// Those of an object that run and were made for a resource that is meant. A tool that does not answer is told, and has none.
pub(crate) fn of_object(
    path: &ObjectPath,
    docker: Option<&str>,
    journal: &Journal,
    is_meant: &dyn Fn(&str) -> bool,
) -> Vec<Left> {
    let mut all = vec![];
    for program in programs(docker) {
        match of_tool(&program, path, journal) {
            Ok(found) => all.extend(found.into_iter().filter(|left| is_meant(&left.rid))),
            Err(reason) => {
                journal.warn(format_args!("not looked for containers of {program}: {reason}"));
            }
        }
    }
    all
}

fn of_tool(program: &str, path: &ObjectPath, journal: &Journal) -> Result<Vec<Left>, String> {
    let label = format!("label=com.opensvc.path={path}");
    let listed = match run(&[program, "ps", "--quiet", "--filter", &label], QUERY_TIMEOUT, journal)
    {
        Ok(ended) => ended.out,
        // Without its daemon nothing runs.
        Err(reason) if reason.to_lowercase().contains("docker daemon") => return Ok(vec![]),
        Err(reason) => return Err(reason),
    };
    let ids: Vec<&str> = listed.split_whitespace().collect();
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let words = [&[program, "container", "inspect"], &ids[..]].concat();
    let ended = run(&words, QUERY_TIMEOUT, journal)?;
    let all: Vec<Value> = serde_json::from_str(&ended.out).map_err(|error| error.to_string())?;
    Ok(all.iter().filter_map(|found| read(program, path, found)).collect())
}

/// What the tool knows of a container, if it runs and is of the object.
fn read(program: &str, path: &ObjectPath, found: &Value) -> Option<Left> {
    let text = |pointer: &str| found.pointer(pointer).and_then(Value::as_str);
    let labels = found.pointer("/Config/Labels")?;
    let label = |name: &str| labels.get(name).and_then(Value::as_str);
    let is_of = label("com.opensvc.path") == Some(path.as_str()) && is_running(found);
    let (rid, id) = (label("com.opensvc.rid")?, text("/Id")?);
    is_of.then(|| Left {
        program: program.to_owned(),
        id: id.to_owned(),
        name: text("/Name").unwrap_or(id).trim_start_matches('/').to_owned(),
        rid: rid.to_owned(),
    })
}

/// Stops containers. The tool kills what does not end in time.
///
/// # Errors
///
/// Those that run on, and why.
pub(crate) fn end(all: &[Left], journal: &Journal) -> Result<(), String> {
    let mut failed = vec![];
    for left in all {
        journal.info(format_args!("stop container {}, made for {}", left.name, left.rid));
        let seconds = STOP_TIMEOUT.as_secs().to_string();
        let words = [&left.program, "container", "stop", "-t", &seconds, &left.id];
        let stopped = run(&words, STOP_TIMEOUT + QUERY_TIMEOUT, journal);
        let kill = [&left.program, "container", "kill", &left.id];
        if let Err(reason) = stopped.or_else(|_| run(&kill, QUERY_TIMEOUT, journal)) {
            failed.push(format!("{left}: {reason}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) }
}
