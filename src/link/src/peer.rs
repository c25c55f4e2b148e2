//! One request to another daemon over TCP, and its reply, in the dialect that it speaks.

pub mod error;
mod following;
pub mod reading;
pub mod share;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::NodeName;
use monitor::STRANGER_FRAME;
use ring::rand::SystemRandom;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use wire::{
    ClusterSecret, Dialect, Form, Framing, Incoming, JsonError, Limits, Prepared, Raw, Refusal,
    Sender, TooLong, UNNAMED,
};

use conf::peer_address::PeerAddress;

use dataset::snapshot::Snapshot;
use machine::clock;

use crate::classic::ClassicMemory;
use crate::evened;
use crate::freshness::Freshness;
use crate::gate::Gate;
use crate::heavy::{self, Purse, Room};
use crate::peer::error::PeerError;
use crate::peer::reading::{ReadBody, Reading, read_value};
use crate::peer::share::{Lane, Share};

/// Longest wait for a connection, as in deployed agents: a node that is down does not answer at all.
pub const CONNECT_PATIENCE: Duration = Duration::from_millis(1_500);

/// Frames from this size on hold their share of the memory, and are made and opened outside of the arbiter.
const LARGE: usize = 16 << 10;

/// Longest frame of a reply: compressed, and a key of 8 MiB that cannot be has its place.
const LONGEST_REPLY: usize = 12 << 20;

/// Most nodes outside of the cluster whose names are kept.
pub const MAX_NAMES: usize = 256;

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
    pub fn get(&self, address: &PeerAddress) -> Box<str> {
        self.lock().get(address).cloned().unwrap_or_else(|| UNNAMED.into())
    }

    /// Notes the name of the node at an address.
    pub fn set(&self, address: &PeerAddress, name: &str) {
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
pub async fn ask_stranger<T: DeserializeOwned + Send + 'static>(
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
pub struct Identity {
    /// The local node, and its secret.
    pub sender: Sender,
    /// Whom; [`UNNAMED`] for one that has to tell its name.
    to: Box<str>,
    dialect: Dialect,
    limits: Limits,
}

impl Identity {
    /// What the configuration says, and what the peer published (src/wire/README.md, Dialects).
    pub fn of(gate: &Gate, snapshot: &Snapshot, peer: &NodeName) -> Result<Self, PeerError> {
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
    pub async fn introduce(
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
        heavy::apart(work).await.ok_or(PeerError::Busy)?
    }

    /// Sends a request and reads its reply: at once while it is small, outside of the arbiter, and in memory that
    /// `purse` holds, when it is not. True when the connection may be used again.
    pub async fn ask<T: Send + 'static>(
        &self,
        stream: &mut TcpStream,
        asked: &Asked<T>,
    ) -> Result<(T, bool), PeerError> {
        let mut limits = Room::LARGE.frame_limits(&self.limits);
        limits.max_frame = limits.max_frame.min(LONGEST_REPLY);
        // What only reads does nothing when it is sent back to this node.
        let sent = asked.classic.as_ref().filter(|_| !asked.is_repeatable);
        let answer = self.exchange(stream, &asked.request, limits, &asked.lane, sent).await?;
        let (arrived, is_reusable) = (Instant::now(), answer.is_reusable);
        let reply = self.take(answer, asked).await;
        if reply.is_err() && self.dialect == Dialect::Classic {
            evened::refuse(arrived).await;
        }
        reply.map(|reply| (reply, is_reusable))
    }

    /// Opens and reads a reply, in as much memory as it needs.
    async fn take<T: Send + 'static>(
        &self,
        answer: Answer,
        asked: &Asked<T>,
    ) -> Result<T, PeerError> {
        let Answer { frame, form, mut share, .. } = answer;
        let freshness = &asked.freshness;
        let read = asked.reading.read;
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
                None => asked.lane.enter(None).await?,
            };
            let (identity, form, freshness) = (self.clone(), form.clone(), freshness.clone());
            let (weigh, room) = (asked.reading.weigh, entered.room);
            // With its share: work that is begun goes on when nobody waits for it any more.
            let work = move || {
                let body = identity.open(&frame, &form, room, Some(&freshness));
                // Nobody opens it again: what is made of the body has its place.
                let frame = if room == Room::LARGE { Raw::default() } else { frame };
                let reply =
                    body.and_then(|body| read(body, room).map_err(|error| not_read(&error)));
                (reply.map(|reply| (weigh(&reply), reply)), frame, entered)
            };
            let worked = heavy::apart(work).await;
            let (reply, kept, entered) = worked.ok_or(PeerError::Busy)?;
            match reply {
                Err(PeerError::TooLong) if room != Room::LARGE => {
                    frame = kept;
                    share = Some(asked.lane.enter(Some(entered)).await?);
                }
                Err(error) => return Err(error),
                Ok((weight, reply)) => {
                    if let Some(held) = entered.held {
                        asked.purse.put(held, weight);
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
            heavy::apart(seal).await.ok_or(PeerError::Busy)?
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

/// The frame of a reply.
#[derive(Debug)]
struct Answer {
    frame: Raw,
    form: Form,
    share: Option<Share>,
    /// The connection may be used again.
    is_reusable: bool,
}

impl Answer {
    fn empty(form: Form) -> Self {
        Self { frame: Raw::default(), form, share: None, is_reusable: false }
    }
}

/// A request to a peer, and how its reply is taken.
#[derive(Debug)]
pub struct Asked<T> {
    /// What is asked.
    pub request: Arc<Prepared>,
    /// Asking twice is as good as once.
    pub is_repeatable: bool,
    /// What holds the memory of the reply.
    pub purse: Purse,
    /// What is made of the reply.
    pub reading: Reading<T>,
    /// Where a large reply waits.
    pub lane: Lane,
    /// Learns from the reply that the peer is there now.
    pub freshness: Arc<Freshness>,
    /// What remembers the classic requests that are sent; none in tests.
    pub classic: Option<Arc<ClassicMemory>>,
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

/// Connects, within [`CONNECT_PATIENCE`].
///
/// # Errors
///
/// [`PeerError::Io`].
pub async fn connect(address: &PeerAddress) -> Result<TcpStream, PeerError> {
    let connect = TcpStream::connect((address.host.as_str(), address.port));
    let connected = tokio::time::timeout(CONNECT_PATIENCE, connect).await;
    let timeout = rustix::io::Errno::TIMEDOUT.raw_os_error();
    let stream = connected.map_err(|_| io::Error::from_raw_os_error(timeout))??;
    // A request is one write; waiting for more to send would only delay it.
    _ = stream.set_nodelay(true);
    Ok(stream)
}
