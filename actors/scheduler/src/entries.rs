//! What recurs, and when it is due next.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conf::Schedule;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{ObjectPath, Timestamp};

use dataset::config::{LoadedConfig, LoadedObject};
use machine::paths::Paths;

/// What recurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// Evaluate the whole instance.
    Status,
    /// Evaluate its monitored resources.
    ResourceMonitor,
    /// Run a task.
    Run,
    /// Run a sync.
    Sync,
}

impl Work {
    /// The word of the field.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::ResourceMonitor => "resource_monitor",
            Self::Run => "run",
            Self::Sync => "sync_all",
        }
    }

    /// Whether it rests while the object is not provisioned everywhere, as in deployed agents.
    pub(super) fn needs_provisioned(self) -> bool {
        self != Self::Status
    }
}

/// Names one recurring work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) path: ObjectPath,
    pub(super) work: Work,
    /// The resource; empty for the whole instance.
    pub(super) rid: Box<str>,
}

impl Key {
    /// Where its last run is noted, under the name that deployed agents give it: seconds since 1970 and a newline.
    pub(super) fn stamp(&self, paths: &Paths) -> PathBuf {
        self.file(
            paths,
            &match self.work {
                Work::Run => format!("last_{}", self.rid),
                Work::Sync => format!("last_syncall_{}", self.rid),
                Work::Status | Work::ResourceMonitor => format!("last_{}", self.work.as_str()),
            },
        )
    }

    /// When it ran last, as this agent, a deployed one or an older one of ours noted it. What is dated ahead was noted by a
    /// clock that has been set back since: any other says more.
    pub(super) fn last_run(&self, paths: &Paths, now: Timestamp) -> Option<Timestamp> {
        let older = self.file(paths, &format!("last_{}_{}", self.work.as_str(), self.rid));
        let stamps = [self.stamp(paths), older];
        let mut noted: Vec<Timestamp> = stamps.iter().filter_map(|file| read_stamp(file)).collect();
        noted.sort_by(|one, other| one.0.total_cmp(&other.0));
        let newest = noted.iter().rev().find(|stamp| stamp.0 <= now.0);
        newest.or(noted.first()).copied()
    }

    fn file(&self, paths: &Paths, name: &str) -> PathBuf {
        paths.var_dir(&self.path).join("scheduler").join(name)
    }

    /// Draws the time within a range: the same for the same work, spread over the objects.
    fn seed(&self) -> u64 {
        let text = format!("{}/{}/{}", self.path, self.work.as_str(), self.rid);
        // FNV-1a: it only has to spread, and to stay the same.
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// A stamp: seconds since 1970, or, where a sync of a deployed agent wrote it, the local time in words.
fn read_stamp(file: &Path) -> Option<Timestamp> {
    let text = machine::regular::words(file)?;
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite().then_some(Timestamp(seconds));
    }
    timestamp(DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", text).ok()?)
}

/// One recurring work.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Where its definition is: `DEFAULT.status_schedule`.
    pub(super) parameter: Box<str>,
    /// Its definition.
    pub(super) definition: Arc<str>,
    pub(super) schedule: Arc<Schedule>,
    /// Start of its last run.
    pub(super) last: Option<Timestamp>,
    /// When it is planned, in milliseconds; none while it waits or runs.
    pub(super) planned_ms: Option<u64>,
}

impl Entry {
    /// When it is due next, at `now` or later.
    pub(super) fn due(&self, key: &Key, now: Timestamp) -> Option<Timestamp> {
        due_in(&TimeZone::system(), &self.schedule, self.last, now, key.seed())
    }
}

/// Looks ahead over so many changes of the clocks of a country.
const MOST_CHANGES: u32 = 4;

/// When a schedule is due next, at `now` or later. What is due so long after the last run is so on the line of time, on which
/// no hour is missing or there twice; what is due at an hour of the day is so by the clocks of the country.
fn due_in(
    zone: &TimeZone,
    schedule: &Schedule,
    last: Option<Timestamp>,
    now: Timestamp,
    seed: u64,
) -> Option<Timestamp> {
    let mut now = now;
    for _ in 0..MOST_CHANGES {
        let here = civil(zone, now)?;
        // As far back by the clock as it is by the line. In the future after the clock was set back: no reason to wait.
        let last = last.filter(|last| *last <= now).and_then(|last| {
            here.checked_sub(Duration::try_from_secs_f64(now.since(last)).ok()?).ok()
        });
        let due = schedule.next_due(here, last, seed)?;
        let ahead = due.time.duration_since(here).as_secs_f64().max(0.0);
        let on_line = Timestamp(now.0 + ahead);
        if civil(zone, on_line)? == due.time || ahead == 0.0 {
            return Some(on_line);
        }
        if !due.is_interval {
            let zoned = zone.to_ambiguous_zoned_datetime(due.time);
            let both = [zoned.clone().earlier().ok()?, zoned.later().ok()?];
            let at = both.map(|at| Timestamp(at.timestamp().as_millisecond() as f64 / 1_000.0));
            return at.into_iter().find(|at| at.0 >= now.0.floor());
        }
        if schedule.is_allowed(civil(zone, on_line)?, None) {
            return Some(on_line);
        }
        now = on_line;
    }
    None
}

fn timestamp(time: DateTime) -> Option<Timestamp> {
    let zoned = time.to_zoned_datetime(TimeZone::system()).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond() as f64 / 1_000.0))
}

fn civil(zone: &TimeZone, time: Timestamp) -> Option<DateTime> {
    let time = jiff::Timestamp::from_millisecond((time.0 * 1_000.0).round() as i64).ok()?;
    Some(zone.to_datetime(time))
}

/// Schedules by their text: thousands of objects share a few.
#[derive(Debug, Default)]
pub(super) struct Texts(BTreeMap<Arc<str>, Arc<Schedule>>);

impl Texts {
    /// The schedule of a text; none if it never runs, or is none.
    fn get(&mut self, path: &ObjectPath, text: &str) -> Option<(Arc<str>, Arc<Schedule>)> {
        if !self.0.contains_key(text) {
            let schedule = Schedule::parse(text).unwrap_or_else(|error| {
                log::warn!(path:% = path, error:% = error; "not scheduled");
                Schedule::default()
            });
            self.0.insert(text.into(), Arc::new(schedule));
        }
        let (text, schedule) = self.0.get_key_value(text)?;
        (!schedule.is_empty()).then(|| (text.clone(), schedule.clone()))
    }
}

/// What recurs for an object with a local instance.
pub(super) fn entries(
    config: &LoadedConfig,
    object: &LoadedObject,
    texts: &mut Texts,
) -> Vec<(Key, Entry)> {
    if !object.has_instance(&config.node.nodename) || object.settings.disabled {
        return vec![];
    }
    let mut found = Vec::new();
    let mut add = |work: Work, rid: &str, parameter: String, definition: &str| {
        let Some((definition, schedule)) = texts.get(&object.path, definition) else { return };
        let key = Key { path: object.path.clone(), work, rid: rid.into() };
        let entry = Entry {
            parameter: parameter.into(),
            definition,
            schedule,
            last: None,
            planned_ms: None,
        };
        found.push((key, entry));
    };
    let conf = object.conf();
    let default = conf.section(&config.context, "DEFAULT");
    let text = |keyword: &str| default.text(keyword).ok().flatten();
    let status = text("status_schedule").unwrap_or_else(|| "@10".to_owned());
    add(Work::Status, "", "DEFAULT.status_schedule".to_owned(), &status);
    let is_monitored = object.settings.resources.values().any(|resource| resource.monitor);
    let monitor = text("monitor_schedule").filter(|text| !text.is_empty());
    if let Some(definition) = monitor.or_else(|| is_monitored.then(|| "@1".to_owned())) {
        add(Work::ResourceMonitor, "", "DEFAULT.monitor_schedule".to_owned(), &definition);
    }
    for section in conf.resources(&config.context) {
        let work = match section.group() {
            "task" => Work::Run,
            "sync" => Work::Sync,
            _ => continue,
        };
        let is = |keyword: &str| section.bool(keyword).unwrap_or(false);
        if is("disable") || (work == Work::Run && is("confirmation")) {
            continue;
        }
        if let Ok(Some(definition)) = section.text("schedule") {
            add(work, section.name(), format!("{}.schedule", section.name()), &definition);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use files::load::Load as _;
    use model::NodeName;

    fn load(text: &str) -> LoadedConfig {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        std::fs::write(paths.etc.join("svc1.conf"), text).unwrap();
        LoadedConfig::load(&paths, &NodeName::new("n1").unwrap())
    }

    fn names(text: &str) -> Vec<String> {
        let config = load(text);
        let object = config.objects.values().next().unwrap();
        let found = entries(&config, object, &mut Texts::default());
        found
            .into_iter()
            .map(|(key, entry)| {
                format!(
                    "{} {} {} {}",
                    key.work.as_str(),
                    key.rid,
                    entry.parameter,
                    entry.definition
                )
            })
            .collect()
    }

    #[test]
    fn an_instance_is_evaluated_every_ten_minutes_and_its_monitored_resources_every_minute() {
        assert_eq!(
            names("[DEFAULT]\nid = 1\nnodes = n1\n[app#1]\nstart = /bin/true\n"),
            ["status  DEFAULT.status_schedule @10"]
        );
        assert_eq!(
            names(
                "[DEFAULT]\nid = 1\nnodes = n1\nstatus_schedule = @30\n[app#1]\nstart = /bin/true\nmonitor = true\n"
            ),
            [
                "status  DEFAULT.status_schedule @30",
                "resource_monitor  DEFAULT.monitor_schedule @1"
            ]
        );
    }

    #[test]
    fn tasks_run_by_their_own_schedule_or_that_of_the_object() {
        let found = names(
            "[DEFAULT]\nid = 1\nnodes = n1\nrun_schedule = @5\nstatus_schedule = @0\n\
             [task#1]\ncommand = /bin/true\n[task#2]\ncommand = /bin/true\nschedule = @7\n\
             [task#3]\ncommand = /bin/true\nconfirmation = true\n",
        );
        assert_eq!(found, ["run task#1 task#1.schedule @5", "run task#2 task#2.schedule @7"]);
    }

    #[test]
    fn an_object_without_instance_here_has_no_schedule() {
        assert_eq!(names("[DEFAULT]\nid = 1\nnodes = n2\n"), Vec::<String>::new());
        assert_eq!(names("[DEFAULT]\nid = 1\nnodes = n1\ndisable = true\n"), Vec::<String>::new());
    }

    #[test]
    fn an_interval_counts_from_the_last_run() {
        let config = load("[DEFAULT]\nid = 1\nnodes = n1\n");
        let object = config.objects.values().next().unwrap();
        let (key, mut entry) = entries(&config, object, &mut Texts::default()).remove(0);
        let now = Timestamp(1_790_000_000.0);
        entry.last = Some(Timestamp(now.0 - 60.0));
        assert_eq!(entry.due(&key, now), Some(Timestamp(now.0 + 540.0)));
        entry.last = Some(Timestamp(now.0 - 6_000.0));
        assert_eq!(entry.due(&key, now), Some(now));
        entry.last = Some(Timestamp(now.0 + 1e8));
        assert_eq!(entry.due(&key, now), Some(now), "the clock was ahead");
    }

    #[test]
    fn a_stamp_that_is_dated_ahead_hides_no_other_one() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let path = ObjectPath::parse("svc1").unwrap();
        let key = Key { path: path.clone(), work: Work::Run, rid: "task#1".into() };
        let stamps = paths.var_dir(&path).join("scheduler");
        std::fs::create_dir_all(&stamps).unwrap();
        let now = Timestamp(1_790_000_000.0);
        let note =
            |name: &str, at: f64| std::fs::write(stamps.join(name), format!("{at}\n")).unwrap();
        note("last_task#1", now.0 - 60.0);
        note("last_run_task#1", now.0 + 1e8);
        assert_eq!(key.last_run(&paths, now), Some(Timestamp(now.0 - 60.0)));
        note("last_task#1", now.0 + 2e8);
        assert_eq!(key.last_run(&paths, now), Some(Timestamp(now.0 + 1e8)));
        note("last_task#1", now.0);
        note("last_run_task#1", now.0 - 60.0);
        assert_eq!(key.last_run(&paths, now), Some(now));
    }

    /// Runs a schedule through a day on which the clocks of Paris change, and returns the times in seconds since the first.
    fn runs(text: &str, from: &str, hours: f64) -> Vec<f64> {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let schedule = Schedule::parse(text).unwrap();
        let start: jiff::Timestamp = from.parse().unwrap();
        let start = start.as_millisecond() as f64 / 1_000.0;
        let (mut now, mut last, mut times) = (Timestamp(start), None, vec![]);
        while let Some(due) = due_in(&zone, &schedule, last, now, 1)
            && due.0 < start + hours * 3_600.0
        {
            times.push(due.0 - start);
            last = Some(due);
            now = Timestamp(due.0 + 0.001);
        }
        times
    }

    #[test]
    fn an_interval_goes_on_through_the_hour_that_is_there_twice_and_the_one_that_is_missing() {
        for (text, secs) in [("@5s", 5.0), ("@1m", 60.0), ("@10", 600.0), ("@2h", 7_200.0)] {
            for day in ["2026-10-24T23:00:00Z", "2026-03-28T23:30:00Z"] {
                let times = runs(text, day, 6.0);
                let wanted: Vec<f64> = (0..)
                    .map(|n| f64::from(n) * secs)
                    .take_while(|at| *at < 6.0 * 3_600.0)
                    .collect();
                assert_eq!(times, wanted, "{text} from {day}");
            }
        }
    }

    #[test]
    fn an_hour_of_the_day_is_one_of_the_country() {
        let hour = 3_600.0;
        // From one o'clock in the morning to nine, as the clocks show it: once a day.
        assert_eq!(runs("09:00", "2026-10-24T23:00:00Z", 20.0), [9.0 * hour]);
        assert_eq!(runs("09:00", "2026-03-29T00:00:00Z", 20.0), [7.0 * hour]);
        // Every ten minutes from half past two to three, once a day although that hour is there twice.
        let twice = runs("02:30-02:59@10m", "2026-10-24T23:00:00Z", 6.0);
        assert_eq!(twice.len(), 3, "{twice:?}");
    }
}
