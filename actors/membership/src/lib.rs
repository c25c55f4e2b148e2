//! The membership: who of the peers is lost, and what follows.
//!
//! Hears: rx workers (who beats), the root (heartbeats that end, and those that retire), its own alarm. Tells: the cluster
//! data (a peer is forgotten, events), the quorum, the standing keeper, the root (a heartbeat is needed no more).
//! Restart: who beats is kept, because the workers tell changes only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use model::{EventFacts, NodeMonitorStatus, NodeName, ObjectPath};
use monitor::{Forget, Peers, Retiring, Sign};

use dataset::config::ConfigCell;
use dataset::snapshot::{Snapshot, SnapshotCell};
use machine::clock;
use mail::cluster_data::{Emit, ForgetPeer};
use mail::latest::{Latest, keep_on};
use mail::mail::Mail;
use mail::membership::{Beat, Ended, Ending, Retire, Retired};
use mail::quorum::{PeerHeard, PeerLost};
use mail::standing::Inquire;

/// How soon a node that stops looks again whether it still does.
const STOPPING_PAUSE: Duration = Duration::from_secs(1);

/// How often it is looked at whether a heartbeat that retires is still needed: what the peers have is no message to this
/// actor, and such a heartbeat is rare.
const RETIRING_PAUSE: Duration = Duration::from_millis(250);

/// Whom the membership knows.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Where peers say what they do.
    pub snapshot: SnapshotCell,
    /// Members and grace.
    pub config: ConfigCell,
    /// Forgets a peer.
    pub forget: Recipient<ForgetPeer>,
    /// Tells events.
    pub emit: Recipient<Emit>,
    /// Judges whether this segment goes on.
    pub quorum: Recipient<PeerLost>,
    /// Ends the heartbeats.
    pub root: Recipient<Retired>,
    /// Asks whether it is not rather this node that is gone.
    pub inquire: Recipient<Inquire>,
    /// Counts it again.
    pub heard: Recipient<PeerHeard>,
}

/// The actor.
#[derive(Debug)]
pub struct Membership {
    neighbours: Neighbours,
    peers: Peers,
    retiring: Retiring,
    /// Heartbeats whose rx is about to stop for good, and for how long their peers are waited for.
    ending: BTreeMap<String, Duration>,
    alarm: Option<SpawnHandle>,
    /// Whom the quorum is to count again.
    heard: Latest<NodeName, PeerHeard>,
    /// Who is told of a loss: each peer is lost once before it beats again.
    forgotten: Latest<NodeName, ForgetPeer>,
    lost: Latest<NodeName, PeerLost>,
    inquire: Latest<(), Inquire>,
}

impl Membership {
    /// The membership of a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        Self::with(Neighbours {
            snapshot: mail.snapshot.clone(),
            config: mail.config.clone(),
            forget: mail.cluster_data.clone().recipient(),
            emit: mail.cluster_data.clone().recipient(),
            quorum: mail.quorum.clone().recipient(),
            root: mail.root.clone().recipient(),
            inquire: mail.standing.clone().recipient(),
            heard: mail.quorum.clone().recipient(),
        })
    }

    /// A membership with these neighbours.
    #[must_use]
    pub fn with(neighbours: Neighbours) -> Self {
        Self {
            heard: Latest::new(neighbours.heard.clone()),
            forgotten: Latest::new(neighbours.forget.clone()),
            lost: Latest::new(neighbours.quorum.clone()),
            inquire: Latest::new(neighbours.inquire.clone()),
            neighbours,
            peers: Peers::default(),
            retiring: Retiring::default(),
            ending: BTreeMap::new(),
            alarm: None,
        }
    }

    /// Decides who is lost, and does what follows.
    fn decide(&mut self, ctx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        let snapshot = self.neighbours.snapshot.load_full();
        if is_leaving(&snapshot) {
            // Its own heartbeats stop: nobody is lost by that.
            self.look_again(STOPPING_PAUSE, ctx);
            return;
        }
        let config = self.neighbours.config.load_full();
        self.peers.retain(|peer| config.node.nodes.contains(peer));
        let grace = config.node.maintenance_grace_period;
        let decision =
            self.peers.decide(clock::steady(), grace, |peer| last_words(&snapshot, peer));
        for Forget { peer, was_shutting } in decision.forget {
            self.forget(peer, was_shutting, ctx);
        }
        let mut pause = decision.look_after.map(|pause| pause.max(Duration::from_millis(1)));
        if !self.retiring.is_empty() {
            let has_config = |peer: &NodeName| has_same_cluster_conf(&snapshot, peer);
            for hb in self.retiring.decide(clock::steady(), &self.peers, has_config) {
                self.neighbours.root.do_send(Retired { hb });
            }
            pause = Some(pause.map_or(RETIRING_PAUSE, |pause| pause.min(RETIRING_PAUSE)));
        }
        if let Some(pause) = pause {
            self.look_again(pause, ctx);
        }
    }

    fn look_again(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        self.alarm = Some(ctx.run_later(pause, |this, ctx| {
            this.alarm = None;
            this.decide(ctx);
        }));
    }

    fn forget(&mut self, peer: NodeName, was_shutting: bool, ctx: &mut Context<Self>) {
        log::warn!(peer:% = peer, was_shutting; "no heartbeat hears the peer any more: forgotten");
        let facts =
            EventFacts { reason: Some("no_rx"), peer: Some(peer.clone()), ..EventFacts::default() };
        // Before anything is decided on what is left: what seems lost may have taken this node out.
        if self.inquire.send((), Inquire) {
            keep_on(ctx, |this: &mut Self| this.inquire.again());
        }
        // Whoever does not keep up loses events.
        _ = self.neighbours.emit.try_send(Emit { id: "forget_peer", path: None, facts });
        if self.forgotten.send(peer.clone(), ForgetPeer(peer.clone())) {
            keep_on(ctx, |this: &mut Self| this.forgotten.again());
        }
        self.heard.take_back(&peer);
        if self.lost.send(peer.clone(), PeerLost { peer, was_shutting }) {
            keep_on(ctx, |this: &mut Self| this.lost.again());
        }
    }
}

/// Whether the local daemon is being stopped.
fn is_leaving(snapshot: &Arc<Snapshot>) -> bool {
    let monitor = snapshot.local().and_then(|local| local.data.monitor.as_ref());
    monitor.is_some_and(|monitor| monitor.status.is_leaving())
}

/// Whether a peer publishes the cluster.conf that this node has.
fn has_same_cluster_conf(snapshot: &Snapshot, peer: &NodeName) -> bool {
    let csum = |node| snapshot.config(node, &ObjectPath::cluster()).map(|entry| &entry.csum);
    let ours = csum(snapshot.nodename());
    ours.is_some() && csum(peer) == ours
}

fn last_words(snapshot: &Snapshot, peer: &NodeName) -> Option<NodeMonitorStatus> {
    Some(snapshot.node(peer)?.data.monitor.as_ref()?.status.clone())
}

impl Actor for Membership {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("membership started");
        if self.heard.on_restart() {
            keep_on(ctx, |this: &mut Self| this.heard.again());
        }
        if self.forgotten.on_restart() {
            keep_on(ctx, |this: &mut Self| this.forgotten.again());
        }
        if self.lost.on_restart() {
            keep_on(ctx, |this: &mut Self| this.lost.again());
        }
        if self.inquire.on_restart() {
            keep_on(ctx, |this: &mut Self| this.inquire.again());
        }
        self.decide(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("membership stopped");
    }
}

impl Supervised for Membership {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.alarm = None;
    }
}

impl Handler<Beat> for Membership {
    type Result = ();

    fn handle(&mut self, beat: Beat, ctx: &mut Context<Self>) {
        let Beat { hb, peer, sign } = beat;
        let sign = match (sign, self.ending.get(&hb)) {
            (Sign::Stopped, Some(grace)) => Sign::Ended { grace: *grace },
            (sign, _) => sign,
        };
        if sign == Sign::Beating {
            // Whoever was not told yet that it was lost is not to drop what it says now.
            self.forgotten.take_back(&peer);
            self.lost.take_back(&peer);
            if self.heard.send(peer.clone(), PeerHeard(peer.clone())) {
                keep_on(ctx, |this: &mut Self| this.heard.again());
            }
        }
        self.peers.on_sign(clock::steady(), &hb, &peer, sign);
        self.decide(ctx);
    }
}

impl Handler<Ending> for Membership {
    type Result = ();

    fn handle(&mut self, Ending { hb, grace }: Ending, _: &mut Context<Self>) {
        self.ending.insert(hb, grace);
    }
}

impl Handler<Ended> for Membership {
    type Result = ();

    fn handle(&mut self, Ended { hb }: Ended, _: &mut Context<Self>) {
        self.ending.remove(&hb);
    }
}

impl Handler<Retire> for Membership {
    type Result = ();

    fn handle(&mut self, Retire(heartbeats): Retire, ctx: &mut Context<Self>) {
        self.retiring.set(heartbeats);
        self.decide(ctx);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arc_swap::ArcSwap;
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use dataset::config::LoadedConfig;
    use files::load::Load as _;
    use machine::paths::Paths;
    use monitor::RetiringHeartbeat;

    struct Ear(mpsc::UnboundedSender<String>);

    impl Actor for Ear {
        type Context = Context<Self>;
    }

    impl Handler<ForgetPeer> for Ear {
        type Result = ();

        fn handle(&mut self, ForgetPeer(peer): ForgetPeer, _: &mut Context<Self>) {
            _ = self.0.send(format!("forget {peer}"));
        }
    }

    impl Handler<Emit> for Ear {
        type Result = ();

        fn handle(&mut self, event: Emit, _: &mut Context<Self>) {
            _ = self.0.send(format!("{} {}", event.id, json!(event.facts)));
        }
    }

    impl Handler<PeerLost> for Ear {
        type Result = ();

        fn handle(&mut self, PeerLost { peer, .. }: PeerLost, _: &mut Context<Self>) {
            _ = self.0.send(format!("lost {peer}"));
        }
    }

    impl Handler<Retired> for Ear {
        type Result = ();

        fn handle(&mut self, Retired { hb }: Retired, _: &mut Context<Self>) {
            _ = self.0.send(format!("retired {hb}"));
        }
    }

    impl Handler<PeerHeard> for Ear {
        type Result = ();

        fn handle(&mut self, _: PeerHeard, _: &mut Context<Self>) {}
    }

    impl Handler<Inquire> for Ear {
        type Result = ();

        fn handle(&mut self, _: Inquire, _: &mut Context<Self>) {
            _ = self.0.send("inquire".into());
        }
    }

    fn beat(hb: &str, peer: &str, sign: Sign) -> Beat {
        Beat { hb: hb.to_owned(), peer: NodeName::new(peer).unwrap(), sign }
    }

    /// A membership of n1 with member n2, and what it tells.
    fn membership(folder: &std::path::Path) -> (Addr<Membership>, mpsc::UnboundedReceiver<String>) {
        let paths = Paths::under(folder);
        paths.create().unwrap();
        std::fs::write(paths.cluster_conf(), "[cluster]\nnodes = n1 n2\n").unwrap();
        let node = NodeName::new("n1").unwrap();
        let config = LoadedConfig::load(&paths, &node);
        let (sender, heard) = mpsc::unbounded_channel();
        let ear = Ear(sender).start();
        let membership = Membership::with(Neighbours {
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::empty(node))),
            config: Arc::new(ArcSwap::from_pointee(config)),
            forget: ear.clone().recipient(),
            emit: ear.clone().recipient(),
            quorum: ear.clone().recipient(),
            root: ear.clone().recipient(),
            inquire: ear.clone().recipient(),
            heard: ear.recipient(),
        });
        (membership.start(), heard)
    }

    async fn next(heard: &mut mpsc::UnboundedReceiver<String>) -> String {
        let next = tokio::time::timeout(Duration::from_secs(10), heard.recv());
        next.await.expect("told in time").expect("the ear lives")
    }

    #[actix::test]
    async fn a_member_that_no_heartbeat_hears_is_forgotten_and_a_stranger_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (membership, mut heard) = membership(folder.path());
        for told in [
            beat("hb#1", "n2", Sign::Beating),
            beat("hb#2", "n2", Sign::Beating),
            beat("hb#1", "n9", Sign::Beating),
            beat("hb#1", "n9", Sign::Stale),
            beat("hb#1", "n2", Sign::Stale),
            beat("hb#2", "n2", Sign::Stale),
        ] {
            membership.send(told).await.unwrap();
        }
        assert_eq!(next(&mut heard).await, "inquire", "before anything follows");
        assert_eq!(next(&mut heard).await, r#"forget_peer {"peer":"n2","reason":"no_rx"}"#);
        assert_eq!(next(&mut heard).await, "forget n2");
        assert_eq!(next(&mut heard).await, "lost n2");
        assert!(heard.try_recv().is_err());
    }

    #[actix::test]
    async fn a_stop_that_was_asked_for_judges_nobody_and_an_end_does_after_its_grace() {
        let folder = tempfile::tempdir().unwrap();
        let (membership, mut heard) = membership(folder.path());
        membership.send(beat("hb#1", "n2", Sign::Beating)).await.unwrap();
        membership.send(beat("hb#1", "n2", Sign::Stopped)).await.unwrap();
        membership.send(beat("hb#1", "n2", Sign::Beating)).await.unwrap();
        let grace = Duration::from_millis(200);
        membership.send(Ending { hb: "hb#1".into(), grace }).await.unwrap();
        assert!(heard.try_recv().is_err());
        let ended = std::time::Instant::now();
        membership.send(beat("hb#1", "n2", Sign::Stopped)).await.unwrap();
        membership.send(Ended { hb: "hb#1".into() }).await.unwrap();
        assert_eq!(next(&mut heard).await, "inquire");
        assert!(next(&mut heard).await.starts_with("forget_peer"));
        assert!(ended.elapsed() >= grace);
    }

    #[actix::test]
    async fn a_heartbeat_that_retires_is_told_to_be_needed_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (membership, mut heard) = membership(folder.path());
        membership.send(beat("hb#1.previous", "n2", Sign::Beating)).await.unwrap();
        let nodes = ["n1", "n2"].map(|name| NodeName::new(name).unwrap()).into();
        let heartbeat = RetiringHeartbeat { nodes, overlap_seconds: 0.1 };
        let retiring = BTreeMap::from([("hb#1.previous".into(), heartbeat)]);
        membership.send(Retire(retiring)).await.unwrap();
        assert!(heard.try_recv().is_err());
        // Forgotten: nobody needs it.
        membership.send(beat("hb#1.previous", "n2", Sign::Stale)).await.unwrap();
        assert_eq!(next(&mut heard).await, "inquire");
        assert!(next(&mut heard).await.starts_with("forget_peer"));
        assert_eq!(next(&mut heard).await, "forget n2");
        assert_eq!(next(&mut heard).await, "lost n2");
        assert_eq!(next(&mut heard).await, "retired hb#1.previous");
    }
}
