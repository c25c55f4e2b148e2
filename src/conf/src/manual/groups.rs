//! The groups, and what each is for.

use model::Kind;

use crate::keywords::{self, Tables};

/// The groups of a kind of document, in the order in which they are shown.
pub(super) fn of(tables: Tables) -> Vec<&'static str> {
    match tables {
        Tables::Object(Kind::Svc | Kind::Vol) => {
            let resources = keywords::resource_groups();
            ["DEFAULT"].into_iter().chain(resources).chain(["subset", "env", "labels"]).collect()
        }
        Tables::Object(Kind::Cfg | Kind::Sec | Kind::Usr) => vec!["DEFAULT", "data"],
        Tables::Object(Kind::Nscfg) => vec!["DEFAULT"],
        Tables::Node | Tables::Object(Kind::Ccfg) => TEXTS
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| tables.knows_section(name) && *name != "data")
            .collect(),
    }
}

/// Whether sections of the group have an index: `app#1`.
pub(super) fn has_index(group: &str) -> bool {
    group == "subset" || keywords::is_resource_group(group) || keywords::is_indexed(group)
}

/// What a group is for.
pub(super) fn text(group: &str) -> &'static str {
    TEXTS.iter().find(|(name, _)| *name == group).map_or("", |(_, text)| text)
}

const TEXTS: &[(&str, &str)] = &[
    ("DEFAULT", "the object itself, and what its resources inherit"),
    ("app", "programs that the service starts, stops and checks"),
    ("certificate", "TLS certificates for proxies"),
    ("container", "containers and guests"),
    ("disk", "disks, volume groups and images"),
    ("expose", "ports that proxies serve"),
    ("fs", "file systems and folders; ext4 stands for all types of mount"),
    ("hashpolicy", "how proxies choose among the targets of a route"),
    ("ip", "addresses that move with the service"),
    ("route", "where proxies send what they get"),
    ("share", "folders that other hosts mount"),
    ("sync", "copies of data to other nodes"),
    ("task", "programs that run by schedule or on demand, and end"),
    ("vhost", "names that proxies answer for"),
    ("volume", "vol objects that the service uses"),
    ("subset", "sets of resources that are handled together"),
    ("env", "texts for references, as {env.port}"),
    ("labels", "words that selectors of nodes and objects look for"),
    ("data", "the keys of the object, written by `add` and `change`"),
    ("node", "this node: its limits, delays and description"),
    ("listener", "where the daemon listens, and how much it takes"),
    ("cluster", "the members, their secret and how they talk"),
    ("hb", "heartbeats, over which the nodes hear each other"),
    ("arbitrator", "hosts whose vote counts when the cluster is split"),
    ("pool", "where volumes are made"),
    ("stonith", "commands that fence a node, named by the section"),
    ("hook", "commands that are told of events"),
    ("syslog", "where lines of the log are sent"),
    ("network", "networks for containers"),
    ("cni", "where CNI has its plugins and configurations"),
    ("reboot", "reboots by schedule"),
    ("compliance", "compliance modules"),
    ("stats", "figures for the collector"),
    ("stats_collection", "figures that are kept on the node"),
    ("dequeue_actions", "actions that are queued on the collector"),
    ("sysreport", "files that the collector keeps"),
    ("checks", "checks whose results the collector keeps"),
    ("packages", "packages that the collector knows of"),
    ("patches", "patches that the collector knows of"),
    ("asset", "the machine as the collector knows it"),
    ("disks", "disks that the collector knows of"),
    ("rotate_root_pw", "changes of the password of root"),
    ("switch", "switches that the collector knows of"),
    ("array", "storage arrays"),
    ("backup", "backup servers"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_text() {
        for tables in [Tables::Object(Kind::Svc), Tables::Object(Kind::Usr), Tables::Node] {
            for group in of(tables) {
                assert!(!text(group).is_empty(), "{group}");
            }
        }
        for (group, text) in TEXTS {
            assert!(text.len() <= 80 && !text.ends_with('.'), "{group}: {text}");
            let all = [Tables::Object(Kind::Svc), Tables::Object(Kind::Sec), Tables::Node];
            let is_group = all.into_iter().any(|tables| of(tables).contains(group));
            assert!(is_group, "{group} is no group");
        }
    }
}
