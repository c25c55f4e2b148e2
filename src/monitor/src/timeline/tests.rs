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
