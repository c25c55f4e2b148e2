//! What a connection may send, and when it is its turn.
//!
//! Part of the `impl` of [`Talk`], in a file of its own for its length.

use std::time::{Duration, Instant};

use link::blacklist::{LARGE_PATIENCE, Verdict};
use link::gate::STALL;
use link::unopened::Account;
use monitor::{Pool, STRANGER_FRAME};
use tokio::sync::OwnedSemaphorePermit;
use wire::{Framing, Incoming, Limits};

use crate::connection::Talk;
use crate::connection::socket::{self, Close};

/// What a connection may send, by what is known of it.
pub(super) struct Leave {
    pub(super) pool: Pool,
    pub(super) max_frame: usize,
    /// When the message has to be whole.
    pub(super) last: Option<Instant>,
    /// Whether it may send more in its turn: a deployed agent has no other way, for it sends one message per connection.
    pub(super) may_grow: bool,
}

impl Talk<'_> {
    /// What the connection may send next. One that proved itself, and the control socket, may send all that the
    /// configuration allows; so may one from an address that is known, unless others misuse that address.
    pub(super) fn leave(&self, begin: Instant, limits: &Limits) -> Leave {
        let all =
            Leave { pool: Pool::Members, max_frame: limits.max_frame, last: None, may_grow: false };
        let Some(address) = self.session.address() else { return all };
        if self.session.is_proven() {
            return all;
        }
        let small = STRANGER_FRAME.min(limits.max_frame);
        let view = &self.shared.mail.blacklist.view;
        match view.verdict(address) {
            Verdict::Free if view.is_known(address) => all,
            Verdict::Slowed => {
                let gate = self.shared.mail.gate.load();
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
    pub(super) async fn next(
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
                let view = &self.shared.mail.blacklist.view;
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
    pub(super) async fn is_heard(&self) -> bool {
        let Some(address) = self.session.address().filter(|_| !self.session.is_proven()) else {
            return true;
        };
        let view = &self.shared.mail.blacklist.view;
        match view.verdict(address) {
            Verdict::Free => true,
            Verdict::Refused => false,
            Verdict::Slowed => {
                tokio::time::sleep(view.wait(address)).await;
                true
            }
        }
    }
}
