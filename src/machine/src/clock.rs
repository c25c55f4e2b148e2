//! The two facts that everything asks of the machine: the time, and the name of this node.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{NameError, NodeName, Timestamp};
use monitor::Moment;
use wire::BootId;

/// Environment variable that overrides the host name.
pub const NODENAME_VARIABLE: &str = "OSVC_NODENAME";

/// Names a file that holds how many seconds the wall clock of this process is off, `-10` or `31536000.5`, for tests: they
/// write it to step the clock of one daemon, its children and the commands of its node while they run. Without the file
/// the clock is right. Time since boot is never touched: it is not by a real step either. Unset but in tests.
pub const VARIABLE: &str = "OSVC_TEST_CLOCK";

/// The time, as the cluster data spells it: never 0, which means never there, whatever the clock says.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(since_epoch().as_secs_f64().max(1.0))
}

/// Now, by the clock that may be set and by the one that is not.
#[must_use]
pub fn moment() -> Moment {
    Moment { wall: now(), steady: steady() }
}

/// The time, as files carry it.
#[must_use]
pub fn system() -> SystemTime {
    match Stepped::of_process() {
        None => real_time(),
        Some(stepped) => stepped.apply(real_time(), steady()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
fn real_time() -> SystemTime {
    SystemTime::now()
}

/// The time to give to a file that is written now: only where the clock of this process is not the one of the file
/// system, which does it by itself.
#[must_use]
pub fn file_time() -> Option<SystemTime> {
    Stepped::of_process().map(|_| system())
}

/// The time in the zone of this machine: for logs and for what is due at an hour of the day.
#[must_use]
pub fn zoned() -> jiff::ZonedDateTime {
    let now = jiff::Timestamp::try_from(system()).unwrap_or_default();
    now.to_zoned_datetime(jiff::tz::TimeZone::system())
}

/// Time since the machine booted, its sleep included: no change of the clock touches it.
#[must_use]
pub fn steady() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// The present on the clocks that sealed messages carry. The one that nobody sets is the raw one of the machine: unlike
/// time since boot it is not slewed either, as chrony does by up to 8 % to set a wall clock right. Shared by all
/// processes of the machine.
#[must_use]
pub fn stamp() -> wire::Moment {
    let raw = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicRaw);
    let b_us = raw.tv_sec.saturating_mul(1_000_000).saturating_add(raw.tv_nsec / 1_000);
    wire::Moment { boot: boot_id(), b_us, t_ms: now_ms() }
}

/// The boot of this machine, as the kernel names it.
#[must_use]
pub fn boot_id() -> BootId {
    static BOOT: OnceLock<BootId> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        BootId::parse(&text).unwrap_or_else(|| {
            log::error!("the kernel does not tell its boot id: messages of this node pass by their times only");
            BootId([0; 16])
        })
    })
}

/// The time in milliseconds since 1970-01-01T00:00:00Z, as sealed messages carry it.
#[must_use]
pub fn now_ms() -> i64 {
    i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)
}

fn since_epoch() -> Duration {
    system().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A clock that a test steps.
#[derive(Debug)]
struct Stepped {
    file: PathBuf,
    /// When the file was read last, and what it said.
    read: Mutex<(Duration, f64)>,
}

impl Stepped {
    /// How long what was read is good for.
    const FRESH: Duration = Duration::from_millis(2);

    /// That of this process; none but in tests.
    fn of_process() -> Option<&'static Self> {
        static IT: OnceLock<Option<Stepped>> = OnceLock::new();
        IT.get_or_init(|| std::env::var_os(VARIABLE).map(|file| Self::new(file.into()))).as_ref()
    }

    fn new(file: PathBuf) -> Self {
        let offset = Self::offset_in(&file).unwrap_or_default();
        Self { file, read: Mutex::new((steady(), offset)) }
    }

    fn offset_in(file: &Path) -> Option<f64> {
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    fn apply(&self, time: SystemTime, now: Duration) -> SystemTime {
        let offset = {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_sub(read.0) >= Self::FRESH {
                *read = (now, Self::offset_in(&self.file).unwrap_or_default());
            }
            read.1
        };
        let by = Duration::try_from_secs_f64(offset.abs()).unwrap_or_default();
        let stepped = if offset < 0.0 { time.checked_sub(by) } else { time.checked_add(by) };
        stepped.unwrap_or(time)
    }
}

/// The name of this node: `OSVC_NODENAME`, else the host name, lower case.
///
/// # Errors
///
/// [`NameError`] when neither is a node name.
pub fn local_nodename() -> Result<NodeName, NameError> {
    match std::env::var(NODENAME_VARIABLE) {
        Ok(name) if !name.is_empty() => NodeName::new(&name),
        _ => NodeName::new(&rustix::system::uname().nodename().to_string_lossy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stepped_clock_follows_its_file_ahead_and_back_and_is_right_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clock");
        let stepped = Stepped::new(file.clone());
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let mut now = steady();
        assert_eq!(stepped.apply(time, now), time);
        for (offset, at) in [("3600\n", 1_000_003_600.0), ("-10.5", 999_999_989.5), ("", 1e9)] {
            std::fs::write(&file, offset).unwrap();
            now += Stepped::FRESH;
            let seen = stepped.apply(time, now).duration_since(UNIX_EPOCH).unwrap();
            assert!((seen.as_secs_f64() - at).abs() < 1e-6, "{offset:?}: {seen:?}");
        }
    }
}
