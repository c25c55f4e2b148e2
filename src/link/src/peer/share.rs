//! What a large reply holds, and where it waits for its turn.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::Limits;

use crate::heavy;
use crate::heavy::{Held, Room};
use crate::peer::error::PeerError;

/// What a reply holds from the byte on that makes it large, until what was made of it is taken over.
#[derive(Debug)]
pub struct Share {
    /// The largest message that it is enough for.
    pub room: Room,
    pub(crate) held: Option<Held>,
    _turn: OwnedSemaphorePermit,
}

impl Share {
    /// Longest frame that it is enough for.
    pub(super) fn frame_bytes(&self, limits: &Limits) -> usize {
        self.room.frame_limits(limits).max_frame
    }
}

/// Where large replies wait for their turn: one is read at a time, of a peer or of all relays.
#[derive(Debug, Clone)]
pub enum Lane {
    /// Replies are never large.
    Free,
    /// Messages at relays: as heartbeats, they do not wait for requests.
    Slots,
    /// Replies of a peer.
    Peer(Arc<Semaphore>),
}

/// The turn of large answers of relays.
pub(crate) static SLOTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1)));

impl Lane {
    /// A share for a large reply, or the largest one instead of a smaller one. The smaller one goes first: nobody waits for
    /// more with a part in hand.
    pub async fn enter(&self, share: Option<Share>) -> Result<Share, PeerError> {
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
