//! A connection: reads requests in any dialect, has them answered, writes the replies.
//!
//! One task per connection on a worker arbiter; a panic in it costs that connection only. Hears: its peer, the stop of
//! its session. Tells: the blacklist keeper (what did not open), the runner (an empty packet), the listener (its end).
//! A connection of which a message opened is *proven*: what others do from its address does not concern it any more.

mod examine;
mod incoming;
mod outgoing;
pub mod shared;
mod socket;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use link::heavy::{Held, Purse, Room};
use link::unopened::Account;
use link::{evened, heavy, prepare};
use mail::blacklist::{Invalid, Valid};
use mail::requests::{Caller, Outcome, Transport};
use mail::root::TestPanic;
use mail::runner::DequeueActions;
use mail::standing::Stranger;
use metrics::counts;
use serde_json::{Value, json};
use wire::{Framing, Incoming, Prepared, Raw, ReplyTo};

use crate::connection::examine::{Asked, Examined, Refused, examine, examine_plain};
use crate::connection::shared::Shared;
use crate::connection::socket::{Close, Kind, Socket};
use link::session::Session;
use mail::sessions::SessionGuard;

/// Messages from this size on are opened outside of the arbiter.
const LARGE: usize = 16 * 1024;

/// What a request keeps up to this weight is not counted.
const KEPT_FREE: usize = 64 << 10;

/// Longest wait for an actor of the daemon: a keeper that is being restarted must not hold connections for ever.
const KEEPER_PATIENCE: Duration = Duration::from_secs(1);

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
    let _connected = shared.mail.counts.connection(match socket.kind() {
        Kind::Unix => counts::Transport::ControlSocket,
        Kind::Tcp => counts::Transport::Tcp,
    });
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
        let limits = self.shared.mail.gate.load().limits();
        let mut framing = Framing::new(&limits);
        let mut account = self.shared.mail.unopened.account(self.session.address());
        let mut patience = self.shared.mail.gate.load().first_patience();
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
            patience = self.shared.mail.gate.load().listener.idle_timeout;
        }
    }

    /// The collector wants its queue fetched: nothing at all without one.
    fn dequeue_actions(&self) {
        let config = self.shared.mail.config.load();
        if config.node.dbopensvc.as_deref().is_some_and(|collector| !collector.is_empty()) {
            // Coalesced by the runner; a full queue means that a run is due anyway.
            _ = self.shared.mail.runner.try_send(DequeueActions);
        }
    }

    /// A message of the connection opened. False: it had to make room meanwhile. A classic one may be a recording that
    /// this node has not seen, so it tells nothing of the address that it came from.
    fn prove(&self, reply_to: &ReplyTo) -> bool {
        if let Some(address) = self.session.address().filter(|_| reply_to.is_sealed()) {
            let view = &self.shared.mail.blacklist.view;
            view.on_opened(address);
        }
        self.session.prove()
    }

    /// Counts an invalid message, and waits until the count is in force.
    async fn count(&self, reason: wire::Refusal) {
        if let Some(sender) = self.session.address() {
            let keeper = &self.shared.mail.blacklist.keeper;
            _ = keeper.send(Invalid { sender, reason }).timeout(KEEPER_PATIENCE).await;
        }
    }

    /// Forgets what the sender did wrong before.
    async fn forgive(&self) {
        let blacklist = &self.shared.mail.blacklist;
        if let Some(sender) = self.session.address()
            && blacklist.view.count(sender) > 0
        {
            _ = blacklist.keeper.send(Valid(sender)).timeout(KEEPER_PATIENCE).await;
        }
    }

    /// Answers one message. False: the connection ends.
    async fn answer(&self, bytes: Raw, account: &mut Account) -> Result<bool, Close> {
        let mut held = None;
        let arrived = Instant::now();
        let examined = match self.socket.kind() {
            Kind::Unix => {
                if let Some(reply) = self.test_panic(&bytes).await {
                    self.reply(&ReplyTo::Plain, Arc::new(Prepared::new(&reply))).await?;
                    return Ok(false);
                }
                self.examine_plain(bytes).await?
            }
            Kind::Tcp => self.examine(bytes, &mut held, account).await?,
        };
        // Opened, or given up: either way its bytes are gone.
        account.release();
        match examined {
            Examined::Invalid { reason, is_guess } => {
                self.count(reason).await;
                if is_guess {
                    evened::refuse(arrived).await;
                }
                Ok(false)
            }
            // It was too large for what one may hold, or too much is held by others.
            Examined::TooLarge => {
                evened::refuse(arrived).await;
                Ok(false)
            }
            Examined::Silent => Ok(false),
            Examined::Refused(refused) => {
                let (reply_to, reply) = self.refuse(refused).await?;
                drop(held);
                self.deliver(&reply_to, Outcome::Json(reply), Purse::default()).await
            }
            Examined::Request(asked) => {
                let (reply_to, caller, request) = self.admit(asked, held).await?;
                // What peers replied is held until it is passed on.
                let purse = caller.purse.clone();
                self.session.on_progress(request.action.route().names.first().copied());
                let caller = Caller { addr: self.session.address(), ..caller };
                let _streaming = self.shared.mail.counts.stream(&request.action);
                let outcome = self.handle(caller, *request).await;
                self.deliver(&reply_to, outcome, purse).await
            }
        }
    }

    /// Takes the consequences of a message that opened and is refused: where its reply goes, and what it is.
    async fn refuse(&self, refused: Refused) -> Result<(ReplyTo, Value), Close> {
        let Refused { reply_to, reply, is_proof, accepted, stranger } = refused;
        if let Some((name, address)) = stranger.zip(self.session.address()) {
            // It asks again: a full queue loses nothing.
            _ = self.shared.mail.standing.try_send(Stranger { name, address });
        }
        // What was heard before, or was for others, proves nothing of who sends it again.
        if is_proof {
            if let Some(accepted) = accepted {
                self.shared.mail.freshness.settle(accepted).await;
            }
            self.forgive().await;
            if !self.prove(&reply_to) {
                return Err(Close::Crowded);
            }
        }
        Ok((reply_to, reply))
    }

    /// Takes the consequences of a request, which may be asked afterwards. `held` is the memory that it was opened in.
    async fn admit(
        &self,
        asked: Asked,
        held: Option<Held>,
    ) -> Result<(ReplyTo, Caller, Box<wire::Request>), Close> {
        let Asked { reply_to, caller, request, weight, accepted, keep } = asked;
        let request = match held {
            None => request,
            // Most of what is large is not read: the request keeps what it is made of, for as long as it takes.
            Some(held) => {
                let work = move || (request.weight().min(weight), request);
                let (weight, request) = heavy::apart(work).await.ok_or(Close::Broken)?;
                caller.purse.put(held, if weight < KEPT_FREE { 0 } else { weight });
                request
            }
        };
        if let Some(accepted) = accepted {
            self.shared.mail.freshness.settle(accepted).await;
        }
        if let Some(id) = keep {
            let classic = self.shared.mail.classic.clone();
            // Done or not, it is told there.
            _ = machine::blocking::run(move || classic.keep(id)).await;
        }
        self.forgive().await;
        if !self.prove(&reply_to) {
            return Err(Close::Crowded);
        }
        self.session.on_validated();
        Ok((reply_to, caller, request))
    }

    /// Sends an outcome. `purse` holds what it is made of. False: the connection ends.
    async fn deliver(
        &self,
        reply_to: &ReplyTo,
        outcome: Outcome,
        purse: Purse,
    ) -> Result<bool, Close> {
        let is_kept = reply_to.is_sealed();
        match outcome {
            Outcome::Json(Value::Null) | Outcome::Nothing => Ok(false),
            Outcome::Json(reply) => {
                // A client that does not read holds one copy of its reply, not two.
                let body = prepare::prepared(reply).await.ok_or(Close::Broken)?;
                self.reply(reply_to, body).await.map(|()| is_kept)
            }
            Outcome::Prepared(body) => self.reply(reply_to, body).await.map(|()| is_kept),
            Outcome::Stream(items) => {
                // A stream lasts: nothing of its request is kept for it.
                drop(purse);
                self.stream(reply_to, items).await.map(|()| false)
            }
        }
    }

    /// Examines a message of the control socket, outside of the arbiter when it is large.
    async fn examine_plain(&self, bytes: Raw) -> Result<Examined, Close> {
        let nodename = self.shared.mail.nodename.clone();
        if bytes.len() < LARGE {
            return Ok(examine_plain(&bytes, &nodename));
        }
        let work = move || examine_plain(&bytes, &nodename);
        machine::blocking::run(work).await.map_err(|_| Close::Broken)
    }

    /// Examines a frame from the network: at once while it is small, outside of the arbiter and in as much memory as is
    /// `held` when it is not. A small frame may inflate to a thousand times its size, so that is found out step by step.
    async fn examine(
        &self,
        bytes: Raw,
        held: &mut Option<Held>,
        account: &Account,
    ) -> Result<Examined, Close> {
        let gate = self.shared.mail.gate.load_full();
        let uses = self.shared.mail.secret_use.load_full();
        let address = self.session.address();
        if bytes.len() < LARGE {
            let classic = &self.shared.mail.classic;
            let freshness = &self.shared.mail.freshness;
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
            let freshness = self.shared.mail.freshness.clone();
            let classic = self.shared.mail.classic.clone();
            // With its share: work that is begun goes on when the connection ends.
            let work =
                move || (examine(&bytes, &gate, &uses, &freshness, &classic, address, room), share);
            let (examined, share) = heavy::apart(work).await.ok_or(Close::Broken)?;
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
        let (name, begun) = (request.name.clone(), Instant::now());
        let (asked, is_at_once) = counts::Handler::of(&request.action);
        let transport = match caller.transport {
            Transport::Classic => counts::Transport::Classic,
            Transport::Sealed => counts::Transport::Sealed,
            Transport::Unix | Transport::Http => counts::Transport::ControlSocket,
        };
        let handled = (self.shared.router)(self.shared.mail.clone(), caller, request);
        let outcome = AssertUnwindSafe(handled).catch_unwind().await.unwrap_or_else(|_| {
            log::error!(action:% = name; "a request handler panicked");
            Outcome::Json(json!({"status": 500, "error": "internal error", "traceback": ""}))
        });
        let status = match &outcome {
            Outcome::Json(reply) => web::status::of_reply(reply),
            Outcome::Prepared(_) | Outcome::Stream(_) | Outcome::Nothing => 200,
        };
        let took = is_at_once.then(|| begun.elapsed());
        self.shared.mail.counts.on_request(transport, asked, status, took);
        outcome
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
        let is_done = self.shared.mail.root.send(TestPanic { id }).await;
        Some(json!({ "status": i32::from(is_done != Ok(true)) }))
    }
}
