//! Unmounting: what is mounted at the place of a resource, and below it, without harm to anybody else.
//!
//! Part of the `impl` of [`FileSystem`], in a file of its own for its length.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::driver::{Scene, check_cut};
use crate::exec::{LONG_LIMIT, Output, Program};
use crate::failure::Failure;
use crate::fs_mount::FileSystem;
use crate::mounts::Mount;
use crate::{device, mounts};

/// How long the server of a mount may take to answer an unmount.
const SERVER_PATIENCE: Duration = Duration::from_secs(60);

/// How often one mount is tried.
const TRIES: u32 = 3;

/// How often its users are asked for, between two tries.
const KILLS: u32 = 4;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// How many mounts on top of each other are taken down.
const MOST_LAYERS: usize = 64;

/// How long the kernel may take to give a device back.
const RELEASE_PATIENCE: Duration = Duration::from_secs(3);

/// Kinds that every namespace has the same of: their users are those of the machine.
const OF_THE_MACHINE: [&str; 14] = [
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "securityfs",
    "debugfs",
    "tracefs",
    "mqueue",
    "hugetlbfs",
    "bpf",
    "autofs",
    "efivarfs",
];

impl FileSystem {
    /// Takes down all that is this file system at its place, however often it is mounted there.
    pub(super) fn unmount_all(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let mut is_any = false;
        for _ in 0..MOST_LAYERS {
            let table = read_table()?;
            let layers = self.layers(&table, scene);
            let Some(ours) = layers.iter().rev().find(|layer| layer.is_ours) else {
                if !is_any {
                    scene.journal.info(format_args!("{} is already umounted", self.label_text()));
                }
                return self.wait_released(scene);
            };
            if let Some(top) = layers.last().filter(|top| !top.is_ours) {
                return Err(Failure::refused(format!(
                    "{} {} is mounted over {}: unmount that first",
                    top.mount.kind,
                    top.mount.source,
                    self.label_text()
                )));
            }
            is_any = true;
            leave(&ours.mount.target);
            unmount_tree(scene, &table, ours.mount)?;
        }
        Err(Failure::refused(format!("{} is mounted too often", self.mnt.display())))
    }

    /// After a stop another node mounts it: a device that is still held, by a lazy unmount or another namespace, is not
    /// stopped.
    fn wait_released(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if !self.has_device() {
            return Ok(());
        }
        let Some(source) = self.source(scene).filter(|source| source.exists()) else {
            return Ok(());
        };
        let is_hidden = || -> Result<Option<String>, Failure> {
            // Mounted elsewhere, or used by a device of this node, is for whoever did that.
            let user = device::user(&source)?;
            Ok(user.filter(|user| user.contains(device::UNSEEN)))
        };
        let start = Instant::now();
        while let Some(user) = is_hidden()? {
            if start.elapsed() >= RELEASE_PATIENCE {
                return Err(Failure::refused(format!("{} is {user}", source.display())));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

fn read_table() -> Result<Vec<Mount>, Failure> {
    mounts::table().map_err(Failure::io("mount table"))
}

/// Whoever stands in a folder keeps it mounted, this command as well.
fn leave(folder: &Path) {
    if std::env::current_dir().is_ok_and(|here| here.starts_with(folder)) {
        _ = std::env::set_current_dir("/");
    }
}

/// Unmounts what is below, then the mount itself.
fn unmount_tree(scene: &Scene<'_>, table: &[Mount], top: &Mount) -> Result<(), Failure> {
    let below = mounts::below(table, top);
    if is_repeated_outside(table, top, &below) {
        // Else what is unmounted here would be unmounted where it was bound from.
        scene.tool(["mount", "--make-rprivate", &top.target.display().to_string()])?;
    }
    for mount in below.into_iter().chain([top]) {
        unmount(scene, mount, top)?;
    }
    Ok(())
}

/// Whether an unmount below this mount would be repeated below another one.
fn is_repeated_outside(table: &[Mount], top: &Mount, below: &[&Mount]) -> bool {
    let is_inside =
        |mount: &Mount| mount.id == top.id || below.iter().any(|inner| inner.id == mount.id);
    let parents = [top].into_iter().chain(below.iter().copied());
    let mut groups = parents
        .filter(|parent| below.iter().any(|inner| inner.parent == parent.id))
        .filter_map(|parent| parent.group.as_deref());
    groups.any(|group| {
        table.iter().any(|other| other.group.as_deref() == Some(group) && !is_inside(other))
    })
}

/// Unmounts one mount. Who is in its way is ended only where all that they use is the file system of `top`.
fn unmount(scene: &Scene<'_>, mount: &Mount, top: &Mount) -> Result<(), Failure> {
    let name = mount.target.display().to_string();
    let mut last = None;
    let mut spared = None;
    for attempt in 1..=TRIES {
        // Of a device, it ends when all is written; of a server that is gone, never.
        let is_remote = crate::fs_mount::NETWORK.contains(&mount.kind.as_str());
        let limit = if is_remote { SERVER_PATIENCE } else { LONG_LIMIT };
        let program = Program::new(["umount".as_ref(), mount.target.as_os_str()])
            .output(Output::LoggedAsInfo);
        let program = program.timeout(Some(limit));
        scene.journal.info(format_args!("{program}"));
        let ended = scene.query(&program)?;
        if ended.is_success() {
            return Ok(());
        }
        let table = read_table()?;
        if !table.iter().any(|other| other.id == mount.id) {
            scene.journal.info(format_args!("{name} is not mounted any more"));
            return Ok(());
        }
        last = Some(check_cut(&program, &ended).err().unwrap_or_else(|| Failure::Exit {
            command: program.to_string(),
            code: ended.code,
            line: ended.last_line().to_owned(),
        }));
        // Neither does it end its users: they wait for the same server.
        if attempt == TRIES || ended.is_late || ended.is_interrupted {
            break;
        }
        rustix::fs::sync();
        match spared_because(&table, top) {
            None => kill_users(scene, top)?,
            Some(reason) => {
                if spared.is_none() {
                    scene.journal.warn(format_args!("{reason}: its users are left alone"));
                }
                spared = Some(reason);
                std::thread::sleep(PAUSE);
            }
        }
    }
    let failure = last.unwrap_or_else(|| Failure::refused(format!("{name} stays mounted")));
    let Some(reason) = spared else { return Err(failure) };
    Err(Failure::refused(format!("{failure} ({reason}: its users are left alone)")))
}

/// Why users of this mount are not ended: they may be users of something else.
fn spared_because(table: &[Mount], mount: &Mount) -> Option<String> {
    let target = mount.target.display();
    if !table.iter().any(|other| other.id == mount.id) {
        return Some(format!("{target} is not mounted any more"));
    }
    if OF_THE_MACHINE.contains(&mount.kind.as_str()) {
        return Some(format!("{target} is the machine's {}", mount.kind));
    }
    let is_elsewhere =
        |other: &&Mount| other.device == mount.device && other.target != mount.target;
    if let Some(other) = table.iter().find(is_elsewhere) {
        let other = other.target.display();
        return Some(format!("what is mounted at {target} is mounted at {other} as well"));
    }
    // What the tool compares are the numbers of the folder: they have to be those of the mount, and not the root's.
    use std::os::unix::fs::MetadataExt;
    let numbers = |folder: &Path| std::fs::metadata(folder).ok().map(|is| is.dev());
    let Some(own) = numbers(&mount.target) else {
        return Some(format!("{target} does not answer"));
    };
    if numbers(Path::new("/")) == Some(own) {
        return Some(format!("what is mounted at {target} is the root"));
    }
    let parent = mount.target.parent().unwrap_or(Path::new("/"));
    (numbers(parent) == Some(own))
        .then(|| format!("what is mounted at {target} is what {} is in", parent.display()))
}

/// This process, and those that it runs in.
fn ancestors() -> Vec<u32> {
    let mut pids = vec![std::process::id()];
    while let Some(last) = pids.last().filter(|pid| **pid > 1) {
        let stat = machine::kernel::text(format!("/proc/{last}/stat")).unwrap_or_default();
        // The name of the program, in parentheses, may hold anything.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let Some(parent) = rest.split(' ').nth(1).and_then(|word| word.parse().ok()) else { break };
        pids.push(parent);
    }
    pids
}

/// Ends whoever uses a mount. Nobody does any more when it returns, unless they start again.
fn kill_users(scene: &Scene<'_>, mount: &Mount) -> Result<(), Failure> {
    let name = mount.target.display().to_string();
    for _ in 0..KILLS {
        let listed = scene.query(&Program::new([
            "fuser".as_ref(),
            "-mM".as_ref(),
            mount.target.as_os_str(),
        ]))?;
        let users: Vec<u32> =
            listed.out.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if !listed.is_success() || users.is_empty() {
            return Ok(());
        }
        let own = ancestors();
        if let Some(pid) = users.iter().find(|pid| own.contains(pid)) {
            return Err(Failure::refused(format!(
                "{name} is used by process {pid}, which this command runs in: leave that folder first"
            )));
        }
        let words: Vec<String> = users.iter().map(ToString::to_string).collect();
        scene.journal.info(format_args!("fuser -kmM {name}: {}", words.join(" ")));
        scene.query(&Program::new([
            "fuser".as_ref(),
            "-kmM".as_ref(),
            mount.target.as_os_str(),
        ]))?;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
