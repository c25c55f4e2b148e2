//! Every decision: node, instances, placement, blacklist, restarts.
//!
//! Pure: told the time and all it may look at ([`World`]), it returns what to do, in order ([`Effect`]). One
//! [`InstanceCore`] per local instance, one [`NodeCore`] per node; the actors only carry out.

mod acquaintance;
mod admission;
mod aggregate;
mod backoff;
mod ballot;
mod beating;
mod blacklist;
mod datagrams;
mod deletion;
mod dequeuing;
mod digest;
pub mod doctor;
pub mod drill;
mod effect;
mod election;
mod elsewhere;
mod explain;
mod fold;
mod forecast;
pub mod history;
mod hold;
mod instance;
mod instance_status;
mod load;
mod moment;
mod namesakes;
mod node;
mod peers;
mod peers_frozen;
mod placement;
mod quorum;
mod rate;
mod requests;
mod retiring;
mod roll;
mod rotation;
mod standing;
mod stop_order;
mod tasks;
pub mod timeline;
mod unopened;
mod world;

pub use acquaintance::{Acquaintances, Episode, LATELY, Pace, origin};
pub use admission::{Admission, ConnectionLimits, Crowded};
pub use aggregate::{aggregate, cluster_frozen};
pub use backoff::{Backoff, Restarts};
pub use ballot::Ballot;
pub use beating::{Beating, Pulse};
pub use blacklist::{Blacklist, Counted, FIRST_BAN, LONGEST_BAN, MOST_SENDERS, THRESHOLD};
pub use datagrams::{Datagrams, PROVEN_FOR, Trust};
pub use deletion::{Fate, Holder, fate, is_deleted, is_later, is_pending};
pub use dequeuing::{DEQUEUE_PAUSE, Dequeue, Dequeuing};
pub use digest::md5_hex;
pub use effect::{Action, Change, Effect, Event, NodeEffect, RunId};
pub use election::{Copy, Verdict, Voter, elect, is_for_others, is_leaving};
pub use elsewhere::{active_elsewhere, doubled, told_doubled};
pub use explain::{Facts, explain};
pub use fold::fold;
pub use forecast::forecast;
pub use forecast::outage::{Outage, what_if};
pub use hold::{Hold, Related};
pub use instance::InstanceCore;
pub use instance::acceptance::accepts;
pub use instance::asked::restart_time;
pub use instance::rules::{
    drops_target, is_coming_up, is_ended_by_abort, is_exclusive, is_transition,
};
pub use instance_status::{
    InstanceFacts, InstanceStates, ProvisionedReport, ResourceReport, digest, instance_states,
    instance_status, is_evaluated, resource_status,
};
pub use load::{is_overloaded, node_stats, score};
pub use moment::Moment;
pub use namesakes::Namesakes;
pub use node::{NodeChange, NodeCore, NodeTiming, has_nothing_to_lose};
pub use peers::{Decision, Forget, Peers, Sign};
pub use peers_frozen::Freezes;
pub use placement::{
    Discard, Filters, candidates, counts_as_up, discarded, is_leader, is_natural_leader, leaders,
    ranks,
};
pub use quorum::{Loss, has_vote, last_words};
pub use rate::Rate;
pub use requests::{
    NodeRequest, ObjectRequest, Reply, clear, set_node_monitor, set_service_monitor,
};
pub use retiring::{Retiring, RetiringHeartbeat};
pub use roll::Glance;
pub use rotation::{LINGER, Outlook, Rotation, RotationStage, RotationStep, RotationView};
pub use standing::{Answer, Opinions, Roster, Standing, taken_out};
pub use stop_order::stop_order;
pub use tasks::{TaskPlace, task_place};
pub use unopened::{
    MEMBERS_BEYOND, OPENING_COST, Pool, STRANGER_FRAME, STRANGER_ORIGIN, STRANGERS, Unopened,
    member_limit,
};
pub use world::{
    Conditions, Life, ObjectView, Seen, Sight, Unseen, World, is_compatible, live_nodes,
};
