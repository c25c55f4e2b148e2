//! Keywords of the section `node`, and of DEFAULT of node.conf and cluster.conf.

use crate::convert::Converter::{Boolean, Duration, Integer, List, Size};
use crate::keywords::keyword::{ENVIRONMENTS, Keyword, table};
use crate::keywords::reasons::NO_COLLECTOR;

const NO_UPDATE: &str = "this agent is updated by the packages of the system alone";

pub(super) const HEAD: &[Keyword] = table! {
    "id":
        "identity of the configuration, drawn when it is made";
    "comment".or("").describes():
        "note for who reads the configuration";
};

pub(super) const NODE: &[Keyword] = table! {
    "env".or("TST").one_of(ENVIRONMENTS):
        "environment of the node: one that is PRD takes services of PRD alone";
    "max_parallel".to(Integer):
        "how many actions the daemon runs at a time; unset, half of the processors and at least 2";
    "min_avail_mem".to(Size).or("2%"):
        "free memory below which the node is overloaded and gets no more instances, in bytes or percent";
    "min_avail_swap".to(Size).or("10%"):
        "free swap below which the node is overloaded and gets no more instances, in bytes or percent";
    "maintenance_grace_period".to(Duration).or("60"):
        "how long the peers keep the state of a node that announced its maintenance, in seconds";
    "rejoin_grace_period".to(Duration).or("90"):
        "how long a daemon waits for its peers after its start before it decides alone, in seconds";
    "ready_period".to(Duration).or("5"):
        "how long an instance announces its start, in seconds, before it starts";
    "split_action".or("crash").one_of(&["crash", "reboot", "stop"]):
        "what the node does that lost a split: crash, reboot, or stop its instances and freeze";
    "loglevel".or("info").one_of(&["error", "warn", "info", "debug", "trace"]):
        "least important lines that the daemon logs";
    "secure_fetch".to(Boolean).or("true"):
        "check the certificate of the OpenID provider";
    "allowed_networks".to(List).or("10.0.0.0/8 172.16.0.0/24 192.168.0.0/16").describes():
        "networks that the node may have addresses of";
    "loc_country".describes():
        "country where the node stands";
    "loc_city".describes():
        "city where the node stands";
    "loc_zip".describes():
        "postal code of where the node stands";
    "loc_addr".describes():
        "street where the node stands";
    "loc_building".describes():
        "building where the node stands";
    "loc_floor".describes():
        "floor where the node stands";
    "loc_room".describes():
        "room where the node stands";
    "loc_rack".describes():
        "rack where the node stands";
    "sec_zone".describes():
        "security zone of the node";
    "team_integ".describes():
        "team that sets the node up";
    "team_support".describes():
        "team that looks after the node";
    "asset_env".describes():
        "environment of the node in the inventory";
    "connect_to".describes():
        "address that the node is reached at";
    "model".describes():
        "model of the machine, instead of what it says itself";
    "manufacturer".describes():
        "manufacturer of the machine, instead of what it says itself";
    "serial".describes():
        "serial number of the machine, instead of what it says itself";
    "enclosure".describes():
        "enclosure that the machine is in, instead of what it says itself";
    "bios_version".describes():
        "version of the BIOS, instead of what it says itself";
    "sp_version".describes():
        "version of the service processor, instead of what it says itself";
    "cpu_freq".describes():
        "frequency of the processors, instead of what they say themselves";
    "cpu_cores".to(Integer).describes():
        "number of processor cores, instead of those that are found";
    "cpu_dies".to(Integer).describes():
        "number of processor dies, instead of those that are found";
    "cpu_threads".to(Integer).describes():
        "number of processor threads, instead of those that are found";
    "cpu_model".describes():
        "model of the processors, instead of what they say themselves";
    "mem_banks".to(Integer).describes():
        "number of memory banks that are in use, instead of those that are found";
    "mem_slots".to(Integer).describes():
        "number of memory slots, instead of those that are found";
    "mem_bytes".to(Size).describes():
        "size of the memory in bytes, instead of what is found";
    "os_vendor".describes():
        "vendor of the system, instead of what it says itself";
    "os_release".describes():
        "release of the system, instead of what it says itself";
    "os_kernel".describes():
        "version of the kernel, instead of what it says itself";
    "os_arch".describes():
        "architecture of the machine, instead of what it says itself";
    "tz".describes():
        "time zone of the node, instead of that of the system";
    "dbopensvc".partly("actions are fetched from it, and nothing is pushed to it"):
        "collector of the node, as a URL";
    "dbcompliance".unread(NO_COLLECTOR):
        "collector that compliance modules talk to, as a URL; unset, that of the node";
    "dbinsecure".to(Boolean):
        "ask the collector also where others may read along, over http:// beyond this machine";
    "dblog".to(Boolean).or("true").unread(NO_COLLECTOR):
        "send actions to the collector";
    "dblogcron".to(Boolean).or("true").unread(NO_COLLECTOR):
        "send actions by schedule to the collector too";
    "db_update_interval".to(Duration).or("300").unread(NO_COLLECTOR):
        "longest time between two messages to the collector while nothing changes, in seconds";
    "db_min_update_interval".to(Duration).or("10").unread(NO_COLLECTOR):
        "shortest time between two messages to the collector, in seconds";
    "db_min_ping_interval".to(Duration).or("60").unread(NO_COLLECTOR):
        "shortest time between two signs of life to the collector, in seconds";
    "uuid":
        "who the node is for the collector, as it told when the node was registered";
    "branch".unread(NO_UPDATE):
        "branch that updates of the agent are of";
    "pkg_format".or("auto").one_of(&["tar", "auto"]).unread(NO_UPDATE):
        "format of the packages that updates of the agent are of";
    "repo".unread(NO_UPDATE):
        "where updates of the agent and of compliance modules are fetched, as a URL";
    "repopkg".unread(NO_UPDATE):
        "where updates of the agent are fetched, as a URL";
    "repocomp".unread(NO_UPDATE):
        "where updates of compliance modules are fetched, as a URL";
    "ruser".or("root"):
        "user that syncs log in as on other nodes";
    "prkey".unread("this agent takes no SCSI reservations"):
        "key of the SCSI reservations of the node";
    "oci":
        "tool that containers of type oci are run by, docker or podman; unset, podman where it is installed";
    "comment".or("").describes():
        "note for who reads the configuration";
};
