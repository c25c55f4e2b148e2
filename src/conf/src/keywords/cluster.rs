//! Keywords of node.conf and cluster.conf.

use crate::keywords::keyword::{Keyword, Lookup};
use crate::keywords::reasons::NO_COLLECTOR;

mod members;
mod node;
mod pools;
mod sections;

use members::{ARBITRATOR, CLUSTER, HB, HB_DISK, HB_MULTICAST, HB_RELAY, HB_UNICAST, LISTENER};
use node::{HEAD, NODE};
pub(crate) use pools::POOL_TYPES;
use pools::{POOL, POOL_ELSEWHERE};
use sections::{CNI, COMPLIANCE, HOOK, REBOOT, SCHEDULE, STATS, STONITH, SYSLOG};

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
