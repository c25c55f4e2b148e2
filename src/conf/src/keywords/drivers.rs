//! Driver groups, their types, and which tables have the keywords of a driver.

use crate::keywords::keyword::Keyword;

pub(super) mod common;
mod network;
mod processes;
pub(super) mod replication;
mod storage;

use network::{IP, IP_NETNS};
use processes::{APP, APP_SIMPLE, CONTAINER, CONTEXT, TASK};
use replication::{SYNC, SYNC_RSYNC};
use storage::{DISK_LOOP, FS, FS_DIRECTORY, FS_FLAG, FS_TMPFS, MOUNT, VOLUME};

/// Groups with their default type (none where a type is required) and the types of the field.
const GROUPS: &[(&str, Option<&str>, &[&str])] = &[
    ("app", Some("forking"), &["forking", "simple", "winservice"]),
    ("certificate", Some("tls"), &["tls"]),
    (
        "container",
        Some("oci"),
        &[
            "oci",
            "docker",
            "podman",
            "amazon",
            "esx",
            "hpvm",
            "jail",
            "kvm",
            "ldom",
            "lxc",
            "lxd",
            "openstack",
            "ovm",
            "srp",
            "vbox",
            "vcloud",
            "vz",
            "xen",
            "zone",
        ],
    ),
    (
        "disk",
        Some("vg"),
        &[
            "advfs",
            "amazon",
            "crypt",
            "disk",
            "drbd",
            "gandi",
            "gce",
            "hpvm",
            "ldom",
            "loop",
            "lv",
            "lvm",
            "md",
            "pool",
            "rados",
            "raw",
            "scsireserv",
            "vdisk",
            "vg",
            "vmdg",
            "vxdg",
            "vxvol",
            "zpool",
            "zvol",
        ],
    ),
    ("expose", Some("envoy"), &["envoy"]),
    // Any other word is a type of mount.
    ("fs", None, &[]),
    ("hashpolicy", Some("envoy"), &["envoy"]),
    (
        "ip",
        Some("host"),
        &["host", "netns", "docker", "amazon", "cni", "crossbow", "gce", "route", "rule", "zone"],
    ),
    ("route", Some("envoy"), &["envoy"]),
    ("share", None, &["nfs"]),
    (
        "sync",
        Some("rsync"),
        &[
            "rsync",
            "btrfs",
            "btrfssnap",
            "dds",
            "docker",
            "evasnap",
            "hp3par",
            "hp3parsnap",
            "ibmdssnap",
            "necismsnap",
            "netapp",
            "nexenta",
            "radosclone",
            "radossnap",
            "s3",
            "symclone",
            "symsnap",
            "symsnapvx",
            "symsrdfs",
            "zfs",
            "zfssnap",
        ],
    ),
    ("task", Some("host"), &["host", "docker", "podman", "oci"]),
    ("vhost", Some("envoy"), &["envoy"]),
    ("volume", Some(""), &[""]),
];

/// The default type of a group, if it has one; none for what is no group.
pub(super) fn default_type(group: &str) -> Option<Option<&'static str>> {
    GROUPS.iter().find(|(name, _, _)| *name == group).map(|(_, default, _)| *default)
}

/// The groups.
pub(super) fn groups() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|(name, _, _)| *name)
}

/// The drivers of a group that are named; any other word is one where there are none.
pub(super) fn of(group: &str) -> &'static [&'static str] {
    GROUPS.iter().find(|(name, _, _)| *name == group).map_or(&[], |(_, _, types)| types)
}

/// Whether the group has this driver.
pub(super) fn knows(group: &str, driver: &str) -> bool {
    GROUPS.iter().find(|(name, _, _)| *name == group).is_some_and(|(_, _, types)| {
        types.contains(&driver) || matches!(group, "fs" | "volume") && !driver.is_empty()
    })
}

/// The drivers that have a table here: group and type.
pub(super) fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = GROUPS.iter().flat_map(|(group, _, types)| types.iter().map(|name| (*group, *name)));
    // Any word is a type of mount: these stand for those with the same table.
    let all = all.chain([("fs", "flag"), ("fs", "directory"), ("fs", "tmpfs"), ("fs", "ext4")]);
    all.filter(|(group, name)| tables(group, name).is_some())
}

/// Keyword tables of a driver; none when the driver is of the field but has no table here.
pub(super) fn tables(group: &str, driver: &str) -> Option<&'static [&'static [Keyword]]> {
    Some(match (group, driver) {
        ("app", "simple") => &[APP, APP_SIMPLE, CONTEXT],
        ("app", "forking") => &[APP, CONTEXT],
        ("task", "host") => &[TASK, CONTEXT],
        ("fs", "flag") => &[FS_FLAG],
        ("fs", "directory") => &[FS_DIRECTORY],
        ("fs", "tmpfs") => &[FS_TMPFS, MOUNT],
        ("fs", "zfs" | "docker" | "none") => return None,
        ("fs", _) => &[FS, MOUNT],
        ("ip", "host") => &[IP],
        ("ip", "netns" | "docker") => &[IP, IP_NETNS],
        ("container", "docker" | "podman" | "oci") => &[CONTAINER],
        ("sync", "rsync") => &[SYNC, SYNC_RSYNC],
        ("disk", "loop") => &[DISK_LOOP],
        ("volume", _) => &[VOLUME],
        _ => return None,
    })
}
