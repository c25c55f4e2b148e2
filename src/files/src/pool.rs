//! Pools, from which volumes are made: sections `pool#<name>` of node.conf and cluster.conf, and two that every node has.
//!
//! Which pool, and what a volume of it is made of, are those of deployed agents. Here are the types `directory`, `loop` and
//! `shm`: volumes of others exist already, or are made by a node that knows their type.

use std::path::PathBuf;

use conf::{Ini, IniError, NodeConf};
use model::ObjectPath;
use serde::Serialize;

use machine::paths::Paths;

/// What the pools here can do: be used by one or many, written or not, and as bare devices.
pub const CAPABILITIES: [&str; 5] = ["rox", "rwx", "roo", "rwo", "blk"];

/// A pool as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its type: `directory`.
    pub kind: String,
    /// The folder that its volumes are in.
    pub head: PathBuf,
    /// Keyword `fs_type`: what is made on its devices.
    fs_type: String,
    /// Keyword `mkfs_opt`.
    mkfs_opt: Option<String>,
    /// Keyword `mnt_opt`.
    mnt_opt: Option<String>,
    /// Keyword `status_schedule`, for the volumes.
    status_schedule: Option<String>,
}

/// What is asked of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Keyword `pool`.
    pub name: Option<String>,
    /// Keyword `type`.
    pub kind: Option<String>,
    /// Keyword `access`: `rwo`.
    pub access: String,
    /// Keyword `size`, in bytes.
    pub size: u64,
    /// Keyword `format`: a file system, rather than a bare device.
    pub is_formatted: bool,
    /// Keyword `shared`.
    pub is_shared: bool,
    /// Where the volume is to have instances.
    pub nodes: Vec<String>,
}

/// The pools of a node, those that every node has first.
pub fn pools(node: &NodeConf, paths: &Paths) -> Vec<Pool> {
    let built_in = |folder: &str| paths.var.join("pool").join(folder);
    let read = |name: &str, kind: &str, head: PathBuf| {
        let get = |keyword: &str| {
            node.get(&format!("pool#{name}.{keyword}")).filter(|value| !value.is_empty())
        };
        Pool {
            name: name.to_owned(),
            kind: kind.to_owned(),
            head,
            fs_type: get("fs_type").unwrap_or_else(|| "xfs".to_owned()),
            mkfs_opt: get("mkfs_opt"),
            mnt_opt: get("mnt_opt"),
            status_schedule: get("status_schedule"),
        }
    };
    let mut pools = vec![
        read("default", "directory", built_in("directory")),
        read("shm", "shm", PathBuf::from("/dev/shm")),
    ];
    let sections = node.node.sections().chain(node.cluster.ini().sections());
    for name in sections.filter_map(|section| section.strip_prefix("pool#")) {
        let get = |keyword: &str| node.get(&format!("pool#{name}.{keyword}"));
        let kind = get("type").unwrap_or_else(|| "directory".into());
        let folder = match kind.as_str() {
            "directory" | "loop" => Some(built_in(&kind)),
            "shm" => Some(PathBuf::from("/dev/shm")),
            _ => None,
        };
        let var = paths.var.display().to_string();
        let own = get("path").or_else(|| get("name"));
        let own = own.map(|text| PathBuf::from(text.replace("{var}", &var)));
        let head = own.or(folder).unwrap_or_default();
        pools.retain(|pool| pool.name != name);
        pools.push(read(name, &kind, head));
    }
    pools
}

/// The pool for a volume: of those that can, the one with the most room. `free` tells the room of a pool in bytes, none
/// where that is not known.
///
/// # Errors
///
/// Why each pool was left out.
pub fn choose<'a>(
    pools: &'a [Pool],
    wanted: &Wanted,
    free: impl Fn(&Pool) -> Option<u64>,
) -> Result<&'a Pool, String> {
    // One node needs nothing shared.
    let is_shared = wanted.is_shared && wanted.nodes.len() != 1;
    let refusal = |pool: &Pool| -> Option<String> {
        let kind = pool.kind.as_str();
        if !matches!(kind, "directory" | "loop" | "shm") {
            return Some(format!("this agent makes no volumes of type {kind}"));
        }
        if is_shared {
            return Some("not shared".to_owned());
        }
        if !CAPABILITIES.contains(&wanted.access.as_str()) {
            return Some(format!("not {} capable", wanted.access));
        }
        match &wanted.kind {
            Some(wanted) if wanted != kind => return Some(format!("of type {kind}, not {wanted}")),
            None if kind == "shm" => {
                return Some("gone at the next boot, and not asked for".to_owned());
            }
            _ => {}
        }
        if wanted.name.as_ref().is_some_and(|name| *name != pool.name) {
            return Some("of another name".to_owned());
        }
        free(pool)
            .filter(|free| *free < wanted.size)
            .map(|free| format!("{free} bytes free, {} asked for", wanted.size))
    };
    let refusals: Vec<(&Pool, Option<String>)> =
        pools.iter().map(|pool| (pool, refusal(pool))).collect();
    let able = refusals.iter().filter(|(_, refusal)| refusal.is_none()).map(|(pool, _)| *pool);
    able.max_by_key(|pool| free(pool).unwrap_or(0)).ok_or_else(|| {
        let reasons: Vec<String> = refusals
            .iter()
            .filter_map(|(pool, reason)| Some(format!("{}: {}", pool.name, reason.as_ref()?)))
            .collect();
        format!("no pool for the volume ({})", reasons.join("; "))
    })
}

/// The name of a volume on disks, unique in the cluster.
fn disk_name(path: &ObjectPath, cluster: &str) -> String {
    format!("{}.{}.vol.{cluster}", path.name(), path.namespace().unwrap_or("root"))
}

impl Pool {
    /// Whether what a volume of it holds stays on the node where it was written.
    pub fn is_of_each_node(&self) -> bool {
        conf::is_pool_of_each_node(&self.kind)
    }

    /// The configuration of a volume made of this pool.
    ///
    /// # Errors
    ///
    /// A keyword that cannot be written.
    pub fn configuration(
        &self,
        path: &ObjectPath,
        wanted: &Wanted,
        cluster: &str,
    ) -> Result<Ini, IniError> {
        let mut ini = Ini::parse("")?;
        let mut set =
            |section: &str, keyword: &str, value: &str| ini.set(section, keyword, value).map(drop);
        set("DEFAULT", "pool", &self.name)?;
        set("DEFAULT", "size", &wanted.size.to_string())?;
        set("DEFAULT", "access", &wanted.access)?;
        if matches!(wanted.access.as_str(), "rox" | "rwx") {
            set("DEFAULT", "topology", "flex")?;
            set("DEFAULT", "flex_min", "0")?;
        }
        if !wanted.nodes.is_empty() {
            set("DEFAULT", "nodes", &wanted.nodes.join(" "))?;
        }
        if let Some(schedule) = &self.status_schedule {
            set("DEFAULT", "status_schedule", schedule)?;
        }
        let name = disk_name(path, cluster);
        let file = |name: &str| self.head.join(name).display().to_string();
        let size = wanted.size.to_string();
        let has_device = self.kind == "loop" || !wanted.is_formatted;
        if has_device {
            set("disk#1", "type", "loop")?;
            set("disk#1", "file", &file(&format!("{name}.img")))?;
            set("disk#1", "size", &size)?;
        }
        let mount_point = format!("/srv/{name}");
        match (self.kind.as_str(), wanted.is_formatted) {
            (_, false) => {}
            ("directory", true) => {
                set("fs#1", "type", "flag")?;
                set("fs#2", "type", "directory")?;
                set("fs#2", "path", &file(&name))?;
            }
            ("shm", true) => {
                let size = format!("size={}m", wanted.size >> 20);
                let options = self.mnt_opt.iter().cloned().chain([size]);
                set("fs#1", "type", "tmpfs")?;
                set("fs#1", "dev", "shmfs")?;
                set("fs#1", "mnt", &mount_point)?;
                set("fs#1", "mnt_opt", &options.collect::<Vec<_>>().join(","))?;
            }
            _ => {
                set("fs#1", "type", &self.fs_type)?;
                set("fs#1", "dev", "{disk#1.exposed_devs[0]}")?;
                set("fs#1", "mnt", &mount_point)?;
                if let Some(options) = &self.mkfs_opt {
                    set("fs#1", "mkfs_opt", options)?;
                }
                if let Some(options) = &self.mnt_opt {
                    set("fs#1", "mnt_opt", options)?;
                }
            }
        }
        // Nothing in it is to be copied by the agent.
        set("sync#i0", "disable", "true")?;
        Ok(ini)
    }

    /// Room for new volumes, in bytes; a folder that is not there yet has that of its parent.
    pub fn free(&self) -> Option<u64> {
        let room = self.room()?;
        Some(room.f_bavail.saturating_mul(room.f_frsize))
    }

    /// The file system of its folder.
    pub fn room(&self) -> Option<rustix::fs::StatVfs> {
        if !self.head.is_absolute() {
            return None;
        }
        self.head.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())
    }
}

/// A pool with the room of its file system, in KiB; a folder that is not there yet has that of its parent.
pub fn describe(pool: &Pool) -> (String, PoolState) {
    let room = pool.room().map(|room| {
        let kib = |blocks: u64| blocks.saturating_mul(room.f_frsize) / 1024;
        Room {
            free: kib(room.f_bavail),
            used: kib(room.f_blocks.saturating_sub(room.f_bfree)),
            size: kib(room.f_blocks),
        }
    });
    let state = PoolState {
        kind: pool.kind.clone(),
        name: pool.name.clone(),
        capabilities: CAPABILITIES.map(str::to_owned).to_vec(),
        head: pool.head.clone(),
        volumes: vec![],
        room,
    };
    (pool.name.clone(), state)
}

/// A pool, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolState {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What volumes of it may be.
    pub capabilities: Vec<String>,
    /// Where its volumes are.
    pub head: PathBuf,
    /// Its volumes, where somebody asked for them.
    pub volumes: Vec<VolumeState>,
    /// What room there is; none where nobody can tell.
    #[serde(flatten)]
    pub room: Option<Room>,
}

/// The room of a pool, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Room {
    /// For new volumes.
    pub free: u64,
    /// By what is there.
    pub used: u64,
    /// In all.
    pub size: u64,
}

/// A volume of a pool, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeState {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: Option<i64>,
    /// The objects that use it.
    pub children: Vec<String>,
    /// Whether none of them is there.
    pub orphan: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, kind: &str) -> Pool {
        Pool {
            name: name.to_owned(),
            kind: kind.to_owned(),
            head: PathBuf::from(format!("/pool/{name}")),
            fs_type: "ext4".to_owned(),
            mkfs_opt: None,
            mnt_opt: None,
            status_schedule: None,
        }
    }

    fn wanted() -> Wanted {
        Wanted {
            access: "rwo".to_owned(),
            size: 64 << 20,
            is_formatted: true,
            nodes: vec!["n1".to_owned()],
            ..Wanted::default()
        }
    }

    #[test]
    fn the_pool_with_the_most_room_of_those_that_can_is_chosen() {
        let pools =
            [pool("a", "directory"), pool("b", "loop"), pool("c", "shm"), pool("d", "zpool")];
        let free = |pool: &Pool| match pool.name.as_str() {
            "a" => Some(100 << 20),
            "b" => Some(200 << 20),
            _ => Some(1 << 40),
        };
        let choose = |wanted: &Wanted| choose(&pools, wanted, free).map(|pool| pool.name.as_str());
        assert_eq!(choose(&wanted()), Ok("b"));
        let named = Wanted { name: Some("a".into()), ..wanted() };
        assert_eq!(choose(&named), Ok("a"));
        let typed = Wanted { kind: Some("shm".into()), ..wanted() };
        assert_eq!(choose(&typed), Ok("c"));
        // On one node nothing has to be shared.
        assert_eq!(choose(&Wanted { is_shared: true, ..wanted() }), Ok("b"));
        let large = Wanted { size: 150 << 20, name: Some("a".into()), ..wanted() };
        assert_eq!(
            choose(&large).unwrap_err(),
            "no pool for the volume (a: 104857600 bytes free, 157286400 asked for; b: of another name; \
             c: gone at the next boot, and not asked for; d: this agent makes no volumes of type zpool)"
        );
        let nodes = ["n1", "n2"].map(str::to_owned).to_vec();
        assert!(choose(&Wanted { is_shared: true, nodes, ..wanted() }).is_err());
    }

    #[test]
    fn a_volume_is_made_of_what_its_pool_says() {
        let path = ObjectPath::parse("ns1/vol/v1").unwrap();
        let told = |pool: &Pool, wanted: &Wanted| {
            pool.configuration(&path, wanted, "c1").unwrap().text().replace("\n\n", "\n")
        };
        let head = "[DEFAULT]\npool = a\nsize = 67108864\naccess = rwo\nnodes = n1\n";
        let tail = "[sync#i0]\ndisable = true\n";
        assert_eq!(
            told(&pool("a", "directory"), &wanted()),
            format!(
                "{head}[fs#1]\ntype = flag\n[fs#2]\ntype = directory\npath = /pool/a/v1.ns1.vol.c1\n{tail}"
            )
        );
        let disk = "[disk#1]\ntype = loop\nfile = /pool/a/v1.ns1.vol.c1.img\nsize = 67108864\n";
        let bare = Wanted { is_formatted: false, ..wanted() };
        assert_eq!(told(&pool("a", "directory"), &bare), format!("{head}{disk}{tail}"));
        assert_eq!(
            told(&pool("a", "loop"), &wanted()),
            format!(
                "{head}{disk}[fs#1]\ntype = ext4\ndev = {{disk#1.exposed_devs[0]}}\nmnt = /srv/v1.ns1.vol.c1\n{tail}"
            )
        );
        assert_eq!(
            told(&pool("a", "shm"), &wanted()),
            format!(
                "{head}[fs#1]\ntype = tmpfs\ndev = shmfs\nmnt = /srv/v1.ns1.vol.c1\nmnt_opt = size=64m\n{tail}"
            )
        );
        let many = Wanted { access: "rwx".to_owned(), nodes: vec![], ..wanted() };
        assert!(told(&pool("a", "directory"), &many).starts_with(
            "[DEFAULT]\npool = a\nsize = 67108864\naccess = rwx\ntopology = flex\nflex_min = 0\n[fs#1]\n"
        ));
    }
}
