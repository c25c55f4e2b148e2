//! Driver groups, their types, and the keywords of the drivers that have a table.

use super::{Keyword, kw};
use crate::Converter::{
    Boolean, Duration, Integer, List, Options, Set, Size, Speed, Tristate, Words,
};

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

const NO_DNS: &str = "this agent does not answer for the DNS";
const NO_GUEST: &str = "this agent does nothing inside of guests";
const NO_LV: &str = "this agent makes no logical volumes";
const NO_PROMOTION: &str = "this agent does not make disks writable";
const NO_SNAPSHOT: &str = "this agent makes no snapshots";
const NO_SUCH_SYNC: &str = "this agent has no such sync action";
pub(super) const NO_RESERVATION: &str =
    "this agent takes no SCSI reservations: nothing keeps another node from writing";

const APP: &[Keyword] = &[
    kw("script").at(),
    kw("start").or_no().at(),
    kw("stop").or_no().at(),
    kw("check").or_no().at(),
    kw("info").or_no().at(),
    kw("timeout").to(Duration).at(),
    kw("start_timeout").to(Duration).at(),
    kw("stop_timeout").to(Duration).at(),
    kw("check_timeout").to(Duration).at(),
    kw("info_timeout").to(Duration).at(),
    kw("retcodes").or("0:up 1:down").at(),
    kw("status_log").to(Boolean).at(),
];

const APP_SIMPLE: &[Keyword] = &[kw("kill").or("parent").one_of(&["parent", "tree"]).at()];

/// Execution context of app and task.
const CONTEXT: &[Keyword] = &[
    kw("user").at(),
    kw("group").at(),
    kw("cwd").at(),
    kw("umask").at(),
    kw("environment").to(Words).or("").at(),
    kw("configs_environment").to(Words).or("").at(),
    kw("secrets_environment").to(Words).or("").at(),
    kw("limit_as").to(Size).at(),
    kw("limit_core").to(Size).at(),
    kw("limit_cpu").to(Duration).at(),
    kw("limit_data").to(Size).at(),
    kw("limit_fsize").to(Size).at(),
    kw("limit_memlock").to(Size).at(),
    kw("limit_nofile").to(Size).at(),
    kw("limit_nproc").to(Size).at(),
    kw("limit_rss").to(Size).at(),
    kw("limit_stack").to(Size).at(),
    kw("limit_vmem").to(Size).at(),
];

const TASK: &[Keyword] = &[
    kw("command").required().at(),
    kw("timeout").to(Duration).at(),
    kw("max_parallel").to(Integer).or("1").at(),
    kw("check").one_of(&["last_run"]).at(),
    kw("on_error").at(),
    kw("log").to(Boolean).or("true").at(),
    kw("confirmation").to(Boolean).at(),
    kw("snooze").to(Duration).or("0").at(),
    kw("schedule").inherits("run_schedule").at(),
    kw("pre_run").at(),
    kw("post_run").at(),
    kw("blocking_pre_run").at(),
    kw("blocking_post_run").at(),
    kw("run_requires").or("").at(),
];

const FS_FLAG: &[Keyword] =
    &[kw("stat_timeout").to(Duration).or("5").at().unread("a flag needs no time to answer")];

const FS_DIRECTORY: &[Keyword] =
    &[kw("path").required().at(), kw("user").at(), kw("group").at(), kw("perm").at()];

/// What is mounted, whatever from.
const MOUNT: &[Keyword] = &[
    kw("mnt").required().at(),
    kw("mnt_opt").at(),
    kw("stat_timeout").to(Duration).or("5").at(),
    kw("check_read").to(Boolean),
    kw("user").at(),
    kw("group").at(),
    kw("perm").at(),
    kw("size").to(Size).at(),
    kw("zone").at().unread("this agent has no zones"),
];

const FS_TMPFS: &[Keyword] = &[kw("dev").at()];

const FS: &[Keyword] = &[
    kw("dev").required().at(),
    kw("vg").at().unread(NO_LV),
    kw("mkfs_opt").to(Words).or("").at(),
    kw("create_options").to(Words).or("").at().unread(NO_LV),
    kw("snap_size").at().unread(NO_SNAPSHOT),
    kw("snap_size_orig").at().unread(NO_SNAPSHOT),
    kw("promote_rw").to(Boolean).at().unread(NO_PROMOTION),
    kw("prkey").at().unread(NO_RESERVATION),
    kw("scsireserv").to(Boolean).at().unread(NO_RESERVATION),
    kw("no_preempt_abort").to(Boolean).at().unread(NO_RESERVATION),
];

const IP: &[Keyword] = &[
    kw("ipname").at(),
    kw("ipdev").required().at(),
    kw("netmask").at(),
    kw("check_carrier").to(Boolean).or("true").at(),
    kw("alias").to(Boolean).or("true").at().unread("this agent does not use ifconfig"),
    kw("wait_dns").to(Duration).or("0").at().unread(NO_DNS),
    kw("expose").to(List).at().unread(NO_DNS),
    kw("gateway").at(),
    kw("network").at().unread("this agent computes the network of an address from its netmask"),
    kw("dns_name_suffix").at().unread(NO_DNS),
    kw("dns_update").to(Boolean).at().unread(NO_DNS),
    kw("provisioner").at().unread("this agent asks no manager for addresses"),
];

const IP_NETNS: &[Keyword] = &[
    kw("netns").required().at(),
    kw("nsdev").at(),
    kw("macaddr").at(),
    kw("mode").at(),
    kw("vlan_tag").at(),
    kw("vlan_mode").at(),
    kw("del_net_route").to(Boolean).at(),
];

const CONTAINER: &[Keyword] = &[
    kw("image").required().at(),
    kw("name").at(),
    kw("command").to(Words).at(),
    kw("entrypoint").at(),
    kw("run_args").to(Options).at(),
    kw("detach").to(Boolean).or("true").at(),
    kw("rm").to(Boolean).at(),
    kw("image_pull_policy").or("once").one_of(&["once", "always"]).at(),
    kw("start_timeout").to(Duration).or("5").at(),
    kw("stop_timeout").to(Duration).or("120").at(),
    kw("pull_timeout").to(Duration).or("2m").at(),
    kw("netns").at(),
    kw("ipcns").at(),
    kw("pidns").at(),
    kw("utsns").at(),
    kw("userns").at(),
    kw("hostname").at(),
    kw("user").at(),
    kw("privileged").to(Tristate).at(),
    kw("interactive").to(Tristate).at(),
    kw("tty").to(Tristate).at(),
    kw("volume_mounts").to(Words).or("").at(),
    kw("devices").to(Words).or("").at(),
    kw("environment").to(Words).or("").at(),
    kw("configs_environment").to(Words).or("").at(),
    kw("secrets_environment").to(Words).or("").at(),
    kw("registry_creds").at(),
    kw("guestos").at().unread(NO_GUEST),
    kw("osvc_root_path").at().unread(NO_GUEST),
    kw("promote_rw").to(Boolean).at().unread(NO_PROMOTION),
    kw("scsireserv").to(Boolean).at().unread(NO_RESERVATION),
];

/// Common to all sync drivers.
pub(super) const SYNC: &[Keyword] = &[
    kw("sync_max_delay").to(crate::Converter::DurationMinutes).or("1d3h").at(),
    kw("schedule").inherits("sync_schedule").at(),
    kw("pre_sync_nodes").at(),
    kw("post_sync_nodes").at(),
    kw("blocking_pre_sync_nodes").at(),
    kw("blocking_post_sync_nodes").at(),
    kw("pre_sync_drp").at(),
    kw("post_sync_drp").at(),
    kw("blocking_pre_sync_drp").at(),
    kw("blocking_post_sync_drp").at(),
    kw("pre_sync_update").at(),
    kw("post_sync_update").at(),
    kw("blocking_pre_sync_update").at(),
    kw("blocking_post_sync_update").at(),
    kw("pre_sync_resync").at().unread(NO_SUCH_SYNC),
    kw("post_sync_resync").at().unread(NO_SUCH_SYNC),
    kw("blocking_pre_sync_resync").at().unread(NO_SUCH_SYNC),
    kw("blocking_post_sync_resync").at().unread(NO_SUCH_SYNC),
    kw("pre_sync_restore").at().unread(NO_SUCH_SYNC),
    kw("post_sync_restore").at().unread(NO_SUCH_SYNC),
    kw("blocking_pre_sync_restore").at().unread(NO_SUCH_SYNC),
    kw("blocking_post_sync_restore").at().unread(NO_SUCH_SYNC),
    kw("sync_nodes_requires").or("").at(),
    kw("sync_drp_requires").or("").at(),
    kw("sync_update_requires").or("").at(),
    kw("sync_resync_requires").or("").at().unread(NO_SUCH_SYNC),
];

const SYNC_RSYNC: &[Keyword] = &[
    kw("src").to(List).required().at(),
    kw("dst").required(),
    kw("target").to(List).required(),
    kw("options").to(Words).or("").at(),
    kw("reset_options").to(Boolean),
    kw("bwlimit").to(Speed),
    kw("dstfs"),
    kw("snap").to(Boolean).refused("this agent makes no snapshots: nothing would be copied"),
];

const DISK_LOOP: &[Keyword] = &[
    kw("file").required().at(),
    kw("size").to(Size).or("100m").at(),
    kw("promote_rw").to(Boolean).at().unread(NO_PROMOTION),
    kw("scsireserv").to(Boolean).at().unread(NO_RESERVATION),
    kw("no_preempt_abort").to(Boolean).at().unread(NO_RESERVATION),
    kw("prkey").at().unread(NO_RESERVATION),
];

const VOLUME: &[Keyword] = &[
    kw("name").or("{name}-vol-{rindex}").at(),
    kw("pool").at(),
    kw("size").to(Size).at(),
    kw("access").or("rwo").one_of(&["rwo", "roo", "rwx", "rox"]),
    kw("format").to(Boolean).or("true").at(),
    kw("nodes").at(),
    kw("configs").to(Words).or("").at(),
    kw("secrets").to(Words).or("").at(),
    kw("directories").to(List).at(),
    kw("user").at(),
    kw("group").at(),
    kw("perm").at(),
    kw("dirperm").at(),
    kw("signal").at().unread("this agent sends no signal when the content of a volume changes"),
];

/// Common to all resources.
pub(super) const COMMON: &[Keyword] = &[
    kw("type").leaf().at(),
    kw("disable").to(Boolean).leaf().at(),
    kw("optional").to(Tristate).at(),
    kw("standby").to(Tristate).at(),
    kw("always_on").to(List),
    kw("monitor").to(Boolean).at(),
    kw("restart").to(Integer).or("0").at(),
    kw("restart_delay").to(Duration).or("0").at(),
    // Not of deployed agents, which ignore it: they forget restarts as soon as the resource is up.
    kw("restart_reset").to(Duration).or("1m").at(),
    kw("shared").to(Boolean).at(),
    kw("provision").to(Boolean).or("true").at(),
    kw("unprovision").to(Boolean).or("true").at(),
    kw("encap").to(Boolean).at(),
    kw("subset").leaf().at(),
    kw("tags").to(Set).at(),
    kw("pre_start").at(),
    kw("pre_stop").at(),
    kw("pre_startstandby").at(),
    kw("pre_provision").at(),
    kw("pre_unprovision").at(),
    kw("post_start").at(),
    kw("post_stop").at(),
    kw("post_startstandby").at(),
    kw("post_provision").at(),
    kw("post_unprovision").at(),
    kw("blocking_pre_start").at(),
    kw("blocking_pre_stop").at(),
    kw("blocking_pre_startstandby").at(),
    kw("blocking_pre_provision").at(),
    kw("blocking_pre_unprovision").at(),
    kw("blocking_post_start").at(),
    kw("blocking_post_stop").at(),
    kw("blocking_post_startstandby").at(),
    kw("blocking_post_provision").at(),
    kw("blocking_post_unprovision").at(),
    kw("start_requires").or("").at(),
    kw("stop_requires").or("").at(),
    kw("provision_requires").or("").at(),
    kw("unprovision_requires").or("").at(),
    kw("comment").or("").describes(),
];

/// Caps of a cgroup: resources and subsets.
pub(super) const GROUP_CAPS: &[Keyword] = &[
    kw("pg_cpus").leaf().at(),
    kw("pg_mems").leaf().at(),
    kw("pg_cpu_shares").to(Integer).leaf().at(),
    kw("pg_cpu_quota").leaf().at(),
    kw("pg_mem_limit").to(Size).leaf().at(),
    kw("pg_vmem_limit").to(Size).leaf().at(),
    kw("pg_mem_oom_control").to(Integer).leaf().at(),
    kw("pg_mem_swappiness").to(Integer).leaf().at(),
    kw("pg_blkio_weight").to(Integer).leaf().at(),
];
