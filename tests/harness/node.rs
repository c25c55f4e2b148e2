//! One node: a root folder, a configuration, a daemon.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::output::Output;
use crate::ports::Port;
use crate::{wait_for, wait_until};

/// Logs shown of a node when a test fails: those written last.
const LOGS_SHOWN: usize = 8;

/// Where the clock of a node is kept, below its root.
const CLOCK: &str = "tmp/clock";

/// A node under test. Dropping it kills its daemon and everything its services started.
pub struct Node {
    root: TempDir,
    name: String,
    secret: String,
    port: Port,
    environment: Vec<(String, String)>,
    program: PathBuf,
    daemon: Option<Child>,
    /// What [`Self::spawn`] started.
    spawned: Mutex<Vec<u32>>,
}

impl Node {
    /// A node that is configured but does not run yet: alone in its cluster, on a free port of the loopback.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let root = tempfile::Builder::new().prefix("om-").tempdir().expect("a temporary folder");
        let secret = "81ec81d6e68c11f1ae3f02fc00000001".to_owned();
        let node = Self {
            root,
            name: name.into(),
            secret,
            port: Port::reserve(),
            environment: vec![],
            program: Self::built(),
            daemon: None,
            spawned: Mutex::default(),
        };
        for folder in ["etc", "var", "log", "tmp"] {
            fs::create_dir_all(node.root().join(folder)).expect("a folder of the node");
        }
        node.write_cluster("");
        node.write(
            "etc/node.conf",
            &format!("[listener]\naddr = 127.0.0.1\nport = {}\ntls_port = 0\n", node.port()),
        );
        node
    }

    /// The same, running.
    #[must_use]
    pub fn started(name: &str) -> Self {
        let mut node = Self::new(name);
        node.start();
        node
    }

    /// Writes cluster.conf with `extra` keywords in the section `cluster`.
    pub fn write_cluster(&self, extra: &str) {
        let (name, secret) = (&self.name, &self.secret);
        self.write(
            "etc/cluster.conf",
            &format!(
                "[DEFAULT]\nid = 154a5a0d-dc2d-4ea0-a03e-bfe936cc04ee\n\n\
                 [cluster]\nname = demo\nsecret = {secret}\nnodes = {name}\n{extra}\n"
            ),
        );
    }

    /// Adds a variable to the environment of the daemon and of the commands.
    #[must_use]
    pub fn with_env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.into(), value.into()));
        self
    }

    /// Sets a variable of that environment for what is run from now on; none removes it.
    pub fn set_env(&mut self, key: &str, value: Option<&str>) {
        self.environment.retain(|(name, _)| name != key);
        self.environment.extend(value.map(|value| (key.to_owned(), value.to_owned())));
    }

    /// Gives the daemon and the commands of this node a clock that [`Self::step_clock`] sets. To be called before they start.
    #[must_use]
    pub fn with_clock(self) -> Self {
        let file = self.path(CLOCK).display().to_string();
        self.with_env("OSVC_TEST_CLOCK", &file)
    }

    /// Sets the wall clock of this node so many seconds ahead of the right time, or back with a minus; 0 sets it right. As a
    /// step of a real clock: time since boot goes on as before, and files written from now on have the new time.
    ///
    /// # Panics
    ///
    /// When the node has no clock of its own, see [`Self::with_clock`].
    pub fn step_clock(&self, seconds: f64) {
        let has_clock = self.environment.iter().any(|(key, _)| key == "OSVC_TEST_CLOCK");
        assert!(has_clock, "a node with a clock of its own: Node::with_clock before it starts");
        // Whole at any moment: no process of the node reads half an offset.
        let written = self.path("tmp/clock.new");
        fs::write(&written, seconds.to_string()).expect("the clock of the node");
        fs::rename(&written, self.path(CLOCK)).expect("the clock of the node");
    }

    /// How far ahead its clock was set; none if it was not.
    fn clock_offset(&self) -> Option<f64> {
        fs::read_to_string(self.path(CLOCK)).ok()?.trim().parse().ok()
    }

    /// Root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Node name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cluster secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Port of the listener.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// A file or folder below the root.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// Writes a file below the root, as an editor that truncates and writes.
    pub fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a file below the root")).expect("its folder");
        fs::write(&path, text).expect("a file of the node");
        // The clock of its file system is the one of the node.
        if let Some(offset) = self.clock_offset() {
            let by = Duration::from_secs_f64(offset.abs());
            let now = SystemTime::now();
            let now = if offset < 0.0 { now - by } else { now + by };
            let file = fs::File::options().write(true).open(&path).expect("the file just written");
            file.set_modified(now).expect("its time");
        }
    }

    /// Writes an executable shell script below the root. By another process: a file that is open for writing here, or in a
    /// child of a test beside this one that has not yet become its program, cannot be run.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn script(&self, relative: &str, body: &str) {
        let written = Command::new("/bin/sh")
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\""])
            .arg(self.path(relative))
            .arg(body)
            .status();
        assert!(written.is_ok_and(|status| status.success()), "{relative} is written");
    }

    /// Reads a file below the root.
    #[must_use]
    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative))
            .unwrap_or_else(|error| panic!("{relative}: {error}"))
    }

    /// A command of this node.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("OSVC_ROOT_PATH", self.root()).env("OSVC_NODENAME", &self.name);
        command.env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG").env("NO_COLOR", "1");
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs another program than the one built with the suites.
    #[must_use]
    pub fn with_program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// Runs the program, the daemon too, so that no file it writes gets longer than this: it meets what it would meet on a
    /// full disk, without a disk of its own.
    #[must_use]
    pub fn with_files_up_to(mut self, kib: u32) -> Self {
        // In blocks of 512 bytes. Ignored, the signal leaves the error of the write.
        let body = format!(
            "trap '' XFSZ; ulimit -f {}; exec '{}' \"$@\"",
            kib * 2,
            Self::built().display()
        );
        self.script("tmp/limited", &body);
        self.program = self.path("tmp/limited");
        self
    }

    /// The program that is run.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Path of the program built with the suites.
    pub fn built() -> PathBuf {
        let exe = std::env::current_exe().expect("the running test");
        let folder = exe.ancestors().find(|folder| folder.join("om-tested").is_file());
        folder.map(|folder| folder.join("om-tested")).unwrap_or_default()
    }

    /// Runs `om` with these words and waits for its end.
    pub fn om(&self, words: &[&str]) -> Output {
        self.om_stdin(words, "")
    }

    /// Runs `om` with these words, `input` on its standard input.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn om_stdin(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.command(&self.program);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("om runs");
        let mut stdin = child.stdin.take().expect("piped");
        // A command that does not read its input closes it: no failure of the test.
        _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("om ends").into()
    }

    /// Has a shell run a line in the folder of the node; `om` in it is the program under test.
    ///
    /// # Panics
    ///
    /// When no shell can be run.
    pub fn shell(&self, line: &str) -> Output {
        let folder = self.path("bin");
        if std::fs::create_dir(&folder).is_ok() {
            std::os::unix::fs::symlink(&self.program, folder.join("om")).expect("a link");
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.command(Path::new("/bin/sh"));
        command.env("PATH", format!("{}:{path}", folder.display()));
        let output = command.args(["-c", line]).current_dir(self.root()).output();
        Output::from(output.expect("a shell runs"))
    }

    /// Starts a command and remembers that it is of this node.
    fn started_by(&self, command: &mut Command) -> Child {
        let child = command.spawn().expect("om runs");
        self.spawned.lock().expect("no test panics with it").push(child.id());
        child
    }

    /// Starts `om` with these words, and does not wait for it.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn spawn(&self, words: &[&str]) -> Child {
        let mut command = self.command(&self.program);
        self.started_by(command.args(words).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// Starts `om` with these words, its output in `output`: a terminal, a pipe.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn spawn_into(&self, words: &[&str], output: impl Into<Stdio>) -> Child {
        let mut command = self.command(&self.program);
        self.started_by(command.args(words).stdout(output).stderr(Stdio::null()))
    }

    /// Starts `om` with these words, its output and its errors in files.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn spawn_with(
        &self,
        words: &[&str],
        out: impl Into<Stdio>,
        err: impl Into<Stdio>,
    ) -> Child {
        let mut command = self.command(&self.program);
        self.started_by(command.args(words).stdout(out).stderr(err))
    }

    /// Starts `om` with these words on these three.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn spawn_on(
        &self,
        words: &[&str],
        input: impl Into<Stdio>,
        out: impl Into<Stdio>,
        err: impl Into<Stdio>,
    ) -> Child {
        let mut command = self.command(&self.program);
        self.started_by(command.args(words).stdin(input).stdout(out).stderr(err))
    }

    /// Runs `om`, which must exit with 0, and returns what it printed.
    ///
    /// # Panics
    ///
    /// When it does not exit with 0.
    pub fn om_ok(&self, words: &[&str]) -> String {
        let output = self.om(words);
        assert_eq!(
            output.code,
            Some(0),
            "om {words:?}: {}{}\n{}",
            output.out,
            output.err,
            self.node_log()
        );
        output.out
    }

    /// The node log, for the message of a failure.
    #[must_use]
    pub fn node_log(&self) -> String {
        self.last_lines("log/node.log")
    }

    fn last_lines(&self, relative: &str) -> String {
        let log = fs::read_to_string(self.path(relative)).unwrap_or_default();
        let skip = log.lines().count().saturating_sub(60);
        log.lines()
            .skip(skip)
            .fold(format!("last lines of {relative}:\n"), |text, line| text + line + "\n")
    }

    /// Starts the daemon in the foreground and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn start(&mut self) {
        let command = self.command(&self.program);
        self.start_as(command);
    }

    /// The same, telling the service manager on a socket of the test, which is to be fed once a second.
    pub fn start_notifying(&mut self, socket: &Path) {
        let mut command = self.command(&self.program);
        command.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", "2000000");
        self.start_as(command);
    }

    fn start_as(&mut self, mut command: Command) {
        command.args(["daemon", "start", "--foreground"]);
        let errors =
            fs::File::create(self.path("tmp/daemon.err")).expect("a file for its standard error");
        command.stdout(Stdio::null()).stderr(errors);
        self.daemon = Some(command.spawn().expect("the daemon runs"));
        wait_for("the daemon answers", || {
            let ended = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten());
            assert!(ended.is_none(), "the daemon ended: {ended:?} {}", self.read("tmp/daemon.err"));
            self.try_request(&json!({"action": "daemon_blacklist_status"})).is_some()
        });
    }

    /// Pid of the daemon started by [`Self::start`].
    ///
    /// # Panics
    ///
    /// When it was not started so.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("a running daemon").id()
    }

    /// Sends a signal to the daemon.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid =
            i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("the daemon takes signals");
    }

    /// Waits for the end of the daemon and returns its exit code, none when a signal ended it.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn wait_end(&mut self) -> Option<i32> {
        let mut daemon = self.daemon.take().expect("a running daemon");
        wait_until("the daemon ends", || daemon.try_wait().expect("a child of ours")).code()
    }

    /// Kills the daemon: no farewell.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            _ = daemon.kill();
            _ = daemon.wait();
        }
    }

    /// Processes of this node, those of its services included, whose command line, words separated by blanks, satisfies
    /// `condition`. Other nodes may run the same commands: theirs are not meant.
    #[must_use]
    pub fn processes(&self, condition: impl Fn(&str) -> bool) -> Vec<u32> {
        // All of them carry the root in their environment. That of `om` is read by root only: elsewhere, what descends from
        // the daemon is meant, and from what was started for this node. Other children of this program are daemons of tests
        // beside this one.
        let marker = format!("OSVC_ROOT_PATH={}", self.root().display());
        let mut roots = self.spawned.lock().expect("no test panics with it").clone();
        roots.extend(self.daemon.as_ref().map(Child::id));
        let is_ours = |pid: &u32| match fs::read(format!("/proc/{pid}/environ")) {
            Ok(environment) => {
                environment.split(|byte| *byte == 0).any(|word| word == marker.as_bytes())
            }
            Err(_) => std::iter::once(*pid).chain(ancestors(*pid)).any(|one| roots.contains(&one)),
        };
        crate::processes(condition).into_iter().filter(is_ours).collect()
    }

    /// Sends a request on the control socket; none while the daemon does not answer.
    #[must_use]
    pub fn try_request(&self, request: &Value) -> Option<Value> {
        let mut stream = UnixStream::connect(self.path("var/lsnr/lsnr.sock")).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(130))).ok()?;
        stream.write_all(format!("{request}\0").as_bytes()).ok()?;
        let mut reply = vec![];
        stream.read_to_end(&mut reply).ok()?;
        serde_json::from_slice(reply.strip_suffix(b"\0")?).ok()
    }

    /// Sends a request on the control socket.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    #[must_use]
    pub fn request(&self, request: &Value) -> Value {
        self.try_request(request)
            .unwrap_or_else(|| panic!("no answer to {request}\n{}", self.node_log()))
    }

    /// The whole `daemon_status`.
    #[must_use]
    pub fn status(&self) -> Value {
        self.request(&json!({"action": "daemon_status"}))
    }

    /// State of the local instance, with its monitor; null when there is none.
    #[must_use]
    pub fn instance(&self, path: &str) -> Value {
        self.status()["monitor"]["nodes"][&self.name]["services"]["status"][path].clone()
    }

    /// Waits until the local instance satisfies `condition`, and returns it.
    ///
    /// # Panics
    ///
    /// As [`wait_until`], with the last state seen.
    pub fn wait_instance(
        &self,
        path: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = std::time::Instant::now() + crate::PATIENCE;
        loop {
            let instance = self.instance(path);
            if condition(&instance) {
                return instance;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{path} never became {what}: {instance:#}\n{}",
                self.node_log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the local instance has this `avail` and its monitor is idle.
    pub fn wait_avail(&self, path: &str, avail: &str) -> Value {
        self.wait_instance(path, avail, |instance| {
            instance["avail"] == avail && instance["monitor"]["status"] == "idle"
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = fs::read_dir(self.path("log")).into_iter().flatten().flatten();
            let mut logs: Vec<_> = logs
                .filter_map(|entry| {
                    let written = entry.metadata().and_then(|data| data.modified()).ok()?;
                    Some((written, entry.file_name().into_string().ok()?))
                })
                .collect();
            logs.sort();
            let skip = logs.len().saturating_sub(LOGS_SHOWN);
            for (_, log) in logs.into_iter().skip(skip) {
                eprintln!("{}", self.last_lines(&format!("log/{log}")));
            }
        }
        self.kill();
        for pid in self.processes(|_| true) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// The parent of a process, its parent, and so on.
fn ancestors(pid: u32) -> impl Iterator<Item = u32> {
    let parent = |pid: &u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program may hold anything, parentheses included.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    std::iter::successors(parent(&pid), parent).take_while(|pid| *pid > 1)
}
