//! The keeper of the cluster's secrets: carries a rotation out, hands the secret in force to members that were away, and
//! says which secrets this node has.
//!
//! Hears: publications of the cluster data, changes of the configuration, frames of members that do not open, requests.
//! Tells: the cluster data (which secrets this node has), members (asks for their configuration), the config watcher, the
//! root (alerts). Restart: what members have is read anew from what they publish. A rotation goes on from the configuration:
//! nothing else is kept of it.

mod handed;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwap;
use conf::{Envelope, NodeSettings, RotateError, Secret};
use model::{NodeName, ObjectPath, SecretState};
use monitor::{Outlook, Rotation, RotationStage, RotationStep, RotationView, Standing};
use serde_json::{Map, Value, json};

use crate::cluster_data::{SetNode, Snapshot, SnapshotCell, WatchGeneration};
use crate::config::ConfigCell;
use crate::config_watcher::{Look, NodeConfigChanged, Reload};
use crate::crash;
use crate::paths::Paths;
use crate::peer::AskPeer;
use crate::publications::{self, Published};
use crate::requests::edit::{Target, edit_now};
use crate::root::ThreadReport;
use crate::routes::Routes;

/// Id of the thread: its state and its alerts are shown there.
pub const ID: &str = "secret";
/// Longest wait for a member's configuration.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause before a member is asked again whose messages do not open.
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// Pause before what failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait until a change is in force.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

/// What the secret before the one in force opens: read by whoever opens messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretUse {
    /// The generation that opens the hand-over only; one that is not named here opens everything.
    pub handed_only: Option<u32>,
    /// Members that have the secret in force: they are not handed it again.
    pub confirmed: BTreeSet<NodeName>,
}

/// Where the newest one is found.
pub type SecretUseCell = Arc<ArcSwap<SecretUse>>;

impl SecretUse {
    /// That of a daemon that starts with these settings: who is heard later is told what is in force, and follows.
    #[must_use]
    pub fn first(node: &NodeSettings) -> Self {
        let handed_only = node.secret_previous.as_ref().and(node.secret_generation.checked_sub(1));
        Self { handed_only, confirmed: BTreeSet::new() }
    }
}

/// A message of a member did not open: it may have another secret, or this node an old one.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct NotUnderstood(pub NodeName);

/// Begins a rotation of the secret; with `force`, goes on with it without the members that are away. The answer is a reply,
/// or a text that says why not.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Value, String>")]
pub struct Rotate {
    /// Without those who are away.
    pub force: bool,
}

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
    shown: Map<String, Value>,
    stored: stored::Stored,
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
    pub fn new(routes: &Routes) -> Self {
        let tell = Neighbours {
            ask: routes.peers.clone().recipient(),
            watch: routes.cluster_data.clone().recipient(),
            publish: routes.cluster_data.clone().recipient(),
            reload: routes.config_watcher.clone().recipient(),
            look: routes.config_watcher.clone().recipient(),
            report: routes.root.clone().recipient(),
        };
        let (config, snapshot) = (routes.config.clone(), routes.snapshot.clone());
        Self::with(routes.paths.clone(), config, snapshot, routes.secret_use.clone(), tell)
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
            shown: Map::new(),
            stored: stored::Stored::default(),
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
        let wanted = stored::wanted(&self.node, outlook.is_used_by_all);
        self.set_use(&outlook);
        if self.published.as_ref() != Some(&own) {
            self.published = Some(own.clone());
            self.tell.publish.do_send(SetNode { secret: Some(own.clone()), ..SetNode::default() });
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
            alerts.push(json!({"severity": "warning", "message": message}));
        }
        if let Some(text) = self.stored.complaint() {
            alerts.push(json!({"severity": "error", "message": text}));
        }
        let mut fields = Map::new();
        fields.insert("generation".into(), self.node.secret_generation.into());
        fields.insert("rotation".into(), stage_word(stage).into());
        fields.insert("waits_for".into(), waits_for.as_str().into());
        fields.insert("may_force".into(), outlook.may_force.into());
        fields.insert("alerts".into(), alerts.into());
        if fields != self.shown {
            if self.shown.get("rotation") != fields.get("rotation") {
                log::info!(generation = self.node.secret_generation, rotation = stage_word(stage), waits_for = waits_for.as_str(); "secret of the cluster");
            }
            self.shown = fields.clone();
            self.tell.report.do_send(ThreadReport { id: ID.into(), fields });
        }
    }

    /// Writes a step into the configuration of the cluster, under its lock.
    fn write(&mut self, step: RotationStep, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_writing, true) {
            return;
        }
        let (paths, node) = (self.paths.clone(), self.node.clone());
        let work = tokio::task::spawn_blocking(move || write_step(&paths, &node, step));
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
    fn seal_anew(&mut self, form: stored::Form, snapshot: &Snapshot, ctx: &mut Context<Self>) {
        if self.is_writing {
            return;
        }
        let Some(path) = self.stored.next(form, |path| is_mine(snapshot, &self.node, path)) else {
            return;
        };
        self.is_writing = true;
        let (paths, node) = (self.paths.clone(), self.node.clone());
        let object = path.clone();
        let work = tokio::task::spawn_blocking(move || stored::seal_anew(&paths, &node, &object));
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

fn write_step(paths: &Paths, node: &NodeSettings, step: RotationStep) -> Result<(), String> {
    let secret =
        |secret: &Option<Secret>| secret.clone().ok_or_else(|| "it has no secret".to_owned());
    let before = match step {
        RotationStep::Use => "rotate.use",
        RotationStep::Drop => "rotate.drop",
    };
    crash::point(before);
    let (next, current) = (node.secret_next.clone(), secret(&node.secret)?);
    edit_now(paths, &Target::Object(ObjectPath::cluster()), move |cluster| {
        match step {
            RotationStep::Use => conf::use_next_secret(cluster, &secret(&next)?),
            RotationStep::Drop => conf::drop_previous_secret(cluster, &current),
        }
        .map_err(|error| error.to_string())?;
        Ok((true, ()))
    })?;
    crash::point(match step {
        RotationStep::Use => "rotate.used",
        RotationStep::Drop => "rotate.dropped",
    });
    Ok(())
}

/// How far a rotation is, by the configuration.
fn stage(node: &NodeSettings) -> RotationStage {
    match (&node.secret_next, &node.secret_previous) {
        (Some(_), _) => RotationStage::Offered,
        (None, Some(_)) => RotationStage::Used,
        (None, None) => RotationStage::Steady,
    }
}

fn stage_word(stage: RotationStage) -> &'static str {
    match stage {
        RotationStage::Steady => "none",
        RotationStage::Offered => "offered",
        RotationStage::Used => "used",
    }
}

/// What is published of these settings.
fn state(node: &NodeSettings, has_older: bool) -> SecretState {
    let is_used = stage(node) == RotationStage::Used;
    SecretState {
        generation: node.secret_generation,
        current: node.secret.as_ref().filter(|_| is_used).map(digest),
        next: node.secret_next.as_ref().map(digest),
        has_older: has_older && is_used,
        fixed: node.check_secret_is_shared().err().map(|error| error.to_string()),
    }
}

/// Tells two random secrets apart, and nothing else about them.
fn digest(secret: &Secret) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = ring::hmac::sign(&key, b"osvc digest of a secret");
    tag.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_heard(snapshot: &Snapshot, member: &NodeName) -> bool {
    snapshot.node(member).is_some_and(|entry| entry.data.monitor.is_some())
}

/// What the members have that are heard.
fn heard(snapshot: &Snapshot, node: &NodeSettings) -> BTreeMap<NodeName, Option<SecretState>> {
    let peers =
        node.nodes.iter().filter(|peer| **peer != node.nodename && is_heard(snapshot, peer));
    peers
        .map(|peer| {
            let state = snapshot.node(peer).and_then(|entry| entry.data.secret.clone());
            (peer.clone(), state)
        })
        .collect()
}

fn view<'a>(
    node: &'a NodeSettings,
    own: &'a SecretState,
    heard: &'a BTreeMap<NodeName, Option<SecretState>>,
) -> RotationView<'a> {
    RotationView { local: &node.nodename, members: &node.nodes, stage: stage(node), own, heard }
}

/// Whether this node seals the values of an object anew: the first member that is here and has it.
fn is_mine(snapshot: &Snapshot, node: &NodeSettings, path: &ObjectPath) -> bool {
    let has = |member: &&NodeName| {
        **member == node.nodename
            || (is_heard(snapshot, member) && snapshot.config(member, path).is_some())
    };
    // What was deleted is not written anew: that would make it newer than its deletion.
    let is_deleted = snapshot.nodes().values().any(|entry| entry.data.deleted.contains_key(path));
    !is_deleted && node.nodes.iter().find(has) == Some(&node.nodename)
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
                crate::config::copy_of(&self.paths, "cluster.conf").display()
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

/// What an operator orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ordered {
    /// A next secret.
    Offer,
    /// To use it although some are away.
    Use,
}

fn write_ordered(paths: &Paths, node: &NodeSettings, ordered: Ordered) -> Result<(), String> {
    match ordered {
        Ordered::Use => write_step(paths, node, RotationStep::Use),
        Ordered::Offer => {
            let next = crate::config::random_secret();
            edit_now(paths, &Target::Object(ObjectPath::cluster()), move |cluster| {
                match conf::offer_secret(cluster, &next) {
                    Ok(()) => Ok((true, ())),
                    // Somebody else was faster: that one is waited for.
                    Err(RotateError::Running) => Ok((false, ())),
                    Err(error) => Err(error.to_string()),
                }
            })?;
            crash::point("rotate.offered");
            Ok(())
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
            let work = tokio::task::spawn_blocking(move || write_ordered(&paths, &node, ordered));
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
