//! Children that act: instance actions, commands of requests, scheduled work, the queue of the collector.
//!
//! Part of the `impl` of [`Runner`], in a file of its own for its length.

use std::time::Instant;

use actix::prelude::*;
use model::ObjectPath;
use monitor::Dequeue;
use tokio::sync::oneshot;

use crate::adopted::Adopted;
use crate::ended::Begun;
use crate::evaluations::PAUSE;
use crate::{Action, Runner, Tools, child};
use machine::pidfd::Process;
use machine::random;
use mail::cluster_data::Flush;
use mail::runner::{
    ActionFound, AwaitAction, Awaited, CommandOutcome, DequeueActions, EndAction, Evaluate,
    EvaluateLater, FindAction, RunAction, RunCommand, RunScheduled, StopActions,
};

/// A child of ours ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct ActionEnded {
    id: u64,
    exit_code: Option<i32>,
}

/// The run that dequeues actions ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Dequeued;

impl Runner {
    /// Starts actions, as many as allowed.
    pub(super) fn act_next(&mut self, ctx: &mut Context<Self>) {
        let limit = self.tools.config.load().max_parallel();
        while self.actions.len() - self.waiting.len() < limit
            && let Some((_, id)) = self.waiting.pop_first()
        {
            let Some(action) = self.actions.get_mut(&id) else { continue };
            let session = random::random_uuid();
            let csum = csum_of(&self.tools, &action.path);
            action.since = Some(Instant::now());
            action.begun = Some(Begun::new(&self.tools.paths, &action.path, &action.name));
            let child = child::start(&self.tools.om, &action.words, &session, Some(&csum));
            let runner = ctx.address();
            match child {
                Ok(mut child) => {
                    action.group = child::group(&child);
                    log::info!(path:% = action.path, action = action.name.as_str(), sid = session.as_str(); "action started");
                    action.session = session;
                    actix_rt::spawn(async move {
                        let exit_code = child.wait().await.ok().map(child::exit_code);
                        runner.do_send(ActionEnded { id, exit_code });
                    });
                }
                Err(error) => {
                    log::error!(path:% = action.path, error:% = error; "action not started");
                    runner.do_send(ActionEnded { id, exit_code: None });
                }
            }
        }
    }

    /// Does what is to be done about the queue of the collector.
    fn dequeue(&mut self, next: Dequeue, ctx: &mut Context<Self>) {
        match next {
            Dequeue::Run => self.run_dequeue(ctx),
            Dequeue::After(pause) => {
                ctx.run_later(pause, |this, ctx| {
                    let next = this.dequeuing.on_alarm(this.epoch.elapsed());
                    this.dequeue(next, ctx);
                });
            }
            Dequeue::Nothing => {}
        }
    }

    fn run_dequeue(&mut self, ctx: &mut Context<Self>) {
        let words = ["node", "dequeue", "actions"].map(str::to_owned);
        let child = child::start(&self.tools.om, &words, &random::random_uuid(), None);
        let runner = ctx.address();
        match child {
            Ok(mut child) => {
                log::info!("dequeue actions");
                actix_rt::spawn(async move {
                    _ = child.wait().await;
                    runner.do_send(Dequeued);
                });
            }
            Err(error) => {
                log::error!(error:% = error; "actions not dequeued");
                ctx.notify(Dequeued);
            }
        }
    }
}

/// Checksum of an object's configuration in force; empty without one.
fn csum_of(tools: &Tools, path: &ObjectPath) -> String {
    tools.config.load().objects.get(path).map(|object| object.csum.clone()).unwrap_or_default()
}

impl Handler<RunAction> for Runner {
    type Result = ResponseFuture<Option<i32>>;

    fn handle(&mut self, run: RunAction, ctx: &mut Context<Self>) -> Self::Result {
        let RunAction { path, action, priority } = run;
        let is_about_node = action.is_about_node();
        let mut words = action.argv();
        let name = words.first().cloned().unwrap_or_default();
        if !is_about_node {
            words.splice(0..0, path.command_words());
        }
        let (done, end) = oneshot::channel();
        self.next_action += 1;
        let id = self.next_action;
        let action = Action {
            path,
            words,
            name,
            begun: None,
            since: None,
            is_about_node,
            group: None,
            session: String::new(),
            is_found: false,
            done: vec![done],
        };
        self.actions.insert(id, action);
        self.waiting.insert((priority, id));
        self.act_next(ctx);
        Box::pin(async move { end.await.unwrap_or(None) })
    }
}

impl Handler<ActionEnded> for Runner {
    type Result = ();

    fn handle(&mut self, ActionEnded { id, exit_code }: ActionEnded, ctx: &mut Context<Self>) {
        let Some(action) = self.actions.remove(&id) else { return };
        if let Some(since) = action.since {
            self.tools.counts.on_action(&action.name, exit_code == Some(0), since.elapsed());
        }
        let is_kept_now = match &action.begun {
            Some(begun) => begun.ended(&self.tools.paths, exit_code),
            None => {
                log::warn!(path:% = action.path, action = action.name.as_str(); "action not begun");
                false
            }
        };
        let name = action.name.as_str();
        // Of what is deleted nothing is left to evaluate.
        let has_instance = !action.is_about_node && name != "delete";
        // What the action did is to be seen by who asked for it.
        let is_found = action.is_found && !is_kept_now;
        let evaluated =
            (has_instance && !is_found).then(|| self.evaluated(action.path.clone(), ctx));
        let flush = self.neighbours.cluster_data.1.clone();
        actix_rt::spawn(async move {
            if let Some(evaluated) = evaluated {
                _ = evaluated.await;
            } else if is_found {
                _ = flush.send(Flush).await;
            }
            for done in action.done {
                _ = done.send(exit_code);
            }
        });
        self.act_next(ctx);
    }
}

impl Handler<ActionFound> for Runner {
    type Result = ();

    fn handle(&mut self, ActionFound { session }: ActionFound, _: &mut Context<Self>) {
        if let Some(action) = self.actions.values_mut().find(|action| action.session == session) {
            action.is_found = true;
        }
    }
}

impl Handler<AwaitAction> for Runner {
    type Result = ResponseFuture<Option<Awaited>>;

    fn handle(&mut self, AwaitAction(path): AwaitAction, ctx: &mut Context<Self>) -> Self::Result {
        if let Some(action) = self.actions.values_mut().find(|action| action.path == path) {
            let (done, end) = oneshot::channel();
            action.done.push(done);
            let action = action.name.clone();
            return Box::pin(async move {
                Some(Awaited { action, exit_code: end.await.unwrap_or(None) })
            });
        }
        let adopted = match Adopted::find(&self.tools.paths, &path) {
            Ok(Some(adopted)) => adopted,
            Ok(None) => return Box::pin(std::future::ready(None)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let runner = ctx.address();
                return Box::pin(async move {
                    tokio::time::sleep(PAUSE).await;
                    runner.send(AwaitAction(path)).await.ok().flatten()
                });
            }
            Err(error) => {
                log::warn!(path:% = path, error:% = error; "no way to see whether an action runs");
                return Box::pin(std::future::ready(None));
            }
        };
        log::info!(path:% = path, action = adopted.intent.as_str(); "action adopted");
        let (runner, paths) = (ctx.address(), self.tools.paths.clone());
        let begun = Begun::new(&paths, &path, &adopted.intent);
        Box::pin(async move {
            adopted.ended().await;
            begun.adopted_ended(&paths);
            _ = runner.send(Evaluate { path, rids: None }).await;
            Some(Awaited { action: adopted.intent, exit_code: None })
        })
    }
}

impl Handler<FindAction> for Runner {
    type Result = MessageResult<FindAction>;

    fn handle(&mut self, FindAction(path): FindAction, _: &mut Context<Self>) -> Self::Result {
        if let Some(action) = self.actions.values().find(|action| action.path == path) {
            return MessageResult(Some(action.name.clone()));
        }
        let adopted = Adopted::find(&self.tools.paths, &path).ok().flatten();
        MessageResult(adopted.map(|adopted| adopted.intent))
    }
}

impl Handler<EndAction> for Runner {
    type Result = ();

    fn handle(&mut self, EndAction(path): EndAction, ctx: &mut Context<Self>) {
        let is_meant = |action: &Action| action.path == path && !action.is_about_node;
        let mut is_any = false;
        for (id, action) in self.actions.iter().filter(|(_, action)| is_meant(action)) {
            is_any = true;
            let name = action.name.as_str();
            if let Some(process) = &action.group {
                // Not what it runs: it ends that in order, and stops again what it started.
                end(process, &path, name);
            } else if self.waiting.iter().any(|(_, waiting)| waiting == id) {
                log::info!(path:% = path, action = name; "action not begun, as asked");
            }
        }
        let is_waiting = |(_, id): &(i64, u64)| self.actions.get(id).is_some_and(&is_meant);
        let waiting: Vec<(i64, u64)> = self.waiting.iter().copied().filter(is_waiting).collect();
        for entry in waiting {
            self.waiting.remove(&entry);
            ctx.notify(ActionEnded { id: entry.1, exit_code: None });
        }
        if is_any {
            return;
        }
        // That of an operator, or of an earlier life of this daemon.
        match Adopted::find(&self.tools.paths, &path) {
            Ok(Some(adopted)) => match Process::open(adopted.pid) {
                Ok(Some(process)) => end(&process, &path, &adopted.intent),
                Ok(None) => {}
                Err(error) => log::warn!(path:% = path, error:% = error; "action not ended"),
            },
            Ok(None) => {}
            Err(error) => log::warn!(path:% = path, error:% = error; "action not ended"),
        }
    }
}

/// Asks an action to end.
fn end(process: &Process, path: &ObjectPath, action: &str) {
    let pid = process.pid();
    match process.signal(rustix::process::Signal::TERM) {
        Ok(()) => log::info!(path:% = path, action, pid; "action ended, as asked"),
        Err(error) => log::warn!(path:% = path, action, pid, error:% = error; "action not ended"),
    }
}

impl Handler<StopActions> for Runner {
    type Result = ();

    fn handle(&mut self, _: StopActions, ctx: &mut Context<Self>) {
        for (_, id) in std::mem::take(&mut self.waiting) {
            ctx.notify(ActionEnded { id, exit_code: None });
        }
        for action in self.actions.values().filter(|action| action.group.is_some()) {
            log::info!(path:% = action.path, action = action.name.as_str(); "action interrupted");
            child::signal(action.group.as_ref(), rustix::process::Signal::TERM);
        }
    }
}

impl Handler<RunCommand> for Runner {
    type Result = ResponseFuture<Result<CommandOutcome, std::io::ErrorKind>>;

    fn handle(&mut self, run: RunCommand, ctx: &mut Context<Self>) -> Self::Result {
        let RunCommand { words, sync, path, time } = run;
        let (om, session_id, runner) =
            (self.tools.om.clone(), random::random_uuid(), ctx.address());
        let is_about_instance = path.filter(|path| path.kind().has_instances());
        let after = move || {
            if let Some(path) = is_about_instance {
                runner.do_send(EvaluateLater(vec![path]));
            }
        };
        if sync {
            return Box::pin(async move {
                let outcome = child::run(&om, &words, &session_id, time).await;
                after();
                outcome.map_err(|error| error.kind())
            });
        }
        let started = child::start(&om, &words, &session_id, None).map(|mut child| {
            let pid = child.id().unwrap_or(0);
            actix_rt::spawn(async move {
                _ = child.wait().await;
                after();
            });
            CommandOutcome::Started { pid, session_id }
        });
        Box::pin(std::future::ready(started.map_err(|error| error.kind())))
    }
}

impl Handler<RunScheduled> for Runner {
    type Result = ResponseFuture<Option<i32>>;

    fn handle(&mut self, run: RunScheduled, ctx: &mut Context<Self>) -> Self::Result {
        let RunScheduled { path, mut words } = run;
        // `sync all` is an action of two words.
        let is_name = |word: &&String| !word.starts_with('-');
        let named: Vec<&str> = words.iter().take_while(is_name).map(String::as_str).collect();
        let action = named.join(" ");
        words.splice(0..0, path.command_words());
        let csum = csum_of(&self.tools, &path);
        let (runner, paths) = (ctx.address(), self.tools.paths.clone());
        let begun = Begun::new(&paths, &path, &action);
        let child = child::start(&self.tools.om, &words, &random::random_uuid(), Some(&csum));
        let (done, end) = oneshot::channel();
        match child {
            Ok(mut child) => {
                actix_rt::spawn(async move {
                    let exit_code = child.wait().await.ok().map(child::exit_code);
                    if exit_code != Some(0) {
                        begun.ended(&paths, exit_code);
                    }
                    runner.do_send(EvaluateLater(vec![path]));
                    _ = done.send(exit_code);
                });
            }
            Err(error) => log::error!(path:% = path, error:% = error; "scheduled work not started"),
        }
        Box::pin(async move { end.await.unwrap_or(None) })
    }
}

impl Handler<DequeueActions> for Runner {
    type Result = ();

    fn handle(&mut self, _: DequeueActions, ctx: &mut Context<Self>) {
        let next = self.dequeuing.on_asked(self.epoch.elapsed());
        self.dequeue(next, ctx);
    }
}

impl Handler<Dequeued> for Runner {
    type Result = ();

    fn handle(&mut self, _: Dequeued, ctx: &mut Context<Self>) {
        let next = self.dequeuing.on_ended(self.epoch.elapsed());
        self.dequeue(next, ctx);
    }
}
