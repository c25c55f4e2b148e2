//! The membership: who of the peers is lost, and what follows.
//!
//! Hears: rx workers (who beats), its own alarm. Tells: the cluster data (a peer is forgotten, events), the quorum.
//! Restart: who beats is kept, because the workers tell changes only.

use std::sync::Arc;

use actix::prelude::*;
use model::{NodeName, Timestamp};
use monitor::{Forget, LastWords, Peers};
use serde_json::{Map, Value};

use crate::clock;
use crate::cluster_data::{Emit, ForgetPeer, Snapshot, SnapshotCell};
use crate::config::ConfigCell;
use crate::quorum::PeerLost;
use crate::routes::Routes;

/// How soon a node that stops looks again whether it still does.
const STOPPING_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// A peer became beating on an rx, or stale; also when the rx stops. On changes only.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Beat {
    /// The heartbeat, `hb#1`.
    pub hb: String,
    /// The peer.
    pub peer: NodeName,
    /// Whether it was heard in time.
    pub is_beating: bool,
    /// When it was heard last.
    pub last: Timestamp,
}

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
}

/// The actor.
#[derive(Debug)]
pub struct Membership {
    neighbours: Neighbours,
    peers: Peers,
    alarm: Option<SpawnHandle>,
}

impl Membership {
    /// The membership of a daemon.
    #[must_use]
    pub fn new(routes: &Routes) -> Self {
        Self::with(Neighbours {
            snapshot: routes.snapshot.clone(),
            config: routes.config.clone(),
            forget: routes.cluster_data.clone().recipient(),
            emit: routes.cluster_data.clone().recipient(),
            quorum: routes.quorum.clone().recipient(),
        })
    }

    /// A membership with these neighbours.
    #[must_use]
    pub fn with(neighbours: Neighbours) -> Self {
        Self { neighbours, peers: Peers::default(), alarm: None }
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
        let grace = config.node.maintenance_grace_period.as_secs_f64();
        let decision = self.peers.decide(clock::now(), grace, |peer| last_words(&snapshot, peer));
        for Forget { peer, was_shutting } in decision.forget {
            self.forget(peer, was_shutting);
        }
        if let Some(pause) = decision.look_after {
            self.look_again(std::time::Duration::from_secs_f64(pause.max(0.001)), ctx);
        }
    }

    fn look_again(&mut self, pause: std::time::Duration, ctx: &mut Context<Self>) {
        self.alarm = Some(ctx.run_later(pause, |this, ctx| {
            this.alarm = None;
            this.decide(ctx);
        }));
    }

    fn forget(&self, peer: NodeName, was_shutting: bool) {
        log::warn!(peer:% = peer, was_shutting; "no heartbeat hears the peer any more: forgotten");
        let mut data = Map::new();
        data.insert("reason".into(), "no_rx".into());
        data.insert("peer".into(), Value::from(peer.as_str()));
        self.neighbours.emit.do_send(Emit { id: "forget_peer".into(), path: None, data });
        self.neighbours.forget.do_send(ForgetPeer(peer.clone()));
        self.neighbours.quorum.do_send(PeerLost { peer, was_shutting });
    }
}

/// Whether the local daemon is being stopped.
fn is_leaving(snapshot: &Arc<Snapshot>) -> bool {
    let monitor = snapshot.local().and_then(|local| local.data.monitor.as_ref());
    monitor.is_some_and(|monitor| monitor.status.is_leaving())
}

fn last_words(snapshot: &Snapshot, peer: &NodeName) -> LastWords {
    let monitor = snapshot.node(peer).and_then(|entry| entry.data.monitor.as_ref());
    LastWords {
        status: monitor.map(|monitor| monitor.status.clone()),
        status_updated: monitor.and_then(|monitor| monitor.status_updated).unwrap_or_default(),
    }
}

impl Actor for Membership {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("membership started");
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
        self.peers.on_beat(clock::now(), &beat.hb, &beat.peer, beat.is_beating);
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
    use crate::config::LoadedConfig;
    use crate::paths::Paths;

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
            _ = self.0.send(format!("{} {}", event.id, json!(event.data)));
        }
    }

    impl Handler<PeerLost> for Ear {
        type Result = ();

        fn handle(&mut self, PeerLost { peer, .. }: PeerLost, _: &mut Context<Self>) {
            _ = self.0.send(format!("lost {peer}"));
        }
    }

    fn beat(hb: &str, peer: &str, is_beating: bool) -> Beat {
        let (hb, peer) = (hb.to_owned(), NodeName::new(peer).unwrap());
        Beat { hb, peer, is_beating, last: clock::now() }
    }

    #[actix::test]
    async fn a_member_that_no_heartbeat_hears_is_forgotten_and_a_stranger_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        std::fs::write(paths.cluster_conf(), "[cluster]\nnodes = n1 n2\n").unwrap();
        let node = NodeName::new("n1").unwrap();
        let config = LoadedConfig::load(&paths, &node);
        let (sender, mut heard) = mpsc::unbounded_channel();
        let ear = Ear(sender).start();
        let membership = Membership::with(Neighbours {
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::empty(node))),
            config: Arc::new(ArcSwap::from_pointee(config)),
            forget: ear.clone().recipient(),
            emit: ear.clone().recipient(),
            quorum: ear.recipient(),
        })
        .start();
        for told in [
            beat("hb#1", "n2", true),
            beat("hb#2", "n2", true),
            beat("hb#1", "n9", true),
            beat("hb#1", "n9", false),
            beat("hb#1", "n2", false),
            beat("hb#2", "n2", false),
        ] {
            membership.send(told).await.unwrap();
        }
        let next = tokio::time::timeout(Duration::from_secs(10), heard.recv());
        assert_eq!(next.await.unwrap().unwrap(), r#"forget_peer {"peer":"n2","reason":"no_rx"}"#);
        assert_eq!(heard.recv().await.unwrap(), "forget n2");
        assert_eq!(heard.recv().await.unwrap(), "lost n2");
        assert!(heard.try_recv().is_err());
    }
}
