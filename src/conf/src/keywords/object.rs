//! Keywords of DEFAULT and of the sections of objects.

use model::Kind;

use super::drivers::{self, COMMON, GROUP_CAPS, NO_RESERVATION, SYNC};
use super::{Default, ENVIRONMENTS, Keyword, Lookup, group_of, kw};
use crate::Converter::{
    Boolean, Duration, DurationDays, DurationMinutes, Integer, List, ListLower, Lower, Nodes, Set,
    Size, Speed, Words,
};

/// Looks a keyword of a service or volume up.
pub(super) fn find(section: &str, driver: Option<&str>, keyword: &str) -> Lookup {
    let (group, implied) = group_of(section);
    if section == "DEFAULT" {
        let is_common = |kw: &&Keyword| kw.inheritance != super::Inheritance::Leaf;
        return in_tables(&[HEAD], keyword)
            .or_else(|| in_tables(&[COMMON, GROUP_CAPS], keyword).filter(is_common))
            .map_or(Lookup::Unknown, Lookup::Known);
    }
    if group == "subset" {
        return in_tables(&[SUBSET, GROUP_CAPS], keyword).map_or(Lookup::Unknown, Lookup::Known);
    }
    if drivers::default_type(group).is_none() {
        return Lookup::Unknown;
    }
    let driver = driver.or(implied).unwrap_or_default();
    let tables = drivers::tables(group, driver);
    let of_driver = tables.and_then(|tables| in_tables(tables, keyword));
    let of_group = || if group == "sync" { in_tables(&[SYNC], keyword) } else { None };
    match of_driver.or_else(of_group).or_else(|| in_tables(&[COMMON, GROUP_CAPS], keyword)) {
        Some(found) => Lookup::Known(found),
        None if tables.is_none() && drivers::knows(group, driver) => Lookup::Free,
        None => Lookup::Unknown,
    }
}

/// All keywords of a section of a service or volume.
pub(super) fn all(section: &str, driver: Option<&str>) -> Vec<&'static Keyword> {
    let (group, implied) = group_of(section);
    match section {
        "DEFAULT" => HEAD.iter().collect(),
        _ if group == "subset" => SUBSET.iter().chain(GROUP_CAPS).collect(),
        _ => {
            let tables = drivers::tables(group, driver.or(implied).unwrap_or_default());
            let tables = tables.unwrap_or(&[]).iter().flat_map(|table| table.iter());
            let mut all: Vec<&Keyword> = tables.collect();
            all.extend(COMMON.iter().chain(GROUP_CAPS));
            all
        }
    }
}

/// Looks a keyword of another kind of object up.
pub(super) fn find_other(kind: Kind, section: &str, keyword: &str) -> Lookup {
    let found = all_other(kind, section).into_iter().find(|kw| kw.name == keyword);
    found.map_or(Lookup::Unknown, Lookup::Known)
}

/// All keywords of a section of another kind of object.
pub(super) fn all_other(kind: Kind, section: &str) -> Vec<&'static Keyword> {
    if section != "DEFAULT" {
        return vec![];
    }
    let more: &[&[Keyword]] = match kind {
        Kind::Sec => &[CERTIFICATE],
        Kind::Usr => &[CERTIFICATE, USER],
        Kind::Nscfg => &[NAMESPACE, NAMESPACE_CAPS],
        Kind::Cfg | Kind::Ccfg | Kind::Svc | Kind::Vol => &[],
    };
    DATA.iter().chain(more.iter().flat_map(|table| table.iter())).collect()
}

fn in_tables(tables: &[&'static [Keyword]], keyword: &str) -> Option<&'static Keyword> {
    tables.iter().flat_map(|table| table.iter()).find(|kw| kw.name == keyword)
}

const NODES: Keyword = Keyword { default: Default::LocalNode, ..kw("nodes").to(Nodes).head().at() };

const NO_AWS: &str = "this agent has no drivers of that cloud";
const NO_CERTIFICATE: &str = "this agent makes no certificates";
const NO_COLLECTOR: &str = "this agent pushes nothing to the collector";
const NO_CPU: &str = "this agent does not size a service by the load of its processors";
const NO_DAEMON: &str = "this agent uses the container daemon of the node";
const NO_SNAPSHOT: &str = "this agent makes no snapshots";

const HEAD: &[Keyword] = &[
    kw("id").head(),
    NODES,
    kw("drpnodes").to(ListLower).head().at(),
    kw("drpnode").to(Lower).or("").head().at(),
    kw("encapnodes").to(ListLower).head().at(),
    kw("flex_primary").to(Lower).head().at(),
    kw("drp_flex_primary").to(Lower).head().at(),
    kw("topology").or("failover").one_of(&["failover", "flex"]).head().at(),
    kw("orchestrate").or("no").one_of(&["ha", "start", "no"]).head().at(),
    kw("placement")
        .or("nodes order")
        .one_of(&["none", "nodes order", "load avg", "shift", "spread", "score"])
        .head(),
    kw("constraints").head().at(),
    kw("flex_min").to(Integer).or("1").head(),
    kw("flex_max").to(Integer).head(),
    kw("flex_target").to(Integer).head(),
    kw("flex_cpu_low_threshold").to(Integer).or("0").head().unread(NO_CPU),
    kw("flex_cpu_high_threshold").to(Integer).or("100").head().unread(NO_CPU),
    kw("hard_affinity").to(Set).head().at(),
    kw("hard_anti_affinity").to(Set).head().at(),
    kw("soft_affinity").to(Set).head().at(),
    kw("soft_anti_affinity").to(Set).head().at(),
    kw("parents").to(ListLower).head().at(),
    kw("children").to(ListLower).head().at(),
    kw("slaves").to(List).head().at(),
    kw("scale").to(Integer).head().at(),
    kw("scaler_slave").to(Boolean).head().at(),
    kw("priority").to(Integer).or("100").from(i64::MIN),
    kw("env").one_of(ENVIRONMENTS).head(),
    kw("app").or("default"),
    kw("rollback").to(Boolean).or("true").at(),
    kw("lock_timeout").to(Duration).or("60"),
    kw("monitor_action").one_of(&["reboot", "crash", "freezestop", "switch"]).at(),
    kw("pre_monitor_action").at(),
    kw("stonith")
        .to(Boolean)
        .head()
        .partly("this agent runs no command of stonith#: a lost node is not fenced"),
    kw("disable").to(Boolean).leaf().at(),
    kw("show_disabled").to(Boolean).or("true").head().at().unread("`om` shows what is disabled"),
    kw("stat_timeout").to(Duration).or("5").at(),
    kw("status_schedule").or("@10").at(),
    kw("monitor_schedule").at(),
    kw("sync_schedule").or("04:00-06:00@121").at(),
    kw("run_schedule").at(),
    kw("resinfo_schedule").or("@60").at().unread(NO_COLLECTOR),
    kw("comp_schedule").or("~00:00-06:00").at().unread("this agent runs no compliance modules"),
    kw("push_schedule").or("~00:00-06:00").at().unread(NO_COLLECTOR),
    kw("sync_max_delay").to(DurationMinutes).or("1d3h"),
    kw("sync_interval").to(Duration).or("121").unread("the schedule of a sync has its interval"),
    kw("bwlimit").to(Speed),
    kw("create_pg").to(Boolean).or("true"),
    kw("presnap_trigger").to(Words).unread(NO_SNAPSHOT),
    kw("postsnap_trigger").to(Words).unread(NO_SNAPSHOT),
    kw("scsireserv").to(Boolean).at().unread(NO_RESERVATION),
    kw("no_preempt_abort").to(Boolean).at().unread(NO_RESERVATION),
    kw("prkey").at().unread(NO_RESERVATION),
    kw("container_data_dir").at().unread(NO_DAEMON),
    kw("docker_exe").at(),
    kw("dockerd_exe").at().unread(NO_DAEMON),
    kw("docker_daemon_args").to(Words).at().unread(NO_DAEMON),
    kw("docker_daemon_private").to(Boolean).at().unread(NO_DAEMON),
    kw("registry_creds").at(),
    kw("aws").at().unread(NO_AWS),
    kw("aws_profile").at().unread(NO_AWS),
    kw("access").or("rwo").one_of(&["rwo", "roo", "rwx", "rox"]).head().at(),
    kw("pool").head().at(),
    kw("size").to(Integer).head().at(),
    kw("mode").or("hosted").describes(),
    kw("comment").or("").describes(),
];

const SUBSET: &[Keyword] = &[kw("parallel").to(Boolean).at(), kw("comment").or("").describes()];

/// DEFAULT of the kinds without instances.
const DATA: &[Keyword] = &[
    kw("id").head(),
    kw("disable").to(Boolean).leaf().at(),
    kw("env").one_of(ENVIRONMENTS).head(),
    kw("app").or("default"),
    kw("lock_timeout").to(Duration).or("60"),
    kw("nodes").to(Nodes).or("{clusternodes}").head().at(),
    kw("drpnodes").to(ListLower).head().at(),
    kw("comment").or("").describes(),
];

/// What certificates made of a secret or user hold.
const CERTIFICATE: &[Keyword] = &[
    kw("cn").head().at().unread(NO_CERTIFICATE),
    kw("c").head().at().unread(NO_CERTIFICATE),
    kw("st").head().at().unread(NO_CERTIFICATE),
    kw("l").head().at().unread(NO_CERTIFICATE),
    kw("o").head().at().unread(NO_CERTIFICATE),
    kw("ou").head().at().unread(NO_CERTIFICATE),
    kw("email").head().at().unread(NO_CERTIFICATE),
    kw("alt_names").to(List).head().at().unread(NO_CERTIFICATE),
    kw("bits").to(Size).or("4096").head().at().unread(NO_CERTIFICATE),
    kw("validity").to(DurationDays).or("365d").head().at().unread(NO_CERTIFICATE),
    kw("ca").head().at().unread(NO_CERTIFICATE),
];

const USER: &[Keyword] =
    &[kw("grant").unread("this agent knows users by the secrets of the cluster alone")];

const NO_NAMESPACE_GROUP: &str = "a namespace has no control group of its own";

/// Caps of a namespace.
const NAMESPACE_CAPS: &[Keyword] = &{
    let mut caps = [GROUP_CAPS[0]; GROUP_CAPS.len()];
    let mut at = 0;
    while at < caps.len() {
        caps[at] = GROUP_CAPS[at].unread(NO_NAMESPACE_GROUP);
        at += 1;
    }
    caps
};

const NAMESPACE: &[Keyword] = &[kw("create_pg").to(Boolean).or("true").unread(NO_NAMESPACE_GROUP)];
