//! `om node exec`: runs a command and keeps its result, which whoever asked for it reads later; `om node print boot`.
//!
//! The command outlives the daemon that was asked for it, and the connection that asked: it may be what restarts the one and
//! cuts the other. The file of its result is locked while it runs, and names the node that it is for: the same request at
//! another node, or once more at this one, runs nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cli::Target;
use cli::render::printable;
use link::link::Link;
use machine::durable::{self, FileLock};
use model::NodeName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::reply::{Lines, status_of};
use wire::{NodeSpec, Request};

use crate::om::{Done, Failure, Om, addressed, node_spec};
use crate::operations::claim::Claim;
use crate::remote;

/// How much of each output is kept, from its end.
const KEPT: usize = 64 << 10;

/// Results that are kept.
const MOST_RESULTS: usize = 50;

/// What became of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// It runs.
    pub(super) is_running: bool,
    /// Its exit code; none while it runs, and where nobody knows.
    pub(super) ret: Option<i32>,
    /// The end of what it wrote.
    pub(super) out: String,
    /// The same of its errors.
    pub(super) err: String,
}

/// Runs the command of an id, or tells what became of it.
pub(crate) fn run(om: &Om, id: &str, command: Option<&str>) -> Done {
    let node = om.nodename.as_str();
    // A request that somebody plays again at another node does nothing there.
    if !id.strip_prefix(node).is_some_and(|rest| rest.starts_with('.')) {
        return Err(Failure::new(format!("command {id} is not for {node}")));
    }
    let file = om.paths.node_var().join("exec").join(id);
    match command {
        Some(command) => begin(om, &file, command),
        None => tell(om, &file),
    }
}

fn begin(om: &Om, file: &Path, command: &str) -> Done {
    let argv = drivers::command_words(command).map_err(Failure::new)?;
    let [program, rest @ ..] = &argv[..] else { return Err(Failure::new("the command is empty")) };
    if file.exists() {
        return Err(Failure::new("this command was run already"));
    }
    forget_old(file);
    let Some(lock) = FileLock::try_take(&lock_of(file))? else {
        return Err(Failure::new("this command runs already"));
    };
    let running = Outcome { is_running: true, ..Outcome::default() };
    write(file, &running)?;
    log::info!(id:? = file.file_name().unwrap_or_default(), program = program.as_str(); "command begun");
    let mut outcome = carry_out(program, rest);
    // What waits for it reads both: the one that is whole is the later one.
    outcome.is_running = false;
    write(file, &outcome)?;
    drop(lock);
    log::info!(ret:? = outcome.ret; "command ended");
    om.show(&json!(outcome), |_| text(&outcome));
    Ok(u8::from(outcome.ret != Some(0)))
}

fn carry_out(program: &str, rest: &[String]) -> Outcome {
    let mut command = Command::new(program);
    for name in machine::environment::inherited_marks() {
        command.env_remove(name);
    }
    command.args(rest).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |error: std::io::Error| Outcome {
        ret: Some(127),
        err: format!("{program}: {error}\n"),
        ..Outcome::default()
    };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return failed(error),
    };
    let out = child.stdout.take().map(|out| std::thread::spawn(move || end_of(out)));
    let err = child.stderr.take().map(|err| std::thread::spawn(move || end_of(err)));
    let status = match child.wait() {
        Ok(status) => status,
        Err(error) => return failed(error),
    };
    use std::os::unix::process::ExitStatusExt as _;
    let ret = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Outcome { is_running: false, ret, out: joined(out), err: joined(err) }
}

/// What was written until the command ended: what it leaves running may hold its outputs open for ever.
fn joined(reading: Option<std::thread::JoinHandle<String>>) -> String {
    const PATIENCE: Duration = Duration::from_secs(2);
    const STEP: Duration = Duration::from_millis(10);
    let Some(reading) = reading else { return String::new() };
    let mut waited = Duration::ZERO;
    while !reading.is_finished() && waited < PATIENCE {
        std::thread::sleep(STEP);
        waited += STEP;
    }
    if reading.is_finished() { reading.join().unwrap_or_default() } else { String::new() }
}

fn end_of(mut stream: impl std::io::Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0_u8; 8192]);
    while let Ok(count @ 1..) = stream.by_ref().read(&mut buffer) {
        kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn tell(om: &Om, file: &Path) -> Done {
    let text_of_file = machine::regular::words(file);
    let outcome = text_of_file.and_then(|text| serde_json::from_str::<Outcome>(&text).ok());
    let Some(mut outcome) = outcome else {
        return Err(Failure::new("no such command was run here, or its result is gone"));
    };
    if outcome.is_running && FileLock::try_take(&lock_of(file))?.is_some() {
        // Unless it ended in between.
        let again = machine::regular::words(file).and_then(|text| serde_json::from_str(&text).ok());
        outcome = again.unwrap_or(outcome);
        // Else its machine died, or it was killed.
        outcome.is_running = false;
    }
    om.show(&json!(outcome), |_| text(&outcome));
    Ok(0)
}

fn text(outcome: &Outcome) -> String {
    let lines = |text: &str| text.lines().map(|line| format!("{}\n", printable(line))).collect();
    let (out, err): (String, String) = (lines(&outcome.out), lines(&outcome.err));
    match (outcome.is_running, outcome.ret) {
        (true, _) => "it runs\n".to_owned(),
        (false, Some(ret)) => format!("{out}{err}exit code {ret}\n"),
        (false, None) => "it was ended, and nobody knows how far it came\n".to_owned(),
    }
}

fn write(file: &Path, outcome: &Outcome) -> Result<(), Failure> {
    let text = serde_json::to_vec(outcome).map_err(|error| Failure::new(error.to_string()))?;
    // What a command writes is root's.
    Ok(durable::write(file, &text, 0o600)?)
}

fn lock_of(file: &Path) -> PathBuf {
    file.with_file_name(format!(".{}.lock", file.file_name().unwrap_or_default().to_string_lossy()))
}

/// Removes the oldest results.
fn forget_old(file: &Path) {
    let Some(entries) = file.parent().and_then(|folder| std::fs::read_dir(folder).ok()) else {
        return;
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    let surplus = found.len().saturating_sub(MOST_RESULTS);
    for (_, old) in found.into_iter().take(surplus) {
        _ = std::fs::remove_file(lock_of(&old));
        _ = std::fs::remove_file(old);
    }
}

/// The boot of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Boot {
    /// Another one after each boot.
    pub(super) boot_id: String,
    /// `/run/reboot-required` is there.
    pub(super) is_reboot_required: bool,
    /// The roll that is under way from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) roll: Option<Claim>,
}

/// Prints the boot of this machine.
pub(crate) fn print_boot(om: &Om) -> Done {
    let below = |file: &str| match om.paths.root() {
        Some(root) => root.join(file),
        None => Path::new("/").join(file),
    };
    const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";
    // A root of its own may have a boot of its own.
    let own = std::fs::read_to_string(below(BOOT_ID));
    let boot_id = own.or_else(|_| std::fs::read_to_string(format!("/{BOOT_ID}")))?;
    let boot = Boot {
        boot_id: boot_id.trim().to_owned(),
        is_reboot_required: below("run/reboot-required").exists(),
        roll: Claim::here(&om.paths),
    };
    om.show(&json!(boot), |_| {
        let wants = if boot.is_reboot_required { "wants a reboot" } else { "wants no reboot" };
        format!("{}, {wants}\n", printable(&boot.boot_id))
    });
    Ok(0)
}

/// The same on other nodes, by their daemons.
pub(crate) fn elsewhere(
    om: &Om,
    link: &Link,
    target: &Target,
    id: &str,
    command: Option<&str>,
) -> Done {
    let own = [("id", Some(id)), ("run", command)].into_iter();
    let options = own.filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
    let action = wire::NodeAction {
        sync: true,
        action_mode: true,
        action: Some("exec".to_owned()),
        options: options.collect(),
    };
    // As long as the command takes.
    let request = addressed(Request::new(action), node_spec(target, None));
    remote::show_outputs(om, &link.ask(&request, None)?)
}

/// Why a node tells nothing of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silent {
    /// The node answered: it knows of no such command.
    pub(super) is_answer: bool,
    /// What it said, or why it did not.
    pub(super) text: String,
}

/// How long another node may take to start a command that tells something.
const PATIENCE: Duration = Duration::from_secs(30);

/// An id for a command of a node that nobody used yet.
pub(super) fn new_id(node: &NodeName) -> String {
    let millis = (machine::clock::now().0 * 1000.0) as u64;
    format!("{node}.{millis}-{}", std::process::id())
}

/// Has a node begin a command: it goes on whatever becomes of its daemon.
pub(super) fn begin_on(
    link: &Link,
    node: &NodeName,
    id: &str,
    command: &str,
) -> Result<(), Failure> {
    let options = [("id", Value::from(id)), ("run", Value::from(command))];
    let reply = link.ask(&action(node, "exec", false, &options), Some(PATIENCE))?;
    match status_of(&reply) {
        0 => Ok(()),
        _ => Err(Failure { lines: Lines::of(&reply).errors, code: 1 }),
    }
}

/// What became of a command on a node.
pub(super) fn ask_on(link: &Link, node: &NodeName, id: &str) -> Result<Outcome, Silent> {
    read(link, &action(node, "exec", true, &[("id", Value::from(id))]))
}

/// The boot of a node.
pub(super) fn boot_of(link: &Link, node: &NodeName) -> Result<Boot, Failure> {
    let told = read(link, &action(node, "print_boot", true, &[]));
    told.map_err(|silent| Failure::new(format!("the boot of {node} is not known: {}", silent.text)))
}

fn action(node: &NodeName, name: &str, sync: bool, options: &[(&str, Value)]) -> Request {
    let json = ("format".to_owned(), Value::from("json"));
    let own = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let action = wire::NodeAction {
        sync,
        action_mode: true,
        action: Some(name.to_owned()),
        options: own.chain([json]).collect(),
    };
    Request::new(action).on(NodeSpec::Names(vec![node.to_string()]))
}

/// What a command of another node printed as JSON.
fn read<T: DeserializeOwned>(link: &Link, request: &Request) -> Result<T, Silent> {
    let reply = link
        .ask(request, Some(PATIENCE))
        .map_err(|error| Silent { is_answer: false, text: error.to_string() })?;
    // By its name, where it was selected; as it is, where it is the one that was asked.
    let part = reply.pointer("/nodes").and_then(Value::as_object);
    let part = part.and_then(|nodes| nodes.values().next()).unwrap_or(&reply);
    let data = &part["data"];
    let out = data["out"].as_str().unwrap_or_default();
    if let Ok(found) = serde_json::from_str(out) {
        return Ok(found);
    }
    let ran = data.get("ret").is_some();
    let said = data["err"].as_str().and_then(|err| err.lines().next_back());
    let errors = Lines::of(part).errors;
    let text = said.or(errors.first().map(String::as_str)).unwrap_or("it tells nothing");
    let text = text.trim_start_matches("error: ").to_owned();
    Err(Silent { is_answer: ran, text })
}
