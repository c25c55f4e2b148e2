//! Services over the nodes of a cluster, and a journal of what was really done with them.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;

use crate::{Cluster, ClusterConf, wait_for};

/// What a service does: `$1` its folder, `$2` the node, `$3` the action. It is up on a node while the file `up.NODE` is
/// there. The journal is shared by all nodes: what is started where something else is up is told. What all services do is
/// told in `../order`, begins and ends.
const SERVICE: &str = r#"cd "$1" || exit 9
tell() { echo "$1 ${PWD##*/} $2" >> ../order; }
case $3 in
start)
    tell start "$2"
    others=$(ls up.* 2>/dev/null | tr '\n' ' ')
    echo "start $2${others:+ beside $others}" | sed 's/ *$//' >> journal
    test -e "hold.$2" && while test -e "hold.$2"; do sleep 0.02; done
    test -e "fail-start.$2" && exit 1
    touch "up.$2"
    tell started "$2" ;;
stop)
    tell stop "$2"
    echo "stop $2" >> journal
    while test -e "hold-stop.$2"; do sleep 0.02; done
    rm -f "up.$2"
    tell stopped "$2" ;;
check) test -e "up.$2" ;;
esac
"#;

/// A cluster with services that cost no process while they are up.
pub struct Scene {
    /// Its nodes.
    pub cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Scene {
    /// A running cluster of three with these services: names, and keywords of section `DEFAULT`.
    #[must_use]
    pub fn start(services: &[(&str, &str)]) -> Self {
        Self::start_with(&ClusterConf::default(), services, |_| {})
    }

    /// The same with settings of the cluster, and what is to be done before the daemons start.
    ///
    /// # Panics
    ///
    /// When the nodes do not find each other.
    #[must_use]
    pub fn start_with(
        conf: &ClusterConf,
        services: &[(&str, &str)],
        prepare: impl FnOnce(&Self),
    ) -> Self {
        Self::of(Cluster::configured(3, &conf.clone().patient()), services, prepare)
    }

    /// The same on a cluster that is not started.
    ///
    /// # Panics
    ///
    /// When the nodes do not find each other.
    #[must_use]
    pub fn of(cluster: Cluster, services: &[(&str, &str)], prepare: impl FnOnce(&Self)) -> Self {
        let mut scene = Self { cluster, folder: tempfile::tempdir().expect("a folder") };
        for (name, keywords) in services {
            scene.add(name, keywords);
        }
        // A node that was waited for and came late is no reason to freeze the others, as the 5 s of the profile would have it.
        for node in &scene.cluster.nodes {
            if node.read("etc/node.conf").is_empty() {
                node.write("etc/node.conf", "[node]\nrejoin_grace_period = 15\n");
            }
        }
        prepare(&scene);
        scene.cluster.start_all();
        scene.cluster.wait_beating();
        scene
    }

    /// Adds a service on all nodes, the same file with the same time. `keywords` are those of section `DEFAULT`, after a
    /// line `[app#1]` those of its resource.
    ///
    /// # Panics
    ///
    /// When its files cannot be written.
    pub fn add(&self, name: &str, keywords: &str) {
        fs::create_dir_all(self.file(name, "")).expect("its folder");
        let script = self.folder.path().join("service");
        if !script.exists() {
            fs::write(&script, SERVICE).expect("a script");
        }
        let run = |action: &str| {
            let folder = self.file(name, "");
            format!("/bin/sh {} {} {{nodename}} {action}", script.display(), folder.display())
        };
        let names: Vec<&str> = self.cluster.nodes.iter().map(crate::Node::name).collect();
        let names = names.join(" ");
        let (keywords, app) = keywords.split_once("[app#1]\n").unwrap_or((keywords, ""));
        // What is said once is read once.
        let default = |keyword: &str, value: &str| {
            let is_said = keywords.lines().any(|line| line.starts_with(&format!("{keyword} =")));
            if is_said { String::new() } else { format!("{keyword} = {value}\n") }
        };
        let (nodes, orchestrate) = (default("nodes", &names), default("orchestrate", "ha"));
        let text = format!(
            "[DEFAULT]\nid = {}\n{nodes}{orchestrate}{keywords}\n\n\
             [app#1]\ntype = forking\nstart = {}\nstop = {}\ncheck = {}\n{app}\n\
             [sync#i0]\ndisable = true\n",
            id_of(name),
            run("start"),
            run("stop"),
            run("check")
        );
        self.configure(name, &text);
    }

    /// Writes the configuration of an object on all nodes, with the same time.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn configure(&self, name: &str, text: &str) {
        let now = SystemTime::now();
        for node in &self.cluster.nodes {
            let hidden = node.path("tmp/new.conf");
            node.write("tmp/new.conf", text);
            let file = fs::File::options().write(true).open(&hidden).expect("its file");
            file.set_modified(now).expect("its time");
            fs::rename(hidden, node.path(&format!("etc/{name}.conf"))).expect("it is there");
        }
    }

    /// A file that a service looks at: `up.n1`, `fail-start.n1`, `hold.n1`, `hold-stop.n1`.
    #[must_use]
    pub fn file(&self, name: &str, file: &str) -> PathBuf {
        self.folder.path().join(name).join(file)
    }

    /// Makes such a file.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn touch(&self, name: &str, file: &str) {
        fs::write(self.file(name, file), "").expect("a file");
    }

    /// Removes such a file.
    pub fn remove(&self, name: &str, file: &str) {
        _ = fs::remove_file(self.file(name, file));
    }

    /// What was done with a service, on which node: `start n1`, and with what was up: `start n2 beside up.n1`.
    #[must_use]
    pub fn journal(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(name, "journal")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What was done with all services, in order: `start web n1`, `started web n1`, `stop web n1`, `stopped web n1`.
    #[must_use]
    pub fn order(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("order")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A node dies: its daemon, and all that runs on it.
    pub fn kill(&mut self, at: usize) {
        self.cluster.nodes[at].kill();
        let node = format!("up.n{}", at + 1);
        for service in fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            _ = fs::remove_file(service.path().join(&node));
        }
    }

    /// Runs an action on a node until its target is reached. What that node still sees moving would refuse it.
    pub fn reach(&self, at: usize, words: &[&str]) {
        wait_for("nothing moves", || {
            let status = self.cluster.nodes[at].status();
            let nodes = status["monitor"]["nodes"].as_object().cloned().unwrap_or_default();
            let instances =
                nodes.values().filter_map(|node| node["services"]["status"].as_object());
            let mut states = instances.flat_map(|all| all.values());
            !states.any(|one| {
                one["monitor"]["status"].as_str().is_some_and(|status| status.ends_with("ing"))
            })
        });
        self.cluster.nodes[at].om_ok(&[words, &["--wait", "--time", "20s"]].concat());
    }

    /// What a node knows of a service as a whole: `avail`, `frozen`, `placement`, `provisioned`.
    #[must_use]
    pub fn aggregate(&self, viewer: usize, name: &str, key: &str) -> Value {
        self.cluster.nodes[viewer].status()["monitor"]["services"][name][key].clone()
    }

    /// What the monitor of an instance is at, as another node knows it.
    #[must_use]
    pub fn doing(&self, viewer: usize, name: &str, at: usize) -> String {
        let status = &self.seen(viewer, name, at)["monitor"]["status"];
        status.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the monitor of an instance is at that, as another node knows it.
    pub fn wait_doing(&self, viewer: usize, name: &str, at: usize, status: &str) {
        wait_for(&format!("{name} on n{} is {status}", at + 1), || {
            self.doing(viewer, name, at) == status
        });
    }

    /// The instance of a service on a node, as another one knows it, both counted from 0.
    #[must_use]
    pub fn seen(&self, viewer: usize, name: &str, at: usize) -> Value {
        let node = format!("n{}", at + 1);
        self.cluster.nodes[viewer].status()["monitor"]["nodes"][&node]["services"]["status"][name]
            .clone()
    }

    /// Waits until a node knows that a service is up on these nodes, and on no other, and that nothing moves.
    pub fn wait_up(&self, viewer: usize, name: &str, on: &[usize]) {
        let what = format!("n{} sees {name} up on {on:?}, counted from 0, alone", viewer + 1);
        wait_for(&what, || self.settled(viewer, name).as_deref() == Some(on));
    }

    /// Waits until a node knows that a service is up on so many nodes, whichever, and that nothing moves.
    pub fn wait_up_anywhere(&self, viewer: usize, name: &str, count: usize) {
        wait_for(&format!("n{} sees {name} up on {count} nodes", viewer + 1), || {
            self.settled(viewer, name).is_some_and(|on| on.len() == count)
        });
    }

    /// Where a service is up, as a node knows; none while something moves.
    fn settled(&self, viewer: usize, name: &str) -> Option<Vec<usize>> {
        let status = self.cluster.nodes[viewer].status();
        let mut up = vec![];
        for at in 0..self.cluster.nodes.len() {
            let node = format!("n{}", at + 1);
            let instance = &status["monitor"]["nodes"][&node]["services"]["status"][name];
            let doing = instance["monitor"]["status"].as_str().unwrap_or("idle");
            let is_quiet = doing == "idle" || doing.ends_with("failed");
            if !is_quiet || instance["monitor"]["global_expect"].is_string() {
                return None;
            }
            if instance["avail"] == "up" {
                up.push(at);
            }
        }
        Some(up)
    }
}

/// An id of its own for each name.
#[must_use]
pub fn id_of(name: &str) -> String {
    let number = name.bytes().fold(7_u64, |sum, byte| (sum * 31 + u64::from(byte)) % (1 << 48));
    format!("00000000-0000-4000-8000-{number:012x}")
}
