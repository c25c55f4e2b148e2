//! Which keywords exist: where, what they hold, and what they are when unset (src/conf/README.md, Keyword tables).

use model::Kind;

use crate::keywords::keyword::{Fate, Keyword, Lookup, group_of};

pub(crate) mod cluster;
mod drivers;
pub(crate) mod keyword;
mod mounts;
mod object;
mod reasons;

/// Which tables apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    Object(Kind),
    Node,
}

/// Whether a section has to name its type.
pub(crate) fn needs_type(section: &str) -> bool {
    drivers::default_type(group_of(section).0) == Some(None)
}

/// The drivers of a group, for who misspelt one; none where any word is one.
pub(crate) fn drivers_of(group: &str) -> &'static [&'static str] {
    drivers::of(group)
}

/// The drivers of a group that have a table here; `ext4` stands for the types of mount.
pub(crate) fn table_drivers(group: &str) -> Vec<&'static str> {
    drivers::known().filter(|(name, _)| *name == group).map(|(_, driver)| driver).collect()
}

/// The groups of resources.
pub(crate) fn resource_groups() -> impl Iterator<Item = &'static str> {
    drivers::groups()
}

/// Whether every resource has the keyword.
pub(crate) fn is_common(keyword: &Keyword) -> bool {
    let all = drivers::common::COMMON.iter().chain(drivers::common::GROUP_CAPS);
    all.into_iter().any(|common| common == keyword)
}

/// Whether sections of a group of node.conf and cluster.conf have an index.
pub(crate) fn is_indexed(group: &str) -> bool {
    cluster::indexed().contains(&group)
}

/// Whether a driver is a type of mount.
pub(crate) fn is_mount(group: &str, driver: &str) -> bool {
    group == "fs" && mounts::is_known(driver)
}

/// What is wrong with a type of mount; none for those that systems have, and for what is no type of mount.
pub(crate) fn unknown_mount(group: &str, driver: &str) -> Option<String> {
    if group != "fs" || mounts::is_known(driver) {
        return None;
    }
    Some(match model::nearest(driver, mounts::all()) {
        Some(near) => format!("{driver} is no file system type: did you mean {near}?"),
        None => format!(
            "{driver} is no file system type: expected one of the system, as ext4, xfs, btrfs, nfs, tmpfs or bind, or \
             directory or flag"
        ),
    })
}

/// The sections that a document may have, for who misspelt one.
pub(crate) fn section_near(tables: Tables, section: &str) -> Option<String> {
    let (group, index) = section.split_once('#').unwrap_or((section, ""));
    let indexed: Vec<&str> = match tables {
        Tables::Object(Kind::Svc | Kind::Vol) => drivers::groups().chain(["subset"]).collect(),
        Tables::Object(Kind::Ccfg) | Tables::Node => cluster::indexed().to_vec(),
        Tables::Object(_) => vec![],
    };
    let plain: Vec<&str> = match tables {
        Tables::Object(Kind::Ccfg) | Tables::Node => {
            ["labels", "env"].into_iter().chain(cluster::plain()).collect()
        }
        Tables::Object(_) => vec!["DEFAULT", "env", "labels", "data"],
    };
    let index = if index.is_empty() { "1" } else { index };
    if indexed.contains(&group.to_lowercase().as_str()) {
        return Some(format!("{}#{index}", group.to_lowercase()));
    }
    let near = model::nearest(group, indexed.iter().chain(&plain).copied())?;
    Some(if indexed.contains(&near) { format!("{near}#{index}") } else { near.to_owned() })
}

/// A driver with the same tables, out of few.
pub(crate) fn table_driver<'d>(group: &str, driver: &'d str) -> &'d str {
    match (group, driver) {
        ("fs", "flag" | "directory" | "tmpfs" | "zfs" | "docker" | "none") => driver,
        ("fs", _) => "ext4",
        ("volume", _) => "",
        _ if drivers::knows(group, driver) => driver,
        _ => "",
    }
}

/// Whether this agent has the driver: which resources it acts on, and which it shows and leaves alone.
#[must_use]
pub fn has_driver(group: &str, driver: &str) -> bool {
    match (group, driver) {
        ("app", "simple" | "forking")
        | ("task", "host")
        | ("ip", "host")
        | ("disk", "loop")
        | ("container", "docker" | "podman" | "oci")
        | ("sync", "rsync")
        | ("volume", _) => true,
        ("fs", "zfs" | "docker" | "btrfssubvol" | "") => false,
        ("fs", _) => true,
        _ => false,
    }
}

/// Where the cluster reads a keyword that its configuration has in DEFAULT, where nothing reads it.
pub(crate) fn meant_in_cluster(keyword: &str) -> bool {
    let name = keyword.split_once('@').map_or(keyword, |(name, _)| name);
    !matches!(name, "id" | "comment") && cluster::find("cluster", None, name) != Lookup::Unknown
}

/// Of a keyword that nothing reads in DEFAULT of node.conf and cluster.conf: where it is read, as `node.env`; none inside
/// where that is nowhere.
pub(crate) fn unread_in_node_default(keyword: &str) -> Option<Option<String>> {
    let name = keyword.split_once('@').map_or(keyword, |(name, _)| name);
    let is_read = |section: &str| matches!(cluster::find(section, None, name), Lookup::Known(_));
    if is_read("DEFAULT") {
        return None;
    }
    let meant = cluster::plain().find(|section| is_read(section));
    Some(meant.map(|section| format!("{section}.{keyword}")))
}

/// New name of a deprecated keyword of DEFAULT.
pub(crate) fn renamed(keyword: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == keyword).map(|(_, new)| *new)
}

/// Deprecated name of a keyword of DEFAULT.
pub(crate) fn deprecated(keyword: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(_, new)| *new == keyword).map(|(old, _)| *old)
}

/// The name that a keyword has now, of one that deployed agents still read under an older one.
pub(crate) fn renamed_in(
    section: &str,
    driver: Option<&str>,
    keyword: &str,
) -> Option<&'static str> {
    let all = renamings(section, driver);
    all.into_iter().find(|(old, _)| *old == keyword).map(|(_, new)| new)
}

/// Older names of a keyword of a section.
pub(crate) fn older_names(
    section: &str,
    driver: Option<&str>,
    keyword: &str,
) -> impl Iterator<Item = &'static str> {
    let keyword = keyword.to_owned();
    let all = renamings(section, driver).into_iter();
    all.filter(move |(_, new)| *new == keyword).map(|(old, _)| old)
}

/// Old and new names of what a section may hold.
fn renamings(section: &str, driver: Option<&str>) -> Vec<(&'static str, &'static str)> {
    let (group, implied) = group_of(section);
    let driver = driver.or(implied).unwrap_or_default();
    let is_meant = |(groups, drivers, _, _): &&(&str, &[&str], &str, &str)| {
        *groups == group && (drivers.is_empty() || drivers.contains(&driver))
    };
    RENAMED_IN.iter().filter(is_meant).map(|(_, _, old, new)| (*old, *new)).collect()
}

/// Images by name: docker, podman, or the one that is there.
const BY_IMAGE: &[&str] = &["docker", "podman", "oci"];

/// Group or section, drivers (all when empty), old name, new name.
const RENAMED_IN: &[(&str, &[&str], &str, &str)] = &[
    ("container", BY_IMAGE, "run_image", "image"),
    ("container", BY_IMAGE, "run_command", "command"),
    ("container", BY_IMAGE, "net", "netns"),
    ("task", BY_IMAGE, "run_image", "image"),
    ("task", BY_IMAGE, "run_command", "command"),
    ("task", BY_IMAGE, "net", "netns"),
    ("disk", &["vg", "lvm"], "vgname", "name"),
    ("disk", &["zpool", "pool"], "poolname", "name"),
    ("ip", &["netns", "docker", "cni"], "container_rid", "netns"),
    ("node", &[], "host_mode", "env"),
    ("node", &[], "environment", "asset_env"),
    ("node", &[], "environnement", "asset_env"),
];

const RENAMED: [(&str, &str); 7] = [
    ("cluster_type", "topology"),
    ("service_type", "env"),
    ("affinity", "hard_affinity"),
    ("anti_affinity", "hard_anti_affinity"),
    ("docker_data_dir", "container_data_dir"),
    ("flex_min_nodes", "flex_min"),
    ("flex_max_nodes", "flex_max"),
];

impl Tables {
    /// Looks a keyword up: driver of the group, then group, then what is common.
    pub(crate) fn find(self, section: &str, driver: Option<&str>, keyword: &str) -> Lookup {
        if matches!(section, "env" | "labels" | "data") {
            return Lookup::Free;
        }
        match self {
            Self::Object(Kind::Svc | Kind::Vol) => object::find(section, driver, keyword),
            Self::Object(Kind::Ccfg) if section != "DEFAULT" => {
                cluster::find(section, driver, keyword)
            }
            Self::Object(kind) => object::find_other(kind, section, keyword),
            Self::Node => cluster::find(section, driver, keyword),
        }
    }

    /// Whether sections of this name mean anything.
    pub(crate) fn knows_section(self, section: &str) -> bool {
        if matches!(section, "env" | "labels" | "data" | "DEFAULT") {
            return true;
        }
        let (group, _) = group_of(section);
        match self {
            Self::Object(Kind::Svc | Kind::Vol) => {
                section.contains('#')
                    && (group == "subset" || drivers::default_type(group).is_some())
            }
            Self::Object(Kind::Ccfg) | Self::Node => cluster::knows_section(section),
            Self::Object(_) => false,
        }
    }

    /// All keywords of a section that are in the tables.
    pub(crate) fn all(self, section: &str, driver: Option<&str>) -> Vec<&'static Keyword> {
        match self {
            Self::Object(Kind::Svc | Kind::Vol) => object::all(section, driver),
            Self::Object(Kind::Ccfg) if section != "DEFAULT" => cluster::all(section, driver),
            Self::Object(kind) => object::all_other(kind, section),
            Self::Node => cluster::all(section, driver),
        }
    }

    /// Type of a section that names none.
    pub(crate) fn default_type(self, group: &str) -> Option<&'static str> {
        match self {
            Self::Object(Kind::Svc | Kind::Vol) => drivers::default_type(group)?,
            Self::Object(_) | Self::Node => None,
        }
    }

    /// Whether the driver exists; any does where the group has none.
    pub(crate) fn knows_driver(self, group: &str, driver: &str) -> bool {
        match self {
            Self::Object(Kind::Svc | Kind::Vol) => drivers::knows(group, driver),
            Self::Object(_) | Self::Node => true,
        }
    }
}

/// The drivers whose keywords are in the tables, each with its group.
pub(crate) fn known_drivers() -> impl Iterator<Item = (&'static str, &'static str)> {
    drivers::known()
}

/// What is not done about a whole section, which nobody here reads.
pub(crate) fn unread_section(tables: Tables, section: &str) -> Option<&'static str> {
    let is_cluster = matches!(tables, Tables::Node | Tables::Object(Kind::Ccfg));
    if is_cluster { cluster::unread(section) } else { None }
}

/// The keywords of node.conf and cluster.conf that somebody may read: section, name, and what is not done where nobody does.
#[must_use]
pub fn node_keyword_list() -> Vec<(&'static str, &'static str, Option<&'static str>)> {
    let sections = [
        ("node", None),
        ("listener", None),
        ("cluster", None),
        ("hb", Some("unicast")),
        ("hb", Some("multicast")),
        ("hb", Some("disk")),
        ("hb", Some("relay")),
        ("arbitrator", None),
        ("pool", None),
    ];
    let rows = sections.into_iter().flat_map(|(section, driver)| {
        let rows = cluster::all(section, driver).into_iter();
        rows.map(move |row| (section, row.name, row.fate))
    });
    rows.map(|(section, name, fate)| {
        let unread = match fate {
            Fate::Read | Fate::Partly(_) => None,
            Fate::Describes => Some("it describes, and asks for nothing"),
            Fate::Unread(reason) | Fate::Refused(reason) => Some(reason),
        };
        (section, name, unread)
    })
    .collect()
}

/// Whether sections of this group are resources.
pub(crate) fn is_resource_group(group: &str) -> bool {
    drivers::default_type(group).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_decides_what_a_keyword_is() {
        let tables = Tables::Object(Kind::Svc);
        let find = |section, driver, keyword| tables.find(section, Some(driver), keyword);
        assert!(
            matches!(find("fs#1", "ext4", "dev"), Lookup::Known(keyword) if keyword.is_required)
        );
        assert_eq!(find("fs#1", "flag", "dev"), Lookup::Unknown);
        assert_eq!(find("disk#1", "lv", "whatever"), Lookup::Free);
        assert_eq!(find("app#1", "simple", "nokw"), Lookup::Unknown);
        assert_eq!(find("foo#1", "x", "nokw"), Lookup::Unknown);
        assert!(matches!(find("lv#1", "lv", "restart"), Lookup::Known(_)));
    }

    #[test]
    fn an_older_name_is_that_of_its_driver() {
        let new = |section, driver, old| renamed_in(section, Some(driver), old);
        assert_eq!(new("container#1", "docker", "run_image"), Some("image"));
        assert_eq!(new("container#1", "lxc", "run_image"), None);
        assert_eq!(new("disk#1", "vg", "vgname"), Some("name"));
        assert_eq!(renamed_in("node", None, "host_mode"), Some("env"));
        assert_eq!(renamed_in("app#1", Some("simple"), "environment"), None);
    }

    #[test]
    fn no_table_has_a_keyword_twice() {
        for (section, driver) in [
            ("DEFAULT", None),
            ("app#1", Some("simple")),
            ("task#1", Some("host")),
            ("fs#1", Some("xfs")),
            ("fs#1", Some("directory")),
            ("ip#1", Some("netns")),
            ("container#1", Some("docker")),
            ("sync#1", Some("rsync")),
            ("disk#1", Some("loop")),
            ("volume#1", None),
        ] {
            let mut names: Vec<_> =
                Tables::Object(Kind::Svc).all(section, driver).iter().map(|kw| kw.name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{section}");
        }
    }
}
