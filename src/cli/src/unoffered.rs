//! What deployed agents do and this one does not: who types it reads in one line what does it instead, or that nothing does.

use crate::tree::Group;

/// Groups of objects with resources.
const SERVICES: &[&str] = &["svc", "vol", "cfg", "sec", "usr", "nscfg"];
const NODE: &[&str] = &["node"];
const CLUSTER: &[&str] = &["cluster"];
const DAEMON: &[&str] = &["daemon"];
/// Groups whose objects have keys in deployed agents.
const KEYED: &[&str] = &["cfg", "sec", "usr", "nscfg", "cluster"];
/// Of those, the groups whose objects have no certificates.
const WITHOUT_CERTIFICATES: &[&str] = &["cfg", "nscfg", "cluster"];
const WITHOUT_KEYS: &[&str] = &["nscfg", "cluster"];

const COLLECTOR: &str = "the collector is not asked, but for its queue: `om node dequeue actions`";
const COMPLIANCE: &str = "compliance modules are not run";
const CERTIFICATES: &str = "only objects of kind sec and usr have certificates";
const CONTAINER: &str = "run the tool itself on the node where the service is up";
const GROUPS_OF_PROCESSES: &str =
    "process groups are made by a start and removed by a stop; `print pid` shows what runs in them";
const ARRAYS_SYNC: &str =
    "it is for replications of storage arrays; `sync update` runs those of rsync";
const INVENTORY: &str = "nothing is sent to a collector";
const REBOOT: &str = "`om cluster roll --reboot` empties nodes and reboots them, one after the other; `om node drain --wait` empties one";

/// Groups, the words that begin the action, and what to do instead.
type Entry = (&'static [&'static str], &'static str, &'static str);

const ENTRIES: &[Entry] = &[
    (SERVICES, "collector", COLLECTOR),
    (SERVICES, "compliance", COMPLIANCE),
    (SERVICES, "dns update", "this agent does not answer for the DNS"),
    (SERVICES, "docker", CONTAINER),
    (SERVICES, "oci", CONTAINER),
    (SERVICES, "podman", CONTAINER),
    (SERVICES, "enter", CONTAINER),
    (SERVICES, "install data", "keys are put in a volume when it starts: `restart --rid volume`"),
    (SERVICES, "pg", GROUPS_OF_PROCESSES),
    (SERVICES, "postsync", "what is replicated is ready: `sync update`"),
    (SERVICES, "presync", "what is replicated is ready: `sync update`"),
    (SERVICES, "print base devs", "`print devs` shows what is below and above each resource"),
    (SERVICES, "print exposed devs", "`print devs` shows what is below and above each resource"),
    (SERVICES, "print sub devs", "`print devs` shows what is below and above each resource"),
    (
        SERVICES,
        "print resinfo",
        "`print status` shows the resources, `print config` their keywords",
    ),
    (SERVICES, "print resource status", "`print status` shows that of all resources"),
    (SERVICES, "prstatus", "no SCSI reservations are taken"),
    (SERVICES, "pull", "configurations follow to all nodes by themselves"),
    (SERVICES, "push config", "configurations follow to all nodes by themselves"),
    (SERVICES, "push encap config", "nothing is done inside of guests"),
    (SERVICES, "push resinfo", INVENTORY),
    (SERVICES, "push status", "nothing is sent to a collector; `print status --refresh` evaluates"),
    (SERVICES, "resource monitor", "the daemon does it; `print status --refresh` evaluates now"),
    (SERVICES, "resync", ARRAYS_SYNC),
    (SERVICES, "snooze", "alerts are those of the collector, which is not told to be silent"),
    (SERVICES, "unsnooze", "alerts are those of the collector, which is not told to be silent"),
    (SERVICES, "support", "`om node logs --backlog -1` and `print config` print what helps"),
    (SERVICES, "sync", ARRAYS_SYNC),
    (SERVICES, "update", "`set --kw SECTION.KEYWORD=VALUE` changes and adds sections"),
    (KEYED, "edit", "`decode --key NAME > FILE`, then `change --key NAME --from FILE`"),
    (WITHOUT_KEYS, "append", "only objects of kind cfg, sec and usr have keys"),
    (KEYED, "append", "`decode --key NAME > FILE`, then `change --key NAME --from FILE`"),
    (
        KEYED,
        "install",
        "keys are put in a volume when it starts: `om SERVICE restart --rid volume`",
    ),
    (WITHOUT_CERTIFICATES, "fullpem", CERTIFICATES),
    (WITHOUT_CERTIFICATES, "gen cert", CERTIFICATES),
    (WITHOUT_CERTIFICATES, "pkcs12", CERTIFICATES),
    (WITHOUT_CERTIFICATES, "revoke", CERTIFICATES),
    (WITHOUT_KEYS, "add", "only objects of kind cfg, sec and usr have keys"),
    (WITHOUT_KEYS, "change", "only objects of kind cfg, sec and usr have keys"),
    (WITHOUT_KEYS, "decode", "only objects of kind cfg, sec and usr have keys"),
    (WITHOUT_KEYS, "keys", "only objects of kind cfg, sec and usr have keys"),
    (WITHOUT_KEYS, "remove", "only objects of kind cfg, sec and usr have keys"),
    (CLUSTER, "create", "the cluster has its configuration: `om cluster set`, `om daemon join`"),
    (CLUSTER, "deploy", "the cluster has its configuration: `om cluster set`, `om daemon join`"),
    (CLUSTER, "purge", "`om daemon leave` makes a node a cluster of its own"),
    (CLUSTER, "monitor", "`om mon` shows the cluster"),
    (CLUSTER, "status", "`om cluster print status` and `om mon` show it"),
    (CLUSTER, "pg", GROUPS_OF_PROCESSES),
    (CLUSTER, "update", "`om cluster set --kw SECTION.KEYWORD=VALUE` changes and adds sections"),
    (DAEMON, "logs", "`om node logs` shows what the daemon logs"),
    (NODE, "status", "`om mon` shows the nodes, `om node ls` lists them"),
    (NODE, "array", "storage arrays are not managed"),
    (NODE, "auto reboot", REBOOT),
    (NODE, "checks", "there are no checkers"),
    (NODE, "collect stats", INVENTORY),
    (NODE, "collector", COLLECTOR),
    (NODE, "compliance", COMPLIANCE),
    (
        NODE,
        "delete",
        "`om node edit config` removes a section, `om daemon leave` leaves the cluster",
    ),
    (NODE, "print devs", "`lsblk` shows them; `om PATH print devs` those of a service"),
    (NODE, "prkey", "no SCSI reservations are taken"),
    (NODE, "push", INVENTORY),
    (NODE, "reboot", REBOOT),
    (NODE, "register", INVENTORY),
    (NODE, "rotate root pw", "`passwd` does it; `om cluster rotate secret` is for the cluster"),
    (NODE, "scanscsi", "`rescan-scsi-bus.sh` of the system does it"),
    (NODE, "schedule reboot", REBOOT),
    (
        NODE,
        "shutdown",
        "`om daemon shutdown` stops the services and the daemon, `poweroff` the node",
    ),
    (NODE, "snooze", "alerts are those of the collector, which is not told to be silent"),
    (NODE, "unsnooze", "alerts are those of the collector, which is not told to be silent"),
    (NODE, "stonith", "a node that is lost is not fenced by its peers"),
    (NODE, "sysreport", INVENTORY),
    (NODE, "unschedule reboot", REBOOT),
    (NODE, "update ssh authorized keys", "`ssh-copy-id` does it"),
    (NODE, "updateclumgr", "the package manager of the system updates the agent"),
    (NODE, "updatecomp", COMPLIANCE),
    (NODE, "updatepkg", "the package manager of the system updates the agent"),
    (NODE, "wol", "a tool of the system wakes nodes, `wakeonlan` for one"),
    (&["daemon"], "dns dump", "this agent does not answer for the DNS"),
    (
        &["daemon"],
        "mutex status",
        "no lock is shared in the daemon; `om daemon lock show` shows those of the cluster",
    ),
    (&["net"], "setup", "networks are not made; `om net show` shows the configured ones"),
    (
        &["pool"],
        "create volume",
        "a service makes its volume: `[volume#1]` with name, size and pool, then `provision`",
    ),
];

/// First words that are no group here.
const FIRST_WORDS: &[(&str, &str)] = &[
    ("array", "storage arrays are not managed"),
    ("ns", "`--namespace`, or the variable OSVC_NAMESPACE, says where relative names lie"),
];

/// Why a first word is not offered, and what to do.
pub(crate) fn first_word(word: &str) -> Option<String> {
    let (_, instead) = FIRST_WORDS.iter().find(|(first, _)| *first == word)?;
    Some(format!("`om {word}` is not offered: {instead}"))
}

/// Why an action of a group is not offered, and what to do. `words` are those behind the group.
pub(crate) fn action(group: &Group, words: &[&str]) -> Option<String> {
    let typed = words.join(" ");
    let begins = |start: &str| {
        // `pushasset` and all its kin.
        typed.strip_prefix(start).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(' ') || (start == "push" && !rest.contains(' '))
        })
    };
    // `print-resinfo`, `print_resinfo`: the words as requests spell them are not looked for.
    let found = ENTRIES.iter().filter(|(groups, ..)| groups.contains(&group.name));
    let (_, start, instead) =
        found.filter(|(_, start, _)| begins(start)).max_by_key(|entry| entry.1.len())?;
    let shown =
        if *start == "push" || *start == "sync" || *start == "pg" { &typed } else { *start };
    Some(format!("`{} {shown}` is not offered: {instead}", group.name))
}
