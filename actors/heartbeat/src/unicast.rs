//! Frames over TCP, to each peer by itself.
//!
//! A deployed agent takes one message per connection and never closes one that is left open; between nodes of ours, which
//! speak sealed, the connection is kept.

mod connections;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use model::thread::HeartbeatConfig;
use model::{Alert, NodeName};
use monitor::{Pool, STRANGER_FRAME};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use wire::{Framing, Incoming, Limits, Raw};

use link::accept::{Accepted, BindError, Bound};
use link::blacklist::{LARGE_PATIENCE, Verdict};
use link::unopened::Account;
use link::{accept, evened};
use machine::limits;

use crate::inbox::{Inbox, Origin, Taken};
use crate::outbox::Outbox;
use crate::unicast::connections::Connections;

/// Longest wait for a connection, as in deployed agents.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// Where beats follow faster than that, their interval is the limit, and this at least: to a machine that stood still, or was
/// cut off, a question that was lost is not asked again within the second.
const LEAST_CONNECT_PATIENCE: Duration = Duration::from_millis(250);

/// Shortest limit of the time that sending a message may take; else the timeout of the section.
const LEAST_SEND_PATIENCE: Duration = Duration::from_secs(1);

/// How long sent bytes may stay unacknowledged before the system gives the connection up: a kept one shows the loss of
/// its peer by nothing else, and after a cut a new one is faster than the resending of the old.
const UNACKNOWLEDGED: Duration = Duration::from_secs(1);

/// Silence that closes a connection in the middle of a message, or before its first one.
const STALL: Duration = Duration::from_secs(5);

/// Longest time a message may take to arrive.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(30);

/// How often a kept connection says that its address is known.
const ACQUAINTANCE_PAUSE: Duration = Duration::from_secs(60);

/// Timeouts of the section that a kept connection may be silent.
const IDLE_TIMEOUTS: u32 = 4;

/// Bytes of one read.
const READ: usize = 16 << 10;

/// Between two strangers that are let in.
const DOOR_PAUSE: Duration = Duration::from_millis(5);

/// Most strangers that wait to be let in.
const MOST_AT_DOOR: usize = 512;

/// Sends to every peer, each by a task of its own: one that cannot be reached delays nobody.
pub(super) async fn transmit(outbox: Outbox) -> String {
    let outbox = Rc::new(outbox);
    let mut links = JoinSet::new();
    for peer in outbox.section.peers() {
        links.spawn_local(send_to(peer.clone(), outbox.clone()));
    }
    match links.join_next().await {
        Some(Err(error)) => format!("a link failed: {error}"),
        Some(Ok(())) => "nothing is sent any more".to_owned(),
        // Alone: until the section changes.
        None => std::future::pending().await,
    }
}

async fn send_to(peer: NodeName, outbox: Rc<Outbox>) {
    let mut beats = outbox.beats.clone();
    let Some((host, port)) = outbox.section.settings.peers.get(&peer).cloned() else { return };
    let settings = &outbox.section.settings;
    let patience = settings.timeout.max(LEAST_SEND_PATIENCE);
    let connecting = settings.interval.clamp(LEAST_CONNECT_PATIENCE, CONNECT_PATIENCE);
    let to = Receiver { host: &host, port, connecting };
    let mut kept: Option<TcpStream> = None;
    loop {
        if beats.changed().await.is_err() {
            return;
        }
        // Of those that came while the last one was sent, only the newest counts.
        let Some(beat) = beats.borrow_and_update().clone() else { continue };
        let Some((is_sealed, frame)) = beat.frame(&peer) else { continue };
        let sent = tokio::time::timeout(patience, async {
            if is_sealed {
                send_kept(&mut kept, &to, beat.introduction(), frame).await
            } else {
                kept = None;
                to.send_once(frame).await
            }
        });
        let sent = sent.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match sent {
            Ok(()) => outbox.notes.beat(&peer, frame.len()),
            Err(error) => {
                kept = None;
                outbox.notes.failed(Some(&peer), error);
            }
        }
    }
}

/// Where a peer listens.
struct Receiver<'a> {
    host: &'a str,
    port: u16,
    /// Longest wait for a connection.
    connecting: Duration,
}

impl Receiver<'_> {
    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.host, self.port));
        let connected = tokio::time::timeout(self.connecting, stream).await;
        let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        Ok(stream)
    }

    /// One connection for one message.
    async fn send_once(&self, frame: &[u8]) -> io::Result<()> {
        let mut stream = self.connect().await?;
        stream.write_all(frame).await?;
        stream.shutdown().await
    }
}

/// Over the connection kept, or a new one when the peer closed it.
async fn send_kept(
    kept: &mut Option<TcpStream>,
    to: &Receiver<'_>,
    introduction: Option<&Arc<[u8]>>,
    frame: &[u8],
) -> io::Result<()> {
    // Nothing is ever answered: what can be read is an end.
    if let Some(mut stream) = kept.take_if(|stream| is_open(stream))
        && stream.write_all(frame).await.is_ok()
    {
        *kept = Some(stream);
        return Ok(());
    }
    let mut stream = to.connect().await?;
    if let Some(introduction) = introduction {
        stream.write_all(introduction).await?;
    }
    stream.write_all(frame).await?;
    *kept = Some(stream);
    Ok(())
}

fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Listens, and takes what comes from each connection.
pub(super) async fn receive(inbox: Inbox) -> String {
    let section = inbox.section().clone();
    let addr = section.keyword("addr").unwrap_or_default().to_owned();
    let port = section.port();
    let bound = match resolve(&addr).await {
        Ok(addresses) => Bound::new(&(addr.clone(), port), &addresses, 0),
        Err(error) => Err(error),
    };
    let shown = if addr.is_empty() { "any address" } else { &addr };
    let (bound, mut accepted) = match bound {
        Ok(bound) => bound,
        Err(error) => return format!("cannot listen on {shown}, port {port}: {error}"),
    };
    let config = HeartbeatConfig {
        addr: Some(bound.local.ip().to_string()),
        port: Some(bound.local.port()),
        ..HeartbeatConfig::default()
    };
    inbox.notes().tell(crate::note::Note::Config(Box::new(config)));
    let connections = Rc::new(Connections::default());
    let mut tasks = JoinSet::new();
    let mut door = Door::default();
    loop {
        tokio::select! {
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    log::error!("a heartbeat connection failed: {error}");
                }
            }
            next = accepted.next() => match next {
                Some(Ok(accepted)) => {
                    inbox.notes().alert("accept", None);
                    if inbox.blacklist().is_known(accepted.address.ip()) {
                        admit(accepted, &inbox, &connections, &mut tasks);
                    } else {
                        door.knock(accepted);
                    }
                }
                Some(Err(error)) => {
                    let text = format!("cannot accept connections: {error}");
                    inbox.notes().alert("accept", Some(Alert::error(text)));
                }
                None => return "no connections are accepted any more".to_owned(),
            },
            stranger = door.open(), if !door.is_empty() => {
                admit(stranger, &inbox, &connections, &mut tasks);
            }
        }
    }
}

/// Strangers that connected, and are let in one after the other: each closes another one where they are many.
struct Door {
    waiting: VecDeque<Accepted>,
    next: tokio::time::Instant,
}

impl Default for Door {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), next: tokio::time::Instant::now() }
    }
}

impl Door {
    /// One more waits. Where too many do, it is closed.
    fn knock(&mut self, stranger: Accepted) {
        if self.waiting.len() < MOST_AT_DOOR.min(limits::most_connections() / 4) {
            self.waiting.push_back(stranger);
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next one, when it is its turn. Nothing is lost where this is not waited for.
    async fn open(&mut self) -> Accepted {
        tokio::time::sleep_until(self.next).await;
        self.next = tokio::time::Instant::now() + DOOR_PAUSE;
        match self.waiting.pop_front() {
            Some(stranger) => stranger,
            None => std::future::pending().await,
        }
    }
}

/// The addresses that a keyword names; none for all.
async fn resolve(addr: &str) -> Result<Vec<IpAddr>, BindError> {
    // All addresses of both families, as deployed agents take it.
    if addr == "::" {
        return Ok(vec![]);
    }
    if let Some(addresses) = accept::addresses(addr) {
        return Ok(addresses);
    }
    let name = addr.to_owned();
    let resolved = machine::blocking::run(move || accept::resolve(&name)).await;
    resolved.unwrap_or_else(|error| Err(BindError::Refused(error.to_string())))
}

fn admit(
    Accepted { stream, address }: Accepted,
    inbox: &Inbox,
    connections: &Rc<Connections>,
    tasks: &mut JoinSet<()>,
) {
    let address = address.ip().to_canonical();
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let id = connections.next_id();
    let task = tasks.spawn_local(serve(stream, id, address, inbox.clone(), connections.clone()));
    connections.open(id, address, inbox.blacklist().is_known(address), task);
}

/// Takes the messages of one connection.
async fn serve(
    stream: TcpStream,
    id: u64,
    address: IpAddr,
    inbox: Inbox,
    connections: Rc<Connections>,
) {
    let _closes = connections.closing(id);
    let limits = inbox.limits();
    let account = inbox.unopened().account(Some(address));
    let mut receiving = Receiving {
        stream,
        id,
        address,
        connections: connections.clone(),
        framing: Framing::new(&limits),
        limits,
        account,
        patience: STALL,
        opened: Instant::now(),
        begun: None,
        proven: None,
        large: None,
        inbox,
    };
    loop {
        let leave = receiving.leave();
        if !receiving.wait(&leave).await {
            return;
        }
        let length = match receiving.read(leave.pool) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        if !receiving.take(length == 0).await || length == 0 {
            return;
        }
    }
}

/// A connection of which messages are taken.
struct Receiving {
    stream: TcpStream,
    id: u64,
    address: IpAddr,
    inbox: Inbox,
    connections: Rc<Connections>,
    limits: Limits,
    framing: Framing,
    account: Account,
    /// How long it may be silent between two messages.
    patience: Duration,
    opened: Instant,
    /// When the message began that is not whole yet.
    begun: Option<Instant>,
    /// When its address was told to be known, once it brought a beat.
    proven: Option<Instant>,
    /// Its turn to send more than its address may, and since when.
    large: Option<(OwnedSemaphorePermit, Instant)>,
}

impl Receiving {
    /// What it may send next. One that brought a beat may send all that the configuration allows; so may one from an address
    /// that is known, unless others misuse that address.
    fn leave(&self) -> Leave {
        let (limits, blacklist) = (&self.limits, self.inbox.blacklist());
        let small = STRANGER_FRAME.min(limits.max_frame);
        let all = Leave { pool: Pool::Members, max_frame: limits.max_frame, may_grow: false };
        match blacklist.verdict(self.address) {
            _ if self.proven.is_some() => all,
            Verdict::Free if blacklist.is_known(self.address) => all,
            Verdict::Slowed => {
                Leave { max_frame: small, may_grow: self.inbox.takes_classic(), ..all }
            }
            Verdict::Free | Verdict::Refused => {
                Leave { pool: Pool::Strangers, max_frame: small, ..all }
            }
        }
    }

    /// Waits until there is something to read, and until it is its turn. False: it took too long, or ended.
    async fn wait(&mut self, leave: &Leave) -> bool {
        if leave.may_grow && self.large.is_none() && self.framing.pending() + READ > leave.max_frame
        {
            let turn = self.inbox.blacklist().large_turn(self.address).await;
            let Some(turn) = turn else { return false };
            self.large = Some((turn, Instant::now()));
        }
        let is_large = self.large.is_some();
        self.framing.set_max_frame(if is_large { self.limits.max_frame } else { leave.max_frame });
        let mut wait = match self.begun {
            None => self.patience,
            Some(begun) => STALL.min(MESSAGE_PATIENCE.saturating_sub(begun.elapsed())),
        };
        if leave.pool == Pool::Strangers {
            wait = wait.min(STALL.saturating_sub(self.opened.elapsed()));
        }
        if let Some((_, since)) = &self.large {
            wait = wait.min(LARGE_PATIENCE.saturating_sub(since.elapsed()));
        }
        if !matches!(tokio::time::timeout(wait, self.stream.readable()).await, Ok(Ok(()))) {
            return false;
        }
        if leave.pool != Pool::Strangers {
            return true;
        }
        let turn = self.connections.lane().turn(self.address, self.framing.pending() == 0);
        let left = STALL.saturating_sub(self.opened.elapsed());
        tokio::time::timeout(left, turn).await.is_ok()
    }

    /// Reads what is there, as far as memory is granted for it.
    fn read(&mut self, pool: Pool) -> io::Result<usize> {
        let Self { stream, framing, account, limits, connections, id, .. } = self;
        read_into(stream, framing, |framing, read| {
            // A message that came in one read is opened at once: nothing is held of it.
            if framing.pending() == 0 && read.last().is_none_or(|last| *last == 0) {
                return true;
            }
            let bytes = framing.held_bytes_with(read.len());
            account.set(bytes, pool, limits.max_frame, || connections.ending(*id))
        })
    }

    /// Takes the messages that are whole. False: the connection ends.
    async fn take(&mut self, is_end: bool) -> bool {
        loop {
            let incoming = self.framing.next_frame();
            let incoming =
                if is_end { incoming.or_else(|| self.framing.finish()) } else { incoming };
            let Some(incoming) = incoming else { break };
            // The collector's words mean nothing here.
            let Incoming::Frame(bytes) = incoming else { return false };
            if !self.take_frame(bytes).await {
                return false;
            }
        }
        self.begun = match self.framing.pending() > 0 {
            true => self.begun.or_else(|| Some(Instant::now())),
            false => None,
        };
        true
    }

    async fn take_frame(&mut self, bytes: Raw) -> bool {
        let blacklist = self.inbox.blacklist();
        if self.proven.is_none() && blacklist.verdict(self.address) != Verdict::Free {
            // Whoever it is, a beat may be among them: it is read in its turn.
            tokio::time::sleep(blacklist.wait(self.address)).await;
        }
        let arrived = Instant::now();
        let taken = self.inbox.take(bytes, Origin::Connection(self.address)).await;
        self.account.release();
        self.large = None;
        match taken {
            Taken::Heard { peer, is_sealed } => {
                if self.proven.is_none_or(|proven| proven.elapsed() > ACQUAINTANCE_PAUSE) {
                    blacklist.on_opened(self.address);
                    self.proven = Some(Instant::now());
                }
                if is_sealed {
                    self.connections.prove(self.id, &peer);
                    self.patience = self.inbox.section().settings.timeout * IDLE_TIMEOUTS;
                }
                // Classic: one message per connection.
                is_sealed
            }
            Taken::Old => true,
            Taken::Foreign | Taken::Invalid => {
                if self.inbox.takes_classic() {
                    evened::refuse(arrived).await;
                }
                false
            }
        }
    }
}

/// What a connection may send, by what is known of it.
struct Leave {
    pool: Pool,
    max_frame: usize,
    /// Whether it may send more in its turn: a deployed agent has no other way, for it sends one message per connection.
    may_grow: bool,
}

/// One read; zero at the end. The buffer lives here, so that an idle connection has none.
fn read_into(
    stream: &TcpStream,
    framing: &mut Framing,
    mut grant: impl FnMut(&Framing, &[u8]) -> bool,
) -> io::Result<usize> {
    let mut buffer = [0; READ];
    let length = stream.try_read(&mut buffer)?;
    if !grant(framing, &buffer[..length]) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    framing.push(&buffer[..length]).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(length)
}

#[cfg(test)]
mod tests;
