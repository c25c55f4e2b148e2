//! A node of one test: folders of its own, and the `om` binary that was built with it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drivers::host::Host;
use drivers::{self, Evaluation};
use files::load;
use machine::paths::Paths;
use model::{ActionOptions, InstanceAction, InstanceStatus, NodeName, ObjectPath, Status};

/// A node with one object.
pub(crate) struct Node {
    /// Everything lives here; gone with the node.
    pub(crate) folder: tempfile::TempDir,
    /// What drivers see.
    pub(crate) host: Host,
    /// The object.
    pub(crate) path: ObjectPath,
}

impl Node {
    /// A node whose object `svc1` has this configuration. `{dir}` stands for a folder of the test.
    pub(crate) fn new(config: &str) -> Self {
        Self::with_path("svc1", config)
    }

    /// Reads node.conf again.
    pub(crate) fn reload(&mut self) {
        let paths = self.host.paths.clone();
        let node = load::load_node(&paths, self.host.nodename.clone()).unwrap();
        let agent = self.host.agent.clone();
        self.host = drivers::command_host(paths, Arc::new(node));
        self.host.agent = agent;
    }

    /// As [`Node::new`], with another path.
    pub(crate) fn with_path(path: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Arc::new(Paths::under(folder.path()));
        paths.create().unwrap();
        let name = NodeName::new("n1").unwrap();
        let node = load::load_node(&paths, name).unwrap();
        let mut host = drivers::command_host(paths, Arc::new(node));
        host.agent = PathBuf::from(env!("CARGO_BIN_EXE_om-tested"));
        let node = Self { folder, host, path: ObjectPath::parse(path).unwrap() };
        node.configure(&node.path, config);
        node
    }

    /// Writes the configuration of an object.
    pub(crate) fn configure(&self, path: &ObjectPath, config: &str) {
        let file = self.host.paths.config_file(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let dir = self.folder.path().display().to_string();
        std::fs::write(file, config.replace("{dir}", &dir)).unwrap();
    }

    /// Name of a file of the test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes an executable. By another process: one that is open for writing here, or in a child of a test beside this
    /// one that has not yet become its program, cannot be run.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
            .arg(self.file(name))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
    }

    /// Writes a stand-in for a tool, which notes its arguments in `calls`, then runs this script. [`Node::om`] finds it
    /// before the tool.
    pub(crate) fn tool(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.file("bin")).unwrap();
        let calls = self.file("calls").display().to_string();
        self.script(
            &format!("bin/{name}"),
            &format!("#!/bin/sh\necho {name} \"$@\" >>{calls}\n{text}\n"),
        );
    }

    /// What was asked of the stand-ins of these names.
    pub(crate) fn calls(&self, names: &[&str]) -> Vec<String> {
        let is_meant =
            |line: &String| names.iter().any(|name| line.split(' ').next() == Some(*name));
        self.lines("calls").into_iter().filter(is_meant).collect()
    }

    /// Runs a command on this node in a process of its own, and tells its exit code and all that it said.
    pub(crate) fn om(&self, words: &[&str]) -> (i32, String) {
        let path = std::env::var("PATH").unwrap_or_default();
        self.om_on(&format!("{}:{path}", self.file("bin").display()), words)
    }

    /// Runs a script that may call `$om`, in a network of its own where links can be made.
    pub(crate) fn in_own_network(&self, script: &str) -> (i32, String) {
        let done = Command::new("unshare")
            .args(["-n", "-m", "/bin/sh", "-ec", script])
            .env("om", &self.host.agent)
            .env("OSVC_ROOT_PATH", self.folder.path())
            .env("OSVC_NODENAME", self.host.nodename.as_str())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// The same with this search path.
    pub(crate) fn om_on(&self, path: &str, words: &[&str]) -> (i32, String) {
        let done = Command::new(&self.host.agent)
            .args(words)
            .env("PATH", path)
            .env("OSVC_ROOT_PATH", self.folder.path())
            .env("OSVC_NODENAME", self.host.nodename.as_str())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// Lines of a file of the test, none when it is not there.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The private folder of a resource.
    pub(crate) fn var(&self, rid: &str) -> PathBuf {
        self.host.paths.var_dir(&self.path).join(rid)
    }

    /// The object as it is configured now.
    pub(crate) fn object(&self) -> dataset::config::LoadedObject {
        load::load_object(&self.host.paths, &self.host.node, &self.path).unwrap()
    }

    /// Evaluates everything.
    pub(crate) fn evaluate(&self) -> Evaluation {
        drivers::evaluate(&self.host, &self.object(), None, None, None)
    }

    /// The instance status, evaluated now.
    pub(crate) fn status(&self) -> InstanceStatus {
        self.evaluate().status
    }

    /// State of a resource, evaluated now.
    pub(crate) fn state(&self, rid: &str) -> Status {
        self.status().resources.unwrap()[rid].status.clone()
    }

    /// Log lines of a resource, evaluated now.
    pub(crate) fn log(&self, rid: &str) -> Vec<String> {
        self.status().resources.unwrap()[rid].log.clone()
    }

    /// Runs an action with options.
    pub(crate) fn act_with(&self, action: InstanceAction, options: &ActionOptions) -> u8 {
        drivers::action::action(&self.host, &self.object(), action, options, &|_, _| {
            BTreeMap::new()
        })
    }

    /// Runs an action.
    pub(crate) fn act(&self, action: InstanceAction) -> u8 {
        self.act_with(action, &ActionOptions::default())
    }

    /// Runs an action on some resources.
    pub(crate) fn act_on(&self, action: InstanceAction, rid: &str) -> u8 {
        let options = ActionOptions { rid: Some(rid.to_owned()), ..Default::default() };
        self.act_with(action, &options)
    }
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether tests may change the machine.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a tool is installed.
pub(crate) fn has_tool(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: PathBuf| Path::new(&folder).join(name).is_file())
}
