//! The scheduler: periodic evaluations, tasks and syncs.
//!
//! Hears: configuration changes, ends of what it ran, its own alarm. Tells: the runner, the root (its block).
//! Restart: from the configuration and the stamps of the last runs; what runs goes on, and is not started twice: a task
//! holds its own lock.

mod entries;
mod runs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use model::{NodeMonitorStatus, ObjectPath, Provisioned, Schedule, Timestamp, thread};
use monitor::{ObjectView, TaskPlace};

use crate::entries::{Entry, Key, Texts, Work};
use dataset::config::ConfigCell;
use dataset::snapshot::SnapshotCell;
use dataset::view::View;
use machine::clock;
use machine::clock::now;
use machine::paths::Paths;
use mail::mail::Mail;
use mail::root::ThreadReport;
use mail::runner::{Recheck, RunScheduled};
use mail::scheduler::{ListSchedules, RunDone, SchedulesChanged};

/// Objects are left to be read.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct ReadMore;

/// A scheduled work ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Ended(Key);

/// Longest sleep: the clock may be set meanwhile.
const LONGEST: Duration = Duration::from_secs(60);
/// A change of the clock by less is none: it is corrected all the time.
const STEP_SECS: f64 = 1.0;

/// When work is looked at again that the state of the node forbids.
const LATER_SECS: f64 = 5.0;
/// Objects whose schedules are read before others have their turn on this thread: there may be thousands.
const READ_AT_ONCE: usize = 64;

/// The pause between two such: what is sent to oneself at once goes before what others have to do.
const READ_PAUSE: Duration = Duration::from_millis(1);

/// Whom the scheduler tells.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Evaluates instances.
    pub recheck: Recipient<Recheck>,
    /// Runs tasks and syncs.
    pub run: Recipient<RunScheduled>,
    /// Shows the block.
    pub root: Recipient<ThreadReport>,
}

/// The actor.
#[derive(Debug)]
pub struct Scheduler {
    paths: Arc<Paths>,
    config: ConfigCell,
    snapshot: SnapshotCell,
    tell: Neighbours,
    texts: Texts,
    entries: BTreeMap<Key, Entry>,
    /// When each work is due next, in milliseconds; work that waits or runs is not there.
    due: BTreeSet<(u64, Key)>,
    /// Due, but as much as allowed runs.
    waiting: VecDeque<(Key, Timestamp)>,
    running: BTreeSet<Key>,
    /// Objects whose schedules are to be read, and whether that goes on by itself.
    unread: BTreeSet<ObjectPath>,
    is_reading: bool,
    alarm: Option<SpawnHandle>,
    /// What the clock was ahead of boot time by at the last look: when that changes, it was set.
    ahead: f64,
    /// What was shown last.
    shown: Option<thread::Scheduler>,
}

impl Scheduler {
    /// The scheduler of a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        let tell = Neighbours {
            recheck: mail.runner.clone().recipient(),
            run: mail.runner.clone().recipient(),
            root: mail.root.clone().recipient(),
        };
        Self::with(mail.paths.clone(), mail.config.clone(), mail.snapshot.clone(), tell)
    }

    /// A scheduler with these neighbours.
    #[must_use]
    pub fn with(
        paths: Arc<Paths>,
        config: ConfigCell,
        snapshot: SnapshotCell,
        tell: Neighbours,
    ) -> Self {
        Self {
            paths,
            config,
            snapshot,
            tell,
            texts: Texts::default(),
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            waiting: VecDeque::new(),
            running: BTreeSet::new(),
            unread: BTreeSet::new(),
            is_reading: false,
            alarm: None,
            ahead: ahead(),
            shown: None,
        }
    }

    /// Reads the schedules of an object again.
    fn read(&mut self, path: &ObjectPath) {
        let config = self.config.load_full();
        let object = config.objects.get(path);
        let found = object.map(|object| entries::entries(&config, object, &mut self.texts));
        let first = Key { path: path.clone(), work: Work::Status, rid: "".into() };
        let mut old = BTreeMap::new();
        while let Some((key, _)) = self.entries.range(first.clone()..).next()
            && key.path == *path
        {
            let key = key.clone();
            if let Some(entry) = self.entries.remove(&key) {
                old.insert(key, entry);
            }
        }
        let now = now();
        for (key, mut entry) in found.into_iter().flatten() {
            let known = old.remove(&key);
            entry.last = match &known {
                Some(known) => known.last,
                None => self.first_last(&key, &entry, now),
            };
            let is_same = known.as_ref().is_some_and(|known| known.definition == entry.definition);
            entry.planned_ms = known.and_then(|known| known.planned_ms);
            let is_busy = entry.planned_ms.is_none() && self.is_busy(&key);
            self.entries.insert(key.clone(), entry);
            if !is_same && !is_busy {
                self.plan(&key, now);
            }
        }
        for (key, entry) in old {
            if let Some(planned) = entry.planned_ms {
                self.due.remove(&(planned, key));
            } else {
                self.waiting.retain(|(waiting, _)| *waiting != key);
            }
        }
    }

    /// Whether it waits or runs.
    fn is_busy(&self, key: &Key) -> bool {
        self.running.contains(key) || self.waiting.iter().any(|(waiting, _)| waiting == key)
    }

    /// The last run of what was just read: its stamp; an evaluation has just been made, so the next ones are spread.
    fn first_last(&self, key: &Key, entry: &Entry, now: Timestamp) -> Option<Timestamp> {
        if !matches!(key.work, Work::Status | Work::ResourceMonitor) {
            return key.last_run(&self.paths, now);
        }
        let interval = entry.schedule.interval()?.as_secs_f64();
        Some(Timestamp(now.0 - interval * spread(&key.path)))
    }

    /// Plans the next run of a work.
    fn plan(&mut self, key: &Key, now: Timestamp) {
        let Some(entry) = self.entries.get(key) else { return };
        let due = entry.due(key, now);
        self.plan_at(key, due.map(milliseconds));
    }

    fn plan_at(&mut self, key: &Key, due_ms: Option<u64>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if let Some(old) = std::mem::replace(&mut entry.planned_ms, due_ms) {
            self.due.remove(&(old, key.clone()));
        }
        if let Some(due) = due_ms {
            self.due.insert((due, key.clone()));
        }
    }

    fn sleep(&mut self, ctx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        let Some((due, _)) = self.due.first() else { return };
        let left = due.saturating_sub(milliseconds(now()));
        let delay = Duration::from_millis(left.max(1)).min(LONGEST);
        self.alarm = Some(ctx.run_later(delay, |this, ctx| {
            this.alarm = None;
            this.wake(ctx);
        }));
    }

    /// Plans anew after the clock was set: what ran is so long ago as it was before.
    fn follow_clock(&mut self) {
        let ahead = ahead();
        let step = ahead - std::mem::replace(&mut self.ahead, ahead);
        if step.abs() < STEP_SECS {
            return;
        }
        log::info!(seconds = step.round(); "the clock was set: the schedules are planned anew");
        let now = now();
        for entry in self.entries.values_mut() {
            entry.last = entry.last.map(|last| last.plus(step));
        }
        let planned = self.entries.iter().filter(|(_, entry)| entry.planned_ms.is_some());
        for key in planned.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.plan(&key, now);
        }
    }

    /// Takes what is due, and runs what may run.
    fn wake(&mut self, ctx: &mut Context<Self>) {
        self.follow_clock();
        let now = now();
        let is_ready = self.is_node_ready();
        while let Some((due, _)) = self.due.first()
            && *due <= milliseconds(now)
            && let Some((_, key)) = self.due.pop_first()
        {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.planned_ms = None;
            if !is_ready {
                self.plan_at(&key, Some(milliseconds(now.plus(LATER_SECS))));
            } else if self.place(&key) == TaskPlace::Nowhere {
                // What is due at an hour of the day is missed, not made up for where the object comes up later.
                let later = now.plus(LATER_SECS);
                let due = self.entries.get(&key).and_then(|entry| entry.due(&key, later));
                self.plan_at(&key, due.map(milliseconds));
            } else if self.place(&key) == TaskPlace::Elsewhere
                || key.work.needs_provisioned() && !self.is_provisioned(&key.path)
            {
                // As if it had run: it is looked at again when it is due next.
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.last = Some(now);
                }
                self.plan(&key, now);
            } else {
                self.waiting.push_back((key, now));
            }
        }
        self.run_waiting(ctx);
        self.sleep(ctx);
    }

    /// Nothing runs while the node starts or ends.
    fn is_node_ready(&self) -> bool {
        let snapshot = self.snapshot.load();
        let monitor = snapshot.local().and_then(|local| local.data.monitor.as_ref());
        monitor.is_some_and(|monitor| {
            !matches!(
                monitor.status,
                NodeMonitorStatus::Init
                    | NodeMonitorStatus::Upgrade
                    | NodeMonitorStatus::Shutting
                    | NodeMonitorStatus::Maintenance
            )
        })
    }

    fn is_provisioned(&self, path: &ObjectPath) -> bool {
        let snapshot = self.snapshot.load();
        let provisioned = snapshot.aggregate(path).and_then(|state| state.provisioned);
        !matches!(provisioned, Some(Provisioned::No | Provisioned::Mixed))
    }

    /// Where a work belongs: a task to where the object is up, the rest to each instance.
    fn place(&self, key: &Key) -> TaskPlace {
        if key.work != Work::Run {
            return TaskPlace::Here;
        }
        let (snapshot, config) = (self.snapshot.load(), self.config.load());
        let view = View::new(&snapshot, &config, false);
        monitor::task_place(&ObjectView::new(&view, &key.path))
    }

    fn read_all(&mut self, ctx: &mut Context<Self>) {
        let config = self.config.load_full();
        let known = self.entries.keys().map(|key| &key.path);
        let all: BTreeSet<ObjectPath> = config.objects.keys().chain(known).cloned().collect();
        self.unread.extend(all);
        self.read_some(ctx);
    }

    /// Reads some of the objects that are to be read, the others after whatever else this thread has to do.
    fn read_some(&mut self, ctx: &mut Context<Self>) {
        for _ in 0..READ_AT_ONCE {
            let Some(path) = self.unread.pop_first() else { break };
            self.read(&path);
        }
        if !self.unread.is_empty() && !std::mem::replace(&mut self.is_reading, true) {
            ctx.notify_later(ReadMore, READ_PAUSE);
        }
        self.sleep(ctx);
    }
}

/// What the clock is ahead of boot time by, in seconds.
fn ahead() -> f64 {
    now().0 - clock::steady().as_secs_f64()
}

fn milliseconds(time: Timestamp) -> u64 {
    (time.0 * 1_000.0) as u64
}

/// A part of one that is the same for the same object, and spread over the objects.
fn spread(path: &ObjectPath) -> f64 {
    let hash = path.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    ((hash >> 16) % 1_000) as f64 / 1_000.0
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("scheduler started");
        self.read_all(ctx);
        self.report();
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("scheduler stopped");
    }
}

impl Supervised for Scheduler {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::with(
            self.paths.clone(),
            self.config.clone(),
            self.snapshot.clone(),
            self.tell.clone(),
        );
    }
}

impl Handler<SchedulesChanged> for Scheduler {
    type Result = ();

    fn handle(&mut self, SchedulesChanged(paths): SchedulesChanged, ctx: &mut Context<Self>) {
        match paths {
            None => self.read_all(ctx),
            Some(paths) => {
                self.unread.extend(paths);
                self.read_some(ctx);
            }
        }
    }
}

impl Handler<ReadMore> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: ReadMore, ctx: &mut Context<Self>) {
        self.is_reading = false;
        self.read_some(ctx);
    }
}

impl Handler<Ended> for Scheduler {
    type Result = ();

    fn handle(&mut self, Ended(key): Ended, ctx: &mut Context<Self>) {
        self.end(&key, ctx);
    }
}

impl Handler<RunDone> for Scheduler {
    type Result = ();

    fn handle(&mut self, done: RunDone, ctx: &mut Context<Self>) {
        // Run by somebody else: the interval counts from it.
        let is_about = |key: &Key| {
            key.path == done.path
                && key.work.as_str() == done.action
                && (done.rids.is_empty() || done.rids.iter().any(|rid| **rid == *key.rid))
        };
        let keys: Vec<Key> = self.entries.keys().filter(|key| is_about(key)).cloned().collect();
        for key in
            keys.iter().filter(|key| !self.running.contains(*key)).cloned().collect::<Vec<_>>()
        {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.last = Some(now());
            }
            self.end(&key, ctx);
        }
    }
}

impl Handler<ListSchedules> for Scheduler {
    type Result = MessageResult<ListSchedules>;

    fn handle(&mut self, _: ListSchedules, _: &mut Context<Self>) -> Self::Result {
        let node = self.config.load().node.nodename.clone();
        let list = self.entries.iter().map(|(key, entry)| Schedule {
            node: node.clone(),
            path: key.path.clone(),
            action: key.work.as_str(),
            config_parameter: entry.parameter.to_string(),
            last_run: entry.last.unwrap_or(Timestamp::NEVER),
            schedule_definition: entry.definition.to_string(),
            next_run: entry.planned_ms.map(|due| due as f64 / 1_000.0),
        });
        MessageResult(list.collect())
    }
}

#[cfg(test)]
mod tests;
