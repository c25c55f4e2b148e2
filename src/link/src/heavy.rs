//! The memory that large messages take while they are worked on, over the whole process.
//!
//! Small ones are not counted: there is no more of them than connections. What is larger holds its share before it is
//! inflated, for as long as something made of it lives, and waits while others hold too much.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Most memory, in bytes, of all that is worked on at once.
pub const MOST: usize = 56 << 20;

/// Most memory, in bytes, of what long requests keep while they wait. Beyond, they keep a share of what is worked on.
const MOST_KEPT: usize = 8 << 20;

/// Bytes that one permit stands for.
const UNIT: usize = 1 << 10;

/// How long a message waits for its share before its sender is told to try again.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What requests, and the replies of peers to them, hold.
static REQUESTS: Semaphore = Semaphore::const_new(MOST / UNIT);

/// What requests keep until they end: whatever they wait for, others are worked on meanwhile.
static KEPT: Semaphore = Semaphore::const_new(MOST_KEPT / UNIT);

/// What heartbeats hold: of their own, so that no burst of requests makes a peer late.
static HEARTBEATS: Semaphore = Semaphore::const_new(1);

/// How large a message of a kind may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of its text.
    pub text: usize,
    /// Bytes of what is read out of it.
    pub weight: usize,
}

impl Room {
    /// What is opened and read where it arrives: in less than a millisecond.
    pub const SMALL: Self = Self { text: 64 << 10, weight: 256 << 10 };
    /// What eight may take at once.
    pub const MEDIUM: Self = Self { text: 1 << 20, weight: 7 << 20 };
    /// What one may take at a time.
    pub const LARGE: Self = Self { text: 26 << 20, weight: wire::MOST_WEIGHT };
    /// A heartbeat: 10,000 services of a peer have 10 MiB of text and weigh 64 MiB, and as much again.
    pub const HEARTBEAT: Self = Self { text: 32 << 20, weight: 128 << 20 };
    /// What an arbitrator answers.
    pub const VOTE: Self = Self { text: 32 << 10, weight: 128 << 10 };
    /// What a relay answers: one message of a node.
    pub const SLOT: Self = Self { text: 6 << 20, weight: 8 << 20 };

    /// All that it takes, in bytes.
    pub fn bytes(self) -> usize {
        self.text + self.weight
    }

    /// The smaller one of both.
    pub fn within(self, other: Self) -> Self {
        Self { text: self.text.min(other.text), weight: self.weight.min(other.weight) }
    }

    /// The limits of a frame that is opened into it.
    pub fn limits(self, limits: &wire::Limits) -> wire::Limits {
        wire::Limits { max_message: limits.max_message.min(self.text), ..*limits }
    }

    /// The limits of a frame that is to come, compressed or not: base64 makes four bytes of three.
    pub fn frame_limits(self, limits: &wire::Limits) -> wire::Limits {
        let max_frame = limits.max_frame.min(self.text / 3 * 4 + (16 << 10));
        wire::Limits { max_frame, ..self.limits(limits) }
    }
}

/// A share of the memory, until it is dropped.
#[derive(Debug)]
pub struct Held {
    permit: SemaphorePermit<'static>,
}

impl Held {
    /// Keeps no more than `bytes` of the share.
    pub fn shrink(&mut self, bytes: usize) {
        let keep = units(bytes);
        let more = self.permit.num_permits().saturating_sub(keep);
        drop(self.permit.split(more));
    }

    /// Keeps no more than `bytes`, and not of what is worked on where that can be avoided; none for nothing.
    fn settle(mut self, bytes: usize) -> Option<Self> {
        if bytes == 0 {
            return None;
        }
        let kept =
            u32::try_from(units(bytes)).ok().and_then(|count| KEPT.try_acquire_many(count).ok());
        match kept {
            Some(permit) => Some(Self { permit }),
            None => {
                self.shrink(bytes);
                Some(self)
            }
        }
    }
}

fn units(bytes: usize) -> usize {
    bytes.min(MOST).div_ceil(UNIT)
}

/// A share of `bytes`, at most everything; none while others hold too much for too long.
pub async fn hold(bytes: usize) -> Option<Held> {
    hold_within(&REQUESTS, bytes, PATIENCE).await
}

async fn hold_within(all: &'static Semaphore, bytes: usize, patience: Duration) -> Option<Held> {
    let count = u32::try_from(units(bytes)).ok()?;
    let permit = tokio::time::timeout(patience, all.acquire_many(count)).await.ok()?.ok()?;
    Some(Held { permit })
}

/// Does heavy work on a thread that ends with it: what an allocator keeps of the memory that a thread freed, it gives back
/// when that thread ends. None when the work panicked, or no thread could be had.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, worked) = tokio::sync::oneshot::channel();
    // The thread is not waited for: what it made comes first, then its end.
    let work = || _ = done.send(work());
    std::thread::Builder::new().name("heavy".into()).spawn(work).ok()?;
    worked.await.ok()
}

/// The turn of a large heartbeat: one is read at a time.
pub async fn heartbeat_turn() -> Option<Held> {
    let permit = tokio::time::timeout(PATIENCE, HEARTBEATS.acquire()).await.ok()?.ok()?;
    Some(Held { permit })
}

/// What one request holds, with all that was asked for it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Purse(Arc<Mutex<Vec<Held>>>);

impl Purse {
    /// Keeps so much of a share until the last clone is dropped.
    pub fn put(&self, held: Held, bytes: usize) {
        let held = held.settle(bytes);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn what_is_held_keeps_others_waiting_until_it_is_dropped_or_shrunk() {
        static ALL: Semaphore = Semaphore::const_new(MOST / UNIT);
        let now = |bytes| hold_within(&ALL, bytes, Duration::ZERO);
        let mut all = now(usize::MAX).await.expect("nothing is held");
        assert!(now(UNIT).await.is_none(), "nothing is left");
        all.shrink(MOST - 2 * UNIT);
        let purse = Purse::default();
        purse.put(now(2 * UNIT).await.expect("what was given back"), MOST_KEPT + 1);
        assert!(now(1).await.is_none(), "there is no other place for so much");
        let clone = purse.clone();
        drop(purse);
        assert!(now(1).await.is_none());
        drop(clone);
        let rest = now(2 * UNIT).await.expect("what the purse had");
        let purse = Purse::default();
        purse.put(rest, UNIT);
        assert!(now(2 * UNIT).await.is_some(), "what waits keeps nobody waiting");
        drop(all);
        assert!(now(MOST).await.is_some());
    }

    #[test]
    fn ten_thousand_services_of_a_peer_have_room_twice() {
        let log = ["info: all is well"];
        let resource = |name: &str| {
            serde_json::json!({"status": "up", "type": "fs.flag", "label": name, "log": log,
                "provisioned": {"mtime": 1_795_364_107.7, "state": true}, "restart": 2, "tags": ["a"]})
        };
        let instance = serde_json::json!({"updated": 1_795_364_122.5, "kind": "svc", "app": "default",
            "env": "TST", "topology": "failover", "orchestrate": "ha", "avail": "up", "overall": "up",
            "status_group": {"app": "up", "fs": "up", "disk": "n/a", "ip": "up"}, "csum": "9a5805f8bac95e0a",
            "resources": {"fs#1": resource("a"), "app#1": resource("b"), "ip#1": resource("c")},
            "monitor": {"status": "idle", "status_updated": 1.0, "global_expect": null, "placement": "leader"}});
        let text = instance.to_string();
        assert!(text.len() * 10_000 * 3 / 2 <= Room::HEARTBEAT.text, "{} bytes", text.len());
        let weight = wire::weigh(text.as_bytes());
        assert!(weight * 10_000 <= Room::HEARTBEAT.weight, "{weight} bytes");
    }
}
