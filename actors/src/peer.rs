//! Requests to peers, over TCP, in the dialect that each speaks.
//!
//! Hears: whoever asks a peer. Tells: nobody. Restart: kept connections are closed, and asked again by their requesters.
//! Between nodes that speak sealed a connection is kept and used again; a deployed agent answers once per connection.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;
use model::NodeName;
use monitor::STRANGER_FRAME;
use ring::rand::SystemRandom;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::reply::Part;
use wire::{
    ClusterSecret, Dialect, Form, Framing, Incoming, JsonError, Limits, Prepared, Refusal, Sender,
    TooLong, UNNAMED,
};

use crate::clock;
use crate::cluster_data::{Snapshot, SnapshotCell};
use crate::config::ConfigCell;
use crate::connection::{ClassicMemory, Gate, GateCell};
use crate::evened;
use crate::freshness::Freshness;
use crate::heavy::{self, Held, Purse, Room};
use crate::peer_address::PeerAddress;
use crate::routes::Routes;

/// Longest wait for a connection, as in deployed agents.
pub const CONNECT_PATIENCE: Duration = Duration::from_millis(1_500);
/// Most requests under way: beyond, who asks is refused.
const MAX_ASKED: usize = 4_096;
/// Frames from this size on hold their share of the memory, and are made and opened outside of the arbiter.
const LARGE: usize = 16 << 10;
/// Longest frame of a reply: compressed, and a key of 8 MiB that cannot be has its place.
const LONGEST_REPLY: usize = 12 << 20;
/// Most memory that reading a reply may take which is passed on as it is: the whole log of an object, in short lines.
const HEAVIEST_PART: usize = 128 << 20;
/// Most nodes outside of the cluster whose names are kept.
const MAX_NAMES: usize = 256;
/// Most connections kept per peer.
const MAX_KEPT: usize = 4;

/// Asks a member of the cluster. Answered after `patience` at the latest.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Value, PeerError>")]
pub struct AskPeer {
    /// Whom.
    pub peer: NodeName,
    /// What: made ready once, for all who are asked the same.
    pub request: Arc<Prepared>,
    /// Asking twice is as good as once: may go over a kept connection, which may end while it is asked.
    pub is_repeatable: bool,
    /// Longest wait for the reply.
    pub patience: Duration,
    /// Where it listens; none for where the configuration says. For one that the configuration does not know any more.
    pub address: Option<PeerAddress>,
    /// What holds the memory of the reply, for as long as who asks keeps it.
    pub purse: Purse,
    /// The generation of the secret to ask with; none for the one in force.
    pub generation: Option<u32>,
}

impl AskPeer {
    /// A request, as JSON.
    #[must_use]
    pub fn new(peer: NodeName, request: &Value, patience: Duration) -> Self {
        let is_repeatable = request.get("method").and_then(Value::as_str) == Some("GET");
        Self {
            peer,
            request: Arc::new(Prepared::new(request)),
            is_repeatable,
            patience,
            address: None,
            purse: Purse::default(),
            generation: None,
        }
    }
}

/// Asks the same for a reply that is passed on as it is: nothing is made of its text, which may then be longer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Part, PeerError>")]
pub struct AskText(pub AskPeer);

/// Why a peer gave no reply.
#[derive(Debug)]
pub enum PeerError {
    /// No connection, or a broken one.
    Io(io::Error),
    /// Closed without a reply: what a node does to whom it does not trust.
    Closed,
    /// A reply that does not open, or is to another request.
    Reply(Refusal),
    /// A reply above `listener.max_frame`.
    TooLong,
    /// A reply that is not JSON.
    Json,
    /// No usable `cluster.secret`.
    Secret(String),
    /// No reply within this time.
    Late(Duration),
    /// Too many requests under way, or the actor restarts.
    Busy,
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => match error.raw_os_error() {
                // As clients know it: `[Errno 111] Connection refused`.
                Some(number) => {
                    let text = error.to_string();
                    write!(
                        f,
                        "[Errno {number}] {}",
                        text.split(" (os error").next().unwrap_or_default()
                    )
                }
                None => error.fmt(f),
            },
            Self::Closed => f.write_str("closed the connection without a reply"),
            Self::Reply(Refusal::Misdirected { to, nodename }) => {
                write!(f, "node {nodename} answers where node {to} is expected")
            }
            Self::Reply(refusal) => write!(f, "the reply does not open: {refusal}"),
            Self::TooLong => f.write_str("the reply is too long"),
            Self::Json => f.write_str("the reply is not JSON"),
            Self::Secret(reason) => f.write_str(reason),
            Self::Late(_) => f.write_str("timeout daemon request"),
            Self::Busy => f.write_str("not now: too many requests to peers"),
        }
    }
}

impl std::error::Error for PeerError {}

impl From<io::Error> for PeerError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl PeerError {
    /// The reply that stands for this failure where many nodes were asked, as deployed agents write it.
    #[must_use]
    pub fn to_reply(&self) -> Value {
        let (errno, retryable) = match self {
            Self::Io(error) => {
                let retryable =
                    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                (error.raw_os_error(), retryable)
            }
            Self::Late(_) | Self::Busy => (None, true),
            Self::Closed | Self::Reply(_) | Self::TooLong | Self::Json | Self::Secret(_) => {
                (None, false)
            }
        };
        wire::reply::unreachable(&self.to_string(), errno, retryable)
    }
}

/// Asks through the actor. Whatever became of it, the answer is a result.
///
/// # Errors
///
/// [`PeerError`].
pub async fn ask(peers: &Addr<Peers>, ask: AskText) -> Result<Part, PeerError> {
    // The actor keeps the deadline; this one is for the case that it falls meanwhile.
    let patience = ask.0.patience.saturating_add(CONNECT_PATIENCE);
    match peers.send(ask).timeout(patience).await {
        Ok(answer) => answer,
        Err(MailboxError::Timeout) => Err(PeerError::Late(patience)),
        Err(MailboxError::Closed) => Err(PeerError::Busy),
    }
}

/// A node outside of the cluster, of which an address and a secret are known: a relay, an arbitrator.
#[derive(Debug, Clone)]
pub struct Stranger {
    /// Where it listens.
    pub address: PeerAddress,
    /// Name of the local node.
    pub nodename: NodeName,
    /// Its `cluster.secret`.
    pub secret: ClusterSecret,
    /// Longest messages.
    pub limits: Limits,
    /// What the nodes at such addresses call themselves: a sealed request names its recipient.
    pub names: Names,
}

/// Names of nodes outside of the cluster by their address, as they told them. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Names(Arc<Mutex<BTreeMap<PeerAddress, Box<str>>>>);

impl Names {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerAddress, Box<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the node at an address; [`UNNAMED`] before it told it.
    fn get(&self, address: &PeerAddress) -> Box<str> {
        self.lock().get(address).cloned().unwrap_or_else(|| UNNAMED.into())
    }

    fn set(&self, address: &PeerAddress, name: &str) {
        let mut names = self.lock();
        // Addresses come from the configuration: those of older ones go at some time.
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.insert(address.clone(), name.into());
    }
}

/// Asks a stranger under the cluster name `join`, over a connection of its own, never longer than `patience`. What a large
/// answer takes is held until the share is dropped: one is read at a time.
///
/// # Errors
///
/// [`PeerError`]; [`PeerError::Closed`] and [`PeerError::Reply`] may tell that it speaks another dialect.
pub(crate) async fn ask_stranger<T: DeserializeOwned + Send + 'static>(
    stranger: &Stranger,
    dialect: Dialect,
    request: &Arc<Prepared>,
    patience: Duration,
    room: Room,
) -> Result<(T, Option<Share>), PeerError> {
    let mut identity = Identity {
        sender: Sender::new(wire::JOIN, stranger.nodename.as_str(), stranger.secret.clone()),
        to: stranger.names.get(&stranger.address),
        dialect,
        limits: stranger.limits,
    };
    let lane = if room == Room::SLOT { Lane::Slots } else { Lane::Free };
    let asked = async {
        let mut stream = connect(&stranger.address).await?;
        let introduced = identity.introduce(&mut stream, request).await;
        if let Err(PeerError::Reply(Refusal::Misdirected { nodename, .. })) = introduced {
            stranger.names.set(&stranger.address, &nodename);
            identity.to = nodename;
            identity.introduce(&mut stream, request).await?;
        } else {
            introduced?;
        }
        let limits = room.frame_limits(&identity.limits);
        let answer = identity.exchange(&mut stream, request, limits, &lane, None).await?;
        let (arrived, is_reusable) = (Instant::now(), answer.is_reusable);
        let name = match identity.read_aside(answer, room).await {
            Err(PeerError::Reply(Refusal::Misdirected { nodename, .. })) => nodename,
            Err(error) if dialect == Dialect::Classic => {
                evened::refuse(arrived).await;
                return Err(error);
            }
            answer => return answer,
        };
        // It was not known, or another one before: it is asked again by the name that it told.
        stranger.names.set(&stranger.address, &name);
        identity.to = name;
        if !is_reusable {
            stream = connect(&stranger.address).await?;
        }
        let answer = identity.exchange(&mut stream, request, limits, &lane, None).await?;
        identity.read_aside(answer, room).await
    };
    tokio::time::timeout(patience, asked).await.unwrap_or(Err(PeerError::Late(patience)))
}

/// A small request that anybody who holds the secret may make, and that changes nothing.
#[must_use]
pub fn introduction() -> Value {
    serde_json::json!({"action": "daemon_blacklist_status", "method": "GET", "options": {}})
}

/// In whose name, and how, something is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    sender: Sender,
    /// Whom; [`UNNAMED`] for one that has to tell its name.
    to: Box<str>,
    dialect: Dialect,
    limits: Limits,
}

impl Identity {
    /// What the configuration says, and what the peer published (src/wire/README.md, Dialects).
    fn of(gate: &Gate, snapshot: &Snapshot, peer: &NodeName) -> Result<Self, PeerError> {
        let keyring = gate.keyring.as_ref();
        let keyring =
            keyring.ok_or_else(|| PeerError::Secret("the cluster has no secret".into()))?;
        let published = snapshot.node(peer).and_then(|entry| entry.data.envelope.as_deref());
        Ok(Self {
            sender: keyring.own.clone(),
            to: peer.as_str().into(),
            dialect: keyring.envelope.speaks(published == Some(Dialect::Sealed.as_str())),
            limits: keyring.limits,
        })
    }

    /// On a new connection, before a large request: a node that does not know our address takes large messages only once a
    /// small one opened.
    async fn introduce(
        &self,
        stream: &mut TcpStream,
        request: &Arc<Prepared>,
    ) -> Result<(), PeerError> {
        if self.dialect != Dialect::Sealed || request.seal_bytes() < STRANGER_FRAME / 2 {
            return Ok(());
        }
        let introduction = Arc::new(Prepared::new(&introduction()));
        let limits = Room::SMALL.frame_limits(&self.limits);
        let answer = self.exchange(stream, &introduction, limits, &Lane::Free, None).await?;
        let _: Value = self.read(&answer.frame, &answer.form, Room::SMALL, None, read_value)?;
        if answer.is_reusable { Ok(()) } else { Err(PeerError::Closed) }
    }

    /// Opens and reads a reply to a request in this form, in this much memory. `freshness` learns from that of a member
    /// that it is there now, whatever its clocks say.
    fn read<T>(
        &self,
        frame: &[u8],
        form: &Form,
        room: Room,
        freshness: Option<&Freshness>,
        read: ReadBody<T>,
    ) -> Result<T, PeerError> {
        let body = self.open(frame, form, room, freshness)?;
        read(body, room).map_err(|error| not_read(&error))
    }

    /// Opens a reply: its body.
    fn open(
        &self,
        frame: &[u8],
        form: &Form,
        room: Room,
        freshness: Option<&Freshness>,
    ) -> Result<Vec<u8>, PeerError> {
        // An empty answer is a null result.
        if frame.is_empty() {
            return Ok(b"null".to_vec());
        }
        let opened = self.sender.open_reply(frame, form, &room.limits(&self.limits));
        let opened = opened.map_err(|refusal| match refusal {
            Refusal::TooLong => PeerError::TooLong,
            refusal => PeerError::Reply(refusal),
        })?;
        if let (Some(freshness), Form::Sealed(asked), Some(stamp)) =
            (freshness, form, opened.stamp())
        {
            freshness.prove(opened.nodename(), stamp, &asked.stamp.at);
        }
        Ok(opened.into_body())
    }

    /// Opens and reads what a stranger answers: outside of the arbiter when it is large.
    async fn read_aside<T: DeserializeOwned + Send + 'static>(
        &self,
        answer: Answer,
        room: Room,
    ) -> Result<(T, Option<Share>), PeerError> {
        let Answer { frame, form, share, .. } = answer;
        if frame.len() < LARGE {
            match self.read(&frame, &form, room.within(Room::SMALL), None, read_value) {
                Err(PeerError::TooLong) if room.text > Room::SMALL.text => {}
                read => return read.map(|read| (read, share)),
            }
        }
        let share = match share {
            Some(share) => Some(share),
            // A small frame may inflate to a thousand times its size.
            None if room.text > Room::SMALL.text => Some(Lane::Slots.enter(None).await?),
            None => None,
        };
        let identity = self.clone();
        // With its share: work that is begun goes on when nobody waits for it any more.
        let work = move || Ok((identity.read(&frame, &form, room, None, read_value)?, share));
        tokio::task::spawn_blocking(work).await.map_err(|_| PeerError::Busy)?
    }

    /// Sends a request and reads its reply: at once while it is small, outside of the arbiter, and in memory that
    /// `purse` holds, when it is not. True when the connection may be used again.
    async fn ask<T: Send + 'static>(
        &self,
        stream: &mut TcpStream,
        order: &Order<T>,
    ) -> Result<(T, bool), PeerError> {
        let mut limits = Room::LARGE.frame_limits(&self.limits);
        limits.max_frame = limits.max_frame.min(LONGEST_REPLY);
        // What only reads does nothing when it is sent back to this node.
        let sent = order.classic.as_ref().filter(|_| !order.ask.is_repeatable);
        let answer = self.exchange(stream, &order.ask.request, limits, &order.lane, sent).await?;
        let (arrived, is_reusable) = (Instant::now(), answer.is_reusable);
        let reply = self.take(answer, order).await;
        if reply.is_err() && self.dialect == Dialect::Classic {
            evened::refuse(arrived).await;
        }
        reply.map(|reply| (reply, is_reusable))
    }

    /// Opens and reads a reply, in as much memory as it needs.
    async fn take<T: Send + 'static>(
        &self,
        answer: Answer,
        order: &Order<T>,
    ) -> Result<T, PeerError> {
        let Answer { frame, form, mut share, .. } = answer;
        let freshness = &order.freshness;
        let read = order.reading.read;
        if frame.len() < LARGE && share.is_none() {
            match self.read(&frame, &form, Room::SMALL, Some(freshness), read) {
                Err(PeerError::TooLong) => {}
                answer => return answer,
            }
        }
        let mut frame = frame;
        loop {
            let entered = match share.take() {
                Some(share) => share,
                None => order.lane.enter(None).await?,
            };
            let (identity, form, freshness) = (self.clone(), form.clone(), freshness.clone());
            let (weigh, room) = (order.reading.weigh, entered.room);
            // With its share: work that is begun goes on when nobody waits for it any more.
            let work = move || {
                let body = identity.open(&frame, &form, room, Some(&freshness));
                // Nobody opens it again: what is made of the body has its place.
                let frame = if room == Room::LARGE { vec![] } else { frame };
                let reply =
                    body.and_then(|body| read(body, room).map_err(|error| not_read(&error)));
                (reply.map(|reply| (weigh(&reply), reply)), frame, entered)
            };
            let worked = tokio::task::spawn_blocking(work).await;
            let (reply, kept, entered) = worked.map_err(|_| PeerError::Busy)?;
            match reply {
                Err(PeerError::TooLong) if room != Room::LARGE => {
                    frame = kept;
                    share = Some(order.lane.enter(Some(entered)).await?);
                }
                Err(error) => return Err(error),
                Ok((weight, reply)) => {
                    if let Some(held) = entered.held {
                        order.ask.purse.put(held, weight);
                    }
                    return Ok(reply);
                }
            }
        }
    }

    /// Makes the frame of a request: outside of the arbiter when it is large.
    async fn seal(&self, form: &Form, request: &Arc<Prepared>) -> Result<Vec<u8>, PeerError> {
        let (identity, form, body) = (self.clone(), form.clone(), request.clone());
        let seal = move || identity.sender.seal(&form, &body, &SystemRandom::new());
        let sealed = if request.seal_bytes() < LARGE {
            seal()
        } else {
            tokio::task::spawn_blocking(seal).await.map_err(|_| PeerError::Busy)?
        };
        sealed.map_err(|error| PeerError::Secret(error.to_string()))
    }

    /// Sends a request, which `sent` remembers, and takes the frame of its reply, empty for an empty one, with what it holds.
    async fn exchange(
        &self,
        stream: &mut TcpStream,
        request: &Arc<Prepared>,
        limits: Limits,
        lane: &Lane,
        sent: Option<&Arc<ClassicMemory>>,
    ) -> Result<Answer, PeerError> {
        let form = Form::request(self.dialect, &self.to, clock::stamp(), &SystemRandom::new());
        let frame = self.seal(&form, request).await?;
        if let Some(classic) = sent {
            classic.on_sending(&frame).await;
        }
        stream.write_all(&frame).await.map_err(|error| closed_or(error.into()))?;
        drop(frame);
        let mut framing = Framing::of_replies(&limits);
        let mut share: Option<Share> = None;
        let mut received = 0;
        loop {
            let read = receive(stream, &mut framing).await;
            let read = read.map_err(|error| match received {
                0 => closed_or(error),
                _ => error,
            })?;
            received += read;
            let incoming = if read == 0 { framing.finish() } else { framing.next_frame() };
            match incoming {
                Some(Incoming::Frame(frame)) => {
                    let is_reusable =
                        self.dialect == Dialect::Sealed && read > 0 && framing.pending() == 0;
                    return Ok(Answer { frame, form, share, is_reusable });
                }
                None if read == 0 && received == 0 => return Err(PeerError::Closed),
                // An empty answer is a null result.
                Some(Incoming::DequeueActions) => return Ok(Answer::empty(form)),
                None if read == 0 => return Ok(Answer::empty(form)),
                // The reply of a peer that sends without an end is large while nobody knows what it is.
                None => {
                    let most = share.as_ref().map_or(LARGE, |share| share.frame_bytes(&limits));
                    if framing.held_bytes() > most {
                        share = Some(lane.enter(share.take()).await?);
                    }
                }
            }
        }
    }
}

/// Waits for bytes of a reply, and takes them. Whoever waits has no buffer.
async fn receive(stream: &TcpStream, framing: &mut Framing) -> Result<usize, PeerError> {
    let mut take = || -> io::Result<Result<usize, TooLong>> {
        let mut buffer = [0; 16 << 10];
        let read = stream.try_read(&mut buffer)?;
        Ok(framing.push(&buffer[..read]).map(|()| read))
    };
    loop {
        stream.readable().await?;
        match take() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(PeerError::Io(error)),
            Ok(taken) => return taken.map_err(|_| PeerError::TooLong),
        }
    }
}

/// Why a body is no reply.
fn not_read(error: &JsonError) -> PeerError {
    if error.is_too_heavy() { PeerError::TooLong } else { PeerError::Json }
}

/// How a body is read, in a room.
type ReadBody<T> = fn(Vec<u8>, Room) -> Result<T, JsonError>;

fn read_value<T: DeserializeOwned>(body: Vec<u8>, room: Room) -> Result<T, JsonError> {
    wire::parse_within(&body, room.weight)
}

/// What is made of a reply, and what that takes.
#[derive(Debug, Clone, Copy)]
struct Reading<T> {
    read: ReadBody<T>,
    weigh: fn(&T) -> usize,
}

const VALUE: Reading<Value> = Reading { read: read_value, weigh: wire::weigh_value };
const TEXT: Reading<Part> = Reading {
    read: |body, _| Part::from_text(body, HEAVIEST_PART),
    // And again when it is sealed.
    weigh: |part| 2 * part.body().size_bytes(),
};

/// The frame of a reply.
#[derive(Debug)]
struct Answer {
    frame: Vec<u8>,
    form: Form,
    share: Option<Share>,
    /// The connection may be used again.
    is_reusable: bool,
}

impl Answer {
    fn empty(form: Form) -> Self {
        Self { frame: vec![], form, share: None, is_reusable: false }
    }
}

/// What a reply holds from the byte on that makes it large, until what was made of it is taken over.
#[derive(Debug)]
pub(crate) struct Share {
    room: Room,
    held: Option<Held>,
    _turn: OwnedSemaphorePermit,
}

impl Share {
    /// Longest frame that it is enough for.
    fn frame_bytes(&self, limits: &Limits) -> usize {
        self.room.frame_limits(limits).max_frame
    }
}

/// Where large replies wait for their turn: one is read at a time, of a peer or of all relays.
#[derive(Debug, Clone)]
enum Lane {
    /// Replies are never large.
    Free,
    /// Messages at relays: as heartbeats, they do not wait for requests.
    Slots,
    /// Replies of a peer.
    Peer(Arc<Semaphore>),
}

/// The turn of large answers of relays.
static SLOTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1)));

impl Lane {
    /// A share for a large reply, or the largest one instead of a smaller one. The smaller one goes first: nobody waits for
    /// more with a part in hand.
    async fn enter(&self, share: Option<Share>) -> Result<Share, PeerError> {
        let (turns, is_counted) = match self {
            Self::Free => return Err(PeerError::TooLong),
            Self::Slots => (SLOTS.clone(), false),
            Self::Peer(turns) => (turns.clone(), true),
        };
        let (turn, room) = match share {
            Some(Share { _turn, held, .. }) => {
                drop(held);
                (_turn, Room::LARGE)
            }
            None => {
                let turn = tokio::time::timeout(heavy::PATIENCE, turns.acquire_owned()).await;
                (turn.ok().and_then(Result::ok).ok_or(PeerError::Busy)?, Room::MEDIUM)
            }
        };
        let held = match is_counted {
            true => Some(heavy::hold(room.bytes()).await.ok_or(PeerError::Busy)?),
            false => None,
        };
        Ok(Share { room: if is_counted { room } else { Room::SLOT }, held, _turn: turn })
    }
}

/// A connection that the peer ended before it said anything is closed, however the system calls it.
fn closed_or(error: PeerError) -> PeerError {
    match &error {
        PeerError::Io(reason)
            if matches!(
                reason.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ) =>
        {
            PeerError::Closed
        }
        _ => error,
    }
}

async fn connect(address: &PeerAddress) -> Result<TcpStream, PeerError> {
    let connect = TcpStream::connect((address.host.as_str(), address.port));
    let connected = tokio::time::timeout(CONNECT_PATIENCE, connect).await;
    let timeout = rustix::io::Errno::TIMEDOUT.raw_os_error();
    let stream = connected.map_err(|_| io::Error::from_raw_os_error(timeout))??;
    // A request is one write; waiting for more to send would only delay it.
    _ = stream.set_nodelay(true);
    Ok(stream)
}

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
    ask: AskPeer,
    reading: Reading<T>,
    lane: Lane,
    address: PeerAddress,
    identity: Identity,
    kept: Option<Kept>,
    freshness: Arc<Freshness>,
    classic: Option<Arc<ClassicMemory>>,
}

impl<T: Send + 'static> Order<T> {
    /// Asks, over a kept connection where it may be, and tells which connection may be kept.
    async fn carry_out(mut self) -> (Result<T, PeerError>, Option<Kept>) {
        if let Some(mut kept) = self.kept.take() {
            match self.identity.ask(&mut kept.stream, &self).await {
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
            self.identity.introduce(&mut stream, &self.ask.request).await?;
            let (reply, is_reusable) = self.identity.ask(&mut stream, &self).await?;
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
    /// Asks in the name of the node that `routes` are of.
    #[must_use]
    pub fn new(routes: &Routes, freshness: Arc<Freshness>) -> Self {
        let (config, gate) = (routes.config.clone(), routes.gate.clone());
        let classic = Some(routes.classic.clone());
        Self { classic, ..Self::with(config, gate, routes.snapshot.clone(), freshness) }
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
        Ok(Order { ask, reading, lane, address, identity, kept, freshness, classic })
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
pub(crate) mod testing;
#[cfg(test)]
mod tests;
