//! The standing of this node with the members: asks whether it is still one of theirs, and tells those who are none.
//!
//! Hears: the membership when a peer is lost, the propagation when a peer publishes a cluster without this node, changes
//! of the configuration. Tells: members and those taken out, the cluster data, the root (alerts).
//! Restart: the members are asked again; what was published stays until they answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use conf::NodeSettings;
use conf::peer_address::PeerAddress;
use dataset::config::ConfigCell;
use dataset::snapshot::SnapshotCell;
use link::peer::error::PeerError;
use mail::cluster_data::SetStanding;
use mail::config_watcher::NodeConfigChanged;
use mail::mail::Mail;
use mail::peers::AskPeer;
use mail::root::ThreadReport;
use mail::standing::{Inquire, Leaves, Stranger};
use model::{Alert, NodeName, thread};
use monitor::{Answer, Opinions, Roster, Standing, taken_out};
use serde_json::{Value, json};
use wire::reply::status_of;

/// Longest wait for a member to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause before the members are asked again that do not agree: one of them is about to fetch the configuration.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);
/// Pause before those are asked again that are not heard. They cannot tell by heartbeats what changed meanwhile.
const SILENCE_PAUSE: Duration = Duration::from_secs(5);
/// Longest run of the freeze of a node that was taken out.
const NOTICE_PATIENCE: Duration = Duration::from_secs(10);
/// A node that leaves tells one member after the other, and the first one's configuration may be here sooner than its own
/// word. It is frozen already, and may be thawed once it has left. Shorter than any timeout of a heartbeat by a profile.
const LEAVE_PAUSE: Duration = Duration::from_millis(500);
/// From when on a stranger is told of: one that leaves may ask a last time, one that was renamed asks every
/// [`SILENCE_PAUSE`].
const STRANGER_STAYS: Duration = Duration::from_secs(8);
/// How long after its last question a stranger is gone.
const STRANGER_GOES: Duration = Duration::from_secs(20);
/// Most strangers of which something is kept.
const MOST_STRANGERS: usize = 8;
/// How often a node that was taken out is told, the pause doubled from a second: a minute in all. One that comes back
/// later asks by itself, when it is one of ours.
const NOTICES: u32 = 7;

/// When a stranger was heard.
#[derive(Debug, Clone, Copy)]
struct Heard {
    address: IpAddr,
    first: Instant,
    last: Instant,
}

impl Heard {
    fn is_told(&self) -> bool {
        self.last.duration_since(self.first) >= STRANGER_STAYS
    }
}

/// Whom the keeper asks and tells, by message.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as their messages, which say what they are")]
pub struct Neighbours {
    pub ask: Recipient<AskPeer>,
    pub standing: Recipient<SetStanding>,
    pub report: Recipient<ThreadReport>,
}

/// The actor.
#[derive(Debug)]
pub struct StandingKeeper {
    config: ConfigCell,
    snapshot: SnapshotCell,
    tell: Neighbours,
    opinions: Opinions,
    /// What is published.
    standing: Standing,
    /// Who refuses, as the alert names them.
    refusing: Vec<NodeName>,
    /// Members whose answer is awaited.
    asked: BTreeSet<NodeName>,
    /// Nodes that leave by themselves.
    leaving: BTreeSet<NodeName>,
    /// Who asks under a name that is none of the cluster.
    strangers: BTreeMap<NodeName, Heard>,
    alarm: Option<SpawnHandle>,
}

impl StandingKeeper {
    /// The keeper of a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        let tell = Neighbours {
            ask: mail.peers.clone().recipient(),
            standing: mail.cluster_data.clone().recipient(),
            report: mail.root.clone().recipient(),
        };
        Self::with(mail.config.clone(), mail.snapshot.clone(), tell)
    }

    /// A keeper with these neighbours.
    #[must_use]
    pub fn with(config: ConfigCell, snapshot: SnapshotCell, tell: Neighbours) -> Self {
        Self {
            standing: snapshot.load().standing(),
            config,
            snapshot,
            tell,
            opinions: Opinions::default(),
            refusing: vec![],
            asked: BTreeSet::new(),
            leaving: BTreeSet::new(),
            strangers: BTreeMap::new(),
            alarm: None,
        }
    }

    fn peers(&self) -> Vec<NodeName> {
        let node = self.config.load().node.clone();
        node.nodes.iter().filter(|peer| **peer != node.nodename).cloned().collect()
    }

    /// Whether a member is lost, or was never heard.
    fn is_silent(&self, peer: &NodeName) -> bool {
        self.snapshot.load().node(peer).is_none_or(|entry| entry.data.monitor.is_none())
    }

    /// Asks these members at once, but for those whose answer is awaited.
    fn ask(&mut self, peers: Vec<NodeName>, ctx: &mut Context<Self>) {
        for peer in peers {
            if !self.asked.insert(peer.clone()) {
                continue;
            }
            if self.standing == Standing::Member {
                self.opinions.on_ask(&peer);
            }
            // What every agent answers to every member, and to nobody else; it changes nothing.
            let request = json!({"action": "daemon_blacklist_status", "method": "GET"});
            let asked = self.tell.ask.send(AskPeer::new(peer.clone(), &request, PATIENCE));
            ctx.spawn(asked.into_actor(self).map(move |answer, this, ctx| {
                this.asked.remove(&peer);
                // Of a peer that is no member here any more nothing is believed.
                if this.peers().contains(&peer) {
                    let nodename = this.config.load().node.nodename.clone();
                    this.opinions.on_answer(&peer, read(&nodename, answer));
                }
                this.settle(ctx);
            }));
        }
        self.look_again(ctx);
    }

    /// Publishes what the answers amount to, and says so once.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        let peers = self.peers();
        let standing = self.opinions.standing(&peers);
        let refusing: Vec<NodeName> = self.opinions.refusing().cloned().collect();
        if (standing, &refusing) != (self.standing, &self.refusing) {
            let names: Vec<&str> = refusing.iter().map(NodeName::as_str).collect();
            let names = names.join(" ");
            match standing {
                Standing::LeftOut => {
                    log::error!(by = names.as_str(); "the members have taken this node out of the cluster: it is frozen and decides nothing, until `om daemon rejoin` or `om daemon leave`");
                }
                Standing::Doubted => {
                    log::warn!(by = names.as_str(); "a member says that this node is none: nothing is decided until the members agree");
                }
                Standing::Member => log::info!("nobody refuses this node any more"),
            }
            self.report(alert(standing, &names));
        }
        if standing != self.standing {
            self.tell.standing.do_send(SetStanding(standing));
        }
        let was_member = self.standing == Standing::Member;
        (self.standing, self.refusing) = (standing, refusing);
        if was_member && standing != Standing::Member {
            // Only those were asked that are not heard: the others may know better.
            let unasked = peers.into_iter().filter(|peer| !self.opinions.has_said(peer)).collect();
            self.ask(unasked, ctx);
        }
        self.look_again(ctx);
    }

    /// Shows the alert of the own standing, if any, and one for each stranger.
    fn report(&self, own: Option<Alert>) {
        let told = self.strangers.iter().filter(|(_, heard)| heard.is_told());
        let told = told.map(|(name, heard)| stranger_alert(name, heard.address));
        self.tell
            .report
            .do_send(ThreadReport::alerts(thread::STANDING, own.into_iter().chain(told).collect()));
    }

    /// The alert of the own standing, as it was told last.
    fn own_alert(&self) -> Option<Alert> {
        let names: Vec<&str> = self.refusing.iter().map(NodeName::as_str).collect();
        alert(self.standing, &names.join(" "))
    }

    /// Forgets the strangers that became members, and those that are gone.
    fn forget_strangers(&mut self) {
        let members = self.config.load().node.clone();
        let before = self.strangers.values().filter(|heard| heard.is_told()).count();
        self.strangers.retain(|name, heard| {
            !members.nodes.contains(name) && heard.last.elapsed() < STRANGER_GOES
        });
        if self.strangers.values().filter(|heard| heard.is_told()).count() != before {
            self.report(self.own_alert());
        }
    }

    /// Sets the alarm: as long as a member refuses this node, or is not heard.
    fn look_again(&mut self, ctx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        let pause = match self.standing {
            Standing::Doubted => DOUBT_PAUSE,
            Standing::LeftOut => SILENCE_PAUSE,
            Standing::Member if self.peers().iter().any(|peer| self.is_silent(peer)) => {
                SILENCE_PAUSE
            }
            Standing::Member => return,
        };
        self.alarm = Some(ctx.run_later(pause, |this, ctx| {
            this.alarm = None;
            let mut peers = this.peers();
            if this.standing == Standing::Member {
                peers.retain(|peer| this.is_silent(peer));
            }
            this.ask(peers, ctx);
        }));
    }

    /// Freezes a node that was taken out, before it takes the silence of the others for their loss. The request is one of
    /// the field: deployed agents follow it too.
    fn give_notice(
        &mut self,
        node: NodeName,
        address: PeerAddress,
        given: u32,
        ctx: &mut Context<Self>,
    ) {
        // Whatever it became since the last time: frozen as a member again, nobody would thaw it.
        if self.leaving.remove(&node) || self.peers().contains(&node) {
            return;
        }
        let request = json!({
            "action": "node_action", "method": "POST",
            "options": {"action": "freeze", "options": {}, "sync": true},
        });
        let mut ask = AskPeer::new(node.clone(), &request, NOTICE_PATIENCE);
        ask.address = Some(address.clone());
        ctx.spawn(self.tell.ask.send(ask).into_actor(self).map(move |answer, this, ctx| {
            let reason = match answer {
                // A node that knows nothing of us has another cluster already.
                Ok(Ok(reply)) if matches!(status_of(&reply), 0 | 401) => {
                    log::info!(node:% = node; "it is no member any more, and knows it");
                    return;
                }
                Ok(Ok(reply)) => wire::reply::Lines::of(&reply).errors.join(", "),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            if given >= NOTICES && !this.peers().contains(&node) {
                log::warn!(node:% = node, reason = reason.as_str(); "it does not know that it is no member any more: there, `om node freeze --local` and `om daemon leave`");
                return;
            }
            let pause = Duration::from_secs(1_u64 << given.saturating_sub(1));
            ctx.run_later(pause, move |this, ctx| {
                this.give_notice(node, address, given + 1, ctx);
            });
        }));
    }
}

/// What an answer means for the node that asked.
fn read(nodename: &NodeName, answer: Result<Result<Value, PeerError>, MailboxError>) -> Answer {
    match answer {
        Ok(Ok(reply)) if wire::is_not_member(&reply, nodename.as_str()) => Answer::Refused,
        Ok(Ok(reply)) if status_of(&reply) != 401 => Answer::Accepted,
        Ok(_) | Err(_) => Answer::Silent,
    }
}

/// The alert of a standing, as `om mon` shows it.
fn alert(standing: Standing, names: &str) -> Option<Alert> {
    match standing {
        Standing::Member => None,
        Standing::Doubted => Some(Alert::warning(format!(
            "{names}: this node is no member there: nothing is decided here until the members agree"
        ))),
        Standing::LeftOut => Some(Alert::error(format!(
            "{names}: this node is no member any more. It is frozen and decides nothing: `om daemon rejoin` makes it a \
             member again, `om daemon leave` a cluster of its own"
        ))),
    }
}

/// That of a host with the secret and another name.
fn stranger_alert(name: &NodeName, address: IpAddr) -> Alert {
    Alert::error(format!(
        "{name}, at {address}, has the secret of this cluster and is none of cluster.nodes. A host that was renamed: give it \
         its name back and restart its daemon, or put {name} in the place of the old name: here `om cluster set --force \
         --kw cluster.nodes-=OLD`, there `om daemon rejoin --node MEMBER`. One that was taken out: there `om daemon leave`"
    ))
}

fn roster(node: &NodeSettings) -> Roster<'_> {
    let secret = node.secret.as_ref().map(conf::Secret::expose);
    Roster { id: &node.cluster_id, secret, nodes: &node.nodes }
}

impl Actor for StandingKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("standing keeper started");
        self.look_again(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("standing keeper stopped");
    }
}

impl Supervised for StandingKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::with(self.config.clone(), self.snapshot.clone(), self.tell.clone());
    }
}

impl Handler<Inquire> for StandingKeeper {
    type Result = ();

    fn handle(&mut self, _: Inquire, ctx: &mut Context<Self>) {
        let peers = self.peers();
        self.ask(peers, ctx);
    }
}

impl Handler<Leaves> for StandingKeeper {
    type Result = ();

    fn handle(&mut self, Leaves(node): Leaves, _: &mut Context<Self>) {
        self.leaving.insert(node);
    }
}

impl Handler<Stranger> for StandingKeeper {
    type Result = ();

    fn handle(&mut self, Stranger { name, address }: Stranger, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let is_new = !self.strangers.contains_key(&name);
        if is_new && self.strangers.len() >= MOST_STRANGERS {
            return;
        }
        let heard = self.strangers.entry(name.clone());
        let heard = heard.or_insert(Heard { address, first: now, last: now });
        let was_told = heard.is_told();
        (heard.address, heard.last) = (address, now);
        if heard.is_told() && !was_told {
            log::error!(node:% = name, address:% = address; "a host with the secret of this cluster is none of cluster.nodes: renamed, or taken out");
            self.report(self.own_alert());
        }
        ctx.run_later(STRANGER_GOES + Duration::from_millis(1), |this, _| this.forget_strangers());
    }
}

impl Handler<NodeConfigChanged> for StandingKeeper {
    type Result = ();

    fn handle(&mut self, change: NodeConfigChanged, ctx: &mut Context<Self>) {
        let NodeConfigChanged { old, new } = change;
        let old: Arc<NodeSettings> = old;
        // Its word came after the configuration without it, and was about that.
        self.leaving.retain(|node| old.nodes.contains(node) || !new.nodes.contains(node));
        let mut after = roster(&new);
        if old.is_handed_on(&new) {
            // The same cluster, with another secret.
            after.secret = roster(&old).secret;
        }
        for node in taken_out(&new.nodename, &roster(&old), &after) {
            if self.leaving.remove(&node) {
                continue;
            }
            // Where it listens is said by the configuration that it was in.
            let address = PeerAddress::of(&old.conf, &node);
            ctx.run_later(LEAVE_PAUSE, move |this, ctx| {
                this.give_notice(node, address, 1, ctx);
            });
        }
        self.forget_strangers();
        let is_asked_anew = self.standing != Standing::Member;
        self.opinions.clear();
        self.settle(ctx);
        if is_asked_anew {
            let peers = self.peers();
            self.ask(peers, ctx);
        }
    }
}

#[cfg(test)]
mod tests;
