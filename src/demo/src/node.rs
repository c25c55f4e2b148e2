//! One node of the demo: its folder, its daemon, and what is asked of it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{DemoError, PATIENCE};
use crate::leftover;

/// Between two looks at what is waited for.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// A node under a temporary root.
pub(super) struct Node {
    /// Its name.
    pub(super) name: &'static str,
    /// Its folder.
    pub(super) root: PathBuf,
    program: PathBuf,
    daemon: Option<Child>,
}

impl Node {
    /// A node with this cluster.conf, not started.
    pub(super) fn new(
        name: &'static str,
        folder: &Path,
        program: &Path,
        cluster: &str,
    ) -> Result<Self, DemoError> {
        let root = folder.join(name);
        for folder in ["etc", "var", "log", "tmp"] {
            fs::create_dir_all(root.join(folder))
                .map_err(|error| DemoError::Machine("making its folder", error))?;
        }
        let node = Self { name, root, program: program.to_owned(), daemon: None };
        node.write("etc/cluster.conf", cluster)?;
        Ok(node)
    }

    /// Writes a file below its folder, whole at once: the daemon may be reading.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<(), DemoError> {
        let (path, whole) = (self.root.join(file), self.root.join("tmp/new"));
        let write = || {
            let mut file = fs::OpenOptions::new();
            file.write(true).create(true).truncate(true).mode(0o600);
            file.open(&whole)?.write_all(text.as_bytes())?;
            fs::rename(&whole, path)
        };
        write().map_err(|error| DemoError::Machine("writing a configuration", error))
    }

    /// Starts the daemon.
    pub(super) fn start(&mut self) -> Result<(), DemoError> {
        let errors = fs::File::create(self.root.join("log/stderr"));
        let errors = errors.map_err(|error| DemoError::Machine("making its log", error))?;
        let daemon = self
            .om(&["daemon", "start", "--foreground"])
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn();
        let daemon = daemon.map_err(|error| DemoError::Machine("starting the daemon", error))?;
        if let Some(folder) = self.root.parent() {
            leftover::note_daemon(folder, daemon.id());
        }
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Ends the daemon as a power cut would.
    pub(super) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            _ = daemon.kill();
            _ = daemon.wait();
        }
    }

    /// Stops the daemon, and waits for its end.
    pub(super) fn stop(&mut self) -> Result<(), DemoError> {
        self.run(&["daemon", "stop"])?;
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match daemon.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(DemoError::Command(format!("the daemon ended with {status}")));
                }
                Ok(None) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                Ok(None) => {
                    self.daemon = Some(daemon);
                    return Err(DemoError::Late("the daemon ends"));
                }
                Err(error) => return Err(DemoError::Machine("waiting for the daemon", error)),
            }
        }
    }

    /// A command on this node.
    pub(super) fn om(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("OSVC_ROOT_PATH", &self.root).env("OSVC_NODENAME", self.name);
        // Started by a unit or from a terminal: the demo's nodes are nobody's but the demo's.
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").stdin(Stdio::null());
        command
    }

    /// Runs a command on this node, which has to succeed.
    pub(super) fn run(&self, words: &[&str]) -> Result<(), DemoError> {
        let output =
            self.om(words).output().map_err(|error| DemoError::Machine("running om", error))?;
        if output.status.success() {
            return Ok(());
        }
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(DemoError::Command(format!(
            "om {} ended with {}: {errors}",
            words.join(" "),
            output.status
        )))
    }

    /// The cluster data as this node has it; none while its daemon does not answer.
    pub(super) fn status(&self) -> Option<Value> {
        let mut stream = UnixStream::connect(self.root.join("var/lsnr/lsnr.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("{}\0", json!({"action": "daemon_status"})).as_bytes()).ok()?;
        let mut reply = vec![];
        stream.read_to_end(&mut reply).ok()?;
        serde_json::from_slice(reply.strip_suffix(b"\0")?).ok()
    }
}
