//! What a monitor wants done, as values.

use model::{
    EventFacts, GlobalExpect, InstanceMonitor, LocalExpect, MonitorStatus, NodeMonitorData,
    NodeName, ObjectPath,
};

/// Names one run of an action: never reused by a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// An action on the local instance, as the monitor asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start the instance.
    Start,
    /// Stop it; `force` includes standby resources.
    Stop {
        /// Standby resources too.
        force: bool,
    },
    /// Stop it, standby resources included.
    Shutdown,
    /// Stop, then start it.
    Restart,
    /// Set its frozen flag.
    Freeze,
    /// Remove its frozen flag.
    Thaw,
    /// Remove its frozen flag and those of its guests.
    ThawAll,
    /// Provision it; the leader does what is done once per object.
    Provision {
        /// This node does what is done once per object.
        leader: bool,
    },
    /// Unprovision it.
    Unprovision {
        /// This node undoes what is done once per object.
        leader: bool,
    },
    /// Delete its configuration and state.
    Delete,
    /// Run its monitor action.
    Toc,
    /// Start these resources again.
    StartResources {
        /// Resource ids, sorted.
        rids: Vec<String>,
        /// Standby resources, whatever the instance is.
        standby: bool,
        /// In this guest.
        slave: Option<String>,
    },
    /// Evaluate its status.
    Refresh,
    /// Run the fencing command of a node. About the node, not the instance.
    Stonith {
        /// Whom to fence.
        node: NodeName,
    },
    /// Another action of the command line, as words.
    Other(Vec<String>),
}

impl Action {
    /// Words after `om <path>`, or after `om` for [`Action::Stonith`].
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        let words: Vec<&str> = match self {
            Self::Start => vec!["start", "--local"],
            Self::Stop { force: false } => vec!["stop", "--local"],
            Self::Stop { force: true } => vec!["stop", "--force", "--local"],
            Self::Shutdown => vec!["shutdown", "--local"],
            Self::Restart => vec!["restart", "--local"],
            Self::Freeze => vec!["freeze", "--local"],
            Self::Thaw => vec!["thaw", "--local"],
            Self::ThawAll => vec!["thaw", "--master", "--slaves", "--local"],
            Self::Provision { leader: false } => vec!["provision", "--local"],
            Self::Provision { leader: true } => {
                vec!["provision", "--leader", "--disable-rollback", "--local"]
            }
            Self::Unprovision { leader: false } => vec!["unprovision", "--local"],
            Self::Unprovision { leader: true } => vec!["unprovision", "--leader", "--local"],
            Self::Delete => vec!["delete", "--purge-collector", "--local"],
            Self::Toc => vec!["toc", "--local"],
            Self::StartResources { rids, standby, slave } => {
                let rids = rids.join(",");
                let word = if *standby { "startstandby" } else { "start" };
                let mut words = vec![word.to_owned(), "--rid".to_owned(), rids];
                if let Some(slave) = slave {
                    words.extend(["--slave".to_owned(), slave.clone()]);
                }
                words.push("--local".to_owned());
                return words;
            }
            Self::Refresh => vec!["status", "--refresh", "--waitlock=0"],
            Self::Stonith { node } => vec!["node", "stonith", "--node", node.as_str()],
            Self::Other(words) => return words.clone(),
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// Whether the action is about the node: there is no object path in its command line.
    #[must_use]
    pub fn is_about_node(&self) -> bool {
        matches!(self, Self::Stonith { .. })
    }
}

/// Something to tell subscribers (actors/README.md, Events).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `instance_start`, `resource_restart`, ..
    pub id: &'static str,
    /// `target`, `from_ready`, ..; empty for none.
    pub reason: &'static str,
    /// Resource concerned.
    pub rid: Option<String>,
    /// Peer concerned.
    pub peer: Option<NodeName>,
    /// Restarts done, and allowed.
    pub tries: Option<(u32, u32)>,
    /// What it is about, in one line.
    pub text: Option<String>,
}

impl Event {
    /// What it tells.
    #[must_use]
    pub fn facts(&self) -> EventFacts {
        EventFacts {
            reason: (!self.reason.is_empty()).then_some(self.reason),
            rid: self.rid.clone(),
            peer: self.peer.clone(),
            r#try: self.tries.map(|(tries, _)| tries),
            restart: self.tries.map(|(_, allowed)| allowed),
            text: self.text.clone(),
            ..EventFacts::default()
        }
    }

    /// An event about the instance.
    #[must_use]
    pub fn new(id: &'static str, reason: &'static str) -> Self {
        Self { id, reason, rid: None, peer: None, tries: None, text: None }
    }
}

/// What the monitor of an instance wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Publish the monitor data of the instance.
    Publish(Box<InstanceMonitor>),
    /// Drop the status of the instance from the cluster data, and keep its monitor data: the object is deleted here,
    /// and peers still have to follow. Published as `{"resources": {}, "monitor": {..}}`.
    Disown,
    /// Remove the instance from the cluster data, monitor data included.
    Remove,
    /// Run an action; its end is told with [`InstanceCore::on_action_done`](crate::InstanceCore::on_action_done).
    /// Two runs asked in one pass go one after the other.
    Run {
        /// Names the run.
        id: RunId,
        /// What to run.
        action: Action,
    },
    /// End the action that runs on the instance, whoever started it, with all that it started and that is not to stay. Its
    /// end is told as always.
    EndAction,
    /// Ask again after so many seconds, even if nothing happens.
    WakeAfter(f64),
    /// Ask again when an action of another object ends: as many as allowed are running.
    WaitSlot,
    /// The object runs here and on the other side of a split that this node has not noticed, or too late: take the node out
    /// as its split action says.
    LoseSplit,
    /// Tell subscribers and the log.
    Event(Event),
    /// Tell the log: something an operator asked cannot be done.
    Warn(String),
    /// Set monitor attributes of another object: a scaler acts on its slices.
    SetOther {
        /// The object.
        path: ObjectPath,
        /// What to set.
        change: Change,
    },
    /// Make slices of a scaler from its own configuration.
    CreateSlice {
        /// The slice, `<i>.<name>`.
        path: ObjectPath,
        /// `flex_target` of a flex slice.
        flex_target: Option<i64>,
    },
    /// Change `flex_min`, `flex_max` and `flex_target` of a slice of a scaler.
    ResizeSlice {
        /// The slice.
        path: ObjectPath,
        /// New value of all three.
        flex_target: i64,
    },
}

/// What the monitor of the node wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeEffect {
    /// Publish the node monitor data.
    Publish(Box<NodeMonitorData>),
    /// Create the node frozen flag.
    Freeze,
    /// The same by its own decision, with its reason ([`NodeData::frozen_by`](model::NodeData)): no node follows it, and it
    /// thaws by itself.
    FreezeItself(&'static str),
    /// Remove the node frozen flag.
    Thaw,
    /// Freeze this instance: a peer's is, and was frozen while this node was away.
    FreezeInstance(ObjectPath),
    /// Set monitor attributes of this local instance.
    SetInstance {
        /// The object.
        path: ObjectPath,
        /// What to set.
        change: Change,
    },
    /// The daemon started over running instances, and found no majority while it waited: take the node out as its split
    /// action says.
    LoseSplit,
    /// All instances are released: the daemon may end.
    Released,
    /// Ask again after so many seconds, even if nothing happens.
    WakeAfter(f64),
    /// Tell subscribers and the log.
    Event(Event),
}

/// A change of monitor attributes, validated. `Some(None)` unsets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// What a command line action reports of itself: `starting`, `idle`, `start failed`.
    pub status: Option<MonitorStatus>,
    /// Target of the instance.
    pub local_expect: Option<Option<LocalExpect>>,
    /// Target of the object.
    pub global_expect: Option<Option<GlobalExpect>>,
    /// Node to fence before taking over.
    pub stonith: Option<Option<String>>,
    /// Forget the restart counters.
    pub reset_retries: bool,
}

impl Change {
    /// Sets the target of the object.
    #[must_use]
    pub fn target(target: GlobalExpect) -> Self {
        Self { global_expect: Some(Some(target)), ..Self::default() }
    }

    /// Sets the target of the instance.
    #[must_use]
    pub fn local(target: LocalExpect) -> Self {
        Self { local_expect: Some(Some(target)), ..Self::default() }
    }

    /// Forgets a failure and the restart counters.
    #[must_use]
    pub fn clear() -> Self {
        Self { status: Some(MonitorStatus::Idle), reset_retries: true, ..Self::default() }
    }
}
