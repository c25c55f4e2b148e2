//! Why a monitor does nothing, or waits: noted by the code that decides so, for `om <path> explain`.

mod text;

use std::collections::BTreeMap;
use std::fmt;

use model::{MonitorStatus, NodeMonitorStatus, NodeName, ObjectPath, Reason, Status, Weight};
use serde_json::{Value, json};

use crate::placement::Discard;
use crate::standing::Standing;

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

macro_rules! holds {
    ($(
        #[doc = $doc:literal]
        $variant:ident
        $(($value:ident: $type:ty))?
        $({$(#[doc = $help:literal] $field:ident: $kind:ty,)+})?
            = $id:literal, $weight:expr, $text:literal $(, $word:expr)*;
    )+) => {
        /// One condition under which a pass of an instance monitor decides nothing, or waits.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Hold {
            $(#[doc = $doc] $variant $(($type))? $({$(#[doc = $help] $field: $kind,)+})?,)+
        }

        impl Hold {
            /// Its name in JSON.
            #[must_use]
            pub fn id(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $id,)+ }
            }

            /// How much a reader needs to know of it.
            #[must_use]
            #[allow(unused_variables, reason = "few rows look at what they hold")]
            pub fn weight(&self) -> Weight {
                match self { $(Self::$variant $(($value))? $({$($field),+})? => $weight,)+ }
            }
        }

        /// A fragment to follow the name of the node that holds.
        impl fmt::Display for Hold {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant $(($value))? $({$($field),+})? => write!(f, $text $(, $word)*),)+
                }
            }
        }
    };
}

// What it holds, its name in JSON, how much a reader needs to know of it, and its text.
holds! {
    /// Members say that this node is none of theirs.
    Refused(standing: Standing) = "refused", if *standing == Standing::LeftOut { Weight::Stuck } else { Weight::Waits },
        "{}", text::refused(*standing);
    /// One of these peers beats, and has not told what it runs.
    Blind(nodes: Vec<NodeName>) = "blind", Weight::Waits,
        "{} beats, and has not told yet what it runs", text::one_of(nodes);
    /// The node arrives or goes: its monitors decide nothing.
    Node(status: Option<NodeMonitorStatus>) = "node_status", Weight::Waits,
        "{}", text::node(status.as_ref());
    /// The node shuts down or drains, and this instance is not concerned by it.
    Leaving(status: NodeMonitorStatus) = "node_leaving", Weight::Stuck,
        "the node is {status}: it starts nothing";
    /// No configuration of the object here.
    NotConfigured = "not_configured", Weight::Stuck,
        "no configuration of it there";
    /// The object is for other nodes now: what runs here goes on until it is stopped or moved, and is not restarted.
    LeftOver = "left_over", Weight::Stuck,
        "it is for other nodes now, and goes from this one once it is stopped or moved";
    /// The status is of another configuration, and is evaluated first.
    Outdated = "status_outdated", Weight::Waits,
        "its configuration changed: its status is evaluated";
    /// Quorum is on, and the nodes of this side have no majority: what may run on the other side is not started.
    NoQuorum {
        /// Votes for this side.
        votes: usize,
        /// How many may vote.
        voting: usize,
    } = "no_quorum", Weight::Stuck,
        "no quorum, {votes} of {voting} votes: what may run elsewhere is started by --local only";
    /// These nodes are not heard here, but by others: what they may run is not started.
    NotHeard(nodes: Vec<NodeName>) = "not_heard", Weight::Waits,
        "{} {} heard by others only, it may run there", text::names(nodes), text::be(nodes);
    /// It runs elsewhere too, where it may have been started while this node was out of sight.
    Deposed(nodes: Vec<NodeName>) = "deposed", Weight::Stuck,
        "it runs on {} too, and this node was out of sight: it gives way", text::names(nodes);
    /// These peers do not know yet what they run.
    PeerInit(nodes: Vec<NodeName>) = "peer_init", Weight::Waits,
        "{} {} starting, what runs there is not known", text::names(nodes), text::be(nodes);
    /// The last action failed, until somebody clears it.
    Failed(status: MonitorStatus) = "failed", Weight::Stuck,
        "{status}: nothing is tried until it is cleared";
    /// An action runs.
    Acting(status: MonitorStatus) = "acting", Weight::Waits,
        "{status}";
    /// As many actions run as are allowed.
    NoSlot {
        /// How many do.
        running: usize,
        /// Keyword `node.max_parallel`.
        allowed: usize,
    } = "max_parallel", Weight::Waits,
        "{running} actions run, node.max_parallel is {allowed}";
    /// No instance was evaluated.
    Unknown = "unknown", Weight::Stuck,
        "no instance was evaluated";
    /// Keyword `disable`.
    Disabled = "disabled", Weight::Stuck,
        "it is disabled";
    /// The nodes run agents that are not compatible.
    Incompatible = "incompatible", Weight::Stuck,
        "the nodes run agents that are not compatible";
    /// The topology is none that is orchestrated.
    Span = "span", Weight::Stuck,
        "its topology is not orchestrated";
    /// Kept started here: nothing to do while it is up, its restarts otherwise.
    Kept(avail: Option<Status>) = "kept_started", if *avail == Some(Status::Up) { Weight::Normal } else { Weight::Waits },
        "{}", text::kept(avail.as_ref());
    /// The node is frozen.
    NodeFrozen = "node_frozen", Weight::Stuck,
        "the node is frozen";
    /// The instance is frozen.
    Frozen = "frozen", Weight::Stuck,
        "the instance is frozen";
    /// The rejoin grace period runs.
    Grace = "grace", Weight::Waits,
        "the rejoin grace period runs: peers are waited for";
    /// Keyword `orchestrate` is `no`, and nobody asks for a start.
    NotOrchestrated = "orchestrate_no", Weight::Stuck,
        "orchestrate is \"no\": it starts only when asked";
    /// Keyword `orchestrate` is `start`: only this node starts the object unasked, whatever its state.
    NotNatural(node: Option<NodeName>) = "orchestrate_start", Weight::Waits,
        "{}", text::not_natural(node.as_ref());
    /// The object is in a state from which it is not started.
    Avail(avail: Option<Status>) = "avail", if matches!(avail, Some(Status::Warn | Status::Undef)) { Weight::Stuck } else { Weight::Normal },
        "it is {}", text::avail(avail.as_ref());
    /// The placement policy prefers another node, or none.
    NotLeader(node: Option<NodeName>) = "not_leader", if node.is_none() { Weight::Stuck } else { Weight::Normal },
        "{}", text::preferred(node.as_ref());
    /// No node may run it: why, by node.
    NoCandidate(reasons: Vec<(NodeName, Discard)>) = "no_candidate", Weight::Stuck,
        "no node may run it ({})", text::each(reasons, ": ", "; ");
    /// Instances on these nodes are `warn`: whether they run is not certain.
    PeerDegraded(nodes: Vec<NodeName>) = "peer_degraded", Weight::Stuck,
        "the instance on {} is warn: whether it runs is not certain", text::names(nodes);
    /// Instances on these nodes act.
    PeerActing(peers: Vec<(NodeName, MonitorStatus)>) = "peer_acting", Weight::Waits,
        "{}", text::each(peers, " is ", ", ");
    /// Instances on these nodes are to be kept started, and do not know of the target yet.
    PeerUnaware(nodes: Vec<NodeName>) = "peer_unaware", Weight::Waits,
        "{} may restart it, and does not know of the target yet", text::names(nodes);
    /// The start failed on these nodes, and keyword `rollback` is false: something may still run there.
    PeerStartFailed(nodes: Vec<NodeName>) = "peer_start_failed", Weight::Stuck,
        "the start failed on {} and was not rolled back: something may run there", text::names(nodes);
    /// A start is announced here, and by a node that the policy prefers.
    Contested(nodes: Vec<NodeName>) = "contested", Weight::Normal,
        "{} {} ready too", text::names(nodes), text::be(nodes);
    /// It is asked for on these other nodes, and may start there.
    PlacedElsewhere(nodes: Vec<NodeName>) = "placed_elsewhere", Weight::Waits,
        "is to be placed on {}", text::names(nodes);
    /// A start is announced, due after so many seconds.
    Ready(left: f64) = "ready", Weight::Waits,
        "starts in {left:.1} s, unless a peer contests it";
    /// A start is announced and due; these nodes have not acknowledged the announcement.
    Unacknowledged(nodes: Vec<NodeName>) = "unacknowledged", Weight::Waits,
        "announced, and not acknowledged by {}", text::names(nodes);
    /// These parents are not up.
    Parents(parents: Vec<Related>) = "parents", Weight::Waits,
        "waits for its parents: {}", text::list(parents);
    /// These parents act or wait: whether they stay up is not certain.
    ParentsMoving(parents: Vec<Related>) = "parents_moving", Weight::Waits,
        "waits for its parents to settle: {}", text::list(parents);
    /// These children are not down.
    Children(children: Vec<Related>) = "children", Weight::Waits,
        "waits for its children to be down: {}", text::list(children);
    /// Enough instances of a flex object run, or are about to.
    Enough {
        /// How many run.
        up: usize,
        /// Keyword `flex_target`.
        target: usize,
    } = "enough", Weight::Normal,
        "enough instances run or start: {up}, flex_target is {target}";
    /// Too many instances run, and whether one moves is not certain yet.
    Unsettled = "unsettled", Weight::Waits,
        "too many instances run, a placement is under way";
    /// Waits for the instances on these nodes to be thawed.
    NotThawed(nodes: Vec<NodeName>) = "not_thawed", Weight::Waits,
        "waits for {} to be thawed", text::names(nodes);
    /// Waits for the instances on these nodes to be frozen.
    NotFrozen(nodes: Vec<NodeName>) = "not_frozen", Weight::Waits,
        "waits for {} to be frozen", text::names(nodes);
    /// Waits for the instances on these nodes to stop.
    NotStopped(nodes: Vec<NodeName>) = "not_stopped", Weight::Waits,
        "waits for {} to be stopped", text::names(nodes);
    /// Waits for the instances on these nodes to start.
    NotStarted(nodes: Vec<NodeName>) = "not_started", Weight::Waits,
        "waits for {} to be started", text::names(nodes);
    /// No node may run the object.
    NoLeader = "no_leader", Weight::Stuck,
        "no node may run it";
    /// No destination may run the object.
    NoDestination = "no_destination", Weight::Stuck,
        "no destination may run it";
    /// Waits for these nodes to have the configuration and an evaluated instance.
    NotEverywhere(nodes: Vec<NodeName>) = "not_everywhere", Weight::Waits,
        "waits for an evaluated instance on {}", text::names(nodes);
    /// Waits for this node to provision first.
    NotProvisioned(node: NodeName) = "not_provisioned", Weight::Waits,
        "waits for {node} to provision first";
    /// Waits for the other nodes to unprovision first.
    NotUnprovisioned = "not_unprovisioned", Weight::Waits,
        "waits for the other nodes to unprovision first";
    /// Waits for these nodes to restart first.
    Priors(nodes: Vec<NodeName>) = "priors", Weight::Waits,
        "waits for {} to restart first", text::names(nodes);
    /// The configurations of the nodes differ: the target is not dropped.
    ConfigDiffers = "config_differs", Weight::Stuck,
        "the nodes have different configurations: the target is kept";
    /// A resource is restarted after so many seconds.
    RestartDelay {
        /// The resource.
        rid: String,
        /// Seconds left.
        left: f64,
    } = "restart_delay", Weight::Waits,
        "{rid} is restarted in {left:.1} s";
    /// The restarts of a resource are used up.
    RestartsUsedUp {
        /// The resource.
        rid: String,
        /// Keyword `restart`.
        allowed: u32,
    } = "restarts_used_up", Weight::Stuck,
        "{rid} is down, {}", text::restarts(*allowed);
    /// An action ended and changed nothing: it is taken again, later each time.
    InVain {
        /// The action.
        action: String,
        /// Seconds left.
        left: f64,
        /// Runs in a row that changed nothing; none for one that did, and is to be taken again all the same.
        times: u32,
    } = "in_vain", Weight::Waits,
        "{action} {} in {left:.1} s", text::again(*times);
    /// A slice of a scaler is not settled.
    Slice(path: ObjectPath) = "slice", Weight::Waits,
        "waits for slice {path} to be provisioned";
}

impl Hold {
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
                        let doing = r.doing.iter().map(|(node, status)| (node, status));
                        let doing: BTreeMap<&NodeName, &MonitorStatus> = doing.collect();
                        json!({ "path": r.name, "avail": r.avail, "monitor": doing })
                    })
                    .collect()
            }
            Self::Slice(path) => vec![json!({ "path": path })],
            _ => vec![],
        }
    }
}
