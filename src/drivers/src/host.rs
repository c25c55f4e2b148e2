//! What evaluations and actions share on this node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use conf::{Context, NodeSettings};
use machine::paths::Paths;
use machine::sysrq::Sysrq;
use model::{NodeName, ObjectPath};

use crate::cgroup::Cgroups;
use crate::interrupt::Interrupt;
use crate::processes::ProcessTable;

/// Evaluations that are past their deadline, by object and resource: their threads are still inside a system call. Who
/// evaluates again finds them here, and starts no second thread.
pub(crate) type Parked = BTreeMap<(ObjectPath, String), Arc<AtomicBool>>;

/// The node, as evaluations and actions see it. Cheap to clone: everything in it is shared.
#[derive(Clone)]
pub struct Host {
    /// Folders.
    pub paths: Arc<Paths>,
    /// The node.
    pub nodename: NodeName,
    /// Its settings.
    pub node: Arc<NodeSettings>,
    /// What keywords are evaluated with.
    pub context: Arc<Context>,
    /// Our own binary, which sets execution contexts (`om exec-context`).
    pub agent: PathBuf,
    /// How long a resource may take to evaluate, 60 s by default.
    pub deadline: Duration,
    /// Takes the node down. Tests replace it.
    pub(crate) sysrq: Sysrq,
    /// Time left to logs and disks before the node is taken down, 2 s at most.
    pub(crate) last_words: Duration,
    /// Scans of `/proc`, shared by evaluations that come together.
    pub(crate) processes: Arc<ProcessTable>,
    /// Where the processes of instances run.
    pub(crate) cgroups: Arc<Cgroups>,
    /// Whether the action that runs is asked to end.
    pub(crate) interrupt: Interrupt,
    /// Evaluations that never came back.
    pub(crate) parked: Arc<ArcSwap<Parked>>,
}

impl Host {
    /// The node with these folders and settings.
    #[must_use]
    pub fn new(paths: Arc<Paths>, node: Arc<NodeSettings>, context: Context) -> Self {
        let sysrq_paths = paths.clone();
        Self {
            paths,
            nodename: node.nodename.clone(),
            node,
            context: Arc::new(context),
            // Also true when an upgrade replaced the file.
            agent: PathBuf::from("/proc/self/exe"),
            deadline: Duration::from_secs(60),
            sysrq: Arc::new(move |letter| machine::sysrq::sysrq(&sysrq_paths, letter)),
            last_words: Duration::from_secs(2),
            processes: Arc::default(),
            cgroups: Arc::new(Cgroups::detect()),
            interrupt: Interrupt::default(),
            parked: Arc::new(ArcSwap::from_pointee(Parked::new())),
        }
    }

    /// Replaces what takes the node down, and waits no longer than needed before: for tests.
    pub fn replace_sysrq(&mut self, sysrq: Arc<dyn Fn(char) -> std::io::Result<()> + Send + Sync>) {
        self.sysrq = sysrq;
        self.last_words = Duration::ZERO;
    }

    /// Uses these control groups instead of those that were found: for tests.
    pub fn replace_cgroups(&mut self, cgroups: Cgroups) {
        self.cgroups = Arc::new(cgroups);
    }

    /// The same node after a change of its configuration: what was learned of its processes is kept.
    #[must_use]
    pub fn with_settings(&self, node: Arc<NodeSettings>, context: Context) -> Self {
        self.configured(node, Arc::new(context))
    }

    /// As [`Self::with_settings`], with what others look at too.
    #[must_use]
    pub fn configured(&self, node: Arc<NodeSettings>, context: Arc<Context>) -> Self {
        Self { node, context, ..self.clone() }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({})", self.nodename)
    }
}
