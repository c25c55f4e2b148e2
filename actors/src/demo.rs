//! The demo: the main job on an embedded default, told as it happens.
//!
//! `om demo` makes a node under a temporary root, drops the configuration of a service into its folder, and shows the
//! monitor table at each change: the service starts, its process is killed, it is repaired, it is stopped. Every step is
//! checked from outside, by talking to the service: the exit code is 0 only if all of it really happened.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use om::DemoCommand;
use serde_json::{Value, json};

/// Name of the demo's node.
const NODE: &str = "demo1";
/// Path of the demo's service.
const SERVICE: &str = "web";
/// Longest wait for one step; all of them together take a few seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why the demo did not show what it should.
#[derive(Debug)]
enum DemoError {
    /// Something of the machine failed while doing what is named.
    Machine(&'static str, io::Error),
    /// What is named did not happen in time.
    Late(&'static str),
    /// A command of ours failed.
    Command(String),
}

impl std::fmt::Display for DemoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Machine(what, error) => write!(f, "{what}: {error}"),
            Self::Late(what) => write!(f, "did not happen within {} s: {what}", PATIENCE.as_secs()),
            Self::Command(what) => f.write_str(what),
        }
    }
}

/// Runs the demo; 0 only when everything it shows has happened.
#[must_use]
pub fn run(options: &DemoCommand) -> ExitCode {
    if let Some(port) = options.serve {
        return serve(port);
    }
    let begin = Instant::now();
    let mut demo = match Demo::new() {
        Ok(demo) => demo,
        Err(error) => {
            eprintln!("demo failed: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shown =
        demo.show().and_then(|()| if options.interactive { demo.hand_over() } else { demo.end() });
    if let Err(error) = shown {
        eprintln!("demo failed: {error}");
        eprintln!("the node's log: {}", demo.root.join("log/node.log").display());
        demo.kill();
        return ExitCode::FAILURE;
    }
    if options.interactive {
        return ExitCode::SUCCESS;
    }
    if options.keep {
        println!("The node's folder is left in {}", demo.root.display());
    } else if let Err(error) = fs::remove_dir_all(&demo.root) {
        eprintln!("demo failed: removing {}: {error}", demo.root.display());
        return ExitCode::FAILURE;
    }
    println!("All of it happened, in {:.1} s.", begin.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

/// A throw-away node and its service.
struct Demo {
    root: PathBuf,
    program: PathBuf,
    /// Port of the service.
    port: u16,
    daemon: Option<Child>,
    /// What the last state said of the service, and the table that showed it: only changes are printed.
    said: String,
    shown: String,
    begin: Instant,
}

impl Demo {
    fn new() -> Result<Self, DemoError> {
        let program = std::env::current_exe()
            .map_err(|error| DemoError::Machine("finding this program", error))?;
        let root = std::env::temp_dir().join(format!("om-demo-{}", std::process::id()));
        for folder in ["etc", "var", "log", "tmp"] {
            fs::create_dir_all(root.join(folder))
                .map_err(|error| DemoError::Machine("making its folder", error))?;
        }
        let port = free_port()?;
        Ok(Self {
            root,
            program,
            port,
            daemon: None,
            said: String::new(),
            shown: String::new(),
            begin: Instant::now(),
        })
    }

    /// The steps, each checked.
    fn show(&mut self) -> Result<(), DemoError> {
        self.say(&format!("A node starts, with everything it has below {}", self.root.display()));
        self.write(
            "etc/node.conf",
            &format!("[listener]\naddr = 127.0.0.1\nport = {}\n", free_port()?),
        )?;
        let errors = fs::File::create(self.root.join("log/stderr"));
        let errors = errors.map_err(|error| DemoError::Machine("making its log", error))?;
        let daemon = self
            .om(&["daemon", "start", "--foreground"])
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn();
        self.daemon =
            Some(daemon.map_err(|error| DemoError::Machine("starting the daemon", error))?);
        self.wait("the daemon answers", |demo| demo.status().is_some())?;

        self.say(&format!(
            "The configuration of a service is dropped into {}",
            self.root.join("etc").display()
        ));
        let text = configuration(&self.program, self.port);
        for line in text.lines() {
            println!("    {line}");
        }
        self.write(&format!("etc/{SERVICE}.conf"), &text)?;

        self.say("It is loaded and, being orchestrated, started");
        self.wait("the service is up", |demo| demo.avail() == "up")?;
        self.wait("the service answers", |demo| demo.served_by().is_some())?;
        let first = self.served_by().ok_or(DemoError::Late("the service answers"))?;
        self.say(&format!("It answers: HTTP on 127.0.0.1:{}, from process {first}", self.port));

        self.say(&format!("That process is killed: kill -9 {first}"));
        let killed = Instant::now();
        kill(first)?;
        self.wait("another process answers", |demo| {
            demo.served_by().is_some_and(|pid| pid != first)
        })?;
        let outage = killed.elapsed();
        let second = self.served_by().ok_or(DemoError::Late("another process answers"))?;
        self.wait("the service is up again", |demo| {
            demo.avail() == "up" && demo.monitor_status() == "idle"
        })?;
        self.say(&format!(
            "Repaired: process {second} answers, {} ms after the kill",
            outage.as_millis()
        ));
        Ok(())
    }

    /// Stops the service and the node.
    fn end(&mut self) -> Result<(), DemoError> {
        self.say(&format!("The operator stops the service: om {SERVICE} stop"));
        self.run_om(&[SERVICE, "stop"])?;
        self.wait("the service is down", |demo| {
            demo.avail() == "down" && demo.monitor_status() == "idle"
        })?;
        if self.served_by().is_some() {
            return Err(DemoError::Late("the service no longer answers"));
        }
        self.say(
            "It is down, nothing answers any more. The operator stops the daemon: om daemon stop",
        );
        self.run_om(&["daemon", "stop"])?;
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match daemon.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(DemoError::Command(format!("the daemon ended with {status}")));
                }
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10))
                }
                Ok(None) => {
                    self.daemon = Some(daemon);
                    return Err(DemoError::Late("the daemon ends"));
                }
                Err(error) => return Err(DemoError::Machine("waiting for the daemon", error)),
            }
        }
    }

    /// Leaves the node to the user.
    fn hand_over(&mut self) -> Result<(), DemoError> {
        self.say("The node is yours. In a shell:");
        println!("    export OSVC_ROOT_PATH={} OSVC_NODENAME={NODE}", self.root.display());
        println!("    alias om={}", self.program.display());
        println!("    om mon            # the table above, from now on with --watch");
        println!("    om {SERVICE} print status");
        println!("    om {SERVICE} stop; om {SERVICE} start");
        println!("    om daemon shutdown && rm -r {}    # the end", self.root.display());
        Ok(())
    }

    /// One line of the story, with its time.
    fn say(&self, text: &str) {
        println!("\n[{:5.2} s] {text}", self.begin.elapsed().as_secs_f64());
        _ = io::stdout().flush();
    }

    /// Waits for `condition`, showing the table at each change.
    fn wait(
        &mut self,
        what: &'static str,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<(), DemoError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let is_met = condition(self);
            self.show_table();
            if is_met {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(DemoError::Late(what));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Prints the monitor table when what it says of the service has changed: whole at first, then the services.
    fn show_table(&mut self) {
        let instance = self.instance();
        if instance.is_null() {
            return;
        }
        let said = ["avail", "overall", "frozen"].map(|key| instance[key].to_string()).join(" ");
        let said = format!(
            "{said} {} {}",
            instance["monitor"]["status"], instance["monitor"]["global_expect"]
        );
        if said == self.said {
            return;
        }
        let words: &[&str] =
            if self.said.is_empty() { &["mon"] } else { &["mon", "--sections", "services"] };
        self.said = said;
        let Ok(output) = self.om(words).output() else { return };
        let table = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        if table != self.shown {
            println!("\n{table}");
            _ = io::stdout().flush();
            self.shown = table;
        }
    }

    fn om(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("OSVC_ROOT_PATH", &self.root).env("OSVC_NODENAME", NODE);
        // Started by a unit or from a terminal: the demo's node is nobody's but the demo's.
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").stdin(Stdio::null());
        command
    }

    fn run_om(&self, words: &[&str]) -> Result<(), DemoError> {
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

    fn write(&self, file: &str, text: &str) -> Result<(), DemoError> {
        fs::write(self.root.join(file), text)
            .map_err(|error| DemoError::Machine("writing a configuration", error))
    }

    /// The cluster data; none while the daemon does not answer.
    fn status(&self) -> Option<Value> {
        let mut stream = UnixStream::connect(self.root.join("var/lsnr/lsnr.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("{}\0", json!({"action": "daemon_status"})).as_bytes()).ok()?;
        let mut reply = vec![];
        stream.read_to_end(&mut reply).ok()?;
        serde_json::from_slice(reply.strip_suffix(b"\0")?).ok()
    }

    fn instance(&self) -> Value {
        let status = self.status().unwrap_or_default();
        status["monitor"]["nodes"][NODE]["services"]["status"][SERVICE].clone()
    }

    fn avail(&self) -> String {
        self.instance()["avail"].as_str().unwrap_or_default().to_owned()
    }

    fn monitor_status(&self) -> String {
        self.instance()["monitor"]["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Process that answers HTTP on the service's port.
    fn served_by(&self) -> Option<u32> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut reply = String::new();
        stream.take(4096).read_to_string(&mut reply).ok()?;
        reply.rsplit_once("process ")?.1.trim().parse().ok()
    }

    /// After a failure: leaves no process behind.
    fn kill(&mut self) {
        if let Some(pid) = self.served_by() {
            _ = kill(pid);
        }
        if let Some(daemon) = &mut self.daemon {
            _ = daemon.kill();
            _ = daemon.wait();
        }
    }
}

/// The service of the demo.
fn configuration(program: &Path, port: u16) -> String {
    format!(
        "[DEFAULT]\nnodes = {NODE}\norchestrate = ha\n\n\
         [app#1]\ntype = simple\nstart = {} demo --serve {port}\nrestart = 3\n",
        program.display()
    )
}

fn free_port() -> Result<u16, DemoError> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|probe| probe.local_addr());
    probe
        .map(|address| address.port())
        .map_err(|error| DemoError::Machine("finding a free port", error))
}

fn kill(pid: u32) -> Result<(), DemoError> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| DemoError::Command("the service names no process".into()))?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)
        .map_err(|error| DemoError::Machine("killing the process", error.into()))
}

/// The service itself: answers every connection with its process id.
fn serve(port: u16) -> ExitCode {
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("port {port}: {error}");
            return ExitCode::FAILURE;
        }
    };
    for stream in listener.incoming() {
        // A client that went away is no concern of the next one.
        _ = stream.and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            let mut request = [0; 1024];
            _ = stream.read(&mut request)?;
            let body = format!("this is process {}\n", std::process::id());
            write!(stream, "HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        });
    }
    ExitCode::SUCCESS
}
