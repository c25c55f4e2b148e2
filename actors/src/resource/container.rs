//! `container.docker`, `container.podman`: a container, through its command line tool.

use std::path::Path;
use std::time::Duration;

use conf::{EvalError, SectionReader};
use model::{Kind, Status};
use serde_json::Value;

use super::driver::{Driver, Failure, Report, Scene};
use super::exec::{Ended, Output, Program};
use super::host::Host;
use super::instance::Setup;

/// Longest answer of the tool to a question.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Label that says whose container it is: `<object id>.<rid>`.
const LABEL: &str = "com.opensvc.id";

/// The command line tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `docker`.
    Docker,
    /// `podman`.
    Podman,
}

impl Tool {
    /// The tool of a driver type; `oci` is podman where that is installed.
    pub(crate) fn choose(driver_type: &str, _: &Host) -> Self {
        let is_installed = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
        };
        match driver_type {
            "docker" => Self::Docker,
            "podman" => Self::Podman,
            _ if is_installed("podman") || !is_installed("docker") => Self::Podman,
            _ => Self::Docker,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

struct Container {
    tool: Tool,
    program: String,
    name: String,
    label: String,
    image: String,
    command: Vec<String>,
    options: Vec<String>,
    namespaces: Vec<(&'static str, String)>,
    is_detached: bool,
    is_removed: bool,
    is_always_pulled: bool,
    start_timeout: Duration,
    stop_timeout: Duration,
    pull_timeout: Duration,
    environment: Vec<(String, String)>,
    configs: Vec<String>,
    secrets: Vec<String>,
}

/// Reads the section.
pub(crate) fn read(
    section: &SectionReader<'_>,
    setup: &Setup<'_>,
    tool: Tool,
) -> Result<Box<dyn Driver>, EvalError> {
    let seconds = |keyword: &str, default: u64| -> Result<Duration, EvalError> {
        Ok(section.duration(keyword)?.unwrap_or(Duration::from_secs(default)))
    };
    let mut options = vec![];
    for (keyword, option) in
        [("hostname", "--hostname"), ("user", "--user"), ("entrypoint", "--entrypoint")]
    {
        if let Some(value) = section.text(keyword)? {
            options.extend([option.to_owned(), value]);
        }
    }
    for (keyword, option) in
        [("privileged", "--privileged"), ("interactive", "--interactive"), ("tty", "--tty")]
    {
        if section.tristate(keyword)? == Some(true) {
            options.push(option.to_owned());
        }
    }
    for (keyword, option) in [("volume_mounts", "--volume"), ("devices", "--device")] {
        for word in section.words(keyword)? {
            options.extend([option.to_owned(), word]);
        }
    }
    options.extend(section.words("run_args")?);
    let mut namespaces = vec![];
    for (keyword, option) in [
        ("netns", "--net"),
        ("ipcns", "--ipc"),
        ("pidns", "--pid"),
        ("utsns", "--uts"),
        ("userns", "--userns"),
    ] {
        namespaces.extend(section.text(keyword)?.map(|value| (option, value)));
    }
    let own = match tool {
        Tool::Docker => setup.conf.section(section.context(), "DEFAULT").text("docker_exe")?,
        Tool::Podman => None,
    };
    Ok(Box::new(Container {
        tool,
        program: own.unwrap_or_else(|| tool.name().to_owned()),
        name: section.text("name")?.unwrap_or_else(|| default_name(setup)),
        label: format!("{}.{}", setup.id, setup.rid),
        image: section.text("image")?.unwrap_or_default(),
        command: section.words("command")?,
        options,
        namespaces,
        is_detached: section.tristate("detach")?.unwrap_or(true),
        is_removed: section.bool("rm")?,
        is_always_pulled: section.text("image_pull_policy")?.as_deref() == Some("always"),
        start_timeout: seconds("start_timeout", 5)?,
        stop_timeout: seconds("stop_timeout", 120)?,
        pull_timeout: seconds("pull_timeout", 120)?,
        environment: section
            .words("environment")?
            .iter()
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        configs: section.words("configs_environment")?,
        secrets: section.words("secrets_environment")?,
    }))
}

fn default_name(setup: &Setup<'_>) -> String {
    container_name(setup.path.namespace(), setup.path.name(), setup.rid.index())
}

fn container_name(namespace: Option<&str>, name: &str, index: &str) -> String {
    let namespace = namespace.map(|namespace| format!("{namespace}..")).unwrap_or_default();
    format!("{namespace}{name}.container.{index}")
}

impl Container {
    fn words<'a>(&'a self, words: impl IntoIterator<Item = &'a str>) -> Program {
        let all = std::iter::once(self.program.as_str()).chain(words);
        Program::new(all)
    }

    /// What the tool knows of the container, none when there is none.
    fn inspect(&self, scene: &Scene<'_>) -> Result<Option<Value>, Failure> {
        let program = self.words(["container", "inspect", &self.name]).timeout(Some(QUERY_TIMEOUT));
        let ended = scene.query(&program)?;
        if ended.is_late {
            return Err(Failure::Late { command: program.to_string(), timeout: QUERY_TIMEOUT });
        }
        if ended.code != 0 {
            let error = ended.err.to_lowercase();
            // Not there is an answer; a tool that cannot reach its daemon gives none.
            if error.contains("no such container") || error.contains("no container with") {
                return Ok(None);
            }
            let line = ended.last_line().to_owned();
            return Err(Failure::Exit { command: program.to_string(), code: ended.code, line });
        }
        let all: Vec<Value> = serde_json::from_str(&ended.out)
            .map_err(|error| Failure::refused(format!("{program}: {error}")))?;
        Ok(all.into_iter().next())
    }

    fn has_image(&self, scene: &Scene<'_>) -> bool {
        let program = self.words(["image", "inspect", &self.image]).timeout(Some(QUERY_TIMEOUT));
        scene.query(&program).is_ok_and(|ended| ended.is_success())
    }

    fn drift(&self, found: &Value, report: &mut Report) {
        let text =
            |pointer: &str| found.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let label = found
            .pointer("/Config/Labels")
            .and_then(|labels| labels.get(LABEL))
            .and_then(Value::as_str);
        match label {
            Some(label) if label == self.label => {}
            Some(other) => report.warn(format_args!("container belongs to {other}")),
            None => report.warn(format_args!("container has no label {LABEL}")),
        }
        let image = match self.tool {
            Tool::Docker => text("/Config/Image"),
            Tool::Podman => text("/ImageName"),
        };
        if !is_same_image(image, &self.image) {
            report.warn(format_args!("container image is {image}, expected {}", self.image));
        }
        let privileged = found.pointer("/HostConfig/Privileged").and_then(Value::as_bool);
        let wanted = self.options.iter().any(|option| option == "--privileged");
        if privileged.is_some_and(|is| is != wanted) {
            report.warn(format_args!("container privileged is {}, expected {wanted}", !wanted));
        }
        let command: Option<Vec<&str>> = found
            .pointer("/Config/Cmd")
            .and_then(Value::as_array)
            .map(|words| words.iter().filter_map(Value::as_str).collect());
        if !self.command.is_empty() && command.as_ref().is_some_and(|is| *is != self.command) {
            report.warn(format_args!("container command is {:?}", command.unwrap_or_default()));
        }
    }

    /// A namespace of another container is named by its resource id.
    fn namespace(&self, value: &str, scene: &Scene<'_>) -> String {
        if !value.starts_with("container#") {
            return value.to_owned();
        }
        let path = &scene.instance.path;
        let index = value.split_once('#').map_or("", |(_, index)| index);
        let own = scene.instance.section(value).text("name").ok().flatten();
        let name = own.unwrap_or_else(|| container_name(path.namespace(), path.name(), index));
        format!("container:{name}")
    }

    fn pull(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let program = self
            .words(["image", "pull", &self.image])
            .timeout(Some(self.pull_timeout))
            .output(Output::LoggedAsInfo);
        scene.execute(&program).map(drop)
    }

    fn run_program(&self, scene: &Scene<'_>) -> Result<Program, Failure> {
        let label = format!("{LABEL}={}", self.label);
        let mut words =
            vec!["container".to_owned(), "run".into(), "--name".into(), self.name.clone()];
        words.extend(["--label".into(), label]);
        if self.is_detached {
            words.push("--detach".into());
        }
        if self.is_removed && !self.is_detached {
            words.push("--rm".into());
        }
        for (option, value) in &self.namespaces {
            words.extend([(*option).to_owned(), self.namespace(value, scene)]);
        }
        // Only names in the arguments: values, secrets among them, travel in the tool's environment.
        let mut environment = self.environment.clone();
        environment.extend(super::keys::environment(scene, Kind::Cfg, &self.configs)?);
        environment.extend(super::keys::environment(scene, Kind::Sec, &self.secrets)?);
        for (name, _) in &environment {
            words.extend(["--env".to_owned(), name.clone()]);
        }
        words.extend(self.options.iter().cloned());
        words.push(self.image.clone());
        words.extend(self.command.iter().cloned());
        Ok(self.words(words.iter().map(String::as_str)).environment(environment))
    }

    fn remove(&self, scene: &Scene<'_>) -> Result<Ended, Failure> {
        let program = self
            .words(["container", "rm", "--force", &self.name])
            .timeout(Some(QUERY_TIMEOUT))
            .output(Output::LoggedAsInfo);
        scene.execute(&program)
    }
}

/// Names of one image: with or without registry and `latest`.
fn is_same_image(one: &str, other: &str) -> bool {
    let plain = |name: &str| {
        let name = name.trim_start_matches("docker.io/").trim_start_matches("library/");
        let last = name.rsplit('/').next().unwrap_or(name);
        if last.contains(':') || last.contains('@') {
            name.to_owned()
        } else {
            format!("{name}:latest")
        }
    };
    one == other || plain(one) == plain(other)
}

fn is_running(found: &Value) -> bool {
    found.pointer("/State/Running").and_then(Value::as_bool).unwrap_or(false)
}

impl Driver for Container {
    fn label(&self) -> String {
        format!("{} {}", self.tool.name(), self.image)
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        let Some(found) = self.inspect(scene)? else {
            report.info("can not find container id");
            return Ok(if self.is_detached { Status::Down } else { Status::NotApplicable });
        };
        if !self.is_detached {
            return Ok(Status::NotApplicable);
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
        if self.image.is_empty() {
            return Err(Failure::refused("image is required, and not set"));
        }
        let found = self.inspect(scene)?;
        if found.as_ref().is_some_and(is_running) {
            scene.journal.info(format_args!("container {} is already started", self.name));
            return Ok(());
        }
        if found.is_some() && self.is_removed {
            self.remove(scene)?;
        } else if found.is_some() {
            let program = self
                .words(["container", "start", &self.name])
                .timeout(Some(self.start_timeout))
                .output(Output::LoggedAsInfo);
            return scene.execute(&program).map(drop);
        }
        if self.is_always_pulled || !self.has_image(scene) {
            self.pull(scene)?;
        }
        let program = self.run_program(scene)?;
        let timeout = self.is_detached.then_some(self.start_timeout);
        let done = scene.execute(&program.timeout(timeout).output(Output::LoggedAsInfo));
        if let Err(Failure::Late { .. }) = &done {
            // A late one that comes up after all would be nobody's.
            _ = self.remove(scene);
        }
        done.map(drop)
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let Some(found) = self.inspect(scene)? else {
            scene.journal.info(format_args!("container {} is already stopped", self.name));
            return Ok(());
        };
        if is_running(&found) {
            let seconds = self.stop_timeout.as_secs().to_string();
            let program = self
                .words(["container", "stop", "--time", &seconds, &self.name])
                .timeout(Some(self.stop_timeout + QUERY_TIMEOUT))
                .output(Output::LoggedAsInfo);
            scene.execute(&program)?;
        }
        if self.is_removed && self.inspect(scene)?.is_some() {
            self.remove(scene)?;
        }
        Ok(())
    }

    fn sort_key(&self) -> Option<String> {
        None
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

    #[test]
    fn an_image_is_the_same_under_its_short_and_long_name() {
        assert!(is_same_image("docker.io/library/busybox:latest", "busybox"));
        assert!(is_same_image("busybox", "busybox:latest"));
        assert!(!is_same_image("busybox:1", "busybox:2"));
        assert!(!is_same_image("registry:5000/a", "a"));
    }
}
