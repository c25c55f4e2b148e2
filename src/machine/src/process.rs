//! Processes, as the kernel shows them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Number of processors that this process may use, as it was when it started: asking the system reads the files of its
/// control groups, and every decision asks.
#[must_use]
pub fn processors() -> usize {
    static COUNT: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    *COUNT
}

/// The program of this process. When its file was replaced by an upgrade, the new one.
#[must_use]
pub fn program() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_else(|_| "om".into());
    match program.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(text) => text.into(),
        None => program,
    }
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its parent.
    pub parent: u32,
    /// The session that it is in.
    pub session: u32,
    /// When it was started, in ticks since the boot.
    pub start: u64,
}

impl Stat {
    /// That of a process; none when it is gone, or dead and not buried.
    pub fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold blanks and parentheses: fields are counted from the last one.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        // 22nd field of the line.
        let start = fields.nth(15)?.parse().ok()?;
        Some(Self { parent, session, start })
    }
}

/// Kernel clock ticks per second, as `/proc` counts processor time: fixed by the Linux ABI.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time that a `stat` file tells, in seconds; 0 if it is gone.
#[must_use]
pub fn cpu_seconds(file: &Path) -> f64 {
    let text = crate::kernel::text(file).unwrap_or_default();
    // The name stands in parentheses and may hold anything; times are the 12th and 13th word behind it.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    cpu_time(rest.split_whitespace().skip(11).take(2))
}

/// The sum of times in ticks, in seconds.
#[must_use]
pub fn cpu_time<'a>(words: impl Iterator<Item = &'a str>) -> f64 {
    // Not `sum`: that of nothing is -0.0.
    let ticks = words.filter_map(|word| word.parse::<f64>().ok());
    ticks.fold(0.0, |sum, ticks| sum + ticks) / TICKS_PER_SECOND
}

/// Resident memory of this process, in pages.
#[must_use]
pub fn resident_pages() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Resident memory of this process, in bytes.
#[must_use]
pub fn resident_bytes() -> u64 {
    resident_pages() * rustix::param::page_size() as u64
}

/// How many files this process has open.
#[must_use]
pub fn open_files() -> u64 {
    // Without the one that is read.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    open.saturating_sub(1) as u64
}

/// When a process was started, in ticks since the boot: with its id, that names it for ever. None when it is gone.
pub fn started_at(pid: u32) -> Option<u64> {
    Stat::read(pid).map(|stat| stat.start)
}

/// The name of the user that this process acts for; its number where no name is known.
#[must_use]
pub fn user() -> String {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return "root".to_owned();
    }
    let found = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid.as_raw()));
    found.ok().flatten().map_or_else(|| uid.as_raw().to_string(), |user| user.name)
}

/// Who typed the command that runs as this process: whoever became root for it is named.
#[must_use]
pub fn operator() -> String {
    let sudo = std::env::var("SUDO_USER").ok();
    let sudo = sudo.filter(|name| {
        let is_part = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
        !name.is_empty() && name.len() <= 64 && name.bytes().all(is_part)
    });
    match sudo {
        Some(name) if rustix::process::geteuid().is_root() => name,
        _ => user(),
    }
}

/// Whether this process leads its session, as what a service launches does. The session is read as a number: it is 0 when
/// its leader is outside of the pid namespace that this process is in, which is no pid for what takes pids.
#[must_use]
pub fn leads_session() -> bool {
    let own = std::process::id();
    Stat::read(own).is_some_and(|stat| stat.session == own)
}

/// A random number.
///
/// # Panics
///
/// Where the system has no random numbers.
#[must_use]
pub fn draw() -> u64 {
    use ring::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
    u64::from_ne_bytes(bytes)
}
