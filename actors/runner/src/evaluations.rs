//! Evaluations of instances, and what makes them due: requests, ends of processes, changes of files.
//!
//! Part of the `impl` of [`Runner`], in a file of its own for its length.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use actix::prelude::*;
use futures_util::StreamExt as _;
use inotify::Inotify;
use model::{InstanceStatus, ObjectPath, Status, Timestamp, thread};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use drivers::Evaluation;
use machine::{process, watching};
use mail::cluster_data::{Flush, SetInstance};
use mail::root::ThreadReport;
use mail::runner::{Evaluate, EvaluateLater, Forget, Post, Recheck};

use crate::queue::Request;
use crate::unwatched::Place;
use crate::watched::Folders;
use crate::{Job, Runner, adopted, unwatched};

/// An evaluation ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Evaluated {
    path: ObjectPath,
    rids: Option<BTreeSet<String>>,
    found: Evaluation,
    is_found: bool,
    waiters: Vec<oneshot::Sender<bool>>,
}

/// What was posted of an instance is published.
#[derive(Message)]
#[rtype(result = "()")]
struct Posted(ObjectPath);

/// A watched process ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct ProcessEnded {
    path: ObjectPath,
    rid: String,
}

/// Shortest time between two evaluations of an instance that nobody asked for: an evaluation that changes what it watches
/// does not run for ever.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

impl Runner {
    /// Evaluations at a time: they mostly wait for programs and files.
    pub(super) fn limit() -> usize {
        (process::processors() * 2).clamp(4, 32)
    }

    pub(super) fn ask(&mut self, path: ObjectPath, request: Request, ctx: &mut Context<Self>) {
        self.queue.push(path, request);
        self.evaluate_next(ctx);
    }

    /// Starts evaluations, as many as allowed.
    pub(super) fn evaluate_next(&mut self, ctx: &mut Context<Self>) {
        while let Some((path, Request { rids, is_fresh, waiters })) =
            self.queue.start(Self::limit())
        {
            let config = self.tools.config.load_full();
            let snapshot = self.tools.snapshot.load();
            // What still runs of an object that is for other nodes now is looked at until it is gone.
            let is_left_over = snapshot.local_instance(&path).is_some();
            let object = config
                .objects
                .get(&path)
                .filter(|object| is_left_over || object.has_instance(&config.node.nodename));
            let Some(object) = object.cloned() else {
                self.queue.end(&path);
                for waiter in waiters {
                    _ = waiter.send(false);
                }
                continue;
            };
            let previous =
                snapshot.local_instance(&path).filter(|status| status.is_known()).cloned();
            let known = if is_fresh { None } else { self.watched.get(&path) };
            let job = Job { object, config, previous, known, rids: rids.clone() };
            let evaluator = self.tools.evaluator.clone();
            let broken = undefined(&job);
            let work = machine::blocking::run(move || evaluator(&job));
            let runner = ctx.address();
            actix_rt::spawn(async move {
                let found = match work.await {
                    Ok(found) => found,
                    Err(error) => Err(error.to_string()),
                };
                let is_found = found.is_ok();
                let found = found.unwrap_or_else(|reason| {
                    log::error!(path:% = path, reason = reason.as_str(); "instance not evaluated");
                    broken
                });
                runner.do_send(Evaluated { path, rids, found, is_found, waiters });
            });
        }
    }

    /// Evaluates resources of an instance because something they watch changed.
    pub(super) fn react(&mut self, (path, rid): Place, ctx: &mut Context<Self>) {
        log::debug!(path:% = path, rid = &*rid; "what is watched changed");
        if let Some(waiting) = self.paused.get_mut(&path) {
            waiting.insert(rid.into());
            return;
        }
        self.paused.insert(path.clone(), BTreeSet::new());
        let request = Request { rids: Some([rid.into()].into()), ..Request::default() };
        self.ask(path.clone(), request, ctx);
        ctx.run_later(PAUSE, move |this, ctx| {
            for rid in this.paused.remove(&path).into_iter().flatten() {
                this.react((path.clone(), rid.into()), ctx);
            }
        });
    }

    /// Evaluates an instance with those who wait for it; ends when the result is published.
    pub(super) fn evaluated(
        &mut self,
        path: ObjectPath,
        ctx: &mut Context<Self>,
    ) -> oneshot::Receiver<bool> {
        let (done, end) = oneshot::channel();
        self.ask(path, Request { is_fresh: true, waiters: vec![done], ..Request::default() }, ctx);
        end
    }

    /// Watches the files of instances, as far as the system lets us; what is not watched is looked at.
    pub(super) fn watch_files(&mut self, ctx: &mut Context<Self>) {
        if !self.folders.is_able() {
            let opened = Inotify::init().and_then(|inotify| {
                self.folders.watch_with(&inotify);
                inotify.into_event_stream(vec![0; 16 << 10])
            });
            match opened {
                Ok(events) => ctx.add_stream(events.map(FileEvent)),
                Err(error) => {
                    self.folders.lose(watching::reason(&error));
                    return self.tell_unwatched(ctx);
                }
            };
        }
        self.folders.try_again();
        self.tell_unwatched(ctx);
    }

    /// Tells when files come to be not watched, or to be watched again, and looks at them meanwhile.
    fn tell_unwatched(&mut self, ctx: &mut Context<Self>) {
        let is_blind = !self.folders.is_able() || !self.folders.unwatched.is_empty();
        let alert = self.folders.unwatched.reason.clone().filter(|_| is_blind);
        if alert != self.alert {
            let alerts =
                alert.iter().map(|reason| watching::alert("files of instances", reason)).collect();
            match &alert {
                Some(reason) => {
                    log::error!(reason = reason.as_str(); "files of instances are not watched: they are looked at every 2 s");
                }
                None => log::info!("files of instances are watched again"),
            }
            self.neighbours.root.do_send(ThreadReport::alerts(thread::RUNNER, alerts));
            self.alert = alert;
        }
        if is_blind && self.sweep.is_none() {
            self.sweep = Some(ctx.run_later(watching::SWEEP, Self::look_at_unwatched));
        }
    }

    /// Looks at what is not watched, on another thread, and tries to have it watched.
    fn look_at_unwatched(&mut self, ctx: &mut Context<Self>) {
        let files = self.folders.unwatched.files();
        let looked = machine::blocking::run(move || unwatched::look(files));
        ctx.spawn(looked.into_actor(self).map(|looks, this, ctx| {
            let concerned = looks.map(|looks| this.folders.unwatched.seen(looks));
            for place in concerned.unwrap_or_default() {
                this.react(place, ctx);
            }
            this.sweep = None;
            let before = this.folders.unwatched.places();
            this.watch_files(ctx);
            // Between the look and the watch, what is watched now may have changed.
            for place in &before - &this.folders.unwatched.places() {
                this.react(place, ctx);
            }
        }));
    }
}

impl Handler<Evaluate> for Runner {
    type Result = ResponseFuture<bool>;

    fn handle(
        &mut self,
        Evaluate { path, rids }: Evaluate,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        let (done, end) = oneshot::channel();
        let is_fresh = rids.is_none();
        self.ask(path, Request { rids, is_fresh, waiters: vec![done] }, ctx);
        Box::pin(async move { end.await.unwrap_or(false) })
    }
}

impl Handler<Recheck> for Runner {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, Recheck { path, rids }: Recheck, ctx: &mut Context<Self>) -> Self::Result {
        let (done, end) = oneshot::channel();
        self.ask(path, Request { rids, waiters: vec![done], ..Request::default() }, ctx);
        Box::pin(async move { end.await.unwrap_or(false) })
    }
}

impl Handler<EvaluateLater> for Runner {
    type Result = ();

    fn handle(&mut self, EvaluateLater(paths): EvaluateLater, ctx: &mut Context<Self>) {
        for path in paths {
            self.queue.push(path, Request { is_fresh: true, ..Request::default() });
        }
        self.evaluate_next(ctx);
    }
}

impl Handler<Post> for Runner {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Post { path, status }: Post, ctx: &mut Context<Self>) -> Self::Result {
        self.queue.post(path.clone());
        // The processes and files to watch are not those of before.
        self.queue.push(path.clone(), Request { is_fresh: true, ..Request::default() });
        let (data, flush) = self.neighbours.cluster_data.clone();
        if data.try_send(SetInstance { path: path.clone(), status }).is_err() {
            // It is evaluated next.
            log::warn!(path:% = path; "a status is not published: the cluster data is busy");
        }
        let runner = ctx.address();
        Box::pin(async move {
            // Whoever posts looks at it next.
            _ = flush.send(Flush).await;
            runner.do_send(Posted(path));
        })
    }
}

impl Handler<Posted> for Runner {
    type Result = ();

    fn handle(&mut self, Posted(path): Posted, ctx: &mut Context<Self>) {
        self.queue.end(&path);
        self.evaluate_next(ctx);
    }
}

impl Handler<Evaluated> for Runner {
    type Result = ();

    fn handle(&mut self, evaluated: Evaluated, ctx: &mut Context<Self>) {
        let Evaluated { path, rids, found, is_found, waiters } = evaluated;
        let is_overtaken = self.queue.is_overtaken(&path);
        self.queue.end(&path);
        if is_overtaken {
            // A command posted what it found meanwhile: ours is older, and what it kept of before is older still.
            log::debug!(path:% = path; "evaluation overtaken");
            self.queue.push(path, Request { is_fresh: true, waiters, ..Request::default() });
            self.evaluate_next(ctx);
            return;
        }
        let Evaluation { status, watch } = found;
        // Deleted meanwhile: nobody wants to hear of it.
        if self.tools.config.load().objects.contains_key(&path) {
            self.neighbours
                .cluster_data
                .0
                .do_send(SetInstance { path: path.clone(), status: Box::new(status) });
            let runner = ctx.address();
            let follow = |rid: &str, pid| follow(runner.clone(), path.clone(), rid.to_owned(), pid);
            self.watched.set(&path, watch, rids.as_ref(), &mut self.folders, follow);
            self.tell_unwatched(ctx);
        }
        if !waiters.is_empty() {
            let flush = self.neighbours.cluster_data.1.clone();
            actix_rt::spawn(async move {
                _ = flush.send(Flush).await;
                for waiter in waiters {
                    _ = waiter.send(is_found);
                }
            });
        }
        self.evaluate_next(ctx);
    }
}

/// What is published of an instance that could not be evaluated: its state is undefined, and that is a state.
fn undefined(job: &Job) -> Evaluation {
    let status = InstanceStatus {
        updated: machine::clock::now(),
        config_csum: model::ConfigCsum::parse(&job.object.csum),
        kind: Some(job.object.path.kind()),
        topology: Some(job.object.settings.topology.to_string()),
        frozen: Some(Timestamp::NEVER),
        avail: Some(Status::Undef),
        overall: Some(Status::Undef),
        optional: Some(Status::NotApplicable),
        resources: Some(BTreeMap::new()),
        ..job.previous.as_deref().cloned().unwrap_or_default()
    };
    let watch = job.known.clone().unwrap_or_default();
    Evaluation { status, watch }
}

/// Follows a process to its end.
fn follow(runner: Addr<Runner>, path: ObjectPath, rid: String, pid: u32) -> AbortHandle {
    actix_rt::spawn(async move {
        match adopted::watch_process(i32::try_from(pid).unwrap_or(0)) {
            Ok(Some(process)) => adopted::ended(&process).await,
            Ok(None) => {}
            Err(error) => {
                log::warn!(path:% = path, pid = pid, error:% = error; "process not followed");
                return;
            }
        }
        runner.do_send(ProcessEnded { path, rid });
    })
    .abort_handle()
}

impl Handler<ProcessEnded> for Runner {
    type Result = ();

    fn handle(&mut self, ProcessEnded { path, rid }: ProcessEnded, ctx: &mut Context<Self>) {
        self.react((path, rid.into()), ctx);
    }
}

/// What inotify tells of the files of instances.
struct FileEvent(std::io::Result<inotify::Event<std::ffi::OsString>>);

impl StreamHandler<FileEvent> for Runner {
    fn handle(&mut self, FileEvent(event): FileEvent, ctx: &mut Context<Self>) {
        let concerned = match &event {
            Ok(event) => self.folders.concerned(event),
            Err(_) => None,
        };
        match concerned {
            Some(places) => places.into_iter().for_each(|place| self.react(place, ctx)),
            None => {
                log::warn!("events of watched files were lost: all are looked at");
                let paths = self.watched.with_files().cloned().collect();
                ctx.notify(EvaluateLater(paths));
            }
        }
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        self.folders = Folders::new();
        self.watch_files(ctx);
        // What was watched is again, once it is evaluated.
        let paths = self.watched.with_files().cloned().collect();
        ctx.notify(EvaluateLater(paths));
    }
}

impl Handler<Forget> for Runner {
    type Result = ();

    fn handle(&mut self, Forget(path): Forget, _: &mut Context<Self>) {
        self.watched.forget(&path, &mut self.folders);
    }
}
