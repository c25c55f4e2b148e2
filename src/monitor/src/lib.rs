//! Every decision: node, instances, placement, blacklist, restarts.
//!
//! Pure: told the time and all it may look at ([`World`]), it returns what to do, in order ([`Effect`]). One
//! [`InstanceCore`] per local instance, one [`NodeCore`] per node; the actors only carry out.

mod acquaintance;
mod admission;
mod aggregate;
mod beating;
mod blacklist;
mod datagrams;
mod deletion;
mod dequeuing;
mod digest;
mod effect;
mod election;
mod elsewhere;
mod exchange;
mod explain;
mod fold;
mod forecast;
mod freezes;
mod hold;
mod instance;
mod instance_status;
mod journal;
mod load;
mod locks;
mod moment;
mod namesakes;
mod node;
mod peers;
mod placement;
mod quorum;
mod rate;
mod requests;
mod restart;
mod retiring;
mod rotation;
mod standing;
mod tasks;
pub mod timeline;
mod unopened;
mod world;

pub use acquaintance::{Acquaintances, Episode, LATELY, Pace, origin};
pub use admission::{Admission, ConnectionLimits, Crowded};
pub use aggregate::{aggregate, cluster_frozen};
pub use beating::{Beating, Pulse};
pub use blacklist::{Blacklist, Counted, FIRST_BAN, LONGEST_BAN, MOST_SENDERS, THRESHOLD};
pub use datagrams::{Datagrams, PROVEN_FOR, Trust};
pub use deletion::{Fate, Holder, fate, is_deleted, is_later, is_pending};
pub use dequeuing::{DEQUEUE_PAUSE, Dequeue, Dequeuing};
pub use digest::md5_hex;
pub use effect::{Action, Change, Effect, Event, NodeEffect, RunId};
pub use election::{Copy, Verdict, Voter, elect, is_for_others, is_leaving};
pub use elsewhere::active_elsewhere;
pub use exchange::{Delta, Exchange, PeerData, Received, Sending, faults, may_preserve, preserve};
pub use explain::{Facts, explain};
pub use fold::fold;
pub use forecast::forecast;
pub use freezes::Freezes;
pub use hold::{Hold, Related};
pub use instance::{
    InstanceCore, accepts, drops_target, is_ended_by_abort, is_exclusive, is_transition,
    restart_time,
};
pub use instance_status::{
    InstanceFacts, InstanceStates, ProvisionedReport, ResourceReport, digest, instance_states,
    instance_status, is_evaluated, resource_status,
};
pub use journal::{ApplyError, Ops, apply, apply_at};
pub use load::{is_overloaded, node_stats, score};
pub use locks::{Claim, can_claim, is_held, merge_locks};
pub use moment::Moment;
pub use namesakes::Namesakes;
pub use node::{NodeChange, NodeCore, NodeTiming, has_nothing_to_lose};
pub use peers::{Decision, Forget, Peers, Sign};
pub use placement::{
    Discard, Filters, candidates, counts_as_up, discarded, is_leader, is_natural_leader, leaders,
    ranks,
};
pub use quorum::{Ballot, Loss, has_vote, last_words};
pub use rate::Rate;
pub use requests::{
    NodeRequest, ObjectRequest, Reply, clear, set_node_monitor, set_service_monitor,
};
pub use restart::{Backoff, Restarts};
pub use retiring::{Retiring, RetiringHeartbeat};
pub use rotation::{LINGER, Outlook, Rotation, RotationStage, RotationStep, RotationView};
pub use standing::{Answer, Opinions, Roster, Standing, taken_out};
pub use tasks::{TaskPlace, task_place};
pub use unopened::{
    MEMBERS_BEYOND, OPENING_COST, Pool, STRANGER_FRAME, STRANGER_ORIGIN, STRANGERS, Unopened,
    member_limit,
};
pub use world::{
    Conditions, Life, ObjectView, Seen, Sight, Unseen, World, is_compatible, live_nodes,
};
