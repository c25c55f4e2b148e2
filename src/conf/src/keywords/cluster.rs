//! Keywords of node.conf and cluster.conf.

use super::{ENVIRONMENTS, Keyword, Lookup, kw};
use crate::Converter::{Boolean, Duration, Integer, List, Size, Words};

/// Sections with their keywords. An empty name: any keyword, as the field has drivers without a table here.
fn tables(section: &str, driver: Option<&str>) -> Option<&'static [&'static [Keyword]]> {
    let group = section.split_once('#').map_or(section, |(group, _)| group);
    Some(match group {
        "node" => &[NODE],
        "listener" => &[LISTENER],
        "cluster" => &[CLUSTER],
        "hb" => match driver {
            Some("multicast") => &[HB, HB_MULTICAST],
            Some("disk") => &[HB, HB_DISK],
            Some("relay") => &[HB, HB_RELAY],
            _ => &[HB, HB_UNICAST],
        },
        "arbitrator" => &[ARBITRATOR],
        "stonith" => &[STONITH],
        "hook" => &[HOOK],
        "syslog" => &[SYSLOG],
        "reboot" => &[SCHEDULE, REBOOT],
        "compliance" => &[SCHEDULE, COMPLIANCE],
        "stats" => &[SCHEDULE, STATS],
        "dequeue_actions" | "sysreport" | "checks" | "packages" | "patches" | "asset" | "disks"
        | "rotate_root_pw" | "stats_collection" => &[SCHEDULE],
        "cni" => &[CNI],
        "pool" => &[POOL, POOL_ELSEWHERE],
        "DEFAULT" => &[HEAD],
        _ => return None,
    })
}

/// Whether the section means something: to this agent, or to the others of the field.
pub(super) fn knows_section(section: &str) -> bool {
    let group = section.split_once('#').map_or(section, |(group, _)| group);
    tables(section, None).is_some() || FREE.contains(&group)
}

/// Groups whose sections have an index.
pub(super) fn indexed() -> &'static [&'static str] {
    &["hb", "arbitrator", "stonith", "hook", "pool", "network", "switch", "array", "backup"]
}

/// Sections that stand alone.
pub(super) fn plain() -> impl Iterator<Item = &'static str> {
    ["node", "cluster", "listener", "syslog", "reboot", "compliance", "stats", "cni", "DEFAULT"]
        .into_iter()
}

/// Sections of the field that nothing here reads: any keyword.
const FREE: [&str; 4] = ["network", "switch", "array", "backup"];

pub(super) fn find(section: &str, driver: Option<&str>, keyword: &str) -> Lookup {
    let group = section.split_once('#').map_or(section, |(group, _)| group);
    if FREE.contains(&group) {
        return Lookup::Free;
    }
    let found = all(section, driver).into_iter().find(|kw| kw.name == keyword);
    found.map_or(Lookup::Unknown, Lookup::Known)
}

pub(super) fn all(section: &str, driver: Option<&str>) -> Vec<&'static Keyword> {
    let tables = tables(section, driver).unwrap_or(&[]);
    tables.iter().flat_map(|table| table.iter()).collect()
}

const NO_COLLECTOR: &str = "this agent pushes nothing to the collector";
const NO_UPDATE: &str = "this agent is updated by the packages of the system alone";
const NO_FETCH: &str = "this agent fetches nothing by URL";
const NO_TLS: &str = "this agent has no TLS listener";
const NO_DNS: &str = "this agent does not answer for the DNS";
const NO_RESERVATION: &str = "this agent takes no SCSI reservations";

/// What is not done about sections that nobody here reads.
const UNREAD: [(&str, &str); 20] = [
    ("stonith", "this agent runs no command that fences a node"),
    ("hook", "this agent runs no hooks"),
    ("syslog", "this agent writes its own log files and to the journal, and not to syslog"),
    ("reboot", "this agent does not reboot the node by a schedule"),
    ("compliance", "this agent runs no compliance modules"),
    ("stats", NO_COLLECTOR),
    ("stats_collection", NO_COLLECTOR),
    ("dequeue_actions", NO_COLLECTOR),
    ("sysreport", NO_COLLECTOR),
    ("checks", NO_COLLECTOR),
    ("packages", NO_COLLECTOR),
    ("patches", NO_COLLECTOR),
    ("asset", NO_COLLECTOR),
    ("disks", NO_COLLECTOR),
    ("rotate_root_pw", "this agent does not change the password of root"),
    ("cni", "this agent sets no networks up"),
    ("network", "this agent sets no networks up"),
    ("switch", NO_COLLECTOR),
    ("array", NO_COLLECTOR),
    ("backup", NO_COLLECTOR),
];

/// What is not done about a section.
pub(super) fn unread(section: &str) -> Option<&'static str> {
    let group = section.split_once('#').map_or(section, |(group, _)| group);
    UNREAD.iter().find(|(unread, _)| *unread == group).map(|(_, reason)| *reason)
}

const HEAD: &[Keyword] = &[kw("id"), kw("comment").or("").describes()];

const NODE: &[Keyword] = &[
    kw("env").or("TST").one_of(ENVIRONMENTS),
    kw("max_parallel").to(Integer),
    kw("min_avail_mem").to(Size).or("2%"),
    kw("min_avail_swap").to(Size).or("10%"),
    kw("maintenance_grace_period").to(Duration).or("60"),
    kw("rejoin_grace_period").to(Duration).or("90"),
    kw("ready_period").to(Duration).or("5"),
    kw("split_action").or("crash").one_of(&["crash", "reboot", "stop"]),
    kw("loglevel").or("info").one_of(&["error", "warn", "info", "debug", "trace"]),
    kw("secure_fetch").to(Boolean).or("true").unread(NO_FETCH),
    kw("allowed_networks").to(List).or("10.0.0.0/8 172.16.0.0/24 192.168.0.0/16").describes(),
    kw("loc_country").describes(),
    kw("loc_city").describes(),
    kw("loc_zip").describes(),
    kw("loc_addr").describes(),
    kw("loc_building").describes(),
    kw("loc_floor").describes(),
    kw("loc_room").describes(),
    kw("loc_rack").describes(),
    kw("sec_zone").describes(),
    kw("team_integ").describes(),
    kw("team_support").describes(),
    kw("asset_env").describes(),
    kw("connect_to").describes(),
    kw("model").describes(),
    kw("manufacturer").describes(),
    kw("serial").describes(),
    kw("enclosure").describes(),
    kw("bios_version").describes(),
    kw("sp_version").describes(),
    kw("cpu_freq").describes(),
    kw("cpu_cores").to(Integer).describes(),
    kw("cpu_dies").to(Integer).describes(),
    kw("cpu_threads").to(Integer).describes(),
    kw("cpu_model").describes(),
    kw("mem_banks").to(Integer).describes(),
    kw("mem_slots").to(Integer).describes(),
    kw("mem_bytes").to(Size).describes(),
    kw("os_vendor").describes(),
    kw("os_release").describes(),
    kw("os_kernel").describes(),
    kw("os_arch").describes(),
    kw("tz").describes(),
    kw("dbopensvc").partly("actions are fetched from it, and nothing is pushed to it"),
    kw("dbcompliance").unread(NO_COLLECTOR),
    kw("dbinsecure").to(Boolean),
    kw("dblog").to(Boolean).or("true").unread(NO_COLLECTOR),
    kw("dblogcron").to(Boolean).or("true").unread(NO_COLLECTOR),
    kw("db_update_interval").to(Duration).or("300").unread(NO_COLLECTOR),
    kw("db_min_update_interval").to(Duration).or("10").unread(NO_COLLECTOR),
    kw("db_min_ping_interval").to(Duration).or("60").unread(NO_COLLECTOR),
    kw("uuid"),
    kw("branch").unread(NO_UPDATE),
    kw("pkg_format").or("auto").one_of(&["tar", "auto"]).unread(NO_UPDATE),
    kw("repo").unread(NO_UPDATE),
    kw("repopkg").unread(NO_UPDATE),
    kw("repocomp").unread(NO_UPDATE),
    kw("ruser").or("root"),
    kw("prkey").unread(NO_RESERVATION),
    kw("oci"),
    kw("comment").or("").describes(),
];

const LISTENER: &[Keyword] = &[
    kw("addr").or("").at(),
    kw("port").to(Integer).or("1214").at(),
    kw("tls_addr").or("").unread(NO_TLS),
    kw("tls_port").to(Integer).or("1215").unread(NO_TLS),
    kw("crl").or("{var}/certs/ca_crl").unread(NO_TLS),
    kw("ui").to(Boolean).or("true").unread(NO_TLS),
    kw("dns_sock_uid").or("953").unread(NO_DNS),
    kw("dns_sock_gid").or("953").unread(NO_DNS),
    kw("openid_well_known").unread(NO_TLS),
    kw("max_frame").to(Size).or("64m"),
    kw("max_message").to(Size).or("256m"),
    kw("replay_window").to(Duration).or("30"),
    kw("idle_timeout").to(Duration).or("60"),
    kw("max_connections").to(Integer).or("16384"),
    kw("max_connections_per_address").to(Integer).or("1024"),
    kw("comment").or("").describes(),
];

const CLUSTER: &[Keyword] = &[
    kw("name").or("default").at(),
    kw("id").at(),
    kw("secret").at(),
    kw("secret_generation").to(Integer).or("1"),
    kw("secret_next"),
    kw("secret_previous"),
    kw("nodes").to(List),
    kw("drpnodes").to(List),
    kw("dns").to(List).at(),
    kw("quorum").to(Boolean),
    kw("vip").at().unread("this agent does not hold the address of the cluster"),
    kw("ca").to(List).unread(NO_TLS),
    kw("cert").unread(NO_TLS),
    kw("default_mon_format")
        .one_of(&["compact", "matrix"])
        .at()
        .unread("`om mon` has one form here"),
    kw("envelope").or("sealed").one_of(&["sealed", "any", "classic"]),
    kw("profile").one_of(&["", "fast"]),
    kw("comment").or("").describes(),
];

const HB: &[Keyword] = &[
    kw("type").required().one_of(&["unicast", "multicast", "disk", "relay"]),
    kw("nodes").to(List).at(),
    kw("interval").to(Duration).or("5").at(),
    kw("timeout").to(Duration).or("15").at(),
    kw("comment").or("").describes(),
];

const HB_UNICAST: &[Keyword] =
    &[kw("addr").at(), kw("intf").at(), kw("port").to(Integer).or("10000").at()];

const HB_MULTICAST: &[Keyword] =
    &[kw("addr").or("224.3.29.71").at(), kw("intf").at(), kw("port").to(Integer).or("10000").at()];

const HB_DISK: &[Keyword] = &[kw("dev").required().at()];

const HB_RELAY: &[Keyword] = &[
    kw("relay").required(),
    kw("secret").required(),
    // Unset, cluster.envelope.
    kw("envelope").one_of(&["sealed", "any", "classic"]),
];

const ARBITRATOR: &[Keyword] = &[
    kw("name").required(),
    kw("secret").required(),
    kw("timeout").to(Duration).or("5").at(),
    // Unset, cluster.envelope.
    kw("envelope").one_of(&["sealed", "any", "classic"]),
    kw("comment").or("").describes(),
];

const STONITH: &[Keyword] =
    &[kw("cmd").to(Words).required().at(), kw("comment").or("").describes()];

const HOOK: &[Keyword] =
    &[kw("events").to(List), kw("command").to(Words), kw("comment").or("").describes()];

const SYSLOG: &[Keyword] = &[
    kw("facility").or("daemon"),
    kw("level").or("info").one_of(&["critical", "error", "warning", "info", "debug"]),
    kw("host"),
    kw("port").to(Integer).or("514"),
    kw("comment").or("").describes(),
];

const SCHEDULE: &[Keyword] = &[kw("schedule"), kw("comment").or("").describes()];

const REBOOT: &[Keyword] = &[kw("once").to(Boolean).or("true"), kw("pre"), kw("blocking_pre")];

const COMPLIANCE: &[Keyword] = &[kw("auto_update").to(Boolean)];

const STATS: &[Keyword] = &[kw("disable").to(List)];

/// Types of pools, those of which this agent makes volumes first.
pub(crate) const POOL_TYPES: &[&str] = &[
    "directory",
    "loop",
    "shm",
    "vg",
    "zpool",
    "drbd",
    "share",
    "virtual",
    "freenas",
    "symmetrix",
    "dorado",
    "hcs",
    "pure",
];

const POOL: &[Keyword] = &[
    kw("type").or("directory").one_of(POOL_TYPES),
    kw("path"),
    kw("name"),
    kw("fs_type").or("xfs"),
    kw("mkfs_opt"),
    kw("mnt_opt").at(),
    kw("status_schedule"),
    kw("comment").or("").describes(),
];

/// What only the pools of other agents have.
const NO_POOL: &str = "this agent makes no volumes of such a pool";

const POOL_ELSEWHERE: &[Keyword] = &[
    kw("mkblk_opt").unread(NO_POOL),
    kw("vg").unread(NO_POOL),
    kw("zpool").unread(NO_POOL),
    kw("addr").at().unread(NO_POOL),
    kw("network").unread(NO_POOL),
    kw("max_peers").to(Integer).or("0").unread(NO_POOL),
    kw("template").unread(NO_POOL),
    kw("volume_env").to(List).unread(NO_POOL),
    kw("optional_volume_env").to(List).unread(NO_POOL),
    kw("capabilities").to(List).unread(NO_POOL),
    kw("array").unread(NO_POOL),
    kw("diskgroup").unread(NO_POOL),
    kw("pool").unread(NO_POOL),
    kw("pod").unread(NO_POOL),
    kw("volumegroup").unread(NO_POOL),
    kw("domain").unread(NO_POOL),
    kw("srp").unread(NO_POOL),
    kw("slo").unread(NO_POOL),
    kw("srdf").unread(NO_POOL),
    kw("rdfg").unread(NO_POOL),
    kw("label_prefix").unread(NO_POOL),
    kw("delete_now").unread(NO_POOL),
    kw("compression").unread(NO_POOL),
    kw("dedup").unread(NO_POOL),
    kw("sparse").unread(NO_POOL),
    kw("blocksize").unread(NO_POOL),
    kw("insecure_tpc").unread(NO_POOL),
    kw("hypermetrodomain").unread(NO_POOL),
    kw("volume_id_range_from").unread(NO_POOL),
    kw("volume_id_range_to").unread(NO_POOL),
    kw("vsm_id").unread(NO_POOL),
];

const CNI: &[Keyword] = &[kw("plugins").or("/opt/cni/bin"), kw("config").or("/opt/cni/net.d")];
