//! What runs, what waits for it, and what is shown of both.
//!
//! Part of the `impl` of [`Scheduler`], in a file of its own for its length.

use std::collections::BTreeSet;

use actix::prelude::*;
use model::thread::Delayed;
use model::{ObjectPath, Timestamp, thread};

use machine::clock::now;
use machine::durable;
use mail::root::ThreadReport;
use mail::runner::{Recheck, RunScheduled};

use crate::entries::{Key, Work};
use crate::{Ended, Scheduler};

/// Work shown in the block of the thread.
const SHOWN: usize = 100;

impl Scheduler {
    pub(crate) fn run_waiting(&mut self, ctx: &mut Context<Self>) {
        let limit = self.config.load().max_parallel();
        while self.running.len() < limit
            && let Some((key, _)) = self.waiting.pop_front()
        {
            self.run(key, ctx);
        }
        self.report();
    }

    fn run(&mut self, key: Key, ctx: &mut Context<Self>) {
        let started = now();
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.last = Some(started);
        }
        self.running.insert(key.clone());
        let scheduler = ctx.address();
        let path = key.path.clone();
        let words: Vec<String> = match key.work {
            Work::Status | Work::ResourceMonitor => {
                let rids = (key.work == Work::ResourceMonitor).then(|| self.monitored(&path));
                let evaluated = self.tell.recheck.send(Recheck { path, rids });
                actix_rt::spawn(async move {
                    _ = evaluated.await;
                    scheduler.do_send(Ended(key));
                });
                return;
            }
            Work::Run => vec!["run".into(), "--rid".into(), key.rid.to_string()],
            Work::Sync => vec!["sync".into(), "all".into(), "--rid".into(), key.rid.to_string()],
        };
        log::debug!(path:% = path, action = key.work.as_str(), rid = &*key.rid; "scheduled work starts");
        self.note(&key, started);
        let words = words.into_iter().chain(["--cron".to_owned(), "--local".to_owned()]).collect();
        let run = self.tell.run.send(RunScheduled { path, words });
        actix_rt::spawn(async move {
            _ = run.await;
            scheduler.do_send(Ended(key));
        });
    }

    /// Resources that are looked at more often than the others.
    fn monitored(&self, path: &ObjectPath) -> BTreeSet<String> {
        let config = self.config.load();
        let resources = config.objects.get(path).map(|object| &object.settings.resources);
        resources
            .into_iter()
            .flatten()
            .filter(|(_, resource)| resource.monitor || resource.restart > 0)
            .map(|(rid, _)| rid.clone())
            .collect()
    }

    /// Notes the start of a run, for a later life and for commands.
    fn note(&self, key: &Key, started: Timestamp) {
        let file = key.stamp(&self.paths);
        machine::blocking::run(move || {
            let text = format!("{:?}\n", started.0);
            if let Err(error) = durable::write_cache(&file, text.as_bytes(), 0o644) {
                log::warn!(error:% = error; "run not noted");
            }
        });
    }

    /// Shows what waits and what runs, if that changed.
    pub(crate) fn report(&mut self) {
        let tasks = self.running.iter().filter(|key| matches!(key.work, Work::Run | Work::Sync));
        let delayed: Vec<Delayed> = self
            .waiting
            .iter()
            .take(SHOWN)
            .map(|(key, queued)| {
                let csum =
                    self.config.load().objects.get(&key.path).map(|object| object.csum.clone());
                Delayed {
                    action: key.work.as_str(),
                    path: key.path.clone(),
                    rid: (!key.rid.is_empty()).then(|| key.rid.to_string()),
                    queued: *queued,
                    expire: *queued,
                    csum: csum.map(|csum| csum.to_string()),
                }
            })
            .collect();
        let shown = Some(thread::Scheduler { running: tasks.count(), delayed });
        if shown == self.shown {
            return;
        }
        let report = shown.clone().map(thread::Report::Scheduler);
        self.tell.root.do_send(ThreadReport::new(thread::SCHEDULER, report, vec![]));
        self.shown = shown;
    }

    pub(crate) fn end(&mut self, key: &Key, ctx: &mut Context<Self>) {
        self.running.remove(key);
        self.plan(key, now());
        self.run_waiting(ctx);
        self.sleep(ctx);
    }
}
