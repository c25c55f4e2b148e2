//! A cluster: nodes on loopback addresses, one cluster.conf for all.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use serde_json::Value;

use crate::{Node, Port, wait_for};

/// What the cluster.conf of a test says beside its members and their addresses.
#[derive(Debug, Clone)]
pub struct ClusterConf {
    /// Keywords of section `cluster`.
    pub cluster: String,
    /// Keywords of section `hb#1`, a unicast heartbeat.
    pub heartbeat: String,
    /// Further sections.
    pub sections: String,
}

impl Default for ClusterConf {
    /// Timings of the fast profile.
    fn default() -> Self {
        Self { cluster: "profile = fast".into(), heartbeat: String::new(), sections: String::new() }
    }
}

impl ClusterConf {
    /// The same for a test that is about services: on a busy machine, where daemons do not run for a second, nobody is given up
    /// that soon.
    #[must_use]
    pub fn patient(mut self) -> Self {
        if self.heartbeat.is_empty() && is_busy() {
            self.heartbeat = "timeout = 4".into();
        }
        self
    }
}

/// Whether many more processes want to run than this machine has processors.
fn is_busy() -> bool {
    crate::load_per_processor() > 4.0
}

/// Nodes `n1`, `n2`, .. at 127.0.0.11, 127.0.0.12, .., each with ports of its own. Dropping it kills them.
pub struct Cluster {
    /// The nodes, in the order of `cluster.nodes`.
    pub nodes: Vec<Node>,
    heartbeats: Vec<Port>,
}

impl Cluster {
    /// A running cluster of `count` nodes that hear each other.
    #[must_use]
    pub fn start(count: usize) -> Self {
        Self::start_with(count, &ClusterConf::default())
    }

    /// The same with these settings.
    #[must_use]
    pub fn start_with(count: usize, conf: &ClusterConf) -> Self {
        let mut cluster = Self::configured(count, conf);
        cluster.start_all();
        cluster.wait_beating();
        cluster
    }

    /// Starts all nodes at once: one after the other, on a busy machine, the first has given the last up before it starts.
    ///
    /// # Panics
    ///
    /// When one does not start.
    pub fn start_all(&mut self) {
        std::thread::scope(|scope| {
            for node in &mut self.nodes {
                scope.spawn(|| node.start());
            }
        });
    }

    /// The same, not started.
    #[must_use]
    pub fn configured(count: usize, conf: &ClusterConf) -> Self {
        let nodes: Vec<Node> = (0..count).map(|at| Node::new(&name(at))).collect();
        let heartbeats = (0..count).map(|_| Port::reserve()).collect();
        let cluster = Self { nodes, heartbeats };
        for node in &cluster.nodes {
            node.write("etc/node.conf", "");
        }
        cluster.reconfigure(conf);
        cluster
    }

    /// The same, every daemon with a variable in its environment.
    #[must_use]
    pub fn with_env(mut self, key: &str, value: &str) -> Self {
        self.nodes = self.nodes.into_iter().map(|node| node.with_env(key, value)).collect();
        self
    }

    /// The same, every node with a clock of its own: [`Node::step_clock`].
    #[must_use]
    pub fn with_clocks(mut self) -> Self {
        self.nodes = self.nodes.into_iter().map(Node::with_clock).collect();
        self
    }

    /// The cluster.conf of these settings.
    #[must_use]
    pub fn conf(&self, conf: &ClusterConf) -> String {
        let ports: Vec<_> =
            (0..self.nodes.len()).map(|at| (self.port(at), self.heartbeat_port(at))).collect();
        Self::text(&ports, conf)
    }

    /// Writes these settings on every node.
    pub fn reconfigure(&self, conf: &ClusterConf) {
        let text = self.conf(conf);
        for node in &self.nodes {
            node.write("etc/cluster.conf", &text);
        }
    }

    fn text(ports: &[(u16, u16)], conf: &ClusterConf) -> String {
        let names: Vec<String> = (0..ports.len()).map(name).collect();
        let mut text = format!(
            "[DEFAULT]\nid = 154a5a0d-dc2d-4ea0-a03e-bfe936cc04ee\n\n[cluster]\nname = demo\n\
             id = 9a41a7cc-e68f-11f1-bd9a-fadc5ed23424\nsecret = 81ec81d6e68c11f1ae3f02fc00000001\n\
             nodes = {}\n{}\n",
            names.join(" "),
            conf.cluster
        );
        let mut scoped = |section: &str, port: fn(&(u16, u16)) -> u16| {
            _ = write!(text, "\n{section}\n");
            for (at, ports) in ports.iter().enumerate() {
                let (name, address, port) = (name(at), address(at), port(ports));
                _ = write!(text, "addr@{name} = {address}\nport@{name} = {port}\n");
            }
        };
        // Nodes of one machine have one port 1215.
        scoped("[listener]\ntls_port = 0", |ports| ports.0);
        scoped("[hb#1]\ntype = unicast", |ports| ports.1);
        _ = write!(text, "{}\n\n{}\n", conf.heartbeat, conf.sections);
        text
    }

    /// Address of a node, counted from 0.
    #[must_use]
    pub fn address(&self, at: usize) -> Ipv4Addr {
        address(at)
    }

    /// Port of the listener of a node.
    #[must_use]
    pub fn port(&self, at: usize) -> u16 {
        self.nodes[at].port()
    }

    /// Port of the unicast heartbeat of a node.
    #[must_use]
    pub fn heartbeat_port(&self, at: usize) -> u16 {
        self.heartbeats[at].number()
    }

    /// Whether a worker of a node has a peer beating, both counted from 0.
    #[must_use]
    pub fn is_beating(&self, at: usize, worker: &str, peer: usize) -> bool {
        self.worker(at, worker)["peers"][name(peer)]["beating"] == true
    }

    /// The block of a worker, `hb#1.rx`.
    #[must_use]
    pub fn worker(&self, at: usize, worker: &str) -> Value {
        self.nodes[at].status()[worker].clone()
    }

    /// Waits until a worker of a node has a peer beating, or not.
    pub fn wait_flag(&self, at: usize, worker: &str, peer: usize, is_beating: bool) {
        let what = format!("{worker} of {}: {} beating is {is_beating}", name(at), name(peer));
        wait_for(&what, || self.is_beating(at, worker, peer) == is_beating);
    }

    /// Waits until all hear all on `hb#1`.
    pub fn wait_beating(&self) {
        self.wait_beating_on("hb#1");
    }

    /// Waits until all hear all on a heartbeat.
    pub fn wait_beating_on(&self, heartbeat: &str) {
        for at in 0..self.nodes.len() {
            for peer in (0..self.nodes.len()).filter(|peer| *peer != at) {
                for direction in ["rx", "tx"] {
                    self.wait_flag(at, &format!("{heartbeat}.{direction}"), peer, true);
                }
            }
        }
    }
}

fn name(at: usize) -> String {
    format!("n{}", at + 1)
}

fn address(at: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(at + 11).expect("a small cluster"))
}
