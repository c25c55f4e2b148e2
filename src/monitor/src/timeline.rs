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
mod tests {
    use super::*;

    const WALL: f64 = 1_795_362_841.0;
    const LIFE: u64 = 1_000_000;

    /// A peer and the local node, with clocks of their own.
    struct Bench {
        timeline: Timeline,
        now: f64,
        /// The clock of the peer against the local one.
        ahead: f64,
        generation: u64,
        acked: u64,
        /// Generation of the local data.
        local: u64,
        is_guarded: bool,
        count: u128,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                timeline: Timeline::default(),
                now: 1_000.0,
                ahead: 0.2,
                generation: 5,
                acked: LIFE + 1,
                local: LIFE + 1,
                is_guarded: false,
                count: 0,
            }
        }

        /// What the peer sends now.
        fn patch(&mut self) -> Told {
            self.count += 1;
            Told {
                id: self.count.to_be_bytes(),
                is_full: false,
                updated: Timestamp(WALL + self.now + self.ahead),
                generation: self.generation,
                acked: self.acked,
            }
        }

        fn full(&mut self, age: f64) -> Told {
            let patch = self.patch();
            Told { is_full: true, updated: Timestamp(patch.updated.0 - age), ..patch }
        }

        fn judge(&mut self, told: &Told) -> Judged {
            let received = Received {
                now: Duration::from_secs_f64(self.now),
                wall: Timestamp(WALL + self.now),
                timeout: Duration::from_secs(15),
                least_generation: LIFE,
                generation: self.local,
                is_guarded: self.is_guarded,
            };
            self.timeline.judge(told, &received)
        }

        /// A patch each 5 s, all of which beat; returns them.
        fn beats(&mut self, count: usize) -> Vec<Told> {
            let beat = |bench: &mut Self| {
                bench.now += 5.0;
                let patch = bench.patch();
                assert_eq!(bench.judge(&patch), Judged::Beat, "at {}", bench.now);
                patch
            };
            (0..count).map(|_| beat(self)).collect()
        }
    }

    #[test]
    fn messages_of_now_beat_and_the_same_again_does_not() {
        let mut bench = Bench::new();
        let sent = bench.beats(10);
        for told in &sent {
            assert_eq!(bench.judge(told), Judged::Again);
        }
        bench.beats(3);
    }

    #[test]
    fn what_was_never_received_is_old_when_it_comes_late_or_after_a_newer_one() {
        let mut bench = Bench::new();
        bench.beats(3);
        bench.now += 1.0;
        let (early, lost) = (bench.patch(), bench.patch());
        bench.beats(1);
        assert_eq!(bench.judge(&early), Judged::Old);
        // The peer dies. What it sent to others comes 40 s later, again and again.
        bench.now += 2.0;
        let last = bench.patch();
        bench.now += 40.0;
        for _ in 0..20 {
            bench.now += 5.0;
            assert_ne!(bench.judge(&lost), Judged::Beat);
            assert_ne!(bench.judge(&last), Judged::Beat);
        }
    }

    #[test]
    fn messages_of_yesterday_and_tomorrow_do_not_beat_one_by_one_or_in_order() {
        let mut bench = Bench::new();
        bench.acked = LIFE + 10;
        let recorded = bench.beats(20);
        // Longer than anybody remembers each message.
        bench.timeline.seen.clear();
        bench.timeline.order.clear();
        bench.now += 86_400.0 - 100.0;
        bench.acked = LIFE + 5_000;
        bench.generation += 500;
        bench.timeline = Timeline::default();
        bench.beats(3);
        bench.now += 20.0;
        for told in &recorded {
            bench.now += 5.0;
            assert_ne!(bench.judge(told), Judged::Beat);
        }
        let mut tomorrow = bench.patch();
        tomorrow.updated = Timestamp(tomorrow.updated.0 + 86_400.0);
        for _ in 0..5 {
            bench.now += 5.0;
            assert_ne!(bench.judge(&tomorrow), Judged::Beat);
        }
        // In a burst they have not the pace of a clock.
        for seconds in 0..10 {
            let mut told = bench.patch();
            told.updated = Timestamp(told.updated.0 + 86_400.0 + 5.0 * f64::from(seconds));
            assert_eq!(bench.judge(&told), Judged::Unproven);
        }
    }

    const STEPS: [f64; 8] = [-86_400.0, -3_600.0, -60.0, -20.0, 20.0, 60.0, 3_600.0, 86_400.0];

    #[test]
    fn a_clock_that_is_set_is_followed_once_the_peer_has_newer_local_data() {
        for step in STEPS {
            let mut bench = Bench::new();
            bench.beats(5);
            bench.ahead += step;
            bench.now += 5.0;
            let patch = bench.patch();
            assert_eq!(bench.judge(&patch), Judged::Unproven, "{step}");
            // Until then each message is asked about.
            for _ in 0..3 {
                bench.now += 5.0;
                bench.generation += 1;
                let patch = bench.patch();
                assert_eq!(bench.judge(&patch), Judged::Unsigned, "{step}");
                assert_eq!(bench.judge(&patch), Judged::Unproven, "the same again has no pace");
                bench.now += 5.0;
                let patch = bench.patch();
                assert_eq!(bench.judge(&patch), Judged::Unsigned, "{step}");
            }
            bench.acked += 1;
            bench.local += 1;
            bench.beats(5);
            // One message is enough.
            bench.ahead -= step;
            bench.acked += 1;
            bench.local += 1;
            bench.beats(5);
        }
    }

    #[test]
    fn on_a_disk_the_pace_of_a_clock_that_is_set_proves_it() {
        for step in STEPS {
            let mut bench = Bench { is_guarded: true, ..Bench::new() };
            bench.beats(5);
            bench.ahead += step;
            bench.now += 5.0;
            let patch = bench.patch();
            assert_eq!(bench.judge(&patch), Judged::Unproven, "{step}");
            bench.beats(5);
        }
    }

    #[test]
    fn a_recording_of_a_node_that_is_dead_does_not_beat_whatever_it_says_it_has() {
        // It heard nobody, or this node as it is: on another heartbeat, or to another node.
        for acked in [0, LIFE + 1] {
            for is_heard in [true, false] {
                let mut bench = Bench::new();
                bench.acked = acked;
                let send = |bench: &mut Bench| {
                    bench.now += 5.0;
                    bench.patch()
                };
                let recorded: Vec<Told> = (0..60).map(|_| send(&mut bench)).collect();
                if is_heard {
                    bench.beats(3);
                }
                bench.now += 40.0;
                for told in &recorded {
                    bench.now += 5.0;
                    let judged = bench.judge(told);
                    assert!(
                        matches!(judged, Judged::Unproven | Judged::Unsigned),
                        "{acked} {is_heard} {judged:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn fulls_of_the_last_hour_are_asked_about_one_by_one() {
        let mut bench = Bench::new();
        let send = |bench: &mut Bench| {
            bench.now += 60.0;
            bench.generation += 1;
            bench.full(0.0)
        };
        let recorded: Vec<Told> = (0..50).map(|_| send(&mut bench)).collect();
        bench.now += 16.0;
        for told in &recorded {
            bench.now += 5.0;
            assert_eq!(bench.judge(told), Judged::Unsigned);
            assert_eq!(bench.judge(told), Judged::Unsigned);
        }
        // Also once it is heard; of data before those it is known to have, they are old.
        bench.beats(1);
        assert_eq!(bench.judge(&recorded[49]), Judged::Unsigned);
        assert_eq!(bench.judge(&recorded[48]), Judged::Old);
        let mut bench = Bench { is_guarded: true, ..Bench::new() };
        let full = bench.full(1_200.0);
        assert_eq!(bench.judge(&full), Judged::Beat, "nobody else writes the slot");
    }

    #[test]
    fn small_steps_delays_and_drift_are_nothing() {
        let mut bench = Bench::new();
        for round in 0..2_000 {
            bench.ahead += 0.001;
            if round % 100 == 0 {
                bench.ahead += 2.0;
            }
            bench.now += 3.0;
            let patch = bench.patch();
            bench.now += f64::from(round % 7);
            assert_eq!(bench.judge(&patch), Judged::Beat, "{round}");
        }
    }

    #[test]
    fn a_full_is_of_now_by_what_it_tells_and_beats_once() {
        let mut bench = Bench::new();
        // First contact: its data changed just now.
        let full = bench.full(10.0);
        assert_eq!(bench.judge(&full), Judged::Beat);
        bench.now += 5.0;
        assert_eq!(bench.judge(&full), Judged::Repeated);
        bench.beats(3);
        assert_eq!(bench.judge(&full), Judged::Again);
        // To another peer, the data as they are, made anew; never those of before.
        let (long, again, mut older) = (bench.full(30.0), bench.full(12.0), bench.full(13.0));
        older.generation -= 1;
        assert_eq!(bench.judge(&long), Judged::Unsigned);
        assert_eq!(bench.judge(&again), Judged::Beat);
        assert_eq!(bench.judge(&older), Judged::Old);
        bench.now += 5.0;
        assert_eq!(bench.judge(&again), Judged::Repeated);
        // The past, at first contact.
        let yesterday = bench.full(86_400.0);
        bench.timeline = Timeline::default();
        assert_ne!(bench.judge(&yesterday), Judged::Beat);
    }

    #[test]
    fn a_peer_that_starts_anew_is_heard_at_once_and_what_it_sent_before_is_old() {
        let mut bench = Bench::new();
        bench.generation = 900;
        bench.beats(5);
        let before = bench.patch();
        bench.now += 1.0;
        (bench.generation, bench.acked) = (1, 0);
        bench.beats(2);
        bench.acked = LIFE + 1;
        bench.generation = 3;
        bench.beats(5);
        assert_ne!(bench.judge(&before), Judged::Beat);
        // With a clock that was set while it was away.
        bench.now += 100.0;
        bench.ahead = -7_200.0;
        (bench.generation, bench.acked) = (1, 0);
        let mut judged = vec![];
        for _ in 0..3 {
            bench.now += 5.0;
            let patch = bench.patch();
            judged.push(bench.judge(&patch));
        }
        assert_eq!(judged, [Judged::Unproven, Judged::Unsigned, Judged::Unsigned]);
        (bench.local, bench.acked) = (LIFE + 2, LIFE + 2);
        bench.beats(3);
    }
}
