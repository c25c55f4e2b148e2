//! Why a monitor does nothing, or waits: noted by the code that decides so, for `om <path> explain`.

use std::fmt;

use model::{MonitorStatus, NodeMonitorStatus, NodeName, ObjectPath, Reason, Status, Weight};
use serde_json::{Value, json};

use crate::{Discard, Standing};

/// Another object that stands in the way, as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Related {
    /// As the keyword names it: `path`, or `path@node`.
    pub name: String,
    /// Its state, there or over its instances.
    pub avail: Option<Status>,
    /// Its instances that act or wait.
    pub doing: Vec<(NodeName, MonitorStatus)>,
}

impl fmt::Display for Related {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.name, self.avail.as_ref().map_or("unknown", Status::as_str))?;
        for (node, status) in &self.doing {
            write!(f, ", {status} on {node}")?;
        }
        Ok(())
    }
}

/// One condition under which a pass of an instance monitor decides nothing, or waits.
#[derive(Debug, Clone, PartialEq)]
pub enum Hold {
    /// Members say that this node is none of theirs.
    Refused(Standing),
    /// One of these peers beats, and has not told what it runs.
    Blind(Vec<NodeName>),
    /// The node arrives or goes: its monitors decide nothing.
    Node(Option<NodeMonitorStatus>),
    /// The node shuts down or drains, and this instance is not concerned by it.
    Leaving(NodeMonitorStatus),
    /// No configuration of the object here.
    NotConfigured,
    /// The status is of another configuration, and is evaluated first.
    Outdated,
    /// Quorum is on, and the nodes of this side have no majority: what may run on the other side is not started.
    NoQuorum {
        /// Votes for this side.
        votes: usize,
        /// How many may vote.
        voting: usize,
    },
    /// These nodes are not heard here, but by others: what they may run is not started.
    NotHeard(Vec<NodeName>),
    /// It runs elsewhere too, where it may have been started while this node was out of sight.
    Deposed(Vec<NodeName>),
    /// These peers do not know yet what they run.
    PeerInit(Vec<NodeName>),
    /// The last action failed, until somebody clears it.
    Failed(MonitorStatus),
    /// An action runs.
    Acting(MonitorStatus),
    /// As many actions run as are allowed.
    NoSlot {
        /// How many do.
        running: usize,
        /// Keyword `node.max_parallel`.
        allowed: usize,
    },
    /// No instance was evaluated.
    Unknown,
    /// Keyword `disable`.
    Disabled,
    /// The nodes run agents that are not compatible.
    Incompatible,
    /// The topology is none that is orchestrated.
    Span,
    /// Kept started here: nothing to do while it is up, its restarts otherwise.
    Kept(Option<Status>),
    /// The node is frozen.
    NodeFrozen,
    /// The instance is frozen.
    Frozen,
    /// The rejoin grace period runs.
    Grace,
    /// Keyword `orchestrate` is `no`, and nobody asks for a start.
    NotOrchestrated,
    /// Keyword `orchestrate` is `start`: only this node starts the object unasked, whatever its state.
    NotNatural(Option<NodeName>),
    /// The object is in a state from which it is not started.
    Avail(Option<Status>),
    /// The placement policy prefers another node, or none.
    NotLeader(Option<NodeName>),
    /// No node may run it: why, by node.
    NoCandidate(Vec<(NodeName, Discard)>),
    /// Instances on these nodes are `warn`: whether they run is not certain.
    PeerDegraded(Vec<NodeName>),
    /// Instances on these nodes act.
    PeerActing(Vec<(NodeName, MonitorStatus)>),
    /// Instances on these nodes are to be kept started, and do not know of the target yet.
    PeerUnaware(Vec<NodeName>),
    /// The start failed on these nodes, and keyword `rollback` is false: something may still run there.
    PeerStartFailed(Vec<NodeName>),
    /// A start is announced here, and by a node that the policy prefers.
    Contested(Vec<NodeName>),
    /// It is asked for on these other nodes, and may start there.
    PlacedElsewhere(Vec<NodeName>),
    /// A start is announced, due after so many seconds.
    Ready(f64),
    /// These parents are not up.
    Parents(Vec<Related>),
    /// These parents act or wait: whether they stay up is not certain.
    ParentsMoving(Vec<Related>),
    /// These children are not down.
    Children(Vec<Related>),
    /// Enough instances of a flex object run, or are about to.
    Enough {
        /// How many run.
        up: usize,
        /// Keyword `flex_target`.
        target: usize,
    },
    /// Too many instances run, and whether one moves is not certain yet.
    Unsettled,
    /// Waits for the instances on these nodes to be thawed.
    NotThawed(Vec<NodeName>),
    /// Waits for the instances on these nodes to be frozen.
    NotFrozen(Vec<NodeName>),
    /// Waits for the instances on these nodes to stop.
    NotStopped(Vec<NodeName>),
    /// Waits for the instances on these nodes to start.
    NotStarted(Vec<NodeName>),
    /// No node may run the object.
    NoLeader,
    /// No destination may run the object.
    NoDestination,
    /// Waits for these nodes to have the configuration and an evaluated instance.
    NotEverywhere(Vec<NodeName>),
    /// Waits for this node to provision first.
    NotProvisioned(NodeName),
    /// Waits for the other nodes to unprovision first.
    NotUnprovisioned,
    /// Waits for these nodes to restart first.
    Priors(Vec<NodeName>),
    /// The configurations of the nodes differ: the target is not dropped.
    ConfigDiffers,
    /// A resource is restarted after so many seconds.
    RestartDelay {
        /// The resource.
        rid: String,
        /// Seconds left.
        left: f64,
    },
    /// The restarts of a resource are used up.
    RestartsUsedUp {
        /// The resource.
        rid: String,
        /// Keyword `restart`.
        allowed: u32,
    },
    /// An action ended and changed nothing: it is taken again, later each time.
    InVain {
        /// The action.
        action: String,
        /// Seconds left.
        left: f64,
        /// Runs in a row that changed nothing; none for one that did, and is to be taken again all the same.
        times: u32,
    },
    /// A slice of a scaler is not settled.
    Slice(ObjectPath),
}

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    names.join(", ")
}

fn list(related: &[Related]) -> String {
    let texts: Vec<String> = related.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// `is` or `are`.
fn be(nodes: &[NodeName]) -> &'static str {
    if nodes.len() == 1 { "is" } else { "are" }
}

impl Hold {
    /// Its name in JSON.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Blind(_) => "blind",
            Self::Node(_) => "node_status",
            Self::Leaving(_) => "node_leaving",
            Self::NotConfigured => "not_configured",
            Self::Outdated => "status_outdated",
            Self::NoQuorum { .. } => "no_quorum",
            Self::NotHeard(_) => "not_heard",
            Self::Deposed(_) => "deposed",
            Self::PeerInit(_) => "peer_init",
            Self::Failed(_) => "failed",
            Self::Acting(_) => "acting",
            Self::NoSlot { .. } => "max_parallel",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Incompatible => "incompatible",
            Self::Span => "span",
            Self::Kept(_) => "kept_started",
            Self::NodeFrozen => "node_frozen",
            Self::Frozen => "frozen",
            Self::Grace => "grace",
            Self::NotOrchestrated => "orchestrate_no",
            Self::NotNatural(_) => "orchestrate_start",
            Self::Avail(_) => "avail",
            Self::NotLeader(_) => "not_leader",
            Self::NoCandidate(_) => "no_candidate",
            Self::PeerDegraded(_) => "peer_degraded",
            Self::PeerActing(_) => "peer_acting",
            Self::PeerUnaware(_) => "peer_unaware",
            Self::PeerStartFailed(_) => "peer_start_failed",
            Self::Contested(_) => "contested",
            Self::PlacedElsewhere(_) => "placed_elsewhere",
            Self::Ready(_) => "ready",
            Self::Parents(_) => "parents",
            Self::ParentsMoving(_) => "parents_moving",
            Self::Children(_) => "children",
            Self::Enough { .. } => "enough",
            Self::Unsettled => "unsettled",
            Self::NotThawed(_) => "not_thawed",
            Self::NotFrozen(_) => "not_frozen",
            Self::NotStopped(_) => "not_stopped",
            Self::NotStarted(_) => "not_started",
            Self::NoLeader => "no_leader",
            Self::NoDestination => "no_destination",
            Self::NotEverywhere(_) => "not_everywhere",
            Self::NotProvisioned(_) => "not_provisioned",
            Self::NotUnprovisioned => "not_unprovisioned",
            Self::Priors(_) => "priors",
            Self::ConfigDiffers => "config_differs",
            Self::RestartDelay { .. } => "restart_delay",
            Self::RestartsUsedUp { .. } => "restarts_used_up",
            Self::InVain { .. } => "in_vain",
            Self::Slice(_) => "slice",
        }
    }

    /// How much a reader needs to know of it.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match self {
            Self::Leaving(_)
            | Self::NoQuorum { .. }
            | Self::Deposed(_)
            | Self::NotConfigured
            | Self::Failed(_)
            | Self::Unknown
            | Self::Disabled
            | Self::Incompatible
            | Self::Span
            | Self::NodeFrozen
            | Self::Frozen
            | Self::NotOrchestrated
            | Self::PeerDegraded(_)
            | Self::PeerStartFailed(_)
            | Self::NoLeader
            | Self::NotLeader(None)
            | Self::NoCandidate(_)
            | Self::NoDestination
            | Self::ConfigDiffers
            | Self::RestartsUsedUp { .. } => Weight::Stuck,
            Self::Refused(Standing::LeftOut) => Weight::Stuck,
            Self::Blind(_)
            | Self::Refused(_)
            | Self::Node(_)
            | Self::Outdated
            | Self::NotHeard(_)
            | Self::PeerInit(_)
            | Self::Acting(_)
            | Self::NoSlot { .. }
            | Self::Grace
            | Self::NotNatural(_)
            | Self::PeerActing(_)
            | Self::PeerUnaware(_)
            | Self::PlacedElsewhere(_)
            | Self::Ready(_)
            | Self::Parents(_)
            | Self::ParentsMoving(_)
            | Self::Children(_)
            | Self::Unsettled
            | Self::NotThawed(_)
            | Self::NotFrozen(_)
            | Self::NotStopped(_)
            | Self::NotStarted(_)
            | Self::NotEverywhere(_)
            | Self::NotProvisioned(_)
            | Self::NotUnprovisioned
            | Self::Priors(_)
            | Self::RestartDelay { .. }
            | Self::InVain { .. }
            | Self::Slice(_) => Weight::Waits,
            Self::Kept(Some(Status::Up)) => Weight::Normal,
            Self::Kept(_) => Weight::Waits,
            Self::Avail(Some(Status::Warn | Status::Undef)) => Weight::Stuck,
            Self::Avail(_)
            | Self::NotLeader(Some(_))
            | Self::Contested(_)
            | Self::Enough { .. } => Weight::Normal,
        }
    }

    /// As data.
    #[must_use]
    pub fn reason(&self) -> Reason {
        Reason { id: self.id().to_owned(), text: self.to_string() }
    }

    /// The seconds left, for what ends by itself, and what ends then.
    #[must_use]
    pub fn timer(&self) -> Option<(String, f64)> {
        match self {
            Self::Ready(left) => Some(("ready".to_owned(), *left)),
            Self::RestartDelay { rid, left } => Some((format!("restart_delay {rid}"), *left)),
            Self::InVain { action, left, .. } => Some((format!("in_vain {action}"), *left)),
            _ => None,
        }
    }

    /// The objects that stand in the way, for JSON.
    #[must_use]
    pub fn objects(&self) -> Vec<Value> {
        match self {
            Self::Parents(related) | Self::ParentsMoving(related) | Self::Children(related) => {
                related
                    .iter()
                    .map(|r| {
                        let doing: serde_json::Map<String, Value> = r
                            .doing
                            .iter()
                            .map(|(node, status)| (node.to_string(), json!(status)))
                            .collect();
                        json!({ "path": r.name, "avail": r.avail, "monitor": doing })
                    })
                    .collect()
            }
            Self::Slice(path) => vec![json!({ "path": path })],
            _ => vec![],
        }
    }
}

/// A fragment to follow the name of the node that holds.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Standing::LeftOut) => f.write_str(
                "the members say that the node is none of theirs: there, `om daemon rejoin` or `om daemon leave`",
            ),
            Self::Refused(_) => {
                f.write_str("a member says that the node is none of theirs: it waits until they agree")
            }
            Self::Blind(nodes) => match nodes.as_slice() {
                [] => f.write_str("a peer beats, and has not told yet what it runs"),
                [node] => write!(f, "{node} beats, and has not told yet what it runs"),
                nodes => {
                    write!(f, "one of {} beats, and has not told yet what it runs", names(nodes))
                }
            },
            Self::Node(None) => f.write_str("the node has not published its monitor yet"),
            Self::Node(Some(status)) => write!(f, "the node is in {status}: it decides nothing"),
            Self::Leaving(status) => write!(f, "the node is {status}: it starts nothing"),
            Self::NotConfigured => f.write_str("no configuration of it there"),
            Self::Outdated => f.write_str("its configuration changed: its status is evaluated"),
            Self::NoQuorum { votes, voting } => write!(
                f,
                "no quorum, {votes} of {voting} votes: what may run elsewhere is started by --local only"
            ),
            Self::NotHeard(nodes) => {
                write!(f, "{} {} heard by others only, it may run there", names(nodes), be(nodes))
            }
            Self::Deposed(nodes) => {
                write!(
                    f,
                    "it runs on {} too, and this node was out of sight: it gives way",
                    names(nodes)
                )
            }
            Self::PeerInit(nodes) => {
                write!(f, "{} {} starting, what runs there is not known", names(nodes), be(nodes))
            }
            Self::Failed(status) => write!(f, "{status}: nothing is tried until it is cleared"),
            Self::Acting(status) => write!(f, "{status}"),
            Self::NoSlot { running, allowed } => {
                write!(f, "{running} actions run, node.max_parallel is {allowed}")
            }
            Self::Unknown => f.write_str("no instance was evaluated"),
            Self::Disabled => f.write_str("it is disabled"),
            Self::Incompatible => f.write_str("the nodes run agents that are not compatible"),
            Self::Span => f.write_str("its topology is not orchestrated"),
            Self::Kept(Some(Status::Up)) => f.write_str("kept started there"),
            Self::Kept(avail) => write!(
                f,
                "was started there and is {} now: it stays, in the care of its restarts",
                avail.as_ref().map_or("unknown", Status::as_str)
            ),
            Self::NodeFrozen => f.write_str("the node is frozen"),
            Self::Frozen => f.write_str("the instance is frozen"),
            Self::Grace => f.write_str("the rejoin grace period runs: peers are waited for"),
            Self::NotOrchestrated => {
                f.write_str("orchestrate is \"no\": it starts only when asked")
            }
            Self::NotNatural(None) => {
                f.write_str("orchestrate is \"start\", and the placement policy prefers no node")
            }
            Self::NotNatural(Some(node)) => {
                write!(f, "orchestrate is \"start\": only {node} starts it unasked")
            }
            Self::Avail(avail) => {
                write!(f, "it is {}", avail.as_ref().map_or("unknown", Status::as_str))
            }
            Self::NotLeader(None) => f.write_str("the placement policy prefers no node"),
            Self::NotLeader(Some(node)) => write!(f, "{node} is preferred"),
            Self::NoCandidate(reasons) => {
                let texts: Vec<String> =
                    reasons.iter().map(|(node, reason)| format!("{node}: {reason}")).collect();
                write!(f, "no node may run it ({})", texts.join("; "))
            }
            Self::PeerDegraded(nodes) => write!(
                f,
                "the instance on {} is warn: whether it runs is not certain",
                names(nodes)
            ),
            Self::PeerActing(peers) => {
                let texts: Vec<String> =
                    peers.iter().map(|(node, status)| format!("{node} is {status}")).collect();
                f.write_str(&texts.join(", "))
            }
            Self::PeerUnaware(nodes) => {
                write!(f, "{} may restart it, and does not know of the target yet", names(nodes))
            }
            Self::PeerStartFailed(nodes) => write!(
                f,
                "the start failed on {} and was not rolled back: something may run there",
                names(nodes)
            ),
            Self::Contested(nodes) => write!(f, "{} {} ready too", names(nodes), be(nodes)),
            Self::PlacedElsewhere(nodes) => write!(f, "is to be placed on {}", names(nodes)),
            Self::Ready(left) => write!(f, "starts in {left:.1} s, unless a peer contests it"),
            Self::Parents(parents) => write!(f, "waits for its parents: {}", list(parents)),
            Self::ParentsMoving(parents) => {
                write!(f, "waits for its parents to settle: {}", list(parents))
            }
            Self::Children(children) => {
                write!(f, "waits for its children to be down: {}", list(children))
            }
            Self::Enough { up, target } => {
                write!(f, "enough instances run or start: {up}, flex_target is {target}")
            }
            Self::Unsettled => f.write_str("too many instances run, a placement is under way"),
            Self::NotThawed(nodes) => write!(f, "waits for {} to be thawed", names(nodes)),
            Self::NotFrozen(nodes) => write!(f, "waits for {} to be frozen", names(nodes)),
            Self::NotStopped(nodes) => write!(f, "waits for {} to be stopped", names(nodes)),
            Self::NotStarted(nodes) => write!(f, "waits for {} to be started", names(nodes)),
            Self::NoLeader => f.write_str("no node may run it"),
            Self::NoDestination => f.write_str("no destination may run it"),
            Self::NotEverywhere(nodes) => {
                write!(f, "waits for an evaluated instance on {}", names(nodes))
            }
            Self::NotProvisioned(node) => write!(f, "waits for {node} to provision first"),
            Self::NotUnprovisioned => f.write_str("waits for the other nodes to unprovision first"),
            Self::Priors(nodes) => write!(f, "waits for {} to restart first", names(nodes)),
            Self::ConfigDiffers => {
                f.write_str("the nodes have different configurations: the target is kept")
            }
            Self::RestartDelay { rid, left } => write!(f, "{rid} is restarted in {left:.1} s"),
            Self::RestartsUsedUp { rid, allowed: 0 } => {
                write!(f, "{rid} is down, and has no restarts")
            }
            Self::RestartsUsedUp { rid, allowed } => {
                write!(f, "{rid} is down, its {allowed} restarts are used up")
            }
            Self::InVain { action, left, times: 0 } => {
                write!(f, "{action} is taken again in {left:.1} s")
            }
            Self::InVain { action, left, times: 1 } => {
                write!(f, "{action} ended and changed nothing: again in {left:.1} s")
            }
            Self::InVain { action, left, times } => {
                write!(f, "{action} ended and changed nothing, {times} times: again in {left:.1} s")
            }
            Self::Slice(path) => write!(f, "waits for slice {path} to be provisioned"),
        }
    }
}
