//! Whether a heartbeat of the classic dialect is of now.
//!
//! Nothing in it says so but what its sender tells of itself: the time of its clock, the generation of its data, and which
//! generation of the local data it has. Of one peer these go forward, and its clock at the pace of the local one. What does
//! not is an old message that somebody sends again, or the clock of the peer was set: then its messages go on at the new
//! time, and the first that has newer local data than any before proves it.
//!
//! Nothing else tells them from a recording that is sent again at its pace: the peer has to be asked, for each of them. So
//! it is for a full of data that did not change lately, which does not say when it was sent; and for the newest full of a
//! deployed agent, the very bytes of which it repeats for as long as its data do not change and a node, maybe another one,
//! lacks them.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use model::Timestamp;

/// Messages of a peer that are known again.
const MOST_SEEN: usize = 8_192;
/// How far off two clocks may run, in seconds per second.
const DRIFT: f64 = 0.001;
/// Least lateness that is nothing, in seconds: machines stand still under load.
const LEAST_LATE: f64 = 2.0;
/// How far from the pace of the local clock messages may come that prove a new time, in seconds.
const PACE: f64 = 1.0;
/// What a message says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told {
    /// What names it: no two messages have the same.
    pub id: [u8; 16],
    /// Ping and patch say when they were sent, a full when its data changed last.
    pub is_full: bool,
    /// By the clock of the peer.
    pub updated: Timestamp,
    /// Generation of the peer's data.
    pub generation: u64,
    /// Generation of the local data that the peer has; 0 for none.
    pub acked: u64,
}

/// When and where a message was received.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Received {
    /// By a clock that no step touches.
    pub now: Duration,
    /// By the local clock: good for the first message of a peer only.
    pub wall: Timestamp,
    /// Keyword `hb#n.timeout`.
    pub timeout: Duration,
    /// No generation of the local data is lower since the daemon started.
    pub least_generation: u64,
    /// The generation of the local data.
    pub generation: u64,
    /// Whether nobody but the peer can have put it there: on a disk. Then its pace proves a new time.
    pub is_guarded: bool,
}

/// What follows for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It is of now: the peer beats.
    Beat,
    /// The very message was there before: no beat, and no error.
    Again,
    /// The same, and it is the newest full of the peer, which deployed agents repeat: a beat if the peer is there.
    Repeated,
    /// It is of another time than the peer's.
    Old,
    /// The clock of the peer may have been set: more of its messages will tell.
    Unproven,
    /// Nothing tells it from a recording: a beat, and news, if the peer is there now.
    Unsigned,
}

/// Where the clock of a peer is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    /// The local steady clock minus that of the peer, in seconds, as the fastest message had it, and when that was; none
    /// while only fulls were heard.
    offset: Option<(f64, f64)>,
    /// The newest time that a message told.
    newest: f64,
    generation: u64,
    acked: u64,
}

/// Messages that would prove a new time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Claim {
    offset: f64,
    since: f64,
    newest: f64,
    count: u32,
    /// Generation of the local data when it began.
    generation: u64,
}

/// What is known of the messages of one peer over one heartbeat.
#[derive(Debug, Default)]
pub struct Timeline {
    line: Option<Line>,
    claim: Option<Claim>,
    seen: BTreeSet<[u8; 16]>,
    order: VecDeque<[u8; 16]>,
    /// The newest message, if it is a full.
    full: Option<[u8; 16]>,
}

impl Timeline {
    /// Judges a message.
    pub fn judge(&mut self, told: &Told, received: &Received) -> Judged {
        if self.seen.contains(&told.id) {
            let is_newest = self.full == Some(told.id);
            return if is_newest { Judged::Repeated } else { Judged::Again };
        }
        let judged = self.place(told, received);
        // Each time that one comes which only the peer can sign, the peer is asked.
        if !matches!(judged, Judged::Old | Judged::Unsigned) {
            self.remember(told.id);
            self.full = told.is_full.then_some(told.id);
        }
        judged
    }

    fn remember(&mut self, id: [u8; 16]) {
        self.seen.insert(id);
        self.order.push_back(id);
        if self.order.len() > MOST_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
    }

    fn place(&mut self, told: &Told, received: &Received) -> Judged {
        let now = received.now.as_secs_f64();
        let late = received.timeout.as_secs_f64().max(LEAST_LATE);
        let offset = now - told.updated.0;
        // By how much it is late against the fastest one; against the local clock before there was one.
        let lateness = match self.line.and_then(|line| line.offset) {
            Some((fastest, at)) => offset - (fastest + DRIFT * (now - at)),
            None => received.wall.0 - told.updated.0,
        };
        let is_on_time = if told.is_full { lateness >= -late } else { lateness.abs() <= late };
        if !is_on_time {
            return self.claim(told, received);
        }
        let is_of_now = match &self.line {
            // Later than all before.
            Some(line) if told.updated.0 > line.newest => true,
            // A full tells the same data anew, to whom they are missing.
            Some(line) => {
                told.is_full
                    && told.generation >= line.generation.max(1)
                    && told.acked >= line.acked
            }
            None => true,
        };
        if !is_of_now {
            return Judged::Old;
        }
        // The age of its data is all that a full tells.
        if told.is_full && lateness > late && !received.is_guarded {
            return Judged::Unsigned;
        }
        let before =
            self.line.unwrap_or(Line { offset: None, newest: f64::MIN, generation: 0, acked: 0 });
        let fastest = match before.offset {
            _ if told.is_full => before.offset,
            Some((fastest, at)) => Some((offset.min(fastest + DRIFT * (now - at)), now)),
            None => Some((offset, now)),
        };
        // A lower generation at a later time: the peer started anew.
        let is_anew = told.generation < before.generation;
        self.line = Some(Line {
            offset: fastest,
            newest: before.newest.max(told.updated.0),
            generation: told.generation,
            acked: if is_anew { told.acked } else { before.acked.max(told.acked) },
        });
        self.claim = None;
        Judged::Beat
    }

    /// A message of another time: of a peer whose clock was set, or of the past.
    fn claim(&mut self, told: &Told, received: &Received) -> Judged {
        let now = received.now.as_secs_f64();
        let offset = now - told.updated.0;
        let known = self.line.map_or(received.least_generation, |line| line.acked);
        // Who has less of the local data than it had before, and more than nothing, tells of the past.
        if told.acked != 0 && told.acked < known {
            return Judged::Old;
        }
        let is_older_data = self.line.is_some_and(|line| told.generation < line.generation);
        if is_older_data && told.acked != 0 && told.acked <= known {
            return Judged::Old;
        }
        let claim = match self.claim {
            Some(claim)
                if told.updated.0 > claim.newest
                    && (offset - claim.offset).abs() <= PACE + DRIFT * (now - claim.since) =>
            {
                Claim { newest: told.updated.0, count: claim.count + 1, ..claim }
            }
            _ => {
                let generation = received.generation;
                Claim { offset, since: now, newest: told.updated.0, count: 1, generation }
            }
        };
        // It has local data that no message had before, or that were made since: it was sent after that.
        let is_newer = told.acked > claim.generation || self.line.is_some() && told.acked > known;
        let is_proof = is_newer && told.acked <= received.generation;
        let lasted = now - claim.since;
        let timeout = received.timeout.as_secs_f64();
        let is_long = lasted >= timeout / 4.0;
        let has_pace = claim.count >= 2 && is_long;
        let is_proven = is_proof || has_pace && received.is_guarded;
        if !is_proven {
            self.claim = Some(claim);
            return if has_pace { Judged::Unsigned } else { Judged::Unproven };
        }
        self.claim = None;
        self.line = Some(Line {
            offset: (!told.is_full).then_some((offset, now)),
            newest: told.updated.0,
            generation: told.generation,
            acked: told.acked,
        });
        Judged::Beat
    }
}

#[cfg(test)]
mod tests;
