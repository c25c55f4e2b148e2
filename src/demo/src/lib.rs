//! The demo: the main job on an embedded default, told as it happens.
//!
//! `om demo` makes three nodes under a temporary root, drops the configuration of a service into the folder of one, and
//! shows the monitor table at each change: the service starts, its process is killed, it is repaired; its node is killed,
//! another one takes over; the node is back; the service is stopped. Every step is checked from outside, by talking to
//! the service: the exit code is 0 only if all of it really happened.

mod error;
mod leftover;
mod node;
mod server;

use std::cell::Cell;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use cli::DemoCommand;
use serde_json::Value;

use drivers::interrupt::Interrupt;

use crate::error::{DemoError, PATIENCE};
use crate::node::{Node, PAUSE};
use crate::server::Server;

/// Names of the demo's nodes.
const NODES: [&str; 3] = ["demo1", "demo2", "demo3"];
/// Path of the demo's service.
const SERVICE: &str = "web";
/// Runs the demo; 0 only when everything it shows has happened.
#[must_use]
pub fn run(options: &DemoCommand) -> ExitCode {
    if let Some(port) = options.serve {
        return server::serve(port, node_number());
    }
    let begin = Instant::now();
    leftover::sweep();
    let mut demo = match Demo::new() {
        Ok(demo) => demo,
        Err(error) => {
            eprintln!("demo failed: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shown =
        demo.show().and_then(|()| if options.interactive { demo.hand_over() } else { demo.end() });
    if let Err(DemoError::Ended(why)) = shown {
        // Nothing of it is to stay.
        demo.kill();
        _ = fs::remove_dir_all(&demo.root);
        _ = writeln!(io::stderr(), "demo ended: {why}");
        return ExitCode::FAILURE;
    }
    if let Err(error) = shown {
        eprintln!("demo failed: {error}");
        eprintln!("the logs of the nodes: {}", demo.root.join("demo*/log/node.log").display());
        demo.kill();
        leftover::keep(&demo.root);
        return ExitCode::FAILURE;
    }
    if options.interactive {
        leftover::keep(&demo.root);
        return ExitCode::SUCCESS;
    }
    if options.keep {
        leftover::keep(&demo.root);
        demo.print(&format!("The folders of the nodes are left in {}", demo.root.display()));
    } else if let Err(error) = fs::remove_dir_all(&demo.root) {
        eprintln!("demo failed: removing {}: {error}", demo.root.display());
        return ExitCode::FAILURE;
    }
    demo.print(&format!("All of it happened, in {:.1} s.", begin.elapsed().as_secs_f64()));
    ExitCode::SUCCESS
}

/// The number at the end of the name of the node that runs this program: 1 for demo1.
fn node_number() -> u32 {
    let name = machine::clock::local_nodename().map(|name| name.to_string()).unwrap_or_default();
    NODES.iter().zip(1..).find(|(node, _)| **node == name).map_or(0, |(_, number)| number)
}

/// A throw-away cluster and its service.
struct Demo {
    root: PathBuf,
    program: PathBuf,
    /// Port of the service.
    port: u16,
    nodes: Vec<Node>,
    /// Whom the table is asked of.
    viewer: usize,
    /// What the last state said of the service, and the table that showed it: only changes are printed.
    said: String,
    shown: String,
    begin: Instant,
    /// Raised by a signal.
    interrupt: Interrupt,
    /// Nobody reads what is printed.
    is_closed: Cell<bool>,
}

impl Demo {
    fn new() -> Result<Self, DemoError> {
        let program = std::env::current_exe()
            .map_err(|error| DemoError::Machine("finding this program", error))?;
        let root = std::env::temp_dir().join(format!("om-demo-{}", std::process::id()));
        leftover::claim(&root).map_err(|error| DemoError::Machine("making its folder", error))?;
        let interrupt = Interrupt::default();
        interrupt.arm();
        interrupt.listen_to_signals();
        let mut ports = free_ports(1 + 2 * NODES.len())?.into_iter();
        let port = ports.next().expect("one was asked for");
        let cluster = cluster(ports);
        let nodes = NODES
            .iter()
            .map(|name| Node::new(name, &root, &program, &cluster))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            root,
            program,
            port,
            nodes,
            viewer: 0,
            said: String::new(),
            shown: String::new(),
            begin: Instant::now(),
            interrupt,
            is_closed: Cell::new(false),
        })
    }

    /// The steps, each checked.
    fn show(&mut self) -> Result<(), DemoError> {
        self.say(&format!("Three nodes start, with all they have below {}", self.root.display()));
        leftover::note_port(&self.root, self.port);
        for node in &mut self.nodes {
            node.start()?;
        }
        self.wait("the nodes are idle", |demo| demo.are_idle())?;
        self.say("They hear each other (O), and are one cluster");
        self.show_table(&["mon"]);

        let folder = self.nodes[0].root.join("etc");
        self.say(&format!("The configuration of a service is dropped into {}", folder.display()));
        let text = configuration(&self.program, self.port);
        for line in text.lines() {
            self.print(&format!("    {line}"));
        }
        self.nodes[0].write(&format!("etc/{SERVICE}.conf"), &text)?;
        self.say("It starts there, and reaches the other nodes, which may take it over");
        self.wait("the service is up on demo1", |demo| demo.is_up_on(0))?;
        self.wait("every node has an instance, which nobody holds back", |demo| {
            NODES.iter().all(|node| {
                let instance = demo.instance(node);
                instance["avail"].is_string()
                    && instance["frozen"] == 0.0
                    && instance["monitor"]["status"] == "idle"
            })
        })?;
        let first = self.answer("the service answers", |_| true)?;
        let port = self.port;
        self.say(&format!("It answers: HTTP on 127.0.0.1:{port}, from process {}", first.pid));

        self.say(&format!("That process is killed: kill -9 {}", first.pid));
        let killed = Instant::now();
        server::kill(first)?;
        let second = self.answer("another process answers", |server| server.pid != first.pid)?;
        let outage = killed.elapsed();
        self.wait("the service is up again", |demo| demo.is_up_on(0))?;
        self.say(&format!(
            "Repaired: process {} answers, {} ms after the kill",
            second.pid,
            outage.as_millis()
        ));

        self.say("Node demo1 dies: its daemon and all it ran are killed at once");
        self.viewer = 1;
        let killed = Instant::now();
        self.nodes[0].kill();
        server::kill(second)?;
        let third = self.answer("another node answers", |server| server.node != 1)?;
        let outage = killed.elapsed();
        self.wait("the service is up on demo2", |demo| demo.is_up_on(1))?;
        self.say(&format!(
            "Taken over: process {} of demo{} answers, the service was down for {} ms",
            third.pid,
            third.node,
            outage.as_millis()
        ));

        self.say("Node demo1 is back. It joins the others, and leaves the service where it is");
        self.nodes[0].start()?;
        self.wait("the nodes are idle", |demo| demo.are_idle())?;
        self.wait("the service is still up on demo2", |demo| {
            demo.is_up_on(1) && demo.instance(NODES[0])["avail"] == "down"
        })?;
        self.show_table(&["mon"]);
        if server::ask(self.port) != Some(third) {
            return Err(DemoError::Late("the service is left alone"));
        }
        Ok(())
    }

    /// Stops the service and the nodes.
    fn end(&mut self) -> Result<(), DemoError> {
        self.say(&format!("The operator stops the service: om {SERVICE} stop"));
        self.nodes[0].run(&[SERVICE, "stop"])?;
        self.wait("the service is down", |demo| {
            NODES.iter().all(|node| {
                let instance = demo.instance(node);
                instance["avail"] == "down" && instance["monitor"]["status"] == "idle"
            })
        })?;
        if server::ask(self.port).is_some() {
            return Err(DemoError::Late("the service no longer answers"));
        }
        self.say("It is down, nothing answers any more. The daemons are stopped: om daemon stop");
        self.nodes.iter_mut().try_for_each(Node::stop)
    }

    /// Leaves the nodes to the user.
    fn hand_over(&mut self) -> Result<(), DemoError> {
        let root = self.root.display();
        self.say("The nodes are yours. In a shell:");
        let program = self.program.display();
        let lines = [
            format!("export OSVC_ROOT_PATH={root}/demo1 OSVC_NODENAME=demo1    # or demo2, demo3"),
            format!("alias om={program}"),
            "om mon            # the table above, from now on with --watch".to_owned(),
            format!("om {SERVICE} print status"),
            format!("om {SERVICE} giveback; om {SERVICE} switch --to demo3"),
            format!("om daemon shutdown, on each node, && rm -r {root}    # the end"),
        ];
        lines.iter().for_each(|line| self.print(&format!("    {line}")));
        self.go_on()
    }

    /// One line of the story, with its time.
    fn say(&self, text: &str) {
        self.print(&format!("\n[{:5.2} s] {text}", self.begin.elapsed().as_secs_f64()));
    }

    /// Prints a line at once. That nobody reads it ends the demo with the next thing that is waited for.
    fn print(&self, line: &str) {
        let mut output = io::stdout();
        let printed = writeln!(output, "{line}").and_then(|()| output.flush());
        if printed.is_err() {
            self.is_closed.set(true);
        }
    }

    /// Whether somebody still wants to see the rest.
    fn go_on(&self) -> Result<(), DemoError> {
        if self.interrupt.is_raised() {
            return Err(DemoError::Ended("interrupted"));
        }
        if self.is_closed.get() {
            return Err(DemoError::Ended("its output is closed"));
        }
        Ok(())
    }

    /// Waits for `condition`, showing the services at each change.
    fn wait(
        &mut self,
        what: &'static str,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<(), DemoError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.go_on()?;
            let is_met = condition(self);
            self.show_change();
            if is_met {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(DemoError::Late(what));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until the service answers as wanted: an outage ends with the first answer, not with a table.
    fn answer(
        &self,
        what: &'static str,
        is_wanted: impl Fn(Server) -> bool,
    ) -> Result<Server, DemoError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.go_on()?;
            match server::ask(self.port) {
                Some(server) if is_wanted(server) => return Ok(server),
                _ if Instant::now() >= deadline => return Err(DemoError::Late(what)),
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Prints the services when what the viewer knows of the demo's one has changed.
    fn show_change(&mut self) {
        let status = self.nodes[self.viewer].status().unwrap_or_default();
        let said: Vec<String> = NODES
            .iter()
            .map(|node| {
                let instance = &status["monitor"]["nodes"][*node]["services"]["status"][SERVICE];
                let own = ["avail", "overall", "frozen"].map(|key| instance[key].to_string());
                let doing = ["status", "global_expect", "placement"]
                    .map(|key| instance["monitor"][key].to_string());
                format!("{own:?}{doing:?}")
            })
            .collect();
        let said = said.join(" ");
        if said != self.said && status["monitor"]["services"][SERVICE].is_object() {
            self.said = said;
            self.show_table(&["mon", "--sections", "services"]);
        }
    }

    /// Prints a monitor table when it differs from the last one.
    fn show_table(&mut self, words: &[&str]) {
        let Ok(output) = self.nodes[self.viewer].om(words).output() else { return };
        let table = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        if !table.is_empty() && table != self.shown {
            self.print(&format!("\n{table}"));
            self.shown = table;
        }
    }

    /// The instance of the service on a node, as the viewer knows it.
    fn instance(&self, node: &str) -> Value {
        let status = self.nodes[self.viewer].status().unwrap_or_default();
        status["monitor"]["nodes"][node]["services"]["status"][SERVICE].clone()
    }

    /// Whether the service is up on this node and on no other.
    fn is_up_on(&self, node: usize) -> bool {
        let instance = self.instance(NODES[node]);
        let up = NODES.iter().filter(|node| self.instance(node)["avail"] == "up").count();
        instance["avail"] == "up" && instance["monitor"]["status"] == "idle" && up == 1
    }

    /// Whether each node knows that all of them are there.
    fn are_idle(&self) -> bool {
        self.nodes.iter().all(|viewer| {
            let status = viewer.status().unwrap_or_default();
            let state = |node| &status["monitor"]["nodes"][node]["monitor"]["status"];
            NODES.iter().all(|node| state(*node) == "idle")
        })
    }

    /// After a failure: leaves no process behind.
    fn kill(&mut self) {
        self.nodes.iter_mut().for_each(Node::kill);
        server::kill_all(self.port);
    }
}

/// The cluster of the demo: on the loopback address, each node with ports of its own, and short times.
fn cluster(mut ports: impl Iterator<Item = u16>) -> String {
    let mut text = format!(
        "[DEFAULT]\nid = {}\n\n[cluster]\nname = demo\nid = {}\nsecret = {}\nnodes = {}\nprofile = fast\n\n",
        machine::random::random_uuid(),
        machine::random::random_uuid(),
        machine::random::random_uuid(),
        NODES.join(" ")
    );
    for section in ["[listener]", "[hb#1]\ntype = unicast"] {
        text.push_str(&format!("{section}\naddr = 127.0.0.1\n"));
        for node in NODES {
            text.push_str(&format!("port@{node} = {}\n", ports.next().expect("one for each")));
        }
        text.push('\n');
    }
    text
}

/// The service of the demo.
fn configuration(program: &Path, port: u16) -> String {
    format!(
        "[DEFAULT]\nnodes = {}\norchestrate = ha\n\n\
         [app#1]\ntype = simple\nstart = {} demo --serve {port}\nrestart = 3\n",
        NODES.join(" "),
        program.display()
    )
}

/// Free ports, all held until the last one is found.
fn free_ports(count: usize) -> Result<Vec<u16>, DemoError> {
    let probes = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    probes
        .collect::<io::Result<Vec<_>>>()
        .and_then(|probes| probes.iter().map(|probe| Ok(probe.local_addr()?.port())).collect())
        .map_err(|error| DemoError::Machine("finding free ports", error))
}
