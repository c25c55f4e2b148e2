use super::*;
use crate::sealed::MessageId;

/// A wall time of the tests.
const NOW_MS: i64 = 1_795_362_841_123;
const WINDOW_MS: i64 = 30_000;
const SECOND: i64 = 1_000_000;
const BEAT: Beat<'static> = Beat { section: "hb#1", timeout_us: 15 * SECOND };

/// A machine, in a world whose true time counts in microseconds.
#[derive(Debug, Clone, Copy)]
struct Machine {
    boot: u8,
    /// True time of its boot.
    since_us: i64,
    /// How far its wall clock is off.
    off_ms: i64,
    /// How much its raw clock is fast, in millionths.
    fast_ppm: i64,
}

impl Machine {
    const fn new(boot: u8, since_us: i64) -> Self {
        Self { boot, since_us, off_ms: 0, fast_ppm: 0 }
    }

    fn at(&self, true_us: i64) -> Moment {
        let elapsed_us = true_us - self.since_us;
        Moment {
            boot: BootId([self.boot; 16]),
            b_us: elapsed_us + elapsed_us / 1_000 * self.fast_ppm / 1_000,
            t_ms: NOW_MS + true_us / 1_000 + self.off_ms,
        }
    }

    fn stamp(&self, true_us: i64, id: u64) -> Stamp {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&id.to_be_bytes());
        Stamp { at: self.at(true_us), id: MessageId(bytes) }
    }
}

const LOCAL: Machine = Machine::new(1, -7_000 * SECOND);
const PEER: Machine = Machine::new(2, -100_000 * SECOND);
const N2: Source<'static> = Source::Member("n2");

fn freshness() -> Freshness {
    Freshness::new(WINDOW_MS)
}

fn taken(result: Result<Accepted, Refusal>) -> Result<(), Refusal> {
    result.map(|_| ())
}

/// Draws from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound).unwrap()
    }
}

#[test]
fn a_message_passes_once() {
    let mut it = freshness();
    let stamp = PEER.stamp(0, 1);
    assert_eq!(taken(it.take(&LOCAL.at(100), N2, &stamp, None)), Ok(()));
    for later_us in [200, 29 * SECOND] {
        assert_eq!(it.take(&LOCAL.at(later_us), N2, &stamp, None), Err(Refusal::Replayed));
    }
    assert_eq!(
        it.take(&LOCAL.at(31 * SECOND), N2, &stamp, None),
        Err(Refusal::Replayed),
        "nothing newer came: its id is still there"
    );
    assert_eq!(taken(it.take(&LOCAL.at(200), N2, &PEER.stamp(100, 2), None)), Ok(()));
    let newer = PEER.stamp(31 * SECOND, 3);
    assert_eq!(taken(it.take(&LOCAL.at(31 * SECOND), N2, &newer, None)), Ok(()));
    assert_eq!(it.len(), 1);
    assert!(matches!(it.take(&LOCAL.at(31 * SECOND), N2, &stamp, None), Err(Refusal::Late { .. })));
    assert_eq!(
        taken(it.take(&LOCAL.at(200), Source::Member("n3"), &stamp, None)),
        Ok(()),
        "the messages of another sender are others"
    );
}

#[test]
fn no_step_of_any_wall_clock_loses_a_message() {
    const STEPS_MS: [i64; 4] = [10_000, 60_000, 3_600_000, 31_536_000_000];
    for seed in 1..=40 {
        let mut draw = Draw(seed);
        let mut local = LOCAL;
        let mut peers = [2, 3, 4].map(|boot| Machine::new(boot, -draw.below(1 << 40)));
        for peer in &mut peers {
            peer.fast_ppm = draw.below(400) - 200;
        }
        let mut it = freshness();
        let (mut true_us, mut id) = (0, 0);
        for round in 0..2_000 {
            true_us += 25_000 + draw.below(5 * SECOND as u64);
            // After the first contact: one clock, or all of them, steps ahead or back.
            if round > 5 && draw.below(50) == 0 {
                let step_ms = STEPS_MS[draw.below(4) as usize] * (draw.below(2) * 2 - 1);
                match draw.below(5) {
                    0 => local.off_ms += step_ms,
                    1 => {
                        local.off_ms += step_ms;
                        peers.iter_mut().for_each(|peer| peer.off_ms += step_ms);
                    }
                    2 => peers.iter_mut().for_each(|peer| peer.off_ms += step_ms),
                    3 => local.off_ms = 0,
                    _ => peers[draw.below(3) as usize].off_ms += step_ms,
                }
            }
            // One that is set right.
            if draw.below(100) == 0 {
                peers[draw.below(3) as usize].off_ms = 0;
            }
            for (name, peer) in ["n2", "n3", "n4"].into_iter().zip(&peers) {
                id += 1;
                let stamp = peer.stamp(true_us - draw.below(20_000), id);
                let beat = (draw.below(2) == 0).then_some(BEAT);
                let result = it.take(&local.at(true_us), Source::Member(name), &stamp, beat);
                assert_eq!(taken(result), Ok(()), "seed {seed}, round {round}, {name}");
                let again = it.take(&local.at(true_us), Source::Member(name), &stamp, beat);
                assert_eq!(again, Err(Refusal::Replayed), "seed {seed}");
            }
        }
    }
}

#[test]
fn the_first_message_of_a_boot_needs_wall_clocks_that_agree() {
    for (off_ms, expected) in [
        (30_000, Ok(())),
        (-30_000, Ok(())),
        (31_000, Err(Refusal::Stale { seconds: -31 })),
        (-31_000, Err(Refusal::Stale { seconds: 31 })),
        (i64::MAX / 2, Err(Refusal::Stale { seconds: i64::MIN / 2_000 })),
    ] {
        let peer = Machine { off_ms, ..PEER };
        let result = freshness().take(&LOCAL.at(0), N2, &peer.stamp(0, 1), None);
        match (taken(result), expected) {
            (Err(Refusal::Stale { seconds }), Err(Refusal::Stale { seconds: expected })) => {
                assert!((seconds - expected).abs() < 1 << 50);
            }
            (found, expected) => assert_eq!(found, expected, "{off_ms}"),
        }
    }
    for t_ms in [i64::MIN, i64::MAX] {
        let at = Moment { t_ms, ..PEER.at(0) };
        let stamp = Stamp { at, id: MessageId([1; 16]) };
        assert!(freshness().take(&LOCAL.at(0), N2, &stamp, None).is_err());
    }
}

#[test]
fn a_boot_that_is_over_is_over_for_good() {
    let mut it = freshness();
    let before = PEER;
    let after = Machine { boot: 3, since_us: 10 * SECOND, ..PEER };
    assert!(it.take(&LOCAL.at(0), N2, &before.stamp(0, 1), None).is_ok());
    let booted = 11 * SECOND;
    assert!(it.take(&LOCAL.at(booted), N2, &after.stamp(booted, 2), None).is_ok());
    for late_us in [1, 2 * SECOND] {
        let stamp = before.stamp(late_us, 3);
        let refused = it.take(&LOCAL.at(booted + 1), N2, &stamp, None);
        assert_eq!(refused, Err(Refusal::Retired));
    }
    // Of a boot that nobody knew here: its last message comes when the next boot is heard already.
    let unknown = Machine { boot: 9, since_us: -50 * SECOND, ..PEER };
    let refused = it.take(&LOCAL.at(booted + 2), N2, &unknown.stamp(5 * SECOND, 4), None);
    assert_eq!(refused, Err(Refusal::Retired));
    let heard = it.take(&LOCAL.at(booted + 3), N2, &after.stamp(booted + 3, 5), None);
    assert!(heard.is_ok(), "the boot that is there is heard on");
}

#[test]
fn what_was_held_back_is_refused_whatever_the_clock_of_its_sender_said() {
    for off_ms in [-25_000, -20_000, 0, 20_000, 25_000, 3_600_000, -31_536_000_000] {
        let mut it = freshness();
        assert!(it.take(&LOCAL.at(0), N2, &PEER.stamp(0, 1), Some(BEAT)).is_ok());
        let peer = Machine { off_ms, ..PEER };
        assert!(it.take(&LOCAL.at(SECOND), N2, &peer.stamp(SECOND, 2), Some(BEAT)).is_ok());
        // Its last words, kept by somebody.
        let held: Vec<Stamp> =
            (0..200).map(|id| peer.stamp(2 * SECOND + id * 100_000, 10 + id as u64)).collect();
        let last = *held.last().unwrap();
        for (delay_us, passes) in [(14 * SECOND, true), (16 * SECOND, false), (60 * SECOND, false)]
        {
            for (number, stamp) in held.iter().enumerate() {
                let now = LOCAL.at(2 * SECOND + number as i64 * 100_000 + delay_us);
                if !passes {
                    let beats = it.take(&now, N2, stamp, Some(BEAT));
                    assert!(beats.is_err(), "{off_ms} {delay_us} {number}");
                }
            }
        }
        let now = LOCAL.at(2 * SECOND + 19_900_000 + 31 * SECOND);
        assert!(matches!(it.take(&now, N2, &last, None), Err(Refusal::Late { .. })));
    }
}

#[test]
fn beats_only_go_forward_within_their_section() {
    let mut it = freshness();
    let other = Beat { section: "hb#2", ..BEAT };
    let mut take = |made_us, id, beat| {
        taken(it.take(&LOCAL.at(5 * SECOND), N2, &PEER.stamp(made_us, id), beat))
    };
    assert_eq!(take(3 * SECOND, 1, Some(BEAT)), Ok(()));
    assert_eq!(take(2 * SECOND, 2, Some(other)), Ok(()), "another driver is slower");
    assert_eq!(take(2 * SECOND, 3, Some(BEAT)), Err(Refusal::Late { seconds: 1 }));
    assert_eq!(take(3 * SECOND, 4, Some(BEAT)), Err(Refusal::Late { seconds: 1 }));
    assert_eq!(take(2 * SECOND, 5, None), Ok(()), "requests overtake each other");
    assert_eq!(take(4 * SECOND, 6, Some(BEAT)), Ok(()));
}

#[test]
fn a_machine_that_was_paused_is_heard_once_its_wall_clock_is_right() {
    for paused in [60 * SECOND, 86_400 * SECOND] {
        let mut it = freshness();
        assert!(it.take(&LOCAL.at(0), N2, &PEER.stamp(0, 1), Some(BEAT)).is_ok());
        // Both its clocks stood still.
        let mut peer =
            Machine { since_us: PEER.since_us + paused, off_ms: -paused / 1_000, ..PEER };
        let now = paused + SECOND;
        let late = it.take(&LOCAL.at(now), N2, &peer.stamp(now, 2), Some(BEAT));
        assert!(matches!(late, Err(Refusal::Late { .. })), "{late:?}");
        peer.off_ms = 0;
        for (after_us, id) in [(SECOND, 3), (2 * SECOND, 4)] {
            let now = now + after_us;
            let heard = it.take(&LOCAL.at(now), N2, &peer.stamp(now, id), Some(BEAT));
            assert_eq!(taken(heard), Ok(()));
        }
        peer.off_ms = 3_600_000;
        let now = now + 3 * SECOND;
        assert!(it.take(&LOCAL.at(now), N2, &peer.stamp(now, 5), Some(BEAT)).is_ok());
    }
    // Paused ourselves: everybody else is ahead.
    let mut it = freshness();
    assert!(it.take(&LOCAL.at(0), N2, &PEER.stamp(0, 1), Some(BEAT)).is_ok());
    let local = Machine { since_us: LOCAL.since_us + 600 * SECOND, ..LOCAL };
    let now = 601 * SECOND;
    assert!(it.take(&local.at(now), N2, &PEER.stamp(now, 2), Some(BEAT)).is_ok());
}

#[test]
fn a_reply_proves_that_its_sender_is_there_whatever_was_thought_of_it() {
    // Clocks that never agreed.
    let peer = Machine { off_ms: 31_536_000_000, ..PEER };
    let mut it = freshness();
    assert!(it.take(&LOCAL.at(0), N2, &peer.stamp(0, 1), Some(BEAT)).is_err());
    it.prove(&LOCAL.at(2_000), "n2", &peer.stamp(1_000, 2), LOCAL.at(0).b_us);
    assert_eq!(taken(it.take(&LOCAL.at(4_000), N2, &peer.stamp(3_000, 3), Some(BEAT))), Ok(()));
    assert!(it.take(&LOCAL.at(4_000), N2, &peer.stamp(500, 1), Some(BEAT)).is_err(), "made before");
    // Paused, and not set right.
    let peer = Machine { since_us: peer.since_us + 600 * SECOND, ..peer };
    let now = 601 * SECOND;
    assert!(it.take(&LOCAL.at(now), N2, &peer.stamp(now, 4), Some(BEAT)).is_err());
    it.prove(&LOCAL.at(now + 3), "n2", &peer.stamp(now + 2, 5), LOCAL.at(now).b_us);
    assert!(it.take(&LOCAL.at(now + 5), N2, &peer.stamp(now + 4, 6), Some(BEAT)).is_ok());
    // A boot that was taken for one that is over.
    let other = Machine { boot: 7, ..Machine::new(7, 0) };
    it.prove(&LOCAL.at(now + 9), "n2", &other.stamp(now + 8, 7), LOCAL.at(now + 7).b_us);
    let back = peer.stamp(now + 10, 8);
    assert_eq!(it.take(&LOCAL.at(now + 10), N2, &back, None), Err(Refusal::Retired));
    it.prove(&LOCAL.at(now + 12), "n2", &peer.stamp(now + 11, 9), LOCAL.at(now + 10).b_us);
    assert!(it.take(&LOCAL.at(now + 14), N2, &peer.stamp(now + 13, 10), None).is_ok());
    assert!(it.take(&LOCAL.at(now + 14), N2, &back, None).is_err());
}

/// A restart of the local daemon: what it kept, and when.
fn restarted(kept: &[u8], local: &Machine, now_us: i64) -> Freshness {
    let mut it = Freshness::restore(WINDOW_MS, &local.at(now_us), kept).unwrap();
    it.snapshot(&local.at(now_us));
    it
}

#[test]
fn what_was_accepted_before_a_restart_is_not_accepted_again_whatever_the_clocks() {
    for seed in 1..=300 {
        let mut draw = Draw(seed);
        // The clock of the sender is 20 s ahead, or anywhere else once it was heard.
        let mut peer = Machine {
            off_ms: [20_000, -20_000, 0][draw.below(3) as usize],
            fast_ppm: draw.below(800) - 400,
            ..PEER
        };
        let mut local = LOCAL;
        let (mut it, mut kept) = (freshness(), vec![]);
        let (mut true_us, mut accepted, mut last_us) = (0, vec![], 0);
        let ends_us = draw.below(200 * SECOND as u64);
        for id in 0.. {
            true_us += 1 + draw.below(2 * SECOND as u64);
            if true_us > ends_us {
                break;
            }
            if draw.below(20) == 0 && id > 0 {
                peer.off_ms += (draw.below(3) - 1) * 3_600_000;
            }
            // Some take their time; some machines are paused, ours too.
            if draw.below(60) == 0 {
                let paused_us = draw.below(100 * SECOND as u64);
                local.since_us += paused_us;
                true_us += paused_us;
            }
            let slowest_us = [500, 50_000][draw.below(2) as usize];
            let latency_us = draw.below(slowest_us);
            let stamp = peer.stamp(true_us - latency_us, id);
            if let Ok(Accepted { saved_by, .. }) = it.take(&local.at(true_us), N2, &stamp, None) {
                if saved_by.is_some() {
                    kept = it.snapshot(&local.at(true_us)).1;
                }
                accepted.push(stamp);
                last_us = true_us;
            } else {
                assert!(id > 0);
            }
        }
        if accepted.is_empty() {
            continue;
        }
        let is_stopped = draw.below(2) == 0;
        if is_stopped {
            it.close();
            kept = it.snapshot(&local.at(ends_us.max(last_us))).1;
        }
        let mut now_us = ends_us.max(last_us) + draw.below(90 * SECOND as u64);
        if draw.below(3) == 0 {
            // The machine boots too, and its wall clock may be anywhere near.
            local = Machine { boot: 9, since_us: now_us, ..local };
            local.off_ms = (draw.below(5) - 2) * 10_000;
            now_us += SECOND;
        }
        let mut it = restarted(&kept, &local, now_us);
        for stamp in &accepted {
            let again = it.take(&local.at(now_us), N2, stamp, None);
            assert!(again.is_err(), "seed {seed}: {again:?}");
        }
    }
}

#[test]
fn a_restarted_node_hears_its_peers_at_once() {
    let peer = Machine { off_ms: 3_600_000, ..PEER };
    for is_stopped in [false, true] {
        let mut it = freshness();
        assert!(it.take(&LOCAL.at(0), N2, &PEER.stamp(0, 1), Some(BEAT)).is_ok());
        assert!(it.take(&LOCAL.at(SECOND), N2, &peer.stamp(SECOND, 2), Some(BEAT)).is_ok());
        let kept = it.snapshot(&LOCAL.at(SECOND)).1;
        let last = 50 * SECOND;
        assert!(it.take(&LOCAL.at(last), N2, &peer.stamp(last, 3), Some(BEAT)).is_ok());
        let kept = if is_stopped {
            it.close();
            assert!(it.take(&LOCAL.at(last + 1), N2, &peer.stamp(last + 1, 4), None).is_err());
            it.snapshot(&LOCAL.at(last + 1)).1
        } else {
            kept
        };
        let starts = 51 * SECOND;
        let mut it = restarted(&kept, &LOCAL, starts);
        let deaf_us = if is_stopped { 0 } else { 50_000 };
        let first = starts + deaf_us;
        let heard = it.take(&LOCAL.at(first + 200), N2, &peer.stamp(first + 1, 5), Some(BEAT));
        assert_eq!(taken(heard), Ok(()), "its clock is an hour ahead");
        // The machine boots too: one answer is enough.
        let local = Machine { boot: 9, since_us: starts, ..LOCAL };
        let mut it = restarted(&kept, &local, starts + SECOND);
        let now = starts + 2 * SECOND;
        let beat = peer.stamp(now, 6);
        assert!(it.take(&local.at(now), N2, &beat, Some(BEAT)).is_err(), "clocks do not agree");
        it.prove(&local.at(now + 2), "n2", &peer.stamp(now + 1, 7), local.at(now).b_us);
        assert!(it.take(&local.at(now + 5), N2, &peer.stamp(now + 4, 8), Some(BEAT)).is_ok());
        let before = it.take(&local.at(now + 6), N2, &beat, None);
        assert_eq!(before.is_ok(), is_stopped, "made before the answer: {before:?}");
        // After a day nothing is above the clocks.
        let day = 86_400 * SECOND;
        let mut it = restarted(&kept, &LOCAL, day);
        assert!(it.take(&LOCAL.at(day), N2, &peer.stamp(day, 5), Some(BEAT)).is_ok());
    }
}

#[test]
fn what_keeps_a_boot_is_there_before_its_first_message_is_carried_out() {
    let mut it = freshness();
    it.snapshot(&LOCAL.at(0));
    let take = |it: &mut Freshness, now_us, machine: Machine, made_us, id| {
        it.take(&LOCAL.at(now_us), N2, &machine.stamp(made_us, id), None).unwrap().saved_by
    };
    assert_eq!(take(&mut it, 10, PEER, 0, 1), Some(2));
    assert_eq!(take(&mut it, 11, PEER, 1, 2), Some(2), "until it is done");
    assert_eq!(it.snapshot(&LOCAL.at(12)).0, 2);
    assert_eq!(take(&mut it, 13, PEER, 3, 3), None);
    // Ahead of what the file says.
    assert_eq!(take(&mut it, 14, PEER, 30_014, 4), Some(3));
    it.snapshot(&LOCAL.at(15));
    assert_eq!(take(&mut it, 16, PEER, 30_016, 5), None);
    assert_eq!(take(&mut it, 61 * SECOND, PEER, 61 * SECOND, 6), Some(4), "the file is old");
    it.snapshot(&LOCAL.at(61 * SECOND));
    let next = Machine { boot: 5, ..Machine::new(5, 60 * SECOND) };
    assert_eq!(take(&mut it, 62 * SECOND, next, 62 * SECOND, 7), Some(5));
    let kept = it.snapshot(&LOCAL.at(62 * SECOND)).1;
    let mut it = restarted(&kept, &LOCAL, 63 * SECOND);
    let retired = it.take(&LOCAL.at(63 * SECOND), N2, &PEER.stamp(63 * SECOND, 8), None);
    assert_eq!(retired, Err(Refusal::Retired));
}

#[test]
fn what_is_no_state_is_not_restored() {
    let mut it = freshness();
    assert!(it.take(&LOCAL.at(0), N2, &PEER.stamp(0, 1), None).is_ok());
    assert!(it.take(&LOCAL.at(0), Source::Stranger("n9"), &PEER.stamp(0, 1), None).is_ok());
    let kept = it.snapshot(&LOCAL.at(1)).1;
    let restore = |bytes: &[u8]| Freshness::restore(WINDOW_MS, &LOCAL.at(2), bytes);
    assert!(restore(&kept).is_some());
    for cut in 0..kept.len() {
        assert!(restore(&kept[..cut]).is_none());
    }
    for bad in [&b""[..], b"{}", b"null", b"\0\0\0"] {
        assert!(restore(bad).is_none());
    }
    let mut it = Freshness::forgetful(WINDOW_MS, &LOCAL.at(SECOND));
    let peer = Machine { off_ms: -500, ..PEER };
    assert!(it.take(&LOCAL.at(SECOND), N2, &peer.stamp(SECOND, 1), None).is_err());
    assert!(it.take(&LOCAL.at(2 * SECOND), N2, &peer.stamp(2 * SECOND, 2), None).is_ok());
}

#[test]
fn a_flood_forgets_its_own_messages_and_nobody_elses() {
    let mut it = freshness();
    it.most = 1_000;
    let n3 = Source::Member("n3");
    for id in 0..50 {
        let now = LOCAL.at(id * 1_000);
        assert!(it.take(&now, n3, &PEER.stamp(id * 1_000, id as u64), None).is_ok());
    }
    for id in 0..5_000 {
        let made = 60_000 + id;
        let flood = PEER.stamp(made, 1_000 + id as u64);
        assert!(it.take(&LOCAL.at(made), N2, &flood, None).is_ok());
        assert!(it.len() <= 1_000);
    }
    let now = LOCAL.at(70_000);
    for id in 0..50 {
        let again = it.take(&now, n3, &PEER.stamp(id * 1_000, id as u64), None);
        assert_eq!(again, Err(Refusal::Replayed), "{id}");
    }
    for id in 0..5_000 {
        let again = it.take(&now, N2, &PEER.stamp(60_000 + id, 1_000 + id as u64), None);
        assert!(again.is_err(), "{id}");
    }
    assert!(it.take(&now, n3, &PEER.stamp(100, 99), None).is_ok(), "its floor is where it was");
    assert!(it.take(&now, N2, &PEER.stamp(70_000, 99), None).is_ok());
}

#[test]
fn strangers_are_bounded_and_share_names_without_harm() {
    let mut it = freshness();
    let (a, b) = (Machine::new(21, -50 * SECOND), Machine::new(22, -60 * SECOND));
    assert!(it.take(&LOCAL.at(0), N2, &PEER.stamp(0, 1), None).is_ok());
    for round in 1..20 {
        let now = round * SECOND;
        for machine in [a, b] {
            let taken = it.take(
                &LOCAL.at(now),
                Source::Stranger("n2"),
                &machine.stamp(now, round as u64),
                None,
            );
            assert!(taken.is_ok(), "two clusters have an n2");
        }
    }
    let crowd = |it: &mut Freshness, number: u16, now_us| {
        let machine = Machine::new(0, -SECOND);
        let mut stamp = machine.stamp(now_us, u64::from(number));
        stamp.at.boot.0[..2].copy_from_slice(&number.to_be_bytes());
        it.take(&LOCAL.at(now_us), Source::Stranger("x"), &stamp, None)
    };
    for number in 0..4_094 {
        assert!(crowd(&mut it, number, 20 * SECOND).is_ok());
    }
    assert_eq!(crowd(&mut it, 5_000, 20 * SECOND), Err(Refusal::Crowded));
    assert!(it.take(&LOCAL.at(21 * SECOND), N2, &PEER.stamp(21 * SECOND, 2), None).is_ok());
    for number in 5_000..5_100 {
        assert!(crowd(&mut it, number, 90 * SECOND).is_ok(), "those that are silent go");
    }
    assert_eq!(it.strangers_len, MOST_STRANGERS);
    assert_eq!(it.strangers.values().map(BTreeMap::len).sum::<usize>(), it.strangers_len);
}

#[test]
fn members_are_bounded_and_ids_are_counted_right() {
    let mut it = freshness();
    for number in 0..5_000_i64 {
        let name = format!("n{number}");
        let now = LOCAL.at(number);
        assert!(
            it.take(&now, Source::Member(&name), &PEER.stamp(number, number as u64), None).is_ok()
        );
    }
    assert_eq!(it.members.len(), MOST_MEMBERS);
    let held: usize = it.members.values().map(|member| member.epoch.seen.len()).sum();
    assert_eq!(it.len(), held);
    assert!(it.members.contains_key("n4999"));
}

#[test]
fn what_a_burst_left_behind_is_forgotten_bit_by_bit() {
    let mut it = freshness();
    for id in 0..256 {
        assert!(it.take(&LOCAL.at(id), N2, &PEER.stamp(id, id as u64), None).is_ok());
    }
    for id in 0..10 {
        let later = 31 * SECOND + id;
        assert!(it.take(&LOCAL.at(later), N2, &PEER.stamp(later, 999), None).is_ok());
    }
    assert_eq!(it.len(), 10);
}

#[test]
fn silence_for_days_and_drift_age_nobody() {
    for fast_ppm in [-400, 400] {
        let peer = Machine { fast_ppm, ..PEER };
        let mut it = freshness();
        assert!(it.take(&LOCAL.at(0), N2, &peer.stamp(0, 1), None).is_ok());
        for day in 1..30 {
            let now = day * 86_400 * SECOND;
            let heard = it.take(&LOCAL.at(now), N2, &peer.stamp(now, day as u64 + 1), Some(BEAT));
            assert_eq!(taken(heard), Ok(()), "day {day}, {fast_ppm} ppm");
        }
    }
}

#[test]
fn a_machine_that_is_set_back_within_its_boot_is_heard_once_it_answers_and_nothing_undone_passes() {
    for is_restarted in [false, true] {
        for is_set_right in [true, false] {
            let mut it = freshness();
            let mut id = 0;
            let mut next = |peer: &Machine, true_us| {
                id += 1;
                peer.stamp(true_us, id)
            };
            // An hour of messages, all of which somebody recorded.
            let mut recorded = vec![];
            for second in 0..3_600 {
                let at = second * SECOND;
                let stamp = next(&PEER, at);
                assert_eq!(taken(it.take(&LOCAL.at(at), N2, &stamp, Some(BEAT))), Ok(()));
                recorded.push(stamp);
            }
            // It goes back by half an hour: to a wall clock of then, unless that is set right.
            let mut now = 3_610 * SECOND;
            let mut back = Machine { since_us: PEER.since_us + 1_800 * SECOND, ..PEER };
            back.off_ms = if is_set_right { 0 } else { -1_800_000 };
            if is_restarted {
                it.close();
                let bytes = it.snapshot(&LOCAL.at(now)).1;
                it = Freshness::restore(WINDOW_MS, &LOCAL.at(now), &bytes).unwrap();
            }
            let early = next(&back, now);
            assert!(it.take(&LOCAL.at(now), N2, &early, Some(BEAT)).is_err());
            now += SECOND;
            let answer = next(&back, now + 1);
            it.prove(&LOCAL.at(now + 2), "n2", &answer, LOCAL.at(now).b_us);
            for second in 0..3_600 {
                now += SECOND;
                let stamp = next(&back, now);
                let beat = (second & 1 == 0).then_some(BEAT);
                assert_eq!(taken(it.take(&LOCAL.at(now), N2, &stamp, beat)), Ok(()), "{second}");
                assert_eq!(it.take(&LOCAL.at(now), N2, &stamp, beat), Err(Refusal::Replayed));
                if is_set_right && second % 60 == 1 {
                    let passed = recorded
                        .iter()
                        .filter(|stamp| it.take(&LOCAL.at(now), N2, stamp, None).is_ok());
                    assert_eq!(passed.count(), 0, "{second}");
                }
            }
        }
    }
}

#[test]
fn a_reply_that_took_long_sets_nothing_back() {
    let mut it = freshness();
    for second in 0..100 {
        let stamp = PEER.stamp(second * SECOND, second.unsigned_abs());
        assert_eq!(taken(it.take(&LOCAL.at(second * SECOND), N2, &stamp, None)), Ok(()));
    }
    let slow = PEER.stamp(2 * SECOND, 1_000);
    it.prove(&LOCAL.at(99 * SECOND), "n2", &slow, LOCAL.at(SECOND).b_us);
    let again = PEER.stamp(50 * SECOND, 50);
    assert!(it.take(&LOCAL.at(100 * SECOND), N2, &again, None).is_err());
}
