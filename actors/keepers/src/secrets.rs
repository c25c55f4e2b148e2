//! The keeper of the cluster's secrets: carries a rotation out, hands the secret in force to members that were away, and
//! says which secrets this node has.
//!
//! Hears: publications of the cluster data, changes of the configuration, frames of members that do not open, requests.
//! Tells: the cluster data (which secrets this node has), members (asks for their configuration), the config watcher, the
//! root (alerts). Restart: what members have is read anew from what they publish. A rotation goes on from the configuration:
//! nothing else is kept of it.

mod handed;
pub(crate) mod known;
mod resealing;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use conf::{Envelope, NodeSettings};
use model::{Alert, NodeName, SecretState, thread};
use monitor::{Outlook, Rotation, RotationStage, RotationStep, Standing};
use serde_json::{Value, json};

use dataset::changes::NodeFacts;
use dataset::config::ConfigCell;
use dataset::keys;
use dataset::snapshot::{Snapshot, SnapshotCell};
use link::secret_use::{SecretUse, SecretUseCell};
use machine::crash;
use machine::paths::Paths;
use mail::cluster_data::{SetNode, WatchGeneration};
use mail::config_watcher::{Look, NodeConfigChanged, Reload};
use mail::mail::Mail;
use mail::peers::AskPeer;
use mail::publications;
use mail::publications::Published;
use mail::root::ThreadReport;
use mail::secrets::{NotUnderstood, Rotate};

use crate::secrets::known::{heard, is_heard, is_mine, stage, stage_word, state, view};
use crate::secrets::steps::{Ordered, write_ordered, write_step};

/// Longest wait for a member's configuration.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause before a member is asked again whose messages do not open.
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// Pause before what failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait until a change is in force.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

/// Whom the keeper asks and tells, by message.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as their messages, which say what they are")]
pub struct Neighbours {
    pub ask: Recipient<AskPeer>,
    pub watch: Recipient<WatchGeneration>,
    pub publish: Recipient<SetNode>,
    pub reload: Recipient<Reload>,
    pub look: Recipient<Look>,
    pub report: Recipient<ThreadReport>,
}

/// The actor.
#[derive(Debug)]
pub struct SecretKeeper {
    paths: Arc<Paths>,
    config: ConfigCell,
    snapshot: SnapshotCell,
    uses: SecretUseCell,
    tell: Neighbours,
    epoch: Instant,
    /// What messages are opened and sealed with: what the root has applied.
    node: Arc<NodeSettings>,
    rotation: Rotation,
    /// What is published.
    published: Option<SecretState>,
    /// What is shown.
    shown: Option<ThreadReport>,
    stored: resealing::Stored,
    /// Members that may have a newer secret, and when each was asked last.
    behind: BTreeMap<NodeName, Option<Instant>>,
    asked: BTreeSet<NodeName>,
    is_writing: bool,
    /// What was said last about what failed, so that it is said once.
    said: Option<String>,
    alarm: Option<(Instant, SpawnHandle)>,
}

impl SecretKeeper {
    /// The keeper of a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        let tell = Neighbours {
            ask: mail.peers.clone().recipient(),
            watch: mail.cluster_data.clone().recipient(),
            publish: mail.cluster_data.clone().recipient(),
            reload: mail.config_watcher.clone().recipient(),
            look: mail.config_watcher.clone().recipient(),
            report: mail.root.clone().recipient(),
        };
        let (config, snapshot) = (mail.config.clone(), mail.snapshot.clone());
        Self::with(mail.paths.clone(), config, snapshot, mail.secret_use.clone(), tell)
    }

    /// A keeper with these neighbours.
    #[must_use]
    pub fn with(
        paths: Arc<Paths>,
        config: ConfigCell,
        snapshot: SnapshotCell,
        uses: SecretUseCell,
        tell: Neighbours,
    ) -> Self {
        Self {
            node: config.load().node.clone(),
            paths,
            config,
            snapshot,
            uses,
            tell,
            epoch: Instant::now(),
            rotation: Rotation::default(),
            published: None,
            shown: None,
            stored: resealing::Stored::default(),
            behind: BTreeMap::new(),
            asked: BTreeSet::new(),
            is_writing: false,
            said: None,
            alarm: None,
        }
    }

    /// Looks at everything, and does what follows.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let snapshot = self.snapshot.load_full();
        let heard = heard(&snapshot, &self.node);
        let config = self.config.load_full();
        if config.is_loaded {
            self.stored.follow(&config.objects);
        }
        let own = state(&self.node, self.stored.has_older(&self.node));
        let view = view(&self.node, &own, &heard);
        let outlook = self.rotation.look(self.epoch.elapsed(), &view);
        let wanted = resealing::wanted(&self.node, outlook.is_used_by_all);
        self.set_use(&outlook);
        if self.published.as_ref() != Some(&own) {
            self.published = Some(own.clone());
            self.tell
                .publish
                .do_send(SetNode(NodeFacts { secret: Some(own.clone()), ..NodeFacts::default() }));
        }
        self.show(&outlook, &snapshot);
        // Whoever uses a later one hands it to who does not.
        for (member, state) in &heard {
            if state.as_ref().is_some_and(|state| state.generation > self.node.secret_generation) {
                self.behind.entry(member.clone()).or_insert(None);
            }
        }
        self.ask_those_ahead(ctx);
        if let Some(step) = outlook.step {
            self.write(step, ctx);
        } else if let Some(form) = wanted.filter(|_| config.is_loaded) {
            self.seal_anew(form, &snapshot, ctx);
        }
        if let Some(pause) = outlook.look_after {
            self.look_again(pause, ctx);
        }
    }

    fn set_use(&self, outlook: &Outlook) {
        let before = self.uses.load();
        let previous =
            self.node.secret_previous.as_ref().and(self.node.secret_generation.checked_sub(1));
        let members = self.node.nodes.iter().filter(|member| !self.rotation.is_owed(member));
        let next = SecretUse {
            handed_only: previous.filter(|_| !outlook.is_previous_open),
            confirmed: members.cloned().collect(),
        };
        if **before != next {
            if before.handed_only != next.handed_only && next.handed_only.is_some() {
                log::info!(generation = previous; "the secret before opens the hand-over only, from now on");
            }
            self.uses.store(Arc::new(next));
        }
    }

    /// Shows how far it is, if that changed.
    fn show(&mut self, outlook: &Outlook, snapshot: &Snapshot) {
        let stage = stage(&self.node);
        let names = |members: &[NodeName]| {
            members.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ")
        };
        let waits_for = names(&outlook.waits_for);
        let silent: Vec<NodeName> = outlook
            .waits_for
            .iter()
            .filter(|member| !is_heard(snapshot, member))
            .cloned()
            .collect();
        let silent = names(&silent);
        let mut alerts = vec![];
        if !silent.is_empty() {
            let message = match stage {
                RotationStage::Offered => format!(
                    "the next secret of the cluster is not used yet: {silent} not heard. It goes on when all are back, or without \
                     them with `om cluster rotate secret --force`, or once they are taken out of cluster.nodes"
                ),
                RotationStage::Steady | RotationStage::Used => format!(
                    "the secret before is kept for {silent}, not heard since the cluster has another one: it goes when all have \
                     the new one, or are taken out of cluster.nodes"
                ),
            };
            alerts.push(Alert::warning(message));
        }
        alerts.extend(self.stored.complaint().map(Alert::error));
        let secret = thread::Secret {
            generation: self.node.secret_generation,
            rotation: stage_word(stage),
            waits_for: waits_for.clone(),
            may_force: outlook.may_force,
        };
        let rotation = |report: &ThreadReport| match &report.report {
            Some(thread::Report::Secret(secret)) => Some(secret.rotation),
            _ => None,
        };
        let report = Some(thread::Report::Secret(secret));
        let report = ThreadReport::new(thread::SECRET, report, alerts);
        if self.shown.as_ref() != Some(&report) {
            if self.shown.as_ref().and_then(rotation) != rotation(&report) {
                log::info!(generation = self.node.secret_generation, rotation = stage_word(stage), waits_for = waits_for.as_str(); "secret of the cluster");
            }
            self.shown = Some(report.clone());
            self.tell.report.do_send(report);
        }
    }

    /// Writes a step into the configuration of the cluster, under its lock.
    fn write(&mut self, step: RotationStep, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_writing, true) {
            return;
        }
        let (paths, node) = (self.paths.clone(), self.node.clone());
        let work = machine::blocking::run(move || write_step(&paths, &node, step));
        let reload = self.tell.reload.clone();
        let done = async move {
            let written = work.await.unwrap_or_else(|error| Err(error.to_string()));
            if written.is_ok() {
                _ = reload.send(Reload).timeout(RELOAD_PATIENCE).await;
            }
            written
        };
        ctx.spawn(done.into_actor(self).map(move |written, this, ctx| {
            this.is_writing = false;
            match written {
                Ok(()) => {
                    let generation = this.config.load().node.secret_generation;
                    match step {
                        RotationStep::Use => {
                            log::info!(generation; "the next secret of the cluster is in force")
                        }
                        RotationStep::Drop => {
                            log::info!(generation; "the secret before is removed")
                        }
                    }
                }
                Err(reason) => this.fail("cluster.conf", &reason, ctx),
            }
        }));
    }

    fn fail(&mut self, what: &str, reason: &str, ctx: &mut Context<Self>) {
        let text = format!("{what}: {reason}");
        if self.said.as_ref() != Some(&text) {
            log::warn!("the secret of the cluster: {text}");
            self.said = Some(text);
        }
        self.look_again(RETRY_PAUSE, ctx);
    }

    fn look_again(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        let at = Instant::now() + pause;
        if self.alarm.as_ref().is_some_and(|(other, _)| *other <= at) {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        let alarm = ctx.run_later(pause, |this, ctx| {
            this.alarm = None;
            this.look(ctx);
        });
        self.alarm = Some((at, alarm));
    }

    /// Seals values anew that are stored in another form, one object at a time.
    fn seal_anew(&mut self, form: keys::Form, snapshot: &Snapshot, ctx: &mut Context<Self>) {
        if self.is_writing {
            return;
        }
        let Some(path) = self.stored.next(form, |path| is_mine(snapshot, &self.node, path)) else {
            return;
        };
        self.is_writing = true;
        let (paths, node) = (self.paths.clone(), self.node.clone());
        let object = path.clone();
        let work = machine::blocking::run(move || resealing::seal_anew(&paths, &node, &object));
        let (look, path_there) = (self.tell.look.clone(), path.clone());
        let done = async move {
            let sealed = work.await.unwrap_or_else(|error| Err(error.to_string()));
            if sealed.is_ok() {
                _ = look.send(Look(vec![path_there])).timeout(RELOAD_PATIENCE).await;
            }
            sealed
        };
        ctx.spawn(done.into_actor(self).map(move |sealed, this, ctx| {
            this.is_writing = false;
            crash::point("rotate.sealed");
            match sealed {
                Ok(0) => this.stored.skip(&path),
                Ok(values) => log::info!(path:% = path, values; "stored values are sealed anew"),
                Err(reason) => {
                    this.stored.skip(&path);
                    this.fail(path.as_str(), &reason, ctx);
                }
            }
            this.look(ctx);
        }));
    }
}

impl SecretKeeper {
    /// Why no rotation begins here, if so.
    fn check(&self, snapshot: &Snapshot) -> Result<(), String> {
        if self.node.envelope != Envelope::Sealed {
            return Err(format!(
                "cluster.envelope is {}: deployed agents know one secret, and no generations of it. Replace them, set \
                 cluster.envelope to sealed, and rotate then. With them: stop the daemon on every node, write the same \
                 cluster.secret into every cluster.conf, remove {} where it exists, and start them again",
                self.node.envelope.as_str(),
                files::last_good::copy_of(&self.paths, "cluster.conf").display()
            ));
        }
        if snapshot.standing() != Standing::Member {
            return Err("a member says that this node is none: mend that first".to_owned());
        }
        self.node
            .check_secret_is_shared()
            .map_err(|error| format!("{}: {error}", self.node.nodename))?;
        for (member, state) in heard(snapshot, &self.node) {
            let entry = snapshot.node(&member);
            let is_deployed =
                entry.is_some_and(|it| it.has_services() && it.data.release.is_none());
            match state {
                None if is_deployed => {
                    return Err(format!(
                        "{member} runs a deployed agent, which knows no generations of the secret: stop it or replace it first"
                    ));
                }
                None => {
                    return Err(format!(
                        "{member} does not say yet which secret it has: try again"
                    ));
                }
                Some(SecretState { fixed: Some(reason), .. }) => {
                    return Err(format!("{member}: {reason}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// What is to be written for an operator; none when there is nothing to write.
    fn ordered(&mut self, force: bool) -> Result<Option<Ordered>, String> {
        let snapshot = self.snapshot.load_full();
        self.check(&snapshot)?;
        let (heard, own) = (heard(&snapshot, &self.node), state(&self.node, false));
        let outlook = self.rotation.look(self.epoch.elapsed(), &view(&self.node, &own, &heard));
        match stage(&self.node) {
            RotationStage::Steady => Ok(Some(Ordered::Offer)),
            RotationStage::Offered if force && outlook.may_force => Ok(Some(Ordered::Use)),
            RotationStage::Offered | RotationStage::Used => Ok(None),
        }
    }
}

impl Actor for SecretKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("secret keeper started");
        publications::follow(&self.tell.watch, self, ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("secret keeper stopped");
    }
}

impl Supervised for SecretKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::with(
            self.paths.clone(),
            self.config.clone(),
            self.snapshot.clone(),
            self.uses.clone(),
            self.tell.clone(),
        );
    }
}

impl StreamHandler<Published> for SecretKeeper {
    fn handle(&mut self, _: Published, ctx: &mut Context<Self>) {
        self.look(ctx);
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<Published> for SecretKeeper {
    type Result = ();

    fn handle(&mut self, _: Published, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl Handler<NodeConfigChanged> for SecretKeeper {
    type Result = ();

    fn handle(&mut self, change: NodeConfigChanged, ctx: &mut Context<Self>) {
        self.node = change.new;
        self.said = None;
        self.look(ctx);
    }
}

impl Handler<NotUnderstood> for SecretKeeper {
    type Result = ();

    fn handle(&mut self, NotUnderstood(member): NotUnderstood, ctx: &mut Context<Self>) {
        if self.node.nodes.contains(&member) && member != self.node.nodename {
            self.behind.entry(member).or_insert(None);
            self.ask_those_ahead(ctx);
        }
    }
}

impl Handler<Rotate> for SecretKeeper {
    type Result = ResponseActFuture<Self, Result<Value, String>>;

    fn handle(&mut self, Rotate { force }: Rotate, _: &mut Context<Self>) -> Self::Result {
        let ordered = match self.ordered(force) {
            Ok(ordered) => ordered,
            Err(reason) => return Box::pin(actix::fut::ready(Err(reason))),
        };
        let (paths, node, reload) =
            (self.paths.clone(), self.node.clone(), self.tell.reload.clone());
        let done = async move {
            let Some(ordered) = ordered else { return Ok(()) };
            let work = machine::blocking::run(move || write_ordered(&paths, &node, ordered));
            work.await.unwrap_or_else(|error| Err(error.to_string()))?;
            _ = reload.send(Reload).timeout(RELOAD_PATIENCE).await;
            Ok(())
        };
        Box::pin(done.into_actor(self).map(|done: Result<(), String>, this, _| {
            done?;
            let node = this.config.load().node.clone();
            let snapshot = this.snapshot.load_full();
            let (heard, own) = (heard(&snapshot, &node), state(&node, false));
            let mut copy = this.rotation.clone();
            let outlook = copy.look(this.epoch.elapsed(), &view(&node, &own, &heard));
            let waits_for: Vec<&str> = outlook.waits_for.iter().map(NodeName::as_str).collect();
            Ok(json!({
                "generation": node.secret_generation,
                "rotation": stage_word(stage(&node)),
                "waits_for": waits_for.join(" "),
                "may_force": outlook.may_force,
            }))
        }))
    }
}

#[cfg(test)]
mod tests;
