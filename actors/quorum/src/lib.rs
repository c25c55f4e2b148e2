//! The quorum: asks the arbitrators, and judges whether this segment of a split cluster goes on
//! (src/monitor/README.md, Quorum).
//!
//! Hears: lost peers from the membership, those heard again, monitors that noticed a lost split late, changes of the
//! configuration. Tells: the cluster data; after a lost split the node monitor or the kernel. Restart: always; the
//! arbitrators are asked again, and a loss that was not judged yet is.

mod vote;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use conf::{ArbitratorSettings, SplitAction};
use futures_util::future::{BoxFuture, join_all};
use model::{ArbitratorState, EventFacts, NodeName, Tally};
use monitor::{Ballot, Loss, Standing, last_words};
use wire::Dialect;

use dataset::changes::NodeFacts;
use dataset::config::ConfigCell;
use dataset::snapshot::SnapshotCell;
use dataset::view::View;
use link::peer::Names;
use machine::sysrq::{Sysrq, sysrq};
use machine::{durable, last_words};
use mail::cluster_data::{Emit, Flush, SetNode};
use mail::mail::Mail;
use mail::node_monitor::Drain;
use mail::quorum::{PeerHeard, PeerLost, Reconfigure, Surrender};

/// How often the arbitrators are asked when nothing happens.
const POLL: Duration = Duration::from_secs(60);

/// Asks an arbitrator for its vote, within its timeout, first in the dialect that it spoke last: that of its answer.
pub type Ask = Arc<
    dyn Fn(ArbitratorSettings, Option<Dialect>) -> BoxFuture<'static, Option<Dialect>>
        + Send
        + Sync,
>;

type Votes = Vec<(ArbitratorSettings, Option<Dialect>)>;

/// Whom the quorum tells, and asks.
#[derive(Clone)]
#[expect(missing_docs, reason = "named as their messages, which say what they are")]
pub struct Neighbours {
    pub node: Recipient<SetNode>,
    pub emit: Recipient<Emit>,
    pub flush: Recipient<Flush>,
    pub drain: Recipient<Drain>,
    pub ask: Ask,
    /// Takes the node down.
    pub sysrq: Sysrq,
    /// Leaves where a boot does not lose it why the node is taken down.
    pub say: Arc<dyn Fn(&str) + Send + Sync>,
}

impl std::fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Neighbours(..)")
    }
}

/// The actor.
#[derive(Debug)]
pub struct Quorum {
    config: ConfigCell,
    snapshot: SnapshotCell,
    tell: Neighbours,
    /// What is published: whether each arbitrator answered last, and how.
    answers: BTreeMap<String, Option<Dialect>>,
    /// Losses to be judged, one after the other, and how many nodes were left then: who is heard again before the verdict
    /// may have started meanwhile what runs here.
    lost: VecDeque<(PeerLost, usize)>,
    /// Peers that shut down in order, and have not been heard since.
    departed: BTreeSet<NodeName>,
    /// Where they are kept: a daemon that starts alone has to know of them.
    file: Option<PathBuf>,
    is_judging: bool,
    /// The split is lost: nothing is judged any more.
    is_over: bool,
    alarm: Option<SpawnHandle>,
}

impl Quorum {
    /// The quorum of a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        let (data, nodename, paths) =
            (&mail.cluster_data, mail.nodename.clone(), mail.paths.clone());
        let names = Names::default();
        let tell = Neighbours {
            node: data.clone().recipient(),
            emit: data.clone().recipient(),
            flush: data.clone().recipient(),
            drain: mail.node_monitor.clone().recipient(),
            ask: Arc::new(move |arbitrator, known| {
                Box::pin(vote::ask(nodename.clone(), arbitrator, known, names.clone()))
            }),
            say: {
                let paths = paths.clone();
                Arc::new(move |why| last_words::say(&paths, why))
            },
            sysrq: Arc::new(move |letter| sysrq(&paths, letter)),
        };
        let file = Some(mail.paths.node_departed());
        Self {
            departed: read_departed(file.as_deref()),
            file,
            ..Self::with(mail.config.clone(), mail.snapshot.clone(), tell)
        }
    }

    /// A quorum with these neighbours.
    #[must_use]
    pub fn with(config: ConfigCell, snapshot: SnapshotCell, tell: Neighbours) -> Self {
        Self {
            config,
            snapshot,
            tell,
            answers: BTreeMap::new(),
            lost: VecDeque::new(),
            departed: BTreeSet::new(),
            file: None,
            is_judging: false,
            is_over: false,
            alarm: None,
        }
    }

    /// The arbitrators, when they have a say.
    fn arbitrators(&self) -> Vec<ArbitratorSettings> {
        let config = self.config.load();
        if config.node.quorum { config.node.arbitrators.clone() } else { vec![] }
    }

    /// Asks all arbitrators at once: who answered, by section.
    fn ask(&self) -> impl Future<Output = Votes> + use<> {
        let asked = self.arbitrators().into_iter().map(|arbitrator| {
            let vote = (self.tell.ask)(
                arbitrator.clone(),
                self.answers.get(&arbitrator.name).copied().flatten(),
            );
            async move { (arbitrator, vote.await) }
        });
        join_all(asked)
    }

    fn poll(&mut self, ctx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        self.alarm = Some(ctx.run_later(POLL, Self::poll));
        if self.arbitrators().is_empty() && self.answers.is_empty() {
            return;
        }
        ctx.spawn(self.ask().into_actor(self).map(|votes, this, _| this.publish(&votes)));
    }

    /// Publishes who answered, and tells what changed.
    fn publish(&mut self, votes: &Votes) {
        let mut block = BTreeMap::new();
        let mut answers = BTreeMap::new();
        for (arbitrator, answer) in votes {
            let status = if answer.is_some() { "up" } else { "down" };
            let state =
                ArbitratorState { name: arbitrator.host.clone(), status: status.to_owned() };
            block.insert(arbitrator.name.clone(), state);
            answers.insert(arbitrator.name.clone(), *answer);
            let before = self.answers.get(&arbitrator.name);
            if before.is_none_or(|before| before.is_some() != answer.is_some()) {
                let section = arbitrator.name.as_str();
                match answer {
                    Some(_) => {
                        log::info!(arbitrator = arbitrator.host.as_str(), status; "arbitrator")
                    }
                    None => {
                        log::warn!(arbitrator = arbitrator.host.as_str(), status, section; "arbitrator gives no vote: it is not reached, or its secret was rotated and that of the section is not its own any more");
                    }
                }
                if answer.is_none() && arbitrator.envelope == conf::Envelope::Sealed {
                    log::info!(section; "arbitrator is asked in sealed only: a deployed agent needs envelope = classic");
                }
                let id = if answer.is_some() { "arbitrator_up" } else { "arbitrator_down" };
                let arbitrator = Some(arbitrator.name.clone());
                self.emit(id, EventFacts { arbitrator, ..EventFacts::default() });
            }
        }
        self.answers = answers;
        self.tell
            .node
            .do_send(SetNode(NodeFacts { arbitrators: Some(block), ..NodeFacts::default() }));
    }

    fn emit(&self, id: &'static str, facts: EventFacts) {
        // Whoever does not keep up loses events.
        _ = self.tell.emit.try_send(Emit { id, path: None, facts });
    }

    /// Judges the first loss, then the next one.
    fn judge(&mut self, ctx: &mut Context<Self>) {
        if self.is_judging || self.is_over {
            return;
        }
        let Some((lost, node_votes)) = self.lost.front() else { return };
        let is_frozen = self
            .snapshot
            .load()
            .local()
            .and_then(|local| local.data.frozen)
            .is_some_and(|since| since.0 != 0.0);
        let has_nothing_to_lose = {
            let (snapshot, config) = (self.snapshot.load(), self.config.load());
            monitor::has_nothing_to_lose(&View::new(&snapshot, &config, true))
        };
        let loss = Loss {
            has_nothing_to_lose,
            has_quorum: self.config.load().node.quorum,
            is_frozen,
            was_shutting: lost.was_shutting,
        };
        if !loss.is_to_judge() {
            log::info!(peer:% = lost.peer, quorum = loss.has_quorum, frozen = is_frozen, starting = has_nothing_to_lose; "no split to judge");
            self.lost.pop_front();
            // What they said before the loss counts no more.
            self.poll(ctx);
            return self.judge(ctx);
        }
        if self.ballot(*node_votes, 0).is_hopeless() {
            return self.conclude(0, ctx);
        }
        self.is_judging = true;
        // Behind the message that drops the peer: it has no vote.
        let flushed = self.tell.flush.send(Flush);
        let votes = self.ask();
        let both = async move {
            let votes = votes.await;
            // A cluster data that restarts goes on from what it published.
            _ = flushed.await;
            votes
        };
        ctx.spawn(both.into_actor(self).map(|votes, this, ctx| {
            this.publish(&votes);
            this.is_judging = false;
            this.conclude(votes.iter().filter(|(_, answer)| answer.is_some()).count(), ctx);
            this.judge(ctx);
        }));
    }

    fn conclude(&mut self, arbitrator_votes: usize, ctx: &mut Context<Self>) {
        let Some((lost, node_votes)) = self.lost.pop_front() else { return };
        let ballot = self.ballot(node_votes, arbitrator_votes);
        let (votes, voting) = (ballot.votes(), ballot.voting());
        if ballot.survives() {
            log::warn!(peer:% = lost.peer, votes, voting; "split: this segment has the quorum");
            return;
        }
        log::error!(peer:% = lost.peer, votes, voting; "split: quorum lost");
        let votes = Tally { node_votes, arbitrator_votes, voting, pro_voters: votes };
        let why = EventFacts { reason: Some("split"), votes: Some(votes), ..EventFacts::default() };
        self.lose(why, ctx);
    }

    fn ballot(&self, node_votes: usize, arbitrator_votes: usize) -> Ballot {
        let config = self.config.load();
        Ballot {
            nodes: config.node.nodes.len(),
            arbitrators: config.node.arbitrators.len(),
            node_votes,
            arbitrator_votes,
        }
    }

    /// The split is lost: the split action follows.
    fn lose(&mut self, why: EventFacts, ctx: &mut Context<Self>) {
        let config = self.config.load();
        let action = config.node.split_action;
        log::error!(action = action.as_str(); "split action");
        if action != SplitAction::Stop {
            let (say, text) = (self.tell.say.clone(), sentence(action, &why));
            machine::blocking::run(move || say(&text));
        }
        self.emit(action.as_str(), why);
        self.is_over = true;
        let last_words = match action {
            SplitAction::Stop => Duration::ZERO,
            SplitAction::Crash | SplitAction::Reboot => last_words(config.node.ready_period),
        };
        ctx.run_later(last_words, move |this, ctx| this.act(action, ctx));
    }

    /// Nodes that are left after the loss of a peer. Those that are lost too, and not judged yet, are not.
    fn nodes_left(&self, peer: &NodeName) -> usize {
        let snapshot = self.snapshot.load();
        let is_lost =
            |node: &NodeName| node == peer || self.lost.iter().any(|(lost, _)| lost.peer == *node);
        let is_heard = |node: &NodeName| {
            let data = snapshot.node(node).map(|entry| &entry.data);
            node == snapshot.nodename() || data.is_some_and(|data| data.monitor.is_some())
        };
        snapshot.nodes().keys().filter(|node| is_heard(node) && !is_lost(node)).count()
    }

    /// Who is away in order changed.
    fn publish_departed(&self) {
        let names: String = self.departed.iter().map(|node| format!("{node}\n")).collect();
        if let Some(file) = &self.file
            && let Err(error) = durable::write(file, names.as_bytes(), 0o600)
        {
            log::error!(error:% = error; "who shut down in order is not kept");
        }
        self.tell_departed();
    }

    fn tell_departed(&self) {
        let departed = Some(self.departed.clone());
        self.tell.node.do_send(SetNode(NodeFacts { departed, ..NodeFacts::default() }));
    }

    /// Carries the sentence out.
    fn act(&mut self, action: SplitAction, ctx: &mut Context<Self>) {
        if self.snapshot.load().standing() == Standing::LeftOut {
            // The others are no lost half: they said meanwhile that this node is none of theirs. It is frozen for that.
            log::warn!("no split: this node is no member any more");
            self.is_over = false;
            return self.judge(ctx);
        }
        let letter = match action {
            SplitAction::Crash => 'c',
            SplitAction::Reboot => 'b',
            SplitAction::Stop => return self.drain(ctx),
        };
        let sysrq = self.tell.sysrq.clone();
        let asked = machine::blocking::run(move || sysrq(letter));
        ctx.spawn(asked.into_actor(self).map(move |asked, this, ctx| {
            // Still here. The other segment takes over: at least nothing goes on here.
            let error = match asked {
                Ok(Ok(())) => "the kernel did nothing".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            log::error!(error = error.as_str(); "the node could not be taken down");
            this.drain(ctx);
        }));
    }

    /// Freezes the node and stops its instances. The daemon goes on, and may be part of the cluster again.
    fn drain(&mut self, ctx: &mut Context<Self>) {
        let drained = self.tell.drain.send(Drain { time: None, is_after_split: true });
        ctx.spawn(drained.into_actor(self).map(|left, this, ctx| {
            match left {
                Ok(left) if left.is_empty() => log::warn!("the instances are stopped"),
                Ok(left) => {
                    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
                    log::error!(paths = left.join(" "); "instances that are not stopped");
                }
                Err(error) => log::error!(error:% = error; "the instances could not be stopped"),
            }
            this.is_over = false;
            this.judge(ctx);
        }));
    }
}

fn read_departed(file: Option<&Path>) -> BTreeSet<NodeName> {
    let text = file.and_then(machine::regular::words).unwrap_or_default();
    text.lines().filter_map(|name| NodeName::new(name).ok()).collect()
}

/// What is read after the boot: `split action crash: split, node_votes=1 ..`.
fn sentence(action: SplitAction, why: &EventFacts) -> String {
    let votes = why.votes.map(|Tally { node_votes, arbitrator_votes, voting, pro_voters }| {
        format!(
            ", arbitrator_votes={arbitrator_votes}, node_votes={node_votes}, pro_voters={pro_voters}, voting={voting}"
        )
    });
    let (reason, votes) = (why.reason.unwrap_or_default(), votes.unwrap_or_default());
    format!("split action {}, the node is taken down: {reason}{votes}", action.as_str())
}

impl Actor for Quorum {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("quorum started");
        if !self.departed.is_empty() {
            self.tell_departed();
        }
        self.poll(ctx);
        self.judge(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("quorum stopped");
    }
}

impl Supervised for Quorum {
    fn restarting(&mut self, _: &mut Context<Self>) {
        let kept =
            (std::mem::take(&mut self.lost), std::mem::take(&mut self.departed), self.file.take());
        *self = Self::with(self.config.clone(), self.snapshot.clone(), self.tell.clone());
        (self.lost, self.departed, self.file) = kept;
    }
}

impl Handler<PeerLost> for Quorum {
    type Result = ();

    fn handle(&mut self, lost: PeerLost, ctx: &mut Context<Self>) {
        let node_votes = self.nodes_left(&lost.peer);
        if lost.was_shutting && self.departed.insert(lost.peer.clone()) {
            self.publish_departed();
        }
        self.lost.push_back((lost, node_votes));
        self.judge(ctx);
    }
}

impl Handler<PeerHeard> for Quorum {
    type Result = ();

    fn handle(&mut self, PeerHeard(peer): PeerHeard, _: &mut Context<Self>) {
        if self.departed.remove(&peer) {
            self.publish_departed();
        }
    }
}

impl Handler<Surrender> for Quorum {
    type Result = ();

    fn handle(&mut self, _: Surrender, ctx: &mut Context<Self>) {
        if !self.is_over && self.config.load().node.quorum {
            log::error!("split: lost without being noticed in time");
            let reason = Some("deposed");
            self.lose(EventFacts { reason, ..EventFacts::default() }, ctx);
        }
    }
}

impl Handler<Reconfigure> for Quorum {
    type Result = ();

    fn handle(&mut self, _: Reconfigure, ctx: &mut Context<Self>) {
        self.poll(ctx);
    }
}

#[cfg(test)]
mod tests;
