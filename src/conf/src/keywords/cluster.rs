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
        "DEFAULT" => &[HEAD],
        _ => return None,
    })
}

/// Whether the section means something: to this agent, or to the others of the field.
pub(super) fn knows_section(section: &str) -> bool {
    let group = section.split_once('#').map_or(section, |(group, _)| group);
    tables(section, None).is_some() || FREE.contains(&group)
}

/// Sections of the field that nothing here reads: any keyword.
const FREE: [&str; 5] = ["pool", "network", "switch", "array", "backup"];

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

const HEAD: &[Keyword] = &[kw("id"), kw("comment").or("")];

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
    kw("secure_fetch").to(Boolean).or("true"),
    kw("allowed_networks").to(List).or("10.0.0.0/8 172.16.0.0/24 192.168.0.0/16"),
    kw("loc_country"),
    kw("loc_city"),
    kw("loc_zip"),
    kw("loc_addr"),
    kw("loc_building"),
    kw("loc_floor"),
    kw("loc_room"),
    kw("loc_rack"),
    kw("sec_zone"),
    kw("team_integ"),
    kw("team_support"),
    kw("asset_env"),
    kw("connect_to"),
    kw("model"),
    kw("manufacturer"),
    kw("serial"),
    kw("enclosure"),
    kw("bios_version"),
    kw("sp_version"),
    kw("cpu_freq"),
    kw("cpu_cores").to(Integer),
    kw("cpu_dies").to(Integer),
    kw("cpu_threads").to(Integer),
    kw("cpu_model"),
    kw("mem_banks").to(Integer),
    kw("mem_slots").to(Integer),
    kw("mem_bytes").to(Size),
    kw("os_vendor"),
    kw("os_release"),
    kw("os_kernel"),
    kw("os_arch"),
    kw("tz"),
    kw("dbopensvc"),
    kw("dbcompliance"),
    kw("dbinsecure").to(Boolean),
    kw("dblog").to(Boolean).or("true"),
    kw("dblogcron").to(Boolean).or("true"),
    kw("db_update_interval").to(Duration).or("300"),
    kw("db_min_update_interval").to(Duration).or("10"),
    kw("db_min_ping_interval").to(Duration).or("60"),
    kw("uuid"),
    kw("branch"),
    kw("pkg_format").or("auto").one_of(&["tar", "auto"]),
    kw("repo"),
    kw("repopkg"),
    kw("repocomp"),
    kw("ruser").or("root"),
    kw("prkey"),
    kw("oci"),
    kw("comment").or(""),
];

const LISTENER: &[Keyword] = &[
    kw("addr").or("").at(),
    kw("port").to(Integer).or("1214").at(),
    kw("tls_addr").or(""),
    kw("tls_port").to(Integer).or("1215"),
    kw("crl").or("{var}/certs/ca_crl"),
    kw("ui").to(Boolean).or("true"),
    kw("dns_sock_uid").or("953"),
    kw("dns_sock_gid").or("953"),
    kw("openid_well_known"),
    kw("max_frame").to(Size).or("64m"),
    kw("max_message").to(Size).or("256m"),
    kw("replay_window").to(Duration).or("30"),
    kw("idle_timeout").to(Duration).or("60"),
    kw("max_connections").to(Integer).or("16384"),
    kw("max_connections_per_address").to(Integer).or("1024"),
    kw("comment").or(""),
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
    kw("vip").at(),
    kw("ca").to(List),
    kw("cert"),
    kw("default_mon_format").one_of(&["compact", "matrix"]).at(),
    kw("envelope").or("sealed").one_of(&["sealed", "any", "classic"]),
    kw("profile").one_of(&["", "fast"]),
    kw("comment").or(""),
];

const HB: &[Keyword] = &[
    kw("type").required().one_of(&["unicast", "multicast", "disk", "relay"]),
    kw("nodes").to(List).at(),
    kw("interval").to(Duration).or("5").at(),
    kw("timeout").to(Duration).or("15").at(),
    kw("comment").or(""),
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
    kw("comment").or(""),
];

const STONITH: &[Keyword] = &[kw("cmd").to(Words).required().at(), kw("comment").or("")];

const HOOK: &[Keyword] = &[kw("events").to(List), kw("command").to(Words), kw("comment").or("")];

const SYSLOG: &[Keyword] = &[
    kw("facility").or("daemon"),
    kw("level").or("info").one_of(&["critical", "error", "warning", "info", "debug"]),
    kw("host"),
    kw("port").to(Integer).or("514"),
    kw("comment").or(""),
];

const SCHEDULE: &[Keyword] = &[kw("schedule"), kw("comment").or("")];

const REBOOT: &[Keyword] = &[kw("once").to(Boolean).or("true"), kw("pre"), kw("blocking_pre")];

const COMPLIANCE: &[Keyword] = &[kw("auto_update").to(Boolean)];

const STATS: &[Keyword] = &[kw("disable").to(List)];

const CNI: &[Keyword] = &[kw("plugins").or("/opt/cni/bin"), kw("config").or("/opt/cni/net.d")];
