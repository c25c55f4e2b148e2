//! A connection: reads requests in any dialect, has them answered, writes the replies.
//!
//! One task per connection on a worker arbiter; a panic in it costs that connection only. Hears: its peer, the stop of
//! its session. Tells: the blacklist keeper (what did not open), the runner (an empty packet), the listener (its end).
//! A connection of which a message opened is *proven*: what others do from its address does not concern it any more.

mod classic;
mod examine;
mod gate;
mod lane;
mod session;
mod socket;
mod unopened;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use monitor::{Pool, STRANGER_FRAME};
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::{Framing, Incoming, Limits, Prepared, ReplyTo};

use self::examine::{Examined, examine, examine_plain};
use self::socket::{Close, Kind, Socket};
use crate::blacklist_keeper::{Invalid, LARGE_PATIENCE, Valid, Verdict};
use crate::clock;
use crate::evened;
use crate::freshness::Freshness;
use crate::heavy::{self, Held, Purse, Room};
use crate::listener::SessionsChanged;
use crate::requests::{self, Caller, Outcome};
use crate::root::TestPanic;
use crate::routes::Routes;
use crate::runner::DequeueActions;

pub use classic::{ClassicMemory, HeartbeatOf};
pub use gate::{Gate, GateCell, keyring};
pub use lane::Lane;
pub(crate) use lane::owner;
pub use session::{Session, SessionEvent, SessionGuard, SessionLog};
pub use unopened::{Account, Unopened};

/// Silence that closes a connection in the middle of a message, as in deployed agents, and a reply that the peer
/// does not read.
const STALL: Duration = Duration::from_secs(5);

/// Messages from this size on are opened outside of the arbiter; so are replies sealed.
const LARGE: usize = 16 * 1024;
const LARGE_REPLY: usize = 512 * 1024;

/// What a request keeps up to this weight is not counted.
const KEPT_FREE: usize = 64 << 10;

/// Longest wait for an actor of the daemon: a keeper that is being restarted must not hold connections for ever.
const KEEPER_PATIENCE: Duration = Duration::from_secs(1);

/// What connections share.
#[derive(Debug)]
pub struct Shared {
    /// The other actors. Shared by all connections: a copy for each request would touch every one of its counters.
    pub routes: Arc<Routes>,
    /// Who may connect, and how.
    pub gate: GateCell,
    /// The sealed messages heard lately.
    pub freshness: Arc<Freshness>,
    /// The sessions that came and went since the listener counted them.
    pub sessions: SessionLog,
    /// The memory of messages that are on their way, here and on heartbeats.
    pub unopened: Arc<Unopened>,
    /// Where strangers wait until they are read.
    pub lane: Lane,
    /// Large messages being opened: as many at once as there are processors.
    pub opening: Semaphore,
    /// Large replies being sealed: each takes several times its size while it is, and processors are few.
    pub sealing: Semaphore,
    /// Whether `test_panic` is served on the control socket (`OSVC_TEST_PANIC=1` at start). The router does not know
    /// this request: everywhere else it is not supported.
    pub is_panic_allowed: bool,
}

impl Shared {
    /// Tells the listener what happened to a session, when it looks next.
    pub fn note(&self, event: SessionEvent) {
        if self.sessions.push(event) {
            self.routes.listener.do_send(SessionsChanged);
        }
    }
}

/// Serves a connection from the network, non-blocking, until it ends. To be spawned on a worker arbiter.
pub async fn serve_tcp(stream: std::net::TcpStream, shared: Arc<Shared>, session: SessionGuard) {
    serve(Socket::tcp(stream), &shared, &session).await;
}

/// Serves a connection of the control socket, non-blocking, until it ends. To be spawned on a worker arbiter.
pub async fn serve_unix(
    stream: std::os::unix::net::UnixStream,
    shared: Arc<Shared>,
    session: SessionGuard,
) {
    serve(Socket::unix(stream), &shared, &session).await;
}

async fn serve(socket: Socket, shared: &Shared, session: &SessionGuard) {
    session.on_started();
    let talk = Talk { socket: &socket, shared, session };
    tokio::select! {
        close = talk.run() => {
            if close == Close::Done {
                socket.finish();
            }
            log::trace!(session = session.id(), close:? = close; "connection closed");
        }
        () = session.stopped() => log::debug!(session = session.id(); "session stopped"),
    }
}

/// A connection at work.
struct Talk<'a> {
    socket: &'a Socket,
    shared: &'a Shared,
    session: &'a Arc<Session>,
}

/// What a connection may send, by what is known of it.
struct Leave {
    pool: Pool,
    max_frame: usize,
    /// When the message has to be whole.
    last: Option<Instant>,
    /// Whether it may send more in its turn: a deployed agent has no other way, for it sends one message per connection.
    may_grow: bool,
}

impl Talk<'_> {
    async fn run(&self) -> Close {
        match self.converse().await {
            Ok(()) => Close::Done,
            Err(Close::TooLong) => {
                self.count(wire::Refusal::TooLong).await;
                Close::TooLong
            }
            Err(close) => close,
        }
    }

    async fn converse(&self) -> Result<(), Close> {
        let begin = Instant::now();
        let limits = self.shared.gate.load().limits();
        let mut framing = Framing::new(&limits);
        let mut account = self.shared.unopened.account(self.session.address());
        let mut patience = self.shared.gate.load().first_patience();
        loop {
            let leave = self.leave(begin, &limits);
            framing.set_max_frame(leave.max_frame);
            let next = self.next(&mut framing, &mut account, &leave, &limits, patience).await?;
            let Some(incoming) = next else { return Ok(()) };
            if !self.is_heard().await {
                return Ok(());
            }
            let bytes = match incoming {
                Incoming::Frame(bytes) => bytes,
                Incoming::DequeueActions => {
                    self.dequeue_actions();
                    return Ok(());
                }
            };
            if !self.answer(bytes, &mut account).await? {
                return Ok(());
            }
            self.session.on_progress(None);
            patience = self.shared.gate.load().listener.idle_timeout;
        }
    }

    /// What the connection may send next. One that proved itself, and the control socket, may send all that the
    /// configuration allows; so may one from an address that is known, unless others misuse that address.
    fn leave(&self, begin: Instant, limits: &Limits) -> Leave {
        let all =
            Leave { pool: Pool::Members, max_frame: limits.max_frame, last: None, may_grow: false };
        let Some(address) = self.session.address() else { return all };
        if self.session.is_proven() {
            return all;
        }
        let small = STRANGER_FRAME.min(limits.max_frame);
        let view = &self.shared.routes.blacklist.view;
        match view.verdict(address) {
            Verdict::Free if view.is_known(address) => all,
            Verdict::Slowed => {
                let gate = self.shared.gate.load();
                Leave { max_frame: small, may_grow: gate.takes_classic(), ..all }
            }
            Verdict::Free | Verdict::Refused => Leave {
                pool: Pool::Strangers,
                max_frame: small,
                last: Some(begin + STALL),
                may_grow: false,
            },
        }
    }

    /// The next message, none at the end of stream.
    async fn next(
        &self,
        framing: &mut Framing,
        account: &mut Account,
        leave: &Leave,
        limits: &Limits,
        patience: Duration,
    ) -> Result<Option<Incoming>, Close> {
        let mut start = None;
        let mut large: Option<OwnedSemaphorePermit> = None;
        let mut last = leave.last;
        loop {
            if let Some(incoming) = framing.next_frame() {
                return Ok(Some(incoming));
            }
            if leave.may_grow
                && large.is_none()
                && framing.pending() + socket::READ > leave.max_frame
                && let Some(address) = self.session.address()
            {
                let view = &self.shared.routes.blacklist.view;
                large = Some(view.large_turn(address).await.ok_or(Close::Slow)?);
                last = Some(Instant::now() + LARGE_PATIENCE);
                framing.set_max_frame(limits.max_frame);
            }
            if framing.pending() > 0 {
                start.get_or_insert_with(Instant::now);
            }
            let grant = |framing: &Framing, read: &[u8]| {
                // A message that came in one read is opened at once: nothing is held of it.
                if framing.pending() == 0 && read.last().is_none_or(|last| *last == 0) {
                    return true;
                }
                let end = || {
                    let session = self.session.clone();
                    move || session.stop()
                };
                let bytes = framing.held_bytes_with(read.len());
                account.set(bytes, leave.pool, limits.max_frame, end)
            };
            if leave.pool == Pool::Strangers {
                self.socket.readable(patience, leave.last).await?;
                self.turn(framing.pending() == 0, leave.last).await?;
            }
            let receive = self.socket.receive(framing, start, patience, last, grant);
            let length = match receive.await {
                // The small limit is for what others send from this address: it counts against nobody.
                Err(Close::TooLong) if leave.pool == Pool::Members && large.is_none() => {
                    let is_small = leave.max_frame < limits.max_frame;
                    return Err(if is_small { Close::Slow } else { Close::TooLong });
                }
                received => received?,
            };
            self.session.on_received(length);
            if length == 0 {
                return Ok(framing.finish());
            }
        }
    }

    /// Waits for the turn of a stranger, until its message has to be whole.
    async fn turn(&self, is_first: bool, last: Option<Instant>) -> Result<(), Close> {
        let Some(address) = self.session.address() else { return Ok(()) };
        let turn = self.shared.lane.turn(address, is_first);
        let last = last.unwrap_or_else(|| Instant::now() + STALL);
        tokio::time::timeout_at(last.into(), turn).await.map_err(|_| Close::Slow)
    }

    /// Whether a message that arrived is opened, once it is its turn. A connection that proved itself is never asked.
    async fn is_heard(&self) -> bool {
        let Some(address) = self.session.address().filter(|_| !self.session.is_proven()) else {
            return true;
        };
        let view = &self.shared.routes.blacklist.view;
        match view.verdict(address) {
            Verdict::Free => true,
            Verdict::Refused => false,
            Verdict::Slowed => {
                tokio::time::sleep(view.wait(address)).await;
                true
            }
        }
    }

    /// The collector wants its queue fetched: nothing at all without one.
    fn dequeue_actions(&self) {
        let config = self.shared.routes.config.load();
        if config.node.dbopensvc.as_deref().is_some_and(|collector| !collector.is_empty()) {
            // Coalesced by the runner; a full queue means that a run is due anyway.
            _ = self.shared.routes.runner.try_send(DequeueActions);
        }
    }

    /// A message of the connection opened. False: it had to make room meanwhile. A classic one may be a recording that
    /// this node has not seen, so it tells nothing of the address that it came from.
    fn prove(&self, reply_to: &ReplyTo) -> bool {
        if let Some(address) = self.session.address().filter(|_| reply_to.is_sealed()) {
            let view = &self.shared.routes.blacklist.view;
            view.on_opened(address);
        }
        self.session.prove()
    }

    /// Counts an invalid message, and waits until the count is in force.
    async fn count(&self, reason: wire::Refusal) {
        if let Some(sender) = self.session.address() {
            let keeper = &self.shared.routes.blacklist.keeper;
            _ = keeper.send(Invalid { sender, reason }).timeout(KEEPER_PATIENCE).await;
        }
    }

    /// Forgets what the sender did wrong before.
    async fn forgive(&self) {
        let blacklist = &self.shared.routes.blacklist;
        if let Some(sender) = self.session.address()
            && blacklist.view.count(sender) > 0
        {
            _ = blacklist.keeper.send(Valid(sender)).timeout(KEEPER_PATIENCE).await;
        }
    }

    /// Answers one message. False: the connection ends.
    async fn answer(&self, bytes: Vec<u8>, account: &mut Account) -> Result<bool, Close> {
        let mut held = None;
        let arrived = Instant::now();
        let examined = match self.socket.kind() {
            Kind::Unix => {
                if let Some(reply) = self.test_panic(&bytes).await {
                    self.reply(&ReplyTo::Plain, Arc::new(Prepared::new(&reply))).await?;
                    return Ok(false);
                }
                let nodename = self.shared.routes.nodename.clone();
                if bytes.len() < LARGE {
                    examine_plain(&bytes, &nodename)
                } else {
                    let work = move || examine_plain(&bytes, &nodename);
                    tokio::task::spawn_blocking(work).await.map_err(|_| Close::Broken)?
                }
            }
            Kind::Tcp => self.examine(bytes, &mut held, account).await?,
        };
        // Opened, or given up: either way its bytes are gone.
        account.release();
        let (reply_to, action) = match examined {
            Examined::Invalid { reason, is_guess } => {
                self.count(reason).await;
                if is_guess {
                    evened::refuse(arrived).await;
                }
                return Ok(false);
            }
            // It was too large for what one may hold, or too much is held by others.
            Examined::TooLarge => {
                evened::refuse(arrived).await;
                return Ok(false);
            }
            Examined::Silent => return Ok(false),
            Examined::Refused { reply_to, reply, is_proof, accepted } => {
                // What was heard before, or was for others, proves nothing of who sends it again.
                if is_proof {
                    if let Some(accepted) = accepted {
                        self.shared.freshness.settle(accepted).await;
                    }
                    self.forgive().await;
                    if !self.prove(&reply_to) {
                        return Err(Close::Crowded);
                    }
                }
                (reply_to, Err(reply))
            }
            Examined::Request { reply_to, caller, request, weight, accepted, keep } => {
                let request = match held.take() {
                    None => request,
                    // Most of what is large is not read: the request keeps what it is made of, for as long as it takes.
                    Some(held) => {
                        let work = move || (request.weight().min(weight), request);
                        let weighed = tokio::task::spawn_blocking(work).await;
                        let (weight, request) = weighed.map_err(|_| Close::Broken)?;
                        caller.purse.put(held, if weight < KEPT_FREE { 0 } else { weight });
                        request
                    }
                };
                if let Some(accepted) = accepted {
                    self.shared.freshness.settle(accepted).await;
                }
                if let Some(id) = keep {
                    let classic = self.shared.routes.classic.clone();
                    // Done or not, it is told there.
                    _ = tokio::task::spawn_blocking(move || classic.keep(id)).await;
                }
                self.forgive().await;
                if !self.prove(&reply_to) {
                    return Err(Close::Crowded);
                }
                self.session.on_validated();
                (reply_to, Ok((caller, request)))
            }
        };
        let mut purse = Purse::default();
        let outcome = match action {
            Err(reply) => Outcome::Json(reply),
            Ok((caller, request)) => {
                // What peers replied is held until it is passed on.
                purse = caller.purse.clone();
                self.session.on_progress(request.action.route().names.first().copied());
                let caller = Caller { addr: self.session.address(), ..caller };
                self.handle(caller, *request).await
            }
        };
        drop(held);
        let is_kept = reply_to.is_sealed();
        match outcome {
            Outcome::Json(Value::Null) | Outcome::Nothing => Ok(false),
            Outcome::Json(reply) => {
                // A client that does not read holds one copy of its reply, not two.
                let body = requests::prepared(reply).await.map_err(|_| Close::Broken)?;
                self.reply(&reply_to, body).await.map(|()| is_kept)
            }
            Outcome::Prepared(body) => self.reply(&reply_to, body).await.map(|()| is_kept),
            Outcome::Stream(items) => {
                // A stream lasts: nothing of its request is kept for it.
                drop(purse);
                self.stream(&reply_to, items).await.map(|()| false)
            }
        }
    }

    /// Examines a frame from the network: at once while it is small, outside of the arbiter and in as much memory as is
    /// `held` when it is not. A small frame may inflate to a thousand times its size, so that is found out step by step.
    async fn examine(
        &self,
        bytes: Vec<u8>,
        held: &mut Option<Held>,
        account: &Account,
    ) -> Result<Examined, Close> {
        let gate = self.shared.gate.load_full();
        let uses = self.shared.routes.secret_use.load_full();
        let address = self.session.address();
        if bytes.len() < LARGE {
            let classic = &self.shared.routes.classic;
            let freshness = &self.shared.freshness;
            match examine(&bytes, &gate, &uses, freshness, classic, address, Room::SMALL) {
                Examined::TooLarge => {}
                examined => return Ok(examined),
            }
        }
        let bytes = Arc::new(bytes);
        for room in [Room::MEDIUM, Room::LARGE] {
            // Base64 of what is at least as long.
            if bytes.len() / 2 > room.text && room != Room::LARGE {
                continue;
            }
            // The smaller share goes first: nobody waits for more with a part in hand.
            drop(held.take());
            let Some(share) = heavy::hold(room.bytes()).await else { break };
            let _turn = self.shared.opening.acquire().await;
            account.on_opening();
            let (bytes, gate, uses) = (bytes.clone(), gate.clone(), uses.clone());
            let freshness = self.shared.freshness.clone();
            let classic = self.shared.routes.classic.clone();
            // With its share: work that is begun goes on when the connection ends.
            let work =
                move || (examine(&bytes, &gate, &uses, &freshness, &classic, address, room), share);
            let worked = tokio::task::spawn_blocking(work).await;
            let (examined, share) = worked.map_err(|_| Close::Broken)?;
            *held = Some(share);
            match examined {
                Examined::TooLarge => {}
                examined => return Ok(examined),
            }
        }
        Ok(Examined::TooLarge)
    }

    /// Has a request carried out. A panic of its handler is answered as what it is.
    async fn handle(&self, caller: Caller, request: wire::Request) -> Outcome {
        let name = request.name.clone();
        // Boxed: an idle connection does not pay for the largest handler.
        let handled = Box::pin(requests::handle(&self.shared.routes, &caller, request));
        AssertUnwindSafe(handled).catch_unwind().await.unwrap_or_else(|_| {
            log::error!(action:% = name; "a request handler panicked");
            Outcome::Json(json!({"status": 500, "error": "internal error", "traceback": ""}))
        })
    }

    /// The reply to `test_panic`, when this message is one and it is served.
    async fn test_panic(&self, bytes: &[u8]) -> Option<Value> {
        if !self.shared.is_panic_allowed {
            return None;
        }
        let message: Value = wire::parse_within(bytes, 1 << 20).ok()?;
        if message["action"] != "test_panic" {
            return None;
        }
        let id = message["options"]["actor"].as_str().unwrap_or_default().to_owned();
        if id == "worker" {
            // The thread that serves this connection ends, with all that it serves.
            actix_rt::Arbiter::current().stop();
            std::future::pending::<()>().await;
        }
        let is_done = self.shared.routes.root.send(TestPanic { id }).await;
        Some(json!({ "status": i32::from(is_done != Ok(true)) }))
    }

    async fn reply(&self, reply_to: &ReplyTo, body: Arc<Prepared>) -> Result<(), Close> {
        let bytes = match reply_to {
            ReplyTo::Plain => {
                match body.parts() {
                    [] => self.send_plain(&body).await?,
                    parts => {
                        for part in parts {
                            self.send_plain(part).await?;
                        }
                    }
                }
                self.socket.send(b"\0").await?;
                self.session.on_sent(body.len() + 1);
                return Ok(());
            }
            ReplyTo::Classic | ReplyTo::Sealed { .. } => {
                let gate = self.shared.gate.load_full();
                let random = SystemRandom::new();
                let reply_to = reply_to.clone();
                let is_large = body.seal_bytes() >= LARGE_REPLY;
                let seal = move || {
                    let keyring = gate.keyring.as_ref()?;
                    keyring.seal_reply(&reply_to, &body, clock::stamp(), &random)
                };
                if is_large {
                    let _turn = self.shared.sealing.acquire().await;
                    tokio::task::spawn_blocking(seal).await.ok().flatten()
                } else {
                    seal()
                }
            }
        };
        let bytes = bytes.ok_or(Close::Broken)?;
        self.session.on_sent(bytes.len());
        self.socket.send(&bytes).await
    }

    /// Sends a text as it is: what the cluster data prepared without a copy, and what is kept compressed once it is its
    /// turn to be inflated.
    async fn send_plain(&self, body: &Arc<Prepared>) -> Result<(), Close> {
        if let Some(text) = body.plain() {
            return self.socket.send(text).await;
        }
        let text = {
            let _turn = self.shared.sealing.acquire().await;
            let body = body.clone();
            let inflate = move || body.json().into_owned();
            tokio::task::spawn_blocking(inflate).await.map_err(|_| Close::Broken)?
        };
        self.socket.send(&text).await
    }

    /// Whether answers there would be sealed with the secret before the one in force, which opens the hand-over only.
    fn is_handed_only(&self, reply_to: &ReplyTo) -> bool {
        match reply_to {
            ReplyTo::Plain | ReplyTo::Classic => false,
            ReplyTo::Sealed { generation, .. } => {
                self.shared.routes.secret_use.load().handed_only == Some(*generation)
            }
        }
    }

    /// Sends what comes until either side ends.
    async fn stream(
        &self,
        reply_to: &ReplyTo,
        mut items: tokio::sync::mpsc::Receiver<Arc<str>>,
    ) -> Result<(), Close> {
        loop {
            let item = tokio::select! {
                item = items.recv() => item,
                () = self.socket.closed() => return Ok(()),
            };
            match item {
                None => return Ok(()),
                // Begun with a secret that is to open nothing more: who follows asks again, with the one in force.
                Some(_) if self.is_handed_only(reply_to) => return Ok(()),
                Some(text) if text.is_empty() => self.socket.send(b"\0").await?,
                Some(text) => {
                    let body = Prepared::from_json(text.as_bytes().to_vec());
                    self.reply(reply_to, Arc::new(body)).await?;
                }
            }
        }
    }
}
