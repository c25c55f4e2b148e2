//! Keywords of every resource, whatever its driver, and the caps of control groups.

use crate::convert::Converter::{Boolean, Duration, Integer, List, Set, Size, Tristate};
use crate::keywords::keyword::{Keyword, table};

/// Common to all resources.
pub(crate) const COMMON: &[Keyword] = table! {
    "type".leaf().at():
        "driver of the resource within its group";
    "disable".to(Boolean).leaf().at():
        "leave the resource out of actions, and show it as n/a";
    "optional".to(Tristate).at():
        "keep its state out of that of the instance, and let actions go on when it fails; unset, tasks and syncs are";
    "standby".to(Tristate).at():
        "keep the resource started on all nodes of the service, also where the instance is down";
    "always_on".to(List):
        "older form of standby: the nodes, or the words nodes and drpnodes, where the resource is kept started";
    "monitor".to(Boolean).at():
        "run DEFAULT.monitor_action when the resource is down and its restarts are used up";
    "restart".to(Integer).or("0").at():
        "how often a resource that went down is restarted before its monitor action, or before it is left down";
    "restart_delay".to(Duration).or("0").at():
        "time between two restarts of the resource, in seconds";
    // Not of deployed agents, which ignore it: they forget restarts as soon as the resource is up.
    "restart_reset".to(Duration).or("1m").at():
        "how long a resource has to stay up, in seconds, before the restarts that it used are forgotten";
    "shared".to(Boolean).at():
        "what the resource stands for is shared by the nodes: the leader alone provisions it";
    "provision".to(Boolean).or("true").at():
        "make what the resource stands for when the service is provisioned; with false it is only started";
    "unprovision".to(Boolean).or("true").at():
        "destroy what the resource stands for when the service is unprovisioned; with false it is kept";
    "encap".to(Boolean).at():
        "the resource belongs to a guest of the service: actions here leave it alone";
    "subset".leaf().at():
        "name of the resource set that the resource is handled with";
    "tags".to(Set).at():
        "words to select resources by with --tags; noaction leaves the resource alone, nostatus shows it as n/a";
    "pre_start".at():
        "command before the start of the resource, whose failure is a warning";
    "pre_stop".at():
        "command before the stop of the resource, whose failure is a warning";
    "pre_startstandby".at():
        "command before the standby start of the resource, whose failure is a warning";
    "pre_provision".at():
        "command before the resource is provisioned, whose failure is a warning";
    "pre_unprovision".at():
        "command before the resource is unprovisioned, whose failure is a warning";
    "post_start".at():
        "command after the start of the resource, whose failure is a warning";
    "post_stop".at():
        "command after the stop of the resource, whose failure is a warning";
    "post_startstandby".at():
        "command after the standby start of the resource, whose failure is a warning";
    "post_provision".at():
        "command after the resource is provisioned, whose failure is a warning";
    "post_unprovision".at():
        "command after the resource is unprovisioned, whose failure is a warning";
    "blocking_pre_start".at():
        "command before the start of the resource, whose failure ends the action";
    "blocking_pre_stop".at():
        "command before the stop of the resource, whose failure ends the action";
    "blocking_pre_startstandby".at():
        "command before the standby start of the resource, whose failure ends the action";
    "blocking_pre_provision".at():
        "command before the resource is provisioned, whose failure ends the action";
    "blocking_pre_unprovision".at():
        "command before the resource is unprovisioned, whose failure ends the action";
    "blocking_post_start".at():
        "command after the start of the resource, whose failure ends the action";
    "blocking_post_stop".at():
        "command after the stop of the resource, whose failure ends the action";
    "blocking_post_startstandby".at():
        "command after the standby start of the resource, whose failure ends the action";
    "blocking_post_provision".at():
        "command after the resource is provisioned, whose failure ends the action";
    "blocking_post_unprovision".at():
        "command after the resource is unprovisioned, whose failure ends the action";
    "start_requires".or("").at():
        "resources that have to be up for a start, as rid or rid(state,..)";
    "stop_requires".or("").at():
        "resources that have to be up for a stop, or in a state that rid(state,..) names";
    "provision_requires".or("").at():
        "resources that have to be up before this one is provisioned, as rid or rid(state,..)";
    "unprovision_requires".or("").at():
        "resources that have to be up before this one is unprovisioned, or in a state that rid(state,..) names";
    "comment".or("").describes():
        "note for who reads the configuration";
};

/// Caps of a cgroup: resources and subsets.
pub(crate) const GROUP_CAPS: &[Keyword] = table! {
    "pg_cpus".leaf().at():
        "processors that the control group may use, as 0-2,4";
    "pg_mems".leaf().at():
        "memory nodes that the control group may use, as 0-1";
    "pg_cpu_shares".to(Integer).leaf().at():
        "share of processor time against other control groups, 1024 being the usual";
    "pg_cpu_quota".leaf().at():
        "most processor time of the control group, as 50%@all, or 20%@2 of two processors";
    "pg_mem_limit".to(Size).leaf().at():
        "most memory of the control group, in bytes";
    "pg_vmem_limit".to(Size).leaf().at():
        "most memory and swap of the control group together, in bytes";
    "pg_mem_oom_control".to(Integer).leaf().at():
        "whether processes of the control group are killed when its memory is used up: 0, or wait: 1";
    "pg_mem_swappiness".to(Integer).leaf().at():
        "how readily memory of the control group is swapped out, 0 to 100";
    "pg_blkio_weight".to(Integer).leaf().at():
        "share of disk time against other control groups, 10 to 1000";
};
