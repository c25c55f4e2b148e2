//! Requests to peers, over TCP, in the dialect that each speaks.
//!
//! Hears: whoever asks a peer. Tells: nobody. Restart: kept connections are closed, and asked again by their requesters.
//! Between nodes that speak sealed a connection is kept and used again; a deployed agent answers once per connection.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use model::NodeName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use wire::reply::Part;

use conf::peer_address::PeerAddress;

use dataset::config::ConfigCell;
use dataset::snapshot::SnapshotCell;
use link::classic::ClassicMemory;
use link::freshness::Freshness;
use link::gate::GateCell;
use link::peer::error::PeerError;
use link::peer::reading::{Reading, TEXT, VALUE};
use link::peer::share::Lane;
use link::peer::{Asked, Identity, MAX_NAMES, connect};
use mail::mail::Mail;
use mail::peers::{AskPeer, AskText, FollowPeer};

/// Most requests under way: beyond, who asks is refused.
const MAX_ASKED: usize = 4_096;
/// Most connections kept per peer.
const MAX_KEPT: usize = 4;

/// A connection that waits for the next request.
#[derive(Debug)]
struct Kept {
    stream: TcpStream,
    address: PeerAddress,
    identity: Identity,
    since: Instant,
}

impl Kept {
    /// Whether the peer neither closed it nor said what nobody asked for.
    fn is_quiet(&self) -> bool {
        let read = self.stream.try_read(&mut [0; 1]);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// One request on its way.
struct Order<T> {
    asked: Asked<T>,
    address: PeerAddress,
    identity: Identity,
    kept: Option<Kept>,
}

impl<T: Send + 'static> Order<T> {
    /// Asks, over a kept connection where it may be, and tells which connection may be kept.
    async fn carry_out(mut self) -> (Result<T, PeerError>, Option<Kept>) {
        if let Some(mut kept) = self.kept.take() {
            match self.identity.ask(&mut kept.stream, &self.asked).await {
                Ok((reply, is_reusable)) => {
                    return (Ok(reply), is_reusable.then(|| self.keep(kept.stream)));
                }
                // The peer ended what was kept; a new connection tells whether it still answers.
                Err(PeerError::Closed | PeerError::Io(_)) => {}
                Err(error) => return (Err(error), None),
            }
        }
        let asked = async {
            let mut stream = connect(&self.address).await?;
            self.identity.introduce(&mut stream, &self.asked.request).await?;
            let (reply, is_reusable) = self.identity.ask(&mut stream, &self.asked).await?;
            Ok((reply, is_reusable.then_some(stream)))
        };
        match asked.await {
            Ok((reply, stream)) => (Ok(reply), stream.map(|stream| self.keep(stream))),
            Err(error) => (Err(error), None),
        }
    }

    fn keep(&self, stream: TcpStream) -> Kept {
        let (address, identity) = (self.address.clone(), self.identity.clone());
        Kept { stream, address, identity, since: Instant::now() }
    }
}

/// The actor.
#[derive(Debug)]
pub struct Peers {
    config: ConfigCell,
    gate: GateCell,
    snapshot: SnapshotCell,
    freshness: Arc<Freshness>,
    /// What remembers the classic requests that are sent; none in tests.
    classic: Option<Arc<ClassicMemory>>,
    kept: BTreeMap<NodeName, Vec<Kept>>,
    /// Where large replies of each peer wait.
    turns: BTreeMap<NodeName, Arc<Semaphore>>,
    asked: usize,
}

impl Peers {
    /// Asks in the name of the node that `mail` are of.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        let (config, gate) = (mail.config.clone(), mail.gate.clone());
        let classic = Some(mail.classic.clone());
        Self { classic, ..Self::with(config, gate, mail.snapshot.clone(), mail.freshness.clone()) }
    }

    /// Asks at the addresses of a configuration, with the keys of a gate, in the dialects that nodes published.
    #[must_use]
    pub fn with(
        config: ConfigCell,
        gate: GateCell,
        snapshot: SnapshotCell,
        freshness: Arc<Freshness>,
    ) -> Self {
        let (kept, turns) = Default::default();
        Self { config, gate, snapshot, freshness, classic: None, kept, turns, asked: 0 }
    }

    /// How long a connection may wait for its next request: half of what the peers, configured alike, allow.
    fn idle(&self) -> Duration {
        self.gate.load().first_patience() / 2
    }

    /// A kept connection to a peer that is as good as a new one.
    fn take_kept(
        &mut self,
        peer: &NodeName,
        address: &PeerAddress,
        identity: &Identity,
    ) -> Option<Kept> {
        let idle = self.idle();
        let kept = self.kept.get_mut(peer)?;
        while let Some(last) = kept.pop() {
            let is_same = last.address == *address && last.identity == *identity;
            if is_same && last.since.elapsed() < idle && last.is_quiet() {
                return Some(last);
            }
        }
        None
    }

    /// The turns of a peer. Anybody may be asked for by name: those that nobody waits for go at some time.
    fn turns_of(&mut self, peer: &NodeName) -> Arc<Semaphore> {
        if self.turns.len() >= MAX_NAMES {
            self.turns.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        self.turns.entry(peer.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }

    fn order<T>(&mut self, ask: AskPeer, reading: Reading<T>) -> Result<Order<T>, PeerError> {
        let gate = self.gate.load();
        let mut identity = Identity::of(&gate, &self.snapshot.load(), &ask.peer)?;
        if let (Some(generation), Some(keyring)) = (ask.generation, &gate.keyring) {
            let secret = keyring.secret_of(generation).cloned();
            let missing = || PeerError::Secret(format!("this node has no secret {generation}"));
            identity.sender.secret = secret.ok_or_else(missing)?;
            identity.sender.generation = generation;
        }
        let said = || PeerAddress::of(&self.config.load().node.conf, &ask.peer);
        let address = ask.address.clone().unwrap_or_else(said);
        let kept =
            if ask.is_repeatable { self.take_kept(&ask.peer, &address, &identity) } else { None };
        let lane = Lane::Peer(self.turns_of(&ask.peer));
        let (freshness, classic) = (self.freshness.clone(), self.classic.clone());
        let AskPeer { request, is_repeatable, purse, .. } = ask;
        let asked = Asked { request, is_repeatable, purse, reading, lane, freshness, classic };
        Ok(Order { asked, address, identity, kept })
    }

    fn keep(&mut self, peer: NodeName, kept: Kept) {
        let all = self.kept.entry(peer).or_default();
        if all.len() < MAX_KEPT {
            all.push(kept);
        }
    }

    /// Closes what waited too long.
    fn sweep(&mut self) {
        let idle = self.idle();
        self.kept.retain(|_, kept| {
            kept.retain(|kept| kept.since.elapsed() < idle);
            !kept.is_empty()
        });
    }
}

impl Actor for Peers {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        log::info!("peers started");
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("peers stopped");
    }
}

impl Supervised for Peers {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.kept.clear();
        self.asked = 0;
    }
}

impl Handler<AskPeer> for Peers {
    type Result = ResponseActFuture<Self, Result<Value, PeerError>>;

    fn handle(&mut self, ask: AskPeer, _: &mut Context<Self>) -> Self::Result {
        self.carry_out(ask, VALUE)
    }
}

impl Handler<AskText> for Peers {
    type Result = ResponseActFuture<Self, Result<Part, PeerError>>;

    fn handle(&mut self, AskText(ask): AskText, _: &mut Context<Self>) -> Self::Result {
        self.carry_out(ask, TEXT)
    }
}

impl Handler<FollowPeer> for Peers {
    type Result = ResponseActFuture<Self, Result<(), PeerError>>;

    fn handle(
        &mut self,
        FollowPeer { ask, items }: FollowPeer,
        _: &mut Context<Self>,
    ) -> Self::Result {
        if self.asked >= MAX_ASKED {
            return Box::pin(actix::fut::ready(Err(PeerError::Busy)));
        }
        let mut order = match self.order(AskPeer { is_repeatable: false, ..ask }, TEXT) {
            Ok(order) => order,
            Err(error) => return Box::pin(actix::fut::ready(Err(error))),
        };
        self.asked += 1;
        let followed = async move {
            let mut stream = connect(&order.address).await?;
            order.identity.follow(&mut stream, &mut order.asked, &items).await
        };
        Box::pin(followed.into_actor(self).map(|ended, this, _| {
            this.asked = this.asked.saturating_sub(1);
            ended
        }))
    }
}

impl Peers {
    fn carry_out<T: Send + 'static>(
        &mut self,
        ask: AskPeer,
        reading: Reading<T>,
    ) -> ResponseActFuture<Self, Result<T, PeerError>> {
        if self.asked >= MAX_ASKED {
            return Box::pin(actix::fut::ready(Err(PeerError::Busy)));
        }
        let (peer, patience) = (ask.peer.clone(), ask.patience);
        let order = match self.order(ask, reading) {
            Ok(order) => order,
            Err(error) => return Box::pin(actix::fut::ready(Err(error))),
        };
        self.asked += 1;
        let asked = tokio::time::timeout(patience, order.carry_out());
        Box::pin(asked.into_actor(self).map(move |asked, this, ctx| {
            this.asked = this.asked.saturating_sub(1);
            let (answer, kept) = asked.unwrap_or((Err(PeerError::Late(patience)), None));
            if let Some(kept) = kept {
                if this.kept.is_empty() {
                    ctx.run_later(this.idle(), |this, ctx| this.swept(ctx));
                }
                this.keep(peer, kept);
            }
            answer
        }))
    }

    /// Looks again for as long as something is kept; an idle node sleeps.
    fn swept(&mut self, ctx: &mut Context<Self>) {
        self.sweep();
        if !self.kept.is_empty() {
            ctx.run_later(self.idle(), |this, ctx| this.swept(ctx));
        }
    }
}

#[cfg(test)]
mod tests;
