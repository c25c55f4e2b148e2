//! The room for bodies of requests: bounded as a whole, and for each who sends some.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of bodies that are on their way, all together.
const MOST: usize = 64 << 20;

/// Of these, those of one user, root apart.
const MOST_OF_A_USER: usize = MOST / 2;

/// Those of all who may nothing, or are nobody.
const MOST_OF_NOBODY: usize = MOST / 16;

/// Who sends a body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sender {
    /// May everything.
    Root,
    /// May something, by this name.
    User(String),
    /// Whoever may nothing: all of them are one.
    Nobody,
}

impl Sender {
    fn most(&self) -> usize {
        match self {
            Self::Root => MOST,
            Self::User(_) => MOST_OF_A_USER,
            Self::Nobody => MOST_OF_NOBODY,
        }
    }
}

/// What is taken, by who took it. Those who hold nothing are not in it.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    own: BTreeMap<Sender, usize>,
}

/// The room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rooms(Arc<Mutex<Taken>>);

impl Rooms {
    /// Nothing yet, for what this one sends.
    pub(crate) fn part(&self, sender: Sender) -> Part {
        Part { of: self.clone(), sender, bytes: 0 }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Taken) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one body takes, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    of: Rooms,
    sender: Sender,
    bytes: usize,
}

impl Part {
    /// Takes so much more. False: there is no more, for all or for this one.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let (sender, most) = (&self.sender, self.sender.most());
        let is_taken = self.of.with(|taken| {
            let own = taken.own.get(sender).copied().unwrap_or_default() + bytes;
            let is_room = taken.all + bytes <= MOST && own <= most;
            if is_room {
                taken.all += bytes;
                taken.own.insert(sender.clone(), own);
            }
            is_room
        });
        self.bytes += if is_taken { bytes } else { 0 };
        is_taken
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        self.of.with(|taken| {
            taken.all -= self.bytes;
            let rest = taken.own.get(&self.sender).copied().unwrap_or_default() - self.bytes;
            match rest {
                0 => _ = taken.own.remove(&self.sender),
                rest => _ = taken.own.insert(self.sender.clone(), rest),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_nothing_leaves_room_for_those_who_may() {
        let rooms = Rooms::default();
        let mut crowd: Vec<Part> = (0..2_000).map(|_| rooms.part(Sender::Nobody)).collect();
        let taken = crowd.iter_mut().filter_map(|part| part.take(64 << 10).then_some(())).count();
        assert_eq!(taken, MOST_OF_NOBODY / (64 << 10));
        let user = |name: &str| rooms.part(Sender::User(name.to_owned()));
        let mut alice = user("alice");
        assert!(alice.take(MOST_OF_A_USER) && !user("alice").take(1));
        assert!(user("bob").take(MOST_OF_A_USER - MOST_OF_NOBODY), "it has a part of its own");
        assert!(rooms.part(Sender::Root).take(1));
        assert!(!rooms.part(Sender::Root).take(MOST), "all together is bounded");
        drop((crowd, alice));
        assert!(rooms.part(Sender::Root).take(MOST));
        rooms.with(|taken| assert_eq!((taken.all, taken.own.len()), (0, 0)));
    }
}
