//! Keywords of DEFAULT of services and volumes, and of their subsets.

use crate::convert::Converter::{
    Boolean, Duration, DurationMinutes, Integer, List, ListLower, Lower, Nodes, Set, Speed, Words,
};
use crate::keywords::keyword::{ENVIRONMENTS, Keyword, table};
use crate::keywords::reasons::{NO_COLLECTOR, NO_RESERVATION, NO_SNAPSHOT};

const NO_AWS: &str = "this agent has no drivers of that cloud";
const NO_CPU: &str = "this agent does not size a service by the load of its processors";
const NO_DAEMON: &str = "this agent uses the container daemon of the node";

pub(super) const HEAD: &[Keyword] = table! {
    "id".head():
        "identity of the object, drawn when it is made";
    "nodes".to(Nodes).or_local_node().head().at():
        "nodes that the service has instances on, by names or a node selector; their order is that of placement";
    "drpnodes".to(ListLower).head().at():
        "nodes of another site that take over by hand in a disaster, and get copies";
    "drpnode".to(Lower).or("").head().at():
        "first of the drpnodes";
    "encapnodes".to(ListLower).head().at():
        "guests of the service that run an agent of their own";
    "flex_primary".to(Lower).head().at():
        "node of a flex service that syncs its data to the others; unset, the first of nodes";
    "drp_flex_primary".to(Lower).head().at():
        "drpnode of a flex service that syncs its data to the other drpnodes; unset, the first of drpnodes";
    "topology".or("failover").one_of(&["failover", "flex"]).head().at():
        "whether one instance is up at a time (failover), or as many as flex_target says (flex)";
    "orchestrate".or("no").one_of(&["ha", "start", "no"]).head().at():
        "what the daemon does by itself: start and take over (ha), start on the natural leader alone, or nothing";
    "placement".or("nodes order")
        .one_of(&["none", "nodes order", "load avg", "shift", "spread", "score"]).head():
        "policy that ranks the nodes for the instances";
    "constraints".head().at():
        "expression that has to be true on a node for the service to be placed there";
    "flex_min".to(Integer).or("1").head():
        "fewest instances that are up while a flex service is up";
    "flex_max".to(Integer).head():
        "most instances of a flex service that may be up; unset, as many as it has nodes";
    "flex_target".to(Integer).head():
        "how many instances of a flex service are kept up; unset, flex_min";
    "flex_cpu_low_threshold".to(Integer).or("0").head().unread(NO_CPU):
        "load of the processors, in percent, below which a flex service has too many instances";
    "flex_cpu_high_threshold".to(Integer).or("100").head().unread(NO_CPU):
        "load of the processors, in percent, above which a flex service has too few instances";
    "hard_affinity".to(Set).head().at():
        "objects that have to be up on a node for the service to be placed there";
    "hard_anti_affinity".to(Set).head().at():
        "objects that must not be up on a node for the service to be placed there";
    "soft_affinity".to(Set).head().at():
        "objects whose nodes are preferred for the service";
    "soft_anti_affinity".to(Set).head().at():
        "objects whose nodes are avoided for the service where others can have it";
    "parents".to(ListLower).head().at():
        "objects that are up before the service starts, as path or path@node";
    "children".to(ListLower).head().at():
        "objects that are down before the service stops";
    "slaves".to(List).head().at():
        "objects that are started and stopped together with the service";
    "scale".to(Integer).head().at():
        "how many instances a scaler spreads over its slices, services that the daemon makes of it";
    "scaler_slave".to(Boolean).head().at():
        "the service is a slice of a scaler, which the daemon notes by itself";
    "priority".to(Integer).or("100").from(i64::MIN):
        "order in which the daemon looks after the services, the lowest first";
    "env".one_of(ENVIRONMENTS).head():
        "environment of the service; one that is not PRD refuses actions on a PRD node; unset, that of the node";
    "app".or("default"):
        "application that the service belongs to, for who groups or bills by it";
    "rollback".to(Boolean).or("true").at():
        "stop what a start brought up when the start fails";
    "lock_timeout".to(Duration).or("60"):
        "how long an action waits for another one on the instance to end, in seconds";
    "monitor_action".one_of(&["reboot", "crash", "freezestop", "switch"]).at():
        "what the daemon does when a monitored resource is down and its restarts are used up";
    "pre_monitor_action".at():
        "command before the monitor action";
    "stonith".to(Boolean).head()
        .partly("this agent runs no command of stonith#: a lost node is not fenced"):
        "have the node that was lost with the instance fenced before the service is started elsewhere";
    "disable".to(Boolean).leaf().at():
        "leave the whole object out of actions and orchestration";
    "show_disabled".to(Boolean).or("true").head().at().unread("`om` shows what is disabled"):
        "show disabled resources with the status";
    "stat_timeout".to(Duration).or("5").at():
        "how long file systems may take to answer, in seconds, before they are warn";
    "status_schedule".or("@10").at():
        "when the state of all resources is evaluated by schedule";
    "monitor_schedule".at():
        "when the state of monitored resources is evaluated; unset, each minute where there are some";
    "sync_schedule".or("04:00-06:00@121").at():
        "when the sync resources copy that have no schedule of their own";
    "run_schedule".at():
        "when the tasks run that have no schedule of their own";
    "resinfo_schedule".or("@60").at().unread(NO_COLLECTOR):
        "when facts of the resources are sent to the collector";
    "comp_schedule".or("~00:00-06:00").at().unread("this agent runs no compliance modules"):
        "when the compliance modules of the service run";
    "push_schedule".or("~00:00-06:00").at().unread(NO_COLLECTOR):
        "when the configuration is sent to the collector";
    "sync_max_delay".to(DurationMinutes).or("1d3h"):
        "age of the last copy after which a sync is late, and warn; a bare number is minutes";
    "sync_interval".to(Duration).or("121").unread("the schedule of a sync has its interval"):
        "shortest time between two copies, in seconds";
    "bwlimit".to(Speed):
        "most bandwidth of a copy of the syncs that have none of their own, in KB per second";
    "create_pg".to(Boolean).or("true"):
        "run what the resources launch in control groups of the service";
    "presnap_trigger".to(Words).unread(NO_SNAPSHOT):
        "command before the snapshots of a sync are made";
    "postsnap_trigger".to(Words).unread(NO_SNAPSHOT):
        "command after the snapshots of a sync are made";
    "scsireserv".to(Boolean).at().unread(NO_RESERVATION):
        "hold SCSI reservations on the disks of the service while it is up";
    "no_preempt_abort".to(Boolean).at().unread(NO_RESERVATION):
        "take SCSI reservations of another node without aborting its commands";
    "prkey".at().unread(NO_RESERVATION):
        "key of the SCSI reservations of the service; unset, that of the node";
    "container_data_dir".at().unread(NO_DAEMON):
        "folder of images and containers for a container daemon of the service";
    "docker_exe".at():
        "docker program that the containers of the service are run by";
    "dockerd_exe".at().unread(NO_DAEMON):
        "program of a container daemon of the service";
    "docker_daemon_args".to(Words).at().unread(NO_DAEMON):
        "options for a container daemon of the service";
    "docker_daemon_private".to(Boolean).at().unread(NO_DAEMON):
        "run a container daemon for the service alone";
    "registry_creds".at():
        "sec object with the credentials of the registry, for containers that name none";
    "aws".at().unread(NO_AWS):
        "aws program that the resources of that cloud are run by";
    "aws_profile".at().unread(NO_AWS):
        "profile that the aws program uses";
    "access".or("rwo").one_of(&["rwo", "roo", "rwx", "rox"]).head().at():
        "who uses the volume: one node (o) or several at a time (x), to write (rw) or to read (ro)";
    "pool".head().at():
        "pool that the volume was made of";
    "size".to(Integer).head().at():
        "size of the volume, in bytes";
    "mode".or("hosted").describes():
        "older word for the kind of service";
    "comment".or("").describes():
        "note for who reads the configuration";
};

pub(super) const SUBSET: &[Keyword] = table! {
    "parallel".to(Boolean).at():
        "act on the resources of the set at once instead of one after the other";
    "comment".or("").describes():
        "note for who reads the configuration";
};
