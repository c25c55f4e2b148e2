//! `container.docker`, `container.podman`: a container, through its command line tool.

mod arguments;
mod credentials;
mod drift;
pub(super) mod left;
mod run;
pub(crate) mod tool;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use conf::{EvalError, SectionReader};
use model::{Kind, Status};
use serde_json::Value;

use crate::container::arguments::Arguments;
use crate::container::tool::Tool;
use crate::driver::{Driver, Scene};
use crate::exec::{Ended, Output, Program};
use crate::failure::Failure;
use crate::report::Report;
use crate::setup::Setup;

/// Longest answer of the tool to a question.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest pause between two looks at a container that comes up.
const PAUSE: Duration = Duration::from_millis(500);

/// Label that says whose container it is: `<object id>.<rid>`.
const LABEL: &str = "com.opensvc.id";

struct Container {
    tool: Tool,
    program: String,
    label: String,
    /// What keywords say by themselves: the rest is resolved at a start.
    arguments: Arguments,
    mounts: Vec<String>,
    devices: Vec<String>,
    /// Removed when it stops, and never started a second time.
    is_removed: bool,
    is_always_pulled: bool,
    /// None for no limit.
    start_timeout: Option<Duration>,
    stop_timeout: Duration,
    pull_timeout: Option<Duration>,
    environment: Vec<(String, String)>,
    configs: Vec<String>,
    secrets: Vec<String>,
    /// The secret that holds what the registry wants to see.
    credentials: Option<String>,
}

/// Reads the section.
pub(crate) fn read(
    section: &SectionReader<'_>,
    setup: &Setup<'_>,
    tool: Tool,
) -> Result<Box<dyn Driver>, EvalError> {
    let limit = |keyword: &str| -> Result<Option<Duration>, EvalError> {
        Ok(section.duration(keyword)?.filter(|limit| !limit.is_zero()))
    };
    let own = match tool {
        Tool::Docker => setup.conf.section(section.context(), "DEFAULT").text("docker_exe")?,
        Tool::Podman => None,
    };
    let is_detached = section.tristate("detach")?.unwrap_or(true);
    let run_args = section.words("run_args")?;
    let (path, rid) = (setup.path, setup.rid.as_str());
    let label = format!("{}.{rid}", setup.id);
    let labels = [
        format!("{LABEL}={label}"),
        format!("com.opensvc.path={path}"),
        format!("com.opensvc.namespace={}", path.namespace().unwrap_or("root")),
        format!("com.opensvc.name={}", path.name()),
        format!("com.opensvc.kind={}", path.kind().as_str()),
        format!("com.opensvc.rid={rid}"),
    ];
    let all = |options: &[&str], keyword: &str| -> Result<Vec<String>, EvalError> {
        let mut all = arguments::values(&run_args, options);
        all.extend(section.words(keyword)?);
        Ok(all)
    };
    let mounts = all(&["-v", "--volume"], "volume_mounts")?;
    let devices = all(&["--device"], "devices")?;
    Ok(Box::new(Container {
        tool,
        program: own.unwrap_or_else(|| tool.name().to_owned()),
        label,
        arguments: Arguments {
            run_args,
            name: section.text("name")?.unwrap_or_else(|| default_name(setup)),
            labels: labels.to_vec(),
            is_detached,
            hostname: section.text("hostname")?,
            entrypoint: section.text("entrypoint")?,
            net: section.text("netns")?,
            // Podman has a default that is as private.
            default_net: (tool == Tool::Docker).then_some("none"),
            pid: section.text("pidns")?,
            ipc: section.text("ipcns")?,
            uts: section.text("utsns")?,
            userns: section.text("userns")?,
            user: section.text("user")?,
            privileged: section.tristate("privileged")?,
            interactive: section.tristate("interactive")?,
            tty: section.tristate("tty")?,
            dns_option: tool.dns_option(),
            image: section.text("image")?.unwrap_or_default(),
            command: section.words("command")?,
            ..Arguments::default()
        },
        mounts,
        devices,
        // One that is not detached has done its work when it ends.
        is_removed: section.bool("rm")? || !is_detached,
        is_always_pulled: section.text("image_pull_policy")?.as_deref() == Some("always"),
        start_timeout: limit("start_timeout")?,
        stop_timeout: section.duration("stop_timeout")?.unwrap_or(Duration::from_secs(120)),
        pull_timeout: limit("pull_timeout")?,
        environment: section
            .words("environment")?
            .iter()
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_uppercase(), value.to_owned()))
            .collect(),
        configs: section.words("configs_environment")?,
        secrets: section.words("secrets_environment")?,
        credentials: section.text("registry_creds")?,
    }))
}

fn default_name(setup: &Setup<'_>) -> String {
    container_name(setup.path.namespace(), setup.path.name(), setup.rid.index())
}

fn container_name(namespace: Option<&str>, name: &str, index: &str) -> String {
    let namespace = namespace.map(|namespace| format!("{namespace}..")).unwrap_or_default();
    format!("{namespace}{name}.container.{index}")
}

/// What asking the tool for a container came to.
enum Seen {
    /// There is one.
    Container(Value),
    /// There is none.
    Nothing,
    /// The daemon of the tool does not answer: nothing runs.
    NoDaemon,
    /// The tool is not installed.
    NoTool,
}

impl Container {
    fn name(&self) -> &str {
        &self.arguments.name
    }

    fn is_detached(&self) -> bool {
        self.arguments.is_detached
    }

    fn words<'a>(&'a self, words: impl IntoIterator<Item = &'a str>) -> Program {
        let all = std::iter::once(self.program.as_str());
        let all = all.chain(self.tool.always().iter().copied()).chain(words);
        Program::new(all)
    }

    fn look(&self, scene: &Scene<'_>) -> Result<Seen, Failure> {
        let program =
            self.words(["container", "inspect", self.name()]).timeout(Some(QUERY_TIMEOUT));
        let ended = match scene.query(&program) {
            Ok(ended) => ended,
            Err(Failure::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Seen::NoTool);
            }
            Err(failure) => return Err(failure),
        };
        if ended.is_late {
            return Err(Failure::Late { command: program.to_string(), timeout: QUERY_TIMEOUT });
        }
        if ended.code != 0 {
            let error = ended.err.to_lowercase();
            // Not there is an answer.
            if error.contains("no such container") || error.contains("no container with") {
                return Ok(Seen::Nothing);
            }
            if error.contains("cannot connect to the docker daemon")
                || error.contains("is the docker daemon running")
            {
                return Ok(Seen::NoDaemon);
            }
            let line = ended.last_line().to_owned();
            return Err(Failure::Exit { command: program.to_string(), code: ended.code, line });
        }
        let all: Vec<Value> = serde_json::from_str(&ended.out)
            .map_err(|error| Failure::refused(format!("{program}: {error}")))?;
        Ok(all.into_iter().next().map_or(Seen::Nothing, Seen::Container))
    }

    /// What the tool knows of the container, none when there is none.
    fn inspect(&self, scene: &Scene<'_>) -> Result<Option<Value>, Failure> {
        match self.look(scene)? {
            Seen::Container(found) => Ok(Some(found)),
            Seen::Nothing => Ok(None),
            Seen::NoDaemon => {
                Err(Failure::refused(format!("{} daemon is not running", self.tool.name())))
            }
            Seen::NoTool => Err(Failure::refused(format!("{} is not installed", self.program))),
        }
    }

    fn has_image(&self, scene: &Scene<'_>) -> bool {
        let words = ["image", "inspect", &self.arguments.image];
        let program = self.words(words).timeout(Some(QUERY_TIMEOUT));
        scene.query(&program).is_ok_and(|ended| ended.is_success())
    }

    fn pull(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let credentials = self.credentials(scene)?;
        let (before, after) = self.credential_words(credentials.as_deref());
        let words = before.iter().map(String::as_str).chain(["image", "pull"]);
        let words =
            words.chain(after.iter().map(String::as_str)).chain([self.arguments.image.as_str()]);
        let program = self.words(words).timeout(self.pull_timeout).output(Output::LoggedAsInfo);
        scene.execute(&program).map(drop)
    }

    /// Removes the container, if it is the one of this resource: one of the same name may be somebody's.
    fn remove(&self, scene: &Scene<'_>) -> Result<Ended, Failure> {
        let found = self.inspect(scene)?.unwrap_or_default();
        let label = found.pointer("/Config/Labels").and_then(|labels| labels.get(LABEL));
        let label = label.and_then(Value::as_str);
        if label != Some(self.label.as_str()) {
            let whose = label
                .map_or_else(|| format!("has no label {LABEL}"), |label| format!("is of {label}"));
            return Err(Failure::refused(format!("container {} stays: it {whose}", self.name())));
        }
        let program = self
            .words(["container", "rm", "--force", self.name()])
            .timeout(Some(QUERY_TIMEOUT))
            .output(Output::LoggedAsInfo);
        scene.execute(&program)
    }

    /// Kills what a stop did not end. One that ended meanwhile is as good.
    fn kill(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let program = self
            .words(["container", "kill", self.name()])
            .timeout(Some(QUERY_TIMEOUT))
            .output(Output::LoggedAsInfo);
        let done = scene.execute(&program);
        if self.inspect(scene)?.as_ref().is_some_and(is_running) { done.map(drop) } else { Ok(()) }
    }

    /// Whose a container of this name is, if it is that of another service: one without labels may have been made for this
    /// one by hand, and one of this path by a life of it that had another id.
    fn stranger(&self, found: &Value, scene: &Scene<'_>) -> Option<String> {
        let labels = found.pointer("/Config/Labels")?;
        let text = |name: &str| labels.get(name).and_then(Value::as_str);
        let label = text(LABEL).filter(|label| *label != self.label)?;
        let (path, rid) = (text("com.opensvc.path"), text("com.opensvc.rid"));
        let is_own =
            path == Some(scene.instance.path.as_str()) && rid == Some(scene.resource.rid.as_str());
        let named = path.zip(rid).map(|(path, rid)| format!("{path} {rid}"));
        (!is_own).then(|| named.unwrap_or_else(|| label.to_owned()))
    }

    /// Waits for a container that was started: one that ends at once is a failed start.
    fn wait_until_up(&self, scene: &Scene<'_>, started: Instant) -> Result<(), Failure> {
        let mut pause = Duration::from_millis(10);
        loop {
            let state = match self.inspect(scene)? {
                Some(found) if is_running(&found) => return Ok(()),
                Some(found) => {
                    let text = |pointer| found.pointer(pointer).and_then(Value::as_str);
                    let state = text("/State/Status").unwrap_or_default().to_owned();
                    let code =
                        found.pointer("/State/ExitCode").and_then(Value::as_i64).unwrap_or(0);
                    if matches!(state.as_str(), "exited" | "dead") {
                        return Err(Failure::refused(format!(
                            "container {} ended at once with exit code {code}: see its logs",
                            self.name()
                        )));
                    }
                    state
                }
                None => "gone".to_owned(),
            };
            if self.start_timeout.is_some_and(|limit| started.elapsed() >= limit) {
                let name = self.name();
                return Err(Failure::refused(format!("container {name} is {state} after a start")));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE);
        }
    }
}

fn is_running(found: &Value) -> bool {
    found.pointer("/State/Running").and_then(Value::as_bool).unwrap_or(false)
}

impl Driver for Container {
    fn label(&self) -> String {
        format!("{} {}", self.tool.name(), self.arguments.image)
    }

    fn tools(&self) -> Vec<(String, bool)> {
        vec![(self.program.clone(), true)]
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        if !self.is_detached() {
            return Ok(Status::NotApplicable);
        }
        if let Some(group) = scene.host.cgroups.frozen(scene) {
            report.warn(format_args!("process group {group} is frozen"));
            return Ok(Status::NotApplicable);
        }
        let found = match self.look(scene)? {
            Seen::Container(found) => found,
            Seen::Nothing => {
                report.info("can not find container id");
                return Ok(Status::Down);
            }
            Seen::NoDaemon => {
                report.info(format_args!("{} daemon is not running", self.tool.name()));
                return Ok(Status::Down);
            }
            Seen::NoTool => {
                report.warn(format_args!("{} is not installed", self.program));
                return Ok(Status::Down);
            }
        };
        if let Some(owner) = self.stranger(&found, scene) {
            report.warn(format_args!("container {} is of {owner}", self.name()));
            return Ok(Status::Down);
        }
        let state = found.pointer("/State/Status").and_then(Value::as_str).unwrap_or_default();
        if !is_running(&found) {
            report.info(format_args!("container is {state}"));
            return Ok(Status::Down);
        }
        self.drift(&found, report);
        if let Some(pid) = found.pointer("/State/Pid").and_then(Value::as_u64) {
            report.pids.extend(u32::try_from(pid));
        }
        match found.pointer("/State/Health/Status").and_then(Value::as_str) {
            Some("unhealthy") => {
                report.warn("container is unhealthy");
                Ok(Status::Warn)
            }
            _ if state == "paused" => {
                report.warn("container is paused");
                Ok(Status::Warn)
            }
            _ => Ok(Status::Up),
        }
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if self.arguments.image.is_empty() {
            return Err(Failure::refused("image is required, and not set"));
        }
        if self.is_always_pulled {
            self.pull(scene)?;
        }
        let mut found = self.inspect(scene)?;
        if let Some(owner) = found.as_ref().and_then(|found| self.stranger(found, scene)) {
            let text = format!("container {} is of {owner}: not started", self.name());
            return Err(Failure::refused(text));
        }
        if found.as_ref().is_some_and(is_running) {
            scene.journal.info(format_args!("container {} is already started", self.name()));
            return Ok(());
        }
        if found.is_some() && self.is_removed {
            self.remove(scene)?;
            found = None;
        }
        let program = if found.is_some() {
            self.words(["container", "start", self.name()])
        } else {
            if !self.is_always_pulled && !self.has_image(scene) {
                self.pull(scene)?;
            }
            self.run_program(scene)?
        };
        // The tool leaves the container in groups of its own, below ours: those have the caps.
        _ = scene.host.cgroups.prepare(scene);
        let started = Instant::now();
        let done = scene.execute(&program.timeout(self.start_timeout).output(Output::LoggedAsInfo));
        if let Err(Failure::Late { .. }) = &done {
            // A late one that comes up after all would be nobody's.
            _ = self.remove(scene);
        }
        done?;
        if self.is_detached() { self.wait_until_up(scene, started) } else { Ok(()) }
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let found = match self.look(scene)? {
            Seen::Container(found) => found,
            Seen::Nothing | Seen::NoDaemon | Seen::NoTool => {
                scene.journal.info(format_args!("container {} is already stopped", self.name()));
                return Ok(());
            }
        };
        if let Some(owner) = self.stranger(&found, scene) {
            scene.journal.warn(format_args!("container {} is of {owner}: left alone", self.name()));
            return Ok(());
        }
        if is_running(&found) {
            // The tool kills what does not end in time.
            let seconds = self.stop_timeout.as_secs().to_string();
            let program = self
                .words(["container", "stop", "-t", &seconds, self.name()])
                .timeout(Some(self.stop_timeout + QUERY_TIMEOUT))
                .output(Output::LoggedAsInfo);
            if let Err(failure) = scene.execute(&program) {
                scene.journal.warn(format_args!("{failure}"));
                self.kill(scene)?;
            }
        }
        if self.is_removed && self.inspect(scene)?.is_some() {
            self.remove(scene)?;
        }
        Ok(())
    }

    fn unprovision(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if self.inspect(scene)?.is_some() { self.remove(scene).map(drop) } else { Ok(()) }
    }
}

/// Whether the tool is there and answers, for tests that need it.
#[must_use]
pub fn is_usable(tool: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder: std::path::PathBuf| Path::new(&folder).join(tool).is_file());
    found
        && std::process::Command::new(tool)
            .arg("info")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_named_after_its_object_and_resource() {
        assert_eq!(container_name(None, "svc1", "1"), "svc1.container.1");
        assert_eq!(container_name(Some("ns"), "svc1", "db"), "ns..svc1.container.db");
    }
}
